"""`derain train`: resumable after a kill, the same on several processes, and clear about bad input."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from typer.testing import CliRunner

from derain.cli.app import app
from derain.errors import PhotoError, TrainingError, UsageError
from derain.files.writing import alone
from derain.models.contract import Derainer
from derain.nlcl.losses import similarity
from derain.rain.likeness import likeness
from derain.rain.render import streaks
from derain.rain.scene import slopes, turned_along
from derain.restoring.devices import half_is_faster
from derain.restoring.restorer import Restorer
from derain.training.batches import Batches
from derain.training.clock import Clock
from derain.training.config import ENDLESS, Pasted, TrainConfig, load_config
from derain.training.crops import Crops, Room
from derain.training.discovery import Source, Tries, discover, find_rain
from derain.training.distil import Batch, Distil, as_it_was
from derain.training.folder import load_checkpoint
from derain.training.learner import first_network, learner_of
from derain.training.loop import train
from derain.training.mean import RunningMean
from derain.training.pairs import RainBank, pair, scene
from derain.training.step import Recorded, Steps, descend, read
from derain.weights import load, read_header
from tests.conftest import SMALL, Ticking
from tests.forks import command, preload

QUICK = {"steps": 6, "batch": 1, "crop": 48, "save_every": 2, "log_every": 1, "device": "cpu", "seed": 3}
FEW = {"bank": 4, "tries": 2}
TINY = {"derain": SMALL, "nlcl": {"width": 4, "blocks": 1}}


def config(preset="derain", **options):
    warm = {"warm": 0.3} | FEW if preset == "derain" else {}
    return load_config(None, preset=preset, model=TINY[preset], **(QUICK | warm | options))


def optimise(learner, batch, config, progress: float) -> dict[str, float]:
    """One step of every optimiser of the learner, on the CPU; gives the losses by name."""
    rate = config.lr * learner.learning_rate(progress)
    return read(descend(learner, batch, config, torch.device("cpu"), rate))


def test_what_is_shown_between_the_losses_is_what_is_being_done(folders, tmp_path):
    stages: list[str] = []
    clock = Clock(watch=lambda stage, done: stages.append(stage))
    train(config(log_every=9, save_every=9, steps=2, bank=1, tries=1), *folders, tmp_path / "out", clock=clock)
    assert "finding rain to learn from" in stages and stages[-1] == "training"


@pytest.mark.parametrize("which", [0, 1])
def test_a_run_is_not_put_among_the_photos(folders, which):
    before = sorted(folders[which].iterdir())
    with pytest.raises(TrainingError, match="is the folder of the photos; give another"):
        train(config(), *folders, folders[which])
    previews = folders[which].rename(folders[which].parent / "previews")
    given = [previews if folder == folders[which] else folder for folder in folders]
    with pytest.raises(TrainingError, match="previews: is the folder of the photos; give another"):
        train(config(), *given, previews.parent)
    assert [previews / path.name for path in before] == sorted(previews.iterdir())


@pytest.mark.parametrize("preset", ["derain", "nlcl"])
def test_result_describes_itself_and_loads(folders, tmp_path, preset):
    result = train(config(preset), *folders, tmp_path / "out")
    header = read_header(result)
    assert header["preset"] == preset and header["training"]["steps"] == 6
    background, rain = load(result)(torch.rand(1, 3, 20, 30))
    assert background.shape == rain.shape == (1, 3, 20, 30)
    log = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log if "step" in entry] == [1, 2, 3, 4, 5, 6]
    assert len(list((tmp_path / "out" / "previews").glob("*.jpg"))) == 3


@pytest.mark.parametrize("preset", ["derain", "nlcl"])
def test_training_goes_on_from_weights(folders, tmp_path, preset):
    start = train(config(preset), *folders, tmp_path / "first")
    on = load_config(None, preset=preset, start=str(start), **(QUICK | FEW | {"lr": 1e-9, "steps": 1}))
    assert on.warm == 0
    result = train(on, *folders, tmp_path / "second")
    before, after = load_file(start), load_file(result)
    assert before.keys() == after.keys() and read_header(result)["config"] == read_header(start)["config"]
    assert all(torch.allclose(before[name], after[name], atol=1e-3) for name in before)
    other = {"derain": "nlcl", "nlcl": "derain"}[preset]
    with pytest.raises(TrainingError, match=f"is of preset '{preset}'"):
        train(load_config(None, preset=other, start=str(start), **QUICK), *folders, tmp_path / "third")


KILLED = """
import json, os, signal, sys
from pathlib import Path
import torch
from derain.training.config import load_config
from derain.training.loop import train
torch.set_num_threads(1)
rainy, clean, out, options, at = sys.argv[1:]
def report(step, progress, losses):
    if step == int(at):
        os.kill(os.getpid(), signal.SIGKILL)
train(load_config(None, **json.loads(options)), Path(rainy), Path(clean), Path(out), report=report)
"""


DISTILLED = {"distilled": 0.5, "anchor": 0.3, "contrast": "matched", "ema": 0.9, "bank": 2, "tries": 2}


@pytest.mark.parametrize("preset, more", [("derain", {"critic": 0.1}), ("nlcl", DISTILLED)])
def test_killed_and_resumed_equals_undisturbed(folders, tmp_path, preset, more):
    settings = config(preset, **more)
    undisturbed = train(settings, *folders, tmp_path / "whole")
    options = json.dumps(asdict(settings))
    preload("torch._dynamo", "derain.training.distil", "derain.training.contrast")
    done = command(*folders, tmp_path / "killed", options, 5, before=KILLED)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert load_checkpoint(tmp_path / "killed", preset)["step"] == 4
    with (tmp_path / "killed" / "log.jsonl").open("a") as file:
        file.write('{"step": 4, "sec')  # cut as it was written
    resumed = train(settings, *folders, tmp_path / "killed", resume=True)
    one, other = load_file(undisturbed), load_file(resumed)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    log = map(json.loads, (tmp_path / "killed" / "log.jsonl").read_text().splitlines())
    assert [entry["step"] for entry in log if "step" in entry] == [1, 2, 3, 4, 5, 6]  # step 5 once


@pytest.fixture
def ctrl_c(request):
    """Presses Ctrl-C, which processes in the background do not hear by themselves; or sends what does the same."""
    number = getattr(request, "param", signal.SIGINT)
    before = signal.signal(number, signal.default_int_handler)
    yield lambda: os.kill(os.getpid(), number)
    signal.signal(number, before)


@pytest.mark.parametrize("ctrl_c", [signal.SIGINT, signal.SIGTERM], ids=lambda by: by.name, indirect=True)
def test_ctrl_c_in_a_step_loses_nothing(folders, tmp_path, ctrl_c, monkeypatch):
    settings, said, step = config(save_every=100), [], Steps.__call__

    def pressed(self, batch, number, progress):
        if number == 2:
            ctrl_c()
        step(self, batch, number, progress)

    undisturbed = load_file(train(settings, *folders, tmp_path / "whole"))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Steps, "__call__", pressed)
        train(settings, *folders, tmp_path / "out", say=said.append)
    assert said == ["`resume` continues from step 3"]
    resumed = load_file(train(settings, *folders, tmp_path / "out", resume=True))
    assert all(torch.equal(undisturbed[name], resumed[name]) for name in resumed)


def test_what_ctrl_c_loses_is_said_and_nothing_is_advised_that_cannot_be(folders, tmp_path, ctrl_c, monkeypatch):
    said, step = [], Steps.__call__

    def pressed(self, batch, number, progress):
        step(self, batch, number, progress)
        if number == 2:  # twice: at once
            ctrl_c()
            ctrl_c()

    monkeypatch.setattr(Steps, "__call__", pressed)
    for name, every in (("none", 100), ("one", 1)):
        with pytest.raises(KeyboardInterrupt):
            train(config(save_every=every), *folders, tmp_path / name, say=said.append)
    assert said == [
        "2 steps are lost; no checkpoint was written yet",
        "`resume` continues from step 2",
    ]


def test_a_full_disk_is_a_sentence_and_leaves_the_older_checkpoint(folders, tmp_path):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def filled(step, progress, losses):
        if step == 3:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))

    try:
        with pytest.raises(PhotoError) as failed:
            train(config(), *folders, tmp_path / "out", report=filled)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    said = "cannot be written (beyond the largest size of a file); raise it with `ulimit`, or write elsewhere"
    named = tmp_path / "out" / "checkpoint.pt"
    assert str(failed.value) == f"{named}: {said}; `resume` continues from step 2"
    assert load_checkpoint(tmp_path / "out", "derain")["step"] == 2


def test_a_teacher_that_finds_no_rain_ends_in_a_sentence(folders, tmp_path):
    _, clean = folders
    with pytest.raises(TrainingError, match="derain finds no rain in it; give other rainy photos"):
        train(config("nlcl", **DISTILLED), clean, clean, tmp_path / "out")


def test_generators_first_learn_what_the_teacher_found_then_the_objective(folders, tmp_path):
    train(config("nlcl", **(DISTILLED | {"anchor": 0.0})), *folders, tmp_path / "out")
    log = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert ["generated" in entry for entry in log] == [True] * 3 + [False] * 3
    assert ["layer_above_least" in entry for entry in log] == [False] * 3 + [True] * 3


@pytest.mark.parametrize("preset, more", [("derain", {"guided": 0.01, "rounds": 2}), ("nlcl", {"anchor": 0.3})])
def test_results_do_not_depend_on_the_number_of_workers(folders, tmp_path, preset, more):
    settings = config(preset, steps=7, batch=2, **more)
    results = [load_file(train(replace(settings, workers=count), *folders, tmp_path / str(count))) for count in (0, 2)]
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])


def test_workers_end_with_a_process_that_is_killed(folders, tmp_path):
    """They hold its stderr open, too, so that reading it ends when the last of them does."""
    options = json.dumps(asdict(config(workers=2)))
    command = [sys.executable, "-c", KILLED, *map(str, folders), str(tmp_path / "out"), options, "3"]
    done = subprocess.run(command, stderr=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=240)
    assert done.returncode == -signal.SIGKILL and not done.stderr


@dataclass(frozen=True)
class Dying:
    """A recipe of batches of one number, whose worker dies or fails at a step."""

    parent: int
    at: int
    error: Exception | None = None

    def __call__(self, rng, step, progress):
        if step == self.at and self.error:
            raise self.error
        if step == self.at and os.getpid() != self.parent:
            os._exit(9)
        return np.full(1, step)


@pytest.mark.parametrize("error, said", [(None, "a worker process died.*fewer `workers`"), (MemoryError("m"), "m")])
def test_what_happens_to_a_worker_is_told_when_its_batch_is_wanted(error, said):
    learner = SimpleNamespace(recipe=lambda *photos: Dying(os.getpid(), 3, error), due=lambda progress: False)
    batches = Batches(learner, config(steps=9), (None, None), 0, 2, print)
    try:
        assert [int(batches.of(step, 0.0)[0]) for step in range(3)] == [0, 1, 2]
        with pytest.raises(TrainingError if error is None else MemoryError, match=said):
            batches.of(3, 0.0)
    finally:
        batches.close()


def test_where_the_memory_is_short_there_are_fewer_workers(monkeypatch):
    monkeypatch.setattr("derain.training.batches.free_memory", lambda device: 0.0)
    learner, said = SimpleNamespace(recipe=lambda *photos: Dying(0, -1), due=lambda progress: False), []
    batches = Batches(learner, config(), (None, None), 0, 2, said.append)
    assert [int(batches.of(step, 0.0)[0]) for step in range(3)] == [0, 1, 2] and batches.pool is None
    assert said == ["0 workers instead of 2: there is no memory for more batches"]


def trained(folders, preset, steps, record=None):
    """Weights after steps that are recorded, if they are, and what was said."""
    torch.manual_seed(0)
    settings, said = config(preset, warm=0.0, guided=0.01) if preset == "derain" else config(preset), []
    learner = learner_of(preset)(settings, torch.device("cpu"))
    run = Steps(learner, settings, torch.device("cpu"), said.append)
    if record:
        run.step = Recorded(run._compute, run._on_device, record, said.append)
    batches = Batches(learner, settings, tuple(Crops(folder, 48) for folder in folders), 0, 0, said.append)
    for step in range(steps):
        run(batches.of(step, 0.0), step, step / steps)
    assert all(np.isfinite(value) for value in run.read().values())
    return learner.model.state_dict(), said


@pytest.mark.parametrize("preset, steps, kinds", [("derain", 18, 2), ("nlcl", 5, 1)])
def test_steps_that_are_recorded_learn_as_others_do(folders, preset, steps, kinds):
    recorded = []

    def record(step):
        recorded.append(step)
        return step

    plain, (other, said) = trained(folders, preset, steps)[0], trained(folders, preset, steps, record)
    assert all(torch.equal(plain[name], other[name]) for name in plain) and not said
    assert len(recorded) == kinds  # with the guide and without


def test_a_step_that_cannot_be_recorded_is_said_and_made_all_the_same(folders):
    def record(step):
        raise RuntimeError("capturing failed\nand more")

    plain, (other, said) = trained(folders, "derain", 6)[0], trained(folders, "derain", 6, record)
    assert all(torch.equal(plain[name], other[name]) for name in plain)
    assert said == ["the step cannot be recorded (capturing failed); training goes on, slower"]


def test_the_precision_of_a_training_is_not_measured(folders, monkeypatch):
    """Nor does measuring it elsewhere change what is drawn at random."""
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    half_is_faster.__wrapped__(torch.device("cpu"), 1)
    assert torch.equal(torch.rand(3), expected)
    monkeypatch.setattr("derain.restoring.devices.half_is_faster", None)
    trained(folders, "derain", 1)


def test_only_for_crops_that_are_remembered_is_the_starting_network_asked():
    """It takes a sixth of a step to ask it for all."""
    asked: list[int] = []

    def darker(rainy: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        asked.append(len(rainy))
        return rainy / 2, rainy / 2

    rainy, clean = torch.rand(4, 3, 8, 8), torch.rand(4, 3, 8, 8)
    remembered = torch.tensor([False, True, False, True])[:, None, None, None]
    truths = as_it_was(darker, rainy, clean, remembered)
    assert asked == [2] and torch.equal(truths[1::2], rainy[1::2] / 2) and torch.equal(truths[::2], clean[::2])
    assert torch.equal(as_it_was(darker, rainy, clean, ~remembered & remembered), clean) and len(asked) == 1


def test_the_teacher_does_not_remember_how_it_came_about():
    learner = Distil(config(), torch.device("cpu"))
    learner.begin_step(0)
    learner.end_step()
    assert not any(parameter.requires_grad for parameter in learner.teacher.parameters())


def test_under_bfloat16_the_second_optimiser_sees_what_the_first_did():
    """Autocast keeps converted weights, and would keep those of before the step."""
    weight = torch.nn.Parameter(torch.ones(4, 4))
    optimiser = torch.optim.SGD([weight], 0.1)
    seen = []

    class Twice:
        def losses(self, batch):
            for _ in range(2):
                out = torch.nn.functional.linear(torch.ones(1, 4), weight)
                seen.append(float(out.detach().mean()))
                yield optimiser, {"out": out.float().mean()}

        def learning_rate(self, progress):
            return 1.0

    optimise(Twice(), None, config(precision="bfloat16", lr=1.0), 0.0)
    assert seen[1] < seen[0] - 0.5


def test_what_is_documented_as_float32_is_float32_backward_too():
    """Under bfloat16 the gradient of the similarity is that of float32: only the forward pass is autocast."""
    features = torch.nn.functional.normalize(torch.randn(1, 8, 256), dim=-1)
    weight = torch.nn.Parameter(features.clone())
    seen = []

    class Similar:
        def losses(self, batch):
            yield Kept([weight]), {"similarity": similarity(weight, features).square().mean() / 1000}

        def learning_rate(self, progress):
            return 1.0

    class Kept(torch.optim.SGD):
        def step(self):
            seen.append((weight.grad.clone(), torch.is_autocast_enabled("cpu")))

    for precision in ("float32", "bfloat16"):
        optimise(Similar(), None, config(precision=precision), 0.0)
    assert torch.equal(seen[0][0], seen[1][0]) and not seen[1][1]


def test_a_callers_autocast_plays_no_part(folders, tmp_path):
    settings = config("nlcl", steps=3, workers=0, precision="float32")
    expected = load_file(train(settings, *folders, tmp_path / "before"))
    with torch.autocast("cpu", torch.float16):
        found = load_file(train(settings, *folders, tmp_path / "after"))
    assert all(torch.equal(found[name], weight) for name, weight in expected.items())


@pytest.mark.parametrize("loss", [lambda w: (w * float("nan")).sum(), lambda w: (w - w).sqrt().sum()])
def test_what_is_no_number_never_reaches_the_weights(loss):
    """Of the second only the gradient is none."""
    weight = torch.nn.Parameter(torch.ones(4))
    optimiser = torch.optim.SGD([weight], 0.1)

    class Broken:
        def losses(self, batch):
            yield optimiser, {"broken": loss(weight)}

        def learning_rate(self, progress):
            return 1.0

    with pytest.raises(TrainingError, match="training diverged") as failed:
        optimise(Broken(), None, config(), 0.0)
    assert failed.value.exit_code == 1  # nothing was used wrongly
    assert torch.equal(weight, torch.ones(4))


def test_taught_crops_are_real_ones_less_their_rain(rng):
    bank = RainBank(2)
    for shade in (0.1, 0.4, 0.8):
        bank.add(np.full((64, 64, 3), shade), np.full((64, 64), 0.2), np.zeros((64, 64)))
    assert len(bank.discoveries) == 2  # the oldest is gone
    for _ in range(8):
        rainy, target, _ = bank.taught(rng, 48)
        assert rainy.shape == target.shape == (48, 48, 3) and rainy.max() > 0.3
        assert np.allclose(rainy - target, 0.2, atol=1 / 255)


def test_discovered_rain_is_pasted_on_clean_crops(rng):
    bank, truth = RainBank(2), np.full((48, 48, 3), 0.25, np.float32)
    for column in (10, 40):
        layer = np.zeros((64, 64))
        layer[:, column] = 0.3
        bank.add(np.zeros((64, 64, 3)), np.zeros((64, 64)), layer)
    layers = [bank.layer(rng, 48) for _ in range(20)]
    assert all(layer.heights.shape == (48, 48) and layer.heights.min() >= 0 for layer in layers)
    assert len({round(float(layer.heights.sum()), 3) for layer in layers}) > 10  # gain, place, scale and turn vary
    pasted = pair(rng, truth, config(dry=0.0, taught=0.0, discovered=1.0), bank)
    assert pasted.clean is truth and pasted.rainy.shape == truth.shape and pasted.doubtful


def test_the_purest_layers_are_pasted(rng):
    bank = RainBank(4, pure=0.5)
    for height, purity in ((0.1, 0.2), (0.6, 0.9), (0.2, 0.1), (0.7, 0.8)):
        bank.add(np.zeros((64, 64, 3)), np.zeros((64, 64)), np.full((64, 64), height), purity)
    assert min(bank.layer(rng, 48).heights.mean() for _ in range(40)) > 0.4
    restored = RainBank(4, pure=0.5)
    restored.load_state(bank.state())
    assert [found.purity for found in restored.discoveries] == pytest.approx([0.2, 0.9, 0.1, 0.8])


def test_faithful_layers_keep_direction_scale_and_nearly_their_height(rng):
    bank, layer = RainBank(1, faithful=1.0, oblique=1.0, widest=2.2), np.zeros((96, 96))
    layer[:, 4::8] = 0.4
    bank.add(np.zeros((96, 96, 3)), np.zeros((96, 96)), layer)
    for pasted in (bank.layer(rng, 64).heights for _ in range(20)):
        assert np.ptp(pasted, axis=0).max() < 1e-6 and (pasted[0] > 0).sum() == 8
        assert 0.4 * 0.94 < pasted.max() < 0.4 * 1.51


def test_faithful_layers_fade_over_bright_background_as_where_they_were_found(rng):
    """Streaks of 0.2 over a wall of 0.6 are 0.5 over black if they are screened on it, and 0.2 if they are added."""
    layer = np.zeros((96, 96))
    layer[:, 4::8] = 0.2
    rainy = np.repeat(0.6 + layer[..., None], 3, axis=2)
    settings = config(dry=0.0, taught=0.0, discovered=1.0, jpeg=0.0)
    for fading, over_dark, over_bright in ((1.0, 0.5 * 0.9, 0.5 * 0.3), (0.0, 0.2, 0.2)):
        bank = RainBank(1, faithful=1.0)
        bank.add(rainy, layer, layer, fading=fading)
        restored = RainBank(1, faithful=1.0)
        restored.load_state(bank.state())
        for light, height in ((0.1, over_dark), (0.7, over_bright)):
            under = pair(rng, np.full((48, 48, 3), light, np.float32), settings, restored).rainy
            assert 0.94 < (under.max() - light) / height < 1.51


@pytest.mark.parametrize("oblique, spread", [(0.0, (3, 14)), (1.0, (18, 40))])
def test_pasted_layers_can_be_turned(rng, oblique, spread):
    bank, layer = RainBank(1, oblique=oblique), np.zeros((96, 96))
    layer[:, 4::8] = 0.3
    bank.add(np.zeros((96, 96, 3)), np.zeros((96, 96)), layer)
    found = [likeness(bank._one(rng, 64)).degrees for _ in range(40)]
    assert spread[0] < np.std(found) < spread[1]


def test_all_certain_rain_or_the_purest_is_kept(folders, monkeypatch, rng):
    looked = []

    def find(_, *rest):
        looked.append(rest)
        return find_rain(Restorer(Streaks(0.5)), *rest)

    monkeypatch.setattr("derain.training.discovery.find_rain", find)
    for tries in (3, 1):
        looked.clear()
        learner = Distil(config(tries=tries), torch.device("cpu"))
        discover(
            rng, Source(Crops(folders[0], 48), learner.teacher, 4, "layer"), learner.bank, learner.config, learner.clock
        )
        assert len(looked) == 4 * tries and 0 < len(learner.bank.discoveries) <= 4


@pytest.mark.parametrize("height", [0.0, 0.5])
def test_photos_in_which_hardly_any_rain_is_found_are_told(folders, monkeypatch, rng, height):
    def find(_, *rest):
        return find_rain(Restorer(Streaks(height)), *rest)

    monkeypatch.setattr("derain.training.discovery.find_rain", find)
    said: list[str] = []
    for start in ("", "derain"):  # at first a network that is to learn what rain is finds none
        learner = Distil(config(), torch.device("cpu"))
        learner.config = replace(learner.config, start=start)
        for progress in (learner.config.warm, 1.0):
            learner.renew(rng, progress, Crops(folders[0], 48), said.append)
    wrong = f"{folders[0]}: no rain found in 8 crops, so its photos teach nothing; give photos that show rain"
    assert said == ([] if height else [wrong])


def test_found_rain_is_pasted_cleaned_or_whole(folders):
    heights = []
    for kind in ("layer", "distinct", "whole"):
        learner = Distil(config(), torch.device("cpu"))
        source = Source(Crops(folders[0], 48), Streaks(0.5), 4, kind)
        discover(np.random.default_rng(0), source, learner.bank, learner.config, learner.clock)
        heights.append(np.mean([found.layer.mean() for found in learner.bank.discoveries]))
    assert heights[0] < heights[1] <= heights[2]


def test_every_kind_of_pair_has_its_share(rng):
    truth, settings = np.full((48, 48, 3), 0.25, np.float32), config(dry=0.3, taught=0.3, discovered=0.0)
    bank = RainBank(1)
    bank.add(np.full((64, 64, 3), 0.5), np.full((64, 64), 0.1), np.zeros((64, 64)))
    pairs = [pair(rng, truth, settings, bank) for _ in range(300)]
    assert 60 < sum(p.rainy is truth for p in pairs) < 120
    assert 60 < sum(p.clean is not truth for p in pairs) < 120
    assert not any(p.doubtful for p in pairs if p.rainy is truth)
    assert all(p.doubtful for p in pairs if p.clean is not truth)


def test_drops_in_focus_hide_what_is_behind_them(rng):
    """Behind a drop that covers all, bright and dark, green and red backgrounds look alike."""
    settings = config(dry=0.0, taught=0.0, discovered=0.0, overcast=0.0, jpeg=0.0, opaque=1.0)
    truth = np.zeros((96, 96, 3), np.float32)
    truth[:, ::2], truth[:, 1::2] = (0.1, 0.5, 0.1), (0.5, 0.1, 0.3)
    hidden = []
    for _ in range(40):
        made = pair(rng, truth, settings)
        contrast = np.abs(made.rainy[:, ::2] - made.rainy[:, 1::2]).max(axis=2)
        hidden.append(float((contrast < 0.1).mean()))
        assert made.rainy.min() >= truth.min() - 1e-6
    assert max(hidden) > 0.02


def test_things_drawn_on_a_clean_crop_are_part_of_the_truth(rng):
    clean = rng.random((96, 96, 3), np.float32)
    truth, by_night = scene(rng, clean, config(things=1.0))
    assert (truth != clean).any() and not by_night


def test_by_night_rain_is_lit_by_lamps(rng):
    settings = config(dry=0.0, taught=0.0, discovered=0.0, jpeg=0.0, night=1.0, fine=1.0)
    truth = np.full((96, 96, 3), 0.25, np.float32)
    truth[:, :12] = 1
    pairs = [pair(rng, truth, settings) for _ in range(30)]
    near, far = (
        np.mean([(p.rainy - p.clean)[:, part].mean() for p in pairs]) for part in (slice(14, 24), slice(70, 96))
    )
    assert near > 1.3 * far


def test_drizzle_falls_before_mist_that_is_in_the_truth_too(rng):
    truth = cv2.GaussianBlur(rng.random((96, 96, 3), np.float32), (0, 0), 2)
    pairs = [pair(rng, truth, config(jpeg=0.0, drizzle=1.0)) for _ in range(20)]
    assert all(p.doubtful and np.ptp(p.rainy - p.clean) > 0.005 for p in pairs)
    assert np.mean([p.clean.std(axis=1).mean() for p in pairs]) < 0.7 * truth.std(axis=1).mean()
    assert np.median([p.clean.mean() for p in pairs]) > truth.mean()


@pytest.mark.parametrize("degrees", [12, -12, 70, -70])
@pytest.mark.parametrize("edges", [20, -20, 75, -75])
def test_edges_can_be_turned_along_the_rain(rng, degrees, edges):
    rain, stripes = (streaks(rng, 128, 60, angle, 1.5, (0.1, 0.1)) for angle in (degrees, edges))
    turned = turned_along(np.dstack([stripes] * 3), rain)
    assert (np.sign(slopes(turned.mean(axis=2))) == np.sign(slopes(rain))).all()
    assert sorted(turned[..., 0].ravel()) == sorted(stripes.ravel())


def test_rainy_crops_get_the_weather_and_the_camera(rng):
    """The dull day is in the truth too, the camera and its noise in both, the JPEG only in the rainy crop."""
    truth = rng.random((48, 48, 3), np.float32)
    settings = {"dry": 0.0, "taught": 0.0, "discovered": 0.0, "jpeg": 0.0}
    plain, dull, seen = (
        [pair(rng, truth, config(**settings, **share)) for _ in range(20)]
        for share in ({}, {"overcast": 1.0}, {"camera": 1.0})
    )
    assert all(p.clean is truth for p in plain)
    assert np.mean([p.clean.std() for p in dull]) < 0.8 * truth.std()
    assert all(p.clean is not truth and np.abs(p.clean.mean() - truth.mean()) < 0.02 for p in seen)
    stored = [pair(rng, truth, config(**settings | {"jpeg": 1.0, "jpeg_quality": (35, 35)})) for _ in range(20)]
    assert all(p.clean is truth for p in stored)
    assert np.mean([np.abs(p.rainy - truth).mean() for p in stored]) > np.mean(
        [np.abs(p.rainy - truth).mean() for p in plain]
    )


class Streaks(Derainer):
    """Finds a share of the height of what is brighter than the background."""

    def __init__(self, share) -> None:
        super().__init__()
        self.share, self.weight = share, torch.nn.Parameter(torch.zeros(1))

    def forward(self, rainy):
        rain = torch.where(rainy > 0.22, self.share * (rainy - 0.2).clamp(min=0), 0)
        return rainy - rain, rain


@pytest.mark.parametrize("flat, height", [(0.0, 0.038), (0.007, 0.06)])
def test_discovered_streaks_are_taken_whole_on_flat_background(flat, height):
    photo = np.full((96, 96, 3), 0.2, np.float32)
    photo[10:86, ::12] = 0.26
    rain = find_rain(Restorer(Streaks(0.25), "float32"), photo, flat=flat).rain
    assert rain[30:70, 12:85:12].mean() == pytest.approx(height, rel=0.15)


def test_rain_is_discovered_by_the_teacher_that_is_named(folders, monkeypatch, rng):
    monkeypatch.setattr("derain.training.distil.load", lambda *_: Streaks(0.5))
    further = {"folder": str(folders[0])}
    for teacher, pasted, discoveries in (  # the network itself, untrained, finds nothing
        ("", [further], (0, 0)),
        ("streaks", [further], (4, 4)),
        ("", [further, further | {"teacher": "streaks", "bank": 2}], (0, 2)),
    ):
        learner = Distil(config(teacher=teacher, pasted=pasted, rounds=1), torch.device("cpu"))
        learner.renew(rng, 0.9, Crops(folders[0], 48), print)
        assert (len(learner.bank.discoveries), len(learner.pasted.discoveries)) == discoveries


def test_rain_of_further_photos_is_pasted_and_never_taught(rng):
    bank, pasted, truth = RainBank(1), RainBank(1), np.full((48, 48, 3), 0.25, np.float32)
    bank.add(np.full((64, 64, 3), 0.5), np.full((64, 64), 0.1), np.zeros((64, 64)))
    pasted.add(np.full((64, 64, 3), 0.9), np.full((64, 64), 0.1), np.full((64, 64), 0.4))
    settings = config(dry=0.0, taught=0.4, discovered=0.6, pasted_share=0.5, jpeg=0.0)
    pairs = [pair(rng, truth, settings, bank, pasted) for _ in range(200)]
    taught = [p for p in pairs if p.clean is not truth]
    assert all(np.abs(p.rainy - 0.5).max() < 0.01 for p in taught) and 50 < len(taught) < 110
    under_rain = [p for p in pairs if np.abs(p.rainy - truth).max() > 0.05 and p.clean is truth]
    assert 35 < len(under_rain) < 85 and not any(p.doubtful for p in under_rain)
    alone = pair(rng, truth, config(dry=0.0, taught=0.0, discovered=1.0, jpeg=0.0), RainBank(1), pasted)
    assert alone.clean is truth and not alone.doubtful and np.abs(alone.rainy - truth).mean() > 0.1


def test_larger_network_begins_as_the_one_that_it_grows_from(small_weights):
    larger = config(start=str(small_weights)).model | {"blocks": [2, 1, 2]}
    network = first_network(load_config(None, start=str(small_weights), model=larger)).eval()
    assert sum(p.numel() for p in network.parameters()) > sum(p.numel() for p in load(small_weights).parameters())
    rainy = torch.rand(1, 3, 48, 48)
    assert torch.allclose(network(rainy)[0], load(small_weights)(rainy)[0], atol=1e-6)
    for wrong in ({"widths": [8, 8, 16]}, {"widths": [8, 8], "blocks": [1, 1]}):
        with pytest.raises(TrainingError, match="does not fit into model"):
            first_network(load_config(None, start=str(small_weights), model=wrong))


def test_rain_left_weighs_more_where_it_is_doubtful():
    """The same error, rain left, costs more in a pair of real rain, and background taken costs the same in both."""
    learner = Distil(config(leftover=3.0), torch.device("cpu"))
    rainy = np.full((2, 48, 48, 3), 0.5, np.float32)

    def loss(clean: float, doubtful: bool) -> float:
        batch = Batch(rainy, np.full_like(rainy, clean), np.array([doubtful] * 2), np.array([False] * 2))
        return float(next(learner.losses(batch))[1]["pixels"].detach())

    assert loss(0.3, True) == pytest.approx(3 * loss(0.3, False), rel=0.01)
    assert loss(0.7, True) == pytest.approx(loss(0.7, False), rel=0.01)


def test_a_crop_of_light_rain_weighs_as_much_as_one_of_heavy_rain():
    """Halving its error gains the same for either, and nothing once a crop is right."""
    learner = Distil(config(psnr=1.0), torch.device("cpu"))
    rainy = np.full((2, 48, 48, 3), 0.5, np.float32)

    def loss(error: float) -> float:
        batch = Batch(rainy, rainy - np.float32(error), np.array([False] * 2), np.array([False] * 2))
        return float(next(learner.losses(batch))[1]["psnr"].detach())

    assert loss(0.4) - loss(0.2) == pytest.approx(np.log(4), rel=0.05)
    assert loss(0.2) - loss(0.1) == pytest.approx(np.log(4), rel=0.05)
    assert loss(0.002) - loss(0.001) < 0.1


def test_bank_is_filled_once_a_round():
    learner = Distil(config(warm=0.4, rounds=3), torch.device("cpu"))
    rounds = [learner.round_at(progress) for progress in (0, 0.39, 0.4, 0.59, 0.61, 0.81, 0.99)]
    assert rounds == [0, 0, 1, 1, 2, 3, 3]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_what_a_scheduler_sets_is_not_torchrun(folders, tmp_path, monkeypatch):
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"):
        monkeypatch.setenv(name, "1")
    assert train(config(steps=1), *folders, tmp_path / "out").is_file()
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "nowhere")
    with pytest.raises(TrainingError, match="torchrun: .* cannot be joined .*unset RANK, WORLD_SIZE"):
        train(config(steps=1), *folders, tmp_path / "other")


def test_cached_photos_share_a_part_of_the_free_memory(folders, monkeypatch):
    monkeypatch.setattr("derain.training.crops.free_memory", lambda device: 1e6)
    assert Room.of_free_memory(2).bytes == 400_000
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert Room.of_free_memory(2).bytes == 100_000
    room = Room(100_000, 3)
    first, second = (Crops(folder, 48, room=room) for folder in folders)
    third = Distil(config(pasted=[{"folder": str(folders[0])}]), torch.device("cpu"), None, room).photos[0]
    held = [len(crops._cache) for crops in (first, second, third)]
    assert len(first.photos) == 4 and held == [1, 1, 1]  # of 32 kB each; what the first leave the last may take
    assert sum(photo.nbytes for crops in (first, second, third) for photo in crops._cache.values()) <= 100_000


TWO = """
import json, os, signal, sys, torch
from dataclasses import replace
from pathlib import Path
from derain.training import crops, loop
from derain.training.config import load_config

rank, learners, drawn = int(os.environ["RANK"]), [], []
chosen, cut = loop.learner_of, crops.Crops.cut

def watched(preset):
    def made(*arguments):
        learners.append(chosen(preset)(*arguments))
        begin = learners[-1].begin_step
        def begun(step):
            begin(step)
            if step == 3 and rank == 1 and out.name == "two":
                os.kill(os.getpid(), signal.SIGINT)
        learners[-1].begin_step = begun
        return learners[-1]
    return made

def noted(*arguments):
    drawn.append(float(cut(*arguments).mean()))
    return cut(*arguments)

loop.learner_of, crops.Crops.cut = watched, noted
rainy, clean, out = map(Path, sys.argv[1:4])
config, interrupted = load_config(None, **json.loads(sys.argv[4])), False
try:
    there = out if rank == 0 else Path("/dev/null/nothing")  # where nothing can be written
    loop.train(config, rainy, clean, there, resume=(out / "checkpoint.pt").is_file())
except KeyboardInterrupt:
    interrupted = True
torch.save({"interrupted": interrupted, "drawn": drawn, "weights": learners[0].model.state_dict()}, f"{out}.{rank}")
"""
AS_TORCHRUN = """
import os, runpy, signal, sys
children = []
for rank in "01":
    if not (child := os.fork()):
        os.environ |= {"RANK": rank, "LOCAL_RANK": rank}
        del sys.argv[0]
        runpy.run_path(sys.argv[0])
        os._exit(0)
    children.append(child)
while children:
    ended, status = os.wait()
    children.remove(ended)
    if status:
        sys.exit([os.kill(child, signal.SIGKILL) for child in children] and 1)
sys.exit()
"""


@pytest.mark.slow
def test_torchrun_keeps_two_processes_in_step_to_their_common_end_and_goes_on_with_fewer_or_more(folders, tmp_path):
    """Ctrl-C in one of them ends both after the same step; the first alone writes and reads the folder."""
    (script := tmp_path / "two.py").write_text(TWO)
    two, one = tmp_path / "two", tmp_path / "one"
    train(config(steps=2), *folders, one)
    words, alone = [script, *folders], {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    options = json.dumps(asdict(config(save_every=1000)))
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--rdzv-backend=c10d"]
    launch += [f"--rdzv-endpoint=127.0.0.1:{free_port()}", *words, two, options]
    done = subprocess.run([*map(str, launch)], capture_output=True, text=True, env=os.environ | alone, timeout=240)
    assert done.returncode == 0, done.stderr
    preload("torch._dynamo", "derain.training.distil")
    torchrun = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    done = command(*words, one, options, before=AS_TORCHRUN, **torchrun, **alone)
    assert done.returncode == 0, done.stderr
    for out in (two, one):
        first, second = (torch.load(f"{out}.{rank}", weights_only=True) for rank in (0, 1))
        assert first["interrupted"] == second["interrupted"] == (out == two)
        assert all(torch.equal(weights, second["weights"][name]) for name, weights in first["weights"].items())
        assert set(first["drawn"]).isdisjoint(second["drawn"])
    assert load_checkpoint(two, "derain")["step"] == 4  # no step is lost, though none was to be saved
    assert load_checkpoint(one, "derain")["step"] == 6
    assert train(config(), *folders, two, resume=True).is_file() and load_checkpoint(two, "derain")["step"] == 6


@pytest.mark.parametrize(
    "preset, tick, said",
    [
        ("derain", 0.1, ""),
        ("derain", 0.8, "steps are too few to learn anything"),
        ("derain", 100.0, "out before"),
        ("nlcl", 2.0, "steps are too few to learn anything"),
    ],
)
def test_minutes_hold_however_slow_the_machine_is(folders, tmp_path, monkeypatch, preset, tick, said):
    clock, heard = Ticking(tick), []
    monkeypatch.setattr(Tries, "lack", "")
    monkeypatch.setattr("derain.training.clock.monotonic", clock)
    settings = config(preset, minutes=1.0, steps=ENDLESS, warm=0.1, rounds=2, save_every=20, log_every=20)
    try:
        assert train(settings, *folders, tmp_path / "out", say=heard.append).is_file()
    except TrainingError as error:
        heard.append(str(error))
    assert clock.now < 60 + 12 * tick
    assert said in " ".join(heard) and bool(heard) == bool(said)


def test_a_resumed_run_has_what_is_left_of_its_minutes(folders, tmp_path, monkeypatch):
    monkeypatch.setattr("derain.training.clock.monotonic", Ticking(0.5))
    train(config(steps=4), *folders, tmp_path / "out")
    spent = load_checkpoint(tmp_path / "out", "derain")["seconds"]
    monkeypatch.setattr("derain.training.clock.monotonic", clock := Ticking(0.5))
    train(config(minutes=(spent + 20) / 60, steps=ENDLESS), *folders, tmp_path / "out", resume=True)
    assert load_checkpoint(tmp_path / "out", "derain")["step"] > 4 and clock.now < 26


def test_a_run_that_has_all_its_steps_says_that_nothing_was_trained(folders, tmp_path):
    said: list[str] = []
    for resume in (False, True):
        train(config(steps=3), *folders, tmp_path / "out", resume, say=said.append)
        assert len([one for one in said if "nothing was trained, as it has 3 steps already" in one]) == resume


def test_rainy_photos_that_are_given_as_those_without_rain_are_told(folders, tmp_path):
    said: list[str] = []
    train(config(steps=1), folders[0], folders[0] / ".." / folders[0].name, tmp_path / "out", say=said.append)
    assert any("also holds the rainy photos" in one for one in said)


@pytest.mark.parametrize("damage", [lambda c: b"", lambda c: c[:100], lambda c: c[: len(c) // 2], lambda c: b"no zip"])
def test_a_damaged_checkpoint_is_one_sentence(folders, tmp_path, damage):
    train(config(steps=1), *folders, tmp_path / "out")
    file = tmp_path / "out" / "checkpoint.pt"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(TrainingError, match="checkpoint.pt: damaged or not a checkpoint"):
        train(config(), *folders, tmp_path / "out", resume=True)


@pytest.mark.parametrize("loading", ["torch.load", "torch.nn.Module.load_state_dict"])
@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")])
def test_a_checkpoint_that_does_not_fit_into_the_memory_is_not_called_another(
    folders, tmp_path, monkeypatch, loading, error
):
    def fail(*given, **options):
        raise error

    train(config(steps=1), *folders, tmp_path / "out")
    monkeypatch.setattr(loading, fail)
    with pytest.raises(TrainingError, match="out.*: there is not enough memory to go on from it; close other"):
        train(config(), *folders, tmp_path / "out", resume=True)


@pytest.mark.parametrize("missing", ["learner", "step", "seconds", "config"])
def test_a_checkpoint_that_lacks_something_is_one_sentence(folders, tmp_path, missing):
    train(config(steps=1), *folders, tmp_path / "out")
    state = torch.load(tmp_path / "out" / "checkpoint.pt", weights_only=True)
    del state[missing]
    torch.save(state, tmp_path / "out" / "checkpoint.pt")
    with pytest.raises(TrainingError, match="damaged or not a checkpoint"):
        train(config(), *folders, tmp_path / "out", resume=True)


def test_a_log_in_the_way_is_one_sentence_and_a_foreign_one_is_no_matter(folders, tmp_path):
    out = tmp_path / "out"
    (out / "log.jsonl").mkdir(parents=True)
    with pytest.raises(PhotoError, match="log.jsonl: cannot be written"):
        train(config(steps=1), *folders, out)
    (out / "log.jsonl").rmdir()
    (out / "log.jsonl").write_bytes(b'\xff\xfe\n5\n[1]\n{"step": null}\n' + 5000 * b"[" + b"\n")
    train(config(steps=1), *folders, out)
    assert json.loads((out / "log.jsonl").read_text().splitlines()[-1])["step"] == 1


def test_unusable_files_are_skipped_by_name(folders, tmp_path):
    (folders[0] / "notes.txt").write_text("no photo")
    (folders[0] / "broken.jpg").write_bytes(b"\xff\xd8nothing")
    Image.new("RGB", (20, 20)).save(folders[0] / "small.png")
    further = Path(shutil.copytree(folders[1], tmp_path / "further"))
    (further / "torn.jpg").write_bytes(b"\xff\xd8nothing")
    said: list[str] = []
    settings = config(steps=1, pasted=[{"folder": str(further)}])
    train(settings, *folders, tmp_path / "out", say=said.append)
    assert len(said) == 4
    assert all(any(name in line for line in said) for name in ("notes.txt", "broken.jpg", "small.png", "torn.jpg"))


def test_bad_input_is_one_clear_error(folders, tmp_path):
    rainy, clean = folders
    (tmp_path / "empty").mkdir()
    with pytest.raises(TrainingError, match="empty: no photo of at least 48x48"):
        train(config(), tmp_path / "empty", clean, tmp_path / "out1")
    with pytest.raises(TrainingError, match="not a folder"):
        train(config(), rainy, tmp_path / "missing", tmp_path / "out2")
    with pytest.raises(UsageError, match="multiple of 16"):
        config(crop=50)
    with pytest.raises(TrainingError, match="no checkpoint"):
        train(config(), rainy, clean, tmp_path / "out3", resume=True)
    assert not list(tmp_path.glob("out*"))


def test_the_mean_of_the_weights_forgets_fast_at_first_and_is_never_trained():
    network = torch.nn.Linear(1, 1, bias=False)
    mean, seen = RunningMean(network, 0.5, torch.device("cpu")), []
    network.weight.data.fill_(1.0), mean.module.weight.data.fill_(0.0)
    for step in (0, 99):
        mean.begin_step(step)
        mean.end_step()
        seen.append(float(mean.module.weight))
    assert seen == pytest.approx([0.9, 0.95]) and not mean.module.weight.requires_grad


def test_a_run_is_not_overwritten_nor_mistaken(folders, tmp_path):
    train(config(steps=1), *folders, tmp_path / "out")
    with pytest.raises(TrainingError, match="`resume`"):
        train(config(steps=1), *folders, tmp_path / "out")
    with pytest.raises(TrainingError, match="preset 'derain', not 'nlcl'"):
        train(config("nlcl"), *folders, tmp_path / "out", resume=True)
    with pytest.raises(TrainingError, match=r"its network is different \(.*\); give `resume` with the same `config`"):
        train(replace(config(), model={"blocks": [1, 1, 1, 2]}), *folders, tmp_path / "out", resume=True)
    with pytest.raises(TrainingError, match="`seed` 3"):
        train(config(steps=2, seed=1), *folders, tmp_path / "out", resume=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "derain.safetensors").write_bytes(b"mine")
    with pytest.raises(TrainingError, match="derain.safetensors: exists"):
        train(config(steps=1), *folders, tmp_path / "mine")
    assert (tmp_path / "mine" / "derain.safetensors").read_bytes() == b"mine"
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "derain.safetensors").symlink_to("nowhere")
    with pytest.raises(TrainingError, match="derain.safetensors: exists"):
        train(config(steps=1), *folders, tmp_path / "linked")


def test_two_runs_do_not_share_a_folder(folders, tmp_path):
    with alone(tmp_path / "out", tmp_path / "out"), pytest.raises(PhotoError, match="out: another run is writing it"):
        train(config(steps=1), *folders, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert train(config(steps=1), *folders, tmp_path / "out").is_file()


def test_config_file_is_overridden_by_options(tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text('preset = "nlcl"\nlr = 0.5\nsteps = 7\n')
    settings = load_config(file, lr=0.25)
    assert (settings.preset, settings.lr, settings.steps, settings.batch) == ("nlcl", 0.25, 7, 1)
    file.write_text("stepz = 7\n")
    with pytest.raises(TrainingError, match="stepz"):
        load_config(file)
    for wrong in ('lr = "fast"', "steps = 1.5", "whole = 1", "jpeg_quality = 60", "model = 3"):
        file.write_text(wrong)
        with pytest.raises(TrainingError, match="settings.toml: .* give something like"):
            load_config(file)
    file.write_text('precision = "half"')
    with pytest.raises(UsageError, match="half: choose auto"):
        load_config(file)
    for wrong in (
        'pasted = "rendered"',
        "[[pasted]]\nfolder = 3",
        "[[pasted]]\nbank = 7",
        '[[pasted]]\nfolder = "rendered"\nbanks = 7',
    ):
        file.write_text(wrong)
        with pytest.raises(TrainingError, match="settings.toml: pasted must be tables"):
            load_config(file)


@pytest.mark.parametrize(
    "wrong, said",
    [
        ("warm = 1", "warm = 1: must be less than 1"),
        ("warm = -0.1", "warm = -0.1: must be from 0 to 1"),
        ("minutes = 0", "minutes = 0: must be from 1e-06 to"),
        ("minutes = nan", "minutes = nan: must be from"),
        ("steps = -5", "steps = -5: must be from 0 to 1000000000"),
        ("lr = inf", "lr = inf: must be from 1e-12 to 1"),
        ("psnr = nan", "psnr = nan: must be from 0 to 1000"),
        ("squares = -1", "squares = -1: must be from 0 to 1000"),
        ("leftover = -inf", "leftover = -inf: must be from"),
        ("fidelity = nan", "fidelity = nan: must be from"),
        ("flat = nan", "flat = nan: must be from"),
        ("widest = 0", "widest = 0: must be from 0.7 to 10"),
        ("scales = 0", "scales = 0: must be from 1 to 8"),
        ("tries = 0", "tries = 0: must be from"),
        ("crop = 1_000_000_000", "crop = 1000000000: must be from 16 to 4096"),
        ("crop = 0", "crop = 0: must be from"),
        ("batch = 1_000_000_000", "batch = 1000000000: must be from 1 to 4096"),
        ("batch = 4096\ncrop = 4096", "batch = 4096 with crop = 4096: is 68719 megapixels a step; give 67 at most"),
        ("bank = 1_000_000_000", "bank = 1000000000: must be from"),
        ("seed = 1" + 3000 * "0", "seed = 10*...: must be from"),
        ("dry = 1.5", "dry = 1.5: must be from 0 to 1"),
        ("dry = 0.5\ntaught = 0.5", "dry = 0.5, taught = 0.5 and discovered = 0.4: sum to 1.4; .* 1 at most"),
        ('preset = "nlcl"\nwarm = 0.6\ndistilled = 0.6', "warm = 0.6 and distilled = 0.6: sum to 1.2; the most is 1"),
        ('contrast = "x"', "contrast = x: must be one of plain, matched"),
        ("critic = -1", "critic = -1: must be from 0 to 1000"),
        ("jpeg_quality = [96, 60]", ".*the lowest value first"),
        ("jpeg_quality = [0, 60]", "jpeg_quality = .0, 60.: must be from 1 to 100"),
        ("jpeg_quality = [nan, 60]", ".*something like"),
        ('layer_contrast = "x"', "layer_contrast = x: must be one of symmetric, asymmetric"),
        ('preset = "x"', "preset = x: must be one of derain, nlcl"),
        ('[[pasted]]\nfolder = "a"\nbank = -1', "bank = -1: must be from 0"),
        ('minutes = "x"', "minutes = x: give a number from 1e-06 to 527040"),
        ('preset = ["derain"]', ".*something like 'derain'"),
    ],
)
def test_a_setting_out_of_its_bounds_is_named_with_its_value_and_the_bounds(tmp_path, wrong, said):
    file = tmp_path / "settings.toml"
    file.write_text(wrong)
    with pytest.raises(TrainingError, match=f"settings.toml: {said}") as error:
        load_config(file)
    assert len(str(error.value)) < len(str(file)) + 200


def test_every_number_of_the_settings_has_bounds_that_allow_its_default():
    for settings in (TrainConfig(), Pasted("a")):
        for setting in fields(settings):
            numeric = isinstance(setting.default, int | float | tuple) and not isinstance(setting.default, bool)
            assert not numeric or setting.name == "pasted" or "bounds" in setting.metadata, setting.name
    for wrong, said in {float("inf"): "lr = inf: must be", None: "lr = None: give"}.items():  # nothing is read before
        with pytest.raises(UsageError, match=said):
            train(replace(config(), lr=wrong), Path("missing"), Path("missing"), Path("missing"))


@pytest.mark.parametrize(
    "content, said",
    [
        ("model = " + 2000 * "[" + 2000 * "]", "more than 4 deep"),
        ("model = " + 20 * "[" + 20 * "]", "more than 4 deep"),
        ("model = " + 2000 * "{a=" + "1" + 2000 * "}", "more than 4 deep"),
        ("model" + 20_000 * ".a" + " = 1", "more than 100 dots in a line"),
        ("[model" + 90 * ".a" + "]", "more than 4 deep"),
        ("# " + 10**6 * "x", "larger than 64 KiB"),
        ("seed = " + 10_000 * "9", "cannot be read as TOML"),
        ("lr = 'x", "cannot be read as TOML"),
        (2000 * "x" + " = 1", "unknown setting x*[.]{3}$"),
    ],
)
def test_settings_made_to_be_deep_or_long_are_refused_in_a_sentence(tmp_path, content, said):
    file = tmp_path / "settings.toml"
    file.write_text(content)
    with pytest.raises(TrainingError, match=f"settings.toml: .*{said}") as error:
        load_config(file)
    assert len(str(error.value)) < len(str(file)) + 200


def test_minutes_end_a_run_unless_steps_are_given_too(tmp_path):
    (tmp_path / "settings.toml").write_text("steps = 7\n")
    assert load_config(None).steps == 20_000 and load_config(None, minutes=5.0).steps == ENDLESS
    assert load_config(tmp_path / "settings.toml", minutes=5.0).steps == 7


def test_example_configs_load():
    files = list((Path(__file__).parents[1] / "examples").glob("*.toml"))
    assert files and all(load_config(file).preset in file.stem for file in files)


def test_settings_that_no_learner_can_learn_with_are_told_with_their_file_and_asked_about_once(
    folders, tmp_path, monkeypatch
):
    asked, problem = [], Distil.problem
    monkeypatch.setattr(Distil, "problem", staticmethod(lambda config: asked.append(config) or problem(config)))
    (tmp_path / "it.toml").write_text("warm = 1.0")
    words = ["train", "--rainy", folders[0], "--clean", folders[1], "--out", tmp_path / "out"]
    done = CliRunner().invoke(app, [*map(str, words), "--config", str(tmp_path / "it.toml")])
    assert f"{tmp_path / 'it.toml'}: warm = 1" in str(done.exception) and not (tmp_path / "out").exists()
    asked.clear()
    done = CliRunner().invoke(app, [*map(str, words), "--device", "cuda:99"])  # which is not there
    assert "cuda:99" in str(done.exception) and len(asked) == 1
