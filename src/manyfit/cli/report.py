"""`manyfit report NAME` writes a study, or a call of `tune_groups`, as a page of HTML."""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from manyfit.archive import NOT_ENDED, NOT_STARTED, is_of_groups, load_study, study_folder
from manyfit.cli.page import Commands, Page
from manyfit.groups.loading import load_groups
from manyfit.groups.result.report import groups_html
from manyfit.groups.result.result import GroupsResult
from manyfit.reports.study import study_html
from manyfit.reports.writing import write
from manyfit.result import StudyResult

_PERIOD = 3.0  # seconds between looks at a running study
_SHARE = 4.0  # a page that takes long to make is made again after this many times that


def register(commands: Commands, folder: argparse.ArgumentParser) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "report", parents=[folder], help="write a study or a call as one HTML file"
    )
    parser.add_argument("name", help="its name")
    parser.add_argument("--output", metavar="FILE", help="the file (default: NAME.html)")
    parser.add_argument(
        "--watch",
        action="store_true",
        help="write it again as the study goes on, until it ends; a browser reloads it by itself",
    )
    parser.set_defaults(run=run)


def run(page: Page, arguments: argparse.Namespace) -> int:
    """Write the page once, or with `--watch` until the study has ended."""
    path = arguments.output or f"{arguments.name}.html"
    if not arguments.watch:
        page.say(str(_load(arguments).report(path)))
        return 0
    try:
        watch(lambda: _load(arguments), path, page.say)
    except KeyboardInterrupt:
        _load(arguments).report(path)
    return 0


def _load(arguments: argparse.Namespace) -> StudyResult | GroupsResult:
    is_call = is_of_groups(study_folder(arguments.name, arguments.folder))
    return (load_groups if is_call else load_study)(arguments.name, folder=arguments.folder)


def watch(
    load: Callable[[], StudyResult | GroupsResult],
    path: str | Path,
    say: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Write a page whenever its study has changed, until that has ended.

    Args:
        load: Reads the study.
        path: The file.
        say: Is told the path once.
        sleep: Waits.
    """
    last: object = None
    while True:
        begun = time.monotonic()
        result = load()
        if result.reason not in (NOT_STARTED, NOT_ENDED):
            written = result.report(path)
            if last is None:
                say(str(written))
            return
        changed = [(each.stat().st_mtime_ns, each.stat().st_size) for each in _records(result)]
        if changed != last:
            written = write(path, _html(result))
            if last is None:
                say(f"{written} (until the study ends, or Ctrl-C)")
            last = changed
        sleep(max(_PERIOD, _SHARE * (time.monotonic() - begun)))


def _html(result: StudyResult | GroupsResult) -> str:
    if isinstance(result, GroupsResult):
        return groups_html(result, _PERIOD)
    return study_html(result, _PERIOD)


def _records(result: StudyResult | GroupsResult) -> list[Path]:
    return sorted(result.folder.glob("*.jsonl"))
