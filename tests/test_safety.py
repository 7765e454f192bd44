"""Safe in a classroom: no shell, no network unasked, nothing written elsewhere, nothing told of a machine."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from book import ROOT
from guards import MACHINE

SHELLS = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"}
CODE = [path for name in ("catvae_lib", "tools") for path in sorted((ROOT / name).rglob("*.py"))]
# Keys as they begin. What tells of a machine, the guards of the notebooks know.
KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY|\b(?:AKIA|ghp_|hf_|sk-)[A-Za-z0-9]{16,}")
STORED = ("notebooks", "figures")

# Everything that opens a connection or asks for a name fails; every path that is opened for writing, made,
# renamed or removed is printed.
WATCHED = """
import os, pkgutil, socket, sys, tempfile
def refused(*args, **kwargs):
    raise AssertionError(f"the network was asked: {args}")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refused
written = set()
def watch(event, args):
    if event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        written.add(args[0])
    elif event in {"os.mkdir", "os.remove", "os.rename", "os.rmdir", "shutil.move"}:
        written.update(part for part in args[:2] if isinstance(part, (str, bytes, os.PathLike)))
sys.addaudithook(watch)
import catvae_lib
for module in pkgutil.walk_packages(catvae_lib.__path__, "catvae_lib."):
    if not module.name.endswith("__main__"):
        __import__(module.name)
import torch
from catvae_lib import data, network, training
from catvae_lib.classroom import plot
from catvae_lib.latent import BernoulliLatent
from catvae_lib.vae import VAE
digits, own = data.load(), tempfile.mkdtemp()
vae = VAE(network.mlp(576, [], 4), BernoulliLatent(4), network.mlp(4, [], 576))
config = training.TrainConfig(epochs=1, batch_size=1000)
training.fit(vae, data.load("squares"), config, checkpoint=f"{own}/run.safetensors")
os.environ["CATVAE_FIGURES"] = own
plot.show(plot.plt.figure(), "01_empty", "An empty figure, in which nothing is seen.", {"x": [1]})
print("WRITTEN", *sorted({os.fsdecode(p) for p in written if not isinstance(p, int)}), sep="\\n")
"""


def shells(text: str) -> list[str]:
    """Calls that hand a line to a shell."""
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    named = [ast.unparse(call.func) for call in calls if ast.unparse(call.func) in SHELLS]
    return named + [ast.unparse(key) for call in calls for key in call.keywords if key.arg == "shell"]


@pytest.mark.parametrize("path", CODE, ids=str)
def test_no_shell_is_called(path: Path) -> None:
    assert shells(path.read_text(encoding="utf-8")) == []


def test_a_shell_is_found() -> None:
    text = "import os, subprocess\nos.system('ls')\nsubprocess.run('ls', shell=True)"
    assert shells(text) == ["os.system", "shell=True"]


def test_nothing_asks_the_network_or_writes_elsewhere(tmp_path: Path) -> None:
    own = {"TMPDIR": str(tmp_path), "HOME": str(tmp_path / "home"), "MPLCONFIGDIR": str(tmp_path / "mpl")}
    own["TORCHINDUCTOR_CACHE_DIR"] = str(tmp_path / "inductor")
    environment = {**os.environ, **own, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", WATCHED]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    written = [Path(line) for line in run.stdout.partition("WRITTEN\n")[2].splitlines()]
    assert any(path.name == "01_empty.png" for path in written), "the watch sees nothing"
    assert [
        path for path in written if not (path.is_relative_to(tmp_path) or path == Path("/dev/null"))
    ] == []


def told(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8", errors="replace")
    return MACHINE.findall(text) + KEY.findall(text)


def test_what_is_stored_tells_nothing_of_a_machine() -> None:
    kinds = {".ipynb", ".py", ".json", ".svg", ".md", ".js", ".css"}
    files = [p for name in STORED for p in (ROOT / name).rglob("*") if p.suffix in kinds]
    files += [ROOT / "constraints.txt", ROOT / "environment.yml", ROOT / "pyproject.toml"]
    assert len(files) > 100
    assert {str(path): told(path) for path in files if told(path)} == {}


def test_what_tells_of_a_machine_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text("saved in /home/ann/book, key ghp_0123456789abcdefghij")
    assert len(told(path)) == 2
