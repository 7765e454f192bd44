"""Score-function gradients, which only evaluate f: plain, with baselines, and leave-one-out."""

import torch
from torch import Tensor, nn

from catvae_lib import _validate
from catvae_lib.estimators._common import (
    Objective,
    attach,
    check,
    check_learnable,
    check_network,
    descend,
    learned,
    score,
    values,
)
from catvae_lib.latent import Latent


def score_function(
    latent: Latent,
    logits: Tensor,
    noise: Tensor,
    f: Objective,
    temperature: float | Tensor = 1.0,
    *,
    baseline: float | Tensor = 0.0,
) -> Tensor:
    r"""Return f at hard codes with the score-function gradient, REINFORCE (Williams 1992).

    $$\nabla E[f(z)] = E\left[(f(z) - b)\, \nabla \ln q(z)\right]$$

    Unbiased for every f and every baseline b that does not see z. One evaluation a code.

    Args:
        latent: A discrete latent.
        logits: Its parameters (B, num_parameters).
        noise: Noise (S, B, *event_shape), one code each.
        f: Maps codes (..., B, *event_shape) to one value each, (..., B).
        temperature: Not used.
        baseline: b, a number or (B,).

    Returns:
        The mean of f over the S codes, (B,). Its gradient in the logits is the estimate; its gradient in the
        parameters of f is that of f.

    Raises:
        ValueError: If the latent is not discrete, or shapes disagree.

    Example:
        >>> from catvae_lib.latent import BernoulliLatent
        >>> logits = torch.zeros(1, 2, requires_grad=True)
        >>> score_function(BernoulliLatent(2), logits, torch.ones(1, 1, 2), lambda z: z.prod(-1)).backward()
        >>> logits.grad  # f = 1 times z - theta
        tensor([[0.5000, 0.5000]])
    """
    check("score_function", latent, logits, noise)
    _validate.number("baseline", baseline)
    if isinstance(baseline, Tensor) and tuple(baseline.shape) not in ((), (len(logits),)):
        raise ValueError(f"baseline must be a number or ({len(logits)},), got {tuple(baseline.shape)}")
    z = latent.hard(logits, noise).detach()
    value = values(f, z, latent)  # (S, B)
    signal = (value - baseline).detach().unsqueeze(-1)
    return attach(value.mean(0), logits, (signal * score(latent, logits, z)).mean(0))


def leave_one_out(
    latent: Latent, logits: Tensor, noise: Tensor, f: Objective, temperature: float | Tensor = 1.0
) -> Tensor:
    r"""Return f at k hard codes; each one's baseline is the mean of the others (Kool et al. 2019, RLOO).

    $$\frac{1}{k - 1} \sum_{s=1}^k \left(f(z_s) - \bar f\right) \nabla \ln q(z_s),
    \qquad \bar f = \frac1k \sum_s f(z_s)$$

    Unbiased for every f: the factor k - 1 in place of k makes up for $\bar f$ having seen z_s. k evaluations,
    k = S at least 2.

    Args:
        latent: A discrete latent.
        logits: Its parameters (B, num_parameters).
        noise: Noise (k, B, *event_shape).
        f: Maps codes (..., B, *event_shape) to one value each, (..., B).
        temperature: Not used.

    Returns:
        The mean of f over the k codes, (B,), with the gradient.

    Raises:
        ValueError: If k is 1, the latent is not discrete, or shapes disagree.

    Example:
        >>> from catvae_lib.latent import BernoulliLatent
        >>> logits, noise = torch.zeros(1, 1, requires_grad=True), torch.tensor([[[1.0]], [[-1.0]]])
        >>> leave_one_out(BernoulliLatent(1), logits, noise, lambda z: z.sum(-1)).backward()
        >>> logits.grad  # of theta, at 1/2
        tensor([[0.5000]])
    """
    check("leave_one_out", latent, logits, noise, least=2)
    z = latent.hard(logits, noise).detach()
    value = values(f, z, latent)  # (k, B)
    signal = (value - value.mean(0)).detach().unsqueeze(-1)
    return attach(value.mean(0), logits, (signal * score(latent, logits, z)).sum(0) / (len(noise) - 1))


class MovingAverage(nn.Module):
    """The score-function gradient with the moving average of earlier values of f as its baseline.

    Unbiased: the average is updated after it was used. One evaluation a code. Called like the functions.

    Args:
        decay: How much of the average each call keeps.

    Raises:
        ValueError: If decay leaves [0, 1].

    Example:
        >>> from catvae_lib.latent import BernoulliLatent
        >>> estimator = MovingAverage(decay=0.5)
        >>> noise = torch.ones(1, 1, 2)
        >>> _ = estimator(BernoulliLatent(2), torch.zeros(1, 2), noise, lambda z: 4 * z.prod(-1))
        >>> estimator.average
        tensor(4.)
    """

    mean: Tensor
    weight: Tensor

    def __init__(self, decay: float = 0.9) -> None:
        super().__init__()
        _validate.probability("decay", decay)
        self.decay = decay
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("weight", torch.zeros(()))  # that the mean has collected so far

    @property
    def average(self) -> Tensor:
        """The average of f over the earlier calls; 0 before the first."""
        return self.mean / self.weight.clamp(min=torch.finfo(self.weight.dtype).tiny)

    def forward(
        self,
        latent: Latent,
        logits: Tensor,
        noise: Tensor,
        f: Objective,
        temperature: float | Tensor = 1.0,
    ) -> Tensor:
        """Return f at hard codes with the gradient, (B,), then update the average (in training mode)."""
        check("MovingAverage", latent, logits, noise)
        surrogate = score_function(latent, logits, noise, f, baseline=self.average.to(logits))
        if len(logits):  # nothing has no mean
            self.update(surrogate.detach().mean())
        return surrogate

    def update(self, value: Tensor) -> None:
        """Move the average towards a new value, in training mode."""
        _validate.finite("value", value)
        if value.ndim:
            raise ValueError(f"value must be one number, got shape {tuple(value.shape)}")
        if self.training:
            value = value.to(self.mean)  # which may be too short for it
            check_learnable("the average of f", value)
            self.mean.lerp_(value, 1 - self.decay)
            self.weight.lerp_(torch.ones_like(self.weight), 1 - self.decay)


class NVIL(nn.Module):
    r"""The score-function gradient with a learned, input-dependent baseline (Mnih and Gregor 2014).

    $$E\left[(f(z) - C(x) - c)\, \nabla \ln q(z)\right]$$

    $c$ is a moving average and $C$ a network, fitted to $f(z) - c$ by least squares. It sees the logits of
    the example, not the code: the estimate is unbiased. One evaluation a code. The paper also divides the
    signal by its running standard deviation, which rescales the gradient; optimizers such as Adam do that
    themselves.

    Args:
        network: Maps logits (B, num_parameters) to (B, 1).
        learning_rate: Of the network's own Adam, which takes a step after each call in training mode.
        decay: Of the moving average.

    Raises:
        ValueError: If the rate is not positive or decay leaves [0, 1].

    Example:
        >>> from catvae_lib import network
        >>> from catvae_lib.latent import BernoulliLatent
        >>> estimator = NVIL(network.linear(2, 1))
        >>> estimator(BernoulliLatent(2), torch.zeros(1, 2), torch.ones(1, 1, 2), lambda z: z.prod(-1))
        tensor([1.])
    """

    def __init__(self, network: nn.Module, learning_rate: float = 1e-3, decay: float = 0.9) -> None:
        super().__init__()
        check_network(network, learning_rate)
        self.network, self.average = network, MovingAverage(decay)
        self.optimizer = torch.optim.Adam(network.parameters(), learning_rate)

    def forward(
        self,
        latent: Latent,
        logits: Tensor,
        noise: Tensor,
        f: Objective,
        temperature: float | Tensor = 1.0,
    ) -> Tensor:
        """Return f at hard codes with the gradient, (B,), then fit the baseline (in training mode)."""
        check("NVIL", latent, logits, noise)
        learning = self.training and len(logits) > 0 and not torch.is_inference_mode_enabled()
        with torch.set_grad_enabled(learning):
            guess = learned(self.network, logits.detach())  # (B,)
        constant = self.average.average.to(logits)
        surrogate = score_function(latent, logits, noise, f, baseline=guess.detach() + constant)
        if learning:
            self.average.update(surrogate.detach().mean())
            with torch.enable_grad():
                error = (surrogate.detach() - constant - guess).square().mean()
            descend(self.network, self.optimizer, error)
        return surrogate
