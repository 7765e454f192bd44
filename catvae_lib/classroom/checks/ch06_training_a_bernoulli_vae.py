"""Chapter 06: the loss of a Bernoulli VAE."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from catvae_lib import density, network
from catvae_lib.classroom._compare import close, show
from catvae_lib.classroom.trial import Known, Trial, task


def _binary(trial: Trial, *shape: int) -> Tensor:
    return (trial.uniform(*shape) < trial.uniform(shape[-1])).double()


def _bias(images: Tensor) -> Tensor:
    decoder = network.linear(1, images.shape[1]).double()
    network.start_at_data_mean(decoder, images)
    return decoder.bias.detach()


_DATA_MEAN_BIAS_KNOWN: Known = [
    (
        lambda images: torch.log((images.sum(0) + 1) / (len(images) + 2)),
        "This is ln m: the logit has a second term.",
    ),
    (
        lambda images: torch.logit((images.sum(0) + 0.5) / (len(images) + 1)),
        "One image is added, but two are to be imagined.",
    ),
    (
        lambda images: torch.logit((images.sum(0) + 2) / (len(images) + 4)),
        "Four images are added, but two are to be imagined.",
    ),
    (
        lambda images: torch.logit(images.mean(0).clamp(1e-6, 1 - 1e-6)),
        "A clamp changes only the pixels that are never or always on: Laplace's rule changes all of them.",
    ),
]


@task
def data_mean_bias(trial: Trial) -> None:
    """Return the biases at which a decoder without a code draws the average image, by Laplace's rule."""

    def images() -> tuple[Tensor]:
        pixels = trial.integer(4, 6)
        drawn = _binary(trial, pixels + trial.integer(1, 4), pixels)
        drawn[:, 0], drawn[:, 1] = 0.0, 1.0
        return (drawn,)

    trial.agree(
        _bias,
        [images() for _ in range(10)],
        known=_DATA_MEAN_BIAS_KNOWN,
        hint="m = (how many images have the pixel on, with the imagined ones) / (N + 2); then its logit.",
    )


def _reconstruction(x: Tensor, logits: Tensor) -> Tensor:
    return -density.bernoulli_log_prob(x, logits).sum(-1)


_CONSTANT = (
    "A small constant stands inside the logarithm: it bends every cost, and limits that of a wrong pixel."
)


def _with_constant(small: float) -> Callable[[Tensor, Tensor], Tensor]:
    def bent(x: Tensor, logits: Tensor) -> Tensor:
        theta = torch.sigmoid(logits)
        return -(x * (theta + small).log() + (1 - x) * (1 - theta + small).log()).sum(-1)

    return bent


_BERNOULLI_RECONSTRUCTION_KNOWN: Known = [
    (
        lambda x, logits: -density.bernoulli_log_prob(x, logits).mean(-1),
        "It is a mean over pixels: the KL would weigh D times too much beside it.",
    ),
    (
        lambda x, logits: _reconstruction(x, torch.sigmoid(logits)),
        "The sigmoid is taken twice: the function that you call takes logits itself.",
    ),
    (
        lambda x, logits: _reconstruction(x, -logits),
        "Ink and paper are exchanged: a pixel that is 1 is cheap where its logit is large.",
    ),
    (
        lambda x, logits: (x * softplus(-logits)).sum(-1),
        "Only the pixels that are 1 are counted: paper where there is none costs, too.",
    ),
    (
        lambda x, logits: ((1 - x) * softplus(logits)).sum(-1),
        "Only the pixels that are 0 are counted.",
    ),
    (
        lambda x, logits: (x - torch.sigmoid(logits)).square().sum(-1),
        "This is a squared error, the loss of a Gaussian decoder: no nats of a bit.",
    ),
    (
        lambda x, logits: (x - logits).square().sum(-1),
        "This is a squared error between pixels and logits.",
    ),
    (
        lambda x, logits: 1 - density.bernoulli_log_prob(x, logits).sum(-1).exp(),
        "This is a probability: the logarithm is missing.",
    ),
    (
        lambda x, logits: -(logits * x).sum(-1),
        "The normalization is missing: a large logit lowers this cost without limit.",
    ),
    (
        lambda x, logits: _reconstruction(x, logits) / math.log(2),
        "This is in bits: nats ask for natural logarithms.",
    ),
    *[(_with_constant(small), _CONSTANT) for small in (1e-5, 1e-6, 1e-7, 1e-8)],
    (
        lambda x, logits: (softplus(logits) + x * logits).sum(-1),
        "A pixel that is 1 costs more where its logit is larger.",
    ),
    (
        lambda x, logits: -(x * logsigmoid(logits) + (1 - x) * (1 - logsigmoid(logits))).sum(-1),
        "ln(1 - theta) is not 1 - ln theta.",
    ),
]


@task
def bernoulli_reconstruction(trial: Trial) -> None:
    """Return minus the log-probability of each image, from the decoder's logits."""
    shapes = [(trial.integer(2, 3), trial.integer(4, 6)) for _ in range(10)] + [(1, 4)]
    cases = [(_binary(trial, *shape), trial.normal(*shape, scale=2)) for shape in shapes]
    trial.agree(
        _reconstruction,
        cases,
        known=_BERNOULLI_RECONSTRUCTION_KNOWN,
        hint="-ln theta for each pixel that is 1, -ln(1 - theta) for each that is 0, summed over pixels.",
    )
    logits = torch.tensor([[50.0, -50.0], [800.0, -800.0]], dtype=torch.float64)
    cases = [(torch.full_like(logits, ink), logits) for ink in (0.0, 1.0)]
    hint = "The cost of a wrong pixel has no limit. A saturated sigmoid, a clamp, a constant inside the "
    hint += "logarithm, or a torch function that takes probabilities (it cuts at -100) has lost it."
    trial.agree(_reconstruction, cases, hint=hint)


def _loss(x: Tensor, decoder_logits: Tensor, code_logits: Tensor) -> Tensor:
    return _reconstruction(x, decoder_logits).mean(0) + density.bernoulli_kl(code_logits).sum(-1)


def _eq5_as_printed(logits: Tensor) -> Tensor:
    return (logsigmoid(logits) + logsigmoid(-logits) + 2 * math.log(2)).sum(-1)


_WRONG_KL: list[tuple[Callable[[Tensor], Tensor], str]] = [
    (
        lambda c: (density.bernoulli_kl(c) - math.log(2)).sum(-1),
        "In the KL the prior's term is missing: at logit 0, where q is the prior, it is not 0.",
    ),
    (
        lambda c: (density.bernoulli_kl(c) - math.log(2)).sum(-1) + math.log(2),
        "In the KL the prior is counted for one bit only.",
    ),
    (lambda c: density.bernoulli_kl(c).sum(), "The KL is summed over the images: each pays for all."),
    (
        lambda c: density.bernoulli_kl(c).sum(-1).mean(),
        "The KL is averaged over the images: each has a price of its own.",
    ),
]


def _with_kl(kl: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    return lambda x, d, c: _reconstruction(x, d).mean(0) + kl(c)


_RELAXED_VAE_LOSS_KNOWN: Known = [
    (
        lambda x, d, c: _reconstruction(x, d).mean(0) - density.bernoulli_kl(c).sum(-1),
        "The KL is subtracted: it is a price, and the loss adds it.",
    ),
    (
        lambda x, d, c: -_reconstruction(x, d).mean(0) + density.bernoulli_kl(c).sum(-1),
        "The reconstruction has the wrong sign: this loss rewards bad pictures.",
    ),
    (
        lambda x, d, c: _reconstruction(x, d).mean(0) + _eq5_as_printed(c),
        "The KL is Eq. (5) as printed: the weights theta and 1 - theta are missing.",
    ),
    (
        lambda x, d, c: _reconstruction(x, d).mean(0) + density.bernoulli_kl(c).mean(-1),
        "The KL is averaged over the bits: it weighs 1/Q of what it should.",
    ),
    (
        lambda x, d, c: _reconstruction(x, d).mean(0) / x.shape[-1] + density.bernoulli_kl(c).sum(-1),
        "The reconstruction is averaged over pixels: the KL weighs D times what it should.",
    ),
    (
        lambda x, d, c: _reconstruction(x, d).mean(0) / x.shape[-1] + density.bernoulli_kl(c).mean(-1),
        "Both terms are averaged over their dimensions: the KL weighs D/Q times what it should.",
    ),
    (
        lambda x, d, c: _reconstruction(x, d).sum(0) + density.bernoulli_kl(c).sum(-1),
        "The reconstruction is summed over the L samples: more samples must not make it larger.",
    ),
    (
        lambda x, d, c: _reconstruction(x, d).sum(0) + len(d) * density.bernoulli_kl(c).sum(-1),
        "The loss is summed over the L samples: more samples must not make it larger.",
    ),
    (
        lambda x, d, c: _reconstruction(x, d.mean(0)) + density.bernoulli_kl(c).sum(-1),
        "The logits are averaged over the samples, and scored once: score each sample, then average.",
    ),
    (
        lambda x, d, c: _reconstruction(x, d)[0] + density.bernoulli_kl(c).sum(-1),
        "Only the first of the L samples is used.",
    ),
    (lambda x, d, c: _reconstruction(x, d).mean(0), "The KL is missing."),
    (lambda x, d, c: density.bernoulli_kl(c).sum(-1), "The reconstruction is missing."),
    (
        lambda x, d, c: _reconstruction(x, d).mean(0) + density.bernoulli_kl(torch.sigmoid(c)).sum(-1),
        "In the KL the sigmoid is taken twice.",
    ),
    (
        lambda x, d, c: (
            math.log(len(d)) - torch.logsumexp(-_reconstruction(x, d), 0) + density.bernoulli_kl(c).sum(-1)
        ),
        "The logarithm of a mean is no mean of logarithms: this loss averages ln p(x|z).",
    ),
    *[(_with_kl(kl), words) for kl, words in _WRONG_KL],
    (
        lambda x, d, c: (
            density.bernoulli_kl(c).sum(-1) + _reconstruction(x, torch.logit(torch.sigmoid(d).mean(0)))
        ),
        "The probabilities are averaged over the samples, and scored once: score each sample, then average.",
    ),
    (
        lambda x, d, c: (x - torch.sigmoid(d)).square().sum(-1).mean(0) + density.bernoulli_kl(c).sum(-1),
        "The reconstruction is a squared error, the loss of a Gaussian decoder.",
    ),
]


@task
def relaxed_vae_loss(trial: Trial) -> None:
    """Return the loss of each image: the reconstruction, averaged over samples, and the KL of the code."""

    def case() -> tuple[Tensor, Tensor, Tensor]:
        samples, images, pixels, bits = (trial.integer(*ends) for ends in ((2, 3), (4, 5), (6, 7), (8, 9)))
        drawn = _binary(trial, images, pixels)
        return drawn, trial.normal(samples, images, pixels), trial.normal(images, bits, scale=2)

    cases = [case() for _ in range(8)]
    cases += [(_binary(trial, 1, 2), trial.normal(1, 1, 2), trial.normal(1, 2))]
    hint = "Sum over pixels and over bits, average over samples, keep the images apart; then add."
    trial.agree(_loss, cases, known=_RELAXED_VAE_LOSS_KNOWN, hint=hint)
    for logits_are, place in (("decoder_logits", 1), ("code_logits", 2)):
        _one_gradient(trial, case(), place, logits_are)


def _one_gradient(trial: Trial, case: tuple[Tensor, ...], place: int, name: str) -> None:
    leaf = case[place].clone().requires_grad_(True)
    given = (*case[:place], leaf, *case[place + 1 :])
    (expected,) = torch.autograd.grad(_loss(*given).sum(), leaf)
    result, got = trial.call(*given), torch.zeros_like(leaf)
    if result.requires_grad:
        (some,) = torch.autograd.grad(result.sum(), leaf, allow_unused=True)
        got = got if some is None else some
    hint = f"The values are right, but {name} would not be trained. `.detach()`, `.data` and "
    hint += "`torch.no_grad()` cut the gradient."
    tried = f"the gradient of {trial.name}(...) with respect to {name}"
    trial.that(close(got, expected, 1e-6), show(got), show(expected), hint, tried=tried)
