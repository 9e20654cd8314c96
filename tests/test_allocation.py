"""Memory that is kept between the layers of a network, instead of being asked of the system anew."""

import os
import subprocess
import sys

import pytest

from derain.allocation import _glibc

pytestmark = pytest.mark.skipif(_glibc() is None, reason="glibc alone is told so")

FAULTS = """
import resource
from unittest.mock import patch
import derain.cli.app as app

def faults_of_sums(torch):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(3):
        torch.zeros(12_000_000) + 1  # 48 MB, above what glibc keeps by itself
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def command():
    from derain.allocation import give_back_freed_memory
    import torch
    kept = [faults_of_sums(torch) for _ in range(5)][-1]
    give_back_freed_memory()
    print(kept, faults_of_sums(torch))

with patch.object(app, "app", command):
    app.main()
"""


def faults(**said: str) -> tuple[int, int]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "THP_"))}
    ran = subprocess.run(
        [sys.executable, "-c", FAULTS], env=environment | said, check=True, capture_output=True, text=True
    )
    kept, after = map(int, ran.stdout.split())
    return kept, after


def test_a_command_takes_memory_that_it_freed_again_and_gives_it_back_when_told():
    kept, after = faults(THP_MEM_ALLOC_ENABLE="0")
    assert kept < 100 < after


def test_what_the_user_says_of_the_allocator_holds():
    assert faults(MALLOC_MMAP_MAX_="65536", THP_MEM_ALLOC_ENABLE="0")[0] > 1000
