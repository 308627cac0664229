"""A tunnel between a client and an HTTP server that knows only the hub: whole, guarded, bounded."""

import base64
import contextlib
import hashlib
import http.client
import http.server
import queue
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyfit.remote.hub import Hub
from manyfit.remote.line import dial
from manyfit.remote.tunnel import MLFLOW, URI, Tunnel, own_address
from manyfit.remote.wire import Credentials
from manyfit.worker.timings import Timings

USER, PASSWORD, TOKEN = (f"MLFLOW_TRACKING_{name}" for name in ("USERNAME", "PASSWORD", "TOKEN"))


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with what it was sent, or with as much as it is asked for."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.server.seen.append(self.headers["Authorization"])
        length = int(self.headers["Content-Length"])
        digest, left = hashlib.sha256(), length
        while left:
            piece = self.rfile.read(min(left, 1 << 16))
            digest.update(piece)
            left -= len(piece)
        self._answer(digest.hexdigest().encode())

    def do_GET(self):
        self._answer(b"x" * int(self.path.rpartition("/")[2]))

    def _answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    """One that only the driver's side knows."""
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    running.seen = []
    thread = threading.Thread(target=running.serve_forever, args=(0.05,))
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture
def hub():
    """The driver's."""
    with contextlib.closing(Hub("127.0.0.1", 0, queue.SimpleQueue())) as running:
        yield running


@pytest.fixture
def opened(hub):
    """A function that opens a worker's."""
    with contextlib.ExitStack() as stack:

        def start(**timings):
            tunnel = Tunnel(
                lambda: dial([("127.0.0.1", hub.port)], hub.credentials), Timings(**timings)
            )
            return stack.enter_context(contextlib.closing(tunnel))

        yield start


@pytest.fixture
def tunnel(opened):
    """A worker's, as users have it."""
    return opened()


def led_to(server, hub, tunnel):
    """Return what an objective is given that logs to a server."""
    hub.tunnels[MLFLOW] = ("127.0.0.1", server.server_port)
    return tunnel.variables({URI: f"http://localhost:{server.server_port}"})


@pytest.fixture
def variables(tunnel, hub, server):
    """What the objective is given."""
    return led_to(server, hub, tunnel)


def connect(variables):
    port = int(variables[URI].rpartition(":")[2])
    return contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30))


def bearer(variables):
    return {"Authorization": f"Bearer {variables[TOKEN]}"}


def ask(variables, method="GET", path="/5", body=None, headers=None):
    with connect(variables) as connection:
        connection.request(method, path, body, headers or bearer(variables))
        answer = connection.getresponse()
        return answer.status, answer.read()


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("http://localhost:5000", ("localhost", 5000)),
        ("http://LOCALHOST", ("localhost", 80)),
        ("http://127.0.0.1:5000/mlflow", ("127.0.0.1", 5000)),
        ("http://127.1.2.3:1", ("127.1.2.3", 1)),
        ("http://[::1]:5000", ("::1", 5000)),
        ("http://ann:pw@localhost:5000", ("localhost", 5000)),
        ("http+unix://%2Ftmp%2Fa b%2Fmlflow", "/tmp/a b/mlflow"),
        ("https://localhost:5000", None),
        ("http://localhost.example.com", None),
        ("http://10.0.0.1:5000", None),
        ("http://localhost:port", None),
        ("http://[::1", None),
        ("databricks", None),
        ("sqlite:///mlflow.db", None),
        ("", None),
    ],
)
def test_which_servers_only_their_own_machine_reaches(uri, address):
    """Those by HTTP on loopback, in all its forms, and those at sockets of the file system."""
    assert own_address(uri) == address


@given(st.text())
def test_any_text_may_be_a_uri(text):
    """What is no URI is no address either, and no error."""
    assert own_address(text) is None


@pytest.mark.parametrize("uri", ["http://mlflow.example.com", "databricks", "sqlite:///x.db", None])
def test_other_servers_need_no_tunnel(tunnel, uri):
    """The environment stays as it is."""
    assert tunnel.variables({URI: uri} if uri else {}) == {}


def test_a_request_and_its_answer(variables, server):
    """They arrive as they were sent, request after request on one connection."""
    with connect(variables) as connection:
        for body in (b"a" * 10, b"b" * 1_000_000):
            connection.request("POST", "/", body, bearer(variables))
            assert connection.getresponse().read().decode() == hashlib.sha256(body).hexdigest()
            connection.request("GET", f"/{len(body)}")
            assert connection.getresponse().read() == b"x" * len(body)


@pytest.mark.parametrize(
    "headers",
    [
        {"X": "none"},
        {"Authorization": "Bearer guess"},
        {"Authorization": ""},
        {"Proxy-Authorization": "Bearer guess"},
    ],
)
def test_strangers_are_refused(variables, server, headers):
    """Without the objective's token there is a 401, and the server hears nothing."""
    assert ask(variables, "POST", "/", b"x", headers)[0] == 401
    assert server.seen == []


def test_two_credentials_are_none(variables, server):
    """A right one beside a wrong one is refused: who knows which one a server looks at."""
    with connect(variables) as connection:
        connection.putrequest("POST", "/")
        connection.putheader("Authorization", "Bearer guess")
        connection.putheader("Authorization", bearer(variables)["Authorization"])
        connection.endheaders()
        assert connection.getresponse().status == 401
    assert server.seen == []


def test_a_head_without_end_is_cut_off(variables):
    """A client that never completes its request is disconnected."""
    with connect(variables) as connection:
        connection.connect()
        with pytest.raises(ConnectionError):
            connection.sock.sendall(b"x" * 10_000_000)


@pytest.mark.parametrize(
    ("given", "uri", "expected"),
    [
        ({USER: "ann", PASSWORD: "pw", TOKEN: "no"}, "localhost", "Basic " + "YW5uOnB3"),
        ({TOKEN: "mine"}, "localhost", "Bearer mine"),
        ({}, "ann:p%40w@localhost", "Basic " + base64.b64encode(b"ann:p@w").decode()),
    ],
)
def test_the_users_own_credentials(tunnel, hub, server, given, uri, expected):
    """What the user's server wants is what the tunnel wants, and it arrives there unchanged."""
    hub.tunnels[MLFLOW] = ("127.0.0.1", server.server_port)
    variables = tunnel.variables({URI: f"http://{uri}:{server.server_port}", **given})
    assert TOKEN not in variables
    assert ask(variables, "POST", "/", b"", {"Authorization": "Basic guess"})[0] == 401
    assert ask(variables, "POST", "/", b"", {"Authorization": expected})[0] == 200
    assert server.seen == [expected]
    if "@" in uri:
        assert (variables[USER], variables[PASSWORD]) == ("ann", "p@w")


def test_a_servers_path_is_kept(tunnel):
    """A server below a path is still below it, and the tunnel's port doesn't change."""
    one = tunnel.variables({URI: "http://localhost:1/below/here"})[URI]
    other = tunnel.variables({URI: "http+unix://%2Ftmp%2Fx"})[URI]
    assert one == f"{other}/below/here"


def test_many_at_once(variables):
    """Connections don't wait for one another."""
    with ThreadPoolExecutor(32) as pool:
        answers = pool.map(lambda n: ask(variables, path=f"/{n * 1000}"), range(64))
        assert [len(body) for _, body in answers] == [n * 1000 for n in range(64)]


def test_strangers_hold_nobody_up(variables):
    """However many are connected and say nothing, a request is answered at once."""
    port = int(variables[URI].rpartition(":")[2])
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        crowd = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(200)
        ]
        assert ask(variables)[0] == 200
        crowd[0].settimeout(20)
        with contextlib.suppress(ConnectionError):
            assert crowd[0].recv(1) == b""
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "megabytes",
    [5, pytest.param(100, marks=[pytest.mark.integration, pytest.mark.soak("throughput")])],
)
def test_a_large_upload_and_download(variables, megabytes):
    """Much arrives whole, either way."""
    size = megabytes * 1_000_000
    body = bytes(100) * (size // 100)
    answer = ask(variables, "POST", "/", body)
    assert answer == (200, hashlib.sha256(body).hexdigest().encode())
    assert len(ask(variables, path=f"/{size}")[1]) == size


# Far more than Linux buffers: up to 32 MB for each of the connections on the way.
ENDLESS = 400_000_000


def test_a_server_that_does_not_read_is_waited_for(variables, hub):
    """What it doesn't take stays with the objective: neither worker nor driver hold more of it."""
    with socket.create_server(("127.0.0.1", 0)) as deaf, connect(variables) as connection:
        hub.tunnels[MLFLOW] = deaf.getsockname()
        connection.connect()
        head = f"POST / HTTP/1.1\r\nAuthorization: Bearer {variables[TOKEN]}\r\n\r\n"
        connection.sock.sendall(head.encode())
        taken, _ = deaf.accept()
        sent = flood(connection.sock)
        taken.close()
    assert sent < ENDLESS


def test_an_objective_that_does_not_read_is_waited_for(variables, hub):
    """What it doesn't take stays with the server."""
    with socket.create_server(("127.0.0.1", 0)) as talkative, connect(variables) as connection:
        hub.tunnels[MLFLOW] = talkative.getsockname()
        connection.request("GET", "/", headers=bearer(variables))
        taken, _ = talkative.accept()
        sent = flood(taken)
        taken.close()
    assert sent < ENDLESS


def flood(sock):
    """Send until nobody has taken anything for a while; returns how many bytes that was."""
    sock.settimeout(0.5)
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < ENDLESS:
            sent += sock.send(b"x" * 100_000)
    return sent


def test_a_driver_that_is_gone(variables, hub):
    """Its end is the connection's end, at once, and so it is for later ones."""
    with connect(variables) as connection:
        connection.request("GET", "/5", headers=bearer(variables))
        connection.getresponse().read()
        began = time.monotonic()
        hub.close()
        assert connection.sock.recv(1) == b""
    with pytest.raises((OSError, http.client.HTTPException)):
        ask(variables)
    assert time.monotonic() - began < 5


def test_a_closed_tunnel(variables, tunnel):
    """Nobody gets in any more; closing twice is fine."""
    tunnel.close()
    tunnel.close()
    with pytest.raises(ConnectionRefusedError):
        ask(variables)


def test_a_tunnel_that_nobody_needed():
    """It has opened no port, and closes."""
    Tunnel(lambda: dial([], Credentials(b"", b""))).close()
