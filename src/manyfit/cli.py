"""The command line: `manyfit list` and `manyfit show NAME` read what is on record.

They take no lock and write nothing, so they may be used on a study that is running.
"""

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from manyfit._version import __version__
from manyfit.archive import load_study, study_names
from manyfit.errors import ManyfitError, NoResultError
from manyfit.metric import Metric
from manyfit.result import StudyResult
from manyfit.trial import State, Trial


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns 0, or 2 for a study that isn't there or is damaged."""
    arguments = _parser().parse_args(argv)
    console = Console(markup=False, emoji=False, highlight=False)
    try:
        if arguments.command == "list":
            _list(console, arguments.folder)
        else:
            _show(console, load_study(arguments.name, folder=arguments.folder), arguments.trials)
    except ManyfitError as error:
        Console(stderr=True).print(Text(f"manyfit: {error}"))
        return 2
    except BrokenPipeError:
        sys.stderr.close()  # the reader (head, less) has seen enough
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="manyfit", description="Look at studies on record.")
    parser.add_argument("--version", action="version", version=f"manyfit {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--folder", default=".manyfit", help="where studies are kept (default: .manyfit)"
    )
    commands.add_parser("list", parents=[common], help="list the studies, the latest first")
    show = commands.add_parser("show", parents=[common], help="show a study and its best trials")
    show.add_argument("name", help="the study's name")
    show.add_argument(
        "--trials", type=int, default=10, metavar="N", help="how many trials to show (default: 10)"
    )
    return parser


def _list(console: Console, folder: str) -> None:
    table = Table("study", "metric", "best", "trials", "complete", "pruned", "failed", "state")
    for name in study_names(folder):
        try:
            result = load_study(name, folder=folder)
        except ManyfitError as error:
            table.add_row(name, "", "", "", "", "", "", Text(str(error).splitlines()[0]))
            continue
        counts = [str(result.count(s)) for s in (State.COMPLETE, State.PRUNED, State.FAIL)]
        best = _best(result)
        value = "" if best is None else f"{best.value:g}"
        table.add_row(name, result.metric.name, value, str(len(result)), *counts, result.reason)
    if table.row_count:
        console.print(table)
    else:
        console.print(f"No studies in {folder}.")


def _show(console: Console, result: StudyResult, n_trials: int) -> None:
    console.print(Text(str(result)))
    best = _best(result)
    if best is not None:
        metrics = ", ".join(f"{name} {value:g}" for name, value in best.metrics.items())
        console.print(Text(f"  metrics {metrics}"))
    console.print()
    _show_trials(console, result, n_trials)
    for failure in result.failures():
        numbers = ", ".join(map(str, failure.numbers))
        console.print(Text(f"\nFAIL {failure.reason} (trials {numbers}; log {failure.log})"))
        if failure.traceback:
            console.print(Text(failure.traceback.rstrip(), style="dim"))


def _show_trials(console: Console, result: StudyResult, n_trials: int) -> None:
    names = list(dict.fromkeys(name for trial in result for name in trial.params))
    table = Table("trial", "state", result.metric.name, "seconds", *names, "reason")
    ranked = sorted(result, key=lambda trial: _rank(trial, result.metric))
    for trial in ranked[:n_trials]:
        last = trial.metrics.get(result.metric.name)
        table.add_row(
            str(trial.number),
            trial.state.value,
            "" if last is None else f"{last:g}",
            "" if trial.seconds is None else f"{trial.seconds:.1f}",
            *(_short(trial.params.get(name, "")) for name in names),
            Text(trial.reason, overflow="ellipsis", no_wrap=True),
        )
    if len(result):
        console.print(table)
    if len(ranked) > n_trials:
        console.print(f"{len(ranked) - n_trials} more: --trials {len(ranked)} shows all.")


def _rank(trial: Trial, metric: Metric) -> tuple[bool, float, int]:
    """Completed trials first, by value; then the others, by the last value they reported."""
    last = trial.metrics.get(metric.name, float("nan"))
    return trial.state is not State.COMPLETE, metric.loss(last), trial.number


def _best(result: StudyResult) -> Trial | None:
    try:
        return result.best
    except NoResultError:
        return None


def _short(value: object) -> Text:
    return Text(f"{value:.4g}" if isinstance(value, float) else str(value))
