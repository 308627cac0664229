"""How pip comes into an environment where Python itself has none to put there."""

import hashlib
import http.server
import importlib.util
import json
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "scripts" / "fetch_pip.py"
NAME = "pip-1.0-py3-none-any.whl"

spec = importlib.util.spec_from_file_location("fetch_pip", PATH)
assert spec is not None
assert spec.loader is not None
fetch_pip = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fetch_pip)


class Index(http.server.ThreadingHTTPServer):
    """An index of one wheel, whose pip writes its arguments to a file when it is run."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.said = folder / "said"
        with zipfile.ZipFile(folder / NAME, "w") as wheel:
            code = f"import sys, pathlib; pathlib.Path({str(self.said)!r}).write_text(sys.argv[1])"
            wheel.writestr("pip/__main__.py", code)
        self.wheel = (folder / NAME).read_bytes()
        self.digest = hashlib.sha256(self.wheel).hexdigest()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/simple/pip/"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Index

    def do_GET(self) -> None:
        file = {"filename": NAME, "url": "../../" + NAME, "hashes": {"sha256": self.server.digest}}
        listing = json.dumps({"files": [file]}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(listing if self.path == "/simple/pip/" else self.server.wheel)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    """An index on this machine."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Index(tmp_path) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_the_wheel_installs_itself(index: Index) -> None:
    """It is run from the archive, by the Python that it is for."""
    assert fetch_pip.main("1.0", index.url) == 0
    assert index.said.read_text() == "install"


def test_an_altered_wheel_is_never_run(index: Index) -> None:
    """What isn't what the index lists is refused."""
    index.digest = "0" * 64
    assert "is not what" in fetch_pip.main("1.0", index.url)
    assert not index.said.exists()


def test_a_version_that_is_not_there(index: Index) -> None:
    """The message names the file."""
    assert "pip-2.0-py3-none-any.whl can't be had" in fetch_pip.main("2.0", index.url)


def test_no_network(index: Index) -> None:
    """A refused connection is a message, not a traceback."""
    index.shutdown()
    index.server_close()
    assert "can't be had" in fetch_pip.main("1.0", index.url)
