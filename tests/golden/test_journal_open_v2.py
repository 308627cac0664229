"""A journal of a study whose objective asks for its params as it runs, as version 2 wrote it."""

from pathlib import Path

from manyfit import Choice, Float, Int, load_study

GOLDEN = Path(__file__).with_name("journal_open_v2.jsonl")


def test_its_trials_and_its_space(tmp_path: Path) -> None:
    """Each trial has what it asked for, and the space is made of that."""
    (tmp_path / "golden").mkdir()
    (tmp_path / "golden" / "journal.jsonl").write_bytes(GOLDEN.read_bytes())
    result = load_study("golden", folder=tmp_path)
    first, second = result.trials

    assert first.params == {"k": 2, "norm": True, "momentum": 0.5, "größe": 1}
    assert second.params == {"k": 3, "norm": None}
    assert result.space.params == {
        "k": Int(1, 3),
        "norm": Choice({None: {}, True: {"momentum": Float(0, 1)}, "größe": {}}),
        "momentum": Float(0, 1),
    }
