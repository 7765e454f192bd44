"""Chapter 08: a surrogate whose gradient reaches the function as well as the distribution."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from catvae_lib.classroom._compare import close, show
from catvae_lib.classroom._learner import Mistake
from catvae_lib.classroom.trial import Known, Trial, task

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
    (lambda f, log_q: 2 * torch.ones_like(f) / len(f), "The values' own term is there twice."),
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
    cases: list[Pair] = [(2 + trial.normal(s, scale=2), -trial.uniform(s, high=3)) for s in (3, 2, 5, 8)]
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
    walked = any(leaf.grad is not None for leaf in leaves)
    came, hint = "a call of backward() inside", "Return the surrogate; `backward()` is called on it outside."
    trial.that(not walked, came, "a tensor of shape ()", hint, tried=tried)
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
