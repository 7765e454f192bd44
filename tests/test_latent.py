"""Each latent against enumeration of its codes, torch.distributions, and integrals over noise quantiles."""

import itertools
import math

import alarms
import pytest
import torch
from scipy import stats
from torch import distributions

from catvae_lib import _validate
from catvae_lib import noise as noise_source
from catvae_lib._limits import log_softmax
from catvae_lib.latent import BernoulliLatent, CategoricalLatent, GaussianLatent

LATENTS = (BernoulliLatent(3), CategoricalLatent(2, 3), GaussianLatent(3))
DISCRETE = LATENTS[:2]
names = type  # ids of the parametrized tests


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def random_params(latent, batch, seed=0):
    return torch.randn(batch, latent.num_parameters, generator=seeded(seed), dtype=torch.float64)


def all_codes(latent):
    """Every code (C, *event_shape) of a discrete latent."""
    if isinstance(latent, BernoulliLatent):
        return torch.tensor(list(itertools.product((0.0, 1.0), repeat=latent.num_bits)), dtype=torch.float64)
    rows = torch.eye(latent.num_categories, dtype=torch.float64)
    picks = itertools.product(range(latent.num_categories), repeat=latent.num_variables)
    return torch.stack([rows[list(pick)] for pick in picks])


def oracle(latent, params):
    if isinstance(latent, BernoulliLatent):
        return distributions.Independent(distributions.Bernoulli(logits=params), 1)
    if isinstance(latent, CategoricalLatent):
        logits = params.reshape(-1, latent.num_variables, latent.num_categories)
        return distributions.Independent(distributions.OneHotCategorical(logits=logits), 1)
    size = latent.num_dimensions
    return distributions.Independent(distributions.Normal(params[:, :size], params[:, size:].exp()), 1)


@pytest.mark.parametrize("latent", LATENTS, ids=names)
def test_log_prob_and_kl_agree_with_torch_distributions(latent):
    params = random_params(latent, 4)
    q, p = oracle(latent, params), oracle(latent, torch.zeros_like(params))
    z = latent.hard(params, latent.noise(params, 5, generator=seeded(1)))
    assert z.shape == (5, 4, *latent.event_shape)
    torch.testing.assert_close(latent.log_prob(z, params), q.log_prob(z))
    torch.testing.assert_close(latent.prior_log_prob(z), p.log_prob(z))
    torch.testing.assert_close(latent.kl(params), distributions.kl_divergence(q, p))


@pytest.mark.parametrize("latent", DISCRETE, ids=names)
def test_enumerated_codes(latent):
    """Posterior and prior are normalized, and the KL divergence is the sum over all codes that defines it."""
    params, codes = random_params(latent, 4), all_codes(latent).unsqueeze(1)  # codes (C, 1, ...)
    log_q = latent.log_prob(codes, params)  # (C, B)
    log_p = latent.prior_log_prob(codes)  # (C, 1)
    torch.testing.assert_close(log_q.exp().sum(0), torch.ones(4, dtype=torch.float64))
    torch.testing.assert_close(log_p.exp().sum(0), torch.ones(1, dtype=torch.float64))
    torch.testing.assert_close((log_q.exp() * (log_q - log_p)).sum(0), latent.kl(params))
    best = codes.squeeze(1)[log_q.argmax(0)]
    assert torch.equal(latent.mode(params), best)


@pytest.mark.parametrize("latent", DISCRETE, ids=names)
def test_hard_codes_have_the_enumerated_frequencies(latent):
    """Exact binomial tests of every code: finds an error of 0.015 in a probability."""
    n, params, codes = 100_000, random_params(latent, 1, seed=2), all_codes(latent)
    z = latent.hard(params, latent.noise(params, n, generator=seeded(3)))[:, 0]
    prior = latent.sample_prior(n, generator=seeded(4)).double()
    for sample, log_p in (
        (z, latent.log_prob(codes.unsqueeze(1), params)[:, 0]),
        (prior, latent.prior_log_prob(codes)),
    ):
        matches = sample.flatten(1) @ codes.flatten(1).T + (1 - sample.flatten(1)) @ (1 - codes.flatten(1)).T
        counts = (matches == codes[0].numel()).sum(0).tolist()
        assert sum(counts) == n
        assert alarms.fits(counts, log_p.exp().tolist())


def test_gaussian_samples_have_their_distribution():
    """Kolmogorov-Smirnov: a mean off by 0.05 standard deviations, or a correlation of 0.03, is found.

    The sum of products of independent normal numbers, over the length of the second, is normal itself.
    """
    n, latent, params = 100_000, GaussianLatent(2), torch.tensor([[1.0, -2.0, 0.5, -1.0]])
    z = latent.hard(params, latent.noise(params, n, generator=seeded(5)))[:, 0]
    for column, (loc, log_std) in zip(z.T, ((1.0, 0.5), (-2.0, -1.0)), strict=True):
        oracle = stats.norm(loc, math.exp(log_std))
        assert stats.kstest(column.numpy(), oracle.cdf).statistic < alarms.distance(n)
    assert latent.mode(params).tolist() == [[1.0, -2.0]]
    prior = latent.sample_prior(n, generator=seeded(6))
    for column in prior.T:
        assert stats.kstest(column.numpy(), stats.norm().cdf).statistic < alarms.distance(n)
    assert abs(float(prior[:, 0] @ prior[:, 1] / prior[:, 1].norm())) < stats.norm.isf(alarms.spend() / 2)


@pytest.mark.parametrize("latent", DISCRETE, ids=names)
def test_kl_is_the_mean_log_ratio(latent):
    """Monte Carlo within Bernstein's bound, with the enumerated variance: finds an error of 0.026 nats."""
    params, n, codes = random_params(latent, 3, seed=7), 200_000, all_codes(latent).unsqueeze(1)
    z = latent.hard(params, latent.noise(params, n, generator=seeded(8)))
    ratio = latent.log_prob(z, params) - latent.prior_log_prob(z)
    q = latent.log_prob(codes, params).exp()  # (C, B)
    every = latent.log_prob(codes, params) - latent.prior_log_prob(codes)
    variance = (q * (every - (q * every).sum(0)).square()).sum(0)
    limit = alarms.bernstein(variance, every.amax(0) - every.amin(0), n)
    assert bool(((ratio.mean(0) - latent.kl(params)).abs() < limit).all()) and float(limit.max()) < 0.018


def test_the_kl_of_gaussians_is_the_mean_log_ratio_over_quantiles_of_noise():
    latent = LATENTS[2]
    params, u = random_params(latent, 3, seed=7), (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    z = latent.hard(params, torch.special.ndtri(u)[:, None, None].expand(-1, 3, 3))
    ratio = latent.log_prob(z, params) - latent.prior_log_prob(z)  # a sum over dimensions
    torch.testing.assert_close(ratio.mean(0), latent.kl(params), rtol=1e-3, atol=0)


@pytest.mark.parametrize("latent", LATENTS, ids=names)
def test_noise_is_reproducible_and_not_shared(latent):
    params = random_params(latent, 4)
    first, again = (latent.noise(params, 3, generator=seeded(9)) for _ in range(2))
    assert torch.equal(first, again) and first.shape == (3, 4, *latent.event_shape)
    assert first.dtype == params.dtype and first.unique().numel() == first.numel()
    assert latent.analytic is True  # its KL divergence has a closed form
    assert torch.equal(
        latent.sample_prior(6, generator=seeded(1)), latent.sample_prior(6, generator=seeded(1))
    )
    assert not torch.equal(
        latent.sample_prior(9, generator=seeded(1)), latent.sample_prior(9, generator=seeded(2))
    )
    assert latent.sample_prior(6).shape == (6, *latent.event_shape)
    assert latent.num_features == math.prod(latent.event_shape)


@pytest.mark.parametrize("latent", LATENTS, ids=names)
def test_relaxed_and_straight_through(latent):
    params = random_params(latent, 4).requires_grad_()
    eps = latent.noise(params, 3, generator=seeded(10))
    hard, relaxed = latent.hard(params, eps), latent.relaxed(params, eps, 0.5)
    through = latent.straight_through(params, eps, 0.5)
    assert torch.equal(through, hard.detach())
    weight = torch.rand(relaxed.shape, generator=seeded(11), dtype=torch.float64)
    slopes = [
        torch.autograd.grad((weight * z).sum(), params, retain_graph=True)[0] for z in (through, relaxed)
    ]
    assert torch.equal(*slopes) and float(slopes[0].abs().min()) > 0
    torch.testing.assert_close(latent.relaxed(params, eps, 1e-6), hard)
    if not isinstance(latent, GaussianLatent):
        assert not torch.equal(relaxed, latent.relaxed(params, eps, 1.0))
        assert float((relaxed - hard).detach().abs().max()) > 0.01


def test_relaxed_formulae():
    """Eqs. (2) and (3): each variable of K categories has its own softmax, each bit its own sigmoid."""
    bits, categories = DISCRETE
    params = random_params(bits, 4)
    eps = bits.noise(params, 2, generator=seeded(12))
    torch.testing.assert_close(bits.relaxed(params, eps, 0.3), 1 / (1 + torch.exp(-(params + eps) / 0.3)))
    params = random_params(categories, 4)
    eps = categories.noise(params, 2, generator=seeded(13))
    expected = torch.stack(
        [torch.softmax((params[:, 3 * i : 3 * i + 3] + eps[:, :, i]) / 0.3, -1) for i in (0, 1)], 2
    )
    torch.testing.assert_close(categories.relaxed(params, eps, 0.3), expected)
    assert torch.equal(categories.hard(params, eps).argmax(-1), expected.argmax(-1))


@pytest.mark.parametrize("temperature, prior_temperature", [(0.5, 0.5), (2 / 3, 0.5), (1.0, 2.0)])
def test_mean_relaxed_log_ratio_is_the_kl_between_concrete_densities(temperature, prior_temperature):
    """One bit: the mean over 200,000 noise quantiles against quadrature of the two densities."""
    latent, params = BernoulliLatent(1), torch.tensor([[0.8]], dtype=torch.float64)
    u = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    eps = noise_source.logistic_from_uniform(u).reshape(-1, 1, 1)
    found = latent.relaxed_log_ratio(params, eps, temperature, prior_temperature).mean()

    y = torch.arange(-40, 40, 0.01, dtype=torch.float64) / temperature
    q = stats.logistic(0.8 / temperature, 1 / temperature)  # the logit of a Binary Concrete is logistic
    p = stats.logistic(0.0, 1 / prior_temperature)
    expected = (q.pdf(y) * (q.logpdf(y) - p.logpdf(y))).sum() * 0.01 / temperature
    assert math.isclose(float(found), expected, rel_tol=1e-3)
    # The categorical latent with the same two probabilities is the same model.
    two = torch.tensor([[0.8, 0.0]], dtype=torch.float64)
    difference = torch.cat([eps, torch.zeros_like(eps)], -1).unsqueeze(2)
    same = CategoricalLatent(1, 2).relaxed_log_ratio(two, difference, temperature, prior_temperature)
    torch.testing.assert_close(same, latent.relaxed_log_ratio(params, eps, temperature, prior_temperature))


@pytest.mark.parametrize("latent", DISCRETE, ids=names)
def test_relaxed_log_ratio_against_torch_distributions(latent):
    """The log-Jacobian cancels in the ratio, so densities of the relaxed samples themselves may be used."""
    params = random_params(latent, 4)
    eps = latent.noise(params, 3, generator=seeded(14))
    z = latent.relaxed(params, eps, 0.7)

    def relaxed_density(logits, temperature):
        t = torch.tensor(temperature, dtype=torch.float64)
        if isinstance(latent, BernoulliLatent):
            return distributions.RelaxedBernoulli(t, logits=logits).log_prob(z).sum(-1)
        logits = logits.reshape(-1, *latent.event_shape)
        return distributions.RelaxedOneHotCategorical(t, logits=logits).log_prob(z).sum(-1)

    expected = relaxed_density(params, 0.7) - relaxed_density(torch.zeros_like(params), 0.4)
    torch.testing.assert_close(latent.relaxed_log_ratio(params, eps, 0.7, 0.4), expected)


def test_gaussian_relaxed_log_ratio_is_the_log_ratio_of_its_sample():
    latent = LATENTS[2]
    params = random_params(latent, 4)
    eps = latent.noise(params, 3, generator=seeded(15))
    q, p = oracle(latent, params), oracle(latent, torch.zeros_like(params))
    z = q.base_dist.loc + q.base_dist.scale * eps
    torch.testing.assert_close(latent.relaxed_log_ratio(params, eps, 0.5, 2.0), q.log_prob(z) - p.log_prob(z))


@pytest.mark.parametrize("latent", LATENTS, ids=names)
@pytest.mark.parametrize("leading", [(), (2, 3)], ids=str)
def test_parameters_of_any_leading_shape_are_examples_like_those_of_a_batch(latent, leading):
    rows = random_params(latent, math.prod(leading), seed=17)
    eps = latent.noise(rows, 2, generator=seeded(18))
    params, shaped = rows.reshape(*leading, -1), eps.reshape(2, *leading, *latent.event_shape)
    assert latent.noise(params, 2).shape == shaped.shape

    def alike(found, expected, start=1):
        torch.testing.assert_close(
            found, expected.reshape(found.shape[:start] + leading + found.shape[start + len(leading) :])
        )

    alike(latent.kl(params), latent.kl(rows), 0)
    alike(latent.mode(params), latent.mode(rows), 0)
    z, flat = latent.hard(params, shaped), latent.hard(rows, eps)
    alike(z, flat)
    alike(latent.relaxed(params, shaped, 0.5), latent.relaxed(rows, eps, 0.5))
    alike(latent.log_prob(z, params), latent.log_prob(flat, rows))
    alike(latent.prior_log_prob(z), latent.prior_log_prob(flat))
    alike(latent.relaxed_log_ratio(params, shaped, 0.5, 0.7), latent.relaxed_log_ratio(rows, eps, 0.5, 0.7))


@pytest.mark.parametrize("latent", LATENTS, ids=names)
def test_one_code_without_a_batch_has_a_log_probability(latent):
    code = latent.sample_prior(1, generator=seeded(19))
    assert torch.equal(latent.prior_log_prob(code[0]), latent.prior_log_prob(code)[0])


@pytest.mark.parametrize("latent", LATENTS, ids=names)
def test_the_prior_of_the_relaxed_log_ratio_may_be_another_posterior(latent):
    """By its definition log q - log r = (log q - log p) - (log r - log p), each at the same relaxed code."""
    params, other = random_params(latent, 4), random_params(latent, 4, seed=1)
    eps = latent.noise(params, 3, generator=seeded(20))
    found = latent.relaxed_log_ratio(params, eps, 0.5, 0.7, other)
    if isinstance(latent, GaussianLatent):
        z = latent.hard(params, eps)
        expected = oracle(latent, params).log_prob(z) - oracle(latent, other).log_prob(z)
    elif isinstance(latent, BernoulliLatent):
        y = ((params + eps) / 0.5).numpy()  # the logit of a Binary Concrete is logistic
        densities = [stats.logistic(a.numpy() / t, 1 / t).logpdf(y) for a, t in ((params, 0.5), (other, 0.7))]
        expected = torch.from_numpy(densities[0] - densities[1]).sum(-1)
    else:
        z = latent.relaxed(params, eps, 0.5)
        q, r = (
            distributions.RelaxedOneHotCategorical(
                torch.tensor(t, dtype=torch.float64), logits=a.view(4, 2, 3)
            )
            for a, t in ((params, 0.5), (other, 0.7))
        )
        expected = (q.log_prob(z) - r.log_prob(z)).sum(-1)
    torch.testing.assert_close(found, expected)
    of_all = latent.relaxed_log_ratio(params, eps, 0.5, 0.7, other[0])  # one prior for every example
    torch.testing.assert_close(
        of_all, latent.relaxed_log_ratio(params, eps, 0.5, 0.7, other[:1].expand(4, -1))
    )
    same = latent.relaxed_log_ratio(params, eps, 0.5, 0.5, params)
    torch.testing.assert_close(same, torch.zeros_like(same))


@pytest.mark.parametrize("latent", LATENTS, ids=names)
def test_the_temperature_is_1_where_none_is_given(latent):
    params = random_params(latent, 4).requires_grad_()
    eps = latent.noise(params, 3, generator=seeded(21))
    assert torch.equal(latent.relaxed(params, eps), latent.relaxed(params, eps, 1.0))
    slopes = [
        torch.autograd.grad(z.square().sum(), params)[0]
        for z in (latent.straight_through(params, eps), latent.straight_through(params, eps, 1.0))
    ]
    assert torch.equal(*slopes)


@pytest.mark.parametrize("latent", LATENTS, ids=names)
def test_noise_is_drawn_where_the_parameters_are(latent):
    """The device "meta" holds shapes and no values, so the checks of values have to be left out."""
    with _validate.trusted():
        eps = latent.noise(torch.zeros(2, latent.num_parameters, device="meta"), 3)
    assert eps.device.type == "meta" and eps.shape == (3, 2, *latent.event_shape)


def test_the_mode_is_as_precise_as_the_parameters_and_of_two_equal_bits_off():
    mode = DISCRETE[0].mode(torch.tensor([[0.0, -1.0, 1e-30]]))
    assert mode.dtype == torch.float32 and mode.tolist() == [[0.0, 0.0, 1.0]]
    mean_and_log_std = torch.arange(6.0).unsqueeze(0)
    assert LATENTS[2].mode(mean_and_log_std).tolist() == [[0.0, 1.0, 2.0]]


@pytest.mark.parametrize("latent", LATENTS, ids=names)
def test_gradients(latent):
    params = random_params(latent, 2).requires_grad_()
    eps = latent.noise(params, 2, generator=seeded(16))
    assert torch.autograd.gradcheck(lambda p: latent.relaxed(p, eps, 0.7), (params,))
    assert torch.autograd.gradcheck(latent.kl, (params,))
    assert torch.autograd.gradcheck(lambda p: latent.relaxed_log_ratio(p, eps, 0.7, 0.5), (params,))
    z = latent.hard(params.detach(), eps)
    assert torch.autograd.gradcheck(lambda p: latent.log_prob(z, p), (params,))


@pytest.mark.parametrize("latent", LATENTS, ids=names)
def test_bad_arguments(latent):
    size, params = latent.num_parameters, random_params(latent, 2).float()
    event = torch.zeros(3, 2, *latent.event_shape)
    for call in (latent.kl, latent.mode, lambda p: latent.noise(p, 1), lambda p: latent.hard(p, event)):
        with pytest.raises(ValueError, match=rf"params must have shape \(B, {size}\), got \(2, {size + 1}\)"):
            call(torch.zeros(2, size + 1))
    with pytest.raises(ValueError, match=r"params.*nan"):
        latent.kl(params * math.nan)
    wanted = r"\(\.\.\., " + ", ".join(map(str, latent.event_shape)) + r"\), got "
    for call in (latent.prior_log_prob, lambda z: latent.log_prob(z, params)):
        with pytest.raises(ValueError, match=r"^z must not contain NaN"):
            call(event * math.nan)
    for wrong in (event[..., :1], event[..., :-1], torch.zeros(())):
        shape = wanted + r"\(" + ", ".join(map(str, wrong.shape))
        for call in (latent.hard, latent.relaxed, lambda p, e: latent.relaxed_log_ratio(p, e, 1.0, 1.0)):
            with pytest.raises(ValueError, match=f"noise.*{shape}"):
                call(params, wrong)
        for call in (latent.prior_log_prob, lambda z: latent.log_prob(z, params)):
            with pytest.raises(ValueError, match=f"z must have shape.*{shape}"):
                call(wrong)
    if not isinstance(latent, GaussianLatent):
        for temperature in (0.0, -1.0, math.nan):
            with pytest.raises(ValueError, match=f"temperature.*{temperature}"):
                latent.relaxed(params, event, temperature)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: BernoulliLatent(0), "num_bits must be at least 1, got 0"),
        (lambda: CategoricalLatent(0, 3), "num_variables must be at least 1, got 0"),
        (lambda: CategoricalLatent(3, 0), "num_categories must be at least 1, got 0"),
        (lambda: GaussianLatent(-1), "num_dimensions must be at least 1, got -1"),
    ],
)
def test_bad_sizes(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("latent", LATENTS, ids=names)
def test_an_empty_batch_stays_empty(latent):
    params = torch.zeros(0, latent.num_parameters)
    eps = latent.noise(params, 3)
    assert latent.kl(params).shape == (0,) and latent.log_prob(latent.hard(params, eps), params).shape == (
        3,
        0,
    )


@pytest.mark.parametrize("latent", LATENTS, ids=names)
def test_rows_that_do_not_broadcast_are_named_and_no_draw_is_none(latent) -> None:
    params = random_params(latent, 4)
    z = latent.noise(params, 2)[:, :3]
    shapes = rf"got \(2, 3, {str(latent.event_shape)[1:].rstrip(',)')}.* and \(4, {latent.num_parameters}\)"
    with pytest.raises(ValueError, match=f"^noise and params must have rows that broadcast, {shapes}"):
        latent.hard(params, z)
    assert latent.noise(params, 0).shape == (0, 4, *latent.event_shape)
    assert latent.sample_prior(0).shape == (0, *latent.event_shape)


def test_bits_of_another_precision_than_their_logits_are_scored_in_the_longer_one() -> None:
    logits, bits = random_params(DISCRETE[0], 2), torch.tensor([[[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]]])
    exact = DISCRETE[0].log_prob(bits.double(), logits)
    assert torch.equal(DISCRETE[0].log_prob(bits, logits), exact)
    single = DISCRETE[0].log_prob(bits.double(), logits.float())
    assert single.dtype == torch.float64
    torch.testing.assert_close(single, DISCRETE[0].log_prob(bits.double(), logits.float().double()))


def test_logits_are_summed_for_each_example_alone() -> None:
    huge = torch.tensor([[3e38, 0.0, 0.0], [3e38, 0.0, 0.0]])
    assert DISCRETE[0].log_prob(torch.ones(1, 2, 3), huge).isfinite().all()
    with pytest.raises(ValueError, match="the sum of params must be finite"):
        DISCRETE[0].log_prob(torch.ones(1, 1, 3), torch.full((1, 3), 3e38))


def test_the_kl_of_impossible_and_certain_categories_is_that_of_the_others() -> None:
    params = torch.tensor([[0.0, -torch.inf, 0.0], [0.0, torch.inf, 1.0]], dtype=torch.float64)
    expected = torch.tensor([math.log(3) - math.log(2), math.log(3)], dtype=torch.float64)
    torch.testing.assert_close(CategoricalLatent(1, 3).kl(params), expected)


def test_certain_bits_have_log_probability_zero_or_minus_infinity_beside_others_that_count() -> None:
    latent = BernoulliLatent(3)
    params = torch.tensor([[torch.inf, -torch.inf, 1.5], [-torch.inf, 1.5, -torch.inf]], requires_grad=True)
    first = torch.tensor([[1.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
    second = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
    log_q = latent.log_prob(torch.stack([first, second], 1), params)  # (4, 2)
    on = -math.log1p(math.exp(-1.5))
    expected = torch.tensor([on, on - 1.5, -torch.inf, -torch.inf])
    torch.testing.assert_close(log_q, expected.unsqueeze(-1).expand(4, 2))
    (gradient,) = torch.autograd.grad(log_q[0, 0], params)
    slope = 1 - 1 / (1 + math.exp(-1.5))
    torch.testing.assert_close(gradient, torch.tensor([[0.0, 0.0, slope], [0.0, 0.0, 0.0]]))


def test_in_a_compiled_graph_a_certain_category_has_the_same_value_and_no_gradient(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logits = torch.tensor([[0.5, torch.inf, -1.0], [0.2, 0.3, -torch.inf]], requires_grad=True)
    eager = log_softmax(logits)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    compiled = log_softmax(logits)
    assert torch.equal(compiled, eager)
    (gradient,) = torch.autograd.grad(compiled[0, 1] + compiled[1, 0], logits)
    share = 1 / (1 + math.exp(0.1))  # softmax of (0.2, 0.3)
    torch.testing.assert_close(gradient, torch.tensor([[0.0, 0.0, 0.0], [1 - share, share - 1, 0.0]]))


def test_a_gaussian_density_without_a_value_is_refused():
    latent = GaussianLatent(1)
    assert latent.log_prob(torch.tensor([math.inf]), torch.zeros(2)).item() == -math.inf
    with pytest.raises(ValueError, match=r"^the log-density of z and params must not contain NaN"):
        latent.log_prob(torch.tensor([math.inf]), torch.tensor([0.0, 1e38]))  # infinity times e^-1e38
