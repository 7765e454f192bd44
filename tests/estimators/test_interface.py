"""What all estimators share: value, gradient of f's own weights, what they learn and what they refuse."""

from dataclasses import replace

import alarms
import pytest
import torch
from problems import BITS, FLOAT, LARGE, PROBLEMS, SMALL, estimates
from scipy import stats
from torch import Tensor, nn

from catvae_lib import data, network
from catvae_lib.estimators import (
    CATALOGUE,
    NVIL,
    REBAR,
    RELAX,
    Estimator,
    MovingAverage,
    all_codes,
    arm,
    arsm,
    disarm,
    exact,
    exact_multi_sample,
    gumbel_rao,
    leave_one_out,
    muprop,
    rebar,
    reinmax,
    score_function,
    straight_through,
    vimco,
)
from catvae_lib.latent import BernoulliLatent, CategoricalLatent, GaussianLatent, Latent
from catvae_lib.training import TrainConfig, fit
from catvae_lib.vae import VAE

NAMES = [name for name in CATALOGUE if name != "exact"]
PAIRS = [(name, latent) for name in NAMES for latent in (BITS, SMALL)]


def made(name: str, latent: Latent) -> Estimator:
    estimator = CATALOGUE[name].make(latent)
    return estimator.double() if isinstance(estimator, nn.Module) else estimator


def defined(name: str, latent: Latent) -> bool:
    return ("bits" if isinstance(latent, BernoulliLatent) else "categories") in CATALOGUE[name].codes


def drawn(name: str, latent: Latent, rows: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.linspace(-1, 1, rows * latent.num_parameters, dtype=FLOAT).reshape(rows, -1)
    return logits.requires_grad_(), latent.noise(logits, CATALOGUE[name].draws, generator=generator)


def summed(latent: Latent, z: Tensor) -> Tensor:
    return z.flatten(z.ndim - len(latent.event_shape)).sum(-1)


@pytest.mark.parametrize(("name", "latent"), PAIRS, ids=str)
def test_value_and_gradient_of_the_weights_of_f_are_those_at_the_codes(name: str, latent: Latent) -> None:
    """f is linear in its weights, so value = weights . features and its derivative is the features."""
    if not defined(name, latent):
        return  # that it is refused is tested below
    logits, noise = drawn(name, latent)
    weights = torch.linspace(0.5, 2, latent.num_parameters, dtype=FLOAT, requires_grad=True)

    def f(z: Tensor) -> Tensor:
        return z.flatten(z.ndim - len(latent.event_shape)) @ weights

    surrogate = made(name, latent)(latent, logits, noise, f, 0.5)
    (found,) = torch.autograd.grad(surrogate.sum(), weights)
    codes, share = latent.hard(logits, noise), None
    if name in ("arm", "disarm"):
        codes = torch.cat([codes, latent.hard(logits, -noise)])
    if name in ("rebar", "relax"):
        codes = codes[: len(noise) // 2]
    if name == "gumbel_rao":
        codes = codes[:1]
    if name == "gumbel_softmax":
        codes = latent.relaxed(logits, noise, 0.5)
    expected = f(codes)
    if CATALOGUE[name].objective == "multi":
        share = torch.softmax(expected, 0)
        expected = torch.logsumexp(expected, 0) - torch.tensor(float(len(noise))).log()
    else:
        share = torch.full_like(expected, 1 / len(codes))
        expected = expected.mean(0)
    torch.testing.assert_close(surrogate, expected)
    torch.testing.assert_close(found, torch.einsum("sb,sbp->p", share, codes.flatten(2)).detach())


@pytest.mark.parametrize("name", NAMES)
def test_float32_agrees_with_float64(name: str) -> None:
    latent = BITS if defined(name, BITS) else SMALL
    logits, noise = drawn(name, latent)
    found = []
    for dtype in (torch.float32, torch.float64):
        torch.manual_seed(0)
        own, estimator = logits.detach().to(dtype).requires_grad_(), CATALOGUE[name].make(latent)
        estimator = estimator.to(dtype) if isinstance(estimator, nn.Module) else estimator
        surrogate = estimator(latent, own, noise.to(dtype), lambda z: summed(latent, z.pow(3)), 0.5)
        assert surrogate.dtype == dtype and surrogate.shape == (3,)
        found.append(torch.autograd.grad(surrogate.sum(), own)[0].double())
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_far_logits_leave_every_gradient_finite(name: str) -> None:
    for latent in (BITS, SMALL):
        if defined(name, latent):
            logits, noise = drawn(name, latent)
            far = (200 * logits.detach()).requires_grad_()
            surrogate = made(name, latent)(
                latent, far, noise, lambda z, latent=latent: summed(latent, z.pow(2)), 0.1
            )
            (gradient,) = torch.autograd.grad(surrogate.sum(), far)
            assert bool(gradient.isfinite().all())


def test_several_draws_are_averaged() -> None:
    """S draws of one call are the mean of S calls with one draw."""
    for name in ("score_function", "muprop", "arm", "disarm", "local_expectation", "straight_through"):
        one = PROBLEMS["bits-neural"]
        noise = one.latent.noise(one.logits, 5, generator=torch.Generator().manual_seed(0))
        found = []
        for pieces in ([noise], noise.split(1)):
            logits = one.logits.clone().requires_grad_()
            parts = [made(name, BITS)(BITS, logits, piece, one.f) for piece in pieces]
            found.append(torch.autograd.grad(torch.stack(parts).mean(0).sum(), logits)[0])
        torch.testing.assert_close(*found)


def test_arsm_of_two_categories_is_arm() -> None:
    pair, gumbel = CategoricalLatent(2, 2), torch.rand(7, 1, 2, 2, dtype=FLOAT).log().neg().log().neg()
    logits = torch.tensor([[0.3, -1.2]], dtype=FLOAT)
    one, two = logits.clone().requires_grad_(), torch.stack([logits, 0 * logits], -1).flatten(1)
    two.requires_grad_()
    arm(BernoulliLatent(2), one, gumbel[..., 0] - gumbel[..., 1], lambda z: z.prod(-1)).sum().backward()
    arsm(pair, two, gumbel, lambda z: z[..., 0].prod(-1)).sum().backward()
    torch.testing.assert_close(two.grad[:, ::2], one.grad)
    torch.testing.assert_close(two.grad[:, 1::2], -one.grad)


def test_disarm_is_arm_averaged_over_the_noise_that_gives_its_codes() -> None:
    """One bit, 100,000 midpoints of u: within each pair of codes the mean of ARM is DisARM."""
    u = (torch.arange(100_000, dtype=FLOAT) + 0.5) / 100_000
    noise = u.logit()[None, :, None]
    found = []
    for estimator in (arm, disarm):
        logits = torch.full((100_000, 1), 0.8, dtype=FLOAT, requires_grad=True)
        surrogate = estimator(BernoulliLatent(1), logits, noise, lambda z: 2 * z.sum(-1))
        found.append(torch.autograd.grad(surrogate.sum(), logits)[0][:, 0])
    for codes in ((0.8 + noise > 0) & (0.8 - noise < 0), (0.8 + noise < 0) & (0.8 - noise > 0)):
        inside = codes[0, :, 0]
        assert abs(float(found[0][inside].mean() - found[1][inside].mean())) < 1e-4


# What is learned


def test_a_baseline_is_taken_off() -> None:
    """Of a constant f nothing is left when the baseline is that constant; it may differ by example."""
    logits, noise = drawn("score_function", BITS)
    constant = torch.tensor([1.0, 2.0, -3.0], dtype=FLOAT)
    surrogate = score_function(BITS, logits, noise, lambda z: 0 * z.sum(-1) + constant, baseline=constant)
    assert torch.equal(surrogate, constant)
    assert torch.equal(torch.autograd.grad(surrogate.sum(), logits)[0], torch.zeros_like(logits))


def test_the_moving_average_is_used_before_it_is_updated() -> None:
    estimator, one = MovingAverage(decay=0.5), PROBLEMS["bits-neural"]
    noise = one.latent.noise(one.logits, 1, generator=torch.Generator().manual_seed(0))
    for baseline in (0.0, 4.0, 4 * (0.25 + 0.5 * 3) / 0.75 / 2):  # none, the first value, weighted 1 to 2
        found, wanted = (one.logits.clone().requires_grad_() for _ in range(2))
        constant = 4.0 if baseline == 0.0 else 6.0

        def f(z: Tensor, constant: float = constant) -> Tensor:
            return z.sum(-1) * 0 + constant

        estimator(BITS, found, noise, f).sum().backward()
        score_function(BITS, wanted, noise, f, baseline=baseline).sum().backward()
        if baseline <= 4:
            torch.testing.assert_close(found.grad, wanted.grad)
    before = estimator.average.clone()
    estimator.eval()(BITS, one.logits, noise, lambda z: z.sum(-1) + 100)
    assert torch.equal(estimator.average, before)


def test_nvil_learns_what_f_is_for_each_example() -> None:
    """Two examples with values near 0 and 10: the learned baseline removes most of the variance."""
    logits = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=FLOAT)
    shift = torch.tensor([0.0, 10.0], dtype=FLOAT)
    estimator = NVIL(network.mlp(2, [16], 1), learning_rate=0.01).double()
    latent, generator = BernoulliLatent(2), torch.Generator().manual_seed(0)
    for _ in range(400):
        noise = latent.noise(logits, 1, generator=generator)
        estimator(latent, logits, noise, lambda z: z.sum(-1) + shift)
    learned = estimator.network(logits)[:, 0] + estimator.average.average
    assert bool((learned - torch.tensor([1.0, 11.0])).abs().max() < 0.7)
    assert all(weight.grad is None for weight in estimator.parameters())


def test_nvil_takes_off_what_the_network_says_and_the_average() -> None:
    estimator, one = made("nvil", BITS), PROBLEMS["bits-neural"]
    estimates(one, estimator, 1, 1000)
    assert isinstance(estimator, NVIL) and float(estimator.average.average.abs()) > 0.1
    noise = one.latent.noise(one.logits, 1, generator=torch.Generator().manual_seed(3))
    baseline = estimator.network(one.logits)[:, 0].detach() + estimator.average.average
    found, wanted = (one.logits.clone().requires_grad_() for _ in range(2))
    estimator.eval()(BITS, found, noise, one.f).sum().backward()
    score_function(BITS, wanted, noise, one.f, baseline=baseline).sum().backward()
    torch.testing.assert_close(found.grad, wanted.grad)


@pytest.mark.parametrize("name", ["leave_one_out", "vimco", "multi_sample_leave_one_out", "rebar", "muprop"])
def test_of_a_constant_nothing_is_left(name: str) -> None:
    """Every baseline that knows f takes a constant off entirely; so the divisors are right."""
    for latent in (BITS, SMALL):
        logits, noise = drawn(name, latent)
        surrogate = made(name, latent)(
            latent, logits, noise, lambda z, latent=latent: 0 * summed(latent, z) + 3
        )
        (gradient,) = torch.autograd.grad(surrogate.sum(), logits)
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-12)


def test_rebar_finds_the_best_weight_of_its_control_variate() -> None:
    """The variance at the learned eta is within 2 % of the least over a grid."""
    one, estimator = PROBLEMS["small-neural"], REBAR(decay=0.9).double()
    for seed in range(20):
        estimates(one, estimator, 2, 2000, 0.5, seed)
    variances = []
    for eta in [0.1 * i for i in range(21)] + [float(estimator.eta)]:

        def fixed(
            latent: Latent, logits: Tensor, noise: Tensor, f: object, t: float, eta: float = eta
        ) -> Tensor:
            return rebar(latent, logits, noise, f, t, eta=eta)  # type: ignore[arg-type]

        variances.append(float(torch.cat(estimates(one, fixed, 2, 20_000, 0.5)).var(0).sum()))
    assert variances[-1] < 1.02 * min(variances) < 0.9 * variances[0]


def test_relax_lowers_the_variance_below_rebar() -> None:
    one = PROBLEMS["small-quadratic"]
    torch.manual_seed(0)
    relax = RELAX(network.mlp(6, [16], 1, activation="tanh"), learning_rate=0.02, decay=0.9).double()
    plain = REBAR(decay=0.9).double()
    for seed in range(300):
        for estimator in (relax, plain):
            estimates(one, estimator, 2, 100, 0.5, seed)
    after = [
        float(torch.cat(estimates(one, estimator.eval(), 2, 20_000, 0.5)).var(0).sum())
        for estimator in (relax, plain)
    ]
    assert after[0] < 0.8 * after[1]


def test_in_evaluation_mode_nothing_is_learned() -> None:
    for name in ("moving_average", "nvil", "rebar", "relax"):
        estimator = made(name, SMALL)
        assert isinstance(estimator, nn.Module)
        estimates(PROBLEMS["small-neural"], estimator, CATALOGUE[name].draws, 10)
        before = {key: value.clone() for key, value in estimator.state_dict().items()}
        estimates(PROBLEMS["small-neural"], estimator.eval(), CATALOGUE[name].draws, 10, seed=1)
        assert all(torch.equal(before[key], value) for key, value in estimator.state_dict().items())


@pytest.mark.parametrize("name", ["nvil", "relax"])
def test_its_network_learns_wherever_it_is_called(name: str) -> None:
    """In float32 for a float64 model, moved to float64 after use, and where gradients are off."""
    estimator, one = CATALOGUE[name].make(BITS), PROBLEMS["bits-neural"]
    assert isinstance(estimator, nn.Module)
    draws = CATALOGUE[name].draws
    noise = one.latent.noise(one.logits, draws, generator=torch.Generator().manual_seed(0))
    for change in (lambda: None, estimator.double):
        change()
        weight = next(estimator.parameters())
        for context in (torch.enable_grad, torch.no_grad):
            before = weight.detach().clone()
            with context():
                assert estimator(BITS, one.logits, noise, one.f, 0.5).dtype == FLOAT
            assert not torch.equal(weight, before) and weight.grad is None


def test_the_network_s_misfit_is_told() -> None:
    noise = torch.zeros(1, 2, 3)
    with pytest.raises(ValueError, match=r"network does not fit inputs of shape \(2, 3\)"):
        NVIL(network.linear(4, 1))(BITS, torch.zeros(2, 3), noise, sum_of)
    with pytest.raises(ValueError, match=r"network must return \(2, 1\), got \(2, 5\)"):
        NVIL(network.linear(3, 5))(BITS, torch.zeros(2, 3), noise, sum_of)


# What is refused


def test_where_derivatives_are_forbidden_it_says_so() -> None:
    with torch.inference_mode():
        logits, noise = torch.zeros(2, 3), torch.zeros(2, 2, 3)
        assert score_function(BITS, logits, noise, sum_of).tolist() == [0.0, 0.0]
        for estimator in (muprop, rebar):
            with pytest.raises(ValueError, match=r"cannot be used inside torch\.inference_mode"):
                estimator(BITS, logits, noise, sum_of)


def test_an_f_that_returns_no_tensor_is_refused() -> None:
    with pytest.raises(TypeError, match=r"f must return a torch\.Tensor, got float"):
        score_function(BITS, torch.zeros(2, 3), torch.zeros(1, 2, 3), lambda z: 3.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NAMES)
def test_codes_for_which_it_is_not_defined_are_refused(name: str) -> None:
    for latent in (BITS, SMALL):
        if not defined(name, latent):
            with pytest.raises(ValueError, match=rf"{name} is defined for .*got"):
                made(name, latent)(latent, *drawn(name, latent), lambda z: z.sum(-1))
    if name not in ("gumbel_softmax", "straight_through_gumbel_softmax"):  # defined for a Gaussian too
        gaussian = GaussianLatent(2)
        with pytest.raises(ValueError, match="discrete codes, got latent Gaussian"):
            made(name, gaussian)(gaussian, *drawn(name, gaussian), lambda z: z.sum(-1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a, e: leave_one_out(BITS, a, e[:1], sum_of), "leave_one_out takes 2 or more of noise draws"),
        (lambda a, e: vimco(BITS, a, e[:1], sum_of), "vimco takes 2 or more"),
        (lambda a, e: gumbel_rao(BITS, a, e[:1], sum_of), "gumbel_rao takes 2 or more"),
        (lambda a, e: rebar(BITS, a, e[:1], sum_of), "rebar takes an even number of noise draws .* got 1"),
        (
            lambda a, e: score_function(BITS, a, e[0], sum_of),
            r"noise must have shape \(S, 2, 3\), got \(2, 3",
        ),
        (lambda a, e: score_function(BITS, a, e[:0], sum_of), "score_function takes 1 or more.* got 0"),
        (
            lambda a, e: score_function(BITS, a[:, :2], e, sum_of),
            r"logits must have shape \(B, 3\), got \(2, 2",
        ),
        (lambda a, e: score_function(BITS, a * torch.nan, e, sum_of), "logits must not contain NaN"),
        (lambda a, e: score_function(BITS, a / 0, e, sum_of), "logits must be finite, got"),
        (lambda a, e: score_function(BITS, a, e * torch.nan, sum_of), "noise must not contain NaN"),
        (lambda a, e: score_function(BITS, a, e, lambda z: z), "f must return one value a code"),
        (lambda a, e: muprop(BITS, a, e, lambda z: z.sum()), "f must return one value a code"),
        (lambda a, e: straight_through(BITS, a, e, sum_of, 0.0), "temperature must be positive"),
        (lambda a, e: reinmax(BITS, a, e, sum_of, -1.0), "temperature must be positive"),
        (lambda a, e: gumbel_rao(BITS, a, e, sum_of, float("nan")), "temperature must not be NaN"),
        (lambda a, e: rebar(BITS, a, e, sum_of, 0.0), "temperature must be positive"),
        (lambda a, e: exact(BernoulliLatent(21), torch.zeros(1, 21), None, sum_of), "at most 2.20 codes"),
        (lambda a, e: exact(GaussianLatent(1), torch.zeros(1, 2), None, sum_of), "latent must be discrete"),
        (
            lambda a, e: exact_multi_sample(LARGE, torch.zeros(1, 32), lambda z: z.sum((-1, -2)), 3),
            "at most 2.25 tuples",
        ),
        (lambda a, e: exact_multi_sample(BITS, a, sum_of, 0), "num_samples must be at least 1"),
        (lambda a, e: MovingAverage(decay=1.5), r"decay must lie in \[0, 1\], got 1.5"),
        (lambda a, e: NVIL(network.linear(3, 1), learning_rate=0.0), "learning_rate must be positive"),
        (lambda a, e: RELAX(network.linear(3, 1), learning_rate=-1.0), "learning_rate must be positive"),
    ],
)
def test_bad_arguments_are_refused(call: object, message: str) -> None:
    logits = torch.tensor([[0.5, -1.0, 2.0], [0.1, 0.2, 0.3]])
    with pytest.raises(ValueError, match=message):
        call(logits, torch.zeros(2, 2, 3))  # type: ignore[operator]


def sum_of(z: Tensor) -> Tensor:
    return z.sum(-1)


@pytest.mark.parametrize(("latent", "count"), [(BernoulliLatent(1), 2), (BITS, 8), (SMALL, 9), (LARGE, 4096)])
def test_all_codes_are_there_once(latent: Latent, count: int) -> None:
    codes = all_codes(latent)
    assert codes.shape == (count, *latent.event_shape)
    assert len(codes.flatten(1).unique(dim=0)) == count
    assert bool(((codes == 0) | (codes == 1)).all())
    assert isinstance(latent, BernoulliLatent) or bool((codes.sum(-1) == 1).all())


@pytest.mark.parametrize("name", ["gumbel_softmax", "straight_through_gumbel_softmax", "score_function"])
@pytest.mark.parametrize("shape", [(3, 2), (0, 3, 2), (1, 1, 2)])
def test_noise_that_would_broadcast_is_refused(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"noise"):
        made(name, BITS)(BernoulliLatent(2), torch.zeros(3, 2), torch.zeros(shape), lambda z: z.sum(-1))


@pytest.mark.parametrize("name", ["straight_through", "gumbel_softmax", "gumbel_rao", "reinmax", "rebar"])
def test_a_temperature_for_each_row_is_that_of_its_row(name: str) -> None:
    logits, noise = drawn(name, SMALL)
    temperatures = torch.tensor([0.2, 1.0, 5.0], dtype=FLOAT)
    found = []
    for pieces in (
        [(slice(None), temperatures.reshape(3, 1, 1))],
        [(slice(i, i + 1), t) for i, t in enumerate(temperatures)],
    ):
        parts = []
        for rows, t in pieces:
            own = logits.detach()[rows].requires_grad_()
            surrogate = made(name, SMALL)(SMALL, own, noise[:, rows], lambda z: z.pow(3).sum((-1, -2)), t)
            parts.append(torch.autograd.grad(surrogate.sum(), own)[0])
        found.append(torch.cat(parts))
    torch.testing.assert_close(*found)


def test_an_f_that_changes_its_codes_is_refused() -> None:
    logits, noise = drawn("score_function", BITS)
    with pytest.raises(ValueError, match="f must not change its codes in place"):
        score_function(BITS, logits, noise, lambda z: z.mul_(2).sum(-1))


# In a VAE


def test_a_multi_sample_estimator_needs_the_log_weights() -> None:
    vae, x = two_bit_vae()
    with pytest.raises(ValueError, match='sample must come with kl="sampled" to maximize log-weights'):
        vae.loss(x, vae.noise(x, 2), sample=vimco)
    with pytest.raises(TypeError, match="sample must be a word or an estimator, not its class"):
        vae.loss(x, vae.noise(x, 2), sample=REBAR)  # type: ignore[arg-type]


def two_bit_vae() -> tuple[VAE, Tensor]:
    torch.manual_seed(0)
    vae = VAE(network.linear(4, 2), BernoulliLatent(2), network.linear(2, 4)).double()
    return vae, torch.tensor([[1.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.0]], dtype=FLOAT)


@pytest.mark.parametrize("kl", ["analytic", "sampled"])
@pytest.mark.parametrize("name", ["score_function", "leave_one_out", "disarm", "rebar", "local_expectation"])
def test_in_the_loss_of_a_vae_it_has_the_gradient_of_the_exact_elbo(name: str, kl: str) -> None:
    """Encoder and decoder weights, from 100 blocks of 500 draws an image."""
    vae, x = two_bit_vae()
    params = vae.encode(x)
    elbo = exact(vae.latent, params, None, lambda z: vae.log_weight(x, z, params))
    expected = torch.autograd.grad(-elbo.sum(), list(vae.parameters()))
    estimator, found = made(name, vae.latent), []
    for seed in range(100):
        rows = x.repeat(500, 1)
        noise = vae.noise(rows, CATALOGUE[name].draws, generator=torch.Generator().manual_seed(seed))
        loss = vae.loss(rows, noise, 0.5, sample=estimator, kl=kl)
        torch.testing.assert_close(loss.total, loss.reconstruction + loss.kl)
        found.append(torch.autograd.grad(loss.total.sum() / 500, list(vae.parameters())))
    assert_their_mean_is(found, expected)


def assert_their_mean_is(blocks: list[tuple[Tensor, ...]], expected: tuple[Tensor, ...]) -> None:
    """Student's limit for the means of 100 blocks of 500 draws: 8 standard errors, and 11 are found.

    An eighth of the level, because the tail of a mean of 50,000 draws of skewness 3 is up to 7 times the
    normal one there (Cramer 1938), and these are less skewed.
    """
    means = torch.stack([torch.cat([part.flatten() for part in block]) for block in blocks])  # (100, weights)
    wanted = torch.cat([part.flatten() for part in expected])
    limit = stats.t.isf(alarms.spend(8 * len(wanted)) / 2, len(means) - 1) / len(means) ** 0.5
    assert bool(((means.mean(0) - wanted).abs() <= limit * means.std(0) + 1e-9).all())


def test_vimco_in_the_loss_has_the_gradient_of_the_enumerated_two_sample_bound() -> None:
    vae, x = two_bit_vae()
    params = vae.encode(x)
    bound = exact_multi_sample(vae.latent, params, lambda z: vae.log_weight(x, z, params), 2)
    expected = torch.autograd.grad(-bound.sum(), list(vae.parameters()))
    found = []
    for seed in range(100):
        rows = x.repeat(500, 1)
        noise = vae.noise(rows, 2, generator=torch.Generator().manual_seed(seed))
        loss = vae.loss(rows, noise, sample=vimco, kl="sampled").total
        found.append(torch.autograd.grad(loss.sum() / 500, list(vae.parameters())))
    assert_their_mean_is(found, expected)


def test_with_the_kl_sampled_the_loss_is_minus_the_log_weight_of_its_codes() -> None:
    vae, x = two_bit_vae()
    noise = vae.noise(x, 5, generator=torch.Generator().manual_seed(0))
    params = vae.encode(x)
    log_weight = vae.log_weight(x, vae.latent.hard(params, noise), params)
    loss = vae.loss(x, noise, sample=score_function, kl="sampled")
    torch.testing.assert_close(loss.total, -log_weight.mean(0))
    torch.testing.assert_close(loss.kl, vae.latent.kl(params))
    bound = vae.loss(x, noise, sample=vimco, kl="sampled").total
    torch.testing.assert_close(bound, -(torch.logsumexp(log_weight, 0) - torch.tensor(5.0).log()))


def test_fit_asks_the_estimator_at_every_step() -> None:
    vae, dataset, config = tiny()
    asked = []

    def counting(latent: Latent, logits: Tensor, noise: Tensor, f: object, temperature: float) -> Tensor:
        asked.append((len(noise), temperature))
        return disarm(latent, logits, noise, f, temperature)  # type: ignore[arg-type]

    fit(vae, dataset, replace(config, epochs=3), estimator=counting)
    assert len(asked) == 1 + 6 and {draws for draws, _ in asked} == {2}
    assert asked[1][1] == 1.0 and asked[-1][1] < 0.5  # after a trial; the temperature falls


def tiny() -> tuple[VAE, data.Dataset, TrainConfig]:
    torch.manual_seed(0)
    x = torch.tensor([[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]]).repeat(20, 1)
    split = data.Split(x, torch.zeros(len(x), dtype=torch.long))
    dataset = replace(data.load("squares"), train=split, validation=split, test=split, image_shape=(2, 2))
    vae = VAE(network.linear(4, 3), BernoulliLatent(3), network.linear(3, 4))
    config = TrainConfig(epochs=100, batch_size=20, learning_rate=0.1, track_samples=10, num_samples=2)
    return vae, dataset, config


@pytest.mark.parametrize("name", ["leave_one_out", "nvil", "rebar", "relax", "vimco"])
def test_fit_trains_with_it(name: str) -> None:
    """Two images: at best ln 2 = 0.69 nats, at the start above 2; and the run repeats to the last bit."""
    ends = []
    for _ in range(2):
        vae, dataset, config = tiny()
        config = replace(config, kl="sampled" if name == "vimco" else "analytic")
        history = fit(vae, dataset, config, estimator=CATALOGUE[name].make(vae.latent))
        ends.append(history.epochs[-1].multi_sample)
        assert history.machine["compiled"] is False
    assert ends[0] == ends[1] and -1.5 < ends[0] <= -0.6


def test_fit_refuses_what_would_lose_something(tmp_path: object) -> None:
    vae, dataset, config = tiny()
    with pytest.raises(ValueError, match="checkpoint must be None: it would not hold what REBAR learned"):
        fit(vae, dataset, config, estimator=REBAR(), checkpoint=f"{tmp_path}/run.safetensors")
    with pytest.raises(ValueError, match=r"config\.compile must be None or False with REBAR\(\), got True"):
        fit(vae, dataset, replace(config, compile=True), estimator=REBAR())


def test_an_estimator_that_needs_more_draws_is_refused_before_a_file_is_written(tmp_path: object) -> None:
    vae, dataset, config = tiny()
    path = f"{tmp_path}/run.safetensors"
    with pytest.raises(
        ValueError, match=r"estimator does not fit, with config.num_samples = 1: leave_one_out"
    ):
        fit(vae, dataset, replace(config, num_samples=1), estimator=leave_one_out, checkpoint=path)
    with pytest.raises(ValueError, match="checkpoint must be None with an estimator that has no name"):
        fit(vae, dataset, config, estimator=lambda *a: disarm(*a), checkpoint=path)
    assert not list(tmp_path.iterdir())  # type: ignore[attr-defined]


def test_a_checkpoint_of_another_estimator_is_refused(tmp_path: object) -> None:
    vae, dataset, config = tiny()
    config, path = replace(config, epochs=1), f"{tmp_path}/run.safetensors"
    fit(vae, dataset, config, estimator=disarm, checkpoint=path)
    with pytest.raises(ValueError, match="estimator"):
        fit(vae, dataset, config, estimator=arm, checkpoint=path)
