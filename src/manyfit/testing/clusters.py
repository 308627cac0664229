"""For authors of clusters: what remote workers expect of them."""

import contextlib
import os
import queue
import socket
import time
from collections.abc import Mapping
from typing import Any, Self

import pytest

from manyfit.remote.cluster import Cluster, TaskEnded

PATIENCE = 60.0  # seconds until a test gives up; reached only by what is broken


class ClusterContract:
    """What every cluster keeps to. Subclass it, and say how yours is made, and how it ends."""

    def make_cluster(self) -> Cluster:
        """Return a cluster with a free slot."""
        raise NotImplementedError

    def end(self, cluster: Cluster) -> None:
        """End a cluster, or the session with it, for good."""
        raise NotImplementedError

    @pytest.fixture
    def prepared(self) -> None:
        """Make ready what `make_cluster` needs; override it."""

    @pytest.fixture
    def made(self, prepared: None) -> Cluster:  # noqa: ARG002 - for its effect
        """The cluster of a test; by a name that hides no fixture of those who subclass this."""
        return self.make_cluster()

    def test_a_task_says_what_its_function_returns(self, made: Cluster) -> None:
        """It runs in another process, with the settings and a place that has a name."""
        ended = _run(made, "echo", secret=b"\0key", nested={"a": [1, None]})
        assert ended.error == ""
        assert ended.said is not None
        assert ended.said["pid"] != os.getpid()
        assert (ended.said["secret"], ended.said["nested"]) == ("b'\\x00key'", {"a": [1, None]})
        place = ended.said["place"]
        assert isinstance(place["host"], str)
        assert isinstance(place["name"], str)
        assert isinstance(place["gpus"], list)

    def test_a_function_that_raises(self, made: Cluster) -> None:
        """The task fails, and what is told has the exception's words."""
        ended = _run(made, "fail")
        assert ended.said is None
        assert "no such luck" in ended.error

    def test_a_worker_without_manyfit(self, made: Cluster) -> None:
        """A module that can't be imported is named, with the place, and no task fails."""
        ends: queue.SimpleQueue[TaskEnded] = queue.SimpleQueue()
        made.start("manyfit_is_not_here:serve", {}, ends.put)
        said = ends.get(timeout=PATIENCE).said
        assert said is not None
        assert "manyfit_is_not_here" in said["missing"]
        assert said["place"]["name"]

    def test_a_broadcast_is_seen_by_tasks(self, made: Cluster) -> None:
        """Its value is in the settings of a task as it was, until it is destroyed."""
        if made.broadcast is None:
            pytest.skip("it has none, and says so")
        held = made.broadcast({"0.npy": b"data" * 1000})
        ended = _run(made, "sizes", broadcasts={"digest": held})
        assert ended.said == {"digest": {"0.npy": 4000}}
        held.destroy()

    def test_a_task_can_dial_in(self, made: Cluster) -> None:
        """A task reaches this process by one of the addresses that it is told."""
        with _Dialled(made) as dialled:
            connection = dialled.accept()
            connection.sendall(b"!")
            connection.close()
            assert dialled.end().said == {"read": 1}

    def test_a_cancelled_task_ends(self, made: Cluster) -> None:
        """It is ended by the cluster, or by its driver's hanging up, and this is told once."""
        with _Dialled(made) as dialled:
            connection = dialled.accept()
            made.cancel()
            connection.close()
            deadline = time.monotonic() + PATIENCE
            while dialled.ends.empty() and time.monotonic() < deadline:
                made.cancel()
                time.sleep(0.05)
            dialled.end()
            time.sleep(0.1)
            assert dialled.ends.empty()

    def test_its_end_is_told(self, made: Cluster) -> None:
        """While it is there, nothing is said; when it has ended, how; tasks then end at once."""
        assert made.ended() is None
        self.end(made)
        deadline = time.monotonic() + PATIENCE
        while made.ended() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert " " in (made.ended() or "")
        ends: queue.SimpleQueue[TaskEnded] = queue.SimpleQueue()
        with contextlib.suppress(Exception):  # it may as well raise what it likes
            made.start("manyfit.testing.clusters:echo", {}, ends.put)
            assert ends.get(timeout=PATIENCE).said is None


class _Dialled:
    """A task that dials this process, and reads until that hangs up."""

    def __init__(self, cluster: Cluster) -> None:
        reach = cluster.reach()
        self._socket = socket.create_server((reach.listen_at, 0))
        self._socket.settimeout(PATIENCE)
        port = self._socket.getsockname()[1]
        self.ends: queue.SimpleQueue[TaskEnded] = queue.SimpleQueue()
        settings = {"addresses": [(host, port) for host in reach.hosts]}
        cluster.start("manyfit.testing.clusters:dial", settings, self.ends.put)

    def accept(self) -> socket.socket:
        """Return the connection of the task."""
        return self._socket.accept()[0]

    def end(self) -> TaskEnded:
        """Wait for the end of the task."""
        return self.ends.get(timeout=PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def _run(cluster: Cluster, name: str, **settings: Any) -> TaskEnded:
    ends: queue.SimpleQueue[TaskEnded] = queue.SimpleQueue()
    cluster.start(f"manyfit.testing.clusters:{name}", settings, ends.put)
    return ends.get(timeout=PATIENCE)


# ── in tasks ──────────────────────────────────────────────────────────────────────────────────────


def echo(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings, and the process that runs this."""
    return {**settings, "secret": str(settings.get("secret")), "pid": os.getpid()}


def fail(_: Mapping[str, Any]) -> dict[str, Any]:
    """Raise an exception."""
    raise ValueError("no such luck")


def sizes(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sizes of what broadcasts hold."""
    return {
        digest: {file: len(data) for file, data in held.value.items()}
        for digest, held in settings["broadcasts"].items()
    }


def dial(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Connect to the first address that answers, and read until it hangs up."""
    connection = _first(settings["addresses"])
    with connection:
        read = 0
        while data := connection.recv(1024):
            read += len(data)
    return {"read": read}


def _first(addresses: list[Any]) -> socket.socket:
    for address in addresses[:-1]:
        with contextlib.suppress(OSError):
            return socket.create_connection(tuple(address), timeout=PATIENCE)
    return socket.create_connection(tuple(addresses[-1]), timeout=PATIENCE)
