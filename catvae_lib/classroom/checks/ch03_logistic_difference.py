"""Chapter 03: logistic noise, hard bits, and the difference of two Gumbel variables."""

import torch
from torch import Tensor

from catvae_lib import density, noise, sampling
from catvae_lib.classroom.trial import Known, Trial, task

_LOGISTIC_FROM_UNIFORM_KNOWN: Known = [
    (
        lambda u, loc, scale: loc - scale * torch.logit(u),
        "It decreases in u: an inverse CDF must rise. Are u and 1 - u exchanged?",
    ),
    (
        lambda u, loc, scale: torch.logit(u),
        "It does not depend on loc and scale: standard noise comes out whatever they are.",
    ),
    (lambda u, loc, scale: loc + torch.logit(u) / scale, "The scale divides where it should multiply."),
    (
        lambda u, loc, scale: scale * (loc + torch.logit(u)),
        "The scale multiplies the location too: the location is added last.",
    ),
    (
        lambda u, loc, scale: loc + scale * (torch.log(u) + torch.log1p(-u)),
        "It is symmetric about u = 1/2 and never positive: look at the sign of the second logarithm.",
    ),
    (
        lambda u, loc, scale: loc + scale * torch.log(u),
        "Only the left tail is there: what happens as u goes to 1?",
    ),
    (
        lambda u, loc, scale: loc - scale * torch.log(-torch.log(u)),
        "This is Gumbel noise: it leans to the right. The difference of two is symmetric.",
    ),
    (
        lambda u, loc, scale: torch.sigmoid((u - loc) / scale),
        "This is the CDF. It turns noise into uniform numbers; the task goes the other way.",
    ),
]


@task
def logistic_from_uniform(trial: Trial) -> None:
    """Turn uniform noise u into logistic noise of a location and a scale."""
    cases = [
        (trial.uniform(trial.integer(3, 5)), trial.number(-2, 2), trial.number(0.3, 3)) for _ in range(12)
    ]
    cases.append((trial.uniform(2, 3), 0.0, 1.0))
    trial.agree(
        noise.logistic_from_uniform,
        cases,
        known=_LOGISTIC_FROM_UNIFORM_KNOWN,
        hint="Set u = 1/(1 + exp(-(x - loc)/scale)) and solve for x, one step at a time.",
    )
    ends = torch.tensor([1e-12, 1e-8, 0.5, 1 - 1e-6], dtype=torch.float64)
    trial.agree(
        noise.logistic_from_uniform,
        [(ends, trial.number(-2, 2), trial.number(0.3, 3))],
        hint="The middle is right, the tail is not: is u clamped, or a small constant added to it?",
    )


_HARD_BIT_KNOWN: Known = [
    (
        lambda logits, noise: torch.sigmoid(logits + noise),
        "These are soft bits, between 0 and 1: the sigmoid does not decide.",
    ),
    (
        lambda logits, noise: (noise > 0).to(logits.dtype),
        "The logits play no part: every bit is a fair coin.",
    ),
    (
        lambda logits, noise: (logits > 0).to(logits.dtype),
        "The noise plays no part: this is the likelier value, always the same.",
    ),
    (
        lambda logits, noise: (logits + noise < 0).to(logits.dtype),
        "Zeros and ones are exchanged: which side of the comparison belongs to 1?",
    ),
    (
        lambda logits, noise: (logits - noise > 0).to(logits.dtype),
        "The noise is subtracted. Its distribution is symmetric, so no count would show it, but the task "
        "adds it.",
    ),
    (
        lambda logits, noise: (torch.sigmoid(logits) + noise > 0).to(logits.dtype),
        "A probability is added to the noise: a probability is never negative, so ones come too often.",
    ),
    (
        lambda logits, noise: (torch.sigmoid(logits) > noise).to(logits.dtype),
        "The noise is compared with a probability: that needs uniform noise, and this is logistic.",
    ),
    (
        lambda logits, noise: (logits + noise > 0.5).to(logits.dtype),
        "The threshold is 1/2: it belongs to a soft bit. Where is a sigmoid one half?",
    ),
    (
        lambda logits, noise: torch.sign(logits + noise),
        "The values are -1 and 1; a bit is 0 or 1.",
    ),
]


@task
def hard_bit(trial: Trial) -> None:
    """Draw a bit from its logit and logistic noise."""
    cases = []
    for _ in range(12):
        shape = (trial.integer(2, 4), trial.integer(5, 8))
        cases.append((trial.normal(*shape, scale=1.5), torch.logit(trial.uniform(*shape))))
    cases.append((cases[0][0].float(), cases[0][1].float()))
    many = trial.normal(20, 20), torch.logit(trial.uniform(20, 20))  # so many that two draws differ
    one, two = (torch.as_tensor(trial.call(*many)) for _ in range(2))
    came, hint = "two different results for the same arguments", "The noise is an argument: draw none inside."
    trial.that(torch.equal(one, two), came, "the same twice", hint, tried=f"{trial.name}, called twice")
    hint = "Which sum of the two arguments decides, and which number is it compared with?"
    trial.agree(sampling.bernoulli_threshold, cases, known=_HARD_BIT_KNOWN, hint=hint)
    far = torch.tensor([800.0, -800.0, 50.0, -50.0], dtype=torch.float64)
    hint = (
        "These bits are as good as certain. Through the probability, 1 - theta becomes 0: stay with logits."
    )
    trial.agree(sampling.bernoulli_threshold, [(far, trial.uniform(4, low=-20, high=20))], hint=hint)


def _difference_cdf(x: Tensor, mu_one: float, mu_two: float, scale: float) -> Tensor:
    return density.logistic_cdf(x, mu_one - mu_two, scale)


_DIFFERENCE_CDF_KNOWN: Known = [
    (
        lambda x, one, two, scale: torch.sigmoid(x),
        "It does not depend on the locations and the scale: this is the standard case of the chapter.",
    ),
    (
        lambda x, one, two, scale: torch.sigmoid(x / scale),
        "It does not depend on the locations. Two different ones move the difference.",
    ),
    (
        lambda x, one, two, scale: torch.sigmoid((x + one - two) / scale),
        "It is shifted to the wrong side: a larger mu_one makes the difference larger, so P falls.",
    ),
    (
        lambda x, one, two, scale: torch.sigmoid((x - one - two) / scale),
        "The sum of the locations shifts it. What is the location of a difference?",
    ),
    (
        lambda x, one, two, scale: torch.sigmoid(x - one + two),
        "It does not depend on the scale: noise that is stretched has a difference that is stretched.",
    ),
    (
        lambda x, one, two, scale: torch.sigmoid((x - one + two) * scale),
        "The scale multiplies where it should divide: a larger scale makes a CDF flatter.",
    ),
    (
        lambda x, one, two, scale: torch.sigmoid((x - one + two) / (2 * scale)),
        "It is too flat by a factor of 2: the scales of the two do not add up.",
    ),
    (
        lambda x, one, two, scale: torch.sigmoid((x - one + two) / (scale * 2**0.5)),
        "It is too flat by a factor of sqrt(2): that is how Gaussian scales add, and the result is logistic.",
    ),
    (
        lambda x, one, two, scale: torch.sigmoid(x / scale - one + two),
        "The scale divides x alone; the difference of the locations is shifted before it is stretched.",
    ),
    (
        lambda x, one, two, scale: torch.sigmoid(-(x - one + two) / scale),
        "It falls in x: this is the probability that the difference exceeds x.",
    ),
    (
        lambda x, one, two, scale: density.gumbel_cdf(x, one - two, scale),
        "This is a Gumbel CDF. The two leans cancel in the difference.",
    ),
    (
        lambda x, one, two, scale: density.logistic_log_density(x, one - two, scale).exp(),
        "This is the density; the probability up to x is asked for.",
    ),
]


@task
def difference_cdf(trial: Trial) -> None:
    """Return the CDF of the difference of two Gumbel variables of different location."""
    cases = []
    for _ in range(12):
        scale = trial.number(0.3, 0.8) if trial.integer(0, 1) else trial.number(1.6, 3)
        first, gap = trial.number(0.5, 3), trial.number(0.5, 2) * (1 if trial.integer(0, 1) else -1)
        cases.append((trial.normal(4, scale=3), first, round(first - gap, 2), scale))
    cases += [(trial.normal(4), 0.5, 1.7, 2.0), (trial.normal(4), 1.7, 0.5, 2.0)]  # both signs, at each seed
    trial.agree(
        _difference_cdf,
        cases,
        known=_DIFFERENCE_CDF_KNOWN,
        hint="Write each variable as location plus scale times standard noise, and take the difference.",
    )
    far = torch.tensor([-1000.0, -40.0, 0.0, 40.0, 1000.0], dtype=torch.float64)
    ends = [(far, trial.number(0.5, 3), trial.number(-2, 0), trial.number(0.3, 1))]
    hint = "The middle is right. Far out, an exp overflows: which torch function has this shape?"
    trial.agree(_difference_cdf, ends, hint=hint)
    hint = (
        "The value is right, its slope is not. If it is NaN: far out the formula 1/(1 + exp(-z)) multiplies "
        "0 by infinity when it is differentiated."
    )
    trial.gradients(_difference_cdf, [*cases[:3], *ends], hint=hint)
