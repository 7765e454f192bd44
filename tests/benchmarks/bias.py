"""Bias and variance of every estimator against enumeration, at a million draws a problem (15 minutes).

    python tests/benchmarks/bias.py                 # all problems
    python tests/benchmarks/bias.py large-neural    # one: 8 categories x 4 variables, 4096 codes

A line a problem and estimator: the largest |mean - exact| in limits of tests/alarms.py, the norm of the mean
error as a share of the gradient's, and the standard deviation of one estimate as a multiple of its norm.
"""

import sys
from pathlib import Path

import torch

sys.path += [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "estimators")]
from problems import PROBLEMS, compare, estimates, kind
from test_unbiased import made

from catvae_lib.estimators import CATALOGUE

N = 1_000_000
TEMPERATURE = {"straight_through": 1.0, "reinmax": 1.0}  # the others 0.5


def main(only: str = "") -> None:
    """Print the table."""
    torch.set_num_threads(1)
    print(f"{'problem':18} {'estimator':32} draws  off  bias/|g|  std/|g|")
    for problem, one in PROBLEMS.items():
        for name, entry in CATALOGUE.items():
            if name == "exact" or kind(one) not in entry.codes or only not in ("", problem):
                continue
            draws = {"single": min(entry.draws, 11), "multi": 2}[entry.objective]
            expected = one.exact_gradient(draws if entry.objective == "multi" else None)
            torch.manual_seed(0)
            batches = estimates(one, made(name, one.latent), draws, N, TEMPERATURE.get(name, 0.5))
            found, size = compare(batches, expected), float(expected.norm())
            row = f"{problem:18} {name:32} {draws:5d}  {found.off:5.2f}"
            print(f"{row}  {found.bias / size:8.4f}  {found.variance**0.5 / size:7.2f}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:2])
