"""Unpack a setup on a worker's machine: code, data, environment, and a slot that uses them."""

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from manyfit._redact import SECRET_NAMES
from manyfit.data.shared import VARIABLE, Item
from manyfit.data.stock import fetch_from_storage, stock
from manyfit.remote.setup import SharedItem, WorkerSetup
from manyfit.ship.bundle import unbundle
from manyfit.trial import log_name
from manyfit.worker.active_run import environment
from manyfit.worker.node import NodeFolder
from manyfit.worker.payload import Payload
from manyfit.worker.slot import Slot
from manyfit.worker.work import Site

# How long an idle child may take to exit by itself.
_GRACE = 1.0
_alone = threading.Lock()  # threads of a process share its environment: on Dask, each has a slot


class RemoteSlot:
    """A slot on a machine of the cluster, and the folder that the study has there.

    Args:
        setup: What the driver gave.
        place: Where this is: `name` for people, `gpus` by address.
        broadcasts: Spark's broadcasts of shared data, by digest: file names to contents.

    Raises:
        ManyfitError: Something of the setup can't be had here, or arrived damaged.
        OSError: The disk is full, say.
    """

    def __init__(
        self, setup: WorkerSetup, place: Mapping[str, Any], broadcasts: Mapping[str, Any]
    ) -> None:
        self._node = NodeFolder(setup.token)
        try:
            path = [str(unbundle(setup.code, self._node.path / "code"))] if setup.code else []
            self.env = {**setup.env, **setup.secrets, SECRET_NAMES: ",".join(setup.secrets)}
            with _alone, environment(self.env):  # storage may want credentials
                for shared in setup.shared:
                    fetch = _fetching(shared, broadcasts)
                    self.env[VARIABLE] = str(stock(self._node, shared.manifest, fetch))
            if place["gpus"]:
                self.env["CUDA_VISIBLE_DEVICES"] = ",".join(place["gpus"])
            site = Site(self._node.path, setup.limits, self.env, tuple(path), place["name"])
            self._payload = Payload(setup.work, site)
        except BaseException:
            self._node.close()
            raise
        self.slot = Slot(self._payload)

    @property
    def folder(self) -> Path:
        """The folder that the study has on this machine."""
        return self._node.path

    def log_of(self, number: int, attempt: int) -> Path:
        """Return where an attempt's log is, while it runs."""
        return self._node.path / "logs" / log_name(number, attempt)

    def close(self) -> None:
        """End what runs, and leave the folder to others, or to its end."""
        self.slot.leave()
        self.slot.close(_GRACE)
        self._payload.close()
        self._node.close()


def _fetching(
    shared: SharedItem, broadcasts: Mapping[str, Any]
) -> Callable[[Item], Iterator[bytes]]:
    """Return what brings the bytes of one file to this machine."""
    if shared.route == "storage":
        return fetch_from_storage(shared.url or "")
    held = shared.files
    if shared.route == "broadcast":
        held = broadcasts[shared.manifest["digest"]].value
    return lambda item: iter((held[item.file],))
