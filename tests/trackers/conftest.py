"""Servers for the trackers' tests: in memory, and real ones that can be counted, killed, muted."""

import contextlib
import http.client
import http.server
import itertools
import os
import random
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from manyfit.trackers.mlflow_ledger import Key, Run
from manyfit.trackers.mlflow_remote import AwayError, RefusedError
from manyfit.trackers.mlflow_rows import Batch, Point, key_of


@dataclass
class StoredRun:
    name: str
    tags: dict[str, str]
    status: str = "RUNNING"
    params: dict[str, str] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    started_at: float | None = None
    ended_at: float | None = None

    def curve(self, key: str) -> list[tuple[int, float]]:
        return [(point.step, point.value) for point in self.points if point.key == key]


class MemoryServer:
    """An MLflow server in memory, with the manners of a real one and of one in trouble."""

    def __init__(self) -> None:
        self.uri = "memory"
        self.is_local = False
        self.experiment_id = ""
        self.experiment_name = ""
        self.experiment_tags: dict[str, str] = {}
        self.runs: dict[str, StoredRun] = {}
        self.calls: list[str] = []
        self.is_away = False
        self.loses_answers = False
        self.loses_files = False
        self.refuses_some = 0.0  # of its requests: too busy
        self.refuses: str | None = None  # a method's name
        self.message = "no"
        self.chokes_on: str | None = None  # a run's name
        self.threads: set[str] = set()
        self.delay = 0.0
        self.in_flight = self.most_in_flight = 0
        self.on_answer = lambda: None
        self._lock = threading.Lock()
        self._dice = random.Random(0)
        self._ids = itertools.count()
        self._fuse: int | None = None

    def fails_after(self, calls: int) -> None:
        """Go away once, after `calls` more calls."""
        self._fuse = calls

    def begin(
        self, parent: str | None, name: str, tags: Mapping[str, str], started_at: float
    ) -> Run:
        self._called("begin")
        self.experiment_id, self.experiment_name = "7", "seventh"
        if parent in self.runs:
            self.runs[parent].status = "RUNNING"
            return Run(parent, "memory:")
        return self._new(name, tags, started_at)

    def create(self, name: str, tags: Mapping[str, str], started_at: float | None) -> Run:
        self._called("create")
        if name == self.chokes_on:
            raise AwayError("out of memory")
        run = self._new(name, tags, started_at)
        if self.loses_answers:
            raise AwayError("timed out")
        return run

    def has_params(self, run: str) -> bool:
        self._called("has_params")
        return bool(self.runs[run].params)

    def write(self, run: str, batch: Batch) -> None:
        self._called("write")
        if "poison" in batch.params or any(point.key == "poison" for point in batch.points):
            raise RefusedError("poison")
        stored = self.runs[run]
        stored.params |= batch.params
        stored.tags |= batch.tags
        stored.points += [point for point in batch.points if point not in stored.points]

    def set_status(self, run: str, status: str, ended_at: float | None = None) -> None:
        self._called("set_status")
        self.runs[run].status, self.runs[run].ended_at = status, ended_at

    def tag_experiment(self, name: str, value: str) -> None:
        self._called("tag_experiment")
        self.experiment_tags[name] = value

    def upload(self, run: Run, files: Mapping[str, str]) -> None:
        self._called("upload")
        if self.loses_files:
            raise AwayError("500")
        self.runs[run.id].files |= files

    def children(self, parent: str) -> list[tuple[Key, Run]]:
        self._called("children")
        return [
            (key, Run(identity, "memory:"))
            for identity, run in self.runs.items()
            if run.tags.get("mlflow.parentRunId") == parent
            and (key := key_of(run.tags)) is not None
        ]

    def delete(self, run: str) -> None:
        self._called("delete")
        del self.runs[run]

    def close(self) -> None:
        pass

    def run_of(self, number: int) -> StoredRun:
        (run,) = [r for r in self.runs.values() if r.tags.get("manyfit.trial") == str(number)]
        return run

    @property
    def parent(self) -> StoredRun:
        (run,) = [run for run in self.runs.values() if "manyfit.trial" not in run.tags]
        return run

    def _new(self, name: str, tags: Mapping[str, str], started_at: float | None) -> Run:
        identity = f"run{next(self._ids)}"
        self.runs[identity] = StoredRun(name, dict(tags), started_at=started_at)
        return Run(identity, "memory:")

    def _called(self, name: str) -> None:
        self.threads.add(threading.current_thread().name)
        with self._lock:
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if self.delay:
                time.sleep(self.delay)
            self._answer(name)
        finally:
            with self._lock:
                self.in_flight -= 1
        self.on_answer()

    def _answer(self, name: str) -> None:
        if self._dice.random() < self.refuses_some:
            raise AwayError("too busy")
        if self._fuse is not None:
            self._fuse -= 1
        if self.is_away or self._fuse == -1:
            self._fuse = None
            raise AwayError("nobody there")
        if self.refuses == name:
            raise RefusedError(self.message)
        self.calls.append(name)


@pytest.fixture
def server() -> MemoryServer:
    return MemoryServer()


# Its job runner would start more processes, and leave a folder in /dev/shm when it is killed.
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


class MlflowProcess:
    """A real `mlflow server` on loopback, in a process group of its own."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        options = ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        options += ["--backend-store-uri", f"sqlite:///{self._folder}/server.db"]
        options += ["--artifacts-destination", str(self._folder / "artifacts")]
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", *options],
                stdout=log,
                stderr=log,
                cwd=self._folder,
                env={**os.environ, **QUIET},
                start_new_session=True,
            )
        deadline = time.monotonic() + 90
        while not answers(self.port):
            assert self._process.poll() is None, (self._folder / "server.log").read_text()
            assert time.monotonic() < deadline, "the server does not come up"
            time.sleep(0.1)

    def kill(self) -> None:
        """End it and its workers at once, and leave nothing of them."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


def answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in the test's folder: a database's artifacts go to `mlruns` of the working one."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One for all tests: making one takes seconds."""
    import mlflow

    folder = tmp_path_factory.mktemp("mlflow")
    uri = f"sqlite:///{folder}/mlflow.db"
    with contextlib.chdir(folder):  # its artifacts go to mlruns of the folder where it is made
        mlflow.MlflowClient(uri).get_experiment("0")
    return uri


@pytest.fixture(scope="session")
def mlflow_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowProcess]:
    process = MlflowProcess(tmp_path_factory.mktemp("server"))
    yield process
    process.kill()


class CountingProxy:
    """Passes requests on to a server, and counts them by method and path."""

    def __init__(self, port: int) -> None:
        self.requests: Counter[str] = Counter()
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path = self.path.partition("?")[0].rpartition("/2.0/")[2]
                proxy.requests[f"{self.command} {path}"] += 1
                upstream = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                headers = {k: v for k, v in self.headers.items() if k.lower() != "host"}
                upstream.request(self.command, self.path, body, headers)
                answer = upstream.getresponse()
                data = answer.read()
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.headers["Content-Type"] or "")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
                upstream.close()

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass_on  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.uri = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def count(self, *words: str) -> int:
        return sum(n for name, n in self.requests.items() if any(word in name for word in words))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def counting(mlflow_process: MlflowProcess) -> Iterator[CountingProxy]:
    proxy = CountingProxy(mlflow_process.port)
    yield proxy
    proxy.close()


@pytest.fixture
def black_hole() -> Iterator[str]:
    """The address of a server that takes connections and never says a word."""
    taken: list[socket.socket] = []

    class Silence(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            taken.append(self.request)
            over.wait(60)

    over = threading.Event()
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Silence)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    over.set()
    server.shutdown()
    server.server_close()
    thread.join()
