"""Memory of the C library, which a network takes and gives back at each layer: kept meanwhile, on Linux with glibc.

By itself glibc asks the system for each large array and gives it back at once. The system then clears every page anew,
which took a third of the time of a photo.
"""

import ctypes
import os
import sys
from functools import cache

TRIM_THRESHOLD, MMAP_MAX, ARENA_MAX = -1, -4, -8  # of glibc's mallopt
NEVER = -1


@cache
def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None


class _Policy:
    keeps = False


def keep_freed_memory() -> None:
    """Keep what is freed for what is taken next, if the user has not said otherwise; before torch is loaded.

    It holds for the whole process, so that it is for a program to choose and not for a library.
    """
    said = any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ)
    if said or (library := _glibc()) is None:
        return
    library.mallopt(MMAP_MAX, 0)
    library.mallopt(TRIM_THRESHOLD, NEVER)
    library.mallopt(ARENA_MAX, 1)  # that of another thread holds no large array
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # torch then asks for huge pages
    _Policy.keeps = True


def give_back_freed_memory() -> None:
    """Give the system what is kept."""
    if _Policy.keeps and (library := _glibc()) is not None:
        library.malloc_trim(0)
