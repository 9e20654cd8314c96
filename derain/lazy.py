"""Packages whose parts are imported when they are first used: torch takes seconds to load."""

from collections.abc import Callable
from importlib import import_module
from typing import Any


def parts_of(package: str, modules: dict[str, str]) -> Callable[[str], Any]:
    """A package's ``__getattr__``, given the module within it that each of its names is in."""

    def part(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{modules[name]}"), name)

    return part
