"""Work on more than one device or machine, by Ray: it schedules, carries and starts again; here is what it works on.

for outcome in run(plan(["holiday"], Target(output=Path("dry"))), derain.load()):
    print(outcome.node, describe(outcome))
"""

from derain.cluster.connecting import connected
from derain.cluster.running import run

__all__ = ["connected", "run"]
