"""The greyscale originals, in the folders torchvision lays out, fetched through torchvision only on request.

Files that are present are read here, compressed or not, so torchvision is needed for a download only.
"""

import gzip
import importlib
import io
import math
import os
import sys
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

SIDE = 28  # pixels a side; Omniglot's 105 are averaged down to it
_IDX_FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
_CLASSES = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "kmnist": "KMNIST", "omniglot": "Omniglot"}
NAMES = tuple(_CLASSES)
# (28, 105): how many quarters of each old pixel fall into each new one, 15 in all. Pillow's box filter would
# give a pixel on the border to one side or the other.
_OVERLAP: NDArray[np.float64] = np.kron(np.eye(SIDE), np.ones(15)).reshape(SIDE, 105, 4).sum(2)
_NMS_MISSING = "operator torchvision::nms does not exist"
_declared: list[torch.library.Library] = []  # a Library's schemas vanish with it, so it is kept


class DownloadError(OSError):
    """A download failed, or its contents were not the expected ones; nothing was kept."""


@dataclass(frozen=True)
class Originals:
    """Grey images, in the order training, validation, test, and how many there are of each."""

    pixels: NDArray[np.uint8]  # (N, 784), 0 is background, 255 is ink
    labels: NDArray[np.int64]  # (N,)
    sizes: tuple[int, int, int]


def read(name: str, root: str | os.PathLike[str], download: bool) -> Originals:
    """Read one of `NAMES` below root, after fetching what is missing if download is true."""
    root = Path(root).expanduser()
    folder, archives = _layout(name)
    absent = [archive for archive in archives if not _locate(root / folder, archive).is_file()]
    if absent and not download:
        expected = ", ".join(f"{folder}/{archive}" for archive in absent)
        raise FileNotFoundError(
            f"{name} is not complete below root {str(root)!r}: missing {expected} (an idx file may "
            "also be uncompressed, without .gz). Pass download=True to fetch what is missing, or set root to "
            f"the folder that holds {folder}."
        )
    if absent:
        _download(name, absent, root, root / folder)
    return _read_omniglot(root / folder) if name == "omniglot" else _read_idx_set(root / folder)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read an idx file of bytes, gzip-compressed if its name ends in .gz."""
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise _damaged(path, error) from error
    if raw[:3] != b"\x00\x00\x08" or len(raw) < 4 or len(raw) < 4 + 4 * raw[3]:  # 8: unsigned bytes follow
        raise _damaged(path, "it has no idx header of unsigned bytes")
    shape = tuple(int(n) for n in np.frombuffer(raw, ">u4", raw[3], 4))
    found = len(raw) - 4 - 4 * raw[3]
    if found != math.prod(shape):
        raise _damaged(path, f"its header promises {math.prod(shape)} bytes of data and it holds {found}")
    return np.frombuffer(raw, np.uint8, found, len(raw) - found).reshape(shape)


def _layout(name: str) -> tuple[str, tuple[str, ...]]:
    """Return the folder below root and the archives in it, as torchvision names them."""
    if name == "omniglot":
        return "omniglot-py", ("images_background.zip", "images_evaluation.zip")
    return f"{_CLASSES[name]}/raw", _IDX_FILES


def _locate(folder: Path, archive: str) -> Path:
    """Return the uncompressed idx file if it is there, else the archive's place."""
    plain = folder / archive.removesuffix(".gz")
    return plain if plain.is_file() else folder / archive


def _damaged(path: Path, reason: object) -> ValueError:
    return ValueError(f"{path} is damaged: {reason}. Remove it, then load again with download=True.")


def _read_idx_set(folder: Path) -> Originals:
    """Read an MNIST-like set; the last sixth of its training images (10,000 of 60,000) are for validation."""
    paths = [_locate(folder, archive) for archive in _IDX_FILES]
    train, train_labels, test, test_labels = (read_idx(path) for path in paths)
    for path, images, digits in ((paths[0], train, train_labels), (paths[2], test, test_labels)):
        if images.shape[1:] != (SIDE, SIDE) or digits.shape != images.shape[:1]:
            found = f"{images.shape} images and {digits.shape} labels"
            raise _damaged(path, f"{found} are not (N, {SIDE}, {SIDE}) and (N,)")
    held_out = len(train) // 6
    pixels = np.concatenate([train, test]).reshape(-1, SIDE * SIDE)
    labels = np.concatenate([train_labels, test_labels]).astype(np.int64)
    return Originals(pixels, labels, (len(train) - held_out, held_out, len(test)))


def _read_omniglot(folder: Path) -> Originals:
    """Read all 1,623 characters; of each one's 20 drawers, 1-13 train, 14-15 validate, 16-20 test."""
    drawings: list[tuple[int, int, NDArray[np.uint8]]] = []  # part, character, pixels
    characters: dict[str, int] = {}
    for archive in _layout("omniglot")[1]:
        try:
            with zipfile.ZipFile(folder / archive) as file:
                members = sorted(member for member in file.namelist() if member.endswith(".png"))
                if not members:
                    raise ValueError("it holds no drawings")
                for member in members:
                    drawer = int(PurePosixPath(member).stem.split("_")[1])
                    character = characters.setdefault(str(PurePosixPath(member).parent), len(characters))
                    drawings.append(((drawer > 13) + (drawer > 15), character, _ink(file.read(member))))
        except (zipfile.BadZipFile, zlib.error, EOFError, IndexError, ValueError, OSError) as error:
            raise _damaged(folder / archive, error) from error
    drawings.sort(key=lambda drawing: drawing[0])  # stable: the order of the archive within each part
    pixels = np.stack([drawing[2] for drawing in drawings])
    labels = np.array([drawing[1] for drawing in drawings], np.int64)
    sizes = np.bincount([drawing[0] for drawing in drawings], minlength=3)
    return Originals(pixels, labels, (int(sizes[0]), int(sizes[1]), int(sizes[2])))


def _ink(png: bytes) -> NDArray[np.uint8]:
    """Average a 105x105 black-on-white drawing down to 28x28 by area, and invert it, so that ink is 255."""
    from PIL import Image  # here, because nothing but Omniglot needs it

    with Image.open(io.BytesIO(png)) as image:
        ink = 255.0 - np.asarray(image.convert("L"))
    total = _OVERLAP @ ink @ _OVERLAP.T  # whole numbers, so exact in any order of summation
    small: NDArray[np.uint8] = np.rint(total / 15**2).astype(np.uint8)
    return small.reshape(-1)


def _download(name: str, archives: list[str], root: Path, folder: Path) -> None:
    """Fetch archives into a temporary folder, and move them into place only when every one is verified."""
    sources = _sources(name)
    utils = import_torchvision("torchvision.datasets.utils")
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".download-", dir=root) as staging:
        for archive in archives:
            urls, md5 = sources[archive]
            if failures := _fetch(utils, archive, urls, md5, staging):
                raise DownloadError(
                    f"could not download {archive} of {name}:\n{failures}Nothing was kept. Try again later, "
                    f"or get the file (md5 {md5}) another way and put it into {folder}. "
                    "load('binarized-mnist') needs no network."
                )
        folder.mkdir(parents=True, exist_ok=True)
        for archive in archives:
            os.replace(Path(staging, archive), folder / archive)


def _fetch(utils: Any, archive: str, urls: list[str], md5: str, staging: str) -> str:
    """Try each address until one gives the right md5, and return ""; else return a line for each failure."""
    failures = ""
    for url in urls:
        try:
            utils.download_url(url, staging, archive, md5)  # compares the md5 and raises RuntimeError
            return ""
        except (RuntimeError, OSError, HTTPException) as error:
            failures += f"  {url}: {error}\n"
    return failures


def _sources(name: str) -> dict[str, tuple[list[str], str]]:
    """Return the addresses and the md5 of each archive, as this version of torchvision knows them."""
    original = getattr(import_torchvision("torchvision.datasets"), _CLASSES[name])
    if name == "omniglot":
        prefix = original.download_url_prefix
        return {f"{stem}.zip": ([f"{prefix}/{stem}.zip"], md5) for stem, md5 in original.zips_md5.items()}
    return {file: ([mirror + file for mirror in original.mirrors], md5) for file, md5 in original.resources}


def import_torchvision(module: str = "torchvision") -> Any:
    """Import a module of torchvision, also where its compiled operators do not fit the installed torch.

    The Linux wheel of torchvision is linked against CUDA. Beside a CPU-only torch its operators do not load,
    and registering their shapes then fails. Declaring the two schemas first makes its datasets usable.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            "a download needs torchvision, which cannot be imported: install the version that fits your "
            "torch, or pass a root that already holds the files. load('binarized-mnist') needs neither."
        ) from error
    except RuntimeError as error:
        if _NMS_MISSING not in str(error) or _declared:
            raise
    for half_imported in [key for key in sys.modules if key.partition(".")[0] == "torchvision"]:
        del sys.modules[half_imported]
    _declared.append(torch.library.Library("torchvision", "DEF"))
    for operator in ("nms", "qnms"):
        schema = f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        _declared[0].define(schema)
    return importlib.import_module(module)
