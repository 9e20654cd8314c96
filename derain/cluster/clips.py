"""Clips on a cluster: Ray hands out their segments, and gives those of a process that dies to another."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import torch

import derain
from derain.cluster.connecting import connected
from derain.cluster.crew import cause_of
from derain.cluster.seats import Share, living, neighbours, share_of
from derain.cluster.worker import find_seat, share_of_memory, threads_of
from derain.errors import DerainError, PhotoError, UsageError
from derain.models.contract import Derainer
from derain.restoring.devices import choose_device, moved_to
from derain.restoring.restorer import settled_precision
from derain.video.notes import Notes
from derain.video.packet_times import UntoldError, told_times
from derain.video.pieces import OwnWork, Piece, Times, is_made, make, note_first, pieces
from derain.video.reading import Clip
from derain.video.settings import VideoSettings
from derain.video.treatment import Run
from derain.video.work import Work

PIECES_EACH = 2  # that a worker has at the most: one that it makes, one that waits for it
TRIES_AGAIN = 5  # of a segment whose process or node died
CHANGES_OF_GPU = 20  # of a segment, to find a process that has its GPU
LOOK_EVERY = 2.0  # seconds, at the nodes


@contextmanager
def workers(
    address: str | None = None,
    device: str = "auto",
    threads: int | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator["Workers"]:
    """What makes the segments of clips on a Ray cluster, for :func:`derain.video.process`.

    Args:
        address: as :func:`derain.cluster.connected` takes it.
        device: auto, cpu or cuda: a GPU each where there are some.
        threads: CPUs for each worker without a GPU.
        say: told which cluster it is, and what it has.

    Raises:
        UsageError: Ray isn't installed, nothing answers, or the device is not there.
    """
    with connected(address, say) as ray:
        yield Workers(ray, share_of(living(ray.nodes()), device, threads, say))


@dataclass(frozen=True)
class Task:
    """What all segments of a picture track have in common."""

    source: Path
    track: int
    out: Path
    origin: str  # the manifest of the run
    settings: VideoSettings
    device: str
    threads: int
    neighbours: int  # processes that share a machine's memory
    folder: str  # that relative paths start from
    version: str  # of derain


@dataclass(frozen=True)
class Made:
    """What became of a segment."""

    times: list[int]  # of its frames, in the clip's units
    said: list[str]
    notes: list[str]  # those of what is said that the result keeps
    node: str
    is_damaged: bool  # whether something of the clip could not be read


@dataclass
class Spreading:
    """A clip whose pieces are being made."""

    clip: Clip
    work: Work
    run: Run
    send: Callable[[Piece], Any]  # has a piece made; gives Ray's reference to what becomes of it
    began: float = field(default_factory=time.monotonic)
    told: set[str] = field(default_factory=set)

    def tell(self, made: Made, done: int) -> None:
        for sentence in made.notes:
            self.run.note(sentence)
        for sentence in map(self.run.notes.without_name, made.said):
            if sentence not in self.told and sentence not in made.notes:
                self.told.add(sentence)
                self.run.say(sentence)
        self.run.report(done, 0, time.monotonic() - self.began)


@dataclass
class Workers:
    """Processes on the nodes of a cluster, one for each device."""

    ray: ModuleType
    share: Share
    models: dict[int, tuple[Derainer, Any]] = field(default_factory=dict)  # with Ray's references to them
    nodes: set[str] = field(default_factory=set)  # that made segments since somebody asked

    def names_of_nodes(self) -> list[str]:
        """Which nodes made segments since this was last asked."""
        names, self.nodes = sorted(self.nodes), set()
        return names

    def __call__(self, clip: Clip, work: Work, run: Run) -> list[int] | None:
        """
        Raises:
            PhotoError: a frame fails, a segment cannot be written, or its process dies time and again.
            UsageError: a node does not see the files, or has another derain.
        """
        note_first(clip, work, run)
        spreading = Spreading(clip, work, run, self._sender(clip, work, run))
        complete = self._spread(spreading, told_times) or self._spread(spreading, Clip.times)
        work.note(work.failed, clip.damage)
        work.segments = list(work.whole())
        if complete:
            return work.failed
        _leave_rest(clip, work, run.settings)
        return None

    def _spread(self, of: "Spreading", times: Times) -> bool:
        """Have the pieces made that are not there yet; whether all of them have the frames that were expected.

        If the times are those of packets, it ends at the first that has not, or that met damage.
        """
        ray, done, waiting, complete = self.ray, 0, dict[Any, Piece](), True
        todo = pieces(of.clip, of.run.settings, times)
        try:
            while complete or times is Clip.times:
                while len(waiting) < PIECES_EACH * max(self._seats, 1) and (piece := next(todo, None)):
                    if is_made(of.work, piece):
                        done += len(piece.times)
                    else:
                        waiting[of.send(piece)] = piece
                if not waiting:
                    break
                for ref in ray.wait(list(waiting), timeout=LOOK_EVERY)[0]:
                    piece = waiting.pop(ref)
                    made = self._result(ref, of.clip, piece)
                    self.nodes.add(made.node)
                    complete &= made.times == piece.times and (times is Clip.times or not made.is_damaged)
                    done += len(made.times)
                    of.tell(made, done)
        except UntoldError:
            return False
        finally:
            for ref in waiting:
                with suppress(ray.exceptions.RayError):
                    ray.cancel(ref, force=True)
        return complete

    @property
    def _seats(self) -> int:
        return sum(map(self.share.seats, living(self.ray.nodes())))

    def _sender(self, clip: Clip, work: Work, run: Run) -> Any:
        """A function that has a piece made, and returns Ray's reference to what becomes of it."""
        nodes = len(living(self.ray.nodes()))
        precision = settled_precision(run.settings.precision, torch.device(self.share.device))
        task = Task(
            clip.path,
            work.track,
            run.out,
            work.origin,
            replace(run.settings, precision=precision),
            self.share.device,
            self.share.cpus or 1,
            neighbours(nodes, self._seats),
            os.path.abspath("."),
            derain.__version__,
        )
        options = {"num_cpus": self.share.cpus, "num_gpus": self.share.gpus, "max_retries": TRIES_AGAIN}
        if self.share.gpus > 0 and any(node["Resources"].get("GPU", 0) > 1 for node in living(self.ray.nodes())):
            options["max_retries"] = CHANGES_OF_GPU
        remote = self.ray.remote(make_piece).options(**options)
        _, model = self.models.setdefault(id(run.model), (run.model, self.ray.put(run.model)))
        return lambda piece: remote.remote([model], task, piece)

    def _result(self, ref: Any, clip: Clip, piece: Piece) -> Made:
        try:
            made: Made = self.ray.get(ref)
            return made
        except self.ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, DerainError):
                raise error.cause from None
            said = cause_of(error)
            if "No module named" in said or "failed to import" in said:
                raise UsageError(f"`ray` can start no worker ({said}); install derain on each node") from None
            raise PhotoError(f"{clip.path}: cannot be derained ({said})") from None
        except self.ray.exceptions.RayError as error:
            last = piece.first + len(piece.times) - 1
            why = f"frames {piece.first} to {last} crash every process that works on them ({type(error).__name__})"
            advice = "most likely there is not enough memory; give the same command again to continue"
            raise PhotoError(f"{clip.path}: {why}; {advice}") from None


def _leave_rest(clip: Clip, work: Work, settings: VideoSettings) -> None:
    """Keep the segments up to the first with other frames than were expected; one process does what follows."""
    expected, kept = pieces(clip, settings), 0
    for piece in expected:
        if not is_made(work, piece):
            break
        kept = piece.index + 1
    for path in work.segments[kept:]:
        for each in (path.with_suffix(".json"), path.with_suffix(".failed"), path):
            each.unlink(missing_ok=True)
    work.segments = list(work.whole())


_placed: dict[str, Derainer] = {}  # the network that this process has on its device, by Ray's reference


def make_piece(model: list[Any], task: Task, piece: Piece) -> Made:
    """Make a segment, in a process of Ray's.

    Raises:
        PhotoError: a frame fails, or the segment cannot be written.
        UsageError: this node does not see the files, or has another derain.
    """
    with suppress(OSError):  # where all paths are absolute it need not be there
        os.chdir(task.folder)
    _check(task)
    _keep_to_one_gpu()
    threads = threads_of(task.device, task.threads, task.neighbours)
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    said, settings = list[str](), task.settings
    if settings.max_memory is None and task.device == "cpu":
        settings = replace(settings, max_memory=share_of_memory(task.neighbours))
    network = _network(model[0], task.device)
    notes = Notes(task.source, said.append)
    run = Run(task.source, task.out, network, settings, False, lambda *_: None, notes)
    with Clip(task.source, task.track, settings.hwaccel) as clip:
        times = make(clip, OwnWork(task.out, task.origin, task.track, piece.index), run, piece)
        return Made(times, said, notes.told, find_seat(task.device).node, bool(clip.damage))


@cache
def _first_gpu() -> str:
    return os.environ.get("CUDA_VISIBLE_DEVICES", "")


def _keep_to_one_gpu() -> None:
    """End this process if it is given another GPU than at first, for CUDA stays with that; Ray tries another one."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "") != _first_gpu():
        os._exit(1)


def _network(reference: Any, device: str) -> Derainer:
    """The network, loaded once in each process."""
    import ray

    known = reference.hex()
    if known not in _placed:
        _placed.clear()
        _placed[known] = moved_to(ray.get(reference), choose_device(device))
    return _placed[known]


def _check(task: Task) -> None:
    """
    Raises:
        UsageError: this node would make something else.
    """
    node = find_seat(task.device).node
    if derain.__version__ != task.version:
        raise UsageError(f"`ray`: node {node} has derain {derain.__version__}, not {task.version}; install the same")
    if not (task.source.is_file() and Work.is_of(task.out, task.origin)):
        unseen = task.out if task.source.is_file() else task.source
        raise UsageError(f"{unseen}: node {node} cannot see it; keep clip and result on storage that all nodes share")
