"""Networks: their formula by hand, their initialization, and the bias that starts at the data's mean."""

import math

import pytest
import torch
from scipy import stats
from torch import nn

from catvae_lib import network


def test_linear_starts_with_glorots_uniform_weights_and_no_bias():
    """Kolmogorov-Smirnov at a false-alarm rate of 1e-6 against U(-b, b), b = sqrt(6 / (in + out))."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = network.linear(300, 200)
    bound = math.sqrt(6 / 500)
    weights = layer.weight.detach().flatten().numpy()
    limit = math.sqrt(math.log(2e6) / (2 * weights.size))
    assert stats.kstest(weights, stats.uniform(-bound, 2 * bound).cdf).statistic < limit
    assert stats.kstest(weights, stats.uniform(-1 / math.sqrt(300), 2 / math.sqrt(300)).cdf).statistic > limit
    assert layer.bias.tolist() == [0.0] * 200
    assert layer.weight.shape == (200, 300)


@pytest.mark.parametrize(
    "name, function",
    [
        ("tanh", torch.tanh),
        ("relu", lambda v: v.clamp(min=0)),
        ("leaky_relu", lambda v: torch.where(v > 0, v, 0.01 * v)),
    ],
)
def test_mlp_is_the_composition_it_says_and_ends_without_activation(name, function):
    net = network.mlp(3, [5, 4], 2, activation=name)
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(1))
    (w1, b1, w2, b2, w3, b3) = net.parameters()
    expected = function(function(x @ w1.T + b1) @ w2.T + b2) @ w3.T + b3
    torch.testing.assert_close(net(x), expected)
    assert isinstance(net[-1], nn.Linear) and float(net(100 * x).detach().abs().max()) > 1


def test_mlp_defaults_to_tanh_and_without_hidden_layers_is_linear():
    assert isinstance(network.mlp(3, [4], 2)[1], nn.Tanh)
    net = network.mlp(3, [], 2)
    assert len(net) == 1 and isinstance(net[0], nn.Linear)


@pytest.mark.parametrize("decoder", (network.linear(2, 3), network.mlp(2, [4], 3)), ids=("linear", "mlp"))
def test_start_at_data_mean(decoder):
    images = torch.tensor([[0.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
    before = {name: p.detach().clone() for name, p in decoder.named_parameters()}
    network.start_at_data_mean(decoder, images)
    *_, (last, bias) = decoder.named_parameters()
    # (0 + 1)/(2 + 2), (2 + 1)/(2 + 2), (1 + 1)/(2 + 2): logits -ln 3, ln 3, 0
    torch.testing.assert_close(bias.detach(), torch.tensor([-math.log(3), math.log(3), 0.0]))
    assert bias.requires_grad
    assert all(torch.equal(p, before[name]) for name, p in decoder.named_parameters() if name != last)
    assert images.tolist() == [[0.0, 1.0, 0.0], [0.0, 1.0, 1.0]]


def test_start_at_data_mean_sets_the_logit_of_the_mean():
    decoder, images = network.linear(1, 2), torch.zeros(10_000, 2)
    images[:2500, 0] = 1.0
    network.start_at_data_mean(decoder, images)
    assert math.isclose(torch.sigmoid(decoder.bias)[0].item(), 0.25, abs_tol=1e-4)
    assert math.isclose(decoder.bias[1].item(), -math.log(10_001), rel_tol=1e-5)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: network.linear(0, 2), "in_features must be at least 1, got 0"),
        (lambda: network.linear(2, -1), "out_features must be at least 1, got -1"),
        (lambda: network.mlp(3, [0], 2), "out_features must be at least 1, got 0"),
        (
            lambda: network.mlp(3, [4], 2, activation="swish"),
            "activation must be one of.*'tanh'.*got 'swish'",
        ),
        (lambda: network.start_at_data_mean(nn.ReLU(), torch.zeros(2, 3)), "decoder.*ReLU"),
        (
            lambda: network.start_at_data_mean(nn.Sequential(nn.Linear(2, 3), nn.Tanh()), torch.zeros(2, 3)),
            "decoder.*Tanh",
        ),
        (lambda: network.start_at_data_mean(nn.Linear(2, 3), torch.zeros(2, 4)), r"images.*3.*\(2, 4\)"),
        (lambda: network.start_at_data_mean(nn.Linear(2, 3), torch.zeros(3)), r"images.*\(3,\)"),
        (lambda: network.start_at_data_mean(nn.Linear(2, 1), torch.tensor([[255.0]])), "images.*255.0"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_half_precision_images_are_counted_in_full() -> None:
    """float16 ends at 65,504; the mean of 70,000 pixels that are on is 70,001 / 70,002."""
    decoder = network.linear(2, 3)
    network.start_at_data_mean(decoder, torch.ones(70_000, 3, dtype=torch.float16))
    assert decoder.bias.tolist() == pytest.approx([math.log(70_001)] * 3, rel=1e-2)  # logit in float32
