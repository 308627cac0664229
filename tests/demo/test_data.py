"""Where the demo's images come from, and how they are divided."""

import gzip
import hashlib
import http.server
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from manyfit.demo import data
from manyfit.demo.data import find, load

CONTENTS = {name: f"the contents of {name}".encode() * 1000 for name in data.FILES}


class Server(http.server.ThreadingHTTPServer):
    """Serves `contents`; a name it doesn't have is not found."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.contents = dict(CONTENTS)
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        name = self.path[1:]
        self.server.asked.append(name)
        if name not in self.server.contents:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENTS[name])))
        self.end_headers()
        self.wfile.write(self.server.contents[name])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server of small files, which are official for the while."""
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENTS.items()}
    monkeypatch.setattr(data, "FILES", digests)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def _forgotten() -> Iterator[None]:
    """Gives the memory of the images back when their tests are done."""
    yield
    load.cache_clear()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestFind:
    def test_downloads_into_the_cache(self, server: Server, tmp_path: Path) -> None:
        """Without a given folder the files are downloaded, and there is nothing beside them."""
        assert find(None, tmp_path / "cache", [server.url]) == tmp_path / "cache"
        assert {path.name: path.read_bytes() for path in (tmp_path / "cache").iterdir()} == CONTENTS

    def test_downloads_once(self, server: Server, tmp_path: Path) -> None:
        """What is in the cache isn't asked for again."""
        find(None, tmp_path, [server.url])
        find(None, tmp_path, [server.url])
        assert sorted(server.asked) == sorted(CONTENTS)

    @pytest.mark.parametrize(
        "damage", [lambda content: content[:-1], lambda content: b"x" + content[1:], lambda _: b""]
    )
    def test_a_torn_download_leaves_nothing(
        self, server: Server, tmp_path: Path, damage: Callable[[bytes], bytes]
    ) -> None:
        """A file that arrives short or altered is not kept; those that came whole are."""
        *whole, torn = CONTENTS
        server.contents[torn] = damage(CONTENTS[torn])
        assert find(None, tmp_path, [server.url]) is None
        assert names(tmp_path) == sorted(whole)

    def test_goes_on_where_a_download_was_torn(self, server: Server, tmp_path: Path) -> None:
        """The next run fetches what is missing, and only that."""
        *whole, torn = CONTENTS
        for name in whole:
            (tmp_path / name).write_bytes(CONTENTS[name])
        assert find(None, tmp_path, [server.url]) == tmp_path
        assert server.asked == [torn]

    def test_mends_a_damaged_cache(self, server: Server, tmp_path: Path) -> None:
        """A file in the cache that isn't the official one is fetched again."""
        find(None, tmp_path, [server.url])
        name = next(iter(CONTENTS))
        (tmp_path / name).write_bytes(b"damaged")
        assert find(None, tmp_path, [server.url]) == tmp_path
        assert (tmp_path / name).read_bytes() == CONTENTS[name]

    def test_asks_the_second_source_when_the_first_lacks_a_file(
        self, server: Server, tmp_path: Path
    ) -> None:
        """A source that fails is not the end while there is another."""
        assert find(None, tmp_path, [f"{server.url}/moved", server.url]) == tmp_path

    def test_nothing_answers(
        self, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Where no source answers there is no folder, and it is said why."""
        server.shutdown()
        server.server_close()
        assert find(None, tmp_path, [server.url]) is None
        assert f"{server.url}: " in capsys.readouterr().err

    def test_a_given_folder_is_the_only_place(self, server: Server, tmp_path: Path) -> None:
        """A file that is missing in the given folder is an error, and nothing is downloaded."""
        with pytest.raises(FileNotFoundError, match="train-images-idx3"):
            find(tmp_path, tmp_path / "cache", [server.url])
        assert server.asked == []

    def test_a_given_file_is_checked(self, server: Server, tmp_path: Path) -> None:
        """Other data under an official name would make a study that can't be compared."""
        for name, content in CONTENTS.items():
            (tmp_path / name).write_bytes(content)
        assert find(tmp_path, sources=[server.url]) == tmp_path
        (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(b"other")
        with pytest.raises(ValueError, match=r"t10k-labels.* is not the official file"):
            find(tmp_path, sources=[server.url])

    def test_the_cache_is_the_users(
        self, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """XDG_CACHE_HOME is honoured, wherever the demo is started."""
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
        folder = find(None, sources=[server.url])
        assert folder == tmp_path / "home" / "manyfit" / "fashion-mnist"


@pytest.mark.integration
@pytest.mark.usefixtures("_forgotten")
class TestLoad:
    def test_digits(self) -> None:
        """The stand-in has the three parts, images from 0 to 1 and all ten classes in each."""
        digits = load(None)
        parts = [digits.train, digits.validation, digits.test]
        assert [len(part) for part in parts] == [1197, 300, 300]
        for part in parts:
            assert part.images.shape == (len(part), 8, 8)
            assert (part.images.min(), part.images.max()) == (0.0, 1.0)
            share = np.bincount(part.labels) / len(part)
            assert np.abs(share - 0.1).max() < 0.01

    def test_fashion(self, fashion: Path) -> None:
        """55,000, 5,000 and 10,000 images, as many of each class, as bright as published."""
        images = load(fashion)
        parts = [images.train, images.validation, images.test]
        assert [np.bincount(part.labels).tolist() for part in parts] == [
            [5500] * 10,
            [500] * 10,
            [1000] * 10,
        ]
        both = np.concatenate([images.train.images, images.validation.images])
        assert both.mean(dtype="float64") == pytest.approx(0.28604, abs=1e-5)

    def test_parts_have_nothing_in_common(self, fashion: Path) -> None:
        """Training and validation images make up the official training set, each of them once."""
        with gzip.open(fashion / "train-images-idx3-ubyte.gz") as file:
            official = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28 * 28)
        images = load(fashion)
        both = np.concatenate([images.train.images, images.validation.images])
        pixels = (both.reshape(-1, 28 * 28) * 255).round().astype(np.uint8)
        assert Counter(map(bytes, pixels)) == Counter(map(bytes, official))

    def test_a_subset_keeps_validation_and_test(self, fashion: Path) -> None:
        """With fewer images to train on, what decides and what judges stays the same."""
        subset, images = load(fashion, 10_000), load(fashion)
        assert np.bincount(subset.train.labels).tolist() == [1000] * 10
        assert np.array_equal(subset.validation.images, images.validation.images)
        assert np.array_equal(subset.test.images, images.test.images)

    def test_loaded_once(self) -> None:
        """Trials in one worker share one copy."""
        assert load(None) is load(None)
