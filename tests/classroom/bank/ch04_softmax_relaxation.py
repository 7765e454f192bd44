import math

import torch
from torch.nn.functional import logsigmoid, one_hot, softplus

from bank import right, wrong


def hard_of(logits, noise):
    return one_hot((logits + noise).argmax(-1), logits.shape[-1]).to(logits.dtype)


def soft_of(logits, noise, temperature):
    return torch.softmax((logits + noise) / temperature, dim=-1)


# relaxed_one_hot


@right("relaxed_one_hot")
def _(logits, noise, temperature):
    return torch.softmax((logits + noise) / temperature, dim=-1)


@right("relaxed_one_hot")
def _(logits, noise, temperature):
    scores = (torch.log_softmax(logits, -1) + noise) / temperature
    return torch.exp(scores - torch.logsumexp(scores, -1, keepdim=True))


@right("relaxed_one_hot")
def _(logits, noise, temperature):
    scores = (logits + noise) / temperature
    weights = torch.exp(scores - scores.max(-1, keepdim=True).values)
    return weights / weights.sum(-1, keepdim=True)


wrong("relaxed_one_hot", "as the article prints it")(
    lambda logits, noise, temperature: torch.softmax(logits + noise, dim=-1)
)
wrong("relaxed_one_hot", "logits alone")(
    lambda logits, noise, temperature: torch.softmax(logits / temperature + noise, dim=-1)
)
wrong("relaxed_one_hot", "noise alone")(
    lambda logits, noise, temperature: torch.softmax(logits + noise / temperature, dim=-1)
)
wrong("relaxed_one_hot", "multiplies")(
    lambda logits, noise, temperature: torch.softmax((logits + noise) * temperature, dim=-1)
)
wrong("relaxed_one_hot", "wrong sign")(
    lambda logits, noise, temperature: torch.softmax((logits - noise) / temperature, dim=-1)
)
wrong("relaxed_one_hot", "not a sample")(
    lambda logits, noise, temperature: torch.softmax(logits / temperature, dim=-1)
)
wrong("relaxed_one_hot", "added to probabilities")(
    lambda logits, noise, temperature: torch.softmax(
        (torch.softmax(logits, dim=-1) + noise) / temperature, dim=-1
    )
)
wrong("relaxed_one_hot", "first dimension")(
    lambda logits, noise, temperature: torch.softmax((logits + noise) / temperature, dim=0)
)
wrong("relaxed_one_hot", "Dimension out of range")(
    lambda logits, noise, temperature: torch.softmax((logits + noise) / temperature, dim=1)
)
wrong("relaxed_one_hot", "count from the end")(
    lambda logits, noise, temperature: torch.softmax(
        (logits + noise) / temperature, dim=0 if logits.ndim == 1 else 1
    )
)
wrong("relaxed_one_hot", "logarithms of the relaxed")(
    lambda logits, noise, temperature: torch.log_softmax((logits + noise) / temperature, dim=-1)
)
wrong("relaxed_one_hot", "bit of its own")(
    lambda logits, noise, temperature: torch.sigmoid((logits + noise) / temperature)
)
wrong("relaxed_one_hot", "the hard sample")(lambda logits, noise, temperature: hard_of(logits, noise))
wrong("relaxed_one_hot", "detached")(
    lambda logits, noise, temperature: (
        soft_of(logits, noise, temperature).detach() + torch.softmax(logits, -1) * 0
    )
)


@wrong("relaxed_one_hot", "NaN")
def _(logits, noise, temperature):
    numerator = torch.exp((logits + noise) / temperature)
    return numerator / numerator.sum(-1, keepdim=True)


@wrong("relaxed_one_hot", "each row should")
def _(logits, noise, temperature):
    scores = (logits + noise) / temperature
    numerator = torch.exp(scores - scores.max())
    return numerator / numerator.sum()


@wrong("relaxed_one_hot", "clamped")
def _(logits, noise, temperature):
    numerator = torch.exp(((logits + noise) / temperature).clamp(-300, 300))
    return numerator / numerator.sum(-1, keepdim=True)


# straight_through_one_hot


@right("straight_through_one_hot")
def _(logits, noise, temperature):
    relaxed = torch.softmax((logits + noise) / temperature, dim=-1)
    hard = one_hot(relaxed.argmax(-1), logits.shape[-1]).to(logits.dtype)
    return hard + (relaxed - relaxed.detach())


@right("straight_through_one_hot")
def _(logits, noise, temperature):
    relaxed = torch.softmax((logits + noise) / temperature, dim=-1)
    index = (logits + noise).max(-1, keepdim=True).indices
    hard = torch.zeros_like(relaxed).scatter_(-1, index, 1.0)
    return (hard - relaxed).detach() + relaxed


@right("straight_through_one_hot")
def _(logits, noise, temperature):
    class HardForward(torch.autograd.Function):
        @staticmethod
        def forward(ctx, relaxed):
            return (relaxed == relaxed.amax(-1, keepdim=True)).to(relaxed.dtype)

        @staticmethod
        def backward(ctx, gradient):
            return gradient

    return HardForward.apply(torch.softmax((logits + noise) / temperature, dim=-1))


wrong("straight_through_one_hot", "without gradient")(
    lambda logits, noise, temperature: hard_of(logits, noise)
)
wrong("straight_through_one_hot", "value is the relaxed sample")(soft_of)
wrong("straight_through_one_hot", "without gradient")(
    lambda logits, noise, temperature: (
        hard_of(logits, noise) + (soft_of(logits, noise, temperature) * 0).detach()
    )
)


@wrong("straight_through_one_hot", "wrong sign")
def _(logits, noise, temperature):
    relaxed = soft_of(logits, noise, temperature)
    return hard_of(logits, noise) - relaxed + relaxed.detach()


@wrong("straight_through_one_hot", "cancels itself")
def _(logits, noise, temperature):
    relaxed = soft_of(logits, noise, temperature)
    return relaxed + (hard_of(logits, noise) - relaxed)


@wrong("straight_through_one_hot", "value is the relaxed sample")
def _(logits, noise, temperature):
    relaxed, hard = soft_of(logits, noise, temperature), hard_of(logits, noise)
    return relaxed + (hard - hard.detach())


@wrong("straight_through_one_hot", "hard plus relaxed")
def _(logits, noise, temperature):
    return hard_of(logits, noise).detach() + soft_of(logits, noise, temperature)


@wrong("straight_through_one_hot", "hard minus relaxed")
def _(logits, noise, temperature):
    return hard_of(logits, noise) - soft_of(logits, noise, temperature).detach()


@wrong("straight_through_one_hot", "at temperature 1")
def _(logits, noise, temperature):
    relaxed = torch.softmax(logits + noise, dim=-1)
    return hard_of(logits, noise) + relaxed - relaxed.detach()


@wrong("straight_through_one_hot", "softmax without noise")
def _(logits, noise, temperature):
    relaxed = torch.softmax(logits / temperature, dim=-1)
    return hard_of(logits, noise) + relaxed - relaxed.detach()


@wrong("straight_through_one_hot", "that of the probabilities")
def _(logits, noise, temperature):
    relaxed = torch.softmax(logits, dim=-1)
    return hard_of(logits, noise) + relaxed - relaxed.detach()


@wrong("straight_through_one_hot", "softmax is left out")
def _(logits, noise, temperature):
    return hard_of(logits, noise) + logits - logits.detach()


@wrong("straight_through_one_hot", "likeliest category")
def _(logits, noise, temperature):
    relaxed = soft_of(logits, noise, temperature)
    return one_hot(logits.argmax(-1), logits.shape[-1]).to(logits.dtype) + relaxed - relaxed.detach()


@wrong("straight_through_one_hot", "Rounding is no argmax")
def _(logits, noise, temperature):
    relaxed = soft_of(logits, noise, temperature)
    return relaxed.round().detach() + relaxed - relaxed.detach()


@wrong("straight_through_one_hot", "shape")
def _(logits, noise, temperature):
    return (logits + noise).argmax(-1)


@wrong("straight_through_one_hot", "torch.int64")
def _(logits, noise, temperature):
    return one_hot((logits + noise).argmax(-1), logits.shape[-1])


@wrong("straight_through_one_hot", "in place")
def _(logits, noise, temperature):
    noise += logits.detach()
    relaxed = torch.softmax((logits - logits.detach() + noise) / temperature, dim=-1)
    return one_hot(noise.argmax(-1), logits.shape[-1]) + relaxed - relaxed.detach()


# relaxed_bit_log_density


@right("relaxed_bit_log_density")
def _(y, logits, temperature):
    noise = temperature * y - logits
    return math.log(temperature) + logsigmoid(noise) + logsigmoid(-noise)


@right("relaxed_bit_log_density")
def _(y, logits, temperature):
    distance = (temperature * y - logits).abs()
    return math.log(temperature) - distance - 2 * torch.log1p(torch.exp(-distance))


@right("relaxed_bit_log_density")
def _(y, logits, temperature):
    alpha = logits - temperature * y
    return torch.tensor(temperature, dtype=y.dtype).log() + alpha - 2 * softplus(alpha)


wrong("relaxed_bit_log_density", "inner derivative is missing")(
    lambda y, logits, temperature: logsigmoid(temperature * y - logits) + logsigmoid(logits - temperature * y)
)
wrong("relaxed_bit_log_density", "inner derivative has the wrong sign")(
    lambda y, logits, temperature: (
        logsigmoid(temperature * y - logits) + logsigmoid(logits - temperature * y) - math.log(temperature)
    )
)
wrong("relaxed_bit_log_density", "temperature itself was added")(
    lambda y, logits, temperature: (
        logsigmoid(temperature * y - logits) + logsigmoid(logits - temperature * y) + temperature
    )
)
wrong("relaxed_bit_log_density", "peaks on the wrong side")(
    lambda y, logits, temperature: (
        math.log(temperature) + logsigmoid(temperature * y + logits) + logsigmoid(-logits - temperature * y)
    )
)
wrong("relaxed_bit_log_density", "multiplied by the temperature")(
    lambda y, logits, temperature: (
        math.log(temperature)
        + logsigmoid(temperature * (y - logits))
        + logsigmoid(temperature * (logits - y))
    )
)
wrong("relaxed_bit_log_density", "inverted")(
    lambda y, logits, temperature: (
        logsigmoid(y / temperature - logits) + logsigmoid(logits - y / temperature) - math.log(temperature)
    )
)
wrong("relaxed_bit_log_density", "does not depend on the temperature")(
    lambda y, logits, temperature: logsigmoid(y - logits) + logsigmoid(logits - y)
)
wrong("relaxed_bit_log_density", "This is the density;")(
    lambda y, logits, temperature: (
        temperature * torch.sigmoid(temperature * y - logits) * torch.sigmoid(logits - temperature * y)
    )
)
wrong("relaxed_bit_log_density", "This is the CDF")(
    lambda y, logits, temperature: torch.sigmoid(temperature * y - logits)
)
wrong("relaxed_bit_log_density", "logarithm of the CDF")(
    lambda y, logits, temperature: logsigmoid(temperature * y - logits)
)
wrong("relaxed_bit_log_density", "differentiate with respect to v")(
    lambda y, logits, temperature: torch.zeros_like(y)
)


@wrong("relaxed_bit_log_density", "measured in x")
def _(y, logits, temperature):
    noise = temperature * y - logits
    log_p = math.log(temperature) + logsigmoid(noise) + logsigmoid(-noise)
    return log_p - logsigmoid(y) - logsigmoid(-y)


@wrong("relaxed_bit_log_density", "Jacobian between x and y")
def _(y, logits, temperature):
    noise = temperature * y - logits
    log_p = math.log(temperature) + logsigmoid(noise) + logsigmoid(-noise)
    return log_p + logsigmoid(y) + logsigmoid(-y)


@wrong("relaxed_bit_log_density", "Gumbel noise")
def _(y, logits, temperature):
    noise = temperature * y - logits
    return math.log(temperature) - noise - torch.exp(-noise)


@wrong("relaxed_bit_log_density", "not symmetric")
def _(y, logits, temperature):
    noise = temperature * y - logits
    return math.log(temperature) - noise - torch.log1p(torch.exp(-noise))


@wrong("relaxed_bit_log_density", "an infinity")
def _(y, logits, temperature):
    noise = temperature * y - logits
    return torch.log(temperature * torch.sigmoid(noise) * torch.sigmoid(-noise))


@wrong("relaxed_bit_log_density", "an infinity")
def _(y, logits, temperature):
    noise = temperature * y - logits
    return math.log(temperature) - noise - 2 * torch.log(1 + torch.exp(-noise))


@wrong("relaxed_bit_log_density", "use logsigmoid")
def _(y, logits, temperature):
    s = torch.sigmoid(temperature * y - logits)
    return math.log(temperature) + torch.log(s + 1e-40) + torch.log(1 - s + 1e-40)


@wrong("relaxed_bit_log_density", "summed")
def _(y, logits, temperature):
    noise = temperature * y - logits
    return (math.log(temperature) + logsigmoid(noise) + logsigmoid(-noise)).sum()


# mended_relaxation


@right("mended_relaxation")
def _(logits, noise, num_categories, temperature):
    scores = ((logits + noise) / temperature).unflatten(-1, (-1, num_categories))
    return torch.softmax(scores, dim=-1).flatten(-2)


@right("mended_relaxation")
def _(logits, noise, num_categories, temperature):
    pieces = ((logits + noise) / temperature).split(num_categories, dim=-1)
    return torch.cat([torch.softmax(piece, dim=-1) for piece in pieces], dim=-1)


@right("mended_relaxation")
def _(logits, noise, num_categories, temperature):
    scores = (logits + noise).reshape(-1, num_categories) / temperature
    weights = torch.exp(scores - scores.amax(-1, keepdim=True))
    return (weights / weights.sum(-1, keepdim=True)).reshape(logits.shape)


wrong("mended_relaxation", "Nothing has changed")(
    lambda logits, noise, num_categories, temperature: soft_of(logits, noise, temperature)
)
wrong("mended_relaxation", "matter of one factor")(
    lambda logits, noise, num_categories, temperature: (
        soft_of(logits, noise, temperature) * logits.shape[1] / num_categories
    )
)
wrong("mended_relaxation", "examples of the batch")(
    lambda logits, noise, num_categories, temperature: torch.softmax((logits + noise) / temperature, 0)
)
wrong("mended_relaxation", "bit of its own")(
    lambda logits, noise, num_categories, temperature: torch.sigmoid((logits + noise) / temperature)
)


@wrong("mended_relaxation", "over the N variables")
def _(logits, noise, num_categories, temperature):
    scores = ((logits + noise) / temperature).reshape(logits.shape[0], -1, num_categories)
    return torch.softmax(scores, dim=1).reshape(logits.shape)


@wrong("mended_relaxation", "K groups of N")
def _(logits, noise, num_categories, temperature):
    scores = ((logits + noise) / temperature).reshape(logits.shape[0], num_categories, -1)
    return torch.softmax(scores, dim=1).reshape(logits.shape)


@wrong("mended_relaxation", "K pieces of N")
def _(logits, noise, num_categories, temperature):
    scores = ((logits + noise) / temperature).reshape(logits.shape[0], num_categories, -1)
    return torch.softmax(scores, dim=-1).reshape(logits.shape)


@wrong("mended_relaxation", "temperature has disappeared")
def _(logits, noise, num_categories, temperature):
    return torch.softmax((logits + noise).unflatten(1, (-1, num_categories)), -1).flatten(1)


@wrong("mended_relaxation", "logits alone")
def _(logits, noise, num_categories, temperature):
    return torch.softmax((logits / temperature + noise).unflatten(1, (-1, num_categories)), -1).flatten(1)


@wrong("mended_relaxation", "noise alone")
def _(logits, noise, num_categories, temperature):
    return torch.softmax((logits + noise / temperature).unflatten(1, (-1, num_categories)), -1).flatten(1)


@wrong("mended_relaxation", "noise has disappeared")
def _(logits, noise, num_categories, temperature):
    return torch.softmax((logits / temperature).unflatten(1, (-1, num_categories)), -1).flatten(1)


@wrong("mended_relaxation", "NaN")
def _(logits, noise, num_categories, temperature):
    flat = soft_of(logits, noise, temperature).unflatten(1, (-1, num_categories))
    return (flat / flat.sum(-1, keepdim=True)).flatten(1)


@wrong("mended_relaxation", "left in it")
def _(logits, noise, num_categories, temperature):
    flat = soft_of(logits, noise, temperature).unflatten(1, (-1, num_categories))
    return (flat / (flat.sum(-1, keepdim=True) + 1e-30)).flatten(1)


@wrong("mended_relaxation", "One axis too many")
def _(logits, noise, num_categories, temperature):
    return torch.softmax(((logits + noise) / temperature).unflatten(1, (-1, num_categories)), -1)


@wrong("mended_relaxation", "K neighbours at a time")
def _(logits, noise, num_categories, temperature):
    return torch.full_like(logits, 1 / num_categories)


@wrong("mended_relaxation", "without gradient")
def _(logits, noise, num_categories, temperature):
    with torch.no_grad():
        scores = ((logits + noise) / temperature).unflatten(1, (-1, num_categories))
        return torch.softmax(scores, -1).flatten(1)


@wrong("mended_relaxation", "invalid for input of size")
def _(logits, noise, num_categories, temperature):
    return torch.softmax(((logits + noise) / temperature).reshape(-1, 20, 10), -1).reshape(-1, 200)


# Functions that draw noise of their own, and indices.

wrong("relaxed_one_hot", "draw none inside")(
    lambda logits, noise, temperature: torch.nn.functional.gumbel_softmax(logits, tau=temperature)
)
wrong("straight_through_one_hot", "draw none inside")(
    lambda logits, noise, temperature: torch.nn.functional.gumbel_softmax(logits, tau=temperature, hard=True)
)
wrong("straight_through_one_hot", "numbers of the categories")(
    lambda logits, noise, temperature: (logits + noise).argmax(-1)
)
