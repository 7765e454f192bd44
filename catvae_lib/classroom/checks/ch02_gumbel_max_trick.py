"""Chapter 02: the Gumbel-max trick, draws without replacement, and noise that a batch must not share."""

from collections.abc import Callable
from itertools import permutations

import torch
from torch import Tensor

from catvae_lib import noise, sampling
from catvae_lib.classroom.checks._one_hot import demand_one_hot
from catvae_lib.classroom.trial import Known, Trial, task

SAMPLES = 20_000
SEEDS = 60  # by which a sampler that always returns the mode is told from one that repeats a draw


_GUMBEL_MAX_KNOWN: Known = [
    (
        lambda logits, gumbel_noise: sampling.gumbel_max(logits, -gumbel_noise),
        "The noise is subtracted. It is not symmetric: from three categories on, the shares come out wrong.",
    ),
    (
        lambda logits, gumbel_noise: sampling.gumbel_max(logits.softmax(-1), gumbel_noise),
        "The noise is added to probabilities; it belongs to their logarithms.",
    ),
    (
        lambda logits, gumbel_noise: sampling.gumbel_max(logits.exp(), gumbel_noise),
        "The noise is added to exp(logits); it belongs to the logits themselves.",
    ),
    (
        lambda logits, gumbel_noise: sampling.gumbel_max(logits, torch.zeros_like(gumbel_noise)),
        "It does not depend on the noise: this is always the most probable category.",
    ),
    (
        lambda logits, gumbel_noise: sampling.gumbel_max(torch.zeros_like(logits), gumbel_noise),
        "It does not depend on the logits: all categories have the same chance.",
    ),
    (
        lambda logits, gumbel_noise: sampling.gumbel_max(-logits, -gumbel_noise),
        "The smallest sum wins here, not the largest.",
    ),
    (
        lambda logits, gumbel_noise: sampling.gumbel_max(logits.clamp(min=0), gumbel_noise),
        "Negative logits act as 0: a logit may be any real number.",
    ),
]


@task
def gumbel_max(trial: Trial) -> None:
    """Mark the category with the largest sum of logit and noise, one-hot."""

    def case(*shape: int) -> tuple[Tensor, Tensor]:
        u = trial.uniform(*shape)
        return trial.normal(*shape, scale=1.5), noise.gumbel_from_uniform(u, 0.0, 1.0)

    cases = [case(40, categories) for categories in (3, 4, 5, 6)]
    demand_one_hot(trial, trial.call(*cases[0]), (40, 3), f"{trial.name}(logits, gumbel_noise) of (40, 3)")
    same = torch.equal(trial.call(*cases[1]), trial.call(*cases[1]))
    came, hint = "two different results for the same arguments", "The noise is given: draw none inside."
    trial.that(same, came, "the same result twice", hint, tried=f"{trial.name}, called twice")
    hint = "Add the noise to the logits; the largest sum in each row wins."
    trial.agree(sampling.gumbel_max, cases, known=_GUMBEL_MAX_KNOWN, hint=hint)
    many = case(2, 3, 4)
    demand_one_hot(trial, trial.call(*many), (2, 3, 4), f"{trial.name}(logits, gumbel_noise) of (2, 3, 4)")
    hint = "Rows may lie in further dimensions, or in none: the last axis is `dim=-1`."
    single = tuple(part.float() for part in case(4, 3))
    trial.agree(sampling.gumbel_max, [many, case(5), single], hint=hint)
    _demand_one_winner(trial)


def _demand_one_winner(trial: Trial) -> None:
    """Demand a single 1 where categories tie."""
    level = trial.number(-2, 2)
    tied = torch.tensor([[0.0, level, level], [level, level, level]], dtype=torch.float64) + 3
    marked = trial.call(tied, torch.zeros_like(tied))
    ones, soft = (marked == 1).sum(-1), bool(((marked > 0) & (marked < 1)).any())
    came, hint = f"{int(ones.max())} ones in a row", "`== max` marks all who share the largest sum."
    if not bool((ones > 1).any()):
        hint = (
            "No category gets the 1. A softmax, however steep, and rounding share it out; argmax picks one."
        )
    if soft:
        came = "numbers between 0 and 1"
    tried = f"{trial.name} on rows where categories tie"
    trial.that(bool((ones == 1).all()), came, "exactly one 1 in each row, whoever gets it", hint, tried=tried)


def _suspects(logits: Tensor) -> dict[str, Tensor]:
    """Return frequencies of samplers that learners write, each by the sentence that names its symptom."""
    generator, shape = torch.Generator().manual_seed(1), (SAMPLES, len(logits))
    u = noise.uniform(shape, generator=generator, dtype=torch.float64)
    gumbel, normal = -torch.log(-torch.log(u)), torch.special.ndtri(u)
    found = {
        "They fit normal noise, torch.randn: the trick needs Gumbel noise.": logits + normal,
        "They fit the logarithm of uniform noise: one logarithm of two is missing.": logits + u.log(),
        "They fit exponential noise: one logarithm of two is missing.": logits - u.log(),
        "They fit logistic noise: the trick needs Gumbel noise.": logits + torch.logit(u),
        "They fit Gumbel noise that is subtracted.": logits - gumbel,
        "They fit noise that is added to exp(logits): it belongs to the logits.": logits.exp() + gumbel,
        "They fit noise that is added to probabilities, not to logits.": logits.softmax(-1) + gumbel,
        "They fit no logits at all: every category has the same chance.": gumbel,
        "They fit the smallest sum, not the largest.": -logits - gumbel,
    }
    for scale in (0.5, 2.0):
        words = f"They fit noise of scale {scale:g}: no factor or temperature belongs to the noise alone."
        found[words] = logits + scale * gumbel
    return {words: _frequencies(sums.argmax(-1), len(logits)) for words, sums in found.items()}


def _frequencies(winners: Tensor, categories: int) -> Tensor:
    return torch.bincount(winners, minlength=categories).double() / len(winners)


def _about_frequencies(winners: Tensor, logits: Tensor, modes: Callable[[], list[bool]]) -> str:
    """Say what frequencies that do not fit remind of; `modes` draws anew: was it the mode, each time?"""
    shares, otherwise = _frequencies(winners, len(logits)), "Each category needs Gumbel noise of its own."
    if float(shares.max()) > 0.995:
        found = modes()
        if sum(found) > 0.95 * len(found):
            return (
                "It is (nearly) always the most probable category. Noise that all categories share, that is "
                "the same in each call, or that is too small, decides nothing."
            )
        return "All rows of one call agree, and the next call has another winner: the rows share their noise."
    if float((shares - logits.softmax(-1)).abs().max()) < 0.01:
        return otherwise
    off = {words: float((shares - one).abs().max()) for words, one in _suspects(logits).items()}
    nearest = min(off, key=lambda words: off[words])
    return nearest if off[nearest] < 0.025 else otherwise


def _question(trial: Trial, probabilities: list[float]) -> Tensor:
    """Return logits of these probabilities in a random order, with a random constant added."""
    order = torch.randperm(len(probabilities), generator=trial.generator)
    return torch.tensor(probabilities, dtype=torch.float64)[order].log() + trial.number(-1, -0.5)


def _demand_seeded(trial: Trial, logits: Tensor, *more: int) -> None:
    """Demand one-hot samples that depend on the generator and on nothing else."""
    seed, shape = trial.integer(0, 10**6), (*(more or logits.shape[:-1]), logits.shape[-1])
    one, again, *others = (
        demand_one_hot(trial, _drawn(trial, number, logits, *more), shape, _tried(trial, logits, *more))
        for number in (seed, seed, *range(seed + 1, seed + 5))
    )
    tried, came = _tried(trial, logits, *more), "two different samples from two generators of the same seed"
    hint = "Hand the generator on to whatever draws the noise: `generator=generator`."
    trial.that(torch.equal(one, again), came, "the same sample twice", hint, tried=tried)
    came, hint = "the same sample from different seeds", "Set no seed inside: the generator has one."
    told = bool((one != one[0]).any())  # if all rows agree, the frequencies say more
    differ = any(not torch.equal(one, other) for other in others)
    trial.that(differ or not told, came, "different samples", hint, tried=tried)
    generator = torch.Generator().manual_seed(seed)
    one, *others = (torch.as_tensor(trial.call(logits, *more, generator)) for _ in range(5))
    differ = any(not torch.equal(one, other) for other in others)
    came, hint = (
        "the same sample in a second call",
        "The generator must move on: draw from it, not from a copy.",
    )
    trial.that(differ or not told, came, "different samples", hint, tried=tried)


def _drawn(trial: Trial, seed: int, logits: Tensor, *more: int) -> object:
    drawn: object = trial.call(logits, *more, torch.Generator().manual_seed(seed))
    return drawn


def _tried(trial: Trial, logits: Tensor, *more: int) -> str:
    shape = f"logits of shape {tuple(logits.shape)}"
    return f"{trial.name}({', '.join([shape, *map(str, more), 'generator'])})"


def _demand_independent(trial: Trial, one: Tensor, two: Tensor, p: Tensor, q: Tensor, words: str) -> None:
    pairs = torch.bincount(one * len(q) + two, minlength=len(p) * len(q))
    hint = "Each row alone may be right, but the rows depend on each other: each needs noise of its own."
    trial.frequencies(pairs, torch.outer(p, q).flatten(), tried=f"{trial.name}: {words}", hint=hint)


@task
def categorical_sampler(trial: Trial) -> None:
    """Draw independent one-hot samples from logits by the Gumbel-max trick."""
    _demand_seeded(trial, _question(trial, [0.1, 0.2, 0.7]), 50)
    for probabilities in ([0.1, 0.2, 0.7], [0.08, 0.12, 0.2, 0.6]):
        logits = _question(trial, probabilities)
        p, seed, tried = logits.softmax(-1), trial.integer(0, 10**6), _tried(trial, logits, SAMPLES)
        draws = demand_one_hot(trial, _drawn(trial, seed, logits, SAMPLES), (SAMPLES, len(p)), tried)
        winners = draws.argmax(-1)

        def modes(logits: Tensor = logits) -> list[bool]:
            made = [_drawn(trial, number, logits, 2) for number in range(SEEDS)]
            return [bool(one[0, logits.argmax()] == 1) for one in made if isinstance(one, Tensor)]

        hint = _about_frequencies(winners, logits, modes)
        trial.frequencies(draws.sum(0), p, tried=tried, hint=hint)
        halves = SAMPLES // 2
        _demand_independent(trial, winners[::2], winners[1::2], p, p, "pairs of neighbouring samples")
        _demand_independent(
            trial, winners[:halves], winners[halves:], p, p, "pairs of samples half the list apart"
        )


def _in_order(logits: Tensor, order: Tensor) -> Tensor:
    rest = torch.tensor([k for k in range(len(logits)) if k not in order.tolist()], dtype=order.dtype)
    arranged = logits[torch.cat([order, rest])]
    left = arranged.flip(0).logcumsumexp(0).flip(0)  # log of the weight that is left before each draw
    return (arranged - left)[: len(order)].sum()


def _only_the_last_removed(logits: Tensor, order: Tensor) -> Tensor:
    log_p = logits.log_softmax(-1)[order]
    return log_p.sum() - torch.log1p(-log_p[:-1].exp()).sum()


_TOP_K_LOG_PROB_KNOWN: Known = [
    (
        lambda logits, order: logits.log_softmax(-1)[order].sum(),
        "These are draws with replacement: a category that has been drawn could be drawn again.",
    ),
    (
        lambda logits, order: logits[order].sum(),
        "Logits were taken for log-probabilities; they are unnormalized.",
    ),
    (
        lambda logits, order: _in_order(logits[order], torch.arange(len(order))),
        "Categories that are not in `order` take part in every draw too: they could have won.",
    ),
    (
        lambda logits, order: torch.stack(
            [_in_order(logits, order[list(p)]) for p in _orders(order)]
        ).logsumexp(0),
        "This is the probability of the set, in any order; only the given order is asked for.",
    ),
    (lambda logits, order: _in_order(logits, order.flip(0)), "The order is read from its end."),
    (_only_the_last_removed, "Only the category drawn last is removed: those drawn before it come back."),
    (
        lambda logits, order: _in_order(logits, order) / len(order),
        "It is 1/k of the right result: the logarithms of a product of probabilities are added up.",
    ),
    (
        lambda logits, order: _in_order(logits, order[:1]),
        "Only the first draw is there: the result does not depend on the others.",
    ),
    (
        lambda logits, order: -_in_order(logits, order),
        "The sign is wrong: a log-probability is never positive.",
    ),
    (lambda logits, order: _in_order(logits, order).exp(), "A logarithm is missing: this is a probability."),
    (
        lambda logits, order: _in_order(logits.softmax(-1), order),
        "Probabilities were taken for logits: a softmax of a softmax.",
    ),
]


def _orders(order: Tensor) -> list[tuple[int, ...]]:
    return list(permutations(range(len(order))))


@task
def top_k_log_prob(trial: Trial) -> None:
    """Return the log-probability of an ordered list under draws without replacement by Gumbel top-k."""
    cases = []
    for categories, k in ((3, 1), (3, 2), (4, 2), (4, 3), (5, 3), (6, 4), (5, 2), (3, 3)):
        order = torch.randperm(categories, generator=trial.generator)[:k]
        cases.append((1 + trial.normal(categories, scale=1.5), order))
    hint = "Write down the probability of the first draw, then of the second among those that are left."
    trial.agree(_in_order, cases, known=_TOP_K_LOG_PROB_KNOWN, hint=hint)
    far = torch.tensor([50.0, 0.0, trial.number(0.5, 2), trial.number(-3, -1)], dtype=torch.float64)
    hint = (
        "After a nearly certain draw, 1 minus its probability is 0 in floating point: stay with logarithms."
    )
    trial.agree(_in_order, [(far, torch.tensor(order)) for order in ([0, 3, 1], [0, 1, 2])], hint=hint)


@task
def mended_batch_sampler(trial: Trial) -> None:
    """Draw one one-hot sample for each row of logits, independently of the other rows."""
    logits = [_question(trial, probabilities) for probabilities in ([0.1, 0.2, 0.7], [0.25, 0.65, 0.1])]
    p, q = (one.softmax(-1) for one in logits)
    _demand_seeded(trial, logits[0].repeat(50, 1))
    batch, seed = torch.stack(logits).repeat(SAMPLES // 2, 1), trial.integer(0, 10**6)
    tried = _tried(trial, batch)
    drawn = _drawn(trial, seed, batch[:4].float())
    came, hint = str(getattr(drawn, "dtype", "no dtype")), "The sample has the dtype of the logits."
    trial.that(came == "torch.float32", came, "torch.float32", hint, tried=f"{trial.name}, logits in float32")
    draws = demand_one_hot(trial, _drawn(trial, seed, batch), (SAMPLES, 3), tried)
    winners, halves = draws.argmax(-1), SAMPLES // 2
    for first, own in enumerate(logits):

        def modes(own: Tensor = own) -> list[bool]:
            made = [_drawn(trial, number, own.expand(2, -1).clone()) for number in range(SEEDS)]
            return [bool(one[0, own.argmax()] == 1) for one in made if isinstance(one, Tensor)]

        hint = _about_frequencies(winners[first::2], own, modes)
        if float((_frequencies(winners[first::2], 3) - (q, p)[first]).abs().max()) < 0.02:
            hint = "They fit the logits of another row: each row has its own."
        said = f"{tried}: rows {first}, {first + 2}, {first + 4}, ..., whose logits are equal"
        trial.frequencies(draws[first::2].sum(0), own.softmax(-1), tried=said, hint=hint)
    _demand_independent(trial, winners[::2], winners[1::2], p, q, "pairs of neighbouring rows")
    _demand_independent(
        trial, winners[:halves:2], winners[halves::2], p, p, "pairs of rows half a batch apart"
    )
