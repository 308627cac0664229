"""`SparkTrials`: trials that run on a Spark cluster."""

import logging
from typing import Any

from manyfit._checks import check_optional
from manyfit._optional import require
from manyfit.errors import ArgumentError
from manyfit.executors.base import Executor
from manyfit.hyperopt.base import Trials
from manyfit.hyperopt.document import (
    JOB_STATE_CANCEL,
    JOB_STATE_DONE,
    JOB_STATE_ERROR,
    Attachments,
    Document,
)
from manyfit.spark.executor import SparkExecutor
from manyfit.trackers.auto import Trackers

logger = logging.getLogger("manyfit")

__all__ = ["SparkTrials"]


class SparkTrials(Trials):
    """Trials that run on a Spark cluster, classic or Connect, several at a time.

    A trial whose objective raises is counted and not in `trials`, and the others go on. What the
    objective returns besides numbers comes back as JSON; what isn't JSON, as a model, as text. Save
    that in storage that all machines have, and return its path.

    Args:
        parallelism: The number of trials that run at once; None or 0 for the slots of the cluster.
        timeout: Seconds for one call of `fmin`; trials still running are then cut off.
        loss_threshold: End the search when a loss is below this.
        spark_session: The session; by default the active one, or a new one.
        resource_profile: A `pyspark.resource.ResourceProfile` for the tasks: its cores and GPUs are
            used.
        executor: A `manyfit.SparkExecutor` with more settings, instead of the two above.

    Raises:
        ArgumentError: An argument breaks a rule.
    """

    asynchronous = True
    default_tracker: Trackers = "auto"

    def __init__(
        self,
        parallelism: int | None = None,
        timeout: float | None = None,
        loss_threshold: float | None = None,
        spark_session: Any = None,
        resource_profile: Any = None,
        *,
        executor: SparkExecutor | None = None,
    ) -> None:
        super().__init__()
        self.parallelism = check_optional("parallelism", parallelism or None, least=1, whole=True)
        self.timeout = check_optional("timeout", timeout, above=0, unit="seconds")
        self.loss_threshold = check_optional("loss_threshold", loss_threshold)
        if executor is not None and (self.parallelism or spark_session or resource_profile):
            raise ArgumentError(
                "the executor has a session, a parallelism and resources of its own: give them to "
                "SparkExecutor, or leave out executor"
            )
        self._spark = spark_session
        self._executor = executor
        self.cpus_per_trial, self._gpus = _needs(resource_profile)

    def executor(self) -> Executor:
        """Return what runs the trials."""
        if self._executor is not None:
            return self._executor
        if self._spark is None:
            sql = require("pyspark.sql", extra="spark", purpose="SparkTrials")
            self._spark = sql.SparkSession.builder.getOrCreate()
        return SparkExecutor(self._spark, self.parallelism, gpus_per_trial=self._gpus)

    def count_successful_trials(self) -> int:
        return self.count_by_state_unsynced(JOB_STATE_DONE)

    def count_failed_trials(self) -> int:
        """Return the number of trials whose objective raised."""
        return self.count_by_state_unsynced(JOB_STATE_ERROR)

    def count_cancelled_trials(self) -> int:
        """Return the number of trials that were cut off."""
        return self.count_by_state_unsynced(JOB_STATE_CANCEL)

    def count_total_trials(self) -> int:
        """Return the number of trials that ended in any way."""
        states = (JOB_STATE_DONE, JOB_STATE_ERROR, JOB_STATE_CANCEL)
        return self.count_by_state_unsynced(states)

    def trial_attachments(self, trial: Document) -> Attachments:
        """Refuse: attachments don't travel.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(
            "SparkTrials has no attachments: save them in storage, and return the path"
        )

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to this process."""
        return {**self.__dict__, "_spark": None, "_executor": None}


def _needs(profile: Any) -> tuple[int | None, float]:
    """Return the cores and GPUs of a task with this resource profile.

    Raises:
        ArgumentError: It isn't one, or asks for something else.
    """
    if profile is None:
        return None, 0.0
    needs = getattr(profile, "taskResources", None)
    if needs is None:
        raise ArgumentError(
            f"resource_profile must be a pyspark.resource.ResourceProfile, but got {profile!r:.200}"
        )
    amounts = {name: float(each.amount) for name, each in needs.items()}
    cpus, gpus = amounts.pop("cpus", None), amounts.pop("gpu", 0.0)
    if amounts:
        raise ArgumentError(
            f"resource_profile asks for {', '.join(amounts)}; a trial can have cores and GPUs"
        )
    if getattr(profile, "executorResources", None):
        logger.warning("SparkTrials uses a profile's task resources; its executors' are ignored")
    return None if cpus is None else int(cpus), gpus
