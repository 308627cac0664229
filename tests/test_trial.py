"""A trial's state follows from its facts."""

import pickle
from dataclasses import FrozenInstanceError, replace

import pytest

from manyfit.trial import (
    Attempt,
    End,
    Failed,
    Finished,
    Lost,
    Measurement,
    Measurements,
    Pruned,
    State,
    Trial,
    log_name,
)

FINISHED = Finished(0.25, {"val_loss": 0.25, "test_loss": 0.5})
FAILED = Failed("ValueError: no", "ValueError", "Traceback ...\nValueError: no")


def trial(*ends: End | None, reports: int = 0) -> Trial:
    """Make a trial with an attempt for each end; the last has reported this often."""
    measurements = tuple(
        Measurement(step, {"val_loss": 1.0 - step}, 0.0) for step in range(reports)
    )
    attempts = [
        Attempt(number, "worker", 0.0, end=end, seconds=None if end is None else 1.5 * number)
        for number, end in enumerate(ends, start=1)
    ]
    if attempts:
        attempts[-1] = replace(attempts[-1], measurements=measurements)
    return Trial(3, {"x": 0.5}, attempts=tuple(attempts))


@pytest.mark.parametrize(
    ("trial", "state", "reason"),
    [
        (trial(), State.WAITING, ""),
        (trial(None), State.RUNNING, ""),
        (trial(FINISHED), State.COMPLETE, ""),
        (trial(Pruned("hopeless")), State.PRUNED, "hopeless"),
        (trial(FAILED), State.FAIL, "ValueError: no"),
        (trial(Lost("killed")), State.WAITING, "killed"),
        (trial(Lost("killed"), None), State.RUNNING, ""),
        (trial(Lost("killed"), FINISHED), State.COMPLETE, ""),
        (replace(trial(Lost("killed")), abandoned="lost once"), State.FAIL, "lost once"),
        (replace(trial(), abandoned="never ran"), State.FAIL, "never ran"),
    ],
)
def test_state_and_reason(trial: Trial, state: State, reason: str) -> None:
    """The last attempt decides, except that a trial given up has failed."""
    assert (trial.state, trial.reason) == (state, reason)


def test_measurements_that_share_a_beginning_are_each_others_own_otherwise() -> None:
    """Two that go on from one differ from there, and neither changes the one."""
    points = [Measurement(step, {"loss": step / 8}, 0.0) for step in range(4)]
    one = Measurements(points[:1])
    left, right = one.with_one(points[1]), one.with_one(points[2])
    further = left.with_one(points[3])

    assert (list(one), one[-1], one[5:]) == (points[:1], points[0], ())
    assert (tuple(left), tuple(right)) == ((points[0], points[1]), (points[0], points[2]))
    assert further == (points[0], points[1], points[3])
    assert further != left
    assert list(reversed(further)) == [points[3], points[1], points[0]]
    assert pickle.loads(pickle.dumps(left)) == left
    assert repr(one) == repr((points[0],))
    with pytest.raises(IndexError):
        one[1]


def test_which_states_are_final() -> None:
    """A trial is over when it is complete, pruned or failed."""
    assert [state.name for state in State if state.is_finished] == ["COMPLETE", "PRUNED", "FAIL"]


def test_only_a_complete_trial_has_a_value() -> None:
    """A pruned trial's last report is no result."""
    assert trial(FINISHED).value == 0.25
    for other in (trial(), trial(None, reports=2), trial(Pruned("no"), reports=2), trial(FAILED)):
        assert other.value is None


def test_metrics() -> None:
    """The final metrics where there are any, else those of the last report, else none."""
    assert trial(FINISHED, reports=3).metrics == {"val_loss": 0.25, "test_loss": 0.5}
    assert trial(Pruned("no"), reports=3).metrics == {"val_loss": -1.0}
    assert trial(None, reports=1).metrics == {"val_loss": 1.0}
    assert trial(None).metrics == {}
    assert trial().metrics == {}


def test_measurements_are_the_last_attempts() -> None:
    """What a lost attempt reported isn't mixed with what the next one does."""
    again = trial(Lost("killed"), None, reports=2)

    assert [measurement.step for measurement in again.measurements] == [0, 1]
    assert trial().measurements == ()


def test_seconds_are_the_last_attempts() -> None:
    """The time that counts is that of the last attempt, once it has ended."""
    assert trial(Lost("killed"), FINISHED).seconds == 3.0
    assert trial(None).seconds is None
    assert trial().seconds is None


def test_traceback() -> None:
    """Only a trial whose objective raised has a traceback."""
    assert trial(FAILED).traceback == "Traceback ...\nValueError: no"
    assert [other.traceback for other in (trial(), trial(None), trial(FINISHED))] == ["", "", ""]


def test_facts_are_frozen() -> None:
    """A trial can be handed out without fear that it is changed."""
    with pytest.raises(FrozenInstanceError):
        trial().number = 4  # type: ignore[misc]


def test_log_names_sort_by_number() -> None:
    """An attempt's log file is named by trial and attempt, so that a listing is in order."""
    names = [log_name(12, 1), log_name(12, 2), log_name(2, 1), log_name(123_456, 1)]

    assert names == ["00012-1.log", "00012-2.log", "00002-1.log", "123456-1.log"]


def test_a_trial_in_one_line():
    """State, value and params, in a notebook too: neither each report nor a secret."""
    trial = Trial(7, {"x": 0.25, "notes": "n" * 900, "api_key": "hunter2-hunter2"})
    assert repr(trial).startswith("<Trial 7: WAITING; x=0.25, notes='nnnn")
    measurements = tuple(Measurement(step, {"loss": 1.0}, 0.0) for step in range(100))
    end = Finished(0.5, {"loss": 0.5})
    done = replace(trial, attempts=(Attempt(1, "a:1", 0.0, measurements, end=end),))
    assert repr(done).startswith("<Trial 7: COMPLETE, value 0.5, 100 reports; x=0.25")
    assert "hunter2" not in repr(done)
    assert len(repr(done)) < 300
    failed = replace(trial, attempts=(Attempt(1, "a:1", 0.0, end=Failed("KeyError: 'y'")),))
    assert "FAIL, KeyError: 'y'; x=" in repr(failed)
    assert len(repr(replace(trial, params={f"p{n}": n for n in range(1000)}))) < 600
