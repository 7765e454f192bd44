# %% [markdown]
# # 05. The Bernoulli KL: the price of a code
#
# This chapter computes the KL term of the loss, for bits and for categories, and shows what it may be used
# for and what not.
#
# *Minutes:* about 25 to read, seconds to run. *Hardware:* any laptop. *Before this:* chapters 00, 03 and
# 04.
#
# After this chapter you can
#
# - compute the KL of a bit and of a category in closed form, and check it by drawing hard samples;
# - say what the article's Eq. (5) lacks, and what minimizing it as printed would do;
# - compute the KL safely at probabilities 0, 1 and near one half;
# - explain why the KL is a function of $\theta$ and never of a relaxed sample, and why the loss with
#   relaxed samples is no bound;
# - tell a sum from a mean over dimensions, and name the weight that the mean puts on the KL.

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
from scipy import integrate, optimize
from torch.testing import assert_close

from catvae_lib import density, noise, sampling
from catvae_lib.classroom import plot
from catvae_lib.classroom.claims import claim
from catvae_lib.classroom.stats import standard_error

torch.set_default_dtype(torch.float64)
torch.set_printoptions(precision=4)

# %% [markdown]
# ## The question
#
# The loss of chapter 00 has two parts. One rewards a code from which the image can be drawn again. The
# other, $\mathrm{KL}(q(z \mid x) \,\|\, p(z))$, is the price of the code: how many nats does it cost to say
# that a bit is on with probability $\theta$, where the prior says one half?
#
# ## The formula
#
# A KL divergence is an average of $\ln q - \ln p$, and the average is taken under $q$. For one bit
#
# $$\mathrm{KL}(\mathrm{Ber}(\theta) \,\|\, \mathrm{Ber}(0.5)) =
#   \sum_{k \in \{0, 1\}} \theta^k (1 - \theta)^{1 - k}
#   \left[\ln \theta^k (1 - \theta)^{1 - k} - \ln 0.5^k\, 0.5^{1 - k}\right]
#   = \theta \ln \frac{\theta}{0.5} + (1 - \theta) \ln \frac{1 - \theta}{0.5}.$$
#
# This is the article's Eq. (5), with one repair. The print has what stands in the square bracket but not the
# weight $\theta^k (1 - \theta)^{1 - k}$ in front of it. Its sum is then $\ln 4\theta(1 - \theta)$, which is
# never positive, while a KL is never negative. It is a slip of the pen; the weights were surely meant.
#
# The article's title promises categories, and the formula for them is as short. For one of $K$ categories
# with probabilities $\pi$ and the uniform prior,
#
# $$\mathrm{KL} = \sum_{k = 1}^K \pi_k \left(\ln \pi_k - \ln \tfrac1K\right) = \ln K - H(\pi).$$
#
# So the price lies between 0 and $\ln K$ nats; for a bit, between 0 and $\ln 2$. A code of many variables
# that are independent given $x$ costs the sum of their prices.
#
# ## By hand
#
# Four bits first, then three categories.

# %%
theta = torch.tensor([0.01, 0.1, 0.5, 0.9])
one = theta * (torch.log(theta) - math.log(0.5))  # the term k = 1
zero = (1 - theta) * (torch.log(1 - theta) - math.log(0.5))  # the term k = 0
kl = one + zero
printed = torch.log(theta) - math.log(0.5) + torch.log(1 - theta) - math.log(0.5)  # Eq. (5) as it stands
assert_close(density.bernoulli_kl(torch.logit(theta)), kl)

print("theta   k = 1    k = 0       KL   Eq. (5) as printed")
for row in torch.stack([theta, one, zero, kl, printed], -1).tolist():
    print("{:5.2f} {:7.4f}  {:7.4f}  {:7.4f}  {:9.4f}".format(*row))
claim("05.kl_tenth", kl[1], math.log(2 * 0.1**0.1 * 0.9**0.9), 0.0005, "closed form: ln 2 - H(0.1)")
claim("05.kl_hundredth", kl[0], math.log(2 * 0.01**0.01 * 0.99**0.99), 0.0005, "closed form: ln 2 - H(0.01)")
claim("05.printed_tenth", printed[1], math.log(0.36), 0.0005, "closed form: ln 4 theta (1 - theta)")
claim("05.printed_hundredth", printed[0], math.log(0.0396), 0.0005, "closed form: ln 4 theta (1 - theta)")

# %%
pi = torch.tensor([0.2, 0.3, 0.5])
terms = pi * (torch.log(pi) - math.log(1 / 3))
entropy = -(pi * torch.log(pi)).sum()
assert_close(terms.sum(), math.log(3) - entropy)
assert_close(density.categorical_kl(torch.log(pi)), terms.sum())
print("terms", terms, " KL", round(float(terms.sum()), 4))

two = torch.stack([torch.logit(theta), torch.zeros(4)], -1)  # a bit is a category with K = 2: logits (l, 0)
assert_close(density.categorical_kl(two), kl)
certain = torch.tensor([0.0] + 9 * [-torch.inf])  # one category of ten has probability 1
product = 3 * 0.2**0.2 * 0.3**0.3 * 0.5**0.5
claim("05.kl_three", terms.sum(), math.log(product), 0.0005, "closed form: ln 3 - H")
claim("05.kl_certain", density.categorical_kl(certain), math.log(10), 0.0005, "closed form: ln 10")
bits, variables = torch.full((200,), torch.inf), certain.expand(20, 10)
claim("05.most_bits", density.bernoulli_kl(bits).sum(), 200 * math.log(2), 0.05, "closed form: 200 ln 2")
most = density.categorical_kl(variables).sum()
claim("05.most_tens", most, 20 * math.log(10), 0.05, "closed form: 20 ln 10")

# %% [markdown]
# At $\theta = 0.1$ the price is 0.368 nats, where the formula as printed gives -1.02; at $\theta = 0.01$ it
# is 0.637 against -3.23. A code of 200 bits can cost 138.6 nats at most, one of 20 variables with ten
# categories each 46.1 nats.
#
# ## The picture
#
# How do the two formulas differ over the whole range of $\theta$?

# %%
grid = torch.linspace(0.005, 0.995, 199)
right = density.bernoulli_kl(torch.logit(grid))
wrong = torch.log(4 * grid * (1 - grid))
fig, ax = plt.subplots()
ax.plot(grid, right, color=plot.PALETTE[0])
ax.plot(grid, wrong, color=plot.PALETTE[1])
ax.axhline(math.log(2), color=plot.PALETTE[6], linestyle="--", linewidth=1)
ax.text(0.5, math.log(2) + 0.08, "ln 2", ha="center")
ax.text(0.5, 0.2, "with the weights: KL", color=plot.PALETTE[0], ha="center")
ax.text(0.5, -0.7, "as printed: without the weights", color=plot.PALETTE[1], ha="center")
ax.set(xlabel=r"$\theta$", ylabel="nats", ylim=(-3.9, 1.1))
alt = "The KL is a bowl that touches 0 at one half. The formula as printed is a hill with its top, 0, there."
plot.show(fig, "05_kl", alt=alt, data={"theta": grid, "kl": right, "printed": wrong})

# %% [markdown]
# The KL is a bowl with its lowest point, 0, at $\theta = 0.5$. The formula as printed is a hill with its
# *highest* point, 0, at the same place.
#
# ## The pull of the prior
#
# Training sees the gradient. What does the KL ask of a logit $\ell = \ln\theta - \ln(1 - \theta)$? From
# $d\,\mathrm{KL} / d\theta = \ell$ and $d\theta / d\ell = \theta (1 - \theta)$,
#
# $$\frac{d\,\mathrm{KL}}{d\ell} = \ell\, \theta (1 - \theta).$$
#
# Its sign is that of $\ell$: descent moves every logit towards 0. But the pull is not largest where the bit
# is most certain.

# %%
logits = torch.linspace(-8, 8, 3201, requires_grad=True)
pull = torch.autograd.grad(density.bernoulli_kl(logits).sum(), logits)[0]
theta_of = torch.sigmoid(logits).detach()
assert_close(pull, logits.detach() * theta_of * (1 - theta_of))

strongest = pull.argmax()
root = optimize.brentq(lambda logit: logit * math.tanh(logit / 2) - 1, 1, 2)  # where the pull has slope 0
claim("05.strongest", pull[strongest], (root**2 - 1) / (4 * root), 0.0005, "calculus: l tanh(l / 2) = 1")
claim("05.strongest_logit", logits[strongest].detach(), root, 0.005, "calculus: l tanh(l / 2) = 1")
claim("05.strongest_theta", theta_of[strongest], 1 / (1 + math.exp(-root)), 0.005, "the same logit, 1.543")
claim("05.pull_at_8", pull[-1], 8 * math.exp(-8) / (1 + math.exp(-8)) ** 2, 0.00005, "closed form")

# %% [markdown]
# The pull is strongest, 0.224 nats per unit of logit, near $\theta = 0.82$. At a logit of 8 it is 0.0027. A
# bit that has become certain is hardly pulled back, which is one reason to start training with small
# logits.
#
# ## Hard samples agree
#
# The KL is the mean of $\ln q(z) - \ln p(z)$ over bits drawn from $q$. So it can be estimated by drawing.
# Does the estimate agree, and is anything gained by the closed form?

# %%
bit_noise = noise.logistic(200_000, generator=torch.Generator().manual_seed(0))
for name, probability in [("hundredth", 0.01), ("tenth", 0.1), ("third", 1 / 3)]:
    logit = torch.logit(torch.tensor(probability))
    z = sampling.bernoulli_threshold(logit, bit_noise)
    log_ratio = density.bernoulli_log_prob(z, logit) - math.log(0.5)
    exact = probability * math.log(2 * probability) + (1 - probability) * math.log(2 * (1 - probability))
    five_errors = 5 * standard_error(log_ratio)
    claim(f"05.drawn_{name}", log_ratio.mean(), exact, five_errors, "closed form, n = 200000")
    if name == "tenth":
        claim("05.drawn_least", log_ratio.min(), math.log(0.2), 0.0005, "closed form: ln(0.1 / 0.5)")
        squares = (log_ratio - log_ratio.mean()).square()
        spread, five_errors = squares.mean().sqrt(), 5 * standard_error(squares) / (2 * squares.mean().sqrt())
        claim("05.drawn_spread", spread, 0.3 * math.log(9), five_errors, "closed form: 0.3 times the logit")

# %% [markdown]
# The means agree within five standard errors. A single draw is another matter. At $\theta = 0.1$ it can be
# -1.61, although the KL is 0.368, and its spread is 0.659. The closed form has no spread, so it is used
# wherever it exists. It belongs to *hard* bits drawn from $q$; that will matter below.
#
# ## The ends and the middle
#
# The formula is exact, but floating point is not. Written as $\ln 2 - H(\theta)$, it fails in three places.
#
# - At $\theta = 0$ or $1$ it holds $0 \cdot \ln 0$. The limit is 0, so the KL is $\ln 2$. The computer says
#   NaN.
# - A logit of 20 is an honest number, but in float32 its $\theta$ rounds to 1, and $1 - \theta$ to 0.
# - Near $\theta = 0.5$ the entropy is nearly $\ln 2$. The difference is about $\ell^2 / 8$, and what is
#   left of it after subtraction is mostly rounding.


# %%
def naive_kl(logits):
    theta = torch.sigmoid(logits)
    return math.log(2) + theta * torch.log(theta) + (1 - theta) * torch.log(1 - theta)  # ln 2 - H


logits = torch.tensor([2.0, 20.0, torch.inf, -torch.inf], dtype=torch.float32, requires_grad=True)
for name, function in [("naive", naive_kl), ("library", density.bernoulli_kl)]:
    value = function(logits)
    slope = torch.autograd.grad(value.sum(), logits)[0]
    print(f"{name:8} value at 2, 20, inf, -inf:", [round(v, 4) for v in value.tolist()])
    print(f"{name:8} slope at 2, 20, inf, -inf:", [round(v, 4) + 0.0 for v in slope.tolist()])
limits = density.bernoulli_kl(logits)[-2:]
assert_close(limits, torch.full((2,), math.log(2), dtype=torch.float32))

# %%
small = torch.logspace(-4, 0, 61)
t = torch.tanh(small / 2)  # theta = (1 + t) / 2, and KL = sum over k of t^2k / (2k (2k - 1)): no cancellation
exact = sum(t ** (2 * k) / (2 * k * (2 * k - 1)) for k in range(1, 25))
naive, library = naive_kl(small.float()), density.bernoulli_kl(small.float())

fig, ax = plt.subplots()
ax.loglog(small, exact, color=plot.PALETTE[0], label="exact (library agrees)")
ax.plot(small, naive.clamp(min=1e-10), ".", color=plot.PALETTE[1], label="naive, float32")
ax.text(1.2e-4, 1.6e-10, "naive value 0 or negative", color=plot.PALETTE[1])
ax.set(xlabel="logit", ylabel="KL in nats", ylim=(6e-11, 0.3))
ax.legend()
alt = "Below a logit of about 0.001 the naive float32 values scatter around the exact parabola or fall to 0."
plot.show(fig, "05_cancellation", alt=alt, data={"logit": small, "exact": exact, "naive": naive})

error = ((library - exact) / exact).abs().max()
eight = 8 * torch.finfo(torch.float32).eps
claim("05.library_error", error, eight, 0, "8 roundings of float32", relation="<=", stable=False)
claim("05.naive_error", ((naive - exact) / exact).abs().max(), 1, 0, "100 %", relation=">=", stable=False)

# %% [markdown]
# Below a logit of about one thousandth the naive values (dots) scatter around the parabola, and some are 0 or
# negative. A bit that the model does not use moves that way, because the prior pulls its logit towards 0. The
# library switches to a form without this cancellation, $d \tanh d - \ln\cosh d$ with $d = \ell / 2$, and
# takes the limits at the ends.
#
# ## What could go wrong
#
# **First: Eq. (5) as printed.** What would training do with it? Its slope in the logit is $1 - 2\theta$,
# negative for $\theta > 0.5$ and positive below. We descend along each formula alone, from four starting
# points.


# %%
slopes = {
    "KL": lambda logits: logits * torch.sigmoid(logits) * torch.sigmoid(-logits),
    "Eq. (5) as printed": lambda logits: 1 - 2 * torch.sigmoid(logits),
}
fig, axes = plt.subplots(1, 2, figsize=(8.5, 3.6), sharey=True)
paths = []
for ax, (name, slope) in zip(axes, slopes.items(), strict=True):
    path = [torch.logit(torch.tensor([0.1, 0.48, 0.52, 0.9]))]
    for _ in range(60):
        path.append(path[-1] - slope(path[-1]))  # one step of descent, learning rate 1
    paths.append(torch.sigmoid(torch.stack(path)))
    ax.plot(paths[-1][:31])
    ax.set(xlabel="step", title=name, ylim=(-0.03, 1.03))
axes[0].set_ylabel(r"$\theta$")
alt = "Under the KL all four paths of theta run to one half; under the formula as printed, to 0 or 1."
plot.show(fig, "05_descent", alt=alt, data={"kl": paths[0][:31], "printed": paths[1][:31]})
claim("05.descent_kl", (paths[0][-1] - 0.5).abs().max(), 0, 0.00005, "the minimum of the KL")
value = torch.log(4 * paths[1][-1] * torch.sigmoid(-path[-1])).max()  # the formula after 60 steps
claim("05.descent_printed", value, -40, 0, "about one nat a step, without end", relation="<=")

# %% [markdown]
# Left, the KL brings the bits from all four starting points to $\theta = 0.5$. Right, the formula as
# printed drives them to 0 or 1, and its value falls by about one nat a step, for ever. It would reward a
# code for being certain, without limit, and no reconstruction could outbid it.
#
# **Second: the KL of the relaxed sample.** The article notes at its end that a sigmoid has to follow the
# reparameterization before the KL is computed. Read kindly, it means that the encoder's output is a logit
# and becomes $\theta$ by a sigmoid. Taken literally, it puts the relaxed sample $z$ where $\theta$ belongs.
# But the KL is a function of the parameter and comes before any sampling. What would the literal reading
# charge?

# %%
u = (torch.arange(20_000) + 0.5) / 20_000  # midpoints: averages over u are integrals
logistic = noise.logistic_from_uniform(u)
few = torch.linspace(0.01, 0.99, 99)
series = {"theta": few, "kl": density.bernoulli_kl(torch.logit(few))}
fig, ax = plt.subplots()
ax.plot(few, series["kl"], color=plot.PALETTE[6])
ax.text(0.5, 0.03, r"KL at $\theta$", ha="center")
for temperature, colour in zip((1.0, 0.5, 0.1), plot.PALETTE, strict=False):
    relaxed = (sampling.binary_concrete_logit(logit, logistic, temperature) for logit in torch.logit(few))
    charged = torch.stack([density.bernoulli_kl(z_logit).mean() for z_logit in relaxed])
    series[f"charged_{temperature}"] = charged
    ax.plot(few, charged, color=colour)
    words = rf"at the relaxed z, $\lambda$ = {temperature:g}"
    ax.text(0.5, float(charged[49]) - 0.012, words, color=colour, ha="center", va="top")
ax.set(xlabel=r"$\theta$", ylabel="nats", ylim=(0, 0.75))
alt = "The KL is 0 at one half. Taken at the relaxed sample it is not, and tends to ln 2 at low temperature."
plot.show(fig, "05_kl_at_sample", alt=alt, data=series)
half = series["charged_1.0"][49]  # theta = 0.5
claim("05.charged_half", half, math.log(2) - 0.5, 0.0005, "closed form: ln 2 - 1/2, z uniform")
claim("05.charged_code", 200 * half, 200 * math.log(2) - 100, 0.05, "closed form: 200 (ln 2 - 1/2)")

# %% [markdown]
# A bit that says nothing costs nothing (black). Evaluated at the relaxed sample, it is charged 0.193 nats
# at temperature 1, which makes 38.6 nats for 200 bits. And as the temperature falls the charge tends to
# $\ln 2$ whatever $\theta$ is, so that the KL no longer pulls at all.
#
# **Third: a bound that is none.** The article says that with relaxed samples the rest of the framework
# stays unchanged. One can train that way, and chapter 06 does. But its objective is no ELBO: the KL belongs
# to hard bits, and the expectation is now over other values of $z$.
#
# One bit is enough to see it. Let $\ln p(x \mid z) = -40\,(z - 0.5)^2$. Up to a constant this is the
# log-likelihood, under a Gaussian decoder whose mean moves straight from one picture at $z = 0$ to another at
# $z = 1$, of the image halfway between the two. Both codes give $-10$, so $\ln p(x) = -10$. The posterior is
# $\theta = 0.5$, the KL is 0, and the ELBO with hard bits is $-10$, too. And with relaxed bits?


# %%
def objective(temperature):
    z = sampling.binary_concrete(torch.tensor(0.0), logistic, temperature)
    return (-40 * (z - 0.5).square()).mean()  # E[ln p(x | z)] with relaxed z; the KL at theta = 0.5 is 0


tenth = -5 * integrate.quad(lambda y: (math.tanh(5 * y) / math.cosh(y / 2)) ** 2, 0, 60)[0]
claim("05.objective_1", objective(1.0), -10 / 3, 0.0005, "closed form: z is uniform, -40 / 12")
claim("05.objective_half", objective(0.5), 10 - 5 * math.pi, 0.0005, "closed form: 10 - 5 pi")
claim("05.objective_tenth", objective(0.1), tenth, 0.0005, "quadrature over the logistic noise y")
temperatures = torch.linspace(0.01, 2, 200)
curve = torch.stack([objective(float(temperature)) for temperature in temperatures])
claim("05.above", curve.min(), -10, 0, "ln p(x), which a lower bound never exceeds", relation=">=")
fig, ax = plt.subplots()
ax.plot(temperatures, curve, "-o", color=plot.PALETTE[1], markevery=[9, 49, 99])
ax.axhline(-10, color=plot.PALETTE[6], linestyle="--")
ax.text(1.98, -9.75, r"$\ln p(x)$, and the ELBO with hard bits", ha="right")
ax.text(1.05, -4.2, "objective with relaxed bits", color=plot.PALETTE[1])
ax.set(xlabel=r"temperature $\lambda$", ylabel="nats", ylim=(-10.6, -1))
alt = "The relaxed objective lies above the line ln p(x) = -10 at every temperature, and falls to it at 0."
plot.show(fig, "05_not_a_bound", alt=alt, data={"temperature": temperatures, "objective": curve})

# %% [markdown]
# The dots are -3.33 at temperature 1, -5.71 at one half and -9.01 at one tenth. A lower bound on $-10$
# cannot be -3.33. The relaxed bit visits $z = 0.5$, a place where the decoder does well and which no code
# of the model has. So a relaxed objective may be trained on, but not reported: the number to report comes
# from hard bits.
#
# **Fourth: a mean where a sum belongs.** The loss sums over pixels and over bits, and averages over the $L$
# samples and over the batch. Averages over samples and batch estimate expectations. Averages over
# dimensions change the objective: with 784 pixels and 200 bits, two means give
# $\frac{1}{784} (\text{reconstruction} + \beta\, \mathrm{KL})$ with $\beta = 784 / 200$, a beta-VAE by
# accident [Higgins et al. 2017]. Summing over the $L$ samples errs the other way, with $\beta = 1 / L$.

# %%
beta = 784 / 200
pixels = torch.linspace(0.1, 2, 784)  # any reconstruction terms
prices = density.bernoulli_kl(torch.linspace(-2, 2, 200))
assert_close(784 * (pixels.mean() + prices.mean()), pixels.sum() + beta * prices.sum())


def trained(beta):
    """Train the bit of chapter 00, p(x | z) = 0.1 or 0.6, with the KL weighted by beta; return its theta."""
    logit = torch.tensor(0.0)
    for _ in range(200):
        logit = logit.requires_grad_()
        reconstruction = -math.log(6) * torch.sigmoid(logit) - math.log(0.1)
        loss = reconstruction + beta * density.bernoulli_kl(logit)
        logit = (logit - 0.5 * torch.autograd.grad(loss, logit)[0]).detach()
    return torch.sigmoid(logit)


claim("05.beta", beta, 3.92, 0, "784 / 200")
claim("05.sum", trained(1), 6 / 7, 0.0005, "closed form: the posterior")
claim("05.mean", trained(beta), 1 / (1 + 6 ** (-1 / beta)), 0.0005, "closed form: sigmoid(ln 6 / beta)")

# %% [markdown]
# With sums the bit of chapter 00 ends at its posterior, 0.857. With means the KL weighs 3.92 times as much,
# and the bit ends at 0.612. Nothing in the training curve shows it.
#
# ## Exercises
#
# **Exercise 1: categories, with zeros.** Write `kl_to_uniform(logits)`, $\ln K - H(\pi)$ over the last
# dimension, where some logits may be $-\infty$. You are done when it agrees with `density.categorical_kl`
# on the `rows` below, `torch.tensor([[0.0, 1.0, 2.0, 3.0], [0.0, 0.0, -torch.inf, -torch.inf]])`, and gives
# $\ln 2$ for the second row.


# %% tags=["solution"]
# Solution 1
def kl_to_uniform(logits):
    pi = torch.softmax(logits, -1)
    return math.log(logits.shape[-1]) + torch.xlogy(pi, pi).sum(-1)  # xlogy(0, 0) = 0


rows = torch.tensor([[0.0, 1.0, 2.0, 3.0], [0.0, 0.0, -torch.inf, -torch.inf]])
assert_close(kl_to_uniform(rows), density.categorical_kl(rows))
claim("05.two_of_four", kl_to_uniform(rows)[1], math.log(2), 0.0005, "closed form: ln 4 - ln 2")

# %% [markdown]
# **Exercise 2: a bound after all, but on what?** Replace $q$ and the prior in the KL by their relaxed
# versions as well. At temperature 1 and $\theta = 0.5$ both are uniform on $(0, 1)$, their KL is 0, and the
# objective stays $-10/3$. It is a lower bound on $\ln \int_0^1 p(x \mid z)\, dz$ of the *relaxed* model.
# Write `relaxed_log_p()`, which computes that integral with the midpoints `u`. You are done when it equals
# $\ln\left(\sqrt{\pi / 40}\ \mathrm{erf}\sqrt{10}\right)$ and is not below `objective(1.0)`.


# %% tags=["solution"]
# Solution 2
def relaxed_log_p():
    return torch.log(torch.exp(-40 * (u - 0.5).square()).mean())


expected = math.log(math.sqrt(math.pi / 40) * math.erf(math.sqrt(10)))
claim("05.relaxed_log_p", relaxed_log_p(), expected, 0.0005, "closed form: the Gaussian integral")
claim("05.relaxed_bound", objective(1.0), relaxed_log_p(), 0, "Jensen's inequality", relation="<=")

# %% [markdown]
# **Exercise 3: another prior.** Let the prior be a coin with probability $\rho = 0.2$. Write
# `kl_to_coin(logits, rho)` with one call of the library. You are done when it is 0 at $\theta = 0.2$,
# equals $\ln 1.25$ at $\theta = 0.5$, and the mean of $\ln q(z) - \ln p(z)$ over 100,000 hard bits with
# $\theta = 0.5$ agrees within five standard errors.


# %% tags=["solution"]
# Solution 3
def kl_to_coin(logits, rho):
    return density.bernoulli_kl(logits, prior_logits=math.log(rho) - math.log(1 - rho))


fair, coin = torch.tensor(0.0), torch.tensor(0.2)
z = sampling.bernoulli_threshold(fair, noise.logistic(100_000, generator=torch.Generator().manual_seed(1)))
log_ratio = density.bernoulli_log_prob(z, fair) - density.bernoulli_log_prob(z, torch.logit(coin))
claim("05.coin_zero", kl_to_coin(torch.logit(coin), 0.2), 0, 1e-12, "q is the prior")
claim("05.coin", kl_to_coin(fair, 0.2), math.log(1.25), 0.0005, "closed form: ln 1.25")
five_errors = 5 * standard_error(log_ratio)
claim("05.coin_drawn", log_ratio.mean(), math.log(1.25), five_errors, "closed form, n = 100000")

# %% [markdown]
# ## What you can now do
#
# - You have computed the KL of a bit and of a category in closed form, and hard samples agreed with it.
# - You have seen that Eq. (5) as printed lacks its weights, and that minimizing it drives every bit to
#   certainty.
# - You have computed the KL at probabilities 0, 1 and near one half, where the naive formula gives NaN or
#   noise.
# - You have seen that the KL is a function of $\theta$ and not of a relaxed sample, and that the loss with
#   relaxed samples can exceed $\ln p(x)$.
# - You have told a sum from a mean over dimensions: the mean weighs the KL by 784 / 200.
#
# ## References
#
# - The article: *Categorical Variational Auto-Encoders and the Gumbel Trick*, Eq. (5) and Practical
#   Considerations.
# - E. Jang, S. Gu and B. Poole. Categorical reparameterization with Gumbel-softmax. 2016
#   (arXiv:1611.01144).
# - C. J. Maddison, A. Mnih and Y. W. Teh. The Concrete distribution. 2016 (arXiv:1611.00712).
# - I. Higgins et al. beta-VAE: learning basic visual concepts with a constrained variational framework.
#   ICLR 2017.
