"""The backend that joblib calls."""

import logging
import math
import threading
import weakref
from concurrent.futures import Future
from typing import Any

from joblib import register_parallel_backend
from joblib.parallel import AutoBatchingMixin, ParallelBackendBase, SequentialBackend

from manyfit.errors import ArgumentError
from manyfit.executors.auto import make_executor
from manyfit.executors.base import Executor
from manyfit.joblib.batch import Arrays, packed
from manyfit.joblib.pool import Batch, Pool

logger = logging.getLogger("manyfit")

_NAME = "manyfit"


class ManyfitBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc] # no types
    """Runs the calls of `joblib.Parallel` in long-lived workers of an executor.

    Workers start with the first call, serve all calls within the same `parallel_config`, and end
    with it. Several configurations with the same executor, in several threads too, share its
    workers. With `n_jobs=1`, joblib itself makes the calls, here.

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

    Attributes:
        executor: The executor.

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
        self.executor = make_executor(executor, parallelism=parallelism)
        abilities = self.executor.capabilities
        if abilities.in_driver_process or not abilities.hard_kill:
            raise ArgumentError(
                "executor must run trials in other processes, such as 'processes' or "
                f"SparkExecutor(spark), but got {executor!r:.200}. For threads, use joblib's own "
                "backend 'threading'"
            )
        self._leased: Pool | None = None
        self._parallel: weakref.ref[Any] | None = None
        self._arrays = Arrays()
        self._mapping: dict[str, Any] = {}  # how arrays are mapped
        self._call = object()  # stands for the current call of `Parallel`
        self._n_jobs = 1
        self._is_first = True
        self._told: set[str] = set()

    # Not a plain attribute: joblib's `Parallel` refers to its backend, which is collected, and
    # ends its workers, once no configuration refers to it.
    @property
    def parallel(self) -> Any:
        """The `Parallel` that is using this backend."""
        return None if self._parallel is None else self._parallel()

    @parallel.setter
    def parallel(self, value: Any) -> None:
        self._parallel = None if value is None else weakref.ref(value)

    @property
    def _pool(self) -> Pool:
        if self._leased is None:
            self._leased = _lease(self.executor, self.inner_max_num_threads)
            self._return = weakref.finalize(self, _return, self._leased)
        return self._leased

    def close(self) -> None:
        """End the workers, unless another configuration shares them; the next call starts new ones.

        Not needed, but where something still refers to the configuration: an exception's traceback,
        or a variable, as in `with parallel_config(...) as settings`.
        """
        if self._leased is not None:
            self._leased = None
            self._return()

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return the number of calls that run at once: all slots for -1 and None, at most those.

        Raises:
            ValueError: `n_jobs` is 0.
        """
        slots = self._pool.slots
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is None or n_jobs < 0:
            return max(slots + 1 + (-1 if n_jobs is None else n_jobs), 1)
        if n_jobs > slots:
            self._say(f"n_jobs={n_jobs} is reduced to the executor's {slots} slots")
        return min(n_jobs, slots)

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
        max_nbytes: int | None = 1 << 20,
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
            self._say("temp_folder has no effect on the backend 'manyfit': set TMPDIR instead")
        most = math.inf if max_nbytes is None or mmap_mode is None else max_nbytes
        return {"max_nbytes": most, "mmap_mode": mmap_mode}

    def start_call(self) -> None:
        """Begin a call of `Parallel`."""
        self._call, self._is_first = object(), True

    def submit(self, func: Any, callback: Any = None) -> "Future[list[Any]]":
        """Run a batch of calls; returns its future."""
        batch = Batch(self._call, self._n_jobs)
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

    def abort_everything(self, ensure_ready: bool = True) -> None:  # noqa: ARG002
        """End the calls of the current `Parallel`; other workers are ready for the next one."""
        self._pool.abort(self._call)

    def stop_call(self) -> None:
        """End a call of `Parallel`."""
        self._arrays.end_call()

    def terminate(self) -> None:
        """Forget a `Parallel`; its workers are kept for the next one."""
        self.reset_batch_stats()
        self.parallel = None

    def get_nested_backend(self) -> tuple[Any, None]:
        """Return joblib's sequential backend: the workers are busy with the outer calls."""
        return SequentialBackend(nesting_level=(self.nesting_level or 0) + 1), None

    def _say(self, sentence: str) -> None:
        if sentence not in self._told:
            self._told.add(sentence)
            logger.warning("%s.", sentence)


# ── pools by executor ─────────────────────────────────────────────────────────────────────────────

# A pool holds its executor, so that no other one has its id meanwhile.
_leases: dict[int, tuple[Pool, int]] = {}
_leasing = threading.RLock()  # the collector may return a pool in the middle of anything


def _lease(executor: Executor, cpus: int | None) -> Pool:
    with _leasing:
        pool, count = _leases.get(id(executor), (None, 0))
        pool = pool or Pool(executor, cpus)
        _leases[id(executor)] = pool, count + 1
        return pool


def _return(pool: Pool) -> None:
    """Close a pool that no backend uses any more."""
    with _leasing:
        key, count = next((key, count) for key, (each, count) in _leases.items() if each is pool)
        if count > 1:
            _leases[key] = pool, count - 1
            return
        del _leases[key]
    pool.close()


def register() -> None:
    """Make the backend known to joblib by its name."""
    register_parallel_backend(_NAME, ManyfitBackend)
