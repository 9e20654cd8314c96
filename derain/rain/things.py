"""Thin things that are no rain, drawn on clean photos: sticks, railings, fronds, grass, windows, lights out of focus.

A network that has seen few of them takes for rain whatever is thin, bright and upright.
"""

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from derain.arrays import Heights, UnitRgb, in_unit
from derain.rain.render import between

SCALE = 2  # drawn larger and then reduced, so that lines may be thinner than a pixel
FINER = 4  # bits of a pixel's position that OpenCV draws by
LEAF_GREEN = (0.45, 0.6, 0.22)
LARGEST_LIGHT = 40  # px, half its length

Vector = NDArray[np.float64]  # (2,): px to the right and down
Colour = NDArray[np.float64]  # (3,) in [0, 1]


def with_things(rng: np.random.Generator, photo: UnitRgb) -> UnitRgb:
    """A square ``(H, H, 3)`` photo in [0, 1] with one kind of thin things on it, at random."""
    kinds, shares = zip(*THINGS)
    return np.asarray(kinds[rng.choice(len(kinds), p=shares)](rng, photo), np.float32)


class Drawing:
    """Lines and boxes of any colour, and where they cover a photo."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.ink = np.zeros((SCALE * size, SCALE * size, 3), np.uint8)
        self.cover = np.zeros((SCALE * size, SCALE * size), np.uint8)

    def line(self, points: ArrayLike, colour: Colour, width: float) -> None:
        at = np.round(np.asarray(points, float) * SCALE * 2**FINER).astype(np.int32)
        for sheet, value, more in ((self.ink, colour * 255, SCALE), (self.cover, [255.0], 0)):
            thickness = max(round(width * SCALE + more), 1)
            cv2.polylines(sheet, [at], False, [float(v) for v in value], thickness, cv2.LINE_AA, FINER)

    def box(self, corner: Vector, size: Vector, colour: Colour) -> None:
        first, last = ([int(v) for v in SCALE * place] for place in (corner, corner + size))
        cv2.rectangle(self.ink, first, last, [float(v) for v in colour * 255], -1)
        cv2.rectangle(self.cover, first, last, [255.0], -1)

    def over(self, rng: np.random.Generator, photo: UnitRgb) -> UnitRgb:
        """The photo behind them, all as sharp as each other, half of them in the scene's light and shadow."""
        size = self.size, self.size
        seen = (cv2.resize(sheet, size, interpolation=cv2.INTER_AREA) for sheet in (self.ink, self.cover))
        ink, cover = (in_unit(sheet) for sheet in seen)
        soft = rng.uniform(0.3, 0.9) if rng.random() < 0.8 else between(rng, (1, 3))
        ink, cover = (np.asarray(cv2.GaussianBlur(sheet, (0, 0), soft), np.float32) for sheet in (ink, cover))
        if rng.random() < 0.5:
            light = photo.mean(axis=2, keepdims=True) / max(float(photo.mean()), 0.05)
            ink = np.clip(ink * light.clip(0.5, 1.5), 0, 1)
        cover = cover[..., None] * np.float32(rng.uniform(0.8, 1) if rng.random() < 0.3 else 1)
        return np.clip(photo * (1 - cover) + ink * cover, 0, 1)


Draw = Callable[[np.random.Generator, UnitRgb, Drawing], None]


def drawn(draw: Draw, rng: np.random.Generator, photo: UnitRgb) -> UnitRgb:
    drawing = Drawing(photo.shape[0])
    draw(rng, photo, drawing)
    return drawing.over(rng, photo)


def sticks(rng: np.random.Generator, photo: UnitRgb, drawing: Drawing) -> None:
    for _ in range(rng.integers(1, 5)):
        way, width = direction(rng, 25), between(rng, (0.7, 4.5))
        ends = rng.uniform(-0.1, 1.1, 2) * drawing.size + np.outer([0, rng.uniform(20, 1.6 * drawing.size)], way)
        colour = colour_near(rng, photo)
        drawing.line(ends, colour, width)
        if width > 1.6 and rng.random() < 0.7:  # metal shines along its length
            shine = ends + across(way) * width * rng.uniform(-0.3, 0.3)
            drawing.line(shine, np.clip(colour + rng.uniform(0.1, 0.5), 0, 1), width * rng.uniform(0.2, 0.45))


def railing(rng: np.random.Generator, photo: UnitRgb, drawing: Drawing) -> None:
    way, period = direction(rng, 4 if rng.random() < 0.7 else 30), between(rng, (4, 28))
    width, height = min(between(rng, (0.7, 5)), 0.55 * period), rng.uniform(0.2, 1.2) * drawing.size
    colour, middle = colour_near(rng, photo), rng.uniform(0.2, 0.8, 2) * drawing.size
    count = int(rng.uniform(0.3, 1.2) * drawing.size / period)
    ends = np.outer([-height / 2, height / 2], way)
    for number in range(-count, count + 1):
        bar = middle + across(way) * number * period + ends
        drawing.line(bar, np.clip(colour * rng.uniform(0.85, 1.15), 0, 1), width)
    for end in ends:
        if rng.random() < 0.7:
            rail = middle + end + np.outer([-count * period, count * period], across(way))
            drawing.line(rail, colour, width * rng.uniform(1, 2))


def fronds(rng: np.random.Generator, photo: UnitRgb, drawing: Drawing) -> None:
    for _ in range(rng.integers(1, 5)):
        green = np.clip(np.array(LEAF_GREEN) * rng.uniform(0.35, 1.5) + rng.normal(0, 0.06, 3), 0, 1)
        frond(rng, green if rng.random() < 0.6 else colour_near(rng, photo), drawing)


def frond(rng: np.random.Generator, colour: Colour, drawing: Drawing) -> None:
    size, way = drawing.size, direction(rng, 60)
    base, length, bend = rng.uniform(-0.2, 1.2, 2) * size, rng.uniform(0.4, 1.3) * size, rng.normal(0, 0.5)
    longest, width, angle = rng.uniform(10, 0.45 * size), between(rng, (0.6, 2.4)), np.radians(rng.uniform(20, 70))

    def stem(along: Vector) -> NDArray[np.float64]:
        return np.asarray(base + length * (np.outer(along, way) + np.outer(along**2 * bend, across(way))))

    for along in np.arange(0.05, 1, between(rng, (2.5, 9)) / length):
        ahead = way + 2 * along * bend * across(way)
        ahead = ahead / np.linalg.norm(ahead)
        for side in (-1, 1):
            spread = angle + rng.normal(0, 0.06)
            reach = longest * np.sin(np.pi * min(along * 0.9 + 0.1, 1)) * rng.uniform(0.8, 1.1)
            leaf = reach * (np.cos(spread) * ahead + side * np.sin(spread) * across(ahead))
            droop = np.array([0, reach * rng.uniform(0, 0.3)])
            points = stem(np.array([along])) + np.array([0 * leaf, 0.6 * leaf + 0.3 * droop, leaf + droop])
            drawing.line(points, np.clip(colour * rng.uniform(0.6, 1.35), 0, 1), width * rng.uniform(0.7, 1.2))
    drawing.line(stem(np.linspace(0, 1, 24)), np.clip(colour * rng.uniform(0.7, 1.3), 0, 1), width * rng.uniform(1, 2))


def grass(rng: np.random.Generator, photo: UnitRgb, drawing: Drawing) -> None:
    """Stems, grass or hair: many thin curves, about one way."""
    size, spread, lean = (
        drawing.size,
        rng.uniform(4, 40),
        rng.normal(0, 20) if rng.random() < 0.7 else rng.uniform(-90, 90),
    )
    length, width, vary = between(rng, (20, 0.8 * size)), between(rng, (0.6, 2)), rng.uniform(0.1, 0.5)
    colour, middle, area = colour_near(rng, photo), rng.uniform(0, size, 2), rng.uniform(0.3, 1.2) * size
    for _ in range(rng.integers(15, 220)):
        way, own = pointing(lean + rng.normal(0, spread)), length * rng.uniform(0.4, 1.2)
        bend = across(way) * rng.normal(0, 0.15) * own
        points = middle + rng.uniform(-0.5, 0.5, 2) * area + np.array([0 * way, way * own / 2 + bend, way * own])
        drawing.line(points, np.clip(colour * (1 + rng.normal(0, vary)), 0, 1), width * rng.uniform(0.6, 1.3))


def windows(rng: np.random.Generator, photo: UnitRgb, drawing: Drawing) -> None:
    period = np.array([between(rng, (6, 40)), between(rng, (8, 50))])
    size = period * np.array([rng.uniform(0.2, 0.8), rng.uniform(0.3, 0.85)])
    first, colour = rng.uniform(-3, 4, 2) * period, colour_near(rng, photo)
    for column in range(rng.integers(2, max(int(drawing.size / period[0]), 3) + 1)):
        for row in range(rng.integers(1, max(int(drawing.size / period[1]), 2) + 1)):
            drawing.box(first + period * (column, row), size, np.clip(colour * rng.uniform(0.8, 1.2), 0, 1))


def lights(rng: np.random.Generator, photo: UnitRgb) -> UnitRgb:
    """Leaves or lamps out of focus, mostly before a scene that is, too."""
    spots, size, long = np.zeros_like(photo), between(rng, (2, 12)), rng.uniform(1, 4)
    lean = rng.uniform(0, 180) if rng.random() < 0.5 else rng.normal(90, 25)
    colour = np.array([0.6, 0.8, 0.35]) if rng.random() < 0.5 else 1 + rng.normal(0, 0.12, 3)
    for _ in range(rng.integers(3, 50)):
        spot = light(rng, photo.shape[0], size * rng.uniform(0.5, 1.5), long, lean + rng.normal(0, 12))
        own = np.clip(colour * (1 + rng.normal(0, 0.1, 3)), 0, 1.3).astype(np.float32)
        spots = np.maximum(spots, spot[..., None] * own)
    spots = np.asarray(cv2.GaussianBlur(spots, (0, 0), between(rng, (0.7, 4))))
    if rng.random() < 0.6:
        photo = np.asarray(cv2.GaussianBlur(photo, (0, 0), between(rng, (0.8, 4))))
    hidden = 1 - photo * np.float32(rng.uniform(0.3, 1))
    return np.clip(photo + spots * np.float32(rng.uniform(0.15, 0.7)) * hidden, 0, 1)


def light(rng: np.random.Generator, side: int, size: float, long: float, lean: float) -> Heights:
    """An ellipse somewhere in a square, brighter or darker."""
    sheet = np.zeros((side, side), np.float32)
    centre = [int(at) for at in rng.uniform(0, side, 2) * 2**FINER]
    axes = [int(min(radius, LARGEST_LIGHT) * 2 ** (FINER - 1)) for radius in (size * long, size)]
    cv2.ellipse(sheet, centre, axes, lean, 0, 360, [float(rng.uniform(0.4, 1))], -1, cv2.LINE_AA, FINER)
    return sheet


THINGS: tuple[tuple[Callable[[np.random.Generator, UnitRgb], UnitRgb], float], ...] = (  # and how often
    (partial(drawn, sticks), 0.24),
    (partial(drawn, railing), 0.14),
    (partial(drawn, fronds), 0.2),
    (partial(drawn, grass), 0.18),
    (partial(drawn, windows), 0.12),
    (lights, 0.12),
)


def colour_near(rng: np.random.Generator, photo: UnitRgb) -> Colour:
    """One of the scene's own, brighter or darker."""
    own = photo[rng.integers(photo.shape[0]), rng.integers(photo.shape[1])]
    grey = rng.uniform(0.35, 1) if rng.random() < 0.65 else rng.uniform(0, 0.35)
    share = rng.uniform(0.2, 0.9)
    return np.asarray(np.clip((own * (1 - share) + grey * share) * (1 + rng.normal(0, 0.12, 3)), 0, 1), np.float64)


def direction(rng: np.random.Generator, spread: float) -> Vector:
    """Mostly near the vertical, sometimes any."""
    return pointing(rng.normal(0, spread) if rng.random() < 0.7 else rng.uniform(-90, 90))


def pointing(degrees: float) -> Vector:
    """Of length 1, at an angle from the vertical."""
    return np.array([np.sin(np.radians(degrees)), np.cos(np.radians(degrees))])


def across(way: Vector) -> Vector:
    return np.array([way[1], -way[0]])
