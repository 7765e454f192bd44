"""REBAR and RELAX: the score-function gradient with a relaxed, reparameterized control variate."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from catvae_lib import _validate
from catvae_lib.estimators._common import (
    Objective,
    attach,
    check,
    check_autograd,
    check_differentiable,
    check_learnable,
    check_network,
    descend,
    learned,
    score,
    values,
)
from catvae_lib.estimators.conditional import conditional, harden, perturbed, soften
from catvae_lib.latent import Latent

Control = Callable[[Tensor], Tensor]
"""c: perturbed logits (2 S, B, *event_shape) to one value each, (2 S, B)."""


def rebar(
    latent: Latent,
    logits: Tensor,
    noise: Tensor,
    f: Objective,
    temperature: float | Tensor = 0.5,
    *,
    eta: float | Tensor = 1.0,
) -> Tensor:
    r"""Return f at hard codes with the REBAR gradient (Tucker et al. 2017).

    $$\left(f(z) - \eta f(x_{|z})\right) \nabla \ln q(z) + \eta \nabla f(x) - \eta \nabla f(x_{|z})$$

    $x$ is the relaxed code of the noise that drew z, and $x_{|z}$ that of fresh noise drawn given z; both
    derivatives go through the logits, in $x_{|z}$ also through the conditional noise. Unbiased for every f
    that is defined on relaxed codes, at every $\eta$ and temperature. Three evaluations a code.

    Args:
        latent: A discrete latent.
        logits: Its parameters (B, num_parameters).
        noise: Noise (2 S, B, *event_shape): S draws of the code, then S of the conditional noise.
        f: Maps codes (..., B, *event_shape) to one value each, (..., B), differentiably.
        temperature: Of the control variate.
        eta: Its weight $\eta$.

    Returns:
        The mean of f over the S hard codes, (B,), with the gradient.

    Raises:
        ValueError: If the number of draws is odd, the latent is not discrete, shapes disagree, or the
            temperature is not positive.

    Example:
        >>> from catvae_lib.latent import BernoulliLatent
        >>> logits = torch.zeros(1, 1, requires_grad=True)
        >>> rebar(BernoulliLatent(1), logits, torch.ones(2, 1, 1), lambda z: 0 * z.sum(-1) + 1).backward()
        >>> logits.grad  # of a constant, nothing is left
        tensor([[0.]])
    """
    _validate.number("eta", eta)
    if isinstance(eta, Tensor) and eta.ndim:
        raise ValueError(f"eta must be one number, got shape {tuple(eta.shape)}")
    draw = _Draw("rebar", latent, logits, noise)
    value = values(f, draw.z, latent)
    gradient = draw.score_part(value) + eta * draw.control_part(_relaxed(latent, f, temperature))
    return attach(value.mean(0), logits, gradient)


class REBAR(nn.Module):
    r"""`rebar` with the weight $\eta$ that minimizes its variance, learned from earlier calls.

    The gradient is $a + \eta h$, and h has mean 0. So the variance is least at $\eta = -E[a \cdot h] / E[h
    \cdot h]$; both means are moving averages over the earlier calls, so the estimate stays unbiased. (The
    paper descends the same variance by stochastic gradients, and in the temperature too.)

    Args:
        decay: How much of the averages each call keeps.

    Raises:
        ValueError: If decay leaves [0, 1].

    Example:
        >>> from catvae_lib.latent import BernoulliLatent
        >>> estimator = REBAR()
        >>> estimator(BernoulliLatent(1), torch.zeros(1, 1), torch.ones(2, 1, 1), lambda z: z.sum(-1))
        tensor([1.])
    """

    products: Tensor

    def __init__(self, decay: float = 0.99) -> None:
        super().__init__()
        _validate.probability("decay", decay)
        self.decay = decay
        self.register_buffer("products", torch.zeros(2))  # averages of a . h and h . h

    @property
    def eta(self) -> Tensor:
        """The weight that would have been best so far; 1 before the first call."""
        cross, square = self.products
        return torch.where(square > 0, -cross / square.clamp(min=torch.finfo(square.dtype).tiny), 1.0)

    def forward(
        self, latent: Latent, logits: Tensor, noise: Tensor, f: Objective, temperature: float | Tensor = 0.5
    ) -> Tensor:
        """Return f at hard codes with the gradient, (B,), then update the averages (in training mode)."""
        draw = _Draw("REBAR", latent, logits, noise)
        value = values(f, draw.z, latent)
        plain, control = draw.score_part(value), draw.control_part(_relaxed(latent, f, temperature))
        gradient = plain + self.eta.to(logits) * control
        self.update(plain, control)
        return attach(value.mean(0), logits, gradient)

    def update(self, plain: Tensor, control: Tensor) -> None:
        """Take a batch's a and h, (B, num_parameters) each, into the averages, in training mode."""
        _validate.finite("plain", plain)
        _validate.finite("control", control)
        if plain.shape != control.shape:
            raise ValueError(f"plain and control must have one shape, got {plain.shape} and {control.shape}")
        if self.training and plain.numel():
            found = torch.stack([(plain * control).sum(), control.square().sum()]).to(self.products)
            check_learnable("the square of the gradient", found)
            self.products.lerp_(found, 1 - self.decay)


class RELAX(nn.Module):
    r"""REBAR whose control variate has a learned part besides the relaxed f (Grathwohl et al. 2018).

    $$c(\tilde z) = \eta f(x) + r(\tilde z), \qquad \left(f(z) - c(\tilde z_{|z})\right) \nabla \ln q(z)
    + \nabla c(\tilde z) - \nabla c(\tilde z_{|z})$$

    $\tilde z$ are the perturbed logits and r is a network; it descends the square of the gradient, an
    unbiased estimate of its variance but for a constant, and $\eta$ is that of `REBAR`. Unbiased for every
    f that is defined on relaxed codes. Three evaluations a code, and two of r.

    Args:
        network: r, maps perturbed logits (..., num_parameters) to (..., 1). Twice differentiable: ReLU units
            are not.
        learning_rate: Of the network's own Adam, which takes a step after each call in training mode.
        decay: Of the averages behind $\eta$.

    Raises:
        ValueError: If the rate is not positive or decay leaves [0, 1].

    Example:
        >>> from catvae_lib import network
        >>> from catvae_lib.latent import BernoulliLatent
        >>> estimator = RELAX(network.mlp(1, [4], 1, activation="tanh"))
        >>> estimator(BernoulliLatent(1), torch.zeros(1, 1), torch.ones(2, 1, 1), lambda z: z.sum(-1))
        tensor([1.])
    """

    def __init__(self, network: nn.Module, learning_rate: float = 1e-3, decay: float = 0.99) -> None:
        super().__init__()
        check_network(network, learning_rate)
        self.network, self.rebar = network, REBAR(decay)
        self.optimizer = torch.optim.Adam(network.parameters(), learning_rate)

    def forward(
        self, latent: Latent, logits: Tensor, noise: Tensor, f: Objective, temperature: float | Tensor = 0.5
    ) -> Tensor:
        """Return f at hard codes with the gradient, (B,), then improve the network (in training mode)."""

        def r(score: Tensor) -> Tensor:
            return learned(self.network, score.flatten(score.ndim - len(latent.event_shape)))

        draw = _Draw("RELAX", latent, logits, noise)
        value = values(f, draw.z, latent)
        plain, control = draw.score_part(value), draw.control_part(_relaxed(latent, f, temperature))
        rest = draw.control_part(r, create_graph=self.training)
        with torch.enable_grad():
            gradient = plain + self.rebar.eta.to(logits) * control + rest
            square = gradient.square().sum(-1).mean()
        if self.training and len(logits):
            self.rebar.update(plain + rest.detach(), control)
            descend(self.network, self.optimizer, square)  # an output bias has no part in c - c
        return attach(value.mean(0), logits, gradient)


class _Draw:
    """One draw: perturbed logits, their code, and perturbed logits drawn anew given that code."""

    def __init__(self, name: str, latent: Latent, logits: Tensor, noise: Tensor) -> None:
        check(name, latent, logits, noise, pairs=True)
        check_autograd(name)
        self.name, self.latent, self.logits = name, latent, logits.detach()
        self.first, self.second = noise.chunk(2)  # (S, B, *event_shape) each
        self.z = harden(latent, perturbed(latent, self.logits, self.first))
        self.score = score(latent, self.logits, self.z)  # (S, B, num_parameters)

    def score_part(self, value: Tensor) -> Tensor:
        """Return value * grad ln q(z), averaged over the S codes, (B, num_parameters)."""
        return (value.detach().unsqueeze(-1) * self.score).mean(0)

    def control_part(self, c: Control, *, create_graph: bool = False) -> Tensor:
        """Return -c given z * grad ln q(z) + grad c - grad c given z, averaged over the S codes."""

        def difference(logits: Tensor) -> tuple[Tensor, Tensor]:
            free = perturbed(self.latent, logits, self.first)
            both = c(torch.cat([free, conditional(self.latent, logits, self.z, self.second)]))  # (2 S, B)
            check_differentiable(self.name, both)
            return (both[: len(free)] - both[len(free) :]).sum() / len(free), both[len(free) :]

        with torch.set_grad_enabled(create_graph):
            path, given = torch.func.grad(difference, has_aux=True)(self.logits)
            part: Tensor = path - (given.unsqueeze(-1) * self.score).mean(0)
            return part


def _relaxed(latent: Latent, f: Objective, temperature: float | Tensor) -> Control:
    """Return f of the relaxed code, as a function of perturbed logits."""
    _validate.positive("temperature", temperature)
    return lambda score: values(f, soften(latent, score, temperature), latent)
