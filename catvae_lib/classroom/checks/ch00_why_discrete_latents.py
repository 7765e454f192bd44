"""Chapter 00: the Gaussian sample and its KL."""

import torch
from torch import Tensor

from catvae_lib import density, sampling
from catvae_lib.classroom._compare import show
from catvae_lib.classroom.trial import Known, Trial, task


def draw_nothing(trial: Trial, case: tuple[Tensor, ...], hint: str) -> None:
    """Demand the same result twice."""
    one, two = trial.call(*case), trial.call(*case)
    tensors = isinstance(one, Tensor) and isinstance(two, Tensor)
    same = not tensors or torch.equal(one.nan_to_num(), two.nan_to_num())
    came = "two different results for the same arguments"
    trial.that(same, came, "the same result twice", hint, tried=f"{trial.name}, called twice")


_GAUSSIAN_REPARAMETERIZED_KNOWN: Known = [
    (
        lambda mean, log_std, noise: mean + torch.exp(2 * log_std) * noise,
        "It is right only at a standard deviation of 1: here the variance multiplies the noise.",
    ),
    (
        lambda mean, log_std, noise: mean + torch.exp(log_std / 2) * noise,
        "The spread is the root of the right one: log_std was read as the log of a variance.",
    ),
    (
        lambda mean, log_std, noise: mean + log_std * noise,
        "No noise is left at log_std = 0, where the standard deviation is 1: log_std is a logarithm.",
    ),
    (lambda mean, log_std, noise: mean + torch.exp(log_std), "It does not depend on the noise."),
    (lambda mean, log_std, noise: mean + noise, "It does not depend on log_std: the spread is always 1."),
    (lambda mean, log_std, noise: torch.exp(log_std) * noise, "It does not depend on the mean."),
    (
        lambda mean, log_std, noise: torch.exp(log_std) * (mean + noise),
        "The standard deviation multiplies the mean too: the mean is added last.",
    ),
    (
        lambda mean, log_std, noise: mean - torch.exp(log_std) * noise,
        "The noise is subtracted: positive noise must end above the mean.",
    ),
    (lambda mean, log_std, noise: mean + torch.exp(-log_std) * noise, "The spread falls as log_std rises."),
]


@task
def gaussian_reparameterized(trial: Trial) -> None:
    """Return a Gaussian sample as a function of mean, log standard deviation and noise."""

    def case(*leading: int) -> tuple[Tensor, Tensor, Tensor]:
        shape = (trial.integer(2, 4), trial.integer(2, 5))
        return trial.normal(*shape, scale=2), trial.normal(*shape), trial.normal(*leading, *shape)

    hint = "All randomness is in the argument `noise`: draw none inside."
    draw_nothing(trial, case(), hint)
    trial.agree(
        sampling.gaussian,
        [case() for _ in range(8)],
        known=_GAUSSIAN_REPARAMETERIZED_KNOWN,
        hint="Noise has mean 0 and standard deviation 1. Which spread must it get, and what is added then?",
    )
    hint = "Noise with a dimension more in front: one draw after the other, each with the same mean."
    trial.agree(sampling.gaussian, [case(3)], hint=hint)
    trial.gradients(sampling.gaussian, [case() for _ in range(3)])
    mean, log_std, noise = case()
    result = trial.call(mean, log_std.requires_grad_(), noise)
    _second_gradient(trial, result, log_std, log_std.exp() * noise)


def _second_gradient(trial: Trial, result: Tensor, log_std: Tensor, right: Tensor) -> None:
    """Demand that the sum of a result has the right gradient with respect to log_std."""
    tried = f"{trial.name}, differentiated with respect to log_std"
    hint = "The standard deviation is trained as well: `.detach()`, `.data` and `no_grad()` cut its gradient."
    flows = result.requires_grad
    (slope,) = torch.autograd.grad(result.sum(), log_std, allow_unused=True) if flows else (None,)
    trial.that(slope is not None, "no gradient with respect to log_std", "a gradient", hint, tried=tried)
    assert slope is not None
    fits = torch.allclose(slope, right.detach(), rtol=1e-6, atol=1e-6)
    hint = "The values are right. How they change with log_std is not: is part of the formula detached?"
    came, expected = (f"gradient {show(one)}" for one in (slope, right.detach()))
    trial.that(fits, came, expected, hint, tried=tried)


_GAUSSIAN_KL_TO_STANDARD_KNOWN: Known = [
    (
        lambda mean, log_std: density.gaussian_kl(mean, log_std).mean(-1),
        "It is 1/D of the right result: over the D dimensions, the KLs of independent variables add up.",
    ),
    (
        lambda mean, log_std: density.gaussian_kl(mean, log_std / 2).sum(-1),
        "log_std was read as the log of a variance.",
    ),
    (
        lambda mean, log_std: density.gaussian_kl(mean, 2 * log_std).sum(-1),
        "The variance was squared once more: is `exp(2 * log_std)` not the variance already?",
    ),
    (
        lambda mean, log_std: density.gaussian_kl(-mean * torch.exp(-log_std), -log_std).sum(-1),
        "This is the KL in the other direction, from the standard Gaussian to q: the average is over q.",
    ),
    (
        lambda mean, log_std: (density.gaussian_kl(mean, log_std) + log_std).sum(-1),
        "The term with the logarithm is missing: as sigma goes to 0, the KL must grow without bound.",
    ),
    (
        lambda mean, log_std: (density.gaussian_kl(mean, log_std) + 2 * log_std).sum(-1),
        "The sign of the logarithm is wrong: as sigma goes to 0, the KL must grow, not fall.",
    ),
    (
        lambda mean, log_std: (density.gaussian_kl(mean, log_std) + 0.5).sum(-1),
        "At mean 0 and sigma 1 the two distributions are one, and the KL is not 0: a constant is missing.",
    ),
    (
        lambda mean, log_std: (
            density.gaussian_kl(mean, log_std) + (log_std.exp() - torch.exp(2 * log_std)) / 2
        ).sum(-1),
        "sigma stands where its square belongs: under q, z^2 has the mean mu^2 plus the variance.",
    ),
    (
        lambda mean, log_std: (density.gaussian_kl(mean, log_std) - mean.square()).sum(-1),
        "The sign of the squared mean is wrong: moving q away must raise the KL.",
    ),
    (
        lambda mean, log_std: (density.gaussian_kl(mean, log_std) - mean.square() / 2 + mean / 2).sum(-1),
        "Moving the mean down is as far as moving it up: its square is missing.",
    ),
    (
        lambda mean, log_std: density.gaussian_kl(torch.zeros_like(mean), log_std).sum(-1),
        "It does not depend on the mean.",
    ),
    (
        lambda mean, log_std: (density.gaussian_kl(mean, log_std) + log_std / 2).sum(-1),
        "The logarithm has half its weight: the log of the variance is twice log_std.",
    ),
]


@task
def gaussian_kl_to_standard(trial: Trial) -> None:
    """Return the KL divergence of a diagonal Gaussian from the standard one, summed over the last axis."""

    def right(mean: Tensor, log_std: Tensor) -> Tensor:
        return density.gaussian_kl(mean, log_std).sum(-1)

    def case(dimensions: int) -> tuple[Tensor, Tensor]:
        shape = (trial.integer(2, 4), dimensions)
        return trial.normal(*shape, scale=1.5), trial.normal(*shape)

    cases = [case(dimensions) for dimensions in (1, 2, 3, 4, 5, 2, 6, 3)]
    hint = "Write E_q[ln q(z) - ln p(z)] on paper. Under q, what is the mean of (z - mu)^2, and that of z^2?"
    trial.agree(right, cases, known=_GAUSSIAN_KL_TO_STANDARD_KNOWN, hint=hint)
    trial.gradients(right, cases[:3])
    mean, log_std = case(3)
    result = trial.call(mean, log_std.requires_grad_())
    _second_gradient(trial, result, log_std, torch.exp(2 * log_std) - 1)
    narrow = trial.normal(2, 3), torch.full((2, 3), -800.0, dtype=torch.float64)
    hint = "exp(-800) is 0 in floating point: log_std is a logarithm already, so take no logarithm."
    trial.agree(right, [narrow], hint=hint)
