"""Calls of `tune_groups` read from their records: without the data, of before, and cut off."""

import shutil
from dataclasses import fields
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from manyfit import (
    Choice,
    Float,
    GroupsResult,
    load_groups,
    load_study,
    study_names,
    tune,
    tune_groups,
)
from manyfit.errors import ArgumentError, JournalError, StudyChangedError
from manyfit.groups.joint import Joint
from manyfit.journal.file import FileJournal

GOLDEN = Path(__file__).parents[1] / "golden" / "groups_arrow"
ROWS = pd.DataFrame({"g": [g for g in "abcdefghij" for _ in range(3)], "y": range(30)})
X = {"x": Float(0.0, 1.0)}


class Killed(BaseException):
    """The driver's death."""


def judge(group, params):
    if group["g"].iloc[0] == "c":
        raise ValueError("no data")
    return (params["x"] - 0.9) ** 2 + group["y"].mean() / 300, {"level": params["x"]}


def sales():
    """The data of the golden record: keys that are missing, not ASCII, and times with a zone."""
    days = pd.to_datetime(["2026-03-01 12:00", "2026-07-01 12:00"]).tz_localize("Europe/Berlin")
    keys = [("north", days[0]), ("north", days[1]), (None, days[0]), ("größe", days[1])]
    lines = [(shop, day, float(i + j)) for i, (shop, day) in enumerate(keys) for j in range(3)]
    return pd.DataFrame(lines, columns=["shop", "day", "y"])


def fit(group, params):
    if group["shop"].iloc[0] == "größe":
        raise ValueError("no sales")
    loss = (params["x"] - group["y"].mean() / 6) ** 2
    return {"loss": loss, "rows": len(group)}, {"level": params["x"]}


@pytest.fixture
def tuned(tmp_path, here):
    """Tunes ten groups in the process of the test."""

    def run(data=ROWS, **settings):
        settings = {
            "by": "g",
            "objective": judge,
            "space": X,
            "metric": "loss",
            "n_trials": 6,
            "seed": 0,
            "name": "sales",
            "folder": tmp_path,
            "tracker": None,
            "progress": None,
            **settings,
        }
        return tune_groups(data, **settings)

    return run


@pytest.fixture
def golden(tmp_path):
    """A copy of what a version wrote whose records were no journals."""
    shutil.copytree(GOLDEN, tmp_path / "golden")
    return tmp_path / "golden"


class TestLoading:
    """A result in another process."""

    @pytest.mark.parametrize(
        "settings",
        [
            {"keep_models": True, "keep_trials": True},
            {"mode": "shared"},
            {"mode": "transfer", "space": {**X, "kind": Choice(["a", "b"])}},
            {"data": sales(), "by": ["shop", "day"], "objective": fit, "keep_models": True},
        ],
        ids=["models", "shared", "transfer", "keys"],
    )
    def test_it_is_the_one_that_was_returned(self, tuned, tmp_path, settings):
        """Everything is on record: keys with their types, models, notes, why it ended."""
        result = tuned(**settings)
        loaded = load_groups("sales", folder=tmp_path)
        for field in fields(GroupsResult):
            assert getattr(loaded, field.name) == getattr(result, field.name), field.name
        assert loaded == result

    def test_it_predicts_without_the_training_data(self, tuned, tmp_path):
        """Each group's rows by its own model."""
        result = tuned(
            objective=lambda group, params: (params["x"], lambda rows: rows["y"] * params["x"]),
            keep_models=True,
        )
        new = pd.DataFrame({"g": ["b", "a"], "y": [1.0, 2.0]})
        found = load_groups("sales", folder=tmp_path).predict(new)
        pd.testing.assert_frame_equal(found, result.predict(new))

    def test_keys_of_every_type_come_back(self, tuned, tmp_path):
        """To the last digit, missing ones too."""
        column = pd.Series([1, 2, 3])
        stamps = pd.to_datetime(["2026-01-01 00:00:00.0", None, "2026-01-02 03:04:05.678901"])
        keys = pd.DataFrame(
            {
                "text": ["a", None, "größe"],
                "whole": column.astype("int16"),
                "real": [0.1, float("nan"), float("inf")],
                "flag": [True, False, True],
                "zoned": stamps.tz_localize("Asia/Tokyo"),
                "naive": stamps,
                "day": pd.Series([stamps[0].date(), None, stamps[2].date()]),
                "lag": pd.to_timedelta([1, None, 3], unit="s"),
                "raw": [b"\x00\xff", None, b""],
                "price": pd.array(["1.50", None, "2.25"], pd.ArrowDtype(pa.decimal128(6, 2))),
            }
        )
        result = tuned(keys, by=list(keys), objective=lambda rows, params: params["x"], n_trials=1)
        loaded = load_groups("sales", folder=tmp_path).rows
        assert loaded.schema == result.rows.schema
        assert repr(loaded.to_pylist()) == repr(result.rows.to_pylist())  # NaN isn't NaN

    def test_one_that_is_not_there(self, tuned, tmp_path):
        """The message names those that are; each kind of record says how it is read."""
        tuned()
        tune(lambda params: params["x"], X, metric="loss", n_trials=1, name="s", tracker=None,
             progress=None, folder=tmp_path, executor="inline")  # fmt: skip
        assert set(study_names(tmp_path)) == {"sales", "s"}
        with pytest.raises(ArgumentError, match=r"no call of tune_groups named 's'.* are: sales$"):
            load_groups("s", folder=tmp_path)
        with pytest.raises(ArgumentError, match=r"load_groups\('sales'\) reads its result"):
            load_study("sales", folder=tmp_path)

    def test_one_that_raised(self, tuned, tmp_path, monkeypatch):
        """It says how it ended."""
        with monkeypatch.context() as patch:
            patch.setattr("manyfit.groups.tuning.advice", lambda *_, **__: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                tuned()
        loaded = load_groups("sales", folder=tmp_path)
        assert loaded.reason == "the driver ended with ZeroDivisionError: division by zero"
        assert len(loaded) == 10

    def test_models_that_are_gone(self, tuned, tmp_path):
        """The result says so, and the same call tunes their groups again."""
        tuned(keep_models=True)
        (tmp_path / "sales" / "models").unlink()
        (note,) = load_groups("sales", folder=tmp_path).notes[-1:]
        assert "models of 9 groups are gone" in note
        again = tuned(keep_models=True)
        assert "9 groups are tuned again: their models are gone" in "\n".join(again.notes)
        assert again.model_of("a")["level"] == again.params_of("a")["x"]


class TestBefore:
    """Records that are no journals, and outputs of fewer columns."""

    def test_they_are_read(self, golden):
        """Rows, models, trials, keys; nothing is written."""
        before = sorted(golden.rglob("*"))
        result = load_groups("sales", folder=golden)
        assert result.table["state"].tolist() == ["FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]
        assert result.reason == "done by an older Manyfit, which did not note how it ended"
        key = ("north", pd.Timestamp("2026-07-01 12:00", tz="Europe/Berlin"))
        assert result.model_of(key) == {"level": result.params_of(key)["x"]}
        assert result.rows.column("history").null_count == 0
        assert load_groups("transfer", folder=golden).count("COMPLETE") == 26
        assert sorted(golden.rglob("*")) == before
        assert set(study_names(golden)) == {"sales", "output", "shared", "transfer"}

    def test_they_are_gone_on_with(self, golden, tuned):
        """What is done stays, models included, and what failed is tuned again; once imported."""
        before = load_groups("sales", folder=golden)
        settings = {"by": ["shop", "day"], "objective": fit, "n_trials": 3, "folder": golden}
        for _ in range(2):
            again = tuned(sales(), **settings, keep_models=True, keep_trials=True)
            assert again.rows.slice(1) == before.rows.slice(1)
            assert (golden / "sales" / "journal.jsonl").exists()
            assert not (golden / "sales" / "groups.json").exists()

    def test_a_driver_that_died_over_the_import(self, golden, tuned, monkeypatch):
        """The next one imports it again, and nothing counts twice."""
        before = load_groups("sales", folder=golden)
        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(Killed))
            with pytest.raises(Killed):
                tuned(sales(), by=["shop", "day"], objective=fit, folder=golden)
        assert load_groups("sales", folder=golden) == before
        tuned(sales(), by=["shop", "day"], objective=fit, folder=golden, n_trials=3)
        assert load_groups("sales", folder=golden).rows.slice(1) == before.rows.slice(1)

    def test_trials_over_groups_go_on(self, golden, tuned, tmp_path):
        """With the groups that are excluded, and the best scores, of before."""
        settings = {"objective": lambda *given: judge(*given)[0], "mode": "shared"}
        whole = tuned(**settings)
        again = tuned(**settings, folder=golden, name="shared")
        assert again.table["params_x"].tolist()[0] == whole.table["params_x"][0]
        assert again.count("FAIL") == 1

    def test_trials_over_groups_that_noted_less(self, golden, tuned):
        """Without a note of what trials were judged on, rows that were tuned say it."""
        (golden / "shared" / "judged-0001.arrows").unlink()
        settings = {"objective": lambda *given: judge(*given)[0], "mode": "shared"}
        settings |= {"folder": golden, "name": "shared"}
        with pytest.raises(StudyChangedError, match=r"judged on other data \(1 group joined\)"):
            tuned(pd.concat([ROWS, ROWS.iloc[:3].assign(g="k")]), **settings)
        assert tuned(**settings).count("FAIL") == 1

    def test_a_record_with_fewer_columns(self, golden, tuned):
        """What a row lacks is as if nothing had been noted; a column of later is refused."""
        path = golden / "sales" / "groups-0001.arrows"
        whole = pa.ipc.open_stream(path.read_bytes()).read_all()

        def put(table):
            with pa.ipc.new_stream(path, table.schema) as stream:
                stream.write_table(table)

        put(whole.drop_columns(["fit_seconds"]))
        assert load_groups("sales", folder=golden).table["fit_seconds"].tolist() == [0.0] * 4
        put(whole.append_column("cost", pa.array([1.0] * len(whole))))
        with pytest.raises(JournalError, match=r"newer Manyfit: this one doesn't know cost"):
            load_groups("sales", folder=golden)

    def test_an_output_with_fewer_columns(self, tuned, tmp_path):
        """A call goes on with it, and rows of now have all their columns."""
        settings = {"output": tmp_path / "rows", "keep_models": True}
        tuned(ROWS.iloc[:15], **settings)
        for path in (tmp_path / "rows").iterdir():
            table = pa.parquet.read_table(path).drop_columns(["fit_seconds", "history"])
            pa.parquet.write_table(table, path)
        result = tuned(**settings)
        assert result.count("COMPLETE") == 9
        assert not any("tuned again" in note for note in result.notes)
        written = pa.dataset.dataset(tmp_path / "rows").to_table(columns=["group"])
        assert sorted(set(written["group"].to_pylist())) == [f'["{g}"]' for g in "abcdefghij"]


def moments_of(run, monkeypatch):
    """Run; returns how long each journal was after each event that was written, in order."""
    sizes, moments, append = {}, [], FileJournal.append

    def noted(journal, event):
        moments.append(dict(sizes))
        append(journal, event)
        sizes[journal.path] = journal.path.stat().st_size

    with monkeypatch.context() as patch:
        patch.setattr(FileJournal, "append", noted)
        run()
    return moments


@pytest.mark.parametrize("mode", ["independent", "shared"])
def test_a_driver_that_dies_between_any_two_events(tuned, tmp_path, monkeypatch, mode):
    """The resumed call ends as an undisturbed one, with the same params and trials."""
    settings = {"mode": mode, "data": ROWS.iloc[:15], "n_trials": 4}
    home = tmp_path / "whole"
    moments = moments_of(lambda: tuned(folder=home, **settings), monkeypatch)
    whole = load_groups("sales", folder=home).table
    for at, sizes in enumerate(moments):
        killed = tmp_path / str(at)
        for path, size in sizes.items():
            copy = killed / path.relative_to(home)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes()[:size])
        again = tuned(folder=killed, **settings).table
        columns = ["g", "state", "value", "baseline", "params_x", "trials"]
        pd.testing.assert_frame_equal(again[columns], whole[columns])
        if mode == "shared":
            folders = [each / "sales" / "shared" for each in (home, killed)]
            told = [
                [
                    (trial.state, trial.params, trial.value)
                    for trial in load_study("0000", folder=each)
                ]
                for each in folders
            ]
            assert told[0] == told[1], at
    assert len(moments) > (20 if mode == "shared" else 8)


def test_a_driver_that_dies_before_a_trial_is_told(tuned, tmp_path, monkeypatch):
    """What it gave is on record: it is not evaluated again, and groups that fail are known."""

    def dies(_):
        raise Killed

    settings = {"mode": "shared"}
    whole = tuned(folder=tmp_path / "whole", **settings)
    with monkeypatch.context() as patch:
        patch.setattr(Joint, "_remember", dies)
        with pytest.raises(Killed):
            tuned(folder=tmp_path / "killed", **settings)
    again = tuned(folder=tmp_path / "killed", **settings)
    assert again.table["params_x"].tolist()[0] == whole.table["params_x"][0]
