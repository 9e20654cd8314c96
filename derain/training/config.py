"""What can be set for a training run, and where it is read from."""

import tomllib
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from derain.devices import check_precision
from derain.errors import TrainingError


@dataclass(frozen=True)
class Pasted:
    """Further rainy photos, whose discovered rain is pasted and never taught; ``[[pasted]]`` in the TOML file."""

    folder: str
    teacher: str = ""  # weights that discover their rain, once; by default those that discover the rainy photos' rain
    bank: int = 0  # discoveries kept; by default as many as of the rainy photos


@dataclass(frozen=True)
class TrainConfig:
    """Settings of ``derain train``; a TOML file with the same names sets them too."""

    preset: str = "derain"  # derain | nlcl
    model: dict[str, Any] = field(default_factory=dict)  # fields of the preset's architecture
    start: str = ""  # weights to go on from, of the same preset; warm is then 0 by default, and what model does not
    # say of the architecture is theirs; residual blocks that it adds begin as identities
    steps: int = 20_000  # optimiser steps; with minutes the most, by default as many as there is time for
    minutes: float | None = None  # wall-clock limit; the learning rate then follows the clock
    batch: int = 8  # crops a step (the paper's objective: 1)
    crop: int = 128  # side of a crop in px, a multiple of 16 (the paper's: 256)
    lr: float = 6e-4  # peak learning rate (the paper's: 2e-4)
    seed: int = 0
    device: str = "auto"  # auto | cpu | cuda | cuda:1 | mps
    precision: str = "auto"  # auto | float32 | bfloat16; auto is bfloat16 where the hardware multiplies it
    save_every: int = 500  # steps between checkpoints and previews
    log_every: int = 20  # steps between lines of log.jsonl
    # exact pairs
    warm: float = 0.35  # share of the run on rendered streaks alone (the paper's: 0)
    dry: float = 0.12  # share of clean crops that get no rain
    fine: float = 0.5  # share of rendered layers that are fine rain
    far: float = 0.0  # share of those that are far rain, as fine as grain
    heavy: float = 0.0  # share of the others that are heavy rain
    overcast: float = 0.0  # share of clean crops that are dulled and hazed to a rainy day's light
    camera: float = 0.0  # share of rainy crops seen, with their truths, through a camera's blur, sharpening and noise
    jpeg: float = 0.3  # share of rainy crops that went through JPEG
    jpeg_quality: tuple[int, int] = (60, 96)  # least and most
    leftover: float = 4.0  # weight of rain left against background taken; in preset derain only of fine and real rain
    # preset derain: discover, distil, repeat
    squares: float = 0.0  # weight of the squared error, which weighs crops of heavy rain most, beside the absolute one
    psnr: float = 0.03  # weight of the logarithm of each crop's squared error, in which all crops weigh alike
    discovered: float = 0.4  # share of crops with layers from the bank after the warm start
    alike: float = 0.0  # share of the bank's layers that are rendered anew in the likeness of those discovered
    taught: float = 0.15  # share of real rainy crops, less the rain discovered in them
    own: float = 0.0  # share of the truths of those, and of dry crops, that are real crops less their discovered rain
    remember: bool = False  # whether rendered rain keeps the network as it started, whose result is then the target
    scales: int = 1  # at how many scales rain is discovered, each half of the one before
    strict: bool = False  # whether to believe discovered rain only near the streaks that its cleaning leaves
    flat: float = 0.0  # under this curvature of the background, rain is taken from real photos to its full height
    teacher: str = ""  # weights that discover the rain, once; by default the mean of the run's own, each round anew
    pasted: tuple[Pasted, ...] = ()  # folders of further rainy photos
    pasted_share: float = 0.6  # share of those among the discovered layers that are pasted
    bank: int = 192  # discoveries kept
    tries: int = 3  # crops looked at for each discovery that is kept: those with the purest rain are
    whole: bool = False  # whether found rain is pasted whole, not cleaned, which takes half of it away
    pure: float = 1.0  # share of a bank that is pasted, that with the purest rain
    faithful: float = 0.0  # share of pasted layers neither turned nor scaled, which fade before light as in their photo
    oblique: float = 0.0  # share of the others that are turned by up to 45 degrees
    widest: float = 1.4  # how many times they are enlarged at most
    guided: float = 0.0  # weight of NLCL's contrastive terms on a real rainy crop a step, by the bundled guide
    rounds: int = 3  # times that the EMA teacher fills the bank, evenly spread after the warm start
    ema: float = 0.999  # decay of the teacher's weights
    # preset nlcl
    anchor: float = 0.0  # share of steps on rendered streaks after the warm start
    layer_contrast: str = "symmetric"  # symmetric | asymmetric
    fidelity: float = 0.1
    adversarial: float = 1.0
    location: float = 1.0
    layer: float = 1.0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


ENDLESS = 10**9  # steps of a run that the clock ends
LEAST = {
    "steps": 0,
    "minutes": 1e-6,
    "batch": 1,
    "lr": 1e-12,
    "seed": 0,
    "save_every": 1,
    "log_every": 1,
    "bank": 1,
    "tries": 1,
    "rounds": 1,
}
SHARES = (
    *("warm", "dry", "fine", "far", "heavy", "overcast", "camera", "jpeg", "discovered", "alike", "taught", "own"),
    *("pasted_share", "pure", "faithful", "oblique", "ema", "anchor"),
)

PRESET_DEFAULTS: dict[str, dict[str, Any]] = {
    "derain": {},
    "nlcl": {"batch": 1, "crop": 256, "lr": 2e-4, "warm": 0.0},
}


def load_config(file: Path | None, **options: Any) -> TrainConfig:
    """Defaults of the preset, overridden by the TOML ``file``, overridden by the ``options`` that are not ``None``.

    Raises:
        TrainingError: the file cannot be read, or holds a setting that does not exist or a value that cannot be.
        UsageError: an unknown precision.
    """
    given: dict[str, Any] = {}
    if file is not None:
        try:
            given = tomllib.loads(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise TrainingError(f"{file}: cannot be read as TOML ({error})") from None
    given |= {name: value for name, value in options.items() if value is not None}
    if unknown := given.keys() - {f.name for f in fields(TrainConfig)}:
        raise TrainingError(f"{file}: unknown setting {', '.join(sorted(unknown))}")
    for name, default in (TrainConfig().as_dict() | {"minutes": 60.0}).items():
        if name != "pasted" and name in given and not _is_like(given[name], default):
            raise TrainingError(f"{file}: {name} = {given[name]!r}: give something like {default!r}")
    preset = given.get("preset", TrainConfig.preset)
    if preset not in PRESET_DEFAULTS:
        raise TrainingError(f"unknown preset {preset!r}: choose one of {', '.join(PRESET_DEFAULTS)}")
    started: dict[str, Any] = {"warm": 0.0} if given.get("start") else {}
    timed = {"steps": ENDLESS} if given.get("minutes") is not None else {}
    try:
        given["pasted"] = tuple(Pasted(**folder) for folder in given.get("pasted", ()))
        likes = asdict(Pasted(""))
        if not all(_is_like(getattr(pasted, name), likes[name]) for pasted in given["pasted"] for name in likes):
            raise TypeError
    except TypeError:
        optional = " or ".join(f.name for f in fields(Pasted)[1:])
        raise TrainingError(f"{file}: pasted must be tables, [[pasted]], with folder and perhaps {optional}") from None
    config = TrainConfig(**(PRESET_DEFAULTS[preset] | started | timed | given))
    if config.crop % 16 or config.crop < 16:
        raise TrainingError(f"--crop {config.crop}: must be a multiple of 16")
    if config.preset == "nlcl" and config.crop < 32:
        raise TrainingError(f"--crop {config.crop}: the critic of preset nlcl needs 32")
    if config.preset == "derain" and not 0 <= config.warm < 1:
        raise TrainingError(f"warm = {config.warm}: must be less than 1, and not less than 0")
    for name, least in LEAST.items():
        if (value := getattr(config, name)) is not None and value < least:
            raise TrainingError(f"{name} = {value}: must be {least} at least")
    for name in SHARES:
        if not 0 <= (value := getattr(config, name)) <= 1:
            raise TrainingError(f"{name} = {value}: is a share, from 0 to 1")
    if not 1 <= config.jpeg_quality[0] <= config.jpeg_quality[1] <= 100:
        raise TrainingError(f"jpeg_quality = {list(config.jpeg_quality)}: give the least and the most, of 1 to 100")
    check_precision(config.precision)
    if config.layer_contrast not in ("symmetric", "asymmetric"):
        raise TrainingError(f"layer_contrast = {config.layer_contrast!r}: choose symmetric or asymmetric")
    return config


def _is_like(value: Any, default: Any) -> bool:
    """Whether a value may stand where this default stands."""
    if type(default) is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(default, tuple):
        return isinstance(value, list | tuple) and len(value) == len(default)
    return type(value) is type(default)
