"""Temporal fusion: streaks that the network left go, what it took comes back, and nothing that moves leaves a ghost."""

import cv2
import numpy as np
import pytest

from derain.evaluation.self_test import draw_scene
from derain.video.fusion import REACH, fused

HEIGHT, WIDTH, COUNT = 120, 160, 7


def clip(shift=0.0, dtype=np.uint8, seed=0):
    """Truths under new streaks in each frame, and backgrounds that keep some of them and lose some detail."""
    rng = np.random.default_rng(seed)
    white = np.iinfo(dtype).max
    scene = cv2.GaussianBlur(draw_scene(rng, 256), (0, 0), 1.0) * 0.7
    for index in range(COUNT):
        turn = np.float32([[1, 0, -20 - shift * index], [0, 1, -70]])
        truth = cv2.warpAffine(scene, turn, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC).clip(0, 1)
        streaks = np.zeros((HEIGHT, WIDTH, 1), np.float32)
        for column, top in zip(rng.integers(0, WIDTH, 25), rng.integers(0, HEIGHT - 30, 25)):
            streaks[top : top + 25, column] = 0.25
        taken = 0.05 * (rng.random((HEIGHT, WIDTH, 1)) < 0.1)
        rainy, background = truth + streaks, truth + 0.5 * streaks - taken
        yield tuple((p.clip(0, 1) * white + 0.5).astype(dtype) for p in (rainy, background, truth))


def error(pictures, truths) -> float:
    return float(np.mean([np.square(a.astype(float) - b).mean() for a, b in zip(pictures, truths)]))


@pytest.mark.parametrize("shift, share", [(0.0, 0.05), (1.5, 0.4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_the_neighbours_know_replaces_what_the_network_got_wrong(shift, share, dtype):
    rainy, backgrounds, truths = zip(*clip(shift, dtype))
    result = list(fused(zip(rainy, backgrounds)))
    assert len(result) == COUNT and all(r.dtype == dtype and r.shape == (HEIGHT, WIDTH, 3) for r in result)
    assert error(result, truths) < share * error(backgrounds, truths)
    assert all((r <= frame).all() for r, frame in zip(result, rainy))


def test_a_still_scene_flickers_less_than_half():
    rainy, backgrounds, _ = zip(*clip())
    result = list(fused(zip(rainy, backgrounds)))
    shaking = [np.mean([np.abs(a.astype(int) - b).mean() for a, b in zip(p, p[1:])]) for p in (result, backgrounds)]
    assert shaking[0] < 0.2 * shaking[1]


def test_a_bright_thing_that_moves_leaves_no_ghost():
    rng = np.random.default_rng(1)
    scene = (draw_scene(rng, 160) * 180).astype(np.uint8)
    frames = []
    for index in range(COUNT):
        frame = scene.copy()
        frame[40:90, 10 + 12 * index : 50 + 12 * index] = (230, 225, 220)
        frames.append(frame)
    result = list(fused(zip(frames, frames)))
    assert max(np.abs(r.astype(int) - f).max(axis=2).mean() for r, f in zip(result, frames)) < 1.0
    inside = [r[45:85, 16 + 12 * i : 44 + 12 * i] for i, r in enumerate(result)]
    assert min(part.min() for part in inside) > 200


def test_nothing_changes_where_the_network_sees_no_rain():
    """Noise and small things that move are no rain, whatever the neighbours show."""
    rainy = [frame for frame, _, _ in clip()]
    assert all(np.array_equal(r, f) for r, f in zip(fused(zip(rainy, rainy)), rainy))


def test_no_frame_is_mixed_across_a_cut():
    first, second = ([p for _, _, p in clip(seed=seed)] for seed in (2, 9))
    frames = [*first[:4], *[255 - p for p in second[:4]]]
    result = list(fused(zip(frames, frames)))
    assert all(np.abs(r.astype(int) - f).mean() < 1.0 for r, f in zip(result, frames))


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("size", [(1, 1), (5, 40), (33, 17)])
def test_short_and_small_clips_come_through(count, size):
    rng = np.random.default_rng(0)
    pairs = [(p, p // 2) for p in rng.integers(0, 255, (count, *size, 3), dtype=np.uint8)]
    result = list(fused(pairs))
    assert len(result) == count and all(r.shape == (*size, 3) for r in result)


def test_a_frame_depends_on_nothing_beyond_its_reach():
    """So a run that is resumed goes on exactly as an undisturbed one."""
    pairs = [(rainy, background) for rainy, background, _ in clip(1.5)]
    whole, late = list(fused(pairs)), list(fused(pairs[2:]))
    assert all(np.array_equal(a, b) for a, b in zip(whole[2 + REACH :], late[REACH:], strict=True))


def test_frames_come_out_only_so_late():
    taken = []

    def watched():
        for rainy, background, _ in clip():
            taken.append(1)
            yield rainy, background

    for index, _ in enumerate(fused(watched())):
        assert len(taken) <= index + REACH + 1
