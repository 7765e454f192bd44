"""The relaxed distributions at work in Pyro: guides whose answers are known exactly."""

from collections.abc import Callable

import pyro
import pytest
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from pyro.infer import SVI, Trace_ELBO, TraceMeanField_ELBO
from pyro.optim import ExponentialLR
from torch import Tensor
from torch.distributions.kl import kl_divergence

from catvae_lib import distributions as relaxed

COPIES = 16  # independent ones of the same bits
BIT_PRIOR = torch.tensor([0.5, -1.0, 60.0], dtype=torch.float64)  # the last bit saturates in every draw
CATEGORY_PRIOR = torch.tensor([0.0, 1.0, -1.0], dtype=torch.float64)
TABLE = torch.tensor([[-3.0, -0.5], [-0.7, -2.0], [-1.0, -0.1]], dtype=torch.float64)  # ln p(data | k)


class RelaxedBernoulli(relaxed.RelaxedBernoulli, TorchDistributionMixin):
    """What Pyro documents for a distribution from elsewhere: mix in its methods."""


class RelaxedOneHotCategorical(relaxed.RelaxedOneHotCategorical, TorchDistributionMixin):
    pass


def fit(model: Callable[[], object], guide: Callable[[], object], loss: Trace_ELBO, steps: int) -> None:
    """Adam with a falling rate, from one seed."""
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    arguments = {"optimizer": torch.optim.Adam, "optim_args": {"lr": 0.1}, "gamma": 0.01 ** (1 / steps)}
    optimizer = ExponentialLR(arguments)
    svi = SVI(model, guide, optimizer, loss)
    for _ in range(steps):
        svi.step()
        optimizer.step()


@pytest.mark.parametrize("elbo", [Trace_ELBO, TraceMeanField_ELBO])
def test_a_guide_of_bits_finds_the_posterior(elbo: type[Trace_ELBO]) -> None:
    """Data that multiply the density of the noise's location leave a relaxed bit: the guide can be exact.

    The likelihood is the ratio of the densities with logits a + b and a, so that the posterior has logit
    a + b and the evidence is 1.
    """
    shift = torch.tensor([1.5, -2.0, -2.0], dtype=torch.float64)

    def model() -> None:
        prior = RelaxedBernoulli(1.0, logits=BIT_PRIOR).expand_by([COPIES]).to_event(2)
        x = pyro.sample("x", prior)
        y = prior.base_dist.transforms[0].inv(x)
        posterior = relaxed.LogitRelaxedBernoulli(1.0, logits=BIT_PRIOR + shift)
        before = relaxed.LogitRelaxedBernoulli(1.0, logits=BIT_PRIOR)
        pyro.factor("data", (posterior.log_prob(y) - before.log_prob(y)).sum())

    def guide() -> None:
        logits = pyro.param("logits", BIT_PRIOR.clone())
        x = pyro.sample("x", RelaxedBernoulli(1.0, logits=logits).expand_by([COPIES]).to_event(2))
        assert bool((x[:, 2] == 1).all())

    fit(model, guide, elbo(), steps=300)
    torch.testing.assert_close(pyro.param("logits"), BIT_PRIOR + shift, rtol=0, atol=0.15)
    assert abs(Trace_ELBO(num_particles=20).loss(model, guide)) / COPIES < 0.02


def test_a_guide_of_one_hot_vectors_finds_the_enumerated_posterior() -> None:
    """Jang et al.'s objective: the likelihood at cold relaxed samples, and the categories' KL divergence."""
    prior, log_likelihood = torch.log_softmax(CATEGORY_PRIOR, -1), TABLE.sum(-1)
    exact = torch.log_softmax(prior + log_likelihood, -1)

    def sample() -> Tensor:
        logits = pyro.param("logits", torch.zeros(3, dtype=torch.float64))
        many = RelaxedOneHotCategorical(0.2, logits=logits).expand_by([50])
        return pyro.sample("x", many.to_event(1).mask(False))  # the KL divergence below replaces its density

    def model() -> None:
        x = sample()
        posterior = pyro.param("logits").log_softmax(-1)
        kl = (posterior.exp() * (posterior - prior)).sum()
        pyro.factor("elbo", (x @ log_likelihood).mean() - kl)

    fit(model, sample, Trace_ELBO(), steps=300)
    torch.testing.assert_close(pyro.param("logits").softmax(-1), exact.exp(), rtol=0, atol=0.03)
    evidence = torch.logsumexp(prior + log_likelihood, -1)
    assert abs(Trace_ELBO(num_particles=50).loss(model, sample) + evidence) < 0.1


def test_pyros_own_methods_work() -> None:
    bits = RelaxedBernoulli(0.5, logits=torch.zeros(3, dtype=torch.float64))
    x = bits()
    assert x.shape == bits.shape() == (3,) and not bits.has_enumerate_support
    wider = bits.expand_by([4])
    assert isinstance(wider, RelaxedBernoulli) and wider.batch_shape == (4, 3)
    torch.testing.assert_close(bits.to_event(1).log_prob(x), bits.log_prob(x).sum())
    mask = torch.tensor([True, False, True])
    torch.testing.assert_close(bits.mask(mask).log_prob(x), bits.log_prob(x) * mask)
    other = RelaxedBernoulli(0.5, logits=torch.ones(3, dtype=torch.float64))
    expected = kl_divergence(relaxed.RelaxedBernoulli(0.5, logits=bits.logits), other)
    torch.testing.assert_close(kl_divergence(bits, other), expected)
