"""The tables of the examples: real where they are at hand, else of the same shape."""

import pytest


@pytest.mark.parametrize(("name", "numbers", "texts"), [("credit", 9, 4), ("ames", 33, 40)])
def test_generated(name, numbers, texts, monkeypatch, tmp_path, capsys):
    """Without its file a table is made up, as wide, and it is said so in a line."""
    import tables

    monkeypatch.setattr(tables, "FOLDER", tmp_path)
    table = getattr(tables, name)()

    assert (len(table.numbers), len(table.texts)) == (numbers, texts)
    assert table.rest["label"].nunique() > 1
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "a generated table of its shape instead" in said


def test_test_rows_are_apart(credit, ames):
    """Each row is either to decide by or to judge by; the same ones each time."""
    for table in (credit, ames):
        index = table.rest.index.append(table.test.index)
        assert sorted(index) == list(range(len(index)))
        assert len(table.test) == len(index) // 5
        assert "label" not in [*table.numbers, *table.texts]


def test_only_credit_has_missing_numbers(credit, ames):
    """In the table of houses "None" is a word like any other; no word is missing."""
    assert credit.rest[credit.numbers].isna().to_numpy().any()
    assert not ames.rest.isna().to_numpy().any()
    assert not credit.rest[credit.texts].isna().to_numpy().any()
