"""The restorer, and reading ahead."""

import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

from derain.errors import PhotoError, UsageError
from derain.models.contract import Derainer
from derain.restoring.ahead import ahead, drawn_ahead
from derain.restoring.restorer import Restorer


class Halving(Derainer):
    """Half of the light is rain; pictures with a side of more than ``most`` px do not fit into the memory."""

    halo = 0

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most, self.weight, self.seen = most, torch.nn.Parameter(torch.zeros(1)), list[int]()

    def layers(self, rainy):
        self.seen.append(max(rainy.shape[-2:]))
        if self.seen[-1] > self.most:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
        return rainy / 2, rainy / 2


@pytest.fixture
def photo(rng):
    return rng.integers(0, 256, (180, 240, 3), dtype=np.uint8)


def test_a_tile_that_runs_out_of_memory_is_halved(photo):
    model = Halving(most=130)
    tiled, whole = Restorer(model, tile=0).layers(photo), Restorer(Halving(most=240), tile=0).layers(photo)
    assert model.seen[0] == 240 and model.seen[1] == 120
    assert np.array_equal(tiled.background, whole.background) and np.array_equal(tiled.rain, whole.rain)
    assert np.array_equal(whole.background + whole.rain, photo)


def test_a_tile_that_never_fits_ends_in_a_sentence(photo):
    with pytest.raises(PhotoError, match="not enough memory"):
        Restorer(Halving(most=10)).layers(photo)


def test_an_unknown_precision_is_refused_before_any_work():
    with pytest.raises(UsageError, match="float16"):
        Restorer(Halving(most=10), "float16")


def test_items_are_handed_on_in_order_and_only_so_many_are_ahead():
    begun, drawn = [], []
    gate = threading.Event()

    def work(number):
        begun.append(number)
        if number == 0:
            gate.wait(10)  # the first is the last to be done
        else:
            gate.set()
        return number * number

    def numbers():
        for number in range(9):
            drawn.append(number)
            yield number

    results = ahead(work, numbers(), most=3, threads=3)
    assert next(results) == 0 and max(begun) < 3 and max(drawn) <= 3
    assert list(results) == [number * number for number in range(1, 9)]


def test_what_fails_ahead_is_raised_at_its_place():
    def numbers():
        yield from range(3)
        raise PhotoError("damaged")

    worked, drawn = ahead(lambda n: 6 // (3 - n), range(9), most=5), drawn_ahead(numbers(), most=5)
    assert [next(worked) for _ in range(3)] == [2, 3, 6]
    assert [next(drawn) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ZeroDivisionError):
        next(worked)
    with pytest.raises(PhotoError, match="damaged"):
        next(drawn)


def test_what_was_drawn_before_a_failure_is_not_lost():
    def numbers():
        yield from range(3)
        raise PhotoError("damaged")

    for threads in (0, 1, 2):
        doubled = ahead(lambda n: 2 * n, numbers(), most=5, threads=threads)
        assert [next(doubled) for _ in range(3)] == [0, 2, 4]
        with pytest.raises(PhotoError, match="damaged"):
            next(doubled)


def test_items_are_drawn_in_another_thread():
    threads = list(drawn_ahead((threading.get_ident() for _ in range(4)), most=2))
    assert len(threads) == 4 and set(threads) != {threading.get_ident()}


def test_a_photo_loads_nothing_that_takes_long_and_is_not_needed(tmp_path, photo):
    """A large one with rain all over: the network looks at it reduced, too, and cleans what it finds there."""
    code = f"""
import sys
import cv2, numpy as np
from derain import batch, load
rng = np.random.default_rng(0)
streaks = cv2.blur((rng.random((810, 820)) < 0.02).astype(np.float32), (2, 25))
rainy = np.clip(90 + 255 * 3 * cv2.merge([streaks] * 3), 0, 255).astype(np.uint8)
photo = {str(tmp_path / "a.png")!r}
cv2.imwrite(photo, rainy)
(outcome,) = batch.run(batch.plan([photo], batch.Target(rain=True, compare=True)), load())
assert not outcome.error and not outcome.untouched
print(*sorted({{"scipy", "skimage", "av", "torch._dynamo"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
