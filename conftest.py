"""Pytest settings for the examples in src and for tests: which run, and what they may leave behind.

Each run has a temporary folder of its own. When it ends, no process that it started lives, nothing
is in that folder, and nothing new is in the checkout; or the run fails, and says what is left.
"""

import contextlib
import gc
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import hypothesis
import psutil
import pytest

import manyfit
from manyfit.worker.limits import limit_pools, pool_variables

pytest.register_assert_rewrite("manyfit.testing")

ROOT = Path(__file__).parent
# Each of these groups has a cluster or a JVM of its own, and takes minutes, half of which it waits.
# They are the longest part of a run, so they start first. One local session would be the last to
# end; three would cost more than they save, since Java needs a minute to become fast.
CLUSTER, LOCAL, LOCAL_TOO, DASK = LONG = "cluster", "local", "local too", "dask"
GROUPS = {
    "cluster": CLUSTER,
    "standalone_spark": CLUSTER,
    "connect_url": CLUSTER,
    "connect_spark": CLUSTER,
    "spark": LOCAL,
    "classic": LOCAL,
    "dask_cluster": DASK,
}
SECOND = ("tests/spark_ml/test_validator.py", "tests/groups/")  # of the second local session
# What these import must not be in a process that forks, or isn't installed: tests/callbacks runs
# their examples.
FRAMEWORKS = ("keras", "lightning", "transformers")
collect_ignore = [f"src/manyfit/callbacks/{name}.py" for name in FRAMEWORKS]
# Nor is any of these to be looked at for examples, which they don't have: that imports Keras.
collect_ignore += ["src/manyfit/callbacks/__init__.py", "src/manyfit/demo/classifier.py"]
CACHES = {".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache", "__pycache__"}
# A run has more processes than there are cores, where threads that await one another burn time.
ALONE = {**pool_variables(1), "OMP_WAIT_POLICY": "passive"}
# PySpark forks to start Java. In a process with a Connect session, gRPC's handlers abort one such
# child in 25, and without them none (https://github.com/grpc/grpc/blob/master/doc/fork_support.md).
NO_HANDLERS = {"GRPC_ENABLE_FORK_SUPPORT": "0"}
MARK = "MANYFIT_TEST_RUN"  # in the environment of every process that a run starts
# What pytest, MLflow's databases, AutoGraph, Dask and JAX leave in the temporary folder.
OTHERS = ("pytest-of-", "db_init_lock-", "__pycache__", "dask-scratch-space", "jax")
MEMORY = Path("/dev", "shm")  # of Linux
ROOM = 4 << 30  # bytes; many containers have 64 MB there
COMPANIONS = (" pyspark-shell", "multiprocessing.resource_tracker")
GRACE = 10.0  # seconds for processes that were told to end
FOLDER, CHECKOUT = pytest.StashKey[Path](), pytest.StashKey[set[str]]()
LEFT = pytest.StashKey[list[str]]()

# The same examples in every run; `make soak PART=examples` draws new ones, twenty times as many.
hypothesis.settings.register_profile(
    "test", deadline=None, derandomize=True, database=None, max_examples=50
)
hypothesis.settings.register_profile("soak", deadline=None, max_examples=1000)


@pytest.fixture(autouse=True)
def _public_names_in_examples(doctest_namespace):
    """Docstrings' examples may use the public names without importing them."""
    doctest_namespace.update({name: getattr(manyfit, name) for name in manyfit.__all__})


@pytest.fixture(autouse=True)
def _nothing_new_in_the_checkout():
    """A test that leaves something in the checkout fails, and one beside it may, too."""
    before = in_checkout()
    yield
    if left := in_checkout() - before:
        pytest.fail(f"this test, or one beside it, left {sorted(left)} in the checkout")


def pytest_addoption(parser):
    """Add `--soak`."""
    parser.addoption("--soak", metavar="PART", help="run one part of `make soak`, and nothing else")


def pytest_xdist_auto_num_workers(config):
    """Run three processes more than there are cores for tests that wait half of their time."""
    return psutil.cpu_count() + (0 if "not integration" in config.option.markexpr else 3)


# ── which tests ───────────────────────────────────────────────────────────────────────────────────


def pytest_generate_tests(metafunc):
    """Run tests that kill at random moments `MANYFIT_ROUNDS` times, by default once."""
    if "round_" in metafunc.fixturenames:
        metafunc.parametrize("round_", range(int(os.environ.get("MANYFIT_ROUNDS", "1"))))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Choose the tests of this run, and spread them over processes, the longest groups first."""
    part = config.getoption("--soak")
    config.hook.pytest_deselected(items=[item for item in items if not belongs(item, part)])
    items[:] = [item for item in items if belongs(item, part)]
    slow = {group_of(item) for item in items if item.get_closest_marker("integration")}
    sizes = Counter(map(group_of, items))
    items.sort(key=lambda item: rank(group_of(item), slow, sizes))
    numbers = {}
    for item in items:
        group = group_of(item)
        item.add_marker(pytest.mark.xdist_group(f"{numbers.setdefault(group, len(numbers))}"))


def pytest_collection_finish(session):
    """Refuse to run in several processes what pytest-xdist has not put into groups.

    What was collected stays, so no later search for garbage needs to look at its million objects.
    """
    gc.freeze()
    gc.enable()
    is_worker = hasattr(session.config, "workerinput")
    if is_worker and not all("@" in item.nodeid for item in session.items):
        raise pytest.UsageError("this pytest-xdist keeps no groups: see pytest in pyproject.toml")


def belongs(item, part):
    """Whether a test is in a part of `make soak`; without a part, whether it is in `make test`."""
    soak = item.get_closest_marker("soak")
    if part is None:
        return soak is None or soak.kwargs.get("also_in_test", False)
    if part == "examples" and hypothesis.is_hypothesis_test(getattr(item, "function", None)):
        return True
    return soak is not None and soak.args[0] == part


def group_of(item):
    """Name the tests that share a process: those of one Spark, or of one class or module."""
    params = item.callspec.params.values() if hasattr(item, "callspec") else ()
    names = [*item.fixturenames, *(param for param in params if isinstance(param, str))]
    asked = {GROUPS[name] for name in names if name in GROUPS}
    if asked == {LOCAL} and item.nodeid.startswith(SECOND):
        return LOCAL_TOO
    if asked:
        return min(asked, key=LONG.index)
    return item.nodeid.partition("[")[0].rpartition("::")[0]


def rank(group, slow, sizes):
    """Order groups, the longest first: so all processes end at about the same time."""
    place = LONG.index(group) if group in LONG else len(LONG)
    return (place, group not in slow, -sizes[group])


# ── what is left ──────────────────────────────────────────────────────────────────────────────────


def pytest_configure(config):
    """Give the run its folder, unless this is one of its processes."""
    gc.disable()  # until all tests are collected
    os.environ.update(ALONE | NO_HANDLERS)
    limit_pools(1)  # those that were loaded before
    hypothesis.settings.load_profile("soak" if config.getoption("--soak") else "test")
    if not hasattr(config, "workerinput"):
        folder = new_folder()
        os.environ.update({"TMPDIR": str(folder), MARK: folder.name})
        # What JAX compiles in one process, others find here.
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder / "jax")
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        tempfile.tempdir = None  # the environment is looked at anew
        # Without bytecode, each process of a run would compile all of it: half of what it takes.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        sys.dont_write_bytecode = False
        config.stash[FOLDER] = folder
        config.stash[CHECKOUT] = in_checkout()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    """Fail a run that leaves something behind. A failed run's folder stays for a while."""
    if FOLDER not in session.config.stash:
        return
    folder = session.config.stash[FOLDER]
    left = left_of(folder)
    left += sorted(in_checkout() - session.config.stash[CHECKOUT])
    session.config.stash[LEFT] = left
    if left:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    if session.exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
        shutil.rmtree(folder)


def pytest_terminal_summary(terminalreporter, config):
    """Say what is left."""
    if left := config.stash.get(LEFT, []):
        terminalreporter.section("left behind by this run", red=True)
        terminalreporter.write_line("\n".join(left))


def new_folder():
    """Make the folder of a run: in memory if that has room, since tests write and sync much."""
    if not has_room():
        return Path(tempfile.mkdtemp(prefix="test-"))
    for old in MEMORY.glob("test-*-*"):  # of a run that failed, or was killed
        if not psutil.pid_exists(int(old.name.split("-")[1])):
            shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"test-{os.getpid()}-", dir=MEMORY))


def has_room():
    """Say whether this machine has a folder in memory where tests can write and run programs."""
    try:
        found = os.statvfs(MEMORY)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize > ROOM and not found.f_flag & os.ST_NOEXEC


def in_checkout():
    """Return the names in the checkout, but for the caches of tools."""
    return {path.name for path in ROOT.iterdir()} - CACHES


def left_of(folder):
    """Return the processes and files of a run that are still there after ten seconds."""
    deadline = time.monotonic() + GRACE
    while found := [*processes_of(folder.name), *files_in(folder)]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    return found


def files_in(folder):
    """Yield what is in a run's folder, but for others' files, and what goes with this process."""
    shared = f"driver-{os.getpid()}-"  # the folder of `manyfit.share`
    for path in folder.iterdir():
        if path.name.startswith(OTHERS):
            continue
        with contextlib.suppress(OSError):  # it has just gone, or is no folder
            names = [inner.name for inner in path.iterdir()]
            if names and all(name.startswith(shared) for name in names):
                continue
        if path.exists():
            yield str(path)


def processes_of(run):
    """Yield a line for each process that a run has started, but for those that end with this one.

    These are a JVM that PySpark has started, and what multiprocessing cleans up with.
    """
    for process in psutil.process_iter():
        try:
            command = " ".join(process.cmdline())
            is_ours = process.pid == os.getpid() or any(word in command for word in COMPANIONS)
            if process.environ().get(MARK) == run and not is_ours:
                yield f"process {process.pid}: {command[:300]}"
        except psutil.Error:  # it has just ended, or is somebody else's
            continue
