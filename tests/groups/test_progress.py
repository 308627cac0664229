"""What the trackers of a call are told, and how it ended."""

from pathlib import Path

import pyarrow as pa
import pytest

from manyfit import ArgumentError, Float, Metric, NoResultError, Space, tune_groups
from manyfit.groups.record.ended import events_of
from manyfit.groups.record.keys import key_text
from manyfit.groups.record.row import FAIL, GroupRow, row_schema, to_table
from manyfit.groups.result.outcome import outcome_of
from manyfit.groups.result.result import GroupsResult
from manyfit.testing.trackers import RecordingTracker

METRIC = Metric("mase")
SPACE = Space({"x": Float(0.0, 1.0)})
SCHEMA = row_schema(pa.schema([("g", pa.string())]))


def row(n, state="COMPLETE", **given):
    known = {"value": 0.8, "baseline": 1.0, "params": {"x": 0.5}} if state == "COMPLETE" else {}
    return GroupRow(key_text([f"g{n}"]), state, **{"seconds": 1.0, **known, **given})


def table(*rows):
    return to_table([(f"g{n}",) for n in range(len(rows))], rows, METRIC, SCHEMA)


def result(*rows):
    rows = table(*rows)
    return GroupsResult("m4", Path(), METRIC, SPACE, ("g",), "independent", "done", rows)


@pytest.fixture
def tuned(tmp_path, here):
    """Tunes six groups in the process of the test."""
    import pandas as pd

    rows = pd.DataFrame({"g": [g for g in "abcdef" for _ in range(3)], "y": range(18)})

    def run(**settings):
        given = {
            "by": "g",
            "objective": lambda group, params: (params["x"] - group["y"].mean() / 18) ** 2,
            "space": SPACE,
            "metric": "mase",
            "n_trials": 3,
            "seed": 0,
            "name": "m4",
            "folder": tmp_path,
            "tracker": None,
            "progress": None,
        }
        return tune_groups(rows, **{**given, **settings})

    return run


class TestTrackers:
    """What trackers are told."""

    def test_a_call(self, tuned, tmp_path):
        """Trackers, however many, hear of the beginning, of each group, and of the end."""
        trackers = [RecordingTracker(), RecordingTracker()]
        found = tuned(tracker=trackers, child_runs=True)
        for each in trackers:
            study, groups = each.study, each.study.groups
            assert (study.name, study.folder, study.n_trials) == ("m4", tmp_path / "m4", 3)
            assert (groups.by, groups.mode, groups.total) == (("g",), "independent", 6)
            assert groups.child_runs
            *ends, last = each.events
            values = {event.group: event.value for event in ends}
            assert last.reason == "all groups are done"
            assert sorted(values.values()) == sorted(found.table["value"])
            assert each.reason == "all groups are done"
            assert each.outcome.metrics["groups_complete"] == 6.0
            assert {group.group for group in each.outcome.groups()} == set(values)

    def test_the_same_call_again(self, tuned):
        """Groups that are on record already are counted, and not told again."""
        tuned()
        tuned(tracker=(again := RecordingTracker()))
        assert again.study.groups.before == 6
        assert [type(event).__name__ for event in again.events] == ["CallEnded"]
        assert len(again.outcome.groups()) == 6

    def test_shared_params(self, tuned):
        """The trials of shared params are told too."""
        tuned(mode="shared", tracker=(tracker := RecordingTracker()))
        kinds = [type(event).__name__ for event in tracker.events]
        assert kinds.count("TrialAsked") == kinds.count("AttemptFinished") == 3
        assert kinds.count("GroupEnded") == 6

    def test_an_error(self, tuned):
        """A call that raises ends too, with no outcome."""
        tracker = RecordingTracker()
        with pytest.raises(NoResultError, match="trials failed"):
            tuned(tracker=tracker, mode="shared", objective=lambda group, params: 1 / 0)
        assert tracker.reason.startswith("the driver ended with NoResultError: ")
        assert tracker.outcome is None

    def test_words(self, tuned):
        """`tracker=` and `progress=` are checked as by `tune`, before anything runs."""
        with pytest.raises(ArgumentError, match="tracker must be 'auto', a Tracker, a sequence"):
            tuned(tracker="mlflow")
        with pytest.raises(ArgumentError, match="progress must be"):
            tuned(progress="loud")

    @pytest.mark.parametrize("mode", ["independent", "shared"])
    def test_one_that_raises(self, tuned, mode, caplog):
        """No group is lost to a tracker of one's own, and the user is told once."""
        tracker = RecordingTracker()
        tracker.record = lambda event, trial: 1 / 0
        found = tuned(mode=mode, tracker=tracker)
        assert (found.count("COMPLETE"), tracker.reason) == (6, "all groups are done")
        assert caplog.text.count("tracker RecordingTracker raised ZeroDivisionError") == 1

    def test_a_tracker_of_studies_alone(self, tuned):
        """One whose `close` takes no outcome is refused before anything runs."""

        class OfStudies(RecordingTracker):
            def close(self, reason, trials):
                pass

        with pytest.raises(ArgumentError, match="close of OfStudies doesn't take these: too many"):
            tuned(tracker=OfStudies())


class TestOutcome:
    """What is kept of a result."""

    def test_figures(self):
        """Distributions are kept as quantiles."""
        rows = [row(n, value=1.0 - n / 10) for n in range(11)]
        found = outcome_of(result(*rows)).metrics
        assert found["gain_p10"] == pytest.approx(0.1)
        assert found["gain_p90"] == pytest.approx(0.9)
        assert found["gained_share"] == pytest.approx(10 / 11)
        assert found["seconds_max"] == 1.0

    def test_files(self):
        """The table, the worst groups, failures and pictures are files."""
        files = outcome_of(result(row(0), row(1, FAIL, reason="no", traceback="T"))).files()
        assert set(files) == {"table.csv", "worst.csv", "failures.json", "report.html"}
        assert '"traceback": "T"' in files["failures.json"]
        assert files["table.csv"].count("\n") == 3

    def test_no_groups(self):
        """No groups have an outcome."""
        found = outcome_of(result())
        assert found.metrics == {
            "groups": 0.0,
            "trials": 0.0,
            "groups_complete": 0.0,
            "groups_baseline": 0.0,
            "groups_fail": 0.0,
        }
        assert found.groups() == []

    def test_credentials(self):
        """Credentials in errors are kept out of files."""
        secret = "https://ann:hunter2@example.com"
        files = outcome_of(result(row(0, FAIL, reason=secret, traceback=secret))).files()
        assert "hunter2" not in "".join(files.values())

    def test_groups(self):
        """Rows are told as the ends of groups, with all that a row has but its model."""
        complete = row(0, metrics={"mase": 0.8}, baseline_metrics={"mase": 1.0}, model=b"m")
        first, second = events_of(table(complete, row(1, FAIL, reason="no")))
        assert (first.group, list(first.key), first.params) == ('["g0"]', ["g0"], {"x": 0.5})
        assert (first.metrics, first.baseline_metrics) == ({"mase": 0.8}, {"mase": 1.0})
        assert first.model is None
        assert (second.state, second.reason, second.params) == ("FAIL", "no", None)
