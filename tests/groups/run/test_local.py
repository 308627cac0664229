"""Groups of a pandas DataFrame, in real worker processes."""

import atexit
import contextlib
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pytest

from manyfit import Float, Space
from manyfit.errors import ArgumentError, ObjectiveError
from manyfit.groups.job import GroupJob
from manyfit.groups.record.keys import key_text
from manyfit.groups.record.row import row_schema
from manyfit.groups.run.local import LocalPopulation
from manyfit.metric import Metric

X = Space({"x": Float(0.0, 1.0)})


def frame(groups=4, rows=5):
    names = [f"g{n}" for n in range(groups)]
    return pd.DataFrame({"g": np.repeat(names, rows), "y": np.arange(float(groups * rows))})


def job(objective, by=("g",), **settings):
    settings = {"n_trials": 4, "sampler": "random", "start_with": ({"x": 0.5},), **settings}
    return GroupJob(by, objective, X, Metric("loss"), **settings)


@pytest.fixture
def in_processes(tmp_path):
    """Tunes a frame's groups; returns rows by key, and leaves nothing behind."""

    def run(objective, data=None, by=("g",), parallelism=2, **settings):
        data = frame() if data is None else data
        population = LocalPopulation(data, by, parallelism=parallelism, folder=tmp_path)
        tables = list(population.run(job(objective, by, **settings)))
        assert not list(tmp_path.glob("scratch/*"))
        assert not list(tmp_path.glob("logs/*"))
        return {row["group"]: row for table in tables for row in table.to_pylist()}

    return run


@pytest.fixture
def tune(in_processes, here):
    """Does the same in the process of the test."""
    return in_processes


def loss(group, params):
    return params["x"]


def histories(rows):
    return {group: row["history"] for group, row in rows.items()}


class TestPopulation:
    """Which groups there are."""

    def test_keys(self, tmp_path):
        """A row a group, in the order of their texts."""
        data = frame(3).iloc[[0, 10, 1, 5]]
        keys = LocalPopulation(data, ["g"], folder=tmp_path).keys()
        assert keys.to_pydict() == {"g": ["g0", "g1", "g2"]}

    def test_odd_keys(self, tmp_path):
        """Missing values, several columns, categories, times and foreign letters are keys."""
        data = pd.DataFrame(
            {
                "a": pd.Categorical(["ö", None, "ö", "x"], categories=["ö", "x", "unused"]),
                "t": pd.to_datetime(["2020-01-01", None, "2020-01-01", "2020-01-02"]),
                "n": [1, 1, 2, 1],
            }
        )
        population = LocalPopulation(data, ["a", "t", "n"], folder=tmp_path)
        found = {key_text(list(row.values())[:3]) for row in population.keys().to_pylist()}
        assert found == {
            '["x","2020-01-02T00:00:00",1]',
            '["ö","2020-01-01T00:00:00",1]',
            '["ö","2020-01-01T00:00:00",2]',
            "[null,null,1]",
        }
        assert population.keys_schema == pa.schema(
            [("a", pa.string()), ("t", pa.timestamp("us")), ("n", pa.int64())]
        )

    def test_parts(self, tmp_path):
        """A part and what is without it are the whole."""
        population = LocalPopulation(frame(6), ["g"], folder=tmp_path)
        keys = population.keys()
        part = population.part(keys.take([1, 3]))
        assert part.keys().column("g").to_pylist() == ["g1", "g3"]
        rest = population.without(part.keys())
        assert rest.keys().column("g").to_pylist() == ["g0", "g2", "g4", "g5"]
        assert part.without(rest.keys()).keys() == part.keys()
        assert len(part.without(keys).keys()) == 0

    @pytest.mark.parametrize(
        ("by", "message"),
        [(["h"], "'h' is not a column of the data, which has g, y"), (["o"], "can't be keys")],
    )
    def test_columns_that_wont_do(self, tmp_path, by, message):
        """They are refused before anything runs."""
        data = frame()
        if by == ["o"]:
            data["o"] = [1, "one"] * 10
        with pytest.raises(ArgumentError, match=message):
            LocalPopulation(data, by, folder=tmp_path)

    @pytest.mark.parametrize(
        "keys",
        [
            pd.period_range("2024", periods=2, freq="M"),
            pd.interval_range(0, 2),
            pd.Categorical(pd.interval_range(0, 2)),
            pd.Series([(1, 2), (3, 4)]),
            pd.Series([[1], [2]]),
            pd.Series([1 + 2j, 3]),
            pd.Series([pd.Period("2024"), pd.Period("2025")], dtype=object),
            pd.to_datetime([1, 2], unit="ns"),
            pd.Series(["\ud800", "b"]),
        ],
    )
    def test_values_that_cant_be_keys(self, tmp_path, keys):
        """They are refused with what to do instead."""
        with pytest.raises(ArgumentError, match=r"can't be (a key|keys): .*astype\(str\)"):
            LocalPopulation(pd.DataFrame({"k": keys}), ["k"], folder=tmp_path)

    def test_spans_of_time(self, tune):
        """They are keys to the nanosecond."""
        data = pd.DataFrame({"k": pd.to_timedelta([1, 2, 2], unit="ns")})
        rows = tune(lambda group, params: len(group), data, by=("k",))
        assert sorted(row["value"] for row in rows.values()) == [1.0, 2.0]


class TestRuns:
    """What comes back."""

    def test_rows(self, tune):
        """Each group is tuned on its own rows, all of them, in their order."""

        def objective(group, params):
            first = int(group["g"].iloc[0][1:]) * 5
            assert list(group["y"]) == [first + n for n in range(5)]
            assert list(group.columns) == ["g", "y"]
            return params["x"] + first

        data = frame().sample(frac=1, random_state=0).sort_values("y", kind="stable")
        rows = tune(objective, data)
        assert {row["state"] for row in rows.values()} == {"COMPLETE"}
        assert sorted(rows) == [f'["g{n}"]' for n in range(4)]
        assert {row["rows"] for row in rows.values()} == {5}

    def test_processes_make_no_difference(self, in_processes, request):
        """Two processes find what this one finds, whatever pandas has that Arrow hasn't."""
        data = frame().assign(p=pd.period_range("2020", periods=20, freq="D"))

        def objective(group, params):
            return params["x"] + group["p"].dt.day.sum()

        settings = {"keep_trials": True, "n_trials": 6}
        two = in_processes(objective, data, **settings)
        request.getfixturevalue("here")
        one = in_processes(objective, data, **settings)
        assert {row["state"] for row in two.values()} == {"COMPLETE"}
        assert histories(two) == histories(one)
        assert len({row["worker"] for row in two.values()}) <= 2

    def test_a_schema(self, tmp_path, here):
        """Tables have the key columns with their types, then the fixed ones."""
        population = LocalPopulation(frame(1), ["g"], folder=tmp_path)
        (table,) = population.run(job(loss))
        assert table.schema == row_schema(population.keys_schema)

    def test_models(self, tune, tmp_path):
        """They come back as bytes, or lie in a folder."""
        rows = tune(lambda group, params: (1.0, b"m" * 100_000), keep_models=True)
        assert all(len(row["model"]) > 100_000 for row in rows.values())
        folder = str(tmp_path / "models")
        rows = tune(lambda group, params: (1.0, "m"), keep_models=folder)
        assert all(row["model"] is None for row in rows.values())
        assert {Path(row["model_path"]).parent for row in rows.values()} == {Path(folder)}
        assert len(list(Path(folder).iterdir())) == 4

    def test_no_groups(self, tune):
        """An empty frame has no rows to tune."""
        assert tune(loss, frame().iloc[:0]) == {}

    def test_a_free_process_gets_the_next_batch(self, in_processes, late):
        """Nothing is waited for if a process has become free, even if it had no news but that."""
        rows = in_processes(loss, frame(12), parallelism=1)
        assert len(rows) == 12
        assert all(late)

    def test_dtypes_survive(self, tune):
        """What pandas has that Arrow hasn't gets there too."""
        data = frame(2).assign(
            c=pd.Categorical(["a", "b"] * 5), p=pd.period_range("2020", periods=10, freq="D")
        )

        def objective(group, params):
            assert isinstance(group["c"].dtype, pd.CategoricalDtype)
            assert isinstance(group["p"].dtype, pd.PeriodDtype)
            return 0.0

        assert {row["failed"] for row in tune(objective, data).values()} == {0}

    def test_what_cant_travel(self, tune):
        """It is said before anything runs."""
        handle = sys.stdout

        def objective(group, params):
            return handle.fileno()

        with pytest.raises(ObjectiveError, match="handle"):
            tune(objective)

    def test_closing_ends_the_processes(self, tmp_path):
        """A caller that stops iterating leaves nothing running."""
        population = LocalPopulation(frame(), ["g"], folder=tmp_path)
        others = set(psutil.Process().children(recursive=True))  # of other tests' servers
        run = population.run(job(lambda group, params: time.sleep(0.05) or 1.0, n_trials=20))
        next(run)
        children = set(psutil.Process().children(recursive=True)) - others
        assert children
        run.close()
        assert psutil.wait_procs(children, timeout=5)[1] == []


@pytest.mark.integration
class TestDeaths:
    """What befalls one trial costs no other."""

    def test_a_killed_worker(self, in_processes, tmp_path, request):
        """The trial is tried again in a new process, and all else is kept."""
        mark = tmp_path / "mark"

        def objective(group, params):
            if group["g"].iloc[0] == "g3" and params["x"] != 0.5 and not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return params["x"]

        many = frame(24)  # so that a process has done others before this one
        rows = in_processes(objective, many, keep_trials=True)
        assert mark.exists()
        request.getfixturevalue("here")
        assert histories(rows) == histories(in_processes(loss, many, keep_trials=True))

    def test_a_process_that_will_not_exit(self, in_processes):
        """One that hangs in its exit is killed after a short grace."""

        def objective(group, params):
            atexit.register(time.sleep, 120)
            return params["x"]

        began = time.monotonic()
        assert len(in_processes(objective)) == 4
        assert time.monotonic() - began < 60

    def test_a_trial_that_always_kills(self, in_processes):
        """It has failed with the signal as the reason; its group goes on without it."""

        def objective(group, params):
            if group["g"].iloc[0] == "g3" and params["x"] == 0.5:
                print("last words", flush=True)
                os.kill(os.getpid(), signal.SIGSEGV)
            return params["x"]

        rows = in_processes(objective, parallelism=1, keep_trials=True)
        row = rows['["g3"]']
        assert (row["state"], row["failed"], row["trials"]) == ("COMPLETE", 1, 4)
        assert all(row["failed"] == 0 for group, row in rows.items() if group != '["g3"]')

    def test_a_group_that_always_kills(self, in_processes):
        """Its row says what happened."""

        def objective(group, params):
            if group["g"].iloc[0] == "g3":
                os._exit(7)
            return params["x"]

        rows = in_processes(objective, parallelism=1, n_trials=2)
        assert rows['["g3"]']["state"] == "FAIL"
        assert "its worker died 2 times" in rows['["g3"]']["reason"]
        assert sum(row["state"] == "COMPLETE" for row in rows.values()) == 3

    def test_a_trial_that_hangs(self, in_processes):
        """It is cut after its time, and its group goes on."""

        def objective(group, params):
            if group["g"].iloc[0] == "g3" and params["x"] == 0.5:
                time.sleep(60)
            return params["x"]

        began = time.monotonic()
        rows = in_processes(objective, parallelism=1, trial_timeout=0.5)
        assert time.monotonic() - began < 20
        assert rows['["g3"]']["failed"] == 1
        assert rows['["g3"]']["state"] == "COMPLETE"
        assert rows['["g3"]']["seconds"] > 0.5
        assert sum(row["failed"] for row in rows.values()) == 1

    def test_what_failed_trials_print(self, in_processes):
        """It is below the traceback: of one that raised, and of one that was cut; its own alone."""

        def objective(group, params):
            name = group["g"].iloc[0]
            print(f"{name} begins", flush=True)
            os.write(2, b"in C\n")
            if name == "g0":
                raise ValueError("bad")
            if name == "g1":
                time.sleep(60)
            return params["x"]

        rows = in_processes(objective, parallelism=1, trial_timeout=0.5, n_trials=1)
        assert rows['["g0"]']["traceback"].endswith(
            "ValueError: bad\n\nIt printed:\ng0 begins\nin C"
        )
        assert rows['["g1"]']["traceback"] == "It printed:\ng1 begins\nin C"
        assert rows['["g2"]']["traceback"] == ""

    def test_a_group_whose_time_is_up(self, in_processes):
        """The trial that runs then is cut, and no other begins."""

        def objective(group, params):
            time.sleep(0.2 if params["x"] == 0.5 else 60)
            return params["x"]

        rows = in_processes(objective, frame(2), seconds=1.0)
        for row in rows.values():
            assert (row["state"], row["trials"], row["failed"]) == ("COMPLETE", 2, 1)
            assert 1.0 < row["seconds"] < 30

    def test_a_trial_that_needs_too_much_memory(self, in_processes):
        """It is killed for it, and its group goes on."""

        def objective(group, params):
            if group["g"].iloc[0] == "g3" and params["x"] == 0.5:
                hog = np.ones(50_000_000)
                time.sleep(30)
                return float(hog[0])
            return params["x"]

        rows = in_processes(objective, parallelism=1, trial_memory=400_000_000)
        assert (rows['["g3"]']["state"], rows['["g3"]']["failed"]) == ("COMPLETE", 1)

    def test_a_process_that_dies_between_trials(self, in_processes):
        """A thread that a trial left behind kills the group's process; it goes on in the next."""

        def objective(group, params):
            import threading

            if group["g"].iloc[0] == "g3":
                threading.Timer(0.3, os._exit, (3,)).start()
                with contextlib.suppress(Exception):
                    time.sleep(0.05)
            return params["x"]

        rows = in_processes(objective, parallelism=1, n_trials=3)
        assert len(rows) == 4
