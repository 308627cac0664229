"""Run trials on an Apache Spark cluster: long-lived tasks that pull them from the driver.

::

    SparkExecutor ─► worker_jobs ──a job each──► Spark ──► task: dials in, owns a slot
         │                                              │
         └──────── workers ◄────── hub ◄───────TCP─────────┘
"""

import contextlib
import logging
import math
import os
import re
import secrets as randomness
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from manyfit._checks import check_number, check_optional
from manyfit._redact import is_secret_name
from manyfit.data.shared import in_transit
from manyfit.errors import ArgumentError, ExecutorError
from manyfit.executors.base import Capabilities, Handler
from manyfit.remote.setup import WorkerSetup
from manyfit.ship.bundle import bundle
from manyfit.ship.chosen import Shippable
from manyfit.ship.listing import ShippingList, shipping_list
from manyfit.ship.weight import size_warning
from manyfit.spark.broadcasts import Broadcasts
from manyfit.spark.run import Run
from manyfit.spark.session import Session
from manyfit.spark.watch import check_session, explained
from manyfit.worker.payload import pack
from manyfit.worker.timings import USUAL, Timings
from manyfit.worker.work import Task, Work

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

logger = logging.getLogger("manyfit")

# What a tracking server wants to know of its clients is passed on.
_PASSED_ON = ("MLFLOW_", "DATABRICKS_")


@dataclass(frozen=True, slots=True)
class Equipment:
    """What workers are given, and what they must have.

    Attributes:
        setup: Work, code, environment, and how they get shared data.
        listing: The modules that travel, and those that must be there.
        broadcasts: Holds shared data out to them, until it is closed.
    """

    setup: WorkerSetup
    listing: ShippingList
    broadcasts: Broadcasts


class SparkExecutor:
    """Runs each trial in a task of a Spark cluster: classic or Connect, Spark 3.5 or newer.

    Each task takes one trial after another in one child process, so that frameworks are imported
    and data loaded once, a crash takes only its own trial along, and limits are enforced by
    killing. Tasks for which the cluster has no room yet join when it grows.

    If the session ends, so does the study, with an `ExecutorError`, and can be resumed with a new
    one; attempts that ran then don't count. Where no worker is there to tell, the session is asked
    every 10 s, and taken for gone if it doesn't answer for 20 s.

    Args:
        spark: The session.
        parallelism: How many trials run at once; by default as many as the cluster has slots now.
        host: Where executors reach this process; by default what Spark's own settings say.
        port: The port they come to; 0 for any that is free.
        channel: A folder or URL that the driver and all workers see. Where workers can't dial in
            here, each trial is a Spark job, and its reports come home by this way while it runs.
        storage: A folder or URL that the driver and all workers see, for large shared data.
        ship: What travels to workers instead of the modules found automatically: modules, names of
            modules, files and folders; see `manyfit.shipping_list`.
        env: Environment variables for the objective's process.
        secrets: Names of environment variables of this process that the objective gets as well;
            their values are kept out of everything that is written.
        gpus_per_trial: GPUs of each trial, which finds them in CUDA_VISIBLE_DEVICES.
        timings: How long driver, workers and Spark wait for one another; shorter in tests.

    Raises:
        ArgumentError: An argument breaks a rule; nothing has run.

    Example:
        >>> executor = SparkExecutor(spark, parallelism=8)  # doctest: +SKIP
    """

    def __init__(
        self,
        spark: "SparkSession",
        parallelism: int | None = None,
        *,
        host: str | None = None,
        port: int = 0,
        channel: str | None = None,
        storage: str | None = None,
        ship: Sequence[Shippable] | None = None,
        env: Mapping[str, str] | None = None,
        secrets: Sequence[str] = (),
        gpus_per_trial: float = 0,
        timings: Timings = USUAL,
    ) -> None:
        self._asked: int | None = check_optional("parallelism", parallelism, least=1, whole=True)
        self._port = check_number("port", port, least=0, most=65535, whole=True)
        self._gpus = check_number("gpus_per_trial", gpus_per_trial, least=0)
        self._session = Session(spark, timings)
        self._timings = timings
        self._host = host
        self._channel = channel
        self._storage = storage
        self._ship = ship
        self._env = _checked_env(env or {})
        self._secrets = _values_of(secrets)
        self._run: Run | None = None

    @property
    def capabilities(self) -> Capabilities:
        """What it can do; without live reports if workers turn out unable to dial in here."""
        live = self._run is None or self._run.live_reports
        return Capabilities(live_reports=live, hard_kill=True, memory_limit=True, remote=True)

    @property
    def parallelism(self) -> int:
        """How many workers are ready; before it is open, how many are asked for."""
        if self._run is not None:
            return self._run.runner.size
        if self._asked is None:
            self._asked = self._slots()
        return self._asked

    def _slots(self) -> int:
        with explained(self._session):
            slots = self._session.slots()
        number = slots.dependable if slots.now is None else slots.now
        if number is None or number == math.inf:
            raise ArgumentError("this cluster doesn't tell how many slots it has: give parallelism")
        return max(1, int(number))

    @property
    def session(self) -> Session:
        """Where jobs run."""
        return self._session

    @property
    def cpus(self) -> int:
        """What Spark takes a task to use."""
        return self._session.cpus

    def open(self, work: Work) -> None:
        """Pack code, data and work, and ask Spark for tasks; returns before the first is up.

        Raises:
            ObjectiveError: The objective can't be pickled; names what in it is to blame.
            ArgumentError: The cluster can't give trials what they are to have.
            ExecutorError: No worker could dial in here, or the session has ended.
        """
        check_session(self._session, work.study)
        with explained(self._session, work.study):
            self._open(work)

    def _open(self, work: Work) -> None:
        cpus = work.limits.cpus
        profile = self._session.profile(cpus, self._gpus)
        most = min(self.parallelism, work.n_trials or self.parallelism)
        fitting = self._session.fitting(cpus)
        if fitting == 0:
            raise ArgumentError(f"cpus_per_trial={cpus} is more than this local Spark has")
        with contextlib.ExitStack() as undo:
            equipment = self.equip(work)
            undo.callback(equipment.broadcasts.close)
            self._run = Run(
                self._session,
                work,
                equipment.setup,
                equipment.listing,
                equipment.broadcasts,
                parallelism=min(most, fitting or most),
                address=(self._host or self._session.host(), self._port),
                channel=self._channel,
                profile=profile,
                timings=self._timings,
            )
            undo.pop_all()

    def equip(self, work: Work) -> "Equipment":
        """Pack all that workers are given for a work; whoever asks for it closes its broadcasts.

        Raises:
            ObjectiveError: The objective can't be pickled; names what in it is to blame.
        """
        token = f"{re.sub(r'[^A-Za-z0-9_]', '_', work.study)[:40]}-{randomness.token_hex(8)}"
        listing = shipping_list(work.objective, self._ship)
        broadcasts = Broadcasts(self._session, self._storage)
        try:
            setup = self._setup(
                work, token, bundle(listing) if listing.travelling else b"", broadcasts
            )
        except BaseException:
            broadcasts.close()
            raise
        return Equipment(setup, listing, broadcasts)

    def _setup(self, work: Work, token: str, code: bytes, broadcasts: Broadcasts) -> WorkerSetup:
        with in_transit() as shared:
            packed = pack(work)
        if warning := size_warning(len(packed), work.objective):
            logger.warning("%s.", warning)
        passed_on = {k: v for k, v in os.environ.items() if k.startswith(_PASSED_ON)}
        return WorkerSetup(
            study=work.study,
            token=token,
            work=packed,
            code=code,
            limits=work.limits,
            env={k: v for k, v in passed_on.items() if not is_secret_name(k)} | self._env,
            secrets={k: v for k, v in passed_on.items() if is_secret_name(k)} | self._secrets,
            shared=broadcasts.offer(shared),
        )

    def submit(self, task: Task) -> None:
        """Give an attempt to an idle worker, on the machine with most of them."""
        if self._run is None:
            raise ExecutorError("open(work) must come before submit")
        self._run.runner.submit(task)

    def poll(self, handle: Handler, timeout: float) -> None:
        """Hand over what has arrived, waiting up to `timeout` for a first event.

        Raises:
            ExecutorError: Workers can't be started, or can't do this work; or the session ended.
        """
        if self._run is None:
            raise ExecutorError("open(work) must come before poll")
        self._run.poll(handle, timeout)

    def stop(self, number: int, attempt: int, reason: str, *, kill: bool = False) -> None:
        """End an attempt at its next report, or at once."""
        if self._run is not None:
            self._run.runner.stop(number, attempt, reason, kill=kill)

    def close(self) -> None:
        """End all workers and their jobs; takes a second, or some where Spark has to kill them."""
        if self._run is not None:
            run, self._run = self._run, None
            run.close()


def _checked_env(env: Mapping[Any, Any]) -> dict[str, str]:
    checked = {}
    for name, value in env.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise ArgumentError(f"env must map names to strings, but got {name!r}: {value!r:.100}")
        if is_secret_name(name):
            raise ArgumentError(
                f"{name} in env looks like a secret: set it in this process's environment and name "
                f"it in secrets=[{name!r}], so that its value is kept out of what is written"
            )
        checked[name] = value
    return checked


def _values_of(secrets: Sequence[str]) -> dict[str, str]:
    if isinstance(secrets, str) or not all(isinstance(name, str) for name in secrets):
        raise ArgumentError("secrets must be a list of names of environment variables")
    if missing := [name for name in secrets if name not in os.environ]:
        raise ArgumentError(
            f"secrets names {', '.join(missing)}, which this process's environment doesn't have"
        )
    return {name: os.environ[name] for name in secrets}
