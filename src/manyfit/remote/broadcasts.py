"""Offers shared data and setups to the machines of a cluster, while a study runs."""

import contextlib
import logging
from collections.abc import Sequence
from typing import Any

from manyfit.data.routes import choose_route
from manyfit.data.shared import Shared
from manyfit.data.stock import remove, upload
from manyfit.remote.cluster import Broadcast, Cluster
from manyfit.remote.sealed import seal
from manyfit.remote.setup import SharedItem

logger = logging.getLogger("manyfit")


class Broadcasts:
    """Offers parcels, and shared data, each set by the cheapest available route.

    Args:
        cluster: The cluster, which may have broadcasts.
        storage: A folder or URL that the driver and all workers can access; None if there is none.
    """

    def __init__(self, cluster: Cluster, storage: str | None) -> None:
        self.broadcasts: dict[str, Broadcast] = {}
        self._broadcast = cluster.broadcast
        self._storage = storage
        self._urls: list[str] = []
        self._parcels: list[Any] = []

    def offer(self, shared: Sequence[Shared]) -> tuple[SharedItem, ...]:
        """Make the data available to workers; returns what workers need to fetch them.

        Raises:
            ArgumentError: A set is too large for every available route.
        """
        return tuple(map(self._offer, shared))

    def _offer(self, shared: Shared) -> SharedItem:
        has_broadcast = self._broadcast is not None
        route = choose_route(shared.size, broadcast=has_broadcast, storage=self._storage)
        logger.info("%s", route.reason)
        if route.kind == "storage":
            url = upload(shared, self._storage or "")
            self._urls.append(url)
            return SharedItem(shared.manifest, route.kind, url)
        files = {file: shared.path(file).read_bytes() for file in shared.items_by_file}
        if route.kind == "broadcast" and self._broadcast is not None:
            self.broadcasts[shared.digest] = self._broadcast(files)
            return SharedItem(shared.manifest, route.kind)
        return SharedItem(shared.manifest, route.kind, files=files)

    def parcel(self, value: object) -> tuple[bytes, Any]:
        """Encrypt a value, which may include secrets, for the settings of tasks; see `opened`.

        If the cluster has broadcasts, it is in one, which is sent to each machine once.
        """
        key, sealed = seal(value)
        if self._broadcast is None:
            return key, sealed
        broadcast = self._broadcast(sealed)
        self._parcels.append(broadcast)
        return key, broadcast

    def take_back(self, parcel: tuple[bytes, Any]) -> None:
        """Release a parcel that no task needs any more."""
        _, held = parcel
        if held in self._parcels:
            self._parcels.remove(held)
            _destroy(held)

    def close(self) -> None:
        """Release everything. Safe to call twice."""
        while self.broadcasts:
            _destroy(self.broadcasts.popitem()[1])
        while self._parcels:
            _destroy(self._parcels.pop())
        while self._urls:
            remove(self._urls.pop())


def _destroy(broadcast: Any) -> None:
    with contextlib.suppress(Exception):  # a cluster that is gone may raise anything
        broadcast.destroy()
