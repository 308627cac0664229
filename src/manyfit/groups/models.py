"""Where models of groups are kept, if not in their rows."""

import hashlib
import os
from pathlib import Path

from manyfit._optional import require


def model_name(group: str) -> str:
    """Return the file name of a group's model: keys can hold anything, file names can't.

    Example:
        >>> model_name('["north"]')
        'e18f9743eb0e19cde3c4.pkl'
    """
    return f"{hashlib.sha256(group.encode('utf-8', 'surrogatepass')).hexdigest()[:20]}.pkl"


def store(folder: str | Path, group: str, data: bytes) -> str:
    """Write a pickled model into a folder or below a URL, whole or not at all; returns its path.

    Raises:
        OSError: There is no room, or no permission.
        MissingExtraError: A URL needs fsspec, which is not installed.
    """
    path = f"{str(folder).rstrip('/')}/{model_name(group)}"
    if "://" in path:
        fsspec = require("fsspec", extra="storage", purpose=f"models at {folder}")
        with fsspec.open(path, "wb") as file:
            file.write(data)
        return path
    target = Path(path).absolute()
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
    if "://" in path:
        fsspec = require("fsspec", extra="storage", purpose=f"the model at {path}")
        with fsspec.open(path, "rb") as file:
            data: bytes = file.read()
            return data
    return Path(path).read_bytes()
