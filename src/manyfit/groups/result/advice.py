"""Advice from the figures of tuned groups alone.

All figures are of validation rows. The best of many trials on few rows looks better than it is,
because by chance some trial fits just these rows. Gains of small groups are therefore interpreted
with care here.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from manyfit.advice.advice import Advice
from manyfit.groups.record.row import BASELINE, COMPLETE, FAIL, MOST_FAILED, NO_MODEL, Table
from manyfit.groups.result.summary import Summary, numbers
from manyfit.groups.result.table import TunedGroups, keys_of, label, stored_params
from manyfit.metric import Metric
from manyfit.space import Space
from manyfit.trackers.progress import duration
from manyfit.trial import most_frequent

_SLOW = 0.5  # seconds of a fit from which a Gaussian process pays off
_SKEWED = 0.2  # share of all time for one group
_MANY = 0.05  # share of all groups
_ENOUGH = 20  # groups needed to compare quarters
_LUCKY = 0.05  # a relative gain below this isn't suspicious
_SMALL = 0.02  # a relative gain that may be chance
# The standard deviation of params, whose range is 0 to 1; that of uniform ones is 0.29.
_SCATTERED = 0.24
_SIGMAS = 2.0


def advice(
    rows: Table,
    metric: Metric,
    by: tuple[str, ...],
    space: Space,
    *,
    mode: str = "independent",
    sampler: object = "auto",
    slots: int | None = None,
) -> tuple[Advice, ...]:
    """Return what stands out in the rows of groups; may be empty.

    Args:
        rows: The rows, in `row.row_schema`.
        metric: The tuned metric.
        by: The key columns.
        space: The space searched.
        mode: `"independent"`, `"shared"` or `"transfer"`.
        sampler: The sampler; another one is advised only for `"auto"`.
        slots: The number of groups tuned at once, if known.
    """
    summary = Summary.of(rows, metric)
    found = [
        _failed(rows, summary),
        _untuned(rows, summary),
        _failing(rows),
        _without_model(rows),
        _idle(summary, slots),
        _skewed(rows, by, summary, slots),
        _slow(summary) if sampler == "auto" and mode != "shared" else None,
        *(_doubtful(rows, metric, space) if mode == "independent" else ()),
    ]
    return tuple(filter(None, found))


def compare(
    independent: TunedGroups, shared: TunedGroups, metric: Metric | str | None = None
) -> str:
    """Return a sentence on whether individual params were worth it; see `GroupsResult.compare`.

    Args:
        independent: The result of tuning each group on its own.
        shared: The result of tuning the same groups jointly, or in any other way.
        metric: A metric of both results, by name if it has the direction of the tuned one; by
            default the tuned one.
    """
    tuned = independent.metric
    metric = Metric(metric, tuned.direction) if isinstance(metric, str) else metric or tuned
    own, others = _figures(independent, metric), _figures(shared, metric)
    pairs = [(own[group], others[group]) for group in own if group in others]
    if len(pairs) < 2:
        return f"nothing can be compared: {len(pairs)} groups have {metric.name} in both results"
    gains = np.array([metric.loss(b) - metric.loss(a) for a, b in pairs])
    return _verdict(gains, metric, is_flattering=metric.name == tuned.name)


def _verdict(gains: NDArray[np.float64], metric: Metric, *, is_flattering: bool) -> str:
    """Return a verdict on differences; positive ones are in favour of individual params.

    Args:
        gains: The differences of losses, shape (groups,), at least two.
        metric: Their metric.
        is_flattering: Whether they are of the rows by which params were chosen.
    """
    mean, error = float(gains.mean()), float(gains.std(ddof=1)) / math.sqrt(len(gains))
    sense = "lower" if (metric.direction == "minimize") == (mean >= 0) else "higher"
    better = int((gains > 0).sum())
    figures = (
        f"{metric.name} is {abs(mean):.3g} {sense} with them (standard error {error:.2g}, "
        f"{len(gains)} groups), and they are better in {better} groups"
    )
    chosen = "on the rows by which they were chosen"
    if mean > _SIGMAS * error:
        if not is_flattering:
            return f"params for each group are better than shared params here: {figures}"
        return (
            f"params for each group look better than shared params {chosen}, which favours them: "
            f"{figures}. Compare a metric of rows that are kept out"
        )
    even = f", even {chosen}" if is_flattering else ""
    word = "worse" if mean < -_SIGMAS * error else "not better"
    return f"params for each group are {word} than shared params here{even}: {figures}"


def _figures(result: TunedGroups, metric: Metric) -> dict[str, float]:
    """Return a metric of each group that has it; for a group with only a baseline, that one's."""
    found = {}
    names = ("group", "metrics", "baseline_metrics")
    columns = [result.rows.column(name).to_pylist() for name in names]
    for group, tuned, baseline in zip(*columns, strict=True):
        value = dict(tuned or baseline or ()).get(metric.name)
        if value is not None and math.isfinite(value):
            found[group] = float(value)
    return found


# ── what went wrong ───────────────────────────────────────────────────────────────────────────


def _failed(rows: Table, summary: Summary) -> Advice | None:
    failed = summary.states.get(FAIL, 0)
    if not failed:
        return None
    reason, count = _main_reason(rows, FAIL)
    what = f"{failed:,} of {_groups(summary.groups)} failed{_alike(count, failed)}: {reason}"
    return _advice("groups-failed", what)


def _untuned(rows: Table, summary: Summary) -> Advice | None:
    kept = summary.states.get(BASELINE, 0)
    if not kept:
        return None
    reason, count = _main_reason(rows, BASELINE)
    share = f"{kept / summary.groups:.0%}"
    verb = "has its" if summary.groups == 1 else "have their"
    return _advice(
        "groups-untuned",
        f"{kept:,} of {_groups(summary.groups)} ({share}) {verb} baseline only"
        f"{_alike(count, kept)}: {reason}",
    )


def _alike(count: int, total: int) -> str:
    """Return words for the number of groups that have the reason that follows."""
    if count == total:
        return "" if count == 1 else ", all of them alike"
    return ", each for another reason, such as" if count == 1 else f", {count:,} of them alike"


def _without_model(rows: Table) -> Advice | None:
    reasons = [reason for reason in rows.column("reason").to_pylist() if NO_MODEL in reason]
    if not reasons:
        return None
    what = reasons[0].partition(NO_MODEL)[2]
    return _advice("no-model", f"the models of {_groups(len(reasons))} can't be {what.strip()}")


def _main_reason(rows: Table, state: str) -> tuple[str, int]:
    """Return the first reason of the kind that most groups in a state have, and their count."""
    columns = (rows.column(name).to_pylist() for name in ("state", "reason"))
    return most_frequent([reason for each, reason in zip(*columns, strict=True) if each == state])


def _failing(rows: Table) -> Advice | None:
    """Say so if groups are complete although at least half of their trials failed."""
    names = ("state", "reason", "failed", "trials")
    columns = [rows.column(name).to_pylist() for name in names]
    found = [
        (reason.partition(f"{MOST_FAILED}: ")[2].partition(f"; {NO_MODEL}")[0], failed, trials)
        for state, reason, failed, trials in zip(*columns, strict=True)
        if state == COMPLETE and MOST_FAILED in reason
    ]
    if not found:
        return None
    reasons, failed, trials = zip(*found, strict=True)
    return _advice(
        "group-trials-failed",
        f"{sum(failed):,} of {sum(trials):,} trials of {_groups(len(found))} failed, most with "
        f"{most_frequent(reasons)[0]}",
    )


# ── what took long ────────────────────────────────────────────────────────────────────────────


def _idle(summary: Summary, slots: int | None) -> Advice | None:
    if slots is None or not 0 < summary.groups < slots:
        return None
    return _advice(
        "idle-slots",
        f"{_groups(summary.groups)} kept {summary.groups} of {slots} slots busy, since a group is "
        "tuned in one: for few groups, use manyfit.tune, which runs trials in parallel",
    )


def _skewed(rows: Table, by: tuple[str, ...], summary: Summary, slots: int | None) -> Advice | None:
    slow = summary.slowest
    least = _SKEWED if slots is None else max(_SKEWED, 1.2 / slots)
    if slow is None or summary.groups < 5 or summary.slowest_share < least:
        return None
    (key,) = keys_of(rows.slice(slow, 1), by)
    took = duration(float(summary.seconds[slow]))
    return _advice(
        "slowest-group",
        f"one group, {label(key)}, took {summary.slowest_share:.0%} of all worker time ({took}), "
        "and the call could not end before it did: group_timeout= or stop= bound it",
    )


def _slow(summary: Summary) -> Advice | None:
    if not summary.median_fit >= _SLOW:
        return None
    return _advice(
        "slow-fits",
        f"a trial takes {duration(summary.median_fit)} in the median group: there sampler='gp', "
        "which costs some 10 ms a trial, finds better params",
    )


# ── what may be chance ────────────────────────────────────────────────────────────────────────


def _doubtful(rows: Table, metric: Metric, space: Space) -> Iterator[Advice | None]:
    gains, baselines = numbers(rows, "gain"), np.abs(numbers(rows, "baseline"))
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = gains / baselines
    known = np.isfinite(relative)
    if known.sum() < _ENOUGH:
        return
    lost = int((gains[known] < 0).sum())
    if lost > _MANY * known.sum():
        yield _advice(
            "worse-than-baseline",
            f"in {_groups(lost)} of {int(known.sum()):,} the best trial is worse than the baseline "
            f"in {metric.name}: more trials, or the baseline there",
        )
    yield _lucky(relative[known], numbers(rows, "rows")[known])
    yield _scattered(rows, float(np.median(relative[known])), space)


def _lucky(relative: NDArray[np.float64], sizes: NDArray[np.float64]) -> Advice | None:
    """Compare the gains of the smallest quarter of groups with those of the largest."""
    small, large = sizes <= np.quantile(sizes, 0.25), sizes >= np.quantile(sizes, 0.75)
    if sizes[small].max() * 2 > sizes[large].min():
        return None  # the groups don't differ enough in size
    few, many = float(np.median(relative[small])), float(np.median(relative[large]))
    if few < _LUCKY or few < 2 * max(many, 0.0):
        return None
    return _advice(
        "small-groups",
        f"groups of up to {int(sizes[small].max()):,} rows gained {few:.0%} in the median, those "
        f"of {int(sizes[large].min()):,} and more {many:.0%}: much of the former may be chance, "
        "the best of many trials on few validation rows. mode='shared' is safer for small groups",
    )


def _scattered(rows: Table, gain: float, space: Space) -> Advice | None:
    """Say so if groups chose params all over the space, and gained little by it."""
    found = [
        space.encode(params)
        for params in stored_params(rows)
        if params is not None and space.contains(params)
    ]
    if len(found) < _ENOUGH or not space.params or gain >= _SMALL:
        return None
    units = np.array(found)
    spread = [column[np.isfinite(column)].std() for column in units.T if np.isfinite(column).any()]
    if min(spread) < _SCATTERED:
        return None
    return _advice(
        "scattered-params",
        f"the groups' best params lie all over the space, and gain {gain:.1%} in the median: one "
        "set of params for all, mode='shared', may do as well",
    )


def _groups(count: int) -> str:
    return "1 group" if count == 1 else f"{count:,} groups"


def _advice(code: str, message: str) -> Advice:
    return Advice(code, (), " ".join(message.split()))
