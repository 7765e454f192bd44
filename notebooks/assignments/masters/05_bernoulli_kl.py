# %% [markdown]
# # Assignment 05: the Bernoulli KL
#
# What a bit costs: the formula with its weights, by drawing, its slope, and its value where floating point
# gives up. Read chapter 05 first. Everything is in nats: logarithms are natural.

# %%
import math

import torch

from catvae_lib.classroom.exercise import check

# %% [markdown]
# ## Eq. (5), repaired
#
# The article prints the KL of a bit to the fair coin as
# $\sum_{k \in \{0, 1\}} \left[\ln \theta^k (1 - \theta)^{1 - k} - \ln 0.5^k\, 0.5^{1 - k}\right]$. At
# $\theta = 0.1$ that is $-1.02$, and a KL is never negative. What is missing?
#
# Write `bernoulli_kl_weighted(theta)`. `theta` is a tensor of probabilities inside $(0, 1)$, of any shape;
# return the KL of each bit, a tensor of the same shape. One line is enough.
#
# <details><summary>Hint</summary>A KL is an average of $\ln q - \ln p$ under $q$. With which probability is
# $k = 1$, and with which is $k = 0$?</details>


# %% task="bernoulli_kl_weighted"
def bernoulli_kl_weighted(theta):
    ### BEGIN SOLUTION
    return theta * torch.log(theta / 0.5) + (1 - theta) * torch.log((1 - theta) / 0.5)
    ### END SOLUTION


# %% check="bernoulli_kl_weighted" points=2 minutes=5
check.bernoulli_kl_weighted(bernoulli_kl_weighted)

# %% [markdown]
# ## The KL by drawing
#
# The KL of a whole code is the mean of $\ln q(z) - \ln p(z)$ over codes drawn from $q$. Suppose that the
# codes are drawn already. How is the estimate made from them?
#
# Write `monte_carlo_kl(logits, bits)`.
#
# - `logits` has shape $(Q,)$: the logits $\ell$ of the $Q$ bits of a code, $\theta = \sigma(\ell)$. The bits
#   are independent.
# - `bits` has shape $(S, Q)$: $S$ codes drawn from $q$, made of 0.0 and 1.0.
# - The prior is $Q$ independent fair coins.
#
# Return the estimate of the KL of the code, a tensor without dimensions. Some logits are as large as 50 or
# 800; the estimate must stay finite there.
#
# <details><summary>Hint</summary>The log-probability of a code is a sum over its bits, under $q$ and under
# $p$. Write the shapes beside your lines: first $(S, Q)$, then $(S,)$, then nothing.
# `torch.nn.functional.logsigmoid` is a logarithm that does not saturate.</details>


# %% task="monte_carlo_kl"
def monte_carlo_kl(logits, bits):
    ### BEGIN SOLUTION
    log_one = torch.nn.functional.logsigmoid(logits)  # (Q,)
    log_zero = torch.nn.functional.logsigmoid(-logits)
    log_q = bits * log_one + (1 - bits) * log_zero  # (S, Q)
    return (log_q - math.log(0.5)).sum(-1).mean()
    ### END SOLUTION


# %% check="monte_carlo_kl" points=3 minutes=10
check.monte_carlo_kl(monte_carlo_kl)

# %% [markdown]
# ## The pull of another prior
#
# Chapter 05 found how strongly the fair coin pulls at a logit $\ell$: $\ell\, \theta (1 - \theta)$. Let the
# prior be another coin, with probability $\rho = \sigma(m)$:
#
# $$\mathrm{KL} = \theta \ln \frac{\theta}{\rho} + (1 - \theta) \ln \frac{1 - \theta}{1 - \rho}.$$
#
# Where does the pull vanish now, and what is it elsewhere? Derive $d\,\mathrm{KL} / d\ell$ on paper.
#
# Write it as `kl_gradient(logits, prior_logit)`. `logits` is a tensor of logits $\ell$ of any shape,
# `prior_logit` is the number $m$. Return the derivative for each logit, a tensor of the same shape. It must
# be right, and no NaN, at logits of $\pm 50$ and $\pm 800$, too.
#
# <details><summary>Hint</summary>Differentiate with respect to $\theta$ first; the terms that come from
# inside the logarithms cancel. What is left holds only log-odds. Then apply the chain rule: what is
# $d\theta / d\ell$?</details>


# %% task="kl_gradient"
def kl_gradient(logits, prior_logit):
    ### BEGIN SOLUTION
    return (logits - prior_logit) * torch.sigmoid(logits) * torch.sigmoid(-logits)
    ### END SOLUTION


# %% check="kl_gradient" points=3 minutes=15
check.kl_gradient(kl_gradient)

# %% [markdown]
# ## From logits, without NaN
#
# An encoder returns logits. The function below turns them into probabilities and goes on as in task 1. What
# happens to a bit that has become certain?


# %%
def naive_kl(logits):
    theta = torch.sigmoid(logits)
    return theta * torch.log(theta / 0.5) + (1 - theta) * torch.log((1 - theta) / 0.5)


print(naive_kl(torch.tensor([0.0, 5.0, -5.0, 50.0, -50.0, 800.0, -800.0])))

# %% [markdown]
# Write `bernoulli_kl_from_logits(logits)`. `logits` is a tensor of any shape, in float32 or float64; return
# the KL of each bit to the fair coin, of the same shape and precision. At logits of 0, $\pm 50$ and
# $\pm 800$ the values must be right, and their gradients, too. Nothing may change for ordinary logits: the
# check sees an error of $10^{-7}$.
#
# <details><summary>Hint</summary>The logarithms are the trouble, not $\theta$. Write $\ln\theta$ and
# $\ln(1 - \theta)$ as functions of the logit. torch has a function for each that never takes the logarithm
# of 0; remember that $1 - \sigma(\ell) = \sigma(-\ell)$.</details>


# %% task="bernoulli_kl_from_logits"
def bernoulli_kl_from_logits(logits):
    ### BEGIN SOLUTION
    one = torch.sigmoid(logits) * torch.nn.functional.logsigmoid(logits)
    zero = torch.sigmoid(-logits) * torch.nn.functional.logsigmoid(-logits)
    return math.log(2) + one + zero
    ### END SOLUTION


# %% check="bernoulli_kl_from_logits" points=4 minutes=15
check.bernoulli_kl_from_logits(bernoulli_kl_from_logits)

# %% [markdown]
# ## Find the bugs
#
# A training script computes the price of each code of a batch like this. The reconstruction that it is added
# to is summed over pixels. Training runs, the loss falls, nothing is NaN. Run the cell, and compare each
# price with what it should be.


# %%
def buggy_loss_kl(logits):  # logits (B, Q), from the encoder
    theta = torch.sigmoid(torch.relu(logits))
    one = theta * torch.log(2 * theta)
    zero = (1 - theta) * torch.log(2 * (1 - theta))
    return (one + zero).mean(-1)  # (B,)


print("20 bits of logit 3:  ", buggy_loss_kl(torch.full((1, 20), 3.0)))
print("200 bits of logit 3: ", buggy_loss_kl(torch.full((1, 200), 3.0)))
print("20 bits of logit -3: ", buggy_loss_kl(torch.full((1, 20), -3.0)))

# %% [markdown]
# There are two bugs. Write `mended_loss_kl(logits)` without them. `logits` has shape $(B, Q)$: $B$ images,
# $Q$ independent bits, none of them extreme. Return the KL of each image's code to $Q$ fair coins, a tensor
# of shape $(B,)$.
#
# <details><summary>Hint</summary>Should 200 bits cost the same as 20? Should a bit that is nearly always 0
# cost less than one that is nearly always 1? Find the operation that is to blame for each.</details>


# %% task="mended_loss_kl"
def mended_loss_kl(logits):
    ### BEGIN SOLUTION
    theta = torch.sigmoid(logits)
    one = theta * torch.log(2 * theta)
    zero = (1 - theta) * torch.log(2 * (1 - theta))
    return (one + zero).sum(-1)
    ### END SOLUTION


# %% check="mended_loss_kl" points=3 minutes=10
check.mended_loss_kl(mended_loss_kl)
