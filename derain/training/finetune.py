"""``derain finetune``: the network adapted to one camera, from its rainy photos alone.

    finetune(Path("my_rainy"), Path("my_camera.safetensors"))

The rain that the starting network finds in the photos is pasted on the bundled clean pictures and on the derained
photos, and what it makes of rendered rain is kept. A part of the photos is held out and judges.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

from derain.devices import choose_device
from derain.errors import TrainingError, UsageError, WeightsError, reason
from derain.evaluation.evaluate import evaluate
from derain.evaluation.report import Gallery, as_html
from derain.evaluation.samples import open_samples
from derain.files import UNFINISHED, alone, check_name, write_bytes
from derain.models import describe
from derain.models.contract import Derainer
from derain.photos import find_photos
from derain.training import checkpoint, folder
from derain.training.best import Best
from derain.training.config import TrainConfig, load_config
from derain.training.guide import load_guide
from derain.training.judge import Judge, Scores
from derain.training.loop import Report, train
from derain.training.material import LOSSY, Material, check_folder, forget, prepare
from derain.training.torchrun import number_of, under_torchrun
from derain.weights import bundled_folder, load, save

P = ParamSpec("P")
CHANGE = {"low": (1e-4, 0.35), "medium": (4e-4, 0.65), "high": (8e-4, 1.0)}  # learning rate at its peak, most of SHARES
MINUTES = {"cpu": 13.0, "cuda": 2.0}  # of training, without what is before and after it
SUMMARY = "summary.html"
PHOTOS = "photos"
INTERRUPTED = "interrupted"  # an empty file: the weights that were handed back are not the end
SCALES = 3  # at which rain is discovered
SHARES = (0.35, 0.65, 1.0)  # of the way from the starting weights to the trained ones: less of it forgets less


@dataclass(frozen=True)
class Result:
    """What came of it."""

    weights: Path
    summary: Path
    before: Scores
    after: Scores
    steps: int  # until the best weights; 0: none were better, and the starting weights are handed back
    interrupted: bool

    @property
    def better(self) -> bool:
        return self.steps > 0


def work_folder(out: Path) -> Path:
    """Where the run that makes ``out`` has its checkpoint, log, previews and summary."""
    return out.with_suffix(".finetune")


def one_at_a_time(
    tune: Callable[Concatenate[Path, Path, P], "Result"],
) -> Callable[Concatenate[Path, Path, P], "Result"]:
    """The same for one run at a time of those that make the same weights."""

    @wraps(tune)
    def alone_with(rainy: Path, out: Path, *rest: P.args, **settings: P.kwargs) -> Result:
        check_name(out, UNFINISHED)
        with alone(out.with_name(out.name + UNFINISHED), out):
            return tune(rainy, out, *rest, **settings)

    return alone_with


@one_at_a_time
def finetune(
    rainy: Path,
    out: Path,
    clean: Path | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    change: str = "medium",
    start: str = "derain",
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    report: Report | None = None,
    say: Callable[[str], None] | None = None,
    **settings: Any,
) -> Result:
    """Adapt weights of preset derain to the photos and clips in ``rainy``; nothing but these is needed.

    Args:
        out: the self-describing weights; beside them stands a folder with log, previews and summary.
        clean: photos without rain, instead of the bundled ones.
        minutes: of training; default: 13 on a CPU, 2 on a GPU. The learning rate follows the clock.
        steps: instead of minutes.
        change: low, medium or high: how far the weights may move.
        start: weights to begin with.
        resume: go on with a run that was killed or interrupted.
        overwrite: replace ``out`` and the folder of an earlier run.
        report: called with step, progress in [0, 1] and losses.
        say: called with sentences for the user.
        settings: of :class:`TrainConfig`, for experiments.

    Raises:
        PhotoError: the disk is full, or another run is at it.
        TrainingError: fewer than four usable photos, no rain in two of them, or no room to write.
        UsageError: results that exist or would replace what is given, an unknown strength of change, several processes,
            or a run to resume that began with other weights.
        WeightsError: weights that are missing, of another preset, or cannot be written.
    """
    say = say or (lambda sentence: None)
    if under_torchrun() and number_of("WORLD_SIZE") > 1:
        raise UsageError("torchrun: finetuning runs as one process; start it without torchrun")
    if change not in CHANGE:
        raise UsageError(f"--strength-of-change {change}: choose one of {', '.join(CHANGE)}")
    bank = clean or bundled_folder() / "finetune" / "clean"
    if not (bank.is_dir() and find_photos(bank)):
        raise TrainingError(f"{bank}: holds no photos; give a folder of photos without rain")
    if not resume:
        check_folder(rainy)  # before an earlier run is removed
    chosen = choose_device(device)
    network = load(start, chosen)
    if (preset := describe(network)[0]) != "derain":
        raise WeightsError(f"{start}: is of preset {preset!r}; only weights of preset 'derain' can be finetuned")
    work = begin(out, (rainy, bank, Path(start)), resume, overwrite)
    say("looking for rain in the photos")
    material = prepare(rainy, work / PHOTOS, network, SCALES, say)
    judge = Judge(network, material, find_photos(bank), load_guide(chosen), SCALES)
    say(f"{len(material.sources)} pictures, {len(judge.trials)} of them held out to judge")
    if steps is None and minutes is None:
        minutes = MINUTES.get(chosen.type, MINUTES["cpu"])
    lr, furthest = CHANGE[change]
    config = configured(material, start, device, lr, minutes, steps, settings)
    best = Best(judge, [share for share in SHARES if share <= furthest], say)
    interrupted, going_on = False, resume and checkpoint.exists(work)
    if going_on:
        memory = checkpoint.load_checkpoint(work, preset)["onlooker"]
        if memory.get("start", best.start) != best.start:  # older checkpoints do not say
            raise UsageError(f"{work}: was begun with other weights than {start}; give --resume with its --start")
        best.load_state(memory)
    try:
        train(config, material.training, bank, work, going_on, report, say, best)
    except KeyboardInterrupt:
        interrupted = True
    if interrupted and not best.looked:
        say("interrupted before anything was judged: the starting weights are handed back")
    elif best.tensors is None:
        say("no better than the starting weights on the held-out photos: these are handed back")
    tuned = load(start, chosen)
    if best.tensors is not None:
        tuned.load_state_dict(best.tensors)
    note = replace(config, device="").as_dict() | {
        "start": Path(start).name if Path(start).is_file() else start,
        "steps": best.step,
        "finetuned": {"photos": len(material.sources), "before": judge.start.as_dict(), "after": best.scores.as_dict()},
    }
    save(tuned, out, training=note)
    summary = summarise(work, material, rainy.name, network, tuned)
    if interrupted:
        (work / INTERRUPTED).touch()
    else:
        clean_up(work)
    return Result(out, summary, judge.start, best.scores, best.step, interrupted)


def begin(out: Path, given: tuple[Path, ...], resume: bool, overwrite: bool) -> Path:
    """The folder of the run; nothing of an earlier one is lost unasked, and nothing that the run is ``given`` ever.

    Raises:
        TrainingError: the folder cannot be made ready.
        UsageError: results that exist, or in the place of what is given.
    """
    if out.suffix != ".safetensors":
        raise UsageError(f"{out}: the result is weights; give a name that ends in .safetensors")
    work = work_folder(out)
    for path in given:
        if {out.resolve(), work.resolve()} & {path.resolve(), *path.resolve().parents}:
            raise UsageError(f"{out}: with {work.name} beside it, it would replace {path}; give another -o")
    if resume:
        if out.exists() and not checkpoint.exists(work) and not (work / INTERRUPTED).exists():
            raise UsageError(f"{out}: is finished, there is nothing to resume; give --overwrite to begin anew")
    else:
        for path in (out, work / checkpoint.NAME, work / SUMMARY):
            if path.exists() and not overwrite:
                raise UsageError(f"{path}: exists; give --resume to go on, --overwrite to replace it, or another -o")
    try:
        work.mkdir(parents=True, exist_ok=True)
        if not resume:
            folder.forget(work, "derain")
            forget(Material(work / PHOTOS, []))
            for name in (SUMMARY, INTERRUPTED):
                (work / name).unlink(missing_ok=True)
    except OSError as error:
        raise TrainingError(f"{work}: cannot be made ready ({reason(error)})") from None
    return work


def configured(
    material: Material,
    start: str,
    device: str,
    lr: float,
    minutes: float | None,
    steps: int | None,
    settings: dict[str, Any],
) -> TrainConfig:
    """Settings of the run; what the photos' JPEG does to rain is done to what is pasted."""
    share, quality = material.jpeg
    recipe: dict[str, Any] = {
        "start": start,
        "device": device,
        "lr": lr,
        "minutes": minutes,
        "warm": 0.0,
        "rounds": 2,
        "scales": SCALES,
        "strict": True,
        "bank": 96,
        "discovered": 0.45 if share > LOSSY else 0.3,
        "alike": 1.0,
        "own": 0.2 if share > LOSSY else 0.4,  # what JPEG makes of streaks stays in derained photos
        "taught": 0.0,
        "dry": 0.12,
        "leftover": 1.0 if share > LOSSY else 1.5,
        "squares": 5.0,
        "psnr": 0.0,
        "remember": True,
        "guided": 0.002,
        "jpeg": max(share, TrainConfig.jpeg),
        "jpeg_quality": quality,
        "save_every": 100,
    }
    return load_config(None, **(recipe | {"steps": steps} | settings))


def summarise(work: Path, material: Material, name: str, start: Derainer, tuned: Derainer) -> Path:
    """Write the summary: the held-out photos before and after, with scores that need no truth."""
    gallery = Gallery()
    networks = {"finetuned": tuned, "start": start}
    found = evaluate(open_samples(material.held_out), networks, watch=gallery.watch)
    page = as_html(found, gallery, f"{name}, finetuned", {"photos": str(material.held_out)})
    write_bytes(work / SUMMARY, page.encode(errors="replace"))
    return work / SUMMARY


def clean_up(work: Path) -> None:
    """A finished run needs neither its checkpoint nor the weights that were not the best."""
    for leftover in (work / checkpoint.NAME, folder.weights_in(work, "derain"), work / INTERRUPTED):
        leftover.unlink(missing_ok=True)
