# %% [markdown]
# # 08. Gradient estimators
#
# A hard sample has no derivative, and yet there are a dozen ways to its gradient. This chapter measures all
# of them against the exact one.
#
# *Minutes:* about 40 to read, 50 seconds to run on a laptop. *Hardware:* any laptop. *Before this:* chapters
# 04 and 06.
#
# After this chapter you can
#
# - derive the score-function gradient and say what a baseline may see;
# - sort an estimator into its family, and say for which functions it is exact;
# - measure bias and variance against a gradient that is known, and tell a bias from noise;
# - choose an estimator for a model by bias, variance, and what a step costs.

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
import json
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import torch
from scipy import stats as scipy_stats
from torch.nn.functional import softplus

from catvae_lib import data, density, estimators, network, profiles, sampling
from catvae_lib.classroom import plot, stats
from catvae_lib.classroom.claims import claim
from catvae_lib.estimators import CATALOGUE
from catvae_lib.estimators.conditional import conditional, harden
from catvae_lib.latent import BernoulliLatent, CategoricalLatent
from catvae_lib.training import TrainConfig, fit
from catvae_lib.vae import VAE

profile, DOUBLE = profiles.current(), torch.float64

# %% [markdown]
# ## The question
#
# Let $z$ be a code drawn from $q(z)$, with logits that an encoder computed, and let $f(z)$ be any function of
# it: in a VAE, $-\ln p(x|z)$. Training needs
#
# $$g = \nabla\, \mathbb{E}_{q(z)}[f(z)] = \nabla \sum_z q(z)\, f(z)$$
#
# with respect to the logits. The sum runs over all codes: $2^{200}$ of them in chapter 06. So we must
# estimate it from a few samples. Which estimate do I trust, and at what price?
#
# ## The formula
#
# There are two ideas, and everything below is one of them or both.
#
# **Evaluate.** Because $\nabla q = q\, \nabla \ln q$,
#
# $$g = \mathbb{E}\left[f(z)\, \nabla \ln q(z)\right], \qquad
# \nabla_\text{logits} \ln q(z) = z - \mathbb{E}[z] .$$
#
# This is the *score-function* gradient, REINFORCE [Williams 1992]. It asks nothing of $f$ but its value, and
# it is *unbiased*: its mean is $g$ for every $f$.
#
# **Differentiate.** Put something smooth in the place of $z$, and let $f'$ tell the direction: the
# relaxation of chapter 04, straight-through and their kin. The gradient of $f$ says much more than its
# value. But the smooth thing is not $z$, and the mean is not $g$: these estimates are *biased*.
#
# ## By hand
#
# Three bits, and the toy function of several papers, $f(z) = \sum_i (z_i - t)^2$ with $t = 0.45$. Eight
# codes: we can enumerate. The library calls every estimator alike, `surrogate = estimator(latent, logits,
# noise, f, temperature)`; the gradient of the surrogate is the estimate.
#
# The first cell computes the exact gradient. The second makes one score-function estimate for each row of a
# batch, by hand and by the library: one call, $100{,}000$ independent estimates. Four numbers describe them,
# here and in the next sections. `z` (a z-score, not a code) is the largest deviation of their mean from the
# exact gradient $g$, in standard errors: up to 4 or so it is chance. `bias` is the length of that deviation,
# `chance` is what chance alone makes of it, and `std` is the standard deviation of a single estimate; these
# three are shares of $|g|$.

# %%
latent, t = BernoulliLatent(3), 0.45
logits = torch.tensor([[0.3, -1.2, 2.0]], dtype=DOUBLE)  # (B, Q) = (1, 3)


def f(z):
    """Sum of (z - t)^2: one value a code."""
    return (z - t).square().sum(-1)


theta = torch.sigmoid(logits[0]).requires_grad_()
expectation = torch.zeros((), dtype=DOUBLE)
for code in torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=DOUBLE)] * 3):
    expectation = expectation + (theta**code * (1 - theta) ** (1 - code)).prod() * f(code)
in_theta = torch.autograd.grad(expectation, theta)[0]
by_hand = in_theta * (theta * (1 - theta)).detach()  # the chain rule, d theta / d logit
exact = estimators.exact_gradient(latent, logits, f)[0]
torch.testing.assert_close(exact, by_hand)
closed_form = torch.sigmoid(logits[0]) * torch.sigmoid(-logits[0]) * (1 - 2 * t)
claim("08.exact", (exact - closed_form).abs().max(), 0, 1e-12, "theta (1 - theta) (f(1) - f(0))")
print("exact gradient:", [round(value, 4) for value in exact.tolist()])


# %%
def gradients(estimator, latent, logits, noise, f, temperature=0.5):
    """One estimate for each row of noise (S, B, ...): (B, num_parameters)."""
    rows = logits.expand(noise.shape[1], -1).clone().requires_grad_()
    return torch.autograd.grad(estimator(latent, rows, noise, f, temperature).sum(), rows)[0]


def describe(found, g):
    """Compare estimates (B, num_parameters) with the exact gradient g."""
    error = found.std(0) / math.sqrt(len(found)) + 1e-12
    off, spread = found.mean(0) - g, found.var(0).sum().sqrt()
    numbers = {"z": (off / error).abs().max(), "bias": off.norm() / g.norm()}
    numbers |= {"chance": error.norm() / g.norm(), "std": spread / g.norm()}
    return {key: float(value) for key, value in numbers.items()}


common = latent.noise(logits.expand(100_000, -1), 11, generator=torch.Generator().manual_seed(1))
z = sampling.bernoulli_threshold(logits, common[0])
many = gradients(estimators.score_function, latent, logits, common[:1], f)
torch.testing.assert_close(many, f(z)[:, None] * (z - torch.sigmoid(logits)))  # by hand
claim("08.score_function", describe(many, exact)["z"], 0, 5, "unbiased: within 5 standard errors")

# %% [markdown]
# ## What a baseline may see
#
# The mean is right, but one estimate is far from it. Since $\mathbb{E}[\nabla \ln q] = 0$, any constant $b$
# may be taken off $f$ without changing the mean:
#
# $$g = \mathbb{E}\left[(f(z) - b)\, \nabla \ln q(z)\right] .$$
#
# With $b$ near $\mathbb{E}[f]$ the variance usually falls. Four choices, in the order of what they know: a
# *moving average* of earlier values; *NVIL* [Mnih and Gregor 2014], a network that guesses $f$ from the
# example; *leave-one-out* [Kool et al. 2019], the mean of the other samples of the same example; and
# *MuProp* [Gu et al. 2016], which takes off the tangent of $f$ at the mean code and adds its gradient back.
#
# One rule binds them: **a baseline must not see its own sample**. "What could go wrong", below, shows what
# happens if it does. MuProp's tangent at $z$ does see it. That is allowed only because the mean of what it
# takes off is known, and is added back.
#
# ## Two codes from one noise
#
# For bits there is a better partner than an independent sample. With a uniform $u$ a bit, the code
# $z = 1_{u > \sigma(-l)}$ has a mirror image, $\tilde z = 1_{u < \sigma(l)}$, that tends to lie on the other
# side:
#
# $$\text{ARM:}\quad (f(z) - f(\tilde z))\,(u - \tfrac12), \qquad
# \text{DisARM:}\quad \tfrac12\,(f(z) - f(\tilde z))\,(z - \tilde z)\,\sigma(|l|) .$$
#
# ARM [Yin and Zhou 2019] is unbiased; DisARM [Dong et al. 2020; Yin et al. 2020] is ARM averaged over all
# $u$ that give the same two codes, so its variance is smaller. For categories there is ARSM [Yin, Yue and
# Zhou 2019], which swaps the noises of two categories; it takes $K(K-1)/2 + 1$ evaluations.
#
# **Local expectation** [Titsias and Lázaro-Gredilla 2015] sets each variable to all its values in turn, the
# others as drawn (chapter B). For our $f$, a sum over bits, one draw is exact. It costs one
# evaluation of the drawn code and one for each other value of each variable.
#
# ## A relaxed control variate
#
# *REBAR* [Tucker et al. 2017] uses the derivative and stays unbiased. Take $f$ of the *relaxed* code off,
# and add its gradient, which reparameterization gives, back. The relaxed code must depend on the same noise
# as $z$, or there is nothing to gain; and its score-function term must be taken *given* $z$, or there is
# nothing to subtract. So a second relaxed code $x_{|z}$ is made from fresh noise, drawn given that it leads
# to $z$. With $x$ the relaxed code of the noise that drew $z$ (not the picture), and a weight $\eta$:
#
# $$\left(f(z) - \eta f(x_{|z})\right) \nabla \ln q(z) + \eta \nabla f(x) - \eta \nabla f(x_{|z}) .$$
#
# For a bit with logit $l$ and logistic noise $v$, the perturbed logit given $z = 1$ is
# $\mathrm{softplus}(v + \mathrm{softplus}(l))$, which is positive whatever $v$ is. *RELAX* [Grathwohl et al.
# 2018] adds a learned network to the control variate. Two identities make it work. The code of $x_{|z}$ is
# $z$; and over all $z$ it has the distribution of $x$.

# %%
for name in ("arm", "disarm", "local_expectation"):
    row = describe(gradients(CATALOGUE[name].make(latent), latent, logits, common[:1], f), exact)
    claim(f"08.{name}", row["z"], 0, 5, "unbiased: within 5 standard errors")
    print(f"{name:18s} standard deviation of one estimate: {row['std']:.2f} |g|")

rows = logits.expand(100_000, -1)
z = latent.hard(rows, common[0])
given = conditional(latent, rows, z, common[1])  # perturbed logits, drawn given z
assert torch.equal(harden(latent, given), z)
by_hand = softplus(common[1] + softplus(rows))
torch.testing.assert_close(given[z == 1], by_hand[z == 1], rtol=1e-7, atol=1e-7)
law = stats.continuous_fit(given[:, 0], lambda x: density.logistic_cdf(x, float(logits[0, 0])))
print("given z, averaged over z:", law)

# %% [markdown]
# ## Through the code
#
# The others are biased. They evaluate $f$ once and differentiate it.
#
# - *Straight-through*, ST [Bengio et al. 2013]: $f'$ at the hard code, times
#   $\partial\,\mathbb{E}[z]/\partial l$.
# - *Gumbel-softmax* or *Concrete* [Jang et al. 2016; Maddison et al. 2016]: $f$ at the relaxed code (chapter
#   04).
# - *ST Gumbel-softmax* [Jang et al. 2016]: $f'$ at the hard code, times the derivative of the relaxed one.
# - *Gumbel-Rao* [Paulus et al. 2021]: that derivative, averaged over noises that give the same hard code.
#   The same mean, less variance.
# - *ReinMax* [Liu et al. 2023]: $f'$ at the hard code, times $2\,J(\pi_1) - \frac12\,J(\pi_0)$. Here $\pi_0$
#   are the probabilities, $\pi_1$ lies halfway between them and the code, and $J(\pi) =
#   \mathrm{diag}(\pi) - \pi\pi^\top$ is the derivative of a softmax whose value is $\pi$; for a bit,
#   $\pi(1 - \pi)$.
#
# For which $f$ are they exact? We ask three functions of three bits: one *multilinear* (linear in each bit),
# one *quadratic*, and one *neural*. The number is the largest deviation of the mean from the exact gradient
# over the three bits, in standard errors: below about 4 there is nothing to see. It says whether there is a
# bias, not how large: Gumbel-Rao has the bias of ST Gumbel-softmax, and a larger number because its standard
# error is smaller.

# %%
generator = torch.Generator().manual_seed(5)
matrix = torch.rand(3, 3, generator=generator, dtype=DOUBLE) - 0.4
torch.manual_seed(2)
net = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)).double()
net.requires_grad_(False)
FUNCTIONS = {
    "multilinear": lambda z: 2 * z[..., 0] * z[..., 1] - 3 * z[..., 1] * z[..., 2] + z[..., 0],
    "quadratic": lambda z: ((z @ matrix) * z).sum(-1),
    "neural": lambda z: 3 * net(z).squeeze(-1),
}
through = ["straight_through", "reinmax", "gumbel_softmax", "straight_through_gumbel_softmax", "gumbel_rao"]
best_at = {"straight_through": 1.0, "reinmax": 1.0}  # temperatures; the others 0.5
sound = [name for name, entry in CATALOGUE.items() if entry.unbiased.startswith("every")]
title = {name: entry.title for name, entry in CATALOGUE.items()}
diamonds = [title[name] for name in CATALOGUE if name not in sound]

# %%
print(f"{'':32s}" + "".join(f"{kind:>13s}" for kind in FUNCTIONS))
deviation = {}
for name in through:
    for kind, one in FUNCTIONS.items():
        draws, own = common[: min(CATALOGUE[name].draws, 11)], best_at.get(name, 0.5)
        found = gradients(CATALOGUE[name].make(latent), latent, logits, draws, one, own)
        deviation[name, kind] = describe(found, estimators.exact_gradient(latent, logits, one)[0])["z"]
    print(f"{name:32s}" + "".join(f"{deviation[name, kind]:13.1f}" for kind in FUNCTIONS))
for name, kind in (("straight_through", "multilinear"), ("reinmax", "multilinear"), ("reinmax", "quadratic")):
    claim(f"08.{name}.{kind}", deviation[name, kind], 0, 5, "exact for this class of functions")
for name, kind in (("straight_through", "quadratic"), ("reinmax", "neural"), ("gumbel_rao", "multilinear")):
    claim(f"08.{name}.{kind}", deviation[name, kind], 10, 0, "biased: far beyond noise", relation=">=")

# %% [markdown]
# ST is exact where $f$ is linear in each bit. ReinMax at temperature 1 is exact where $f$ is quadratic too.
# None of the five is exact for a network, and the relaxed three are not even for the multilinear $f$. A
# network whose input is nearly binary is often nearly quadratic between two codes; how nearly is the
# question that the next sections measure.
#
# ## One bench for all: 4096 codes
#
# Four variables with eight categories, and a random network on top: $8^4 = 4096$ codes, still enumerable.
# All estimators see the same first noise. Those that learn something have learned on other noise before.
# What counts is the *relative* bias, $|\mathbb{E}[\hat g] - g|\,/\,|g|$, and the *relative* standard
# deviation of a single estimate, $\sqrt{\mathrm{tr}\,\mathrm{Var}(\hat g)}\,/\,|g|$. The first is what no
# averaging mends. The second falls with the square root of the batch.

# %%
large, n = CategoricalLatent(4, 8), 10_000
large_logits = 1.5 * (2 * torch.rand(1, 32, generator=generator, dtype=DOUBLE) - 1)
torch.manual_seed(6)
body = torch.nn.Sequential(torch.nn.Linear(32, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1)).double()
body.requires_grad_(False)[0].weight *= 4  # far from linear
noises = large.noise(large_logits.expand(n, -1), 101, generator=torch.Generator().manual_seed(7))


def h(z):
    """A random network of a code (..., 4, 8)."""
    return 5 * body(z.flatten(-2)).squeeze(-1)


truth, bench = estimators.exact_gradient(large, large_logits, h)[0], {}
print(f"{len(estimators.all_codes(large))} codes, |g| = {truth.norm():.3f}")


# %%
def prepared(name, latent, logits, f):
    """The estimator; if it learns, after 200 calls on other noise."""
    torch.manual_seed(0)
    estimator = CATALOGUE[name].make(latent)
    if isinstance(estimator, torch.nn.Module):
        estimator.double()
        generator, batch = torch.Generator().manual_seed(8), logits.repeat(100 if len(logits) == 1 else 1, 1)
        for _ in range(200):
            noise = latent.noise(batch, CATALOGUE[name].draws, generator=generator)
            estimator(latent, batch, noise, f, 0.5)
        estimator.eval()
    return estimator


for name, entry in CATALOGUE.items():
    if "categories" in entry.codes and entry.objective == "single" and name != "exact":
        estimator, own = prepared(name, large, large_logits, h), best_at.get(name, 0.5)
        pieces = noises[: entry.draws].split(1000, 1)
        found = torch.cat([gradients(estimator, large, large_logits, piece, h, own) for piece in pieces])
        bench[name] = describe(found, truth)

# %%
bench = dict(sorted(bench.items(), key=lambda pair: pair[1]["std"]))
print(f"{'':32s} evaluations                z    bias (chance)    std")
for name, row in bench.items():
    words = f"{name:32s} {CATALOGUE[name].evaluations:24s} {row['z']:5.1f} {row['bias']:6.3f}"
    print(f"{words}  ({row['chance']:.3f}) {row['std']:6.2f}")
largest = max(row["z"] for name, row in bench.items() if name in sound)
claim("08.large", largest, 0, 5, "the unbiased ones: the largest of 32 deviations each")
ratio = bench["gumbel_rao"]["std"] / bench["straight_through_gumbel_softmax"]["std"]
claim("08.rao_variance", ratio, 1, 0, "Rao-Blackwell: never more than ST Gumbel-softmax", relation="<=")
axes = {"bias": "bias of the mean, share of |g|", "std": "standard deviation, share of |g|"}
panels = {axes[key]: {title[name]: (row[key],) for name, row in bench.items()} for key in axes}
fig = plot.dot_panels(panels, diamonds, hollow=[title[name] for name in bench if bench[name]["z"] < 5])
alt = "Left: the bias; hollow marks, the unbiased ones, are within chance. Right: the standard deviation of "
alt += "one estimate, least for local expectation and straight-through, most for REINFORCE."
plot.show(fig, "08_bias_and_variance", alt, {name: list(row.values()) for name, row in bench.items()}, 1e-3)

# %% [markdown]
# Hollow marks are biases within chance. Read the two panels together. On this function the unbiased
# estimators sit at the top: the standard deviation of one estimate is two to five times the gradient itself.
# Only local expectation, which evaluates $f$ $29$ times, does better. The orange diamonds buy less variance
# with a bias.
#
# ## On a real model
#
# Now the VAE of chapter 06, 200 bits, after a short training. Nothing can be enumerated here, but local
# expectation is unbiased and has little variance, so its mean over many draws stands in for the exact
# gradient. For $20$ digits and each estimator we take the gradient of $-\mathbb{E}[\ln p(x|z)]$ in the
# encoder's logits, once for each of $100$ common noises, or $400$ where the variance is small enough for a
# bias to show. On common noise two estimates can err together; then their difference is known better.

# %%
digits = data.load().to(profile.device, profile.dtype)
short = replace(digits, train=digits.train.first(10_000))
torch.manual_seed(0)
vae = VAE(network.mlp(784, [300], 200), BernoulliLatent(200), network.mlp(200, [150, 300], 784))
vae = vae.to(profile.device, profile.dtype)
network.start_at_data_mean(vae.decoder, short.train.images)
fit(vae, short, TrainConfig(epochs=3, track_images=100, track_samples=10))
x = digits.validation.images[:20]
params = vae.requires_grad_(False).encode(x)  # (20, 200)
generator = torch.Generator(profile.device).manual_seed(9)
drawn = [vae.latent.noise(params, 11, generator=generator) for _ in range(400)]


def surprise(z):
    """-ln p(x given z), (..., 20), in nats."""
    output = vae.decode(z)
    return softplus(output).sum(-1) - torch.linalg.vecdot(x, output)


# %%
def gradients_of(name, turns):
    """The gradient of every draw, (draws, 20, 200)."""
    estimator, draws = prepared(name, vae.latent, params, surprise), min(CATALOGUE[name].draws, 11)
    own = best_at.get(name, 0.5)
    return torch.stack([gradients_of_digits(estimator, noise[:draws], own) for noise in turns])


def gradients_of_digits(estimator, noise, own):
    """The gradient of one draw, (20, 200)."""
    rows = params.clone().requires_grad_()
    return torch.autograd.grad(estimator(vae.latent, rows, noise, surprise, own).sum(), rows)[0]


names = [name for name in CATALOGUE if "bits" in CATALOGUE[name].codes and name != "exact"]
names = [name for name in names if CATALOGUE[name].objective == "single"]
many = (*through, "local_expectation")
found = {name: gradients_of(name, drawn if name in many else drawn[:100]) for name in names}

# %%
reference, real = found["local_expectation"], {}
size = float(reference.mean(0).norm())
print(f"{'':32s}     std    bias  (chance)")
for name, each in sorted(found.items(), key=lambda pair: float(pair[1].var(0).sum())):
    difference = each - reference[: len(each)]
    chance = math.sqrt(float(difference.var(0).sum()) / len(each)) / size
    bias = math.sqrt(max(0.0, float(difference.mean(0).square().sum()) / size**2 - chance**2))
    real[name] = {"bias": bias, "chance": chance, "std": math.sqrt(float(each.var(0).sum())) / size}
    seen = f"{bias:7.2f}" if bias > chance else "      -"
    print(f"{name:32s} {real[name]['std']:7.2f} {seen}  ({chance:.2f})")
ratio = real["score_function"]["std"] / real["gumbel_softmax"]["std"]
if profile.name != "smoke":
    claim("08.real", ratio, 50, 0, "REINFORCE against Gumbel-softmax, standard deviations", relation=">=")
spread = {title[name]: (row["std"],) for name, row in real.items()}
fig = plot.dot_panels({axes["std"]: spread}, diamonds)
alt = "Standard deviations for the VAE: those through the code and local expectation lie between two and "
alt += "three, the others reach from fifteen to three hundred times the gradient."
plot.show(fig, "08_on_the_vae", alt, {name: list(row.values()) for name, row in real.items()}, 1e-3)

# %% [markdown]
# Orange diamonds are the biased ones, again. The picture differs from that of the toy. A reconstruction is a
# sum of $784$ terms, so $f$ varies by tens of nats from code to code, and an estimator that only evaluates
# $f$ must find in one number what $200$ bits did. Those that go through the code get $200$ answers from one
# evaluation. Their bias is real, $0.18$ to $0.30$ of the gradient where the table shows it, and averaging
# never removes it; but it is small beside the standard deviation of a single estimate. A dash is a bias that
# chance hides: less than a tenth for ReinMax, but it says nothing for the last nine rows, where chance alone
# makes more than the whole gradient.
#
# REBAR, RELAX and MuProp differentiate $f$ too, but the value of $f$ stays in their estimate, and with it
# the variance. MuProp, among the best on the toy, is poor here. A likely reason: what the decoder does at the
# *mean* code says little about what it does at a code of zeros and ones.
#
# ## The price of a step, and what it buys
#
# Bias and variance of one gradient do not say how a training ends. So the model of chapter 06 was trained
# with each estimator: 784-300-200 bits-150-300-784, all $50{,}000$ digits, ten epochs of $500$ steps, five
# seeds, one sample a digit or as many draws as the table says. Each ran with two learning rates on the first
# seed; the better one, judged on validation digits, runs on all. The numbers below are read from
# `figures/results/estimators`, one file a run, which says on what it ran; `python tools/race.py` trains what
# is missing, in about an hour and a half.
#
# The first number is minus the 1000-sample bound of $1000$ test digits, with the 95 % interval over seeds
# (Student's $t$). The second is the *time to a bound*: the number of epochs until the 100-sample bound of
# $500$ validation digits reaches a level, interpolated between epochs, times the cost of a step in units of
# a Gumbel-softmax step. The costs were measured in one interleaved run (`make bench`).

# %%
folders = [parent / "figures" / "results" for parent in (Path.cwd(), *Path.cwd().parents)]
results = next(folder for folder in folders if (folder / "estimators").is_dir())
runs = [json.loads(path.read_text()) for path in sorted((results / "estimators").glob("*.json"))]
cost = json.loads((results / "estimator_cost.json").read_text())["relative_cost"]["bits"]
cost["gumbel_rao"] = cost["gumbel_rao, 10 noises"]  # as many as it trained with
LEVEL = -115.0  # nats, of the validation bound


def epochs_to(curve, level):
    """Epochs until a curve first reaches a level, interpolated; infinite if it never does."""
    rises = [(epoch, *pair) for epoch, pair in enumerate(pairwise(curve)) if max(pair) >= level]
    if not rises:
        return math.inf
    epoch, before, after = rises[0]
    return epoch + (level - before) / (after - before)


grouped = {}
for run in runs:
    grouped.setdefault(run["estimator"], {}).setdefault(run["learning_rate"], []).append(run)

# %%
race = {}
for name, by_rate in grouped.items():
    first = {run["validation_multi_sample"][-1]: rate for rate in by_rate for run in by_rate[rate][:1]}
    own = by_rate[first[max(first)]]  # the rate that the first seed's validation bound preferred
    assert [run["seed"] for run in own] == [0, 1, 2, 3, 4]
    score = torch.tensor([-run["test_1000_samples"] for run in own], dtype=DOUBLE)
    half = float(scipy_stats.t.ppf(0.975, len(own) - 1) * score.std() / math.sqrt(len(own)))
    reached = [epochs_to(run["validation_multi_sample"], LEVEL) for run in own]
    time = cost[name] * sum(reached) / len(own)
    race[name] = {"draws": own[0]["draws"], "nll": float(score.mean()), "half": half, "time": time}
    race[name]["rate"] = own[0]["learning_rate"]
race = dict(sorted(race.items(), key=lambda pair: pair[1]["nll"]))
print(f"{'':32s} draws   rate  cost   test NLL, 95 %   time to {-LEVEL:.0f} nats")
for name, row in race.items():
    head = f"{name:32s} {row['draws']:5d} {row['rate']:6g} {cost[name]:5.2f}"
    print(f"{head}   {row['nll']:6.1f} +- {row['half']:4.1f}   {row['time']:6.1f}")

# %%
left = {title[name]: (row["nll"], row["half"]) for name, row in reversed(race.items())}
right = {title[name]: (row["time"],) for name, row in race.items() if math.isfinite(row["time"])}
ahead = min(race[name]["time"] for name in race if name in sound) / race["gumbel_softmax"]["time"]
claim("08.ahead", ahead, 5, 0, "Gumbel-softmax to the level, against the fastest unbiased one", relation=">=")
labels = ("minus the 1000-sample\ntest bound (nats)", "time to 115 nats\n(Gumbel-softmax epochs)")
fig = plot.dot_panels(dict(zip(labels, (left, right), strict=True)), diamonds, log=False)
alt = "Left: the test bound of each estimator with its interval, Gumbel-softmax best, plain REINFORCE worst. "
alt += "Right: the time each takes to a fixed bound; those that go through the code take the least."
plot.show(fig, "08_race", alt, {name: list(row.values()) for name, row in race.items()})

# %% [markdown]
# Both numbers are of hard codes, so they compare what was learned. An estimator has a mark on the right if
# all five seeds reached the level in ten epochs. The level is of the 100-sample bound of other digits, two
# to three nats lower than the test bound on the left: so NVIL ends below 115 nats there and has no mark.
#
# *Gumbel-softmax wins on both counts*, biased as it is. ReinMax, Gumbel-Rao and ST Gumbel-softmax follow,
# about two nats behind. Of the unbiased ones, VIMCO and leave-one-out with four samples each end lowest, two
# to four nats behind those three. REBAR and RELAX cost less a step than leave-one-out and end one to two nats
# behind it. DisARM ends behind them, but is the first of the unbiased at the level: it takes almost seven
# times as long as Gumbel-softmax, VIMCO more than nine times. NVIL, MuProp and REINFORCE stay behind.
#
# VIMCO [Mnih and Rezende 2016] trains another objective, the four-sample bound (chapter 09), with
# leave-one-out baselines. Local expectation did not run: it takes $201$ evaluations a step.
#
# ST is a case of its own. It reaches the level last of the biased ones, yet three times as early as any
# unbiased one, and then improves less than VIMCO and leave-one-out. A likely reason is its bias: it is not
# annealed, as that of the Gumbel-based ones is, and not of second order, as that of ReinMax is.
#
# Three cautions. Ten epochs are short, and a short race is won by low variance; after a hundred times as
# many steps, a published table has ARM, REBAR and Concrete within a nat of each other for a linear model
# [Yin and Zhou 2019, table 2]. Two learning rates are few: all but the two plain REINFORCE rows took the
# larger, and might want a larger one still. And the estimators that anneal were given a
# temperature that falls from $1$ to $0.3$, while ST and ReinMax stayed at $1$.
#
# ## A table to act on
#
# | you have | take |
# |---|---|
# | a differentiable $f$ of many variables, as in a VAE | Gumbel-softmax, with a temperature that falls |
# | the same, but $f$ must see hard codes | ST Gumbel-softmax, ReinMax or Gumbel-Rao |
# | a need for no bias, and $f$ cheap to evaluate | leave-one-out with four samples |
# | bits, no bias, and two evaluations | DisARM |
# | few variables | local expectation, or the exact sum |
# | an $f$ without a derivative: a simulator, a metric | leave-one-out, DisARM, ARSM |
# | the multi-sample bound as the objective | VIMCO |
#
# ## What could go wrong
#
# **A baseline that sees its own sample.** Take the mean of *all* $k$ samples as baseline and divide by $k$:
# only $(k-1)/k$ of the gradient is left. Nothing crashes and no loss looks odd. With $k = 1$ nothing is
# learned at all. Leave-one-out is the same but for the divisor, $k - 1$.
#
# **A derivative too many.** The text of the Gumbel-Rao paper can be read as asking for the derivative
# through the *conditional* noise as well. That has another mean. REBAR needs this derivative; Gumbel-Rao must
# not have it.


# %%
def mean_of_all(latent, logits, noise, f, temperature):
    """A mistake: the baseline is the mean over all samples."""
    z = latent.hard(logits, noise)
    return ((f(z) - f(z).mean(0)) * latent.log_prob(z, logits)).mean(0)


def rao_through_the_noise(latent, logits, noise, f, temperature):
    """A mistake: Gumbel-Rao that differentiates its conditional noise."""
    z = latent.hard(logits, noise[:1])
    given = conditional(latent, logits, z, noise[1:])
    return f(sampling.straight_through(z[0], torch.softmax(given / temperature, -1).mean(0)))


share = gradients(mean_of_all, latent, logits, common[:2], f) @ exact / exact.square().sum()
claim("08.mean_of_all", share.mean(), 0.5, 5 * stats.standard_error(share), "(k - 1) / k is left, k = 2")
# On common noise, Gumbel-Rao minus ST Gumbel-softmax has mean 0. Adding the truth lets `describe` test it.
plain = gradients(estimators.straight_through_gumbel_softmax, large, large_logits, noises[:1], h)
for name, one, sign in (("rao", estimators.gumbel_rao, "<="), ("mistaken", rao_through_the_noise, ">=")):
    z = describe(gradients(one, large, large_logits, noises[:11], h) - plain + truth, truth)["z"]
    claim(f"08.{name}", z, 5, 0, "mean of ST Gumbel-softmax, standard errors", relation=sign)

# %% [markdown]
# **A detached code that was not detached.** `score * log_prob(z)` with a $z$ through which gradients pass
# adds a term nobody asked for. The library detaches the code and the signal.
#
# **Comparing estimators on different noise, learning rates or budgets.** The race above gives each its own
# learning rate and the same steps. A table in which one method was tuned and the others were not ranks the
# tuning.
#
# **Believing a training curve.** The relaxed objective is the Gumbel-softmax estimator's own $f$ (chapter
# 06). Only the bound on hard codes compares estimators.
#
# ## Questions readers ask
#
# *Unbiased is better, is it not?* Not by itself. The error of a mean over a batch of $B$ is bias² +
# variance$/B$. For the VAE above the variance of every unbiased estimator but one is larger than that of
# Gumbel-softmax by so much that it takes a batch of thousands before the bias weighs more.
#
# *Can I use these outside a VAE?* Yes: $f$ is any function of the code that returns one value an example. A
# mixture of experts, a hard attention, a simulator.
#
# *Do I differentiate $f$'s own parameters too?* The surrogate does that: its value is $f$ at the drawn codes,
# for Gumbel-softmax at the relaxed ones, so `backward()` reaches the decoder's weights as usual.
#
# *Which temperature for straight-through?* Take 1: there ST is exact for multilinear and ReinMax for
# quadratic functions. Only the Gumbel-based ones anneal.
#
# *Is* `torch.nn.functional.gumbel_softmax(hard=True)` *one of these?* It is ST Gumbel-softmax. Without
# `hard=True` it is Gumbel-softmax. It takes no generator, and does not check its temperature (chapter 04).
#
# ## Exercises
#
# **1. The best constant.** For one bit with $\theta = 0.5$ and any $f$, which constant baseline $b$ gives
# the score-function gradient no variance at all? Derive it and check it with `score_function(...,
# baseline=b)`. You are done when the standard deviation over $1000$ draws is below `1e-12`.
#
# **2. How biased before it hurts?** For Gumbel-softmax on the 4096-code problem, compute bias² +
# variance$/B$, relative to $|g|^2$, at temperatures $2, 1, 0.5, 0.2$, for a batch of $B = 10$ and one of $B
# = 1000$. You are done when the best temperature of the large batch is lower than that of the small one. Why
# must the temperature fall in training?
#
# **3. Your own estimator.** Average DisARM over two independent noises, and compare it with leave-one-out on
# four samples: both take four evaluations. Use the three-bit problem with the neural $f$. You are done when
# you know which has the smaller variance, and both means are within five standard errors of the exact
# gradient.

# %% tags=["solution"]
# Solution 1: the two estimates, (f(1) - b)(1 - theta) and -(f(0) - b) theta, are equal at theta = 1/2 if
# b = (f(1) + f(0)) / 2.
bit, half = BernoulliLatent(1), torch.zeros(1, 1, dtype=DOUBLE)
draws = bit.noise(half.expand(1000, -1), 1, generator=torch.Generator().manual_seed(10))


def cube(z):
    """(z - 0.45)^3."""
    return (z - 0.45).pow(3).sum(-1)


def centred(latent, logits, noise, f, temperature):
    """The score function with the best constant baseline."""
    best = (f(torch.zeros(1, 1, dtype=DOUBLE)) + f(torch.ones(1, 1, dtype=DOUBLE))) / 2
    return estimators.score_function(latent, logits, noise, f, baseline=best.item())


claim("08.exercise_1", gradients(centred, bit, half, draws, cube).std(), 0, 1e-12, "no variance is left")

# %% tags=["solution"]
# Solution 2: a large batch averages variance away and leaves the bias, which a low temperature reduces.
options, best = (2.0, 1.0, 0.5, 0.2), {}
moments = {}
for temperature in options:
    found = gradients(estimators.gumbel_softmax, large, large_logits, noises[:1], h, temperature)
    moments[temperature] = (
        (found.mean(0) - truth).square().sum() - found.var(0).sum() / n,
        found.var(0).sum(),
    )
for size_of_batch in (10, 1000):
    best[size_of_batch] = min(options, key=lambda t: float(moments[t][0] + moments[t][1] / size_of_batch))
print("best temperature by batch:", best)
assert best[1000] < best[10]
# Late in training the gradient itself is small, so steps average over many batches: the bias is what remains.

# %% tags=["solution"]
# Solution 3: `disarm` with S = 2 is the average of two.
neural = FUNCTIONS["neural"]
truth_of_three = estimators.exact_gradient(latent, logits, neural)[0]
fresh = latent.noise(logits.expand(50_000, -1), 4, generator=torch.Generator().manual_seed(11))
for name, draws in (("disarm", fresh[:2]), ("leave_one_out", fresh)):
    estimate = gradients(CATALOGUE[name].make(latent), latent, logits, draws, neural)
    z = (estimate.mean(0) - truth_of_three) / (estimate.std(0) / math.sqrt(len(estimate)))
    claim(f"08.exercise_3.{name}", z.abs().max(), 0, 5, "unbiased")
    print(f"{name:14s} standard deviation {estimate.var(0).sum().sqrt():.3f}")

# %% [markdown]
# ## What you can now do
#
# - You derived the score-function gradient, computed it by hand, and saw that a baseline which sees its own
#   sample takes $1/k$ of the gradient away.
# - You sorted the estimators: those that evaluate, those that differentiate, those that do both. ST is exact
#   for multilinear functions, ReinMax at temperature 1 for quadratic ones.
# - You measured bias and variance against enumeration on 4096 codes, and against local expectation on a real
#   model, with the share of chance beside each.
# - You have a table with the bound that each estimator reaches and the price of its step, from which to
#   choose.
#
# ## References
#
# - R. J. Williams. Simple statistical gradient-following algorithms for connectionist reinforcement
#   learning. Machine Learning 8, 1992. The score-function gradient and baselines.
# - Y. Bengio, N. Léonard, A. Courville. Estimating or propagating gradients through stochastic neurons for
#   conditional computation. arXiv:1308.3432, 2013. Straight-through.
# - A. Mnih, K. Gregor. Neural variational inference and learning in belief networks. ICML 2014,
#   arXiv:1402.0030. NVIL.
# - A. Mnih, D. Rezende. Variational inference for Monte Carlo objectives. ICML 2016, arXiv:1602.06725.
#   VIMCO.
# - S. Gu, S. Levine, I. Sutskever, A. Mnih. MuProp: unbiased backpropagation for stochastic neural networks.
#   ICLR 2016, arXiv:1511.05176.
# - M. Titsias, M. Lázaro-Gredilla. Local expectation gradients for black box variational inference. NIPS
#   2015.
# - E. Jang, S. Gu, B. Poole. Categorical reparameterization with Gumbel-softmax. arXiv:1611.01144, 2016.
# - C. J. Maddison, A. Mnih, Y. W. Teh. The Concrete distribution. arXiv:1611.00712, 2016.
# - G. Tucker, A. Mnih, C. J. Maddison, D. Lawson, J. Sohl-Dickstein. REBAR: low-variance, unbiased gradient
#   estimates for discrete latent variable models. NIPS 2017, arXiv:1703.07370.
# - W. Grathwohl, D. Choi, Y. Wu, G. Roeder, D. Duvenaud. Backpropagation through the void. ICLR 2018,
#   arXiv:1711.00123. RELAX.
# - M. Yin, M. Zhou. ARM: augment-REINFORCE-merge gradient for stochastic binary networks. ICLR 2019,
#   arXiv:1807.11143.
# - M. Yin, Y. Yue, M. Zhou. ARSM: augment-REINFORCE-swap-merge estimator for gradient backpropagation
#   through categorical variables. ICML 2019, arXiv:1905.01413.
# - W. Kool, H. van Hoof, M. Welling. Buy 4 REINFORCE samples, get a baseline for free. ICLR workshop 2019.
# - Z. Dong, A. Mnih, G. Tucker. DisARM: an antithetic gradient estimator for binary latent variables.
#   NeurIPS 2020, arXiv:2006.10680.
# - M. Yin, N. Ho, B. Yan, X. Qian, M. Zhou. Probabilistic best subset selection via gradient-based
#   optimization. arXiv:2006.06448, 2020. U2G, the same estimator.
# - M. B. Paulus, C. J. Maddison, A. Krause. Rao-Blackwellizing the straight-through Gumbel-softmax gradient
#   estimator. ICLR 2021, arXiv:2010.04838.
# - L. Liu, C. Dong, X. Liu, B. Yu, J. Gao. Bridging discrete and backpropagation: straight-through and
#   beyond. NeurIPS 2023, arXiv:2304.08612. ReinMax.
