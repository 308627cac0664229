"""The driver's end of a tunnel: a connection to a server that only this machine can reach."""

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from manyfit.remote.tunnel import Address

# A server at a socket of the file system may be just starting, which takes MLflow some seconds.
_PATIENCE = 90.0
_PAUSE = 0.1


class Inlet(Protocol):
    """The connection that a worker has opened for this."""

    def send(self, message: Mapping[str, Any], blob: bytes = b"") -> None:
        """Send a message."""

    def hang_up(self, why: str) -> None:
        """End it when what was sent has left."""

    def flow(self, *, on: bool) -> None:
        """Read on, or leave what the worker sends in the network."""


class Outlet(asyncio.Protocol):
    """Passes on to the server what a worker sends, and the other way round.

    Each side is read only as fast as the other one takes it. All on the hub's thread.

    Args:
        inlet: The worker's connection.
        address: Where the server listens.
    """

    def __init__(self, inlet: Inlet, address: Address) -> None:
        self._inlet = inlet
        self._early: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        inlet.flow(on=False)
        self._connecting = asyncio.get_running_loop().create_task(self._connect(address))

    def write(self, data: bytes) -> None:
        """Pass on to the server; before it is there, what had come already is kept."""
        if self._transport is None:
            self._early.append(data)
        else:
            self._transport.write(data)

    def flow(self, *, on: bool) -> None:
        """Read on, or leave what the server sends in the network."""
        if self._transport is not None:
            (self._transport.resume_reading if on else self._transport.pause_reading)()

    def close(self) -> None:
        """Hang up on the server."""
        self._connecting.cancel()
        if self._transport is not None:
            self._transport.close()

    # ── what asyncio calls ────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to pass on."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError(f"not a stream: {transport!r}")
        self._transport = transport
        for data in self._early:
            transport.write(data)
        self._early.clear()
        self._inlet.flow(on=True)

    def data_received(self, data: bytes) -> None:
        """Pass on to the worker."""
        self._inlet.send({}, data)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the worker's connection as well."""
        self._inlet.hang_up(str(exc or "the server hung up"))

    def pause_writing(self) -> None:
        """Hold the worker up: the server takes no more."""
        self._inlet.flow(on=False)

    def resume_writing(self) -> None:
        """Have the worker go on."""
        self._inlet.flow(on=True)

    async def _connect(self, address: Address) -> None:
        loop = asyncio.get_running_loop()
        try:
            if isinstance(address, str):
                await self._connect_to_file(address)
            else:
                await loop.create_connection(lambda: self, *address)
        except OSError as error:
            self._inlet.hang_up(f"the server can't be reached: {error}")

    async def _connect_to_file(self, path: str) -> None:
        """Connect; waits for a server that isn't there yet, as long as its folder is."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                while Path(path).parent.exists():
                    with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                        await loop.create_unix_connection(lambda: self, path)
                        return
                    await asyncio.sleep(_PAUSE)
        raise ConnectionRefusedError(f"nobody listens at {path}")
