"""An MLflow server that serves a local database to workers while a study runs.

It requires no credentials, so it doesn't listen at a port, which every user of this machine could
open, but at a Unix socket that only this user can open. Workers reach it through a tunnel
(`remote.tunnel`). It is MLflow's own server, with the app of `mlflow_app`.
"""

import contextlib
import logging
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from urllib.parse import quote

from manyfit._redact import redact
from manyfit.trackers.mlflow_app import NAME, PROXIED, ROOT
from manyfit.trackers.mlflow_uris import is_folder
from manyfit.worker.last_words import end_of

logger = logging.getLogger("manyfit.mlflow")

LOG = "mlflow-server.log"  # in the study's folder
# Runs a program that can't outlive us. When our end of its pipe closes, as it does however we die,
# its folder is removed and its process group killed; when it ends by itself, so does the shell.
_LEASH = '{ "$@"; kill -9 0; } & read -r _; rm -rf "$0"; kill -9 0'
_PATIENCE = 5.0  # seconds for a killed process to end


class Relay:
    """A server that runs from `start` to `close`, and never outlives this process.

    Args:
        store: The database's tracking URI, absolute.
        folder: The study's folder, for the server's log.
    """

    def __init__(self, store: str, folder: Path) -> None:
        self._store = store
        self._log = folder / LOG
        self._folder = Path(tempfile.mkdtemp(prefix="manyfit-"))
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self.uri = f"http+unix://{quote(str(self._socket), safe='')}"

    @property
    def _socket(self) -> Path:
        return self._folder / "mlflow"

    @property
    def is_open(self) -> bool:
        """Whether it is reachable, or will be soon."""
        return not self._closed.is_set()

    def start(self, root: str) -> None:
        """Start the server in the background, which takes seconds; connections wait meanwhile.

        It does nothing if the server was started or closed before. If the server ends too early, a
        warning says so.

        Args:
            root: The root of the experiments' artifacts: a URI, or a folder.
        """
        with self._lock:
            if self._process is not None or not self.is_open:
                return
            command = [sys.executable, "-m", "mlflow", "server", *_options(self._socket, root)]
            env = {
                **os.environ,
                "MLFLOW_BACKEND_STORE_URI": self._store,  # no argument: it may hold a password
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                "PYTHONSAFEPATH": "1",
                ROOT: root,
            }
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(  # noqa: S603 - arguments of our own
                    ["/bin/sh", "-c", _LEASH, str(self._folder), *command],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    env=env,
                    start_new_session=True,
                )
        threading.Thread(
            target=self._watch, args=(self._process,), name="manyfit-mlflow-server", daemon=True
        ).start()

    def close(self) -> None:
        """End the server. Safe to call twice."""
        with self._lock:
            self._closed.set()
            process = self._process
        if process is not None and process.stdin is not None:
            process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_PATIENCE)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _watch(self, process: "subprocess.Popen[bytes]") -> None:
        """Say when it ends without having been told to."""
        process.wait()
        if self.is_open:
            shutil.rmtree(self._folder, ignore_errors=True)  # nobody is to wait for it any more
            self._closed.set()
            with self._log.open("rb") as log:
                last_words = redact(end_of(log))
            logger.warning(
                "the MLflow server that holds %s out to workers has ended: what objectives log "
                "with MLflow is lost from now on. The end of %s:\n%s",
                redact(self._store),
                self._log,
                last_words,
            )


def _options(socket: Path, root: str) -> list[str]:
    """Return the server's options.

    Artifacts that are with a server already go where MLflow's server puts them if not told.
    """
    place = root
    if root.startswith(PROXIED):
        place = str(Path("mlartifacts").absolute())
    elif is_folder(root) and not root.startswith("file:"):
        place = str(Path(root).absolute())
    uvicorn = f"--uds {shlex.quote(str(socket))} --no-access-log --log-level warning"
    return [
        *("--app-name", NAME),
        *("--workers", "1"),
        *("--uvicorn-opts", uvicorn),
        *("--artifacts-destination", place),
        *("--default-artifact-root", f"{PROXIED}/" if root.startswith(PROXIED) else place),
    ]
