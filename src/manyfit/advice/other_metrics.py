"""Metrics that contradict the tuned one: another one disagrees, or the leaders overfit."""

import math
import re
from collections.abc import Iterator, Sequence

import numpy as np

from manyfit.advice.advice import Advice
from manyfit.advice.finding import Finding
from manyfit.advice.record import Record
from manyfit.metric import Metric, usual_direction
from manyfit.trial import Trial

_FEWEST, _LEADERS = 15, 5
# The best trial must be behind this share of the trials in the other metric, and be worse than the
# best in it by this share of the distance between the quartiles.
_BEHIND, _WORSE = 0.2, 0.5
# Errors on validation data must be this many times those on training data, and differ by this much.
_TIMES, _GAP = 2.0, 0.02
# The share of trials without such a gap from which on it is known that less of it is worse.
_TRIED = 0.2
_TRAINING = ("train_", "training_", "")
# Chance decides which trial is best on one fold.
_FOLD = re.compile(r"(.*[-_/])?(fold|split)_?\d+([-_/]|$)")
_VALIDATION = ("val_", "valid_", "validation_", "test_", "eval_")


def disagreeing_metrics(record: Record) -> Iterator[Finding]:
    """Find metrics by which the best trial is far from the best.

    Only metrics are compared whose names say whether larger is better, and none that is of training
    data or of a single fold.
    """
    if len(record.completed) < _FEWEST:
        return
    for name in record.completed[0].metrics:
        direction = usual_direction(name)
        is_part = _FOLD.match(name) is not None or _is_of_training(name, record)
        if direction is None or name == record.metric.name or is_part:
            continue
        other = Metric(name, direction)
        values = [trial.metrics.get(name, math.nan) for trial in record.completed]
        if not np.isfinite(values).all():
            continue
        losses = np.array([other.loss(value) for value in values])
        rank = int((losses < losses[0]).sum()) + 1
        quartiles = np.percentile(losses, [25, 75])
        worse = losses[0] - losses.min()
        if rank > 1 + _BEHIND * len(losses) and worse > _WORSE * np.ptp(quartiles) > 0.0:
            first = record.completed[int(losses.argmin())]
            message = (
                f"the best trial by {record.metric.name} is {_nth(rank)} of {len(losses)} by "
                f"{name}, with {values[0]:.4g} against {first.metrics[name]:.4g} of trial "
                f"{first.number}; if {name} counts, see result.best_by({name!r}, {direction!r})"
            )
            yield Finding(Advice("metrics-disagree", (), message))


def _is_of_training(name: str, record: Record) -> bool:
    names = record.completed[0].metrics
    is_plain = not name.startswith(_VALIDATION) and any(v + name in names for v in _VALIDATION)
    return is_plain or name.startswith(("train_", "training_"))


def _nth(rank: int) -> str:
    teen = 10 <= rank % 100 <= 20
    return f"{rank}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(rank % 10, 'th')}"


def overfitting(record: Record) -> Iterator[Finding]:
    """Find leaders that are far better on training data than on validation data.

    Metrics are paired by name: val_loss with loss, train_loss or training_loss. A metric that is
    better when larger is compared by its distance from 1. Nothing is said if many trials don't
    overfit: they are worse, so that the gap is the price of the best models, as of a forest's.
    """
    leaders = record.completed[:_LEADERS]
    if len(record.completed) < _FEWEST:
        return
    for name in record.completed[0].metrics:
        for prefix in _VALIDATION:
            plain = name.removeprefix(prefix)
            trained = next((t + plain for t in _TRAINING if t + plain in leaders[0].metrics), None)
            direction = usual_direction(plain)
            if plain == name or trained is None or direction is None:
                continue
            is_gain = direction == "maximize"
            errors = [_errors(trial, is_gain, trained, name) for trial in record.completed]
            if sum(map(_overfits, errors[:_LEADERS])) >= _LEADERS - 1 and not _has_others(errors):
                yield Finding(Advice("overfitting", (), _gap(leaders, trained, name)))
                return


def _errors(trial: Trial, is_gain: bool, *names: str) -> list[float]:
    values = [trial.metrics.get(name, math.nan) for name in names]
    return [1.0 - value for value in values] if is_gain else values


def _overfits(errors: Sequence[float]) -> bool:
    on_training, on_validation = errors
    is_far = on_validation - on_training > _GAP * max(abs(on_validation), 1.0)
    return on_training >= 0.0 and is_far and on_validation > _TIMES * on_training


def _has_others(errors: Sequence[Sequence[float]]) -> bool:
    """Return whether many trials are hardly better on training data."""
    fair = sum(on_validation <= _TIMES * on_training for on_training, on_validation in errors)
    return fair >= max(_LEADERS, _TRIED * len(errors))


def _gap(leaders: Sequence[Trial], trained: str, name: str) -> str:
    medians = [
        float(np.median([trial.metrics[each] for trial in leaders])) for each in (trained, name)
    ]
    return (
        f"the {_LEADERS} best overfit: their median {trained} is {medians[0]:.3g}, but {name} "
        f"{medians[1]:.3g}; regularise more, or search smaller models"
    )
