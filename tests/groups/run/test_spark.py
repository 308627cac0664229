"""Groups of Spark DataFrames: on the machine, on a cluster, and through Connect."""

import contextlib
import datetime
import itertools
import pickle
import threading
import time

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manyfit import Choice, Float, Int, load_groups, tune_groups
from manyfit.errors import ArgumentError, ExecutorError, JournalError
from manyfit.groups.job import GroupJob
from manyfit.groups.record import spark_output
from manyfit.groups.run.spark import SparkPopulation
from manyfit.metric import Metric
from manyfit.space import Space
from manyfit.spark.executor import SparkExecutor

pytestmark = pytest.mark.integration

SPACE = {"x": Float(0.0, 1.0), "n": Int(1, 9), "kind": Choice(["a", "b"])}


@pytest.fixture(
    params=["standalone_spark", pytest.param("connect_spark", marks=pytest.mark.soak("contracts"))]
)
def session(request, monkeypatch):
    """Both kinds of session on a cluster, in a process that takes itself for one of its kind."""
    found = request.getfixturevalue(request.param)
    if request.param == "connect_spark":
        monkeypatch.setenv("SPARK_CONNECT_MODE_ENABLED", "1")
    return found


@pytest.fixture
def tuned(tmp_path):
    """Tunes, with a record in a folder of the test's own."""

    def run(data, objective, **settings):
        settings = {
            "by": "g",
            "space": SPACE,
            "metric": "loss",
            "n_trials": 3,
            "seed": 1,
            "tracker": None,
            "progress": None,
            "folder": tmp_path,
            **settings,
        }
        return tune_groups(data, objective=objective, **settings)

    return run


def frame(groups=12):
    """Return groups of 1 to 8 rows in a random order, with odd keys of three types."""
    rng = np.random.default_rng(0)
    shops = ["Köln", "東京 🎌", 'a "quoted", one', None]
    lines = [
        (
            shops[group % 4],
            None if group % 5 == 0 else group,
            datetime.datetime(2024, 3, 1 + group // 4, 23, 30),
            hour,
            float(rng.normal(group)),
        )
        for group in range(groups)
        for hour in range(1 + group % 8)
    ]
    found = pd.DataFrame(lines, columns=["shop", "number", "at", "hour", "y"])
    found["number"] = found["number"].astype("Int64")
    found["at"] = found["at"].dt.tz_localize("UTC")  # on Spark, times are moments
    return found.sample(frac=1.0, random_state=0, ignore_index=True)


def of(spark, rows):
    """Return a frame of these as a Spark DataFrame."""
    # Spark would send a list through Python workers of its own each time it reads it.
    return spark.createDataFrame(pa.Table.from_pandas(rows, preserve_index=False))


def numbered(spark, groups, rows=3):
    """Return groups of some rows each."""
    return spark.range(0, groups * rows, 1, 2).selectExpr(
        f"format_string('g%02d', id div {rows}) AS g", f"double(id div {rows} + id % {rows}) AS y"
    )


def outcomes(result, *more):
    """Return all that must not depend on where groups were tuned."""
    other = ("seconds", "fit_seconds", "worker", "traceback", *more)
    return [
        {name: value for name, value in row.items() if name not in other}
        for row in result.rows.to_pylist()
    ]


def models(rows):
    """Return the models of groups that have one."""
    return {row["group"]: pickle.loads(row["model"]) for row in rows if row["model"] is not None}


def on_both(tuned, spark, objective, rows=None, **settings):
    """Tune the same on pandas and on Spark; returns both results."""
    rows = frame() if rows is None else rows
    settings = {"by": ["shop", "number", "at"], "order_by": "hour", **settings}
    return tuned(rows, objective, **settings), tuned(of(spark, rows), objective, **settings)


class TestSameTable:
    """Where rows are changes nothing about what is found."""

    def test_on_a_cluster(self, session, tuned, here, tmp_path, forget):
        """Missing, unicode and time keys, groups of one row, a holdout, models: all is the same.

        With an output, models never come to the driver, and resuming adds no row twice.
        """

        def objective(train, valid, params):
            mean = train["y"].mean() * params["x"] + params["n"] / 10
            mean += 0.1 if params["kind"] == "a" else 0.0
            return {"loss": abs(valid["y"] - mean).mean(), "hours": train["hour"].sum()}, mean

        rows, out = frame(8), tmp_path / "out"
        settings = {"by": ["shop", "number", "at"], "order_by": "hour", "holdout": "last 2"}
        settings |= {"keep_models": True}
        same = tuned(rows, objective, **settings)
        settings |= {"output": out, "name": "call"}
        there = tuned(of(session, rows), objective, **settings)
        assert outcomes(same, "model") == outcomes(there, "model")
        assert there.count("BASELINE") == 2  # two rows, or one, can't be split
        assert there.count("COMPLETE") == 6
        assert len({row["worker"] for row in there.rows.to_pylist()} - {""}) > 1
        forget(tmp_path / "call")
        again = tuned(of(session, rows), objective, **settings)
        assert again.table.equals(there.table)
        found = pq.read_table(out).to_pylist()
        assert there.rows.column("model").null_count == 8
        assert {row["call"] for row in found} == {"call"}
        assert len(found) == 8
        assert models(found) == models(same.rows.to_pylist())

    def test_what_some_teach_others(self, spark, tuned, here):
        """What is learned from groups is the same, too."""

        def objective(group, params):
            return (params["x"] - 0.3) ** 2 + (params["n"] - 4) ** 2 / 99 + group["y"].mean() / 99

        same, there = on_both(tuned, spark, objective, frame(12), mode="transfer")
        assert outcomes(same) == outcomes(there)
        assert there.count("COMPLETE") == 12

    def test_clusters_of_groups(self, spark, tuned, here):
        """Each has params of its own."""

        def objective(group, params):
            return abs(params["x"] - 0.1 * len(str(group["shop"].iloc[0])))

        settings = {"by": ["shop", "number"], "mode": "shared", "shared_by": "shop"}
        settings["n_trials"] = 2
        same, there = on_both(tuned, spark, objective, frame(8), **settings)
        assert outcomes(same) == outcomes(there)
        assert there.table.groupby("shop", dropna=False)["params_x"].nunique().eq(1).all()

    @pytest.mark.soak("contracts")
    def test_keys_called_as_a_column_of_the_result(self, spark, tuned, here, tmp_path):
        """They have `key_` before their names in it, in whatever case they are."""
        names = {"shop": "State", "number": "shop's number (1-9)", "at": "call"}
        rows = frame(4)
        settings = {"by": [*names.values()], "order_by": "hour", "n_trials": 2}

        def objective(group, params):
            return group["y"].mean() * params["x"]

        data = of(spark, rows)
        for old, new in names.items():
            data = data.withColumnRenamed(old, new)
        there = tuned(data, objective, name="call", output=tmp_path / "out", **settings)
        again = tuned(data, objective, name="call", output=tmp_path / "out", **settings)
        same = tuned(rows.rename(columns=names), objective, **settings)
        assert outcomes(same) == outcomes(there) == outcomes(again)
        assert list(there.table.columns[:3]) == ["key_State", "shop's number (1-9)", "key_call"]
        assert there.count("COMPLETE") == 4

    def test_nan_and_null_are_one_key(self, spark, tuned):
        """Both are missing: they have one row, not two of the same name."""
        data = spark.sql("VALUES (1D, 1D), (double('NaN'), 2D), (NULL, 3D), (2D, 4D) AS t(g, y)")
        table = tuned(data, lambda group, params: group["y"].sum(), n_trials=1).table
        assert table["value"].tolist() == [1.0, 4.0, 5.0]
        assert table["g"].isna().sum() == 1


class TestMoments:
    """Times are moments, whatever clocks show: in a session whose zone is not the system's."""

    @pytest.fixture
    def there(self, spark):
        """A session in New York."""
        before = spark.conf.get("spark.sql.session.timeZone")
        spark.conf.set("spark.sql.session.timeZone", "America/New_York")
        yield spark
        spark.conf.set("spark.sql.session.timeZone", before)

    def test_keys(self, there, tuned, tmp_path, forget):
        """Two that clocks show alike are two groups, each found again by the key that is shown."""
        seconds = [1730611800, 1730615400, 1730700000]  # 01:30, 01:30 an hour later, a day later
        values = ", ".join(f"(timestamp_seconds({each}), {n}D)" for n, each in enumerate(seconds))
        data = there.sql(f"VALUES {values} AS t(g, y)")
        settings = {"name": "call", "output": tmp_path / "out", "keep_models": tmp_path / "models"}

        def run():
            return tuned(data, lambda rows, params: (rows["y"].sum(), by_hour), **settings)

        result = run()
        assert [at.timestamp() for at in result.table["g"]] == seconds
        assert [str(at)[11:] for at in result.table["g"][:2]] == [
            "01:30:00-04:00",
            "01:30:00-05:00",
        ]
        assert all(result.params_of(at) for at in result.table["g"])
        assert result.params_of(result.table["g"][2].tz_localize(None))
        found = {row["y"]: row["prediction"] for row in result.predict(data).collect()}
        assert found == {0.0: 1.0, 1.0: 1.0, 2.0: 1.0}
        there.conf.set("spark.sql.session.timeZone", "Asia/Tokyo")
        forget(tmp_path / "call")
        for again in (run(), run()):  # from the output, and then from the record
            assert again.rows.column("group") == result.rows.column("group")
        assert len(pq.read_table(tmp_path / "out")) == 3

    def test_order(self, there, tuned):
        """Rows are in the order of moments, also where clocks were put back."""
        data = there.range(12).selectExpr(
            "'a' AS g",
            "timestamp_seconds(1730610000 + 1200 * ((id * 5) % 12)) AS at",
            "(id * 5) % 12 AS n",
        )

        def fit(train, valid, params):
            rows = [*train["n"], *valid["n"]]
            return float(sum(one > other for one, other in itertools.pairwise(rows)))

        result = tuned(data, fit, order_by="at", holdout="last 2")
        assert result.table["value"].tolist() == [0.0]

    @pytest.mark.soak("contracts")
    def test_clusters(self, there, tuned):
        """Moments may name clusters, too."""
        data = there.range(4).selectExpr(
            "id AS g", "timestamp_seconds(1730611800 + 3600 * (id % 2)) AS at", "id % 2 AS best"
        )
        objective = lambda group, params: abs(params["x"] - group["best"].iloc[0])  # noqa: E731
        result = tuned(data, objective, mode="shared", shared_by="at", n_trials=4)
        assert result.table["params_x"].nunique() == 2


def by_hour(rows):
    """Stand for a model."""
    return np.ones(len(rows))


class TestWork:
    """How groups are spread over tasks."""

    def test_small_groups_are_spread(self, spark, tuned, tmp_path):
        """All 2 slots work at once; adaptive execution would put such small data into one task."""
        assert spark.conf.get("spark.sql.adaptive.enabled") == "true"

        def objective(group, params):
            import os
            import time

            (tmp_path / f"worker-{os.getpid()}").touch()
            deadline = time.monotonic() + 60
            while len(list(tmp_path.glob("worker-*"))) < 2:
                assert time.monotonic() < deadline, "others never begin"
                time.sleep(0.02)
            return params["x"]

        table = tuned(numbered(spark, 8), objective, n_trials=1).table
        assert table["state"].eq("COMPLETE").all()
        assert table["worker"].nunique() == 2

    def test_a_large_group_is_tuned_once(self, spark):
        """It has a task of its own, and none in that of a small one whose key hashes alike."""
        frame = spark.range(5003).selectExpr("if(id < 3, 'group 223', 'group 1') AS g", "0D AS y")
        cells = frame.selectExpr("pmod(xxhash64(g), 1024) AS cell").distinct()
        assert cells.count() == 1  # both are in the same one of those that tasks are made of

        job = GroupJob(("g",), lambda group, params: params["x"], Space(SPACE), Metric("loss"), 1)
        population = SparkPopulation(frame, ["g"], [], SparkExecutor(spark))
        found = [row["g"] for rows in population.run(job) for row in rows.to_pylist()]
        population.close()
        assert sorted(found) == ["group 1", "group 223"]

    def test_closing_ends_the_jobs(self, spark, tmp_path):
        """A caller that stops iterating, or presses Ctrl-C, leaves the cluster free."""

        def objective(group, params):
            import time

            time.sleep(0.2)
            return params["x"]

        job = GroupJob(("g",), objective, Space(SPACE), Metric("loss"), 2)
        population = SparkPopulation(numbered(spark, 60), ["g"], [], SparkExecutor(spark))
        run = population.run(job)
        next(run)
        run.close()
        population.close()
        tracker = spark.sparkContext.statusTracker()
        deadline = time.monotonic() + 10
        while tracker.getActiveJobsIds() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert tracker.getActiveJobsIds() == []

    def test_rows_that_a_user_keeps(self, spark):
        """What was persisted stays so; what wasn't is given back."""
        kept, other = numbered(spark, 2).persist(), numbered(spark, 3)
        for data in (kept, other):
            population = SparkPopulation(data, ["g"], [], SparkExecutor(spark))
            population.hold()
            assert data.storageLevel.useMemory
            population.close()
        assert kept.storageLevel.useMemory
        assert not other.storageLevel.useMemory
        kept.unpersist()


class TestFailures:
    """What befalls a group is in its row, and in no other."""

    def test_all_at_once(self, spark, tuned, here):
        """Each says what happened, as on pandas; the others finish."""

        def objective(group, params):
            import os
            import time

            name = group["g"].iloc[0]
            if name == "g01":
                raise ValueError(f"{name} can't be fitted")
            if name == "g02":
                return float("nan")
            if name == "g03":
                os._exit(7)
            if name == "g04" and params["x"] != 0.5:
                time.sleep(60)
            if name == "g05":
                return 1 / float(group["y"].std() * 0)
            return params["x"]

        data = numbered(spark, 7)
        rows = data.toPandas()
        settings = {
            "n_trials": 2,
            "trial_timeout": 1.0,
            "start_with": [{"x": 0.5, "n": 1, "kind": "a"}],
        }
        same = tuned(rows[~rows["g"].isin(["g03", "g04"])], objective, **settings)
        there = tuned(data, objective, **settings)
        rest = [row for row in outcomes(there) if row["g"] not in ("g03", "g04")]
        assert outcomes(same) == rest
        table = there.table.set_index("g")
        assert (table["state"] == "FAIL").sum() == 4
        assert "ValueError: g01 can't be fitted" in table.loc["g01", "reason"]
        assert "loss is NaN" in table.loc["g02", "reason"]
        assert "its worker died 2 times" in table.loc["g03", "reason"]
        assert table.loc["g04", "failed"] == 1
        assert table.loc["g04", "state"] == "COMPLETE"
        assert "ZeroDivisionError" in table.loc["g05", "reason"]
        assert len(there.failures()) == 4

    def test_an_objective_that_workers_cant_load(self, spark, tuned):
        """It ends the call with the workers' own words."""

        class Torn:
            def __reduce__(self):
                return int, ("no number",)

        torn = Torn()
        with pytest.raises(ExecutorError, match="no number"):
            tuned(numbered(spark, 4), lambda group, params: len(str(torn)))

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"by": "h"}, "'h' is not a column"),
            ({"by": "many"}, "'many' can't be a key: its type is array<int>"),
            ({"parallelism": 2}, "parallelism is for pandas"),
            ({"holdout": "last 2"}, "needs order_by"),
        ],
    )
    def test_what_breaks_a_rule(self, spark, tuned, settings, message):
        """It is refused before anything runs."""
        data = spark.sql("SELECT 'a' AS g, array(1) AS many, 1.0 AS y")
        objective = lambda *frames: 1.0  # noqa: E731 - takes whatever it is given
        with pytest.raises(ArgumentError, match=message):
            tuned(data, objective, **settings)

    @pytest.mark.parametrize("name", ["shop.id", "`shop`"])
    def test_names_that_python_cant_be_told(self, spark, tuned, name):
        """Spark would fail on them in words of its own, when all is planned."""
        data = spark.createDataFrame([("a", 1.0)], ["g", name])
        with pytest.raises(ArgumentError, match=rf"can't pass the column {name!r} to Python"):
            tuned(data, lambda group, params: 1.0)

    @pytest.mark.soak("kills")
    def test_a_lost_executor(self, standalone_spark, tuned, here, tmp_path):
        """Its groups are tuned elsewhere, and each has one row."""
        begun = tmp_path / "begun"

        def objective(group, params):
            import time

            begun.touch()
            time.sleep(0.1)
            return params["x"] + group["y"].mean()

        app = standalone_spark.sparkContext.applicationId
        killed = []
        killer = threading.Thread(target=lambda: killed.append(kill_executor(app, begun)))
        killer.start()
        there = tuned(numbered(standalone_spark, 12), objective, order_by="y")
        killer.join()
        assert killed != [None]
        rows = pd.DataFrame(
            [(f"g{n:02}", float(n + row)) for n in range(12) for row in range(3)],
            columns=["g", "y"],
        )
        assert outcomes(there) == outcomes(tuned(rows, lambda g, p: p["x"] + g["y"].mean()))


def kill_executor(app, begun):
    """Kill one executor of an application, with the workers below it, once a trial has begun."""
    deadline = time.monotonic() + 60
    while not begun.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if "org.apache.spark.executor.CoarseGrainedExecutorBackend" in line and app in line:
            with contextlib.suppress(psutil.Error):
                process.kill()
                return process.pid
    return None


def nothing_after_the_first(write):
    """Return a way to write that works once."""
    left = [write]
    return lambda output, rows: left.pop()(output, rows) if left else None


class TestOutput:
    """Rows that are written where they are."""

    def test_something_else_is_there(self, spark, tuned, tmp_path):
        """It is refused before anything runs."""
        spark.range(3).write.parquet(str(tmp_path / "out"))
        with pytest.raises(ArgumentError, match="its columns are id, but rows"):
            tuned(numbered(spark, 2), lambda group, params: 1.0, output=tmp_path / "out")

    def test_rows_that_another_process_takes_away(self, spark, tuned, tmp_path, monkeypatch):
        """What is not there after it was written is written again, and nothing else is."""
        write = spark_output.write
        parts = [lambda rows: rows.where("g < 'g02'"), lambda rows: rows]
        monkeypatch.setattr(
            spark_output, "write", lambda output, rows: write(output, parts.pop()(rows))
        )
        parts.insert(1, lambda rows: rows.where("g < 'g04'"))
        parts.append(lambda rows: rows)  # of the empty table that an output begins with
        there = tuned(numbered(spark, 5), lambda group, params: 1.0, output=tmp_path / "out")
        found = pq.read_table(tmp_path / "out").column("g").to_pylist()
        assert sorted(found) == [f"g{n:02}" for n in range(5)] == there.table["g"].tolist()

    def test_rows_that_never_arrive(self, spark, tuned, tmp_path, monkeypatch):
        """The call ends with what is missing, and has none of it on record."""
        monkeypatch.setattr(spark_output, "write", nothing_after_the_first(spark_output.write))
        monkeypatch.setattr(spark_output, "_TRIES", 2)
        settings = {"output": tmp_path / "out", "name": "call"}
        with pytest.raises(JournalError, match="5 of 5 rows are missing after 2 attempts"):
            tuned(numbered(spark, 5), lambda group, params: 1.0, **settings)
        assert len(load_groups("call", folder=tmp_path)) == 0

    def test_an_output_with_fewer_columns(self, spark, tuned, tmp_path, forget):
        """Rows that an older Manyfit wrote count, and rows of now go beside them."""
        settings = {"output": tmp_path / "out", "name": "call"}
        tuned(numbered(spark, 3), lambda group, params: 1.0, **settings)
        for path in (tmp_path / "out").glob("*.parquet"):
            pq.write_table(pq.read_table(path).drop_columns(["fit_seconds", "history"]), path)
        for path in (tmp_path / "out").glob(".*.crc"):
            path.unlink()
        forget(tmp_path / "call")
        result = tuned(numbered(spark, 5), lambda group, params: 1.0, **settings)
        assert result.table["fit_seconds"].tolist()[:3] == [0.0] * 3
        assert result.table["fit_seconds"].gt(0).tolist()[3:] == [True] * 2
        assert load_groups("call", folder=tmp_path) == result

    def test_files_of_another_format(self, spark, tuned, tmp_path):
        """They are refused, wherever they are below the folder."""
        (tmp_path / "out" / "deep").mkdir(parents=True)
        (tmp_path / "out" / "deep" / "notes.csv").write_text("a,b")
        with pytest.raises(ArgumentError, match="or can't be read as parquet"):
            tuned(numbered(spark, 2), lambda group, params: 1.0, output=tmp_path / "out")

    def test_a_delta_table_given_as_a_folder(self, spark, tuned, tmp_path):
        """Files beside a Delta table's would be no part of it."""
        spark.range(3).write.parquet(str(tmp_path / "out"))
        (tmp_path / "out" / "_delta_log").mkdir()
        (tmp_path / "out" / "_delta_log" / "0.json").write_text("{}")
        with pytest.raises(ArgumentError, match=r"is a Delta table: pass output=manyfit.Delta"):
            tuned(numbered(spark, 2), lambda group, params: 1.0, output=tmp_path / "out")

    def test_a_format_that_spark_lacks(self, spark, tuned, tmp_path):
        """Delta wants a library on the cluster; that is said before anything runs."""
        from manyfit import Delta

        with pytest.raises(JournalError, match=r"can't write to output=.*out(?s:.*)delta"):
            tuned(numbered(spark, 2), lambda g, p: 1.0, output=Delta(str(tmp_path / "out")))
