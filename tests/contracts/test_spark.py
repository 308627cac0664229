"""What Manyfit asks of a Spark session, and that its executors keep their contract on each kind.

`make test` asks each kind of session for what executors need of it, and has each executor run a few
trials. The whole contract on each of them is for `make soak PART=contracts`: what it says of the
executors' own code is tested without Java, on `LocalSpark`.
"""

import os
import threading
import time

import pytest

from manyfit.events import AttemptFinished, AttemptLost, AttemptPruned, Reported
from manyfit.spark.driver.executor import DriverExecutor
from manyfit.spark.executor import SparkExecutor
from manyfit.spark.jobs import SparkJobs
from manyfit.spark.session import Session
from manyfit.testing.executors import ExecutorContract
from manyfit.testing.remote import LocalSpark
from manyfit.testing.rig import RiggedContract
from manyfit.testing.stopping import StoppingContract
from manyfit.worker.context import report

pytestmark = pytest.mark.integration

# Nobody listens there, so no worker can dial in.
NOWHERE = "127.0.0.99"
LONG = 60.0  # seconds that nobody waits for


def says(text, folder=None, seconds=0.0):
    """Return a task function that yields a text, after it has left a mark and slept."""
    mark = folder and str(folder / text)

    def task(batches):
        import pathlib
        import time

        import pyarrow as pa

        if mark:
            pathlib.Path(mark).touch()
        time.sleep(seconds)
        yield pa.RecordBatch.from_pydict({"said": [text]})

    return task


def until(condition):
    """Wait until something holds."""
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


class JobsContract:
    """Functions whose Spark jobs are cancelled by tag, on any kind of session."""

    @pytest.fixture
    def session(self, spark_of_kind):
        """The session, as executors see it."""
        return Session(spark_of_kind)

    @pytest.fixture
    def start(self, session):
        """A function that starts another one; what came of each is in the dict, by its tag."""
        jobs, ends = SparkJobs(session), {}

        def start(tag, function, **options):
            began = threading.Event()
            jobs.start(
                lambda: (began.set(), function())[1],
                lambda ended: ends.update({ended.tag: ended}),
                tag=tag,
                title=f"job {tag}",
                **options,
            )
            assert began.wait(LONG)
            return jobs, ends

        yield start
        jobs.end(LONG)
        assert not jobs.running

    @pytest.fixture
    def run(self, session, start):
        """A function that runs a job, and returns what it yields."""

        def run(*args, **options):
            jobs, ends = start("alone", lambda: session.run(*args, **options))
            until(lambda: not jobs.running)
            return ends["alone"].answer

        return run

    def test_a_job_of_one_task(self, run):
        """It runs elsewhere than in this process, and what it yields comes back."""

        def task(batches):
            import os

            import pyarrow as pa

            yield pa.RecordBatch.from_pydict({"said": [f"{os.getpid()}"]})

        (pid,) = run(task)
        assert pid != str(os.getpid())

    def test_a_cancelled_job(self, session, start, tmp_path):
        """It ends with an error, and the other job goes on."""
        start("long", lambda: session.run(says("long", tmp_path, LONG)))
        jobs, ends = start("short", lambda: session.run(says("short", tmp_path, 1.0)))
        until(lambda: (tmp_path / "long").exists() and (tmp_path / "short").exists())
        jobs.cancel("long")
        until(lambda: not jobs.running)
        assert ends["short"].answer == ["short"]
        assert ends["long"].error is not None

    def test_a_job_that_is_yet_to_come(self, session, start):
        """A function that is cancelled before it starts a job has that job cancelled."""
        cancelled = threading.Event()
        jobs, ends = start(
            "late", lambda: cancelled.wait(LONG) and session.run(says("", None, LONG))
        )
        jobs.cancel("late")
        time.sleep(0.1)
        cancelled.set()
        until(lambda: not jobs.running)
        assert ends["late"].error is not None


class TestJobsWithoutSpark(JobsContract):
    """The stand-in, whose tasks are processes on this machine."""

    @pytest.fixture
    def spark_of_kind(self, tmp_path):
        """One with two slots."""
        return LocalSpark(tmp_path / "machine", slots=2)


class SessionContract(JobsContract):
    """What executors need of a session, whatever its kind."""

    is_classic = True
    is_local = False

    def test_a_task_for_each_slot(self, run):
        """A job that runs everywhere has as many tasks as Spark means to run at once."""
        said = run(says("here"), everywhere=True)
        assert said == ["here"] * len(said)
        assert len(said) >= 2

    def test_a_marked_thread(self, session, start, tmp_path):
        """Jobs that an objective starts are cancelled by the tag of the thread."""
        jobs, ends = start(
            "marked",
            lambda: session.run(says("marked", tmp_path, LONG)),
            pool="pool",
            inherits=True,
        )
        until((tmp_path / "marked").exists)
        until(lambda: session.tasks() == (1 if self.is_classic else None))
        jobs.cancel("marked")
        until(lambda: not jobs.running)
        assert "cancel" in str(ends["marked"].error).lower()

    def test_slots(self, session):
        """How many tasks run at once is told without a job."""
        until(lambda: session.slots().now == 4)  # executors may have been lost, and come again
        assert session.is_local == self.is_local
        assert session.ended() is None

    def test_a_profile(self, session, run):
        """A task can be given two cores; on local Spark, which has no profiles, it takes two."""
        profile = session.profile(2, 0)
        if self.is_local:
            assert profile is None
            assert session.fitting(2) == 2
            return

        def task(batches):
            import pyarrow as pa
            from pyspark import TaskContext

            yield pa.RecordBatch.from_pydict({"said": [f"{TaskContext.get().cpus()}"]})

        assert run(task, profile=profile) == ["2"]

    def test_a_broadcast(self, session, run):
        """Classic sessions send a value to every executor once."""
        if not self.is_classic:
            assert session.broadcast is None
            return
        value = session.broadcast("sent")

        def task(batches):
            import pyarrow as pa

            yield pa.RecordBatch.from_pydict({"said": [value.value]})

        assert run(task) == ["sent"]
        value.destroy()


class TestLocalSession(SessionContract):
    """A classic session whose executor is its own JVM."""

    is_local = True

    @pytest.fixture
    def spark_of_kind(self, spark):
        """The local one."""
        return spark


class TestStandaloneSession(SessionContract):
    """A classic session on a standalone cluster."""

    @pytest.fixture
    def spark_of_kind(self, standalone_spark):
        """The one on the cluster."""
        return standalone_spark


class TestConnectSession(SessionContract):
    """A session through Spark Connect."""

    is_classic = False

    @pytest.fixture
    def spark_of_kind(self, connect_spark, monkeypatch):
        """The Connect one, in a process that has no other."""
        monkeypatch.setenv("SPARK_CONNECT_MODE_ENABLED", "1")
        return connect_spark


# ── executors ─────────────────────────────────────────────────────────────────────────────────────


class Life(RiggedContract):
    """What a study does with an executor, in one go."""

    def test_trials_of_each_kind_of_end(self, rig):
        """One reports and completes, one is stopped, one is cut off, and one comes after them."""

        def objective(params):
            for step in range(3 if params["x"] < 0.5 else 100_000):
                report(step, loss=params["x"])
                time.sleep(0.001)
            return params["x"]

        run = rig(objective, parallelism=2)
        live = run.executor.capabilities.live_reports

        def react(event):
            if isinstance(event, Reported) and event.step == 2 and event.number in {1, 2}:
                run.executor.stop(event.number, 1, "enough", kill=event.number == 2)

        run.react = react
        run.submit(0, x=0.25)
        run.submit(3, x=0.0)
        assert run.end_of(0).metrics == {"loss": 0.25}
        assert isinstance(run.end_of(3), AttemptFinished)
        assert [event.step for event in run.of(0) if isinstance(event, Reported)] == [0, 1, 2]
        if live:
            run.submit(1, x=1.0)
            run.submit(2, x=1.0)
            assert isinstance(run.end_of(1), AttemptPruned)
            assert isinstance(run.end_of(2), AttemptLost)
        assert isinstance(run.run(4, x=0.0), AttemptFinished)


class OnSpark:
    """What the kinds have in common; their sessions come from fixtures."""

    host = "127.0.0.1"
    channel = None

    def make_executor(self, parallelism):
        """Make it."""
        return SparkExecutor(self.spark, parallelism, host=self.host, channel=self.channel)


class OnLocal(OnSpark):
    """A classic session whose executor is its own JVM."""

    @pytest.fixture
    def prepared(self, spark):
        """Use the local one."""
        self.spark = spark


class OnStandalone(OnSpark):
    """A classic session on a standalone cluster."""

    @pytest.fixture
    def prepared(self, standalone_spark):
        """Use the one on the cluster."""
        self.spark = standalone_spark


class OnConnect(OnSpark):
    """A session through Spark Connect."""

    @pytest.fixture
    def prepared(self, connect_spark):
        """Use the Connect one."""
        self.spark = connect_spark


class JobsWithChannel(OnSpark):
    """No worker can dial in: each trial is a job, and its reports come through a folder."""

    host = NOWHERE

    @pytest.fixture
    def prepared(self, standalone_spark, tmp_path):
        """Use the one on the cluster, and a folder that its workers see."""
        self.spark = standalone_spark
        self.channel = str(tmp_path / "channel")


class OnDriver:
    """Trials in threads of the driver, which is given a session by a fixture."""

    def make_executor(self, parallelism):
        """Make it."""
        return DriverExecutor(self.spark, parallelism)


class DriverOnStandalone(OnDriver):
    """A classic session on a standalone cluster."""

    @pytest.fixture
    def prepared(self, standalone_spark):
        """Use the one on the cluster."""
        self.spark = standalone_spark


class DriverOnConnect(OnDriver):
    """A session through Spark Connect."""

    @pytest.fixture
    def prepared(self, connect_spark, monkeypatch):
        """Use the Connect one, in a process that has no other."""
        monkeypatch.setenv("SPARK_CONNECT_MODE_ENABLED", "1")
        self.spark = connect_spark


class TestLifeOnLocal(OnLocal, Life):
    """Workers of local Spark."""


class TestLifeOnStandalone(OnStandalone, Life):
    """Workers on a cluster."""


class TestLifeOnConnect(OnConnect, Life):
    """Workers behind a Connect server."""


class TestLifeOfJobs(JobsWithChannel, Life):
    """TrialJobs on a cluster."""


class TestLifeOnTheDriver(DriverOnStandalone, Life):
    """Threads beside a cluster."""


class TestLifeOnTheDriverOfConnect(DriverOnConnect, Life):
    """Threads beside a Connect server."""


# ── the whole contract ────────────────────────────────────────────────────────────────────────────


@pytest.mark.soak("contracts")
class TestLocal(OnLocal, StoppingContract):
    """Workers of local Spark: how their trials end, since their processes are the driver's own."""


@pytest.mark.soak("contracts")
class TestStandalone(OnStandalone, ExecutorContract):
    """Workers on a cluster."""


@pytest.mark.soak("contracts")
class TestConnect(OnConnect, ExecutorContract):
    """Workers behind a Connect server."""


@pytest.mark.soak("contracts")
class TestJobsWithChannel(JobsWithChannel, ExecutorContract):
    """TrialJobs on a cluster."""


@pytest.mark.soak("contracts")
class TestDriverOnStandalone(DriverOnStandalone, ExecutorContract):
    """Threads beside a cluster."""


@pytest.mark.soak("contracts")
class TestDriverOnConnect(DriverOnConnect, ExecutorContract):
    """Threads beside a Connect server."""
