"""The VAE: encoder + latent + decoder + likelihood, its training loss and its multi-sample bound."""

import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from catvae_lib import _precision, _validate
from catvae_lib._limits import softplus
from catvae_lib._objective import check_kl, estimator_of
from catvae_lib.estimators import Estimator
from catvae_lib.latent import Latent

_CODES_A_PASS = 16  # of one image in `bound`: what depends on the image alone is computed once for them


class LossTerms(NamedTuple):
    """The training loss and its two parts, (B,), in nats; total = reconstruction + kl."""

    total: Tensor
    reconstruction: Tensor
    kl: Tensor


class VAE(nn.Module):
    r"""A latent variable model $p(x|z)\,p(z)$ with its approximate posterior $q(z|x)$.

    Args:
        encoder: Maps images (B, D) to the latent's parameters (B, num_parameters).
        latent: The code; see `catvae_lib.latent`.
        decoder: Maps features (..., num_features) to pixel logits (or, for the Gaussian likelihood, means)
            (..., D).
        likelihood: "bernoulli" or "gaussian" (unit variance).
        prior: "latent": the latent's own. "encoder": $p(z|x) = q(z|x)$, so the KL is 0 and the decoder
            predicts some of the image from the rest, which the encoder looks at (structured prediction). Its
            output may then be shorter than x: it predicts the last pixels.

    Raises:
        ValueError: If the likelihood or the prior is unknown.

    Example:
        >>> from catvae_lib import network
        >>> from catvae_lib.latent import BernoulliLatent
        >>> vae = VAE(network.linear(4, 2), BernoulliLatent(2), network.linear(2, 4), "bernoulli")
        >>> vae.bound(torch.ones(3, 4), num_samples=5).shape
        torch.Size([3])
    """

    def __init__(
        self,
        encoder: nn.Module,
        latent: Latent,
        decoder: nn.Module,
        likelihood: str = "bernoulli",
        prior: str = "latent",
    ) -> None:
        super().__init__()
        for name, part in (("encoder", encoder), ("decoder", decoder)):
            _validate.instance(name, part, nn.Module)
        _validate.instance("latent", latent, Latent)
        _validate.one_of("likelihood", likelihood, ("bernoulli", "gaussian"))
        _validate.one_of("prior", prior, ("latent", "encoder"))
        self.encoder, self.latent, self.decoder = encoder, latent, decoder
        self.likelihood, self.prior = likelihood, prior

    def encode(self, x: Tensor) -> Tensor:
        """Return the parameters (B, num_parameters) of q(z given x) for images x (B, D)."""
        self._check_images(x)
        return _precision.apply(self.encoder, "x", x)

    def decode(self, z: Tensor) -> Tensor:
        """Return pixel logits (or Gaussian means) (..., D) for codes z (..., *event_shape)."""
        event = self.latent.event_shape
        _validate.finite("z", z)
        if tuple(z.shape[z.ndim - len(event) :]) != event:
            raise ValueError(f"z must have shape (..., {', '.join(map(str, event))}), got {tuple(z.shape)}")
        return _precision.apply(self.decoder, "z", z.flatten(z.ndim - len(event)))

    def noise(self, x: Tensor, num_samples: int = 1, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw noise (S, B, ...) for S = num_samples codes an image of x (B, D), whatever its pixels."""
        _validate.count("num_samples", num_samples)
        _validate.floating("x", x)
        if x.ndim != 2:
            raise ValueError(f"x must have shape (B, D), got {tuple(x.shape)}")
        return self.latent.noise(
            x.new_zeros(x.shape[0], self.latent.num_parameters), num_samples, generator=generator
        )

    def loss(
        self,
        x: Tensor,
        noise: Tensor,
        temperature: float | Tensor = 1.0,
        *,
        sample: str | Estimator = "relaxed",
        kl: str = "analytic",
        prior_temperature: float | Tensor | None = None,
        multi_sample: bool = False,
        target: Tensor | None = None,
    ) -> LossTerms:
        r"""Return the article's loss, $\mathrm{KL}(q(z|x)\,|\,p(z)) - \frac1L \sum_{l=1}^L \ln p(x|z_l)$.

        L is the first dimension of noise.

        With relaxed codes and the analytic KL of the discrete code this is *not* a bound on $-\ln p(x)$
        (article's slip 7). With `kl="concrete"` it is one, for the relaxed model (Maddison et al. 2016, Eq.
        20).

        Args:
            x: Images (B, D).
            noise: Noise (S, B, ...) from `VAE.noise`.
            temperature: $\lambda > 0$.
            sample: "relaxed" codes; "straight_through": hard value, relaxed gradient;
                "local_expectation": hard codes and their unbiased gradient, at the price of one decoding a
                bit; or any other estimator of `catvae_lib.estimators`, itself.
            kl: "analytic", the closed form for the discrete code; "concrete", one sample of the relaxed
                densities' log-ratio; or "sampled", on the same codes as the likelihood: the estimator is
                given `log_weight` to maximize, as the multi-sample objectives (`vimco`) need it.
            prior_temperature: Temperature of the relaxed prior, only for kl="concrete"; that of the posterior
                if None. It plays no part with prior="encoder", whose KL is 0.
            multi_sample: Minus the log of the mean weight of the S relaxed codes, in place of the mean of
                their logs; only with sample="relaxed" and kl="concrete" (Maddison et al. 2016, Sec. 4.2).
            target: Images (B, D) to reconstruct; x itself if None. A denoising VAE sees a corrupted x and
                reconstructs the clean one.

        Returns:
            LossTerms of shape (B,), in nats, summed over pixels and code dimensions.

        Raises:
            ValueError: If shapes disagree, a word is unknown, or prior_temperature or multi_sample comes
                without kl="concrete".
        """
        check_kl(kl, sample, prior_temperature, multi_sample)
        estimator, params = estimator_of(sample, kl), self.encode(x)
        self._check_samples("noise", noise, x)
        target = self._check_target(x, target)
        if kl == "sampled":
            whole = partial(self._log_weight, target, params)
            return self._whole(-estimator(self.latent, params, noise, whole, temperature), params)
        of_prior = temperature if prior_temperature is None else prior_temperature
        log_ratio = self._log_ratio(kl, params, noise, temperature, of_prior)  # (S, B), or (1, B)
        if multi_sample:
            surprise = self._surprise(target, self.latent.relaxed(params, noise, temperature))  # (S, B)
            total = math.log(len(noise)) - torch.logsumexp(-surprise - log_ratio, 0)
            return self._whole(total, params)
        reconstruction = estimator(self.latent, params, noise, partial(self._surprise, target), temperature)
        return LossTerms(reconstruction + log_ratio.mean(0), reconstruction, log_ratio.mean(0))

    def forward(
        self, x: Tensor, noise: Tensor, temperature: float | Tensor = 1.0, **options: Any
    ) -> LossTerms:
        """Return `loss`, so that `torch.func.functional_call` can take it with weights of its own."""
        return self.loss(x, noise, temperature, **options)

    def log_weight(self, x: Tensor, z: Tensor, params: Tensor) -> Tensor:
        r"""Return $\ln w = \ln p(x|z) + \ln p(z) - \ln q(z|x)$ in nats, (S, B), for hard z (S, B, ...)."""
        self._check_images(x)
        self._check_samples("z", z, x)
        _validate.floating("params", params)
        if z.dtype != x.dtype:
            raise ValueError(f"z must have the dtype of x, {x.dtype}, got {z.dtype}")
        if tuple(params.shape) != (wanted := (x.shape[0], self.latent.num_parameters)):
            raise ValueError(f"params must have shape {wanted}, got {tuple(params.shape)}")
        return self._log_weight(x, params, z)

    @torch.no_grad()
    def bound(
        self,
        x: Tensor,
        num_samples: int,
        *,
        generator: torch.Generator | None = None,
        chunk: int = 1024,
        precision: str = "float32",
    ) -> Tensor:
        r"""Return the multi-sample bound $\ln \frac1S \sum_s w_s$, at most $\ln p(x)$ on average.

        It is evaluated on the discrete graph (Burda et al. 2016). With one sample it is an unbiased estimate
        of the ELBO; with more it rises towards $\ln p(x)$. Higher is better.

        Args:
            x: Images (B, D).
            num_samples: S, the number of codes for each image.
            generator: Source of randomness, on the device of x.
            chunk: How many codes are decoded at once; it bounds the memory and changes the result only by
                rounding and by the order in which noise is drawn.
            precision: Of the networks' matrix products. "float32" means the model's own; "bfloat16" is faster
                where the machine has instructions for it, and moves the mean over many images by less than
                its sampling error; "auto" is bfloat16 just there, for a float32 model. Noise and densities
                stay in the precision of x.

        Returns:
            Bounds in nats, (B,).

        Raises:
            ValueError: If num_samples or chunk is below 1, x has the wrong shape or values, or the precision
                is unknown or does not fit the model.
        """
        _validate.count("num_samples", num_samples)
        _validate.count("chunk", chunk)
        self._check_images(x)
        weight = next(self.parameters(), x)
        dtype = _precision.of_products(precision, weight)
        model = self if dtype == weight.dtype else deepcopy(self).to(dtype)
        piece = max(1, chunk // min(num_samples, _CODES_A_PASS))  # images, each with a few codes a pass
        with _workers(x) as (pool, ahead):
            parts = [
                model._bound_of_piece(part, num_samples, generator, chunk, pool, ahead)
                for part in x.split(piece)
            ]
        return torch.cat(parts)

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the mean image (B, D) that the decoder makes of the most probable code of x (B, D)."""
        return self._mean_image(self.decode(self.latent.mode(self.encode(x))))

    @torch.no_grad()
    def generate(self, num_samples: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Return the mean images (num_samples, D) of codes drawn from the prior."""
        _validate.count("num_samples", num_samples)
        _validate.one_of("prior", self.prior, ("latent",))
        z = self.latent.sample_prior(num_samples, generator=generator)
        return self._mean_image(self.decode(z.to(next(self.parameters(), z))))

    def _bound_of_piece(
        self,
        x: Tensor,
        num_samples: int,
        generator: torch.Generator | None,
        chunk: int,
        pool: Executor | None,
        ahead: int,
    ) -> Tensor:
        params = self.encode(x)
        _validate.floating("the encoder's output", params)
        total = x.new_full((x.shape[0],), -math.inf)
        per_pass = max(1, chunk // max(1, x.shape[0]))
        waiting: deque[Future[Tensor]] = deque()
        with _validate.trusted():  # nothing below can become NaN but by the decoder
            for start in range(0, num_samples, per_pass):
                noise = self.latent.noise(params, min(per_pass, num_samples - start), generator=generator)
                if pool is None:
                    total = torch.logaddexp(total, self._log_sum_weight(x, params, noise))
                    continue
                waiting.append(pool.submit(self._log_sum_weight, x, params, noise))
                if len(waiting) > ahead:
                    total = torch.logaddexp(total, waiting.popleft().result())
            while waiting:
                total = torch.logaddexp(total, waiting.popleft().result())
        _validate.floating("the decoder's output", total)
        return total - math.log(num_samples)

    @torch.no_grad()  # which each thread must say for itself
    def _log_sum_weight(self, x: Tensor, params: Tensor, noise: Tensor) -> Tensor:
        """Return log sum_s w_s of the hard codes of one pass, (B,)."""
        return torch.logsumexp(self.log_weight(x, self.latent.hard(params, noise), params), 0)

    def _whole(self, total: Tensor, params: Tensor) -> LossTerms:
        """Part a loss that is not made of two terms by the KL in closed form, 0 where there is none."""
        closed = self.latent.analytic and self.prior == "latent"
        divergence = self.latent.kl(params).detach() if closed else torch.zeros_like(total)
        return LossTerms(total, total - divergence, divergence)

    def _log_ratio(
        self,
        kl: str,
        params: Tensor,
        noise: Tensor,
        temperature: float | Tensor,
        prior_temperature: float | Tensor,
    ) -> Tensor:
        """Return the KL (1, B) in closed form, or its summand for each relaxed code (S, B)."""
        if self.prior == "encoder":
            return params.new_zeros(1, len(params))
        if kl == "analytic":
            return self.latent.kl(params).unsqueeze(0)
        return self.latent.relaxed_log_ratio(params, noise, temperature, prior_temperature)

    def _log_weight(self, x: Tensor, params: Tensor, z: Tensor) -> Tensor:
        if self.prior == "encoder":
            return self._log_likelihood(x, self.decode(z))
        log_ratio = self.latent.prior_log_prob(z) - self.latent.log_prob(z, params)
        return self._log_likelihood(x, self.decode(z)) + log_ratio

    def _surprise(self, x: Tensor, z: Tensor) -> Tensor:
        """Return -log p(x given z), (..., B)."""
        return -self._log_likelihood(x, self.decode(z))

    def _log_likelihood(self, x: Tensor, output: Tensor) -> Tensor:
        """Return log p(x given z), (S, B), from the decoder's output (S, B, D)."""
        if self.prior == "encoder":
            x = x[..., -output.shape[-1] :]
        if output.shape[-1] != x.shape[-1]:
            raise ValueError(
                f"x must have {output.shape[-1]} pixels like the decoder's output, got {tuple(x.shape)}"
            )
        if self.likelihood == "bernoulli":
            inner: Tensor = torch.linalg.vecdot(x, output)
            return inner - softplus(output).sum(-1)  # x l - ln(1 + e^l), summed over pixels
        return (-0.5 * (x - output).square() - 0.5 * math.log(2 * math.pi)).sum(-1)

    def _mean_image(self, output: Tensor) -> Tensor:
        return torch.sigmoid(output) if self.likelihood == "bernoulli" else output

    def _check_images(self, x: Tensor, name: str = "x") -> None:
        _validate.floating(name, x)
        if x.ndim != 2:
            raise ValueError(f"{name} must have shape (B, D), got {tuple(x.shape)}")
        weight = next(self.parameters(), x)
        mixed = x.dtype == torch.float32 and weight.dtype in (torch.bfloat16, torch.float16)
        if x.dtype != weight.dtype and not mixed:
            raise ValueError(
                f"{name} must have the dtype of the model's weights, {weight.dtype}, got {x.dtype}"
            )
        if self.likelihood == "bernoulli":
            _validate.inside_unit_interval(name, x)

    def _check_target(self, x: Tensor, target: Tensor | None) -> Tensor:
        target = x if target is None else target
        self._check_images(target, "target")
        if len(target) != len(x):
            raise ValueError(f"target must hold an image for each of the {len(x)} of x, got {len(target)}")
        return target

    def _check_samples(self, name: str, value: Tensor, x: Tensor) -> None:
        _validate.floating(name, value)
        expected = (x.shape[0], *self.latent.event_shape)
        if value.ndim != len(expected) + 1 or tuple(value.shape[1:]) != expected or value.shape[0] == 0:
            raise ValueError(
                f"{name} must have shape (S, {', '.join(map(str, expected))}), got {tuple(value.shape)}"
            )


@contextmanager
def _workers(x: Tensor) -> Iterator[tuple[Executor | None, int]]:
    """Give each CPU thread passes of its own, which is faster than all of them at one pass after another.

    The noise is drawn, and the passes are added up, in one order: the result is that of one thread.
    """
    threads = torch.get_num_threads()
    if x.device.type != "cpu" or threads == 1:
        yield None, 0
        return
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            yield pool, 2 * threads
    finally:
        torch.set_num_threads(threads)
