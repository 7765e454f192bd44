"""Encoders and decoders: linear maps, multi-layer perceptrons and convolutional networks."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn

from catvae_lib import _precision, _validate

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "elu": nn.ELU,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
}

Layer = TypeVar("Layer", nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


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
    _validate.size("in_features * out_features", (in_features, out_features))
    return _glorot(nn.Linear(in_features, out_features))


def mlp(in_features: int, hidden: Sequence[int], out_features: int, activation: str = "elu") -> nn.Sequential:
    """Make a multi-layer perceptron; the last layer has no activation, because it returns logits.

    Args:
        in_features: Number of inputs.
        hidden: Sizes of the hidden layers; none makes a linear map.
        out_features: Number of outputs.
        activation: "elu", "tanh", "relu" or "leaky_relu".

    Returns:
        The network, its last layer a `torch.nn.Linear`.

    Raises:
        ValueError: If a size is below 1 or the activation is unknown.

    Example:
        >>> len(mlp(784, [200, 200], 10))
        5
    """
    _validate.one_of("activation", activation, tuple(ACTIVATIONS))
    _validate.size("hidden", hidden)
    sizes = [in_features, *hidden]
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [linear(before, after), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers, linear(sizes[-1], out_features))


def conv_encoder(
    image_shape: tuple[int, int], channels: Sequence[int], out_features: int, activation: str = "elu"
) -> nn.Sequential:
    """Make a convolutional encoder: each stage halves the image's sides, a linear layer reads what is left.

    A stage is a convolution with stride 2, 4x4 weights and one pixel of zeros around the image, and an
    activation. Stride 2 divides 4, so that every pixel is seen equally often, but for those at the rim.

    Args:
        image_shape: Height and width, H * W = D.
        channels: Channels after each stage, from the image to the code.
        out_features: Number of outputs.
        activation: "elu", "tanh", "relu" or "leaky_relu".

    Returns:
        The network, from flat images (..., D) to (..., out_features).

    Raises:
        ValueError: If there is no stage, a size is below 1, a side cannot be halved in every stage, or the
            activation is unknown.

    Example:
        >>> encoder = conv_encoder((28, 28), [16, 32], 10)  # 28 x 28, 14 x 14, 7 x 7
        >>> encoder(torch.zeros(5, 784)).shape
        torch.Size([5, 10])
    """
    _validate.one_of("activation", activation, tuple(ACTIVATIONS))
    height, width = _smallest_shape(image_shape, channels)
    stages: list[nn.Module] = []
    for before, after in pairwise([1, *channels]):
        stages += [_glorot(nn.Conv2d(before, after, 4, stride=2, padding=1)), ACTIVATIONS[activation]()]
    return nn.Sequential(
        nn.Unflatten(-1, (1, *image_shape)),  # (..., 1, H, W)
        ImageLayers(*stages),  # (..., channels[-1], height, width)
        nn.Flatten(-3),
        linear(channels[-1] * height * width, out_features),
    )


def conv_decoder(
    in_features: int, channels: Sequence[int], image_shape: tuple[int, int], activation: str = "elu"
) -> nn.Sequential:
    """Make a convolutional decoder, the mirror image of `conv_encoder`: each stage doubles the sides.

    A linear layer makes a small image of channels[0] channels; a stage is an activation and a transposed
    convolution. The last returns one channel, the logits, and each pixel has a bias of its own: a
    convolution's bias would be the same for all pixels, and could not hold the average image.

    Args:
        in_features: Number of inputs.
        channels: Channels before each stage, from the code to the image.
        image_shape: Height and width, H * W = D.
        activation: "elu", "tanh", "relu" or "leaky_relu".

    Returns:
        The network, from features (..., in_features) to flat images (..., D), its last layer a `PixelBias`.

    Raises:
        ValueError: If there is no stage, a size is below 1, a side cannot be halved in every stage, or the
            activation is unknown.

    Example:
        >>> decoder = conv_decoder(10, [32, 16], (28, 28))  # 7 x 7, 14 x 14, 28 x 28
        >>> decoder(torch.zeros(3, 5, 10)).shape
        torch.Size([3, 5, 784])
    """
    _validate.one_of("activation", activation, tuple(ACTIVATIONS))
    height, width = _smallest_shape(image_shape, channels)
    stages: list[nn.Module] = []
    for before, after in pairwise(channels):
        layer = nn.ConvTranspose2d(before, after, 4, stride=2, padding=1)
        stages += [_glorot(layer), ACTIVATIONS[activation]()]
    stages.append(_glorot(nn.ConvTranspose2d(channels[-1], 1, 4, stride=2, padding=1, bias=False)))
    return nn.Sequential(
        linear(in_features, channels[0] * height * width),
        ACTIVATIONS[activation](),
        nn.Unflatten(-1, (channels[0], height, width)),
        ImageLayers(*stages),  # (..., 1, H, W)
        nn.Flatten(-3),
        PixelBias(image_shape[0] * image_shape[1]),
    )


class ImageLayers(nn.Sequential):
    """Layers for a batch of images (N, C, H, W), which here may have any leading dimensions (..., C, H, W).

    Example:
        >>> ImageLayers(nn.Conv2d(1, 2, 4, stride=2, padding=1))(torch.zeros(3, 5, 1, 8, 8)).shape
        torch.Size([3, 5, 2, 4, 4])
    """

    def forward(self, images: Tensor) -> Tensor:
        """Return the layers' output (..., C', H', W')."""
        _validate.finite("images", images)
        if images.ndim < 3:
            raise ValueError(f"images must have shape (..., C, H, W), got {tuple(images.shape)}")
        every = images.flatten(0, -4) if images.ndim > 3 else images.unsqueeze(0)  # (N, C, H, W)
        output = _precision.fitting("images", images, lambda: self._through(every))
        return output.reshape(*images.shape[:-3], *output.shape[-3:])

    def _through(self, images: Tensor) -> Tensor:
        for layer in self:
            images = layer(images)  # (N, C', H', W')
        return images


class PixelBias(nn.Module):
    """A learnt bias for each pixel of a flat image (..., D), 0 at first.

    Example:
        >>> PixelBias(3)(torch.ones(2, 3))
        tensor([[1., 1., 1.],
                [1., 1., 1.]], grad_fn=<AddBackward0>)
    """

    def __init__(self, num_pixels: int) -> None:
        super().__init__()
        _validate.count("num_pixels", num_pixels)
        self.bias = nn.Parameter(torch.zeros(num_pixels))

    def forward(self, images: Tensor) -> Tensor:
        """Return images + bias."""
        _validate.floating("images", images)
        if images.ndim == 0 or images.shape[-1] != len(self.bias):
            raise ValueError(f"images must be (..., {len(self.bias)}), got {tuple(images.shape)}")
        return images + self.bias


class Features(nn.Module):
    """Some of the features (..., F): what a decoder sees of a chain, or an encoder of an image.

    Example:
        >>> Features(1, 3)(torch.tensor([[4.0, 5.0, 6.0, 7.0]]))
        tensor([[5., 6.]])
    """

    def __init__(self, start: int, stop: int) -> None:
        super().__init__()
        _validate.count("start", start, minimum=0)
        _validate.count("stop", stop, minimum=start + 1)
        self.start, self.stop = start, stop

    def extra_repr(self) -> str:
        """Say which features."""
        return f"{self.start}, {self.stop}"

    def forward(self, features: Tensor) -> Tensor:
        """Return features start to stop - 1, (..., stop - start)."""
        _validate.floating("features", features)
        if features.ndim == 0 or features.shape[-1] < self.stop:
            raise ValueError(f"features must be at least {self.stop}, got {features.shape[-1:].numel()}")
        return features[..., self.start : self.stop]


class Corners(nn.Module):
    r"""Codes as corners of the cube $\{-1, 1\}^{\log_2 K}$ (Maddison et al. 2016, App. B).

    A bit b becomes 2 b - 1; a one-hot variable of K categories the corner that its index spells in binary,
    a relaxed one the mean of the corners. K = 2 takes bits (..., Q), one feature each.

    Args:
        num_categories: K, a power of 2.

    Raises:
        ValueError: If K is not a power of 2.

    Example:
        >>> Corners(2)(torch.tensor([0.0, 1.0]))
        tensor([-1.,  1.])
        >>> Corners(4)(torch.tensor([0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0]))  # categories 3 and 1
        tensor([ 1.,  1., -1.,  1.])
    """

    corners: Tensor

    def __init__(self, num_categories: int = 2) -> None:
        super().__init__()
        _validate.count("num_categories", num_categories, minimum=2, maximum=2**20)
        bits = num_categories.bit_length() - 1
        if num_categories != 1 << bits:
            raise ValueError(f"num_categories must be a power of 2, got {num_categories}")
        self.num_categories = num_categories
        places = torch.arange(bits - 1, -1, -1)
        index = torch.arange(num_categories).unsqueeze(-1) >> places & 1  # (K, bits)
        self.register_buffer("corners", 2.0 * index - 1, persistent=False)

    def extra_repr(self) -> str:
        """Say the number of categories."""
        return str(self.num_categories)

    def forward(self, codes: Tensor) -> Tensor:
        """Return (..., N log2 K) features for codes (..., N K), or (..., Q) for bits."""
        _validate.finite("codes", codes)
        if self.num_categories == 2:
            return 2 * codes - 1
        if codes.ndim == 0 or codes.shape[-1] % self.num_categories or codes.shape[-1] == 0:
            raise ValueError(f"codes must be (..., N * {self.num_categories}), got {tuple(codes.shape)}")
        one_hot = codes.unflatten(-1, (-1, self.num_categories))  # (..., N, K)
        features: Tensor = (one_hot @ self.corners.to(codes)).flatten(-2)
        return features


class Centred(nn.Module):
    r"""Features less their running mean, $m \leftarrow d\,m + (1 - d)\,\bar x$ (Mnih and Gregor 2014).

    A forward pass subtracts m and, if it is the first one where gradients are taken, remembers the batch's
    mean; `move` takes it into m. `fit` moves all of a model after each step: within a step, codes are drawn
    and scored under one mean. With decay 1 the mean stays where it starts.

    Args:
        mean: Where it starts, (F,).
        decay: d.

    Raises:
        ValueError: If the mean is not (F,) and finite, or the decay leaves [0, 1].

    Example:
        >>> centred = Centred(torch.zeros(1), decay=0.5)
        >>> centred(torch.tensor([[2.0], [4.0]]))
        tensor([[2.],
                [4.]])
        >>> centred.move()
        >>> centred(torch.tensor([[2.0]]))
        tensor([[0.5000]])
    """

    mean: Tensor

    def __init__(self, mean: Tensor, decay: float = 0.9) -> None:
        super().__init__()
        _validate.probability("decay", decay)
        _validate.finite("mean", mean)
        if mean.ndim != 1:
            raise ValueError(f"mean must have shape (F,), got {tuple(mean.shape)}")
        self.decay = decay
        self.seen: Tensor | None = None
        self.register_buffer("mean", mean.clone())

    def extra_repr(self) -> str:
        """Say the size and the decay."""
        return f"{len(self.mean)}, decay={self.decay}"

    @property
    def moves(self) -> bool:
        """Whether the mean is a running one."""
        return self.decay < 1

    def forward(self, features: Tensor) -> Tensor:
        """Return features (..., F) less the mean."""
        _validate.floating("features", features)
        if features.ndim == 0 or features.shape[-1] != len(self.mean):
            raise ValueError(f"features must be (..., {len(self.mean)}), got {tuple(features.shape)}")
        if self.seen is None and self.moves and torch.is_grad_enabled() and features.numel():
            self.seen = features.detach().reshape(-1, len(self.mean)).mean(0)
        return features - self.mean.to(features.dtype)

    def move(self) -> None:
        """Take the last batch's mean into the running one."""
        if self.seen is not None:
            self.mean.lerp_(self.seen.to(self.mean.dtype), 1 - self.decay)
            self.seen = None


def start_at_data_mean(decoder: nn.Module, images: Tensor) -> None:
    r"""Set the decoder's output biases to the logit of each pixel's mean: start from the average image.

    The mean is smoothed by Laplace's rule, $(\sum_n x_n + 1)/(N + 2)$, so that a pixel that is never on has a
    finite logit.

    Args:
        decoder: A `torch.nn.Linear`, or a `torch.nn.Sequential` that ends in one or in a `PixelBias`.
        images: Training images (N, D), values in [0, 1].

    Raises:
        ValueError: If the decoder does not end in such a layer with D outputs, or a pixel leaves [0, 1].

    Example:
        >>> decoder = linear(2, 3)
        >>> start_at_data_mean(decoder, torch.ones(8, 3))
        >>> decoder.bias.data  # ln 9
        tensor([2.1972, 2.1972, 2.1972])
    """
    last = decoder[-1] if isinstance(decoder, nn.Sequential) and len(decoder) else decoder
    if not isinstance(last, nn.Linear | PixelBias):
        raise ValueError(f"decoder must end in a torch.nn.Linear or a PixelBias, got {type(last).__name__}")
    _validate.floating("images", images)
    if images.ndim != 2 or images.shape[1] != len(last.bias):
        raise ValueError(f"images must have shape (N, {len(last.bias)}), got {tuple(images.shape)}")
    _validate.inside_unit_interval("images", images)
    total = images.sum(0, dtype=torch.promote_types(last.bias.dtype, torch.float32))  # no half can count them
    mean = (total + 1) / (images.shape[0] + 2)
    with torch.no_grad():
        last.bias.copy_(torch.logit(mean))


def _glorot(layer: Layer) -> Layer:
    """Draw uniform weights in +-sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010), biases 0.

    As `torch.nn.init.xavier_uniform_`, but the same to the last bit on every processor: that one rounds once
    where multiplying and adding is one instruction, else twice, and after thousands of steps a last digit
    has become the first. In double precision the sum is exact, so it is rounded once.
    """
    weight = layer.weight
    bound = weight.new_tensor(math.sqrt(6 / (sum(weight.shape[:2]) * weight.shape[2:].numel()))).double()
    with torch.no_grad():
        weight.copy_(2 * bound * torch.rand_like(weight).double() - bound)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _smallest_shape(image_shape: tuple[int, int], channels: Sequence[int]) -> tuple[int, int]:
    """Return height and width after one halving for each entry of channels."""
    _validate.size("channels", channels)
    _validate.size("image_shape", image_shape)
    if len(channels) == 0:
        raise ValueError(f"channels must hold at least one stage, got {channels}")
    if len(image_shape) != 2:
        raise ValueError(f"image_shape must be (height, width), got {image_shape}")
    for count in channels:
        _validate.count("channels", count)
    for side in image_shape:
        _validate.count("image_shape", side)
    factor = 2 ** len(channels)
    if any(side % factor for side in image_shape):
        raise ValueError(
            f"image_shape must be divisible by {factor} to be halved in {len(channels)} stages, "
            f"got {tuple(image_shape)}"
        )
    return image_shape[0] // factor, image_shape[1] // factor
