import itertools

import torch
from torch.nn.functional import gumbel_softmax, one_hot

from bank import right, wrong


def hot(winner, like):
    return one_hot(winner, like.shape[-1]).to(like.dtype)


def gumbel(shape, generator):
    u = torch.rand(shape, generator=generator, dtype=torch.float64).clamp(min=1e-300)
    return -torch.log(-torch.log(u))


# gumbel_max


@right("gumbel_max")
def _(logits, gumbel_noise):
    return hot((logits + gumbel_noise).argmax(-1), logits)


@right("gumbel_max")
def _(logits, gumbel_noise):
    arrival = torch.exp(-gumbel_noise) / torch.exp(logits)  # the race of exponential waiting times
    return torch.zeros_like(logits).scatter(-1, arrival.min(-1, keepdim=True).indices, 1.0)


@right("gumbel_max")
def _(logits, gumbel_noise):
    ranks = (logits + gumbel_noise).argsort(-1, descending=True).argsort(-1)
    return (ranks == 0).to(logits.dtype)


wrong("gumbel_max", "numbers of the categories")(lambda logits, noise: (logits + noise).argmax(-1))
wrong("gumbel_max", "A softmax shares")(lambda logits, noise: torch.softmax(logits + noise, -1))
wrong("gumbel_max", "subtracted")(lambda logits, noise: hot((logits - noise).argmax(-1), logits))
wrong("gumbel_max", "added to probabilities")(
    lambda logits, noise: hot((logits.softmax(-1) + noise).argmax(-1), logits)
)
wrong("gumbel_max", "added to exp(logits)")(
    lambda logits, noise: hot((logits.exp() + noise).argmax(-1), logits)
)
wrong("gumbel_max", "most probable category")(lambda logits, noise: hot(logits.argmax(-1), logits))
wrong("gumbel_max", "not depend on the logits")(lambda logits, noise: hot(noise.argmax(-1), logits))
wrong("gumbel_max", "smallest sum")(lambda logits, noise: hot((logits + noise).argmin(-1), logits))
wrong("gumbel_max", "truth values")(
    lambda logits, noise: one_hot((logits + noise).argmax(-1), logits.shape[-1])
)
wrong("gumbel_max", "draw none inside")(lambda logits, noise: gumbel_softmax(logits, hard=True))
wrong("gumbel_max", "marks all who share")(
    lambda logits, noise: (logits + noise == (logits + noise).amax(-1, keepdim=True)).to(logits.dtype)
)
wrong("gumbel_max", "Along which axis")(
    lambda logits, noise: torch.zeros_like(logits).scatter(0, (logits + noise).argmax(0, keepdim=True), 1.0)
)
wrong("gumbel_max", "However many axes")(lambda logits, noise: hot((logits + noise).argmax(1), logits))
wrong("gumbel_max", "act as 0")(lambda logits, noise: hot((logits.relu() + noise).argmax(-1), logits))
wrong("gumbel_max", "in place")(lambda logits, noise: hot(logits.add_(noise).argmax(-1), logits))


@wrong("gumbel_max", "Along which axis")
def _(logits, gumbel_noise):
    z = torch.zeros_like(logits)
    z.view(-1)[(logits + gumbel_noise).argmax()] = 1
    return z


@wrong("gumbel_max", "most probable category")
def _(logits, gumbel_noise):
    return hot((logits + gumbel_noise.mean(-1, keepdim=True)).argmax(-1), logits)


# categorical_sampler


@right("categorical_sampler")
def _(logits, num_samples, generator):
    return hot((logits + gumbel((num_samples, len(logits)), generator)).argmax(-1), logits)


@right("categorical_sampler")
def _(logits, num_samples, generator):
    rows = [hot((logits + gumbel(len(logits), generator)).argmax(), logits) for _ in range(num_samples)]
    return torch.stack(rows)


@right("categorical_sampler")
def _(logits, num_samples, generator):
    waiting = torch.empty(num_samples, len(logits)).exponential_(generator=generator)
    return one_hot((waiting / logits.exp()).argmin(-1), len(logits))


def sampler(make):
    """A sampler whose perturbed logits `make` returns, from logits, the result's shape and a generator.

    It serves both tasks: `more` is (num_samples,) or nothing.
    """

    def draw(logits, *more):
        *size, generator = more
        return hot(make(logits, (*size, *logits.shape), generator).argmax(-1), logits)

    return draw


WRONG_SAMPLERS = [
    ("normal noise", lambda logits, shape, source: logits + torch.randn(shape, generator=source)),
    (
        "too small, decides nothing",
        lambda logits, shape, source: logits + torch.rand(shape, generator=source),
    ),
    ("too small, decides nothing", lambda logits, shape, source: logits + 0.1 * gumbel(shape, source)),
    (
        "logarithm of uniform",
        lambda logits, shape, source: logits + torch.rand(shape, generator=source).log(),
    ),
    ("exponential noise", lambda logits, shape, source: logits - torch.rand(shape, generator=source).log()),
    ("that is subtracted", lambda logits, shape, source: logits - gumbel(shape, source)),
    (
        "rows share their noise",
        lambda logits, shape, source: (logits + gumbel(shape[1], source)).expand(shape),
    ),
    ("that all categories share", lambda logits, shape, source: logits + gumbel((shape[0], 1), source)),
    ("always the most probable", lambda logits, shape, source: logits.expand(shape)),
    ("scale 2", lambda logits, shape, source: logits + gumbel(shape, source) / 0.5),
    ("scale 0.5", lambda logits, shape, source: logits + 0.5 * gumbel(shape, source)),
    ("added to exp(logits)", lambda logits, shape, source: logits.exp() + gumbel(shape, source)),
    ("added to probabilities", lambda logits, shape, source: logits.softmax(-1) + gumbel(shape, source)),
    ("no logits at all", lambda logits, shape, source: gumbel(shape, source)),
    ("generator=generator", lambda logits, shape, source: logits + gumbel(shape, None)),
    ("seed inside", lambda logits, shape, source: logits + gumbel(shape, source.manual_seed(0))),
    (
        "must move on",
        lambda logits, shape, source: (
            logits + gumbel(shape, torch.Generator().manual_seed(source.initial_seed()))
        ),
    ),
    (
        "half",  # of the samples, or a batch
        lambda logits, shape, source: logits + gumbel((shape[0] // 2, shape[1]), source).repeat(2, 1),
    ),
    (
        "neighbouring",
        lambda logits, shape, source: (
            logits + gumbel((shape[0] // 2, shape[1]), source).repeat_interleave(2, 0)
        ),
    ),
]
for says, make in WRONG_SAMPLERS:
    wrong("categorical_sampler", says)(sampler(make))
    wrong("mended_batch_sampler", says)(sampler(make))

wrong("categorical_sampler", "numbers of the categories")(
    lambda logits, n, generator: (logits + gumbel((n, len(logits)), generator)).argmax(-1)
)
wrong("categorical_sampler", "A softmax shares")(
    lambda logits, n, generator: (logits + gumbel((n, len(logits)), generator)).softmax(-1)
)
wrong("categorical_sampler", "Write the shapes")(
    lambda logits, n, generator: hot((logits + gumbel(len(logits), generator)).argmax(), logits)
)
wrong("categorical_sampler", "depend on each other")(
    lambda logits, n, generator: hot(
        (logits + gumbel((n, len(logits)), generator)).argmax(-1).sort()[0], logits
    )
)

# top_k_log_prob


@right("top_k_log_prob")
def _(logits, order):
    left = [int(k) for k in range(len(logits))]
    result = 0
    for index in order.tolist():
        result = result + logits[index] - torch.logsumexp(logits[left], -1)
        left.remove(index)
    return result


@right("top_k_log_prob")
def _(logits, order):
    earlier = torch.ones(len(order), len(order)).to(logits).tril(-1)
    drawn_before = earlier @ one_hot(order, len(logits)).to(logits)
    candidates = logits.expand(len(order), -1).masked_fill(drawn_before > 0, -torch.inf)  # (k, K)
    return candidates.log_softmax(-1).gather(1, order.unsqueeze(1)).sum()


@right("top_k_log_prob")
def _(logits, order):
    left = logits.clone()
    total = torch.zeros((), dtype=logits.dtype)
    for index in order:
        total = total + torch.distributions.Categorical(logits=left).logits[index]
        left[index] = -float("inf")
    return total.item()


def removed_before(logits, order):
    """The probabilities, and for each draw the sum of those drawn before it."""
    p = logits.softmax(-1)[order]
    return p, p.cumsum(0) - p


wrong("top_k_log_prob", "with replacement")(lambda logits, order: logits.log_softmax(-1)[order].sum())
wrong("top_k_log_prob", "they are unnormalized")(lambda logits, order: logits[order].sum())
wrong("top_k_log_prob", "not in `order`")(
    lambda logits, order: (logits[order] - logits[order].flip(0).logcumsumexp(0).flip(0)).sum()
)


@wrong("top_k_log_prob", "in any order")
def _(logits, order):
    total = 0
    for one in itertools.permutations(order.tolist()):
        p, before = removed_before(logits, torch.tensor(one))
        total = total + (p / (1 - before)).prod()
    return total.log()


@wrong("top_k_log_prob", "read from its end")
def _(logits, order):
    p, before = removed_before(logits, order.flip(0))
    return torch.log(p / (1 - before)).sum()


@wrong("top_k_log_prob", "drawn last is removed")
def _(logits, order):
    p = logits.softmax(-1)[order]
    return torch.log(p).sum() - torch.log(1 - p[:-1]).sum()


@wrong("top_k_log_prob", "1/k")
def _(logits, order):
    p, before = removed_before(logits, order)
    return torch.log(p / (1 - before)).mean()


@wrong("top_k_log_prob", "logarithm is missing")
def _(logits, order):
    p, before = removed_before(logits, order)
    return (p / (1 - before)).prod()


@wrong("top_k_log_prob", "sign is wrong")
def _(logits, order):
    p, before = removed_before(logits, order)
    return -torch.log(p / (1 - before)).sum()


@wrong("top_k_log_prob", "an infinity")  # right but for the rounding of 1 - p
def _(logits, order):
    p, before = removed_before(logits, order)
    return torch.log(p / (1 - before)).sum()


@wrong("top_k_log_prob", "stay with logarithms")
def _(logits, order):
    p, before = removed_before(logits, order)
    return torch.log(p / (1 - before).clamp(min=1e-12)).sum()


@wrong("top_k_log_prob", "stay with logarithms")
def _(logits, order):
    p = logits.softmax(-1)[order]
    return torch.log(p / (1 - p.cumsum(0) + p)).sum()


@wrong("top_k_log_prob", "in place")
def _(logits, order):
    result = 0
    for index in order:
        result = result + torch.log_softmax(logits, -1)[index]
        logits[index] = -torch.inf
    return result


@wrong("top_k_log_prob", "One axis too many")
def _(logits, order):
    p, before = removed_before(logits, order)
    return torch.log(p / (1 - before))


wrong("top_k_log_prob", "Only the first draw")(lambda logits, order: logits.log_softmax(-1)[order[0]])
wrong("top_k_log_prob", "softmax of a softmax")(
    lambda logits, order: sum(
        logits.softmax(-1)[order[i]]
        - torch.logsumexp(
            logits.softmax(-1)[[k for k in range(len(logits)) if k not in order[:i].tolist()]], -1
        )
        for i in range(len(order))
    )
)

# mended_batch_sampler


@right("mended_batch_sampler")
def _(logits, generator):
    return hot((logits + gumbel(logits.shape, generator)).argmax(-1), logits)


@right("mended_batch_sampler")
def _(logits, generator):
    return torch.stack([hot((row + gumbel(len(row), generator)).argmax(), logits) for row in logits])


@right("mended_batch_sampler")
def _(logits, generator):
    return hot(torch.multinomial(logits.softmax(-1), 1, generator=generator).squeeze(-1), logits)


wrong("mended_batch_sampler", "numbers of the categories")(
    lambda logits, generator: (logits + gumbel(logits.shape, generator)).argmax(-1)
)
wrong("mended_batch_sampler", "Along which axis")(
    lambda logits, generator: torch.zeros_like(logits).scatter(
        0, (logits + gumbel(logits.shape, generator)).argmax(0, keepdim=True), 1.0
    )
)


# Almost one-hot, right in float64 only, and a row that gets the logits of another.

wrong("gumbel_max", "however steep")(
    lambda logits, gumbel_noise: torch.softmax(1e9 * (logits + gumbel_noise), -1)
)
wrong("gumbel_max", "where it lies")(lambda logits, gumbel_noise: (logits + gumbel_noise).amax(-1))


@wrong("gumbel_max", "whatever its sum is")
def _(logits, gumbel_noise):
    sums = logits + gumbel_noise
    return one_hot(sums.argmax(-1), sums.shape[-1]) * sums


@wrong("gumbel_max", "torch.float32")
def _(logits, gumbel_noise):
    return one_hot((logits + gumbel_noise).argmax(-1), logits.shape[-1]).double()


def _drawn_rows(logits, generator):
    gumbel_noise = -torch.empty_like(logits).exponential_(generator=generator).log()
    return one_hot((logits + gumbel_noise).argmax(-1), logits.shape[-1])


wrong("mended_batch_sampler", "dtype of the logits")(
    lambda logits, generator: _drawn_rows(logits, generator).double()
)
wrong("mended_batch_sampler", "another row")(
    lambda logits, generator: _drawn_rows(logits[:1].expand_as(logits), generator).to(logits.dtype)
)
