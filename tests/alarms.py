"""How often `make test` fails by chance: at most one run in a million, all its statistical tests together.

Seeds are fixed, so a commit that passes goes on passing. The budget is for the day when other numbers are
drawn: another seed, another torch, another generator. It is spent in comparisons, each at the same `LEVEL`; a
comparison of several numbers shares its level among them (Bonferroni). `MOST` says how many comparisons a
file makes at most. Each is counted where it is made; a run prints their sum, and fails if a file makes more.

The limits below hold at every sample size: exact binomials, Dvoretzky-Kiefer-Wolfowitz, Bernstein where the
variance is enumerated, its empirical version where it is not, and that of self-normalized sums where the law
is symmetric. A normal or Student's limit stands in four places, which say why. What a test finds stands in
the test: "an error of 0.07" is found in 999 of 1000 runs.

Not counted, because other numbers would not raise an alarm, or would show in any case:

- that a wrong sampler or answer is rejected; how far the nearest one lies from the limit stands in the test;
- the stored outputs of notebooks and assignments, which are compared to the last digit, so that another
  generator changes them anyway. Their checks and claims, at 1e-6 or five standard errors, serve the reader;
- what training reaches, and which of two variances is smaller, with limits that are no quantiles but wide.
"""

import math
from collections.abc import Iterable, Sequence

from scipy import stats
from torch import Tensor

TOTAL = 1e-6
LEVEL = 1e-9  # of one comparison
ERRORS = float(stats.norm.isf(LEVEL / 2))  # 6.11 standard errors, of a comparison of one normal number
MOST = {  # comparisons in a run of a file
    "classroom/test_bank.py": 310,  # at most eight a right answer to the six statistical tasks, three seeds
    "classroom/test_demonstrations.py": 30,
    "classroom/test_stats.py": 60,
    "estimators/test_biased.py": 40,
    "estimators/test_conditional.py": 20,
    "estimators/test_interface.py": 50,
    "estimators/test_layers.py": 20,
    "estimators/test_unbiased.py": 150,
    "estimators/test_wrong.py": 70,
    "papers/test_tables.py": 5,
    "test_alarms.py": 1,
    "test_chain.py": 15,
    "test_data.py": 15,
    "test_distributions.py": 5,
    "test_latent.py": 20,
    "test_network.py": 10,
    "test_noise.py": 40,
    "test_sampling.py": 5,
    "test_training.py": 5,
    "test_vae.py": 20,
}


def record(name: str, value: object) -> None:
    """Stand in for pytest's record_property of a test, which conftest.py puts here: elsewhere none counts."""


def spend(tests: int = 1) -> float:
    """Count one comparison, and return the level of each of the tests that it is made of."""
    record("comparison", LEVEL)
    return LEVEL / tests


def fits(counts: Sequence[int], probabilities: Sequence[float], n: int | None = None) -> bool:
    """Exact two-sided binomial tests of counts of n draws; by default every draw is in one of them."""
    n, level = sum(counts) if n is None else n, spend(len(counts))
    pairs = zip(counts, probabilities, strict=True)
    return all(stats.binomtest(count, n, min(p, 1.0)).pvalue > level for count, p in pairs)


def distance(n: int) -> float:
    """The limit of the Kolmogorov-Smirnov distance of n draws, by Dvoretzky, Kiefer, Wolfowitz and Massart.

    A law that is off by twice as much somewhere passes with probability LEVEL / 2 at most.
    The limit of the mean of n numbers in [0, 1] is the same (Hoeffding).
    """
    return math.sqrt(math.log(2 / spend()) / (2 * n))


def bernstein(variance: Tensor, width: Tensor | float, n: int) -> Tensor:
    """The limit of |mean - expectation| of n draws of known variance in an interval of known width."""
    share = math.log(2 / spend(variance.numel())) / n
    return share * width / 3 + ((share * width / 3) ** 2 + 2 * share * variance).sqrt()


def empirical(draws: Tensor, width: float | None = None) -> Tensor:
    """The same for draws (n, ...) of unknown variance (Maurer and Pontil 2009).

    Where the width of their interval is not known either, it is that of the draws: what lies outside,
    where none of n fell, has a probability below 21 / n.
    """
    n, tests = len(draws), draws[0].numel()
    logarithm = math.log(4 / spend(tests))
    wide = draws.amax(0) - draws.amin(0) if width is None else width
    return (2 * logarithm * draws.var(0) / n).sqrt() + 7 * logarithm * wide / (3 * (n - 1))


def symmetric(draws: Tensor) -> Tensor:
    """The limit of |mean| of draws (n, ...) whose law is symmetric about 0 (Efron 1969)."""
    return (2 * math.log(2 / spend(draws[0].numel()))) ** 0.5 * draws.square().sum(0).sqrt() / len(draws)


def overspent(spending: Iterable[tuple[str, float]]) -> tuple[str, list[str]]:
    """Say what comparisons (file, level) come to, and which files made more than `MOST` lets them."""
    counts: dict[str, int] = {}
    total = 0.0
    for file, level in spending:
        counts[file], total = counts.get(file, 0) + 1, total + level
    spent = f"{sum(counts.values())} comparisons, false alarm {total:.2g} in all (at most {TOTAL:g})"
    wrong = [
        f"{file} makes {count} comparisons, tests/alarms.py allows {MOST.get(file, 0)}"
        for file, count in sorted(counts.items())
        if count > MOST.get(file, 0)
    ]
    return f"statistical tests: {spent}", wrong + ["their false alarms are too many"] * (total > TOTAL)
