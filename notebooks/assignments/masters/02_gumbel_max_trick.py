# %% [markdown]
# # Assignment 02: The Gumbel-max trick
#
# Noise and logits become a category, many categories, and an ordered list of them. At the end there is a
# sampler whose draws are right one by one and wrong together. Read chapter 02 first.

# %%
import math

import torch

from catvae_lib import noise
from catvae_lib.classroom.exercise import check

# %% [markdown]
# ## The winner
#
# Each category has a logit, and each gets its own noise. Which one is drawn? By the article's Eq. (1), the
# one with the largest sum.
#
# Write `gumbel_max(logits, gumbel_noise)` for two tensors of the same shape `(..., K)`. The last axis holds
# the $K$ categories; in front of it there may be any number of axes, or none. Return the sample in that shape
# and with the dtype of `logits`, one-hot in the last dimension: a 1 for the winner, 0 for the others. If
# several share the largest sum, still exactly one of them gets the 1. The noise is given; draw none.
#
# <details><summary>Hint</summary>`argmax` returns one index, even when there is a tie. Then
# `torch.nn.functional.one_hot` or `scatter` marks it; mind the dtype.</details>


# %% task="gumbel_max"
def gumbel_max(logits, gumbel_noise):
    ### BEGIN SOLUTION
    winner = (logits + gumbel_noise).argmax(-1)
    return torch.nn.functional.one_hot(winner, logits.shape[-1]).to(logits.dtype)
    ### END SOLUTION


# %% check="gumbel_max" points=2 minutes=5
check.gumbel_max(gumbel_max)

# %% [markdown]
# ## Many draws
#
# One vector of noise gives one sample. How much noise do $n$ samples need?
#
# Write `categorical_sampler(logits, num_samples, generator)`. `logits` has shape `(K,)` and is not
# normalized, `num_samples` is a whole number, `generator` a `torch.Generator`. Return `num_samples`
# independent samples, one-hot in the last dimension, of shape `(num_samples, K)`. The same state of the
# generator gives the same samples; a second call, with the generator as the first one left it, gives others.
# Noise comes from `noise.gumbel(shape, generator=generator)`.
#
# <details><summary>Hint</summary>Which shape must the noise have so that no two sums share a number? You may
# call your `gumbel_max`; logits of shape `(K,)` can be expanded to the shape of the noise.</details>


# %% task="categorical_sampler"
def categorical_sampler(logits, num_samples, generator):
    ### BEGIN SOLUTION
    shape = (num_samples, len(logits))
    gumbel_noise = noise.gumbel(shape, generator=generator, dtype=logits.dtype)
    return gumbel_max(logits.expand(shape), gumbel_noise)
    ### END SOLUTION


# %% check="categorical_sampler" points=3 minutes=10
check.categorical_sampler(categorical_sampler)

# %% [markdown]
# ## The probability of a ranking
#
# The $k$ largest of the sums $\ln\pi_j + \epsilon_j$, in falling order, are $k$ draws without replacement.
# Chapter 02 gives the probability of an ordered pair. How probable is a list of any length
# $o_1, \dots, o_k$?
#
# Write `top_k_log_prob(logits, order)`. `logits` has shape `(K,)` and is not normalized; `order` is a tensor
# of $k$ different indices from $0$ to $K - 1$, of dtype `int64` and shape `(k,)`, the largest sum first, with
# $1 \le k \le K$. Return the log-probability of exactly this list, in nats, a tensor without dimensions.
#
# It must also be right when a logit exceeds the others by 50. Then $1 - \pi_i$ is exactly 0 in floating
# point, although the remaining categories still have probabilities among themselves. The next cell shows it.
#
# <details><summary>Hint</summary>Before each draw the candidates are all categories that have not been drawn
# yet. Their probabilities, from their logits, are again a softmax. What logit does an impossible category
# have?</details>

# %%
sure = torch.tensor([50.0, 0.0, 1.0], dtype=torch.float64)
print("1 - pi_0 =", 1 - torch.softmax(sure, -1)[0].item())
print("the others, once 0 is drawn:", torch.softmax(sure[1:], -1))
pi, order = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64), torch.tensor([2, 0])  # for trying out
print("first 2, then 0:", math.log(0.5 * 0.2 / (1 - 0.5)))  # what top_k_log_prob(pi.log(), order) returns


# %% task="top_k_log_prob"
def top_k_log_prob(logits, order):
    ### BEGIN SOLUTION
    left, result = logits, 0.0
    for index in order:
        result = result + torch.log_softmax(left, -1)[index]
        left = left.index_fill(0, index, -math.inf)
    return result
    ### END SOLUTION


# %% check="top_k_log_prob" points=4 minutes=15
check.top_k_log_prob(top_k_log_prob)

# %% [markdown]
# ## Find the bug
#
# This sampler draws one category for each row of a batch. Its author has counted the categories over many
# calls, and they fit. Run the cell: all four rows have the same logits. What do you notice within a call?


# %%
def batch_sampler(logits, generator):
    gumbel_noise = noise.gumbel(logits.shape[-1], generator=generator, dtype=logits.dtype)
    winner = (logits + gumbel_noise).argmax(-1)
    return torch.nn.functional.one_hot(winner, logits.shape[-1]).to(logits.dtype)


generator = torch.Generator().manual_seed(0)
equal_rows = torch.tensor([0.2, 0.3, 0.5]).log().expand(4, 3)
for call in range(5):
    print(f"call {call}: winners", batch_sampler(equal_rows, generator).argmax(-1).tolist())

counts = sum(batch_sampler(equal_rows, generator)[0] for _ in range(2000))
print("shares of the first row over 2000 calls:", counts / 2000)

# %% [markdown]
# Each row alone is a right sample. But a batch of a hundred images gets the noise of one, and an average over
# the batch is as noisy as a single draw.
#
# Write `mended_batch_sampler(logits, generator)`. `logits` has shape `(B, K)`, unnormalized; `generator` is a
# `torch.Generator`. Return one sample for each row, independent of all other rows, one-hot in the last
# dimension, of shape `(B, K)`. The same state of the generator gives the same samples, and a second call
# gives others.
#
# <details><summary>Hint</summary>Print the shape of the noise beside that of the logits. What does
# broadcasting do when they are added?</details>


# %% task="mended_batch_sampler"
def mended_batch_sampler(logits, generator):
    ### BEGIN SOLUTION
    gumbel_noise = noise.gumbel(logits.shape, generator=generator, dtype=logits.dtype)
    winner = (logits + gumbel_noise).argmax(-1)
    return torch.nn.functional.one_hot(winner, logits.shape[-1]).to(logits.dtype)
    ### END SOLUTION


# %% check="mended_batch_sampler" points=3 minutes=10
check.mended_batch_sampler(mended_batch_sampler)
