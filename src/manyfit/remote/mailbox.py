"""Messages through a folder that driver and workers can access, if they can't connect."""

from typing import Any

from manyfit._optional import require


class Mailbox:
    """A folder of small files, each written by one side and removed by the other.

    It is slow, because the receiver polls. The folder may be anything that fsspec supports, such as
    a mounted volume or an object store. Everyone with write access can send messages, which are
    data.

    Args:
        url: A folder or a URL of fsspec's, which is made on the first `put`.

    Raises:
        MissingExtraError: fsspec is not installed.

    Example:
        >>> box = Mailbox(str(getfixture("tmp_path") / "box"))
        >>> box.put("b", "two")
        >>> box.put("a", "one")
        >>> box.take(), box.take()
        (['one', 'two'], [])
    """

    def __init__(self, url: str) -> None:
        fsspec = require("fsspec", extra="storage", purpose=f"a channel through {url}")
        found: tuple[Any, str] = fsspec.core.url_to_fs(url, use_listings_cache=False)
        self._files, self._folder = found

    def put(self, name: str, text: str) -> None:
        """Write a message atomically."""
        self._files.makedirs(self._folder, exist_ok=True)
        path, part = f"{self._folder}/{name}", f"{self._folder}/.{name}"
        self._files.pipe_file(part, text.encode())
        self._files.mv(part, path)

    def take(self) -> list[str]:
        """Remove and return all messages, in the order of their names."""
        try:
            paths = sorted(self._files.ls(self._folder, detail=False))
        except FileNotFoundError:
            return []
        paths = [path for path in paths if not path.rpartition("/")[2].startswith(".")]
        texts = [self._files.cat_file(path).decode() for path in paths]
        for path in paths:
            self._files.rm_file(path)
        return texts

    def remove(self) -> None:
        """Remove the folder."""
        if self._files.exists(self._folder):
            self._files.rm(self._folder, recursive=True)
