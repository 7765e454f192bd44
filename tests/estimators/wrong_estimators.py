"""Estimators with one mistake each, as students and public code make them: the comparison must reject all."""

import torch
from torch import Tensor

from catvae_lib import sampling
from catvae_lib.estimators import Objective
from catvae_lib.estimators._common import attach, probabilities, score
from catvae_lib.estimators.conditional import conditional, harden, perturbed, soften
from catvae_lib.latent import Latent


def rao_through_the_conditional_noise(
    latent: Latent, logits: Tensor, noise: Tensor, f: Objective, t: float | Tensor
) -> Tensor:
    """Gumbel-Rao as its paper's text reads: the derivative goes through the conditional noise too."""
    z = latent.hard(logits, noise[:1])
    relaxed = soften(latent, conditional(latent, logits, z, noise[1:]), t).mean(0, keepdim=True)
    return f(sampling.straight_through(z, relaxed))[0]


def baseline_that_sees_its_own_sample(
    latent: Latent, logits: Tensor, noise: Tensor, f: Objective, t: float | Tensor
) -> Tensor:
    """The mean over all k samples as baseline, divided by k: its own sample is not corrected for."""
    z = latent.hard(logits, noise)
    signal = (f(z) - f(z).mean(0)).unsqueeze(-1)
    return attach(f(z).mean(0), logits, (signal * score(latent, logits, z)).mean(0))


def score_without_its_mean(
    latent: Latent, logits: Tensor, noise: Tensor, f: Objective, t: float | Tensor
) -> Tensor:
    """z in place of z - E[z]: the derivative of ln q in the logits lacks the normalization."""
    z = latent.hard(logits, noise)
    return attach(f(z).mean(0), logits, (f(z).unsqueeze(-1) * z.flatten(2)).mean(0))


def score_with_the_wrong_sign(
    latent: Latent, logits: Tensor, noise: Tensor, f: Objective, t: float | Tensor
) -> Tensor:
    """E[z] - z."""
    z = latent.hard(logits, noise)
    return attach(f(z).mean(0), logits, -(f(z).unsqueeze(-1) * score(latent, logits, z)).mean(0))


def probability_in_place_of_its_logarithm(
    latent: Latent, logits: Tensor, noise: Tensor, f: Objective, t: float | Tensor
) -> Tensor:
    """f times the gradient of q(z), not of ln q(z)."""
    z = latent.hard(logits, noise).detach()
    return (f(z) * latent.log_prob(z, logits).exp()).mean(0)


def hard_code_without_a_path(
    latent: Latent, logits: Tensor, noise: Tensor, f: Objective, t: float | Tensor
) -> Tensor:
    """f at the hard code and nothing else: dz/dlogits is missing, and with it the gradient."""
    return attach(f(latent.hard(logits, noise)).mean(0), logits, torch.zeros_like(logits))


def rebar_without_the_path(
    latent: Latent, logits: Tensor, noise: Tensor, f: Objective, t: float | Tensor
) -> Tensor:
    """REBAR whose control variate is subtracted and never added back through the logits."""
    first, second = noise.chunk(2)
    z = harden(latent, perturbed(latent, logits, first)).detach()
    given = f(soften(latent, conditional(latent, logits, z, second), t)).detach()
    signal = (f(z) - given).unsqueeze(-1)
    return attach(f(z).mean(0), logits, (signal * score(latent, logits, z)).mean(0))


def rebar_with_constant_conditional_noise(
    latent: Latent, logits: Tensor, noise: Tensor, f: Objective, t: float | Tensor
) -> Tensor:
    """REBAR without the derivative through the conditional noise, which here is needed."""
    first, second = noise.chunk(2)
    inner = logits.detach().requires_grad_()
    free = perturbed(latent, inner, first)
    z = harden(latent, free.detach())
    own = perturbed(latent, inner, torch.zeros_like(first))
    given = conditional(latent, inner, z, second).detach() + own - own.detach()
    c_free, c_given = f(soften(latent, free, t)), f(soften(latent, given, t))
    (path,) = torch.autograd.grad((c_free - c_given).mean(0).sum(), inner)
    signal = (f(z) - c_given).detach().unsqueeze(-1)
    return attach(f(z).mean(0), logits, (signal * score(latent, logits, z)).mean(0) + path)


def rebar_on_the_same_noise(
    latent: Latent, logits: Tensor, noise: Tensor, f: Objective, t: float | Tensor
) -> Tensor:
    """REBAR whose conditional sample is the unconditional one: its control variate has not the mean 0."""
    first, _ = noise.chunk(2)
    z = harden(latent, perturbed(latent, logits, first)).detach()
    relaxed = f(soften(latent, perturbed(latent, logits, first), t)).detach()
    signal = (f(z) - relaxed).unsqueeze(-1)
    return attach(f(z).mean(0), logits, (signal * score(latent, logits, z)).mean(0))


def muprop_without_the_linear_part(
    latent: Latent, logits: Tensor, noise: Tensor, f: Objective, t: float | Tensor
) -> Tensor:
    """The expansion is subtracted; the gradient of its mean is not added back."""
    z = latent.hard(logits, noise).detach()
    mean = probabilities(latent, logits.detach()).requires_grad_()
    at_mean = f(mean[None])[0]
    (slope,) = torch.autograd.grad(at_mean.sum(), mean)
    event = tuple(range(-len(latent.event_shape), 0))
    signal = f(z) - at_mean.detach() - (slope * (z - mean.detach())).sum(event)
    return attach(f(z).mean(0), logits, (signal.unsqueeze(-1) * score(latent, logits, z)).mean(0))


def one_noise_for_all_variables(
    latent: Latent, logits: Tensor, noise: Tensor, f: Objective, t: float | Tensor
) -> Tensor:
    """The first variable's noise used for every variable: the code is not a sample of q."""
    dim = -1 if len(latent.event_shape) == 1 else -2
    shared = noise.narrow(dim, 0, 1).expand_as(noise)
    z = latent.hard(logits, shared).detach()
    return attach(f(z).mean(0), logits, (f(z).unsqueeze(-1) * score(latent, logits, z)).mean(0))


def mean_in_place_of_sum(
    latent: Latent, logits: Tensor, noise: Tensor, f: Objective, t: float | Tensor
) -> Tensor:
    """ln q averaged over the variables of the code."""
    z = latent.hard(logits, noise).detach()
    size = latent.event_shape[0]
    return attach(f(z).mean(0), logits, (f(z).unsqueeze(-1) * score(latent, logits, z)).mean(0) / size)


def signal_divided_by_its_spread(
    latent: Latent, logits: Tensor, noise: Tensor, f: Objective, t: float | Tensor
) -> Tensor:
    """The signal standardized over the samples, as advantages are in other fields: its size is lost."""
    z = latent.hard(logits, noise)
    signal = ((f(z) - f(z).mean(0)) / (f(z).std(0) + 1e-8)).unsqueeze(-1)
    return attach(f(z).mean(0), logits, (signal * score(latent, logits, z)).mean(0))


def clipped_signal(latent: Latent, logits: Tensor, noise: Tensor, f: Objective, t: float | Tensor) -> Tensor:
    """f clipped to [-1/4, 1/4] "for stability"."""
    z = latent.hard(logits, noise)
    signal = f(z).clamp(-0.25, 0.25).unsqueeze(-1)
    return attach(f(z).mean(0), logits, (signal * score(latent, logits, z)).mean(0))


def score_at_the_relaxed_code(
    latent: Latent, logits: Tensor, noise: Tensor, f: Objective, t: float | Tensor
) -> Tensor:
    """f at the hard code, and ln q at the soft one, whose mean is not the probability."""
    z = latent.hard(logits, noise)
    soft = latent.relaxed(logits, noise, t).detach()
    return attach(f(z).mean(0), logits, (f(z).unsqueeze(-1) * score(latent, logits, soft)).mean(0))


def rebar_scaled_on_one_side(
    latent: Latent, logits: Tensor, noise: Tensor, f: Objective, t: float | Tensor
) -> Tensor:
    """REBAR whose control variate is halved where it is subtracted, and added back whole."""
    first, second = noise.chunk(2)
    inner = logits.detach().requires_grad_()
    free = perturbed(latent, inner, first)
    z = harden(latent, free.detach())
    c_free, c_given = (f(soften(latent, x, t)) for x in (free, conditional(latent, inner, z, second)))
    (path,) = torch.autograd.grad((c_free - c_given).mean(0).sum(), inner)
    signal = (f(z) - 0.5 * c_given).detach().unsqueeze(-1)
    return attach(f(z).mean(0), logits, (signal * score(latent, logits, z)).mean(0) + path)


def softmax_over_all_variables(
    latent: Latent, logits: Tensor, noise: Tensor, f: Objective, t: float | Tensor
) -> Tensor:
    """One softmax over all N K logits in place of one for each variable: the score's mean is not 0."""
    z = latent.hard(logits, noise)
    of_all = z.flatten(2) - logits.detach().softmax(-1)
    return attach(f(z).mean(0), logits, (f(z).unsqueeze(-1) * of_all).mean(0))


def sigmoid_of_each_category(
    latent: Latent, logits: Tensor, noise: Tensor, f: Objective, t: float | Tensor
) -> Tensor:
    """Categories scored as bits: z - sigmoid(logits)."""
    z = latent.hard(logits, noise)
    own = z.flatten(2) - logits.detach().sigmoid()
    return attach(f(z).mean(0), logits, (f(z).unsqueeze(-1) * own).mean(0))


def arm_of_one_code(latent: Latent, logits: Tensor, noise: Tensor, f: Objective, t: float | Tensor) -> Tensor:
    """ARM without the mirrored code: half of the gradient."""
    value = f(latent.hard(logits, noise))
    return attach(value.mean(0), logits, (value.unsqueeze(-1) * (noise.sigmoid() - 0.5)).mean(0))


def disarm_with_sigmoid_of_the_logit(
    latent: Latent, logits: Tensor, noise: Tensor, f: Objective, t: float | Tensor
) -> Tensor:
    """DisARM with sigma(l) in place of sigma(|l|)."""
    code, mirrored = latent.hard(logits, noise), latent.hard(logits, -noise)
    difference = 0.5 * (f(code) - f(mirrored)).unsqueeze(-1)
    gradient = (difference * (code - mirrored) * logits.detach().sigmoid()).mean(0)
    return attach(f(code).mean(0), logits, gradient)


def arm_averaged_over_its_codes(
    latent: Latent, logits: Tensor, noise: Tensor, f: Objective, t: float | Tensor
) -> Tensor:
    """ARM whose difference of two codes is divided by their number."""
    difference = (f(latent.hard(logits, noise)) - f(latent.hard(logits, -noise))).unsqueeze(-1)
    return attach(difference[..., 0].mean(0), logits, (difference * (noise.sigmoid() - 0.5)).mean(0) / 2)


def disarm_without_its_half(
    latent: Latent, logits: Tensor, noise: Tensor, f: Objective, t: float | Tensor
) -> Tensor:
    """DisARM that forgets the 1/2 of an antithetic pair."""
    code, mirrored = latent.hard(logits, noise), latent.hard(logits, -noise)
    difference = (f(code) - f(mirrored)).unsqueeze(-1)
    gradient = (difference * (code - mirrored) * logits.detach().abs().sigmoid()).mean(0)
    return attach(f(code).mean(0), logits, gradient)


def differences_without_probabilities(
    latent: Latent, logits: Tensor, noise: Tensor, f: Objective, t: float | Tensor
) -> Tensor:
    """f where a bit is 1 less f where it is 0, without theta (1 - theta)."""
    z = latent.hard(logits, noise).detach()
    columns = []
    for i in range(z.shape[-1]):
        one, zero = z.clone(), z.clone()
        one[..., i], zero[..., i] = 1.0, 0.0
        columns.append(f(one) - f(zero))
    return attach(f(z).mean(0), logits, torch.stack(columns, -1).mean(0))


def vimco_without_score(
    latent: Latent, logits: Tensor, noise: Tensor, f: Objective, t: float | Tensor
) -> Tensor:
    """The multi-sample objective weighted by normalized weights only, as if the code were reparameterized."""
    z = latent.hard(logits, noise).detach()
    weight = torch.softmax(f(z), 0).unsqueeze(-1)
    return attach(f(z).mean(0), logits, (weight * score(latent, logits, z)).sum(0))


def vimco_whose_baseline_sees_its_own_sample(
    latent: Latent, logits: Tensor, noise: Tensor, f: Objective, t: float | Tensor
) -> Tensor:
    """Each code's baseline holds its own weight: the signal is L minus the mean of all f."""
    z = latent.hard(logits, noise).detach()
    signal = (torch.logsumexp(f(z), 0) - f(z).mean(0)).unsqueeze(-1)
    return attach(f(z).mean(0), logits, (signal * score(latent, logits, z)).sum(0))


def vimco_averaged_over_its_samples(
    latent: Latent, logits: Tensor, noise: Tensor, f: Objective, t: float | Tensor
) -> Tensor:
    """Two samples, each with the other's value as baseline; the mean of their scores in place of the sum."""
    z = latent.hard(logits, noise).detach()
    signal = (torch.logsumexp(f(z), 0) - f(z).flip(0)).unsqueeze(-1)
    return attach(f(z).mean(0), logits, (signal * score(latent, logits, z)).mean(0))


EVERYWHERE = [
    baseline_that_sees_its_own_sample,
    score_without_its_mean,
    score_with_the_wrong_sign,
    probability_in_place_of_its_logarithm,
    hard_code_without_a_path,
    rebar_without_the_path,
    rebar_with_constant_conditional_noise,
    rebar_on_the_same_noise,
    muprop_without_the_linear_part,
    one_noise_for_all_variables,
    mean_in_place_of_sum,
    signal_divided_by_its_spread,
    clipped_signal,
    score_at_the_relaxed_code,
    rebar_scaled_on_one_side,
]
ON_BITS = [
    arm_of_one_code,
    disarm_with_sigmoid_of_the_logit,
    arm_averaged_over_its_codes,
    disarm_without_its_half,
    differences_without_probabilities,
]
ON_CATEGORIES = [softmax_over_all_variables, sigmoid_of_each_category]
MULTI = [vimco_without_score, vimco_whose_baseline_sees_its_own_sample, vimco_averaged_over_its_samples]
