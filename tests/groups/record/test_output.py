"""Rows of groups in a Parquet folder or a Delta table."""

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manyfit import Delta, Float, Parquet, tune_groups
from manyfit.errors import ArgumentError, JournalError, NoResultError, StudyChangedError
from manyfit.groups.record.output import Output
from manyfit.groups.record.row import COMPLETE, GroupRow, row_schema, to_table
from manyfit.metric import Metric

SCHEMA = row_schema(pa.schema([("g", pa.string())]))


def rows(*names, model=b"m"):
    made = [GroupRow(f'["{name}"]', COMPLETE, value=1.0, model=model) for name in names]
    return to_table([(name,) for name in names], made, Metric("loss"), SCHEMA)


@pytest.fixture(params=["parquet", "delta", "url"])
def output(request, tmp_path):
    """An output of each kind, not made yet."""
    if request.param == "delta":
        pytest.importorskip("deltalake")
        return Output.of(Delta(str(tmp_path / "out")), tmp_path / "call")
    url = (tmp_path / "out").as_uri() if request.param == "url" else tmp_path / "out"
    return Output.of(url, tmp_path / "call")


def groups(table):
    return sorted(table.column("group").to_pylist())


class TestPlaces:
    """What is written is there, once, whatever the place."""

    def test_a_round_trip(self, output):
        """Rows come back without models; those of other calls are not this one's."""
        output.open(SCHEMA)
        assert len(output.rows(SCHEMA)) == 0
        output.write(rows("a", "b"))
        output.write(rows("c"))
        Output(output.place, "other").write(rows("z"))
        found = output.rows(SCHEMA)
        assert found.schema == SCHEMA
        assert groups(found) == ['["a"]', '["b"]', '["c"]']
        assert found.column("model").null_count == 3
        assert found.column("value").to_pylist() == [1.0, 1.0, 1.0]

    def test_something_else_is_there(self, output):
        """It is refused with both lists of columns."""
        output.open(SCHEMA)
        other = row_schema(pa.schema([("store", pa.string())]))
        with pytest.raises(ArgumentError, match=r"its columns are call, g, .* have call, store,"):
            output.open(other)

    def test_keys_of_another_type(self, tmp_path):
        """They are refused: one folder with both could not be read."""
        output = Output.of(tmp_path / "out", tmp_path / "call")
        output.open(SCHEMA)
        with pytest.raises(ArgumentError, match=r"columns are g string, but .* have g int64"):
            output.open(row_schema(pa.schema([("g", pa.int64())])))

    def test_files_of_another_format(self, output, tmp_path):
        """They are refused, and not taken for an empty folder."""
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "notes.csv").write_text("a,b\n1,2\n")
        with pytest.raises(ArgumentError, match=r"or can't be read as (parquet|delta)"):
            output.open(SCHEMA)
        assert [each.name for each in (tmp_path / "out").iterdir()] == ["notes.csv"]

    def test_a_delta_table_given_as_a_folder(self, tmp_path):
        """Files beside a Delta table's would be no part of it."""
        (tmp_path / "out" / "_delta_log").mkdir(parents=True)
        with pytest.raises(ArgumentError, match=r"is a Delta table: pass output=manyfit.Delta"):
            Output.of(tmp_path / "out", tmp_path / "call").open(SCHEMA)

    def test_opening_again(self, output):
        """What is there stays."""
        output.open(SCHEMA)
        output.write(rows("a"))
        output.open(SCHEMA)
        assert groups(output.rows(SCHEMA)) == ['["a"]']


class TestGathering:
    """Few files of many rows, rather than many of few."""

    def test_small_tables_are_one_file(self, tmp_path):
        """Tables that come quickly are written together, and yielded without models."""
        output = Output.of(tmp_path / "out", tmp_path / "call")
        (found,) = output.through(iter([rows("a"), rows("b"), rows("c")]))
        assert groups(found) == ['["a"]', '["b"]', '["c"]']
        assert found.column("model").null_count == 3
        (file,) = (tmp_path / "out").iterdir()
        assert pq.read_table(file).column("model").to_pylist() == [b"m"] * 3

    def test_large_models_are_not_held_back(self, tmp_path):
        """Rows that exceed `most_bytes` are written at once."""
        output = Output.of(tmp_path / "out", tmp_path / "call")
        large = rows("a", model=bytes(70_000))
        tables = output.through(iter([large, rows("b")]), most_bytes=64_000)
        assert groups(next(tables)) == ['["a"]']
        assert len(list((tmp_path / "out").iterdir())) == 1

    def test_an_interrupt_loses_nothing(self, tmp_path):
        """What had ended before a Ctrl-C is written, for the next call to find."""
        output = Output.of(tmp_path / "out", tmp_path / "call")

        def interrupted():
            yield rows("a")
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            list(output.through(interrupted()))
        assert groups(output.rows(SCHEMA)) == ['["a"]']

    def test_nothing(self, tmp_path):
        """Where no group ends, nothing is written."""
        assert list(Output.of(tmp_path / "out", tmp_path / "call").through(iter(()))) == []
        assert not (tmp_path / "out").exists()


class TestArguments:
    """What is no place is refused."""

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            (3, "output must be the path or URL of a Parquet folder"),
            (Parquet("x", columns=["a"]), "a path and nothing else"),
            (Delta("x", version=3), "a path and nothing else"),
        ],
    )
    def test_refused(self, given, message):
        """It is said what a place is."""
        with pytest.raises(ArgumentError, match=message):
            Output.of(given, Path("call"))

    def test_a_place_that_cant_be_written(self, tmp_path):
        """The path and the reason are told."""
        (tmp_path / "file").write_text("")
        output = Output.of(tmp_path / "file" / "out", tmp_path / "call")
        with pytest.raises(JournalError, match="can't write to output="):
            output.write(rows("a"))


class TestTuning:
    """`tune_groups` with an output."""

    @pytest.fixture
    def tuned(self, tmp_path, here):
        """Tunes three groups into a folder."""

        def run(groups=3, **settings):
            frame = pd.DataFrame(
                {"g": np.repeat([f"g{n}" for n in range(groups)], 4), "y": range(4 * groups)}
            )
            settings = {"keep_models": True, "output": tmp_path / "out", **settings}
            return tune_groups(
                frame,
                by="g",
                objective=lambda group, params: (params["x"], group["y"].sum()),
                space={"x": Float(0, 1)},
                metric="loss",
                n_trials=3,
                seed=0,
                tracker=None,
                progress=None,
                name="call",
                **{"folder": tmp_path, **settings},
            )

        return run

    def test_models_are_in_the_output_alone(self, tuned, tmp_path):
        """The result has all else, and says where a model is."""
        result = tuned()
        table = pq.read_table(tmp_path / "out").to_pandas().sort_values("g")
        assert [pickle.loads(each) for each in table["model"]] == [6, 22, 38]
        assert table["value"].tolist() == result.table["value"].tolist()
        assert result.rows.column("model").null_count == 3
        with pytest.raises(NoResultError, match=r"is only in the column model of .*out"):
            result.model_of("g1")

    def test_a_driver_that_died_between_output_and_record(self, tuned, tmp_path, forget):
        """What the output has is not tuned again."""
        first = tuned()
        forget(tmp_path / "call")
        again = tuned()
        assert again.table.equals(first.table)
        assert len(pq.read_table(tmp_path / "out")) == 3

    def test_more_groups_later(self, tuned, tmp_path):
        """Only those that are missing are added."""
        tuned(2)
        assert len(tuned(5)) == 5
        found = pq.read_table(tmp_path / "out").column("group").to_pylist()
        assert sorted(found) == [f'["g{n}"]' for n in range(5)]

    @pytest.mark.parametrize("mode", ["shared", "transfer"])
    def test_other_modes(self, tuned, tmp_path, mode):
        """It has one row a group, and none of the trials over all groups."""
        tuned(30, mode=mode)
        assert len(pq.read_table(tmp_path / "out")) == 30

    def test_it_is_checked_before_anything_runs(self, tuned, tmp_path):
        """A folder of something else costs no compute."""
        (tmp_path / "out").mkdir()
        pq.write_table(pa.table({"a": [1]}), tmp_path / "out" / "a.parquet")
        with pytest.raises(ArgumentError, match="holds something else: its columns are a"):
            tuned()

    def test_another_call_of_the_same_name(self, tuned, tmp_path):
        """Rows that a call with another record has written are not taken for one's own."""
        tuned()
        with pytest.raises(StudyChangedError, match="3 rows of another call that is named 'call'"):
            tuned(folder=tmp_path / "elsewhere")

    def test_rows_that_are_gone_from_the_output(self, tuned, tmp_path):
        """They are tuned again, since their models are gone, too."""
        tuned()
        for file in (tmp_path / "out").iterdir():
            file.unlink()
        result = tuned()
        assert result.notes == (
            "3 groups are tuned again: they are on record, but not in the output",
        )
        assert len(pq.read_table(tmp_path / "out")) == 3

    @pytest.mark.parametrize("place", [".", "call", "call/out"])
    def test_the_record_is_apart(self, tuned, tmp_path, place):
        """An output that holds the record, or is in it, is refused."""
        with pytest.raises(ArgumentError, match="must be a folder of its own"):
            tuned(output=tmp_path / place)
        assert not (tmp_path / "call").exists()
