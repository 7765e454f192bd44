"""Right and wrong answers to every task of the assignments."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Answers:
    """Right answers of different form, and wrong ones, each with words that its message must contain."""

    right: list[Any] = field(default_factory=list)
    wrong: list[tuple[Any, str]] = field(default_factory=list)


BANK: dict[str, Answers] = {}


def right(task: str) -> Callable[[Any], Any]:
    def keep(answer: Any) -> Any:
        BANK.setdefault(task, Answers()).right.append(answer)
        return answer

    return keep


def wrong(task: str, says: str) -> Callable[[Any], Any]:
    def keep(answer: Any) -> Any:
        BANK.setdefault(task, Answers()).wrong.append((answer, says))
        return answer

    return keep
