"""A journal as version 1 wrote it, replayed for ever: it must never have to be edited."""

from collections import Counter
from pathlib import Path
from typing import get_args

from manyfit.budget import Budget
from manyfit.engine import Engine
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
from manyfit.group_events import GroupsEvent
from manyfit.journal.file import FileJournal, read_events
from manyfit.metric import Metric
from manyfit.pruners.auto import make_pruner
from manyfit.samplers.random import RandomSampler
from manyfit.space import Choice, Float, Int, Space
from manyfit.trial import State

GOLDEN = Path(__file__).with_name("journal_v1.jsonl")
nan, inf = float("nan"), float("inf")


def space_up_to(high: float) -> dict[str, object]:
    """Return the golden study's space in JSON, up to a learning rate."""
    return {
        "learning_rate": {"type": "float", "low": 0.0001, "high": high, "log": True},
        "batch_size": {"type": "int", "low": 16, "high": 512, "log": True},
        "optimizer": {
            "type": "choice",
            "branches": {
                "sgd": {"momentum": {"type": "float", "low": 0.0, "high": 0.99}},
                "adam": {},
            },
        },
        "epochs": {"type": "constant", "value": 100},
    }


# At least one of every kind, as it must be read by every version to come.
EXPECTED: dict[int, Event] = {
    1: StudyCreated(
        "golden", space_up_to(0.1), "val_loss", "minimize", 20260101, "0.1.0", 1767225600.0
    ),
    2: DriverStarted("laptop", 4242, 1767225600.25, isolated=True),
    3: TrialAsked(
        0,
        {"learning_rate": 0.001, "batch_size": 32, "optimizer": "sgd", "momentum": 0.9},
        "start_with",
        1767225600.5,
    ),
    5: AttemptStarted(0, 1, "process-0", 1767225601.0),
    8: Reported(1, 1, 0, {"val_loss": nan, "grad_norm": inf, "log_prior": -inf}, 1767225602.5),
    9: StopRequested(1, 1, "val_loss is NaN at step 0: diverged", 1767225602.75),
    10: Reported(
        0, 1, 10, {"val_loss": 0.25, "val_accuracy": 0.875, "größe": 1e-300}, 1767225603.0
    ),
    11: AttemptFinished(
        0, 1, {"val_loss": 0.25, "test_accuracy": 0.75, "epochs": 11.0}, 2.125, 1767225603.25
    ),
    12: AttemptPruned(1, 1, "val_loss is NaN at step 0: diverged", 1.5, 1767225603.5),
    15: AttemptFailed(
        2,
        1,
        "ValueError: no such layer: 終",
        "ValueError",
        "Traceback (most recent call last):\n"
        '  File "train.py", line 3, in train\nValueError: no such layer: 終\n',
        fatal=False,
        seconds=0.5,
        at=1767225604.75,
    ),
    19: AttemptLost(3, 1, "the worker was killed by signal 9", counts=True, at=1767225605.75),
    22: TrialAbandoned(3, "lost 2 times: the worker was killed by signal 9", 1767225606.5),
    25: StudyEnded("interrupted", 1767225607.5),
    26: DriverStarted("laptop", 4343, 1767312000.0, isolated=False),
    27: SpaceChanged(space_up_to(0.05), 1767312000.25),
    28: AttemptLost(4, 1, "the driver stopped", counts=False, at=1767312000.5),
    33: AttemptFailed(
        5, 1, "FatalError: the data is gone", "FatalError", "", True, 0.25, 1767312004.5
    ),
    37: TrialAsked(
        7,
        {"learning_rate": 0.005, "batch_size": 128, "optimizer": "sgd", "momentum": 0.5},
        "repeat",
        1767398400.25,
    ),
}


def kinds(alias: object) -> set[type]:
    """Return the classes of a union, however nested."""
    parts = get_args(alias)
    return set().union(*map(kinds, parts)) if parts else {alias}  # type: ignore[arg-type]


def test_it_holds_every_kind() -> None:
    """No kind of event that version 1 knows is missing from it."""
    assert {type(event) for event in EXPECTED.values()} == kinds(Event) - {
        *(Noted, ParamsSuggested, WorkDescribed),
        *kinds(GroupsEvent),
    }


def test_its_events_are_what_they_were() -> None:
    """Each line is read as the event it has always been."""
    events = dict(enumerate(read_events(GOLDEN), start=1))

    assert len(events) == 40
    for line, expected in EXPECTED.items():
        assert repr(events[line]) == repr(expected)  # NaN doesn't equal itself


def test_it_is_never_repaired(tmp_path: Path) -> None:
    """A driver that opens it finds nothing to mend."""
    (tmp_path / "journal.jsonl").write_bytes(GOLDEN.read_bytes())
    with FileJournal(tmp_path) as journal:
        assert len(list(journal.read())) == 40

    assert (tmp_path / "journal.jsonl").read_bytes() == GOLDEN.read_bytes()


def test_its_study_is_what_it_was() -> None:
    """The engine folds it into the same trials for ever."""
    metric = Metric("val_loss", "minimize")
    space = Space(
        {
            "learning_rate": Float(0.0001, 0.05, log=True),
            "batch_size": Int(16, 512, log=True),
            "optimizer": Choice({"sgd": {"momentum": Float(0.0, 0.99)}, "adam": {}}),
            "epochs": 100,
        }
    )
    engine = Engine(
        space=space,
        metric=metric,
        sampler=RandomSampler(space, 20260101),
        pruner=make_pruner("auto", metric),
        budget=Budget(n_trials=10),
        seed=20260101,
    )
    for event in read_events(GOLDEN):
        engine.apply(event)

    assert space.to_json() == space_up_to(0.05)
    assert engine.best is not None
    assert (engine.best.number, engine.best.value) == (4, 0.125)
    assert [trial.state for trial in engine.trials] == [
        State.COMPLETE,
        State.PRUNED,
        State.FAIL,
        State.FAIL,
        State.COMPLETE,
        State.FAIL,
        State.WAITING,
        State.COMPLETE,
    ]
    assert [trial.repeat_of for trial in engine.trials] == [None] * 7 + [4]
    assert Counter(len(trial.attempts) for trial in engine.trials) == {1: 5, 2: 2, 0: 1}
    assert engine.trials[3].reason == "lost 2 times: the worker was killed by signal 9"
