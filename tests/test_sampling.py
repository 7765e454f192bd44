"""Samples from fixed noise against formulae written out in numpy, mpmath and torch.distributions.

Frequencies are integrated over a grid of noise quantiles where possible: those tests have no false alarms.
The others use exact binomial tests at the level of tests/alarms.py, and fixed seeds.
"""

import itertools
import math

import alarms
import mpmath
import numpy as np
import pytest
import torch
from torch.distributions import RelaxedBernoulli, RelaxedOneHotCategorical

from catvae_lib import density, noise, sampling

INF = math.inf
NAN = math.nan


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def double(*values):
    return torch.tensor(values, dtype=torch.float64)


def random(*shape, seed=0, scale=2.0):
    return scale * torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def midpoints(n):
    return (torch.arange(n, dtype=torch.float64) + 0.5) / n


# Gaussian


def test_gaussian_is_mean_plus_std_times_noise():
    mean, log_std, eps = random(3, 4), random(4, seed=1), random(5, 3, 4, seed=2)
    expected = mean.numpy() + np.exp(log_std.numpy()) * eps.numpy()
    np.testing.assert_allclose(sampling.gaussian(mean, log_std, eps).numpy(), expected, rtol=1e-14)
    assert torch.autograd.gradcheck(
        lambda m, s: sampling.gaussian(m, s, eps), (mean.requires_grad_(), log_std.requires_grad_())
    )


# Eq. (1) and its top-k extension


def test_gumbel_max_is_the_argmax_of_the_sum():
    logits, eps = random(7, 1, 5), noise.gumbel((7, 3, 5), generator=seeded(3), dtype=torch.float64)
    sample = sampling.gumbel_max(logits, eps).numpy()
    for index in np.ndindex(7, 3):
        row = logits[index[0], 0].numpy() + eps[index].numpy()
        expected = [float(j == max(range(5), key=row.__getitem__)) for j in range(5)]
        assert sample[index].tolist() == expected


def test_gumbel_max_integrates_to_the_probabilities():
    """All combinations of 160 noise quantiles for K = 3: the frequencies are the integrals."""
    n, probabilities = 120, double(0.05, 0.25, 0.7)
    quantiles = noise.gumbel_from_uniform(midpoints(n))
    grid = torch.cartesian_prod(quantiles, quantiles, quantiles)
    frequencies = sampling.gumbel_max(probabilities.log() + 1.7, grid).mean(0)  # the shift must not matter
    torch.testing.assert_close(frequencies, probabilities, atol=0.5 / n, rtol=0)


def test_gumbel_max_breaks_ties_one_hot():
    assert sampling.gumbel_max(torch.zeros(4), torch.zeros(4)).sum() == 1


def test_gumbel_top_k_follows_plackett_luce():
    """All 24 ordered draws of 3 out of 4, with probability p_a * p_b / (1 - p_a) * p_c / (1 - p_a - p_b).

    The probability of a triple may be off by at most 0.0074, or this finds it in 999 of 1000 cases.
    """
    n, p = 200_000, (0.1, 0.2, 0.3, 0.4)
    eps = noise.gumbel((n, 4), generator=seeded(4), dtype=torch.float64)
    draws = sampling.gumbel_top_k(double(*p).log(), eps, k=3)  # (n, 3, 4)
    assert draws.shape == (n, 3, 4) and bool((draws.sum(-1) == 1).all()) and bool((draws.sum(-2) <= 1).all())
    ranks = draws.argmax(-1)
    triples = list(itertools.permutations(range(4), 3))
    counts = [int((ranks == torch.tensor(t)).all(-1).sum()) for t in triples]
    expected = [p[a] * p[b] / (1 - p[a]) * p[c] / (1 - p[a] - p[b]) for a, b, c in triples]
    assert math.isclose(sum(expected), 1) and sum(counts) == n
    assert alarms.fits(counts, expected)
    assert torch.equal(draws[:, 0], sampling.gumbel_max(double(*p).log(), eps))


def test_gumbel_top_k_never_draws_an_impossible_category():
    logits = torch.tensor([0.0, -INF, 1.0, 0.0])
    draws = sampling.gumbel_top_k(logits, noise.gumbel((1000, 4), generator=seeded(5)), k=3)
    assert float(draws[..., 1].sum()) == 0
    with pytest.raises(ValueError, match=r"k must be at most the number of categories.*got 4"):
        sampling.gumbel_top_k(logits, torch.zeros(4), k=4)


# Eq. (2)


@pytest.mark.parametrize("temperature", (1e-6, 1e-3, 0.1, 0.5, 1.0, 3.0, 1e3, 1e6))
def test_gumbel_softmax_is_the_softmax_of_the_scaled_sum(temperature):
    logits, eps = random(6, 4), noise.gumbel((6, 4), generator=seeded(6), dtype=torch.float64)
    relaxed = sampling.gumbel_softmax(logits, eps, temperature)
    torch.testing.assert_close(
        relaxed, torch.softmax((logits + eps) / temperature, -1), rtol=1e-8, atol=1e-12
    )
    log_relaxed = sampling.gumbel_log_softmax(logits, eps, temperature)
    with mpmath.workdps(50):
        for row, noise_row, found in zip(logits, eps, log_relaxed, strict=True):
            scores = [
                (mpmath.mpf(a) + mpmath.mpf(b)) / mpmath.mpf(temperature)
                for a, b in zip(row.tolist(), noise_row.tolist(), strict=True)
            ]
            top = max(scores)
            lse = top + mpmath.log(sum(mpmath.exp(s - top) for s in scores))
            expected = np.array([float(s - lse) for s in scores])
            np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12, atol=1e-15 / temperature)
    torch.testing.assert_close(torch.softmax(log_relaxed, -1), relaxed)


def test_gumbel_softmax_tends_to_gumbel_max_and_to_uniform():
    logits, eps = random(200, 5), noise.gumbel((200, 5), generator=seeded(7), dtype=torch.float64)
    torch.testing.assert_close(sampling.gumbel_softmax(logits, eps, 1e-6), sampling.gumbel_max(logits, eps))
    uniform = torch.full((200, 5), 0.2, dtype=torch.float64)
    torch.testing.assert_close(sampling.gumbel_softmax(logits, eps, 1e6), uniform, rtol=1e-4, atol=0)


@pytest.mark.parametrize("function", (sampling.gumbel_softmax, sampling.gumbel_log_softmax))
def test_gradients_of_the_categorical_relaxations(function):
    inputs = (random(3, 1, 4).requires_grad_(), random(2, 4, seed=1), double(0.7).requires_grad_())
    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


@pytest.mark.parametrize("dtype", (torch.float32, torch.float64), ids=str)
def test_log_space_sample_and_density_are_finite_at_low_temperature(dtype):
    """Temperature 0.05, K = 10: half a million samples, not one coordinate, density or gradient lost."""
    logits = random(10, seed=8).to(dtype).requires_grad_()
    eps = noise.gumbel((500_000, 10), generator=seeded(9), dtype=dtype)
    log_sample = sampling.gumbel_log_softmax(logits, eps, 0.05)
    assert bool(log_sample.isfinite().all())
    assert float(torch.logsumexp(log_sample.detach(), -1).abs().max()) < 1e-5
    log_density = density.concrete_log_density(log_sample, logits, 0.05)
    assert bool(log_density.isfinite().all())
    (gradient,) = torch.autograd.grad(log_density.sum(), logits)
    assert bool(gradient.isfinite().all())


def test_torch_distributions_fails_at_low_temperature():
    """The reason for `gumbel_log_softmax`: at temperature 0.05 torch's own samples have NaN densities."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = RelaxedOneHotCategorical(
            torch.tensor(0.05), logits=random(10, seed=8).float(), validate_args=False
        )
        broken = ~theirs.log_prob(theirs.sample((10_000,))).isfinite()
    assert float(broken.double().mean()) > 0.1


# Eq. (3)


@pytest.mark.parametrize("theta", (0.001, 0.1, 0.5, 0.9))
def test_bernoulli_threshold_integrates_to_theta(theta):
    n = 10_000
    eps = noise.logistic_from_uniform(midpoints(n))
    bits = sampling.bernoulli_threshold(double(math.log(theta / (1 - theta))), eps)
    assert set(bits.tolist()) == {0.0, 1.0}
    assert abs(float(bits.mean()) - theta) <= 1 / n


@pytest.mark.parametrize("temperature", (1e-6, 1e-3, 0.5, 1.0, 1e3, 1e6))
def test_binary_concrete_is_the_sigmoid_of_its_logit(temperature):
    logits, eps = random(50), noise.logistic(50, generator=seeded(10), dtype=torch.float64)
    expected = (logits.numpy() + eps.numpy()) / temperature
    np.testing.assert_allclose(
        sampling.binary_concrete_logit(logits, eps, temperature).numpy(), expected, rtol=1e-14
    )
    with mpmath.workdps(50):
        sigmoid = [float(1 / (1 + mpmath.exp(-mpmath.mpf(v)))) for v in expected.tolist()]
    np.testing.assert_allclose(
        sampling.binary_concrete(logits, eps, temperature).numpy(), sigmoid, rtol=1e-12, atol=1e-300
    )


def test_binary_concrete_is_two_categories_and_tends_to_the_threshold():
    """The difference of two Gumbel variables is logistic: the bit is the first of two categories."""
    logits, eps = random(100, 2), noise.gumbel((100, 2), generator=seeded(11), dtype=torch.float64)
    difference = (logits[:, 0] - logits[:, 1], eps[:, 0] - eps[:, 1])
    torch.testing.assert_close(
        sampling.binary_concrete(*difference, 0.3), sampling.gumbel_softmax(logits, eps, 0.3)[:, 0]
    )
    assert torch.equal(sampling.bernoulli_threshold(*difference), sampling.gumbel_max(logits, eps)[:, 0])
    hard = sampling.binary_concrete(*difference, 1e-6)
    torch.testing.assert_close(hard, sampling.bernoulli_threshold(*difference))


@pytest.mark.parametrize("function", (sampling.binary_concrete, sampling.binary_concrete_logit))
def test_gradients_of_the_binary_relaxations(function):
    assert torch.autograd.gradcheck(
        function, (random(3, 1).requires_grad_(), random(4), double(0.7).requires_grad_())
    )


@pytest.mark.parametrize("dtype", (torch.float32, torch.float64, torch.bfloat16), ids=str)
@pytest.mark.parametrize("logit", (-30.0, 30.0))
@pytest.mark.parametrize("temperature", (0.1, 0.5, 1.0, 2.0))
def test_the_relaxed_logit_keeps_its_gradient(logit, temperature, dtype):
    logits = torch.full((1000,), logit, dtype=dtype, requires_grad=True)
    y = sampling.binary_concrete_logit(
        logits, noise.logistic(1000, generator=seeded(12), dtype=dtype), temperature
    )
    (gradient,) = torch.autograd.grad(y.sum(), logits)
    assert torch.equal(gradient, torch.ones_like(logits) / temperature)


def test_the_sigmoid_loses_its_gradient_only_where_the_dtype_cannot_hold_one_minus_z():
    logits = torch.linspace(-80, 30, 1101).requires_grad_()
    z = sampling.binary_concrete(logits, torch.zeros(()), 1.0)
    (gradient,) = torch.autograd.grad(z.sum(), logits)
    representable = z < 1
    assert bool((gradient[representable] > 0).all()) and not bool(representable.all())
    assert bool((gradient[~representable] == 0).all())
    assert float(logits.detach()[~representable].min()) > 16  # 24 ln 2 = 16.6


def test_torch_distributions_loses_the_gradient():
    """The reason for working on logits: torch clamps probabilities, so logits of 30 have no gradient."""
    logits = torch.tensor([30.0, -30.0], requires_grad=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sample = RelaxedBernoulli(torch.tensor(1.0), logits=logits).rsample()
    assert torch.autograd.grad(sample.sum(), logits)[0].tolist() == [0.0, 0.0]


# Probabilities 0 and 1


def test_infinite_logits():
    certain, excluded = torch.tensor([0.0, INF, 1.0]), torch.tensor([0.0, -INF, 1.0])
    eps = noise.gumbel((1000, 3), generator=seeded(13))
    one = torch.tensor([0.0, 1.0, 0.0]).expand(1000, 3)
    for temperature in (0.1, 1.0, 10.0):
        assert torch.equal(sampling.gumbel_softmax(certain, eps, temperature), one)
        assert float(sampling.gumbel_softmax(excluded, eps, temperature)[:, 1].max()) == 0
        without = sampling.gumbel_softmax(torch.tensor([0.0, 1.0]), eps[:, [0, 2]], temperature)
        torch.testing.assert_close(sampling.gumbel_softmax(excluded, eps, temperature)[:, [0, 2]], without)
        assert bool((sampling.gumbel_log_softmax(certain, eps, temperature)[:, [0, 2]] == -INF).all())
    assert torch.equal(sampling.gumbel_max(certain, eps), one)
    assert float(sampling.gumbel_max(excluded, eps)[:, 1].sum()) == 0
    bits = torch.tensor([INF, -INF])
    for function in (sampling.bernoulli_threshold, sampling.binary_concrete):
        assert function(bits, torch.tensor([[-20.0], [20.0]])).tolist() == [[1.0, 0.0], [1.0, 0.0]]


def test_infinite_logits_have_finite_gradients():
    for infinite in (INF, -INF):
        logits = torch.tensor([0.0, infinite, 1.0], requires_grad=True)
        relaxed = sampling.gumbel_softmax(logits, torch.tensor([0.3, -0.2, 1.0]), 0.5)
        gradient = torch.autograd.grad((relaxed * torch.tensor([1.0, 2.0, 4.0])).sum(), logits)[0]
        assert bool(gradient.isfinite().all()) and float(gradient[1]) == 0
    bits = torch.tensor([INF, -INF], requires_grad=True)
    assert torch.autograd.grad(sampling.binary_concrete(bits, torch.zeros(2), 0.5).sum(), bits)[
        0
    ].tolist() == [0, 0]


# Straight-through


@pytest.mark.parametrize("dtype", (torch.float64, torch.float32, torch.float16, torch.bfloat16), ids=str)
def test_straight_through_has_exactly_the_hard_value_and_the_relaxed_gradient(dtype):
    logits = random(1000, 5).to(dtype).requires_grad_()
    eps = noise.gumbel((1000, 5), generator=seeded(14), dtype=dtype)
    relaxed = sampling.gumbel_softmax(logits, eps, 0.5)
    hard = sampling.gumbel_max(logits, eps)
    joined = sampling.straight_through(hard, relaxed)
    assert joined.dtype == dtype and torch.equal(joined, hard)
    weight = random(1000, 5, seed=15).to(dtype)
    through, direct = (
        torch.autograd.grad((weight * z).sum(), logits, retain_graph=True)[0] for z in (joined, relaxed)
    )
    assert torch.equal(through, direct) and float(through.abs().max()) > 0


@pytest.mark.parametrize("dtype", (torch.float64, torch.float32, torch.float16, torch.bfloat16), ids=str)
def test_straight_through_has_exactly_the_hard_value_whatever_its_size(dtype):
    """For values other than 0 and 1, relaxed + stop(hard - relaxed) would be off by a rounding."""
    hard, relaxed = random(1000, scale=3.0).to(dtype), random(1000, seed=1, scale=30.0).to(dtype)
    assert torch.equal(sampling.straight_through(hard, relaxed), hard)
    assert not torch.equal(relaxed + (hard - relaxed), hard)


def test_straight_through_stops_the_gradient_of_the_hard_sample():
    hard, relaxed = random(3).requires_grad_(), random(3, seed=1).requires_grad_()
    joined = sampling.straight_through(hard, relaxed)
    gradients = torch.autograd.grad(joined.sum(), (hard, relaxed), allow_unused=True)
    assert gradients[0] is None and gradients[1].tolist() == [1.0, 1.0, 1.0]


# What holds for all of them

CATEGORICAL = (sampling.gumbel_max, sampling.gumbel_softmax, sampling.gumbel_log_softmax)
BINARY = (sampling.bernoulli_threshold, sampling.binary_concrete, sampling.binary_concrete_logit)
RELAXED = (*CATEGORICAL[1:], *BINARY[1:])


@pytest.mark.parametrize("function", (*CATEGORICAL, *BINARY), ids=lambda f: f.__name__)
def test_inputs_are_left_alone_and_leading_dimensions_broadcast(function):
    logits, eps = random(3, 1, 4), random(2, 4, seed=1)
    copies = logits.clone(), eps.clone()
    result = function(logits, eps)
    assert torch.equal(logits, copies[0]) and torch.equal(eps, copies[1])
    expanded = function(logits.expand(3, 2, 4).clone(), eps.expand(3, 2, 4).clone())
    assert result.dtype == torch.float64 and torch.equal(result, expanded)
    assert function(torch.zeros(0, 4), torch.zeros(0, 4)).shape == (0, 4)


@pytest.mark.parametrize("function", (*CATEGORICAL, *BINARY), ids=lambda f: f.__name__)
# torch.compile itself triggers this warning when it meets a custom autograd function.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_compile_and_vmap_agree_with_eager(function):
    logits, eps = random(3, 4), random(3, 4, seed=1)
    expected = function(logits, eps)
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(logits, eps), expected)
    torch.testing.assert_close(torch.func.vmap(function)(logits, eps), expected)


@pytest.mark.parametrize("function", RELAXED, ids=lambda f: f.__name__)
def test_functional_gradients_agree_with_autograd(function):
    logits, eps, weight = random(3, 4).requires_grad_(), random(3, 4, seed=1), random(4, seed=2)
    (expected,) = torch.autograd.grad((weight * function(logits, eps, 0.5)).sum(), logits)
    per_row = torch.func.vmap(torch.func.grad(lambda row, e: (weight * function(row, e, 0.5)).sum()))
    torch.testing.assert_close(per_row(logits.detach(), eps), expected)


@pytest.mark.parametrize("function", RELAXED, ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    "temperature", (0.0, -0.5, NAN, INF, torch.tensor(0.0), torch.tensor([1.0, -0.5]), 0)
)
def test_bad_temperatures(function, temperature):
    value = temperature if not isinstance(temperature, torch.Tensor) else temperature.min().item()
    with pytest.raises(ValueError, match=rf"temperature.*{value}"):
        function(torch.zeros(1, 2), torch.zeros(1, 2), temperature)


@pytest.mark.parametrize("function", CATEGORICAL, ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    "logits, eps, name, value",
    [
        ([NAN, 0.0], [0.0, 0.0], "logits", "nan"),
        ([0.0, 0.0], [0.0, NAN], "gumbel_noise", "nan"),
        ([0.0, 0.0], [0.0, INF], "gumbel_noise", "inf"),
        ([INF, INF], [0.0, 0.0], "logits", "inf"),
        ([-INF, -INF], [0.0, 0.0], "logits", "-inf"),
        ([], [], "logits", r"\(0,\)"),
        ([0.0, 0.0], [0.0, 0.0, 0.0], "logits", "2.*gumbel_noise.*3"),
        ([[0.0, 0.0]] * 2, [[0.0, 0.0]] * 3, "logits", r"\(2, 2\).*gumbel_noise \(3, 2\)"),
        (0.0, [0.0], "logits", r"\(\)"),
    ],
)
def test_bad_categorical_arguments(function, logits, eps, name, value):
    with pytest.raises(ValueError, match=f"{name}.*{value}"):
        function(torch.tensor(logits), torch.tensor(eps))


@pytest.mark.parametrize("function", BINARY, ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    "logits, eps, name, value",
    [
        ([NAN, 0.0], [0.0, 0.0], "logits", "nan"),
        ([0.0, 0.0], [-INF, 0.0], "logistic_noise", "-inf"),
        ([0.0, 0.0], [0.0, 0.0, 0.0], "logits", r"\(2,\).*logistic_noise \(3,\)"),
    ],
)
def test_bad_binary_arguments(function, logits, eps, name, value):
    with pytest.raises(ValueError, match=f"{name}.*{value}"):
        function(torch.tensor(logits), torch.tensor(eps))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: sampling.gumbel_top_k(torch.zeros(3), torch.zeros(3), 0), "k must be at least 1, got 0"),
        (lambda: sampling.gumbel_top_k(torch.zeros(3), torch.zeros(3), 4), "k must be at most K = 3, got 4"),
        (lambda: sampling.gaussian(torch.zeros(2), torch.zeros(3), torch.zeros(2)), r"log_std \(3,\)"),
        (lambda: sampling.gaussian(torch.tensor([NAN]), torch.zeros(1), torch.zeros(1)), "mean.*nan"),
        (lambda: sampling.gaussian(torch.zeros(1), torch.zeros(1), torch.tensor([INF])), "noise.*inf"),
        (
            lambda: sampling.straight_through(torch.zeros(2), torch.zeros(3)),
            r"hard and relaxed.*\(2,\).*\(3,\)",
        ),
        (lambda: sampling.straight_through(torch.tensor([NAN]), torch.zeros(1)), "hard.*nan"),
        (lambda: sampling.straight_through(torch.zeros(1), torch.tensor([INF])), "relaxed.*inf"),
        (lambda: sampling.gumbel_softmax(torch.zeros(2, dtype=torch.int64), torch.zeros(2)), "logits.*int64"),
    ],
)
def test_other_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_gradient_of_hard_samples_for_each_example():
    """vmap of grad: d/da sum(z a) is z itself, the hard sample."""
    logits, eps = (
        random(5, 3),
        noise.gumbel((5, 3), generator=torch.Generator().manual_seed(3), dtype=torch.float64),
    )
    found = torch.func.vmap(torch.func.grad(lambda a, g: (sampling.gumbel_max(a, g) * a).sum()))(logits, eps)
    assert torch.equal(found, sampling.gumbel_max(logits, eps))
    ranked = torch.func.vmap(lambda a, g: sampling.gumbel_top_k(a, g, 2))(logits, eps)
    assert torch.equal(ranked, sampling.gumbel_top_k(logits, eps, 2))


def test_half_precision_relaxes_large_finite_logits():
    logits = torch.tensor([60000.0, 50000.0], dtype=torch.float16)
    assert sampling.gumbel_softmax(logits, torch.zeros_like(logits)).tolist() == [1, 0]


@pytest.mark.parametrize("temperature", [1e-46, 1e300])
def test_a_temperature_that_float32_cannot_hold_is_refused(temperature):
    with pytest.raises(ValueError, match="temperature must lie in float32's range"):
        sampling.gumbel_softmax(torch.zeros(3), torch.zeros(3), temperature)


def test_the_difference_of_two_gumbels_is_logistic():
    """P(first - second <= v) is the mean over the second of the first's distribution function."""
    second = noise.gumbel_from_uniform(midpoints(10_000))
    at = torch.linspace(-6, 6, 13, dtype=torch.float64)
    below = torch.stack([density.gumbel_cdf(v + second).mean() for v in at])
    torch.testing.assert_close(below, torch.sigmoid(at), atol=1e-5, rtol=0)
    torch.testing.assert_close(below, density.logistic_cdf(at), atol=1e-5, rtol=0)


RELAXED = (
    sampling.gumbel_softmax,
    sampling.gumbel_log_softmax,
    sampling.binary_concrete,
    sampling.binary_concrete_logit,
)


@pytest.mark.parametrize("function", RELAXED, ids=lambda f: f.__name__)
def test_the_temperature_is_1_where_none_is_given_and_the_dtype_is_kept(function):
    logits, eps = random(4, 3), random(4, 3, seed=1)
    assert torch.equal(function(logits, eps), function(logits, eps, 1.0))
    assert not torch.equal(function(logits, eps), function(logits, eps, 2.0))
    assert function(logits.half(), eps.half(), 0.5).dtype == torch.float16


def test_a_bit_of_a_sum_of_exactly_0_is_off():
    assert sampling.bernoulli_threshold(double(1.0, -1.0), double(-1.0, 1.5)).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("temperature", (0.1, 1.0, 1e6))
def test_beside_a_certain_category_the_log_of_every_other_is_minus_infinity(temperature):
    found = sampling.gumbel_log_softmax(double(0.5, INF, -1.0), double(3.0, -2.0, 0.0), temperature)
    assert found.tolist() == [-INF, 0.0, -INF]


def test_a_row_does_not_depend_on_the_others():
    logits, eps = double([0.5, INF, -1.0], [0.5, 0.0, -1.0]), double([3.0, -2.0, 0.0], [0.1, 0.2, 0.3])
    alone = sampling.gumbel_log_softmax(logits[1], eps[1], 0.5)
    assert torch.equal(sampling.gumbel_log_softmax(logits, eps, 0.5)[1], alone)
    with pytest.raises(ValueError, match="k"):  # one row has three possible categories, the other one
        sampling.gumbel_top_k(double([0.0, 0.0, 0.0], [0.0, -INF, -INF]), eps, 2)


def test_a_hard_sample_takes_the_dtype_of_the_relaxed_one():
    relaxed = torch.tensor([0.25, 0.75])
    for hard in (double(0.0, 1.0), torch.tensor([0, 1])):
        found = sampling.straight_through(hard, relaxed)
        assert found.dtype == torch.float32 and found.tolist() == [0.0, 1.0]


def test_shapes_that_do_not_broadcast_are_named():
    for call, message in (
        (
            lambda: sampling.binary_concrete_logit(random(2), random(2), random(3).exp()),
            r"temperature .*\(3,\)",
        ),
        (lambda: sampling.gumbel_softmax(random(2), random(2), random(3).exp()), r"temperature .*\(3,\)"),
        (lambda: sampling.gaussian(random(2), random(2), random(3)), r"noise \(3,\)"),
        (lambda: sampling.gaussian(random(2), random(3), random(2)), r"log_std \(3,\)"),
        (lambda: sampling.gaussian(random(3), random(2), random(2)), r"mean \(3,\)"),
    ):
        with pytest.raises(ValueError, match=f"(shapes do not broadcast: .*)?{message}"):
            call()


def test_hard_samples_have_no_gradient():
    logits = random(3).requires_grad_()
    assert not sampling.bernoulli_threshold(logits, random(3, seed=1)).requires_grad
    assert not sampling.gumbel_max(logits, random(3, seed=1)).requires_grad


@pytest.mark.parametrize("function", [sampling.binary_concrete, sampling.binary_concrete_logit])
def test_a_temperature_for_each_bit_does_not_make_more_bits(function):
    logits, eps = random(4, 1), random(3)
    for shape in ((3,), (4, 1), (1, 1), (4, 3)):
        assert function(logits, eps, torch.full(shape, 0.5, dtype=logits.dtype)).shape == (4, 3)
    for shape in ((2,), (4, 4), (5, 4, 3)):
        with pytest.raises(
            ValueError, match=rf"temperature must broadcast to shape \(4, 3\), got shape \({shape[0]},"
        ):
            function(logits, eps, torch.full(shape, 0.5, dtype=logits.dtype))


def test_a_gaussian_sample_without_a_value_is_refused():
    one, zero = torch.ones(1), torch.zeros(1)
    assert sampling.gaussian(one, torch.tensor([1e3]), -one).tolist() == [-INF]  # the limit
    assert sampling.gaussian(one, torch.tensor([-INF]), zero).tolist() == [1.0]
    with pytest.raises(ValueError, match=r"^the sample of log_std and noise must not contain NaN"):
        sampling.gaussian(one, torch.tensor([1e3]), zero)  # infinity times 0
    with pytest.raises(ValueError, match=r"^mean must be finite, got inf"):
        sampling.gaussian(one / 0, torch.tensor([1e3]), -one)  # infinity less infinity
