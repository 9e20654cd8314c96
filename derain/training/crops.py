"""Random crops of unpaired photos, and the memory that decoded photos may take."""

import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from derain.arrays import Rgb8, UnitRgb, in_unit
from derain.errors import PhotoError, TrainingError
from derain.photos import read_photo
from derain.photos.names import left_out, results_among
from derain.restoring.ahead import ahead
from derain.restoring.devices import FREE_MEMORY_SHARE, free_memory
from derain.training.clips import Footage
from derain.training.clock import Clock
from derain.training.ranks import processes_here
from derain.video.naming import is_clip
from derain.video.reading import sample_frames

FRAMES = 10  # of a clip, that are photos
CHOICES = 3  # crops of which the most textured is taken
MOST_THREADS = 8  # that decode photos
WEIGHTS = ".safetensors"  # which `derain finetune` may have left among the photos


def cores() -> int:
    """Processor cores that each process of a run here may use."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(available // processes_here(), 1)


@dataclass
class Room:
    """Memory for decoded photos: one for all folders, of which each may take its part of what is left."""

    bytes: float
    folders: int = 1  # still to be read

    @classmethod
    def of_free_memory(cls, folders: int, copies: int = 1) -> "Room":
        """A share of the memory that is free now, less where each photo is there in several copies."""
        return cls(FREE_MEMORY_SHARE * free_memory(torch.device("cpu")) / processes_here() / copies, folders)

    def part(self) -> float:
        """Bytes for the next folder."""
        self.folders -= 1
        return self.bytes / (self.folders + 1)


class Crops:
    """Crops of side ``crop`` px from the photos of ``folder``; the caller's ``rng`` alone decides which.

    The share ``reduced`` of them is cut larger, by up to twice, and reduced. Decoded photos stay in memory as far as
    there is ``room``.

    Photos that cannot be read or are smaller than the crop are listed in ``skipped`` and left out. What the ``clock``
    leaves no time to look at is counted in ``unseen``.

    Raises:
        TrainingError: the folder is missing or holds no usable photo.
    """

    def __init__(
        self,
        folder: Path,
        crop: int,
        reduced: float = 0.5,
        room: Room | None = None,
        clock: Clock | None = None,
        share: float = 1.0,
    ) -> None:
        if not folder.is_dir():
            raise TrainingError(f"{folder}: not a folder; give a folder of photos")
        self.folder, self.crop, self.reduced = folder, crop, reduced
        self.skipped: dict[Path, str] = {}
        self.photos: list[Path] = []
        self._cache: dict[Path, Rgb8] = {}
        named = (p for p in folder.iterdir() if not p.name.startswith(".") and p.suffix != WEIGHTS)
        files = sorted(p for p in named if not os.path.isdir(p))
        results = results_among(files)
        self.skipped |= dict(zip(results, left_out(results)))
        self.footage = [Footage(path) for path in files if path not in results and is_clip(path)]
        clips = [footage.path for footage in self.footage]
        others = [path for path in files if path not in {*results, *clips}]
        room = room or Room.of_free_memory(1)
        self._look(others, room, clock or Clock(), share)
        self.unseen = len(others) + len(results) - len(self.photos) - len(self.skipped)
        for clip in clips:
            self._look_into(clip, room)
        self.photos.sort()
        if not self.photos:
            raise TrainingError(f"{folder}: no photo of at least {crop}x{crop} px in it")

    def _look(self, files: list[Path], room: Room, clock: Clock, share: float) -> None:
        """Decode the files in threads, as many as there is time for, and keep as many as there is room for."""
        until, left, threads = clock.share(share), room.part(), min(cores(), MOST_THREADS)
        in_time = clock.affordable(files, until, "looking at the photos")

        def most(_: Path) -> int:
            return threads if self.photos or self.skipped else 1  # the first tells how long one takes

        for path, found in ahead(self._usable, in_time, most, threads):
            if isinstance(found, str):
                self.skipped[path] = found
            else:
                self.photos.append(path)
                if found.nbytes <= left:
                    self._cache[path] = found
                    left -= found.nbytes
                    room.bytes -= found.nbytes
            if clock.spent >= (until if self.photos else clock.seconds):
                break

    def _look_into(self, clip: Path, room: Room) -> None:
        """Some frames of a clip, which stay in memory, as photos."""
        try:
            frames = {clip / f"{n:02d}": frame for n, frame in enumerate(sample_frames(clip, FRAMES))}
        except PhotoError as error:
            self.skipped[clip] = str(error)
            frames = {}
        if any(min(frame.shape[:2]) < self.crop for frame in frames.values()):
            self.skipped[clip] = f"{clip}: its frames are smaller than the crop of {self.crop} px"
            frames = {}
        self.photos += frames
        self._cache |= frames
        room.bytes -= sum(frame.nbytes for frame in frames.values())
        if not frames:
            self.footage = [footage for footage in self.footage if footage.path != clip]

    def _usable(self, path: Path) -> tuple[Path, Rgb8 | str]:
        """The photo, or why it cannot be used."""
        try:
            photo = read_photo(path)
        except PhotoError as error:
            return path, str(error)
        height, width = photo.shape[:2]
        if min(height, width) < self.crop:
            return path, f"{path}: {width}x{height} px is smaller than the crop of {self.crop} px"
        return path, photo

    @property
    def left_out(self) -> list[str]:
        """A sentence for each file that is not used, or for all that no time was left to look at."""
        unseen = f"{self.unseen} more files in {self.folder} were not looked at: there was no time"
        return [*self.skipped.values(), *([unseen] if self.unseen else [])]

    def _read(self, path: Path) -> Rgb8:
        return self._cache[path] if path in self._cache else read_photo(path)

    def sample(self, rng: np.random.Generator, size: int | None = None) -> UnitRgb:
        """One ``(size, size, 3)`` crop in [0, 1], perhaps reduced and perhaps flipped."""
        return self.cut(rng, self.choose(rng), size or self.crop)

    def choose(self, rng: np.random.Generator) -> Path:
        return self.photos[rng.integers(len(self.photos))]

    def middle(self, path: Path, size: int) -> UnitRgb:
        """The middle of the photo at ``path``, at most ``size`` px wide and high, in [0, 1]."""
        return in_unit(centre(self._read(path), size))

    def cut(self, rng: np.random.Generator, path: Path, size: int) -> UnitRgb:
        """As :meth:`sample`, from the photo at ``path``."""
        photo = self._read(path)
        side = min(int(size * rng.uniform(1, 2)) if rng.random() < self.reduced else size, *photo.shape[:2])
        top, left = (rng.integers(0, s - side + 1) for s in photo.shape[:2])
        crop = photo[top : top + side, left : left + side]
        if side != size:
            crop = np.asarray(cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA), np.uint8)
        if rng.random() < 0.5:
            crop = crop[:, ::-1]
        return in_unit(crop)

    def batch(self, rng: np.random.Generator, count: int, hard: float = 0.0, sideways: float = 0.0) -> UnitRgb:
        """``(count, crop, crop, 3)`` crops; shares of them are the most textured of some, and lie on their side."""
        return np.stack([self._hard(rng, hard, sideways) for _ in range(count)])

    def _hard(self, rng: np.random.Generator, hard: float, sideways: float) -> UnitRgb:
        choices = CHOICES if hard and rng.random() < hard else 1
        crop = max((self.sample(rng) for _ in range(choices)), key=texture if choices > 1 else lambda one: 0.0)
        return np.ascontiguousarray(crop.transpose(1, 0, 2)) if sideways and rng.random() < sideways else crop


def texture(crop: UnitRgb) -> float:
    """Mean step between neighbouring pixels of an ``(H, W, 3)`` crop."""
    green = crop[::2, ::2, 1]
    return float(np.abs(np.diff(green, axis=0)).mean() + np.abs(np.diff(green, axis=1)).mean())


def centre(photo: Rgb8, side: int) -> Rgb8:
    """The middle of the photo, at most ``side`` px wide and high."""
    top, left = (max(length - side, 0) // 2 for length in photo.shape[:2])
    return np.ascontiguousarray(photo[top : top + side, left : left + side])


def to_tensor(images: UnitRgb | Tensor, device: torch.device) -> Tensor:
    """``(N, H, W, 3)`` in [0, 1] to ``(N, 3, H, W)``, channels last in memory."""
    return torch.as_tensor(images, device=device).permute(0, 3, 1, 2)
