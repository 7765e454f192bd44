"""One estimator for a chain of layers out of estimators for a single layer."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from catvae_lib import _validate
from catvae_lib.chain import Chain
from catvae_lib.estimators._common import Estimator, Objective, check_draws, underlying
from catvae_lib.estimators.multi_sample import multi_sample_leave_one_out, vimco
from catvae_lib.latent import Latent


class Layerwise(nn.Module):
    r"""An estimator for a `Chain`: the objective of a layer is the estimate of the layers after it.

    $$E[f(z_1, z_2)] = E[f_1(z_1)], \qquad f_1(z_1) = E[f(z_1, z_2) \,|\, z_1]$$

    f_1 is itself estimated, with the later layers' noise held fixed. Its value is f at hard codes and its
    derivative an estimate, so the whole is unbiased where all estimators are. Called like the functions; with
    S draws the last of n layers is evaluated S^n times.

    Args:
        estimators: Functions or modules of this package, for a single objective: one for each layer, or one
            for all. One that learns should not serve two.

    Raises:
        ValueError: If there is none, or one of a multi-sample objective, which takes a Chain as it is.
        TypeError: If one is a class or a name.

    Example:
        >>> from catvae_lib import network
        >>> from catvae_lib.estimators import straight_through
        >>> from catvae_lib.latent import BernoulliLatent
        >>> chain = Chain([BernoulliLatent(2), BernoulliLatent(2)], [network.linear(2, 2)])
        >>> logits, noise = torch.zeros(3, 2), chain.noise(torch.zeros(3, 2), 1)
        >>> Layerwise(straight_through)(chain, logits, noise, lambda z: z.sum(-1)).shape
        torch.Size([3])
    """

    def __init__(self, *estimators: Estimator) -> None:
        super().__init__()
        if not estimators:
            raise ValueError("estimators must hold at least one, got none")
        for each in estimators:
            if isinstance(each, type) or not callable(each):
                raise TypeError(f"estimators must be estimators, not their classes or names, got {each!r}")
            if underlying(each) in (vimco, multi_sample_leave_one_out):
                raise ValueError(f"estimators must have a single objective: give a Chain to {each} itself")
        self.estimators = estimators
        self.learning = nn.ModuleList(each for each in estimators if isinstance(each, nn.Module))

    def forward(
        self,
        latent: Latent,
        logits: Tensor,
        noise: Tensor,
        f: Objective,
        temperature: float | Tensor = 1.0,
    ) -> Tensor:
        """Return f at the codes of all layers, (B,), with the gradient.

        Raises:
            ValueError: If the latent is not a Chain of as many layers as there are estimators, or an
                estimator refuses its arguments.
        """
        layers = len(latent.layers) if isinstance(latent, Chain) else 1
        if layers == 1 or len(self.estimators) not in (1, layers):
            raise ValueError(f"latent must be a Chain of {len(self.estimators)} layers, got {latent}")
        _validate.function("f", f)
        _validate.positive("temperature", temperature)
        check_draws("Layerwise", latent, logits, noise)
        each = self.estimators * layers if len(self.estimators) == 1 else self.estimators
        return _through(each, latent, logits, noise, f, temperature)


def _through(
    estimators: Sequence[Estimator],
    latent: Latent,
    logits: Tensor,
    noise: Tensor,
    f: Objective,
    temperature: float | Tensor,
) -> Tensor:
    """Return the estimate of the first layer, whose objective is the estimate of the rest."""
    if not isinstance(latent, Chain):
        return estimators[0](latent, logits, noise, f, temperature)
    first, rest, events = latent.layers[0], latent.rest(), len(latent.event_shape)
    of_first, of_rest = noise.split([size.event_shape[0] for size in (first, rest)], -events)

    def given_first(z: Tensor) -> Tensor:
        """Return f_1 at codes (..., B, *event_shape) of the first layer, (..., B)."""
        params = latent.following(0, z).flatten(0, -2)  # (rows, num_parameters)
        copies = z.shape[: z.ndim - events - 1].numel()
        repeated = of_rest.repeat(1, copies, *[1] * events)  # (S, rows, ...)
        beyond = partial(_given_both, f, events, z)
        found = _through(estimators[1:], rest, params, repeated, beyond, temperature)  # (rows,)
        surrogate: Tensor = found.unflatten(0, z.shape[: z.ndim - events])
        return surrogate

    return estimators[0](first, logits, of_first, given_first, temperature)


def _given_both(f: Objective, events: int, first: Tensor, second: Tensor) -> Tensor:
    """Return f, (..., rows), at codes (*rows, *event_shape) and (..., rows, *event_shape) of two layers.

    The rows of the first are several dimensions, those of the second the same ones as one.
    """
    rows = first.shape[: first.ndim - events]
    unfolded = second.unflatten(-events - 1, rows)  # (..., *rows, *event_shape)
    repeated = first.expand(*unfolded.shape[: unfolded.ndim - first.ndim], *first.shape)
    both = torch.cat([repeated, unfolded], -events)
    found = f(both)
    wanted = both.shape[: both.ndim - events]
    if not isinstance(found, Tensor) or found.shape != wanted:
        got = tuple(found.shape) if isinstance(found, Tensor) else found
        raise ValueError(f"f must return one value a code, {tuple(wanted)}, got {got}")
    _validate.finite("f(z)", found)
    return found.flatten(-len(rows))
