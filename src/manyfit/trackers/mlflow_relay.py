"""An MLflow server for the time of a study: holds a database of this machine out to workers.

It listens at a socket of the file system that this user alone can open, not at a port: it asks for
no credentials, and a port would be open to everybody who has an account here. Workers come to it
through a tunnel (`worker.tunnel`). It is MLflow's own server, with the app of `mlflow_app`.
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
# A program on a leash. When our end of its pipe closes, which no death of ours can prevent, its
# folder goes and its process group is killed; when it ends by itself, the shell does too.
_LEASH = '{ "$@"; kill -9 0; } & read -r _; rm -rf "$0"; kill -9 0'
_PATIENCE = 5.0  # seconds that a killed process may take to be gone


class Relay:
    """Begins with `start`, ends with `close`, and with this process whatever happens.

    Args:
        store: The database's tracking URI, absolute.
        folder: The study's folder, where the server's log goes.
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
        """Whether it can be reached, now or soon."""
        return not self._closed.is_set()

    def start(self, root: str) -> None:
        """Begin to start the server, which takes some seconds; connections wait for it meanwhile.

        Starting what has been started, or closed, does nothing. Should it end too early, a warning
        says so.

        Args:
            root: What the experiments' artifacts are in: a URI, or a folder.
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
