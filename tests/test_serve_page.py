"""The page of `derain serve`, in a real browser where one is installed."""

import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import derain
from tests.browser import CHROMIUM, browsing
from tests.test_serve import Gated, restorer, running, wait_until  # noqa: F401

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
DONE = "document.querySelectorAll('.viewer.done').length === "


@pytest.fixture(scope="module")
def server(restorer):  # noqa: F811
    with running(restorer, hosts={"localhost"}) as found:
        yield found


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with browsing(tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.fixture
def page(browser, server):
    browser.size(390, 844)
    browser.complaints.clear()
    browser.open(f"http://127.0.0.1:{server.port}/")
    return browser


@pytest.fixture
def photos(tmp_path, rng):
    names = "a.jpg", "nass ü.png"
    for name in names:
        Image.fromarray(rng.integers(0, 255, (60, 80, 3), dtype=np.uint8)).save(tmp_path / name)
    return [tmp_path / name for name in names]


@pytest.fixture
def downloads(browser, tmp_path):
    folder = tmp_path / "downloads"
    folder.mkdir()
    browser.tell("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    return folder


def test_the_page_asks_for_nothing_from_elsewhere():
    for file in (Path(derain.__file__).parent / "serve" / "page").iterdir():
        text = file.read_text(encoding="utf-8")
        assert not set(re.findall(r"https?://[^\s\"')]+", text)) - {"http://www.w3.org/2000/svg"}, file


@needs_browser
def test_a_photo_is_derained_compared_and_downloaded_with_the_keyboard_alone(page, server, photos, downloads):
    page.tab_to("#choose")
    page.choose(photos[0])
    page.until(f"{DONE} 1")
    page.tab_to(".divider")
    page.press("ArrowRight", "ArrowRight")
    assert page.value("document.querySelector('.viewer').style.getPropertyValue('--at')") == "54%"
    page.tab_to(".views input")
    page.press("ArrowRight")
    assert page.value("getComputedStyle(document.querySelector('.rain')).visibility") == "visible"
    page.tab_to(".strength input")
    page.press("ArrowLeft", "ArrowLeft")
    assert page.value("document.querySelector('.after').computedStyleMap().get('opacity').value") == pytest.approx(0.9)
    page.tab_to(".download")
    page.press("Enter")
    wait_until(lambda: [file.name for file in downloads.iterdir()] == ["a.derained.jpg"])
    wanted = server.post("/v1/derain?strength=0.9", photos[0].read_bytes()).body
    wait_until(lambda: (downloads / "a.derained.jpg").read_bytes() == wanted)
    page.tab_to(".remove")
    page.press(" ")
    page.until("!document.querySelector('.photo') && document.activeElement.id === 'choose'")
    assert not page.complaints


@needs_browser
def test_photos_are_dropped_and_downloaded_all_at_once(page, server, photos, downloads):
    page.drop(*photos)
    page.choose(photos[0])
    page.until(f"{DONE} 3")
    page.value("document.querySelector('#download-all').click()")
    wait_until(lambda: (downloads / "derained.zip").exists())
    with zipfile.ZipFile(downloads / "derained.zip") as file:
        assert file.testzip() is None
        assert file.namelist() == ["a.derained.jpg", "nass ü.derained.png", "a.derained (2).jpg"]
        for name, photo in zip(file.namelist(), [*photos, photos[0]]):
            assert file.read(name) == server.post("/v1/derain", photo.read_bytes()).body
    assert not page.complaints


@needs_browser
def test_what_is_refused_is_told_beside_the_photo_and_the_others_go_on(page, photos, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no photo")
    page.drop(broken, photos[0])
    page.until(f"{DONE} 1 && document.querySelectorAll('.viewer.failed').length === 1")
    said = page.value("document.querySelector('.photo:has(.failed)').innerText")
    assert "broken.jpg" in said and "Not a photo that derain can read; it reads JPEG" in said
    assert page.value("document.querySelector('#summary').textContent") == "1 of 2 photos done, 1 failed"


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_nothing_overlaps_or_leaves_the_page(page, photos, width, scheme):
    page.size(width, 900, scheme)
    page.choose(*photos)
    page.until(f"{DONE} 2")
    assert page.value("document.documentElement.scrollWidth") <= width
    visible = (
        "[...document.querySelectorAll('button, .views span, .strength, h2, .facts')].filter((e) => e.offsetParent)"
    )
    boxes = page.value(f"{visible}.map((e) => e.getBoundingClientRect().toJSON())")
    for n, one in enumerate(boxes):
        assert one["left"] >= 0 and one["right"] <= width
        for other in boxes[:n]:
            apart = one["left"] >= other["right"] - 1 or other["left"] >= one["right"] - 1
            assert apart or one["top"] >= other["bottom"] - 1 or other["top"] >= one["bottom"] - 1
    ground = page.value("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground))) > 380) is (scheme == "light")


@needs_browser
def test_photos_wait_for_their_turn_while_the_server_is_busy(browser, photos):
    network = Gated()
    with running(network) as server:
        browser.open(f"http://127.0.0.1:{server.port}/")
        browser.choose(*photos, photos[0])
        browser.until("document.querySelectorAll('.viewer.waiting').length === 1")
        assert browser.value("document.querySelector('#download-all').disabled")
        network.gate.release(3)
        browser.until(f"{DONE} 3")


@needs_browser
def test_a_photo_is_pasted(page, photos):
    page.value(
        """(() => {
            const canvas = Object.assign(document.createElement("canvas"), { width: 20, height: 10 });
            canvas.getContext("2d").fillRect(0, 0, 9, 9);
            canvas.toBlob((blob) => {
                const clipboardData = new DataTransfer();
                clipboardData.items.add(new File([blob], "image.png", { type: "image/png" }));
                document.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true }));
            });
        })()"""
    )
    page.until(f"{DONE} 1 && document.querySelector('.facts').textContent.startsWith('20 × 10 px')")


@needs_browser
def test_a_server_that_is_gone_is_told_beside_the_photo_which_can_be_tried_again(browser, photos):
    with running(Gated(open=True)) as server:
        browser.open(f"http://127.0.0.1:{server.port}/")
    browser.choose(photos[0])
    browser.until("document.querySelectorAll('.viewer.failed').length === 1")
    assert "The server cannot be reached" in browser.value("document.querySelector('.error').innerText")
    assert browser.value("document.querySelector('.again').offsetParent !== null")
