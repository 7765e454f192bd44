"""Noise is finite, reproducible and has the distribution it claims, in every dtype.

Statistical tests have fixed seeds and the level of tests/alarms.py. The Dvoretzky-Kiefer-Wolfowitz bound
P(D > e) <= 2 exp(-2 n e^2) holds for every n; with n = 300,000 it rejects above e = 0.00598, and a sampler
whose distribution function is off by 2 e = 0.01196 somewhere passes with a probability of at most 1e-9.
"""

import math
from types import SimpleNamespace

import alarms
import numpy as np
import pytest
import torch
from scipy import stats

from catvae_lib import noise

N = 300_000
DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
SAMPLERS = (noise.uniform, noise.gumbel, noise.logistic, noise.normal)
ORACLES = {
    "uniform": stats.uniform(),
    "gumbel": stats.gumbel_r(),
    "logistic": stats.logistic(),
    "normal": stats.norm(),
}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def rejected(sample, oracle):
    sample = sample.double().numpy()
    return stats.kstest(sample, oracle.cdf).statistic > alarms.distance(sample.size)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda f: f.__name__)
def test_twenty_million_draws_are_finite(sampler, dtype):
    # Seed 8 makes the raw generator return exactly 0 four times, so in float32 this test has teeth.
    generator = seeded(8)
    for _ in range(20):
        draws = sampler(1_000_000, generator=generator, dtype=dtype)
        assert draws.dtype == dtype
        assert bool(draws.isfinite().all())
        if sampler is noise.uniform:
            assert float(draws.min()) > 0 and float(draws.max()) < 1


def test_the_raw_generator_does_return_zero():
    generator = seeded(8)
    assert any(bool((torch.rand(1_000_000, generator=generator) == 0).any()) for _ in range(20))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_extreme_uniforms_give_finite_noise(monkeypatch, dtype):
    def extremes(size, *, generator, device, dtype):
        return torch.tensor([0.0, 1 - torch.finfo(dtype).eps / 2], dtype=dtype)

    monkeypatch.setattr(torch, "rand", extremes)
    u = noise.uniform(2, dtype=dtype)
    assert 0 < float(u[0]) < float(u[1]) < 1
    for sampler in (noise.gumbel, noise.logistic):
        low, high = sampler(2, dtype=dtype).tolist()
        assert math.isfinite(low) and math.isfinite(high) and low < -2 and high > 2


def test_every_float32_uniform_gives_finite_noise(monkeypatch):
    """All 2^24 multiples of 2^-24 that the generator can return, 0 included, as it would return them."""
    step, previous = 2**21, {noise.uniform: 0.0, noise.gumbel: -math.inf, noise.logistic: -math.inf}
    inverse = {noise.gumbel: noise.gumbel_from_uniform, noise.logistic: noise.logistic_from_uniform}
    for start in range(0, 2**24, step):
        raw = torch.arange(start, start + step, dtype=torch.int32).to(torch.float32) * 2**-24
        monkeypatch.setattr(torch, "rand", lambda *_, raw=raw, **__: raw.clone())
        u = noise.uniform(step, dtype=torch.float32)
        assert float(u.min()) > 0 and float(u.max()) < 1
        for sampler, before in previous.items():
            values = sampler(step, dtype=torch.float32)
            assert bool(values.isfinite().all())
            assert float(values[0]) >= before
            assert bool((values.diff() >= -1e-6).all())  # monotone but for the rounding of the logarithms
            previous[sampler] = float(values[-1]) - 1e-6
            if sampler in inverse:
                assert torch.equal(inverse[sampler](u), values)
            for half in (torch.float16, torch.bfloat16):
                rounded = sampler(step, dtype=half)
                assert bool(rounded.isfinite().all())
                assert sampler is not noise.uniform or (float(rounded.min()) > 0 and float(rounded.max()) < 1)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda f: f.__name__)
def test_vmap_draws_noise_for_each_model_without_a_warning(sampler):
    drawn = torch.func.vmap(lambda _: sampler((3, 2)), randomness="different")(torch.zeros(5))
    assert drawn.shape == (5, 3, 2) and len(drawn.unique()) == 30


def test_the_documented_range_of_float32_gumbel_noise():
    """Half a step and the largest uniform below 1: -ln(25 ln 2) = -2.8525 and about 24 ln 2 = 16.6355."""
    values = noise.gumbel_from_uniform(torch.tensor([2.0**-25, 1 - 2.0**-24]))
    expected = torch.tensor([-math.log(25 * math.log(2)), 24 * math.log(2)])
    torch.testing.assert_close(values, expected, atol=1e-5, rtol=0)
    assert float(values[0]) >= -2.86 and float(values[1]) <= 16.64


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", (torch.float32, torch.float64), ids=str)
def test_distribution(sampler, dtype):
    draws = sampler(N, generator=seeded(1), dtype=dtype)
    assert not rejected(draws, ORACLES[sampler.__name__])


@pytest.mark.parametrize(
    "sampler, oracle", [(noise.gumbel, stats.gumbel_r), (noise.logistic, stats.logistic)]
)
def test_distribution_with_location_and_scale(sampler, oracle):
    assert not rejected(sampler(N, loc=2.0, scale=3.0, generator=seeded(2)), oracle(2, 3))
    tensors = sampler((N, 2), torch.tensor([0.0, 5.0]), torch.tensor([1.0, 0.5]), generator=seeded(3))
    assert not rejected(tensors[:, 0], oracle(0, 1))
    assert not rejected(tensors[:, 1], oracle(5, 0.5))


@pytest.mark.parametrize(
    "wrong",
    [
        -noise.gumbel(N, generator=seeded(4)),
        noise.gumbel(N, generator=seeded(4), scale=1.05),
        noise.gumbel(N, generator=seeded(4), loc=0.04),
        noise.uniform(N, generator=seeded(4)).log().neg(),
    ],
    ids=["sign flipped", "scale 5 % too large", "location off by 0.04", "one logarithm only"],
)
def test_the_check_of_the_distribution_has_power(wrong):
    """The nearest is off by 0.0132, and is missed with a probability below 1e-13."""
    assert rejected(wrong, stats.gumbel_r())


@pytest.mark.parametrize("dtype", (torch.float16, torch.bfloat16), ids=str)
def test_half_precision_gumbel_noise_has_its_upper_tail(dtype):
    """Noise made from a bfloat16 uniform, at most 1 - 2^-8, never exceeds -log(-log(1 - 2^-8)) = 5.54.

    Exact binomial tests. No number above the last threshold, where 61 are expected, comes once in 1e26.
    """
    n, thresholds = 10_000_000, (5.54, 9.0, 12.0)
    generator = seeded(5)
    chunks = (noise.gumbel(n // 10, generator=generator, dtype=dtype) for _ in range(10))
    counts = [
        sum(column)
        for column in zip(*([int((c > t).sum()) for t in thresholds] for c in chunks), strict=True)
    ]
    level = alarms.spend(2 * len(thresholds))
    for threshold, above in zip(thresholds, counts, strict=True):
        step = threshold * torch.finfo(dtype).eps  # rounding can carry a number across the threshold
        least, most = (-math.expm1(-math.exp(-t)) for t in (threshold + step, threshold - step))
        assert stats.binom.sf(above - 1, n, most) > level
        assert stats.binom.cdf(above, n, least) > level
        assert above > 0


@pytest.mark.parametrize("dtype", (torch.float16, torch.bfloat16), ids=str)
@pytest.mark.parametrize("sampler", (noise.gumbel, noise.logistic, noise.normal), ids=lambda f: f.__name__)
def test_half_precision_noise_is_float32_noise_rounded(sampler, dtype):
    half, single = (sampler((1000, 3), generator=seeded(6), dtype=d) for d in (dtype, torch.float32))
    assert torch.equal(half, single.to(dtype))


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_same_generator_state_same_sample(sampler, dtype):
    generator = seeded(7)
    state = generator.get_state()
    first, second = (sampler((4, 5), generator=generator, dtype=dtype) for _ in range(2))
    generator.set_state(state)
    again = sampler((4, 5), generator=generator, dtype=dtype)
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda f: f.__name__)
def test_without_a_generator_the_global_one_is_used(sampler):
    state = torch.get_rng_state()
    try:
        torch.manual_seed(11)
        from_global = sampler(5)
    finally:
        torch.set_rng_state(state)
    assert torch.equal(from_global, sampler(5, generator=seeded(11)))
    state = torch.get_rng_state()
    sampler(5, generator=seeded(0))
    assert torch.equal(torch.get_rng_state(), state), "an explicit generator must leave the global one alone"


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda f: f.__name__)
def test_shape_dtype_and_device(sampler):
    assert sampler(3).shape == (3,)
    assert sampler(()).shape == ()
    assert sampler([2, 0]).shape == (2, 0)
    assert sampler(torch.Size([2, 3])).dtype == torch.get_default_dtype()
    assert sampler(2, generator=seeded(), dtype=torch.float64).dtype == torch.float64
    assert sampler(2, device="cpu").device.type == "cpu"


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda f: f.__name__)
def test_noise_is_drawn_on_the_asked_device_or_else_on_the_generators(sampler, monkeypatch):
    assert sampler(3, device="meta").device.type == "meta"
    monkeypatch.setattr(torch, "Generator", SimpleNamespace)
    elsewhere, asked = SimpleNamespace(device=torch.device("meta")), []

    def recording(size, *, generator, device, dtype):
        asked.append((generator, device))
        return torch.zeros(size, dtype=dtype)

    monkeypatch.setattr(torch, "randn" if sampler is noise.normal else "rand", recording)
    sampler(3, generator=elsewhere)
    assert asked == [(elsewhere, elsewhere.device)]
    with pytest.raises(ValueError, match="generator must be on the device cpu, got one on meta"):
        sampler(3, generator=elsewhere, device="cpu")
    with pytest.raises(TypeError, match=r"^generator must be"):
        sampler(3, generator=7)


@pytest.mark.parametrize("dtype, step", [(torch.float32, 2**-24), (torch.float64, 2**-53)], ids=str)
def test_of_the_raw_uniforms_only_0_is_moved_by_half_a_step(monkeypatch, dtype, step):
    raw = torch.tensor([0.0, step, 2 * step, 0.5, 1 - step], dtype=dtype)
    monkeypatch.setattr(torch, "rand", lambda *_, **__: raw.clone())
    assert noise.uniform(5, dtype=dtype).tolist() == [step / 2, *raw[1:].tolist()]


@pytest.mark.parametrize("sampler", (noise.gumbel, noise.logistic), ids=lambda f: f.__name__)
def test_each_row_may_have_a_place_and_each_column_a_scale(sampler):
    loc, scale = torch.tensor([[1.0], [5.0]]), torch.tensor([1.0, 2.0, 3.0])
    plain = sampler((2, 3), generator=seeded(11))
    assert torch.equal(sampler((2, 3), loc, scale, generator=seeded(11)), loc + scale * plain)
    with pytest.raises(ValueError, match=r"loc must broadcast to shape \(2, 3\), got shape \(3, 1\)"):
        sampler((2, 3), torch.zeros(3, 1))


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda f: f.__name__)
def test_double_precision_noise_is_drawn_in_double_precision(sampler):
    draws = sampler(100, generator=seeded(10), dtype=torch.float64)
    assert int((draws.float().double() != draws).sum()) > 90  # nine digits more than float32 holds


@pytest.mark.parametrize("sampler", (noise.gumbel, noise.logistic), ids=lambda f: f.__name__)
@pytest.mark.parametrize("loc, scale", [(1.0, 1.0), (0.0, 2.0), (-3.0, 0.5)])
def test_location_and_scale_move_the_same_draws(sampler, loc, scale):
    moved, plain = sampler(9, loc, scale, generator=seeded(9)), sampler(9, generator=seeded(9))
    assert torch.equal(moved, loc + scale * plain)


def test_inverse_cdfs_invert_scipys_cdfs():
    u = torch.cat(
        [torch.logspace(-12, -1, 50, dtype=torch.float64), torch.linspace(0.1, 0.999999, 50).double()]
    )
    for inverse_cdf, oracle in (
        (noise.gumbel_from_uniform, stats.gumbel_r),
        (noise.logistic_from_uniform, stats.logistic),
    ):
        np.testing.assert_allclose(inverse_cdf(u).numpy(), oracle.ppf(u.numpy()), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(
            inverse_cdf(u, -2.0, 3.0).numpy(), oracle(-2, 3).ppf(u.numpy()), rtol=1e-12, atol=1e-12
        )


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("inverse_cdf", (noise.gumbel_from_uniform, noise.logistic_from_uniform))
def test_end_points_are_taken_as_the_nearest_numbers_inside(inverse_cdf, dtype):
    u = torch.tensor([0.0, 1.0], dtype=dtype, requires_grad=True)
    values = inverse_cdf(u)
    assert bool(values.isfinite().all())
    assert u.detach().tolist() == [0.0, 1.0]
    one, two = (
        torch.nextafter(torch.tensor(a, dtype=dtype), torch.tensor(0.5, dtype=dtype)) for a in (0.0, 1.0)
    )
    smallest = torch.tensor(torch.finfo(dtype).tiny, dtype=dtype)
    assert dtype == torch.float16 or values[0].item() == inverse_cdf(smallest).item()
    if dtype == torch.float16:  # here the subnormals are inside too
        assert values[0].item() == inverse_cdf(one).item()
        assert inverse_cdf(torch.tensor(3e-5, dtype=dtype)) < inverse_cdf(torch.tensor(6.2e-5, dtype=dtype))
    assert values[1].item() == inverse_cdf(two).item()


@pytest.mark.parametrize("sampler", (noise.gumbel, noise.logistic), ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    "arguments, name, value",
    [
        ({"shape": (2, -1)}, "shape", "-1"),
        ({"shape": 2, "dtype": torch.int64}, "dtype", "int64"),
        ({"shape": 2, "scale": 0.0}, "scale", "0.0"),
        ({"shape": 2, "scale": -1.5}, "scale", "-1.5"),
        ({"shape": 2, "scale": math.nan}, "scale", "nan"),
        ({"shape": 2, "scale": torch.tensor([1.0, -2.0])}, "scale", "-2.0"),
        ({"shape": 2, "loc": math.nan}, "loc", "nan"),
        ({"shape": 3, "loc": torch.zeros(2)}, "loc", r"\(2,\)"),
        ({"shape": 3, "loc": torch.zeros(2, 1)}, "loc", r"\(2, 1\)"),
        ({"shape": (1, 3), "scale": torch.ones(2, 1)}, "scale", r"\(2, 1\)"),
    ],
)
def test_bad_arguments_of_samplers(sampler, arguments, name, value):
    with pytest.raises(ValueError, match=f"{name}.*{value}"):
        sampler(**arguments)


@pytest.mark.parametrize("sampler", (noise.uniform, noise.normal), ids=lambda f: f.__name__)
def test_bad_arguments_of_samplers_without_parameters(sampler):
    with pytest.raises(ValueError, match=r"shape.*-3"):
        sampler(-3)
    with pytest.raises(ValueError, match=r"dtype.*int32"):
        sampler(3, dtype=torch.int32)


@pytest.mark.parametrize("inverse_cdf", (noise.gumbel_from_uniform, noise.logistic_from_uniform))
@pytest.mark.parametrize(
    "arguments, name, value",
    [
        ((torch.tensor([0.5, 1.5]),), "u", "1.5"),
        ((torch.tensor([0.5, 1.0005]),), "u", r"1\.000"),
        ((torch.tensor([0.5, 0.5]), 0.0, torch.ones(3)), "u", r"\(2,\) and scale \(3,\)"),
        ((torch.tensor([0.5, 0.5]), torch.zeros(3)), "u", r"\(2,\) and loc \(3,\)"),
        ((torch.tensor([-0.25]),), "u", "-0.25"),
        ((torch.tensor([math.nan]),), "u", "nan"),
        ((torch.tensor([1]),), "u", "int64"),
        ((torch.tensor([0.5]), 0.0, -1.0), "scale", "-1.0"),
        ((torch.tensor([0.5]), math.nan), "loc", "nan"),
        ((torch.full((2,), 0.5), torch.zeros(3)), "loc", r"\(3,\)"),
    ],
)
def test_bad_arguments_of_inverse_cdfs(inverse_cdf, arguments, name, value):
    with pytest.raises(ValueError, match=f"{name}.*{value}"):
        inverse_cdf(*arguments)
