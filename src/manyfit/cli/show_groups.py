"""`manyfit show NAME` of a call of `tune_groups`."""

import argparse

from manyfit.cli.page import Page, cell, table
from manyfit.errors import ArgumentError
from manyfit.groups.loading import load_groups
from manyfit.groups.result.table import keys_of, label
from manyfit.trackers.progress import counted


def show_groups(page: Page, arguments: argparse.Namespace) -> None:
    """Print the call: its result in words, its failures, and its first groups."""
    if arguments.trial is not None:
        raise ArgumentError(f"{arguments.name!r} is a call of tune_groups, which has no trial N")
    result = load_groups(arguments.name, folder=arguments.folder)
    page.say(str(result))
    for failure in result.failures():
        first = ", ".join(map(label, failure.keys))
        page.say(f"\n{counted(failure.count, 'group')} FAIL {failure.reason} ({first})")
        if failure.traceback:
            page.say(failure.traceback.rstrip(), "dim")
    names = ("state", "value", "baseline", "gain", "trials", "seconds", "params")
    groups = table(*result.by, *names)
    rows = result.rows.slice(0, arguments.trials)
    columns = [rows.column(name).to_pylist() for name in names]
    for key, values in zip(keys_of(rows, result.by), zip(*columns, strict=True), strict=True):
        parts = key if isinstance(key, tuple) else (key,)
        groups.add_row(*(cell("" if each is None else each) for each in (*parts, *values)))
    if len(rows):
        page.print(groups)
    if len(result) > len(rows):
        page.print(f"{len(result) - len(rows)} more: --trials {len(result)} shows all.")
