import math

import torch
from torch.nn import functional

from bank import right, wrong

# data_mean_bias


@right("data_mean_bias")
def _(images):
    return torch.logit((images.sum(0) + 1) / (len(images) + 2))


@right("data_mean_bias")
def _(images):
    on = images.sum(dim=0)
    return torch.log(1 + on) - torch.log(1 + images.shape[0] - on)


@right("data_mean_bias")
def _(images):
    imagined = torch.stack([torch.zeros_like(images[0]), torch.ones_like(images[0])])
    return torch.logit(torch.cat([images, imagined]).mean(0))


wrong("data_mean_bias", "an infinity")(lambda images: torch.logit(images.mean(0)))
wrong("data_mean_bias", "an infinity")(lambda images: torch.logit((images.sum(0) + 1) / (len(images) + 1)))
wrong("data_mean_bias", "probabilities where logits")(lambda images: (images.sum(0) + 1) / (len(images) + 2))
wrong("data_mean_bias", "wrong sign")(lambda images: -torch.logit((images.sum(0) + 1) / (len(images) + 2)))
wrong("data_mean_bias", "second term")(lambda images: torch.log((images.sum(0) + 1) / (len(images) + 2)))
wrong("data_mean_bias", "A clamp")(lambda images: torch.logit(images.mean(0).clamp(1e-6, 1 - 1e-6)))
wrong("data_mean_bias", "A clamp")(lambda images: torch.logit(images.mean(0), eps=1e-6))
wrong("data_mean_bias", "with the imagined ones")(
    lambda images: torch.logit(images.mean(0).clamp(0.01, 0.99))
)
wrong("data_mean_bias", "shape")(lambda images: torch.logit((images.sum(1) + 1) / (images.shape[1] + 2)))
wrong("data_mean_bias", "name the axis")(
    lambda images: torch.logit((images.sum() + 1) / (images.numel() + 2))
)
wrong("data_mean_bias", "with the imagined ones")(lambda images: torch.zeros(images.shape[1]).double())

# bernoulli_reconstruction


@right("bernoulli_reconstruction")
def _(x, logits):
    return (x * functional.softplus(-logits) + (1 - x) * functional.softplus(logits)).sum(-1)


@right("bernoulli_reconstruction")
def _(x, logits):
    return functional.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)


@right("bernoulli_reconstruction")
def _(x, logits):
    signed = torch.where(x == 1, logits, -logits)
    return -functional.logsigmoid(signed).sum(dim=-1)


@right("bernoulli_reconstruction")
def _(x, logits):
    return -torch.distributions.Bernoulli(logits=logits).log_prob(x).sum(-1)


def cross_entropy(logits, x):
    return functional.binary_cross_entropy_with_logits(logits, x, reduction="none")


wrong("bernoulli_reconstruction", "mean over pixels")(lambda x, logits: cross_entropy(logits, x).mean(-1))
wrong("bernoulli_reconstruction", "wrong sign")(lambda x, logits: -cross_entropy(logits, x).sum(-1))
wrong("bernoulli_reconstruction", "sigmoid is taken twice")(
    lambda x, logits: cross_entropy(torch.sigmoid(logits), x).sum(-1)
)
wrong("bernoulli_reconstruction", "exchanged")(lambda x, logits: cross_entropy(-logits, x).sum(-1))
wrong("bernoulli_reconstruction", "Only the pixels that are 1")(
    lambda x, logits: -(x * functional.logsigmoid(logits)).sum(-1)
)
wrong("bernoulli_reconstruction", "squared error")(
    lambda x, logits: ((x - torch.sigmoid(logits)) ** 2).sum(-1)
)
wrong("bernoulli_reconstruction", "normalization")(lambda x, logits: -(x * logits).sum(-1))
wrong("bernoulli_reconstruction", "name the axis")(lambda x, logits: cross_entropy(logits, x).sum())
wrong("bernoulli_reconstruction", "name the axis")(lambda x, logits: cross_entropy(logits, x).sum(-1).mean())
wrong("bernoulli_reconstruction", "One axis too many")(lambda x, logits: cross_entropy(logits, x))
wrong("bernoulli_reconstruction", "shape")(lambda x, logits: cross_entropy(logits, x).sum(0))
wrong("bernoulli_reconstruction", "-100")(
    lambda x, logits: functional.binary_cross_entropy(torch.sigmoid(logits), x, reduction="none").sum(-1)
)


@wrong("bernoulli_reconstruction", "NaN")
def _(x, logits):
    theta = torch.sigmoid(logits)
    return -(x * torch.log(theta) + (1 - x) * torch.log(1 - theta)).sum(-1)


@wrong("bernoulli_reconstruction", "no limit")
def _(x, logits):
    theta = torch.sigmoid(logits)
    return -(x * torch.log(theta + 1e-10) + (1 - x) * torch.log(1 - theta + 1e-10)).sum(-1)


@wrong("bernoulli_reconstruction", "an infinity")
def _(x, logits):
    return (torch.log(1 + torch.exp(logits)) - x * logits).sum(-1)


@wrong("bernoulli_reconstruction", "all elements of input should be between 0 and 1")
def _(x, logits):
    return functional.binary_cross_entropy(logits, x, reduction="none").sum(-1)


# relaxed_vae_loss


def kl_of(logits):
    theta = torch.sigmoid(logits)
    return theta * torch.log(theta / 0.5) + (1 - theta) * torch.log((1 - theta) / 0.5)


def pixels_of(x, logits):
    return x * functional.softplus(-logits) + (1 - x) * functional.softplus(logits)


@right("relaxed_vae_loss")
def _(x, decoder_logits, code_logits):
    return pixels_of(x, decoder_logits).sum(-1).mean(0) + kl_of(code_logits).sum(-1)


@right("relaxed_vae_loss")
def _(x, decoder_logits, code_logits):
    q = torch.distributions.Bernoulli(logits=code_logits)
    prior = torch.distributions.Bernoulli(logits=torch.zeros_like(code_logits))
    log_likelihood = torch.distributions.Bernoulli(logits=decoder_logits).log_prob(x)
    return torch.distributions.kl_divergence(q, prior).sum(-1) - log_likelihood.mean(0).sum(-1)


@right("relaxed_vae_loss")
def _(x, decoder_logits, code_logits):
    total = sum(
        functional.binary_cross_entropy_with_logits(one, x, reduction="none") for one in decoder_logits
    )
    return total.sum(1) / len(decoder_logits) + kl_of(code_logits.abs()).sum(1)


wrong("relaxed_vae_loss", "The KL is subtracted")(
    lambda x, d, c: pixels_of(x, d).sum(-1).mean(0) - kl_of(c).sum(-1)
)
wrong("relaxed_vae_loss", "bad pictures")(lambda x, d, c: kl_of(c).sum(-1) - pixels_of(x, d).sum(-1).mean(0))
wrong("relaxed_vae_loss", "wrong sign everywhere")(
    lambda x, d, c: -kl_of(c).sum(-1) - pixels_of(x, d).sum(-1).mean(0)
)
wrong("relaxed_vae_loss", "as printed")(
    lambda x, d, c: (
        pixels_of(x, d).sum(-1).mean(0) + torch.log(4 * torch.sigmoid(c) * torch.sigmoid(-c)).sum(-1)
    )
)
wrong("relaxed_vae_loss", "weighs 1/Q")(lambda x, d, c: pixels_of(x, d).sum(-1).mean(0) + kl_of(c).mean(-1))
wrong("relaxed_vae_loss", "weighs D times")(
    lambda x, d, c: pixels_of(x, d).mean(-1).mean(0) + kl_of(c).sum(-1)
)
wrong("relaxed_vae_loss", "D/Q times")(lambda x, d, c: pixels_of(x, d).mean(-1).mean(0) + kl_of(c).mean(-1))
wrong("relaxed_vae_loss", "summed over the L samples")(
    lambda x, d, c: pixels_of(x, d).sum(-1).sum(0) + kl_of(c).sum(-1)
)
wrong("relaxed_vae_loss", "The loss is summed")(
    lambda x, d, c: (pixels_of(x, d).sum(-1) + kl_of(c).sum(-1)).sum(0)
)
wrong("relaxed_vae_loss", "score each sample")(
    lambda x, d, c: pixels_of(x, d.mean(0)).sum(-1) + kl_of(c).sum(-1)
)
wrong("relaxed_vae_loss", "One axis too many")(lambda x, d, c: pixels_of(x, d).sum(-1) + kl_of(c).sum(-1))
wrong("relaxed_vae_loss", "name the axis")(
    lambda x, d, c: (pixels_of(x, d).sum(-1).mean(0) + kl_of(c).sum(-1)).mean()
)
wrong("relaxed_vae_loss", "The KL is missing")(lambda x, d, c: pixels_of(x, d).sum(-1).mean(0))
wrong("relaxed_vae_loss", "sigmoid is taken twice")(
    lambda x, d, c: pixels_of(x, d).sum(-1).mean(0) + kl_of(torch.sigmoid(c)).sum(-1)
)
wrong("relaxed_vae_loss", "shapes do not fit")(
    lambda x, d, c: pixels_of(x, d).mean(0).sum(0) + kl_of(c).sum(-1)
)
wrong("relaxed_vae_loss", "code_logits would not be trained")(
    lambda x, d, c: pixels_of(x, d).sum(-1).mean(0) + kl_of(c.detach()).sum(-1)
)
wrong("relaxed_vae_loss", "decoder_logits would not be trained")(
    lambda x, d, c: pixels_of(x, d.data).sum(-1).mean(0) + kl_of(c).sum(-1)
)

# mended_temperature


@right("mended_temperature")
def _(step, steps, start, floor):
    return max(floor, start * math.exp(-math.log(start / floor) / steps * step))


@right("mended_temperature")
def _(step, steps, start, floor):
    share = min(1.0, step / steps)
    return start ** (1 - share) * floor**share


@right("mended_temperature")
def _(step, steps, start, floor):
    temperature, factor = start, (floor / start) ** (1 / steps)
    for _ in range(min(step, steps)):
        temperature *= factor
    return temperature


wrong("mended_temperature", "every 500 steps")(
    lambda step, steps, start, floor: start * (floor / start) ** ((step % 500) / steps)
)
wrong("mended_temperature", "second bug")(
    lambda step, steps, start, floor: max(floor, start * math.exp(-3e-5 * step))
)
wrong("mended_temperature", "whatever the start")(
    lambda step, steps, start, floor: max(floor, math.exp(-3e-5 * step))
)
wrong("mended_temperature", "Both bugs")(
    lambda step, steps, start, floor: max(floor, start * math.exp(-3e-5 * (step % 500)))
)
wrong("mended_temperature", "straight line")(
    lambda step, steps, start, floor: max(floor, start - (start - floor) * step / steps)
)
wrong("mended_temperature", "It rises")(
    lambda step, steps, start, floor: floor * math.exp(math.log(start / floor) * step / steps)
)
wrong("mended_temperature", "only for start 1")(
    lambda step, steps, start, floor: max(floor, start * math.exp(math.log(floor) / steps * step))
)
wrong("mended_temperature", "whatever the floor")(
    lambda step, steps, start, floor: max(floor, start * math.exp(-step / steps))
)
wrong("mended_temperature", "stay at the floor")(
    lambda step, steps, start, floor: start * (floor / start) ** (step / steps)
)
wrong("mended_temperature", "one step too early")(
    lambda step, steps, start, floor: max(floor, start * (floor / start) ** (step / (steps - 1)))
)
wrong("mended_temperature", "whole numbers")(
    lambda step, steps, start, floor: start * (floor / start) ** (step // steps)
)
wrong("mended_temperature", "start is missing")(
    lambda step, steps, start, floor: max(floor, (floor / start) ** (step / steps))
)
wrong("mended_temperature", "which factor per step")(
    lambda step, steps, start, floor: floor + (start - floor) * math.exp(-5 * step / steps)
)
wrong("mended_temperature", "which factor per step")(lambda step, steps, start, floor: floor)
wrong("mended_temperature", "cosine")(
    lambda step, steps, start, floor: (
        floor + (start - floor) * (1 + math.cos(math.pi * min(1, step / steps))) / 2
    )
)
wrong("mended_temperature", "a Python number")(
    lambda step, steps, start, floor: start * torch.exp(torch.tensor(math.log(floor / start) * step / steps))
)
wrong("mended_temperature", "a Python number")(
    lambda step, steps, start, floor: torch.linspace(start, floor, steps + 1).double()
)

# mended_descent


@right("mended_descent")
def _(loss_of, start, rate, steps, limit):
    w = start.clone().requires_grad_(True)
    for _ in range(steps):
        w.grad = None
        loss_of(w).backward()
        torch.nn.utils.clip_grad_norm_([w], limit)
        with torch.no_grad():
            w -= rate * w.grad
    return w.detach()


@right("mended_descent")
def _(loss_of, start, rate, steps, limit):
    w = torch.nn.Parameter(start.clone())
    optimizer = torch.optim.SGD([w], lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(w).backward()
        torch.nn.utils.clip_grad_norm_(w, limit)
        optimizer.step()
    return w.data


@right("mended_descent")
def _(loss_of, start, rate, steps, limit):
    for _ in range(steps):
        gradient = torch.func.grad(loss_of)(start)
        start = start - rate * gradient * min(1.0, limit / float(gradient.norm()))
    return start


@right("mended_descent")
def _(loss_of, start, rate, steps, limit):
    w = start
    for _ in range(steps):
        w = w.detach().requires_grad_()
        (g,) = torch.autograd.grad(loss_of(w), w)
        if g.norm() > limit:
            g = g / g.norm() * limit
        w = w - rate * g
    return w.detach()


def loop(zero=True, before=False, after=True, ascent=False, more=0):
    def descent(loss_of, start, rate, steps, limit):
        w = start.clone().requires_grad_(True)
        for _ in range(steps + more):
            if zero and w.grad is not None:
                w.grad.zero_()
            if before and w.grad is not None:
                torch.nn.utils.clip_grad_norm_([w], limit)
            loss_of(w).backward()
            if after:
                torch.nn.utils.clip_grad_norm_([w], limit)
            with torch.no_grad():
                w -= rate * (-w.grad if ascent else w.grad)
        return w.detach()

    return descent


wrong("mended_descent", "Both bugs")(loop(zero=False, before=True, after=False))
wrong("mended_descent", "Gradients add up from step to step: ")(loop(zero=False))
wrong("mended_descent", "nothing is clipped")(loop(zero=False, after=False))
wrong("mended_descent", "ever shortened")(loop(before=True, after=False))
wrong("mended_descent", "It climbs")(loop(ascent=True))
wrong("mended_descent", "one step too many")(loop(more=1))
wrong("mended_descent", "one step too few")(loop(more=-1))


def by_hand(shorten, track=False, once=False):
    def descent(loss_of, start, rate, steps, limit):
        w = start.clone().requires_grad_(True)
        first = w
        for _ in range(steps):
            at = first if once else w
            (g,) = torch.autograd.grad(loss_of(at), at)
            w = w - rate * shorten(g, limit)
            w = w if track else w.detach().requires_grad_(True)
        return w.detach()

    return descent


wrong("mended_descent", "on its own")(by_hand(lambda g, limit: g.clamp(-limit, limit)))
wrong("mended_descent", "stretched to the limit")(by_hand(lambda g, limit: g / g.norm() * limit))
wrong("mended_descent", "the length 1")(by_hand(lambda g, limit: g / g.norm()))
wrong("mended_descent", "that of the start")(
    by_hand(lambda g, limit: g * min(1, limit / g.norm().item()), once=True)
)
wrong("mended_descent", "a new gradient at the present point")(
    by_hand(lambda g, limit: g if g.norm() < limit else torch.zeros_like(g))
)
wrong("mended_descent", "memory grows")(
    by_hand(lambda g, limit: g * min(1, limit / g.norm().item()), track=True)
)


@wrong("mended_descent", "in place")
def _(loss_of, start, rate, steps, limit):
    w = start.requires_grad_(True)
    for _ in range(steps):
        w.grad = None
        loss_of(w).backward()
        torch.nn.utils.clip_grad_norm_([w], limit)
        w.data -= rate * w.grad
    return w.detach()


@wrong("mended_descent", "stands for another tensor")
def _(loss_of, start, rate, steps, limit):
    w = start.clone().requires_grad_(True)
    for _ in range(steps):
        w.grad = None
        loss_of(w).backward()
        torch.nn.utils.clip_grad_norm_([w], limit)
        w = w - rate * w.grad
    return w.detach()


@wrong("mended_descent", "itself is being recorded")
def _(loss_of, start, rate, steps, limit):
    w = start.clone().requires_grad_(True)
    for _ in range(steps):
        w.grad = None
        loss_of(w).backward()
        torch.nn.utils.clip_grad_norm_([w], limit)
        w -= rate * w.grad
    return w.detach()


@wrong("mended_descent", "stands for another tensor")
def _(loss_of, start, rate, steps, limit):
    w = start.clone().requires_grad_(True)
    for _ in range(steps):
        w.grad.zero_()
        loss_of(w).backward()
        torch.nn.utils.clip_grad_norm_([w], limit)
        with torch.no_grad():
            w -= rate * w.grad
    return w.detach()


@wrong("mended_descent", "who asks for a gradient")
def _(loss_of, start, rate, steps, limit):
    w = start.clone()
    for _ in range(steps):
        w.grad = None
        loss_of(w).backward()
        torch.nn.utils.clip_grad_norm_([w], limit)
        w = w - rate * w.grad
    return w


@wrong("mended_descent", "requires a gradient")
def _(loss_of, start, rate, steps, limit):
    w = start.clone().requires_grad_(True)
    for _ in range(steps):
        w.grad = None
        loss_of(w).backward()
        torch.nn.utils.clip_grad_norm_([w], limit)
        with torch.no_grad():
            w -= rate * w.grad
    return w


@wrong("mended_descent", "one step too few")
def _(loss_of, start, rate, steps, limit):
    w = start.clone().requires_grad_(True)
    for _ in range(1, steps):
        w.grad = None
        loss_of(w).backward()
        torch.nn.utils.clip_grad_norm_([w], limit)
        with torch.no_grad():
            w -= rate * w.grad
    return w.detach()


# what readers of the assignment handed in


@wrong("bernoulli_reconstruction", "inside the logarithm")
def _(x, logits):
    theta = torch.sigmoid(logits)
    return -(x * torch.log(theta + 1e-8) + (1 - x) * torch.log(1 - theta + 1e-8)).sum(-1)


@wrong("bernoulli_reconstruction", "a constant inside the logarithm")
def _(x, logits):
    theta = torch.sigmoid(logits)
    return -(x * torch.log(theta + 1e-12) + (1 - x) * torch.log(1 - theta + 1e-12)).sum(-1)


wrong("bernoulli_reconstruction", "costs more where its logit is larger")(
    lambda x, logits: (functional.softplus(logits) + x * logits).sum(-1)
)
wrong("bernoulli_reconstruction", "not 1 - ln theta")(
    lambda x, logits: (
        -(x * functional.logsigmoid(logits) + (1 - x) * (1 - functional.logsigmoid(logits))).sum(-1)
    )
)
LN2 = math.log(2)
for says, kl in (
    ("prior's term is missing", lambda c: (kl_of(c) - LN2).sum(-1)),
    ("for one bit only", lambda c: (kl_of(c) - LN2).sum(-1) + LN2),
    ("summed over the images", lambda c: kl_of(c).sum()),
    ("averaged over the images", lambda c: kl_of(c).sum(-1).mean()),
):
    wrong("relaxed_vae_loss", says)(lambda x, d, c, kl=kl: pixels_of(x, d).sum(-1).mean(0) + kl(c))
wrong("relaxed_vae_loss", "probabilities are averaged")(
    lambda x, d, c: (
        kl_of(c).sum(-1) + functional.binary_cross_entropy(d.sigmoid().mean(0), x, reduction="none").sum(-1)
    )
)
wrong("relaxed_vae_loss", "squared error")(
    lambda x, d, c: kl_of(c).sum(-1) + (x - d.sigmoid()).square().sum(-1).mean(0)
)
wrong("mended_temperature", "one step ahead")(
    lambda step, steps, start, floor: start * (floor / start) ** min((step + 1) / steps, 1)
)
wrong("mended_temperature", "It rises")(
    lambda step, steps, start, floor: start * (start / floor) ** (step / steps)
)
wrong("mended_temperature", "rounded")(
    lambda step, steps, start, floor: round(max(floor, start * (floor / start) ** (step / steps)), 2)
)
wrong("mended_temperature", "at one step")(
    lambda step, steps, start, floor: [start * (floor / start) ** (n / steps) for n in range(steps)]
)


@wrong("mended_descent", "has not moved")
def _(loss_of, start, rate, steps, limit):
    w = start.clone().requires_grad_(True)
    for _ in range(steps):
        loss_of(w).backward()
        torch.nn.utils.clip_grad_norm_([w], limit)
        w.grad.zero_()
        with torch.no_grad():
            w -= rate * w.grad
    return w.detach()


@wrong("mended_descent", "multiplied by the rate")
def _(loss_of, start, rate, steps, limit):
    w = start.clone().requires_grad_(True)
    for _ in range(steps):
        w.grad = None
        loss_of(w).backward()
        torch.nn.utils.clip_grad_norm_([w], rate * limit)
        with torch.no_grad():
            w -= rate * w.grad
    return w.detach()


@wrong("mended_descent", "is it the gradient that is measured")
def _(loss_of, start, rate, steps, limit):
    w = start.clone().requires_grad_(True)
    for _ in range(steps):
        (slope,) = torch.autograd.grad(loss_of(w), w)
        step = rate * slope
        with torch.no_grad():
            w -= step * min(1.0, limit / step.norm().item())
    return w.detach()
