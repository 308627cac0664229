"""What a study looks like in MLflow."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyfit.space import Choice, Float, Space
from manyfit.testing.trackers import Story
from manyfit.trackers import mlflow_rows as rows
from manyfit.trackers.mlflow_rows import Point


def story(**options: object) -> Story:
    return Story(folder=Path("nowhere"), **options)


def ended(**final: float) -> Story:
    told = story()
    told.start(told.ask())
    told.report(0, 0, loss=0.5, accuracy=0.1)
    told.report(0, 4, loss=0.3, accuracy=0.2)
    told.finish(0, **final)
    return told


def test_status_of_every_state() -> None:
    """A PRUNED trial is FINISHED: MLflow would show KILLED with the red cross of a failure."""
    told = story()
    for _ in range(6):
        told.start(told.ask())
    told.finish(0, loss=1.0)
    told.prune(1)
    told.fail(2)
    told.lose(3)
    told.lose(4)
    told.abandon(4)
    found = [rows.status(told.trials[number]) for number in range(6)]
    assert found == ["FINISHED", "FINISHED", "FAILED", "KILLED", "FAILED", "RUNNING"]


def test_runs_sort_by_number() -> None:
    """The run's name begins with the number, padded, which no table cuts off."""
    assert rows.run_name(story().study, 12) == "00012-tale"


def test_standing_counts_what_has_ended() -> None:
    """The parent run has the counts and the seconds as metrics, at the step of their number."""
    told = story()
    assert rows.standing(told.study, []) == []
    for _ in range(3):
        told.start(told.ask())
    told.finish(0, loss=1.0)
    told.prune(1)
    points = rows.standing(told.study, list(told.trials.values()))
    counts = {point.key: point.value for point in points}
    seconds = sum(trial.seconds for trial in list(told.trials.values())[:2])
    assert counts == {
        "trials_complete": 1.0,
        "trials_pruned": 1.0,
        "trials_fail": 0.0,
        "trial_seconds": seconds,
    }
    assert {point.step for point in points} == {2}


def test_params_are_text_as_str_writes_it() -> None:
    """An objective that logs its own params with MLflow logs the same text, and doesn't clash."""
    told = story(space=Space({"a": Float(0, 1), "b": Choice([None, True]), "layers": 3}))
    told.ask(a=0.30000000000000004, b=None)
    expected = {"a": "0.30000000000000004", "b": "None", "layers": "3"}
    assert rows.params(told.study, told.trials[0]) == expected


def test_params_of_an_earlier_space_are_kept() -> None:
    """A trial from before the space was changed is written as it was."""
    told = story()
    told.ask(gone=1, lr=0.5)
    assert rows.params(told.study, told.trials[0]) == {"gone": "1", "lr": "0.5"}


def test_a_constant_that_cannot_be_shown_costs_its_value_alone() -> None:
    """A constant is the user's own object, and its `str` may raise."""

    class Shy:
        def __str__(self) -> str:
            raise RuntimeError

    told = story(space=Space({"a": Float(0, 1), "shy": Shy()}))
    told.ask(a=0.5)
    shown = rows.params(told.study, told.trials[0])
    assert shown == {"a": "0.5", "shy": "<Shy: RuntimeError>"}


def test_credentials_never_leave() -> None:
    """Secret names lose their values; texts lose what has the shape of a credential."""
    told = story(space=Space({"api_key": Choice(["hunter2", "x"]), "url": Choice(["a", "b"])}))
    told.start(told.ask(api_key="hunter2", url="https://ann:pass@host"))
    told.fail(0, "refused token='abcd1234efgh'")
    shown = json.dumps([rows.params(told.study, told.trials[0]), rows.last_tags(told.trials[0])])
    assert not re.search("hunter2|ann:pass|abcd1234", shown)


def test_final_metrics_stand_at_the_last_step() -> None:
    """What MLflow shows as a metric's value is what the objective returned."""
    points = rows.finals(ended(loss=0.25, accuracy=0.2, test=0.7).trials[0])
    assert [(point.key, point.value, point.step) for point in points] == [
        ("loss", 0.25, 4),
        ("test", 0.7, 4),
    ]


def test_final_metrics_come_after_the_reports() -> None:
    """Among points of one step MLflow shows the latest, so finals carry a later time."""
    told = ended(loss=0.25)
    last = rows.reports(told.trials[0].measurements)[-1]
    assert rows.finals(told.trials[0])[0].at > last.at


def test_a_nan_that_was_reported_is_not_repeated() -> None:
    """NaN differs from itself, and is the same value here."""
    told = story()
    told.start(told.ask())
    told.report(0, 0, loss=0.5, other=math.nan)
    told.finish(0, loss=0.5, other=math.nan)
    assert rows.finals(told.trials[0]) == []


def test_reports_after_a_step() -> None:
    """Steps that are written are left out."""
    measurements = ended(loss=0.25).trials[0].measurements
    assert [(point.key, point.step) for point in rows.reports(measurements, after=0)] == [
        ("loss", 4),
        ("accuracy", 4),
    ]


def test_a_second_attempt_overwrites_the_reason_of_the_first() -> None:
    """A trial that was lost and then completed has no reason left."""
    told = story()
    told.start(told.ask())
    told.lose(0, "the worker died")
    told.start(0)
    told.finish(0, loss=0.5)
    tags = rows.last_tags(told.trials[0])
    assert (tags["manyfit.reason"], tags["manyfit.attempt"]) == ("", "2")


def test_the_parent_has_a_curve_of_the_best() -> None:
    """Each new best stands at the number of trials it took, in the order they ended."""
    told = story()
    for _ in range(4):
        told.start(told.ask())
    told.finish(2, loss=0.5)
    told.finish(0, loss=0.7)
    told.prune(1)
    told.finish(3, loss=0.1)
    points = rows.best_so_far(told.study, tuple(told.trials.values()))
    assert [(p.key, p.step, p.value) for p in points] == [
        ("best_loss", 1, 0.5),
        ("best_loss", 4, 0.1),
    ]


def test_the_parent_ends_with_the_best_trial() -> None:
    """Number, value and params of the best trial are tags of the parent."""
    told = ended(loss=0.25)
    tags = rows.summary(told.study, tuple(told.trials.values()), "done")
    best = {name: value for name, value in tags.items() if name.startswith("manyfit.best")}
    assert best == {
        "manyfit.best.trial": "0",
        "manyfit.best.value": "0.25",
        "manyfit.best.params": '{"lr": 0.1, "size": "S"}',
    }


def test_repeats_name_the_best_trial_and_are_none() -> None:
    """The parent names the trial with the best mean; repeats are no part of its curve."""
    told = story()
    for loss in (0.1, 0.2, 0.5, 0.15, 0.05):
        number = told.ask()
        told.start(number)
        told.finish(number, loss=loss)
    repeats = {2: 0, 3: 1, 4: 1}
    trials = tuple(replace(t, repeat_of=repeats.get(t.number)) for t in told.trials.values())

    assert rows.summary(told.study, trials, "done")["manyfit.best.trial"] == "1"
    assert [point.value for point in rows.best_so_far(told.study, trials)] == [0.1]


def test_the_best_is_within_the_space(tmp_path):
    """Trials outside the space, which was changed since, are in no tag and no curve of the best."""
    told = Story(folder=tmp_path)
    told.run(4)
    trials = tuple(told.trials.values())
    order = sorted(trials, key=lambda trial: trial.value)
    study = replace(told.study, outside={order[0].number})
    assert rows.summary(study, trials, "done")["manyfit.best.trial"] == str(order[1].number)
    assert order[0].value not in [point.value for point in rows.best_so_far(study, trials)]


def test_a_study_without_a_best_trial_ends_too() -> None:
    """Nothing completed: there are counts and a reason, and no best."""
    told = story()
    told.start(told.ask())
    told.fail(0)
    tags = rows.summary(told.study, tuple(told.trials.values()), "done")
    assert tags["manyfit.trials"] == "1 FAIL"
    assert "manyfit.best.value" not in tags


def test_names_that_become_one_key_stay_two() -> None:
    """Two params that MLflow can't tell apart are numbered."""
    told = story(space=Space({"a(b": Float(0, 1), "a)b": Float(0, 1)}))
    told.ask(**{"a(b": 0.25, "a)b": 0.5})
    assert rows.params(told.study, told.trials[0]) == {"a_b": "0.25", "a_b_2": "0.5"}


@given(st.text(max_size=400))
def test_every_name_becomes_one_that_mlflow_takes(name: str) -> None:
    """MLflow's rules: letters, digits, `_-. /`, at most 250, and a path that stays where it is."""
    mlflow_takes = re.compile(r"^[/\w.\- ]*$")
    key = rows.clean_key(name)
    assert mlflow_takes.match(key)
    assert 1 <= len(key) <= 250
    assert not key.startswith(("/", ".."))
    assert key not in (".", "..")
    assert rows.clean_key(key) == key


@given(
    st.integers(0, 2500),
    st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=50), max_size=150),
    st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=50), max_size=150),
)
def test_batches_lose_nothing_and_keep_the_limits(
    count: int, params: dict[str, str], tags: dict[str, str]
) -> None:
    """All that goes in comes out once, in batches that every server takes."""
    points = [Point("loss", float(step), 0, step) for step in range(count)]
    found = list(rows.batches(points, params, tags))
    assert [point for batch in found for point in batch.points] == points
    assert {k: v for batch in found for k, v in batch.params.items()} == params
    assert {k: v for batch in found for k, v in batch.tags.items()} == tags
    for batch in found:
        assert len(batch.params) + len(batch.tags) <= 100
        assert len(batch.points) + len(batch.params) + len(batch.tags) <= 1000


def test_one_trial_is_one_batch() -> None:
    """A trial of usual size costs one request for its metrics, params and tags."""
    points = [Point(f"m{i % 5}", 0.5, 0, i) for i in range(500)]
    params, tags = {f"p{i}": "1" for i in range(40)}, {f"t{i}": "1" for i in range(8)}
    assert len(list(rows.batches(points, params, tags))) == 1


def test_batches_stay_below_a_megabyte() -> None:
    """Long params in letters that JSON escapes are spread over several requests."""
    params = {f"p{index}": "ü" * 6000 for index in range(90)}
    sizes = [len(json.dumps(dict(batch.params))) for batch in rows.batches(params=params)]
    assert max(sizes) < 1_000_000


@pytest.mark.parametrize("length", [10, 20_000])
def test_the_space_is_a_tag_where_it_fits(length: int) -> None:
    """A long space is in `space.json` alone, not cut into something that is no JSON."""
    told = story(space=Space({"a": Choice(["x" * length, "y"])}))
    tag = rows.study_tags(told.study)["manyfit.space"]
    assert (tag.startswith("{") and json.loads(tag) is not None) == (length == 10)
    assert "x" * length in rows.space_file(told.study)


def test_notes_become_tags_that_replace_none_of_ours() -> None:
    """A note may have any name; credentials are redacted."""
    notes = {"path": "/m/7", "mlflow.runName": "x", "a(b)": "1", "api_key": "hunter2-hunter2"}
    told = story()
    told.start(told.ask())
    told.finish(0, loss=1.0)
    trial = told.trials[0]
    tags = rows.last_tags(replace(trial, attempts=(replace(trial.attempts[0], notes=notes),)))

    assert (tags["path"], tags["note.mlflow.runName"], tags["a_b_"]) == ("/m/7", "x", "1")
    assert "hunter2" not in tags["api_key"]
    assert "mlflow.runName" not in tags
    assert tags["manyfit.state"] == "COMPLETE"
