"""Rebuild the digits inside the package from the original MNIST files, or check them against those files.

    python tools/build_embedded_data.py ROOT             # ROOT/MNIST/raw holds the four idx files, .gz or not
    python tools/build_embedded_data.py ROOT --download  # fetch them first, through torchvision
    python tools/build_embedded_data.py ROOT --check     # write nothing; fail if anything differs

What must agree is the digest of the arrays: another compression library may pack the same arrays otherwise.
"""

import argparse
import hashlib
import io
import sys
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from catvae_lib import _originals, data
from catvae_lib._files import write_whole

ARRAY_SHA256 = "96601b927f907f50f9702e00395d263c166e4b60394ddc622025fbf34164ec9e"
OUTPUT = Path(__file__).resolve().parent.parent / "catvae_lib" / "assets" / "binarized_mnist.npz"
Arrays = dict[str, NDArray[np.uint8]]


def draw(originals: _originals.Originals) -> Arrays:
    """Return the packed bits (70000, 98), most significant bit first, and the labels (70000,)."""
    bits = np.packbits(data.draw_bits(originals.pixels), axis=1)
    return {"bits": bits, "labels": originals.labels.astype(np.uint8)}


def array_digest(arrays: Arrays) -> str:
    """Return the sha256 of the bytes of the bits, then of the labels, both in C order."""
    return hashlib.sha256(arrays["bits"].tobytes() + arrays["labels"].tobytes()).hexdigest()


def pack(arrays: Arrays) -> bytes:
    """Return a compressed .npz whose bytes do not depend on the clock or on numpy's writer."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, array, version=(1, 0), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # else it would name the operating system
            archive.writestr(entry, member.getvalue(), zipfile.ZIP_DEFLATED, compresslevel=9)
    return file.getvalue()


def largest_deviation(pixels: NDArray[np.uint8], bits: NDArray[np.uint8]) -> float:
    """Return the largest |mean bit - mean grey| over the 784 pixels, in standard errors of the draw."""
    p = pixels.astype(np.float64) / 255
    variance = (p * (1 - p)).sum(0)
    difference = np.abs(bits.sum(0, dtype=np.float64) - p.sum(0))
    if difference[variance == 0].any():
        return float("inf")
    return float((difference / np.sqrt(np.where(variance == 0, 1, variance))).max())


def check(path: Path, originals: _originals.Originals, expected: Arrays) -> list[str]:
    """Return what is wrong with the file at path, given the originals and the arrays drawn from them."""
    raw = path.read_bytes()
    problems = []
    if hashlib.sha256(raw).hexdigest() != data.EMBEDDED_SHA256:
        problems.append("the sha256 of the file is not data.EMBEDDED_SHA256")
    with np.load(io.BytesIO(raw), allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in expected}
    problems += [
        f"{name} differ from the originals" for name in expected if (arrays[name] != expected[name]).any()
    ]
    deviation = largest_deviation(originals.pixels, np.unpackbits(arrays["bits"], axis=1))
    print(f"largest deviation of a pixel's mean from its grey mean: {deviation:.2f} standard errors")
    if deviation > 5:
        problems.append("a pixel's mean lies more than five standard errors from its grey mean")
    return problems


def main(arguments: list[str] | None = None) -> int:
    """Build or check, print the digests, and return 0 if all agrees."""
    parser = argparse.ArgumentParser(description="Rebuild or check the embedded digits.")
    parser.add_argument("root", type=Path, help="folder that holds MNIST/raw, as torchvision lays it out")
    parser.add_argument("--download", action="store_true", help="fetch missing files through torchvision")
    parser.add_argument(
        "--check", action="store_true", help="write nothing, compare the file with the originals"
    )
    parser.add_argument("--output", type=Path, default=OUTPUT, help="the file to write or check")
    options = parser.parse_args(arguments)
    originals = _originals.read("mnist", options.root, options.download)
    arrays = draw(originals)
    problems = [] if array_digest(arrays) == ARRAY_SHA256 else ["the arrays are not those of ARRAY_SHA256"]
    print(f"arrays: sha256 {array_digest(arrays)}")
    if options.check:
        problems += check(options.output, originals, arrays)
    elif not problems:
        content = pack(arrays)
        write_whole(options.output, content)
        found = hashlib.sha256(content).hexdigest()
        print(f"file:   sha256 {found}, {len(content)} bytes")
        if found != data.EMBEDDED_SHA256:
            problems.append("the file's sha256 is new: enter it as data.EMBEDDED_SHA256 and in the data card")
    for problem in problems:
        print(f"wrong: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
