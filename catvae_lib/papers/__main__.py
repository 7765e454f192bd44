"""The command line of `catvae_lib.papers.sweep`."""

import argparse
from pathlib import Path

from catvae_lib.papers.cells import BUDGETS, TABLES, cells
from catvae_lib.papers.sweep import sweep


def main(arguments: list[str] | None = None) -> None:
    """Train what is missing."""
    parser = argparse.ArgumentParser(prog="python -m catvae_lib.papers", description=__doc__)
    parser.add_argument("--budget", choices=BUDGETS, default="quick", help="how long each cell is trained")
    parser.add_argument("--table", choices=TABLES, action="append", help="only this table; may be repeated")
    parser.add_argument("--folder", type=Path, default=Path("figures/results/papers"), help="of the results")
    parser.add_argument("--jobs", type=int, default=-1, help="processes; -1: one a core")
    parser.add_argument("--scheduler", help="address of a Dask scheduler, such as tcp://HOST:8786")
    told = parser.parse_args(arguments)
    wanted = [cell for table in told.table or TABLES for cell in cells(told.budget, table)]
    files = sweep(wanted, told.folder, jobs=told.jobs, scheduler=told.scheduler)
    print(f"{len(wanted)} cells, {len(files)} selected runs in {told.folder / told.budget}")


if __name__ == "__main__":
    main()
