"""Unpack a kit on a worker's machine: code, data, environment, and a slot that works with them."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from manyfit._redact import SECRET_NAMES
from manyfit.data.shared import VARIABLE, Item
from manyfit.data.stock import fetch_from_storage, stock
from manyfit.executors.kit import Goods, Kit
from manyfit.ship.bundle import unbundle
from manyfit.trial import log_name
from manyfit.worker.active_run import environment
from manyfit.worker.node import NodeFolder
from manyfit.worker.payload import Payload
from manyfit.worker.slot import Slot
from manyfit.worker.work import Site

# How long an idle child may take to exit by itself.
_GRACE = 1.0


class Outfit:
    """A slot on a machine of the cluster, and the folder that the study has there.

    Args:
        kit: What the driver gave.
        place: Where this is: `name` for people, `gpus` by address.
        broadcasts: Spark's broadcasts of shared data, by digest: file names to contents.

    Raises:
        ManyfitError: Something of the kit can't be had here, or arrived damaged.
        OSError: The disk is full, say.
    """

    def __init__(self, kit: Kit, place: Mapping[str, Any], broadcasts: Mapping[str, Any]) -> None:
        self._node = NodeFolder(kit.token)
        try:
            path = [str(unbundle(kit.code, self._node.path / "code"))] if kit.code else []
            self.env = {**kit.env, **kit.secrets, SECRET_NAMES: ",".join(kit.secrets)}
            with environment(self.env):  # storage may want credentials
                for goods in kit.goods:
                    fetch = _fetching(goods, broadcasts)
                    self.env[VARIABLE] = str(stock(self._node, goods.manifest, fetch))
            if place["gpus"]:
                self.env["CUDA_VISIBLE_DEVICES"] = ",".join(place["gpus"])
            site = Site(self._node.path, kit.limits, self.env, tuple(path), place["name"])
            self._payload = Payload(kit.work, site)
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


def _fetching(goods: Goods, broadcasts: Mapping[str, Any]) -> Callable[[Item], Iterator[bytes]]:
    """Return what brings the bytes of one file to this machine."""
    if goods.route == "storage":
        return fetch_from_storage(goods.url or "")
    held = goods.files
    if goods.route == "broadcast":
        held = broadcasts[goods.manifest["digest"]].value
    return lambda item: iter((held[item.file],))
