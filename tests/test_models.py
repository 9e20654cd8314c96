"""The contract, and what the deployable network promises by construction."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

import derain
from derain.errors import PhotoError, UsageError
from derain.models import build, nlcl
from derain.models.deployable import DerainConfig, DerainNet, receptive_radius
from derain.photos import read_photo
from derain.rain.render import render
from derain.restoring import devices
from derain.restoring.restorer import Restorer, restore
from derain.restoring.tiling import fitting_tile, tiles
from derain.training.learner import grown
from derain.weights import save
from tests.conftest import SMALL, scene, stripes

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(params=["derain", "nlcl"])
def model(request):
    model = build(request.param).eval()
    if request.param == "derain":
        torch.nn.init.constant_(model.tail.bias, 0.05)
    return model


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 3), (17, 33), (64, 48)])
def test_contract_at_any_size(model, size, autocast):
    image = torch.rand(2, 3, *size)
    with torch.no_grad(), torch.autocast("cpu", torch.float16, enabled=autocast):
        background, rain = model(image)
    assert background.shape == rain.shape == image.shape
    assert background.dtype == rain.dtype == image.dtype
    assert background.min() >= 0 and background.max() <= 1
    torch.testing.assert_close(background + rain, image)


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 1, 8, 8), (1, 4, 8, 8), (0, 3, 8, 8), (1, 3, 0, 8)])
def test_what_is_no_photo_is_refused_in_a_sentence(shape):
    with pytest.raises(UsageError, match="give an .N, 3, H, W. tensor"):
        build("derain", SMALL)(torch.zeros(shape))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("wrong, said", [(255.0, "from 0 to 255"), (-1.0, "from -1 to 0"), (torch.nan, "NaN among")])
def test_floats_far_from_0_to_1_are_refused(wrong, said, dtype):
    image = torch.zeros(1, 3, 8, 8, dtype=dtype)
    image[0, 1, 2, 3] = wrong
    with pytest.raises(UsageError, match=f"`rainy`: give floats in .0, 1., not .*{said}"):
        build("derain", SMALL).to(dtype)(image)


@pytest.mark.parametrize("gradients", [True, False])
def test_shapes_and_operations_are_found_out_without_numbers(gradients):
    model, photo = build("derain", SMALL).requires_grad_(False), torch.rand(1, 3, 8, 8)
    with torch.set_grad_enabled(gradients):
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            assert model(mode.from_tensor(photo))[0].shape == photo.shape
        traced = make_fx(lambda given: model(given)[0], tracing_mode="fake", _allow_non_fake_inputs=True)(photo)
        torch.testing.assert_close(traced(photo), model(photo)[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_without_gradients_a_processor_takes_a_shorter_way_to_the_same_bits(dtype):
    model = DerainNet(DerainConfig(clipping=True, fading=True)).eval().to(dtype)
    for output in (model.tail, model.fade):
        torch.nn.init.normal_(output.weight, std=0.3)
    photos = torch.rand(2, 3, 80, 64)
    for layout in (torch.contiguous_format, torch.channels_last):
        with_gradients = model(photos.contiguous(memory_format=layout))
        with torch.inference_mode():
            shorter = model(photos.contiguous(memory_format=layout))
        assert all(torch.equal(*each) for each in zip(with_gradients, shorter))
    model.tail.bias.data[6] = 1e6  # more than may be
    with torch.inference_mode():
        background = model(photos)[0]
    assert torch.equal(background.isnan(), model(photos)[0].isnan()) and 0 < background.isnan().float().mean() < 1


def test_kept_colours_take_only_what_can_be_rain():
    """However the generator shifts light and colour, the photo loses nothing but bright, colourless detail."""
    model = build("nlcl").eval()
    image = 0.2 + 0.6 * torch.rand(1, 3, 40, 50)
    model.background_generator.forward = lambda x: 0.3 * x - 0.4  # type: ignore[method-assign]
    torch.testing.assert_close(model(image)[0], image, atol=1e-3, rtol=0)
    streak = torch.zeros_like(image)
    streak[..., 10:30, 20] = 0.2
    model.background_generator.forward = lambda x: 0.3 * (x - 2 * streak) - 0.4  # type: ignore[method-assign]
    rain = model(image + streak)[1].detach()
    assert rain.min() >= 0 and (rain.amax(1) - rain.amin(1)).max() < 1e-6
    assert rain[..., 10:30, 20].mean() > 0.12 and rain[..., 35:].max() < 0.03


def test_deployable_rain_is_bright_and_nearly_colourless():
    model = build("derain").eval()
    torch.nn.init.normal_(model.tail.weight, std=0.5)
    rain = model(0.5 + 0.5 * torch.rand(1, 3, 64, 64))[1].detach()
    free = rain[:, :, (rain < 0.5).all(dim=1)[0]]  # where the photo's own value does not limit it
    assert rain.min() >= 0 and rain.max() > 0.1
    assert ((free.amax(1) - free.amin(1)) <= 0.2001 * free.amax(1)).all()


def test_rain_before_clipped_light_may_have_any_colour():
    """A white streak that the camera clipped over a yellow wall: what lies behind it is yellow again, not bluish."""
    tint = torch.tensor([0.0, -0.4, -0.9]).view(1, 3, 1, 1)
    for clipping, white in ((True, [1.0, 0.6, 0.1]), (False, [1.0, 0.96, 0.91])):
        model = DerainNet(DerainConfig(clipping=clipping))
        differences = [model.difference(tint, torch.full((1, 3, 1, 1), light)).flatten() for light in (1.0, 0.9)]
        assert (1 + differences[0]).tolist() == pytest.approx(white)
        assert (1 + differences[1]).tolist() == pytest.approx([1.0, 0.96, 0.91])
    assert DerainNet(DerainConfig(clipping=True)).difference(-tint, torch.ones(1, 3, 1, 1)).max() <= 0.1001


def test_fading_rain_has_the_colours_that_the_backdrop_lacks():
    model = DerainNet(DerainConfig(widths=(4, 4), blocks=(0, 0), fading=True)).eval()
    for part in (model.tail, model.fade):
        torch.nn.init.zeros_(part.weight)
    model.tail.bias.data[:4] = 0.2
    green = torch.tensor([0.4, 0.9, 0.4])[None, :, None, None].expand(1, 3, 4, 4)
    for fading, expected in ((0.0, [0.2, 0.2, 0.2]), (1.0, [0.233, 0.135, 0.233]), (-1.0, [0.167, 0.265, 0.167])):
        torch.nn.init.constant_(model.fade.bias, fading)
        background, rain = model(green)
        assert rain[0, :, 0, 0].tolist() == pytest.approx(expected, abs=0.002)
        assert torch.equal(background + rain, green)


def test_a_network_that_learns_fading_begins_as_the_one_before():
    before = DerainNet(DerainConfig(widths=(4, 4), blocks=(1, 0))).eval()
    torch.nn.init.normal_(before.tail.weight, std=0.2)
    after = grown(before, DerainNet(DerainConfig(widths=(4, 4), blocks=(1, 0), fading=True)), "before").eval()
    photo = torch.rand(1, 3, 16, 16)
    assert torch.equal(before(photo)[0], after(photo)[0])


def test_blocks_may_be_narrower_than_their_level(tmp_path, rng):
    inner = (5, 6, 7, 8, 9, 10)
    model = DerainNet(DerainConfig(widths=(8, 12), blocks=(2, 2), inner=inner)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
        parameter.data = parameter.data.half().float()  # as weights are stored
    assert [block.first.out_channels for part in (*model.encoder, *model.decoder) for block in part] == list(inner)
    save(model, tmp_path / "narrow.safetensors")
    loaded = derain.load(tmp_path / "narrow.safetensors")
    photo = rng.integers(0, 256, (90, 130, 3), dtype=np.uint8)
    expected = derain.restore(model, photo)
    for other in (derain.restore(loaded, photo), derain.restore(model, photo, tile=64)):
        assert all(np.abs(a.astype(int) - b).max() <= 1 for a, b in zip(expected, other))
    assert expected[1].any()


def test_deployable_network_is_small_and_sees_far():
    model = derain.load()
    assert sum(p.numel() for p in model.parameters()) <= 2_000_000
    assert model.halo >= 100


def test_receptive_radius_covers_what_the_network_sees():
    config = DerainConfig(widths=(4, 4, 4), blocks=(1, 1, 1))
    model, radius = DerainNet(config).eval(), receptive_radius(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    side = 4 * radius // 8 * 8
    image = torch.rand(1, 3, side, side, requires_grad=True)
    centre = side // 2
    model.unfolded(model.outputs(image), image.dtype)[0][..., centre, centre].sum().backward()
    rows = image.grad.abs().sum(dim=(0, 1, 3)).nonzero()
    assert centre - radius <= rows.min() and rows.max() <= centre + radius


@pytest.mark.parametrize("kept", [0, 1e9])
@pytest.mark.parametrize("keep_colours", [False, True])
def test_strips_by_the_generators_equal_the_whole(rng, monkeypatch, keep_colours, kept):
    """The right is darker and the top is flat: no strip has the statistics of the whole."""
    monkeypatch.setattr(nlcl, "LARGEST_KEPT_BYTES", kept)
    model = build("nlcl", {"width": 8, "blocks": 3, "keep_colours": keep_colours}).eval()
    photo = rng.integers(0, 256, (150, 61, 3), dtype=np.uint8) // np.linspace(1, 3, 61).astype(np.uint8)[:, None]
    photo[:50] = 200
    for pixels in (photo, photo.astype(np.uint16) * 257):
        whole, strips = (restore(model, pixels, tile)[0] / np.iinfo(pixels.dtype).max for tile in (0, 64))
        assert np.abs(pixels / np.iinfo(pixels.dtype).max - whole).mean() > 0.004
        assert np.abs(whole - strips).max() <= 1.01 / 255


def test_what_strips_overflow_is_computed_again_or_refused(rng):
    photo = rng.integers(0, 256, (80, 40, 3), dtype=np.uint8)
    model = build("nlcl", {"width": 4, "blocks": 1}).eval()
    torch.nn.init.constant_(model.background_generator.levels[-1].bias, 1e30)
    for tile in (0, 64):
        with pytest.raises(PhotoError, match="not finite"):
            restore(model, photo, tile, "bfloat16")


def test_tiles_cover_a_photo_once():
    model, covered = build("derain"), np.zeros((1100, 700), int)
    for inner, outer in tiles(1100, 700, 256, model):
        covered[inner] += 1
        assert all(w.start % model.multiple == 0 for w in outer)
    assert (covered == 1).all()


def test_tiles_are_no_larger_than_their_number_needs():
    model = build("derain")
    widths = {inner[1].stop - inner[1].start for inner, _ in tiles(64, 1040, 512, model)}
    assert widths == {352, 336}  # not 512, 512 and 16


def test_tiles_of_a_wider_network_are_smaller(monkeypatch):
    monkeypatch.setattr(devices, "free_memory", lambda device: 2e9)
    default, wide, narrow = (build("derain", {"widths": (w, w), "blocks": (1, 1)}) for w in (24, 512, 8))
    areas = [np.prod(Restorer(m).first_tile(8000, 8000, 0)) for m in (narrow, default, wide)]
    assert areas[0] == areas[1] > 4e6 and areas[2] < 512**2


@pytest.mark.parametrize("pixels", [0.4e6, 1e6, 5e6, 20e6])
@pytest.mark.parametrize("size", [(4000, 6000), (9000, 2000), (300, 40000)])
def test_tiles_take_what_they_may_and_waste_little(size, pixels):
    model = derain.load()
    seen = [
        math.prod(w.stop - w.start for w in outer)
        for _, outer in tiles(*size, fitting_tile(*size, pixels, model), model)
    ]
    squares = [math.prod(w.stop - w.start for w in outer) for _, outer in tiles(*size, int(pixels**0.5) - 448, model)]
    assert max(seen) <= pixels or max(seen) <= (256 + 2 * model.halo) ** 2
    assert sum(seen) <= sum(squares) and (len(seen) == 1) == (math.prod(size) <= pixels)


def test_tiled_equals_whole(rng):
    model = build("derain", {"widths": (8, 8, 8), "blocks": (1, 1, 1)}).eval()
    torch.nn.init.normal_(model.tail.weight, std=0.2)
    torch.nn.init.constant_(model.tail.bias, 0.1)
    photo = rng.integers(0, 256, (333, 421, 3), dtype=np.uint8)
    whole, tiled = (restore(model, photo, tile)[0].astype(int) for tile in (0, 64))
    assert np.abs(photo - whole).max() > 5
    assert np.abs(whole - tiled).max() <= 1


def pictures() -> Iterator[np.ndarray]:
    """Long and narrow ones, of which a tile of 64 px sees little: blocks, noise, a flat and a photo in the rain."""
    rng = np.random.default_rng(0)
    rain = sum(render(rng, 960) for _ in range(2))[:48, :, None]
    photo = read_photo(REPOSITORY / "examples" / "rainy.jpg")
    yield stripes(rng, scene(rng, 48, 960))
    yield rng.integers(0, 256, (48, 960, 3), dtype=np.uint8)
    yield np.clip(90 + 255 * rain, 0, 255).repeat(3, 2).astype(np.uint8)
    yield np.hstack([photo[:48], photo[-48:]])[:, :960]
    yield np.vstack([photo[:, 100:148], photo[:, -48:]])[:960]


@pytest.mark.parametrize("picture", list(pictures()), ids=["blocks", "noise", "flat", "photo", "upright"])
def test_tiles_that_see_what_the_default_network_sees_equal_the_whole(picture):
    model = derain.load()
    whole, tiled = (restore(model, picture, tile)[0].astype(int) for tile in (0, 64))
    assert np.abs(whole - tiled).max() <= 1


def test_the_default_network_sees_far_but_not_all_that_it_could():
    model = derain.load()
    assert 100 <= model.halo <= 0.75 * receptive_radius(model.config)


def test_a_network_without_blocks_sees_what_its_head_and_tail_see():
    assert DerainNet(DerainConfig(widths=(8,), blocks=(0,))).halo == 4
