"""The modes of `tune_groups`: groups are tuned independently, jointly, or learn from the first."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from manyfit._own import own_values
from manyfit.group_events import GroupEvaluated
from manyfit.groups.job import GroupJob
from manyfit.groups.joint import Aggregate, Joint
from manyfit.groups.progress import SearchTracker
from manyfit.groups.record.keys import group_seed, key_text, texts_of
from manyfit.groups.record.resume import NOTHING, Resumed, without
from manyfit.groups.record.row import Schema, Table, keys_in, settled
from manyfit.groups.record.store import GroupRecord
from manyfit.groups.run.base import Points, Population
from manyfit.groups.search.portfolio import PortfolioSettings, Tuned, learn, worth_sharing
from manyfit.trackers.mirrors import Mirrors

# How many groups are tuned in full before the others: a tenth, within these bounds.
_FIRST_SHARE, _FIRST_LEAST, _FIRST_MOST = 10, 12, 60
_TRANSFERRED = 3  # the other groups have this many times fewer trials


@dataclass(frozen=True, slots=True)
class Call:
    """The objects that a mode works with.

    Attributes:
        population: All groups.
        job: How to tune each group.
        record: The record of the call, which receives the rows.
        schema: The schema of the rows.
        mirrors: The trackers, which receive the events that are on record.
        resumed: The results of earlier calls of the same name.
    """

    population: Population
    job: GroupJob
    record: GroupRecord
    schema: Schema
    mirrors: Mirrors
    resumed: Resumed = NOTHING

    def done(self) -> Table:
        """Return the recorded rows of groups that needn't be tuned again."""
        return without(settled(self.record.rows(self.schema)), self.resumed.again)


def independent(call: Call) -> None:
    """Tune each group on its own."""
    _run(call, call.population, call.job)


def shared(call: Call, how: Aggregate) -> tuple[str, ...]:
    """Tune all groups, or each cluster of them, jointly; then fit each group with the best params.

    Returns sentences about the result that users should read.
    """
    job = call.job
    call.population.hold()
    joint = Joint(call.population, job, how, call.record, SearchTracker(call.mirrors))
    best = joint.run()
    default = job.space.materialize(job.start_with[0]) if job.start_with else None
    baseline = job.baseline
    if baseline is None and default is not None:
        baseline = partial(_fit_default, job.objective, default)
    points = {cluster: (params,) for cluster, params in best.items()}
    _run(
        call,
        call.population,
        replace(job, points=points, start_with=(), baseline=baseline),
    )
    return joint.notes


def transfer(call: Call) -> tuple[str, ...]:
    """Tune some groups in full, learn from their trials, and tune the others with fewer trials.

    Returns sentences about the result that users should read.
    """
    keys = call.population.keys()
    count = min(max(len(keys) // _FIRST_SHARE, _FIRST_LEAST), _FIRST_MOST)
    if len(keys) < 2 * count:
        independent(call)
        return (f"too few groups to learn from ({len(keys)}): each was tuned on its own",)
    first = keys.take(_drawn(keys, call.job, count))
    _run(call, call.population.part(first), replace(call.job, keep_trials=True))
    rest = replace(call.job, n_trials=max(1, (call.job.n_trials or 0) // _TRANSFERRED))
    learned = _learned(call, first)
    if learned is not None:
        rest = replace(rest, sampler=learned)
    _run(call, call.population.without(first), rest)
    if learned is not None:
        return ()
    return ("the first groups have too little in common to teach others anything",)


def _run(call: Call, population: Population, job: GroupJob) -> None:
    """Tune the groups that have no result yet or failed: the objective may have been fixed."""
    done = call.done()
    if len(done):
        population = population.without(keys_in(done, job.by))
    for rows in population.run(job):
        for event in call.record.append(rows):
            call.mirrors.record(event, None)


def _fit_default(objective: Callable[..., Any], params: Mapping[str, Any], *frames: Any) -> Any:
    return objective(*frames, own_values(params))


def _drawn(keys: Table, job: GroupJob, count: int) -> list[int]:
    """Draw the indices of the first groups, which are the same on every backend."""
    texts = texts_of(keys, job.by)
    order = sorted(range(len(texts)), key=lambda place: group_seed(job.seed, texts[place]))
    return sorted(order[:count])


def _learned(call: Call, first: Table) -> PortfolioSettings | None:
    """Return a portfolio learned from the first groups; None if they have too little in common."""
    job, space = call.job, call.job.space
    texts = texts_of(first, job.by)
    rows = call.record.rows(call.schema).select(["group", "history"]).to_pylist()
    own = {row["group"]: row["history"] for row in rows if row["history"]}
    own = {group: history for group, history in own.items() if group in texts}
    tuned = [Tuned.of([history], space, job.metric) for history in own.values()]
    more = worth_sharing(tuned)
    if more:
        also = _evaluated(call, first, texts, {key_text([]): more})
        both = [[own[group], *([also[group]] if also.get(group) else ())] for group in own]
        tuned = [Tuned.of(histories, space, job.metric) for histories in both]
    return learn(tuned)


def _evaluated(
    call: Call, first: Table, texts: Sequence[str], points: Points
) -> Mapping[str, str | None]:
    """Return, by group, the trials of the first groups at the best params of the others."""
    known = call.record.state.evaluated
    missing = [place for place, text in enumerate(texts) if text not in known]
    if missing:
        job = replace(call.job, shared_by=(), keep_trials=True, output=None)
        for rows in call.population.part(first.take(missing)).run(job, points):
            for row in settled(rows).select(["group", "history"]).to_pylist():
                call.record.put(GroupEvaluated(row["group"], row["history"], time.time()))
    return known
