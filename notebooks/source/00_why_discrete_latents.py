# %% [markdown]
# # 00. Why discrete latents
#
# This chapter derives the loss of a variational auto-encoder (VAE) on a model small enough to sum by hand,
# shows how a Gaussian sample is differentiated, and finds the place where the same idea fails for bits.
#
# *Minutes:* about 30 to read, seconds to run. *Hardware:* any laptop. *Before this:* nothing but
# probability, a little PyTorch, and the article that this book accompanies.
#
# After this chapter you can
#
# - derive the evidence lower bound (ELBO) in three lines, and say which sign the article's loss has;
# - write a Gaussian sample as $z = g(\text{parameters}, \text{noise})$, and say what must be
#   differentiable;
# - compare two unbiased gradient estimators by their variance;
# - explain why a threshold or an argmax stops the gradient, and what happens to training if one overlooks
#   it.
#
# The notation of the whole book is in a table below, in the section *Notation*.

# %%
import importlib.util
import os
import subprocess
import sys

if importlib.util.find_spec("catvae_lib") is None:  # on Colab and the like: install the library first
    print("catvae_lib is not installed in this Python. In a clone of the book, stop here and use `make lab`.")
    address = os.environ.get("CATVAE_REPO") or input("On Colab, enter the book's git address: ")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", f"catvae-lib @ git+{address}"], check=True
    )

# %%
import math

import matplotlib.pyplot as plt
import torch
from torch.testing import assert_close

from catvae_lib import data, density, noise, sampling
from catvae_lib.classroom import plot
from catvae_lib.classroom.claims import claim
from catvae_lib.classroom.stats import standard_error

torch.set_default_dtype(torch.float64)  # exact cells and simulations: the same digits on every processor
torch.set_printoptions(precision=4)

# %% [markdown]
# ## The question
#
# Ten images of this book's data set are below. Which short description of an image would let someone else
# draw it again? Part of a good description is a choice: *it is a seven*, *the seven has a bar*, *it leans*.
# Choices are discrete. The first is one of $K = 10$ categories, the other two are bits.
#
# A discrete code can be stored and counted, looked up in a table, and handed to something that wants a
# decision: an action, a word, one of several experts. It can also be read: one may switch a single bit and
# look at what changes.
#
# So we want a model of images $x$ with a hidden code $z$ made of bits or categories, and we want to learn
# model and code together, by gradient descent. What stands in the way?

# %%
digits = data.load("binarized-mnist")
first = [int((digits.train.labels == label).nonzero()[0]) for label in range(10)]
images = digits.train.images[first].int()

fig, axes = plt.subplots(2, 5, figsize=(6.5, 2.8))
for ax, image in zip(axes.flat, images, strict=True):
    ax.imshow(image.reshape(digits.image_shape), cmap="gray_r", interpolation="nearest")
    ax.axis("off")
seen = "Ten handwritten digits, 0 to 9, each 28 by 28 pixels that are either black or white."
plot.show(fig, "00_digits", alt=seen, data={"images": images})

# %% [markdown]
# The first image of each class: 784 pixels, each a bit. The pixels are *data*; the code is what we look
# for.
#
# ## The formula
#
# The model first draws a code from a fixed prior $p(z)$, then an image from the decoder's $p(x \mid z)$. A
# good model gives the images a high $\ln p(x) = \ln \sum_z p(z)\, p(x \mid z)$. With 200 bits the sum has
# $2^{200}$ terms. So an encoder proposes codes: $q(z \mid x)$ says which ones could have made $x$. Then
#
# $$
# \begin{aligned}
# \ln p(x) &= \ln \sum_z q(z \mid x)\, \frac{p(z)\, p(x \mid z)}{q(z \mid x)} \\
#          &\ge \sum_z q(z \mid x)\, \ln \frac{p(z)\, p(x \mid z)}{q(z \mid x)}
#             \qquad \text{(Jensen: the logarithm is concave)} \\
#          &= \mathbb{E}_{q(z \mid x)}[\ln p(x \mid z)] - \mathrm{KL}(q(z \mid x) \,\|\, p(z)).
# \end{aligned}
# $$
#
# The last line is the evidence lower bound, the ELBO; for a continuous code read integrals for the sums.
# Put $p(z)\, p(x \mid z) = p(x)\, p(z \mid x)$ into the second line to see what Jensen's step loses:
# $\mathrm{KL}(q(z \mid x) \,\|\, p(z \mid x))$. Nothing is lost when $q$ is the exact posterior.
#
# The article's loss, printed twice above its Eq. (1), estimates the expectation with $L$ samples:
#
# $$\mathcal{L}_\text{VAE} = \mathrm{KL}(q(z \mid x) \,\|\, p(z)) - \frac1L \sum_{l=1}^L \ln p(x \mid z_l),
# \qquad z_l \sim q(z \mid x).$$
#
# Mind the sign: this is an estimate of the *negative* ELBO. The ELBO is to be raised, the loss to be
# lowered.
#
# Two words for a reader who has the article open. It calls the image $y$ where we write $x$. And two names
# slipped: where it writes the Bernoulli recognition model as $p(z \mid y)$, $q(z \mid y)$ is meant; and in
# the caption of its Figure 1 the decoder belongs to the generative model, not to the recognition model.
#
# ## By hand
#
# The smallest model has one bit. The prior is a fair coin. Some image $x$ has probability $0.1$ if $z = 0$
# and $0.6$ if $z = 1$. The sum over codes has two terms, so everything can be computed: $p(x) = 0.35$, and
# the posterior of $z = 1$ is $0.30 / 0.35 = 6/7$. We try the proposal $q(z = 1 \mid x) = \theta = 0.6$.
#
# With 200 bits the expectation cannot be summed, but codes can be drawn. So the second cell draws
# (chapter 03 says how a bit is drawn). Its estimate with $L$ samples is right on average for every $L$,
# even for $L = 1$. A larger $L$ only makes it less noisy: the spread falls as $1 / \sqrt L$. The KL term
# needs no samples here; chapter 05 is about its closed form.
#
# *How to read a claim.* A line that starts with `claim` holds what the cell computed, then what a closed
# form or another source demands, the tolerance after `+-`, and the source in brackets. If it does not
# hold, the cell fails. A simulated number gets five standard errors: with a fresh seed right code misses
# that about once in two million runs.

# %%
prior = torch.tensor([0.5, 0.5])  # p(z) for z = 0 and z = 1
likelihood = torch.tensor([0.1, 0.6])  # p(x | z)
log_p_x = torch.log((prior * likelihood).sum())


def elbo(q):
    """The second line of the derivation; q holds q(z = 0 | x), q(z = 1 | x) in its last dimension."""
    return (q * (torch.log(prior * likelihood) - torch.log(q))).sum(-1)


q, posterior = torch.tensor([0.4, 0.6]), torch.tensor([1 / 7, 6 / 7])
reconstruction = (q * torch.log(likelihood)).sum()  # E[ln p(x | z)]
kl = (q * torch.log(q / prior)).sum()
assert_close(reconstruction - kl, elbo(q))  # the third line agrees with the second
assert_close(density.bernoulli_kl(torch.logit(q[1])), kl)  # the library takes the logit of theta
for name, value in [("reconstruction", reconstruction), ("KL", kl), ("ELBO", elbo(q)), ("ln p(x)", log_p_x)]:
    print(f"{name:14} {float(value):8.4f} nats")
claim("00.bound", elbo(q), math.log(0.35), 0, "Jensen's inequality", relation="<=")
claim("00.equality", elbo(posterior), math.log(0.35), 0.0005, "closed form: ln 0.35, q the posterior")

# %%
repeats, logit = 5_000, torch.logit(q[1])
one_sample_spread = math.log(6) * math.sqrt(0.6 * 0.4)  # ln 6 is the step of ln p(x | z) from z = 0 to 1
for number in (1, 100):  # the article's L
    bit_noise = noise.logistic((repeats, number), generator=torch.Generator().manual_seed(0))
    z = sampling.bernoulli_threshold(logit, bit_noise)  # bits, 1 with probability 0.6
    log_likelihood = torch.where(z == 1, math.log(0.6), math.log(0.1))
    loss = kl - log_likelihood.mean(-1)  # (repeats,)
    five_errors = 5 * standard_error(loss)
    claim(f"00.loss_{number}", loss.mean(), -elbo(q), five_errors, "enumeration: -ELBO, n = 5000")
    spread, squares = loss.std(), (loss - loss.mean()).square()
    five_errors = 5 * standard_error(squares) / (2 * spread)  # since d sqrt(v) = dv / (2 sqrt(v))
    source = "closed form: ln 6 sqrt(0.24 / L)"
    claim(f"00.spread_{number}", spread, one_sample_spread / math.sqrt(number), five_errors, source)

# %% [markdown]
# ## The picture
#
# One number, $\theta$, describes every proposal for one bit. How far below $\ln p(x)$ does each one end?

# %%
theta = torch.linspace(0.005, 0.995, 199)
curve = elbo(torch.stack([1 - theta, theta], -1))
fig, ax = plt.subplots()
ax.axhline(float(log_p_x), color=plot.PALETTE[6], linestyle="--")
ax.text(0.02, float(log_p_x) + 0.03, r"$\ln p(x)$")
ax.plot(theta, curve, color=plot.PALETTE[0])
ax.text(0.13, -1.93, "ELBO", color=plot.PALETTE[0])
ax.plot(6 / 7, float(log_p_x), "o", color=plot.PALETTE[2], markersize=9)
ax.text(6 / 7, float(log_p_x) + 0.06, "posterior, 6/7", color=plot.PALETTE[2], ha="center")
arrow = {"arrowstyle": "<->", "color": plot.PALETTE[1]}
ax.annotate("", (0.6, float(log_p_x)), (0.6, float(elbo(q))), arrowprops=arrow)
ax.text(0.62, -1.36, "gap at 0.6: KL from q\nto the posterior", color=plot.PALETTE[1], va="center")
ax.set(xlabel=r"$\theta$, the proposed probability of z = 1", ylabel="nats", ylim=(-2.4, -0.85))
alt = "The ELBO as a function of theta is a hill below the line ln p(x); it touches the line at theta = 6/7."
plot.show(fig, "00_elbo", alt=alt, data={"theta": theta, "elbo": curve, "log_p_x": log_p_x})
highest = (curve - log_p_x).max()
claim("00.nowhere_above", highest, 0, 0, "Jensen's inequality, 199 values of theta", relation="<=")

# %% [markdown]
# The hill touches the line at one point, the posterior. Climbing the hill has therefore two uses: it
# makes the proposal better, and, where the decoder is learned too, it raises a value that $\ln p(x)$
# cannot fall below.
#
# ## A sample that can be differentiated
#
# To climb, we need the gradient of an expectation with respect to the parameters of the distribution we
# draw from. How can a random draw have a derivative? For a Gaussian code one writes the draw as a function:
#
# $$z = g(\mu, \sigma; \epsilon) = \mu + \sigma\, \epsilon, \qquad \epsilon \sim \mathcal{N}(0, 1).$$
#
# All randomness sits in $\epsilon$, which depends on nothing. For fixed $\epsilon$, $z$ is a smooth
# function of $\mu$ and $\sigma$. This is the reparameterization trick [Kingma and Welling 2014].
#
# *Differentiable in what?* The article says: with respect to the model's input. The input is data and is
# not trained. What must be differentiable is $z$ with respect to the parameters of $q$, here $\mu$ and
# $\sigma$; through them the gradient reaches the weights of the encoder that computes them.
#
# *Must it be Gaussian?* The article says that a Gaussian prior makes a Gaussian $q$ necessary. It makes it
# convenient, because the KL of two Gaussians has a closed form. The bound above holds for every $q$.

# %%
x = torch.tensor([1.0, 2.0])  # one input
weight = torch.tensor([[0.5, -0.5], [0.2, 0.1]], requires_grad=True)  # an encoder: a 2 x 2 matrix
epsilon = torch.tensor(0.7)  # one draw of the noise

mean, log_std = weight @ x
z = mean + torch.exp(log_std) * epsilon
assert_close(sampling.gaussian(mean, log_std, epsilon), z)  # the library's g
by_mean, by_log_std, by_weight = torch.autograd.grad(z, [mean, log_std, weight])

print("z                     ", round(float(z.detach()), 4))
print("gradient of the mean  ", round(float(by_mean), 4), "   of log_std ", round(float(by_log_std), 4))
print("gradient of the weight", by_weight.flatten())
print("input asked for one   ", x.requires_grad)
assert_close(by_weight, torch.stack([x, torch.exp(log_std) * epsilon * x]))  # the chain rule, written out

# %% [markdown]
# The article prints $z = \mu + \epsilon\, \sigma^2$. Is that only another name for the same thing? It is
# not, because the KL term is computed from $\sigma$ as well, and takes it for the standard deviation. Draw
# with $\sigma^2$, and the loss charges for one distribution while the decoder is fed from another. We take
# $\mu = 0$ and $\sigma = 0.5$.

# %%
zero, log_std = torch.tensor(0.0), torch.tensor(0.5).log()
u = noise.uniform(100_000, generator=torch.Generator().manual_seed(1))
epsilon = torch.special.ndtri(u)  # Gaussian noise by the inverse CDF; chapter 01 explains the method
right = sampling.gaussian(zero, log_std, epsilon)
printed = zero + epsilon * torch.exp(log_std) ** 2  # the article's formula

five_errors = 5 * standard_error(right.square())
claim("00.variance_right", right.square().mean(), 0.25, five_errors, "closed form: sigma^2, n = 100000")
five_errors = 5 * standard_error(printed.square())
claim("00.variance_printed", printed.square().mean(), 1 / 16, five_errors, "closed form: sigma^4, n = 100000")

charged, drawn = density.gaussian_kl(zero, log_std), density.gaussian_kl(zero, 2 * log_std)
claim("00.kl_charged", charged, (0.25 - 1 - math.log(0.25)) / 2, 0.0005, "closed form")
claim("00.kl_drawn", drawn, (1 / 16 - 1 + math.log(16)) / 2, 0.0005, "closed form")
claim("00.kl_free", drawn - charged, math.log(2) - 3 / 32, 0.0005, "closed form: ln 2 - 3/32")
log_ratio = math.log(4) - 8 * printed.square() + printed.square() / 2  # of N(0, 1/16) to N(0, 1), at z
claim("00.kl_sampled", log_ratio.mean(), drawn, 5 * standard_error(log_ratio), "closed form, n = 100000")

# %% [markdown]
# The KL charged is 0.318 nats; the code that the decoder sees is worth 0.918 nats. The model gets 0.599
# nats a dimension for nothing, and the loss is no longer the negative ELBO. (At $\sigma = 1$ the slip is
# invisible.)
#
# ## Two gradients of one expectation
#
# Is a differentiable sample needed at all? There is a second way, which only needs $\ln q$ to be
# differentiable and asks nothing of $f$. For $z \sim \mathcal{N}(\mu, 1)$,
#
# $$\frac{d}{d\mu}\, \mathbb{E}[f(z)] = \mathbb{E}[f'(\mu + \epsilon)]
#   \ \ \text{(pathwise)} \qquad = \mathbb{E}\!\left[f(z)\, \frac{d}{d\mu} \ln q(z)\right]
#   \ \ \text{(score function)}.$$
#
# Both are right on average. How noisy are they? Take $f(z) = z^2$ and $\mu = 1$. The true gradient is
# $2\mu = 2$. One pathwise draw is $2z$; one score-function draw is $z^2 (z - \mu)$.

# %%
mu = torch.tensor(1.0, requires_grad=True)
u = noise.uniform(200_000, generator=torch.Generator().manual_seed(2))
z = sampling.gaussian(mu, torch.tensor(0.0), torch.special.ndtri(u))
draws = {"pathwise": 2 * z.detach(), "score": z.detach() ** 2 * (z.detach() - 1)}
by_autograd = torch.autograd.grad(z.square().mean(), mu)[0]
assert_close(by_autograd, draws["pathwise"].mean())  # backpropagation through g is the pathwise gradient

exact = {"pathwise": 4, "score": 1 + 14 + 15}  # score function: mu^4 + 14 mu^2 + 15, from Gaussian moments
for name, draw in draws.items():
    claim(f"00.{name}_mean", draw.mean(), 2, 5 * standard_error(draw), "closed form: 2 mu, n = 200000")
    squares = (draw - draw.mean()).square()
    five_errors = 5 * standard_error(squares)
    claim(f"00.{name}_variance", squares.mean(), exact[name], five_errors, "closed form, n = 200000")

# %%
fig, ax = plt.subplots()
edges = torch.linspace(-20, 60, 161)
shares = {name: torch.histogram(draw, edges)[0] / len(draw) / 0.5 for name, draw in draws.items()}
for share, colour in zip(shares.values(), plot.PALETTE, strict=False):
    ax.stairs(share, edges, color=colour, linewidth=2)
ax.axvline(2, color=plot.PALETTE[6], linestyle="--")
ax.text(-19, 0.06, "pathwise,\nvariance 4", color=plot.PALETTE[0])
ax.text(15, 0.01, "score function, variance 30", color=plot.PALETTE[1])
ax.text(3, 1.2, "true gradient, 2")
ax.set(xlabel="gradient from a single draw", ylabel="density (logarithmic)", yscale="log", ylim=(1e-5, 3))
alt = (
    "Histograms of single-draw gradients. Pathwise: a bell around the true value 2. Score function: "
    "a spike at 0 and long tails on both sides, the right one beyond 60."
)
# rtol: a draw on the edge of a bin may fall on either side on another processor
plot.show(fig, "00_two_gradients", alt=alt, data={"edges": edges, **shares}, rtol=1e-3)

# %% [markdown]
# The pathwise draws form a bell around 2. Most score-function draws are near 0, and a few very large ones
# have to make up for them. Their variance is 30 instead of 4, so the same precision takes more than seven
# times as many samples. The score function needs no derivative of $f$, so it works for discrete codes too.
# But one would like to keep the pathwise way.
#
# ## Why a hard choice has no gradient
#
# So write a bit as a function of a parameter and noise: $z = 1$ if $\text{logit} + \text{noise} > 0$, else
# $0$. (Chapter 03 says which noise to take.) That is a $g$. Where does it fail?
#
# Nudge the logit a little. Nearly always, nothing happens; once in a while the bit jumps. So the derivative
# is zero wherever it exists. The *probability* of a one does move with the logit, with slope
# $\theta (1 - \theta)$, which is $1/4$ at $\theta = 0.5$. Each sample is a step; only their average is
# smooth.
#
# The next cell asks PyTorch. A comparison and an argmax have no gradient at all; `torch.round` has one,
# and it is 0 everywhere. Then we draw the step beside three smooth curves that could stand in for it.

# %%
logits = torch.zeros(100_000, requires_grad=True)  # theta = 0.5
bit_noise = noise.logistic(100_000, generator=torch.Generator().manual_seed(3))

compared = (logits + bit_noise > 0).to(logits.dtype)
rounded = torch.round(torch.sigmoid(logits + bit_noise))
chosen = torch.stack([logits + bit_noise, torch.zeros_like(logits)], -1).argmax(-1)
print("comparison has a gradient:", compared.requires_grad)
print("argmax has a gradient:    ", chosen.requires_grad, "-", chosen.dtype)
print("rounding has a gradient:  ", rounded.requires_grad)

slope_of_rounding = torch.autograd.grad(rounded.sum(), logits)[0]
claim("00.slope_rounded", slope_of_rounding.abs().max(), 0, 0, "a step is flat on both sides")
up, down = ((logits + shift + bit_noise > 0).double() for shift in (0.1, -0.1))
slope = (up - down) / 0.2  # of each sample: 0 mostly, 5 where the bit flips
expected = (torch.sigmoid(torch.tensor(0.1)) - torch.sigmoid(torch.tensor(-0.1))) / 0.2
claim("00.slope_average", slope.mean(), expected, 5 * standard_error(slope), "closed form, n = 100000")

# %%
position = torch.linspace(-3, 3, 241)
step = (position > 0).double()
fig, (left, right_ax) = plt.subplots(1, 2, figsize=(8.5, 3.8))
left.plot(position, step, color=plot.PALETTE[6], label="step")
right_ax.plot(position, torch.zeros_like(position), color=plot.PALETTE[6], label="step: 0")
series = {"position": position, "step": step}
for temperature, colour in zip((1.0, 0.3, 0.1), plot.PALETTE, strict=False):
    value = torch.sigmoid(position / temperature)
    slope = value * (1 - value) / temperature
    left.plot(position, value, color=colour, label=rf"$\lambda$ = {temperature:g}")
    right_ax.plot(position, slope, color=colour)
    series |= {f"value_{temperature}": value, f"slope_{temperature}": slope}
left.set(xlabel="logit + noise", ylabel="z", title="value")
right_ax.set(xlabel="logit + noise", ylabel="dz / d logit", title="slope")
left.legend(loc="upper left", handlelength=1.2)
alt = "A step from 0 to 1, sigmoids that approach it as lambda falls, and their ever narrower slopes."
plot.show(fig, "00_step_and_relaxations", alt=alt, data=series)

# %% [markdown]
# Left, the step and three sigmoids $\sigma((\text{logit} + \text{noise}) / \lambda)$. Right, their
# slopes: the black line is zero everywhere, the bumps are not. A small temperature $\lambda$ is close to
# the step, but its slope is large in few places and almost zero elsewhere.
#
# ## The plan: z = g(parameters, noise)
#
# The library keeps the two arguments apart. `noise` draws; `sampling` transforms and draws nothing.
#
# | code | noise | $g$: exact sample | $g$: relaxed sample | chapter |
# |---|---|---|---|---|
# | Gaussian | `noise.normal` | `sampling.gaussian` | none needed | 00 |
# | one of $K$ | `noise.gumbel` | `sampling.gumbel_max` | `sampling.gumbel_softmax` | 01, 02, 04 |
# | bit | `noise.logistic` | `sampling.bernoulli_threshold` | `sampling.binary_concrete` | 03, 04 |
#
# Chapter 05 is the other half of the loss, the KL. Chapter 06 trains the whole model on digits.
#
# ## Notation
#
# $S$ samples, $B$ images in a batch, $D$ pixels; `(..., K)` is any shape that ends in $K$.
#
# | symbol | meaning | name in `catvae_lib` | shape |
# |---|---|---|---|
# | $x$ (article: $y$) | image, data | `x` | `(B, D)` |
# | $z$ | code | `z` | bits `(S, B, num_bits)`, one-hot `(S, B, N, K)` |
# | $p(z)$ | prior, fixed | `prior_log_prob`, `sample_prior` | `(S, B)` |
# | $p(x \mid z)$ | decoder, generative model | `decoder`, `likelihood` | `(S, B, D)` |
# | $q(z \mid x)$ | encoder, recognition model | `encoder` gives `params` | `(B, num_parameters)` |
# | $Q$ | number of bits of a code | `num_bits` | |
# | $N$, $K$ | variables; categories of each | `num_variables`, `num_categories` | |
# | $\theta$ | probability that a bit is 1 | through `logits` | any |
# | $\ell = \ln\theta - \ln(1 - \theta)$ | logit of a bit | `logits` | any |
# | $\pi$ | probabilities of the categories | through `logits` | `(..., K)` |
# | $\ln\pi$, up to a constant | logits of the categories | `logits` | `(..., K)` |
# | $u$ | uniform noise in (0, 1) | `u` | any |
# | $\epsilon$ | noise: Gaussian, Gumbel, logistic | `noise`, `gumbel_noise`, `logistic_noise` | as `z` |
# | $\mu$, $\sigma$ | Gaussian mean, standard deviation | `mean`, `log_std` (which is $\ln\sigma$) | any |
# | $\mu$, $\beta$ (Gumbel), $s$ (logistic) | location, scale | `loc`, `scale` | any |
# | $\lambda$ | temperature, positive | `temperature` | number |
# | $g$ | parameters and noise to sample | the functions of `sampling` | |
# | $\sigma(\cdot)$ | logistic sigmoid, $1 / (1 + e^{-t})$ | `torch.sigmoid` | any |
# | $L$ (article), $S$ | samples of each image | `num_samples`, first dimension of `noise` | |
# | $\mathrm{KL}(q \,\Vert\, p)$ | divergence, nats | `latent.kl`, and `bernoulli_kl` etc. | `(B,)` |
# | $\mathcal{L}_\text{VAE}$ | loss: negative ELBO, nats | `vae.loss` | `(B,)` |
# | $\ln w$ | $\ln p(x \mid z) + \ln p(z) - \ln q(z \mid x)$ | `log_weight` | `(S, B)` |
#
# All values are in nats (natural logarithms; 1 bit is $\ln 2$ nats). $\sigma$ with an argument is the
# sigmoid, $\sigma$ alone a standard deviation. $\pi$ in $\pi^2/6$ is the number. In a distribution
# function or a density, $x$ is its argument.

# %% [markdown]
# ## What could go wrong
#
# The dangerous mistake raises no error. We train $\theta$ for the one-bit model, starting at
# $\theta = 0.8$. The naive version draws hard bits and asks autograd for the gradient. PyTorch does not
# complain, because the KL term still has a gradient. The reconstruction term has none, so only the KL is
# minimized: the code is taught to say nothing.
#
# For one bit there is a right version: sum over both codes, which needs no sample at all.


# %%
def train(loss_of):
    generator, logit = torch.Generator().manual_seed(4), torch.tensor(4.0).log()  # theta = 0.8
    for _ in range(200):
        logit.requires_grad_()
        logit = (logit - torch.autograd.grad(loss_of(logit, generator), logit)[0]).detach()
    theta = torch.sigmoid(logit)
    return theta, -elbo(torch.stack([1 - theta, theta]))


def naive(logit, generator):
    z = sampling.bernoulli_threshold(logit, noise.logistic(100, generator=generator))
    return density.bernoulli_kl(logit) - (z * math.log(0.6) + (1 - z) * math.log(0.1)).mean()


naive_theta, naive_loss = train(naive)
exact_theta, _ = train(lambda logit, _: -elbo(torch.stack([torch.sigmoid(-logit), torch.sigmoid(logit)])))
claim("00.start_loss", -elbo(torch.tensor([0.2, 0.8])), math.log(8 / 3 * 1.5**0.2), 0.0005, "by hand")
claim("00.naive_theta", naive_theta, 0.5, 0.0005, "the minimum of the KL alone")
claim("00.naive_loss", naive_loss, -math.log(0.06) / 2, 0.0005, "closed form: -(ln 0.1 + ln 0.6)/2")
claim("00.exact_theta", exact_theta, 6 / 7, 0.0005, "closed form: the posterior")

# %% [markdown]
# The loss at the start is 1.062 nats. The naive run ends at $\theta = 0.5$, with 1.407 nats: it has made
# things worse. The right one ends at the posterior, $6/7$, where the ELBO equals $\ln p(x)$. With 200 bits
# nobody can sum over all codes, and that is why the rest of this book exists.
#
# ## Exercises
#
# **Exercise 1: what Jensen's step loses.** Write `gap(theta)`, which returns
# $\mathrm{KL}(q \,\|\, p(z \mid x))$ for the one-bit model above, with one call of `density.bernoulli_kl`
# and its argument `prior_logits`. You are done when it equals `log_p_x - elbo(...)` on the whole grid of
# the picture: `assert_close(gap(theta), log_p_x - curve)`.


# %% tags=["solution"]
# Solution 1
def gap(theta):
    return density.bernoulli_kl(torch.logit(theta), prior_logits=math.log(6))  # the logit of 6/7 is ln 6


assert_close(gap(theta), log_p_x - curve)
claim("00.gap", gap(q[1]), log_p_x - elbo(q), 0.0005, "enumeration: ln p(x) - ELBO at theta = 0.6")

# %% [markdown]
# **Exercise 2: a baseline.** The score has mean zero, so $(f(z) - b)\,(z - \mu)$ has the same mean for
# every constant $b$, but not the same variance. For $f(z) = z^2$ and $\mu = 1$ find the best $b$ on paper:
# it is $\mathbb{E}[f(z)\,(z - \mu)^2]$, because $\mathbb{E}[(z - \mu)^2] = 1$. Write `with_baseline(z, b)`,
# which returns the single-draw gradients. You are done when on 200,000 draws of $z$ their mean is still 2,
# and their variance 14 in place of 30, each within five standard errors.

# %% tags=["solution"]
# Solution 2
z = 1 + torch.special.ndtri(noise.uniform(200_000, generator=torch.Generator().manual_seed(5)))


def with_baseline(z, b):
    return (z.square() - b) * (z - 1)


# With e = z - 1: E[(1 + e)^2 e^2] = E[e^2] + 2 E[e^3] + E[e^4] = 1 + 0 + 3 = 4, and the variance is 30 - 4^2.
gradient = with_baseline(z, 4)
squares = (gradient - gradient.mean()).square()
claim("00.baseline_mean", gradient.mean(), 2, 5 * standard_error(gradient), "closed form: 2 mu, n = 200000")
claim("00.baseline_variance", squares.mean(), 14, 5 * standard_error(squares), "closed form, n = 200000")

# %% [markdown]
# **Exercise 3: the score function on a bit.** For a bit with logit $\ell$ the score is
# $\frac{d}{d\ell} \ln q(z) = z - \theta$. Write `bit_gradient(logit, f0, f1)`, which returns
# $\mathbb{E}[f(z)\,(z - \theta)]$ by summing over both values of $z$. You are done when it agrees with
# autograd through $(1 - \theta)\, f(0) + \theta f(1)$ at the logits $-2, 0, 3$, for $f(0) = \ln 0.1$ and
# $f(1) = \ln 0.6$.


# %% tags=["solution"]
# Solution 3
def bit_gradient(logit, f0, f1):
    theta = torch.sigmoid(logit)
    return (1 - theta) * f0 * (0 - theta) + theta * f1 * (1 - theta)  # = theta (1 - theta) (f1 - f0)


three = torch.tensor([-2.0, 0.0, 3.0], requires_grad=True)
f0, f1 = math.log(0.1), math.log(0.6)
expectation = torch.sigmoid(-three) * f0 + torch.sigmoid(three) * f1
assert_close(bit_gradient(three.detach(), f0, f1), torch.autograd.grad(expectation.sum(), three)[0])
fair = bit_gradient(torch.tensor(0.0), f0, f1)
claim("00.bit_gradient", fair, math.log(6) / 4, 0.0005, "closed form: theta (1 - theta) ln 6")

# %% [markdown]
# ## What you can now do
#
# - You have derived the ELBO in three lines, checked it by enumeration, and seen that the article's loss is
#   its negative, estimated with $L$ samples.
# - You have written a Gaussian sample as $z = g(\text{parameters}, \text{noise})$, and know that it must be
#   differentiable in the parameters of $q$, and why the factor is $\sigma$.
# - You have compared the pathwise and the score-function gradient: the same mean, variances 4 and 30.
# - You have seen that a threshold or an argmax stops the gradient, and that training then silently
#   minimizes the KL alone.
#
# ## References
#
# - The article: *Categorical Variational Auto-Encoders and the Gumbel Trick*, section Overview.
# - D. P. Kingma and M. Welling. Auto-encoding variational Bayes. ICLR 2014 (arXiv:1312.6114).
# - E. Jang, S. Gu and B. Poole. Categorical reparameterization with Gumbel-softmax. 2016
#   (arXiv:1611.01144).
# - C. J. Maddison, A. Mnih and Y. W. Teh. The Concrete distribution: a continuous relaxation of discrete
#   random variables. 2016 (arXiv:1611.00712).
