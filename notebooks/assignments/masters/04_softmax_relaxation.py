# %% [markdown]
# # Assignment 04: the softmax relaxation
#
# A relaxed sample and its temperature, a hard sample with a soft gradient, the density of a relaxed bit,
# and a softmax that mixes up the variables. Read chapter 04 first.

# %%
import math

import torch

from catvae_lib.classroom.exercise import check

# %% [markdown]
# ## The relaxed sample
#
# The article's Eq. (2) replaces the argmax by a softmax and leaves out the temperature. Where does the
# temperature belong?
#
# Write `relaxed_one_hot(logits, noise, temperature)`. `logits` is a float tensor of unnormalized
# log-probabilities of shape $(..., K)$: the categories are in the last dimension, other dimensions come
# before it. `noise` has the same shape and holds standard Gumbel noise, already drawn. `temperature` is a
# number $\lambda > 0$. Return the relaxed samples, a tensor of shape $(..., K)$ whose entries sum to 1 in
# the last dimension.
#
# The result must be differentiable in the logits. Logits of $\pm 800$ at a temperature of $0.01$ must work.
#
# <details><summary>Hint</summary>The noise makes the sample, the temperature then softens it: which of the
# two comes first? The exponential of 80,000 is infinite, so do not take it: torch's own softmax subtracts
# the largest score first.</details>


# %% task="relaxed_one_hot"
def relaxed_one_hot(logits, noise, temperature):
    ### BEGIN SOLUTION
    return torch.softmax((logits + noise) / temperature, dim=-1)
    ### END SOLUTION


# %% check="relaxed_one_hot" points=2 minutes=8
check.relaxed_one_hot(relaxed_one_hot)

# %% [markdown]
# ## Hard value, soft gradient
#
# The decoder should see a one-hot vector, and the encoder needs a gradient. How can one tensor have the
# value of one thing and the gradient of another?
#
# Write `straight_through_one_hot(logits, noise, temperature)`, with the arguments of the first task. Its
# value is the hard sample, one-hot in the last dimension, of the shape and dtype of `logits`. Its gradient
# with respect to `logits` is that of the relaxed sample at this temperature. The same noise serves both.
#
# <details><summary>Hint</summary>`x.detach()` has the value of `x` and no gradient. Which combination of a
# relaxed sample and its detached copy has the value 0 and still a gradient? `scatter`, or `one_hot` of
# `torch.nn.functional`, makes a one-hot vector from an argmax; `one_hot` returns whole numbers.</details>


# %% task="straight_through_one_hot"
def straight_through_one_hot(logits, noise, temperature):
    ### BEGIN SOLUTION
    scores = logits + noise
    relaxed = torch.softmax(scores / temperature, dim=-1)
    hard = torch.zeros_like(relaxed).scatter(-1, scores.argmax(-1, keepdim=True), 1.0)
    return hard + (relaxed - relaxed.detach())
    ### END SOLUTION


# %% check="straight_through_one_hot" points=3 minutes=12
check.straight_through_one_hot(straight_through_one_hot)

# %% [markdown]
# ## The density of a relaxed bit
#
# Chapter 04 states the density for $K$ categories. For a single bit it follows from one line. The soft bit
# is $x = \sigma(y)$ with
#
# $$y = \frac{\ell + \epsilon}{\lambda},$$
#
# the logit $\ell$ of the bit and standard logistic noise $\epsilon$. What is the density of $y$, measured
# in $y$ and not in $x$?
#
# Derive it, and write its logarithm in nats as `relaxed_bit_log_density(y, logits, temperature)`. `y` and
# `logits` are float tensors of the same shape, `temperature` is the number $\lambda > 0$. Return a tensor
# of this shape: one log-density for each bit, nothing summed. It must be right where $y$ or the logit is
# $\pm 800$.
#
# <details><summary>Hint</summary>Start from the CDF: $y \le v$ means that the noise is at most what? Then
# differentiate with respect to $v$, and mind the inner derivative. The derivative of the sigmoid is
# $\sigma(a)\,\sigma(-a)$, and `torch.nn.functional.logsigmoid` takes its logarithms without
# overflow.</details>


# %% task="relaxed_bit_log_density"
def relaxed_bit_log_density(y, logits, temperature):
    ### BEGIN SOLUTION
    noise = temperature * y - logits
    logsigmoid = torch.nn.functional.logsigmoid
    return math.log(temperature) + logsigmoid(noise) + logsigmoid(-noise)
    ### END SOLUTION


# %% check="relaxed_bit_log_density" points=4 minutes=15
check.relaxed_bit_log_density(relaxed_bit_log_density)

# %% [markdown]
# ## Find the bug
#
# An encoder for $N$ variables of $K$ categories returns $N K$ logits in a row: first the $K$ logits of the
# first variable, then those of the second, and so on. This is how several public implementations relax it.
# Run the cell. Twenty variables are asked for: how much mass does each get, and how large is its largest
# entry? Then only the logits of the first variable are raised, all by the same number. That changes no
# probability. What becomes of the others?


# %%
def public_relaxation(logits, noise, temperature):
    return torch.softmax((logits + noise) / temperature, dim=-1)


torch.set_printoptions(precision=3, sci_mode=False)
N, K = 20, 10
noise = -torch.empty(1, N * K).exponential_(generator=torch.Generator().manual_seed(4)).log()
z = public_relaxation(torch.zeros(1, N * K), noise, 0.5).reshape(N, K)
print("mass of each variable: ", z.sum(-1))
print("mass of all:           ", z.sum())
print("largest entry of each: ", z.amax(-1))

logits = torch.zeros(1, N * K)
logits[:, :K] = 3.0
raised = public_relaxation(logits, noise, 0.5).reshape(N, K)
print("\nmass of each, the first raised: ", raised.sum(-1))

# %% [markdown]
# Write `mended_relaxation(logits, noise, num_categories, temperature)`. `logits` and `noise` are float
# tensors of shape $(B, N K)$, laid out as above: $B$ examples, logits as unnormalized log-probabilities,
# standard Gumbel noise already drawn. `num_categories` is the whole number $K$, `temperature` the number
# $\lambda > 0$. Return the relaxed samples in the same layout, of shape $(B, N K)$. Logits of $\pm 800$
# must work.
#
# <details><summary>Hint</summary>Give the variables an axis of their own, of shape $(B, N, K)$, before you
# normalize, and take the axis away afterwards. Which of the two new axes comes first in memory? Write a row
# with $N = 2$ and $K = 3$ on paper.</details>


# %% task="mended_relaxation"
def mended_relaxation(logits, noise, num_categories, temperature):
    ### BEGIN SOLUTION
    scores = ((logits + noise) / temperature).unflatten(-1, (-1, num_categories))
    return torch.softmax(scores, dim=-1).flatten(-2)
    ### END SOLUTION


# %% check="mended_relaxation" points=4 minutes=12
check.mended_relaxation(mended_relaxation)
