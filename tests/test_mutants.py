"""What tools/mutants.py stored: of each module nine mutants in ten are noticed, the others are explained."""

import json

import pytest

from book import ROOT

RESULTS = json.loads((ROOT / "tests" / "mutation" / "results.json").read_text(encoding="utf-8"))
LIBRARY = ROOT / "catvae_lib"
MATHEMATICS_AND_MODEL = {
    *("_limits", "_validate", "noise", "sampling", "density", "distributions"),
    *("_objective", "_precision", "latent", "network", "vae", "chain"),
    *(f"estimators/{path.stem}" for path in (LIBRARY / "estimators").glob("*.py") if path.stem != "__init__"),
}


def test_every_module_of_the_mathematics_and_the_model_was_put_to_it() -> None:
    assert set(RESULTS) == MATHEMATICS_AND_MODEL


@pytest.mark.parametrize("module", RESULTS)
def test_nine_mutants_in_ten_are_noticed_and_the_others_explained(module: str) -> None:
    found = RESULTS[module]
    assert found["killed"] + found["timeout"] + found["survived"] == found["tried"] > 0
    assert found["tried"] == found["mutants"] or len(found["caught"]) == 3  # of a sample, with its interval
    assert len(found["survivors"]) == found["survived"] <= 0.1 * found["tried"]
    for one in found["survivors"]:
        assert len(one["why"]) > 10, one
