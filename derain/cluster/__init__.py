"""Work on more than one device or machine, by Ray: it schedules, carries and starts again; here is what it works on.

for outcome in run(plan(["holiday"], Target(output=Path("dry"))), derain.load()):
    print(outcome.node, describe(outcome))
with workers() as elsewhere:
    process("clip.mp4", "dry.mp4", elsewhere=elsewhere)
"""

from derain.cluster.clips import workers
from derain.cluster.connecting import connected
from derain.cluster.running import run

__all__ = ["connected", "run", "workers"]
