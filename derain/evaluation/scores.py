"""The scores: one row each, which the terminal's table, JSON, CSV, the report and the verdicts read.

A new score is a row of :data:`SCORES`. What its function takes says when it is computed: :class:`Paired` where there is
a truth, :class:`Unpaired` where there is none, :class:`Sequel` for frames after the first, :class:`Repasted` where a
network restores photos without truth.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from derain.evaluation.metrics import Paired, Picture, capped_psnr, ssim
from derain.evaluation.no_truth import (
    Sequel,
    Unpaired,
    change_outside,
    colour_shift,
    flicker,
    sharpness_kept,
    streaks_left,
)

PSNR_EXPLAINED = {"PSNR": "peak 255 over the whole picture; identical pictures count as 100 dB in means"}
SSIM_EXPLAINED = {
    "SSIM": "Gaussian window 11x11, sigma 1.5, K 0.01 and 0.03, range 255, windows inside, mean of channels"
}
LUMA_EXPLAINED = {"luma": "BT.601 in studio range 16 to 235, rounded as MATLAB's rgb2ycbcr"}


@dataclass(frozen=True)
class Repasted:
    """What a network gained on its own result under rain that it had found elsewhere."""

    gain: float  # dB of PSNR


Scored = TypeVar("Scored", Paired, Unpaired, Sequel, Repasted)


@dataclass(frozen=True)
class Score(Generic[Scored]):
    """How a score is computed, and what its column says."""

    heading: str
    unit: str
    higher_is_better: bool
    takes: type[Scored]
    function: Callable[[Scored], float]
    explanation: dict[str, str]  # by the term that it explains
    digits: int = 2
    bounds: tuple[float, float] = (0.0, math.inf)  # outside of which no picture's score can be
    of_change: bool = False  # from the input, whose own score is 0 by definition

    @property
    def needs_truth(self) -> bool:
        return self.takes is Paired


SCORES: dict[str, Score[Any]] = {
    "psnr_luma": Score(
        "PSNR luma",
        "dB",
        True,
        Paired,
        lambda p: capped_psnr(p.luma, p.truth_luma),
        PSNR_EXPLAINED,
        bounds=(0.0, 100.0),
    ),
    "ssim_luma": Score(
        "SSIM luma",
        "",
        True,
        Paired,
        lambda p: ssim(p.luma, p.truth_luma),
        SSIM_EXPLAINED | LUMA_EXPLAINED,
        4,
        bounds=(0.0, 1.0),
    ),
    "psnr_rgb": Score(
        "PSNR RGB",
        "dB",
        True,
        Paired,
        lambda p: capped_psnr(p.values, p.truth_values),
        PSNR_EXPLAINED,
        bounds=(0.0, 100.0),
    ),
    "ssim_rgb": Score(
        "SSIM RGB", "", True, Paired, lambda p: ssim(p.values, p.truth_values), SSIM_EXPLAINED, 4, bounds=(0.0, 1.0)
    ),
    "mae": Score(
        "MAE",
        "grey levels",
        False,
        Paired,
        lambda p: float(np.abs(p.values - p.truth_values).mean()),
        {"MAE": "mean absolute difference over RGB, in 8-bit grey levels"},
    ),
    "streaks_left": Score(
        "streaks left",
        "of the input's",
        False,
        Unpaired,
        streaks_left,
        {
            "streaks left": "height of thin bright lines along the input's main direction, in its flattest third, "
            "relative to the input's; lines of the scene count as well, so more detail can look like more rain"
        },
    ),
    "change_outside": Score(
        "change outside rain",
        "grey levels",
        False,
        Unpaired,
        change_outside,
        {"change outside rain": "RMS of the change beside bright, colourless streaks"},
        of_change=True,
    ),
    "colour_shift": Score(
        "colour shift",
        "grey levels",
        False,
        Unpaired,
        colour_shift,
        {"colour shift": "mean absolute change of the channels minus their mean"},
        of_change=True,
    ),
    "sharpness_kept": Score(
        "sharpness kept",
        "of the input's",
        True,
        Unpaired,
        sharpness_kept,
        {"sharpness kept": "energy of the gradient away from what was removed as streaks, relative to the input"},
    ),
    "repasted": Score(
        "re-pasted rain",
        "dB gained",
        True,
        Repasted,
        lambda repasted: repasted.gain,
        {"re-pasted rain": "PSNR gained on a restored photo with rain that the network found in the previous one"},
        bounds=(-math.inf, math.inf),
    ),
    "flicker": Score(
        "flicker",
        "grey levels",
        False,
        Sequel,
        flicker,
        {"flicker": "mean change from the frame before, along the optical flow of the input"},
    ),
}


def primary(with_truth: bool) -> str:
    """The score that pictures are ranked by."""
    return "psnr_luma" if with_truth else "streaks_left"


def scores_of(scored: Paired | Unpaired | Sequel | Repasted) -> dict[str, float]:
    """Every score that takes such a thing."""
    return {key: score.function(scored) for key, score in SCORES.items() if score.takes is type(scored)}


def paired_scores(picture: Picture, truth: Picture) -> dict[str, float]:
    """Scores of a picture against its truth.

    Raises:
        MisfitError: the sizes differ.
    """
    return scores_of(Paired(picture, truth))


def unpaired_scores(picture: Picture, rainy: Picture) -> dict[str, float]:
    """What became of a rainy photo, without its truth.

    Raises:
        MisfitError: the sizes differ.
    """
    return scores_of(Unpaired(picture, rainy))


def explanations(keys: list[str], with_truth: bool) -> dict[str, str]:
    """What the scores measure, by term: of those that need a truth, or of the others."""
    chosen = [SCORES[key] for key in keys if SCORES[key].needs_truth is with_truth]
    return {term: text for score in chosen for term, text in score.explanation.items()}
