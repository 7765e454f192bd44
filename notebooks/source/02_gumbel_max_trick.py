# %% [markdown]
# # 02. The Gumbel-max trick
#
# Add Gumbel noise to log-probabilities and take the largest: the winner is a sample from the categorical
# distribution.
#
# *Minutes:* about 30 to read, seconds to run. *Hardware:* any laptop. *Before this:* chapter 01.
#
# After this chapter you can
#
# - sample a category with Eq. (1), from probabilities or from unnormalized logits;
# - prove that the trick is right, and say how the value of the maximum is distributed;
# - choose the sample size of an empirical check from the deviation it must see, and draw its power curve;
# - recognize wrong samplers, and say which of them a check on single draws cannot see;
# - draw several categories without replacement.

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
from itertools import permutations

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy import stats

from catvae_lib import density, noise, sampling
from catvae_lib.classroom import interactive, plot
from catvae_lib.classroom.claims import claim
from catvae_lib.classroom.stats import categorical_fit, continuous_fit, pair_counts, sample_size_for

torch.set_printoptions(precision=4)
EULER = np.euler_gamma  # the mean of standard Gumbel noise


def gumbel(shape, seed):
    return noise.gumbel(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# %% [markdown]
# ## The question
#
# A category takes the values $1, \dots, K$ with probabilities $\pi_1, \dots, \pi_K$. A sampler could walk
# along the cumulative sums until it passes a uniform number. That is a $g(\pi, u)$ too, but it needs
# probabilities that sum to 1, and which category a given $u$ picks depends on how they are numbered. Is
# there a sampler that adds noise to every log-probability, as the Gaussian one adds it to the mean?
#
# ## The formula
#
# Draw one standard Gumbel variable $\epsilon_k$ for each category. The article's Eq. (1) sets $z_k = 1$,
# and all others to 0, for
#
# $$k = \arg\max_{k} \left(\ln \pi_k + \epsilon_k\right).$$
#
# The numbers $\ln\pi_k$, or $\ln\pi_k + c$ with any constant $c$, are called logits. A constant added to
# all of them changes no winner, so they need not be normalized.
#
# ## By hand
#
# Four draws with $\pi = (0.2, 0.3, 0.5)$. The uniform numbers stand in the cell, so that you can follow
# each row.

# %%
pi = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
u = torch.tensor([[0.3, 0.6, 0.5], [0.9, 0.2, 0.4], [0.1, 0.7, 0.2], [0.5, 0.5, 0.5]], dtype=torch.float64)
eps = -torch.log(-torch.log(u))  # (4, 3)
perturbed = torch.log(pi) + eps  # (4, 3)
winner = perturbed.argmax(-1)  # (4,)
by_hand = torch.zeros_like(perturbed)
by_hand[torch.arange(4), winner] = 1
for noise_row, row, z in zip(eps.tolist(), perturbed.tolist(), by_hand.int().tolist(), strict=True):
    print("noise", *(f"{e:7.4f}" for e in noise_row), "  sum", *(f"{v:7.4f}" for v in row), "  z", z)

assert torch.equal(sampling.gumbel_max(torch.log(pi), eps), by_hand)
assert torch.equal(sampling.gumbel_max(torch.log(pi) + 7, eps), by_hand)  # unnormalized logits

# %% [markdown]
# ## The picture
#
# What do thirty draws look like? Each column below is one draw. Each category starts at its own $\ln\pi_k$
# and is moved by its noise.

# %%
perturbed = torch.log(pi) + gumbel((30, 3), seed=1)  # (30, 3)
winner = perturbed.argmax(-1)
draw = torch.arange(1, 31)
fig, ax = plt.subplots()
for k, colour in enumerate(plot.PALETTE[:3]):
    wins = winner == k
    ax.plot(draw, perturbed[:, k], "o", color=colour, markersize=4)
    ax.plot(draw[wins], perturbed[wins, k], "o", color=colour, markersize=11, fillstyle="none")
    label = f"category {k + 1}: {int(wins.sum())} wins"
    ax.annotate(label, (0.02 + 0.34 * k, 1.03), xycoords="axes fraction", color=colour)
ax.set(xlabel="draw", ylabel=r"$\ln\pi_k + \epsilon_k$ (nats)")
alt = "Thirty columns of three dots, one a category. The highest dot of each column is ringed. "
alt += "Category 3 is ringed most often."
plot.show(fig, "02_thirty_draws", alt, {"perturbed": perturbed, "winner": winner})
interactive.offer(interactive.gumbel_race)  # in JupyterLab: sliders

# %% [markdown]
# The ring marks the winner of each column. A category with a small probability starts low, and wins when
# its noise is large. That the three win 6, 9 and 15 times, exactly as expected, is luck.
#
# In JupyterLab a second picture has a slider for each logit. The noise stays: a moved logit moves all dots of
# its colour by the same amount, and only the draws in which it overtakes change their winner.
#
# ## Why it works
#
# **A race.** Gumbel noise is $\epsilon_k = -\ln E_k$ with $E_k = -\ln u_k$, an exponential waiting time.
# Then
#
# $$\arg\max_k\left(\ln\pi_k - \ln E_k\right) = \arg\min_k \frac{E_k}{\pi_k}.$$
#
# $E_k/\pi_k$ is the waiting time for a bus of line $k$ when $\pi_k$ such buses come per minute, at random
# times. Of all buses that come, a share $\pi_k$ belongs to line $k$. So the first one does with
# probability $\pi_k$.
#
# **A proof.** Let the weights be $w_k > 0$ with sum $W$; probabilities are $\pi_k = w_k/W$. Put
# $V_k = \ln w_k + \epsilon_k$.
#
# 1. $P(V_k \le v) = \exp(-e^{-(v - \ln w_k)}) = \exp(-w_k e^{-v})$. Its derivative, the density of $V_k$,
#    is $w_k e^{-v}\exp(-w_k e^{-v})$.
# 2. Category $k$ wins with value $v$ if $V_k = v$ and all others are below $v$. The others are independent,
#    so their CDFs multiply:
#
# $$w_k e^{-v} \exp\left(-w_k e^{-v}\right) \prod_{j \ne k} \exp\left(-w_j e^{-v}\right)
# = w_k e^{-v}\exp\left(-W e^{-v}\right).$$
#
# 3. Split off the probability: this is $\pi_k$ times $W e^{-v}\exp(-W e^{-v})$. The second factor is the
#    Gumbel density with location $\ln W$. Its integral is 1, so category $k$ wins with probability $\pi_k$.
#    That is Eq. (1).
# 4. The second factor does not contain $k$. So the value of the maximum is Gumbel with location
#    $\ln W = \ln\sum_k e^{\ln w_k}$, the log-sum-exp of the logits, and it is independent of who wins.
#
# The next cell checks step 3 by integrating the product in step 2, and step 4 with samples, each winner on
# its own.

# %%
weights = torch.tensor([2.0, 3.0, 5.0], dtype=torch.float64)  # W = 10
logits = weights.log()
v = torch.linspace(-8, 50, 100_001, dtype=torch.float64)
for k in range(3):
    below = [density.gumbel_cdf(v, loc=logits[j]) for j in range(3) if j != k]
    integrand = density.gumbel_log_density(v, loc=logits[k]).exp() * below[0] * below[1]
    claim(f"02.wins_{k + 1}", torch.trapezoid(integrand, v), pi[k], 1e-6, "closed form: w_k / W")

n = 200_000
value, winner = (logits + gumbel((n, 3), seed=2)).max(-1)
location = float(torch.logsumexp(logits, -1))
five_errors = 5 * math.pi / math.sqrt(6 * n)
claim("02.value", value.mean(), math.log(10) + EULER, five_errors, "closed form: ln 10 + gamma")
for k in range(3):
    fit = continuous_fit(value[winner == k], lambda x: density.gumbel_cdf(x, loc=location))
    assert not fit.rejected
    print(f"winner {k + 1}:", fit)

# %%
x = torch.linspace(-0.5, 8, 171, dtype=torch.float64)
shape = density.gumbel_log_density(x, loc=location).exp()
edges = np.arange(-0.5, 8.25, 0.25)
fig, ax = plt.subplots()
bars = [np.histogram(value[winner == k], bins=edges)[0] / (n * 0.25) for k in range(3)]
for k, colour in enumerate(plot.PALETTE[:3]):
    ax.stairs(bars[k], edges, fill=True, color=colour, alpha=0.3)
    ax.plot(x, pi[k] * shape, color=colour, label=f"category {k + 1} wins, $\\pi$ = {pi[k]:.1f}")
ax.axvline(location, color="black", linestyle="dotted")
ax.annotate(r"$\ln W$", (location - 0.1, 0.195), ha="right")
ax.legend(loc="upper right", reverse=True)
ax.set(xlabel=r"value of the maximum (nats)", ylabel="density, jointly with the winner", ylim=(0, 0.21))
alt = "Three histograms of the maximum, one for each winner, all peak at ln 10 = 2.30. "
alt += "They follow one Gumbel curve scaled by 0.2, 0.3 and 0.5."
plot.show(fig, "02_winner_and_value", alt, {"x": x, "shape": shape, "bars": bars})

# %% [markdown]
# The three histograms are one curve in three sizes. So the winning value, high or low, says nothing about
# who won.
#
# ## How many samples does a check need?
#
# A proof covers the formula. Code needs a check. Draw $n$ samples, count the categories, and compute
# Pearson's
#
# $$X^2 = \sum_{k=1}^K \frac{(n_k - n\pi_k)^2}{n\pi_k}.$$
#
# For a right sampler $X^2$ follows nearly a chi-squared distribution with $K - 1$ degrees of freedom. The
# check rejects when the probability of so large a value, the p-value, is at most the false-alarm rate
# $\alpha$. A check that accepts says little until we know its *power*: the probability that it rejects a
# sampler that is wrong by a stated amount.
#
# If the sampler's true probabilities are $q$, then $X^2$ is nearly *noncentral* chi-squared, with
# noncentrality $n \sum_k (q_k - \pi_k)^2/\pi_k$. So the power has a closed form. We compare it with
# repeated checks of a sampler that is wrong on purpose: $q = (0.22, 0.28, 0.5)$ in place of $\pi$, a
# deviation of $0.02$.

# %%
n = sample_size_for(0.01, pi, false_alarm=1e-3)
counts = sampling.gumbel_max(pi.log(), gumbel((n, 3), seed=3)).sum(0)
by_hand = float(((counts - n * pi) ** 2 / (n * pi)).sum())
fit = categorical_fit(counts, pi, false_alarm=1e-3)
torch.testing.assert_close(fit.statistic, by_hand)
torch.testing.assert_close(fit.p_value, float(stats.chi2.sf(by_hand, df=2)))
assert not fit.rejected
print(fit)
claim("02.detects", fit.smallest_deviation, 0.01, 0, "asked of the sample size", relation="<=")


# %%
def power(n, q, false_alarm=1e-3):
    noncentrality = n * ((q - pi) ** 2 / pi).sum()
    return stats.ncx2.sf(stats.chi2.isf(false_alarm, df=2), 2, noncentrality)


def rejections(n, q, repetitions, false_alarm=1e-3):
    """Share of checks against pi that reject n samples of q."""
    generator, rejected = torch.Generator().manual_seed(n), 0
    for _ in range(repetitions):
        eps = noise.gumbel((n, 3), generator=generator, dtype=torch.float64)
        counts = torch.bincount((q.log() + eps).argmax(-1), minlength=3)
        rejected += categorical_fit(counts, pi, false_alarm=false_alarm).rejected
    return rejected / repetitions


q = torch.tensor([0.22, 0.28, 0.50], dtype=torch.float64)
sizes, repeats = (1000, 2000, 4000, 8000), 400
simulated = [rejections(n, q, repeats) for n in sizes]

# %%
for n, share in zip(sizes, simulated, strict=True):
    error = math.sqrt(power(n, q) * (1 - power(n, q)) / repeats)
    claim(f"02.power_{n}", share, power(n, q), 5 * error, "closed form: noncentral chi-squared")
error = math.sqrt(0.05 * 0.95 / 2000)
claim("02.false_alarms", rejections(500, pi, 2000, 0.05), 0.05, 5 * error, "nominal rate of the check")

worst = torch.tensor([0.192, 0.288, 0.52], dtype=torch.float64)
enough = sample_size_for(0.02, pi, false_alarm=1e-3)
claim("02.power_enough", power(enough, worst), 0.99, 0, "asked of the sample size", relation=">=")
claim("02.power_other", power(enough, q), 0.99, 0, "asked of the sample size", relation=">=")

# %%
grid = np.geomspace(300, 300_000, 160)
curves = {"some": [float(power(n, q)) for n in grid], "worst": [float(power(n, worst)) for n in grid]}
fig, ax = plt.subplots()
ax.semilogx(grid, curves["some"], color=plot.PALETTE[0])
ax.semilogx(grid, curves["worst"], color=plot.PALETTE[1])
ax.plot(sizes, simulated, "o", color=plot.PALETTE[0])
ax.axvline(enough, color="black", linestyle="dotted")
ax.annotate("errors of\n+0.02, -0.02, 0", (2900, 0.62), color=plot.PALETTE[0], ha="right")
ax.annotate("errors of\n-0.008, -0.012, +0.02\n(hardest to see)", (27_000, 0.5), color=plot.PALETTE[1])
ax.annotate(f"n = {enough}", (enough * 1.05, 0.04))
ax.set(xlabel="number of samples $n$", ylabel="probability to reject", ylim=(-0.02, 1.05))
alt = "Two S-shaped power curves over the number of samples. Simulated dots lie on the left one. "
alt += "At the dotted line the right one has reached 0.99."
plot.show(
    fig, "02_power", alt, {"n": grid, **curves, "sizes": sizes, "simulated": simulated, "enough": enough}
)

# %% [markdown]
# The dots lie on the curve of the closed form. How many samples are enough depends on *where* the error
# is: the right curve needs about twice as many for the same largest deviation. It is the hardest case:
# the error sits on the category whose probability is nearest to one half, and the others share the rest
# in proportion to their probabilities, which makes the noncentrality smallest. `sample_size_for` covers
# this case, so that the power is at least 0.99 whatever the direction.
#
# ## Draws without replacement
#
# The winner is one sample. What about the runner-up? Think of the race: once the first bus has come, the
# others still wait, and exponential waiting times have no memory. The second to come is a draw from the
# remaining categories with their probabilities renormalized:
#
# $$P(\text{first } i, \text{ then } j) = \pi_i \, \frac{\pi_j}{1 - \pi_i}.$$
#
# So the $k$ largest perturbed logits are $k$ draws without replacement, in order (Kool, van Hoof and
# Welling; the distribution over orders is named after Plackett and Luce). With four categories and $k = 2$
# there are 12 ordered pairs. We list all of them.

# %%
rho = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
exact = torch.zeros(4, 4, dtype=torch.float64)
for i, j in permutations(range(4), 2):
    exact[i, j] = rho[i] * rho[j] / (1 - rho[i])
claim("02.pairs_sum", exact.sum(), 1, 1e-9, "closed form: probabilities sum to 1")

n = 100_000
eps = gumbel((n, 4), seed=4)
draws = sampling.gumbel_top_k(rho.log(), eps, k=2)  # (n, 2, 4)
by_hand = (rho.log() + eps).argsort(-1, descending=True)[:, :2]  # (n, 2)
assert torch.equal(draws.argmax(-1), by_hand)
assert torch.equal(draws[:, 0], sampling.gumbel_max(rho.log(), eps))  # the first is the Gumbel-max sample
print("ordered pairs:       ", categorical_fit(pair_counts(by_hand, 4), exact))
print("second alone:        ", categorical_fit(draws[:, 1].sum(0), exact.sum(0)))
print("second as if redrawn:", categorical_fit(draws[:, 1].sum(0), rho))
print("exact probabilities of the second:", exact.sum(0))

# %% [markdown]
# ## What could go wrong
#
# **The sampler is wrong.** Five mistakes, each one change away from the right line. Does the check see
# them? The sample size is that of a deviation of $0.02$. Look at the rows of $K = 2$ before you trust a
# test with two categories.


# %%
for p in (torch.tensor([0.3, 0.7], dtype=torch.float64), pi):
    n = sample_size_for(0.02, p)
    g = gumbel((n, len(p)), seed=5)
    normal = torch.special.ndtri(torch.exp(-torch.exp(-g)))  # Gumbel noise bent back to u, then to normal
    winners = {
        "right": (p.log() + g).argmax(-1),
        "normal noise": (p.log() + normal).argmax(-1),
        "noise with the sign flipped": (p.log() - g).argmax(-1),
        "probabilities passed as logits": (p + g).argmax(-1),
        "argmin in place of argmax": (p.log() + g).argmin(-1),
        "one noise for all categories": (p.log() + g[:, :1]).argmax(-1),
    }
    for name, winner in winners.items():
        counts = torch.bincount(winner, minlength=len(p))
        verdict = "rejected" if categorical_fit(counts, p).rejected else "accepted"
        print(f"K = {len(p)}  {name:31s} off by {float((counts / n - p).abs().max()):.3f}  {verdict}")

# %% [markdown]
# With two categories only the difference $\epsilon_1 - \epsilon_2$ matters. It is symmetric, so flipping
# the sign of the noise changes nothing: the accepted row at $K = 2$ is right. From $K = 3$ on it is
# wrong, unless all probabilities are equal. Test with at least three categories of unequal probability.
#
# **The noise is reused.** A common slip draws one row of noise and lets it broadcast over a batch. Then
# every single draw is right and the draws taken together are not. A check of single counts cannot see that;
# a check of pairs can.

# %%
n = 50_000
fresh, reused = gumbel((n, 2, 3), seed=7), gumbel((n, 1, 3), seed=8).expand(n, 2, 3)
same = {}
for name, eps in (("fresh ", fresh), ("reused", reused)):
    winner = sampling.gumbel_max(pi.log(), eps).argmax(-1)  # (n, 2): a batch of two, n times
    for place in range(2):
        fit = categorical_fit(torch.bincount(winner[:, place], minlength=3), pi)
        print(f"{name} draw {place + 1}: {fit}")
    print(f"{name} pairs:  {categorical_fit(pair_counts(winner, 3), torch.outer(pi, pi))}")
    same[name] = (winner[:, 0] == winner[:, 1]).double().mean()

five_errors = 5 * math.sqrt(0.38 * 0.62 / n)
claim("02.same_fresh", same["fresh "], (pi**2).sum(), five_errors, "closed form: sum of pi_k^2")
claim("02.same_reused", same["reused"], 1, 0, "one row of noise has one winner")

# %% [markdown]
# Two draws agree with probability $0.2^2 + 0.3^2 + 0.5^2 = 0.38$. With reused noise they always agree, and
# only the pairs tell.
#
# **Probability 0 meets the end of the interval.** The article does not exclude $\pi_k = 0$, but $\ln\pi_k$
# needs $\pi_k > 0$, or the convention $\ln 0 = -\infty$: a category with logit $-\infty$ never wins, as
# long as the noise is finite. A generator that can return $u = 1$ (chapter 01) makes the noise $+\infty$.
# Then the sum is not a number, and PyTorch's `argmax` takes NaN for the largest. So $u$ must come from the
# *open* interval.
#
# **Ties.** With real numbers two equal sums have probability 0. With rounded numbers they happen. Code that
# marks every entry equal to the maximum then returns two ones. And "a constant changes no winner" holds
# only as far as the digits reach.

# %%
gap = torch.tensor([0.5, 0.0, 0.5], dtype=torch.float64).log()
wins = sampling.gumbel_max(gap, gumbel((100_000, 3), seed=9)).sum(0)
print("logits", gap, " wins", wins)
at_one = -torch.log(-torch.log(torch.tensor([0.5, 1.0, 0.5], dtype=torch.float64)))
print("u = 1: sums", gap + at_one, " argmax takes category", int((gap + at_one).argmax()) + 1)

n = 100_000
eps = gumbel((n, 3), seed=8)
for shift in (0, 10, 100):
    rounded = (pi.log() + shift + eps).to(torch.bfloat16)
    ties = int(((rounded == rounded.amax(-1, keepdim=True)).sum(-1) > 1).sum())
    fit = categorical_fit(torch.bincount(rounded.argmax(-1), minlength=3), pi)
    verdict = "rejected" if fit.rejected else "accepted"
    print(f"bfloat16, logits + {shift:3d}: {ties:5d} of {n} rows tie; the first of the tied wins: {verdict}")
    unrounded = sampling.gumbel_max(pi.log() + shift, eps)
    assert torch.equal(unrounded, sampling.gumbel_max(pi.log(), eps))

# %% [markdown]
# The same shifts change no winner in float64 (the last line asserts it). In bfloat16 they do: near 100 its
# numbers are $0.5$ apart, many rows tie, and taking the first of the tied favours low categories. Keep
# logits centred, and do the comparison in float32 or better.
#
# ## Exercises
#
# **Exercise 1.** Write `race(weights, waiting)`: the one-hot winner of the race, from weights $(K,)$ and
# exponential waiting times $(n, K)$, without Gumbel noise. Done when it equals
# `sampling.gumbel_max(weights.log(), -waiting.log())` on 100,000 rows, exactly.


# %% tags=["solution"]
# Solution 1
def race(weights, waiting):
    """The first arrival: argmin of E_k / w_k."""
    arrival = waiting / weights
    return torch.nn.functional.one_hot(arrival.argmin(-1), len(weights)).to(arrival.dtype)


u = noise.uniform((100_000, 3), generator=torch.Generator().manual_seed(10), dtype=torch.float64)
waiting = -torch.log(u)
assert torch.equal(race(weights, waiting), sampling.gumbel_max(weights.log(), -waiting.log()))
print("100,000 equal winners;", categorical_fit(race(weights, waiting).sum(0), pi))

# %% [markdown]
# **Exercise 2.** With the sign flipped, the sampler takes $\arg\max_k (\ln\pi_k - \epsilon_k)$. Show that
# this is the *last* arrival in a race with weights $1/\pi_k$. Write `flipped(p)`: its exact probabilities,
# by listing all orders as in *Draws without replacement*. First check: `flipped` of $(0.3, 0.7)$ returns
# the same two numbers, and `categorical_fit` accepts 50,000 samples at $K = 3$ against it. Then find the
# largest deviation from $\pi$ and the number of samples that see it with power 99 %. Done when
# `sample_size_for` says 8,444.


# %% tags=["solution"]
# Solution 2: -epsilon = ln E, so the winner has the largest E_k / (1 / p_k).
def flipped(p):
    result = torch.zeros_like(p)
    for order in permutations(range(len(p))):
        left, probability = (1 / p).sum(), 1.0
        for k in order:
            probability, left = probability * (1 / p[k]) / left, left - 1 / p[k]
        result[order[-1]] += probability
    return result


two = torch.tensor([0.3, 0.7], dtype=torch.float64)
torch.testing.assert_close(flipped(two), two)
winner = (pi.log() - gumbel((50_000, 3), seed=11)).argmax(-1)
fit = categorical_fit(torch.bincount(winner, minlength=3), flipped(pi))
assert not fit.rejected
deviation = float((flipped(pi) - pi).abs().max())
assert sample_size_for(deviation, pi) == 8444
print("exact:", flipped(pi), f" largest deviation {deviation:.4f}")
print(fit)

# %% [markdown]
# **Exercise 3.** The value of the maximum knows the normalizer. Write
# `estimate_log_sum_exp(logits, n, generator)`: the mean of $n$ maxima, less Euler's constant. Done when,
# for the weights $1, \dots, 10$ and $n = 100{,}000$, it agrees with $\ln 55$ within five standard errors
# $\pi/\sqrt{6n}$ (here $\pi$ is the number).


# %% tags=["solution"]
# Solution 3
def estimate_log_sum_exp(logits, n, generator):
    eps = noise.gumbel((n, len(logits)), generator=generator, dtype=logits.dtype)
    return float((logits + eps).amax(-1).mean()) - EULER


n = 100_000
estimate = estimate_log_sum_exp(torch.arange(1.0, 11.0).double().log(), n, torch.Generator().manual_seed(12))
claim("02.log_sum_exp", estimate, math.log(55), 5 * math.pi / math.sqrt(6 * n), "closed form: ln 55")

# %% [markdown]
# ## What you can now do
#
# - You can sample a category as $\arg\max_k(\ln\pi_k + \epsilon_k)$, and know that a constant added to all
#   logits changes nothing.
# - You have proved it in four steps. The maximum is Gumbel, its location is the log-sum-exp of the logits,
#   and it is independent of the winner.
# - You can choose a sample size for a stated deviation and power, and you have drawn the power curve.
# - You have caught four wrong samplers at $K = 2$ and five at $K = 3$, and noise reused across a batch by
#   its pairs.
# - You can draw $k$ categories without replacement by taking the $k$ largest.
#
# ## References
#
# - D. Stutz, *Categorical Variational Auto-Encoders and the Gumbel Trick* (the article), Eq. (1).
# - C. J. Maddison, A. Mnih, Y. W. Teh, *The Concrete Distribution*, arXiv:1611.00712, 2016.
# - W. Kool, H. van Hoof, M. Welling, *Stochastic Beams and Where to Find Them: The Gumbel-Top-k Trick*,
#   arXiv:1903.06059, 2019.
# - R. L. Plackett, *The Analysis of Permutations*, Applied Statistics 24, 1975.
# - K. Pearson, *On the criterion that a given system of deviations ...*, Philosophical Magazine 50, 1900.
# - M. E. Ben-Akiva, S. R. Lerman, *Discrete Choice Analysis*, MIT Press, 1985.
