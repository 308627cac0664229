"""What rows on record lack of what a call asks for, and where their models are."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from manyfit.groups.job import GroupJob
from manyfit.groups.record.row import Table
from manyfit.groups.record.store import Work
from manyfit.trackers.progress import counted

_Row: TypeAlias = Mapping[str, Any]


def lacking(
    done: Table, made: Mapping[str, Work], job: GroupJob, written: set[str] | None, now: Work
) -> Iterator[tuple[str, set[str]]]:
    """Yield what rows lack, and whose; a row that lacks several things is named once.

    Args:
        done: Rows on record.
        made: By group, what the call did that its row is from; `now` where that isn't known.
        job: What is asked for.
        written: The groups in the output; None where there is none.
        now: What this call does.
    """
    here = job.keep_models and (job.output is None or job.folder_of_models() is not None)
    reasons: list[tuple[str, Callable[[_Row, Work], bool]]] = [
        (
            "they are on record, but not in the output",
            lambda row, _: written is not None and row["group"] not in written,
        ),
        ("n_trials was raised", lambda _, was: _most(was) < _most(now)),
        ("their models were not kept", lambda _, was: now["models"] and not was["models"]),
        (
            "their models are in an output only",
            lambda row, was: bool(here and was["output"] and not _is_here(row)),
        ),
        (
            "their trials were not kept",
            lambda row, was: bool(
                job.keep_trials and not was["trials"] and row["trials"] and row["history"] is None
            ),
        ),
    ]
    left = _rows(done)
    for why, lacks in reasons:
        if found := {row["group"] for row in left if lacks(row, made[row["group"]])}:
            left = [row for row in left if row["group"] not in found]
            yield why, found


def known(was: Work, now: Work, outputs: Sequence[str]) -> Work:
    """Return what an earlier call did, with what versions before this one did not note.

    Args:
        was: As it is on record; empty where nothing is.
        now: What this call does.
        outputs: Where the record's calls have written.
    """
    output = outputs[-1] if outputs and was.get("models") else ""
    return {"output": output, "trials": False, **was} if was else {**now, "trials": False}


def _most(work: Work) -> float:
    return float("inf") if work["n_trials"] is None else float(work["n_trials"])


def _is_here(row: _Row) -> bool:
    """Whether a row has a model that is found without an output."""
    return row["has_model"] or row["model_path"] is not None


def _rows(rows: Table) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = rows.select(
        ["group", "trials", "history", "model_path"]
    ).to_pylist()
    valid = rows.column("model").is_valid().to_pylist()
    return [{**row, "has_model": has} for row, has in zip(found, valid, strict=True)]


def misplaced(kept: Table, job: GroupJob) -> Iterator[str]:
    """Yield a sentence if models of rows that stay are elsewhere than asked for."""
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
    """Return the folder of a row's model; empty where the row itself has it."""
    return str(row["model_path"] or "").rpartition("/")[0]
