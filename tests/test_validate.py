"""The checks at the door: what each lets pass, what it names if it does not, and when it may read values."""

import math
import sys

import pytest
import torch

from catvae_lib import _validate

INF, NAN = math.inf, math.nan


@pytest.mark.parametrize(
    "check, good",
    [
        (
            _validate.floating,
            (torch.zeros(2), torch.tensor([INF]), torch.zeros(0), torch.zeros(1).bfloat16()),
        ),
        (_validate.finite, (torch.zeros(2), torch.zeros(0), torch.tensor([1e38]))),
        (_validate.number, (1, 1.5, -INF, torch.zeros(2))),
        (_validate.positive, (1, 0.5, 1e-37, torch.tensor([1.0, 2.0]))),
        (_validate.inside_unit_interval, (torch.tensor([0.0, 0.5, 1.0]), torch.tensor([-1e-4, 1 + 1e-4]))),
        (
            _validate.category_logits,
            (torch.tensor([[INF, 0.0], [INF, -INF]]), torch.zeros(1), torch.zeros(0, 3)),
        ),
        (_validate.count, (1, 10)),
    ],
)
def test_good_values_pass(check, good):
    for value in good:
        assert check("argument", value) is None


@pytest.mark.parametrize(
    "check, bad, value",
    [
        (_validate.floating, torch.tensor([0.0, NAN]), "nan"),
        (_validate.floating, torch.tensor([1, 2]), "torch.int64"),
        (_validate.finite, torch.tensor([0.0, -INF]), "-inf"),
        (_validate.finite, torch.tensor([0.0, NAN]), "nan"),
        (_validate.number, NAN, "nan"),
        (_validate.number, torch.tensor(NAN), "nan"),
        (_validate.positive, 0, "0"),
        (_validate.positive, -0.5, "-0.5"),
        (_validate.positive, INF, "inf"),
        (_validate.positive, NAN, "nan"),
        (_validate.positive, torch.tensor([[1.0], [-2.0]]), "-2.0"),
        (_validate.positive, torch.tensor([1.0, INF]), "inf"),
        (_validate.inside_unit_interval, torch.tensor([0.5, 1.25]), "1.25"),
        (_validate.inside_unit_interval, torch.tensor([[-0.25]], requires_grad=True), "-0.25"),
        (_validate.inside_unit_interval, torch.tensor([NAN]), "nan"),
        (_validate.category_logits, torch.tensor([[0.0, 1.0], [INF, INF]]), "inf"),
        (_validate.category_logits, torch.tensor([[0.0, 1.0], [-INF, -INF]]), "-inf"),
        (_validate.category_logits, torch.tensor(0.0), r"\(\)"),
        (_validate.category_logits, torch.zeros(3, 0), r"\(3, 0\)"),
        (_validate.category_logits, torch.tensor([NAN]), "nan"),
        (_validate.count, 0, "0"),
        (_validate.count, -4, "-4"),
    ],
)
def test_bad_values_are_named_with_their_value(check, bad, value):
    with pytest.raises(ValueError, match=f"^argument .*{value}"):
        check("argument", bad)


@pytest.mark.parametrize(
    "check, bad, found",
    [
        (_validate.floating, [0.0], "list"),
        (_validate.number, "1", "str"),
        (_validate.positive, True, "bool"),
        (_validate.count, 1.0, "float"),
        (_validate.count, True, "bool"),
    ],
)
def test_wrong_types_are_a_type_error(check, bad, found):
    with pytest.raises(TypeError, match=f"^argument .*{found}"):
        check("argument", bad)


def test_words_and_shapes():
    _validate.one_of("argument", "a", ("a", "b"))
    with pytest.raises(ValueError, match="argument must be one of 'a', 'b', got 'c'"):
        _validate.one_of("argument", "c", ("a", "b"))
    _validate.broadcastable(x=torch.zeros(3, 1), y=torch.zeros(4), z=2.0)
    with pytest.raises(ValueError, match=r"x \(3,\) and y \(4,\)"):
        _validate.broadcastable(x=torch.zeros(3), y=torch.zeros(4), z=2.0)
    assert _validate.categories(x=torch.zeros(2, 1, 3), y=torch.zeros(4, 3)) == 3
    with pytest.raises(ValueError, match=r"K must agree.*'x': 3.*'y': 1"):  # K = 1 must not broadcast
        _validate.categories(x=torch.zeros(3), y=torch.zeros(1))
    with pytest.raises(ValueError, match=r"y must have shape.*\(2, 0\)"):
        _validate.categories(x=torch.zeros(3), y=torch.zeros(2, 0))
    with pytest.raises(ValueError, match=r"x \(2, 3\) and y \(4, 3\)"):
        _validate.categories(x=torch.zeros(2, 3), y=torch.zeros(4, 3))


def test_count_takes_its_minimum():
    _validate.count("argument", 0, minimum=0)
    with pytest.raises(ValueError, match="argument must be at least 2, got 1"):
        _validate.count("argument", 1, minimum=2)


TINY, HUGE = torch.finfo(torch.float32).tiny, torch.finfo(torch.float32).max


@pytest.mark.parametrize(
    "check, last, beyond, words",
    [
        (_validate.number, int(sys.float_info.max), 2**1024, "must fit a float, got an int of 1025 bits"),
        (_validate.number, -int(sys.float_info.max), -(2**1024), "must fit a float, got an int of 1025 bits"),
        (_validate.finite_number, HUGE, 3.5e38, r"must be finite in float32's range, got 3\.5e\+38"),
        (_validate.finite_number, torch.ones(1), torch.tensor([INF]), "must be finite, got inf"),
        (_validate.positive, TINY, 0, "must be positive and finite, got 0"),
        (_validate.positive, TINY, TINY / 2, "must lie in float32's range, 1.2e-38 to 3.4e.38, got 5.8"),
        (_validate.positive, HUGE, 1e39, r"must lie in float32's range, .*, got 1e\+39"),
        (_validate.positive, HUGE, INF, "must be positive and finite, got inf"),
        (
            _validate.positive,
            torch.tensor([1e-45]),
            torch.tensor([0.0]),
            "must be positive and finite, got 0.0",
        ),
        (_validate.count, 10**9, 10**9 + 1, "must be at most 1000000000, got 1000000001"),
        (_validate.count, 1, 2**64 - 1, "must be at most 1000000000, got 18446744073709551615"),
        (_validate.count, 1, 2**64, "must be at most 1000000000, got an int of 65 bits"),
        (
            _validate.seed,
            2**63 - 2,
            2**63 - 1,
            "must be at most 9223372036854775806, got 9223372036854775807",
        ),
        (_validate.seed, 0, -1, "must be at least 0, got -1"),
        (_validate.size, (2**34, 1), (2**34 + 1,), "must be at most 17179869184, got 17179869185"),
        (
            _validate.size,
            (2**17, 2**17),
            (2**17, 2**17 + 1),
            r"must have at most 2\^34 entries, got \(131072, 1",
        ),
        (_validate.size, (0, 2**34), (2, -1), "must be at least 0, got -1"),
        (_validate.probability, 0.0, -1e-9, r"must lie in \[0, 1\], got -1e-09"),
        (_validate.probability, 1.0, 1 + 1e-9, r"must lie in \[0, 1\], got 1\.000000001"),
        (_validate.device, "cpu", "abacus", "must be a device such as 'cpu' or 'cuda:0', got 'abacus'"),
    ],
)
def test_the_last_value_that_passes_and_the_first_that_does_not(check, last, beyond, words):
    check("argument", last)
    with pytest.raises(ValueError, match=f"^argument {words}"):
        check("argument", beyond)


def test_a_number_with_more_digits_than_python_prints_is_told_by_its_bits():
    for bad, words in ((10**5000, "at most 1000000000"), (-(10**5000), "at least 1")):
        with pytest.raises(ValueError, match=f"^argument must be {words}, got an int of 16610 bits"):
            _validate.count("argument", bad)


def test_parameters_fit_a_shape_from_its_end():
    _validate.fits((4, 3), argument=torch.zeros(4, 1), other=torch.zeros(3), number=1.0)
    for bad in ((2,), (2, 3), (1, 4, 3), (4, 2)):
        with pytest.raises(ValueError, match=r"^argument must broadcast to shape \(4, 3\), got shape"):
            _validate.fits((4, 3), argument=torch.zeros(bad))


def test_a_device_is_returned_and_none_is_none():
    assert _validate.device("argument", None) is None
    assert _validate.device("argument", "cpu") == _validate.device("argument", torch.device("cpu"))


@pytest.mark.parametrize(
    "check, bad, words",
    [
        (_validate.device, 7, "must be a device or a str or a NoneType, got int"),
        (_validate.generator, 7, "must be a Generator or a NoneType, got int"),
        (_validate.path, 7, "must be a str or a PathLike, got int"),
        (_validate.size, "34", "must be a sequence of ints, got str"),
        (_validate.size, 34, "must be a sequence of ints, got int"),
    ],
)
def test_what_is_wanted_instead_of_a_wrong_type(check, bad, words):
    with pytest.raises(TypeError, match=f"^argument {words}$"):
        check("argument", bad)


@pytest.mark.parametrize("dtype", (torch.float64, torch.float32, torch.bfloat16), ids=str)
def test_sums_to_one(dtype):
    _validate.sums_to_one("argument", torch.log_softmax(torch.linspace(-3, 3, 100).to(dtype), -1).exp())
    with pytest.raises(ValueError, match=r"argument must sum to 1 .*got 1.5"):
        _validate.sums_to_one(
            "argument", torch.tensor([[0.5, 0.5], [1.0, 0.5]], dtype=dtype, requires_grad=True)
        )


def test_trusted_skips_value_checks_only_inside_and_restores_them_after_an_error():
    bad = torch.tensor([NAN])
    assert _validate.values_can_be_read()
    with _validate.trusted():
        with _validate.trusted():
            _validate.finite("argument", bad)
        _validate.finite("argument", bad)  # still inside the outer one
        for check, value in (
            (_validate.positive, bad),
            (_validate.category_logits, bad),
            (_validate.inside_unit_interval, bad),
            (_validate.sums_to_one, bad),
        ):
            check("argument", value)
        with pytest.raises(ValueError, match="argument"):
            _validate.positive("argument", -1.0)  # plain numbers cost nothing: always checked
        with pytest.raises(ValueError, match="argument"):
            _validate.floating("argument", torch.tensor([1]))
    with pytest.raises(RuntimeError, match="inside"), _validate.trusted():
        raise RuntimeError("inside")
    assert _validate.values_can_be_read()
    with pytest.raises(ValueError, match=r"argument.*nan"):
        _validate.finite("argument", bad)


def test_values_are_not_read_under_vmap_grad_and_compile():
    seen = []

    def function(x):
        seen.append(_validate.values_can_be_read())
        _validate.finite("argument", x)
        _validate.positive("argument", x)
        _validate.category_logits("argument", x)
        _validate.inside_unit_interval("argument", x)
        return x.sum()

    x = torch.tensor([[0.5, NAN]])
    torch.func.vmap(function)(x)
    torch.func.grad(function)(x)
    assert seen == [False, False]

    def compiled(x):
        _validate.finite("argument", x)
        _validate.category_logits("argument", x)
        return x.sum() + float(_validate.values_can_be_read())

    assert math.isnan(torch.compile(compiled, fullgraph=True, backend="aot_eager")(x))
    assert torch.compile(compiled, fullgraph=True, backend="aot_eager")(torch.zeros(1, 2)) == 0
