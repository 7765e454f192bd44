# %% [markdown]
# # Assignment 06: training a Bernoulli VAE
#
# Where the decoder starts, the two terms of the loss, a temperature that falls, and a training loop that does
# what it says. Read chapter 06 first. All losses are in nats.

# %%
import math

import torch

from catvae_lib.classroom.exercise import check

# %% [markdown]
# ## Where the decoder starts
#
# Before training, the code says nothing yet. Which output biases make the decoder draw the average image
# then? The biases are logits, so the answer is the logit of each pixel's mean. But a pixel that is never on
# has the logit $-\infty$. Laplace's rule avoids that: imagine two more images, one all ones, one all zeros,
# and take the mean $m$ of all $N + 2$.
#
# Write `data_mean_bias(images)`. `images` has shape $(N, D)$, $N$ binary images of $D$ pixels. Return
# $\ln m - \ln(1 - m)$ for each pixel, a tensor of shape $(D,)$.
#
# <details><summary>Hint</summary>How many of the $N + 2$ images have a pixel on? `sum` over the images tells
# it for the real ones. `torch.logit` is the logit.</details>


# %% task="data_mean_bias"
def data_mean_bias(images):
    ### BEGIN SOLUTION
    return torch.logit((images.sum(0) + 1) / (len(images) + 2))
    ### END SOLUTION


# %% check="data_mean_bias" points=2 minutes=5
check.data_mean_bias(data_mean_bias)

# %% [markdown]
# ## The reconstruction term
#
# The decoder gives a logit for each pixel, and pixels are independent given the code. How many nats does it
# cost to draw the image $x$ from them?
#
# Write `bernoulli_reconstruction(x, logits)`: $-\ln p(x \mid z)$ of each image.
#
# - `x` has shape $(B, D)$: $B$ images of $D$ pixels, 0.0 or 1.0.
# - `logits` has shape $(B, D)$: the decoder's logits, not probabilities.
#
# Return a tensor of shape $(B,)$: summed over pixels, not over images. A decoder can be sure and wrong: a
# pixel that is 0 where the logit is 800 costs 800 nats, and the result must say so.
#
# <details><summary>Hint</summary>Where is $-\ln \sigma(\ell)$ needed, and where $-\ln(1 - \sigma(\ell))$?
# `torch.nn.functional.softplus(l)`, $\ln(1 + e^\ell)$, is one of the two, and never saturates.</details>


# %% task="bernoulli_reconstruction"
def bernoulli_reconstruction(x, logits):
    ### BEGIN SOLUTION
    softplus = torch.nn.functional.softplus
    return (x * softplus(-logits) + (1 - x) * softplus(logits)).sum(-1)
    ### END SOLUTION


# %% check="bernoulli_reconstruction" points=3 minutes=10
check.bernoulli_reconstruction(bernoulli_reconstruction)

# %% [markdown]
# ## The loss
#
# For each image, $L$ relaxed codes $z_l$ were drawn and decoded. The loss of one image is
#
# $$\mathcal{L} = \mathrm{KL}(q(z \mid x) \,\|\, p(z)) - \frac1L \sum_{l=1}^L \ln p(x \mid z_l).$$
#
# Which axes are summed, which averaged, and which are left alone?
#
# Write `relaxed_vae_loss(x, decoder_logits, code_logits)`.
#
# - `x` has shape $(B, D)$: images, pixels 0.0 or 1.0.
# - `decoder_logits` has shape $(L, B, D)$: the decoder's logits for each of the $L$ codes of each image.
# - `code_logits` has shape $(B, Q)$: the encoder's logits of the $Q$ bits. The prior is $Q$ fair coins.
#
# Return the loss of each image, a tensor of shape $(B,)$. Gradients must reach both kinds of logits. The
# logits are ordinary here: no care for extreme ones is needed.
#
# <details><summary>Hint</summary>Does your `bernoulli_reconstruction` work on $(L, B, D)$, too? The KL is Eq.
# (5) with its weights $\theta$ and $1 - \theta$, where $\theta$ is the sigmoid of the encoder's logits; it
# does not see the samples.</details>


# %% task="relaxed_vae_loss"
def relaxed_vae_loss(x, decoder_logits, code_logits):
    ### BEGIN SOLUTION
    theta = torch.sigmoid(code_logits)
    kl = theta * torch.log(2 * theta) + (1 - theta) * torch.log(2 * (1 - theta))  # (B, Q)
    return bernoulli_reconstruction(x, decoder_logits).mean(0) + kl.sum(-1)
    ### END SOLUTION


# %% check="relaxed_vae_loss" points=4 minutes=15
check.relaxed_vae_loss(relaxed_vae_loss)

# %% [markdown]
# ## Find the bugs: a temperature that does not fall
#
# A training script means to lower the temperature from 1 to 0.3. Here is its loop with everything else taken
# out. Run the cell: how far does the temperature fall in ten epochs?


# %%
def temperatures_seen(epochs=10, batches=500):
    seen = []
    for _ in range(epochs):
        for step in range(batches):
            seen.append(max(0.3, math.exp(-3e-5 * step)))
    return seen


seen = temperatures_seen()
print(f"{len(seen)} steps: first {seen[0]:.3f}, last {seen[-1]:.3f}, lowest {min(seen):.3f}")

# %% [markdown]
# Two things are wrong, and mending one of them is not enough.
#
# Write `mended_temperature(step, steps, start, floor)`: the temperature at a step of the whole run, a Python
# number.
#
# - `step` counts from 0 over all epochs, `steps` is the length of the run.
# - At step 0 it is `start`, at step `steps` it is `floor`, with $0 < \text{floor} < \text{start}$. `start`
#   need not be 1.
# - Between them every step multiplies it by the same factor.
# - After step `steps` it stays at `floor`.
#
# <details><summary>Hint</summary>$\lambda_t = \text{start} \cdot e^{-rt}$. Which rate $r$ brings it to the
# floor in exactly `steps` steps? Test your function on paper at the two ends.</details>


# %% task="mended_temperature"
def mended_temperature(step, steps, start, floor):
    ### BEGIN SOLUTION
    rate = math.log(start / floor) / steps
    return max(floor, start * math.exp(-rate * step))
    ### END SOLUTION


# %% check="mended_temperature" points=3 minutes=10
check.mended_temperature(mended_temperature)

# %% [markdown]
# ## Find the bugs: a training loop
#
# Gradient descent with clipping: at each step the gradient $g$ is taken at the present point $w$. If its
# length $\lVert g \rVert$ exceeds `limit`, it is shortened to that length; otherwise it stays as it is. Then
# $w$ becomes $w - \text{rate} \cdot g$.
#
# This loop is meant to do that. On the bowl below, with limit 1 and rate 0.2, no step should be longer than
# 0.2, and each should come nearer to the bottom. Run the cell.


# %%
def buggy_descent(loss_of, start, rate, steps, limit):
    w = start.clone().requires_grad_(True)
    for _ in range(steps):
        if w.grad is not None:
            torch.nn.utils.clip_grad_norm_([w], limit)
        loss_of(w).backward()
        with torch.no_grad():
            w -= rate * w.grad
    return w.detach()


def bowl(w):
    return w.square().sum()


start = torch.tensor([3.0, -4.0])
points = [buggy_descent(bowl, start, 0.2, steps, 1.0) for steps in range(9)]
for step in range(1, 9):
    length = (points[step] - points[step - 1]).norm()
    print(f"step {step}: length {length:.2f}, distance from the bottom {points[step].norm():.2f}")

# %% [markdown]
# There are two bugs. Write `mended_descent(loss_of, start, rate, steps, limit)` without them.
#
# - `loss_of` is a function from a point to its loss, a tensor without dimensions.
# - `start` is a tensor of shape $(n,)$. It must be left as it is.
# - `rate` and `limit` are positive numbers, `steps` is a whole number, at least 1.
#
# Return the point after exactly `steps` steps, a tensor of shape $(n,)$ that does not require a gradient.
#
# <details><summary>Hint</summary>What does `backward` do with a gradient that is there already? And which
# gradient is there at the moment when it is clipped? Write down, for the first two steps, what `w.grad` holds
# after each line.</details>


# %% task="mended_descent"
def mended_descent(loss_of, start, rate, steps, limit):
    ### BEGIN SOLUTION
    w = start.clone().requires_grad_(True)
    for _ in range(steps):
        w.grad = None
        loss_of(w).backward()
        torch.nn.utils.clip_grad_norm_([w], limit)
        with torch.no_grad():
            w -= rate * w.grad
    return w.detach()
    ### END SOLUTION


# %% check="mended_descent" points=5 minutes=20
check.mended_descent(mended_descent)
