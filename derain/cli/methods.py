"""What `derain eval` compares: weights and the results of other tools, by name."""

from pathlib import Path

from derain.errors import UsageError
from derain.evaluation.samples import INPUT
from derain.weights import locate, sha256

NAMES_OF_NO_METHOD = (INPUT, "clean", "truth", "rain")  # in tables, reports and clips


def method_names(weights: list[str], restored: list[str]) -> tuple[dict[str, str], dict[str, Path]]:
    """What weights and results of tools are called in tables: weights by name, results by name.

    Weights go by their file's stem, or as given if two share it or it means something else; results by ``NAME=PATH``
    or the path's last part.

    Raises:
        UsageError: two methods have one name, or a name or a path is empty.
    """
    stems = [Path(name).stem for name in weights]
    plain = [stem for stem in stems if stems.count(stem) == 1 and stem not in NAMES_OF_NO_METHOD]
    ours = {stem if stem in plain else name: name for stem, name in zip(stems, weights)}
    theirs: dict[str, Path] = {}
    for given in restored:
        name, sign, path = given.partition("=")
        if not sign or Path(given).exists():
            name, path = Path(given).name or given, given
        if not (name and path):
            raise UsageError(f"--restored {given}: a part is empty; give PATH or NAME=PATH")
        if name in ours or name in theirs or name in NAMES_OF_NO_METHOD:
            raise UsageError(f"two methods are called {name}; write --restored OTHER_NAME={path}")
        theirs[name] = Path(path)
    return ours, theirs


def roles(rainy: Path | None, clean: Path | None, weights: dict[str, str], restored: dict[str, Path]) -> dict[str, str]:
    """What was compared, for the report's settings."""
    found = {"rainy": str(rainy) if rainy else "rendered by derain eval --self-test"}
    if clean:
        found["clean"] = str(clean)
    found |= {f"weights {name}": f"{file}, SHA-256 {sha256(locate(file))}" for name, file in weights.items()}
    return found | {f"results of {name}": str(path) for name, path in restored.items()}
