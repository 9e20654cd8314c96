"""The device that is chosen, and what is said where it cannot be."""

import logging
import warnings
from pathlib import Path

import pytest
import torch

from derain.errors import UsageError
from derain.restoring.devices import choose_device, proc_bytes

OLD_DRIVER = "CUDA initialization: The NVIDIA driver on your system is too old (found version 11040)."


@pytest.mark.parametrize(
    "name", ["meta", "xla", "hip", "cpu:1", "CUDA", "cuda:", "cuda:-1", "mps:0", "gpu", "", "1" * 999]
)
def test_other_devices_are_refused_with_those_that_can_be_chosen(name):
    with pytest.raises(UsageError, match=f"^`device` {name}: choose auto, cpu, cuda, one GPU such as cuda:1, or mps$"):
        choose_device(name)


def broken(monkeypatch, says: Exception) -> None:
    """CUDA fails at whatever is done with it."""
    zeros = torch.zeros

    def fails(*size, device):
        if device.type == "cuda":
            raise says
        return zeros(*size, device=device)

    monkeypatch.setattr(torch, "zeros", fails)


@pytest.mark.parametrize(
    "error, said",
    [
        (AssertionError("Torch not compiled with CUDA enabled"), "Torch not compiled with CUDA enabled"),
        (RuntimeError("Found no NVIDIA driver on your system. Install one."), "Found no NVIDIA driver"),
        (
            RuntimeError("CUDA error: no kernel image is available\nCompile with ..."),
            "CUDA error: no kernel image is available",
        ),
        (RuntimeError(""), "RuntimeError"),
    ],
)
def test_a_named_device_that_fails_is_refused_with_the_reason(monkeypatch, error, said):
    broken(monkeypatch, error)
    with pytest.raises(UsageError, match=f"`device` cuda: not available here .{said}.*`device` cpu$") as caught:
        choose_device("cuda")
    assert "\n" not in str(caught.value)


def test_a_gpu_that_is_not_there_is_refused_with_their_number(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(
        UsageError, match="`device` cuda:2: not available here .torch finds 2 GPUs, numbered from cuda:0"
    ):
        choose_device("cuda:2")


def test_nothing_is_said_where_there_is_no_gpu(monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto") == torch.device("cpu") and not caplog.records


def test_a_gpu_that_is_there_but_fails_is_said_once(monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    broken(monkeypatch, RuntimeError("CUDA error: out of memory\nMore"))
    assert choose_device("auto") == torch.device("cpu")
    assert [record.message for record in caplog.records] == [
        "CUDA is available but fails (CUDA error: out of memory); using cpu instead"
    ]


def test_a_driver_that_cannot_be_used_is_said_once(monkeypatch, caplog):
    def is_available() -> bool:
        warnings.warn(OLD_DRIVER, stacklevel=1)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", is_available)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with warnings.catch_warnings(action="error"), caplog.at_level(logging.WARNING):
        assert choose_device("auto") == torch.device("cpu")
    assert len(caplog.records) == 1 and "driver on your system is too old" in caplog.text


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="there is no /proc")
def test_what_the_system_does_not_tell_of_its_memory_is_not_known():
    assert proc_bytes("meminfo", "MemTotal") > 1e6 and proc_bytes("self/status", "VmRSS") > 1e6
    assert proc_bytes("meminfo", "MemAvailablE") is None and proc_bytes("no such file", "MemTotal") is None
