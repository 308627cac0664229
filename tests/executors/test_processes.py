"""Worker processes, attacked in every way an objective, a machine or a person can."""

import contextlib
import ctypes
import io
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from manyfit.errors import ArgumentError, ExecutorError, ObjectiveError
from manyfit.events import (
    AttemptFailed,
    AttemptFinished,
    AttemptLost,
    AttemptPruned,
    AttemptStarted,
    Reported,
)
from manyfit.executors.processes import ProcessExecutor
from manyfit.testing.rig import Rig
from manyfit.worker.channel import ENDINGS
from manyfit.worker.context import current_trial, report
from manyfit.worker.work import Limits, Task

pytestmark = pytest.mark.integration  # each starts a process of its own


@pytest.fixture
def rig(tmp_path):
    """A function that opens a process executor on an objective; nothing may survive it."""
    others = set(psutil.Process().children())  # a cluster of other tests, perhaps
    with contextlib.ExitStack() as stack:

        def start(objective, parallelism=1, **limits):
            run = Rig(ProcessExecutor(parallelism), objective, tmp_path, Limits(**limits))
            stack.callback(run.executor.close)
            return run

        yield start
    assert set(psutil.Process().children()) <= others


def workers():
    """The worker processes; a cluster of other tests may run beside them."""
    children = psutil.Process().children()
    return [each for each in children if "manyfit.worker.child" in command_of(each)]


def command_of(process):
    with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
        return " ".join(process.cmdline())
    return ""


def dies(pid, within=10.0):
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True  # killed, and waiting for an init that does its job
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


# ── deaths ────────────────────────────────────────────────────────────────────────────────────────


def segfault():
    ctypes.string_at(0)


@pytest.mark.parametrize(
    ("death", "reason"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "was ended by SIGKILL (often because the"),
        (lambda: os.kill(os.getpid(), signal.SIGTERM), "was ended by SIGTERM"),
        (segfault, "was ended by SIGSEGV (a crash in C code)"),
        (os.abort, "was ended by SIGABRT"),
        (lambda: os._exit(3), "exited with code 3 in the middle of its work"),
        (lambda: os._exit(0), "exited with code 0 in the middle of its work"),
        (lambda: os.closerange(3, 1000) or time.sleep(60), "closed its connection"),
    ],
    ids=["SIGKILL", "SIGTERM", "SIGSEGV", "abort", "exit-3", "exit-0", "closes-everything"],
)
def test_a_worker_that_dies(rig, death, reason):
    """The attempt is lost, says how and what was last said, and the next one gets a new worker."""

    def objective(params):
        if params["x"] > 0.5:
            print("epoch 7", flush=True)
            report(0, loss=1.0)
            death()
        return float(os.getpid())

    run = rig(objective)
    end = run.run(0, x=1.0)
    assert isinstance(end, AttemptLost)
    assert end.counts
    assert reason in end.reason
    assert "epoch 7" in run.log(0)
    assert [type(event) for event in run.of(0)][:2] == [AttemptStarted, Reported]
    assert isinstance(run.run(1), AttemptFinished)


def test_last_words_are_quoted(rig):
    """The reason of a loss has the last lines of the log, without credentials."""

    def objective(params):
        print("connecting to https://ann:hunter2@example.com\nout of luck", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

    end = rig(objective).run()
    assert end.reason.endswith(
        "its last output: connecting to https://[redacted]@example.com | out of luck"
    )


def test_a_crash_in_c_leaves_a_traceback(rig):
    """The log of a trial that segfaults shows where in the Python code it was."""
    run = rig(lambda _: segfault())
    end = run.run()
    assert "Segmentation fault" in run.log()
    assert "in segfault" in run.log()
    assert "Segmentation fault in string_at (ctypes/__init__.py:" in end.reason
    assert "called from segfault (test_processes.py:" in end.reason


def test_a_death_is_noticed_though_others_hold_the_pipe(rig, tmp_path):
    """A forked child inherits the pipe: the worker's death shows all the same, and it dies too."""

    def objective(params):
        pid = os.fork()
        if pid == 0:
            time.sleep(60)
        (tmp_path / "forked").write_text(str(pid))
        os._exit(1)

    run = rig(objective)
    began = time.monotonic()
    assert isinstance(run.run(), AttemptLost)
    assert time.monotonic() - began < 20
    assert dies(int((tmp_path / "forked").read_text()))


def test_lines_torn_by_death_are_dropped(rig):
    """A worker killed at any moment while it reports: whole reports come back, then one ending."""

    def objective(params):
        threading.Timer(params["x"] * 0.02, os.kill, (os.getpid(), signal.SIGKILL)).start()
        for step in range(10**9):
            report(step, loss=1.0, **{f"metric {i}": i for i in range(200)})
        return 0.0

    run = rig(objective)
    for number in range(4):
        assert isinstance(run.run(number, x=number / 4), AttemptLost)
        steps = [event.step for event in run.of(number) if isinstance(event, Reported)]
        assert steps == list(range(len(steps)))
        assert sum(isinstance(event, ENDINGS) for event in run.of(number)) == 1


def test_a_worker_that_dies_between_trials(rig):
    """An idle worker that dies costs no attempt."""
    run = rig(lambda _: float(os.getpid()))
    pid = int(run.run(0).metrics["loss"])
    os.kill(pid, signal.SIGKILL)
    dies(pid)
    end = run.run(1)
    assert isinstance(end, AttemptFinished)
    assert end.metrics["loss"] != pid


def test_a_worker_killed_while_it_starts(rig):
    """A worker that dies before its trial began is replaced, and the trial is none the wiser."""
    run = rig(lambda _: 0.0)
    run.submit()
    (starting,) = workers()
    starting.kill()
    assert isinstance(run.end_of(), AttemptFinished)
    assert len(run.events) == 2


def test_deaths_at_the_start_after_others_have_worked(rig, tmp_path):
    """When workers can't start any more, an attempt is lost; the study, and the next one, go on."""
    full = tmp_path / "full"
    loading = Unloadable(f"import os, pathlib; pathlib.Path({str(full)!r}).exists() and os.abort()")
    run = rig(lambda _: float(loading is None))
    assert isinstance(run.run(0), AttemptFinished)
    (worker,) = workers()
    worker.kill()
    full.touch()
    end = run.run(1)
    assert (type(end), end.counts) == (AttemptLost, True)
    assert "could start 3 times" in end.reason
    assert "SIGABRT" in end.reason
    full.unlink()
    assert isinstance(run.run(1, attempt=2), AttemptFinished)


@pytest.fixture
def frozen(rig):
    """A function that returns a rig whose only worker is idle and stopped."""

    def freeze(**limits):
        run = rig(lambda _: 0.0, **limits)
        run.run(0)
        (worker,) = workers()
        worker.suspend()
        return run

    return freeze


MEGABYTES = Task(1, 1, {"x": 0.5, "act": "math.sin", "layers": 3}, 0, {"PAD": "x" * 3_000_000})


def test_a_frozen_worker_holds_nobody_up(frozen):
    """A task of any size is submitted at once, and can be cut off, though nobody takes it."""
    run = frozen()
    began = time.monotonic()
    run.executor.submit(MEGABYTES)
    run.poll(0.01)
    run.executor.stop(1, 1, "over", kill=True)
    assert isinstance(run.end_of(1), AttemptLost)
    assert time.monotonic() - began < 10


def test_a_frozen_worker_is_replaced(frozen):
    """One that doesn't begin within the trial's time limit gives its task to another process."""
    run = frozen(seconds=0.5)
    run.executor.submit(MEGABYTES)
    assert isinstance(run.end_of(1), AttemptFinished)
    assert [type(event) for event in run.of(1)] == [AttemptStarted, AttemptFinished]


# ── limits ────────────────────────────────────────────────────────────────────────────────────────


def test_a_time_limit_against_code_that_keeps_the_gil(rig):
    """Not even a loop in C that never gives the interpreter back outlives its limit."""

    def objective(params):
        if params["x"] > 0.5:
            re.fullmatch("(a+)+", "a" * 64 + "b")
        return 0.0

    run = rig(objective, seconds=0.5)
    end = run.run(0, x=1.0)
    assert isinstance(end, AttemptFailed)
    assert end.reason == "ran longer than trial_timeout=0.5s"
    assert (end.error, end.traceback) == ("", "")
    assert 0.5 <= end.seconds < 10
    assert isinstance(run.run(1), AttemptFinished)


def test_the_time_limit_does_not_count_the_start(rig):
    """Loading the objective takes as long as it takes: only the objective's own time counts."""

    class Slow:
        def __reduce__(self):
            return time.sleep, (1.0,)

    slow = Slow()
    end = rig(lambda _: float(slow is None), seconds=0.5).run()
    assert isinstance(end, AttemptFinished)


def test_a_memory_limit_counts_the_whole_tree(rig):
    """What a child of the objective uses is used by the trial."""

    def objective(params):
        code = "hoard = b'x' * 400_000_000; import time; time.sleep(30)"
        subprocess.run([sys.executable, "-c", code], check=False)
        return 0.0

    end = rig(objective, memory=350_000_000).run()
    assert isinstance(end, AttemptFailed)
    assert re.fullmatch(r"used [\d.]+ (MB|GB) of memory, more than trial_memory=350 MB", end.reason)


def test_descendants_die_with_a_killed_trial(rig, tmp_path):
    """Whatever a trial started is gone when it is killed, also what left its session or parent."""

    def objective(params):
        sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
        pids = [subprocess.Popen(sleep, start_new_session=new).pid for new in (False, True)]
        daemon = "import subprocess, sys; print(subprocess.Popen(sys.argv[1:], stdout=2).pid)"
        told = subprocess.check_output(
            [sys.executable, "-c", daemon, "sleep", "60"], start_new_session=True, text=True
        )
        pids.append(int(told))
        (tmp_path / "pids").write_text(json.dumps(pids))
        report(0, loss=1.0)
        time.sleep(60)
        return 0.0

    run = rig(objective)
    run.react = lambda event: (
        run.executor.stop(0, 1, "over", kill=True) if isinstance(event, Reported) else None
    )
    assert isinstance(run.run(), AttemptLost)
    assert all(dies(pid) for pid in json.loads((tmp_path / "pids").read_text()))


def test_a_result_that_was_already_sent_wins(rig, tmp_path):
    """A trial that is killed when its result is on the way has its result."""

    def objective(params):
        return 0.5

    run = rig(objective)
    run.run(0)
    run.submit(1)
    time.sleep(0.5)
    run.executor.stop(1, 1, "over", kill=True)
    assert isinstance(run.end_of(1), AttemptFinished)


ORPHANS = """
import os, re, subprocess, sys, time
from pathlib import Path
from manyfit.executors.processes import ProcessExecutor
from manyfit.testing.rig import Rig
from manyfit.worker.context import report

folder = Path(sys.argv[1])

def objective(params):
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    pids = [subprocess.Popen(sleep, start_new_session=new).pid for new in (False, True)]
    (folder / f"{params['x']}").write_text(f"{os.getpid()} {pids[0]} {pids[1]}")
    if params["x"] > 0.5:
        re.fullmatch("(a+)+", "a" * 64 + "b")  # keeps the GIL for ever
    time.sleep(600)

run = Rig(ProcessExecutor(2), objective, folder)
run.submit(0, x=0.0)
run.submit(1, x=1.0)
if not (loader := os.fork()):  # of the driver's: it has all that the driver has open
    time.sleep(600)
(folder / "loader").write_text(f"{loader}")
while True:
    run.poll(1.0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing tells whose a process is")
def test_a_killed_driver_leaves_nobody(tmp_path):
    """SIGKILL of the driver ends its workers, also one that keeps the GIL, and all they started."""
    (tmp_path / "driver.py").write_text(ORPHANS)
    with subprocess.Popen([sys.executable, tmp_path / "driver.py", tmp_path]) as driver:
        files = [tmp_path / "0.0", tmp_path / "1.0"]
        deadline = time.monotonic() + 60
        while not all(file.exists() and file.read_text() for file in files):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.2)
        driver.kill()
    loader = int((tmp_path / "loader").read_text())
    pids = [int(pid) for file in files for pid in file.read_text().split()]
    assert len(pids) == 6
    try:
        assert all(dies(pid, within=5) for pid in pids)
    finally:
        os.kill(loader, signal.SIGKILL)


# ── output ────────────────────────────────────────────────────────────────────────────────────────


def test_output_of_every_origin_is_caught(rig):
    """Python, C code and subprocesses write to the same log; logging shows INFO as well."""

    def objective(params):
        print("python")
        libc = ctypes.CDLL(None)
        libc.printf(b"from C\n")
        subprocess.run(["echo", "from a subprocess"], check=True)
        subprocess.run(["echo", "through sys.stderr"], check=True, stdout=sys.stderr)
        os.write(2, b"descriptor\n")
        logging.getLogger("training").info("epoch %d", 1)
        return 0.0

    run = rig(objective)
    run.run()
    for words in (
        *("python", "from C", "from a subprocess", "through sys.stderr", "descriptor"),
        "INFO training: epoch 1",
    ):
        assert words in run.log()


def test_logging_can_be_configured_by_the_objective(rig):
    """`logging.basicConfig` works as in any script, and in each trial of a worker."""

    def objective(params):
        logging.basicConfig(format="<%(message)s>", level=logging.DEBUG)
        logging.getLogger("training").debug("detail")
        return 0.0

    run = rig(objective)
    for number in (0, 1):
        run.run(number)
        assert run.log(number) == "<detail>\n"


@pytest.mark.parametrize("megabytes", [1, 30])
def test_megabytes_of_output(rig, megabytes):
    """A trial may say a lot, from wherever; of very much, the beginning and the end are kept."""

    def objective(params):
        print("the beginning", flush=True)
        for _ in range(megabytes):
            os.write(1, (b"x" * 99 + b"\n") * 10_000)
        print("the end")
        return 0.0

    run = rig(objective)
    assert isinstance(run.run(), AttemptFinished)
    log = run.log()
    assert log.startswith("the beginning\n")
    assert log.endswith("the end\n")
    assert len(log) == 1_000_022 if megabytes == 1 else len(log) < 4.2e6


def test_a_full_disk(rig, tmp_path):
    """The caller of print sees no error: this trial and the next end as they would have."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "00000-1.log").symlink_to("/dev/full")

    def objective(params):
        print("x" * 100_000, flush=True)
        return 0.5

    run = rig(objective)
    assert isinstance(run.run(0), AttemptFinished)
    assert isinstance(run.run(1), AttemptFinished)
    assert run.log(1) == "x" * 100_000 + "\n"


def test_a_folder_that_takes_no_logs(rig, tmp_path):
    """A trial whose log can't be opened has none."""
    (tmp_path / "logs").touch()
    assert isinstance(rig(lambda _: print("epoch 1") or 0.5).run(), AttemptFinished)


def test_output_in_no_encoding(rig, tmp_path):
    """Bytes that are no UTF-8 are kept as they are; characters that can't be encoded are shown."""

    def objective(params):
        sys.stdout.buffer.write(b"\xff\xfe buffer\n")
        os.write(1, b"\xe9 descriptor\n")
        print("surrogate \udc80")
        return 0.0

    run = rig(objective)
    assert isinstance(run.run(), AttemptFinished)
    log = (tmp_path / "logs" / "00000-1.log").read_bytes()
    for piece in (b"\xff\xfe buffer\n", b"\xe9 descriptor\n", b"surrogate \\udc80\n"):
        assert piece in log


@pytest.mark.parametrize(
    "close",
    [
        lambda: sys.stdout.close(),
        lambda: os.close(1),
        lambda: (sys.stdout.close(), sys.stderr.close(), os.close(1), os.close(2)),
        lambda: setattr(sys, "stdout", io.StringIO()),
        lambda: setattr(sys, "stdout", None),
    ],
    ids=["stream", "descriptor", "everything", "replaced", "none"],
)
def test_an_objective_that_closes_its_output(rig, close):
    """Closing or replacing stdout silences that trial alone."""

    def objective(params):
        print("before", flush=True)
        if params["x"] > 0.5:
            close()
        return 0.0

    run = rig(objective)
    assert isinstance(run.run(0, x=1.0), AttemptFinished)
    assert isinstance(run.run(1, x=0.0), AttemptFinished)
    assert run.log(1) == "before\n"


def test_secrets_printed_by_c_or_by_the_dead(rig, monkeypatch):
    """The log is redacted as a whole, also if its writer was killed."""
    monkeypatch.setenv("MY_PASSWORD", "correct horse")

    def objective(params):
        os.write(1, b"correct horse\n")
        os.kill(os.getpid(), signal.SIGKILL)

    run = rig(objective)
    assert isinstance(run.run(), AttemptLost)
    assert run.log() == "[redacted]\n"


# ── the worker's world ────────────────────────────────────────────────────────────────────────────


def test_a_worker_takes_one_trial_after_another(rig):
    """What one trial imported, the next finds imported: the process is the same."""
    run = rig(lambda _: float(os.getpid()))
    pids = {run.run(number).metrics["loss"] for number in range(5)}
    assert len(pids) == 1
    assert pids != {os.getpid()}


def test_the_workers_world_is_the_drivers(rig, tmp_path, monkeypatch):
    """Folder, path, arguments and environment are the driver's; the thread pools have a size."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py", "--fast"])
    monkeypatch.setenv("OMP_NUM_THREADS", "99")
    monkeypatch.syspath_prepend(tmp_path / "beside")

    def objective(params):
        return {
            "loss": 0.0,
            "cwd": Path.cwd() == Path(tmp_path),
            "path": sys.path[0] == str(tmp_path / "beside"),
            "argv": sys.argv == ["train.py", "--fast"],
            "pools": os.environ["OMP_NUM_THREADS"] == os.environ["NPROC"] == "3",
            "stdin": sys.stdin.read() == "",
            "session": os.getsid(0) == os.getpid(),
        }

    end = rig(objective, cpus=3).run()
    assert set(end.metrics) - {name for name, value in end.metrics.items() if value} == {"loss"}


def test_the_tasks_environment(rig):
    """A task's variables are set in its worker, while it runs."""

    def objective(params):
        return float(os.environ.get("SET", "0"))

    run = rig(objective)
    run.executor.submit(Task(0, 1, {"x": 0.0, "act": "math.sin"}, 5, {"SET": "7"}))
    assert run.end_of(0).metrics == {"loss": 7.0}
    assert run.run(1).metrics == {"loss": 0.0}


def test_random_numbers_follow_the_seed(rig):
    """The same seed draws the same in any worker, whatever ran before."""

    def objective(params):
        import random

        import numpy as np

        return random.random() + np.random.rand()

    run = rig(objective, parallelism=2)
    values = []
    for number in range(4):
        run.executor.submit(Task(number, 1, {"x": 0.0, "act": "math.sin"}, seed=number % 2))
        values.append(run.end_of(number).metrics["loss"])
    assert values[0] == values[2] != values[1] == values[3]


def test_threads_of_the_objective_report(rig):
    """Reports from threads that the objective started come home."""

    def objective(params):
        for step in range(3):
            thread = threading.Thread(target=report, args=(step,), kwargs={"loss": 1.0})
            thread.start()
            thread.join()
        return 0.0

    run = rig(objective)
    run.run()
    assert [event.step for event in run.events if isinstance(event, Reported)] == [0, 1, 2]


def test_a_child_that_returns_from_the_objective(rig):
    """An objective that forks and returns in both processes has one result."""

    def objective(params):
        return 1.0 if os.fork() == 0 else 2.0

    run = rig(objective)
    assert run.run(0).metrics == {"loss": 2.0}
    assert run.run(1).metrics == {"loss": 2.0}
    assert len(run.events) == 4


class UnpicklableError(BaseException):
    def __init__(self, a, b):
        self.lock = threading.Lock()

    def __str__(self):
        raise RuntimeError


def test_exceptions_need_not_be_pickled(rig):
    """What is raised comes home as text."""

    def objective(params):
        raise UnpicklableError(1, 2)

    end = rig(objective).run()
    assert isinstance(end, AttemptFailed)
    assert end.error == "UnpicklableError"


def test_a_stop_reaches_a_busy_worker(rig):
    """A stop request arrives while the objective computes, and acts at its next report."""

    def objective(params):
        report(0, loss=1.0)
        deadline = time.monotonic() + 0.5
        while time.monotonic() < deadline:
            pass
        report(1, loss=1.0)
        report(2, loss=1.0)
        return 0.0

    run = rig(objective)
    run.react = lambda event: (
        run.executor.stop(0, 1, "hopeless") if isinstance(event, Reported) else None
    )
    assert isinstance(run.run(), AttemptPruned)
    assert [event.step for event in run.events if isinstance(event, Reported)] == [0]


# ── objectives of every origin ────────────────────────────────────────────────────────────────────

SCRIPT = """
import sys
from pathlib import Path
import beside
from manyfit.executors.processes import ProcessExecutor
from manyfit.testing.rig import Rig

FACTOR = 10

class Trainer:
    def __init__(self, factor):
        self.factor = factor
    def __call__(self, params):
        return self.factor * params["x"]

def train(params):
    return FACTOR * params["x"]

def make(factor):
    def closure(params):
        return factor * params["x"] + beside.OFFSET
    return closure

named = (train, make(100), Trainer(1000), Trainer(5).__call__, beside.train)
for objective in (*named, lambda p: p["x"]):
    run = Rig(ProcessExecutor(1), objective, Path(sys.argv[1]))
    end = run.run(x=0.5)
    run.executor.close()
    print(end.metrics["loss"] if hasattr(end, "metrics") else end)
"""


POOLS = """
import functools, multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from manyfit.executors.processes import ProcessExecutor
from manyfit.testing.rig import Rig

class Row:
    def __init__(self, value):
        self.value = value

def main(row):  # a name that the worker's own program has, too
    return Row(2 * row.value)

def train(params, pool):
    with pool(2) as workers:
        return sum(row.value for row in workers.map(main, map(Row, range(4))))

fork = multiprocessing.get_context("fork")
pools = (fork.Pool, functools.partial(ProcessPoolExecutor, mp_context=fork))
for pool in pools:
    run = Rig(ProcessExecutor(1), functools.partial(train, pool=pool), Path(sys.argv[1]))
    end = run.run(x=0.5)
    run.executor.close()
    print(end.metrics["loss"] if hasattr(end, "metrics") else end)
"""


def test_pools_over_functions_of_a_script(tmp_path):
    """What a pool looks up by name in the script is found: functions and classes."""
    (tmp_path / "script.py").write_text(POOLS)
    done = subprocess.run(
        [sys.executable, "script.py", "study"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["12.0", "12.0"], done.stdout + done.stderr


def test_objectives_of_a_script(tmp_path):
    """Functions, lambdas, closures, objects and methods of a script, and of a module beside it."""
    (tmp_path / "beside.py").write_text("OFFSET = 1\ndef train(params):\n    return OFFSET\n")
    (tmp_path / "json.py").write_text("raise RuntimeError('shadows the standard library')")
    (tmp_path / "sub").mkdir()
    script = tmp_path / "sub" / "script.py"
    script.write_text("import sys; sys.path.append('..')\n" + SCRIPT)
    done = subprocess.run(
        [sys.executable, script, tmp_path / "study"],
        cwd=tmp_path / "sub",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["5.0", "51.0", "500.0", "2.5", "1.0", "0.5"], done.stderr


def test_an_objective_that_cannot_travel():
    """It is refused when the executor opens, by the name of what is to blame."""
    lock = threading.Lock()
    with pytest.raises(ObjectiveError, match="closure variable 'lock'"):
        Rig(ProcessExecutor(1), lambda _: lock.locked(), Path("/x"))


class Unloadable:
    """Raises, or worse, when it is unpickled."""

    def __init__(self, code):
        self.code = code

    def __reduce__(self):
        return exec, (self.code,)


def test_an_objective_that_cannot_be_loaded(rig):
    """What a worker can't import ends the study with the worker's own traceback."""
    broken = Unloadable("import no_such_module")
    run = rig(lambda _: broken)
    run.submit()
    with pytest.raises(ExecutorError) as caught:
        run.end_of()
    assert "ModuleNotFoundError: No module named 'no_such_module'" in str(caught.value)
    assert "sys.path" in str(caught.value)


def test_a_worker_that_dies_of_loading(rig):
    """A worker that keeps dying before it can begin ends the study, and says how it died."""
    broken = Unloadable("import os, sys; print('last words', flush=True); os.abort()")
    run = rig(lambda _: broken)
    run.submit()
    with pytest.raises(ExecutorError) as caught:
        run.end_of()
    assert "SIGABRT" in str(caught.value)
    assert "last words" in str(caught.value)


def test_a_folder_that_is_gone(rig, tmp_path, monkeypatch):
    """When the working folder was deleted, the message says where it tried to start."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    run = rig(lambda _: 0.0)
    (tmp_path / "gone").rmdir()
    with pytest.raises(ExecutorError, match=r"can't start a worker process in .*gone"):
        run.submit()


# ── the executor ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("parallelism", [0, -1])
def test_parallelism_must_be_positive(parallelism):
    """No process is no executor."""
    with pytest.raises(ArgumentError, match="parallelism must be a whole number, at least 1"):
        ProcessExecutor(parallelism)


def test_too_many_submissions(rig):
    """More attempts than slots is a mistake of the driver's, and said to be."""
    run = rig(lambda _: 0.0)
    run.submit(0)
    with pytest.raises(ExecutorError, match="no slot is free"):
        run.submit(1)


def test_killing_what_has_not_begun(rig):
    """An attempt that is cut off while its worker starts comes back as lost."""
    run = rig(lambda params: time.sleep(60 * params["x"]) or 0.0)
    run.submit(x=1.0)
    run.executor.stop(0, 1, "over", kill=True)
    end = run.end_of()
    assert (type(end), end.reason, end.counts) == (AttemptLost, "over", False)
    assert isinstance(run.run(1, x=0.0), AttemptFinished)


def test_opening_starts_nothing(rig):
    """Processes start with trials: a study that is complete already costs none."""
    rig(lambda _: 0.0, parallelism=4)
    assert workers() == []


def test_polling_ends_with_the_first_event(rig):
    """However long it might wait."""
    run = rig(lambda _: 0.0)
    run.run()
    run.submit(1)
    began = time.monotonic()
    run.poll(timeout=30)
    assert time.monotonic() - began < 15
    run.end_of(1)


def test_idle_workers_exit_by_themselves(rig, tmp_path):
    """When the executor closes, an idle worker may run what it has registered for its exit."""

    def objective(params):
        import atexit

        atexit.register((tmp_path / "cleaned up").touch)
        return 0.0

    run = rig(objective)
    run.run()
    run.executor.close()
    assert (tmp_path / "cleaned up").exists()


def test_an_idle_worker_that_will_not_exit(rig):
    """One that hangs in its exit is killed after a short grace."""

    def objective(params):
        import atexit

        atexit.register(time.sleep, 60)
        return 0.0

    run = rig(objective)
    run.run()
    began = time.monotonic()
    run.executor.close()
    assert time.monotonic() - began < 10


def test_no_descriptors_are_left(rig):
    """Workers that die and are replaced leave no descriptor open in the driver."""
    run = rig(lambda _: os._exit(1))
    run.run(0)
    before = psutil.Process().num_fds()
    for number in range(1, 4):
        run.run(number)
    assert psutil.Process().num_fds() == before


def test_current_trial_in_a_worker(rig):
    """The scratch folder of a trial outlives a lost attempt."""

    def objective(params):
        checkpoint = current_trial().scratch / "checkpoint"
        if not checkpoint.exists():
            checkpoint.touch()
            os._exit(1)
        return float(current_trial().attempt)

    run = rig(objective)
    assert isinstance(run.run(0, 1), AttemptLost)
    assert run.run(0, 2).metrics == {"loss": 2.0}
