"""A session that ends, or no longer answers, under a study or before it."""

import threading
import time
from dataclasses import replace

import pytest

import manyfit
from manyfit.errors import ExecutorError
from manyfit.spark.driver.executor import DriverExecutor
from manyfit.spark.executor import SparkExecutor
from manyfit.spark.session import Session
from manyfit.testing.remote import LocalSpark
from manyfit.trial import Lost, State
from manyfit.worker.timings import Timings

pytestmark = pytest.mark.integration
SOAK = pytest.mark.soak("contracts")

NOWHERE = "127.0.0.99"  # nobody listens there, so each trial is a job
QUICK = Timings(pause=0.1, cancel=1.0, home=0.2, probe=0.1, answer=1.5, aftermath=0.05)
STOPPED = r"session has ended: it was stopped\. Start one, .* again with name='it' to resume"
SILENT = r"session has ended: it gave no answer for 1\.5 s\. .*"


class SilentSpark(LocalSpark):
    """A Connect session, as far as `Session` can tell, of whose server nothing is heard any more.

    What is asked of it waits for ever, as with a server that is stopped, or behind a network that
    drops all.
    """

    __module__ = "pyspark.sql.connect.session"  # by which Connect is told from classic

    def __init__(self, folder):
        self.silent = threading.Event()
        self.asked = threading.Event()
        super().__init__(folder)
        self.client = self
        self._settings = self.conf
        self.conf = self
        self.host = "127.0.0.1"

    def _answer(self):
        if self.silent.is_set():
            self.asked.set()
            threading.Event().wait()

    def get(self, name, default=None):
        """Answer for a setting."""
        self._answer()
        return self._settings.get(name, default)

    @property
    def version(self):
        """Ask for the version."""
        self._answer()
        return "4.0.0"

    def addTag(self, tag):  # noqa: N802 - Spark's names
        """Tag the jobs of this thread."""
        self.addJobTag(tag)

    def interruptTag(self, tag):  # noqa: N802
        """Ask for jobs to be cancelled."""
        self._answer()
        self.cancelJobsWithTag(tag)

    def run(self, function):
        """Run a task; it is the server that would tell of its end."""
        self._answer()
        try:
            return super().run(function)
        finally:
            self._answer()

    def close(self):
        """Close the client."""


@pytest.fixture
def tune(tmp_path):
    """Tune with what these tests have in common."""

    def run(objective, executor, n_trials=40):
        return manyfit.tune(
            objective,
            {"x": manyfit.Float(0.0, 1.0)},
            metric="loss",
            n_trials=n_trials,
            executor=executor,
            name="it",
            folder=tmp_path / "studies",
            max_attempts=1,
            sampler="random",
            pruner=None,
            tracker=None,
            progress=None,
        )

    return run


def after(trials, folder, action):
    """Do something once `trials` trials have begun; returns the objective that marks each one."""

    def objective(params):
        (folder / f"begun-{manyfit.current_trial().number}").touch()
        time.sleep(0.1)
        return params["x"]

    def wait():
        while len(list(folder.glob("begun-*"))) < trials:
            time.sleep(0.01)
        action()

    threading.Thread(target=wait, daemon=True).start()
    return objective


@pytest.mark.parametrize("host", [pytest.param(None, marks=SOAK), NOWHERE])
def test_it_is_stopped_under_workers(tune, tmp_path, host):
    """The study ends and says how to go on; what ran doesn't count, and nothing has failed."""
    spark = LocalSpark(tmp_path / "machine")
    objective = after(3, tmp_path, spark.stop)
    with pytest.raises(ExecutorError, match=STOPPED):
        tune(objective, SparkExecutor(spark, 2, host=host, timings=QUICK))
    found = manyfit.load_study("it", folder=tmp_path / "studies")
    ends = [attempt.end for trial in found for attempt in trial.attempts]
    assert found.count(State.COMPLETE) > 0
    assert found.count(State.FAIL) == 0
    assert not any(isinstance(end, Lost) and end.counts for end in ends)

    if host is not None:
        return
    again = tune(
        lambda params: params["x"],
        SparkExecutor(LocalSpark(tmp_path / "machine"), 2, timings=QUICK),
        n_trials=6,
    )
    assert again.count(State.COMPLETE) == 6


@pytest.mark.parametrize("kind", [SparkExecutor, DriverExecutor])
@pytest.mark.parametrize("parallelism", [{}, {"parallelism": 2}])
def test_it_was_stopped_before(tune, tmp_path, kind, parallelism):
    """A study isn't begun on it, whichever executor is to run it."""
    spark = LocalSpark(tmp_path / "machine")
    spark.stop()
    with pytest.raises(ExecutorError, match="session has ended: it was stopped"):
        tune(lambda params: params["x"], kind(spark, timings=QUICK, **parallelism))


@pytest.mark.parametrize("host", [None, pytest.param(NOWHERE, marks=SOAK)])
def test_it_falls_silent_under_workers(tune, tmp_path, host):
    """A Connect server that is gone, and its workers with it, ends the study in bounded time."""
    spark = SilentSpark(tmp_path / "machine")

    def vanish():
        spark.silent.set()
        spark.stop()

    objective = after(3, tmp_path, vanish)
    began = time.monotonic()
    with pytest.raises(ExecutorError, match=SILENT):
        tune(objective, SparkExecutor(spark, 2, host=host, timings=QUICK))
    assert time.monotonic() - began < 30
    found = manyfit.load_study("it", folder=tmp_path / "studies")
    assert found.count(State.FAIL) == 0


def test_it_is_silent_before_the_first_worker(tune, tmp_path):
    """A server that takes the jobs and says nothing more is not waited for without end."""
    spark = SilentSpark(tmp_path / "machine")
    ran = spark.run
    spark.run = lambda function: (spark.silent.set(), ran(function))[1]
    with pytest.raises(ExecutorError, match=SILENT):
        tune(lambda params: params["x"], SparkExecutor(spark, 1, timings=QUICK))


def test_slow_is_not_gone(tune, tmp_path):
    """While workers work, nobody asks whether the server is there: the study comes to its end."""
    spark = SilentSpark(tmp_path / "machine")
    objective = after(3, tmp_path, spark.silent.set)
    result = tune(objective, SparkExecutor(spark, 2, timings=QUICK), n_trials=8)
    assert result.count(State.COMPLETE) == 8


@pytest.mark.parametrize("kind", [SparkExecutor, DriverExecutor])
def test_it_never_answers(tune, tmp_path, kind):
    """A session whose server is gone already is refused, where it is given or where it is used."""
    spark = SilentSpark(tmp_path / "machine")
    spark.silent.set()
    began = time.monotonic()
    with pytest.raises(ExecutorError, match=SILENT):
        tune(lambda params: params["x"], kind(spark, timings=QUICK))
    assert time.monotonic() - began < 10
    assert spark.asked.is_set()


def test_each_question_has_an_end(tmp_path):
    """Whatever a server is asked, it is given so long and no longer."""
    spark = SilentSpark(tmp_path / "machine")
    assert Session(spark, QUICK).ended() is None
    spark.silent.set()
    session = Session(spark, replace(QUICK, answer=0.05))
    questions = (
        lambda: session.setting("spark.master"),
        lambda: session.version,
        lambda: session.cancel("tag"),
        session.slots,
    )
    for question in questions:
        with pytest.raises(TimeoutError, match=r"no answer for 0\.05 s"):
            question()
    assert session.ended() == "it gave no answer for 0.05 s"
