"""The training loop, for every preset.

All randomness of a step comes from ``(seed, rank, step)``, so a resumed run repeats an undisturbed one exactly. Of
several processes the checkpoint holds the first one's discoveries, with which all go on.
"""

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from derain.devices import half_precision
from derain.errors import TrainingError
from derain.files import alone
from derain.training.checkpoint import load_checkpoint
from derain.training.config import TrainConfig, check
from derain.training.contrast import Contrast
from derain.training.crops import Crops, affordable_cache
from derain.training.distil import Distil
from derain.training.folder import LOG, Log, keep, prepare_folder, weights_in
from derain.training.learner import Learner, Onlooker
from derain.training.torchrun import average, processes

LEARNERS: dict[str, Callable[[TrainConfig, torch.device], Learner]] = {"derain": Distil, "nlcl": Contrast}
Report = Callable[[int, float, dict[str, float]], None]


def train(
    config: TrainConfig,
    rainy: Path,
    clean: Path,
    out: Path,
    resume: bool = False,
    report: Report | None = None,
    skip: Callable[[str], None] | None = None,
    onlooker: Onlooker | None = None,
) -> Path:
    """Train on unpaired folders and return the self-describing weights, ``out/<preset>.safetensors``.

    Args:
        config: settings; on ``resume`` the architecture and the seed must be those of the checkpoint.
        rainy: folder of rainy photos.
        clean: folder of unrelated photos without rain.
        out: folder for the checkpoint, ``log.jsonl``, ``previews/`` and the result; made if missing.
        report: called with step, progress in [0, 1] and losses every ``log_every`` steps.
        skip: called with a sentence for each file that cannot be used.
        onlooker: may end the run early.

    Raises:
        PhotoError: another run is at it.
        TrainingError: folders without usable photos, no permission to write, a checkpoint that does not fit, or losses
            that are no numbers any more.
        UsageError: a device that is not there.
        WeightsError: weights to start from or to discover rain with that are not there, or a model that cannot be.
    """
    check(config)
    with processes(config.device) as (rank, device), alone(out, out) if rank == 0 else nullcontext():
        prepare_folder(out, config.preset, resume)
        cache = affordable_cache(2 + len(config.pasted))
        rainy_crops, clean_crops = (Crops(folder, config.crop, cache=cache) for folder in (rainy, clean))
        torch.manual_seed(config.seed)
        learner = LEARNERS[config.preset](config, device)
        step, spent = 0, 0.0
        if resume:
            state = load_checkpoint(out, config.preset)
            try:
                learner.load_state(state["learner"])
            except (RuntimeError, KeyError, ValueError):  # torch raises any of them where shapes differ
                raise TrainingError(f"{out}: its network is another; give --resume with the same --config") from None
            if state["config"]["seed"] != config.seed:
                raise TrainingError(f"{out}: was begun with another seed; give --seed {state['config']['seed']}")
            step, spent = state["step"], state["seconds"]
            if onlooker:
                onlooker.load_state(state["onlooker"])
        started = time.monotonic() - spent
        skipped = [why for crops in (rainy_crops, clean_crops, *learner.photos) for why in crops.skipped.values()]
        if skip and rank == 0:
            for sentence in skipped:
                skip(sentence)
        log = Log(out / LOG, rank, step, skipped)

        kept, ended = step, False
        while not ended and (progress := advance(config, step, time.monotonic() - started)) < 1:
            rng = np.random.default_rng((config.seed, rank, step))
            torch.manual_seed(int(rng.integers(2**62)))
            batch = learner.prepare(rng, step, progress, rainy_crops, clean_crops)
            losses = optimise(learner, batch, config, device, progress)
            learner.after_step(step)
            step += 1
            if step % config.log_every == 0:
                log.write(step, time.monotonic() - started, losses)
                if report and rank == 0:
                    report(step, progress, losses)
            if step % config.save_every == 0 and rank == 0:
                ended = onlooker is not None and onlooker.look(step, progress, learner.result)
                keep(out, config, learner, step, time.monotonic() - started, rainy_crops, onlooker)
                kept = step

        if rank == 0 and kept < step:
            if onlooker:
                onlooker.look(step, 1.0, learner.result)
            keep(out, config, learner, step, time.monotonic() - started, rainy_crops, onlooker)
    return weights_in(out, config.preset)


def optimise(
    learner: Learner, batch: Any, config: TrainConfig, device: torch.device, progress: float
) -> dict[str, float]:
    """One step of every optimiser of the learner; gives the losses by name.

    Raises:
        TrainingError: a loss or a gradient is no longer a number; the weights are those of before.
    """
    values: dict[str, float] = {}
    half, wanted = half_precision(config.precision, device), learner.losses(batch)
    while True:
        with torch.autocast(device.type, torch.bfloat16, enabled=half):  # of the forward pass alone
            found = next(wanted, None)
        if found is None:
            return values
        optimiser, losses = found
        for group in optimiser.param_groups:
            group["lr"] = config.lr * learner.learning_rate(progress)
        parameters = [p for group in optimiser.param_groups for p in group["params"]]
        total: Tensor = sum(losses.values())  # type: ignore[assignment]
        gradients = torch.autograd.grad(total, parameters, allow_unused=True, materialize_grads=True)
        for parameter, gradient in zip(parameters, average(gradients)):
            parameter.grad = gradient
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, 5.0))
        values |= {name: float(loss.detach()) for name, loss in losses.items()}
        if not all(map(math.isfinite, (norm, *values.values()))):  # before they reach the weights
            raise TrainingError(f"training diverged ({values}): resume from the last checkpoint with a lower lr")
        optimiser.step()
        optimiser.zero_grad()


def advance(config: TrainConfig, step: int, seconds: float) -> float:
    """Share of the run that is done: by the clock if it ends the run, else by steps."""
    progress = step / config.steps if config.steps else 1.0
    if config.minutes is not None:
        progress = max(progress, seconds / (60 * config.minutes))
    if dist.is_initialized():  # every process stops at the same step
        shared = torch.tensor(progress, dtype=torch.float64)
        dist.all_reduce(shared, dist.ReduceOp.MAX)
        progress = float(shared)
    return progress
