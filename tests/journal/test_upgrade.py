"""Lines of older versions are brought up to date, and those of newer ones refused."""

from typing import Any

import pytest

from manyfit.errors import JournalError
from manyfit.event_lines import VERSION
from manyfit.journal.upgrade import upgrade


def test_a_current_record_is_left_as_it_is() -> None:
    """A record of this version passes through."""
    record = {"v": VERSION, "event": "asked"}

    assert upgrade(record) is record


def test_each_step_runs_once_in_order() -> None:
    """An old record takes every step from its version to the current one."""

    def add(name: str) -> Any:
        return lambda record: {**record, "steps": [*record.get("steps", []), name]}

    steps = {1: add("1-2"), 2: add("2-3"), 3: add("3-4")}

    assert upgrade({"v": 2}, steps=steps, current=4) == {"v": 4, "steps": ["2-3", "3-4"]}


def test_a_newer_record_is_refused() -> None:
    """What a newer Manyfit wrote is not guessed at; the message says what to do."""
    with pytest.raises(JournalError, match=r"written by a newer Manyfit .*pip install -U manyfit"):
        upgrade({"v": VERSION + 1, "event": "asked"})


@pytest.mark.parametrize("version", [None, "1", 0, -1, 0.5, [1]])
def test_a_version_that_never_was(version: object) -> None:
    """A record without a known version is not an event."""
    with pytest.raises((ValueError, TypeError)):
        upgrade({"v": version, "event": "asked"})
