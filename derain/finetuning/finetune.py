"""``derain finetune``: the network adapted to one camera, from its rainy photos alone.

    finetune(Path("my_rainy"), Path("my_camera.safetensors"))

The rain that the starting network finds in the photos is pasted on the bundled clean pictures and on the derained
photos, and what it makes of rendered rain is kept. A part of the photos is held out and judges.
"""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

import torch

from derain.errors import TrainingError, UsageError, WeightsError, reason
from derain.evaluation.evaluate import Evaluation, evaluate
from derain.evaluation.report import Gallery, as_html
from derain.evaluation.samples import INPUT, Sample, open_samples
from derain.files.writing import UNFINISHED_SUFFIX, alone, check_name, write_bytes
from derain.finetuning.best import Best
from derain.finetuning.change import CHANGES, check_change
from derain.finetuning.guide import load_guide
from derain.finetuning.judge import Earlier, Extent, Judge, Scores
from derain.finetuning.material import (
    LEAST_JUDGING,
    LOOK_WINDOW,
    MOSTLY_JPEG,
    Material,
    Source,
    check_folder,
    check_same,
    forget,
    prepare,
    remove_copies,
    remove_if_empty,
    some,
)
from derain.finetuning.places import INTERRUPTED, SUMMARY, check_result, work_folder
from derain.finetuning.verdict import MORE_PHOTOS, in_words, verdict
from derain.models import describe
from derain.models.contract import Derainer
from derain.photos import find_photos
from derain.restoring.devices import choose_device
from derain.training import folder
from derain.training.clock import Clock, OutOfTime, Watch
from derain.training.config import TrainConfig, load_config
from derain.training.crops import centre
from derain.training.loop import Report, train
from derain.training.places import CHECKPOINT, has_checkpoint, weights_in
from derain.training.ranks import number_of, under_torchrun
from derain.video.naming import CLIPS
from derain.weights import bundled_folder, fingerprint, load, save

P = ParamSpec("P")
DEFAULT_MINUTES = {"cpu": 15.0, "cuda": 3.0}  # of the whole run
FEWEST_STEPS = 20  # from which a run can have learned something
SUMMARY_TIME_SHARE, LONGEST_SUMMARY = 0.08, 60.0  # of the run's time, and in seconds: kept for saving and the summary
SUMMARY_SLOWNESS = 8.0  # how many times longer than in a judgement a pixel takes in the summary, as a first guess
LEAST_SIDE_SHOWN = 128  # px, of a photo in the summary
PHOTOS = "photos"
SCALES = 3  # at which rain is discovered
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


@dataclass
class Run:
    """What a run is given, and how far it came."""

    network: Derainer  # that it starts from
    rainy: Path
    bank: Path  # photos without rain
    work: Path  # the folder beside the weights
    recipe: dict[str, Any]  # settings of the training
    blends: list[float]
    clock: Clock
    memory: dict[str, Any]  # of the sessions before; see remembered
    say: Callable[[str], None]
    report: Report | None = None
    material: Material | None = None
    judge: Judge | None = None
    best: Best | None = None
    interrupted: bool = False
    heard: list[str] = field(default_factory=list)  # what the training said

    def hear(self, sentence: str) -> None:
        self.heard.append(sentence)
        self.say(sentence)


def one_at_a_time(
    tune: Callable[Concatenate[Path, Path, P], "Result"],
) -> Callable[Concatenate[Path, Path, P], "Result"]:
    """The same for one run at a time of those that make the same weights."""

    @wraps(tune)
    def alone_with(rainy: Path, out: Path, *rest: P.args, **settings: P.kwargs) -> Result:
        check_name(out, UNFINISHED_SUFFIX)
        with alone(out.with_name(out.name + UNFINISHED_SUFFIX), out):
            return tune(rainy, out, *rest, **settings)

    return alone_with


@one_at_a_time
def finetune(  # the whole of what a caller may choose
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
        PhotoError: the disk is full, or another run is at it.
        TrainingError: fewer than four usable photos, no rain in two of them, or no room to write.
        UsageError: results that exist or would replace what is given, an unknown strength of change, several processes,
            or a run to resume that began with other weights or photos.
        WeightsError: weights that are missing, of another preset, or cannot be written.
    """
    say = say or (lambda sentence: None)
    bank = clean or bundled_folder() / "finetune" / "clean"
    lr = checked(change, rainy, bank)
    recipe = {"start": start, "device": device, "lr": lr, "minutes": minutes, "steps": steps} | settings
    configured((0.0, TrainConfig.jpeg_quality), recipe)  # refused before anything is loaded
    chosen = choose_device(device)
    if steps is None and minutes is None:
        recipe["minutes"] = minutes = DEFAULT_MINUTES.get(chosen.type, DEFAULT_MINUTES["cpu"])
    network = starting_network(start, chosen)
    blends = [blend for blend in BLENDS if blend <= CHANGES[change].furthest]
    with run_folder(out, (rainy, bank, Path(start)), resume, overwrite) as work:
        memory = remembered(work, fingerprint(network), start) if resume else {}
        check_same(rainy, work / PHOTOS)
        clock = clock_of_run(minutes, began, watch, memory)
        run = Run(network, rainy, bank, work, recipe, blends, clock, memory, say, report)
        adapt(run)
        result = handed_back(run)
        tuned = save_best(run, result, out)
        summary = summarise(run, tuned, result)
    if run.interrupted:
        write_bytes(work / INTERRUPTED, b"")
    else:
        clean_up(work)
    return Result(
        out, summary, result.before, result.after, result.step, run.interrupted, result.judged, result.verdict
    )


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
        run.material = prepare(run.rainy, run.work / PHOTOS, run.network, SCALES, say, clock)
        for sentence in notes(run.material).items():
            say(": ".join(sentence))
        known = {"extent", "begun"} <= memory.keys()
        earlier = Earlier(Extent(**memory["extent"]), Scores(**memory["begun"])) if known else None
        guide = load_guide(next(run.network.parameters()).device)
        judging = run.material.footage(run.rainy, judging=True)
        run.judge = Judge(run.network, run.material, find_photos(run.bank), guide, SCALES, clock, earlier, judging)
        pictures, held_out, moments = len(run.material.sources), len(run.judge.trials), len(run.judge.timed)
        beside = f", and {moments} moments of clips" if moments else ""
        say(f"{pictures} pictures, {held_out} of them held out to judge{beside}")
        if held_out + moments < LEAST_JUDGING:
            say(f"that is too few to tell better weights from lucky ones: {MORE_PHOTOS}")
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


@dataclass(frozen=True)
class HandedBack:
    """The weights that a run hands back, and how they were judged."""

    tensors: dict[str, torch.Tensor] | None  # of the starting weights if None
    before: Scores
    after: Scores
    step: int
    judged: bool
    verdict: str = ""  # what the difference is worth, in a sentence
    tried: list[Scores] = field(default_factory=list)  # of all weights that were judged

    @property
    def better(self) -> bool:
        return self.tensors is not None


def handed_back(run: Run) -> HandedBack:
    """The best weights of the run, or of the sessions before it, if they are surely better; else a sentence says why
    not.
    """
    found = best_of(run)
    if found.tensors is None:
        said = why_none(run, found)
        run.say(said)
        return replace(found, verdict=said)
    worth = verdict(found.before, found.after, found.tried)
    if worth.better:
        return replace(found, verdict=str(worth))
    said = f"{worth}; you get the starting weights back"
    run.say(said)
    return HandedBack(None, found.before, found.before, 0, found.judged, said)


def best_of(run: Run) -> HandedBack:
    """What was judged to be best, however little better."""
    memory = run.memory
    if best := run.best:
        return HandedBack(best.tensors, best.judge.start, best.scores, best.step, best.looked, tried=best.tried)
    if "begun" in memory:
        before, after = Scores(**memory["begun"]), Scores(**memory["scores"])
        tried = [Scores(**scores) for scores in memory.get("tried", ())]
        return HandedBack(memory["tensors"], before, after, memory["step"], judged=True, tried=tried)
    return HandedBack(None, Scores.unknown(), Scores.unknown(), 0, judged=False)


def why_none(run: Run, found: HandedBack) -> str:
    """Why no weights are better than those at the start."""
    back = "you get the starting weights back"
    if run.interrupted and not found.judged:
        return f"interrupted before anything was judged: {back}"
    if not found.judged:
        return f"too little time to learn anything: {back}; give more minutes"
    if run.best and run.best.judge.clock.limited and run.best.reached < FEWEST_STEPS:
        return (
            f"only {run.best.reached} steps fitted into the time, too few to learn anything: {back}; give more minutes"
        )
    return f"no better than the starting weights on the held-out photos: {back}"


def save_best(run: Run, found: HandedBack, out: Path) -> Derainer:
    """Write the weights that are handed back, and give their network.

    Raises:
        WeightsError: they cannot be written.
    """
    tuned = load(run.recipe["start"], next(run.network.parameters()).device)
    if found.tensors is not None:
        tuned.load_state_dict(found.tensors)
    save(tuned, out, training=noted(run, found))
    return tuned


def remembered(work: Path, digest: str, start: str) -> dict[str, Any]:
    """What the checkpoint of an interrupted run knows of its best weights, and the seconds that it took; empty if there
    is none.

    Raises:
        TrainingError: it is damaged, or not of finetuning.
        UsageError: the run began with weights of another ``digest``.
    """
    if not has_checkpoint(work):
        return {}
    state = folder.load_checkpoint(work, "derain")
    memory = state.get("onlooker")
    if not isinstance(memory, dict) or {"tensors", "scores", "step", "gain", "waited"} - memory.keys():
        raise TrainingError(f"{work}: its checkpoint is not one of finetuning; give `overwrite` to start over")
    if memory.get("start", digest) != digest:  # older checkpoints do not say
        raise UsageError(f"{work}: was begun with weights other than {start}; give `resume` with the same `start`")
    return memory | {"seconds": state["seconds"], "start": digest}


def notes(material: Material) -> dict[str, str]:
    """What a user should know of the photos."""
    lists = {"no rain found in": material.dry, "rain but no clear streaks to learn from in": material.unclear}
    found = {what: some(names) for what, names in lists.items() if names}
    if material.unseen:
        found["not looked at"] = f"{material.unseen} of the files; there was no time, so give more minutes"
    return found


def noted(run: Run, found: HandedBack) -> dict[str, Any]:
    """What the weights say of their training."""
    start = run.recipe["start"]
    jpeg = run.material.jpeg if run.material else (0.0, TrainConfig.jpeg_quality)
    return replace(configured(jpeg, run.recipe), device="", workers=None).as_dict() | {
        "start": Path(start).name if Path(start).is_file() else start,
        "steps": found.step,
        "finetuned": {
            "photos": len(run.material.sources) if run.material else 0,
            "before": found.before.as_dict(),
            "after": found.after.as_dict(),
        },
    }


@contextmanager
def run_folder(out: Path, given: tuple[Path, ...], resume: bool, overwrite: bool) -> Iterator[Path]:
    """The folder of the run, in the end without copies of the user's pictures, and gone if nothing is left in it.

    Raises:
        TrainingError: the folder cannot be made ready.
        UsageError: results that exist, or in the place of what is given.
    """
    work = begin(out, given, resume, overwrite)
    try:
        yield work
    finally:
        remove_copies(work / PHOTOS)
        remove_if_empty(work)


def begin(out: Path, given: tuple[Path, ...], resume: bool, overwrite: bool) -> Path:
    """The folder of the run; nothing of an earlier one is lost unasked, and nothing that the run is ``given`` ever.

    Raises:
        TrainingError: the folder cannot be made ready.
        UsageError: results that exist, or in the place of what is given.
    """
    check_result(out, given, resume, overwrite)
    work = work_folder(out)
    try:
        if work.is_symlink():
            raise OSError(errno.ELOOP, "is a link, and results are not written through links")
        work.mkdir(parents=True, exist_ok=True)
        if not resume:
            folder.forget(work, "derain")
            forget(work / PHOTOS)
            for name in (SUMMARY, INTERRUPTED):
                (work / name).unlink(missing_ok=True)
    except OSError as error:
        raise TrainingError(f"{work}: cannot be prepared ({reason(error)})") from None
    return work


def configured(jpeg: tuple[float, tuple[int, int]], chosen: dict[str, Any]) -> TrainConfig:
    """Settings of the run; what the photos' JPEG (:attr:`Material.jpeg`) does to rain is done to what is pasted.

    Raises:
        TrainingError: a value that cannot be among those ``chosen``.
    """
    share, quality = jpeg
    recipe: dict[str, Any] = {
        "warm": 0.0,
        "warm_up": 0.1,  # at full rate the first steps undo more than they teach
        "timed": 0.2,
        "timed_pasted": 0.3,
        "clips": 96,
        "rounds": 2,
        "scales": SCALES,
        "strict": True,
        "bank": 96,
        "discovered": 0.45 if share > MOSTLY_JPEG else 0.3,
        "alike": 1.0,
        "own": 0.2 if share > MOSTLY_JPEG else 0.4,  # what JPEG makes of streaks stays in derained photos
        "taught": 0.0,
        "dry": 0.12,
        "leftover": 1.0 if share > MOSTLY_JPEG else 1.5,
        "squares": 5.0,
        "psnr": 0.0,
        "remember": True,
        "guided": 0.002,
        "jpeg": max(share, TrainConfig.jpeg),
        "jpeg_quality": quality,
        "save_every": 100,
    }
    return load_config(None, **(recipe | chosen))


def summarise(run: Run, tuned: Derainer, result: HandedBack) -> Path:
    """Write the summary: the verdict, and the held-out photos before and after, with scores that need no truth."""
    networks, name = {"finetuned": tuned, "start": run.network}, run.rainy.name
    gallery, remarks = Gallery(), {"photos": name}
    found = Evaluation([INPUT, *networks])
    if run.material:
        remarks |= notes(run.material) | ({"clips": "; ".join(run.heard)} if run.heard else {})
        given = open_samples(run.material.held_out)
        given.samples = under_their_names(given.samples, run.material)
        pace = SUMMARY_SLOWNESS * run.judge.pace / LOOK_WINDOW**2 if run.judge else 0.0
        given.samples = in_time(given.samples, given.total or 1, run.clock, pace)
        found = evaluate(given, networks, watch=gallery.watch)
        if len(found.rows) < (given.total or 0):
            remarks["shown"] = f"{len(found.rows)} of {given.total} held-out photos, as time was short"
    told = [result.verdict, *(in_words(result.before, result.after) if result.better else ())]
    page = as_html(found, gallery, f"{name}, finetuned", remarks, told)
    write_bytes(run.work / SUMMARY, page.encode(errors="replace"))
    return run.work / SUMMARY


def under_their_names(samples: Iterator[Sample], material: Material) -> Iterator[Sample]:
    """The samples under the names of the user's files."""
    names = {Path(source.file).name: shown_name(source) for source in material.sources}
    for sample in samples:
        yield replace(sample, name=names[sample.name])


def shown_name(source: Source) -> str:
    """The user's file, and of a clip which of its frames."""
    moving = Path(source.name).suffix.lower() in CLIPS
    return f"{source.name}, frame {source.frame + 1}" if moving else source.name


def in_time(samples: Iterator[Sample], total: int, clock: Clock, pace: float) -> Iterator[Sample]:
    """The samples, cut to their middle and as many as there is time for, if scoring takes ``pace`` seconds a pixel."""
    for number, sample in enumerate(samples):
        clock.show("summing up", number / total)
        if clock.limited:
            affordable = max(clock.left, 0.0) / max(pace, 1e-9)  # px of all that is left
            side = max(affordable / (total - number), min(affordable, LEAST_SIDE_SHOWN**2)) ** 0.5
            if side < LEAST_SIDE_SHOWN:
                return
            sample = replace(sample, rainy=centre(sample.rainy, int(side)))
        began = clock.spent
        yield sample
        pace = max(pace, 1.2 * (clock.spent - began) / sample.rainy[..., 0].size)


def clean_up(work: Path) -> None:
    """A finished run needs neither its checkpoint nor the weights that were not the best, nor to know its photos."""
    for leftover in (work / CHECKPOINT, weights_in(work, "derain"), work / INTERRUPTED):
        leftover.unlink(missing_ok=True)
    forget(work / PHOTOS)
