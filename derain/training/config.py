"""What can be set for a training run, within which bounds, and where it is read from."""

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from derain.bounds import bounded, choice, share
from derain.errors import TrainingError, UsageError, unreadable
from derain.files.writing import read_option
from derain.given import check as check_kind
from derain.given import deeper, problems, with_tuples
from derain.models import PRESETS
from derain.restoring.names import TRAINED_PRECISIONS, check_device_name, check_precision
from derain.text import cut, shown

ENDLESS = 10**9  # steps of a run that the clock ends
LARGEST_BATCH = 2**26  # px of all crops of a step
LARGEST_FILE = 64 << 10  # of a TOML file, at the most
MOST_DOTS = 100  # in a line of a TOML file: the parser's memory grows with the square of a key's parts
DEEPEST_TABLES = 4  # of tables and arrays in each other


def weight(default: float) -> Any:
    """How much a term of the loss counts."""
    return bounded(default, 0, 1000)


@dataclass(frozen=True)
class Pasted:
    """Further rainy photos, whose discovered rain is pasted and never taught; ``[[pasted]]`` in the TOML file."""

    folder: str
    teacher: str = ""  # weights that discover their rain, once; by default those that discover the rainy photos' rain
    bank: int = bounded(0, 0, 20_000)  # discoveries kept; by default as many as of the rainy photos


@dataclass(frozen=True)
class TrainConfig:
    """Settings of ``derain train``; a TOML file with the same names sets them too."""

    preset: str = choice("derain", PRESETS)
    model: dict[str, Any] = field(default_factory=dict)  # fields of the preset's architecture
    # weights to go on from, of the same preset; warm is then 0 by default, and what model does not say of the
    # architecture is theirs; residual blocks that it adds begin as identities
    start: str = ""
    steps: int = bounded(20_000, 0, ENDLESS)  # optimiser steps; with minutes the most, by default what time allows
    minutes: float | None = bounded(None, 1e-6, 60 * 24 * 366)  # wall-clock limit, which the learning rate follows
    batch: int = bounded(8, 1, 4096)  # crops a step (the paper's objective: 1)
    crop: int = bounded(128, 16, 4096)  # side of a crop in px, a multiple of 16 (the paper's: 256)
    lr: float = bounded(6e-4, 1e-12, 1)  # peak learning rate (the paper's: 2e-4)
    warm_up: float = bounded(0.01, 1e-6, 1)  # share of the run in which the learning rate of preset derain rises to it
    seed: int = bounded(0, 0, 2**63 - 1)
    device: str = "auto"  # auto | cpu | cuda | cuda:1 | mps
    # processes that prepare the batches; default: on a GPU as many as there are cores to spare
    workers: int | None = bounded(None, 0, 256)
    precision: str = "auto"  # auto | float32 | bfloat16; auto is bfloat16 where the hardware multiplies it
    save_every: int = bounded(500, 1, ENDLESS)  # steps between checkpoints and previews
    log_every: int = bounded(20, 1, ENDLESS)  # steps between lines of log.jsonl

    # exact pairs

    warm: float = share(0.35)  # share of the run on rendered streaks alone (the paper's: 0)
    dry: float = share(0.12)  # share of clean crops that get no rain
    fine: float = share(0.5)  # share of rendered layers that are fine rain
    far: float = share(0.0)  # share of those that are far rain, as fine as grain
    heavy: float = share(0.0)  # share of the others that are heavy rain
    short: float = share(0.0)  # share of rendered layers that are drops which a short exposure stopped, like snow
    wide: float = share(0.0)  # share of those that are wide and soft, out of focus
    opaque: float = share(0.0)  # share of those that are drops in focus, which hide what is behind them
    things: float = share(0.0)  # share of clean crops with sticks, railings, fronds or other thin things on them
    backdrop: float = share(0.0)  # share of clean crops that are put out of focus
    night: float = share(0.0)  # share of clean crops that are darkened to a night, whose lamps light the rain
    drizzle: float = share(0.0)  # share of crops that are clean ones behind mist, under rendered fine or far rain
    along: float = share(0.0)  # share of clean crops that are turned so that their edges run along the rain over them
    overcast: float = share(0.0)  # share of clean crops that are dulled and hazed to a rainy day's light
    camera: float = share(0.0)  # share of rainy crops, with their truths, that a camera blurs, sharpens and makes noisy
    jpeg: float = share(0.3)  # share of rainy crops that went through JPEG
    jpeg_quality: tuple[int, int] = bounded((60, 96), 1, 100)  # least and most
    jpeg_both: float = share(0.0)  # share of those whose truth went through it, too
    noise: float = share(0.0)  # share of rainy crops that get a camera's noise, the same as their truths
    hard: float = share(0.0)  # share of clean crops that are the most textured of three
    sideways: float = share(0.0)  # share of clean crops that lie on their side
    leftover: float = weight(4.0)  # weight of rain left against background taken; preset derain: of fine and real rain

    # preset derain: discover, distil, repeat

    squares: float = weight(0.0)  # weight of the squared error, which weighs crops of heavy rain most
    psnr: float = weight(0.03)  # weight of the logarithm of each crop's squared error, in which all crops weigh alike
    discovered: float = share(0.4)  # share of crops with layers from the bank after the warm start
    alike: float = share(0.0)  # share of the bank's layers that are rendered anew in the likeness of those discovered
    taught: float = share(0.15)  # share of real rainy crops, less the rain discovered in them
    own: float = share(0.0)  # share of their and of dry crops' truths that are real crops less their discovered rain
    remember: bool = False  # whether rendered rain keeps the network as it started, whose result is then the target
    scales: int = bounded(1, 1, 8)  # at how many scales rain is discovered, each half of the one before
    strict: bool = False  # whether to believe discovered rain only near the streaks that its cleaning leaves
    flat: float = share(0.0)  # curvature of the background under which real photos' rain is taken to its full height
    floor: float = share(1.0)  # least say of a taught photo where its background is textured, not flat
    clips: int = bounded(192, 0, 20_000)  # crops kept of clips of a fixed camera, whose rain time finds
    timed: float = share(0.06)  # share of crops that are taught from those, if there are any
    timed_pasted: float = share(0.1)  # share of crops with layers found by time, if there are any
    teacher: str = ""  # weights that discover the rain, once; by default the mean of the run's own, each round anew
    pasted: tuple[Pasted, ...] = ()  # folders of further rainy photos
    pasted_share: float = share(0.6)  # share of those among the discovered layers that are pasted
    bank: int = bounded(192, 1, 20_000)  # discoveries kept
    tries: int = bounded(3, 1, 1000)  # crops looked at for each discovery that is kept: those with the purest rain are
    whole: bool = False  # whether found rain is pasted whole, not cleaned, which takes half of it away
    pure: float = share(1.0)  # share of a bank that is pasted, that with the purest rain
    faithful: float = share(0.0)  # share of pasted layers neither turned nor scaled, which fade as in their photo
    oblique: float = share(0.0)  # share of the others that are turned by up to 45 degrees
    widest: float = bounded(1.4, 0.7, 10)  # how many times they are enlarged at most
    guided: float = weight(0.0)  # weight of NLCL's contrastive terms on a real rainy crop a step, by the bundled guide
    critic: float = weight(0.0)  # weight of NLCL's critic on real rainy crops, one that learns along
    contrasted: float = weight(0.0)  # weight there of NLCL's contrastive terms, matched, in that critic's features
    rounds: int = bounded(3, 1, 1000)  # times that the EMA teacher fills the bank, evenly spread after the warm start
    ema: float = share(0.999)  # decay of the mean of the weights, which is the teacher and the result (the paper's: 0)

    # preset nlcl

    anchor: float = share(0.0)  # share of steps on pairs after those stages that learn from nothing else
    # share of the run, after the warm start, that teaches both generators the layers that teacher (by default the
    # default weights) finds, in rainy photos and in pairs made with that rain; anchors are then of these pairs, too
    distilled: float = share(0.0)
    # what the layer contrast compares: patches as they are, as in the paper, which brightness alone tells apart; or
    # grey, high-passed and of equal contrast, with those of the other layer that are most alike among the negatives
    contrast: str = choice("plain", ("plain", "matched"))
    layer_contrast: str = choice("symmetric", ("symmetric", "asymmetric"))
    fidelity: float = weight(0.1)
    adversarial: float = weight(1.0)
    location: float = weight(1.0)
    layer: float = weight(1.0)


def load_config(file: Path | None, **options: Any) -> TrainConfig:
    """As :func:`read_config`, and the preset's learner can learn with them, which takes torch to tell.

    Raises:
        TrainingError, UsageError: as :func:`read_config` and :func:`check`.
    """
    config = read_config(file, **options)
    check(config, named(file))
    return config


def read_config(file: Path | None, **options: Any) -> TrainConfig:
    """Defaults of the preset, overridden by the TOML ``file``, overridden by the ``options`` that are not ``None``.

    Raises:
        TrainingError: the file cannot be read, or a setting does not exist or has a value that cannot be.
        UsageError: the same without a file, or an unknown device or precision.
    """
    written = read_toml(file) if file else {}
    where = named(file)
    given = with_tuples(written | {name: value for name, value in options.items() if value is not None})
    if unknown := sorted(given.keys() - {f.name for f in fields(TrainConfig)}):
        raise wrong(where)(f"{where}unknown setting {', '.join(shown(name, quoted=False) for name in unknown[:5])}")
    given["pasted"] = _pasted(given.get("pasted", ()), where)
    preset = given.get("preset", TrainConfig.preset)
    defaults = PRESETS[preset].defaults if isinstance(preset, str) and preset in PRESETS else {}
    started: dict[str, Any] = {"warm": 0.0} if given.get("start") else {}
    timed = {"steps": ENDLESS} if given.get("minutes") is not None else {}
    config = TrainConfig(**(defaults | started | timed | given))
    check_values(config, where)
    return config


def read_toml(file: Path) -> dict[str, Any]:
    """The settings in a file, which is not trusted to be small or shallow.

    Raises:
        TrainingError: it cannot be read, is no TOML, or is larger or deeper than settings ever are.
    """
    try:
        content = read_option(file, LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise TrainingError(f"{file}: is larger than {LARGEST_FILE >> 10} KiB, too large for a settings file")
        if any(line.count(b".") > MOST_DOTS for line in content.splitlines()):
            raise TrainingError(f"{file}: has more than {MOST_DOTS} dots in a line, too many for a settings file")
        found = tomllib.loads(content.decode())
    except OSError as error:
        raise TrainingError(f"{file}: {unreadable(error)}") from None
    except RecursionError:
        found = None
    except ValueError as error:  # of the encoding, of the syntax, or of a number with thousands of digits
        raise TrainingError(f"{file}: cannot be read as TOML ({cut(str(error))})") from None
    if found is None or deeper(found, DEEPEST_TABLES):
        raise TrainingError(
            f"{file}: nests tables or arrays more than {DEEPEST_TABLES} deep, too deep for a settings file"
        )
    return found


def named(file: Path | None) -> str:
    """The beginning of messages about settings."""
    return f"{file}: " if file else ""


def wrong(where: str) -> type[TrainingError | UsageError]:
    """The error of settings: those of a file are for training alone, others are what a caller gave."""
    return TrainingError if where else UsageError


def check(config: TrainConfig, where: str = "") -> None:
    """As :func:`check_values`, and what the preset's learner makes of the settings, which takes torch.

    Raises:
        TrainingError, UsageError: as :func:`check_values`, or the learner cannot learn with these settings.
    """
    check_values(config, where)
    from derain.training.learner import learner_of

    if problem := learner_of(config.preset).problem(config):
        raise wrong(where)(f"{where}{problem}")


def check_values(config: TrainConfig, where: str = "") -> None:
    """Every setting against the bounds of its field, and those that depend on each other.

    Args:
        where: the beginning of messages.

    Raises:
        TrainingError: a value in a file of another type or out of its bounds; names setting, value and bounds.
        UsageError: such a value without a file, an unknown device or precision, or no settings at all.
    """
    check_kind("config", config, TrainConfig)
    check_kind("pasted", config.pasted, tuple[Pasted, ...])
    _refuse(config, where)
    for further in config.pasted:
        _refuse(further, where)
    if config.crop % 16:
        raise wrong(where)(f"{where}crop = {config.crop}: must be a multiple of 16")
    if (pixels := config.batch * config.crop**2) > LARGEST_BATCH:
        raise wrong(where)(
            f"{where}batch = {config.batch} with crop = {config.crop}: is {pixels / 1e6:.0f} megapixels a step; "
            f"give {LARGEST_BATCH / 1e6:.0f} at most"
        )
    if config.jpeg_quality[0] > config.jpeg_quality[1]:
        raise wrong(where)(f"{where}jpeg_quality = {list(config.jpeg_quality)}: give the lowest value first")
    check_device_name(config.device)
    check_precision(config.precision, TRAINED_PRECISIONS)


def _refuse(settings: TrainConfig | Pasted, where: str) -> None:
    """
    Raises:
        TrainingError, UsageError: a value that cannot be.
    """
    for problem in problems(settings, plain=True):
        usual = getattr(TrainConfig(), problem.name) if isinstance(settings, TrainConfig) else None
        like = problem.remedy if usual is None else f"give something like {usual!r}"
        remedy = like if problem.misfits else f"must be {problem.bounds}"
        raise wrong(where)(f"{where}{problem.name} = {shown(problem.value, quoted=False)}: {remedy}")


def _pasted(given: Any, where: str) -> tuple[Pasted, ...]:
    """
    Raises:
        TrainingError, UsageError: not a list of tables with the fields of :class:`Pasted`.
    """
    try:
        found = tuple(Pasted(**folder) for folder in given)
        if not any(problem.misfits for each in found for problem in problems(each, plain=True)):
            return found
    except TypeError:
        pass
    optional = " or ".join(f.name for f in fields(Pasted)[1:])
    raise wrong(where)(f"{where}pasted must be tables, [[pasted]], with folder and perhaps {optional}")
