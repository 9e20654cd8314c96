"""What became of a photo, as a sentence and as JSON."""

from dataclasses import dataclass
from pathlib import Path

from derain import text
from derain.batch.jobs import Job
from derain.errors import PhotoError
from derain.given import check
from derain.rain.amount import DRY_COVERAGE

UNTOLD = {  # of what is said of a photo as JSON
    "input": "",
    "output": None,
    "rain": None,
    "compare": None,
    "width": 0,
    "height": 0,
    "seconds": 0.0,
    "rain_coverage": 0.0,
    "rain_left": None,
    "untouched": False,
    "skipped": None,
    "notes": (),
    "error": None,
}


@dataclass(frozen=True)
class Outcome:
    """What became of a job."""

    job: Job
    error: PhotoError | None = None
    width: int = 0
    height: int = 0
    seconds: float = 0.0  # in the network
    rain_coverage: float = 0.0  # share of pixels with rain that can be seen
    rain_left: float | None = None  # share of the streaks' height that is evidently left; None: not looked for
    dry: bool = False  # nothing was taken away
    untouched: bool = False  # nor anything else changed: the result is the photo's own file, bit for bit
    notes: tuple[str, ...] = ()  # what is to be known of the result, such as what it could not keep
    kept: tuple[Path, ...] = ()  # results that were there, be they of other settings, and stay as they are
    node: str = ""  # of a cluster; empty without one

    @property
    def megapixels(self) -> float:
        return self.width * self.height / 1e6

    @property
    def written(self) -> list[Path]:
        return [path for path in self.job.outputs if path not in self.kept]

    @property
    def said_of_kept(self) -> list[str]:
        return [f"{path.name} existed and was kept" for path in self.kept]


def describe(outcome: Outcome) -> str:
    """What became of a photo, in a few words; of one that failed the sentence that says why."""
    check("outcome", outcome, Outcome)
    if outcome.error:
        return f"failed: {outcome.error}"
    if not outcome.width:  # nothing was to be done
        return "; ".join(outcome.notes)
    if outcome.dry:
        found = "no rain found" if outcome.rain_coverage < DRY_COVERAGE else f"rain on {outcome.rain_coverage:.0%}"
        return f"{found}, {'copied unchanged' if outcome.untouched else 'only saved anew'}"
    found = f"{outcome.width}x{outcome.height} px, {outcome.seconds:.2f} s, rain on {outcome.rain_coverage:.0%}"
    return found + (f", {outcome.rain_left:.0%} of it left" if outcome.rain_left else "")


def as_json(outcome: Outcome) -> str:
    """One object on one line."""
    check("outcome", outcome, Outcome)
    said = UNTOLD | {
        "input": str(outcome.job.source),
        "width": outcome.width,
        "height": outcome.height,
        "seconds": round(outcome.seconds, 4),
        "rain_coverage": round(outcome.rain_coverage, 4),
        "rain_left": None if outcome.rain_left is None else round(outcome.rain_left, 4),
        "untouched": outcome.untouched,
        "notes": [*outcome.notes, *outcome.said_of_kept],
    }
    said |= {"node": outcome.node} if outcome.node else {}
    return text.as_json(said | ({"error": str(outcome.error)} if outcome.error else _paths(outcome.job)))


def skipped_as_json(path: Path, why: str, job: Job | None = None) -> str:
    """The object of a photo that nothing is done for, as :func:`as_json` has it."""
    return text.as_json(UNTOLD | {"input": str(path), "skipped": why} | (_paths(job) if job else {}))


def _paths(job: Job) -> dict[str, str | None]:
    places = {"output": job.background, "rain": job.rain, "compare": job.compare}
    return {name: str(path) if path else None for name, path in places.items()}
