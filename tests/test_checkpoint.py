"""Checkpoints on disk: what is read is what was written, or it is refused and nothing of it is believed."""

import errno
import json
import math
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save as to_bytes
from torch import Tensor

from catvae_lib import checkpoint
from catvae_lib.checkpoint import Checkpoint, load, save

REMEDY = "name another file, remove it, or start anew with resume=False"


def one_of_each() -> Checkpoint:
    """Every dtype that a run may hold, and the values that a careless copy would lose."""
    awkward = [0.1, -0.0, math.inf, -math.inf, math.nan, 1e-40]
    tensors = {
        "weights/single": torch.tensor(awkward),
        "weights/double": torch.tensor(awkward, dtype=torch.float64).reshape(2, 3) / 3,
        "weights/brain": torch.tensor(awkward, dtype=torch.bfloat16).reshape(1, 6),
        "weights/half": torch.tensor(awkward, dtype=torch.float16),
        "weights/scalar": torch.tensor(2.5),
        "weights/none": torch.zeros(0, 4),
        "weights/steps": torch.tensor([2**62, -1]),
        "weights/flags": torch.tensor([True, False]),
        "generator/state": torch.Generator().manual_seed(3).get_state(),  # uint8
    }
    facts = {"step": 7, "history": {"seconds": 0.1 + 0.2, "epochs": [{"bound": -1e-300}]}, "name": "Zürich\n"}
    return Checkpoint(tensors, facts)


def small() -> Checkpoint:
    tensors = {
        "weights/w": torch.randn(3, 2),
        "weights/b": torch.ones(5, dtype=torch.bfloat16),
        "generator/state": torch.arange(7, dtype=torch.uint8),
    }
    return Checkpoint(tensors, {"step": 7, "history": {"seconds": 1.5}})


def bits(tensor: Tensor) -> bytes:
    return bytes(tensor.detach().contiguous().reshape(-1).view(torch.uint8).tolist())


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


# What is read is what was written


def test_every_dtype_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    written = one_of_each()
    save(tmp_path / "run", written)
    read = load(tmp_path / "run")
    assert read.facts == written.facts
    assert read.tensors.keys() == written.tensors.keys()
    for name, tensor in written.tensors.items():
        back = read.tensors[name]
        assert (back.dtype, back.shape) == (tensor.dtype, tensor.shape)
        assert bits(back) == bits(tensor)
    assert read.part("generator").keys() == {"state"}
    assert read.part("weights").keys() == {n.removeprefix("weights/") for n in read.tensors} - {
        "generator/state"
    }
    assert read.part("weight") == {}


def test_a_generator_goes_on_where_it_was_saved(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(5)
    torch.rand(1000, generator=generator)
    save(tmp_path / "run", Checkpoint({"state": generator.get_state()}, {}))
    expected = torch.rand(10, generator=generator)
    again = torch.Generator()
    again.set_state(load(tmp_path / "run").tensors["state"])
    assert torch.equal(torch.rand(10, generator=again), expected)


def test_parameters_and_views_are_written_as_they_look(tmp_path: Path) -> None:
    table = torch.arange(12.0).reshape(3, 4)
    save(tmp_path / "run", Checkpoint({"t": table.T, "p": torch.nn.Parameter(table[1:, ::2])}, {}))
    read = load(tmp_path / "run").tensors
    assert torch.equal(read["t"], table.T)
    assert read["p"].tolist() == [[4.0, 6.0], [8.0, 10.0]]
    assert not read["p"].requires_grad


def test_folders_are_made_and_an_earlier_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "run"
    for step in (1, 2):
        save(str(path), Checkpoint({"w": torch.ones(step)}, {"step": step}))
        assert load(str(path)).facts == {"step": step}
    assert list(path.parent.iterdir()) == [path]


def test_what_was_read_does_not_hang_on_the_file(tmp_path: Path) -> None:
    """The next checkpoint replaces the file that the weights of a resumed run were read from."""
    path = tmp_path / "run"
    save(path, small())
    read = load(path)
    before = {name: bits(tensor) for name, tensor in read.tensors.items()}
    save(path, Checkpoint({"w": torch.zeros(10_000)}, {}))
    path.unlink()
    assert {name: bits(tensor) for name, tensor in read.tensors.items()} == before


READER = """
import sys
from catvae_lib.checkpoint import load
seen = []
print("ready", flush=True)
while len(seen) < 400 or len(set(seen)) < 20:
    read = load(sys.argv[1])
    step = read.facts["step"]
    assert read.tensors["w"].shape == (1000 * (1 + step % 3),)
    assert (read.tensors["w"] == step).all()
    seen.append(step)
assert seen == sorted(seen)
print(len(seen), len(set(seen)))
"""


def test_another_process_never_reads_a_part_of_a_file(tmp_path: Path) -> None:
    """One process replaces the file at least 50 times, by others of other sizes; another reads it."""
    path, step = tmp_path / "run", 0

    def write() -> None:
        save(path, Checkpoint({"w": torch.full((1000 * (1 + step % 3),), float(step))}, {"step": step}))

    write()
    arguments = [sys.executable, "-c", READER, str(path)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
        while reader.poll() is None or step < 50:
            step += 1
            write()
        output, errors = reader.communicate(timeout=300)
    assert reader.returncode == 0, errors
    loads, versions = map(int, output.split())
    assert loads >= 400 and versions >= 20


# What is not a whole checkpoint is refused


def test_no_bit_can_flip_unnoticed(tmp_path: Path) -> None:
    """Two bits of each byte: of the length, the header, the facts in it, names, dtypes and tensors."""
    path = tmp_path / "run"
    save(path, small())
    whole = path.read_bytes()
    believed = []
    for place in range(len(whole)):
        for bit in {place % 8, place * 5 // 8 % 8}:
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            path.write_bytes(damaged)
            try:
                read = load(path)
            except ValueError as error:
                assert str(path) in str(error) and REMEDY in str(error)
            else:
                believed.append((place, bit, read))
    assert believed == []
    assert len(whole) > 300


def test_a_file_cut_short_anywhere_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "run"
    save(path, small())
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="is not a whole checkpoint") as error:
            load(path)
        assert str(path) in str(error.value) and REMEDY in str(error.value)
        assert path.read_bytes() == whole[:length]
    path.write_bytes(whole + b"\x00")
    with pytest.raises(ValueError, match="is not a whole checkpoint"):
        load(path)


FOREIGN = {
    "empty": (b"", "is not a whole checkpoint"),
    "text": (b"epoch,bound\n0,-200.0\n" * 50, "is not a whole checkpoint"),
    "zeros": (bytes(1000), "is not a whole checkpoint"),
    "safetensors": (to_bytes({"weights/w": torch.ones(2)}), "was not written by catvae_lib"),
    "notes": (to_bytes({"w": torch.ones(2)}, {"catvae_lib": "hello"}), "is not a whole checkpoint"),
    "number": (to_bytes({"w": torch.ones(2)}, {"catvae_lib": "7"}), "was not written by catvae_lib"),
    "unsigned": (to_bytes({"w": torch.ones(2)}, {"catvae_lib": '{"step": 1}'}), "is damaged: its checksum"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_file_of_another_kind_is_refused_and_left_alone(tmp_path: Path, kind: str) -> None:
    content, message = FOREIGN[kind]
    (tmp_path / "run").write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        load(tmp_path / "run")
    assert REMEDY in str(error.value)
    assert contents(tmp_path) == {"run": content}


class Trap:
    """What a pickle may do to who opens it: here, make a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("kind", ["pickle", "torch"])
def test_a_pickle_is_refused_and_not_run(tmp_path: Path, kind: str) -> None:
    sprung, path = tmp_path / "sprung", tmp_path / "run"
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Trap(sprung)))
    else:
        torch.save({"weights": torch.ones(2), "trap": Trap(sprung)}, path)
    with pytest.raises(ValueError, match="is not a whole checkpoint"):
        load(path)
    assert not sprung.exists()
    if kind == "pickle":
        pickle.loads(path.read_bytes())
        assert sprung.exists()  # the trap was real


def test_a_missing_file_and_a_folder_are_no_checkpoints(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(FileNotFoundError, match=f"there is no checkpoint at {path}$"):
            load(path)


# A disk that refuses


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("there", [True, False])
def test_a_refusal_names_the_file_the_reason_and_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, there: bool
) -> None:
    path = tmp_path / "run"
    if there:
        save(path, small())
    before = contents(tmp_path)

    def refuse(*args: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError) as error:
        save(path, one_of_each())
    kept = "the last good checkpoint is intact" if there else "there is none yet"
    reason = os.strerror(code)
    expected = f"{path} cannot be written ({reason}); {kept}. Free the disk, or name another file."
    assert str(error.value) == expected
    assert contents(tmp_path) == before


def test_a_path_below_a_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    for path in (tmp_path / "file" / "run", tmp_path / "file" / "deeper" / "run"):
        with pytest.raises(OSError, match=f"{path} cannot be written") as error:
            save(path, small())
        assert "name another file" in str(error.value)
    assert contents(tmp_path) == {"file": b"kept"}


# The format


def test_a_checkpoint_is_plain_safetensors_with_json_in_its_header(tmp_path: Path) -> None:
    """Other programs can read it, and its size is that of its tensors and a header."""
    from safetensors.torch import load_file

    path = tmp_path / "run"
    save(path, small())
    assert load_file(path).keys() == small().tensors.keys()
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert json.loads(header["__metadata__"]["catvae_lib"]) == small().facts
    assert checkpoint.__doc__ is not None and "no pickle" in checkpoint.__doc__
    copy = shutil.copy(path, tmp_path / "moved")  # nothing in it depends on where it lies
    assert load(copy).facts == small().facts
