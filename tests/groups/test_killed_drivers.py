"""A driver that is killed in the middle, and the same call once more."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]

DRIVER = """
import contextlib
import sys
from pathlib import Path

sys.path.insert(0, {demo!r})

import numpy as np
import pandas as pd

import manyfit
from cluster import session


def fit(group, params):
    import time

    time.sleep(0.05)
    return (params["x"] - group["y"].mean() / 40) ** 2


with contextlib.ExitStack() as stack:
    rows = pd.DataFrame({{"g": np.repeat([f"g{{n}}" for n in range(40)], 3)}})
    rows["y"] = np.arange(len(rows)) / 3.0
    if {on_spark}:
        spark = stack.enter_context(session("local[2]", Path("log"), {{}}))
        rows = spark.createDataFrame(rows)
    result = manyfit.tune_groups(
        rows, by="g", objective=fit, space={{"x": manyfit.Float(0, 1)}}, metric="loss",
        n_trials=5, mode={mode!r}, name="call", folder=".", seed=0, tracker=None, progress=None,
    )
    left_out = ["seconds", "fit_seconds", "worker"]
    result.table.drop(columns=left_out).to_json("table.json", orient="records", lines=True)
"""


def start(folder, mode, *, on_spark):
    folder.mkdir(exist_ok=True)
    script = folder / "driver.py"
    script.write_text(DRIVER.format(demo=str(ROOT / "demo"), on_spark=on_spark, mode=mode))
    with (folder / "driver.log").open("w") as log:
        return subprocess.Popen(
            [sys.executable, script], cwd=folder, stdout=log, stderr=log, start_new_session=True
        )


def finish(folder, mode, *, on_spark):
    driver = start(folder, mode, on_spark=on_spark)
    assert driver.wait(timeout=240) == 0, (folder / "driver.log").read_text()
    return (folder / "table.json").read_text()


def kill_when_some_are_on_record(driver, folder):
    """Kill the driver, and whatever it started, once a first group has ended."""
    deadline = time.monotonic() + 120
    while not any(file.stat().st_size > 8_000 for file in folder.glob("call/groups-*.arrows")):
        assert driver.poll() is None, "the driver ended by itself"
        assert time.monotonic() < deadline, "no group has ended"
        time.sleep(0.02)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()


@pytest.mark.parametrize(
    ("mode", "on_spark"), [("independent", False), ("transfer", False), ("independent", True)]
)
def test_resumed_is_as_undisturbed(tmp_path, mode, on_spark):
    """Groups that had ended are kept, and the table is that of a call nobody disturbed."""
    whole = finish(tmp_path / "whole", mode, on_spark=on_spark)
    driver = start(tmp_path / "killed", mode, on_spark=on_spark)
    kill_when_some_are_on_record(driver, tmp_path / "killed")
    assert not (tmp_path / "killed" / "table.json").exists()
    assert finish(tmp_path / "killed", mode, on_spark=on_spark) == whole


@pytest.mark.parametrize("on_spark", [False, True])
def test_ctrl_c(tmp_path, on_spark):
    """The driver ends by itself, with what it has, and the next call goes on."""
    driver = start(tmp_path, "independent", on_spark=on_spark)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("call/groups-*.arrows")):
        assert time.monotonic() < deadline, "no group has ended"
        time.sleep(0.02)
    driver.send_signal(signal.SIGINT)
    assert driver.wait(timeout=60) == 0, (tmp_path / "driver.log").read_text()
    some = (tmp_path / "table.json").read_text().count("\n")
    assert 0 < some < 40
    assert finish(tmp_path, "independent", on_spark=on_spark).count("\n") == 40
