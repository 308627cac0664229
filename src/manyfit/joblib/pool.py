"""Runs batches of calls on an executor, which is driven by a thread of this module.

::

    joblib's threads ──Batch, Abort──► orders ──► pool's thread ──► executor ──► workers
                     ◄────────────── futures ◄──┘
"""

import contextlib
import logging
import queue
import secrets
import shutil
import sys
import tempfile
import threading
import weakref
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from pickle import loads
from typing import Any

from manyfit.data.shared import Shared
from manyfit.errors import ExecutorError, ManyfitError
from manyfit.events import AttemptEvent, AttemptFinished, AttemptStarted
from manyfit.executors.base import Executor
from manyfit.joblib.batch import Outcome, RunBatch
from manyfit.metric import Metric
from manyfit.ship.listing import shipping_list
from manyfit.space import Space
from manyfit.trial import log_name
from manyfit.worker.channel import ENDINGS
from manyfit.worker.exchange import given_file, result_file, scratch_of
from manyfit.worker.work import Exchange, Limits, Task, Work

logger = logging.getLogger("manyfit")

_MOST_ATTEMPTS = 2
_METRIC = "calls"  # of a batch: the number of its results, 0 if a call failed
# Seconds for which the executor is polled before new orders are looked at: with free slots, and
# without.
_SOON, _LATER = 0.01, 0.05
_PATIENCE = 20.0  # seconds for the calls of an aborted `Parallel` to end, or for workers
# Seconds after which idle workers end, as those of loky do. The next batch starts new ones.
_IDLE = 300.0


@dataclass(eq=False)
class Batch:
    """Calls that one worker makes, one after another.

    Attributes:
        owner: What they belong to: one call of `Parallel`.
        most: The number of batches of this owner that may run at once.
        data: The pickled calls.
        shared: The shared data that they refer to.
        error: Why they can't be pickled, if they can't.
        uses: Objects whose code workers must have, if the calls may use other than earlier ones.
        future: Gets what the calls return, or the exception of the first that fails.
        attempt: The number of times that a worker was given them.
        worker: The worker that has them.
        is_aborted: Whether nobody waits for them any more.
    """

    owner: object
    most: int
    data: bytes = b""
    shared: Sequence[Shared] = ()
    error: Exception | None = None
    uses: Sequence[Any] = ()
    future: "Future[list[Any]]" = field(default_factory=Future)
    attempt: int = 0
    worker: str = ""
    is_aborted: bool = False


@dataclass(frozen=True)
class _Abort:
    owner: object
    done: threading.Event


class Pool:
    """Runs batches on an executor, from the first batch until `close`.

    The executor opens with the first batch, and again after it has failed.

    Args:
        executor: Runs each batch as an attempt, in a process that isn't this one.
        cpus: The number of threads of each BLAS and OpenMP pool in a worker.

    Attributes:
        slots: The number of batches that run at once.
    """

    def __init__(self, executor: Executor, cpus: int | None = None) -> None:
        self.slots = executor.parallelism
        self._executor = executor
        self._limits = Limits(cpus=cpus or executor.cpus)
        self._orders: queue.SimpleQueue[Batch | _Abort | None] = queue.SimpleQueue()
        self._waiting: deque[Batch] = deque()
        self._running: dict[int, Batch] = {}
        self._folder: Path | None = None  # while the executor is open
        self._modules: frozenset[str] = frozenset()  # that workers were sent
        self._uses: list[Any] = []
        self._sets: weakref.WeakValueDictionary[str, Shared] = weakref.WeakValueDictionary()
        self._sent: set[str] = set()  # digests of the sets that machines may have
        self._gone: list[str] = []
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def submit(self, batch: Batch) -> None:
        """Run a batch as soon as a slot is free; safe from any thread."""
        with self._starting:
            self._orders.put(batch)
            if self._thread is None:
                name = "manyfit-joblib"
                self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
                self._thread.start()

    def abort(self, owner: object) -> None:
        """Drop an owner's batches: when it returns, none of their calls runs any more."""
        if self._thread is None:
            return
        order = _Abort(owner, threading.Event())
        self._orders.put(order)
        if threading.current_thread() is not self._thread:
            order.done.wait(_PATIENCE)

    def close(self) -> None:
        """End all workers. It waits for that, unless it is called by the pool's own thread."""
        with self._starting:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._orders.put(None)
            if threading.current_thread() is not thread:
                thread.join(_PATIENCE)

    # ── the pool's thread ─────────────────────────────────────────────────────────────────────

    def _serve(self) -> None:
        aborts: list[_Abort] = []
        try:
            while self._take_orders(aborts):
                try:
                    self._advance()
                except (ManyfitError, OSError) as error:
                    self._fail(error)
                for abort in tuple(aborts):
                    if all(each.owner is not abort.owner for each in self._running.values()):
                        aborts.remove(abort)
                        abort.done.set()
        finally:
            self._leave(aborts)

    def _leave(self, aborts: list[_Abort]) -> None:
        """Fail what is left, so that nobody waits for it: the pool was closed, or has a bug."""
        with self._starting, contextlib.suppress(queue.Empty):
            if self._thread is threading.current_thread():
                self._thread = None
            while True:
                if isinstance(order := self._orders.get_nowait(), Batch):
                    self._waiting.append(order)
        cause = sys.exception()
        why = "was closed" if cause is None else f"failed: {type(cause).__name__}: {cause}"
        self._fail(ExecutorError(f"the joblib backend 'manyfit' {why}"))
        for abort in aborts:
            abort.done.set()

    def _take_orders(self, aborts: list[_Abort]) -> bool:
        """Take in all orders; waits for a first one if nothing is to be done. False to end."""
        is_idle = not (self._waiting or self._running)
        with contextlib.suppress(queue.Empty):
            order = self._next_order() if is_idle else self._orders.get_nowait()
            while order is not None:
                if isinstance(order, _Abort):
                    self._abort(order.owner)
                    aborts.append(order)
                else:
                    self._take(order, first=is_idle)
                    is_idle = False
                order = self._orders.get_nowait()
            return False
        return True

    def _next_order(self) -> "Batch | _Abort | None":
        """Wait for the next order; workers that are idle for long end meanwhile."""
        with contextlib.suppress(queue.Empty):
            return self._orders.get(timeout=_IDLE)
        self._end()
        return self._orders.get()

    def _take(self, batch: Batch, *, first: bool) -> None:
        if batch.error is not None:  # told from here: joblib isn't to hear of it within `submit`
            batch.future.set_exception(batch.error)
            return
        self._waiting.append(batch)
        if first:  # no worker reads any set
            self._gone = sorted(self._sent - set(self._sets))
            self._sent.difference_update(self._gone)
        for shared in batch.shared:
            self._sets[shared.digest] = shared
            self._sent.add(shared.digest)

    def _abort(self, owner: object) -> None:
        self._waiting = deque(batch for batch in self._waiting if batch.owner is not owner)
        for number, batch in self._running.items():
            if batch.owner is owner:
                batch.is_aborted = True
                self._executor.stop(number, batch.attempt, "aborted", kill=True)

    def _advance(self) -> None:
        """Hand batches out, and take in what has happened to those that run."""
        self._hand_out()
        if self._waiting or self._running:
            has_room = len(self._running) < self.slots
            self._executor.poll(self._note, _SOON if has_room else _LATER)
            self._hand_out()

    def _hand_out(self) -> None:
        busy = Counter(id(batch.owner) for batch in self._running.values())
        held: deque[Batch] = deque()
        while self._waiting and self._is_open_for(self._waiting[0]):
            if len(self._running) >= self._executor.parallelism:
                break
            batch = self._waiting.popleft()
            if busy[id(batch.owner)] < batch.most:
                busy[id(batch.owner)] += 1
                self._start(batch)
            else:
                held.append(batch)
        self._waiting.extendleft(reversed(held))

    def _is_open_for(self, batch: Batch) -> bool:
        """Open the executor; again, if workers on other machines lack code that a batch uses.

        Returns:
            Whether it is open: for that, it must first have ended what runs with other code.
        """
        if batch.uses and self._executor.capabilities.remote:
            modules = frozenset(shipping_list(RunBatch(batch.uses)).modules)
            if not modules <= self._modules:
                if self._running:
                    return False
                self._modules |= modules
                self._uses += batch.uses
                self._end()
        batch.uses = ()
        if self._folder is None:
            self._open()
        return True

    def _open(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="manyfit-joblib-"))
        objective = RunBatch(self._uses)
        try:
            work = Work(objective, Space({}), Metric(_METRIC), "joblib", folder, self._limits)
            self._executor.open(work)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._folder = folder

    def _start(self, batch: Batch) -> None:
        if self._folder is None:
            raise AssertionError("the executor is open when a batch starts")
        if not self._executor.capabilities.live_reports:
            raise ExecutorError(
                "workers can't connect to this process, which calls of joblib need: give the "
                "executor host= (and port=) at which its machines reach this one"
            )
        number = secrets.randbits(48)
        batch.attempt += 1
        given_file(self._folder, number).write_bytes(batch.data)
        needs = [shared.manifest for shared in batch.shared]
        exchange = Exchange(needs=needs, gone=self._gone)
        self._running[number] = batch
        seed = secrets.randbits(32)
        self._executor.submit(Task(number, batch.attempt, {}, seed, exchange=exchange))

    def _note(self, event: AttemptEvent) -> None:
        batch = self._running.get(event.number)
        if batch is None or self._folder is None:
            return
        if isinstance(event, AttemptStarted):
            batch.worker = event.worker
        elif isinstance(event, ENDINGS):
            del self._running[event.number]
            if isinstance(event, AttemptFinished) and event.metrics[_METRIC] > 0:
                self._hand_out()  # first, because the worker would wait for what comes now
            log = self._folder / "logs" / log_name(event.number, event.attempt)
            if not batch.is_aborted:
                self._end_of(batch, event, log)
            log.unlink(missing_ok=True)
            shutil.rmtree(scratch_of(self._folder, event.number), ignore_errors=True)

    def _end_of(self, batch: Batch, event: AttemptEvent, log: Path) -> None:
        if isinstance(event, AttemptFinished) and self._folder is not None:
            _show(log)
            if not _settle(batch, result_file(self._folder, event.number, event.attempt)):
                self._abort(batch.owner)  # as joblib will want: nothing more is to begin
        elif batch.attempt < _MOST_ATTEMPTS:
            logger.warning("%s. Its calls are made again.", _lost(batch, event))
            self._waiting.appendleft(batch)
        else:
            said = f"Its log is {_kept(log)}" if log.exists() else "It had printed nothing"
            why = f"{_lost(batch, event)}. So was the one that was given its calls before. {said}"
            batch.future.set_exception(ExecutorError(why))
            self._abort(batch.owner)

    def _fail(self, error: ManyfitError | OSError) -> None:
        """End everything, because the executor has failed."""
        failed = [*self._running.values(), *self._waiting]
        self._running.clear()
        self._waiting.clear()
        self._end()
        for batch in failed:
            if not batch.is_aborted:
                batch.future.set_exception(error)

    def _end(self) -> None:
        """Close the executor."""
        if self._folder is not None:
            self._executor.close()
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
            self._sent.clear()


def _settle(batch: Batch, result: Path) -> bool:
    """Give a batch its results, or an exception; returns whether it is results."""
    try:
        outcome: Outcome = loads(result.read_bytes())  # noqa: S301 - the worker knew the secret
        values = outcome.result()
    except BaseException as error:  # noqa: BLE001 - it is the user's
        batch.future.set_exception(error)
        return False
    batch.future.set_result(values)
    return True


def _show(log: Path) -> None:
    """Print what calls have printed, when they have ended."""
    if log.exists():
        sys.stdout.write(log.read_text(encoding="utf-8", errors="replace"))


def _kept(log: Path) -> Path:
    """Move a log out of the folder that is removed."""
    with tempfile.NamedTemporaryFile(prefix="manyfit-joblib-", suffix=".log", delete=False) as file:
        file.write(log.read_bytes())
    return Path(file.name)


def _lost(batch: Batch, event: AttemptEvent) -> str:
    reason = str(getattr(event, "reason", event))
    return f"the worker {batch.worker or 'of some calls'} was lost: {reason}".rstrip(".")
