# %% [markdown]
# # Assignment 11: Discrete choice
#
# Utilities plus noise, and the largest one is taken: the shares that follow, what a choice is worth, what a
# newcomer does, and how a model is fitted. Read chapter 11 first.

# %%
import torch

from catvae_lib.classroom.exercise import check

# %% [markdown]
# ## The careful and the careless
#
# A person takes the alternative with the largest $U_j = V_j + \lambda\epsilon_j$. The $\epsilon_j$ are
# independent standard Gumbel noise, and the scale $\lambda$ says how much of the choice we cannot explain.
# With which probability is each alternative taken?
#
# Write `choice_probabilities(utilities, scale)`. `utilities` has the shape $(N, J)$: a row for each of $N$
# persons, an entry for each of $J$ alternatives. `scale` is a positive number. Return the probabilities,
# shape $(N, J)$. Utilities of $\pm 800$ must do no harm.
#
# <details><summary>Hint</summary>Divide all utilities and the noise by $\lambda$. No winner changes, and what
# remains is the standard model.</details>


# %% task="choice_probabilities"
def choice_probabilities(utilities, scale):
    ### BEGIN SOLUTION
    return torch.softmax(utilities / scale, -1)
    ### END SOLUTION


# %% check="choice_probabilities" points=2 minutes=5
check.choice_probabilities(choice_probabilities)

# %% [markdown]
# ## What the choice is worth
#
# The largest utility is a random number. What is its mean,
# $E\big[\max_j (V_j + \lambda\epsilon_j)\big]$? The chapter has it for $\lambda = 1$:
# $\ln\sum_j e^{V_j} + \gamma$, with Euler's constant $\gamma$. Derive it for every $\lambda > 0$.
#
# Write `expected_maximum(utilities, scale)`. `utilities` has the shape $(N, J)$, `scale` is a positive
# number. Return the mean for each person, in units of utility, shape $(N,)$. Here too, utilities of $\pm 800$
# and a small scale must do no harm.
#
# <details><summary>Hint</summary>Write the maximum as $\lambda \max_j (V_j/\lambda + \epsilon_j)$. A positive
# factor may be taken out of a maximum, and out of a mean. Two checks on paper: for $\lambda \to 0$ the result
# must tend to the largest $V_j$, and with a single alternative it is the mean of its own utility.</details>

# %%
EULER = 0.5772156649015329


# %% task="expected_maximum"
def expected_maximum(utilities, scale):
    ### BEGIN SOLUTION
    return scale * (torch.logsumexp(utilities / scale, -1) + EULER)
    ### END SOLUTION


# %% check="expected_maximum" points=3 minutes=10
check.expected_maximum(expected_maximum)

# %% [markdown]
# ## A newcomer
#
# A town has $J$ ways to travel, and their shares are known. A new one comes. A small survey has asked how it
# compares with *one* of the old ones: for each traveller who takes alternative $i$, `ratio` travellers take
# the new one. Nothing else is known. No utility is known either.
#
# In the logit model the ratio of two shares does not depend on the other alternatives. That is enough to
# find all new shares. Derive them.
#
# Write `shares_after_adding(shares, ratio, i)`. `shares` has the shape $(J,)$ and sums to 1, `ratio` is a
# positive number, `i` counts from 0. Return the shares of the $J$ old alternatives, in their order, and that
# of the new one last: shape $(J + 1,)$.
#
# <details><summary>Hint</summary>Keep the old shares as they are for a moment. How much is the newcomer then,
# on the same scale? Now the sum is not 1. Which operation repairs it and leaves all ratios alone? Car and red
# bus with the shares $\frac12, \frac12$ and a blue bus with the ratio 1 to the red one must give
# $\frac13, \frac13, \frac13$, the paradox of the chapter.</details>


# %% task="shares_after_adding"
def shares_after_adding(shares, ratio, i):
    ### BEGIN SOLUTION
    weights = torch.cat([shares, ratio * shares[i : i + 1]])
    return weights / weights.sum()
    ### END SOLUTION


# %% check="shares_after_adding" points=3 minutes=10
check.shares_after_adding(shares_after_adding)

# %% [markdown]
# ## The slope of the likelihood
#
# To fit the weights of a choice model one climbs its log-likelihood. Which way is up?
#
# Person $n$ chooses among $J$ alternatives. Alternative $j$ has the features $x_{nj}$, a vector of length
# $D$, and the utility $V_{nj} = x_{nj} \cdot \beta$. The noise has the scale 1. With the one-hot choice
# $y_n$, the *mean* log-likelihood is $\frac1N \sum_n \sum_j y_{nj} \ln P_{nj}$. Derive its gradient with
# respect to $\beta$. It compares what people chose with what the model expects of them.
#
# Write `log_likelihood_gradient(features, choices, weights)`. `features` has the shape $(N, J, D)$,
# `choices` is one-hot in the last dimension, $(N, J)$, and `weights` is $\beta$, $(D,)$. Return the gradient
# of the mean log-likelihood, in nats for a unit of each weight, shape $(D,)$. Write the formula in tensors.
# Automatic differentiation is good for testing it.
#
# <details><summary>Hint</summary>$\ln P_{nj} = V_{nj} - \ln\sum_k e^{V_{nk}}$. The derivative of the second
# term with respect to $V_{nk}$ is $P_{nk}$. Before you average over the persons there are two vectors of
# length $D$ for each of them.</details>


# %% task="log_likelihood_gradient"
def log_likelihood_gradient(features, choices, weights):
    ### BEGIN SOLUTION
    probabilities = torch.softmax(features @ weights, -1)
    surprise = choices - probabilities  # (N, J)
    return (surprise[..., None] * features).sum(1).mean(0)
    ### END SOLUTION


# %% check="log_likelihood_gradient" points=4 minutes=15
check.log_likelihood_gradient(log_likelihood_gradient)

# %% [markdown]
# ## Find the bug
#
# This function is meant to simulate the choices of many people by the logit model with scale 1. All have the
# same utilities, each has noise of their own. Run the cell. Which shares come out, and which did the model
# ask for?


# %%
def simulated_choice(utilities, num_people, generator):
    noise = torch.randn(len(utilities), generator=generator, dtype=utilities.dtype)
    total = (utilities + noise).expand(num_people, -1)
    return torch.nn.functional.one_hot(total.argmax(-1), len(utilities)).to(utilities.dtype)


utilities = torch.tensor([1.0, 0.5, 0.0], dtype=torch.float64)
print("asked for:", torch.softmax(utilities, -1))
for seed in range(5, 9):
    print("simulated:", simulated_choice(utilities, 10_000, torch.Generator().manual_seed(seed)).mean(0))

# %% [markdown]
# There are two mistakes in the function, and the first hides the second. Once the first is mended, the shares
# are no longer absurd. They are only wrong.
#
# Write `mended_simulated_choice(utilities, num_people, generator)`. `utilities` has the shape $(J,)$,
# `num_people` is a whole number, and all randomness comes from `generator`, a `torch.Generator`, so that the
# same state of it gives the same choices, and a second call with it gives others. Return one-hot choices of
# the dtype of `utilities`, float32 or float64, shape (`num_people`, $J$).
#
# <details><summary>Hint</summary>How many random numbers does the function draw, and how many does the model
# need? Then ask what distribution they have. `torch.rand` takes a shape; chapter 01 makes the right noise of
# its uniform numbers.</details>


# %% task="mended_simulated_choice"
def mended_simulated_choice(utilities, num_people, generator):
    ### BEGIN SOLUTION
    u = torch.rand((num_people, len(utilities)), generator=generator, dtype=torch.float64)
    noise = -torch.log(-torch.log(u.clamp(min=1e-300)))
    index = (utilities + noise).argmax(-1)
    return torch.nn.functional.one_hot(index, len(utilities)).to(utilities.dtype)
    ### END SOLUTION


# %% check="mended_simulated_choice" points=4 minutes=15
check.mended_simulated_choice(mended_simulated_choice)
