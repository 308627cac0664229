"""Rows of groups on disk."""

import datetime
import os
import shutil
from dataclasses import replace

import pyarrow as pa
import pytest

from manyfit.errors import JournalCorruptError, JournalError, StudyChangedError, StudyLockedError
from manyfit.group_events import CallCreated, CallStarted
from manyfit.groups.record.ended import types_of
from manyfit.groups.record.models import read_models
from manyfit.groups.record.row import COMPLETE, FAIL, GroupRow, row_schema, to_table
from manyfit.groups.record.state import MODEL_AT, read_state
from manyfit.groups.record.store import GroupRecord
from manyfit.metric import Metric

KEYS = pa.schema([("g", pa.string())])
SCHEMA = row_schema(KEYS)
CREATED = CallCreated("study", {}, "loss", "minimize", 3, "0", 0.0, ["g"], "independent")


def started(keys=KEYS):
    return CallStarted("host", 1, 0.0, types_of(keys))


def rows(*names, state=COMPLETE, model=None):
    made = [GroupRow(f'["{name}"]', state, value=1.0, baseline=2.0, model=model) for name in names]
    return to_table([(name,) for name in names], made, Metric("loss"), SCHEMA)


@pytest.fixture
def opened(tmp_path):
    """Opens the record, again and again."""
    held = []

    def open_it(keys=KEYS, **changes):
        while held:
            held.pop().close()
        held.append(GroupRecord(tmp_path / "study", replace(CREATED, **changes)))
        held[-1].put(started(keys), sync=True)
        return held[-1]

    yield open_it
    while held:
        held.pop().close()


def names(table):
    return table.column("g").to_pylist()


def test_rows_come_back(opened):
    """In the order of their keys, from all drivers."""
    record = opened()
    record.append(rows("b", "d"))
    record.append(rows("a"))
    again = opened()
    again.append(rows("c"))
    assert names(again.rows(SCHEMA)) == ["a", "b", "c", "d"]
    assert again.rows(SCHEMA).schema == SCHEMA


def test_rows_can_be_read_while_they_are_written(opened):
    """Nothing waits for a close."""
    record = opened()
    record.append(rows("a"))
    assert names(record.rows(SCHEMA)) == ["a"]


def test_the_later_row_counts(opened):
    """A group that was done again has its last row."""
    record = opened()
    record.append(rows("a", "b", state=FAIL))
    record.append(rows("a"))
    assert record.rows(SCHEMA).column("state").to_pylist() == ["COMPLETE", "FAIL"]


@pytest.mark.parametrize("what", ["folder", "file", "cut short", "damaged"])
def test_what_goes_away_is_written_again(opened, tmp_path, caplog, what):
    """Rows whose file is lost meanwhile are on record again, models included, and that is told."""
    record = opened()
    record.append(rows("a", model=b"model"))
    record.commit()
    path = tmp_path / "study" / "journal.jsonl"
    if what == "folder":
        shutil.rmtree(path.parent)
    elif what == "file":
        path.unlink()
    elif what == "cut short":
        os.truncate(path, 100)
    else:
        path.write_bytes(path.read_bytes().replace(b'"baseline":2.0', b'"baseline":3.0'))
    record.append(rows("b"))
    record.close()

    found = opened().state.located(SCHEMA)
    assert found.column("baseline").to_pylist() == [2.0, 2.0]
    assert read_models(path.parent, found.column(MODEL_AT).to_pylist()) == [b"model", None]
    (said,) = (each.getMessage() for each in caplog.records if "jsonl was" in each.getMessage())
    assert "was written again" in said


@pytest.mark.parametrize("written", [b'"baseline":2.0', b'"value":1.0', b"COMPLETE", b"a"])
def test_no_flipped_byte_passes(opened, tmp_path, written):
    """A row that was damaged on disk is noticed, not taken for what was measured."""
    record = opened()
    record.append(rows("a"))
    record.append(rows("b"))
    record.close()
    path = tmp_path / "study" / "journal.jsonl"
    data = path.read_bytes()
    place = data.index(b"group-ended") + data[data.index(b"group-ended") :].index(written)
    path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])

    with pytest.raises(JournalCorruptError, match=r"line 3 of .* is damaged"):
        opened()
    with pytest.raises(JournalCorruptError, match=r"line 3 of .* is damaged"):
        read_state(path.parent)


def test_a_model_that_is_damaged_or_gone(opened, tmp_path):
    """It is none, and never another group's bytes."""
    record = opened()
    record.append(rows("a", model=b"one model"))
    record.append(rows("b", model=b"another"))
    record.close()
    path = tmp_path / "study" / "models"
    path.write_bytes(path.read_bytes()[:-1].replace(b"one", b"two"))
    places = opened().state.located(SCHEMA).column(MODEL_AT).to_pylist()
    assert places[1][0] == len(b"one model")
    assert read_models(path.parent, places) == [None, None]


def test_what_somebody_else_put_there_stays(tmp_path):
    """Another call's record is not touched; the rows of this one are kept beside it."""
    home = tmp_path / "study"
    record = GroupRecord(home, CREATED)
    record.put(started())
    record.append(rows("a"))
    shutil.rmtree(home)
    other = GroupRecord(home, CREATED)
    other.put(started())
    other.append(rows("b"))

    with pytest.raises(JournalError, match=r"changed by another process .* name='study-saved-"):
        record.commit()
    record.close()
    assert names(other.rows(SCHEMA)) == ["b"]
    other.close()
    (saved,) = tmp_path.glob("study-saved-*")
    record = GroupRecord(saved, CREATED)
    assert names(record.rows(SCHEMA)) == ["a"]
    record.close()


def test_a_torn_end(opened, tmp_path):
    """What a killed driver left half written costs no row before it, wherever it was torn."""
    record = opened()
    record.append(rows("a"))
    whole = (tmp_path / "study" / "journal.jsonl").read_bytes()
    record.append(rows("b"))
    record.close()
    end = (tmp_path / "study" / "journal.jsonl").read_bytes()
    for place in range(len(whole), len(end), 7):
        folder = tmp_path / f"torn-{place}"
        folder.mkdir()
        (folder / "journal.jsonl").write_bytes(end[:place])
        assert names(read_state(folder).located()) == ["a"]
        again = GroupRecord(folder, CREATED)
        again.put(started())
        again.append(rows("c"))
        assert names(again.rows(SCHEMA)) == ["a", "c"]
        again.close()


def test_rows_are_synced_every_second(tmp_path):
    """A power cut costs the rows of a second, and the death of the driver none."""
    clock = [0.0]
    record = GroupRecord(tmp_path / "study", CREATED, now=lambda: clock[0])
    record.put(started(), sync=True)
    record.append(rows("a"))
    assert names(read_state(record.folder).located()) == ["a"]
    shutil.rmtree(record.folder)  # noticed when it is synced
    clock[0] = 0.9
    record.append(rows("b"))
    assert not record.folder.exists()
    clock[0] = 1.0
    record.append(rows("c"))
    assert names(read_state(record.folder).located()) == ["a", "b", "c"]
    record.close()


def test_the_first_header_counts(opened):
    """The seed is the first one's; what would make rows incomparable is refused."""
    opened()
    assert opened(seed=4).state.created.seed == 3
    with pytest.raises(StudyChangedError, match="metric: 'loss' became 'mse'"):
        opened(metric="mse")
    assert opened().state.metric == Metric("loss")


def test_times_of_before(opened):
    """Times on Spark had no zone once, and keys were named by what the session's clocks showed."""
    at = datetime.datetime(2024, 7, 1, 12)
    kinds = [pa.schema([("g", pa.timestamp("us", zone))]) for zone in (None, "Europe/Berlin")]
    before, now = map(row_schema, kinds)
    made = [GroupRow('["2024-07-01T12:00:00"]', COMPLETE)]
    opened(kinds[0]).append(to_table([(at,)], made, Metric("loss"), before))
    found = opened(kinds[1]).rows(now)
    assert found.schema == now
    assert found.column("group").to_pylist() == ['["2024-07-01T10:00:00+00:00"]']
    assert found.column("g").to_pylist()[0].timestamp() == 1719828000


def test_what_a_killed_driver_leaves(opened, tmp_path):
    """What its workers exchanged and printed goes when the record is opened, and when it ends."""
    for kind in ("scratch", "logs"):
        (tmp_path / "study" / kind / "1").mkdir(parents=True)
    record = opened()
    assert sorted(each.name for each in record.folder.iterdir()) == ["journal.jsonl", "lock"]
    (record.folder / "scratch" / "2").mkdir(parents=True)
    record.close()
    assert not (record.folder / "scratch").exists()


def test_one_driver_at_a_time(opened, tmp_path):
    """A record is held."""
    opened()
    with pytest.raises(StudyLockedError):
        GroupRecord(tmp_path / "study", CREATED)


def test_other_columns(opened):
    """Keys of another type are other groups."""
    record = opened()
    record.append(rows("a"))
    other = row_schema(pa.schema([("h", pa.string())]))
    with pytest.raises(JournalCorruptError, match="are not those of the data"):
        record.rows(other)
