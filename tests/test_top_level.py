"""The files at the top agree with the book: the map of chapters, citation, changelog, containers, hooks."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

import catvae_lib
from book import ROOT, Chapter, chapters

README = (ROOT / "README.md").read_text(encoding="utf-8")
LINE = re.compile(
    r"\*Minutes:\* about (?P<read>\d+) to read, (?:(?P<run>\d+) )?seconds to run.*?"
    r"\*Before this:\* (?:chapters? (?P<needs>(?:\d\d|, | and | to )+\d\d|\d\d))?"
)
ROW = re.compile(
    r"^\| (\w+) \| \[.+?\]\(notebooks/(.+?)\.ipynb\) \| .+? \| (.+?) \| (\d+) min \| (\d+) s \|$",
    re.MULTILINE,
)


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def said(text: str) -> re.Match[str] | None:
    """What the beginning of a chapter says of minutes, seconds and prerequisites."""
    return LINE.search(re.sub(r"\n# ", " ", text))


def rows(text: str) -> dict[str, tuple[str, ...]]:
    return {name: (number, needs, read, run) for number, name, needs, read, run in ROW.findall(text)}


def wrong_row(chapter: Chapter, text: str) -> list[str]:
    """How a chapter's row in the map differs from what the chapter says."""
    number, needs, read, run = rows(text)[chapter.name]
    found = said(chapter.source.read_text(encoding="utf-8"))
    assert found, "the line of minutes reads like in the other chapters"
    expected = {"needs": found["needs"] or "–", "read": found["read"], "run": found["run"] or run}
    shown = {"needs": needs, "read": read, "run": run}
    return [name for name in shown if shown[name] != expected[name]] + ["number"] * (number != chapter.number)


@pytest.mark.parametrize("chapter", chapters(), ids=lambda chapter: chapter.name)
def test_the_map_says_of_a_chapter_what_it_says_itself(chapter: Chapter) -> None:
    assert wrong_row(chapter, README) == []


def test_the_map_has_every_chapter_in_order_and_how_long_all_takes() -> None:
    found = rows(README)
    assert list(found) == [chapter.name for chapter in chapters()]
    minutes = sum(int(read) for _, _, read, _ in found.values())
    assert "seven and a half hours of reading" in README and abs(minutes / 60 - 7.5) < 0.25


@pytest.mark.parametrize(
    ("old", "new"), [("03 to 06 | 25", "03 to 05 | 25"), ("25 min | 80", "30 min | 80"), ("80 s", "8 s")]
)
def test_a_wrong_row_is_found(old: str, new: str) -> None:
    assert README.count(old) == 1
    assert sum(bool(wrong_row(chapter, README.replace(old, new))) for chapter in chapters()) == 1


def test_the_two_commands_come_first() -> None:
    block = re.search(r"```sh\n(.*?)```", README, re.DOTALL)
    assert block and re.findall(r"^(.+?) +#", block[1], re.MULTILINE) == ["make run", "make test"]


def test_every_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    guides = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/*.md")]
    named = {
        name
        for guide in guides
        for name in re.findall(r"(?:`|^)make ([a-z-]+)", guide.read_text("utf-8"), re.MULTILINE)
    }
    assert {"run", "test", "doctor", "assignments"} <= named <= targets


def test_the_citation_is_whole() -> None:
    """The keys and types that version 1.2.0 of the format demands of what we use of it."""
    citation = read("CITATION.cff")
    assert citation["cff-version"] == "1.2.0" and citation["type"] == "software" and citation["message"]
    assert str(citation["version"]) == catvae_lib.__version__
    works = [citation, *citation["references"]]
    assert all(work["title"] and work["authors"] and work.get("type") for work in works)
    names = [author.get("family-names", author.get("name")) for work in works for author in work["authors"]]
    copyright = re.search(r"\(c\) \d+ (.+)", (ROOT / "LICENSE").read_text())
    assert copyright and names[0].lower() == copyright[1].lower()
    assert names[1:] == ["Stutz", "Jang", "Gu", "Poole", "Maddison", "Mnih", "Teh"]


def test_the_changelog_speaks_of_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    first = re.search(r"^## \[(.+?)\](.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert first and catvae_lib.__version__ in first[1] + first[2]
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) <= kinds


def test_binder_has_the_conda_environment_with_one_python_and_the_library() -> None:
    binder, conda = read(".binder/environment.yml"), read("environment.yml")
    pinned, bound = binder["dependencies"].pop(0), conda["dependencies"].pop(0)
    assert binder == conda
    assert re.fullmatch(r"python=3\.\d+", pinned) and bound.startswith("python>=")
    assert Requirement(bound).specifier.contains(pinned.removeprefix("python="))
    script = ROOT / ".binder" / "postBuild"
    assert os.access(script, os.X_OK) and script.read_text().startswith("#!")
    assert "pip install --no-deps --editable ." in script.read_text()


def test_the_development_container_makes_the_conda_environment_and_installs_the_library() -> None:
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    create = container["onCreateCommand"]
    (file,) = re.findall(r"--file (\S+)", create)
    (name,) = re.findall(r"conda run --name (\S+) pip install --no-deps --editable \.", create)
    assert (ROOT / file).exists() and name == read(file)["name"]
    interpreter = container["customizations"]["vscode"]["settings"]["python.defaultInterpreterPath"]
    assert interpreter == f"/opt/conda/envs/{name}/bin/python" and container["image"].startswith(
        "condaforge/"
    )


def test_hooks_are_local_and_run_what_is_installed() -> None:
    repositories = read(".pre-commit-config.yaml")["repos"]
    assert [repository["repo"] for repository in repositories] == ["local"]
    hooks = {hook["id"]: hook for repository in repositories for hook in repository["hooks"]}
    assert {hook["language"] for hook in hooks.values()} == {"system"}
    for hook in hooks.values():
        assert all((ROOT / path).exists() for path in re.findall(r"tools/\S+", hook["entry"]))
    assert set(hooks) == {"ruff", "ruff-format", "notebooks", "large-files"}


def test_no_file_of_the_package_is_larger_than_the_hook_allows() -> None:
    (hook,) = (
        hook for hook in read(".pre-commit-config.yaml")["repos"][0]["hooks"] if hook["id"] == "large-files"
    )
    (limit,) = re.findall(r"-size \+(\d+)k", hook["entry"])
    files = [path for folder in ("catvae_lib", "figures", "notebooks") for path in (ROOT / folder).rglob("*")]
    assert max(path.stat().st_size for path in files if path.is_file()) <= int(limit) * 1024


def test_the_workflow_runs_what_a_person_types() -> None:
    workflows: list[Path] = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    steps = [
        step
        for path in workflows
        for job in yaml.safe_load(path.read_text())["jobs"].values()
        for step in job["steps"]
    ]
    assert ".ci/run" in [step.get("run") for step in steps]
    assert (
        os.access(ROOT / ".ci" / "run", os.X_OK) and "exec make test\n" in (ROOT / ".ci" / "run").read_text()
    )
