# %% [markdown]
# # A. Errata and the map of equations
#
# This appendix lists the thirteen places where the article slips, says what is right, and shows each with one
# cell; then it maps every equation of the article to the function, the test and the cell that cover it.
#
# *Minutes:* about 40 to read, seconds to run. *Hardware:* any laptop. *Before this:* chapters 00 to 05, and
# the article at hand. A single slip can be looked up without them.
#
# After this chapter you can
#
# - say which lines of the article may be copied into code, and mend the others;
# - show each slip with a number that you computed yourself;
# - explain why a check at one point misses most of them, and which property would have found them;
# - turn the categorical functions into the article's Bernoulli case and back;
# - find, for any equation of the article, the code that computes it and the test that guards it.

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
import itertools
import math

import matplotlib.pyplot as plt
import torch
from scipy import integrate, optimize, special, stats
from torch.testing import assert_close

from catvae_lib import density, network, noise, sampling
from catvae_lib.classroom import plot
from catvae_lib.classroom.claims import claim
from catvae_lib.classroom.stats import standard_error
from catvae_lib.latent import BernoulliLatent, CategoricalLatent, GaussianLatent
from catvae_lib.vae import VAE

torch.set_default_dtype(torch.float64)
torch.set_printoptions(precision=4, sci_mode=False)
sigmoid = torch.sigmoid
every_u = (torch.arange(10_000) + 0.5) / 10_000  # midpoints: averages over them are integrals over u
every_logistic = noise.logistic_from_uniform(every_u)

# %% [markdown]
# ## The question
#
# The article is a good introduction. Its main line holds: noise on the log-probabilities, an argmax, a
# softmax in its place, one uniform number for a bit. Along the way a few formulas lost a factor and a few
# sentences say more than they should. Such slips of the pen are in every text, this one included.
#
# Which lines of the article may be copied into code as they stand? And which cells of this book stand behind
# them?
#
# ## The formula
#
# This is the article's Bernoulli model with every slip mended. Here and below $y$ is the image, as in the
# article; the other chapters call it $x$.
#
# $$
# \begin{aligned}
# \text{prior} && p(z) &= \textstyle\prod_i \mathrm{Ber}(z_i; 0.5) \\
# \text{recognition model} && q(z \mid y) &= \textstyle\prod_i \mathrm{Ber}(z_i; \theta_i(y)),
#   \qquad \ell_i = \ln\theta_i - \ln(1 - \theta_i) \\
# \text{KL, Eq. (5)} && \mathrm{KL} &= \textstyle\sum_i \sum_{k \in \lbrace 0, 1 \rbrace}
#   \theta_i^k (1 - \theta_i)^{1 - k} \left[\ln \theta_i^k (1 - \theta_i)^{1 - k} - \ln 0.5\right] \\
# \text{sample, Eq. (3)} && z_i &=
#   \sigma\left((\ln\epsilon_i - \ln(1 - \epsilon_i) + \ell_i) / \lambda\right),
#   \qquad 0 < \epsilon_i < 1,\ \lambda > 0 \\
# \text{loss} && \mathcal{L} &= \mathrm{KL} - \textstyle\frac1L \sum_{l=1}^L \ln p(y \mid z_l)
# \end{aligned}
# $$
#
# With hard bits the loss is an estimate of the negative ELBO. With relaxed bits it is something to train on.
#
# ## By hand
#
# The five lines, in plain PyTorch, for an image of three pixels and a code of two bits, with $L = 4$.

# %%
y = torch.tensor([[1.0, 0.0, 1.0]])
vae = VAE(network.linear(3, 2), BernoulliLatent(2), network.linear(2, 3))
with torch.no_grad():
    for weights in vae.parameters():  # any fixed numbers
        weights.copy_(torch.linspace(-1, 1.5, weights.numel()).reshape(weights.shape))
    logits = y @ vae.encoder.weight.T + vae.encoder.bias  # (1, 2)
    epsilon, temperature = torch.linspace(0.1, 0.9, 8).reshape(4, 1, 2), 0.5  # (L, 1, 2)

    theta = 1 / (1 + torch.exp(-logits))
    kl = (theta * torch.log(theta / 0.5) + (1 - theta) * torch.log((1 - theta) / 0.5)).sum()
    z = sigmoid((torch.log(epsilon) - torch.log(1 - epsilon) + logits) / temperature)  # (L, 1, 2)
    pixel = sigmoid(z @ vae.decoder.weight.T + vae.decoder.bias)  # (L, 1, 3)
    log_likelihood = (y * torch.log(pixel) + (1 - y) * torch.log(1 - pixel)).sum(-1)
    loss = kl - log_likelihood.mean()

    terms = vae.loss(y, noise.logistic_from_uniform(epsilon), temperature)
claim("A.loss", terms.total, loss, 1e-12, "the five formulas, written out")
claim("A.loss_kl", terms.kl, kl, 1e-12, "the five formulas, written out")

# %% [markdown]
# ## The picture
#
# Four of the thirteen slips replace one function by another. Slip 1 prints the CDF for the Gumbel density.
# Slip 2 draws with $\sigma^2$, and the KL is still computed with $\sigma$. Slip 4 leaves the weights out of
# Eq. (5). Slip 6 computes the KL at the relaxed sample. Where do the two functions agree? A check that looks
# only there passes.


# %%
def charged_at_sample(logit):
    """Slip 6: the KL, evaluated at the relaxed sample (temperature 1) and averaged over the noise."""
    return density.bernoulli_kl(sampling.binary_concrete_logit(logit, every_logistic)).mean()


x, sd, theta = torch.linspace(-3, 6, 181), torch.linspace(0.2, 1.6, 141), torch.linspace(0.01, 0.99, 99)
zero, logit = torch.tensor(0.0), torch.logit(theta)
right = [density.gumbel_log_density(x).exp(), density.gaussian_kl(zero, 2 * sd.log())]
right += 2 * [density.bernoulli_kl(logit)]
printed = [torch.exp(-torch.exp(-x)), density.gaussian_kl(zero, sd.log()), torch.log(4 * theta * (1 - theta))]
printed += [torch.stack([charged_at_sample(one) for one in logit])]


def apart(t):
    """How much more slip 6 charges than the KL, at theta = t."""
    one = torch.logit(torch.tensor(t))
    return float(charged_at_sample(one) - density.bernoulli_kl(one))


crossing = optimize.brentq(apart, 0.6, 0.99)

# %%
agree = [[0.0], [1.0], [0.5], [1 - crossing, crossing]]
titles = ["slip 1: density", "slip 2: KL of the code drawn", "slip 4: Eq. (5)", "slip 6: KL of a bit"]
labels = [r"$\epsilon$", r"standard deviation $\sigma$", r"$\theta$", r"$\theta$"]
fig, axes = plt.subplots(2, 2, figsize=(9, 6.8))
panels = zip(axes.flat, [x, sd, theta, theta], right, printed, agree, titles, labels, strict=True)
for ax, axis, good, bad, places, title, label in panels:
    ax.plot(axis, bad, "--", color=plot.PALETTE[1], label="with the slip")
    ax.plot(axis, good, color=plot.PALETTE[6], label="what it should be")
    nearest = [int((axis - place).abs().argmin()) for place in places]
    ax.plot(places, good[nearest], "o", color=plot.PALETTE[2], markersize=10, label="they agree")
    ax.set(title=title, xlabel=label, ylabel="nats")
axes[0, 0].set(ylabel="density", ylim=(0, 1.05))
axes[0, 1].legend()
alt = "Four pairs of curves, with the slip and as it should be, that meet only at epsilon 0; at sigma 1; at "
alt += f"theta one half; and, for slip 6, near theta {1 - crossing:.2f} and {crossing:.2f}."
series = {"axes": [x, sd, theta, theta], "right": right, "printed": printed, "agree": agree}
plot.show(fig, "A_agreement", alt, series)

# %% [markdown]
# Dashed is what the slip gives, solid what it should be. In the second panel the dashed curve is the KL that
# is charged, for the standard deviation $\sigma$; the solid one is the KL of what is drawn, for $\sigma^2$.
# Each pair meets in one or two points. Three of these are the first that anyone would try: the mode of the
# Gumbel density, the unit Gaussian, the fair coin. Training starts near the last two, with its small weights
# and zero biases. So slips 1, 2 and 4 pass a glance and a spot check, and slips 2 and 4 the very start of
# training.

# %% [markdown]
# ## The thirteen slips
#
# In the order in which this book numbers them. The last column is the chapter
# that treats the matter at length.
#
# | slip | where | it says | right | what a copy costs | ch. |
# |---|---|---|---|---|---|
# | 1 | Gumbel distribution | a CDF, named $p(\epsilon)$ | its derivative | no log-density | 01 |
# | 2 | Gaussian sample | $\epsilon\, \sigma^2$ | $\epsilon\, \sigma$ | the KL no longer fits the code | 00 |
# | 3 | recognition model | $p(z \mid y)$ | $q(z \mid y)$ | nothing: notation | 00 |
# | 4 | Eq. (5) | no weights | weights $\theta^k (1 - \theta)^{1-k}$ | every bit becomes certain | 05 |
# | 5 | Eq. (2), numbering | sum to $d$; no Eq. (4) | sum to $K$; none missing | nothing: editing | 04 |
# | 6 | last section | sample, sigmoid, KL | KL of $\theta$ | a bit that says nothing is charged | 05 |
# | 7 | below Eq. (3) | the rest is unchanged | no bound with relaxed bits | a misnamed number | 05 |
# | 8 | below Eq. (2) | temperature "can be useful" | needed for near-bits | grey codes for bits | 04 |
# | 9 | Overview, twice | differentiable in the input | in the parameters | a wrong demand | 00 |
# | 10 | Figure 1 | decoder in the recognition model | in the generative model | nothing: a word | 00 |
# | 11 | Eqs. (1) to (3) | $u \sim U(0, 1)$, any $\pi$ | $0 < u < 1$, $\pi_k > 0$ | NaN | 01, 03 |
# | 12 | title | categorical | the KL of $K$ categories is missing | one formula short | 05 |
# | 13 | Overview | $q$ must be Gaussian | it may be any | a smaller choice of models | 00 |
#
# Slips 3, 5 and 10 are notation or editing. A careful reader mends them without noticing, and the cells below
# only show what the right word means. The other ten cost something: a number,
# a demand that need not be met, a formula that has to be found elsewhere.

# %% [markdown]
# ### Slip 1: the density that is a distribution function
#
# *The article* defines the Gumbel distribution by
# $p(\epsilon) = \exp\left(-\exp\left(-\frac{\epsilon - \mu}{\beta}\right)\right)$.
#
# *Right:* this is the CDF. Its derivative is the density, $\frac1\beta \exp(-v - e^{-v})$ with
# $v = (\epsilon - \mu)/\beta$. The sampling formula below it inverts the CDF and is right.
#
# Up to $c$, the area under the printed formula is nearly $c$ minus Euler's constant: 9.42, 19.42 and 49.42
# for $c = 10$, $20$ and $50$. The area under its derivative is 1.


# %%
EULER = -special.digamma(1)


def printed_density(x, loc=0.0, scale=1.0):
    return torch.exp(-torch.exp(-(x - loc) / scale))


for c in (10, 20, 50):
    area = integrate.quad(lambda v: float(printed_density(torch.tensor(v))), -10, c, limit=200)[0]
    claim(f"A.01.area_{c}", area, c - EULER, 0.0005, "closed form: c - Euler's constant")

points = torch.linspace(-5, 30, 3501, requires_grad=True)
derivative = torch.autograd.grad(printed_density(points, 1.0, 2.0).sum(), points)[0]
library = density.gumbel_log_density(points.detach(), 1.0, 2.0).exp()
claim("A.01.derivative", (derivative - library).abs().max(), 0, 1e-12, "autograd: the slope of the CDF")
claim("A.01.mass", torch.trapezoid(derivative, points.detach()), 1, 1e-5, "a density has area 1")

# %% [markdown]
# ### Slip 2: the square on the standard deviation
#
# *The article* writes $z_i = \mu_i(y) + \epsilon_i\, \sigma_i^2(y)$.
#
# *Right:* $z_i = \mu_i(y) + \epsilon_i\, \sigma_i(y)$. As printed, the sample has standard deviation
# $\sigma^2$, and the KL term, which takes $\sigma$ for the standard deviation, charges for another
# distribution. At $\mu = 0$, $\sigma = 0.5$ it charges 0.318 nats; the code that is drawn is worth 0.918.
#
# (If *both* places meant the same number, only its name would be odd.)


# %%
def kl_by_quadrature(sd):
    """KL of a centred Gaussian to the unit Gaussian, from the definition."""
    q, p = stats.norm(0, sd), stats.norm(0, 1)
    return integrate.quad(lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), -12 * sd, 12 * sd)[0]


sigma = torch.tensor(0.5)
as_printed = sampling.gaussian(zero, 2 * sigma.log(), torch.tensor([1.0, -1.0]))  # two noise values, sd 1
assert_close(as_printed, torch.tensor([0.25, -0.25]))  # sd sigma^2
charged = density.gaussian_kl(zero, sigma.log())
claim("A.02.charged", charged, kl_by_quadrature(0.5), 0.0005, "quadrature, sd 0.5")
drawn = density.gaussian_kl(zero, 2 * sigma.log())
claim("A.02.drawn", drawn, kl_by_quadrature(0.25), 0.0005, "quadrature, sd 0.25")

# %% [markdown]
# ### Slip 3: one letter
#
# *The article* writes the recognition model as $p(z \mid y) = \prod_i \mathrm{Ber}(z_i; \theta_i(y))$.
#
# *Right:* $q(z \mid y)$, as it is called everywhere else in the article. Only notation; but the letters
# name two different things. $p(z \mid y)$ follows from prior and decoder by Bayes' rule, and has no
# $\theta$ in it. $q(z \mid y)$ is ours to choose. For the one-bit model of chapter 00 the posterior is
# 0.857. We choose $\theta = 0.6$, and the loss exceeds $-\ln p(y)$ by the KL between the two, 0.198 nats.
# Were $q$ the posterior, nothing would be lost.

# %%
prior, likelihood = torch.tensor(0.5), torch.tensor([0.1, 0.6])  # p(z = 1), and p(y | z) for z = 0 and 1


def p_given_y():  # p(z = 1 | y): from prior and decoder
    joint = torch.stack([1 - prior, prior]) * likelihood
    return joint[1] / joint.sum()


def exact_loss(theta):  # q(z = 1 | y) = theta: free
    expected = (1 - theta) * torch.log(likelihood[0]) + theta * torch.log(likelihood[1])
    return density.bernoulli_kl(torch.logit(theta)) - expected


posterior, chosen = p_given_y(), torch.tensor(0.6)
claim("A.03.posterior", posterior, 6 / 7, 1e-9, "Bayes' rule by hand: 0.30 / 0.35")
claim("A.03.nothing_lost", exact_loss(posterior), -math.log(0.35), 0.0005, "-ln p(y)")
lost = 0.6 * math.log(0.6 / (6 / 7)) + 0.4 * math.log(0.4 / (1 / 7))  # KL(q || p(z | y))
claim(
    "A.03.lost", exact_loss(chosen) + math.log(0.35), lost, 0.0005, "closed form: KL from q to the posterior"
)

# %% [markdown]
# ### Slip 4: the weights of Eq. (5)
#
# *The article* computes the KL of a bit as
# $\sum_{k \in \lbrace 0, 1 \rbrace} \ln \theta^k (1 - \theta)^{1 - k} -
# \ln 0.5^k\, 0.5^{1 - k}$.
#
# *Right:* each term carries the weight $\theta^k (1 - \theta)^{1 - k}$, because a KL is an average under $q$.
# Without it the sum is $\ln 4\theta(1 - \theta)$, which is never positive: -1.02 at $\theta = 0.1$, where the
# KL is 0.368, and -3.23 at $\theta = 0.01$, where it is 0.637.


# %%
def eq_5(theta, weighted):
    total = 0.0
    for k in (0, 1):
        probability = theta**k * (1 - theta) ** (1 - k)
        term = math.log(probability) - math.log(0.5**k * 0.5 ** (1 - k))
        total += probability * term if weighted else term
    return total


for name, t in (("tenth", 0.1), ("hundredth", 0.01)):
    claim(f"A.04.printed_{name}", eq_5(t, False), math.log(4 * t * (1 - t)), 0.0005, "ln 4 theta (1 - theta)")
    library = density.bernoulli_kl(torch.logit(torch.tensor(t)))
    claim(f"A.04.right_{name}", eq_5(t, True), library, 0.0005, "density.bernoulli_kl")

# %% [markdown]
# ### Slip 5: a sum to $d$, and no Eq. (4)
#
# *The article* lets the sum in the denominator of Eq. (2) run to $d$, a letter that it uses nowhere else.
# After Eq. (3) comes Eq. (5).
#
# *Right:* the sum runs over the $K$ categories. No equation is missing. An editorial slip; but the letter
# matters to whoever takes $d$ for the size of something else. With $K = 3$ and $d = 2$ the entries of the
# "probability vector" sum to 2 for the noise below.

# %%
pi = torch.tensor([0.2, 0.3, 0.5])


def eq_2(pi, noise, d):
    numerators = torch.exp(torch.log(pi) + noise)
    return numerators / numerators[:d].sum()


no_noise = torch.zeros(3)  # then Eq. (2) returns pi itself
assert_close(eq_2(pi, no_noise, d=3), sampling.gumbel_softmax(torch.log(pi), no_noise))
claim("A.05.sum_to_K", eq_2(pi, no_noise, d=3).sum(), 1, 1e-9, "a point of the simplex")
claim("A.05.sum_to_2", eq_2(pi, no_noise, d=2).sum(), 1 / (0.2 + 0.3), 1e-9, "closed form: 1 / (pi_1 + pi_2)")

# %% [markdown]
# ### Slip 6: a sigmoid between sample and KL
#
# *The article* says at its end that "the reparameterization operation needs to be followed by a sigmoid
# activation before computing the Kullback-Leibler divergence".
#
# *Right:* the KL is a function of $\theta$ and is computed before anything is sampled. There is a sigmoid
# before it, the one that makes $\theta$ from the encoder's logit, and perhaps that one was meant. Read
# literally, the sentence puts the relaxed sample in the place of $\theta$. At $\theta = 0.5$ and
# temperature 1 that sample is uniform on $(0, 1)$: a bit that says nothing and should cost nothing is
# charged 0.193 nats.


# %%
def kl_of(theta):
    return math.log(2) + float(special.xlogy(theta, theta) + special.xlogy(1 - theta, 1 - theta))


one_logit = torch.tensor(1.7)
assert_close(density.bernoulli_kl(one_logit), torch.tensor(kl_of(float(sigmoid(one_logit)))))  # kind reading
claim("A.06.right", density.bernoulli_kl(torch.tensor(0.0)), 0, 1e-12, "q is the prior")
by_quadrature = integrate.quad(kl_of, 0, 1)[0]  # the literal reading: z is uniform
claim("A.06.charged", by_quadrature, math.log(2) - 0.5, 0.0005, "closed form: ln 2 - 1/2")
claim("A.06.library", charged_at_sample(torch.tensor(0.0)), by_quadrature, 0.0005, "quadrature")

# %% [markdown]
# ### Slip 7: "the remaining framework stays unchanged"
#
# *The article* puts Eq. (3) in the place of the sample and keeps the loss.
#
# *Right:* one may train on that, and both papers do. But its value is no longer a bound on $-\ln p(y)$: the
# KL belongs to hard bits, and the decoder is asked about values between them.
#
# The example of chapter 05 in the library's own words: one bit with $\theta = 0.5$ and a Gaussian decoder
# with $\ln p(y \mid z) = -40\, (z - 0.5)^2$ up to a constant. Both codes give $-10$, so $\ln p(y) = -10$. The
# negative of the relaxed loss is -3.33 at temperature 1, -5.71 at one half and -9.01 at one tenth.

# %%
half = VAE(
    network.linear(1, 1), BernoulliLatent(1), network.linear(1, 1), likelihood="gaussian"
).requires_grad_(False)
for weights, value in zip(half.parameters(), [0, 0, math.sqrt(80), -math.sqrt(20)], strict=True):
    weights.fill_(value)  # logit 0; the decoder's mean is sqrt(80) (z - 0.5), and y = 0
image, constant = torch.zeros(1, 1), 0.5 * math.log(2 * math.pi)
bits = torch.tensor([[[0.0]], [[1.0]]])
log_p = torch.logsumexp(half.log_weight(image, bits, torch.zeros(1, 1)) - math.log(2), 0) + constant
claim("A.07.log_p", log_p, -10, 1e-9, "enumeration of both codes")

tenth = -5 * integrate.quad(lambda v: (math.tanh(5 * v) / math.cosh(v / 2)) ** 2, 0, 60)[0]
for name, t, exact in (("1", 1.0, -10 / 3), ("half", 0.5, 10 - 5 * math.pi), ("tenth", 0.1, tenth)):
    relaxed = half.loss(image, every_logistic.reshape(-1, 1, 1), t).total
    source = "quadrature over the noise" if name == "tenth" else "closed form"
    claim(f"A.07.relaxed_{name}", constant - relaxed, exact, 0.0005, source)
hard = half.loss(image, every_logistic.reshape(-1, 1, 1), sample="straight_through").total
claim("A.07.hard", constant - hard, -10, 1e-9, "the ELBO; here q is the posterior")

# %% [markdown]
# ### Slip 8: the temperature
#
# *The article* neglects the temperature "for simplicity", and says that "in practice, however, the
# temperature parameter can be useful".
#
# *Right:* the article leaves it out on purpose, and says so. For a bit that is not certain more than that is
# lost: the sample is then far from discrete. At $\theta = 0.5$ Eq. (3) as printed returns its own uniform
# noise, $\sigma(\ln\epsilon - \ln(1 - \epsilon)) = \epsilon$. And for $\pi = (0.2, 0.3, 0.5)$ the mean of
# Eq. (2) as printed is not $\pi$ but (0.238, 0.315, 0.447). At temperature 0.1 the mean is (0.201, 0.300,
# 0.499), close to $\pi$.
#
# The means are integrals over the two noise differences, whose density chapter 04 derives. At temperature 1
# there is an independent way. Eq. (2) divides $w_k = \pi_k e^{\epsilon_k}$ by the sum $W$ of all three.
# Write $1 / W = \int_0^\infty e^{-sW} ds$ and average over each noise variable by itself. With $a_j =
# 2\sqrt{s\pi_j}$ the averages are Bessel functions:
#
# $$\mathbb{E}[z_k] = \int_0^\infty 2\pi_k K_0(a_k) \prod_{j \ne k} a_j K_1(a_j)\, ds .$$

# %%
own_noise = sampling.binary_concrete(torch.tensor(0.0), every_logistic)
claim("A.08.uniform", (own_noise - every_u).abs().max(), 0, 1e-12, "sigmoid(logit(u)) = u")


def bessel_mean(k):
    def integrand(s):
        a = 2 * torch.sqrt(s * pi).numpy()  # one number a category
        others = math.prod(a[j] * special.k1(a[j]) for j in range(3) if j != k)
        return 2 * float(pi[k]) * special.k0(a[k]) * others

    return integrate.quad(integrand, 0, 400, limit=300)[0]


# %%
v = torch.arange(-40, 40, 0.1)
pair = torch.stack([*torch.meshgrid(v, v, indexing="ij"), torch.zeros(len(v), len(v))], -1)  # noise - noise_3
mass = torch.exp(math.log(2) - pair.sum(-1) - 3 * torch.logsumexp(-pair, -1)) * 0.1**2
means = {
    t: (mass[..., None] * sampling.gumbel_softmax(torch.log(pi), pair, t)).sum((0, 1)) for t in (1.0, 0.1)
}
for k in range(3):
    claim(f"A.08.mean_1.{k + 1}", means[1.0][k], bessel_mean(k), 0.0005, "Bessel functions")
    claim(f"A.08.mean_tenth.{k + 1}", means[0.1][k], pi[k], 0.0015, "pi, nearly reached")

# %% [markdown]
# ### Slip 9: differentiable in what?
#
# *The article* asks twice for differentiability "with respect to the model's input".
#
# *Right:* with respect to the parameters of $q$, and through them to the encoder's weights. The input is
# data; nobody moves it. (If the input of $g$ was meant, and so $\theta$, the sentence is right.)
#
# The input need not even have a derivative. Below it is the *number* of an image, and the encoder is a table
# of logits, one row for each image. A whole number has no gradient. The table has one,
# $dz/d\ell = z (1 - z) / \lambda$ in the row that was looked up.

# %%
table = torch.nn.Embedding(3, 1)  # three images, one bit
with torch.no_grad():
    table.weight.copy_(torch.tensor([[-1.0], [0.5], [2.0]]))
which = torch.tensor(1)  # the input: "image 1"
z = sampling.binary_concrete(table(which), torch.tensor([0.3]), temperature=0.5)
gradient = torch.autograd.grad(z.sum(), table.weight)[0].flatten()
print("can the input have a gradient?", which.is_floating_point())
print("gradient of the table's rows: ", gradient)
inside = 1 / (1 + math.exp(-(0.5 + 0.3) / 0.5))
claim("A.09.gradient", gradient[1], inside * (1 - inside) / 0.5, 1e-9, "closed form: z (1 - z) / temperature")

# %% [markdown]
# ### Slip 10: whose decoder?
#
# *The article's* caption of Figure 1 speaks of "the encoder used in the inference model and the decoder used
# in the recognition model".
#
# *Right:* the decoder is used in the *generative* model. "Inference model" and "recognition model" are two
# names of the same thing. A slip of one word. Autograd says which weights take part in which model.


# %%
def taking_part(output, part):
    """How many weight tensors of a network the output depends on."""
    found = torch.autograd.grad(output.sum(), list(part.parameters()), allow_unused=True)
    return sum(gradient is not None for gradient in found)


recognition, generative = vae.encode(y), vae.decode(bits.expand(2, 1, 2))  # q(z | y), and p(y | z)
for name, output in (("recognition", recognition), ("generative", generative)):
    print(f"{name:12} encoder {taking_part(output, vae.encoder)}, decoder {taking_part(output, vae.decoder)}")
claim("A.10.recognition", taking_part(recognition, vae.decoder), 0, 0, "q(z | y) has no decoder")
claim("A.10.generative", taking_part(generative, vae.encoder), 0, 0, "p(y | z) has no encoder")

# %% [markdown]
# ### Slip 11: the ends of the intervals
#
# *The article* takes $\ln\pi_k$ where its definition allows $\pi_k = 0$, and draws $u \sim U(0, 1)$ without
# saying that the ends are excluded.
#
# *Right:* $\pi_k > 0$, and the *open* interval. On paper the ends have probability 0. In a program they do
# not: `torch.rand` returns exactly 0 about once in 17 million float32 draws. Below, category 2 is certain and
# meets such a draw. Eq. (1) as printed picks category 1, which has probability 0, and Eq. (2) returns NaN.

# %%
certain, u = torch.tensor([0.0, 1.0], dtype=torch.float32), torch.tensor([0.5, 0.0], dtype=torch.float32)
scores = torch.log(certain) - torch.log(-torch.log(u))  # (-inf, -inf)
print("scores as printed ", scores)
print("Eq. (2) as printed", torch.softmax(scores, -1))
safe = noise.gumbel_from_uniform(u)
print("library, Eq. (1)  ", sampling.gumbel_max(torch.log(certain), safe))
print("library, Eq. (2)  ", sampling.gumbel_softmax(torch.log(certain), safe))
claim("A.11.printed", scores.argmax() + 1, 1, 0, "a category of probability 0")
claim("A.11.nan", torch.softmax(scores, -1).isnan().sum(), 2, 0, "both entries are NaN")
claim("A.11.right", sampling.gumbel_max(torch.log(certain), safe).argmax() + 1, 2, 0, "the certain category")
claim("A.11.draws", 2**24 / 1e6, 17, 0.5, "float32 uniforms are multiples of 2^-24; millions")

# %% [markdown]
# ### Slip 12: the KL of a category
#
# *The article* has "categorical" in its title and gives samples for $K$ categories, but the KL for a bit
# only.
#
# *Right:* for one variable with probabilities $\pi$ and the uniform prior,
# $\mathrm{KL} = \sum_k \pi_k (\ln\pi_k - \ln\frac1K) = \ln K - H(\pi)$. For $\pi = (0.2, 0.3, 0.5)$ it is
# 0.069 nats.

# %%
entropy = float(stats.entropy(pi.numpy()))  # in nats
one_hot = torch.eye(3)
log_ratio = density.categorical_log_prob(one_hot, torch.log(pi)) - math.log(1 / 3)
claim("A.12.kl", density.categorical_kl(torch.log(pi)), math.log(3) - entropy, 0.0005, "ln K - H, H by scipy")
claim(
    "A.12.enumerated", (pi * log_ratio).sum(), math.log(3) - entropy, 0.0005, "average over the one-hot codes"
)
latent = CategoricalLatent(num_variables=20, num_categories=3)  # twenty such variables: the KL adds up
claim("A.12.twenty", latent.kl(torch.log(pi).repeat(20)), 20 * (math.log(3) - entropy), 0.005, "twenty times")

# %% [markdown]
# ### Slip 13: must it be Gaussian?
#
# *The article* says of the Gaussian prior: "such that the recognition model also needs to be modeled as
# Gaussian distribution".
#
# *Right:* the bound holds for every $q$. A Gaussian $q$ is a convenience, because the KL of two Gaussians
# has a closed form. Let $q$ be logistic, $z = m + s\,(\ln u - \ln(1 - u))$: it can be reparameterized as
# well, and its KL to the Gaussian prior can be drawn, or integrated. (It even has a closed form: $-\ln s -
# 2 + \frac12 \ln 2\pi + \frac12 (m^2 + s^2 \pi^2 / 3)$.)
#
# And it is nearly as good. For $p(y \mid z) = \mathcal{N}(y; z, 1)$ and $y = 1$ the posterior is Gaussian.
# The best logistic $q$ falls short of $\ln p(y)$ by 0.0144 nats.

# %%
m, s, unit = 0.5, 0.4, stats.norm(0, 1)


def logistic_average(function, m, s):
    q = stats.logistic(m, s)
    return integrate.quad(lambda z: q.pdf(z) * function(z, q.logpdf(z)), m - 60 * s, m + 60 * s, limit=200)[0]


exact = logistic_average(lambda z, log_q: log_q - unit.logpdf(z), m, s)
z = noise.logistic(200_000, m, s, generator=torch.Generator().manual_seed(0))
log_ratio = density.logistic_log_density(z, m, s) - GaussianLatent(1).prior_log_prob(z[:, None])
claim("A.13.kl", log_ratio.mean(), exact, 5 * standard_error(log_ratio), "quadrature, n = 200000")
closed = -math.log(s) - 2 + (math.log(2 * math.pi) + m**2 + (s * math.pi) ** 2 / 3) / 2
claim("A.13.closed", closed, exact, 1e-6, "quadrature")
best = math.sqrt(1.5) / math.pi  # the scale whose variance is that of the posterior, 1/2
elbo = logistic_average(lambda z, log_q: unit.logpdf(z) + unit.logpdf(1 - z) - log_q, 0.5, best)
gap = -math.log(math.sqrt(3) / math.pi) - 2 + (math.log(2 * math.pi) + 1) / 2
claim("A.13.bound", elbo, stats.norm(0, math.sqrt(2)).logpdf(1), 0, "ln p(y)", relation="<=")
claim("A.13.short", stats.norm(0, math.sqrt(2)).logpdf(1) - elbo, gap, 1e-5, "closed form: KL of a logistic")

# %% [markdown]
# ## What is right as printed
#
# Thirteen slips should not hide the rest. The sampling formula for Gumbel noise, the Gumbel-max trick of
# Eq. (1), the logistic difference, the hard threshold, and Eq. (3) up to its temperature are right as they
# stand. So is the loss. One exact check for each:

# %%
g = noise.gumbel_from_uniform(every_u)
claim("A.right.sampling", (density.gumbel_cdf(g) - every_u).abs().max(), 0, 1e-12, "F(g(u)) = u")
for k in range(3):  # P(score k is the largest): its density times the CDFs of the others
    others = [density.gumbel_cdf(g + torch.log(pi[k] / pi[j])) for j in range(3) if j != k]
    claim(f"A.right.eq_1.{k + 1}", torch.stack(others).prod(0).mean(), pi[k], 0.0005, "pi_k")
at = torch.linspace(-6, 6, 13)
difference = torch.stack([density.gumbel_cdf(v + g).mean() for v in at])  # P(first - second <= v)
claim("A.right.difference", (difference - sigmoid(at)).abs().max(), 0, 0.0005, "the logistic CDF")
logit = torch.logit(torch.tensor(0.3))
claim("A.right.threshold", sampling.bernoulli_threshold(logit, every_logistic).mean(), 0.3, 0.0005, "theta")
soft = sampling.binary_concrete(logit, every_logistic, 0.5)
by_eq_2 = sampling.gumbel_softmax(
    torch.stack([logit, torch.tensor(0.0)]), torch.stack([every_logistic, 0 * every_logistic], -1), 0.5
)
claim("A.right.eq_3", (soft - by_eq_2[:, 0]).abs().max(), 0, 1e-12, "Eq. (2) with two categories")

# %% [markdown]
# ## What training would make of it
#
# Do the slips matter, if a reader types the article in as it stands? We train $\theta$ for the one-bit
# model of slip 3, whose posterior is $6/7$, once for each of three losses: the right one; Eq. (5) as
# printed; the KL at the relaxed sample. A fourth run has the right KL and draws with Eq. (3) as printed.
# Here $\ln p(y \mid z)$ is joined by a straight line between $z = 0$ and $z = 1$. All averages over noise
# are integrals, so nothing below is random.


# %%
def log_likelihood(z):  # a straight line from ln 0.1 to ln 0.6
    return (1 - z) * math.log(0.1) + z * math.log(0.6)


def right_loss(logit):
    return density.bernoulli_kl(logit) - log_likelihood(sigmoid(logit))


def with_printed_kl(logit):
    return torch.log(4 * sigmoid(logit) * sigmoid(-logit)) - log_likelihood(sigmoid(logit))


def with_kl_at_sample(logit):
    return charged_at_sample(logit) - log_likelihood(sigmoid(logit))


def with_printed_sample(logit):
    return (
        density.bernoulli_kl(logit) - log_likelihood(sampling.binary_concrete(logit, every_logistic)).mean()
    )


# %%
losses = {
    "right": right_loss,
    "Eq. (5) as printed": with_printed_kl,
    "KL at the sample": with_kl_at_sample,
    "Eq. (3) as printed": with_printed_sample,
}
paths, ends = {name: [0.5] for name in losses}, {}
print("loss                    theta   value it reports   exact loss at this theta")
for name, loss_of in losses.items():
    logit = torch.tensor(0.0)
    for _ in range(120):  # learning rate 1
        logit = (logit - torch.autograd.grad(loss_of(logit.requires_grad_()), logit)[0]).detach()
        paths[name].append(float(sigmoid(logit)))
    ends[name] = logit
    worth = float(exact_loss(torch.tensor(paths[name][-1]).clamp(max=1 - 1e-12)))
    print(f"{name:20} {paths[name][-1]:8.4f} {float(loss_of(logit)):14.3f} {worth:21.4f}")


# %%
def pull(t):  # the slope of the third loss: an integral over the logit v of the relaxed bit
    bell, shift = stats.logistic(0, 1).pdf, math.log(t / (1 - t))
    slope_of_kl = integrate.quad(lambda v: v * bell(v) * bell(v - shift), -60, 60)[0]
    return slope_of_kl - math.log(6) * t * (1 - t)


claim("A.train.right", paths["right"][-1], 6 / 7, 0.0005, "closed form: the posterior")
at_sample = optimize.brentq(pull, 0.5, 0.999)
claim(
    "A.train.at_sample", paths["KL at the sample"][-1], at_sample, 0.0005, "quadrature: where the slope is 0"
)
reports = {name: losses[name](logit) for name, logit in ends.items()}
claim("A.train.printed", reports["Eq. (5) as printed"], 0, 0, "-ln p(y) is positive", relation="<=")
claim("A.train.too_low", reports["KL at the sample"], -math.log(0.35), 0, "-ln p(y)", relation="<=")
logit = float(ends["Eq. (3) as printed"])
t, odds = paths["Eq. (3) as printed"][-1], math.exp(logit)
mean_z = odds * (odds - 1 - logit) / (odds - 1) ** 2  # of the soft bit at temperature 1
claim("A.train.soft", reports["Eq. (3) as printed"], kl_of(t) - log_likelihood(mean_z), 0.0005, "closed form")

# %%
fig, ax = plt.subplots()
labels = {"right": (15, 0.80), "Eq. (5) as printed": (8, 1.02), "KL at the sample": (16, 0.945)}
words = {
    "right": "right: ends at the posterior, 6/7",
    "Eq. (5) as printed": "Eq. (5) as printed: certain, without end",
    "KL at the sample": "KL at the relaxed sample: too certain",
}
for (name, place), colour in zip(labels.items(), (plot.PALETTE[6], *plot.PALETTE), strict=False):
    ax.plot(paths[name][:41], "-" if name == "right" else "--", color=colour)
    ax.text(*place, words[name], color=colour)
ax.set(xlabel="step of gradient descent", ylabel=r"$\theta$", ylim=(0.48, 1.07), xlim=(0, 40))
alt = (
    "Theta over 40 steps from one half: the right loss levels off at 6/7, Eq. (5) as printed runs to 1, the "
)
alt += "KL at the relaxed sample levels off at 0.93."
plot.show(fig, "A_training", alt, {name: paths[name][:41] for name in labels})

# %% [markdown]
# The right loss ends at the posterior. Eq. (5) as printed rewards certainty, runs to $\theta = 1$, and
# reports a "loss" far below zero. With the KL at the relaxed sample the bit ends at 0.931 instead of 0.857,
# and the loss reads 1.035 nats, below $-\ln p(y) =$ 1.0498. An upper bound cannot lie there. The curves of
# $\theta$ look like healthy training.
#
# The fourth run is in the table only. It ends near the right place, and its loss of 1.21 nats is wrong in
# the other direction. On a straight line only the mean of $z$ counts, and the mean of the soft bit is
# nearer to one half than $\theta$. The decoder of slip 7 likes grey bits better than hard ones; here it is
# the other way round. So a relaxed loss may lie on either side of the right one.

# %% [markdown]
# ## What could go wrong
#
# **A check at the natural point.** The first column of the table below is one spot check for each slip: the
# natural point for slips 1, 2 and 4, and for slip 6 the certain bit, $\theta \to 1$, where both values tend
# to $\ln 2$. All four pass it. The second column asks for a property instead: a density has area 1; a sample
# has the standard deviation that the KL assumes; a KL is never negative; it is 0 when $q$ is the prior. All
# four fail.

# %%
one = torch.tensor(1.0)
mass_up_to_50 = integrate.quad(lambda v: math.exp(-math.exp(-v)), -6, 50, limit=200)[0]
at_infinity = density.bernoulli_kl(sampling.binary_concrete_logit(torch.tensor(torch.inf), every_logistic))
rows = {
    "slip 1, at the mode": (math.isclose(math.exp(-math.exp(-0.0)), math.exp(-0.0 - math.exp(-0.0))),
                            abs(mass_up_to_50 - 1) < 1e-6),
    "slip 2, at sigma = 1": (bool(one**2 == one), 0.5**2 == 0.5),
    "slip 4, at theta = 1/2": (eq_5(0.5, False) == eq_5(0.5, True), eq_5(0.1, False) >= 0),
    "slip 6, at theta = 1": (math.isclose(float(at_infinity.mean()), math.log(2)),
                             float(charged_at_sample(torch.tensor(0.0))) < 1e-6),
}  # fmt: skip
print("                        spot check  property")
for name, (spot, holds) in rows.items():
    print(f"{name:23} {'passes' if spot else 'fails':11} {'holds' if holds else 'fails'}")
assert all(spot and not holds for spot, holds in rows.values())

# %% [markdown]
# **A repair that is wrong as well.** Somebody notices that Eq. (5) comes out negative, and turns the sign.
# The result, $-\ln 4\theta(1 - \theta)$, is never negative and is 0 exactly where $q$ is the prior. Both
# properties of a KL hold, and it is not the KL: at $\theta = 0.1$ it is 1.02 in place of 0.368. Drawing
# settles it. The mean of $\ln q(z) - \ln p(z)$ over hard bits knows nothing of either formula.

# %%
tenth_logit = torch.logit(torch.tensor(0.1))
bits_drawn = sampling.bernoulli_threshold(
    tenth_logit, noise.logistic(100_000, generator=torch.Generator().manual_seed(1))
)
log_ratio = density.bernoulli_log_prob(bits_drawn, tenth_logit) - math.log(0.5)
five_errors = 5 * standard_error(log_ratio)
claim("A.repair.drawn", log_ratio.mean(), eq_5(0.1, True), five_errors, "Eq. (5) with weights, n = 100000")
claim("A.repair.turned", -eq_5(0.1, False), eq_5(0.1, True) + five_errors, 0, "far outside", relation=">=")

# %% [markdown]
# ## Questions readers ask
#
# **Bernoulli, please: how do I get the article's case out of the categorical functions?** A bit with logit
# $\ell$ is a category with $K = 2$ and logits $(\ell, 0)$; take the first coordinate. Each function for
# bits is then a special case, with the difference of the two Gumbel variables as its logistic noise. (Of
# two logits a bit uses only the difference, so an encoder for bits returns one.)

# %%
logit = torch.linspace(-6, 6, 1000)
two_gumbels = noise.gumbel((1000, 2), generator=torch.Generator().manual_seed(2))
two_logits = torch.stack([logit, torch.zeros(1000)], -1)  # (1000, 2)
difference = two_gumbels[:, 0] - two_gumbels[:, 1]
bit = sampling.bernoulli_threshold(logit, difference)
pairs = {
    "hard": (sampling.gumbel_max(two_logits, two_gumbels)[:, 0], bit),
    "soft": (
        sampling.gumbel_softmax(two_logits, two_gumbels, 0.4)[:, 0],
        sampling.binary_concrete(logit, difference, 0.4),
    ),
    "log_prob": (
        density.categorical_log_prob(torch.stack([bit, 1 - bit], -1), two_logits),
        density.bernoulli_log_prob(bit, logit),
    ),
    "kl": (density.categorical_kl(two_logits), density.bernoulli_kl(logit)),
}
for name, (of_category, of_bit) in pairs.items():
    claim(f"A.two.{name}", (of_category - of_bit).abs().max(), 0, 1e-12, "categorical functions with K = 2")

# %% [markdown]
# **Do I need a sigmoid before the KL?** Exactly one, on the encoder's output, and never on a sample.
# `density.bernoulli_kl` takes the logit and does it inside. A second one raises no error: at $\theta = 0.5$
# `bernoulli_kl(sigmoid(logit))` reads one half as a logit, and charges 0.030 nats for a bit that says
# nothing.
#
# **Why does everybody's KL differ by a constant?** Because some constants can be left out. The constant
# $\ln 2$ for each bit ($\ln K$ for each category) does not change the gradient, so some programs report the
# negative entropy alone: for 200 bits, 138.6 nats less. The optimum is the same, but the number is no KL and
# the sum no ELBO. Factors are another matter. Bits in place of nats divide by $\ln 2$, a mean over dimensions
# by their number. If only the KL is treated so, the balance with the reconstruction moves, and so does the
# optimum.

# %%
logits = torch.linspace(-3, 3, 200, requires_grad=True)
kl = density.bernoulli_kl(logits)
theta = sigmoid(logits)
minus_entropy = theta * torch.log(theta) + (1 - theta) * torch.log(1 - theta)
versions = {
    "KL in nats, summed": kl.sum(),
    "constant left out": minus_entropy.sum(),
    "in bits": kl.sum() / math.log(2),
    "mean over bits": kl.mean(),
}
right_slope = torch.autograd.grad(kl.sum(), logits, retain_graph=True)[0]
print("version                 value   its gradient over the right one")
for name, value in versions.items():
    slope = torch.autograd.grad(value, logits, retain_graph=True)[0]
    print(f"{name:20} {float(value.detach()):8.3f}   {float(slope[0] / right_slope[0]):.4f}")
offset = (kl.sum() - minus_entropy.sum()).detach()
claim("A.constant", offset, 200 * math.log(2), 0.05, "closed form: 200 ln 2")
double_sigmoid = density.bernoulli_kl(sigmoid(torch.tensor(0.0)))
claim("A.sigmoid_twice", double_sigmoid, kl_of(1 / (1 + math.exp(-0.5))), 0.0005, "the KL at sigmoid(0.5)")

# %% [markdown]
# **Is the article's loss right?** Yes. $\mathrm{KL} - \frac1L \sum_l \ln p(y \mid z_l)$ with $z_l$ drawn from
# $q$ estimates the negative ELBO without bias, for any $L$; it is to be *minimized*. It stays right with the
# KL of slip 4 mended. With the relaxed samples of Eq. (3) it can be trained on, and its value is no bound
# (slip 7).
#
# **Has the published code the same slips?** Code and article are two texts, and each has its own. Chapter 03
# tests the sampler that was published with the series; where the article's Eq. (3) is right, it is not.

# %% [markdown]
# ## Seven statements without a cell so far
#
# The map below asks for a computed number behind every equation. For a few of them no chapter has one, so
# here they are: the unit Gaussian prior and its noise, the loss with a Gaussian code, the prior and the
# recognition model of the Bernoulli code, the definition of the discrete distribution, and the sentence
# that the KL separates over the bits.
#
# The loss with a Gaussian code is checked with the two noise values $-1$ and $1$. They have mean 0 and
# variance 1, and an average of a quadratic needs no more, so it is exact.

# %%
code = torch.tensor([1.0, -2.0, 0.5])
log_prior = GaussianLatent(3).prior_log_prob(code)
claim("A.map.gaussian_prior", log_prior, stats.norm.logpdf(code.numpy()).sum(), 1e-9, "scipy, summed")
drawn = noise.normal(100_000, generator=torch.Generator().manual_seed(3))
five_errors = 5 * math.sqrt(2 / 100_000)
claim(
    "A.map.noise", drawn.square().mean(), 1, five_errors, "closed form: variance 1, n = 100000", stable=False
)

gaussian = VAE(network.linear(1, 2), GaussianLatent(1), network.linear(1, 1), likelihood="gaussian")
with torch.no_grad():
    for weights, value in zip(gaussian.parameters(), [0.0, 0.0, 1.0, 0.0], strict=True):
        weights.fill_(value)
    gaussian.encoder.bias.copy_(torch.tensor([0.5, math.log(0.4)]))  # q = N(0.5, 0.4^2); the decoder copies z
    total = gaussian.loss(torch.ones(1, 1), torch.tensor([[[-1.0]], [[1.0]]])).total
expected = (
    density.gaussian_kl(torch.tensor(0.5), torch.tensor(0.4).log())
    + (math.log(2 * math.pi) + (1 - 0.5) ** 2 + 0.4**2) / 2
)
claim("A.map.gaussian_loss", total, expected, 1e-9, "closed form: KL + E[-ln N(1; z, 1)]")

# %%
three, params = BernoulliLatent(3), torch.tensor([[-1.0, 0.3, 2.0]])
codes = torch.tensor(list(itertools.product([0.0, 1.0], repeat=3)))[:, None]  # (8, 1, 3)
theta = sigmoid(params[0]).tolist()
log_q, log_p = three.log_prob(codes, params)[:, 0], three.prior_log_prob(codes)[:, 0]
claim("A.map.prior", log_p[5], -3 * math.log(2), 1e-9, "closed form: -3 ln 2")
by_hand = theta[0] * (1 - theta[1]) * theta[2]
claim("A.map.recognition", log_q[5].exp(), by_hand, 1e-9, "the code 101: a product of three")
enumerated = (log_q.exp() * (log_q - log_p)).sum()
claim("A.map.separates", enumerated, sum(map(kl_of, theta)), 1e-9, "the KL of each bit, added")

of_category = density.categorical_log_prob(torch.eye(3), torch.log(pi)).exp()  # the one-hot codes
claim("A.map.discrete", of_category[1], 0.3, 1e-9, "p(z = 2) = pi_2")
claim("A.map.normalized", of_category.sum(), 1, 1e-9, "probabilities sum to 1")

# %% [markdown]
# ## The map of equations
#
# The article displays 16 lines of formulas, E1 to E16 below in its order. They are 15 equations, because
# Eq. (5) takes two lines, and 14 different ones, because the loss is printed twice. Four carry a number:
# (1), (2), (3) and (5). After them come the formulas inside sentences, F1 to F7, and the statements in
# words, W1 to W14.
#
# *How to read an entry.* Its first line names the equation, as printed; where the article slips, with the
# number of the slip. The second names functions of `catvae_lib`. The third is a test, in the form that
# `python -m pytest` takes in the top folder of the book. The fourth names claims: lines that the linked
# chapter prints.
#
# The map is checked with the rest of the book. The check fails if an equation has no entry, or if an entry
# names a function, a test or a claim that does not exist.
#
# **Displayed formulas.**
#
# - **E1 unit Gaussian prior**: $p(z) = \mathcal{N}(z; 0, I_Q)$\
#   `latent.GaussianLatent.prior_log_prob`\
#   `tests/test_latent.py::test_log_prob_and_kl_agree_with_torch_distributions`\
#   [A](A_errata.ipynb) `A.map.gaussian_prior`
# - **E2 loss with a Gaussian code**: $\mathrm{KL} - \frac1L \sum_l \ln p(y_m \mid z_{l,m})$\
#   `vae.VAE.loss`\
#   `tests/test_vae.py::test_gaussian_likelihood_and_latent_by_hand`\
#   [A](A_errata.ipynb) `A.map.gaussian_loss`
# - **E3 Gaussian reparameterization**: $z_i = \mu_i + \epsilon_i \sigma_i^2$ (slip 2)\
#   `sampling.gaussian`\
#   `tests/test_sampling.py::test_gaussian_is_mean_plus_std_times_noise`\
#   [00](00_why_discrete_latents.ipynb) `00.variance_right`
# - **E4 Bernoulli prior**: $p(z) = \prod_i \mathrm{Ber}(z_i; 0.5)$\
#   `latent.BernoulliLatent.prior_log_prob`\
#   `tests/test_latent.py::test_log_prob_and_kl_agree_with_torch_distributions`\
#   [A](A_errata.ipynb) `A.map.prior`
# - **E5 Bernoulli recognition model**: $p(z \mid y) = \prod_i \mathrm{Ber}(z_i; \theta_i(y))$ (slip 3)\
#   `latent.BernoulliLatent.log_prob`\
#   `tests/test_latent.py::test_log_prob_and_kl_agree_with_torch_distributions`\
#   [A](A_errata.ipynb) `A.map.recognition`, `A.03.lost`
# - **E6 loss with a Bernoulli code**: as E2\
#   `vae.VAE.loss`\
#   `tests/test_vae.py::test_loss_is_the_articles_written_out_in_plain_numbers`\
#   [00](00_why_discrete_latents.ipynb) `00.loss_100`, [A](A_errata.ipynb) `A.loss`
# - **E7 discrete distribution**: $p(z = k) = \pi_k,\ \sum_k \pi_k = 1$\
#   `density.categorical_log_prob`\
#   `tests/test_density.py::test_categorical_log_prob_against_torch_distributions`\
#   [A](A_errata.ipynb) `A.map.discrete`, `A.map.normalized`
# - **E8 Gumbel density**: $\exp(-\exp(-(\epsilon - \mu)/\beta))$ (slip 1)\
#   `density.gumbel_log_density`, `density.gumbel_cdf`\
#   `tests/test_density.py::test_the_articles_density_is_the_cdf`\
#   [01](01_gumbel_sampling.ipynb) `01.density`, [A](A_errata.ipynb) `A.01.area_10`
# - **E9 Eq. (1), Gumbel-max**: $k = \arg\max_k \ln\pi_k + \epsilon_k$\
#   `sampling.gumbel_max`\
#   `tests/test_sampling.py::test_gumbel_max_is_the_argmax_of_the_sum`\
#   [02](02_gumbel_max_trick.ipynb) `02.wins_1`, `02.value`
# - **E10 Eq. (2), Gumbel-softmax**: $z_k = \exp(\ln\pi_k + \epsilon_k) / \sum_{k'=1}^d \ldots$ (slips 5, 8)\
#   `sampling.gumbel_softmax`\
#   `tests/test_sampling.py::test_gumbel_softmax_is_the_softmax_of_the_scaled_sum`\
#   [04](04_softmax_relaxation.ipynb) `04.mean.1.0.1`, [A](A_errata.ipynb) `A.05.sum_to_K`
# - **E11 inequality for a bit**: $\ln\theta + \epsilon_1 > \ln(1 - \theta) + \epsilon_2$\
#   `sampling.gumbel_max`\
#   `tests/test_sampling.py::test_binary_concrete_is_two_categories_and_tends_to_the_threshold`\
#   [A](A_errata.ipynb) `A.two.hard`
# - **E12 logistic difference**: $\epsilon_1 - \epsilon_2 = \ln u - \ln(1 - u)$\
#   `noise.logistic`, `noise.logistic_from_uniform`\
#   `tests/test_sampling.py::test_the_difference_of_two_gumbels_is_logistic`\
#   [03](03_logistic_difference.ipynb) `03.variance`, [A](A_errata.ipynb) `A.right.difference`
# - **E13 hard threshold**: 1 if $\ln u - \ln(1 - u) + \ln\theta - \ln(1 - \theta) > 0$\
#   `sampling.bernoulli_threshold`\
#   `tests/test_sampling.py::test_bernoulli_threshold_integrates_to_theta`\
#   [03](03_logistic_difference.ipynb) `03.theta`, [A](A_errata.ipynb) `A.right.threshold`
# - **E14 Eq. (3), soft bit**: $\sigma(\ln\epsilon - \ln(1-\epsilon) + \ln\theta - \ln(1-\theta))$ (slip 8)\
#   `sampling.binary_concrete`\
#   `tests/test_sampling.py::test_binary_concrete_is_the_sigmoid_of_its_logit`\
#   [03](03_logistic_difference.ipynb) `03.middle.1.0`, [A](A_errata.ipynb) `A.08.uniform`, `A.09.gradient`
# - **E15 Eq. (5), left side**: $\mathrm{KL}(\mathrm{Ber}(\theta_i) \,\Vert\, \mathrm{Ber}(0.5))$\
#   `density.bernoulli_kl`, `latent.BernoulliLatent.kl`\
#   `tests/test_latent.py::test_kl_is_the_mean_log_ratio`\
#   [05](05_bernoulli_kl.ipynb) `05.drawn_tenth`
# - **E16 Eq. (5), right side**: $\sum_k \ln\theta^k (1 - \theta)^{1-k} - \ln 0.5^k\, 0.5^{1-k}$ (slip 4)\
#   `density.bernoulli_kl`\
#   `tests/test_density.py::test_bernoulli_kl_to_the_fair_coin_is_exact`\
#   [05](05_bernoulli_kl.ipynb) `05.kl_tenth`, `05.printed_tenth`

# %% [markdown]
# **Formulas inside sentences.**
#
# - **F1 Gaussian noise**: $\epsilon \sim \mathcal{N}(0, I_Q)$, $z = g(\epsilon, y)$\
#   `noise.normal`, `vae.VAE.noise`\
#   `tests/test_noise.py::test_distribution`\
#   [A](A_errata.ipynb) `A.map.noise`
# - **F2 codes drawn from q**: $z_{l,m} \sim q(z \mid y)$\
#   `latent.BernoulliLatent.hard`\
#   `tests/test_latent.py::test_hard_codes_have_the_enumerated_frequencies`\
#   [00](00_why_discrete_latents.ipynb) `00.loss_1`
# - **F3 one-hot encoding**: $z \in \lbrace 0, 1 \rbrace^K$\
#   `sampling.gumbel_max`, `density.categorical_log_prob`\
#   `tests/test_sampling.py::test_gumbel_max_is_the_argmax_of_the_sum`\
#   [A](A_errata.ipynb) `A.12.enumerated`
# - **F4 standard Gumbel distribution**: $\mu = 0$, $\beta = 1$\
#   `noise.gumbel`\
#   `tests/test_noise.py::test_distribution`\
#   [01](01_gumbel_sampling.ipynb) `01.median`
# - **F5 Gumbel sampling**: $\epsilon_k = \mu - \beta \log(-\log u_k)$ (slip 11)\
#   `noise.gumbel_from_uniform`\
#   `tests/test_noise.py::test_inverse_cdfs_invert_scipys_cdfs`\
#   [01](01_gumbel_sampling.ipynb) `01.median`, [A](A_errata.ipynb) `A.right.sampling`
# - **F6 temperature**: $(\ln\pi_k + \epsilon_k)/\lambda$\
#   `sampling.gumbel_softmax`, `sampling.binary_concrete`\
#   `tests/test_sampling.py::test_gumbel_softmax_is_the_softmax_of_the_scaled_sum`\
#   [04](04_softmax_relaxation.ipynb) `04.mean.0.1.1`
# - **F7 reconstruction error**: $-\ln p(y \mid z)$\
#   `vae.VAE.loss`, `density.bernoulli_log_prob`\
#   `tests/test_vae.py::test_log_weight_of_every_code`\
#   [A](A_errata.ipynb) `A.loss`

# %% [markdown]
# **Statements in words.**
#
# - **W1 a Gaussian prior needs a Gaussian q** (slip 13)\
#   `density.gaussian_kl`, `latent.GaussianLatent.kl`\
#   `tests/test_density.py::test_gaussian_kl`\
#   [A](A_errata.ipynb) `A.13.short`
# - **W2 the bound is optimized for the likelihood**\
#   `vae.VAE.bound`\
#   `tests/test_vae.py::test_the_bound_rises_with_its_samples_to_log_p`\
#   [00](00_why_discrete_latents.ipynb) `00.bound`, `00.equality`
# - **W3 reparameterization makes differentiable** (slip 9)\
#   `sampling.gaussian`\
#   `tests/test_sampling.py::test_gaussian_is_mean_plus_std_times_noise`\
#   [00](00_why_discrete_latents.ipynb) `00.pathwise_mean`, [A](A_errata.ipynb) `A.09.gradient`
# - **W4 drawing a discrete code stops the gradient**\
#   `sampling.bernoulli_threshold`, `sampling.straight_through`\
#   `tests/test_sampling.py::test_hard_samples_have_no_gradient`\
#   [00](00_why_discrete_latents.ipynb) `00.slope_rounded`, `00.naive_theta`
# - **W5 the KL is computed analytically**\
#   `density.bernoulli_kl`, `density.categorical_kl`\
#   `tests/test_latent.py::test_kl_is_the_mean_log_ratio`\
#   [05](05_bernoulli_kl.ipynb) `05.drawn_third`, [A](A_errata.ipynb) `A.12.kl`
# - **W6 the Gumbel trick draws from Dis**\
#   `sampling.gumbel_max`\
#   `tests/test_sampling.py::test_gumbel_max_integrates_to_the_probabilities`\
#   [02](02_gumbel_max_trick.ipynb) `02.wins_3`, [A](A_errata.ipynb) `A.right.eq_1.1`
# - **W7 at low temperature it tends to Dis**\
#   `sampling.gumbel_softmax`\
#   `tests/test_sampling.py::test_gumbel_softmax_tends_to_gumbel_max_and_to_uniform`\
#   [A](A_errata.ipynb) `A.08.mean_tenth.1`
# - **W8 a Bernoulli variable is a special case**\
#   `density.categorical_kl`, `density.bernoulli_kl`\
#   `tests/test_density.py::test_two_categories_are_one_bit`\
#   [A](A_errata.ipynb) `A.two.kl`, `A.two.log_prob`
# - **W9 the difference is logistic**\
#   `noise.logistic`, `density.logistic_cdf`\
#   `tests/test_sampling.py::test_the_difference_of_two_gumbels_is_logistic`\
#   [A](A_errata.ipynb) `A.right.difference`
# - **W10 a sigmoid makes the threshold differentiable**\
#   `sampling.binary_concrete`\
#   `tests/test_sampling.py::test_gradients_of_the_binary_relaxations`\
#   [04](04_softmax_relaxation.ipynb) `04.relaxed.0.1`
# - **W11 the rest of the framework is unchanged** (slip 7)\
#   `vae.VAE.loss`\
#   `tests/test_vae.py::test_relaxed_loss_depends_on_the_temperature`\
#   [05](05_bernoulli_kl.ipynb) `05.objective_1`, [A](A_errata.ipynb) `A.07.relaxed_1`
# - **W12 the KL separates over the bits**\
#   `latent.BernoulliLatent.kl`\
#   `tests/test_latent.py::test_enumerated_codes`\
#   [A](A_errata.ipynb) `A.map.separates`
# - **W13 its gradient joins backpropagation**\
#   `density.bernoulli_kl`, `vae.VAE.loss`\
#   `tests/test_vae.py::test_gradients_of_the_loss_by_finite_differences_with_common_noise`\
#   [05](05_bernoulli_kl.ipynb) `05.strongest`
# - **W14 a sigmoid comes before the KL** (slip 6)\
#   `density.bernoulli_kl`\
#   `tests/test_density.py::test_bernoulli_kl_to_the_fair_coin_is_exact`\
#   [A](A_errata.ipynb) `A.06.library`, [05](05_bernoulli_kl.ipynb) `05.charged_half`

# %% [markdown]
# ## Exercises
#
# **Exercise 1: a test that finds slip 1.** Write `is_density(log_density)`, which takes a function of a
# tensor and says whether the exponential of its values has area 1 within one millionth, on $-40$ to $200$.
# You are done when it accepts `density.gumbel_log_density` with location 2 and scale 3, and rejects two
# others: the article's formula, and the same density with the factor $1/\beta$ forgotten.


# %% tags=["solution"]
# Solution 1
def is_density(log_density):
    x = torch.linspace(-40, 200, 240_001)
    return abs(float(torch.trapezoid(log_density(x).exp(), x)) - 1) < 1e-6


candidates = {
    "library": lambda x: density.gumbel_log_density(x, 2.0, 3.0),
    "article": lambda x: printed_density(x, 2.0, 3.0).log(),
    "no 1/beta": lambda x: density.gumbel_log_density((x - 2) / 3),
}
verdicts = {name: is_density(function) for name, function in candidates.items()}
print(verdicts)
assert verdicts == {"library": True, "article": False, "no 1/beta": False}

# %% [markdown]
# **Exercise 2: what Eq. (5) as printed really is.** Show on paper that it is $-2\, \mathrm{KL}(p \,\Vert\,
# q)$: the KL with its arguments exchanged, doubled, and with the sign turned. For $K$ categories and the
# uniform prior $p$ the same sum is $-K\, \mathrm{KL}(p \,\Vert\, q)$. Write `unweighted(logits)`, the sum
# of $\ln\pi_k - \ln\frac1K$ over the last dimension. You are done when it equals `-K` times
# `density.categorical_kl` of the uniform distribution with `prior_logits=logits`, on the `rows` below, and
# when its first row equals `eq_5(0.1, False)`.

# %% tags=["solution"]
# Solution 2: KL(p || q) is the sum of (1 / K) (ln (1 / K) - ln pi_k); times -K, it is the unweighted sum.
rows = torch.tensor([[0.9, 0.1], [0.5, 0.5]]).log()
wider = torch.tensor([[0.2, 0.3, 0.5], [0.01, 0.01, 0.98]]).log()


def unweighted(logits):
    return (torch.log_softmax(logits, -1) + math.log(logits.shape[-1])).sum(-1)


for logits in (rows, wider):
    exchanged = density.categorical_kl(torch.zeros_like(logits), prior_logits=logits)
    assert_close(unweighted(logits), -logits.shape[-1] * exchanged)
claim("A.exercise_2", unweighted(rows)[0], eq_5(0.1, False), 1e-9, "Eq. (5) as printed")

# %% [markdown]
# **Exercise 3: a lopsided recognition model.** Slip 13 again, with Gumbel noise in place of logistic noise:
# $q = \mathrm{Gu}(\mu, \beta)$ for the posterior $\mathcal{N}(1/2, 1/2)$. The best $q$ has the mean and the
# variance of the posterior. Write `shortfall(loc, scale)`, the KL from $q$ to the posterior, by quadrature.
# You are done when the best one equals $-\ln(\sqrt6/\pi) - \gamma - 1 + \frac12 (\ln 2\pi + 1)$, with
# Euler's constant $\gamma$, and a step of one tenth in the location or the scale makes it larger.


# %% tags=["solution"]
# Solution 3
def shortfall(loc, scale):
    q, p = stats.gumbel_r(loc, scale), stats.norm(0.5, math.sqrt(0.5))
    low, high = loc - 6 * scale, loc + 60 * scale  # beyond, q is below 1e-25
    return integrate.quad(lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), low, high, limit=200)[0]


scale = math.sqrt(6 * 0.5) / math.pi  # variance (scale pi)^2 / 6 = 1/2
loc = 0.5 - scale * EULER  # mean loc + scale EULER = 1/2
lowest = -math.log(math.sqrt(6) / math.pi) - EULER - 1 + (math.log(2 * math.pi) + 1) / 2
claim("A.exercise_3", shortfall(loc, scale), lowest, 1e-6, "closed form")
for step in (-0.1, 0.1):
    assert shortfall(loc + step, scale) > lowest and shortfall(loc, scale + step) > lowest

# %% [markdown]
# The Gumbel model falls short by 0.0906 nats, six times as much as the symmetric logistic one, and still
# not much.
#
# **Exercise 4: use the map.** Take the entry E14, run its test with `python -m pytest` and the name in it,
# find its claim in the linked chapter. Then break the function: turn the sign of the noise in it, or leave
# out the temperature. You are done when the test fails, the claim fails, and both hold again after you have
# put it back.

# %% [markdown]
# ## What you can now do
#
# - You have one page of formulas that may be copied, and know which printed lines may not.
# - You have seen each of the thirteen slips in a number: areas of 9.42 and more, 0.318 nats charged for
#   0.918, a "KL" of -1.02, a "bound" of -3.33 on -10.
# - You have seen that slips 1, 2 and 4 are right at the mode, at $\sigma = 1$ and at $\theta = 1/2$, slip 6
#   in the limit $\theta \to 1$, and that area, spread, sign and zero would have found them.
# - You have computed bits with the categorical functions, and found no difference.
# - You can find the function, the test and the claim for each of the 16 displayed lines of the article.
#
# ## References
#
# - The article: *Categorical Variational Auto-Encoders and the Gumbel Trick*.
# - D. P. Kingma and M. Welling. Auto-encoding variational Bayes. ICLR 2014 (arXiv:1312.6114).
# - E. Jang, S. Gu and B. Poole. Categorical reparameterization with Gumbel-softmax. 2016
#   (arXiv:1611.01144).
# - C. J. Maddison, A. Mnih and Y. W. Teh. The Concrete distribution: a continuous relaxation of discrete
#   random variables. 2016 (arXiv:1611.00712).
