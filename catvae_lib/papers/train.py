"""One run of a cell: its model, its configuration, its training and its numbers."""

import os
import platform
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

import torch

from catvae_lib import data, network
from catvae_lib._loop import is_pure
from catvae_lib.estimators import CATALOGUE, NVIL, Estimator, Layerwise, rebar
from catvae_lib.latent import CategoricalLatent, Latent
from catvae_lib.papers import author, semi_supervised
from catvae_lib.papers.cells import Cell, Run
from catvae_lib.papers.models import ROWS, ablated, build, device
from catvae_lib.papers.scores import FULL, MORE, QUICK, STRUCTURED, Level, bounds
from catvae_lib.schedules import LearningRateSchedule, TemperatureSchedule
from catvae_lib.training import History, TrainConfig, fit, fit_many
from catvae_lib.vae import VAE

TEMPERATURES = {2: (1 / 2, 2 / 3), 4: (2 / 3, 1.0), 8: (2 / 5, 2 / 3)}  # K: prior's, posterior's (Maddison)
ANNEALED = (1.0, 0.5)  # from and to, over the run (Jang)


def train(*runs: Run) -> list[dict[str, Any]]:
    """Train and evaluate runs of one cell; return everything that is stored of each.

    Several runs, see `stackable`, are trained in one launch.

    A run whose loss became NaN or infinite says so in "failure".

    Raises:
        ValueError: If no run is given, or several that cannot be trained together.
    """
    if not runs:
        raise ValueError("runs must hold one at least, got none")
    before, cell = time.process_time(), runs[0].cell
    if len(runs) > 1 and (any(run.cell != cell for run in runs) or not stackable(cell)):
        raise ValueError(f"runs must be of one cell whose step is a pure function, got {runs}")
    found = [_OTHERS[cell.table](runs[0])] if cell.table in _OTHERS else _train_vaes(runs)
    seconds = round((time.process_time() - before) / len(runs), 1)
    told = zip(runs, found, strict=True)
    return [{**_told(run), **one, "cpu_seconds": seconds, **_provenance()} for run, one in told]


def stackable(cell: Cell) -> bool:
    """Whether runs of a cell can be trained in one launch: no running means, no estimator that learns."""
    if cell.table in _OTHERS or len(ROWS[cell.row].layers) > 1:
        return False
    made = estimator(cell)
    return made is None or is_pure(made)


def model(cell: Cell, seed: int) -> VAE:
    """Make the untrained model of a cell of the two large tables."""
    return build(ablated(ROWS[cell.row], cell.change), _digits(cell).train.images, seed)


def configuration(run: Run) -> TrainConfig:
    """Return what `fit` is told of a run: the table's protocol, scaled to the cell's epochs."""
    cell, layer = run.cell, ROWS[run.cell.row].layers[0]
    common = TrainConfig(
        epochs=cell.epochs,
        batch_size=cell.batch_size,
        learning_rate=_rate(run),
        seed=run.seed,
        num_samples=_draws(cell),
        compile=_compiled(cell),
        track_samples=20 if cell.budget == "quick" else 100,
    )
    return replace(common, **_objective(cell, layer), temperature=_temperature(cell, layer))


def estimator(cell: Cell) -> Estimator | None:
    """Make the estimator of a cell, None where `TrainConfig.sample` names it."""
    layers = ROWS[cell.row].layers
    name = {"annealed_straight_through": "straight_through", "concrete": "gumbel_softmax"}.get(
        cell.estimator, cell.estimator
    )
    if name in ("gumbel_softmax", "straight_through_gumbel_softmax"):
        return None  # words of TrainConfig.sample, which go through every layer by themselves
    if name == "score_function" or (name == "vimco" and cell.samples == 1):
        return _with_baselines(layers)
    if name == "vimco":
        return CATALOGUE["vimco"].make(layers[0])
    made = rebar if name == "rebar" else CATALOGUE[name].make(layers[0])  # its weight 1, which compiles
    return made if len(layers) == 1 else Layerwise(made)


def _with_baselines(layers: tuple[Latent, ...]) -> Estimator:
    """Make NVIL, a learnt baseline for every layer."""
    each = [NVIL(network.mlp(layer.num_parameters, [100], 1)) for layer in layers]
    return each[0] if len(each) == 1 else Layerwise(*each)


def _train_vaes(runs: Sequence[Run]) -> list[dict[str, Any]]:
    cell = runs[0].cell
    digits, configs = _digits(cell).to(device()), [configuration(run) for run in runs]
    vaes = [model(cell, run.seed).to(device()) for run in runs]
    made = estimator(cell)
    if isinstance(made, torch.nn.Module):
        made.to(device())
    if len(runs) > 1:
        histories = fit_many(vaes, digits, configs, estimator=made)
    else:
        try:
            histories = [fit(vaes[0], digits, configs[0], estimator=made)]
        except FloatingPointError as error:
            histories = [History(failure=str(error))]
    return [scored(*each) for each in zip(runs, vaes, histories, strict=True)]


def scored(run: Run, vae: VAE, history: History) -> dict[str, Any]:
    """Return what is stored of a trained model: its validation bounds by epoch and its test bounds."""
    if history.failure is not None:
        return {"failure": history.failure}
    cell = run.cell
    levels: tuple[Level, ...] = QUICK if cell.budget == "quick" else FULL
    if cell.table in ("maddison-1", "n-ary"):
        levels = (*levels, MORE)
    if cell.table == "structured":
        levels = STRUCTURED
    test = _digits(replace(cell, change="none")).test.images.to(device())
    before = time.perf_counter()
    return {
        "steps": history.epochs[-1].step,
        "validation": history.epochs[-1].multi_sample,
        "validation_multi_sample": [round(epoch.multi_sample, 3) for epoch in history.epochs],
        "validation_single_sample": [round(epoch.single_sample, 3) for epoch in history.epochs],
        "validation_relaxed_objective": [round(epoch.relaxed_objective, 3) for epoch in history.epochs],
        "test": bounds(vae, test, levels),
        "seconds": round(history.seconds, 1),
        "seconds_of_test": round(time.perf_counter() - before, 1),
        **history.machine,
    }


def _digits(cell: Cell) -> data.Dataset:
    if cell.change == "dynamic binarization":
        return data.load("mnist", root=os.environ.get("CATVAE_DATA"), binarization="dynamic")
    return data.load()


def _draws(cell: Cell) -> int:
    if cell.samples > 1 or cell.estimator not in CATALOGUE:
        return cell.samples
    return CATALOGUE[cell.estimator].draws if cell.estimator != "vimco" else 1


def _rate(run: Run) -> float | LearningRateSchedule:
    constant = run.cell.change == "constant learning rate"
    return LearningRateSchedule.constant(run.rate) if constant else run.rate


def _compiled(cell: Cell) -> bool:
    """Whether the step is compiled on a CPU too, which more than halves it and takes a C++ compiler."""
    compilers = ("c++", "g++", "clang++")
    return stackable(cell) and (torch.cuda.is_available() or any(map(shutil.which, compilers)))


def _objective(cell: Cell, layer: Latent) -> dict[str, Any]:
    if cell.estimator == "vimco":
        return {"kl": "sampled"}
    if cell.estimator == "concrete" and cell.change != "analytic KL":
        prior, _ = _temperatures(layer)
        return {"kl": "concrete", "prior_temperature": prior, "multi_sample": cell.samples > 1}
    straight = cell.estimator == "straight_through_gumbel_softmax"
    return {"kl": "analytic", "sample": "straight_through" if straight else "relaxed"}


def _temperature(cell: Cell, layer: Latent) -> TemperatureSchedule:
    annealed = TemperatureSchedule.reaching_floor(*ANNEALED, steps=cell.steps)
    if cell.change == "annealed temperature" or cell.estimator == "annealed_straight_through":
        return annealed
    if cell.change == "temperature 0.1":
        return TemperatureSchedule.constant(0.1)
    if cell.estimator == "concrete":
        return TemperatureSchedule.constant(_temperatures(layer)[1])
    if cell.estimator == "rebar":
        return TemperatureSchedule.constant(0.5)
    relaxed = cell.estimator in ("gumbel_softmax", "straight_through_gumbel_softmax")
    return annealed if relaxed and cell.row.startswith("VAE") else TemperatureSchedule.constant(1.0)


def _temperatures(layer: Latent) -> tuple[float, float]:
    return TEMPERATURES[layer.num_categories if isinstance(layer, CategoricalLatent) else 2]


def _told(run: Run) -> dict[str, Any]:
    cell = asdict(run.cell)
    del cell["rates"], cell["seeds"]
    return {**cell, "learning_rate": run.rate, "seed": run.seed, "published": run.cell.published}


def _provenance() -> dict[str, str]:
    return {
        "processor": platform.machine(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "date": datetime.now(UTC).date().isoformat(),
    }


_OTHERS: dict[str, Callable[[Run], dict[str, Any]]] = {
    "jang-2": semi_supervised.train,
    "author": author.train,
}
