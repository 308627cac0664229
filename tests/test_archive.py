import contextlib
import os
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import manyfit
from manyfit import Choice, Float, Study
from manyfit.archive import study_folder

GOLDEN = Path(__file__).parent / "golden" / "journal_v1.jsonl"
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
        assert loaded.space == study.result().space == study.space
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
        """Lines that were cut out, of a record without checksums, are noticed by every reader."""
        with Study(SPACE, name="s", **quiet) as study:
            study.tell(study.ask(), 1.0)
        journal = quiet["folder"] / "s" / "journal.jsonl"
        text = re.sub(r',"crc":"\w+"', "", journal.read_text()).replace('"v":2', '"v":1')
        lines = [line for line in text.splitlines() if '"asked"' not in line]
        journal.write_text("\n".join(lines) + "\n")

        read = {
            "load": lambda: manyfit.load_study("s", folder=quiet["folder"]),
            "resume": lambda: Study(SPACE, name="s", **quiet),
        }[reader]

        with pytest.raises(manyfit.JournalCorruptError, match="contradicts itself at line 3"):
            read()

    @pytest.mark.parametrize("reader", ["load", "resume"])
    def test_a_journal_without_its_first_line(self, quiet, reader):
        """Nothing is checked against a record that doesn't say what is tuned: it is refused."""
        journal = quiet["folder"] / "s" / "journal.jsonl"
        journal.parent.mkdir()
        journal.write_bytes(b"".join(GOLDEN.read_bytes().splitlines(keepends=True)[1:]))
        before = journal.read_bytes()
        read = {
            "load": lambda: manyfit.load_study("s", folder=quiet["folder"]),
            "resume": lambda: Study(SPACE, name="s", direction="maximize", **quiet),
        }[reader]

        with pytest.raises(manyfit.JournalCorruptError, match=r"first line is missing.*DriverStar"):
            read()
        assert journal.read_bytes() == before

    @given(data=st.data())
    def test_whatever_is_in_a_journal(self, data):
        """A record without checksums, damaged anywhere, is read or refused, by an error of ours."""
        journal = bytearray(GOLDEN.read_bytes())
        place = data.draw(st.integers(0, len(journal) - 1))
        journal[place] = data.draw(st.sampled_from(b'09a"{}[],:.-ntx\n'))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "s" / "journal.jsonl"
            path.parent.mkdir()
            path.write_bytes(journal)
            with contextlib.suppress(manyfit.ManyfitError):
                str(manyfit.load_study("s", folder=folder))

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ('"metrics":{"val_loss":0.25,"test', '"metrics":{"val_lass":0.25,"test'),
            ('"low"', '"lov"'),
            ('"minimize"', '"minimise"'),
            ('"number":0', '"number":null'),
            ('"low":0.0001', '"low":"0.0001"'),
            ('"params":{"learning_rate":0.001', '"params":{"learning_rate":{}'),
        ],
    )
    def test_what_was_edited_badly(self, tmp_path, old, new):
        """What is no event, or none that can have happened, is damage, in words."""
        text = GOLDEN.read_text()
        (tmp_path / "s").mkdir()
        (tmp_path / "s" / "journal.jsonl").write_text(text.replace(old, new, 1))
        assert old in text

        with contextlib.suppress(manyfit.JournalCorruptError):
            assert 0 in manyfit.load_study("s", folder=tmp_path).outside
