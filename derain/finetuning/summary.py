"""The page that tells what came of a run: the verdict, and the held-out photos before and after."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from derain.evaluation.evaluate import Evaluation, evaluate
from derain.evaluation.report import Gallery, as_html
from derain.evaluation.samples import INPUT, Sample, open_samples
from derain.files.writing import write_bytes
from derain.finetuning.handing_back import HandedBack
from derain.finetuning.material import LOOK_WINDOW, Material, Source
from derain.finetuning.places import SUMMARY
from derain.finetuning.run import Run
from derain.finetuning.verdict import in_words
from derain.models.contract import Derainer
from derain.text import listed
from derain.training.clock import Clock
from derain.training.crops import centre
from derain.video.naming import is_clip

SLOWNESS = 8.0  # how many times longer than in a judgement a pixel takes here, as a first guess
LEAST_SIDE_SHOWN = 128  # px, of a photo


def summarise(run: Run, tuned: Derainer, result: HandedBack) -> Path:
    """Write the summary: the verdict, and the held-out photos before and after, with scores that need no truth."""
    networks, name = {"finetuned": tuned, "start": run.network}, run.rainy.name
    gallery, remarks = Gallery(), {"photos": name}
    found = Evaluation([INPUT, *networks])
    if run.material:
        remarks |= notes(run.material) | ({"clips": "; ".join(run.heard)} if run.heard else {})
        given = open_samples(run.material.held_out)
        given.samples = under_their_names(given.samples, run.material)
        pace = SLOWNESS * run.judge.pace / LOOK_WINDOW**2 if run.judge else 0.0
        given.samples = in_time(given.samples, given.total or 1, run.clock, pace)
        found = evaluate(given, networks, watch=gallery.watch)
        if len(found.rows) < (given.total or 0):
            remarks["shown"] = f"{len(found.rows)} of {given.total} held-out photos, as time was short"
    told = [result.verdict, *(in_words(result.before, result.after) if result.better else ())]
    page = as_html(found, gallery, f"{name}, finetuned", remarks, told)
    write_bytes(run.work / SUMMARY, page.encode(errors="replace"))
    return run.work / SUMMARY


def notes(material: Material) -> dict[str, str]:
    """What a user should know of the photos."""
    lists = {"no rain found in": material.dry, "rain but no clear streaks to learn from in": material.unclear}
    found = {what: listed(names, most=5) for what, names in lists.items() if names}
    if material.unseen:
        found["not looked at"] = f"{material.unseen} of the files; there was no time, so give more minutes"
    return found


def under_their_names(samples: Iterator[Sample], material: Material) -> Iterator[Sample]:
    """The samples under the names of the user's files."""
    names = {Path(source.file).name: shown_name(source) for source in material.sources}
    for sample in samples:
        yield replace(sample, name=names[sample.name])


def shown_name(source: Source) -> str:
    """The user's file, and of a clip which of its frames."""
    return f"{source.name}, frame {source.frame + 1}" if is_clip(source.name) else source.name


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
