"""Chains of stochastic layers against enumeration of all their codes."""

import math
from dataclasses import replace
from itertools import pairwise

import alarms
import pytest
import torch
from torch import Tensor

from catvae_lib import data, density, network, sampling
from catvae_lib._loop import shuffled
from catvae_lib.chain import Chain
from catvae_lib.estimators import all_codes
from catvae_lib.latent import BernoulliLatent, CategoricalLatent, GaussianLatent, Latent
from catvae_lib.training import TrainConfig, fit, fit_many
from catvae_lib.vae import VAE


def bits_chain() -> Chain:
    torch.manual_seed(3)
    sizes = [3, 1, 2]  # a mistake in a layer's place makes a wrong shape
    nets = [(network.linear(a, b), network.linear(b, a)) for a, b in pairwise(sizes)]
    return spread(Chain([BernoulliLatent(n) for n in sizes], [d for d, _ in nets], [u for _, u in nets]))


def categories_chain() -> Chain:
    torch.manual_seed(4)
    one, two = CategoricalLatent(2, 3), CategoricalLatent(1, 3)
    return spread(Chain([one, two], [network.linear(6, 3)], [network.linear(3, 6)]))


def spread(chain: Chain) -> Chain:
    """Weights and biases far from 0, in float64, so that no layer is nearly uniform."""
    for weight in chain.parameters():
        weight.data.normal_(0, 1.5, generator=torch.Generator().manual_seed(weight.numel()))
    return chain.double()


def codes(chain: Chain) -> Tensor:
    """Every code once, (C, *event_shape)."""
    if isinstance(chain.layers[0], BernoulliLatent):
        return all_codes(BernoulliLatent(chain.event_shape[0]), dtype=torch.float64)
    return all_codes(CategoricalLatent(*chain.event_shape), dtype=torch.float64)


def params(chain: Chain, rows: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(rows, chain.num_parameters, generator=generator, dtype=torch.float64)


CHAINS = [bits_chain, categories_chain]


@pytest.mark.parametrize("make", CHAINS)
def test_both_models_are_distributions(make: type) -> None:
    chain = make()
    z = codes(chain).unsqueeze(1).expand(-1, 2, *chain.event_shape)  # (C, B, ...)
    ones = torch.ones(2, dtype=torch.float64)
    torch.testing.assert_close(chain.log_prob(z, params(chain)).exp().sum(0), ones)
    torch.testing.assert_close(chain.prior_log_prob(z).exp().sum(0), ones)


@pytest.mark.parametrize("make", CHAINS)
def test_codes_have_the_frequencies_of_their_probabilities(make: type) -> None:
    """Exact binomial tests of at most 64 codes, 40,000 draws: finds an error of 0.013 in a probability."""
    chain, draws = make(), 40_000
    generator, own = torch.Generator().manual_seed(5), params(chain, 1)
    every = codes(chain)
    noise = chain.noise(own, draws, generator=generator)
    for found, log_p in (
        (chain.hard(own, noise)[:, 0], chain.log_prob(every.unsqueeze(1), own)[:, 0]),
        (chain.sample_prior(draws, generator=generator), chain.prior_log_prob(every.unsqueeze(1))[:, 0]),
    ):
        match = found.flatten(1) @ every.flatten(1).T + (1 - found.flatten(1)) @ (1 - every.flatten(1)).T
        assert alarms.fits(
            torch.bincount(match.argmax(1), minlength=len(every)).tolist(), log_p.exp().tolist()
        )


@pytest.mark.parametrize("make", CHAINS)
def test_the_bound_reaches_the_enumerated_likelihood(make: type) -> None:
    """Finds an error of 0.07 nats."""
    chain = make()
    for weight in chain.recognition.parameters():
        weight.data.mul_(0.5)  # nearer to the posterior, so that no weight is a large part of its mean
    torch.manual_seed(0)
    decoder = network.linear(chain.num_features, 4).double()
    vae = VAE(network.linear(4, chain.num_parameters).double(), chain, decoder)
    x = torch.tensor([[1.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.0]], dtype=torch.float64)
    z = codes(chain).unsqueeze(1).expand(-1, 2, *chain.event_shape)
    own = vae.encode(x)
    log_p = torch.logsumexp(vae.log_weight(x, z, own) + chain.log_prob(z, own), 0)
    bound = vae.bound(x, 200_000, generator=torch.Generator().manual_seed(1))
    limit = limit_of_the_mean_weight(vae.log_weight(x, z, own) - log_p, chain.log_prob(z, own), 200_000)
    assert bool(((bound - log_p).expm1().abs() < limit).all()) and float(limit.max()) < 0.05
    assert (log_p - vae.bound(x, 1, generator=torch.Generator().manual_seed(1)) > 0.05).any()


def limit_of_the_mean_weight(log_weight: Tensor, log_q: Tensor, n: int) -> Tensor:
    """Bernstein's bound for the mean of n weights, (C, B) in parts of p(x), and so of mean 1."""
    weight = log_weight.exp().detach()
    variance = (log_q.exp() * (weight - 1).square()).sum(0).detach()
    return alarms.bernstein(variance, weight.amax(0) - weight.amin(0), n)


def test_relaxed_codes_are_scored_by_their_layers_concrete_densities() -> None:
    chain = Chain(
        [BernoulliLatent(2), BernoulliLatent(1)], [network.linear(2, 1)], [network.linear(1, 2)]
    ).double()
    own = torch.tensor([[0.3, -1.0]], dtype=torch.float64)
    noise = torch.tensor([[[0.5, 1.5, -0.7]]], dtype=torch.float64)
    y1 = (own + noise[..., :2]) / 0.6
    z1 = torch.sigmoid(y1)
    own2 = chain.recognition[0](z1)
    y2 = (own2 + noise[..., 2:]) / 0.6
    z2 = torch.sigmoid(y2)

    def log_density(y: Tensor, logits: Tensor, temperature: float) -> Tensor:
        return density.binary_concrete_log_density(y, logits, temperature).sum(-1)

    log_q = log_density(y1, own, 0.6) + log_density(y2, own2, 0.6)
    log_p = log_density(y1, chain.generation[0](z2), 0.4) + log_density(y2, torch.zeros_like(own2), 0.4)
    torch.testing.assert_close(chain.relaxed(own, noise, 0.6), torch.cat([z1, z2], -1))
    torch.testing.assert_close(chain.relaxed_log_ratio(own, noise, 0.6, 0.4), log_q - log_p)


def test_the_ratio_of_three_layers_is_the_sum_over_the_layers() -> None:
    chain, own = bits_chain(), params(bits_chain())
    noise = chain.noise(own, 2, generator=torch.Generator().manual_seed(10))
    parts = chain.split("z", chain.relaxed(own, noise, 0.6))
    every = [own, *(net(part) for net, part in zip(chain.recognition, parts[:-1], strict=True))]
    priors = [net(part) for net, part in zip(chain.generation, parts[1:], strict=True)]
    total = torch.zeros(2, 2, dtype=torch.float64)
    for part, q, p in zip(parts, every, [*priors, torch.zeros_like(every[-1])], strict=True):
        for logits, temperature, sign in ((q, 0.6, 1), (p, 0.4, -1)):
            each = density.binary_concrete_log_density(part.logit(), logits, temperature)
            total = total + sign * each.sum(-1)
    torch.testing.assert_close(chain.relaxed_log_ratio(own, noise, 0.6, 0.4), total)


def test_straight_through_goes_through_every_layer() -> None:
    chain = bits_chain()
    own, noise = params(chain).requires_grad_(), chain.noise(params(chain), 1)
    z = chain.straight_through(own, noise, 0.5)
    torch.testing.assert_close(z, chain.hard(own, noise), atol=1e-12, rtol=0)
    (slope,) = torch.autograd.grad(z[..., -2:].sum(), own, retain_graph=True)
    assert slope.abs().min() > 0
    first, *_ = chain.split("z", z)
    expected = sampling.straight_through(first.detach(), torch.sigmoid((own + noise[..., :3]) / 0.5))
    slopes = [torch.autograd.grad(each.sum(), own)[0] for each in (first, expected)]
    torch.testing.assert_close(*slopes)


@pytest.mark.parametrize("make", CHAINS)
@pytest.mark.parametrize("leading", [(2,), (2, 3)], ids=str)
def test_noise_is_that_of_the_layers_one_after_the_other(make: type, leading: tuple[int, ...]) -> None:
    chain = make()
    own = torch.zeros(*leading, chain.num_parameters, dtype=torch.float64)
    found = chain.noise(own, 5, generator=torch.Generator().manual_seed(6))
    assert found.shape == (5, *leading, *chain.event_shape)
    generator = torch.Generator().manual_seed(6)
    for layer, part in zip(chain.layers, chain.split("noise", found), strict=True):
        params_of_layer = torch.zeros(*leading, layer.num_parameters, dtype=torch.float64)
        assert torch.equal(part, layer.noise(params_of_layer, 5, generator=generator))


@pytest.mark.parametrize("make", CHAINS)
def test_codes_of_the_prior_are_drawn_from_the_last_layer_to_the_first(make: type) -> None:
    chain, generator = make(), torch.Generator().manual_seed(7)
    found = chain.sample_prior(4, generator=torch.Generator().manual_seed(7))
    parts = [chain.layers[-1].sample_prior(4, generator=generator).double()]
    for layer, net in zip(chain.layers[-2::-1], list(chain.generation)[::-1], strict=True):
        own = net(parts[0].flatten(1))
        parts.insert(0, layer.hard(own, layer.noise(own, 1, generator=generator))[0])
    assert torch.equal(found, torch.cat(parts, 1))


def test_no_draw_is_none_and_what_is_wrong_is_named() -> None:
    chain = bits_chain()
    own = params(chain)
    assert chain.noise(own, 0).shape == (0, 2, 6) and chain.sample_prior(0).shape == (0, 6)
    with pytest.raises(ValueError, match=r"^number must be .*1, got 2"):
        chain.following(2, torch.zeros(2, 2, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"^codes must have shape \(\.\.\., 6\), got \(2, 5\)"):
        chain.split("codes", torch.zeros(2, 5))
    with pytest.raises(TypeError, match=r"^recognition\b"):
        Chain([BernoulliLatent(2)] * 2, [3])  # type: ignore[list-item]


def test_a_chain_of_networks_without_weights_has_a_prior_too() -> None:
    chain = Chain([BernoulliLatent(2)] * 2, [torch.nn.Identity()], [torch.nn.Identity()])
    assert chain.sample_prior(3).shape == (3, 4)


def test_the_layers_after_the_first_are_a_latent_of_their_own() -> None:
    chain = bits_chain()
    own = params(chain)
    noise = chain.noise(own, 3, generator=torch.Generator().manual_seed(8))
    z, rest = chain.hard(own, noise), chain.rest()
    first = chain.split("z", z)[0]
    assert isinstance(rest, Chain) and rest.layers == chain.layers[1:] and not rest.generation
    found = rest.hard(chain.following(0, first)[0], noise[:1, ..., 3:])
    assert torch.equal(found, z[:1, ..., 3:])
    assert rest.rest() is chain.layers[-1]


def test_the_temperature_is_1_where_none_is_given() -> None:
    chain = bits_chain()
    own = params(chain).requires_grad_()
    noise = chain.noise(own, 3, generator=torch.Generator().manual_seed(9))
    for draw in (chain.relaxed, chain.straight_through):
        slopes = [torch.autograd.grad(draw(own, noise, *t).square().sum(), own)[0] for t in ((), (1.0,))]
        assert torch.equal(*slopes)
    assert torch.equal(chain.relaxed(own, noise), chain.relaxed(own, noise, 1.0))


def test_the_mode_takes_the_most_probable_code_of_each_layer() -> None:
    chain = bits_chain()
    own = params(chain)
    first, second, third = chain.split("z", chain.mode(own))
    assert torch.equal(first, (own > 0).double())
    assert torch.equal(second, (chain.recognition[0](first) > 0).double())
    assert torch.equal(third, (chain.recognition[1](second) > 0).double())


@pytest.mark.parametrize(
    ("layers", "recognition", "generation", "message"),
    [
        ([BernoulliLatent(2)], 0, 0, "layers must hold two or more, got 1"),
        ([BernoulliLatent(2), CategoricalLatent(1, 2)], 1, 1, "layers must all be bits or share"),
        ([CategoricalLatent(1, 2), CategoricalLatent(1, 3)], 1, 1, "layers must all be bits or share"),
        ([GaussianLatent(2), GaussianLatent(2)], 1, 1, "layers must all be bits or share"),
        ([BernoulliLatent(2), GaussianLatent(2)], 1, 1, "layers must all be bits or share"),
        ([BernoulliLatent(2), BernoulliLatent(2)], 2, 1, "must hold 1 networks, got 2 and 1"),
        ([BernoulliLatent(2), BernoulliLatent(2)], 1, 2, "must hold 1 networks, got 1 and 2"),
    ],
)
def test_layers_that_do_not_fit_are_refused(
    layers: list[Latent], recognition: int, generation: int, message: str
) -> None:
    def nets(count: int) -> list[torch.nn.Module]:
        return [network.linear(2, 2) for _ in range(count)]

    with pytest.raises(ValueError, match=message):
        Chain(layers, nets(recognition), nets(generation))


def test_what_a_chain_cannot_do_is_told() -> None:
    chain = Chain([BernoulliLatent(2), BernoulliLatent(2)], [network.linear(2, 2)])
    with pytest.raises(ValueError, match="its KL has no closed form"):
        chain.kl(torch.zeros(1, 2))
    with pytest.raises(ValueError, match="generation must hold networks"):
        chain.sample_prior(3)
    with pytest.raises(ValueError, match="noise must have shape"):
        chain.hard(torch.zeros(1, 2), torch.zeros(1, 1, 3))
    vae = VAE(network.linear(4, 2), chain, network.linear(4, 4))
    with pytest.raises(ValueError, match="its KL has no closed form"):
        vae.loss(torch.zeros(1, 4), vae.noise(torch.zeros(1, 4)))


def test_structured_prediction_scores_the_pixels_that_the_decoder_predicts() -> None:
    chain = Chain([BernoulliLatent(2), BernoulliLatent(2)], [network.linear(2, 2)])
    encoder = torch.nn.Sequential(network.Features(0, 3), network.linear(3, 2))
    decoder = torch.nn.Sequential(network.Features(2, 4), network.linear(2, 3))
    vae = VAE(encoder, chain, decoder, prior="encoder").double()
    x = torch.tensor([[1.0, 0.0, 1.0, 0.0, 1.0, 1.0]], dtype=torch.float64)
    z = codes_of_four().unsqueeze(1)  # (16, 1, 4)
    logits = decoder(z)
    expected = torch.distributions.Bernoulli(logits=logits).log_prob(x[:, 3:]).sum(-1)
    own = vae.encode(x)
    torch.testing.assert_close(vae.log_weight(x, z, own), expected)
    log_p = torch.logsumexp(expected + chain.log_prob(z, own), 0)
    bound = vae.bound(x, 100_000, generator=torch.Generator().manual_seed(0))
    limit = limit_of_the_mean_weight(expected - log_p, chain.log_prob(z, own), 100_000)
    assert bool(((bound - log_p).expm1().abs() < limit).all()) and float(limit.max()) < 0.005
    other = x.clone()
    other[:, 3:] = 1 - other[:, 3:]
    assert torch.equal(vae.encode(other), own)
    with pytest.raises(ValueError, match="prior must be one of"):
        vae.generate(2)
    terms = vae.loss(x, vae.noise(x))
    assert terms.kl.tolist() == [0.0] and torch.equal(terms.total, terms.reconstruction)


def codes_of_four() -> Tensor:
    return all_codes(BernoulliLatent(4), dtype=torch.float64)


@pytest.mark.parametrize("latent", [BernoulliLatent(3), CategoricalLatent(2, 3)])
def test_the_multi_sample_objective_of_relaxed_codes_is_the_log_of_their_mean_weight(latent: Latent) -> None:
    torch.manual_seed(1)
    vae = VAE(
        network.linear(4, latent.num_parameters), latent, network.linear(latent.num_features, 4)
    ).double()
    x = torch.tensor([[1.0, 0.0, 1.0, 1.0]], dtype=torch.float64)
    noise = vae.noise(x, 7)
    each = [
        vae.loss(x, one.unsqueeze(0), 0.6, kl="concrete", prior_temperature=0.4).total.item() for one in noise
    ]
    expected = -math.log(sum(math.exp(-loss) for loss in each) / 7)
    found = vae.loss(x, noise, 0.6, kl="concrete", prior_temperature=0.4, multi_sample=True)
    assert found.total.item() == pytest.approx(expected, rel=1e-12)
    assert (found.reconstruction + found.kl).item() == pytest.approx(expected, rel=1e-12)
    with pytest.raises(ValueError, match="multi_sample needs"):
        vae.loss(x, noise, 0.6, multi_sample=True)


def test_a_step_moves_a_running_mean_once_and_a_pure_step_refuses_it() -> None:
    images = torch.randint(2, (8, 6), generator=torch.Generator().manual_seed(0)).float()
    split = data.Split(images, torch.zeros(8, dtype=torch.int64))
    eight = data.Dataset("eight", (2, 3), split, split, split)

    def model() -> tuple[VAE, network.Centred]:
        torch.manual_seed(0)
        centred = network.Centred(torch.zeros(2))
        down = torch.nn.Sequential(centred, network.linear(2, 2))
        chain = Chain([BernoulliLatent(2)] * 2, [down], [network.linear(2, 2)])
        decoder = torch.nn.Sequential(network.Features(0, 2), network.linear(2, 6))
        return VAE(network.linear(6, 2), chain, decoder), centred

    vae, centred = model()
    config = TrainConfig(epochs=1, batch_size=8, kl="concrete", track_images=2, track_samples=2)
    noise = vae.noise(images, generator=torch.Generator().manual_seed(0))
    order = shuffled(images, 0, 0)
    seen = vae.latent.relaxed(vae.encode(images[order]), noise, 1.0)[..., :2].mean((0, 1))
    fit(vae, eight, config)
    torch.testing.assert_close(centred.mean, 0.1 * seen.detach(), rtol=0.02, atol=1e-3)  # bfloat16 products
    for train in (
        lambda: fit(model()[0], eight, replace(config, compile=True)),
        lambda: fit_many([model()[0]], eight, [config]),
    ):
        with pytest.raises(ValueError, match="compile must be None or False, and fit_many cannot be used"):
            train()
