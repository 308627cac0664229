import io
import json
import re

import pandas
import pyarrow as pa
import pytest

import manyfit
from manyfit.cli import main
from manyfit.group_events import CallCreated, CallEnded, CallStarted
from manyfit.groups.record.row import GroupRow, row_schema, to_table
from manyfit.groups.record.store import GroupRecord
from manyfit.metric import Metric


class TestGroups:
    """Calls of `tune_groups`."""

    @pytest.fixture
    def groups(self, tmp_path):
        """A folder with nothing but a call that had two groups, of which one failed."""
        folder = tmp_path
        record = GroupRecord(
            folder / "m4",
            CallCreated("m4", {}, "loss", "minimize", 0, "0", 0.0, ["series"], "independent"),
        )
        record.put(CallStarted("host", 1, 0.0, {"series": "string"}))
        for name, state in (("a", "COMPLETE"), ("b", "FAIL")):
            row = GroupRow(f'["{name}"]', state, value=0.25, trials=3, reason=f"{name} ended")
            schema = row_schema(pa.schema([("series", pa.string())]))
            record.append(to_table([(name,)], [row], Metric("loss"), schema))
        record.put(CallEnded("all groups are done", 0.0, ["a note"]))
        record.close()
        return str(folder)

    def test_they_are_listed(self, groups, shown):
        """The list says how many of their groups have ended."""
        output = shown("list", "--folder", groups)
        assert "│ m4 │ loss │ 0.25 │ 1 COMPLETE, 1 FAIL │ all groups are done │" in output

    def test_one_is_shown(self, groups, shown):
        """The result in words, what failed, and its groups."""
        output = shown("show", "m4", "--folder", groups)
        assert "Groups m4 (independent): all groups are done" in output
        assert "note a note" in output
        assert "1 group FAIL b ended (b)" in output
        assert re.search(r"a .* COMPLETE .* 0.25", output)
        assert "1 more: --trials 2 shows all." in shown(
            "show", "m4", "--trials", "1", "--folder", groups
        )

    def test_how_to_reproduce_one(self, tmp_path, shown):
        """The seed, the code's version, the packages and the machine, in words and as JSON."""
        rows = pandas.DataFrame({"shop": [*"ab"], "price": [1.0, 2.0]})
        manyfit.tune_groups(
            rows,
            by="shop",
            objective=lambda shop, params: {"loss": params["x"]},
            space={"x": manyfit.Float(0, 1)},
            metric="loss",
            n_trials=1,
            name="made",
            folder=tmp_path,
            seed=7,
            parallelism=1,
            tracker=None,
            progress=None,
        )
        output = shown("show", "made", "--folder", str(tmp_path))
        made = json.loads(shown("show", "made", "--json", "--folder", str(tmp_path)))["made"]

        assert "\n seed 7\n" in output.partition("How to reproduce:")[2]
        assert re.search(rf"\n code name .*, file {re.escape(__file__)}, sha256 \w{{12}}", output)
        assert f"numpy {made['packages']['numpy']}" in output
        assert "more: --json has them" in output
        assert made["machine"]["python"] in output

    def test_a_command_for_studies(self, groups, capsys):
        """It says what the name is."""
        assert main(["show", "m4", "--trial", "3", "--folder", groups]) == 2
        assert "each of its 2 groups has a trial 3 of its own" in capsys.readouterr().err

    def test_forms_for_programs(self, groups, capsys):
        """Groups with their keys, as JSON and as CSV."""
        main(["show", "m4", "--json", "--folder", groups])
        call = json.loads(capsys.readouterr().out)
        main(["show", "m4", "--csv", "--folder", groups])
        frame = pandas.read_csv(io.StringIO(capsys.readouterr().out))

        assert [each["key"] for each in call["groups"]] == [["a"], ["b"]]
        assert call["failures"][0]["reason"] == "b ended"
        assert list(frame["series"]) == ["a", "b"]
        assert list(frame["value"]) == [0.25, 0.25]


def test_whole_numbers_as_keys_are_in_their_order(tmp_path, capsys):
    """Shop 9 comes before shop 10, and a missing one last."""
    data = pandas.DataFrame({"shop": pandas.array([10, 9, None, 100], dtype="Int64"), "y": 1.0})
    manyfit.tune_groups(
        data,
        by="shop",
        objective=lambda shop, params: params["x"],
        space={"x": manyfit.Float(0.0, 1.0)},
        metric="loss",
        n_trials=1,
        parallelism=1,
        name="shops",
        folder=tmp_path,
        tracker=None,
        progress=None,
    )
    main(["show", "shops", "--csv", "--folder", str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == ["shop", "9", "10", "100", ""]
