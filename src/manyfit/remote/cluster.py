"""The seam between remote workers and the clusters that run them.

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
        said: What its function returned; None if the task failed.
        error: How it failed, in words for people; empty if it didn't.
    """

    said: Mapping[str, Any] | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Reach:
    """How tasks reach this process.

    Attributes:
        hosts: Names or addresses at which they dial it, the likeliest first.
        listen_at: The address to listen at for them; empty for all that this machine has.
    """

    hosts: tuple[str, ...]
    listen_at: str = ""


class Broadcast(Protocol):
    """The driver's handle of a value that a cluster brings to each of its machines."""

    def destroy(self) -> None:
        """Free what holds it, on the driver and on the machines."""


class Cluster(Protocol):
    """What a cluster offers, so that workers run on it.

    A task is one call of a function in a slot of the cluster, in another process than the driver.
    It may wait for its slot for as long as the cluster is busy. `manyfit.testing.clusters` has the
    contract.
    """

    @property
    def broadcast(self) -> Callable[[Any], Broadcast] | None:
        """What brings a value to each machine once, and returns what `settings` may hold of it.

        None where the cluster has no such way.
        """

    def reach(self) -> Reach:
        """Return how tasks reach this process, as far as can be told."""

    def start(
        self, entry: str, settings: Mapping[str, Any], tell: Callable[[TaskEnded], None]
    ) -> None:
        """Start a task; returns at once.

        Args:
            entry: `module:function` of a worker's Manyfit. It is called with the settings and, in
                them, its `place`: a `host`, a `name` for people, and the `gpus` that it may use.
                It returns what can be JSON. Where Manyfit can't be imported, the task says
                `{"missing": why, "place": place}`.
            settings: Plain data, secrets included, and under `"broadcasts"` handles by digest,
                in whose place a task has what gives the `value`. No file and no page of the
                cluster's may show any of it.
            tell: Called once, from any thread, when the task has ended: by itself, by `cancel`, or
                with its machine or the cluster.
        """

    def cancel(self) -> None:
        """End the tasks that `start` began; those that can't be ended leave with their driver.

        Returns at once. It is called again until all have ended, since some clusters forget an
        order that comes before the task.
        """

    def ended(self) -> str | None:
        """Return how the cluster ended, as in "the Spark session has ended: it was stopped".

        None while it is there. May take as long as `Timings.answer` to say so.
        """


def call(entry: str, settings: Mapping[str, Any]) -> Callable[..., dict[str, Any]]:
    """Return a function that makes the call of a task; it travels by value.

    A worker may lack Manyfit: what is pickled by reference would fail where nobody can say so.

    Args:
        entry: As `Cluster.start` has it.
        settings: Without what only the task knows, which the function is given.
    """

    # All in here, since names of this module would be looked up in the worker's Manyfit.
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
    """Return this machine's address on the way to another; sends nothing.

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
