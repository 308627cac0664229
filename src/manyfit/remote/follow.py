"""Read a trial's log while it grows, for the driver on another machine."""

from collections.abc import Sequence
from pathlib import Path

from manyfit.worker.logs import HEAD, redact_bytes, shortened

_CHUNK = 1 << 18
_SHORTEST = 8  # a line of a key that is shorter gives nothing away


class Follower:
    """Follows one log: whole new lines while it grows, and what it came to at the end.

    Args:
        path: The log; it may not be there yet, or ever.
        secrets: Values to keep out of what is read.
    """

    def __init__(self, path: Path, secrets: Sequence[str]) -> None:
        self._path = path
        # Of a key of several lines, some may be read before the rest is written.
        lines = [line for value in secrets for line in value.splitlines() if line != value]
        lines = [line for line in lines if len(line) >= _SHORTEST]
        self._secrets = (*secrets, *sorted(lines, key=len, reverse=True))
        self._position = 0

    def news(self) -> bytes:
        """Return the lines that have come since, redacted; nothing after the first megabyte.

        That much of a log stays where it is when it is shortened.
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
        """Return the log as it is now, redacted; of a very long one, the beginning and the end."""
        try:
            with self._path.open("rb") as file:
                return shortened(file, self._secrets)
        except FileNotFoundError:
            return b""
