"""The map of equations in chapter A: every equation of the article has an entry, and no entry points nowhere.

An entry is a list item of four lines: the equation, functions of the library, a test, claims.

    - **E8 Gumbel density**: as printed\\
      `density.gumbel_log_density`, `density.gumbel_cdf`\\
      `tests/test_density.py::test_the_articles_density_is_the_cdf`\\
      [01](01_gumbel_sampling.ipynb) `01.density`, [A](A_errata.ipynb) `A.01.mass`
"""

import ast
import importlib
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from nbformat import NotebookNode

from guards import claim_lines, prose

CHAPTER = "A"
SLIPS = 13

# The article's displayed lines in its order (E), formulas inside its sentences (F), statements in words (W).
EQUATIONS = {
    "E1": "unit Gaussian prior",
    "E2": "loss with a Gaussian code",
    "E3": "Gaussian reparameterization",
    "E4": "Bernoulli prior",
    "E5": "Bernoulli recognition model",
    "E6": "loss with a Bernoulli code",
    "E7": "discrete distribution",
    "E8": "Gumbel density",
    "E9": "Eq. (1), Gumbel-max",
    "E10": "Eq. (2), Gumbel-softmax",
    "E11": "inequality for a bit",
    "E12": "logistic difference",
    "E13": "hard threshold",
    "E14": "Eq. (3), soft bit",
    "E15": "Eq. (5), left side",
    "E16": "Eq. (5), right side",
    "F1": "Gaussian noise",
    "F2": "codes drawn from q",
    "F3": "one-hot encoding",
    "F4": "standard Gumbel distribution",
    "F5": "Gumbel sampling",
    "F6": "temperature",
    "F7": "reconstruction error",
    "W1": "a Gaussian prior needs a Gaussian q",
    "W2": "the bound is optimized for the likelihood",
    "W3": "reparameterization makes differentiable",
    "W4": "drawing a discrete code stops the gradient",
    "W5": "the KL is computed analytically",
    "W6": "the Gumbel trick draws from Dis",
    "W7": "at low temperature it tends to Dis",
    "W8": "a Bernoulli variable is a special case",
    "W9": "the difference is logistic",
    "W10": "a sigmoid makes the threshold differentiable",
    "W11": "the rest of the framework is unchanged",
    "W12": "the KL separates over the bits",
    "W13": "its gradient joins backpropagation",
    "W14": "a sigmoid comes before the KL",
}

ENTRY = re.compile(r"^- \*\*(?P<id>[A-Z]\d+) (?P<name>[^*]+)\*\*(?P<rest>.*(?:\n  .*)*)", re.MULTILINE)
CODE = re.compile(r"`([^`]+)`")
COVER = re.compile(r"\[(?P<number>\w+)\]\((?P<file>[^)]+)\)(?P<claims>(?:,? `[^`]+`)+)")
Printed = Mapping[str, set[str]]  # the ids of the claims that each notebook printed, by its file's name
LINES = ("the equation", "functions", "a test", "claims")


@dataclass(frozen=True)
class Entry:
    """One entry of the map, as it is written."""

    id: str
    name: str
    lines: list[str]


def entries(notebook: NotebookNode) -> list[Entry]:
    return [
        Entry(match["id"], match["name"], [line.strip() for line in match["rest"].split("\\\n")])
        for match in ENTRY.finditer(prose(notebook))
    ]


def check_map(notebooks: Mapping[str, NotebookNode], root: Path) -> list[str]:
    """What is wrong with the map, among these notebooks by file name, and slips that no claim shows."""
    printed = {file: {match["id"] for match in claim_lines(one)} for file, one in notebooks.items()}
    return [
        f"{file}: {finding}"
        for file, notebook in notebooks.items()
        if file.startswith(f"{CHAPTER}_")
        for finding in _check_chapter(notebook, printed, root) + _slips_not_shown(printed[file])
    ]


def _check_chapter(notebook: NotebookNode, printed: Printed, root: Path) -> list[str]:
    found = entries(notebook)
    findings = [
        f"the map lacks {id}, {name}: write its entry"
        for id, name in EQUATIONS.items()
        if id not in {entry.id for entry in found}
    ]
    repeated = Counter(entry.id for entry in found)
    findings += [
        f"the map has {id} {count} times: once is enough" for id, count in repeated.items() if count > 1
    ]
    for entry in found:
        findings += [f"the map's {entry.id} {wrong}" for wrong in _check_entry(entry, printed, root)]
    return findings


def _slips_not_shown(claims: set[str]) -> list[str]:
    prefixes = [f"{CHAPTER}.{slip:02}." for slip in range(1, SLIPS + 1)]
    lacking = [prefix for prefix in prefixes if not any(id.startswith(prefix) for id in claims)]
    return [f"no claim shows a slip: name one {prefix}something" for prefix in lacking]


def _check_entry(entry: Entry, printed: Printed, root: Path) -> list[str]:
    if EQUATIONS.get(entry.id) != entry.name:
        return [f'is called "{entry.name}", in the list of equations "{EQUATIONS.get(entry.id)}"']
    if len(entry.lines) != len(LINES):
        return [f"has {len(entry.lines)} lines, not {len(LINES)}: {', '.join(LINES)}, with \\ between them"]
    _, functions, tests, covers = entry.lines
    findings = [
        f"names no {kind}"
        for kind, text in (("function", functions), ("test", tests))
        if not CODE.search(text)
    ]
    findings += [wrong for name in CODE.findall(functions) if (wrong := _missing_function(name))]
    findings += [wrong for name in CODE.findall(tests) if (wrong := _missing_test(name, root))]
    return findings + _missing_claims(covers, printed)


def _missing_function(name: str) -> str:
    """Empty, or why this is no public function of the library."""
    module, *path = name.split(".")
    try:
        found: object = importlib.import_module(f"catvae_lib.{module}")
        for part in path:
            found = getattr(found, part)
    except (ImportError, AttributeError):
        return f"names {name}, which catvae_lib does not have"
    public = not any(part.startswith("_") for part in (module, *path))
    return "" if public and callable(found) else f"names {name}, which is no public function of catvae_lib"


def _missing_test(name: str, root: Path) -> str:
    """Empty, or why pytest would not find this test."""
    file, _, function = name.partition("::")
    path = root / file
    if not re.fullmatch(r"tests/(?:\w+/)*test_\w+\.py", file) or not path.is_file():
        return f"names the test {name}, but there is no file {file} of tests"
    return "" if function in _tests(path) else f"names the test {name}, but {file} has no such test"


@cache
def _tests(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    return {name for name in functions if name.startswith("test_")}


def _missing_claims(text: str, printed: Printed) -> list[str]:
    covers = list(COVER.finditer(text))
    if not covers or COVER.sub("", text).strip(", "):
        return [f"must name its claims as in [05](05_bernoulli_kl.ipynb) `05.kl_tenth`, got: {text}"]
    findings = []
    for number, file, claims in (cover.groups() for cover in covers):
        if file not in printed or not file.startswith(f"{number}_"):
            findings.append(f"links [{number}] to {file}, which is no notebook of that chapter")
            continue
        missing = [id for id in CODE.findall(claims) if id not in printed[file]]
        findings += [f"names the claim {id}, which {file} does not print" for id in missing]
    return findings
