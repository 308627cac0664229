"""Where the driver holds data and kits out to the machines of a cluster, while a study runs."""

import contextlib
import logging
from collections.abc import Sequence
from typing import Any

from manyfit.data.routes import choose_route
from manyfit.data.shared import Shared
from manyfit.data.stock import remove, upload
from manyfit.remote.sealed import seal
from manyfit.remote.setup import SharedItem
from manyfit.spark.session import Session

logger = logging.getLogger("manyfit")


class Broadcasts:
    """Brings shared data on their way, each set by the cheapest route that exists; and parcels.

    Args:
        session: Classic sessions can broadcast.
        storage: A folder or URL that the driver and all workers see; None if there is none.
    """

    def __init__(self, session: Session, storage: str | None) -> None:
        self.broadcasts: dict[str, Any] = {}
        self._session = session
        self._storage = storage
        self._urls: list[str] = []
        self._parcels: list[Any] = []

    def offer(self, shared: Sequence[Shared]) -> tuple[SharedItem, ...]:
        """Make the data available to workers; returns what these must know to get them.

        Raises:
            ArgumentError: A set is too large for every route there is.
        """
        return tuple(map(self._offer, shared))

    def _offer(self, shared: Shared) -> SharedItem:
        broadcast = not self._session.is_connect
        route = choose_route(shared.size, broadcast=broadcast, storage=self._storage)
        logger.info("%s", route.reason)
        if route.kind == "storage":
            url = upload(shared, self._storage or "")
            self._urls.append(url)
            return SharedItem(shared.manifest, route.kind, url)
        files = {file: shared.path(file).read_bytes() for file in shared.items_by_file}
        if route.kind == "broadcast":
            self.broadcasts[shared.digest] = self._session.broadcast(files)
            return SharedItem(shared.manifest, route.kind)
        return SharedItem(shared.manifest, route.kind, files=files)

    def parcel(self, value: object) -> tuple[bytes, Any]:
        """Return a value as the settings of tasks may have it, secrets included; see `opened`.

        In a broadcast, which goes to each machine once, where the session has such.
        """
        key, sealed = seal(value)
        if self._session.is_connect:
            return key, sealed
        broadcast = self._session.broadcast(sealed)
        self._parcels.append(broadcast)
        return key, broadcast

    def take_back(self, parcel: tuple[bytes, Any]) -> None:
        """Take a parcel back that no task needs any more."""
        _, held = parcel
        if held in self._parcels:
            self._parcels.remove(held)
            _destroy(held)

    def close(self) -> None:
        """Take everything back. Safe to call twice."""
        while self.broadcasts:
            _destroy(self.broadcasts.popitem()[1])
        while self._parcels:
            _destroy(self._parcels.pop())
        while self._urls:
            remove(self._urls.pop())


def _destroy(broadcast: Any) -> None:
    with contextlib.suppress(Exception):  # a session that is stopped raises what it likes
        broadcast.destroy()
