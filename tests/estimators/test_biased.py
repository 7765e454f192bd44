"""The biased estimators: where they are exact, their bias elsewhere, and what Gumbel-Rao promises."""

from collections.abc import Callable

import pytest
import torch
from problems import FLOAT, PROBLEMS, Problem, compare, estimates
from scipy import integrate
from torch import Tensor

from catvae_lib import noise
from catvae_lib.estimators import (
    Estimator,
    gumbel_rao,
    gumbel_softmax,
    rebar,
    reinmax,
    straight_through,
    straight_through_gumbel_softmax,
)
from catvae_lib.latent import BernoulliLatent, CategoricalLatent, Latent

N = 300_000
SOFT = [gumbel_softmax, straight_through_gumbel_softmax, straight_through, gumbel_rao, reinmax, rebar]


@pytest.mark.parametrize("problem", ["bits-multilinear", "small-multilinear"])
def test_straight_through_is_exact_for_a_multilinear_f(problem: str) -> None:
    """A bias of 0.03 of a standard deviation of one estimate is found."""
    one = PROBLEMS[problem]
    found = compare(estimates(one, straight_through, 1, N), one.exact_gradient())
    assert not found.rejected, found


@pytest.mark.parametrize("problem", ["bits-quadratic", "small-quadratic", "distance-0.2", "distance-0.9"])
def test_reinmax_at_temperature_1_is_exact_for_a_quadratic_f(problem: str) -> None:
    """As above. Straight-through, at the same temperature, is rejected on the same problem."""
    one = PROBLEMS[problem]
    found = compare(estimates(one, reinmax, 1, N), one.exact_gradient())
    assert not found.rejected, found
    assert compare(estimates(one, straight_through, 1, N), one.exact_gradient()).rejected


@pytest.mark.parametrize("problem", ["bits-quadratic", "small-quadratic"])
def test_reinmax_at_another_temperature_is_not(problem: str) -> None:
    one = PROBLEMS[problem]
    assert compare(estimates(one, reinmax, 1, N, temperature=1.5), one.exact_gradient()).rejected


@pytest.mark.parametrize("temperature", [0.3, 0.7, 1.5])
@pytest.mark.parametrize("problem", ["bits-neural", "small-neural", "large-neural"])
def test_gumbel_rao_has_the_mean_of_straight_through_gumbel_softmax_and_less_variance(
    problem: str, temperature: float
) -> None:
    """The two are compared on independent draws: their difference has the sum of their variances.

    A difference of 0.05 standard deviations is found, 0.2 on the large problem.
    """
    one, n = PROBLEMS[problem], 20_000 if problem == "large-neural" else 100_000
    plain = estimates(one, straight_through_gumbel_softmax, 1, n, temperature)
    rao = estimates(one, gumbel_rao, 9, n, temperature, seed=1)
    n = min(n, len(torch.cat(plain)), len(torch.cat(rao)))
    difference = [torch.cat(rao)[:n] - torch.cat(plain)[:n]]
    assert not compare(difference, torch.zeros_like(one.logits[0])).rejected
    before, after = torch.cat(plain).var(0).sum(), torch.cat(rao).var(0).sum()
    assert after < (0.9 if temperature < 1 else 0.98) * before


def grid(n: int = 200_001) -> Tensor:
    """Logistic noise at the midpoints of n equal steps of u: a mean over it is an integral over the noise."""
    return noise.logistic_from_uniform((torch.arange(n, dtype=FLOAT) + 0.5) / n)


def mean_gradient(estimator: Estimator, logit: float, f: Callable[[Tensor], Tensor], t: float) -> float:
    """The mean gradient of one bit, without a random number."""
    drawn = grid()[None, :, None]
    logits = torch.full((drawn.shape[1], 1), logit, dtype=FLOAT, requires_grad=True)
    surrogate = estimator(BernoulliLatent(1), logits, drawn, f, t)
    return float(torch.autograd.grad(surrogate.sum(), logits)[0].mean())


def by_quadrature(slope: Callable[[float, float], float], logit: float, t: float) -> float:
    """The integral of f'(.) x (1 - x) / t over logistic noise, by scipy; slope is told x and the hard bit."""

    def integrand(e: float) -> float:
        x = 1 / (1 + torch.tensor(-(logit + e) / t, dtype=FLOAT).exp().item())
        density = torch.tensor(e, dtype=FLOAT).sigmoid().item()
        return slope(x, float(logit + e > 0)) * x * (1 - x) / t * density * (1 - density)

    parts = [integrate.quad(integrand, *ends, limit=400)[0] for ends in ((-60, -logit), (-logit, 60))]
    return sum(parts)


@pytest.mark.parametrize("t", [0.2, 1.0, 2.0])
@pytest.mark.parametrize("logit", [0.4, -1.3])
def test_the_bias_of_the_relaxed_gradients_is_what_quadrature_says(logit: float, t: float) -> None:
    """f(z) = z^3: the relaxed gradient has f' at the soft bit, straight-through at the hard one."""

    def f(z: Tensor) -> Tensor:
        return z.pow(3).sum(-1)

    theta = torch.tensor(logit, dtype=FLOAT).sigmoid().item()
    exact = theta * (1 - theta)  # times f(1) - f(0) = 1
    relaxed = by_quadrature(lambda x, bit: 3 * x**2, logit, t)
    hard = by_quadrature(lambda x, bit: 3 * bit**2, logit, t)
    assert abs(mean_gradient(gumbel_softmax, logit, f, t) - relaxed) < 1e-5
    assert abs(mean_gradient(straight_through_gumbel_softmax, logit, f, t) - hard) < 1e-5
    assert abs(hard - exact) > 0.01 and abs(relaxed - exact) > 1e-3  # neither is the gradient


@pytest.mark.parametrize("logit", [0.0, -1.3])
def test_the_bias_of_straight_through_and_reinmax_on_a_cube_is_what_algebra_says(logit: float) -> None:
    """f(z) = z^3: f' is 0 at 0 and 3 at 1, so ST has the mean theta * 3 theta (1 - theta)."""

    def f(z: Tensor) -> Tensor:
        return z.pow(3).sum(-1)

    theta = torch.tensor(logit, dtype=FLOAT).sigmoid().item()
    slope = theta * (1 - theta)
    assert abs(mean_gradient(straight_through, logit, f, 1.0) - 3 * theta * slope) < 1e-4
    after = (1 + theta) / 2  # pi_1 where the bit is 1
    expected = 3 * theta * (2 * after * (1 - after) - slope / 2)
    assert abs(mean_gradient(reinmax, logit, f, 1.0) - expected) < 1e-4


def test_for_a_linear_f_relaxed_and_straight_through_are_one() -> None:
    one = PROBLEMS["bits-neural"]
    linear = Problem(one.latent, one.logits, lambda z: z @ torch.tensor([1.0, -2.0, 0.5], dtype=FLOAT))
    soft, hard = (
        torch.cat(estimates(linear, estimator, 1, 1000, 0.4))
        for estimator in (gumbel_softmax, straight_through_gumbel_softmax)
    )
    torch.testing.assert_close(soft, hard)


def test_a_bit_is_a_variable_with_two_categories() -> None:
    """Every relaxed estimator: on K = 2 with the logit's difference, the gradient is that of the bit."""
    bit, pair = BernoulliLatent(1), CategoricalLatent(1, 2)
    gumbel = noise.gumbel((3, 5, 1, 2), generator=torch.Generator().manual_seed(0), dtype=FLOAT)
    logits = torch.linspace(-2, 2, 5, dtype=FLOAT)[:, None]
    for estimator in (straight_through, gumbel_softmax, straight_through_gumbel_softmax, reinmax):
        one, two = logits.clone().requires_grad_(), torch.cat([logits, 0 * logits], -1).requires_grad_()
        of_bit = estimator(bit, one, gumbel[..., 0] - gumbel[..., 1], lambda z: z.pow(3).sum(-1), 0.7)
        of_pair = estimator(pair, two, gumbel, lambda z: z[..., 0, 0].pow(3), 0.7)
        (first,), (second,) = torch.autograd.grad(of_bit.sum(), one), torch.autograd.grad(of_pair.sum(), two)
        torch.testing.assert_close(first[:, 0], second[:, 0])
        torch.testing.assert_close(second[:, 1], -second[:, 0])


@pytest.mark.parametrize("dtype, temperature", [(torch.float16, 1e-4), (torch.bfloat16, 1e-6)], ids=str)
@pytest.mark.parametrize("latent", [BernoulliLatent(4), CategoricalLatent(2, 5)], ids=str)
@pytest.mark.parametrize("estimator", SOFT, ids=lambda f: f.__name__)
def test_half_precision_is_finite_at_low_temperatures(
    estimator: Estimator, latent: Latent, dtype: torch.dtype, temperature: float
) -> None:
    """A perturbed logit of 7 at temperature 1e-4 is 70,000, which float16 cannot hold."""
    generator = torch.Generator().manual_seed(0)
    logits = (5 * torch.randn(2000, latent.num_parameters, generator=generator)).to(dtype).requires_grad_()
    eps = latent.noise(logits, 2, generator=generator)
    weights = torch.arange(latent.num_features).to(dtype)
    found = estimator(
        latent, logits, eps, lambda z: (z.flatten(-len(latent.event_shape)) * weights).sum(-1), temperature
    )
    assert found.isfinite().all()
    assert torch.autograd.grad(found.sum(), logits)[0].isfinite().all()


def test_reinmax_goes_halfway_at_any_temperature() -> None:
    """float16 cannot hold ln 0.3 / 1e-6: what is left of the likeliest category is still probability 1."""
    latent, logits = (
        CategoricalLatent(1, 2),
        torch.tensor([[0.0, 1.0]], dtype=torch.float16, requires_grad=True),
    )
    eps = torch.tensor([[[[9.0, 0.0]]]], dtype=torch.float16)  # draws the first, the second is likelier
    reinmax(latent, logits, eps, lambda z: z[..., 0, 0], 1e-6).sum().backward()
    p = torch.tensor([0.0, 1.0]).softmax(-1).prod()
    expected = float(2 * 0.25 - 0.5 * p)  # pi_1 = (1/2, 1/2)
    torch.testing.assert_close(logits.grad, torch.tensor([[expected, -expected]], dtype=torch.float16))
