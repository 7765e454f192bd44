"""Draw 10^9 uniforms in float64, with the Gumbel and logistic noise made of them: is every number finite?

python tests/numerics/billion.py       # some minutes
"""

import sys

import torch

from catvae_lib import noise

CHUNK = 10**6


def main(draws: int = 10**9) -> int:
    """Print the range of each noise; return 0 if every number is finite and every uniform inside (0, 1)."""
    samplers = (noise.uniform, noise.gumbel, noise.logistic)
    ranges = {sampler.__name__: [float("inf"), -float("inf")] for sampler in samplers}
    good = True
    for chunk in range(draws // CHUNK):
        for sampler in samplers:  # a generator of one seed gives all three the same uniforms
            found = sampler(CHUNK, generator=torch.Generator().manual_seed(chunk), dtype=torch.float64)
            low, high = (float(end) for end in found.aminmax())  # NaN if one is
            before = ranges[sampler.__name__]
            ranges[sampler.__name__] = [min(low, before[0]), max(high, before[1])]
            good &= abs(low) < float("inf") and abs(high) < float("inf")
            good &= sampler is not noise.uniform or (low > 0 and high < 1)
    for name, (low, high) in ranges.items():
        print(f"{name:9s} from {low:.6g} to {high:.17g} in {draws:,} draws")
    print("every number is finite, every uniform inside (0, 1)" if good else "NOT every number is finite")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
