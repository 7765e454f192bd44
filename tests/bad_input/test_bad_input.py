"""Every public function, given what it should not be given: it names the argument, or is right."""

import importlib
import inspect
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
import torch
from bad_table import ROWS, Row
from bad_table_rest import EXEMPT
from bad_variants import bad_values, holds_nan, must_be_refused, optional, unused
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catvae_lib.classroom.claims import ClaimError
from catvae_lib.classroom.exercise import NotYet

MODULES = [
    "noise",
    "sampling",
    "density",
    "distributions",
    "latent",
    "network",
    "vae",
    "chain",
    "data",
    "training",
    "profiles",
    "checkpoint",
    "schedules",
    "_config",
    "_many",
    "estimators.antithetic",
    "estimators.catalogue",
    "estimators.control",
    "estimators.enumeration",
    "estimators.layers",
    "estimators.local",
    "estimators.multi_sample",
    "estimators.relaxed",
    "estimators.score",
    "estimators.taylor",
    "classroom.stats",
    "classroom.claims",
    "classroom.exercise",
    "classroom.plot",
    "papers.cells",
    "papers.results",
    "papers.sweep",
    "papers.scores",
]
# What the formulas call the arguments of the latents.
ALSO = {
    "params": "params|logits",
    "logits": "params|logits",
    "z": "z|one_hot",
    "images": "images|x",
    "value": "value|start",
    "rate": "rate|peak",
    "noise": "noise|logit_sample|log_sample",
}
SECONDS = 5  # a call that takes longer hangs


class Hang(BaseException):
    """A call that took too long; nothing in the library catches it."""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Files go to a folder of the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CATVAE_FIGURES", str(tmp_path / "figures"))
    monkeypatch.setitem(mpl.rcParams, "figure.max_open_warning", 0)
    yield
    plt.close("all")


@contextmanager
def in_time() -> Iterator[None]:
    def stop(signum: int, frame: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def complaint(
    function: Callable[..., Any], arguments: dict[str, Any], labels: dict[str, str], row: Row
) -> str:
    """Return what is wrong with how a function takes bad arguments; an empty word if nothing is."""
    good = row.arguments()
    refuse = [
        name
        for name, label in labels.items()
        if must_be_refused(label, good[name])
        and not ("f that" in label and name != "f")
        and not unused(function, name)
        and name not in row.ignores
        and not (label == "None" and optional(function, name))
        and not any(
            word in str(inspect.signature(function).parameters[name].annotation) for word in ("Any", "object")
        )
    ]
    try:
        with in_time():
            result = function(**arguments)
    except (ValueError, TypeError) as error:
        named = labels if len(labels) == 1 and set(labels) <= set(refuse) else arguments
        words = "|".join(ALSO.get(name, name) for name in named)
        if re.search(rf"(\b|_)({words})\b", str(error), re.IGNORECASE):
            return ""
        return f"does not name it: {type(error).__name__}: {error}"
    except (FileNotFoundError, ClaimError, NotYet):
        return ""  # no such file; a NaN that a claim never holds of
    except FloatingPointError as error:  # of what is finite, but too large to learn from
        return "" if "nothing was learned" in str(error) else f"FloatingPointError: {error}"
    except Hang:
        return "hangs"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if refuse and len(labels) == 1:
        return f"is accepted: {result!r:.80}"
    return f"gives NaN: {result!r:.80}" if holds_nan(result) else ""


def public() -> Iterator[tuple[str, Any]]:
    """Return every public function and class of the library, and every method that takes an argument."""
    for module in MODULES:
        loaded = importlib.import_module(f"catvae_lib.{module}")
        short = module.removeprefix("estimators.")
        for name, thing in vars(loaded).items():
            if name.startswith("_") or getattr(thing, "__module__", "") != loaded.__name__:
                continue
            if inspect.isfunction(thing) or inspect.isclass(thing):
                yield f"{short}.{name}", thing
            if inspect.isclass(thing):
                for method, function in vars(thing).items():
                    function = getattr(function, "__func__", function)
                    named = not method.startswith("_") or method == "__call__"
                    if (
                        inspect.isfunction(function)
                        and named
                        and len(inspect.signature(function).parameters) > 1
                    ):
                        yield f"{short}.{name}.{method}", function


def test_every_public_function_has_a_row() -> None:
    there = {name for name, _ in public()}
    told = set(ROWS) | EXEMPT
    assert not there - told, f"add a row to bad_table.py for {sorted(there - told)}"
    assert not set(ROWS) & EXEMPT


@pytest.mark.parametrize("name", ROWS)
def test_one_bad_argument(name: str) -> None:
    row, wrong = ROWS[name], []
    assert not holds_nan(row.make()(**row.arguments())), "the good arguments are not good"
    for argument, good in row.arguments().items():
        for label, bad in bad_values(good).items():
            torch.manual_seed(0)
            if said := complaint(row.make(), row.arguments() | {argument: bad}, {argument: label}, row):
                wrong.append(f"{argument} = {label}: {said}"[:300])
    assert not wrong, f"{len(wrong)} of {name}:\n" + "\n".join(wrong)


@given(data=st.data())
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_two_bad_arguments(data: st.DataObject) -> None:
    """Which is named does not matter: the shape of a third may be the one that no longer fits."""
    several = {name for name, row in ROWS.items() if len(row.arguments()) > 1}
    name = data.draw(
        st.sampled_from(sorted(several - {"chain.Chain.split"}))
    )  # it calls `value` as `name` says
    row = ROWS[name]
    good, labels, bad = row.arguments(), {}, {}
    for argument in data.draw(st.permutations(sorted(good)))[:2]:
        labels[argument], bad[argument] = data.draw(st.sampled_from(list(bad_values(good[argument]).items())))
    said = complaint(row.make(), good | bad, labels, row)
    assert not said, f"{name} with {labels} {said}"
