"""Instant checks of a learner's function: what was tried, what came out, what was expected, and a hint.

    from catvae_lib.classroom.exercise import check

    check.gumbel_from_uniform(my_function)

Questions are drawn at random, so an answer that fits the example only is found; a right answer fails with
probability 1e-6 at most. A check never shows a solution.
"""

import difflib
import re
from typing import Any

from catvae_lib import _validate
from catvae_lib.classroom import checks  # noqa: F401  which registers the tasks
from catvae_lib.classroom._learner import SECONDS, Mistake
from catvae_lib.classroom.trial import TASKS, Check, Trial


class NotYet(AssertionError):
    """An answer that is not right yet. A notebook shows its words alone, without a traceback."""

    def _render_traceback_(self) -> list[str]:
        return str(self).splitlines()


class Verdict:
    """The check of one task; call it with the answer.

    Raises:
        NotYet: If the answer is not right yet.
        ValueError: If seed is negative.
    """

    def __init__(self, name: str, check: Check) -> None:
        self.name, self.check, self.__doc__ = name, check, check.__doc__

    def __call__(self, answer: Any, *, seed: int = 0, seconds: float = SECONDS) -> None:
        """Check an answer with the questions of a seed, and print that it is right."""
        _validate.seed("seed", seed)
        _validate.rate("seconds", seconds)
        trial = Trial(answer, seed, seconds=seconds)
        try:
            self.check(trial)
        except Mistake as mistake:
            raise NotYet(_words(self.name, mistake, trial)) from None
        except (TypeError, ValueError, AttributeError, RuntimeError, IndexError) as error:
            came = f"something that the check cannot read ({type(error).__name__}: {error})"
            hint = "Does your function return what the task names: tensors, in that order, of those shapes?"
            raise NotYet(_words(self.name, Mistake(came, "what the task names", hint), trial)) from error
        print(f"[ok] {self.name}: right in {_count(trial)}{_about_printing(trial)}")

    def __repr__(self) -> str:
        """Return the task in one sentence."""
        return f"check.{self.name}: {(self.check.__doc__ or '').splitlines()[0]}"


class Checks:
    """All checks by the names of their tasks: `check.gumbel_from_uniform(answer)`.

    Example:
        >>> import torch
        >>> check.gumbel_from_uniform(lambda u, loc, scale: loc - scale * torch.log(-torch.log(u)))
        [ok] gumbel_from_uniform: right in 14 cases
    """

    def __getattr__(self, name: str) -> Verdict:
        if name in TASKS:
            return Verdict(name, TASKS[name])
        near = difflib.get_close_matches(name, TASKS, n=3)
        also = f"; did you mean {' or '.join(near)}?" if near else ""
        raise AttributeError(f"there is no check {name!r}{also}")

    def __dir__(self) -> list[str]:
        return sorted(TASKS)


check = Checks()


def _words(name: str, mistake: Mistake, trial: Trial) -> str:
    lines = [f"[not yet] {name}"]
    parts = {
        "tried": mistake.tried,
        "came out": mistake.came,
        "expected": mistake.expected,
        "hint": mistake.hint,
    }
    lines += [f"  {label + ':':10}{' '.join(words.split())}" for label, words in parts.items() if words]
    if said := _about_printing(trial):
        lines.append(f"  {'note:':10}{said.removeprefix('; ')}")
    return "\n".join(lines)


def _about_printing(trial: Trial) -> str:
    if not (count := trial.printed.characters):
        return ""
    begin = re.sub(r"\s+", " ", trial.printed.kept).strip()[:60]
    return f"; your function printed {count} characters, which are left out here (they begin {begin!r})"


def _count(trial: Trial) -> str:
    said = [f"{trial.cases} case{'s' * (trial.cases != 1)}"] * bool(trial.cases)
    said += [f"{trial.tests} statistical test{'s' * (trial.tests != 1)}"] * bool(trial.tests)
    return " and ".join(said)
