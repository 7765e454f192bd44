"""Estimators for chains against the gradient of the enumerated expectation.

With 40,000 draws a bias of 0.07 standard deviations of one estimate is seen. A gradient that stops at a layer
is found at once, see the test that makes one.
"""

from collections.abc import Callable
from functools import partial

import alarms
import pytest
import torch
from torch import Tensor

from catvae_lib import network
from catvae_lib.chain import Chain
from catvae_lib.estimators import (
    CATALOGUE,
    NVIL,
    Estimator,
    Layerwise,
    all_codes,
    disarm,
    leave_one_out,
    multi_sample_leave_one_out,
    muprop,
    rebar,
    score_function,
    straight_through,
    vimco,
)
from catvae_lib.latent import BernoulliLatent

DRAWS = 40_000


def chain(layers: int = 2) -> Chain:
    torch.manual_seed(0)
    made = Chain([BernoulliLatent(2)] * layers, [network.linear(2, 2) for _ in range(layers - 1)]).double()
    for weight in made.parameters():
        weight.data.normal_(0, 1.0, generator=torch.Generator().manual_seed(1))
    return made


def f(z: Tensor) -> Tensor:
    """Neither linear nor quadratic, and the layers interact."""
    weights = torch.tensor([1.0, -2.0, 1.5, 0.7, -1.0, 2.0], dtype=z.dtype)[: z.shape[-1]]
    return torch.sin(z @ weights) + 2 * z[..., 0] * z[..., -1] - z[..., 1] * z[..., 2]


LOGITS = torch.tensor([[0.4, -0.8]], dtype=torch.float64)


def exact_gradients(latent: Chain, objective: Callable[[Tensor, Tensor], Tensor]) -> list[Tensor]:
    """Gradients in the logits and in the recognition weights; objective takes codes (C, 1, Q) and log q."""
    logits = LOGITS.clone().requires_grad_()
    z = all_codes(BernoulliLatent(latent.event_shape[0]), dtype=torch.float64).unsqueeze(1)
    value = objective(z, latent.log_prob(z, logits))
    return list(torch.autograd.grad(value, [logits, *latent.recognition.parameters()]))


def estimates(estimator: Estimator, latent: Chain, draws: int) -> list[Tensor]:
    """Estimates of the same gradients, (DRAWS, ...) each: every example is an estimate of its own."""
    weights = {name: w.detach() for name, w in latent.recognition.named_parameters()}
    generator = torch.Generator().manual_seed(7)
    noise = latent.noise(LOGITS.expand(DRAWS, -1), draws, generator=generator)
    copies = {name: w.expand(DRAWS, *w.shape).clone().requires_grad_() for name, w in weights.items()}
    logits = LOGITS.expand(DRAWS, -1).clone().requires_grad_()
    latent = _PerRow(latent, copies)
    surrogate = estimator(latent, logits, noise, f, 0.7)
    return list(torch.autograd.grad(surrogate.sum(), [logits, *copies.values()]))


class _PerRow(Chain):
    """A chain in which every example has weights of its own, so that one pass gives many estimates."""

    def __init__(self, other: Chain, copies: dict[str, Tensor], number: int = 0) -> None:
        super().__init__(other.layers, list(other.recognition))
        self.copies, self.number = copies, number

    def following(self, number: int, z: Tensor) -> Tensor:
        weight, bias = (self.copies[f"{self.number + number}.{name}"] for name in ("weight", "bias"))
        rows = z.reshape(-1, DRAWS, z.shape[-1])  # (copies of the rows, DRAWS, 2)
        return (torch.einsum("cdi,doi->cdo", rows, weight) + bias).reshape(*z.shape[:-1], -1)

    def rest(self) -> Chain | BernoulliLatent:  # type: ignore[override]
        inner = super().rest()
        return _PerRow(inner, self.copies, self.number + 1) if isinstance(inner, Chain) else inner  # type: ignore[return-value]


def off(found: list[Tensor], exact: list[Tensor]) -> float:
    """The largest |mean - exact| over all coordinates, in parts of the limit of tests/alarms.py."""
    draws = torch.cat([each.flatten(1) for each in found], 1)
    error = draws.mean(0) - torch.cat([truth.flatten() for truth in exact])
    return float((error.abs() / (alarms.empirical(draws) + 1e-12)).max())


def single(z: Tensor, log_q: Tensor) -> Tensor:
    return (log_q.exp() * f(z)).sum()


UNBIASED = {
    "score_function": (score_function, 1),
    "leave_one_out": (leave_one_out, 2),
    "muprop": (muprop, 1),
    "disarm": (disarm, 1),
    "rebar": (rebar, 2),
}


@pytest.mark.parametrize("layers", [2, 3])
@pytest.mark.parametrize("name", list(UNBIASED))
def test_layerwise_estimates_are_unbiased(name: str, layers: int) -> None:
    estimator, draws = UNBIASED[name]
    latent = chain(layers)
    found = estimates(Layerwise(estimator), latent, draws)
    assert off(found, exact_gradients(latent, single)) < 1


def test_baselines_of_their_own_leave_the_estimate_unbiased() -> None:
    latent = chain()
    each = [NVIL(network.mlp(2, [4], 1).double()).eval() for _ in range(2)]
    for nvil in each:
        nvil.average.update(torch.tensor(0.3, dtype=torch.float64))
    assert off(estimates(Layerwise(*each), latent, 1), exact_gradients(latent, single)) < 1


@pytest.mark.parametrize("estimator", [vimco, multi_sample_leave_one_out])
@pytest.mark.parametrize("layers", [2, 3])
def test_multi_sample_gradients_reach_every_layer(estimator: Estimator, layers: int) -> None:
    def two_samples(z: Tensor, log_q: Tensor) -> Tensor:
        value, log_p = f(z), log_q
        objective = torch.logaddexp(value.unsqueeze(0), value.unsqueeze(1)) - torch.log(torch.tensor(2.0))
        return ((log_p.unsqueeze(0) + log_p.unsqueeze(1)).exp() * objective).sum()

    latent = chain(layers)
    assert off(estimates(estimator, latent, 2), exact_gradients(latent, two_samples)) < 1


def test_a_gradient_that_stops_at_a_layer_is_found() -> None:
    latent = chain()
    found = estimates(Layerwise(score_function), latent, 1)
    stopped = [found[0], *(torch.zeros_like(each) for each in found[1:])]
    assert off(stopped, exact_gradients(latent, single)) > 10
    biased = estimates(Layerwise(straight_through), latent, 1)
    assert off(biased, exact_gradients(latent, single)) > 1


def test_estimators_for_one_layer_say_what_to_do_with_a_chain() -> None:
    latent = chain()
    noise = latent.noise(LOGITS, 2)
    with pytest.raises(ValueError, match=r"use Layerwise\(score_function\)"):
        score_function(latent, LOGITS, noise, f)
    with pytest.raises(ValueError, match="latent must be a Chain of 3 layers"):
        Layerwise(score_function, score_function, score_function)(latent, LOGITS, noise, f)
    with pytest.raises(ValueError, match="latent must be a Chain"):
        Layerwise(score_function)(BernoulliLatent(2), LOGITS, noise[..., :2], f)
    with pytest.raises(ValueError, match="estimators must hold at least one"):
        Layerwise()
    with pytest.raises(ValueError, match=r"estimators must have a single objective: give a Chain to .*vimco"):
        Layerwise(vimco)
    for wrong in ("vimco", NVIL):
        with pytest.raises(TypeError, match="estimators must be estimators, not their classes or names"):
            Layerwise(wrong)
    with pytest.raises(ValueError, match=r"noise must have shape \(S, 1, 4\), got \(2, 1, 3\)"):
        Layerwise(score_function)(latent, LOGITS, noise[..., :3], f)
    for bad in (lambda z: 1.0, lambda z: z):
        with pytest.raises(ValueError, match="f must return one value a code"):
            Layerwise(score_function)(latent, LOGITS, noise, bad)
    empty = Layerwise(score_function)(latent, LOGITS[:0], noise[:, :0], f)
    assert empty.shape == (0,)


def test_the_value_is_f_at_the_drawn_codes() -> None:
    latent = chain()
    rows = LOGITS.expand(5, -1)
    noise = latent.noise(rows, 1, generator=torch.Generator().manual_seed(2))
    expected = f(latent.hard(rows, noise))[0]
    for name in ("score_function", "muprop", "straight_through", "disarm"):
        found = Layerwise(CATALOGUE[name].make(latent.layers[0]))(latent, rows, noise, f)
        if name != "disarm":  # its value is the mean of an antithetic pair
            torch.testing.assert_close(found, expected)
        assert found.shape == (5,)


def test_every_code_of_the_first_layer_meets_every_draw_of_the_second() -> None:
    latent, rows = chain(), LOGITS * torch.tensor([[1.0], [-1.0], [3.0]], dtype=torch.float64)
    noise = latent.noise(rows, 2, generator=torch.Generator().manual_seed(3))
    pairs = [torch.cat([noise[i, :, :2], noise[j, :, 2:]], -1) for i in range(2) for j in range(2)]
    expected = f(latent.hard(rows, torch.stack(pairs))).mean(0)
    torch.testing.assert_close(Layerwise(leave_one_out)(latent, rows, noise, f), expected)


@pytest.mark.parametrize("given", [(), (0.3,)], ids=str)
def test_each_layer_meets_its_own_estimator_and_noise_and_the_temperature(given: tuple[float, ...]) -> None:
    latent = Chain([BernoulliLatent(3), BernoulliLatent(2)], [network.linear(3, 2)]).double()
    logits = torch.zeros(5, 3, dtype=torch.float64)
    noise = latent.noise(logits, 2, generator=torch.Generator().manual_seed(4))
    asked = []

    def recording(name: str) -> Estimator:
        def estimator(layer, own, part, objective, temperature):  # type: ignore[no-untyped-def]
            asked.append((name, layer, own.shape[0], temperature))
            wanted = noise[..., :3] if name == "first" else noise[..., 3:].repeat(1, 2, 1)
            assert torch.equal(part, wanted)
            return score_function(layer, own, part, objective)

        return estimator

    Layerwise(recording("first"), recording("second"))(latent, logits, noise, f, *given)
    temperature = given[0] if given else 1.0
    first, second = latent.layers
    assert asked == [("first", first, 5, temperature), ("second", second, 10, temperature)]


@pytest.mark.parametrize("of_several", [vimco, multi_sample_leave_one_out])
def test_an_objective_of_several_codes_is_known_behind_its_arguments(of_several: Estimator) -> None:
    with pytest.raises(ValueError, match="estimators must have a single objective"):
        Layerwise(partial(partial(of_several)))


def test_what_its_estimators_learn_is_its_own_and_a_wrong_value_is_shown() -> None:
    one = Layerwise(NVIL(network.linear(2, 1)), score_function)
    assert len(list(one.parameters())) == 2 and all(
        w.dtype == torch.float64 for w in one.double().parameters()
    )
    latent, rows = chain(), LOGITS.expand(3, -1)
    noise = latent.noise(rows, 1)
    for bad, shown in ((lambda z: 1.0, r"got 1\.0"), (lambda z: z, r"got \(1, 1, 3, 4\)")):
        with pytest.raises(ValueError, match=rf"f must return one value a code, \(1, 1, 3\), {shown}"):
            Layerwise(score_function)(latent, rows, noise, bad)
