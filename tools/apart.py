"""A function in a process and a home folder of its own, within limits; nothing it starts outlives it."""

import contextlib
import multiprocessing
import os
import tempfile
import threading
import warnings
from collections.abc import Callable
from typing import Any

import psutil

try:
    import resource
except ImportError:  # Windows
    resource = None

MEMORY = 4 << 30  # bytes of data that a process may hold; torch itself takes one or two
FILE = 100 << 20  # bytes of one file that it may write
LONGEST = 600  # seconds
SPAWN = multiprocessing.get_context("spawn")


class Ended(Exception):
    """A function whose process was ended, or ended itself, before it had a result."""


def apart(function: Callable, *arguments: Any) -> Any:
    """Return what a function returns in a process of its own, within limits; end all that it leaves running.

    Raises:
        Ended: If it takes too long, or its process is gone.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        answer, theirs = SPAWN.Pipe(duplex=False)
        process = SPAWN.Process(target=_limited, args=(theirs, home, function, arguments), daemon=True)
        process.start()
        theirs.close()
        try:
            if not answer.poll(LONGEST):
                raise Ended(f"could not be graded: it took more than {LONGEST} seconds")
            result = answer.recv()
        except EOFError:
            raise Ended("could not be graded: the process that graded it was ended") from None
        finally:
            process.kill()
            process.join()
            _end(home)
    if isinstance(result, Exception):
        raise result
    return result


def _limited(answer: Any, home: str, function: Callable, arguments: tuple) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _limit(home)
    try:
        result = function(*arguments)
    except Exception as error:
        result = RuntimeError(str(error))
    answer.send(result)


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


def _end(home: str) -> None:
    """End what is left of a submission: every process that began with its home folder."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get("HOME") == home:
                process.kill()


def _limit(home: str) -> None:
    """Limit what this process and its kernel may take; what they say beside the notebook is dropped."""
    os.environ.update(OMP_NUM_THREADS="1", TQDM_DISABLE="1", HOME=home, TMPDIR=home, PYTHONWARNINGS="ignore")
    warnings.simplefilter("ignore")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    if resource is not None:
        for kind, most in ((resource.RLIMIT_DATA, MEMORY), (resource.RLIMIT_FSIZE, FILE)):
            resource.setrlimit(kind, (most, most))
