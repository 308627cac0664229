"""`manyfit report`: a page for a study or a call, once or until the study ends."""

import pytest

from manyfit import Float, Study, load_study
from manyfit.cli import main
from manyfit.cli.report import watch


def test_a_study(folder, tmp_path, capsys):
    """The file is written where it is asked for, and its path is printed."""
    path = tmp_path / "pages" / "one.html"
    assert main(["report", "fashion", "--folder", str(folder), "--output", str(path)]) == 0
    assert capsys.readouterr().out.strip() == str(path)
    page = path.read_text(encoding="utf-8")
    assert "no such [layer]" in page
    assert 'http-equiv="refresh"' not in page


def test_its_own_name_by_default(folder, tmp_path, monkeypatch):
    """Without --output it is NAME.html in the working folder."""
    monkeypatch.chdir(tmp_path)
    assert main(["report", "fashion", "--folder", str(folder)]) == 0
    assert (tmp_path / "fashion.html").exists()


def test_no_such_study(folder, capsys):
    """The message lists those there are, and nothing is written."""
    assert main(["report", "fashon", "--folder", str(folder)]) == 2
    assert "there are: fashion" in capsys.readouterr().err


def test_watching_an_ended_study_writes_it_once(folder, tmp_path):
    """There is nothing to wait for."""
    lines = []
    load = lambda: load_study("fashion", folder=folder)  # noqa: E731
    watch(load, tmp_path / "a.html", lines.append, sleep=pytest.fail)
    assert lines == [str(tmp_path / "a.html")]


def test_watching_goes_on_until_the_study_ends(tmp_path):
    """The page reloads itself while the study runs, is made again only after a change, and its
    last version doesn't reload.
    """
    path, pages = tmp_path / "own.html", []
    study = Study({"x": Float(0, 1)}, metric="loss", name="own", folder=tmp_path, tracker=None)
    trial = study.ask()

    def sleep(_):
        pages.append((path.stat().st_mtime_ns, path.read_text(encoding="utf-8")))
        if len(pages) == 2:
            study.tell(trial, 0.125)
        elif len(pages) == 3:
            study.close()

    watch(lambda: load_study("own", folder=tmp_path), path, print, sleep)
    assert len(pages) == 3
    assert pages[0] == pages[1] != pages[2]
    assert "0.125" in pages[2][1]
    assert all('http-equiv="refresh"' in page for _, page in pages)
    assert 'http-equiv="refresh"' not in path.read_text(encoding="utf-8")
