"""What temporal fusion gains on clips with truth: `python -m tests.score_video [--noise 2] [--held-back]`

Each frame has new rain, before a white sky with `--sky`, or so dense that hardly a place is free with `--dense`; the
scene stands still, pans, or has things that move before it. Frame by frame against fused: PSNR of luma, and flicker,
the mean change of luma from frame to frame along the true motion, in grey levels.
"""

import argparse
import time

import cv2
import numpy as np
from skimage import data

import derain
from derain.evaluation.metrics import luma, psnr
from derain.rain.compose import add, screen
from derain.rain.render import curtain, streaks
from derain.restoring.frames import FrameRestorer
from derain.restoring.restorer import Restorer
from derain.video.fusion import fused

FRAMES, HEIGHT, WIDTH = 10, 240, 320
SKYLINE = 170  # px, of a scene's 360
DROPS = 0.55  # the light that a drop shows
SCENES = {False: ("astronaut", "coffee", "chelsea"), True: ("rocket", "stereo_motorcycle", "camera")}


def scenery(name: str, sky: bool) -> np.ndarray:
    picture = getattr(data, name)()
    picture = picture[0] if isinstance(picture, tuple) else picture
    picture = np.repeat(picture[..., None], 3, axis=2) if picture.ndim == 2 else picture[..., :3]
    picture = cv2.resize(picture, (480, 360), interpolation=cv2.INTER_AREA).astype(np.float32) / np.float32(255)
    if sky:
        picture[:SKYLINE] = np.linspace(0.95, 0.8, SKYLINE, dtype=np.float32)[:, None, None] * (0.96, 0.98, 1)
    return picture


def still(picture: np.ndarray, index: int) -> tuple[np.ndarray, np.ndarray]:
    """The frame, and the motion of its pixels since the frame before."""
    return picture[60 : 60 + HEIGHT, 80 : 80 + WIDTH], np.zeros((HEIGHT, WIDTH, 2), np.float32)


def pan(picture: np.ndarray, index: int) -> tuple[np.ndarray, np.ndarray]:
    speed = np.array([2.6, 1.3], np.float32)
    turn = np.float32([[1, 0, -20 - speed[0] * index], [0, 1, -30 - speed[1] * index]])
    frame = cv2.warpAffine(picture, turn, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    return frame.clip(0, 1), np.broadcast_to(-speed, (HEIGHT, WIDTH, 2)).astype(np.float32)


def objects(picture: np.ndarray, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Two patches of the picture itself that cross a still scene, one fast and one slow."""
    frame, flow = (part.copy() for part in still(picture, index))
    for top, left, side, speed in ((20, 10, 70, 7), (140, 250, 50, -3)):
        x = left + speed * index
        a, b = max(x, 0), min(x + side, WIDTH)
        patch = np.ascontiguousarray(picture[top + 40 : top + 40 + side, 200 : 200 + side, ::-1])
        frame[top : top + side, a:b] = patch[:, a - x : b - x]
        flow[top : top + side, a:b] = (speed, 0)
    return frame, flow


CAMERAS = {"still": still, "pan": pan, "objects": objects}


def rain_of(rng: np.random.Generator, degrees: float, heavy: bool, dense: bool) -> np.ndarray:
    if dense:  # in each place in nearly every frame
        layer = 0.24 * streaks(rng, WIDTH, 30, degrees, 0.7) + 0.28 * curtain(rng, WIDTH, 18, degrees, 0.5)
        layer += 0.2 * curtain(rng, WIDTH, 40, degrees, 0.8)
        return layer[:HEIGHT, :, None].clip(0, 0.8)
    layer = 0.45 * streaks(rng, WIDTH, 22, degrees, 0.8)
    layer += 0.25 * curtain(rng, WIDTH, 14, degrees, 0.5) if heavy else 0
    return layer[:HEIGHT, :, None].clip(0, 1)


def cover(clean: np.ndarray, rain: np.ndarray) -> np.ndarray:
    """Streaks that show the rest of the scene, and so are darker than its sky."""
    return clean + rain * (DROPS - clean)


def render_clip(name: str, camera: str, seed: int, noise: float, sky: bool = False, dense: bool = False):
    rng = np.random.default_rng(seed)
    picture, degrees, heavy = scenery(name, sky), rng.normal(0, 12), bool(seed % 2)
    for index in range(FRAMES):
        clean, flow = CAMERAS[camera](picture, index)
        rule = cover if sky else screen if seed % 3 else add
        rainy = rule(clean, rain_of(rng, degrees, heavy, dense)) + rng.normal(0, noise / 255, clean.shape)
        yield tuple((p * 255 + 0.5).clip(0, 255).astype(np.uint8) for p in (rainy, clean)) + (flow,)


def flicker(pictures, flows) -> float:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    found = []
    for before, after, flow in zip(pictures, pictures[1:], flows[1:]):
        x, y = columns - flow[..., 0], rows - flow[..., 1]
        followed = cv2.remap(luma(before).astype(np.float32), x, y, cv2.INTER_LINEAR)
        inside = (x >= 0) & (x < WIDTH) & (y >= 0) & (y < HEIGHT)
        found.append(np.abs(luma(after) - followed)[inside].mean())
    return float(np.mean(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--noise", type=float, default=0.0, help="of the sensor, grey levels")
    parser.add_argument("--weights", default="derain")
    parser.add_argument("--sky", action="store_true", help="under a white sky, before which the streaks are dark")
    parser.add_argument("--dense", action="store_true", help="rain so dense that hardly a place is ever free of it")
    parser.add_argument("--held-back", action="store_true", help="the scenes that the constants were not chosen on")
    arguments = parser.parse_args()
    network, took, count = FrameRestorer(Restorer(derain.load(arguments.weights), "float32")), 0.0, 0
    for camera in CAMERAS:
        rows = []
        for seed, name in enumerate(SCENES[arguments.held_back]):
            seed += 10 * arguments.held_back
            rainy, clean, flows = zip(*render_clip(name, camera, seed, arguments.noise, arguments.sky, arguments.dense))
            single = [network.background(frame) for frame in rainy]
            began = time.perf_counter()
            together = list(fused(zip(rainy, single)))
            took, count = took + time.perf_counter() - began, count + len(rainy)
            scores = [np.mean([psnr(luma(a), luma(b)) for a, b in zip(p, clean)]) for p in (rainy, single, together)]
            rows.append(scores + [flicker(p, flows) for p in (clean, rainy, single, together)])
            print(camera, name, np.round(rows[-1], 2))
        given, one, all_, *shaking = np.mean(rows, axis=0)
        print(
            f"{camera}: input {given:.2f}, frame by frame {one:.2f}, fused {all_:.2f} dB ({all_ - one:+.2f});", end=" "
        )
        print("flicker of truth, input, frame by frame, fused: " + ", ".join(f"{f:.2f}" for f in shaking))
    print(f"fusion takes {1000 * took / count:.0f} ms for a frame of {WIDTH}x{HEIGHT} px")


if __name__ == "__main__":
    main()
