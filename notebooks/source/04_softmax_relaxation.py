# %% [markdown]
# # 04. From argmax to softmax: the relaxed sample
#
# Replacing the argmax by a softmax gives a sample with a gradient; this chapter says what the replacement
# changes, and what the temperature buys and costs.
#
# *Minutes:* about 35 to read, seconds to run. *Hardware:* any laptop. *Before this:* chapters 01 to 03.
#
# After this chapter you can
#
# - compute a relaxed categorical sample with a temperature, and say what it tends to at both ends;
# - say which property of the sample is exact at every temperature (its argmax) and which is not (its mean);
# - evaluate the Concrete density in the right coordinates, and keep three thresholds on the temperature
#   apart;
# - measure bias and variance of a relaxed gradient and of a straight-through gradient against the exact one;
# - recognize five bugs of public implementations by what they do to the samples.

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
from scipy.integrate import quad
from torch import Tensor
from torch.distributions import RelaxedOneHotCategorical
from torch.distributions.relaxed_bernoulli import LogitRelaxedBernoulli
from torch.nn.functional import gumbel_softmax as torch_gumbel_softmax

from catvae_lib import density, noise, sampling
from catvae_lib.classroom import interactive, plot, stats
from catvae_lib.classroom.claims import claim

torch.set_printoptions(precision=4, sci_mode=False)

# %% [markdown]
# ## The question
#
# Eq. (1) draws a category: add Gumbel noise to the log-probabilities, take the argmax. The argmax has no
# useful gradient. A small change of $\pi$ leaves the one-hot vector as it is, until it jumps. Can the sample
# be made smooth, so that a gradient passes, and what does it cost?
#
# ## The formula
#
# The softmax is the smooth counterpart of the argmax. The article's Eq. (2), with the temperature
# $\lambda > 0$ that it leaves out, is
#
# $$x_k = \frac{\exp\left((\ln\pi_k + \epsilon_k)/\lambda\right)}
# {\sum_{k'=1}^{K} \exp\left((\ln\pi_{k'} + \epsilon_{k'})/\lambda\right)},
# \qquad \epsilon_k \sim \mathrm{Gu}(0, 1).$$
#
# (The article prints the sum up to $d$. It runs over the $K$ categories.) The article writes $z$; this
# chapter writes $x$ for the relaxed sample and keeps $z$ for the hard one. The distribution of $x$ has two
# names: Gumbel-softmax [Jang et al. 2016] and Concrete [Maddison et al. 2016]. The entries of $x$ are
# positive and sum to 1, so $x$ is a point of the *simplex*; its corners are the one-hot vectors.
#
# ## By hand
#
# Eq. (2) on one draw with three categories, and then the same draw at five temperatures.

# %%
pi = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
logits = torch.log(pi)
epsilon = torch.tensor([1.0, -0.5, 0.2], dtype=torch.float64)
temperature = 0.5

numerator = torch.exp((torch.log(pi) + epsilon) / temperature)
by_hand = numerator / numerator.sum()
torch.testing.assert_close(sampling.gumbel_softmax(logits, epsilon, temperature), by_hand)
as_bit = sampling.binary_concrete(logits[0] - logits[1], epsilon[0] - epsilon[1], temperature)  # Eq. (3)
torch.testing.assert_close(sampling.gumbel_softmax(logits[:2], epsilon[:2], temperature)[0], as_bit)
print("Eq. (2) at temperature 0.5:", by_hand)
print("Eq. (1), the hard sample:  ", sampling.gumbel_max(logits, epsilon))
print("\ntemperature   relaxed sample")
for temperature in (1000.0, 10.0, 1.0, 0.1, 0.01):
    print(f"{temperature:11}  ", sampling.gumbel_softmax(logits, epsilon, temperature))

# %% [markdown]
# Large temperatures flatten the scores, and $x$ tends to the centre $(1/K, \ldots, 1/K)$ whatever $\pi$ is.
# Small ones stretch the scores, and $x$ tends to the hard sample of Eq. (1). The order of the entries never
# changes: dividing by $\lambda$ and applying the softmax both keep it. The second assertion keeps two
# categories only: then Eq. (2) is the soft bit of chapter 03.
#
# ## The picture
#
# For $K = 3$ the simplex is a triangle. Where do the samples lie in it?

# %%
cloud = noise.gumbel((400, 3), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
corners = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, math.sqrt(3) / 2]], dtype=torch.float64)
colours = [plot.PALETTE[k] for k in sampling.gumbel_max(logits, cloud).argmax(-1).tolist()]
temperatures = [5.0, 1.0, 0.5, 0.1]
points = [sampling.gumbel_softmax(logits, cloud, t) @ corners for t in temperatures]  # (400, 2) each

fig, axes = plt.subplots(2, 2, figsize=(7, 6))
for ax, t, xy in zip(axes.flat, temperatures, points, strict=True):
    ax.fill(*corners.T, facecolor="none", edgecolor="#888888", linewidth=1)
    ax.scatter(*xy.T, s=12, c=colours, alpha=0.6, linewidths=0, zorder=3)
    ax.text(0.5, 0.96, "category 3", ha="center")
    ax.text(0, -0.04, "category 1", ha="center", va="top")
    ax.text(1, -0.04, "category 2", ha="center", va="top")
    ax.text(-0.2, 0.85, rf"$\lambda$ = {t:g}", fontsize=15)
    ax.set(xlim=(-0.25, 1.25), ylim=(-0.15, 1.08), aspect="equal")
    ax.set_axis_off()
alt = "400 samples in a triangle: a clump in the middle at temperature 5, at 0.1 nearly all in the corners."
plot.show(fig, "04_simplex", alt, {"temperatures": temperatures, "points": points})
interactive.offer(interactive.temperature_on_the_simplex)  # in JupyterLab: sliders

# %% [markdown]
# The four triangles show the same 400 noise vectors, coloured by the hard sample. As $\lambda$ falls, each
# point moves from the middle towards its own corner. It never leaves the third of the triangle where its
# colour is the nearest corner. In JupyterLab a fifth triangle has sliders for the temperature and the logits.
#
# ## The mean and the argmax
#
# **The question.** A hard sample has mean $\pi$. Has the relaxed sample?
#
# **The formula.** $E[x]$ is an integral over the noise. The softmax depends on the differences
# $v_1 = \epsilon_1 - \epsilon_3$ and $v_2 = \epsilon_2 - \epsilon_3$ only, and these have a density in closed
# form. For $K$ categories, multiply the $K$ Gumbel densities and integrate over the last variable, with the
# substitution $t = e^{-\epsilon_K}$ of chapter 03:
#
# $$p(v_1, \ldots, v_{K-1}) = e^{-v_1 - \cdots - v_{K-1}} \int_0^\infty t^{K-1}\, e^{-t\,s}\, dt
# = (K-1)!\; \frac{e^{-v_1 - \cdots - v_{K-1}}}{s^K}, \qquad s = 1 + e^{-v_1} + \cdots + e^{-v_{K-1}} .$$
#
# So a sum over a grid of $(v_1, v_2)$ gives $E[x]$ to many digits, without a random number. The samples must
# agree with it within five standard errors.

# %%
step = 0.1
v = torch.arange(-45, 45, step, dtype=torch.float64)
differences = torch.stack([*torch.meshgrid(v, v, indexing="ij"), torch.zeros(900, 900)], -1)  # (900, 900, 3)
log_p = math.log(2) - differences.sum(-1) - 3 * torch.logsumexp(-differences, -1)
weights = log_p.exp() * step**2
claim("04.noise_mass", weights.sum(), 1, 1e-9, "a density integrates to one")

n = 400_000
gumbel = noise.gumbel((n, 3), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
for t in (1.0, 0.1):
    exact = (weights[..., None] * torch.softmax((logits + differences) / t, -1)).sum((0, 1))
    relaxed = sampling.gumbel_softmax(logits, gumbel, t)
    for k in range(3):
        error = 5 * stats.standard_error(relaxed[:, k])
        claim(f"04.mean.{t}.{k + 1}", relaxed[:, k].mean(), exact[k], error, "quadrature over the noise")

hard = sampling.gumbel_max(logits, gumbel).argmax(-1)
for t in (0.1, 1.0, 10.0):
    assert torch.equal(sampling.gumbel_softmax(logits, gumbel, t).argmax(-1), hard)
print("argmax against pi:", stats.categorical_fit(torch.bincount(hard), pi))

# %% [markdown]
# At temperature 1, the article's case, the mean is $(0.238, 0.315, 0.447)$ and $\pi$ is $(0.2, 0.3, 0.5)$.
# The mean is pulled towards the centre. At temperature $0.1$ it is $(0.201, 0.300, 0.499)$.
#
# The argmax is another matter. At each of three temperatures the argmax of the relaxed sample is the hard
# sample, draw by draw, because the order of the entries never changes. So its distribution is exactly $\pi$
# at every temperature. A check that looks only at the argmax therefore says nothing about the temperature.
#
# ## The density
#
# **The question.** Some losses need $\ln p(x)$ of a relaxed sample, for example to compare a relaxed $q$ with
# a relaxed prior. What is it?
#
# **The formula.** Take logarithms, $y = \ln x$. The log-ratio $y_k - y_K$ is
# $(\ln\pi_k - \ln\pi_K + v_k)/\lambda$: the noise difference $v_k$, shifted and scaled. Put that into the
# density above:
#
# $$\ln p = \ln (K-1)! + (K-1)\ln\lambda + \sum_k (\ln\pi_k - \lambda y_k)
# - K \ln \sum_k e^{\ln\pi_k - \lambda y_k}.$$
#
# This is the density of $y$ [Maddison et al. 2016, appendix C], measured in the $K - 1$ log-ratios. The
# library's `concrete_log_density` is this one. The density of $x$, measured in $x_1, \ldots, x_{K-1}$, is
# larger by the Jacobian:
#
# $$\ln p(x) = \ln p(y) - \sum_k \ln x_k .$$
#
# Each integrates to one in its own coordinates, and in no other.

# %%
uniform = torch.zeros(2, dtype=torch.float64)


def density_of_x(first: float, logits: Tensor, temperature: float, jacobian: bool = True) -> float:
    """Concrete density for K = 2 at x = (first, 1 - first)."""
    y = torch.tensor([math.log(first), math.log1p(-first)], dtype=torch.float64)
    log_p = density.concrete_log_density(y, logits, temperature)
    return math.exp(float(log_p) - float(y.sum()) * jacobian)


for t in (0.5, 2.0):
    total = quad(density_of_x, 0, 1, args=(torch.tensor([0.7, 0.3], dtype=torch.float64).log(), t))[0]
    claim(f"04.mass2.{t}", total, 1, 1e-6, "a density integrates to one: K = 2, in x")
    log_p = density.concrete_log_density(torch.log_softmax(differences, -1), logits, t)
    claim(f"04.mass3.{t}", log_p.exp().sum() * step**2, 1, 1e-6, "the same: K = 3, in log-ratios")
forgotten = quad(density_of_x, 0, 1, args=(uniform, 1.0, False))[0]
claim("04.forgotten", forgotten, 1 / 6, 1e-6, "closed form: the integral of x (1 - x)")

# %%
odds = torch.tensor([0.7, 0.3], dtype=torch.float64).log()
temperatures = [0.3, 1.0, 3.0]
ratio = torch.linspace(-12, 12, 241, dtype=torch.float64)  # ln x_1 - ln x_2
shares = torch.linspace(0.005, 0.995, 199, dtype=torch.float64)
in_x, in_ratio = [], []
for t in temperatures:
    y = torch.stack([shares.log(), torch.log1p(-shares)], -1)  # (199, 2)
    in_x.append(torch.exp(density.concrete_log_density(y, odds, t) - y.sum(-1)))
    y = torch.log_softmax(torch.stack([ratio, torch.zeros_like(ratio)], -1), -1)  # (241, 2)
    in_ratio.append(torch.exp(density.concrete_log_density(y, odds, t)))
fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3.8))
for t, a, b, line in zip(temperatures, in_x, in_ratio, ["-", "--", "-."], strict=True):
    left.plot(shares, a, line)
    right.plot(ratio, b, line, label=rf"$\lambda$ = {t:g}")
left.set(xlabel=r"$x_1$", ylabel="density", xlim=(0, 1), ylim=(0, 4), title="in x")
right.set(xlabel=r"$\ln x_1 - \ln x_2$ (nats)", ylabel="density (1/nats)", title="in the log-ratio")
right.legend(loc="upper right", fontsize=12)
alt = "Density in x: U-shaped at temperature 0.3, sloping at 1, a hump at 3. In the log-ratio: always a hump."
plot.show(fig, "04_density", alt, {"x": shares, "in_x": in_x, "log_ratio": ratio, "in_ratio": in_ratio})

# %% [markdown]
# The same three distributions with $\pi = (0.7, 0.3)$. In $x$ the low temperature has most of its mass near
# the corners and little in the middle. In the log-ratio every temperature has one hump. So a sentence about
# modes must name its coordinates.
#
# The last claim above forgets the Jacobian, and its total is one sixth. That bug raises no error and shifts
# every log-density by an amount that depends on the sample.
#
# ## Three thresholds
#
# **The question.** In $x$, when does the density have a mode (a local maximum) *inside* the simplex? That of
# a relaxation for discrete codes should have none: its samples should prefer corners. Texts give several
# thresholds. There are three statements, all about the density of $x$ on the simplex:
#
# 1. *Below $\lambda = 1$ there is no interior mode*, at any $\pi$ and any $K$.
# 2. *Above $\lambda = 1$ uniform $\pi$ has one*, at the centre, for any $K$.
# 3. *The density is log-convex for every $\pi$ exactly if $\lambda \le 1/(K-1)$.* Log-convex is more than "no
#    interior mode": $\ln p$ curves upward everywhere.
#
# The third is often quoted as if it were the first. For $K = 2$ they agree; for $K = 10$ they are $1/9$ and
# $1$.
#
# **The formula.** Let $w_k = \pi_k x_k^{-\lambda} / \sum_j \pi_j x_j^{-\lambda}$. Move $x_k$ by a relative
# step, $x_k (1 + e_k)$, with $\sum_k x_k e_k = 0$ so that the sum stays 1. Then $\ln p(x)$ has the second
# derivative
#
# $$C(e) = (\lambda + 1) \sum_k (1 - K\lambda w_k)\, e_k^2 + K\lambda^2 \Big(\sum_k w_k e_k\Big)^2 .$$
#
# A stationary point has $K\lambda w_k = \lambda + 1 - K x_k$ for every $k$. This equation gives $w$, and so
# $\pi$, from $x$: **each point $x$ with all $x_k < (\lambda + 1)/K$ is stationary for exactly one $\pi$.** A
# scan over points $x$ is therefore a scan over all stationary points at all $\pi$. A mode has $C \le 0$ in
# all directions.
#
# In the cells below, `scan` draws points and reports two numbers. The first is the lowest curvature at any
# point and any $\pi$: the density is log-convex where it is at least 0. The second looks at stationary points
# only, takes the *largest* curvature of each, and reports the lowest of these: there is no interior mode
# where it is positive.


# %%
def curvatures(x: Tensor, w: Tensor, t: float) -> Tensor:
    """Eigenvalues, ascending, of C at temperature t on the steps e with sum x e = 0: (..., K - 1)."""
    k = x.shape[-1]
    form = torch.diag_embed((t + 1) * (1 - k * t * w)) + k * t**2 * w[..., :, None] * w[..., None, :]
    columns = torch.cat([x[..., None], torch.eye(k, dtype=x.dtype)[:, 1:].expand(*x.shape, k - 1)], -1)
    steps = torch.linalg.qr(columns).Q[..., 1:]  # (..., K, K - 1): orthogonal to x
    return torch.linalg.eigvalsh(steps.mT @ form @ steps)


def scan(k: int, t: float, n: int = 3000) -> tuple[float, float, Tensor, Tensor]:
    """Lowest curvature of all points; lowest top curvature of the stationary points; these points."""
    spread = noise.gumbel((2, n, k), generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    x, w = torch.softmax(6 * spread, -1)  # (n, K) each; far into the corners
    lowest = curvatures(x, w, t).min()
    x = torch.softmax(
        spread[0] * torch.linspace(0, 2, n, dtype=torch.float64)[:, None], -1
    )  # from the centre
    x = x[(x < (t + 1) / k).all(-1)]
    top = curvatures(x, (t + 1 - k * x) / (k * t), t)[:, -1]
    return float(lowest), float(top.min()), x, top


# %%
for k in (2, 4, 10):
    claim(f"04.no_mode.{k}", scan(k, 0.95)[1], 0, 0, "below 1: no interior mode", relation=">=")
    claim(
        f"04.mode.{k}", scan(k, 1.05)[3][0], (1 + 1.05) * (1 - 1.05), 1e-9, "at the centre: 1 - temperature^2"
    )
    claim(f"04.convex.{k}", scan(k, 1 / (k - 1))[0], 0, 1e-9, "at 1 / (K - 1): log-convex", relation=">=")
    claim(f"04.not_convex.{k}", scan(k, 1.1 / (k - 1))[0], 0, 0, "10 % above it: no longer", relation="<=")

_, _, x, top = scan(3, 1.2, n=20_000)
modes = x[top < 0]
of_mode = torch.log((2.2 - 3 * modes) / 3.6) + 1.2 * torch.log(modes)  # logits that make it stationary
spread = (of_mode.amax(-1) - of_mode.amin(-1)).max()
claim("04.mode_logits", spread, 0.5, 0, "K = 3, temperature 1.2: modes need near-equal logits", relation="<=")

# %%
temperatures = [round(0.05 * i, 2) for i in range(2, 29)]
results = [scan(4, t) for t in temperatures]
lowest, highest = [r[0] for r in results], [r[1] for r in results]
fig, ax = plt.subplots()
ax.axhline(0, color="black", linewidth=1)
ax.plot(temperatures, lowest, "o-", markersize=4)
ax.plot(temperatures, highest, "s--", markersize=4)
for edge, height, text in ((1 / 3, -2.4, r"$1/(K-1)$"), (1.0, 1.25, "1")):
    ax.axvline(edge, color="#888888", linestyle=":")
    ax.text(edge + 0.02, height, text)
ax.set(xlabel=r"temperature $\lambda$", ylabel="curvature of ln p (nats)", xlim=(0.1, 1.4), ylim=(-2.5, 1.5))
ax.text(0.36, -1.75, "any point, any $\\pi$:\nlowest curvature", color=plot.PALETTE[0])
ax.text(0.46, 0.93, "stationary points, any $\\pi$:\nlowest top curvature", color=plot.PALETTE[1])
alt = "K = 4: the lowest curvature of all points crosses zero at one third, that of stationary points at 1."
series: dict[str, object] = {"temperature": temperatures, "lowest": lowest, "highest": highest}
plot.show(fig, "04_thresholds", alt, series, rtol=1e-4)

# %% [markdown]
# The picture is for $K = 4$. The lower curve crosses zero at $1/3$: above it log-convexity fails for some
# $\pi$. The upper curve crosses at 1: only there do modes appear. Between the two there is no interior mode,
# although the density is not log-convex for all $\pi$. And statement 2 is about uniform $\pi$: the last claim
# shows that at $\lambda = 1.2$, $K = 3$, an interior mode needs logits within one half of each other.
#
# A scan shows, a proof settles. At a stationary point the equation above removes $w$:
#
# $$\frac{C(e)}{\lambda + 1} = \sum_k (K x_k - \lambda)\, e_k^2
# + \frac{\lambda + 1}{K} \Big(\sum_k e_k\Big)^2 .$$
#
# Call the largest entry $m = x_1$ and take the step towards its corner, $e_1 = (1 - m)/m$ and $e_k = -1$ for
# the others. The right side is linear in $\lambda$: positive at $\lambda = 0$, and
# $(Km - 1)(1 - 2/K)/m^2 \ge 0$ at $\lambda = 1$. So $C > 0$ for every $\lambda < 1$: the point is no mode. At
# the centre with uniform $\pi$ every curvature is $1 - \lambda^2$, which is negative above 1. And with
# $w_1 \to 1$, $x_1 \to 0$ the step $e = (1, 0, \ldots)$ has $C = 1 - (K-1)\lambda$, which is negative above
# $1/(K-1)$. That the density is log-convex up to there is shown in [Maddison et al. 2016].
#
# ## Bias against variance
#
# **The question.** The relaxed sample exists for its gradient. How good is the gradient?
#
# **The formula.** Take one bit with logit $\ell$ and the loss $f(b) = (b - 0.45)^4$. Enumeration gives the
# exact gradient of its mean:
#
# $$\frac{d}{d\ell} E[f(b)] = \theta (1 - \theta) \left( f(1) - f(0) \right) .$$
#
# The *relaxed* gradient puts the soft bit $x = \sigma((\ell + \text{noise})/\lambda)$ into $f$:
# $f'(x)\, x (1 - x)/\lambda$. The *straight-through* gradient [Jang et al. 2016] runs the loss on the hard
# bit and differentiates as if it were soft: $f'(b)\, x(1 - x)/\lambda$. Each has a mean and a variance over
# the noise. Bias is mean minus exact gradient.
#
# As $\lambda \to 0$ the factor $x(1-x)/\lambda = dx/d\ell$ becomes a narrow spike at the threshold. There
# $\ell + \text{noise}$ has the density $\theta(1-\theta)$, and $x$ runs from 0 to 1. So the relaxed mean
# tends to $\theta(1-\theta)\int_0^1 f'(x)\,dx$, which is exact. Straight-through sees $f'$ only at the two
# ends, each under half of the spike, and its mean tends to $\theta(1-\theta)\,(f'(0) + f'(1))/2$: the
# trapezoid rule with one interval.
#
# The first cell takes the gradients of 400,000 draws with autograd. The second computes their mean and
# variance from the formulas, by an integral over the one noise variable, and compares.


# %%
def autograd_gradients(logistic: Tensor, temperature: float) -> list[Tensor]:
    """Gradient of every draw with respect to its logit: relaxed, and straight-through."""
    logit = torch.zeros_like(logistic).requires_grad_()  # theta = 0.5
    soft = sampling.binary_concrete(logit, logistic, temperature)
    hard = sampling.bernoulli_threshold(logit, logistic)
    mixed = sampling.straight_through(hard, soft)
    assert torch.equal(mixed, hard)  # its value is exactly hard
    losses = [((z - 0.45) ** 4).sum() for z in (soft, mixed)]
    return [torch.autograd.grad(loss, logit, retain_graph=True)[0] for loss in losses]


logit = torch.zeros((), dtype=torch.float64, requires_grad=True)
theta = torch.sigmoid(logit)
enumerated = theta * 0.55**4 + (1 - theta) * 0.45**4
exact_gradient = float(torch.autograd.grad(enumerated, logit)[0])
claim("04.exact", exact_gradient, 0.25 * (0.55**4 - 0.45**4), 1e-6, "theta (1 - theta) (f(1) - f(0))")
logistic = noise.logistic(n, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
measured = {t: autograd_gradients(logistic, t) for t in (0.1, 0.2, 0.5, 1.0, 2.0)}


# %%
def moments(temperature: float, power: int = 4) -> list[tuple[float, float]]:
    """Mean and variance, by quadrature, of the two gradients of (b - 0.45)^power at theta = 0.5."""
    y = (torch.arange(-9000, 9000, dtype=torch.float64) + 0.5) * 0.005  # the threshold is between two points
    mass = density.logistic_log_density(y).exp() * 0.005
    x = torch.sigmoid(y / temperature)
    slopes = torch.stack([power * (z - 0.45) ** (power - 1) for z in (x, (y > 0).double())])
    gradients = slopes * x * (1 - x) / temperature  # (2, 18000)
    means = (mass * gradients).sum(-1)
    variances = (mass * (gradients - means[:, None]) ** 2).sum(-1)
    return list(zip(means.tolist(), variances.tolist(), strict=True))


for t in (0.1, 1.0):
    for name, sample, row in zip(("relaxed", "straight"), measured[t], moments(t), strict=True):
        square = (sample - sample.mean()).square()
        claim(f"04.{name}.{t}", sample.mean(), row[0], 5 * stats.standard_error(sample), "quadrature")
        claim(f"04.{name}2.{t}", square.mean(), row[1], 5 * stats.standard_error(square), "variance, as well")
limit = 0.25 * (4 * 0.55**3 - 4 * 0.45**3) / 2  # theta (1 - theta) (f'(0) + f'(1)) / 2
slack = limit * 0.05**2 * math.pi**2 / 12  # the first term that the limit drops
claim("04.straight.limit", moments(0.05)[1][0], limit, slack, "trapezoid rule")

# %%
temperatures = [0.05 * 1.2**i for i in range(21)]
rows = [moments(t) for t in temperatures]
bias = [[(row[i][0] - exact_gradient) ** 2 for row in rows] for i in (0, 1)]
variance = [[row[i][1] for row in rows] for i in (0, 1)]
dots = [[float(g[i].var()) for g in measured.values()] for i in (0, 1)]

fig, ax = plt.subplots(figsize=(7, 4.8))
for i, name in enumerate(("relaxed", "straight-through")):
    colour = plot.PALETTE[i]
    ax.loglog(temperatures, variance[i], color=colour, label=f"{name}: variance")
    ax.loglog(temperatures, bias[i], "--", color=colour, label=f"{name}: squared bias")
    ax.loglog(list(measured), dots[i], "o", color=colour)
ax.set(xlabel=r"temperature $\lambda$", ylabel="squared gradient (nats²)", ylim=(1e-9, 100))
ax.legend(loc="upper center", ncols=2, fontsize=11)
alt = (
    "Both variances fall with temperature; squared bias starts near 0 for relaxed, high for straight-through."
)
series = {"temperature": temperatures, "squared_bias": bias, "variance": variance, "measured": dots}
plot.show(fig, "04_bias_variance", alt, series, rtol=1e-4)
interactive.offer(interactive.bias_and_variance)  # in JupyterLab: sliders

# %% [markdown]
# Lines are quadrature, dots are variances of 400,000 autograd gradients. The exact gradient is 0.0126. At
# temperature 1 the mean of the relaxed gradient is 0.0051, less than half of it. At $0.1$ it is 0.0124. The
# straight-through mean tends to 0.0376, about three times the exact gradient.
#
# A lower temperature buys a smaller bias and pays with variance, which grows like $1/\lambda$. For
# straight-through it buys nothing here: the bias rises to the error of the trapezoid rule, and the variance
# grows as well. In JupyterLab the sliders move the relaxed gradient, and the number of draws in an average:
# more draws lower the variance and not the bias, so the best temperature falls (exercise 2).
#
# ## What could go wrong
#
# **The temperature before the noise.** $\mathrm{softmax}(\ln\pi/\lambda + \epsilon)$ looks much like Eq. (2).
# Its argmax is a sample of $\pi_k^{1/\lambda}/\sum_j \pi_j^{1/\lambda}$, another distribution. The check of
# the argmax finds it.
#
# **A temperature of zero or below.** `torch.nn.functional.gumbel_softmax` does not look at its `tau`. Zero
# gives NaN. A negative one turns the order round: its hard sample is the argmin.
#
# **The softmax over all variables at once.** An encoder for $N$ variables returns $N K$ numbers in one row. A
# softmax over the row is a distribution over $N K$ categories, not $N$ distributions over $K$.
#
# **Densities and gradients outside log-space.** At low temperature the entries of $x$ underflow. The
# logarithm of 0 is infinite, and the density becomes infinity minus infinity. `RelaxedOneHotCategorical` of
# `torch.distributions` works with $x$, and so returns NaN for its own samples. The relaxed bit of the same
# module goes through the probability (chapter 03), and clamps it: a logit of 30 is sampled as
# $\ln(2^{23} - 1)$ and gets no gradient. The library stays with $y = \ln x$ and with logits.

# %%
before_noise = torch.softmax(logits / 0.5 + gumbel, -1).argmax(-1)
print("temperature first:", stats.categorical_fit(torch.bincount(before_noise), pi))
q = 0.5**2 / (0.2**2 + 0.3**2 + 0.5**2)
share = (before_noise == 2).double().mean()
claim("04.before_noise", share, q, 5 * math.sqrt(q * (1 - q) / n), "squared and normalized: pi_3 is 0.5")

torch.manual_seed(0)  # torch's function takes no generator
peaked = torch.tensor([[0.0, 5.0, 0.0]], dtype=torch.float64).expand(10_000, 3)
print("\ntorch, tau = 0: ", torch_gumbel_softmax(peaked[0], tau=0.0))
for tau in (1.0, -1.0):
    counts = torch_gumbel_softmax(peaked, tau=tau, hard=True).sum(0).int().tolist()
    print(f"torch, tau = {tau:4}: counts {counts} for logits [0, 5, 0]")
try:
    sampling.gumbel_softmax(peaked[0], gumbel[0], temperature=0.0)
except ValueError as error:
    print("library:        ", error)
flat = gumbel[:2].reshape(6)  # N = 2 variables, K = 3 categories
print("\nmass of each variable, flat:", torch.softmax(flat, -1).reshape(2, 3).sum(-1), end="  ")
print("by variable:", torch.softmax(flat.reshape(2, 3), -1).sum(-1))

# %%
torch.manual_seed(0)
ten = torch.zeros(10)  # float32, as in a network
theirs = RelaxedOneHotCategorical(torch.tensor(0.05), logits=ten, validate_args=False)
x = theirs.rsample((100_000,))
broken = theirs.log_prob(x).isnan()
assert torch.equal(broken, (x == 0).any(-1))  # an entry has underflowed
print(f"torch:   log-density is NaN for {broken.double().mean():.0%} of its own samples")
ten_gumbel = noise.gumbel((100_000, 10), generator=torch.Generator().manual_seed(5))
y = sampling.gumbel_log_softmax(ten, ten_gumbel, 0.05)
print("library: all finite:", bool(density.concrete_log_density(y, ten, 0.05).isfinite().all()))

sure = torch.tensor([30.0, -30.0], requires_grad=True)  # logits of two bits
torch_mean = LogitRelaxedBernoulli(torch.tensor(0.5), logits=sure).rsample((n,)).double().mean(0)
two_noise = noise.logistic((n, 2), generator=torch.Generator().manual_seed(6))
mean = sampling.binary_concrete_logit(sure, two_noise, 0.5).double().mean(0)
for name, value in (("torch:  ", torch_mean), ("library:", mean)):
    print(name, "gradient", [round(g, 3) for g in torch.autograd.grad(value.sum(), sure)[0].tolist()])
slack = 5 * (math.pi / math.sqrt(3) / 0.5) / math.sqrt(n)  # the logistic standard deviation is pi / sqrt 3
claim("04.clamped", torch_mean[0].detach(), math.log(2**23 - 1) / 0.5, slack, "clamped logit / temperature")
claim("04.kept", mean[0].detach(), 30 / 0.5, slack, "logit / temperature")

# %% [markdown]
# With the temperature first the third category comes with a share of 0.658 where $\pi_3 = 0.5$. With the flat
# softmax the two variables share a mass of 1; each should have 1.
#
# In the second cell one in seven samples of ten equal categories, at $\lambda = 0.05$, has no density. The
# clamped logit, divided by the temperature, has a mean near 31.9 where 60 is right.
#
# ## Exercises
#
# **1. The curvature by autograd.** The formula for $C$ was stated, not derived. Derive it, and check it:
# write `autograd_curvatures(x, logits, temperature)` for one point $x$. It differentiates
# $\ln p(x_k (1 + e_k))$ twice in $e$ at 0 with `torch.autograd.functional.hessian`, and returns the
# eigenvalues on the steps with $\sum_k x_k e_k = 0$. You are done when it equals `curvatures` at
# $x = (0.2, 0.3, 0.1, 0.4)$, equal logits (they give the $w$ of the text) and $\lambda = 0.7$. Mind the
# Jacobian.


# %% tags=["solution"]
# Solution 1
def autograd_curvatures(x: Tensor, logits: Tensor, temperature: float) -> Tensor:
    """Eigenvalues of the second derivative of the log-density of x (1 + e)."""

    def log_density_after(e: Tensor) -> Tensor:
        y = torch.log(x * (1 + e))
        return density.concrete_log_density(y, logits, temperature) - y.sum(-1)

    hessian = torch.autograd.functional.hessian(log_density_after, torch.zeros_like(x))
    steps = torch.linalg.qr(torch.cat([x[:, None], torch.eye(4, dtype=x.dtype)[:, 1:]], -1)).Q[:, 1:]
    return torch.linalg.eigvalsh(steps.mT @ hessian @ steps)


# On paper: ln p(x (1 + e)) = const - (t + 1) sum ln(1 + e) - K ln sum w (1 + e)^-t, to second order in e.
x = torch.tensor([0.2, 0.3, 0.1, 0.4], dtype=torch.float64)
by_autograd = autograd_curvatures(x, torch.zeros_like(x), 0.7)
torch.testing.assert_close(by_autograd, curvatures(x, torch.softmax(-0.7 * torch.log(x), -1), 0.7))
print("curvatures:", by_autograd)

# %% [markdown]
# **2. The best temperature.** The mean of $n$ relaxed gradients has the squared error bias² + variance$/n$.
# Write `best_temperature(n)`, which searches `temperatures` and `rows` of the last figure. You are done when
# the temperature falls from $n = 1$ to $100$ to $10{,}000$. What does that say about lowering the temperature
# far in a training run with a small batch?


# %% tags=["solution"]
# Solution 2
def best_temperature(n: int) -> float:
    """Temperature with the smallest mean squared error of an average of n relaxed gradients."""
    errors = [(mean - exact_gradient) ** 2 + variance / n for (mean, variance), _ in rows]
    return temperatures[errors.index(min(errors))]


best = [round(best_temperature(n), 3) for n in (1, 100, 10_000)]
assert best[0] > best[1] > best[2]
print("best temperature for 1, 100 and 10,000 draws:", best)
# With few draws variance rules: a temperature below what the batch can average away makes the gradient worse.
# (The first value is the end of the grid; with one draw the best temperature lies above it.)

# %% [markdown]
# **3. Where straight-through is right.** Repeat the limit with the loss $(b - 0.45)^2$ (`power=2`). Write
# `trapezoid_error(power)`: the limit of the straight-through mean minus the exact gradient, at
# $\theta = 0.5$. You are done when it is 0 for power 2 and the difference in the text, $0.025$, for power 4,
# and when `moments(0.05, power=2)` agrees with its limit as closely as in the text. Why did the text not use
# the square?


# %% tags=["solution"]
# Solution 3
def trapezoid_error(power: int) -> float:
    """Error of the trapezoid rule for the integral of f' from 0 to 1, times theta (1 - theta)."""
    slopes = power * (0.55 ** (power - 1) + (-0.45) ** (power - 1)) / 2
    return 0.25 * (slopes - (0.55**power - (-0.45) ** power))


claim("04.trapezoid.2", trapezoid_error(2), 0, 1e-6, "the trapezoid rule is exact for a linear f'")
claim("04.trapezoid.4", trapezoid_error(4), limit - exact_gradient, 1e-6, "limit minus enumeration")
square = 0.25 * (0.55**2 - 0.45**2)
claim(
    "04.straight.square",
    moments(0.05, power=2)[1][0],
    square,
    square * 0.05**2 * math.pi**2 / 12,
    "enumeration",
)
# f' of a square is linear, the trapezoid rule is exact, and the bias would not have shown.

# %% [markdown]
# ## What you can now do
#
# - You have computed relaxed samples by hand, and seen them go to the centre and to the corners.
# - You have shown that the argmax of the relaxed sample is exact at every temperature, and that its mean is
#   not $\pi$.
# - You have integrated the Concrete density in $x$ and in log-ratios, and told three thresholds apart: no
#   interior mode below 1, one for uniform $\pi$ above 1, log-convex for all $\pi$ up to $1/(K-1)$.
# - You have measured bias and variance against an exact gradient, and seen what straight-through computes in
#   the limit.
# - You have seen five bugs at work: temperature before noise, temperature zero or negative, a flat softmax, a
#   forgotten Jacobian, and densities outside log-space.
#
# ## References
#
# - E. Jang, S. Gu and B. Poole. Categorical reparameterization with Gumbel-Softmax. arXiv:1611.01144, 2016.
# - C. J. Maddison, A. Mnih and Y. W. Teh. The Concrete distribution: a continuous relaxation of discrete
#   random variables. arXiv:1611.00712, 2016.
