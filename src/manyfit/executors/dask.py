"""Run trials on a Dask cluster: each worker is a Dask task that takes one trial after another."""

import contextlib
import secrets as randomness
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from manyfit._optional import require
from manyfit.errors import ArgumentError
from manyfit.executors.remote import RemoteExecutor
from manyfit.remote.cluster import Reach, TaskEnded, address_towards, call
from manyfit.remote.watch import answer_within, cluster_error
from manyfit.worker.reason import reason_of
from manyfit.worker.timings import USUAL, Timings
from manyfit.worker.work import Work

if TYPE_CHECKING:
    from distributed import Client


class DaskExecutor(RemoteExecutor["DaskCluster"]):
    """Runs each trial in a worker on a Dask cluster, by way of `dask.distributed`.

    A trial takes one thread of a Dask worker, and runs in a child process of it, which is killed at
    limits. A Dask worker that dies costs the attempts that it was at, which are tried again. Slots
    for which the cluster has no room yet join when it grows.

    If the client is closed or its scheduler gone, and no worker is left, the study ends with an
    `ExecutorError`, and can be resumed; attempts that ran then don't count. Where Dask workers
    can't dial this process, the study ends before its first trial.

    Args:
        client: A `distributed.Client`, not an asynchronous one.
        parallelism: How many trials run at once; by default as many as the cluster has threads now.
        **options: `host` and `port` at which Dask workers reach this process, by default its
            address towards the scheduler and any port; `storage`, for shared data above 1 GB;
            `ship`, `env`, `secrets`: all as in `SparkExecutor`.

    Raises:
        ArgumentError: An argument breaks a rule, or nobody says how many slots there are.

    Example:
        >>> executor = DaskExecutor(client, parallelism=8)  # doctest: +SKIP
    """

    def __init__(self, client: "Client", parallelism: int | None = None, **options: Any) -> None:
        super().__init__(parallelism, **options)
        self._cluster = DaskCluster(client, self._timings)

    def cluster(self, work: Work) -> "DaskCluster":
        self._cluster.check(work.study)
        return DaskCluster(self._cluster.client, self._timings)  # its `cancel` is this work's

    def slots(self) -> int:
        self._cluster.check()
        if threads := sum(self._cluster.client.nthreads().values()):
            return int(threads)
        raise ArgumentError("this Dask cluster has no workers: start some, or give parallelism")


class DaskCluster:
    """The threads of Dask workers, as slots for tasks; refuses what is no client of theirs."""

    def __init__(self, client: "Client", timings: Timings = USUAL) -> None:
        kind = require("distributed", extra="dask", purpose="DaskExecutor").Client
        if not isinstance(client, kind) or client.asynchronous:
            rule = "client must be a distributed.Client that is not asynchronous"
            raise ArgumentError(f"{rule}, but got {client!r:.200}")
        self.client = client
        self._timings = timings
        self._futures: set[Any] = set()

    def broadcast(self, value: Any) -> "_Broadcast":
        return _Broadcast(self.client, value)

    def reach(self) -> Reach:
        kind, _, address = str(self.client.scheduler.address).partition("://")
        host = "127.0.0.1" if kind == "inproc" else address_towards(address)
        return Reach((host,), host)

    def start(
        self, entry: str, settings: Mapping[str, Any], tell: Callable[[TaskEnded], None]
    ) -> None:
        held: Mapping[str, _Broadcast] = settings.get("broadcasts", {})
        function = _task(entry, settings, tuple(held))

        def begin_when_there_is_a_worker(ended: TaskEnded) -> None:
            if ended.said is None:
                tell(ended)
                return
            try:
                self._submit(function, [each.scattered() for each in held.values()], tell)
            except Exception as error:  # noqa: BLE001 - Dask's comms raise what they like
                tell(TaskEnded(None, reason_of(error)))

        if all(each.is_held for each in held.values()):
            self._submit(function, [each.scattered() for each in held.values()], tell)
        else:  # data can be scattered to workers only, which may come at any time
            self._submit(dict, [], begin_when_there_is_a_worker)

    def _submit(
        self, function: Callable[..., Any], futures: list[Any], tell: Callable[[TaskEnded], None]
    ) -> None:
        key = f"manyfit-{randomness.token_hex(8)}"
        future = self.client.submit(function, *futures, key=key, pure=False)
        self._futures.add(future)
        future.add_done_callback(self._futures.discard)
        future.add_done_callback(lambda future: tell(_end_of(future)))

    def cancel(self) -> None:
        """Cancel what has not begun: Dask can't end threads, so other tasks leave by themselves."""
        with contextlib.suppress(Exception):  # a client that is closed raises what it likes
            self.client.cancel(list(self._futures))

    def ended(self) -> str | None:
        if self.client.status != "running":
            is_closed = self.client.status in ("closing", "closed")
            return f"the Dask {'client is closed' if is_closed else 'scheduler is gone'}"
        try:
            answer_within(self._timings.answer, self.client.nthreads)
        except Exception as error:  # noqa: BLE001 - Dask's comms raise what they like
            return f"the Dask scheduler is gone: {reason_of(error)}"
        return None

    def check(self, study: str | None = None) -> None:
        """Raise an `ExecutorError` if the client or its scheduler has ended."""
        if (reason := self.ended()) is not None:
            raise cluster_error(reason, study)


class _Broadcast:
    """A value at every Dask worker; Dask forgets it with the last worker that has it."""

    def __init__(self, client: Any, value: Any) -> None:
        self._client = client
        self._value = value
        self._future: Any = None
        self._lock = threading.Lock()

    @property
    def is_held(self) -> bool:
        """Whether a Dask worker has it, as far as the client knows."""
        return self._future is not None and self._future.status == "finished"

    def scattered(self) -> Any:
        """Return the value's future; scatters it if no worker has it."""
        with self._lock:
            if not self.is_held:
                (self._future,) = self._client.scatter([self._value], broadcast=True, hash=False)
            return self._future

    def destroy(self) -> None:
        self._value = None
        if self._future is not None:
            self._future.release()


def _end_of(future: Any) -> TaskEnded:
    if future.status == "finished":
        return TaskEnded(future.result())
    if future.status == "error":
        return TaskEnded(None, reason_of(future.exception()))
    return TaskEnded(None, f"Dask says that its task is {future.status}")


def _task(entry: str, settings: Mapping[str, Any], digests: tuple[str, ...]) -> Callable[..., Any]:
    """Return what Dask runs; the settings are in it, since Dask logs the arguments of a failure."""
    called = call(entry, {name: settings[name] for name in settings if name != "broadcasts"})

    # All in here, since names of this module would be looked up in the worker's Manyfit.
    def run(*held: Any) -> Any:
        import socket  # noqa: PLC0415
        from types import SimpleNamespace  # noqa: PLC0415

        from distributed import get_worker  # noqa: PLC0415

        host = socket.gethostname()
        place = {"host": host, "name": f"{host}/worker {get_worker().name}", "gpus": []}
        values = [SimpleNamespace(value=value) for value in held]
        return called(place, broadcasts=dict(zip(digests, values, strict=True)))

    return run
