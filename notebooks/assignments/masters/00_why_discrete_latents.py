# %% [markdown]
# # Assignment 00: Why discrete latents
#
# A Gaussian sample that can be differentiated, the KL that belongs to it, the ELBO of a discrete code by
# summing, and a training signal that is always zero. Read chapter 00 first.

# %%
import math

import torch

from catvae_lib import noise
from catvae_lib.classroom.exercise import check

# %% [markdown]
# ## A Gaussian sample as a function
#
# An encoder returns a mean $\mu$ and the logarithm $\ln\sigma$ of a standard deviation. How does standard
# Gaussian noise $\epsilon$ become a sample of $\mathcal{N}(\mu, \sigma^2)$ that can be differentiated with
# respect to both?
#
# Write `gaussian_reparameterized(mean, log_std, noise)`. All three are tensors; `mean` and `log_std` have
# the same shape, `noise` has it too or has more dimensions in front. Return the sample, in the shape of
# `noise`. The function draws nothing itself.
#
# <details><summary>Hint</summary>`log_std` is $\ln\sigma$, any real number. Which function makes $\sigma$ of
# it? Chapter 00 also shows where the article's formula for $z$ slips.</details>


# %% task="gaussian_reparameterized"
def gaussian_reparameterized(mean, log_std, noise):
    ### BEGIN SOLUTION
    return mean + torch.exp(log_std) * noise
    ### END SOLUTION


# %% check="gaussian_reparameterized" points=2 minutes=5
check.gaussian_reparameterized(gaussian_reparameterized)

# %% [markdown]
# ## The KL of a Gaussian code
#
# What does it cost to send a code from $q = \mathcal{N}(\mu, \sigma^2)$ when the prior is
# $p = \mathcal{N}(0, 1)$? In one dimension it is
#
# $$\mathrm{KL}(q \,\|\, p) = \mathbb{E}_q[\ln q(z) - \ln p(z)],$$
#
# with the log-density $\ln q(z) = -\ln\sigma - \frac12 \ln 2\pi - \frac{(z - \mu)^2}{2\sigma^2}$, and
# $\ln p(z)$ the same with $\mu = 0$ and $\sigma = 1$. Take the expectation on paper. No sample is needed.
#
# Write `gaussian_kl_to_standard(mean, log_std)` for two tensors of shape `(B, D)`: a batch of $B$ codes of
# $D$ independent dimensions. Return the KL of each code in nats, summed over its dimensions, of shape `(B,)`.
# Gradients must reach both arguments. The result must stay right for very narrow $q$: `log_std` may be
# $-800$, where $\sigma$ itself is 0 in floating point.
#
# <details><summary>Hint</summary>Under $q$, the mean of $(z - \mu)^2$ is $\sigma^2$. What is the mean of
# $z^2$? When you have the formula, try $\mu = 0$, $\sigma = 1$: what must come out?</details>


# %% task="gaussian_kl_to_standard"
def gaussian_kl_to_standard(mean, log_std):
    ### BEGIN SOLUTION
    return ((torch.exp(2 * log_std) + mean**2 - 1) / 2 - log_std).sum(-1)
    ### END SOLUTION


# %% check="gaussian_kl_to_standard" points=3 minutes=15
check.gaussian_kl_to_standard(gaussian_kl_to_standard)

# %% [markdown]
# ## The ELBO by summing
#
# A code of $K$ states needs no samples either, as long as $K$ is small. The bound of chapter 00 is
#
# $$\sum_{k=1}^K q(z = k \mid x)\, \ln \frac{p(x, z = k)}{q(z = k \mid x)} \;\le\; \ln p(x).$$
#
# Here the encoder does not return probabilities but logits: numbers whose softmax is $q(\cdot \mid x)$.
#
# Write `exact_elbo(logits, log_joint)` for two tensors of shape `(B, K)`. A row belongs to an image;
# `logits` are those of $q$, and `log_joint[b, k]` is $\ln p(x_b, z = k)$. Return the ELBO of each image in
# nats, of shape `(B,)`. Gradients must reach `logits`. A logit may exceed the others by 800, so that some
# probabilities are 0 in floating point. The result and its gradient are finite there too.
#
# The next cell holds the one-bit model of chapter 00, for trying out. With the posterior as $q$, your
# function should return $\ln p(x)$.
#
# <details><summary>Hint</summary>You need $q$ and $\ln q$. The logarithm of a softmax is a function of its
# own in torch. Which axis holds the states?</details>

# %%
log_joint = torch.tensor([[math.log(0.5 * 0.1), math.log(0.5 * 0.6)]])  # fair coin; p(x | z) = 0.1 and 0.6
posterior_logits = torch.tensor([[0.0, math.log(6)]])  # probabilities 1/7 and 6/7
print("ln p(x) =", math.log(0.35))


# %% task="exact_elbo"
def exact_elbo(logits, log_joint):
    ### BEGIN SOLUTION
    log_q = torch.log_softmax(logits, -1)
    return (log_q.exp() * (log_joint - log_q)).sum(-1)
    ### END SOLUTION


# %% check="exact_elbo" points=3 minutes=10
check.exact_elbo(exact_elbo)

# %% [markdown]
# ## Find the bug
#
# In which direction must the logits of a category move so that the expectation of $f$ rises? The code below
# draws categories by adding noise to the logits and taking the largest sum (chapter 02 says why), and asks
# autograd. With an argmax autograd refused, because argmax has no gradient. So the argmax was replaced by a
# softmax that is steep enough to return a one-hot vector. Now autograd no longer complains.
#
# Run the cell. The third category has the highest value, so its logit should rise. What does the gradient
# say? Does a larger number of samples help?


# %%
def gradient_through_steep_softmax(logits, values, num_samples):
    logits = logits.detach().requires_grad_()
    generator = torch.Generator().manual_seed(0)
    perturbed = logits + noise.gumbel((num_samples, len(logits)), generator=generator)
    z = torch.softmax(1e9 * perturbed, -1)  # one-hot
    average = (z * values).sum(-1).mean()
    return average.detach(), torch.autograd.grad(average, logits)[0]


logits, values = torch.tensor([1.0, 0.5, 0.0]), torch.tensor([1.0, 2.0, 6.0])
for num_samples in (10, 1000):
    average, gradient = gradient_through_steep_softmax(logits, values, num_samples)
    print(f"{num_samples:5} samples: average of f {average:.3f}, gradient", gradient)

# %% [markdown]
# The average of $f$ is sensible, and its gradient is zero. Every single draw is a step function of the
# logits, however it is computed. What is smooth is the expectation over the draws.
#
# Write `expected_gradient(logits, values)` for two tensors of shape `(B, K)`. Each row of `logits` belongs to
# a distribution $q$ of its own, and each row of `values` holds $f(1), \dots, f(K)$. Return the exact
# gradient of each row's $\mathbb{E}_q[f]$ with respect to that row's logits, of shape `(B, K)`. You may
# derive a formula or let autograd do it; `torch.autograd.grad` returns a tuple. Logits may be as
# large as 800.
#
# <details><summary>Hint</summary>Write $\mathbb{E}_q[f]$ as a sum over the $K$ categories. On paper, with
# logits $\ell_k$: $\partial q_j / \partial \ell_k$ is $q_k (1 - q_k)$ for $j = k$ and $-q_j q_k$
# otherwise. To test yourself: a constant added to all logits changes no probability, so each row of the
# gradient sums to 0.</details>


# %% task="expected_gradient"
def expected_gradient(logits, values):
    ### BEGIN SOLUTION
    q = torch.softmax(logits, -1)
    expectation = (q * values).sum(-1, keepdim=True)
    return q * (values - expectation)
    ### END SOLUTION


# %% check="expected_gradient" points=4 minutes=15
check.expected_gradient(expected_gradient)
