"""nbgrader's settings inside a JupyterHub, for teachers and students alike; see jupyterhub_config.py."""

import os
from pathlib import Path

c = get_config()  # noqa: F821  which nbgrader provides

hub = Path(os.environ["CATVAE_HUB"])
user = os.environ.get("JUPYTERHUB_USER", "")

c.CourseDirectory.course_id = "catvae"
c.Exchange.root = str(hub / "exchange")
if user in os.environ["CATVAE_TEACHERS"].split(","):
    c.CourseDirectory.root = os.environ["CATVAE_COURSE"]
else:
    c.CourseDirectory.student_id = user
# Where all servers run as one system user, as with the simple spawner and on Kubernetes, the owner of a file
# says nothing; the name comes from the hub.
c.ExchangeCollect.check_owner = False
c.ClearSolutions.code_stub = {"python": "raise NotImplementedError()"}
c.Execute.timeout = 20
