"""The tables as data: every cell with its model, its objective, its protocol and its budget.

A cell is one number of a table. It is trained with each learning rate of its list on seed 0; the rate with
the best bound on validation digits is trained on the other seeds, and the cell's number is their mean.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from catvae_lib import _validate
from catvae_lib.papers.published import JANG, reported

BUDGETS = ("quick", "full")
TABLES = ("jang-1", "maddison-1", "structured", "n-ary", "jang-2", "author", "protocol")
CHANGES = (  # of the protocol, one at a time
    "none",
    "linear",
    "states 0 and 1",
    "inputs not centred",
    "ReLU",
    "ELU",
    "torch's initialization",
    "output biases 0",
    "constant learning rate",
    "a quarter of the steps",
    "four times the steps",
    "dynamic binarization",
    "analytic KL",
    "annealed temperature",
    "temperature 0.1",
)
JANG_COLUMNS = (
    "score_function",
    "muprop",
    "straight_through",
    "annealed_straight_through",
    "gumbel_softmax",
    "straight_through_gumbel_softmax",
    "rebar",
    "disarm",
    "vimco",
    "reinmax",
)


@dataclass(frozen=True)
class Cell:
    """One number of a table, and how it is found.

    Attributes:
        table: "jang-1", "maddison-1", "structured", "n-ary", "jang-2", "author" or "protocol".
        row: The model; see `models.ROWS`.
        estimator: The column.
        samples: m of the objective.
        change: What differs from the table's protocol; only in the table "protocol".
        budget: "quick" or "full".
        epochs: Passes over the 50,000 training digits.
        batch_size: Digits a step.
        rates: Learning rates tried on seed 0; the start of half a cosine.
        seeds: How many seeds the selected rate gets.
    """

    table: str
    row: str
    estimator: str
    samples: int = 1
    change: str = "none"
    budget: str = "quick"
    epochs: int = 20
    batch_size: int = 100
    rates: tuple[float, ...] = (3e-3,)
    seeds: int = 3

    def __post_init__(self) -> None:
        for name, allowed in (("table", TABLES), ("change", CHANGES), ("budget", BUDGETS)):
            _validate.one_of(name, getattr(self, name), allowed)
        for name in ("row", "estimator"):
            _validate.instance(name, getattr(self, name), str)
        for name in ("samples", "epochs", "batch_size", "seeds"):
            _validate.count(name, getattr(self, name))
        _validate.instance("rates", self.rates, tuple)
        if not self.rates:
            raise ValueError("rates must hold one at least, got none")
        for rate in self.rates:
            _validate.rate("rates", rate)

    @property
    def published(self) -> float | None:
        """The papers' number, None where they have none."""
        return reported(self.row, self.estimator, self.samples) if self.table != "protocol" else None

    @property
    def cost(self) -> float:
        """Roughly how long one run takes on one core, in seconds, for the estimate of the time left."""
        layers, image = self.row.count("H") or 2 - self.row.startswith("VAE"), 1 + 0.25 * (self.samples - 1)
        return 8 + self.steps * 0.003 * layers * image * (10 if self.table in ("jang-2", "author") else 1)

    @property
    def steps(self) -> int:
        """Steps of one run."""
        return self.epochs * (50_000 // self.batch_size)


@dataclass(frozen=True)
class Run:
    """One training: a cell with a learning rate and a seed."""

    cell: Cell
    rate: float
    seed: int

    def __post_init__(self) -> None:
        _validate.instance("cell", self.cell, Cell)
        _validate.rate("rate", self.rate)
        _validate.seed("seed", self.seed)

    @property
    def name(self) -> str:
        """Path of the result below the folder of results, without its ending."""
        cell = self.cell
        words = [cell.row, cell.estimator, f"m-{cell.samples}", *([cell.change] * (cell.change != "none"))]
        words += [f"rate-{self.rate:g}", f"seed-{self.seed}"]
        return f"{cell.budget}/{cell.table}/{'_'.join(map(_slug, words))}"


def cells(budget: str = "quick", table: str | None = None) -> list[Cell]:
    """Return the cells of a budget, all tables or one.

    Raises:
        ValueError: If the budget or the table is unknown.

    Example:
        >>> [cell.published for cell in cells("quick", "maddison-1")][:3]
        [107.3, 104.4, 104.9]
    """
    _validate.one_of("budget", budget, BUDGETS)
    every = [cell for make in _MAKE.values() for cell in make(budget)]
    if table is None:
        return every
    _validate.one_of("table", table, TABLES)
    return [cell for cell in every if cell.table == table]


def find(table: str, row: str, estimator: str, samples: int = 1, budget: str = "quick") -> Cell:
    """Return one cell by its place in a table.

    Raises:
        ValueError: If there is no such cell; the message lists what there is.

    Example:
        >>> find("jang-1", "VAE (Bern.)", "gumbel_softmax").published
        105.0
    """
    _validate.one_of("table", table, TABLES)
    _validate.count("samples", samples)
    there = cells(budget, table)
    for cell in there:
        if (cell.row, cell.estimator, cell.samples) == (row, estimator, samples):
            return cell
    known = sorted({f"({cell.row!r}, {cell.estimator!r}, {cell.samples})" for cell in there})
    raise ValueError(
        f"{table} has no cell with (row, estimator, samples) {(row, estimator, samples)}; "
        f"it has {', '.join(known)}"
    )


def _jang(budget: str) -> Iterator[Cell]:
    quick = budget == "quick"
    for row in ("VAE (Bern.)", "VAE (Cat.)", "SBN (Bern.)", "SBN (Cat.)"):
        one_layer = row.startswith("VAE")
        epochs = (20 if one_layer else 4) if quick else 200
        for column in JANG_COLUMNS:
            if column == "disarm" and row.endswith("(Cat.)"):  # which is for bits
                continue
            yield Cell(
                "jang-1",
                row,
                column,
                samples=2 if column == "vimco" else 1,
                budget=budget,
                epochs=epochs,
                rates=_jang_rates(row, column) if quick else (1e-3, 3e-3),
                seeds=3 if one_layer and quick else 1,
            )
    if not quick:  # what a linear model cannot reach
        for row in ("VAE~ (Bern.)", "VAE~ (Cat.)"):
            yield Cell("jang-1", row, "gumbel_softmax", 1, "none", budget, 200, rates=(1e-3,), seeds=1)


def _jang_rates(row: str, column: str) -> tuple[float, ...]:
    """Both rates for what the paper has of the VAE; the larger one, which won there, for the rest."""
    return (1e-3, 3e-3) if row.startswith("VAE") and column in JANG[row] else (3e-3,)


def _maddison(budget: str) -> Iterator[Cell]:
    quick = budget == "quick"
    for row in ("200H-784V", "200H~784V", "200H-200H-784V", "200H~200H~784V"):
        one_layer = row.count("H") == 1
        for samples in (1, 5, 50):
            if quick:
                epochs = (20 if samples < 50 else 1) if one_layer else {1: 4, 5: 2, 50: 1}[samples]
            else:
                epochs = 1280  # a tenth of the paper's steps
            for estimator in ("concrete", "vimco"):
                yield Cell(
                    "maddison-1",
                    row,
                    estimator,
                    samples,
                    budget=budget,
                    epochs=epochs,
                    batch_size=64,
                    rates=((1e-3, 3e-3) if row == "200H~784V" and samples < 50 else (3e-3,))
                    if quick
                    else (1e-3,),
                    seeds=3 if one_layer and samples < 50 and quick else 1,
                )


def _structured(budget: str) -> Iterator[Cell]:
    quick = budget == "quick"
    for row in ("392V-240H-240H-392V", "392V-240H-240H-240H-392V"):
        for samples in (1, 5, 50):
            for estimator in ("concrete", "vimco"):
                epochs = {1: 4, 5: 2, 50: 1}[samples] if quick else 1280
                yield Cell(
                    "structured",
                    row,
                    estimator,
                    samples,
                    "none",
                    budget,
                    epochs,
                    64,
                    (3e-3,) if quick else (1e-3,),
                    seeds=1,
                )


def _n_ary(budget: str) -> Iterator[Cell]:
    quick = budget == "quick"
    for row in ("240H~784V", "120 4-ary~784V", "80 8-ary~784V"):
        for samples in (1, 5, 50):
            epochs = {1: 4, 5: 2, 50: 1}[samples] if quick else 1280
            rates = (3e-3,) if quick else (1e-3,)
            yield Cell("n-ary", row, "concrete", samples, "none", budget, epochs, 64, rates, seeds=1)


def _semi_supervised(budget: str) -> Iterator[Cell]:
    for estimator in ("marginalization", "gumbel_softmax", "straight_through_gumbel_softmax"):
        cell = Cell("jang-2", "100 labels", estimator, budget=budget, rates=(1e-3,), seeds=3)
        yield replace(cell, epochs=2 if budget == "quick" else 100)


def _author(budget: str) -> Iterator[Cell]:
    for bits in (2, 25, 50):
        cell = Cell("author", f"{bits} bits", "gumbel_softmax", budget=budget, rates=(1e-3,), seeds=1)
        yield replace(cell, epochs=1 if budget == "quick" else 10, batch_size=16)


def _protocol(budget: str) -> Iterator[Cell]:
    base = Cell("protocol", "200H~784V", "concrete", budget=budget, batch_size=64, rates=(1e-3,))
    for change in CHANGES:
        epochs = {"a quarter of the steps": 1, "four times the steps": 16}.get(change, 4)
        yield replace(base, change=change, epochs=epochs * (1 if budget == "quick" else 20))


_MAKE = {
    "jang-1": _jang,
    "maddison-1": _maddison,
    "structured": _structured,
    "n-ary": _n_ary,
    "jang-2": _semi_supervised,
    "author": _author,
    "protocol": _protocol,
}


def _slug(word: str) -> str:
    kept = "".join(c if c.isalnum() or c in "-.~" else " " for c in word.replace("_", "-"))
    return "-".join(kept.split())
