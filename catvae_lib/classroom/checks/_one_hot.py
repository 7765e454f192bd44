"""What one-hot samples must look like."""

import torch
from torch import Tensor

from catvae_lib.classroom.trial import Trial


def demand_one_hot(trial: Trial, result: object, shape: tuple[int, ...], tried: str) -> Tensor:
    """Return a result's numbers, or say why it is not one-hot in the last dimension."""
    got = tuple(result.shape) if isinstance(result, Tensor) else None
    came = f"{type(result).__name__}{'' if got is None else f' of shape {got}'}"
    hint = "Write the shapes beside your lines. However many axes there are, the categories are in the last."
    if got == shape[:-1]:
        hint = "These are the numbers of the categories. Mark each by a 1 in a row of zeros: one-hot."
        if isinstance(result, Tensor) and result.is_floating_point():
            hint = "One number for each row: not how large the largest sum is, but where it lies, one-hot."
    trial.that(got == shape, came, f"a tensor of shape {shape}", hint, tried=tried)
    assert isinstance(result, Tensor)
    numbers = result.detach().double()
    off = torch.minimum(numbers.abs(), (numbers - 1).abs())
    hard, hint = bool((off < 1e-6).all()), "The winner gets a 1, whatever its sum is, and all others get a 0."
    if torch.allclose(numbers.sum(-1), torch.ones(()).double()):
        hint = "A softmax shares the 1 out. Who has won?"
    trial.that(hard, "numbers other than 0 and 1", "only zeros and ones", hint, tried=tried)
    numbers = numbers.round()
    ones, hint = numbers.sum(-1), "Along which axis is the largest searched, and along which is it marked?"
    came = f"rows with {int(ones.min())} to {int(ones.max())} ones"
    trial.that(bool((ones == 1).all()), came, "exactly one 1 along the last axis", hint, tried=tried)
    return numbers
