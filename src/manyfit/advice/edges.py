"""The best trials are at the edge of a range: better ones may be beyond it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from manyfit.advice.advice import Advice
from manyfit.advice.catalogue import names
from manyfit.advice.finding import Finding, alike, percent, shown
from manyfit.advice.functions import Functions
from manyfit.advice.importance import Importances
from manyfit.space import Choice, Float, Int
from manyfit.trial import Trial

# The number of leaders, of which one may be elsewhere, and of completed trials there must be.
_LEADERS, _FEWEST = 5, 15
# The share of a range that is its edge.
_EDGE = 0.1
# A param with a smaller share has no best value.
_LEAST_SHARE = 0.01
# The share of functions that must be lower at the edge than this far inside, and the share that
# must not be higher there than at the leaders.
_SURE, _INSIDE, _LIKELY = 0.9, 0.25, 0.75
_LARGEST_INT = 2**53 - 1
_DIGITS = 6  # of bounds
# A tree has at least two leaves, and a node that is split two rows.
_FROM_TWO = ("max_leaf_nodes", "num_leaves", "max_leaves", "min_samples_split")


def edges(functions: Functions, found: Importances) -> Iterator[Finding]:
    """Find ranges whose edge the best trials are at, although values beyond it make sense."""
    record = functions.record
    if len(record.completed) < _FEWEST:
        return
    shares = {each.params[0]: each.share for each in found.params}
    for name, domain in record.space.params.items():
        leaders = [trial for trial in record.completed if name in trial.params][:_LEADERS]
        if isinstance(domain, Choice) or len(leaders) < _LEADERS or shares[name] < _LEAST_SHARE:
            continue
        for upper in (False, True):
            wider = widened(domain, upper=upper)
            wider = None if wider is None else _accepted(name, domain, wider)
            if wider is None or wider == domain or not _is_at(leaders, name, domain, upper=upper):
                continue
            if _pays(functions, name, leaders, upper=upper):
                yield _finding(name, domain, wider, leaders, upper=upper)


def _accepted(name: str, domain: Float | Int, wider: Float | Int) -> Float | Int:
    """Return a wider range without values that libraries refuse for a param of this name."""
    if isinstance(wider, Int):
        from_two = names.split(name)[1] in _FROM_TWO
        return replace(wider, low=max(wider.low, min(int(domain.low), 2))) if from_two else wider
    is_share = domain.low >= 0 and domain.high <= 1 and names.scale(name) == "differences"
    return replace(wider, high=min(wider.high, 1.0)) if is_share else wider


def _is_at(leaders: Sequence[Trial], name: str, domain: Float | Int, *, upper: bool) -> bool:
    """Return whether the best trial and all other leaders but one are at an edge."""
    places = [_distance(trial, name, domain, upper=upper) for trial in leaders]
    reach = _EDGE if domain.size is None else max(_EDGE, 0.51 / domain.size)
    return places[0] <= reach and sorted(places)[-2] <= reach


def _distance(trial: Trial, name: str, domain: Float | Int, *, upper: bool) -> float:
    place = domain.encode(trial.params[name])
    return 1.0 - place if upper else place


def _pays(functions: Functions, name: str, leaders: Sequence[Trial], *, upper: bool) -> bool:
    """Return whether functions, at the leaders, fall to the edge, from inside and from there."""
    cube = functions.record.cube
    column = list(functions.record.space.params).index(name)
    there = np.array([cube.row(trial.params) for trial in leaders])
    edge, inside = there.copy(), there.copy()
    edge[:, column] = 1.0 if upper else 0.0
    inside[:, column] = 1.0 - _INSIDE if upper else _INSIDE
    values = functions.values(cube.settle(np.concatenate([edge, inside, there])))
    at_edge, at_inside, at_leaders = values.reshape(3, len(leaders), -1).mean(axis=1)
    falls = float((at_edge < at_inside).mean()), float((at_edge <= at_leaders).mean())
    return falls[0] >= _SURE and falls[1] >= _LIKELY


def _finding(
    name: str,
    domain: Float | Int,
    wider: Float | Int,
    leaders: Sequence[Trial],
    *,
    upper: bool,
) -> Finding:
    places = sorted(_distance(trial, name, domain, upper=upper) for trial in leaders)
    reach = places[-1] if places[-1] <= _EDGE else places[-2]
    number = f"the {_LEADERS}" if reach == places[-1] else f"{_LEADERS - 1} of the {_LEADERS}"
    near = f"within {percent(reach)} of" if reach >= 0.005 else "at"
    side, bound, beyond = (
        ("upper", domain.high, wider.high) if upper else ("lower", domain.low, wider.low)
    )
    message = (
        f"{name}: {number} best are {near} the {side} edge {shown(bound, domain, _DIGITS)}; search "
        f"{'up' if upper else 'down'} to {shown(beyond, wider, _DIGITS)} next: "
        "result.next_space() does"
    )
    return Finding(Advice("edge", (name,), message), {name: wider})


def widened(domain: Float | Int, *, upper: bool) -> Float | Int | None:
    """Return a domain that reaches farther; None with a prior, or at a likely natural limit.

    Such limits are 0, 1 for a Float that isn't negative, and 1 as the lower bound of an Int. A
    logarithmic range becomes ten times as large, or four times for an Int; any other range half as
    large again, but a Float below 1 that isn't negative stays below it, and no sign changes.

    Example:
        >>> widened(Float(1e-4, 0.1, log=True), upper=True)
        Float(0.0001, 1.0, log=True)
        >>> widened(Float(0.0, 0.5), upper=True), widened(Float(0.0, 1.0), upper=True)
        (Float(0.0, 0.75), None)
        >>> widened(Int(2, 8), upper=False)
        Int(1, 8)
    """
    if domain.prior is not None:
        return None  # it says itself what is likely
    return _wider_int(domain, upper) if isinstance(domain, Int) else _wider_float(domain, upper)


def _wider_float(domain: Float, upper: bool) -> Float | None:
    low, high = domain.low, domain.high
    is_share = low >= 0.0 and high <= 1.0
    if (high in (0.0, 1.0) and (high == 0.0 or is_share)) if upper else low == 0.0:
        return None
    if domain.step is not None:
        return _more_steps(domain, domain.step, upper)
    if domain.log:
        return _with(domain, high=high * 10) if upper else _with(domain, low=low / 10)
    reach = (high - low) / 2
    if upper:
        top = min(high + reach, (1.0 + high) / 2) if is_share else high + reach
        return _with(domain, high=min(top, 0.0) if high < 0.0 else top)
    return _with(domain, low=low - reach if low < 0.0 or low > reach else low / 10)


def _with(domain: Float, **bounds: float) -> Float:
    """Return a domain with another bound, without rounding errors, such as 0.01 for 0.1 / 10."""
    digits = _DIGITS + alike(domain)
    rounded: dict[str, Any] = {name: float(f"{bound:.{digits}g}") for name, bound in bounds.items()}
    return replace(domain, **rounded)


def _more_steps(domain: Float, step: float, upper: bool) -> Float | None:
    more = max((domain.size or 1) // 2, 1) * step
    low, high = domain.low, domain.high
    if upper:
        return replace(domain, high=high + more)
    if low > 0.0:
        more = min(more, (low // step) * step)
    return _with(domain, low=low - more) if more >= step else None


def _wider_int(domain: Int, upper: bool) -> Int | None:
    low, high, step = domain.low, domain.high, domain.step
    if upper:
        top = high * 4 if domain.log else high + max((domain.size or 1) // 2, 1) * step
        return (
            replace(domain, high=min(top, _LARGEST_INT)) if high not in (0, _LARGEST_INT) else None
        )
    if low in (0, 1):
        return None
    if domain.log:
        return replace(domain, low=max(low // 4, 1))
    floor = 1 if low > 0 else -_LARGEST_INT
    steps = min(max((domain.size or 1) // 2, 1), (low - floor) // step)
    return replace(domain, low=low - steps * step) if steps else None
