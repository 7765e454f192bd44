"""Every task of the assignments accepts its right answers and rejects its wrong ones, naming the symptom."""

import contextlib
import importlib
import io
import pkgutil
from typing import Any

import alarms
import pytest

import bank
from catvae_lib.classroom import trial as trials
from catvae_lib.classroom.exercise import TASKS, NotYet, check

for module in pkgutil.iter_modules(bank.__path__):
    importlib.import_module(f"bank.{module.name}")

RIGHT = [(task, n, one) for task, held in bank.BANK.items() for n, one in enumerate(held.right)]
WRONG = [(task, n, *one) for task, held in bank.BANK.items() for n, one in enumerate(held.wrong)]


def test_every_task_has_two_right_answers_and_five_wrong_ones() -> None:
    assert set(bank.BANK) == set(TASKS)
    few = {task: (len(held.right), len(held.wrong)) for task, held in bank.BANK.items()}
    assert {task: counts for task, counts in few.items() if counts[0] < 2 or counts[1] < 5} == {}


@pytest.mark.parametrize("seed", [0, 1, 730])
@pytest.mark.parametrize(("task", "number", "answer"), RIGHT, ids=lambda x: x if isinstance(x, str) else None)
def test_a_right_answer_is_accepted(
    task: str, number: int, answer: Any, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here at the level of tests/alarms.py; a learner's right answer is rejected in 1e-6 of all checks."""
    count = trials.Trial._count

    def spends(trial: trials.Trial) -> None:
        count(trial)
        monkeypatch.setattr(trials, "FALSE_ALARM", alarms.spend())

    monkeypatch.setattr(trials.Trial, "_count", spends)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        getattr(check, task)(answer, seed=seed)
    assert said.getvalue().startswith(f"[ok] {task}: right in ")


@pytest.mark.parametrize(("task", "number", "answer", "says"), WRONG)
def test_a_wrong_answer_is_rejected_and_its_symptom_named(
    task: str, number: int, answer: Any, says: str
) -> None:
    for seed in (0, 5):
        with pytest.raises(NotYet) as caught:
            getattr(check, task)(answer, seed=seed)
        assert says in str(caught.value)
