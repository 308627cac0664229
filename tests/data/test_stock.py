"""Shared data on their way to a machine."""

import json
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from manyfit.data.references import NumpyFile
from manyfit.data.shared import VARIABLE, Item, Shared, share
from manyfit.data.stock import fetch_from_storage, remove, stock, upload
from manyfit.errors import ExecutorError
from manyfit.worker.node import NodeFolder


@pytest.fixture
def node(tmp_path: Path) -> Iterator[NodeFolder]:
    """The study's folder on a machine."""
    with NodeFolder("study", tmp_path / "node") as folder:
        yield folder


@pytest.fixture
def data() -> Shared:
    """An array of a megabyte and an object."""
    return share(x=np.arange(125_000.0), names=["ann", "bob"])


class Source:
    """Yields the files of a set in small blocks, and counts who asks."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.asked: list[str] = []

    def __call__(self, item: Item) -> Iterator[bytes]:
        self.asked.append(item.file)
        data = self.shared.path(item.file).read_bytes()
        yield from (data[i : i + 50_000] for i in range(0, len(data), 50_000))


def test_a_machine_gets_it_once(node: NodeFolder, data: Shared) -> None:
    """The files arrive as they were; asked again, nothing is fetched."""
    source = Source(data)
    manifest = json.loads(json.dumps(data.manifest))
    folder = stock(node, manifest, source)
    assert stock(node, manifest, source) == folder

    assert source.asked == list(data.items_by_file)
    for file in data.items_by_file:
        brought = folder / data.digest / file
        assert brought.read_bytes() == data.path(file).read_bytes()


def test_sets_lie_side_by_side(node: NodeFolder, data: Shared) -> None:
    """One folder serves all sets of a study."""
    other = share(z=1)

    assert stock(node, data.manifest, Source(data)) == stock(node, other.manifest, Source(other))


def test_what_was_brought_is_used(
    node: NodeFolder, data: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that was told the folder finds the data there."""
    folder = stock(node, data.manifest, Source(data))
    monkeypatch.setenv(VARIABLE, str(folder))

    assert data.path("0.npy") == folder / data.digest / "0.npy"
    assert pickle.loads(pickle.dumps(data))["x"].sum() == np.arange(125_000.0).sum()


@pytest.mark.parametrize(
    ("damage", "size"),
    [
        (lambda blocks: blocks[:-1], "bytes"),
        (lambda blocks: [*blocks, b"!"], "1000129 bytes"),
        (lambda blocks: [b"\0" * len(blocks[0]), *blocks[1:]], "1000128 bytes"),
        (lambda blocks: [], "0 bytes"),
    ],
    ids=["torn", "longer", "changed", "empty"],
)
def test_a_damaged_copy(node: NodeFolder, data: Shared, damage: object, size: str) -> None:
    """A file that arrives damaged is named with both sums, and nothing of it is kept."""
    source = Source(data)

    def fetch(item: Item) -> Iterator[bytes]:
        yield from damage(list(source(item)))  # type: ignore[operator]

    item = data.items_by_file["0.npy"]
    with pytest.raises(
        ExecutorError, match=rf"0.npy \('x'\) that reached .* damaged: .*{size}"
    ) as e:
        stock(node, data.manifest, fetch)
    assert item.sha256 in str(e.value)
    assert list((node.path / "shared").iterdir()) == []

    assert (stock(node, data.manifest, source) / data.digest / item.file).exists()


def test_a_damaged_manifest(node: NodeFolder, data: Shared) -> None:
    """A manifest that doesn't fit its own digest is refused before anything is fetched."""
    manifest = data.manifest
    manifest["items"][0]["sha256"] = "0" * 64
    source = Source(data)

    with pytest.raises(ExecutorError, match="the manifest of shared data is damaged"):
        stock(node, manifest, source)
    assert source.asked == []


def test_no_room(node: NodeFolder, data: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is too small is known before the first byte, with sizes and what to set."""
    usage = shutil.disk_usage(node.path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type(usage)(2, 2, 0))

    with pytest.raises(
        ExecutorError, match=r"no room .* need 1.0 MB, .* has 0.0 MB free. Set TMPD"
    ):
        stock(node, data.manifest, Source(data))


WORKER = """
import json, os, signal, sys, time
from pathlib import Path
from manyfit.data.stock import stock
from manyfit.worker.node import NodeFolder
root, source, manifest, log, end = sys.argv[1:]
def fetch(item):
    with open(log, "a") as file:
        file.write(item.file + "\\n")
    data = (Path(source) / item.file).read_bytes()
    yield data[:1000]
    if end == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    yield data[1000:]
node = NodeFolder("study", Path(root))
folder = stock(node, json.loads(manifest), fetch)
print(len(list(folder.rglob("*.npy"))), flush=True)
sys.stdin.read()
"""


def worker(tmp_path: Path, data: Shared, end: str) -> "subprocess.Popen[bytes]":
    """Start a process that wants the data on its machine."""
    source, manifest = data.path("0.npy").parent, json.dumps(data.manifest)
    arguments = [str(tmp_path / "node"), str(source), manifest, str(tmp_path / "log"), end]
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


@pytest.mark.integration
def test_eight_workers_fetch_once(tmp_path: Path, data: Shared) -> None:
    """Of eight processes that want the data at the same time one fetches, and all have them."""
    workers = [worker(tmp_path, data, "live") for _ in range(8)]
    said = [process.stdout.readline() for process in workers if process.stdout is not None]
    for process in workers:
        process.communicate()

    assert said == [b"1\n"] * 8
    assert (tmp_path / "log").read_text().splitlines() == list(data.items_by_file)
    end = time.monotonic() + 5
    while (tmp_path / "node").exists() and time.monotonic() < end:
        time.sleep(0.01)
    assert not (tmp_path / "node").exists()


@pytest.mark.integration
def test_a_worker_that_dies_while_fetching(tmp_path: Path, node: NodeFolder, data: Shared) -> None:
    """What a killed worker had fetched by then counts for nothing; the next one fetches all."""
    dying = worker(tmp_path, data, "die")
    dying.communicate()
    assert dying.returncode == -signal.SIGKILL

    folder = stock(node, data.manifest, Source(data))
    assert (folder / data.digest / "0.npy").read_bytes() == data.path("0.npy").read_bytes()


# ── references ────────────────────────────────────────────────────────────────────────────────────


def test_references_are_read_on_arrival(
    node: NodeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a reference refers to is on the machine before any trial runs."""
    np.save(tmp_path / "there.npy", np.arange(5))
    data = share(far=NumpyFile(str(tmp_path / "there.npy")))
    folder = stock(node, data.manifest, Source(data))
    (tmp_path / "there.npy").unlink()
    monkeypatch.setenv(VARIABLE, str(folder))

    assert data["far"].tolist() == [0, 1, 2, 3, 4]
    assert not data["far"].flags.writeable


def test_a_reference_to_nothing(node: NodeFolder, tmp_path: Path) -> None:
    """Data that can't be read are named with the machine, and nothing of the set is kept."""
    data = share(far=NumpyFile(str(tmp_path / "nowhere.npy")))

    with pytest.raises(FileNotFoundError) as caught:
        stock(node, data.manifest, Source(data))
    assert "while reading the shared 'far' on" in caught.value.__notes__[0]
    assert list((node.path / "shared").iterdir()) == []


# ── storage ───────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(params=["folder", "local", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Places that the driver and all workers see."""
    if request.param == "folder":
        return str(tmp_path / "mounted")
    return f"local://{tmp_path}/mounted" if request.param == "local" else "memory://bucket/x"


def test_through_storage(node: NodeFolder, data: Shared, storage: str) -> None:
    """What is uploaded can be fetched, and is gone when removed, also twice."""
    url = upload(data, storage)
    folder = stock(node, data.manifest, fetch_from_storage(url))

    for file in data.items_by_file:
        assert (folder / data.digest / file).read_bytes() == data.path(file).read_bytes()
    remove(url)
    remove(url)
    with pytest.raises(FileNotFoundError):
        list(fetch_from_storage(url)(data.items_by_file["0.npy"]))


def test_copies_are_independent(data: Shared, storage: str) -> None:
    """The end of one study takes nothing away from another with the same data."""
    first, second = upload(data, storage), upload(data, storage)
    remove(first)

    blocks = fetch_from_storage(second)(data.items_by_file["0.npy"])
    assert b"".join(blocks) == data.path("0.npy").read_bytes()
    remove(second)


def test_a_storage_that_cannot_be_written_to(data: Shared, tmp_path: Path) -> None:
    """A place where nothing can be put is named, with the system's reason."""
    (tmp_path / "file").touch()

    with pytest.raises(ExecutorError, match=r"can't write shared data to storage='.*/file'"):
        upload(data, str(tmp_path / "file"))
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]
