# %% [markdown]
# # 01. Sampling Gumbel noise
#
# One formula bends a uniform random number into Gumbel noise, the noise from which the next chapters draw
# categories.
#
# *Minutes:* about 25 to read, seconds to run. *Hardware:* any laptop. *Before this:* chapter 00.
#
# After this chapter you can
#
# - tell the Gumbel density from its distribution function (CDF), and show which of the two the article
#   prints;
# - derive the sampling formula by inverting the CDF;
# - say where the Gumbel distribution comes from, and what location and scale do to its mean, median and
#   variance;
# - check a sampler against a CDF, and state how often the check is wrong and what it would miss;
# - say what float32 does to the tails, and test a sampler on every number it can ever be given.

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
import numpy as np
import torch

from catvae_lib import density, noise
from catvae_lib.classroom import plot
from catvae_lib.classroom.claims import claim
from catvae_lib.classroom.stats import continuous_fit, sample_size_for

torch.set_printoptions(precision=4)

# %% [markdown]
# ## The question
#
# The article samples a category by adding noise to log-probabilities and taking the largest sum. Chapter 02
# shows that the probabilities come out right if the noise has a Gumbel distribution. A computer offers
# uniform numbers. How does a uniform number become Gumbel noise? And how would we notice if it did not?
#
# ## The formula
#
# Let $\mu$ be the location and $\beta > 0$ the scale. The Gumbel distribution has
#
# $$F(x) = \exp\left(-e^{-(x - \mu)/\beta}\right) \quad\text{(CDF)}, \qquad
# f(x) = F'(x) = \frac{1}{\beta}\exp\left(-\frac{x - \mu}{\beta} - e^{-(x - \mu)/\beta}\right)
# \quad\text{(density)}.$$
#
# To sample from it, solve $u = F(\epsilon)$ for $\epsilon$. Take the logarithm, change the sign, take the
# logarithm again:
#
# $$\ln u = -e^{-(\epsilon - \mu)/\beta}, \qquad
# \ln(-\ln u) = -\frac{\epsilon - \mu}{\beta}, \qquad
# \epsilon = \mu - \beta \ln(-\ln u).$$
#
# The last formula is the article's, above its Eq. (1). Why is the result a Gumbel variable? $F$ rises, so
# $\epsilon \le x$ happens exactly when $u \le F(x)$. A uniform $u$ does that with probability $F(x)$.
#
# ## By hand
#
# Five uniform numbers, the two logarithms, and the way back. The last column is $F(\epsilon)$: it must
# return $u$.

# %%
u = torch.tensor([0.01, 0.25, 0.50, 0.75, 0.99], dtype=torch.float64)
eps = -torch.log(-torch.log(u))  # mu = 0, beta = 1
back = torch.exp(-torch.exp(-eps))
print("    u      ln u   -ln(-ln u)   F(eps)")
for row in zip(u, torch.log(u), eps, back, strict=True):
    print("{:5.2f}  {:8.4f}  {:11.4f}  {:7.2f}".format(*map(float, row)))

assert torch.equal(noise.gumbel_from_uniform(u), eps)
assert torch.equal(noise.gumbel_from_uniform(u, loc=2.0, scale=3.0), 2 - 3 * torch.log(-torch.log(u)))
torch.testing.assert_close(density.gumbel_cdf(eps), u)

# %% [markdown]
# ## The picture
#
# What does the formula do to evenly spaced numbers? Start on the left with 25 of them, go right to the
# curve, then down.

# %%
u = (torch.arange(25, dtype=torch.float64) + 0.5) / 25
eps = noise.gumbel_from_uniform(u)
x = torch.linspace(-2.5, 6.5, 200, dtype=torch.float64)
fig, (top, bottom) = plt.subplots(2, 1, figsize=(7, 6), sharex=True, height_ratios=[2, 1])
colours = plt.get_cmap("cividis")(u.numpy() * 0.9)
for height, end, colour in zip(u.tolist(), eps.tolist(), colours, strict=True):
    top.plot([-2.5, end, end], [height, height, 0], color=colour, linewidth=1.2)
    bottom.plot([end, end], [0, 0.06], color=colour, linewidth=2)
top.plot(x, density.gumbel_cdf(x), color="black")
top.set(ylabel="uniform $u$", xlim=(-2.5, 6.5), ylim=(0, 1))
top.annotate(r"$u = F(\epsilon) = \exp(-e^{-\epsilon})$", (3.4, 0.86), backgroundcolor="white")
bottom.plot(x, density.gumbel_log_density(x).exp(), color="black")
bottom.annotate(r"density $f(\epsilon)$", (1.3, 0.27))
bottom.set(xlabel=r"Gumbel noise $\epsilon = -\ln(-\ln u)$", ylabel="density", ylim=(0, 0.42))
alt = "Evenly spaced u on the vertical axis meet an S-shaped curve and fall to the horizontal axis. "
alt += "There they crowd between -1 and 1 and thin out to the right, as the Gumbel density below does."
plot.show(fig, "01_bent_uniform", alt, {"u": u, "eps": eps, "x": x, "cdf": density.gumbel_cdf(x)})

# %% [markdown]
# Lines that start evenly spaced land crowded where the curve is steep and far apart where it is flat. The
# slope of the CDF is the density, drawn below. The left tail is short; the right tail is long.
#
# ## Density against CDF
#
# The article defines the Gumbel distribution by $p(\epsilon) = \exp(-\exp(-(\epsilon - \mu)/\beta))$. Is
# that a density? A density must have total area 1. Integrate the printed formula up to $c$. With
# $t = e^{-x}$ the area is $\int_{e^{-c}}^\infty e^{-t}/t\,dt$, which is $c - \gamma$ up to a term of size
# $e^{-c}$ ($\gamma$ is Euler's constant).


# %%
def area(function, upper):
    """Integrate from -6, below which everything here is under 1e-170, to the upper limit."""
    grid = torch.linspace(-6, upper, 200_001, dtype=torch.float64)
    return torch.trapezoid(function(grid), grid)


def printed(x):  # the article's p(eps)
    return torch.exp(-torch.exp(-x))


def gumbel_density(x):
    return torch.exp(-x - torch.exp(-x))


EULER = np.euler_gamma
for upper in (10, 20, 50):
    claim(f"01.printed_{upper}", area(printed, upper), upper - EULER, 0.005, "closed form: c - gamma")
claim("01.density", area(gumbel_density, 50), 1, 1e-6, "closed form: a density has area 1")
assert torch.equal(density.gumbel_cdf(eps), printed(eps))  # the article's formula is the CDF
torch.testing.assert_close(density.gumbel_log_density(eps), gumbel_density(eps).log())

# %%
x = torch.linspace(-3, 8, 221, dtype=torch.float64)
sample = noise.gumbel(100_000, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
heights, edges = np.histogram(sample, bins=np.arange(-3, 8.25, 0.25))
heights = heights / (len(sample) * 0.25)
fig, ax = plt.subplots()
ax.stairs(heights, edges, fill=True, color=plot.PALETTE[5], alpha=0.6)
ax.plot(x, gumbel_density(x), color=plot.PALETTE[0])
ax.plot(x, printed(x), color=plot.PALETTE[1])
ax.annotate("printed in the article:\nthe CDF", (3.3, 0.74), color=plot.PALETTE[1])
ax.annotate("density", (1.1, 0.30), color=plot.PALETTE[0])
ax.annotate("histogram of 100,000 samples", (2.6, 0.10), color="#35739a")
ax.set(xlabel=r"$\epsilon$", ylabel="height", xlim=(-3, 8), ylim=(0, 1.05))
alt = "A histogram of samples follows the Gumbel density, which peaks at 0 with height 0.37. "
alt += "The article's formula rises to 1 and stays there."
data = {"x": x, "density": gumbel_density(x), "printed": printed(x), "histogram": heights}
plot.show(fig, "01_density_and_cdf", alt, data)

# %% [markdown]
# The samples follow the density. The printed formula climbs to 1 and stays there: its areas up to 10, 20
# and 50 are 9.42, 19.42 and 49.42, and they grow without end. The article's sampling formula is right all
# the same, because it inverts the CDF.
#
# ## Where the distribution comes from
#
# Take $n$ independent waiting times $E_i$, exponential with mean 1. The longest of them grows like
# $\ln n$. What is left after subtracting it?
#
# $$P\left(\max_i E_i - \ln n \le x\right) = \left(1 - \frac{e^{-x}}{n}\right)^n
# \longrightarrow \exp\left(-e^{-x}\right).$$
#
# So Gumbel noise is what the longest of many waiting times leaves. How fast is the limit reached? Write
# $t = e^{-x}$. The gap $e^{-t} - (1 - t/n)^n$ is close to $t^2 e^{-t}/(2n)$, largest at $t = 2$: the two
# CDFs are at most about $2e^{-2}/n$ apart.
#
# ## Location, scale and moments
#
# If $\epsilon$ is standard Gumbel noise, $\mu + \beta\epsilon$ has location $\mu$ and scale $\beta$. Where
# is its centre, and how wide is it?
#
# | | standard | location $\mu$, scale $\beta$ |
# |---|---|---|
# | mode, where the density peaks | $0$ | $\mu$ |
# | median | $-\ln\ln 2$ | $\mu - \beta\ln\ln 2$ |
# | mean | $\gamma$ | $\mu + \beta\gamma$ |
# | variance | $\pi^2/6$ | $\beta^2\pi^2/6$ |
#
# The mode solves $f' = 0$ and the median $F = 1/2$; mean and variance we quote. The cell measures the gap
# between the CDFs for four values of $n$, then checks the last three rows with a million draws at
# $\mu = 2$ and $\beta = 3$. Each tolerance is five standard errors; that of the variance uses the
# kurtosis of the Gumbel distribution, $27/5$.

# %%
x = torch.linspace(-4, 12, 20_001, dtype=torch.float64)
for n in (2, 10, 100, 1000):
    maximum_cdf = (1 - torch.exp(-x) / n).clamp(min=0) ** n
    distance = float((maximum_cdf - density.gumbel_cdf(x)).abs().max())
    print(f"n = {n:4d}: largest gap between the CDFs {distance:.5f}, times n {n * distance:.4f}")
claim("01.maxima", 1000 * distance, 2 * math.exp(-2), 0.001, "closed form for large n: 2 exp(-2)")

n, mu, beta = 1_000_000, 2.0, 3.0
sample = noise.gumbel(n, mu, beta, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
median, variance = mu - beta * math.log(math.log(2)), (beta * math.pi) ** 2 / 6
median_error = beta / (math.log(2) * math.sqrt(n))  # 1 / (2 f sqrt(n)), with f the density at the median
mean_error, variance_error = math.sqrt(variance / n), variance * math.sqrt((27 / 5 - 1) / n)
claim("01.median", sample.median(), median, 5 * median_error, "closed form: mu - beta ln ln 2")
claim("01.mean", sample.mean(), mu + beta * EULER, 5 * mean_error, "closed form: mu + beta gamma")
claim("01.variance", sample.var(), variance, 5 * variance_error, "closed form: (beta pi)^2 / 6")
grid = torch.linspace(-6, 50, 200_001, dtype=torch.float64)
exact_mean = torch.trapezoid(grid * gumbel_density(grid), grid)
claim("01.standard_mean", exact_mean, EULER, 1e-6, "closed form: Euler's constant")

# %% [markdown]
# The mode of standard Gumbel noise is 0, yet its mean is 0.577. Code that assumes noise of mean zero is
# wrong here.
#
# ## An empirical check
#
# Mean, median and variance can be right while the distribution is wrong. Compare the whole CDF instead.
# The Kolmogorov-Smirnov distance is $D = \sup_x |F_n(x) - F(x)|$, where $F_n(x)$ is the share of samples
# up to $x$.
#
# A verdict is worth little without two numbers. The *false-alarm rate* is the probability that a right
# sampler is rejected. The *smallest detectable deviation* is the distance between the CDFs from which on a
# wrong sampler is rejected with probability 99 %. We choose both, and `sample_size_for` returns the number
# of samples they cost.
#
# `continuous_fit` takes the p-value, the probability of so large a $D$, from the distribution of $D$ for
# a right sampler. For a false-alarm rate as small as one in a million it uses the simple bound
# $P(D > d) \le 2e^{-2nd^2}$ instead, which holds for every $n$ (Dvoretzky, Kiefer and Wolfowitz).

# %%
n = sample_size_for(0.01, false_alarm=1e-3)
sample = noise.gumbel(n, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
print("right    ", continuous_fit(sample, density.gumbel_cdf, false_alarm=1e-3))
print("right    ", continuous_fit(sample, density.gumbel_cdf, false_alarm=1e-6))
print("shifted  ", continuous_fit(sample + 0.03, density.gumbel_cdf, false_alarm=1e-3))
print("rounded  ", continuous_fit((sample * 10).round() / 10, density.gumbel_cdf, false_alarm=1e-3))

fit = continuous_fit(sample, density.gumbel_cdf, false_alarm=1e-3)
assert not fit.rejected
claim("01.detects", fit.smallest_deviation, 0.01, 0, "asked of the sample size", relation="<=")
shift = (density.gumbel_cdf(x + 0.03) - density.gumbel_cdf(x)).max()
claim("01.shift", shift, 0.01, 0, "what the check can detect", relation=">=")

# %% [markdown]
# The right sampler passes at both levels. The shift by $0.03$ moves the CDF by up to 0.011. That is more
# than 0.01, so we knew beforehand that the check would find it 99 times in 100. Rounding to one decimal is
# found too: at each rounded value the CDF jumps.
#
# ## What could go wrong
#
# **A sign or an argument is swapped.** The formula has two logarithms and two minus signs. Which of its
# neighbours are wrong, and can the check tell? The second variant below is right: $1 - u$ is as uniform as
# $u$.

# %%
u = noise.uniform(n, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
variants = {
    "-log(-log(u))": -torch.log(-torch.log(u)),
    "-log(-log(1 - u))": -torch.log(-torch.log1p(-u)),  # log1p(-u) is log(1 - u), exact near u = 0
    "log(-log(u))": torch.log(-torch.log(u)),
    "-log(log(u))": -torch.log(torch.log(u)),
}
for formula, eps in variants.items():
    if eps.isnan().any():
        print(f"{formula:18s} {int(eps.isnan().sum())} of {n} are not a number: log(u) is negative")
        continue
    fit = continuous_fit(eps, density.gumbel_cdf)
    mean = float(eps.mean())
    print(f"{formula:18s} mean {mean:7.4f}, distance {fit.statistic:.4f}, rejected: {fit.rejected}")

# %% [markdown]
# The third variant is the mirror image, minus a Gumbel variable. It looks healthy: every number is finite.
#
# **The generator returns exactly 0.** On a CPU PyTorch's float32 uniforms are the $2^{24}$ multiples of
# $2^{-24}$ from 0 to $1 - 2^{-24}$. At 0 the naive formula gives $-\ln(-\ln 0) = -\infty$. That happens
# once in 16,777,216 draws: rare in a test, common in a training run. How many draws does a test need to
# meet it with probability 99 %? And if the value were wrong but finite, how many would the check of the
# CDF need for a deviation of $2^{-24}$? Enumerating all the numbers is cheaper than either.

# %%
draws = torch.rand(100_000, generator=torch.Generator().manual_seed(5))
assert bool((draws * 2**24 == (draws * 2**24).round()).all())  # every draw is a multiple of 2^-24
print(f"draws to meet u = 0 with probability 99 %: {math.log(0.01) / math.log1p(-(2.0**-24)):,.0f}")
print(f"draws to see a deviation of 2^-24 in the CDF: {sample_size_for(2**-24):.1e}")

every_u = torch.arange(2**24, dtype=torch.float32) / 2**24
naive = -torch.log(-torch.log(every_u))
broken = every_u[~naive.isfinite()]
print(f"not finite: {len(broken)} of {len(naive)}, at u = {broken.tolist()}")
assert bool(noise.gumbel_from_uniform(every_u).isfinite().all())

half_a_step = noise.gumbel_from_uniform(torch.tensor(2.0**-25))  # what noise.uniform returns in place of 0
claim("01.lowest", half_a_step, -math.log(25 * math.log(2)), 0.0005, "closed form: -ln(25 ln 2)")
claim("01.highest", naive[-1], 24 * math.log(2), 0.0005, "closed form: 24 ln 2")
claim("01.gap", naive[-1] - naive[-2], math.log(2), 0.0005, "closed form: ln 2 between the two largest")

# %% [markdown]
# One number of the $2^{24}$ breaks the naive formula. Sampling would need 77 million draws to meet it, and
# more than $10^{15}$ to see a finite error of that size. The library moves that one uniform to half a step,
# so its float32 noise lies between -2.85 and 16.64.
#
# **The tails are cut.** Just below 1, float32 holds multiples of $2^{-24}$, float16 of $2^{-11}$ and
# bfloat16 of $2^{-8}$. On the Gumbel scale these are far apart: the two largest float32 values differ by
# 0.69, and nothing lies beyond. What is left of the right tail in each format?

# %%
x = torch.linspace(0, 20, 401, dtype=torch.float64)
tails = {"exact": -torch.expm1(-torch.exp(-x))}
for name, bits in (("float32", 24), ("float16", 11), ("bfloat16", 8)):
    values = -torch.log(-torch.log(torch.arange(2**bits, dtype=torch.float64) / 2**bits))
    tails[name] = 1 - torch.searchsorted(values, x, right=True) / 2**bits  # share of values above x
    claim(f"01.highest_{name}", values[-1], bits * math.log(2), 2.0**-bits, "series: bits * ln 2")

fig, ax = plt.subplots()
for (name, tail), colour in zip(tails.items(), ("black", *plot.PALETTE), strict=False):
    seen = tail > 0
    ax.semilogy(x[seen], tail[seen], color=colour, drawstyle="default" if name == "exact" else "steps-post")
    if name != "exact":
        ax.vlines(x[seen][-1], 1e-9, tail[seen][-1], color=colour, linestyle="dotted")
        side = "left" if name == "float16" else "right"
        ax.text(float(x[seen][-1]), 2e-9, f" {name} ", color=colour, ha=side)
ax.annotate("exact", (17.7, 4e-8))
ax.set(xlabel=r"$x$", ylabel=r"$P(\epsilon > x)$", xlim=(0, 20), ylim=(1e-9, 1.5))
alt = "The exact tail is a straight line on a log axis. Staircases follow it and stop: bfloat16 at 5.5, "
plot.show(fig, "01_float_tails", alt + "float16 at 7.6, float32 at 16.6.", {"x": x, **tails})

# %% [markdown]
# Each staircase follows the exact tail and then drops to zero: at 5.54 for bfloat16, 7.62 for float16 and
# 16.64 for float32. In bfloat16 the last step holds one draw in 256. So the library draws half-precision
# noise in float32 and rounds it afterwards.
#
# **The cure makes new values.** Public code often writes $-\ln(-\ln(u + \delta) + \delta)$ with a tiny
# $\delta$. We enumerate again, and add $u = 1$, which generators of the half-open interval $(0, 1]$ return.
# We also look at `torch.distributions.Gumbel`, whose uniform is $a + u\,(b - a)$ with $a$ the smallest
# normal number and $b = 1 - 2^{-23}$.


# %%
def patched(u, delta):
    return -torch.log(-torch.log(u + delta) + delta)


ends = torch.tensor([0.0, 1.0])
print(" delta    at u = 0    smallest    largest    at u = 1    (float32)")
for delta in (1e-20, 1e-10, 1e-7, 1e-6):
    values, (at_zero, at_one) = patched(every_u[1:], delta), patched(ends, delta)
    print(f"{delta:6.0e}  {at_zero:10.4f}  {values.min():10.4f}  {values.max():10.4f}  {at_one:10.4f}")
print("float16, delta 1e-20, u = 0 and 1:", patched(ends.half(), 1e-20))
at_zero, at_one = patched(ends, 1e-20)
claim("01.at_zero", at_zero, -math.log(20 * math.log(10)), 0.0005, "closed form: -ln(20 ln 10)")
claim("01.at_one", at_one, 20 * math.log(10), 0.0005, "closed form: 20 ln 10")

base = torch.distributions.Gumbel(torch.tensor(0.0), torch.tensor(1.0)).base_dist
torch_gumbel = -torch.log(-torch.log(base.low + every_u * (base.high - base.low)))
low, high, bound = torch_gumbel.min(), torch_gumbel.max(), -torch.log(-torch.log(base.high))
claim("01.torch_lowest", low, -math.log(126 * math.log(2)), 0.0005, "closed form: -ln(126 ln 2)")
claim("01.torch_highest", high, -math.log(3 * 2**-24), 0.0005, "closed form: 24 ln 2 - ln 3")
claim("01.torch_bound", bound, 23 * math.log(2), 0.0005, "closed form: 23 ln 2")

# %% [markdown]
# With $\delta = 10^{-20}$ the float32 values stay finite, but the two at the ends are inventions. At
# $u = 0$ the formula returns -3.83; true Gumbel noise falls below that with probability $10^{-20}$. At
# $u = 1$ it returns 46.05; true noise exceeds that with the same probability. In float16 this $\delta$ is
# rounded to 0 and both ends are infinite. A larger $\delta$ bends the right tail as well: at $10^{-7}$ its
# largest value is too small and $u = 1$ is not a number.
#
# PyTorch's class is finite. Its lowest value is -4.47. The bound $b$ would allow 15.94, but the product
# $u\,(b - a)$ is smaller than $b$, and the largest value it returns is 15.54.
#
# ## Exercises
#
# **Exercise 1.** Write `gumbel_by_waiting(u)`: turn $u$ into an exponential waiting time $E$ by inverting
# *its* CDF $1 - e^{-t}$, then return $-\ln E$. Done when `continuous_fit` accepts 120,195 values against
# `density.gumbel_cdf`.


# %% tags=["solution"]
# Solution 1
def gumbel_by_waiting(u):
    """P(-ln E <= x) = P(E >= exp(-x)) = exp(-exp(-x)): the Gumbel CDF."""
    return -torch.log(-torch.log1p(-u))


u = noise.uniform(120_195, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
fit = continuous_fit(gumbel_by_waiting(u), density.gumbel_cdf)
assert not fit.rejected
print(fit)

# %% [markdown]
# **Exercise 2.** Someone replaces Gumbel noise by normal noise of the same mean and variance. Write
# `worst_gap()`: the largest distance between the two CDFs, on a grid. Then use `sample_size_for` to find a
# sufficient number of samples at a false-alarm rate of $10^{-3}$. Done when `worst_gap()` is $0.0707$ to
# four digits and `continuous_fit` rejects that many normal samples, drawn as
# `mean + std * torch.special.ndtri(u)`.


# %% tags=["solution"]
# Solution 2
MEAN, STD = EULER, math.pi / math.sqrt(6)


def worst_gap():
    x = torch.linspace(-4, 8, 100_001, dtype=torch.float64)
    normal_cdf = torch.special.ndtr((x - MEAN) / STD)
    return float((normal_cdf - density.gumbel_cdf(x)).abs().max())


enough = sample_size_for(worst_gap(), false_alarm=1e-3)
u = noise.uniform(enough, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
fit = continuous_fit(MEAN + STD * torch.special.ndtri(u), density.gumbel_cdf, false_alarm=1e-3)
assert round(worst_gap(), 4) == 0.0707
assert fit.rejected
print(f"largest gap {worst_gap():.4f}")
print(fit)

# %% [markdown]
# **Exercise 3.** The largest of $m$ independent standard Gumbel variables has the CDF $\exp(-e^{-x})^m$.
# Show on paper that this is a Gumbel CDF with scale 1, and find its location. Write
# `location_of_maximum(m)`. Done when `continuous_fit` accepts the row maxima of 20,000 rows of $m = 50$
# draws, and the mean of the maxima is your location plus $\gamma$ within five standard errors.


# %% tags=["solution"]
# Solution 3
def location_of_maximum(m):
    """exp(-m exp(-x)) = exp(-exp(-(x - ln m))): the location is ln m."""
    return math.log(m)


rows, m = 20_000, 50
sample = noise.gumbel((rows, m), generator=torch.Generator().manual_seed(8), dtype=torch.float64)
largest = sample.amax(-1)  # (rows,)
fit = continuous_fit(largest, lambda x: density.gumbel_cdf(x, loc=location_of_maximum(m)))
assert not fit.rejected
print(fit)
five_errors = 5 * math.pi / math.sqrt(6 * rows)
expected = location_of_maximum(m) + EULER
claim("01.max_of_50", largest.mean(), expected, five_errors, "closed form: ln 50 + gamma")

# %% [markdown]
# ## What you can now do
#
# - You can tell density from CDF: the article prints the CDF for the density. The area under it up to $c$
#   grows like $c - \gamma$, so it is no density.
# - You have derived $\epsilon = \mu - \beta\ln(-\ln u)$ by inverting the CDF.
# - You have seen the Gumbel distribution appear as the limit of maxima, and checked its mean, median and
#   variance for a location and a scale.
# - You have checked a sampler with a stated false-alarm rate and a smallest detectable deviation.
# - You have enumerated every float32 uniform, and you know where each format cuts the tail.
#
# ## References
#
# - D. Stutz, *Categorical Variational Auto-Encoders and the Gumbel Trick* (the article): the Definition and
#   the formula above Eq. (1).
# - E. J. Gumbel, *Statistical Theory of Extreme Values and Some Practical Applications*, National Bureau of
#   Standards, 1954.
# - A. Dvoretzky, J. Kiefer, J. Wolfowitz, *Asymptotic minimax character of the sample distribution
#   function*, Annals of Mathematical Statistics 27, 1956; constant by P. Massart, Annals of Probability
#   18, 1990.
# - E. Jang, S. Gu, B. Poole, *Categorical Reparameterization with Gumbel-Softmax*, arXiv:1611.01144, 2016.
# - C. J. Maddison, A. Mnih, Y. W. Teh, *The Concrete Distribution*, arXiv:1611.00712, 2016.
