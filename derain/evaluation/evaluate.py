"""Scores of several methods over a set of photos or the frames of a clip.

    evaluation = evaluate(open_samples(rainy, clean), {"derain": derain.load()})
    evaluation.summary("derain")["psnr_luma"].mean

The input itself is always a method. Networks run in the calling thread, metrics in ``workers`` threads; the results do
not depend on how many.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch

from derain.arrays import Heights, in_unit
from derain.errors import reason
from derain.evaluation.metrics import MisfitError, Picture, capped_psnr, values
from derain.evaluation.no_truth import Sequel, motion
from derain.evaluation.samples import INPUT, Sample, Samples, as_far_as_whole
from derain.evaluation.scores import SCORES, Repasted, paired_scores, primary, scores_of, unpaired_scores
from derain.evaluation.statistics import Estimate, estimated
from derain.models.contract import Derainer
from derain.photos import as_rgb
from derain.rain.clean import clean_rain
from derain.restoring.ahead import ahead
from derain.restoring.devices import affordable_pixels
from derain.restoring.layers import Layers
from derain.restoring.restorer import Restorer

METRICS_BYTES_PER_PIXEL = 180  # that the metrics take at their peak


@dataclass
class Evaluation:
    """Every score of every method on every picture, and what could not be scored."""

    methods: list[str]
    rows: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)  # picture, method, score
    problems: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)  # as :class:`Samples` has it

    @property
    def scored(self) -> int:
        """Pictures that have a score at all."""
        return sum(any(methods.values()) for methods in self.rows.values())

    @property
    def scores(self) -> list[str]:
        """Names of the scores that occur, in the order of :data:`SCORES`."""
        found = {name for methods in self.rows.values() for scores in methods.values() for name in scores}
        return [name for name in SCORES if name in found]

    @property
    def known_scores(self) -> list[str]:
        """Names of the scores that some picture has, for tables without empty columns."""
        return [s for s in self.scores if any(self.summary(method)[s].n for method in self.methods)]

    def column(self, method: str, score: str) -> dict[str, float]:
        """The score of each picture that the method has one for."""
        return {p: m[method][score] for p, m in self.rows.items() if score in m.get(method, {})}

    def summary(self, method: str) -> dict[str, Estimate]:
        """Mean and interval of each score."""
        estimates = {score: estimated(list(self.column(method, score).values())) for score in self.scores}
        return {
            score: found.within(*SCORES[score].bounds) if found.n > 1 else found for score, found in estimates.items()
        }

    def difference(self, method: str, against: str, score: str) -> Estimate:
        """Mean and interval of the difference picture by picture, on those that both have."""
        ours, theirs = self.column(method, score), self.column(against, score)
        return estimated([ours[picture] - theirs[picture] for picture in ours if picture in theirs])

    @property
    def primary(self) -> str:
        """The score that pictures are ranked by."""
        return primary("psnr_luma" in self.scores)


Watch = Callable[[Sample, dict[str, Picture], dict[str, dict[str, float]]], None]


def evaluate(
    given: Samples,
    models: dict[str, Derainer],
    workers: int | None = None,
    watch: Watch | None = None,
    doing: Callable[[str], None] | None = None,
) -> Evaluation:
    """Score the input, the models and the tools' results on every sample.

    Args:
        given: as :func:`derain.evaluation.samples.open_samples` gives it; of clips, flicker is scored too.
        models: networks by name; each restores the rainy picture at its own depth, in float32. (``derain run`` gives a
            photo without rain back as it is, and on some processors uses bfloat16.)
        workers: threads for the metrics; default: as many as cores. Fewer of them work where memory is short.
        watch: called for each sample, in order, with its outputs and scores.
        doing: told what is being done, such as "rain-1.png: derain, 2000x1500 px, tile 3 of 12".

    What fails is named in ``problems`` of the result, and the rest is scored.
    """
    evaluation = Evaluation([INPUT, *models, *given.tools], problems=given.problems, left_out=given.left_out)
    limit = workers or os.cpu_count() or 1
    room = affordable_pixels(torch.device("cpu"), METRICS_BYTES_PER_PIXEL)

    def scored(restored: Restored) -> tuple[Restored, dict[str, dict[str, float]], list[str]]:
        return restored, *score(restored.sample, restored.outputs, restored.extra, restored.before)

    def affordable(restored: Restored) -> float:
        return min(2 * limit, room / restored.sample.rainy[..., 0].size)

    all_restored = _restore_all(given, models, evaluation.problems, doing)
    for restored, scores, failed in ahead(scored, all_restored, affordable, limit):
        evaluation.problems += failed
        evaluation.rows[restored.sample.name] = scores
        if watch:
            watch(restored.sample, restored.outputs, scores)
    return evaluation


@dataclass(frozen=True)
class Restored:
    """A sample with what each method made of it, scores that take a network, and in a clip the frame before it."""

    sample: Sample
    outputs: dict[str, Picture]
    extra: dict[str, dict[str, float]]
    before: tuple[Sample, dict[str, Picture]] | None


def _restore_all(
    given: Samples, models: dict[str, Derainer], problems: list[str], doing: Callable[[str], None] | None
) -> Iterator[Restored]:
    """Every sample through every network; what fails is added to ``problems``."""
    restorers = {name: Restorer(model, "float32") for name, model in models.items()}
    repasting = {name: Repasting(restorer) for name, restorer in restorers.items()}
    before: tuple[Sample, dict[str, Picture]] | None = None
    for sample in as_far_as_whole(given):
        photo = as_rgb(sample.rainy)
        outputs: dict[str, Picture] = {INPUT: sample.rainy}
        extra: dict[str, dict[str, float]] = {}
        for name, restorer in restorers.items():
            try:
                found = restorer.layers(photo, doing and told_of(f"{sample.name}: {name}, ", doing))
                if sample.clean is None and not given.in_sequence:
                    extra[name] = scores_of(Repasted(repasting[name].score(found)))
                outputs[name] = found.background
            except Exception as error:  # whatever it is, the other pictures go on
                problems.append(f"{sample.name}: {name}: {reason(error)}")
        outputs |= sample.restored
        yield Restored(sample, outputs, extra, before)
        before = (sample, outputs) if given.in_sequence else None


def told_of(whose: str, doing: Callable[[str], None]) -> Callable[[str], None]:
    """Tells parts of a picture together with whose they are."""
    return lambda part: doing(whose + part)


def score(
    sample: Sample,
    outputs: dict[str, Picture],
    extra: dict[str, dict[str, float]],
    before: tuple[Sample, dict[str, Picture]] | None,
) -> tuple[dict[str, dict[str, float]], list[str]]:
    """Scores of each method on one sample, and a sentence for each that has none."""
    found, problems, moved = {}, list[str](), None
    misfits: dict[str, list[str]] = {}  # methods by what keeps them from being scored
    try:
        if before and before[0].rainy.shape == sample.rainy.shape:
            moved = motion(sample.rainy, before[0].rainy)
    except Exception as error:  # whatever it is, the other scores go on
        problems.append(f"{sample.name}: no motion was found ({reason(error)})")
    for name, picture in outputs.items():
        try:
            if sample.clean is not None:
                found[name] = paired_scores(picture, sample.clean)
            else:
                found[name] = unpaired_scores(picture, sample.rainy) | extra.get(name, {})
            if before and moved is not None and name in before[1]:
                found[name] |= scores_of(Sequel(picture, before[1][name], moved))
        except MisfitError as error:
            misfits.setdefault(str(error), []).append(name)
        except Exception as error:  # whatever it is, the other scores go on
            problems.append(f"{sample.name}: {name}{', in part' * (name in found)}: {reason(error)}")
    for why, names in misfits.items():
        is_or_are = "is" if len(names) == 1 else "are"
        problems.append(f"{sample.name}: {' and '.join(names)} {is_or_are} {why}")
    return found, problems


class Repasting:
    """Exact truth from rainy photos alone: rain found in one photo, on the restored version of the next.

    It flatters a network that finds little, so it is read beside the streaks left.
    """

    def __init__(self, restorer: Restorer) -> None:
        self.restorer = restorer
        self.layer: Heights | None = None

    def score(self, found: Layers) -> float:
        """PSNR gained in dB by restoring the background under the rain found before; NaN if there was none."""
        background, rain = found.background, found.rain
        white = np.iinfo(rain.dtype).max
        layer, self.layer = self.layer, clean_rain(in_unit(rain))[0]
        if layer is None or not layer.any():
            return float("nan")
        down, right = (max(b - s, 0) for b, s in zip(background.shape, layer.shape))
        cover = np.pad(layer, ((0, down), (0, right)), mode="symmetric")[: background.shape[0], : background.shape[1]]
        pasted = np.clip(background + cover[..., None] * white + 0.5, 0, white).astype(background.dtype)
        truth = values(background)
        after, given = (capped_psnr(values(p), truth) for p in (self.restorer.layers(pasted).background, pasted))
        return after - given
