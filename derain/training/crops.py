"""Random crops of unpaired photos."""

import os
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from derain.arrays import Rgb8, UnitRgb
from derain.errors import PhotoError, TrainingError
from derain.photos import read_photo
from derain.photos.names import left_out, results_among
from derain.restoring.devices import FREE_MEMORY_SHARE, free_memory
from derain.training.clock import Clock
from derain.training.torchrun import under_torchrun

CACHE_BYTES = 4 << 30  # of decoded photos that a folder keeps in memory, at the most


class Crops:
    """Crops of side ``crop`` px from the photos of ``folder``; the caller's ``rng`` alone decides which.

    The share ``reduced`` of them is cut larger, by up to twice, and reduced. ``cache`` bytes of decoded photos at most
    stay in memory.

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
        cache: float = CACHE_BYTES,
        clock: Clock | None = None,
        share: float = 1.0,
    ) -> None:
        if not folder.is_dir():
            raise TrainingError(f"{folder}: not a folder; give a folder of photos")
        self.folder, self.crop, self.reduced, self.cache = folder, crop, reduced, cache
        self.skipped: dict[Path, str] = {}
        clock = clock or Clock()
        until = clock.share(share)
        self.photos: list[Path] = []
        self._cache: dict[Path, Rgb8] = {}
        self._cached = 0
        files = sorted(p for p in folder.iterdir() if not p.is_dir() and not p.name.startswith("."))
        results = results_among(files)
        self.skipped |= dict(zip(results, left_out(results)))
        for path in clock.affordable([path for path in files if path not in results], until, "looking at the photos"):
            reason = self._why_unusable(path)
            if reason:
                self.skipped[path] = reason
            else:
                self.photos.append(path)
            if clock.spent >= (until if self.photos else clock.seconds):
                break
        self.photos.sort()
        self.unseen = len(files) - len(self.photos) - len(self.skipped)
        if not self.photos:
            raise TrainingError(f"{folder}: no photo of at least {crop}x{crop} px in it")

    @property
    def left_out(self) -> list[str]:
        """A sentence for each file that is not used, or for all that no time was left to look at."""
        unseen = f"{self.unseen} more files in {self.folder}: there was no time to look at them"
        return [*self.skipped.values(), *([unseen] if self.unseen else [])]

    def _why_unusable(self, path: Path) -> str | None:
        try:
            height, width = self._read(path).shape[:2]
        except PhotoError as error:
            return str(error)
        if min(height, width) < self.crop:
            return f"{path}: {width}x{height} px is smaller than the crop of {self.crop} px"
        return None

    def _read(self, path: Path) -> Rgb8:
        if path in self._cache:
            return self._cache[path]
        photo = read_photo(path)
        if self._cached + photo.nbytes <= self.cache:
            self._cache[path] = photo
            self._cached += photo.nbytes
        return photo

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


def affordable_cache(folders: int) -> float:
    """Bytes of decoded photos that each of so many folders may keep, in each process of this machine."""
    processes = int(os.environ.get("LOCAL_WORLD_SIZE") or 1) if under_torchrun() else 1
    return min(CACHE_BYTES, FREE_MEMORY_SHARE * free_memory(torch.device("cpu")) / (folders * processes))


def centre(photo: Rgb8, side: int) -> Rgb8:
    """The middle of the photo, at most ``side`` px wide and high."""
    top, left = (max(length - side, 0) // 2 for length in photo.shape[:2])
    return np.ascontiguousarray(photo[top : top + side, left : left + side])


def to_tensor(images: UnitRgb, device: torch.device) -> Tensor:
    """``(N, H, W, 3)`` in [0, 1] to ``(N, 3, H, W)``, channels last in memory."""
    return torch.from_numpy(images).to(device).permute(0, 3, 1, 2)
