"""The result of a study: frozen, and complete without any tracker."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from manyfit import _optional
from manyfit._html import page_of
from manyfit._own import own_values
from manyfit._redact import redact_value
from manyfit.errors import ArgumentError, NoResultError
from manyfit.exports import StudyExports
from manyfit.metric import Direction, Metric
from manyfit.plan.planning import StudyPlans
from manyfit.plots.methods import StudyPictures
from manyfit.repeats import Repeated, best_trial, repeated
from manyfit.reports.study import study_html
from manyfit.reports.writing import write
from manyfit.space import Space
from manyfit.trial import Attempt, Failed, Lost, State, Trial, gist, log_name
from manyfit.trial_table import flattened, ordered, ranked, row_of, table_of

if TYPE_CHECKING:
    import pandas as pd

    from manyfit.advice.advice import Advice
    from manyfit.advice.after import Findings
    from manyfit.advice.importance import Importances
    from manyfit.advice.record import Record

# The number of trials that a notebook shows.
_MOST_ROWS = 10
# The reason of a failure, the trial's number, and the attempt.
_Case: TypeAlias = tuple[str, int, Attempt]


@dataclass(frozen=True, slots=True)
class Failure:
    """Trials that failed, or lost an attempt, in the same way.

    Attributes:
        reason: The error, the broken limit, or what happened to the worker, in one line: that of
            the first trial.
        numbers: The numbers of the trials.
        traceback: The remote traceback of the first trial; empty if there is none.
        log: The file with the output of the first trial.
        hosts: The machines on which it happened, sorted; unknown ones are left out.
    """

    reason: str
    numbers: tuple[int, ...]
    traceback: str
    log: Path
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, repr=False)
class StudyResult(StudyPictures, StudyPlans, StudyExports):
    """The trials of a study at the time the result was made.

    Attributes:
        name: The study's name.
        folder: The study's own folder, with its journal and logs.
        metric: The metric tuned.
        space: The space searched; of a study on record, with labels for options and constants that
            are not plain values.
        reason: Why the study ended, in one line.
        trials: All trials by number, with `params` as the objective received them. Don't change
            these; `best`, indexing and iterating return copies, which you may change.
        outside: Numbers of trials outside the space, because the space has changed since. They stay
            recorded, and are never best.
    """

    name: str
    folder: Path
    metric: Metric
    space: Space
    reason: str
    trials: Sequence[Trial]
    outside: frozenset[int] = frozenset()

    @property
    def best(self) -> Trial:
        """The completed trial with the best value; the earliest of equals.

        If that trial was repeated, it is the trial whose repeats have the best mean instead (see
        `repeated`). Its `value` is still that of the search.

        Raises:
            NoResultError: No trial has completed; the message says how they failed.
        """
        best = best_trial(self._inside, self.metric)
        if best is None:
            raise NoResultError(self._why_nothing(self.metric.name))
        return _copy_of(best)

    @property
    def repeated(self) -> tuple[Repeated, ...]:
        """The repeats of the leading trials, best first; empty without `repeats`."""
        return repeated(self._inside, self.metric)

    def best_by(self, name: str, direction: Direction = "minimize") -> Trial:
        """Return the completed trial that is best in another recorded metric.

        Repeats are ignored, and so are trials in which the metric is missing, NaN or infinite.

        Raises:
            NoResultError: No completed trial has it.
        """
        metric = Metric(name, direction)
        scored = [
            (metric.loss(trial.metrics[name]), trial.number, trial)
            for trial in self._completed()
            if abs(trial.metrics.get(name, float("nan"))) < float("inf")
        ]
        if not scored:
            raise NoResultError(self._why_nothing(name))
        return _copy_of(min(scored)[2])

    def table(self) -> "pd.DataFrame":
        """Return one row per trial, by number.

        Columns: number, state, reason, value, seconds, attempt (the number of attempts), origin,
        then `params_*`, `metrics_*` and `notes_*` (what else the objective returned, as text).
        Inactive params and missing metrics are NaN. For a PRUNED or FAIL trial the metrics are the
        last ones reported, and value is NaN.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        pandas = _optional.require("pandas", extra="pandas", purpose="StudyResult.table()")
        rows = [row_of(trial) for trial in flattened(self.trials, self.space)]
        columns = {column: None for row in rows for column in row}
        frame: pd.DataFrame = pandas.DataFrame(rows, columns=ordered(columns))
        return frame.astype({"value": "float64", "seconds": "float64"}) if rows else frame

    def leaders(self) -> "pd.DataFrame":
        """Return one row per repeated trial, best first; none without `repeats`.

        Columns: number, repeats (the number that ended), failed (of those), mean, low and high (the
        mean's 95 % interval), value (that of the search, not part of the mean), then `params_*`.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        pandas = _optional.require("pandas", extra="pandas", purpose="StudyResult.leaders()")
        rows = [self._leader(each) for each in self.repeated]
        fixed = ("number", "repeats", "failed", "mean", "low", "high", "value")
        columns = dict.fromkeys(fixed) | {column: None for row in rows for column in row}
        frame: pd.DataFrame = pandas.DataFrame(rows, columns=list(columns))
        return frame

    def _leader(self, repeated: Repeated) -> dict[str, Any]:
        trial = self.trials[repeated.number]
        return {
            "number": trial.number,
            "repeats": len(repeated.trials),
            "failed": repeated.failed,
            "mean": repeated.mean,
            "low": repeated.low,
            "high": repeated.high,
            "value": trial.value,
            **{f"params_{n}": value for n, value in self.space.flat(trial.params).items()},
        }

    def curves(self) -> "pd.DataFrame":
        """Return one row per report: number, attempt, step, seconds since its start, metrics.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        pandas = _optional.require("pandas", extra="pandas", purpose="StudyResult.curves()")
        frame: pd.DataFrame = pandas.DataFrame(
            [
                {
                    "number": trial.number,
                    "attempt": attempt.number,
                    "step": measurement.step,
                    "seconds": measurement.at - attempt.started_at,
                    **measurement.metrics,
                }
                for trial in self.trials
                for attempt in trial.attempts
                for measurement in attempt.measurements
            ]
        )
        return frame

    def importances(self) -> "Importances":
        """Return how much each param matters, and each pair of params, with 95 % intervals.

        The shares of the variance of the metric over the whole space are those of the Gaussian
        process that `sampler="gp"` uses, fitted to the trials of any sampler. There are none if
        fewer than ten trials have completed. It takes less than a second.
        """
        return self._findings.importances

    def report(self, path: str | Path) -> Path:
        """Write a report as one HTML file, which needs no network; returns its path.

        It has the best trial and how sure that is, pictures, all trials as a table, tracebacks, and
        how to reproduce the study. It may be of a study that runs, or has no trial yet. Credentials
        are redacted.

        Args:
            path: The file, which is replaced.

        Raises:
            ArgumentError: `path` is a folder.
            OSError: The file can't be written.
        """
        return write(path, study_html(self))

    def advice(self) -> "tuple[Advice, ...]":
        """Return what stands out in the trials and what to do about it, the most urgent first.

        Each piece has a `code`, `params` and a `message` with the figures. It needs evidence that
        chance hardly gives: with fewer than fifteen completed trials, little is said. There is
        none if nothing stands out. It takes about a second.

        Example:
            >>> from manyfit import Float, tune
            >>> result = tune(
            ...     lambda params: (params["x"] - 2) ** 2, {"x": Float(0.0, 1.5)}, metric="loss",
            ...     n_trials=20, seed=0, executor="inline", tracker=None, progress=None,
            ...     folder=getfixture("tmp_path"),
            ... )
            >>> [each.code for each in result.advice()], result.next_space()
            (['edge'], Space({'x': Float(0.0, 2.25)}))
        """
        return self._findings.advice

    def next_space(self) -> Space:
        """Return the space that `advice` suggests to search next; the same if it suggests none.

        Ranges whose edge won become wider, regions in which all trials failed or took long for
        nothing are left out, and params that hardly matter become constants. The next study can
        learn from this one: `tune(..., space=result.next_space(), prior_from=[result])`. Of a study
        that was loaded, options that aren't plain values are labels: put them in again.
        """
        return self._findings.next_space

    def failures(self) -> tuple[Failure, ...]:
        """Return the failed trials, grouped by reason, the most frequent group first.

        Reasons that differ only in numbers are one group. Output printed by a worker that died does
        not affect the grouping.
        """
        return self._grouped(
            (trial.reason, trial.number, trial.attempts[-1])
            for trial in self.trials
            if trial.state is State.FAIL
        )

    def losses(self) -> tuple[Failure, ...]:
        """Return the lost attempts, grouped and sorted like `failures`.

        A worker or its machine died, or the study was cut off. A trial that lost two attempts is
        named twice. A trial that completed on a later attempt is not among the failures.
        """
        return self._grouped(
            (attempt.end.reason, trial.number, attempt)
            for trial in self.trials
            for attempt in trial.attempts
            if isinstance(attempt.end, Lost)
        )

    @property
    def hosts(self) -> tuple[str, ...]:
        """The machines on which trials have run, sorted; unknown ones are left out."""
        return _hosts(attempt for trial in self.trials for attempt in trial.attempts)

    def _grouped(self, cases: Iterable[_Case]) -> tuple[Failure, ...]:
        groups: dict[str, list[_Case]] = {}
        for case in cases:
            groups.setdefault(_cause(case[0]), []).append(case)
        largest_first = sorted(groups.values(), key=len, reverse=True)
        return tuple(self._failure(alike) for alike in largest_first)

    def _failure(self, alike: Sequence[_Case]) -> Failure:
        reason, first, attempt = alike[0]
        return Failure(
            reason,
            tuple(number for _, number, _ in alike),
            attempt.end.traceback if isinstance(attempt.end, Failed) else "",
            self.folder / "logs" / log_name(first, attempt.number),
            _hosts(attempt for _, _, attempt in alike),
        )

    def count(self, state: State) -> int:
        """Return the number of trials in a state."""
        return sum(trial.state is state for trial in self.trials)

    def log_of(self, trial: Trial) -> Path:
        """Return the file of a trial's last output, which is missing if it printed nothing."""
        return self.folder / "logs" / log_name(trial.number, max(1, len(trial.attempts)))

    def __len__(self) -> int:
        return len(self.trials)

    def __iter__(self) -> Iterator[Trial]:
        return map(_copy_of, self.trials)

    def __getitem__(self, number: int) -> Trial:
        if not 0 <= number < len(self.trials):
            raise ArgumentError(
                f"there is no trial {number}: {self.name} has {len(self.trials)}, numbered from 0"
            )
        return _copy_of(self.trials[number])

    def __repr__(self) -> str:
        return "\n".join([self._title, *self._lines()])

    def _repr_html_(self) -> str:
        """Return the summary and the ten best trials, as a notebook shows them."""
        first = flattened(ranked(self.trials, self.metric)[:_MOST_ROWS], self.space)
        columns, rows = table_of(first, self.metric)
        more = len(self.trials) - len(rows)
        lines = [*self._lines(), *([f"  {more} more trials: table() has all"] if more else [])]
        return page_of(self._title, lines, columns, rows)

    @property
    def _title(self) -> str:
        return f"Study {self.name}: {self.reason}"

    def _lines(self) -> list[str]:
        counts = ", ".join(
            f"{count} {state.value}" for state in State if (count := self.count(state))
        )
        outside = f"; {len(self.outside)} outside the space" if self.outside else ""
        lines = [f"  trials  {counts or 'none'}{outside}"]
        if self._has_best:
            best = self.best
            lines.append(f"  best    {self.metric.name} {self._shown(best)}")
            params = self.space.flat(best.params)
            lines += [f"    {n} = {redact_value(n, v)!r}" for n, v in params.items()]
        return [*lines, f"  record  {self.folder}"]

    def _shown(self, best: Trial) -> str:
        found = next((each for each in self.repeated if each.number == best.number), None)
        if found is None:
            return f"{best.value:g} (trial {best.number})"
        if not found.values:
            return f"{best.value:g} (trial {best.number}; {found})"
        return f"{found} (trial {best.number}, {best.value:g} in the search)"

    @property
    def _has_best(self) -> bool:
        return any(True for _ in self._completed())

    @cached_property
    def _findings(self) -> "Findings":
        kind: type[Findings] = _optional.load("manyfit.advice.after").Findings
        return kind(self._record)

    @cached_property
    def _record(self) -> "Record":
        kind: type[Record] = _optional.load("manyfit.advice.record").Record
        return kind.of(self.space, self.metric, self.trials, self.outside)

    @property
    def _inside(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.number not in self.outside]

    def _completed(self) -> Iterator[Trial]:
        for trial in self._inside:
            if trial.state is State.COMPLETE and trial.repeat_of is None:
                yield trial

    def _why_nothing(self, name: str) -> str:
        completed = list(self._completed())
        if completed:
            known = sorted({key for trial in completed for key in trial.metrics})
            return f"no completed trial of {self.name} has a usable {name!r}; they have {known}"
        message = f"no trial of {self.name} has completed ({self.reason})"
        if pruned := self.count(State.PRUNED):
            message += f". {pruned} were pruned; with pruner=None they would run to their end"
        for failure in self.failures()[:1]:
            alike = f"{len(failure.numbers)} failed with: {failure.reason}"
            message += f". {alike}\n\n{failure.traceback}".rstrip()
        return message


def _copy_of(trial: Trial) -> Trial:
    """Return a copy of a trial, whose params the caller may change."""
    return replace(trial, params=own_values(trial.params))


def _cause(reason: str) -> str:
    """Return a reason without numbers and the last output of a worker that died."""
    return gist(reason.partition("; its last output: ")[0])


def _hosts(attempts: Iterable[Attempt]) -> tuple[str, ...]:
    """Return the machines in the names of workers, such as `host:pid` or `host/executor 3:pid`."""
    found = (re.match(r"[^/:]+(?=[/:])", attempt.worker) for attempt in attempts)
    return tuple(sorted({match[0] for match in found if match}))
