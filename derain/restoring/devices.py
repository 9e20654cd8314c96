"""The device that work runs on, chosen once and said once."""

import logging
import math
import os
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial, wraps
from pathlib import Path
from threading import RLock
from typing import TypeVar

import torch
from torch import nn

from derain.errors import UsageError, first_line
from derain.restoring.names import check_device_name
from derain.text import counted

CPU = torch.device("cpu")
FREE_MEMORY_SHARE = 0.4  # that one piece of work may take
# torch's words for it, by system
OUT_OF_MEMORY_PHRASES = ("out of memory", "not enough memory", "can't allocate memory")
Module = TypeVar("Module", bound=nn.Module)


def choose_device(name: str | torch.device = "auto") -> torch.device:
    """``auto`` (CUDA, then MPS, then CPU), or the named device; one of torch's is taken as it is.

    Raises:
        UsageError: a device that is unknown or not there; derain never falls back silently.
    """
    if isinstance(name, torch.device):
        return name
    check_device_name(name)
    if name == "auto":
        return _best_device()
    if why := trouble(name):
        raise UsageError(f"`device` {name}: not available here ({why}); give `device` auto or `device` cpu")
    return torch.device(name)


def _best_device() -> torch.device:
    with warnings.catch_warnings(record=True) as said:  # torch's way to tell of a driver that it cannot use
        warnings.simplefilter("always")
        there = torch.cuda.is_available()
    why = trouble("cuda") if there else first_line(said[-1].message) if said else ""
    if there and not why:
        return torch.device("cuda")
    device = torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    if why:
        logging.getLogger("derain").warning(f"CUDA is available but fails ({why}); using {device} instead")
    return device


def trouble(name: str) -> str:
    """Why torch cannot compute on the device, in its words; empty if it can."""
    kind, _, index = name.partition(":")
    if kind == "mps" and not torch.backends.mps.is_available():
        return "torch finds no Apple GPU"
    if index and 0 < torch.cuda.device_count() <= int(index):
        return f"torch finds {counted(torch.cuda.device_count(), 'GPU')}, numbered from cuda:0"
    try:
        (torch.zeros(1, device=torch.device(name)) + 1).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        return first_line(error)
    return ""


def name_of(device: torch.device) -> str:
    """What the device is, in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return "Apple GPU"
    return f"{counted(torch.get_num_threads(), 'thread')}, {torch.backends.cpu.get_cpu_capability()}"


def half_precision(precision: str, device: torch.device) -> bool:
    """Whether to compute in half precision: on request, on GPUs that have it, and where a processor is faster so."""
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":  # some milliseconds of work tell of the launches there, not of a photo
        return torch.cuda.is_bf16_supported(including_emulation=False)
    with suppress_out_of_memory():
        return device.type == "cpu" and half_is_faster(device, torch.get_num_threads())
    return False


def repeatable_precision(precision: str, device: torch.device) -> str:
    """float32 or bfloat16, by what the device is, not by a measurement: the same seed has to give the same run."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        half = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        probe = getattr(torch.cpu, "_is_amx_tile_supported", None)
        half = device.type == "cpu" and probe is not None and bool(probe())
    return "bfloat16" if half else "float32"


@contextmanager
def without_autocast(device: torch.device) -> Iterator[None]:
    """Compute in the types that tensors have, within a caller's ``torch.autocast``, too."""
    with torch.autocast("cpu", enabled=False), torch.autocast(device.type, enabled=False):
        yield


@contextmanager
def inferring(device: torch.device) -> Iterator[None]:
    """Without gradients, and :func:`without_autocast`: what is made of a network's result overflows in float16."""
    with torch.inference_mode(), without_autocast(device):
        yield


def measured_once(measure: Callable[..., bool]) -> Callable[..., bool]:
    """The same answer to all threads, one of which measures while the others wait."""
    cached, lock = cache(measure), [RLock()]

    @wraps(measure)
    def answer(*arguments: object, **keywords: object) -> bool:
        with lock[0]:
            return cached(*arguments, **keywords)

    if hasattr(os, "register_at_fork"):  # the thread that measures is not there in the child
        os.register_at_fork(after_in_child=lambda: lock.__setitem__(0, RLock()))
    answer.cache_clear = cached.cache_clear  # type: ignore[attr-defined]
    return answer


def least_seconds(*works: Callable[[], object]) -> list[float]:
    """The processor's own time that each takes without gradients, which depends little on what else the machine does.

    They take turns, some times over.
    """

    def seconds(work: Callable[[], object]) -> float:
        began = time.process_time()
        work()
        return time.process_time() - began

    with inferring(CPU):
        spent = [[seconds(work) for work in works] for _ in range(5)][1:]  # the first warms up
    return [min(each) for each in zip(*spent)]


@measured_once
def half_is_faster(device: torch.device, threads: int) -> bool:
    """Whether bfloat16 takes less time than float32 here, by some convolutions like a network's, in some ms.

    That a processor has instructions for it does not tell: some are slower by them than in float32.
    """
    with torch.random.fork_rng(devices=[]):  # random numbers of the caller stay as they are
        convolve = moved_to(nn.Conv2d(24, 24, 3, padding=1, dtype=torch.float32, device="cpu"), device)
    image = torch.zeros(1, 24, 128, 128, dtype=torch.float32, device=device).to(memory_format=torch.channels_last)

    def work(half: bool) -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            x = convolve(image)
            for _ in range(3):
                x = convolve(x.relu_()).add_(x)
            x.float().sum().item()  # waits for the device

    half, full = least_seconds(partial(work, True), partial(work, False))
    return half < full


def proc_bytes(file: str, field: str) -> float | None:
    """A field of Linux' ``/proc/<file>`` that is told in kB, in bytes; ``None`` where nobody tells it."""
    path = Path("/proc") / file
    if not path.exists():
        return None
    found = re.search(rf"^{field}:\s*(\d+)", path.read_text(), re.MULTILINE)
    return float(found[1]) * 1024 if found else None


def free_memory(device: torch.device) -> float:
    """Bytes free on the device; infinite where it cannot be told."""
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # free to torch alone
        return float(torch.cuda.mem_get_info(device)[0] + kept)
    free = proc_bytes("meminfo", "MemAvailable") if device.type == "cpu" else None
    return float("inf") if free is None else free


def used_memory(device: torch.device) -> float:
    """Bytes that this process has on the device; what it had at the most where the present cannot be told."""
    if device.type == "cuda":
        return float(torch.cuda.memory_allocated(device))
    if device.type == "mps":
        return float(torch.mps.current_allocated_memory())
    used = proc_bytes("self/status", "VmRSS")
    return process_peak() if used is None else used


def process_peak() -> float:
    """Bytes that this process had in memory at the most; NaN where that cannot be told."""
    peak = proc_bytes("self/status", "VmHWM")
    if peak is not None:  # getrusage would count the parent's memory at the start of this process
        return peak
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def is_out_of_memory(error: BaseException) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(phrase in text for phrase in OUT_OF_MEMORY_PHRASES)


@contextmanager
def suppress_out_of_memory() -> Iterator[None]:
    """Go on after what did not fit into the memory."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise


def release(device: torch.device) -> None:
    """Give back memory that was in use in pieces of other sizes."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def affordable_pixels(device: torch.device, bytes_a_pixel: float, room: float = math.inf) -> float:
    """How many pixels fit into ``room`` bytes and the share of the memory that is free now that one work may take."""
    return min(FREE_MEMORY_SHARE * free_memory(device), room) / bytes_a_pixel


def moved_to(network: Module, device: str | torch.device) -> Module:
    """``network`` on ``device``, channels last in memory: convolutions run faster so, on CPUs most of all."""
    return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
