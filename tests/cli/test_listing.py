import io
import json

import pandas
import pytest

import manyfit
from manyfit.cli import main


def test_list_shows_every_study(folder, capsys):
    """One line a study: what it tunes, how far it is, and why it ended."""
    assert main(["list", "--folder", str(folder)]) == 0
    output = capsys.readouterr().out

    assert "fashion" in output
    assert "loss" in output
    assert "4 COMPLETE, 1 FAIL" in output
    assert "all 5 trials done" in output


def test_list_of_an_empty_folder(tmp_path, capsys):
    """Nothing there is said in a sentence."""
    assert main(["list", "--folder", str(tmp_path)]) == 0
    assert "No studies in" in capsys.readouterr().out


def test_list_survives_a_damaged_journal(folder, capsys, shown):
    """Broken studies don't hide the others, and take a few words; `show` has the rest."""
    for name, text in (("broken", "what\n{}\n"), ("newer one", '{"v":99}\n')):
        journal = folder / name / "journal.jsonl"
        journal.parent.mkdir()
        journal.write_text(text)
    output = shown("list", "--folder", str(folder))

    assert "fashion" in output
    assert "│ damaged: line 1 (manyfit show broken says more) │" in output
    assert "│ can't be read (manyfit show 'newer one' says more) │" in output
    assert main(["show", "broken", "--folder", str(folder)]) == 2
    assert "journal.jsonl is damaged" in capsys.readouterr().err


def test_forms_for_programs(folder, capsys):
    """JSON and CSV have each record's kind, and all digits of its best value."""
    best = manyfit.load_study("fashion", folder=folder).best.value
    (folder / "torn").mkdir()
    (folder / "torn" / "journal.jsonl").write_text("what\n{}\n")
    main(["list", "--json", "--folder", str(folder)])
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    main(["list", "--csv", "--folder", str(folder)])
    table = pandas.read_csv(
        io.StringIO(capsys.readouterr().out), float_precision="round_trip"
    ).set_index("name")

    assert (rows["fashion"]["kind"], rows["fashion"]["best"]) == ("study", best)
    assert rows["torn"]["reason"].startswith("damaged: line 1")
    assert table["best"]["fashion"] == best
    assert table["complete"]["fashion"] == 4


def test_both_forms_are_refused(folder, capsys):
    """JSON and CSV are two answers."""
    with pytest.raises(SystemExit, match="2"):
        main(["list", "--json", "--csv", "--folder", str(folder)])
    assert "not allowed with argument --json" in capsys.readouterr().err
