"""Which words and estimators a loss may be told, and which of them go together."""

from torch import Tensor

from catvae_lib import _validate
from catvae_lib.estimators import (
    Estimator,
    gumbel_softmax,
    local_expectation,
    multi_sample_leave_one_out,
    straight_through_gumbel_softmax,
    vimco,
)
from catvae_lib.estimators._common import underlying

SAMPLES: dict[str, Estimator] = {
    "relaxed": gumbel_softmax,
    "straight_through": straight_through_gumbel_softmax,
    "local_expectation": local_expectation,
}


KLS = ("analytic", "concrete", "sampled")


def check_kl(
    kl: str, sample: str | Estimator, prior_temperature: float | Tensor | None, multi_sample: bool
) -> None:
    _validate.one_of("kl", kl, KLS)
    _validate.instance("multi_sample", multi_sample, bool)
    if prior_temperature is not None and kl != "concrete":
        raise ValueError(f'prior_temperature needs kl="concrete", got {prior_temperature=} and {kl=}')
    if multi_sample and (sample, kl) != ("relaxed", "concrete"):
        raise ValueError(f'multi_sample needs sample="relaxed" and kl="concrete", got {sample=} and {kl=}')


def estimator_of(sample: str | Estimator, kl: str) -> Estimator:
    if isinstance(sample, str):
        _validate.one_of("sample", sample, tuple(SAMPLES))
        return SAMPLES[sample]
    if isinstance(sample, type) or not callable(sample):
        raise TypeError(f"sample must be a word or an estimator, not its class, got {sample!r}")
    if kl != "sampled" and underlying(sample) in (vimco, multi_sample_leave_one_out):
        raise ValueError(f'sample must come with kl="sampled" to maximize log-weights, got {kl=}, {sample}')
    return sample
