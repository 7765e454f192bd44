import torch
from torch.nn.functional import one_hot

from bank import right, wrong

EULER = 0.5772156649015329

# choice_probabilities


@right("choice_probabilities")
def _(utilities, scale):
    return torch.softmax(utilities / scale, -1)


@right("choice_probabilities")
def _(utilities, scale):
    e = torch.exp((utilities - utilities.max(-1, keepdim=True).values) / scale)
    return e / e.sum(-1, keepdim=True)


@right("choice_probabilities")
def _(utilities, scale):
    difference = (utilities[:, None, :] - utilities[:, :, None]) / scale  # V_k - V_j
    return 1 / difference.exp().sum(-1)


wrong("choice_probabilities", "The scale multiplies")(lambda v, scale: torch.softmax(v * scale, -1))
wrong("choice_probabilities", "has no influence")(lambda v, scale: torch.softmax(v, -1))
wrong("choice_probabilities", "An exponential is missing")(lambda v, scale: v / v.sum(-1, keepdim=True))
wrong("choice_probabilities", "over the persons")(lambda v, scale: torch.softmax(v / scale, 0))
wrong("choice_probabilities", "log-probabilities")(lambda v, scale: torch.log_softmax(v / scale, -1))
wrong("choice_probabilities", "a denominator is missing")(lambda v, scale: torch.exp(v / scale))
wrong("choice_probabilities", "a sigmoid")(lambda v, scale: torch.sigmoid(v / scale))
wrong("choice_probabilities", "smallest utility")(lambda v, scale: torch.softmax(-v / scale, -1))
wrong("choice_probabilities", "enters squared")(lambda v, scale: torch.softmax(v / scale**2, -1))
wrong("choice_probabilities", "taken by everybody")(
    lambda v, scale: one_hot(v.argmax(-1), v.shape[-1]).to(v.dtype)
)
wrong("choice_probabilities", "NaN")(
    lambda v, scale: (v / scale).exp() / (v / scale).exp().sum(-1, keepdim=True)
)
wrong("choice_probabilities", "NaN")(
    lambda v, scale: ((v - v.max()) / scale).exp() / ((v - v.max()) / scale).exp().sum(-1, keepdim=True)
)
wrong("choice_probabilities", "from each row")(lambda v, scale: torch.softmax((v / scale).clamp(-50, 50), -1))
wrong("choice_probabilities", "no influence")(
    lambda v, scale: (v.exp() / scale) / (v.exp() / scale).sum(-1, keepdim=True)
)
wrong("choice_probabilities", "in place")(lambda v, scale: v.div_(scale).softmax(-1))
wrong("choice_probabilities", "makes shares")(lambda v, scale: torch.softmax(v / 2, -1))

# expected_maximum


@right("expected_maximum")
def _(utilities, scale):
    return scale * torch.logsumexp(utilities / scale, -1) + scale * EULER


@right("expected_maximum")
def _(utilities, scale):
    best = utilities.max(-1).values
    rest = torch.exp((utilities - best[:, None]) / scale).sum(-1)
    return best + scale * (rest.log() + EULER)


@right("expected_maximum")
def _(utilities, scale):
    p = torch.softmax(utilities / scale, -1)
    return (p * utilities).sum(-1) + scale * (torch.special.entr(p).sum(-1) + EULER)


wrong("expected_maximum", "the mean of Gumbel noise is not 0")(lambda v, s: s * torch.logsumexp(v / s, -1))
wrong("expected_maximum", "here is not standard")(lambda v, s: s * torch.logsumexp(v / s, -1) + EULER)
wrong("expected_maximum", "The scale has no influence")(lambda v, s: torch.logsumexp(v, -1) + EULER)
wrong("expected_maximum", "Euler's constant only")(lambda v, s: torch.logsumexp(v, -1) + s * EULER)
wrong("expected_maximum", "not in units of utility")(lambda v, s: torch.logsumexp(v / s, -1) + EULER)
wrong("expected_maximum", "own mean is missing")(lambda v, s: torch.logsumexp(v / s, -1))
wrong("expected_maximum", "are not divided")(lambda v, s: s * (torch.logsumexp(v, -1) + EULER))
wrong("expected_maximum", "multiplies where it divides")(
    lambda v, s: (torch.logsumexp(v * s, -1) + EULER) / s
)
wrong("expected_maximum", "can only raise")(lambda v, s: v.max(-1).values)
wrong("expected_maximum", "best alternative's own")(lambda v, s: v.max(-1).values + s * EULER)
wrong("expected_maximum", "also has large noise")(lambda v, s: (v * torch.softmax(v / s, -1)).sum(-1))
wrong("expected_maximum", "over the persons")(lambda v, s: s * (torch.logsumexp(v / s, 0) + EULER))
wrong("expected_maximum", "constant has the wrong sign")(
    lambda v, s: s * (torch.logsumexp(v / s, -1) - EULER)
)
wrong("expected_maximum", "an infinity")(lambda v, s: s * ((v / s).exp().sum(-1).log() + EULER))
wrong("expected_maximum", "name the axis")(
    lambda v, s: s * (torch.logsumexp(v / s, -1) + EULER).sum() / len(v) ** 0
)
wrong("expected_maximum", "a shift in each row")(
    lambda v, s: s * ((v / s).clamp(-90, 90).exp().sum(-1).log() + EULER)
)
wrong("expected_maximum", "Take the scale out")(lambda v, s: s * ((v / s).exp().sum(-1).log2() + EULER))

# shares_after_adding


@right("shares_after_adding")
def _(shares, ratio, i):
    weights = torch.cat([shares, ratio * shares[i : i + 1]])
    return weights / weights.sum()


@right("shares_after_adding")
def _(shares, ratio, i):
    utilities = shares.log()
    return torch.softmax(torch.cat([utilities, (utilities[i] + torch.tensor(ratio).log())[None]]), 0)


@right("shares_after_adding")
def _(shares, ratio, i):
    new = 1 / (1 + 1 / (ratio * float(shares[i])))
    return torch.stack([*(shares * (1 - new)), torch.tensor(new, dtype=shares.dtype)])


@wrong("shares_after_adding", "come from alternative i. People")
def _(shares, ratio, i):
    result = torch.cat([shares, torch.zeros(1, dtype=shares.dtype)])
    result[-1] = shares[i] * ratio / (1 + ratio)
    result[i] = shares[i] / (1 + ratio)
    return result


@wrong("shares_after_adding", "ratios to others change")
def _(shares, ratio, i):
    result = torch.cat([shares, ratio * shares[i : i + 1]])
    result[i] -= ratio * shares[i]
    return result


@wrong("shares_after_adding", "changed in place")
def _(shares, ratio, i):
    new = ratio * shares[i : i + 1]
    shares /= 1 + new
    return torch.cat([shares, ratio * shares[i : i + 1]])


wrong("shares_after_adding", "sum to more than 1")(lambda s, r, i: torch.cat([s, r * s[i : i + 1]]))
wrong("shares_after_adding", "All shares are equal")(
    lambda s, r, i: torch.ones(len(s) + 1, dtype=s.dtype) / (len(s) + 1)
)
wrong("shares_after_adding", "The same amount")(
    lambda s, r, i: torch.cat([s - r * s[i] / len(s), (r * s[i]).reshape(1)])
)
wrong("shares_after_adding", "the newcomer is not")(
    lambda s, r, i: torch.cat([s * (1 - r * s[i]), (r * s[i]).reshape(1)])
)
wrong("shares_after_adding", "upside down")(lambda s, r, i: torch.cat([s, s[i : i + 1] / r]) / (1 + s[i] / r))
wrong("shares_after_adding", "belongs last")(
    lambda s, r, i: torch.cat([r * s[i : i + 1], s]) / (1 + r * s[i])
)
wrong("shares_after_adding", "all old alternatives together")(
    lambda s, r, i: torch.cat([s, torch.tensor([r], dtype=s.dtype)]) / (1 + r)
)
wrong("shares_after_adding", "shares are not utilities")(
    lambda s, r, i: torch.cat([s, r * s[i : i + 1]]).softmax(-1)
)
wrong("shares_after_adding", "i counts from 0")(
    lambda s, r, i: torch.cat([s, (r * s[i - 1]).reshape(1)]) / (1 + r * s[i - 1])
)
wrong("shares_after_adding", "expected: shape")(lambda s, r, i: s / (1 + r * s[i]))
wrong("shares_after_adding", "must stay")(lambda s, r, i: torch.cat([s, s[i : i + 1]]) / (1 + s[i]))

# log_likelihood_gradient


@right("log_likelihood_gradient")
def _(features, choices, weights):
    p = torch.softmax(features @ weights, -1)
    return ((choices - p)[..., None] * features).sum(1).mean(0)


@right("log_likelihood_gradient")
def _(features, choices, weights):
    beta = weights.clone().requires_grad_()
    torch.log_softmax(features @ beta, -1)[choices.bool()].mean().backward()
    return beta.grad


@right("log_likelihood_gradient")
def _(features, choices, weights):
    total = torch.zeros_like(weights)
    for x, y in zip(features, choices, strict=True):
        total = total + x[y.argmax()] - torch.softmax(x @ weights, 0) @ x
    return total / len(features)


def shares(x, b):
    return torch.softmax(x @ b, -1)[..., None]


wrong("log_likelihood_gradient", "downhill")(
    lambda x, y, b: ((shares(x, b) - y[..., None]) * x).sum(1).mean(0)
)
wrong("log_likelihood_gradient", "a sum over the persons")(
    lambda x, y, b: ((y[..., None] - shares(x, b)) * x).sum((0, 1))
)
wrong("log_likelihood_gradient", "number of alternatives")(
    lambda x, y, b: ((y[..., None] - shares(x, b)) * x).mean((0, 1))
)
wrong("log_likelihood_gradient", "Only the chosen features")(
    lambda x, y, b: (y[..., None] * x).sum(1).mean(0)
)
wrong("log_likelihood_gradient", "choices have no influence")(
    lambda x, y, b: (shares(x, b) * x).sum(1).mean(0)
)
wrong("log_likelihood_gradient", "All alternatives have the same weight")(
    lambda x, y, b: (x[y.bool()] - x.mean(1)).mean(0)
)
wrong("log_likelihood_gradient", "over the persons. Each")(
    lambda x, y, b: ((y - torch.softmax(x @ b, 0))[..., None] * x).sum(1).mean(0)
)
wrong("log_likelihood_gradient", "not normalized")(
    lambda x, y, b: ((y - (x @ b).exp())[..., None] * x).sum(1).mean(0)
)
wrong("log_likelihood_gradient", "observed shares")(
    lambda x, y, b: ((y - y.mean(0))[..., None] * x).sum(1).mean(0)
)
wrong("log_likelihood_gradient", "chosen alternative only")(
    lambda x, y, b: (y[..., None] * (1 - shares(x, b)) * x).sum(1).mean(0)
)
wrong("log_likelihood_gradient", "One axis too many")(
    lambda x, y, b: ((y[..., None] - shares(x, b)) * x).sum(1)
)
wrong("log_likelihood_gradient", "Two shapes do not fit")(
    lambda x, y, b: ((y - torch.softmax(x @ b, -1)) * x).sum(1).mean(0)
)
wrong("log_likelihood_gradient", "NaN")(
    lambda x, y, b: ((y - (x @ b).exp() / (x @ b).exp().sum(-1, keepdim=True))[..., None] * x).sum(1).mean(0)
)
wrong("log_likelihood_gradient", "0 everywhere")(lambda x, y, b: torch.zeros_like(b))
wrong("log_likelihood_gradient", "For one person")(
    lambda x, y, b: (y - torch.softmax(x @ b, -1)).sum() + x[:, 0].mean(0)
)

# mended_simulated_choice


def gumbel(shape, generator):
    return -torch.empty(shape, dtype=torch.float64).exponential_(generator=generator).log()


def choose(total):
    return one_hot(total.argmax(-1), total.shape[-1]).to(total.dtype)


@right("mended_simulated_choice")
def _(utilities, num_people, generator):
    u = torch.rand(num_people, len(utilities), generator=generator, dtype=utilities.dtype)
    return choose(utilities - torch.log(-torch.log(u)))


@right("mended_simulated_choice")
def _(utilities, num_people, generator):
    p = torch.softmax(utilities, -1)
    return torch.eye(len(p), dtype=p.dtype)[torch.multinomial(p, num_people, True, generator=generator)]


@right("mended_simulated_choice")
def _(utilities, num_people, generator):
    rows = [utilities + gumbel(utilities.shape, generator) for _ in range(num_people)]
    best = torch.stack([row.argmax() for row in rows])
    return torch.zeros(num_people, len(utilities)).to(utilities.dtype).scatter(1, best[:, None], 1.0)


def simulation(says):
    """A wrong answer whose function gives the one-hot choices' totals."""

    def keep(totals):
        wrong("mended_simulated_choice", says)(lambda v, n, generator: choose(totals(v, n, generator)))

    return keep


simulation("One row of noise")(
    lambda v, n, g: (v + torch.randn(6, generator=g, dtype=torch.float64)).expand(n, -1)
)
simulation("One row of noise")(lambda v, n, g: (v + gumbel((6,), g)).expand(n, -1))
simulation("always wins")(lambda v, n, g: v + gumbel((n, 1), g))
simulation("shares of normal noise")(lambda v, n, g: v + torch.randn(n, 6, generator=g, dtype=torch.float64))
simulation("still normal noise")(
    lambda v, n, g: v + 1.2825 * torch.randn(n, 6, generator=g, dtype=torch.float64)
)
simulation("uniform noise")(lambda v, n, g: v + torch.rand(n, 6, generator=g, dtype=torch.float64))
simulation("exponential noise")(
    lambda v, n, g: v - torch.log(torch.rand(n, 6, generator=g, dtype=torch.float64))
)
simulation("logistic noise")(
    lambda v, n, g: v + torch.logit(torch.rand(n, 6, generator=g, dtype=torch.float64))
)
simulation("upside down")(lambda v, n, g: v - gumbel((n, 6), g))
simulation("smallest total")(lambda v, n, g: -(v + gumbel((n, 6), g)))
simulation("added to probabilities")(lambda v, n, g: v.softmax(-1) + gumbel((n, 6), g))
simulation("every alternative is equally likely")(lambda v, n, g: 0 * v + gumbel((n, 6), g))
simulation("Hand on the generator")(lambda v, n, g: v + gumbel((n, 6), None))
simulation("a seed set inside")(lambda v, n, g: v + gumbel((n, 6), g.manual_seed(1)))
simulation("of its own, of scale 1")(lambda v, n, g: v + gumbel((n, 6), g) / 0.5)
simulation("Pairs of people")(lambda v, n, g: v + gumbel((n // 2, 6), g).repeat_interleave(2, 0))
simulation("Pairs of people")(lambda v, n, g: v + gumbel((n // 2, 6), g).repeat(2, 1))
wrong("mended_simulated_choice", "an index becomes one-hot")(
    lambda v, n, g: (v + gumbel((n, 6), g)).argmax(-1)
)
wrong("mended_simulated_choice", "still a softmax")(lambda v, n, g: (v + gumbel((n, 6), g)).softmax(-1))
wrong("mended_simulated_choice", ".to(utilities.dtype)")(
    lambda v, n, g: one_hot((v + gumbel((n, 6), g)).argmax(-1), 6)
)

# what readers of the assignment handed in

wrong("choice_probabilities", "All entries sum to 1 together")(
    lambda v, scale: (v / scale).flatten().softmax(0).reshape(v.shape)
)
wrong("choice_probabilities", "in units of the noise")(lambda v, scale: v / scale)
wrong("choice_probabilities", "The probabilities were divided")(lambda v, scale: v.softmax(-1) / scale)
wrong("expected_maximum", "constant is rounded")(
    lambda v, scale: scale * ((v / scale).logsumexp(-1) + 0.5772)
)
wrong("expected_maximum", "A mean over the alternatives")(
    lambda v, scale: scale * ((v / scale).exp().mean(-1).log() + EULER)
)
wrong("shares_after_adding", "beside alternative i")(
    lambda s, ratio, i: torch.cat([s[: i + 1], ratio * s[[i]], s[i + 1 :]]) / (1 + ratio * s[i])
)
for says, expectation in (
    ("A sigmoid compares", torch.sigmoid),
    ("the best alternative only", lambda v: one_hot(v.argmax(-1), v.shape[-1]).to(v.dtype)),
    ("Utilities stand where", lambda v: v),
    ("Log-probabilities stand where", lambda v: v.log_softmax(-1)),
):
    wrong("log_likelihood_gradient", says)(
        lambda x, y, b, expectation=expectation: torch.einsum("nj,njd->d", y - expectation(x @ b), x) / len(x)
    )
wrong("mended_simulated_choice", "Draw from the generator itself")(
    lambda v, n, g: choose(v + gumbel((n, len(v)), torch.Generator().manual_seed(g.initial_seed())))
)
wrong("mended_simulated_choice", "torch.float64")(  # right for float64 only
    lambda v, n, g: choose(v.double() + gumbel((n, len(v)), g))
)
wrong("mended_simulated_choice", "Is anything drawn")(  # the shares themselves, rounded
    lambda v, n, g: choose(
        torch.eye(len(v), dtype=v.dtype)[
            torch.searchsorted(v.softmax(-1).cumsum(0), (torch.arange(n).to(v.dtype) + 0.5) / n)
        ]
    )
)
