import math

import torch
from torch.nn.functional import one_hot

from bank import right, wrong

# multi_sample_bound


@right("multi_sample_bound")
def _(log_weights):
    return torch.logsumexp(log_weights, 0) - math.log(log_weights.shape[0])


@right("multi_sample_bound")
def _(log_weights):
    largest = log_weights.max(0).values
    return largest + torch.exp(log_weights - largest).mean(0).log()


@right("multi_sample_bound")
def _(log_weights):
    bound = log_weights[0]
    for one in log_weights[1:]:
        bound = torch.logaddexp(bound, one)
    return bound - torch.tensor(len(log_weights)).log()


wrong("multi_sample_bound", "single-sample bounds")(lambda w: w.mean(0))
wrong("multi_sample_bound", "even if all weights are equal")(lambda w: torch.logsumexp(w, 0))
wrong("multi_sample_bound", "axis is the wrong one")(lambda w: torch.logsumexp(w, 1) - math.log(w.shape[1]))
wrong("multi_sample_bound", "mean of logarithms")(lambda w: w.mean(-1))
wrong("multi_sample_bound", "an infinity")(lambda w: w.exp().mean(0).log())
wrong("multi_sample_bound", "a shift of its own")(lambda w: w.clamp(-80, 80).exp().mean(0).log())
wrong("multi_sample_bound", "an infinity")(lambda w: (w - w.max()).exp().mean(0).log() + w.max())
wrong("multi_sample_bound", "never added again")(lambda w: (w - w.max(0).values).exp().mean(0).log())
wrong("multi_sample_bound", "was divided by S")(lambda w: torch.logsumexp(w, 0) / len(w))
wrong("multi_sample_bound", "ln S has the wrong sign")(lambda w: torch.logsumexp(w, 0) + math.log(len(w)))
wrong("multi_sample_bound", "wrong sign everywhere")(lambda w: math.log(len(w)) - torch.logsumexp(w, 0))
wrong("multi_sample_bound", "a logarithm is missing")(lambda w: w.exp().mean(0))
wrong("multi_sample_bound", "largest log-weight")(lambda w: w.max(0).values)
wrong("multi_sample_bound", "name the axis")(lambda w: torch.logsumexp(w.flatten(), 0) - math.log(w.numel()))
wrong("multi_sample_bound", "One axis too many")(
    lambda w: torch.logsumexp(w, 0, keepdim=True) - math.log(w.shape[0])
)
wrong("multi_sample_bound", "left as they were")(lambda w: w.sub_(1).logsumexp(0) + 1 - math.log(len(w)))
wrong("multi_sample_bound", "Average them over the samples")(lambda w: torch.logsumexp(w, 0) - math.log(1000))

# difference_of_models


@right("difference_of_models")
def _(first, second):
    difference = first - second
    return difference.mean(), difference.std() / math.sqrt(len(difference))


@right("difference_of_models")
def _(first, second):
    n = first.shape[0]
    mean = first.mean() - second.mean()
    squares = (first - second - mean).square().sum()
    return mean, (squares / (n * (n - 1))).sqrt()


@right("difference_of_models")
def _(first, second):
    covariance = torch.cov(torch.stack([first, second]))
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    return first.mean() - second.mean(), (variance / len(first)) ** 0.5


wrong("difference_of_models", "spread of one difference")(lambda a, b: ((a - b).mean(), (a - b).std()))
wrong("difference_of_models", "variance of the differences")(lambda a, b: ((a - b).mean(), (a - b).var()))
wrong("difference_of_models", "a root is missing")(lambda a, b: ((a - b).mean(), (a - b).var() / len(a)))
wrong("difference_of_models", "twice by its root")(lambda a, b: ((a - b).mean(), (a - b).std() / len(a)))
wrong("difference_of_models", "were different ones")(
    lambda a, b: ((a - b).mean(), torch.sqrt(a.var() / len(a) + b.var() / len(b)))
)
wrong("difference_of_models", "Subtract the bounds first")(
    lambda a, b: (a.mean() - b.mean(), a.std() / len(a) ** 0.5 - b.std() / len(b) ** 0.5)
)
wrong("difference_of_models", "first model's mean")(
    lambda a, b: ((a - b).mean(), a.std() / math.sqrt(len(a)))
)
wrong("difference_of_models", "divided by N")(
    lambda a, b: ((a - b).mean(), (a - b).std(unbiased=False) / math.sqrt(len(a)))
)
wrong("difference_of_models", "first minus second")(
    lambda a, b: ((b - a).mean(), (b - a).std() / math.sqrt(len(a)))
)
wrong("difference_of_models", "in the wrong order")(
    lambda a, b: ((a - b).std() / math.sqrt(len(a)), (a - b).mean())
)
wrong("difference_of_models", "Return 2 tensors")(lambda a, b: (a - b).std() / math.sqrt(len(a)))
wrong("difference_of_models", "Stay in torch")(lambda a, b: ((a - b).mean(), (a - b).numpy()))
wrong("difference_of_models", "shape ()")(lambda a, b: (a - b, (a - b).std() / math.sqrt(len(a))))

# effective_sample_size


@right("effective_sample_size")
def _(log_weights):
    log_of_squares = torch.logsumexp(2 * log_weights, 0)
    return torch.exp(2 * torch.logsumexp(log_weights, 0) - log_of_squares)


@right("effective_sample_size")
def _(log_weights):
    return 1 / log_weights.softmax(0).square().sum(0)


@right("effective_sample_size")
def _(log_weights):
    w = (log_weights - log_weights.max(0).values).exp()
    return len(w) / (1 + w.var(0, correction=0) / w.mean(0) ** 2)


wrong("effective_sample_size", "changed places")(lambda w: w.softmax(0).square().sum(0))
wrong("effective_sample_size", "a share of the samples")(
    lambda w: w.exp().mean(0).square() / w.exp().square().mean(0)
)
wrong("effective_sample_size", "axis is the wrong one")(lambda w: 1 / w.softmax(1).square().sum(1))
wrong("effective_sample_size", "NaN")(lambda w: w.exp().sum(0).square() / w.exp().square().sum(0))
wrong("effective_sample_size", "NaN")(
    lambda w: (w - w.max()).exp().sum(0).square() / (w - w.max()).exp().square().sum(0)
)
wrong("effective_sample_size", "S - 1")(lambda w: len(w) / (1 + w.exp().var(0) / w.exp().mean(0) ** 2))
wrong("effective_sample_size", "unit of the weights")(lambda w: len(w) / (1 + w.exp().var(0, correction=0)))
wrong("effective_sample_size", "standard deviation stands")(
    lambda w: len(w) / (1 + w.exp().std(0, correction=0) / w.exp().mean(0))
)
wrong("effective_sample_size", "an exp is missing")(lambda w: w.sum(0) ** 2 / (w**2).sum(0))
wrong("effective_sample_size", "is not squared")(lambda w: w.exp().sum(0) / w.exp().square().sum(0))
wrong("effective_sample_size", "the logarithm of")(
    lambda w: 2 * torch.logsumexp(w, 0) - torch.logsumexp(2 * w, 0)
)
wrong("effective_sample_size", "however uneven")(
    lambda w: w.exp().sum(0).square() / w.exp().sum(0) ** 2 * len(w)
)
wrong("effective_sample_size", "entropy")(lambda w: (-(w.softmax(0) * w.log_softmax(0)).sum(0)).exp())
wrong("effective_sample_size", "name the axis")(lambda w: 1 / w.flatten().softmax(0).square().sum())
wrong("effective_sample_size", "cancel S")(lambda w: 1 / w.softmax(0).max(0).values)

# mended_evaluation


def hard(logits, gumbel_noise):
    return one_hot((logits + gumbel_noise).argmax(-1), logits.shape[-1]).to(logits.dtype)


def log_prob(z, logits):
    return (z * logits.log_softmax(-1)).sum((-2, -1))


@right("mended_evaluation")
def _(logits, gumbel_noise, log_joint):
    z = hard(logits, gumbel_noise)
    return (log_joint(z) - log_prob(z, logits)).mean(0)


@right("mended_evaluation")
def _(logits, gumbel_noise, log_joint):
    total = 0.0
    for noise in gumbel_noise:
        perturbed = logits + noise
        z = (perturbed == perturbed.max(-1, keepdim=True).values).double()
        q = torch.distributions.Categorical(logits=logits)
        total = total + log_joint(z) - q.log_prob(z.argmax(-1)).sum(-1)
    return total / len(gumbel_noise)


@right("mended_evaluation")
def _(logits, gumbel_noise, log_joint):
    soft = ((logits + gumbel_noise) / 0.5).softmax(-1)
    z = torch.zeros_like(soft).scatter(-1, soft.argmax(-1, keepdim=True), 1.0)
    z = z + soft - soft.detach()
    q = torch.distributions.OneHotCategorical(logits=logits, validate_args=False)
    return log_joint(z).mean(0) - q.log_prob(z.round()).sum(-1).mean(0)


@wrong("mended_evaluation", "relaxed codes")
def _(logits, gumbel_noise, log_joint):
    z = ((logits + gumbel_noise) / 0.5).softmax(-1)
    return (log_joint(z) - log_prob(z, logits)).mean(0)


@wrong("mended_evaluation", "relaxed codes")
def _(logits, gumbel_noise, log_joint):
    z = ((logits + gumbel_noise) / 0.1).softmax(-1)
    return (log_joint(z) - log_prob(hard(logits, gumbel_noise), logits)).mean(0)


@wrong("mended_evaluation", "that of ln q is relaxed")
def _(logits, gumbel_noise, log_joint):
    relaxed = ((logits + gumbel_noise) / 0.5).softmax(-1)
    return (log_joint(hard(logits, gumbel_noise)) - log_prob(relaxed, logits)).mean(0)


@wrong("mended_evaluation", "not a density")
def _(logits, gumbel_noise, log_joint):
    q = torch.distributions.RelaxedOneHotCategorical(torch.tensor(0.5).double(), logits=logits)
    relaxed = ((logits + gumbel_noise) / 0.5).log_softmax(-1)
    log_q = q.base_dist.log_prob(relaxed).sum(-1)
    return (log_joint(hard(logits, gumbel_noise)) - log_q).mean(0)


@wrong("mended_evaluation", "multi-sample bound")
def _(logits, gumbel_noise, log_joint):
    z = hard(logits, gumbel_noise)
    return torch.logsumexp(log_joint(z) - log_prob(z, logits), 0) - math.log(len(z))


@wrong("mended_evaluation", "lack a normalization")
def _(logits, gumbel_noise, log_joint):
    z = hard(logits, gumbel_noise)
    return (log_joint(z) - (z * logits).sum((-2, -1))).mean(0)


@wrong("mended_evaluation", "noise has no influence")
def _(logits, gumbel_noise, log_joint):
    z = hard(logits, torch.zeros_like(gumbel_noise))
    return (log_joint(z) - log_prob(z, logits)).mean(0)


@wrong("mended_evaluation", "logits have no influence")
def _(logits, gumbel_noise, log_joint):
    z = hard(torch.zeros_like(logits), gumbel_noise)
    return (log_joint(z) - log_prob(z, logits)).mean(0)


@wrong("mended_evaluation", "added to probabilities")
def _(logits, gumbel_noise, log_joint):
    z = hard(logits.softmax(-1), gumbel_noise)
    return (log_joint(z) - log_prob(z, logits)).mean(0)


@wrong("mended_evaluation", "logarithms add")
def _(logits, gumbel_noise, log_joint):
    z = hard(logits, gumbel_noise)
    return (log_joint(z) - (z * logits.log_softmax(-1)).sum(-1).mean(-1)).mean(0)


@wrong("mended_evaluation", "at the codes that were drawn")
def _(logits, gumbel_noise, log_joint):
    entropy = -(logits.softmax(-1) * logits.log_softmax(-1)).sum((-2, -1))
    return log_joint(hard(logits, gumbel_noise)).mean(0) + entropy


@wrong("mended_evaluation", "a sum over the samples")
def _(logits, gumbel_noise, log_joint):
    z = hard(logits, gumbel_noise)
    return (log_joint(z) - log_prob(z, logits)).sum(0)


@wrong("mended_evaluation", "wrong sign everywhere")
def _(logits, gumbel_noise, log_joint):
    z = hard(logits, gumbel_noise)
    return -(log_joint(z) - log_prob(z, logits)).mean(0)


@wrong("mended_evaluation", "ln q(z|x) has the wrong sign")
def _(logits, gumbel_noise, log_joint):
    z = hard(logits, gumbel_noise)
    return (log_joint(z) + log_prob(z, logits)).mean(0)


@wrong("mended_evaluation", "name the axis")
def _(logits, gumbel_noise, log_joint):
    z = hard(logits, gumbel_noise)
    return (log_joint(z) - log_prob(z, logits)).mean()


@wrong("mended_evaluation", "expected: shape")
def _(logits, gumbel_noise, log_joint):
    z = hard(logits, gumbel_noise)
    return (log_joint(z) - log_prob(z, logits)).mean(1)


@wrong("mended_evaluation", "the index of a category")
def _(logits, gumbel_noise, log_joint):
    index = (logits + gumbel_noise).argmax(-1)
    return log_joint(index.to(logits.dtype)).mean(0)


wrong("mended_evaluation", "nothing is charged")(
    lambda logits, gumbel_noise, log_joint: log_joint(hard(logits, gumbel_noise)).mean(0)
)
wrong("mended_evaluation", "never called")(
    lambda logits, gumbel_noise, log_joint: -log_prob(hard(logits, gumbel_noise), logits).mean(0)
)

# what readers of the assignment handed in

wrong("multi_sample_bound", "thousands apart")(lambda w: (w - w.mean(0)).exp().mean(0).log() + w.mean(0))
for says, error in (
    ("errors of the two models were added", lambda a, b: (a.std() + b.std()) / len(a) ** 0.5),
    ("N - 1 divides twice", lambda a, b: (a - b).std() / (len(a) - 1) ** 0.5),
    ("half of an interval", lambda a, b: 1.96 * (a - b).std() / len(a) ** 0.5),
):
    wrong("difference_of_models", says)(lambda a, b, error=error: ((a - b).mean(), error(a, b)))
wrong("difference_of_models", "lost their signs")(
    lambda a, b: ((a - b).abs().mean(), (a - b).std() / len(a) ** 0.5)
)
wrong("difference_of_models", "the sum of the differences")(
    lambda a, b: ((a - b).sum(), (a - b).std() * len(a) ** 0.5)
)
wrong("effective_sample_size", "1 whatever the weights")(
    lambda w: (2 * w.logsumexp(0) - 2 * w.logsumexp(0)).exp()
)
wrong("effective_sample_size", "log-weights were squared")(
    lambda w: (2 * w.logsumexp(0) - (w**2).logsumexp(0)).exp()
)
wrong("effective_sample_size", "A factor S is left over")(lambda w: len(w) / w.softmax(0).square().sum(0))
wrong("mended_evaluation", "The noise is in ln q, too")(
    lambda logits, g, joint: (
        joint(z := hard(logits, g)) - (z * (logits + g).log_softmax(-1)).sum((-1, -2))
    ).mean(0)
)
wrong("mended_evaluation", "Probabilities were subtracted")(
    lambda logits, g, joint: (joint(z := hard(logits, g)) - (z * logits.softmax(-1)).sum((-1, -2))).mean(0)
)
wrong("mended_evaluation", "The prior is counted twice")(
    lambda logits, g, joint: (
        joint(z := hard(logits, g))
        - (z * (logits.log_softmax(-1) + math.log(logits.shape[-1]))).sum((-1, -2))
    ).mean(0)
)
