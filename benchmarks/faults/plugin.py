"""A plugin of pytest: notes when tests begin and end, and tells coverage which test comes next.

It is copied out of here as `manyfit_notes`, so a tree under test finds nothing else of this one.
"""

import json
import os
from pathlib import Path

import coverage
import pytest


def pytest_configure():
    """Make sure that it is the tree's own library that is tested."""
    import manyfit

    assert Path(manyfit.__file__).is_relative_to(Path.cwd()), manyfit.__file__


def pytest_collection_finish(session):
    """Note which tests there are."""
    if session.config.option.collectonly:
        for item in session.items:
            _note(test=item.nodeid, when="collected")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item, nextitem):
    """Note that a test begins; the lines that run from now on are its own."""
    _note(test=item.nodeid, when="begin")
    running = coverage.Coverage.current()
    if running is not None:
        running.switch_context(item.nodeid)
    return (yield)


def pytest_runtest_logreport(report):
    """Note a part of a test that has ended, once where there are several processes."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        says = str(report.longrepr).splitlines()[-1] if report.failed else ""
        facts = {"outcome": report.outcome, "seconds": round(report.duration, 3), "says": says}
        _note(test=report.nodeid, when=report.when, **facts)


def _note(**facts):
    with Path(os.environ["FAULTS_NOTES"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(facts) + "\n")
