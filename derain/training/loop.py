"""The training loop, for every preset.

All randomness of a step comes from ``(seed, rank, step)``, so a resumed run repeats an undisturbed one exactly. Of
several processes the checkpoint holds the first one's discoveries, with which all go on.
"""

import math
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from derain.errors import TrainingError
from derain.files.writing import alone
from derain.restoring.devices import half_precision
from derain.training.clock import Clock, Timing
from derain.training.config import TrainConfig, check
from derain.training.crops import Crops, affordable_cache
from derain.training.folder import LOG, Log, keep, load_checkpoint, run_folder, weights_in
from derain.training.learner import Batch, Learner, Onlooker, learner_of
from derain.training.torchrun import average, processes

Report = Callable[[int, float, dict[str, float]], None]
LOOKING_TIME_SHARE = 0.1  # share of a run's time that looking at the photos of a folder may take
FEWEST_STEPS = 50  # steps that teach nothing


def train(
    config: TrainConfig,
    rainy: Path,
    clean: Path,
    out: Path,
    resume: bool = False,
    report: Report | None = None,
    say: Callable[[str], None] | None = None,
    onlooker: Onlooker | None = None,
    clock: Clock | None = None,
) -> Path:
    """Train on unpaired folders and return the self-describing weights, ``out/<preset>.safetensors``.

    Args:
        config: settings; on ``resume`` the architecture and the seed must be those of the checkpoint.
        rainy: folder of rainy photos.
        clean: folder of unrelated photos without rain.
        out: folder for the checkpoint, ``log.jsonl``, ``previews/`` and the result; made if missing.
        report: called with step, progress in [0, 1] and losses every ``log_every`` steps.
        say: called with sentences for the user, one for each file that cannot be used among them.
        onlooker: may end the run early.
        clock: that counts ``config.minutes``, with all that an interrupted run took; default: from now.

    Raises:
        PhotoError: another run is at it.
        TrainingError: folders without usable photos, no permission to write, a checkpoint that does not fit, losses
            that are no numbers any more, or not even time for one step.
        UsageError: a device that is not there.
        WeightsError: weights to start from or to discover rain with that are not there, or a model that cannot be.
    """
    check(config)
    with (
        processes(config.device) as (rank, device),
        alone(out, out) if rank == 0 else nullcontext(),
        run_folder(out, config.preset, resume),
    ):
        state = load_checkpoint(out, config.preset) if resume else None
        clock = clock or Clock(config.minutes)
        clock.earlier = state["seconds"] if state else 0.0
        cache = affordable_cache(2 + len(config.pasted))
        rainy_crops, clean_crops = (
            Crops(folder, config.crop, cache=cache, clock=clock, share=LOOKING_TIME_SHARE) for folder in (rainy, clean)
        )
        torch.manual_seed(config.seed)
        learner = learner_of(config.preset)(config, device, clock)
        if state:
            restore(state, config, learner, out, onlooker)
        left_out = [why for crops in (rainy_crops, clean_crops, *learner.photos) for why in crops.left_out]
        if say and rank == 0:
            for why in left_out:
                say(f"skipped {why}")
        step, trained = (state["step"], state["trained"]) if state else (0, 0.0)
        log = Log(out / LOG, rank, step, left_out)
        timing = Timing(clock, onlooker, trained)

        kept, ended = step, False
        while not ended and (progress := timing.progress(step, config.steps)) < 1:
            rng = np.random.default_rng((config.seed, rank, step))
            torch.manual_seed(int(rng.integers(2**62)))
            batch = learner.prepare(rng, step, progress, rainy_crops, clean_crops)
            with timing.step():
                losses = optimise(learner, batch, config, device, progress)
                learner.after_step(step)
            step += 1
            if step % config.log_every == 0:
                log.write(step, clock.spent, losses)
                if report and rank == 0:
                    report(step, min(clock.spent / clock.seconds, 1.0) if clock.limited else progress, losses)
            if step % config.save_every == 0 and rank == 0:
                ended = onlooker is not None and onlooker.look(step, progress, learner.result)
                with timing.keeping():
                    keep(out, config, learner, step, timing, rainy_crops, onlooker)
                kept = step

        if step == 0 and config.steps and not onlooker:
            raise TrainingError(f"{out}: the time was over before the first step; give more minutes")
        if rank == 0 and (kept < step or config.steps == 0):
            if onlooker:
                onlooker.look(step, 1.0, learner.result)
            keep(out, config, learner, step, timing, rainy_crops, onlooker)
        if rank == 0 and say and clock.limited and step < FEWEST_STEPS and not onlooker:
            say(f"{step} steps are too few to learn from; give more minutes")
    return weights_in(out, config.preset)


def restore(
    state: dict[str, Any], config: TrainConfig, learner: Learner[Any], out: Path, onlooker: Onlooker | None
) -> None:
    """Go on with the learner and the onlooker of a checkpoint.

    Raises:
        TrainingError: it is of another network or seed.
    """
    try:
        learner.load_state(state["learner"])
        if onlooker:
            onlooker.load_state(state["onlooker"])
    except Exception:  # torch raises many kinds where shapes or names differ
        raise TrainingError(f"{out}: its network is another; give `resume` with the same `config`") from None
    if state["config"].get("seed") != config.seed:
        raise TrainingError(f"{out}: was begun with another seed; give `seed` {state['config'].get('seed')}")


def optimise(
    learner: Learner[Batch], batch: Batch, config: TrainConfig, device: torch.device, progress: float
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
            lost = ", ".join(f"{name} {value:.3g}" for name, value in values.items())
            raise TrainingError(f"training diverged ({lost}): go on from the last checkpoint with a lower lr")
        optimiser.step()
        optimiser.zero_grad()
