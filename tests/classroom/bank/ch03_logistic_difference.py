import math

import torch

from bank import right, wrong

# logistic_from_uniform


@right("logistic_from_uniform")
def _(u, loc, scale):
    return loc + scale * (torch.log(u) - torch.log1p(-u))


@right("logistic_from_uniform")
def _(u, loc, scale):
    return torch.logit(u) * scale + loc


@right("logistic_from_uniform")
def _(u, loc, scale):
    return loc - scale * torch.log(1 / u - 1)


wrong("logistic_from_uniform", "decreases in u")(
    lambda u, loc, scale: loc + scale * (torch.log(1 - u) - torch.log(u))
)
wrong("logistic_from_uniform", "does not depend on loc")(lambda u, loc, scale: torch.log(u / (1 - u)))
wrong("logistic_from_uniform", "divides")(lambda u, loc, scale: loc + torch.logit(u) / scale)
wrong("logistic_from_uniform", "location is added last")(lambda u, loc, scale: scale * (loc + torch.logit(u)))
wrong("logistic_from_uniform", "second logarithm")(lambda u, loc, scale: loc + scale * torch.log(u * (1 - u)))
wrong("logistic_from_uniform", "left tail")(lambda u, loc, scale: loc + scale * torch.log(u))
wrong("logistic_from_uniform", "Gumbel noise")(lambda u, loc, scale: loc - scale * torch.log(-torch.log(u)))
wrong("logistic_from_uniform", "This is the CDF")(lambda u, loc, scale: torch.sigmoid((u - loc) / scale))
wrong("logistic_from_uniform", "clamped")(lambda u, loc, scale: loc + scale * torch.logit(u, eps=1e-7))
wrong("logistic_from_uniform", "solve for x")(
    lambda u, loc, scale: loc + scale * torch.logit(torch.rand_like(u))
)
wrong("logistic_from_uniform", "must be Tensor")(
    lambda u, loc, scale: loc + scale * (torch.log(u) - torch.log(1 - torch.tensor(0.5).item()))
)
wrong("logistic_from_uniform", "in place")(lambda u, loc, scale: u.logit_().mul(scale) + loc)

# hard_bit


@right("hard_bit")
def _(logits, noise):
    return (logits + noise > 0).to(logits.dtype)


@right("hard_bit")
def _(logits, noise):
    return torch.where(noise > -logits, torch.ones_like(logits), torch.zeros_like(logits))


@right("hard_bit")
def _(logits, noise):
    return torch.round(torch.sigmoid(logits + noise))


wrong("hard_bit", "soft bits")(lambda logits, noise: torch.sigmoid(logits + noise))
wrong("hard_bit", "fair coin")(lambda logits, noise: (noise > 0).to(logits.dtype))
wrong("hard_bit", "likelier value")(lambda logits, noise: (logits > 0).to(logits.dtype))
wrong("hard_bit", "exchanged")(lambda logits, noise: (logits + noise < 0).to(logits.dtype))
wrong("hard_bit", "subtracted")(lambda logits, noise: (logits > noise).to(logits.dtype))
wrong("hard_bit", "never negative")(
    lambda logits, noise: (torch.sigmoid(logits) + noise > 0).to(logits.dtype)
)
wrong("hard_bit", "needs uniform noise")(
    lambda logits, noise: (noise < torch.sigmoid(logits)).to(logits.dtype)
)
wrong("hard_bit", "belongs to a soft bit")(lambda logits, noise: (logits + noise > 0.5).to(logits.dtype))
wrong("hard_bit", "-1 and 1")(lambda logits, noise: torch.sign(logits + noise))
wrong("hard_bit", "torch.bool")(lambda logits, noise: logits + noise > 0)
wrong("hard_bit", "torch.float32")(lambda logits, noise: (logits + noise > 0).float())
wrong("hard_bit", "torch.float64")(lambda logits, noise: (logits + noise > 0).double())
wrong("hard_bit", "draw none inside")(lambda logits, noise: torch.bernoulli(torch.sigmoid(logits)))


@wrong("hard_bit", "ambiguous")
def _(logits, noise):
    return torch.tensor(1.0) if logits + noise > 0 else torch.tensor(0.0)


# difference_cdf


@right("difference_cdf")
def _(x, mu_one, mu_two, scale):
    return torch.sigmoid((x - (mu_one - mu_two)) / scale)


@right("difference_cdf")
def _(x, mu_one, mu_two, scale):
    return 0.5 * (1 + torch.tanh((x - mu_one + mu_two) / (2 * scale)))


@right("difference_cdf")
def _(x, mu_one, mu_two, scale):
    scores = torch.stack([(x + mu_two) / scale, torch.full_like(x, mu_one / scale)])
    return torch.softmax(scores, 0)[0]


wrong("difference_cdf", "standard case")(lambda x, mu_one, mu_two, scale: torch.sigmoid(x))
wrong("difference_cdf", "does not depend on the locations.")(
    lambda x, mu_one, mu_two, scale: torch.sigmoid(x / scale)
)
wrong("difference_cdf", "wrong side")(
    lambda x, mu_one, mu_two, scale: torch.sigmoid((x - (mu_two - mu_one)) / scale)
)
wrong("difference_cdf", "sum of the locations")(
    lambda x, mu_one, mu_two, scale: torch.sigmoid((x - mu_one - mu_two) / scale)
)
wrong("difference_cdf", "does not depend on the scale")(
    lambda x, mu_one, mu_two, scale: torch.sigmoid(x - (mu_one - mu_two))
)
wrong("difference_cdf", "multiplies")(
    lambda x, mu_one, mu_two, scale: torch.sigmoid((x - mu_one + mu_two) * scale)
)
wrong("difference_cdf", "do not add up")(
    lambda x, mu_one, mu_two, scale: torch.sigmoid((x - mu_one + mu_two) / (2 * scale))
)
wrong("difference_cdf", "Gaussian scales")(
    lambda x, mu_one, mu_two, scale: torch.sigmoid((x - mu_one + mu_two) / (math.sqrt(2) * scale))
)
wrong("difference_cdf", "divides x alone")(
    lambda x, mu_one, mu_two, scale: torch.sigmoid(x / scale - (mu_one - mu_two))
)
wrong("difference_cdf", "exceeds x")(
    lambda x, mu_one, mu_two, scale: torch.sigmoid((mu_one - mu_two - x) / scale)
)
wrong("difference_cdf", "Gumbel CDF")(
    lambda x, mu_one, mu_two, scale: torch.exp(-torch.exp(-(x - mu_one + mu_two) / scale))
)


@wrong("difference_cdf", "This is the density")
def _(x, mu_one, mu_two, scale):
    s = torch.sigmoid((x - mu_one + mu_two) / scale)
    return s * (1 - s) / scale


@wrong("difference_cdf", "NaN")
def _(x, mu_one, mu_two, scale):
    e = torch.exp((x - mu_one + mu_two) / scale)
    return e / (1 + e)


wrong("difference_cdf", "0 by infinity")(
    lambda x, mu_one, mu_two, scale: 1 / (1 + torch.exp(-(x - mu_one + mu_two) / scale))
)
wrong("difference_cdf", "slope is not")(
    lambda x, mu_one, mu_two, scale: (
        torch.sigmoid(((x - mu_one + mu_two) / scale).clamp(-30, 30).detach()) + 0 * x
    )
)

# author_probability


@right("author_probability")
def _(p, cut, temperature):
    return 1 - torch.exp(-p * ((1 - cut) / cut) ** temperature)


@right("author_probability")
def _(p, cut, temperature):
    threshold = temperature * torch.logit(torch.tensor(cut, dtype=p.dtype)) - torch.log(p)
    return -torch.expm1(-torch.exp(-threshold))


wrong("author_probability", "that was meant")(lambda p, cut, temperature: p.clone())
wrong("author_probability", "case c = 1/2")(lambda p, cut, temperature: 1 - torch.exp(-p))
wrong("author_probability", "below the cut")(
    lambda p, cut, temperature: torch.exp(-p * ((1 - cut) / cut) ** temperature)
)
wrong("author_probability", "does not depend on the temperature")(
    lambda p, cut, temperature: 1 - torch.exp(-p * (1 - cut) / cut)
)
wrong("author_probability", "undo the division")(
    lambda p, cut, temperature: 1 - torch.exp(-p * ((1 - cut) / cut) ** (1 / temperature))
)
wrong("author_probability", "rises with the cut")(
    lambda p, cut, temperature: 1 - torch.exp(-p * (cut / (1 - cut)) ** temperature)
)
wrong("author_probability", "sigmoid is not undone")(
    lambda p, cut, temperature: 1 - torch.exp(-torch.exp(torch.log(p) - temperature * cut))
)
wrong("author_probability", "p stands where ln p")(
    lambda p, cut, temperature: (
        1 - torch.exp(-torch.exp(p - temperature * (math.log(cut) - math.log(1 - cut))))
    )
)
wrong("author_probability", "logistic noise")(
    lambda p, cut, temperature: 1 / (1 + (cut / (1 - cut)) ** temperature / p)
)
wrong("author_probability", "right sampler")(
    lambda p, cut, temperature: torch.sigmoid(torch.logit(p) - temperature * math.log(cut / (1 - cut)))
)
wrong("author_probability", "not symmetric")(
    lambda p, cut, temperature: torch.exp(-1 / (p * ((1 - cut) / cut) ** temperature))
)
wrong("author_probability", "What remains")(lambda p, cut, temperature: p / (1 + p))


@wrong("author_probability", "tensor of shape")
def _(p, cut, temperature):
    return 1 - math.exp(-p.flatten()[0].item() * ((1 - cut) / cut) ** temperature)


# mended_soft_bits


@right("mended_soft_bits")
def _(logits, temperature, generator):
    u = torch.rand(logits.shape, generator=generator, dtype=logits.dtype)
    return torch.sigmoid((logits + torch.log(u) - torch.log1p(-u)) / temperature)


@right("mended_soft_bits")
def _(logits, temperature, generator):
    u = torch.rand(2, *logits.shape, generator=generator, dtype=logits.dtype)
    one, two = -torch.log(-torch.log(u))
    log_p = torch.stack(
        [torch.nn.functional.logsigmoid(logits) + one, torch.nn.functional.logsigmoid(-logits) + two]
    )
    return torch.softmax(log_p / temperature, 0)[0]


@right("mended_soft_bits")
def _(logits, temperature, generator):
    one, two = torch.empty(2, *logits.shape, dtype=logits.dtype).exponential_(generator=generator).log()
    return 1 / 2 + torch.tanh((logits - one + two) / temperature / 2) / 2


def uniform(logits, generator):
    return torch.rand(logits.shape, generator=generator, dtype=logits.dtype)


def gumbel(logits, generator):
    return -torch.log(-torch.log(uniform(logits, generator)))


wrong("mended_soft_bits", "still one Gumbel")(
    lambda logits, temperature, generator: torch.sigmoid(
        (torch.log(torch.sigmoid(logits)) + gumbel(logits, generator)) / temperature
    )
)
wrong("mended_soft_bits", "ln(1 - p) is missing")(
    lambda logits, temperature, generator: torch.sigmoid(
        (torch.log(torch.sigmoid(logits)) + torch.logit(uniform(logits, generator))) / temperature
    )
)
wrong("mended_soft_bits", "One Gumbel variable leans")(
    lambda logits, temperature, generator: torch.sigmoid((logits + gumbel(logits, generator)) / temperature)
)
wrong("mended_soft_bits", "added to the probability")(
    lambda logits, temperature, generator: torch.sigmoid(
        (torch.sigmoid(logits) + torch.logit(uniform(logits, generator))) / temperature
    )
)
wrong("mended_soft_bits", "half of the time")(
    lambda logits, temperature, generator: torch.sigmoid(
        torch.logit(uniform(logits, generator)) / temperature
    )
)
wrong("mended_soft_bits", "sign of the logit")(
    lambda logits, temperature, generator: torch.sigmoid(
        (torch.logit(uniform(logits, generator)) - logits) / temperature
    )
)
wrong("mended_soft_bits", "logit alone")(
    lambda logits, temperature, generator: torch.sigmoid(
        logits / temperature + torch.logit(uniform(logits, generator))
    )
)
wrong("mended_soft_bits", "noise alone")(
    lambda logits, temperature, generator: torch.sigmoid(
        logits + torch.logit(uniform(logits, generator)) / temperature
    )
)
wrong("mended_soft_bits", "lies wrongly on the two sides")(
    lambda logits, temperature, generator: torch.sigmoid(logits + torch.logit(uniform(logits, generator)))
)
wrong("mended_soft_bits", "lies wrongly on the two sides")(
    lambda logits, temperature, generator: torch.sigmoid(
        (logits + torch.logit(uniform(logits, generator))) * temperature
    )
)
wrong("mended_soft_bits", "normal noise")(
    lambda logits, temperature, generator: torch.sigmoid(
        (logits + torch.randn(logits.shape, generator=generator, dtype=logits.dtype)) / temperature
    )
)
wrong("mended_soft_bits", "hard bits")(
    lambda logits, temperature, generator: (logits + torch.logit(uniform(logits, generator)) > 0).double()
)
wrong("mended_soft_bits", "sigmoid missing")(
    lambda logits, temperature, generator: (logits + torch.logit(uniform(logits, generator))) / temperature
)
wrong("mended_soft_bits", "generator=generator")(
    lambda logits, temperature, generator: torch.sigmoid(
        (logits + torch.logit(torch.rand_like(logits))) / temperature
    )
)
wrong("mended_soft_bits", "two different seeds")(
    lambda logits, temperature, generator: torch.sigmoid(
        (logits + torch.logit(uniform(logits, generator.manual_seed(0)))) / temperature
    )
)
wrong("mended_soft_bits", "share their noise")(
    lambda logits, temperature, generator: torch.sigmoid(
        (logits + torch.logit(uniform(logits[..., :1], generator))) / temperature
    )
)
wrong("mended_soft_bits", "share their noise")(
    lambda logits, temperature, generator: torch.sigmoid(
        (logits + torch.logit(uniform(logits[:1], generator))) / temperature
    )
)
wrong("mended_soft_bits", "cut the gradient")(
    lambda logits, temperature, generator: torch.sigmoid(
        (logits.detach() + torch.logit(uniform(logits, generator))) / temperature
    )
)


@wrong("mended_soft_bits", "1 - p becomes 0")
def _(logits, temperature, generator):
    p, u = torch.sigmoid(logits), uniform(logits, generator)
    return torch.sigmoid((torch.log(p) - torch.log(1 - p) + torch.logit(u)) / temperature)


@wrong("mended_soft_bits", "is part of the sum detached")
def _(logits, temperature, generator):
    z = torch.sigmoid((logits + torch.logit(uniform(logits, generator))) / temperature)
    return z.detach() + torch.sigmoid(logits) - torch.sigmoid(logits).detach()


wrong("mended_soft_bits", "shape (2,)")(
    lambda logits, temperature, generator: torch.sigmoid(
        (logits + torch.logit(uniform(logits, generator))) / temperature
    ).mean(-1)
)
wrong("mended_soft_bits", "torch.float32")(
    lambda logits, temperature, generator: torch.sigmoid(
        (logits.float() + torch.logit(torch.rand(logits.shape, generator=generator))) / temperature
    )
)
wrong("mended_soft_bits", "One soft bit for each logit")(
    lambda logits, temperature, generator: torch.sigmoid(
        torch.logit(torch.rand(2, 3, generator=generator, dtype=logits.dtype)) / temperature
    )
)


# Right on one side of 0 only, clamped probabilities, and diagnoses that used to be another mistake's.

wrong("difference_cdf", "Write each variable")(
    lambda x, mu_one, mu_two, scale: torch.sigmoid((x - abs(mu_one - mu_two)) / scale)
)
wrong("author_probability", "Where p is small")(
    lambda p, cut, temperature: 1 - torch.exp(-(p + 1e-7) * (1 / cut - 1) ** temperature)
)
wrong("author_probability", "sign of ln p")(
    lambda p, cut, temperature: 1 - torch.exp(-((1 / cut - 1) ** temperature) / p)
)
right("author_probability")(lambda p, cut, temperature: -torch.expm1(-p * (1 / cut - 1) ** temperature))


def _uniform(logits, generator):
    u = torch.rand(logits.shape, generator=generator, dtype=logits.dtype)
    return u.clamp(1e-7, 1 - 1e-7)


@wrong("mended_soft_bits", "probability clamped")
def _(logits, temperature, generator):
    p = torch.sigmoid(logits).clamp(1e-6, 1 - 1e-6)
    return torch.sigmoid((torch.logit(p) + torch.logit(_uniform(logits, generator))) / temperature)


@wrong("mended_soft_bits", "an exp overflows")
def _(logits, temperature, generator):
    return 1 / (1 + torch.exp(-(logits + torch.logit(_uniform(logits, generator))) / temperature))


@wrong("mended_soft_bits", "hard bits")
def _(logits, temperature, generator):
    sums = logits + torch.logit(_uniform(logits, generator))
    soft = torch.sigmoid(sums / temperature)
    return (sums > 0).to(logits.dtype) + soft - soft.detach()


@wrong("mended_soft_bits", "noise")
def _(logits, temperature, generator):
    gumbel = -torch.log(-torch.log(_uniform(logits, generator)))
    return torch.sigmoid((logits + gumbel - gumbel) / temperature)


@wrong("mended_soft_bits", "sum of two Gumbel variables")
def _(logits, temperature, generator):
    one, two = (-torch.log(-torch.log(_uniform(logits, generator))) for _ in range(2))
    return torch.sigmoid((logits + one + two) / temperature)


@wrong("mended_soft_bits", "twice its scale")
def _(logits, temperature, generator):
    return torch.sigmoid((logits + 2 * torch.logit(_uniform(logits, generator))) / temperature)


@wrong("mended_soft_bits", "float32")
def _(logits, temperature, generator):
    return torch.sigmoid((logits + torch.logit(_uniform(logits, generator))) / temperature).double()
