"""Draw the pictures that stand in docs/demonstrations.md until, or unless, its JavaScript runs.

    python tools/demonstrations.py

A test draws them again and compares.
"""

from pathlib import Path

from book import ROOT, write
from catvae_lib.classroom.interactive import DEMONSTRATIONS, Live

FOLDER = ROOT / "docs" / "_static"


def picture(name: str) -> Path:
    """Where the picture of a demonstration is stored."""
    return FOLDER / f"demo_{name}.png"


if __name__ == "__main__":
    for name in DEMONSTRATIONS:
        write(picture(name), Live(name).show()[0])
        print(picture(name).relative_to(ROOT))
