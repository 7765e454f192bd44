"""Train what is missing of the tables, in parallel, one JSON file a run.

    python -m catvae_lib.papers                                  # the quick budget, on this machine's cores
    python -m catvae_lib.papers --budget full --table jang-1     # many more steps, one table
    python -m catvae_lib.papers --scheduler tcp://HOST:8786      # the same on a Dask cluster

A run is stored when it is done, all of its file or nothing, so a sweep that was stopped or killed at any
moment goes on with the runs that are missing. Only this process writes: a worker that dies takes no result
with it but the one it was at, which Dask gives to another.
"""

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from joblib import Parallel, delayed, parallel_config
from tqdm.auto import tqdm

from catvae_lib import _validate
from catvae_lib._files import write_whole
from catvae_lib.papers.cells import Cell, Run
from catvae_lib.papers.train import stackable, train

Work = Callable[..., list[dict[str, Any]]]
"""Runs of one cell to what is stored of each."""


def sweep(
    wanted: Sequence[Cell],
    folder: Path,
    *,
    jobs: int = -1,
    scheduler: str | None = None,
    work: Work = train,
) -> list[Path]:
    """Train every run of the cells that has no file yet: all rates on seed 0, then the best on other seeds.

    Args:
        wanted: The cells.
        folder: Where the results are kept, one folder a budget and table.
        jobs: Processes on this machine, one thread each; -1: as many as it has cores.
        scheduler: Address of a Dask scheduler, whose workers then do the work.
        work: What is done for runs of one cell; it returns what is stored of each.

    Returns:
        The files of the selected runs, those that were there before included.

    Raises:
        OSError: If a result cannot be written; this is tried before the first run.
        RuntimeError: If runs could not be done. All that could are stored; `sweep` tries the others again.
        ValueError: If a file is damaged, or of another protocol.
    """
    _validate.several("wanted", wanted, Cell)
    _validate.instance("folder", folder, Path)
    _validate.count("jobs", jobs, minimum=-1)
    if scheduler is not None:
        _validate.instance("scheduler", scheduler, str)
    _validate.function("work", work)
    first = {cell: [Run(cell, rate, 0) for rate in cell.rates] for cell in wanted}
    if scheduler is None:
        work = partial(_while_owned, os.getpid(), work)
    with _where(jobs, scheduler):
        failures = _run([run for runs in first.values() for run in runs], folder, work, "first seed")
        tried = [cell for cell in wanted if all(path_of(run, folder).exists() for run in first[cell])]
        rest = [run for cell in tried for run in selected(cell, folder)]
        failures += _run(rest, folder, work, "other seeds")
    if failures:
        raise RuntimeError(f"{len(failures)} runs failed:\n" + "\n".join(failures))
    return [path_of(run, folder) for cell in wanted for run in selected(cell, folder)]


def path_of(run: Run, folder: Path) -> Path:
    """Return the file of a run."""
    _validate.instance("run", run, Run)
    _validate.instance("folder", folder, Path)
    return folder / f"{run.name}.json"


def selected(cell: Cell, folder: Path) -> list[Run]:
    """Return the runs that count for a cell: every seed of the rate with the best validation bound.

    Raises:
        FileNotFoundError: If a rate has not been tried.
        ValueError: If training diverged with every rate, or a file is damaged or of another protocol.
    """
    _validate.instance("cell", cell, Cell)
    tried = {rate: load(Run(cell, rate, 0), folder) for rate in cell.rates}
    scores = {rate: result["validation"] for rate, result in tried.items() if "failure" not in result}
    if not scores:
        raise ValueError(f"training diverged with every rate of {cell}")
    best = max(scores, key=lambda rate: scores[rate])
    return [Run(cell, best, seed) for seed in range(cell.seeds)]


def load(run: Run, folder: Path) -> dict[str, Any]:
    """Return the stored result of a run.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If the file is damaged or of another protocol: it is named, and left as it is.
    """
    path, remedy = path_of(run, folder), "delete it, and the run is trained again"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); {remedy}") from error
    if not _is_result(found):
        raise ValueError(f"{path} is damaged: it holds no result; {remedy}")
    for name in ("epochs", "batch_size"):
        wanted = getattr(run.cell, name)
        if found[name] != wanted:
            raise ValueError(f"{path} is of another protocol: {name} {found[name]}, not {wanted}; {remedy}")
    result: dict[str, Any] = found
    return result


def _is_result(found: Any) -> bool:
    """Whether what a file holds is a result: finite bounds, or the word of a failure."""
    if not isinstance(found, dict) or not {"epochs", "batch_size"} <= set(found):
        return False
    if isinstance(found.get("failure"), str):
        return True
    test = found.get("test")
    numbers = [found.get("validation"), test.get("bound") if isinstance(test, dict) else None]
    return all(isinstance(number, float | int) and math.isfinite(number) for number in numbers)


def together(runs: Sequence[Run]) -> list[tuple[Run, ...]]:
    """Return the runs in groups that are trained in one launch: those of a cell on a GPU, else each alone."""
    _validate.several("runs", runs, Run)
    groups: dict[object, list[Run]] = {}
    for run in runs:
        stacked = torch.cuda.is_available() and stackable(run.cell)
        groups.setdefault(run.cell if stacked else run, []).append(run)
    return [tuple(group) for group in groups.values()]


def _run(runs: Sequence[Run], folder: Path, work: Work, title: str) -> list[str]:
    """Do what is missing, the longest first, store each result as it comes, and tell what failed."""
    missing = []
    for run in dict.fromkeys(runs):
        if path_of(run, folder).exists():
            load(run, folder)  # or say that it is no use
        else:
            missing.append(run)
            path_of(run, folder).parent.mkdir(parents=True, exist_ok=True)
    missing.sort(key=lambda run: -run.cell.cost)
    quiet = os.environ.get("TQDM_DISABLE") == "1"
    failures = []
    with tqdm(total=round(sum(run.cell.cost for run in missing)), unit="s", desc=title, disable=quiet) as bar:
        for group, results in _results(together(missing), work):
            if isinstance(results, str):
                failures += [f"{run.name}: {results}" for run in group]
                continue
            for run, result in zip(group, results, strict=True):
                write_whole(path_of(run, folder), f"{json.dumps(result, indent=1)}\n".encode())
                bar.update(round(run.cell.cost))
    return failures


def _results(
    groups: Iterable[tuple[Run, ...]], work: Work
) -> Iterator[tuple[tuple[Run, ...], list[dict[str, Any]] | str]]:
    parallel = Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch="all")
    yield from parallel(delayed(_alone)(work, group) for group in groups)


def _while_owned(owner: int, work: Work, *runs: Run) -> list[dict[str, Any]]:
    """Do runs, or end this process if the sweep that started it was killed: nobody waits for the runs."""
    if owner not in (os.getpid(), os.getppid()):
        os._exit(1)
    return work(*runs)


def _alone(work: Work, runs: tuple[Run, ...]) -> tuple[tuple[Run, ...], list[dict[str, Any]] | str]:
    """Do runs on one thread; what goes wrong is told in words, and does not stop the others."""
    before = torch.get_num_threads(), dict(os.environ)
    torch.set_num_threads(1)
    os.environ.update(TQDM_DISABLE="1", TORCHINDUCTOR_COMPILE_THREADS="1")
    try:
        found = work(*runs)
        json.dumps(found, allow_nan=False)  # JSON has no NaN, and a table no use for one
        return runs, found
    except Exception as error:
        return runs, f"{type(error).__name__}: {error}"
    finally:  # with one job this is the caller's own process
        torch.set_num_threads(before[0])
        os.environ.clear()
        os.environ.update(before[1])


@contextmanager
def _where(jobs: int, scheduler: str | None) -> Iterator[None]:
    """Choose who works: processes of this machine, or a Dask cluster's workers."""
    if scheduler is None:
        with parallel_config(backend="loky", n_jobs=jobs, inner_max_num_threads=1):
            yield
        return
    from dask.distributed import Client
    from joblib._dask import DaskDistributedBackend

    class Cluster(DaskDistributedBackend):  # type: ignore[misc]
        """joblib's backend, but with a single core left in the cluster the work still does not come here."""

        def effective_n_jobs(self, n_jobs: int) -> int:
            return max(2, int(super().effective_n_jobs(n_jobs)))

    with Client(scheduler) as client, parallel_config(backend=Cluster(client=client), n_jobs=-1):
        yield
