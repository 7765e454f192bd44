"""Estimators at the edges: on another device, of a single category, at the largest enumeration."""

import pytest
import torch
from problems import BITS, FLOAT, SMALL
from torch import Tensor, nn

from catvae_lib import _validate
from catvae_lib.estimators import (
    CATALOGUE,
    NVIL,
    all_codes,
    arsm,
    control,
    enumeration,
    exact,
    exact_gradient,
    exact_multi_sample,
    gumbel_softmax,
    local_expectation,
    multi_sample_leave_one_out,
    rebar,
    reinmax,
    score_function,
)
from catvae_lib.estimators.conditional import harden
from catvae_lib.latent import BernoulliLatent, CategoricalLatent, Latent

PAIRS = [
    (name, latent)
    for name, entry in CATALOGUE.items()
    for latent, codes in ((BITS, "bits"), (SMALL, "categories"))
    if codes in entry.codes
]


def wavy(latent: Latent, z: Tensor) -> Tensor:
    flat = z.flatten(z.ndim - len(latent.event_shape))
    return torch.sin(flat @ torch.arange(1, flat.shape[-1] + 1, dtype=z.dtype, device=z.device))


@pytest.mark.parametrize(("name", "latent"), PAIRS, ids=str)
def test_everything_is_made_where_the_logits_are(name: str, latent: Latent) -> None:
    """The device "meta" holds shapes and no values: a tensor made on the CPU beside it is an error."""
    estimator = CATALOGUE[name].make(latent)
    if isinstance(estimator, nn.Module):
        estimator.to("meta")
    logits = torch.zeros(2, latent.num_parameters, device="meta", requires_grad=True)
    with _validate.trusted():
        noise = latent.noise(logits.detach(), CATALOGUE[name].draws)
        surrogate = estimator(latent, logits, noise, lambda z: wavy(latent, z), 0.5)
    (gradient,) = torch.autograd.grad(surrogate.sum(), logits)
    assert surrogate.device.type == gradient.device.type == "meta"
    assert surrogate.shape == (2,) and gradient.shape == logits.shape


EVALUATIONS = {  # of f, with the catalogue's draws: for three bits, for two variables of three categories
    **{name: (1, 1) for name in CATALOGUE},
    "exact": (8, 9),
    **{name: (4, 4) for name in ("leave_one_out", "vimco", "multi_sample_leave_one_out")},
    **{name: (2, 2) for name in ("muprop", "arm", "disarm")},
    **{name: (3, 3) for name in ("rebar", "relax")},
    "arsm": (0, 4),
    "local_expectation": (4, 5),
}


@pytest.mark.parametrize(("name", "latent"), PAIRS, ids=str)
def test_the_catalogue_says_what_an_estimate_costs_and_what_it_needs(name: str, latent: Latent) -> None:
    entry, asked = CATALOGUE[name], []

    def steps(z: Tensor) -> Tensor:  # without a derivative
        asked.append(z.shape[: z.ndim - len(latent.event_shape)].numel() / 5)
        return (z > 0.5).to(z.dtype).flatten(z.ndim - len(latent.event_shape)).sum(-1)

    logits = torch.zeros(5, latent.num_parameters, requires_grad=True)
    noise = latent.noise(logits.detach(), entry.draws, generator=torch.Generator().manual_seed(0))
    try:
        learns = entry.make(latent)(latent, logits, noise, steps).requires_grad
    except ValueError as error:
        assert "needs an f that is differentiable in the code" in str(error)
        learns = False
    assert (learns, entry.differentiates) in ((True, False), (False, True))
    assert isinstance(entry.evaluations, str) and entry.objective in ("single", "multi")
    assert isinstance(entry.differentiates, bool)
    asked.clear()
    entry.make(latent)(latent, logits, noise, lambda z: steps(z) + wavy(latent, z))
    assert sum(asked) == EVALUATIONS[name][latent is SMALL]


@pytest.mark.parametrize("name", ["arsm", "local_expectation", "score_function", "muprop", "gumbel_rao"])
def test_of_a_single_category_there_is_nothing_to_learn(name: str) -> None:
    latent, asked = CategoricalLatent(3, 1), []

    def f(z: Tensor) -> Tensor:
        asked.append(z.shape[:-3].numel() * z.shape[-3])
        return 2 * z.sum((-1, -2))

    logits = torch.tensor([[0.5, -1.0, 2.0], [0.0, 0.0, 0.0]], dtype=FLOAT, requires_grad=True)
    noise = latent.noise(logits.detach(), CATALOGUE[name].draws, generator=torch.Generator().manual_seed(0))
    surrogate = CATALOGUE[name].make(latent)(latent, logits, noise, f)
    assert surrogate.tolist() == [6.0, 6.0]
    assert not torch.autograd.grad(surrogate.sum(), logits)[0].any()
    if name in ("arsm", "local_expectation"):
        assert sum(asked) == 2 * len(noise)  # nothing but the code itself


def test_arsm_and_local_expectation_know_that_a_constant_added_to_all_logits_changes_nothing() -> None:
    """So the components of a variable's gradient sum to 0, in every draw and not only on average."""
    noise = SMALL.noise(torch.zeros(4, 6, dtype=FLOAT), 3, generator=torch.Generator().manual_seed(0))
    for estimator in (arsm, local_expectation):
        logits = torch.linspace(-1, 2, 24, dtype=FLOAT).reshape(4, 6).requires_grad_()
        surrogate = estimator(SMALL, logits, noise, lambda z: wavy(SMALL, z))
        (gradient,) = torch.autograd.grad(surrogate.sum(), logits)
        assert float(gradient.abs().max()) > 0.01
        sums = gradient.unflatten(-1, (2, 3)).sum(-1)
        torch.testing.assert_close(sums, torch.zeros_like(sums), rtol=0, atol=1e-12)


def test_the_largest_enumeration_is_done_and_one_more_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert enumeration.MOST_CODES == 1_048_576 and enumeration.MOST_TUPLES == 33_554_432
    monkeypatch.setattr(enumeration, "MOST_CODES", 9)
    monkeypatch.setattr(enumeration, "MOST_TUPLES", 64)
    assert len(all_codes(SMALL)) == 9 and len(all_codes(BITS)) == 8
    with pytest.raises(ValueError, match=r"at most 2\^20 codes to be enumerated"):
        all_codes(BernoulliLatent(4))
    with pytest.raises(ValueError, match=r"at most 2\^20 codes to be enumerated"):
        all_codes(CategoricalLatent(1, 10))
    assert exact_multi_sample(BITS, torch.zeros(1, 3), lambda z: z.sum(-1), 2).shape == (1,)
    with pytest.raises(ValueError, match=r"at most 2\^25 tuples of codes, got 3"):
        exact_multi_sample(BITS, torch.zeros(1, 3), lambda z: z.sum(-1), 3)
    monkeypatch.setattr(enumeration, "MOST_TUPLES", 63)
    with pytest.raises(ValueError, match=r"at most 2\^25 tuples of codes, got 2"):
        exact_multi_sample(BITS, torch.zeros(1, 3), lambda z: z.sum(-1), 2)


@pytest.mark.parametrize("latent", [BITS, SMALL], ids=str)
def test_codes_are_enumerated_in_the_asked_precision_and_place(latent: Latent) -> None:
    assert all_codes(latent).dtype == torch.float32
    assert all_codes(latent, dtype=FLOAT).dtype == FLOAT
    if latent is BITS:  # torch has no one_hot without values
        assert all_codes(latent, device=torch.device("meta")).device.type == "meta"


def test_an_exact_gradient_is_taken_where_gradients_are_off_and_leaves_the_logits_alone() -> None:
    logits = torch.tensor([[0.3, -1.2, 2.0]], dtype=FLOAT, requires_grad=True)
    with torch.no_grad():
        found = exact_gradient(BITS, logits, lambda z: z[..., 0])
    theta = logits.detach().sigmoid()[0, 0]
    torch.testing.assert_close(found, torch.tensor([[theta * (1 - theta), 0.0, 0.0]], dtype=FLOAT))
    assert logits.grad is None


def test_one_draw_has_no_others() -> None:
    with pytest.raises(ValueError, match="multi_sample_leave_one_out takes 2 or more of noise draws"):
        multi_sample_leave_one_out(BITS, torch.zeros(1, 3), torch.zeros(1, 1, 3), lambda z: z.sum(-1))


def test_noise_of_another_precision_than_the_logits_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"noise must have the dtype of logits, torch\.float64, got torch\.float32"
    ):
        score_function(BITS, torch.zeros(1, 3, dtype=FLOAT), torch.zeros(1, 1, 3), lambda z: z.sum(-1))


@pytest.mark.parametrize("shape", [(1, 4), (3,), (1, 1, 3)])
def test_logits_of_another_shape_are_refused_where_codes_are_enumerated(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"logits must have shape \(B, 3\), got"):
        exact(BITS, torch.zeros(shape), None, lambda z: z.sum(-1))


def test_a_baseline_may_have_weights_that_play_no_part() -> None:
    net = nn.Sequential(nn.Linear(3, 1))
    net.register_parameter("spare", nn.Parameter(torch.ones(2)))
    estimator, logits = NVIL(net), torch.zeros(2, 3)
    before = net[0].bias.detach().clone()
    estimator(BITS, logits, torch.ones(1, 2, 3), lambda z: z.sum(-1))
    assert net.spare.tolist() == [1.0, 1.0] and not torch.equal(net[0].bias, before)


@pytest.mark.parametrize("shape", [(1, 4), (3,), (1, 1, 3)])
def test_logits_of_another_shape_are_refused_where_any_latent_is_taken(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"logits must have shape \(B, 3\), got"):
        gumbel_softmax(BITS, torch.zeros(shape), torch.zeros(1, 1, 3), lambda z: z.sum(-1))


def test_a_gradient_that_others_keep_in_the_network_is_left_alone() -> None:
    net = nn.Linear(3, 1)
    net.weight.grad = torch.full((1, 3), 7.0)
    NVIL(net)(BITS, torch.zeros(2, 3), torch.ones(1, 2, 3), lambda z: z.sum(-1))
    assert net.weight.grad.tolist() == [[7.0, 7.0, 7.0]] and net.bias.grad is None


def test_rebar_averages_its_pairs_of_draws() -> None:
    """Three draws of the code and three of the conditional noise are three estimates of one pair each."""
    noise = SMALL.noise(torch.zeros(2, 6, dtype=FLOAT), 6, generator=torch.Generator().manual_seed(0))
    found = []
    for pairs in ([noise], [noise[[i, i + 3]] for i in range(3)]):
        logits = torch.linspace(-1, 2, 12, dtype=FLOAT).reshape(2, 6).requires_grad_()
        mean = torch.stack(
            [rebar(SMALL, logits, pair, lambda z: wavy(SMALL, z), 0.5) for pair in pairs]
        ).mean(0)
        found.append(torch.autograd.grad(mean.sum(), logits)[0])
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("name", ["rebar", "relax", "muprop"])
def test_who_needs_a_derivative_says_who_it_is(name: str) -> None:
    estimator, title = CATALOGUE[name].make(BITS), {"rebar": "REBAR", "relax": "RELAX"}.get(name, name)
    arguments = (BITS, torch.zeros(1, 3), torch.ones(2, 1, 3))
    with pytest.raises(ValueError, match=f"^{title} needs an f that is differentiable"):
        estimator(*arguments, lambda z: (z > 0).float().sum(-1))
    with torch.inference_mode(), pytest.raises(ValueError, match=f"^{title} differentiates f"):
        estimator(*arguments, lambda z: z.sum(-1))


@pytest.mark.parametrize("name", ["straight_through", "gumbel_softmax", "gumbel_rao", "reinmax", "rebar"])
def test_a_temperature_of_another_shape_is_named(name: str) -> None:
    noise = SMALL.noise(torch.zeros(4, 6), 2)
    with pytest.raises(ValueError, match=r"temperature .*\(5,\)"):
        CATALOGUE[name].make(SMALL)(SMALL, torch.zeros(4, 6), noise, lambda z: wavy(SMALL, z), torch.ones(5))


def test_reinmax_is_finite_at_the_lowest_temperature_whatever_another_variable_is() -> None:
    latent, logits = CategoricalLatent(2, 400), torch.zeros(1, 800)
    logits[0, 7] = 60.0  # one variable is certain, the other one uniform
    logits.requires_grad_()
    noise = latent.noise(logits.detach(), 1, generator=torch.Generator().manual_seed(0))
    surrogate = reinmax(latent, logits, noise, lambda z: wavy(latent, z), 1.2e-38)
    assert bool(torch.autograd.grad(surrogate.sum(), logits)[0].isfinite().all())


def test_arsm_is_its_formula_swap_by_swap() -> None:
    noise = SMALL.noise(torch.zeros(2, 6, dtype=FLOAT), 3, generator=torch.Generator().manual_seed(1))
    logits = torch.linspace(-1, 2, 12, dtype=FLOAT).reshape(2, 6).requires_grad_()
    surrogate = arsm(SMALL, logits, noise, lambda z: wavy(SMALL, z))
    (found,) = torch.autograd.grad(surrogate.sum(), logits)
    pi, expected = torch.softmax(-noise, -1), torch.zeros(2, 2, 3, dtype=FLOAT)
    for j in range(3):
        swapped = []
        for k in range(3):
            order = [{k: j, j: k}.get(i, i) for i in range(3)]
            swapped.append(wavy(SMALL, SMALL.hard(logits.detach(), noise[..., order])))  # (S, B)
        mean = sum(swapped) / 3
        for k in range(3):
            expected[..., k] += ((swapped[k] - mean)[..., None] * (1 / 3 - pi[..., j])).mean(0)
    torch.testing.assert_close(found, expected.flatten(1))


@pytest.mark.parametrize("name", ["arsm", "local_expectation", "leave_one_out", "muprop", "vimco"])
def test_f_may_be_more_precise_than_its_codes(name: str) -> None:
    logits = torch.linspace(-1, 1, 6).reshape(1, 6).requires_grad_()
    noise = SMALL.noise(logits.detach(), 8, generator=torch.Generator().manual_seed(2))
    surrogate = CATALOGUE[name].make(SMALL)(SMALL, logits, noise, lambda z: wavy(SMALL, z.double()))
    assert surrogate.dtype == FLOAT
    assert bool(torch.autograd.grad(surrogate.sum(), logits)[0].any())


def test_a_perturbed_logit_of_exactly_0_is_a_bit_that_is_off() -> None:
    assert harden(BITS, torch.tensor([0.0, 1e-30, -1.0])).tolist() == [0.0, 1.0, 0.0]


def test_the_control_variate_of_rebar_is_f_of_relaxed_bits() -> None:
    """A wrong one leaves REBAR unbiased, so that no test of its mean sees it."""
    score, weights = torch.tensor([[[1.0, -2.0, 0.5]]]), torch.tensor([1.0, 2.0, 4.0])
    found = control._relaxed(BITS, lambda z: z @ weights, 0.5)(score)
    torch.testing.assert_close(found, torch.sigmoid(score / 0.5) @ weights)
