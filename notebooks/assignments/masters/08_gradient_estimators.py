# %% [markdown]
# # Assignment 08: Gradient estimators
#
# A hard code has no derivative, but its distribution has. Two estimates that only evaluate, one that
# differentiates and what its mean is, and a surrogate that learns the wrong thing. Read chapter 08 first.

# %%
import torch
from torch.nn.functional import one_hot

from catvae_lib.classroom.exercise import check

# %% [markdown]
# ## The score function
#
# One variable with $K$ categories has the logits $l$ and the probabilities $\pi = \mathrm{softmax}(l)$.
# Someone drew $S$ codes $z_1, \ldots, z_S$ from it and evaluated a function $f$ at each. Nothing else is
# known about $f$. In which direction should the logits move?
#
# $$\hat g = \frac1S \sum_{s=1}^{S} f(z_s)\, \nabla_l \ln q(z_s), \qquad
# \nabla_l \ln q(z) = z - \pi .$$
#
# Write `score_function_gradient(logits, codes, values)`. `logits` has shape `(K,)`; they are logits, not
# probabilities. `codes` has shape `(S, K)`, one-hot in the last dimension, and `values` has shape `(S,)`.
# Return the estimate $\hat g$, of shape `(K,)`.
#
# <details><summary>Hint</summary>`codes` and $\pi$ fit together as they are. The values need a second axis of
# length 1: `values[:, None]`. The average runs over the samples.</details>


# %% task="score_function_gradient"
def score_function_gradient(logits, codes, values):
    ### BEGIN SOLUTION
    score = codes - logits.softmax(dim=-1)  # (S, K)
    return (values[:, None] * score).mean(dim=0)
    ### END SOLUTION


# %% check="score_function_gradient" points=2 minutes=5
check.score_function_gradient(score_function_gradient)

# %% [markdown]
# ## Leave one out
#
# The estimate is right on average and far off every time. A baseline helps, if it does not see its own
# sample. The other samples are there already, and each of them knows something of $\mathbb{E}[f]$:
#
# $$\hat g = \frac1S \sum_{s=1}^{S} \left(f(z_s) - b_s\right) \left(z_s - \pi\right), \qquad
# b_s = \text{the mean of the values of the other samples} .$$
#
# Write `leave_one_out_gradient(logits, codes, values)`, with arguments and result as in task 1, for two
# samples or more. Can you do without a loop over the samples?
#
# <details><summary>Hint</summary>The sum of the others is the sum of all without the own one. How many others
# are there?</details>


# %% task="leave_one_out_gradient"
def leave_one_out_gradient(logits, codes, values):
    ### BEGIN SOLUTION
    baseline = (values.sum() - values) / (len(values) - 1)  # (S,)
    score = codes - logits.softmax(dim=-1)  # (S, K)
    return ((values - baseline)[:, None] * score).mean(dim=0)
    ### END SOLUTION


# %% check="leave_one_out_gradient" points=3 minutes=10
check.leave_one_out_gradient(leave_one_out_gradient)

# %% [markdown]
# What is $\sum_s \left(f(z_s) - b_s\right)$? Then what does $\pi$ contribute to this estimate? Try it
# without.

# %% [markdown]
# ## What straight-through gives on average
#
# A bit $z$ is 1 with probability $\theta = \sigma(l)$, and $f(z) = (z - c)^3$. Two gradients with respect to
# the logit $l$ belong to it.
#
# The *exact* one is $\frac{d}{dl}\, \mathbb{E}[f(z)]$. Only $f(0)$ and $f(1)$ matter for it: there are no
# other bits.
#
# *Straight-through* draws a bit, takes the slope $f'(z)$ there, and multiplies it by $d\theta/dl$. Each draw
# gives another number. What is their mean?
#
# Derive both, and write `exact_and_straight_through(logits, c)`. `logits` has shape `(n,)`, one bit each, and
# `c` is a number. Return two tensors of shape `(n,)`: the exact gradient of each bit, and the mean of its
# straight-through gradient. Draw nothing.
#
# <details><summary>Hint</summary>An expectation over a bit has two terms, with the weights $1 - \theta$ and
# $\theta$. Write one for $f$ and differentiate it; write one for $f'$. The step from $\theta$ to the logit is
# the same in both.</details>


# %% task="exact_and_straight_through"
def exact_and_straight_through(logits, c):
    ### BEGIN SOLUTION
    theta = torch.sigmoid(logits)
    step = theta * (1 - theta)  # d theta / d logit
    exact = step * ((1 - c) ** 3 - (0 - c) ** 3)
    straight_through = step * (theta * 3 * (1 - c) ** 2 + (1 - theta) * 3 * (0 - c) ** 2)
    return exact, straight_through
    ### END SOLUTION


# %% check="exact_and_straight_through" points=4 minutes=15
check.exact_and_straight_through(exact_and_straight_through)

# %% [markdown]
# How large is the difference? It vanishes at one $\theta$ between 0 and 1 if $c < \frac13$ or
# $c > \frac23$, and at none in between. Your two results show it.

# %% [markdown]
# ## Find the bug
#
# A surrogate is a number whose gradient is the estimate: call `backward()` on it, and every parameter gets
# its share. This one is meant to be minimized, so that $\mathbb{E}_{q(z)}[f(z)]$ becomes small. But $f$ has
# parameters of its own, as a decoder has. Here they are a table: $f(z)$ is the entry of the drawn category.
#
# The cell draws 100,000 codes and compares the surrogate with the exact expectation, which is a sum of three
# terms. Whose gradient is right? What would a step of gradient descent do to the table?


# %%
def surrogate_with_a_bug(values, log_q):
    return (values * log_q).mean()


logits = torch.tensor([0.5, -1.0, 0.0], requires_grad=True)
table = torch.tensor([3.0, 1.0, 2.0], requires_grad=True)  # f of each category
generator = torch.Generator().manual_seed(0)
drawn = torch.multinomial(logits.detach().softmax(-1), 100_000, replacement=True, generator=generator)
codes = one_hot(drawn, 3).float()
values = codes @ table  # f(z_s), (S,)
log_q = codes @ logits.log_softmax(-1)  # ln q(z_s), (S,)
expectation = (logits.softmax(-1) * table).sum()
for name, number in (("surrogate", surrogate_with_a_bug(values, log_q)), ("exact", expectation)):
    by_logits, by_table = torch.autograd.grad(number, (logits, table), retain_graph=True)
    print(f"{name}: {number.item():.2f}")
    print(f"   gradient in the logits {[round(x, 2) for x in by_logits.tolist()]}")
    print(f"   gradient in the table  {[round(x, 2) for x in by_table.tolist()]}")

# %% [markdown]
# Write `mended_surrogate(values, log_q)`. Both arguments have shape `(S,)`: $f(z_s)$ and $\ln q(z_s)$, in
# nats, of $S$ codes drawn from $q$. Both may depend on parameters, and may share some. Return a tensor of
# shape `()` that has
#
# - the gradient $\;\frac1S \sum_s \left( f(z_s)\, \nabla \ln q(z_s) + \nabla f(z_s) \right)$, for
#   parameters of either argument;
# - the value $\;\frac1S \sum_s f(z_s)$, so that a training curve shows $f$.
#
# <details><summary>Hint</summary>Two terms of the gradient, two terms of the surrogate. `x.detach()` has the
# value of `x` and no gradient; `x - x.detach()` has the gradient of `x` and the value 0.</details>


# %% task="mended_surrogate"
def mended_surrogate(values, log_q):
    ### BEGIN SOLUTION
    return (values + values.detach() * (log_q - log_q.detach())).mean()
    ### END SOLUTION


# %% check="mended_surrogate" points=4 minutes=15
check.mended_surrogate(mended_surrogate)
