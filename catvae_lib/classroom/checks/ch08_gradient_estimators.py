"""Chapter 08: score-function and straight-through gradients."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from catvae_lib import density
from catvae_lib.classroom._compare import close, show
from catvae_lib.classroom._learner import Mistake
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
        "The mean of the drawn codes stands where that of the distribution belongs.",
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
        lambda t, c: (_last_step(t) * ((1 - c) ** 3 - c**3), _through(t, c)),
        "The second result is right. In the first one, what is (0 - c)^3?",
    ),
]

_THROUGH_KNOWN: list[tuple[Callable[[Tensor, float], Tensor], str]] = [
    (lambda t, c: _slope(t, t, c), "the slope is taken at the mean, theta. Where does the drawn bit lie?"),
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


Pair = tuple[Tensor, Tensor]
Symptoms = list[tuple[Callable[[Tensor, Tensor], Tensor], str]]

_BY_VALUES: Symptoms = [
    (lambda f, log_q: 0 * f, "Nothing reaches the values: a decoder behind them would never learn."),
    (
        lambda f, log_q: log_q / len(f),
        "By the product rule, the values' own gradient is weighed with ln q. Which weight should it have?",
    ),
    (
        lambda f, log_q: (1 + log_q) / len(f),
        "Their own term is there, but in the product with ln q the values still pass a gradient on.",
    ),
    (lambda f, log_q: torch.ones_like(f), "The samples were summed, not averaged."),
    (lambda f, log_q: -torch.ones_like(f) / len(f), "The sign of the values' own term is wrong."),
    (lambda f, log_q: log_q, "A sum over the samples, and the values' gradient is weighed with ln q."),
]

_BY_LOG_Q: Symptoms = [
    (lambda f, log_q: 0 * f, "Nothing reaches ln q: an encoder would never learn."),
    (lambda f, log_q: torch.ones_like(f) / len(f), "ln q is not weighed with the values."),
    (lambda f, log_q: (1 + f) / len(f), "ln q was added once more, without a value in front of it."),
    (lambda f, log_q: -f / len(f), "The sign of the score-function term is wrong."),
    (lambda f, log_q: f, "The samples were summed, not averaged."),
    (lambda f, log_q: (f - f.mean()) / len(f), "A baseline was taken off that sees its own sample."),
    (lambda f, log_q: f.mean() / len(f) + 0 * f, "Values and ln q were averaged apart, before the product."),
    (lambda f, log_q: log_q.exp() * f / len(f), "It is weighed with q, from which the samples came already."),
]

_VALUE_KNOWN: Known = [
    (
        lambda f, log_q: (f * log_q + f).mean(),
        "Both gradients are right, but the value has a term of ln q. Which number, taken off, leaves the "
        "gradient as it is?",
    ),
    (lambda f, log_q: (f * log_q).mean(), "Both gradients are right, but the value is the mean of f ln q."),
    (
        lambda f, log_q: 0 * f.mean(),
        "Both gradients are right, but the value is 0 whatever f is: a training curve would show nothing.",
    ),
]


@task
def mended_surrogate(trial: Trial) -> None:
    """Return the mean of the values, with a gradient for what they depend on and for the distribution."""
    cases: list[Pair] = [(2 + trial.normal(s, scale=2), -trial.uniform(s, high=3)) for s in (2, 3, 5, 8)]
    for case in cases:
        _check_surrogate(trial, case)
    trial.agree(
        lambda values, log_q: values.mean(),
        cases,
        known=_VALUE_KNOWN,
        hint="Both gradients are right; the value should be the mean of the values.",
    )


def _check_surrogate(trial: Trial, case: Pair) -> None:
    leaves = [part.clone().requires_grad_() for part in case]
    result: Any = trial.call(*leaves)
    tried = f"{trial.name}({', '.join(map(show, case))})"
    came, hint = show(result), "A tensor of one number: average over the samples, and stay in torch."
    single = isinstance(result, Tensor) and result.shape == ()
    trial.that(single, came, "a tensor of shape ()", hint, tried=tried)
    hint = "`.item()`, `torch.no_grad()`, or a `.detach()` too many cut every gradient."
    trial.that(result.requires_grad, "a result without gradient", "a gradient", hint, tried=tried)
    try:
        found = torch.autograd.grad(result, leaves, allow_unused=True)
    except RuntimeError as error:
        hint = "Return the surrogate; `backward()` is called on it outside."
        raise Mistake(str(error).splitlines()[0], "a result to differentiate", hint, tried) from None
    values, size = case[0], len(case[0])
    wanted = (torch.ones_like(values) / size, values / size)
    for name, got, right, symptoms in zip(
        ("values", "log_q"), found, wanted, (_BY_VALUES, _BY_LOG_Q), strict=True
    ):
        mine = torch.zeros_like(right) if got is None else got
        known = next((words for wrong, words in symptoms if close(mine, wrong(*case), 1e-6)), "")
        came, expected = (f"gradient {show(one)} with respect to {name}" for one in (mine, right))
        hint = known or "Differentiate by hand: which two terms has the gradient of one sample?"
        trial.that(close(mine, right, 1e-6), came, expected, hint, tried=tried)
