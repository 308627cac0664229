"""The journal of a call of `tune_groups` as version 2 wrote it: it must never be edited."""

import zlib
from pathlib import Path
from typing import get_args

import pytest

from manyfit.errors import JournalError
from manyfit.event_lines import encode
from manyfit.group_events import (
    CallCreated,
    CallEnded,
    CallStarted,
    ClusterDescribed,
    GroupEnded,
    GroupEvaluated,
    GroupsDescribed,
    GroupsEvent,
    TrialScored,
)
from manyfit.groups.loading import load_groups
from manyfit.journal.file import FileJournal, read_events
from manyfit.journal.line import from_line, to_line

GOLDEN = Path(__file__).with_name("groups_v2.jsonl")
NAN, INF = float("nan"), float("inf")

# At least one of every kind, as it must be read by every version to come.
EXPECTED: list[GroupsEvent] = [
    CallCreated(
        "sales",
        {"x": {"type": "float", "low": 0.0, "high": 1.0}},
        "loss",
        "minimize",
        20260101,
        "0.1.0",
        1767225600.0,
        by=["shop", "day"],
        mode="shared",
        shared_by=["region"],
        order_by=["at"],
        holdout="last 48",
        aggregate="worst",
        group_timeout=2.5,
    ),
    CallStarted(
        "laptop",
        4242,
        1767225600.25,
        {"shop": "string", "day": "timestamp[us, tz=Europe/Berlin]"},
        n_trials=20,
        output="/data/rows",
        models=True,
        model_folder="s3://models",
        trials=True,
        functions={"objective": {"Python": "3.11", "größe": "0123456789abcdef"}},
        settings={"sampler": "0123456789abcdef"},
    ),
    GroupsDescribed({'["größe",null]': "fedcba9876543210"}, 1767225600.375),
    ClusterDescribed('["south"]', {'["größe",null]': "3 rows"}, 1767225600.5),
    ClusterDescribed(None, {}, 1767225600.5),
    TrialScored(
        '["south"]', 3, {'["größe",null]': INF}, {'["größe",null]': 3}, 1767225601.0, ['["a",1]']
    ),
    GroupEvaluated('["a",1]', '[[{"x": 0.5}, null, "FAIL"]]', 1767225601.5),
    GroupEvaluated('["a",2]', None, 1767225601.5),
    GroupEnded(
        '["größe",null]',
        ["größe", None],
        "COMPLETE",
        1767225602.0,
        reason="half of its trials failed",
        rows=48,
        params={"x": 0.25, "kind": "b", "n": 3},
        value=0.0625,
        metrics={"loss": 0.0625, "worst": NAN},
        baseline=INF,
        baseline_metrics={"loss": INF},
        trials=20,
        pruned=3,
        failed=10,
        seconds=1.5,
        fit_seconds=1.25,
        worker="laptop/1",
        error="ValueError",
        traceback="Traceback ...\n",
        model=[0, 1024, 4294967295],
        model_path="s3://models/a.pkl",
        history="[]",
    ),
    GroupEnded('["a",1]', ["a", 1767225600000000], "FAIL", 1767225603.0),
    CallEnded("all groups are done", 1767225604.0, ["1 group gained"]),
    CallStarted(
        "laptop",
        4243,
        1767225600.25,
        {"shop": "string", "day": "timestamp[us, tz=Europe/Berlin]"},
        code={"name": "fit", "file": "/home/größe/fit.py", "commit": "89ab", "dirty": "no"},
        packages={"numpy": "2.3.1"},
        machine={"host": "laptop", "cores": "8"},
    ),
]


def test_its_events_are_what_they_were() -> None:
    """Each line is read as the event it has always been, of every kind that there is."""
    assert list(map(repr, read_events(GOLDEN))) == list(map(repr, EXPECTED))  # NaN isn't NaN
    assert {type(event) for event in EXPECTED} == set(get_args(GroupsEvent))


def test_it_is_a_result(tmp_path: Path) -> None:
    """It loads as a result with its groups, and has a report."""
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "journal.jsonl").write_bytes(GOLDEN.read_bytes())
    result = load_groups("old", folder=tmp_path)

    assert len(result) == 2
    assert "89ab" in result.report(tmp_path / "old.html").read_text(encoding="utf-8")


def test_it_is_never_repaired(tmp_path: Path) -> None:
    """A driver that opens it finds nothing to mend, and would write the same bytes."""
    (tmp_path / "journal.jsonl").write_bytes(GOLDEN.read_bytes())
    with FileJournal(tmp_path) as journal:
        events = list(journal.read())

    assert (tmp_path / "journal.jsonl").read_bytes() == GOLDEN.read_bytes()
    lines = (line[:-18] for line in GOLDEN.read_text(encoding="utf-8").splitlines())
    assert [encode(event)[:-1] for event in events] == list(lines)


def test_a_column_of_a_later_version() -> None:
    """It is refused in words, never dropped, and is no damage."""
    line = to_line(EXPECTED[-3])[:-1]
    later = line.replace(b'"at":', b'"cost":2.5,"at":')
    unsealed = later[:-18]
    sealed = b'%b,"crc":"%08x"}' % (unsealed, zlib.crc32(unsealed))

    with pytest.raises(JournalError, match="newer Manyfit: this one doesn't know cost"):
        from_line(sealed)
