"""Writes a report to a file, whole or not at all."""

import os
from pathlib import Path

from manyfit.errors import ArgumentError


def write(path: str | Path, text: str) -> Path:
    """Write a page in one step, so that a browser never sees half of one; returns its path.

    Raises:
        ArgumentError: `path` isn't a path, or is a folder.
        OSError: The file can't be written.
    """
    target = Path(path).absolute()
    if target.is_dir():
        raise ArgumentError(f"{target} is a folder: name the file of the report in it")
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    return target
