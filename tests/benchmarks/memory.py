"""How the memory of a process moves: ten epochs ten times over, and a bound of many samples.

    python tests/benchmarks/memory.py               50,000 digits, 100,000 samples of the bound (20 minutes)
    python tests/benchmarks/memory.py 2000 3000     so many images, so many samples

Measured is the resident memory, by psutil, after each ten epochs, and its peak over the bound. The last line
of each part ends in holds or FAILS: no growth over 1 % after the first ten epochs, and at most the same 1 %
more for the bound's samples than for a hundredth of them.
"""

import ctypes
import gc
import resource
import sys
from dataclasses import replace

import psutil
import torch

from catvae_lib import data, network
from catvae_lib.data import Dataset, Split
from catvae_lib.latent import BernoulliLatent
from catvae_lib.training import TrainConfig, fit
from catvae_lib.vae import VAE

ALLOWED = 0.01


def resident() -> float:
    """Megabytes that the process holds, without what the allocator keeps for later (on Linux)."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
    return float(psutil.Process().memory_info().rss / 1e6)


def model() -> VAE:
    torch.manual_seed(0)
    return VAE(network.mlp(784, [200], 50), BernoulliLatent(50), network.mlp(50, [200], 784))


def few(split: Split, count: int) -> Split:
    return Split(split.images[:count], split.labels[:count])


def epochs(digits: Dataset) -> bool:
    """Ten epochs, ten times, in one process."""
    config, held = TrainConfig(epochs=10, batch_size=100), []
    for seed in range(10):
        fit(model(), digits, replace(config, seed=seed))
        held.append(resident())
        print(f"after {10 * (seed + 1):3d} epochs: {held[-1]:6.0f} MB", flush=True)
    growth = max(held[1:]) / held[0] - 1
    print(f"growth after the first: {growth:+.2%}, {'holds' if growth <= ALLOWED else 'FAILS'}")
    return growth <= ALLOWED


def bound(digits: Dataset, samples: int) -> bool:
    """The peak while the bound is computed, for a hundredth of the samples and then for all."""
    vae, peaks = model(), []
    for count in (samples // 100, samples):
        vae.bound(digits.test.images[:10], count)
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)
        print(f"bound of {count} samples: peak {peaks[-1]:.0f} MB", flush=True)
    growth = peaks[1] / peaks[0] - 1
    print(f"growth with the samples: {growth:+.2%}, {'holds' if growth <= ALLOWED else 'FAILS'}")
    return growth <= ALLOWED


def main(images: int = 50_000, samples: int = 100_000) -> int:
    torch.set_num_threads(1)
    digits = data.load()
    digits = replace(digits, train=few(digits.train, images), validation=few(digits.validation, images // 5))
    return 0 if all([bound(digits, samples), epochs(digits)]) else 1


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
