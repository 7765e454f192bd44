"""This folder is an nbgrader course: `nbgrader ...` run in it finds its assignments."""

from pathlib import Path

c = get_config()  # noqa: F821  which nbgrader provides
c.CourseDirectory.course_id = "catvae"
c.CourseDirectory.root = str(Path(__file__).parent.resolve())
c.ClearSolutions.code_stub = {"python": "raise NotImplementedError()"}
c.Execute.timeout = 20  # seconds a cell, after which it is interrupted and the next one runs
c.LimitOutput.max_lines = 100  # of what a cell prints
