"""Random crops of unpaired photos, and the memory that decoded photos may take."""

import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from derain.arrays import Rgb8, UnitRgb
from derain.errors import PhotoError, TrainingError
from derain.photos import read_photo
from derain.photos.names import left_out, results_among
from derain.restoring.ahead import ahead
from derain.restoring.devices import FREE_MEMORY_SHARE, free_memory
from derain.training.clock import Clock
from derain.training.torchrun import processes_here

MOST_THREADS = 8  # that decode photos


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
        files = sorted(p for p in folder.iterdir() if not p.is_dir() and not p.name.startswith("."))
        results = results_among(files)
        self.skipped |= dict(zip(results, left_out(results)))
        others = [path for path in files if path not in results]
        self._look(others, room or Room.of_free_memory(1), clock or Clock(), share)
        self.photos.sort()
        self.unseen = len(files) - len(self.photos) - len(self.skipped)
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
        unseen = f"{self.unseen} more files in {self.folder}: there was no time to look at them"
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
        return centre(self._read(path), size).astype(np.float32) / np.float32(255)

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
        return np.ascontiguousarray(crop).astype(np.float32) / np.float32(255)

    def batch(self, rng: np.random.Generator, count: int) -> UnitRgb:
        """``(count, crop, crop, 3)`` crops."""
        return np.stack([self.sample(rng) for _ in range(count)])


def centre(photo: Rgb8, side: int) -> Rgb8:
    """The middle of the photo, at most ``side`` px wide and high."""
    top, left = (max(length - side, 0) // 2 for length in photo.shape[:2])
    return np.ascontiguousarray(photo[top : top + side, left : left + side])


def to_tensor(images: UnitRgb | Tensor, device: torch.device) -> Tensor:
    """``(N, H, W, 3)`` in [0, 1] to ``(N, 3, H, W)``, channels last in memory."""
    return torch.as_tensor(images, device=device).permute(0, 3, 1, 2)
