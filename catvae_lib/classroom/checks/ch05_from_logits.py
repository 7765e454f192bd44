"""Chapter 05: the KL of bits from their logits, where floating point gives up and where a script does."""

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from catvae_lib import density
from catvae_lib.classroom.trial import Known, Trial, task

LN2 = math.log(2)
_TWICE = "The sigmoid is taken twice: probabilities stand where logits belong."
_ENTROPY = "This is the entropy of the bit: it is largest where the KL is 0."
EXTREME = (0.0, 50.0, -50.0, 800.0, -800.0)


def _naive(theta: Tensor) -> Tensor:
    return theta * torch.log(2 * theta) + (1 - theta) * torch.log(2 * (1 - theta))


_BENT = (
    "Right to five digits, not to seven. A clamp, a constant inside the logarithm, or float32 on the way "
    "bends the result."
)
_BERNOULLI_KL_FROM_LOGITS_KNOWN: Known = [
    (
        lambda logits: torch.nan_to_num(_naive(torch.sigmoid(logits))),
        "A certain bit costs ln 2, the most a bit can. Here it costs 0: was a NaN replaced?",
    ),
    (lambda logits: _naive(torch.sigmoid(logits).clamp(1e-7, 1 - 1e-7)), _BENT),
    (density.bernoulli_kl, _BENT),
    (
        lambda logits: logsigmoid(logits) + logsigmoid(-logits) + 2 * LN2,
        "This is Eq. (5) as printed: the weights theta and 1 - theta are missing.",
    ),
    (lambda logits: density.bernoulli_kl(torch.sigmoid(logits)), _TWICE),
    (
        lambda logits: density.bernoulli_kl(torch.relu(logits)),
        "All negative logits cost 0, as if they were cut off: the KL is the same for a logit and its minus.",
    ),
    (
        lambda logits: torch.sigmoid(logits) * (logsigmoid(logits) + LN2),
        "Only k = 1 is counted: what does a bit cost when it is 0?",
    ),
    (lambda logits: LN2 - density.bernoulli_kl(logits), _ENTROPY),
    (
        lambda logits: density.bernoulli_kl(logits) - LN2,
        "At logit 0, where q is the prior, it is not 0: the prior's term is missing.",
    ),
    (
        lambda logits: density.bernoulli_kl(logits) - 2 * LN2,
        "It is -ln 2 at logit 0: ln 0.5 is negative, and it is subtracted.",
    ),
    (
        lambda logits: 2 * LN2 - density.bernoulli_kl(logits),
        "The logarithms have the wrong sign: that of a probability is never above 0.",
    ),
    (
        lambda logits: (
            LN2
            + torch.sigmoid(logits) * logsigmoid(logits)
            + torch.sigmoid(-logits) * (1 - logsigmoid(logits))
        ),
        "ln(1 - theta) is not 1 - ln theta.",
    ),
    (
        lambda logits: logsigmoid(logits) * (torch.sigmoid(logits) - torch.sigmoid(-logits)) + LN2,
        "ln(1 - theta) is not -ln theta.",
    ),
    (lambda logits: logsigmoid(logits) + LN2, "ln theta stands in the term of k = 0, too."),
    (lambda logits: density.bernoulli_kl(logits) / LN2, "This is in bits: nats ask for natural logarithms."),
]


@task
def bernoulli_kl_from_logits(trial: Trial) -> None:
    """Return the KL of bits to the fair coin from their logits, right and differentiable at any logit."""
    extreme = torch.tensor(EXTREME, dtype=torch.float64)
    cases = [(trial.normal(trial.integer(3, 5), scale=4),) for _ in range(8)]
    cases += [(trial.normal(2, 3),), (extreme,), (50 * trial.normal(6),)]
    hint = (
        "Build ln theta and ln(1 - theta) from the logit: a saturated sigmoid has lost it, a clamp bends it."
    )
    trial.agree(  # softplus may be off by 2e-9, a constant of 1e-7 is off by more
        density.bernoulli_kl, cases, known=_BERNOULLI_KL_FROM_LOGITS_KNOWN, hint=hint, tolerance=1e-8
    )
    single = torch.cat([trial.normal(4, scale=8), 20 * trial.normal(4), extreme]).float()
    hint = "Right in float64 but not in float32, where the sigmoid is 1 from a logit of 17 on."
    trial.agree(density.bernoulli_kl, [(single,)], hint=hint, tolerance=2e-5)
    hint = "The values are right, the gradient is not. An infinity that is multiplied by 0, or masked, "
    hint += (
        "comes back as NaN in the gradient; a clamp or a `.detach()` has cut off a part where it is a number."
    )
    trial.gradients(density.bernoulli_kl, [(trial.normal(4, scale=3),), (extreme,)], hint=hint)


_ZEROS_FREE = "One bug is mended. But a bit that is nearly always 0 still costs nothing."
_MENDED_LOSS_KL_KNOWN: Known = [
    (lambda logits: density.bernoulli_kl(torch.relu(logits)).mean(-1), "Both bugs are still there."),
    (
        lambda logits: density.bernoulli_kl(logits).mean(-1),
        "One bug is mended. But ten times as many bits still cost the same: the KL weighs 1/Q of what it "
        "should.",
    ),
    (lambda logits: density.bernoulli_kl(torch.relu(logits)).sum(-1), _ZEROS_FREE),
    (
        lambda logits: (logsigmoid(logits) + logsigmoid(-logits) + 2 * LN2).sum(-1),
        "This is Eq. (5) as printed: the weights, which stood there before, are gone.",
    ),
    (lambda logits: density.bernoulli_kl(torch.sigmoid(logits)).sum(-1), _TWICE),
    (
        lambda logits: density.bernoulli_kl(logits).mean(-1) * len(logits),
        "The mean over Q is multiplied by B: the axis of the batch took the place of that of the bits.",
    ),
    (
        lambda logits: density.bernoulli_kl(logits).sum(-1) / len(logits),
        "It is divided by the size of the batch: every image pays its own price in full.",
    ),
]


@task
def mended_loss_kl(trial: Trial) -> None:
    """Return the KL of each image's code to fair coins, without the two bugs of the training script."""
    cases = [(trial.normal(size, 2 * size + trial.integer(1, 3), scale=2),) for size in (2, 3, 4, 2, 3)]
    cases += [(trial.normal(3, 1, scale=2) - 2,), (torch.full((1, 7), -3.0, dtype=torch.float64),)]
    trial.agree(
        lambda logits: density.bernoulli_kl(logits).sum(-1),
        cases,
        known=_MENDED_LOSS_KL_KNOWN,
        hint="One price a bit, for every logit, positive or negative; and a code costs what its bits cost.",
    )
