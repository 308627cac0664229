"""Trials that were ended too early to judge them, or that went on although they were hopeless."""

from collections.abc import Iterator
from dataclasses import replace
from math import atanh, sqrt, tanh

import numpy as np
from scipy.stats import spearmanr

from manyfit.advice.advice import Advice
from manyfit.advice.finding import Finding, percent
from manyfit.advice.record import Record
from manyfit.metric import Metric
from manyfit.pruners.auto import make_pruner
from manyfit.pruners.curves import Curve
from manyfit.trial import Measurement, Pruned, State, Trial

# The number of trials with reports that is needed, and of reports in a typical one.
_FEWEST, _REPORTS = 15, 5
# The share of all reports that pruning must save, and the most that the best value may lose, as a
# share of its distance from the median.
_SAVED, _LOST = 0.2, 0.02
# The number of reports with which the default pruner is tried.
_MOST_REPORTS = 20_000
# The number of trials that ran to the end before any was pruned, and the rank correlation that an
# early value must have with the last one: the upper end of its one-sided 95 % interval.
_UNSELECTED, _PREDICTS, _DEVIATIONS = 8, 0.5, 1.645


def never_pruned(record: Record) -> Iterator[Finding]:
    """Find a study without pruning of which the default pruner would have saved much.

    The pruner judges the reports on record, in the order in which they came.
    """
    trials = _first_that_report(record)
    lengths = [len(_reports(trial, record.metric)) for trial in trials]
    pruned = any(trial.state is State.PRUNED for trial in record.trials)
    few = len(trials) < _FEWEST or len(record.completed) < _FEWEST
    if pruned or few or np.median(lengths) < _REPORTS:
        return
    ended = _pruned_by_default(record.metric, trials)
    saved = sum(ended.values()) / sum(lengths)
    losses = np.array([record.loss(trial) for trial in record.completed])
    kept = [t for t in record.completed if t.number not in ended]
    lost = record.loss(kept[0]) - losses[0] if kept else np.inf
    if saved >= _SAVED and lost <= _LOST * (np.median(losses) - losses[0]):
        message = (
            f"no trial was pruned: pruner='auto' would have ended {len(ended)} of {len(trials)} "
            f"early, and saved {percent(saved)} of the steps, with {kept[0].value:.4g} as the best "
            f"{record.metric.name} (now {record.completed[0].value:.4g})"
        )
        yield Finding(Advice("never-pruned", (), message))


def _first_that_report(record: Record) -> list[Trial]:
    """Return the first trials that report, as many as have no more reports than can be judged."""
    trials = [trial for trial in record.trials if trial.measurements]
    total = np.cumsum([len(trial.measurements) for trial in trials])
    return trials[: int(np.searchsorted(total, _MOST_REPORTS, side="right"))]


def _reports(trial: Trial, metric: Metric) -> list[Measurement]:
    values = (each.metrics.get(metric.name) for each in trial.measurements)
    return [
        each
        for each, value in zip(trial.measurements, values, strict=True)
        if value is not None and np.isfinite(value)
    ]


def _pruned_by_default(metric: Metric, trials: list[Trial]) -> dict[int, int]:
    """Return the trials that the default pruner ends, and how many reports of each it saves."""
    pruner = make_pruner("auto", metric)
    events = [
        (report.at, trial.number, place, trial, report)
        for trial in trials
        for place, report in enumerate(_reports(trial, metric))
    ]
    lengths = {trial.number: len(_reports(trial, metric)) for trial in trials}
    saved: dict[int, int] = {}
    for _, number, place, trial, report in sorted(events, key=lambda event: event[:3]):
        if number in saved:
            continue
        reason = pruner.report(trial, report.step, report.metrics[metric.name])
        if reason is not None:
            saved[number] = lengths[number] - place - 1
            pruner.end(_as_pruned(trial, reason))
        elif place == lengths[number] - 1:
            pruner.end(trial)
    return {number: count for number, count in saved.items() if count}


def _as_pruned(trial: Trial, reason: str) -> Trial:
    *earlier, last = trial.attempts
    return replace(trial, attempts=(*earlier, replace(last, end=Pruned(reason))))


def pruned_too_early(record: Record) -> Iterator[Finding]:
    """Find a study whose trials were pruned at a step where values don't predict the last ones.

    That is judged by the trials that ran to the end before any was pruned: the others ran to the
    end because their early values were good.
    """
    pruned = [
        trial for trial in record.trials if trial.state is State.PRUNED and trial.measurements
    ]
    if len(pruned) < _FEWEST:
        return
    step = int(np.median([trial.measurements[-1].step for trial in pruned]))
    first = min(trial.attempts[-1].ended_at or 0.0 for trial in pruned)
    early, last = [], []
    for trial in record.completed:
        low = _low_at(trial, record.metric, step)
        if low is not None and (trial.attempts[-1].ended_at or 0.0) <= first:
            early.append(low)
            last.append(record.loss(trial))
    if len(early) < _UNSELECTED or not np.ptp(early) or not np.ptp(last):
        return
    found = float(spearmanr(early, last).statistic)
    reach = _DEVIATIONS / sqrt(len(early) - 3)
    if tanh(atanh(min(max(found, -0.999), 0.999)) + reach) < _PREDICTS:
        longest = max(
            trial.measurements[-1].step for trial in record.completed if trial.measurements
        )
        message = (
            f"half of the {len(pruned)} pruned trials ended at step {step} of {longest} or before, "
            "where values don't predict the last ones (rank correlation "
            f"{found:.2f} in the {len(early)} trials before that): give "
            f"pruner=manyfit.MedianPruner(min_steps={max(step + 1, longest // 2)}), or None"
        )
        yield Finding(Advice("pruned-too-early", (), message))


def _low_at(trial: Trial, metric: Metric, step: int) -> float | None:
    curve = Curve()
    for report in _reports(trial, metric):
        loss = metric.loss(report.metrics[metric.name])
        curve.steps.append(report.step)
        curve.lows.append(min([loss, *curve.lows[-1:]]))
    return curve.low_at(step)
