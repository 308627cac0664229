"""Regions of the space, of one param each, in which trials fail or take long for nothing."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from manyfit.advice.advice import Advice
from manyfit.advice.finding import CHANCE, Finding, hypergeometric, percent, shown
from manyfit.advice.functions import Functions
from manyfit.advice.record import Record
from manyfit.space import Choice, Domain
from manyfit.trial import State, Trial, gist

# The number of failures of a kind, of completed trials with times, and of leaders.
_FAILURES, _TIMED, _LEADERS = 3, 20, 8
# Slow trials take this many times as long as the others, and this share of all time.
_TIMES, _SHARE = 2.0, 0.3
# Seconds of all trials together; a shorter study has nothing to save.
_LEAST_SECONDS = 1.0
# The largest share of functions that may be lowest in the slow region, and the number of points at
# which they are compared, beside the trials.
_CHANCE_OF_BEST, _ANYWHERE = 0.1, 256
# The values that must remain of a range that is cut.
_LEAST_LEFT = 3


@dataclass(frozen=True, slots=True)
class Region:
    """The trials with some values of one param.

    Attributes:
        name: The param.
        rule: The values, as the end of a sentence: `> 256` or `= 'sgd'`.
        inside: The trials with these values.
        rest: The domain without these values; None if that would leave too little.
    """

    name: str
    rule: str
    inside: Sequence[Trial]
    rest: Domain | None


def failures(record: Record) -> Iterator[Finding]:
    """Find kinds of failures that share a region, as out of memory does large batches."""
    failed = [trial for trial in record.trials if trial.state is State.FAIL]
    kinds = Counter(gist(trial.reason) for trial in failed)
    for kind, count in kinds.most_common():
        alike = [trial for trial in failed if gist(trial.reason) == kind]
        region = _smallest_around(record, alike) if count >= _FAILURES else None
        if region is None:
            continue
        all_failed = all(trial.state is State.FAIL for trial in region.inside)
        rate = f"of {len(region.inside)} such trials" if not all_failed else "none succeeded"
        message = (
            f'all {count} trials that failed with "{_brief(alike[0].reason)}" had {region.name} '
            f"{region.rule} ({rate})"
        )
        change = {region.name: region.rest} if all_failed and region.rest is not None else {}
        message += ": result.next_space() leaves that out" if change else ""
        yield Finding(Advice("failures", (region.name,), message), change)


def _brief(reason: str) -> str:
    text = " ".join(reason.split())
    return text if len(text) <= 60 else f"{text[:59]}…"


def _smallest_around(record: Record, alike: Sequence[Trial]) -> Region | None:
    """Return the smallest region with all these trials, unless chance may have put them there."""
    ended = [trial for trial in record.trials if trial.state is not State.PRUNED]
    numbers = {trial.number for trial in alike}
    regions = list(_regions(record, ended, lambda trial: trial.number in numbers))
    if not regions:
        return None
    region = min(regions, key=lambda each: len(each.inside))
    count = sum(region.name in trial.params for trial in ended)
    chance = hypergeometric(len(alike), len(region.inside), count) * 2 * len(record.space.params)
    return region if chance < CHANCE else None


def _regions(
    record: Record, ended: Sequence[Trial], is_in: Callable[[Trial], bool]
) -> Iterator[Region]:
    """Yield, for each param, the smallest region at one side that has all trials of a kind."""
    for name, domain in record.space.params.items():
        having = [trial for trial in ended if name in trial.params]
        chosen = [trial for trial in having if is_in(trial)]
        if len(chosen) < sum(map(is_in, ended)):
            continue
        values = {trial.params[name] for trial in chosen}
        if not isinstance(domain, Choice):
            yield from _sides(name, domain, having, min(values), max(values))
        elif len(values) == 1:
            value = values.pop()
            inside = [trial for trial in having if trial.params[name] == value]
            yield Region(name, f"= {shown(value)}", inside, _without(domain, value))


def _sides(
    name: str, domain: Any, having: Sequence[Trial], low: float, high: float
) -> Iterator[Region]:
    above = [trial for trial in having if trial.params[name] >= low]
    below = [trial for trial in having if trial.params[name] <= high]
    if len(above) < len(having):
        limit = max(trial.params[name] for trial in having if trial.params[name] < low)
        yield Region(name, f"> {shown(limit, domain)}", above, _cut(domain, high=limit))
    if len(below) < len(having):
        limit = min(trial.params[name] for trial in having if trial.params[name] > high)
        yield Region(name, f"< {shown(limit, domain)}", below, _cut(domain, low=limit))


def _cut(domain: Any, **bounds: float) -> Domain | None:
    """Return a number's domain with another bound."""
    low, high = bounds.get("low", domain.low), bounds.get("high", domain.high)
    if not low < high:
        return None
    cut: Domain = replace(domain, **bounds)
    return cut if cut.size is None or cut.size >= _LEAST_LEFT else None


def _without(domain: Choice, label: Any) -> Choice | None:
    """Return a choice without one of its options; None if fewer than two would remain."""
    place = domain.place(label)
    if len(domain.labels) < _LEAST_LEFT:
        return None
    weights = None
    if domain.weights is not None:
        weights = [weight for index, weight in enumerate(domain.weights) if index != place]
    if domain.branches is not None:
        return Choice({n: b for n, b in domain.branches.items() if n != label}, weights=weights)
    options = [option for index, option in enumerate(domain.options) if index != place]
    return Choice(options, weights=weights)


def slow_trials(functions: Functions) -> Iterator[Finding]:
    """Find a region whose trials take much longer than others, and that hardly has the best.

    None of the leaders may be in it, and the lowest value of few functions.
    """
    record = functions.record
    timed = [trial for trial in record.completed if trial.seconds]
    if len(timed) < max(_TIMED, len(record.completed)):
        return
    if sum(trial.seconds or 0.0 for trial in timed) < _LEAST_SECONDS:
        return
    found = [slow for name in record.space.params for slow in _slow(record, timed, name)]
    for slow in sorted(found, key=lambda each: -each.share):
        if _chance_of_best(functions, slow.region) > _CHANCE_OF_BEST:
            continue
        name = slow.region.name
        message = (
            f"trials with {name} {slow.region.rule} took {slow.times:.1f} times as long as the "
            f"others ({percent(slow.share)} of all time), and none is among the best {_LEADERS}: "
            "result.next_space() leaves them out"
        )
        yield Finding(Advice("slow", (name,), message), {name: slow.region.rest})
        return


@dataclass(frozen=True, slots=True)
class _Slow:
    """A slow region: its trials take `times` as long, and a share of all time."""

    region: Region
    times: float
    share: float


def _slow(record: Record, timed: Sequence[Trial], name: str) -> Iterator[_Slow]:
    """Yield slow regions of one number: the upper or lower quarter, third or half."""
    domain = record.space.params[name]
    if isinstance(domain, Choice) or not all(name in trial.params for trial in timed):
        return
    ordered = sorted(timed, key=lambda trial: trial.params[name])
    leaders = {trial.number for trial in timed[:_LEADERS]}
    for count in (len(ordered) // 4, len(ordered) // 3, len(ordered) // 2):
        low, high = ordered[count - 1].params[name], ordered[-count].params[name]
        for region in _sides(name, domain, ordered, high, low):
            inside = {trial.number for trial in region.inside}
            rest = [trial for trial in ordered if trial.number not in inside]
            times = _seconds(np.median, region.inside) / _seconds(np.median, rest)
            share = _seconds(np.sum, region.inside) / _seconds(np.sum, ordered)
            is_slow = times >= _TIMES and share >= _SHARE
            if region.rest is not None and is_slow and not leaders & inside:
                yield _Slow(region, times, share)


def _chance_of_best(functions: Functions, region: Region) -> float:
    """Return the share of functions whose lowest value is in a region."""
    record = functions.record
    cube, name = record.cube, region.name
    rest: Any = region.rest
    low, high = rest.low, rest.high
    units = np.random.default_rng(0).random((_ANYWHERE, cube.dimensions))
    tried = [cube.row(trial.params) for trial in record.completed[:_ANYWHERE]]
    rows = np.concatenate([cube.from_units(units), tried])
    values = [cube.params(row).get(name) for row in rows]
    inside = np.array([value is not None and not low <= value <= high for value in values])
    losses = functions.values(rows)
    lowest = [losses[which].min(axis=0, initial=np.inf) for which in (inside, ~inside)]
    return float((lowest[0] < lowest[1]).mean())


def _seconds(of: Callable[[list[float]], Any], trials: Iterable[Trial]) -> float:
    return float(of([trial.seconds or 0.0 for trial in trials]))
