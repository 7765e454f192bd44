"""The tables as data, and what each cell is told to do."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import alarms
import pytest
import torch
from scipy import stats
from torch import nn

from book import ROOT
from catvae_lib import data, network
from catvae_lib._step import running_means
from catvae_lib.chain import Chain
from catvae_lib.estimators import CATALOGUE, NVIL, Layerwise, exact, straight_through, vimco
from catvae_lib.latent import BernoulliLatent
from catvae_lib.papers import author, semi_supervised, train
from catvae_lib.papers.cells import BUDGETS, CHANGES, TABLES, Cell, Run, cells, find
from catvae_lib.papers.models import ROWS, ablated, build
from catvae_lib.papers.published import JANG, MADDISON, SEMI_SUPERVISED, reported
from catvae_lib.papers.results import complete, summary
from catvae_lib.papers.scores import FULL, MORE, QUICK, STRUCTURED, Level, bounds
from catvae_lib.papers.sweep import path_of
from catvae_lib.papers.train import configuration, estimator, stackable
from catvae_lib.training import TrainConfig, fit
from catvae_lib.vae import VAE

IMAGES = data.load().train.images[:2000]


def test_the_published_numbers_are_as_printed() -> None:
    # Sums over what Jang et al. and Maddison et al. print, added up apart from this file.
    assert [round(sum(JANG[row].values()), 1) for row in JANG] == [426.0, 445.6, 776.8, 774.4]
    assert round(sum(map(sum, (v for row in MADDISON.values() for v in row.values()))), 1) == 3734.8
    assert reported("200H~784V", "vimco", 50) == 89.3
    assert reported("VAE (Cat.)", "gumbel_softmax", 1) == 101.5
    assert reported("80 8-ary~784V", "concrete", 5) == 90.5
    assert reported("80 8-ary~784V", "vimco", 5) is None
    assert SEMI_SUPERVISED["marginalization"] == (106.8, 92.6)


@pytest.mark.parametrize("budget", BUDGETS)
def test_every_cell_has_a_model_and_a_file_of_its_own(budget: str) -> None:
    every = cells(budget)
    runs = [Run(cell, rate, seed).name for cell in every for rate in cell.rates for seed in range(cell.seeds)]
    assert len(set(runs)) == len(runs)
    assert all(re.fullmatch(rf"{budget}/[\w-]+/[\w.~-]+", name) for name in runs)
    assert {cell.table for cell in every} == set(TABLES)
    added = {"VAE~ (Bern.)", "VAE~ (Cat.)"} if budget == "quick" else set()  # only in the long budget
    assert {cell.row for cell in every if cell.table not in ("jang-2", "author")} == set(ROWS) - added
    assert {cell.change for cell in every} == set(CHANGES)


def test_the_quick_budget_keeps_its_promises() -> None:
    one_layer = [cell for cell in cells() if cell.row.startswith("VAE") or cell.row.count("H") == 1]
    one_layer = [cell for cell in one_layer if cell.table in ("jang-1", "maddison-1") and cell.samples < 50]
    assert len(one_layer) == 27
    assert all(cell.epochs >= 20 and cell.seeds >= 3 for cell in one_layer)


def test_the_full_budget_is_at_most_a_tenth_of_the_papers_steps() -> None:
    steps = [cell.steps for cell in cells("full") if cell.table in ("maddison-1", "structured", "n-ary")]
    assert max(steps) <= 10**6 and min(steps) > 9 * 10**5


def test_what_is_not_in_a_table_is_told() -> None:
    with pytest.raises(ValueError, match="budget must be one of"):
        cells("huge")
    with pytest.raises(ValueError, match="table must be one of"):
        cells("quick", "jang")
    with pytest.raises(ValueError, match=r"has no cell .*it has .*'gumbel_softmax', 1"):
        find("jang-1", "VAE (Bern.)", "darn")


# Models


def weights_of(vae: VAE) -> int:
    return sum(weight.numel() for weight in vae.parameters())


@pytest.mark.parametrize(
    ("row", "count"),
    [  # layers a -> b of a b + b weights, counted from the rows' names
        ("VAE (Bern.)", 785 * 200 + 201 * 784),
        ("VAE (Cat.)", 785 * 200 + 201 * 784),
        ("SBN (Bern.)", 393 * 200 + 201 * 200 + 201 * 392),
        ("SBN (Cat.)", 393 * 200 + 201 * 200 + 201 * 392),
        ("200H-200H-784V", 785 * 200 + 201 * 784 + 2 * 201 * 200),
        ("200H~784V", 785 * 200 + 4 * 201 * 200 + 201 * 784),
        ("200H~200H~784V", 785 * 200 + 10 * 201 * 200 + 201 * 784),
        ("392V-240H-240H-240H-392V", 393 * 240 + 2 * 241 * 240 + 241 * 392),
        ("120 4-ary~784V", 785 * 240 + 241 * 240 + 241 * 480 + 2 * 241 * 240 + 241 * 784),
        ("80 8-ary~784V", 785 * 240 + 241 * 240 + 241 * 640 + 2 * 241 * 240 + 241 * 784),
    ],
)
def test_a_model_has_the_weights_its_name_says(row: str, count: int) -> None:
    assert weights_of(build(ROWS[row], IMAGES, 0)) == count


@pytest.mark.parametrize("row", list(ROWS))
def test_a_model_starts_at_the_average_image(row: str) -> None:
    vae = build(ROWS[row], IMAGES, 0)
    last = [layer for layer in vae.decoder if isinstance(layer, nn.Linear)][-1]
    predicted = IMAGES[:, 392:] if ROWS[row].structured else IMAGES
    torch.testing.assert_close(torch.sigmoid(last.bias.data), (predicted.sum(0) + 1) / 2002)


@pytest.mark.parametrize("row", [row for row, model in ROWS.items() if model.structured])
def test_structured_models_do_not_look_at_what_they_predict(row: str) -> None:
    vae, x = build(ROWS[row], IMAGES, 0), IMAGES[:3].clone()
    own = vae.encode(x)
    x[:, 392:] = 1 - x[:, 392:]
    assert torch.equal(vae.encode(x), own)
    x[:, :392] = 1 - x[:, :392]
    assert not torch.equal(vae.encode(x), own)


@pytest.mark.parametrize("row", ["200H-200H-784V", "392V-240H-240H-240H-392V", "SBN (Cat.)"])
def test_the_decoder_stands_on_the_layer_next_to_what_it_predicts(row: str) -> None:
    vae = build(ROWS[row], IMAGES, 0)
    noise = vae.noise(IMAGES[:2], generator=torch.Generator().manual_seed(0))
    z = vae.latent.hard(vae.encode(IMAGES[:2]), noise).requires_grad_()
    (slope,) = torch.autograd.grad(vae.decode(z).sum(), z)
    assert isinstance(vae.latent, Chain)
    seen = [bool(part.abs().sum() > 0) for part in vae.latent.split("z", slope)]
    last = len(seen) - 1
    assert seen == [number == (last if ROWS[row].structured else 0) for number in range(len(seen))]


def test_only_where_codes_are_seen_is_there_a_running_mean() -> None:
    def running(row: str, change: str = "none") -> int:
        return len(running_means(build(ablated(ROWS[row], change), IMAGES, 0)))

    assert [running(row) for row in ("200H~784V", "200H-200H-784V", "392V-240H-240H-240H-392V")] == [0, 1, 2]
    assert running("200H-200H-784V", "inputs not centred") == 0


def test_each_change_changes_one_thing() -> None:
    base = ROWS["200H~784V"]
    built = {change: build(ablated(base, change), IMAGES, 0) for change in CHANGES}
    x, noise = IMAGES[:5], built["none"].noise(IMAGES[:5], generator=torch.Generator().manual_seed(0))
    loss = {change: vae.loss(x, noise).total.sum().item() for change, vae in built.items()}
    architecture = CHANGES[1:8]
    assert all(loss[change] != loss["none"] for change in architecture if change != "output biases 0")
    assert loss["output biases 0"] > loss["none"] + 100
    assert all(loss[change] == loss["none"] for change in CHANGES[8:])
    told = {change: configuration(Run(find_change(change), 1e-3, 0)) for change in CHANGES}
    differ = {change for change in CHANGES if told[change] != told["none"]}
    assert differ == {
        "constant learning rate",
        "a quarter of the steps",
        "four times the steps",
        "analytic KL",
        "annealed temperature",
        "temperature 0.1",
    }


def find_change(change: str) -> Cell:
    (cell,) = [cell for cell in cells("quick", "protocol") if cell.change == change]
    return cell


# What a run is told


@pytest.mark.parametrize("column", [entry for entry in JANG["VAE (Bern.)"] if entry != "darn"])
def test_every_published_column_has_its_cells(column: str) -> None:
    assert {cell.row for cell in cells("quick", "jang-1") if cell.estimator == column} == set(JANG)


def told(table: str, row: str, column: str, samples: int = 1) -> tuple[TrainConfig, object]:
    run = Run(find(table, row, column, samples), 1e-3, 4)
    return configuration(run), estimator(run.cell)


def test_the_objectives_are_the_papers() -> None:
    config, made = told("maddison-1", "200H~784V", "concrete", 5)
    assert (config.kl, config.prior_temperature, config.multi_sample, config.num_samples) == (
        "concrete",
        0.5,
        True,
        5,
    )
    assert made is None and config.numbers(7, 10)[0] == pytest.approx(2 / 3)
    config, made = told("n-ary", "80 8-ary~784V", "concrete")
    assert (config.prior_temperature, config.numbers(0, 10)[0]) == (0.4, pytest.approx(2 / 3))
    assert not config.multi_sample
    config, made = told("maddison-1", "200H-200H-784V", "vimco", 50)
    assert (config.kl, config.num_samples, made) == ("sampled", 50, vimco)
    config, made = told("maddison-1", "200H~784V", "vimco", 1)
    assert config.kl == "sampled" and isinstance(made, NVIL)
    config, made = told("jang-1", "VAE (Cat.)", "gumbel_softmax")
    assert (config.kl, config.sample, made, config.seed) == ("analytic", "relaxed", None, 4)
    steps = find("jang-1", "VAE (Cat.)", "gumbel_softmax").steps
    assert [config.numbers(step, steps)[0] for step in (0, steps)] == pytest.approx([1.0, 0.5])
    config, made = told("jang-1", "VAE (Bern.)", "annealed_straight_through")
    assert made is straight_through and config.numbers(steps, steps)[0] == pytest.approx(0.5)
    config, made = told("jang-1", "SBN (Cat.)", "straight_through_gumbel_softmax")
    assert (config.sample, made, config.numbers(9, 10)[0]) == ("straight_through", None, 1.0)
    config, made = told("jang-1", "SBN (Bern.)", "disarm")
    assert isinstance(made, Layerwise) and made.estimators == (CATALOGUE["disarm"].make(BernoulliLatent(1)),)


@pytest.mark.parametrize("table", ["jang-1", "maddison-1", "structured", "n-ary", "protocol"])
def test_every_cell_takes_two_steps(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, digits = set(), data.load()
    small = replace(digits, train=digits.train.first(8), validation=digits.validation.first(2))
    monkeypatch.setattr(train, "_digits", lambda cell: small)
    for cell in cells("quick", table):
        key = (cell.row, cell.estimator, min(cell.samples, 2))
        if key in seen or cell.change != "none":
            continue
        seen.add(key)
        run = Run(replace(cell, samples=min(cell.samples, 2), epochs=1, batch_size=4), 1e-3, 0)
        config = replace(configuration(run), compile=False, track_images=2, track_samples=2)
        vae = train.model(cell, 0)
        before = torch.cat([weight.detach().flatten() for weight in vae.parameters()]).clone()
        history = fit(vae, small, config, estimator=estimator(run.cell))
        after = torch.cat([weight.detach().flatten() for weight in vae.parameters()])
        assert history.epochs[-1].step == 2 and (after != before).float().mean() > 0.2


def test_runs_of_a_cell_in_one_launch_are_those_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    # The noise differs (one generator for all), the order of the images does not: after 25 steps two such
    # runs agree within a nat, two with other learning rates do not.
    cell = Cell("jang-1", "VAE (Bern.)", "reinmax", epochs=1, batch_size=2000, rates=(1e-3, 1e-2))
    assert stackable(cell) and not stackable(replace(cell, estimator="score_function"))
    monkeypatch.setattr(train.shutil, "which", lambda name: None)  # no compiler
    monkeypatch.setattr(train, "QUICK", (Level(1, 100), Level(10, 20)))
    stacked = train.train(Run(cell, 1e-3, 0), Run(cell, 1e-2, 0))
    alone = [train.train(Run(cell, rate, 0))[0] for rate in cell.rates]
    assert [one["learning_rate"] for one in stacked] == [1e-3, 1e-2]
    for one, other in zip(stacked, alone, strict=True):
        assert one["validation"] == pytest.approx(other["validation"], abs=1.0)
        assert one["steps"] == other["steps"] == 25
    assert abs(alone[0]["validation"] - alone[1]["validation"]) > 10
    with pytest.raises(ValueError, match="runs must be of one cell"):
        train.train(Run(cell, 1e-3, 0), Run(replace(cell, epochs=2), 1e-3, 0))


# Scores


def test_differences_of_bounds_add_up_to_the_bound() -> None:
    vae, x = build(ROWS["VAE (Bern.)"], IMAGES, 0), IMAGES[:800]
    found = bounds(vae, x, (Level(1, 800), Level(10, 400), Level(100, 200)))
    direct = vae.bound(x, 100, generator=torch.Generator().manual_seed(5))
    # Student's limit for means of 200 differences and more, about 2.5 nats; the codes' own noise is below 0.1
    # nats. The single-sample bound is 10 nats off.
    errors = stats.t.isf(alarms.spend() / 2, 199)
    assert abs(found["bound"] - direct.mean().item()) < errors * (found["standard_error"] + 0.1)
    assert [level["samples"] for level in found["levels"]] == [1, 10, 100]
    assert found["levels"][0]["standard_error"] == 0 < found["standard_error"] < 2
    rising = [level["bound"] for level in found["levels"]]
    assert rising == sorted(rising)


def test_all_images_at_every_level_leave_only_the_codes_error() -> None:
    vae, x = build(ROWS["VAE (Bern.)"], IMAGES, 0), IMAGES[:50]
    found = bounds(vae, x, (Level(1, 50), Level(20, 50)))
    assert found["standard_error"] == 0
    generator = torch.Generator().manual_seed(0)
    vae.bound(x, 1, generator=generator, precision="auto")
    last = vae.bound(x, 20, generator=generator, precision="auto").mean().item()
    assert found["bound"] == pytest.approx(last, abs=1e-4)


@pytest.mark.parametrize("levels", [(), (Level(10, 5), Level(1, 5)), (Level(1, 5), Level(1, 5))])
def test_levels_must_rise(levels: tuple[Level, ...]) -> None:
    with pytest.raises(ValueError, match="levels must be given and rise"):
        bounds(build(ROWS["VAE (Bern.)"], IMAGES, 0), IMAGES[:5], levels)


@pytest.mark.parametrize("levels", [QUICK, FULL, STRUCTURED, (*QUICK, MORE), (*FULL, MORE)])
def test_every_level_s_images_are_among_those_of_the_level_before(levels: tuple[Level, ...]) -> None:
    vae = VAE(network.linear(4, 2), BernoulliLatent(2), network.linear(2, 4))
    few = tuple(replace(level, samples=number + 1) for number, level in enumerate(levels))
    found = bounds(vae, torch.ones(10_000, 4), few)
    assert math.isfinite(found["bound"]) and math.isfinite(found["standard_error"])
    with pytest.raises(ValueError, match=r"levels must each have a divisor .*\[10000, 300\]"):
        bounds(vae, torch.ones(10_000, 4), (few[0], Level(2, 300)))


# The semi-supervised model


def test_marginalization_is_the_sum_over_the_classes() -> None:
    torch.manual_seed(0)
    model, x = semi_supervised.SemiSupervised(), IMAGES[:3]
    noise = torch.randn(3, semi_supervised.STYLE)
    found = model.loss(x, noise, exact, torch.zeros(1, 3, 1, 10), 1.0)
    q = model.class_logits(x).softmax(-1)
    total = torch.zeros(3)
    for digit in range(10):
        y = torch.full((3,), digit)
        without = model.labelled_loss(x, y, noise) - semi_supervised.WEIGHT * -q[:, digit].log()
        total += q[:, digit] * (without + q[:, digit].log())  # -ln p(x, y) - H(q)
    torch.testing.assert_close(found, total, rtol=1e-5, atol=1e-3)


def test_a_hundred_labels_are_ten_of_each_class() -> None:
    split = data.load().train
    x, y = semi_supervised.chosen(split, torch.Generator().manual_seed(1))
    assert x.shape == (100, 784) and torch.equal(torch.bincount(y), torch.full((10,), 10))
    other, _ = semi_supervised.chosen(split, torch.Generator().manual_seed(2))
    assert not torch.equal(x, other)


def test_the_author_s_network_is_his(monkeypatch: pytest.MonkeyPatch) -> None:
    assert author.HIDDEN == [1152, 1152]
    squares = data.load("squares")
    few = replace(squares, train=squares.train.first(64))
    monkeypatch.setattr(author.data, "load", lambda name: few)
    monkeypatch.setattr(author, "SAMPLES", 10)
    found = author.train(Run(Cell("author", "2 bits", "gumbel_softmax", epochs=1, batch_size=16), 1e-3, 0))
    assert found["steps"] == 4 and len(found["prior_samples"]) == author.PICTURES
    assert all(re.fullmatch("[0-9a-f]{576}", picture) for picture in found["prior_samples"])


# Results


def stored(
    folder: Path, cell: Cell, seed: int, bound: float, validation: float = -1.0, rate: float = 1e-3
) -> None:
    path = path_of(Run(cell, rate, seed), folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    levels = [{"samples": 1, "bound": bound - 20.0}, {"samples": 1000, "bound": bound}]
    test = {"bound": bound, "standard_error": 0.25, "levels": levels}
    protocol = {"epochs": cell.epochs, "batch_size": cell.batch_size}
    path.write_text(json.dumps({"validation": validation, "test": test, **protocol}))


def test_a_summary_is_the_mean_over_seeds_with_student_s_interval(tmp_path: Path) -> None:
    cell = Cell("jang-1", "VAE (Bern.)", "gumbel_softmax", rates=(1e-3, 3e-3), seeds=3)
    stored(tmp_path, cell, 0, -90.0, validation=-2.0, rate=3e-3)  # better on test, worse on validation
    for seed, bound in enumerate((-100.0, -101.0, -105.0)):
        stored(tmp_path, cell, seed, bound)
    found = summary(cell, tmp_path)
    # scipy.stats.ttest_1samp([100, 101, 105], 0).confidence_interval(): 95.427, 108.573
    assert (found.nll, found.rate, found.error) == (102.0, 1e-3, 0.25)
    assert found.half == pytest.approx(6.5725, abs=1e-3)
    assert str(found) == "102.0 ±6.6" and found.at(1) == 122.0
    with pytest.raises(ValueError, match=r"samples must be one of \[1, 1000\], got 7"):
        found.at(7)
    single = replace(cell, seeds=1)
    assert (summary(single, tmp_path).half, str(summary(single, tmp_path))) == (None, "100.0")


def test_a_summary_of_what_was_not_trained_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="VAE-Bern"):
        summary(Cell("jang-1", "VAE (Bern.)", "gumbel_softmax"), tmp_path)


def test_the_stored_results_are_those_of_the_cells_and_no_others() -> None:
    folder = ROOT / "figures" / "results" / "papers"
    held = {path.relative_to(folder).as_posix().removesuffix(".json") for path in folder.rglob("*.json")}
    for budget in BUDGETS:
        found = complete(budget, folder)
        wanted = {Run(cell, rate, 0).name for cell in found for rate in cell.rates}
        for cell, one in found.items():
            assert math.isfinite(one.nll) and all(run["date"] and run["torch"] for run in one.runs)
            assert all(run["steps"] == cell.steps for run in one.runs), cell
            wanted |= {Run(cell, one.rate, seed).name for seed in range(cell.seeds)}
        assert {name for name in held if name.startswith(f"{budget}/")} == wanted
        assert budget != "quick" or list(found) == cells("quick")


def test_what_a_class_costs_is_the_elbo_by_torch_s_distributions() -> None:
    torch.manual_seed(0)
    model, x, y = semi_supervised.SemiSupervised(), IMAGES[:3], torch.tensor([1, 0, 7])
    noise, known = torch.randn(3, semi_supervised.STYLE), torch.eye(10)[y]
    mean, log_std = model.of_style(torch.cat([model.trunk(x), known], -1)).chunk(2, -1)
    q, p = torch.distributions.Normal(mean, log_std.exp()), torch.distributions.Normal(0.0, 1.0)
    logits = model.decoder(torch.cat([mean + log_std.exp() * noise, known], -1))
    log_p = torch.distributions.Bernoulli(logits=logits).log_prob(x).sum(-1)
    expected = torch.distributions.kl_divergence(q, p).sum(-1) - log_p
    found = model.given_class(x, model.trunk(x), noise, known[None, :, None])[0]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-3)


def test_the_hundred_labels_are_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    digits = data.load()
    few = replace(digits, train=digits.train.first(1000), validation=digits.validation.first(1000))
    monkeypatch.setattr(semi_supervised.data, "load", lambda: replace(few, test=digits.test.first(1000)))
    monkeypatch.setattr(Cell, "steps", 40)
    (found,) = train.train(Run(Cell("jang-2", "100 labels", "gumbel_softmax", batch_size=50), 3e-3, 0))
    assert found["accuracy"] > 40  # per cent; 10 by chance
    assert -400 < found["test"]["bound"] < -100
