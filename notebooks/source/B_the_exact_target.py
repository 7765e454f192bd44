# %% [markdown]
# # B. The exact target
#
# On one data set we know the best score that any model can reach. Training a discrete code on it shows how
# far from perfect a trained model is, and which part of the training is to blame.
#
# *Minutes:* about 25 to read, 100 seconds to run on a laptop. *Hardware:* any laptop. *Before this:* chapters
# 03 to 06.
#
# After this chapter you can
#
# - say why no model of the squares has a mean negative log-likelihood below $\ln 256$ nats;
# - split a model's distance from that limit into bits bought too much and pixels drawn wrong;
# - compute the local expectation gradient of a bit, and say what it costs;
# - name three things that stop the training of a discrete code, and a remedy for each.

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
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from catvae_lib import data, density, network, noise, profiles
from catvae_lib.classroom import plot
from catvae_lib.classroom.claims import claim
from catvae_lib.estimators import local_expectation
from catvae_lib.latent import BernoulliLatent
from catvae_lib.training import TemperatureSchedule, TrainConfig, fit
from catvae_lib.vae import VAE

profile = profiles.current()

# %% [markdown]
# ## The question
#
# Chapter 06 ended with about a hundred nats for a digit. Is that good? Nobody knows the entropy of
# handwritten digits, so nobody knows what a perfect model would score.
#
# The author of the article trained on other images [Stutz 2018]: a white square on black, at one of $16
# \times 16$ positions, all equally likely. Of these we know everything. How close to perfect does training
# come, and what stops it?
#
# ## The formula
#
# There are $256$ images and each has probability $1/256$. For any model $p$, the mean negative
# log-likelihood is
#
# $$-\frac{1}{256}\sum_{m} \ln p(x_m) = \ln 256 + \mathrm{KL}\!\left(\tfrac{1}{256}\,\middle\|\,p\right) \ge
# \ln 256 .$$
#
# Eight bits suffice to reach the limit: a different code for every image, and a decoder that draws the
# square of each code without a doubt. The bound of chapter 05 says how a model falls short. For one image
# it is $\mathrm{KL}(q(z|x)\,\|\,p(z)) + \mathbb{E}[-\ln p(x|z)]$. The first term should be $\ln 256$, which
# is $8 \ln 2$: eight bits, each paid in full. What it has beyond that are bits bought twice. The second term
# should be $0$; what it has are pixels in doubt.

# %%
squares = data.load("squares").to(profile.device, profile.dtype)
images = squares.test.images  # (256, 576), all there are
limit = math.log(256)
claim("B.limit", 8 * math.log(2), limit, 1e-12, "closed form: entropy of 256 equally likely images")
claim("B.images", len(images.unique(dim=0)), 256, 0, "16 rows times 16 columns")
claim("B.white", images.sum(1).unique(), 81, 0, "9 times 9 pixels")

# %% [markdown]
# ## Plain training
#
# First the loop that most code has: ReLU layers, relaxed bits at temperature 1, the loss of the article. An
# epoch here is $100$ batches of $256$ squares.


# %%
def squares_vae(activation, bits=8, hidden=128):
    """576-128-128-bits and back, started at the average image."""
    torch.manual_seed(0)
    vae = VAE(
        network.mlp(576, [hidden, hidden], bits, activation),
        BernoulliLatent(bits),
        network.mlp(bits, [hidden, hidden], 576, activation),
    ).to(profile.device, profile.dtype)
    network.start_at_data_mean(vae.decoder, squares.train.images)
    return vae


some = replace(squares, train=squares.train.first(25_600))
smoke = profile.name == "smoke"
common = TrainConfig(
    batch_size=256, temperature=TemperatureSchedule.constant(1.0), track_images=256, track_samples=20
)
plain = squares_vae("relu")
history_of_plain = fit(plain, some, replace(common, epochs=1 if smoke else 10))


# %%
@torch.no_grad()
def exact_nll(vae):
    """Minus the mean of ln p(x), every code enumerated; and what the bound makes of it, in nats."""
    bits = vae.latent.num_features
    codes = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * bits).to(images)  # (2^Q, Q)
    params = vae.encode(images)
    z = codes[:, None].expand(-1, len(images), -1)  # (2^Q, 256, Q)
    log_q = vae.latent.log_prob(z, params)
    log_weight = vae.log_weight(images, z, params)
    nll = -torch.logsumexp(log_weight + log_q, 0).mean()
    kl = vae.latent.kl(params).mean()
    total = -(log_q.exp() * log_weight).sum(0).mean()
    return {"exact NLL": nll.item(), "KL": kl.item(), "pixels in doubt": (total - kl).item()}


found = {"plain": exact_nll(plain)}
print({name: round(value, 1) for name, value in found["plain"].items()})
claim("B.plain", found["plain"]["exact NLL"], limit, 0, "no model is below the entropy", relation=">=")

# %% [markdown]
# Far from perfect. Nearly all of the distance is pixels in doubt: several squares share a code, and the
# decoder draws their average. There are three causes.
#
# **Dead units.** A ReLU unit that is negative for every image has no gradient, and never comes back. In the
# first steps, when the codes are noise, large gradients push many units there. An ELU unit, $x$ above zero
# and $e^x - 1$ below, always has a gradient.
#
# **A biased gradient.** A relaxed bit at temperature 1 carries more than one bit can: the decoder reads its
# grey value. The hard bit of the real code does not have it. The optimizer sees a model that does not exist.
#
# **Bits bought too early.** With the weight of the KL at 1 a bit is cheap beside the pixels it saves. All
# bits are bought at once, before any of them knows what the others say, and a bit that is certain is hard to
# change: its gradient, $\theta(1 - \theta)$ times something, is nearly $0$.
#
# The first cause is mended by the activation. The other two need a formula each.
#
# ## A gradient for hard bits
#
# What does the loss lose or gain if bit $i$ is 1 instead of 0, the other bits being what they are? Ask the
# decoder: decode the code twice, once with each value. The average over the other bits is the exact
# gradient:
#
# $$\frac{\partial}{\partial \theta_i} \mathbb{E}[f(z)] = \mathbb{E}_{z_{-i}}\!\left[f(z_i = 1, z_{-i}) -
# f(z_i = 0, z_{-i})\right]$$
#
# [Titsias and Lazaro-Gredilla 2015]. One draw of the other bits makes an unbiased estimate, without a
# temperature. The price is one decoding for each bit. By hand, for two bits and a function that couples them:

# %%
logits = torch.tensor([[0.5, -1.0]], requires_grad=True)
drawn = noise.logistic((1, 1, 2), generator=torch.Generator().manual_seed(0))


def f(z):
    """A function of two bits, one value for each code."""
    return (z[..., 0] - 0.2) ** 2 + 3 * z[..., 0] * z[..., 1]


z1, z2 = (logits + drawn > 0).float()[0, 0].tolist()
theta = torch.sigmoid(logits)[0]
slope = theta * (1 - theta)  # of theta in its logit
by_hand = [
    slope[0] * (f(torch.tensor([1.0, z2])) - f(torch.tensor([0.0, z2]))),
    slope[1] * (f(torch.tensor([z1, 1.0])) - f(torch.tensor([z1, 0.0]))),
]

local_expectation(BernoulliLatent(2), logits, drawn, f).backward()
torch.testing.assert_close(logits.grad[0], torch.stack(by_hand).detach())
print("gradient in the logits:", [f"{value:.4f}" for value in logits.grad[0].tolist()])

# %% [markdown]
# ## A KL that starts dear
#
# The third cause is mended by a price that falls. The KL gets a weight $\beta$ that starts at $30$ and falls
# exponentially to $1$:
#
# $$\mathcal{L}_\beta = \beta\,\mathrm{KL}(q(z|x)\,\|\,p(z)) + \mathbb{E}[-\ln p(x|z)].$$
#
# At $\beta = 30$ only the most useful question is worth a bit. When that is settled and the price has
# fallen, the next question is worth one, and it is asked knowing the answer to the first. This is
# deterministic annealing [Rose 1998]: it cools a clustering so slowly that clusters split one by one. At the
# end $\beta = 1$, so the loss that is minimized at last is the bound and nothing else.

# %%
epochs = 1 if smoke else 30
cooled = squares_vae("elu")
price = TemperatureSchedule.reaching_floor(start=30.0, floor=1.0, steps=90 * epochs)
recipe = replace(common, epochs=epochs, sample="local_expectation", kl_weight=price)
history = fit(cooled, some, recipe)
found["cooled"] = exact_nll(cooled)
print({name: round(value, 1) for name, value in found["cooled"].items()})
if not smoke:
    claim("B.cooled", found["cooled"]["exact NLL"], 6, 0, "the goal of this chapter", relation="<=")
claim("B.entropy", found["cooled"]["exact NLL"], limit, 0, "no model is below it", relation=">=")

# %% [markdown]
# ## The picture
#
# When were the bits bought? Here is the distance from the limit, epoch by epoch, and the price at that time.

# %%
curves, plain_curves = history.columns(), history_of_plain.columns()
prices = [price(step) for step in curves["step"]]
excess = [-value - limit for value in curves["multi_sample"]]
excess_of_plain = [-value - limit for value in plain_curves["multi_sample"]]
fig, (top, bottom) = plt.subplots(2, 1, figsize=(8, 6), sharex=True, height_ratios=[2, 1])
top.semilogy(curves["epoch"], excess, label="ELU, hard bits, falling price")
top.semilogy(plain_curves["epoch"], excess_of_plain, "--", label="ReLU, relaxed bits")
top.set(ylabel="nats above the limit", title="Minus the 20-sample bound, less ln 256")
top.legend()
bottom.semilogy(curves["epoch"], prices)
bottom.set(xlabel="epoch", ylabel="KL weight")
plot.show(
    fig,
    "B_cooling",
    alt="Above: with plain training the distance from the limit stays near 45 nats; with the falling price "
    "it goes down in steps, more than a hundredfold. Below: the price falls along a straight line.",
    data={"epoch": curves["epoch"], "excess": excess, "plain": excess_of_plain, "price": prices},
)

# %% [markdown]
# The curve falls in steps: each is a question that became worth its price. Most of the way is done long
# before the price has come down to $1$.
#
# What do the bits ask? For each of the eight here is the probability that it is 1, for the square in each
# of the $16 \times 16$ positions.

# %%
with torch.no_grad():
    theta = torch.sigmoid(cooled.encode(images))  # (256, 8)
order = density.bernoulli_kl(cooled.encode(images)).mean(0).argsort(descending=True)
fig, axes = plt.subplots(2, 4, figsize=(9, 5))
for number, (ax, bit) in enumerate(zip(axes.flat, order, strict=True), 1):
    ax.imshow(theta[:, bit].reshape(16, 16).cpu(), vmin=0, vmax=1)
    ax.set(title=f"bit {number}", xticks=[], yticks=[])
axes[0, 0].set_ylabel("row")
axes[1, 0].set(ylabel="row", xlabel="column")
plot.show(
    fig,
    "B_questions",
    alt="Eight maps of 16 by 16 positions, each half dark and half bright. Some bits cut the map once across "
    "or down; others alternate several times, in stripes that are finer from bit to bit.",
    data={"share of ones": theta.mean(0)[order]},
)
balance = (theta.mean(0) - 0.5).abs().max()
if not smoke:
    claim("B.codes", len((theta > 0.5).unique(dim=0)), 256, 0, "every square has a code of its own")
    claim("B.balance", balance, 0, 0.05, "a question is worth a full bit only if half the answers are yes")

# %% [markdown]
# Nobody told the encoder about rows, columns or binary numbers. The coarse questions, which half of the
# image, are asked by some bits, and finer ones by others, in stripes: four bits name the row and four the
# column. No two squares share a code, and every question divides the positions into halves of equal size.
# That is what the limit demands.
#
# What does a random code decode to? Thirty codes of each model, drawn from the prior:

# %%
rows = {}
for name, vae in (("plain", plain), ("cooled", cooled)):
    made = vae.generate(30, generator=torch.Generator().manual_seed(5)).cpu()
    rows |= {f"{name} {row + 1}": made[10 * row : 10 * row + 10] for row in range(3)}
plot.show(
    plot.image_grid(rows, squares.image_shape, scale=0.7),
    "B_prior_samples",
    alt="Six rows of ten images. The three rows of plain training show blots and faint smears, and some "
    "nothing; the three rows of cooled training show one sharp square each.",
    data={"ink of a row": [images.sum(1).mean() for images in rows.values()]},
)

# %% [markdown]
# ## What each remedy bought
#
# One run proves little. The table and the picture below read stored results: longer runs, $30$ epochs of
# $195$ batches, most of them on three seeds. Each file under `figures/results/squares` says how it was made
# and on what; `python tools/squares.py` trains what is missing. The temperature, where it is low, falls from
# $1$ to a tenth.

# %%
stored = [parent / "figures" / "results" / "squares" for parent in (Path.cwd(), *Path.cwd().parents)]
results = [json.loads(path.read_text()) for folder in stored for path in sorted(folder.glob("*.json"))]
assert results, "the stored results are in the book's repository: run this chapter in a clone of it"
ladder = {}
for result in results:
    ladder.setdefault((result["bits"], result["remedies"]), []).append(result)
print("bits  remedies                           exact or 5000-sample NLL, by seed   KL   bits used")
for (bits, remedies), runs in sorted(ladder.items(), key=lambda row: (row[0][0], -row[1][0]["nll"])):
    scores = " ".join(f"{run['nll']:7.2f}" for run in runs).ljust(35)
    print(f"{bits:4d}  {remedies:34s} {scores} {runs[0]['kl']:5.2f} {runs[0]['bits_used']:5d}")
best = {bits: min(run["nll"] for run in results if run["bits"] == bits) for bits in (2, 8, 25, 50)}
claim("B.fifty", best[50], 6.0, 0, "the goal of this chapter for 50 bits", relation="<=")
claim("B.any", min(best.values()), 5.6, 0, "the goal of this chapter for some code", relation="<=")
claim("B.stored", min(best.values()), limit, 0, "no model is below the entropy", relation=">=")

# %%
of_eight = {remedies: runs for (bits, remedies), runs in ladder.items() if bits == 8}
names = sorted(of_eight, key=lambda remedies: min(run["nll"] for run in of_eight[remedies]))
fig, ax = plt.subplots(figsize=(8, 4.2))
for height, name in enumerate(names):
    above = [run["nll"] - limit for run in of_eight[name]]
    ax.plot(above, [height] * len(above), "o", ms=9, color=plot.PALETTE[0])
ax.set_xscale("log")
ax.set_yticks(range(len(names)), [name.replace("elu", "ELU") for name in names])
ax.set(xlabel="nats above the limit (one point a seed)", title="Eight bits: what each remedy bought")
plot.show(
    fig,
    "B_ladder",
    alt="Points on a logarithmic axis, one row a method. Plain training and single remedies lie 30 to 45 "
    "nats above the limit. Cooling with ReLU units ends anywhere, on one seed at 200; cooling with ELU units "
    "comes within about a tenth of a nat on the best seeds, with hard bits on two of three.",
    data={"nats above the limit": [[run["nll"] - limit for run in of_eight[name]] for name in names]},
)

# %% [markdown]
# A single remedy buys little: ELU alone, a low temperature alone, straight-through gradients and hard bits
# with an unbiased gradient alone all stay tens of nats away. The falling price is what moves a code towards
# the limit, and it needs the others. Without units that survive the dear start it can kill the code: the
# point far to the right decodes every code to the average image. With relaxed bits, even at a falling
# temperature, the result depends on the seed. With the local expectation it does so less. Not every seed
# gets there even then: two squares that share a code early may share it for good, and eight bits have no
# code to spare.
#
# With 25 or 50 bits there is room. The same recipe uses eight of them and leaves the others as idle coins;
# plain training buys more than twenty, and pays for each. Two bits can only name four groups of positions;
# exercise 1 computes what the best four we know are worth.
#
# ## What could go wrong
#
# *Believing the relaxed objective.* It is the number that falls during training. For the plain model, on
# the same images:

# %%
with torch.no_grad():
    drawn = plain.noise(images, 200, generator=torch.Generator(profile.device).manual_seed(7))
    relaxed = plain.loss(images, drawn, 1.0).total.mean().item()
    hard = plain.loss(images, drawn, sample="straight_through").total.mean().item()
print(
    f"plain model: relaxed loss {relaxed:.1f}, with hard bits {hard:.1f}, "
    f"exact NLL {found['plain']['exact NLL']:.1f}"
)
if not smoke:
    claim("B.flatters", relaxed, hard, 0, "grey values carry more than bits", relation="<=")

# %% [markdown]
# The relaxed loss is lower: the optimizer thinks that it is doing well.
#
# ## Exercises
#
# 1. *Two bits.* The best use of two bits we know names the four quadrants of positions. Compute the NLL of
#    the decoder that draws the average image of each quadrant. Done when it agrees with the best stored
#    result for 2 bits within 3 nats.
# 2. *Dead units.* Count the units of the first layer of each encoder that are never positive on any of the
#    $256$ images. Done when you can say which model has them.
# 3. *A shared code.* Two neighbouring squares share one code, and all else is perfect. How many nats does
#    each of the two images pay in pixels? Done when a closed form agrees with a cell.


# %% tags=["solution"]
# Solution 1: a mixture of four; each image also pays ln 4 for its quadrant.
def quadrant_nll(top, left):
    """Mean cross-entropy of the images of one quadrant under their average image."""
    members = images.reshape(16, 16, -1)[top : top + 8, left : left + 8].reshape(64, -1)
    mean = members.mean(0).clamp(1e-12, 1 - 1e-12)
    return -(members * mean.log() + (1 - members) * (1 - mean).log()).sum(1).mean()


four = math.log(4) + sum(quadrant_nll(top, left) for top in (0, 8) for left in (0, 8)).item() / 4
claim("B.exercise_1", best[2], four, 3, "closed form: average images of four quadrants")

# %% tags=["solution"]
# Solution 2
with torch.no_grad():
    dead = {
        name: int((vae.encoder[1](vae.encoder[0](images)) <= 0).all(0).sum())
        for name, vae in (("plain", plain), ("cooled", cooled))
    }
print(f"units of 128 that are never positive: {dead}; those of the ELU model still have a gradient")
if not smoke:
    claim("B.exercise_2", dead["plain"], 1, 0, "ReLU units die", relation=">=")

# %% tags=["solution"]
# Solution 3: the squares differ in a column of 9 pixels on each side; each of those is drawn with 1/2.
first, second = images[0], images[1]
mean = (first + second) / 2
pays = -(first * mean.clamp(1e-12).log() + (1 - first) * (1 - mean).clamp(1e-12).log()).sum()
claim("B.exercise_3", pays, 18 * math.log(2), 1e-6, "closed form: 18 pixels at ln 2")

# %% [markdown]
# ## What you can now do
#
# - You know why $\ln 256$ is the limit: the mean negative log-likelihood is the entropy plus a KL divergence.
# - You split the distance from it into KL and pixels, and saw that plain training loses in the pixels.
# - You computed the local expectation gradient of two bits by hand. It costs one decoding a bit.
# - You saw dead units, a biased gradient and early certainty, and their remedies: ELU, hard bits with their
#   exact local gradient, and a price that falls.
#
# ## References
#
# - D. Stutz. Experiments with Bernoulli variational auto-encoders, 2018. Squares as data; codes of 2, 25 and
#   50 bits.
# - M. K. Titsias, M. Lazaro-Gredilla. Local expectation gradients for black box variational inference. NIPS
#   2015, arXiv:1503.01494.
# - K. Rose. Deterministic annealing for clustering, compression, classification, regression, and related
#   optimization problems. Proceedings of the IEEE 86(11), 1998.
