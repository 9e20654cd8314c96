"""The report: one HTML page that needs no network and no script, in light and dark, on a desk and on a phone."""

import base64
import heapq
import math
from collections.abc import Sequence
from html import escape

import cv2
import numpy as np

from derain.arrays import Rgb8
from derain.evaluation.evaluate import Evaluation
from derain.evaluation.metrics import Picture
from derain.evaluation.pictures import to_photo
from derain.evaluation.results import comparisons, conditions, formatted, interval, verdict
from derain.evaluation.samples import INPUT, Sample
from derain.evaluation.scores import SCORES, primary
from derain.rain.amount import densest
from derain.text import counted

LARGEST_WINDOW = 1200  # px, side of the part of a larger picture that is shown: the one with most change
STYLE = """
:root { color-scheme: light dark; --ink: #1c2126; --faint: #5d6872; --line: #d5dade; --paper: #ffffff; --mark: #0a63b0;
  --good: #14713d; --bad: #a62a1c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8eb; --faint: #9aa6b0; --line: #39424a; --paper: #14181b;
  --mark: #6db3f2; --good: #63c88d; --bad: #f08a7c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem clamp(1rem, 4vw, 3rem) 4rem; max-width: 90rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .25rem; overflow-wrap: anywhere; }
p { margin: .25rem 0 .75rem; max-width: 70ch; } small, .faint { color: var(--faint); font-size: .82rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .9rem .4rem 0; text-align: right; vertical-align: top; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; } thead th { vertical-align: bottom; }
td small { display: block; } .better { color: var(--good); } .worse { color: var(--bad); }
svg { display: block; width: 100%; min-width: 32rem; max-width: 60rem; height: auto; }
svg text { fill: var(--ink); font: 12px system-ui, sans-serif; } svg .faint { fill: var(--faint); }
svg line { stroke: var(--line); } svg circle { fill: var(--mark); fill-opacity: .5; }
svg .mean { stroke: var(--ink); stroke-width: 2; }
.strip { display: flex; gap: .75rem; overflow-x: auto; padding-bottom: .5rem; }
figure { margin: 0; flex: none; } figcaption { font-size: .82rem; color: var(--faint); }
.strip img { display: block; border: 1px solid var(--line); }
@media (max-width: 40rem) { .strip img { max-width: 88vw; height: auto; } }
dl { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: .2rem 1rem; font-size: .9rem; }
dt { color: var(--faint); } dd { margin: 0; overflow-wrap: anywhere; } li { overflow-wrap: anywhere; }
"""


class Gallery:
    """Keeps the worst and the best few pictures while an evaluation goes by, as encoded figures.

    Ranked by what the first method gained on its input in the primary score; pass :meth:`watch` to ``evaluate``.
    """

    def __init__(self, count: int = 3) -> None:
        self.count = count
        self._worst: list[tuple[float, int, str]] = []
        self._best: list[tuple[float, int, str]] = []
        self._seen = 0

    def watch(self, sample: Sample, outputs: dict[str, Picture], scores: dict[str, dict[str, float]]) -> None:
        first = next((name for name in outputs if name != INPUT and name in scores), None)
        if first is None or INPUT not in scores:
            return
        ranked = primary(sample.clean is not None)
        gain = scores[first][ranked] - scores[INPUT][ranked]
        gain = gain if SCORES[ranked].higher_is_better else -gain
        if math.isnan(gain):
            return
        self._seen += 1
        wanted = [
            (heap, value) for heap, value in ((self._worst, -gain), (self._best, gain)) if self._enters(heap, value)
        ]
        if wanted:
            shown = _figures(sample, outputs, scores, first, ranked)
            for heap, value in wanted:
                heapq.heappush(heap, (value, -self._seen, shown))
                if len(heap) > self.count:
                    heapq.heappop(heap)

    def _enters(self, heap: list[tuple[float, int, str]], value: float) -> bool:
        return len(heap) < self.count or value > heap[0][0]

    @property
    def worst(self) -> list[str]:
        return [shown for *_, shown in sorted(self._worst, reverse=True)]

    @property
    def best(self) -> list[str]:
        """The best, without those that are among the worst already."""
        worst = {seen for _, seen, _ in self._worst}
        return [shown for _, seen, shown in sorted(self._best, reverse=True) if seen not in worst]


def _figures(
    sample: Sample, outputs: dict[str, Picture], scores: dict[str, dict[str, float]], first: str, primary: str
) -> str:
    photos = {name: to_photo(picture) for name, picture in outputs.items() if name in scores}
    rain = np.clip(photos[INPUT].astype(int) - photos[first], 0, 255).astype(np.uint8)
    window = densest(rain.mean(axis=2), LARGEST_WINDOW, LARGEST_WINDOW)
    captions = {name: f"{name}, {formatted(scores[name][primary], primary)}" for name in photos}
    if sample.clean is not None:
        photos["truth"], captions["truth"] = to_photo(sample.clean), "truth"
    photos["rain"], captions["rain"] = (
        np.clip(rain * 2.0, 0, 255).astype(np.uint8),
        f"rain found by {first}, twice as bright",
    )
    cells = "".join(_figure(photo[window], captions[name]) for name, photo in photos.items())
    return f"<h3>{escape(sample.name)}</h3><div class=strip tabindex=0>{cells}</div>"


def _figure(photo: Rgb8, caption: str) -> str:
    options = [cv2.IMWRITE_JPEG_QUALITY, 92, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    codes = cv2.imencode(".jpg", np.ascontiguousarray(photo[..., ::-1]), options)[1]
    data = base64.b64encode(codes.tobytes()).decode()
    height, width = photo.shape[:2]
    image = f'<img width={width} height={height} alt="{escape(caption)}" src="data:image/jpeg;base64,{data}">'
    return f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"


def as_html(
    evaluation: Evaluation, gallery: Gallery, title: str, inputs: dict[str, str], told: Sequence[str] = ()
) -> str:
    """The page.

    Args:
        title: heading, as the user would name the set.
        inputs: what was compared, by role: paths and weights.
        told: sentences on top.
    """
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p class=faint>{counted(evaluation.scored, 'picture')} scored by derain eval"
        + (f", {counted(len(evaluation.problems), 'problem')} listed below" if evaluation.problems else "")
        + "</p>",
        *(f"<p>{escape(sentence)}</p>" for sentence in told if sentence),
        "<h2>Scores</h2>" + _means(evaluation),
        "<h2>Differences</h2><p>Picture by picture, with 95% intervals.</p>" + _differences(evaluation),
        f"<h2>Distribution of {SCORES[evaluation.primary].heading}</h2>" + _distribution(evaluation),
        *_pictures("Worst pictures", "Where the first method gained least, or lost.", gallery.worst),
        *_pictures("Best pictures", "Where it gained most.", gallery.best),
    ]
    if evaluation.problems:
        listed = "".join(f"<li>{escape(problem)}</li>" for problem in evaluation.problems)
        parts.append(f"<h2>Not scored</h2><ul>{listed}</ul>")
    rows = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in (inputs | conditions(evaluation)).items())
    parts.append(f"<h2>Settings</h2><dl>{rows}</dl>")
    head = (
        "<meta charset=utf-8><meta name=viewport content='width=device-width, initial-scale=1'>"
        f"<title>{escape(title)}</title><style>{STYLE}</style>"
    )
    body = "\n".join(parts)
    return f"<!doctype html>\n<html lang=en><head>{head}</head>\n<body>{body}</body></html>\n"


def _headings(evaluation: Evaluation, first: str) -> str:
    cells = "".join(f"<th>{SCORES[s].heading}<br><small>{SCORES[s].unit}</small></th>" for s in evaluation.known_scores)
    return f"<thead><tr><th>{first}</th>{cells}</tr></thead>"


def _means(evaluation: Evaluation) -> str:
    rows = []
    for method in evaluation.methods:
        cells = (
            f"<td>{formatted(e.mean, s)}<small>{interval(e, s)}</small></td>"
            for s, e in evaluation.summary(method).items()
            if s in evaluation.known_scores
        )
        rows.append(f"<tr><td>{escape(method)}</td>{''.join(cells)}</tr>")
    return f"<div class=wide><table>{_headings(evaluation, 'method')}<tbody>{''.join(rows)}</tbody></table></div>"


def _differences(evaluation: Evaluation) -> str:
    rows = []
    for method, other in comparisons(evaluation):
        cells = []
        for score in evaluation.known_scores:
            difference = evaluation.difference(method, other, score)
            word = verdict(difference, score, other)
            value = formatted(difference.mean, score, sign=True)
            cells.append(
                f"<td class='{word}'>{value}<small>{interval(difference, score, sign=True)} {word}</small></td>"
            )
        rows.append(f"<tr><td>{escape(method)} less {escape(other)}</td>{''.join(cells)}</tr>")
    return f"<div class=wide><table>{_headings(evaluation, '')}<tbody>{''.join(rows)}</tbody></table></div>"


def _distribution(evaluation: Evaluation) -> str:
    """A strip a method: each picture a dot, the mean a bar."""
    primary, left, right, row = evaluation.primary, 160, 20, 34
    columns = {m: [v for v in evaluation.column(m, primary).values() if not math.isnan(v)] for m in evaluation.methods}
    known = [value for column in columns.values() for value in column]
    if not known:
        return "<p>No picture has this score.</p>"
    low, high = min(known), max(known)
    span = (high - low) or 1.0
    width, height = 900, row * len(columns) + 34

    def place(value: float) -> float:
        return left + (value - low) / span * (width - left - right)

    drawn = []
    for tick in np.linspace(low, high, 6):
        x = place(float(tick))
        drawn.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{height - 24}"/>')
        drawn.append(
            f'<text class=faint x="{x:.1f}" y="{height - 8}" text-anchor=middle>{formatted(tick, primary)}</text>'
        )
    for index, (method, column) in enumerate(columns.items()):
        y = row * index + 20
        name = method if len(method) <= 22 else method[:21] + "…"
        drawn.append(f'<text x="0" y="{y + 4}">{escape(name)}</text>')
        drawn += [f'<circle cx="{place(value):.1f}" cy="{y}" r="5"/>' for value in column]
        if column:
            mean = place(float(np.mean(column)))
            drawn.append(f'<line class=mean x1="{mean:.1f}" x2="{mean:.1f}" y1="{y - 11}" y2="{y + 11}"/>')
    label = f"{SCORES[primary].heading} of each picture, by method"
    chart = f'<svg role=img aria-label="{label}" viewBox="0 0 {width} {height}">{"".join(drawn)}</svg>'
    return f"<div class=wide>{chart}</div><p class=faint>Each dot is a picture, the bar is the mean.</p>"


def _pictures(heading: str, text: str, figures: list[str]) -> list[str]:
    if not figures:
        return []
    return [f"<h2>{heading}</h2><p>{text} Scroll sideways to compare.</p>", *figures]
