"""Reads a trial's log while it grows, for the driver on another machine."""

from collections.abc import Sequence
from pathlib import Path

from manyfit.worker.logs import HEAD, redact_bytes, shortened

_CHUNK = 1 << 18
_SHORTEST = 8  # a shorter line of a key reveals nothing


class Follower:
    """Follows a log: new complete lines while it grows, and the whole log at the end.

    Args:
        path: The log, which need not exist.
        secrets: Values to redact.
    """

    def __init__(self, path: Path, secrets: Sequence[str]) -> None:
        self._path = path
        # Some lines of a multi-line key may be read before the rest is written.
        lines = [line for value in secrets for line in value.splitlines() if line != value]
        lines = [line for line in lines if len(line) >= _SHORTEST]
        self._secrets = (*secrets, *sorted(lines, key=len, reverse=True))
        self._position = 0

    def news(self) -> bytes:
        """Return new lines, redacted; nothing after the first megabyte.

        The first megabyte of a log stays in place when it is shortened.
        """
        room = min(_CHUNK, HEAD - self._position)
        if room <= 0:
            return b""
        try:
            with self._path.open("rb") as file:
                file.seek(self._position)
                data = file.read(room)
        except FileNotFoundError:
            return b""
        whole = data[: data.rfind(b"\n") + 1]
        self._position += len(whole)
        return redact_bytes(whole, self._secrets)

    def all(self) -> bytes:
        """Return the current log, redacted; only the beginning and the end of a very long one."""
        try:
            with self._path.open("rb") as file:
                return shortened(file, self._secrets)
        except FileNotFoundError:
            return b""
