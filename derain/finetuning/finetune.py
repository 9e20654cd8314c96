"""``derain finetune``: the network adapted to one camera, from its rainy photos alone.

    finetune(Path("my_rainy"), Path("my_camera.safetensors"))

The rain that the starting network finds in the photos is pasted on the bundled clean pictures and on the derained
photos, and what it makes of rendered rain is kept. A part of the photos is held out and judges.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

import torch

from derain.errors import PhotoError, TrainingError, UsageError, WeightsError
from derain.files.writing import UNFINISHED_SUFFIX, alone, check_name, write_bytes
from derain.finetuning.best import Best
from derain.finetuning.change import CHANGES, check_change
from derain.finetuning.guide import load_guide
from derain.finetuning.handing_back import handed_back, save_best
from derain.finetuning.judge import Earlier, Extent, Judge, Scores
from derain.finetuning.material import (
    LEAST_JUDGING,
    check_folder,
    prepare,
)
from derain.finetuning.places import INTERRUPTED, work_folder
from derain.finetuning.recipe import configured
from derain.finetuning.run import PHOTOS, Run, clean_up, remembered, run_folder
from derain.finetuning.summary import notes, summarise
from derain.given import to_path
from derain.models import describe
from derain.models.contract import Derainer, device_of
from derain.photos import find_photos
from derain.restoring.devices import choose_device, without_autocast
from derain.text import counted
from derain.training.clock import Clock, OutOfTime, Watch
from derain.training.config import TrainConfig
from derain.training.loop import Report, train
from derain.training.places import has_checkpoint, of_one_folder
from derain.training.ranks import number_of, under_torchrun
from derain.weights import bundled_folder, fingerprint, load

P = ParamSpec("P")
DEFAULT_MINUTES = {"cpu": 15.0, "cuda": 3.0}  # of the whole run
SUMMARY_TIME_SHARE, LONGEST_SUMMARY = 0.08, 60.0  # of the run's time, and in seconds: kept for saving and the summary
BLENDS = (0.35, 0.65, 1.0)  # of the way from the starting weights to the trained ones: less of it forgets less


@dataclass(frozen=True)
class Result:
    """What came of it."""

    weights: Path
    summary: Path
    before: Scores  # NaN if nothing was judged
    after: Scores
    steps: int  # until the best weights; 0: none were better, and you get the starting weights back
    interrupted: bool
    judged: bool = True  # False: the time was over before
    verdict: str = ""  # what the difference is worth, in a sentence; empty if nothing was judged

    @property
    def better(self) -> bool:
        return self.steps > 0

    @property
    def can_go_on(self) -> bool:
        """Whether an interrupted run left a checkpoint."""
        return has_checkpoint(work_folder(self.weights))


def one_at_a_time(
    tune: Callable[Concatenate[Path, Path, P], "Result"],
) -> Callable[Concatenate[str | Path, str | Path, P], "Result"]:
    """``tune``, of which one run at a time makes the same weights; names of files may be strings."""

    @wraps(tune)
    def alone_with(rainy: str | Path, out: str | Path, *rest: P.args, **settings: P.kwargs) -> Result:
        rainy, out = to_path("rainy", rainy), to_path("out", out)
        check_name(out, UNFINISHED_SUFFIX)
        with alone(out.with_name(out.name + UNFINISHED_SUFFIX), out):
            return tune(rainy, out, *rest, **settings)

    return alone_with


@one_at_a_time
def finetune(  # the whole of what a caller may choose
    rainy: Path,
    out: Path,
    clean: str | Path | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    change: str = "medium",
    start: str | Path = "derain",
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    report: Report | None = None,
    say: Callable[[str], None] | None = None,
    watch: Watch | None = None,
    began: float | None = None,
    **settings: Any,
) -> Result:
    """Adapt weights of preset derain to the photos and clips in ``rainy``. Nothing else is needed.

    Args:
        out: the self-describing weights; beside them stands a folder with log, previews and summary.
        clean: photos without rain, instead of the bundled ones.
        minutes: for the whole run, in wall-clock time; default: 15 on a CPU, 3 on a GPU. Every stage has its share,
            and the learning rate follows the clock.
        steps: train for this many steps, instead of minutes.
        change: low, medium or high: how far the weights may move.
        start: weights to begin with.
        resume: continue a run that was killed or interrupted.
        overwrite: replace ``out`` and the folder of an earlier run.
        report: called with step, progress in [0, 1] and losses.
        say: called with sentences for the user.
        watch: called with what is being done and the share of the run that is over, in [0, 1].
        began: what ``time.monotonic`` was as the run began, from which the minutes count; default: now.
        settings: of :class:`TrainConfig`, for experiments.

    Raises:
        PhotoError: the results cannot be written, or another run is at it.
        TrainingError: fewer than four usable photos, or no rain in two of them.
        UsageError: results that exist or would replace what is given, an unknown strength of change, several processes,
            or a run to resume that began with other weights or photos.
        WeightsError: weights that are missing, or of another preset.
    """
    say = say or (lambda sentence: None)
    start = str(start)
    bank = to_path("clean", clean) if clean else bundled_folder() / "finetune" / "clean"
    lr = checked(change, rainy, bank)
    for sentence in of_one_folder(rainy, bank):
        say(sentence)
    recipe = {"start": start, "device": device, "lr": lr, "minutes": minutes, "steps": steps} | settings
    scales = configured((0.0, TrainConfig.jpeg_quality), recipe).scales  # refused before anything is loaded
    chosen = choose_device(device)
    if steps is None and minutes is None:
        recipe["minutes"] = minutes = DEFAULT_MINUTES.get(chosen.type, DEFAULT_MINUTES["cpu"])
    network = starting_network(start, chosen)
    blends = [blend for blend in BLENDS if blend <= CHANGES[change].furthest]
    with run_folder(out, (rainy, bank), Path(start), resume, overwrite) as work, without_autocast(chosen):
        memory = remembered(work, fingerprint(network), start) if resume else {}
        clock = clock_of_run(minutes, began, watch, memory)
        run = Run(network, rainy, bank, work, recipe, scales, blends, clock, memory, say, report)
        adapt(run)
        result = handed_back(run)
        with saying_how_to_go_on(work):
            tuned = save_best(run, result, out)
            summary = summarise(run, tuned, result)
    if run.interrupted:
        write_bytes(work / INTERRUPTED, b"")
    else:
        clean_up(work)
    return Result(
        out, summary, result.before, result.after, result.step, run.interrupted, result.judged, result.verdict
    )


@contextmanager
def saying_how_to_go_on(work: Path) -> Iterator[None]:
    """Let what cannot be written of the results of a run say that nothing is lost.

    Raises:
        PhotoError: something cannot be written.
    """
    try:
        yield
    except PhotoError as error:
        raise PhotoError(f"{error}; `resume` tries again" if has_checkpoint(work) else str(error)) from None


def starting_network(start: str, device: torch.device) -> Derainer:
    """
    Raises:
        WeightsError: there are no such weights, or they are of another preset.
    """
    network = load(start, device)
    if (preset := describe(network)[0]) != "derain":
        raise WeightsError(f"{start}: is of preset {preset!r}; only weights of preset 'derain' can be finetuned")
    return network


def clock_of_run(minutes: float | None, began: float | None, watch: Watch | None, memory: dict[str, Any]) -> Clock:
    clock = Clock(minutes, began, watch)
    clock.earlier = memory.get("seconds", 0.0)
    clock.after = min(SUMMARY_TIME_SHARE * clock.seconds, LONGEST_SUMMARY) if clock.limited else 0.0
    return clock


def checked(change: str, rainy: Path, bank: Path) -> float:
    """The learning rate of a strength of change, and nothing against what is given.

    Raises:
        TrainingError: no folder of photos, or no photos without rain.
        UsageError: an unknown strength of change, or several processes.
    """
    if under_torchrun() and number_of("WORLD_SIZE") > 1:
        raise UsageError("torchrun: finetuning runs as one process; start it without torchrun")
    check_change(change)
    if not (bank.is_dir() and find_photos(bank)):
        raise TrainingError(f"{bank}: holds no photos; give a folder of photos without rain")
    check_folder(rainy)  # before an earlier run is removed
    return CHANGES[change].lr


def adapt(run: Run) -> None:
    """Look at the photos, make the judge and train, as far as the clock or Ctrl-C lets it."""
    memory, clock, say = run.memory, run.clock, run.say
    try:
        say("looking for rain in the photos")
        run.material = prepare(run.rainy, run.work / PHOTOS, run.network, run.scales, say, clock)
        for sentence in notes(run.material).items():
            say(": ".join(sentence))
        known = {"extent", "begun"} <= memory.keys()
        earlier = Earlier(Extent(**memory["extent"]), Scores.noted(memory["begun"])) if known else None
        guide = load_guide(device_of(run.network))
        judging = run.material.footage(run.rainy, judging=True)
        run.judge = Judge(run.network, run.material, find_photos(run.bank), guide, run.scales, clock, earlier, judging)
        pictures, held_out, moments = len(run.material.sources), len(run.judge.trials), len(run.judge.timed)
        beside = f", and {counted(moments, 'moment')} of clips" if moments else ""
        say(f"{counted(pictures, 'picture')}, {held_out} of them held out to judge{beside}")
        if held_out + moments < LEAST_JUDGING:
            say(f"that is too few to tell better weights from lucky ones: give {run.lack}")
        run.best = Best(run.judge, run.blends, say, memory.get("start"))
        if memory:
            run.best.load_state(memory)
        config = configured(run.material.jpeg, run.recipe)
        clips = run.material.footage(run.rainy)
        train(
            config,
            run.material.training,
            run.bank,
            run.work,
            bool(memory),
            run.report,
            run.hear,
            run.best,
            clock,
            clips,
        )
    except OutOfTime:
        pass
    except KeyboardInterrupt:
        if run.best is None:
            raise
        run.interrupted = True
