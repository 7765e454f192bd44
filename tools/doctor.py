"""Check that this machine can run the book, a line each: [ok], or [problem] and what to do about it.

    make doctor

It needs nothing but Python, so it runs before anything is installed, and it never touches the network. The
exit status is 1 if there is a problem.
"""

from __future__ import annotations

import hashlib
import importlib.util
import locale
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

from machine import INSTALL, Line, Missing, compiler, gpu, load, ok, problem, processor, threads, torch_works

ROOT = Path(__file__).resolve().parents[1]
PROFILES = ("smoke", "cpu", "gpu")
WRITTEN = {".venv": 2.0, ".cache": 0.2, "figures": 0.1, "notebooks": 0.1}  # GB that must be free
NEEDED = ("dependencies", "book")  # without these no chapter runs; the others are for marking and testing


def installed(name: str) -> str | None:
    """The version of a distribution, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def release(version: str) -> tuple[int, ...]:
    """The numbers of a version, to compare: 2.9.0+cpu is (2, 9)."""
    match = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(part) for part in match[0].split(".")] if match else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def bounds() -> dict[str, dict[str, str]]:
    """The lower bounds of pyproject.toml by the list they are in. No TOML: Python 3.10 cannot read it."""
    lists = re.findall(r"^(\w+) = \[\n(.*?)^\]", read("pyproject.toml"), re.MULTILINE | re.DOTALL)
    found = {name: dict(re.findall(r'"([\w.-]+)>=([\d.]+)"', body)) for name, body in lists}
    return {name: lower for name, lower in found.items() if lower}


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def python() -> Iterator[Line]:
    lower = re.search(r'requires-python = ">=([\d.]+)"', read("pyproject.toml"))
    version = platform.python_version()
    if lower and release(version) < release(lower[1]):
        remedy = f"install Python {lower[1]} or later, then `make run PYTHON=/path/to/it`"
        yield problem(f"Python is {version}; the book needs {lower[1]}", remedy)
    else:
        yield ok(f"Python {version}, {sys.executable}")


def packages() -> Iterator[Line]:
    found = {name: installed(name) for lower in bounds().values() for name in lower}
    old, missing, spare = [], [], []
    for extra, lower in bounds().items():
        for name, bound in lower.items():
            version = found[name]
            if version is None:
                (missing if extra in NEEDED else spare).append(name)
            elif release(version) < release(bound):
                remedy = f'python -m pip install --constraint constraints.txt "{name}>={bound}"'
                old.append(problem(f"{name} is {version}; at least {bound} is needed", remedy))
    yield from old
    if missing:
        yield problem(f"not installed: {', '.join(missing)}", INSTALL)
    if not old + missing:
        yield ok(f"{sum(map(bool, found.values()))} packages, none older than pyproject.toml allows")
    if spare:
        yield ok(f"not installed, and not needed to read: {', '.join(spare)} (for marking and `make test`)")


def pins() -> Iterator[Line]:
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)$", read("constraints.txt"), re.MULTILINE))
    found = {name: installed(name) for name in pinned}
    other = [
        f"{name} {version} ({pinned[name]})"
        for name, version in found.items()
        if version and version.partition("+")[0] != pinned[name]
    ]
    if other:
        remark = "other versions than those of constraints.txt (outputs may differ in the last digit)"
        yield ok(f"{remark}: {', '.join(other)}")
    elif any(found.values()):
        yield ok("the versions are those of constraints.txt")


def library() -> Iterator[Line]:
    spec = importlib.util.find_spec("catvae_lib")
    here = ROOT / "catvae_lib"
    if spec is None or not spec.origin:
        yield problem("catvae_lib is not installed", INSTALL)
    elif Path(spec.origin).resolve().parent != here:
        remedy = "python -m pip install --no-deps --editable ."
        yield problem(f"catvae_lib comes from {Path(spec.origin).parent}, not from this folder", remedy)
    else:
        yield ok(f"catvae_lib comes from {here}")


def digits() -> Iterator[Line]:
    path = ROOT / "catvae_lib" / "assets" / "binarized_mnist.npz"
    expected = re.search(r'EMBEDDED_SHA256 = "(\w+)"', read("catvae_lib/data.py"))
    found = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""
    if expected and found == expected[1]:
        yield ok(f"the digits are here and whole ({path.stat().st_size / 1e6:.1f} MB)")
    else:
        what = "are damaged" if found else "are missing"
        yield problem(f"the digits {what} ({path})", "restore them with `git checkout catvae_lib/assets`")


def folders() -> Iterator[Line]:
    for name, needed in WRITTEN.items():
        if name == ".venv" and (ROOT / name).exists():
            continue  # made already
        place = ROOT / name if (ROOT / name).is_dir() else ROOT
        free = shutil.disk_usage(place).free / 1e9
        try:
            tempfile.TemporaryFile(dir=place).close()
        except OSError as error:
            remedy = "make it writable, or put the book in a folder of your own"
            yield problem(f"{place} cannot be written ({error.strerror})", remedy)
            continue
        if free < needed:
            yield problem(f"{free:.1f} GB are free for {name}; {needed:g} are needed", "free some space")
        else:
            yield ok(f"{name} can be written; {free:.0f} GB are free")


def kernel() -> Iterator[Line]:
    specs = load("jupyter_client.kernelspec")
    load("ipykernel")
    remedy = "python -m ipykernel install --sys-prefix"
    try:
        program = specs.KernelSpecManager().get_kernel_spec("python3").argv[0]
    except specs.NoSuchKernel:
        yield problem("Jupyter finds no kernel named python3", remedy)
        return
    if Path(program).name == program:  # a bare name, which Jupyter replaces by its own Python
        yield ok("Jupyter finds the kernel python3")
    elif Path(program).absolute().parent != Path(sys.executable).absolute().parent:
        yield problem(f"the kernel python3 starts {program}, not this Python", remedy)
    else:
        yield ok(f"Jupyter finds the kernel python3, {program}")


def latex() -> Iterator[Line]:
    if load("matplotlib").rcParams["text.usetex"]:
        remedy = "set text.usetex to False there, since the pictures would change and the book needs no LaTeX"
        yield problem("your matplotlibrc asks for LaTeX", remedy)
    else:
        yield ok("LaTeX is not needed")


def profile() -> Iterator[Line]:
    name = os.environ.get("CATVAE_PROFILE")
    if not name:
        yield ok("CATVAE_PROFILE is not set: gpu where there is CUDA, else cpu")
    elif name not in PROFILES:
        yield problem(f"CATVAE_PROFILE is {name!r}", f"set it to one of {', '.join(PROFILES)}, or unset it")
    elif name == "gpu" and not load("torch").cuda.is_available():
        yield problem("CATVAE_PROFILE is gpu, and torch finds no GPU", "set it to cpu or smoke, or unset it")
    else:
        yield ok(f"CATVAE_PROFILE is {name}")


def encoding() -> Iterator[Line]:
    names = {locale.getpreferredencoding(False), sys.getfilesystemencoding()}
    other = sorted(name for name in names if name.lower().replace("-", "") != "utf8")
    if other:
        yield problem(f"text is read and written as {', '.join(other)}", "set PYTHONUTF8=1 (or LANG=C.UTF-8)")
    else:
        yield ok("text is UTF-8")


def optional() -> Iterator[Line]:
    hub, browsers = "`make test-hub`", "tests of pages in a browser"
    for name, use in (("node", hub), ("chromium", browsers)):
        yield ok(f"optional, for {use}: {shutil.which(name) or f'no {name}'}")


CHECKS: list[Callable[[], Iterator[Line]]] = [
    python, packages, pins, library, torch_works, processor, threads, gpu, compiler, digits, folders, kernel,
    latex, profile, encoding, optional,
]  # fmt: skip


def examine(checks: list[Callable[[], Iterator[Line]]]) -> list[Line]:
    """Every line of the report, each once: what cannot be imported is told by the first who needs it."""
    lines: list[Line] = []
    for check in checks:
        try:
            lines += check()
        except Missing as error:
            lines.append(problem(str(error), INSTALL))
        except Exception as error:  # a doctor that faints helps nobody
            lines.append(problem(f"the check of {check.__name__} failed", f"{type(error).__name__}: {error}"))
    return list(dict.fromkeys(lines))


def main() -> int:
    lines = examine(CHECKS)
    for line in lines:
        print(f"{'[ok]' if line.good else '[problem]':<10} {line.text}")
    wrong = sum(not line.good for line in lines)
    print("This machine is ready." if not wrong else f"Problems: {wrong}. Each line says what to do.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
