"""The papers' models, each a `VAE` put together from parts: layers, networks, states and what is observed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor, nn

from catvae_lib import network
from catvae_lib.chain import Chain
from catvae_lib.latent import BernoulliLatent, CategoricalLatent, Latent
from catvae_lib.vae import VAE

HALF = 392  # pixels of the upper half of a digit


@dataclass(frozen=True)
class Architecture:
    """What a row of a table says of its model, and what the papers' texts add.

    Attributes:
        layers: The stochastic layers, from the image on.
        hidden: Hidden layers of every network, tanh; none: linear.
        structured: The lower half of the digit is predicted from the upper, and no layer has a prior.
        states: "corners": of {-1, 1}, as Maddison et al.; "one-hot": categories, or bits 0 and 1.
        centred: Whether the networks that see images and codes of the recognition model see them less their
            means: the images' own, and a running one of the codes.
        activation: Of the hidden layers.
        glorot: Whether the weights start as Glorot's, with biases 0, or as `torch.nn.Linear` does.
        average: Whether the output biases start at the average image.
    """

    layers: tuple[Latent, ...]
    hidden: tuple[int, ...] = ()
    structured: bool = False
    states: str = "corners"
    centred: bool = True
    activation: str = "tanh"
    glorot: bool = True
    average: bool = True


def _chain(architecture: Architecture) -> Chain:
    pairs = list(pairwise(architecture.layers))
    down = [_between(architecture, one, two, centred=architecture.centred) for one, two in pairs]
    up = [] if architecture.structured else [_between(architecture, two, one) for one, two in pairs]
    return Chain(architecture.layers, down, up)


def _bits(count: int, layers: int = 1) -> tuple[Latent, ...]:
    return (BernoulliLatent(count),) * layers


def _categories(variables: int, categories: int, layers: int = 1) -> tuple[Latent, ...]:
    return (CategoricalLatent(variables, categories),) * layers


ROWS = {
    "VAE (Bern.)": Architecture(_bits(200)),
    "VAE (Cat.)": Architecture(_categories(20, 10), states="one-hot"),
    "VAE~ (Bern.)": Architecture(_bits(200), (200, 200)),
    "VAE~ (Cat.)": Architecture(_categories(20, 10), (200, 200), states="one-hot"),
    "SBN (Bern.)": Architecture(_bits(200, 2), structured=True),
    "SBN (Cat.)": Architecture(_categories(20, 10, 2), structured=True, states="one-hot"),
    "200H-784V": Architecture(_bits(200)),
    "200H-200H-784V": Architecture(_bits(200, 2)),
    "200H~784V": Architecture(_bits(200), (200, 200)),
    "200H~200H~784V": Architecture(_bits(200, 2), (200, 200)),
    "392V-240H-240H-392V": Architecture(_bits(240, 2), structured=True),
    "392V-240H-240H-240H-392V": Architecture(_bits(240, 3), structured=True),
    "240H~784V": Architecture(_bits(240), (240, 240)),
    "120 4-ary~784V": Architecture(_categories(120, 4), (240, 240)),
    "80 8-ary~784V": Architecture(_categories(80, 8), (240, 240)),
}


def device() -> torch.device:
    """Return where runs are trained: on a GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def build(architecture: Architecture, images: Tensor, seed: int) -> VAE:
    """Make the model, its weights drawn with a seed, its output biases set from the training images (N, D).

    Example:
        >>> vae = build(ROWS["200H-200H-784V"], torch.zeros(2, 784), seed=0)
        >>> vae.bound(torch.zeros(2, 784), num_samples=3).shape
        torch.Size([2])
    """
    torch.manual_seed(seed)
    layers = architecture.layers
    seen = images[:, :HALF] if architecture.structured else images
    encoder = _network(architecture, _image_view(architecture, seen), seen.shape[1], layers[0].num_parameters)
    latent = _chain(architecture) if len(layers) > 1 else layers[0]
    predicted = images[:, HALF:] if architecture.structured else images
    view: list[nn.Module] = []
    if isinstance(latent, Chain):  # the decoder stands on the layer next to what it predicts
        start = latent.num_features - layers[-1].num_features if architecture.structured else 0
        view = [network.Features(start, start + layers[0].num_features)]
    view += _states(architecture, layers[0])
    decoder = _network(architecture, view, _seen_features(architecture, layers[0]), predicted.shape[1])
    if architecture.average:
        network.start_at_data_mean(decoder, predicted)
    return VAE(encoder, latent, decoder, prior="encoder" if architecture.structured else "latent")


def ablated(architecture: Architecture, change: str) -> Architecture:
    """Return the architecture with one choice of the protocol changed; see `cells.CHANGES`."""
    changes: dict[str, dict[str, object]] = {
        "states 0 and 1": {"states": "one-hot"},
        "inputs not centred": {"centred": False},
        "ReLU": {"activation": "relu"},
        "ELU": {"activation": "elu"},
        "torch's initialization": {"glorot": False},
        "output biases 0": {"average": False},
        "linear": {"hidden": ()},
    }
    return replace(architecture, **changes.get(change, {}))  # type: ignore[arg-type]


def _image_view(architecture: Architecture, seen: Tensor) -> list[nn.Module]:
    view: list[nn.Module] = [network.Features(0, HALF)] if architecture.structured else []
    return [*view, network.Centred(seen.mean(0), decay=1.0)] if architecture.centred else view


def _states(architecture: Architecture, layer: Latent) -> list[nn.Module]:
    if architecture.states == "one-hot":
        return []
    return [network.Corners(layer.num_categories if isinstance(layer, CategoricalLatent) else 2)]


def _seen_features(architecture: Architecture, layer: Latent) -> int:
    if architecture.states == "corners" and isinstance(layer, CategoricalLatent):
        return layer.num_variables * (layer.num_categories.bit_length() - 1)
    return layer.num_features


def _between(
    architecture: Architecture, before: Latent, after: Latent, centred: bool = False
) -> nn.Sequential:
    """Make a network from a layer's code to another's params."""
    features = _seen_features(architecture, before)
    view = _states(architecture, before)
    if centred:
        view.append(network.Centred(torch.zeros(features)))
    return _network(architecture, view, features, after.num_parameters)


def _network(
    architecture: Architecture, view: Sequence[nn.Module], inputs: int, outputs: int
) -> nn.Sequential:
    layers = network.mlp(inputs, architecture.hidden, outputs, architecture.activation)
    if not architecture.glorot:
        for layer in layers:
            if isinstance(layer, nn.Linear):
                layer.reset_parameters()
    return nn.Sequential(*view, *layers)
