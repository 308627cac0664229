"""`manyfit show NAME` has a study, one of its trials, or a call of `tune_groups`."""

import argparse
from collections.abc import Iterator, Sequence

from manyfit.archive import is_of_groups, load_study, study_folder
from manyfit.cli.page import Commands, Page, add_forms, count
from manyfit.cli.rows import best_of, study_record, trial_row
from manyfit.cli.show_groups import show_groups
from manyfit.cli.show_record import record_of, show_record
from manyfit.cli.show_trial import listed, show_trial
from manyfit.result import Failure, StudyResult
from manyfit.trackers.progress import counted
from manyfit.trial_table import flattened, ordered, ranked, table_of

# The number of trials, or ranges of trials, that are listed before the rest is counted.
_MOST_NAMED = 8


def register(commands: Commands, folder: argparse.ArgumentParser) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "show",
        parents=[folder],
        help="show a study, or one of its trials, or a call of tune_groups",
    )
    parser.add_argument("name", help="its name")
    parser.add_argument(
        "--trial", type=int, metavar="N", help="show all of trial N: notes, attempts, output"
    )
    parser.add_argument(
        "--trials",
        type=count,
        metavar="N",
        help="how many trials, or groups, to show (default: 10; all of them as JSON or CSV)",
    )
    add_forms(parser)
    parser.set_defaults(run=run)


def run(page: Page, arguments: argparse.Namespace) -> int:
    """Print what the name stands for."""
    if is_of_groups(study_folder(arguments.name, arguments.folder)):
        show_groups(page, arguments)
        return 0
    result = load_study(arguments.name, folder=arguments.folder)
    if arguments.trial is not None:
        show_trial(page, result, result[arguments.trial], arguments)
        return 0
    trials = ranked(result, result.metric)
    if arguments.json:
        shown = study_record(result, trials[: arguments.trials])
        page.as_json({**shown, "made": record_of(result.folder)})
    elif arguments.csv:
        rows = [trial_row(each) for each in flattened(trials[: arguments.trials], result.space)]
        page.as_csv(rows, ordered(dict.fromkeys(name for row in rows for name in row)))
    else:
        _show(page, result, 10 if arguments.trials is None else arguments.trials)
    return 0


def _show(page: Page, result: StudyResult, n_trials: int) -> None:
    page.say(str(result))
    best = best_of(result)
    if best is not None:
        page.say(f"  metrics {listed(best.metrics)}")
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
    show_record(page, result.folder)


def _show_trials(page: Page, result: StudyResult, n_trials: int) -> None:
    searched = [trial for trial in ranked(result, result.metric) if trial.repeat_of is None]
    columns, rows = table_of(flattened(searched[:n_trials], result.space), result.metric)
    if rows:
        page.as_table(columns, rows, prose=("reason",))
    if len(searched) > n_trials:
        page.print(f"{len(searched) - n_trials} more: --trials {len(searched)} shows all.")


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
