"""Runs several trials at once on the driver, each of which uses a whole Spark cluster.

::

    DriverExecutor ─► gate ─► a thread each: objective ──jobs──► session ─► Spark
     ▲       ▲          ▲        │                                  │
     │       └───news───┼────────┘                                  │
     └─ pace ◄──────────┴─ slots ◄──────────────────────────────────┘

The gate starts a trial when its slots are free; slots says how many the cluster has. If nobody says
how many trials may run at once, pace does. A thread marks its trial's jobs, so that they can be
shown and cancelled as its own. Load measures how busy trials keep the cluster, for plans.
"""

import contextlib
import logging
import queue
import re
import secrets
import time
from typing import TYPE_CHECKING, Literal

from manyfit._checks import check_number
from manyfit.errors import ExecutorError
from manyfit.events import AttemptFailed, AttemptLost, AttemptStarted
from manyfit.executors.base import Capabilities, Handler
from manyfit.remote.watch import ClusterEnded, Watch
from manyfit.spark.driver.gate import Gate, Key, SlotsPerTrial
from manyfit.spark.driver.load import Load
from manyfit.spark.driver.pace import Pace
from manyfit.spark.driver.thread import TrialMessage, TrialThread, place_name
from manyfit.spark.jobs import SparkJobs
from manyfit.spark.session import Session
from manyfit.spark.watch import check_session, explained, session_error
from manyfit.worker.channel import ENDINGS, Stop
from manyfit.worker.context import timeout_reason
from manyfit.worker.limits import limited_pools, usable_cpus
from manyfit.worker.reason import message
from manyfit.worker.timings import USUAL, Timings
from manyfit.worker.work import Task, Work

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

logger = logging.getLogger("manyfit")

_LOOK = 0.2  # polling interval for busy slots, in seconds


class DriverExecutor:
    """Runs each trial in a thread of this process, with Spark jobs of its own.

    It is for training that is itself distributed: Spark ML, XGBoost on Spark, TorchDistributor, or
    any objective that calls Spark. Spark shows the jobs as "trial 12 of fashion", in a group of
    their own. With `spark.scheduler.mode=FAIR`, each slot for trials also has a pool, so that
    trials share the cluster and none waits for all the tasks of another. When a trial is pruned,
    exceeds `trial_timeout` or ends with its study, its jobs are cancelled at once, and no others.
    What it does on the driver itself continues up to its next report.

    Through Spark Connect, jobs have a tag of the trial's own, but neither a description nor a pool,
    which clients can't set; and the number of busy slots is unknown.

    Trials share the process, as with `executor="threads"`. If the session ends, or doesn't answer
    for 20 s, the study ends with an `ExecutorError`, and can be resumed with a new session; running
    trials don't lose an attempt. A Connect session is then stopped, because it would otherwise try
    to reach its server for another ten minutes.

    Args:
        spark: The session, classic or Connect, Spark 3.5 or newer.
        parallelism: The number of trials that run at once. `"auto"` begins with 2, and adds one
            when more than 20 % of the slots were idle for 5 s, up to 10.
        slots_per_trial: The number of slots that a trial needs at the same time, as barrier jobs
            do: a number, an estimator with `num_workers` (XGBoost on Spark), a distributor with
            `num_processes` (TorchDistributor), or a function of the params that returns a number.
            A trial then begins when its slots are free, and fails at once if the cluster will
            never have that many. By default slots are not counted: ordinary jobs share them.
        slots: The number of slots for trials; by default as reported by Spark. Set it if jobs need
            more than cores, such as GPUs, or if others use the cluster, too.
        timings: Intervals and timeouts; shorter in tests.

    Raises:
        ArgumentError: An argument breaks a rule; nothing has run.

    Example:
        >>> executor = DriverExecutor(spark, parallelism=4)  # doctest: +SKIP
    """

    capabilities = Capabilities(
        live_reports=True,
        hard_kill=False,
        memory_limit=False,
        in_driver_process=True,
        cancels=True,
    )

    def __init__(
        self,
        spark: "SparkSession",
        parallelism: int | Literal["auto"] = "auto",
        *,
        slots_per_trial: SlotsPerTrial = None,
        slots: int | None = None,
        timings: Timings = USUAL,
    ) -> None:
        if parallelism != "auto":
            parallelism = check_number(
                "parallelism", parallelism, least=1, whole=True, also="'auto'"
            )
        self._timings = timings
        self._session = Session(spark, timings)
        self._asked = parallelism
        self._pace = Pace(timings.window)
        self._gate = Gate(self._session, slots_per_trial, slots, timings)
        self._pools = contextlib.ExitStack()
        self._said: set[str] = set()
        self._begin()

    def _begin(self) -> None:
        self._work: Work | None = None
        self._tasks: dict[Key, Task] = {}  # in flight, whether they wait or run
        self._threads: dict[Key, TrialThread] = {}
        self._jobs = SparkJobs(self._session)
        self._news: queue.SimpleQueue[TrialMessage] = queue.SimpleQueue()
        self._ended: str | None = None  # how the session did
        self._token = secrets.token_hex(4)
        self._fair_pools = 1
        self._look_at = 0.0
        self._load = Load()
        self._watch = Watch(self._session, self._news.put, self._timings)

    @property
    def parallelism(self) -> int:
        """The number of trials that may run at once: fewer than asked for if each needs many slots.

        It is 0 once the session has ended.
        """
        if self._ended is not None:
            return 0
        with explained(self._session):
            return self._gate.limit(self._pace.size if self._asked == "auto" else self._asked)

    @property
    def cpus(self) -> int:
        """An equal share of this machine's cores, for what a trial does on the driver."""
        return max(1, usable_cpus() // max(1, self.parallelism))

    def open(self, work: Work) -> None:
        """Count slots, and limit the thread pools of this process until `close`.

        Raises:
            ArgumentError: Trials need slots, but their number is unknown.
            ExecutorError: The session has ended.
        """
        check_session(self._session, work.study)
        self._begin()
        with explained(self._session, work.study):
            self._gate.open()
            self._fair_pools = max(1, self._gate.slots.now or 1) if self._session.has_pools else 1
            self._say_what_is_lacking()
        self._work = work
        self._pools.enter_context(limited_pools(work.limits.cpus))

    def submit(self, task: Task) -> None:
        """Start an attempt when it is its turn and its slots are free."""
        if self._work is None:
            raise ExecutorError("open(work) must come before submit")
        if self._ended is not None:
            return
        key = task.number, task.attempt
        self._tasks[key] = task
        try:
            self._gate.enter(key, self._work.space.materialize(task.params))
        except Exception as error:  # noqa: BLE001 - the function for slots_per_trial is the user's
            self._refuse(key, f"{type(error).__name__}: {message(error)}", type(error).__name__)
        self._go_on(self._work)

    def poll(self, handle: Handler, timeout: float) -> None:
        """Pass on new events, after waiting up to `timeout` for a first one.

        Raises:
            ExecutorError: The Spark session has ended, and all its events were passed on.
        """
        if self._work is None:
            raise ExecutorError("open(work) must come before poll")
        if self._ended is not None and not self._tasks:
            raise session_error(self._ended, self._work.study)
        self._tend(self._work)
        with contextlib.suppress(queue.Empty):
            news = self._news.get(timeout=max(0.0, timeout))
            while True:
                self._take(news, handle)
                news = self._news.get_nowait()

    def stop(self, number: int, attempt: int, reason: str, *, kill: bool = False) -> None:
        """End an attempt: its jobs at once, anything else at its next report."""
        key = number, attempt
        if key in self._threads:
            self._threads[key].stop(Stop(reason, lost=kill))
        elif key in self._tasks:
            self._gate.leave(key)
            self._news.put(AttemptLost(number, attempt, reason, counts=False, at=time.time()))

    def close(self) -> None:
        """Cancel running trials, and wait for them briefly.

        A trial that doesn't stop is abandoned, but its jobs are still cancelled as they start.
        """
        for thread in self._threads.values():
            thread.stop(Stop("the study ended", lost=True))
        self._jobs.end(self._timings.cancel)
        self._begin()
        self._pools.close()

    # ── attempts ──────────────────────────────────────────────────────────────────────────────

    def _admit(self, work: Work) -> None:
        for key in self._gate.admit():
            self._start(key, work)
        refused = self._gate.refuse()
        for key, reason in refused:
            self._refuse(key, reason, "")
        if refused:  # those behind them in the queue may be admitted
            self._admit(work)

    def _start(self, key: Key, work: Work) -> None:
        task = self._tasks[key]
        lanes = {thread.lane for thread in self._threads.values()}
        lane = min(set(range(len(lanes) + 1)) - lanes)
        study = re.sub(r"[^A-Za-z0-9_]", "_", work.study)[:40]
        thread = TrialThread(
            self._session,
            self._jobs,
            work,
            task,
            tag=f"manyfit-{study}-{self._token}-{task.number}-{task.attempt}",
            lane=lane,
            # No more pools than slots: among pools without a running task, Spark serves the first
            # by name, so the last one might never be served. Within a pool, jobs wait their turn.
            pool=f"manyfit-{lane % self._fair_pools}",
            alone=self._asked == 1,
            send=self._news.put,
        )
        self._threads[key] = thread
        thread.start()

    def _refuse(self, key: Key, reason: str, error: str) -> None:
        """Fail an attempt that can't start, as if it had started."""
        now = time.time()
        self._news.put(AttemptStarted(*key, place_name(), now))
        self._news.put(AttemptFailed(*key, reason, error, "", False, 0.0, now))

    def _take(self, news: TrialMessage, handle: Handler) -> None:
        if isinstance(news, ClusterEnded):
            self._give_up(news.reason)
            return
        key = news.number, news.attempt
        if key not in self._tasks:
            return  # it was given up
        if isinstance(news, ENDINGS):
            del self._tasks[key]
            self._threads.pop(key, None)
            self._gate.leave(key)
        handle(self._load.measured(news))

    def _give_up(self, reason: str) -> None:
        """Lose all attempts in flight, which will run again in another session."""
        if self._ended is not None:
            return
        self._ended = reason
        lost = f"the Spark session has ended: {reason}"
        for key in self._tasks:
            self._news.put(AttemptLost(*key, lost, counts=False, at=time.time()))
        for thread in self._threads.values():
            thread.stop(Stop(lost, lost=True))  # it may not have noticed
        self._session.leave()

    def _tend(self, work: Work) -> None:
        limit = work.limits.seconds
        for thread in self._threads.values():
            if limit is not None and thread.has_run(limit):
                thread.stop(Stop(timeout_reason(limit), timeout=True))
        if self._ended is None:
            self._go_on(work)
            if self._threads:
                self._watch.look()

    def _go_on(self, work: Work) -> None:
        """Start attempts that may start now, and sample how busy the cluster is."""
        try:
            self._admit(work)
            self._look()
        except Exception as error:
            late = isinstance(error, TimeoutError)
            reason = message(error) if late else self._session.ended()
            if reason is None:
                raise
            self._give_up(reason)

    def _look(self) -> None:
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK
        tasks = self._session.tasks()
        if tasks is None or not (slots := self._gate.slots.dependable):
            return
        self._load.sample(now, tasks, slots, self._threads)
        if self._asked == "auto":
            self._pace.sample(now, len(self._threads), tasks / slots)

    # ── what people are told ──────────────────────────────────────────────────────────────────

    def _say_what_is_lacking(self) -> None:
        if self._asked == "auto" and self._session.tasks() is None:
            self._say(
                f"parallelism='auto' stays at {self._pace.size}, since Spark Connect doesn't tell "
                "how busy the cluster is. Set a number to change it"
            )
        if self._asked != 1 and self._session.has_pools and not self._session.is_fair:
            self._say(
                "trials queue for the cluster: Spark serves the jobs of the first one, then those "
                "of others with what is left. Start the session with spark.scheduler.mode=FAIR to "
                "have them share it"
            )

    def _say(self, sentence: str) -> None:
        """Log a warning, each sentence once."""
        if sentence not in self._said:
            self._said.add(sentence)
            logger.warning("%s.", sentence)
