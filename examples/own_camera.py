"""Your own camera: `python examples/own_camera.py my_rainy/ my_camera.safetensors [MINUTES]` adapts the network to it.

Rainy photos or clips of that camera are enough. Then: `derain run photo.jpg --weights my_camera.safetensors`
"""

import sys
from pathlib import Path

from derain.finetuning.finetune import finetune

if __name__ == "__main__":
    photos, out, *minutes = sys.argv[1:]
    found = finetune(Path(photos), Path(out), minutes=float(minutes[0]) if minutes else None, say=print)
    print("better" if found.better else "no better: these are the weights that it started from")
