"""The protocol of a cluster that runs remote workers.

::

    SparkCluster  ─┐
    DaskCluster   ─┼─► Cluster ◄── WorkerPool (trials), RemotePopulation (groups of a DataFrame)
    ProcessCluster ┘
"""

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class TaskEnded:
    """A task of a cluster ended.

    Attributes:
        said: The result of its function; None if the task failed.
        error: How it failed, in words; empty if it didn't.
    """

    said: Mapping[str, Any] | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Reach:
    """The addresses at which tasks reach this process.

    Attributes:
        hosts: Names or addresses to connect to, the most likely first.
        listen_at: The address to listen at; empty for all of this machine's.
    """

    hosts: tuple[str, ...]
    listen_at: str = ""


class Broadcast(Protocol):
    """The driver's handle for a value that a cluster sends to each of its machines."""

    def destroy(self) -> None:
        """Release the value, on the driver and on the machines."""


class Cluster(Protocol):
    """A cluster on which workers can run.

    A task is one call of a function in a slot of the cluster, in another process than the driver.
    It may wait for its slot while the cluster is busy. `manyfit.testing.clusters` has the contract
    suite.
    """

    @property
    def broadcast(self) -> Callable[[Any], Broadcast] | None:
        """A function that sends a value to each machine once, and returns a handle for `settings`.

        It is None if the cluster has no broadcasts.
        """

    def reach(self) -> Reach:
        """Return the addresses at which tasks presumably reach this process."""

    def start(
        self, entry: str, settings: Mapping[str, Any], tell: Callable[[TaskEnded], None]
    ) -> None:
        """Start a task; returns at once.

        Args:
            entry: `module:function` of the worker's Manyfit. It is called with the settings, which
                include its `place`: a `host`, a readable `name`, and the `gpus` that it may use.
                Its result must be JSON values. If Manyfit can't be imported, the result is
                `{"missing": why, "place": place}`.
            settings: Plain data, including secrets, and under `"broadcasts"` handles by digest;
                in the task, these have an attribute `value`. No file or page of the cluster may
                show any of it.
            tell: Called once, from any thread, when the task has ended: by itself, by `cancel`, or
                with its machine or the cluster.
        """

    def cancel(self) -> None:
        """End the tasks that `start` began; those that can't be ended end with their driver.

        It returns at once. It is called again until all have ended, because some clusters forget a
        cancellation that precedes the task.
        """

    def ended(self) -> str | None:
        """Return how the cluster ended, as in "the Spark session has ended: it was stopped".

        It is None while the cluster exists. This may take as long as `Timings.answer`.
        """


def call(entry: str, settings: Mapping[str, Any]) -> Callable[..., dict[str, Any]]:
    """Return a function that makes the call of a task; it is pickled by value.

    If a worker lacks Manyfit, a function pickled by reference would fail without a useful message.
    The task calls the function with its `place`, and by keyword with settings that only it has.

    Args:
        entry: The entry, as for `Cluster.start`.
        settings: The settings, without what only the task knows.

    Example:
        >>> task = call("builtins:dict", {"x": 1})
        >>> task({"host": "a", "name": "a/1", "gpus": []}, broadcasts={})["broadcasts"]
        {}
    """

    # Everything is inside, because names of this module would be looked up in the worker's Manyfit.
    def run(place: dict[str, Any], **more: Any) -> dict[str, Any]:
        import importlib  # noqa: PLC0415
        import sys  # noqa: PLC0415

        module, _, name = entry.partition(":")
        try:
            function = getattr(importlib.import_module(module), name)
        except ImportError as error:
            version = ".".join(map(str, sys.version_info[:3]))
            return {"missing": f"{error} (Python {version} at {sys.executable})", "place": place}
        said: dict[str, Any] = function({**settings, **more, "place": place})
        return said

    return run


def address_towards(host: str) -> str:
    """Return this machine's address on the route to another, without sending anything.

    Example:
        >>> address_towards("127.0.0.1:8786")
        '127.0.0.1'
    """
    name = urlsplit(f"//{host}").hostname or host
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(name, 9, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.connect(address)
            return str(probe.getsockname()[0])
    except OSError:
        return socket.gethostname()
