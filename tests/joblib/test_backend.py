"""The joblib backend, over processes and over a cluster without Spark.

`make test` has Spark and Dask make a few calls; the whole contract on each kind of Spark is for
`make soak PART=contracts`.
"""

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
from pathlib import Path

import joblib
import numpy as np
import pytest
from joblib import Parallel, delayed

from manyfit.errors import ArgumentError, ExecutorError
from manyfit.executors.dask import DaskExecutor
from manyfit.executors.processes import ProcessExecutor
from manyfit.joblib import ManyfitBackend
from manyfit.spark.executor import SparkExecutor
from manyfit.testing.remote import ProcessCluster, ProcessClusterExecutor

PATIENCE = 60.0


def until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.005)


def waiting(path):
    """A function that waits until a file is there; workers get it by value."""

    def wait(patience=PATIENCE):
        deadline = time.monotonic() + patience
        while not path.exists():
            assert time.monotonic() < deadline
            time.sleep(0.005)

    return wait


def assert_quiet(folder):
    """Nothing is written any more; the workers make other calls."""
    written = set(folder.iterdir())
    assert Parallel(2)(delayed(abs)(i) for i in (-1, -2)) == [1, 2]
    assert set(folder.iterdir()) == written


def served(cls, executor):
    cls.shared = executor
    yield (backend := ManyfitBackend(executor))
    backend.close()


class JoblibContract:
    """What a backend of two workers does, wherever they are; they serve all tests of a class."""

    @pytest.fixture(autouse=True)
    def configured(self, backend):
        """Use it."""
        with joblib.parallel_config(backend):
            yield

    def test_results_are_in_order(self):
        """Results come in the order of the calls, for all slots, for one, and for a number."""
        for n_jobs in (-1, 1, 2, None):
            assert Parallel(n_jobs)(delayed(pow)(i, 2) for i in range(50)) == [
                i * i for i in range(50)
            ]

    def test_workers_are_other_processes_and_serve_several_calls(self):
        """The workers of one call serve the next one, too, and none is this process."""
        first, second = (
            set(Parallel(-1, batch_size=1)(delayed(lambda _: os.getpid())(i) for i in range(8)))
            for _ in range(2)
        )

        assert os.getpid() not in first
        assert 1 <= len(first | second) <= 2

    def test_calls_run_at_once(self, tmp_path):
        """Two slots make two calls at once: each waits for the other here."""
        paths = [tmp_path / "a", tmp_path / "b"]

        def meet(mine, wait):
            mine.touch()
            wait()
            return True

        assert Parallel(-1)(
            delayed(meet)(mine, waiting(other)) for mine, other in (paths, paths[::-1])
        ) == [True, True]

    def test_n_jobs_limits_what_runs_at_once(self, backend):
        """More jobs than slots become the slots; negative numbers count from there."""
        numbers = [joblib.effective_n_jobs(n) for n in (-1, None, 2, 1, 7, -2, -9)]

        assert numbers == [2, 2, 2, 1, 2, 1, 1]
        with pytest.raises(ValueError, match="n_jobs == 0"):
            joblib.effective_n_jobs(0)

    def test_an_exception_reaches_the_caller_with_its_traceback(self):
        """The caller gets the exception itself, whose cause shows where it was raised."""

        def divide(i):
            return 1 / i

        with pytest.raises(ZeroDivisionError, match="division by zero") as raised:
            Parallel(-1)(delayed(divide)(i) for i in range(3))
        assert "return 1 / i" in str(raised.value.__cause__)

    def test_an_exception_whose_init_has_other_arguments_arrives(self):
        """It is of its class, with its message and its attributes."""

        class OddError(Exception):
            def __init__(self, one, two):
                super().__init__(f"{one} and {two}")
                self.two = two

        def fail(_):
            raise OddError("this", "that")

        with pytest.raises(Exception, match=r"^this and that$") as raised:
            Parallel(-1)(delayed(fail)(i) for i in range(2))
        assert type(raised.value).__name__ == "OddError"
        assert raised.value.two == "that"

    def test_exceptions_that_cannot_be_pickled_are_told(self):
        """What can't be sent back becomes an exception that names it."""

        def fail(_):
            raise ValueError(threading.Lock())

        with pytest.raises(RuntimeError, match=r"ValueError: <unlocked _thread\.lock"):
            Parallel(-1)(delayed(fail)(i) for i in range(2))
        with pytest.raises(
            pickle.PicklingError, match=r"returned \(_thread.lock\) can't be pickled"
        ):
            Parallel(-1)(delayed(threading.Lock)() for _ in range(2))

    def test_what_cannot_be_sent_is_named(self):
        """Arguments that can't be pickled are an error that names the function and the part."""
        lock = threading.Lock()

        with pytest.raises(pickle.PicklingError, match=r"a call of repr .*_thread.lock .*item 0"):
            Parallel(-1)(delayed(repr)([lock]) for _ in range(9))

    def test_the_first_exception_ends_the_other_calls(self, tmp_path):
        """Once the exception is here, no other call has any effect; the backend can go on."""
        began = tmp_path / "began"

        def call(i, wait):
            if i == 0:
                wait()
                raise KeyError("the first")
            began.touch()
            while True:
                (tmp_path / f"{i}-{time.monotonic_ns()}").touch()
                time.sleep(0.001)

        with pytest.raises(KeyError, match="the first"):
            Parallel(2, batch_size=1)(delayed(call)(i, waiting(began)) for i in range(6))
        assert_quiet(tmp_path)

    @pytest.mark.usefixtures("ctrl_c")
    def test_interrupting_ends_the_calls(self, tmp_path):
        """Ctrl-C raises KeyboardInterrupt here, and ends the calls."""

        def call(_):
            while True:
                (tmp_path / str(time.monotonic_ns())).touch()
                time.sleep(0.001)

        def interrupt():
            until(lambda: any(tmp_path.iterdir()))
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            Parallel(2)(delayed(call)(i) for i in range(2))
        thread.join()
        assert_quiet(tmp_path)

    def test_timeout(self, tmp_path):
        """A call that takes longer than the timeout is joblib's TimeoutError, and ends."""
        with pytest.raises(multiprocessing.TimeoutError):
            Parallel(2, timeout=0.1)(delayed(waiting(tmp_path / "never"))() for i in range(2))

    @pytest.mark.parametrize("return_as", ["generator", "generator_unordered"])
    def test_results_stream(self, return_as, tmp_path):
        """A result is there when its call has ended, while others still run."""
        wait = waiting(tmp_path / "go")

        def call(i):
            if i == 1:
                wait()
            return i

        results = Parallel(2, return_as=return_as, batch_size=1)(delayed(call)(i) for i in range(4))
        assert next(results) == 0
        (tmp_path / "go").touch()
        assert sorted(results) == [1, 2, 3]

    def test_a_worker_that_dies_costs_one_retry(self, tmp_path, caplog):
        """Calls of a worker that dies are made again, and the user is told."""
        died = tmp_path / "died"

        def call(i):
            if i == 1 and not died.exists():
                died.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return i

        assert Parallel(2)(delayed(call)(i) for i in range(4)) == [0, 1, 2, 3]
        assert "SIGKILL" in caplog.text
        assert "Its calls are made again" in caplog.text

    def test_calls_that_kill_two_workers_are_an_error(self):
        """The error names the machine, how the worker ended, and its log."""

        def call():
            print("the last words")
            sys.stdout.flush()
            os.kill(os.getpid(), signal.SIGSEGV)

        with pytest.raises(ExecutorError, match="SIGSEGV") as raised:
            Parallel(2)(delayed(call)() for _ in range(2))
        said = str(raised.value)
        assert os.uname().nodename in said
        log = Path(said.partition("Its log is ")[2])
        assert "the last words" in log.read_text()
        for left in log.parent.glob("manyfit-joblib-*.log"):
            left.unlink()

    def test_what_calls_print_is_printed(self, capsys):
        """Output of a call is printed here."""
        Parallel(2)(delayed(print)("hello", i) for i in range(2))

        assert sorted(capsys.readouterr().out.splitlines()) == ["hello 0", "hello 1"]

    def test_large_arrays_are_moved_once_a_machine(self):
        """All workers of a machine map the same file; it can't be written to."""
        table = np.arange(200_000.0).reshape(-1, 2)

        def look(part):
            array = part["table"]
            return float(array[3, 1]), array.flags.writeable, str(array.filename), array[:2]

        seen = Parallel(2, batch_size=1)(delayed(look)({"i": i, "table": table}) for i in range(6))
        ((value, writeable, _),) = {each[:3] for each in seen}
        assert (value, writeable) == (7.0, False)
        assert all(
            type(part) is np.ndarray and part.tolist() == [[0, 1], [2, 3]] for *_, part in seen
        )

    def test_a_changed_array_is_seen_anew(self):
        """What is changed between two calls of Parallel is what workers see; equal data, too."""
        array = np.zeros(200_000)
        seen = []
        for _ in range(3):
            seen.append(Parallel(2)(delayed(lambda a: float(a[0]))(array) for _ in range(2)))
            array[0] += 1

        assert seen == [[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]

    def test_arrays_can_be_copied_on_write(self):
        """With mmap_mode='c', a call may write; no other call sees it."""
        array = np.zeros(200_000)

        def add(a):
            a += 1
            return float(a[0])

        assert Parallel(2, mmap_mode="c")(delayed(add)(array) for _ in range(4)) == [1.0] * 4
        assert array[0] == 0

    def test_calls_inside_calls_are_sequential(self):
        """Inside a call, joblib has one job, and BLAS one thread unless the executor has more."""

        def inner():
            from threadpoolctl import threadpool_info

            np.ones((2, 2)) @ np.ones((2, 2))
            pids = Parallel(n_jobs=4)(delayed(os.getpid)() for _ in range(4))
            return set(pids) == {os.getpid()}, max(
                (pool["num_threads"] for pool in threadpool_info()), default=1
            )

        assert set(Parallel(2)(delayed(inner)() for _ in range(2))) == {(True, self.cpus())}

    def test_optuna_runs_trials_at_once_on_the_same_workers(self, tmp_path):
        """Objectives in Optuna's threads run at the same time, and share the executor's workers."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        paths = [tmp_path / "0", tmp_path / "1"]

        def meet(mine, wait):
            mine.touch()
            wait()
            return os.getpid()

        def objective(trial):
            mine, other = paths[:: 1 if trial.number else -1]
            with joblib.parallel_config("manyfit", executor=self.shared):
                first, *rest = Parallel(2, batch_size=2)(
                    delayed(call)(*args)
                    for call, args in ((meet, (mine, waiting(other))), (os.getpid, ()))
                )
            trial.set_user_attr("pids", [first, *rest])
            return 0.0

        study = optuna.create_study()
        study.optimize(objective, n_trials=2, n_jobs=2)
        pids = {pid for trial in study.trials for pid in trial.user_attrs["pids"]}
        assert len(pids) == 2
        assert os.getpid() not in pids

    def test_generators_at_once(self):
        """Two calls of Parallel whose results are read in turns don't disturb each other."""
        first, second = (
            Parallel(2, return_as="generator")(delayed(pow)(i, n) for i in range(20))
            for n in (1, 2)
        )
        assert next(first) == 0
        assert next(second) == 0
        with pytest.warns(UserWarning, match="successfully executed  but not used|cancelled"):
            first.close()
        assert list(second) == [i * i for i in range(1, 20)]


class TestProcesses(JoblibContract):
    """In processes on this machine."""

    @pytest.fixture(scope="class")
    @classmethod
    def backend(cls):
        """Two processes."""
        yield from served(cls, ProcessExecutor(2))

    def cpus(self):
        """The number of threads of a pool."""
        return ProcessExecutor(2).cpus


@pytest.mark.integration
@pytest.mark.soak("contracts")
class TestCluster(JoblibContract):
    """In workers that connect to this process."""

    @pytest.fixture(scope="class")
    @classmethod
    def backend(cls, tmp_path_factory):
        """Two workers of a cluster."""
        cluster = ProcessCluster(tmp_path_factory.mktemp("machine"))
        yield from served(cls, ProcessClusterExecutor(cluster))

    def cpus(self):
        """The number of threads of a pool."""
        return 1


@pytest.mark.integration
def test_cluster(tmp_path):
    """Calls run in workers that connect to this process."""
    check(ProcessClusterExecutor(ProcessCluster(tmp_path / "machine")))


def is_there(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def test_workers_end_with_the_configuration():
    """Workers end with the `with` block, though an exception and all that it refers to is kept."""
    with joblib.parallel_config("manyfit", executor="processes", parallelism=2):
        pids = Parallel(-1)(delayed(os.getpid)() for _ in range(4))
        assert all(map(is_there, pids))
        with pytest.raises(ZeroDivisionError) as kept:
            Parallel(-1)(delayed(divmod)(1, i) for i in (1, 0))

    assert not any(map(is_there, pids))
    assert kept.value.__traceback__ is not None


def test_options_that_make_no_sense_are_refused():
    """Executors of this process, options of other backends and shared writing are refused."""
    for executor in ("threads", "inline"):
        with pytest.raises(ArgumentError, match="must run trials in other processes"):
            joblib.parallel_config("manyfit", executor=executor)
    with joblib.parallel_config("manyfit", parallelism=2):
        with pytest.raises(ArgumentError, match="no option idle_worker_timeout"):
            Parallel(2, idle_worker_timeout=3)(delayed(abs)(i) for i in range(2))
        with pytest.raises(ArgumentError, match="mmap_mode must be 'r', 'c' or None"):
            Parallel(2, mmap_mode="w+")(delayed(abs)(i) for i in range(2))


def test_scores_equal_those_without_it():
    """scikit-learn's results are those of one process."""
    from sklearn.datasets import make_classification
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import GridSearchCV

    x, y = make_classification(200, random_state=0)
    forest = RandomForestClassifier(4, random_state=0)
    search = GridSearchCV(forest, {"max_depth": [1, 2]}, cv=3)
    found = []
    for n in (1, -1):
        with joblib.parallel_config("manyfit", parallelism=2, n_jobs=n):
            scores = search.fit(x, y).cv_results_["mean_test_score"].tolist()
            found.append((scores, forest.fit(x, y).predict_proba(x).tolist()))

    assert found[0] == found[1]


# ── on Spark and Dask ─────────────────────────────────────────────────────────────────────────────


def check(executor):
    """Calls run on two workers, which share the array that this process has."""
    array = np.arange(200_000.0)

    def call(i, a):
        return os.getpid(), a[i]

    with joblib.parallel_config("manyfit", executor=executor):
        found = Parallel(-1, batch_size=1)(delayed(call)(i, array) for i in range(6))
        with pytest.raises(ZeroDivisionError):
            Parallel(-1)(delayed(divmod)(1, i) for i in (1, 0))

    assert os.getpid() not in {pid for pid, _ in found}
    assert [value for _, value in found] == [float(i) for i in range(6)]


@pytest.mark.integration
def test_classic(standalone_spark):
    """Calls run on a standalone cluster, by a classic session."""
    check(SparkExecutor(standalone_spark, 2))


@pytest.mark.integration
def test_connect(connect_spark):
    """Calls run on a cluster behind Spark Connect."""
    check(SparkExecutor(connect_spark, 2))


@pytest.mark.integration
def test_dask(dask_cluster):
    """Calls run on a Dask cluster."""
    from distributed import Client

    with Client(dask_cluster) as client:
        check(DaskExecutor(client, 2))


class OnSpark(JoblibContract):
    """The whole contract, on a kind of Spark."""

    def cpus(self):
        """The number of threads of a pool."""
        return 1


@pytest.mark.integration
@pytest.mark.soak("contracts")
class TestClassic(OnSpark):
    """A classic session on a standalone cluster."""

    @pytest.fixture
    def backend(self, standalone_spark):
        """Two workers."""
        yield from served(type(self), SparkExecutor(standalone_spark, 2))


@pytest.mark.integration
@pytest.mark.soak("contracts")
class TestConnect(OnSpark):
    """Spark Connect."""

    @pytest.fixture
    def backend(self, connect_spark):
        """Two workers."""
        yield from served(type(self), SparkExecutor(connect_spark, 2))
