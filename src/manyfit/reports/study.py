"""The report of a study."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from manyfit._redact import REDACTED, is_secret_name, redact_value
from manyfit.advice.advice import Advice
from manyfit.choice import Choice, Domain
from manyfit.plots import measures, params, work
from manyfit.plots.chart import Chart
from manyfit.plots.methods import Weighed
from manyfit.plots.study import (
    ROLES,
    best_of,
    completed,
    curves,
    history,
    stored,
)
from manyfit.repeats import Repeated
from manyfit.reports.page import Report, Trouble, html_of
from manyfit.reports.recorded import facts, moment
from manyfit.reports.table import Table
from manyfit.trackers.progress import counted, duration
from manyfit.trial import State, Trial
from manyfit.trial_table import flattened

_MOST_NAMED = 12  # trials named in a kind of failure
_MOST_LISTED = 6  # params named in a sentence
_TAIL = 4000  # of a log that stands for a missing traceback, in bytes


class Alike(Protocol):
    """Trials that failed alike."""

    @property
    def reason(self) -> str:
        """The reason, in one line."""

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of the trials."""

    @property
    def traceback(self) -> str:
        """The traceback of the first one."""

    @property
    def log(self) -> Path:
        """The output of the first one."""


class Reported(Weighed, Protocol):
    """The part of a `StudyResult` that a report shows."""

    @property
    def folder(self) -> Path:
        """The study's own folder."""

    @property
    def reason(self) -> str:
        """Why the study ended, in one line."""

    @property
    def repeated(self) -> tuple[Repeated, ...]:
        """The repeats of leading trials."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """The machines on which trials have run."""

    def failures(self) -> Sequence[Alike]:
        """Return the failed trials by reason."""

    def losses(self) -> Sequence[Alike]:
        """Return the lost attempts by reason."""

    def advice(self) -> Sequence[Advice]:
        """Return what stands out, and what to do about it."""


def study_html(study: Reported, refresh: float | None = None) -> str:
    """Return the report of a study as HTML.

    Args:
        study: The study's result, which may be that of a running study, or without any trial.
        refresh: The seconds after which a browser loads the page again; None for never.
    """
    return html_of(
        Report(
            name=study.name,
            lead=list(_lead(study)),
            counts=[
                (ROLES.get(state, "quiet"), count, state.value)
                for state in State
                if (count := sum(trial.state is state for trial in study.trials))
            ],
            best=_best(study),
            params=_params(study),
            advice=[each.message for each in study.advice()],
            charts=list(charts(study)),
            table=_table(study),
            troubles=[*map(_failed, study.failures()), *map(_lost, study.losses())],
            facts=facts(study.folder),
            refresh=refresh,
        )
    )


# ── in words ──────────────────────────────────────────────────────────────────────────────────


def _lead(study: Reported) -> Iterator[str]:
    names = list(study.space.params)
    listed = ", ".join(names[:_MOST_LISTED])
    more = f" and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else ""
    word = study.metric.direction
    over = f" over {counted(len(names), 'param')} ({listed}{more})" if names else ""
    yield f"The goal is to {word} {study.metric.name}{over}. State of the study: {study.reason}."
    begun = [attempt.started_at for trial in study.trials for attempt in trial.attempts]
    if not begun:
        yield f"No trial has started yet. This page was made on {moment(time.time())}."
        return
    seconds = sum(trial.seconds or 0.0 for trial in study.trials)
    hosts = f" on {counted(len(study.hosts), 'machine')}" if study.hosts else ""
    yield (
        f"{counted(len(study.trials), 'trial')} since {moment(min(begun))}, with "
        f"{duration(seconds)} of work{hosts}. This page was made on {moment(time.time())}."
    )
    if study.outside:
        yield (
            f"{counted(len(study.outside), 'trial')} outside the space, because it has changed: in "
            "the table only."
        )


def _best(study: Reported) -> tuple[str, str, list[str]]:
    best, metric = best_of(study), study.metric
    if best is None or best.value is None:
        return f"best {metric.name}", "none yet", ["No trial has completed."]
    again = next((each for each in study.repeated if each.number == best.number), None)
    where = f"Trial {best.number}"
    if again is not None and again.values:
        sure = f"{where}, {again}. In the search, its value was {best.value:.6g}."
        return f"best {metric.name}, mean of repeats", f"{again.mean:.6g}", [sure, *_others(best)]
    words = [f"{where}. {_next_best(study, best)}", *_others(best)]
    words.append(
        "How sure: it was measured once, and the best of many measurements is partly luck. "
        "tune(..., repeats=3) measures the leaders again, and gives an interval."
    )
    return f"best {metric.name}", f"{best.value:.6g}", words


def _others(best: Trial) -> list[str]:
    words = ", ".join(f"{name} {value:.6g}" for name, value in best.metrics.items())
    return [f"Its metrics: {words}."] if len(best.metrics) > 1 else []


def _next_best(study: Reported, best: Trial) -> str:
    others = [trial for trial in completed(study) if trial.number != best.number]
    if not others or best.value is None:
        return "No other trial has completed."
    second = min(others, key=lambda trial: study.metric.loss(trial.value or 0.0))
    gap = abs((second.value or 0.0) - best.value)
    return f"The next best, trial {second.number}, is {gap:.3g} behind, at {second.value:.6g}."


def _params(study: Reported) -> list[tuple[str, str, str]]:
    best = best_of(study)
    if best is None:
        return []
    found = stored(study, best)
    return [
        (name, _shown(name, value), f"of {_range(study.space.params[name])}")
        for name, value in found.items()
    ]


def _shown(name: str, value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(redact_value(name, value))


def _range(domain: Domain) -> str:
    if isinstance(domain, Choice):
        return counted(len(domain.labels), "option")
    if domain.prior is not None:
        return f"{domain.prior!r}"
    return f"{domain.low:g} to {domain.high:g}{', log' if domain.log else ''}"


# ── in pictures, rows and tracebacks ──────────────────────────────────────────────────────────


def charts(study: Weighed) -> Iterator[Chart]:
    """Yield the pictures of a study; those that have nothing to show say so."""
    shares = study.importances().params
    names = [each.params[0] for each in shares] or list(study.space.params)
    model = params.model_of(study)
    yield history(study)
    yield curves(study)
    yield measures.importances(study, shares)
    yield measures.correlation(study)
    yield params.slices(study, model, names)
    yield params.contour(study, model, names)
    yield work.durations(study)
    yield params.parallel(study, names)
    yield work.timeline(study)
    yield params.failures(study)


def _table(study: Reported) -> Table:
    """Return all trials, with the columns of `StudyResult.table`."""
    trials, constants = flattened(study.trials, study.space), study.space.constants
    params = dict.fromkeys(study.space.params) | {n: None for t in trials for n in t.params}
    names = [name for name in params if name not in constants]
    metrics = list(dict.fromkeys(name for trial in trials for name in trial.metrics))
    notes = list(dict.fromkeys(name for trial in trials for name in trial.notes))
    columns = [
        *("number", "state", "value", "seconds"),
        *(f"params_{name}" for name in names),
        *(f"metrics_{name}" for name in metrics),
        *(f"notes_{name}" for name in notes),
        *("attempts", "origin", "reason"),
    ]
    rows = (
        [
            *(trial.number, trial.state.value, trial.value, trial.seconds),
            *(_plain(name, trial.params.get(name)) for name in names),
            *(trial.metrics.get(name) for name in metrics),
            *(_plain(name, trial.notes.get(name)) for name in notes),
            *(len(trial.attempts), trial.origin, trial.reason),
        ]
        for trial in trials
    )
    return Table.of("Trials", columns, rows, [state.value for state in State])


def _plain(name: str, value: Any) -> Any:
    return REDACTED if isinstance(value, str) and value and is_secret_name(name) else value


def _failed(alike: Alike) -> Trouble:
    return Trouble(alike.reason, _whom(alike), alike.traceback or _tail(alike.log))


def _lost(alike: Alike) -> Trouble:
    return Trouble(f"An attempt was lost: {alike.reason}", _whom(alike), _tail(alike.log))


def _whom(alike: Alike) -> str:
    numbers = list(dict.fromkeys(alike.numbers))
    word = "trial" if len(numbers) == 1 else f"{len(numbers)} trials:"
    more = f" and {len(numbers) - _MOST_NAMED} more" if len(numbers) > _MOST_NAMED else ""
    return f"{word} {', '.join(map(str, numbers[:_MOST_NAMED]))}{more}"


def _tail(log: Path) -> str:
    """Return the end of an output; empty if there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _TAIL))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
