"""Many models in one launch: the stacked step is each model's own step, and `fit_many` is many `fit`s."""

import math
from dataclasses import replace

import pytest
import torch
from test_training import small_vae, two_images, weights
from torch import Tensor

from catvae_lib import network
from catvae_lib._step import Moments, PureStep, told, trained
from catvae_lib.estimators import REBAR, Estimator, muprop, rebar, reinmax, score_function, vimco
from catvae_lib.latent import BernoulliLatent, CategoricalLatent, Latent
from catvae_lib.schedules import TemperatureSchedule
from catvae_lib.training import TrainConfig, fit, fit_many
from catvae_lib.vae import VAE

CONFIG = TrainConfig(epochs=2, batch_size=20, precision="float32", track_images=10, track_samples=5)
LATENTS = [BernoulliLatent(3), CategoricalLatent(2, 3)]


@pytest.mark.parametrize("latent", LATENTS, ids=str)
@pytest.mark.parametrize("sample", ["relaxed", "straight_through"])
def test_the_stacked_step_is_torch_s_own_adam_on_each_model(latent: Latent, sample: str) -> None:
    """Three steps of three models with rates of their own, in float64: 1e-12 is rounding."""
    rates, data = (0.01, 0.03, 0.1), two_images().to("cpu", torch.float64)
    vaes = [small_vae(seed, latent).double() for seed in range(3)]
    alone = [small_vae(seed, latent).double() for seed in range(3)]
    configs = [replace(CONFIG, learning_rate=rate, sample=sample) for rate in rates]
    stacked = {name: torch.stack([trained(vae)[name].detach() for vae in vaes]) for name in trained(vaes[0])}
    step = PureStep(
        vaes[0], configs[0], torch.float64, stacked, Moments.zero(stacked), compiled=False, many=True
    )
    optimizers = [torch.optim.Adam(vae.parameters()) for vae in alone]
    generator = torch.Generator().manual_seed(5)
    numbers = torch.tensor([told(config, range(3), 100) for config in configs], dtype=torch.float64)
    for t in range(3):
        x = data.train.images[torch.randint(200, (3, 20), generator=generator)]  # (M, B, D)
        noise = torch.stack([vaes[0].noise(x[0], 2, generator=generator) for _ in range(3)])
        record = step(x, x, noise, numbers[:, t])
        for model, (vae, optimizer) in enumerate(zip(alone, optimizers, strict=True)):
            temperature, _, rate = configs[model].numbers(t, 100)
            terms = vae.loss(x[model], noise[model], temperature, sample=sample)
            optimizer.param_groups[0]["lr"] = rate
            optimizer.zero_grad()
            terms.total.mean().backward()
            optimizer.step()
            expected = torch.stack([terms.reconstruction.mean(), terms.kl.mean()]).detach()
            torch.testing.assert_close(record[model], expected, rtol=1e-12, atol=1e-12)
    for model, vae in enumerate(alone):
        for name, weight in trained(vae).items():
            torch.testing.assert_close(stacked[name][model], weight.detach(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("latent", LATENTS, ids=str)
def test_one_of_many_is_fit(latent: Latent) -> None:
    """One model alone sees the same images and noise in both: float64, so 1e-10 is rounding."""
    data = two_images().to("cpu", torch.float64)
    one, other = small_vae(0, latent).double(), small_vae(0, latent).double()
    history = fit(one, data, CONFIG)
    (found,) = fit_many([other], data, [CONFIG])
    torch.testing.assert_close(weights(other), weights(one), rtol=1e-10, atol=1e-10)
    for name, column in history.columns().items():
        assert found.columns()[name] == pytest.approx(column, rel=1e-9)


def test_every_model_learns_and_a_seed_of_its_own_orders_its_images() -> None:
    """Both reach the entropy ln 2 of the data, by other ways."""
    config = replace(
        CONFIG, epochs=60, learning_rate=0.1, temperature=TemperatureSchedule.reaching_floor(1.0, 0.2, 300)
    )
    vaes, data = [small_vae(0), small_vae(0)], two_images()
    histories = fit_many(vaes, data, [replace(config, seed=seed) for seed in (3, 4)])
    for vae, history in zip(vaes, histories, strict=True):
        score = -vae.bound(data.test.images, 1000, generator=torch.Generator().manual_seed(0)).mean().item()
        assert math.log(2) - 0.02 < score < math.log(2) + 0.1
        assert history.failure is None and history.machine["models"] == 2
    assert not torch.equal(weights(vaes[0]), weights(vaes[1]))


def test_a_model_that_diverges_does_not_stop_the_others() -> None:
    vaes = [small_vae(0), small_vae(0), small_vae(0)]
    rates = (0.01, 1e38, 0.01)
    histories = fit_many(vaes, two_images(), [replace(CONFIG, learning_rate=rate) for rate in rates])
    assert [history.failure is None for history in histories] == [True, False, True]
    assert "at step" in (histories[1].failure or "") and len(histories[1].epochs) == 1
    assert len(histories[0].epochs) == 3 and bool(weights(vaes[0]).isfinite().all())


def test_a_model_whose_weights_break_without_its_loss_does_not_stop_the_others_either() -> None:
    """A rate so large that the last step, whose loss was finite, leaves weights whose outputs overflow."""
    config = replace(CONFIG, epochs=1, batch_size=200)  # one step
    histories = fit_many(
        [small_vae(0), small_vae(0)],
        two_images(),
        [replace(config, learning_rate=rate) for rate in (3e38, 0.01)],
    )
    assert "cannot be evaluated after step 1" in (histories[0].failure or "")
    assert histories[1].failure is None and len(histories[1].epochs) == 2


def wide() -> VAE:
    return VAE(network.linear(4, 3), BernoulliLatent(3), network.linear(3, 4))


@pytest.mark.parametrize(
    ("vaes", "configs", "message"),
    [
        ([], [], "configs must hold one for each of the 0 vaes"),
        ([small_vae(), small_vae()], [CONFIG], "configs must hold one for each of the 2 vaes, got 1"),
        ([small_vae(), wide()], [CONFIG] * 2, r"but vaes\[1\] differs from vaes\[0\]"),
        ([small_vae(), small_vae().double()], [CONFIG] * 2, r"but vaes\[1\] differs from vaes\[0\]"),
        ([small_vae()] * 2, [CONFIG] * 2, "vaes must be different models"),
        ([small_vae(), small_vae()], [CONFIG, replace(CONFIG, epochs=3)], "configs may differ only in seed"),
        ([small_vae()], [replace(CONFIG, patience=1)], "have no patience"),
    ],
)
def test_what_one_step_cannot_serve_is_refused(
    vaes: list[VAE], configs: list[TrainConfig], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        fit_many(vaes, two_images(), configs)


def test_more_models_can_be_compiled_than_one_code_object_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch gives up compiling one code object after 8 programs; each model brings its own."""
    compiled: list[object] = []
    monkeypatch.setattr(torch, "compile", lambda step, **_: compiled.append(step.__code__) or step)
    for _ in range(3):
        weights_of: dict[str, Tensor] = {name: w.detach() for name, w in trained(small_vae()).items()}
        PureStep(small_vae(), CONFIG, torch.float32, weights_of, Moments.zero(weights_of), compiled=True)
    assert len({id(code) for code in compiled}) == 3


@pytest.mark.parametrize("estimator", [vimco, reinmax, score_function, muprop, rebar])
def test_an_estimator_takes_the_place_of_sample(estimator: Estimator) -> None:
    config = replace(CONFIG, num_samples=2, kl="sampled" if estimator is vimco else "analytic")
    data = two_images().to("cpu", torch.float64)
    alone, among, plain = [small_vae(0, BernoulliLatent(3)).double() for _ in range(3)]
    history = fit(alone, data, config, estimator=estimator)
    (found,) = fit_many([among], data, [config], estimator=estimator)
    torch.testing.assert_close(weights(among), weights(alone))
    assert found.epochs[-1].single_sample == pytest.approx(history.epochs[-1].single_sample, rel=1e-9)
    fit_many([plain], data, [config])
    assert not torch.allclose(weights(plain), weights(among))


def test_an_estimator_that_learns_is_refused() -> None:
    with pytest.raises(ValueError, match="estimator must be a function, not one that learns, got REBAR"):
        fit_many([small_vae()], two_images(), [CONFIG], estimator=REBAR())


def test_models_that_differ_in_what_has_no_weights_are_refused() -> None:
    def model(start: int = 0, mean: float = 0.0, prior: str = "latent") -> VAE:
        torch.manual_seed(0)
        parts = [network.Features(start, start + 2), network.Centred(torch.full((2,), mean), decay=1.0)]
        encoder = torch.nn.Sequential(*parts, network.linear(2, 3))
        return VAE(encoder, BernoulliLatent(3), network.linear(3, 4), prior=prior)

    images = two_images()
    fit_many([model(), model()], images, [CONFIG, CONFIG])
    for other in (model(start=1), model(mean=0.5), model(prior="encoder")):
        with pytest.raises(ValueError, match=r"vaes must be of one architecture, but vaes\[1\] differs"):
            fit_many([model(), other], images, [CONFIG, CONFIG])
