# %% [markdown]
# # Assignment 07: The categorical VAE
#
# From a row of logits to $N$ variables with $K$ categories: their probabilities, their price, how many
# categories they use, and what a sample of their prior is. Read chapter 07 first.
#
# In the shapes below $B$ is the number of examples, $N$ that of variables and $K$ that of categories.

# %%
import math

import torch

from catvae_lib.classroom.exercise import check

# %% [markdown]
# ## From a row to variables
#
# The encoder returns one row of $N K$ logits for each example: first the $K$ logits of variable 0, then the
# $K$ of variable 1, and so on. Which numbers compete with each other?
#
# Write `code_probabilities(params, num_categories)`. `params` has shape `(B, N * K)` and holds logits;
# `num_categories` is the number $K$. Return the probabilities $\pi_{nk}$, of shape `(B, N, K)`: those of one
# variable sum to 1.
#
# <details><summary>Hint</summary>$N$ is not an argument, but `reshape` finds one missing length by itself:
# write -1 for it. Then name the axis of the softmax.</details>


# %% task="code_probabilities"
def code_probabilities(params, num_categories):
    ### BEGIN SOLUTION
    return params.reshape(params.shape[0], -1, num_categories).softmax(dim=-1)
    ### END SOLUTION


# %% check="code_probabilities" points=2 minutes=5
check.code_probabilities(code_probabilities)

# %% [markdown]
# ## The price of a code
#
# What does a code cost whose prior is uniform? Each of the $N$ variables is compared with $1/K$, and the
# prices of independent variables add up:
#
# $$\mathrm{KL} = \sum_{n=1}^{N} \sum_{k=1}^{K} \pi_{nk} \left(\ln\pi_{nk} + \ln K\right) .$$
#
# Write `categorical_kl_to_uniform(logits)`. `logits` has shape `(B, N, K)`; they are logits, not
# probabilities. Return the KL of each example in nats, of shape `(B,)`. Logits may be as large as 800 and as
# small as -800: a probability that is 0 in floating point costs nothing, and the result stays finite.
#
# <details><summary>Hint</summary>Two functions of torch go from logits to $\pi$ and to $\ln\pi$. Do not take
# the logarithm of a probability that may be 0. Try the result on equal logits, which cost 0, and on certain
# ones, which cost $N \ln K$.</details>


# %% task="categorical_kl_to_uniform"
def categorical_kl_to_uniform(logits):
    ### BEGIN SOLUTION
    log_pi = logits.log_softmax(dim=-1)
    return (log_pi.exp() * (log_pi + math.log(logits.shape[-1]))).sum(dim=(-1, -2))
    ### END SOLUTION


# %% check="categorical_kl_to_uniform" points=3 minutes=10
check.categorical_kl_to_uniform(categorical_kl_to_uniform)

# %% [markdown]
# ## How many categories are in use
#
# A variable has ten categories. How many does it use? Counting those that ever occur is crude: a category
# that one image in a thousand has counts as much as one that half of the images have.
#
# Let $\bar\pi_{nk}$ be the share of category $k$ of variable $n$, the average of $\pi_{nk}$ over the
# examples. We want a number of the shares that is $m$ if $m$ categories are used equally often and the
# others never, whichever they are. Start from the entropy of the shares, in nats. What is it for $m$ equal
# shares? Which function turns that into $m$?
#
# Derive it, and write `code_perplexity(probabilities)`. `probabilities` has shape `(B, N, K)`; the last axis
# sums to 1, and a row may be one-hot. Return the number of used categories of each variable, of shape `(N,)`.
# A category that no example uses counts for nothing, and must not make the result NaN.
#
# <details><summary>Hint</summary>Average before anything else: two images that are certain of two different
# categories use two. For the zeros: $p \ln p$ tends to 0 with $p$, and `torch.xlogy(p, p)` knows
# it.</details>


# %% task="code_perplexity"
def code_perplexity(probabilities):
    ### BEGIN SOLUTION
    share = probabilities.mean(dim=0)  # (N, K)
    entropy = -torch.xlogy(share, share).sum(dim=-1)  # ln m for m equal shares
    return entropy.exp()
    ### END SOLUTION


# %% check="code_perplexity" points=4 minutes=15
check.code_perplexity(code_perplexity)

# %% [markdown]
# ## Find the bug
#
# To draw new images, one draws codes from the prior and decodes them. This function stands in public code
# for a categorical VAE. It was taken over from a Gaussian one, and no error is raised.
#
# The decoder here is simple: each category of each variable adds its own amount of ink, and no code of the
# two variables has less than 0 or more than 1. Run the cell. How much ink do the nine codes have, and how
# much do the samples have?

# %%
INK = torch.tensor([[0.0, 0.2, 0.5], [0.1, 0.3, 0.5]])  # of each category of two variables, (N, K)


def prior_of_another_model(num_samples, num_variables, num_categories, generator):
    return torch.randn(num_samples, num_variables, num_categories, generator=generator)


samples = prior_of_another_model(8, 2, 3, torch.Generator().manual_seed(0))
print("of the nine codes:", [round(ink, 1) for ink in (INK[0][:, None] + INK[1]).flatten().tolist()])
print("of the samples:   ", [round(ink, 1) for ink in (samples * INK).sum((-1, -2)).tolist()])
print("the first sample:\n", samples[0])

# %% [markdown]
# Write `prior_codes(num_samples, num_variables, num_categories, generator)`, with three whole numbers and a
# `torch.Generator`. Return floating-point codes of shape `(num_samples, num_variables, num_categories)`,
# one-hot in the last dimension. Every category is as likely as every other; all variables and all samples are
# independent. The same generator state gives the same codes, and a second call with the same generator gives
# others.
#
# <details><summary>Hint</summary>Draw a whole number for each variable of each sample first, with
# `generator=generator`. Then make it one-hot: `torch.nn.functional.one_hot` returns whole numbers, and a
# decoder needs others.</details>


# %% task="prior_codes"
def prior_codes(num_samples, num_variables, num_categories, generator):
    ### BEGIN SOLUTION
    category = torch.randint(num_categories, (num_samples, num_variables), generator=generator)
    return torch.nn.functional.one_hot(category, num_categories).float()
    ### END SOLUTION


# %% check="prior_codes" points=4 minutes=10
check.prior_codes(prior_codes)
