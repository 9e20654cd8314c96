"""Many photos in one go: which ones and where their results go (``planning``), doing them (``running``), and pictures
of before and after.

    for outcome in run(plan(["holiday"], Target(output=Path("dry"))), derain.load()):
        print(describe(outcome))
"""

from derain.batch.before_after import comparison, side_by_side
from derain.batch.planning import Job, Target, pending, plan, read_list
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
