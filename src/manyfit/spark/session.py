"""A Spark session as executors need it.

No other file of `spark`, `groups` and `spark_ml` tells classic Spark from Connect, except for the
format in which `spark_ml` saves models. Jobs go through DataFrames, which both have; only classic
has a SparkContext, and broadcasts.
"""

import functools
import inspect
import re
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

from manyfit._optional import load
from manyfit.errors import ArgumentError
from manyfit.remote.cluster import address_towards
from manyfit.remote.watch import answer_within
from manyfit.spark.slots import Slots, slots_of, usable_slots
from manyfit.worker.timings import USUAL, Timings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# A function for `DataFrame.mapInArrow`.
TaskFunction: TypeAlias = Callable[[Iterator[Any]], Iterator[Any]]

_Answer = TypeVar("_Answer")

_LOOPBACK = "127.0.0.1"


class Session:
    """A classic or Connect session.

    Args:
        spark: The session.
        timings: Intervals and timeouts.

    Raises:
        ArgumentError: `spark` isn't a SparkSession.
    """

    def __init__(self, spark: "SparkSession", timings: Timings = USUAL) -> None:
        # Not hasattr: through Connect it would request the version from a server that may be gone.
        if not {"conf", "range", "version"} <= {*dir(spark)}:
            raise ArgumentError(f"spark must be a SparkSession, but got {spark!r:.200}")
        self._spark = spark
        self.timings = timings
        self._is_connect = type(spark).__module__.startswith("pyspark.sql.connect")

    def setting(self, name: str, default: str = "") -> str:
        """Return one of Spark's settings.

        Raises:
            TimeoutError: Spark hasn't answered for 20 s.
        """
        # The default isn't passed on: Spark would check it against the setting's type.
        return str(self._answer(lambda: self._spark.conf.get(name, None)) or default)

    @functools.cached_property
    def version(self) -> str:
        """Spark's version."""
        return str(self._answer(lambda: self._spark.version))

    @property
    def is_local(self) -> bool:
        """Whether executors are threads of the driver's JVM, on this machine."""
        return self.setting("spark.master").startswith("local")

    @property
    def cpus(self) -> int:
        """The number of cores of one task."""
        return int(self.setting("spark.task.cpus", "1"))

    def slots(self) -> Slots:
        """Return the number of tasks that the cluster runs at once, without starting a job.

        The number of cores is inferred from Spark's default parallelism. If the user has set that
        (`spark.default.parallelism`), only the settings remain.

        Raises:
            TimeoutError: Spark hasn't answered for 20 s.
        """
        return self._answer(self._slots)

    def _slots(self) -> Slots:
        names = ["spark.default.parallelism"]
        names += ["spark.sql.leafNodeDefaultParallelism"] if self._is_connect else []
        is_told = self.is_local or any(map(self.setting, names))
        return slots_of(self.setting, None if is_told else self._default_parallelism())

    def _default_parallelism(self) -> int | None:
        if not self._is_connect:
            return int(self._spark.sparkContext.defaultParallelism)
        plan = self._spark.sql("EXPLAIN SELECT * FROM range(0, 1)").collect()[0][0]
        found = re.search(r"splits=(\d+)", str(plan))
        return int(found[1]) if found else None

    def ended(self) -> str | None:
        """Return how this session ended; None while it exists. This takes up to 20 s."""
        try:
            self._answer(self._ask)
        except TimeoutError as error:
            return f"{error}"
        except Exception as error:  # noqa: BLE001 - Py4J, gRPC and a stopped session each have errors of their own
            return _how_it_ended(error)
        return None

    def _ask(self) -> None:
        if self._is_connect:
            self._spark.conf.get("spark.master", None)
        else:
            self._spark.sparkContext.defaultParallelism  # noqa: B018 - it asks the JVM

    def _answer(self, question: Callable[[], _Answer]) -> _Answer:
        """Return Spark's answer, or raise TimeoutError."""
        if not self._is_connect:
            return question()  # Py4J notices at once that the JVM is gone
        return answer_within(self.timings.answer, question)

    def leave(self) -> None:
        """Close a Connect client whose server is gone; returns at once.

        Otherwise its threads would retry for ten minutes, and keep this process from ending.
        """
        if self._is_connect:  # it waits for some of them
            threading.Thread(target=self._spark.client.close, daemon=True).start()

    # ── threads ───────────────────────────────────────────────────────────────────────────────

    def inheriting(self, target: Callable[[], None]) -> Callable[[], None]:
        """Return a target for a new thread, which inherits this thread's Spark properties."""
        if load("pyspark.sql.utils").is_remote() != self._is_connect:
            return target  # PySpark then takes the session for one of the other kind
        wrapper = load("pyspark").inheritable_thread_target
        if self.version.startswith("3."):
            return cast("Callable[[], None]", wrapper(target))
        return cast("Callable[[], None]", wrapper(self._spark)(target))

    def mark(self, tag: str, title: str, pool: str | None = None) -> None:
        """Tag the jobs that this thread will start; it must not start others.

        Through Connect they have only the tag: the server sets the titles of jobs, and has no
        pools.

        Args:
            tag: The tag for `cancel`.
            title: The title on Spark's pages.
            pool: The fair pool; None to leave it unchanged.
        """
        if self._is_connect:
            self._spark.addTag(tag)
            return
        context = self._spark.sparkContext
        context.setJobGroup(tag, title)
        context.addJobTag(tag)
        if pool is not None:
            context.setLocalProperty("spark.scheduler.pool", pool)

    @property
    def has_pools(self) -> bool:
        """Whether jobs can be put into fair pools; through Connect they can't."""
        return not self._is_connect

    @property
    def is_fair(self) -> bool:
        """Whether jobs share the cluster, rather than run first in, first out."""
        return self.setting("spark.scheduler.mode").upper() == "FAIR"

    def tasks(self) -> int | None:
        """Return the number of running tasks; None through Connect, where it is unknown."""
        if self._is_connect:
            return None
        tracker = self._spark.sparkContext.statusTracker()
        stages = map(tracker.getStageInfo, tracker.getActiveStageIds())
        return sum(stage.numActiveTasks for stage in stages if stage is not None)

    # ── the network ───────────────────────────────────────────────────────────────────────────

    def host(self) -> str:
        """Return the address at which executors presumably reach this process."""
        if self._is_connect:
            return address_towards(str(self._spark.client.host))
        return _LOOPBACK if self.is_local else self.setting("spark.driver.host", _LOOPBACK)

    def bind_address(self) -> str:
        """Return the address to listen at, for executors that connect to `host()`."""
        if self._is_connect or self.is_local:
            return self.host()
        return self.setting("spark.driver.bindAddress") or self.host()

    # ── jobs ──────────────────────────────────────────────────────────────────────────────────

    def run(
        self, function: TaskFunction, *, profile: Any = None, everywhere: bool = False
    ) -> list[str]:
        """Run a job of one task to its end, in this thread; returns the strings that it yields.

        Args:
            function: The function of the task, for `DataFrame.mapInArrow`.
            profile: The resource profile of its executors and task, as returned by `profile`.
            everywhere: Whether to run as many tasks as Spark runs at once, instead of one.
        """
        options = {} if profile is None else {"profile": profile}
        rows = self._spark.range(1 << 12) if everywhere else self._spark.range(0, 1, 1, 1)
        frame = rows.mapInArrow(function, "said string", **options)
        return [row[0] for row in frame.collect()]

    def cancel(self, tag: str) -> None:
        """Cancel the jobs with a tag.

        Raises:
            TimeoutError: Spark hasn't answered for 20 s.
        """
        if self._is_connect:
            self._answer(lambda: self._spark.interruptTag(tag))
        else:
            self._spark.sparkContext.cancelJobsWithTag(tag)

    @property
    def broadcast(self) -> Callable[[Any], Any] | None:
        """Broadcasts a value, and returns what a task may be given of it; None through Connect."""
        if self._is_connect:
            return None
        return cast("Callable[[Any], Any]", self._spark.sparkContext.broadcast)

    # ── resources ─────────────────────────────────────────────────────────────────────────────

    def fitting(self, cpus: int) -> int | None:
        """Return the number of tasks of `cpus` cores that fit into local Spark; otherwise None.

        Local Spark has no resource profiles; its tasks take several slots instead.
        """
        return usable_slots(self.setting("spark.master")) // cpus if self.is_local else None

    def profile(self, cpus: int, gpus: float) -> Any:
        """Return the profile of a task with this many cores and GPUs; None for the default.

        Raises:
            ArgumentError: This Spark can't give a task what it needs.
        """
        if gpus == 0 and (cpus == self.cpus or self.is_local):
            return None
        if gpus and self.is_local:
            raise ArgumentError(
                f"gpus_per_trial={gpus:g} needs a cluster: Spark with master "
                f"{self.setting('spark.master')!r} doesn't assign GPUs"
            )
        if "profile" not in inspect.signature(self._spark.range(1).mapInArrow).parameters:
            asked = f"cpus_per_trial={cpus}" + (f" and gpus_per_trial={gpus:g}" if gpus else "")
            setting = f"spark.task.cpus={cpus}" + (
                f" and spark.task.resource.gpu.amount={gpus:g}" if gpus else ""
            )
            raise ArgumentError(
                f"{asked} is not what this session's tasks have (spark.task.cpus={self.cpus}), and "
                f"Spark {self.version} has no resource profiles for DataFrames (4.0 has): "
                f"start the session with {setting}"
            )
        resource = load("pyspark.resource")
        needs = resource.TaskResourceRequests().cpus(cpus)
        if gpus:
            needs = needs.resource("gpu", gpus)
        profile = resource.ResourceProfileBuilder().require(needs).build
        if self._is_connect:
            # This registers it with the server now: the threads of jobs have no active session.
            profile.id  # noqa: B018
        return profile


def _how_it_ended(error: Exception) -> str:
    """Return how a session ended, from the error that it raised.

    Example:
        >>> _how_it_ended(AttributeError("'NoneType' object has no attribute 'sc'"))
        'it was stopped'
        >>> _how_it_ended(ConnectionRefusedError(111, "Connection refused"))
        'ConnectionRefusedError: [Errno 111] Connection refused'
    """
    said = " ".join(str(error).split())
    if isinstance(error, AttributeError) or re.search("stopped|closed|NO_ACTIVE_SESSION", said):
        return "it was stopped"
    return f"{type(error).__name__}: {said:.300}"
