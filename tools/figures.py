"""Compare the pictures' data, which nbval does not: stored against drawn afresh."""

import base64
import json
import math
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from book import Chapter, pictures

MOST_RTOL = 0.05  # a wider tolerance would pass almost any curve
LEAST_CONTRAST = 4.5  # what WCAG 2, level AA, asks of words of ordinary size


def read(path: Path) -> dict[str, Any]:
    """The data of one picture; ValueError if the file is damaged."""
    record = json.loads(path.read_text(encoding="utf-8"))
    parts = (record.get("rtol"), record.get("data")) if isinstance(record, dict) else (None, None)
    if not (_is_number(parts[0]) and isinstance(parts[1], dict)):
        raise ValueError("it lacks rtol or data")
    return record


def compare(stored: dict[str, Any], fresh: dict[str, Any]) -> list[str]:
    """How the data of one picture differs from that of a fresh run."""
    rtol = stored.get("rtol")
    if rtol != fresh.get("rtol") or not 0 <= rtol <= MOST_RTOL:
        return [f"its rtol is {rtol}, in a fresh run {fresh.get('rtol')}; at most {MOST_RTOL} is allowed"]
    if stored["data"].keys() != fresh["data"].keys():
        return [f"its series are {sorted(stored['data'])}, in a fresh run {sorted(fresh['data'])}"]
    findings = []
    for name, series in stored["data"].items():
        if difference := _difference(series, fresh["data"][name], rtol):
            findings.append(f"its series {name} {difference}")
    return findings


def _difference(stored: Any, fresh: Any, rtol: float) -> str:
    """Empty, or how two series differ by more than rtol times the largest absolute value."""
    if _shape(stored) != _shape(fresh):
        return "has another shape in a fresh run"
    pairs = list(zip(_flat(stored), _flat(fresh), strict=True))
    numbers = [(a, b) for a, b in pairs if _is_number(a) and _is_number(b)]
    if any(a != b for a, b in pairs if not (_is_number(a) and _is_number(b))):
        return "has another text in a fresh run"
    allowed = rtol * max((abs(a) for a, _ in numbers), default=0.0)
    apart = [abs(a - b) for a, b in numbers if not abs(a - b) <= allowed]  # so written, NaN counts as apart
    if math.isfinite(allowed) and not apart:
        return ""
    return f"is off by {max(apart, default=math.nan):.3g} in a fresh run; {allowed:.3g} is allowed"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shape(value: Any) -> Any:
    return [_shape(item) for item in value] if isinstance(value, list) else None


def _flat(value: Any) -> list[Any]:
    return [item for part in value for item in _flat(part)] if isinstance(value, list) else [value]


def names(notebook: NotebookNode) -> list[str]:
    """The figures that a notebook shows."""
    found = (output.metadata.get("image/png", {}).get("figure") for output in pictures(notebook))
    return [name for name in found if name]


def check_chapter(chapter: Chapter, notebook: NotebookNode, stored: Path, fresh: Path | None) -> list[str]:
    """Every picture of a notebook is stored with its data, and a fresh run draws the same."""
    findings = [f"{name} is shown twice: name each picture once" for name in _repeated(names(notebook))]
    for output in pictures(notebook):
        told = output.metadata.get("image/png", {})
        if name := told.get("figure"):
            wrong = _check_picture(name, told.get("alt"), output.data.get("image/png", ""), stored, fresh)
            if not name.startswith(f"{chapter.number}_"):
                wrong.append(f"its name must begin with {chapter.number}_")
            findings += [f"figures/{name}: {finding}" for finding in wrong]
    return findings


def _check_picture(name: str, alt: str | None, shown: str, stored: Path, fresh: Path | None) -> list[str]:
    if missing := [kind for kind in ("png", "json") if not (stored / f"{name}.{kind}").exists()]:
        return [f"the {' and '.join(missing)} is missing: run `make run`"]
    try:
        record = read(stored / f"{name}.json")
    except ValueError as error:
        return [f"{name}.json cannot be read ({error}): run `make run`, or delete it"]
    findings = []
    png = base64.b64encode((stored / f"{name}.png").read_bytes()).decode()
    if record.get("alt") != alt or "".join(shown.split()) != png:
        findings.append("the notebook shows another picture or alt text: run `make run`")
    word, contrast = record.get("faintest") or ("", LEAST_CONTRAST)
    if contrast < LEAST_CONTRAST:
        findings.append(
            f"the contrast of {word!r} is {contrast}:1, below {LEAST_CONTRAST}:1: darken its colour"
        )
    if fresh is None:
        return findings
    if not (fresh / f"{name}.json").exists():
        return [*findings, "a fresh run does not draw it"]
    try:
        return findings + compare(record, read(fresh / f"{name}.json"))
    except ValueError as error:
        return [*findings, f"{fresh / name}.json cannot be read ({error}): run `make test` again"]


def _repeated(found: list[str]) -> list[str]:
    return sorted({name for name in found if found.count(name) > 1})


def orphans(shown: set[str], stored: Path) -> list[str]:
    """Pictures of a chapter that no notebook shows."""
    files = sorted(path for path in stored.glob("*_*.*") if path.suffix in {".png", ".svg", ".json"})
    return [
        f"figures/{path.name} is shown by no notebook: delete it" for path in files if path.stem not in shown
    ]
