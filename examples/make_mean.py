"""The mean of weights of one architecture: `python examples/make_mean.py OUT A 0.6 B 0.4`

Networks that were trained on from the same weights can be averaged, and often do better than each of them. What one of
them adds, such as `fading`, counts as zero in the others.
"""

import argparse
from pathlib import Path

import torch

from derain.weights import about, load, save

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("parts", nargs="+", help="weights, each followed by its share")
    asked = parser.parse_args()
    if len(asked.parts) % 2:
        parser.error("give each weights' share behind them")
    shares: dict[str, float] = {}
    for name, share in zip(asked.parts[::2], asked.parts[1::2]):
        try:
            shares[name] = shares.get(name, 0.0) + float(share)
        except ValueError:
            parser.error(f"{share}: is no share; give a number")
    if asked.out.exists():
        parser.error(f"{asked.out}: exists; give another name")
    if abs(sum(shares.values()) - 1) > 1e-6:
        parser.error(f"the shares sum up to {sum(shares.values()):g}, not to 1")
    networks = {name: load(name) for name in shares}
    tensors = {name: network.state_dict() for name, network in networks.items()}
    mean = networks[max(tensors, key=lambda name: len(tensors[name]))]
    whole = mean.state_dict()
    for name, own in tensors.items():
        if type(networks[name]) is not type(mean) or any(
            t not in whole or whole[t].shape != numbers.shape for t, numbers in own.items()
        ):
            parser.error(f"{name}: is of another architecture; give weights of one")
    none = {t: torch.zeros_like(numbers) for t, numbers in whole.items()}
    mean.load_state_dict({t: sum(shares[n] * tensors[n].get(t, none[t]) for n in shares) for t in none})
    save(mean, asked.out, {"mean": [{"share": shares[n], "sha256": about(n)["sha256"]} for n in shares]})
    print(asked.out)
