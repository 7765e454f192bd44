"""A class on a JupyterHub, end to end: `make test-hub` installs the hub and runs this.

A teacher releases an assignment, two students fetch it, solve it and submit it, each through a server of its
own and the very requests that JupyterLab's assignment list and formgrader send; the teacher collects; then
`tools/grade.py` marks what came in.
"""

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import requests

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tools")]

import assignments  # noqa: E402
import grade  # noqa: E402

NAME, PASSWORD = "01_gumbel_sampling", secrets.token_hex(8)
SOLVED = {"alice": set(grade.points_of(NAME)), "bob": {"gumbel_from_uniform", "fit_gumbel"}}


class Person:
    """Someone who has logged in, with the cookies of a browser."""

    def __init__(self, hub: str, name: str) -> None:
        self.hub, self.name, self.web = hub, name, requests.Session()
        page = self.web.get(f"{hub}/hub/login").text
        token = re.search(r'name="_xsrf" value="([^"]*)"', page)
        form = {"username": name, "password": PASSWORD, "_xsrf": token[1] if token else ""}
        self.web.post(f"{hub}/hub/login", data=form).raise_for_status()
        until(lambda: self._started(), f"the server of {name}")
        self.get("lab")

    def _started(self) -> bool:
        found = self.web.get(f"{self.hub}/hub/spawn/{self.name}")
        return f"/user/{self.name}/" in found.url and found.status_code == 200

    def get(self, path: str) -> Any:
        found = self.web.get(f"{self.hub}/user/{self.name}/{path}")
        found.raise_for_status()
        return found

    def post(self, path: str, **body: str) -> Any:
        place = f"/user/{self.name}/"
        token = next(
            cookie.value for cookie in self.web.cookies if cookie.name == "_xsrf" and cookie.path == place
        )
        found = self.web.post(f"{self.hub}{place}{path}", json=body, headers={"X-XSRFToken": token})
        found.raise_for_status()
        answer = found.json()
        if not answer.get("success", True):
            raise RuntimeError(f"{path}: {json.dumps(answer)[:3000]}")
        return answer


def until(true: Any, what: str, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not come within {seconds} seconds")
        time.sleep(0.5)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def hub(folder: Path, programs: Path) -> Iterator[str]:
    """A running hub whose files all lie in the folder."""
    port, api, inner = free_port(), free_port(), free_port()
    environment = {
        **os.environ,
        "CATVAE_HUB": str(folder),
        "CATVAE_HUB_PASSWORD": PASSWORD,
        "CONFIGPROXY_AUTH_TOKEN": secrets.token_hex(16),
        "PYTHONPATH": str(programs / "site"),
        "PATH": os.pathsep.join(
            [str(programs / "node_modules" / ".bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
        ),
    }
    command = [
        sys.executable,
        "-m",
        "jupyterhub",
        "-f",
        str(ROOT / "docs" / "jupyterhub" / "jupyterhub_config.py"),
    ]
    command += [f"--JupyterHub.bind_url=http://127.0.0.1:{port}", f"--JupyterHub.hub_port={inner}"]
    command += [f"--ConfigurableHTTPProxy.api_url=http://127.0.0.1:{api}"]
    log = (folder / "hub.log").open("w")
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        address = f"http://127.0.0.1:{port}"
        until(lambda: alive(f"{address}/hub/login"), "the hub")
        yield address
    except BaseException:
        print((folder / "hub.log").read_text()[-20000:])
        raise
    finally:
        process.terminate()
        process.wait(30)


def alive(address: str) -> bool:
    try:
        return requests.get(address, timeout=5).status_code == 200
    except requests.ConnectionError:
        return False


def solve(path: Path, tasks: set[str]) -> None:
    """Fill in the right answers of some tasks, as a student would."""
    source = nbformat.read(assignments.COURSE / "source" / NAME / f"{NAME}.ipynb", as_version=4)
    answers = {cell.id: cell.source for cell in source.cells}
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.id in tasks:
            cell.source = answers[cell.id]
    nbformat.write(notebook, path)


def main() -> None:
    programs = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "hub"
        course = folder / "home" / "teacher" / "course"
        shutil.copytree(assignments.COURSE, course)
        shutil.rmtree(course / "release")
        with hub(folder, programs) as address:
            teacher = Person(address, "teacher")
            teacher.post(f"formgrader/api/assignment/{NAME}/assign")
            teacher.post(f"formgrader/api/assignment/{NAME}/release")
            words = {"course_id": "catvae", "assignment_id": NAME}
            for name, tasks in SOLVED.items():
                student = Person(address, name)
                listed = student.get("assignments?course_id=catvae").json()["value"]
                assert [one["assignment_id"] for one in listed] == [NAME], listed
                student.post("assignments/fetch", **words)
                fetched = next((folder / "home" / name).rglob(f"{NAME}.ipynb"))
                assert "HIDDEN" not in fetched.read_text()
                solve(fetched, tasks)
                student.post("assignments/submit", **words)
            teacher.post(f"formgrader/api/assignment/{NAME}/collect")
        marks = grade.graded(NAME, course / "submitted", Path(made) / "graded", jobs=2)
        points = grade.points_of(NAME)
        found = {mark.student: sum(mark.points.values()) for mark in marks}
        assert found == {name: sum(points[task] for task in tasks) for name, tasks in SOLVED.items()}, found
        print(f"[ok] released, fetched, submitted and collected on a JupyterHub; marks {found}")


if __name__ == "__main__":
    main()
