"""Chapter 00: the ELBO by enumeration, and a gradient that argmax cuts."""

import torch
from torch import Tensor

from catvae_lib.classroom.checks.ch00_why_discrete_latents import draw_nothing
from catvae_lib.classroom.trial import Known, Trial, task


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
    draw_nothing(trial, many, "There are only K states: sum over all of them, and draw none.")
    hint = "Write the bound as a sum over z of q(z) times a logarithm. What is ln q(z), from logits?"
    trial.agree(_elbo, cases, known=_EXACT_ELBO_KNOWN, hint=hint)
    trial.gradients(_elbo, cases[:3], hint="The encoder is trained through logits: every q must carry them.")
    shape = (2, 3)
    sure = torch.tensor([[800.0, 0.0, -50.0], [0.0, 800.0, 50.0]], dtype=torch.float64)
    hint = "Where q underflows to 0, its logarithm must not be taken: which function gives ln q directly?"
    far = (sure, trial.normal(*shape) - 3)
    trial.agree(_elbo, [far], hint=hint)
    hint = (
        "The value is right where q underflows to 0; the gradient is not. A NaN that is repaired afterwards "
        "stays in the gradient: let none arise."
    )
    trial.gradients(_elbo, [far], hint=hint)


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
        lambda logits, values: logits.softmax(-1) * (values - (logits.softmax(-1) * values).sum()),
        "The expectation that is subtracted is summed over the batch: each row has its own.",
    ),
    (
        lambda logits, values: logits.softmax(-1),
        "These are the probabilities: the gradient with respect to the values, not the logits.",
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
    came, hint = "a tuple", "`torch.autograd.grad` returns a tuple, one gradient for each input: take it out."
    result = trial.call(*cases[0])
    trial.that(
        not isinstance(result, tuple | list), came, "a tensor", hint, tried=f"{trial.name}(logits, values)"
    )
    draw_nothing(trial, many, "The exact gradient needs no sample: sum over all K categories.")
    trial.agree(
        _pull,
        cases,
        known=_EXPECTED_GRADIENT_KNOWN,
        hint="Write E[f] as a sum of q_k f_k, a smooth function of the logits, and differentiate that.",
    )
    far = torch.tensor([[800.0, 0.0, -50.0], [800.0, 800.0, 0.0]], dtype=torch.float64)
    hint = "A softmax built from exp overflows at large logits; torch's own does not."
    trial.agree(_pull, [(far, trial.normal(2, 3))], hint=hint)
