"""Params that don't matter, and pairs that must be tuned together."""

from collections.abc import Iterator

import numpy as np

from manyfit.advice.advice import Advice
from manyfit.advice.finding import Finding, percent, shown
from manyfit.advice.functions import Functions
from manyfit.advice.importance import Importances, Share
from manyfit.advice.record import Record
from manyfit.samplers.cube import Array
from manyfit.space import Choice, Space

# With fewer completed trials, in all or for each param, nothing is said; nor if fewer than this
# share of the trials has completed, because the losses of the others are guesses.
_FEWEST, _FEWEST_EACH, _COMPLETED = 20, 6, 0.6
# The largest share, at the upper end of its interval, of a param that doesn't matter ...
_IDLE = 0.02
# ... if functions that fit the trials disagree about no more than this share of the variance. What
# they disagree about may be the doing of any param: far from the best, a search has few trials, and
# an interval that assumes the same effects there as near the best is too narrow.
_OPEN = 0.07
# ... whose effect on the leaders, at that end, is this share of what separates the lowest loss from
# the median over the space, or the noise of a trial if that is more, up to a larger share. What is
# still to be gained is of that size, and a param that decides it must not be fixed.
_LOCAL, _HIDDEN = 0.03, 0.1
# If only trials that failed or diverged are this much farther towards an end of a range than all
# others, or have an option, the param may be the cause. There are too few of them to tell.
_BEYOND = 0.05
# The number of leaders, of values tried at each, and of random points all over the space.
_LEADERS, _VALUES, _ANYWHERE = 5, 9, 256
# The smallest share, at the lower end of its interval, of a pair that depends on each other, and
# the number of pairs to name. If functions disagree about more of the variance than they agree
# about, pairs have shares because the model allows for them, and not because trials show them.
_JOINT, _MOST_PAIRS, _MOST_OPEN = 0.15, 2, 0.5
# If one trial has more than this share of the variance, its params seem to depend on each other.
_MOST_ALONE = 1 / 3


def idle_params(functions: Functions, found: Importances) -> Iterator[Finding]:
    """Find params that change nothing, neither all over the space nor near the best trials.

    A param of a branch is active in some trials only, which says too little about it.
    """
    record = functions.record
    if not _suffices(record) or all(each.high < _IDLE for each in found.params):
        return
    anywhere = _anywhere(functions)
    if _open_share(anywhere) > _OPEN:
        return
    limit = _least_effect(functions, anywhere)
    for share in found.params:
        name = share.params[0]
        domain = record.space.params[name]
        has_branches = isinstance(domain, Choice) and domain.branches is not None
        if share.high >= _IDLE or has_branches or () not in record.space.paths(name):
            continue
        if domain.size == 1 or _may_be_to_blame(functions, name):
            continue
        if _effect_at_leaders(functions, name) < limit:
            best = record.completed[0].params[name]
            value = domain.option(best) if isinstance(domain, Choice) else best
            most = percent(max(share.high, 0.01))
            message = (
                f"{name} hardly matters: it explains at most {most} of the differences between "
                f"trials; fix it at {shown(best, domain)}: result.next_space() does"
            )
            yield Finding(Advice("no-effect", (name,), message), {name: value})


def _suffices(record: Record) -> bool:
    completed = len(record.completed)
    needed = max(_FEWEST, _FEWEST_EACH * len(record.space.params))
    return completed >= needed and completed >= _COMPLETED * len(record.trials)


def _anywhere(functions: Functions) -> Array:
    """Return the values of all functions at random points, shape (points, functions)."""
    units = np.random.default_rng(0).random((_ANYWHERE, functions.record.cube.dimensions))
    return functions.values(functions.record.cube.from_units(units))


def _open_share(values: Array) -> float:
    """Return the share of the variance over the space about which functions disagree."""
    return float(values.var(axis=1).mean() / values.var(axis=0).mean())


def _least_effect(functions: Functions, values: Array) -> float:
    """Return the effect below which a param may be fixed, given values all over the space."""
    separation = float(np.median(np.median(values, axis=0) - values.min(axis=0)))
    noise = float(np.median(functions.noises))
    return min(max(noise, _LOCAL * separation), _HIDDEN * separation)


def _may_be_to_blame(functions: Functions, name: str) -> bool:
    """Return whether trials that failed or diverged have values of a param that no other has."""
    record = functions.record
    column = list(record.space.params).index(name)
    values = np.array([record.space.encode(trial.params)[column] for trial in record.trials])
    bad, others = values[functions.bad], np.delete(values, functions.bad)
    if isinstance(record.space.params[name], Choice):
        return not set(bad) <= set(others)
    return bool(np.any((bad < others.min() - _BEYOND) | (bad > others.max() + _BEYOND)))


def _effect_at_leaders(functions: Functions, name: str) -> float:
    """Return how much a param may change the leaders, at most.

    It is the upper end of the 95 % interval of the standard deviation over its values.
    """
    record = functions.record
    column = list(record.space.params).index(name)
    units = np.array([record.space.encode(trial.params) for trial in record.completed[:_LEADERS]])
    units = np.nan_to_num(units, nan=0.5).repeat(_VALUES, axis=0)
    units[:, column] = np.tile((np.arange(_VALUES) + 0.5) / _VALUES, len(units) // _VALUES)
    values = functions.values(record.cube.from_units(units))
    spread = values.reshape(-1, _VALUES, values.shape[1]).std(axis=1).mean(axis=0)
    return float(np.percentile(spread, 97.5))


def interactions(functions: Functions, found: Importances) -> Iterator[Finding]:
    """Find pairs of params that depend on each other, and params that depend on none."""
    if not _suffices(functions.record) or all(pair.low < _JOINT for pair in found.pairs):
        return
    open_share = _open_share(_anywhere(functions))
    if open_share > _MOST_OPEN or functions.largest > _MOST_ALONE:
        return
    space = functions.record.space
    joint = [
        pair
        for pair in found.pairs
        if pair.low >= _JOINT and not _in_branch_of(space, *pair.params)
    ][:_MOST_PAIRS]
    for place, pair in enumerate(joint):
        one, other = pair.params
        message = (
            f"{one} and {other} depend on each other ({percent(pair.share)} of the differences, "
            f"95 % interval {percent(pair.low)} to {percent(pair.high)}): tune them together"
        )
        if place == 0 and open_share <= _OPEN and (alone := _independent(found)):
            verb = "depends" if len(alone) == 1 else "depend"
            message += f". {', '.join(alone)} {verb} on no other, and can be tuned apart"
        yield Finding(Advice("interaction", pair.params, message))


def _in_branch_of(space: Space, one: str, other: str) -> bool:
    """Return whether a param of a pair is in a branch of the other, and depends on it by design."""

    def above(name: str) -> set[str]:
        return {choice for path in space.paths(name) for choice, _ in path}

    return one in above(other) or other in above(one)


def _independent(found: Importances) -> list[str]:
    """Return params that matter and of which no pair has a share."""

    def is_alone(share: Share) -> bool:
        pairs = [pair for pair in found.pairs if share.params[0] in pair.params]
        return bool(pairs) and all(pair.high < _IDLE for pair in pairs)

    return [each.params[0] for each in found.params if each.low >= _IDLE and is_alone(each)]
