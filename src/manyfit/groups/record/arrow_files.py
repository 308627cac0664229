"""Records of calls over groups as they were before they were journals: Arrow streams beside JSON.

`groups.json` says what is tuned. Each driver appended rows to a stream of its own, whose schema
says what it did; what a killed one left torn at the end costs no row before it. Digests of data
(`data-*`), groups that trials are judged on (`judged-*`), rows of mode `"transfer"` (`cross-*`) and
what trials over groups gave (`shared/scores.json`) were files of their own.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from manyfit._names import from_file_name
from manyfit._optional import require
from manyfit.archive import GROUPS_FILE
from manyfit.errors import JournalCorruptError
from manyfit.group_events import (
    CallCreated,
    CallEnded,
    CallStarted,
    ClusterDescribed,
    GroupEvaluated,
    GroupsDescribed,
    GroupsEvent,
    TrialScored,
)
from manyfit.groups.record.row import Table, key_names, settled

_WORK = b"manyfit.work"  # in the schema of a stream
_FIXED = (
    *("space", "metric", "direction", "seed", "by", "mode"),
    *("shared_by", "order_by", "holdout", "aggregate", "group_timeout"),
)
_ENDED = "done by an older Manyfit, which did not note how it ended"
_FOLDER = "a folder that was not noted"


def read_files(folder: Path) -> Iterator[GroupsEvent | Table]:
    """Yield the record as events; a table stands for rows of the driver before it.

    Raises:
        JournalCorruptError: What says what is tuned is damaged.
    """
    path = folder / GROUPS_FILE
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
        fixed = {name: header[name] for name in _FIXED}
    except (ValueError, KeyError, TypeError) as error:
        raise JournalCorruptError(
            f"{path} is damaged ({type(error).__name__}: {error}): restore it from a backup"
        ) from error
    at, name = path.stat().st_mtime, from_file_name(folder.name)
    yield CallCreated(**fixed, name=name, manyfit=header.get("version", ""), at=at)
    tables = list(_tables(folder, "groups"))
    yield from _calls(header, tables, at)
    for table in _tables(folder, "data"):
        yield GroupsDescribed(_pairs(table, "group", "digest"), at)
    yield from _shared(folder, at)
    for table in _tables(folder, "cross"):
        for group, history in _pairs(settled(table), "group", "history").items():
            yield GroupEvaluated(group, history, at)
    yield CallEnded(_ENDED, at)


def _calls(
    header: Mapping[str, Any], tables: Sequence[Table], at: float
) -> Iterator[GroupsEvent | Table]:
    outputs = header.get("outputs", ())
    kinds = [_keys(table, header["by"]) for table in tables]
    for place in outputs:
        yield CallStarted("", 0, at, kinds[0] if kinds else {}, output=place)
    if work := header.get("work"):
        yield _started(work, kinds[0] if kinds else {}, outputs, at)
    for table, keys in zip(tables, kinds, strict=True):
        work = json.loads((table.schema.metadata or {}).get(_WORK, b"{}"))
        yield _started(work, keys, outputs, at)
        yield table.replace_schema_metadata(None)


def _keys(table: Table, by: Sequence[str]) -> dict[str, str]:
    names = zip(by, key_names(by), strict=True)
    return {name: str(table.schema.field(column).type) for name, column in names}


def _started(
    work: Mapping[str, Any], keys: Mapping[str, str], outputs: Sequence[str], at: float
) -> CallStarted:
    """Return what a driver did; what was not noted then is that of the last output."""
    last = outputs[-1] if outputs else ""
    if not work:
        return CallStarted("", 0, at, keys, output=last)
    models = bool(work["models"])
    alone = work.get("output", last if models else "")  # what alone was given the models
    return CallStarted(
        *("", 0, at, keys),
        n_trials=work["n_trials"],
        output=alone or last,
        models=models,
        model_folder=_FOLDER if models and last and not alone else "",
        trials=work.get("trials", False),
        functions=work["functions"],
        settings=work["settings"],
    )


def _shared(folder: Path, at: float) -> Iterator[GroupsEvent]:
    """Yield the data that trials over groups were evaluated on, and their scores."""
    clusters: dict[str | None, dict[str, str]] = {}
    path = folder / "shared" / "scores.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for cluster in known.get("clusters", sorted(known.get("best", ()))):
        clusters[cluster] = {}
    for table in _tables(folder, "judged"):
        for line in table.to_pylist():
            clusters.setdefault(line["cluster"], {})[line["group"]] = line["digest"]
    for each, digests in clusters.items():
        yield ClusterDescribed(each, digests, at)
    excluded = known.get("excluded", [])
    best = known.get("best") or ({next(iter(clusters), "") or "": {}} if excluded else {})
    for each, scores in best.items():
        losses, rows = ({group: score[n] for group, score in scores.items()} for n in (0, 1))
        yield TrialScored(each, -1, losses, rows, at, excluded)


def _tables(folder: Path, stage: str) -> Iterator[Table]:
    """Yield the rows of each stream of a stage; a torn batch ends one."""
    arrow = require("pyarrow", extra="arrow", purpose="records of groups")
    for path in sorted(folder.glob(f"{stage}-*.arrows")):
        batches, schema = [], None
        with path.open("rb") as file:
            try:
                with arrow.ipc.open_stream(file) as stream:
                    schema = stream.schema
                    for batch in stream:
                        batches.append(batch)  # noqa: PERF402 - what came before a torn one counts
            except (arrow.ArrowInvalid, OSError):
                pass
        if batches:
            yield arrow.Table.from_batches(batches, schema)


def _pairs(table: Table, *names: str) -> dict[Any, Any]:
    return dict(zip(*(table.column(name).to_pylist() for name in names), strict=True))
