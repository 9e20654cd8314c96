"""Many photos in one go: which ones and where their results go (``planning``), doing them (``running``), and pictures
of before and after.

    for outcome in run(plan(["holiday"], Target(output=Path("dry"))), derain.load()):
        print(describe(outcome))
"""

from typing import TYPE_CHECKING

from derain.batch.planning import Job, Target, obstacle, pending, plan, read_list
from derain.lazy import parts_of

if TYPE_CHECKING:
    from derain.batch.before_after import comparison, side_by_side
    from derain.batch.running import (
        Outcome,
        Treatment,
        as_json,
        describe,
        pace,
        run,
        separate,
        skipped_as_json,
        summary,
        through_pipe,
    )

__all__ = [
    "Job",
    "Outcome",
    "Target",
    "Treatment",
    "as_json",
    "comparison",
    "describe",
    "obstacle",
    "pace",
    "pending",
    "plan",
    "read_list",
    "run",
    "separate",
    "side_by_side",
    "skipped_as_json",
    "summary",
    "through_pipe",
]
_PAIRS = ("comparison", "side_by_side")
__getattr__ = parts_of(__name__, {name: "before_after" if name in _PAIRS else "running" for name in __all__})
