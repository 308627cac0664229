"""What workers say, believed or not."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyfit.event_lines import encode
from manyfit.events import AttemptFailed, AttemptFinished, AttemptStarted, Reported
from manyfit.metric import Metric
from manyfit.remote.messages import NonsenseError, event_in, facts_in, memory_in, place_in
from manyfit.ship.facts import facts

LOSS = Metric("loss")
metrics = st.dictionaries(st.text(max_size=5), st.floats(), max_size=3)
counts = st.integers(0, 10**9)
times = st.floats(0, 1e10)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
events = st.one_of(
    st.builds(AttemptStarted, counts, counts, st.text(), times),
    st.builds(Reported, counts, counts, counts, metrics, times),
    st.builds(
        AttemptFailed, counts, counts, *[st.text()] * 3, st.booleans(), st.floats(0, 1e9), times
    ),
    st.builds(
        AttemptFinished,
        counts,
        counts,
        metrics.map(lambda others: {**others, "loss": 0.5}),
        st.floats(0, 1e9),
        times,
        st.dictionaries(st.text(max_size=5), st.text(), max_size=3),
    ),
)


@given(event=events)
def test_what_true_workers_say_is_believed(event):
    """Every event that a worker encodes comes out as it went in, NaN and infinity included."""
    assert repr(event_in(encode(event), LOSS)) == repr(event)


@given(event=events, data=st.data())
def test_anything_else_is_nonsense_or_of_the_right_types(event, data):
    """Whatever one field of an event is replaced by, what is believed has the types it should."""
    record = json.loads(encode(event))
    record[data.draw(st.sampled_from(sorted(record)))] = data.draw(json_values)
    try:
        heard = event_in(json.dumps(record), LOSS)
    except NonsenseError:
        return
    assert type(heard.number) is type(heard.attempt) is int
    assert encode(heard)  # it can be journaled
    for value in getattr(heard, "metrics", {}).values():
        assert isinstance(float(value), float)
    assert all(isinstance(text, str) for text in getattr(heard, "notes", {}).values())


@given(line=json_values | st.text())
def test_any_line_at_all(line):
    """No line raises anything but the one error."""
    with pytest.raises(NonsenseError):
        event_in(line, LOSS)


def test_a_result_without_the_metric():
    """A finished attempt must have what the study tunes."""
    with pytest.raises(NonsenseError, match="accuracy"):
        event_in(encode(AttemptFinished(0, 1, {"loss": 0.5}, 1.0, 1.0)), Metric("accuracy"))


def test_messages_are_short():
    """Megabytes of nonsense don't make megabytes of message."""
    with pytest.raises(NonsenseError) as raised:
        event_in("x" * 10**7, LOSS)
    assert len(str(raised.value)) < 1000


@given(said=json_values)
@pytest.mark.parametrize("check", [place_in, facts_in, memory_in])
def test_no_place_no_facts_no_memory(check, said):
    """What is of another shape is refused."""
    with pytest.raises(NonsenseError):
        check(said)


def test_places_facts_and_memory():
    """What a worker really says passes, also with more in it than is known here."""
    place = {"host": "a", "name": "a/executor 1", "gpus": [], "attempt": 0, "rack": 7}
    assert place_in(place) == place
    told = facts({"numpy": "numpy", "no_such": "no-such"})
    assert facts_in(told) == told
    memory = {"used": 0, "total": 2, "available": 1}
    assert memory_in(memory) == memory
