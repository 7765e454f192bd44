"""Chapter 08: score-function and straight-through gradients."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from catvae_lib import density
from catvae_lib.classroom.trial import Known, Trial, task


def _score(logits: Tensor, codes: Tensor) -> Tensor:
    """Return the gradient of ln q of every code, (S, K)."""
    return codes - logits.softmax(-1)


def _surrogate_gradient(logits: Tensor, codes: Tensor, signal: Tensor) -> Tensor:
    """Return the gradient of the mean of signal times ln q, by autograd."""
    with torch.enable_grad():
        own = logits.detach().clone().requires_grad_()
        log_q = density.categorical_log_prob(codes, own.expand_as(codes))
        (gradient,) = torch.autograd.grad((signal * log_q).mean(), own)
    return gradient


def _sampled(trial: Trial, s: int, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return logits (K,), sampled codes (S, K), of two categories at least, and their values (S,)."""
    logits = trial.normal(k)
    drawn = torch.multinomial(logits.softmax(-1), s, replacement=True, generator=trial.generator)
    drawn[:2] = torch.tensor([0, 1])
    return logits, one_hot(drawn, k).to(torch.float64), 2 + trial.normal(s, scale=2)


_SIZES = [(2, 3), (4, 3), (3, 4), (6, 5), (3, 2), (7, 4)]

_DIRECTIONS: list[tuple[Callable[[Tensor, Tensor], Tensor], str]] = [
    (lambda x, z: -_score(x, z), "The sign: which way must a code's logit go to make the code likelier?"),
    (
        lambda x, z: z,
        "The probabilities are missing: with the same value for every code, it is not 0 on average.",
    ),
    (
        lambda x, z: z / x.softmax(-1),
        "This is the gradient in the probabilities: one step of the chain is left.",
    ),
    (lambda x, z: z - x, "The logits stand where their probabilities belong."),
    (
        lambda x, z: z - x.sigmoid(),
        "A sigmoid makes each category a bit of its own; K categories have a softmax.",
    ),
    (
        lambda x, z: z * _score(x, z),
        "Only the drawn category's logit moves. On which others does ln q depend?",
    ),
    (
        lambda x, z: z - z.mean(0),
        "A mean over the drawn samples was taken off, of the codes or of the values. Only the codes are "
        "centred here, and at the mean of the distribution.",
    ),
    (lambda x, z: z * x.log_softmax(-1), "This is f ln q. Where is the gradient of ln q?"),
]


def _along(direction: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    return lambda x, z, f: (f[:, None] * direction(x, z)).mean(0)


_SCORE_KNOWN: Known = [
    (lambda x, z, f: (f[:, None] * _score(x, z)).sum(0), "The samples were summed, not averaged."),
    (lambda x, z, f: _score(x, z).mean(0), "The values play no part: good and bad codes are treated alike."),
    (
        lambda x, z, f: f.mean() * _score(x, z).mean(0),
        "The values and the scores were averaged apart. Each code's value belongs to its own score.",
    ),
    *[(_along(direction), words) for direction, words in _DIRECTIONS],
]


@task
def score_function_gradient(trial: Trial) -> None:
    """Estimate the gradient of E[f(z)] in the logits from the values at sampled codes."""
    trial.agree(
        _surrogate_gradient,
        [_sampled(trial, *size) for size in _SIZES],
        known=_SCORE_KNOWN,
        hint="Differentiate ln q(z) = z . logits - ln(sum of exp(logits)), weigh it with f, average.",
    )
    logits, codes, values = _sampled(trial, 3, 4)
    hint = "Large logits: probabilities come from torch.softmax, not from exp."
    trial.agree(_surrogate_gradient, [(logits + 800, codes, values)], hint=hint)


def _others(f: Tensor) -> Tensor:
    """Return the mean of the other samples, (S,)."""
    return torch.stack([torch.cat([f[:s], f[s + 1 :]]).mean() for s in range(len(f))])


_BASELINES: list[tuple[Callable[[Tensor], Tensor], str]] = [
    (lambda f: f.mean(), "The baseline sees its own sample: on average 1/S of the gradient is gone."),
    (lambda f: 0 * f, "There is no baseline: the mean is right, but not the variance."),
    (lambda f: (f.sum() - f) / len(f), "The sum of the others is divided by S. How many others are there?"),
    (lambda f: f.sum() / (len(f) - 1), "The own value is still in the sum that is divided by S - 1."),
    (lambda f: f.sum() - f, "The baseline is the sum of the others, not their mean."),
    (lambda f: -_others(f), "The baseline is added where it should be taken off."),
    (lambda f: f - _others(f), "Only the baseline is left: where is the sample's own value?"),
    (lambda f: f.roll(1), "Only one of the other samples serves as the baseline."),
    (lambda f: f.roll(-1), "Only one of the other samples serves as the baseline."),
    (lambda f: 2 * f - _others(f), "The sign: the value minus the baseline, not the reverse."),
    (lambda f: f[0], "One sample is the baseline of all, its own too."),
]


def _with(baseline: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    return lambda x, z, f: ((f - baseline(f))[:, None] * _score(x, z)).mean(0)


_LEAVE_ONE_OUT_KNOWN: Known = [
    *[(_with(baseline), words) for baseline, words in _BASELINES],
    (lambda x, z, f: len(f) * _with(_others)(x, z, f), "The samples were summed, not averaged."),
    (
        lambda x, z, f: len(f) * _with(_others)(x, z, f) / (len(f) - 1),
        "S - 1 divides twice: in the baseline and in the average over the S samples.",
    ),
]


@task
def leave_one_out_gradient(trial: Trial) -> None:
    """Estimate the same gradient with the mean of the other samples as the baseline of each."""

    def right(logits: Tensor, codes: Tensor, values: Tensor) -> Tensor:
        return _surrogate_gradient(logits, codes, values - _others(values))

    trial.agree(
        right,
        [_sampled(trial, *size) for size in reversed(_SIZES)],
        known=_LEAVE_ONE_OUT_KNOWN,
        hint="With two samples the baseline of each is the other's value: write that case by hand.",
    )


def _exact(theta: Tensor, c: float) -> Tensor:
    return theta * (1 - theta) * ((1 - c) ** 3 + c**3)


def _through(theta: Tensor, c: float) -> Tensor:
    return theta * _slope(theta, 1, c) + (1 - theta) * _slope(theta, 0, c)


def _slope(theta: Tensor, z: Tensor | float, c: float) -> Tensor:
    """Return the slope of f at z, times the derivative of theta by the logit."""
    return theta * (1 - theta) * 3 * (z - c) ** 2


def _last_step(t: Tensor) -> Tensor:
    return t * (1 - t)


_BIT_KNOWN: list[tuple[Callable[[Tensor, float], tuple[Tensor, Tensor]], str]] = [
    (lambda t, c: (_through(t, c), _exact(t, c)), "The two results are in the wrong order: exact first."),
    (
        lambda t, c: (_exact(t, c) / _last_step(t), _through(t, c) / _last_step(t)),
        "These are gradients with respect to theta: one step of the chain rule is left, to the logit.",
    ),
    (
        lambda t, c: (_exact(t, c) / _last_step(t), _through(t, c)),
        "The second result is right. The first is the gradient with respect to theta, not to the logit.",
    ),
    (lambda t, c: (-_exact(t, c), _through(t, c)), "The exact gradient has the wrong sign: f(1) minus f(0)."),
    (
        lambda t, c: (_slope(t, t, c), _through(t, c)),
        "The second result is right. In the first, f is taken at theta, where no bit ever lies.",
    ),
    (
        lambda t, c: (_through(t, c), _through(t, c)),
        "The second result is right. The first is the same again.",
    ),
    (
        lambda t, c: (t * (1 - c) ** 3 - (1 - t) * c**3, _through(t, c)),
        "The second result is right. The first is E[f(z)] itself, not its slope.",
    ),
    (
        lambda t, c: (_last_step(t) * ((1 - c) ** 3 - c**3), _through(t, c)),
        "The second result is right. In the first one, what is (0 - c)^3?",
    ),
]

_THROUGH_KNOWN: list[tuple[Callable[[Tensor, float], Tensor], str]] = [
    (lambda t, c: _slope(t, t, c), "the slope is taken at the mean, theta. Where does the drawn bit lie?"),
    (
        lambda t, c: _slope(t, (t > 0.5).double(), c),
        "the likelier bit stands for both: each is drawn as often as its probability says.",
    ),
    (lambda t, c: _slope(t, 1, c), "only the bit 1 counts: how often is it drawn, and what else is?"),
    (lambda t, c: _slope(t, 0, c), "only the bit 0 counts: how often is it drawn, and what else is?"),
    (lambda t, c: _slope(t, 0, c) + _slope(t, 1, c), "the two slopes are added without probabilities."),
    (
        lambda t, c: (_slope(t, 0, c) + _slope(t, 1, c)) / 2,
        "both bits weigh the same. How often is each drawn?",
    ),
    (lambda t, c: (1 - t) * _slope(t, 1, c) + t * _slope(t, 0, c), "the bits' probabilities are exchanged."),
    (lambda t, c: _through(t, c) / _last_step(t), "the last step is missing, from theta to the logit."),
    (lambda t, c: _through(t, c) / 3, "a factor is missing from the slope: differentiate the cube."),
    (_exact, "the exact gradient is returned again. Straight-through knows slopes only."),
    (
        lambda t, c: _through(t, c) - _exact(t, c),
        "the bias is returned, not the mean of the gradient itself.",
    ),
]


def _beside_exact(through: Callable[[Tensor, float], Tensor]) -> Callable[..., tuple[Tensor, Tensor]]:
    return lambda x, c: (_exact(x.sigmoid(), c), through(x.sigmoid(), c))


def _of_logits(
    both: Callable[[Tensor, float], tuple[Tensor, Tensor]],
) -> Callable[..., tuple[Tensor, Tensor]]:
    return lambda x, c: both(x.sigmoid(), c)


_BOTH_KNOWN: Known = [
    *[(_of_logits(wrong), words) for wrong, words in _BIT_KNOWN],
    *[
        (_beside_exact(wrong), f"The first result is right. In the second, {say}")
        for wrong, say in _THROUGH_KNOWN
    ],
    (lambda x, c: (_exact(x, c), _through(x, c)), "The logits were used as if they were probabilities."),
]


@task
def exact_and_straight_through(trial: Trial) -> None:
    """Return the exact gradient of E[(z - c)^3] in a bit's logit, and straight-through's mean."""

    def right(logits: Tensor, c: float) -> tuple[Tensor, Tensor]:
        return _exact(logits.sigmoid(), c), _through(logits.sigmoid(), c)

    trial.agree(
        right,
        [(trial.normal(trial.integer(2, 5), scale=2), trial.number(-1, 2)) for _ in range(10)],
        known=_BOTH_KNOWN,
        hint="Write E[f(z)] as a sum over the two bits and differentiate it; then E[f'(z)], the same way.",
    )
