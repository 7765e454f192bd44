"""Training: schedules against closed forms, and a loop that learns what can be known exactly."""

import math
from dataclasses import replace

import alarms
import pytest
import torch
from torch import Tensor, nn

from catvae_lib import network
from catvae_lib.data import Dataset, Split, flip_pixels
from catvae_lib.latent import BernoulliLatent, Latent
from catvae_lib.training import TemperatureSchedule, TrainConfig, fit
from catvae_lib.vae import VAE


def two_images(copies: int = 100) -> Dataset:
    """Two equiprobable images of four pixels, opposites of each other: the entropy is ln 2."""
    images = torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]]).repeat(copies, 1)
    split = Split(images, torch.arange(2).repeat(copies))
    return Dataset("two images", (2, 2), split, split.first(10), split.first(10))


def small_vae(seed: int = 0, latent: Latent | None = None) -> VAE:
    torch.manual_seed(seed)
    latent = latent or BernoulliLatent(2)
    return VAE(network.linear(4, latent.num_parameters), latent, network.linear(latent.num_features, 4))


def weights(vae: VAE) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in vae.parameters()])


def images_of_each_loss(vae: VAE) -> list[Tensor]:
    """A list that grows by the images of every call of vae.loss."""
    seen: list[Tensor] = []
    inner = vae.loss

    def spy(x: Tensor, *args: object, **kwargs: object) -> object:
        seen.append(x)
        return inner(x, *args, **kwargs)  # type: ignore[arg-type]

    vae.loss = spy  # type: ignore[method-assign, assignment]
    return seen


# Schedules


def test_exponential_schedule_is_its_formula() -> None:
    schedule = TemperatureSchedule.exponential(start=1.0, floor=0.5, rate=3e-5)
    for step in (0, 1, 5000, 23_104):
        assert schedule(step) == pytest.approx(math.exp(-3e-5 * step), rel=1e-15)
    assert schedule(23_104) > 0.5
    assert schedule(23_105) == schedule(10**9) == 0.5  # ln 2 / 3e-5 = 23104.9


def test_schedule_moves_only_every_so_many_steps() -> None:
    schedule = TemperatureSchedule.exponential(start=1.0, floor=0.1, rate=1e-3, every=500)
    assert schedule(0) == schedule(499) == 1.0
    assert schedule(500) == schedule(999) == pytest.approx(math.exp(-0.5))


def test_schedule_scaled_to_a_budget_reaches_its_floor_on_time() -> None:
    schedule = TemperatureSchedule.reaching_floor(start=1.0, floor=0.5, steps=300)
    values = [schedule(step) for step in range(400)]
    assert values == sorted(values, reverse=True)
    assert values[150] == pytest.approx(math.sqrt(0.5))
    assert values[299] > 0.5
    assert values[300] == pytest.approx(0.5)


def test_constant_schedule_never_moves() -> None:
    assert {TemperatureSchedule.constant(0.7)(step) for step in (0, 1, 10**6)} == {0.7}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"start": 0.0}, "start must be positive and finite, got 0.0"),
        ({"start": 1.0, "floor": -0.5}, "floor must be positive and finite, got -0.5"),
        ({"start": 0.5, "floor": 1.0}, "floor must not exceed start 0.5, got 1.0"),
        ({"start": 1.0, "floor": 0.5, "rate": -1.0}, "rate must be at least 0 and finite, got -1.0"),
        ({"start": 1.0, "floor": 0.5, "rate": math.nan}, "rate must not be NaN, got nan"),
        ({"start": 1.0, "floor": 0.5, "every": 0}, "every must be at least 1, got 0"),
    ],
)
def test_bad_schedules_are_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TemperatureSchedule(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"batch_size": -1}, "batch_size must be at least 1, got -1"),
        ({"learning_rate": 0.0}, "learning_rate must be positive and finite, got 0.0"),
        ({"learning_rate": math.inf}, "learning_rate must be positive and finite, got inf"),
        ({"sample": "hard"}, "sample must be one of 'relaxed', 'straight_through', 'local_expectation', got"),
        ({"kl": "none"}, "kl must be one of 'analytic', 'concrete', 'sampled', got 'none'"),
        ({"kl": "sampled", "kl_weight": 2.0}, 'kl_weight must be 1 with kl="sampled", got 2.0'),
        ({"seed": -1}, "seed must be at least 0, got -1"),
    ],
)
def test_bad_configurations_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(TrainConfig(), **change)  # type: ignore[arg-type]


# The loop


@pytest.mark.parametrize("sample", ["relaxed", "straight_through"])
def test_training_reaches_the_entropy_of_the_data(sample: str) -> None:
    """No model's mean negative log-likelihood is below ln 2 = 0.693; a trained one comes within 0.1 nats."""
    vae, data = small_vae(), two_images()
    config = TrainConfig(
        track_samples=10,
        epochs=60,
        batch_size=20,
        learning_rate=0.1,
        temperature=TemperatureSchedule.reaching_floor(1.0, 0.2, steps=300),
        sample=sample,
    )
    history = fit(vae, data, config)
    score = -vae.bound(data.test.images, 1000, generator=torch.Generator().manual_seed(0)).mean().item()
    assert math.log(2) - 0.02 < score < math.log(2) + 0.1  # 0.02: the bound is itself a Monte Carlo number
    assert history.epochs[-1].multi_sample > history.epochs[0].multi_sample + 1


def test_history_holds_the_three_numbers_of_the_model_as_it_stands() -> None:
    """The last entry is recomputed from the model: hard codes by enumeration, relaxed by many draws."""
    vae, data = small_vae(), two_images()
    config = TrainConfig(epochs=3, batch_size=20, temperature=TemperatureSchedule.constant(0.5))
    config = replace(config, track_images=10, track_samples=4000)
    history = fit(vae, data, config)
    columns = history.columns()
    assert columns["epoch"] == [0, 1, 2, 3]
    assert columns["step"] == [0, 10, 20, 30]
    x = data.validation.images
    codes = torch.cartesian_prod(torch.tensor([0.0, 1.0]), torch.tensor([0.0, 1.0]))[:, None].expand(4, 10, 2)
    params = vae.encode(x)
    log_joint = vae.log_weight(x, codes, params) + vae.latent.log_prob(codes, params)
    exact = torch.logsumexp(log_joint, 0).mean().item()  # ln p(x)
    # weights differ by less than e^2 here, so 4000 samples put the bound within 0.05 of ln p(x)
    assert columns["multi_sample"][-1] == pytest.approx(exact, abs=0.05)
    assert columns["single_sample"][-1] <= columns["multi_sample"][-1] + 0.3  # one draw an image
    noise = vae.noise(x, 5000, generator=torch.Generator().manual_seed(9))
    relaxed = -vae.loss(x, noise, 0.5).total.mean().item()
    assert columns["relaxed_objective"][-1] == pytest.approx(
        relaxed, abs=0.6
    )  # one draw for each of 10 images


def test_same_seed_same_weights_and_another_seed_others() -> None:
    runs = []
    for seed in (3, 3, 4):
        vae = small_vae()
        fit(vae, two_images(), TrainConfig(epochs=2, batch_size=20, seed=seed))
        runs.append(weights(vae))
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_training_runs_in_the_precision_of_the_model_and_the_data() -> None:
    vae, data = small_vae().double(), two_images()
    with pytest.raises(ValueError, match=r"x must have the dtype of the model's weights, torch.float64"):
        fit(vae, data, TrainConfig(epochs=1, batch_size=20))
    fit(vae, data.to("cpu", torch.float64), TrainConfig(epochs=1, batch_size=20))
    learnt = weights(vae)
    assert learnt.dtype == torch.float64
    assert not torch.equal(learnt, learnt.float().double())  # gradients that float32 cannot hold


def test_training_does_not_touch_the_global_generator() -> None:
    torch.manual_seed(11)
    expected = torch.rand(3)
    vae = small_vae()
    torch.manual_seed(11)
    fit(vae, two_images(), TrainConfig(epochs=1, batch_size=20))
    assert torch.equal(torch.rand(3), expected)


def test_every_image_is_seen_once_an_epoch() -> None:
    vae, data = small_vae(), two_images(copies=15)
    images = torch.rand(30, 4, generator=torch.Generator().manual_seed(0)).round(decimals=3)
    data = replace(data, train=Split(images, torch.zeros(30, dtype=torch.int64)))
    seen = images_of_each_loss(vae)
    fit(vae, data, TrainConfig(epochs=1, batch_size=10, track_images=1, track_samples=1))
    batches = torch.cat([x for x in seen if len(x) == 10])
    assert sorted(batches.tolist()) == sorted(images.tolist())
    assert batches.tolist() != images.tolist()  # shuffled


def test_dynamic_binarization_draws_new_bits_every_epoch() -> None:
    """Grey training images (0.5) must reach the loss as bits, other bits each time: 0.5 within 0.037."""
    vae, data = small_vae(), two_images()
    grey = torch.full((1000, 4), 0.5)
    data = replace(data, train=Split(grey, torch.zeros(1000, dtype=torch.int64)), binarization="dynamic")
    seen = images_of_each_loss(vae)
    fit(vae, data, TrainConfig(epochs=2, batch_size=500, track_images=1, track_samples=1))
    batches = [x for x in seen if len(x) == 500]
    assert all(bool(((x == 0) | (x == 1)).all()) for x in batches)
    assert float(torch.cat(batches).mean()) == pytest.approx(0.5, abs=alarms.distance(8000))
    assert not torch.equal(batches[0], batches[2])


def test_learning_rate_falls_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []
    step = torch.optim.Adam.step

    def spy(self: torch.optim.Adam, *args: object) -> object:
        rates.append(self.param_groups[0]["lr"])
        return step(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.optim.Adam, "step", spy)
    fit(small_vae(), two_images(), TrainConfig(epochs=4, batch_size=20, learning_rate=0.5))
    assert rates[0] == 0.5
    assert rates[20] == pytest.approx(0.25)  # halfway down half a cosine of 40 steps
    assert rates == sorted(rates, reverse=True)
    assert 0 < rates[-1] < 0.001


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_the_run(bad: float) -> None:
    class Breaks(nn.Linear):
        calls = 0

        def forward(self, z: Tensor) -> Tensor:
            self.calls += 1
            return super().forward(z) + (bad if self.calls == 12 else 0.0)

    vae = VAE(network.linear(4, 2), BernoulliLatent(2), Breaks(2, 4))
    with pytest.raises(FloatingPointError, match=r"became nan at step 7, in its reconstruction term"):
        fit(vae, two_images(), TrainConfig(epochs=5, batch_size=20))


def test_data_that_do_not_fit_are_refused_before_any_step() -> None:
    vae, data = small_vae(), two_images(copies=5)
    before = weights(vae)
    with pytest.raises(ValueError, match="batch_size must be at most the 10 training images, got 11"):
        fit(vae, data, TrainConfig(batch_size=11))
    grey = replace(data, train=Split(data.train.images * 255, data.train.labels))
    with pytest.raises(ValueError, match=r"data.train.images must lie in \[0, 1\], got 255.0"):
        fit(vae, grey, TrainConfig(batch_size=5))
    wide = replace(data, train=Split(torch.zeros(10, 6), data.train.labels))
    with pytest.raises(ValueError, match=r"x of shape \(1, 6\) and torch.float32 does not fit the network"):
        fit(vae, wide, TrainConfig(batch_size=5))
    assert torch.equal(weights(vae), before)


def test_a_number_for_a_temperature_schedule_is_refused_with_a_hint() -> None:
    with pytest.raises(TypeError, match=r"TemperatureSchedule.constant\(0.5\)"):
        TrainConfig(temperature=0.5)  # type: ignore[arg-type]


def test_an_empty_validation_split_is_refused() -> None:
    data = two_images()
    data = replace(data, validation=Split(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)))
    with pytest.raises(ValueError, match=r"data.validation must hold an image"):
        fit(small_vae(), data, TrainConfig(epochs=1, batch_size=20))


# Defaults, denoising, precision


def test_the_temperature_falls_by_default_to_its_floor_within_the_run() -> None:
    config = TrainConfig()
    temperatures = [config.numbers(step, 1000)[0] for step in range(1001)]
    assert temperatures[0] == 1.0 and temperatures[-1] == pytest.approx(0.3)
    assert temperatures == sorted(temperatures, reverse=True)
    assert temperatures[500] == pytest.approx(math.sqrt(0.3))
    assert config.numbers(0, 1000)[1:] == (1.0, 3e-3)


def test_the_weight_of_the_kl_is_in_the_gradient_and_not_in_the_three_numbers() -> None:
    """A weight of 1000 switches the code off, so that its KL tends to 0, and the bound stays a bound."""
    vae, data = small_vae(), two_images()
    history = fit(vae, data, TrainConfig(epochs=30, batch_size=20, learning_rate=0.1, kl_weight=1000.0))
    assert vae.latent.kl(vae.encode(data.test.images)).max().item() < 1e-3
    assert -4 < history.epochs[-1].multi_sample < -math.log(2)  # 4 ln 2 = 2.77 without a code


def test_a_denoising_vae_sees_flipped_pixels_and_reconstructs_clean_ones() -> None:
    """The encoder's images differ from the targets in a tenth of the pixels, exact binomial: within 0.025."""
    vae, data = small_vae(), replace(two_images(1000), flips=0.1)
    seen: list[tuple[Tensor, Tensor]] = []
    inner = vae.loss

    def spy(x: Tensor, *args: object, target: Tensor | None = None, **kwargs: object) -> object:
        if target is not None:
            seen.append((x, target))
        return inner(x, *args, target=target, **kwargs)  # type: ignore[arg-type]

    vae.loss = spy  # type: ignore[method-assign, assignment]
    fit(
        vae, data, TrainConfig(epochs=1, batch_size=500, track_images=1, track_samples=1, precision="float32")
    )
    flipped = torch.cat([x != target for x, target in seen]).float()
    clean = torch.cat([target for _, target in seen])
    assert alarms.fits([int(flipped.sum())], [0.1], flipped.numel())
    assert sorted(clean.tolist()) == sorted(data.train.images.tolist())


def test_flipping_pixels_keeps_grey_values_in_their_range() -> None:
    images = torch.tensor([[0.25, 1.0]])
    assert flip_pixels(images, 1.0).tolist() == [[0.75, 0.0]]
    assert torch.equal(flip_pixels(images, 0.0), images)
    with pytest.raises(ValueError, match=r"share must lie in \[0, 1\], got 1.5"):
        flip_pixels(images, 1.5)
    with pytest.raises(ValueError, match=r"flips must lie in \[0, 1\], got -0.1"):
        replace(two_images(), flips=-0.1)


def test_products_in_bfloat16_change_the_bound_by_no_more_than_their_rounding() -> None:
    """Logits of a few units are rounded by 2^-9 of themselves; 0.05 nats over four pixels is ample."""
    vae, data = small_vae(), two_images()
    fit(vae, data, TrainConfig(epochs=10, batch_size=20, learning_rate=0.1, precision="bfloat16"))
    assert next(vae.parameters()).dtype == torch.float32
    x = data.test.images
    found = [
        vae.bound(x, 500, generator=torch.Generator().manual_seed(0), precision=precision)
        for precision in ("float32", "bfloat16")
    ]
    assert not torch.equal(*found)
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=0.05)
    assert found[1].dtype == torch.float32


@pytest.mark.parametrize(
    ("instructions", "expected"), [({"avx512_bf16": True}, "bfloat16"), ({"avx2": True}, "float32")]
)
def test_precision_is_chosen_by_what_the_machine_has_and_reported(
    monkeypatch: pytest.MonkeyPatch, instructions: dict[str, bool], expected: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: instructions, raising=False)
    config = TrainConfig(epochs=1, batch_size=20, threads=2, track_samples=1)
    before = torch.get_num_threads()
    history = fit(small_vae(), two_images(), config)
    assert history.machine == {"device": "cpu", "threads": 2, "precision": expected, "compiled": False}
    assert torch.get_num_threads() == before and history.seconds > 0
    double = fit(small_vae().double(), two_images().to("cpu", torch.float64), config)
    assert double.machine["precision"] == "float64"
    with pytest.raises(ValueError, match=r"precision .bfloat16. needs a float32 model, got torch.float64"):
        small_vae().double().bound(torch.zeros(1, 4).double(), 1, precision="bfloat16")
