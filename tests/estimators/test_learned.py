"""What the estimators that learn take from one call to the next, computed by hand from the same noise."""

from collections.abc import Callable

import pytest
import torch
from problems import BITS, FLOAT, PROBLEMS, SMALL
from torch import Tensor, nn

from catvae_lib import network
from catvae_lib.estimators import CATALOGUE, NVIL, REBAR, RELAX, Estimator, MovingAverage, rebar

ONE = PROBLEMS["small-neural"]
LOGITS = ONE.logits * torch.tensor([[1.0], [-0.5], [2.0]], dtype=FLOAT)  # three examples


def gradient(estimator: Estimator, *temperature: float, seed: int = 0) -> Tensor:
    """The estimate (3, num_parameters) from two draws of the code, and two of the conditional noise."""
    logits = LOGITS.clone().requires_grad_()
    noise = SMALL.noise(LOGITS, 4, generator=torch.Generator().manual_seed(seed))
    surrogate = estimator(SMALL, logits, noise, ONE.f, *temperature)
    return torch.autograd.grad(surrogate.sum(), logits)[0]


def parts(temperature: float = 0.5, seed: int = 0) -> tuple[Tensor, Tensor]:
    """a and h, of which REBAR's gradient is a + eta h."""

    def weighted(eta: float) -> Tensor:
        return gradient(lambda *args: rebar(*args, eta=eta), temperature, seed=seed)

    return weighted(0.0), weighted(1.0) - weighted(0.0)


def products(a: Tensor, h: Tensor) -> Tensor:
    return torch.stack([(a * h).sum(), (h * h).sum()])


def relax(seed: int = 1) -> RELAX:
    """With a control variate that is small, and whose optimizer takes plain steps down the gradient."""
    torch.manual_seed(seed)
    made = RELAX(network.mlp(6, [4], 1, activation="tanh"), decay=0.75).double()
    made.optimizer = torch.optim.SGD(made.network.parameters(), 1e-3)
    return made


def test_eta_is_minus_the_mean_of_a_h_by_that_of_h_h_and_1_before_the_first_call() -> None:
    estimator = REBAR()
    assert estimator.eta.item() == 1.0
    estimator.products.copy_(torch.tensor([3.0, 8.0]))
    assert estimator.eta.item() == -3 / 8


def test_rebar_averages_the_products_and_uses_them_in_the_next_call() -> None:
    estimator = REBAR(decay=0.75).double()
    first, second = parts(seed=0), parts(seed=1)
    torch.testing.assert_close(gradient(estimator, 0.5, seed=0), first[0] + first[1])
    torch.testing.assert_close(estimator.products, 0.25 * products(*first))
    eta = -products(*first)[0] / products(*first)[1]
    torch.testing.assert_close(gradient(estimator, 0.5, seed=1), second[0] + eta * second[1])
    expected = 0.75 * 0.25 * products(*first) + 0.25 * products(*second)
    torch.testing.assert_close(estimator.products, expected)


def test_relax_is_rebar_call_for_call_where_its_network_is_nothing() -> None:
    ours, theirs = relax(), REBAR(decay=0.75).double()
    for seed in range(3):
        with torch.no_grad():
            for weight in ours.network.parameters():
                weight.zero_()
        torch.testing.assert_close(gradient(ours, 0.5, seed=seed), gradient(theirs, 0.5, seed=seed))
        torch.testing.assert_close(ours.rebar.products, theirs.products)


def test_relax_adds_its_network_s_part_and_weighs_the_rest_against_it() -> None:
    estimator, (a, h) = relax(), parts()
    rest = gradient(estimator.eval(), 0.5) - a - h  # eta is 1 so far
    assert float(rest.abs().max()) > 1e-3
    gradient(estimator.train(), 0.5)
    torch.testing.assert_close(estimator.rebar.products, 0.25 * products(a + rest, h))


def test_relax_descends_the_mean_square_of_the_gradient_of_an_example() -> None:
    """A plain step by its own optimizer against central differences, weight by weight."""
    estimator = relax()

    def mean_square() -> float:
        return float(gradient(estimator.eval(), 0.5).square().sum(-1).mean())

    expected = []
    for weight in estimator.network.parameters():
        slopes = torch.zeros_like(weight)
        for index in range(weight.numel()):
            around = []
            for step in (1e-5, -2e-5):
                weight.data.view(-1)[index] += step
                around.append(mean_square())
            weight.data.view(-1)[index] += 1e-5
            slopes.view(-1)[index] = (around[0] - around[1]) / 2e-5
        expected.append(slopes)
    before = [weight.detach().clone() for weight in estimator.network.parameters()]
    gradient(estimator.train(), 0.5)
    for weight, old, slope in zip(estimator.network.parameters(), before, expected, strict=True):
        torch.testing.assert_close((old - weight.detach()) / 1e-3, slope, rtol=1e-5, atol=1e-7)


def test_nvil_descends_the_mean_square_of_what_its_baseline_misses() -> None:
    torch.manual_seed(2)
    estimator, layer = NVIL(network.linear(3, 1), decay=0.75).double(), None
    layer = estimator.network
    assert isinstance(layer, nn.Linear)
    estimator.optimizer = torch.optim.SGD(layer.parameters(), 0.1)
    logits = PROBLEMS["bits-neural"].logits * torch.tensor([[1.0], [-0.5]], dtype=FLOAT)
    constant = 0.0
    for seed in range(2):
        noise = BITS.noise(logits, 3, generator=torch.Generator().manual_seed(seed))
        value = PROBLEMS["bits-neural"].f(BITS.hard(logits, noise)).mean(0)  # (B,)
        weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
        missed = value - constant - (logits @ weight.T + bias)[:, 0]
        estimator(BITS, logits, noise, PROBLEMS["bits-neural"].f)
        torch.testing.assert_close(layer.weight.detach(), weight + 0.2 * (missed @ logits)[None] / 2)
        torch.testing.assert_close(layer.bias.detach(), bias + 0.2 * missed.mean()[None])
        constant = float(value.mean())  # of the average, after one call
    decayed = estimator.average.mean / estimator.average.weight
    torch.testing.assert_close(estimator.average.average, decayed)


def test_how_fast_they_learn_where_nothing_is_said() -> None:
    net = network.linear(6, 1)
    assert (MovingAverage().decay, REBAR().decay) == (0.9, 0.99)
    for estimator, decay in ((NVIL(net), NVIL(net).average.decay), (RELAX(net), RELAX(net).rebar.decay)):
        assert estimator.optimizer.defaults["lr"] == 1e-3
        assert decay == (0.9 if isinstance(estimator, NVIL) else 0.99)


@pytest.mark.parametrize(
    ("name", "temperature"),
    [
        *((name, 0.5) for name in ("rebar", "relax")),
        *((name, 1.0) for name in ("gumbel_softmax", "straight_through_gumbel_softmax")),
        *((name, 1.0) for name in ("straight_through", "gumbel_rao", "reinmax")),
    ],
)
def test_the_temperature_where_none_is_given(name: str, temperature: float) -> None:
    found = []
    for given in ((), (temperature,)):
        torch.manual_seed(0)
        estimator = CATALOGUE[name].make(SMALL)
        estimator = estimator.double() if isinstance(estimator, nn.Module) else estimator
        found.append(gradient(estimator, *given))
    assert torch.equal(*found)


def test_rebar_s_own_temperature_and_weight_where_none_is_given() -> None:
    a, h = parts(0.5)
    torch.testing.assert_close(gradient(rebar), a + h)


def test_they_learn_as_fast_as_is_said() -> None:
    net = network.linear(6, 1)
    assert NVIL(net, 0.02).optimizer.defaults["lr"] == RELAX(net, 0.02).optimizer.defaults["lr"] == 0.02
    assert NVIL(net, decay=0.3).average.decay == RELAX(net, decay=0.3).rebar.decay == 0.3


@pytest.mark.parametrize(
    ("make", "size", "what"),
    [
        (MovingAverage, 1e300, "the average of f"),
        (REBAR, 1e30, "the square of the gradient"),
        (lambda: NVIL(network.linear(3, 1)), 1e38, "the gradient of network"),
    ],
)
def test_a_huge_f_is_refused_before_anything_is_learned(
    make: Callable[[], nn.Module], size: float, what: str
) -> None:
    estimator = make()
    before = {name: value.clone() for name, value in estimator.state_dict().items() if "average" not in name}
    logits = torch.full((1, 3), 2.0, dtype=FLOAT if size > 1e38 else torch.float32)
    with pytest.raises(FloatingPointError, match=f"^{what} became NaN or infinite"):
        estimator(BITS, logits, torch.ones_like(logits).expand(2, 1, 3), lambda z: size * z[..., 0])
    assert all(torch.equal(estimator.state_dict()[name], value) for name, value in before.items())


@pytest.mark.parametrize(
    "make", [lambda: NVIL(network.linear(3, 1)), lambda: RELAX(network.linear(3, 1)), REBAR]
)
def test_of_no_examples_nothing_is_learned(make: Callable[[], nn.Module]) -> None:
    estimator = make()
    before = [value.clone() for value in estimator.state_dict().values()]
    assert estimator(BITS, torch.zeros(0, 3), torch.zeros(2, 0, 3), lambda z: z.sum(-1)).shape == (0,)
    assert all(torch.equal(*pair) for pair in zip(before, estimator.state_dict().values(), strict=True))


def test_weights_that_were_put_in_the_place_of_others_are_the_ones_that_learn() -> None:
    estimator = NVIL(network.linear(3, 1))
    arguments = (BITS, torch.zeros(2, 3), torch.ones(1, 2, 3), lambda z: z.sum(-1))
    estimator(*arguments)
    state = {name: value.clone() for name, value in estimator.network.state_dict().items()}
    estimator.network.load_state_dict(state, assign=True)
    before = estimator.network.bias.detach().clone()
    estimator(*arguments)
    assert not torch.equal(estimator.network.bias, before)
