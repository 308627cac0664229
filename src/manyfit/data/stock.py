"""Transfers shared data: from the driver to storage, and to each machine once, with a checksum.

::

    driver ──upload──► storage ──fetch──┐
    driver ──hub, broadcast────fetch────┴─► node.path/shared/DIGEST/ ──mapped──► slots
"""

import hashlib
import os
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from manyfit._optional import require
from manyfit.data.references import absolute, cached, open_binary
from manyfit.data.routes import megabytes
from manyfit.data.shared import Item, Shared, digest_of
from manyfit.errors import ExecutorError
from manyfit.worker.node import NodeFolder

SHARED = "shared"  # the folder of all sets, in the study's folder on a machine
_BLOCK = 1 << 20

Fetch = Callable[[Item], Iterator[bytes]]


# ── on the worker ─────────────────────────────────────────────────────────────────────────────────


def stock(node: NodeFolder, manifest: Mapping[str, Any], fetch: Fetch) -> Path:
    """Bring shared data to this machine, unless they are here; other callers wait.

    The data of references are read now, too, with the credentials of this process.

    Args:
        node: The study's folder on this machine.
        manifest: The result of `Shared.manifest`.
        fetch: Yields the contents of an item's file, in blocks of any size.

    Returns:
        The folder of all sets of the study, for the environment variable `data.shared.VARIABLE` of
        the processes that run trials.

    Raises:
        ExecutorError: The manifest or a file is damaged, or there is no room; nothing is left
            behind. Exceptions of `fetch` and of reading a reference pass through.
    """
    items = tuple(Item(**fields) for fields in manifest["items"])
    digest = digest_of(items)
    if digest != manifest["digest"]:
        raise ExecutorError(
            f"the manifest of shared data is damaged: its digest is {digest}, "
            f"but it should be {manifest['digest']}"
        )
    node.once(f"{SHARED}/{digest}", lambda folder: _fill(folder, items, fetch))
    return node.path / SHARED


def _fill(folder: Path, items: tuple[Item, ...], fetch: Fetch) -> None:
    folder.mkdir()
    needed, free = sum(item.size for item in items), shutil.disk_usage(folder).free
    if needed > free:
        raise ExecutorError(
            f"no room for the shared data on {socket.gethostname()}: they need "
            f"{megabytes(needed)}, and {folder} has {megabytes(free)} free. Set TMPDIR there to a "
            "folder on a larger local disk"
        )
    for item in items:
        _receive(item, folder / item.file, fetch(item))
    for item in items:
        if item.kind == "reference":
            _read_reference(item, folder / item.file)


def _receive(item: Item, path: Path, blocks: Iterator[bytes]) -> None:
    digest = hashlib.sha256()
    size = 0
    with path.open("wb") as file:
        for block in blocks:
            file.write(block)
            digest.update(block)
            size += len(block)
    if (size, digest.hexdigest()) != (item.size, item.sha256):
        raise ExecutorError(
            f"the copy of {item.file} ({item.name!r}) that reached {socket.gethostname()} is "
            f"damaged: {size} bytes with SHA-256 {digest.hexdigest()}, but it should be "
            f"{item.size} bytes with {item.sha256}. It was removed here; if it came "
            "from storage, delete it there, too"
        )


def _read_reference(item: Item, path: Path) -> None:
    try:
        cached(path)
    except Exception as error:
        error.add_note(f"while reading the shared {item.name!r} on {socket.gethostname()}")
        raise


# ── through storage ───────────────────────────────────────────────────────────────────────────────


def upload(shared: Shared, storage: str) -> str:
    """Copy shared data to storage, where all machines find them.

    Each call makes its own copy, so that a study can remove it while others use theirs. A driver
    that is killed leaves a folder `manyfit-…`, which must be deleted by hand.

    Args:
        shared: The data.
        storage: A folder, or a URL of fsspec's.

    Returns:
        The location of the copy, for `fetch_from_storage` and `remove`.

    Raises:
        ExecutorError: They can't be written there; nothing is left behind.
    """
    url = f"{absolute(storage).rstrip('/')}/manyfit-{shared.digest[:16]}-{os.urandom(4).hex()}"
    try:
        for file in shared.items_by_file:
            _put(shared.path(file), url, file)
    except OSError as error:
        remove(url)
        raise ExecutorError(f"can't write shared data to storage={storage!r}: {error}") from error
    return url


def fetch_from_storage(url: str) -> Fetch:
    """Return a function for `stock` that reads files from where `upload` has put them."""

    def fetch(item: Item) -> Iterator[bytes]:
        with open_binary(f"{url}/{item.file}") as file:
            while block := file.read(_BLOCK):
                yield block

    return fetch


def remove(url: str) -> None:
    """Remove a copy made by `upload`; does nothing if it is gone."""
    if "://" not in url:
        shutil.rmtree(url, ignore_errors=True)
        return
    filesystem, path = _filesystem(url)
    if filesystem.exists(path):
        filesystem.rm(path, recursive=True)


def _put(source: Path, url: str, file: str) -> None:
    if "://" not in url:
        Path(url).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, Path(url) / file)
        return
    filesystem, path = _filesystem(url)
    filesystem.makedirs(path, exist_ok=True)
    filesystem.put_file(str(source), f"{path}/{file}")


def _filesystem(url: str) -> tuple[Any, str]:
    fsspec = require("fsspec", extra="storage", purpose=f"storage={url}")
    found: tuple[Any, str] = fsspec.core.url_to_fs(url)
    return found
