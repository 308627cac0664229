"""Anything may die at any moment: no finished trial is lost, none is run to an end twice.

`MANYFIT_ROUNDS` says how many times each is killed, at random moments; by default, once. Each study
has a name of its own, by which its processes are known: others may run on this machine.
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
from secrets import token_hex

import psutil
import pytest

import manyfit
from manyfit import Float, SparkExecutor, State
from manyfit.trial import Lost
from manyfit.worker.timings import Timings

pytestmark = pytest.mark.integration

N_TRIALS = 12
CHILD = "manyfit.worker.child"
LONGEST = 1.5  # seconds after a study's first process that something is killed


def objective_into(folder):
    """Return an objective of 0.3 seconds, which notes where it ran to its end."""

    def objective(params):
        trial = manyfit.current_trial()
        for step in range(3):
            manyfit.report(step, loss=params["x"] + 1 / (1 + step))
            time.sleep(0.1)
        (folder / f"{trial.number}-{trial.attempt}").touch()
        return params["x"]

    return objective


@pytest.fixture
def name():
    """A name that no other study has."""
    return f"kills_{token_hex(4)}"


def tune(spark, folder, name):
    done = folder / "done"
    done.mkdir(exist_ok=True)
    return manyfit.tune(
        objective_into(done),
        {"x": Float(0.0, 1.0)},
        metric="loss",
        n_trials=N_TRIALS,
        executor=SparkExecutor(spark, 4, timings=Timings(pause=0.1)),
        sampler="random",
        pruner=None,
        max_attempts=5,
        max_failures=0,
        name=name,
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


def children(name):
    """Return the processes that run a study's trials."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = " ".join(process.info["cmdline"] or [])
        if CHILD in command and f"/{name}-" in command:
            found.append(process)
    return found


def nothing_is_left(name, within=10.0):
    """Neither processes nor folders of a study are on this machine."""
    root = Path(tempfile.gettempdir()) / f"manyfit-{os.getuid()}"
    deadline = time.monotonic() + within
    while True:
        left = [str(p) for p in children(name)]
        left += [path.name for path in root.glob(f"{name}-*")]
        if not left or time.monotonic() > deadline:
            return left == [] or left
        time.sleep(0.1)


def kill_child(child):
    child.kill()


def kill_python_worker(child):
    if "pyspark" in " ".join(child.parent().cmdline()):  # and not where orphans go
        child.parent().kill()


def kill_executor(child):
    for process in child.parents():
        if "org.apache.spark.executor.CoarseGrainedExecutorBackend" in process.cmdline():
            process.kill()


def at_a_random_moment(name, kill):
    """Kill once trials run, after a random wait; `kill` is given one of their processes."""

    def wait_and_kill():
        deadline = time.monotonic() + 60
        while not children(name) and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(random.uniform(0.0, LONGEST))
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in random.sample(found := children(name), min(1, len(found))):
                kill(child)

    thread = threading.Thread(target=wait_and_kill)
    thread.start()
    return thread


# `make test` kills children of workers in tests/remote, and executors with their machine below.
@pytest.mark.parametrize(
    "kill",
    [
        pytest.param(kill_child, marks=pytest.mark.soak("kills")),
        pytest.param(kill_python_worker, marks=pytest.mark.soak("kills", also_in_test=True)),
        pytest.param(kill_executor, marks=pytest.mark.soak("kills")),
    ],
)
def test_a_process_of_the_cluster_is_killed(standalone_spark, tmp_path, name, kill, round_):
    """SIGKILL costs the attempts that it hit, and nothing else."""
    killer = at_a_random_moment(name, kill)
    result = tune(standalone_spark, tmp_path, name)
    killer.join()

    check(result, tmp_path)
    assert nothing_is_left(name)


@pytest.mark.soak("kills", also_in_test=True)
def test_a_machine_is_killed(standalone_spark, cluster, tmp_path, name, round_):
    """A machine that goes takes its workers with it; the study goes on, and uses a new one."""
    killer = at_a_random_moment(
        name, lambda _: cluster.kill_worker(random.choice(list(cluster.workers)))
    )
    try:
        result = tune(standalone_spark, tmp_path, name)
    finally:
        killer.join()
        while len(cluster.workers) < 2:
            cluster.add_workers()

    check(result, tmp_path)
    assert nothing_is_left(name)


DRIVER = """
import sys
from pathlib import Path

sys.path.insert(0, {here!r})
from manyfit.demo.cluster import session
from {module} import tune

folder = Path({folder!r})
settings = {{"spark.cores.max": "4", "spark.executor.cores": "2"}}
with session({url!r}, folder / "driver.log", settings) as spark:
    tune(spark, folder, {name!r})
"""


@pytest.mark.soak("kills", also_in_test=True)
def test_the_driver_is_killed(cluster, classic, tmp_path, name, round_):
    """SIGKILL of the driver ends its trials everywhere within 10 s; run again, it goes on."""
    classic.stop()  # its cores are wanted
    program = textwrap.dedent(DRIVER).format(
        here=str(Path(__file__).parent),
        module=Path(__file__).stem,
        folder=str(tmp_path),
        url=cluster.url,
        name=name,
    )
    driver = subprocess.Popen([sys.executable, "-c", program])
    killer = at_a_random_moment(name, lambda _: os.kill(driver.pid, signal.SIGKILL))
    ended = driver.wait(120)
    killer.join()
    assert ended in {0, -signal.SIGKILL}  # 0: it was done before
    assert nothing_is_left(name)

    result = tune(classic.on(cluster.url), tmp_path, name)

    check(result, tmp_path)
    assert nothing_is_left(name)
