"""Chapter 06: a temperature that falls, and a loop that trains."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from catvae_lib.classroom._learner import Mistake
from catvae_lib.classroom.trial import Known, Trial, task
from catvae_lib.schedules import TemperatureSchedule


def _falls(step: int, steps: int, start: float, floor: float) -> float:
    return TemperatureSchedule.reaching_floor(start, floor, steps)(step)


def _rounded(digits: int) -> Callable[[int, int, float, float], float]:
    return lambda *case: round(_falls(*case), digits)


_MENDED_TEMPERATURE_KNOWN: Known = [
    (
        lambda step, steps, start, floor: _falls(step % 500, steps, start, floor),
        "It starts anew every 500 steps: the first bug is still there.",
    ),
    (
        lambda step, steps, start, floor: max(floor, start * math.exp(-3e-5 * step)),
        "The rate does not know how long the run is: the second bug is still there.",
    ),
    (
        lambda step, steps, start, floor: max(floor, math.exp(-3e-5 * step)),
        "It begins at 1 whatever the start, and the rate does not know how long the run is.",
    ),
    (
        lambda step, steps, start, floor: max(floor, start * math.exp(-3e-5 * (step % 500))),
        "Both bugs are still there.",
    ),
    (
        lambda step, steps, start, floor: max(floor, start + (floor - start) * step / steps),
        "It falls along a straight line: subtracting the same number, not multiplying by the same factor.",
    ),
    (
        lambda step, steps, start, floor: min(start, floor * (start / floor) ** (step / steps)),
        "It rises, from the floor to the start.",
    ),
    (
        lambda step, steps, start, floor: max(floor, start * floor ** (step / steps)),
        "It is right only for start 1: without its limit it would end at start times floor.",
    ),
    (
        lambda step, steps, start, floor: max(floor, start * math.exp(-step / steps)),
        "It falls by a factor of e in the run, whatever the floor: the rate has to know both ends.",
    ),
    (
        lambda step, steps, start, floor: max(floor, (floor / start) ** (step / steps)),
        "It begins at 1: the start is missing in front.",
    ),
    (
        lambda step, steps, start, floor: max(floor, _falls(step, max(1, steps - 1), start, floor)),
        "It arrives one step too early: step counts from 0, and the floor belongs to step `steps`.",
    ),
    (
        lambda step, steps, start, floor: _falls(step + 1, steps, start, floor),
        "It is one step ahead: step counts from 0, and the start belongs to step 0.",
    ),
    (
        lambda step, steps, start, floor: start * (start / floor) ** (step / steps),
        "It rises: is the factor per step above 1?",
    ),
    *[(_rounded(digits), "It is rounded, so it stays where it is for many steps.") for digits in (2, 3, 4)],
    (
        lambda step, steps, start, floor: start * (floor / start) ** (step // steps),
        "It stays at the start until the last step: `//` divides in whole numbers.",
    ),
    (
        lambda step, steps, start, floor: (
            floor + (start - floor) * (1 + math.cos(math.pi * min(step / steps, 1))) / 2
        ),
        "This is the cosine that the learning rate follows, not a constant factor per step.",
    ),
]


@task
def mended_temperature(trial: Trial) -> None:
    """Return a temperature that falls exponentially from start to floor over the run, and stays there."""

    def case(share: float) -> tuple[int, int, float, float]:
        steps = trial.integer(2000, 6000)
        return round(share * steps), steps, trial.number(1.2, 2.5), trial.number(0.2, 0.7)

    cases = [case(trial.uniform(1).item()) for _ in range(10)] + [case(share) for share in (0, 0.5, 1)]
    result, tried = trial.call(*cases[0]), f"{trial.name}({', '.join(f'{part:g}' for part in cases[0])})"
    hint = "The temperature at one step, as a number that can be used in a formula."
    if isinstance(result, Tensor):
        hint = "`math.exp` and `math.log` give numbers, torch's functions give tensors."
    number = isinstance(result, float | int)
    trial.that(number, f"a {type(result).__name__}", "a Python number", hint, tried=tried)
    hint = "It must be `start` at step 0 and `floor` at step `steps`: which factor per step does that?"
    trial.agree(_falls, cases, known=_MENDED_TEMPERATURE_KNOWN, hint=hint)
    step, steps, start, floor = case(1)
    after = [(step + 1, steps, start, floor), case(1.5), case(3)]
    hint = "Until the last step it is right; after it the temperature has to stay at the floor."
    trial.agree(_falls, after, hint=hint)


Rule = Callable[[Tensor, Tensor, float], Tensor]
Case = tuple[Callable[[Tensor], Tensor], Tensor, float, int, float]


def _slope(loss_of: Callable[[Tensor], Tensor], point: Tensor) -> Tensor:
    leaf = point.detach().clone().requires_grad_(True)
    slope: Tensor = torch.autograd.grad(loss_of(leaf), leaf)[0]
    return slope


def _walk(
    rule: Rule,
    loss_of: Callable[[Tensor], Tensor],
    start: Tensor,
    rate: float,
    steps: int,
    limit: float,
    *,
    more: int = 0,
    once: bool = False,
) -> Tensor:
    """Return where descent ends if `rule` makes the next direction of the last one and the gradient."""
    point, direction = start, torch.zeros_like(start)
    for _ in range(steps + more):
        direction = rule(direction, _slope(loss_of, start if once else point), limit)
        point = point - rate * direction
    return point


def _clip(gradient: Tensor, limit: float, small: float = 0.0) -> Tensor:
    """Shorten a gradient; torch's own function adds a small number of 1e-6 to the norm."""
    return gradient * torch.clamp(limit / (gradient.norm() + small), max=1)


def _clipped(last: Tensor, new: Tensor, limit: float) -> Tensor:
    return _clip(new, limit)


def _known(small: float) -> list[tuple[Rule, str]]:
    """Return wrong rules for the next direction, each with its sentence."""
    return [
        (lambda last, new, limit: _clip(last, limit, small) + new, "Both bugs are still there."),
        (
            lambda last, new, limit: _clip(last + new, limit, small),
            "Gradients add up from step to step: what does `backward` do with the one that is there?",
        ),
        (lambda last, new, limit: last + new, "Gradients add up from step to step, and nothing is clipped."),
        (
            lambda last, new, limit: new,
            "No gradient is ever shortened: at the moment of clipping, is the new one there already, and is "
            "it the gradient that is measured?",
        ),
        (
            lambda last, new, limit: new.clamp(-limit, limit),
            "Each entry is clipped on its own, which turns the gradient: shorten the whole vector.",
        ),
        (
            lambda last, new, limit: new * limit / (new.norm() + small),
            "Short gradients are stretched to the limit: they are to stay as they are.",
        ),
        (lambda last, new, limit: new / new.norm(), "Every gradient gets the length 1, whatever the limit."),
        (
            lambda last, new, limit: -_clip(new, limit, small),
            "It climbs: the step goes against the gradient.",
        ),
    ]


_OF_THE_STEP = "The limit was multiplied by the rate: it is that of the gradient, not of the step."


def _walker(rule: Rule, **how: Any) -> Callable[..., Tensor]:
    return lambda *case: _walk(rule, *case, **how)


def _limit_of_the_step(small: float) -> Callable[..., Tensor]:
    def wrong(loss_of: Any, start: Tensor, rate: float, steps: int, limit: float) -> Tensor:
        return _walk(lambda last, new, _: _clip(new, limit * rate, small), loss_of, start, rate, steps, limit)

    return wrong


_MENDED_DESCENT_KNOWN: Known = [
    *[(_limit_of_the_step(small), _OF_THE_STEP) for small in (0.0, 1e-6)],
    (
        lambda loss_of, start, *_: start,
        "The point has not moved: at the update, what does the gradient hold?",
    ),
    *[(_walker(rule), words) for small in (0.0, 1e-6) for rule, words in _known(small)],
    (_walker(_clipped, more=1), "It takes one step too many."),
    (_walker(_clipped, more=-1), "It takes one step too few."),
    (
        _walker(_clipped, once=True),
        "The gradient is that of the start at every step: take it anew where you stand.",
    ),
]
_ERRORS = (
    (
        ("NoneType", "not a leaf"),
        "There is no gradient in `w.grad`: after `w = w - ...` the name stands for another tensor, one that "
        "backward does not fill; and before the first backward it is None.",
    ),
    (
        ("in-place operation",),
        "The update itself is being recorded as a part of the loss. Where does the buggy loop prevent that?",
    ),
    (
        ("does not require grad",),
        "The loss was computed from a tensor that records nothing: who asks for a gradient?",
    ),
    (("second time",), "The loss of one step reaches back into the step before: cut w off between them."),
)


def _stretched_bowl(trial: Trial, size: int) -> Callable[[Tensor], Tensor]:
    stretch, bottom = trial.uniform(size, low=0.5, high=2), trial.normal(size)

    def stretched_bowl(w: Tensor) -> Tensor:
        return 0.5 * (stretch * (w - bottom).square()).sum() + torch.log(torch.cosh(w - bottom)).sum()

    return stretched_bowl


def _descent_case(trial: Trial, *, clipped: bool = True) -> Case:
    loss_of, start = _stretched_bowl(trial, 3), trial.normal(3, scale=3)
    length = _slope(loss_of, start).norm().item()
    limit = max(0.1, round((0.5 if clipped else 2.0) * length, 2))
    return loss_of, start, trial.number(0.1, 0.3), trial.integer(4, 8), limit


@task
def mended_descent(trial: Trial) -> None:
    """Return where gradient descent with clipping ends, by a loop that forgets the last step's gradient."""
    cases = [_descent_case(trial, clipped=number % 3 > 0) for number in range(6)]
    _explained(trial, cases[0])
    hint = "In each step: a new gradient at the present point, shortened if it is too long, then the update."
    trial.agree(_walker(_clipped), cases, known=_MENDED_DESCENT_KNOWN, hint=hint, tolerance=1e-4)
    _no_history(trial, cases[0])


def _explained(trial: Trial, case: Case) -> None:
    """Call the answer once, and say what torch's messages about graphs mean here."""
    try:
        trial.call(*case)
    except Mistake as mistake:
        said = (hint for words, hint in _ERRORS if any(word in mistake.came for word in words))
        raise Mistake(mistake.came, mistake.expected, next(said, mistake.hint), mistake.tried) from mistake


def _no_history(trial: Trial, case: Case) -> None:
    sizes: list[int] = []

    def stretched_bowl(w: Tensor) -> Tensor:
        sizes.append(_graph_size(w))
        return case[0](w)

    result: Tensor = trial.call(stretched_bowl, *case[1:])
    tried = f"{trial.name}(stretched_bowl, ..., steps={case[3]})"
    hint = "The update is recorded, so that every step keeps all steps before it: memory grows with the run."
    grows = len(sizes) > 2 and sizes[-1] > sizes[1]
    trial.that(not grows, f"a point whose history has {max(sizes)} operations", "none", hint, tried=tried)
    came, hint = "a point that requires a gradient", "Where does the buggy loop cut its result off?"
    trial.that(not result.requires_grad, came, "one that does not", hint, tried=tried)


def _graph_size(point: Tensor) -> int:
    """Count the operations that a tensor remembers."""
    waiting, seen = [point.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [following for following, _ in node.next_functions]
    return len(seen)
