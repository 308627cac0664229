"""The data that trials of mode `"shared"` were evaluated on; only equal data makes them comparable.

A trial's value is that of the groups of a cluster, as they were then. So the groups, and digests of
their rows, are on record from the first trial on.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from manyfit.errors import StudyChangedError
from manyfit.group_events import ClusterDescribed
from manyfit.groups.job import GroupJob
from manyfit.groups.record.keys import texts_of
from manyfit.groups.record.row import Table
from manyfit.groups.record.store import GroupRecord
from manyfit.groups.run.base import GroupKeys
from manyfit.trackers.progress import counted

# By group: its cluster (None if unknown) and the digest of its rows.
Judged: TypeAlias = Mapping[str, tuple[str | None, str]]


@dataclass(frozen=True, slots=True)
class Change:
    """How groups differ from those that the trials of their clusters were evaluated on.

    Attributes:
        joined: Groups that were not there.
        changed: Groups that had other rows, or were in another cluster.
        left: Groups that are gone.
    """

    joined: int
    changed: int
    left: int

    @classmethod
    def of(cls, before: Judged, now: Judged) -> "Change":
        """Compare; skip clusters that are entirely new or gone: they have no trials."""
        old, new = ({cluster for cluster, _ in each.values()} for each in (before, now))
        both = before.keys() & now.keys()
        return cls(
            joined=sum(now[group][0] in old for group in now.keys() - both),
            changed=sum(before[group] != now[group] for group in both),
            left=sum(before[group][0] in {None, *new} for group in before.keys() - both),
        )

    def __str__(self) -> str:
        parts = {"joined": self.joined, "left": self.left, "changed": self.changed}
        return ", ".join(
            f"{counted(count, 'group')} {word}" for word, count in parts.items() if count
        )


def judged_on(
    population: GroupKeys,
    job: GroupJob,
    record: GroupRecord,
    digests: Table | None,
    *,
    older: Mapping[str, str],
    done: int | None,
) -> Iterator[str]:
    """Put on record what trials are judged on; yields sentences on what that was before.

    Args:
        population: All groups.
        job: What is done with each.
        record: Of the call.
        digests: Of the groups' rows; None where only their numbers tell rows apart.
        older: By group, a digest that is known otherwise: records were without this once.
        done: How many trials have ended, if all that were asked for have.

    Raises:
        StudyChangedError: New trials would be judged on other rows, or groups, than earlier ones.
    """
    now = _now(population, job, digests)
    before = known = {
        group: (cluster, digest)
        for cluster, described in record.state.clusters.items()
        for group, digest in described.items()
    }
    if not known and (record.folder / "shared").exists():
        before = {g: (now[g][0] if g in now else None, mark) for g, mark in older.items()}
    change = Change.of(before, now)
    if change != Change(0, 0, 0) and (done is None or done < (job.n_trials or 0)):
        raise StudyChangedError(_refusal(change, record.name, done))
    clusters = {cluster for cluster, _ in before.values()}
    fresh = {group: each for group, each in now.items() if each[0] not in clusters}
    new: dict[str | None, dict[str, str]] = {}
    for group, (cluster, digest) in sorted({**fresh, **({} if known else before)}.items()):
        new.setdefault(cluster, {})[group] = digest
    for cluster in sorted(new, key=str):
        record.put(ClusterDescribed(cluster, new[cluster], time.time()))
    yield from _notes_of(change)


def _refusal(change: Change, name: str, done: int | None) -> str:
    way = "" if done is None else f", or n_trials={done}, which needs no new ones"
    return (
        f"trials of {name!r} were judged on other data ({change}), and can't be compared with new "
        f"ones: give this call another name, or the data of before{way}"
    )


def _notes_of(change: Change) -> Iterator[str]:
    """Yield sentences on groups whose present rows the params were not chosen for."""
    way = "a call of another name chooses them anew"
    if change.joined:
        yield f"{counted(change.joined, 'group')} had no part in choosing the shared params: {way}"
    if change.changed:
        whose = f"{counted(change.changed, 'group')} had other rows"
        yield f"{whose} when the shared params were chosen: {way}"


def _now(population: GroupKeys, job: GroupJob, digests: Table | None) -> dict[str, Any]:
    keys = population.keys()
    groups, clusters = texts_of(keys, job.by), texts_of(keys, job.shared_by)
    if digests is None:
        sizes = population.sizes(keys.select(list(job.by)))
        marks = {group: mark_of(size) for group, size in sizes.items()}
    else:
        columns = [digests.column(name).to_pylist() for name in ("group", "digest")]
        marks = dict(zip(*columns, strict=True))
    return {g: (cluster, marks.get(g, "")) for g, cluster in zip(groups, clusters, strict=True)}


def mark_of(rows: int) -> str:
    """Return a substitute for the digest of rows when only their number is known."""
    return counted(rows, "row")
