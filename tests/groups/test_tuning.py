"""`tune_groups` as a whole, on pandas."""

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import manyfit
from manyfit import Float, GroupsResult, tune_groups
from manyfit.errors import ArgumentError, NoResultError, ObjectiveError, StudyChangedError

SPACE = {"x": Float(0.0, 1.0)}


def frame(groups=5):
    names = np.repeat([f"g{n}" for n in range(groups)], 4)
    best = np.repeat(np.linspace(0.1, 0.9, groups), 4)
    return pd.DataFrame({"g": names, "best": best, "region": names})


def loss(group, params):
    return (params["x"] - group["best"].iloc[0]) ** 2


@pytest.fixture
def in_processes(tmp_path):
    """Tunes, with a record in a folder of the test's own."""

    def run(data=None, **settings):
        settings = {
            "by": "g",
            "objective": loss,
            "space": SPACE,
            "metric": "loss",
            "n_trials": 6,
            "seed": 1,
            "tracker": None,
            "progress": None,
            "folder": tmp_path,
            **settings,
        }
        return tune_groups(frame() if data is None else data, **settings)

    return run


@pytest.fixture
def tuned(in_processes, here):
    """Tunes in the process of the test."""
    return in_processes


@pytest.mark.parametrize("mode", ["independent", "shared", "transfer"])
def test_each_mode_has_a_row_a_group(tuned, mode):
    """All groups are done, and their params are in the table."""
    result = tuned(mode=mode)
    assert isinstance(result, GroupsResult)
    assert list(result.table["g"]) == [f"g{n}" for n in range(5)]
    assert result.count("COMPLETE") == 5
    assert result.table["params_x"].notna().all()
    assert result.table["params_x"].nunique() == (1 if mode == "shared" else 5)


def test_what_shared_params_are_compared_with(tuned):
    """Without a baseline, each group's fit is compared with that of the first `start_with`."""
    result = tuned(mode="shared", start_with=[{"x": 0.25}])
    assert list(result.table["baseline"]) == [
        loss(group, {"x": 0.25}) for _, group in frame().groupby("g")
    ]


@pytest.mark.integration
@pytest.mark.parametrize(
    ("mode", "parallelism"),
    [("shared", 2), pytest.param("transfer", 1, marks=pytest.mark.soak("contracts"))],
)
def test_processes_make_no_difference(in_processes, request, mode, parallelism):
    """Worker processes, which change from one part of a call to the next, find what this one finds.

    That goes for models, too.
    """

    def objective(group, params):
        return loss(group, params), params["x"]

    settings = {"objective": objective, "mode": mode, "keep_models": True}
    there = in_processes(frame(24), **settings, parallelism=parallelism)
    request.getfixturevalue("here")
    same = in_processes(frame(24), **settings)
    left_out = ["seconds", "fit_seconds", "worker"]
    tables = [result.table.drop(columns=left_out) for result in (there, same)]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    assert there.count("COMPLETE") == 24
    assert there.model_of("g7") == there.params_of("g7")["x"]


def test_transfer_tries_less(tuned):
    """Groups beyond the first have a third of the trials."""
    trials = tuned(frame(30), mode="transfer", n_trials=9).table["trials"]
    assert sorted(trials.unique()) == [3, 9]
    assert (trials == 9).sum() == 12


def test_resuming_runs_what_is_missing(tuned):
    """Groups on record are kept as they are, and others are added."""
    first = tuned(frame(2), name="call")
    second = tuned(frame(4), name="call")
    assert len(second) == 4
    seconds = [result.table["seconds"].to_list()[:2] for result in (first, second)]
    assert seconds[0] == seconds[1]


@pytest.mark.parametrize("mode", ["independent", "shared", "transfer"])
def test_keys_called_as_a_column_of_the_result(tuned, tmp_path, mode):
    """They have `key_` before their names there; resuming, models and outputs go by them, too."""
    names = {"g": "state", "region": "group"}
    data = frame(30).rename(columns=names).assign(rows=1)

    def objective(group, params):
        return (params["x"] - group["best"].iloc[0]) ** 2, lambda rows: [params["x"]] * len(rows)

    by = ["state", "rows", "group"]
    settings = {"by": by, "mode": mode, "objective": objective, "keep_models": tmp_path / "models"}
    settings |= {"name": "call", "output": tmp_path / "out"}
    tuned(data[data["state"] < "g2"], **settings)
    result = tuned(data, **settings)
    table = result.table
    assert list(table.columns[:5]) == ["key_state", "key_rows", "key_group", "state", "reason"]
    assert table["key_state"].tolist() == sorted(set(data["state"]))
    assert table["state"].eq("COMPLETE").all()
    assert result.params_of(("g0", 1, "g0")) == {"x": table["params_x"][0]}
    found = result.predict(data)
    assert found.groupby("state")["prediction"].first().tolist() == table["params_x"].tolist()
    written = pq.read_table(tmp_path / "out").to_pandas()
    assert sorted(written["key_state"]) == table["key_state"].tolist()


def test_failed_groups_are_tuned_again(tuned, tmp_path, capsys):
    """Once the objective is mended the same call has them, and leaves the others as they are."""
    mended = tmp_path / "mended"

    def objective(group, params):
        if group["g"].iloc[0] > "g2" and not mended.exists():
            raise KeyError("price")
        return loss(group, params)

    settings = {"objective": objective, "name": "call", "output": tmp_path / "out"}
    first = tuned(**settings)
    mended.touch()
    second = tuned(**settings, progress="plain")
    assert first.table["state"].tolist() == ["COMPLETE"] * 3 + ["FAIL"] * 2
    assert second.count("COMPLETE") == 5
    assert second.table["seconds"][:3].equals(first.table["seconds"][:3])
    assert "resumed, with 3 groups done before" in (said := capsys.readouterr().err)
    assert "2 groups failed before: tuned again" in said
    written = pq.read_table(tmp_path / "out").to_pandas()
    assert len(written) == 7
    assert written["state"].eq("COMPLETE").sum() == 5


def test_most_trials_fail(tuned):
    """The group is complete with the one that works, and its row and the result say the rest."""

    def objective(group, params):
        if params["x"] != 0.5:
            raise KeyError("bug")
        return loss(group, params)

    result = tuned(objective=objective, baseline={"x": 0.5}, keep_models=True)
    assert result.count("COMPLETE") == 5
    assert set(result.table["reason"]) == {"5 of 6 trials failed, most with: KeyError: 'bug'"}
    assert "25 of 30 trials of 5 groups failed, most with KeyError: 'bug' (" in result.notes[0]
    with pytest.raises(NoResultError, match="has no model: tune_groups keeps"):
        result.model_of("g1")


def test_most_shared_trials_fail(tuned):
    """The result says so, each time."""

    def objective(group, params):
        if params["x"] != 0.5:
            raise KeyError("bug")
        return loss(group, params)

    settings = {"objective": objective, "start_with": [{"x": 0.5}], "name": "call"}
    for _ in range(2):
        note = tuned(mode="shared", **settings).notes[0]
        assert note.startswith("shared params: 5 of 6 trials failed, most with: 5 of 5 groups fail")
        assert note.endswith("KeyError: 'bug'")


def test_a_bug_in_shared_mode(tuned, tmp_path):
    """Trials that fail alike all over end the call, with the traceback; mended, it goes on."""
    mended = tmp_path / "mended"

    def objective(group, params):
        if not mended.exists():
            raise KeyError("price")
        return loss(group, params)

    settings = {"objective": objective, "name": "call", "mode": "shared", "n_trials": 12}
    with pytest.raises(NoResultError, match=r"all \d trials failed(.|\n)*raise KeyError\("):
        tuned(**settings)
    mended.touch()
    assert tuned(**settings).count("COMPLETE") == 5


def test_a_changed_call(tuned):
    """The same name with another metric is refused, with what changed."""
    tuned(frame(1), name="call")
    with pytest.raises(StudyChangedError, match="metric: 'loss' became 'mse'"):
        tuned(frame(1), name="call", metric="mse")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "joint"}, "mode must be one of"),
        ({"shared_by": "region"}, "shared_by is for mode='shared'"),
        ({"by": ["state", "key_state"]}, "makes two columns of one name in the result"),
        ({"by": []}, "by must name at least one column"),
        ({"holdout": "last"}, "holdout must be"),
        ({"sampler": manyfit.MedianPruner()}, "sampler must be one of"),
        ({"tracker": manyfit.MlflowTracker}, "tracker must be 'auto', a Tracker, a sequence"),
        ({"baseline": 3}, "baseline must be a point of the space or a function"),
        *[({"parallelism": n}, "parallelism must be a whole") for n in (-1, True, 2.5, "2")],
        ({"group_timeout": "1h"}, "group_timeout must be a number of seconds"),
        ({"by": "h"}, "'h' is not a column of the data"),
        ({"order_by": "dey"}, "'dey' is not a column of the data"),
        ({"mode": "shared", "n_trials": None, "group_timeout": 9}, "'shared' needs n_trials"),
        ({"mode": "transfer", "n_trials": None, "group_timeout": 9}, "'transfer' needs n_trials"),
        ({"mode": "shared", "stop": manyfit.Target(0.1)}, "but mode is 'shared'; give n_trials"),
    ],
)
def test_what_breaks_a_rule(tuned, settings, message):
    """It is refused before anything runs."""
    with pytest.raises(ArgumentError, match=message):
        tuned(**settings)


@pytest.mark.parametrize(
    ("first", "changed"),
    [
        ({}, {"group_timeout": 60.0}),
        ({"mode": "shared"}, {"mode": "shared", "aggregate": "median"}),
    ],
)
def test_rows_of_unlike_calls_do_not_mix(tuned, first, changed):
    """What a group is tuned with is on record, and another budget wants another name."""
    tuned(frame(1), name="call", **first)
    with pytest.raises(StudyChangedError, match=list(changed)[-1]):
        tuned(frame(1), name="call", **changed)


def test_more_trials_than_before(tuned):
    """Groups that were tuned with fewer trials are tuned with all of them, in the same order."""
    first = tuned(name="call", keep_trials=True)
    more = tuned(name="call", n_trials=9, keep_trials=True)
    assert more.notes[0] == "5 groups are tuned again: n_trials was raised"
    assert list(more.table["trials"]) == [9] * 5
    pairs = zip(*(map(json.loads, histories(each)) for each in (first, more)), strict=True)
    assert all(longer[:6] == shorter for shorter, longer in pairs)
    assert tuned(name="call", n_trials=6).rows.equals(more.rows)


def histories(result):
    return result.rows.column("history").to_pylist()


def test_models_that_are_asked_for_later(tuned):
    """Groups whose models were not kept are tuned again; those without any model, once."""
    tuned(name="call")
    settings = {"name": "call", "keep_models": True}
    result = tuned(objective=lambda g, p: (loss(g, p), p["x"]), **settings)
    assert "5 groups are tuned again: their models were not kept" in result.notes
    assert result.model_of("g1") == result.params_of("g1")["x"]
    tuned(name="none", keep_models=True)
    assert not any("again" in note for note in tuned(**{**settings, "name": "none"}).notes)


def with_model(group, params):
    return loss(group, params), params["x"]


@pytest.mark.parametrize("folder", [True, "models"])
def test_models_that_only_an_output_has(tuned, tmp_path, folder):
    """Groups are tuned again, once, where the result is to have them; till then it says so."""
    settings = {"name": "call", "objective": with_model}
    tuned(**settings, keep_models=True, output=tmp_path / "out")
    with pytest.raises(NoResultError, match=r"is only in the column model of .*out; "):
        tuned(**settings).model_of("g1")
    settings["keep_models"] = tmp_path / folder if isinstance(folder, str) else folder
    result = tuned(**settings)
    assert "5 groups are tuned again: their models are in an output only" in result.notes
    assert result.model_of("g1") == result.params_of("g1")["x"]
    assert not any("again" in note or "models" in note for note in tuned(**settings).notes)


def test_an_output_without_models(tuned, tmp_path):
    """Nobody is sent there for them."""
    with pytest.raises(NoResultError, match="tune_groups keeps models with keep_models=True"):
        tuned(output=tmp_path / "out").model_of("g1")


@pytest.mark.parametrize(("first", "then"), [("m1", "m2"), ("m1", True), (True, "m2")])
def test_models_in_another_place_than_asked_for(tuned, tmp_path, monkeypatch, first, then):
    """They stay, are found, and the result says where they are."""
    monkeypatch.chdir(tmp_path)
    settings = {"name": "call", "objective": with_model}
    tuned(**settings, keep_models=first)
    result = tuned(**settings, keep_models=then)
    place = "the record" if first is True else tmp_path / "m1"
    where = f"the models of 5 groups stay where an earlier call put them, {place}: "
    assert any(note.startswith(where) for note in result.notes)
    assert result.model_of("g1") == result.params_of("g1")["x"]


def test_trials_that_are_asked_for_later(tuned):
    """Groups whose trials were not kept are tuned again, once, to the same result."""
    first = tuned(name="call")
    result = tuned(name="call", keep_trials=True)
    assert "5 groups are tuned again: their trials were not kept" in result.notes
    assert [len(json.loads(each)) for each in histories(result)] == [6] * 5
    assert result.table["value"].equals(first.table["value"])
    assert not any("again" in note for note in tuned(name="call", keep_trials=True).notes)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objective": lambda group, params: 1.0}, "2 groups are kept as tuned with another obj"),
        ({"sampler": "random"}, "2 groups are kept as tuned with another sampler:"),
        ({"baseline": lambda group: 1.0}, "2 groups are kept as tuned with another baseline:"),
        ({"start_with": [{"x": 0.25}]}, "2 groups are kept as tuned with another start_with:"),
        ({"seed": 2}, "'call' keeps its first seed, 1"),
        ({"data": frame(5).query("g != 'g1'")}, "1 group is kept that the data no longer have"),
        (
            {"data": frame(2).assign(region=["a", "b"] * 4)},
            "2 groups are kept as tuned, though the rows have changed:",
        ),
        ({"data": frame(2).iloc[:-1]}, "1 group is kept as tuned, though the rows have changed:"),
    ],
)
def test_what_is_not_as_before_is_told(tuned, settings, message):
    """Rows that were tuned otherwise stay, and the result says each time that they are others."""
    tuned(frame(2), name="call")
    for _ in range(2):
        assert any(note.startswith(message) for note in tuned(**{"name": "call", **settings}).notes)


@pytest.mark.parametrize(
    ("data", "change"),
    [
        (frame(5).query("g < 'g4'").assign(best=0.45), "4 groups changed"),
        (frame(5), "1 group joined"),
        (frame(5).query("g in ('g0', 'g2', 'g3')"), "1 group left"),
        (frame(5).query("g < 'g4'").iloc[:-1], "1 group changed"),
    ],
)
def test_shared_trials_on_other_data(tuned, data, change):
    """New ones can't be ranked with those on record."""
    settings = {"name": "call", "mode": "shared"}
    some = frame(5).query("g < 'g4'")
    value = tuned(some, **settings).table["value"].mean()
    with pytest.raises(StudyChangedError, match=rf"\({change}\).*name, .* or n_trials=6, which"):
        tuned(data, n_trials=12, **settings)
    assert tuned(some, n_trials=12, **settings).table["value"].mean() <= value


def test_shared_params_of_groups_that_join(tuned):
    """They are fitted with them, and the result says so each time."""
    settings = {"name": "call", "mode": "shared"}
    tuned(frame(4).query("g < 'g2'"), **settings)
    for _ in range(2):
        result = tuned(frame(4), **settings)
        assert result.count("COMPLETE") == 4
        assert any(
            note.startswith("2 groups had no part in choosing the shared params:")
            for note in result.notes
        )


def test_clusters_that_join(tuned):
    """They are tuned by themselves, and those on record keep their trials."""
    settings = {"name": "call", "mode": "shared", "shared_by": "region"}
    first = tuned(frame(4).query("g > 'g1'"), **settings)
    more = tuned(frame(4), **settings, n_trials=12)
    assert not any("part in" in note or "had other" in note for note in more.notes)
    assert more.table["value"].lt(0.05).all()
    gains = first.table["value"].to_numpy() - more.table["value"].to_numpy()[2:]
    assert (gains >= 0).all()


def test_rows_that_have_changed_where_groups_are_tuned_again(tuned):
    """Both are told."""
    tuned(frame(2), name="call")
    notes = tuned(frame(2).assign(best=0.5), name="call", n_trials=9).notes
    assert "2 groups are tuned again on rows that have changed" in notes


def test_nothing_has_changed(tuned):
    """The same call, or one with more groups, is told nothing."""
    some = frame(5).query("g < 'g3'")
    tuned(some, name="call")
    notes = [note for data in (some, frame(5)) for note in tuned(data, name="call").notes]
    assert not [note for note in notes if " kept " in note or "again" in note]


def test_a_name_that_a_study_has(tuned, tmp_path):
    """`tune` and `tune_groups` keep out of each other's records."""
    settings = {"metric": "loss", "n_trials": 1, "folder": tmp_path, "tracker": None}
    settings |= {"executor": "inline", "progress": None}
    manyfit.tune(lambda params: params["x"], SPACE, name="a", **settings)
    with pytest.raises(ArgumentError, match=r"the name 'a' is taken in .* by a call of tune:"):
        tuned(name="a")
    tuned(name="b")
    with pytest.raises(ArgumentError, match=r"the name 'b' is taken in .* by a call of tune_gr"):
        manyfit.tune(lambda params: params["x"], SPACE, name="b", **settings)


def test_a_folder_of_models_is_where_the_caller_is(tuned, tmp_path, monkeypatch):
    """A relative one is meant from the working folder of the call, whatever workers' is."""
    monkeypatch.chdir(tmp_path)
    result = tuned(objective=lambda group, params: (1.0, "m"), keep_models="models")
    assert result.count("COMPLETE") == 5
    assert len(list((tmp_path / "models").glob("*.pkl"))) == 5


def test_models_that_cant_be_stored(tuned, tmp_path):
    """The groups have their figures all the same, and their rows say what is missing."""
    (tmp_path / "models").write_text("a file, and no folder")
    fit = lambda group, params: (1.0, "m")  # noqa: E731 - pickled by value
    result = tuned(objective=fit, keep_models=tmp_path / "models")
    assert any(note.startswith("the models of 5 groups can't be stored: ") for note in result.notes)
    table = result.table
    assert table["value"].eq(1.0).all()
    assert table["reason"].str.startswith("its model can't be stored").all()


def test_an_objective_that_cant_be_called(tuned):
    """With a holdout it takes two frames, and the error says so."""
    with pytest.raises(ObjectiveError, match=r"here it is called as objective\(train, valid, par"):
        tuned(holdout=0.5)


@pytest.mark.parametrize(
    ("data", "kind"), [([1, 2], "builtins.list"), (pd.Series([1, 2]), "pandas.*Series")]
)
def test_other_data(tuned, data, kind):
    """Only pandas and Spark DataFrames have groups."""
    with pytest.raises(ArgumentError, match=f"but got a {kind}"):
        tuned(data=data)


def test_a_class_made_of_a_frame(tuned):
    """A subclass of a DataFrame, as other libraries have them, is one."""

    class Frame(pd.DataFrame):
        @property
        def _constructor(self):
            return pd.DataFrame

    assert tuned(data=Frame(frame())).count("COMPLETE") == 5


def test_it_is_public():
    """The package has it."""
    assert manyfit.tune_groups is tune_groups
