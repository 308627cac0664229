import pytest

import manyfit
from manyfit.cli import main


@pytest.fixture
def folder(tmp_path):
    """A folder with one study of which one trial failed."""

    def train(params):
        if manyfit.current_trial().number == 2:
            raise ValueError("no such [layer]")
        return {"loss": params["x"], "accuracy": 1 - params["x"]}

    manyfit.tune(
        train,
        {"x": manyfit.Float(0.0, 1.0), "kind": manyfit.Choice(["a", "b"])},
        metric="loss",
        n_trials=5,
        name="fashion",
        executor="inline",
        seed=0,
        folder=tmp_path,
        tracker=None,
        progress=None,
    )
    return tmp_path


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    """A terminal wide enough that no table is folded."""
    monkeypatch.setenv("COLUMNS", "200")


def test_list_shows_every_study(folder, capsys):
    """One line a study: what it tunes, how far it is, and why it ended."""
    assert main(["list", "--folder", str(folder)]) == 0
    output = capsys.readouterr().out

    assert "fashion" in output
    assert "loss" in output
    assert "all 5 trials done" in output


def test_list_of_an_empty_folder(tmp_path, capsys):
    """Nothing there is said in a sentence."""
    assert main(["list", "--folder", str(tmp_path)]) == 0
    assert "No studies in" in capsys.readouterr().out


def test_list_survives_a_damaged_journal(folder, capsys):
    """One broken study doesn't hide the others."""
    journal = folder / "broken" / "journal.jsonl"
    journal.parent.mkdir()
    journal.write_text("what\n{}\n")
    assert main(["list", "--folder", str(folder)]) == 0
    output = capsys.readouterr().out

    assert "fashion" in output
    assert "line 1" in output


def test_show_tells_the_best_trial_the_others_and_the_failures(folder, capsys):
    """Best first, then the failures with their traceback; brackets are text, not markup."""
    best = manyfit.load_study("fashion", folder=folder).best
    assert main(["show", "fashion", "--folder", str(folder), "--trials", "3"]) == 0
    output = capsys.readouterr().out

    assert f"(trial {best.number})" in output
    assert "accuracy" in output
    assert "2 more: --trials 5 shows all." in output
    assert "ValueError: no such [layer]" in output
    assert "in train" in output


def test_show_of_an_unknown_study_says_which_there_are(folder, capsys):
    """A typo is answered with the names, on stderr, with status 2."""
    assert main(["show", "fashon", "--folder", str(folder)]) == 2
    captured = capsys.readouterr()

    assert captured.out == ""
    assert "there are: fashion" in captured.err


def test_version(capsys):
    """The version is the package's."""
    with pytest.raises(SystemExit) as exit_:
        main(["--version"])

    assert exit_.value.code == 0
    assert capsys.readouterr().out.strip() == f"manyfit {manyfit.__version__}"
