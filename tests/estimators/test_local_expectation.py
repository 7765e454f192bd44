"""The local expectation gradient against the exact one, every code enumerated."""

from collections.abc import Callable

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from catvae_lib import density, network, noise
from catvae_lib.estimators.local_expectation import local_expectation
from catvae_lib.latent import BernoulliLatent, CategoricalLatent
from catvae_lib.vae import VAE

LOGITS = torch.tensor([[0.3, -1.2, 2.0]], dtype=torch.float64)
FALSE_ALARM = 1e-6  # of each statistical test, shared among its three bits


def exact_gradient(f: Callable[[Tensor], Tensor], logits: Tensor) -> Tensor:
    """d/dlogits of sum_z q(z) f(z), over all 2^Q codes."""
    logits = logits.clone().requires_grad_()
    codes = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=logits.dtype)] * logits.shape[-1])
    weight = density.bernoulli_log_prob(codes, logits).sum(-1).exp()
    (gradient,) = torch.autograd.grad((weight * f(codes)).sum(), logits)
    return gradient[0]


def each_draw(f: Callable[[Tensor], Tensor], draws: int) -> Tensor:
    """The estimate from each of many draws, (draws, Q): every row of a batch is one draw."""
    logits = LOGITS.repeat(draws, 1).requires_grad_()
    drawn = noise.logistic((1, draws, 3), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    (gradient,) = torch.autograd.grad(local_expectation(logits, drawn, f).sum(), logits)
    return gradient


@pytest.mark.parametrize("t", [0.2, 0.45, 0.9])
def test_of_a_sum_over_bits_every_single_draw_is_exact(t: float) -> None:
    def f(z: Tensor) -> Tensor:
        return (z - t).square().sum(-1)

    expected = exact_gradient(f, LOGITS)
    torch.testing.assert_close(each_draw(f, 50), expected.expand(50, 3), rtol=1e-12, atol=1e-12)


def quadratic(z: Tensor) -> Tensor:
    matrix = torch.tensor([[1.0, -3.0, 0.5], [0.0, 2.0, 4.0], [0.0, 0.0, -1.0]], dtype=z.dtype)
    return ((z @ matrix) * z).sum(-1)


torch.manual_seed(3)
NEURAL = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(-2)).double()


@pytest.mark.parametrize("f", [quadratic, NEURAL], ids=["quadratic", "neural"])
def test_the_mean_is_the_exact_gradient(f: Callable[[Tensor], Tensor]) -> None:
    """A million draws; a bias above 8 standard errors (at most 0.005 here) is found with power 0.999."""
    estimates = each_draw(f, 1_000_000)
    error = estimates.std(0) / 1000
    assert float(error.max()) < 0.001
    z = (estimates.mean(0) - exact_gradient(f, LOGITS)) / error
    assert float(z.abs().max()) < stats.norm.isf(FALSE_ALARM / 3 / 2)


def test_value_and_gradient_of_the_function_s_own_weights_are_those_at_the_drawn_code() -> None:
    weight = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64, requires_grad=True)
    drawn = noise.logistic((4, 1, 3), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    value = local_expectation(LOGITS, drawn, lambda z: z @ weight)
    z = (LOGITS + drawn > 0).double()
    assert torch.equal(value, z @ weight)
    (gradient,) = torch.autograd.grad(value.sum(), weight)
    torch.testing.assert_close(gradient, z.sum((0, 1)))


def test_in_the_loss_of_a_vae_it_has_the_gradient_of_the_exact_elbo() -> None:
    """Encoder and decoder of a two-bit VAE; 20,000 draws for one image, five standard errors."""
    torch.manual_seed(0)
    vae = VAE(network.linear(4, 2), BernoulliLatent(2), network.linear(2, 4)).double()
    x = torch.tensor([[1.0, 0.0, 1.0, 1.0]], dtype=torch.float64)
    codes = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 2)[:, None]  # (4, 1, 2)
    params = vae.encode(x)
    q = vae.latent.log_prob(codes, params).exp()
    exact = -(q * (vae.log_weight(x, codes, params))).sum()
    expected = torch.autograd.grad(exact, list(vae.parameters()))
    estimates = []
    for seed in range(20):
        drawn = vae.noise(x, 1000, generator=torch.Generator().manual_seed(seed))
        loss = vae.loss(x, drawn, sample="local_expectation").total.sum()
        estimates.append(torch.autograd.grad(loss, list(vae.parameters())))
    for name, wanted in enumerate(expected):
        found = torch.stack([estimate[name] for estimate in estimates])
        error = found.std(0) / 20**0.5
        assert bool(((found.mean(0) - wanted).abs() <= 6 * error + 1e-9).all())


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r"logits must have shape \(B, Q\) and logistic_noise \(S, B, Q\)"):
        local_expectation(torch.zeros(1, 2), torch.zeros(1, 2), lambda z: z.sum(-1))
    categorical = CategoricalLatent(1, 3)
    vae = VAE(network.linear(4, 3), categorical, network.linear(3, 4))
    x = torch.zeros(1, 4)
    with pytest.raises(ValueError, match=r"sample 'local_expectation' needs a BernoulliLatent, got Categ"):
        vae.loss(x, vae.noise(x), sample="local_expectation")
