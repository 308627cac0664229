"""What the executor on Spark does beyond the contract, on a real cluster."""

import contextlib
import itertools
import logging
import os
import threading
import time
import urllib.request
from pathlib import Path
from secrets import token_hex
from unittest.mock import patch

import numpy as np
import psutil
import pytest

import manyfit
from manyfit import ArgumentError, ExecutorError, Float, ObjectiveError, SparkExecutor, State
from manyfit.demo import cluster as clusters
from manyfit.trial import Lost
from manyfit.worker.timings import Timings

SPACE = {"x": Float(0.0, 1.0)}
QUICK = Timings(pause=0.1, log=0.1)

pytestmark = pytest.mark.integration


@pytest.fixture
def tune(tmp_path):
    """Tune with what these tests have in common."""

    def run(objective, executor, n_trials=8, **options):
        return manyfit.tune(
            objective,
            SPACE,
            metric="loss",
            n_trials=n_trials,
            executor=executor,
            folder=tmp_path / "studies",
            **{"sampler": "random", "pruner": None, "tracker": None, "progress": None, **options},
        )

    return run


@pytest.fixture
def own_session(cluster, classic, tmp_path):
    """A function that gives a session on the cluster with settings of its own, for a block."""

    @contextlib.contextmanager
    def start(**settings):
        classic.on(cluster.url)  # the first session's settings are the JVM's, for good
        classic.stop()
        settings = {name.replace("_", "."): value for name, value in settings.items()}
        with clusters.session(cluster.url, tmp_path / "driver.log", settings) as spark:
            yield spark

    return start


@contextlib.contextmanager
def one_more_worker(cluster):
    """Add a worker with two GPUs to a cluster, for a block.

    Spark learns of GPUs from a script that lists them.
    """
    script = cluster.folder / "gpus"
    script.write_text('#!/bin/sh\necho \'{"name": "gpu", "addresses": ["4", "7"]}\'\n')
    script.chmod(0o755)
    gpu = "-Dspark.worker.resource.gpu"
    options = {"SPARK_WORKER_OPTS": f"{gpu}.amount=2 {gpu}.discoveryScript={script}"}
    plain = clusters.environment
    with patch.object(clusters, "environment", lambda folder: plain(folder) | options):
        (port,) = cluster.add_workers()
    try:
        yield
    finally:
        cluster.kill_worker(port)


def within(seconds, condition):
    """Wait until something holds; says whether it did in time."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def of_two(folder):
    """Note a trial of this process; returns whether two processes have had three trials each."""
    folder.mkdir(exist_ok=True)
    (folder / f"{os.getpid()}-{manyfit.current_trial().number}").touch()
    pids = [path.name.partition("-")[0] for path in folder.iterdir()]
    return len({pid for pid in pids if pids.count(pid) >= 3}) >= 2


def executors_of(result):
    return {trial.attempts[-1].worker.rpartition(":")[0] for trial in result}


# ── data ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "size", [pytest.param(100_000, marks=pytest.mark.soak("contracts")), 4_000_000]
)
def test_shared_data_are_one_file_on_a_machine(standalone_spark, tune, size):
    """However they travel, and in whichever executor, trials map the same file, and can't write."""
    data = manyfit.share(x=np.arange(size, dtype=float), offset=7)

    def objective(params):
        x = data["x"]
        mapped = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
        (inode,) = {part[4] for part in mapped if "/shared/" in part[-1]}
        return {
            "loss": params["x"],
            "sum": float(x[:4].sum()) + data["offset"],
            "file": float(inode),
            "writable": float(x.flags.writeable),
        }

    result = tune(objective, SparkExecutor(standalone_spark, 4), n_trials=8)

    assert result.failures() == ()
    metrics = [trial.metrics for trial in result]
    assert {m["sum"] for m in metrics} == {13.0}
    assert len({m["file"] for m in metrics}) == 1
    assert {m["writable"] for m in metrics} == {0.0}


def test_large_data_go_through_storage_on_connect(connect_spark, tune, tmp_path):
    """Without a broadcast, a folder that both sides see is used, and emptied again."""
    data = manyfit.share(x=np.arange(2_000_000.0))
    storage = tmp_path / "storage"
    executor = SparkExecutor(connect_spark, 2, storage=str(storage))
    result = tune(lambda _: float(data["x"][-1]), executor, n_trials=2)

    assert result.best.value == 1_999_999.0
    assert list(storage.iterdir()) == []


def test_large_data_without_a_way_are_refused(connect_spark, tune):
    """Data too large for the work and no storage: nothing runs, and it says what to give."""
    data = manyfit.share(x=np.arange(2_000_000.0))

    with pytest.raises(ArgumentError, match="storage="):
        tune(lambda _: float(data["x"][-1]), SparkExecutor(connect_spark, 2))


# ── code and settings ─────────────────────────────────────────────────────────────────────────────


def test_a_module_beside_the_script_travels(standalone_spark, tune, tmp_path, monkeypatch):
    """What the objective imports from the project is there, also what is imported inside of it."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "mf_outer.py").write_text("from mf_inner import SCALE\n")
    (project / "mf_inner.py").write_text("SCALE = 3.0\n")
    monkeypatch.syspath_prepend(project)

    def objective(params):
        from mf_outer import SCALE

        return SCALE

    result = tune(objective, SparkExecutor(standalone_spark, 2), n_trials=2)

    assert result.best.value == 3.0
    assert {"mf_outer", "mf_inner"} <= set(manyfit.shipping_list(objective).modules)


def test_a_package_that_workers_lack_is_named_before_any_trial(
    standalone_spark, tune, tmp_path, monkeypatch
):
    """A worker without a package that the objective needs ends the study, with advice."""
    site = tmp_path / "site-packages"
    info = site / "mf_absent-2.1.dist-info"
    info.mkdir(parents=True)
    (site / "mf_absent.py").write_text("VALUE = 1.0\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mf-absent\nVersion: 2.1\n")
    (info / "RECORD").write_text("mf_absent.py,,\nmf_absent-2.1.dist-info/METADATA,,\n")
    monkeypatch.syspath_prepend(site)

    def objective(params):
        import mf_absent

        return mf_absent.VALUE

    with pytest.raises(ExecutorError, match=r"lacks mf-absent 2\.1.*install it on the workers"):
        tune(objective, SparkExecutor(standalone_spark, 2), name="lacks")
    assert len(manyfit.load_study("lacks", folder=tmp_path / "studies")) == 0


def test_a_session_in_the_objective_is_named(standalone_spark, tune):
    """A captured SparkSession can't travel: nothing runs, and the message says what to do."""
    spark = standalone_spark

    with pytest.raises(ObjectiveError, match=r"variable 'spark'.*SparkSession.*driver"):
        tune(lambda _: spark.range(3).count(), SparkExecutor(standalone_spark, 2))


def test_a_large_closure_is_told(standalone_spark, tune, caplog):
    """An objective that carries its data is run, with a warning that names them."""
    x_train = np.zeros(2_000_000)

    with caplog.at_level(logging.WARNING, "manyfit"):
        tune(lambda _: float(x_train[0]), SparkExecutor(standalone_spark, 1), n_trials=1)
    assert "manyfit.share(x_train=...)" in caplog.text


@pytest.mark.filterwarnings("ignore")  # those of what MLflow imports
def test_secrets_reach_the_objective_and_nothing_else(
    own_session, cluster, tune, tmp_path, tmp_path_factory, monkeypatch, capfd
):
    """A named secret is in no file of study, MLflow or cluster, no command, no page of the UI."""
    canary = token_hex(12)
    monkeypatch.setenv("MF_PLAIN_NAME", canary)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.chdir(tmp_path)  # where MLflow's artifacts go
    looked = tmp_path / "looked"

    def train(params):
        print("the secret is", os.environ["MF_PLAIN_NAME"], flush=True)
        os.write(1, os.environ["MF_PLAIN_NAME"].encode() + b" by C")
        (tmp_path / f"begun-{params['x']}").touch()
        within(60, looked.exists)
        known = float(len(os.environ["MF_PLAIN_NAME"]))
        return {"loss": params["x"], "known": known, "mode": float(os.environ["MODE"])}

    shown = []

    def look(spark):
        if not within(60, lambda: [*tmp_path.glob("begun-*")]):
            return
        for page in ("environment", "jobs", "stages", "SQL", "executors"):
            url = f"{spark.sparkContext.uiWebUrl}/{page}/"
            with urllib.request.urlopen(url, timeout=20) as answer:
                shown.append(answer.read().decode())
        for process in psutil.process_iter(["cmdline"]):
            shown.append(" ".join(process.info["cmdline"] or []))
        looked.touch()

    (tmp_path / "events").mkdir()
    settings = {"spark_ui_enabled": "true", "spark_ui_port": "0", "spark_cores_max": "2"}
    settings |= {"spark_eventLog_enabled": "true", "spark_eventLog_dir": f"{tmp_path}/events"}
    with own_session(**settings) as spark:
        looking = threading.Thread(target=look, args=(spark,))
        looking.start()
        executor = SparkExecutor(spark, 2, env={"MODE": "3"}, secrets=["MF_PLAIN_NAME"])
        result = tune(
            train, executor, n_trials=4, progress="plain", tracker=manyfit.MlflowTracker(uri)
        )
        looking.join()

    assert {trial.metrics["known"] for trial in result} == {float(len(canary))}
    assert {trial.metrics["mode"] for trial in result} == {3.0}
    assert "[redacted]" in result.log_of(result[0]).read_text()
    assert len(shown) > 5
    printed = capfd.readouterr()
    assert "4 complete" in printed.err
    assert canary not in "".join(shown) + printed.out + printed.err
    assert (tmp_path / "mlflow.db").stat().st_size > 0
    assert [path for path in (tmp_path / "events").rglob("*") if path.is_file()]
    logs = tmp_path_factory.getbasetemp().glob("spark*")
    for folder in (tmp_path, cluster.folder, *logs):
        for path in folder.rglob("*"):
            assert not path.is_file() or canary.encode() not in path.read_bytes(), path


# ── the network ───────────────────────────────────────────────────────────────────────────────────


def test_a_client_that_workers_cannot_dial(connect_spark, tune, caplog):
    """Trials run as jobs then; people are told once, and so is who asks for capabilities."""

    def objective(params):
        for step in range(3):
            manyfit.report(step, loss=params["x"])
        return params["x"]

    executor = SparkExecutor(connect_spark, 2, host="127.0.0.99")
    live = []
    submit = executor.submit
    executor.submit = lambda task: (live.append(executor.capabilities.live_reports), submit(task))
    with caplog.at_level(logging.WARNING, "manyfit"):
        result = tune(objective, executor, n_trials=3, pruner="median")

    assert [trial.state for trial in result] == [State.COMPLETE] * 3
    assert [len(trial.measurements) for trial in result] == [3] * 3
    assert not any(live)
    assert len([r for r in caplog.records if "can't be reached at 127.0.0.99" in r.message]) == 1


# ── the cluster ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.soak("contracts")
def test_workers_spread_over_executors(standalone_spark, tune, tmp_path):
    """Two workers on two executors with two slots each end up on one each."""
    seen = tmp_path / "seen"
    seen.mkdir()

    def objective(params):
        time.sleep(0.1)
        (seen / Path.cwd().name).touch()  # each executor has a folder of its own
        return -1.0 if len(list(seen.iterdir())) == 2 else params["x"]

    executor = SparkExecutor(standalone_spark, 2, timings=QUICK)
    result = tune(objective, executor, n_trials=300, stop=manyfit.Target(-0.5))

    assert len(executors_of(result)) == 2


@pytest.mark.soak("contracts")
def test_a_worker_that_joins_later_is_used(own_session, cluster, tune, tmp_path):
    """A study that wants more slots than there are begins, and grows when the cluster does."""
    seen, begun = tmp_path / "seen", tmp_path / "begun"
    seen.mkdir()

    def objective(params):
        time.sleep(0.2)
        (seen / str(os.getpid())).touch()
        n_slots = int(begun.read_text()) if begun.exists() else 99
        return -1.0 if len(list(seen.iterdir())) > n_slots else params["x"]

    with contextlib.ExitStack() as stack:

        def grow(slots):
            within(60, lambda: len(list(seen.iterdir())) == slots)
            begun.write_text(f"{slots}")
            stack.enter_context(one_more_worker(cluster))

        spark = stack.enter_context(own_session(spark_task_cpus="2", spark_cores_max="100"))
        cores = spark.sparkContext
        assert within(60, lambda: cores.defaultParallelism > 2)
        slots = cores.defaultParallelism // 2
        growing = threading.Thread(target=grow, args=(slots,))
        growing.start()
        result = tune(
            objective,
            SparkExecutor(spark, slots + 2, timings=QUICK),
            n_trials=500,
            timeout=90.0,
            stop=manyfit.Target(-0.5),
        )
        growing.join()

    workers = [trial.attempts[-1].worker for trial in result if trial.attempts]
    assert len(set(workers[:slots])) <= slots < len(set(workers))


@pytest.mark.soak("contracts")
def test_more_cores_for_each_trial(standalone_spark, tune, tmp_path):
    """With a profile of two cores, an executor of two runs one trial, with two threads."""

    def objective(params):
        time.sleep(0.1)
        loss = -1.0 if of_two(tmp_path / "seen") else params["x"]
        return {"loss": loss, "threads": float(os.environ["OMP_NUM_THREADS"])}

    executor = SparkExecutor(standalone_spark, 4)
    sizes = set()
    submit = executor.submit
    executor.submit = lambda task: (sizes.add(executor.parallelism), submit(task))
    target = manyfit.Target(-0.5)
    result = tune(objective, executor, n_trials=500, cpus_per_trial=2, stop=target)

    assert {trial.metrics["threads"] for trial in result if trial.state is State.COMPLETE} == {2.0}
    assert max(sizes) == 2


def test_more_cores_on_local_spark_take_more_slots(spark, tune):
    """Local Spark has no profiles: of its four slots, trials of two cores leave room for two."""

    def objective(params):
        time.sleep(0.2)
        return {"loss": params["x"], "threads": float(os.environ["OMP_NUM_THREADS"])}

    executor = SparkExecutor(spark)
    assert executor.parallelism == 4
    result = tune(objective, executor, cpus_per_trial=2)

    assert {trial.metrics["threads"] for trial in result} == {2.0}
    assert len({trial.attempts[-1].worker for trial in result}) == 2


def test_nothing_looks_failed(spark, tune):
    """A study leaves no failed job in Spark's UI: its workers end by themselves."""
    context = spark.sparkContext
    tracker = context.statusTracker()
    context.setLocalProperty("spark.jobGroup.id", "before the study")
    context.parallelize([0], 1).count()
    context.setLocalProperty("spark.jobGroup.id", None)
    before = max(tracker.getJobIdsForGroup("before the study"))
    patient = Timings(home=30.0, cancel=60.0)  # a busy machine takes seconds to end them
    tune(lambda params: params["x"], SparkExecutor(spark, 2, timings=patient))
    jobs = itertools.takewhile(bool, map(tracker.getJobInfo, itertools.count(before + 1)))

    assert [job.status for job in jobs] == ["SUCCEEDED"] * 2


def test_gpus_on_local_spark_are_refused(spark, tune):
    """Where Spark hands out no GPUs, asking for them is an error before anything runs."""
    with pytest.raises(ArgumentError, match="gpus_per_trial=1 needs a cluster"):
        tune(lambda _: 0.0, SparkExecutor(spark, 2, gpus_per_trial=1))


@pytest.mark.soak("contracts")
def test_gpus_are_handed_out_one_each(own_session, cluster, tune, tmp_path):
    """A worker with two GPUs runs two trials at once, each of which sees its own."""
    gpu = {"spark_executor_resource_gpu_amount": "2", "spark_task_resource_gpu_amount": "1"}

    def objective(params):
        time.sleep(0.1)
        print(os.environ["CUDA_VISIBLE_DEVICES"])
        return -1.0 if of_two(tmp_path / "seen") else params["x"]

    with one_more_worker(cluster), own_session(spark_cores_max="4", **gpu) as spark:
        executor = SparkExecutor(spark, 4, gpus_per_trial=1)
        sizes = set()
        submit = executor.submit
        executor.submit = lambda task: (sizes.add(executor.parallelism), submit(task))
        result = tune(objective, executor, n_trials=500, stop=manyfit.Target(-0.5))

    done = [trial for trial in result if trial.state is State.COMPLETE]
    gpus = {}
    for trial in done:
        seen = gpus.setdefault(trial.attempts[-1].worker, set())
        seen.add(result.log_of(trial).read_text().strip())
    assert sorted(gpus.values(), key=str) == [{"4"}, {"7"}]
    assert max(sizes) == 2


def test_a_session_that_is_stopped_ends_the_study(spark, classic, tune, tmp_path):
    """Without its session a study can't go on; what had finished is on record, and it resumes."""

    def objective(params):
        time.sleep(0.3)
        (tmp_path / f"begun-{manyfit.current_trial().number}").touch()
        return params["x"]

    def stop():
        while len(list(tmp_path.glob("begun-*"))) < 4:
            time.sleep(0.05)
        classic.stop()

    stopper = threading.Thread(target=stop)
    stopper.start()
    timings = Timings(pause=0.1, home=0.5, outage=2.0)
    with pytest.raises(ExecutorError, match=r"session has ended: it was stopped.*name='stopped'"):
        tune(objective, SparkExecutor(spark, 2, timings=timings), 500, name="stopped")
    stopper.join()  # the study may have noticed before Spark was done with it
    found = manyfit.load_study("stopped", folder=tmp_path / "studies")
    ends = [attempt.end for trial in found for attempt in trial.attempts]

    assert 0 < found.count(State.COMPLETE) < 500
    assert not any(isinstance(end, Lost) and end.counts for end in ends)
