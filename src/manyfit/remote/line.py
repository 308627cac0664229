"""A worker's end of the network connection to its driver."""

import select
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from manyfit.remote.wire import Frame, Wire, WireError
from manyfit.worker.timings import USUAL, Timings

_READ = 1 << 18
_MOST_FRAMES = 64  # received at once: a driver that sends without end must not fill the memory
# A driver that hangs up before it knows who this is may have been crowded by strangers.
_TRIES = 5
_PAUSE = 0.2


class UnreachableError(Exception):
    """The driver can't be reached from here; says where it was tried and what happened."""


class Line:
    """An open connection to the driver, which has proved that it knows the secret.

    Args:
        connection: Connected to the driver.
        secret: The study's.
        timings: How long getting to know each other may take, and how long the driver may then be
            silent; it says something every few seconds.

    Raises:
        OSError: The driver hung up, or is no driver of this study.
    """

    def __init__(self, connection: socket.socket, secret: bytes, timings: Timings = USUAL) -> None:
        self.timings = timings
        self._socket = connection
        self._wire = Wire(secret, "worker")
        self._lock = threading.Lock()
        self._early: list[Frame] = []
        self._heard_at = time.monotonic()
        self._readable = select.poll()  # not select(), which knows no descriptor above 1023
        self._readable.register(connection, select.POLLIN)
        self.gone: str | None = None  # why nothing more will come, once that is so
        connection.settimeout(timings.handshake)
        while not self._wire.trusted:
            connection.sendall(self._wire.outgoing())
            data = connection.recv(_READ)
            if not data:
                raise ConnectionResetError("it hung up")
            self._early += self._feed(data)
        connection.sendall(self._wire.outgoing())
        connection.settimeout(timings.silence)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def fileno(self) -> int:
        """Return the descriptor that turns readable when there is something to receive."""
        return self._socket.fileno()

    def send(self, message: Mapping[str, Any], blob: bytes = b"") -> None:
        """Send a message, from any thread; if that fails, the driver is `gone`."""
        with self._lock:  # frames are numbered, so they leave in the order they were packed in
            if self.gone is None:
                try:
                    self._socket.sendall(self._wire.pack(message, blob))
                except OSError as error:
                    self.gone = f"nothing can be sent to the driver ({error})"

    def receive(self) -> list[Frame]:
        """Return what has arrived, without waiting, or the first of much.

        Finds out when the driver is `gone`.
        """
        frames, self._early = self._early, []
        while self.gone is None and len(frames) < _MOST_FRAMES and self._readable.poll(0):
            try:
                data = self._socket.recv(_READ)
                frames += self._feed(data)
            except OSError as error:
                self.gone = f"the connection to the driver broke ({error})"
            else:
                self._heard_at = time.monotonic()
                if not data:
                    self.gone = "the driver closed the connection"
        silence = self.timings.silence
        if time.monotonic() - self._heard_at > silence:
            self.gone = f"nothing was heard of the driver for {silence:g} s"
        return frames

    def _feed(self, data: bytes) -> list[Frame]:
        try:
            return self._wire.feed(data)
        except WireError as error:
            raise ConnectionAbortedError(str(error)) from error

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def dial(addresses: Sequence[tuple[str, int]], secret: bytes, timings: Timings = USUAL) -> Line:
    """Connect to the driver by the first address that works.

    Args:
        addresses: Hosts and ports at which the driver may be reached.
        secret: The study's.
        timings: How long each address is given, and what the line is.

    Raises:
        UnreachableError: None of them works.
    """
    tried = []
    for address in addresses:
        try:
            return _connect_again(address, secret, timings)
        except OSError as error:
            tried.append(f"{address[0]}:{address[1]} ({error})")
    here = socket.gethostname()
    raise UnreachableError(f"from {here}, the driver can't be reached at {', '.join(tried)}")


def _connect_again(address: tuple[str, int], secret: bytes, timings: Timings) -> Line:
    for _ in range(_TRIES - 1):
        try:
            return _connect(address, secret, timings)
        except (ConnectionResetError, BrokenPipeError):
            time.sleep(_PAUSE)
    return _connect(address, secret, timings)


def _connect(address: tuple[str, int], secret: bytes, timings: Timings) -> Line:
    connection = socket.create_connection(address, timeout=timings.handshake)
    try:
        return Line(connection, secret, timings)
    except OSError:
        connection.close()
        raise
