"""The parts of the training loop that one model (`fit`) and many (`fit_many`) share."""

import functools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from catvae_lib import _precision, _validate
from catvae_lib._config import Epoch, History, TrainConfig
from catvae_lib._step import TERMS, running_means
from catvae_lib.checkpoint import REMEDY
from catvae_lib.data import Dataset, binarize, flip_pixels
from catvae_lib.estimators import Estimator
from catvae_lib.vae import VAE


def settings(vae: VAE, config: TrainConfig) -> tuple[torch.dtype, bool, dict[str, Any]]:
    """Return the precision of the products, whether the step is compiled, and both as a report."""
    weight = next(vae.parameters())
    dtype = _precision.of_products(config.precision, weight)
    compiled = config.compile
    if compiled is None:
        compiled = weight.is_cuda and not running_means(vae)
    report = {
        "device": weight.device.type,
        "threads": config.threads,
        "precision": str(dtype).removeprefix("torch."),
        "compiled": compiled,
    }
    return dtype, compiled, report


def steps_an_epoch(data: Dataset, config: TrainConfig) -> int:
    """Return the number of full batches in an epoch."""
    return len(data.train.images) // config.batch_size


@torch.no_grad()
def track(vae: VAE, data: Dataset, config: TrainConfig, step: int) -> Epoch:
    """Evaluate the three numbers on the same validation images, with the same noise after every epoch."""
    x = data.validation.images[: config.track_images]
    per_epoch = steps_an_epoch(data, config)
    generator = torch.Generator(x.device).manual_seed(config.seed + 1)
    temperature, *_ = config.numbers(step, config.epochs * per_epoch)
    noise = vae.noise(x, generator=generator)
    kl = "analytic" if config.kl != "concrete" and vae.latent.analytic else "concrete"
    loss = vae.loss(x, noise, temperature, kl=kl, prior_temperature=config.prior_temperature)
    relaxed = -loss.total.mean()
    single = vae.bound(x, 1, generator=generator).mean()
    multi = vae.bound(x, config.track_samples, generator=generator).mean()
    return Epoch(step // per_epoch, step, temperature, float(relaxed), float(single), float(multi))


def digest(images: Tensor) -> float:
    """Return a number that tells images (N, D) apart by their values and by their order."""
    row, column = (torch.arange(1.0, n + 1, device=images.device) for n in images.shape)
    return float((images.float() @ column).double() @ row.double())


def shuffled(images: Tensor, seed: int, epoch: int) -> Tensor:
    """Return the order of the images in an epoch, from its number alone, so that a resumed run finds it."""
    generator = torch.Generator(images.device).manual_seed((seed * 1_000_003 + epoch) % 2**63)
    return torch.randperm(len(images), generator=generator, device=images.device)


def batch(data: Dataset, rows: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return what the encoder sees and what is to be reconstructed, (B, D) each."""
    target = data.train.images.index_select(0, rows)
    if data.binarization == "dynamic":
        target = binarize(target, generator=generator)
    x = flip_pixels(target, data.flips, generator=generator) if data.flips else target
    return x, target


def check_finite(record: Tensor, step: int, kept: str) -> None:
    """Stop if a loss (n, 2) of the steps from `step` on is NaN or infinite, and name the first."""
    for row, terms in enumerate(record.tolist()):
        for name, value in zip(TERMS, terms, strict=True):
            if not math.isfinite(value):
                raise FloatingPointError(
                    f"the training loss became {value} at step {step + row}, in its {name} term; {kept}. A "
                    "lower learning rate or a higher temperature may help"
                )


def check_weights(weights: dict[str, Tensor], step: int, kept: str) -> None:
    """Stop if a weight is NaN or infinite, which the loss shows only a step later: no checkpoint holds it."""
    for name, weight in weights.items():
        if not bool(weight.isfinite().all()):
            raise FloatingPointError(
                f"the weight {name} became NaN or infinite before step {step}, though no loss did; {kept}. "
                "A lower learning rate or a higher temperature may help"
            )


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Use so many threads for an operation on the CPU, and afterwards as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def check(vae: VAE, data: Dataset, config: TrainConfig) -> None:
    """Refuse data that do not fit, before any step."""
    images = data.train.images
    weight = next(vae.parameters())
    if images.device != weight.device:
        raise ValueError(f"data must lie on the model's device {weight.device}, got {images.device}")
    if len(images) < config.batch_size:
        raise ValueError(
            f"batch_size must be at most the {len(images)} training images, got {config.batch_size}"
        )
    if len(data.validation.images) == 0:
        raise ValueError("data.validation must hold an image, got none")
    _validate.inside_unit_interval("data.train.images", images)
    one = images[:1]
    kl = "analytic" if vae.latent.analytic else "concrete"
    vae.loss(one, vae.noise(one, generator=torch.Generator(one.device)), kl=kl)


def is_pure(estimator: Estimator) -> bool:
    """Whether a step with it is a pure function of which `torch.func` takes the gradient."""
    return not isinstance(estimator, nn.Module)


def named(estimator: Any) -> str:
    """Return a name that is the same in every process, and of this estimator only."""
    if isinstance(estimator, functools.partial):
        return f"{named(estimator.func)}{estimator.args}{sorted(estimator.keywords.items())}"
    name = f"{estimator.__module__}.{getattr(estimator, '__qualname__', '<>')}"
    if "<" in name or isinstance(getattr(estimator, "__self__", None), nn.Module):
        raise ValueError(
            f"checkpoint must be None with an estimator that has no name of its own, got {estimator!r}"
        )
    return name


def try_estimator(vae: VAE, data: Dataset, config: TrainConfig, steps: int, estimator: Any) -> None:
    """Refuse an estimator that does not fit, before any step and any file; it learns nothing here."""
    one = data.train.images[:1]
    noise = vae.noise(one, config.num_samples, generator=torch.Generator(one.device))
    trial = deepcopy(estimator).eval() if isinstance(estimator, nn.Module) else estimator
    try:
        vae.loss(one, noise, config.numbers(0, steps)[0], **config.words(trial))
    except (TypeError, ValueError) as error:
        told = f"estimator does not fit, with config.num_samples = {config.num_samples}: {error}"
        raise type(error)(told) from error


def check_tensors(found: dict[str, Tensor], wanted: dict[str, Tensor], path: Path | None) -> None:
    """Refuse a checkpoint that lacks a tensor of this run."""
    for name, tensor in wanted.items():
        held = found.get(name)
        if held is None or (held.shape, held.dtype) != (tensor.shape, tensor.dtype):
            raise ValueError(f"{path} is damaged: it holds no {name} of this run; {REMEDY}")


def told_history(facts: dict[str, Any], path: Path | None) -> tuple[History, int]:
    """Return the history and the step that a checkpoint tells, or refuse it."""
    try:
        step, history = facts["step"], facts["history"]
        _validate.count("step", step, minimum=0)
        _validate.number("seconds", history["seconds"])
        epochs = [Epoch(**epoch) for epoch in history["epochs"]]
        for name, values in History(epochs).columns().items():
            for value in values:
                _validate.number(name, value)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged: it tells no history ({error}); {REMEDY}") from error
    return History(epochs, seconds=history["seconds"]), step
