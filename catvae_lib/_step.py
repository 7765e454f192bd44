r"""One training step in two forms that agree: torch's autograd with its Adam, and one pure function.

The pure function holds forward pass, backward pass and update (Kingma and Ba 2015), so `torch.compile` makes
one program of it and `torch.func.vmap` trains many models with it. Both forms take the products of the
networks in the precision they are told, and keep weights, moments and densities in the model's own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, grad

from catvae_lib import _validate
from catvae_lib._config import TrainConfig
from catvae_lib.estimators import Estimator
from catvae_lib.network import Centred
from catvae_lib.vae import VAE

Weights = dict[str, Tensor]
BETAS, EPSILON = (0.9, 0.999), 1e-8
TERMS = ("reconstruction", "kl")  # of a step's record, a tensor (2,)


@dataclass
class Moments:
    """Adam's running means of the gradient and of its square."""

    first: Weights
    second: Weights

    @classmethod
    def zero(cls, weights: Weights) -> "Moments":
        """Start at nothing."""
        zeros = [{name: torch.zeros_like(w) for name, w in weights.items()} for _ in range(2)]
        return cls(*zeros)


def trained(vae: VAE) -> Weights:
    """Return the weights that are trained, by name."""
    return {name: weight for name, weight in vae.named_parameters() if weight.requires_grad}


def running_means(vae: VAE) -> list[Centred]:
    """Return the running means of a model."""
    return [part for part in vae.modules() if isinstance(part, Centred) and part.moves]


def lowered(weights: Weights, dtype: torch.dtype) -> Weights:
    """Return copies in the precision of the products; none where that is the weights' own."""
    return {name: weight.detach().to(dtype) for name, weight in weights.items() if weight.dtype != dtype}


class EagerStep:
    """A step by autograd and `torch.optim.Adam`; the weights change in place."""

    def __init__(
        self,
        vae: VAE,
        config: TrainConfig,
        dtype: torch.dtype,
        moments: Moments,
        done: int,
        estimator: Estimator | None = None,
    ) -> None:
        self.vae, self.config, self.weights = vae, config, trained(vae)
        self.sample = estimator
        self.optimizer = torch.optim.Adam(self.weights.values(), betas=BETAS, eps=EPSILON, fused=True)
        self.low = lowered(self.weights, dtype)
        for low in self.low.values():
            low.requires_grad_()
        for name, weight in self.weights.items():
            self.optimizer.state[weight] = {
                "step": torch.tensor(float(done), device=weight.device),
                "exp_avg": moments.first[name],
                "exp_avg_sq": moments.second[name],
            }

    def __call__(self, x: Tensor, target: Tensor, noise: Tensor, told: Any) -> Tensor:
        """Take a step, and return the two terms of the loss before it, (2,)."""
        temperature, kl_weight, rate, *_ = told
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with torch.no_grad():
            for name, low in self.low.items():
                low.copy_(self.weights[name])
        words = self.config.words(self.sample) | {"target": target}
        loss, record = _loss(self.vae, self.low, words, x, noise, temperature, kl_weight)
        loss.backward()
        for name, low in self.low.items():
            self.weights[name].grad = None if low.grad is None else low.grad.to(self.weights[name].dtype)
            low.grad = None
        self.optimizer.step()
        self.optimizer.zero_grad()
        for means in running_means(self.vae):
            means.move()
        return record


class PureStep:
    """The pure step, compiled if wanted: on a GPU it is then replayed as a CUDA graph."""

    def __init__(
        self,
        vae: VAE,
        config: TrainConfig,
        dtype: torch.dtype,
        weights: Weights,
        moments: Moments,
        *,
        compiled: bool,
        many: bool = False,
        estimator: Estimator | None = None,
    ) -> None:
        if running_means(vae):
            raise ValueError(
                "compile must be None or False, and fit_many cannot be used, with a Centred that moves: "
                "its mean is no part of the pure step"
            )
        self.state = (weights, lowered(weights, dtype), moments.first, moments.second)
        self.step = pure_step(vae, config, many=many, estimator=estimator)
        if compiled:
            self.step = _compiled(self.step, [tensor for part in self.state for tensor in part.values()])

    def __call__(self, x: Tensor, target: Tensor, noise: Tensor, told: Any) -> Tensor:
        """Take a step, and return the two terms of the loss before it, (2,), or (M, 2) of many models."""
        return self.step(*self.state, x, target, noise, told)


def _compiled(step: Callable[..., Tensor], state: list[Tensor]) -> Callable[..., Tensor]:
    """Make one program of the step; on a GPU it is recorded once, and replayed, as a CUDA graph."""
    for tensor in state:
        torch._dynamo.mark_static_address(tensor)  # updated in place, also inside a CUDA graph
    # torch counts the programs of one code object and gives up after a few: each step has its own.
    step.__code__ = step.__code__.replace()
    options: dict[str, Any] = {"triton.cudagraphs": True} if state[0].is_cuda else {"cpp_wrapper": True}
    if hasattr(torch.compiler, "skip_all_guards_unsafe"):
        # Every call has the same shapes: the loop makes full batches only. Checking them costs a twentieth.
        options["guard_filter_fn"] = torch.compiler.skip_all_guards_unsafe
    return torch.compile(step, dynamic=False, fullgraph=True, options=options)


def told(config: TrainConfig, steps: range, total: int) -> list[list[float]]:
    """Return what each step is told: temperature, KL weight, learning rate, Adam's two bias corrections."""
    corrections = ([1 - beta ** (step + 1) for beta in BETAS] for step in steps)
    return [[*config.numbers(step, total), *pair] for step, pair in zip(steps, corrections, strict=True)]


def pure_step(
    vae: VAE, config: TrainConfig, *, many: bool = False, estimator: Estimator | None = None
) -> Callable[..., Tensor]:
    r"""Return the step as a function of weights, moments, images, noise and numbers.

    With $g$ the gradient, $m \leftarrow \beta_1 m + (1 - \beta_1) g$, $v \leftarrow \beta_2 v + (1 - \beta_2)
    g^2$ and $w \leftarrow w - \eta\, \hat m / (\sqrt{\hat v} + \epsilon)$, where $\hat m = m / (1 -
    \beta_1^t)$ and $\hat v = v / (1 - \beta_2^t)$. Weights and moments are updated in place. With `many`
    every argument has a first dimension M more.
    """
    words = config.words(estimator)

    def objective(
        weights: Weights, x: Tensor, target: Tensor, noise: Tensor, told: Tensor
    ) -> tuple[Tensor, Tensor]:
        return _loss(vae, weights, words | {"target": target}, x, noise, told[0], told[1])

    slope = torch.vmap(grad(objective, has_aux=True)) if many else grad(objective, has_aux=True)

    def step(
        weights: Weights, low: Weights, first: Weights, second: Weights, *batch_and_numbers: Tensor
    ) -> Tensor:
        *_, told = batch_and_numbers
        gradient, record = slope(low or weights, *batch_and_numbers)
        for name, weight in weights.items():
            shape = (*told.shape[:-1], *[1] * (weight.ndim - told.ndim + 1), -1)  # (M, 1, ..., numbers)
            _adam(weight, first[name], second[name], gradient[name].to(weight.dtype), told.reshape(shape))
            if name in low:
                low[name].copy_(weight)
        return record  # type: ignore[no-any-return]

    return step


def _adam(weight: Tensor, first: Tensor, second: Tensor, gradient: Tensor, told: Tensor) -> None:
    """Update a weight and its moments in place."""
    rate, correction, correction_of_square = told[..., 2], told[..., 3], told[..., 4]
    first.lerp_(gradient, 1 - BETAS[0])
    second.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
    weight.sub_(rate * (first / correction) / ((second / correction_of_square).sqrt() + EPSILON))


def _loss(
    vae: VAE,
    weights: Weights,
    words: dict[str, Any],
    x: Tensor,
    noise: Tensor,
    temperature: float | Tensor,
    kl_weight: float | Tensor,
) -> tuple[Tensor, Tensor]:
    """Return the batch's mean loss, and its two terms without a gradient, (2,)."""
    with _validate.trusted():  # the images were checked before the loop
        if weights:
            terms = functional_call(vae, weights, (x, noise, temperature), words)
        else:
            terms = vae.loss(x, noise, temperature, **words)
    reconstruction, kl = terms.reconstruction.mean(), terms.kl.mean()
    return reconstruction + kl_weight * kl, torch.stack([reconstruction.detach(), kl.detach()])
