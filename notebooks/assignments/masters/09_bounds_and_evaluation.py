# %% [markdown]
# # Assignment 09: Bounds and evaluation
#
# The number that a trained model is judged by: how it is computed, how much it may be trusted, and one way
# to get a number that is too good. Read chapter 09 first.

# %%
import math

import torch

from catvae_lib import noise
from catvae_lib.classroom.exercise import check

# %% [markdown]
# ## The multi-sample bound
#
# For each of $B$ images an encoder has drawn $S$ codes. Their log-weights
# $\ln w_s = \ln p(x, z_s) - \ln q(z_s|x)$ are in a tensor. What is the multi-sample bound
# $L_S = \ln \frac1S \sum_s w_s$ of each image?
#
# Images have hundreds of pixels, so a log-weight of $-1000$ is nothing special. Its exponential is 0 in
# floating point. Your result must be finite all the same.
#
# Write `multi_sample_bound(log_weights)`. `log_weights` has the shape $(S, B)$ and is in nats. Return the
# bounds in nats, shape $(B,)$.
#
# <details><summary>Hint</summary>`torch.logsumexp` computes $\ln \sum \exp$ without overflow. A mean is a
# sum divided by a number. What does a division become under a logarithm?</details>


# %% task="multi_sample_bound"
def multi_sample_bound(log_weights):
    ### BEGIN SOLUTION
    return torch.logsumexp(log_weights, 0) - math.log(log_weights.shape[0])
    ### END SOLUTION


# %% check="multi_sample_bound" points=2 minutes=5
check.multi_sample_bound(multi_sample_bound)

# %% [markdown]
# ## Two models on the same images
#
# Two models are evaluated on the same $N$ test images. The first is better by 0.4 nats on average. Is that
# more than chance?
#
# The bounds of one model differ by tens of nats from image to image, because some digits are harder than
# others. They are harder for both models. So look at the $N$ differences, image by image. The mean of $N$
# independent numbers has the standard error $s/\sqrt N$. Here
# $s^2 = \frac{1}{N - 1}\sum_i (d_i - \bar d)^2$ is the variance of the numbers, estimated from the numbers
# themselves.
#
# Write `difference_of_models(first, second)`. Both arguments are bounds in nats, shape $(N,)$, and entry $i$
# belongs to image $i$ in both. Return two tensors without dimensions: the mean of first minus second, and
# its standard error.
#
# <details><summary>Hint</summary>One subtraction makes a sample of $N$ numbers. From there on there is only
# one sample. `Tensor.std` divides by $N - 1$.</details>


# %% task="difference_of_models"
def difference_of_models(first, second):
    ### BEGIN SOLUTION
    difference = first - second
    return difference.mean(), difference.std() / math.sqrt(len(difference))
    ### END SOLUTION


# %% check="difference_of_models" points=3 minutes=10
check.difference_of_models(difference_of_models)

# %% [markdown]
# ## How many codes count
#
# You have drawn $S$ codes for an image. If all weights are equal, each code counts. If one weight is far
# above the others, only one does. Which number lies between?
#
# Let $\bar w$ be the mean of the $S$ weights of an image and $v = \frac1S \sum_s (w_s - \bar w)^2$ their
# variance. The *effective sample size* is
#
# $$\frac{S}{1 + v / \bar w^2} .$$
#
# It is $S$ for equal weights, and 1 if a single code has all the weight. As it stands it needs the weights
# themselves, and those underflow. Derive a form that needs only $\sum_s w_s$ and $\sum_s w_s^2$. Then take
# its logarithm on paper, and write it with the log-weights.
#
# Write `effective_sample_size(log_weights)`. `log_weights` has the shape $(S, B)$ and is in nats. Return one
# number for each image, shape $(B,)$. It must be right for log-weights near $-1000$ too.
#
# <details><summary>Hint</summary>$v = \frac1S \sum_s w_s^2 - \bar w^2$, so a 1 cancels. The logarithm of
# $w_s^2$ is $2 \ln w_s$.</details>


# %% task="effective_sample_size"
def effective_sample_size(log_weights):
    ### BEGIN SOLUTION
    log_of_squares = torch.logsumexp(2 * log_weights, 0)
    return torch.exp(2 * torch.logsumexp(log_weights, 0) - log_of_squares)
    ### END SOLUTION


# %% check="effective_sample_size" points=3 minutes=15
check.effective_sample_size(effective_sample_size)

# %% [markdown]
# ## Find the bug
#
# Somebody takes the training code, draws many samples and reports the mean as the test ELBO. An image has
# $N$ code variables of $K$ categories each.
#
# The cell tries it on a model that we know exactly: one variable of two categories, with
# $\ln p(x|z) = -40\,(z_1 - \frac12)^2$, where $z_1$ is the first entry of the one-hot code. Both codes give
# $-10$, so $\ln p(x) = -10$ nats. No ELBO may lie above that. Run the cell. What is reported?


# %%
def reported_elbo(logits, gumbel_noise, log_joint, temperature=0.5):
    z = torch.softmax((logits + gumbel_noise) / temperature, -1)
    log_q = (z * torch.log_softmax(logits, -1)).sum((-2, -1))
    return (log_joint(z) - log_q).mean(0)


def log_joint_of_one_bit(z):
    return -40 * (z[..., 0, 0] - 0.5) ** 2 + math.log(1 / 2)  # ln p(x given z) + ln p(z)


gumbel_noise = noise.gumbel((10_000, 1, 1, 2), generator=torch.Generator().manual_seed(0))
reported = reported_elbo(torch.zeros(1, 1, 2), gumbel_noise, log_joint_of_one_bit)
print(f"reported: {reported.item():.2f} nats, ln p(x): -10 nats")

# %% [markdown]
# Write `mended_evaluation(logits, gumbel_noise, log_joint)`. It evaluates the model whose codes are one-hot.
#
# - `logits` are the encoder's, shape $(B, N, K)$; a softmax over the last dimension gives the probabilities
#   of $q$.
# - `gumbel_noise` is standard Gumbel noise, shape $(S, B, N, K)$: for each of the $S$ samples of an image.
# - `log_joint` is a function. It takes codes of shape $(\ldots, B, N, K)$ and returns
#   $\ln p(x|z) + \ln p(z)$ in nats, shape $(\ldots, B)$.
#
# Return the estimated ELBO of each image in nats, shape $(B,)$: the mean over the samples of
# $\ln p(x|z) + \ln p(z) - \ln q(z|x)$, each term at the same code drawn with `gumbel_noise`.
#
# <details><summary>Hint</summary>Chapter 02 draws a category from logits and Gumbel noise.
# `torch.nn.functional.one_hot` makes a code of its index. The temperature is not among the
# arguments.</details>


# %% task="mended_evaluation"
def mended_evaluation(logits, gumbel_noise, log_joint):
    ### BEGIN SOLUTION
    index = (logits + gumbel_noise).argmax(-1)
    z = torch.nn.functional.one_hot(index, logits.shape[-1]).to(logits.dtype)
    log_q = (z * torch.log_softmax(logits, -1)).sum((-2, -1))
    return (log_joint(z) - log_q).mean(0)
    ### END SOLUTION


# %% check="mended_evaluation" points=4 minutes=15
check.mended_evaluation(mended_evaluation)
