r"""Stochastic layers in sequence as one code: each layer's parameters come from the layer before it.

The recognition model runs away from the image, the generative model towards it,

$$q(z|x) = q(z_1|x) \prod_{i>1} q(z_i|z_{i-1}), \qquad p(z) = p(z_n) \prod_{i<n} p(z_i|z_{i+1}),$$

so a `VAE` whose latent is a `Chain` is a sigmoid belief network of n layers (Maddison et al. 2016).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from catvae_lib import _precision, _validate
from catvae_lib.latent import BernoulliLatent, CategoricalLatent, Latent

Draw = Callable[[Latent, Tensor, Tensor], Tensor]
"""A layer, its params and its noise to its code."""


class Chain(nn.Module, Latent):
    """Layers of bits, or of variables with the same number of categories, drawn one after the other.

    A code holds the codes of the layers side by side, (S, B, Q1 + Q2) for bits and (S, B, N1 + N2, K) for
    categories, and so does the noise; params are those of the first layer. A decoder that stands on the
    first layer picks its features out of all: `network.Features`.

    Args:
        layers: The layers, from the image on.
        recognition: Networks from a layer's features to the next layer's params, one fewer than layers.
        generation: Networks from a layer's features to the params of the one before, one fewer than layers;
            none for a VAE with `prior="encoder"`, which has no prior of its own.

    Raises:
        ValueError: If there are fewer than two layers, layers of different kinds or a Gaussian one, or a
            wrong number of networks.

    Example:
        >>> from catvae_lib import network
        >>> from catvae_lib.latent import BernoulliLatent
        >>> down, up = network.linear(3, 2), network.linear(2, 3)
        >>> chain = Chain([BernoulliLatent(3), BernoulliLatent(2)], [down], [up])
        >>> noise = chain.noise(torch.zeros(5, 3), num_samples=4)
        >>> chain.hard(torch.zeros(5, 3), noise).shape
        torch.Size([4, 5, 5])
    """

    analytic = False

    def __init__(
        self,
        layers: Sequence[Latent],
        recognition: Sequence[nn.Module],
        generation: Sequence[nn.Module] = (),
    ) -> None:
        super().__init__()
        for name, parts, kind in (
            ("layers", layers, Latent),
            ("recognition", recognition, nn.Module),
            ("generation", generation, nn.Module),
        ):
            _validate.several(name, parts, kind)
        if len(layers) < 2:
            raise ValueError(f"layers must hold two or more, got {len(layers)}")
        kinds = {(type(layer), layer.event_shape[1:]) for layer in layers}
        if len(kinds) > 1 or not isinstance(layers[0], BernoulliLatent | CategoricalLatent):
            raise ValueError(f"layers must all be bits or share one number of categories, got {layers}")
        if len(recognition) != len(layers) - 1 or len(generation) not in (0, len(layers) - 1):
            raise ValueError(
                f"recognition and generation must hold {len(layers) - 1} networks, "
                f"got {len(recognition)} and {len(generation)}"
            )
        self.layers = tuple(layers)
        self.recognition, self.generation = nn.ModuleList(recognition), nn.ModuleList(generation)

    def extra_repr(self) -> str:
        """Say the layers, which are no modules."""
        return f"layers={self.layers}"

    @property
    def num_parameters(self) -> int:
        """Those of the first layer."""
        return self.layers[0].num_parameters

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The layers' shapes, side by side."""
        first, *rest = (layer.event_shape for layer in self.layers)
        return (first[0] + sum(shape[0] for shape in rest), *first[1:])

    def split(self, name: str, value: Tensor) -> tuple[Tensor, ...]:
        """Return the part of each layer, (..., *layer.event_shape), of a code or of its noise."""
        _validate.instance("name", name, str)
        sizes = [layer.event_shape[0] for layer in self.layers]
        parts: tuple[Tensor, ...] = self._check_event(name, value).split(sizes, -len(self.event_shape))
        return parts

    def following(self, number: int, z: Tensor) -> Tensor:
        """Return the params of the layer after layer number, counted from 0, given its code z."""
        _validate.count("number", number, minimum=0, maximum=len(self.recognition) - 1)
        return self._network(self.recognition[number], z)

    def rest(self) -> Latent:
        """Return the layers after the first as a latent of their own, without a prior."""
        layers, recognition = self.layers[1:], list(self.recognition[1:])
        return Chain(layers, recognition) if recognition else layers[0]

    def noise(self, params: Tensor, num_samples: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw the noise of all layers, (S, B, *event_shape)."""
        _validate.count("num_samples", num_samples, minimum=0)
        rows = self._check(params).shape[:-1]
        parts = [
            layer.noise(params.new_zeros(*rows, layer.num_parameters), num_samples, generator=generator)
            for layer in self.layers
        ]
        return torch.cat(parts, -len(self.event_shape))

    def relaxed(self, params: Tensor, noise: Tensor, temperature: float | Tensor = 1.0) -> Tensor:
        """Return relaxed codes, each layer's drawn from relaxed codes of the layer before."""
        return self._draw(params, noise, lambda layer, own, part: layer.relaxed(own, part, temperature))

    def hard(self, params: Tensor, noise: Tensor) -> Tensor:
        """Return exact samples of q(z given x)."""
        return self._draw(params, noise, lambda layer, own, part: layer.hard(own, part))

    def straight_through(self, params: Tensor, noise: Tensor, temperature: float | Tensor = 1.0) -> Tensor:
        """Return hard codes with relaxed gradients, layer by layer."""
        return self._draw(
            params, noise, lambda layer, own, part: layer.straight_through(own, part, temperature)
        )

    def log_prob(self, z: Tensor, params: Tensor) -> Tensor:
        """Return log q(z given x), the sum over the layers, in nats, (S, B)."""
        _validate.inside_unit_interval("z", self._check_rows("z", z, params))
        parts = self.split("z", z)
        every = [self._check(params), *(self.following(i, part) for i, part in enumerate(parts[:-1]))]
        layers = zip(self.layers, parts, every, strict=True)
        terms = torch.broadcast_tensors(*(layer.log_prob(part, own) for layer, part, own in layers))
        return torch.stack(terms).sum(0)

    def prior_log_prob(self, z: Tensor) -> Tensor:
        """Return log p(z), the sum over the layers, in nats, (S, B)."""
        _validate.inside_unit_interval("z", self._check_event("z", z))
        parts = self.split("z", z)
        terms = [
            layer.log_prob(part, own)
            for layer, part, own in zip(self.layers, parts, self._priors(parts), strict=False)
        ]
        return torch.stack([*terms, self.layers[-1].prior_log_prob(parts[-1])]).sum(0)

    def kl(self, params: Tensor) -> Tensor:
        """Refuse: a chain's KL has no closed form."""
        raise ValueError('kl must be "concrete" or "sampled" for a Chain: its KL has no closed form')

    def relaxed_log_ratio(
        self,
        params: Tensor,
        noise: Tensor,
        temperature: float | Tensor,
        prior_temperature: float | Tensor,
        prior_params: Tensor | None = None,
    ) -> Tensor:
        """Return log q - log p of the relaxed codes, the sum over the layers, in nats, (S, B)."""
        if prior_params is not None:
            raise ValueError("prior_params must be None: a Chain has a prior of its own")
        _validate.finite("params", params)
        _validate.positive("prior_temperature", prior_temperature)
        self._check_rows("noise", noise, params)
        parts, noises = self.split("z", self.relaxed(params, noise, temperature)), self.split("noise", noise)
        every = [params, *(self.following(i, part) for i, part in enumerate(parts[:-1]))]
        terms = zip(self.layers, every, noises, [*self._priors(parts), None], strict=True)
        ratios = [
            layer.relaxed_log_ratio(own, part, temperature, prior_temperature, prior)
            for layer, own, part, prior in terms
        ]
        return torch.stack(ratios).sum(0)

    def sample_prior(self, num_samples: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw codes (num_samples, *event_shape) from the last layer to the first."""
        _validate.count("num_samples", num_samples, minimum=0)
        z = self.layers[-1].sample_prior(num_samples, generator=generator)
        parts = [z.to(next(self.parameters(), z))]
        for layer, network in reversed(list(zip(self.layers, self._generation(), strict=False))):
            own = self._network(network, parts[0])
            parts.insert(0, layer.hard(own, layer.noise(own, 1, generator=generator))[0])
        return torch.cat(parts, -len(self.event_shape))

    def mode(self, params: Tensor) -> Tensor:
        """Return the most probable code of each layer, given that of the layer before."""
        nothing = self._check(params).new_zeros(*params.shape[:-1], *self.event_shape)
        return self._draw(params, nothing, lambda layer, own, part: layer.mode(own))

    def _draw(self, params: Tensor, noise: Tensor, draw: Draw) -> Tensor:
        self._check_rows("noise", noise, params)
        own, parts = params, []
        for number, (layer, part) in enumerate(zip(self.layers, self.split("noise", noise), strict=True)):
            parts.append(draw(layer, own, part))  # (S, B, *layer.event_shape)
            if number + 1 < len(self.layers):
                own = self.following(number, parts[-1])
        return torch.cat(parts, -len(self.event_shape))

    def _priors(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """Return the params of p(z_i given z_{i+1}) for every layer but the last."""
        networks = zip(self._generation(), parts[1:], strict=True)
        return [self._network(network, part) for network, part in networks]

    def _generation(self) -> nn.ModuleList:
        if not self.generation:
            raise ValueError("generation must hold networks where codes have a prior, got none")
        return self.generation

    def _network(self, network: nn.Module, z: Tensor) -> Tensor:
        _validate.finite("z", z)
        return _precision.apply(network, "z", z.flatten(z.ndim - len(self.event_shape)))
