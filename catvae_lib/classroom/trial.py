"""What a check is made of: random cases, comparisons with the right function, gradients, statistical tests.

A check is a function of a `Trial`, registered with `@task`. It raises `Mistake` through the trial's methods
and returns if the answer is right. Its name is that of the task and of `check.<name>`; its docstring is the
task in one sentence. All randomness comes from `trial.generator`: the same seed asks the same questions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from catvae_lib.classroom import stats
from catvae_lib.classroom._compare import check_form, close, show, show_both, symptom
from catvae_lib.classroom._learner import SECONDS, Mistake, Printed, call

FALSE_ALARM = 1e-7  # of one statistical test; a check makes at most ten, so 1e-6 in all
MOST_TESTS = 10

Check = Callable[["Trial"], None]
Known = Sequence[tuple[Callable[..., Any], str]]
"""Wrong functions that learners write, each with the sentence that names the symptom."""

TASKS: dict[str, Check] = {}


def task(check: Check) -> Check:
    """Register a check under its name."""
    if check.__name__ in TASKS:
        raise ValueError(f"task {check.__name__} is there already")
    TASKS[check.__name__] = check
    return check


@dataclass
class Trial:
    """One learner's answer on trial.

    Attributes:
        answer: The function that was handed in.
        seed: Of the questions.
        name: Of the answer, as a learner wrote it.
        seconds: Limit of one call.
    """

    answer: Any
    seed: int = 0
    name: str = ""
    seconds: float = SECONDS
    printed: Printed = field(default_factory=Printed)
    tests: int = 0
    cases: int = 0

    def __post_init__(self) -> None:
        self.generator = torch.Generator().manual_seed(self.seed)
        self.name = self.name or getattr(self.answer, "__name__", "your answer")

    # Random questions, in float64 unless the task says otherwise.

    def normal(self, *shape: int, scale: float = 1.0) -> Tensor:
        """Return normal numbers, such as logits."""
        return scale * torch.randn(*shape, generator=self.generator, dtype=torch.float64)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Return uniform numbers inside (low, high)."""
        numbers = torch.rand(*shape, generator=self.generator, dtype=torch.float64)
        return low + (high - low) * numbers.clamp(1e-9, 1 - 1e-9)

    def number(self, low: float, high: float) -> float:
        """Return one uniform number, rounded so that it reads well."""
        return round(self.uniform(1, low=low, high=high).item(), 2)

    def integer(self, low: int, high: int) -> int:
        """Return a whole number from low to high, both included."""
        return int(torch.randint(low, high + 1, (1,), generator=self.generator))

    def call(self, *arguments: Any) -> Any:
        """Return what the learner's function makes of arguments; see `_learner.call`."""
        try:
            return call(self.answer, arguments, self.printed, self.seconds)
        except Mistake as mistake:
            raise self._at(mistake, arguments) from mistake.__cause__

    def agree(
        self,
        right: Callable[..., Any],
        cases: Sequence[tuple[Any, ...]],
        *,
        known: Known = (),
        hint: str = "",
        tolerance: float = 1e-6,
    ) -> None:
        """Demand that the answer agrees with the right function on all cases.

        Args:
            right: The right function, of the same arguments; a tensor, or a tuple of them.
            cases: Argument tuples.
            known: Mistakes that are looked for first: an answer that agrees with one of these wrong functions
                on all cases gets its sentence.
            hint: What is said if no symptom is recognized.
            tolerance: Relative, and absolute near 0.
        """
        expected = [_tensors(right(*case)) for case in cases]
        got = [self._formed(case, wanted, hint) for case, wanted in zip(cases, expected, strict=True)]
        self.cases += len(cases)
        wrong = [i for i, pair in enumerate(zip(got, expected, strict=True)) if not _close(*pair, tolerance)]
        if not wrong:
            return
        first = min(wrong, key=lambda i: sum(part.numel() for part in expected[i]))
        said = self._recognized(got, expected, cases, known) or hint
        raise self._at(Mistake(*show_both(_plain(got[first]), _plain(expected[first])), said), cases[first])

    def gradients(
        self,
        right: Callable[..., Any],
        cases: Sequence[tuple[Any, ...]],
        *,
        hint: str = "",
        tolerance: float = 1e-6,
    ) -> None:
        """Demand that gradients of a weighted sum of the result, with respect to argument 1, agree."""
        for case in cases:
            leaf = case[0].detach().clone().requires_grad_(True)
            value = _tensors(right(leaf, *case[1:]))[0]
            mine = self._differentiable(leaf, case, value)
            weights = torch.randn(mine.shape, generator=self.generator, dtype=torch.float64).to(mine.dtype)
            (expected,) = torch.autograd.grad((value * weights).sum(), leaf)
            try:
                (got,) = torch.autograd.grad((mine * weights).sum(), leaf, allow_unused=True)
            except Exception as error:  # whatever a derivative of the learner's own raises
                came, hint = f"a graph that cannot be walked back: {error}", "Do not call backward() inside."
                raise self._at(Mistake(came, "a result with its graph", hint), case) from None
            got = torch.zeros_like(leaf) if got is None else got
            self.cases += 1
            if not close(got, expected, tolerance):
                said = hint or "The values may be right, but not how they change with the first argument."
                came, wanted = show_both(got, expected)
                raise self._at(Mistake(f"gradient {came}", f"gradient {wanted}", said), case)

    def frequencies(
        self, counts: Tensor, probabilities: Tensor, *, tried: str, hint: str, came: str = ""
    ) -> None:
        """Demand that counts fit probabilities, by an exact test at `FALSE_ALARM`."""
        self._count()
        fit = stats.categorical_fit(counts, probabilities, false_alarm=FALSE_ALARM)
        if fit.rejected:
            share = counts.double() / counts.sum()
            raise Mistake(
                f"frequencies {show(share)}{came}", f"probabilities {show(probabilities)}", hint, tried
            )

    def distribution(
        self, samples: Tensor, cdf: Callable[[Any], Any], *, tried: str, expected: str, hint: str
    ) -> None:
        """Demand that samples follow a continuous CDF, by the DKW bound at `FALSE_ALARM`."""
        self._count()
        fit = stats.continuous_fit(samples.detach(), cdf, false_alarm=FALSE_ALARM)
        if fit.rejected:
            mean, spread = samples.double().mean().item(), samples.double().std().item()
            raise Mistake(
                f"samples of mean {mean:.3g} and standard deviation {spread:.3g}; their CDF is off by "
                f"{fit.statistic:.2g}",
                expected,
                hint,
                tried,
            )

    def mean(
        self, samples: Tensor, expected: float, bound: tuple[float, float], *, tried: str, hint: str
    ) -> None:
        """Demand that bounded samples average to a number, by Hoeffding's inequality at `FALSE_ALARM`."""
        self._count()
        low, high = bound
        slack = (high - low) * (-torch.tensor(FALSE_ALARM / 2).log() / (2 * samples.numel())).sqrt().item()
        got = samples.double().mean().item()
        if abs(got - expected) > slack:
            raise Mistake(f"a mean of {got:.4g}", f"{expected:.4g}, within {slack:.2g}", hint, tried)

    def that(self, holds: bool, came: str, expected: str, hint: str, *, tried: str = "") -> None:
        """Demand anything else."""
        self.cases += 1
        if not holds:
            raise Mistake(came, expected, hint, tried)

    def _formed(
        self, case: tuple[Any, ...], wanted: tuple[Tensor, ...], hint: str = ""
    ) -> tuple[Tensor, ...]:
        result = self.call(*case)
        try:
            if len(wanted) == 1:
                return (check_form(result, wanted[0]),)
            if not isinstance(result, tuple | list) or len(result) != len(wanted):
                raise Mistake(
                    show(result), f"{len(wanted)} results", f"Return {len(wanted)} tensors: `return a, b`."
                )
            return tuple(check_form(part, one) for part, one in zip(result, wanted, strict=True))
        except Mistake as mistake:
            if mistake.came.startswith(("NaN", "an infinity")):  # where the task's own hint says more
                mistake = Mistake(mistake.came, mistake.expected, f"{mistake.hint} {hint}".strip())
            raise self._at(mistake, case) from None

    def _recognized(
        self, got: list[Any], expected: list[Any], cases: Sequence[tuple[Any, ...]], known: Known
    ) -> str:
        for wrong, words in known:
            try:
                made = [_tensors(wrong(*case)) for case in cases]
                if all(_close(one, two, 1e-6) for one, two in zip(got, made, strict=True)):
                    return words
            except (RuntimeError, ValueError, TypeError, IndexError):  # a wrong function may fail on a case
                continue
        sizes = {size for case in cases for part in case if isinstance(part, Tensor) for size in part.shape}
        return symptom(
            [part for one in got for part in one], [part for one in expected for part in one], sizes
        )

    def _differentiable(self, leaf: Tensor, case: tuple[Any, ...], value: Tensor) -> Tensor:
        (result,) = self._formed((leaf, *case[1:]), (value,))
        if not result.requires_grad:
            hint = "`.detach()`, `.item()`, `torch.no_grad()`, argmax and comparisons cut the gradient."
            raise self._at(
                Mistake("a result without gradient", "a gradient with respect to the first argument", hint),
                case,
            )
        return result

    def _count(self) -> None:
        self.tests += 1
        if self.tests > MOST_TESTS:
            raise AssertionError(f"a check makes at most {MOST_TESTS} statistical tests")

    def _at(self, mistake: Mistake, case: tuple[Any, ...]) -> Mistake:
        tried = mistake.tried or f"{self.name}({', '.join(map(show, case))})"
        return Mistake(mistake.came, mistake.expected, mistake.hint, tried)


def _tensors(result: Any) -> tuple[Tensor, ...]:
    """Return what a right or a known wrong function gives, always as several tensors."""
    parts = result if isinstance(result, tuple) else (result,)
    return tuple(
        part if isinstance(part, Tensor) else torch.tensor(float(part), dtype=torch.float64) for part in parts
    )


def _close(one: tuple[Tensor, ...], two: tuple[Tensor, ...], tolerance: float) -> bool:
    pairs = list(zip(one, two, strict=True))
    return all(a.shape == b.shape and close(a, b, tolerance) for a, b in pairs)


def _plain(parts: tuple[Tensor, ...]) -> Any:
    return parts[0] if len(parts) == 1 else parts
