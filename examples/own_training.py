"""Your own network, from nothing: `python examples/own_training.py rainy/ clean/ run/ [STEPS]`

Two folders of photos that have nothing to do with each other. Some 100,000 steps and a GPU make a good network.
"""

import sys
from pathlib import Path

from derain.training.config import TrainConfig
from derain.training.loop import train

if __name__ == "__main__":
    rainy, clean, out, *steps = sys.argv[1:]
    config = TrainConfig(steps=int(steps[0]) if steps else 100_000, batch=4, crop=128)
    print(train(config, Path(rainy), Path(clean), Path(out), say=print))
