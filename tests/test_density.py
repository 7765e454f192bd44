"""Densities and divergences against scipy, torch.distributions, quadrature; numerics/ counts their digits."""

import math

import mpmath
import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import distributions
from torch.distributions.relaxed_bernoulli import LogitRelaxedBernoulli

from catvae_lib import _validate, density, noise, sampling

INF = math.inf
NAN = math.nan
GRID = torch.linspace(-8, 12, 81, dtype=torch.float64)


def double(*values):
    return torch.tensor(values, dtype=torch.float64)


def random(*shape, seed=0, scale=2.0):
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def area_under(function, low, high, step=0.02):
    """Integrate by the trapezoidal rule, exponentially accurate for a smooth function that dies out."""
    points = torch.arange(low, high, step, dtype=torch.float64)
    return float(function(points).sum() * step)


def gradient(value, *inputs):
    found = torch.autograd.grad(value.sum(), inputs)
    return found[0] if len(inputs) == 1 else found


# Gumbel and logistic


@pytest.mark.parametrize(
    "log_density, cdf, oracle",
    [
        (density.gumbel_log_density, density.gumbel_cdf, stats.gumbel_r),
        (density.logistic_log_density, density.logistic_cdf, stats.logistic),
    ],
)
@pytest.mark.parametrize("loc, scale", [(0.0, 1.0), (2.0, 0.5), (-1.0, 3.0)])
def test_gumbel_and_logistic_agree_with_scipy(log_density, cdf, oracle, loc, scale):
    frozen, x = oracle(loc, scale), GRID.numpy()
    np.testing.assert_allclose(log_density(GRID, loc, scale).numpy(), frozen.logpdf(x), rtol=1e-13)
    np.testing.assert_allclose(cdf(GRID, loc, scale).numpy(), frozen.cdf(x), rtol=1e-12, atol=1e-300)
    tensors = double(loc).view(1, 1), double(scale)
    torch.testing.assert_close(log_density(GRID, *tensors)[0], log_density(GRID, loc, scale))
    assert math.isclose(area_under(lambda v: log_density(v, loc, scale).exp(), -150, 200), 1, rel_tol=1e-12)
    points = GRID.clone().requires_grad_()
    torch.testing.assert_close(gradient(cdf(points, loc, scale), points), log_density(GRID, loc, scale).exp())


@pytest.mark.parametrize("log_density", (density.gumbel_log_density, density.logistic_log_density))
def test_log_densities_far_out(log_density):
    assert log_density(torch.tensor([INF, -INF])).tolist() == [-INF, -INF]
    assert log_density(torch.tensor([1e30, -1e30])).isneginf().tolist() == [
        False,
        log_density is density.gumbel_log_density,
    ]
    assert density.gumbel_cdf(torch.tensor([-INF, INF])).tolist() == [0, 1]
    assert density.logistic_cdf(torch.tensor([-INF, INF])).tolist() == [0, 1]


def test_the_articles_density_is_the_cdf():
    """Slip 1: the integral of exp(-exp(-z)) up to L is L - 0.5772, not 1."""
    for upper in (10, 20, 50):
        area = integrate.quad(lambda v: float(density.gumbel_cdf(double(v))), -10, upper, limit=200)[0]
        tail = math.exp(-upper)  # what the density of the standard Gumbel leaves beyond L
        assert math.isclose(area, upper - np.euler_gamma, abs_tol=2 * tail + 1e-9)


# Concrete


def concrete_formula(x, logits, temperature):
    """Maddison et al. 2016, Eq. 10, for the point x of the simplex, at 50 digits."""
    with mpmath.workdps(50):
        x, a, lam = (
            [mpmath.mpf(v) for v in x],
            [mpmath.exp(mpmath.mpf(v)) for v in logits],
            mpmath.mpf(temperature),
        )
        k = len(x)
        total = sum(a_i * x_i ** (-lam) for a_i, x_i in zip(a, x, strict=True))
        value = mpmath.factorial(k - 1) * lam ** (k - 1)
        for a_i, x_i in zip(a, x, strict=True):
            value *= a_i * x_i ** (-lam - 1) / total
        return mpmath.log(value) + sum(mpmath.log(v) for v in x)


@pytest.mark.parametrize("num_categories", (1, 2, 3, 10))
@pytest.mark.parametrize("temperature", (0.05, 0.5, 1.0, 4.0))
def test_concrete_log_density_against_the_papers_formula(num_categories, temperature):
    logits, eps = (
        random(num_categories),
        noise.gumbel((20, num_categories), dtype=torch.float64, generator=torch.Generator().manual_seed(1)),
    )
    y = sampling.gumbel_log_softmax(logits, eps, temperature)
    found = density.concrete_log_density(y, logits, temperature).numpy()
    with mpmath.workdps(50):
        # The formula takes x = exp(y) at 50 digits, renormalized: float64 cannot hold most of these points.
        points = [[mpmath.exp(mpmath.mpf(v)) for v in row] for row in y.tolist()]
        expected = [float(concrete_formula(x, logits.tolist(), temperature)) for x in points]
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)
    one_number = density.concrete_log_density(
        y, logits + 3.0, double(temperature)[0]
    )  # a shift changes nothing
    np.testing.assert_allclose(one_number.numpy(), found, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("num_categories", (2, 3))
@pytest.mark.parametrize("temperature", (0.5, 1.0, 2.0))
def test_concrete_density_integrates_to_one(num_categories, temperature):
    """In log-ratio coordinates v, y = log softmax(v, 0) and dx = prod(x) dv: exp(density of y) has area 1."""
    logits = double(0.3, -0.5, 1.0)[:num_categories]
    step, half = 0.25, 320
    axis = step * torch.arange(-half, half + 1, dtype=torch.float64)
    v = torch.cartesian_prod(*[axis] * (num_categories - 1)).reshape(-1, num_categories - 1)
    y = torch.log_softmax(torch.nn.functional.pad(v, (0, 1)), -1)
    area = density.concrete_log_density(y, logits, temperature).exp().sum() * step ** (num_categories - 1)
    assert math.isclose(float(area), 1, rel_tol=1e-10)


@pytest.mark.parametrize("temperature", (0.5, 1.0, 2.0))
def test_concrete_density_of_x_agrees_with_torch_distributions(temperature):
    logits = random(5, 4)
    theirs = distributions.RelaxedOneHotCategorical(double(temperature)[0], logits=logits)
    y = torch.log_softmax(random(5, 4, seed=1), -1)
    ours = density.concrete_log_density(y, logits, temperature) - y.sum(-1)
    torch.testing.assert_close(ours, theirs.log_prob(y.exp()))


def test_binary_concrete_log_density_at_one_hundred_in_float32():
    """In closed form -100 - 2 log(1 + e^-100), slope -1 at 100 and 1 at -100; torch gives -inf and NaN."""
    y = torch.tensor([100.0, -100.0], requires_grad=True)
    value = density.binary_concrete_log_density(y, torch.zeros(()), 1.0)
    assert value.tolist() == [-100.0, -100.0]
    assert gradient(value, y).tolist() == [-1.0, 1.0]
    theirs = LogitRelaxedBernoulli(torch.tensor(1.0), logits=torch.tensor(0.0)).log_prob(y)
    assert theirs[1].item() == -INF and math.isnan(gradient(theirs, y)[1])


@pytest.mark.parametrize("temperature", (0.3, 1.0, 3.0))
def test_binary_concrete_density_integrates_to_one_and_is_two_categories(temperature):
    area = area_under(
        lambda y: density.binary_concrete_log_density(y, double(0.7), temperature).exp(), -150, 150
    )
    assert math.isclose(area, 1, rel_tol=1e-12)
    y, logits = random(9), random(9, 2, seed=1)
    log_x = torch.stack([-torch.log1p(torch.exp(-y)), -torch.log1p(torch.exp(y))], -1)
    torch.testing.assert_close(
        density.binary_concrete_log_density(y, logits[:, 0] - logits[:, 1], temperature),
        density.concrete_log_density(log_x, logits, temperature),
    )


def test_binary_concrete_temperature_broadcasts_elementwise():
    y, temperatures = random(4), double(0.5, 1.0, 2.0).unsqueeze(-1)
    rows = [density.binary_concrete_log_density(y, double(0.2), t) for t in (0.5, 1.0, 2.0)]
    torch.testing.assert_close(
        density.binary_concrete_log_density(y, double(0.2), temperatures), torch.stack(rows)
    )


# Log-probabilities


def test_bernoulli_log_prob_against_torch_distributions():
    logits, bits = random(6, 1, scale=20.0), double(0.0, 1.0)
    expected = distributions.Bernoulli(logits=logits.expand(6, 2)).log_prob(bits.expand(6, 2))
    torch.testing.assert_close(density.bernoulli_log_prob(bits, logits), expected, rtol=1e-13, atol=1e-13)
    grey = density.bernoulli_log_prob(double(0.25), logits)
    torch.testing.assert_close(grey, 0.25 * expected[:, 1:] + 0.75 * expected[:, :1])
    assert (
        density.bernoulli_log_prob(torch.tensor([0, 1]), torch.zeros(2)).dtype == torch.float32
    )  # integer bits will do


@pytest.mark.parametrize(
    "bit, value, slope",
    [(0.0, [-math.log(2), -INF, 0.0], [-0.5, -1.0, 0.0]), (1.0, [-math.log(2), 0.0, -INF], [0.5, 0.0, 1.0])],
)
@pytest.mark.parametrize("dtype", (torch.float32, torch.float64), ids=str)
def test_bernoulli_log_prob_takes_its_limits(bit, value, slope, dtype):
    logits = torch.tensor([0.0, INF, -INF], dtype=dtype, requires_grad=True)
    bits = torch.tensor(bit, dtype=dtype)
    found = density.bernoulli_log_prob(bits, logits)
    torch.testing.assert_close(found, torch.tensor(value, dtype=dtype))
    assert gradient(found, logits).tolist() == slope


def test_categorical_log_prob_against_torch_distributions():
    logits, one_hot = random(5, 1, 4, scale=10.0), torch.eye(4, dtype=torch.float64)
    expected = distributions.OneHotCategorical(logits=logits.expand(5, 4, 4)).log_prob(
        one_hot.expand(5, 4, 4)
    )
    torch.testing.assert_close(
        density.categorical_log_prob(one_hot, logits), expected, rtol=1e-13, atol=1e-13
    )


def test_categorical_log_prob_takes_its_limits():
    one_hot = torch.eye(3, dtype=torch.float64)
    excluded, certain = double(0.0, -INF, 1.0).requires_grad_(), double(0.0, INF, 1.0).requires_grad_()
    p = 1 / (1 + math.e)
    found = density.categorical_log_prob(one_hot, excluded)
    torch.testing.assert_close(found, double(math.log(p), -INF, math.log(1 - p)))
    slopes = [gradient(density.categorical_log_prob(row, excluded), excluded) for row in one_hot]
    torch.testing.assert_close(torch.stack(slopes), one_hot - double(p, 0.0, 1 - p))
    assert density.categorical_log_prob(one_hot, certain).tolist() == [-INF, 0.0, -INF]
    slopes = [gradient(density.categorical_log_prob(row, certain), certain) for row in one_hot]
    torch.testing.assert_close(torch.stack(slopes), one_hot - double(0.0, 1.0, 0.0))


# Divergences

NEAR_AND_FAR = [
    0.0,
    1e-12,
    1e-8,
    -1e-6,
    1e-4,
    -1e-3,
    0.01,
    -0.1,
    0.5,
    -0.999,
    0.99999,
    1.0,
    1.00001,
    -2.0,
    5.0,
    -20.0,
    50.0,
    700.0,
]


def exact_bernoulli_kl(a, b):
    p, q = 1 / (1 + mpmath.exp(-a)), 1 / (1 + mpmath.exp(-b))
    return p * mpmath.log(p / q) + (1 - p) * mpmath.log((1 - p) / (1 - q))


def test_bernoulli_kl_to_the_fair_coin_is_exact():
    """Relative error 1e-12 near 0, where ln 2 - H cancels, and beyond logit 1, where the formula changes."""
    logits = double(*NEAR_AND_FAR).requires_grad_()
    with mpmath.workdps(80):
        expected = [
            float(exact_bernoulli_kl(mpmath.mpf(v), mpmath.mpf(0))) if v < 300 else math.log(2)
            for v in NEAR_AND_FAR
        ]
        slopes = [
            float(v * mpmath.exp(-v) / (1 + mpmath.exp(-v)) ** 2) for v in map(mpmath.mpf, NEAR_AND_FAR)
        ]
    found = density.bernoulli_kl(logits)
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(gradient(found, logits).numpy(), slopes, rtol=1e-11, atol=1e-16)
    single = density.bernoulli_kl(logits.detach().float())
    np.testing.assert_allclose(single.numpy(), expected, rtol=1e-5, atol=1e-20)


def test_bernoulli_kl_to_any_prior():
    logits, prior = random(7, 1, scale=5.0), random(6, seed=1, scale=3.0)
    theirs = distributions.kl_divergence(
        distributions.Bernoulli(logits=logits.expand(7, 6)),
        distributions.Bernoulli(logits=prior.expand(7, 6)),
    )
    torch.testing.assert_close(density.bernoulli_kl(logits, prior), theirs, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(density.bernoulli_kl(logits, 1.5), density.bernoulli_kl(logits, double(1.5)))
    torch.testing.assert_close(
        density.bernoulli_kl(logits), density.bernoulli_kl(logits, torch.zeros_like(logits))
    )


@pytest.mark.parametrize("dtype", (torch.float32, torch.float64, torch.bfloat16), ids=str)
def test_bernoulli_kl_takes_its_limits(dtype):
    logits = torch.tensor([INF, -INF, 0.0], dtype=dtype, requires_grad=True)
    found = density.bernoulli_kl(logits)
    torch.testing.assert_close(found, torch.tensor([math.log(2), math.log(2), 0.0], dtype=dtype))
    assert gradient(found, logits).tolist() == [0.0, 0.0, 0.0]
    prior = torch.tensor([INF, -INF, 1.0], dtype=dtype)
    same = density.bernoulli_kl(logits[:2], prior[:2])
    assert same.tolist() == [0.0, 0.0] and gradient(same, logits).tolist() == [0.0, 0.0, 0.0]
    assert density.bernoulli_kl(logits[:2], -prior[:2]).tolist() == [INF, INF]
    assert density.bernoulli_kl(torch.zeros(2, dtype=dtype), prior[:2]).tolist() == [INF, INF]
    half = density.bernoulli_kl(logits[:2], prior[2])
    log_q = [-math.log1p(math.exp(-1)), -math.log1p(math.e)]
    torch.testing.assert_close(half, -torch.tensor(log_q, dtype=dtype))
    assert gradient(half, logits).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("num_categories", (1, 2, 3, 10))
def test_categorical_kl_against_torch(num_categories):
    logits, prior = random(8, num_categories, scale=5.0), random(8, num_categories, seed=1)
    found = density.categorical_kl(logits, prior)
    theirs = distributions.kl_divergence(
        distributions.Categorical(logits=logits), distributions.Categorical(logits=prior)
    )
    torch.testing.assert_close(found, theirs, rtol=1e-10, atol=1e-14)
    entropy = distributions.Categorical(logits=logits).entropy()
    torch.testing.assert_close(
        density.categorical_kl(logits), math.log(num_categories) - entropy, rtol=1e-10, atol=1e-13
    )


def test_two_categories_are_one_bit():
    logits, prior = random(9, 2), random(9, 2, seed=1)
    bits = density.bernoulli_kl(logits[:, 0] - logits[:, 1], prior[:, 0] - prior[:, 1])
    torch.testing.assert_close(density.categorical_kl(logits, prior), bits)


@pytest.mark.parametrize("dtype", (torch.float32, torch.float64), ids=str)
def test_categorical_kl_takes_its_limits(dtype):
    def row(*values):
        return torch.tensor(values, dtype=dtype, requires_grad=True)

    half, certain, excluded = row(0.0, -INF, 0.0), row(0.0, INF, 1.0), row(0.0, -INF, 1.0)
    assert math.isclose(density.categorical_kl(half).item(), math.log(1.5), rel_tol=1e-6)
    assert math.isclose(density.categorical_kl(certain).item(), math.log(3), rel_tol=1e-6)
    for logits in (half, certain):
        assert gradient(density.categorical_kl(logits), logits).abs().max() == 0
        same = density.categorical_kl(logits, logits.detach())
        assert same.item() == 0 and gradient(same, logits).abs().max() == 0
    slope = gradient(density.categorical_kl(excluded), excluded)
    two = row(0.0, 1.0)
    expected = gradient(density.categorical_kl(two), two)  # an impossible category adds a constant
    torch.testing.assert_close(slope, torch.stack([expected[0], torch.zeros((), dtype=dtype), expected[1]]))
    assert density.categorical_kl(torch.zeros(3, dtype=dtype), excluded).item() == INF
    assert density.categorical_kl(row(0.0, 0.0), row(INF, 0.0)).item() == INF


def test_gaussian_kl():
    mean, log_std = random(5, 1), random(4, seed=1)
    theirs = distributions.kl_divergence(
        distributions.Normal(mean, log_std.exp()), distributions.Normal(0.0, 1.0)
    )
    torch.testing.assert_close(density.gaussian_kl(mean, log_std), theirs)


def test_gaussian_kl_takes_its_limits():
    log_std = double(INF, -INF, 0.0).requires_grad_()
    found = density.gaussian_kl(double(0.0, 0.0, INF), log_std)
    assert found.tolist() == [INF, INF, INF]
    assert gradient(found, log_std).tolist()[1:] == [-1.0, 0.0]  # at inf the gradient has no finite limit


# What holds for all of them

TWO_ARGUMENTS = {
    "gumbel_log_density": (density.gumbel_log_density, random(3, 4)),
    "gumbel_cdf": (density.gumbel_cdf, random(3, 4)),
    "logistic_log_density": (density.logistic_log_density, random(3, 4)),
    "logistic_cdf": (density.logistic_cdf, random(3, 4)),
    "concrete": (
        lambda y, a: density.concrete_log_density(y, a, 0.5),
        random(3, 4).log_softmax(-1),
        random(3, 4),
    ),
    "binary_concrete": (
        lambda y, a: density.binary_concrete_log_density(y, a, 0.5),
        random(3, 4),
        random(3, 4, seed=1),
    ),
    "bernoulli_log_prob": (density.bernoulli_log_prob, (random(3, 4) > 0).double(), random(3, 4, seed=1)),
    "categorical_log_prob": (density.categorical_log_prob, torch.eye(4).double()[:3], random(3, 4, seed=1)),
    "bernoulli_kl": (density.bernoulli_kl, random(3, 4)),
    "bernoulli_kl to a prior": (density.bernoulli_kl, random(3, 4), random(3, 4, seed=1)),
    "categorical_kl": (density.categorical_kl, random(3, 4)),
    "gaussian_kl": (density.gaussian_kl, random(3, 4), random(3, 4, seed=1)),
}


# torch.compile itself triggers this warning when it meets a custom autograd function.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize(
    "function, inputs", [(f, i) for f, *i in TWO_ARGUMENTS.values()], ids=list(TWO_ARGUMENTS)
)
def test_eager_compile_vmap_and_grad_agree_and_inputs_are_left_alone(function, inputs):
    copies = [t.clone() for t in inputs]
    expected = function(*inputs)
    assert all(torch.equal(a, b) for a, b in zip(inputs, copies, strict=True))
    torch.testing.assert_close(
        torch.compile(function, fullgraph=True, backend="aot_eager")(*inputs), expected
    )
    torch.testing.assert_close(torch.func.vmap(function)(*inputs), expected)
    last = inputs[-1].clone().requires_grad_()
    (slope,) = torch.autograd.grad(function(*inputs[:-1], last).sum(), last)
    functional = torch.func.grad(lambda *a: function(*a).sum(), argnums=len(inputs) - 1)
    torch.testing.assert_close(torch.func.vmap(functional)(*inputs), slope)
    assert function(*(t[:0] for t in inputs)).shape == expected[:0].shape


def half():
    return torch.tensor([0.5, 0.5])


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: density.gumbel_log_density(torch.tensor([NAN])), "x.*nan"),
        (lambda: density.gumbel_cdf(half(), 0.0, 0.0), "scale.*0.0"),
        (lambda: density.logistic_log_density(half(), NAN), "loc.*nan"),
        (lambda: density.logistic_cdf(half(), torch.zeros(3)), r"x \(2,\).*loc \(3,\)"),
        (lambda: density.concrete_log_density(half().log(), half(), 0.0), "temperature.*0.0"),
        (lambda: density.concrete_log_density(half().log(), half(), NAN), "temperature.*nan"),
        (lambda: density.concrete_log_density(half().log(), half(), torch.ones(2)), r"temperature.*\(2,\)"),
        (lambda: density.concrete_log_density(half().log(), torch.tensor([0.0, INF]), 1.0), "logits.*inf"),
        (lambda: density.concrete_log_density(torch.tensor([0.0, -INF]), half(), 1.0), "log_sample.*-inf"),
        (lambda: density.concrete_log_density(half().requires_grad_(), half(), 1.0), "log_sample.*3.29"),
        (lambda: density.concrete_log_density(half().log(), torch.zeros(3), 1.0), "log_sample.*2.*logits.*3"),
        (
            lambda: density.concrete_log_density(torch.zeros(2, 0), torch.zeros(0), 1.0),
            r"log_sample.*\(2, 0\)",
        ),
        (lambda: density.binary_concrete_log_density(half(), half(), -2.0), "temperature.*-2.0"),
        (lambda: density.binary_concrete_log_density(torch.tensor([INF]), half(), 1.0), "logit_sample.*inf"),
        (lambda: density.binary_concrete_log_density(half(), torch.tensor([NAN]), 1.0), "logits.*nan"),
        (lambda: density.binary_concrete_log_density(half(), torch.zeros(3), 1.0), r"logits \(3,\)"),
        (lambda: density.binary_concrete_log_density(half(), half(), torch.ones(3)), r"temperature \(3,\)"),
        (lambda: density.logistic_cdf(half(), 0.0, torch.ones(3)), r"x \(2,\).*scale \(3,\)"),
        (lambda: density.bernoulli_log_prob(torch.tensor([1.5]), half()), "bits.*1.5"),
        (lambda: density.bernoulli_log_prob(half(), torch.tensor([NAN])), "logits.*nan"),
        (lambda: density.bernoulli_log_prob(torch.zeros(3), half()), r"bits \(3,\)"),
        (lambda: density.categorical_log_prob(torch.ones(2).requires_grad_(), half()), "one_hot.*2.0"),
        (lambda: density.categorical_log_prob(torch.tensor([1.5, -0.5]), half()), "one_hot.*1.5"),
        (lambda: density.categorical_log_prob(half(), torch.tensor([INF, INF])), "logits.*inf"),
        (lambda: density.categorical_log_prob(half(), torch.zeros(0)), r"logits.*\(0,\)"),
        (lambda: density.bernoulli_kl(torch.tensor([NAN])), "logits.*nan"),
        (lambda: density.bernoulli_kl(half(), NAN), "prior_logits.*nan"),
        (lambda: density.bernoulli_kl(half(), torch.zeros(3)), r"prior_logits \(3,\)"),
        (lambda: density.categorical_kl(torch.tensor([-INF, -INF])), "logits.*-inf"),
        (lambda: density.categorical_kl(half(), torch.tensor([NAN, 0.0])), "prior_logits.*nan"),
        (lambda: density.categorical_kl(half(), torch.zeros(3)), "prior_logits.*3"),
        (lambda: density.gaussian_kl(half(), torch.tensor([NAN])), "log_std.*nan"),
        (lambda: density.gaussian_kl(torch.tensor([NAN]), half()), "mean.*nan"),
        (lambda: density.gaussian_kl(half(), torch.zeros(3)), r"log_std \(3,\)"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# Found by trying to break it


def test_half_precision_keeps_large_finite_logits():
    """float16 reaches 65,504; a category 9,000 nats below the other is unlikely, not impossible."""
    logits = torch.tensor([9000.0, 0.0], dtype=torch.float16)
    assert float(density.categorical_log_prob(torch.tensor([0.0, 1.0]), logits)) == -9000
    certain = torch.tensor([60000.0, 50000.0], dtype=torch.float16)
    assert float(density.categorical_kl(certain)) == pytest.approx(math.log(2), rel=1e-3)


def test_a_weight_that_misses_zero_by_rounding_makes_no_infinity():
    assert float(density.bernoulli_log_prob(torch.tensor(1 + 1.2e-7), torch.tensor(INF))) == 0
    one_hot = torch.tensor([1 + 1e-7, -1e-7, 0.0])
    assert float(density.categorical_log_prob(one_hot, torch.tensor([0.0, -INF, 0.0]))) < 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_gumbel_cdf_has_gradient_zero_far_below(dtype):
    x = torch.tensor([-1e4, -90.0, -12.0], dtype=dtype, requires_grad=True)
    value = density.gumbel_cdf(x)
    assert value.tolist() == [0, 0, 0]
    assert torch.autograd.grad(value.sum(), x)[0].tolist() == [0, 0, 0]


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")  # torch's own, on first use
def test_the_hessian_of_a_categorical_log_probability_is_minus_the_covariance() -> None:
    """Forward mode over reverse mode, as `torch.func.hessian` takes it: pi pi^T - diag(pi)."""
    logits = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)
    one_hot = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    found = torch.func.hessian(lambda free: density.categorical_log_prob(one_hot, free))(logits)
    pi = torch.softmax(logits, -1)
    torch.testing.assert_close(found, torch.outer(pi, pi) - torch.diag(pi))


def test_a_row_near_its_prior_is_as_exact_beside_one_that_is_far():
    """Each takes its own formula: a batch is its rows, bit for bit."""
    logits = torch.tensor([[0.3, -1.0, 0.5], [4.0, 0.0, -3.0], [-2.0, 1.0, 0.0]], dtype=torch.float64)
    prior = logits + torch.tensor([[1e-9, 0.0, -1e-9], [5.0, -5.0, 0.0], [0.5, 0.0, -0.9]])
    together = density.categorical_kl(logits, prior)
    assert torch.equal(
        together, torch.stack([density.categorical_kl(*row) for row in zip(logits, prior, strict=True)])
    )
    bits = density.bernoulli_kl(logits, prior)
    assert torch.equal(
        bits.flatten(),
        torch.stack(
            [density.bernoulli_kl(*bit) for bit in zip(logits.flatten(), prior.flatten(), strict=True)]
        ),
    )


def test_one_hot_vectors_and_bits_may_be_whole_numbers():
    logits = torch.tensor([0.5, -1.0])
    picked = torch.tensor([0, 1])
    assert torch.equal(density.categorical_log_prob(picked, logits), logits.log_softmax(-1)[1])
    found = density.bernoulli_log_prob(picked, logits)
    torch.testing.assert_close(found, density.bernoulli_log_prob(picked.float(), logits))


@pytest.mark.parametrize("name", ["gumbel_log_density", "gumbel_cdf", "logistic_log_density", "logistic_cdf"])
def test_the_standard_distribution_is_the_default(name):
    function, x = getattr(density, name), torch.linspace(-3, 5, 9)
    assert torch.equal(function(x), function(x, 0.0, 1.0))


def test_a_prior_given_as_a_number_has_the_precision_and_the_place_of_the_logits():
    logits = torch.tensor([0.3, -2.0], dtype=torch.float64)
    assert torch.equal(
        density.bernoulli_kl(logits, 0.1), density.bernoulli_kl(logits, logits.new_tensor(0.1))
    )
    assert density.bernoulli_kl(logits.half(), 0.1).dtype == torch.float16
    with _validate.trusted():
        assert density.bernoulli_kl(logits.to("meta"), 0.1).device.type == "meta"


def test_one_hot_vectors_of_another_number_of_categories_are_refused():
    with pytest.raises(ValueError, match=r"the last dimension K must agree, got .*one_hot.*2.*logits.*3"):
        density.categorical_log_prob(torch.tensor([0.0, 1.0]), torch.zeros(3))
    with pytest.raises(ValueError, match=r"one_hot must have shape \(..., K\) with K >= 1, got \(\)"):
        density.categorical_log_prob(torch.tensor(1.0), torch.zeros(1))


@pytest.mark.parametrize("log_std", [1e-9, 0.01, 0.0624, -0.0624, 0.0626, -0.0626])
def test_the_kl_of_a_gaussian_near_the_prior_keeps_thirteen_digits(log_std):
    with mpmath.workdps(50):
        x = 2 * mpmath.mpf(log_std)
        expected = float((mpmath.exp(x) - 1 - x) / 2)
    found = density.gaussian_kl(
        torch.zeros(1, dtype=torch.float64), torch.tensor([log_std], dtype=torch.float64)
    )
    assert abs(found.item() - expected) <= 1e-13 * expected
