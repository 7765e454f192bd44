# %% [markdown]
# # Assignment 01: Gumbel sampling
#
# Uniform numbers become Gumbel noise, the density behind it, and what float32 does to its tails. Read
# chapter 01 first.

# %%
import math

import torch

from catvae_lib.classroom.exercise import check

# %% [markdown]
# ## The inverse CDF
#
# A standard Gumbel variable has the CDF $\exp(-e^{-x})$. With location $\mu$ and scale $\beta$, $x$ becomes
# $(x - \mu)/\beta$. Which $x$ belongs to a CDF value $u$?
#
# Write `gumbel_from_uniform(u, loc, scale)`. `u` is a float tensor of numbers inside $(0, 1)$, `loc` and
# `scale` are numbers, the scale is positive. Return a tensor of the shape and dtype of `u`. Numbers very near
# 0 and 1 occur: nothing is clamped.
#
# <details><summary>Hint</summary>Set $u = \exp(-e^{-(x - \mu)/\beta})$. Take the logarithm, change the sign,
# take the logarithm again.</details>


# %% task="gumbel_from_uniform"
def gumbel_from_uniform(u, loc, scale):
    ### BEGIN SOLUTION
    return loc - scale * torch.log(-torch.log(u))
    ### END SOLUTION


# %% check="gumbel_from_uniform" points=2 minutes=5
check.gumbel_from_uniform(gumbel_from_uniform)

# %% [markdown]
# ## The density
#
# The article prints $\exp(-e^{-z})$, with $z = (x - \mu)/\beta$, and calls it the density. It is the CDF.
# Derive the density, and write its logarithm as `gumbel_log_density(x, loc, scale)`. `x` is a
# float tensor, `loc` and `scale` are numbers, the scale is positive; return a tensor of the shape of `x`. The
# result must be right where the density itself is 0 in floating point, as at $z = -8$ and $z = 900$.
#
# <details><summary>Hint</summary>Differentiate the CDF with respect to $x$; the inner derivative brings a
# factor $1/\beta$. Take the logarithm on paper, not in the code.</details>


# %% task="gumbel_log_density"
def gumbel_log_density(x, loc, scale):
    ### BEGIN SOLUTION
    z = (x - loc) / scale
    return -z - torch.exp(-z) - math.log(scale)
    ### END SOLUTION


# %% check="gumbel_log_density" points=3 minutes=10
check.gumbel_log_density(gumbel_log_density)

# %% [markdown]
# ## A sampler
#
# Write `gumbel_sampler(shape, generator)`: independent standard Gumbel noise of a shape, drawn with a
# `torch.Generator`, so that the same generator state gives the same noise, and a second call gives other
# noise. `shape` is a tuple of whole numbers; each entry has noise of its own.
#
# <details><summary>Hint</summary>`torch.rand` takes a shape and `generator=generator`. It can return exactly
# 0; the next task but one is about that, here a clamp will do.</details>


# %% task="gumbel_sampler"
def gumbel_sampler(shape, generator):
    ### BEGIN SOLUTION
    u = torch.rand(shape, generator=generator, dtype=torch.float64).clamp(min=1e-300)
    return gumbel_from_uniform(u, 0.0, 1.0)
    ### END SOLUTION


# %% check="gumbel_sampler" points=3 minutes=10
check.gumbel_sampler(gumbel_sampler)

# %% [markdown]
# ## Location and scale from data
#
# Someone hands you Gumbel noise and has forgotten $\mu$ and $\beta$. The mean of a Gumbel variable is
# $\mu + \gamma\beta$, with Euler's constant $\gamma$, and its variance is $\beta^2\pi^2/6$.
#
# Write `fit_gumbel(x)` for a sample `x` of shape `(n,)`: estimate $\mu$ and $\beta$ from the mean and the
# variance of the sample. Return the two in this order: tensors without dimensions, with the dtype of `x`.
# Whether the variance divides by $n$ or by $n - 1$ is up to you.
#
# <details><summary>Hint</summary>First the scale from the variance, then the location from the
# mean.</details>

# %%
EULER = 0.5772156649015329


# %% task="fit_gumbel"
def fit_gumbel(x):
    ### BEGIN SOLUTION
    scale = x.std() * math.sqrt(6) / math.pi
    return x.mean() - EULER * scale, scale
    ### END SOLUTION


# %% check="fit_gumbel" points=3 minutes=10
check.fit_gumbel(fit_gumbel)

# %% [markdown]
# ## Find the bug
#
# This line stands in many public implementations. It is meant to keep the noise finite in float32. Run the
# cell: what becomes of the largest noise, and of $u = 1$?


# %%
def gumbel_with_constants(u):
    return -torch.log(-torch.log(u + 1e-7) + 1e-7)


u = torch.tensor([0.0, 0.5, 1 - 2.0**-24, 1.0])
print(gumbel_with_constants(u))
print(-torch.log(-torch.log(u.double())))

# %% [markdown]
# Write `safe_gumbel(u)` for float32 numbers in $[0, 1]$. Inside $(0, 1)$ it is $-\ln(-\ln u)$, untouched. At
# 0 it returns noise in the left tail, between $-1000$ and $-3$, at 1 in the right one, between 13 and 1000:
# noise of $10^{38}$ is finite too, but not any more when it is divided by a temperature.
#
# <details><summary>Hint</summary>Change `u`, and only where it is 0 or 1. `torch.finfo(u.dtype)` knows the
# smallest positive number, `tiny`, and the spacing of numbers at 1, `eps`; below 1 they lie half as far
# apart.</details>


# %% task="safe_gumbel"
def safe_gumbel(u):
    ### BEGIN SOLUTION
    info = torch.finfo(u.dtype)
    return -torch.log(-torch.log(u.clamp(info.tiny, 1 - info.eps / 2)))
    ### END SOLUTION


# %% check="safe_gumbel" points=4 minutes=15
check.safe_gumbel(safe_gumbel)
