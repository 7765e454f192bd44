"""What a training run does (TrainConfig) and what happened in it (Epoch, History)."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from catvae_lib import _precision, _validate
from catvae_lib._objective import KLS, SAMPLES
from catvae_lib.estimators import Estimator
from catvae_lib.schedules import LearningRateSchedule, TemperatureSchedule


@dataclass(frozen=True)
class TrainConfig:
    """What one training run does.

    Args:
        epochs: Passes over the training images.
        batch_size: Images a step.
        learning_rate: Adam's learning rate by step, or the rate at the start of half a cosine that falls to 0
            at the end of the run.
        temperature: Temperature by step. None: it falls exponentially from 1 to 0.3 over the run.
        kl_weight: Weight of the KL term by step, or a number. Only with 1 is the loss the article's.
        num_samples: L, codes for each image in the training loss.
        sample: "relaxed", "straight_through" or "local_expectation"; see `VAE.loss`. `fit` takes any other
            estimator.
        kl: "analytic", "concrete" or "sampled"; see `VAE.loss`.
        prior_temperature: Of the relaxed prior, with kl="concrete"; that of the posterior if None.
        multi_sample: The multi-sample objective of relaxed codes, with kl="concrete"; see `VAE.loss`.
        seed: Seed of the order of images and of the noise.
        precision: Of the networks' matrix products: "float32" (the model's own), "bfloat16", or "auto":
            bfloat16 for a float32 model where the machine has instructions for it. Weights, moments and
            densities keep the model's precision.
        compile: Make one program of the step with `torch.compile`, which takes half a minute on a CPU, and
            there needs a C++ compiler. None: on a GPU only.
        threads: Threads of a CPU operation during the run. For models of this size one thread is within a
            quarter of two, and beside other load two can be many times slower; raise it for larger models.
        patience: Stop after so many epochs without a better multi-sample bound on the validation images, and
            return to the best weights. None: train for all epochs.
        track_images: Validation images on which the three numbers are tracked; all if the split is smaller.
        track_samples: Samples of the multi-sample bound on those.

    Raises:
        ValueError: If a count is below 1, a rate or weight is not positive, or a word is unknown.

    Example:
        >>> TrainConfig(epochs=2).batch_size
        100
    """

    epochs: int = 10
    batch_size: int = 100
    learning_rate: float | LearningRateSchedule = 3e-3
    temperature: TemperatureSchedule | None = None
    kl_weight: float | TemperatureSchedule = 1.0
    num_samples: int = 1
    sample: str = "relaxed"
    kl: str = "analytic"
    prior_temperature: float | None = None
    multi_sample: bool = False
    seed: int = 0
    precision: str = "auto"
    compile: bool | None = None
    threads: int = 1
    patience: int | None = None
    track_images: int = 500
    track_samples: int = 100

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "num_samples", "threads", "track_images", "track_samples"):
            _validate.count(name, getattr(self, name))
        _validate.seed("seed", self.seed)
        _validate.instance("multi_sample", self.multi_sample, bool)
        _validate.instance("compile", self.compile, bool, type(None))
        if self.patience is not None:
            _validate.count("patience", self.patience)
        for name, schedule in (("learning_rate", LearningRateSchedule), ("kl_weight", TemperatureSchedule)):
            if not isinstance(getattr(self, name), schedule):
                _validate.rate(name, getattr(self, name))
        if not isinstance(self.temperature, TemperatureSchedule | None):
            raise TypeError(
                f"temperature must be a TemperatureSchedule, such as TemperatureSchedule.constant(0.5), "
                f"got {self.temperature!r}"
            )
        _validate.one_of("sample", self.sample, tuple(SAMPLES))
        _validate.one_of("kl", self.kl, KLS)
        if (self.kl == "sampled" or self.multi_sample) and self.kl_weight != 1.0:
            where = "multi_sample=True" if self.multi_sample else 'kl="sampled"'
            raise ValueError(f"kl_weight must be 1 with {where}, got {self.kl_weight}")
        if self.prior_temperature is not None:
            _validate.rate("prior_temperature", self.prior_temperature)
        if (self.prior_temperature is not None or self.multi_sample) and self.kl != "concrete":
            raise ValueError(f'kl must be "concrete" with prior_temperature or multi_sample, got {self.kl!r}')
        if self.multi_sample and self.sample != "relaxed":
            raise ValueError(f'sample must be "relaxed" with multi_sample=True, got {self.sample!r}')
        _validate.one_of("precision", self.precision, _precision.PRECISIONS)

    def words(self, sample: str | Estimator | None = None) -> dict[str, Any]:
        """Return what `VAE.loss` is told beside the numbers of a step; an estimator may stand for sample."""
        if sample is not None and not isinstance(sample, str):
            _validate.function("sample", sample)
        return {
            "sample": sample or self.sample,
            "kl": self.kl,
            "prior_temperature": self.prior_temperature,
            "multi_sample": self.multi_sample,
        }

    def numbers(self, step: int, steps: int) -> tuple[float, float, float]:
        """Return temperature, KL weight and learning rate at a step, from 0, of a run of so many steps."""
        _validate.count("step", step, minimum=0)
        _validate.count("steps", steps)
        weight, rate = self.kl_weight, self.learning_rate
        if not isinstance(rate, LearningRateSchedule):
            rate = LearningRateSchedule(rate, steps)
        temperature = self.temperature or TemperatureSchedule.reaching_floor(1.0, 0.3, steps)
        return (
            temperature(step),
            weight(step) if isinstance(weight, TemperatureSchedule) else weight,
            rate(step),
        )


@dataclass(frozen=True)
class Epoch:
    """The three numbers after one epoch: means over the same validation images, nats, higher is better.

    Attributes:
        epoch: Epochs done; 0 is before training.
        step: Steps done.
        temperature: Temperature of the next step.
        relaxed_objective: Minus the loss of one relaxed code an image. Not a bound, but with kl="concrete".
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
    """What happened in training, an `Epoch` at a time, on what machine, and how long it took.

    Attributes:
        epochs: One entry before training and one after each epoch.
        machine: Device, threads, precision of the products, and whether the step was compiled.
        seconds: Wall time of all steps and evaluations, over all sessions of a resumed run.
        failure: What ended one of many models early; see `fit_many`.

    Example:
        >>> history = History([Epoch(0, 0, 1.0, -200.0, -205.0, -203.0)])
        >>> history.columns()["multi_sample"]
        [-203.0]
    """

    epochs: list[Epoch] = field(default_factory=list)
    machine: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    failure: str | None = None

    def columns(self) -> dict[str, list[float]]:
        """Return one list for each quantity, as `pandas.DataFrame` takes them."""
        return {
            column.name: [asdict(epoch)[column.name] for epoch in self.epochs] for column in fields(Epoch)
        }
