"""Calling a learner's function so that whatever it does ends in a sentence that a learner understands."""

import contextlib
import io
import linecache
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

SECONDS = 10.0  # for one call
KEPT = 2000  # characters of what is printed that are kept; the rest is counted


class Mistake(Exception):
    """What is wrong with a learner's answer: what was tried, what came out, what was expected, and a hint."""

    def __init__(self, came: str, expected: str, hint: str, tried: str = "") -> None:
        super().__init__(came, expected, hint, tried)
        self.came, self.expected, self.hint, self.tried = came, expected, hint, tried


class _TimeUp(BaseException):
    """Raised inside the learner's function; `except Exception` does not catch it."""


@dataclass
class Printed(io.TextIOBase):
    """A stream that counts what is written and keeps only the beginning."""

    characters: int = 0
    kept: str = ""

    def write(self, text: str) -> int:
        """Count, and keep what fits."""
        self.kept += text[: max(0, KEPT - len(self.kept))]
        self.characters += len(text)
        return len(text)


def call(function: Any, arguments: tuple[Any, ...], printed: Printed, seconds: float = SECONDS) -> Any:
    """Return function(*arguments): on copies, within a time limit, its printing taken away.

    Raises:
        Mistake: If it is no function, raises, calls exit(), takes too long, changes its arguments, or returns
            None.
    """
    if not callable(function):
        raise Mistake(
            f"{_short(function)}, which is {kind(function)}",
            "a function",
            "Hand over the function itself: its name without parentheses.",
        )
    given = tuple(_copy(argument) for argument in arguments)
    streams = contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed)
    with streams[0], streams[1], warnings.catch_warnings(action="ignore"):
        result = _told(function, given, seconds)
    for number, (before, after) in enumerate(zip(arguments, given, strict=True), 1):
        if isinstance(before, Tensor) and not _same(before, after):
            raise Mistake(
                f"argument {number} was changed in place",
                "arguments that are left as they were",
                "Operations that end in an underscore, and `x += 1` or `x[...] = 1` on a tensor, change what "
                "the caller holds. Make a new tensor instead.",
            )
    if result is None:
        raise Mistake("None", "a result", "Is a `return` missing?")
    return result


def _told(function: Callable[..., Any], given: tuple[Any, ...], seconds: float) -> Any:
    try:
        return _limited(lambda: function(*given), seconds)
    except Mistake:
        raise
    except NotImplementedError as error:
        raise Mistake(
            "nothing yet", "your code", "Replace `raise NotImplementedError()` by your lines."
        ) from error
    except _TimeUp as error:
        raise Mistake(
            f"no answer within {seconds:g} seconds",
            "an answer in well under a second",
            "Is there a `while` whose condition never becomes false, or a loop over single elements?",
        ) from error
    except SystemExit as error:
        raise Mistake(
            "a call of exit()", "a returned value", "A function ends with `return`, not `exit()`."
        ) from error
    except RecursionError as error:
        raise Mistake(
            "calls of itself without end", "a result", "What stops your function from calling itself?"
        ) from error
    except Exception as error:
        raise Mistake(
            f"{type(error).__name__}: {_first_line(error)}{_line_of(error)}",
            "a result, for every allowed input",
            _advice(error),
        ) from error


def _limited(work: Callable[[], Any], seconds: float) -> Any:
    """Do work within a time limit: by a signal where there is one, else beside a thread that is given up."""
    if hasattr(signal, "SIGALRM") and threading.current_thread() is threading.main_thread():
        with _alarm(seconds):
            return work()
    outcome: list[Any] = []

    def keep() -> None:
        try:
            outcome.append((True, work()))
        except BaseException as error:
            outcome.append((False, error))

    thread = threading.Thread(target=keep, daemon=True)
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise _TimeUp
    done, value = outcome[0]
    if not done:
        raise value
    return value


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    over = [False]

    def stop(signum: int, frame: object) -> None:
        if not over[0]:
            raise _TimeUp

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds, 0.01)  # again and again: a bare `except` swallows it
    try:
        yield
    finally:
        over[0] = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _copy(argument: Any) -> Any:
    return argument.clone() if isinstance(argument, Tensor) else argument  # a clone passes gradients on


def _same(before: Tensor, after: Tensor) -> bool:
    if before.shape != after.shape or before.dtype != after.dtype:
        return False
    return torch.equal(before.detach().nan_to_num(), after.detach().nan_to_num())


def _line_of(error: Exception) -> str:
    """Where an exception came from: the deepest line that is the learner's own, not a library's."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        frame
        for frame in frames
        if "site-packages" not in frame.filename
        and "catvae_lib" not in frame.filename
        and not frame.filename.startswith(sys.base_prefix)
    ]
    if not own:
        return ""
    line = (linecache.getline(own[-1].filename, own[-1].lineno or 0) or own[-1].line or "").strip()
    return f", at line {own[-1].lineno} of your code" + (f": {line}" if line else "")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or "without a message").splitlines()[0][:300]


def _advice(error: Exception) -> str:
    words = str(error)
    if isinstance(error, NameError):
        return "Is a name misspelt, or a cell above not run?"
    if isinstance(error, TypeError) and "argument" in words and "positional" in words:
        return "Compare the arguments of your function with those that the task names."
    if isinstance(error, TypeError) and "must be Tensor" in words:
        return "torch's functions take tensors: use a number's method from `math`, or make it a tensor."
    if isinstance(error, RuntimeError | ValueError) and (
        "size" in words or "shape" in words or "dimension" in words
    ):
        return "Two shapes do not fit. Write the shapes beside your lines: which axis is which?"
    if "Class values must be smaller" in words:
        return "An index is too large for one_hot: was `dim` forgotten, or another axis taken?"
    if "only one element tensors" in words:
        return "`math` takes numbers: torch's own functions take tensors."
    if "Boolean value of Tensor" in words:
        return "An `if` takes one truth value: `torch.where` chooses entry by entry."
    if "out of bounds" in words:
        return "An index is too large: is it that of a flattened tensor, or of another axis?"
    if isinstance(error, IndexError):
        return "Is an axis or an index counted from 1 instead of 0?"
    return "Call your function by hand on a small input, and look at the line above."


def _short(value: Any) -> str:
    return repr(value)[:80]


def kind(value: Any) -> str:
    """Return the name of a value's type with its article."""
    name = type(value).__name__
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"
