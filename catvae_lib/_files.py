"""Writing files so that an interrupted run loses nothing."""

import os
import secrets
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write all of a file or nothing: a run killed at any moment leaves the previous file as it was.

    The bytes go to a file beside it, are forced to the disk, and take the name in one step.

    Raises:
        OSError: If the folder or the disk refuses; the previous file is intact and nothing is left beside it.
    """
    # Two machines that share a folder may have processes of one number.
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    """Force the new name to the disk, where the system can (Windows cannot open a folder)."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
