"""Gradient estimators for discrete codes: functions of a code, given the gradient of their expectation.

Every estimator is called alike,

    surrogate = estimator(latent, logits, noise, f, temperature)   # (B,)

with a `BernoulliLatent` or `CategoricalLatent`, its logits (B, num_parameters), noise (S, B, *event_shape)
such as `latent.noise` draws, and a function f of codes (..., B, *event_shape) that returns one value each.
The value of the surrogate is f at the drawn codes, averaged over S; its gradient is the estimate, for the
logits and for whatever parameters f has. Those that learn something are modules, which take care of it
themselves.
"""

from catvae_lib.estimators._common import Estimator, Objective
from catvae_lib.estimators.antithetic import arm, arsm, disarm
from catvae_lib.estimators.catalogue import CATALOGUE, Entry
from catvae_lib.estimators.control import REBAR, RELAX, rebar
from catvae_lib.estimators.enumeration import all_codes, exact, exact_gradient, exact_multi_sample
from catvae_lib.estimators.layers import Layerwise
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

__all__ = [
    "CATALOGUE",
    "NVIL",
    "REBAR",
    "RELAX",
    "Entry",
    "Estimator",
    "Layerwise",
    "MovingAverage",
    "Objective",
    "all_codes",
    "arm",
    "arsm",
    "disarm",
    "exact",
    "exact_gradient",
    "exact_multi_sample",
    "gumbel_rao",
    "gumbel_softmax",
    "leave_one_out",
    "local_expectation",
    "multi_sample_leave_one_out",
    "muprop",
    "rebar",
    "reinmax",
    "score_function",
    "straight_through",
    "straight_through_gumbel_softmax",
    "vimco",
]
