"""Data that all trials read."""

import gc
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import pytest

import manyfit
from manyfit.data.shared import VARIABLE, Shared, in_transit, share
from manyfit.errors import ArgumentError


def soon(holds: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Wait until something holds; whether it does."""
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.005)
    return holds()


def elsewhere(code: str, data: bytes, **env: str) -> "subprocess.CompletedProcess[bytes]":
    """Run code in another process, where `data` is what was unpickled."""
    program = f"import sys, pickle\ndata = pickle.loads(sys.stdin.buffer.read())\n{code}"
    return subprocess.run(
        [sys.executable, "-c", program],
        input=data,
        capture_output=True,
        env={**os.environ, **env},
        check=False,
    )


@pytest.fixture
def data() -> Shared:
    """Two arrays of a megabyte, a frame and an object."""
    return share(
        x=np.arange(125_000.0),
        y=np.ones(125_000),
        frame=pd.DataFrame({"a": [1, 2]}),
        names=["ann", "bob"],
    )


def test_it_is_a_mapping(data: Shared) -> None:
    """It has the names in the order given, the values, and nothing else."""
    assert list(data) == ["x", "y", "frame", "names"]
    assert len(data) == 4
    assert "x" in data
    assert "z" not in data
    assert data["x"].sum() == np.arange(125_000.0).sum()
    assert data["names"] == ["ann", "bob"]
    assert data.get("z") is None
    assert repr(data).startswith("Shared(x, y, frame, names: 2.0 MB")


def test_an_unknown_name(data: Shared) -> None:
    """A typo is a KeyError that lists the names."""
    with pytest.raises(
        KeyError, match="nothing is shared as 'X'; the names are x, y, frame, names"
    ):
        data["X"]


def test_an_item_is_opened_once(data: Shared) -> None:
    """Every trial of a process gets the same array, from whatever copy of the mapping."""
    again = pickle.loads(pickle.dumps(data))

    assert again["x"] is data["x"]
    assert again is pickle.loads(pickle.dumps(data))


def test_it_does_not_change(data: Shared) -> None:
    """Neither items nor the values of arrays and frames can be changed."""
    with pytest.raises(TypeError):
        data["x"] = 1  # type: ignore[index]
    with pytest.raises(ValueError, match="read-only"):
        data["x"][0] = 1
    frame = data["frame"]
    frame["new"] = 1
    assert list(data["frame"].columns) == ["a"]


def test_equal_by_contents() -> None:
    """Sets of the same names and contents are equal, with one digest; others are not."""
    one, same, other = share(x=np.ones(3)), share(x=np.ones(3)), share(x=np.zeros(3))

    assert one == same
    assert len({one, same, other}) == 2
    assert one != other
    assert one != "x"
    assert share(a=1, b=2).digest != share(b=1, a=2).digest


def test_a_closure_is_small(data: Shared) -> None:
    """A function that uses megabytes of shared data is pickled in a few hundred bytes."""

    def objective(params: Any) -> float:
        return float(data["x"].sum())

    assert len(cloudpickle.dumps(objective)) < 2_000


def test_what_travels_is_known(data: Shared) -> None:
    """Pickling work finds which sets it needs, each once, also those deep inside."""
    other = share(z=1)
    with in_transit() as found:
        cloudpickle.dumps({"deep": [lambda: data, (other, data)]})
        with in_transit() as inner:
            cloudpickle.dumps(other)
    pickle.dumps(data)

    assert found == [data, other]
    assert inner == [other]


def test_threads_do_not_see_each_others_travels(data: Shared) -> None:
    """What another thread pickles at the same time is not counted."""
    with in_transit() as found:
        thread = threading.Thread(target=pickle.dumps, args=(data,))
        thread.start()
        thread.join()

    assert found == []


def test_another_process_maps_the_same_file(data: Shared) -> None:
    """A process on this machine that gets the mapping uses the file of the one that shared it."""
    run = elsewhere(
        "assert data['x'].sum() == 7812437500.0\n"
        "print([line for line in open('/proc/self/maps') if line.endswith('npy\\n')])",
        pickle.dumps(data),
    )

    assert run.returncode == 0, run.stderr
    if sys.platform == "linux":
        assert str(data.path("0.npy")).encode() in run.stdout


def test_a_worker_looks_where_it_is_told(data: Shared, tmp_path: Path) -> None:
    """With the variable set, the files are those that were brought to the machine."""
    brought = tmp_path / data.digest
    brought.mkdir()
    for file in data.items_by_file:
        (brought / file).write_bytes(data.path(file).read_bytes())
    pickled = pickle.dumps(data)
    code = "print(data.path('0.npy')); assert data['names'] == ['ann', 'bob']"
    run = elsewhere(code, pickled, **{VARIABLE: str(tmp_path)})

    assert run.stdout.decode().strip() == str(brought / "0.npy"), run.stderr


def test_missing_data_are_said() -> None:
    """Data whose sharer is gone, and that nobody brought, are an error that says what to do."""
    data = share(x=np.ones(3), y=2)
    pickled, home = pickle.dumps(data), data.path("0.npy").parent
    del data
    gc.collect()
    run = elsewhere("data['x']", pickled, **{VARIABLE: "/nowhere"})

    assert b"ExecutorError: the shared data (x, y) are not on this" in run.stderr
    assert f"is not in /nowhere/{pickle.loads(pickled).digest} or {home}".encode() in run.stderr
    assert b"call share() again" in run.stderr


def test_garbage_is_removed() -> None:
    """When nobody refers to a set any more, its files go; what is mapped stays usable."""
    data = share(x=np.ones(125_000))
    array, home = data["x"], data.path("0.npy").parent
    assert home.exists()
    del data
    gc.collect()

    assert not home.exists()
    assert array.sum() == 125_000


END = """
import os, signal
from manyfit.data.shared import share
kept = share(x=1)
print(kept.path("0.pickle"), flush=True)
{end}
"""


@pytest.mark.parametrize("end", ["", "os.kill(os.getpid(), signal.SIGKILL)", "1 / 0"])
def test_nothing_survives_the_process(end: str) -> None:
    """However the process ends that shared them, its files are gone soon."""
    run = subprocess.run(
        [sys.executable, "-c", END.format(end=end)], capture_output=True, check=False
    )
    path = Path(run.stdout.decode().strip())

    assert path.name == "0.pickle"
    assert soon(lambda: not path.parent.parent.exists())


@pytest.mark.skipif(sys.platform == "darwin", reason="forking is unsafe there")
def test_a_forked_child_removes_nothing() -> None:
    """A child that forgets its copy of the mapping leaves the files to its parent."""
    code = """
import gc, os
from manyfit.data.shared import share
data = share(x=1)
if os.fork() == 0:
    del data
    gc.collect()
    assert share(y=2)["y"] == 2
    os._exit(0)
assert os.wait()[1] == 0
assert data["x"] == 1
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)

    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (threading.Lock(), "'bad' can't be shared: it is of type _thread.lock, which can't be"),
        ((x for x in [1]), "'bad' can't be shared: it is of type generator"),
    ],
)
def test_what_cannot_be_pickled(value: Any, message: str) -> None:
    """A value that can't travel is named, with its type, before anything runs."""
    with pytest.raises(ArgumentError, match=message):
        share(good=1, bad=value)


def test_nothing_given() -> None:
    """Sharing nothing is a mistake."""
    with pytest.raises(ArgumentError, match="share needs values by name"):
        share()


def test_a_full_disk() -> None:
    """Where there is no room, the error names the file and what to set, and nothing is left."""
    code = """
import resource, signal, sys
import numpy as np
from manyfit.data.shared import share
from manyfit.errors import ExecutorError
kept = share(small=1)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    share(large=np.ones(100_000))
except ExecutorError as error:
    print(error)
assert len([p for p in kept.path("0.pickle").parent.parent.iterdir() if p.is_dir()]) == 1
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)

    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith(b"can't write 'large' to /")
    assert b"Set TMPDIR" in run.stdout


class Slow(str):
    """A label that lets other threads run whenever it is looked at."""

    __slots__ = ()

    def __hash__(self) -> int:
        time.sleep(0.002)
        return super().__hash__()

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other)


def test_threads_may_begin_together() -> None:
    """pandas prepares an index when it is first used, and isn't ready for two threads then."""
    frame = pd.DataFrame([[1.0] * 9], columns=[Slow(letter) for letter in "abcdefghi"])
    data = share(frame=frame)
    columns = data["frame"].columns
    found: list[object] = []

    def look(label: str) -> None:
        try:
            found.append(columns.get_loc(label))
        except KeyError as error:
            found.append(error)

    threads = [threading.Thread(target=look, args=(columns[8],)) for _ in range(4)]
    for thread in threads:
        thread.start()
        time.sleep(0.003)
    for thread in threads:
        thread.join()
    assert found == [8] * 4


@pytest.mark.integration
@pytest.mark.parametrize("executor", ["inline", "threads", "processes"])
def test_trials_read_it(data: Shared, executor: str, tmp_path: Path) -> None:
    """An objective uses what is shared like a dict, wherever on this machine it runs."""

    def objective(params: dict[str, float]) -> float:
        return float(data["x"][int(params["i"])] + data["frame"]["a"].sum())

    result = manyfit.tune(
        objective,
        {"i": manyfit.Int(0, 1000)},
        metric="value",
        n_trials=4,
        parallelism=1 if executor == "inline" else 2,
        executor=executor,
        tracker=None,
        folder=tmp_path,
        progress=False,
    )

    assert [trial.value for trial in result.trials] == [t.params["i"] + 3 for t in result.trials]
