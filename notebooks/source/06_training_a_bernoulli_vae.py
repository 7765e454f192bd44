# %% [markdown]
# # 06. Training a Bernoulli VAE
#
# The pieces of the last five chapters make one model: a variational auto-encoder whose code is a row of
# bits, trained on handwritten digits.
#
# *Minutes:* about 25 to read, 80 seconds to run on a laptop. *Hardware:* any laptop; with a GPU the same
# cells run at full scale. *Before this:* chapters 03, 04 and 05.
#
# After this chapter you can
#
# - write down the training loss of a Bernoulli VAE and compute it by hand for one batch;
# - train the model, and say why the temperature must fall within the budget you have;
# - tell three numbers apart: the relaxed objective, the single-sample bound and the multi-sample bound;
# - look at a trained code bit by bit.

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
from copy import deepcopy
from dataclasses import replace
from itertools import pairwise

import matplotlib.pyplot as plt
import seaborn
import torch

from catvae_lib import data, density, network, noise, profiles, sampling
from catvae_lib.classroom import plot
from catvae_lib.classroom.claims import claim
from catvae_lib.latent import BernoulliLatent
from catvae_lib.training import TemperatureSchedule, TrainConfig, fit
from catvae_lib.vae import VAE

profile = profiles.current()  # how much work to do: smoke, cpu or gpu

# %% [markdown]
# ## The question
#
# We have a sampler for bits that lets gradients pass (chapter 03), a temperature that trades bias for
# variance (chapter 04) and the KL divergence of a bit in closed form (chapter 05). Is that enough to train
# a generative model of images? And when it is trained, which number says how good it is?
#
# ## The formula
#
# An encoder maps an image $x$ to $Q$ logits. The bits of the code are independent, $q(z|x) = \prod_i
# \mathrm{Ber}(z_i; \theta_i(x))$, and the prior is a row of fair coins. A decoder maps a code to a logit
# for each pixel. The loss of one image is the article's
#
# $$\mathcal{L}_\text{VAE} = \mathrm{KL}(q(z|x)\,\|\,p(z)) - \frac{1}{L}\sum_{l=1}^{L} \ln p(x|z_l), \qquad
# z_l = \sigma\!\left(\frac{\ln u_l - \ln(1 - u_l) + \ln\theta(x) - \ln(1 - \theta(x))}{\lambda}\right),$$
#
# with the KL of Eq. (5) summed over bits and $-\ln p(x|z)$, the cross-entropy, summed over pixels. Both are
# in nats. Sums matter here: a mean over pixels or bits would change the weight of the KL (chapter 05).
#
# Three numbers will appear. They are easily confused, so each keeps its name throughout the book.
#
# | name | codes | formula | what it says |
# |---|---|---|---|
# | relaxed objective | relaxed $z$ | $-\mathcal{L}_\text{VAE}$ | what the optimizer sees; not a bound |
# | single-sample bound | one hard $z$ | $\ln w$, $w = p(x,z)/q(z\mid x)$ | on average at most $\ln p(x)$ |
# | multi-sample bound | $S$ hard $z$ | $\ln \frac1S \sum_s w_s$ | at most $\ln p(x)$ on average, and closer |

# %% [markdown]
# ## By hand
#
# One image of three pixels, a code of two bits, one sample. The first cell writes each term of the loss
# with plain tensor operations. The second asks the library: its `VAE` joins an encoder, a latent, a decoder
# and a likelihood, and computes the same loss from the same noise.

# %%
x = torch.tensor([[1.0, 0.0, 1.0]])  # (B, D) = (1, 3)
encoder_logits = torch.tensor([[0.5, -1.0]])  # logit of theta for two bits
decoder = network.linear(2, 3)
with torch.no_grad():
    decoder.weight.copy_(torch.tensor([[1.0, -1.0], [0.5, 2.0], [-1.0, 0.0]]))
u, temperature = torch.tensor([[[0.3, 0.8]]]), 0.5  # (L, B, Q) = (1, 1, 2)

theta = torch.sigmoid(encoder_logits)
logit_of_u = u.log() - (1 - u).log()
z = torch.sigmoid((logit_of_u + theta.log() - (1 - theta).log()) / temperature)  # Eq. (3)
pixel = torch.sigmoid(decoder(z))  # p(x_d = 1 | z)
reconstruction = -(x * pixel.log() + (1 - x) * (1 - pixel).log()).sum(-1).mean(0)
kl = (theta * (theta / 0.5).log() + (1 - theta) * ((1 - theta) / 0.5).log()).sum(-1)  # Eq. (5)
print(
    f"reconstruction {reconstruction.item():.3f} + KL {kl.item():.3f}"
    f" = {(reconstruction + kl).item():.3f} nats"
)


# %%
class FixedLogits(torch.nn.Module):
    """An encoder that ignores the image: enough to check the arithmetic."""

    def forward(self, images):
        """Return the same logits for every image."""
        return encoder_logits.expand(len(images), -1)


by_library = VAE(FixedLogits(), BernoulliLatent(2), decoder).loss(
    x, noise.logistic_from_uniform(u), temperature
)
torch.testing.assert_close(by_library.reconstruction, reconstruction)
torch.testing.assert_close(by_library.kl, kl)
print(f"library: {by_library.total.item():.3f} nats")

# %% [markdown]
# ## The model and the data
#
# The digits are MNIST with one fixed binarization: each grey value was used once as the probability of ink
# in its pixel. They lie in one tensor, moved once to the device. On a CPU the model is trained in float64:
# in float32, rounding differs between processors, and after thousands of steps so do the digits that we
# print. Double precision alone does not save them. A learning rate that is a little too high makes training
# chaotic: a difference in the sixteenth digit grows with every step, by the end to a tenth of a nat. At the
# rate used here it stays below a millionth.
#
# The encoder has one hidden layer, the decoder two, of ELU units: $x$ above zero, $e^x - 1$ below. Unlike
# ReLU units they never lose their gradient (chapter B). The decoder starts at the average image:
# its output biases are the logits of the pixel means, so the first steps are not spent on learning that the
# border is empty.

# %%
digits = data.load("binarized-mnist").to(profile.device, profile.dtype)
digits = replace(digits, train=digits.train.first(profile.train_images))  # all 50,000 but in a smoke test
num_bits = 200

torch.manual_seed(0)
vae = VAE(
    encoder=network.mlp(784, [300], num_bits),
    latent=BernoulliLatent(num_bits),
    decoder=network.mlp(num_bits, [150, 300], 784),
    likelihood="bernoulli",
).to(profile.device, profile.dtype)
network.start_at_data_mean(vae.decoder, digits.train.images)
print(f"{sum(weights.numel() for weights in vae.parameters()):,} weights, {num_bits} bits")

# %% [markdown]
# ## Training
#
# The optimizer is Adam; its learning rate falls to 0 along half a cosine [Loshchilov and Hutter 2017]. The
# temperature starts at $1$ and falls exponentially to $0.3$. The fall is scaled to the budget: it takes the
# whole run. A popular schedule is not: $\lambda = \max(0.5, e^{-rt})$ [Jang et al. 2016] with the rate $r = 3
# \cdot 10^{-5}$, often seen in code, needs 23,105 steps to its floor. After 5000 steps, ten epochs of 500, it
# would stand at $e^{-0.15}$, about 0.86. A temperature that hardly falls anneals nothing.
#
# A run may take longer than a lecture. With `fit(..., checkpoint="run.safetensors")` it is kept on disk
# after every epoch, and the same call goes on where it was stopped.
#
# After every epoch `fit` evaluates all three numbers on the same validation digits with the same noise.

# %%
steps = profile.epochs * len(digits.train.images) // 100
config = TrainConfig(
    epochs=profile.epochs,
    batch_size=100,
    learning_rate=5e-3,
    temperature=TemperatureSchedule.reaching_floor(start=1.0, floor=0.3, steps=steps),
    track_images=profile.track_images,
    track_samples=profile.track_samples,
)
history = fit(vae, digits, config)

popular = TemperatureSchedule.exponential(start=1.0, floor=0.5, rate=3e-5)
reached = next(t for t in range(100_000) if popular(t) == 0.5)
claim("06.floor", reached, math.ceil(math.log(2) / 3e-5), 0, "closed form: ln 2 / r, rounded up")
claim("06.after_5000_steps", popular(5000), math.exp(-0.15), 1e-9, "closed form: exp(-r t)")
print(f"temperature: {config.temperature(0):.3f} at the start, {config.temperature(steps):.3f} at the end")

# %% [markdown]
# ## The picture
#
# Which of the three numbers should we believe? Here they are, epoch by epoch, on the same validation
# digits. All three are means in nats, and higher is better.

# %%
curves = history.columns()
names = {
    "multi_sample": f"multi-sample bound ({profile.track_samples} hard samples)",
    "relaxed_objective": "relaxed objective (not a bound)",
    "single_sample": "single-sample bound (1 hard sample)",
}
fig, ax = plt.subplots(figsize=(8, 4.5))
for (key, label), style in zip(names.items(), ("-", "--", "-."), strict=True):
    ax.plot(curves["epoch"][1:], curves[key][1:], style, label=label)
ax.set(xlabel="epoch", ylabel="nats per digit (higher is better)", title="Three numbers, one model")
ax.legend(loc="lower right")
plot.show(
    fig,
    "06_three_numbers",
    alt="Three rising curves over the epochs. The multi-sample bound is highest, the relaxed objective lies "
    "below it and the single-sample bound is lowest; the order never changes.",
    data={key: curves[key][1:] for key in ["epoch", *names]},
)

# %% [markdown]
# The three curves rise together and never meet; the relaxed one bends down at the end, as a code near 0 and 1
# is worth less than a soft one. At the end the relaxed objective lies several nats above the single-sample
# bound of the very same model; the gap shrinks as the temperature falls. That it lies below the multi-sample
# bound is no rule: it is not a bound, and may end on either side.
#
# ## The number to report
#
# The multi-sample bound on test digits is the number that the papers report, with $1000$ hard samples for
# each digit [Jang et al. 2016] or more. It uses the discrete code: nothing is relaxed. They print it with
# the sign reversed, as a bound on $-\ln p(x)$, and so does the last line printed below: there, lower is
# better.

# %%
generator = torch.Generator(profile.device).manual_seed(1)
test = digits.test.images[: profile.test_images].float()  # float32 is enough here, and faster
bounds = deepcopy(vae).float().bound(test, profile.test_samples, generator=generator)
final = -bounds.mean().item()  # nats, lower is better, as in the papers
if profile.name != "smoke":
    claim("06.bound", final, 103, 0, "demanded of this chapter's budget", relation="<=")

# %%
print("epoch  temperature  relaxed objective  single-sample  multi-sample")
columns = ("epoch", "temperature", "relaxed_objective", "single_sample", "multi_sample")
for row in zip(*(curves[key] for key in columns), strict=True):
    print("{:5d} {:12.3f} {:18.1f} {:14.1f} {:13.1f}".format(*row))
print(f"test digits: {len(test)}, samples each: {profile.test_samples}")
error = bounds.std().item() / math.sqrt(len(bounds))
print(f"minus the multi-sample test bound: {final:.1f} nats, standard error over digits {error:.1f}")

# %% [markdown]
# ## What the model has learned
#
# Two looks. *Reconstruction:* encode a test digit, take the most probable code, decode it. *Prior:* toss
# 200 fair coins and decode them; the model has never seen these codes.

# %%
examples = torch.stack([digits.test.images[digits.test.labels == label][0] for label in range(10)])
samples = vae.generate(30, generator=torch.Generator().manual_seed(2)).cpu()
rows = {"digit": examples.cpu(), "decoded": vae.reconstruct(examples).cpu()}
rows |= {f"prior {row + 1}": samples[10 * row : 10 * row + 10] for row in range(3)}
plot.show(
    plot.image_grid(rows, digits.image_shape),
    "06_reconstructions_and_samples",
    alt="Five rows of ten images. Binarized test digits 0 to 9; their reconstructions, the same digits with "
    "smooth grey edges; and thirty images from random codes, some of them clear digits, some mixtures.",
    data={"mean ink of an image, by row": [images.mean(1) for images in rows.values()]},
)

# %% [markdown]
# The reconstructions show the probability of ink for each pixel. The speckle of a binarized digit is noise,
# and the model leaves it out. Of the samples some are digits and some are shapes between digits: a prior of
# independent coins cannot say that certain bits belong together.
#
# ## What single bits do
#
# The KL divergence of one bit, averaged over digits, is what the code pays for it: $0$ nats for a bit that
# is a coin toss whatever the image, $\ln 2$ for a bit that is always certain. It is the most that the bit
# can say about the image. (A bit that is 1 for every image pays $\ln 2$ and says nothing.)

# %%
probe = digits.validation.first(2000)
with torch.no_grad():
    params = vae.encode(probe.images)
usage, order = density.bernoulli_kl(params).mean(0).cpu().sort(descending=True)  # (200,)
on = torch.stack([torch.sigmoid(params[probe.labels == label]).mean(0) for label in range(10)]).cpu()
on = on[:, order[:40]]  # (10, 40): how often each of the 40 most used bits is 1, by digit
fig, (top, bottom) = plt.subplots(2, 1, figsize=(9, 7), height_ratios=[1, 1.2])
top.plot(usage)
top.axhline(math.log(2), color="#555555", linewidth=1, linestyle="--")
top.annotate("ln 2, a bit that is always certain", (199, 0.67), ha="right", va="top")
top.set(xlabel="bit, most used first", ylabel="mean KL (nats)", title="What each bit costs")
seaborn.heatmap(on, cmap="cividis", xticklabels=5, ax=bottom, cbar_kws={"label": "share of ones"})
bottom.set(xlabel="bit, most used first", ylabel="digit", title="How often it is 1")
bottom.tick_params(axis="y", rotation=0)
alt = "Above: the mean KL of the 200 bits, sorted, falls from the most used to nearly nothing. Below: a map "
alt += "of the 40 most used bits by digit; each column has its own pattern of dark and light."
plot.show(fig, "06_bit_usage", alt, {"usage": usage, "share of ones": on})
claim("06.most", usage[0], math.log(2), 1e-6, "KL of a certain bit", relation="<=")

# %% [markdown]
# No bit can say more than $\ln 2$ nats. The map shows that the used bits vary with the digit, so they do
# say something about it. Most bits say nearly nothing: the model was offered 200 and uses a part of them,
# because every bit it uses costs KL at once and pays off only when the decoder has learned to read it. Now
# take one digit, flip one bit of its code at a time, and decode.

# %%
digit = examples[7:8]
code = vae.latent.mode(vae.encode(digit)).detach()  # (1, 200)
with torch.no_grad():
    flipped = code.repeat(num_bits, 1)
    flipped[range(num_bits), range(num_bits)] = 1 - flipped.diagonal()
    images = torch.sigmoid(vae.decode(flipped)).cpu()
    before = torch.sigmoid(vae.decode(code)).cpu()
change = (images - before).abs().sum(1)  # ink that one bit moves, in pixels
most, least = change.topk(9).indices, change.topk(9, largest=False).indices
rows = {"strongest bits": images[most], "what changed": (0.5 + images[most] - before).clamp(0, 1)}
rows = {name: torch.cat([before, row]) for name, row in (rows | {"weakest bits": images[least]}).items()}
alt = (
    "Three rows that begin with a decoded seven. Nine copies with one strong bit flipped; where they gained "
)
alt += "ink (dark) or lost it (light), in patches along the stroke; nine with a weak bit flipped, unchanged."
moved = {"ink moved by each bit, sorted": change.sort(descending=True).values}
plot.show(plot.image_grid(rows, digits.image_shape), "06_flipped_bits", alt, moved)

# %% [markdown]
# The first image of each row is the untouched digit. One strong bit adds ink in one place (dark) and takes
# it away in another (light), so a stroke bends or moves. None of these turns the seven into another digit.
# The code is distributed: what we would call the class is spread over many bits.
#
# ## What could go wrong
#
# *Reporting the relaxed objective.* The optimizer never sees a hard bit. How far is its number from the
# hard one? We evaluate the trained model on the same digits and the same noise, relaxed and hard, at
# several temperatures.

# %%
temperatures = [1.0, 0.5, 0.3, 0.2, 0.1, 0.05]
x = digits.validation.images[:500]
same_noise = vae.noise(x, 10, generator=torch.Generator(profile.device).manual_seed(3))
with torch.no_grad():
    hard = vae.loss(x, same_noise, sample="straight_through").total.mean()  # the value of hard bits
    gaps = [float(hard - vae.loss(x, same_noise, t).total.mean()) for t in temperatures]
fig, ax = plt.subplots()
ax.plot(temperatures, gaps, "o-")
ax.axhline(0, color="#555555", linewidth=1)
ax.set(xlabel="temperature of the relaxed code", ylabel="nats per digit")
ax.set_title("Relaxed objective minus the hard one")
alt = "The relaxed objective minus the hard one against temperature: positive, falling towards zero with it."
plot.show(fig, "06_relaxation_gap", alt, {"temperature": temperatures, "gap": gaps})
growth = abs(gaps[-1]) - abs(gaps[2])  # from the temperature of training to the lowest
claim("06.gap", growth, 0, 0, "the relaxed code tends to the hard one", relation="<=")

# %% [markdown]
# The gap closes as the temperature falls, because the relaxed code becomes the hard one. At $0.3$, where the
# training ended, it is not closed. A table that shows the relaxed objective where its readers expect the
# ELBO flatters the model.
#
# ## Exercises
#
# 1. *The bound by hand.* Write `multi_sample_bound(x, noise)` with `vae.encode`, `vae.decode` and the
#    functions of `sampling` and `density` only. Done when it differs from the log-mean-exp of
#    `vae.log_weight` on the same noise by less than 0.001 nats.
# 2. *How many samples?* Evaluate the bound of 50 test digits with 1, 10, 100 and 1000 samples. Done when
#    each is larger than the one before, and you can say why.
# 3. *Spare bits.* Replace the logits of the 60 least used bits by 0, so that they become coin tosses
#    whatever the image. Done when the single-sample bound of 500 validation digits, averaged over 20
#    samples, changes by less than one nat. (The `smoke` profile trains too little: no bit is spare yet.)


# %% tags=["solution"]
# Solution 1
def multi_sample_bound(x, noise):
    """Exercise 1: log-mean-exp over samples of ln p(x given z) + ln p(z) - ln q(z given x)."""
    params = vae.encode(x)  # (B, Q)
    z = sampling.bernoulli_threshold(params, noise)  # (S, B, Q)
    log_likelihood = density.bernoulli_log_prob(x, vae.decode(z)).sum(-1)  # (S, B)
    log_prior = -num_bits * math.log(2)
    log_q = density.bernoulli_log_prob(z, params).sum(-1)
    return torch.logsumexp(log_likelihood + log_prior - log_q, 0) - math.log(len(noise))


x = digits.test.images[:20]
with torch.no_grad():
    common = vae.noise(x, 50, generator=torch.Generator(profile.device).manual_seed(4))
    params = vae.encode(x)
    weights = vae.log_weight(x, vae.latent.hard(params, common), params)
    difference = multi_sample_bound(x, common) - (torch.logsumexp(weights, 0) - math.log(50))
claim("06.exercise_1", difference.abs().max(), 0, 1e-3, "the library on the same noise")

# %% tags=["solution"]
# Solution 2: the bound with S samples never falls in S on average (Burda et al. 2016), and tends to ln p(x).
generator = torch.Generator(profile.device).manual_seed(5)
ladder = [
    vae.bound(digits.test.images[:50], s, generator=generator).mean().item() for s in (1, 10, 100, 1000)
]
steps_up = [after - before for before, after in pairwise(ladder)]
claim("06.exercise_2", min(steps_up), 0, 0, "Burda et al. 2016, theorem 1", relation=">=")

# %% tags=["solution"]
# Solution 3: the change of the single-sample bound, on common noise.
x = digits.validation.images[:500]
with torch.no_grad():
    params = vae.encode(x)
    spare = params.clone()
    spare[:, order[140:].to(spare.device)] = 0.0
    common = vae.noise(x, 20, generator=torch.Generator(profile.device).manual_seed(6))
    full = vae.log_weight(x, vae.latent.hard(params, common), params).mean(0)
    change = vae.log_weight(x, vae.latent.hard(spare, common), spare).mean(0) - full  # (B,), nats
if profile.name != "smoke":
    claim("06.exercise_3", change.mean(), 0, 1, "a bit that says nothing is not missed")

# %% [markdown]
# ## What you can now do
#
# - You computed the training loss of a Bernoulli VAE by hand, term by term, and found the library's value
#   equal.
# - You trained the model, with a temperature that reached its floor within the budget, and saw that a
#   schedule made for longer runs would hardly have moved.
# - You told three numbers apart: the relaxed objective, which bounds nothing; the single-sample bound; and
#   the multi-sample bound, which is the one to report.
# - You looked at the code bit by bit: how many nats each bit costs and what it does to the picture.
#
# ## References
#
# - Y. Burda, R. Grosse, R. Salakhutdinov. Importance weighted autoencoders. ICLR 2016, arXiv:1509.00519.
#   The multi-sample bound and its monotonicity (theorem 1).
# - E. Jang, S. Gu, B. Poole. Categorical reparameterization with Gumbel-softmax. arXiv:1611.01144, 2016.
#   The exponential temperature schedule.
# - C. J. Maddison, A. Mnih, Y. W. Teh. The Concrete distribution. arXiv:1611.00712, 2016. Output biases at
#   the data mean, two tanh layers.
# - I. Loshchilov, F. Hutter. SGDR: stochastic gradient descent with warm restarts. ICLR 2017,
#   arXiv:1608.03983. The cosine that the learning rate follows.
