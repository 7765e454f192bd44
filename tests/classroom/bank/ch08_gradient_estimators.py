import torch

from bank import right, wrong

# score_function_gradient


@right("score_function_gradient")
def _(logits, codes, values):
    return (values[:, None] * (codes - logits.softmax(-1))).mean(0)


@right("score_function_gradient")
def _(logits, codes, values):
    logits = logits.clone().requires_grad_()
    (values * (codes @ logits.log_softmax(-1))).mean().backward()
    return logits.grad


@right("score_function_gradient")
def _(logits, codes, values):
    return (values @ codes - values.sum() * torch.softmax(logits, 0)) / len(values)


wrong("score_function_gradient", "summed, not averaged")(
    lambda logits, codes, values: (values[:, None] * (codes - logits.softmax(-1))).sum(0)
)
wrong("score_function_gradient", "a code's logit")(
    lambda logits, codes, values: (values[:, None] * (logits.softmax(-1) - codes)).mean(0)
)
wrong("score_function_gradient", "The probabilities are missing")(
    lambda logits, codes, values: (values[:, None] * codes).mean(0)
)
wrong("score_function_gradient", "good and bad codes")(
    lambda logits, codes, values: (codes - logits.softmax(-1)).mean(0)
)
wrong("score_function_gradient", "averaged apart")(
    lambda logits, codes, values: values.mean() * (codes - logits.softmax(-1)).mean(0)
)
wrong("score_function_gradient", "gradient in the probabilities")(
    lambda logits, codes, values: (values[:, None] * codes / logits.softmax(-1)).mean(0)
)
wrong("score_function_gradient", "The logits stand where")(
    lambda logits, codes, values: (values[:, None] * (codes - logits)).mean(0)
)
wrong("score_function_gradient", "A sigmoid")(
    lambda logits, codes, values: (values[:, None] * (codes - torch.sigmoid(logits))).mean(0)
)
wrong("score_function_gradient", "Only the drawn category's logit")(
    lambda logits, codes, values: (values[:, None] * codes * (1 - logits.softmax(-1))).mean(0)
)
wrong("score_function_gradient", "A mean over the drawn samples")(
    lambda logits, codes, values: (values[:, None] * (codes - codes.mean(0))).mean(0)
)
wrong("score_function_gradient", "This is f ln q")(
    lambda logits, codes, values: (values[:, None] * codes * logits.log_softmax(-1)).mean(0)
)
wrong("score_function_gradient", "One axis too many")(
    lambda logits, codes, values: values[:, None] * (codes - logits.softmax(-1))
)
wrong("score_function_gradient", "Two shapes do not fit")(
    lambda logits, codes, values: (values * (codes - logits.softmax(-1))).mean(0)
)
wrong("score_function_gradient", "shape (2,)")(
    lambda logits, codes, values: (values[:, None] * (codes - logits.softmax(-1))).mean(1)
)
wrong("score_function_gradient", "weigh it with f")(lambda logits, codes, values: torch.zeros_like(logits))


@wrong("score_function_gradient", "an exp that overflows")
def _(logits, codes, values):
    pi = logits.exp() / logits.exp().sum()
    return (values[:, None] * (codes - pi)).mean(0)


# leave_one_out_gradient


@right("leave_one_out_gradient")
def _(logits, codes, values):
    baseline = (values.sum() - values) / (len(values) - 1)
    return ((values - baseline)[:, None] * (codes - logits.softmax(-1))).mean(0)


@right("leave_one_out_gradient")
def _(logits, codes, values):
    centred = values - values.mean()  # the probabilities drop out: it sums to 0
    return centred @ codes / (len(values) - 1)


@right("leave_one_out_gradient")
def _(logits, codes, values):
    pi, total = torch.softmax(logits, 0), torch.zeros_like(logits)
    for s in range(len(values)):
        others = torch.cat([values[:s], values[s + 1 :]])
        total = total + (values[s] - others.mean()) * (codes[s] - pi)
    return total / len(values)


wrong("leave_one_out_gradient", "sees its own sample")(
    lambda logits, codes, values: ((values - values.mean())[:, None] * (codes - logits.softmax(-1))).mean(0)
)
wrong("leave_one_out_gradient", "There is no baseline")(
    lambda logits, codes, values: (values[:, None] * (codes - logits.softmax(-1))).mean(0)
)


def _loo(logits, codes, values, baseline, factor=1.0):
    return factor * ((values - baseline)[:, None] * (codes - logits.softmax(-1))).mean(0)


wrong("leave_one_out_gradient", "How many others are there")(
    lambda logits, codes, values: _loo(logits, codes, values, (values.sum() - values) / len(values))
)
wrong("leave_one_out_gradient", "own value is still in the sum")(
    lambda logits, codes, values: _loo(logits, codes, values, values.sum() / (len(values) - 1))
)
wrong("leave_one_out_gradient", "not their mean")(
    lambda logits, codes, values: _loo(logits, codes, values, values.sum() - values)
)
wrong("leave_one_out_gradient", "is added")(
    lambda logits, codes, values: _loo(logits, codes, values, -(values.sum() - values) / (len(values) - 1))
)
wrong("leave_one_out_gradient", "Only one of the other samples")(
    lambda logits, codes, values: _loo(logits, codes, values, values.roll(1))
)
wrong("leave_one_out_gradient", "One sample is the baseline of all")(
    lambda logits, codes, values: _loo(logits, codes, values, values[0])
)
wrong("leave_one_out_gradient", "summed, not averaged")(
    lambda logits, codes, values: _loo(
        logits, codes, values, (values.sum() - values) / (len(values) - 1), len(values)
    )
)


@wrong("leave_one_out_gradient", "not the reverse")
def _(logits, codes, values):
    baseline = (values.sum() - values) / (len(values) - 1)
    return ((baseline - values)[:, None] * (codes - logits.softmax(-1))).mean(0)


@wrong("leave_one_out_gradient", "Only the baseline is left")
def _(logits, codes, values):
    baseline = (values.sum() - values) / (len(values) - 1)
    return (baseline[:, None] * (codes - logits.softmax(-1))).mean(0)


@wrong("leave_one_out_gradient", "divides twice")
def _(logits, codes, values):
    baseline = (values.sum() - values) / (len(values) - 1)
    return ((values - baseline)[:, None] * (codes - logits.softmax(-1))).sum(0) / (len(values) - 1)


@wrong("leave_one_out_gradient", "argument 3 was changed in place")
def _(logits, codes, values):
    values -= (values.sum() - values) / (len(values) - 1)
    return (values[:, None] * (codes - logits.softmax(-1))).mean(0)


# exact_and_straight_through


@right("exact_and_straight_through")
def _(logits, c):
    theta = torch.sigmoid(logits)
    slope = theta * 3 * (1 - c) ** 2 + (1 - theta) * 3 * c**2
    return theta * (1 - theta) * (1 - 3 * c + 3 * c**2), theta * (1 - theta) * slope


@right("exact_and_straight_through")
def _(logits, c):
    with torch.enable_grad():
        logits = logits.detach().clone().requires_grad_()
        theta = logits.sigmoid()
        bits = torch.tensor([0.0, 1.0], dtype=logits.dtype, requires_grad=True)
        f = (bits - c) ** 3
        (slope,) = torch.autograd.grad(f.sum(), bits, retain_graph=True)
        mean = ((1 - theta) * f[0] + theta * f[1]).sum()
        (exact,) = torch.autograd.grad(mean, logits, retain_graph=True)
        (step,) = torch.autograd.grad(theta.sum(), logits)
    return exact, step * (slope[0] + (slope[1] - slope[0]) * theta.detach())


def _both(logits, c):
    theta = torch.sigmoid(logits)
    step = theta * (1 - theta)
    through = theta * 3 * (1 - c) ** 2 + (1 - theta) * 3 * c**2
    return theta, step, step * ((1 - c) ** 3 + c**3), step * through


wrong("exact_and_straight_through", "exact first")(lambda logits, c: _both(logits, c)[:1:-1])
wrong("exact_and_straight_through", "gradients with respect to theta")(
    lambda logits, c: (_both(logits, c)[2] / _both(logits, c)[1], _both(logits, c)[3] / _both(logits, c)[1])
)
wrong("exact_and_straight_through", "the last step is missing")(
    lambda logits, c: (_both(logits, c)[2], _both(logits, c)[3] / _both(logits, c)[1])
)
wrong("exact_and_straight_through", "taken at the mean")(
    lambda logits, c: (
        _both(logits, c)[2],
        _both(logits, c)[1] * 3 * (torch.sigmoid(logits) - c) ** 2,
    )
)
wrong("exact_and_straight_through", "only the bit 1 counts")(
    lambda logits, c: (_both(logits, c)[2], _both(logits, c)[1] * 3 * (1 - c) ** 2)
)
wrong("exact_and_straight_through", "both bits weigh the same")(
    lambda logits, c: (_both(logits, c)[2], _both(logits, c)[1] * 1.5 * ((1 - c) ** 2 + c**2))
)
wrong("exact_and_straight_through", "probabilities are exchanged")(
    lambda logits, c: (_both(logits, c)[2], _both(-logits, c)[3])
)
wrong("exact_and_straight_through", "differentiate the cube")(
    lambda logits, c: (_both(logits, c)[2], _both(logits, c)[3] / 3)
)
wrong("exact_and_straight_through", "f(1) minus f(0)")(
    lambda logits, c: (-_both(logits, c)[2], _both(logits, c)[3])
)
wrong("exact_and_straight_through", "what is (0 - c)^3")(
    lambda logits, c: (_both(logits, c)[1] * ((1 - c) ** 3 - c**3), _both(logits, c)[3])
)
wrong("exact_and_straight_through", "the bias is returned")(
    lambda logits, c: (_both(logits, c)[2], _both(logits, c)[3] - _both(logits, c)[2])
)
wrong("exact_and_straight_through", "as if they were probabilities")(
    lambda logits, c: (
        logits * (1 - logits) * ((1 - c) ** 3 + c**3),
        logits * (1 - logits) * 3 * (logits * (1 - c) ** 2 + (1 - logits) * c**2),
    )
)
wrong("exact_and_straight_through", "2 results")(lambda logits, c: _both(logits, c)[3] - _both(logits, c)[2])
wrong("exact_and_straight_through", "exact gradient is returned again")(
    lambda logits, c: (_both(logits, c)[2], _both(logits, c)[2])
)


@wrong("exact_and_straight_through", "differentiate it")
def _(logits, c):
    """The square of chapter 08 in place of the cube."""
    theta = torch.sigmoid(logits)
    return theta * (1 - theta) * (1 - 2 * c), theta * (1 - theta) * 2 * (theta - c)


@wrong("exact_and_straight_through", "differentiate it")
def _(logits, c):
    """One draw in place of the mean."""
    theta = torch.sigmoid(logits)
    z = torch.bernoulli(theta)
    return _both(logits, c)[2], theta * (1 - theta) * 3 * (z - c) ** 2


# mended_surrogate


@right("mended_surrogate")
def _(values, log_q):
    return (values + values.detach() * (log_q - log_q.detach())).mean()


@right("mended_surrogate")
def _(values, log_q):
    return torch.mean(values * torch.exp(log_q - log_q.detach()))


@right("mended_surrogate")
def _(values, log_q):
    score = values.detach() * log_q
    return values.mean() + score.mean() - score.mean().detach()


wrong("mended_surrogate", "By the product rule")(lambda values, log_q: (values * log_q).mean())
wrong("mended_surrogate", "a decoder behind them would never learn")(
    lambda values, log_q: (values.detach() * log_q).mean()
)
wrong("mended_surrogate", "still pass a gradient on")(lambda values, log_q: (values * log_q + values).mean())
wrong("mended_surrogate", "an encoder would never learn")(lambda values, log_q: values.mean())
wrong("mended_surrogate", "By the product rule")(lambda values, log_q: (values * log_q.detach()).mean())
wrong("mended_surrogate", "a term of ln q")(lambda values, log_q: (values.detach() * log_q + values).mean())
wrong("mended_surrogate", "the value is the mean of f ln q")(
    lambda values, log_q: (values.detach() * log_q + values - values.detach()).mean()
)
wrong("mended_surrogate", "a training curve would show nothing")(
    lambda values, log_q: (values - values.detach() + values.detach() * (log_q - log_q.detach())).mean()
)
wrong("mended_surrogate", "summed, not averaged")(
    lambda values, log_q: (values + values.detach() * (log_q - log_q.detach())).sum()
)
wrong("mended_surrogate", "sign of the score-function term")(
    lambda values, log_q: (values - values.detach() * (log_q - log_q.detach())).mean()
)
wrong("mended_surrogate", "sign of the values' own term")(
    lambda values, log_q: -(values + values.detach() * (log_q - log_q.detach())).mean()
)
wrong("mended_surrogate", "not weighed with the values")(
    lambda values, log_q: (values + log_q - log_q.detach()).mean()
)
wrong("mended_surrogate", "averaged apart")(
    lambda values, log_q: values.mean() + values.mean().detach() * (log_q - log_q.detach()).mean()
)
wrong("mended_surrogate", "from which the samples came already")(
    lambda values, log_q: (values + values.detach() * (log_q.exp() - log_q.exp().detach())).mean()
)
wrong("mended_surrogate", "average over the samples, and stay in torch")(
    lambda values, log_q: values + values.detach() * (log_q - log_q.detach())
)
wrong("mended_surrogate", "a result without gradient")(
    lambda values, log_q: (values.detach() * log_q.detach()).mean()
)
wrong("mended_surrogate", "average over the samples, and stay in torch")(
    lambda values, log_q: values.mean().item()
)


@wrong("mended_surrogate", "A baseline was taken off")
def _(values, log_q):
    centred = (values - values.mean()).detach()
    return (values + centred * (log_q - log_q.detach())).mean()


@wrong("mended_surrogate", "is called on it outside")
def _(values, log_q):
    loss = (values + values.detach() * (log_q - log_q.detach())).mean()
    loss.backward()
    return loss


# what readers of the assignment handed in


@wrong("score_function_gradient", "A mean over the drawn samples was taken off")
def _(logits, codes, values):
    return ((values - values.mean())[:, None] * (codes - logits.softmax(-1))).mean(0)


@right("leave_one_out_gradient")  # the baselines sum to the values, so that no pi is needed
def _(logits, codes, values):
    return ((values - values.mean())[:, None] * codes).sum(0) / (len(values) - 1)


for says, first, second in (
    ("f is taken at theta", lambda t, c: t * (1 - t) * 3 * (t - c) ** 2, None),
    ("the same again", lambda t, c: t * (1 - t) * 3 * ((1 - t) * c**2 + t * (1 - c) ** 2), None),
    ("E[f(z)] itself", lambda t, c: t * (1 - c) ** 3 - (1 - t) * c**3, None),
    ("the likelier bit", None, lambda t, c: t * (1 - t) * 3 * ((t > 0.5).to(t.dtype) - c) ** 2),
):

    @wrong("exact_and_straight_through", says)
    def _(logits, c, first=first, second=second):
        theta, _, exact, through = _both(logits, c)
        return first(theta, c) if first else exact, second(theta, c) if second else through


wrong("mended_surrogate", "there twice")(
    lambda values, log_q: (values * (log_q - log_q.detach()) + 2 * values - values.detach()).mean()
)


@wrong("mended_surrogate", "called on it outside")
def _(values, log_q):
    surrogate = (values.detach() * (log_q - log_q.detach()) + values).mean()
    surrogate.backward(retain_graph=True)
    return surrogate


@right("mended_surrogate")
def _(values, log_q):
    return (values * (log_q - log_q.detach()).exp()).mean()
