"""Calibrated statistical checks: every verdict says how often it is wrong and what it would have missed.

Two numbers belong to a check. The false-alarm rate is the probability that a right sampler is rejected. The
smallest deviation says how wrong a sampler may be and still slip through: whatever deviates by more is
rejected with probability `POWER`. Both follow from the sample size by a rule, none is chosen by taste.

The samples must be independent; `pair_counts` checks that. Tensors and arrays are both accepted and are read
in float64.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import stats
from torch import Tensor

from catvae_lib import _validate

Values = npt.ArrayLike | Tensor
_Floats = npt.NDArray[np.float64]
_Ints = npt.NDArray[np.int64]

POWER = 0.99

_MOST_COUNTS, _SMALLEST_DEVIATION = 1e15, 1e-6  # of counts: beyond, a float64 does not tell neighbours apart

# Below this false-alarm rate the limit distributions of Pearson and Kolmogorov are not trusted.
_APPROXIMATE_FROM = 1e-4

# (false-alarm rate, expected count): from that rate on, a Pearson cell expecting at least that count is
# rejected at most twice as often as the rate says. At 5 % and 1 % this is the textbook's 5; smaller rates ask
# for the far tail and need more.
_MINIMUM_EXPECTED = ((1e-2, 5.0), (1e-3, 20.0), (_APPROXIMATE_FROM, 50.0))


@dataclass(frozen=True)
class Fit:
    """Result of a goodness-of-fit check.

    Attributes:
        method: The test that was used.
        statistic: Pearson's X^2 for counts, the Kolmogorov-Smirnov distance D for continuous samples.
        p_value: Probability, for a right sampler, of a sample at least this far off; a bound from above for
            the exact binomial and the Dvoretzky-Kiefer-Wolfowitz test.
        false_alarm: Rate at which a right sampler is rejected.
        rejected: Whether `p_value <= false_alarm`.
        sample_size: Number of samples n.
        smallest_deviation: A sampler that deviates by more is rejected with probability at least `POWER`; inf
            if no deviation is. For counts the deviation is the largest error of one category's probability,
            max_k |q_k - p_k|; for continuous samples it is the largest distance of the two CDFs,
            sup_x |G(x) - F(x)|.

    Example:
        >>> print(categorical_fit([480, 520], [0.5, 0.5]))
        accepted: Pearson, n = 1000, statistic 1.6, p = 0.21, false alarm 0.001, would detect 0.089
    """

    method: str
    statistic: float
    p_value: float
    false_alarm: float
    rejected: bool
    sample_size: int
    smallest_deviation: float

    def __str__(self) -> str:
        """Return one line, rounded to digits that agree between processors."""
        verdict = "rejected" if self.rejected else "accepted"
        p_value = "p < 1e-12" if self.p_value < 1e-12 else f"p = {self.p_value:.2g}"
        detects = "nothing" if math.isinf(self.smallest_deviation) else f"{self.smallest_deviation:.2g}"
        return (
            f"{verdict}: {self.method}, n = {self.sample_size}, statistic {self.statistic:.3g}, {p_value}, "
            f"false alarm {self.false_alarm:.2g}, would detect {detects}"
        )


def categorical_fit(counts: Values, probabilities: Values, *, false_alarm: float = 1e-3) -> Fit:
    r"""Test counts of independent categorical draws against their probabilities.

    Pearson's $X^2 = \sum_k (n_k - n p_k)^2 / (n p_k)$ is compared with the chi-squared distribution of K - 1
    degrees of freedom (Pearson 1900). The denominator is $n p_k$, not the variance $n p_k (1 - p_k)$.

    Pooling: categories that expect fewer than 5 counts (20 for a false-alarm rate below 1e-2, 50 below 1e-3)
    are merged with each other, the rarest first, into cells that expect at least that many. They are never
    merged with a frequent category, which would hide them.

    The exact test takes over below a false-alarm rate of 1e-4, and where the rare categories together are too
    rare for a cell or fewer than two cells remain. It doubles the smaller binomial tail of each category, and
    multiplies the smallest of the K results by K (Bonferroni; by 1 for K = 2, whose categories say the same).
    It holds at every n.

    A single count in a category of probability 0 is a rejection with p-value 0.

    Args:
        counts: How often each category was drawn, (K,) or any shape, such as (K, K) for pairs.
        probabilities: The claimed probabilities, same shape, summing to 1.
        false_alarm: Accepted rate of rejecting a right sampler, in (0, 1).

    Returns:
        The result; its smallest deviation is a bound from exact binomial tails, for errors in every
        direction.

    Raises:
        ValueError: If the shapes differ, counts are no counts, probabilities are none, or false_alarm leaves
            (0, 1).

    Example:
        >>> fit = categorical_fit([520, 290, 190], [0.5, 0.3, 0.2])
        >>> fit.rejected, round(fit.p_value, 3)
        (False, 0.442)
        >>> categorical_fit([520, 290, 1], [0.5, 0.5, 0.0]).p_value  # an impossible category
        0.0
    """
    observed, p = _floats("counts", counts), _probabilities(probabilities)
    if observed.shape != p.shape:
        raise ValueError(f"counts and probabilities must have one shape, got {observed.shape} and {p.shape}")
    wrong = (observed < 0) | (observed != np.floor(observed))
    if bool(wrong.any()):
        raise ValueError(f"counts must be whole numbers >= 0, got {float(observed[wrong][0])!r}")
    if not observed.any():
        raise ValueError("counts must not be 0 in every category")
    if observed.sum() > _MOST_COUNTS:
        raise ValueError(f"counts must sum to at most {_MOST_COUNTS:g}, got {observed.sum():g}")
    _check_level(false_alarm)
    n, p = int(observed.sum()), p.ravel()
    statistic, p_value, method = _test_counts(observed.ravel()[p > 0], n, p[p > 0], false_alarm)
    if observed.ravel()[p == 0].any():
        statistic, p_value = math.inf, 0.0
    detects = _remembered_deviation(n, tuple(p.tolist()), false_alarm)
    return Fit(method, statistic, p_value, false_alarm, p_value <= false_alarm, n, detects)


def continuous_fit(samples: Values, cdf: Callable[[Any], Any], *, false_alarm: float = 1e-3) -> Fit:
    r"""Test independent continuous samples against a cumulative distribution function F.

    The statistic is the Kolmogorov-Smirnov distance $D = \sup_x |F_n(x) - F(x)|$. Its p-value is exact; below
    a false-alarm rate of 1e-4 it is the bound $2 \exp(-2 n D^2)$, which holds at every n and level
    (Dvoretzky, Kiefer and Wolfowitz 1956, with the constant of Massart 1990).

    If G is the sampler's own CDF and $\sup |G - F| = d$, then at the worst x the binomial $F_n(x)$ falls
    short of G(x) by more than $t = \sqrt{\ln(1 / (1 - 0.99)) / 2n}$ with probability 0.01 at most (Hoeffding
    1963). So the test detects every $d > \sqrt{\ln(2 / \alpha) / 2n} + t$, with $\alpha$ the false-alarm
    rate.

    Args:
        samples: The sample, any shape; read as one flat sample.
        cdf: F; called once with the sorted samples, in float64 on the CPU, a tensor if `samples` is one,
            else an array.
        false_alarm: Accepted rate of rejecting a right sampler, in (0, 1).

    Returns:
        The result.

    Raises:
        ValueError: If there is no sample, one is not finite, F leaves [0, 1] or falls, or false_alarm leaves
            (0, 1).

    Example:
        >>> uniform = torch.rand(1000, generator=torch.Generator().manual_seed(0))
        >>> continuous_fit(uniform, lambda x: x).rejected
        False
        >>> continuous_fit(uniform, lambda x: x**1.25).rejected
        True
    """
    _check_level(false_alarm)
    _validate.function("cdf", cdf)
    ordered = np.sort(_floats("samples", samples), axis=None)
    n = ordered.size
    f = _floats("cdf(samples)", cdf(torch.from_numpy(ordered) if isinstance(samples, Tensor) else ordered))
    if f.shape != ordered.shape:
        raise ValueError(f"cdf must keep the shape {ordered.shape} of the samples, got {f.shape}")
    steps = np.diff(f, prepend=0.0, append=1.0)  # one below 0 is a fall, or a value outside [0, 1]
    if steps.min() < -np.finfo(np.float32).eps:
        raise ValueError(f"cdf must rise from 0 to 1, got a step of {steps.min():.3g}")
    rank = np.arange(n)
    distance = float(max((f - rank / n).max(), ((rank + 1) / n - f).max()))
    if false_alarm < _APPROXIMATE_FROM:
        method, p_value = "Dvoretzky-Kiefer-Wolfowitz", min(1.0, 2 * math.exp(-2 * n * distance**2))
    else:
        method, p_value = "Kolmogorov-Smirnov", float(stats.kstwo.sf(distance, n))
    detects = _continuous_deviation(n, false_alarm)
    return Fit(method, distance, p_value, false_alarm, p_value <= false_alarm, n, detects)


def sample_size_for(
    deviation: float, probabilities: Values | None = None, *, false_alarm: float = 1e-3
) -> int:
    r"""Return how many samples detect a deviation with power 0.99: the inverse of `Fit.smallest_deviation`.

    For continuous samples $n = \lceil (\sqrt{\ln(2 / \alpha)} + \sqrt{\ln 100})^2 / 2 d^2 \rceil$. For counts
    n is found by doubling and bisection; because counts are whole numbers, a slightly smaller n may happen to
    do as well.

    Args:
        deviation: The deviation d, in (0, 1): see `Fit`.
        probabilities: The claimed probabilities for `categorical_fit`; None for `continuous_fit`.
        false_alarm: The rate $\alpha$ at which a right sampler may be rejected, in (0, 1).

    Returns:
        The sample size n.

    Raises:
        ValueError: If deviation or false_alarm leaves (0, 1), or probabilities are none.

    Example:
        >>> sample_size_for(0.01)
        120195
        >>> sample_size_for(0.01, [0.5, 0.3, 0.2])
        91290
    """
    _validate.plain("deviation", deviation)
    if not 0 < deviation < 1:
        raise ValueError(f"deviation must lie in (0, 1), got {deviation}")
    _check_level(false_alarm)
    if probabilities is None:
        if (reach := _continuous_reach(false_alarm) / deviation) > _MOST_COUNTS:
            raise ValueError(f"no sample finds deviation {deviation} at false_alarm {false_alarm}")
        return math.ceil(reach**2 / 2)
    p = _probabilities(probabilities).ravel()
    enough = 1
    if deviation < _SMALLEST_DEVIATION:
        raise ValueError(f"deviation must be at least {_SMALLEST_DEVIATION} for counts, got {deviation}")
    while _categorical_deviation(enough, p, false_alarm) > deviation:
        enough *= 2
        if enough > _MOST_COUNTS:
            raise ValueError(f"no sample finds deviation {deviation} at false_alarm {false_alarm}")
    too_few = enough // 2
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        if _categorical_deviation(middle, p, false_alarm) > deviation:
            too_few = middle
        else:
            enough = middle
    return enough


def pair_counts(categories: Values, num_categories: int) -> _Ints:
    r"""Count the pairs of neighbours, so that `categorical_fit` can see whether draws are independent.

    Noise that is shared across a batch leaves every single draw with the right distribution; only draws taken
    together give it away. The pairs (first, second), (third, fourth), ... do not overlap, so for independent
    draws they are independent themselves and have the probabilities $p_i p_j$.
    Test them against `np.outer(p, p)`.

    Args:
        categories: Category of every draw, (..., B); draws next to each other in the last dimension are
            paired. The array is read flat, and a last draw without a partner is left out.
        num_categories: K.

    Returns:
        Counts, (K, K).

    Raises:
        ValueError: If there are fewer than two draws, or one is no category 0, ..., K - 1.

    Example:
        >>> pair_counts([0, 0, 1, 1, 1, 0], 2)
        array([[1, 0],
               [1, 1]])
        >>> shared = torch.tensor([0, 1]).repeat(500).repeat_interleave(2)  # two neighbours share one draw
        >>> categorical_fit(torch.bincount(shared), [0.5, 0.5]).rejected
        False
        >>> categorical_fit(pair_counts(shared, 2), [[0.25, 0.25], [0.25, 0.25]]).rejected
        True
    """
    _validate.count("num_categories", num_categories, maximum=2**12)
    flat = _floats("categories", categories).ravel()
    if flat.size < 2:
        raise ValueError(f"categories must hold at least two draws, got {flat.size}")
    wrong = (flat < 0) | (flat >= num_categories) | (flat != np.floor(flat))
    if bool(wrong.any()):
        raise ValueError(f"categories must be 0, ..., {num_categories - 1}, got {flat[wrong][0]:g}")
    pairs = flat[: flat.size // 2 * 2].astype(np.int64).reshape(-1, 2)
    index = pairs[:, 0] * num_categories + pairs[:, 1]
    return np.bincount(index, minlength=num_categories**2).reshape(num_categories, num_categories)


def standard_error(samples: Values) -> float:
    r"""Return the standard error of the mean, $s / \sqrt{n}$ with $s^2 = \sum_i (x_i - \bar x)^2 / (n - 1)$.

    Args:
        samples: At least two independent samples, any shape.

    Returns:
        The standard error; five of them are the tolerance of a claim about a mean.

    Raises:
        ValueError: If there are fewer than two samples, or one is not finite.

    Example:
        >>> round(standard_error([1.0, 2.0, 3.0, 4.0]), 4)
        0.6455
    """
    values = _floats("samples", samples)
    if values.size < 2:
        raise ValueError(f"samples must hold at least two values, got {values.size}")
    return float(values.std(ddof=1)) / math.sqrt(values.size)


def _test_counts(observed: _Floats, n: int, p: _Floats, false_alarm: float) -> tuple[float, float, str]:
    """Return statistic, p-value and method for categories that are all possible."""
    cells = _pool(n * p, false_alarm)
    if cells is None:
        tail = np.minimum(stats.binom.cdf(observed, n, p), stats.binom.sf(observed - 1, n, p)).min()
        return _pearson(observed, n * p), min(1.0, 2 * _num_tests(p.size) * float(tail)), "exact binomial"
    statistic = _pearson(_merge(cells, observed), n * _merge(cells, p))
    return statistic, float(stats.chi2.sf(statistic, cells.max())), "Pearson"


def _pearson(observed: _Floats, expected: _Floats) -> float:
    return float(((observed - expected) ** 2 / expected).sum())


def _merge(cells: _Ints, values: _Floats) -> _Floats:
    """Sum the values of every cell."""
    return np.bincount(cells, weights=values).astype(np.float64)


def _pool(expected: _Floats, false_alarm: float) -> _Ints | None:
    """Return the Pearson cell of every category, (K,), or None where only the exact test will do."""
    if false_alarm < _APPROXIMATE_FROM:
        return None
    minimum = next(least for level, least in _MINIMUM_EXPECTED if false_alarm >= level)
    rare = [k for k in np.argsort(expected, kind="stable") if expected[k] < minimum]
    left = float(expected[rare].sum())
    if rare and left < minimum:
        return None
    cells = np.zeros(expected.size, dtype=np.int64)
    cells[expected >= minimum] = np.arange(expected.size - len(rare))
    cell, inside = expected.size - len(rare), 0.0
    for k in rare:
        if inside >= minimum and left >= minimum:  # this cell is full, and what is left fills another
            cell, inside = cell + 1, 0.0
        cells[k] = cell
        inside, left = inside + expected[k], left - expected[k]
    return cells if cells.max() > 0 else None


def _categorical_deviation(n: int, p: _Floats, false_alarm: float) -> float:
    """Return the smallest deviation for counts: see `Fit`.

    Whichever test is used, it rejects as soon as the count of one cell is at most `low` or at least `high`.
    For Pearson this is so because X^2 >= (n_k - n p_k)^2 / (n p_k (1 - p_k)) for every cell k. The count of a
    cell is binomial, and the probability at which a binomial reaches `high` with power 0.99 is a quantile of
    the beta distribution (Clopper and Pearson 1934). So the bound is exact for a binomial and safe for more
    categories.
    """
    possible = p[p > 0]
    cells = _pool(n * possible, false_alarm)
    if cells is None:
        tail = false_alarm / (2 * _num_tests(possible.size))
        low, high = stats.binom.ppf(tail, n, possible) - 1, stats.binom.isf(tail, n, possible) + 1
    else:
        mass = _merge(cells, possible)[cells]
        radius = np.sqrt(stats.chi2.isf(false_alarm, cells.max()) * n * mass * (1 - mass))
        low, high = np.ceil(n * mass - radius) - 1, np.floor(n * mass + radius) + 1
    # A pooled category is found once it exceeds what its cell may hold. Should it vanish while others of its
    # cell fill in, that errs by less than one of these others taking over the whole cell, which is counted.
    highest = np.where(high <= n, stats.beta.ppf(POWER, high, np.maximum(n - high + 1, 1)), 1.0)
    lowest = np.where(low >= 0, stats.beta.ppf(1 - POWER, np.maximum(low, 0) + 1, n - low), 0.0)
    missed = float(max((highest - possible).max(), (possible - lowest).max()))
    if possible.size < p.size:
        missed = max(missed, -math.expm1(math.log(1 - POWER) / n))  # an impossible category that never showed
    return missed if missed < max(p.max(), 1 - p.min()) else math.inf


@lru_cache(maxsize=128)
def _remembered_deviation(n: int, p: tuple[float, ...], false_alarm: float) -> float:
    """Remember the deviation, because simulations repeat one check many times."""
    return _categorical_deviation(n, np.array(p), false_alarm)


def _continuous_reach(false_alarm: float) -> float:
    """Return d sqrt(2 n), with d the smallest deviation of `continuous_fit`."""
    return math.sqrt(math.log(2 / false_alarm)) + math.sqrt(-math.log(1 - POWER))


def _continuous_deviation(n: int, false_alarm: float) -> float:
    deviation = _continuous_reach(false_alarm) / math.sqrt(2 * n)
    return deviation if deviation < 1 else math.inf


def _num_tests(num_categories: int) -> int:
    """Return how many binomial tests the union bound counts; two categories share one count."""
    return 1 if num_categories == 2 else num_categories


def _floats(name: str, values: Values) -> _Floats:
    if isinstance(values, Tensor):
        _validate.real(name, values)
        values = values.detach().cpu().double().numpy()
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(f"{name} must be numbers, got {values!r:.80}") from error
    if array.size == 0:
        raise ValueError(f"{name} must not be empty, got shape {array.shape}")
    if not bool(np.isfinite(array).all()):
        raise ValueError(f"{name} must be finite, got {array[~np.isfinite(array)][0]}")
    return array


def _probabilities(values: Values) -> _Floats:
    """Return probabilities that sum to 1 exactly; they may miss it by the rounding of a float32 softmax."""
    p = _floats("probabilities", values)
    if bool((p < 0).any()) or abs(p.sum() - 1) > p.size * np.finfo(np.float32).eps:
        raise ValueError(f"probabilities must be >= 0 and sum to 1, got minimum {p.min():g}, sum {p.sum():g}")
    normalized: _Floats = p / p.sum()
    return normalized


def _check_level(false_alarm: float) -> None:
    _validate.plain("false_alarm", false_alarm)
    if not 0 < false_alarm < 1:
        raise ValueError(f"false_alarm must lie in (0, 1), got {false_alarm}")
