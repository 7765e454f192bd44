"""Checks at the door: each raises a ValueError that names the argument and the offending value.

What has the wrong type altogether is a TypeError. Shapes, dtypes and plain-number temperatures are always
checked. Checks that read the values of a tensor would stop a compiled graph, a `vmap` and a GPU queue, so
they run only in ordinary eager code, and not inside `trusted()`.
"""

import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

# A relaxed code may miss the simplex or [0, 1] by rounding or by a finite-difference step, never by more.
SLACK = 1e-3

# Beyond float32's normal range a number would become 0 or infinite when it meets a tensor.
_SMALLEST, _LARGEST = torch.finfo(torch.float32).tiny, torch.finfo(torch.float32).max

# No tensor of the book comes near so many entries (64 GiB in float32), nor a count near so many of anything.
MOST_ENTRIES, MOST = 2**34, 10**9

_trusting = False


@contextmanager
def trusted() -> Iterator[None]:
    """Skip the checks that read tensor values, for a loop whose inputs were checked before it."""
    global _trusting
    before, _trusting = _trusting, True
    try:
        yield
    finally:
        _trusting = before


def values_can_be_read() -> bool:
    """Whether looking at a tensor's values is possible and wanted here."""
    if torch.compiler.is_compiling() or _trusting:
        return False
    return torch._C._functorch.peek_interpreter_stack() is None  # no vmap or grad transform is active


def instance(name: str, value: object, *kinds: type) -> None:
    """Require an object of one of a few types."""
    if not isinstance(value, kinds):
        wanted = " or a ".join(kind.__name__ for kind in kinds)
        raise TypeError(f"{name} must be a {wanted}, got {type(value).__name__}")


def instances(**values: tuple[object, type]) -> None:
    """Require of each object its type."""
    for name, (value, kind) in values.items():
        instance(name, value, kind)


def several(name: str, values: object, kind: type) -> None:
    """Require a sequence of objects of one type."""
    if not isinstance(values, Sequence | torch.nn.ModuleList) or isinstance(values, str):
        raise TypeError(f"{name} must be a sequence of {kind.__name__}, got {type(values).__name__}")
    for number, value in enumerate(values):
        instance(f"{name}[{number}]", value, kind)


def function(name: str, value: object) -> None:
    """Require something that can be called, and no class."""
    if isinstance(value, type) or not callable(value):
        raise TypeError(f"{name} must be a function, got {value!r}")


def real(name: str, value: Tensor) -> None:
    """Require a tensor that holds real numbers, whole ones or bools included."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(value).__name__}")
    if value.is_complex():
        raise ValueError(f"{name} must hold real numbers, got dtype {value.dtype}")
    if value.is_meta and values_can_be_read():
        raise ValueError(f"{name} must hold numbers, got a tensor on the device meta, which holds none")


def floating(name: str, value: Tensor) -> None:
    """Require a floating-point tensor without NaN."""
    real(name, value)
    if not value.is_floating_point():
        raise ValueError(f"{name} must be a floating-point tensor, got dtype {value.dtype}")
    if values_can_be_read() and bool(value.isnan().any()):
        raise ValueError(f"{name} must not contain NaN, got {_first(value, value.isnan())}")


def finite(name: str, value: Tensor) -> None:
    """Require a floating-point tensor without NaN or infinity."""
    floating(name, value)
    if values_can_be_read() and not bool(value.isfinite().all()):
        raise ValueError(f"{name} must be finite, got {_first(value, ~value.isfinite())}")


def number(name: str, value: float | Tensor) -> None:
    """Require a plain number that is not NaN, or a floating-point tensor."""
    if isinstance(value, Tensor):
        floating(name, value)
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number or a torch.Tensor, got {type(value).__name__}")
    elif value != value:
        raise ValueError(f"{name} must not be NaN, got {value}")
    elif isinstance(value, int) and abs(value) > sys.float_info.max:
        raise ValueError(f"{name} must fit a float, got an int of {value.bit_length()} bits")


def finite_number(name: str, value: float | Tensor) -> None:
    """Require a plain number that float32 holds, or a tensor without NaN or infinity."""
    if isinstance(value, Tensor):
        finite(name, value)
        return
    number(name, value)
    if abs(value) > _LARGEST:
        raise ValueError(f"{name} must be finite in float32's range, got {value}")


def plain(name: str, value: float) -> None:
    """Require a plain number that is not NaN."""
    if isinstance(value, Tensor):
        raise TypeError(f"{name} must be a plain number, got a torch.Tensor")
    number(name, value)


def positive(name: str, value: float | Tensor) -> None:
    """Require a positive, finite number (a temperature, a scale) or a tensor of such numbers."""
    number(name, value)
    if isinstance(value, Tensor):
        if values_can_be_read() and bool((wrong := ~((value > 0) & value.isfinite())).any()):
            raise ValueError(f"{name} must be positive and finite, got {_first(value, wrong)}")
    elif not 0 < value < float("inf"):
        raise ValueError(f"{name} must be positive and finite, got {value}")
    elif not _SMALLEST <= value <= _LARGEST:
        raise ValueError(
            f"{name} must lie in float32's range, {_SMALLEST:.1e} to {_LARGEST:.1e}, got {value}"
        )


def rate(name: str, value: float) -> None:
    """Require a plain number that is positive and finite."""
    plain(name, value)
    positive(name, value)


def count(name: str, value: int, minimum: int = 1, maximum: int = MOST) -> None:
    """Require a whole number of at least `minimum`, and of no more than `maximum`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, got {type(value).__name__}")
    told = value if abs(value) < 2**64 else f"an int of {value.bit_length()} bits"
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {told}")
    if value > maximum:
        raise ValueError(f"{name} must be at most {maximum}, got {told}")


def seed(name: str, value: int) -> None:
    """Require a whole number that a generator takes, and the one after it too."""
    count(name, value, minimum=0, maximum=2**63 - 2)


def size(name: str, shape: Sequence[int]) -> None:
    """Require a shape whose tensor can be thought of: no negative length, not too many entries."""
    if not isinstance(shape, Sequence) or isinstance(shape, str):
        raise TypeError(f"{name} must be a sequence of ints, got {type(shape).__name__}")
    for length in shape:
        count(name, length, minimum=0, maximum=MOST_ENTRIES)
    if math.prod(shape) > MOST_ENTRIES:
        raise ValueError(f"{name} must have at most 2^34 entries, got {tuple(shape)}")


def path(name: str, value: object) -> None:
    """Require the name of a file or a folder."""
    instance(name, value, str, os.PathLike)


def generator(name: str, value: Any) -> None:
    """Require a source of randomness, or None."""
    instance(name, value, torch.Generator, type(None))


def device(name: str, value: torch.device | str | None) -> torch.device | None:
    """Require the name of a device, or None; return it."""
    instance(name, value, torch.device, str, type(None))
    try:
        return None if value is None else torch.device(value)
    except RuntimeError:
        raise ValueError(f"{name} must be a device such as 'cpu' or 'cuda:0', got {value!r}") from None


def probability(name: str, value: float) -> None:
    """Require a plain number in [0, 1]."""
    plain(name, value)
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must lie in [0, 1], got {value}")


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Require one of a few words."""
    instance(name, value, str)
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")


def inside_unit_interval(name: str, value: Tensor, slack: float = SLACK) -> None:
    """Require values in [0, 1]: bits, pixels, probabilities."""
    if not values_can_be_read():
        return
    outside = ~((value >= -slack) & (value <= 1 + slack))
    if bool(outside.any()):
        raise ValueError(f"{name} must lie in [0, 1], got {_first(value, outside)}")


def sums_to_one(name: str, value: Tensor) -> None:
    """Require rows (..., K) that sum to 1, but for the rounding of K terms."""
    if not values_can_be_read():
        return
    total = value.sum(-1)
    wrong = (total - 1).abs() > value.shape[-1] * max(SLACK, torch.finfo(value.dtype).eps)
    if bool(wrong.any()):
        raise ValueError(f"{name} must sum to 1 over the last dimension, got {_first(total, wrong)}")


def broadcastable(**tensors: Tensor | float) -> None:
    """Require shapes that broadcast against each other."""
    shapes = {name: tuple(t.shape) for name, t in tensors.items() if isinstance(t, Tensor)}
    try:
        torch.broadcast_shapes(*shapes.values())
    except RuntimeError:
        found = " and ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"shapes do not broadcast: {found}") from None


def fits(shape: Sequence[int], **parameters: float | Tensor) -> None:
    """Require numbers, or tensors that broadcast to a shape without enlarging it."""
    for name, value in parameters.items():
        found = tuple(value.shape) if isinstance(value, Tensor) else ()
        pairs = zip(found[::-1], shape[::-1], strict=False)
        if len(found) > len(shape) or any(n not in (1, m) for n, m in pairs):
            raise ValueError(f"{name} must broadcast to shape {tuple(shape)}, got shape {found}")


def categories(**tensors: Tensor) -> int:
    """Require shapes (..., K) with one K >= 1 and leading dimensions that broadcast; return K."""
    for name, tensor in tensors.items():
        if tensor.ndim == 0 or tensor.shape[-1] == 0:
            raise ValueError(f"{name} must have shape (..., K) with K >= 1, got {tuple(tensor.shape)}")
    sizes = {name: tensor.shape[-1] for name, tensor in tensors.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"the last dimension K must agree, got {sizes}")
    broadcastable(**tensors)
    return next(iter(sizes.values()))


def category_logits(name: str, logits: Tensor) -> None:
    """Require logits (..., K) that define a distribution: at most one +inf a row, not -inf everywhere."""
    floating(name, logits)
    if logits.ndim == 0 or logits.shape[-1] == 0:
        raise ValueError(f"{name} must have shape (..., K) with K >= 1, got {tuple(logits.shape)}")
    if not values_can_be_read():
        return
    if bool((logits.isposinf().sum(-1) > 1).any()):
        raise ValueError(
            f"{name} must have at most one inf in a row: two certain categories contradict each other"
        )
    if bool(logits.isneginf().all(-1).any()):
        raise ValueError(f"{name} must not be -inf in a whole row: no category would be possible")


def _first(value: Tensor, where: Tensor) -> float:
    return float(value.detach()[where].flatten()[0])
