"""A call over groups as it stands in MLflow: one run, and if asked for one a group below it."""

import time
from collections.abc import Callable, Sequence

from manyfit.group_events import GroupEnded
from manyfit.trackers import mlflow_group_rows as rows
from manyfit.trackers.base import Outcome
from manyfit.trackers.group_progress import GroupTally, Standing
from manyfit.trackers.mlflow_ledger import Ledger, Run
from manyfit.trackers.mlflow_remote import Remote
from manyfit.trackers.mlflow_rows import Point, Status, batches, status_of
from manyfit.trackers.mlflow_runs import Runs
from manyfit.trial import Trial


class GroupsCopy(Runs):
    """The runs of a call on a server.

    The same call made again goes on with the same run, unless something else is asked for: MLflow
    takes no second value for a param.

    Args:
        tally: The call, and where it stands.
        remote: The server.
        ledger: What is written already.
        is_wanted: As of `Runs`.
        opened_at: As of `Runs`.
    """

    def __init__(
        self,
        tally: GroupTally,
        remote: Remote,
        ledger: Ledger,
        is_wanted: Callable[[], bool],
        opened_at: float,
    ) -> None:
        super().__init__(tally.study, remote, ledger, is_wanted, opened_at)
        self._groups = tally.groups
        self._tally = tally
        self._params = rows.call_params(tally.study, tally.groups)
        if tally.study.n_trials == 0:  # not known: the call is over
            self._params = ledger.asked or self._params
        else:
            ledger.ask(self._params, child_runs=tally.groups.child_runs)
        self._unwritten: list[Point] = []
        self._shown = -1  # the count of groups in the last standing
        self._stores_files = True

    def begin(self, history: Sequence[Trial] = ()) -> None:  # noqa: ARG002 - of studies
        """Find or create the call's run, and write what it was asked for."""
        known = self.page.parent if self.page.asked == self._params else None
        tags = rows.call_tags(self._study, self._groups)
        self._call_run = self._open(known, tags, adopt=self._groups.child_runs)
        # At once, so that the page of a run in progress says what it is.
        for batch in batches(params=self._params):
            self._write_batch(self._parent, batch, "the call")

    def stand(self, trials: Sequence[Trial] = ()) -> None:  # noqa: ARG002 - of studies
        """Write where the call stands, and where it stood while the server was away."""
        self._take_standing()
        for batch in batches(self._unwritten):
            self._write_batch(self._parent, batch, "the call")
        self._unwritten.clear()

    def _take_standing(self) -> Standing:
        standing = self._tally.view(time.monotonic())
        if standing.done != self._shown:
            self._shown = standing.done
            self._unwritten += rows.points(standing, time.time())
        return standing

    def settle(self, group: GroupEnded) -> bool:
        """Write the run of a group that has ended, unless just that is written."""
        key, run = group.group, rows.GroupRun.of(group, self._study)
        if self.page.written.get(key) == run.digest:
            return True
        if key in self.page.written and key not in self._status:  # it was tuned again
            self._leave_behind(key, "manyfit.group", "replaced")
        identity = self._run_of(group, run).id
        self._status[key] = "RUNNING"  # so that trying again goes on with this run
        for batch in run.batches(group.at):
            self._write_batch(identity, batch, f"group {run.name}")
        self.remote.set_status(identity, run.status, group.at)
        self._ledger.wrote_group(key, run.digest)
        return True

    def end(self, reason: str, trials: Sequence[Trial], outcome: Outcome | None) -> None:  # noqa: ARG002 - of studies
        """Write the figures of the end, the files, and the status."""
        self._adopt_doubtful()
        self._store_space()
        outcome = outcome or Outcome([reason])
        figures = rows.last_points(self._take_standing(), outcome.metrics, time.time())
        tags = rows.last_tags(reason, outcome)
        self._sum_up(batches([*self._unwritten, *figures], tags=tags))
        if self._stores_files:
            self._upload(self._call_run, outcome.files())
            self._stores_files = False
        usual: Status = "FAILED" if self._tally.has_failed else "FINISHED"
        self.remote.set_status(self._parent, status_of(reason) or usual, time.time())

    def _run_of(self, group: GroupEnded, run: rows.GroupRun) -> Run:
        if (known := self._known(group.group)) is not None:
            return known
        tags = {"mlflow.parentRunId": self._parent, **run.tags}
        return self._create(group.group, run.name, tags, group.at - group.seconds)
