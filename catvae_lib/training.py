"""Training: what to do (TrainConfig), one plain loop (fit), and what happened (History)."""

import math
import os
from dataclasses import asdict, dataclass, field, fields

import torch
from torch import Tensor
from tqdm.auto import tqdm

from catvae_lib import _validate
from catvae_lib.data import Dataset, binarize
from catvae_lib.vae import VAE


@dataclass(frozen=True)
class TemperatureSchedule:
    r"""The temperature at step t: $\max(\lambda_\text{floor}, \lambda_\text{start} e^{-rt})$.

    With start 1 it is the schedule of Jang et al. (2016).

    Args:
        start: Temperature at step 0.
        floor: Smallest temperature.
        rate: Decay r per step; 0 keeps the start.
        every: The temperature moves only every so many steps.

    Raises:
        ValueError: If start or floor is not positive, the floor exceeds the start, the rate is negative or
            every is below 1.

    Example:
        >>> schedule = TemperatureSchedule.exponential(start=1.0, floor=0.5, rate=3e-5)
        >>> schedule(0), schedule(23_104) > 0.5, schedule(23_105)
        (1.0, True, 0.5)
    """

    start: float = 1.0
    floor: float = 1.0
    rate: float = 0.0
    every: int = 1

    def __post_init__(self) -> None:
        _validate.positive("start", self.start)
        _validate.positive("floor", self.floor)
        _validate.count("every", self.every)
        if self.floor > self.start:
            raise ValueError(f"floor must not exceed start {self.start}, got {self.floor}")
        if not 0 <= self.rate < math.inf:
            raise ValueError(f"rate must be at least 0 and finite, got {self.rate}")

    @classmethod
    def constant(cls, temperature: float) -> "TemperatureSchedule":
        """Make a schedule that never moves."""
        return cls(start=temperature, floor=temperature)

    @classmethod
    def exponential(cls, start: float, floor: float, rate: float, every: int = 1) -> "TemperatureSchedule":
        """Make a schedule that falls by exp(-rate) a step until it reaches the floor."""
        return cls(start, floor, rate, every)

    @classmethod
    def reaching_floor(cls, start: float, floor: float, steps: int) -> "TemperatureSchedule":
        """Make an exponential schedule that reaches its floor after so many steps: annealing that fits."""
        _validate.count("steps", steps)
        _validate.positive("start", start)
        _validate.positive("floor", floor)
        return cls(start, floor, math.log(start / floor) / steps)

    def __call__(self, step: int) -> float:
        """Return the temperature at a step, counted from 0."""
        return max(self.floor, self.start * math.exp(-self.rate * (step - step % self.every)))


@dataclass(frozen=True)
class TrainConfig:
    """What one training run does.

    Args:
        epochs: Passes over the training images.
        batch_size: Images a step.
        learning_rate: Adam's learning rate at the start; it falls to 0 along half a cosine (Loshchilov and
            Hutter 2017).
        temperature: Temperature by step.
        num_samples: L, codes for each image in the training loss.
        sample: "relaxed" or "straight_through".
        kl: "analytic" or "concrete".
        seed: Seed of the order of images and of the noise.
        track_images: Validation images on which the three numbers are tracked; all if the split is smaller.
        track_samples: Samples of the multi-sample bound on those.

    Raises:
        ValueError: If a count is below 1, the learning rate is not positive, or a word is unknown.

    Example:
        >>> TrainConfig(epochs=2).batch_size
        100
    """

    epochs: int = 10
    batch_size: int = 100
    learning_rate: float = 2e-3
    temperature: TemperatureSchedule = field(default_factory=TemperatureSchedule)
    num_samples: int = 1
    sample: str = "relaxed"
    kl: str = "analytic"
    seed: int = 0
    track_images: int = 500
    track_samples: int = 100

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "num_samples", "track_images", "track_samples"):
            _validate.count(name, getattr(self, name))
        _validate.count("seed", self.seed, minimum=0)
        _validate.positive("learning_rate", self.learning_rate)
        if not isinstance(self.temperature, TemperatureSchedule):
            raise TypeError(
                f"temperature must be a TemperatureSchedule, such as TemperatureSchedule.constant(0.5), "
                f"got {self.temperature!r}"
            )
        _validate.one_of("sample", self.sample, ("relaxed", "straight_through"))
        _validate.one_of("kl", self.kl, ("analytic", "concrete"))


@dataclass(frozen=True)
class Epoch:
    """The three numbers after one epoch: means over the same validation images, nats, higher is better.

    Attributes:
        epoch: Epochs done; 0 is before training.
        step: Steps done.
        temperature: Temperature of the next step.
        relaxed_objective: Minus the training loss, on relaxed codes. Not a bound.
        single_sample: The bound with one hard code an image, an unbiased estimate of the ELBO.
        multi_sample: The bound with `track_samples` hard codes.
    """

    epoch: int
    step: int
    temperature: float
    relaxed_objective: float
    single_sample: float
    multi_sample: float


@dataclass
class History:
    """What happened in training, an `Epoch` at a time.

    Example:
        >>> history = History([Epoch(0, 0, 1.0, -200.0, -205.0, -203.0)])
        >>> history.columns()["multi_sample"]
        [-203.0]
    """

    epochs: list[Epoch] = field(default_factory=list)

    def columns(self) -> dict[str, list[float]]:
        """Return one list for each quantity, as `pandas.DataFrame` takes them."""
        return {
            column.name: [asdict(epoch)[column.name] for epoch in self.epochs] for column in fields(Epoch)
        }


def fit(vae: VAE, data: Dataset, config: TrainConfig) -> History:
    """Train a VAE on a dataset of the VAE's device and precision.

    Plain Adam on shuffled batches; a last batch that is not full is left out. Same seed and same start, same
    result on a CPU.

    Args:
        vae: The model; its weights change in place.
        data: The dataset; training and validation images are used.
        config: What to do.

    Returns:
        The history, one entry before training and one after each epoch.

    Raises:
        ValueError: If the data do not fit the model, lie on another device, or hold fewer images than one
            batch.
        FloatingPointError: If the loss became NaN or infinite within an epoch; the weights are then of no
            use.
    """
    images = data.train.images
    generator = torch.Generator(images.device).manual_seed(config.seed)
    _check(vae, data, config, generator)
    optimizer = torch.optim.Adam(vae.parameters(), lr=config.learning_rate, fused=True)
    history = History([_track(vae, data, config, epoch=0, step=0)])
    quiet = os.environ.get("TQDM_DISABLE") == "1"  # which tqdm's notebook bar does not read itself
    bar = tqdm(range(1, config.epochs + 1), desc="epochs", unit="epoch", disable=quiet)
    for epoch in bar:
        worst = _train_epoch(vae, optimizer, data, config, epoch, generator)
        if not math.isfinite(worst):
            raise FloatingPointError(f"the training loss became {worst} in epoch {epoch}")
        history.epochs.append(_track(vae, data, config, epoch, epoch * (len(images) // config.batch_size)))
        bar.set_postfix(bound=f"{history.epochs[-1].multi_sample:.1f}")
    return history


def _train_epoch(
    vae: VAE,
    optimizer: torch.optim.Optimizer,
    data: Dataset,
    config: TrainConfig,
    epoch: int,
    generator: torch.Generator,
) -> float:
    """Take the steps of one epoch, and return the largest absolute loss."""
    images, size = data.train.images, config.batch_size
    steps = len(images) // size
    order = torch.randperm(len(images), generator=generator, device=images.device)
    worst = images.new_zeros(())
    for batch in range(steps):
        step = (epoch - 1) * steps + batch
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * _half_cosine(step / (config.epochs * steps))
        x = images[order[batch * size : (batch + 1) * size]]
        if data.binarization == "dynamic":
            x = binarize(x, generator=generator)
        loss = _step(vae, optimizer, x, config, config.temperature(step), generator)
        worst = torch.maximum(
            worst, loss.abs()
        )  # on the device, without waiting for its value; NaN stays NaN
    return float(worst)


def _step(
    vae: VAE,
    optimizer: torch.optim.Optimizer,
    x: Tensor,
    config: TrainConfig,
    temperature: float,
    generator: torch.Generator,
) -> Tensor:
    """Take one step down the batch's mean loss, and return it."""
    with _validate.trusted():  # the images were checked before the loop
        noise = vae.noise(x, config.num_samples, generator=generator)
        loss = vae.loss(x, noise, temperature, sample=config.sample, kl=config.kl).total.mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


@torch.no_grad()
def _track(vae: VAE, data: Dataset, config: TrainConfig, epoch: int, step: int) -> Epoch:
    """Evaluate the three numbers on the same validation images, with the same noise after every epoch."""
    x = data.validation.images[: config.track_images]
    generator = torch.Generator(x.device).manual_seed(config.seed + 1)
    temperature = config.temperature(step)
    noise = vae.noise(x, generator=generator)
    relaxed = -vae.loss(x, noise, temperature, sample="relaxed", kl=config.kl).total.mean()
    single = vae.bound(x, 1, generator=generator).mean()
    multi = vae.bound(x, config.track_samples, generator=generator).mean()
    return Epoch(epoch, step, temperature, float(relaxed), float(single), float(multi))


def _half_cosine(progress: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * progress))


def _check(vae: VAE, data: Dataset, config: TrainConfig, generator: torch.Generator) -> None:
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
    vae.loss(one, vae.noise(one, generator=generator))
