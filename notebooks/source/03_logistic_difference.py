# %% [markdown]
# # 03. One uniform for a bit: the logistic difference
#
# A bit drawn with two Gumbel variables needs only their difference, and the difference costs one uniform
# number.
#
# *Minutes:* about 25 to read, seconds to run. *Hardware:* any laptop. *Before this:* chapters 01 and 02.
#
# After this chapter you can
#
# - derive the distribution of the difference of two Gumbel variables in four lines;
# - draw a bit with probability exactly $\theta$ from one uniform number;
# - say what the article's Eq. (3) draws, with a temperature and without one;
# - find a wrong bit sampler with a calibrated check, and say how many samples the check needs;
# - keep a bit's logit exact where float32 cannot hold its probability.

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
from torch import Tensor

from catvae_lib import density, noise, sampling
from catvae_lib.classroom import interactive, plot, stats
from catvae_lib.classroom.claims import claim

torch.set_printoptions(precision=4, sci_mode=False)

# %% [markdown]
# ## The question
#
# A bit is a categorical variable with two categories: $z = 1$ with probability $\theta$, and $z = 0$ with
# probability $1 - \theta$. Eq. (1) with $K = 2$ draws it. It adds one Gumbel variable to each log-probability
# and says $z = 1$ if
#
# $$\ln\theta + \epsilon_1 > \ln(1 - \theta) + \epsilon_2 .$$
#
# Only the difference $\epsilon_1 - \epsilon_2$ matters. Which distribution does it have? If its CDF can be
# inverted, one uniform number replaces two Gumbel variables.
#
# ## The formula
#
# **The difference is logistic.** Write $F(g) = \exp(-e^{-g})$ for the Gumbel CDF and
# $f(g) = e^{-g}\exp(-e^{-g})$ for its density. The two variables are independent. Fix $\epsilon_2 = g$, ask
# for $\epsilon_1 \le x + g$, and average over $g$:
#
# $$\begin{aligned}
# P(\epsilon_1 - \epsilon_2 \le x) &= \int_{-\infty}^{\infty} F(x + g)\, f(g)\, dg \\
# &= \int_{-\infty}^{\infty} \exp(-e^{-x}e^{-g})\; e^{-g}\exp(-e^{-g})\, dg \\
# &= \int_0^{\infty} \exp\left(-t\,(1 + e^{-x})\right) dt \qquad (t = e^{-g}) \\
# &= \frac{1}{1 + e^{-x}} = \sigma(x).
# \end{aligned}$$
#
# This is the logistic distribution. The inverse of $\sigma$ is $\mathrm{logit}(u) = \ln u - \ln(1 - u)$, so
# $\epsilon_1 - \epsilon_2$ has the distribution of $\ln u - \ln(1 - u)$ with $u \sim U(0, 1)$. The article
# states this above Eq. (3) and leaves the proof to [Maddison et al. 2016] and [Ben-Akiva and Lerman 1985].
#
# **The hard bit** (article, above Eq. (3)):
#
# $$z = 1 \quad\text{if}\quad \ln u - \ln(1 - u) + \ln\theta - \ln(1 - \theta) > 0, \quad\text{else } 0.$$
#
# Call $\ell = \ln\theta - \ln(1 - \theta)$ the *logit* of the bit. Then
# $P(z = 1) = P(\ln u - \ln(1-u) > -\ell) = 1 - \sigma(-\ell) = \sigma(\ell) = \theta$. There is no
# approximation in it.
#
# **The soft bit** (article, Eq. (3), with a temperature $\lambda$ that the article leaves out):
#
# $$z = \sigma\left(\frac{\ln u - \ln(1 - u) + \ln\theta - \ln(1 - \theta)}{\lambda}\right).$$
#
# ## By hand
#
# First the derivation. The second line of it is an integral, and a computer can add it up without knowing the
# third line. The sum must give $\sigma(x)$ at every $x$.

# %%
step = 0.01
g = torch.arange(-8, 45, step, dtype=torch.float64)  # F(x + g) f(g) is below 1e-17 outside
x = torch.tensor([-4.0, -1.0, 0.0, 1.0, 4.0], dtype=torch.float64)
F = torch.exp(-torch.exp(-(x[:, None] + g)))  # (5, number of points): Gumbel CDF at x + g
f = torch.exp(-g) * torch.exp(-torch.exp(-g))  # Gumbel density at g
integral = (F * f).sum(-1) * step

print("x           ", x)
print("the integral", integral)
print("sigmoid(x)  ", torch.sigmoid(x))
claim("03.convolution", (integral - torch.sigmoid(x)).abs().max(), 0, 1e-9, "closed form: sigmoid(x)")

# %% [markdown]
# Next the formulas themselves, on three bits that share one uniform number. The library splits each formula
# into two steps: `noise` turns $u$ into logistic noise, and `sampling` adds the logit.

# %%
theta = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64)
u = torch.tensor([0.7, 0.7, 0.7], dtype=torch.float64)
temperature = 0.5

perturbed = torch.log(u) - torch.log(1 - u) + torch.log(theta) - torch.log(1 - theta)
hard_by_hand = (perturbed > 0).double()  # above Eq. (3)
soft_by_hand = torch.sigmoid(perturbed / temperature)  # Eq. (3) with temperature

logits = torch.log(theta) - torch.log(1 - theta)
logistic = noise.logistic_from_uniform(u)
torch.testing.assert_close(sampling.bernoulli_threshold(logits, logistic), hard_by_hand, rtol=0, atol=0)
torch.testing.assert_close(sampling.binary_concrete(logits, logistic, temperature), soft_by_hand)
print("sum before the threshold", perturbed)
print("hard bits               ", hard_by_hand)
print("soft bits               ", soft_by_hand)

# %% [markdown]
# One $u$, three sums: $\theta$ moves them across the threshold. The next cell ties the hard bit to chapter
# 02. It draws pairs of Gumbel variables once, and uses each pair in two ways: in Eq. (1) with two categories,
# and as a difference in the threshold. The bits are the same, draw by draw. The share of ones is $\theta$.

# %%
n, p = 200_000, 0.3
pair = noise.gumbel((n, 2), generator=torch.Generator().manual_seed(3), dtype=torch.float64)
log_probabilities = torch.tensor([p, 1 - p], dtype=torch.float64).log()
logit = log_probabilities[0] - log_probabilities[1]

from_argmax = sampling.gumbel_max(log_probabilities, pair)[:, 0]  # Eq. (1), first category
difference = pair[:, 0] - pair[:, 1]
from_threshold = sampling.bernoulli_threshold(logit, difference)
print("different bits:", int((from_argmax != from_threshold).sum()), "of", n)

claim("03.theta", from_threshold.mean(), p, 5 * math.sqrt(p * (1 - p) / n), "closed form: theta")
fit = stats.continuous_fit(difference, density.logistic_cdf)
print("the difference against the logistic CDF:", fit)
assert not fit.rejected

# %% [markdown]
# The last line is the calibrated check of chapter 01. It says three things. The distance between the sample
# and the logistic CDF is in the range of chance: `p = 0.026` is smallish, but one right sample in forty looks
# like that. A right sampler would be rejected once in a thousand runs. A sampler whose CDF is off by more
# than the last number would have been rejected with probability at least $0.99$.
#
# ## The picture
#
# The Gumbel density leans: its right tail is long, its left tail is short. What does the difference of two of
# them look like?

# %%
edges = torch.linspace(-8, 8, 65, dtype=torch.float64)
bars = torch.histogram(difference, edges).hist / n / (edges[1] - edges[0])
axis = torch.linspace(-8, 8, 321, dtype=torch.float64)
logistic_curve = density.logistic_log_density(axis).exp()
gumbel_curve = density.gumbel_log_density(axis).exp()

fig, ax = plt.subplots()
ax.bar(edges[:-1], bars, edges[1] - edges[0], align="edge", color="#cccccc", label="200,000 differences")
ax.plot(axis, logistic_curve, label=r"logistic, $\sigma(x)\,\sigma(-x)$")
ax.plot(axis, gumbel_curve, "--", label="one Gumbel variable")
ax.set(xlabel="value (nats)", ylabel="density (1/nats)", xlim=(-8, 8))
ax.legend(loc="upper left", fontsize=11)
alt = "Grey bars of simulated differences under the symmetric logistic curve; the Gumbel curve leans right."
series = {"edges": edges, "bars": bars, "x": axis, "curves": [logistic_curve, gumbel_curve]}
plot.show(fig, "03_logistic_density", alt, series)
tolerance = 5 * stats.standard_error(difference**2)
claim("03.variance", (difference**2).mean(), math.pi**2 / 3, tolerance, "closed form: pi^2 / 3")

# %% [markdown]
# The bars follow the logistic curve. The lean has cancelled: the difference is symmetric, and both tails fall
# like $e^{-|x|}$. Its variance is twice the variance of one Gumbel variable, $2 \cdot \pi^2/6$.
#
# ## The soft bit and its temperature
#
# **The question.** Eq. (3) replaces the threshold by a sigmoid, so that $z$ has a gradient. Which numbers
# does it draw?
#
# **The formula.** The event $z \le x$ is the event $\ln u - \ln(1-u) \le \lambda\,\mathrm{logit}(x) - \ell$.
# So the CDF of Eq. (3) with temperature is
#
# $$P(z \le x) = \sigma\left(\lambda\,\mathrm{logit}(x) - \ell\right).$$
#
# Put in the article's case, $\lambda = 1$, and an undecided bit, $\theta = 0.5$, so $\ell = 0$. Then
# $P(z \le x) = \sigma(\mathrm{logit}(x)) = x$. **The soft bit is uniform on $(0, 1)$.** It prefers no corner:
# half of the draws lie in the middle half of the interval. For any $\lambda$ that share is
# $2\,\sigma(\lambda\ln 3) - 1$, which tends to 0 as $\lambda \to 0$.

# %%
logistic = noise.logistic(n, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
undecided = torch.zeros(1, dtype=torch.float64)  # logit of theta = 0.5
for temperature in (1.0, 0.1):
    z = sampling.binary_concrete(undecided, logistic, temperature)
    share = 2 / (1 + 3**-temperature) - 1  # 2 sigmoid(temperature ln 3) - 1
    middle = ((z > 0.25) & (z < 0.75)).double().mean()
    tolerance = 5 * math.sqrt(share * (1 - share) / n)
    claim(f"03.middle.{temperature}", middle, share, tolerance, "2 sigmoid(temperature ln 3) - 1")

z = sampling.binary_concrete(undecided, logistic, 1.0)
fit = stats.continuous_fit(z, lambda x: x)
print("Eq. (3) at theta = 0.5 against the uniform CDF:", fit)
assert not fit.rejected
rounded = (sampling.binary_concrete(undecided, logistic, 0.1) > 0.5).double()
assert torch.equal(rounded, sampling.bernoulli_threshold(undecided, logistic))

# %%
grid = torch.linspace(0.005, 0.995, 199, dtype=torch.float64)
log_jacobian = torch.log(grid) + torch.log1p(-grid)  # the library gives the density of logit(x)
temperatures = [0.2, 0.5, 1.0, 2.0]
curves = [
    torch.exp(density.binary_concrete_log_density(torch.logit(grid), undecided, t) - log_jacobian)
    for t in temperatures
]
fig, ax = plt.subplots()
for t, curve, line in zip(temperatures, curves, ["-", "--", "-", "-."], strict=True):
    ax.plot(grid, curve, line, label=rf"$\lambda$ = {t:g}")
ax.set(xlabel="soft bit z", ylabel="density", xlim=(0, 1), ylim=(0, 3))
ax.legend(loc="upper center", ncols=2)
alt = "Density of an undecided soft bit: flat at temperature 1, a hump at 2, U-shaped at 0.5, more so at 0.2."
plot.show(fig, "03_soft_bit", alt, {"z": grid, "temperatures": temperatures, "density": curves})
interactive.offer(interactive.sigmoid_of_logistic)  # in JupyterLab: sliders

# %% [markdown]
# At temperature 1 the density of the undecided soft bit is flat. Above it the mass gathers in the middle,
# below it at the two corners. Chapter 04 treats the temperature for $K$ categories. In JupyterLab a second
# picture has sliders for temperature and logit, and shows how the sigmoid bends the noise into this density.
#
# The article neglects the temperature "for simplicity" and says that it "can be useful". It is needed.
# Without a temperature an undecided bit is a uniform number, and the decoder is trained on grey values that
# it will never meet when the bits are hard. At $\lambda = 0.1$ only about 0.055 of the draws are left in the
# middle half.
#
# The last line of the cell before the picture holds at every temperature: rounding the soft bit gives the
# hard bit, because $\sigma$ is increasing and $\sigma(0) = 0.5$. Temperature changes how far $z$ is from its
# corner, never which corner is nearer.
#
# ## What could go wrong
#
# **One Gumbel in place of two.** A bit has one parameter, so it is tempting to give it one Gumbel variable.
# The article does not: its Eq. (3) is right up to the temperature. But the Torch code that its author
# published with the series in 2018 computes, with $p$ for our $\theta$,
#
# $$z = \sigma\left(\frac{\ln p + \epsilon}{\lambda}\right), \qquad \epsilon \sim \mathrm{Gu}(0, 1),$$
#
# and a commented-out line beside it uses $\ln p + \ln u - \ln(1 - u)$. Both are easy slips to make, and
# neither raises an error. What is the hard bit of each, that is, how often is $z > 0.5$?
#
# - *One Gumbel.* $z > 0.5$ means $\epsilon > -\ln p$. So $P = 1 - \exp(-e^{\ln p}) = 1 - e^{-p}$.
# - *The variant.* It has the right noise, but $-\ln(1 - p)$ is missing. $z > 0.5$ means
#   $\ln u - \ln(1 - u) > -\ln p$. So $P = \sigma(\ln p) = p / (1 + p)$.
#
# The next cell runs both against these formulas, at an undecided bit and at a bit that should be certain.


# %%
def one_gumbel(p: float, n: int, generator: torch.Generator) -> Tensor:
    """Hard bits of the published code: one Gumbel variable."""
    return (math.log(p) + noise.gumbel(n, generator=generator, dtype=torch.float64) > 0).double()


def missing_term(p: float, n: int, generator: torch.Generator) -> Tensor:
    """Hard bits of its commented-out variant: -log(1 - p) is missing."""
    return (math.log(p) + noise.logistic(n, generator=generator, dtype=torch.float64) > 0).double()


generator = torch.Generator().manual_seed(5)
for p in (0.5, 1.0):
    for sampler, right in ((one_gumbel, 1 - math.exp(-p)), (missing_term, p / (1 + p))):
        tolerance = 5 * math.sqrt(right * (1 - right) / n)
        formula = "1 - exp(-p)" if sampler is one_gumbel else "p / (1 + p)"
        claim(f"03.{sampler.__name__}.{p}", sampler(p, n, generator).mean(), right, tolerance, formula)

# %% [markdown]
# A bit with $p = 1$ must be 1 in every draw. It is 1 in a share of 0.632 and of one half. So neither sampler
# can send a bit that is sure to be 1, whatever the encoder learns.
#
# **How the check finds it.** The check rejects a sampler or lets it pass. How many draws does it need? It
# answers in advance: at $p$ the sampler is off by $|P - p|$, and `stats.sample_size_for` turns this deviation
# into the number of draws that reject it with probability $0.99$, at one false alarm in a thousand.

# %%
print("        one Gumbel                missing term")
print("   p    off by  draws needed      off by  draws needed")
for p in (0.01, 0.1, 0.5, 0.9):
    gaps = [p - (1 - math.exp(-p)), p - p / (1 + p)]
    sizes = [stats.sample_size_for(gap, [p, 1 - p]) for gap in gaps]
    print(f"{p:4}   {gaps[0]:.5f}  {sizes[0]:12,}     {gaps[1]:.5f}  {sizes[1]:12,}")

p, repeats = 0.5, 500
suffices = stats.sample_size_for(p - (1 - math.exp(-p)), [p, 1 - p])
generator = torch.Generator().manual_seed(6)
rejected = 0
for _run in range(repeats):
    ones = int(one_gumbel(p, suffices, generator).sum())
    rejected += stats.categorical_fit([ones, suffices - ones], [p, 1 - p]).rejected
slack = 5 * math.sqrt(0.99 * 0.01 / repeats)
claim("03.power", rejected / repeats, 0.99, slack, "promised power of the check", relation=">=")

# %%
probability = torch.linspace(0.01, 1, 100, dtype=torch.float64)
curve_gumbel, curve_missing = 1 - torch.exp(-probability), probability / (1 + probability)
dots = [0.1, 0.3, 0.5, 0.7, 0.9]
generator = torch.Generator().manual_seed(7)
shares = [[float(s(p, 20_000, generator).mean()) for p in dots] for s in (one_gumbel, missing_term)]

fig, ax = plt.subplots(figsize=(7, 4.6))
ax.plot(probability, probability, color=plot.PALETTE[6], label=r"two Gumbels or one logistic: $p$")
ax.plot(probability, curve_gumbel, "--", color=plot.PALETTE[0], label=r"one Gumbel: $1 - e^{-p}$")
ax.plot(probability, curve_missing, "-.", color=plot.PALETTE[1], label=r"missing term: $p/(1 + p)$")
for heights, colour in zip(shares, plot.PALETTE, strict=False):
    five_errors = [5 * math.sqrt(s * (1 - s) / 20_000) for s in heights]
    ax.errorbar(dots, heights, five_errors, fmt="o", capsize=4, color=colour)
ax.set(xlabel="p given to the sampler", ylabel="P(bit = 1)", xlim=(0, 1), ylim=(0, 1))
ax.legend(loc="upper left")
alt = (
    "P(bit = 1) against p: the diagonal is right; one Gumbel bends below it to 0.63, the missing term to 0.5."
)
series = {"p": probability, "curves": [curve_gumbel, curve_missing], "dots": dots, "shares": shares}
plot.show(fig, "03_one_gumbel", alt, series)

# %% [markdown]
# The right sampler is the diagonal. Both wrong ones bend away below it and end far from 1. The dots are
# 20,000 draws each, with bars of five standard errors: only near $p = 0$ do they reach the diagonal.
#
# At $p = 0.5$ a few hundred draws suffice, and 500 repetitions keep the promised power. At $p = 0.01$ the
# one-Gumbel bug needs more than a hundred million: for small $p$ both formulas are close to $p$, because
# $1 - e^{-p} \approx p - p^2/2$ and $p/(1 + p) \approx p - p^2$. Where you look matters more than how long
# you look. At $p = 1$ a handful of draws is enough: the first 0 settles it.
#
# **The logit in float32.** Eq. (3) is written with $\theta$. A network computes $\ell$ first, and the naive
# way is to go through the probability: $\theta = \sigma(\ell)$, then $\ln\theta - \ln(1 - \theta)$. In
# float32 the largest number below 1 is $1 - 2^{-24}$. So no logit above $24 \ln 2$ survives the round trip,
# while small probabilities keep theirs.

# %%
largest = torch.tensor(1 - 2**-24, dtype=torch.float32)
survives = torch.log(largest) - torch.log(1 - largest)
claim("03.largest", survives, 24 * math.log(2), 1e-4, "closed form: 24 ln 2")

logits = torch.tensor([-20.0, 5.0, 20.0], requires_grad=True)
theta = torch.sigmoid(logits)
naive = torch.log(theta) - torch.log(1 - theta)  # through the probability
direct = sampling.binary_concrete_logit(logits, torch.zeros(3), temperature=1.0)  # the logit itself
for name, value in (("naive ", naive), ("direct", direct)):
    gradient = torch.autograd.grad(value.sum(), logits)[0]
    print(name, [round(v, 3) for v in value.tolist()], "gradient", [round(v, 3) for v in gradient.tolist()])

# %% [markdown]
# At $\ell = 20$ the naive logit is infinite and its gradient is NaN. One such bit soon makes every weight of
# the encoder NaN. At $\ell = -20$ nothing happens, so the bug waits for a bit that learns to be on. Clamping
# $\theta$ hides the NaN, and sets the gradient to 0 in its place. The remedy is to take logits from the
# network and never leave them. All functions of `sampling` and `density` do.
#
# **$\theta = 0$, $\theta = 1$, $u = 0$.** The article's formulas hold for $0 < \theta < 1$ and for $u$ in the
# *open* interval. `torch.rand` can return exactly 0: in float32 once in $2^{24}$ draws. Then a bit that is
# certain to be 1 becomes NaN, and NaN is not greater than 0.

# %%
u = torch.tensor([0.0, 0.5])
theta = torch.tensor([1.0, 1.0])
naive = torch.log(u) - torch.log(1 - u) + torch.log(theta) - torch.log(1 - theta)
print("naive sum", naive, " bits", (naive > 0).float())

certain = torch.tensor([torch.inf, torch.inf])  # the logit of theta = 1
print("library bits at theta = 1:", sampling.bernoulli_threshold(certain, noise.logistic_from_uniform(u)))
print("library bits at theta = 0:", sampling.bernoulli_threshold(-certain, noise.logistic_from_uniform(u)))
ends = noise.logistic_from_uniform(torch.tensor([2**-25, 1 - 2**-24]))
claim("03.noise.low", ends[0], -25 * math.log(2), 1e-4, "closed form: -25 ln 2")
claim("03.noise.high", ends[1], 24 * math.log(2), 1e-4, "closed form: 24 ln 2")

# %% [markdown]
# The naive bit with $\theta = 1$ is 0 when $u = 0$, and no error is raised. The library keeps $u$ off the
# ends (an exact 0 becomes half a step, $2^{-25}$), so the float32 noise lies between $-25\ln 2$ and
# $24 \ln 2$, and an infinite logit always wins.
#
# ## Exercises
#
# **1. A bit without a logarithm.** Show on paper that the hard bit is 1 exactly if $u > 1 - \theta$. Then
# write `bit_from_uniform(theta, u)` with one comparison. You are done when it equals
# `sampling.bernoulli_threshold` on 100,000 float64 uniforms at $\theta = 0.3$.

# %% tags=["solution"]
# Solution 1
# ln(u / (1 - u)) > ln((1 - theta) / theta); the logit is increasing, and logit(1 - theta) is the right side.


def bit_from_uniform(theta: float, u: Tensor) -> Tensor:
    """1 where u exceeds 1 - theta."""
    return (u > 1 - theta).to(u.dtype)


u = noise.uniform(100_000, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
logit = torch.logit(torch.tensor(0.3, dtype=torch.float64))
hard = sampling.bernoulli_threshold(logit, noise.logistic_from_uniform(u))
assert torch.equal(bit_from_uniform(0.3, u), hard)
print("equal on", len(u), "draws")

# %% [markdown]
# **2. Repair the published sampler.** Write `repaired(p, first, second, temperature)`. It takes probabilities
# and two sets of Gumbel noise and must return Eq. (3) with temperature. Change as little as you can in
# $\sigma((\ln p + \epsilon)/\lambda)$. You are done when `stats.continuous_fit` accepts 100,000 of your soft
# bits at $p = 0.3$, $\lambda = 0.5$ against the CDF $\sigma(\lambda\,\mathrm{logit}(x) - \ell)$, and rejects
# 100,000 of the published ones.


# %% tags=["solution"]
# Solution 2
def repaired(p: float, first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Eq. (3): the second category has a log-probability and a Gumbel variable as well."""
    return torch.sigmoid((math.log(p) + first - math.log(1 - p) - second) / temperature)


def soft_bit_cdf(x: Tensor) -> Tensor:
    """CDF of Eq. (3) at p = 0.3 and temperature 0.5."""
    return torch.sigmoid(0.5 * torch.logit(x) - math.log(0.3 / 0.7))


first, second = noise.gumbel((2, 100_000), generator=torch.Generator().manual_seed(9), dtype=torch.float64)
mended = stats.continuous_fit(repaired(0.3, first, second, 0.5), soft_bit_cdf)
published = stats.continuous_fit(torch.sigmoid((math.log(0.3) + first) / 0.5), soft_bit_cdf)
assert not mended.rejected and published.rejected
print("repaired: ", mended, "\npublished: ", published, sep="")

# %% [markdown]
# **3. What the loss pays.** The KL term of the loss is computed from $p$, not from the bits that are drawn.
# Write `charged_and_drawn(p)`. It returns two KL divergences to the fair coin, in nats: that of a bit with
# probability $p$, which the loss charges, and that of the bit which the one-Gumbel sampler draws. You are
# done when at $p = 1$ the first is $\ln 2$ and the second is $q \ln 2q + (1 - q) \ln 2(1 - q)$ with
# $q = 1 - 1/e$. Hint: `density.bernoulli_kl` takes infinite logits.


# %% tags=["solution"]
# Solution 3
def charged_and_drawn(p: float) -> tuple[Tensor, Tensor]:
    """KL to the fair coin of what the loss assumes, and of what the one-Gumbel sampler draws."""
    probabilities = torch.tensor([p, 1 - math.exp(-p)], dtype=torch.float64)
    charged, drawn = density.bernoulli_kl(torch.logit(probabilities))
    return charged, drawn


charged, drawn = charged_and_drawn(1.0)
q = 1 - 1 / math.e
expected = q * math.log(2 * q) + (1 - q) * math.log(2 * (1 - q))
claim("03.charged", charged, math.log(2), 5e-4, "closed form: ln 2")
claim("03.drawn", drawn, expected, 5e-5, "KL of Ber(1 - 1/e) to the fair coin")

# %% [markdown]
# The loss charges 0.693 nats for a bit whose distribution is 0.0353 nats away from a fair coin.
#
# ## What you can now do
#
# - You have derived that the difference of two Gumbel variables is logistic, and checked the integral and the
#   samples.
# - You have drawn bits with probability exactly $\theta$ from one uniform number, and seen that they are Eq.
#   (1) with two categories.
# - You have seen that Eq. (3) at $\theta = 0.5$ and temperature 1 draws uniform numbers, and that rounding
#   its draws gives the hard bit at every temperature.
# - You have found two wrong samplers, derived what they draw instead, and know how many draws the check needs
#   at which $p$.
# - You have kept the logit, and seen float32 lose it through the probability.
#
# ## References
#
# - M. E. Ben-Akiva and S. R. Lerman. Discrete Choice Analysis: Theory and Application to Travel Demand. MIT
#   Press, 1985.
# - E. Jang, S. Gu and B. Poole. Categorical reparameterization with Gumbel-Softmax. arXiv:1611.01144, 2016.
# - C. J. Maddison, A. Mnih and Y. W. Teh. The Concrete distribution: a continuous relaxation of discrete
#   random variables. arXiv:1611.00712, 2016.
