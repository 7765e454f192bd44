"""The datasets: binary digits inside the package, the article author's squares, and greyscale originals.

Each split is one tensor of images, `(N, D)` in [0, 1], to be moved to the device once. A number that a book
prints must not change between machines, so bits are drawn once, by a rule in integers only (`draw_bits`).
"""

import hashlib
import io
import os
from dataclasses import dataclass, replace
from importlib import resources
from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from catvae_lib import _originals, _validate
from catvae_lib._originals import DownloadError as DownloadError  # what load may raise

SEED = 1611  # of every fixed draw: the month of both papers
EMBEDDED = resources.files("catvae_lib") / "assets" / "binarized_mnist.npz"
EMBEDDED_SHA256 = "c09fb6a4974e09fae0fd9f893b3524ccb828ddec723c8e62b5d0cceb43ad2e44"
NAMES = ("binarized-mnist", "squares", *_originals.NAMES)

Binarization: TypeAlias = Literal["fixed", "dynamic", "none"]
BINARIZATIONS = ("fixed", "dynamic", "none")
_DRAWN_AT_ONCE = 1000  # images; bounds the memory of a draw to a few MB


@dataclass(frozen=True, eq=False)
class Split:
    """Images `(N, D)` in [0, 1], float32 when loaded, and labels `(N,)`, int64."""

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        _validate.floating("images", self.images)
        _validate.real("labels", self.labels)
        if self.images.ndim != 2 or self.labels.shape[:1] != self.images.shape[:1]:
            found = f"{tuple(self.images.shape)} and {tuple(self.labels.shape)}"
            raise ValueError(f"images and labels must be (N, D) and (N,), got {found}")

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> "Split":
        """Return the split on a device, its images in a precision (as they are, if None)."""
        _validate.instance("device", device, torch.device, str)
        place, dtype = _validate.device("device", device), dtype or self.images.dtype
        _validate.instance("dtype", dtype, torch.dtype)
        with _validate.trusted():  # the values were read when the split was made
            return Split(self.images.to(place, dtype), self.labels.to(place))

    def first(self, count: int) -> "Split":
        """Return the split's first images; all of them if it holds fewer."""
        _validate.count("count", count)
        return Split(self.images[:count], self.labels[:count])


@dataclass(frozen=True, eq=False)
class Dataset:
    """Three splits of one dataset, and what training makes of its images.

    Binarization "dynamic" leaves the training images grey, see `binarize`. `flips` is the share of pixels
    that `flip_pixels` inverts in what the encoder sees, while the decoder learns the clean image: with
    `dataclasses.replace(data, flips=0.1)` any VAE is trained as a denoising one.
    """

    name: str
    image_shape: tuple[int, int]  # D = height * width
    train: Split
    validation: Split
    test: Split
    binarization: Binarization = "fixed"
    flips: float = 0.0

    def __post_init__(self) -> None:
        _validate.instance("name", self.name, str)
        _validate.size("image_shape", self.image_shape)
        for name in ("train", "validation", "test"):
            _validate.instance(name, getattr(self, name), Split)
        _validate.one_of("binarization", self.binarization, BINARIZATIONS)
        _validate.probability("flips", self.flips)

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> "Dataset":
        """Return the dataset with every tensor on a device, its images in a precision."""
        parts = (self.train, self.validation, self.test)
        train, validation, test = (part.to(device, dtype) for part in parts)
        return replace(self, train=train, validation=validation, test=test)


def load(
    name: str = "binarized-mnist",
    *,
    root: str | os.PathLike[str] | None = None,
    download: bool = False,
    binarization: Binarization = "fixed",
) -> Dataset:
    """Return a dataset by name, split for training, validation and test.

    - "binarized-mnist" (in the package): MNIST, one fixed draw of its bits, split 50,000 / 10,000 / 10,000.
    - "squares" (computed): 24x24 images, black but for one white 9x9 square at one of 16 x 16 = 256
      equiprobable positions; the label is the position, 16 * row + column. Validation and test hold each
      image once, so a mean over them is the exact expectation, and no model's mean negative log-likelihood
      is below ln 256 = 5.545 nats. Training holds 50,000 draws, as many as the author drew.
    - "mnist", "fashion-mnist", "kmnist" (below root, as torchvision lays them out): 28x28, in the original
      order, split 50,000 / 10,000 / 10,000. A fixed draw of "mnist" is exactly "binarized-mnist".
    - "omniglot" (likewise): 105x105 drawings averaged down to 28x28, ink is 1. Of each character's 20 drawers
      13 train, 2 validate and 5 test. The resizing and the split are our own, not those of the file that
      papers use.

    Args:
        name: one of `NAMES`.
        root: the folder that holds, or shall hold, the originals; not needed for the first two.
        download: fetch missing originals through torchvision. Nothing is ever fetched without it.
        binarization: "fixed", one draw for all splits (see `draw_bits`); "dynamic", training images stay grey
            for `binarize` to draw anew in each epoch, the others as in "fixed"; "none", all stay grey.

    Returns:
        The dataset on the CPU: images float32 `(N, D)` in [0, 1], labels int64 `(N,)`.

    Raises:
        ValueError: an unknown name or binarization, a missing root, or a damaged file.
        FileNotFoundError: originals are missing and download is false.
        DownloadError: a download failed; an OSError.
        ImportError: a download is asked for and torchvision cannot be imported.

    Example:
        >>> digits = load()
        >>> digits.train.images.shape, digits.image_shape
        (torch.Size([50000, 784]), (28, 28))
        >>> digits.test.labels[:5].tolist()
        [7, 2, 1, 0, 4]
    """
    _validate.one_of("name", name, NAMES)
    _validate.one_of("binarization", binarization, BINARIZATIONS)
    if name in _originals.NAMES:
        if root is None:
            raise ValueError(f"root must be the folder of the original files of {name!r}, got None")
        _validate.path("root", root)
        return _from_originals(name, _originals.read(name, root, download), binarization)
    if binarization != "fixed":
        raise ValueError(f"binarization must be 'fixed' for {name!r}, which holds bits, got {binarization!r}")
    return _squares() if name == "squares" else _embedded()


def binarize(images: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    """Draw each pixel's bit with the pixel as its probability: b = 1 if u < x, with u uniform on [0, 1).

    Dynamic binarization is one such draw for each batch. Images that are bits already come back unchanged.

    Args:
        images: `(..., D)` in [0, 1].
        generator: source of u, on the device of the images; None is torch's global generator.

    Returns:
        Bits of the same shape and dtype.

    Raises:
        ValueError: images outside [0, 1], NaN, or not floating point.

    Example:
        >>> binarize(torch.tensor([0.0, 1.0, 0.5, 0.5]), generator=torch.Generator().manual_seed(0))
        tensor([0., 1., 1., 1.])
    """
    _validate.floating("images", images)
    _validate.inside_unit_interval("images", images)
    uniform = torch.rand(images.shape, generator=generator, device=images.device)
    return (uniform < images).to(images.dtype)


def flip_pixels(images: Tensor, share: float, *, generator: torch.Generator | None = None) -> Tensor:
    """Invert each pixel with a probability: x becomes 1 - x, the noise of a denoising auto-encoder.

    Args:
        images: `(..., D)` in [0, 1].
        share: the probability, in [0, 1].
        generator: source of randomness, on the device of the images; None is torch's global generator.

    Returns:
        Images of the same shape and dtype.

    Raises:
        ValueError: images outside [0, 1], NaN, not floating point, or a share outside [0, 1].

    Example:
        >>> flip_pixels(torch.tensor([0.0, 1.0]), share=1.0)
        tensor([1., 0.])
    """
    _validate.floating("images", images)
    _validate.inside_unit_interval("images", images)
    _validate.probability("share", share)
    flipped = torch.rand(images.shape, generator=generator, device=images.device) < share
    return torch.where(flipped, 1 - images, images)


def draw_bits(pixels: NDArray[np.uint8], seed: int = SEED) -> NDArray[np.uint8]:
    """Draw each pixel's bit once, with probability pixel / 255, the same on every machine.

    Pixel i of the flattened array takes word i of PCG64(seed); u is the word's upper 32 bits; the bit is 1
    where 255 u < 2^32 pixel. numpy keeps the words of a bit generator the same in all versions, but not what
    the methods of Generator make of them. The probability is met to 2^-32, and exactly at 0 and 255.

    Args:
        pixels: `(N, D)`, 0 to 255.
        seed: of the bit generator.

    Returns:
        Bits 0 and 1 of the same shape and dtype.

    Raises:
        ValueError: pixels of another dtype.

    Example:
        >>> draw_bits(np.array([[0, 128, 128, 128, 255]], np.uint8))
        array([[0, 0, 0, 1, 1]], dtype=uint8)
    """
    _validate.instance("pixels", pixels, np.ndarray)
    _validate.seed("seed", seed)
    if pixels.dtype != np.uint8:
        raise ValueError(f"pixels must be of dtype uint8, got {pixels.dtype}")
    source = np.random.PCG64(seed)
    bits = np.empty_like(pixels)
    for start in range(0, len(pixels), _DRAWN_AT_ONCE):
        part = pixels[start : start + _DRAWN_AT_ONCE]
        u = source.random_raw(part.size).reshape(part.shape) >> np.uint64(32)
        bits[start : start + len(part)] = u * np.uint64(255) < part.astype(np.uint64) << np.uint64(32)
    return bits


def _split(images: Tensor, labels: Tensor, sizes: tuple[int, int, int]) -> tuple[Split, Split, Split]:
    first, second = sizes[0], sizes[0] + sizes[1]
    cuts = slice(first), slice(first, second), slice(second, None)
    train, validation, test = (Split(images[cut], labels[cut]) for cut in cuts)
    return train, validation, test


def _embedded() -> Dataset:
    """Read the digits inside the package, and refuse them if a single byte has changed."""
    raw = EMBEDDED.read_bytes()
    found = hashlib.sha256(raw).hexdigest()
    if found != EMBEDDED_SHA256:
        raise ValueError(
            f"{EMBEDDED} is damaged: sha256 expected {EMBEDDED_SHA256}, found {found}. Install catvae_lib "
            "again, restore the file from its repository, or rebuild it with tools/build_embedded_data.py."
        )
    with np.load(io.BytesIO(raw), allow_pickle=False) as arrays:
        bits = np.unpackbits(arrays["bits"], axis=1)  # (70000, 98) -> (70000, 784)
        labels = arrays["labels"].astype(np.int64)
    images = torch.from_numpy(bits).float()
    splits = _split(images, torch.from_numpy(labels), (50_000, 10_000, 10_000))
    return Dataset("binarized-mnist", (28, 28), *splits)


def _squares() -> Dataset:
    side, white, steps = 24, 9, 16
    every = torch.zeros(steps * steps, side, side)
    for position in range(steps * steps):
        row, column = divmod(position, steps)
        every[position, row : row + white, column : column + white] = 1.0
    every = every.flatten(1)  # (256, 576)
    once = Split(every, torch.arange(steps * steps))
    drawn = torch.from_numpy((np.random.PCG64(SEED).random_raw(50_000) >> np.uint64(56)).astype(np.int64))
    return Dataset("squares", (side, side), Split(every[drawn], drawn), once, once)


def _from_originals(name: str, originals: _originals.Originals, binarization: Binarization) -> Dataset:
    images = torch.from_numpy(originals.pixels).float() / 255
    if binarization != "none":
        grey = originals.sizes[0] if binarization == "dynamic" else 0  # so many of the first images stay grey
        images[grey:] = torch.from_numpy(draw_bits(originals.pixels)[grey:]).float()
    splits = _split(images, torch.from_numpy(originals.labels), originals.sizes)
    return Dataset(name, (_originals.SIDE, _originals.SIDE), *splits, binarization)
