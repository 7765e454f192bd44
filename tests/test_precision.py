"""In which precision the networks multiply: what is asked, where the machine has the instructions or not."""

from typing import Any

import pytest
import torch
from torch import nn

from catvae_lib import _precision
from catvae_lib._precision import apply, fitting, has_bfloat16, of_products

CPU, GPU = torch.device("cpu"), torch.device("cuda", 1)


@pytest.mark.parametrize(
    ("found", "has"),
    [
        ({"avx512_bf16": True}, True),
        ({"amx_bf16": True}, True),
        ({"avx512_bf16": True, "amx_bf16": True}, True),
        ({"avx512_bf16": False, "avx2": True}, False),
        ({}, False),
    ],
)
def test_a_cpu_has_bfloat16_if_one_of_two_sets_of_instructions_is_there(
    monkeypatch: pytest.MonkeyPatch, found: dict[str, bool], has: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found)
    assert has_bfloat16(CPU) is has
    assert has_bfloat16(torch.device("mps")) is False
    monkeypatch.delattr(torch.cpu, "get_capabilities")  # an older torch does not know
    assert has_bfloat16(CPU) is False


@pytest.mark.parametrize(
    ("capability", "has"), [((7, 5), False), ((8, 0), True), ((8, 9), True), ((9, 0), True)]
)
def test_a_gpu_has_bfloat16_from_ampere_on(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], has: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", {GPU: capability}.__getitem__)
    assert has_bfloat16(GPU) is has


@pytest.mark.parametrize("machine", [True, False])
def test_the_word_and_the_machine_decide(monkeypatch: pytest.MonkeyPatch, machine: bool) -> None:
    weight = torch.zeros(1)
    monkeypatch.setattr(_precision, "has_bfloat16", {weight.device: machine}.__getitem__)
    assert of_products("float32", weight) == torch.float32
    assert of_products("bfloat16", weight) == torch.bfloat16
    assert of_products("auto", weight) == (torch.bfloat16 if machine else torch.float32)
    for other in (torch.float64, torch.bfloat16):
        assert of_products("auto", weight.to(other)) == of_products("float32", weight.to(other)) == other
        with pytest.raises(ValueError, match=f"^precision 'bfloat16' needs a float32 model, got {other}"):
            of_products("bfloat16", weight.to(other))


def test_a_network_computes_in_its_own_precision_and_answers_in_that_of_its_argument() -> None:
    layer = nn.Linear(2, 1, bias=False, dtype=torch.bfloat16)
    nn.init.constant_(layer.weight, 1.0)
    found = apply(layer, "x", torch.tensor([1.0, 2**-12]))
    assert found.dtype == torch.float32 and found.tolist() == [1.0]  # 1 + 2^-12 has no bfloat16
    assert apply(nn.Identity(), "x", torch.tensor([1 + 2**-12])).tolist() == [1 + 2**-12]


def test_a_misfit_is_told_of_the_argument_and_a_lack_of_memory_as_it_is() -> None:
    def fail(error: Exception) -> Any:
        raise error

    with pytest.raises(
        ValueError, match=r"^z of shape \(3,\) and torch.float32 does not fit the network: deep"
    ):
        fitting("z", torch.zeros(3), lambda: fail(RuntimeError("deep")))
    with pytest.raises(torch.OutOfMemoryError, match=r"^full$"):
        fitting("z", torch.zeros(3), lambda: fail(torch.OutOfMemoryError("full")))
