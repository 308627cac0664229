"""Unpacks a setup on a worker's machine: code, data, environment, and a slot that uses them."""

import shutil
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from manyfit._redact import SECRET_NAMES
from manyfit.data.shared import VARIABLE
from manyfit.data.stock import SHARED, Fetch, fetch_from_storage, stock
from manyfit.remote.setup import SharedItem, WorkerSetup
from manyfit.ship.bundle import unbundle
from manyfit.trial import log_name
from manyfit.worker.active_run import environment
from manyfit.worker.exchange import given_file
from manyfit.worker.node import NodeFolder
from manyfit.worker.payload import Payload
from manyfit.worker.slot import Slot
from manyfit.worker.work import Exchange, Site, Task

# Seconds for an idle child to exit by itself.
_GRACE = 1.0
_alone = threading.Lock()  # threads of a process share its environment: on Dask, each has a slot


class RemoteSlot:
    """A slot on a machine of the cluster, and the study's folder there.

    Args:
        setup: The setup from the driver.
        place: The place: a readable `name`, and `gpus` by address.
        broadcasts: Broadcasts of shared data, by digest: file names to contents.

    Raises:
        ManyfitError: A part of the setup is unavailable here, or arrived damaged.
        OSError: The disk is full, for example.
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
                    stock(self._node, shared.manifest, _fetching(shared, broadcasts))
            self.env[VARIABLE] = str(self._node.path / SHARED)
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
        """The study's folder on this machine."""
        return self._node.path

    def log_of(self, number: int, attempt: int) -> Path:
        """Return the file of an attempt's log, while it runs."""
        return self._node.path / "logs" / log_name(number, attempt)

    def receive(self, task: Task, given: bytes, fetching: Callable[[str], Fetch]) -> None:
        """Put the files of a task's exchange in their places.

        Args:
            task: A task with an exchange.
            given: The contents of its file.
            fetching: Returns a function that fetches a file of the shared data with a digest.

        Raises:
            ManyfitError: Shared data are unavailable, or arrived damaged.
            OSError: The disk is full, for example.
        """
        exchange = task.exchange or Exchange(needs=[], gone=[])
        for digest in exchange["gone"]:
            shutil.rmtree(self._node.path / SHARED / digest, ignore_errors=True)
        for manifest in exchange["needs"]:
            stock(self._node, manifest, fetching(manifest["digest"]))
        given_file(self._node.path, task.number).write_bytes(given)

    def close(self) -> None:
        """End running attempts, and leave the folder, which is removed after the last process."""
        self.slot.leave()
        self.slot.close(_GRACE)
        self._payload.close()
        self._node.close()


def _fetching(shared: SharedItem, broadcasts: Mapping[str, Any]) -> Fetch:
    """Return a function that fetches one file to this machine."""
    if shared.route == "storage":
        return fetch_from_storage(shared.url or "")
    held = shared.files
    if shared.route == "broadcast":
        held = broadcasts[shared.manifest["digest"]].value
    return lambda item: iter((held[item.file],))
