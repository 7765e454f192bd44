"""Files written whole or not at all, whatever stops the writing and wherever."""

import errno
import io
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from catvae_lib import _files
from catvae_lib._files import write_whole

OLD, NEW = b"what was there", b"what comes instead" * 1000


def no_space(*args: Any, **kwargs: Any) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def interrupted(*args: Any, **kwargs: Any) -> Any:
    raise KeyboardInterrupt


class HalfWritten(io.FileIO):
    """A file on a disk that is full, or at a keyboard that is hit, when half is written."""

    stop: Any = no_space

    def write(self, content: Any) -> int:
        super().write(content[: len(content) // 2])
        return int(type(self).stop())


class HalfWrittenAtTheKeyboard(HalfWritten):
    stop = interrupted


def break_at(monkeypatch: pytest.MonkeyPatch, place: str, how: Any) -> None:
    if place == "open":
        monkeypatch.setattr(_files, "open", how, raising=False)
    elif place == "write":
        kind = HalfWritten if how is no_space else HalfWrittenAtTheKeyboard
        monkeypatch.setattr(_files, "open", lambda path, mode: kind(path, mode), raising=False)
    else:
        monkeypatch.setattr(os, place, how)


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let the kernel refuse to write a file beyond a size, as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("content", [NEW, b"", b"\x00\r\n\xff"])
def test_a_file_is_made_or_replaced_whole_and_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    for _ in range(2):
        write_whole(path, content)
        assert path.read_bytes() == content
        write_whole(path, OLD)
    assert list(tmp_path.iterdir()) == [path]


def test_bytes_are_forced_to_the_disk_before_they_take_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the other order a power cut could leave the name on an empty file."""
    path, seen = tmp_path / "file", []
    fsync, replace = os.fsync, os.replace

    def forced(descriptor: int) -> None:
        seen.append(("forced", os.fstat(descriptor).st_size))
        fsync(descriptor)

    def renamed(source: Path, target: Path) -> None:
        seen.append(("renamed", source.stat().st_size))
        assert source.parent == target.parent  # on one file system, where a rename is one step
        replace(source, target)

    monkeypatch.setattr(os, "fsync", forced)
    monkeypatch.setattr(os, "replace", renamed)
    write_whole(path, NEW)
    assert seen[:2] == [("forced", len(NEW)), ("renamed", len(NEW))]
    assert [what for what, _ in seen[2:]] == ["forced"]  # the folder, which holds the name


def test_two_machines_that_share_a_folder_do_not_write_into_each_other_s_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their processes may have one number."""
    seen, replace = set(), os.replace

    def renamed(source: Path, target: Path) -> None:
        seen.add(source.name)
        replace(source, target)

    monkeypatch.setattr(os, "getpid", lambda: 7)
    monkeypatch.setattr(os, "replace", renamed)
    for _ in range(100):
        write_whole(tmp_path / "file", NEW)
    assert len(seen) == 100


@pytest.mark.parametrize("place", ["open", "write", "fsync", "replace"])
@pytest.mark.parametrize(("how", "error"), [(no_space, OSError), (interrupted, KeyboardInterrupt)])
@pytest.mark.parametrize("there", [True, False])
def test_whatever_stops_the_writing_leaves_the_old_file_and_nothing_beside_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    how: Any,
    error: type[BaseException],
    there: bool,
) -> None:
    path = tmp_path / "file"
    if there:
        path.write_bytes(OLD)
    with monkeypatch.context() as broken:
        break_at(broken, place, how)
        with pytest.raises(error):
            write_whole(path, NEW)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == ({"file": OLD} if there else {})
    write_whole(path, NEW)  # and once the cause is gone, it works
    assert path.read_bytes() == NEW


def test_a_kernel_that_refuses_the_last_byte_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(OLD)
    with files_of_at_most(len(NEW) - 1), pytest.raises(OSError, match="File too large"):
        write_whole(path, NEW)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"file": OLD}
    with files_of_at_most(len(NEW)):
        write_whole(path, NEW)
    assert path.read_bytes() == NEW


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name beside the file leads to /dev/full, where Linux itself says that no space is left."""
    path = tmp_path / "file"
    path.write_bytes(OLD)
    monkeypatch.setattr(_files.secrets, "token_hex", lambda length: "0" * length)
    (tmp_path / f".file.{os.getpid()}-0000").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"No space left on device|not permitted|denied|Read-only"):
        write_whole(path, NEW)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"file": OLD}


def test_a_folder_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(OLD)
    with pytest.raises(NotADirectoryError):
        write_whole(tmp_path / "file" / "below", NEW)
    assert (tmp_path / "file").read_bytes() == OLD


def test_a_folder_in_the_place_of_the_file_is_kept(tmp_path: Path) -> None:
    inside = tmp_path / "file" / "inside"
    inside.parent.mkdir()
    inside.write_bytes(OLD)
    with pytest.raises(IsADirectoryError):
        write_whole(tmp_path / "file", NEW)
    assert inside.read_bytes() == OLD
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]
