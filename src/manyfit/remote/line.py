"""A worker's end of the network connection to its driver."""

import select
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from manyfit.remote.wire import Credentials, Frame, WireError, WorkerWire
from manyfit.worker.timings import USUAL, Timings

_READ = 1 << 18
_MOST_FRAMES = 64  # received at once, so that endless data can't fill the memory
# A driver that disconnects during the handshake may have had too many other connections.
_TRIES = 5
_PAUSE = 0.2


class UnreachableError(Exception):
    """The driver can't be reached; the message has the addresses tried and their errors."""


class Line:
    """An open, authenticated connection to the driver.

    Args:
        connection: A socket that is connected to the driver.
        credentials: The study's credentials.
        timings: The time for the handshake, and the time after which a silent driver is considered
            gone; it sends something every few seconds.

    Raises:
        OSError: The driver disconnected, or isn't this study's.
    """

    def __init__(
        self, connection: socket.socket, credentials: Credentials, timings: Timings = USUAL
    ) -> None:
        self.timings = timings
        self._socket = connection
        self._wire = WorkerWire(credentials)
        self._using_wire = threading.Lock()
        self._sending = threading.Lock()  # sending may take long; reading continues meanwhile
        self._early: list[Frame] = []
        self._heard_at = time.monotonic()
        self._readable = select.poll()  # not select(), which is limited to descriptors up to 1023
        self._readable.register(connection, select.POLLIN)
        self.gone: str | None = None  # why the driver is gone, if it is
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._get_to_know()
        connection.settimeout(timings.silence)

    def _get_to_know(self) -> None:
        deadline = time.monotonic() + self.timings.handshake
        while not self._wire.trusted:
            if (left := deadline - time.monotonic()) <= 0:
                raise TimeoutError("timed out")
            self._socket.settimeout(left)
            self._socket.sendall(self._wire.outgoing())
            data = self._socket.recv(_READ)
            if not data:
                raise ConnectionResetError("it hung up")
            self._early += self._feed(data)

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when there is something to receive."""
        return self._socket.fileno()

    def send(self, message: Mapping[str, Any], blob: bytes = b"") -> None:
        """Send a message, from any thread; if that fails, the driver is `gone`."""
        with self._sending:  # encrypted data must be sent in the order of packing
            if self.gone is None:
                try:
                    with self._using_wire:
                        pieces = self._wire.pack(message, blob)
                    for piece in pieces:
                        self._socket.sendall(piece)
                except OSError as error:
                    self.gone = f"nothing can be sent to the driver ({error})"

    def receive(self) -> list[Frame]:
        """Return frames that have arrived, without blocking, up to a limit.

        It sets `gone` if the driver is gone.
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
            with self._using_wire:
                return self._wire.feed(data)
        except WireError as error:
            raise ConnectionAbortedError(str(error)) from error

    def close(self) -> None:
        """Disconnect."""
        self._socket.close()


def dial(
    addresses: Sequence[tuple[str, int]], credentials: Credentials, timings: Timings = USUAL
) -> Line:
    """Connect to the driver by the first address that works.

    Args:
        addresses: Hosts and ports at which the driver may be reached.
        credentials: The study's credentials.
        timings: The time for each address, and the timings of the line.

    Raises:
        UnreachableError: None of them works.
    """
    tried = []
    for address in addresses:
        try:
            return _connect_again(address, credentials, timings)
        except OSError as error:
            tried.append(f"{address[0]}:{address[1]} ({error})")
    here = socket.gethostname()
    raise UnreachableError(f"from {here}, the driver can't be reached at {', '.join(tried)}")


def _connect_again(address: tuple[str, int], credentials: Credentials, timings: Timings) -> Line:
    for _ in range(_TRIES - 1):
        try:
            return _connect(address, credentials, timings)
        except (ConnectionResetError, BrokenPipeError):
            time.sleep(_PAUSE)
    return _connect(address, credentials, timings)


def _connect(address: tuple[str, int], credentials: Credentials, timings: Timings) -> Line:
    connection = socket.create_connection(address, timeout=timings.handshake)
    try:
        return Line(connection, credentials, timings)
    except OSError:
        connection.close()
        raise
