"""Chapter 00: the Gaussian sample and its KL, the ELBO by enumeration, and a gradient that argmax cuts."""

import torch
from torch import Tensor

from catvae_lib import density, sampling
from catvae_lib.classroom.trial import Known, Trial, task


def _draw_nothing(trial: Trial, case: tuple[Tensor, ...], hint: str) -> None:
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
    _draw_nothing(trial, case(), hint)
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
    tried, flows = f"{trial.name}, differentiated with respect to log_std", result.requires_grad
    hint = "The standard deviation is trained as well: `.detach()`, `.data` and `no_grad()` cut its gradient."
    trial.that(flows, "no gradient with respect to log_std", "a gradient", hint, tried=tried)


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
    narrow = trial.normal(2, 3), torch.full((2, 3), -400.0, dtype=torch.float64)
    hint = "exp(-800) is 0 in floating point: log_std is a logarithm already, so take no logarithm."
    trial.agree(right, [narrow], hint=hint)


def _elbo(logits: Tensor, log_joint: Tensor) -> Tensor:
    log_q = torch.log_softmax(logits, -1)
    return (log_q.exp() * (log_joint - log_q)).sum(-1)


_EXACT_ELBO_KNOWN: Known = [
    (
        lambda logits, log_joint: (logits.softmax(-1) * log_joint).sum(-1),
        "The term -ln q(z) is missing: without q's entropy this is no bound that can touch ln p(x).",
    ),
    (
        lambda logits, log_joint: (logits.softmax(-1) * (log_joint + logits.log_softmax(-1))).sum(-1),
        "The sign of ln q is wrong: a quotient in the logarithm is a difference outside.",
    ),
    (
        lambda logits, log_joint: (logits.softmax(-1) * (log_joint - logits)).sum(-1),
        "ln q is not the logit: a constant added to all logits must not change the result.",
    ),
    (
        lambda logits, log_joint: (logits.exp() * (log_joint - logits)).sum(-1),
        "The weights do not sum to 1: logits are unnormalized.",
    ),
    (
        lambda logits, log_joint: (logits.exp() * (log_joint - logits.log_softmax(-1))).sum(-1),
        "The weights do not sum to 1: logits are unnormalized.",
    ),
    (
        lambda logits, log_joint: _elbo(logits, log_joint) / logits.shape[-1],
        "It is 1/K of the right result: the weights q sum to 1 already, so nothing is divided by K.",
    ),
    (
        lambda logits, log_joint: (log_joint - logits.log_softmax(-1)).mean(-1),
        "Every state has the same weight: the expectation is under q.",
    ),
    (
        lambda logits, log_joint: (logits.softmax(-1) * log_joint.exp()).sum(-1).log(),
        "This is the logarithm of an expectation; the bound is the expectation of a logarithm.",
    ),
    (
        lambda logits, log_joint: log_joint.logsumexp(-1),
        "This is ln p(x) itself, which does not depend on q.",
    ),
    (
        lambda logits, log_joint: (logits.softmax(0) * (log_joint - logits.log_softmax(0))).sum(-1),
        "It is normalized over the batch: each row holds a distribution of its own.",
    ),
    (
        lambda logits, log_joint: -_elbo(logits, log_joint),
        "The sign is wrong everywhere: this is the loss, the negative ELBO.",
    ),
    (
        lambda logits, log_joint: (logits.softmax(-1) * log_joint.exp()).sum(-1),
        "log_joint is a logarithm already: nothing is to be exponentiated but ln q.",
    ),
]


@task
def exact_elbo(trial: Trial) -> None:
    """Return the ELBO of a code of K states by summing over all of them."""
    cases = []
    for states in (2, 3, 4, 5, 2, 6, 3, 4):
        shape = (trial.integer(2, 4), states)
        cases.append((1.5 + trial.normal(*shape), trial.normal(*shape, scale=2) - 3))
    many = trial.normal(100, 4), trial.normal(100, 4)  # so many that two draws differ
    _draw_nothing(trial, many, "There are only K states: sum over all of them, and draw none.")
    hint = "Write the bound as a sum over z of q(z) times a logarithm. What is ln q(z), from logits?"
    trial.agree(_elbo, cases, known=_EXACT_ELBO_KNOWN, hint=hint)
    trial.gradients(_elbo, cases[:3], hint="The encoder is trained through logits: every q must carry them.")
    shape = (2, 3)
    sure = torch.tensor([[800.0, 0.0, -50.0], [0.0, 800.0, 50.0]], dtype=torch.float64)
    hint = "Where q underflows to 0, its logarithm must not be taken: which function gives ln q directly?"
    trial.agree(_elbo, [(sure, trial.normal(*shape) - 3)], hint=hint)


def _pull(logits: Tensor, values: Tensor) -> Tensor:
    q = torch.softmax(logits, -1)
    return q * (values - (q * values).sum(-1, keepdim=True))


_EXPECTED_GRADIENT_KNOWN: Known = [
    (
        lambda logits, values: torch.zeros_like(logits),
        "It is zero everywhere, as before: a flat step or a cut gradient is still in the way.",
    ),
    (
        lambda logits, values: logits.softmax(-1) * values,
        "A constant added to all values changes it. It must not: raising one probability lowers the others.",
    ),
    (
        lambda logits, values: values,
        "This is the gradient with respect to the probabilities, not the logits.",
    ),
    (
        lambda logits, values: values - (logits.softmax(-1) * values).sum(-1, keepdim=True),
        "A category that is nearly never drawn pulls as hard as the others: its weight is missing.",
    ),
    (
        lambda logits, values: logits.softmax(-1) * (values - values.mean(-1, keepdim=True)),
        "A row does not sum to 0: what is subtracted is a plain mean, not the expectation under q.",
    ),
    (
        lambda logits, values: logits.softmax(-1) * (1 - logits.softmax(-1)) * values,
        "Each probability depends on every logit: only the diagonal of the derivatives is there.",
    ),
    (
        lambda logits, values: _pull(logits, values) / logits.shape[0],
        "It is 1/B of the right result: a mean over the batch, but each row has a gradient of its own.",
    ),
    (
        lambda logits, values: _pull(logits.T, values.T).T,
        "It is normalized over the batch: each row holds a distribution of its own.",
    ),
    (
        lambda logits, values: -_pull(logits, values),
        "The sign is wrong everywhere: this is the direction in which the expectation falls.",
    ),
    (
        lambda logits, values: logits * (values - (logits * values).sum(-1, keepdim=True)),
        "Logits were taken for probabilities.",
    ),
]


@task
def expected_gradient(trial: Trial) -> None:
    """Return the exact gradient of an expectation over K categories with respect to the logits."""
    cases = []
    for categories in (2, 3, 4, 5, 6, 3):
        shape = (trial.integer(2, 4), categories)
        cases.append((trial.normal(*shape), 1 + trial.normal(*shape, scale=2)))
    many = trial.normal(100, 4), trial.normal(100, 4)  # so many that two draws differ
    _draw_nothing(trial, many, "The exact gradient needs no sample: sum over all K categories.")
    trial.agree(
        _pull,
        cases,
        known=_EXPECTED_GRADIENT_KNOWN,
        hint="Write E[f] as a sum of q_k f_k, a smooth function of the logits, and differentiate that.",
    )
    far = torch.tensor([[800.0, 0.0, -50.0], [800.0, 800.0, 0.0]], dtype=torch.float64)
    hint = "A softmax built from exp overflows at large logits; torch's own does not."
    trial.agree(_pull, [(far, trial.normal(2, 3))], hint=hint)
