"""The quick part of tests/matrix.py: a short chapter in all its settings at once, a row that must fail."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import matrix
import pytest

SHORT = ["03"]


@pytest.fixture
def isolated() -> matrix.Row:
    """All settings; skipped where no namespace can be made."""
    tools = [name for name in ("unshare", "ip", "mount") if shutil.which(name) is None]
    if tools:
        pytest.skip(f"a network of one's own needs Linux with {', '.join(tools)}")
    tried = subprocess.run(["unshare", "--map-root-user", "--net", "--mount", "true"], capture_output=True)
    if tried.returncode:
        pytest.skip(f"no namespace can be made here: {tried.stderr.decode().strip()}")
    return matrix.TOGETHER


@pytest.mark.xdist_group("notebooks")
def test_a_chapter_holds_in_all_settings_at_once(isolated: matrix.Row, tmp_path: Path) -> None:
    book = matrix.copy(isolated, tmp_path)
    done = matrix.compare(isolated, book, SHORT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    text = "import pathlib, socket; s = socket.socket(); s.settimeout(5)\n{}"
    for line in ("s.connect(('192.0.2.1', 80))", "pathlib.Path('new').touch()"):
        refused = matrix.run(isolated, book, "-c", text.format(line))
        assert refused.returncode == 1
        assert "unreachable" in refused.stderr or "Read-only file system" in refused.stderr


def test_a_changed_output_fails_a_row(tmp_path: Path) -> None:
    row = replace(matrix.ROWS["folder"], two_threads=True)
    book = matrix.copy(row, tmp_path)
    (notebook,) = (book / "notebooks").glob("03_*.ipynb")
    text = notebook.read_text(encoding="utf-8")
    assert " holds [" in text
    notebook.write_text(text.replace(" holds [", " holdS [", 1), encoding="utf-8")
    done = matrix.compare(row, book, SHORT)
    assert done.returncode == 1 and "1 failed" in done.stdout
