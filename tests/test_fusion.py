"""Temporal fusion: streaks that the network left go, detail that it took comes back, nothing leaves a ghost."""

import cv2
import numpy as np
import pytest
import torch

from derain.evaluation.self_test import draw_scene
from derain.video import consensus as consensus_module
from derain.video import device_fusion, fusion
from derain.video.dark_rain import shares_of_dark_rain
from derain.video.fusion import REACH, Aligned, consensus, fused

HEIGHT, WIDTH, COUNT = 120, 160, 8


def scene(seed=0):
    return cv2.GaussianBlur(draw_scene(np.random.default_rng(seed), 256), (0, 0), 0.8) * np.float32(0.7)


def window(picture, x, y=60.0):
    turn = np.float32([[1, 0, -x], [0, 1, -y]])
    return cv2.warpAffine(picture, turn, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC).clip(0, 1)


def clip(truths, seed=0, dtype=np.uint8):
    """Rainy frames, backgrounds that keep half of each streak and have lost some detail, and truths."""
    rng = np.random.default_rng(seed)
    clips = [], [], []
    for truth in truths:
        streaks, taken = (np.zeros((HEIGHT, WIDTH, 1), np.float32) for _ in range(2))
        for layer, height in ((streaks, 0.25), (taken, 0.06)):
            for column, top in zip(rng.integers(0, WIDTH, 25), rng.integers(0, HEIGHT - 30, 25)):
                layer[top : top + 25, column] = height
        for frames, frame in zip(clips, (truth + streaks, truth + 0.5 * streaks - taken, truth)):
            frames.append((frame.clip(0, 1) * np.iinfo(dtype).max + 0.5).astype(dtype))
    return clips


def panned(shift, **options):
    picture = scene()
    return clip([window(picture, 20 + shift * index, 60 + 0.3 * shift * index) for index in range(COUNT)], **options)


def error(pictures, truths):
    return float(np.mean([np.square(a.astype(float) - b).mean() for a, b in zip(pictures, truths, strict=True)]))


def flicker(pictures):
    return float(np.mean([np.abs(a.astype(int) - b).mean() for a, b in zip(pictures, pictures[1:])]))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shift, share", [(0.0, 0.02), (1.7, 0.15)])
def test_neighbours_correct_what_the_network_got_wrong(shift, share, dtype):
    rainy, single, truths = panned(shift, dtype=dtype)
    result = list(fused(zip(rainy, single)))
    assert all(r.dtype == dtype and r.shape == (HEIGHT, WIDTH, 3) for r in result)
    assert error(result, truths) < share * error(single, truths)
    tolerance = np.iinfo(dtype).max * 3 / 255
    assert all((r <= frame + tolerance).all() for r, frame in zip(result, rainy))


def test_a_still_scene_stops_flickering():
    rainy, single, _ = panned(0.0)
    assert flicker(list(fused(zip(rainy, single)))) < 0.2 * flicker(single)


def test_light_that_fades_is_followed():
    picture = window(scene(), 20)
    rainy, single, truths = clip([picture * (0.7 + 0.02 * index) for index in range(COUNT)])
    result = list(fused(zip(rainy, single)))
    assert error(result, truths) < error(single, truths)
    assert abs(np.mean(result[4]) - np.mean(truths[4])) < 2


@pytest.mark.parametrize("light", [(230, 225, 220), (15, 15, 20), (200, 60, 50)])
@pytest.mark.parametrize("width, pace", [(40, 12), (40, 2), (14, 20)])
def test_what_moves_leaves_no_ghost(light, width, pace):
    still = (window(scene(1), 20) * 200).astype(np.uint8)
    frames = []
    for index in range(COUNT):
        frame = still.copy()
        frame[40:90, 5 + pace * index : 5 + pace * index + width] = light
        frames.append(frame)
    for frame, result in zip(frames, fused(zip(frames, frames)), strict=True):
        smooth = cv2.GaussianBlur(result.astype(np.float32) - frame, (0, 0), 2.0)
        assert np.abs(smooth).max() < 15 and np.abs(smooth).mean() < 0.3


def test_rain_goes_behind_a_moving_thing_too():
    still, thing = window(scene(), 20), window(scene(3), 60)
    truths = []
    for index in range(COUNT):
        truths.append(still.copy())
        truths[-1][30:90, 10 + 6 * index : 70 + 6 * index] = thing[30:90, 50:110]
    rainy, single, truths = clip(truths)
    assert error(fused(zip(rainy, single)), truths) < 0.5 * error(single, truths)


def test_nothing_crosses_a_cut():
    first, second = (clip([window(scene(seed), 20)] * 4, seed)[:2] for seed in (2, 9))
    after = [p[:, ::-1] for p in second[0]], [p[:, ::-1] for p in second[1]]
    whole = list(fused(zip(first[0] + after[0], first[1] + after[1])))
    alone = [*fused(zip(*first)), *fused(zip(*after))]
    assert all(np.array_equal(a, b) for a, b in zip(whole, alone, strict=True))


@pytest.mark.parametrize("count", [0, 1, 2, 3])
@pytest.mark.parametrize("size", [(1, 1), (1, 50), (5, 40), (33, 27)])
def test_short_and_small_clips_come_through(count, size):
    rng = np.random.default_rng(0)
    pairs = [(p, p // 2) for p in rng.integers(0, 255, (count, *size, 3), dtype=np.uint8)]
    result = list(fused(pairs))
    assert len(result) == count and all(r.shape == (*size, 3) for r in result)
    assert count != 1 or np.array_equal(result[0], pairs[0][1])


@pytest.mark.parametrize("shift", [0.0, 1.7])
def test_a_frame_depends_on_nothing_beyond_its_reach(shift):
    """So a run that is resumed goes on exactly as an undisturbed one."""
    pairs = list(zip(*panned(shift)[:2]))
    whole = list(fused(pairs))
    for start in range(1, COUNT - REACH):
        late = list(fused(pairs[start:]))
        assert all(np.array_equal(a, b) for a, b in zip(whole[start + REACH :], late[REACH:], strict=True))
    early = list(fused(pairs[:-1]))
    assert all(np.array_equal(a, b) for a, b in zip(whole, early[:-REACH]))


def test_frames_come_out_only_so_late():
    taken = []

    def watched():
        for pair in zip(*panned(0.0)[:2]):
            taken.append(pair)
            yield pair

    for index, _ in enumerate(fused(watched())):
        assert len(taken) <= index + REACH + 1
    assert index + 1 == len(taken) > REACH + 1


def test_inputs_stay_as_they_are():
    rainy, single, _ = panned(1.7)
    before = [p.copy() for p in (*rainy, *single)]
    list(fused(zip(rainy, single)))
    assert all(np.array_equal(a, b) for a, b in zip(before, (*rainy, *single)))


def test_where_no_neighbour_shows_a_place_the_networks_own_result_stays():
    background = np.full((8, 8, 3), 100, np.uint8)
    rainy = background + np.uint8(4)
    hidden = Aligned(rainy, np.full((8, 8), 104, np.uint8), np.zeros((8, 8), np.uint8))
    found = consensus(rainy, background, np.full((8, 8), 4, np.uint8), [hidden, hidden])
    assert np.array_equal(found, background)


@pytest.mark.parametrize("device", [None, "cpu"])
def test_a_date_and_a_speed_that_changes_stay(device):
    rainy, single, truths = panned(2.6)
    for frames in (rainy, single, truths):
        for index, frame in enumerate(frames):
            text = f"12:34 {18 if index < 4 else 65} km/h"
            cv2.putText(frame, text, (8, HEIGHT - 10), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (250,) * 3, 1)
    result = list(fused(zip(rainy, single), device and torch.device(device)))
    for columns in (slice(6, 130), slice(56, 76)):
        where = np.s_[HEIGHT - 24 : HEIGHT - 6, columns]
        found, alone = (error([each[where] for each in kind], [t[where] for t in truths]) for kind in (result, single))
        assert found < 1.7 * alone


@pytest.mark.parametrize("device", [None, "cpu"])
def test_where_it_rains_densely_in_all_frames_their_darkest_is_no_limit(device):
    """What does not change from frame to frame is no rain, whatever the network says."""
    rng = np.random.default_rng(0)
    truth = np.full((HEIGHT, WIDTH, 3), 80, np.uint8)
    truth[:, WIDTH // 2 :: 8] = 90  # stripes that the network takes for rain
    single = np.full_like(truth, 80)
    frames = [truth + rng.integers(3, 40, (HEIGHT, WIDTH, 1), dtype=np.uint8) for _ in range(COUNT)]
    frames = [np.where(np.arange(WIDTH)[:, None] < WIDTH // 2, frame, truth) for frame in frames]
    result = list(fused(zip(frames, [single] * COUNT), device and torch.device(device)))[REACH:-REACH]
    left, right = np.abs(np.subtract(result, truth, dtype=float))[:, 8:-8, 8:-8].mean((0, 1, 3)).reshape(2, -1)
    assert left[:-8].mean() < 5 and right[8:].mean() < 0.2


def test_nothing_changes_where_the_network_sees_no_rain():
    """Noise is no rain, whatever the neighbours show."""
    rng = np.random.default_rng(0)
    frames = [rng.integers(90, 110, (60, 80, 3), dtype=np.uint8) for _ in range(6)]
    assert all(np.array_equal(r, f) for r, f in zip(fused(zip(frames, frames)), frames, strict=True))


def test_frames_without_rain_cost_no_search_for_motion(monkeypatch):
    frames = panned(1.7)[2]
    monkeypatch.setattr(fusion, "motion_both_ways", None)
    assert all(np.array_equal(r, f) for r, f in zip(fused(zip(frames, frames)), frames, strict=True))


def test_rain_that_begins_is_fused_as_if_all_frames_before_had_been_looked_at():
    rainy, single, truths = panned(1.7)
    begins = list(zip([*truths[:4], *rainy[4:]], [*truths[:4], *single[4:]]))
    found = list(fused(begins, threads=3))
    first = 4 - REACH
    assert not np.array_equal(found[first], truths[first]) and np.array_equal(found[first - 1], truths[first - 1])
    assert error(found[4:], truths[4:]) < 0.5 * error(single[4:], truths[4:])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shift", [0.0, 1.7])
def test_a_device_gives_what_the_processor_gives(shift, dtype):
    """Seldom a threshold falls to the other side."""
    pairs = list(zip(*panned(shift, dtype=dtype)[:2]))
    level = np.iinfo(dtype).max / 255
    on_device = list(fused(pairs, torch.device("cpu"), threads=2))
    assert all(picture.dtype == dtype and picture.shape == (HEIGHT, WIDTH, 3) for picture in on_device)
    differences = np.abs([a.astype(float) - b for a, b in zip(on_device, fused(pairs), strict=True)]) / level
    assert np.mean(differences > 1) < 0.001 and differences.mean() < 0.03


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (33, 27)])
def test_a_device_takes_small_clips(size):
    rng = np.random.default_rng(0)
    pairs = [(p, p // 2) for p in rng.integers(0, 255, (3, *size, 3), dtype=np.uint8)]
    on_device = list(fused(pairs, torch.device("cpu")))
    assert np.mean([np.abs(a.astype(int) - b) > 1 for a, b in zip(on_device, fused(pairs), strict=True)]) < 0.05


@pytest.mark.parametrize("place", ["place_frame", "fused_on_device"])
def test_on_a_full_device_fusion_goes_on_without_it(monkeypatch, place):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    pairs = list(zip(*panned(0.0)[:2]))
    expected = list(fused(pairs))
    monkeypatch.setattr(fusion, place, full)
    assert all(np.array_equal(a, b) for a, b in zip(fused(pairs, torch.device("cpu")), expected, strict=True))


def test_threads_change_nothing():
    pairs = list(zip(*panned(1.7)[:2]))
    assert all(np.array_equal(a, b) for a, b in zip(fused(pairs, threads=3), fused(pairs), strict=True))


SKY = slice(0, 60)


def before_a_sky(dtype=np.uint8, post=False):
    """Rainy frames, backgrounds of a network that takes bright rain and leaves dark rain, and truths."""
    rng, clips, ground = np.random.default_rng(0), ([], [], []), window(scene(), 20) * 120
    for index in range(COUNT):
        truth = ground.copy()
        truth[SKY] = 215, 220, 235
        if post:
            truth[20:60, 20 + 6 * index : 23 + 6 * index] = 30
        drops = np.zeros((HEIGHT, WIDTH, 1), np.float32)
        for column, top in zip(rng.integers(0, WIDTH, 70), rng.integers(0, HEIGHT - 20, 70)):
            drops[top : top + 20, column] = 0.6
        rainy = truth + drops * (150 - truth)
        for frames, frame in zip(clips, (rainy, np.minimum(rainy, truth), truth)):
            frames.append((frame * (np.iinfo(dtype).max / 255) + 0.5).astype(dtype))
    return clips


@pytest.mark.parametrize("device", [None, torch.device("cpu")])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_streaks_darker_than_the_sky_go(device, dtype):
    rainy, single, truths = before_a_sky(dtype)
    result = list(fused(zip(rainy, single), device))
    before, after = (error([picture[SKY] for picture in p], [t[SKY] for t in truths]) for p in (single, result))
    assert after < 0.1 * before
    assert error(result, truths) < 0.2 * error(single, truths)


def test_a_dark_post_that_moves_before_the_sky_stays():
    rainy, single, truths = before_a_sky(post=True)
    results = list(fused(zip(rainy, single)))
    shown = np.concatenate([result[(truth == 30).all(axis=2)] for result, truth in zip(results, truths)])
    assert np.mean(shown > 40) < 0.02


def test_long_thin_things_that_move_all_over_the_sky_are_no_rain():
    """Trunks that pan by, and streaks as dark and as wide."""
    rng, height, width = np.random.default_rng(0), 160, 256
    rain = np.zeros((height, width), np.float32)
    for column, top in zip(rng.integers(0, width, 60), rng.integers(0, height, 60)):
        rain[top : top + 16, column] = 20

    def sky(length, index):
        frame = np.full((height, width), 220, np.float32)
        for start in rng.integers(0, width, 40) if length < height else range(0, width, 24):
            top = rng.integers(0, height - length + 1)
            frame[top : top + length, (start + 11 * index) % width] = 150
        return frame

    def share(length):
        frames = torch.from_numpy(np.stack([sky(length, index) for index in range(5)]))
        return shares_of_dark_rain(frames[2], torch.from_numpy(rain), frames[[0, 1, 3, 4]]).mean()

    assert share(20) > 0.5 and share(height) == 0


def test_bright_rain_before_a_bright_wall_is_taken_as_ever():
    wall = [np.full((HEIGHT, WIDTH, 3), 180, np.uint8)] * COUNT
    rainy, single, truths = clip([picture / np.float32(255) for picture in wall])
    assert error(fused(zip(rainy, single)), truths) < 0.05 * error(single, truths)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_on_a_device_is_the_processors(dtype):
    picture = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (40, 50, 3), dtype=dtype, endpoint=True)
    there = torch.from_numpy(picture.astype(np.float32)).permute(2, 0, 1)
    assert np.array_equal(device_fusion.grey(there).numpy(), consensus_module.grey(picture))
