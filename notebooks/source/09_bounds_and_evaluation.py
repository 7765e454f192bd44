# %% [markdown]
# # 09. Bounds and evaluation
#
# A trained model has half a dozen numbers in nats. This chapter says which of them is what, measures each one
# against the exact value on a model small enough to have one, and ends with a museum of common mistakes.
#
# *Minutes:* about 40 to read, 50 seconds to run on a laptop. *Hardware:* any laptop. *Before this:* chapters
# 00 to 06.
#
# After this chapter you can
#
# - compute $\ln p(x)$ exactly for a code of few bits, and say how far below it each bound lies;
# - predict the bias of the multi-sample bound, and say when the prediction holds;
# - name the errors of a reported number (bias, noise, choice of digits), and say which of them its error bar
#   shows;
# - say what the relaxed objective and the Concrete bound are bounds on, and what they are not;
# - catch eighteen common mistakes, each with a check of a line or two.

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
from dataclasses import replace
from itertools import product

import matplotlib.pyplot as plt
import torch
from scipy.integrate import quad
from torch.testing import assert_close

from catvae_lib import data, density, network, noise, profiles, sampling
from catvae_lib.classroom import plot
from catvae_lib.classroom.claims import claim
from catvae_lib.classroom.stats import categorical_fit, standard_error
from catvae_lib.latent import BernoulliLatent
from catvae_lib.schedules import TemperatureSchedule
from catvae_lib.training import TrainConfig, fit
from catvae_lib.vae import VAE

torch.set_default_dtype(torch.float64)
profile = profiles.current()  # how much work to do: smoke, cpu or gpu

# %% [markdown]
# ## The question
#
# Chapter 06 told three numbers apart and reported one, the multi-sample bound. How far below $\ln p(x)$ is
# it? With 200 bits nobody can say, because $\ln p(x)$ is a sum over $2^{200}$ codes. With ten bits it is a
# sum over 1024, and every number can be held against the truth.
#
# ## The formula
#
# For an image $x$ and a code $z$ drawn from the encoder's $q(z|x)$, let
# $w(z) = p(x|z)\, p(z) / q(z|x)$. Its mean is $\mathbb{E}_q[w] = \sum_z p(x|z)\,p(z) = p(x)$, exactly. Every
# bound of this book is a way to put a logarithm around that mean.
#
# | name | codes | formula (higher is better) | what it is |
# |---|---|---|---|
# | exact | all $2^Q$ | $\ln \sum_z p(x\mid z)\,p(z)$ | $\ln p(x)$ |
# | ELBO | hard, exact mean | $\mathbb{E}_q[\ln w]$ | at most $\ln p(x)$ |
# | single-sample bound | one hard code | $\ln w$ | the ELBO, on average |
# | multi-sample bound | $S$ hard codes | $L_S = \ln \frac1S \sum_s w_s$ | at most $\ln p(x)$, on average |
# | relaxed objective | relaxed | $\mathbb{E}[\ln p(x\mid z_\lambda)] - \mathrm{KL}(q\,\Vert\,p)$ | no bound |
# | Concrete bound | relaxed | $\mathbb{E}[\ln w_{\lambda,\rho}]$ | a bound for another model |
#
# The relaxed objective is minus the article's loss, and Eq. 22 of [Maddison et al. 2016]: relaxed samples,
# but the KL of the hard ones. The Concrete bound is their Eq. 20. There the weight has the densities of the
# relaxed bits on both sides, with a temperature $\lambda$ for $q$ and another, $\rho$, for the prior:
# $w_{\lambda,\rho} = p(x|z_\lambda)\, p_\rho(z_\lambda) / q_\lambda(z_\lambda)$. It bounds $\ln p(x)$ of
# *another* model, whose codes are drawn from the relaxed prior.
#
# ## The models
#
# Two models of the digits, trained by the recipe of chapter 06 but briefly: one with ten bits, one with 200.
# After training everything is computed in float64. The next cell trains both.
#
# ## By hand
#
# The cell after it lists the 1024 codes and decodes each of them once. For a pixel with logit $\ell$,
# $\ln p(x|z)$ is $x\ell - \ln(1 + e^\ell)$, so one matrix product gives all codes for all digits.
#
# Two things should come out. The library's `log_weight` must be the same table. And the ELBO must miss
# $\ln p(x)$ by $\mathrm{KL}(q(z|x)\,\|\,p(z|x))$, as chapter 00 says.


# %%
def trained(bits, encoder, decoder):
    """A Bernoulli VAE of the digits with these hidden layers, after one epoch in the cpu profile."""
    torch.manual_seed(0)
    networks = network.mlp(784, encoder, bits), network.mlp(bits, decoder, 784)
    vae = VAE(networks[0], BernoulliLatent(bits), networks[1]).to(profile.device, profile.dtype)
    network.start_at_data_mean(vae.decoder, digits.train.images)
    epochs = max(1, profile.epochs // 4)
    fit(vae, digits, TrainConfig(epochs, learning_rate=7e-3, track_images=100, track_samples=10))
    return vae.cpu().double()


def seeded(seed):
    return torch.Generator().manual_seed(seed)


digits = data.load("binarized-mnist").to(profile.device, profile.dtype)
digits = replace(digits, train=digits.train.first(profile.train_images))  # all, but in a smoke test
small, large = trained(10, [100], [100]), trained(200, [300], [150, 300])
x = digits.test.images[:100].cpu().double()  # (B, D) = (100, 784)

# %%
codes = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 10)  # (C, Q) = (1024, 10)
with torch.no_grad():
    pixels, params = small.decode(codes), small.encode(x)
    log_likelihood = x @ pixels.mT - torch.nn.functional.softplus(pixels).sum(-1)  # (B, C)
    log_joint = log_likelihood - 10 * math.log(2)  # ln p(x given z) + ln p(z)
    log_q = density.bernoulli_log_prob(codes, params[:, None]).sum(-1)  # (B, C)
    log_w = log_joint - log_q
    by_library = small.log_weight(x[:9], codes[:, None].expand(-1, 9, -1), params[:9])  # (C, 9)
log_p = torch.logsumexp(log_joint, -1)  # (B,): exact
q = log_q.exp()
elbo = (q * log_w).sum(-1)
to_posterior = (q * (log_q - (log_joint - log_p[:, None]))).sum(-1)  # KL(q || posterior)

assert_close(by_library.mT, log_w[:9])
assert_close(torch.logsumexp(log_q + log_w, -1), log_p)  # the mean of w is p(x)
claim("09.identity", (log_p - elbo - to_posterior).abs().max(), 0, 1e-9, "chapter 00: what Jensen loses")
claim("09.elbo_below", (elbo - log_p).max(), 0, 0, "Jensen's inequality, 100 digits", relation="<=")
print(f"mean over 100 digits: exact {log_p.mean():.2f}, ELBO {elbo.mean():.2f} nats")

# %% [markdown]
# Ten bits are few, and $-\ln p(x)$ is large. That does not matter here: what matters is that it is known.
#
# ## The bound rises
#
# The multi-sample bound, also called importance weighted bound or IWAE, has two properties. Its mean never
# falls when $S$ grows, and never exceeds $\ln p(x)$ [Burda et al. 2016, theorem 1]. And for large $S$ what is
# missing is known [Nowozin 2018], from a Taylor expansion of the logarithm around $p(x)$ (the *delta
# method*):
#
# $$\mathbb{E}[L_S] \approx \ln p(x) - \frac{\mathrm{Var}(w)}{2 S\, p(x)^2}.$$
#
# The relative variance $\mathrm{Var}(w)/p(x)^2 = \mathbb{E}_q[w^2]/p(x)^2 - 1$ is a sum over the 1024 codes.
# To compare, we need $\mathbb{E}[L_S]$ without sampling noise. It has an exact form. For every positive $a$,
#
# $$\ln a = \int_0^\infty \frac{e^{-t} - e^{-t a}}{t}\, dt .$$
#
# Put $a = \frac1S \sum_s w_s / p(x)$ and take the mean on both sides. The $S$ codes are independent, so the
# mean of $e^{-ta}$ is a power of one sum over the codes. With $t = e^y$,
#
# $$\mathbb{E}[L_S] - \ln p(x) = \int_{-\infty}^{\infty} \Big( e^{-e^y} -
# \Big[\sum_z q(z|x)\, e^{-e^y w(z) / (S p(x))}\Big]^S\, \Big)\, dy .$$
#
# The bracket is one line of the cell (written as $1 + \sum_z q\,(e^{\ldots} - 1)$, which is the same and
# rounds less), and the integral is a sum over a grid of $y$. For $S = 1$ it must be the ELBO.

# %%
sizes = [1, 3, 10, 30, 100, 300, 1000, 3000, 10_000]
step, y = 0.5, torch.arange(-40, 700, 0.5)  # (Y,)
ratio = (log_w - log_p[:, None]).exp()  # w / p(x), (B, C)


def expected_gap(size, digit):
    """E[L_S] - ln p(x) of one digit, exactly."""
    seen = q[digit] * ratio[digit].clamp(min=1) > 1e-12  # what neither q nor the posterior sees adds nothing
    bracket = 1 + torch.expm1(-torch.exp(y)[:, None] * ratio[digit, seen] / size) @ q[digit, seen]  # (Y,)
    return step * (torch.exp(-torch.exp(y)) - bracket**size).sum()


gap = torch.stack([torch.stack([expected_gap(size, b) for b in range(100)]) for size in sizes])  # (9, B)
variance = (q * ratio.square()).sum(-1) - 1  # Var(w) / p(x)^2
claim("09.elbo_again", (gap[0] - (elbo - log_p)).abs().max(), 0, 1e-6, "the enumerated ELBO")
claim("09.rises", gap.diff(dim=0).min(), 0, 0, "Burda et al. 2016, theorem 1", relation=">=", stable=False)
claim("09.below", gap.max(), 0, 0, "the mean bound is at most ln p(x)", relation="<=", stable=False)
typical, hard = variance.argsort()[50], gap[sizes.index(1000)].argmin()  # middling; the widest gap
for name, b in {"typical": typical, "hard": hard}.items():
    print(f"{name:8} digit: Var(w)/p(x)^2 = {variance[b]:.4g}, gaps", [f"{-g:.2g}" for g in gap[:, b]])

# %%
some, dots = (1, 10, 100), []
for size in some:
    bounds = small.bound(x.repeat(20, 1), size, generator=seeded(1)).reshape(20, 100)
    dots.append(float((log_p - bounds).mean()))
    errors = (bounds - log_p - gap[sizes.index(size)]).mean(1)  # (20,): one mean over the digits each
    claim(f"09.measured_{size}", errors.mean(), 0, 5 * standard_error(errors), "the integral above")
delta = variance / (2 * torch.tensor(sizes)[:, None])  # (9, B): the gap by the delta method
claim("09.delta", -gap[-1, typical] / delta[-1, typical], 1, 0.01, "Nowozin 2018: typical digit, S = 10,000")
pairs = {"a typical digit": (-gap[:, typical], delta[:, typical])}
pairs["mean of 100 digits"] = -gap.mean(1), delta.mean(1)
fig, axes = plt.subplots(1, 2, figsize=(9, 4), sharey=True)
for ax, (name, pair) in zip(axes, pairs.items(), strict=True):
    ax.loglog(sizes, pair[0], label="exact")
    ax.loglog(sizes, pair[1], "--", label="Var(w) / (2 S p²)")
    ax.set(xlabel="samples S", title=name, ylim=(3e-5, 300))
axes[1].plot(some, dots, "o", label="vae.bound")
axes[1].legend(loc="lower left")
axes[0].set_ylabel("ln p(x) minus the bound (nats)")
alt = "The gap falls with S. The delta method meets it from S = 30 for a typical digit, not for the mean."
plot.show(fig, "09_bias", alt, {"S": sizes, "dots": dots, "exact": -gap, "delta": delta})

# %% [markdown]
# Left, a typical digit: from a few tens of samples on the gap is the predicted one, a straight line of slope
# $-1$. Right, the mean over all digits: the prediction is far above the true gap, and crosses it at the end.
# That is no agreement: it is too high for some digits and too low for others. It holds for a digit only once
# $S$ is well above its relative variance, and for the hard digit that is never the case here.
#
# What makes a digit hard? Its encoder gives the best code almost no probability. Then $w$ is huge and rare,
# and a thousand draws may never meet it. A sum over 1024 codes would have been cheaper.
#
# ## One evaluation, and its errors
#
# The theorem is about the mean. A single evaluation of $L_S$ may lie *above* $\ln p(x)$. By how much? The
# mean of the weights has the expectation $p(x)$, so by Markov's inequality it exceeds $e^c\, p(x)$ with
# probability at most $e^{-c}$: $P(L_S > \ln p(x) + c) \le e^{-c}$.
#
# A mean over digits has three errors. *Bias:* the gap above, always downwards. *Noise:* other codes would
# have been drawn. *Choice of digits:* other test digits would have been easier or harder. The usual error bar
# (standard deviation over digits, divided by $\sqrt N$) holds the second and the third. It cannot see the
# first. The table below has all three, in nats, for the mean over our hundred digits.
#
# Bias comes with uneven weights. Their *effective sample size* (ESS), $(\sum_s w_s)^2 / \sum_s w_s^2$, is $S$
# for equal weights and 1 if one code has all the weight. For large $S$ it tends to
# $S / (1 + \mathrm{Var}(w)/p(x)^2)$, the number of the delta method again.


# %%
def blocks(log_weights, size):
    """Cut (n, B) log-weights into blocks: the bound of each, and its effective sample size, (n / size, B)."""
    cut = log_weights.unflatten(0, (-1, size))  # (n / size, size, B)
    total = torch.logsumexp(cut, 1)
    return total - math.log(size), (2 * total - torch.logsumexp(2 * cut, 1)).exp()


with torch.no_grad():
    drawn = small.latent.hard(params, small.noise(x, 10_000, generator=seeded(2)))  # (10000, B, Q)
index = (drawn @ 2.0 ** torch.arange(9, -1, -1)).long()  # (10000, B): which of the 1024 codes
small_weights = log_w.T.gather(0, index)  # (10000, B), looked up instead of decoded
one_heavy = torch.tensor([[0.0], [-torch.inf], [-torch.inf], [-torch.inf]])
for weights, expected in ((torch.zeros(4, 1), 4), (one_heavy, 1)):
    assert_close(blocks(weights, 4)[1], torch.full((1, 1), float(expected)))

# %%
print("    S   bias  noise  digits  above ln p   median ESS")
for size in (1, 10, 100, 1000):
    bounds, ess = blocks(small_weights, size)
    bias, above = gap[sizes.index(size)], (bounds > log_p).double().mean()
    errors = bounds.var(0).mean().sqrt() / 10, (log_p + bias).std() / 10  # of the mean of 100 digits
    print("{:5} {:6.2f} {:6.2f} {:7.2f} {:10.0%}".format(size, bias.mean(), *errors, above), end="")
    print(f"{ess.median():12.1f}")
    markov = (bounds > log_p + 2).double().mean()
    claim(f"09.markov_{size}", markov, math.exp(-2), 0, "Markov: 2 nats above and more", relation="<=")
share = blocks(small_weights, 10_000)[1][0, typical] / 10_000
claim("09.ess", share, 1 / (1 + variance[typical]), 0.02, "typical digit: ESS / S = 1 / (1 + Var(w) / p^2)")
ess = blocks(small_weights, 100)[1].median(0).values  # (B,): half of the evaluations show more than this
blind = torch.where(ess > 30, -gap[4], 0).argmax()  # of the digits with a good ESS, the one most in error
print(f"digit {int(blind)}: median ESS {ess[blind]:.0f} of 100 samples")
if profile.name != "smoke":
    claim("09.blind", -gap[4, blind], 1, 0, "nats of bias at S = 100, with a good ESS", relation=">=")

# %% [markdown]
# The bias falls with $S$, the noise as well, and the choice of digits stays: from $S = 10$ on it is the
# largest of the three. With the 10,000 test digits it would be ten times smaller. Two models are best
# compared on the *same* digits, by the mean of the differences, for then most of that error cancels.
#
# Nearly half of all single evaluations lie above $\ln p(x)$. They lie above it by little, and the others
# below it by much. So "a lower bound" is a statement about means.
#
# A small ESS is a warning: the bound is still rising. A large one proves nothing. For the digit in the last
# two lines half of the evaluations show a good ESS, and the bound is on average 9.88 nats too low. The code
# that matters was not drawn, and weights that were not drawn cannot look uneven.
#
# ## The real model
#
# Now 200 bits. There is no exact value to compare with, so we draw 10,000 codes for each of 32 digits, and
# cut the same codes into blocks of $S$. What can still be seen is the rise. In nested blocks it is certain,
# not only true on average: the logarithm of a mean is at least the mean of the logarithms.

# %%
few = digits.test.images[:32].cpu().double()
with torch.no_grad():
    few_params, generator = large.encode(few), seeded(3)
    passes = (large.latent.hard(few_params, large.noise(few, 100, generator=generator)) for _ in range(100))
    large_weights = torch.cat([large.log_weight(few, z, few_params) for z in passes])  # (10000, 32)

decades = [1, 10, 100, 1000, 10_000]
rise = torch.stack([blocks(large_weights, size)[0].mean() for size in decades])
steps_up = rise.diff()
print("    S    bound   rise   median ESS")
for i, size in enumerate(decades):
    more = f"{steps_up[i - 1]:6.2f}" if i else " " * 6
    print(f"{size:5} {rise[i]:8.2f} {more} {blocks(large_weights, size)[1].median():10.1f}")
for size, one in zip(decades[1:], steps_up, strict=True):
    claim(f"09.rise_{size}", one, 0, 0, "Jensen: nested blocks of the same codes", relation=">=")
mean_gap = gap[sizes.index(10) : sizes.index(1000) + 1 : 2].mean(1)  # the small model at S = 10, 100, 1000
first, second = mean_gap.diff()
guess = mean_gap[-1] + second**2 / (first - second)  # the rest of a geometric series
if profile.name == "cpu":  # after another training it may land below
    claim("09.guess", guess, 0, 0, "nats above the exact ln p(x), small model", relation=">=")

# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(9, 4))
left.semilogx(decades, rise, "o-")
left.set(xlabel="samples S", ylabel="nats per digit (higher is better)", title="Bound, 200 bits")
shares = {}
for name, weights, line, height in (
    ("10 bits", small_weights, "s-", 250),
    ("200 bits", large_weights, "o-", 9),
):
    shares[name] = [blocks(weights, size)[1].median() for size in decades]
    right.loglog(decades, shares[name], line)
    right.text(9000, height, name, ha="right", color=right.lines[-1].get_color())
right.loglog(decades, decades, ":", color="#555555")
right.text(60, 110, "ESS = S", color="#555555", ha="right")
right.set(xlabel="samples S", ylabel="median ESS", title="Effective samples")
alt = "Left: the bound of the 200-bit model rises at every step, in ever smaller steps. Right: the effective "
alt += "sample size of the 10-bit model keeps to a line below S; that of the 200-bit model stays below 20."
plot.show(fig, "09_rise", alt, {"S": decades, "bound": rise, **shares})

# %% [markdown]
# Left, each factor of ten still lifts the bound, by less than half of the step before. Right, 10,000 codes
# for a digit are worth a handful. The delta method's straight line has not begun, so there is nothing to
# extrapolate from.
#
# One could continue the steps as a geometric series. Where the truth is known we can try that: from $S =
# 10$, $100$ and $1000$ of the small model it lands 0.05 nats *above* $\ln p(x)$. An extrapolated number is
# a guess, not a bound. We report the bound, and with it $S$.
#
# ## Relaxed numbers
#
# Two numbers use relaxed codes. Which way do they err? Take the bit of chapter 05 with
# $\ln p(x|z) = -40\,(z - 0.5)^2$. Both codes give $-10$, so $\ln p(x) = -10$. Every number is an integral
# over one uniform variable, so a sum over 20,000 midpoints does for all.
#
# The first cell defines them, with Eq. 20 and Eq. 22 by hand. The second compares the Concrete bound with
# $\ln p$ of the relaxed model in 64 cases. The third goes back to the ten-bit model, with `vae.loss` and
# $\rho = 0.75\,\lambda$, the ratio that [Maddison et al. 2016] use for bits.


# %%
midpoints = noise.logistic_from_uniform((torch.arange(20_000) + 0.5) / 20_000)  # (S,)


def numbers(theta, temperature, rho):
    """Relaxed objective, Concrete bound, and ln p(x) of the relaxed model, by quadrature."""
    logit, prior_logit = torch.logit(torch.tensor(theta)), torch.tensor(0.0)
    logit_of_z = sampling.binary_concrete_logit(logit, midpoints, temperature)
    log_likelihood = -40 * (torch.sigmoid(logit_of_z) - 0.5) ** 2
    log_ratio = density.binary_concrete_log_density(logit_of_z, logit, temperature)
    log_ratio = log_ratio - density.binary_concrete_log_density(logit_of_z, prior_logit, rho)
    relaxed = log_likelihood.mean() - density.bernoulli_kl(logit)  # Eq. 22: analytic KL of the hard bit
    from_prior = sampling.binary_concrete(prior_logit, midpoints, rho)
    log_p_relaxed = torch.exp(-40 * (from_prior - 0.5) ** 2).mean().log()
    return relaxed, (log_likelihood - log_ratio).mean(), log_p_relaxed


tenth = -5 * quad(lambda v: (math.tanh(5 * v) / math.cosh(v / 2)) ** 2, 0, 60)[0]
for temperature, expected in ((1.0, -10 / 3), (0.5, 10 - 5 * math.pi), (0.1, tenth)):
    claim(f"09.slip_{temperature}", numbers(0.5, temperature, 1.0)[0], expected, 0.0005, "article's slip 7")

# %%
print("theta  lambda    rho  relaxed objective  Concrete bound  ln p, relaxed model  ln p(x)")
for case in [(0.5, 2 / 3, 1 / 2), (0.9, 2 / 3, 1 / 2), (0.5, 0.1, 0.075), (0.9, 0.1, 0.075)]:
    print("{:5.1f} {:7.3f} {:6.3f} {:18.3f} {:15.3f} {:20.3f}      -10".format(*case, *numbers(*case)))
cases = [
    numbers(*case) for case in product((0.02, 0.1, 0.5, 0.9), (0.1, 0.3, 1.0, 2.0), (0.1, 0.5, 1.0, 2.0))
]
highest = max(bound - log_p_relaxed for _, bound, log_p_relaxed in cases)
claim("09.concrete", highest, 0, 0, "a bound for the relaxed model, 64 cases", relation="<=")
hard_price = density.bernoulli_kl(torch.tensor(math.log(9)))
relaxed, bound, _ = numbers(0.9, 0.5, 0.5)
claim("09.grey_price", relaxed - bound + hard_price, 1.25 * math.log(9) - 2, 0.002, "l coth(l / 2) - 2")
claim("09.hard_price", hard_price, math.log(2 * 0.1**0.1 * 0.9**0.9), 0.0005, "closed form: ln 2 - H(0.1)")


# %%
temperatures, soft, of_density = [2.0, 1.0, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05], [], []
with torch.no_grad():
    common = small.noise(x, 100, generator=seeded(4))
    for t in temperatures:
        grey = small.loss(x, common, t, kl="concrete", prior_temperature=0.75 * t)
        soft.append(float(-(grey.reconstruction + small.latent.kl(params)).mean()))
        of_density.append(float(-grey.total.mean()))
    assert_close(soft[-1], float(-small.loss(x, common, t).total.mean()))
fig, ax = plt.subplots(figsize=(8, 4.8))
exact, hard_codes = [[float(number.mean())] * 8 for number in (log_p, elbo)]
lines = {"relaxed objective": soft, "exact ln p(x)": exact, "ELBO": hard_codes, "Concrete bound": of_density}
looks = {"o-": (plot.PALETTE[1], 1), "--": ("k", 7), "-.": (plot.PALETTE[2], 0), "s-": ("#555555", 1)}
for (name, line), (style, (colour, i)) in zip(lines.items(), looks.items(), strict=True):
    ax.semilogx(temperatures, line, style, color=colour)
    ax.text(temperatures[i], line[i] + 0.9, name, color=colour, ha="left" if i == 7 else "right")
ax.set(xlabel=r"temperature $\lambda$", ylabel="nats per digit (higher is better)")
alt = "The relaxed objective crosses the exact line near temperature 0.6; the Concrete bound lies far below."
plot.show(fig, "09_which_number", alt, {"temperature": temperatures, **lines})
if profile.name != "smoke":
    claim("09.crosses", soft[1] - exact[1], 0, 0, "above ln p(x) at temperature 1", relation=">=")

# %% [markdown]
# Ten bits, 100 test digits, exact lines dashed. At low temperature the relaxed objective is near the ELBO.
# At temperature 1 it lies *above* the exact $\ln p(x)$, on average over 100 digits: the decoder is fed grey
# codes, which say more than bits can. More samples would not reveal it, and with 200 bits there is no exact
# line to cross. On one bit with $\theta = 0.5$, where $\ln p(x) = -10$, it is -3.33, -5.71 and -9.01 at
# temperatures 1, $0.5$ and $0.1$.
#
# The Concrete bound never exceeds $\ln p$ of the *relaxed* model. That model is another one: its codes are
# grey, and on one bit its $\ln p$ is far above $-10$. So the Concrete bound may lie above $\ln p(x)$, too.
# In the picture it lies far below, because densities of grey bits cost more. The two curves are parallel:
# with $\rho/\lambda$ fixed, that price does not depend on the temperature. At equal temperatures the KL of
# one bit with logit $\ell$ is that of two logistic densities, $\ell\coth(\ell/2) - 2$, which grows without
# end where a hard bit costs at most $\ln 2$. At $\theta = 0.9$ it is 0.747 against 0.368. A model trained on
# the Concrete bound pays for every large logit. Neither number belongs in a table of test results.
#
# ## What could go wrong
#
# Here is a museum of mistakes. Nearly all have been seen in public code. They are easy to make, because none
# raises an error and most leave a training curve that looks healthy. Each exhibit has one number that gives
# it away; the table at the end has the check.
#
# **Room 1: the score.** Means where sums belong: two means give the KL a weight of $784/200$, one mean over
# the bits gives it $1/200$. Grey pixels scored as if they were bits. Relaxed codes at test. A bound with few
# samples compared with one of many.

# %%
# Room 1
ones = torch.ones(784, requires_grad=True), torch.ones(200, requires_grad=True)  # nats of a pixel, of a bit
a_pixel, a_bit = torch.autograd.grad(ones[0].mean() + ones[1].mean(), ones)
claim("09.two_means", a_bit[0] / a_pixel[0], 784 / 200, 1e-9, "weight of the KL; the loss has 1")
a_pixel, a_bit = torch.autograd.grad(ones[0].sum() + ones[1].mean(), ones)
claim("09.one_mean", a_bit[0] / a_pixel[0], 1 / 200, 1e-9, "weight of the KL; the loss has 1")

mass = quad(lambda v: 0.5**v * 0.5 ** (1 - v), 0, 1)[0]  # of a "Bernoulli density" over grey values
claim("09.grey_mass", mass, 0.5, 1e-9, "a density has mass 1; theta = 0.5")
grey = small.reconstruct(x)  # 100 pictures with grey pixels
perfect = density.bernoulli_log_prob(grey, torch.logit(grey)).sum(-1).mean()  # theta equals the pixel
entropy = torch.distributions.Bernoulli(grey).entropy().sum(-1).mean()
claim("09.grey_perfect", perfect, -entropy, 1e-3, "minus the pixels' entropy, for a perfect prediction")

with torch.no_grad():
    common = large.noise(few, 50, generator=seeded(5))
    flattery = large.loss(few, common, sample="straight_through").total - large.loss(few, common, 0.5).total
claim("09.relaxed_at_test", flattery.mean(), 0, 0, "nats gained, temperature 0.5", relation=">=")
claim("09.few_samples", rise[3] - rise[0], 0, 0, "nats between S = 1 and S = 1000", relation=">=")

# %% [markdown]
# Two means weigh the KL 3.92 times (chapter 05), one mean makes it nearly free. A Bernoulli "density" over
# grey values has mass 0.5 at $\theta = 0.5$, so its logarithm is no log-likelihood; and a perfect prediction
# of a grey picture is charged the entropy of its pixels, where a perfect prediction of bits costs nothing.
# The two protocols do not compare.
#
# **Room 2: the sample.** One softmax over all $N K$ logits. Gaussian noise decoded as a sample of a
# categorical prior. One noise vector for the whole batch. A one-hot code made by comparing with the maximum,
# when there are ties. The public formula for Gumbel noise, with its tiny $\delta$, in half precision.
#
# Two more hide in a short function that is often copied, with the arguments `logits`, `temperature` and
# `eps`: a call that passes the temperature as `eps`, and noise that is divided by the temperature before the
# logits are added. Both return clean relaxed codes that sum to 1. Only their argmax betrays them (chapter
# 02). The last of the three samplers below is right.
#
# **Room 3: the KL and the loop.** A KL with the wrong sign. A KL with $q\,(\ln q - p)$, the logarithm of the
# prior forgotten. A ReLU on the logits. A forgotten `zero_grad`. Gradients clipped before there are any. A
# temperature schedule that starts anew in every epoch.

# %%
# Room 2
g = noise.gumbel((10_000, 10), generator=seeded(6))
flat = torch.softmax(g[:20].reshape(200) / 0.5, -1).reshape(20, 10)  # N = 20 variables, K = 10
claim("09.flat", flat.sum(-1).mean(), 1 / 20, 1e-9, "mass of a variable; it should be 1")
gaussian = torch.special.ndtri(noise.uniform((10_000, 10), generator=seeded(7)))
length = gaussian.square().sum(-1)
claim("09.gaussian", length.mean(), 10, 5 * standard_error(length), "K; a one-hot code has length 1")
shared = noise.logistic((10_000, 1), generator=seeded(8)).expand(-1, 100)  # one noise for 100 examples
own = noise.logistic((10_000, 100), generator=seeded(9))
for name, each, expected in (("shared", shared, 1 / 4), ("own", own, 1 / 400)):
    square = ((each > 0).double().mean(1) - 0.5).square()  # of the share of ones in a batch
    claim(f"09.noise_{name}", square.mean(), expected, 5 * standard_error(square), "variance of the share")
multi_hot = g.bfloat16() == g.bfloat16().max(-1, keepdim=True).values
ties = (multi_hot.sum(-1) > 1).double().mean()
claim("09.ties", ties, 0.001, 0, "share of codes with two ones, bfloat16", relation=">=")
every = (torch.arange(2**11) / 2**11).half()  # all the uniforms of float16
infinite = (-torch.log(-torch.log(every + 1e-20) + 1e-20)).isinf()
claim("09.half", infinite.double().mean(), 2**-11, 0, "share of infinite noise; it should be 0")
at_zero = -torch.log(-torch.log(torch.tensor(1e-20, dtype=torch.float32)))
claim("09.single", at_zero, -math.log(20 * math.log(10)), 0.0005, "u = 0 in float32: -ln(20 ln 10)")


# %%
def public_sampler(u, logits, temperature=1.0, eps=1e-20):
    gumbel = -torch.log(-torch.log(u + eps) + eps)
    return torch.softmax((logits + gumbel) / temperature, -1)


pi = torch.tensor([0.2, 0.3, 0.5])
u = noise.uniform((200_000, 3), generator=seeded(10))
exhibits = {"temperature as eps": public_sampler(u, pi.log(), eps=0.5)}
exhibits["noise divided first"] = torch.softmax(pi.log() + noise.gumbel_from_uniform(u) / 0.5, -1)
exhibits["as it should be"] = public_sampler(u, pi.log(), temperature=0.5)
for name, soft_codes in exhibits.items():
    fitted = categorical_fit(torch.bincount(soft_codes.argmax(-1)), pi)
    print(f"{name:20} largest sum of a code {soft_codes.sum(-1).max():.3f}, rejected: {fitted.rejected}")
third = [(soft_codes.argmax(-1) == 2).double() for soft_codes in exhibits.values()]  # its share should be 0.5
share = 0.5**0.5 / (0.2**0.5 + 0.3**0.5 + 0.5**0.5)  # the argmax follows pi^temperature
claim("09.divided", third[1].mean(), share, 5 * standard_error(third[1]), "square roots, normalized")
largest = -torch.log(0.5 - torch.log(u.max() + 0.5))
claim("09.as_eps", largest, -math.log(0.5 - math.log(1.5)), 0.001, "largest noise; it has no limit")
claim("09.as_eps_share", third[0].mean(), 0.5, 0, "pi_3 is 0.5", relation=">=")

# %%
# Room 3
certain = torch.full((200,), torch.inf)
claim("09.sign", -density.bernoulli_kl(certain).sum(), -200 * math.log(2), 1e-6, "a KL is never negative")
uniform = torch.full((10,), 0.1)
no_log = (uniform * (uniform.log() - 0.1)).sum()
claim("09.no_log", no_log, -math.log(10) - 0.1, 1e-6, "KL of the prior to itself; it should be 0")
theta = torch.sigmoid(torch.relu(few_params))
claim("09.relu", theta.min(), 0.5, 0, "smallest theta of 200 bits and 32 digits", relation=">=")
weight, gradients = torch.tensor(0.0, requires_grad=True), []
for _ in range(3):  # the same batch three times, no step, no zero_grad
    (weight - 1).square().backward()
    gradients.append(weight.grad.item())
claim("09.no_zero_grad", gradients[2] / gradients[0], 3, 0, "third gradient over the first; it should be 1")
weight.grad = None
torch.nn.utils.clip_grad_norm_([weight], max_norm=0.1)
(weight - 1).square().backward()
claim("09.clip", weight.grad.norm(), 2, 0, "norm at the step; it should be 0.1")
falling = TemperatureSchedule.exponential(start=1.0, floor=0.5, rate=3e-5)
claim("09.restarted", falling(4999 % 500), math.exp(-3e-5 * 499), 1e-9, "after 10 epochs of 500 steps")
claim("09.falling", falling(4999), math.exp(-3e-5 * 4999), 1e-9, "the same step, counted through")

# %% [markdown]
# The catalogue:
#
# | mistake | symptom | check |
# |---|---|---|
# | mean over pixels and bits | KL weighs 3.92 | two copies of image and code must double the loss |
# | mean over bits only | KL weighs 0.005 | the same |
# | grey pixels as bits | mass 0.5, not 1 | assert that pixels are 0 or 1 |
# | relaxed codes at test | 7.6 nats too good | assert that codes are 0 or 1 |
# | another $S$ | 16.7 nats between 1 and 1000 | print $S$ beside every bound |
# | softmax over $N K$ | a variable has mass 0.05 | sum over the last dimension |
# | Gaussian prior sample | squared length 10, not 1 | the same assertion as at test |
# | shared noise | variance 0.25 for 0.0025 | two rows with logits 0 in a batch: codes must differ |
# | ties | in bfloat16 a share of 0.0051 has two ones | sum over the last dimension, in that dtype |
# | $\delta$ in Gumbel noise | one in 2048 infinite (float16); -3.83 at $u = 0$ (float32) | try every $u$ |
# | temperature as `eps` | noise ends at 2.36 | test the argmax; make arguments keyword-only |
# | noise divided first | a share of 0.415 for $0.5$ | test the argmax at a temperature other than 1 |
# | sign of the KL | -138.6 nats | KL at least 0 for random logits |
# | no logarithm on the prior | -2.40 at the prior | KL is 0 at the prior |
# | ReLU on logits | no $\theta$ below 0.5 | look at the smallest $\theta$ |
# | no `zero_grad` | gradient grows to 3 times | same batch, same noise: same gradient |
# | clipping too early | norm 2 for $0.1$ | measure the norm just before the step |
# | schedule restarts | 0.985 for 0.861 | print the temperature at the last step |
#
# ## Questions readers ask
#
# **Which KL do I report?** For a test result none by itself: report the multi-sample bound, with hard codes,
# with $S$. If you split an ELBO into its parts, the analytic KL of the hard code is the one that belongs
# there.
#
# **Why is my ELBO better than the log-likelihood?** Three usual reasons: relaxed codes; a single evaluation,
# or few of them, so that it is noise; or a "log-likelihood" from another source: codes drawn from the prior,
# other digits, another binarization. With hard codes of the same encoder, on the same digits, it cannot be
# on average.
#
# **How many importance samples?** Multiply $S$ by ten. If the mean moves in a digit that you print, $S$ was
# too small. If it stays, that is a good sign and no proof: a code that was never drawn moves nothing. Name
# $S$ in both cases.
#
# **Grey or binarized?** Bernoulli pixels ask for bits. Fixed and dynamic binarization are two different data
# sets; say which one. Grey pixels ask for a density on grey values.
#
# **May I compare with Table 1 of [Jang et al. 2016]?** Only under its protocol: hard one-hot codes, 1000
# samples, fixed binarization. Even then your draw of the bits is another one, and so is the tuning.
#
# **Nats or bits per dimension?** Divide nats per digit by $784 \ln 2$, about 543, for bits per pixel. A
# difference of one nat is then invisible, so nats are the custom here.
#
# ## Exercises
#
# 1. *The jackknife.* The combination $S L_S - (S - 1) L_{S-1}$ cancels the term in $1/S$ of the bias
#    [Nowozin 2018]. Write `jackknife_gap(size, digit)` with `expected_gap`. Done when the typical digit's gap
#    at $S = 100$ shrinks at least tenfold. Then find out, over all digits, whether the result is
#    still a bound.
# 2. *A bound from above.* If codes come from the posterior $p(z|x)$ instead of $q$, the mean of $\ln w$ is at
#    *least* $\ln p(x)$. Compute it for the small model, where the posterior can be enumerated. Done when it
#    exceeds $\ln p(x)$ by $\mathrm{KL}(p(z|x)\,\|\,q(z|x))$ for each of 100 digits, to nine decimals.
# 3. *An inspector.* Write `audit(kl)` for a function from category logits `(..., K)` to a KL `(...)`. It
#    returns the list of the checks that fail: zero at the prior, never negative, $\ln K$ for a certain
#    category. Done when it passes `density.categorical_kl` and rejects the wrong sign, the forgotten
#    logarithm and a mean over categories.


# %% tags=["solution"]
# Solution 1
def jackknife_gap(size, digit):
    """E[S L_S - (S - 1) L_(S-1)] - ln p(x), exactly."""
    return size * expected_gap(size, digit) - (size - 1) * expected_gap(size - 1, digit)


shrinks = expected_gap(100, typical) / jackknife_gap(100, typical)
claim("09.exercise_1", shrinks.abs(), 10, 0, "the term in 1 / S is gone", relation=">=")
highest = max(jackknife_gap(10, b) for b in range(100))
if profile.name != "smoke":
    claim("09.exercise_1_sign", highest, 0, 0, "above ln p(x) on average: no bound", relation=">=")

# %% tags=["solution"]
# Solution 2: Jensen's inequality for 1 / w, whose mean under the posterior is 1 / p(x).
log_posterior = log_joint - log_p[:, None]
upper = (log_posterior.exp() * log_w).sum(-1)
from_above = (log_posterior.exp() * (log_posterior - log_q)).sum(-1)
claim("09.exercise_2", (upper - log_p - from_above).abs().max(), 0, 1e-9, "KL of the posterior to q")
claim("09.exercise_2_sign", (upper - log_p).min(), 0, 0, "a bound from above, 100 digits", relation=">=")


# %% tags=["solution"]
# Solution 3
def audit(kl):
    """The names of the checks that a KL of a categorical to the uniform prior fails."""
    certain = torch.tensor([40.0] + 9 * [0.0])
    random = 3 * noise.gumbel((1000, 10), generator=seeded(11))
    checks = {
        "zero at the prior": kl(torch.zeros(10)).abs() < 1e-9,
        "never negative": (kl(random) >= -1e-9).all(),
        "ln K if certain": (kl(certain) - math.log(10)).abs() < 1e-6,
    }
    return [name for name, holds in checks.items() if not holds]


right = density.categorical_kl
assert audit(right) == []
print("wrong sign:  ", audit(lambda logits: -right(logits)))
print("no logarithm:", audit(lambda a: (a.softmax(-1) * (a.log_softmax(-1) - 0.1)).sum(-1)))
print("mean:        ", audit(lambda logits: right(logits) / 10))

# %% [markdown]
# ## What you can now do
#
# - You have enumerated $\ln p(x)$ for a ten-bit model, and measured how far below it each bound lies.
# - You have computed the mean of the multi-sample bound exactly, seen it rise with every $S$, and found that
#   the delta method predicts its bias once $S$ is well above the relative variance of the weights.
# - You have set bias, noise and choice of digits side by side. An error bar shows the last two only, and a
#   good effective sample size does not exclude the first.
# - You have seen the relaxed objective above the exact $\ln p(x)$ on digits, and the Concrete bound obey the
#   $\ln p$ of another model.
# - You have gone through a museum of mistakes, and know a check for each.
#
# ## References
#
# - Y. Burda, R. Grosse, R. Salakhutdinov. Importance weighted autoencoders. ICLR 2016, arXiv:1509.00519.
# - S. Nowozin. Debiasing evidence approximations: on importance-weighted autoencoders and jackknife
#   variational inference. ICLR 2018.
# - C. J. Maddison, A. Mnih, Y. W. Teh. The Concrete distribution: a continuous relaxation of discrete random
#   variables. arXiv:1611.00712, 2016. Equations 20 and 22, and temperatures of prior and posterior.
# - E. Jang, S. Gu, B. Poole. Categorical reparameterization with Gumbel-softmax. arXiv:1611.01144, 2016.
