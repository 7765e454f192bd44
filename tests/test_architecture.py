"""Four wings, arrows only point down; small files; no pickle; and importing the library is cheap."""

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from book import ROOT

LIBRARY = ROOT / "catvae_lib"
WINGS = {
    "mathematics": {"_limits", "_validate", "noise", "sampling", "density", "distributions"},
    "model": {"_objective", "_precision", "chain", "estimators", "latent", "network", "vae"},
    "experiment": {
        "_config",
        "_files",
        "_loop",
        "_many",
        "_originals",
        "_step",
        "checkpoint",
        "data",
        "papers",
        "profiles",
        "schedules",
        "training",
    },
    "classroom": {"classroom"},
}
HEIGHT = {module: height for height, wing in enumerate(WINGS.values()) for module in wing}
CORE = (WINGS["mathematics"] | WINGS["model"]) - {"estimators", "_validate"}
# The 1,200 lines of one-layer models; 200 for what the papers need: chains of layers, corners, centring, the
# multi-sample objective of relaxed codes; 50 for the lines that hand arguments to the checks of _validate.py,
# which is counted apart.
CORE_BUDGET, FILE_BUDGET, FUNCTION_BUDGET = 1450, 250, 30

FILES = sorted(path for path in LIBRARY.rglob("*.py") if path != LIBRARY / "__init__.py")
TEXTS = [*FILES, LIBRARY / "__init__.py", *sorted((ROOT / "tools").glob("*.py"))]


def module_of(path: Path) -> str:
    """The module of the library that a file belongs to: a subpackage counts as one."""
    return path.relative_to(LIBRARY).parts[0].removesuffix(".py")


def imported(tree: ast.AST) -> Iterator[str]:
    """The full names of everything a file imports, wherever it does so."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def code_lines(tree: ast.AST) -> set[int]:
    """The lines that hold code: no blank ones, no comments, no docstrings."""
    documented = ast.Module | ast.ClassDef | ast.FunctionDef
    docstrings = {
        line
        for node in ast.walk(tree)
        if isinstance(node, documented) and ast.get_docstring(node) is not None
        for line in range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)
    }
    held = (range(node.lineno, node.end_lineno + 1) for node in ast.walk(tree) if isinstance(node, ast.stmt))
    return {line for lines in held for line in lines} - docstrings


def lines_of_code(text: str) -> int:
    lines = text.splitlines()
    held = (lines[number - 1].strip() for number in code_lines(ast.parse(text)))
    return sum(bool(line) and not line.startswith("#") for line in held)


def wrong_imports(module: str, text: str) -> list[str]:
    """Imports that point up, or out of a wing that stands on torch alone."""
    wrong = []
    for name in imported(ast.parse(text)):
        top, _, rest = name.partition(".")
        inner = rest.split(".")[0]
        if top == "catvae_lib" and HEIGHT[inner] > HEIGHT[module]:
            wrong.append(f"{module} imports {inner}, which stands above it")
        if module in WINGS["mathematics"] and top not in {"torch", "catvae_lib", *sys.stdlib_module_names}:
            wrong.append(f"{module} imports {top}; the mathematics imports only torch")
    return wrong


def test_every_module_has_a_wing() -> None:
    assert {module_of(path) for path in FILES} <= set(HEIGHT)


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_point_down(path: Path) -> None:
    assert wrong_imports(module_of(path), path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("noise", "from catvae_lib import vae"),
        ("noise", "import catvae_lib.vae"),
        ("density", "def f():\n    from catvae_lib.data import load"),
        ("vae", "from catvae_lib.training import fit"),
        ("data", "from catvae_lib.classroom import plot"),
        ("sampling", "import numpy as np"),
        ("sampling", "from scipy import stats"),
    ],
)
def test_an_import_that_points_up_is_found(module: str, text: str) -> None:
    assert len(wrong_imports(module, text)) == 1


def test_the_mathematics_and_the_model_stay_small(record_property: Callable[[str, object], None]) -> None:
    core = [path for path in FILES if module_of(path) in CORE]
    lines = {path: lines_of_code(path.read_text(encoding="utf-8")) for path in core}
    total = sum(lines.values())
    record_property("note", f"mathematics and model: {total} lines of code, at most {CORE_BUDGET}")
    assert total <= CORE_BUDGET, lines


def test_how_lines_are_counted() -> None:
    head = '"""Doc\n\nstring."""\n\n# comment\nx = (\n    1,\n\n    # why\n)\n'
    text = head + 'def f():\n    """One."""\n    return """a\n    b"""\n'
    assert lines_of_code(text) == 6  # x = (, 1, ), def, return, b


@pytest.mark.parametrize("path", TEXTS, ids=str)
def test_files_and_functions_stay_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert lines_of_code(text) <= FILE_BUDGET
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = ast.get_docstring(node)
            documented = 0 if body is None else node.body[0].end_lineno - node.body[0].lineno + 1
            assert node.end_lineno - node.lineno + 1 - documented <= FUNCTION_BUDGET, node.name


@pytest.mark.parametrize("path", TEXTS, ids=str)
def test_nothing_is_unpickled(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = set(imported(tree))  # joblib's processes are allowed, its files are not
    assert not {name.split(".")[0] for name in names} & {"pickle", "dill", "shelve", "marshal"}
    assert not names & {"joblib", "joblib.load", "joblib.dump", "joblib.Memory"}
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg in {"allow_pickle", "weights_only"}:
            safe = node.arg == "weights_only"
            assert isinstance(node.value, ast.Constant) and node.value.value is safe, (
                f"line {node.value.lineno}"
            )


def test_importing_the_library_imports_nothing_else() -> None:
    script = "import sys; before = set(sys.modules); import catvae_lib; print(*(set(sys.modules) - before))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout.split() == ["catvae_lib"]
