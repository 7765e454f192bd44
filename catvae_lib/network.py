"""Encoders and decoders: linear maps and multi-layer perceptrons."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from catvae_lib import _validate

ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU, "leaky_relu": nn.LeakyReLU}


def linear(in_features: int, out_features: int) -> nn.Linear:
    """Make an affine map with Glorot's uniform initialization and biases 0 (as Maddison et al. 2016).

    Args:
        in_features: Number of inputs.
        out_features: Number of outputs.

    Returns:
        The layer.

    Raises:
        ValueError: If a size is below 1.

    Example:
        >>> linear(784, 200)
        Linear(in_features=784, out_features=200, bias=True)
    """
    _validate.count("in_features", in_features)
    _validate.count("out_features", out_features)
    layer = nn.Linear(in_features, out_features)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def mlp(
    in_features: int, hidden: Sequence[int], out_features: int, activation: str = "tanh"
) -> nn.Sequential:
    """Make a multi-layer perceptron; the last layer has no activation, because it returns logits.

    Args:
        in_features: Number of inputs.
        hidden: Sizes of the hidden layers; none makes a linear map.
        out_features: Number of outputs.
        activation: "tanh", "relu" or "leaky_relu".

    Returns:
        The network, its last layer a `torch.nn.Linear`.

    Raises:
        ValueError: If a size is below 1 or the activation is unknown.

    Example:
        >>> len(mlp(784, [200, 200], 10))
        5
    """
    _validate.one_of("activation", activation, tuple(ACTIVATIONS))
    sizes = [in_features, *hidden]
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [linear(before, after), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers, linear(sizes[-1], out_features))


def start_at_data_mean(decoder: nn.Module, images: Tensor) -> None:
    r"""Set the decoder's output biases to the logit of each pixel's mean: start from the average image.

    The mean is smoothed by Laplace's rule, $(\sum_n x_n + 1)/(N + 2)$, so that a pixel that is never on has a
    finite logit.

    Args:
        decoder: A `torch.nn.Linear`, or a `torch.nn.Sequential` that ends in one.
        images: Training images (N, D), values in [0, 1].

    Raises:
        ValueError: If the decoder does not end in a linear layer with D outputs, or a pixel leaves [0, 1].

    Example:
        >>> decoder = linear(2, 3)
        >>> start_at_data_mean(decoder, torch.ones(8, 3))
        >>> decoder.bias.data  # ln 9
        tensor([2.1972, 2.1972, 2.1972])
    """
    last = decoder[-1] if isinstance(decoder, nn.Sequential) else decoder
    if not isinstance(last, nn.Linear):
        raise ValueError(f"decoder must end in a torch.nn.Linear, got {type(last).__name__}")
    if images.ndim != 2 or images.shape[1] != last.out_features:
        raise ValueError(f"images must have shape (N, {last.out_features}), got {tuple(images.shape)}")
    _validate.inside_unit_interval("images", images)
    total = images.sum(0, dtype=torch.promote_types(last.bias.dtype, torch.float32))  # no half can count them
    mean = (total + 1) / (images.shape[0] + 2)
    with torch.no_grad():
        last.bias.copy_(torch.logit(mean))
