r"""Relaxed bits and relaxed one-hot vectors as `torch.distributions`, for code that speaks that language.

The four classes have torch's names, arguments, shapes and base measures, and the formulae of `noise`,
`sampling` and `density`. No parameter is clamped, so a sample keeps its gradient and a log-density is right
far in the tails. Beyond torch's: `rsample` and `sample` take a generator; the temperature may be a plain
number, must be positive and broadcasts with the batch (a tensor with a single element counts as a number);
and `kl_divergence` knows pairs with equal temperatures. What has no closed form raises NotImplementedError.

A relaxed sample saturates: float32 holds neither $1 - 10^{-9}$ nor $10^{-50}$. At $x = 1$ the density of a
relaxed bit is infinite for $\lambda < 1$, $\alpha$ for $\lambda = 1$ and 0 for $\lambda > 1$; where several
coordinates of a relaxed one-hot vector are 0 it need not have a limit. Therefore a sample remembers the
logit, or the logarithm, that it came from. Every `log_prob` of this module, that of another distribution too,
is exact for it and differentiates along the path of the sample. A copy (`detach()`, `clone()`), a sample
changed in place, or a leaf that wants its own gradient remembers nothing: there 0 and 1 are taken as the
nearest normal numbers inside, and the result is finite. `LogitRelaxedBernoulli` and `ExpRelaxedCategorical`
live on logits and logarithms and never saturate.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor
from torch.distributions import Distribution, TransformedDistribution, constraints, register_kl
from torch.distributions.transforms import ExpTransform, SigmoidTransform, Transform
from torch.distributions.utils import broadcast_all, lazy_property
from torch.utils.weak import WeakTensorKeyDictionary

from catvae_lib import _validate
from catvae_lib._limits import log_softmax, softplus
from catvae_lib.density import binary_concrete_log_density, concrete_log_density
from catvae_lib.noise import gumbel, logistic, logistic_from_uniform
from catvae_lib.sampling import binary_concrete_logit, gumbel_log_softmax

_Seed: TypeAlias = torch.Generator | None
_Number: TypeAlias = float | Tensor


class _Relaxed(Distribution):
    """What all four classes share: differentiable samples, by `_draw`."""

    has_rsample = True

    def rsample(self, sample_shape: Sequence[int] = (), *, generator: _Seed = None) -> Tensor:
        """Draw differentiable samples of shape sample_shape + batch_shape + event_shape."""
        _validate.size("sample_shape", sample_shape)
        return self._draw(torch.Size(sample_shape), generator)

    def sample(self, sample_shape: Sequence[int] = (), *, generator: _Seed = None) -> Tensor:
        """Draw as `rsample` does, without a gradient."""
        _validate.size("sample_shape", sample_shape)
        with torch.no_grad():
            return self._draw(torch.Size(sample_shape), generator)

    def _check_batch(self, batch_shape: Sequence[int]) -> None:
        """Require a shape that the batch can be expanded to."""
        _validate.size("batch_shape", batch_shape)
        _validate.fits(batch_shape, batch_shape=torch.empty(self.batch_shape, device="meta"))

    def _draw(self, sample_shape: torch.Size, generator: _Seed) -> Tensor:
        raise NotImplementedError


class _Exact(_Relaxed):
    """A temperature of the batch's shape, and logits of the batch's and the event's."""

    temperature: Tensor
    logits: Tensor
    _event_dim = 0
    _log_odds: Callable[..., Tensor]

    def __init__(
        self,
        temperature: _Number,
        probs: _Number | None = None,
        logits: _Number | None = None,
        validate_args: bool | None = None,
    ) -> None:
        validate_args = __debug__ if validate_args is None else validate_args
        if (probs is None) == (logits is None):
            raise ValueError("exactly one of probs and logits must be given")
        _validate.number("temperature", temperature)
        if isinstance(temperature, Tensor) and temperature.numel() == 0:
            raise ValueError(f"temperature must hold a number, got shape {tuple(temperature.shape)}")
        _validate.number("probs" if logits is None else "logits", probs if logits is None else logits)  # type: ignore[arg-type]
        (given,) = broadcast_all(probs if logits is None else logits)  # type: ignore[arg-type]
        given = self._log_odds(given, given_as_probs=logits is None)
        rows = given[..., 0] if self._event_dim else given
        temperature = torch.as_tensor(temperature, dtype=given.dtype, device=given.device)
        temperature = temperature.reshape(()) if temperature.numel() == 1 else temperature
        _validate.broadcastable(temperature=temperature, logits=rows)
        self.temperature, rows = broadcast_all(temperature, rows)
        event_shape = given.shape[given.ndim - self._event_dim :]
        self.logits = given.expand(rows.shape + event_shape)
        super().__init__(rows.shape, event_shape, validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        """Return the same distribution with its parameters expanded to a larger batch."""
        self._check_batch(batch_shape)
        new = self._get_checked_instance(_Exact, _instance)  # type: ignore[no-untyped-call]
        new.temperature = self.temperature.expand(batch_shape)
        new.logits = self.logits.expand(*batch_shape, *self.event_shape)
        super(_Exact, new).__init__(new.temperature.shape, self.event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new


class LogitRelaxedBernoulli(_Exact):
    r"""The logit of a relaxed bit: logistic, with location $\ln\alpha/\lambda$ and scale $1/\lambda$.

    Args:
        temperature: $\lambda > 0$.
        probs: Probabilities $\theta$ of a 1, any shape; or give logits.
        logits: Bit logits $\ln\alpha = \ln\theta - \ln(1 - \theta)$; infinite ones have no density.
        validate_args: Whether to check arguments and values; None means yes, but under `python -O`.

    Raises:
        ValueError: If not exactly one of probs and logits is given, or an argument is out of range.

    Example:
        >>> LogitRelaxedBernoulli(temperature=1.0, logits=torch.tensor(0.0)).log_prob(torch.tensor(-100.0))
        tensor(-100.)
    """

    arg_constraints: ClassVar = {
        "temperature": constraints.positive,
        "probs": constraints.unit_interval,
        "logits": constraints.real,
    }
    support = constraints.real
    probs: Any = lazy_property(lambda self: torch.sigmoid(self.logits))
    mean = property(lambda self: self.logits / self.temperature)

    @staticmethod
    def _log_odds(given: Tensor, given_as_probs: bool) -> Tensor:
        _validate.floating("probs" if given_as_probs else "logits", given)
        if not given_as_probs:
            return given
        _validate.inside_unit_interval("probs", given, slack=0.0)
        return torch.logit(given)

    def _draw(self, sample_shape: torch.Size, generator: _Seed) -> Tensor:
        shape, logits = self._extended_shape(sample_shape), self.logits
        noise = logistic(shape, generator=generator, device=logits.device, dtype=logits.dtype)
        return binary_concrete_logit(logits, noise, self.temperature)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density at a logit, `density.binary_concrete_log_density`."""
        _validate.finite("value", value)
        if self._validate_args:
            self._validate_sample(value)
        return binary_concrete_log_density(value, self.logits, self.temperature)


class _LogSimplex(constraints.Constraint):
    """Logarithms of points of the simplex."""

    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        """Whether exp(value) sums to one, but for rounding."""
        slack = max(_validate.SLACK, value.shape[-1] * torch.finfo(value.dtype).eps)
        return value.logsumexp(-1).abs() <= slack


class ExpRelaxedCategorical(_Exact):
    r"""The logarithm of a relaxed one-hot vector (Maddison et al. 2016, appendix C).

    Args:
        temperature: $\lambda > 0$, a number or a tensor that broadcasts with the batch.
        probs: Probabilities $(..., K)$, normalized here; or give logits.
        logits: Unnormalized log-probabilities $(..., K)$; infinite ones have no density.
        validate_args: Whether to check arguments and values; None means yes, but under `python -O`.

    Raises:
        ValueError: If not exactly one of probs and logits is given, or an argument is out of range.

    Example:
        >>> fair = ExpRelaxedCategorical(temperature=1.0, logits=torch.zeros(2))
        >>> fair.log_prob(torch.tensor([0.0, -100.0]))
        tensor(-100.)
    """

    arg_constraints: ClassVar = {
        "temperature": constraints.positive,
        "probs": constraints.simplex,
        "logits": constraints.real_vector,
    }
    support = _LogSimplex()
    _event_dim = 1
    probs: Any = lazy_property(lambda self: self.logits.exp())

    @staticmethod
    def _log_odds(given: Tensor, given_as_probs: bool) -> Tensor:
        if given_as_probs:
            if _validate.values_can_be_read() and bool((given < 0).any()):
                raise ValueError("probs must not be negative")
            given = given / given.sum(-1, keepdim=True)
            _validate.inside_unit_interval("probs", given, slack=0.0)
            given = given.log()
        _validate.category_logits("logits", given)
        if given.numel() == 0:
            raise ValueError(f"logits must not be empty, got shape {tuple(given.shape)}")
        return log_softmax(given)

    def _draw(self, sample_shape: torch.Size, generator: _Seed) -> Tensor:
        shape, logits = self._extended_shape(sample_shape), self.logits
        noise = gumbel(shape, generator=generator, device=logits.device, dtype=logits.dtype)
        return gumbel_log_softmax(logits, noise, self.temperature.unsqueeze(-1))

    def log_prob(self, value: Tensor) -> Tensor:
        r"""Return the log-density in the log-ratios, `density.concrete_log_density`.

        The temperature may differ from row to row: $\lambda y$, normalized, has temperature 1.
        """
        _validate.finite("value", value)
        if self._validate_args:
            self._validate_sample(value)
        scaled = torch.log_softmax(self.temperature.unsqueeze(-1) * value, -1)
        log_volume = (self.logits.shape[-1] - 1) * self.temperature.log()
        return concrete_log_density(scaled, self.logits, 1.0) + log_volume


class _Simplex(constraints.Constraint):
    """Points of the simplex, but for the rounding of K terms (torch allows 1e-6, whatever the dtype)."""

    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        """Whether the entries are not negative and sum to one."""
        slack = max(_validate.SLACK, value.shape[-1] * torch.finfo(value.dtype).eps)
        return (value >= 0).all(-1) & ((value.sum(-1) - 1).abs() <= slack)


class _Squashed(_Relaxed, TransformedDistribution):
    """A transform of one of the classes above, with the same parameters."""

    _base: type[_Exact]
    _squash: Transform
    base_dist: _Exact
    temperature = property(lambda self: self.base_dist.temperature)
    logits = property(lambda self: self.base_dist.logits)
    probs: Any = lazy_property(lambda self: self.base_dist.probs)

    def __init__(
        self,
        temperature: _Number,
        probs: _Number | None = None,
        logits: _Number | None = None,
        validate_args: bool | None = None,
    ) -> None:
        validate_args = __debug__ if validate_args is None else validate_args
        base = self._base(temperature, probs, logits, validate_args)
        super().__init__(base, self._squash, validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        """Return the same distribution with its parameters expanded to a larger batch."""
        self._check_batch(batch_shape)
        new = self._get_checked_instance(_Squashed, _instance)  # type: ignore[no-untyped-call]
        return super().expand(batch_shape, new)  # type: ignore[no-untyped-call]

    def _draw(self, sample_shape: torch.Size, generator: _Seed) -> Tensor:
        relaxed: Tensor = self._squash(self.base_dist._draw(sample_shape, generator))
        return relaxed

    def _validate_sample(self, value: Tensor) -> None:
        """Check a value; of a remembered sample, which rounding may push off the simplex, its origin."""
        _validate.floating("value", value)
        if _recall(value, self._squash) is None:
            super()._validate_sample(value)


class _Sigmoid(SigmoidTransform):
    """The sigmoid, not clipped; its inverse is the quantile function of the logistic distribution."""

    def _call(self, x: Tensor) -> Tensor:
        return _remember(torch.sigmoid(x), x, self)

    def _inverse(self, y: Tensor) -> Tensor:
        origin = _recall(y, self)
        return logistic_from_uniform(y) if origin is None else origin


class _Exp(ExpTransform):
    """The exponential, from log-simplex to simplex."""

    def _call(self, x: Tensor) -> Tensor:
        return _remember(torch.exp(x), x, self)

    def _inverse(self, y: Tensor) -> Tensor:
        origin = _recall(y, self)
        return y.clamp(min=torch.finfo(y.dtype).tiny).log() if origin is None else origin


class RelaxedBernoulli(_Squashed):
    r"""A relaxed bit in (0, 1), the article's Eq. (3); its density is with respect to dx.

    Args:
        temperature: $\lambda > 0$.
        probs: Probabilities of a 1, any shape; or give logits.
        logits: Bit logits, any shape.
        validate_args: Whether to check arguments and values; None means yes, but under `python -O`.

    Raises:
        ValueError: As for `LogitRelaxedBernoulli`.

    Example:
        >>> sure = RelaxedBernoulli(temperature=0.5, logits=torch.tensor(60.0))
        >>> bit = sure.rsample(generator=torch.Generator().manual_seed(0))
        >>> bit, bool(sure.log_prob(bit).isfinite())
        (tensor(1.), True)
    """

    arg_constraints = LogitRelaxedBernoulli.arg_constraints
    support = constraints.unit_interval
    _base, _squash = LogitRelaxedBernoulli, _Sigmoid()


class RelaxedOneHotCategorical(_Squashed):
    r"""A relaxed one-hot vector, the article's Eq. (2); its density is with respect to $dx_1\cdots dx_{K-1}$.

    Args:
        temperature: $\lambda > 0$.
        probs: Probabilities $(..., K)$; or give logits.
        logits: Unnormalized log-probabilities $(..., K)$.
        validate_args: Whether to check arguments and values; None means yes, but under `python -O`.

    Raises:
        ValueError: As for `ExpRelaxedCategorical`.

    Example:
        >>> cold = RelaxedOneHotCategorical(temperature=0.01, logits=torch.zeros(3))
        >>> sample = cold.rsample(generator=torch.Generator().manual_seed(1))
        >>> bool(cold.log_prob(sample).isfinite())
        True
    """

    arg_constraints = ExpRelaxedCategorical.arg_constraints
    support = _Simplex()
    _base, _squash = ExpRelaxedCategorical, _Exp()


@register_kl(LogitRelaxedBernoulli, LogitRelaxedBernoulli)  # type: ignore[untyped-decorator]
def _kl_bits(p: LogitRelaxedBernoulli, q: LogitRelaxedBernoulli) -> Tensor:
    r"""Return $d\coth(d/2) - 2$ with $d = \ln\alpha_p - \ln\alpha_q$; near 0 by Lambert's continued fraction.

    With equal temperatures the two differ in the location of their noise only, so none is left.
    """
    half = (_equally_warm(p, q).logits - q.logits) / 2
    near = half.abs() < 1
    square, far = torch.where(near, half, 0.0).square(), torch.where(near, 1.0, half)
    fraction = torch.zeros_like(square)
    for odd in range(19, 1, -2):  # x coth x - 1 = x^2 / (3 + x^2 / (5 + ...))
        fraction = square / (odd + fraction)
    return 2 * torch.where(near, fraction, far / torch.tanh(far) - 1)


@register_kl(ExpRelaxedCategorical, ExpRelaxedCategorical)  # type: ignore[untyped-decorator]
def _kl_one_hot(p: ExpRelaxedCategorical, q: ExpRelaxedCategorical) -> Tensor:
    r"""Return $K\,(f[c_1, \ldots, c_K] - H_{K-1}) - \sum_k\ln c_k$ with $c = \alpha_q/\alpha_p$.

    f is $t^{K-1}\ln t$, its divided difference cancels. The bracket is $E\ln\sum_k c_k E_k - E\ln\sum_k E_k$
    for exponential $E_k$, the integral over s of $\prod_k\sigma(-s) - \prod_k\sigma(-s - \ln c_k)$, for
    which the trapezoid rule is exact up to rounding.
    """
    _validate.categories(p=p.logits, q=q.logits)
    dtype = p.logits.dtype  # K times a difference of two nearly equal integrals: float32 is too short
    log_c = (q.logits - _equally_warm(p, q).logits).double()  # (..., K)
    log_c = log_c - log_c.amax(-1, keepdim=True).detach()  # a common factor cancels
    edge = 2 - math.log(torch.finfo(log_c.dtype).eps) + math.log(log_c.shape[-1])
    s = torch.arange(-edge, edge, 0.25, dtype=log_c.dtype, device=log_c.device)
    s = s.reshape(-1, *[1] * log_c.ndim)
    difference = torch.exp(-softplus(s + 0 * log_c).sum(-1)) - torch.exp(-softplus(s + log_c).sum(-1))
    return (log_c.shape[-1] * 0.25 * difference.sum(0) - log_c.sum(-1)).to(dtype)


def _equally_warm(p: _Exact, q: _Exact) -> _Exact:
    """Return p; without equal temperatures there is no closed form."""
    _validate.finite("p.logits", p.logits)
    _validate.finite("q.logits", q.logits)
    if _validate.values_can_be_read() and bool((p.temperature != q.temperature).any()):
        raise NotImplementedError("no closed form for the KL divergence between different temperatures")
    return p


_ORIGINS = WeakTensorKeyDictionary()  # relaxed sample -> (its version, the tensor that was squashed)


def _remember(relaxed: Tensor, origin: Tensor, squash: Transform) -> Tensor:
    _ORIGINS[relaxed] = (_version(relaxed), origin, type(squash))
    return relaxed


def _recall(relaxed: Tensor, squash: Transform) -> Tensor | None:
    """Return what an unchanged sample of this transform came from.

    A leaf with a gradient of its own must not be bypassed. Versions do not count inference tensors, nor
    changes through `data` or numpy: there the values themselves are compared.
    """
    version, origin, kind = _ORIGINS.get(relaxed, (None, None, None))
    if origin is None or kind is not type(squash) or version != _version(relaxed):
        return None
    if relaxed.is_leaf and relaxed.requires_grad:
        return None
    if _validate.values_can_be_read():
        again = (torch.sigmoid if kind is _Sigmoid else torch.exp)(origin.detach())
        slack = 8 * torch.finfo(again.dtype).eps
        if again.shape != relaxed.shape or not torch.allclose(again, relaxed.detach(), slack, slack):
            return None
    found: Tensor = origin
    return found


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version
