"""What people are told that they may not expect."""

from types import SimpleNamespace

import pytest

from manyfit.arguments import notes_on
from manyfit.executors.base import Capabilities
from manyfit.worker.work import Limits


class Trainer(SimpleNamespace):
    """Stands for an executor."""


def notes(limits, **can):
    capabilities = {"live_reports": True, "hard_kill": False, "memory_limit": False} | can
    return notes_on(
        Trainer(capabilities=Capabilities(**capabilities), parallelism=4), limits, None, None
    )


@pytest.mark.parametrize(
    ("can", "note"),
    [
        ({}, "trial_timeout ends it at its next report"),
        (
            {"cancels": True},
            "trial_timeout cancels its jobs, or ends it at its next report",
        ),
    ],
)
def test_a_time_limit_that_kills_nobody(can, note):
    """It is said what happens instead."""
    assert notes(Limits(seconds=1.0), **can) == (f"Trainer can't kill a trial: {note}",)


def test_what_an_executor_can_do_needs_no_note():
    """Nothing is said of limits that hold, or that nobody asked for."""
    assert notes(Limits(seconds=1.0, memory=1), hard_kill=True, memory_limit=True) == ()
    assert notes(Limits()) == ()
