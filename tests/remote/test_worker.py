"""Workers in processes of their own, behind a network: killed, stopped, flooded and listened to."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import chain
from secrets import token_hex

import psutil
import pytest

from manyfit.errors import ExecutorError
from manyfit.events import AttemptFinished, AttemptLost, AttemptPruned, AttemptStarted, Reported
from manyfit.spark.executor import SparkExecutor
from manyfit.testing.remote import LocalSpark
from manyfit.testing.rig import Rig
from manyfit.worker.channel import ENDINGS
from manyfit.worker.context import report
from manyfit.worker.timings import Timings
from manyfit.worker.work import Limits

pytestmark = pytest.mark.integration

# Silence is long where others keep both processors busy, and short for who waits for its end.
QUICK = Timings(ping=0.2, beat=0.2, log=0.05, pause=0.1)
SILENCE = 3.0


@pytest.fixture
def machine(tmp_path):
    """A stand-in for a session."""
    return LocalSpark(tmp_path / "machine")


@pytest.fixture
def rig(tmp_path, machine):
    """A function that opens an executor on an objective; nothing may survive it."""
    with contextlib.ExitStack() as stack:

        def start(objective, parallelism=1, *, secrets=(), timings=QUICK, **limits):
            executor = SparkExecutor(machine, parallelism, secrets=secrets, timings=timings)
            stack.callback(executor.close)
            return Rig(executor, objective, tmp_path, Limits(**limits))

        yield start
    assert eventually(lambda: processes_of(machine) == [])
    assert eventually(lambda: list(machine.folder.iterdir()) == [])


def processes_of(machine):
    """What runs on its machine: below this process, or left to itself."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # it has just ended
            if process.environ().get("TMPDIR") == str(machine.folder):
                found.append(process)
    return found


def eventually(condition, within=10.0):
    deadline = time.monotonic() + within
    while not (true := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return true


def is_dead(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def family(machine):
    """The process number of each worker, and that of the process that runs its trials."""
    return {
        task.pid: [
            child.pid
            for child in psutil.Process(task.pid).children()
            if "manyfit.worker.child" in " ".join(child.cmdline())
        ]
        for task in machine.tasks
    }


def waits(tmp_path):
    """An objective that reports, says who it is, and then waits until it may go on."""

    def objective(params):
        report(0, loss=1.0)
        (tmp_path / f"at {params['x']}").write_text(f"{os.getppid()}")
        while not (tmp_path / "go").exists():
            time.sleep(0.01)
        return params["x"]

    return objective


def pilot_of(run, tmp_path, x=0.25):
    """The process number of the worker that is at a trial."""
    path = tmp_path / f"at {x}"
    run.until(lambda: path.exists() and path.read_text() != "")
    pid = int(path.read_text())
    path.unlink()
    return pid


def endings(run, *whose):
    return [event for event in run.of(*whose) if isinstance(event, ENDINGS)]


# ── deaths ────────────────────────────────────────────────────────────────────────────────────────


def test_a_worker_that_is_killed(rig, machine, tmp_path):
    """Its trial's process dies with it, its attempt is lost once, and another worker comes."""
    run = rig(waits(tmp_path))
    run.submit()
    worker = pilot_of(run, tmp_path)
    (child,) = family(machine)[worker]
    os.kill(worker, signal.SIGKILL)
    lost = run.end_of()
    assert isinstance(lost, AttemptLost)
    assert lost.counts
    assert "nothing says that the trial was the cause" in lost.reason
    assert eventually(lambda: is_dead(child))
    run.submit(0, 2)
    (tmp_path / "go").touch()
    assert isinstance(run.end_of(0, 2), AttemptFinished)
    assert len(endings(run, 0, 1)) == len(endings(run, 0, 2)) == 1


@pytest.mark.soak("kills")
def test_one_of_two_is_killed(rig, machine, tmp_path):
    """The other doesn't notice, and the folder that they share stays."""
    run = rig(waits(tmp_path), parallelism=2)
    run.submit(0, x=0.25)
    run.submit(1, x=0.75)
    workers = pilot_of(run, tmp_path, 0.25), pilot_of(run, tmp_path, 0.75)
    os.kill(workers[0], signal.SIGKILL)
    assert isinstance(run.end_of(0), AttemptLost)
    (folder,) = machine.folder.glob("manyfit-*/contract-*")
    assert endings(run, 1) == []
    (tmp_path / "go").touch()
    assert run.end_of(1).metrics == {"loss": 0.75}
    run.until(lambda: run.executor.parallelism == 2)
    assert folder.is_dir()


@pytest.mark.soak("kills")
def test_all_are_killed(rig, machine, tmp_path):
    """Of workers that are killed at once nothing is left on their machine; others begin anew."""
    run = rig(waits(tmp_path), parallelism=2)
    (tmp_path / "go").touch()
    run.run()
    everybody = family(machine)
    assert len(everybody) == 2
    for worker in everybody:
        os.kill(worker, signal.SIGKILL)
    for child in chain(*everybody.values()):
        assert eventually(lambda child=child: is_dead(child))
    run.until(lambda: run.executor.parallelism == 0)
    assert eventually(lambda: list(machine.folder.iterdir()) == [])
    run.until(lambda: run.executor.parallelism == 2)
    assert isinstance(run.run(1), AttemptFinished)


def test_a_trial_that_is_killed_says_its_last_words(rig):
    """All that it reported and printed comes home, and the worker goes on."""

    def objective(params):
        if params["x"] > 0.5:
            for step in range(200):
                report(step, loss=1.0)
            os.write(1, b"out of luck\n")
            os.kill(os.getpid(), signal.SIGKILL)
        return 0.0

    run = rig(objective)
    lost = run.run(0, x=1.0)
    assert isinstance(lost, AttemptLost)
    assert "was ended by SIGKILL" in lost.reason
    assert lost.reason.endswith("its last output: out of luck")
    assert [event.step for event in run.of(0) if isinstance(event, Reported)] == list(range(200))
    assert run.log(0) == "out of luck\n"
    assert isinstance(run.run(1, x=0.0), AttemptFinished)


def test_a_machine_that_stands_still(rig, tmp_path):
    """Its silence is its end; what it says when it wakes up again counts for nothing."""
    run = rig(waits(tmp_path), timings=replace(QUICK, silence=SILENCE))
    run.submit()
    worker = pilot_of(run, tmp_path)
    os.kill(worker, signal.SIGSTOP)
    try:
        lost = run.end_of()
        assert "nothing was heard of it for 3 s" in lost.reason
        (tmp_path / "go").touch()
    finally:
        os.kill(worker, signal.SIGCONT)
    assert isinstance(run.run(0, 2), AttemptFinished)
    assert endings(run, 0, 1) == [lost]


ORPHANS = """
import subprocess, sys, time
from pathlib import Path
from manyfit.spark.executor import SparkExecutor
from manyfit.testing.remote import LocalSpark
from manyfit.testing.rig import Rig
import os

folder = Path(sys.argv[1])

def objective(params):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (folder / "part").write_text(f"{os.getppid()} {os.getpid()} {child.pid}")
    (folder / "part").rename(folder / f"{params['x']}")
    time.sleep(600)

run = Rig(SparkExecutor(LocalSpark(folder / "machine"), 2), objective, folder)
run.submit(0, x=0.0)
run.until((folder / "0.0").exists)
run.submit(1, x=1.0)
while True:
    run.poll(1.0)
"""


def test_a_driver_that_is_killed(tmp_path):
    """Its workers leave by themselves, with all that their trials started, and tidy up."""
    (tmp_path / "driver.py").write_text(ORPHANS)
    with subprocess.Popen([sys.executable, tmp_path / "driver.py", tmp_path]) as driver:
        files = [tmp_path / "0.0", tmp_path / "1.0"]
        assert eventually(lambda: all(file.exists() for file in files), within=60)
        driver.kill()
    pids = [int(pid) for file in files for pid in file.read_text().split()]
    assert len(pids) == 6
    assert eventually(lambda: all(is_dead(pid) for pid in pids), within=10)
    assert eventually(lambda: list((tmp_path / "machine").iterdir()) == [])


def test_an_objective_that_can_not_be_loaded(rig):
    """What no worker can unpickle is an error at the first of them, and says what went wrong."""

    class Poisoned:
        def __reduce__(self):
            return int, ("no number",)

    poisoned = Poisoned()
    run = rig(lambda _: float(poisoned is None))
    with pytest.raises(ExecutorError, match="can't load the objective") as raised:
        run.run()
    assert "invalid literal for int()" in str(raised.value)


# ── floods ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("many", [300, pytest.param(20_000, marks=pytest.mark.soak("throughput"))])
def test_many_reports(rig, many):
    """Reports as fast as an objective can make them all arrive, in order, and stops get through."""

    def objective(params):
        for step in range(many):
            report(step, loss=1.0)
        while params["x"] > 0.5:
            step += 1
            report(step, loss=1.0)
        return 0.0

    run = rig(objective)
    began = time.monotonic()
    assert isinstance(run.run(0, x=0.0), AttemptFinished)
    print(f"{many / (time.monotonic() - began):.0f} reports/s")
    assert [e.step for e in run.of(0) if isinstance(e, Reported)] == list(range(many))
    run.submit(1, x=1.0)
    run.until(lambda: len(run.of(1)) > 100)
    run.executor.stop(1, 1, "enough")
    assert isinstance(run.end_of(1), AttemptPruned)


@pytest.mark.parametrize(
    ("seconds", "timings"),
    [
        (2 * SILENCE, replace(QUICK, silence=SILENCE)),
        pytest.param(80.0, Timings(), marks=pytest.mark.soak("throughput")),
    ],
    ids=["short", "long"],
)
def test_a_driver_that_looks_at_nothing(rig, tmp_path, seconds, timings):
    """Longer than silence may last without a poll cost no connection, no report and no line."""

    def objective(params):
        for step in range(40):
            report(step, loss=1.0)
            print(step, flush=True)
            time.sleep(0.9 * seconds / 40)
        return 0.0

    run = rig(objective, parallelism=2, timings=timings)
    run.submit(0)
    run.submit(1)
    time.sleep(seconds)
    for number in (0, 1):
        assert isinstance(run.end_of(number), AttemptFinished)
        assert sum(isinstance(event, Reported) for event in run.of(number)) == 40
        assert run.log(number).split() == [str(step) for step in range(40)]
    assert run.executor.parallelism == 2


# ── output ────────────────────────────────────────────────────────────────────────────────────────


def test_output_comes_home_while_a_trial_runs(rig, tmp_path):
    """Lines can be read in the study's folder before their trial has ended."""

    def objective(params):
        print("epoch 1", flush=True)
        os.write(1, b"epoch")
        while not (tmp_path / "go").exists():
            time.sleep(0.01)
        os.write(2, b" 2\n")
        return 0.0

    run = rig(objective)
    run.submit()
    run.until(lambda: run.log() is not None)
    assert run.log() == "epoch 1\n"
    (tmp_path / "go").touch()
    run.end_of()
    assert run.log() == "epoch 1\nepoch 2\n"


def test_secrets_stay_where_they_are(rig, machine, tmp_path, monkeypatch):
    """What C code prints of a secret, in one piece or two, is at no time in the driver's file."""
    hidden = token_hex(16)  # made here, since this file travels, too
    monkeypatch.setenv("BACKUP", hidden)  # a name that gives nothing away

    def objective(params):
        secret = os.environ["BACKUP"].encode()
        for number in range(20):
            os.write(1, b"%d " % number + secret[:10])
            time.sleep(0.01)
            os.write(1, secret[10:] + b"\n")
            report(number, loss=1.0)
        if params["x"] > 0.5:
            os.kill(os.getpid(), signal.SIGKILL)
        raise ValueError(secret.decode())

    run = rig(objective, secrets=["BACKUP"])
    seen = []
    run.react = lambda event: seen.append((event, run.log(event.number) or ""))
    for number, x in ((0, 0.0), (1, 1.0)):
        run.run(number, x=x)
        seen.append((None, run.log(number)))
        assert run.log(number).split("\n")[:20] == [f"{n} [redacted]" for n in range(20)]
    assert hidden[:10] not in repr(seen)
    assert any("0 [redacted]" in log for event, log in seen if isinstance(event, Reported))
    for task in machine.tasks:
        process = psutil.Process(task.pid)
        for each in (process, *process.children(recursive=True)):
            assert hidden not in " ".join(each.cmdline())
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or hidden.encode() not in path.read_bytes()


@pytest.mark.parametrize("megabytes", [5, pytest.param(50, marks=pytest.mark.soak("throughput"))])
def test_a_log_without_end(rig, megabytes):
    """Of many megabytes of output, the first lines and the last come home."""

    def objective(params):
        line = b"x" * 999 + b"\n"
        os.write(1, b"the beginning\n")
        for _ in range(megabytes):
            os.write(1, line * 1000)
        os.write(1, b"the end\n")
        return 0.0

    run = rig(objective)
    assert isinstance(run.run(), AttemptFinished)
    log = run.log()
    assert log.startswith("the beginning\nx")
    assert log.endswith("x\nthe end\n")
    assert "bytes left out" in log
    assert len(log) < 4.3e6


# ── measured ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.soak("throughput")
def test_how_long_a_report_takes(rig, tmp_path):
    """From a report to the stop that answers it, seen by the objective, takes milliseconds."""

    def objective(params):
        began = time.perf_counter()
        try:
            report(0, loss=1.0)
            for step in range(1, 10**6):
                time.sleep(0.0001)
                report(step, loss=1.0)
        finally:
            with (tmp_path / "seconds").open("a") as file:
                print(time.perf_counter() - began, file=file)

    run = rig(objective)

    def react(event):
        if isinstance(event, Reported) and event.step == 0:
            run.executor.stop(event.number, event.attempt, "enough")

    run.react = react
    for number in range(30):
        assert isinstance(run.run(number), AttemptPruned)
    times = sorted(map(float, (tmp_path / "seconds").read_text().split()))
    print(f"round trip: median {times[15] * 1e3:.1f} ms, worst {times[-1] * 1e3:.1f} ms")
    assert times[15] < 0.5


@pytest.mark.soak("throughput")
@pytest.mark.parametrize(("parallelism", "count"), [(2, 400), (8, 400)])
def test_how_many_trials_a_second(rig, parallelism, count):
    """Trials that do nothing run by the hundred a second, each of them once."""
    run = rig(lambda _: 0.0, parallelism=parallelism)
    waiting = list(range(parallelism, count + parallelism))
    for number in range(parallelism):
        run.run(number)  # each has its process by then, or the next has

    def react(event):
        if isinstance(event, ENDINGS) and waiting:
            run.submit(waiting.pop())

    for number in range(1000, 1000 + parallelism):
        run.submit(number)
    run.until(lambda: all(endings(run, number) for number in range(1000, 1000 + parallelism)))
    run.react = react
    began = time.monotonic()
    for _ in range(parallelism):
        run.submit(waiting.pop())
    ends = count + 2 * parallelism
    run.until(lambda: sum(isinstance(e, AttemptFinished) for e in run.events) == ends)
    print(f"{parallelism} workers: {count / (time.monotonic() - began):.0f} trials/s")
    assert sum(isinstance(event, AttemptStarted) for event in run.events) == ends
