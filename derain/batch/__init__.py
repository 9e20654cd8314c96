"""Many photos in one go: which ones are named (``finding``), where their results go (``jobs``, ``clashes``), both
together (``planning``), doing them (``running``), and pictures of before and after.

    jobs = pending(plan(["holiday"], Target(output=Path("dry"))))  # those of which a result is not there yet
    for outcome in run(jobs, derain.load()):
        print(describe(outcome))
"""

from typing import TYPE_CHECKING

from derain.batch.jobs import Job, Target, is_done, obstacle, pending
from derain.batch.lists import read_list
from derain.batch.planning import is_long, plan, plan_as_found
from derain.batch.tally import Tally
from derain.lazy import parts_of

if TYPE_CHECKING:
    from derain.batch.before_after import comparison, side_by_side
    from derain.batch.outcome import Outcome, as_json, describe, skipped_as_json
    from derain.batch.running import Treatment, run, separate, through_pipe

__all__ = [
    "Job",
    "Outcome",
    "Tally",
    "Target",
    "Treatment",
    "as_json",
    "comparison",
    "describe",
    "is_done",
    "is_long",
    "obstacle",
    "pending",
    "plan",
    "plan_as_found",
    "read_list",
    "run",
    "separate",
    "side_by_side",
    "skipped_as_json",
    "through_pipe",
]
_PARTS = {
    "before_after": ("comparison", "side_by_side"),
    "outcome": ("Outcome", "as_json", "describe", "skipped_as_json"),
    "running": ("Treatment", "run", "separate", "through_pipe"),
}
__getattr__ = parts_of(__name__, {name: module for module, names in _PARTS.items() for name in names})
