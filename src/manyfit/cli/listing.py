"""`manyfit list` has one line per study and per call of `tune_groups`."""

import argparse
import shlex
from collections.abc import Sequence

import numpy as np

from manyfit.archive import is_of_groups, load_study, study_folder, study_names
from manyfit.cli.page import Commands, Page, cell, table
from manyfit.cli.rows import best_of
from manyfit.errors import JournalCorruptError, ManyfitError
from manyfit.groups.loading import load_groups
from manyfit.groups.record.row import BASELINE, COMPLETE, FAIL
from manyfit.trial import State


def register(commands: Commands, folder: argparse.ArgumentParser) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "list",
        parents=[folder],
        help="list the studies, the latest first, then the calls of tune_groups",
    )
    parser.set_defaults(run=run)


def run(page: Page, arguments: argparse.Namespace) -> int:
    """Print the tables; a record that can't be read has a line that says so."""
    _list(page, arguments.folder)
    return 0


def _list(page: Page, folder: str) -> None:
    studies = table("study", "metric", "best", "trials", "complete", "pruned", "failed", "state")
    calls = table(
        "groups of", "metric", "median", "groups", "complete", "baseline", "failed", "state"
    )
    for name in study_names(folder):
        of_groups = is_of_groups(study_folder(name, folder))
        try:
            row = _line_of_groups(name, folder) if of_groups else _line_of_study(name, folder)
        except ManyfitError as error:
            row = (name, *[""] * 6, _trouble(name, error))
        (calls if of_groups else studies).add_row(*map(cell, row))
    for each in (studies, calls):
        if each.row_count:
            page.print(each)
    if not studies.row_count + calls.row_count:
        page.say(f"No studies in {folder}.")


def _line_of_study(name: str, folder: str) -> Sequence[object]:
    result = load_study(name, folder=folder)
    counts = [result.count(state) for state in (State.COMPLETE, State.PRUNED, State.FAIL)]
    best = best_of(result)
    value = "" if best is None else f"{best.value:g}"
    return (name, result.metric.name, value, len(result), *counts, result.reason)


def _line_of_groups(name: str, folder: str) -> Sequence[object]:
    result = load_groups(name, folder=folder)
    counts = [result.count(state) for state in (COMPLETE, BASELINE, FAIL)]
    values = result.summary.values
    value = f"{np.median(values):g}" if len(values) else ""
    return (name, result.metric.name, value, len(result), *counts, result.reason)


def _trouble(name: str, error: ManyfitError) -> str:
    """Return in a few words why a study can't be read."""
    what = "can't be read"
    if isinstance(error, JournalCorruptError):
        what = "damaged" if error.line is None else f"damaged: line {error.line}"
    return f"{what} (manyfit show {shlex.quote(name)} says more)"
