"""A folder and all below it: `python examples/folder.py holiday/ dry/` mirrors it, and goes on where it was stopped."""

import sys
from pathlib import Path

import derain
from derain import batch

if __name__ == "__main__":
    folder, out = map(Path, sys.argv[1:])
    jobs = batch.plan([folder], batch.Target(output=out), recursive=True)
    for outcome in batch.run(batch.pending(jobs), derain.load()):
        source = outcome.job.source
        print(outcome.error or f"{source}: rain on {outcome.rain_coverage:.0%}, {outcome.seconds:.1f} s")
