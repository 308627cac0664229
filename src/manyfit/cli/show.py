"""`manyfit show NAME` has a study, one of its trials, or a call of `tune_groups`."""

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence

from rich.text import Text

from manyfit._redact import redact_value
from manyfit._text import printable
from manyfit.archive import is_of_groups, load_study, study_folder
from manyfit.cli.page import Commands, Page, cell, count, table
from manyfit.cli.rows import best_of
from manyfit.cli.show_groups import show_groups
from manyfit.metric import Metric
from manyfit.result import Failure, StudyResult
from manyfit.trackers.progress import counted, duration
from manyfit.trial import Attempt, Finished, Lost, Pruned, State, Trial, log_name

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
        default=10,
        metavar="N",
        help="how many trials, or groups, to show (default: 10)",
    )
    parser.set_defaults(run=run)


def run(page: Page, arguments: argparse.Namespace) -> int:
    """Print what the name stands for."""
    if is_of_groups(study_folder(arguments.name, arguments.folder)):
        show_groups(page, arguments)
        return 0
    result = load_study(arguments.name, folder=arguments.folder)
    if arguments.trial is None:
        _show(page, result, arguments.trials)
    else:
        _show_trial(page, result, result[arguments.trial])
    return 0


def _show(page: Page, result: StudyResult, n_trials: int) -> None:
    page.say(str(result))
    best = best_of(result)
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


def _show_trials(page: Page, result: StudyResult, n_trials: int) -> None:
    names = list(dict.fromkeys(name for trial in result for name in trial.params))
    trials = table("trial", "state", result.metric.name, "seconds", *names, "reason")
    searched = [trial for trial in result if trial.repeat_of is None]
    ranked = sorted(searched, key=lambda trial: _rank(trial, result.metric))
    for trial in ranked[:n_trials]:
        last = trial.metrics.get(result.metric.name)
        values = [redact_value(name, trial.params.get(name, "")) for name in names]
        seconds = "" if trial.seconds is None else f"{trial.seconds:.1f}"
        value = "" if last is None else f"{last:g}"
        row = (trial.number, trial.state.value, value, seconds, *values)
        reason = Text(printable(trial.reason), overflow="ellipsis", no_wrap=True)
        trials.add_row(*map(cell, row), reason)
    if len(result):
        page.print(trials)
    if len(ranked) > n_trials:
        page.print(f"{len(ranked) - n_trials} more: --trials {len(ranked)} shows all.")


def _show_trial(page: Page, result: StudyResult, trial: Trial) -> None:
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


def _show_output(page: Page, result: StudyResult, number: int, attempt: int) -> None:
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


def _listed(metrics: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in metrics.items())
