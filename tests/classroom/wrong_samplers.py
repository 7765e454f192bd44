"""A bank of wrong samplers: each makes one mistake that was seen in real code, and a check must reject it.

Every sampler is a function (probabilities (K,), num_samples, generator) -> category indices (num_samples,).
"""

from collections.abc import Callable

import torch
from torch import Tensor

Sampler = Callable[[Tensor, int, torch.Generator], Tensor]

TEMPERATURE = 0.5
SHARED_BY = 8  # examples in a batch that share one noise
BATCH = 1000  # draws between two seedings


def right_gumbel_max(probabilities: Tensor, num_samples: int, generator: torch.Generator) -> Tensor:
    """Eq. (1): the argmax of log p + Gumbel noise."""
    return (probabilities.log() + _gumbel(probabilities, num_samples, generator)).argmax(-1)


def right_chain_of_bits(probabilities: Tensor, num_samples: int, generator: torch.Generator) -> Tensor:
    """Below Eq. (2): one bit a category, 1 if log u - log(1 - u) + log p - log(1 - p) > 0."""

    def bit(p: Tensor, u: Tensor) -> Tensor:
        return u.log() - (-u).log1p() + p.log() - (-p).log1p() > 0

    return _chain(bit, probabilities, num_samples, generator)


def normal_noise(probabilities: Tensor, num_samples: int, generator: torch.Generator) -> Tensor:
    """Gaussian noise in place of Gumbel noise."""
    shape = (num_samples, probabilities.numel())
    return (probabilities.log() + torch.randn(shape, generator=generator, dtype=torch.float64)).argmax(-1)


def sign_flipped(probabilities: Tensor, num_samples: int, generator: torch.Generator) -> Tensor:
    """Noise with the wrong sign: right for two categories, where only its difference counts, not for more."""
    return (probabilities.log() - _gumbel(probabilities, num_samples, generator)).argmax(-1)


def one_gumbel_for_a_bit(probabilities: Tensor, num_samples: int, generator: torch.Generator) -> Tensor:
    """One Gumbel variable where a bit needs the difference of two."""

    def bit(p: Tensor, u: Tensor) -> Tensor:
        return -(-u.log()).log() + p.log() - (-p).log1p() > 0

    return _chain(bit, probabilities, num_samples, generator)


def temperature_on_noise(probabilities: Tensor, num_samples: int, generator: torch.Generator) -> Tensor:
    """The noise is divided by the temperature, the logits are added after."""
    noise = _gumbel(probabilities, num_samples, generator)
    return (probabilities.log() + noise / TEMPERATURE).argmax(-1)


def temperature_on_logits(probabilities: Tensor, num_samples: int, generator: torch.Generator) -> Tensor:
    """The logits are divided by the temperature, the noise is added after."""
    noise = _gumbel(probabilities, num_samples, generator)
    return (probabilities.log() / TEMPERATURE + noise).argmax(-1)


def missing_log_1_minus_p(probabilities: Tensor, num_samples: int, generator: torch.Generator) -> Tensor:
    """The bit's logit without - log(1 - p), so that the bit is 1 with probability p / (1 + p)."""

    def bit(p: Tensor, u: Tensor) -> Tensor:
        return u.log() - (-u).log1p() + p.log() > 0

    return _chain(bit, probabilities, num_samples, generator)


def lua_sampler(probabilities: Tensor, num_samples: int, generator: torch.Generator) -> Tensor:
    """The author's published bit, sigmoid((log p + one Gumbel) / t) > 1/2: 1 with probability 1 - exp(-p)."""

    def bit(p: Tensor, u: Tensor) -> Tensor:
        return torch.sigmoid((p.log() - (-u.log()).log()) / TEMPERATURE) > 0.5

    return _chain(bit, probabilities, num_samples, generator)


def clamped_uniforms(probabilities: Tensor, num_samples: int, generator: torch.Generator) -> Tensor:
    """Uniforms clamped to [1e-3, 1 - 1e-3], which cuts the Gumbel noise to [-1.93, 6.91]."""
    u = _uniform(probabilities, num_samples, generator).clamp(1e-3, 1 - 1e-3)
    return (probabilities.log() - (-u.log()).log()).argmax(-1)


def rounded_noise(probabilities: Tensor, num_samples: int, generator: torch.Generator) -> Tensor:
    """Noise rounded to one decimal."""
    noise = _gumbel(probabilities, num_samples, generator)
    return (probabilities.log() + (10 * noise).round() / 10).argmax(-1)


def shared_noise(probabilities: Tensor, num_samples: int, generator: torch.Generator) -> Tensor:
    """One noise for a whole batch: each draw is right on its own, and all the draws of a batch are equal."""
    batches = -(-num_samples // SHARED_BY)
    return right_gumbel_max(probabilities, batches, generator).repeat_interleave(SHARED_BY)[:num_samples]


def argmin(probabilities: Tensor, num_samples: int, generator: torch.Generator) -> Tensor:
    """The smallest entry in place of the largest."""
    return (probabilities.log() + _gumbel(probabilities, num_samples, generator)).argmin(-1)


def probabilities_as_logits(probabilities: Tensor, num_samples: int, generator: torch.Generator) -> Tensor:
    """The noise is added to p, not to log p."""
    return (probabilities + _gumbel(probabilities, num_samples, generator)).argmax(-1)


def off_by_one(probabilities: Tensor, num_samples: int, generator: torch.Generator) -> Tensor:
    """Categories counted from 1, and K taken for 0."""
    return (right_gumbel_max(probabilities, num_samples, generator) + 1) % probabilities.numel()


def relu_on_logits(probabilities: Tensor, num_samples: int, generator: torch.Generator) -> Tensor:
    """A network that ends in a ReLU: negative logits become 0, and all of these are negative."""
    return (probabilities.log().relu() + _gumbel(probabilities, num_samples, generator)).argmax(-1)


def one_logarithm(probabilities: Tensor, num_samples: int, generator: torch.Generator) -> Tensor:
    """Noise -log u, which is exponential."""
    return (probabilities.log() - _uniform(probabilities, num_samples, generator).log()).argmax(-1)


def bfloat16_uniforms(probabilities: Tensor, num_samples: int, generator: torch.Generator) -> Tensor:
    """Uniforms in bfloat16, at most 1 - 2^-8: no Gumbel noise above 5.54."""
    u = _uniform(probabilities, num_samples, generator).bfloat16().double().clamp(max=1 - 2.0**-8)
    return (probabilities.log() - (-u.log()).log()).argmax(-1)


def one_noise_for_all_categories(
    probabilities: Tensor, num_samples: int, generator: torch.Generator
) -> Tensor:
    """One number a draw, added to all the logits: the most probable category always wins."""
    return (probabilities.log() + _gumbel(probabilities[:1], num_samples, generator)).argmax(-1)


def temperature_for_epsilon(probabilities: Tensor, num_samples: int, generator: torch.Generator) -> Tensor:
    """The temperature handed over as the epsilon inside the two logarithms."""
    u = _uniform(probabilities, num_samples, generator)
    noise = -(-(u + TEMPERATURE).log().clamp(max=0) + TEMPERATURE).log()
    return (probabilities.log() + noise).argmax(-1)


def rounded_relaxation(probabilities: Tensor, num_samples: int, generator: torch.Generator) -> Tensor:
    """A relaxed sample rounded entry by entry: where none exceeds 1/2, the first category is taken."""
    noise = _gumbel(probabilities, num_samples, generator)
    return ((probabilities.log() + noise) / TEMPERATURE).softmax(-1).round().argmax(-1)


def log_odds_for_logits(probabilities: Tensor, num_samples: int, generator: torch.Generator) -> Tensor:
    """The logit of a bit, log p - log(1 - p), taken for each of K categories."""
    return (probabilities.logit() + _gumbel(probabilities, num_samples, generator)).argmax(-1)


def logarithm_to_base_10(probabilities: Tensor, num_samples: int, generator: torch.Generator) -> Tensor:
    """log10 p in place of ln p."""
    return (probabilities.log10() + _gumbel(probabilities, num_samples, generator)).argmax(-1)


def seeded_anew(probabilities: Tensor, num_samples: int, generator: torch.Generator) -> Tensor:
    """A generator made anew for every batch: the same draws again and again."""
    batch = right_gumbel_max(probabilities, BATCH, generator)
    return batch.repeat(-(-num_samples // BATCH))[:num_samples]


RIGHT: tuple[Sampler, ...] = (right_gumbel_max, right_chain_of_bits)
WRONG: tuple[Sampler, ...] = (
    normal_noise,
    sign_flipped,
    one_gumbel_for_a_bit,
    temperature_on_noise,
    temperature_on_logits,
    missing_log_1_minus_p,
    lua_sampler,
    clamped_uniforms,
    rounded_noise,
    shared_noise,
    argmin,
    probabilities_as_logits,
    off_by_one,
    relu_on_logits,
    one_logarithm,
    bfloat16_uniforms,
    one_noise_for_all_categories,
    temperature_for_epsilon,
    rounded_relaxation,
    log_odds_for_logits,
    logarithm_to_base_10,
    seeded_anew,
)


def _uniform(probabilities: Tensor, num_samples: int, generator: torch.Generator) -> Tensor:
    """Draw one float64 uniform a category, inside (0, 1): the generator can return exactly 0."""
    shape = (num_samples, probabilities.numel())
    return torch.rand(shape, generator=generator, dtype=torch.float64).clamp(min=2.0**-54)


def _gumbel(probabilities: Tensor, num_samples: int, generator: torch.Generator) -> Tensor:
    return -(-_uniform(probabilities, num_samples, generator).log()).log()


def _chain(
    bit: Callable[[Tensor, Tensor], Tensor],
    probabilities: Tensor,
    num_samples: int,
    generator: torch.Generator,
) -> Tensor:
    """Draw a category by asking one bit after the other: is it this one, given that it is none before?

    So a mistake in the sampler of a bit becomes a mistake in a sampler of K categories. The last bit is 1 for
    certain.
    """
    u = _uniform(probabilities, num_samples, generator)
    remaining = probabilities.flip(-1).cumsum(-1).flip(-1)
    hit = bit(probabilities[:-1] / remaining[:-1], u[:, :-1])  # (num_samples, K - 1)
    last = torch.ones(num_samples, 1, dtype=torch.bool)
    return torch.cat([hit, last], -1).int().argmax(-1)  # the first 1
