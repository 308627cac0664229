"""A study that ended too early or too late, and one that didn't beat what it was given."""

from collections.abc import Iterator

import numpy as np

from manyfit.advice.advice import Advice
from manyfit.advice.finding import Finding
from manyfit.advice.record import Record
from manyfit.trial import Trial

_FEWEST = 20
# The last quarter of the trials must have this many new best ones, which together gain this share
# of the distance from the median of the first trials, as many as these, to the best.
_RECORDS, _GAIN, _FIRST = 2, 0.1, 10
# A study is long since flat after this many trials, and this many times as many as before the best.
_FLAT, _TIMES = 50, 3


def too_early(record: Record) -> Iterator[Finding]:
    """Find a study whose last trials still gained much."""
    bests = _new_bests(record)
    if len(record.completed) < _FEWEST:
        return
    last = len(record.trials) - len(record.trials) // 4
    recent = [trial for place, trial in bests if place >= last]
    before = [trial for place, trial in bests if place < last]
    if len(recent) < _RECORDS or not before:
        return
    first = sorted(record.completed, key=lambda trial: trial.number)[:_FIRST]
    start = float(np.median([record.loss(trial) for trial in first]))
    best = record.loss(recent[-1])
    if record.loss(before[-1]) - best >= _GAIN * (start - best):
        number = len(record.trials)
        message = (
            f"the search was still gaining: the last {number - last} of {number} trials improved "
            f"{record.metric.name} {len(recent)} times, from {before[-1].value:.4g} to "
            f"{recent[-1].value:.4g}; go on with n_trials={2 * number}"
        )
        yield Finding(Advice("ended-early", (), message))


def long_flat(record: Record) -> Iterator[Finding]:
    """Find a study most of whose trials came after the last improvement."""
    bests = _new_bests(record)
    if not bests:
        return
    used, since = bests[-1][0] + 1, len(record.trials) - bests[-1][0] - 1
    if since >= max(_FLAT, _TIMES * used):
        message = (
            f"the last {since} of {len(record.trials)} trials improved nothing: with "
            f"stop=manyfit.NoImprovement({_FLAT}) a study ends earlier"
        )
        yield Finding(Advice("flat", (), message))


def baseline_won(record: Record) -> Iterator[Finding]:
    """Find a study whose best trial is one of those it was given to start with."""
    searched = [trial for trial in record.completed if trial.origin == "sampler"]
    best = record.completed[0] if record.completed else None
    if best is not None and best.origin == "start_with" and len(searched) >= _FEWEST:
        value = f"{record.metric.name} {best.value:.4g} against {searched[0].value:.4g}"
        message = (
            f"trial {best.number}, given by start_with, beat all {len(searched)} that were "
            f"searched ({value}): search narrower ranges around it, or more trials"
        )
        yield Finding(Advice("baseline-won", (), message))


def _new_bests(record: Record) -> list[tuple[int, Trial]]:
    """Return the trials that were the best so far when they ended, with their places in order."""
    ended = sorted(
        record.trials, key=lambda trial: (trial.attempts[-1].ended_at or 0.0, trial.number)
    )
    found: list[tuple[int, Trial]] = []
    for place, trial in enumerate(ended):
        if trial.value is not None and (
            not found or record.loss(trial) < record.loss(found[-1][1])
        ):
            found.append((place, trial))
    return found
