"""The hub's end of a tunnel: which servers it leads to, when they are late, and what it isn't."""

import contextlib
import queue
import shutil
import socket
import threading
import time

import pytest

from manyfit.remote.hub import Hub
from manyfit.remote.line import dial


@pytest.fixture
def hub():
    with contextlib.closing(Hub("127.0.0.1", 0, queue.SimpleQueue())) as running:
        yield running


def begin(hub, message, blob=b""):
    line = dial([("127.0.0.1", hub.port)], hub.credentials)
    line.send(message, blob)
    return contextlib.closing(line)


def heard(line, size=1):
    """Return the bytes that arrived, once there are `size` of them or the line is gone."""
    data, deadline = b"", time.monotonic() + 10
    while len(data) < size and line.gone is None and time.monotonic() < deadline:
        data += b"".join(frame.blob for frame in line.receive())
        time.sleep(0.005)
    return data


def echo(listener):
    """Accept one connection and send back what it says, until it ends."""
    with contextlib.suppress(OSError):
        connection, _ = listener.accept()
        with connection:
            while data := connection.recv(1 << 16):
                connection.sendall(data)


@contextlib.contextmanager
def echoing(listener):
    thread = threading.Thread(target=echo, args=(listener,))
    thread.start()
    with listener:
        yield listener.getsockname()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def unix_listener(path):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener


def test_bytes_go_both_ways(hub):
    """What comes with the first message and after it arrives in order, and so does the answer."""
    with echoing(socket.create_server(("127.0.0.1", 0))) as address:
        hub.tunnels["mlflow"] = address
        with begin(hub, {"tunnel": "mlflow"}, b"one") as line:
            line.send({}, b"two")
            assert heard(line, 6) == b"onetwo"


def test_it_is_no_worker(hub):
    """Nobody is told of it, and it isn't counted among those who work."""
    with echoing(socket.create_server(("127.0.0.1", 0))) as address:
        hub.tunnels["mlflow"] = address
        with begin(hub, {"tunnel": "mlflow"}, b"one") as line:
            assert heard(line, 3) == b"one"
            assert hub.connections == {}
    with begin(hub, {"hello": 1}):
        assert hub.inbox.get(timeout=10).frame.message == {"hello": 1}


def test_a_worker_stays_one(hub):
    """Only the first message makes a tunnel: later ones are for the driver."""
    with begin(hub, {"hello": 1}) as line:
        line.send({"tunnel": "mlflow"})
        frames = [hub.inbox.get(timeout=10).frame.message for _ in range(2)]
    assert frames == [{"hello": 1}, {"tunnel": "mlflow"}]


@pytest.mark.parametrize("name", ["another", ["mlflow"], {}, None, 7])
def test_it_leads_only_where_the_driver_says(hub, name):
    """There is no way to a server that the driver didn't name, whatever a worker asks for."""
    hub.tunnels["mlflow"] = ("127.0.0.1", 1)
    with begin(hub, {"tunnel": name}, b"one") as line:
        assert heard(line) == b""
        assert line.gone is not None


def test_a_server_that_is_not_there(hub):
    """A port that nobody listens at ends the connection at once."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        hub.tunnels["mlflow"] = listener.getsockname()
    with begin(hub, {"tunnel": "mlflow"}, b"one") as line:
        assert heard(line) == b""
        assert line.gone is not None


def test_a_server_that_ends(hub):
    """The last it said arrives before the end does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        hub.tunnels["mlflow"] = listener.getsockname()
        with begin(hub, {"tunnel": "mlflow"}, b"one") as line:
            connection, _ = listener.accept()
            with connection:
                assert connection.recv(3) == b"one"
                connection.sendall(b"x" * 1_000_000)
            assert heard(line, 1_000_001) == b"x" * 1_000_000
            assert line.gone is not None


def test_a_worker_that_ends(hub):
    """The server is hung up on, with all that was said before."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        hub.tunnels["mlflow"] = listener.getsockname()
        with begin(hub, {"tunnel": "mlflow"}, b"one"):
            connection, _ = listener.accept()
        with connection:
            connection.settimeout(10)
            assert connection.recv(10) == b"one"
            assert connection.recv(10) == b""


def test_a_server_that_is_still_starting(hub, tmp_path):
    """At a socket of the file system it is waited for."""
    hub.tunnels["mlflow"] = str(tmp_path / "socket")
    with begin(hub, {"tunnel": "mlflow"}, b"one") as line:
        line.send({}, b"two")
        time.sleep(0.3)
        assert line.receive() == []
        with echoing(unix_listener(tmp_path / "socket")):
            assert heard(line, 6) == b"onetwo"
            line.close()


def test_a_server_whose_folder_is_gone(hub, tmp_path):
    """It won't start any more, and nobody waits for it."""
    folder = tmp_path / "folder"
    folder.mkdir()
    hub.tunnels["mlflow"] = str(folder / "socket")
    with begin(hub, {"tunnel": "mlflow"}, b"one") as line:
        shutil.rmtree(folder)
        assert heard(line) == b""
        assert line.gone is not None


def test_the_hub_closes_while_a_server_is_waited_for(hub, tmp_path):
    """It takes no longer for that, and the worker learns of it."""
    hub.tunnels["mlflow"] = str(tmp_path / "socket")
    with begin(hub, {"tunnel": "mlflow"}, b"one") as line:
        time.sleep(0.1)
        began = time.monotonic()
        hub.close()
        assert heard(line) == b""
        assert line.gone is not None
    assert time.monotonic() - began < 3
