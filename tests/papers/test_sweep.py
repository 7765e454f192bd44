"""The sweep: what is missing is trained, what is there stays, and nothing is lost or done twice."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest
import sweep_work
import torch
from distributed import Client

from catvae_lib.papers import sweep as sweeping
from catvae_lib.papers.__main__ import main
from catvae_lib.papers.cells import Cell, Run
from catvae_lib.papers.sweep import path_of, selected, sweep, together

CELLS = [
    Cell("jang-1", "VAE (Bern.)", "gumbel_softmax", rates=(1e-3, 3e-3), seeds=3),
    Cell("jang-1", "VAE (Cat.)", "reinmax", rates=(3e-3, 1e-3), seeds=2),
]
NAMES = {  # both rates on seed 0, the larger one on the others
    "VAE-Bern._gumbel-softmax_m-1_rate-0.001_seed-0",
    "VAE-Bern._gumbel-softmax_m-1_rate-0.003_seed-0",
    "VAE-Bern._gumbel-softmax_m-1_rate-0.003_seed-1",
    "VAE-Bern._gumbel-softmax_m-1_rate-0.003_seed-2",
    "VAE-Cat._reinmax_m-1_rate-0.001_seed-0",
    "VAE-Cat._reinmax_m-1_rate-0.003_seed-0",
    "VAE-Cat._reinmax_m-1_rate-0.003_seed-1",
}


def stored(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("quick/jang-1/*.json")}


def test_the_better_rate_is_trained_on_the_other_seeds(tmp_path: Path) -> None:
    files = sweep(CELLS, tmp_path, jobs=1, work=sweep_work.quick)
    assert stored(tmp_path) == NAMES
    results = [json.loads(path.read_text()) for path in files]
    assert [result["rate"] for result in results] == [3e-3] * 5
    assert [result["seed"] for result in results] == [0, 1, 2, 0, 1]


def test_what_is_there_is_not_trained_again(tmp_path: Path) -> None:
    sweep(CELLS, tmp_path, jobs=1, work=sweep_work.quick)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}
    lost = path_of(Run(CELLS[0], 3e-3, 2), tmp_path)
    lost.unlink()
    sweep(CELLS, tmp_path, jobs=1, work=sweep_work.quick)
    again = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}
    assert {path for path in again if again[path] != times[path]} == {lost}


def test_a_run_that_fails_is_told_and_the_others_are_kept(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"2 runs failed") as error:
        sweep(CELLS, tmp_path, jobs=1, work=sweep_work.fails_on_the_second_seed)
    assert "seed-1: FloatingPointError: the training loss became nan at step 3" in str(error.value)
    assert stored(tmp_path) == {name for name in NAMES if not name.endswith("seed-1")}


def test_a_result_that_is_not_a_number_is_not_stored(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"4 runs failed(.|\n)*ValueError: Out of range float"):
        sweep(CELLS, tmp_path, jobs=1, work=sweep_work.is_not_a_number)
    assert stored(tmp_path) == set()


def test_a_cell_that_cannot_be_trained_does_not_hold_up_the_others(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"1 runs failed(.|\n)*root must be the folder"):
        sweep(CELLS, tmp_path, jobs=1, work=sweep_work.fails_for_one_cell)
    assert stored(tmp_path) == {name for name in NAMES if name.startswith("VAE-Bern")} | {
        "VAE-Cat._reinmax_m-1_rate-0.003_seed-0"
    }


def test_a_rate_that_diverges_is_stored_and_not_selected(tmp_path: Path) -> None:
    files = sweep(CELLS, tmp_path, jobs=1, work=sweep_work.diverges_at_the_larger_rate)
    assert [json.loads(path.read_text())["rate"] for path in files] == [1e-3] * 5
    bad = replace(CELLS[0], rates=(3e-3,))
    with pytest.raises(ValueError, match="training diverged with every rate"):
        selected(bad, tmp_path)


def test_results_of_another_protocol_are_not_taken_for_this_one(tmp_path: Path) -> None:
    sweep(CELLS, tmp_path, jobs=1, work=sweep_work.quick)
    for change in ({"epochs": 999}, {"batch_size": 7}):
        other = [replace(CELLS[0], **change)]
        with pytest.raises(ValueError, match=r"is of another protocol: \w+ \d+, not (999|7)"):
            sweep(other, tmp_path, jobs=1, work=sweep_work.quick)
    assert stored(tmp_path) == NAMES


def test_a_folder_that_cannot_be_written_is_told_before_the_first_run(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        sweep(CELLS, tmp_path / "file", jobs=1, work=sweep_work.must_not_be_called)


def test_one_job_leaves_the_callers_settings_alone(tmp_path: Path) -> None:
    before = torch.get_num_threads(), dict(os.environ)
    sweep(CELLS, tmp_path, jobs=1, work=sweep_work.quick)
    assert (torch.get_num_threads(), dict(os.environ)) == before


DAMAGED = [
    "",
    "{",
    "[]",
    "{}",
    '{"epochs": 20, "batch_size": 100, "validation": NaN, "test": {"bound": 1.0}}',
    '{"epochs": 20, "batch_size": 100, "validation": null, "test": {"bound": 1.0}}',
    '{"epochs": 20, "batch_size": 100, "validation": 1.0}',
    '{"epochs": 20, "batch_size": 100, "validation": 1.0, "test": 7}',
]


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_result_is_refused_and_left(tmp_path: Path, content: str) -> None:
    path = path_of(Run(CELLS[0], 1e-3, 0), tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(ValueError, match="is damaged") as error:
        sweep(CELLS, tmp_path, jobs=1, work=sweep_work.quick)
    assert str(path) in str(error.value) and path.read_text() == content


def test_selection_looks_at_validation_only(tmp_path: Path) -> None:
    cell = CELLS[0]
    for rate, validation, test in ((1e-3, -100.0, -120.0), (3e-3, -101.0, -90.0)):
        path = path_of(Run(cell, rate, 0), tmp_path)
        path.parent.mkdir(parents=True, exist_ok=True)
        protocol = {"epochs": cell.epochs, "batch_size": cell.batch_size}
        path.write_text(json.dumps({"validation": validation, "test": {"bound": test}, **protocol}))
    assert {run.rate for run in selected(cell, tmp_path)} == {1e-3}


def test_on_a_gpu_the_runs_of_a_cell_are_one_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [Run(cell, rate, 0) for cell in CELLS for rate in cell.rates]
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert together(runs) == [(run,) for run in runs]
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert together(runs) == [tuple(runs[:2]), tuple(runs[2:])]
    alone = [Run(Cell("jang-1", "VAE (Bern.)", "score_function"), rate, 0) for rate in (1e-3, 3e-3)]
    assert together(alone) == [(run,) for run in alone]


def test_the_command_line_refuses_what_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--budget", "huge"])
    assert "invalid choice: 'huge'" in capsys.readouterr().err


def test_the_command_line_passes_on_what_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, object] = {}

    def note(wanted: list[Cell], folder: Path, **options: object) -> list[Path]:
        told.update(tables={cell.table for cell in wanted}, folder=folder, **options)
        return []

    monkeypatch.setattr("catvae_lib.papers.__main__.sweep", note)
    main(["--table", "n-ary", "--folder", str(tmp_path), "--jobs", "3", "--scheduler", "tcp://h:1"])
    assert told == {"tables": {"n-ary"}, "folder": tmp_path, "jobs": 3, "scheduler": "tcp://h:1"}


# A sweep that is killed


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_killed_sweep_goes_on_with_what_is_missing(tmp_path: Path, jobs: int) -> None:
    script = (
        "import sweep_work; from pathlib import Path; from test_sweep import CELLS;"
        "from catvae_lib.papers.sweep import sweep;"
        f"sweep(CELLS, Path({str(tmp_path)!r}), jobs={jobs}, work=sweep_work.slow_and_logged)"
    )
    log = tmp_path / "log"
    log.mkdir()
    here = Path(__file__).parent
    process = subprocess.Popen([sys.executable, "-c", script], env=environment(log), cwd=here)
    wait_for(lambda: len(stored(tmp_path)) >= 2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before, begun = stored(tmp_path), len(list(log.glob("begun_*")))
    time.sleep(1.5)  # as long as five runs take
    assert len(list(log.glob("begun_*"))) <= begun + jobs, "its processes went on without it"
    assert 2 <= len(before) < len(NAMES)
    for name in before:
        json.loads((tmp_path / "quick" / "jang-1" / f"{name}.json").read_text())
    sweep(CELLS, tmp_path, jobs=1, work=sweep_work.quick)
    assert stored(tmp_path) == NAMES
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]


# A cluster of which a worker dies


def environment(log: Path) -> dict[str, str]:
    here = Path(__file__).resolve()
    paths = os.pathsep.join([str(here.parent), str(here.parents[2])])
    return {**os.environ, "PYTHONPATH": paths, "CATVAE_TEST_FOLDER": str(log), "TQDM_DISABLE": "1"}


def wait_for(condition: object, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "waited for too long"
        time.sleep(0.02)


@contextmanager
def cluster(tmp_path: Path, log: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A scheduler and two workers with one thread each, as a cluster would start them."""
    file, processes = tmp_path / "scheduler.json", []

    def start(kind: str, *options: str) -> None:
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", "--scheduler-file", str(file)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        processes.append(
            subprocess.Popen([*command, *options], env=environment(log), cwd=tmp_path, **quiet)  # type: ignore[call-overload]
        )

    try:
        start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        wait_for(lambda: file.exists() and file.stat().st_size > 0)
        for _ in range(2):
            start("worker", "--nthreads", "1", "--no-nanny", "--no-dashboard")
        address = json.loads(file.read_text())["address"]
        with Client(address) as client:
            client.wait_for_workers(2, timeout=60)
        yield address, processes[1:]
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.mark.filterwarnings("ignore")  # distributed tells of the worker that went
def test_no_run_is_lost_or_stored_twice_when_a_worker_is_killed(tmp_path: Path) -> None:
    log, folder = tmp_path / "log", tmp_path / "results"
    log.mkdir()
    written: list[str] = []

    def note(path: Path, content: bytes) -> None:
        written.append(path.stem)
        path.write_bytes(content)

    with cluster(tmp_path, log) as (address, workers), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweeping, "write_whole", note)

        def kill_the_first_to_work() -> None:
            wait_for(lambda: any(log.glob(f"begun_*_{workers[0].pid}")))
            workers[0].kill()

        killer = Thread(target=kill_the_first_to_work)
        killer.start()
        sweep(CELLS, folder, scheduler=address, work=sweep_work.slow_and_logged)
        killer.join()
    assert workers[0].returncode == -signal.SIGKILL
    assert stored(folder) == NAMES
    assert sorted(written) == sorted(NAMES)  # each once
    begun = {path.name.rsplit("_", 1)[0].removeprefix("begun_") for path in log.glob("begun_*")}
    ended = {path.name.rsplit("_", 1)[0].removeprefix("ended_") for path in log.glob("ended_*")}
    assert begun == ended  # what the dead worker had begun was done by the other
