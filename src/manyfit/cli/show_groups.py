"""`manyfit show NAME` of a call of `tune_groups`."""

import argparse

from manyfit.cli.page import Page
from manyfit.cli.rows import group_rows, groups_record
from manyfit.cli.show_record import record_of, show_record
from manyfit.errors import ArgumentError
from manyfit.groups.loading import load_groups
from manyfit.groups.result.result import GroupsResult
from manyfit.groups.result.table import first_groups, label
from manyfit.trackers.progress import counted


def show_groups(page: Page, arguments: argparse.Namespace) -> None:
    """Print a call: in words with its first groups, or all of it as JSON, or its groups as CSV.

    Raises:
        ArgumentError: One trial was asked for: trials have numbers within their group only.
    """
    result = load_groups(arguments.name, folder=arguments.folder)
    if arguments.trial is not None:
        raise ArgumentError(
            f"{result.name!r} is a call of tune_groups: each of its {len(result)} groups has a "
            f"trial {arguments.trial} of its own. 'manyfit show {result.name}' shows the groups, "
            "with --csv all of them; in Python, load_groups(name).params_of(key) has a group's "
            "best params"
        )
    if arguments.json:
        shown = groups_record(result, result.rows.slice(0, arguments.trials))
        page.as_json({**shown, "made": record_of(result.folder)})
    elif arguments.csv:
        page.as_csv(group_rows(result, result.rows.slice(0, arguments.trials)))
    else:
        _show(page, result, 10 if arguments.trials is None else arguments.trials)


def _show(page: Page, result: GroupsResult, n_groups: int) -> None:
    page.say(str(result))
    for failure in result.failures():
        first = ", ".join(map(label, failure.keys))
        page.say(f"\n{counted(failure.count, 'group')} FAIL {failure.reason} ({first})")
        if failure.traceback:
            page.say(failure.traceback.rstrip(), "dim")
    columns, rows = first_groups(result.rows.slice(0, n_groups), result.by)
    if rows:
        page.as_table(columns, rows, prose=("params",))
    if len(result) > len(rows):
        page.print(f"{len(result) - len(rows)} more: --trials {len(result)} shows all.")
    show_record(page, result.folder)
