# %% [markdown]
# # Assignment 03: the logistic difference
#
# One uniform number becomes logistic noise, the noise becomes a bit, and a published sampler turns out to
# draw something else. Read chapter 03 first.

# %%
import math

import torch

from catvae_lib.classroom.exercise import check

# %% [markdown]
# ## Logistic noise from a uniform number
#
# A standard logistic variable has the CDF $\sigma(x) = 1/(1 + e^{-x})$. With location $\mu$ and scale $s$,
# $x$ becomes $(x - \mu)/s$. Which $x$ belongs to a CDF value $u$?
#
# Write `logistic_from_uniform(u, loc, scale)`. `u` is a float tensor of numbers inside $(0, 1)$, `loc` and
# `scale` are numbers, the scale is positive. Return a tensor of the shape of `u`. Very small `u` are part of
# the game: nothing is clamped.
#
# <details><summary>Hint</summary>Set $u = \sigma((x - \mu)/s)$. What is $u/(1 - u)$? Its logarithm is the
# standard noise.</details>


# %% task="logistic_from_uniform"
def logistic_from_uniform(u, loc, scale):
    ### BEGIN SOLUTION
    return loc + scale * (torch.log(u) - torch.log1p(-u))
    ### END SOLUTION


# %% check="logistic_from_uniform" points=2 minutes=5
check.logistic_from_uniform(logistic_from_uniform)

# %% [markdown]
# ## The hard bit
#
# A bit is 1 with probability $\theta$. A network does not return $\theta$ but its logit,
# $\ell = \ln\theta - \ln(1 - \theta)$. When does logistic noise make the bit a 1?
#
# Write `hard_bit(logits, noise)`. `logits` is a float tensor of any shape that holds $\ell$, not $\theta$.
# `noise` is a tensor of the same shape with standard logistic noise, already drawn: add it as it is, and draw
# nothing else. Return a tensor of the same shape and dtype that holds 0 and 1. At a logit of 800 the bit must
# be right as well.
#
# <details><summary>Hint</summary>The bit is a 1 if the first of two perturbed log-probabilities is the
# larger one. The comparison gives `torch.bool`; the next layer multiplies, so the bit must be a number of the
# logits' dtype.</details>


# %% task="hard_bit"
def hard_bit(logits, noise):
    ### BEGIN SOLUTION
    return (logits + noise > 0).to(logits.dtype)
    ### END SOLUTION


# %% check="hard_bit" points=2 minutes=8
check.hard_bit(hard_bit)

# %% [markdown]
# ## The difference of two Gumbel variables
#
# Chapter 03 takes two standard Gumbel variables. Now each has its own location: $\epsilon_1$ has $\mu_1$,
# $\epsilon_2$ has $\mu_2$, and both have the scale $\beta$. They are independent. What is
# $P(\epsilon_1 - \epsilon_2 \le x)$?
#
# Derive it, and write `difference_cdf(x, mu_one, mu_two, scale)`. `x` is a float tensor of any shape, the
# other arguments are numbers, `scale` is $\beta > 0$. Return the probabilities, a tensor of the shape of `x`.
#
# The slope of a CDF is the density. The check therefore differentiates your result with respect to `x`. Value
# and slope must be right at $x = \pm 1000$ too, where $e^{-x}$ or $e^{x}$ is infinite in floating point.
#
# <details><summary>Hint</summary>Write each variable as its location plus $\beta$ times standard noise. Then
# the difference is a number plus $\beta$ times a variable whose CDF chapter 03 derives. For the far ends:
# torch has that function ready made, with the right slope.</details>


# %% task="difference_cdf"
def difference_cdf(x, mu_one, mu_two, scale):
    ### BEGIN SOLUTION
    return torch.sigmoid((x - (mu_one - mu_two)) / scale)
    ### END SOLUTION


# %% check="difference_cdf" points=3 minutes=15
check.difference_cdf(difference_cdf)

# %% [markdown]
# ## What the published code draws
#
# The code that the author published with the series draws a soft bit with *one* Gumbel variable:
#
# $$z = \sigma\left(\frac{\ln p + \epsilon}{\lambda}\right), \qquad \epsilon \sim \mathrm{Gu}(0, 1).$$
#
# Chapter 03 asks how often $z$ is above one half. Move the threshold: how often is $z$ above $c$?
#
# Derive it, and write `author_probability(p, cut, temperature)` for $P(z > c)$. `p` is a float tensor of
# probabilities in $(0, 1]$ of any shape, `cut` is the number $c$ in $(0, 1)$, `temperature` the number
# $\lambda > 0$. Return a tensor of the shape of `p`. No sampling: a formula.
#
# <details><summary>Hint</summary>Undo the steps of the sampler one after another, from the outside to the
# inside, until $\epsilon$ stands alone: $z > c$ becomes $\epsilon > \ldots$ The CDF of a Gumbel variable is
# $\exp(-e^{-x})$. At $c = 1/2$ the temperature must drop out.</details>


# %% task="author_probability"
def author_probability(p, cut, temperature):
    ### BEGIN SOLUTION
    threshold = temperature * math.log(cut / (1 - cut)) - torch.log(p)  # the noise must exceed it
    return -torch.expm1(-torch.exp(-threshold))
    ### END SOLUTION


# %% check="author_probability" points=4 minutes=15
check.author_probability(author_probability)

# %% [markdown]
# ## Find the bug
#
# Here is that sampler, with logits for input. Run the cell: how often should a bit with logit 800 be on?


# %%
def published_soft_bits(logits, temperature, generator):
    p = torch.sigmoid(logits)
    u = torch.rand(logits.shape, generator=generator, dtype=logits.dtype)
    return torch.sigmoid((torch.log(p) - torch.log(-torch.log(u))) / temperature)


generator = torch.Generator().manual_seed(1)
for logit in (-2.0, 0.0, 2.0, 800.0):
    logits = torch.full((50_000,), logit, dtype=torch.float64)
    share = (published_soft_bits(logits, 0.5, generator) > 0.5).double().mean()
    print(f"logit {logit:5}: wanted {torch.sigmoid(logits[0]):.3f}, drawn {share:.3f}")

# %% [markdown]
# Write `mended_soft_bits(logits, temperature, generator)`, with the same arguments: a float tensor of logits
# $\ln\theta - \ln(1 - \theta)$ of any shape, the number $\lambda > 0$, and a `torch.Generator`. All noise
# comes from the generator, and each entry has noise of its own. Return soft bits of the same shape and dtype,
# drawn by the article's Eq. (3) with temperature.
#
# The soft bits must be differentiable in the logits, and both the bits and the gradient must be finite for
# logits of $\pm 800$.
#
# <details><summary>Hint</summary>Two things are missing: a second Gumbel variable, or the noise that replaces
# the pair, and the log-probability of the other outcome. Do you need $p$ at all, if you have the
# logit?</details>


# %% task="mended_soft_bits"
def mended_soft_bits(logits, temperature, generator):
    ### BEGIN SOLUTION
    u = torch.rand(logits.shape, generator=generator, dtype=logits.dtype)
    logistic = torch.log(u) - torch.log1p(-u)
    return torch.sigmoid((logits + logistic) / temperature)
    ### END SOLUTION


# %% check="mended_soft_bits" points=4 minutes=15
check.mended_soft_bits(mended_soft_bits)
