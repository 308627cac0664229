"""Where models of groups are kept, if not in their rows."""

import hashlib
import os
from pathlib import Path

from manyfit._optional import require
from manyfit.data.references import open_binary


def model_name(group: str, data: bytes) -> str:
    """Return the file name of a group's model: keys can hold anything, file names can't.

    Other models of the group, those of other calls, have other names: none is ever overwritten.

    Example:
        >>> model_name('["north"]', b"model")
        'e18f9743eb0e19cde3c4-9372c470eeadd5ecd9c3.pkl'
    """
    parts = (group.encode("utf-8", "surrogatepass"), data)
    return "-".join(hashlib.sha256(part).hexdigest()[:20] for part in parts) + ".pkl"


def store(folder: str, group: str, data: bytes) -> str:
    """Write a pickled model into a folder or below a URL, whole or not at all; returns its path.

    Raises:
        OSError: There is no room, or no permission.
        MissingExtraError: A URL needs fsspec, which is not installed.
    """
    path = f"{folder.rstrip('/')}/{model_name(group, data)}"
    if "://" in path:
        fsspec = require("fsspec", extra="storage", purpose=f"models at {folder}")
        with fsspec.open(path, "wb") as file:
            file.write(data)
        return path
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}")
    part.write_bytes(data)
    part.replace(target)
    return str(target)


def fetch(path: str) -> bytes:
    """Return the pickled model at a path or URL.

    Raises:
        OSError: It isn't there.
    """
    with open_binary(path) as file:
        data: bytes = file.read()
        return data
