"""The comparison has teeth: it rejects every estimator with a mistake in it.

Each is off by more than twice the limit (asserted on the sample; the nearest by 2.1, 17 standard errors), so
that it is missed no more often than a right one is rejected.
"""

import pytest
import torch
import wrong_estimators as wrong
from problems import PROBLEMS, compare, estimates

from catvae_lib.estimators import Estimator, straight_through_gumbel_softmax

N, FAR = 100_000, 2


@pytest.mark.parametrize("problem", ["bits-neural", "small-neural"])
@pytest.mark.parametrize("estimator", wrong.EVERYWHERE, ids=lambda one: one.__name__)
def test_a_wrong_estimator_is_rejected(problem: str, estimator: Estimator) -> None:
    one = PROBLEMS[problem]
    assert compare(estimates(one, estimator, 2, N, temperature=0.5), one.exact_gradient()).off > FAR


@pytest.mark.parametrize("estimator", wrong.ON_BITS, ids=lambda one: one.__name__)
def test_a_wrong_estimator_for_bits_is_rejected(estimator: Estimator) -> None:
    one = PROBLEMS["bits-neural"]
    assert compare(estimates(one, estimator, 1, N), one.exact_gradient()).off > FAR


@pytest.mark.parametrize("estimator", wrong.ON_CATEGORIES, ids=lambda one: one.__name__)
def test_a_wrong_estimator_for_categories_is_rejected(estimator: Estimator) -> None:
    one = PROBLEMS["small-neural"]
    assert compare(estimates(one, estimator, 1, N), one.exact_gradient()).off > FAR


def test_the_bank_holds_twenty_wrong_estimators_and_more() -> None:
    every = [*wrong.EVERYWHERE, *wrong.ON_BITS, *wrong.ON_CATEGORIES, *wrong.MULTI]
    assert len(set(every)) == len(every) == 25  # and Gumbel-Rao


@pytest.mark.parametrize("estimator", wrong.MULTI, ids=lambda one: one.__name__)
def test_a_wrong_multi_sample_estimator_is_rejected(estimator: Estimator) -> None:
    one = PROBLEMS["bits-neural"]
    assert compare(estimates(one, estimator, 2, N), one.exact_gradient(2)).off > FAR


def test_gumbel_rao_differentiated_through_its_conditional_noise_is_rejected() -> None:
    """K = 3, temperature 0.7: its mean is not that of straight-through Gumbel-softmax."""
    one = PROBLEMS["small-neural"]
    plain = torch.cat(estimates(one, straight_through_gumbel_softmax, 1, N, 0.7))
    mistaken = torch.cat(estimates(one, wrong.rao_through_the_conditional_noise, 5, N, 0.7, seed=1))
    assert compare([mistaken - plain], torch.zeros_like(one.logits[0])).off > FAR
