"""A JupyterHub on one machine with nbgrader's exchange: what `make test-hub` starts and goes through.

    CATVAE_HUB=/srv/catvae jupyterhub -f docs/jupyterhub/jupyterhub_config.py

Everything it keeps lies below CATVAE_HUB; the course, a folder like `notebooks/assignments`, lies in the
teacher's home folder there. Three things to change before real students come, each marked CHANGE.
"""

import os
import sys
from pathlib import Path

c = get_config()  # noqa: F821  which JupyterHub provides

HERE = Path(__file__).parent.resolve()
ROOT = Path(os.environ["CATVAE_HUB"]).resolve()
TEACHERS = {"teacher"}  # CHANGE: the hub names of those who teach
COURSE = ROOT / "home" / "teacher" / "course"  # below the home folder: nbgrader's pages demand it

# CHANGE: "dummy" lets everyone in who knows the password; a university has LTI, LDAP or OAuth.
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = os.environ["CATVAE_HUB_PASSWORD"]
c.Authenticator.allow_all = True
c.Authenticator.admin_users = TEACHERS

# CHANGE: "simple" runs every server as the hub's own system user, so students could read each other's files.
# "jupyterhub.spawner.LocalProcessSpawner" (a system user each), Docker or Kubernetes keep them apart.
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = str(ROOT / "home" / "{username}")

c.Spawner.cmd = [sys.executable, "-m", "jupyterhub.singleuser"]
c.Spawner.args = ["--allow-root"] if hasattr(os, "getuid") and os.getuid() == 0 else []
c.Spawner.default_url = "/lab"
c.Spawner.environment = {
    "JUPYTER_CONFIG_PATH": str(HERE),  # nbgrader_config.py beside this file
    "CATVAE_HUB": str(ROOT),
    "CATVAE_COURSE": str(COURSE),
    "CATVAE_TEACHERS": ",".join(sorted(TEACHERS)),
    "OMP_NUM_THREADS": "1",
}
c.JupyterHub.db_url = f"sqlite:///{ROOT / 'jupyterhub.sqlite'}"
c.JupyterHub.cookie_secret_file = str(ROOT / "jupyterhub_cookie_secret")
c.ConfigurableHTTPProxy.pid_file = str(ROOT / "proxy.pid")


def _exchange_for_all() -> None:
    """The folder through which assignments and submissions pass must be there and open to all."""
    exchange = ROOT / "exchange"
    exchange.mkdir(parents=True, exist_ok=True)
    exchange.chmod(0o777)


_exchange_for_all()
