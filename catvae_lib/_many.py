"""Many models of one architecture in one launch: seeds and learning rates side by side (`fit_many`)."""

import time
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from catvae_lib import _validate
from catvae_lib._config import History, TrainConfig
from catvae_lib._loop import (
    batch,
    check,
    check_finite,
    check_weights,
    is_pure,
    settings,
    shuffled,
    steps_an_epoch,
    threads,
    track,
)
from catvae_lib._step import Moments, PureStep, Weights, told, trained
from catvae_lib.data import Dataset
from catvae_lib.estimators import Estimator
from catvae_lib.vae import VAE

_OTHERS = "the other models went on"
_MAY_DIFFER = ("seed", "learning_rate", "temperature", "kl_weight")


def fit_many(
    vaes: Sequence[VAE],
    data: Dataset,
    configs: Sequence[TrainConfig],
    *,
    estimator: Estimator | None = None,
) -> list[History]:
    """Train models of one architecture at once, each as `fit` would, by one step for all of them.

    The weights are stacked and `torch.func.vmap` takes the step of every model in the same few operations
    (bmm in place of mm). On a GPU that is nearly free for small models; on a CPU it is only as fast as one
    after another. The noise of all models comes from one generator, seeded with the first seed, so a model
    alone would see other noise; the order of its images is the same.

    Args:
        vaes: The models; their weights change in place.
        data: The dataset, on the models' device and in their precision.
        configs: One for each model; they may differ in seed, learning_rate, temperature and kl_weight.
        estimator: One of `catvae_lib.estimators`, in place of `sample`: a function, not one that learns.

    Returns:
        A history for each model. A model whose loss becomes NaN or infinite does not stop the others: its
        history says so in `failure` and ends there.

    Raises:
        ValueError: If the models differ in more than their weights, the configurations in more than is
            allowed, or the data or the estimator do not fit.

    Example:
        >>> from catvae_lib import data, network
        >>> from catvae_lib.latent import BernoulliLatent
        >>> two = [VAE(network.linear(576, 8), BernoulliLatent(8), network.linear(8, 576)) for _ in range(2)]
        >>> squares = data.load("squares")
        >>> squares = replace(squares, train=squares.train.first(1000))
        >>> rates = [TrainConfig(epochs=1, learning_rate=rate, track_samples=1) for rate in (1e-3, 1e-2)]
        >>> slow, fast = fit_many(two, squares, rates)
        >>> slow.epochs[-1].single_sample < fast.epochs[-1].single_sample
        True
    """
    _validate.several("vaes", vaes, VAE)
    _validate.instance("data", data, Dataset)
    _validate.several("configs", configs, TrainConfig)
    if estimator is not None:
        _validate.function("estimator", estimator)
    _check_alike(vaes, configs)
    if estimator is not None and not is_pure(estimator):
        raise ValueError(f"estimator must be a function, not one that learns, got {estimator}")
    generator = torch.Generator(data.train.images.device).manual_seed(configs[0].seed)
    for vae, config in zip(vaes, configs, strict=True):
        check(vae, data, config)
    with threads(configs[0].threads):
        stack = _Stack(vaes, data, configs, generator, estimator)
        for epoch in range(configs[0].epochs):
            stack.train(epoch)
    return stack.histories


class _Stack:
    """The models as one: every weight has a first dimension M more."""

    def __init__(
        self,
        vaes: Sequence[VAE],
        data: Dataset,
        configs: Sequence[TrainConfig],
        generator: torch.Generator,
        estimator: Estimator | None,
    ) -> None:
        self.vaes, self.data, self.configs, self.generator = vaes, data, configs, generator
        dtype, compiled, report = settings(vaes[0], configs[0])
        every = [trained(vae) for vae in vaes]
        self.weights: Weights = {name: torch.stack([w[name].detach() for w in every]) for name in every[0]}
        moments = Moments.zero(self.weights)
        self.step = PureStep(
            vaes[0],
            configs[0],
            dtype,
            self.weights,
            moments,
            compiled=compiled,
            many=True,
            estimator=estimator,
        )
        self.histories = [History(machine=report | {"models": len(vaes)}) for _ in vaes]
        self._track(0)

    def train(self, epoch: int) -> None:
        """Take the steps of one epoch, and evaluate every model."""
        since = time.perf_counter()
        images, size = self.data.train.images, self.configs[0].batch_size
        per_epoch = steps_an_epoch(self.data, self.configs[0])
        orders = torch.stack([shuffled(images, config.seed, epoch) for config in self.configs])  # (M, N)
        numbers = self._told(range(epoch * per_epoch, (epoch + 1) * per_epoch))  # (steps, M, numbers)
        record = images.new_zeros(per_epoch, len(self.vaes), 2)
        for row in range(per_epoch):
            x, target = self._batch(orders[:, row * size : (row + 1) * size])  # (M, B, D)
            noise = self._noise(x)  # (M, S, B, ...)
            record[row] = self.step(x, target, noise, numbers[row])
        for model, history in enumerate(self.histories):
            try:
                check_finite(record[:, model], epoch * per_epoch, _OTHERS)
                mine = {name: weight[model] for name, weight in self.weights.items()}
                check_weights(mine, (epoch + 1) * per_epoch, _OTHERS)
            except FloatingPointError as error:
                history.failure = history.failure or str(error)
        self._track((epoch + 1) * per_epoch)
        for history in self.histories:
            history.seconds += time.perf_counter() - since  # of all models together

    def _told(self, steps: range) -> Tensor:
        total = self.configs[0].epochs * steps_an_epoch(self.data, self.configs[0])
        rows = [told(config, steps, total) for config in self.configs]
        images = self.data.train.images
        return torch.tensor(rows, dtype=images.dtype).movedim(0, 1).to(images.device)

    def _batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        with _validate.trusted():
            x, target = batch(self.data, rows.flatten(), self.generator)
        return x.unflatten(0, rows.shape), target.unflatten(0, rows.shape)

    def _noise(self, x: Tensor) -> Tensor:
        with _validate.trusted():
            vae, count = self.vaes[0], self.configs[0].num_samples
            noise: Tensor = vae.noise(x.flatten(0, 1), count, generator=self.generator)  # (S, M B, ...)
        stacked: Tensor = noise.unflatten(1, x.shape[:2]).movedim(1, 0)  # (M, S, B, ...)
        return stacked

    @torch.no_grad()
    def _track(self, step: int) -> None:
        """Hand the weights back to the models, and evaluate those that are still finite."""
        for model, (vae, history) in enumerate(zip(self.vaes, self.histories, strict=True)):
            for name, weight in trained(vae).items():
                weight.copy_(self.weights[name][model])
            try:
                if history.failure is None:
                    history.epochs.append(track(vae, self.data, self.configs[model], step))
            except ValueError as error:  # huge weights whose outputs are not finite
                history.failure = f"the model cannot be evaluated after step {step}: {error}; {_OTHERS}"


def _check_alike(vaes: Sequence[VAE], configs: Sequence[TrainConfig]) -> None:
    """Refuse models or configurations that one step cannot serve."""
    if len(vaes) == 0 or len(vaes) != len(configs):
        raise ValueError(f"configs must hold one for each of the {len(vaes)} vaes, got {len(configs)}")
    if len({id(vae) for vae in vaes}) < len(vaes):
        raise ValueError("vaes must be different models, got one of them twice")
    for number, vae in enumerate(vaes):
        pairs = zip(vae.buffers(), vaes[0].buffers(), strict=False)
        if _form(vae) != _form(vaes[0]) or not all(torch.equal(*pair) for pair in pairs):
            raise ValueError(f"vaes must be of one architecture, but vaes[{number}] differs from vaes[0]")
    for number, config in enumerate(configs):
        same = {name: getattr(config, name) for name in _MAY_DIFFER}
        if config != replace(configs[0], **same) or config.patience is not None:
            raise ValueError(
                f"configs may differ only in {', '.join(_MAY_DIFFER)}, and have no patience, "
                f"got {config} as configs[{number}]"
            )


def _form(vae: VAE) -> tuple[str, list[tuple[str, torch.Size, torch.dtype, bool]]]:
    """Return the modules, latent, likelihood, prior and shapes of a model: all but its weights' values."""
    shapes = [(name, w.shape, w.dtype, w.requires_grad) for name, w in vae.named_parameters()]
    return f"{vae} {vae.latent} {vae.likelihood} {vae.prior}", shapes
