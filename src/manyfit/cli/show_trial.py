"""`manyfit show NAME --trial N` has all about one trial."""

import argparse
import time
from collections.abc import Mapping

from rich.text import Text

from manyfit._redact import redact_value
from manyfit.cli.page import Page
from manyfit.cli.rows import report_rows, trial_record
from manyfit.result import StudyResult
from manyfit.trackers.progress import duration
from manyfit.trial import Attempt, Finished, Lost, Pruned, Trial, log_name


def show_trial(
    page: Page, result: StudyResult, trial: Trial, arguments: argparse.Namespace
) -> None:
    """Print a trial: in words with its output, as JSON with its reports, or its reports as CSV."""
    if arguments.json:
        page.as_json({**trial_record(result, trial), "reports": report_rows(trial)})
    elif arguments.csv:
        page.as_csv(report_rows(trial))
    else:
        _show(page, result, trial)


def _show(page: Page, result: StudyResult, trial: Trial) -> None:
    reason = f": {trial.reason}" if trial.reason else ""
    page.say(f"Trial {trial.number} of {result.name}: {trial.state.value}{reason}")
    page.say(f"  proposed by  {trial.origin}")
    for name, value in result.space.flat(trial.params).items():
        page.say(f"    {name} = {redact_value(name, value)!r}")
    if trial.metrics:
        page.say(f"  metrics      {listed(trial.metrics)}")
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


def listed(metrics: Mapping[str, float]) -> str:
    """Return metrics in words: `loss 0.25, accuracy 0.9`."""
    return ", ".join(f"{name} {value:g}" for name, value in metrics.items())
