"""The ledger knows what of a study is in MLflow already."""

from pathlib import Path

import pytest

from manyfit.trackers.mlflow_ledger import (
    FILE,
    Ledger,
    Page,
    Place,
    Run,
    had_child_runs,
    last_place,
)


def write(folder: Path, server: str = "A", parent: str = "p") -> Ledger:
    ledger = Ledger(folder, server)
    ledger.begin("1", parent)
    ledger.created(0, Run("r0", "a0"))
    ledger.created(1, Run("r1", "a1"))
    ledger.wrote(1, 17)
    ledger.done(0)
    ledger.close()
    return ledger


def test_remembers(tmp_path: Path) -> None:
    """What was noted is known when the study is opened again."""
    write(tmp_path)
    expected = Page("p", {0: Run("r0", "a0"), 1: Run("r1", "a1")}, {1: 17}, {0})
    assert Ledger(tmp_path, "A").page == expected


def test_knows_nothing_at_first(tmp_path: Path) -> None:
    """A new study has an empty page."""
    assert Ledger(tmp_path, "A").page == Page()


def test_another_server_has_a_page_of_its_own(tmp_path: Path) -> None:
    """A study that moves to another server is written there in full, and not forgotten here."""
    write(tmp_path, "A", "pa")
    write(tmp_path, "B", "pb")
    assert Ledger(tmp_path, "C").page == Page()
    assert Ledger(tmp_path, "B").page.parent == "pb"
    assert Ledger(tmp_path, "A").page.parent == "pa"


def test_two_servers_at_once(tmp_path: Path) -> None:
    """A study with two trackers has a page for each, though their lines come in turns."""
    ledgers = {name: Ledger(tmp_path, name) for name in "AB"}
    for name, ledger in ledgers.items():
        ledger.begin("1", f"p{name}")
    for number in range(3):
        for name, ledger in ledgers.items():
            ledger.created(number, Run(f"{name}{number}", ""))
    ledgers["A"].done(2)
    for name, ledger in ledgers.items():
        ledger.close()
        assert Ledger(tmp_path, name).page == ledger.page
    assert Ledger(tmp_path, "B").page.runs[1] == Run("B1", "")


def test_where_a_study_went_last(tmp_path: Path) -> None:
    """The last server, whether it answered or not; a page knows nothing of one that did not."""
    assert last_place(tmp_path) is None
    write(tmp_path, "http://ann:hunter2@A")
    assert last_place(tmp_path) == Place("http://A", "", "1")
    for _ in range(2):
        ledger = Ledger(tmp_path, "http://ann:hunter2@B")
        ledger.aim("fashion", "0")
        ledger.close()
        assert last_place(tmp_path) == Place("http://B", "fashion", "0")
        assert Ledger(tmp_path, "http://B").page == Page()
    write(tmp_path, "http://B")
    assert last_place(tmp_path) == Place("http://B", "", "1")


def test_what_a_call_over_groups_asked(tmp_path: Path) -> None:
    """It belongs to the run that began then, and is known to the driver that finishes the run."""
    for asked in ({"n_trials": "20"}, {"n_trials": "40"}):
        ledger = Ledger(tmp_path, "A")
        ledger.ask(asked, child_runs=True)
        ledger.begin("1", "p")
        ledger.wrote_group('["north"]', "digest")
        ledger.close()
    again = Ledger(tmp_path, "A")
    assert again.page.asked == {"n_trials": "20"}
    assert again.page.written == {'["north"]': "digest"}
    assert again.asked == {"n_trials": "40"}
    assert had_child_runs(tmp_path)
    assert not had_child_runs(tmp_path / "nowhere")


def test_another_parent_begins_anew(tmp_path: Path) -> None:
    """When the parent run is gone, so are its children, and all is to be written again."""
    write(tmp_path)
    ledger = Ledger(tmp_path, "A")
    ledger.begin("1", "other")
    ledger.close()
    assert Ledger(tmp_path, "A").page == Page("other")


def test_the_same_parent_goes_on(tmp_path: Path) -> None:
    """A resumed study adds to its page."""
    write(tmp_path)
    ledger = Ledger(tmp_path, "A")
    ledger.begin("1", "p")
    ledger.done(1)
    ledger.close()
    assert Ledger(tmp_path, "A").page.done == {0, 1}


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_torn_end_costs_a_line(tmp_path: Path, cut: int) -> None:
    """Whatever a killed driver left at the end, the rest is read and can be added to."""
    write(tmp_path)
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes()[:-cut])
    ledger = Ledger(tmp_path, "A")
    ledger.begin("1", "p")
    ledger.done(5)
    ledger.close()
    page = Ledger(tmp_path, "A").page
    assert page.parent == "p"
    assert 5 in page.done


def test_a_torn_end_hides_no_new_parent(tmp_path: Path) -> None:
    """A line that was torn doesn't swallow the next one."""
    write(tmp_path)
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes()[:-5])
    ledger = Ledger(tmp_path, "A")
    ledger.begin("1", "other")
    ledger.close()
    assert Ledger(tmp_path, "A").page == Page("other")


def test_foreign_lines_are_skipped(tmp_path: Path) -> None:
    """Lines that mean nothing, in the middle too, cost nothing else."""
    write(tmp_path)
    path = tmp_path / FILE
    lines = path.read_text().splitlines()
    odd = ["[]", "null", '{"trial": "x", "done": true}', "\x00\x00", '{"trial": 0}', ""]
    path.write_text("\n".join([*lines[:2], *odd, *lines[2:]]) + "\n")
    assert Ledger(tmp_path, "A").page.done == {0}


def test_a_disk_that_refuses_is_no_error(tmp_path: Path) -> None:
    """Without its file a ledger still knows, until it is closed."""
    ledger = write(tmp_path / "nowhere")
    assert ledger.page.done == {0}
