"""What an MLflow server answers, and what is made of it."""

import http.server
import json
import threading
import time
from collections.abc import Iterator

import pytest

from manyfit.trackers.mlflow_ledger import Run
from manyfit.trackers.mlflow_remote import AwayError, BusyError, DeniedError, RefusedError
from manyfit.trackers.mlflow_rows import Batch
from manyfit.trackers.mlflow_server import Experiment, Server

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore"),  # MLflow's own, about what it imports
]


class Stub:
    """Answers every request alike."""

    def __init__(self) -> None:
        self.code, self.said, self.headers = 200, "{}", dict[str, str]()
        self.at: list[float] = []
        stub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def _answer(self) -> None:
                stub.at.append(time.monotonic())
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send_response(stub.code)
                for name, value in stub.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(stub.said)))
                self.end_headers()
                self.wfile.write(stub.said.encode())

            do_GET = do_POST = do_PATCH = _answer  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.uri = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()


@pytest.fixture
def stub() -> Iterator[Stub]:
    stub = Stub()
    yield stub
    stub.server.shutdown()
    stub.server.server_close()
    stub.thread.join()


@pytest.fixture
def short_http(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")


def server_at(uri: str) -> Server:
    server = Server(uri, Experiment("", "0"), None)
    server.experiment_id = "0"
    return server


@pytest.mark.parametrize(
    ("code", "said", "error"),
    [
        (400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "no"}, RefusedError),
        (401, {"error_code": "UNAUTHENTICATED", "message": "who?"}, DeniedError),
        (401, None, DeniedError),
        (403, {"error_code": "PERMISSION_DENIED", "message": "no"}, DeniedError),
        (429, None, BusyError),
        (429, {"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "slowly"}, BusyError),
        (503, None, BusyError),
        (500, None, AwayError),
        (200, None, AwayError),  # a page of somebody in between
    ],
)
def test_what_may_be_tried_again(
    stub: Stub, short_http: None, code: int, said: object, error: type[Exception]
) -> None:
    """A refusal is final, credentials and load may change, and all else is an outage."""
    stub.code, stub.said = code, "<html>" if said is None else json.dumps(said)
    with pytest.raises(error) as caught:
        server_at(stub.uri).write("a" * 32, Batch(tags={"a": "b"}))
    assert type(caught.value) is error


def test_a_server_says_when_to_come_back(stub: Stub, short_http: None) -> None:
    """The second try comes when it may, and the next one is to wait as long again."""
    stub.code, stub.headers = 429, {"Retry-After": "1"}
    with pytest.raises(BusyError) as caught:
        server_at(stub.uri).write("a" * 32, Batch(tags={"a": "b"}))
    first, second = stub.at
    assert second - first >= 1
    assert caught.value.wait >= 1


def test_every_answer_is_heard_of(stub: Stub, short_http: None) -> None:
    """Also one in the middle of a step that takes many."""
    heard: list[None] = []
    server = server_at(stub.uri)
    server.on_answer = lambda: heard.append(None)
    server.write("a" * 32, Batch(tags={"a": "b"}))
    assert len(heard) == 1


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(13, "not yours"),
        NotADirectoryError(20, "a file"),
        FileExistsError(17, "a file"),
        OSError(30, "read-only"),
    ],
)
def test_a_folder_that_cannot_be_written_is_no_outage(
    stub: Stub, error: OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can't be written tomorrow either; a full disk can."""

    def find(uri: str, tracking_uri: str) -> object:
        raise error

    registry = "mlflow.store.artifact.artifact_repository_registry.get_artifact_repository"
    monkeypatch.setattr(registry, find)
    with pytest.raises(RefusedError, match=type(error).__name__):
        server_at(stub.uri).upload(Run("a", "/nowhere"), {"a.txt": "a"})
    error = OSError(28, "disk full")
    with pytest.raises(AwayError):
        server_at(stub.uri).upload(Run("a", "/nowhere"), {"a.txt": "a"})
