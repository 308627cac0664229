"""`manyfit list` has one line per study and per call of `tune_groups`."""

import argparse
import shlex
from typing import Any

from manyfit.archive import is_of_groups, load_study, study_folder, study_names
from manyfit.cli.page import Commands, Page, add_forms
from manyfit.cli.rows import counts, groups_row, study_row
from manyfit.errors import JournalCorruptError, ManyfitError
from manyfit.groups.loading import load_groups


def register(commands: Commands, folder: argparse.ArgumentParser) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "list",
        parents=[folder],
        help="list the studies, the latest first, then the calls of tune_groups",
    )
    add_forms(parser)
    parser.set_defaults(run=run)


def run(page: Page, arguments: argparse.Namespace) -> int:
    """Print the tables; a record that can't be read has a line that says so."""
    rows = [_row(name, arguments.folder) for name in study_names(arguments.folder)]
    if arguments.json:
        page.as_json(rows)
    elif arguments.csv:
        page.as_csv(rows)
    elif not rows:
        page.say(f"No studies in {arguments.folder}.")
    else:
        _print(page, [row for row in rows if row["kind"] == "study"], "study", "best")
        _print(page, [row for row in rows if row["kind"] == "groups"], "groups of", "median")
    return 0


def _print(page: Page, rows: list[dict[str, Any]], head: str, value: str) -> None:
    unit = "trials" if value == "best" else "groups"
    lines = [
        (
            row["name"],
            row.get("metric"),
            row.get(value),
            counts(row) if unit in row else "",
            row["reason"],
        )
        for row in rows
    ]
    if lines:
        page.as_table((head, "metric", value, unit, "state"), lines, prose=(unit, "state"))


def _row(name: str, folder: str) -> dict[str, Any]:
    of_groups = is_of_groups(study_folder(name, folder))
    try:
        if of_groups:
            return groups_row(load_groups(name, folder=folder))
        return study_row(load_study(name, folder=folder))
    except ManyfitError as error:
        kind = "groups" if of_groups else "study"
        return {"name": name, "kind": kind, "reason": _trouble(name, error)}


def _trouble(name: str, error: ManyfitError) -> str:
    """Return in a few words why a study can't be read."""
    what = "can't be read"
    if isinstance(error, JournalCorruptError):
        what = "damaged" if error.line is None else f"damaged: line {error.line}"
    return f"{what} (manyfit show {shlex.quote(name)} says more)"
