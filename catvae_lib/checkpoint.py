"""A training run on disk: one file, written whole or not at all, that holds tensors and JSON and no pickle.

The tensors are in the safetensors format; everything else is JSON in its header, beside a checksum of both.
"""

import glob
import json
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes
from torch import Tensor

from catvae_lib import _validate
from catvae_lib._files import write_whole

_KEY = "catvae_lib"


@dataclass(frozen=True)
class Checkpoint:
    """What a run needs to go on: named tensors (weights, moments, generators) and facts that JSON holds."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]

    def part(self, name: str) -> dict[str, Tensor]:
        """Return the tensors whose names start with `name/`, without it."""
        _validate.instance("name", name, str)
        prefix = f"{name}/"
        return {key.removeprefix(prefix): t for key, t in self.tensors.items() if key.startswith(prefix)}


def save(path: str | os.PathLike[str], checkpoint: Checkpoint) -> None:
    """Write a checkpoint; whatever happens meanwhile, the previous file stays or the new one is complete.

    Raises:
        OSError: If the folder or the disk refuses; the previous checkpoint is intact.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "run.safetensors"
        >>> save(path, Checkpoint({"weights/bias": torch.ones(2)}, {"step": 7}))
        >>> load(path).part("weights"), load(path).facts
        ({'bias': tensor([1., 1.])}, {'step': 7})
    """
    _validate.path("path", path)
    _validate.instance("checkpoint", checkpoint, Checkpoint)
    path = Path(path)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
    text = json.dumps(checkpoint.facts)
    header = {_KEY: text, "checksum": str(_checksum(text, tensors))}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, to_bytes(tensors, header))
    except OSError as error:
        kept = "the last good checkpoint is intact" if path.is_file() else "there is none yet"
        raise OSError(
            f"{path} cannot be written ({error.strerror}); {kept}. Free the disk, or name another file.",
        ) from error


def clean(path: str | os.PathLike[str]) -> None:
    """Remove what a run left beside its checkpoint when it was killed while writing."""
    _validate.path("path", path)
    path = Path(path)
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*"):
        leftover.unlink()


def load(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint onto the CPU.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If the file is truncated, changed, or not a checkpoint of `fit`.
    """
    _validate.path("path", path)
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint at {path}")
    try:
        content = path.read_bytes()  # at once: a run that still goes on may replace the file meanwhile
        tensors = from_bytes(content)  # which also checks the header
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")]).get("__metadata__", {})
        facts = json.loads(text := header.get(_KEY, "null"))
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"{path} is not a whole checkpoint ({error}); {REMEDY}") from error
    if not isinstance(facts, dict):
        raise ValueError(f"{path} was not written by catvae_lib.training.fit; {REMEDY}")
    if header.get("checksum") != str(_checksum(text, tensors)):
        raise ValueError(f"{path} is damaged: its checksum does not fit what it holds; {REMEDY}")
    return Checkpoint(tensors, facts)


REMEDY = "name another file, remove it, or start anew with resume=False"


def _checksum(text: str, tensors: dict[str, Tensor]) -> int:
    total = zlib.crc32(text.encode())
    for name, tensor in sorted(tensors.items()):
        total = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), total)
        total = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, total)
    return total
