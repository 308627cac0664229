"""Trials of Manyfit as documents of Hyperopt, and the way back."""

import datetime
from collections.abc import Mapping
from typing import Any

from manyfit.errors import SpaceError, UndefinedMetricError
from manyfit.hyperopt.document import (
    JOB_STATE_CANCEL,
    JOB_STATE_DONE,
    JOB_STATE_ERROR,
    JOB_STATE_NEW,
    JOB_STATE_RUNNING,
    Document,
    new_document,
)
from manyfit.hyperopt.layout import Layout
from manyfit.hyperopt.results import STATUS_FAIL, received
from manyfit.trial import Failed, State, Trial

# What Hyperopt has there; scripts compare whole documents at times.
_COMMAND = ("domain_attachment", "FMinIter_Domain")
_STATES = {
    State.WAITING: JOB_STATE_NEW,
    State.RUNNING: JOB_STATE_RUNNING,
    State.COMPLETE: JOB_STATE_DONE,
    State.PRUNED: JOB_STATE_DONE,
    State.FAIL: JOB_STATE_ERROR,
}


def document_of(trial: Trial, layout: Layout, returned: Mapping[str, Any] | None) -> Document:
    """Return the document of a trial, whose `tid` is to be set.

    A trial that was pruned has the status "fail", and the reason beside it.

    Args:
        trial: The trial, with stored params.
        layout: The layout of the space.
        returned: What the objective returned, if it is known.
    """
    values = layout.values(trial.params)
    document = new_document(
        trial.number,
        {
            "tid": trial.number,
            "cmd": _COMMAND,
            "workdir": None,
            "vals": {label: [values[label]] if label in values else [] for label in layout.params},
        },
    )
    document["state"] = _STATES[trial.state]
    if trial.attempts:
        last = trial.attempts[-1]
        document["book_time"] = _moment(last.started_at)
        document["refresh_time"] = _moment(last.ended_at)
    if trial.state is State.WAITING and trial.attempts:
        document["state"] = JOB_STATE_CANCEL
    if trial.state.is_finished:
        _put_result(document, trial, returned)
    return document


def _put_result(document: Document, trial: Trial, returned: Mapping[str, Any] | None) -> None:
    end = trial.attempts[-1].end if trial.attempts else None
    if returned is not None:
        document["result"] = dict(returned)
        document["state"] = JOB_STATE_DONE
    elif trial.state is State.COMPLETE:
        document["result"] = received(trial.metrics, trial.notes)
    elif trial.state is State.PRUNED or _is_undefined(end):
        known = (
            received({}, trial.notes) if "loss" in trial.notes or "status" in trial.notes else {}
        )
        document["result"] = known or {"status": STATUS_FAIL, "reason": trial.reason}
        document["state"] = JOB_STATE_DONE
    else:
        error = end.error if isinstance(end, Failed) else ""
        document["misc"]["error"] = (error, trial.traceback or trial.reason)


def _is_undefined(end: object) -> bool:
    """Return whether the objective ended in order, with a loss that can't be used."""
    return isinstance(end, Failed) and end.error == UndefinedMetricError.__name__


def _moment(at: float | None) -> datetime.datetime | None:
    """Return a time as Hyperopt has it: UTC without a zone, to the millisecond."""
    if at is None:
        return None
    exact = datetime.datetime.fromtimestamp(at, datetime.UTC).replace(tzinfo=None)
    return exact.replace(microsecond=exact.microsecond // 1000 * 1000)


def point_of(document: Document, layout: Layout) -> dict[str, Any] | None:
    """Return the stored params of a document; None if they are outside the space."""
    try:
        return layout.space.store(layout.stored(values_of(document)))
    except SpaceError:
        return None


def values_of(document: Document) -> dict[str, Any]:
    """Return the active hyperparameters of a document by label."""
    return {label: each[0] for label, each in document["misc"]["vals"].items() if len(each)}
