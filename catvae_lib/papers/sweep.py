"""Train what is missing of the tables, in parallel, one JSON file a run.

    python -m catvae_lib.papers                                  # the quick budget, on this machine's cores
    python -m catvae_lib.papers --budget full --table jang-1     # the papers' protocol, one table
    python -m catvae_lib.papers --scheduler tcp://HOST:8786      # the same on a Dask cluster

A run is stored when it is done, all of its file or nothing, so a sweep that was stopped or killed at any
moment goes on with the runs that are missing. Only this process writes: a worker that dies takes no result
with it but the one it was at, which Dask gives to another.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from joblib import Parallel, delayed, parallel_config
from tqdm.auto import tqdm

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
        OSError: If a result cannot be written.
        RuntimeError: If a run failed; the others of its round are stored.
    """
    first = [Run(cell, rate, 0) for cell in wanted for rate in cell.rates]
    with _where(jobs, scheduler):
        _run(first, folder, work, "first seed")
        _run([run for cell in wanted for run in selected(cell, folder)], folder, work, "other seeds")
    return [path_of(run, folder) for cell in wanted for run in selected(cell, folder)]


def path_of(run: Run, folder: Path) -> Path:
    """Return the file of a run."""
    return folder / f"{run.name}.json"


def selected(cell: Cell, folder: Path) -> list[Run]:
    """Return the runs that count for a cell: every seed of the rate with the best validation bound.

    Raises:
        FileNotFoundError: If a rate has not been tried.
    """
    scores = {rate: load(path_of(Run(cell, rate, 0), folder))["validation"] for rate in cell.rates}
    best = max(scores, key=lambda rate: scores[rate])
    return [Run(cell, best, seed) for seed in range(cell.seeds)]


def load(path: Path) -> dict[str, Any]:
    """Return a stored result.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If the file is damaged: it is named, and left as it is.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); delete it, and the run is trained again") from error
    if not isinstance(found, dict) or "validation" not in found:
        raise ValueError(f"{path} is damaged: it holds no result; delete it, and the run is trained again")
    return found


def together(runs: Sequence[Run]) -> list[tuple[Run, ...]]:
    """Return the runs in groups that are trained in one launch: those of a cell on a GPU, else each alone."""
    groups: dict[object, list[Run]] = {}
    for run in runs:
        stacked = torch.cuda.is_available() and stackable(run.cell)
        groups.setdefault(run.cell if stacked else run, []).append(run)
    return [tuple(group) for group in groups.values()]


def _run(runs: Sequence[Run], folder: Path, work: Work, title: str) -> None:
    """Do what is missing, the longest first, and store each result as it comes."""
    missing = [run for run in dict.fromkeys(runs) if not path_of(run, folder).exists()]
    missing.sort(key=lambda run: -run.cell.cost)
    quiet = os.environ.get("TQDM_DISABLE") == "1"
    failures = []
    with tqdm(total=round(sum(run.cell.cost for run in missing)), unit="s", desc=title, disable=quiet) as bar:
        for group, results in _results(together(missing), work):
            if isinstance(results, str):
                failures += [f"{run.name}: {results}" for run in group]
                continue
            for run, result in zip(group, results, strict=True):
                path = path_of(run, folder)
                path.parent.mkdir(parents=True, exist_ok=True)
                write_whole(path, f"{json.dumps(result, indent=1)}\n".encode())
                bar.update(round(run.cell.cost))
    if failures:
        raise RuntimeError(f"{len(failures)} of {len(missing)} runs failed:\n" + "\n".join(failures))


def _results(
    groups: Iterable[tuple[Run, ...]], work: Work
) -> Iterator[tuple[tuple[Run, ...], list[dict[str, Any]] | str]]:
    parallel = Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch="all")
    yield from parallel(delayed(_alone)(work, group) for group in groups)


def _alone(work: Work, runs: tuple[Run, ...]) -> tuple[tuple[Run, ...], list[dict[str, Any]] | str]:
    """Do runs on one thread; what goes wrong is told in words, and does not stop the others."""
    torch.set_num_threads(1)
    os.environ["TQDM_DISABLE"] = "1"
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
    try:
        return runs, work(*runs)
    except Exception as error:
        return runs, f"{type(error).__name__}: {error}"


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
