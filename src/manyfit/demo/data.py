"""Images of clothes (Fashion-MNIST), split for tuning; or of digits if there is no network."""

import contextlib
import functools
import gzip
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

import numpy as np

# Both are official; the files' checksums are verified, so the first need not support TLS.
SOURCES = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
)
SHA256 = {
    "train-images-idx3-ubyte": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}
FILES = {f"{stem}.gz": digest for stem, digest in SHA256.items()}


@dataclass(frozen=True)
class Part:
    """Some of the images, and their labels.

    Attributes:
        images: From 0 to 1, of shape (n, height, width).
        labels: From 0 to 9, of shape (n,).
    """

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """Three disjoint parts: for training, for validation, and for the final test."""

    train: Part
    validation: Part
    test: Part


@functools.cache
def load(folder: Path | None, n_train: int | None = None) -> Dataset:
    """Return Fashion-MNIST from `folder`, or the digits if that is None; read once by each process.

    Of the 60,000 training images, 5,000 are for validation: always the same, and 500 of each class.
    `n_train` of the other 55,000 are for training, or all of them for None. The test images are the
    official 10,000. There are only 1,797 digits, for which `n_train` is ignored.
    """
    if folder is None:
        rest, test = _split(_read_digits(), 300)
        return Dataset(*_split(rest, 300), test)
    train, validation = _split(_read(folder, "train"), 5_000)
    if n_train is not None:
        _, train = _split(train, min(n_train, len(train)))
    return Dataset(train, validation, _read(folder, "t10k"))


def _split(part: Part, n: int) -> tuple[Part, Part]:
    """Split off `n` images, with the same proportion of each class; returns the rest first."""
    shuffled = np.random.default_rng(0).permutation(len(part))
    by_class = shuffled[np.argsort(part.labels[shuffled], kind="stable")]
    chosen = by_class[np.arange(n) * len(part) // n]
    rest = np.setdiff1d(shuffled, chosen)
    return Part(part.images[rest], part.labels[rest]), Part(
        part.images[chosen], part.labels[chosen]
    )


def _read(folder: Path, kind: str) -> Part:
    with gzip.open(folder / f"{kind}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    with gzip.open(folder / f"{kind}-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16)
    return Part(pixels.reshape(-1, 28, 28).astype("float32") / 255, labels)


def _read_digits() -> Part:
    from sklearn.datasets import load_digits  # imported here because it takes seconds

    pixels, labels = load_digits(return_X_y=True)
    return Part(pixels.reshape(-1, 8, 8).astype("float32") / 16, labels)


def find(
    given: Path | None, cache: Path | None = None, sources: Sequence[str] = SOURCES
) -> Path | None:
    """Return a folder with the four official files, or None if they can't be had.

    If a folder is `given`, only that is searched. Otherwise it is the user's cache, which is filled
    from the first of the `sources` that answers.

    Raises:
        FileNotFoundError: A file is missing in the `given` folder.
        ValueError: A file in the `given` folder is not the official one.
    """
    if given is not None:
        for name in FILES:
            check(given / name)
        return given.resolve()
    cache = cache or _user_cache() / "manyfit" / "fashion-mnist"
    for source in sources:
        try:
            for name in FILES:
                _fetch(f"{source}/{name}", cache / name)
        except (OSError, HTTPException, ValueError) as error:
            print(f"{source}: {error}", file=sys.stderr)
        else:
            return cache
    return None


def check(path: Path) -> None:
    """Raise unless a file is the official one of its name.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged, or another file.
    """
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != FILES[path.name]:
        raise ValueError(f"{path} is not the official file: its SHA-256 is {digest}")


def _fetch(url: str, path: Path) -> None:
    """Download a file unless it exists; it gets its name only when it is complete."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        check(path)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    print(f"Downloading {url}", file=sys.stderr)
    with (
        urlopen(url, timeout=10) as answer,
        tempfile.TemporaryDirectory(dir=path.parent) as folder,
    ):
        whole = Path(folder) / path.name
        with whole.open("wb") as file:
            shutil.copyfileobj(answer, file)
        check(whole)
        whole.replace(path)


def _user_cache() -> Path:
    if os.environ.get("XDG_CACHE_HOME"):
        return Path(os.environ["XDG_CACHE_HOME"])
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
