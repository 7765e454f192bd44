"""In which precision the networks take their matrix products: what the machine has, or what is asked for."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from catvae_lib import _validate

PRECISIONS = ("auto", "float32", "bfloat16")


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 matrices by instructions of its own, so that they are faster."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):
        return False
    found = torch.cpu.get_capabilities()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))


def of_products(precision: str, weight: Tensor) -> torch.dtype:
    """Return the dtype of a model's matrix products.

    "float32" means the model's own precision, whatever it is; "bfloat16" and "auto" speak of float32 models,
    and "auto" leaves every other model alone.

    Raises:
        ValueError: If the word is unknown, or bfloat16 is asked of a model that is not float32.
    """
    _validate.one_of("precision", precision, PRECISIONS)
    if precision == "bfloat16" and weight.dtype != torch.float32:
        raise ValueError(f"precision 'bfloat16' needs a float32 model, got {weight.dtype}")
    if precision == "float32" or weight.dtype != torch.float32:
        return weight.dtype
    return torch.bfloat16 if precision == "bfloat16" or has_bfloat16(weight.device) else torch.float32


def apply(part: nn.Module, name: str, value: Tensor) -> Tensor:
    """Return part(value) in the precision of value, computed in the precision of the network's weights.

    A misfit is told in terms of the argument, not of a matrix product deep inside.
    """
    inner = value.to(next(part.parameters(), value).dtype)
    return fitting(name, value, lambda: part(inner).to(value.dtype))


def fitting(name: str, value: Tensor, compute: Callable[[], Tensor]) -> Tensor:
    """Return what is computed of a value; a misfit of shapes deep inside is told as one of the argument."""
    if torch.compiler.is_compiling():
        return compute()
    try:
        return compute()
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        shape = tuple(value.shape)
        raise ValueError(
            f"{name} of shape {shape} and {value.dtype} does not fit the network: {error}"
        ) from error
