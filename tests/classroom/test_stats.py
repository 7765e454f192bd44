"""The tester is tested: its false-alarm rate, its power, and a bank of wrong samplers it must reject."""

import math
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise

import alarms
import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy import stats as oracle
from scipy.optimize import brentq

from catvae_lib.classroom.stats import (
    POWER,
    categorical_fit,
    continuous_fit,
    pair_counts,
    sample_size_for,
    standard_error,
)
from wrong_samplers import (
    RIGHT,
    SHARED_BY,
    WRONG,
    Sampler,
    bfloat16_uniforms,
    clamped_uniforms,
    seeded_anew,
    shared_noise,
    sign_flipped,
)

Floats = npt.NDArray[np.float64]

# Non-uniform, and with one category so rare that the tail of the noise decides it.
BANK_PROBABILITIES = torch.tensor([0.5, 0.3, 0.1999, 0.0001], dtype=torch.float64)
BANK_SAMPLES = 1_000_000


def increasing(num_categories: int) -> Floats:
    p: Floats = np.arange(1.0, num_categories + 1) / (num_categories * (num_categories + 1) / 2)
    return p


def nominal(p_values: Floats, level: float, slack: float = 0.02) -> bool:
    """Exact binomial tests that the rejection rate is the nominal one, but for the limit law's own error."""
    n, rejected, spent = p_values.size, int((p_values <= level).sum()), alarms.spend(2)
    return (
        oracle.binom.sf(rejected - 1, n, (1 + slack) * level) > spent
        and oracle.binom.cdf(rejected, n, (1 - slack) * level) > spent
    )


def measured(found: list[bool], least: float = 0.0, most: float = 1.0) -> bool:
    """Exact binomial tests that the true share of rejections lies in the interval from least to most."""
    n, rejected, spent = len(found), sum(found), alarms.spend(2)
    return oracle.binom.cdf(rejected, n, least) > spent and oracle.binom.sf(rejected - 1, n, most) > spent


def two_category_rate(n: int, p: float, level: float, q: float) -> float:
    """The exact rejection rate of `categorical_fit` at (p, 1 - p) when the sampler has (q, 1 - q)."""
    counts = np.arange(n + 1)
    likely = counts[oracle.binom.pmf(counts, n, q) > 1e-18]
    rejected = [categorical_fit([k, n - k], [p, 1 - p], false_alarm=level).rejected for k in likely]
    return float(oracle.binom.pmf(likely[rejected], n, q).sum())


# ---------------------------------------------------------------- false alarms, counts


@pytest.mark.parametrize("num_categories", [2, 3, 10])
def test_pearson_rejects_a_right_sampler_at_the_nominal_rate(num_categories: int) -> None:
    """10,000 checks of 10,000 draws, at 5 % and 1 %.

    Power 0.99 against a true rate of 7.1 % in place of 5 %, 2.0 % of 1 %.
    """
    rng, p = np.random.default_rng(num_categories), increasing(num_categories)
    fits = [categorical_fit(c, p, false_alarm=0.05) for c in rng.multinomial(10_000, p, size=10_000)]
    p_values = np.array([fit.p_value for fit in fits])
    assert {fit.method for fit in fits} == {"Pearson"}
    for level in (0.05, 0.01):
        assert nominal(p_values, level)


def test_the_calibration_catches_the_variance_in_the_denominator() -> None:
    """Dividing by n p (1 - p) doubles X^2 at K = 2: 16.6 % are rejected at a nominal 5 %. Power 1 - 1e-60."""
    rng, p, n = np.random.default_rng(0), np.array([0.5, 0.5]), 10_000
    counts = rng.multinomial(n, p, size=10_000)
    wrong = oracle.chi2.sf(((counts - n * p) ** 2 / (n * p * (1 - p))).sum(-1), 1)
    assert not nominal(wrong, 0.05)
    assert measured(list(wrong <= 0.05), 0.16, 0.172)
    assert oracle.chi2.sf(oracle.chi2.isf(0.05, 1) / 2, 1) == pytest.approx(0.166, abs=5e-4)


def test_chi_squared_is_wrong_at_small_rates_and_the_exact_test_is_not() -> None:
    """Enumerated: with 5 expected counts a nominal 1e-6 is really 7e-5; ours stays below the nominal rate."""
    n, p = 10_000, 0.0005
    counts = np.arange(200)
    chi_squared = (counts - n * p) ** 2 / (n * p * (1 - p))
    approximate = oracle.binom.pmf(counts[oracle.chi2.sf(chi_squared, 1) <= 1e-6], n, p).sum()
    assert approximate == pytest.approx(7e-5, rel=0.05)
    for level in (9e-5, 1e-6, 1e-9):
        assert 0 < two_category_rate(n, p, level, p) <= level


@pytest.mark.parametrize("level", [9e-5, 1e-6, 1e-9])
def test_exact_test_keeps_its_rate_for_three_categories(level: float) -> None:
    """Enumerated over all compositions of n = 40 into three counts."""
    n, p = 40, np.array([0.7, 0.25, 0.05])
    counts = [(i, j, n - i - j) for i in range(n + 1) for j in range(n + 1 - i)]
    rejected = [c for c in counts if categorical_fit(c, p, false_alarm=level).rejected]
    assert 0 < oracle.multinomial.pmf(rejected, n, p).sum() <= level


@pytest.mark.parametrize(("level", "least"), [(0.05, 5), (0.01, 5), (1e-3, 20), (1e-4, 50)])
def test_smallest_cell_at_most_doubles_the_rate(level: float, least: int) -> None:
    """Enumerated: the worst case of the pooling rule, one cell just large enough and one huge one."""
    n = 2000
    for expected in np.linspace(1.0001, 1.5, 6) * least:
        assert (
            categorical_fit([0, n], [expected / n, 1 - expected / n], false_alarm=level).method == "Pearson"
        )
        assert two_category_rate(n, expected / n, level, expected / n) <= 2 * level
    below = 0.999 * least / n
    assert categorical_fit([0, n], [below, 1 - below], false_alarm=level).method == "exact binomial"


# ---------------------------------------------------------------- values, counts


def test_pearson_agrees_with_scipy() -> None:
    counts, p = [180, 320, 500], np.array([0.2, 0.3, 0.5])
    expected = oracle.chisquare(counts, 1000 * p)
    fit = categorical_fit(counts, p)
    assert fit.statistic == pytest.approx(expected.statistic, rel=1e-12)
    assert fit.p_value == pytest.approx(expected.pvalue, rel=1e-12)


def test_rare_categories_are_pooled_with_each_other() -> None:
    """Expected 1, 2, 3, 4, 5, 85 at a limit of 5: 1 to 4 make one cell, as 4 alone would not fill another."""
    counts, expected = [0, 4, 2, 3, 6, 85], np.array([1.0, 2, 3, 4, 5, 85])
    cells = oracle.chisquare([9, 6, 85], [10, 5, 85])
    fit = categorical_fit(counts, expected / 100, false_alarm=0.05)
    assert fit.statistic == pytest.approx(cells.statistic, rel=1e-12)
    assert fit.p_value == pytest.approx(cells.pvalue, rel=1e-12)


def test_many_rare_categories_fill_many_cells() -> None:
    """Forty categories that expect 2 counts each make thirteen cells: twelve of three and one of four."""
    counts = np.arange(40) % 5
    sizes = [3] * 12 + [4]
    ends = np.cumsum([0, *sizes])
    cells = oracle.chisquare([counts[a:b].sum() for a, b in pairwise(ends)], [2 * s for s in sizes])
    fit = categorical_fit(counts, np.full(40, 1 / 40), false_alarm=0.05)
    assert fit.p_value == pytest.approx(cells.pvalue, rel=1e-12)


@pytest.mark.parametrize("counts", [(3, 5, 22), (0, 12, 18), (9, 6, 15)])
def test_exact_p_value_agrees_with_fractions(counts: tuple[int, int, int]) -> None:
    weights, n = (1, 3, 6), 30
    tails = []
    for observed, weight in zip(counts, weights, strict=True):
        p = Fraction(weight, 10)
        pmf = [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
        tails += [sum(pmf[: observed + 1]), sum(pmf[observed:])]
    fit = categorical_fit(counts, [0.1, 0.3, 0.6], false_alarm=1e-6)
    assert fit.method == "exact binomial"
    assert fit.p_value == pytest.approx(float(min(1, 2 * 3 * min(tails))), rel=1e-10)


def test_two_categories_are_one_test() -> None:
    fit = categorical_fit([20, 80], [0.5, 0.5], false_alarm=1e-6)
    assert fit.p_value == pytest.approx(2 * oracle.binom.cdf(20, 100, 0.5), rel=1e-12)


@pytest.mark.parametrize("level", [0.05, 1e-6])
def test_an_impossible_category(level: float) -> None:
    rejected = categorical_fit([500, 499, 1], [0.5, 0.5, 0.0], false_alarm=level)
    assert (rejected.rejected, rejected.p_value, rejected.statistic) == (True, 0.0, math.inf)
    absent = categorical_fit([520, 480, 0], [0.5, 0.5, 0.0], false_alarm=level)
    assert absent.p_value == categorical_fit([520, 480], [0.5, 0.5], false_alarm=level).p_value
    certain = categorical_fit([10, 0], [1.0, 0.0], false_alarm=level)
    assert (certain.rejected, certain.p_value) == (False, 1.0)
    assert certain.smallest_deviation == pytest.approx(1 - 0.01 ** (1 / 10), rel=1e-12)  # q^10 = 0.01
    few = categorical_fit([3, 2, 0], [0.5, 0.5, 0.0], false_alarm=level)  # five draws tell no more than that
    assert few.smallest_deviation == pytest.approx(1 - 0.01 ** (1 / 5), rel=1e-12)


def test_a_rare_category_is_not_hidden_by_a_frequent_one() -> None:
    """Expected 4 counts, drawn 40 times: merged with the 300 it would pass (X^2 below the limit)."""
    counts, p = [40, 282, 678], np.array([0.004, 0.3, 0.696])
    assert oracle.chisquare([322, 678], [304, 696]).pvalue > 1e-3
    assert categorical_fit(counts, p).rejected


# ---------------------------------------------------------------- power, counts


@pytest.mark.parametrize(
    ("n", "p", "level"), [(400, 0.5, 0.05), (300, 0.2, 1e-3), (300, 0.2, 1e-6), (500, 0.02, 1e-3)]
)
def test_smallest_deviation_is_exact_for_two_categories(n: int, p: float, level: float) -> None:
    """Enumerated: beyond it the power is at least 0.99 both ways; just short of it one way has less.

    At a third of it the harder way has less than 0.31 (0.30 at 5 % in the normal limit).
    """
    d = categorical_fit([n, 0], [p, 1 - p], false_alarm=level).smallest_deviation

    def power(shift: float) -> list[float]:
        return [two_category_rate(n, p, level, q) for q in (p + shift, p - shift) if 0 <= q <= 1]

    assert min(power(d * (1 + 1e-9))) >= POWER
    assert min(power(d * 0.97)) < POWER
    assert min(power(d / 3)) < 0.31


@pytest.mark.parametrize("level", [0.05, 1e-3, 1e-6])
@pytest.mark.parametrize("num_categories", [3, 10])
def test_power_for_more_categories(num_categories: int, level: float) -> None:
    """1000 samples in the direction that is hardest to see: the other categories give way in proportion.

    The true power is at least 0.99 at the smallest deviation and below 0.3 at a third of it: a power of 0.95,
    or of 0.43, is found.
    """
    rng, p, n = np.random.default_rng(1), increasing(num_categories), 4000
    d = categorical_fit(rng.multinomial(n, p), p, false_alarm=level).smallest_deviation
    hardest = int(np.argmax(p * (1 - p)))

    def found(shift: float) -> list[bool]:
        q = p * (1 - shift / (1 - p[hardest]))
        q[hardest] = p[hardest] + shift
        return [categorical_fit(c, p, false_alarm=level).rejected for c in rng.multinomial(n, q, 1000)]

    assert measured(found(d), least=POWER)
    assert measured(found(d / 3), most=0.3)


@pytest.mark.parametrize(
    ("n", "p", "cells", "level"),
    [
        (500, [0.7, 0.2, 0.1], None, 1e-6),
        (500, [0.3, 0.3, 0.4], None, 1e-9),
        (500, [0.7, 0.2, 0.1], [[0], [1], [2]], 0.05),
        (500, [0.7, 0.2, 0.1], [[0], [1], [2]], 1e-3),
        (80, [1 / 40] * 40, [[*range(i, i + 3)] for i in range(0, 36, 3)] + [[36, 37, 38, 39]], 0.05),
    ],
)
def test_smallest_deviation_agrees_with_a_search(
    n: int, p: list[float], cells: list[list[int]] | None, level: float
) -> None:
    """For each cell: list the counts that reject for certain, solve for the q that hits them in 99 %."""
    counts, deviations = np.arange(n + 1), []
    for cell in cells or [[k] for k in range(len(p))]:
        mass, rarest = sum(p[k] for k in cell), min(p[k] for k in cell)
        if cells is None:  # exact binomial
            tails = oracle.binom.cdf(counts, n, mass), oracle.binom.sf(counts - 1, n, mass)
            rejects = np.minimum(*tails) * 2 * len(p) <= level
        else:  # the other cells keep their proportions, which makes X^2 smallest
            scale = n * mass * (1 - mass)
            rejects = oracle.chi2.sf((counts - n * mass) ** 2 / scale, len(cells) - 1) <= level
        high = counts[rejects & (counts > n * mass)].min()
        low = counts[rejects & (counts < n * mass)].max(initial=-1)
        up = brentq(lambda q, high=high: oracle.binom.sf(high - 1, n, q) - POWER, mass, 1, xtol=1e-14)
        down = (
            brentq(lambda q, low=low: oracle.binom.cdf(low, n, q) - POWER, 0, mass, xtol=1e-14)
            if low >= 0
            else 0
        )
        deviations += [up - rarest, mass - down if len(cell) == 1 else max(p[k] for k in cell)]
    fit = categorical_fit([n, *[0] * (len(p) - 1)], p, false_alarm=level)
    assert fit.smallest_deviation == pytest.approx(max(deviations), rel=1e-9)


def test_power_inside_a_pooled_cell() -> None:
    """One rare category takes its cell and more, up to the deviation, with power 0.99: 0.95 is told."""
    rng, n, p = np.random.default_rng(2), 80, np.full(40, 1 / 40)  # the first cell is {0, 1, 2}
    d = categorical_fit(rng.multinomial(n, p), p, false_alarm=0.05).smallest_deviation
    q = np.array([p[0] + d, 0, 0, *[(1 - p[0] - d) / 37] * 37])
    found = [categorical_fit(c, p, false_alarm=0.05).rejected for c in rng.multinomial(n, q, 1000)]
    assert measured(found, least=POWER)


def test_nothing_is_detected_by_too_few_draws() -> None:
    assert categorical_fit([1, 0], [0.5, 0.5]).smallest_deviation == math.inf
    assert continuous_fit([0.5], lambda x: x).smallest_deviation == math.inf


@pytest.mark.parametrize("level", [0.05, 1e-3, 1e-6])
@pytest.mark.parametrize("p", [(0.5, 0.5), (0.5, 0.3, 0.2), (0.7, 0.2999, 0.0001), (0.6, 0.4, 0.0)])
def test_sample_size_for_counts_is_enough_and_not_wasteful(p: tuple[float, ...], level: float) -> None:
    for deviation in (0.2, 0.02):
        n = sample_size_for(deviation, p, false_alarm=level)
        counts = [n, *[0] * (len(p) - 1)]
        assert categorical_fit(counts, p, false_alarm=level).smallest_deviation <= deviation
        fewer = [int(0.9 * n), *[0] * (len(p) - 1)]
        assert categorical_fit(fewer, p, false_alarm=level).smallest_deviation > deviation


# ---------------------------------------------------------------- continuous samples


def test_distance_agrees_with_scipy() -> None:
    samples = np.random.default_rng(3).gumbel(size=500)
    expected = oracle.kstest(samples, oracle.gumbel_r.cdf, method="exact")
    fit = continuous_fit(samples, oracle.gumbel_r.cdf)
    assert fit.statistic == pytest.approx(expected.statistic, rel=1e-12)
    assert fit.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    bound = continuous_fit(samples, oracle.gumbel_r.cdf, false_alarm=1e-6)
    assert bound.p_value == pytest.approx(min(1, 2 * math.exp(-1000 * expected.statistic**2)), rel=1e-12)


def test_continuous_rejection_rate_is_nominal() -> None:
    """4000 checks of 50 samples, at an exact rate; power 0.99 against 8.2 % for 5 %, 2.7 % for 1 %."""
    rng = np.random.default_rng(4)
    p_values = np.array([continuous_fit(rng.random(50), lambda x: x).p_value for _ in range(4000)])
    for level in (0.05, 0.01):
        assert nominal(p_values, level, slack=1e-6)


@pytest.mark.parametrize("n", [1, 2, 10, 1000, 10**4])
@pytest.mark.parametrize("level", [9e-5, 1e-6, 1e-9])
def test_massart_bound_keeps_its_rate(n: int, level: float) -> None:
    """The exact rate of D at the bound's own limit, from the exact distribution."""
    limit = math.sqrt(math.log(2 / level) / (2 * n))
    assert oracle.kstwo.sf(limit, n) <= level


@pytest.mark.parametrize("level", [0.05, 1e-3, 1e-6])
def test_power_for_continuous_samples(level: float) -> None:
    """1000 samples whose CDF lies d above the uniform one at 1/2, the worst place.

    The true power is at least 0.99 at d, and below 0.4 at d / 3; 0.95 and 0.54 are found.
    """
    rng, n = np.random.default_rng(5), 400
    d = continuous_fit(rng.random(n), lambda x: x, false_alarm=level).smallest_deviation

    def found(shift: float) -> list[bool]:
        knots = [0, 0.5 + shift, 1], [0, 0.5, 1]
        drawn = (np.interp(rng.random(n), *knots) for _ in range(1000))
        return [continuous_fit(x, lambda x: x, false_alarm=level).rejected for x in drawn]

    assert measured(found(d), least=POWER)
    assert measured(found(d / 3), most=0.4)


@pytest.mark.parametrize("level", [0.05, 1e-6])
def test_sample_size_for_continuous_samples_is_the_smallest(level: float) -> None:
    n = sample_size_for(0.05, false_alarm=level)
    enough, fewer = (continuous_fit(np.full(m, 0.5), lambda x: x, false_alarm=level) for m in (n, n - 1))
    assert enough.smallest_deviation <= 0.05 < fewer.smallest_deviation
    limit = brentq(lambda x: 2 * math.exp(-2 * n * x**2) - level, 0, 1)
    short = brentq(lambda x: math.exp(-2 * n * x**2) - (1 - POWER), 0, 1)
    assert enough.smallest_deviation == pytest.approx(limit + short, rel=1e-9)


def test_cdf_may_waver_by_rounding_but_not_fall() -> None:
    samples = np.linspace(0.1, 0.9, 9)
    wavering = samples.copy()
    wavering[5] = wavering[4] - 1e-9
    assert not continuous_fit(samples, lambda x: wavering).rejected
    with pytest.raises(ValueError, match=r"cdf must rise from 0 to 1, got a step of -0\.1"):
        continuous_fit(samples, lambda x: 1 - x)


# ---------------------------------------------------------------- samplers


def both_fits(sampler: Sampler, level: float) -> tuple[bool, bool]:
    z = sampler(BANK_PROBABILITIES, BANK_SAMPLES, torch.Generator().manual_seed(0))
    p = BANK_PROBABILITIES
    single = categorical_fit(torch.bincount(z, minlength=p.numel()), p, false_alarm=level)
    pairs = categorical_fit(pair_counts(z, p.numel()), torch.outer(p, p), false_alarm=level)
    return single.rejected, pairs.rejected


@pytest.mark.parametrize("sampler", RIGHT, ids=lambda s: s.__name__)
def test_right_samplers_are_accepted(sampler: Sampler) -> None:
    assert both_fits(sampler, alarms.spend(2)) == (False, False)


@pytest.mark.parametrize("sampler", WRONG, ids=lambda s: s.__name__)
def test_wrong_samplers_are_rejected(sampler: Sampler) -> None:
    """Each is missed with a probability below 1e-20.

    Eighteen err in one category by more than twice the smallest deviation, 0.0032 (asserted on the sample;
    the nearest, rounded noise, by 0.0086 with a standard error of 0.0005). The others have their own reason.
    Three draw the rare category never, so that X^2 >= n p = 100, where the limit is 16.3, or in each of their
    equal batches, a thousand times. Shared noise makes both of a pair equal: pairs of different categories,
    0.62 of all, never show.
    """
    z = sampler(BANK_PROBABILITIES, BANK_SAMPLES, torch.Generator().manual_seed(0))
    fit = categorical_fit(torch.bincount(z, minlength=4), BANK_PROBABILITIES)
    error = float((torch.bincount(z, minlength=4) / BANK_SAMPLES - BANK_PROBABILITIES).abs().max())
    if sampler is shared_noise:
        one_a_batch = torch.bincount(z[::SHARED_BY], minlength=4)
        assert alarms.fits(one_a_batch.tolist(), BANK_PROBABILITIES.tolist())  # each draw alone is right
        assert both_fits(sampler, alarms.LEVEL)[1]
    else:
        assert fit.rejected
        assert error > 2 * fit.smallest_deviation or sampler in (
            clamped_uniforms,
            bfloat16_uniforms,
            seeded_anew,
        )


def test_the_bank_holds_twenty_wrong_samplers_and_more() -> None:
    assert len(set(WRONG)) == len(WRONG) == 22


@pytest.mark.parametrize(("p", "rejected"), [((0.3, 0.7), False), ((0.5, 0.3, 0.2), True)])
def test_the_flipped_sign_is_right_for_two_categories_only(p: tuple[float, ...], rejected: bool) -> None:
    """At K = 3 the error is 0.03, the smallest deviation 0.0098: power above 0.99."""
    z = sign_flipped(torch.tensor(p, dtype=torch.float64), 200_000, torch.Generator().manual_seed(1))
    assert categorical_fit(torch.bincount(z), p, false_alarm=alarms.spend()).rejected is rejected


def test_pairs_do_not_overlap() -> None:
    """Overlapping pairs would share draws, and would not be independent; a last single draw is left out."""
    z = [[0, 2, 1], [2, 2, 0], [2, 2, 1]]  # read flat: (0, 2) (1, 2) (2, 0) (2, 2), and 1 is left
    expected = np.zeros((3, 3))
    for pair in ((0, 2), (1, 2), (2, 0), (2, 2)):
        expected[pair] += 1
    np.testing.assert_array_equal(pair_counts(z, 3), expected)
    np.testing.assert_array_equal(pair_counts(torch.tensor(z), 3), expected)


def test_pair_counts_reject_a_right_sampler_at_the_nominal_rate() -> None:
    """4000 checks of 2000 draws; power 0.99 against a rate of 8.5 % in place of 5 %, 2.8 % of 1 %.

    Cells of 28 counts leave the rate within 3 % of the nominal one.
    """
    rng, p = np.random.default_rng(6), increasing(3)
    z = rng.choice(3, p=p, size=(4000, 2000))
    p_values = np.array(
        [categorical_fit(pair_counts(row, 3), np.outer(p, p), false_alarm=0.05).p_value for row in z]
    )
    for level in (0.05, 0.01):
        assert nominal(p_values, level, slack=0.05)


# ---------------------------------------------------------------- the door


def test_tensors_and_arrays_give_the_same_result() -> None:
    counts, p = [180, 320, 500], [0.25, 0.25, 0.5]
    assert categorical_fit(torch.tensor(counts), torch.tensor(p)) == categorical_fit(
        np.array(counts), np.array(p)
    )
    samples = torch.rand(
        100, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True
    )
    seen: list[type] = []

    def cdf(x: torch.Tensor) -> torch.Tensor:
        seen.append(type(x))
        return x

    assert continuous_fit(samples, cdf) == continuous_fit(samples.detach().numpy(), cdf)
    assert seen == [torch.Tensor, np.ndarray]


def test_probabilities_of_a_float32_softmax_are_accepted() -> None:
    p = torch.softmax(torch.linspace(-3, 3, 1000), 0)
    assert float(p.double().sum()) != 1
    assert not categorical_fit((1e6 * p).round(), p).rejected


def test_results_print_on_one_line() -> None:
    assert str(categorical_fit([50, 950], [0.5, 0.5], false_alarm=1e-6)) == (
        "rejected: exact binomial, n = 1000, statistic 810, p < 1e-12, false alarm 1e-06, would detect 0.11"
    )
    few = continuous_fit([0.1, 0.2, 0.3, 0.4], lambda x: x)  # p = 2 d (0.4^4 / d + 4 * 0.15^3) at d = D = 0.6
    assert str(few) == (
        "accepted: Kolmogorov-Smirnov, n = 4, statistic 0.6, p = 0.067, "
        "false alarm 0.001, would detect nothing"
    )


def test_standard_error_agrees_with_scipy() -> None:
    samples = np.random.default_rng(7).normal(size=(3, 5))
    assert standard_error(samples) == pytest.approx(oracle.sem(samples, axis=None), rel=1e-12)
    assert standard_error(torch.from_numpy(samples)) == standard_error(samples)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: categorical_fit([1, 2], [0.5, 0.3, 0.2]), r"one shape, got \(2,\) and \(3,\)"),
        (lambda: categorical_fit([1, -2], [0.5, 0.5]), "counts must be whole numbers >= 0, got -2"),
        (lambda: categorical_fit([1.5, 2], [0.5, 0.5]), "counts must be whole numbers >= 0, got 1.5"),
        (lambda: categorical_fit([1, math.nan], [0.5, 0.5]), "counts must be finite, got nan"),
        (lambda: categorical_fit([0, 0], [0.5, 0.5]), "counts must not be 0 in every category"),
        (lambda: categorical_fit([], []), r"counts must not be empty, got shape \(0,\)"),
        (lambda: categorical_fit([1, 2], [0.5, 0.6]), "probabilities .* sum 1.1"),
        (lambda: categorical_fit([1, 2], [-0.5, 1.5]), "probabilities .* minimum -0.5"),
        (
            lambda: categorical_fit([1, 2], [0.5, 0.5], false_alarm=0),
            r"false_alarm must lie in \(0, 1\), got 0",
        ),
        (
            lambda: continuous_fit([0.5], lambda x: x, false_alarm=1.0),
            r"false_alarm must lie in \(0, 1\), got 1",
        ),
        (lambda: continuous_fit([0.5, math.inf], lambda x: x), "samples must be finite, got inf"),
        (
            lambda: continuous_fit([0.5], lambda x: 0.5),
            r"cdf must keep the shape \(1,\) of the samples, got \(\)",
        ),
        (lambda: continuous_fit([0.5], lambda x: x + 1), "cdf must rise from 0 to 1, got a step of -0.5"),
        (lambda: continuous_fit([0.5], lambda x: x - 1), "cdf must rise from 0 to 1, got a step of -0.5"),
        (lambda: continuous_fit([0.5], lambda x: x * math.nan), r"cdf\(samples\) must be finite, got nan"),
        (lambda: sample_size_for(0), r"deviation must lie in \(0, 1\), got 0"),
        (lambda: sample_size_for(math.nan), r"deviation must not be NaN, got nan"),
        (lambda: sample_size_for(0.1, false_alarm=-1), r"false_alarm must lie in \(0, 1\), got -1"),
        (lambda: pair_counts([0, 3], 3), "categories must be 0, ..., 2, got 3"),
        (lambda: pair_counts([0, -1], 3), "categories must be 0, ..., 2, got -1"),
        (lambda: pair_counts([0], 3), "categories must hold at least two draws, got 1"),
        (lambda: pair_counts([0, 0], 0), "num_categories must be at least 1, got 0"),
        (lambda: standard_error([1.0]), "samples must hold at least two values, got 1"),
    ],
)
def test_bad_input_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
