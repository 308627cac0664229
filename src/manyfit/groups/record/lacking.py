"""Finds what recorded rows lack that a call asks for, and where their models are."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from manyfit.group_events import CallStarted
from manyfit.groups.job import GroupJob
from manyfit.groups.record.models import read_models
from manyfit.groups.record.row import Table
from manyfit.groups.record.state import MODEL_AT
from manyfit.trackers.progress import counted

_Row: TypeAlias = Mapping[str, Any]


def lacking(
    done: Table,
    made: Mapping[str, CallStarted],
    written: set[str] | None,
    now: CallStarted,
    folder: Path,
) -> Iterator[tuple[str, set[str]]]:
    """Yield what rows lack, with their groups; a row that lacks several things is named once.

    Args:
        done: Rows on record, `located`.
        made: By group, what the driver did that its row is from; `now` where that isn't known.
        written: The groups in the output; None where there is none.
        now: What this driver is asked for.
        folder: The record's.
    """
    here = now.models and not output_of(now)
    reasons: list[tuple[str, Callable[[_Row, CallStarted], bool]]] = [
        (
            "they are on record, but not in the output",
            lambda row, _: written is not None and row["group"] not in written,
        ),
        ("n_trials was raised", lambda _, was: _most(was) < _most(now)),
        ("their models were not kept", lambda _, was: now.models and not was.models),
        (
            "their models are in an output only",
            lambda row, was: bool(here and output_of(was) and not _is_here(row)),
        ),
        (
            "their trials were not kept",
            lambda row, was: bool(
                now.trials and not was.trials and row["trials"] and row["history"] is None
            ),
        ),
    ]
    if now.models:
        reasons.append(
            ("their models are gone from the record, or damaged", lambda row, _: row["is_lost"])
        )
    left = _rows(done, folder if now.models else None)
    for why, lacks in reasons:
        if found := {row["group"] for row in left if lacks(row, made[row["group"]])}:
            left = [row for row in left if row["group"] not in found]
            yield why, found


def known(was: CallStarted, now: CallStarted) -> CallStarted:
    """Return what a driver did; where that isn't known, what this one does."""
    return was if was.functions else replace(now, trials=False, output="")


def output_of(call: CallStarted) -> str:
    """Return the output that has the only copy of a driver's models; empty if there is none."""
    return call.output if call.models and not call.model_folder else ""


def _most(call: CallStarted) -> float:
    return float("inf") if call.n_trials is None else float(call.n_trials)


def _is_here(row: _Row) -> bool:
    """Whether a row has a model that can be read without an output."""
    return row["has_model"] or row["model_path"] is not None


def _rows(rows: Table, folder: Path | None = None) -> list[dict[str, Any]]:
    """Return what is asked of rows; whether models in a folder's file are lost takes reading it."""
    places = rows.column(MODEL_AT).to_pylist()
    valid = rows.column("model").is_valid().to_pylist()
    found = read_models(folder, places) if folder is not None else places
    lines = rows.select(["group", "trials", "history", "model_path"]).to_pylist()
    return [
        {
            **line,
            "has_model": has or place is not None,
            "is_lost": model is None and place is not None,
        }
        for line, has, place, model in zip(lines, valid, places, found, strict=True)
    ]


def misplaced(kept: Table, job: GroupJob) -> Iterator[str]:
    """Yield a sentence if models of rows that are kept are not where the call asks for them."""
    if not job.keep_models:
        return
    places = [_place(row) for row in _rows(kept) if _is_here(row)]
    wanted = (job.folder_of_models() or "").rstrip("/")
    if others := [place for place in places if place != wanted]:
        yield (
            f"the models of {counted(len(others), 'group')} stay where an earlier call put them, "
            f"{others[0] or 'the record'}: a call of another name puts all into one place"
        )


def _place(row: _Row) -> str:
    """Return the folder of a row's model; empty if the row contains the model."""
    return str(row["model_path"] or "").rpartition("/")[0]
