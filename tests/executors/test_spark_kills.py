"""Anything may die at any moment: no finished trial is lost, none is run to an end twice.

`MANYFIT_ROUNDS` says how many times each is killed, at random moments; by default, once.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

import manyfit
from manyfit import Float, SparkExecutor, State
from manyfit.trial import Lost

pytestmark = pytest.mark.integration

DEMO = Path(__file__).parents[2] / "demo"
N_TRIALS = 16
CHILD = "manyfit.worker.child"


def objective_into(folder):
    """Return an objective of half a second, which notes where it ran to its end."""

    def objective(params):
        trial = manyfit.current_trial()
        for step in range(5):
            manyfit.report(step, loss=params["x"] + 1 / (1 + step))
            time.sleep(0.1)
        (folder / f"{trial.number}-{trial.attempt}").touch()
        return params["x"]

    return objective


def tune(spark, folder, n_trials=N_TRIALS):
    done = folder / "done"
    done.mkdir(exist_ok=True)
    return manyfit.tune(
        objective_into(done),
        {"x": Float(0.0, 1.0)},
        metric="loss",
        n_trials=n_trials,
        executor=SparkExecutor(spark, 4, host="127.0.0.1"),
        sampler="random",
        pruner=None,
        max_attempts=5,
        max_failures=0,
        name="kills",
        folder=folder,
        tracker=None,
        progress=None,
        seed=0,
    )


def check(result, folder):
    """Every trial came to one end, and what is on record is what happened."""
    assert len(result) == N_TRIALS, result.reason
    assert result.count(State.COMPLETE) == N_TRIALS
    for trial in result:
        lost = [isinstance(attempt.end, Lost) for attempt in trial.attempts]
        assert lost == [True] * (len(lost) - 1) + [False]
        assert trial.value == trial.params["x"]
    ran = Counter(int(path.name.split("-")[0]) for path in (folder / "done").iterdir())
    assert set(ran) == set(range(N_TRIALS))


def processes(word):
    return [
        p for p in psutil.process_iter(["cmdline"]) if word in " ".join(p.info["cmdline"] or [])
    ]


def nothing_is_left(within=10.0):
    """Neither processes of trials nor folders of studies are on this machine."""
    root = Path(tempfile.gettempdir()) / f"manyfit-{os.getuid()}"
    deadline = time.monotonic() + within
    while True:
        left = [str(p) for p in processes(CHILD)]
        left += [path.name for path in root.glob("kills-*")]
        if not left or time.monotonic() > deadline:
            return left == [] or left
        time.sleep(0.1)


def kill_child():
    for process in random.sample(found := processes(CHILD), min(1, len(found))):
        process.kill()


def kill_python_worker():
    for process in random.sample(found := processes(CHILD), min(1, len(found))):
        process.parent().kill()


def kill_executor():
    for process in random.sample(
        found := processes("CoarseGrainedExecutorBackend"), min(1, len(found))
    ):
        process.kill()


def at_a_random_moment(kill):
    """Kill once trials run, up to two seconds later."""

    def wait_and_kill():
        deadline = time.monotonic() + 60
        while not processes(CHILD) and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(random.uniform(0.0, 2.0))
        with contextlib.suppress(psutil.NoSuchProcess):
            kill()

    thread = threading.Thread(target=wait_and_kill)
    thread.start()
    return thread


@pytest.mark.soak("kills", also_in_test=True)
@pytest.mark.parametrize("kill", [kill_child, kill_python_worker, kill_executor])
def test_a_process_of_the_cluster_is_killed(standalone_spark, tmp_path, kill, round_):
    """SIGKILL costs the attempts that it hit, and nothing else."""
    killer = at_a_random_moment(kill)
    result = tune(standalone_spark, tmp_path)
    killer.join()

    check(result, tmp_path)
    assert nothing_is_left()


@pytest.mark.soak("kills", also_in_test=True)
def test_a_machine_is_killed(standalone_spark, cluster, tmp_path, round_):
    """A machine that goes takes its workers with it; the study goes on, and uses a new one."""
    killer = at_a_random_moment(lambda: cluster.kill_worker(random.choice(list(cluster.workers))))
    try:
        result = tune(standalone_spark, tmp_path)
    finally:
        killer.join()
        cluster.add_workers()

    check(result, tmp_path)
    assert nothing_is_left()


DRIVER = """
import sys
from pathlib import Path

sys.path[:0] = [{demo!r}, {here!r}]
from cluster import session
from test_spark_kills import tune

folder = Path({folder!r})
settings = {{"spark.cores.max": "4", "spark.executor.cores": "2"}}
with session({url!r}, folder / "driver.log", settings) as spark:
    tune(spark, folder)
"""


@pytest.mark.soak("kills", also_in_test=True)
def test_the_driver_is_killed(cluster, classic, tmp_path, round_):
    """SIGKILL of the driver ends its trials everywhere within 10 s; run again, it goes on."""
    classic.stop()  # its cores are wanted
    program = textwrap.dedent(DRIVER).format(
        demo=str(DEMO), here=str(Path(__file__).parent), folder=str(tmp_path), url=cluster.url
    )
    command = [sys.executable, "-c", program]
    driver = subprocess.Popen(command)
    killer = at_a_random_moment(lambda: os.kill(driver.pid, signal.SIGKILL))
    driver.wait(120)
    killer.join()
    assert nothing_is_left()

    subprocess.run(command, check=True, timeout=180)

    check(manyfit.load_study("kills", folder=tmp_path), tmp_path)
    assert nothing_is_left()
