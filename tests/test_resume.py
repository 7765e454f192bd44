"""Runs that are killed, stopped, refused or resumed: they end as if nothing had happened, to the last bit.

As a program (`python test_resume.py FOLDER`) this file is the process that kills its children.
"""

import errno
import itertools
import math
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from test_training import images_of_each_loss, small_vae, two_images, weights
from torch import Tensor

from catvae_lib import checkpoint as storage
from catvae_lib._loop import shuffled
from catvae_lib._step import TERMS, EagerStep, PureStep
from catvae_lib.data import Dataset, Split
from catvae_lib.latent import BernoulliLatent, CategoricalLatent, Latent
from catvae_lib.schedules import LearningRateSchedule, TemperatureSchedule
from catvae_lib.training import History, TrainConfig, fit
from catvae_lib.vae import VAE

CONFIG = TrainConfig(
    epochs=2,
    batch_size=4,
    learning_rate=0.05,
    temperature=TemperatureSchedule.exponential(1.0, 0.5, 0.02),
    precision="float32",
    track_images=3,
    track_samples=2,
)
STEPS = 8  # two epochs of two_images(8), 16 images


def grey_images(count: int = 16) -> Dataset:
    """Images whose bits are drawn anew in each epoch, and a tenth of whose pixels is flipped."""
    images = torch.rand(count, 4, generator=torch.Generator().manual_seed(1))
    train = Split(images, torch.zeros(count, dtype=torch.int64))
    return replace(two_images(8), train=train, binarization="dynamic", flips=0.1)


def run_as_saved(path: Path) -> tuple[dict[str, tuple[str, list[Any]]], dict[str, Any]]:
    """Everything in a checkpoint but the time it took and the machine, to be compared to the last bit."""
    saved = storage.load(path)
    facts = {name: fact for name, fact in saved.facts.items() if name != "history"}
    facts["epochs"] = saved.facts["history"]["epochs"]
    return {name: (str(t.dtype), t.tolist()) for name, t in saved.tensors.items()}, facts


def step_of(path: Path) -> int:
    return int(storage.load(path).facts["step"])


@contextmanager
def at_step(number: int, act: Callable[[], object], kind: type = EagerStep) -> Iterator[list[Tensor]]:
    """Act when so many steps are taken; gives a list that grows by the two terms of each step."""
    inner: Callable[..., Tensor] = vars(kind)["__call__"]
    records: list[Tensor] = []

    def spy(self: Any, *args: Any) -> Tensor:
        record = inner(self, *args)
        records.append(record.clone())
        if len(records) == number:
            act()
        return record

    setattr(kind, "__call__", spy)  # noqa: B010, of a class that mypy cannot know
    try:
        yield records
    finally:
        setattr(kind, "__call__", inner)  # noqa: B010


def ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


class PowerCut(Exception):
    pass


def power_cut() -> None:
    raise PowerCut


@pytest.fixture(autouse=True)
def keyboard() -> Iterator[None]:
    """Ctrl-C does what it does in a program, also where a test runner has set it otherwise."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


# Killed


KILLS = 20
LONG = replace(
    CONFIG, epochs=12, patience=100, seed=2
)  # 48 steps; patience, so that the best weights are kept


def long_run(path: Path, every: int | None) -> None:
    fit(small_vae(), grey_images(), LONG, checkpoint=path, checkpoint_every=every)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def long_run_killed_in(place: str, path: Path) -> None:
    """The third checkpoint is never finished, or the third step."""
    fsync, rename, calls = os.fsync, os.replace, itertools.count(1)

    def half_written(descriptor: int) -> None:
        if next(calls) == 3:
            os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
            die()
        fsync(descriptor)

    def before_the_name(source: Path, target: Path) -> None:
        if next(calls) == 3:
            die()
        rename(source, target)

    def after_the_name(source: Path, target: Path) -> None:
        rename(source, target)
        if next(calls) == 3:
            die()

    if place == "a step":
        with at_step(3, die):
            long_run(path, 1)
    os.fsync = half_written if place == "half a file" else fsync
    os.replace = {"a file without name": before_the_name, "a new file": after_the_name}.get(place, rename)
    long_run(path, 1)


def child(work: Callable[[], None]) -> int:
    """Start a process that does the work and nothing else."""
    process = os.fork()
    if process == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return process


def ended(process: int) -> int:
    """Wait for a process: 0 if it did its work, minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def kill_and_resume(folder: Path) -> None:
    """Kill a run at random moments, go on each time, and compare each end with an uninterrupted run."""
    long_run(
        folder / "whole", 1
    )  # here, so that every child finds torch warm and loses no time before its steps
    window = 0.05  # seconds; adapts below, so that no machine is too slow or too fast
    expected, steps = run_as_saved(folder / "whole"), step_of(folder / "whole")
    assert steps == 48
    path, kills, ends, moments = folder / "run", 0, 0, random.Random(0)
    for place in ("a step", "half a file", "a file without name", "a new file"):
        assert ended(child(lambda place=place: long_run_killed_in(place, path))) == -signal.SIGKILL  # type: ignore[misc]
        assert 0 < step_of(path) < steps
    before, over = step_of(path), False
    while kills < KILLS or not over:
        every = moments.choice([1, 1, 1, 3])
        process = child(lambda every=every: long_run(path, every))  # type: ignore[misc]
        if kills < KILLS:
            time.sleep(moments.uniform(0, window))
            os.kill(process, signal.SIGKILL)
        code, step = ended(process), step_of(path) if path.is_file() else 0
        assert code in (0, -signal.SIGKILL)
        over = code == 0
        if over:
            assert run_as_saved(path) == expected
            ends += 1
            window *= 0.7
            if kills < KILLS:  # again from the start
                path.unlink()
                step = 0
        elif before < step < steps:  # a kill counts if it came after some steps and before the last
            kills += 1
        elif step == before:
            window *= 1.25
        before = step
    print(kills, ends)


def test_a_run_killed_twenty_times_ends_as_if_it_never_was(tmp_path: Path) -> None:
    """In steps, in writing, wherever the moment falls: weights, moments, best weights, generator, history."""
    program = subprocess.run(
        [sys.executable, __file__, str(tmp_path)],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},  # a process that has seen a GPU cannot be forked
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert program.returncode == 0, program.stderr
    kills, ends = map(int, program.stdout.split())
    assert kills >= KILLS and ends >= 1


# Resumed after every step

RUNS: dict[str, tuple[Latent, Dataset, dict[str, Any]]] = {
    "plain": (BernoulliLatent(2), two_images(8), {}),
    "dynamic": (BernoulliLatent(2), replace(grey_images(), flips=0.0), {}),
    "flips": (BernoulliLatent(2), replace(two_images(8), flips=0.1), {}),
    "last batch left out": (BernoulliLatent(2), grey_images(19), {}),
    "categorical": (CategoricalLatent(2, 3), grey_images(), {"sample": "straight_through"}),
    "concrete": (CategoricalLatent(2, 3), two_images(8), {"kl": "concrete", "num_samples": 2}),
    "bfloat16": (BernoulliLatent(2), two_images(8), {"precision": "bfloat16"}),
    "double": (BernoulliLatent(2), grey_images().to("cpu", torch.float64), {}),
    "schedules": (
        BernoulliLatent(2),
        two_images(8),
        {
            "learning_rate": LearningRateSchedule(0.05, 7, warmup=3),
            "kl_weight": TemperatureSchedule.exponential(1.0, 0.5, 0.1),
        },
    ),
    "patience": (BernoulliLatent(2), two_images(8), {"patience": 1, "learning_rate": 5.0, "epochs": 6}),
}


@pytest.mark.parametrize(
    ("name", "stop"), [(name, ctrl_c) for name in RUNS] + [("flips", power_cut), ("patience", power_cut)]
)
def test_a_run_stopped_after_any_step_ends_as_if_it_never_was(
    tmp_path: Path, name: str, stop: Callable[[], None]
) -> None:
    """It goes on in another model, so that everything must come from the file."""
    latent, data, change = RUNS[name]
    config, dtype = replace(CONFIG, **change), data.train.images.dtype
    whole = small_vae(latent=latent).to(dtype)
    history = fit(whole, data, config, checkpoint=tmp_path / "whole")
    expected, steps = run_as_saved(tmp_path / "whole"), history.epochs[-1].step
    assert steps == (STEPS if name != "patience" else 4 * len(history.epochs) - 4)
    if name == "patience":
        assert steps < 24  # it stopped early, and what it returned to is not what it ended with
    every, sure = (None, 0) if stop is ctrl_c else (3, 3)
    for number in range(1, steps + 1):
        path = tmp_path / f"stopped {number}"
        with at_step(number, stop), pytest.raises((KeyboardInterrupt, PowerCut)):
            fit(small_vae(latent=latent).to(dtype), data, config, checkpoint=path, checkpoint_every=every)
        saved_at = {0, 4, 8, 12, 16, 20, *range(0, 24, 3)}
        assert step_of(path) == (number if not sure else max(step for step in saved_at if step < number))
        vae = small_vae(seed=9, latent=latent).to(dtype)
        again = fit(vae, data, config, checkpoint=path)
        assert run_as_saved(path) == expected
        assert torch.equal(weights(vae), weights(whole))
        assert again.epochs == history.epochs and again.machine == history.machine


def test_a_run_may_be_stopped_after_each_of_its_steps(tmp_path: Path) -> None:
    data, path = grey_images(), tmp_path / "run"
    fit(small_vae(), data, CONFIG, checkpoint=tmp_path / "whole")
    for _ in range(STEPS):
        with at_step(1, ctrl_c), pytest.raises(KeyboardInterrupt):
            fit(small_vae(), data, CONFIG, checkpoint=path)
    assert step_of(path) == STEPS
    assert run_as_saved(path) == run_as_saved(tmp_path / "whole")


def test_saving_changes_nothing(tmp_path: Path) -> None:
    ends = []
    for every in (None, 1, 3, 100):
        vae, path = small_vae(), tmp_path / str(every)
        fit(vae, grey_images(), CONFIG, checkpoint=path, checkpoint_every=every)
        ends.append((weights(vae).tolist(), run_as_saved(path)))
    vae = small_vae()
    fit(vae, grey_images(), CONFIG)
    assert all(end == ends[0] for end in ends)
    assert weights(vae).tolist() == ends[0][0]


def test_every_epoch_has_an_order_of_its_own() -> None:
    """A resumed run finds the order by the epoch's number; it must not find the same one each time."""
    vae, data = small_vae(), two_images(8)
    data = replace(data, train=Split(grey_images().train.images, data.train.labels))
    seen = images_of_each_loss(vae)
    fit(vae, data, CONFIG)
    batches = [x.tolist() for x in seen if len(x) == 4]
    first, second = (
        batches[0] + batches[1] + batches[2] + batches[3],
        batches[4] + batches[5] + batches[6] + batches[7],
    )
    assert sorted(first) == sorted(second) == sorted(data.train.images.tolist())
    assert first != second


def test_the_time_of_all_sessions_is_added_up(tmp_path: Path) -> None:
    path = tmp_path / "run"

    def slow_down_and_stop() -> None:
        time.sleep(0.2)
        ctrl_c()

    with at_step(2, slow_down_and_stop), pytest.raises(KeyboardInterrupt):
        fit(small_vae(), two_images(8), CONFIG, checkpoint=path)
    with at_step(2, lambda: time.sleep(0.1)):
        history = fit(small_vae(), two_images(8), CONFIG, checkpoint=path)
    assert history.seconds >= 0.3


# Ctrl-C


def test_ctrl_c_stops_after_the_step_and_says_how_to_go_on(tmp_path: Path) -> None:
    vae, path, before = small_vae(), tmp_path / "run", signal.getsignal(signal.SIGINT)
    message = f"stopped after step 3 of 8, saved to {path}; to go on, call fit again with the same arguments"
    with at_step(3, ctrl_c) as taken, pytest.raises(KeyboardInterrupt) as stopped:
        fit(vae, two_images(8), CONFIG, checkpoint=path)
    assert str(stopped.value) == message
    assert len(taken) == step_of(path) == 3
    assert torch.equal(weights(vae), torch.cat([t.flatten() for t in in_order(vae, path)]))
    assert signal.getsignal(signal.SIGINT) is before


def in_order(vae: VAE, path: Path) -> list[Tensor]:
    saved = storage.load(path).part("weights")
    return [saved[name] for name, _ in vae.named_parameters()]


def test_ctrl_c_without_a_checkpoint_says_that_nothing_is_saved() -> None:
    vae = small_vae()
    with at_step(5, ctrl_c) as taken, pytest.raises(KeyboardInterrupt, match="but in no checkpoint"):
        fit(vae, two_images(8), CONFIG)
    assert len(taken) == 5
    assert not torch.equal(weights(vae), weights(small_vae()))


def test_the_second_ctrl_c_stops_at_once(tmp_path: Path) -> None:
    path = tmp_path / "run"

    def twice() -> None:
        ctrl_c()
        ctrl_c()
        pytest.fail("the step went on")

    with at_step(3, twice) as taken, pytest.raises(KeyboardInterrupt) as stopped:
        fit(small_vae(), two_images(8), CONFIG, checkpoint=path, checkpoint_every=2)
    assert "stopped after step" not in str(stopped.value)
    assert len(taken) == 3
    assert step_of(path) == 2  # the last good checkpoint
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("end", ["done", "ctrl-c", "error"])
def test_a_handler_of_ones_own_is_back_afterwards(end: str) -> None:
    def own(*args: object) -> None:
        """What a program might have set."""

    signal.signal(signal.SIGINT, own)
    act = {"done": lambda: None, "ctrl-c": ctrl_c, "error": power_cut}[end]
    with at_step(2, act), suppress(KeyboardInterrupt, PowerCut):
        fit(small_vae(), two_images(8), CONFIG)
    assert signal.getsignal(signal.SIGINT) is own


def test_fit_works_in_a_thread(tmp_path: Path) -> None:
    """Elsewhere than in the main thread Python lets nobody set a handler."""
    path, ends = tmp_path / "run", []
    main = small_vae()
    fit(main, two_images(8), CONFIG)

    def work() -> None:
        vae = small_vae()
        fit(vae, two_images(8), CONFIG, checkpoint=path)
        ends.append(weights(vae))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert torch.equal(ends[0], weights(main))
    assert step_of(path) == STEPS


# A loss that is not finite


@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_bad_loss_names_step_and_term_and_keeps_the_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, term: str, bad: float
) -> None:
    data, path, inner, calls = grey_images(), tmp_path / "run", VAE.loss, itertools.count()

    def breaks(self: VAE, x: Tensor, *args: Any, **words: Any) -> Any:
        terms = inner(self, x, *args, **words)
        if len(x) == 4 and next(calls) == 5:  # the sixth training batch, step 5 from 0
            terms = terms._replace(**{term: getattr(terms, term) + bad})
        return terms

    fit(small_vae(), data, CONFIG, checkpoint=tmp_path / "whole")
    with at_step(5, power_cut), pytest.raises(PowerCut):  # what the file holds after four steps
        fit(small_vae(), data, CONFIG, checkpoint=tmp_path / "four", checkpoint_every=2)
    with monkeypatch.context() as broken:
        broken.setattr(VAE, "loss", breaks)
        with pytest.raises(FloatingPointError) as error:
            fit(small_vae(), data, CONFIG, checkpoint=path, checkpoint_every=2)
    assert f"became {bad} at step 5, in its {term} term; " in str(error.value)
    assert f"the last good checkpoint, of step 4, is {path}" in str(error.value)
    assert "lower learning rate" in str(error.value)
    assert run_as_saved(path) == run_as_saved(tmp_path / "four")
    fit(small_vae(), data, CONFIG, checkpoint=path)
    assert run_as_saved(path) == run_as_saved(tmp_path / "whole")


@pytest.mark.parametrize("every", [1, None])
def test_a_bad_gradient_of_a_good_loss_reaches_no_checkpoint(tmp_path: Path, every: int | None) -> None:
    """The weights are NaN after the third step, whose loss was finite; the loss shows it in the fourth."""
    vae, path, calls = small_vae(), tmp_path / "run", itertools.count()
    weight = next(vae.parameters())
    weight.register_hook(lambda gradient: gradient * math.nan if next(calls) == 2 else gradient)
    with pytest.raises(
        FloatingPointError, match=r"the weight .* became NaN.* before step 3|at step 3"
    ) as error:
        fit(vae, two_images(8), CONFIG, checkpoint=path, checkpoint_every=every)
    kept = 2 if every else 0
    assert f"the last good checkpoint, of step {kept}, is {path}" in str(error.value)
    assert step_of(path) == kept
    assert all(t.isfinite().all() for t in storage.load(path).part("weights").values())


def test_a_bad_loss_without_a_checkpoint_says_so() -> None:
    vae = small_vae()
    next(vae.parameters()).register_hook(lambda gradient: gradient * math.nan)
    with pytest.raises(FloatingPointError, match="no checkpoint was asked for"):
        fit(vae, two_images(8), CONFIG)


# A disk that refuses


def test_a_folder_that_cannot_be_written_is_told_before_any_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("kept")
    (tmp_path / "folder").mkdir()

    def read_only(path: Path, mode: str) -> Any:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    for path in (tmp_path / "file" / "run", tmp_path / "folder", tmp_path / "run"):
        vae = small_vae()
        if path.name == "run" and path.parent == tmp_path:
            monkeypatch.setattr("catvae_lib._files.open", read_only, raising=False)
        with at_step(0, power_cut) as taken, pytest.raises(OSError) as error:
            fit(vae, two_images(8), CONFIG, checkpoint=path)
        assert f"{path} cannot be written (" in str(error.value)
        assert "name another file" in str(error.value)
        assert taken == []
        assert torch.equal(weights(vae), weights(small_vae()))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.parametrize("real", [True, False])
def test_a_disk_that_fills_up_leaves_the_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real: bool
) -> None:
    """The kernel refuses beyond a size, or the disk is said to be full; with room the run goes on."""
    import resource

    data, path, limit = grey_images(), tmp_path / "run", resource.getrlimit(resource.RLIMIT_FSIZE)
    fit(small_vae(), data, CONFIG, checkpoint=tmp_path / "whole")
    before: list[bytes] = []

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fill() -> None:
        before.append(path.read_bytes())
        if real:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit[1]))
        else:
            monkeypatch.setattr(os, "fsync", full)

    try:
        with at_step(6, fill), pytest.raises(OSError) as error:
            fit(small_vae(), data, CONFIG, checkpoint=path, checkpoint_every=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    reason = "File too large" if real else "No space left on device"
    assert f"{path} cannot be written ({reason}); the last good checkpoint is intact" in str(error.value)
    assert "Free the disk, or name another file" in str(error.value)
    assert path.read_bytes() == before[0]
    assert step_of(path) == 5
    assert sorted(file.name for file in tmp_path.iterdir()) == ["run", "whole"]
    monkeypatch.undo()
    fit(small_vae(), data, CONFIG, checkpoint=path)
    assert run_as_saved(path) == run_as_saved(tmp_path / "whole")


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_a_damaged_checkpoint_is_refused_before_any_step(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "run"
    fit(small_vae(), two_images(8), CONFIG, checkpoint=path)
    path.write_bytes(path.read_bytes()[:-1] if content is None else content)
    found, vae = path.read_bytes(), small_vae()
    with pytest.raises(ValueError, match="start anew with resume=False"):
        fit(vae, two_images(8), CONFIG, checkpoint=path)
    assert path.read_bytes() == found
    assert torch.equal(weights(vae), weights(small_vae()))
    fit(vae, two_images(8), CONFIG, checkpoint=path, resume=False)  # as it says
    assert step_of(path) == STEPS


def without(held: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in held.items() if key != name}


def with_epoch(facts: dict[str, Any], **change: Any) -> dict[str, Any]:
    history = facts["history"]
    return facts | {"history": history | {"epochs": [{**history["epochs"][0], **change}]}}


INCOMPLETE: dict[str, tuple[Callable[..., Any], Callable[..., Any], str]] = {
    "no history": (lambda facts: without(facts, "history"), dict, "tells no history ('history')"),
    "no epochs": (lambda facts: facts | {"history": {"seconds": 1.0}}, dict, "tells no history ('epochs')"),
    "an epoch with a column more": (lambda facts: with_epoch(facts, loss=1.0), dict, "'loss'"),
    "an epoch that is none": (lambda facts: with_epoch(facts, multi_sample=None), dict, "multi_sample"),
    "NaN": (lambda facts: with_epoch(facts, single_sample=math.nan), dict, "single_sample must not be NaN"),
    "a step before the first": (lambda facts: facts | {"step": -1}, dict, "step must be at least 0"),
    "no weights": (dict, lambda held: without(held, "weights/encoder.bias"), "no weights/encoder.bias"),
    "longer moments": (dict, lambda held: held | {"first/encoder.bias": torch.zeros(99)}, "no first/encoder"),
    "other precision": (
        dict,
        lambda held: held | {"second/encoder.bias": held["second/encoder.bias"].half()},
        "no second/encoder.bias",
    ),
    "no generator": (dict, lambda held: without(held, "generator/state"), "no generator/state"),
}


@pytest.mark.parametrize("run", [None, 7, []])
def test_a_checkpoint_of_no_run_is_another_one(tmp_path: Path, run: object) -> None:
    path = tmp_path / "run"
    fit(small_vae(), two_images(8), CONFIG, checkpoint=path)
    saved = storage.load(path)
    storage.save(path, storage.Checkpoint(saved.tensors, saved.facts | {"run": run}))
    with pytest.raises(ValueError, match="belongs to another run: its epochs is None, here it is 2"):
        fit(small_vae(), two_images(8), CONFIG, checkpoint=path)


@pytest.mark.parametrize("name", INCOMPLETE)
def test_a_checkpoint_that_lacks_something_is_refused_before_any_step(tmp_path: Path, name: str) -> None:
    """Its checksum is right: only what it should hold is missing, as if another program had written it."""
    path, vae = tmp_path / "run", small_vae()
    fit(small_vae(), two_images(8), CONFIG, checkpoint=path)
    facts, tensors, reason = INCOMPLETE[name]
    saved = storage.load(path)
    storage.save(path, storage.Checkpoint(tensors(saved.tensors), facts(saved.facts)))
    found = path.read_bytes()
    with pytest.raises(ValueError, match=f"is damaged: .*{re.escape(reason)}.*start anew with resume=False"):
        fit(vae, two_images(8), CONFIG, checkpoint=path)
    assert path.read_bytes() == found
    assert torch.equal(weights(vae), weights(small_vae()))


# Another run's checkpoint

CHANGES: dict[str, Any] = {
    "epochs": 3,
    "batch_size": 8,
    "learning_rate": 0.06,
    "temperature": TemperatureSchedule.constant(0.7),
    "kl_weight": 0.5,
    "num_samples": 2,
    "sample": "straight_through",
    "kl": "sampled",
    "prior_temperature": 0.5,
    "multi_sample": True,
    "seed": 1,
    "precision": "bfloat16",
    "compile": False,
    "threads": 2,
    "patience": 3,
    "track_images": 4,
    "track_samples": 3,
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("finished") / "run"
    fit(small_vae(latent=BernoulliLatent(6)), two_images(8), CONFIG, checkpoint=path)
    return path


def refused(vae: VAE, data: Dataset, config: TrainConfig, path: Path, name: str) -> str:
    before, start = path.read_bytes(), weights(vae)
    with at_step(0, power_cut) as taken, pytest.raises(ValueError, match=f"its {name} is ") as error:
        fit(vae, data, config, checkpoint=path)
    assert str(path) in str(error.value)
    assert "name another file, or start anew with resume=False" in str(error.value)
    assert taken == [] and path.read_bytes() == before and torch.equal(weights(vae), start)
    return str(error.value)


def test_every_setting_that_differs_is_named(finished: Path) -> None:
    assert list(CHANGES) == [field.name for field in fields(TrainConfig)]
    concrete = replace(CONFIG, kl="concrete")
    path = finished.with_name("concrete")
    fit(small_vae(latent=BernoulliLatent(6)), two_images(8), concrete, checkpoint=path)
    for name, value in CHANGES.items():
        vae = small_vae(latent=BernoulliLatent(6))
        of_concrete = name in ("prior_temperature", "multi_sample")
        change = replace(concrete if of_concrete else CONFIG, **{name: value})
        refused(vae, two_images(8), change, path if of_concrete else finished, name)
    message = refused(vae, two_images(8), replace(CONFIG, seed=5), finished, "seed")
    assert "its seed is 0, here it is 5" in message


def test_a_model_that_differs_is_refused(finished: Path) -> None:
    data = two_images(8)
    refused(small_vae(latent=BernoulliLatent(5)), data, CONFIG, finished, "(model|latent)")
    double = small_vae(latent=BernoulliLatent(6)).double()
    refused(double, data.to("cpu", torch.float64), CONFIG, finished, "model")
    alike = small_vae(latent=CategoricalLatent(2, 3))  # weights of the same shapes
    assert "CategoricalLatent" in refused(alike, data, CONFIG, finished, "latent")
    gaussian = small_vae(latent=BernoulliLatent(6))
    gaussian.likelihood = "gaussian"
    refused(gaussian, data, CONFIG, finished, "likelihood")


def test_data_that_differ_are_refused(finished: Path) -> None:
    data = two_images(8)
    changed = data.train.images.clone()
    changed[3, 2] = 1 - changed[3, 2]
    others = {
        "data": [
            replace(data, name="others"),
            replace(data, flips=0.1),
            replace(data, binarization="dynamic"),
            replace(data, train=Split(data.train.images[:15], data.train.labels[:15])),
        ],
        "digest of the images": [
            replace(data, train=Split(changed, data.train.labels)),
            replace(data, train=Split(data.train.images.flip(0), data.train.labels)),  # in another order
            replace(data, validation=Split(1 - data.validation.images, data.validation.labels)),
        ],
    }
    for name, list_of_data in others.items():
        for other in list_of_data:
            refused(small_vae(latent=BernoulliLatent(6)), other, CONFIG, finished, name)


def test_a_frozen_weight_makes_another_run(finished: Path) -> None:
    vae = small_vae(latent=BernoulliLatent(6))
    next(vae.parameters()).requires_grad_(False)
    refused(vae, two_images(8), CONFIG, finished, "trained weights")


def test_what_a_killed_write_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    others = [tmp_path / name for name in (".run", "run.1", ".running.1", ".run2.1")]
    for path in [*others, tmp_path / ".run.123"]:
        path.write_bytes(b"")
    fit(small_vae(), two_images(8), CONFIG, checkpoint=tmp_path / "run")
    assert set(tmp_path.iterdir()) == {*others, tmp_path / "run"}


@pytest.mark.parametrize("seed", [0, 2**31, 2**62])
def test_every_seed_has_an_order_for_every_epoch(seed: int) -> None:
    images = torch.zeros(50, 1)
    orders = [tuple(shuffled(images, seed, epoch).tolist()) for epoch in range(3)]
    assert len(set(orders)) == 3
    assert all(sorted(order) == list(range(50)) for order in orders)


def test_another_device_is_refused(finished: Path, tmp_path: Path) -> None:
    """A generator of a GPU does not go on on a CPU. The file is made to say that it comes from one."""
    saved = storage.load(finished)
    saved.facts["run"]["device"] = "cuda"
    storage.save(tmp_path / "run", saved)
    vae = small_vae(latent=BernoulliLatent(6))
    message = refused(vae, two_images(8), CONFIG, tmp_path / "run", "device")
    assert "its device is 'cuda', here it is 'cpu'" in message


def test_resume_false_starts_anew_and_replaces_the_file(tmp_path: Path) -> None:
    path, other = tmp_path / "run", replace(CONFIG, seed=4)
    fit(small_vae(), two_images(8), CONFIG, checkpoint=path)
    expected = small_vae()
    fit(expected, two_images(8), other, checkpoint=tmp_path / "other")
    vae = small_vae()
    with at_step(0, power_cut) as taken:
        fit(vae, two_images(8), other, checkpoint=path, resume=False)
    assert len(taken) == STEPS
    assert torch.equal(weights(vae), weights(expected))
    assert run_as_saved(path) == run_as_saved(tmp_path / "other")


def test_a_finished_run_gives_its_weights_and_history_and_takes_no_step(tmp_path: Path) -> None:
    path, whole, writer = tmp_path / "run", small_vae(), Log()
    history = fit(whole, two_images(8), CONFIG, checkpoint=path)
    before, vae = path.read_bytes(), small_vae(seed=9)
    with at_step(0, power_cut) as taken:
        again = fit(vae, two_images(8), CONFIG, checkpoint=path, writer=writer)
    assert taken == [] and writer.entries == []
    assert asdict(again) == asdict(history)
    assert torch.equal(weights(vae), weights(whole))
    assert path.read_bytes() == before


@pytest.mark.parametrize(("every", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError)])
def test_a_bad_interval_is_refused(tmp_path: Path, every: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="checkpoint_every"):
        fit(small_vae(), two_images(8), CONFIG, checkpoint=tmp_path / "run", checkpoint_every=every)
    assert list(tmp_path.iterdir()) == []


# Early stopping

SCRIPTS: dict[str, tuple[int, list[float], int, int]] = {  # patience, bounds by epoch, last epoch, best epoch
    "worse twice": (2, [-10, -9, -8, -8.5, -8.1, -1, -1], 4, 2),
    "better in time": (2, [-10, -9, -9.5, -8, -8.5, -8.2, -1], 5, 3),
    "no better is not better": (2, [-10, -8, -8, -8, -1, -1, -1], 3, 1),
    "worse at once": (1, [-10, -11, -1, -1, -1, -1, -1], 1, 0),
    "never worse": (1, [-10, -9, -8, -7, -6, -5, -4], 6, 6),
    "worse at the end": (3, [-10, -9, -8, -7, -6, -6.5, -6.4], 6, 4),
    "more patience than epochs": (50, [-10, -4, -8, -7, -6, -6.5, -6.4], 6, 1),
}


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize("stops", [(), (3, 3, 3, 3), (4, 4, 4, 4)])
def test_patience_stops_at_the_epoch_and_returns_to_the_best_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, stops: tuple[int, ...]
) -> None:
    """The bounds follow a script; the run may be stopped after some steps, and again after some more."""
    patience, script, last, best = SCRIPTS[name]
    config = replace(CONFIG, epochs=6, patience=patience, track_samples=7)
    left, seen = list(script), []

    def bound(self: VAE, x: Tensor, num_samples: int, **words: Any) -> Tensor:
        if num_samples == 7:
            seen.append(weights(self))
            return x.new_full((len(x),), left.pop(0))
        return x.new_full((len(x),), -0.5)  # the single-sample bound is not what counts

    monkeypatch.setattr(VAE, "bound", bound)
    path = tmp_path / "run"
    for number in stops:
        if not path.is_file() or step_of(path) + number <= 4 * last:
            with at_step(number, ctrl_c), pytest.raises(KeyboardInterrupt):
                fit(small_vae(seed=9) if seen else small_vae(), two_images(8), config, checkpoint=path)
    vae = small_vae(seed=9) if seen else small_vae()
    history = fit(vae, two_images(8), config, checkpoint=path)
    assert history.columns()["epoch"] == list(range(last + 1))
    assert history.columns()["multi_sample"] == pytest.approx(script[: last + 1])
    assert len(seen) == last + 1 and not torch.equal(seen[best], seen[best - 1])
    assert torch.equal(weights(vae), seen[best])
    again = small_vae(seed=8)
    assert fit(again, two_images(8), config, checkpoint=path).epochs == history.epochs
    assert torch.equal(weights(again), seen[best])


def test_without_patience_the_last_weights_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    left, seen = [-1.0, -2.0, -3.0], []

    def bound(self: VAE, x: Tensor, num_samples: int, **words: Any) -> Tensor:
        if num_samples == 7:
            seen.append(weights(self))
            return x.new_full((len(x),), left.pop(0))
        return x.new_zeros(len(x))

    monkeypatch.setattr(VAE, "bound", bound)
    vae = small_vae()
    fit(vae, two_images(8), replace(CONFIG, track_samples=7))
    assert torch.equal(weights(vae), seen[2])


# The writer


class Log:
    def __init__(self) -> None:
        self.entries: list[tuple[str, float, int]] = []

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        self.entries.append((tag, scalar_value, global_step))

    def of(self, tag: str) -> dict[int, float]:
        return {step: value for name, value, step in self.entries if name == tag}


TRACKED = ("relaxed_objective", "single_sample", "multi_sample")


def means(records: list[Tensor], size: int) -> dict[str, dict[int, float]]:
    """The two terms of the loss, each the mean over so many steps, by the step that follows."""
    parts = {at + size: torch.stack(records[at : at + size]) for at in range(0, len(records), size)}
    return {
        f"train/{term}": {step: float(part[:, i].double().mean()) for step, part in parts.items()}
        for i, term in enumerate(TERMS)
    }


@pytest.mark.parametrize("every", [None, 2])
def test_the_writer_gets_the_three_numbers_and_the_two_terms(tmp_path: Path, every: int | None) -> None:
    log, path = Log(), tmp_path / "run"
    with at_step(0, power_cut) as records:
        history = fit(small_vae(), grey_images(), CONFIG, checkpoint=path, checkpoint_every=every, writer=log)
    columns = history.columns()
    for name in TRACKED:
        assert log.of(f"validation/{name}") == dict(zip(columns["step"], columns[name], strict=True))
    for tag, expected in means(records, every or 4).items():
        assert log.of(tag) == pytest.approx(expected, rel=1e-6)  # four float32 numbers added
    assert len(log.entries) == 3 * 3 + 2 * (STEPS // (every or 4))
    assert all(type(value) is float and type(step) is int for _, value, step in log.entries)


def test_a_resumed_run_logs_every_step_once(tmp_path: Path) -> None:
    whole, log = Log(), Log()
    fit(small_vae(), grey_images(), CONFIG, writer=whole)
    for number in (4, 4):
        with suppress(KeyboardInterrupt), at_step(number, ctrl_c):
            fit(small_vae(), grey_images(), CONFIG, checkpoint=tmp_path / "run", writer=log)
    assert log.entries == whole.entries


def test_tensorboard_shows_what_the_history_holds(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path)) as writer, at_step(0, power_cut) as records:
        history = fit(small_vae(), grey_images(), CONFIG, writer=writer)
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    columns = history.columns()
    expected = {f"validation/{n}": dict(zip(columns["step"], columns[n], strict=True)) for n in TRACKED}
    expected |= means(records, 4)
    assert sorted(events.Tags()["scalars"]) == sorted(expected)
    for tag, values in expected.items():
        found = {event.step: event.value for event in events.Scalars(tag)}
        assert found == pytest.approx(values, rel=2e-7 if tag in columns else 1e-6)  # float32 in the file


# Eager and compiled

HALF_OF_BFLOAT16 = 2.0**-9  # its rounding; half the distance of neighbours, relative


def both_ways(latent: Latent, data: Dataset, config: TrainConfig) -> tuple[VAE, VAE, list[History]]:
    dtype = data.train.images.dtype
    models = [small_vae(latent=latent).to(dtype) for _ in range(2)]
    histories = [
        fit(vae, data, replace(config, compile=way)) for vae, way in zip(models, (False, True), strict=True)
    ]
    assert [history.machine["compiled"] for history in histories] == [False, True]
    return models[0], models[1], histories


@pytest.mark.parametrize("latent", [BernoulliLatent(2), CategoricalLatent(2, 3)])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("kl", ["analytic", "concrete"])
@pytest.mark.parametrize("sample", ["relaxed", "straight_through"])
def test_the_two_forms_of_a_step_agree(
    monkeypatch: pytest.MonkeyPatch, latent: Latent, precision: str, kl: str, sample: str
) -> None:
    """The pure function as it is, without a compiler: in float64 where the products allow it.

    Adam divides the gradient by its size, so a relative error of the gradient is one of the step: eight steps
    of at most 0.05 with a few roundings each.
    """
    monkeypatch.setattr(torch, "compile", lambda function, **words: function)
    data = grey_images() if precision == "bfloat16" else grey_images().to("cpu", torch.float64)
    config = replace(CONFIG, kl=kl, sample=sample, precision=precision, num_samples=2, kl_weight=0.7)
    eager, pure, histories = both_ways(latent, data, config)
    moved = float((weights(eager) - weights(small_vae(latent=latent)).to(weights(eager).dtype)).abs().max())
    assert moved > 0.1
    rounding = 1e-13 if precision == "float32" else HALF_OF_BFLOAT16
    assert float((weights(eager) - weights(pure)).abs().max()) < STEPS * 0.05 * 4 * rounding
    assert [h.columns()["step"] for h in histories] == [[0, 4, 8]] * 2


def test_two_forms_agree_with_all_that_moves_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda function, **words: function)
    latent, data, change = RUNS["schedules"]
    config = replace(CONFIG, **change)
    eager, pure, _ = both_ways(latent, data.to("cpu", torch.float64), config)
    assert float((weights(eager) - weights(pure)).abs().max()) < 1e-13


# Inductor imports a part of torch that warns of another part of torch.
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
def test_a_compiled_run_agrees_with_an_eager_one_and_resumes_to_the_last_bit(tmp_path: Path) -> None:
    """With a real compiler. Float32 rounds to 6e-8; a gradient near 0 may lose two digits more."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    data, path = grey_images(), tmp_path / "run"
    config = replace(CONFIG, compile=True)
    eager, whole = small_vae(), small_vae()
    fit(eager, data, replace(CONFIG, compile=False))
    history = fit(whole, data, config, checkpoint=tmp_path / "whole")
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1  # compiled, once, and in one piece
    assert history.machine["compiled"]
    assert float((weights(eager) - weights(whole)).abs().max()) < STEPS * 0.05 * 100 * 6e-8
    with at_step(3, power_cut, PureStep), pytest.raises(PowerCut):
        fit(small_vae(), data, config, checkpoint=path, checkpoint_every=1)
    with at_step(2, ctrl_c, PureStep), pytest.raises(KeyboardInterrupt):
        fit(small_vae(seed=9), data, config, checkpoint=path)
    assert step_of(path) == 4  # the third step was lost with the power, and is taken again
    vae = small_vae(seed=9)
    fit(vae, data, config, checkpoint=path)
    assert torch.equal(weights(vae), weights(whole))
    assert run_as_saved(path) == run_as_saved(tmp_path / "whole")


if __name__ == "__main__":
    torch.set_num_threads(1)
    kill_and_resume(Path(sys.argv[1]))
