"""Trials on the driver, several at once, and the Spark jobs that are theirs."""

import contextlib
import gc
import os
import re
import signal
import sys
import threading
import time
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode

import mlflow
import psutil
import pytest

import manyfit
from manyfit import Float, State
from manyfit.demo.cluster import session
from manyfit.errors import ExecutorError, FatalError
from manyfit.events import (
    AttemptFailed,
    AttemptFinished,
    AttemptLost,
    AttemptPruned,
    AttemptStarted,
    Reported,
)
from manyfit.spark.driver.executor import DriverExecutor
from manyfit.testing.rig import Rig
from manyfit.trial import Lost
from manyfit.worker.context import current_trial, report
from manyfit.worker.timings import Timings
from manyfit.worker.work import Limits

pytestmark = pytest.mark.integration

LONG = 30.0  # seconds that nobody waits for


@contextlib.contextmanager
def opened(executor, objective, folder, **limits):
    rig = Rig(executor, objective, folder, Limits(**limits))
    try:
        yield rig
    finally:
        rig.executor.close()


def job(spark, seconds, tasks=1, barrier=False):
    """Run a job whose tasks all sleep; returns how many there were."""

    def sleep(batches):
        import time

        time.sleep(seconds)
        yield from batches

    frame = spark.range(0, tasks, 1, tasks).mapInArrow(sleep, "id long", barrier=barrier)
    return float(len(frame.collect()))


def busy(spark):
    """Count the tasks that run."""
    tracker = spark.sparkContext.statusTracker()
    stages = [tracker.getStageInfo(number) for number in tracker.getActiveStageIds()]
    return sum(stage.numActiveTasks for stage in stages if stage is not None)


def within(seconds, condition):
    """Wait until something holds; says whether it did in time."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def marks(spark):
    """Return what the jobs of this thread are marked with."""
    of = spark.sparkContext.getLocalProperty
    return {
        name: of(f"spark.{name}")
        for name in ("jobGroup.id", "job.description", "job.tags", "scheduler.pool")
    }


def kill_application(cluster, application):
    """Press the button for it on the master's page."""

    def ask(method, path, form=None):
        with contextlib.closing(HTTPConnection("127.0.0.1", cluster.status_port)) as line:
            headers = {"Content-Type": "application/x-www-form-urlencoded"} if form else {}
            line.request(method, path, form and urlencode(form), headers)
            return line.getresponse().read().decode()

    token = re.search(r'name="csrfToken" value="(\w+)"', ask("GET", "/"))
    form = {"id": application, "terminate": "true"}
    ask("POST", "/app/kill/", form | ({"csrfToken": token[1]} if token else {}))


class TestMarks:
    """Spark's own pages say whose a job is."""

    def test_trials_each_have_their_own(self, spark, tmp_path):
        """Group, tag and description are a trial's, also in threads PySpark starts for it."""
        seen, together = {}, threading.Barrier(8)

        def objective(params):
            number = current_trial().number
            together.wait(60)
            job(spark, 0.0)
            seen[number] = marks(spark)
            return 0.0

        with opened(DriverExecutor(spark, 8), objective, tmp_path) as run:
            for number in range(8):
                run.submit(number)
            for number in range(8):
                assert isinstance(run.end_of(number), AttemptFinished)

        groups = [seen[number]["jobGroup.id"] for number in range(8)]
        jobs = [spark.sparkContext.statusTracker().getJobIdsForGroup(group) for group in groups]
        assert [len(each) for each in jobs] == [1] * 8
        assert len({number for each in jobs for number in each}) == 8
        for number in range(8):
            assert seen[number]["job.description"] == f"trial {number} of contract"
            assert seen[number]["job.tags"] == groups[number]
            assert f"-{number}-1" in groups[number]
        assert {mark["scheduler.pool"] for mark in seen.values()} == {
            f"manyfit-{pool}"
            for pool in range(4)  # as many as slots
        }
        assert not any(marks(spark).values())

    def test_pools_are_used_again(self, spark, tmp_path):
        """There are as many pools as trials at once; a second attempt says so in its title."""
        seen = []

        def objective(params):
            seen.append(marks(spark))
            return 0.0

        with opened(DriverExecutor(spark, 2), objective, tmp_path) as run:
            for attempt in (1, 2, 3):
                run.run(7, attempt)
        assert {mark["scheduler.pool"] for mark in seen} == {"manyfit-0"}
        assert len({mark["job.tags"] for mark in seen}) == 3
        assert seen[1]["job.description"] == "trial 7 of contract, attempt 2"

    def test_what_the_caller_set_holds_as_well(self, spark, tmp_path):
        """Local properties of the thread that runs the study reach its trials."""
        spark.sparkContext.setLocalProperty("spark.mine", "1")
        try:
            with opened(
                DriverExecutor(spark, 1),
                lambda _: float(spark.sparkContext.getLocalProperty("spark.mine")),
                tmp_path,
            ) as run:
                assert run.run().metrics == {"loss": 1.0}
        finally:
            spark.sparkContext.setLocalProperty("spark.mine", None)


class TestStopping:
    """A trial's jobs end with it, and nobody else's."""

    def test_others_go_on(self, spark, tmp_path):
        """Who is stopped has its slots free within two seconds; the other keeps its own.

        What its tasks used of the cluster is recorded.
        """
        with opened(DriverExecutor(spark, 2), lambda _: job(spark, LONG, 2), tmp_path) as run:
            run.submit(0)
            run.submit(1)
            run.until(lambda: busy(spark) == 4)
            at = time.monotonic() + 0.6
            run.until(lambda: time.monotonic() > at)
            began = time.monotonic()
            run.executor.stop(0, 1, "hopeless")
            end = run.end_of(0)
            assert isinstance(end, AttemptPruned)
            assert end.reason == "hopeless"
            assert end.usage["slots"] == 4
            assert 0.5 < end.usage["task_seconds"] <= 2 * end.seconds + 0.5
            assert within(began + 2.0 - time.monotonic(), lambda: busy(spark) == 2)
            run.poll(1.0)
            assert [type(event) for event in run.of(1)] == [AttemptStarted]
            run.executor.stop(1, 1, "enough", kill=True)
            end = run.end_of(1)
            assert isinstance(end, AttemptLost)
            assert (end.reason, end.counts) == ("enough", False)
        assert within(LONG / 2, lambda: busy(spark) == 0)

    def test_a_prune_between_reports(self, spark, tmp_path):
        """What was reported before a long job ends the trial in the middle of it."""

        def objective(params):
            report(0, loss=1.0)
            return job(spark, LONG)

        def react(event):
            if isinstance(event, Reported):
                run.executor.stop(0, 1, "hopeless")

        began = time.monotonic()
        with opened(DriverExecutor(spark, 1), objective, tmp_path) as run:
            run.react = react
            assert isinstance(run.run(), AttemptPruned)
        assert time.monotonic() - began < LONG / 2

    def test_a_job_that_is_yet_to_come(self, spark, tmp_path):
        """A trial stopped between two jobs has its next one cancelled."""
        at_rest = threading.Event()

        def objective(params):
            at_rest.set()
            time.sleep(0.3)
            return job(spark, LONG)

        with opened(DriverExecutor(spark, 1), objective, tmp_path) as run:
            run.submit()
            at_rest.wait(30)
            run.executor.stop(0, 1, "hopeless")
            assert isinstance(run.end_of(), AttemptPruned)

    def test_an_objective_that_swallows_everything(self, spark, tmp_path):
        """Its jobs fail one after another, until its next report ends it."""

        def objective(params):
            for _ in range(2):
                with contextlib.suppress(Exception):
                    job(spark, LONG)
            report(0, loss=1.0)
            return 0.0

        with opened(DriverExecutor(spark, 1), objective, tmp_path) as run:
            run.submit()
            run.until(lambda: busy(spark) == 1)
            run.executor.stop(0, 1, "hopeless")
            assert isinstance(run.end_of(), AttemptPruned)
            assert not any(isinstance(event, Reported) for event in run.events)

    def test_a_result_that_comes_first_counts(self, spark, tmp_path):
        """A trial that ends by itself, never told of the stop, has its result."""
        begun, stopped = threading.Event(), threading.Event()

        def objective(params):
            begun.set()
            return stopped.wait(30)

        with opened(DriverExecutor(spark, 1), objective, tmp_path) as run:
            run.submit()
            assert begun.wait(30)
            run.executor.stop(0, 1, "hopeless")
            stopped.set()
            assert isinstance(run.end_of(), AttemptFinished)

    def test_a_fatal_error_stays_fatal(self, spark, tmp_path):
        """What an objective makes of a cancelled job ends the study, if it says so."""

        def objective(params):
            try:
                return job(spark, LONG)
            except Exception as error:
                raise FatalError("no data") from error

        with opened(DriverExecutor(spark, 1), objective, tmp_path) as run:
            run.submit()
            run.until(lambda: busy(spark) == 1)
            run.executor.stop(0, 1, "hopeless")
            assert run.end_of().fatal

    def test_a_time_limit(self, spark, tmp_path):
        """It ends a job that would run for longer, and the trial fails with the usual reason."""
        with opened(
            DriverExecutor(spark, 1), lambda _: job(spark, LONG), tmp_path, seconds=1.0
        ) as run:
            end = run.run()
        assert isinstance(end, AttemptFailed)
        assert end.reason == "ran longer than trial_timeout=1s"
        assert 1.0 <= end.seconds < LONG / 2

    def test_nothing_runs_after_close(self, spark, tmp_path):
        """Closing cancels what runs, and what a trial that doesn't listen begins later."""
        closed, later = threading.Event(), []

        def objective(params):
            try:
                job(spark, LONG, 2)
            except Exception:  # noqa: BLE001 - as objectives do
                closed.wait(60)
                job(spark, LONG, 2)
            finally:
                later.append(params["x"])

        began = time.monotonic()
        executor = DriverExecutor(spark, 2, timings=Timings(cancel=1.0))
        with opened(executor, objective, tmp_path) as run:
            run.submit(0)
            run.submit(1)
            run.until(lambda: busy(spark) == 4)
        assert later == []
        assert within(LONG / 2, lambda: busy(spark) == 0)
        closed.set()
        assert within(LONG / 2, lambda: len(later) == 2)
        assert within(LONG / 2, lambda: busy(spark) == 0)
        assert time.monotonic() - began < LONG


class TestAdmission:
    """Fits that need their slots at the same time."""

    def test_barrier_jobs_take_turns(self, standalone_spark, tmp_path):
        """Five at once, each of which needs all four slots, end one after another."""
        began = {}

        def objective(params):
            began[current_trial().number] = time.monotonic()
            return job(standalone_spark, 0.1, 4, barrier=True)

        executor = DriverExecutor(standalone_spark, 5, slots_per_trial=lambda params: 4)
        with opened(executor, objective, tmp_path) as run:
            assert run.executor.parallelism == 5
            for number in range(5):
                run.submit(number)
            for number in range(5):
                assert run.end_of(number).metrics == {"loss": 4.0}
        order = [event for event in run.events if not isinstance(event, Reported)]
        assert [event.number for event in order] == [n for n in range(5) for _ in range(2)]
        assert sorted(began, key=began.__getitem__) == list(range(5))

    def test_parallelism_follows_from_a_number(self, standalone_spark):
        """As many trials run as fit, and at least one."""
        for need, parallelism in ((1, 4), (2, 2), (3, 1), (9, 1)):
            executor = DriverExecutor(standalone_spark, 8, slots_per_trial=need)
            assert executor.parallelism == parallelism

    def test_what_can_never_run_fails_at_once(self, standalone_spark, tmp_path):
        """A trial that needs more slots than the cluster has says so; the next one runs."""
        workers = {0.0: 5, 1.0: 2}
        cores = standalone_spark.sparkContext
        assert within(60, lambda: cores.defaultParallelism == 4)  # all executors have come
        executor = DriverExecutor(
            standalone_spark, 2, slots_per_trial=lambda params: workers[params["x"]]
        )
        with opened(executor, lambda _: 0.0, tmp_path) as run:
            end = run.run(0, x=0.0)
            assert isinstance(end, AttemptFailed)
            assert end.reason == (
                "needs 5 slots at once, and the cluster has 4 (2 executors of 2 cores): lower "
                "slots_per_trial (num_workers, num_processes), or give the session more executors"
            )
            assert [type(event) for event in run.of(0)] == [AttemptStarted, AttemptFailed]
            assert isinstance(run.run(1, x=1.0), AttemptFinished)
            end = run.run(2, x=0.5)
            assert (end.error, end.reason) == ("KeyError", "KeyError: 0.5")

    def test_what_waits_can_be_stopped(self, spark, tmp_path):
        """A trial that waits has not begun; stopped, it is lost, and closing forgets it."""
        executor = DriverExecutor(spark, 3, slots_per_trial=lambda params: 4)
        with opened(executor, lambda _: job(spark, LONG), tmp_path) as run:
            for number in range(3):
                run.submit(number)
            run.until(lambda: busy(spark) == 1)
            run.executor.stop(1, 1, "enough", kill=True)
            end = run.end_of(1)
            assert (type(end), end.reason, end.counts) == (AttemptLost, "enough", False)
            assert len(run.of(1)) == 1
            assert run.of(2) == []
        assert within(LONG / 2, lambda: busy(spark) == 0)

    def test_tasks_of_two_cores(self, classic, tmp_path, caplog):
        """There are half as many slots as cores; where jobs share the cluster, nothing is said."""
        classic.on("local[4]")  # the first session's settings are the JVM's, for good
        classic.stop()
        settings = {"spark.task.cpus": "2", "spark.scheduler.mode": "FAIR"}
        with session("local[4]", tmp_path / "driver.log", settings) as spark:
            executor = DriverExecutor(spark, 8, slots_per_trial=lambda params: int(params["x"]))
            with opened(
                executor, lambda params: job(spark, 0.0, int(params["x"]), barrier=True), tmp_path
            ) as run:
                assert run.run(0, x=2.0).metrics == {"loss": 2.0}
                assert run.run(1, x=3.0).reason.startswith(
                    "needs 3 slots at once, and the cluster has 2 (local[4], spark.task.cpus=2): "
                )
        assert not caplog.records

    @pytest.mark.filterwarnings("ignore")  # those of what XGBoost imports
    def test_estimators_and_distributors(self, spark):
        """What trains in barrier jobs tells by itself how many slots it needs."""
        from pyspark.ml.torch.distributor import TorchDistributor

        boosted = pytest.importorskip("xgboost.spark").SparkXGBClassifier
        changed = boosted(num_workers=2)
        changed.setParams(num_workers=4)
        for given, parallelism in (
            (boosted(num_workers=2), 2),
            (changed, 1),
            (boosted(), 4),
            (TorchDistributor(num_processes=2, local_mode=False, use_gpu=False), 2),
            (TorchDistributor(num_processes=2, local_mode=True, use_gpu=False), 8),
        ):
            assert DriverExecutor(spark, 8, slots_per_trial=given).parallelism == parallelism


class TestPace:
    """How many trials run when nobody says."""

    def test_idle_slots_let_another_trial_in(self, spark, tmp_path):
        """Two trials that leave half of the slots idle for a while are joined by a third."""
        executor = DriverExecutor(spark, timings=Timings(window=1.0))
        with opened(executor, lambda _: job(spark, LONG), tmp_path) as run:
            assert run.executor.parallelism == 2
            run.submit(0)
            run.poll(1.0)
            assert run.executor.parallelism == 2
            run.submit(1)
            began = time.monotonic()
            run.until(lambda: run.executor.parallelism == 3)
            assert time.monotonic() - began > 0.7


class TestTheEndOfTheSession:
    """What ran when Spark went away is run again, as if nothing had happened."""

    @pytest.fixture
    def options(self, tmp_path):
        return {
            "space": {"x": Float(0.0, 1.0)},
            "metric": "loss",
            "n_trials": 6,
            "name": "ends",
            "folder": tmp_path,
            "sampler": "random",
            "pruner": None,
            "tracker": None,
            "progress": None,
            "max_attempts": 1,
            "seed": 0,
        }

    def check(self, options, spark):
        """The journal has all attempts in flight as lost; resumed, each trial is completed."""
        trials = manyfit.load_study("ends", folder=options["folder"])
        lost = [trial.attempts[-1].end for trial in trials if trial.state is State.WAITING]
        assert len(lost) == 3
        for end in lost:
            assert isinstance(end, Lost)
            assert not end.counts
            assert end.reason.startswith("the Spark session has ended: ")
        result = manyfit.tune(
            lambda params: job(spark, 0.0), executor=DriverExecutor(spark, 3), **options
        )
        assert result.count(State.COMPLETE) == 6

    def test_the_objective_stops_it(self, classic, options):
        """`spark.stop()` in the middle ends the study in order."""
        spark = classic.on("local[4]")

        def objective(params):
            number = current_trial().number
            if number == 4:
                within(30, lambda: busy(spark) == 2)
                spark.stop()
            return job(spark, LONG if number > 2 else 0.0)

        try:
            with pytest.raises(ExecutorError, match=r"the Spark session has ended: .*name='ends'"):
                manyfit.tune(objective, executor=DriverExecutor(spark, 3), **options)
        finally:
            classic.stop()
        self.check(options, classic.on("local[4]"))

    @pytest.mark.soak("kills")
    def test_the_cluster_ends_it(self, classic, cluster, options):
        """So does a master that kills the application."""
        spark = classic.on(cluster.url)

        def kill():
            within(60, lambda: busy(spark) == 3)
            kill_application(cluster, spark.sparkContext.applicationId)

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            with pytest.raises(ExecutorError, match="the Spark session has ended: "):
                manyfit.tune(
                    lambda params: job(spark, LONG), executor=DriverExecutor(spark, 3), **options
                )
        finally:
            killer.join()
            classic.stop()
        self.check(options, classic.on(cluster.url))


class TestASharedCluster:
    """What befalls a cluster, and who else uses it."""

    @pytest.mark.soak("kills")
    def test_a_machine_is_killed(self, standalone_spark, cluster, tmp_path):
        """Spark runs lost tasks again; the trial has one attempt, and its result."""
        begun = tmp_path / "begun"
        begun.mkdir()
        path = str(begun)

        def sleep(batches):
            import pathlib
            import time
            import uuid

            pathlib.Path(path, uuid.uuid4().hex).touch()
            time.sleep(3.0)
            yield from batches

        def objective(params):
            frame = standalone_spark.range(0, 4, 1, 4).mapInArrow(sleep, "id long")
            return float(len(frame.collect()))

        with opened(DriverExecutor(standalone_spark, 1), objective, tmp_path) as run:
            run.submit()
            run.until(lambda: len(list(begun.iterdir())) == 4)
            cluster.kill_worker(next(iter(cluster.workers)))
            try:
                end = run.end_of()
            finally:
                cluster.add_workers()
        assert end.metrics == {"loss": 4.0}
        assert len(list(begun.iterdir())) > 4, "no task was lost"
        assert [type(event) for event in run.events] == [AttemptStarted, AttemptFinished]

    def test_jobs_that_queue(self, spark, tmp_path, caplog):
        """Where Spark serves one job after another, that is said once; not to a trial alone."""
        executor = DriverExecutor(spark, 2)
        for study in ("a", "b"):
            with opened(executor, lambda _: 0.0, tmp_path / study) as run:
                run.run()
        (said,) = [record.getMessage() for record in caplog.records]
        assert said == (
            "trials queue for the cluster: Spark serves the jobs of the first one, then those of "
            "others with what is left. Start the session with spark.scheduler.mode=FAIR to have "
            "them share it."
        )
        with opened(DriverExecutor(spark, 1), lambda _: 0.0, tmp_path / "c") as run:
            run.run()
        assert len(caplog.records) == 1

    @pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system tells no names")
    def test_nothing_is_left_of_many_trials(self, spark, tmp_path):
        """Neither this process nor the JVM, which has a thread for each of ours, keeps them."""
        jvm = next(
            child for child in psutil.Process().children() if "pyspark-shell" in child.cmdline()
        )

        def threads():
            gc.collect()
            names = [path.read_text() for path in Path(f"/proc/{jvm.pid}/task").glob("*/comm")]
            # By these names, Spark's own threads, which come and go, are told from those for ours.
            return threading.active_count() + sum(name.startswith("Thread-") for name in names)

        with opened(DriverExecutor(spark, 5), lambda _: float(bool(marks(spark))), tmp_path) as run:
            run.run(99)
            before = threads()
            for number in range(60):
                run.run(number)
        assert within(10.0, lambda: threads() < before + 30)

    def test_ctrl_c(self, spark, tmp_path):
        """It ends the study's jobs; a job that others began in this session goes on."""
        jobs = spark.sparkContext

        def of_others():
            jobs.addJobTag("others")
            with contextlib.suppress(Exception):  # it is cancelled in the end
                job(spark, 20 * LONG)

        def interrupt():
            if within(60, lambda: busy(spark) == 3):
                os.kill(os.getpid(), signal.SIGINT)

        threads = [threading.Thread(target=each) for each in (of_others, interrupt)]
        for thread in threads:
            thread.start()
        try:
            result = manyfit.tune(
                lambda params: job(spark, LONG),
                {"x": Float(0.0, 1.0)},
                metric="loss",
                n_trials=9,
                executor=DriverExecutor(spark, 2),
                folder=tmp_path,
                tracker=None,
                progress=None,
            )
            assert busy(spark) == 1
        finally:
            jobs.cancelJobsWithTag("others")
            for thread in threads:
                thread.join()
        assert result.reason == "interrupted"
        assert [trial.state for trial in result] == [State.WAITING] * 2

    @pytest.mark.usefixtures("patient_mlflow")
    @pytest.mark.filterwarnings("ignore")  # MLflow's own, about what it imports
    def test_what_objectives_log_with_mlflow(self, spark, tmp_path, monkeypatch):
        """`mlflow.log_metric` in trials that run at once lands in the run of each."""
        uri = f"sqlite:///{tmp_path}/mlflow.db"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        monkeypatch.chdir(tmp_path)  # where artifacts go
        together = threading.Barrier(2)

        def objective(params):
            together.wait(60)
            for step in range(5):
                mlflow.log_metric("number", current_trial().number, step=step)
            return job(spark, 0.0)

        manyfit.tune(
            objective,
            {"x": Float(0.0, 1.0)},
            metric="loss",
            n_trials=4,
            name="logs",
            folder=tmp_path,
            executor=DriverExecutor(spark, 2),
            tracker=manyfit.MlflowTracker(uri, experiment="logs"),
            progress=None,
        )
        found = mlflow.search_runs(experiment_names=["logs"], output_format="list")
        trials = [run for run in found if "manyfit.trial" in run.data.tags]
        assert len(trials) == 4
        for run in trials:
            assert run.data.metrics["number"] == float(run.data.tags["manyfit.trial"])
            assert run.data.metrics["loss"] == 1.0
