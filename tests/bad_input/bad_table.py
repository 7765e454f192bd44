"""One row a public function: how to get it, and arguments that are good. A new function is one row more.

What `ignores` names plays no part in the function, whatever it is.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from catvae_lib import chain, density, distributions, latent, network, noise, sampling
from catvae_lib.estimators import (
    CATALOGUE,
    NVIL,
    REBAR,
    RELAX,
    Layerwise,
    MovingAverage,
    control,
    enumeration,
)
from catvae_lib.vae import VAE

BITS, ONE_HOT, GAUSSIAN = latent.BernoulliLatent(4), latent.CategoricalLatent(2, 3), latent.GaussianLatent(2)


@dataclass(frozen=True)
class Row:
    make: Callable[[], Callable[..., Any]]
    arguments: Callable[[], dict[str, Any]]
    ignores: tuple[str, ...] = ()


ROWS: dict[str, Row] = {}


def row(name: str, function: Any, /, *ignores: str, **arguments: Any) -> None:
    """Add a row. Arguments are shared by the calls: no function may change them."""
    ROWS[name] = Row(lambda: function, lambda: dict(arguments), ignores)


def method(name: str, make: Callable[[], Any], /, *ignores: str, **arguments: Any) -> None:
    """Add the row of a method, of a fresh object in each call."""
    word = name.rsplit(".", 1)[1]
    ROWS[name] = Row(lambda: getattr(make(), word), lambda: dict(arguments), ignores)


def t(*shape: int, low: float = -1.0, high: float = 1.0) -> Tensor:
    """Numbers between two, the same in every run."""
    return torch.linspace(low, high, math.prod(shape)).reshape(shape)


def bits(*shape: int) -> Tensor:
    return (t(*shape) > 0).float()


def one_hot(*shape: int) -> Tensor:
    return torch.eye(shape[-1])[torch.arange(math.prod(shape[:-1])) % shape[-1]].reshape(shape)


def sum_of(z: Tensor) -> Tensor:
    return z.sum(-1)


def first_of(z: Tensor) -> Tensor:
    """The first category's share, of a categorical code."""
    return z[..., 0].sum(-1)


# noise, sampling, density, distributions

for name in ("uniform", "normal", "gumbel", "logistic"):
    place = {"loc": 0.5, "scale": 2.0} if name in ("gumbel", "logistic") else {}
    common = {"generator": torch.Generator(), "device": torch.device("cpu"), "dtype": torch.float32}
    row(f"noise.{name}", getattr(noise, name), shape=(3, 4), **place, **common)
for name in ("gumbel_from_uniform", "logistic_from_uniform"):
    row(f"noise.{name}", getattr(noise, name), u=t(3, 4, low=0.1, high=0.9), loc=0.5, scale=2.0)

row("sampling.gaussian", sampling.gaussian, mean=t(3, 4), log_std=t(3, 4), noise=t(3, 4))
for name in ("gumbel_max", "gumbel_softmax", "gumbel_log_softmax"):
    warm = {} if name == "gumbel_max" else {"temperature": 0.5}
    row(f"sampling.{name}", getattr(sampling, name), logits=t(3, 4), gumbel_noise=t(3, 4), **warm)
row("sampling.gumbel_top_k", sampling.gumbel_top_k, logits=t(3, 4), gumbel_noise=t(3, 4), k=2)
for name in ("bernoulli_threshold", "binary_concrete", "binary_concrete_logit"):
    warm = {} if name == "bernoulli_threshold" else {"temperature": 0.5}
    row(f"sampling.{name}", getattr(sampling, name), logits=t(3, 4), logistic_noise=t(3, 4), **warm)
row("sampling.straight_through", sampling.straight_through, hard=bits(3, 4), relaxed=t(3, 4, low=0.1))

for name in ("gumbel_log_density", "gumbel_cdf", "logistic_log_density", "logistic_cdf"):
    row(f"density.{name}", getattr(density, name), x=t(3, 4), loc=0.5, scale=2.0)
log_sample = t(3, 4).log_softmax(-1)
row(
    "density.concrete_log_density",
    density.concrete_log_density,
    log_sample=log_sample,
    logits=t(3, 4),
    temperature=0.5,
)
row(
    "density.binary_concrete_log_density",
    density.binary_concrete_log_density,
    logit_sample=t(3, 4),
    logits=t(3, 4),
    temperature=0.5,
)
row("density.bernoulli_log_prob", density.bernoulli_log_prob, bits=bits(3, 4), logits=t(3, 4))
row("density.categorical_log_prob", density.categorical_log_prob, one_hot=one_hot(3, 4), logits=t(3, 4))
row("density.bernoulli_kl", density.bernoulli_kl, logits=t(3, 4), prior_logits=0.5)
row("density.categorical_kl", density.categorical_kl, logits=t(3, 4), prior_logits=t(3, 4))
row("density.gaussian_kl", density.gaussian_kl, mean=t(3, 4), log_std=t(3, 4))

for name in (
    "LogitRelaxedBernoulli",
    "ExpRelaxedCategorical",
    "RelaxedBernoulli",
    "RelaxedOneHotCategorical",
):
    kind = getattr(distributions, name)
    row(f"distributions.{name}", kind, temperature=0.5, logits=t(3, 4))
    made = kind(0.5, logits=t(3, 4))
    method(
        f"distributions.{name}.rsample",
        lambda made=made: made,
        sample_shape=(2,),
        generator=torch.Generator(),
    )
    method(
        f"distributions.{name}.sample", lambda made=made: made, sample_shape=(2,), generator=torch.Generator()
    )
    method(f"distributions.{name}.log_prob", lambda made=made: made, value=made.sample())
    batch = tuple(made.batch_shape)
    method(f"distributions.{name}.expand", lambda made=made: made, batch_shape=(2, *batch))

# latent, chain


def a_chain() -> chain.Chain:
    torch.manual_seed(0)
    down, up = network.linear(4, 3), network.linear(3, 4)
    return chain.Chain([BITS, latent.BernoulliLatent(3)], [down], [up])


row("latent.BernoulliLatent", latent.BernoulliLatent, num_bits=4)
row("latent.CategoricalLatent", latent.CategoricalLatent, num_variables=2, num_categories=3)
row("latent.GaussianLatent", latent.GaussianLatent, num_dimensions=2)
row(
    "chain.Chain",
    chain.Chain,
    layers=[BITS, BITS],
    recognition=[network.linear(4, 4)],
    generation=[network.linear(4, 4)],
)
method("chain.Chain.split", a_chain, "name", name="value", value=bits(2, 3, 7))
method("chain.Chain.following", a_chain, number=0, z=bits(2, 3, 4))
for code, name in (
    (BITS, "latent.BernoulliLatent"),
    (ONE_HOT, "latent.CategoricalLatent"),
    (GAUSSIAN, "latent.GaussianLatent"),
    (None, "chain.Chain"),
):
    own = a_chain() if code is None else code
    params = t(3, own.num_parameters)
    drawn = own.noise(params, 2, generator=torch.Generator().manual_seed(0))
    z = own.hard(params, drawn)
    get = a_chain if code is None else (lambda code=code: code)
    still = ("temperature", "prior_temperature") if code is GAUSSIAN else ()
    method(f"{name}.noise", get, params=params, num_samples=2, generator=torch.Generator())
    method(f"{name}.relaxed", get, *still, params=params, noise=drawn, temperature=0.5)
    method(f"{name}.hard", get, params=params, noise=drawn)
    if code is None:
        method(f"{name}.straight_through", get, params=params, noise=drawn, temperature=0.5)
    method(f"{name}.log_prob", get, z=z, params=params)
    method(f"{name}.prior_log_prob", get, z=z)
    if code is not None:
        method(f"{name}.kl", get, params=params)
    prior = {"prior_params": params} if code is not None else {}
    method(
        f"{name}.relaxed_log_ratio",
        get,
        *still,
        params=params,
        noise=drawn,
        temperature=0.5,
        prior_temperature=0.5,
        **prior,
    )
    method(f"{name}.sample_prior", get, num_samples=2, generator=torch.Generator())
    method(f"{name}.mode", get, params=params)
method("latent.Latent.straight_through", lambda: BITS, params=t(3, 4), noise=t(2, 3, 4), temperature=0.5)

# network, vae

row("network.linear", network.linear, in_features=4, out_features=3)
row("network.mlp", network.mlp, in_features=4, hidden=[5], out_features=3, activation="elu")
row(
    "network.conv_encoder",
    network.conv_encoder,
    image_shape=(8, 8),
    channels=[2, 3],
    out_features=4,
    activation="elu",
)
row(
    "network.conv_decoder",
    network.conv_decoder,
    in_features=4,
    channels=[3, 2],
    image_shape=(8, 8),
    activation="elu",
)
method("network.ImageLayers.forward", lambda: network.ImageLayers(nn.Conv2d(1, 2, 3)), images=t(2, 1, 4, 4))
row("network.PixelBias", network.PixelBias, num_pixels=4)
method("network.PixelBias.forward", lambda: network.PixelBias(4), images=t(3, 4))
row("network.Features", network.Features, start=1, stop=3)
method("network.Features.forward", lambda: network.Features(1, 3), features=t(2, 4))
row("network.Corners", network.Corners, num_categories=4)
method("network.Corners.forward", lambda: network.Corners(4), codes=one_hot(3, 4))
row("network.Centred", network.Centred, mean=t(4), decay=0.9)
method("network.Centred.forward", lambda: network.Centred(t(4)), features=t(3, 4))
row("network.start_at_data_mean", network.start_at_data_mean, decoder=network.linear(4, 6), images=bits(5, 6))


def a_vae() -> VAE:
    torch.manual_seed(0)
    return VAE(network.linear(6, 4), BITS, network.linear(4, 6))


X, NOISE = bits(3, 6), noise.logistic((2, 3, 4), generator=torch.Generator().manual_seed(0))
row(
    "vae.VAE",
    VAE,
    encoder=network.linear(6, 4),
    latent=BITS,
    decoder=network.linear(4, 6),
    likelihood="bernoulli",
    prior="latent",
)
method("vae.VAE.encode", a_vae, x=X)
method("vae.VAE.decode", a_vae, z=bits(2, 3, 4))
method("vae.VAE.noise", a_vae, x=X, num_samples=2, generator=torch.Generator())
for name in ("loss", "forward"):
    words = {
        "sample": "relaxed",
        "kl": "concrete",
        "prior_temperature": 0.5,
        "multi_sample": False,
        "target": X,
    }
    method(f"vae.VAE.{name}", a_vae, x=X, noise=NOISE, temperature=0.5, **(words if name == "loss" else {}))
method("vae.VAE.log_weight", a_vae, x=X, z=bits(2, 3, 4), params=t(3, 4))
method("vae.VAE.bound", a_vae, x=X, num_samples=3, generator=torch.Generator(), chunk=2, precision="float32")
method("vae.VAE.reconstruct", a_vae, x=X)
method("vae.VAE.generate", a_vae, num_samples=2, generator=torch.Generator())

# estimators


def of_estimator(
    name: str, make: Callable[[latent.Latent], Any], code: latent.Latent, draws: int, word: str = ""
) -> None:
    params = t(3, code.num_parameters)
    drawn = code.noise(params, draws, generator=torch.Generator().manual_seed(0))
    get = (lambda: getattr(make(code), word)) if word else (lambda: make(code))
    f = first_of if code is ONE_HOT else sum_of
    ignores = (
        ("noise", "temperature") if name.endswith(("exact", "MovingAverage.forward", "NVIL.forward")) else ()
    )
    arguments = {"latent": code, "logits": params, "noise": drawn, "f": f, "temperature": 0.5}
    ROWS[name] = Row(get, lambda: dict(arguments), ignores)


for name, entry in CATALOGUE.items():
    made = entry.make(BITS)
    code = BITS if "bits" in entry.codes else ONE_HOT
    if not isinstance(made, nn.Module):
        file = made.__module__.rsplit(".", 1)[1]
        of_estimator(f"{file}.{name}", entry.make, code, min(entry.draws, 4))
of_estimator("control.rebar", lambda code: control.rebar, BITS, 2)
of_estimator("score.MovingAverage.forward", lambda code: MovingAverage(), BITS, 1, "forward")
of_estimator("score.NVIL.forward", CATALOGUE["nvil"].make, BITS, 1, "forward")
of_estimator("control.REBAR.forward", lambda code: REBAR(), BITS, 2, "forward")
of_estimator("control.RELAX.forward", CATALOGUE["relax"].make, BITS, 2, "forward")
of_estimator(
    "layers.Layerwise.forward",
    lambda code: Layerwise(CATALOGUE["score_function"].make(code)),
    a_chain(),
    1,
    "forward",
)

net = network.linear(4, 1)
row("score.MovingAverage", MovingAverage, decay=0.9)
method("score.MovingAverage.update", MovingAverage, value=torch.tensor(2.0))
row("score.NVIL", NVIL, network=net, learning_rate=1e-3, decay=0.9)
row("control.REBAR", REBAR, decay=0.9)
method("control.REBAR.update", REBAR, plain=t(3, 4), control=t(3, 4))
row("control.RELAX", RELAX, network=net, learning_rate=1e-3, decay=0.9)
ROWS["layers.Layerwise"] = Row(
    lambda: lambda estimators: Layerwise(estimators), lambda: {"estimators": REBAR()}
)
row(
    "enumeration.all_codes",
    enumeration.all_codes,
    latent=BITS,
    dtype=torch.float32,
    device=torch.device("cpu"),
)
row("enumeration.exact_gradient", enumeration.exact_gradient, latent=BITS, logits=t(3, 4), f=sum_of)
row(
    "enumeration.exact_multi_sample",
    enumeration.exact_multi_sample,
    latent=BITS,
    logits=t(3, 4),
    f=sum_of,
    num_samples=2,
)
for name, extra in (("score.score_function", {"baseline": 0.5}), ("control.rebar", {"eta": 0.5})):
    ROWS[name] = Row(ROWS[name].make, lambda own=ROWS[name].arguments(), extra=extra: own | extra)  # noqa: B008
