"""Run trials in workers on a cluster: long-lived tasks that pull them from the driver.

::

    RemoteExecutor ─► WorkerPool ──a task each──► Cluster ──► worker: dials in, owns a slot
                        │                                       │
                        └─────────── workers ◄── hub ◄───TCP────┘
"""

import abc
import contextlib
import queue
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

from manyfit._checks import check_number, check_optional, check_text
from manyfit.errors import ExecutorError
from manyfit.executors.base import Capabilities, Handler
from manyfit.remote.cluster import Cluster
from manyfit.remote.equipment import Equipment, Packing
from manyfit.remote.hub import Hub
from manyfit.remote.pool import WorkerPool
from manyfit.remote.study import ClusterStudy
from manyfit.ship.chosen import Shippable
from manyfit.worker.timings import USUAL, Timings
from manyfit.worker.work import Task, Work

_Cluster = TypeVar("_Cluster", bound=Cluster)


@dataclass(slots=True)
class Opened(Generic[_Cluster]):
    """What an executor holds while it is open.

    Attributes:
        work: The study's.
        cluster: Where it runs.
        equipment: What workers are given.
        size: How many attempts run at once.
        inbox: Where cluster and workers put what they say.
        runner: What runs attempts: a `WorkerPool`, unless a subclass has another way.
        study: Hands over events.
    """

    work: Work
    cluster: _Cluster
    equipment: Equipment
    size: int
    inbox: "queue.SimpleQueue[Any]"
    runner: Any
    study: ClusterStudy


class RemoteExecutor(abc.ABC, Generic[_Cluster]):
    """Runs each trial in a worker on a cluster; a subclass says on which.

    Args:
        parallelism: How many trials run at once; by default as many as the cluster has slots now.
        host: Where workers reach this process; by default what the cluster says.
        port: The port they come to; 0 for any that is free.
        storage: A folder or URL that the driver and all workers see, for large shared data.
        ship: What travels to workers instead of the modules found automatically.
        env: Environment variables for the objective's process.
        secrets: Names of environment variables of this process that the objective gets as well.
        timings: How long driver, workers and cluster wait for one another; shorter in tests.

    Raises:
        ArgumentError: An argument breaks a rule; nothing has run.
    """

    def __init__(
        self,
        parallelism: int | None,
        *,
        host: str | None = None,
        port: int = 0,
        storage: str | None = None,
        ship: Sequence[Shippable] | None = None,
        env: Mapping[str, str] | None = None,
        secrets: Sequence[str] = (),
        timings: Timings = USUAL,
    ) -> None:
        self._asked: int | None = check_optional("parallelism", parallelism, least=1, whole=True)
        self._port = check_number("port", port, least=0, most=65535, whole=True)
        self._host = check_text("host", host, "a name or an address")
        self._packing = Packing.of(storage, ship, env, secrets)
        self._timings = timings
        self._opened: Opened[_Cluster] | None = None

    @abc.abstractmethod
    def cluster(self, work: Work) -> _Cluster:
        """Return the cluster, as it runs the tasks of this work.

        Raises:
            ArgumentError: It can't give trials what they are to have.
            ExecutorError: It has ended.
        """

    @abc.abstractmethod
    def slots(self) -> int:
        """Return how many tasks the cluster runs at once now.

        Raises:
            ArgumentError: It doesn't tell, or has none: parallelism must be given.
            ExecutorError: It has ended.
        """

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        live = self._opened is None or self._opened.runner.live_reports
        return Capabilities(live_reports=live, hard_kill=True, memory_limit=True, remote=True)

    @property
    def parallelism(self) -> int:
        """How many workers are ready; before it is open, how many are asked for."""
        if self._opened is not None:
            return int(self._opened.runner.size)
        if self._asked is None:
            self._asked = self.slots()
        return self._asked

    @property
    def cpus(self) -> int:
        """One core, unless the user says otherwise."""
        return 1

    def open(self, work: Work) -> None:
        """Pack code, data and work, and ask for workers; returns before the first is up.

        Raises:
            ObjectiveError: The objective can't be pickled; names what in it is to blame.
            ArgumentError: The cluster can't give trials what they are to have.
            ExecutorError: This process can't listen for workers, or the cluster has ended.
        """
        cluster, size = self.cluster(work), self._size(work)
        inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        with contextlib.ExitStack() as undo:
            equipment = self._packing.equip(work, cluster)
            undo.callback(equipment.broadcasts.close)
            hub, settings = self.listen(cluster, equipment, inbox)
            undo.callback(hub.close)
            pool = WorkerPool(
                cluster, work, equipment, size=size, inbox=inbox, hub=hub, settings=settings
            )
            undo.pop_all()
        study = ClusterStudy(pool, inbox, cluster, work.study, self._timings)
        self._opened = Opened(work, cluster, equipment, size, inbox, pool, study)

    def _size(self, work: Work) -> int:
        """Return how many workers a work is to have."""
        return min(self.parallelism, work.n_trials or self.parallelism)

    def equip(self, work: Work) -> Equipment:
        """Pack all that workers are given for a work; the caller closes its broadcasts.

        Raises:
            ObjectiveError: The objective can't be pickled; names what in it is to blame.
        """
        return self._packing.equip(work, self.cluster(work))

    def listen(
        self, cluster: _Cluster, equipment: Equipment, inbox: "queue.SimpleQueue[Any]"
    ) -> tuple[Hub, dict[str, Any]]:
        """Return a hub for tasks of the cluster, and the settings with which they dial it.

        Raises:
            ExecutorError: This process can't listen there.
            MissingExtraError: cryptography is not installed.
        """
        reach = cluster.reach()
        hub = Hub(reach.listen_at, self._port, inbox, self._timings)
        return hub, {
            "addresses": [
                (host, hub.port) for host in ([self._host] if self._host else reach.hosts)
            ],
            "credentials": asdict(hub.credentials),
            "imports": dict(equipment.listing.imports),
            "broadcasts": dict(equipment.broadcasts.broadcasts),
            "timings": asdict(self._timings),
        }

    def submit(self, task: Task) -> None:
        """Give an attempt to an idle worker, on the machine with most of them."""
        if self._opened is None:
            raise ExecutorError("open(work) must come before submit")
        self._opened.runner.submit(task)

    def poll(self, handle: Handler, timeout: float) -> None:
        """Hand over what has arrived, waiting up to `timeout` for a first event.

        Raises:
            ExecutorError: Workers can't be started, or can't do this work; or the cluster ended.
        """
        if self._opened is None:
            raise ExecutorError("open(work) must come before poll")
        self._opened.study.poll(handle, timeout)

    def stop(self, number: int, attempt: int, reason: str, *, kill: bool = False) -> None:
        """End an attempt at its next report, or at once."""
        if self._opened is not None:
            self._opened.runner.stop(number, attempt, reason, kill=kill)

    def close(self) -> None:
        """End all workers and their tasks; takes a second, or some where they must be killed."""
        if self._opened is not None:
            opened, self._opened = self._opened, None
            opened.study.close()
            opened.equipment.broadcasts.close()
