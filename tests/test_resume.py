"""Whatever is killed, whenever: nothing finished is lost, nothing runs twice, n_trials is exact."""

import collections
import contextlib
import os
import random
import signal
import subprocess
import sys
import textwrap
import time

import psutil
import pytest

import manyfit
from manyfit.events import AttemptFinished, AttemptStarted
from manyfit.journal.file import read_events
from manyfit.trial import Lost

pytestmark = pytest.mark.integration

DRIVER = """
    import os, pathlib, sys, time
    import manyfit

    def train(params):
        time.sleep(0.02)
        for step in range(5):
            manyfit.report(step, loss=params["x"] + 1 / (step + 1))
        return params["x"]

    manyfit.tune(
        train,
        {"x": manyfit.Float(0.0, 1.0), "k": manyfit.Choice(["a", "b"])},
        metric="loss", n_trials=%(n_trials)d, name="s", seed=0, parallelism=%(parallelism)d,
        executor=%(executor)r, sampler="random", pruner=None,
        tracker=None, progress=None, folder=sys.argv[1],
    )
"""


def start(folder, n_trials=40, executor="processes"):
    parallelism = 1 if executor == "inline" else 2
    code = textwrap.dedent(DRIVER) % locals()
    script = folder / "driver.py"
    script.write_text(code)
    return subprocess.Popen(
        [sys.executable, str(script), str(folder)], stderr=subprocess.PIPE, text=True
    )


def finish(folder, **options):
    driver = start(folder, **options)
    _, errors = driver.communicate(timeout=120)
    assert driver.returncode == 0, errors


def check(folder, n_trials):
    """The rules hold in the journal itself: one end a trial, and no more trials than asked for."""
    events = list(read_events(folder / "s" / "journal.jsonl"))
    ends = collections.Counter(e.number for e in events if isinstance(e, AttemptFinished))
    assert sorted(ends) == list(range(n_trials))
    assert set(ends.values()) == {1}
    result = manyfit.load_study("s", folder=folder)
    assert len({tuple(t.params.items()) for t in result}) == n_trials
    return result


def start_script(code, folder):
    """Start a program that is given the folder, and whose output is read."""
    script = folder / "driver.py"
    script.write_text(textwrap.dedent(code))
    return subprocess.Popen(
        [sys.executable, str(script), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def children_of(pid):
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []


@pytest.mark.soak("kills", also_in_test=True)
def test_sigkill_of_the_driver_at_many_points(tmp_path, round_):
    """Killed again and again at random moments, the study ends with every trial once."""
    rng = random.Random(round_)
    for _ in range(2):
        driver = start(tmp_path)
        journal = tmp_path / "s" / "journal.jsonl"
        before = journal.stat().st_size if journal.exists() else 0
        deadline = time.monotonic() + 20
        grow = rng.randint(1, 4000)
        while driver.poll() is None and time.monotonic() < deadline:
            size = journal.stat().st_size if journal.exists() else 0
            if size > before + grow:
                break
            time.sleep(0.001)
        workers = children_of(driver.pid)
        driver.kill()
        driver.communicate()
        _, alive = psutil.wait_procs(workers, timeout=10)
        assert alive == [], "workers outlived their driver"
    finish(tmp_path)

    result = check(tmp_path, 40)
    assert result.reason == "all 40 trials done"


@pytest.mark.parametrize(
    "executor",
    [
        pytest.param("threads", marks=pytest.mark.soak("kills", also_in_test=True)),
        pytest.param("inline", marks=pytest.mark.soak("kills")),
    ],
)
def test_sigkill_of_a_driver_that_runs_trials_itself(tmp_path, executor, round_):
    """Trials on threads, or on the driver's own, survive its death as well."""
    options = {"executor": executor, "n_trials": 30}
    driver = start(tmp_path, **options)
    journal = tmp_path / "s" / "journal.jsonl"
    wait_for(lambda: journal.exists() and journal.read_text().count('"started"') > 3)
    driver.kill()
    driver.communicate()
    finish(tmp_path, **options)

    check(tmp_path, 30)


def wait_for(condition, timeout=20):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


@pytest.mark.soak("kills", also_in_test=True)
def test_sigkill_of_workers_costs_attempts_only(tmp_path, round_):
    """Workers that are killed at random are replaced, and their trials run again."""
    driver = start(tmp_path, n_trials=60)
    killed = 0
    while driver.poll() is None and killed < 3:
        workers = [p for p in children_of(driver.pid) if p.is_running()]
        journal = tmp_path / "s" / "journal.jsonl"
        if workers and journal.exists() and journal.read_text().count('"finished"') > 5 * killed:
            with contextlib.suppress(ProcessLookupError):
                os.kill(workers[0].pid, signal.SIGKILL)
                killed += 1
        time.sleep(0.05)
    _, errors = driver.communicate(timeout=120)
    assert driver.returncode == 0, errors

    assert killed == 3
    events = list(read_events(tmp_path / "s" / "journal.jsonl"))
    starts = collections.Counter(e.number for e in events if isinstance(e, AttemptStarted))
    result = manyfit.load_study("s", folder=tmp_path)
    assert len(result) == 60
    assert all(trial.state.is_finished for trial in result)
    assert max(starts.values()) <= 2


@pytest.mark.usefixtures("hangup")
class TestInterrupt:
    @pytest.mark.parametrize("order", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_the_first_order_ends_in_order(self, tmp_path, order):
        """The study stops asking, ends running trials, returns its result and says how to go on."""
        driver = start(tmp_path, n_trials=10_000)
        journal = tmp_path / "s" / "journal.jsonl"
        wait_for(lambda: journal.exists() and journal.read_text().count('"finished"') > 5)
        workers = children_of(driver.pid)
        driver.send_signal(order)
        _, errors = driver.communicate(timeout=10)

        assert driver.returncode == 0, errors
        assert "make the same call with the same name, 's'" in errors
        assert psutil.wait_procs(workers, timeout=5)[1] == []
        result = manyfit.load_study("s", folder=tmp_path)
        assert result.reason == "interrupted"
        assert result.count(manyfit.State.RUNNING) == 0
        assert result.count(manyfit.State.COMPLETE) > 5

    def test_an_order_to_all_processes_of_a_job_costs_no_attempt(self, tmp_path):
        """Workers that are told to end with their driver haven't died of their trials."""
        driver = start(tmp_path, n_trials=10_000)
        journal = tmp_path / "s" / "journal.jsonl"
        wait_for(lambda: journal.exists() and journal.read_text().count('"finished"') > 5)
        for process in (psutil.Process(driver.pid), *children_of(driver.pid)):
            with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended with its driver
                process.terminate()
        _, errors = driver.communicate(timeout=60)

        assert driver.returncode == 0, errors
        attempts = [a for trial in manyfit.load_study("s", folder=tmp_path) for a in trial.attempts]
        assert not any(isinstance(a.end, Lost) and a.end.counts for a in attempts)

    def test_a_study_within_a_trial_ends_and_so_does_the_trial(self, tmp_path):
        """An order that reaches an inner study ends that in order, then the outer one."""
        code = """
            import sys, time, manyfit
            options = dict(metric="loss", n_trials=3, executor="inline", tracker=None,
                           progress=None, folder=sys.argv[1])
            def inner(params):
                print("running", file=sys.stderr, flush=True)
                time.sleep(60)
            def outer(params):
                return manyfit.tune(inner, {"x": manyfit.Float(0, 1)}, name="inner", **options)
            print(manyfit.tune(outer, {"x": manyfit.Float(0, 1)}, name="outer", **options).reason)
        """
        driver = start_script(code, tmp_path)
        driver.stderr.readline()
        driver.send_signal(signal.SIGTERM)
        output, errors = driver.communicate(timeout=15)

        assert output.strip() == "interrupted", errors
        assert manyfit.load_study("inner", folder=tmp_path).reason == "interrupted"
        (attempt,) = manyfit.load_study("outer", folder=tmp_path)[0].attempts
        assert attempt.end == Lost("interrupted", counts=False)

    def test_inline_it_reaches_the_objective(self, tmp_path):
        """A trial on the driver's own thread is interrupted in the middle, and runs again later."""
        code = """
            import sys, time, manyfit
            def train(params):
                print("running", file=sys.stderr, flush=True)
                time.sleep(60)
            result = manyfit.tune(
                train, {"x": manyfit.Float(0, 1)}, metric="loss", n_trials=2, name="s",
                executor="inline", tracker=None, progress=None, folder=sys.argv[1])
            print(result.reason)
        """
        driver = start_script(code, tmp_path)
        driver.stderr.readline()
        driver.send_signal(signal.SIGINT)
        output, errors = driver.communicate(timeout=15)

        assert output.strip() == "interrupted", errors
        assert errors.count("make the same call with the same name, 's'") == 1
        trial = manyfit.load_study("s", folder=tmp_path)[0]
        assert trial.state is manyfit.State.WAITING
        assert trial.attempts[0].end.counts is False

    def test_a_second_ctrl_c_is_immediate(self, tmp_path):
        """A second order ends it at once, and leaves no worker behind."""
        code = """
            import sys, time, manyfit
            def train(params):
                print("running", file=sys.stderr, flush=True)
                while True:
                    try:
                        time.sleep(60)
                    except BaseException:
                        pass
            manyfit.tune(
                train, {"x": manyfit.Float(0, 1)}, metric="loss", n_trials=2, name="s",
                executor="threads", parallelism=1, tracker=None, progress=None, folder=sys.argv[1])
        """
        script = tmp_path / "driver.py"
        script.write_text(textwrap.dedent(code))
        driver = subprocess.Popen(
            [sys.executable, str(script), str(tmp_path)], stderr=subprocess.PIPE, text=True
        )
        journal = tmp_path / "s" / "journal.jsonl"
        wait_for(lambda: journal.exists() and '"started"' in journal.read_text())
        driver.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert driver.poll() is None
        driver.send_signal(signal.SIGINT)
        _, errors = driver.communicate(timeout=30)

        assert driver.returncode != 0
        assert "KeyboardInterrupt" in errors
        assert errors.count("make the same call with the same name, 's'") == 1
        (attempt,) = manyfit.load_study("s", folder=tmp_path)[0].attempts
        assert attempt.end == Lost("interrupted", counts=False)


def test_a_trial_that_kills_its_worker_each_time_fails_after_max_attempts(tmp_path):
    """Two dead workers make one failed trial, and no other trial suffers."""

    def train(params):
        if manyfit.current_trial().number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return params["x"]

    result = manyfit.tune(
        train,
        {"x": manyfit.Float(0.0, 1.0)},
        metric="loss",
        n_trials=6,
        parallelism=2,
        name="s",
        seed=0,
        folder=tmp_path,
        tracker=None,
        progress=None,
    )

    assert [trial.state for trial in result].count(manyfit.State.COMPLETE) == 5
    assert len(result[1].attempts) == 2
    assert result[1].state is manyfit.State.FAIL
    assert "its worker died 2 times" in result[1].reason
    assert "SIGKILL" in result[1].reason
