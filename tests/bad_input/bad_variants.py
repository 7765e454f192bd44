"""Bad values, derived from a good one: wrong types, shapes, dtypes, devices and numbers.

Each has a label. A wrong type and a NaN must be refused; anything else may be refused or give a result,
but never one with a NaN.
"""

import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from catvae_lib.data import Dataset
from catvae_lib.latent import GaussianLatent, Latent

INF, NAN = math.inf, math.nan


class Thing:
    """An object of no use to anyone."""

    def __repr__(self) -> str:
        return "Thing()"


ANYTHING: dict[str, Any] = {
    "None": None,
    "a word": "nonsense",
    "an object": Thing(),
    "a complex number": 1j,
    "a list of words": ["nonsense"],
    "a dict": {"a": 1},
}


def bad_values(good: Any) -> dict[str, Any]:
    """Return bad values by label for an argument of which a good value is given."""
    for kind, make in _KINDS:
        if isinstance(good, kind):
            return ANYTHING | make(good)
    if callable(good):
        return ANYTHING | _functions(good)
    return dict(ANYTHING)


def must_be_refused(label: str, good: Any) -> bool:
    """Whether no function can make sense of such a value in the place of a good one."""
    if isinstance(good, str | Path):
        return label in ANYTHING and label != "a word"
    return label in ANYTHING or "NaN" in label


def _tensors(good: Tensor) -> dict[str, Any]:
    wide, flat = good.dtype == torch.float64, good.detach()
    found = {
        "an array": flat.float().numpy(),
        "a list of numbers": [1.0, 2.0],
        "a whole number": 3,
        "a bool tensor": flat.bool(),
        "an int tensor": flat.long(),
        "a complex tensor": flat.to(torch.complex64),
        "half": flat.half(),
        "bfloat16": flat.bfloat16(),
        "the other precision": flat.to(torch.float32 if wide else torch.float64),
        "a scalar": torch.zeros((), dtype=good.dtype),
        "empty": torch.zeros(0, dtype=good.dtype),
        "no row": flat[:0] if good.ndim else flat.reshape(1)[:0],
        "one dimension more": torch.stack([flat, flat]),
        "two dimensions more": flat.expand(2, 3, *flat.shape),
        "on meta": flat.to("meta"),
        "a scalar NaN": torch.tensor(NAN),
    }
    if good.ndim:
        found["no column"] = flat[..., :0]
        found["one column"] = flat[..., :1]
        found["a column more"] = torch.cat([flat, flat[..., :1]], -1)
        found["a row more"] = torch.cat([flat, flat[:1]])
        found["flat"] = flat.flatten()
    for number in (NAN, INF, -INF, -1.0, 2.0, 0.0, 1e38, -1e38, 1e308):
        if not good.is_floating_point() or torch.finfo(good.dtype).max < abs(number) < INF:
            continue
        found[f"all {number}".replace("nan", "NaN")] = torch.full_like(flat, number)
        if good.numel():
            one = flat.clone()
            one.view(-1)[0] = number
            found[f"one {number}".replace("nan", "NaN")] = one
    return found


def _numbers(good: float) -> dict[str, Any]:
    numbers = (NAN, INF, -INF, -1.0, 0.0, 2.0, 1e-320, 1e38, -1e38, 1e308, -1e308)
    return {f"{number}".replace("nan", "NaN"): number for number in numbers} | {
        "a long int": 10**400,
        "an int that Python does not print": -(10**5000),
        "an int tensor": torch.ones(2, dtype=torch.int64),
        "a NaN tensor": torch.tensor(NAN),
        "a negative tensor": torch.tensor(-1.0),
        "a tensor": torch.ones(()),
        "a tensor of another shape": torch.ones(7),
        "a tensor that enlarges": torch.ones(2, 1, 1, 1, 1),
        "an empty tensor": torch.ones(0),
        "an array": np.ones(2),
        "on meta": torch.ones((), device="meta"),
    }


def _counts(good: int) -> dict[str, Any]:
    return {
        "-1": -1,
        "0": 0,
        "huge": 10**12,
        "a long int": 10**400,
        "an int that Python does not print": -(10**5000),
        "a fraction": 1.5,
        "inf": INF,
        "a NaN": NAN,
        "a bool": True,
        "a tensor": torch.ones(2),
        "an array": np.ones(2),
    }


def _sequences(good: Any) -> dict[str, Any]:
    found = {
        "a number": 1.5,
        "empty": (),
        "a negative entry": (-1, *good[1:]),
        "a fraction in it": (1.5, *good[1:]),
        "None in it": (None, *good[1:]),
        "a huge entry": (10**12, *good[1:]),
        "huge entries": (10**12,) * max(2, len(good)),
        "one more": (*good, *good[:1]),
        "one less": tuple(good)[:-1],
        "a NaN in it": (NAN, *good[1:]),
        "a tensor of other numbers": torch.full((2, 2), 0.5),
    }
    return found


def _functions(good: Callable[..., Any]) -> dict[str, Any]:
    return {
        "a number": 3,
        "f that returns None": lambda z: None,
        "f that returns a word": lambda z: "nonsense",
        "f that returns a number": lambda z: 1.0,
        "f that returns NaN": lambda z: good(z) * NAN,
        "f that returns whole numbers": lambda z: torch.as_tensor(good(z)).long(),
        "a good f in float64": lambda z: torch.as_tensor(good(z)).double(),
        "f that returns another shape": lambda z: torch.stack([torch.as_tensor(good(z))] * 2),
    }


def _modules(good: nn.Module) -> dict[str, Any]:
    return {"a number": 3, "its class": type(good), "another module": nn.Linear(7, 5)}


def _latents(good: Latent) -> dict[str, Any]:
    return {"a number": 3, "its class": type(good), "a Gaussian": GaussianLatent(2)}


def _words(good: str) -> dict[str, Any]:
    return {"a number": 3, "no word": "", "lines": "two\nlines"}


def _paths(good: Path) -> dict[str, Any]:
    return {"a number": 3.5}


_KINDS: tuple[tuple[Any, Callable[[Any], dict[str, Any]]], ...] = (
    (Tensor, _tensors),
    (bool, lambda good: {}),
    (int, _counts),
    (float, _numbers),
    (str, _words),
    (Path, _paths),
    (nn.Module, _modules),
    (Latent, _latents),
    (Dataset, lambda good: {"a number": 3}),
    (torch.Generator | torch.dtype | torch.device, lambda good: {"a number": 3, "another type": torch.int64}),
    (tuple | list | range, _sequences),
    (np.ndarray | Mapping, lambda good: {"a number": 3, "empty": type(good)(()) if 0 else []}),
)


def optional(function: Callable[..., Any], name: str) -> bool:
    """Whether None is a good value of an argument: its default is None, or its type says so."""
    parameter = inspect.signature(function).parameters[name]
    return parameter.default is None or "None" in str(parameter.annotation)


def unused(function: Callable[..., Any], name: str) -> bool:
    """Whether the documentation says that an argument plays no part."""
    return f"{name}: Not used." in (inspect.getdoc(function) or "")


def tensors_in(result: Any) -> Iterator[Tensor]:
    """Return all numbers of a result, as tensors."""
    if isinstance(result, Tensor):
        yield result
    elif isinstance(result, float | np.ndarray | np.floating):
        yield torch.as_tensor(result)
    elif isinstance(result, dict):
        yield from tensors_in(list(result.values()))
    elif isinstance(result, tuple | list):
        for part in result:
            yield from tensors_in(part)
    elif isinstance(result, nn.Module):
        yield from result.state_dict().values()


def holds_nan(result: Any) -> bool:
    """Whether a result has a NaN in it."""
    return any(bool(t.isnan().any()) for t in tensors_in(result) if t.is_floating_point() and not t.is_meta)
