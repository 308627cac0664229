"""A tunnel from a worker's machine to an MLflow server that only the driver's machine can reach.

::

    objective ──HTTP──► tunnel, on loopback ──frames──► hub ──bytes──► server, on the driver's side

Each connection to the tunnel is forwarded over its own connection to the driver, encrypted like any
other. Every user of the worker's machine can connect to the tunnel. Each connection must therefore
begin with a request that has the credentials, which only the objective received.
"""

import base64
import contextlib
import hmac
import ipaddress
import secrets
import select
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import TypeAlias
from urllib.parse import unquote, urlsplit

from manyfit.remote.line import Line, UnreachableError
from manyfit.worker.timings import USUAL, Timings

# The address of a server: a host and a port, or the path of a Unix socket.
Address: TypeAlias = tuple[str, int] | str

MLFLOW = "mlflow"  # the hub's name for the tunnel's other end
URI = "MLFLOW_TRACKING_URI"
_USER = "MLFLOW_TRACKING_USERNAME"
_PASSWORD = "MLFLOW_TRACKING_PASSWORD"  # noqa: S105 - the name of a variable
_TOKEN = "MLFLOW_TRACKING_TOKEN"  # noqa: S105

_PIECE = 1 << 16
_PAUSE = 0.05
_MOST_CONNECTIONS = 128  # at a time; of strangers, as many again
_MOST_HEAD = 1 << 16  # bytes of a request's, before its credentials are known
_REFUSAL = (
    b"HTTP/1.1 401 Unauthorized\r\nContent-Type: text/plain\r\nConnection: close\r\n"
    b"Content-Length: 36\r\n\r\nThis MLflow server is another's. Bye"
)


def own_address(uri: str) -> Address | None:
    """Return the address of a server that only its own machine can reach; None for any other.

    That is HTTP on loopback, or a Unix socket. TLS on loopback isn't supported, because its
    certificate would be invalid at the tunnel's end.

    Example:
        >>> own_address("http://localhost:5000"), own_address("http+unix://%2Ftmp%2Fmlflow.sock")
        (('localhost', 5000), '/tmp/mlflow.sock')
        >>> own_address("http://mlflow.example.com") is None
        True
    """
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname or "", parts.port or 80
    except ValueError:
        return None
    if parts.scheme == "http+unix":
        return unquote(parts.netloc)
    return (host, port) if parts.scheme == "http" and _is_loopback(host) else None


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Tunnel:
    """The worker's end, which starts to listen when an objective first needs it.

    Args:
        dial: Makes a new connection to the driver.
        timings: The time for a connection to show its credentials.
    """

    def __init__(self, dial: Callable[[], Line], timings: Timings = USUAL) -> None:
        self._dial = dial
        self._timings = timings
        self._token = secrets.token_urlsafe(32)
        self._expected = b""
        self._listener: socket.socket | None = None
        self._places = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        self._strangers: dict[socket.socket, None] = {}  # in the order of their coming
        self._lock = threading.Lock()

    def variables(self, env: Mapping[str, str]) -> dict[str, str]:
        """Return variables that direct an objective's MLflow to the tunnel, if its server needs it.

        Args:
            env: The objective's environment without the tunnel.
        """
        uri = env.get(URI, "")
        if own_address(uri) is None:
            return {}
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", 0), backlog=_MOST_CONNECTIONS)
            threading.Thread(
                target=self._accept, args=(self._listener,), name="manyfit-tunnel", daemon=True
            ).start()
        parts = urlsplit(uri)
        path = parts.path if parts.scheme == "http" else ""
        found = {URI: f"http://127.0.0.1:{self._listener.getsockname()[1]}{path}"}
        if parts.username:
            found |= {_USER: unquote(parts.username), _PASSWORD: unquote(parts.password or "")}
        given = _authorization({**env, **found})
        if given is None:  # a server that asks for no credentials doesn't look at these
            found[_TOKEN] = self._token
        self._expected = given or f"Bearer {self._token}".encode()
        return found

    def close(self) -> None:
        """Stop listening. Open connections end with the objective, or with the driver."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)  # a close alone wakes no `accept`
            self._listener.close()

    def _accept(self, listener: socket.socket) -> None:
        while listener.fileno() >= 0:
            try:
                client, _ = listener.accept()
            except OSError:
                time.sleep(_PAUSE)  # closed, or this process has too many files open
                continue
            self._wait_with_others(client)
            threading.Thread(
                target=self._serve, args=(client,), name="manyfit-tunnel", daemon=True
            ).start()

    def _wait_with_others(self, stranger: socket.socket) -> None:
        """Add a connection without credentials yet; if there are too many, drop the oldest."""
        with self._lock:
            if len(self._strangers) >= _MOST_CONNECTIONS:
                oldest = next(iter(self._strangers))
                del self._strangers[oldest]
                with contextlib.suppress(OSError):
                    oldest.shutdown(socket.SHUT_RDWR)  # its thread closes it
            self._strangers[stranger] = None

    def _serve(self, client: socket.socket) -> None:
        """Serve one connection; an error ends only this one."""
        with contextlib.suppress(OSError, UnreachableError), client:
            try:
                head = _read_head(client, self._timings.handshake)
            finally:
                with self._lock:
                    self._strangers.pop(client, None)
            if not _is_authorized(head, self._expected):
                client.sendall(_REFUSAL)
                return
            with self._places, contextlib.closing(self._dial()) as line:
                line.send({"tunnel": MLFLOW}, head)
                _pass_on(client, line)


def _authorization(env: Mapping[str, str]) -> bytes | None:
    """Return the credentials that MLflow's client will send, if it has any."""
    user, password, token = (env.get(name, "") for name in (_USER, _PASSWORD, _TOKEN))
    if user and password:
        return b"Basic " + base64.standard_b64encode(f"{user}:{password}".encode())
    return f"Bearer {token}".encode() if token else None


def _read_head(client: socket.socket, within: float) -> bytes:
    """Return the first request's head, and whatever arrived with it."""
    deadline = time.monotonic() + within
    head = b""
    while b"\r\n\r\n" not in head:
        left = deadline - time.monotonic()
        if left <= 0 or len(head) > _MOST_HEAD:
            raise ConnectionAbortedError("no request")
        client.settimeout(left)
        piece = client.recv(_PIECE)
        if not piece:
            raise ConnectionAbortedError("no request")
        head += piece
    return head


def _is_authorized(head: bytes, expected: bytes) -> bool:
    lines = head.partition(b"\r\n\r\n")[0].split(b"\r\n")
    named = (line.partition(b":") for line in lines[1:])
    found = [value.strip() for name, _, value in named if name.strip().lower() == b"authorization"]
    return len(found) == 1 and hmac.compare_digest(found[0], expected)


def _pass_on(client: socket.socket, line: Line) -> None:
    """Forward bytes both ways, a piece at a time, until one end disconnects.

    An end that accepts no data pauses the other one, so nothing accumulates here.
    """
    client.settimeout(line.timings.silence)
    ready = select.poll()
    ready.register(client, select.POLLIN)
    ready.register(line, select.POLLIN)
    while line.gone is None:
        readable = [fd for fd, _ in ready.poll(1000)]
        if client.fileno() in readable:
            data = client.recv(_PIECE)
            if not data:
                return
            line.send({}, data)
        for frame in line.receive():
            if frame.blob:
                client.sendall(frame.blob)
