"""The device that work runs on, chosen once and said once."""

from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from derain.errors import UsageError

Network = TypeVar("Network", bound=nn.Module)


def choose_device(name: str = "auto") -> torch.device:
    """``auto`` (CUDA, then MPS, then CPU), or the named device.

    Raises:
        UsageError: a device that is unknown or not there; derain never falls back silently.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise UsageError(f"--device {name}: not available here; use --device auto or --device cpu") from None
    return device


def proc_bytes(file: str, field: str) -> float | None:
    """A field of Linux' ``/proc/<file>`` that is told in kB, in bytes; ``None`` on other systems."""
    path = Path("/proc") / file
    if not path.exists():
        return None
    lines = dict(line.split(":", 1) for line in path.read_text().splitlines())
    return float(lines[field].split()[0]) * 1024


def place(network: Network, device: str | torch.device) -> Network:
    """``network`` on ``device``, channels last in memory: convolutions run faster so, on CPUs most of all."""
    return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
