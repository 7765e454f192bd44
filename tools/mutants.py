"""Change one thing at a time in the mathematics and the model, and see whether a test of that module notices.

    python tools/mutants.py                              # every module: an hour on one core
    python tools/mutants.py density estimators/score     # only these
    python tools/mutants.py --sample 100 vae             # at most 100 a module, drawn with a fixed seed
    python tools/mutants.py --again vae                  # only what survived, and with more tests

It needs mutmut, which is no part of the environment: `pip install mutmut`. Its operators are used. What only
words tell apart is left as it is: strings and docstrings, what is raised, annotations, decorators, imports,
and what isinstance or len asks about. A mutant meets the tests of its own module that call the changed
function, quickest first, in a fork of a process with torch and pytest loaded. What survives is listed in
tests/mutation/results.json; its `why` is written by hand, and is kept as long as the same mutant survives.
"""

import argparse
import difflib
import gc
import hashlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import math
import os
import platform
import random
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any

import hypothesis
import libcst as cst
import mpmath  # noqa: F401  what the tests import is loaded once, before the forks
import numpy  # noqa: F401
import pytest
import scipy.stats
import torch
import torch._dynamo
import torch.distributions
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators, operator_string

from book import ROOT, write

RESULTS = ROOT / "tests" / "mutation" / "results.json"
LIBRARY = ROOT / "catvae_lib"
MODULES = ["_limits", "noise", "sampling", "density", "distributions", "latent", "network", "_objective"]
MODULES += ["_precision", "_validate", "vae", "chain", "estimators/_common"]
MODULES += sorted(f"estimators/{path.stem}" for path in (LIBRARY / "estimators").glob("[!_]*.py"))
TESTS = {  # of a module that tests/test_NAME.py does not reach everywhere
    "_limits": ["tests/test_density.py", "tests/numerics", "tests/test_sampling.py", "tests/test_latent.py"],
    "density": ["tests/test_density.py", "tests/numerics"],
    "_objective": ["tests/test_vae.py", "tests/test_chain.py", "tests/estimators/test_interface.py"],
    "_precision": ["tests/test_precision.py", "tests/test_network.py"],
    "_validate": ["tests/test_validate.py", "tests/bad_input"],
    "vae": ["tests/test_vae.py", "tests/test_chain.py", "tests/estimators/test_interface.py"],
}
PATIENCE, MEMORY = 5, 12 * 2**30
ENOUGH = 2.0  # seconds of tests for one mutant, the quickest ones: where a hundred call the function, a part
UNTOUCHED = cst.Annotation | cst.Raise | cst.Decorator | cst.Import | cst.ImportFrom
OPERATORS = [(kind, operator) for kind, operator in mutation_operators if operator is not operator_string]

VERSIONS = {
    "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    "mutmut": version("mutmut"),
    "python": platform.python_version(),
    "torch": torch.__version__,
}

Tests = dict[str, tuple[float, list[str]]]
"""Of each test its seconds, and the functions that it calls."""


@dataclass(frozen=True)
class Mutant:
    """One change of a module: where, what, and the whole text that it makes."""

    function: str
    line: int
    text: str


def is_text(node: cst.CSTNode) -> bool:
    return isinstance(node, cst.SimpleString | cst.FormattedString | cst.ConcatenatedString)


def only_text(node: cst.CSTNode, changed: cst.CSTNode) -> bool:
    """Whether the change takes away a string that was handed to a function, such as an argument's name."""
    if not isinstance(node, cst.Call) or not isinstance(changed, cst.Call):
        return False
    kept = {id(argument) for argument in changed.args}
    return any(is_text(argument.value) and id(argument) not in kept for argument in node.args)


def is_type(value: cst.BaseExpression) -> bool:
    """Whether an expression names a type: Callable[...], TypeVar(...)."""
    return isinstance(value, cst.Subscript) or (isinstance(value, cst.Call) and "TypeVar" in str(value.func))


def left_out(node: cst.CSTNode, function: str) -> bool:
    """Whether nothing in a node is changed: what is annotated or said, and a module's names for types."""
    if isinstance(node, cst.Call) and isinstance(node.func, cst.Name):
        return node.func.value in ("isinstance", "len")
    if isinstance(node, cst.AnnAssign) and isinstance(node.annotation.annotation, cst.Name):
        return node.annotation.annotation.value == "TypeAlias"
    alias = isinstance(node, cst.Assign) and not function and is_type(node.value)
    return alias or isinstance(node, UNTOUCHED)


def nodes(node: cst.CSTNode, function: str = "") -> Iterator[tuple[cst.CSTNode, str]]:
    """Every node that may be changed, with the class and function around it."""
    if left_out(node, function):
        return
    if isinstance(node, cst.ClassDef):
        function = node.name.value
    elif isinstance(node, cst.FunctionDef) and "()" not in function:
        function = f"{function}.{node.name.value}()".lstrip(".")
    yield node, function
    for child in node.children:
        yield from nodes(child, function)


def mutants_of(text: str) -> list[Mutant]:
    """All mutants of a module's text."""
    wrapper = MetadataWrapper(cst.parse_module(text))
    module, places = wrapper.module, wrapper.resolve(PositionProvider)
    found = {}
    for node, function in nodes(module):
        for kind, operator in OPERATORS:
            for changed in operator(node) if isinstance(node, kind) else ():
                if not only_text(node, changed):
                    whole = module.deep_replace(node, changed).code
                    found.setdefault(whole, Mutant(function, places[node].start.line, whole))
    return list(found.values())


class Changed(importlib.abc.MetaPathFinder, importlib.machinery.SourceFileLoader):
    """Imports one module from a text in place of its file."""

    def __init__(self, path: Path, text: str) -> None:
        module = path.relative_to(ROOT).with_suffix("")
        super().__init__(".".join(module.parts), str(path))
        self.text = text

    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> Any:
        return importlib.util.spec_from_loader(name, self) if name == self.name else None

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.text, self.path, "exec", dont_inherit=True)


class Chosen:
    """For pytest: run these tests in this order, without shrinking, and note which functions each calls."""

    def __init__(self, order: list[str] | None) -> None:
        self.order = order
        self.calls: Tests = {}

    def pytest_collection(self) -> None:
        quick = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
        hypothesis.settings.register_profile("quick", hypothesis.settings.default, phases=quick)
        hypothesis.settings.load_profile("quick")

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self.order is not None:
            by_id = {item.nodeid: item for item in items}
            items[:] = [by_id[name] for name in self.order]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        called, start = set(), time.process_time()

        def note(frame: FrameType, event: str, _: Any) -> None:
            code = frame.f_code
            if event == "call" and code.co_filename.startswith(str(LIBRARY)):
                name = code.co_qualname.split(".<locals>")[0]
                called.add(f"{Path(code.co_filename).relative_to(LIBRARY)}:{name}()")

        sys.setprofile(note if self.order is None else None)
        result = yield
        sys.setprofile(None)
        self.calls[item.nodeid] = time.process_time() - start, sorted(called)
        return result


def forked(work: Callable[[], int], seconds: float) -> str:
    """Do the work, which returns pytest's exit code, in a fork: survived, killed or timeout."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(math.ceil(seconds))
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        try:
            code = work()
        except BaseException:
            code = 1
        os._exit(code)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM:
        return "timeout"
    return "survived" if status == 0 else "killed"


def pytest_run(arguments: list[str], plugin: Chosen) -> int:
    quiet = ["-x", "-q", "-p", "no:cacheprovider", "--doctest-modules", "--assert=plain"]
    return int(pytest.main([*quiet, *arguments], plugins=[plugin]))


def try_on(path: Path, text: str, order: list[str], seconds: float) -> str:
    """What becomes of a text in the module's place: survived, killed or timeout."""
    files = list(dict.fromkeys(name.split("::")[0] for name in order))

    def work() -> int:
        sys.meta_path.insert(0, Changed(path, text))
        return pytest_run(files, Chosen(order))

    return forked(work, seconds) if order else "survived"


@cache
def measured(places: tuple[str, ...]) -> Tests:
    """Seconds and called functions of each test, and each example of a docstring, in these places."""
    with tempfile.NamedTemporaryFile() as store:

        def work() -> int:
            plugin = Chosen(None)
            code = pytest_run([*places], plugin)
            Path(store.name).write_text(json.dumps(plugin.calls), encoding="utf-8")
            return code

        if forked(work, 3600) != "survived":
            raise SystemExit(f"{places} fail before anything is changed")
        found: Tests = json.loads(Path(store.name).read_text(encoding="utf-8"))
    return found


def places_of(name: str) -> tuple[str, ...]:
    """Where the tests of a module are."""
    if name.startswith("estimators/"):
        return "tests/estimators", "catvae_lib/estimators"
    return *TESTS.get(name, [f"tests/test_{name}.py"]), f"catvae_lib/{name}.py"


def chosen(path: Path, function: str, tests: Tests, enough: float) -> list[str]:
    """The tests that call the function of a mutant, or anything of its module, quickest first."""
    place = f"{path.relative_to(LIBRARY)}:{function if function.endswith('()') else ''}"
    calling = {
        name: took for name, (took, called) in tests.items() if any(one.startswith(place) for one in called)
    }
    order = sorted(calling, key=calling.__getitem__)
    times = accumulate(calling[name] for name in order)
    return [name for name, time_so_far in zip(order, times, strict=True) if time_so_far <= enough]


def difference(before: str, after: str) -> tuple[str, str]:
    """The lines in which two texts differ."""
    lines = list(difflib.ndiff(before.splitlines(), after.splitlines()))
    gone, come = ([line[2:].strip() for line in lines if line.startswith(sign)] for sign in ("- ", "+ "))
    return " ".join(gone), " ".join(come)


def share(caught: int, tried: int, every: int) -> list[float]:
    """The share that was caught, with its 95 % interval (Clopper and Pearson's) if it is that of a sample."""
    interval = scipy.stats.binomtest(caught, tried).proportion_ci() if tried < every else ()
    return [round(float(value), 3) for value in (caught / tried, *interval)]


def judged(path: Path, text: str, mutant: Mutant, tests: Tests, enough: float) -> tuple[str, dict[str, Any]]:
    """What becomes of a mutant, and where and what it is."""
    order = chosen(path, mutant.function, tests, enough)
    result = try_on(path, mutant.text, order, 20 + PATIENCE * sum(tests[one][0] for one in order))
    return result, place_of(mutant, text)


def place_of(mutant: Mutant, text: str) -> dict[str, Any]:
    before, after = difference(text, mutant.text)
    return {"function": mutant.function, "line": mutant.line, "before": before, "after": after}


def selected(every: list[Mutant], text: str, sample: int, stored: dict[str, Any]) -> list[Mutant]:
    """All mutants, a sample of them, or the survivors of a stored result of the same text."""
    if stored:
        left = [
            {key: one[key] for key in ("function", "line", "before", "after")} for one in stored["survivors"]
        ]
        return [mutant for mutant in every if place_of(mutant, text) in left]
    return random.Random(0).sample(every, sample) if sample < len(every) else every


def examine(name: str, sample: int, stored: dict[str, Any], again: bool) -> dict[str, Any]:
    """Try the mutants of one module, and count."""
    path, tests, start = LIBRARY / f"{name}.py", measured(places_of(name)), time.time()
    text = path.read_text(encoding="utf-8")
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    why = {(one["function"], one["before"], one["after"]): one["why"] for one in stored.get("survivors", [])}
    stored = stored if again and stored.get("source") == digest else {}
    tried = selected(every := mutants_of(text), text, sample, stored)
    total = stored.get("tried", len(tried))
    count = {"killed": stored.get("killed", 0), "timeout": stored.get("timeout", 0), "survived": 0}
    survivors = []
    for mutant in tried:
        result, place = judged(path, text, mutant, tests, 5 * ENOUGH if stored else ENOUGH)
        count[result] += 1
        if result == "survived":
            reason = why.get((place["function"], place["before"], place["after"]), "")
            survivors.append(place | {"why": reason})
        if result != "killed":
            print(f"  {result}: {place}", flush=True)
    caught = share(total - count["survived"], total, len(every))
    facts = {"mutants": len(every), "tried": total, **count, "caught": caught, "source": digest}
    return facts | {"seconds": round(time.time() - start), **VERSIONS, "survivors": survivors}


def main() -> None:
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    gc.collect()
    gc.freeze()  # a fork that collects garbage would copy all of torch's objects: six times as slow
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("modules", nargs="*", default=MODULES, help="such as density, or estimators/score")
    parser.add_argument("--sample", type=int, default=sys.maxsize, help="mutants a module, at most")
    parser.add_argument(
        "--again", action="store_true", help="only what survived, where the module is as it was"
    )
    asked = parser.parse_args()
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    for name in asked.modules:
        results[name] = examine(name, asked.sample, results.get(name, {}), asked.again)
        print(name, {key: value for key, value in results[name].items() if key != "survivors"}, flush=True)
        write(RESULTS, (json.dumps(results, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
