"""The backend that joblib calls.

::

    parallel_config ─► ManyfitBackend ─┐
         Parallel ─► CallBackend ──────┼─ leases ─► Pool, one for each executor
         Parallel ─► CallBackend ──────┘
"""

import logging
import math
import threading
import weakref
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from joblib import register_parallel_backend
from joblib.parallel import (
    AutoBatchingMixin,
    FallbackToBackend,
    ParallelBackendBase,
    SequentialBackend,
)

from manyfit.data.shared import Shared
from manyfit.errors import ArgumentError
from manyfit.executors.auto import make_executor
from manyfit.executors.base import Executor
from manyfit.joblib.batch import Arrays, packed
from manyfit.joblib.pool import Batch, Pool

logger = logging.getLogger("manyfit")

_NAME = "manyfit"
_MOST_BYTES = 1 << 20  # of an array that is pickled; joblib's default


@dataclass(eq=False)
class _Settings:
    """What a configuration and its calls have in common.

    Attributes:
        executor: Where calls run.
        slots: The number of calls that run at once.
        cpus: The number of threads of each pool in a worker; None for what the executor says.
        kept: The shared arrays of the last call, by digest.
        told: What the user has been told.
    """

    executor: Executor
    slots: int
    cpus: int | None = None
    kept: dict[str, Shared] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)

    def tell(self, sentence: str) -> None:
        """Log a warning, each sentence once."""
        if sentence not in self.told:
            self.told.add(sentence)
            logger.warning("%s.", sentence)

    def n_jobs(self, asked: int | None) -> int:
        """Return the number of calls that run at once.

        Raises:
            ValueError: It is 0.
        """
        if asked == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if asked is None or asked < 0:
            return max(self.slots + 1 + (-1 if asked is None else asked), 1)
        if asked > self.slots:
            self.tell(f"n_jobs={asked} is reduced to the executor's {self.slots} slots")
        return min(asked, self.slots)


class ManyfitBackend(ParallelBackendBase):  # type: ignore[misc] # joblib has no types
    """Runs the calls of `joblib.Parallel` in long-lived workers of an executor.

    Workers start with the first call, serve all calls within the same `parallel_config`, and end
    with it. Configurations with the same executor, in several threads too, share its workers. With
    `n_jobs=1`, joblib itself makes the calls, here.

    NumPy arrays above `max_nbytes` (joblib's, 1 MB by default) are moved to each machine once, and
    mapped there, read-only. Inside a call, joblib runs sequentially, and the pools of BLAS and
    OpenMP have the executor's number of cores for a trial (`inner_max_num_threads` changes it).

    A worker that dies costs its calls one retry: a call may be made twice. What calls print is
    printed when their batch has ended. At the first exception, at `timeout` and at Ctrl-C, the
    other calls are killed.

    Args:
        executor: `"processes"`, or an executor whose trials run in other processes, such as
            `SparkExecutor(spark)` and `DaskExecutor(client)`.
        parallelism: The number of workers of `"processes"`; by default the number of cores.
        nesting_level: What joblib says.
        inner_max_num_threads: The number of threads of each pool in a worker.

    Raises:
        ArgumentError: The executor runs trials in this process.

    Example:
        >>> import joblib
        >>> with joblib.parallel_config("manyfit", executor="processes", parallelism=2):
        ...     joblib.Parallel(n_jobs=-1)(joblib.delayed(pow)(2, i) for i in range(5))
        [1, 2, 4, 8, 16]
    """

    supports_retrieve_callback = True
    supports_inner_max_num_threads = True
    default_n_jobs = -1

    def __init__(
        self,
        executor: str | Executor = "processes",
        parallelism: int | None = None,
        nesting_level: int | None = None,
        inner_max_num_threads: int | None = None,
    ) -> None:
        super().__init__(nesting_level=nesting_level, inner_max_num_threads=inner_max_num_threads)
        made = make_executor(executor, parallelism=parallelism)
        if made.capabilities.in_driver_process or not made.capabilities.hard_kill:
            raise ArgumentError(
                "executor must run trials in other processes, such as 'processes' or "
                f"SparkExecutor(spark), but got {executor!r:.200}. For threads, use joblib's own "
                "backend 'threading'"
            )
        self._settings = _Settings(made, made.parallelism)
        self._lease: Any = None

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return the number of calls that run at once: all slots for -1 and None, at most those.

        Raises:
            ValueError: `n_jobs` is 0.
        """
        return self._settings.n_jobs(n_jobs)

    def configure(self, **_: Any) -> int:
        """Have a `Parallel` use a backend of its own, so that several can run at once."""
        self._settings.cpus = self.inner_max_num_threads
        if self._lease is None:
            self._lease = _lease(self, self._settings)
        raise FallbackToBackend(CallBackend(self._settings, self.nesting_level))

    def close(self) -> None:
        """End the workers, unless another configuration or a running call uses them.

        It is needed only if something keeps a configuration that isn't used any more, such as a
        variable in `with parallel_config(...) as settings`. The next call starts new workers.
        """
        if self._lease is not None:
            self._lease()
            self._lease = None


class CallBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc] # no types
    """The backend of one `Parallel`.

    Args:
        settings: Those of the configuration.
        nesting_level: What joblib says.
    """

    supports_retrieve_callback = True
    supports_inner_max_num_threads = True
    default_n_jobs = -1

    def __init__(self, settings: _Settings, nesting_level: int | None) -> None:
        super().__init__(nesting_level=nesting_level)
        self.parallel: Any = None
        self._settings = settings
        self._arrays = Arrays(settings.kept)
        self._mapping: dict[str, Any] = {}  # how arrays are mapped
        self._n_jobs = 1
        self._is_first = True
        self._pool: Pool | None = None  # during a call
        self._lease: Any = None

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return the number of calls that run at once, as `ManyfitBackend` does."""
        return self._settings.n_jobs(n_jobs)

    def configure(
        self,
        n_jobs: int = 1,
        parallel: Any = None,
        prefer: str | None = None,  # noqa: ARG002 - a hint for those who have named no backend
        require: str | None = None,  # noqa: ARG002 - joblib chooses threads where it matters
        **options: Any,
    ) -> int:
        """Prepare for a `Parallel`; returns the number of calls that run at once.

        Raises:
            ArgumentError: Calls were to write into arrays of this process, or an option is unknown.
        """
        self.parallel = parallel
        self._mapping = self._checked(**options)
        self._n_jobs = self.effective_n_jobs(n_jobs)
        return self._n_jobs

    def _checked(
        self,
        max_nbytes: int | None = _MOST_BYTES,
        mmap_mode: str | None = "r",
        temp_folder: str | None = None,
        verbose: int = 0,  # noqa: ARG002 - joblib prints by itself
        context: Any = None,  # noqa: ARG002 - of multiprocessing
        **unknown: Any,
    ) -> dict[str, Any]:
        if unknown:
            raise ArgumentError(
                f"the backend 'manyfit' has no option {', '.join(unknown)} in Parallel: give what "
                "it has (executor, parallelism, inner_max_num_threads) to joblib.parallel_config"
            )
        if mmap_mode not in ("r", "c", None):
            raise ArgumentError(
                f"mmap_mode must be 'r', 'c' or None, but got {mmap_mode!r}: workers, which may be "
                "on other machines, can't write into arrays of this process. Return the results"
            )
        if temp_folder is not None:
            self._settings.tell("temp_folder has no effect on the backend 'manyfit': set TMPDIR")
        most = math.inf if max_nbytes is None or mmap_mode is None else max_nbytes
        return {"max_nbytes": most, "mmap_mode": mmap_mode}

    def start_call(self) -> None:
        """Begin a call of `Parallel`; workers are kept until it ends."""
        self._lease = _lease(self, self._settings)
        self._pool = pool_of(self._settings.executor)
        self._arrays = Arrays(self._settings.kept)
        self._is_first = True

    def submit(self, func: Any, callback: Any = None) -> "Future[list[Any]]":
        """Run a batch of calls; returns its future."""
        if self._pool is None:
            raise AssertionError("joblib has begun no call")
        batch = Batch(self, self._n_jobs)
        if callback is not None:
            batch.future.add_done_callback(callback)
        functions = list({id(each): each for each, _, _ in func.items}.values())
        try:
            batch.data, batch.shared = packed(func, functions, self._arrays, **self._mapping)
        except Exception as error:  # noqa: BLE001 - it is what the user passes that can't be sent
            batch.error = error
        if self._is_first:
            self._is_first, batch.uses = False, func.items[:1]
        self._pool.submit(batch)
        return batch.future

    def retrieve_result_callback(self, out: "Future[list[Any]]") -> list[Any]:
        """Return what the calls of a batch returned, or raise what one of them raised."""
        return out.result()

    def abort_everything(self, ensure_ready: bool = True) -> None:  # noqa: ARG002 - it always is
        """End this call's calls: when it returns, none of them runs."""
        if self._pool is not None:
            self._pool.abort(self)

    def stop_call(self) -> None:
        """End a call of `Parallel`."""
        self._settings.kept = self._arrays.used
        self._arrays = Arrays({})
        if self._lease is not None:
            self._pool = None
            self._lease()
            self._lease = None

    def terminate(self) -> None:
        """Forget a `Parallel`; workers are kept for the next one."""
        self.reset_batch_stats()

    def get_nested_backend(self) -> tuple[Any, None]:
        """Return joblib's sequential backend: the workers are busy with the outer calls."""
        return SequentialBackend(nesting_level=(self.nesting_level or 0) + 1), None


# ── pools by executor ─────────────────────────────────────────────────────────────────────────────

# A pool holds its executor, so that no other one has its id meanwhile.
_pools: dict[int, tuple[Pool, int]] = {}
_leasing = threading.RLock()  # the collector may end a lease in the middle of anything


def _lease(owner: object, settings: _Settings) -> Any:
    """Keep the pool of an executor until the result is called, or the owner is collected."""
    key = id(settings.executor)
    with _leasing:
        pool, count = _pools.get(key, (None, 0))
        _pools[key] = pool or Pool(settings.executor, settings.cpus), count + 1
    return weakref.finalize(owner, _end_lease, key)


def _end_lease(key: int) -> None:
    with _leasing:
        pool, count = _pools.pop(key)
        if count > 1:
            _pools[key] = pool, count - 1
            return
    pool.close()


def pool_of(executor: Executor) -> Pool:
    """Return the pool of an executor that is leased."""
    return _pools[id(executor)][0]


def register() -> None:
    """Make the backend known to joblib by its name."""
    register_parallel_backend(_NAME, ManyfitBackend)
