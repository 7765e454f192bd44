"""Whatever a learner's function does ends in a sentence that a learner understands."""

import threading
import time
from typing import Any

import pytest
import torch
from torch import Tensor

from catvae_lib.classroom import trial as trials
from catvae_lib.classroom._compare import show_both, symptom
from catvae_lib.classroom.exercise import NotYet, Verdict, check
from catvae_lib.classroom.trial import TASKS, Trial


def double(trial: Trial) -> None:
    """Return twice the argument."""
    trial.agree(lambda x: 2 * x, [(trial.normal(3),) for _ in range(3)], hint="Twice, not once.")


def square(trial: Trial) -> None:
    """Return the square, which has a gradient."""
    trial.gradients(lambda x: x**2, [(trial.normal(3),)])


def two(trial: Trial) -> None:
    """Return two results."""
    trial.agree(lambda x: (x, x.sum()), [(trial.normal(3),)])


def answered(answer: Any, what: Any = double, seconds: float = 10.0) -> str:
    with pytest.raises(NotYet) as caught:
        Verdict(what.__name__, what)(answer, seconds=seconds)
    return str(caught.value)


def in_place(x: Tensor) -> Tensor:
    x *= 2
    return x


def endless(x: Tensor) -> Tensor:
    while True:
        x = x + 0


def stubborn(x: Tensor) -> Tensor:
    for _ in range(3):
        try:
            time.sleep(2)
        except:  # noqa: E722
            continue
    time.sleep(2)
    return 2 * x


def blank(x: Tensor) -> Tensor:
    raise NotImplementedError


def misspelt(x: Tensor) -> Tensor:
    return torch.log(y)  # noqa: F821


def itself(x: Tensor) -> Tensor:
    return itself(x)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (3.0, "which is a float"),
        (lambda x: None, "Is a `return` missing?"),
        (blank, "Replace `raise NotImplementedError()`"),
        (misspelt, "Is a name misspelt"),
        (lambda x: 1 / 0, "ZeroDivisionError"),
        (lambda: 0, "Compare the arguments"),
        (lambda x: x @ torch.ones(7, dtype=x.dtype), "Two shapes do not fit"),
        (lambda x: x.sum(dim=5), "counted from 1"),
        (itself, "What stops your function"),
        (lambda x: exit(), "ends with `return`"),
        (in_place, "in place"),
        (lambda x: "2x", "Stay in torch"),
        (lambda x: (2 * x).tolist(), "Stay in torch"),
        (lambda x: 2 * x.sum(), "name the axis"),
        (lambda x: (2 * x)[:, None], "One axis too many"),
        (lambda x: (2 * x).float(), "Keep the precision"),
        (lambda x: (2 * x).int(), "Whole numbers"),
        (lambda x: 2 * x / 0 * 0, "NaN in 3 of 3"),
        (lambda x: 2 * x + torch.inf, "an infinity in 3 of 3"),
        (lambda x: -2 * x, "wrong sign everywhere"),
        (lambda x: 6 * x, "3 times the right result: a sum over 3 entries"),
        (lambda x: 2 * x / 3, "1/3 of the right result: a mean over 3 entries"),
        (lambda x: 2 * x + 1, "a term of 1 is missing"),
        (lambda x: x, "0.5 times the right result"),
        (lambda x: x.abs(), "Twice, not once."),
        (lambda x: torch.zeros_like(x), "Twice, not once."),
    ],
)
def test_a_wrong_answer_gets_its_sentence(answer: Any, says: str) -> None:
    said = answered(answer)
    assert said.startswith("[not yet] double") and says in said
    assert "  came out: " in said and "  expected: " in said and "  hint: " in said


def test_the_learners_own_line_is_named() -> None:
    assert "return torch.log(y)" in answered(misspelt)


@pytest.mark.parametrize("answer", [endless, stubborn])
def test_an_endless_loop_ends(answer: Any) -> None:
    since = time.perf_counter()
    assert "no answer within 0.3 seconds" in answered(answer, seconds=0.3)
    assert time.perf_counter() - since < 30


def test_beside_the_main_thread_where_no_signal_comes_an_answer_is_not_waited_for() -> None:
    said: list[str] = []
    worker = threading.Thread(target=lambda: said.append(answered(lambda x: time.sleep(3), seconds=0.2)))
    worker.start()
    worker.join()
    assert "no answer within 0.2 seconds" in said[0]


def test_what_is_printed_is_counted_and_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    def loud(x: Tensor) -> Tensor:
        print("here " * 100_000)
        return 2 * x

    Verdict("double", double)(loud)
    said = capsys.readouterr().out
    assert said.startswith("[ok] double: right in 3 cases; your function printed 1500003 characters")
    assert len(said) < 300
    assert "  note:     your function printed" in answered(lambda x: print("here"))


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda x: (x**2).detach(), "without gradient"),
        (lambda x: x.detach() ** 2, "without gradient"),
        (lambda x: x * x.detach(), "not how they change"),
    ],
)
def test_a_cut_gradient_is_found(answer: Any, says: str) -> None:
    assert says in answered(answer, square)


def test_a_gradient_that_cannot_be_taken_is_told() -> None:
    def backwards(x: Tensor) -> Tensor:
        y = x**2
        y.sum().backward()
        return y

    assert "Do not call backward()" in answered(backwards, square)
    assert "name the axis" in answered(lambda x: (x**2).sum(), square)


class BadlyDerived(torch.autograd.Function):
    """A square whose derivative a learner wrote, and which stops."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x**2

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> Tensor:
        raise KeyError("x")


def test_a_derivative_of_one_s_own_that_stops_is_told() -> None:
    assert "cannot be walked back: 'x'" in answered(BadlyDerived.apply, square)


def test_an_answer_that_a_check_cannot_read_is_told() -> None:
    def of_rows(trial: Trial) -> None:
        """Return rows."""
        trial.that(trial.call(torch.ones(2)).rows == 2, "", "", "")

    assert "cannot read (AttributeError" in answered(lambda x: x, of_rows)


def test_several_results_are_demanded() -> None:
    assert "Return 2 tensors" in answered(lambda x: x, two)
    assert "shape" in answered(lambda x: (x, x), two)


def test_the_statistical_tests_of_a_check_are_limited() -> None:
    def many(trial: Trial) -> None:
        """Test too often."""
        for _ in range(trials.MOST_TESTS + 1):
            trial.mean(torch.full((100,), 0.5), 0.5, (0, 1), tried="", hint="")

    with pytest.raises(AssertionError, match="at most 10"):
        Verdict("many", many)(None)
    assert trials.FALSE_ALARM * trials.MOST_TESTS <= 1e-6


def test_a_mean_is_told_from_one_that_hoeffding_s_bound_excludes() -> None:
    # n = 1000: sqrt(ln(2e7) / 2000) = 0.0917
    def share(trial: Trial) -> None:
        """Return the share of ones."""
        ones = torch.zeros(1000)
        ones[: trial.answer] = 1
        trial.mean(ones, 0.5, (0, 1), tried="", hint="Not that often.")

    Verdict("share", share)(591)
    assert "within 0.092" in answered(592, share) and "Not that often" in answered(408, share)


def test_what_came_out_and_what_was_expected_never_look_the_same() -> None:
    said = answered(lambda x: 2 * x * (1 + 1e-5)).splitlines()
    came, expected = (line.split(":", 1)[1].strip() for line in said[2:4])
    assert came != expected and came.count(",") == expected.count(",") == 2  # all three entries
    many = [torch.ones(40), torch.ones(40).index_fill(0, torch.tensor([33]), 2.0)]
    assert show_both(*many) == ("[33]: 1", "[33]: 2")


def test_an_unknown_check_names_those_that_are_near() -> None:
    with pytest.raises(AttributeError, match="did you mean gumbel_sampler"):
        _ = check.gumbel_sampeler
    with pytest.raises(ValueError, match="seed"):
        check.gumbel_sampler(None, seed=-1)
    assert sorted(TASKS) == dir(check)
    assert repr(check.gumbel_sampler).startswith("check.gumbel_sampler: Draw Gumbel noise")


def test_a_notebook_shows_the_words_alone() -> None:
    assert NotYet("one\ntwo")._render_traceback_() == ["one", "two"]


def test_a_symptom_is_named_only_where_it_explains_every_entry() -> None:
    right = [torch.tensor([0.5, -2.0, 3.0]), torch.tensor([1.0, 4.0])]
    assert "sign" in symptom([-part for part in right], right, set())
    assert symptom([-right[0], right[1]], right, set()) == ""
