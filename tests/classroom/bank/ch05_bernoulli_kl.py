import math

import torch
from torch.nn import functional

from bank import right, wrong

LN2 = math.log(2)

# bernoulli_kl_weighted


@right("bernoulli_kl_weighted")
def _(theta):
    return theta * torch.log(theta / 0.5) + (1 - theta) * torch.log((1 - theta) / 0.5)


@right("bernoulli_kl_weighted")
def _(theta):
    return LN2 - torch.distributions.Bernoulli(probs=theta).entropy()


@right("bernoulli_kl_weighted")
def _(theta):
    q = torch.stack([theta, 1 - theta])
    return (q * (q.log() - math.log(0.5))).sum(0)


@wrong("bernoulli_kl_weighted", "as printed")
def _(theta):
    return torch.log(theta) - math.log(0.5) + torch.log(1 - theta) - math.log(0.5)


wrong("bernoulli_kl_weighted", "its logarithm is missing")(
    lambda theta: theta * (theta.log() - 0.5) + (1 - theta) * ((1 - theta).log() - 0.5)
)
wrong("bernoulli_kl_weighted", "wrong sign")(
    lambda theta: -theta * torch.log(theta / 0.5) - (1 - theta) * torch.log((1 - theta) / 0.5)
)
wrong("bernoulli_kl_weighted", "Only k = 1")(lambda theta: theta * torch.log(theta / 0.5))
wrong("bernoulli_kl_weighted", "Only k = 0")(lambda theta: (1 - theta) * torch.log((1 - theta) / 0.5))
wrong("bernoulli_kl_weighted", "in bits")(
    lambda theta: theta * torch.log2(theta / 0.5) + (1 - theta) * torch.log2((1 - theta) / 0.5)
)
wrong("bernoulli_kl_weighted", "prior's term is missing")(
    lambda theta: theta * theta.log() + (1 - theta) * (1 - theta).log()
)
wrong("bernoulli_kl_weighted", "under the prior")(
    lambda theta: 0.5 * torch.log(0.5 / theta) + 0.5 * torch.log(0.5 / (1 - theta))
)
wrong("bernoulli_kl_weighted", "entropy")(
    lambda theta: -theta * theta.log() - (1 - theta) * (1 - theta).log()
)
wrong("bernoulli_kl_weighted", "exchanged")(
    lambda theta: (1 - theta) * torch.log(theta / 0.5) + theta * torch.log((1 - theta) / 0.5)
)
wrong("bernoulli_kl_weighted", "name the axis")(
    lambda theta: (theta * torch.log(theta / 0.5) + (1 - theta) * torch.log((1 - theta) / 0.5)).sum()
)
wrong("bernoulli_kl_weighted", "Two terms")(lambda theta: torch.zeros_like(theta))
wrong("bernoulli_kl_weighted", "a tensor of shape")(lambda theta: 0.368)
wrong("bernoulli_kl_weighted", "tensor")(
    lambda theta: theta * math.log(theta / 0.5) + (1 - theta) * math.log((1 - theta) / 0.5)
)

# monte_carlo_kl


@right("monte_carlo_kl")
def _(logits, bits):
    log_q = bits * functional.logsigmoid(logits) + (1 - bits) * functional.logsigmoid(-logits)
    return (log_q - math.log(0.5)).sum(-1).mean()


@right("monte_carlo_kl")
def _(logits, bits):
    log_q = torch.distributions.Independent(torch.distributions.Bernoulli(logits=logits), 1).log_prob(bits)
    return log_q.mean() + len(logits) * LN2


@right("monte_carlo_kl")
def _(logits, bits):
    loss = functional.binary_cross_entropy_with_logits(logits.expand_as(bits), bits, reduction="sum")
    return bits.shape[1] * LN2 - loss / bits.shape[0]


def log_prob(logits, bits):
    return bits * functional.logsigmoid(logits) + (1 - bits) * functional.logsigmoid(-logits)


wrong("monte_carlo_kl", "summed over the samples")(lambda logits, bits: (log_prob(logits, bits) + LN2).sum())
wrong("monte_carlo_kl", "averaged over the bits")(lambda logits, bits: (log_prob(logits, bits) + LN2).mean())
wrong("monte_carlo_kl", "The prior is missing")(lambda logits, bits: log_prob(logits, bits).sum(-1).mean())
wrong("monte_carlo_kl", "one bit only")(
    lambda logits, bits: (log_prob(logits, bits).sum(-1) - math.log(0.5)).mean()
)
wrong("monte_carlo_kl", "wrong sign everywhere")(
    lambda logits, bits: (math.log(0.5) - log_prob(logits, bits)).sum(-1).mean()
)
wrong("monte_carlo_kl", "ln p has the wrong sign")(
    lambda logits, bits: (log_prob(logits, bits) + math.log(0.5)).sum(-1).mean()
)
wrong("monte_carlo_kl", "not used")(
    lambda logits, bits: (
        torch.sigmoid(logits) * functional.logsigmoid(logits)
        + torch.sigmoid(-logits) * functional.logsigmoid(-logits)
        + LN2
    ).sum()
)
wrong("monte_carlo_kl", "Only the bits that are 1")(
    lambda logits, bits: (bits * (torch.log(torch.sigmoid(logits)) - math.log(0.5))).sum(-1).mean()
)
wrong("monte_carlo_kl", "weights are in twice")(
    lambda logits, bits: (log_prob(logits, bits).exp() * (log_prob(logits, bits) + LN2)).sum(-1).mean()
)
wrong("monte_carlo_kl", "exchanged")(
    lambda logits, bits: (log_prob(logits, 1 - bits) - math.log(0.5)).sum(-1).mean()
)
wrong("monte_carlo_kl", "sigmoid is taken twice")(
    lambda logits, bits: (log_prob(torch.sigmoid(logits), bits) - math.log(0.5)).sum(-1).mean()
)
wrong("monte_carlo_kl", "One axis too many")(lambda logits, bits: (log_prob(logits, bits) + LN2).sum(-1))
wrong("monte_carlo_kl", "NaN")(  # the KL of the bits, as if they were probabilities
    lambda logits, bits: (bits * torch.log(2 * bits) + (1 - bits) * torch.log(2 * (1 - bits))).sum(-1).mean()
)


@wrong("monte_carlo_kl", "log(0)")
def _(logits, bits):
    theta = torch.sigmoid(logits)
    return (bits * torch.log(2 * theta) + (1 - bits) * torch.log(2 * (1 - theta))).sum(-1).mean()


@wrong("monte_carlo_kl", "nor clamp it")
def _(logits, bits):
    theta = torch.sigmoid(logits).clamp(1e-12, 1 - 1e-12)
    return (bits * torch.log(2 * theta) + (1 - bits) * torch.log(2 * (1 - theta))).sum(-1).mean()


# kl_gradient


@right("kl_gradient")
def _(logits, prior_logit):
    theta = torch.sigmoid(logits)
    return (logits - prior_logit) * theta * (1 - theta)


@right("kl_gradient")
def _(logits, prior_logit):
    return (logits - prior_logit) / (2 + 2 * torch.cosh(logits.clamp(-100, 100)))


@right("kl_gradient")
def _(logits, prior_logit):
    def kl(logit):
        log_one, log_zero = functional.logsigmoid(logit), functional.logsigmoid(-logit)
        odds = torch.tensor([prior_logit, -prior_logit]).double()
        prior_one, prior_zero = functional.logsigmoid(odds)
        return (log_one.exp() * (log_one - prior_one) + log_zero.exp() * (log_zero - prior_zero)).sum()

    return torch.func.grad(kl)(logits)


wrong("kl_gradient", "with respect to theta")(lambda logits, prior_logit: logits - prior_logit)
wrong("kl_gradient", "fair coin")(
    lambda logits, prior_logit: logits * torch.sigmoid(logits) * (1 - torch.sigmoid(logits))
)
wrong("kl_gradient", "A factor is missing")(
    lambda logits, prior_logit: (logits - prior_logit) * torch.sigmoid(logits)
)
wrong("kl_gradient", "wrong sign everywhere")(
    lambda logits, prior_logit: (prior_logit - logits) * torch.sigmoid(logits) * torch.sigmoid(-logits)
)
wrong("kl_gradient", "The prior's sign")(
    lambda logits, prior_logit: (prior_logit + logits) * torch.sigmoid(logits) * torch.sigmoid(-logits)
)
wrong("kl_gradient", "prior's probability")(
    lambda logits, prior_logit: (
        (logits - torch.sigmoid(torch.tensor(prior_logit))) * torch.sigmoid(logits) * torch.sigmoid(-logits)
    )
)
wrong("kl_gradient", "Probabilities stand")(
    lambda logits, prior_logit: (
        (torch.sigmoid(logits) - torch.sigmoid(torch.tensor(prior_logit)))
        * torch.sigmoid(logits)
        * torch.sigmoid(-logits)
    )
)
wrong("kl_gradient", "alone")(lambda logits, prior_logit: torch.sigmoid(logits) * (1 - torch.sigmoid(logits)))
wrong("kl_gradient", "without its weights")(lambda logits, prior_logit: 1 - 2 * torch.sigmoid(logits))
wrong("kl_gradient", "name the axis")(
    lambda logits, prior_logit: (
        (logits - prior_logit) * torch.sigmoid(logits) * torch.sigmoid(-logits)
    ).sum()
)


@wrong("kl_gradient", "must be Tensor")
def _(logits, prior_logit):
    theta = torch.sigmoid(logits)
    return (logits - torch.logit(torch.sigmoid(prior_logit))) * theta * (1 - theta)


@wrong("kl_gradient", "the KL itself")
def _(logits, prior_logit):
    theta, rho = torch.sigmoid(logits), 1 / (1 + math.exp(-prior_logit))
    return theta * torch.log(theta / rho) + (1 - theta) * torch.log((1 - theta) / (1 - rho))


@wrong("kl_gradient", "NaN")
def _(logits, prior_logit):
    theta = torch.sigmoid(logits)
    return (torch.log(theta / (1 - theta)) - prior_logit) * theta * (1 - theta)


@wrong("kl_gradient", "NaN")
def _(logits, prior_logit):
    return (logits - prior_logit) * torch.exp(logits) / (1 + torch.exp(logits)) ** 2


# bernoulli_kl_from_logits


@right("bernoulli_kl_from_logits")
def _(logits):
    one = torch.sigmoid(logits) * functional.logsigmoid(logits)
    zero = torch.sigmoid(-logits) * functional.logsigmoid(-logits)
    return LN2 + one + zero


@right("bernoulli_kl_from_logits")
def _(logits):
    return torch.sigmoid(logits) * logits - functional.softplus(logits) + LN2


@right("bernoulli_kl_from_logits")
def _(logits):
    pair = torch.stack([logits, torch.zeros_like(logits)], -1)
    return (torch.softmax(pair, -1) * (torch.log_softmax(pair, -1) - math.log(0.5))).sum(-1)


@right("bernoulli_kl_from_logits")
def _(logits):
    theta = torch.sigmoid(logits)
    return LN2 - functional.binary_cross_entropy_with_logits(logits, theta, reduction="none")


def of(theta, small=0.0):
    return theta * torch.log(2 * theta + small) + (1 - theta) * torch.log(2 * (1 - theta) + small)


wrong("bernoulli_kl_from_logits", "NaN in")(lambda logits: of(torch.sigmoid(logits)))
wrong("bernoulli_kl_from_logits", "A clamp")(lambda logits: of(torch.sigmoid(logits).clamp(1e-7, 1 - 1e-7)))
wrong("bernoulli_kl_from_logits", "inside the logarithm")(lambda logits: of(torch.sigmoid(logits), 1e-7))
wrong("bernoulli_kl_from_logits", "float32 on the way")(
    lambda logits: (torch.distributions.Bernoulli(logits=logits.float()).entropy().neg() + LN2).double()
)
wrong("bernoulli_kl_from_logits", "saturated")(lambda logits: of(torch.sigmoid(logits).clamp(1e-3, 0.999)))
wrong("bernoulli_kl_from_logits", "was a NaN replaced")(
    lambda logits: torch.nan_to_num(of(torch.sigmoid(logits)))
)
wrong("bernoulli_kl_from_logits", "name the axis")(
    lambda logits: (torch.sigmoid(logits) * logits - functional.softplus(logits) + LN2).mean()
)
wrong("bernoulli_kl_from_logits", "as printed")(
    lambda logits: functional.logsigmoid(logits) + functional.logsigmoid(-logits) + 2 * LN2
)
wrong("bernoulli_kl_from_logits", "wrong sign")(
    lambda logits: functional.softplus(logits) - torch.sigmoid(logits) * logits - LN2
)
wrong("bernoulli_kl_from_logits", "prior's term is missing")(
    lambda logits: torch.sigmoid(logits) * logits - functional.softplus(logits)
)
wrong("bernoulli_kl_from_logits", "torch.float64")(
    lambda logits: torch.sigmoid(logits.double()) * logits - functional.softplus(logits.double()) + LN2
)
wrong("bernoulli_kl_from_logits", "NaN in")(of)


@wrong("bernoulli_kl_from_logits", "in the gradient")
def _(logits):
    theta = torch.sigmoid(logits)
    return LN2 + torch.xlogy(theta, theta) + torch.xlogy(1 - theta, 1 - theta)


@wrong("bernoulli_kl_from_logits", "in the gradient")
def _(logits):
    theta = torch.sigmoid(logits)
    certain = (theta == 0) | (theta == 1)
    return torch.where(certain, torch.full_like(logits, LN2), of(theta))


@wrong("bernoulli_kl_from_logits", "without gradient")
def _(logits):
    with torch.no_grad():
        return torch.sigmoid(logits) * logits - functional.softplus(logits) + LN2


# mended_loss_kl


@right("mended_loss_kl")
def _(logits):
    theta = torch.sigmoid(logits)
    return (theta * torch.log(2 * theta) + (1 - theta) * torch.log(2 * (1 - theta))).sum(-1)


@right("mended_loss_kl")
def _(logits):
    q = torch.distributions.Bernoulli(logits=logits)
    p = torch.distributions.Bernoulli(logits=torch.zeros_like(logits))
    return torch.distributions.kl_divergence(q, p).sum(dim=1)


@right("mended_loss_kl")
def _(logits):
    return of(torch.sigmoid(logits.abs())).mean(-1) * logits.shape[-1]


wrong("mended_loss_kl", "Both bugs")(lambda logits: of(torch.sigmoid(torch.relu(logits))).mean(-1))
wrong("mended_loss_kl", "still cost the same")(lambda logits: of(torch.sigmoid(logits)).mean(-1))
wrong("mended_loss_kl", "still costs nothing")(lambda logits: of(torch.sigmoid(logits.clamp(min=0))).sum(-1))
wrong("mended_loss_kl", "name the axis")(lambda logits: of(torch.sigmoid(logits)).sum())
wrong("mended_loss_kl", "name the axis")(lambda logits: of(torch.sigmoid(logits)).sum(-1).mean())
wrong("mended_loss_kl", "which axis is which")(lambda logits: of(torch.sigmoid(logits)).sum(0))
wrong("mended_loss_kl", "One axis too many")(lambda logits: of(torch.sigmoid(logits)))
wrong("mended_loss_kl", "One axis too many")(lambda logits: of(torch.sigmoid(logits)).sum(-1, keepdim=True))
wrong("mended_loss_kl", "size of the batch")(lambda logits: of(torch.sigmoid(logits)).sum(-1) / len(logits))
wrong("mended_loss_kl", "multiplied by B")(lambda logits: of(torch.sigmoid(logits)).mean(-1) * len(logits))
wrong("mended_loss_kl", "as printed")(
    lambda logits: torch.log(4 * torch.sigmoid(logits) * torch.sigmoid(-logits)).sum(-1)
)
wrong("mended_loss_kl", "wrong sign")(lambda logits: -of(torch.sigmoid(logits)).sum(-1))

# what readers of the assignment handed in

wrong("monte_carlo_kl", "counts it twice")(
    lambda logits, bits: (log_prob(logits, bits).sum(-1).exp() * (log_prob(logits, bits) + LN2).sum(-1)).sum()
)
wrong("monte_carlo_kl", "once for each sample")(
    lambda logits, bits: log_prob(logits, bits).sum(-1).mean() + bits.shape[0] * LN2
)
wrong("kl_gradient", "at the prior")(lambda logits, m: (logits - m) / (1 + math.exp(-m)) / (1 + math.exp(m)))
wrong("kl_gradient", "holds log-odds")(
    lambda logits, m: torch.sigmoid(logits) - torch.sigmoid(torch.tensor(m, dtype=logits.dtype))
)


def from_logarithms(one, zero, prior=LN2):
    """Eq. (5) with any two functions for ln theta and ln(1 - theta)."""
    return lambda x: torch.sigmoid(x) * (one(x) + prior) + torch.sigmoid(-x) * (zero(x) + prior)


ln = functional.logsigmoid
wrong("bernoulli_kl_from_logits", "not 1 - ln theta")(from_logarithms(ln, lambda x: 1 - ln(x)))
wrong("bernoulli_kl_from_logits", "not -ln theta")(from_logarithms(ln, lambda x: -ln(x)))
wrong("bernoulli_kl_from_logits", "in the term of k = 0, too")(from_logarithms(ln, ln))
wrong("bernoulli_kl_from_logits", "never above 0")(
    from_logarithms(lambda x: functional.softplus(-x), functional.softplus)
)
wrong("bernoulli_kl_from_logits", "-ln 2 at logit 0")(from_logarithms(ln, lambda x: ln(-x), -LN2))
wrong("bernoulli_kl_from_logits", "a `.detach()` has cut off")(
    lambda x: torch.sigmoid(x).detach() * ln(x) + torch.sigmoid(-x).detach() * ln(-x) + LN2
)
