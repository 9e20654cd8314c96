"""The training loop, for every preset.

All randomness of a step comes from ``(seed, rank, step)``, so a resumed run repeats an undisturbed one exactly. Of
several processes the checkpoint holds the first one's discoveries, with which all go on, be they as many as before or
not: the weights, their optimisers, the step and the learning rate at it are the same for any number, and so are the
crops of those processes that there were before.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from derain.errors import PhotoError, TrainingError, reason
from derain.files.writing import alone
from derain.given import to_path
from derain.restoring.devices import is_out_of_memory, without_autocast
from derain.text import counted, cut
from derain.training.batches import Batches, default_workers
from derain.training.clips import Footage
from derain.training.clock import Clock, Timing
from derain.training.config import TrainConfig, check
from derain.training.crops import Crops, Room
from derain.training.folder import LOG, NO_MEMORY, Log, keep, load_checkpoint, run_folder
from derain.training.interrupts import uninterrupted
from derain.training.learner import Learner, Onlooker, learner_of
from derain.training.places import has_checkpoint, of_one_folder, weights_in
from derain.training.step import Steps
from derain.training.torchrun import from_first, processes

Report = Callable[[int, float, dict[str, float]], None]
LOOKING_TIME_SHARE = 0.1  # of a run, that looking at the photos of a folder may take
FEWEST_STEPS = 50  # that teach anything
TRAINING = "training"  # the stage between others that are shown


def train(  # finetuning gives all of it: an onlooker, its clock and clips, beside what a user gives
    config: TrainConfig,
    rainy: str | Path,
    clean: str | Path,
    out: str | Path,
    resume: bool = False,
    report: Report | None = None,
    say: Callable[[str], None] | None = None,
    onlooker: Onlooker | None = None,
    clock: Clock | None = None,
    footage: list[Footage] | None = None,
    where: str = "",
) -> Path:
    """Train on unpaired folders and return the self-describing weights, ``out/<preset>.safetensors``.

    Args:
        config: settings; on ``resume`` the architecture and the seed must be those of the checkpoint.
        rainy: folder of rainy photos.
        clean: folder of unrelated photos without rain.
        out: folder for the checkpoint, ``log.jsonl``, ``previews/`` and the result; made if missing.
        report: called with step, progress in [0, 1] and losses every ``log_every`` steps.
        say: called with sentences for the user, one for each file that cannot be used among them.
        onlooker: may end the run early.
        clock: that counts ``config.minutes``, with all that an interrupted run took; default: from now.
        footage: clips in which time is to find rain; default: those in ``rainy``.
        where: the beginning of messages about settings.

    Raises:
        PhotoError: another run is at it, or the disk is full.
        TrainingError: folders without usable photos, no permission to write, a checkpoint that does not fit, losses
            that are no numbers any more, or not even time for one step.
        UsageError: a device that is not there.
        WeightsError: weights to start from or to discover rain with that are not there, or a model that cannot be.
    """
    rainy, clean, out = to_path("rainy", rainy), to_path("clean", clean), to_path("out", out)
    check(config, where)
    with (
        processes(config.device) as (rank, device),
        without_autocast(device),
        begun(out, config.preset, resume, (rainy, clean)) as state,
    ):
        say = say if say and rank == 0 else lambda sentence: None
        clock = clock or Clock(config.minutes)
        clock.earlier = state["seconds"] if state else 0.0
        workers = default_workers(device) if config.workers is None else config.workers
        room = Room.of_free_memory(2 + len(config.pasted), copies=2 if workers else 1)
        photos = Photos.found_in(rainy, clean, config.crop, room, clock)
        photos.rainy.footage = photos.rainy.footage if footage is None else footage
        torch.manual_seed(config.seed)
        learner = learner_of(config.preset)(config, device, clock, room)
        if state:
            restore(state, config, learner, out, onlooker)
        left_out = [why for crops in (photos.rainy, photos.clean, *learner.photos) for why in crops.left_out]
        for why in left_out:
            say(f"skipped {why}")
        for sentence in of_one_folder(rainy, clean):
            say(sentence)
        step, trained = (state["step"], state["trained"]) if state else (0, 0.0)
        log, timing = Log(out / LOG, rank, step, left_out), Timing(clock, onlooker, trained)
        steps = Steps(learner, config, device, say)
        run = Run(config, out, rank, learner, photos, steps, timing, log, report, onlooker, step, step, logged=step)
        batches = Batches(learner, config, (photos.rainy, photos.clean), rank, workers, telling(say, log))
        carry_out(run, batches, say)
        if step and run.step == step and not onlooker:
            say(f"{out}: nothing was trained, as it has {counted(step, 'step')} already; give more steps or minutes")
    return weights_in(out, config.preset)


@contextmanager
def begun(out: Path, preset: str, resume: bool, photos: tuple[Path, ...]) -> Iterator[dict[str, Any] | None]:
    """The run's folder, which the first process alone sees and writes, and the checkpoint to go on from, for all.

    Raises:
        PhotoError: another run is at it.
        TrainingError: as :func:`run_folder` and :func:`load_checkpoint`.
    """
    with ExitStack() as held:

        def begin() -> dict[str, Any] | None:
            held.enter_context(alone(out, out))
            held.enter_context(run_folder(out, preset, resume, photos))
            return load_checkpoint(out, preset) if resume else None

        yield from_first(begin)


def carry_out(run: "Run", batches: Batches[Any], say: Callable[[str], None]) -> None:
    """Train to the end. Ctrl-C keeps what was learned; an error says what is there to go on from.

    Raises:
        PhotoError: the disk is full.
        TrainingError: there was no time for a single step, the losses are no numbers any more, or a worker ended.
    """
    try:
        go_on(run, batches)
        end(run, say)
    except KeyboardInterrupt:
        try:
            with uninterrupted():
                if run.rank == 0 and run.whole and run.step > run.kept:
                    run.steps.read()
                    run.keep()
        finally:
            if not run.onlooker:
                say("; ".join([*run.lost, run.way_on]))
        raise
    except (PhotoError, TrainingError) as error:
        raise type(error)(f"{error}; {run.way_on}" if run.step else str(error)) from None
    finally:
        batches.close()


def telling(say: Callable[[str], None], log: Log) -> Callable[[str], None]:
    """A ``say`` that writes each sentence into the log, too."""

    def tell(sentence: str) -> None:
        say(sentence)
        log.tell(sentence)

    return tell


@dataclass(frozen=True)
class Photos:
    """Unpaired: rainy ones, and others without rain."""

    rainy: Crops
    clean: Crops

    @classmethod
    def found_in(cls, rainy: Path, clean: Path, side: int, room: Room, clock: Clock) -> "Photos":
        return cls(*(Crops(folder, side, 0.5, room, clock, LOOKING_TIME_SHARE) for folder in (rainy, clean)))


@dataclass
class Run:
    """A training and how far it came."""

    config: TrainConfig
    out: Path
    rank: int  # of this process
    learner: Learner[Any]
    photos: Photos
    steps: Steps[Any]
    timing: Timing
    log: Log
    report: Report | None
    onlooker: Onlooker | None
    step: int  # of the next batch
    kept: int  # step of the last checkpoint
    whole: bool = True  # whether a run that resumes from here is that of an undisturbed one
    logged: int = 0  # step whose losses were told last

    @property
    def way_on(self) -> str:
        """How to go on after an early end, as a part of a sentence."""
        if self.rank:
            return "the first process says where `resume` continues"
        if has_checkpoint(self.out):
            return f"`resume` continues from step {self.kept}"
        return "no checkpoint was written yet"

    @property
    def lost(self) -> list[str]:
        """What an early end costs, as a part of a sentence, if it costs anything."""
        steps = self.step - self.kept
        return [f"{steps} {'step is' if steps == 1 else 'steps are'} lost"] if steps else []

    def keep(self) -> None:
        keep(self.out, self.config, self.learner, self.step, self.timing, self.photos.rainy, self.onlooker)
        self.kept = self.step


def go_on(run: Run, batches: Batches[Any]) -> None:
    """Step by step to the end, with a checkpoint every so many.

    Raises:
        PhotoError: the disk is full.
        TrainingError: the losses are no numbers any more, or a worker ended.
    """
    config, timing, onlooker = run.config, run.timing, run.onlooker
    ended = False
    while not ended and (progress := timing.progress(run.step, config.steps)) < 1:
        run.whole = not run.learner.due(progress)  # what it discovers until then would be missing
        batch = batches.of(run.step, progress)
        if timing.clock.stage != TRAINING:  # losses may be far off
            timing.clock.show(TRAINING, progress)
        with uninterrupted():
            run.whole = False
            with timing.step():
                run.steps(batch, run.step, progress)
            run.step += 1
            keeping = run.step % config.save_every == 0 and run.rank == 0
            run.whole = not (keeping and onlooker)
            if run.step % config.log_every == 0:
                tell_losses(run, progress)
        if keeping:
            run.steps.read()
            ended = onlooker is not None and onlooker.look(run.step, progress, run.learner.result)
            run.whole = True
            with timing.keeping():
                run.keep()


def tell_losses(run: Run, progress: float) -> None:
    """Tell the losses of the last step to the log and to whoever asked for them."""
    clock, losses = run.timing.clock, run.steps.read()
    losses |= run.learner.distances(losses)
    run.log.write(run.step, clock.spent, losses)
    run.logged = run.step
    if run.report and run.rank == 0:
        over = min(clock.spent / clock.seconds, 1.0) if clock.limited else progress
        run.report(run.step, over, losses)


def end(run: Run, say: Callable[[str], None]) -> None:
    """The last look and checkpoint.

    Raises:
        PhotoError: the disk is full.
        TrainingError: there was no time for a single step.
    """
    step, onlooker = run.step, run.onlooker
    if step == 0 and run.config.steps and not onlooker:
        raise TrainingError(f"{run.out}: time ran out before the first step; give more minutes")
    if run.rank != 0:
        return
    if run.logged < step:
        tell_losses(run, 1.0)
    if run.kept < step or run.config.steps == 0:
        run.steps.read()
        run.whole = not onlooker
        if onlooker:
            onlooker.look(step, 1.0, run.learner.result)
        run.whole = True
        run.keep()
    if run.timing.clock.limited and step < FEWEST_STEPS and not onlooker:
        say(f"{counted(step, 'step')} {'is' if step == 1 else 'are'} too few to learn anything; give more minutes")


def restore(
    state: dict[str, Any], config: TrainConfig, learner: Learner[Any], out: Path, onlooker: Onlooker | None
) -> None:
    """Go on with the learner and the onlooker of a checkpoint.

    Raises:
        TrainingError: it is of another network or seed, or does not fit into the memory.
    """
    try:
        learner.load_state(state["learner"])
        if onlooker:
            onlooker.load_state(state["onlooker"])
    except Exception as error:  # torch raises many kinds where shapes or names differ
        if is_out_of_memory(error):
            raise TrainingError(f"{out}: {NO_MEMORY}") from None
        why = cut(reason(error))
        raise TrainingError(f"{out}: its network is different ({why}); give `resume` with the same `config`") from None
    if state["config"].get("seed") != config.seed:
        raise TrainingError(f"{out}: was begun with another seed; give `seed` {state['config'].get('seed')}")
