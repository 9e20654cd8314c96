"""The restorer, and reading ahead."""

import copy
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import pytest
import torch
from PIL import Image

import derain
from derain import batch
from derain.arrays import in_unit, to_bytes
from derain.batch import running
from derain.errors import PhotoError, UsageError
from derain.models.contract import Derainer
from derain.models.deployable import ResidualBlock
from derain.photos import read_photo, write_photo
from derain.rain.amount import amount
from derain.restoring import devices, restorer
from derain.restoring.ahead import ahead, drawn_ahead
from derain.restoring.conversion import write_if_finite
from derain.restoring.restorer import Restorer
from derain.video import frames, process
from derain.video.pipeline import model_of
from derain.weights import load, save
from tests.test_video import make_clip, save_photo
from tests.test_video import picture as scene


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


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels_last", [True, False])
def test_every_value_of_a_photo_comes_back_from_the_network_as_it_went_in(dtype, channels_last):
    values = np.arange(np.iinfo(dtype).max + 1, dtype=dtype)
    photo = np.stack([values, values[::-1], np.roll(values, 7)], axis=-1).reshape(16, -1, 3)
    image = torch.from_numpy(in_unit(photo)).permute(2, 0, 1)
    assert np.array_equal(in_unit(photo), photo.astype(np.float32) / np.float32(values[-1]))
    found = np.zeros((20, photo.shape[1] + 4, 3), dtype)
    assert write_if_finite(image if channels_last else image.contiguous(), found[2:-2, 2:-2])
    assert np.array_equal(found[2:-2, 2:-2], photo) and not found[:2].any() and not found[:, -2:].any()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_however_whole_numbers_lie_in_memory_they_are_divided_by_the_largest(rng, dtype):
    white = np.iinfo(dtype).max
    pixels = rng.integers(0, white + 1, (8, 9, 3), dtype=dtype)
    turned = pixels[:, ::-1], pixels.transpose(1, 0, 2), pixels[2:5, 3:4], pixels[..., :1], pixels[0, :, 0], pixels[:0]
    for part in (pixels, *turned):
        assert np.array_equal(in_unit(part), part.astype(np.float32) / np.float32(white)) and in_unit(part).ndim
    out = np.empty(pixels.shape, np.float32)
    in_unit(pixels[2:4], out[2:4])
    assert np.array_equal(out[2:4], in_unit(pixels)[2:4])
    if dtype == np.uint8:
        assert np.array_equal(to_bytes(in_unit(pixels)), pixels)
        assert list(to_bytes(np.array([-0.1, 1.1]))) == [0, 255]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("tile", [0, 96])
def test_a_large_photo_is_the_same_in_strips_of_which_the_finest_level_sees_few_rows(
    monkeypatch, photo, small_weights, precision, tile
):
    photo, model = photo[:171, :235], load(str(small_weights))
    for part in model.modules():
        if isinstance(part, ResidualBlock):
            torch.nn.init.normal_(part.second.weight, std=0.05)
    torch.nn.init.normal_(model.tail.weight, std=0.2)
    at_once = Restorer(model, precision, tile).layers(photo)
    monkeypatch.setattr(restorer, "WORTH_STRIPS", 0)
    monkeypatch.setattr(restorer, "BROAD_STRIP_PIXELS", 235 * 8)
    in_strips = Restorer(model, precision, tile)
    rows = list[int]()
    for network, _ in in_strips.networks(235):
        network.head.register_forward_pre_hook(lambda module, given: rows.append(given[0].shape[2]))
    found = in_strips.layers(photo)
    assert at_once.rain.any() and np.abs(found.background.astype(int) - at_once.background).max() <= 1
    assert np.array_equal(found.background + found.rain, photo)
    assert 0 < max(rows) < 80 and len(rows) > 5


def test_what_is_not_finite_in_half_precision_is_found_anew_in_strips(monkeypatch, photo, small_weights):
    monkeypatch.setattr(restorer, "WORTH_STRIPS", 0)
    model = load(str(small_weights))
    wanted = Restorer(model, "float32").layers(photo).background
    half = Restorer(model, "bfloat16")
    broken = copy.deepcopy(model).to(torch.bfloat16)
    broken.tail.bias.data.fill_(float("inf"))
    half.__dict__["quick"] = broken
    assert np.array_equal(half.layers(photo).background, wanted)
    half.model.tail.bias.data.fill_(float("inf"))
    with pytest.raises(PhotoError, match="not finite"):
        half.layers(photo)


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


def test_where_a_gpu_waits_for_them_photos_are_read_and_written_side_by_side(tmp_path, rng, monkeypatch):
    """In order and whatever fails, with no more of them in memory than fit."""
    monkeypatch.setattr(running.Pace, "of", lambda restorer: running.Pace(photos=2, files=3))
    for index in range(6):
        write_photo(tmp_path / f"{index}.png", rng.integers(0, 256, (40, 40 + index, 3), dtype=np.uint8))
    (tmp_path / "2.png").write_bytes(b"no photo")
    outcomes = list(batch.run(batch.plan([tmp_path], batch.Target(tmp_path / "out")), Halving(most=99)))
    assert [outcome.width for outcome in outcomes] == [40, 41, 0, 43, 44, 45]
    assert [outcome.job.source.stem for outcome in outcomes if outcome.error] == ["2"]
    assert sorted(path.stem for path in (tmp_path / "out").iterdir()) == ["0", "1", "3", "4", "5"]


def test_fewer_photos_are_read_ahead_where_memory_is_short(monkeypatch, tmp_path):
    pace, job = running.Pace(photos=2, files=8, largest=10**8), batch.Job(tmp_path, tmp_path)
    room = []
    for free in (0, 10**9, 10**12):
        monkeypatch.setattr(running, "free_memory", lambda device, free=free: free)
        room.append(pace.most_read(job))
    assert room == [2, 4, 9] and running.Pace(files=8).most_read(job) == 2


def test_nothing_more_is_begun_once_nobody_asks():
    begun = []
    gate = threading.Event()
    results = ahead(lambda n: begun.append(n) or gate.wait(10) if n else begun.append(n), range(9), most=5)
    next(results)
    threading.Timer(0.05, gate.set).start()
    results.close()
    assert max(begun) <= 1


@pytest.mark.parametrize("faster", [True, False])
def test_automatic_precision_is_the_one_that_is_measured_to_be_faster(monkeypatch, faster):
    cpu = torch.device("cpu")
    monkeypatch.setattr(devices, "half_is_faster", lambda device, threads: faster)
    assert Restorer(Halving(most=10)).half == faster
    assert devices.half_precision("bfloat16", cpu) and not devices.half_precision("float32", cpu)


def test_precision_is_measured_once_for_a_number_of_threads(monkeypatch):
    devices.half_is_faster.cache_clear()
    looks = []
    monkeypatch.setattr(devices.time, "process_time", lambda: looks.append(len(looks)) or float(len(looks)))
    random = torch.get_rng_state()
    assert len({Restorer(Halving(most=10)).half for _ in range(3)}) == 1 and 0 < len(looks) <= 20
    assert torch.equal(torch.get_rng_state(), random)
    devices.half_is_faster.cache_clear()
    looks.clear()
    with ThreadPoolExecutor(4) as threads:  # of which one measures, undisturbed by the others
        assert len(set(threads.map(devices.half_is_faster, 4 * [torch.device("cpu")], 4 * [1]))) == 1
    assert len(looks) <= 20
    assert devices.half_is_faster(device=torch.device("cpu"), threads=1) in (True, False)
    devices.half_is_faster.cache_clear()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_a_process_that_is_forked_while_another_thread_measures_does_not_wait_for_it():
    begun, parent_is_done, here = threading.Event(), threading.Event(), os.getpid()

    @devices.measured_once
    def measure(threads: int) -> bool:
        if os.getpid() == here:
            begun.set()
            parent_is_done.wait()
        return True

    measuring = threading.Thread(target=measure, args=[1])
    measuring.start()
    begun.wait()
    if not (child := os.fork()):
        signal.alarm(10)  # ends it if it waits
        os._exit(0 if measure(1) else 1)
    parent_is_done.set()
    measuring.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_weights_of_half_precision_take_and_give_float32():
    quick = load().to(torch.bfloat16)
    photo = torch.rand(1, 3, 32, 48)
    with torch.inference_mode():
        background, rain = quick(photo)
        assert background.dtype == torch.float32 and torch.allclose(background, load()(photo)[0], atol=0.02)
        assert torch.equal(background + rain, photo) or torch.allclose(background + rain, photo, atol=1e-6)


def test_a_device_too_full_to_measure_its_precision_uses_float32(monkeypatch):
    def full(device, threads):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(devices, "half_is_faster", full)
    assert not Restorer(Halving(most=10)).half


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((8, 8)), np.zeros((8, 8, 3), np.float32), np.zeros((8, 8, 4), np.uint8), np.zeros((0, 8, 3), np.uint8)],
    ids=lambda photo: f"{photo.dtype}{photo.shape}",
)
def test_what_is_no_photo_is_refused_in_a_sentence(small_weights, wrong):
    with pytest.raises(UsageError, match=r"`photo`: give an \(H, W, 3\) array of uint8 or uint16, not one of .*"):
        restorer.restore(load(str(small_weights)), wrong)


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda model: load(device="foo"), "`device` foo: choose"),
        (lambda model: restorer.restore(model, Image.new("RGB", (8, 8))), r"`photo`: give .* not Image"),
        (lambda model: restorer.restore("derain", np.zeros((8, 8, 3), np.uint8)), r"`model`: give .* not str"),
        (lambda model: model(torch.zeros(3, 8, 8)), r"`rainy`: give .* shape \(3, 8, 8\)"),
        (lambda model: model(np.zeros((1, 3, 8, 8))), r"`rainy`: give .* not ndarray"),
        (lambda model: amount(Image.new("RGB", (8, 8))), "`rain`: give"),
        (lambda model: model_of("derain"), r"`model`: give .* not str"),
    ],
)
def test_what_the_functions_of_the_library_do_not_take_is_refused_in_a_sentence(small_weights, call, said):
    with pytest.raises(UsageError, match=said):
        call(load(str(small_weights)))


@pytest.fixture(params=["float64", "meta"])
def other_defaults(request):
    """What a program that uses derain may have made of torch's defaults."""

    def choose():
        torch.set_default_dtype(torch.float64) if request.param == "float64" else torch.set_default_device("meta")

    yield choose
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)


def test_defaults_of_torch_play_no_part(other_defaults, tmp_path, small_weights):
    photo, clip = scene(0), make_clip(tmp_path / "a.mkv", 2, "ffv1", "bgr0", base=Fraction(1, 1000))
    save_photo(photo, tmp_path / "a.png")

    def everything(folder):
        model = derain.load(small_weights)
        (done,) = batch.run(batch.plan(tmp_path / "a.png", batch.Target(folder, is_folder=True)), model)
        assert done.error is None, done.error
        process(clip, folder / "a.mkv", model)
        save(model, folder / "saved.safetensors")
        shown = [frame.pixels for frame in frames(folder / "a.mkv")]
        images = model(torch.from_numpy(photo.transpose(2, 0, 1)[None] / np.float32(255)))
        layers = derain.restore(model, photo)
        found = [*shown, *layers, read_photo(folder / "a.png"), *(layer.numpy() for layer in images)]
        return found, (folder / "saved.safetensors").read_bytes()

    expected, saved = everything(tmp_path / "before")
    other_defaults()
    found, saved_again = everything(tmp_path / "after")
    assert saved == saved_again
    for one, other in zip(expected, found, strict=True):
        assert one.dtype == other.dtype and np.array_equal(one, other)


def test_a_single_photo_is_planned_without_a_list(tmp_path):
    write_photo(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8))
    for one in (tmp_path / "a.png", str(tmp_path / "a.png")):
        assert [job.source for job in batch.plan(one)] == [tmp_path / "a.png"]
