"""The settings that finetuning trains with."""

from typing import Any

from derain.finetuning.material import MOSTLY_JPEG
from derain.training.config import TrainConfig, load_config

SCALES = 3  # at which rain is discovered


def configured(jpeg: tuple[float, tuple[int, int]], chosen: dict[str, Any]) -> TrainConfig:
    """Settings of the run; what the photos' JPEG (:attr:`Material.jpeg`) does to rain is done to what is pasted.

    Raises:
        UsageError: a value that cannot be among those ``chosen``.
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
