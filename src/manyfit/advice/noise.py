"""Noise that is larger than what separates the best trials."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from manyfit.advice.advice import Advice
from manyfit.advice.finding import Finding
from manyfit.advice.functions import Functions
from manyfit.advice.importance import Importances
from manyfit.advice.record import Record
from manyfit.samplers.cube import Array
from manyfit.trial import Trial

# Trials are neighbours if no number that matters differs by more than this share of its range. The
# number of pairs of neighbours that is needed, and the leaders whose values are compared.
_NEAR, _PAIRS, _LEADERS = 0.05, 6, 5
# The number of trials compared with one another, about, if there are more.
_COMPARED = 500
# A param with a smaller share doesn't count for the distance.
_LEAST_SHARE = 0.02
# The model's noise, at the lower end of its interval, as a share of the losses' deviation: less is
# what the model doesn't follow exactly.
_LEAST_NOISE = 0.03
# Neighbours must differ by at least this share of that noise. They differ by less than all of it,
# because they are among the better half of the trials.
_CONFIRMED = 0.3
_REPEATS = 5


def noise(functions: Functions, found: Importances) -> Iterator[Finding]:
    """Find leaders whose values differ less than the noise that the model sees.

    Trials with nearly equal params must show it, too: the model also takes for noise what is too
    rough for it. Nothing is said if leaders were repeated.
    """
    record = functions.record
    if record.is_repeated or len(record.completed) < 2 * _PAIRS:
        return
    low, deviation = np.percentile(functions.noises, [2.5, 50.0])
    leader, last = (record.loss(record.completed[rank]) for rank in (0, _LEADERS - 1))
    gain = last - leader
    better = record.completed[: max(len(record.completed) // 2, 2 * _PAIRS)]
    better = better[:: math.ceil(len(better) / _COMPARED)]
    losses = np.array([record.loss(trial) for trial in better])
    pairs = _neighbours(_places(record, found, better))
    if low < _LEAST_NOISE or low * functions.scale < gain or len(pairs) < _PAIRS:
        return
    differences = [losses[one] - losses[other] for one, other in pairs]
    if np.sqrt(np.mean(np.square(differences)) / 2) > _CONFIRMED * low * functions.scale:
        message = (
            f"the {_LEADERS} best differ by {gain:.2g} in {record.metric.name}, less than trials "
            f"with nearly equal params do (noise with a standard deviation of about "
            f"{deviation * functions.scale:.2g}); repeats={_REPEATS} runs the leaders again with "
            "fresh seeds; if the objective uses none, more folds or validation rows decide"
        )
        yield Finding(Advice("noise", (), message))


def _places(record: Record, found: Importances, trials: Sequence[Trial]) -> Array:
    """Return the places of trials in the params that matter; options and branches are far apart."""
    names = list(record.space.params)
    matter = [each.params[0] for each in found.params if each.share >= _LEAST_SHARE]
    columns = [names.index(name) for name in matter]
    rows = np.array([record.cube.row(trial.params) for trial in trials])
    return np.asarray(rows[:, columns])


def _neighbours(places: Array) -> list[tuple[int, int]]:
    """Return pairs of neighbours, the nearest first, in which no trial is twice."""
    gaps = np.abs(places[:, None] - places[None]).max(axis=2, initial=0.0)
    ones, others = np.triu_indices(len(places), 1)
    free = np.ones(len(places), dtype=bool)
    pairs = []
    for index in np.argsort(gaps[ones, others], kind="stable"):
        one, other = int(ones[index]), int(others[index])
        if gaps[one, other] > _NEAR:
            break
        if free[one] and free[other]:
            free[[one, other]] = False
            pairs.append((one, other))
    return pairs
