"""The driver's end of the network: a server, in a thread of its own, to which workers connect.

::

    driver's thread ──send──►┌─────┐◄──TCP──► worker
                    ◄─inbox──│ hub │◄──TCP──► worker
                             └─────┘◄──TCP──► ...

Clients that fail the handshake are disconnected; nothing they send is parsed.
"""

import asyncio
import contextlib
import queue
import resource
import secrets
import socket
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from manyfit.errors import ExecutorError
from manyfit.remote.certificate import certified_context
from manyfit.remote.tunnel import Address
from manyfit.remote.tunnel_server import Outlet
from manyfit.remote.wire import Credentials, DriverWire, Frame, WireError
from manyfit.worker.timings import USUAL, Timings

_MOST_STRANGERS = 512  # connections without TLS yet, and as many without the secret yet
_QUEUE = 1024  # connections that the kernel keeps until they are accepted
# Bytes from a worker that the driver has not handled yet. Beyond this, reading pauses.
_MOST_UNTAKEN = 1 << 25


class News(NamedTuple):
    """A message from a connection, or its end.

    Attributes:
        connection: The number of the connection, from 0; numbers are never reused.
        frame: The message; None if the connection has ended.
        why: Why it has ended.
    """

    connection: int
    frame: Frame | None
    why: str = ""


class Hub:
    """Listens, keeps connections, and puts what arrives into an inbox, as `News`.

    The first news of a connection is the first message of an authenticated worker.

    Attributes:
        credentials: The credentials of workers, made here.

    Args:
        host: The address to listen at; empty for all of this machine's.
        port: The port to listen at; 0 for any free port.
        inbox: The queue for news.
        timings: Intervals and timeouts.

    Raises:
        ExecutorError: It can't listen there.
        MissingExtraError: cryptography is not installed.
    """

    def __init__(
        self,
        host: str,
        port: int,
        inbox: "queue.SimpleQueue[Any]",
        timings: Timings = USUAL,
    ) -> None:
        self.inbox = inbox
        self.context, fingerprint = certified_context()
        self.credentials = Credentials(secrets.token_bytes(32), fingerprint)
        self.timings = timings
        self.connections: dict[int, _Connection] = {}
        self.strangers: dict[_Connection, None] = {}  # who have said nothing, the oldest first
        self.greeted: dict[_Connection, None] = {}  # who have yet to prove who they are
        self.tunnels: dict[str, Address] = {}  # servers that workers may reach by way of here
        self.tunnelled: set[_Connection] = set()  # connections to them; they are no workers'
        self._numbers = 0
        self._last_message: Mapping[str, Any] | None = None
        self._closing = asyncio.Event()
        self.most_strangers = _places_to_wait()
        self._socket = _listen(host, port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="manyfit-hub", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port it listens at."""
        return int(self._socket.getsockname()[1])

    def send(self, connection: int, message: Mapping[str, Any], blob: bytes = b"") -> None:
        """Send a message, which is lost if the connection has ended."""
        self._tell(self._send, connection, message, blob)

    def dismiss(self, message: Mapping[str, Any]) -> None:
        """Send a last message to every worker, including those that connect later."""
        self._tell(self._dismiss, message)

    def took(self, news: News) -> None:
        """Note that news have been handled, so that reading from a busy worker may continue."""
        connection = self.connections.get(news.connection)
        if connection is not None and news.frame is not None and connection.untaken.take():
            self._tell(connection.read_on)

    def hang_up(self, connection: int) -> None:
        """End a connection."""
        self._tell(self._hang_up, connection)

    def close(self) -> None:
        """Let what was sent leave, hang up on everybody, stop listening. Safe to call twice."""
        self._tell(self._closing.set)
        self._thread.join()

    def _tell(self, function: Callable[..., None], *args: Any) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *args)

    # ── on the hub's thread ───────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        server = await self._loop.create_server(
            lambda: _Connection(self),
            sock=self._socket,
            # Far fewer than may wait, so that what those have said is read in between.
            backlog=max(1, self.most_strangers // 8),
        )
        self._socket.listen(_QUEUE)  # asyncio has made it as short as what it accepts at once
        self._ping()
        await self._closing.wait()
        for connection in self.tunnelled:
            connection.abort("the study ended")
        self._loop.remove_reader(self._socket)
        if coming := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(coming)  # a server that is closed while it lets one in loses it
        server.close()
        await self._drain()

    async def _drain(self) -> None:
        """Give what was sent a moment to leave, and close everything."""
        for connection in self._everybody():
            connection.hang_up("the study ended")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                while self._everybody():
                    await asyncio.sleep(0.01)
        for connection in self._everybody():
            connection.abort()
        await asyncio.sleep(0)

    def _everybody(self) -> "list[_Connection]":
        return [*self.connections.values(), *self.strangers, *self.greeted, *self.tunnelled]

    def wait_with(self, others: "dict[_Connection, None]", connection: "_Connection") -> None:
        """Add an unauthenticated connection to others like it; of too many, drop the oldest.

        Connections with and without TLS are limited separately, so that silent ones can't crowd
        out workers in their handshake.
        """
        self.strangers.pop(connection, None)
        if len(others) >= self.most_strangers:
            oldest = next(iter(others))
            del others[oldest]
            oldest.abort()
        others[connection] = None

    def admit(self, connection: "_Connection") -> int:
        """Assign a number to an authenticated worker."""
        self.strangers.pop(connection, None)
        self.greeted.pop(connection, None)
        number = self._numbers
        self._numbers += 1
        self.connections[number] = connection
        if self._last_message is not None:
            connection.send(self._last_message)
        return number

    def _send(self, number: int, message: Mapping[str, Any], blob: bytes) -> None:
        connection = self.connections.get(number)
        if connection is not None:
            connection.send(message, blob)

    def _dismiss(self, message: Mapping[str, Any]) -> None:
        self._last_message = message
        for connection in list(self.connections.values()):
            connection.send(message)

    def _hang_up(self, number: int) -> None:
        connection = self.connections.get(number)
        if connection is not None:
            connection.hang_up("the driver hung up")

    def _ping(self) -> None:
        now, silence = self._loop.time(), self.timings.silence
        for connection in list(self.connections.values()):
            if now - connection.heard_at > silence and not connection.untaken.is_much:
                connection.abort(f"nothing was heard of it for {silence:g} s")
            else:
                connection.send({"ping": True})
        for connection in self.tunnelled:
            connection.send({"ping": True})
        self._loop.call_later(self.timings.ping, self._ping)


class _Untaken:
    """The sizes of messages that the driver hasn't handled: the hub adds, the driver removes."""

    def __init__(self) -> None:
        self.is_much = False
        self._sizes: deque[int] = deque()
        self._said = 0
        self._taken = 0

    def add(self, size: int) -> bool:
        """Add a message; returns whether the limit is now exceeded."""
        self._sizes.append(size)
        self._said += size
        self.is_much = self._said - self._taken > _MOST_UNTAKEN
        return self.is_much

    def take(self) -> bool:
        """Remove the oldest message; returns whether there is room again after an excess."""
        self._taken += self._sizes.popleft()
        return self.is_much and self._said - self._taken < _MOST_UNTAKEN // 2


class _Connection(asyncio.Protocol):
    """One connection, before and after its authentication."""

    def __init__(self, hub: Hub) -> None:
        self.heard_at = 0.0
        self.untaken = _Untaken()
        self._hub = hub
        self._wire = DriverWire(hub.context, hub.credentials.secret)
        self._number: int | None = None
        self._has_spoken = False
        self._unread = 0  # bytes received since the last message
        self._outlet: Outlet | None = None
        self._why = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Give the other end some time to authenticate."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError(f"not a stream: {transport!r}")
        self._transport = transport
        self._hub.wait_with(self._hub.strangers, self)
        loop = asyncio.get_running_loop()
        within = self._hub.timings.handshake
        self._patience = loop.call_later(within, self._give_up_on_stranger)

    def data_received(self, data: bytes) -> None:
        """Decrypt and handle data."""
        self.heard_at = asyncio.get_running_loop().time()
        self._unread += len(data)
        try:
            frames = self._wire.feed(data)
        except WireError as error:
            self.abort(str(error))
            return
        if self._wire.greeted and self in self._hub.strangers:
            self._hub.wait_with(self._hub.greeted, self)
        self._transport.write(self._wire.outgoing())
        if self._number is None and not self._has_spoken and self._wire.trusted:
            self._number = self._hub.admit(self)
        for frame in frames:
            self._take(frame)

    def _take(self, frame: Frame) -> None:
        if not self._has_spoken and self._number is not None and "tunnel" in frame.message:
            self._become_tunnel(self._number, frame.message["tunnel"])
        self._has_spoken = True
        if self._outlet is not None:
            self._outlet.write(frame.blob)
        elif self._number is not None:
            size, self._unread = self._unread, 0
            if self.untaken.add(size):
                self._transport.pause_reading()
            self._hub.inbox.put(News(self._number, frame))

    def _become_tunnel(self, number: int, name: object) -> None:
        """Forward to a server on this machine from now on."""
        del self._hub.connections[number]
        self._number = None
        self._hub.tunnelled.add(self)
        address = self._hub.tunnels.get(name) if isinstance(name, str) else None
        if address is None:
            self.abort(f"there is no tunnel {name!r:.100}")
        else:
            self._outlet = Outlet(self, address)

    def read_on(self) -> None:
        """Resume reading, because the driver has room again."""
        self.untaken.is_much = False
        self.heard_at = asyncio.get_running_loop().time()
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def flow(self, *, on: bool) -> None:
        """Resume or pause reading."""
        (self._transport.resume_reading if on else self._transport.pause_reading)()

    def pause_writing(self) -> None:
        """Pause a tunnel's server, because the other end accepts no more data."""
        if self._outlet is not None:
            self._outlet.flow(on=False)

    def resume_writing(self) -> None:
        """Resume a tunnel's server."""
        if self._outlet is not None:
            self._outlet.flow(on=True)

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the end of a worker's connection."""
        self._patience.cancel()
        self._hub.strangers.pop(self, None)
        self._hub.greeted.pop(self, None)
        self._hub.tunnelled.discard(self)
        if self._outlet is not None:
            self._outlet.close()
        if self._number is not None:
            del self._hub.connections[self._number]
            self._hub.inbox.put(News(self._number, None, self._why or str(exc or "it hung up")))

    def send(self, message: Mapping[str, Any], blob: bytes = b"") -> None:
        """Send a message."""
        if not self._transport.is_closing():
            for piece in self._wire.pack(message, blob):
                self._transport.write(piece)

    def hang_up(self, why: str) -> None:
        """Close it once everything is sent."""
        self._why = why
        self._transport.close()

    def abort(self, why: str = "") -> None:
        """Close it at once."""
        self._why = why
        self._transport.abort()

    def _give_up_on_stranger(self) -> None:
        if not self._wire.trusted:
            self.abort("it didn't prove who it is")


def _places_to_wait() -> int:
    """Return the number of connections of a kind that may wait: 1/8 of the file limit."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return _MOST_STRANGERS
    return min(_MOST_STRANGERS, files // 8)


def _listen(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = min(found, key=lambda info: info[0])  # IPv4 first
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(_QUEUE)  # fails here if the port is taken
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise ExecutorError(
            f"can't listen for workers at {host or 'any address'}, port {port or 'any'}: {error}. "
            "Give host= and port= at which this machine can be reached from the cluster"
        ) from error
    return listener
