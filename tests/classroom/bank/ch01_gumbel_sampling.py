import math

import torch

from bank import right, wrong

EULER = 0.5772156649015329

# gumbel_from_uniform


@right("gumbel_from_uniform")
def _(u, loc, scale):
    return loc - scale * torch.log(-torch.log(u))


@right("gumbel_from_uniform")
def _(u, loc, scale):
    return torch.distributions.Exponential(torch.ones_like(u)).icdf(1 - u).log().neg() * scale + loc


wrong("gumbel_from_uniform", "sign")(lambda u, loc, scale: loc + scale * torch.log(-torch.log(u)))
wrong("gumbel_from_uniform", "1 - u")(lambda u, loc, scale: loc - scale * torch.log(-torch.log(1 - u)))
wrong("gumbel_from_uniform", "does not depend on loc")(lambda u, loc, scale: -torch.log(-torch.log(u)))
wrong("gumbel_from_uniform", "divides")(lambda u, loc, scale: loc - torch.log(-torch.log(u)) / scale)
wrong("gumbel_from_uniform", "location is added last")(
    lambda u, loc, scale: scale * (loc - torch.log(-torch.log(u)))
)
wrong("gumbel_from_uniform", "One logarithm is missing")(lambda u, loc, scale: loc - scale * torch.log(u))
wrong("gumbel_from_uniform", "logistic")(lambda u, loc, scale: loc + scale * torch.logit(u))
wrong("gumbel_from_uniform", "NaN")(lambda u, loc, scale: loc - scale * torch.log(torch.log(u)))
wrong("gumbel_from_uniform", "torch.float32")(
    lambda u, loc, scale: (loc - scale * torch.log(-torch.log(u))).float()
)
wrong("gumbel_from_uniform", "in place")(lambda u, loc, scale: u.log_().neg().log().neg() * scale + loc)
wrong("gumbel_from_uniform", "shape")(lambda u, loc, scale: (loc - scale * torch.log(-torch.log(u))).sum())
wrong("gumbel_from_uniform", "solve for x")(
    lambda u, loc, scale: loc - scale * torch.log(-torch.log(torch.rand_like(u)))
)

# gumbel_log_density


@right("gumbel_log_density")
def _(x, loc, scale):
    z = (x - loc) / scale
    return -z - torch.exp(-z) - math.log(scale)


@right("gumbel_log_density")
def _(x, loc, scale):
    return torch.distributions.Gumbel(torch.tensor(loc).double(), torch.tensor(scale).double()).log_prob(x)


wrong("gumbel_log_density", "log of the CDF")(lambda x, loc, scale: -torch.exp(-(x - loc) / scale))
wrong("gumbel_log_density", "This is the CDF")(lambda x, loc, scale: (-(-(x - loc) / scale).exp()).exp())
wrong("gumbel_log_density", "-ln(scale)")(
    lambda x, loc, scale: -(x - loc) / scale - torch.exp(-(x - loc) / scale)
)
wrong("gumbel_log_density", "logarithm is missing")(
    lambda x, loc, scale: torch.exp(-(x - loc) / scale - torch.exp(-(x - loc) / scale)) / scale
)
wrong("gumbel_log_density", "wrong side")(
    lambda x, loc, scale: (x - loc) / scale - torch.exp((x - loc) / scale) - math.log(scale)
)
wrong("gumbel_log_density", "Differentiate")(
    lambda x, loc, scale: -(x - loc) / scale**2 - torch.exp(-(x - loc) / scale**2) - 2 * math.log(scale)
)


@wrong("gumbel_log_density", "infinity")
def _(x, loc, scale):
    z = (x - loc) / scale
    return torch.log(torch.exp(-z - torch.exp(-z)) / scale)


# gumbel_sampler


@right("gumbel_sampler")
def _(shape, generator):
    u = torch.rand(shape, generator=generator).clamp(min=torch.finfo(torch.float32).tiny)
    return -torch.log(-torch.log(u))


@right("gumbel_sampler")
def _(shape, generator):
    return -torch.empty(shape, dtype=torch.float64).exponential_(generator=generator).log()


wrong("gumbel_sampler", "generator=generator")(
    lambda shape, generator: -torch.log(-torch.log(torch.rand(shape)))
)
wrong("gumbel_sampler", "normal noise")(lambda shape, generator: torch.randn(shape, generator=generator))
wrong("gumbel_sampler", "uniform noise")(lambda shape, generator: torch.rand(shape, generator=generator))
wrong("gumbel_sampler", "sign")(
    lambda shape, generator: torch.log(-torch.log(torch.rand(shape, generator=generator).double()))
)
wrong("gumbel_sampler", "one logarithm")(
    lambda shape, generator: -torch.log(1 - torch.rand(shape, generator=generator).double())
)
wrong("gumbel_sampler", "independent")(
    lambda shape, generator: (
        -torch.log(-torch.log(torch.rand(shape, generator=generator).double())).flatten().sort()[0]
    ).reshape(shape)
)
wrong("gumbel_sampler", "seed inside")(
    lambda shape, generator: -torch.log(-torch.log(torch.rand(shape, generator=generator.manual_seed(0))))
)
wrong("gumbel_sampler", "shape (2, 3)")(
    lambda shape, generator: -torch.log(-torch.log(torch.rand(6, generator=generator)))
)

# safe_gumbel


@right("safe_gumbel")
def _(u):
    info = torch.finfo(u.dtype)
    return -torch.log(-torch.log(u.clamp(info.tiny, 1 - info.eps / 2)))


@right("safe_gumbel")
def _(u):
    low, high = torch.tensor(2.0**-40), torch.tensor(1 - 2.0**-24)
    u = torch.where(u <= 0, low, torch.where(u >= 1, high, u))
    return -torch.log(-torch.log(u))


wrong("safe_gumbel", "tail")(lambda u: -torch.log(-torch.log(u)))
wrong("safe_gumbel", "bend the right tail")(lambda u: -torch.log(-torch.log(u + 1e-7) + 1e-7))
wrong("safe_gumbel", "changes the tails")(lambda u: -torch.log(-torch.log(u + 1e-6) + 1e-6))
wrong("safe_gumbel", "nothing should change")(lambda u: -torch.log(-torch.log(u.clamp(0.01, 0.99))))
wrong("safe_gumbel", "torch.float64")(lambda u: -torch.log(-torch.log(u.double().clamp(1e-30, 1 - 1e-15))))
wrong("safe_gumbel", "tail")(lambda u: torch.nan_to_num(-torch.log(-torch.log(u)), posinf=0.0, neginf=0.0))

# fit_gumbel


@right("fit_gumbel")
def _(x):
    scale = x.std() * math.sqrt(6) / math.pi
    return x.mean() - EULER * scale, scale


@right("fit_gumbel")
def _(x):
    scale = torch.sqrt(6 * ((x - x.mean()) ** 2).mean()) / torch.pi
    return torch.stack([x.mean() - EULER * scale, scale]).unbind()


wrong("fit_gumbel", "not the mean")(lambda x: (x.mean(), x.std() * math.sqrt(6) / math.pi))
wrong("fit_gumbel", "stretched")(lambda x: (x.mean() - EULER, x.std() * math.sqrt(6) / math.pi))
wrong("fit_gumbel", "square")(
    lambda x: (x.mean() - EULER * x.var() * 6 / math.pi**2, x.var() * 6 / math.pi**2)
)
wrong("fit_gumbel", "standard deviation is not the scale")(lambda x: (x.mean() - EULER * x.std(), x.std()))
wrong("fit_gumbel", "order")(
    lambda x: (x.std() * math.sqrt(6) / math.pi, x.mean() - EULER * x.std() * math.sqrt(6) / math.pi)
)
wrong("fit_gumbel", "below the mean")(
    lambda x: (x.mean() + EULER * x.std() * math.sqrt(6) / math.pi, x.std() * math.sqrt(6) / math.pi)
)
wrong("fit_gumbel", "2 results")(lambda x: x.mean())
wrong("fit_gumbel", "solve for both")(lambda x: (torch.tensor(0.0).double(), torch.tensor(1.0).double()))


# Tails that are cut, noise that is shared, and a generator that does not move on.

wrong("gumbel_from_uniform", "the tails are not")(
    lambda u, loc, scale: loc - scale * torch.log(-torch.log(u.clamp(1e-6, 1 - 1e-6)))
)
wrong("gumbel_from_uniform", "the tails are not")(
    lambda u, loc, scale: loc - scale * torch.log(-torch.log(u + 1e-10) + 1e-10)
)
wrong("gumbel_log_density", "sign of ln(scale)")(
    lambda x, loc, scale: -(x - loc) / scale - torch.exp(-(x - loc) / scale) + math.log(scale)
)
wrong("gumbel_log_density", "scale itself is subtracted")(
    lambda x, loc, scale: -(x - loc) / scale - torch.exp(-(x - loc) / scale) - scale
)
wrong("gumbel_log_density", "divided by the scale")(
    lambda x, loc, scale: (-(x - loc) / scale - torch.exp(-(x - loc) / scale)) / scale
)
wrong("gumbel_log_density", "never take its logarithm")(
    lambda x, loc, scale: torch.log(
        torch.exp(-(x - loc) / scale - torch.exp(-(x - loc) / scale)) / scale + 1e-30
    )
)


def _gumbel(u):
    return -torch.log(-torch.log(u))


wrong("gumbel_sampler", "share their noise")(
    lambda shape, generator: _gumbel(torch.rand(1, generator=generator)).expand(shape)
)
wrong("gumbel_sampler", "share their noise")(
    lambda shape, generator: _gumbel(torch.rand(shape[-1], generator=generator)).expand(shape)
)
wrong("gumbel_sampler", "outermost thousandths")(
    lambda shape, generator: _gumbel(torch.rand(shape, generator=generator).clamp(0.001, 0.999))
)
wrong("gumbel_sampler", "must move on")(
    lambda shape, generator: _gumbel(
        torch.rand(shape, generator=torch.Generator().manual_seed(generator.initial_seed()))
    )
)
right("gumbel_sampler")(lambda shape, generator: -torch.empty(shape).exponential_(generator=generator).log())
wrong("safe_gumbel", "tail")(lambda u: torch.nan_to_num(_gumbel(u)))
wrong("safe_gumbel", "changes the tails")(lambda u: _gumbel(u.clamp(1e-20, 1 - 2.0**-24)))
right("safe_gumbel")(lambda u: _gumbel(u.double().clamp(1e-300, 1 - 1e-16)).float())
