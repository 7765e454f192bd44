"""The doctor: every check, made to fail, says what to do; a healthy machine has no problem; no network."""

import importlib
import importlib.metadata
import importlib.util
import locale
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from collections import namedtuple
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib
import pytest
import torch
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from packaging.requirements import Requirement

import doctor
import machine
from book import ROOT
from catvae_lib import data
from catvae_lib._precision import has_bfloat16
from catvae_lib.profiles import PROFILES

Patch = pytest.MonkeyPatch
TOOL = ROOT / "tools" / "doctor.py"
Usage = namedtuple("Usage", "total used free")


def versions(patch: Patch, **other: str | None) -> None:
    """Change the versions that some distributions report; None takes one away."""
    true = importlib.metadata.version

    def version(name: str) -> str:
        if name.replace("-", "_") not in other:
            return true(name)
        if (changed := other[name.replace("-", "_")]) is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return changed

    patch.setattr(importlib.metadata, "version", version)


def without(patch: Patch, *names: str) -> None:
    """Let the import of some packages fail, as where they are not installed."""
    true = importlib.import_module

    def import_module(name: str) -> Any:
        if name.partition(".")[0] in names:
            raise ModuleNotFoundError(f"No module named {name!r}")
        return true(name)

    patch.setattr(importlib, "import_module", import_module)


def broken_torch(patch: Patch) -> None:
    def import_module(name: str) -> Any:
        raise OSError("libtorch_cpu.so: cannot open shared object file\nand more")

    patch.setattr(importlib, "import_module", import_module)


def wrong_product(patch: Patch) -> None:
    patch.setattr(torch.Tensor, "__matmul__", lambda a, b: a.new_zeros(2, 2))


def with_gpu(patch: Patch) -> None:
    properties = SimpleNamespace(name="H100", total_memory=80 * 2**30, major=9, minor=0)
    patch.setattr(torch.cuda, "is_available", lambda: True)
    patch.setattr(torch.cuda, "get_device_properties", lambda index: properties)


def gpu_without_kernels(patch: Patch) -> None:
    with_gpu(patch)
    true = torch.arange

    def arange(*args: Any, device: str, **kwargs: Any) -> torch.Tensor:
        if device == "cuda":
            raise RuntimeError("CUDA error: no kernel image is available")
        return true(*args, device=device, **kwargs)

    patch.setattr(torch, "arange", arange)


def no_vectors(patch: Patch) -> None:
    patch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    patch.setattr(platform, "machine", lambda: "x86_64")


def no_compiler(patch: Patch) -> None:
    patch.delenv("CXX", raising=False)
    patch.setattr(shutil, "which", lambda name: None)


def no_header(patch: Patch) -> None:
    patch.delenv("CXX", raising=False)
    patch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    patch.setattr(Path, "exists", lambda path: False)


def elsewhere(patch: Patch) -> None:
    spec = SimpleNamespace(origin="/elsewhere/catvae_lib/__init__.py")
    patch.setattr(importlib.util, "find_spec", lambda name: spec)


def one_byte_changed(patch: Patch) -> None:
    true = Path.read_bytes
    patch.setattr(Path, "read_bytes", lambda path: true(path)[:-1] + b"x")


def no_file(patch: Patch) -> None:
    patch.setattr(Path, "exists", lambda path: False)


def read_only(patch: Patch) -> None:
    def refuse(dir: Path) -> Any:
        raise OSError(30, "Read-only file system")

    patch.setattr(tempfile, "TemporaryFile", refuse)


def kernel_of(*argv: str) -> Callable[[Patch], None]:
    def change(patch: Patch) -> None:
        spec = SimpleNamespace(argv=list(argv))
        patch.setattr(KernelSpecManager, "get_kernel_spec", lambda self, name: spec)

    return change


def no_kernel(patch: Patch) -> None:
    def refuse(self: object, name: str) -> Any:
        raise NoSuchKernel(name)

    patch.setattr(KernelSpecManager, "get_kernel_spec", refuse)


def variable(name: str, value: str) -> Callable[[Patch], None]:
    return lambda patch: patch.setenv(name, value)


def gpu_wanted(patch: Patch) -> None:
    patch.setenv("CATVAE_PROFILE", "gpu")
    patch.setattr(torch.cuda, "is_available", lambda: False)


BROKEN: dict[str, tuple[str, Callable[[Patch], None], str, str]] = {
    "old Python": (
        "python",
        lambda patch: patch.setattr(platform, "python_version", lambda: "3.10.14"),
        "Python is 3.10.14; the book needs 3.11",
        "make run PYTHON=",
    ),
    "nothing installed": (
        "packages",
        lambda patch: patch.setattr(doctor, "installed", lambda name: None),
        "not installed: matplotlib, numpy, ",
        "make run",
    ),
    "one missing": (
        "packages",
        lambda p: versions(p, jupyterlab=None, tqdm=None),
        "not installed: tqdm, jupyterlab",
        "make run",
    ),
    "one too old": (
        "packages",
        lambda patch: versions(patch, torch="2.8.1+cpu"),
        "torch is 2.8.1+cpu; at least 2.9 is needed",
        'pip install --constraint constraints.txt "torch>=2.9"',
    ),
    "an old one for tests": (
        "packages",
        lambda p: versions(p, pytest_xdist="3.5"),
        "xdist is 3.5",
        "pytest-xdist>=3.6",
    ),
    "no library": (
        "library",
        lambda patch: patch.setattr(importlib.util, "find_spec", lambda name: None),
        "catvae_lib is not installed",
        "make run",
    ),
    "another library": ("library", elsewhere, "comes from /elsewhere/catvae_lib, not", "--editable ."),
    "no torch": ("torch_works", lambda p: without(p, "torch"), "torch cannot be imported", "make run"),
    "torch damaged": ("torch_works", broken_torch, "(OSError: libtorch_cpu.so: cannot open", "make run"),
    "torch wrong": ("torch_works", wrong_product, "should be [[5, 14], [14, 50]] and is", "remove .venv"),
    "no AVX2": ("processor", no_vectors, "torch uses no AVX2", "unset ATEN_CPU_CAPABILITY"),
    "no number": (
        "threads",
        variable("OMP_NUM_THREADS", "all"),
        "is 'all', which is no",
        "OMP_NUM_THREADS=1",
    ),
    "no threads": ("threads", variable("OMP_NUM_THREADS", "0"), "is '0', which is no", "OMP_NUM_THREADS=1"),
    "too many": ("threads", variable("OMP_NUM_THREADS", "9999"), "is 9999 on", "set OMP_NUM_THREADS=1"),
    "GPU unusable": ("gpu", gpu_without_kernels, "no kernel image is available", "CATVAE_PROFILE=cpu"),
    "no compiler": ("compiler", no_compiler, "there is no C++ compiler", "install g++ or clang"),
    "CXX wrong": ("compiler", variable("CXX", "no-such-program"), "CXX is no-such-program", "install g++"),
    "no Python.h": ("compiler", no_header, "Python.h is missing", "install python3-dev"),
    "digits damaged": (
        "digits",
        one_byte_changed,
        "the digits are damaged",
        "git checkout catvae_lib/assets",
    ),
    "digits missing": ("digits", no_file, "the digits are missing", "git checkout catvae_lib/assets"),
    "disk full": (
        "folders",
        lambda patch: patch.setattr(shutil, "disk_usage", lambda place: Usage(1e12, 1e12, 5e7)),
        "0.1 GB are free for",
        "free some space",
    ),
    "read-only": ("folders", read_only, "cannot be written (Read-only file system)", "make it writable"),
    "no Jupyter": ("kernel", lambda p: without(p, "jupyter_client"), "jupyter_client.kernelspec", "make run"),
    "no ipykernel": ("kernel", lambda p: without(p, "ipykernel"), "ipykernel cannot be", "make run"),
    "no kernel": ("kernel", no_kernel, "no kernel named python3", "ipykernel install"),
    "kernel lost": (
        "kernel",
        kernel_of("/nowhere/python"),
        "starts /nowhere/python, not",
        "ipykernel install",
    ),
    "kernel of another": (
        "kernel",
        kernel_of("/bin/sh"),
        "starts /bin/sh, not this Python",
        "ipykernel install",
    ),
    "LaTeX asked for": (
        "latex",
        lambda patch: patch.setitem(matplotlib.rcParams, "text.usetex", True),
        "your matplotlibrc asks for LaTeX",
        "set text.usetex to False",
    ),
    "unknown profile": ("profile", variable("CATVAE_PROFILE", "fast"), "is 'fast'", "smoke, cpu, gpu"),
    "no GPU for it": ("profile", gpu_wanted, "torch finds no GPU", "set it to cpu or smoke"),
    "Latin-1": (
        "encoding",
        lambda patch: patch.setattr(locale, "getpreferredencoding", lambda do_setlocale: "ISO-8859-1"),
        "text is read and written as ISO-8859-1",
        "set PYTHONUTF8=1",
    ),
}


@pytest.fixture(autouse=True)
def healthy(monkeypatch: Patch) -> None:
    """A machine with a compiler and enough disk, whatever this one has."""
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}" if name == "g++" else None)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: Usage(1e12, 9e11, 1e11))
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(ROOT))
    true = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: path.name == "Python.h" or true(path))


def test_a_healthy_machine_has_no_problem(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main() == 0
    report = capsys.readouterr().out.splitlines()
    assert report[-1] == "This machine is ready."
    assert len(report) > len(doctor.CHECKS) and all(line.startswith("[ok] ") for line in report[:-1])


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_told_with_a_remedy(
    name: str, monkeypatch: Patch, capsys: pytest.CaptureFixture[str]
) -> None:
    check, change, what, remedy = BROKEN[name]
    monkeypatch.setattr(doctor, "CHECKS", [getattr(doctor, check)])
    assert doctor.main() == 0, "healthy before it is broken"
    change(monkeypatch)
    capsys.readouterr()
    assert doctor.main() == 1
    first, *_, last = (line for line in capsys.readouterr().out.splitlines() if not line.startswith("[ok]"))
    assert first.startswith("[problem]  ") and last.startswith("Problems: ")
    told, _, advice = first.rpartition(": ")
    assert what in told and remedy in advice


def test_every_check_that_can_fail_is_made_to() -> None:
    checks = {check.__name__ for check in doctor.CHECKS}
    assert {check for check, *_ in BROKEN.values()} == checks - {"pins", "optional"}  # which only remark


def told(check: str) -> str:
    lines = doctor.examine([getattr(doctor, check)])
    assert all(line.good for line in lines)
    return "\n".join(line.text for line in lines)


def test_another_version_than_the_pinned_is_remarked(monkeypatch: Patch) -> None:
    versions(monkeypatch, numpy="2.0.0", scipy="1.17.1+local")
    assert "numpy 2.0.0 (" in told("pins") and "scipy" not in told("pins")


def test_the_bound_itself_is_enough(monkeypatch: Patch) -> None:
    versions(monkeypatch, torch="2.9.0", seaborn="0.13")
    monkeypatch.setattr(platform, "python_version", lambda: "3.11.0")
    assert "none older" in told("packages") and "Python 3.11.0" in told("python")
    assert "not installed" not in told("packages")


def test_one_thread_a_core_may_be_asked_for(monkeypatch: Patch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1}, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert told("threads").startswith("2 cores")


@pytest.mark.parametrize("file", ["python", "python3.11"])
def test_a_kernel_of_this_environment_is_this_python(file: str, monkeypatch: Patch) -> None:
    kernel_of(str(Path(sys.executable).parent / file))(monkeypatch)
    assert told("kernel").endswith(file)


def test_what_only_tests_need_may_be_missing(monkeypatch: Patch) -> None:
    versions(monkeypatch, nbgrader=None, mypy=None)
    assert "not needed to read: nbgrader, mypy (" in told("packages")


def test_a_gpu_is_described(monkeypatch: Patch) -> None:
    with_gpu(monkeypatch)
    monkeypatch.setattr(machine, "product", lambda device: "")
    assert "GPU H100, 80 GiB, capability 9.0" in told("gpu")


def test_a_gpu_that_torch_does_not_see_is_remarked(monkeypatch: Patch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert "nvidia-smi is here" in told("gpu")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert "finds no CUDA GPU: chapters run in the cpu profile" in told("gpu")


def test_a_check_that_fails_itself_is_told_and_hides_no_other(monkeypatch: Patch) -> None:
    def surprise(name: str) -> Any:
        raise TypeError("surprise")

    monkeypatch.setattr(doctor, "read", surprise)
    lines = doctor.examine([doctor.python, doctor.threads])
    assert [line.good for line in lines] == [False, True]
    assert "the check of python failed: TypeError: surprise" in lines[0].text


def test_one_missing_package_is_one_line(monkeypatch: Patch) -> None:
    without(monkeypatch, "torch")
    assert len(doctor.examine([doctor.torch_works, doctor.processor, doctor.gpu])) == 1


def test_a_probe_leaves_nothing_behind(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setattr(doctor, "ROOT", tmp_path)
    assert all(line.good for line in doctor.folders()) and list(tmp_path.iterdir()) == []


def test_what_is_installed_needs_no_room(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setattr(doctor, "ROOT", tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: Usage(1e12, 1e12, 1e9))
    assert [line.good for line in doctor.folders()].count(False) == 1
    (tmp_path / ".venv").mkdir()
    assert all(line.good for line in doctor.folders())


def test_what_cannot_be_written_is_not_called_writable(monkeypatch: Patch) -> None:
    read_only(monkeypatch)
    assert not any(line.good for line in doctor.folders())


@pytest.mark.parametrize(
    ("feature", "words"), [("avx512_bf16", "faster"), ("amx_bf16", "faster"), ("avx2", "no bfloat16")]
)
def test_bfloat16_is_what_the_library_takes_for_it(feature: str, words: str, monkeypatch: Patch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {feature: True}, raising=False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert words in told("processor")
    assert has_bfloat16(torch.device("cpu")) == (words == "faster")


def test_versions_are_compared_by_number() -> None:
    assert doctor.release("2.10.0+cpu") == (2, 10) > doctor.release("2.9")
    assert doctor.release("3.0") == doctor.release("3") < doctor.release("3.0.1rc2")


def test_the_doctor_reads_what_the_project_says() -> None:
    """It reads pyproject.toml and the library's constants as text: this compares with what they mean."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lists = {"dependencies": project["dependencies"], **project["optional-dependencies"]}
    assert {extra: set(lower) for extra, lower in doctor.bounds().items()} == {
        extra: {Requirement(line).name for line in lines} for extra, lines in lists.items()
    }
    lower = dict(chain.from_iterable(one.items() for one in doctor.bounds().values()))
    for line in chain(*lists.values()):
        assert str(Requirement(line).specifier) == f">={lower[Requirement(line).name]}"
    assert set(doctor.PROFILES) == set(PROFILES)
    assert data.EMBEDDED_SHA256 in doctor.read("catvae_lib/data.py")


def test_plain_python_runs_it_and_says_to_install() -> None:
    """-E -S: neither site-packages nor PYTHONPATH."""
    run = subprocess.run([sys.executable, "-E", "-S", str(TOOL)], capture_output=True, text=True)
    assert run.returncode == 1 and run.stderr == ""
    assert "[problem]  not installed: matplotlib, numpy, " in run.stdout
    assert "run `make run`" in run.stdout and "Traceback" not in run.stdout


def test_it_never_touches_the_network() -> None:
    """Python announces every connection and every name looked up to an audit hook; here that ends the run."""
    script = f"""
import os, runpy, sys
def hook(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        print("network:", event, flush=True)
        os._exit(9)
sys.addaudithook(hook)
if len(sys.argv) > 1:
    import socket
    socket.create_connection(("127.0.0.1", 9))
runpy.run_path({str(TOOL)!r}, run_name="__main__")
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(TOOL.parent)])}
    command = [sys.executable, "-c", script]
    assert subprocess.run([*command, "break"], capture_output=True, env=environment).returncode == 9
    run = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert run.returncode in {0, 1} and "network" not in run.stdout
    assert run.stdout.count("[ok]") + run.stdout.count("[problem]") > len(doctor.CHECKS)
