"""The checks at the door: what each lets pass, what it names if it does not, and when it may read values."""

import math

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
            (torch.tensor([[INF, 0.0], [-INF, 0.0]]), torch.zeros(1), torch.zeros(0, 3)),
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
