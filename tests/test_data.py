"""The data: the embedded bits are MNIST's, every file is checked, a failed download leaves nothing behind.

All runs offline. Originals are tiny files written here in the original formats; downloads come from a server
on this machine. What the embedded bits must agree with was computed from the original files and stands below.
"""

import gzip
import hashlib
import http.server
import io
import math
import struct
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import alarms
import numpy as np
import pytest
import torch

import build_embedded_data as tool
from catvae_lib import _originals, data

# Of the 70,000 grey originals, v = 0 ... 255: sums of v, and of v (255 - v), over each row of pixels, ...
ROW_SUM = [
    821, 123485, 2016149, 7352828, 25910918, 55855835, 83107685, 101245391, 106058941, 100735461,
    93109721, 90243529, 93924638, 101037980, 106782602, 107086053, 101463674, 94307338, 91592136,
    94204747, 97795256, 95605705, 82131598, 58270352, 28138212, 10237690, 3556556, 326444,
]  # fmt: skip
ROW_SPREAD = [
    37890, 8237700, 122027020, 390729546, 1287924404, 2294128632, 2970531664, 3638634566, 3728017560,
    3638109170, 3528595962, 3449233896, 3426790140, 3485510396, 3570578462, 3575242790, 3498190022,
    3381274122, 3303711482, 3307221488, 3349349898, 3293115020, 2842699536, 2341581898, 1359540526,
    511510576, 205297626, 22536680,
]  # fmt: skip
# ... over each column, ...
COLUMN_SUM = [
    2468, 32762, 271869, 1398396, 5579967, 15846889, 31951845, 53232929, 77589864, 100665601, 117988245,
    128919608, 137585576, 148249125, 156752709, 159534301, 155487847, 145495620, 126226089, 99692708,
    71711937, 47305871, 28410103, 14710395, 5834350, 1476914, 250837, 16920,
]  # fmt: skip
COLUMN_SPREAD = [
    292880, 2837782, 21129562, 96681832, 340474810, 831951618, 1449950994, 2204497092, 2972901926,
    3641865364, 4173114980, 4542887098, 4869132734, 5064856764, 5039192058, 5272718574, 5275615990,
    4909915586, 4446610296, 3756548536, 2906886886, 2045224202, 1335679138, 793912214, 391225668,
    118563664, 23627402, 2063022,
]  # fmt: skip
# ... and over the images of each digit.
DIGIT_SUM = [
    239085996, 119848024, 208433544, 202410932, 165829095, 163083252, 189943546, 167060037, 205459490,
    171067829,
]  # fmt: skip
DIGIT_SPREAD = [
    7879602384, 4229599552, 7313903544, 7424089874, 6304871784, 6434863280, 6772950508, 6065645430,
    7588798158, 6516034158,
]  # fmt: skip
# How often each digit occurs in MNIST's training and test files, as widely published.
TRAIN_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
TEST_COUNTS = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]

FOLDERS = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "kmnist": "KMNIST"}


@pytest.fixture(scope="module")
def digits():
    return data.load()


@pytest.fixture(scope="module")
def all_bits(digits):
    """The 70,000 images (N, 28, 28) in the original order."""
    return torch.cat([digits.train.images, digits.validation.images, digits.test.images]).reshape(-1, 28, 28)


# --- the embedded digits


def test_embedded_splits_are_bits_in_one_float_tensor_each(digits):
    assert (digits.name, digits.image_shape, digits.binarization) == ("binarized-mnist", (28, 28), "fixed")
    for split, size in ((digits.train, 50_000), (digits.validation, 10_000), (digits.test, 10_000)):
        assert split.images.shape == (size, 784) and split.images.dtype == torch.float32
        assert split.labels.shape == (size,) and split.labels.dtype == torch.int64
        assert ((split.images == 0) | (split.images == 1)).all()
    assert data.load("binarized-mnist").train.labels.equal(digits.train.labels)


def test_embedded_labels_are_those_of_mnist_in_the_original_order(digits):
    first_60k = torch.cat([digits.train.labels, digits.validation.labels])
    assert first_60k.bincount().tolist() == TRAIN_COUNTS
    assert digits.test.labels.bincount().tolist() == TEST_COUNTS
    assert digits.train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert digits.test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


@pytest.mark.parametrize(
    ("axis", "grey", "spread"), [((0, 2), ROW_SUM, ROW_SPREAD), ((0, 1), COLUMN_SUM, COLUMN_SPREAD)]
)
def test_embedded_means_are_the_grey_means(all_bits, axis, grey, spread):
    """Bernstein's bound for a row and a column, 7 standard errors: the bits of a pixel sum are independent.

    A threshold at half, in place of a draw, is off by up to 43 standard errors.
    """
    error = all_bits.sum(axis, dtype=torch.float64) - torch.tensor(grey) / 255
    assert bool((error.abs() < alarms.bernstein(torch.tensor(spread).double() / 255**2, 1.0, 1)).all())


def test_embedded_means_of_each_digit_are_the_grey_means(all_bits, digits):
    """Seven standard errors for each of ten digits; images and labels out of step by one miss by far more."""
    labels = torch.cat([digits.train.labels, digits.validation.labels, digits.test.labels])
    tolerance = alarms.bernstein(torch.tensor(DIGIT_SPREAD).double() / 255**2, 1.0, 1).numpy()
    ink = all_bits.sum((1, 2), dtype=torch.float64)
    for shift, agrees in ((0, True), (1, False)):
        error = torch.bincount(labels.roll(shift), weights=ink).numpy() - np.array(DIGIT_SUM) / 255
        assert (np.abs(error) < tolerance).all() == agrees


def test_embedded_mean_of_the_training_file_is_the_published_one(all_bits):
    """The mean grey value of the 60,000 training images is widely quoted as 0.1307, rounded to 5e-5."""
    of_a_pixel = torch.tensor(sum(ROW_SPREAD) / 255**2 / all_bits.numel(), dtype=torch.float64)
    limit = alarms.bernstein(of_a_pixel, 1.0, 60_000 * 784)
    assert abs(all_bits[:60_000].mean(dtype=torch.float64) - 0.1307) < 5e-5 + limit


def test_embedded_arrays_have_the_digest_of_the_rebuilt_ones_and_need_no_pickle():
    raw = data.EMBEDDED.read_bytes()
    assert len(raw) < 2_400_000
    with np.load(io.BytesIO(raw), allow_pickle=False) as stored:
        assert tool.array_digest({"bits": stored["bits"], "labels": stored["labels"]}) == tool.ARRAY_SHA256


def test_the_data_card_states_the_file_as_it_is():
    raw = data.EMBEDDED.read_bytes()
    card = (Path(str(data.EMBEDDED)).parent / "DATA_CARD.md").read_text(encoding="utf-8")
    facts = hashlib.sha256(raw).hexdigest(), tool.ARRAY_SHA256, f"{len(raw):,}", f"PCG64({data.SEED})"
    for fact in (*facts, "CC BY-SA 3.0"):
        assert fact in card


@pytest.mark.parametrize("place", [0, 1_000_000, -1])
def test_one_flipped_bit_is_refused(tmp_path, monkeypatch, place):
    raw = bytearray(data.EMBEDDED.read_bytes())
    raw[place] ^= 1
    damaged = tmp_path / "binarized_mnist.npz"
    damaged.write_bytes(raw)
    monkeypatch.setattr(data, "EMBEDDED", damaged)
    with pytest.raises(ValueError, match="Install catvae_lib again") as refusal:
        data.load()
    for part in (str(damaged), data.EMBEDDED_SHA256, hashlib.sha256(raw).hexdigest()):
        assert part in str(refusal.value)


# --- drawing bits


def pcg64_words(seed, count):
    """PCG64 in plain integers: a 128-bit congruential step, then its halves xored and rotated."""
    state = np.random.PCG64(seed).state["state"]
    value, mask = state["state"], 2**64 - 1
    for _ in range(count):
        value = (value * 0x2360ED051FC65DA44385DF649FCCF645 + state["inc"]) % 2**128
        word, turn = (value >> 64) ^ (value & mask), value >> 122
        yield ((word >> turn) | (word << (64 - turn))) & mask


def test_draw_bits_is_the_rule_of_the_data_card():
    pixels = np.random.default_rng(0).integers(0, 256, (1001, 3)).astype(np.uint8)  # crosses a chunk of 1000
    words = pcg64_words(data.SEED, pixels.size)
    expected = [int(255 * (word >> 32) < int(v) << 32) for word, v in zip(words, pixels.flat, strict=True)]
    assert data.draw_bits(pixels).ravel().tolist() == expected


def test_the_seed_gives_the_words_it_gave_when_the_file_was_made():
    words = [1129535917553498931, 15065890455568349285, 17393542371530793019]
    assert list(pcg64_words(1611, 3)) == words and data.SEED == 1611


def draw_one_off(pixels, seed):
    """A wrong sampler: probability (v + 1) / 256, as from comparing v with a random byte the wrong way."""
    words = np.random.PCG64(seed).random_raw(pixels.size).reshape(pixels.shape) >> np.uint64(56)
    return (words <= pixels).astype(np.uint8)


@pytest.mark.parametrize(("sampler", "right"), [(data.draw_bits, True), (draw_one_off, False)])
def test_draw_bits_has_the_right_probability_at_every_grey_value(sampler, right):
    """Exact binomial tests of 50,000 draws at each of v = 1 ... 254.

    The wrong sampler is off by 0.0039 at v = 1, which is missed once in 1e9; 0 and 255 must be certain.
    """
    pixels = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 50_000, 1)
    counts = sampler(pixels, seed=5).sum(1, dtype=np.int64).tolist()
    assert alarms.fits(counts[1:255], [v / 255 for v in range(1, 255)], 50_000) == right
    assert (counts[0] == 0 and counts[255] == 50_000) == right


def test_a_threshold_is_not_a_draw():
    pixels = np.repeat(np.array([[0, 60, 128, 200, 255]], np.uint8), 10_000, 0)
    alarms.spend()  # three exact binomial tails at 7 standard errors come to 3e-11
    assert tool.largest_deviation(pixels, data.draw_bits(pixels)) < 7
    assert tool.largest_deviation(pixels, (pixels > 127).astype(np.uint8)) > 50
    assert tool.largest_deviation(pixels, 1 - data.draw_bits(pixels)) == math.inf


def test_draw_bits_refuses_other_dtypes():
    with pytest.raises(ValueError, match="pixels must be of dtype uint8, got float64"):
        data.draw_bits(np.zeros((1, 2)))


def test_binarize_draws_each_pixel_with_its_own_probability():
    """Exact binomial test at each of 64 probabilities, which finds an error of 0.023; 0 and 1 are certain."""
    p = torch.linspace(0, 1, 66)
    draw = data.binarize(p.expand(50_000, -1), generator=torch.Generator().manual_seed(1)).sum(0)
    assert draw[0] == 0 and draw[-1] == 50_000
    assert alarms.fits([int(k) for k in draw[1:-1]], p[1:-1].tolist(), 50_000)


def test_binarize_is_a_function_of_images_and_generator():
    grey = torch.rand(3, 5, 7, generator=torch.Generator().manual_seed(2))
    first, again = (data.binarize(grey, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    other = data.binarize(grey, generator=torch.Generator().manual_seed(4))
    assert first.equal(again) and not first.equal(other)
    assert data.binarize(first, generator=torch.Generator().manual_seed(4)).equal(
        first
    )  # bits stay as they are
    assert data.binarize(grey.double()).dtype == torch.float64


@pytest.mark.parametrize(
    "wrong", [torch.tensor([1.5]), torch.tensor([-0.5]), torch.tensor([math.nan]), torch.ones(2).long()]
)
def test_binarize_refuses_what_is_no_probability(wrong):
    with pytest.raises(ValueError, match="images must"):
        data.binarize(wrong)


# --- the squares


def test_squares_are_all_256_positions_once_each():
    squares = data.load("squares")
    assert squares.image_shape == (24, 24) and squares.train.images.shape == (50_000, 576)
    for split in (squares.validation, squares.test):
        assert split.images.shape == (256, 576) and len(split.images.unique(dim=0)) == 256
    for image, label in zip(
        squares.test.images.reshape(-1, 24, 24), squares.test.labels.tolist(), strict=True
    ):
        white = image.nonzero()
        assert white.min(0).values.tolist() == [label // 16, label % 16] and len(white) == 81
        assert (white.max(0).values - white.min(0).values).tolist() == [8, 8]


def test_squares_training_images_are_fair_draws_of_the_test_images():
    """Exact binomial tests of 256 positions: one that is drawn 1.8 times as often is found, or 0.4 times."""
    squares = data.load("squares")
    assert squares.train.images.equal(squares.test.images[squares.train.labels])
    assert alarms.fits(squares.train.labels.bincount(minlength=256).tolist(), [1 / 256] * 256)


def test_the_best_model_of_the_squares_scores_ln_256_exactly():
    test = data.load("squares").test.images
    same = (test[:, None] == test[None]).all(-1).double()  # the uniform distribution on the distinct images
    assert -(same.mean(1).log().mean()).item() == pytest.approx(math.log(256), abs=1e-12)


# --- the originals: tiny files in the original formats


def idx(array):
    header = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


def tiny(seed=0, train=12, test=5):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (train + test, 28, 28)).astype(np.uint8)
    labels = rng.integers(0, 10, train + test).astype(np.uint8)
    return images, labels


def idx_files(images, labels, train=12):
    return {
        "train-images-idx3-ubyte": idx(images[:train]),
        "train-labels-idx1-ubyte": idx(labels[:train]),
        "t10k-images-idx3-ubyte": idx(images[train:]),
        "t10k-labels-idx1-ubyte": idx(labels[train:]),
    }


def write_idx(root, name="mnist", compressed=True):
    """Write a tiny set below root and return its images (N, 784) and labels."""
    images, labels = tiny()
    folder = root / FOLDERS[name] / "raw"
    folder.mkdir(parents=True)
    for file, content in idx_files(images, labels).items():
        path = folder / (file + ".gz" * compressed)
        path.write_bytes(gzip.compress(content) if compressed else content)
    return images.reshape(-1, 784), labels


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("name", FOLDERS)
def test_greyscale_originals_keep_values_order_and_labels(tmp_path, name, compressed):
    pixels, labels = write_idx(tmp_path, name, compressed)
    grey = data.load(name, root=tmp_path, binarization="none")
    parts = (grey.train, grey.validation, grey.test)
    assert [len(part.images) for part in parts] == [10, 2, 5]
    assert (grey.name, grey.image_shape, grey.binarization) == (name, (28, 28), "none")
    images = torch.cat([part.images for part in parts])
    assert images.dtype == torch.float32 and images.equal(torch.tensor(pixels / 255, dtype=torch.float32))
    assert torch.cat([part.labels for part in parts]).tolist() == labels.tolist()


def test_fixed_and_dynamic_binarization(tmp_path):
    pixels, _ = write_idx(tmp_path)
    bits = torch.from_numpy(data.draw_bits(pixels)).float()
    fixed = data.load("mnist", root=tmp_path)
    dynamic = data.load("mnist", root=str(tmp_path), binarization="dynamic")
    for dataset in (fixed, dynamic):
        assert dataset.validation.images.equal(bits[10:12]) and dataset.test.images.equal(bits[12:])
    assert fixed.train.images.equal(bits[:10]) and fixed.binarization == "fixed"
    assert dynamic.train.images.equal(torch.from_numpy(pixels[:10]).float() / 255)
    assert dynamic.binarization == "dynamic"


def test_torchvision_reads_the_same_pixels(tmp_path):
    write_idx(tmp_path, "kmnist", compressed=False)
    datasets = _originals.import_torchvision("torchvision.datasets")
    theirs = [datasets.KMNIST(tmp_path, train=train) for train in (True, False)]
    ours = _originals.read("kmnist", tmp_path, download=False)
    assert torch.cat([part.data for part in theirs]).reshape(-1, 784).equal(torch.from_numpy(ours.pixels))
    assert torch.cat([part.targets for part in theirs]).equal(torch.from_numpy(ours.labels))


def drawing(row, column):
    """A 105x105 drawing as Omniglot stores it: one bit a pixel, a black 10x10 spot off the 28x28 grid."""
    from PIL import Image

    paper = np.full((105, 105), 255, np.uint8)
    paper[17 * row + 1 : 17 * row + 11, 23 * column + 2 : 23 * column + 12] = 0
    file = io.BytesIO()
    Image.fromarray(paper).convert("1").save(file, "PNG")
    return file.getvalue()


def omniglot_zip(stem, alphabets):
    """Two characters an alphabet, 20 drawers each; the spot is at row drawer // 4, column character."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, alphabet in enumerate(alphabets):
            for character in (2, 1):
                for drawer in range(20, 0, -1):
                    name = f"{stem}/{alphabet}/character{character:02}/{number:04}_{drawer:02}.png"
                    archive.writestr(name, drawing(drawer // 4, 2 * number + character - 1))
    return file.getvalue()


def write_omniglot(root):
    folder = root / "omniglot-py"
    folder.mkdir(parents=True)
    (folder / "images_background.zip").write_bytes(omniglot_zip("images_background", ["Aa", "Bb"]))
    (folder / "images_evaluation.zip").write_bytes(omniglot_zip("images_evaluation", ["Cc"]))


def test_omniglot_is_split_by_drawer_shrunk_by_averaging_and_inked_with_ones(tmp_path):
    write_omniglot(tmp_path)
    omniglot = data.load("omniglot", root=tmp_path, binarization="none")
    drawers = {"train": range(1, 14), "validation": range(14, 16), "test": range(16, 21)}
    for part, expected in drawers.items():
        split = getattr(omniglot, part)
        assert split.labels.tolist() == [character for character in range(6) for _ in expected]
        for image, label, drawer in zip(split.images, split.labels.tolist(), [*expected] * 6, strict=True):
            row, column = drawer // 4, label % 4 if label < 4 else label - 4
            paper = np.zeros((105, 105))
            paper[17 * row + 1 : 17 * row + 11, 23 * column + 2 : 23 * column + 12] = 1
            fine = np.kron(paper, np.ones((4, 4))).reshape(28, 15, 28, 15)  # 420 = 4 * 105 = 15 * 28
            assert np.abs(image.reshape(28, 28).numpy() - fine.mean((1, 3))).max() <= 0.501 / 255


# --- what is wrong is refused, and the message helps


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "mnits"}, "name must be one of .*'binarized-mnist'.*got 'mnits'"),
        ({"name": "mnist"}, "root must be .* got None"),
        (
            {"name": "mnist", "root": ".", "binarization": "static"},
            "binarization must be one of .*got 'static'",
        ),
        ({"binarization": "dynamic"}, "binarization must be 'fixed' for 'binarized-mnist'.*got 'dynamic'"),
        (
            {"name": "squares", "binarization": "none"},
            "binarization must be 'fixed' for 'squares'.*got 'none'",
        ),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        data.load(**arguments)


def test_missing_files_are_listed_with_both_remedies(tmp_path):
    write_idx(tmp_path)
    (tmp_path / "MNIST" / "raw" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError) as refusal:
        data.load("mnist", root=tmp_path)
    message = str(refusal.value)
    for part in (str(tmp_path), "MNIST/raw/t10k-labels-idx1-ubyte.gz", "download=True", "set root"):
        assert part in message
    assert "train-images" not in message
    with pytest.raises(FileNotFoundError, match=r"omniglot-py/images_background\.zip"):
        data.load("omniglot", root=tmp_path)


def cut(content):
    return content[:-7]


def flip(content):
    return (
        content[: len(content) // 2]
        + bytes([content[len(content) // 2] ^ 1])
        + content[len(content) // 2 + 1 :]
    )


@pytest.mark.parametrize(
    "damage", [cut, flip, lambda content: b"", lambda content: b"<html>not found</html>"]
)
def test_damaged_compressed_files_are_refused(tmp_path, damage):
    write_idx(tmp_path)
    path = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte\.gz is damaged.*Remove it"):
        data.load("mnist", root=tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0\x08",
        b"\0\0\x08\x03\0",
        idx(np.zeros((12, 28, 28)))[:-1],
        idx(np.zeros((12, 28, 28))) + b"\0",
        idx(np.zeros((12, 27, 28))),
        idx(np.zeros((11, 28, 28))),
        b"\0\0\x0d" + idx(np.zeros((12, 28, 28)))[3:],
    ],
)
def test_damaged_idx_files_are_refused(tmp_path, content):
    write_idx(tmp_path, compressed=False)
    (tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte is damaged.*Remove it"):
        data.load("mnist", root=tmp_path)


def empty_zip(content):
    file = io.BytesIO()
    zipfile.ZipFile(file, "w").close()
    return file.getvalue()


@pytest.mark.parametrize(
    "damage", [cut, empty_zip, lambda content: content[:100] + b"?" * 20 + content[120:]]
)
def test_damaged_omniglot_archives_are_refused(tmp_path, damage):
    write_omniglot(tmp_path)
    path = tmp_path / "omniglot-py" / "images_evaluation.zip"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"images_evaluation\.zip is damaged.*Remove it"):
        data.load("omniglot", root=tmp_path)


# --- downloads, from a server on this machine


class Server:
    """Serve `files`, a dict from name to bytes; a name in `broken` is cut off halfway."""

    def __init__(self):
        self.files, self.broken, self.asked = {}, set(), []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                name = self.path.removeprefix("/")
                outer.asked.append(name)
                if name not in outer.files:
                    return self.send_error(404)
                content = outer.files[name]
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2] if name in outer.broken else content)

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def server(monkeypatch):
    """A server of a tiny MNIST and Omniglot, known to torchvision with their md5s."""
    datasets = _originals.import_torchvision("torchvision.datasets")
    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    served = Server()
    served.files = {f"{k}.gz": gzip.compress(v, mtime=0) for k, v in idx_files(*tiny()).items()}
    md5 = {name: hashlib.md5(content).hexdigest() for name, content in served.files.items()}
    monkeypatch.setattr(datasets.MNIST, "resources", list(md5.items()))
    monkeypatch.setattr(datasets.MNIST, "mirrors", [served.url + "gone/", served.url])
    stem = "images_background"
    served.files |= {"images_background.zip": omniglot_zip(stem, ["Aa"])}
    served.files |= {"images_evaluation.zip": omniglot_zip("images_evaluation", ["Bb"])}
    zips = {n[:-4]: hashlib.md5(c).hexdigest() for n, c in served.files.items() if n.endswith(".zip")}
    monkeypatch.setattr(datasets.Omniglot, "zips_md5", zips)
    monkeypatch.setattr(datasets.Omniglot, "download_url_prefix", served.url.rstrip("/"))
    yield served
    served.server.shutdown()
    served.server.server_close()


def test_download_writes_verified_archives_and_nothing_else(tmp_path, server):
    root = tmp_path / "new" / "root"
    images, _ = tiny()
    loaded = data.load("mnist", root=root, download=True, binarization="none")
    assert loaded.train.images.equal(torch.from_numpy(images[:10].reshape(-1, 784)).float() / 255)
    found = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    assert found == {f"MNIST/raw/{name}.gz" for name in idx_files(*tiny())}
    assert [path.name for path in root.iterdir()] == ["MNIST"]
    server.asked.clear()
    data.load("mnist", root=root, download=True)  # complete: nothing is fetched again
    assert server.asked == []


def test_download_fetches_only_what_is_missing(tmp_path, server):
    write_idx(tmp_path)
    (tmp_path / "MNIST" / "raw" / "t10k-labels-idx1-ubyte.gz").unlink()
    data.load("mnist", root=tmp_path, download=True)
    assert {Path(name).name for name in server.asked} == {"t10k-labels-idx1-ubyte.gz"}


def test_omniglot_downloads_too(tmp_path, server):
    omniglot = data.load("omniglot", root=tmp_path, download=True)
    assert [len(part.images) for part in (omniglot.train, omniglot.validation, omniglot.test)] == [52, 8, 20]
    names = sorted(path.name for path in (tmp_path / "omniglot-py").iterdir())
    assert names == ["images_background.zip", "images_evaluation.zip"]


def wrong_content(server, name):
    server.files[name] = server.files[name][:-1] + b"?"


def half_sent(server, name):
    server.broken.add(name)


def absent(server, name):
    del server.files[name]


@pytest.mark.parametrize("failure", [wrong_content, half_sent, absent])
def test_a_failed_download_keeps_nothing_and_says_which_file_and_what_to_do(tmp_path, server, failure):
    name = "t10k-labels-idx1-ubyte.gz"  # the last of four: three good files have arrived before it
    md5 = hashlib.md5(server.files[name]).hexdigest()
    failure(server, name)
    with pytest.raises(data.DownloadError) as refusal:
        data.load("mnist", root=tmp_path, download=True)
    assert isinstance(refusal.value, OSError)
    folder = str(tmp_path / "MNIST" / "raw")
    for part in (
        "mnist",
        name,
        f"{server.url}{name}",
        f"{server.url}gone/{name}",
        md5,
        folder,
        "Try again later",
    ):
        assert part in str(refusal.value)
    assert list(tmp_path.iterdir()) == []


def test_no_network_at_all_is_a_download_error(tmp_path, server):
    server.server.shutdown()
    server.server.server_close()
    with pytest.raises(data.DownloadError, match=r"images_background\.zip"):
        data.load("omniglot", root=tmp_path, download=True)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_download_keeps_nothing(tmp_path, server, monkeypatch):
    utils = _originals.import_torchvision("torchvision.datasets.utils")

    def interrupt(url, filename, chunk_size=0):
        Path(filename).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(utils, "_urlretrieve", interrupt)
    with pytest.raises(KeyboardInterrupt):
        data.load("mnist", root=tmp_path, download=True)
    assert list(tmp_path.iterdir()) == []


# --- torchvision absent, or not made for this torch


def run(code, *, path=""):
    """Run code in a fresh interpreter that finds modules in path first."""
    project = Path(data.__file__).parent.parent
    start = f"import sys; sys.path[:0] = {[p for p in (str(path), str(project)) if p]!r}\n"
    done = subprocess.run([sys.executable, "-c", start + code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_torchvision_everything_works_but_downloads(tmp_path):
    write_idx(tmp_path)
    code = f"""
sys.modules["torchvision"] = None
from catvae_lib import data
assert len(data.load("squares").test.images) == 256 and len(data.load().test.images) == 10_000
assert len(data.load("mnist", root={str(tmp_path)!r}).test.images) == 5
try:
    data.load("kmnist", root={str(tmp_path / "new")!r}, download=True)
except ImportError as error:
    print(error)
"""
    assert "a download needs torchvision" in run(code)
    assert not (tmp_path / "new").exists()


def test_loading_what_is_there_does_not_import_torchvision(tmp_path):
    write_idx(tmp_path)
    load = f"from catvae_lib import data; data.load('mnist', root={str(tmp_path)!r})"
    run(load + "; assert 'torchvision' not in sys.modules")


def test_a_torchvision_linked_against_cuda_is_imported_all_the_same(tmp_path):
    """A stand-in that fails as the real one does beside a CPU-only torch, until the operators exist."""
    package = tmp_path / "torchvision"
    package.mkdir()
    register = "import torch\n@torch.library.register_fake('torchvision::nms')\ndef f(dets, scores, t): ...\n"
    (package / "__init__.py").write_text(
        "import torchvision.first\nimport torchvision.second\nvalue = torchvision.first.value\n"
    )
    (package / "first.py").write_text("value = 7\n")  # left half imported, unless it is purged
    (package / "second.py").write_text(register)
    code = """
from catvae_lib import _originals
try:
    import torchvision
    raise SystemExit("the stand-in must fail first")
except RuntimeError as error:
    assert "operator torchvision::nms does not exist" in str(error)
print(_originals.import_torchvision().value)
import gc; gc.collect()
import torch
torch.ops.torchvision.nms.default
"""
    assert run(code, path=tmp_path) == "7\n"


def test_another_failure_of_torchvision_is_not_hidden(tmp_path):
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('another reason')")
    code = """
from catvae_lib import _originals
try:
    _originals.import_torchvision()
except RuntimeError as error:
    print(error, len(_originals._declared))
"""
    assert run(code, path=tmp_path) == "another reason 0\n"


# --- moving, and rebuilding


def test_moving_a_dataset_moves_every_tensor():
    moved = data.load("squares").to("meta")
    for split in (moved.train, moved.validation, moved.test):
        assert split.images.is_meta and split.labels.is_meta
    assert (moved.name, moved.image_shape) == ("squares", (24, 24))


@pytest.fixture
def rebuilt(tmp_path, monkeypatch):
    """A tiny MNIST below tmp_path whose rebuilt arrays and file count as the right ones."""
    write_idx(tmp_path)
    arrays = tool.draw(_originals.read("mnist", tmp_path, download=False))
    monkeypatch.setattr(tool, "ARRAY_SHA256", tool.array_digest(arrays))
    monkeypatch.setattr(data, "EMBEDDED_SHA256", hashlib.sha256(tool.pack(arrays)).hexdigest())
    return tmp_path, tmp_path / "out.npz"


def test_the_tool_writes_the_same_file_twice_and_its_check_accepts_it(rebuilt):
    root, output = rebuilt
    assert tool.main([str(root), "--output", str(output)]) == 0
    first = output.read_bytes()
    assert tool.main([str(root), "--output", str(output)]) == 0 and output.read_bytes() == first
    assert tool.main([str(root), "--output", str(output), "--check"]) == 0
    with np.load(output, allow_pickle=False) as stored:
        assert stored["bits"].shape == (17, 98) and stored["labels"].tolist() == tiny()[1].tolist()
        assert (
            np.unpackbits(stored["bits"], axis=1).tolist()
            == data.draw_bits(tiny()[0].reshape(-1, 784)).tolist()
        )
    assert sorted(path.name for path in root.iterdir()) == ["MNIST", "out.npz"]


def test_the_tools_check_finds_a_wrong_bit_and_a_wrong_label(rebuilt, capsys):
    root, output = rebuilt
    arrays = tool.draw(_originals.read("mnist", root, download=False))
    arrays["bits"][3, 40] ^= 4
    arrays["labels"][2] += 1
    output.write_bytes(tool.pack(arrays))
    assert tool.main([str(root), "--output", str(output), "--check"]) == 1
    complaints = capsys.readouterr().err
    for part in ("sha256 of the file", "bits differ", "labels differ"):
        assert part in complaints


def test_the_tool_refuses_other_originals_and_leaves_the_file_alone(tmp_path, capsys):
    write_idx(tmp_path)
    output = tmp_path / "out.npz"
    output.write_bytes(b"as it was")
    assert tool.main([str(tmp_path), "--output", str(output)]) == 1
    assert output.read_bytes() == b"as it was" and "ARRAY_SHA256" in capsys.readouterr().err
