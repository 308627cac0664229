"""The progress of a running study, as counts and as sentences."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from manyfit._optional import load
from manyfit._text import printable
from manyfit.advice.advice import as_lines
from manyfit.events import (
    AttemptFailed,
    AttemptFinished,
    AttemptLost,
    AttemptPruned,
    AttemptStarted,
    Event,
    TrialAbandoned,
)
from manyfit.layout import laid_out
from manyfit.open_space import OpenSpace
from manyfit.repeats import Repeated, best_trial, repeated
from manyfit.trackers.base import Outcome, StudyInfo
from manyfit.trial import State, Trial, log_name

# The number of kinds of failures to show; further kinds are counted together.
_KINDS = 8
_OTHER = "other failures"
# A rate is shown only from this number of trials, or groups, on.
ENOUGH = 2

_STARTS = AttemptStarted
ENDS = AttemptFinished | AttemptPruned | AttemptFailed | AttemptLost | TrialAbandoned

# Pieces of text, each with a style of rich.
Line: TypeAlias = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Counts:
    """The number of trials in each state.

    Attributes:
        wanted: The number that would run if the cluster had the room; 0 if that many run.
    """

    complete: int = 0
    pruned: int = 0
    failed: int = 0
    running: int = 0
    wanted: int = 0

    @property
    def finished(self) -> int:
        """The number of trials that have ended."""
        return self.complete + self.pruned + self.failed

    @property
    def short(self) -> str:
        """A suffix for the number of running trials, if it is lower than wanted."""
        return f" (of {self.wanted})" if self.wanted else ""

    @property
    def figures(self) -> Line:
        """The counts, as a line."""
        parts = (
            (self.complete, "complete", "green"),
            (self.pruned, "pruned", "yellow"),
            (self.failed, "failed", "red"),
            (self.running, f"running{self.short}", "cyan"),
        )
        line: Line = []
        for count, word, style in parts:
            line += [(f"{count} ", style if count else "dim"), (f"{word}   ", "dim")]
        return line

    def __str__(self) -> str:
        words = [f"{self.complete} complete"]
        words += [f"{self.pruned} pruned"] if self.pruned else []
        words += [f"{self.failed} failed"] if self.failed else []
        words += [f"{self.running} running{self.short}"] if self.running or self.wanted else []
        return ", ".join(words)


@dataclass(frozen=True, slots=True)
class View:
    """The progress of a study at one moment."""

    study: StudyInfo
    counts: Counts
    best: Trial | None
    elapsed: float
    seconds_left: float | None
    repeated: Repeated | None = None

    @property
    def done(self) -> int:
        """The number of trials that have ended."""
        return self.counts.finished

    @property
    def total(self) -> int | None:
        """The total number of trials."""
        return self.study.n_trials

    @property
    def headline(self) -> str:
        """The number of ended trials, and their total."""
        return f"{self.done}" if self.total is None else f"{self.done}/{self.total}"

    @property
    def news(self) -> str:
        """The best trial."""
        return "" if self.best is None else f"new best: {describe(self.study, self.best)}"

    @property
    def figures(self) -> Sequence[Line]:
        """The counts, and the best trial."""
        return self.counts.figures, self._best

    @property
    def _best(self) -> Line:
        line: Line = [(f"best {self.study.metric.name}  ", "dim")]
        if self.best is None or self.best.value is None:
            return [*line, ("none yet", "dim")]
        shown = f"  trial {self.best.number}  {short(self.best.params)}"
        return [*line, (number(self.best.value), "bold green"), (shown, "")]

    @property
    def status(self) -> str:
        """The progress of the study, in one line."""
        done, total, best = self.done, self.total, self.best
        trials = counted(done, "trial") if total is None else f"{done}/{counted(total, 'trial')}"
        parts = [f"{trials} ({self.counts})"]
        if best is not None and best.value is not None:
            parts.append(f"best {self.study.metric.name} {number(best.value)}")
        parts.append(f"{duration(self.elapsed)} so far")
        if self.seconds_left is not None and done != total:
            parts.append(f"about {duration(self.seconds_left)} left")
        return ", ".join(parts)


class Tally:
    """Counts the trials of a study, one event at a time, and reports failures.

    Trials of earlier drivers count, but the time left is estimated from the pace of this one.

    Args:
        study: The study.
        history: Its trials so far.
        now: Monotonic time.
    """

    def __init__(self, study: StudyInfo, history: Sequence[Trial], now: float) -> None:
        self.study = study
        self.failures: Counter[str] = Counter()
        self.best: Trial | None = None
        self._repeated: Repeated | None = None
        self._advice: Sequence[str] = ()
        counting = study.counting(history)
        self._states: Counter[State] = Counter(trial.state for trial in counting)
        self._running: set[int] = set()
        self._before = self.counts.finished
        self._started = now
        self.opening = opening(study, history)
        for trial in counting:
            self._consider(trial)

    @property
    def counts(self) -> Counts:
        """The number of trials in each state."""
        states = self._states
        counts = Counts(
            states[State.COMPLETE], states[State.PRUNED], states[State.FAIL], len(self._running)
        )
        return replace(counts, wanted=self._wanted(counts))

    def take(self, event: Event, trial: Trial | None) -> str | None:
        """Count an event; returns a sentence for the first failure or loss of each kind."""
        if trial is None or not isinstance(event, _STARTS | ENDS):
            return None
        if isinstance(event, _STARTS):
            self._running.add(trial.number)
            return None
        self._running.discard(trial.number)
        state = trial.state
        if state.is_finished:
            self._states[state] += 1
        if state is State.COMPLETE:
            self._consider(trial)
        elif state is State.FAIL:
            return self._failure(trial)
        elif isinstance(event, AttemptLost) and event.counts:
            return self._loss(event, trial)
        return None

    def view(self, now: float) -> View:
        """Return the progress of the study, for drawing on another thread."""
        elapsed = now - self._started
        left = self._seconds_left(elapsed)
        return View(self.study, self.counts, self.best, elapsed, left, self._repeated)

    def settle(self, trials: Sequence[Trial], reason: str) -> None:
        """Record all trials at the end: repeats may have made another trial the best.

        Advice on them takes about a second, which a study that is interrupted may not have.
        """
        trials = self.study.counting(trials)
        if self.study.advice and reason != "interrupted":
            findings = load("manyfit.advice.after").Findings
            space = laid_out(self.study.space, trials)
            advice = findings.of(space, self.study.metric, trials).advice
            self._advice = as_lines(advice, "result.advice()")
        self.best = best_trial(trials, self.study.metric)
        again = repeated(trials, self.study.metric)
        of_best = (each for each in again if self.best and each.number == self.best.number)
        self._repeated = next(of_best, None)

    def closing(self, now: float, reason: str, outcome: Outcome | None) -> list[str]:  # noqa: ARG002 - of groups
        return [*closing(self.view(now), self.failures, reason), *self._advice]

    def _wanted(self, counts: Counts) -> int:
        """Return the number of trials that would run, on a cluster, where workers come and go."""
        study = self.study
        left = math.inf if study.n_trials is None else study.n_trials - counts.finished
        wanted = int(min(study.parallelism or 0, left))
        return wanted if study.remote and counts.running < wanted else 0

    def _seconds_left(self, elapsed: float) -> float | None:
        """Return the time for the rest at this driver's pace; None if not known yet."""
        counts, total = self.counts, self.study.n_trials
        done = counts.finished - self._before
        if total is None or done < max(ENOUGH, self.study.parallelism or 0):
            return None
        return max(0, total - counts.finished) * elapsed / done

    def _consider(self, trial: Trial) -> None:
        if trial.repeat_of is not None:
            return
        value = trial.value
        best = self.best.value if self.best is not None else None
        if value is not None and (best is None or self.study.metric.is_better(value, best)):
            self.best = trial

    def _failure(self, trial: Trial) -> str | None:
        if not self._is_first(trial.reason):
            return None
        log = self.study.folder / "logs" / log_name(trial.number, len(trial.attempts))
        where = f" (its output: {shown_path(log)})" if log.exists() else ""
        return f"trial {trial.number} failed: {trial.reason}{where}"

    def _loss(self, event: AttemptLost, trial: Trial) -> str | None:
        """Return a sentence on a worker's death; the engine decides what happens next."""
        if not self._is_first(event.reason):
            return None
        return f"trial {trial.number} was cut off: {event.reason}"

    def _is_first(self, reason: str) -> bool:
        kind = kind_of(reason)
        if kind not in self.failures and len(self.failures) >= _KINDS:
            kind = _OTHER
        self.failures[kind] += 1
        return self.failures[kind] == 1 and kind != _OTHER


_KIND = re.compile(r"0x[0-9a-f]+|\d+(?:\.\d+)?(?:e[+-]?\d+)?", re.IGNORECASE)


def kind_of(reason: str) -> str:
    """Return a reason without its numbers, so that failures with one cause are equal.

    Example:
        >>> kind_of("ValueError: 512 is more than 0.5e3 at 0x7f3a")
        'ValueError: # is more than # at #'
    """
    return _KIND.sub("#", reason)


def describe(study: StudyInfo, trial: Trial) -> str:
    """Return a COMPLETE trial in one line: value, number, params."""
    value = trial.value
    shown = "" if value is None else f"{study.metric.name} {number(value)} "
    return f"{shown}(trial {trial.number}: {short(trial.params)})"


def opening(study: StudyInfo, history: Sequence[Trial]) -> list[str]:
    """Return the sentences at the start of a study."""
    metric = study.metric
    total = "trials" if study.n_trials is None else counted(study.n_trials, "trial")
    searched = counted(len(study.space.params), "parameter")
    if isinstance(study.space, OpenSpace):
        searched = "the parameters that the objective asks for"
    aim = f"{study.name}: {metric.direction} {metric.name} over {searched}"
    at_once = f"{'up to ' if study.remote else ''}{study.parallelism}"
    lines = [f"{aim}, {total}, {at_once} at a time"]
    counting = study.counting(history)
    finished = sum(trial.state.is_finished for trial in counting)
    outside = len(history) - len(counting)
    if finished or outside:
        others = f"; {outside} outside the space count no more" if outside else ""
        lines.append(f"resumed, with {counted(finished, 'trial')} finished before{others}")
    return [*lines, *study.notes]


def closing(view: View, failures: Mapping[str, int], reason: str) -> list[str]:
    """Return the sentences that end a study; `failures` counts them by kind."""
    study, best = view.study, view.best
    counts = replace(view.counts, wanted=0)  # nothing is to run any more
    return [
        f"{study.name} ended after {duration(view.elapsed)}: {reason} ({counts})",
        f"best: {describe(study, best)}" if best else "no trial has completed",
        *([f"that one: {view.repeated}"] if view.repeated else []),
        *(f"{kind} ({count} times)" for kind, count in _often(failures)),
    ]


def _often(failures: Mapping[str, int]) -> list[tuple[str, int]]:
    often = [(kind, count) for kind, count in failures.items() if count > 1]
    return sorted(often, key=lambda pair: -pair[1])[:_KINDS]


def duration(seconds: float) -> str:
    """Format seconds for reading.

    Example:
        >>> [duration(s) for s in (0.0042, 0.42, 8, 61, 3_720, 90_000)]
        ['4.2 ms', '0.4 s', '8 s', '1 min 1 s', '1 h 2 min', '25 h 0 min']
    """
    if 1e-5 <= seconds < 0.095:
        return f"{1000 * seconds:.2g} ms"
    if seconds < 1:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def counted(count: int, noun: str) -> str:
    """Return a count with its noun.

    Example:
        >>> counted(1, "trial"), counted(0, "trial")
        ('1 trial', '0 trials')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def number(value: float) -> str:
    """Format a metric with few enough digits to compare by eye."""
    return f"{value:.5g}"


def short(params: Mapping[str, Any], width: int = 100) -> str:
    """Return params in one line of at most `width` characters."""
    text = ", ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in params.items()
    )
    text = printable(" ".join(text.split()))
    return text if len(text) <= width else f"{text[: width - 1]}…"


def shown_path(path: Path) -> str:
    """Return the shortest form of a path from the working folder."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
