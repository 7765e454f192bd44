"""Latent codes behind one interface: Gaussian, Bernoulli (bits) and categorical (one-hot) variables.

A latent turns the encoder's output `params` (B, num_parameters) and noise (S, B, ...) into codes z (S, B,
*event_shape), S codes for each of B examples. It holds no weights: it only says which formula applies.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from catvae_lib import _validate, density, sampling
from catvae_lib import noise as noise_source
from catvae_lib._limits import log_softmax


class Latent(ABC):
    """What a code must know: its noise, its samples, its log-probabilities and its KL divergence."""

    analytic = True  # whether `kl` has a closed form

    @property
    @abstractmethod
    def num_parameters(self) -> int:
        """Number of outputs of the encoder."""

    @property
    @abstractmethod
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one code."""

    @property
    def num_features(self) -> int:
        """Number of inputs of the decoder."""
        return math.prod(self.event_shape)

    @abstractmethod
    def noise(self, params: Tensor, num_samples: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw noise (S, B, *event_shape) for S = num_samples codes a row of params (B, num_parameters)."""

    @abstractmethod
    def relaxed(self, params: Tensor, noise: Tensor, temperature: float | Tensor = 1.0) -> Tensor:
        """Return differentiable codes (S, B, *event_shape)."""

    @abstractmethod
    def hard(self, params: Tensor, noise: Tensor) -> Tensor:
        """Return exact samples (S, B, *event_shape) of q(z given x)."""

    def straight_through(self, params: Tensor, noise: Tensor, temperature: float | Tensor = 1.0) -> Tensor:
        """Return codes with the value of `hard` and the gradient of `relaxed`."""
        return sampling.straight_through(self.hard(params, noise), self.relaxed(params, noise, temperature))

    @abstractmethod
    def log_prob(self, z: Tensor, params: Tensor) -> Tensor:
        """Return log q(z given x) in nats, (S, B)."""

    @abstractmethod
    def prior_log_prob(self, z: Tensor) -> Tensor:
        """Return log p(z) in nats, (S, B)."""

    @abstractmethod
    def kl(self, params: Tensor) -> Tensor:
        """Return KL(q(z given x) || p(z)) in nats, (B,)."""

    @abstractmethod
    def relaxed_log_ratio(
        self,
        params: Tensor,
        noise: Tensor,
        temperature: float | Tensor,
        prior_temperature: float | Tensor,
        prior_params: Tensor | None = None,
    ) -> Tensor:
        """Return log q - log p of the relaxed codes under their Concrete densities, in nats, (S, B).

        The prior is the latent's own, or that of prior_params, which broadcast with params.
        """

    @abstractmethod
    def sample_prior(self, num_samples: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw codes (num_samples, *event_shape) from the prior."""

    @abstractmethod
    def mode(self, params: Tensor) -> Tensor:
        """Return the most probable code (B, *event_shape) of q(z given x)."""

    def _check(self, params: Tensor, name: str = "params") -> Tensor:
        _validate.floating(name, params)
        if params.ndim < 1 or params.shape[-1] != self.num_parameters:
            raise ValueError(f"{name} must have shape (B, {self.num_parameters}), got {tuple(params.shape)}")
        return params

    def _check_event(self, name: str, value: Tensor) -> Tensor:
        """Require (..., *event_shape): a 1 in it would broadcast, and dimensions would share one number."""
        _validate.floating(name, value)
        if tuple(value.shape[max(0, value.ndim - len(self.event_shape)) :]) != self.event_shape:
            shape = ", ".join(map(str, self.event_shape))
            raise ValueError(f"{name} must have shape (..., {shape}), got {tuple(value.shape)}")
        return value

    def _check_ratio(self, log_ratio: Tensor) -> Tensor:
        """Require a log-ratio that is not inf - inf, as of numbers at the end of their range it would be."""
        given = "params, noise, temperature, prior_temperature and prior_params"
        _validate.floating(f"the difference of the log-densities of {given}", log_ratio)
        return log_ratio

    def _check_rows(self, name: str, value: Tensor, params: Tensor) -> Tensor:
        """Require (..., *event_shape) whose leading dimensions broadcast with those of params."""
        self._check(params)
        rows = self._check_event(name, value).shape[: value.ndim - len(self.event_shape)]
        try:
            torch.broadcast_shapes(rows, params.shape[:-1])
        except RuntimeError:
            found = f"{tuple(value.shape)} and {tuple(params.shape)}"
            raise ValueError(f"{name} and params must have rows that broadcast, got {found}") from None
        return value


@dataclass(frozen=True)
class BernoulliLatent(Latent):
    r"""A code of independent bits, $q(z|x) = \prod_i \mathrm{Ber}(z_i; \theta_i(x))$ (article).

    The prior is $\mathrm{Ber}(0.5)$. Params are the bit logits (B, num_bits); codes are (S, B, num_bits).

    Example:
        >>> latent = BernoulliLatent(2)
        >>> params = torch.tensor([[0.0, 2.0]])
        >>> latent.hard(params, torch.tensor([[[-1.0, -1.0]]]))
        tensor([[[0., 1.]]])
        >>> latent.kl(params)
        tensor([0.3278])
    """

    num_bits: int

    def __post_init__(self) -> None:
        _validate.count("num_bits", self.num_bits)

    @property
    def num_parameters(self) -> int:
        """One logit a bit."""
        return self.num_bits

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one code."""
        return (self.num_bits,)

    def noise(self, params: Tensor, num_samples: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw standard logistic noise (S, B, num_bits)."""
        _validate.count("num_samples", num_samples, minimum=0)
        shape = (num_samples, *self._check(params).shape)
        return noise_source.logistic(shape, generator=generator, device=params.device, dtype=params.dtype)

    def relaxed(self, params: Tensor, noise: Tensor, temperature: float | Tensor = 1.0) -> Tensor:
        """Return Binary Concrete codes, article Eq. (3) with temperature."""
        return sampling.binary_concrete(
            self._check(params), self._check_rows("noise", noise, params), temperature
        )

    def hard(self, params: Tensor, noise: Tensor) -> Tensor:
        """Return bits by thresholding."""
        return sampling.bernoulli_threshold(self._check(params), self._check_rows("noise", noise, params))

    def log_prob(self, z: Tensor, params: Tensor) -> Tensor:
        r"""Return the log-probability of the bits, $\sum_i z_i l_i + \ln(1 - \theta_i)$ with logits l.

        The sum needs one product for S codes; elementwise, with every digit, it is
        `density.bernoulli_log_prob`. An infinite logit gives 0 or -inf, and no gradient.
        """
        _validate.inside_unit_interval("z", self._check_rows("z", z, params))
        dtype = torch.promote_types(z.dtype, params.dtype)
        z, params = z.to(dtype), params.to(dtype)
        certain = params.isinf()
        logits = torch.where(certain, 0.0, params)  # (B, num_bits)
        _validate.finite("the sum of params", logits.abs().sum(-1))  # or the terms below would be inf - inf
        log_off = torch.where(certain, 0.0, logsigmoid(-logits)).sum(-1)  # ln q of all bits off, (B,)
        on = (certain & (params > 0)).to(params.dtype)
        contradicted = torch.linalg.vecdot(z, certain.to(params.dtype) - 2 * on) + on.sum(
            -1
        )  # bits that cannot be so, (S, B)
        log_q: Tensor = torch.linalg.vecdot(z, logits) + log_off
        return torch.where(contradicted > 0, -torch.inf, log_q)

    def prior_log_prob(self, z: Tensor) -> Tensor:
        """Return -num_bits ln 2 for every code."""
        return self._check_event("z", z).new_full(z.shape[:-1], -self.num_bits * math.log(2))

    def kl(self, params: Tensor) -> Tensor:
        """Return article Eq. (5), with its weights, summed over the bits."""
        return density.bernoulli_kl(self._check(params)).sum(-1)

    def relaxed_log_ratio(
        self,
        params: Tensor,
        noise: Tensor,
        temperature: float | Tensor,
        prior_temperature: float | Tensor,
        prior_params: Tensor | None = None,
    ) -> Tensor:
        """Return the log-ratio of Binary Concrete densities (Maddison et al. 2016, Eq. 20)."""
        _validate.finite("params", params)
        _validate.positive("prior_temperature", prior_temperature)
        self._check_rows("noise", noise, params)
        y = sampling.binary_concrete_logit(self._check(params), noise, temperature)  # (S, B, num_bits)
        prior = (
            torch.zeros_like(params) if prior_params is None else self._check(prior_params, "prior_params")
        )
        log_q = density.binary_concrete_log_density(y, params, temperature)
        log_p = density.binary_concrete_log_density(y, prior, prior_temperature)
        return self._check_ratio((log_q - log_p).sum(-1))

    def sample_prior(self, num_samples: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw fair bits (num_samples, num_bits)."""
        _validate.count("num_samples", num_samples, minimum=0)
        noise = noise_source.logistic((num_samples, self.num_bits), generator=generator)
        return sampling.bernoulli_threshold(torch.zeros_like(noise), noise)

    def mode(self, params: Tensor) -> Tensor:
        """Return 1 where a bit is more likely on than off."""
        return (self._check(params) > 0).to(params.dtype)


@dataclass(frozen=True)
class CategoricalLatent(Latent):
    r"""A code of N independent variables with K categories each, uniform prior (Jang et al. 2016).

    Params are N * K logits (B, N * K), one row of K after another; codes are one-hot (S, B, N, K).

    Example:
        >>> latent = CategoricalLatent(num_variables=1, num_categories=3)
        >>> latent.hard(torch.tensor([[0.0, 1.0, 0.0]]), torch.zeros(1, 1, 1, 3))
        tensor([[[[0., 1., 0.]]]])
    """

    num_variables: int
    num_categories: int

    def __post_init__(self) -> None:
        _validate.count("num_variables", self.num_variables)
        _validate.count("num_categories", self.num_categories)

    @property
    def num_parameters(self) -> int:
        """One logit a category."""
        return self.num_variables * self.num_categories

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one code."""
        return (self.num_variables, self.num_categories)

    def noise(self, params: Tensor, num_samples: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw standard Gumbel noise (S, B, N, K)."""
        _validate.count("num_samples", num_samples, minimum=0)
        shape = (num_samples, *self._logits(params).shape)
        return noise_source.gumbel(shape, generator=generator, device=params.device, dtype=params.dtype)

    def relaxed(self, params: Tensor, noise: Tensor, temperature: float | Tensor = 1.0) -> Tensor:
        """Return Gumbel-softmax codes, article Eq. (2) with temperature."""
        return sampling.gumbel_softmax(
            self._logits(params), self._check_rows("noise", noise, params), temperature
        )

    def hard(self, params: Tensor, noise: Tensor) -> Tensor:
        """Return one-hot codes by the Gumbel-max trick, article Eq. (1)."""
        return sampling.gumbel_max(self._logits(params), self._check_rows("noise", noise, params))

    def log_prob(self, z: Tensor, params: Tensor) -> Tensor:
        """Return the log-probability of the one-hot codes, summed over the N variables."""
        return density.categorical_log_prob(self._check_rows("z", z, params), self._logits(params)).sum(-1)

    def prior_log_prob(self, z: Tensor) -> Tensor:
        """Return -N ln K for every code."""
        log_p = -self.num_variables * math.log(self.num_categories)
        return self._check_event("z", z).new_full(z.shape[:-2], log_p)

    def kl(self, params: Tensor) -> Tensor:
        """Return the KL divergence to the uniform prior, summed over the N variables.

        It is the plain sum, the cheapest; near the prior `density.categorical_kl` keeps every digit.
        """
        logits = self._logits(params)
        _validate.category_logits("params", logits)
        log_p = log_softmax(logits)  # (B, N, K)
        p = log_p.exp()
        return (p * torch.where(p == 0, 0.0, log_p + math.log(self.num_categories))).sum(-1).sum(-1)

    def relaxed_log_ratio(
        self,
        params: Tensor,
        noise: Tensor,
        temperature: float | Tensor,
        prior_temperature: float | Tensor,
        prior_params: Tensor | None = None,
    ) -> Tensor:
        """Return the log-ratio of ExpConcrete densities (Maddison et al. 2016, Eq. 20)."""
        logits = self._logits(params)
        _validate.finite("params", params)
        _validate.positive("prior_temperature", prior_temperature)
        self._check_rows("noise", noise, params)
        y = sampling.gumbel_log_softmax(logits, noise, temperature)  # (S, B, N, K)
        prior = torch.zeros_like(logits)
        if prior_params is not None:
            prior = self._check(prior_params, "prior_params").unflatten(-1, self.event_shape)
        log_q = density.concrete_log_density(y, logits, temperature)
        log_p = density.concrete_log_density(y, prior, prior_temperature)
        return self._check_ratio((log_q - log_p).sum(-1))

    def sample_prior(self, num_samples: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw uniform one-hot codes (num_samples, N, K)."""
        _validate.count("num_samples", num_samples, minimum=0)
        noise = noise_source.gumbel((num_samples, *self.event_shape), generator=generator)
        return sampling.gumbel_max(torch.zeros_like(noise), noise)

    def mode(self, params: Tensor) -> Tensor:
        """Return the most probable category of each variable, one-hot."""
        logits = self._logits(params)
        return sampling.gumbel_max(logits, torch.zeros_like(logits))

    def _logits(self, params: Tensor) -> Tensor:
        logits: Tensor = self._check(params).unflatten(-1, self.event_shape)  # (B, N, K)
        return logits


@dataclass(frozen=True)
class GaussianLatent(Latent):
    r"""The code of the ordinary VAE, $q(z|x) = \mathcal{N}(\mu(x), \sigma(x)^2)$, prior $\mathcal{N}(0, 1)$.

    Params are the means followed by the log standard deviations (B, 2 D). There is nothing to relax:
    `relaxed` and `hard` agree.

    Example:
        >>> latent = GaussianLatent(1)
        >>> latent.hard(torch.tensor([[1.0, 0.0]]), torch.tensor([[[2.0]]]))
        tensor([[[3.]]])
    """

    num_dimensions: int

    def __post_init__(self) -> None:
        _validate.count("num_dimensions", self.num_dimensions)

    @property
    def num_parameters(self) -> int:
        """A mean and a log standard deviation for each dimension."""
        return 2 * self.num_dimensions

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one code."""
        return (self.num_dimensions,)

    def noise(self, params: Tensor, num_samples: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw standard Gaussian noise (S, B, D)."""
        _validate.count("num_samples", num_samples, minimum=0)
        shape = (num_samples, *self._check(params).shape[:-1], self.num_dimensions)
        return noise_source.normal(shape, generator=generator, device=params.device, dtype=params.dtype)

    def relaxed(self, params: Tensor, noise: Tensor, temperature: float | Tensor = 1.0) -> Tensor:
        """Return the reparameterized sample; the temperature plays no part."""
        return self.hard(params, noise)

    def hard(self, params: Tensor, noise: Tensor) -> Tensor:
        """Return mean + std * noise."""
        mean, log_std = self._parts(params)
        return sampling.gaussian(mean, log_std, self._check_rows("noise", noise, params))

    def log_prob(self, z: Tensor, params: Tensor) -> Tensor:
        """Return the Gaussian log-density, summed over the dimensions."""
        mean, log_std = self._parts(params)
        standard = (self._check_rows("z", z, params) - mean) * torch.exp(-log_std)
        log_density = (-0.5 * standard.square() - log_std - 0.5 * math.log(2 * math.pi)).sum(-1)
        _validate.floating("the log-density of z and params", log_density)
        return log_density

    def prior_log_prob(self, z: Tensor) -> Tensor:
        """Return the standard Gaussian log-density, summed over the dimensions."""
        return (-0.5 * self._check_event("z", z).square() - 0.5 * math.log(2 * math.pi)).sum(-1)

    def kl(self, params: Tensor) -> Tensor:
        """Return the KL divergence to the unit Gaussian, summed over the dimensions."""
        mean, log_std = self._parts(params)
        return density.gaussian_kl(mean, log_std).sum(-1)

    def relaxed_log_ratio(
        self,
        params: Tensor,
        noise: Tensor,
        temperature: float | Tensor,
        prior_temperature: float | Tensor,
        prior_params: Tensor | None = None,
    ) -> Tensor:
        """Return log q - log p at the sample: a Gaussian needs no relaxation."""
        z = self.hard(params, noise)
        if prior_params is not None:
            _validate.finite("prior_params", self._check(prior_params, "prior_params"))
        log_p = self.prior_log_prob(z) if prior_params is None else self.log_prob(z, prior_params)
        return self._check_ratio(self.log_prob(z, params) - log_p)

    def sample_prior(self, num_samples: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw codes (num_samples, D) from the unit Gaussian."""
        _validate.count("num_samples", num_samples, minimum=0)
        return noise_source.normal((num_samples, self.num_dimensions), generator=generator)

    def mode(self, params: Tensor) -> Tensor:
        """Return the mean."""
        return self._parts(params)[0]

    def _parts(self, params: Tensor) -> tuple[Tensor, Tensor]:
        """Return means and log standard deviations, (B, D) each; an infinite one would give inf - inf."""
        _validate.finite("params", self._check(params))
        mean, log_std = params.chunk(2, -1)
        return mean, log_std
