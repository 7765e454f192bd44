"""The doctor's checks of the machine: torch, processor, threads, GPU, compiler; and a line of its report."""

from __future__ import annotations

import importlib
import os
import platform
import re
import shutil
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

INSTALL = "run `make run` (first remove .venv, if it is there), or install by hand as the README says"


class Line(NamedTuple):
    """One line of the report."""

    good: bool
    text: str


class Missing(Exception):
    """A package that cannot be imported, and why."""


def ok(text: str) -> Line:
    return Line(True, text)


def problem(text: str, remedy: str) -> Line:
    return Line(False, f"{text}: {remedy}")


def load(name: str) -> Any:
    """Import a package; whatever a damaged one raises becomes one kind of error."""
    try:
        return importlib.import_module(name)
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise Missing(f"{name} cannot be imported ({type(error).__name__}: {reason})") from error


def product(device: str) -> str:
    """Empty, or what is wrong with a small matrix product on a device."""
    torch = load("torch")
    try:
        for dtype in (torch.float32, torch.float64):
            a = torch.arange(6, dtype=dtype, device=device).reshape(2, 3)
            if (found := (a @ a.T).tolist()) != [[5, 14], [14, 50]]:
                return f"a product of {dtype} should be [[5, 14], [14, 50]] and is {found}"
    except Exception as error:
        return str(error).partition("\n")[0]
    return ""


def torch_works() -> Iterator[Line]:
    version = load("torch").__version__
    if wrong := product("cpu"):
        yield problem(f"torch {version} does not compute ({wrong})", "remove .venv and `make run` again")
    else:
        yield ok(f"torch {version} computes a matrix product")


def processor() -> Iterator[Line]:
    torch = load("torch")
    vectors = torch.backends.cpu.get_cpu_capability()
    features = getattr(torch.cpu, "get_capabilities", dict)()
    fast = features.get("avx512_bf16") or features.get("amx_bf16")
    training = "bfloat16 products, so that training is faster" if fast else "no bfloat16 products: float32"
    if vectors == "DEFAULT" and platform.machine().lower() in {"x86_64", "amd64"}:
        remedy = (
            "unset ATEN_CPU_CAPABILITY; on an old processor read on, but `make test` will find differences"
        )
        yield problem("torch uses no AVX2, and draws other Gaussian numbers than the book", remedy)
    else:
        yield ok(f"processor {platform.machine()}, vectors {vectors}, {training}")


def threads() -> Iterator[Line]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    remedy = "set OMP_NUM_THREADS=1, or unset it"
    if asked and not re.fullmatch(r"[1-9]\d*", asked):
        yield problem(f"OMP_NUM_THREADS is {asked!r}, which is no number of threads", remedy)
    elif asked and int(asked) > cores:
        yield problem(f"OMP_NUM_THREADS is {asked} on {cores} cores, which slows training down", remedy)
    else:
        yield ok(f"{cores} cores; a chapter uses one thread, and `make` runs two chapters at once")


def gpu() -> Iterator[Line]:
    cuda = load("torch").cuda
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an old driver warns; the line below says what it means
        if not cuda.is_available():
            old = " (nvidia-smi is here: is torch a CPU build, or the driver old?)"
            seen = old if shutil.which("nvidia-smi") else ""
            yield ok(
                f"torch finds no CUDA GPU{seen}: chapters run in the cpu profile, as the stored ones did"
            )
            return
        device = cuda.get_device_properties(0)
    name = f"{device.name}, {device.total_memory / 2**30:.0f} GiB, capability {device.major}.{device.minor}"
    if wrong := product("cuda"):
        remedy = "set CATVAE_PROFILE=cpu, or install a torch build for this GPU"
        yield problem(f"GPU {name}: torch cannot compute on it ({wrong})", remedy)
    else:
        yield ok(f"GPU {name}: an open notebook uses it in the gpu profile")


def compiler() -> Iterator[Line]:
    use = "`TrainConfig(compile=True)` on a CPU and one test"
    asked = os.environ.get("CXX")
    found = next(filter(None, map(shutil.which, [asked] if asked else ["g++", "c++", "clang++", "cl"])), None)
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if not found:
        missing = f"CXX is {asked}, which is no program" if asked else "there is no C++ compiler"
        yield problem(missing, f"install g++ or clang for {use}; everything else works without")
    elif not header.exists():
        yield problem(f"{header} is missing", f"install python3-dev for {use}; everything else works without")
    else:
        yield ok(f"C++ compiler {found}, for {use}")
