# %% [markdown]
# # 11. Discrete choice: where the trick came from
#
# Long before it made networks sample, Gumbel noise explained why people take the bus: this chapter derives
# the logit model, fits it, breaks it with a pot of paint, and mends it with noise that is drawn exactly.
#
# *Minutes:* about 40 to read, seconds to run. *Hardware:* any laptop. *Before this:* chapters 01, 02 and
# 04.
#
# After this chapter you can
#
# - derive the logit model from random utility, and say how far another noise would move its shares;
# - say what the scale and the location of the noise mean, and what a set of alternatives is worth;
# - fit a choice model with standard errors, check the errors, and use a whole ranking when there is one;
# - say why the logit model gives a repainted bus too many passengers, and derive the nested logit that
#   does not;
# - draw correlated Gumbel noise exactly, and read a VAE's categorical code as a choice.

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
import torch
from scipy import integrate, optimize, stats
from torch import Tensor
from torch.func import grad, grad_and_value, jacrev, vmap

from catvae_lib import density, noise, sampling
from catvae_lib.classroom import plot
from catvae_lib.classroom.claims import claim
from catvae_lib.classroom.stats import categorical_fit, continuous_fit, standard_error

torch.set_default_dtype(torch.float64)
torch.set_printoptions(precision=4, sci_mode=False)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# %% [markdown]
# ## The question
#
# A traveller can take the car, the bicycle, the bus or the train. We know what each costs and how long it
# takes. Two travellers with the same numbers still choose differently. How can a model say *which share*
# takes the bus, and what happens to that share when the fare changes?
#
# ## The formula
#
# Economists answer with *random utility*. Alternative $j$ is worth
#
# $$U_j = V_j + \epsilon_j$$
#
# to a traveller. $V_j$ is what we can compute from cost and time. The noise $\epsilon_j$ is everything
# that the traveller knows and we do not. The traveller takes the largest $U_j$.
#
# This is the article's Eq. (1) with $V_j$ in the place of $\ln\pi_j$, and it is older. Thurstone put
# normal noise on two utilities [Thurstone 1927]. Luce derived the softmax from an axiom, without noise
# [Luce 1959]. McFadden found the noise, Gumbel's, that joins the two [McFadden 1974]. The textbook of the
# field, [Ben-Akiva and Lerman 1985], is the article's source for the difference of two Gumbel variables.
# Nobody needed a trick for sampling there: people had made the choices.
#
# Let the $\epsilon_j$ be independent, each with the same density $f$ and distribution function $F$. If the
# traveller's own noise for $j$ is $e$, then $j$ beats $k$ when $\epsilon_k < e + V_j - V_k$. So
#
# $$P_j = \int f(e) \prod_{k \ne j} F(e + V_j - V_k)\, de .$$
#
# This one-dimensional integral holds for any such noise. Gumbel noise has $F(e) = \exp(-e^{-e})$ and
# $f(e) = e^{-e} F(e)$. With $t = e^{-e}$ each factor becomes $\exp(-t\, e^{V_k - V_j})$, the $f$ supplies
# the one with $k = j$, and $-dt = e^{-e}\, de$. What remains is the integral of one exponential:
#
# $$P_j = \int_0^\infty \exp\Big(-t \sum_k e^{V_k - V_j}\Big)\, dt = \frac{1}{\sum_k e^{V_k - V_j}}
# = \frac{e^{V_j}}{\sum_k e^{V_k}} .$$
#
# That is the *logit* model. Chapter 02 proved the same with a race.
#
# ## By hand
#
# The integral by quadrature, the softmax, and simulated travellers must agree.


# %%
def share(v: Tensor, j: int, law) -> float:
    """The integral above for one alternative and any noise, a distribution of scipy.stats."""

    def integrand(e: float) -> float:
        return law.pdf(e) * math.prod(law.cdf(e + float(v[j] - v[k])) for k in range(len(v)) if k != j)

    return integrate.quad(integrand, -12, 40, points=[-2, 2, 6], epsabs=1e-12, limit=200)[0]


utility = torch.tensor([1.0, 0.5, 0.0])
logit_shares = torch.exp(utility) / torch.exp(utility).sum()
for j in range(3):
    claim(f"11.logit.{j + 1}", share(utility, j, stats.gumbel_r), logit_shares[j], 1e-6, "softmax")

n = 200_000
epsilon = noise.gumbel((n, 3), generator=generator(1))
choice = sampling.gumbel_max(utility, epsilon)
assert torch.equal(choice.argmax(-1), (utility + epsilon).argmax(-1))
print("200,000 travellers:", categorical_fit(choice.sum(0), logit_shares))

# %% [markdown]
# ## Another noise
#
# **The question.** Why Gumbel? A sum of many small unknown things should be normal.
#
# **The formula.** Independent normal noise gives the *probit* model. With two alternatives it has a closed
# form, because the difference of two normal variables is normal. Gumbel noise has the variance $\pi^2/6$;
# give the normal noise the same. Then, with $\Delta = V_1 - V_2$ and $\Phi$ the normal distribution
# function,
#
# $$P_1^\text{logit} = \frac{1}{1 + e^{-\Delta}}, \qquad
# P_1^\text{probit} = \Phi\!\left(\frac{\Delta}{\pi/\sqrt 3}\right) .$$
#
# From three alternatives on the probit needs the integral. The cell compares both, and looks at the ratio
# $P_1/P_2$ with and without a third alternative.

# %%
normal, sigma = stats.norm(scale=math.pi / math.sqrt(6)), math.pi / math.sqrt(3)
far = torch.tensor([-6.0, 0.0])
claim("11.probit.tail", share(far, 0, normal), stats.norm.cdf(-6 / sigma), 1e-8, "closed form")
probit = torch.tensor([share(utility, j, normal) for j in range(3)])
claim("11.probit.three", (probit - logit_shares).abs().max(), 0.01, 0, "1 %", relation="<=")
for name, law in (("logit", stats.gumbel_r), ("probit", normal)):
    ratios = [share(v, 0, law) / share(v, 1, law) for v in (utility[:2], utility)]
    print(f"P_1 / P_2, {name:6}: {ratios[0]:.4f} with two alternatives, {ratios[1]:.4f} with three")
gap = torch.linspace(-8, 8, 641)
curves = {"logit": torch.sigmoid(gap), "probit": torch.special.ndtr(gap / sigma)}
claim("11.probit.pair", (curves["logit"] - curves["probit"]).abs().max(), 0.03, 0, "3 %", relation="<=")
fig, axes = plt.subplots(1, 2, figsize=(8, 3.8))
for ax, scale in zip(axes, ("linear", "log"), strict=True):
    for (name, curve), line in zip(curves.items(), ("-", "--"), strict=True):
        ax.plot(gap, curve, line, label=name)
    ax.set(xlabel=r"$V_1 - V_2$ (utility)", ylabel="share of alternative 1", yscale=scale, xlim=(-8, 8))
axes[1].set(ylim=(1e-6, 2), xlim=(-8, 2))
axes[1].legend(loc="lower right")
alt = "Two S-shaped curves, hardly apart. On a logarithmic axis the probit falls far below on the left."
plot.show(fig, "11_logit_and_probit", alt, {"gap": gap, **curves})

# %% [markdown]
# The same two curves twice. On the linear axis they can hardly be told apart; on the logarithmic one the
# probit gives the hopeless alternative a far smaller share.
#
# With two alternatives the shares differ by at most 0.023, in the example with three by at most 0.006. This
# is no bound for many alternatives: one at $V = 4$ against 29 at 0 differs by more than $0.1$. The tails
# differ by a factor: with $\Delta = -6$ the logit gives $1/(1 + e^6) = 0.0025$, the probit 0.0005. And one
# property is the logit's alone. Its ratio $P_1/P_2$ is $e^{V_1 - V_2}$, whatever else there is to choose.
# The probit's ratio moves a little when a third alternative comes. The red bus will return to this.
#
# ## Scale, location, and what a choice is worth
#
# **Scale.** Let the noise be larger, $U_j = V_j + \lambda\epsilon_j$. Divide all utilities by $\lambda$.
# That changes no winner, so
#
# $$P_j = \frac{e^{V_j/\lambda}}{\sum_k e^{V_k/\lambda}} .$$
#
# The scale of the noise is a *temperature*. For $\lambda \to 0$ the traveller always takes the largest
# $V_j$; for $\lambda \to \infty$ all alternatives are equally likely. The data show $V/\lambda$ only:
# twice the utilities with twice the noise give the same choice, traveller by traveller. So one fixes
# $\lambda = 1$.
#
# Keep this apart from chapter 04. There $(V_j + \epsilon_j)/\lambda$ divides noise and utility alike, and
# the winner stays. Here $\lambda$ multiplies the noise alone, and the shares change. What is a bug there,
# the temperature before the noise, is a model of a more or less careful traveller here.
#
# **Location.** A constant added to all $V_j$, or to all $\epsilon_j$, changes no winner either. The mean
# of the noise, $\gamma = 0.5772\ldots$, is therefore invisible. One alternative serves as the zero.
#
# **What a choice is worth.** By chapter 02 the largest utility is a Gumbel variable with location
# $\ln\sum_j e^{V_j}$. Its mean is
#
# $$E\big[\max_j U_j\big] = \ln \sum_j e^{V_j} + \gamma .$$
#
# This *logsum* is the consumer surplus of the set of alternatives, in units of utility. Divide it by the
# utility of one euro and it is money. Only differences mean anything: the surplus after a change minus
# that before. Its derivative with respect to $V_j$ is $P_j$, because raising $V_j$ a little raises the
# maximum exactly when $j$ is chosen: improving an alternative is worth as much as it is used.

# %%
thirty = torch.cat([torch.tensor([4.0]), torch.zeros(29)])
many = abs(share(thirty, 0, normal) - torch.softmax(thirty, -1)[0])
claim("11.probit.thirty", many, 0.1, 0, "10 %", relation=">=")
best = (utility + epsilon).amax(-1)
logsum = torch.logsumexp(utility, -1)
claim(
    "11.logsum", best.mean(), logsum + stats.gumbel_r.mean(), 5 * standard_error(best), "ln sum exp V + gamma"
)
torch.testing.assert_close(grad(lambda v: torch.logsumexp(v, -1))(utility), logit_shares)

twice = sampling.gumbel_max(2 * utility, 2 * epsilon)
assert torch.equal(twice, choice) and torch.equal(sampling.gumbel_max(utility + 7, epsilon), choice)
for temperature in (0.1, 1.0, 10.0):
    loud = noise.gumbel((n, 3), scale=temperature, generator=generator(2))
    exact = torch.softmax(utility / temperature, -1)
    fit = categorical_fit(sampling.gumbel_max(utility, loud).sum(0), exact)
    assert not fit.rejected
    print(f"temperature {temperature:4}: shares", exact, f" simulated: p = {fit.p_value:.2f}")
spread = (epsilon[:, 0] - epsilon.mean()).square()
claim("11.variance", spread.mean(), math.pi**2 / 6, 5 * standard_error(spread), "variance of Gumbel noise")

# %% [markdown]
# ## Fitting a model to choices
#
# **The question.** A survey records, for each traveller, cost and time of all four alternatives, and what
# was chosen. What are the coefficients, and how sure are they?
#
# **The formula.** Let
# $V_{nj} = a_j + \beta_\text{cost}\, \text{cost}_{nj} + \beta_\text{time}\, \text{time}_{nj}$, in short
# $x_{nj} \cdot \beta$, with a constant $a_j$ for each alternative but the car, which is the zero. With
# $y_n$ the one-hot choice, the log-likelihood is
#
# $$\ell(\beta) = \sum_n \sum_j y_{nj} \ln P_{nj}, \qquad
# -\nabla^2 \ell = \sum_n \sum_j P_{nj}\, (x_{nj} - \bar x_n)(x_{nj} - \bar x_n)^\top, \qquad
# \bar x_n = \sum_j P_{nj}\, x_{nj} .$$
#
# This is the *conditional logit*. The second formula is a sum of covariance matrices, so $\ell$ is concave:
# a point with gradient 0 is a maximum, and the only one where no direction is flat. Newton's method from 0
# finds it here (the assertions say so). There, the inverse of $-\nabla^2\ell$ estimates the covariance of
# $\hat\beta$; the square roots of its diagonal are the standard errors.
#
# A ratio needs one step more. The *value of time* $r = \beta_\text{time}/\beta_\text{cost}$ is in euros an
# hour. To first order, its variance is $\nabla r^\top C\, \nabla r$ with $C$ the covariance of
# $\hat\beta$: the *delta method*.
#
# The survey is simulated, so we know the right answer: a value of time of 10 euros an hour. Every estimate
# should lie within five standard errors of the truth. But are the standard errors right? One survey cannot
# say. So the last cell repeats the survey 1000 times with 200 travellers each, and counts how often the
# interval $\hat\beta \pm 1.96$ standard errors contains the truth. With right standard errors that is
# nearly 95 % of the surveys; with standard errors a fifth too small it would be 88 %. A count of 1000
# surveys is known up to $5\sqrt{0.95 \cdot 0.05/1000} = 0.034$, so it tells the two apart. Standard errors
# that are too large are better seen in $z$, the error of an estimate in standard errors, whose variance
# must be 1. `vmap` fits all surveys at once.

# %%
MODES = ("car", "bicycle", "bus", "train")
NAMES = ("bicycle", "bus", "train", "cost", "time")  # the first three: constants
TRUE = torch.tensor([0.3, 0.2, 0.5, -0.3, -3.0])  # utility; of one euro; of one hour
LOW = torch.tensor([[2.0, 0.0, 1.0, 2.0], [0.2, 0.4, 0.4, 0.3]])  # cost (euros), time (hours)
HIGH = torch.tensor([[8.0, 0.0, 4.0, 7.0], [0.8, 1.5, 1.2, 1.0]])


def trips(shape: tuple[int, ...], seed: int) -> Tensor:
    """Attributes of the four alternatives, (..., 4, 5): three constants, cost, time."""
    u = noise.uniform((*shape, 2, 4), generator=generator(seed))
    constants = torch.eye(4)[:, 1:].expand(*shape, 4, 3)
    return torch.cat([constants, (LOW + (HIGH - LOW) * u).mT], -1)


def loss(beta: Tensor, x: Tensor, chosen: Tensor) -> Tensor:
    """Negative log-likelihood of the logit model, nats."""
    return -density.categorical_log_prob(chosen, x @ beta).sum()


# %%
def newton(function, start: Tensor, *data: Tensor, steps: int = 8) -> tuple[Tensor, Tensor]:
    """Minimum of a negative log-likelihood, and the covariance of the estimate."""
    hessian = jacrev(grad(function))  # torch.func.hessian asks for forward derivatives, more than we need
    for _ in range(steps):
        start = start - torch.linalg.solve(hessian(start, *data), grad(function)(start, *data))
    return start, torch.linalg.inv(hessian(start, *data))


def delta(function, estimate: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Value of a function of the estimate, and its standard error."""
    slope = grad(function)(estimate)
    return function(estimate), (slope @ covariance @ slope).sqrt()


def report(prefix: str, true: Tensor, estimate: Tensor, covariance: Tensor) -> None:
    for i, error in enumerate(covariance.diagonal().sqrt()):
        claim(f"11.{prefix}.{(*NAMES, 'lambda')[i]}", estimate[i], true[i], 5 * error, "the simulated truth")


# %%
x, eps = trips((3000,), seed=3), noise.gumbel((3000, 4), generator=generator(4))
chosen = sampling.gumbel_max(x @ TRUE, eps)
beta, covariance = newton(loss, torch.zeros(5), x, chosen)
assert grad(loss)(beta, x, chosen).abs().max() < 1e-8  # it is the maximum
p = torch.softmax(x @ beta, -1)[..., None]
centred = x - (p * x).sum(-2, keepdim=True)
by_hand = (p * centred).flatten(0, 1).T @ centred.flatten(0, 1)
torch.testing.assert_close(jacrev(grad(loss))(beta, x, chosen), by_hand)
torch.testing.assert_close(p.mean(0)[:, 0], chosen.mean(0))  # a constant for each: the shares agree

report("fit", TRUE, beta, covariance)
euros, error = delta(lambda b: b[4] / b[3], beta, covariance)
claim("11.fit.value_of_time", euros, 10, 5 * error, "the simulated truth, 3 / 0.3 euros an hour")
print("\n                true  estimate  standard error")
for name, *row in zip(NAMES, TRUE, beta, covariance.diagonal().sqrt(), strict=True):
    print(f"{name:13s}" + "{:7.1f}  {:8.3f}  {:14.3f}".format(*row))
print(f"euros an hour   10.0  {euros:8.3f}  {error:14.3f}")
four = torch.cat([torch.eye(4)[:, :1].expand(3000, 4, 1), x], -1)  # a constant for the car as well
information = jacrev(grad(loss))(torch.zeros(6), four, chosen)
claim("11.singular", torch.linalg.eigvalsh(information)[0], 0, 1e-6, "a common constant changes no winner")

# %%
many_x = trips((1000, 200), seed=5)
many_chosen = sampling.gumbel_max(many_x @ TRUE, noise.gumbel((1000, 200, 4), generator=generator(6)))
fits, covariances = vmap(lambda x, y: newton(loss, torch.zeros(5), x, y, steps=5))(many_x, many_chosen)
ratio, ratio_error = vmap(lambda b, c: delta(lambda b: b[4] / b[3], b, c))(fits, covariances)
z = (fits - TRUE) / covariances.diagonal(dim1=-2, dim2=-1).sqrt()  # (1000, 5): errors in standard errors
claim("11.coverage.z", z.square().mean(), 1, 5 * standard_error(z.square().mean(-1)), "variance of z")
z = torch.cat([z, ((ratio - 10) / ratio_error)[:, None]], -1)  # (1000, 6)
for name, column in zip((*NAMES, "value_of_time"), z.T, strict=True):
    claim(f"11.coverage.{name}", (column.abs() <= 1.96).double().mean(), 0.95, 0.034, "nominal coverage")
order = ratio.argsort()
fig, ax = plt.subplots(figsize=(8, 3.8))
for miss, colour, width in ((False, plot.PALETTE[5], 0.5), (True, plot.PALETTE[1], 1.5)):
    rows = torch.arange(1000)[(z[order, 5].abs() > 1.96) == miss]
    half = 1.96 * ratio_error[order][rows]
    ax.errorbar(rows, ratio[order][rows], half, fmt="none", ecolor=colour, elinewidth=width)
ax.plot(ratio[order], color="black")
ax.axhline(10, color="black", linestyle="dotted")
ax.set(xlabel="simulated survey, by rank of its estimate", ylabel="euros an hour", ylim=(-5, 40))
alt = "A thousand intervals in the order of their estimates. Those that miss the dotted line at 10 lie low."
plot.show(fig, "11_coverage", alt, {"estimate": ratio[order], "error": ratio_error[order]})

# %% [markdown]
# A vertical line is one survey's 95 % interval for the value of time, orange where it misses the truth, blue
# where it does not; the black curve is the estimate. The axis ends at 40. Nearly the right number of
# intervals miss the truth, but all of those lie below it: a small cost coefficient in the denominator makes
# the estimate large and its interval long. The delta method's interval is symmetric, the distribution of a
# ratio is not.
#
# ## A ranking says more than a choice
#
# **The question.** Some surveys ask for the whole ranking: first, second, third, last. What is its
# probability, and how much does it add?
#
# **The formula.** Chapter 02 drew without replacement: the order of $V_j + \epsilon_j$ is a sequence of
# choices, each from what is left. With $r_1, r_2, \ldots$ the alternatives in rank order,
#
# $$P(r_1, r_2, \ldots, r_K) = \prod_{s=1}^{K-1} \frac{e^{V_{r_s}}}{\sum_{t \ge s} e^{V_{r_t}}} .$$
#
# This is the model of Luce and Plackett [Plackett 1975]. To the economist it is the *exploded logit*
# [Beggs, Cardell and Hausman 1981]: one ranking of four alternatives counts as three choices, from four,
# three and two alternatives. Its logarithm is a sum of logit terms, so it is concave as well and the same
# Newton function fits it.


# %%
def ranking_loss(beta: Tensor, x: Tensor, order: Tensor) -> Tensor:
    """Negative log-likelihood of whole rankings; order is one-hot in rank order, (N, K, K)."""
    ranked = (order @ (x @ beta)[..., None])[..., 0]  # (N, K): utilities, best first
    return -sum((ranked[:, s] - torch.logsumexp(ranked[:, s:], -1)).sum() for s in range(3))


v = torch.tensor([1.0, 0.5, 0.0, -0.5])
orders = torch.tensor(list(permutations(range(4))))  # (24, 4)
exact = math.prod(torch.softmax(v[orders[:, s:]], -1)[:, 0] for s in range(3))  # (24,)
by_loss = ranking_loss(v, torch.eye(4).expand(24, 4, 4), torch.eye(4)[orders])
torch.testing.assert_close(by_loss, -exact.log().sum())
drawn = sampling.gumbel_top_k(v, noise.gumbel((n, 4), generator=generator(7)), 4).argmax(-1)  # (n, 4)
counts = torch.stack([(drawn == order).all(-1).sum() for order in orders])
print("24 rankings:", categorical_fit(counts, exact))
ranking = sampling.gumbel_top_k(x @ TRUE, eps, 4)  # the same travellers, asked for more
beta_ranked, covariance_ranked = newton(ranking_loss, torch.zeros(5), x, ranking)
report("ranked", TRUE, beta_ranked, covariance_ranked)
shrink = covariance_ranked.diagonal().sqrt() / covariance.diagonal().sqrt()
claim("11.ranked.shrink", shrink.max(), 1, 0, "more data, smaller errors", relation="<=")
print("standard errors shrink to these shares:", shrink)

# %% [markdown]
# All five standard errors fall, to at most 0.654 of what they were. They would fall to $1/\sqrt 3 = 0.577$
# if the three choices of a ranking told as much as three first choices; the later ones, from fewer
# alternatives, tell less. The price is that the model must hold for the second and third choice too.
#
# ## The red bus and the blue bus
#
# **The question.** In the logit model $P_i/P_j = e^{V_i - V_j}$. No other alternative enters. This is the
# *independence of irrelevant alternatives* (IIA). Is it true of people?
#
# Let car and red bus be equally good. Each has the share $1/2$. Now somebody paints half of the buses
# blue. Nobody cares for the colour, so the shares should be $1/2, 1/4, 1/4$. The ratio of car to red bus
# was 1 and must stay 1, says the logit model, so it predicts $1/3, 1/3, 1/3$. Paint has moved travellers
# out of their cars, and raised everybody's surplus by $\ln 3 - \ln 2$. The objection goes back to
# [Debreu 1960].
#
# Gumbel noise is not to blame. Any noise that is independent and alike for all three gives $1/3$ to three
# equal alternatives, by symmetry. To blame is the *independence*: the two buses share what the traveller
# knows and we do not.
#
# **The formula.** Let the noise of a group of similar alternatives, a *nest* $m$, be correlated, and keep
# each $\epsilon_j$ Gumbel on its own. With a dissimilarity $\lambda_m$ in $(0, 1]$ for each nest,
#
# $$P(\epsilon_j \le e_j \text{ for all } j) = \exp\left(-G(e^{-e_1}, \ldots, e^{-e_K})\right), \qquad
# G(y) = \sum_m \Big(\sum_{j \in m} y_j^{1/\lambda_m}\Big)^{\lambda_m}$$
#
# [McFadden 1978]. With $\lambda_m = 1$ the noise is independent. All $U_j$ stay below $u$ when each
# $\epsilon_j \le u - V_j$. Multiplying all $y_j$ by a factor multiplies $G$ by it, so
#
# $$P\big(\max_j U_j \le u\big) = \exp\left(-G(e^{V_1 - u}, \ldots)\right)
# = \exp\left(-e^{-u}\, G(e^{V_1}, \ldots, e^{V_K})\right) .$$
#
# The largest utility is again Gumbel, with the location $\ln G(e^{V_1}, \ldots, e^{V_K})$. That is the new
# logsum, and its derivatives are the shares, for the same reason as before: a logit choice between nests,
# then a logit choice inside the nest,
#
# $$P_j = \frac{e^{\lambda_m I_m}}{\sum_l e^{\lambda_l I_l}} \cdot \frac{e^{V_j/\lambda_m}}{e^{I_m}}, \qquad
# I_m = \ln\sum_{j \in m} e^{V_j/\lambda_m} .$$
#
# This is the *nested logit*. Inside the nest $\lambda_m$ is a temperature, hence the letter. Towards the
# outside the nest is one alternative with the utility $\lambda_m I_m$, its own logsum.
#
# The cell checks the shares in two ways: as the derivative of the surplus, and by integrating the
# derivative of the *distribution function*, as in the first formula of the chapter. In `surplus` and
# `nested_log_shares` the last two alternatives form the nest, with the dissimilarity `lam`.


# %%
def surplus(v: Tensor, lam: float | Tensor) -> Tensor:
    """ln G(e^v): the logsum of the nested model, without gamma."""
    nest = lam * torch.logsumexp(v[..., -2:] / lam, -1, keepdim=True)
    return torch.logsumexp(torch.cat([v[..., :-2], nest], -1), -1)


def nested_log_shares(v: Tensor, lam: float | Tensor) -> Tensor:
    nest = lam * torch.logsumexp(v[..., -2:] / lam, -1, keepdim=True)
    between = torch.log_softmax(torch.cat([v[..., :-2], nest], -1), -1)
    return torch.cat([between[..., :-1], between[..., -1:] + torch.log_softmax(v[..., -2:] / lam, -1)], -1)


lam, v = 0.4, torch.tensor([0.2, 0.5, -0.1])
shares = nested_log_shares(v, lam).exp()
torch.testing.assert_close(grad(surplus)(v, lam), shares)
e = torch.linspace(-6, 40, 20_001)
for j in range(3):
    threshold = e[:, None] + v[j] - v  # (20001, 3)
    slope = grad(lambda t: torch.exp(-torch.exp(surplus(-t, lam))).sum())(threshold)[:, j]
    claim(f"11.nested.{j + 1}", torch.trapezoid(slope, e), shares[j], 1e-6, "two logit choices")

# %% [markdown]
# ## Correlated Gumbel noise, exactly
#
# **The question.** A formula for the shares is not yet a traveller. Which noise has this distribution?
#
# **The formula.** Give the nest one positive random number $S$, and put
#
# $$\epsilon_j = \lambda\,(g_j + \ln S), \qquad g_j \sim \mathrm{Gu}(0, 1) \text{ independent.}$$
#
# For a given $S$, the event $\epsilon_j \le e_j$ is $g_j \le e_j/\lambda - \ln S$, of probability
# $\exp(-S e^{-e_j/\lambda})$. So all $\epsilon_j$ of the nest stay below their $e_j$ with probability
#
# $$E\Big[\exp\Big(-S \sum_{j \in m} e^{-e_j/\lambda}\Big)\Big] .$$
#
# It must be $\exp(-(\sum_j e^{-e_j/\lambda})^\lambda)$. Hence $S$ needs $E[e^{-sS}] = e^{-s^\lambda}$ for
# all $s > 0$. A variable with this Laplace transform is called *positive stable*, and there is an exact
# sampler [Kanter 1975; Chambers, Mallows and Stuck 1976]. With $\vartheta$ uniform on $(0, \pi)$ and $W$
# exponential,
#
# $$S = \frac{\sin \lambda\vartheta}{(\sin\vartheta)^{1/\lambda}}
# \left(\frac{\sin (1 - \lambda)\vartheta}{W}\right)^{(1 - \lambda)/\lambda} .$$
#
# Minus the logarithm of an exponential variable is Gumbel noise: write $g_0 = -\ln W$. The code computes
# $\lambda\ln S$, which stays finite where $S$ overflows:
#
# $$\lambda\ln S = \lambda \ln\sin\lambda\vartheta - \ln\sin\vartheta +
# (1 - \lambda)\left(\ln\sin(1 - \lambda)\vartheta + g_0\right) .$$
#
# For $\lambda \to 0$ this tends to $g_0$, and $\lambda g_j$ tends to 0: the whole nest shares one Gumbel
# variable. For $\lambda \to 1$ it tends to 0, and each alternative has its own. In between the variances
# add up: $\epsilon_j$ has $\pi^2/6$ and $\lambda g_j$ has $\lambda^2\pi^2/6$. The shared part has the
# rest, so two alternatives of the nest have the correlation $1 - \lambda^2$.
#
# The second cell checks the Laplace transform by an integral over $\vartheta$ and $g_0$. Then it draws,
# and checks one noise on its own against the Gumbel distribution, the shares against the formula, and the
# correlation.


# %%
def shared_noise(lam: float, angle: Tensor, gumbel_noise: Tensor) -> Tensor:
    """The part lambda ln S of the noise that a nest shares, 0 < lambda < 1."""
    inner = torch.log(torch.sin((1 - lam) * angle)) + gumbel_noise
    return lam * torch.log(torch.sin(lam * angle)) - torch.log(torch.sin(angle)) + (1 - lam) * inner


def nested_noise(lam: float, shape: tuple[int, int], seed: int) -> Tensor:
    """Gumbel noise (N, K) whose last two columns are correlated."""
    source = generator(seed)
    g = noise.gumbel((shape[0], shape[1] + 1), generator=source)  # the last column is g_0
    angle = math.pi * noise.uniform((shape[0], 1), generator=source)
    return torch.cat([g[:, :-3], lam * g[:, -3:-1] + shared_noise(lam, angle, g[:, -1:])], -1)


# %%
g0, angle = torch.linspace(-6, 40, 1001), (torch.arange(500) + 0.5) * math.pi / 500
weight = density.gumbel_log_density(g0).exp()
for s in (0.5, 2.0):
    transform = torch.exp(-s * torch.exp(shared_noise(0.4, angle[:, None], g0) / 0.4)).mean(0)
    claim(
        f"11.stable.{s}", torch.trapezoid(transform * weight, g0), math.exp(-(s**0.4)), 1e-6, "exp(-s^lambda)"
    )
buses, dots = torch.zeros(3), {}
for lam in (0.05, 0.2, 0.4, 0.6, 0.8):
    drawn = nested_noise(lam, (n, 3), seed=9)
    counts = sampling.gumbel_max(buses, drawn).sum(0)
    assert not categorical_fit(counts, nested_log_shares(buses, lam).exp()).rejected
    dots[lam] = counts / n
    fit = categorical_fit(sampling.gumbel_max(v, drawn).sum(0), nested_log_shares(v, lam).exp())
    alone = continuous_fit(drawn[:, 2], density.gumbel_cdf)
    assert not fit.rejected and not alone.rejected
    product = (drawn[:, 1] - stats.gumbel_r.mean()) * (drawn[:, 2] - stats.gumbel_r.mean()) / (math.pi**2 / 6)
    claim(f"11.correlation.{lam}", product.mean(), 1 - lam**2, 5 * standard_error(product), "1 - lambda^2")
print("shares, lambda = 0.8:   ", fit)
print("one noise, lambda = 0.8:", alone)

# %%
lams = torch.linspace(0.02, 1, 99)
curves = torch.stack([nested_log_shares(buses, lam).exp() for lam in lams])  # (99, 3)
torch.testing.assert_close(curves[:, 0], 1 / (1 + 2**lams))
cloud = nested_noise(0.3, (600, 3), seed=10)
fig, (left, right) = plt.subplots(1, 2, figsize=(8, 4))
left.plot(cloud[:, 1], cloud[:, 2], ".", markersize=4)
left.set(xlabel="noise of the red bus (nats)", ylabel="noise of the blue bus (nats)", aspect="equal")
left.set(title=r"$\lambda$ = 0.3", xlim=(-3, 8), ylim=(-3, 8), xticks=range(-2, 9, 2))
for column, label, height in ((0, "car", 0.45), (1, "each bus", 0.25)):
    right.plot(lams, curves[:, column], color=plot.PALETTE[column])
    right.plot(list(dots), [row[column] for row in dots.values()], "o", color=plot.PALETTE[column])
    right.text(0.5, height, label, color=plot.PALETTE[column])
right.set(xlabel=r"dissimilarity $\lambda$", ylabel="share", ylim=(0.2, 0.55), xlim=(0, 1.02))
right.set_yticks([1 / 4, 1 / 3, 1 / 2], ["1/4", "1/3", "1/2"])
alt = "Left: the noises of both buses scatter around the diagonal. Right: as the dissimilarity falls from 1 "
alt += "to 0, the car rises from one third to one half, each bus falls to one quarter."
series = {"noise": cloud[:, 1:], "lambda": lams, "shares": curves, "dots": torch.stack(list(dots.values()))}
plot.show(fig, "11_red_bus_blue_bus", alt, series)

# %% [markdown]
# On the left, 600 travellers: who likes one bus likes the other. On the right, lines are the formula, here
# $1/(1 + 2^\lambda)$ for the car, and each dot is 200,000 travellers with exact noise. Towards
# $\lambda = 0$ the paradox is solved.
#
# ## When an alternative disappears
#
# **The question.** What goes wrong if one fits a logit model to travellers whose noise is nested?
#
# A new survey has bus and train in one nest with $\lambda = 0.35$. We fit both models. The nested
# log-likelihood is not concave in $\lambda$, and Newton's method, started at $\lambda = 1$, runs off. So a
# method with a line search, which only goes uphill, comes close first, and Newton finishes. Standard
# errors come from the second derivatives as before.
#
# Then the train is taken away. The truth is simulated: the same travellers, with the same noise, choose
# again. In the models, the nest has one member left, so both predict by the logit formula with their own
# coefficients.


# %%
def nested_loss(p: Tensor, x: Tensor, chosen: Tensor) -> Tensor:
    return -(chosen * nested_log_shares(x @ p[:5], p[5])).sum()  # five coefficients and lambda


def objective(p):
    slope, value = grad_and_value(nested_loss)(torch.from_numpy(p), x2, chosen2)
    return value.item(), slope.numpy()


x2, eps2 = trips((3000,), seed=11), nested_noise(0.35, (3000, 4), seed=12)
chosen2 = sampling.gumbel_max(x2 @ TRUE, eps2)
logit, logit_covariance = newton(loss, torch.zeros(5), x2, chosen2)
start = torch.cat([logit, torch.ones(1)])
assert newton(nested_loss, start, x2, chosen2)[0][5] > 10  # from lambda = 1, Newton alone runs off
near = torch.from_numpy(optimize.minimize(objective, start.numpy(), jac=True, method="BFGS").x)
nested, nested_covariance = newton(nested_loss, near, x2, chosen2, steps=3)
assert grad(nested_loss)(nested, x2, chosen2).abs().max() < 1e-8
report("nested_fit", torch.cat([TRUE, torch.tensor([0.35])]), nested, nested_covariance)
gain = 2 * (loss(logit, x2, chosen2) - nested_loss(nested, x2, chosen2))
claim("11.likelihood_ratio", gain, stats.chi2.isf(1e-3, 1), 0, "chi-squared, 1 in 1000", relation=">=")


# %%
def bus_after(p: Tensor) -> Tensor:
    return torch.softmax(x2[:, :3] @ p[:5], -1)[:, 2].mean()


again = sampling.gumbel_max(x2[:, :3] @ TRUE, eps2[:, :3])  # the train is gone
exact, error = bus_after(TRUE), delta(bus_after, nested, nested_covariance)[1]
claim("11.bus.truth", again[:, 2].mean(), exact, 5 * standard_error(again[:, 2]), "true coefficients")
claim("11.bus.nested", bus_after(nested), exact, 5 * error, "true coefficients")
claim("11.bus.logit", bus_after(logit), exact - 5 * error, 0, "five errors below the truth", relation="<=")
after = torch.stack([again.mean(0), *(torch.softmax(x2[:, :3] @ b[:5], -1).mean(0) for b in (logit, nested))])
moved = (after - chosen2.mean(0)[:3]) / chosen2[:, 3].mean()  # (3, 3): shares of the train's passengers
fig, ax = plt.subplots(figsize=(8, 3.2))
names = ("what happened", "logit", "nested logit")
for row, name, marker, colour in zip(moved, names, "osD", (6, 1, 0), strict=True):
    ax.plot(row, range(3), marker, label=name, color=plot.PALETTE[colour], markersize=9, alpha=0.8)
ax.set(yticks=range(3), yticklabels=MODES[:3], ylim=(-0.5, 2.5), xlim=(0, 0.7))
ax.set_xlabel("share of the train's former passengers")
fig.legend(loc="outside right center")
alt = "Half of the train's passengers turn to the bus; the nested logit says so, the logit says a quarter."
plot.show(fig, "11_train_removed", alt, {"moved": moved})

# %% [markdown]
# Each marker is the share of the train's former passengers who turn to car, bicycle or bus. The nested
# logit comes close to what happened, the logit does not.
#
# The logit model reproduces the four shares of the survey exactly, as every logit with a constant for each
# alternative does (the assertion in the first fit). So a look at the fitted shares finds nothing wrong.
# The likelihood finds it: twice the gain is 219, and 10.8 is the limit for one more parameter. And the
# prediction fails. Without the train the bus has 0.294 of all travellers in truth, 0.300 in the nested
# logit, and 0.234 in the logit, which spreads the train's passengers as IIA says: in proportion to the
# shares that the others had, traveller by traveller.
#
# ## A code is a choice
#
# A VAE with a categorical code is the same model read the other way. The image is the traveller, the $K$
# categories are the alternatives, the encoder's logits are the utilities $V_j$, and Gumbel noise makes the
# choice. The economist *sees* the choices, does not see the noise, integrates it out, and asks which
# utilities explain the choices. The VAE sees no choices. It *makes* them, keeps the noise in its hand, and
# asks which utilities have good consequences: its decoder must rebuild the image from the choice. So the
# economist needs the logit formula, and the VAE needs a gradient through the noise (chapter 04). What this
# chapter says of location and scale holds there too: a row of $K$ logits has one too many, and the size of
# the logits is the encoder's own inverse temperature.
#
# ## What could go wrong
#
# **A constant for every alternative.** Only differences of utility count, so one constant too many leaves
# a direction in which the likelihood is flat. `11.singular` shows the zero eigenvalue; Newton's method
# then divides by it.
#
# **Coefficients compared across models.** What is fitted is $\beta/\lambda$ with $\lambda$ the noise's own
# scale. A wrong model moves them too. On the nested survey the logit's coefficients of cost and time are
# more than a tenth larger than the nested ones: the noises of bus and train differ by less than the logit
# assumes, and it pays for that with a larger scale. Compare ratios, such as the value of time.
#
# **The mean in place of the sum.** The inverse second derivative of the *mean* log-likelihood is $N$ times
# too large. The standard errors of the first survey would be $\sqrt{3000}$, about 55, times too large. The
# estimates would be the same; a coverage of 100 % gives it away.
#
# **Newton on a function that is not concave.** From $\lambda = 1$ it ends beyond 10 (the assertion in the
# nested fit), where the model is no random utility any more. Look at the gradient, the sign of the second
# derivatives and the interval $(0, 1]$ before you believe an estimate.
#
# **An alternative that nobody takes.** Its constant has no finite estimate: each step of Newton's method
# lowers it by about 1, without end.
#
# **$S$ in place of $\ln S$.** At $\lambda = 0.01$ about one $S$ in a thousand is above $10^{308}$, and
# float64 makes it infinite.
#
# ## Questions readers ask
#
# **Why Gumbel and not Gaussian?** Because the integral has a closed form, and with few alternatives the
# shares hardly differ. There is a better reason. The largest of several Gumbel utilities is Gumbel again
# (chapter 02), so "the train" may stand for the best of its many departures. And among independent noises of
# one shape, only Gumbel noise makes $P_i/P_j$ blind to all other alternatives [Yellott 1977]. Whether one
# wants that is another matter: correlated normal noise is a remedy too, at the price of an integral with one
# dimension fewer than there are alternatives [Train 2009].
#
# **What does the temperature mean for a chooser?** How much of the choice we cannot explain. Carelessness
# and good reasons that we do not know look the same.
#
# **Is the location of the noise identified?** No. Not its mean, and not a constant that is common to all
# $V_j$. Only differences of utilities, and of logsums, mean anything.
#
# **Where is the error variance $\pi^2/6$?** It is the unit in which utility is measured. Fixing the scale of
# the noise at 1 fixes its variance at $\pi^2/6$, as `11.variance` measures. A probit whose noise has
# variance 1 reports coefficients about $\sqrt 6/\pi \approx 0.78$ times as large, and with few alternatives
# nearly the same shares.
#
# **Can shares be exactly 0?** Not with finite utilities: the noise is unbounded. $V_j = -\infty$ says that
# $j$ is not available. `gumbel_max` accepts it, and the other shares are then those of the smaller set, as
# in the train's removal.
#
# ## Exercises
#
# **1. A chooser with two noises.** Chapter 04's relaxed sample is
# $\mathrm{softmax}((V + \epsilon)/\lambda)$. By the section on scale, it holds the shares of a chooser
# with utilities $V_j + \epsilon_j + \lambda\epsilon'_j$ who knows $\epsilon$, averaged over $\epsilon'$
# only. Write `two_noises(v, temperature, size, seed)`, which draws both noises and returns the hard
# choices and the relaxed samples for the same $\epsilon$. You are done when their means agree within five
# standard errors for $V = \ln(0.2, 0.3, 0.5)$ at the temperatures 1 and $0.5$. At 1 chapter 04 found
# $(0.238, 0.315, 0.447)$. Why is that nearer to equal shares than $\pi$?
#
# **2. What the train is worth.** Write `train_in_euros(p)` for the survey with the nest: the mean
# difference of the surplus with and without the train, divided by the utility of one euro,
# $-\beta_\text{cost}$, for the logit (five parameters) and the nested logit (six). You are done when the
# nested estimate lies within five standard errors (`delta`) of the value at the true parameters, and that
# value within five standard errors of a simulation: the mean loss of $\max_j U_j$. What does the logit
# say?
#
# **3. A test of IIA.** If IIA holds, the travellers who did not take the train choose among the three
# other alternatives by the same coefficients, so a fit to them alone must agree. Write
# `hausman(x, chosen)`: with $d$ the difference of the two coefficients of cost and time, and $C_3$, $C_4$
# their covariances in the small and in the full fit, it returns $d^\top (C_3 - C_4)^{-1} d$. Under IIA
# this is nearly chi-squared with two degrees of freedom [Hausman and McFadden 1984]. (With the constants
# as well, $C_3 - C_4$ need not be positive definite.) You are done when the first survey passes at the
# level of 1 in 1000 and the nested one fails.


# %% tags=["solution"]
# Solution 1
def two_noises(v: Tensor, temperature: float, size: int, seed: int) -> tuple[Tensor, Tensor]:
    """Choices with the utilities v + eps + temperature * eps', and relaxed samples for the same eps."""
    first, second = noise.gumbel((2, size, len(v)), generator=generator(seed))
    hard = sampling.gumbel_max(v + first, temperature * second)
    return hard, sampling.gumbel_softmax(v, first, temperature)


for t in (1.0, 0.5):
    hard, relaxed = two_noises(torch.tensor([0.2, 0.3, 0.5]).log(), t, n, seed=13)
    for j in range(3):
        slack = 5 * standard_error(hard[:, j] - relaxed[:, j])
        claim(f"11.two_noises.{t}.{j + 1}", hard[:, j].mean(), relaxed[:, j].mean(), slack, "relaxed sample")
# Two noises have twice the variance of one, and a noisier chooser is nearer to equal shares.

# %% tags=["solution"]
# Solution 2


def train_in_euros(p: Tensor) -> Tensor:
    """Mean loss of surplus, in euros, when the train is taken away; p has five or six entries."""
    utilities = x2 @ p[:5]
    lam = p[5] if len(p) == 6 else 1.0
    return (surplus(utilities, lam) - torch.logsumexp(utilities[:, :3], -1)).mean() / -p[3]


exact = train_in_euros(torch.cat([TRUE, torch.tensor([0.35])]))
all_four = x2 @ TRUE + eps2
regret = (all_four.amax(-1) - all_four[:, :3].amax(-1)) / -TRUE[3]
claim("11.train.simulated", regret.mean(), exact, 5 * standard_error(regret), "difference of logsums")
value, error = delta(train_in_euros, nested, nested_covariance)
claim("11.train.nested", value, exact, 5 * error, "true parameters")
value, error = delta(train_in_euros, logit, logit_covariance)
claim("11.train.logit", value, exact + 3 * error, 0, "three errors above the truth", relation=">=")
# The logit takes the train for an alternative like no other, and so overstates what is lost with it.


# %% tags=["solution"]
# Solution 3
def hausman(x: Tensor, chosen: Tensor) -> float:
    """Distance between the fit to all and the fit to those who did not take the train."""
    stays = chosen[:, 3] == 0
    full, full_covariance = newton(loss, torch.zeros(5), x, chosen)
    without = x[stays][:, :3, [0, 1, 3, 4]]  # no train, and not its constant
    small, small_covariance = newton(loss, torch.zeros(4), without, chosen[stays, :3])
    d = small[2:] - full[3:]
    return float(d @ torch.linalg.solve(small_covariance[2:, 2:] - full_covariance[3:, 3:], d))


limit = stats.chi2.isf(1e-3, 2)
claim("11.hausman.logit", hausman(x, chosen), limit, 0, "chi-squared, 1 in 1000", relation="<=")
claim("11.hausman.nested", hausman(x2, chosen2), limit, 0, "chi-squared, 1 in 1000", relation=">=")

# %% [markdown]
# ## What you can now do
#
# - You have derived the logit model from one integral, and put the probit into the same integral: the
#   the shares of two alternatives move little, those of thirty by more than a tenth, the tails by factors.
# - You have read the scale of the noise as a temperature, seen that its location is invisible, and
#   measured the worth of a set of alternatives by its logsum.
# - You have fitted the model by Newton's method, checked its standard errors on a thousand surveys, and
#   made them smaller with rankings.
# - You have seen that independence, not the Gumbel shape, gives the repainted bus too many passengers, and
#   derived the nested logit from one function $G$.
# - You have drawn correlated Gumbel noise with a positive stable variable, exactly, and read a VAE's code
#   as a choice whose consequences are seen in place of the choice.
#
# ## References
#
# - S. Beggs, S. Cardell and J. Hausman. Assessing the potential demand for electric cars. Journal of
#   Econometrics 17, 1981.
# - M. E. Ben-Akiva and S. R. Lerman. Discrete Choice Analysis: Theory and Application to Travel Demand.
#   MIT Press, 1985.
# - J. M. Chambers, C. L. Mallows and B. W. Stuck. A method for simulating stable random variables. Journal
#   of the American Statistical Association 71, 1976.
# - G. Debreu. Review of R. D. Luce, Individual Choice Behavior. American Economic Review 50, 1960.
# - J. Hausman and D. McFadden. Specification tests for the multinomial logit model. Econometrica 52, 1984.
# - M. Kanter. Stable densities under change of scale and total variation inequalities. Annals of
#   Probability 3, 1975.
# - R. D. Luce. Individual Choice Behavior: A Theoretical Analysis. Wiley, 1959.
# - D. McFadden. Conditional logit analysis of qualitative choice behavior. In P. Zarembka (ed.), Frontiers
#   in Econometrics, Academic Press, 1974.
# - D. McFadden. Modelling the choice of residential location. In A. Karlqvist et al. (eds.), Spatial
#   Interaction Theory and Planning Models, North-Holland, 1978.
# - R. L. Plackett. The analysis of permutations. Applied Statistics 24, 1975.
# - L. L. Thurstone. A law of comparative judgment. Psychological Review 34, 1927.
# - K. E. Train. Discrete Choice Methods with Simulation. Cambridge University Press, second edition 2009.
# - J. I. Yellott. The relationship between Luce's choice axiom, Thurstone's theory of comparative
#   judgment, and the double exponential distribution. Journal of Mathematical Psychology 15, 1977.
