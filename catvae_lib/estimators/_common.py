"""What the estimators share: checks, the drawn code, and how a gradient is attached to a value."""

from collections.abc import Callable
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn

from catvae_lib import _validate
from catvae_lib.chain import Chain
from catvae_lib.latent import BernoulliLatent, CategoricalLatent, Latent

Objective = Callable[[Tensor], Tensor]
"""f: codes (..., B, *event_shape) to one value each, (..., B)."""


class Estimator(Protocol):
    """Anything that is called like the estimators of this package."""

    def __call__(
        self,
        latent: Latent,
        logits: Tensor,
        noise: Tensor,
        f: Objective,
        temperature: float | Tensor = ...,
        /,
    ) -> Tensor:
        """Return the surrogate (B,)."""


def check(
    name: str,
    latent: Latent,
    logits: Tensor,
    noise: Tensor,
    *,
    least: int = 1,
    pairs: bool = False,
    chains: bool = False,
) -> None:
    """Require a discrete latent, its logits (B, num_parameters) and noise (S, B, *event_shape)."""
    if not isinstance(latent, BernoulliLatent | CategoricalLatent | Chain):
        raise ValueError(f"{name} is defined for discrete codes, got latent {latent}")
    if isinstance(latent, Chain) and not chains:
        raise ValueError(f"{name} is defined for one layer, use Layerwise({name}), got latent {latent}")
    check_logits(latent, logits)
    check_draws(name, latent, logits, noise, least=least, pairs=pairs)


def check_draws(
    name: str, latent: Latent, logits: Tensor, noise: Tensor, *, least: int = 1, pairs: bool = False
) -> None:
    """Require logits (B, num_parameters) and noise (S, B, *event_shape) of one dtype."""
    _validate.instance("latent", latent, Latent)
    _validate.floating("logits", logits)
    if logits.ndim != 2 or logits.shape[1] != latent.num_parameters:
        raise ValueError(f"logits must have shape (B, {latent.num_parameters}), got {tuple(logits.shape)}")
    _validate.finite("noise", noise)
    if noise.dtype != logits.dtype:
        raise ValueError(f"noise must have the dtype of logits, {logits.dtype}, got {noise.dtype}")
    wanted = (logits.shape[0], *latent.event_shape)
    if tuple(noise.shape[1:]) != wanted or noise.ndim != len(wanted) + 1:
        raise ValueError(
            f"noise must have shape (S, {', '.join(map(str, wanted))}), got {tuple(noise.shape)}"
        )
    if noise.shape[0] < least or (pairs and noise.shape[0] % 2):
        raise ValueError(
            f"{name} takes {'an even number' if pairs else f'{least} or more'} of noise draws in the first "
            f"dimension of noise, got {noise.shape[0]}"
        )


def check_logits(latent: Latent, logits: Tensor) -> None:
    """Require logits (B, num_parameters)."""
    _validate.finite("logits", logits)
    if logits.ndim != 2 or logits.shape[1] != latent.num_parameters:
        raise ValueError(f"logits must have shape (B, {latent.num_parameters}), got {tuple(logits.shape)}")


def check_bits(name: str, latent: Latent) -> None:
    """Require a code of bits."""
    if not isinstance(latent, BernoulliLatent):
        raise ValueError(f"{name} is defined for bits: latent must be a BernoulliLatent, got {latent}")


def values(f: Objective, z: Tensor, latent: Latent) -> Tensor:
    """Return f(z), (..., B), and require that it is one value a code."""
    _validate.function("f", f)
    version = None if torch.compiler.is_compiling() or z.is_inference() else z._version
    found = f(z)
    if version is not None and z._version != version:
        raise ValueError("f must not change its codes in place: the estimate is made of them")
    if not isinstance(found, Tensor):
        raise TypeError(f"f must return a torch.Tensor, got {type(found).__name__}")
    _validate.finite("f(z)", found)
    wanted = z.shape[: z.ndim - len(latent.event_shape)]
    if found.shape != wanted:
        raise ValueError(f"f must return one value a code, {tuple(wanted)}, got {tuple(found.shape)}")
    return found


def check_autograd(name: str) -> None:
    """Require that derivatives can be taken, which `torch.inference_mode` forbids for good."""
    if not torch.compiler.is_compiling() and torch.is_inference_mode_enabled():
        raise ValueError(f"{name} differentiates f: it cannot be used inside torch.inference_mode")


def check_differentiable(name: str, value: Tensor) -> None:
    """Require that a value of f, computed where derivatives are taken, has one."""
    if not torch.compiler.is_compiling() and not value.requires_grad:
        raise ValueError(
            f"{name} needs an f that is differentiable in the code, got one without a derivative"
        )


def learned(network: nn.Module, x: Tensor) -> Tensor:
    """Return network(x), (...,), for x (..., D), computed in the precision of the network's weights."""
    try:
        found: Tensor = network(x.to(next(network.parameters(), x).dtype))
    except RuntimeError as error:
        raise ValueError(f"network does not fit inputs of shape {tuple(x.shape)}: {error}") from error
    if found.shape != (*x.shape[:-1], 1):
        raise ValueError(f"network must return {(*x.shape[:-1], 1)}, got {tuple(found.shape)}")
    return found.squeeze(-1).to(x.dtype)


def descend(network: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """Take a step of a network's own optimizer; the gradients that others keep in it are left alone."""
    weights = list(network.parameters())
    held = [weight.grad for weight in weights]
    group, moments = optimizer.param_groups[0], optimizer.state
    others = any(one is not two for one, two in zip(weights, group["params"], strict=True))
    if others or any(state["exp_avg"].dtype != weight.dtype for weight, state in moments.items()):
        kept = optimizer.state_dict()  # after load_state_dict(assign=True) or .double(): the moments go along
        group["params"] = weights
        moments.clear()
        optimizer.load_state_dict(kept)
    gradients = torch.autograd.grad(loss, weights, allow_unused=True)
    check_learnable("the gradient of network", *(each for each in gradients if each is not None))
    for weight, gradient in zip(weights, gradients, strict=True):
        weight.grad = gradient
    optimizer.step()
    for weight, before in zip(weights, held, strict=True):
        weight.grad = before


def check_learnable(name: str, *tensors: Tensor) -> None:
    """Refuse to learn from what is not finite: an average or a moment would keep it for good."""
    if not all(tensor.is_meta or bool(tensor.isfinite().all()) for tensor in tensors):
        raise FloatingPointError(
            f"{name} became NaN or infinite, as of a huge f; nothing was learned from it"
        )


def check_network(network: nn.Module, learning_rate: float) -> None:
    """Require a network that can be learned, and the rate to do it."""
    _validate.instance("network", network, nn.Module)
    if not list(network.parameters()):
        raise ValueError(f"network must have weights to be learned, got {network}")
    _validate.rate("learning_rate", learning_rate)


def underlying(estimator: Estimator) -> Estimator:
    """Return the estimator without the arguments that `functools.partial` has given it."""
    return underlying(estimator.func) if isinstance(estimator, partial) else estimator


def attach(value: Tensor, logits: Tensor, gradient: Tensor) -> Tensor:
    """Return the value (B,), to which the gradient (B, num_parameters) in the logits is added."""
    _validate.finite("the gradient of f in the logits", gradient)
    return value + ((logits - logits.detach()) * gradient.detach()).sum(-1)


def log_probabilities(latent: Latent, logits: Tensor) -> Tensor:
    """Return normalized logits in the shape of a code, (B, *event_shape); for bits they are the logits."""
    if isinstance(latent, BernoulliLatent):
        return logits
    log_p: Tensor = logits.unflatten(-1, latent.event_shape).log_softmax(-1)  # (B, N, K)
    return log_p


def probabilities(latent: Latent, logits: Tensor) -> Tensor:
    """Return the mean of the code, (B, *event_shape)."""
    if isinstance(latent, BernoulliLatent):
        return logits.sigmoid()
    pi: Tensor = logits.unflatten(-1, latent.event_shape).softmax(-1)  # (B, N, K)
    return pi


def score(latent: Latent, logits: Tensor, z: Tensor) -> Tensor:
    r"""Return $\nabla_\text{logits} \ln q(z) = z - E[z]$, (..., B, num_parameters)."""
    difference = z - probabilities(latent, logits.detach())
    return difference.flatten(difference.ndim - len(latent.event_shape))
