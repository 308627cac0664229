"""Events survive the way to disk and back, exactly."""

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyfit.event_lines import VERSION, decode, encode, from_record
from manyfit.events import (
    AttemptFailed,
    AttemptFinished,
    AttemptLost,
    AttemptPruned,
    AttemptStarted,
    DriverStarted,
    Event,
    Noted,
    ParamsSuggested,
    Reported,
    SpaceChanged,
    StopRequested,
    StudyCreated,
    StudyEnded,
    TrialAbandoned,
    TrialAsked,
    WorkDescribed,
)
from manyfit.group_events import (
    CallCreated,
    CallEnded,
    CallStarted,
    ClusterDescribed,
    GroupEnded,
    GroupEvaluated,
    GroupsDescribed,
    TrialScored,
)
from manyfit.journal.file import read_events

GOLDEN = Path(__file__).parent / "golden" / "journal_v2.jsonl"

# Lone surrogates too: file names that aren't UTF-8 bring them into tracebacks.
text = st.text(st.characters(), max_size=30)
number = st.integers(0, 10**6)
step = st.integers(-5, 10**18)
at = st.floats(allow_nan=False, allow_infinity=False)
seconds = st.floats(0.0, 1e9)
texts = st.lists(text, max_size=3)
digests = st.dictionaries(text, text, max_size=2)
metrics = st.dictionaries(text, st.floats(), max_size=4)
scalars = st.none() | st.booleans() | st.integers() | at | text
json_object = st.dictionaries(
    text,
    st.recursive(
        scalars, lambda inner: st.lists(inner) | st.dictionaries(text, inner), max_leaves=5
    ),
    max_size=4,
)
EVENTS: dict[type, st.SearchStrategy[Event]] = {
    StudyCreated: st.builds(
        StudyCreated, text, json_object, text, text, st.integers(0, 2**64), text, at, st.booleans()
    ),
    DriverStarted: st.builds(DriverStarted, text, number, at, st.booleans()),
    SpaceChanged: st.builds(SpaceChanged, json_object, at),
    WorkDescribed: st.builds(
        WorkDescribed, digests, digests, at, digests, digests, digests, digests, digests, texts
    ),
    TrialAsked: st.builds(TrialAsked, number, json_object, text, at),
    AttemptStarted: st.builds(AttemptStarted, number, number, text, at),
    ParamsSuggested: st.builds(ParamsSuggested, number, number, json_object, json_object, at),
    Reported: st.builds(Reported, number, number, step, metrics, at),
    Noted: st.builds(Noted, number, number, digests, at),
    StopRequested: st.builds(StopRequested, number, number, text, at),
    AttemptFinished: st.builds(AttemptFinished, number, number, metrics, at, at, digests, metrics),
    AttemptPruned: st.builds(AttemptPruned, number, number, text, at, at, metrics),
    AttemptFailed: st.builds(
        AttemptFailed, number, number, text, text, text, st.booleans(), at, at, metrics
    ),
    AttemptLost: st.builds(AttemptLost, number, number, text, st.booleans(), at),
    TrialAbandoned: st.builds(TrialAbandoned, number, text, at),
    StudyEnded: st.builds(StudyEnded, text, at),
    CallCreated: st.builds(
        CallCreated,
        *(text, json_object, text, text, number, text, at, texts, text, texts, texts),
        *(st.none() | text, st.none() | text, st.none() | st.floats()),
    ),
    CallStarted: st.builds(
        CallStarted,
        *(text, number, at, digests, st.none() | number, text, st.booleans(), text, st.booleans()),
        *(st.dictionaries(text, digests, max_size=2), *[digests] * 4),
    ),
    GroupsDescribed: st.builds(GroupsDescribed, digests, at),
    ClusterDescribed: st.builds(ClusterDescribed, st.none() | text, digests, at),
    TrialScored: st.builds(TrialScored, text, number, metrics, json_object, at, texts),
    GroupEvaluated: st.builds(GroupEvaluated, text, st.none() | text, at),
    GroupEnded: st.builds(
        GroupEnded,
        *(text, st.lists(scalars), text, at, text, number, st.none() | json_object),
        *(st.none() | st.floats(), metrics, st.none() | st.floats(), metrics),
        *(number, number, number, seconds, seconds, text, text, text),
        *(st.none() | st.lists(number), st.none() | text, st.none() | text),
    ),
    CallEnded: st.builds(CallEnded, text, at, texts),
}


def kinds(alias: object) -> set[Any]:
    """Return the classes of a union, however nested."""
    parts = get_args(alias)
    return set().union(*map(kinds, parts)) if parts else {alias}


def test_every_kind_is_tried() -> None:
    """No kind of event is left out below."""
    assert set(EVENTS) == kinds(Event)


@given(event=st.one_of(*EVENTS.values()))
def test_there_and_back(event: Event) -> None:
    """An event that is written and read is the same event, with the same types."""
    assert repr(decode(encode(event))) == repr(event)  # NaN doesn't equal itself


@given(event=st.one_of(*EVENTS.values()))
def test_a_line_is_strict_json_of_one_line(event: Event) -> None:
    """A line is plain ASCII without a line break, and JSON that any program can read."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    line = encode(event)

    assert line.isascii()
    assert line.splitlines() == [line]
    record = json.loads(line, parse_constant=refuse)
    assert (record["v"], type(record["event"])) == (VERSION, str)


@given(event=st.one_of(*EVENTS.values()), data=st.data())
def test_no_beginning_of_a_line_is_whole(event: Event, data: st.DataObject) -> None:
    """A line that broke off anywhere is never taken for an event."""
    line = encode(event)
    cut = data.draw(st.integers(0, len(line) - 1))

    with pytest.raises(ValueError, match=r"."):
        decode(line[:cut])


def test_this_version_writes_what_it_always_wrote() -> None:
    """Names and order in a line don't change unless the version does."""
    lines = GOLDEN.read_text(encoding="ascii").splitlines()

    assert [encode(event) for event in read_events(GOLDEN)] == [
        re.sub(r',"crc":"\w+"', "", line) for line in lines
    ]


def test_a_line_for_people() -> None:
    """The journal can be read without Manyfit."""
    assert encode(Reported(7, 1, 3, {"val_loss": 0.5, "drift": float("nan")}, 12.5)) == (
        '{"v":2,"event":"reported","number":7,"attempt":1,"step":3,'
        '"metrics":{"val_loss":0.5,"drift":"nan"},"at":12.5}'
    )


def test_only_metrics_may_be_nan() -> None:
    """A NaN anywhere else is refused rather than written as a word."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode(TrialAsked(0, {"x": float("nan")}, "user", at=0.0))


@pytest.mark.parametrize(
    "record",
    [
        None,
        [],
        7,
        {},
        {"v": VERSION},
        {"v": VERSION + 1, "event": "study-ended", "reason": "", "at": 0.0},
        {"v": VERSION, "event": "danced", "at": 0.0},
        {"v": VERSION, "event": ["study-ended"], "at": 0.0},
        {"v": VERSION, "event": "study-ended", "at": 0.0},
        {"v": VERSION, "event": "study-ended", "reason": "", "at": 0.0, "mood": "good"},
        {"v": VERSION, "event": "reported", "metrics": 7},
        {"v": VERSION, "event": "reported", "metrics": {"loss": "low"}},
        {"v": VERSION, "event": "study-ended", "reason": None, "at": 0.0},
        {"v": VERSION, "event": "study-ended", "reason": "", "at": "now"},
        {"v": VERSION, "event": "abandoned", "number": True, "reason": "", "at": 0.0},
        {"v": VERSION, "event": "abandoned", "number": 0.5, "reason": "", "at": 0.0},
        {"v": VERSION, "event": "space-changed", "space": [], "at": 0.0},
        {"v": VERSION, "event": "reported", "metrics": {"loss": None}},
    ],
)
def test_what_is_no_event(record: Any) -> None:
    """Records that aren't events of this version are refused with a ValueError."""
    with pytest.raises(ValueError, match=r"."):
        from_record(record)


def test_bytes_are_lines_too() -> None:
    """A line may be decoded as it was read from a file."""
    event = StudyEnded("größer", 1.0)

    assert decode(encode(event).encode()) == event
