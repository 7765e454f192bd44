"""Chapter 07: codes drawn from the uniform prior."""

import torch
from torch import Tensor

from catvae_lib.classroom._compare import show
from catvae_lib.classroom._learner import Mistake
from catvae_lib.classroom.trial import Trial, task

SAMPLES = 6000
CALLS = 600


@task
def prior_codes(trial: Trial) -> None:
    """Draw one-hot codes from the uniform prior of N variables with K categories."""
    seed, size = trial.integer(0, 10**6), (30, 2, 3)
    one, again, other = (_drawn(trial, size, number) for number in (seed, seed, seed + 1))
    tried = _tried(trial, size)
    _check_one_hot(trial, one, tried)
    hint = "Hand the generator on to torch: `generator=generator`."
    came = "two different samples from two generators of the same seed"
    trial.that(torch.equal(one, again), came, "the same sample twice", hint, tried=tried)
    hint = "Was one code drawn and repeated? The samples are independent."
    trial.that(bool((one != one[0]).any()), "the same code in every sample", "others", hint, tried=tried)
    came, hint = "the same sample from two different seeds", "Is anything drawn? Or is a seed set inside?"
    trial.that(not torch.equal(one, other), came, "different samples", hint, tried=tried)
    _check_law(trial, trial.integer(3, 5), seed + 2)
    _check_calls(trial, seed + 3)


def _check_form(trial: Trial, codes: object, size: tuple[int, int, int]) -> Tensor:
    tried = _tried(trial, size)
    came = f"{type(codes).__name__} {tuple(getattr(codes, 'shape', ()))}"
    hint = "A sample is N rows, and a row has one entry a category: categories stand in the last axis."
    if isinstance(codes, Tensor) and codes.shape[:-1] == size[:-1] and codes.shape[-1] < size[-1]:
        hint = "A category is lost where no sample has it: tell `one_hot` how many there are."
    if not isinstance(codes, Tensor):
        hint = "Stay in torch from beginning to end: `.numpy()` and `.tolist()` leave it."
        raise Mistake(came, f"a tensor of shape {size}", hint, tried)
    trial.that(codes.shape == size, came, f"a tensor of shape {size}", hint, tried=tried)
    hint = "The decoder multiplies codes by its weights: whole numbers need `.to(torch.float32)`."
    trial.that(codes.is_floating_point(), str(codes.dtype), "floating-point numbers", hint, tried=tried)
    return codes


def _check_one_hot(trial: Trial, codes: Tensor, tried: str) -> None:
    wrong = ((codes != 0) & (codes != 1)).any(-1) | (codes.sum(-1) != 1)  # (S, N)
    came = f"the variable {show(codes[wrong][0])}" if wrong.any() else ""
    trial.that(came == "", came, "one 1 a variable, and zeros", _about_codes(codes), tried=tried)


def _about_codes(codes: Tensor) -> str:
    if bool(((codes == 0) | (codes == 1)).all()):
        if bool((codes.sum(1) == 1).all()):
            return "Each category has one 1 among the variables: the choice went along the wrong axis."
        return "Some variables have no 1, or several: entries that are drawn one by one are not one choice."
    if bool((codes < 0).any()):
        return "Negative entries: noise is no code. Which category does each variable have?"
    if torch.allclose(codes.sum(-1).double(), codes.new_ones(()).double(), atol=1e-5):
        return "The rows sum to 1, but they are mixtures of categories. A code has chosen one."
    return "Entries between 0 and 1 are no code. Which category does each variable have?"


def _check_law(trial: Trial, k: int, seed: int) -> None:
    size = (SAMPLES, 3, k)
    codes, tried = _drawn(trial, size, seed), _tried(trial, size)
    _check_one_hot(trial, codes, tried)
    index = codes.argmax(-1)  # (S, N)
    uniform = torch.full((k,), 1 / k, dtype=torch.float64)
    for n in range(3):
        counts = torch.bincount(index[:, n], minlength=k)
        hint = _about_counts(counts / SAMPLES)
        trial.frequencies(counts, uniform, tried=f"{tried}: categories of variable {n}", hint=hint)
    same = (index[:, :-1] == index[:, 1:]).double()  # neighbouring variables agree
    hint = "The variables of a sample are independent: each needs a draw of its own."
    for n in range(2):
        what = f"{tried}: how often variables {n} and {n + 1} agree"
        trial.mean(same[:, n], 1 / k, (0, 1), tried=what, hint=hint)
    repeated = (index[::2, 0] == index[1::2, 0]).double()
    what = f"{tried}: how often a sample and the next agree in variable 0"
    trial.mean(repeated, 1 / k, (0, 1), tried=what, hint="The samples are independent, too.")


def _check_calls(trial: Trial, seed: int) -> None:
    """Call it many times with one generator: four samples of one bit have sixteen equally likely patterns."""
    size, generator = (4, 1, 2), torch.Generator().manual_seed(seed)
    tried = f"{_tried(trial, size)}, {CALLS} times with the same generator"
    codes = [trial.call(*size, generator) for _ in range(CALLS)]
    for one in codes:
        if getattr(one, "shape", None) != size:
            _check_form(trial, one, size)
    bits = torch.stack(codes).argmax(-1).flatten(1)  # (CALLS, 4)
    hint = "Draw from the generator itself: it moves on, so that the next call gives other codes."
    trial.that(bool((bits != bits[0]).any()), "always the same codes", "others", hint, tried=tried)
    counts = torch.bincount(bits @ torch.tensor([8, 4, 2, 1]), minlength=16)
    hint = "The samples are independent: are some repeated, or the categories dealt out evenly among them?"
    uniform = torch.full((16,), 1 / 16, dtype=torch.float64)
    trial.frequencies(counts, uniform, tried=f"{tried}: patterns of the four samples", hint=hint)


def _about_counts(share: Tensor) -> str:
    if share[-1] == 0:
        return "The last category never comes: is the upper end of the range exclusive?"
    if share[0] == 0:
        return "The first category never comes: categories are counted from 0."
    return "Every category should be as likely as every other."


def _drawn(trial: Trial, size: tuple[int, int, int], seed: int) -> Tensor:
    return _check_form(trial, trial.call(*size, torch.Generator().manual_seed(seed)), size)


def _tried(trial: Trial, size: tuple[int, int, int]) -> str:
    return f"{trial.name}({', '.join(map(str, size))}, generator)"
