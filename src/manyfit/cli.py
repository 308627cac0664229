"""The command line: `manyfit list` and `manyfit show NAME [--trial N]` read records.

They take no lock and write nothing, so they may be used while a study runs. `manyfit sync` writes
to MLflow what it has missed.
"""

import argparse
import contextlib
import io
import os
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from manyfit._redact import redact_value
from manyfit._text import printable
from manyfit._version import __version__
from manyfit.archive import is_of_groups, load_study, study_folder, study_names
from manyfit.errors import ArgumentError, JournalCorruptError, ManyfitError, NoResultError
from manyfit.groups.loading import load_groups
from manyfit.groups.record.row import BASELINE, COMPLETE, FAIL
from manyfit.groups.result.table import keys_of, label
from manyfit.groups.sync import sync_groups
from manyfit.metric import Metric
from manyfit.result import Failure, StudyResult
from manyfit.sync import sync_study
from manyfit.trackers.progress import counted, duration
from manyfit.trial import Attempt, Finished, Lost, Pruned, State, Trial, log_name

# The number of trials, or ranges of trials, that are listed before the rest is counted.
_MOST_NAMED = 8
# The width of output to a file or a pipe, so that no line is folded.
_WIDE = 10_000


class _Page(Console):
    """Standard output, which a reader such as `head` or `less` may close at any time."""

    def __init__(self) -> None:
        on_screen = sys.stdout.isatty() or "COLUMNS" in os.environ
        if isinstance(sys.stdout, io.TextIOWrapper):  # what its encoding lacks stands as an escape
            sys.stdout.reconfigure(errors="backslashreplace")
        width = None if on_screen else _WIDE
        super().__init__(markup=False, emoji=False, highlight=False, width=width)

    def on_broken_pipe(self) -> None:
        """Exit without an error: the reader has seen enough."""
        with contextlib.suppress(SystemExit):
            super().on_broken_pipe()
        raise SystemExit(0)

    def say(self, text: str, style: str = "") -> None:
        """Print text unchanged, without folding lines."""
        self.print(Text(printable(text), style), soft_wrap=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns 0, or 2 for a study or trial that isn't there or is damaged.

    `sync` returns 1 where something is left to write.
    """
    arguments = _parser().parse_args(argv)
    page = _Page()
    try:
        if arguments.command == "list":
            _list(page, arguments.folder)
            return 0
        if arguments.command == "sync":
            return _sync(page, arguments)
        if is_of_groups(study_folder(arguments.name, arguments.folder)):
            _show_groups(page, arguments)
            return 0
        result = load_study(arguments.name, folder=arguments.folder)
        if arguments.trial is None:
            _show(page, result, arguments.trials)
        else:
            _show_trial(page, result, result[arguments.trial])
    except ManyfitError as error:
        Console(stderr=True).print(Text(printable(f"manyfit: {error}")), soft_wrap=True)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="manyfit", description="Look at studies on record.")
    parser.add_argument("--version", action="version", version=f"manyfit {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--folder", default=".manyfit", help="where studies are kept (default: .manyfit)"
    )
    commands.add_parser(
        "list",
        parents=[common],
        help="list the studies, the latest first, then the calls of tune_groups",
    )
    show = commands.add_parser(
        "show",
        parents=[common],
        help="show a study, or one of its trials, or a call of tune_groups",
    )
    show.add_argument("name", help="its name")
    show.add_argument(
        "--trial", type=int, metavar="N", help="show all of trial N: notes, attempts, output"
    )
    show.add_argument(
        "--trials",
        type=_count,
        default=10,
        metavar="N",
        help="how many trials, or groups, to show (default: 10)",
    )
    sync = commands.add_parser(
        "sync", parents=[common], help="write to MLflow what it missed of a study or a call"
    )
    sync.add_argument("name", help="the study's name")
    sync.add_argument(
        "--tracking-uri", metavar="URI", help="the server (default: the study's last)"
    )
    sync.add_argument("--experiment", metavar="NAME", help="the experiment (default: likewise)")
    sync.add_argument(
        "--wait", type=float, default=600.0, metavar="S", help="seconds to try for (default: 600)"
    )
    return parser


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number, 0 or more, but got {text!r}")
    return int(text)


def _sync(page: _Page, arguments: argparse.Namespace) -> int:
    is_call = is_of_groups(study_folder(arguments.name, arguments.folder))
    mirror = (sync_groups if is_call else sync_study)(
        arguments.name,
        folder=arguments.folder,
        tracking_uri=arguments.tracking_uri,
        experiment=arguments.experiment,
        wait=arguments.wait,
    )
    if mirror is None:  # a warning has said what is left
        return 1
    page.say(f"MLflow has all of {arguments.name}.")
    page.say(f"  tracking URI  {mirror.tracking_uri}")
    page.say(f"  experiment    {mirror.experiment}")
    return 0


def _list(page: _Page, folder: str) -> None:
    studies = _table("study", "metric", "best", "trials", "complete", "pruned", "failed", "state")
    calls = _table(
        "groups of", "metric", "median", "groups", "complete", "baseline", "failed", "state"
    )
    for name in study_names(folder):
        of_groups = is_of_groups(study_folder(name, folder))
        try:
            row = _line_of_groups(name, folder) if of_groups else _line_of_study(name, folder)
        except ManyfitError as error:
            row = (name, *[""] * 6, _trouble(name, error))
        (calls if of_groups else studies).add_row(*map(_cell, row))
    for table in (studies, calls):
        if table.row_count:
            page.print(table)
    if not studies.row_count + calls.row_count:
        page.say(f"No studies in {folder}.")


def _line_of_study(name: str, folder: str) -> Sequence[object]:
    result = load_study(name, folder=folder)
    counts = [result.count(state) for state in (State.COMPLETE, State.PRUNED, State.FAIL)]
    best = _best(result)
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


def _table(*columns: str) -> Table:
    """Make a table in which long values are folded, never cut off."""
    table = Table()
    for column in columns:
        table.add_column(_cell(column), overflow="fold")
    return table


def _cell(value: object) -> Text:
    return Text(printable(f"{value:.4g}" if isinstance(value, float) else str(value)))


def _show(page: _Page, result: StudyResult, n_trials: int) -> None:
    page.say(str(result))
    best = _best(result)
    if best is not None:
        page.say(f"  metrics {_listed(best.metrics)}")
    page.print()
    _show_trials(page, result, n_trials)
    for repeated in result.repeated:
        page.say(f"trial {repeated.number} again: {repeated}")
    for failure in result.failures():
        numbers = _numbers(failure.numbers)
        page.say(f"\nFAIL {failure.reason} ({numbers}{_where(failure, result)}; log {failure.log})")
        if failure.traceback:
            page.say(failure.traceback.rstrip(), "dim")
    losses = result.losses()
    if losses:
        count = sum(len(loss.numbers) for loss in losses)
        page.say(f"\n{counted(count, 'attempt')} {'was' if count == 1 else 'were'} lost:")
    for loss in losses:
        page.say(f"  {loss.reason} ({_numbers(loss.numbers)}{_where(loss, result)})")


def _show_groups(page: _Page, arguments: argparse.Namespace) -> None:
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
    table = _table(*result.by, *names)
    rows = result.rows.slice(0, arguments.trials)
    columns = [rows.column(name).to_pylist() for name in names]
    for key, values in zip(keys_of(rows, result.by), zip(*columns, strict=True), strict=True):
        parts = key if isinstance(key, tuple) else (key,)
        table.add_row(*(_cell("" if each is None else each) for each in (*parts, *values)))
    if len(rows):
        page.print(table)
    if len(result) > len(rows):
        page.print(f"{len(result) - len(rows)} more: --trials {len(result)} shows all.")


def _where(failure: Failure, result: StudyResult) -> str:
    """Name the single machine of failures, if the study has run on several."""
    if len(failure.hosts) != 1 or len(result.hosts) < 2:
        return ""
    return f", {'all ' if len(failure.numbers) > 1 else ''}on {failure.hosts[0]}"


def _numbers(numbers: Sequence[int]) -> str:
    """Name trials: `trial 3`, or `trials 3, 5-9, 12 and 40 more`."""
    ranges = list(_ranges(sorted(set(numbers))))
    shown = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges[:_MOST_NAMED])
    more = sum(b - a + 1 for a, b in ranges[_MOST_NAMED:])
    word = "trial" if len(set(numbers)) == 1 else "trials"
    return f"{word} {shown}{f' and {more} more' if more else ''}"


def _ranges(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and last of each run of consecutive numbers; two in a row are no run."""
    start = 0
    for end in range(1, len(numbers) + 1):
        if end < len(numbers) and numbers[end] == numbers[end - 1] + 1:
            continue
        if end - start > 2:
            yield numbers[start], numbers[end - 1]
        else:
            yield from ((number, number) for number in numbers[start:end])
        start = end


def _show_trials(page: _Page, result: StudyResult, n_trials: int) -> None:
    names = list(dict.fromkeys(name for trial in result for name in trial.params))
    table = _table("trial", "state", result.metric.name, "seconds", *names, "reason")
    searched = [trial for trial in result if trial.repeat_of is None]
    ranked = sorted(searched, key=lambda trial: _rank(trial, result.metric))
    for trial in ranked[:n_trials]:
        last = trial.metrics.get(result.metric.name)
        values = [redact_value(name, trial.params.get(name, "")) for name in names]
        seconds = "" if trial.seconds is None else f"{trial.seconds:.1f}"
        value = "" if last is None else f"{last:g}"
        row = (trial.number, trial.state.value, value, seconds, *values)
        reason = Text(printable(trial.reason), overflow="ellipsis", no_wrap=True)
        table.add_row(*map(_cell, row), reason)
    if len(result):
        page.print(table)
    if len(ranked) > n_trials:
        page.print(f"{len(ranked) - n_trials} more: --trials {len(ranked)} shows all.")


def _show_trial(page: _Page, result: StudyResult, trial: Trial) -> None:
    reason = f": {trial.reason}" if trial.reason else ""
    page.say(f"Trial {trial.number} of {result.name}: {trial.state.value}{reason}")
    page.say(f"  proposed by  {trial.origin}")
    for name, value in trial.params.items():
        page.say(f"    {name} = {redact_value(name, value)!r}")
    if trial.metrics:
        page.say(f"  metrics      {_listed(trial.metrics)}")
    if trial.notes:
        page.say("  notes")
    for name, text in trial.notes.items():
        page.say(f"    {name} = {redact_value(name, text)!r}")
    for attempt in trial.attempts:
        page.say(f"  attempt {attempt.number}    {_told(attempt)}")
    if trial.traceback:
        page.say(f"\n{trial.traceback.rstrip()}", "dim")
    for attempt in trial.attempts:
        _show_output(page, result, trial.number, attempt.number)


def _told(attempt: Attempt) -> str:
    """Describe an attempt in one line: where, when, how long, how it ended."""
    began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(attempt.started_at))
    words = [f"on {attempt.worker}", f"from {began}"]
    seconds = attempt.seconds
    if seconds is None and attempt.ended_at is not None:
        seconds = attempt.ended_at - attempt.started_at
    if seconds is not None:
        words.append(f"for {duration(seconds)}")
    if attempt.measurements:
        words.append(f"reported up to step {attempt.measurements[-1].step}")
    match attempt.end:
        case None:
            words.append("not ended")
        case Finished():
            words.append("finished")
        case Pruned(reason):
            words.append(f"pruned: {reason}")
        case Lost(reason):
            words.append(f"lost: {reason}")
        case failed:
            words.append(f"failed: {failed.reason}")
    return ", ".join(words)


def _show_output(page: _Page, result: StudyResult, number: int, attempt: int) -> None:
    path = result.folder / "logs" / log_name(number, attempt)
    try:
        with path.open(encoding="utf-8", errors="replace", newline="\n") as log:
            page.say(f"\nOutput of attempt {attempt} ({path}):", "bold")
            for line in log:
                page.say(Text.from_ansi(line.rstrip("\n")).plain)
    except FileNotFoundError:
        page.say(f"\nAttempt {attempt} has no output.")


def _rank(trial: Trial, metric: Metric) -> tuple[bool, float, int]:
    """Completed trials first, by value; then the others, by the last value they reported."""
    last = trial.metrics.get(metric.name, float("nan"))
    return trial.state is not State.COMPLETE, metric.loss(last), trial.number


def _best(result: StudyResult) -> Trial | None:
    try:
        return result.best
    except NoResultError:
        return None


def _listed(metrics: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in metrics.items())


if __name__ == "__main__":
    sys.exit(main())
