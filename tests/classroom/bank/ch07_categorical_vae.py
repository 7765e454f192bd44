import math

import torch
from torch.nn.functional import one_hot

from bank import right, wrong

# code_probabilities


@right("code_probabilities")
def _(params, num_categories):
    return params.reshape(params.shape[0], -1, num_categories).softmax(dim=-1)


@right("code_probabilities")
def _(params, num_categories):
    rows = [row.log_softmax(-1).exp() for row in params.split(num_categories, dim=-1)]
    return torch.stack(rows, dim=1)


@right("code_probabilities")
def _(params, num_categories):
    logits = params.unflatten(-1, (params.shape[-1] // num_categories, num_categories))
    weights = torch.exp(logits - logits.amax(-1, keepdim=True))
    return weights / weights.sum(-1, keepdim=True)


wrong("code_probabilities", "one softmax over the whole row")(
    lambda params, num_categories: params.softmax(-1).reshape(len(params), -1, num_categories)
)
wrong("code_probabilities", "other order")(
    lambda params, num_categories: params.reshape(len(params), num_categories, -1).softmax(-1)
)
wrong("code_probabilities", "of the wrong logits")(
    lambda params, num_categories: params.reshape(len(params), num_categories, -1).mT.softmax(-1)
)
wrong("code_probabilities", "cut into K pieces of N, and normalized over")(
    lambda params, num_categories: params.reshape(len(params), num_categories, -1).softmax(-1).mT
)
wrong("code_probabilities", "over the variables, not the categories")(
    lambda params, num_categories: params.reshape(len(params), -1, num_categories).softmax(1)
)
wrong("code_probabilities", "examples compete")(
    lambda params, num_categories: params.reshape(len(params), -1, num_categories).softmax(0)
)
wrong("code_probabilities", "still logits")(
    lambda params, num_categories: params.reshape(len(params), -1, num_categories)
)
wrong("code_probabilities", "log-probabilities")(
    lambda params, num_categories: params.reshape(len(params), -1, num_categories).log_softmax(-1)
)
wrong("code_probabilities", "a sigmoid")(
    lambda params, num_categories: params.reshape(len(params), -1, num_categories).sigmoid()
)
wrong("code_probabilities", "One axis is lost")(lambda params, num_categories: params.softmax(-1))
wrong("code_probabilities", "shape (3, 2, 4)")(
    lambda params, num_categories: params.reshape(-1, 2, 3).softmax(-1)  # the example hard-coded
)
wrong("code_probabilities", "Which three belong together?")(
    lambda params, num_categories: torch.full_like(params, 1 / num_categories).reshape(
        len(params), -1, num_categories
    )
)


@wrong("code_probabilities", "an exp that overflows")
def _(params, num_categories):
    weights = params.reshape(len(params), -1, num_categories).exp()
    return weights / weights.sum(-1, keepdim=True)


# categorical_kl_to_uniform


@right("categorical_kl_to_uniform")
def _(logits):
    log_pi = logits.log_softmax(-1)
    return (log_pi.exp() * (log_pi + math.log(logits.shape[-1]))).sum((-1, -2))


@right("categorical_kl_to_uniform")
def _(logits):
    pi = logits.softmax(-1)
    entropy = -torch.xlogy(pi, pi).sum(-1)
    return (math.log(logits.shape[-1]) - entropy).sum(-1)


@right("categorical_kl_to_uniform")
def _(logits):
    q = torch.distributions.Categorical(logits=logits)
    p = torch.distributions.Categorical(logits=torch.zeros_like(logits))
    return torch.distributions.kl_divergence(q, p).sum(-1)


@wrong("categorical_kl_to_uniform", "wrong sign")
def _(logits):
    log_pi = logits.log_softmax(-1)
    return -(log_pi.exp() * (log_pi + math.log(logits.shape[-1]))).sum((-1, -2))


@wrong("categorical_kl_to_uniform", "each then weighs 1/N")
def _(logits):
    log_pi = logits.log_softmax(-1)
    return (log_pi.exp() * (log_pi + math.log(logits.shape[-1]))).sum(-1).mean(-1)


@wrong("categorical_kl_to_uniform", "1/K of the right result")
def _(logits):
    log_pi = logits.log_softmax(-1)
    return (log_pi.exp() * (log_pi + math.log(logits.shape[-1]))).mean(-1).sum(-1)


@wrong("categorical_kl_to_uniform", "One axis too many")
def _(logits):
    log_pi = logits.log_softmax(-1)
    return (log_pi.exp() * (log_pi + math.log(logits.shape[-1]))).sum(-1)


@wrong("categorical_kl_to_uniform", "Everything was summed")
def _(logits):
    log_pi = logits.log_softmax(-1)
    return (log_pi.exp() * (log_pi + math.log(logits.shape[-1]))).sum()


wrong("categorical_kl_to_uniform", "its ln K is missing")(
    lambda logits: (logits.softmax(-1) * logits.log_softmax(-1)).sum((-1, -2))
)
wrong("categorical_kl_to_uniform", "entropy of q alone")(
    lambda logits: -(logits.softmax(-1) * logits.log_softmax(-1)).sum((-1, -2))
)
wrong("categorical_kl_to_uniform", "once for the whole code")(
    lambda logits: math.log(logits.shape[-1]) + (logits.softmax(-1) * logits.log_softmax(-1)).sum((-1, -2))
)
wrong("categorical_kl_to_uniform", "ln(N K)")(
    lambda logits: (logits.softmax(-1) * (logits.log_softmax(-1) + math.log(logits[0].numel()))).sum((-1, -2))
)
wrong("categorical_kl_to_uniform", "ln(1/K) is negative")(
    lambda logits: (logits.softmax(-1) * (logits.log_softmax(-1) - math.log(logits.shape[-1]))).sum((-1, -2))
)
wrong("categorical_kl_to_uniform", "K times too often")(
    lambda logits: (logits.softmax(-1) * logits.log_softmax(-1) + math.log(logits.shape[-1])).sum((-1, -2))
)
wrong("categorical_kl_to_uniform", "two distributions are exchanged")(
    lambda logits: (-math.log(logits.shape[-1]) - logits.log_softmax(-1)).sum((-1, -2)) / logits.shape[-1]
)
wrong("categorical_kl_to_uniform", "without their weights pi")(
    lambda logits: (logits.log_softmax(-1) + math.log(logits.shape[-1])).sum((-1, -2))
)
wrong("categorical_kl_to_uniform", "log(0)")(  # probabilities for logits
    lambda logits: (logits * (logits.log() + math.log(logits.shape[-1]))).sum((-1, -2))
)


@wrong("categorical_kl_to_uniform", "taken of the softmax")
def _(logits):
    q = torch.distributions.Categorical(logits=logits.softmax(-1))
    return (math.log(logits.shape[-1]) - q.entropy()).sum(-1)


@wrong("categorical_kl_to_uniform", "These are bits")
def _(logits):
    pi = logits.softmax(-1)
    return (pi * (pi.log2() + math.log2(logits.shape[-1]))).sum((-1, -2))


@wrong("categorical_kl_to_uniform", "over the variables")
def _(logits):
    log_pi = logits.log_softmax(1)
    return (log_pi.exp() * (log_pi + math.log(logits.shape[1]))).sum((-1, -2))


@wrong("categorical_kl_to_uniform", "NaN")
def _(logits):
    pi = logits.softmax(-1)
    return (pi * (pi.log() + math.log(logits.shape[-1]))).sum((-1, -2))


@wrong("categorical_kl_to_uniform", "argument 1 was changed in place")
def _(logits):
    logits -= logits.logsumexp(-1, keepdim=True)
    return (logits.exp() * (logits + math.log(logits.shape[-1]))).sum((-1, -2))


# code_perplexity


@right("code_perplexity")
def _(probabilities):
    share = probabilities.mean(0)
    return torch.exp(-torch.xlogy(share, share).sum(-1))


@right("code_perplexity")
def _(probabilities):
    share = probabilities.sum(0) / len(probabilities)
    return 2 ** torch.distributions.Categorical(probs=share).entropy().div(math.log(2))


@right("code_perplexity")
def _(probabilities):
    share = probabilities.mean(0)
    return torch.prod(share**-share, dim=-1)  # 0^0 = 1


wrong("code_perplexity", "The average came after the entropy")(
    lambda probabilities: torch.xlogy(probabilities, probabilities).sum(-1).neg().mean(0).exp()
)
wrong("code_perplexity", "Each image got a number of its own")(
    lambda probabilities: torch.xlogy(probabilities, probabilities).sum(-1).neg().exp().mean(0)
)
wrong("code_perplexity", "makes m of ln m")(
    lambda probabilities: -torch.xlogy(probabilities.mean(0), probabilities.mean(0)).sum(-1)
)
wrong("code_perplexity", "in bits")(
    lambda probabilities: -(probabilities.mean(0) * probabilities.mean(0).log2()).sum(-1)
)
wrong("code_perplexity", "log2 inside")(
    lambda probabilities: torch.exp(-(probabilities.mean(0) * probabilities.mean(0).log2()).sum(-1))
)
wrong("code_perplexity", "2 outside")(
    lambda probabilities: 2 ** -(probabilities.mean(0) * probabilities.mean(0).log()).sum(-1)
)
wrong("code_perplexity", "below 1")(
    lambda probabilities: torch.exp((probabilities.mean(0) * probabilities.mean(0).log()).sum(-1))
)
wrong("code_perplexity", "1 / sum p^2")(lambda probabilities: 1 / (probabilities.mean(0) ** 2).sum(-1))
wrong("code_perplexity", "A mean over the categories")(
    lambda probabilities: torch.exp(-(probabilities.mean(0) * probabilities.mean(0).log()).mean(-1))
)
wrong("code_perplexity", "must sum to 1 before")(
    lambda probabilities: torch.exp(-(probabilities.sum(0) * probabilities.sum(0).log()).sum(-1))
)
wrong("code_perplexity", "One axis too many")(
    lambda probabilities: torch.exp(-torch.xlogy(probabilities, probabilities).sum(-1))
)
wrong("code_perplexity", "which axis is which")(
    lambda probabilities: torch.exp(-torch.xlogy(probabilities.mean(1), probabilities.mean(1)).sum(-1))
)
wrong("code_perplexity", "torch.int64")(lambda probabilities: (probabilities.mean(0) > 0.01).sum(-1))
wrong("code_perplexity", "This is K")(
    lambda probabilities: torch.full(probabilities.shape[1:2], probabilities.shape[-1]).double()
)
wrong("code_perplexity", "NaN")(
    lambda probabilities: torch.exp(-(probabilities.mean(0) * probabilities.mean(0).log()).sum(-1))
)

# prior_codes


@wrong("prior_codes", "Stay in torch")
def _(num_samples, num_variables, num_categories, generator):
    category = torch.randint(num_categories, (num_samples, num_variables), generator=generator)
    return one_hot(category, num_categories).float().numpy()


@wrong("prior_codes", "the same code in every sample")
def _(num_samples, num_variables, num_categories, generator):
    codes = torch.zeros(num_samples, num_variables, num_categories)
    codes[..., 0] = 1
    return codes


wrong("prior_codes", "shape (6000, 3,")(  # the numbers of the example in place of the arguments
    lambda s, n, k, generator: one_hot(torch.randint(3, (s, 2), generator=generator), 3).float()
)


@right("prior_codes")
def _(num_samples, num_variables, num_categories, generator):
    category = torch.randint(num_categories, (num_samples, num_variables), generator=generator)
    return one_hot(category, num_categories).float()


@right("prior_codes")
def _(num_samples, num_variables, num_categories, generator):
    u = torch.rand(num_samples, num_variables, num_categories, generator=generator, dtype=torch.float64)
    return (u == u.amax(-1, keepdim=True)).double()


@right("prior_codes")
def _(num_samples, num_variables, num_categories, generator):
    weights = torch.ones(num_samples * num_variables, num_categories)
    drawn = torch.multinomial(weights, 1, generator=generator).reshape(num_samples, num_variables)
    return torch.eye(num_categories)[drawn]


wrong("prior_codes", "Negative entries")(lambda s, n, k, generator: torch.randn(s, n, k, generator=generator))
wrong("prior_codes", "mixtures")(
    lambda s, n, k, generator: torch.randn(s, n, k, generator=generator).softmax(-1)
)
wrong("prior_codes", "mixtures")(  # rows of 1/K
    lambda s, n, k, generator: torch.full((s, n, k), 1 / k)
)
wrong("prior_codes", "Entries between 0 and 1 are no code")(
    lambda s, n, k, generator: torch.rand(s, n, k, generator=generator)
)
wrong("prior_codes", "The variables of a sample are independent")(
    lambda s, n, k, generator: one_hot(torch.randint(k, (s, 1), generator=generator).expand(s, n), k).float()
)
wrong("prior_codes", "The samples are independent")(
    lambda s, n, k, generator: (
        one_hot(torch.randint(k, (1, n), generator=generator), k).float().repeat(s, 1, 1)
    )
)
wrong("prior_codes", "along the wrong axis")(
    lambda s, n, k, generator: (
        one_hot(torch.rand(s, n, k, generator=generator).argmax(1), n).float().transpose(1, 2)
    )
)
wrong("prior_codes", "categories stand in the last axis")(
    lambda s, n, k, generator: one_hot(torch.rand(s, n, k, generator=generator).argmax(1), n).float()
)
wrong("prior_codes", "categories stand in the last axis")(
    lambda s, n, k, generator: one_hot(torch.randint(k, (s, n), generator=generator)).float().mT
)
wrong("prior_codes", "a row has one entry a category")(
    lambda s, n, k, generator: torch.randint(k, (s, n), generator=generator).float()
)
wrong("prior_codes", "drawn one by one")(
    lambda s, n, k, generator: (torch.rand(s, n, k, generator=generator) < 1 / k).float()
)
wrong("prior_codes", "whole numbers")(
    lambda s, n, k, generator: one_hot(torch.randint(k, (s, n), generator=generator), k)
)
wrong("prior_codes", "The last category never comes")(
    lambda s, n, k, generator: one_hot(torch.randint(k - 1, (s, n), generator=generator), k).float()
)
wrong("prior_codes", "The first category never comes")(
    lambda s, n, k, generator: one_hot(torch.randint(1, k, (s, n), generator=generator), k).float()
)
wrong("prior_codes", "as likely as every other")(
    lambda s, n, k, generator: one_hot(
        (torch.rand(s, n, generator=generator) * (k - 1)).round().long(), k
    ).float()
)
wrong("prior_codes", "Hand the generator on")(
    lambda s, n, k, generator: one_hot(torch.randint(k, (s, n)), k).float()
)
wrong("prior_codes", "a seed set inside")(
    lambda s, n, k, generator: one_hot(
        torch.randint(k, (s, n), generator=torch.Generator().manual_seed(0)), k
    ).float()
)

# what readers of the assignment handed in

wrong("categorical_kl_to_uniform", "The logits stand where ln pi belongs")(
    lambda x: (x.softmax(-1) * (x + math.log(x.shape[-1]))).sum((-1, -2))
)
wrong("categorical_kl_to_uniform", "ln N stands")(
    lambda x: (x.softmax(-1) * (x.log_softmax(-1) + math.log(x.shape[1]))).sum((-1, -2))
)
wrong("categorical_kl_to_uniform", "over the variables")(
    lambda x: (x.softmax(1) * (x.log_softmax(1) + math.log(x.shape[-1]))).sum((-1, -2))
)
wrong("code_perplexity", "wherever every category occurs")(lambda p: (p.mean(0) > 0).to(p.dtype).sum(-1))
wrong("code_perplexity", "likeliest category only")(
    lambda p: torch.special.entr(one_hot(p.argmax(-1), p.shape[-1]).to(p.dtype).mean(0)).sum(-1).exp()
)
wrong("code_perplexity", "probabilities already")(
    lambda p: torch.special.entr(p.softmax(-1).mean(0)).sum(-1).exp()
)
wrong("code_perplexity", "share of its maximum")(
    lambda p: torch.special.entr(p.mean(0)).sum(-1) / math.log(p.shape[-1])
)
wrong("prior_codes", "Is anything drawn")(  # one category after the other
    lambda s, n, k, generator: one_hot((torch.arange(s * n) % k).reshape(s, n), k).float()
)
wrong("prior_codes", "Draw from the generator itself")(
    lambda s, n, k, generator: one_hot(
        torch.randint(k, (s, n), generator=torch.Generator().manual_seed(generator.initial_seed())), k
    ).float()
)
wrong("prior_codes", "tell `one_hot` how many there are")(
    lambda s, n, k, generator: one_hot(torch.randint(k, (s, n), generator=generator)).float()
)
wrong("prior_codes", "dealt out evenly")(  # the same number of samples for each category
    lambda s, n, k, generator: one_hot(
        torch.stack([torch.randperm(s, generator=generator) for _ in range(n)], 1) % k, k
    ).float()
)
wrong("prior_codes", "are some repeated")(  # the second half of the samples is the first
    lambda s, n, k, generator: one_hot(
        torch.randint(k, ((s + 1) // 2, n), generator=generator).repeat(2, 1)[:s], k
    ).float()
)


@right("prior_codes")
def _(num_samples, num_variables, num_categories, generator):
    drawn = torch.randn(num_samples, num_variables, num_categories, generator=generator)
    return one_hot(drawn.argmax(-1), num_categories).float()  # any noise, if all have the same


wrong("code_perplexity", "First the share")(lambda p: torch.special.entr(p.mean(0)).sum(-1).square())
