"""pyproject.toml, constraints.txt and environment.yml say the same, and the tests run in what they say."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, metadata, version
from itertools import chain

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from book import ROOT

CONDA = {"torch": "pytorch", "matplotlib": "matplotlib-base"}  # where conda-forge's name differs from PyPI's
ONLY_CONDA = {"python", "pip", "make"}

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA_ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text())


def requirements(lines: list[str]) -> dict[str, Requirement]:
    parsed = [Requirement(line) for line in lines]
    assert len({canonicalize_name(one.name) for one in parsed}) == len(parsed), "a name occurs twice"
    return {canonicalize_name(one.name): one for one in parsed}


BOUNDS = requirements([*PROJECT["dependencies"], *chain(*PROJECT["optional-dependencies"].values())])
PINS = requirements(re.findall(r"^\w.*$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
CONDA_BOUNDS = requirements(CONDA_ENVIRONMENT["dependencies"])


@pytest.mark.parametrize("name", BOUNDS)
def test_a_lower_bound_has_a_pin_that_satisfies_it(name: str) -> None:
    (bound,) = BOUNDS[name].specifier
    assert bound.operator == ">="
    (pin,) = PINS[name].specifier
    assert pin.operator == "==" and bound.contains(pin.version)


@pytest.mark.parametrize("name", BOUNDS)
def test_conda_has_the_same_lower_bound(name: str) -> None:
    assert CONDA_BOUNDS[CONDA.get(name, name)].specifier == BOUNDS[name].specifier


def test_conda_has_nothing_else() -> None:
    assert set(CONDA_BOUNDS) == {CONDA.get(name, name) for name in BOUNDS} | ONLY_CONDA
    assert CONDA_BOUNDS["python"].specifier == Requirement(f"python{PROJECT['requires-python']}").specifier
    assert CONDA_ENVIRONMENT["channels"] == ["conda-forge", "nodefaults"]


def test_what_the_book_promises_about_torch_and_python() -> None:
    assert str(BOUNDS["torch"].specifier) == ">=2.9"
    assert PROJECT["requires-python"] == ">=3.11"


@pytest.mark.parametrize("name", BOUNDS)
def test_the_tests_run_in_versions_that_the_bounds_allow(name: str) -> None:
    installed = Version(version(name))
    assert BOUNDS[name].specifier.contains(installed.base_version)


def test_every_pin_is_exact() -> None:
    for name, pin in PINS.items():
        assert re.fullmatch(r"==[\w.]+", str(pin.specifier)), f"{name}: {pin}"


# What lets the book be used, changed and handed on; nothing that asks the same of the book.
PERMISSIVE = re.compile(
    r"Apache|BSD|MIT|MPL|Mozilla|ISC|PSF|Python Software Foundation|Zlib|Unlicense|Public Domain|0BSD|CC0",
    re.I,
)
TABLE = re.findall(
    r"^\| ([a-z][\w-]*) \| (.+) \| (.+) \|$", (ROOT / "docs" / "dependencies.md").read_text(), re.M
)


def licence(name: str) -> str:
    """What an installed package says of its licence, in one of three places."""
    told = metadata(name)
    classes = [one for one in told.get_all("Classifier") or [] if one.startswith("License")]
    return " ".join(
        [str(told.get("License-Expression")), *str(told.get("License")).splitlines()[:1], *classes]
    )


def test_each_dependency_has_its_reason_and_no_other_is_named() -> None:
    reasons = {name: reason for name, reason, _ in TABLE if name != "package"}
    assert sorted(reasons) == sorted(BOUNDS)
    assert all(reasons.values())


@pytest.mark.parametrize(("name", "stated"), [(name, stated) for name, _, stated in TABLE if name in BOUNDS])
def test_the_licence_of_a_dependency_is_the_one_stated(name: str, stated: str) -> None:
    assert all(part in licence(name) for part in stated.split(" and "))


@pytest.mark.parametrize("name", PINS)
def test_every_pin_may_be_handed_on(name: str) -> None:
    try:
        told = licence(name)
    except PackageNotFoundError:
        pytest.skip(f"{name} is pinned for another platform or another Python, and not installed here")
    assert PERMISSIVE.search(told), told
