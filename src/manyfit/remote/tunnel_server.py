"""The driver's end of a tunnel: a connection to a server that only this machine can reach."""

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from manyfit.remote.tunnel import Address

# Seconds to wait for a server at a Unix socket, which may be just starting.
_PATIENCE = 90.0
_PAUSE = 0.1


class Inlet(Protocol):
    """The worker's connection for a tunnel."""

    def send(self, message: Mapping[str, Any], blob: bytes = b"") -> None:
        """Send a message."""

    def hang_up(self, why: str) -> None:
        """Close it once everything is sent."""

    def flow(self, *, on: bool) -> None:
        """Resume or pause reading from the worker."""


class Outlet(asyncio.Protocol):
    """Forwards data between a worker and the server, on the hub's thread.

    Each side is read only as fast as the other one accepts data.

    Args:
        inlet: The worker's connection.
        address: The address of the server.
    """

    def __init__(self, inlet: Inlet, address: Address) -> None:
        self._inlet = inlet
        self._early: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        inlet.flow(on=False)
        self._connecting = asyncio.get_running_loop().create_task(self._connect(address))

    def write(self, data: bytes) -> None:
        """Forward to the server; data are buffered until it is connected."""
        if self._transport is None:
            self._early.append(data)
        else:
            self._transport.write(data)

    def flow(self, *, on: bool) -> None:
        """Resume or pause reading from the server."""
        if self._transport is not None:
            (self._transport.resume_reading if on else self._transport.pause_reading)()

    def close(self) -> None:
        """Disconnect from the server."""
        self._connecting.cancel()
        if self._transport is not None:
            self._transport.close()

    # ── what asyncio calls ────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to forward."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError(f"not a stream: {transport!r}")
        self._transport = transport
        for data in self._early:
            transport.write(data)
        self._early.clear()
        self._inlet.flow(on=True)

    def data_received(self, data: bytes) -> None:
        """Forward to the worker."""
        self._inlet.send({}, data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Close the worker's connection, too."""
        self._inlet.hang_up(str(exc or "the server hung up"))

    def pause_writing(self) -> None:
        """Pause the worker, because the server accepts no more data."""
        self._inlet.flow(on=False)

    def resume_writing(self) -> None:
        """Resume the worker."""
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
        """Connect, and wait for a server that has not started, as long as its folder exists."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                while Path(path).parent.exists():
                    with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                        await loop.create_unix_connection(lambda: self, path)
                        return
                    await asyncio.sleep(_PAUSE)
        raise ConnectionRefusedError(f"nobody listens at {path}")
