"""Training: one loop for CPU and GPU (fit), many models at once (fit_many), and what they are told."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from catvae_lib import _validate
from catvae_lib import checkpoint as storage
from catvae_lib._config import Epoch, History, TrainConfig
from catvae_lib._loop import (
    batch,
    check,
    check_finite,
    check_tensors,
    check_weights,
    digest,
    is_pure,
    named,
    settings,
    shuffled,
    steps_an_epoch,
    threads,
    told_history,
    track,
    try_estimator,
)
from catvae_lib._many import fit_many
from catvae_lib._step import TERMS, EagerStep, Moments, PureStep, told, trained
from catvae_lib.data import Dataset
from catvae_lib.estimators import Estimator
from catvae_lib.schedules import LearningRateSchedule, TemperatureSchedule
from catvae_lib.vae import VAE

__all__ = [
    "Epoch",
    "History",
    "LearningRateSchedule",
    "TemperatureSchedule",
    "TrainConfig",
    "fit",
    "fit_many",
]


class Writer(Protocol):
    """What `fit` asks of a `torch.utils.tensorboard.SummaryWriter`."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> Any:
        """Log a number at a step."""


def fit(
    vae: VAE,
    data: Dataset,
    config: TrainConfig,
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int | None = None,
    resume: bool = True,
    writer: Writer | None = None,
    estimator: Estimator | None = None,
) -> History:
    """Train a VAE on a dataset of the VAE's device and precision.

    Adam on shuffled batches; a last batch that is not full is left out. Same seed and same start, same result
    on a CPU. With a checkpoint a run that was killed at any moment goes on where the file was written, and on
    a CPU ends with the very weights of an uninterrupted one. Ctrl-C stops after the step and saves. A run is
    its configuration, threads included: to train longer, start another.

    Args:
        vae: The model; its weights change in place.
        data: The dataset; training and validation images are used.
        config: What to do.
        checkpoint: File to keep the run in; None keeps nothing.
        checkpoint_every: Save after so many steps of an epoch, too; None saves after each epoch.
        resume: Go on from the file if it is there. If False, start anew; the file is replaced.
        writer: A TensorBoard writer that gets the three numbers and the two terms of the loss.
        estimator: One of `catvae_lib.estimators`, in place of `config.sample`, on the device of the model. It
            gets `config.num_samples` noise draws an image. With one that learns the step is not compiled.

    Returns:
        The history, one entry before training and one after each epoch.

    Raises:
        ValueError: If the data do not fit the model, lie on another device, or hold fewer images than one
            batch; if the checkpoint is damaged or belongs to another run; or if an estimator that cannot be
            compiled comes with `compile=True`, or one that learns with a checkpoint, which does not hold it.
        FloatingPointError: If the loss became NaN or infinite. It names the step and the term; the last good
            checkpoint is kept, and the weights in memory are of no use.
        OSError: If a checkpoint cannot be written; the last good one is intact.
        KeyboardInterrupt: After Ctrl-C, when the step is done and the checkpoint is written.
    """
    _validate.instances(vae=(vae, VAE), data=(data, Dataset), config=(config, TrainConfig))
    if checkpoint_every is not None:
        _validate.count("checkpoint_every", checkpoint_every)
    if estimator is not None:
        _check_estimator(estimator, config, checkpoint)
    if checkpoint is not None:
        _validate.path("checkpoint", checkpoint)
        storage.clean(checkpoint)
    run = _Run(vae, data, config, Path(checkpoint) if checkpoint is not None else None, writer, estimator)
    with threads(config.threads), _interruptible() as asked:
        if run.path is not None and resume and run.path.is_file():
            run.restore(storage.load(run.path))
        else:
            run.begin()
        quiet = os.environ.get("TQDM_DISABLE") == "1"  # which tqdm's notebook bar does not read itself
        with tqdm(total=run.steps, initial=run.step, desc="training", unit="step", disable=quiet) as bar:
            while not run.finished():
                run.advance(run.until(checkpoint_every), bar, asked)
    return run.history


def _check_estimator(estimator: Estimator, config: TrainConfig, checkpoint: object) -> None:
    _validate.function("estimator", estimator)
    if config.compile and not is_pure(estimator):
        raise ValueError(f"config.compile must be None or False with {estimator}, got True")
    if checkpoint is not None and isinstance(estimator, nn.Module):
        name = type(estimator).__name__
        raise ValueError(f"checkpoint must be None: it would not hold what {name} learned, got {checkpoint}")


class _Run:
    """A run as it stands: model, moments, generator, step and history; everything a checkpoint holds."""

    def __init__(
        self,
        vae: VAE,
        data: Dataset,
        config: TrainConfig,
        path: Path | None,
        writer: Writer | None,
        estimator: Estimator | None,
    ) -> None:
        self.vae, self.data, self.config, self.path, self.writer = vae, data, config, path, writer
        self.estimator = estimator
        images = data.train.images
        self.generator = torch.Generator(images.device).manual_seed(config.seed)
        check(vae, data, config)
        self.per_epoch = steps_an_epoch(data, config)
        self.steps, self.step = config.epochs * self.per_epoch, 0
        if estimator is not None:
            try_estimator(vae, data, config, self.steps, estimator)
        self.history = History()
        self.moments = Moments.zero(trained(vae))
        self.identity = self._identity() if path is not None else {}
        self.best: dict[str, Tensor] = {}  # weights of the best epoch, where patience asks for them

    def begin(self) -> None:
        """Evaluate the model as it is, and save it: a folder that cannot be written is told at once."""
        self._start()
        self._track()
        self.save()

    def _start(self) -> None:
        """Make the step function for the weights and moments as they are."""
        whole = self.estimator is None or is_pure(self.estimator)
        config = self.config if whole else replace(self.config, compile=False)
        dtype, compiled, self.history.machine = settings(self.vae, config)
        self.take_step: EagerStep | PureStep
        if compiled:
            weights = {name: weight.detach() for name, weight in trained(self.vae).items()}
            self.take_step = PureStep(
                self.vae, config, dtype, weights, self.moments, compiled=True, estimator=self.estimator
            )
        else:
            self.take_step = EagerStep(self.vae, self.config, dtype, self.moments, self.step, self.estimator)

    def finished(self) -> bool:
        """Whether all steps are done, or the bound has not improved for too long."""
        scores = [epoch.multi_sample for epoch in self.history.epochs]
        patience = self.config.patience
        stopped = patience is not None and len(scores) - 1 - scores.index(max(scores)) >= patience
        return self.step >= self.steps or (stopped and self.step % self.per_epoch == 0)

    def until(self, every: int | None) -> int:
        """Return the step at which the run is next looked at and saved."""
        end_of_epoch = (self.step // self.per_epoch + 1) * self.per_epoch
        return end_of_epoch if every is None else min(end_of_epoch, (self.step // every + 1) * every)

    def advance(self, until: int, bar: tqdm, asked: threading.Event) -> None:
        """Take steps, check their losses, and save; stop after the step if Ctrl-C asks for it."""
        since = time.perf_counter()
        self._take_steps(until, bar, asked)
        if self.step % self.per_epoch == 0:
            self._track()
            latest = self.history.epochs[-1]
            bar.set_postfix(
                relaxed=f"{latest.relaxed_objective:.1f}",
                single=f"{latest.single_sample:.1f}",
                multi=f"{latest.multi_sample:.1f}",
            )
        self.history.seconds += time.perf_counter() - since
        if self.finished() and self.best:
            self.vae.load_state_dict(self.best)
        self.save()
        if asked.is_set():
            kept = f"saved to {self.path}" if self.path else "kept in the model, but in no checkpoint"
            ahead = "to go on, call fit again with the same arguments" if not self.finished() else "all done"
            raise KeyboardInterrupt(f"stopped after step {self.step} of {self.steps}, {kept}; {ahead}")

    def _take_steps(self, until: int, bar: tqdm, asked: threading.Event) -> None:
        """Take the steps; the losses are recorded on the device and read once, at the end."""
        images, size = self.data.train.images, self.config.batch_size
        order = shuffled(images, self.config.seed, self.step // self.per_epoch)
        steps = range(self.step, until)
        numbers: Any = told(self.config, steps, self.steps)
        if isinstance(self.take_step, PureStep):
            numbers = torch.tensor(numbers, dtype=images.dtype).to(images.device)  # in one transfer
        record = images.new_zeros(len(steps), len(TERMS))
        for row, step in enumerate(steps):
            first = step % self.per_epoch * size
            with _validate.trusted():  # the images were checked before the loop
                x, target = batch(self.data, order[first : first + size], self.generator)
                noise = self.vae.noise(x, self.config.num_samples, generator=self.generator)
            record[row] = self.take_step(x, target, noise, numbers[row])
            bar.update()
            if asked.is_set():
                break
        done = row + 1
        check_finite(record[:done], self.step, self._where())
        check_weights(trained(self.vae), self.step + done, self._where())
        if self.writer is not None:
            for term, mean in zip(TERMS, record[:done].mean(0).tolist(), strict=True):
                self.writer.add_scalar(f"train/{term}", mean, self.step + done)
        self.step += done

    def _track(self) -> None:
        """Evaluate the three numbers, log them, and remember the best weights if patience asks for it."""
        epoch = track(self.vae, self.data, self.config, self.step)
        if self.config.patience is not None and all(
            epoch.multi_sample > earlier.multi_sample for earlier in self.history.epochs
        ):
            self.best = {name: tensor.clone() for name, tensor in self.vae.state_dict().items()}
        self.history.epochs.append(epoch)
        if self.writer is not None:
            for name in ("relaxed_objective", "single_sample", "multi_sample"):
                self.writer.add_scalar(f"validation/{name}", getattr(epoch, name), self.step)

    def save(self) -> None:
        """Write the checkpoint, if one is wanted."""
        if self.path is not None:
            facts = {"run": self.identity, "step": self.step, "history": asdict(self.history)}
            storage.save(self.path, storage.Checkpoint(self._tensors(), facts))

    def _tensors(self) -> dict[str, Tensor]:
        parts = {
            "weights": self.vae.state_dict(),
            "first": self.moments.first,
            "second": self.moments.second,
            "best": self.best,
            "generator": {"state": self.generator.get_state()},
        }
        return {f"{part}/{name}": tensor for part, held in parts.items() for name, tensor in held.items()}

    def restore(self, saved: storage.Checkpoint) -> None:
        """Go on from a checkpoint of this very run, or say how it differs."""
        found = saved.facts.get("run")
        found = found if isinstance(found, dict) else {}
        for name in self.identity | found:
            if found.get(name) != self.identity.get(name):
                raise ValueError(
                    f"{self.path} belongs to another run: its {name} is {found.get(name)!r}, here it is "
                    f"{self.identity.get(name)!r}; name another file, or start anew with resume=False"
                )
        check_tensors(saved.tensors, self._tensors(), self.path)  # before anything of this run is changed
        self.history, self.step = told_history(saved.facts, self.path)
        for name, tensor in self._tensors().items():  # they share memory with the model and the moments
            tensor.copy_(saved.tensors[name])
        self.best = saved.part("best")
        self.generator.set_state(saved.part("generator")["state"])
        self._start()

    def _identity(self) -> dict[str, Any]:
        """What must agree for a checkpoint to be of this run, as JSON gives it back."""
        images = self.data.train.images
        facts = {
            **asdict(self.config),
            "device": images.device.type,
            "latent": repr(self.vae.latent),
            "likelihood": self.vae.likelihood,
            "prior": self.vae.prior,
            "networks": repr(self.vae),
            "estimator": None if self.estimator is None else named(self.estimator),
            "model": {name: [str(t.dtype), *t.shape] for name, t in self.vae.state_dict().items()},
            "trained weights": sorted(trained(self.vae)),
            "data": [self.data.name, self.data.binarization, self.data.flips, *images.shape],
            "digest of the images": [digest(images), digest(self.data.validation.images)],
        }
        back: dict[str, Any] = json.loads(json.dumps(facts))
        return back

    def _where(self) -> str:
        kept = f"the last good checkpoint, of step {self.step}, is {self.path}" if self.path else ""
        return kept or "no checkpoint was asked for"


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into an event that the loop looks at; the second one stops at once."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # elsewhere Python delivers no signals
        yield asked
        return

    def ask(signum: int, frame: FrameType | None) -> None:
        asked.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, ask) or signal.SIG_DFL  # None if it was not set from Python
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
