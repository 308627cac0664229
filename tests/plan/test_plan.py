"""Plans: what more slots would bring a study, by its record."""

import json
from dataclasses import replace

import pytest

from manyfit import (
    ArgumentError,
    Float,
    Int,
    MedianPruner,
    Metric,
    NoResultError,
    Space,
    Study,
    load_study,
    tune,
)
from manyfit.advice.record import Record
from manyfit.cli import main
from manyfit.plan.measured import Measured
from manyfit.plan.search import Search
from manyfit.plan.simulated import SimulatedObjective
from manyfit.result import StudyResult
from manyfit.samplers.random import RandomSampler
from manyfit.trial import Attempt, Failed, Finished, Lost, Measurement, Trial

SPACE = Space({"x": Float(0.0, 1.0)})
GB = 10**9


def trial(
    number: int, *, begin: float, seconds: float, cpu: float | None = None, worker: str = "a:1"
) -> Trial:
    """Return a trial that took some seconds, and reported half way."""
    x = (number * 0.618) % 1.0
    loss = (x - 0.3) ** 2
    usage = {} if cpu is None else {"cpu_seconds": cpu, "peak_memory": 2.0 * GB}
    attempt = Attempt(
        1,
        worker,
        begin,
        (Measurement(0, {"loss": loss + 0.1}, begin + seconds / 2),),
        end=Finished(loss, {"loss": loss}),
        ended_at=begin + seconds,
        seconds=seconds,
        usage=usage,
    )
    return Trial(number, {"x": x}, asked_at=begin, attempts=(attempt,))


def result(trials, tmp_path) -> StudyResult:
    return StudyResult("credit", tmp_path, Metric("loss"), SPACE, "done", tuple(trials))


def one_by_one(count=12, cpu=10.0, seconds=10.0):
    return [trial(n, begin=10.0 * n, seconds=seconds, cpu=cpu) for n in range(count)]


class TestTime:
    def test_slots_with_cores_of_their_own_divide_it(self, tmp_path):
        """Trials of ten seconds on one core each: twice the slots, half the time."""
        plan = result(one_by_one(), tmp_path).plan(64, slots=[1, 2, 8], cores=8, draws=1)

        assert [row.seconds for row in plan.rows] == pytest.approx([640, 320, 80], rel=0.35)
        assert plan.knee == 8

    def test_slots_that_share_a_core_do_not(self, tmp_path):
        """Four trials on the only core of a machine take four times as long as one."""
        study = result(one_by_one(), tmp_path)

        one, four = study.plan(16, slots=[1, 4], cores=1, machines=1, draws=1).rows

        assert (one.machines, four.machines) == (1, 1)
        assert four.seconds == pytest.approx(one.seconds, rel=0.35)

    def test_machines_are_added_for_slots_without_room(self, tmp_path):
        """Four trials that need one core each get four machines of one core."""
        study = result(one_by_one(), tmp_path)

        one, four = study.plan(16, slots=[1, 4], cores=1, memory=100 * GB, draws=1).rows

        assert (one.machines, four.machines) == (1, 4)
        assert four.seconds == pytest.approx(one.seconds / 4, rel=0.35)

    def test_trials_that_wait_need_no_core(self, tmp_path):
        """Trials that used a tenth of a core: many fit one machine."""
        plan = result(one_by_one(cpu=1.0), tmp_path).plan(
            32, slots=[1, 8], cores=8, memory=100 * GB, draws=1
        )

        assert plan.rows[1].seconds < plan.rows[0].seconds / 4
        assert plan.rows[1].machines == 1

    def test_a_long_study_goes_on_at_the_same_pace(self, tmp_path):
        """Only the first trials are simulated, and a note says so."""
        study = result(one_by_one(), tmp_path)

        plan = study.plan(4000, slots=4, cores=4, draws=1)

        assert plan.rows[0].seconds == pytest.approx(10_000, rel=0.35)
        assert any("The first 500 trials were simulated" in note for note in plan.notes)

    def test_it_is_repeatable(self, tmp_path):
        """The same seed gives the same plan."""
        study = result(one_by_one(), tmp_path)

        assert str(study.plan(20, slots=[4])) == str(study.plan(20, slots=[4]))


class TestQuality:
    @pytest.mark.parametrize("direction", ["minimize", "maximize"])
    def test_no_value_is_better_than_the_best_on_record(self, direction, tmp_path):
        """Functions that fit the record go on beyond its best value, which may be impossible."""
        study = replace(result(one_by_one(), tmp_path), metric=Metric("loss", direction))

        plan = study.plan(30, slots=[1, 2], draws=2)

        best = study.best.value
        assert all(plan.metric.loss(row.best) >= plan.metric.loss(best) for row in plan.rows)
        assert plan.notes[-1].startswith("Whether there are better values than the best on record")


def tune_inline(folder, **options):
    """Tune x, with a record named credit."""
    return tune(
        lambda params: {"loss": params["x"]},
        SPACE,
        metric="loss",
        name="credit",
        folder=folder,
        executor="inline",
        tracker=None,
        progress=None,
        **options,
    )


class TestSearch:
    def test_it_is_that_of_the_record(self, tmp_path):
        """The sampler, and the pruner with its settings."""
        tune_inline(tmp_path, n_trials=1, sampler="random", pruner=MedianPruner(min_steps=3))

        found = Search.of(tmp_path / "credit")

        assert found == Search("random", MedianPruner(min_steps=3))

    def test_what_is_known_by_name_only_is_said(self, tmp_path):
        """A sampler that was an object can't be made again."""
        tune_inline(tmp_path, n_trials=2, sampler=RandomSampler(SPACE, 0))

        plan = load_study("credit", folder=tmp_path).plan(slots=1)

        assert any("only the name of RandomSampler" in note for note in plan.notes)

    def test_a_finite_space_has_no_more_trials(self, tmp_path):
        """A study ends when it has tried each configuration."""
        trials = [replace(each, params={"x": n}) for n, each in enumerate(one_by_one(3))]
        study = replace(result(trials, tmp_path), space=Space({"x": Int(0, 3)}))

        assert study.plan(100, slots=[1]).n_trials == 4


class TestMachines:
    def test_memory_limits_the_slots_of_a_machine(self, tmp_path):
        """Trials of 2 GB: three fit 7 GB, though there are eight cores."""
        plan = result(one_by_one(), tmp_path).plan(
            12, slots=[6], cores=8, memory=7 * GB, price=1.0, draws=1
        )

        assert (plan.slots_per_machine, plan.rows[0].machines) == (3, 2)
        assert any("Memory is what limits it" in note for note in plan.notes)
        assert plan.rows[0].cost == pytest.approx(2 * plan.rows[0].seconds / 3600)

    def test_usage_that_was_not_recorded_is_said(self, tmp_path):
        """Records of earlier versions, and trials in threads, have none."""
        trials = [trial(n, begin=10.0 * n, seconds=10.0) for n in range(3)]

        plan = result(trials, tmp_path).plan(4, slots=[1], draws=1)

        assert "didn't record what its trials used" in plan.notes[0]


def on_driver(number, *, tasks, at_once, seconds=10.0):
    """Return a trial on the driver, whose tasks kept some of 8 slots busy."""
    begin = seconds * (number // at_once)
    each = trial(number, begin=begin, seconds=seconds, worker=f"a:1/{number % at_once}")
    usage = {"task_seconds": tasks * seconds, "slots": 8.0}
    return replace(each, attempts=(replace(each.attempts[0], usage=usage),))


class TestOnTheDriver:
    """The Spark cluster on which trials ran takes the place of a machine."""

    def test_trials_share_the_slots_of_their_cluster(self, tmp_path):
        """Four slots busy of eight: two trials fit, and four take as long as twice two."""
        trials = [on_driver(n, tasks=4.0, at_once=1) for n in range(12)]

        plan = result(trials, tmp_path).plan(24, slots=[1, 2, 4], cores=None, price=1.0, draws=1)

        one, two, four = plan.rows
        assert two.seconds == pytest.approx(one.seconds / 2, rel=0.2)
        assert four.seconds == pytest.approx(two.seconds, rel=0.2)
        assert (plan.slots_per_machine, four.machines) == (2, 1)
        assert "each kept 4.0 slots of a Spark cluster busy, and one of 8 slots" in plan.notes[0]

    def test_a_larger_cluster(self, tmp_path):
        """Trials that filled their cluster two at a time have room on a larger one."""
        trials = [on_driver(n, tasks=4.0, at_once=2) for n in range(12)]

        eight, sixteen = (
            result(trials, tmp_path).plan(24, slots=4, cores=cores, draws=1).rows[0]
            for cores in (8, 16)
        )

        assert sixteen.seconds == pytest.approx(eight.seconds / 2, rel=0.2)

    def test_several_machines_are_refused(self, tmp_path):
        """Their number is that of the cluster, which isn't what slots are divided among."""
        trials = [on_driver(n, tasks=4.0, at_once=1) for n in range(3)]

        with pytest.raises(ArgumentError, match="machines must be 1 for trials that ran on the"):
            result(trials, tmp_path).plan(4, machines=3)


class TestMeasured:
    def test_trials_that_shared_a_core(self):
        """Two at a time on one core: each would have taken half as long alone."""
        trials = [
            trial(n, begin=20.0 * (n // 2), seconds=20.0, cpu=10.0, worker=f"a:{n % 2}")
            for n in range(8)
        ]

        measured = Measured.of(trials, cores=1)

        assert measured.seconds[3] == pytest.approx(10.0)
        assert measured.cores == pytest.approx(1.0)

    def test_other_machines_share_nothing(self):
        """Trials of two machines at the same time didn't slow each other down."""
        trials = [
            trial(n, begin=20.0 * (n // 2), seconds=20.0, cpu=20.0, worker=f"host{n % 2}:1")
            for n in range(8)
        ]

        assert Measured.of(trials, cores=1).seconds[3] == pytest.approx(20.0)

    def test_start_and_gap(self):
        """The wait for the first trial, and that between two of a worker."""
        trials = [trial(n, begin=12.0 * n, seconds=10.0, cpu=10.0) for n in range(4)]

        measured = Measured.of(trials, cores=1)

        assert (measured.start, measured.gap) == (0.0, 2.0)


def test_long_curves_are_thinned():
    """A thousand reports of a trial are 25 events of a simulated one, from its begin to its end."""
    trials = []
    for each in one_by_one():
        attempt = each.attempts[0]
        reports = tuple(
            Measurement(n, {"loss": 1.0}, attempt.started_at + (n + 1) / 100) for n in range(1000)
        )
        trials.append(replace(each, attempts=(replace(attempt, measurements=reports),)))
    record = Record.of(SPACE, Metric("loss"), trials)

    curve = SimulatedObjective(record, Measured.of(trials, cores=1), 0).curve(0.1)

    assert len(curve) == 25
    assert [step for _, step, _ in curve] == list(range(39, 1000, 40))
    assert curve[-1][0] == pytest.approx(1.0)


class TestBadInput:
    def test_a_study_without_ended_trials(self, tmp_path):
        """There is nothing to learn durations from."""
        lost = Trial(0, {"x": 0.5}, attempts=(Attempt(1, "a:1", 0.0, end=Lost("killed")),))

        with pytest.raises(NoResultError, match="trials that have completed"):
            result([lost], tmp_path).plan(4)

    def test_a_study_whose_trials_all_failed(self, tmp_path):
        """There is nothing to learn values from."""
        failed = [
            replace(each, attempts=(replace(each.attempts[0], end=Failed("KeyError: 'x'", "")),))
            for each in one_by_one()
        ]

        with pytest.raises(NoResultError, match="trials that have completed"):
            result(failed, tmp_path).plan(4)

    @pytest.mark.parametrize(
        "wrong", [{"slots": []}, {"slots": [0]}, {"draws": 0}, {"price": -1}, {"memory": 0}]
    )
    def test_arguments_are_checked(self, wrong, tmp_path):
        """Before anything is simulated."""
        with pytest.raises(ArgumentError, match=next(iter(wrong))):
            result(one_by_one(2), tmp_path).plan(4, **wrong)


def test_the_command_line(tmp_path, capsys, monkeypatch):
    """It has the same rows as text and JSON; on a screen, sentences are folded between words."""
    with Study(SPACE, metric="loss", name="credit", folder=tmp_path, tracker=None) as study:
        for _ in range(4):
            study.tell(study.ask(), 0.5)
    arguments = ["plan", "credit", "--folder", str(tmp_path), "--trials", "6", "--slots", "1", "2"]

    monkeypatch.setenv("COLUMNS", "70")
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert "Plan of 6 trials, from the record of credit" in shown
    assert max(map(len, shown.splitlines())) <= 70
    assert "didn't record what its trials used" in " ".join(shown.split())
    assert main([*arguments, "--json"]) == 0
    assert [row["slots"] for row in json.loads(capsys.readouterr().out)["rows"]] == [1, 2]
    assert main([*arguments, "--memory", "nan"]) == 2
    assert "memory must be a number of bytes" in capsys.readouterr().err
