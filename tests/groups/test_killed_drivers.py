"""A driver that is killed in the middle, and the same call once more."""

import inspect
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import manyfit

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
GROUPS = 24

DRIVER = """
import contextlib
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd

import manyfit

{functions}

with contextlib.ExitStack() as stack:
    rows = frame()
    if {on_spark}:
        from manyfit.demo.cluster import session

        spark = stack.enter_context(session("local[2]", Path("log"), {{}}))
        rows = spark.createDataFrame(rows)
    table_of(tune(rows, {mode!r}, ".")).to_json("table.json", orient="records", lines=True)
"""


def frame():
    names = np.repeat([f"g{n:02}" for n in range(GROUPS)], 3)
    return pd.DataFrame({"g": names, "y": np.arange(float(len(names)))})


def fit(group, params):
    import os
    import time

    time.sleep(float(os.environ.get("PACE", "0")))
    return (params["x"] - group["y"].mean() / 72) ** 2


def tune(rows, mode, folder):
    return manyfit.tune_groups(
        rows,
        by="g",
        objective=fit,
        space={"x": manyfit.Float(0, 1)},
        metric="loss",
        n_trials=4,
        mode=mode,
        name="call",
        folder=folder,
        seed=0,
        tracker=None,
        progress=None,
    )


def table_of(result):
    return result.table.drop(columns=["seconds", "fit_seconds", "worker"])


def start(folder, mode, *, on_spark):
    """Start the call in a driver of its own, where each trial takes a moment."""
    functions = "\n\n".join(map(inspect.getsource, (frame, fit, tune, table_of)))
    text = DRIVER.format(
        functions=functions.replace("GROUPS", str(GROUPS)),
        on_spark=on_spark,
        mode=mode,
    )
    folder.mkdir()
    (folder / "driver.py").write_text(text)
    with (folder / "driver.log").open("w") as log:
        return subprocess.Popen(
            [sys.executable, "driver.py"],
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "PACE": "0.05"},
        )


def wait_for_the_record(driver, folder):
    """Wait until a first group has ended, and others have not."""
    deadline = time.monotonic() + 120
    journal = folder / "call" / "journal.jsonl"
    while not (journal.exists() and b"group-ended" in journal.read_bytes()):
        assert driver.poll() is None, (folder / "driver.log").read_text()
        assert time.monotonic() < deadline, "no group has ended"
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("mode", "where"),
    [
        pytest.param("independent", "here", marks=pytest.mark.soak("kills", also_in_test=True)),
        pytest.param("transfer", "here", marks=pytest.mark.soak("kills", also_in_test=True)),
        pytest.param("independent", "spark", marks=pytest.mark.soak("kills")),
    ],
)
def test_resumed_is_as_undisturbed(tmp_path, request, mode, where, round_):
    """Groups that had ended are kept, and the table is that of a call nobody disturbed."""
    killed = tmp_path / "killed"
    driver = start(killed, mode, on_spark=where == "spark")
    wait_for_the_record(driver, killed)
    time.sleep(round_ % 10 / 20)
    os.killpg(driver.pid, signal.SIGKILL)  # and whatever it started
    driver.wait()
    assert not (killed / "table.json").exists()
    known = request.getfixturevalue(where)
    resumed = tune(frame() if known is None else known.createDataFrame(frame()), mode, killed)
    request.getfixturevalue("here")
    whole = tune(frame(), mode, tmp_path / "whole")
    assert resumed.count("COMPLETE") == GROUPS
    pd.testing.assert_frame_equal(table_of(resumed), table_of(whole), check_exact=True)


@pytest.mark.parametrize("order", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("where", ["here", pytest.param("spark", marks=pytest.mark.soak("kills"))])
def test_an_order_to_end(tmp_path, request, where, order):
    """The driver ends by itself, with what it has, and the next call goes on."""
    folder = tmp_path / "interrupted"
    driver = start(folder, "independent", on_spark=where == "spark")
    wait_for_the_record(driver, folder)
    driver.send_signal(order)
    assert driver.wait(timeout=60) == 0, (folder / "driver.log").read_text()
    some = (folder / "table.json").read_text().count("\n")
    assert 0 < some < GROUPS
    known = request.getfixturevalue(where)
    rows = frame() if known is None else known.createDataFrame(frame())
    assert tune(rows, "independent", folder).count("COMPLETE") == GROUPS
