import os

import pytest

import manyfit
from manyfit import Choice, Float, Study
from manyfit.archive import study_folder

SPACE = {"x": Float(0.0, 1.0), "f": Choice([min, max])}


@pytest.fixture
def quiet(tmp_path):
    return {"metric": "loss", "folder": tmp_path, "tracker": None, "seed": 0}


class TestNames:
    def test_the_latest_changed_comes_first(self, quiet):
        """What somebody worked on last is at the top; folders without a journal are none."""
        for name in ("one", "two"):
            Study(SPACE, name=name, **quiet).close()
        (quiet["folder"] / "stray").mkdir()
        later = (quiet["folder"] / "one" / "journal.jsonl").stat().st_mtime + 10
        os.utime(quiet["folder"] / "one" / "journal.jsonl", (later, later))

        assert manyfit.study_names(quiet["folder"]) == ["one", "two"]

    def test_a_folder_that_is_not_there_has_none(self, tmp_path):
        """Asking before anything was tuned is no error."""
        assert manyfit.study_names(tmp_path / "nowhere") == []

    @pytest.mark.parametrize("name", ["a b", "fashion-2.1", "größe", "_x"])
    def test_names_that_make_folders(self, name, tmp_path):
        """Letters of any language, digits and a few signs."""
        assert study_folder(name, tmp_path) == tmp_path / name

    @pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\n", " ", "-\0", "~user/x"])
    def test_names_that_do_not(self, name, tmp_path):
        """Nothing that leaves the folder or can't be typed."""
        with pytest.raises(manyfit.ArgumentError, match="name must be made of"):
            study_folder(name, tmp_path)


class TestLoading:
    def test_while_it_runs(self, quiet):
        """Reading takes no lock and sees every trial that is on disk."""
        with Study(SPACE, name="s", **quiet) as study:
            study.ask()
            loaded = manyfit.load_study("s", folder=quiet["folder"])

        assert loaded.count(manyfit.State.RUNNING) == 1
        assert "running, or was killed" in loaded.reason

    def test_choices_that_are_no_plain_values_come_back_as_labels(self, quiet):
        """A record can be read where the functions it names don't exist."""
        with Study(SPACE, name="s", **quiet) as study:
            trial = study.ask()
            study.tell(trial, 1.0)
        loaded = manyfit.load_study("s", folder=quiet["folder"])

        assert trial.params["f"] in (min, max)
        assert str(loaded.best.params["f"]) == f"builtins.{trial.params['f'].__name__}"

    def test_an_empty_journal(self, tmp_path):
        """A study that died before its first line was never begun."""
        (tmp_path / "s").mkdir()
        (tmp_path / "s" / "journal.jsonl").touch()

        with pytest.raises(manyfit.ArgumentError, match="never begun"):
            manyfit.load_study("s", folder=tmp_path)

    @pytest.mark.parametrize("reader", ["load", "resume"])
    def test_a_journal_that_contradicts_itself(self, quiet, reader):
        """Lines that were cut out by hand are noticed, whoever reads."""
        with Study(SPACE, name="s", **quiet) as study:
            study.tell(study.ask(), 1.0)
        journal = quiet["folder"] / "s" / "journal.jsonl"
        lines = [line for line in journal.read_text().splitlines() if '"asked"' not in line]
        journal.write_text("\n".join(lines) + "\n")

        read = {
            "load": lambda: manyfit.load_study("s", folder=quiet["folder"]),
            "resume": lambda: Study(SPACE, name="s", **quiet),
        }[reader]

        with pytest.raises(manyfit.JournalCorruptError, match="contradicts itself at line 3"):
            read()
