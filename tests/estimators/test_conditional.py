"""Perturbed logits given their code: the identities that REBAR, RELAX and Gumbel-Rao stand on."""

import alarms
import pytest
import torch
from problems import FLOAT
from torch import Tensor

from catvae_lib import density, noise
from catvae_lib.classroom.stats import continuous_fit
from catvae_lib.estimators.conditional import conditional, harden, perturbed, soften
from catvae_lib.latent import BernoulliLatent, CategoricalLatent, Latent

BIT, CATEGORIES = BernoulliLatent(1), CategoricalLatent(1, 3)
CATEGORY_LOGITS = torch.tensor([[0.5, -1.0, 2.0]], dtype=FLOAT)


def drawn(latent: Latent, logits: Tensor, n: int, seed: int = 0) -> Tensor:
    """Noise (n, B, *event_shape)."""
    return latent.noise(logits, n, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0])
@pytest.mark.parametrize("latent", [BernoulliLatent(4), CategoricalLatent(3, 5)])
def test_the_code_of_the_conditional_sample_is_the_given_code(
    latent: Latent, scale: float, dtype: torch.dtype
) -> None:
    """Also for codes that are nearly impossible, and in float32."""
    generator = torch.Generator().manual_seed(0)
    logits = scale * noise.logistic((20, latent.num_parameters), generator=generator, dtype=dtype)
    fair = torch.zeros_like(logits)
    z = latent.hard(fair, latent.noise(fair, 500, generator=generator))  # codes that need not be likely
    given = conditional(latent, logits, z, latent.noise(logits, 500, generator=generator))
    assert bool(given.isfinite().all())
    assert torch.equal(harden(latent, given), z)


@pytest.mark.parametrize("logit", [-3.0, 0.0, 1.2])
def test_averaged_over_bits_it_is_the_unconditional_law(logit: float) -> None:
    """Kolmogorov-Smirnov at 400,000 draws: would detect a distance of 0.007 of the distribution functions."""
    logits = torch.full((400_000, 1), logit, dtype=FLOAT)
    z = BIT.hard(logits, drawn(BIT, logits, 1))
    given = conditional(BIT, logits, z, drawn(BIT, logits, 1, seed=1))
    fit = continuous_fit(given, lambda x: density.logistic_cdf(x, logit), false_alarm=alarms.spend())
    assert not fit.rejected and fit.smallest_deviation < 0.008


@pytest.mark.parametrize("k", [0, 1, 2])
def test_averaged_over_categories_it_is_the_unconditional_law(k: int) -> None:
    """Each perturbed logit is a Gumbel at ln pi_k, and differences are logistic: they are independent.

    Would detect a distance of 0.011.
    """
    logits = CATEGORY_LOGITS.expand(200_000, -1)
    z = CATEGORIES.hard(logits, drawn(CATEGORIES, logits, 1))
    given = conditional(CATEGORIES, logits, z, drawn(CATEGORIES, logits, 1, seed=1))[0, :, 0]
    log_p = CATEGORY_LOGITS[0].log_softmax(-1)
    fit = continuous_fit(
        given[:, k], lambda x: density.gumbel_cdf(x, float(log_p[k])), false_alarm=alarms.spend()
    )
    assert not fit.rejected
    other = (k + 1) % 3
    fit = continuous_fit(
        given[:, k] - given[:, other],
        lambda x: density.logistic_cdf(x, float(log_p[k] - log_p[other])),
        false_alarm=alarms.spend(),
    )
    assert not fit.rejected


@pytest.mark.parametrize("latent", [BIT, CATEGORIES])
def test_given_its_own_code_it_has_the_law_of_the_draws_with_that_code(latent: Latent) -> None:
    """Rejection sampling as the oracle: means of the perturbed logits among the draws with one code.

    The two have one law, so that their difference is symmetric. A difference of the means of 0.12 standard
    deviations is found for the rarest code, of which there are 15,600, and of 0.025 for the others.
    """
    logits = torch.tensor([[0.7]], dtype=FLOAT) if latent is BIT else CATEGORY_LOGITS
    free = perturbed(latent, logits, drawn(latent, logits, 400_000))
    codes = harden(latent, free)
    for code in codes.unique(dim=0):
        same = free[(codes == code).flatten(1).all(1)].flatten(1)
        given = conditional(latent, logits, code, drawn(latent, logits, len(same), seed=2)).flatten(1)
        for power in (1, 2):
            difference = same.pow(power) - given.pow(power)
            assert bool((difference.mean(0).abs() < alarms.symmetric(difference)).all()), (code, power)


@pytest.mark.parametrize("logit", [-2.0, 0.0, 3.0])
def test_the_formula_in_u_of_the_rebar_paper(logit: float) -> None:
    """u' = (1 - theta) + v theta where the bit is 1, v (1 - theta) where it is 0; then add the logits."""
    theta = torch.tensor(logit, dtype=FLOAT).sigmoid()
    v = torch.linspace(0.001, 0.999, 999, dtype=FLOAT)[:, None, None]
    for bit, u in ((1.0, 1 - theta + v * theta), (0.0, v * (1 - theta))):
        expected = logit + noise.logistic_from_uniform(u)
        z = torch.full_like(v, bit)
        found = conditional(BIT, torch.full((1, 1), logit, dtype=FLOAT), z, noise.logistic_from_uniform(v))
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_softening_tends_to_hardening() -> None:
    for latent in (BernoulliLatent(4), CategoricalLatent(3, 5)):
        logits = torch.zeros(7, latent.num_parameters, dtype=FLOAT)
        free = perturbed(latent, logits, drawn(latent, logits, 11))
        torch.testing.assert_close(soften(latent, free, 1e-6), harden(latent, free))
        torch.testing.assert_close(soften(latent, free, 0.7), latent.relaxed(logits, free, 0.7))
