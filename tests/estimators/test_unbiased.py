"""Every unbiased estimator: its mean is the exact gradient, at a million draws."""

import alarms
import pytest
import torch
from problems import PROBLEMS, Problem, compare, estimates, kind
from torch import nn

from catvae_lib import network
from catvae_lib.estimators import CATALOGUE, NVIL, RELAX, Estimator, exact, exact_multi_sample
from catvae_lib.latent import Latent

# The large problem at a million draws takes minutes: `tests/benchmarks/estimators.py bias` does it.
MILLION, N, N_LARGE = ("bits-neural", "small-neural"), 100_000, 30_000
REACH = {1_000_000: 0.011, N: 0.042, N_LARGE: 0.17}  # standard deviations of one estimate
UNBIASED = [name for name, entry in CATALOGUE.items() if entry.unbiased.startswith("every")]


def made(name: str, latent: Latent) -> Estimator:
    """The estimator in float64; those that learn, with a small network."""
    inputs = latent.num_parameters
    if name == "nvil":
        return NVIL(network.mlp(inputs, [8], 1)).double()
    if name == "relax":
        return RELAX(network.mlp(inputs, [8], 1, activation="tanh"), learning_rate=0.05).double()
    estimator = CATALOGUE[name].make(latent)
    return estimator.double() if isinstance(estimator, nn.Module) else estimator


def cases() -> list[tuple[str, str]]:
    """All pairs of a problem and an estimator that is defined for its codes."""
    return [
        (problem, name)
        for problem in PROBLEMS
        for name in UNBIASED
        if name != "exact" and kind(PROBLEMS[problem]) in CATALOGUE[name].codes
    ]


@pytest.mark.parametrize("problem", list(PROBLEMS))
def test_enumeration_agrees_with_a_loop_over_codes(problem: str) -> None:
    one = PROBLEMS[problem]
    torch.testing.assert_close(one.exact_gradient(), one.enumerated_by_hand(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("problem", "name"), cases())
def test_the_mean_is_the_exact_gradient(problem: str, name: str) -> None:
    """With probability 0.999 it finds a bias of `reach`, at most that of REACH.

    It is largest on the large problem, whose estimates are so skewed that a normal limit would not hold.
    """
    one, entry = PROBLEMS[problem], CATALOGUE[name]
    draws = {"single": min(entry.draws, 4), "multi": 2}[entry.objective]
    n = 1_000_000 if problem in MILLION else N_LARGE if problem == "large-neural" else N
    expected = one.exact_gradient(draws if entry.objective == "multi" else None)
    found = compare(estimates(one, made(name, one.latent), draws, n, temperature=0.5), expected)
    assert found.reach <= REACH[n] * max(1e-6, found.variance**0.5), found
    assert not found.rejected, found


@pytest.mark.parametrize("name", ["muprop", "local_expectation"])
@pytest.mark.parametrize("t", [0.2, 0.45, 0.9])
def test_where_f_is_a_sum_over_bits_every_single_draw_is_exact(name: str, t: float) -> None:
    """(b - t)^2 has two values a bit, so it is linear in bits; MuProp sees its slope at the mean."""
    one = PROBLEMS[f"distance-{t}"]
    if name == "muprop":  # which needs the linear function itself: (1 - 2 t) b + t^2
        one = Problem(one.latent, one.logits, lambda z: ((1 - 2 * t) * z + t * t).sum(-1))
    (found,) = estimates(one, made(name, one.latent), 1, 50)
    torch.testing.assert_close(found, one.exact_gradient().expand(50, -1), rtol=1e-12, atol=1e-12)


def test_where_f_is_a_sum_over_variables_every_single_local_expectation_is_exact() -> None:
    weights = torch.linspace(-1, 2, 6, dtype=torch.float64)
    one = PROBLEMS["small-neural"]
    one = Problem(one.latent, one.logits, lambda z: z.flatten(-2) @ weights)
    (found,) = estimates(one, made("local_expectation", one.latent), 1, 50)
    torch.testing.assert_close(found, one.exact_gradient().expand(50, -1), rtol=1e-12, atol=1e-12)


def test_the_multi_sample_objective_of_one_sample_is_the_expectation() -> None:
    one = PROBLEMS["small-neural"]
    by_tuples = exact_multi_sample(one.latent, one.logits, one.f, 1)
    torch.testing.assert_close(by_tuples, exact(one.latent, one.logits, None, one.f))


def test_the_multi_sample_objective_agrees_with_a_loop_over_pairs() -> None:
    one = PROBLEMS["bits-neural"]
    theta = one.logits[0].sigmoid()
    codes = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=theta.dtype)] * 3)
    q = (theta * codes + (1 - theta) * (1 - codes)).prod(-1)
    f = one.f(codes)
    pairs = [q[i] * q[j] * ((f[i].exp() + f[j].exp()) / 2).log() for i in range(8) for j in range(8)]
    found = exact_multi_sample(one.latent, one.logits, one.f, 2)
    torch.testing.assert_close(found, torch.stack(pairs).sum()[None])


def test_three_samples_are_enumerated_too() -> None:
    one = PROBLEMS["bits-neural"]
    generator = torch.Generator().manual_seed(0)
    z = one.latent.hard(one.logits, one.latent.noise(one.logits.expand(400_000, -1), 3, generator=generator))
    sampled = torch.logsumexp(one.f(z), 0) - torch.tensor(3.0).log()
    found = exact_multi_sample(one.latent, one.logits, one.f, 3)
    assert abs(float(sampled.mean() - found)) < alarms.empirical(sampled) < 0.02  # so 0.03 is found
