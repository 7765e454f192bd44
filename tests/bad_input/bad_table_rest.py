"""The rows of the experiment and the classroom; those of the mathematics and the model are in bad_table."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bad_table import ROWS, Row, a_vae, bits, method, row, t
from matplotlib.figure import Figure

from catvae_lib import checkpoint, data, noise, training
from catvae_lib._config import TrainConfig
from catvae_lib._many import fit_many
from catvae_lib.classroom import claims, exercise, plot, stats
from catvae_lib.estimators import disarm
from catvae_lib.papers import cells, results, scores, sweep
from catvae_lib.schedules import LearningRateSchedule, TemperatureSchedule

# data


def originals(**arguments: Any) -> data.Dataset:
    """Call `load` beside a tiny data set in the format of the originals."""
    folder = Path("originals/MNIST/raw")
    folder.mkdir(parents=True, exist_ok=True)
    for part, count in (("train", 12), ("t10k", 4)):
        header = np.array([0x803, count, 28, 28], ">u4").tobytes()
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + bytes(count * 784)))
        header = np.array([0x801, count], ">u4").tobytes()
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(header + bytes(count)))
    return data.load(**arguments)


SPLIT = data.Split(bits(8, 6), torch.arange(8))
DATASET = data.Dataset("tiny", (2, 3), SPLIT, SPLIT, SPLIT)
originals.__signature__ = __import__("inspect").signature(data.load)  # type: ignore[attr-defined]
row("data.load", originals, name="mnist", root=Path("originals"), binarization="fixed")
row("data.binarize", data.binarize, images=t(3, 4, low=0.1), generator=torch.Generator())
row("data.flip_pixels", data.flip_pixels, images=t(3, 4, low=0.1), share=0.3, generator=torch.Generator())
row("data.draw_bits", data.draw_bits, pixels=np.array([[0, 128, 255]], np.uint8), seed=3)
row("data.Split", data.Split, images=bits(8, 6), labels=torch.arange(8))
method("data.Split.to", lambda: SPLIT, device=torch.device("cpu"), dtype=torch.float32)
method("data.Split.first", lambda: SPLIT, count=3)
row(
    "data.Dataset",
    data.Dataset,
    name="tiny",
    image_shape=(2, 3),
    train=SPLIT,
    validation=SPLIT,
    test=SPLIT,
    binarization="fixed",
    flips=0.5,
)
method("data.Dataset.to", lambda: DATASET, device=torch.device("cpu"), dtype=torch.float32)

# training

CONFIG = TrainConfig(epochs=1, batch_size=4, track_images=4, track_samples=2)
numbers = {
    name: getattr(CONFIG, name)
    for name in ("epochs", "batch_size", "learning_rate", "kl_weight", "num_samples")
}
words = {"sample": "relaxed", "kl": "concrete", "precision": "float32", "temperature": TemperatureSchedule()}
rest = {
    "prior_temperature": 0.5,
    "seed": 1,
    "threads": 1,
    "patience": 2,
    "track_images": 4,
    "track_samples": 2,
}
row("_config.TrainConfig", TrainConfig, multi_sample=False, compile=False, **numbers, **words, **rest)
method("_config.TrainConfig.numbers", lambda: CONFIG, step=1, steps=4)
method("_config.TrainConfig.words", lambda: CONFIG, sample="relaxed")


def for_fit() -> dict[str, Any]:
    path = Path("run.safetensors")
    told = {"checkpoint": path, "checkpoint_every": 1, "resume": False, "estimator": disarm}
    return {"vae": a_vae(), "data": DATASET, "config": CONFIG, **told}


def for_fit_many() -> dict[str, Any]:
    return {"vaes": [a_vae(), a_vae()], "data": DATASET, "configs": [CONFIG, CONFIG]}


ROWS["training.fit"] = Row(lambda: training.fit, for_fit, ("resume",))
ROWS["_many.fit_many"] = Row(lambda: fit_many, for_fit_many)
row("schedules.TemperatureSchedule", TemperatureSchedule, start=1.0, floor=0.5, rate=0.1, every=2)
row("schedules.TemperatureSchedule.constant", TemperatureSchedule.constant, value=0.5)
row(
    "schedules.TemperatureSchedule.exponential",
    TemperatureSchedule.exponential,
    start=1.0,
    floor=0.5,
    rate=0.1,
    every=2,
)
row(
    "schedules.TemperatureSchedule.reaching_floor",
    TemperatureSchedule.reaching_floor,
    start=1.0,
    floor=0.5,
    steps=9,
)
method("schedules.TemperatureSchedule.__call__", TemperatureSchedule, step=3)
row("schedules.LearningRateSchedule", LearningRateSchedule, peak=0.1, steps=9, warmup=2)
row("schedules.LearningRateSchedule.constant", LearningRateSchedule.constant, rate=0.1)
method("schedules.LearningRateSchedule.__call__", lambda: LearningRateSchedule(0.1, 9, 2), step=3)
SAVED = checkpoint.Checkpoint({"weights/a": t(3)}, {"step": 3})
row("checkpoint.save", checkpoint.save, path=Path("saved"), checkpoint=SAVED)
row("checkpoint.clean", checkpoint.clean, path=Path("saved"))
row(
    "checkpoint.load",
    lambda path: checkpoint.save("saved", SAVED) or checkpoint.load(path),
    path=Path("saved"),
)
method("checkpoint.Checkpoint.part", lambda: SAVED, name="weights")

# classroom

counts, shares = [520, 290, 190], [0.5, 0.3, 0.2]
row(
    "classroom.stats.categorical_fit",
    stats.categorical_fit,
    counts=counts,
    probabilities=shares,
    false_alarm=1e-3,
)
row(
    "classroom.stats.continuous_fit",
    stats.continuous_fit,
    samples=t(50, low=0.01),
    cdf=lambda x: x,
    false_alarm=1e-3,
)
row(
    "classroom.stats.sample_size_for",
    stats.sample_size_for,
    deviation=0.1,
    probabilities=shares,
    false_alarm=1e-3,
)
row("classroom.stats.pair_counts", stats.pair_counts, categories=[0, 1, 1, 0], num_categories=2)
row("classroom.stats.standard_error", stats.standard_error, samples=[1.0, 2.0, 3.0])
row(
    "classroom.claims.claim",
    claims.claim,
    id="01.mean",
    observed=0.5,
    expected=0.5,
    tolerance=0.1,
    source="closed form",
    relation="<=",
)

FIGURE = {
    "name": "01_density",
    "alt": "A bell curve, longer to the right.",
    "data": {"x": [0.0]},
    "rtol": 1e-5,
}
ROWS["classroom.plot.show"] = Row(lambda: plot.show, lambda: {"fig": Figure(), **FIGURE})
row(
    "classroom.plot.image_grid",
    plot.image_grid,
    rows={"a": [[0.0, 1.0, 1.0, 0.0]]},
    image_shape=(2, 2),
    scale=0.9,
)
panels = {"error": {"a": (0.1,), "b": (0.2, 0.05)}}
row("classroom.plot.dot_panels", plot.dot_panels, "diamonds", panels=panels, diamonds=frozenset("b"))
row("classroom.plot.beside", plot.beside, panels={"bits": {"a": (107.0, 0.3, 105.0)}}, unit="nats")

# the papers' tables

CELL = cells.find("jang-1", "VAE (Bern.)", "gumbel_softmax")
RUN = cells.Run(CELL, 1e-3, 0)


def stored(function: Any) -> Any:
    """Return the function, beside a folder in which every run of the cell is stored."""
    for each in (cells.Run(CELL, rate, seed) for rate in CELL.rates for seed in range(3)):
        path = sweep.path_of(each, Path("results"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(a_result(each)[0]))
    return function


def a_result(*runs: cells.Run) -> list[dict[str, Any]]:
    told = {"validation": -100.0, "test": {"bound": -101.0}}
    return [{"epochs": run.cell.epochs, "batch_size": run.cell.batch_size} | told for run in runs]


row("papers.cells.cells", cells.cells, budget="quick", table="jang-1")
find = {"row": "VAE (Bern.)", "estimator": "gumbel_softmax", "samples": 1, "budget": "quick"}
row("papers.cells.find", cells.find, table="jang-1", **find)
place = {"table": "jang-1", "row": "VAE (Bern.)", "estimator": "rebar", "samples": 1, "change": "none"}
protocol = {"budget": "quick", "epochs": 20, "batch_size": 100, "rates": (1e-3,), "seeds": 3}
row("papers.cells.Cell", cells.Cell, **place, **protocol)
row("papers.cells.Run", cells.Run, cell=CELL, rate=1e-3, seed=0)
for name, function in (("summary", results.summary), ("selected", sweep.selected)):
    where = "results" if name == "summary" else "sweep"
    ROWS[f"papers.{where}.{name}"] = Row(
        lambda function=function: stored(function), lambda: {"cell": CELL, "folder": Path("results")}
    )
ROWS["papers.results.complete"] = Row(
    lambda: stored(results.complete), lambda: {"budget": "quick", "folder": Path("results")}
)
ROWS["papers.sweep.load"] = Row(lambda: stored(sweep.load), lambda: {"run": RUN, "folder": Path("results")})
method("papers.results.Summary.at", lambda: results.Summary(CELL, 1.0, None, 0.0, 1e-3, LEVELS), samples=10)
row("papers.results.interval", results.interval, values=[1.0, 2.0, 3.0])
row("papers.sweep.path_of", sweep.path_of, run=RUN, folder=Path("results"))
row("papers.sweep.together", sweep.together, runs=[RUN])
ROWS["papers.sweep.sweep"] = Row(
    lambda: stored(sweep.sweep),
    lambda: {"wanted": [CELL], "folder": Path("results"), "jobs": 1, "work": a_result},
)
LEVELS = [{"test": {"levels": [{"samples": 10, "bound": -3.0}]}}]
row("papers.scores.Level", scores.Level, samples=3, images=4)
levels = (scores.Level(1, 4), scores.Level(2, 2))
row("papers.scores.bounds", scores.bounds, vae=a_vae(), images=bits(4, 6), levels=levels, seed=0)

# exercise

right = exercise.check.gumbel_from_uniform
method(
    "classroom.exercise.Verdict.__call__",
    lambda: right,
    "answer",
    answer=noise.gumbel_from_uniform,
    seed=0,
    seconds=1.0,
)

NO_ARGUMENTS_TO_FUZZ = {
    "records that the library fills, and whose fields it does not read back": (
        "vae.LossTerms _config.Epoch _config.History catalogue.Entry checkpoint.Checkpoint classroom.stats.Fit "  # noqa: E501
        "papers.results.Summary profiles.Profile"
    ),
    "abstract: what it says is tested of those that inherit it": (
        "latent.Latent latent.Latent.hard latent.Latent.kl latent.Latent.log_prob latent.Latent.mode "
        "latent.Latent.noise latent.Latent.prior_log_prob latent.Latent.relaxed latent.Latent.relaxed_log_ratio "  # noqa: E501
        "latent.Latent.sample_prior training.Writer training.Writer.add_scalar"
    ),
    "raised or made by the library": (
        "classroom.claims.ClaimError classroom.exercise.NotYet classroom.exercise.Verdict classroom.exercise.Checks"  # noqa: E501
    ),
    "without arguments, or refusing every one": (
        "classroom.plot.style profiles.asked profiles.current chain.Chain.kl"
    ),
    "torch.nn.Sequential's own": "network.ImageLayers",
}
EXEMPT = {name for names in NO_ARGUMENTS_TO_FUZZ.values() for name in names.split()}
