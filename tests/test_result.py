import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from manyfit.errors import ArgumentError, NoResultError
from manyfit.metric import Metric
from manyfit.result import StudyResult
from manyfit.space import Int, Space
from manyfit.trial import (
    Attempt,
    Failed,
    Finished,
    Lost,
    Measurement,
    Pruned,
    State,
    Trial,
)


def trial(number, end=None, params=None, measurements=(), **fields):
    attempt = Attempt(1, "worker", 10.0, tuple(measurements), end=end, seconds=2.0)
    return Trial(number, params or {"x": number}, attempts=(attempt,), **fields)


def ran_on(number, worker, end):
    return Trial(number, {"x": number}, attempts=(Attempt(1, worker, 10.0, end=end),))


def done(number, value, **metrics):
    return trial(number, Finished(value, {"loss": value, **metrics}))


def result(*trials, direction="minimize", outside=()):
    metric = Metric("loss", direction)
    space = Space({"x": Int(0, 99)})
    return StudyResult("fashion", Path("/r"), metric, space, "ended", trials, frozenset(outside))


class TestBest:
    def test_smallest_or_largest_as_the_direction_has_it(self):
        """Best follows the direction of the study."""
        trials = [done(0, 2.0), done(1, 1.0), done(2, 3.0)]

        assert result(*trials).best.number == 1
        assert result(*trials, direction="maximize").best.number == 2

    def test_the_earliest_of_equals(self):
        """A tie goes to the trial that came first."""
        assert result(done(0, 1.0), done(1, 1.0)).best.number == 0

    def test_only_completed_trials_can_be_best(self):
        """A pruned trial's last report, however good, is not a result."""
        hopeless = trial(0, Pruned("no"), measurements=[Measurement(0, {"loss": 0.0}, 11.0)])

        assert result(hopeless, done(1, 1.0)).best.number == 1

    def test_a_trial_outside_the_space_is_never_best(self):
        """After a change of space, what lies outside it is on record only."""
        assert result(done(0, 0.0), done(1, 1.0), outside=[0]).best.number == 1

    def test_says_how_the_trials_failed_when_none_completed(self):
        """The error comes home with the first remote traceback."""
        failure = Failed("ValueError: no", "ValueError", "Traceback: line 7")

        with pytest.raises(
            NoResultError, match="2 failed with: ValueError: no\n\nTraceback: line 7"
        ):
            result(trial(0, failure), trial(1, failure)).best  # noqa: B018

    def test_best_by_another_metric(self):
        """Any recorded metric can rank the trials, in its own direction."""
        trials = [done(0, 1.0, acc=0.8), done(1, 2.0, acc=0.9), done(2, 3.0)]

        assert result(*trials).best_by("acc", "maximize").number == 1

    def test_says_that_the_trials_were_pruned_when_none_completed(self):
        """The pruner is named as what to change."""
        with pytest.raises(NoResultError, match="2 were pruned; with pruner=None"):
            result(trial(0, Pruned("no")), trial(1, Pruned("no"))).best  # noqa: B018

    def test_best_by_passes_over_what_is_not_finite(self):
        """NaN and infinity never win."""
        trials = [done(0, 1.0, acc=math.nan), done(1, 2.0, acc=math.inf), done(2, 3.0, acc=0.1)]

        assert result(*trials).best_by("acc", "maximize").number == 2

    def test_best_by_an_unknown_metric_lists_the_known_ones(self):
        """A typo is answered with the names that exist."""
        with pytest.raises(NoResultError, match=r"usable 'auc'; they have \['acc', 'loss'\]"):
            result(done(0, 1.0, acc=0.5)).best_by("auc")


class TestTable:
    def test_one_row_a_trial_with_params_and_metrics(self):
        """Columns come in a fixed order, params before metrics, whatever the first trial lacks."""
        waiting = Trial(1, {"x": 1, "y": "a"})
        table = result(done(0, 0.5, acc=0.9), waiting).table()

        assert list(table.columns) == [
            "number",
            "state",
            "reason",
            "value",
            "seconds",
            "attempt",
            "origin",
            "params_x",
            "params_y",
            "metrics_loss",
            "metrics_acc",
        ]
        assert table["state"].tolist() == ["COMPLETE", "WAITING"]
        assert table["value"].isna().tolist() == [False, True]

    def test_a_pruned_trial_shows_its_last_report_and_no_value(self):
        """What it had reached is there to see, and can't be mistaken for a result."""
        measurements = [Measurement(s, {"loss": 1.0 - s}, 11.0) for s in range(2)]
        table = result(trial(0, Pruned("too slow"), measurements=measurements)).table()

        assert table.loc[0, "metrics_loss"] == 0.0
        assert math.isnan(table.loc[0, "value"])
        assert table.loc[0, "reason"] == "too slow"

    def test_empty(self):
        """A study without trials has an empty table, with the columns."""
        assert "value" in result().table().columns
        assert len(result().table()) == 0

    def test_curves(self):
        """Every report is a row, with the seconds since its attempt began."""
        measurements = [Measurement(step, {"loss": 1.0}, 10.0 + step) for step in range(3)]
        curves = result(trial(4, Finished(1.0, {"loss": 1.0}), measurements=measurements)).curves()

        assert curves["number"].tolist() == [4, 4, 4]
        assert curves["step"].tolist() == [0, 1, 2]
        assert curves["seconds"].tolist() == [0.0, 1.0, 2.0]


class TestRepeats:
    def trials(self):
        search = [done(0, 0.1), done(1, 0.2, acc=0.9), done(2, 0.3)]
        repeats = [(0, 0.4), (1, 0.2), (0, 0.6), (1, 0.25), (1, 0.3)]
        return search + [
            replace(done(number, value, acc=1.0), params={"x": of}, repeat_of=of, origin="repeat")
            for number, (of, value) in enumerate(repeats, start=3)
        ]

    def test_the_winner_has_the_best_mean(self):
        """Best is the trial of the search whose repeats did best on average."""
        found = result(*self.trials())

        assert (found.best.number, found.best.value) == (1, 0.2)
        assert [each.number for each in found.repeated] == [1, 0]
        assert found.repeated[0].trials == (4, 6, 7)

    def test_leaders_are_a_table(self):
        """A row for each trial that was repeated, best first: mean, interval, and params."""
        leaders = result(*self.trials()).leaders()

        fixed = ["number", "repeats", "failed", "mean", "low", "high", "value", "params_x"]
        assert leaders.columns.tolist() == fixed
        assert leaders["number"].tolist() == [1, 0]
        assert leaders["repeats"].tolist() == [3, 2]
        assert leaders["mean"].tolist() == pytest.approx([0.25, 0.5])
        assert leaders["low"].tolist() == pytest.approx([0.12579, -0.77062], abs=1e-4)
        assert leaders["value"].tolist() == [0.2, 0.1]

    def test_without_repeats_nobody_leads(self):
        """An empty table with its columns, and an empty tuple."""
        found = result(done(0, 0.1))

        assert found.repeated == ()
        assert len(found.leaders()) == 0
        assert "mean" in found.leaders().columns

    def test_all_trials_are_in_the_table(self):
        """Repeats are rows of their own, told apart by their origin."""
        table = result(*self.trials()).table()

        assert table["origin"].tolist() == ["sampler"] * 3 + ["repeat"] * 5

    def test_another_metric_ranks_the_search_alone(self):
        """A repeat stands for its configuration, and is never best by anything."""
        assert result(*self.trials()).best_by("acc", "maximize").number == 1

    def test_what_lies_outside_the_space_leads_no_more(self):
        """After a change of space neither a trial nor its repeats count."""
        found = result(*self.trials(), outside=[1, 4, 6, 7])

        assert found.best.number == 0
        assert [each.number for each in found.repeated] == [0]

    def test_the_summary_names_mean_and_interval(self):
        """What is printed says how sure it is, and that the search had been luckier."""
        text = str(result(*self.trials()))

        said = "loss 0.25 on average of 3 repeats, 95 % interval 0.125793 to 0.374207"
        assert f"best    {said} (trial 1, 0.2 in the search)" in text

    def test_one_repeat_has_no_interval(self):
        """From one value nothing is known of the spread."""
        repeat = replace(done(1, 0.5), params={"x": 0}, repeat_of=0)

        assert "best    loss 0.5 in 1 repeat (trial 0, 0.1 in" in str(result(done(0, 0.1), repeat))

    def test_where_every_repeat_failed_that_is_said(self):
        """A leader of which nothing but its luck is left is shown with it."""
        repeat = replace(trial(1, Failed("no")), params={"x": 0}, repeat_of=0)

        assert "best    loss 0.1 (trial 0; none of its repeats returned a value)" in str(
            result(done(0, 0.1), repeat)
        )


class TestFailures:
    def test_alike_failures_are_one_group_most_frequent_first(self):
        """Ten times the same error is one thing to read."""
        trials = [
            trial(0, Failed("KeyError: 'a'", "KeyError", "tb 0")),
            trial(1, Failed("ValueError: no", "ValueError", "tb 1")),
            trial(2, Failed("ValueError: no", "ValueError", "tb 2")),
            done(3, 1.0),
        ]
        first, second = result(*trials).failures()

        assert (first.reason, first.numbers, first.traceback) == ("ValueError: no", (1, 2), "tb 1")
        assert first.log == Path("/r/logs/00001-1.log")
        assert second.numbers == (0,)

    def test_reasons_that_differ_in_numbers_are_alike(self):
        """Two hundred values in a message are still one error."""
        trials = [
            trial(n, Failed(f"ValueError: x={n}.5 at 0x7f{n}", "ValueError")) for n in range(5)
        ]
        (failure,) = result(*trials).failures()

        assert failure.numbers == (0, 1, 2, 3, 4)
        assert failure.reason == "ValueError: x=0.5 at 0x7f0"

    def test_an_abandoned_trial_is_a_failure(self):
        """A trial whose workers kept dying is listed with its reason."""
        lost = trial(0, Lost("killed"), abandoned="its worker died 2 times")

        assert result(lost).failures()[0].reason == "its worker died 2 times"

    def test_a_failure_knows_its_machines(self):
        """Machines are read from the names of workers; a worker without one adds none."""
        no = Failed("no")
        workers = ["b/executor 3:17", "a:5", "b:9/1", "worker-0", "user"]
        study = result(*(ran_on(n, worker, no) for n, worker in enumerate(workers)), done(5, 1.0))

        assert study.failures()[0].hosts == ("a", "b")
        assert study.hosts == ("a", "b")

    def test_last_words_set_no_losses_apart(self):
        """What a worker printed before it was killed is no cause."""
        ends = [Lost(f"killed by SIGKILL; its last output: {said}") for said in ("a", "b")]
        (loss,) = result(*(ran_on(n, "a:1", end) for n, end in enumerate(ends))).losses()

        assert loss.numbers == (0, 1)
        assert loss.reason == "killed by SIGKILL; its last output: a"

    def test_losses_are_attempts_of_any_trial(self):
        """Also those of a trial that has completed since; the log is the lost attempt's."""
        attempts = [
            Attempt(1, "a:1", 10.0, end=Lost("killed after 3 s")),
            Attempt(2, "b:1", 20.0, end=Lost("killed after 5 s")),
            Attempt(3, "b:2", 30.0, end=Finished(1.0, {"loss": 1.0})),
        ]
        study = result(Trial(0, {"x": 0}, attempts=tuple(attempts)), ran_on(1, "b:1", Lost("off")))
        killed, off = study.losses()

        assert (killed.reason, killed.numbers, killed.hosts) == (
            "killed after 3 s",
            (0, 0),
            ("a", "b"),
        )
        assert killed.log == Path("/r/logs/00000-1.log")
        assert (off.reason, off.numbers) == ("off", (1,))
        assert study.failures() == ()


class TestReading:
    def test_counts_iterates_and_indexes(self):
        """A result is a sequence of trials."""
        study = result(done(0, 1.0), trial(1, Pruned("no")))

        assert len(study) == 2
        assert [t.number for t in study] == [0, 1]
        assert study[1].state is State.PRUNED
        assert study.count(State.PRUNED) == 1

    def test_there_is_no_negative_trial(self):
        """Numbers are names, not positions from the end."""
        with pytest.raises(ArgumentError, match="no trial -1: fashion has 1"):
            result(done(0, 1.0))[-1]

    def test_prints_what_a_person_needs(self):
        """Reason, counts, best value, params and where the record is."""
        text = str(result(done(0, 1.5)))

        assert "fashion: ended" in text
        assert "1 COMPLETE" in text
        assert "loss 1.5 (trial 0)" in text
        assert "x = 0" in text
        assert "/r" in text

    def test_repr_is_the_same(self):
        """The last expression of a notebook or a console says in a few lines what matters."""
        assert repr(result(done(0, 1.5))) == str(result(done(0, 1.5)))
        assert repr(result()) == "Study fashion: ended\n  trials  none\n  record  /r"

    def test_a_notebook_shows_a_table(self):
        """The best trials come first, and no name, value or reason is taken for HTML."""
        failed = trial(2, Failed("<script>alert(1)</script>\x1b[2J"))
        page = result(done(0, 1.5), done(1, 0.25), failed)._repr_html_()

        assert [*re.findall(r"<tr><td>(\d+)</td>", page)] == ["1", "0", "2"]
        assert "&lt;script&gt;alert(1)&lt;/script&gt;\\x1b[2J" in page
        assert "<script" not in page

    def test_a_notebook_shows_ten(self):
        """The number of the others is told; a study without trials has no table."""
        many = [done(number, float(number)) for number in range(15)]
        assert "  5 more trials: table() has all" in result(*many)._repr_html_()
        assert "<table>" not in result()._repr_html_()

    def test_prints_without_any_result(self):
        """A study of which nothing completed can be printed as well."""
        assert "1 FAIL" in str(result(trial(0, Failed("no"))))
