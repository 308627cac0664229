"""Where a call stands, and what mirrors are told."""

import io
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pytest

from manyfit import ArgumentError, Float, Metric, MlflowTracker, Space
from manyfit.groups.progress import Mirrors, Tally
from manyfit.groups.record.keys import key_text
from manyfit.groups.record.row import BASELINE, FAIL, GroupRow, row_schema, to_table
from manyfit.groups.result.outcome import outcome_of
from manyfit.groups.result.result import GroupsResult
from manyfit.trackers.groups import GroupsInfo
from manyfit.trackers.terminal_groups import GroupLines, GroupsProgress, make_groups_progress

METRIC = Metric("mase")
SPACE = Space({"x": Float(0.0, 1.0)})
INFO = GroupsInfo("m4", Path(), METRIC, SPACE, ("g",), "independent", 0, n_trials=20, total=10)
SCHEMA = row_schema(pa.schema([("g", pa.string())]))


def row(n, state="COMPLETE", **given):
    known = {"value": 0.8, "baseline": 1.0, "params": {"x": 0.5}} if state == "COMPLETE" else {}
    return GroupRow(key_text([f"g{n}"]), state, **{"seconds": 1.0, **known, **given})


def table(*rows):
    return to_table([(f"g{n}",) for n in range(len(rows))], rows, METRIC, SCHEMA)


def result(*rows):
    rows = table(*rows)
    return GroupsResult("m4", Path(), METRIC, SPACE, ("g",), "independent", "done", rows)


@dataclass
class Heard:
    """A mirror that keeps what it is told."""

    told: list = field(default_factory=list)

    def open(self, info):
        self.told.append(info)

    def say(self, sentence):
        self.told.append(sentence)

    def progress(self, standing):
        self.told.append(standing)

    def close(self, outcome):
        self.told.append(outcome)


class TestTally:
    """Counts and figures."""

    def test_counts(self):
        """States, gains and values are those of all tables so far."""
        tally = Tally(INFO, 0.0)
        tally.take(table(row(0), row(1, FAIL), row(2, BASELINE, baseline=2.0)))
        tally.take(table(row(3, value=0.4)))
        view = tally.standing(8.0)
        assert (view.done, view.failed, view.kept, view.total) == (4, 1, 1, 10)
        assert view.median_gain == pytest.approx(0.4)
        assert view.best_gain == pytest.approx(0.6)
        assert view.mean_value == pytest.approx(0.6)
        assert view.seconds_left == pytest.approx(12.0)

    def test_nothing_yet(self):
        """Before the first group there are no figures, and no time left is guessed."""
        view = Tally(INFO, 0.0).standing(5.0)
        assert (view.done, view.median_gain, view.mean_value, view.seconds_left) == (0, *[None] * 3)

    def test_all_failed(self):
        """Groups that all failed have no figures."""
        tally = Tally(INFO, 0.0)
        tally.take(table(row(0, FAIL), row(1, FAIL)))
        assert tally.standing(1.0).best_gain is None

    def test_resumed(self):
        """Groups of earlier calls count as done, and not for the pace."""
        info = GroupsInfo("m4", Path(), METRIC, SPACE, ("g",), "independent", 0, total=10, before=6)
        tally = Tally(info, 0.0)
        tally.take(table(row(0), row(1)))
        view = tally.standing(4.0)
        assert (view.done, view.seconds_left) == (8, 4.0)


class TestMirrors:
    """What mirrors are told."""

    def test_a_call(self):
        """Mirrors hear of the beginning, of standings, sentences, and of the end."""
        heard = Heard()
        mirrors = Mirrors([heard], clock=lambda: 0.0)
        mirrors.open(INFO)
        mirrors.show(table(row(0)))
        mirrors.say("hello")
        mirrors.show(table(row(1)))  # too soon to be told of
        mirrors.close(result(row(0), row(1)))
        info, first, sentence, last, outcome = heard.told
        assert (info, first.done, sentence, last.done) == (INFO, 1, "hello", 2)
        assert outcome.metrics["groups_complete"] == 2.0
        assert outcome.status == "FINISHED"

    def test_abandoned(self):
        """An interrupted call ends too, once."""
        heard = Heard()
        mirrors = Mirrors([heard])
        mirrors.open(INFO)
        mirrors.abandon("interrupted", interrupted=True)
        mirrors.abandon("again")
        assert [each.status for each in heard.told[2:]] == ["KILLED"]

    def test_never_opened(self):
        """Mirrors that were never opened hear nothing."""
        heard = Heard()
        Mirrors([heard]).abandon("no")
        assert heard.told == []

    def test_words(self):
        """Words that ask for mirrors are checked."""
        Mirrors.of(None, None)
        Mirrors.of(MlflowTracker(), False)
        with pytest.raises(ArgumentError, match="an MlflowTracker, but got 'mlflow'"):
            Mirrors.of("mlflow", None)
        with pytest.raises(ArgumentError, match="progress must be"):
            Mirrors.of(None, "loud")


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
        files = outcome_of(result(row(0), row(1, FAIL, reason="no", traceback="T"))).files
        assert set(files) == {"table.csv", "worst.csv", "failures.json", "figures.html"}
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
        assert list(found.children) == []

    def test_credentials(self):
        """Credentials in errors are kept out of files."""
        secret = "https://ann:hunter2@example.com"
        files = outcome_of(result(row(0, FAIL, reason=secret, traceback=secret))).files
        assert "hunter2" not in "".join(files.values())

    def test_children(self):
        """Each group can have a run: its params, metrics, gain and state."""
        child, failed = outcome_of(
            result(row(0, metrics={"mase": 0.8}, baseline_metrics={"mase": 1.0}), row(1, FAIL))
        ).children
        assert (child.name, child.params) == ("g0", {"x": 0.5})
        assert child.metrics["gain"] == pytest.approx(0.2)
        assert child.metrics["baseline_mase"] == 1.0
        assert (failed.status, failed.params) == ("FAILED", {})


class TestScreen:
    """Progress as text."""

    def test_lines(self):
        """Plain lines tell of the beginning, the standing, and the end."""
        stream = io.StringIO()
        mirrors = Mirrors([GroupsProgress(GroupLines(stream, interval=0.0))])
        mirrors.open(INFO)
        mirrors.show(table(row(0), row(1, FAIL)))
        mirrors.say("a note")
        mirrors.close(result(row(0), row(1, FAIL)))
        text = stream.getvalue()
        assert "m4: minimize mase by g, independent: 10 groups, 20 trials each" in text
        assert "a note" in text
        assert "1 COMPLETE, 1 FAIL" in text

    def test_a_stream_that_is_gone(self):
        """A closed stream ends the drawing, and nothing else."""
        stream = io.StringIO()
        stream.close()
        mirrors = Mirrors([GroupsProgress(GroupLines(stream))])
        mirrors.open(INFO)
        mirrors.close(result(row(0)))

    def test_none(self):
        """Nothing is shown where that is asked for."""
        assert make_groups_progress(False) is None
