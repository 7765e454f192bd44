"""All estimators by name, with what each is good for: what tests, benchmarks and chapter 08 go through."""

from collections.abc import Callable
from dataclasses import dataclass

from catvae_lib import network
from catvae_lib.estimators._common import Estimator
from catvae_lib.estimators.antithetic import arm, arsm, disarm
from catvae_lib.estimators.control import REBAR, RELAX
from catvae_lib.estimators.enumeration import exact
from catvae_lib.estimators.local import local_expectation
from catvae_lib.estimators.multi_sample import multi_sample_leave_one_out, vimco
from catvae_lib.estimators.relaxed import (
    gumbel_rao,
    gumbel_softmax,
    reinmax,
    straight_through,
    straight_through_gumbel_softmax,
)
from catvae_lib.estimators.score import NVIL, MovingAverage, leave_one_out, score_function
from catvae_lib.estimators.taylor import muprop
from catvae_lib.latent import Latent


@dataclass(frozen=True)
class Entry:
    """What is known of an estimator.

    Attributes:
        title: Its name in the literature.
        make: Makes it for a latent; those that learn are fresh each time.
        unbiased: The functions for which its mean is the exact gradient: "every f", or a smaller class.
        draws: Noise draws that one estimate takes in this book.
        evaluations: Evaluations of f for these draws, in words.
        codes: "bits", "categories" or both.
        objective: "single": the gradient of E[f]. "multi": of the multi-sample objective.
        differentiates: Whether f must have a derivative in the code.
    """

    title: str
    make: Callable[[Latent], Estimator]
    unbiased: str
    draws: int = 1
    evaluations: str = "1"
    codes: tuple[str, ...] = ("bits", "categories")
    objective: str = "single"
    differentiates: bool = False


def _always(estimator: Estimator) -> Callable[[Latent], Estimator]:
    return lambda latent: estimator


CATALOGUE = {
    "exact": Entry("enumeration", _always(exact), "every f", 1, "2^Q or K^N"),
    "score_function": Entry("REINFORCE", _always(score_function), "every f"),
    "moving_average": Entry("REINFORCE, moving average", lambda latent: MovingAverage(), "every f"),
    "nvil": Entry("NVIL", lambda latent: NVIL(network.mlp(latent.num_parameters, [100], 1)), "every f"),
    "leave_one_out": Entry("leave-one-out", _always(leave_one_out), "every f", 4, "4"),
    "muprop": Entry("MuProp", _always(muprop), "every differentiable f", 1, "2", differentiates=True),
    "arm": Entry("ARM", _always(arm), "every f", 1, "2", ("bits",)),
    "disarm": Entry("DisARM", _always(disarm), "every f", 1, "2", ("bits",)),
    "arsm": Entry("ARSM", _always(arsm), "every f", 1, "K (K - 1) / 2 + 1", ("categories",)),
    "local_expectation": Entry(
        "local expectation", _always(local_expectation), "every f", 1, "Q + 1 or N (K - 1) + 1"
    ),
    "rebar": Entry("REBAR", lambda latent: REBAR(), "every differentiable f", 2, "3", differentiates=True),
    "relax": Entry(
        "RELAX",
        lambda latent: RELAX(network.mlp(latent.num_parameters, [100], 1, activation="tanh")),
        "every differentiable f",
        2,
        "3",
        differentiates=True,
    ),
    "straight_through": Entry(
        "ST", _always(straight_through), "multilinear f (temperature 1)", differentiates=True
    ),
    "gumbel_softmax": Entry("Gumbel-softmax", _always(gumbel_softmax), "no f", differentiates=True),
    "straight_through_gumbel_softmax": Entry(
        "ST Gumbel-softmax", _always(straight_through_gumbel_softmax), "no f", differentiates=True
    ),
    "gumbel_rao": Entry("Gumbel-Rao", _always(gumbel_rao), "no f", 101, "1", differentiates=True),
    "reinmax": Entry("ReinMax", _always(reinmax), "quadratic f (temperature 1)", differentiates=True),
    "vimco": Entry("VIMCO", _always(vimco), "every f", 4, "4", objective="multi"),
    "multi_sample_leave_one_out": Entry(
        "multi-sample leave-one-out",
        _always(multi_sample_leave_one_out),
        "every f",
        4,
        "4",
        objective="multi",
    ),
}
