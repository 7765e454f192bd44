"""Relaxed distributions in torch's language: against torch's where those are right, mpmath elsewhere."""

import gc
import itertools
from collections.abc import Callable

import alarms
import mpmath
import pytest
import torch
from scipy.integrate import quad
from torch import Tensor, distributions
from torch.distributions.kl import kl_divergence
from torch.distributions.relaxed_bernoulli import LogitRelaxedBernoulli as TorchLogit
from torch.distributions.relaxed_categorical import ExpRelaxedCategorical as TorchExp

from catvae_lib import _validate
from catvae_lib import distributions as ours
from catvae_lib.distributions import (
    ExpRelaxedCategorical,
    LogitRelaxedBernoulli,
    RelaxedBernoulli,
    RelaxedOneHotCategorical,
)
from catvae_lib.noise import gumbel, logistic

BITS = [LogitRelaxedBernoulli, RelaxedBernoulli]
ONE_HOT = [ExpRelaxedCategorical, RelaxedOneHotCategorical]
ALL = [*BITS, *ONE_HOT]
TORCH = {
    LogitRelaxedBernoulli: TorchLogit,
    RelaxedBernoulli: distributions.RelaxedBernoulli,
    ExpRelaxedCategorical: TorchExp,
    RelaxedOneHotCategorical: distributions.RelaxedOneHotCategorical,
}


def double(*values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def close(found: Tensor, expected: object, rtol: float = 1e-12, atol: float = 1e-12) -> None:
    torch.testing.assert_close(found, torch.as_tensor(expected, dtype=found.dtype), rtol=rtol, atol=atol)


def exact_bit(y: object, logit: object, temperature: object) -> mpmath.mpf:
    """Log-density of a relaxed bit at sigmoid(y), by the definition, with 60 digits."""
    with mpmath.workdps(60):
        y, logit, temperature = (mpmath.mpf(float(v)) for v in (y, logit, temperature))
        z = temperature * y - logit
        base = mpmath.log(temperature) - z - 2 * mpmath.log1p(mpmath.exp(-z))
        return base + mpmath.log1p(mpmath.exp(-y)) + mpmath.log1p(mpmath.exp(y))


def exact_one_hot(y: Tensor, logits: Tensor, temperature: float) -> mpmath.mpf:
    """Log-density of a relaxed one-hot vector at exp(y) (Maddison et al. 2016, Eq. 10), with 60 digits."""
    with mpmath.workdps(60):
        t, pairs = mpmath.mpf(temperature), list(zip(y.tolist(), logits.tolist(), strict=True))
        total = mpmath.fsum(mpmath.exp(b - t * a) for a, b in pairs)
        terms = mpmath.fsum(b - t * a - a - mpmath.log(total) for a, b in pairs)
        return mpmath.log(mpmath.factorial(len(pairs) - 1)) + (len(pairs) - 1) * mpmath.log(t) + terms


# where torch's are right


@pytest.mark.parametrize("kind", BITS)
@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_bits_have_torchs_log_density(kind: type, temperature: float) -> None:
    logits = torch.linspace(-5, 5, 11, dtype=torch.float64)
    value = torch.linspace(0.001, 0.999, 41, dtype=torch.float64).unsqueeze(-1)
    value = value.logit() if kind is LogitRelaxedBernoulli else value
    theirs = TORCH[kind](double(temperature)[0], logits=logits).log_prob(value)
    close(kind(temperature, logits=logits).log_prob(value), theirs)
    close(kind(temperature, torch.sigmoid(logits)).log_prob(value), theirs, rtol=1e-11)


@pytest.mark.parametrize("kind", ONE_HOT)
@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_one_hot_vectors_have_torchs_log_density(kind: type, temperature: float) -> None:
    logits = double([0.0, 1.0, -2.0, 0.5], [3.0, 0.0, 0.0, 0.0])
    points = torch.softmax(3 * torch.randn(50, 1, 4, dtype=torch.float64), -1)
    value = points.log() if kind is ExpRelaxedCategorical else points
    theirs = TORCH[kind](double(temperature)[0], logits=logits).log_prob(value)
    close(kind(temperature, logits=logits).log_prob(value), theirs)
    close(kind(temperature, probs=3 * logits.softmax(-1)).log_prob(value), theirs)


@pytest.mark.parametrize("kind", ALL)
def test_shapes_supports_and_parameters_are_torchs(kind: type) -> None:
    logits = torch.randn(2, 3, dtype=torch.float64)
    for temperature in (double(0.7), double(0.7)[0]):  # torch's own example has one element
        mine, theirs = kind(temperature, logits=logits), TORCH[kind](temperature, logits=logits)
        assert (mine.batch_shape, mine.event_shape) == (theirs.batch_shape, theirs.event_shape)
        assert mine.rsample((5,)).shape == theirs.rsample((5,)).shape
        close(mine.logits, theirs.logits)
        close(mine.probs, theirs.probs)
    row = (double(0.7), None, logits[0])
    assert kind(*row).batch_shape == TORCH[kind](*row).batch_shape
    draw = LogitRelaxedBernoulli(1.0, logits=double(0.0)).rsample(generator=seeded())
    assert torch.equal(draw, logistic(1, generator=seeded(), dtype=torch.float64))
    assert mine.has_rsample and mine.support.event_dim == theirs.support.event_dim
    assert bool(mine.support.check(mine.sample((20,))).all())
    with pytest.raises(NotImplementedError):
        _ = RelaxedBernoulli(1.0, logits=0.0).mean
    close(LogitRelaxedBernoulli(0.5, logits=double(2.0)).mean, [4.0])


# where they are not


def test_a_sure_bit_keeps_its_noise_and_its_gradient() -> None:
    logits = torch.tensor([-30.0, 30.0], requires_grad=True)
    theirs = TorchLogit(torch.tensor(1.0), logits=logits).rsample((1000,))
    (gradient,) = torch.autograd.grad(theirs.sum(), logits)
    alarms.spend()  # 7 standard errors; logistic noise has 1.2 times the normal tail at 1000 draws
    assert gradient.tolist() == [0, 0] and abs(theirs.mean(0) - double(-15.93, 15.93)).max() < 0.4
    mine = LogitRelaxedBernoulli(1.0, logits=logits).rsample((1000,), generator=seeded())
    (gradient,) = torch.autograd.grad(mine.sum(), logits)
    assert gradient.tolist() == [1000, 1000]
    close(mine, logits.detach() + logistic((1000, 2), generator=seeded()))


@pytest.mark.parametrize("logit", [-100.0, 0.0, 100.0])
@pytest.mark.parametrize("temperature", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("y", [-1000.0, -100.0, -1.0, 0.0, 100.0, 1000.0])
def test_the_tails_of_a_bit_are_exact(y: float, logit: float, temperature: float) -> None:
    at, logits = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (y, logit))
    found = LogitRelaxedBernoulli(temperature, logits=logits).log_prob(at)
    jacobian = mpmath.log1p(mpmath.exp(-y)) + mpmath.log1p(mpmath.exp(y))
    close(found, float(exact_bit(y, logit, temperature) - jacobian))
    by_value, by_logit = torch.autograd.grad(found, [at, logits])
    slope = float(mpmath.tanh((mpmath.mpf(temperature) * y - logit) / 2))
    close(by_logit, slope)
    close(by_value, -temperature * slope)


def test_torch_still_fails_in_the_tail_of_a_bit() -> None:
    y = torch.tensor(-100.0, requires_grad=True)
    theirs = TorchLogit(torch.tensor(1.0), logits=torch.tensor(0.0)).log_prob(y)
    assert theirs.isneginf() and torch.autograd.grad(theirs, y)[0].isnan()


@pytest.mark.parametrize("temperature", [0.05, 0.5, 1.0, 2.0])
def test_a_saturated_bit_is_scored_where_it_came_from(temperature: float) -> None:
    logits = torch.tensor([-60.0, 0.0, 25.0, 60.0], requires_grad=True)
    bits = RelaxedBernoulli(temperature, logits=logits)
    x = bits.rsample((50,), generator=seeded())
    y = LogitRelaxedBernoulli(temperature, logits=logits).rsample((50,), generator=seeded())
    assert bool((x == 1).any()) and bits.log_prob(x).isfinite().all()
    other = RelaxedBernoulli(0.7, logits=torch.tensor(3.0))
    for one, logit, t in ((bits, logits, temperature), (other, torch.full((4,), 3.0), 0.7)):
        log_prob = one.log_prob(x).detach()
        for (i, j), found in zip(itertools.product(range(50), range(4)), log_prob.flatten(), strict=True):
            expected = float(exact_bit(y[i, j].item(), logit[j].item(), torch.tensor(t).item()))
            assert found.item() == pytest.approx(expected, rel=2e-6, abs=2e-6 * (1 + abs(y[i, j].item())))
    (gradient,) = torch.autograd.grad(bits.log_prob(x).sum(), logits)
    # along the path: z = noise is free of the logits, the Jacobian moves by tanh(y / 2) / temperature
    close(gradient, (torch.tanh(y / 2) / temperature).sum(0), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cold_one_hot_vectors_score_their_own_samples(dtype: torch.dtype) -> None:
    logits = torch.zeros(10, dtype=dtype, requires_grad=True)
    cold = RelaxedOneHotCategorical(0.05, logits=logits)
    x = cold.rsample((200,), generator=seeded())
    y = ExpRelaxedCategorical(0.05, logits=logits).rsample((200,), generator=seeded())
    found = cold.log_prob(x)
    exact = [float(exact_one_hot(row, cold.logits, float(torch.tensor(0.05, dtype=dtype)))) for row in y]
    tight = 1e-5 if dtype == torch.float32 else 1e-11
    close(found, exact, rtol=tight, atol=100 * tight)
    assert torch.autograd.grad(found.sum(), logits)[0].isfinite().all()
    if dtype == torch.float32:
        assert bool((x == 0).any())
        theirs = distributions.RelaxedOneHotCategorical(
            torch.tensor(0.05), logits=torch.zeros(10), validate_args=False
        )
        failed = theirs.log_prob(theirs.rsample((2000,))).isfinite().logical_not().double().mean()
        assert 0.1 < failed < 0.5


@pytest.mark.parametrize("num_categories", [100, 10_000])
def test_no_sample_is_refused_by_its_own_support(num_categories: int) -> None:
    one = RelaxedOneHotCategorical(0.5, logits=torch.randn(num_categories))
    assert one.log_prob(one.sample((50,), generator=seeded())).isfinite().all()
    assert one.base_dist.log_prob(one.base_dist.sample((50,), generator=seeded())).isfinite().all()


def test_the_noise_is_not_cut_where_torch_cuts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    highest = torch.tensor(1 - 2.0**-24)
    monkeypatch.setattr(torch, "rand", lambda *a, **k: highest.expand(2).clone())
    sharp = ExpRelaxedCategorical(1.0, logits=torch.tensor([0.0, 50.0]))
    assert sharp.rsample()[0].item() == pytest.approx(-50)
    assert LogitRelaxedBernoulli(1.0, logits=torch.zeros(2)).rsample()[0].item() == pytest.approx(
        16.6355, 1e-4
    )
    assert TorchLogit(torch.tensor(1.0), logits=torch.zeros(2)).rsample()[0] < 15.95
    monkeypatch.setattr(torch, "rand", lambda *a, **k: torch.zeros(2))
    for kind in ALL:
        mine = kind(1.0, logits=torch.zeros(2))
        assert mine.rsample().isfinite().all() and mine.log_prob(mine.rsample()).isfinite().all()


# a value that is not a remembered sample


def test_end_points_from_elsewhere_are_taken_as_the_nearest_inside() -> None:
    for dtype in (torch.float32, torch.float64):
        limits = torch.finfo(dtype)
        bits = RelaxedBernoulli(0.5, logits=torch.tensor(1.0, dtype=dtype, requires_grad=True))
        x = torch.tensor([0.0, 1.0], dtype=dtype, requires_grad=True)
        inside = torch.tensor([limits.tiny, 1 - limits.eps / 2], dtype=dtype)
        assert torch.equal(bits.log_prob(x), bits.log_prob(inside))
        gradients = torch.autograd.grad(bits.log_prob(x).sum(), [x, bits.logits])
        assert all(g.isfinite().all() for g in gradients)
        vertex = torch.tensor([1.0, 0.0, 0.0], dtype=dtype)
        one_hot = RelaxedOneHotCategorical(0.5, logits=torch.zeros(3, dtype=dtype))
        near = torch.tensor([1.0, limits.tiny, limits.tiny], dtype=dtype)
        exact = exact_one_hot(near.double().log(), one_hot.logits, 0.5)
        close(one_hot.log_prob(vertex), float(exact), rtol=1e-5, atol=1e-4)
        assert torch.equal(one_hot.log_prob(vertex), one_hot.log_prob(near))


def test_a_copy_or_a_changed_sample_or_a_leaf_with_a_gradient_remembers_nothing() -> None:
    bits = RelaxedBernoulli(0.5, logits=torch.tensor([60.0, 1.0]))
    x = bits.sample(generator=seeded())
    exact, inside = bits.log_prob(x), bits.log_prob(x.clone())
    assert exact[0] > inside[0] + 10 and abs(exact[1] - inside[1]) < 1e-4
    leaf = bits.sample(generator=seeded()).requires_grad_()
    assert torch.equal(bits.log_prob(leaf), inside)
    assert torch.autograd.grad(bits.log_prob(leaf).sum(), leaf)[0][1] != 0
    x.clamp_(0.1, 0.6)
    close(bits.log_prob(x), bits.log_prob(torch.tensor([0.6, 0.6]).minimum(x)))


def test_what_is_remembered_dies_with_the_sample() -> None:
    gc.collect()
    before = len(ours._ORIGINS)
    x = RelaxedOneHotCategorical(0.5, logits=torch.zeros(3, requires_grad=True)).rsample()
    assert len(ours._ORIGINS) == before + 1
    del x
    gc.collect()
    assert len(ours._ORIGINS) == before


def test_inference_mode_draws_and_scores() -> None:
    with torch.inference_mode():
        bits = RelaxedBernoulli(0.5, logits=torch.tensor(60.0))
        assert bits.log_prob(bits.sample()).isfinite()


# what a distribution must be


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.0])
def test_densities_integrate_to_one(temperature: float) -> None:
    one = RelaxedBernoulli(temperature, logits=double(0.7)[0])
    mass, _ = quad(lambda x: one.log_prob(double(x)).exp().item(), 0, 1, epsabs=1e-8, limit=200)
    assert mass == pytest.approx(1, abs=1e-6)
    two = RelaxedOneHotCategorical(temperature, logits=double(0.7, 0.0))
    mass, _ = quad(lambda x: two.log_prob(double(x, 1 - x)).exp().item(), 0, 1, epsabs=1e-8, limit=200)
    assert mass == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("kind", ALL)
def test_the_generator_decides_and_the_global_one_is_left_alone(kind: type) -> None:
    one = kind(0.5, logits=torch.randn(4, 3, requires_grad=True))
    state = torch.get_rng_state()
    first, again = (one.rsample((2,), generator=seeded(3)) for _ in range(2))
    assert torch.equal(first, again) and torch.equal(state, torch.get_rng_state())
    assert not torch.equal(first, one.rsample((2,), generator=seeded(4)))
    drawn = one.sample((2,), generator=seeded(3))
    assert torch.equal(first, drawn) and first.requires_grad and not drawn.requires_grad


@pytest.mark.parametrize("kind", ALL)
def test_expand_is_the_same_distribution_in_a_larger_batch(kind: type) -> None:
    shape = (2, 3) if kind in ONE_HOT else (2,)
    small = kind(double(0.5, 2.0), logits=torch.randn(shape, dtype=torch.float64), validate_args=True)
    large = small.expand((4, *small.batch_shape))
    assert type(large) is kind and large.batch_shape == (4, *small.batch_shape)
    assert large.event_shape == small.event_shape and large._validate_args == small._validate_args
    x = large.rsample((5,), generator=seeded())
    assert x.shape == (5, *large.batch_shape, *large.event_shape)
    assert not torch.equal(x[:, 0], x[:, 1])
    close(large.log_prob(x), small.log_prob(x))
    for name in ("temperature", "logits", "probs"):
        close(getattr(large, name)[1], getattr(small, name))


@pytest.mark.parametrize("kind", ONE_HOT)
def test_each_row_may_have_its_temperature(kind: type) -> None:
    logits = torch.randn(3, dtype=torch.float64)
    rows = kind(double(0.3, 1.0, 4.0, 1.5), logits=logits)
    x = rows.rsample((6,), generator=seeded()).detach()
    singles = [kind(t, logits=logits).log_prob(x[:, i]) for i, t in enumerate(rows.temperature)]
    close(rows.log_prob(x), torch.stack(singles, -1))


@pytest.mark.parametrize("kind", ALL)
def test_gradients_by_finite_differences(kind: type) -> None:
    logits = torch.randn(3, dtype=torch.float64, requires_grad=True)
    temperature = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)

    def path(logits: Tensor, temperature: Tensor) -> Tensor:
        one = kind(temperature, logits=logits)
        return one.log_prob(one.rsample((4,), generator=seeded()))

    def score(logits: Tensor, temperature: Tensor) -> Tensor:
        return kind(temperature, logits=logits).log_prob(fixed)

    fixed = kind(0.7, logits=torch.zeros(3, dtype=torch.float64)).sample()
    assert torch.autograd.gradcheck(path, (logits, temperature))
    assert torch.autograd.gradcheck(score, (logits, temperature))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda k: k(1.0), "exactly one"),
        (lambda k: k(1.0, probs=torch.ones(3) / 3, logits=torch.zeros(3)), "exactly one"),
        (lambda k: k(0.0, logits=torch.zeros(3)), "temperature"),
        (lambda k: k(torch.tensor(-1.0), logits=torch.zeros(3)), "temperature"),
        (lambda k: k(float("nan"), logits=torch.zeros(3)), "temperature"),
        (lambda k: k(torch.ones(4), logits=torch.zeros(3, 3)), "temperature"),
        (lambda k: k(1.0, logits=torch.zeros(3, dtype=torch.int64)), "logits"),
        (lambda k: k(1.0, logits=torch.tensor([0.0, torch.nan])), "logits"),
        (lambda k: k(1.0, probs=torch.tensor([1.5, -0.5])), "probs"),
        (lambda k: k(-1.0, logits=torch.zeros(3), validate_args=False).rsample(), "temperature"),
        (
            lambda k: k(1.0, logits=torch.zeros(3)).log_prob(torch.full((3,), torch.nan)),
            "value must not contain NaN",
        ),
        (lambda k: k(1.0, logits=torch.zeros(3)).log_prob(torch.zeros(2)), "shape|broadcast|agree"),
    ],
)
@pytest.mark.parametrize("kind", ALL)
def test_bad_input(kind: type, make: Callable[[type], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(kind)


def test_a_value_outside_the_support_is_refused() -> None:
    for one, value in (
        (RelaxedBernoulli(1.0, logits=torch.zeros(1)), [1.5]),
        (RelaxedOneHotCategorical(1.0, logits=torch.zeros(2)), [0.5, 0.6]),
        (ExpRelaxedCategorical(1.0, logits=torch.zeros(2)), [-1.0, -1.0]),
    ):
        with pytest.raises(ValueError, match="support"):
            one.log_prob(torch.tensor(value))
    with pytest.raises(ValueError, match="logits must have shape"):
        ExpRelaxedCategorical(1.0, logits=torch.tensor(0.0))


def test_certain_bits_have_samples() -> None:
    assert RelaxedBernoulli(1.0, probs=torch.tensor([0.0, 1.0])).sample().tolist() == [0, 1]
    certain = RelaxedOneHotCategorical(1.0, probs=torch.tensor([0.0, 1.0]))
    assert certain.sample().tolist() == [0, 1]
    with pytest.raises(ValueError, match="logits must be finite"):
        certain.log_prob(torch.tensor([0.5, 0.5]))


# KL divergences


@pytest.mark.parametrize("kind", BITS)
@pytest.mark.parametrize("difference", [0.0, 1e-9, 1e-3, 0.5, 1.999, 2.001, -2.5, 10.0, 700.0, -3000.0])
def test_kl_of_bits(kind: type, difference: float) -> None:
    logits = double(0.25 + difference)[0].requires_grad_()
    found = kl_divergence(kind(0.3, logits=logits), kind(0.3, logits=double(0.25)[0]))
    d = mpmath.mpf(logits.item()) - mpmath.mpf("0.25")
    with mpmath.workdps(60):
        exact = d * mpmath.coth(d / 2) - 2 if d else 0
        slope = (mpmath.sinh(d) - d) / (mpmath.cosh(d) - 1) if d else 0
    close(found, float(exact), rtol=1e-13, atol=0)
    close(torch.autograd.grad(found, logits)[0], float(slope), rtol=1e-12, atol=0)


def test_kl_of_bits_is_the_integral() -> None:
    p, q = (RelaxedBernoulli(0.7, logits=double(m)[0]) for m in (1.0, -1.5))

    def integrand(y: float) -> float:
        at = double(y)[0]
        log_p = p.base_dist.log_prob(at)
        return float(log_p.exp() * (log_p - q.base_dist.log_prob(at)))

    integral, _ = quad(integrand, -60, 60, epsabs=1e-11, limit=300)
    assert kl_divergence(p, q).item() == pytest.approx(integral, abs=1e-8)


def divided_difference(p: Tensor, q: Tensor) -> float:
    """The KL by its closed form, with 200 digits: the terms cancel almost entirely."""
    with mpmath.workdps(200):
        log_c = [mpmath.mpf(b) - mpmath.mpf(a) for a, b in zip(p.tolist(), q.tolist(), strict=True)]
        c = [mpmath.exp(one) for one in log_c]
        bracket = -mpmath.harmonic(len(c) - 1)
        for k, ck in enumerate(c):
            bracket += log_c[k] * mpmath.fprod(ck / (ck - cj) for j, cj in enumerate(c) if j != k)
        return float(len(c) * bracket - mpmath.fsum(log_c))


@pytest.mark.parametrize("kind", ONE_HOT)
@pytest.mark.parametrize("num_categories", [1, 2, 3, 10, 40])
def test_kl_of_one_hot_vectors_is_the_divided_difference(kind: type, num_categories: int) -> None:
    p, q = (kind(0.3, logits=2 * torch.randn(num_categories, dtype=torch.float64)) for _ in range(2))
    close(kl_divergence(p, q), divided_difference(p.logits, q.logits), rtol=1e-11, atol=1e-12)


def test_kl_of_one_hot_vectors_that_are_far_apart() -> None:
    p = ExpRelaxedCategorical(0.3, logits=double(0.0, 0.0, 0.5))
    for q in (double(90.0, 0.0, -40.0), double(0.0, 1.0, 200.0), double(-70.0, 80.0, 0.0)):
        far = ExpRelaxedCategorical(0.3, logits=q)
        close(kl_divergence(p, far), divided_difference(p.logits, far.logits), rtol=1e-11)
        close(kl_divergence(far, p), divided_difference(far.logits, p.logits), rtol=1e-11)


@pytest.mark.parametrize("kind", ALL)
def test_a_batch_expands_to_a_larger_one_only(kind: type) -> None:
    made = kind(0.5, logits=torch.zeros(3, 2) if kind in ONE_HOT else torch.zeros(3))
    with pytest.raises(ValueError, match=r"^batch_shape must .*\(3,\)"):
        made.expand((2,))


def test_kl_of_one_hot_vectors_in_monte_carlo_and_in_special_cases() -> None:
    p, q = (RelaxedOneHotCategorical(0.5, logits=double(*row)) for row in ([0.0, 1.0, 2.0], [0.0, 0.0, -1.0]))
    x = p.sample((100_000,), generator=seeded())
    ratio = p.log_prob(x) - q.log_prob(x)
    limit = alarms.empirical(ratio, 3 * 3.0)  # K times the range of the difference of the logits
    assert abs(ratio.mean() - kl_divergence(p, q)) < limit < 0.036  # and finds an error of 0.05 nats
    assert kl_divergence(p, p).item() == 0
    pair = [RelaxedOneHotCategorical(0.5, logits=double([m, 0.0], [2 * m, 0.0])) for m in (1.0, -3.0)]
    bits = [RelaxedBernoulli(0.5, logits=double(m, 2 * m)) for m in (1.0, -3.0)]
    close(kl_divergence(*pair), kl_divergence(*bits))
    single = [RelaxedOneHotCategorical(0.5, logits=one.logits.float()) for one in (p, q)]
    close(kl_divergence(*single), kl_divergence(p, q).float(), rtol=1e-5)
    far = kl_divergence(p, RelaxedOneHotCategorical(0.5, logits=double(0.0, 1.0, -900.0)))
    assert far.item() == pytest.approx(902 - 3 * 1.5 + 3 * mpmath.log(2), abs=10) and far.isfinite()


@pytest.mark.parametrize("kind", ALL)
def test_no_kl_without_a_closed_form(kind: type) -> None:
    logits = torch.zeros(3)
    with pytest.raises(NotImplementedError, match="different temperatures"):
        kl_divergence(kind(0.5, logits=logits), kind(0.6, logits=logits))
    with pytest.raises(NotImplementedError):
        kl_divergence(kind(0.5, logits=logits), TORCH[kind](torch.tensor(0.5), logits=logits))
    with pytest.raises(NotImplementedError):
        kl_divergence(LogitRelaxedBernoulli(0.5, logits=logits), RelaxedBernoulli(0.5, logits=logits))
    with pytest.raises(ValueError, match=r"q\.logits"):
        kl_divergence(kind(0.5, logits=logits), kind(0.5, logits=torch.tensor([0.0, 0.0, torch.inf])))


def test_arguments_are_checked_although_compiling_turns_torch_s_checks_off() -> None:
    before = distributions.Distribution._validate_args
    distributions.Distribution.set_default_validate_args(False)  # as `torch.compile` does for the process
    try:
        for one in ALL:
            with pytest.raises(ValueError, match="temperature"):
                one(-1.0, logits=torch.zeros(2))
    finally:
        distributions.Distribution.set_default_validate_args(before)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("asked", [None, True, False])
def test_what_is_checked_is_what_was_asked_and_everything_by_default(kind: type, asked: bool | None) -> None:
    before = distributions.Distribution._validate_args
    distributions.Distribution.set_default_validate_args(asked is False)  # the opposite
    try:
        made = kind(1.0, logits=torch.zeros(2), validate_args=asked)
        parts = [made, made.base_dist] if hasattr(made, "base_dist") else [made]
        assert all(bool(part._validate_args) is (asked is not False) for part in parts)
    finally:
        distributions.Distribution.set_default_validate_args(before)


@pytest.mark.parametrize("kind", ALL)
def test_parameters_are_where_the_logits_are(kind: type) -> None:
    with _validate.trusted():
        made = kind(0.5, logits=torch.zeros(3, device="meta"), validate_args=False)
        assert made.temperature.device.type == made.rsample((2,)).device.type == "meta"
        assert kl_divergence(made, made).device.type == "meta"


@pytest.mark.parametrize("kind", ONE_HOT)
def test_one_hot_vectors_are_drawn_in_the_precision_of_their_logits(kind: type) -> None:
    made = ExpRelaxedCategorical(0.5, logits=double(0.0, 1.0, 2.0))
    noise = gumbel((3,), generator=seeded(), dtype=torch.float64)
    close(made.rsample(generator=seeded()), ((made.logits + noise) / 0.5).log_softmax(-1))
    single = kind(0.5, logits=torch.tensor([0.0, 1.0, 2.0]))
    assert kl_divergence(single, kind(0.5, logits=torch.zeros(3))).dtype == torch.float32
    with pytest.raises(ValueError, match="probs must not be negative"):
        kind(0.5, probs=double(-1.0, -1.0))


def test_each_row_of_a_batch_has_its_own_divergence_and_its_own_place_in_the_simplex() -> None:
    logits = double([0.0, 1.0, 2.0], [0.0, 500.0, -3.0], [0.1, 0.2, 0.3], [500.0, 0.0, 1.0])
    for kind in ONE_HOT:
        p, q = kind(0.5, logits=logits), kind(0.5, logits=logits.roll(2, 0))
        rows = [
            kl_divergence(kind(0.5, logits=a), kind(0.5, logits=b))
            for a, b in zip(p.logits, q.logits, strict=True)
        ]
        close(kl_divergence(p, q), torch.stack(rows))
        close(
            kind(0.5, probs=logits.softmax(-1) * double([2.0], [3.0], [4.0], [5.0])).logits,
            logits.log_softmax(-1),
        )
    inside = RelaxedOneHotCategorical.support.check(double([0.5, 0.5], [-0.5, 1.5], [0.6, 0.6]))
    assert inside.tolist() == [True, False, False]
    with pytest.raises(ValueError, match="the last dimension K must agree"):
        kl_divergence(*(ExpRelaxedCategorical(0.5, logits=torch.zeros(k)) for k in (2, 3)))


def test_a_sample_changed_behind_torchs_back_or_unseen_is_forgotten() -> None:
    one = RelaxedBernoulli(0.5, logits=double(-15.0))
    x = one.sample(generator=seeded())
    assert 1e-12 < float(x) < 1e-8
    x.data.mul_(1.5)  # no version counts it, and the change is far below 1e-8
    close(one.log_prob(x), one.log_prob(x.clone()))
    y = one.sample(generator=seeded())
    with _validate.trusted():  # no value is read, but the version is
        y.mul_(1e6)
        close(one.log_prob(y), one.log_prob(y.clone()))


@pytest.mark.parametrize("kind", BITS)
def test_probabilities_of_bits_are_named_and_held_to_their_interval(kind: type) -> None:
    with pytest.raises(ValueError, match=r"^probs must lie in \[0, 1\], got 1\.0005"):
        kind(1.0, probs=double(0.5, 1.0005))
    for name in ("probs", "logits"):
        with pytest.raises(ValueError, match=f"^{name} must not contain NaN"):
            kind(1.0, **{name: double(torch.nan)})
        with pytest.raises(
            ValueError, match=f"^{name} must be a floating-point tensor, got dtype torch.int64"
        ):
            kind(1.0, **{name: torch.tensor([1])})


def test_expand_fills_the_instance_that_a_subclass_hands_over() -> None:
    for kind in ALL:
        made = kind(0.5, logits=torch.zeros(3))
        own = type(f"Own{kind.__name__}", (kind,), {})
        instance = own.__new__(own)
        assert made.expand((2, *made.batch_shape), instance) is instance
        assert instance.batch_shape == (2, *made.batch_shape)


def test_a_sample_of_one_family_is_a_plain_value_to_the_other() -> None:
    x = RelaxedOneHotCategorical(0.5, logits=double(0.0, 1.0, 2.0)).sample(generator=seeded())
    bits = RelaxedBernoulli(0.5, logits=double(0.3, -1.0, 2.0))
    close(bits.log_prob(x), bits.log_prob(x.clone()))
