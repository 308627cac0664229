"""Resumes from earlier calls of the same name: the rows that still count, and notes for users.

A row that is on record counts whatever made it, unless this call asks for more than it has. So what
differs from call to call is kept with the rows, and where rows of unlike calls stand side by side,
the result says so.
"""

import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from manyfit._optional import load
from manyfit.digest import digest_of
from manyfit.errors import StudyChangedError
from manyfit.fingerprint import differences, fingerprint
from manyfit.group_events import CallStarted, GroupsDescribed
from manyfit.groups.job import GroupJob
from manyfit.groups.record.ended import completed, types_of
from manyfit.groups.record.judged import judged_on, mark_of
from manyfit.groups.record.lacking import known, lacking, misplaced, output_of
from manyfit.groups.record.row import Schema, Table, as_moments, keys_in, row_schema, settled
from manyfit.groups.record.state import CallState
from manyfit.groups.record.store import GroupRecord
from manyfit.groups.run.base import GroupKeys, Population
from manyfit.origin import code_of, machine, packages
from manyfit.trackers.progress import counted

# Settings of a job that may change between calls, as the functions may.
_SETTINGS = ("sampler", "pruner", "stop", "start_with", "trial_timeout", "trial_memory")
_FUNCTIONS = ("objective", "baseline")
_ANOTHER = "a call of another name tunes all groups alike"


@dataclass(frozen=True, slots=True)
class Resumed:
    """What was found.

    Attributes:
        again: The groups on record that have less than this call asks for: they are tuned again.
        notes: What people should know, in sentences.
    """

    again: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


NOTHING = Resumed()


def started_by(job: GroupJob, keys: Schema) -> CallStarted:
    """Return what is put on record of a driver: what may differ from one to the next.

    Args:
        job: What is done with each group.
        keys: The key columns.
    """
    functions = [(name, getattr(job, name)) for name in _FUNCTIONS]
    return CallStarted(
        host=socket.gethostname(),
        pid=os.getpid(),
        at=time.time(),
        keys=types_of(keys),
        n_trials=job.n_trials,
        output=job.output.place.path if job.output else "",
        models=bool(job.keep_models),
        model_folder=job.folder_of_models() or "",
        trials=job.keep_trials,
        functions={name: fingerprint(each) for name, each in functions if each is not None},
        settings={name: digest_of(getattr(job, name)) for name in _SETTINGS},
        code=code_of(job.objective),
        packages=packages(),
        machine=machine(),
    )


def resume(population: Population, job: GroupJob, record: GroupRecord, seed: int | None) -> Resumed:
    """Record rows that only the output has, and return the results of earlier calls.

    Args:
        population: All groups.
        job: What is done with each.
        record: Of the call.
        seed: As it was asked for.

    Raises:
        ArgumentError: What is in the output's place is something else.
        StudyChangedError: The output has rows of another call of this name, or trials of shared
            params that are on record were judged on other rows or groups than new ones would be.
        JournalError: The output, or the record, can't be read or written.
    """
    keys, state = population.keys_schema, record.state
    schema, now = row_schema(keys), started_by(job, keys)
    written = _recalled(population, job, record, schema)
    done = settled(state.located(schema))
    made = {group: known(was, now) for group, was in state.calls_of(done).items()}
    lacks = dict(lacking(done, made, written, now, record.folder))
    again = frozenset[str]().union(*lacks.values())
    kept = {name: made[name] for name in sorted(made.keys() - again)}
    first = state.created.seed
    notes = []
    if seed not in (None, first):
        notes = [f"{record.name!r} keeps its first seed, {first}"]
    notes += [f"{_groups(len(found))} tuned again: {why}" for why, found in lacks.items()]
    notes += misplaced(without(done, again), job)
    notes += _changed_work(kept, record, now)
    digests = population.digests()
    if state.created.mode == "shared":
        older = _digests(record, digests, schema)
        ended = _ended(state.calls_of(state.located(schema)).values())
        notes += judged_on(population, job, record, digests, older=older, done=ended)
    differs = _noted(record, digests, kept)
    if len(done):
        notes += _changed_data(population, differs, done, again, job.by)
    record.put(now, sync=True)
    return Resumed(again, tuple(notes))


def models_in_outputs(state: CallState) -> dict[str, str]:
    """Return, by recorded group, the output that has the only copy of its model."""
    made = {group: output_of(was) for group, was in state.calls_of(state.located()).items()}
    return {group: output for group, output in made.items() if output}


def _recalled(
    population: Population, job: GroupJob, record: GroupRecord, schema: Schema
) -> set[str] | None:
    """Record rows that a driver wrote but did not record; returns all written rows.

    None: there is no output.
    """
    if job.output is None:
        return None
    place = job.output.place.path
    rows = settled(completed(as_moments(population.written(job.output), schema), schema))
    groups: list[str] = rows.column("group").to_pylist()
    if groups and not record.has_output(place):
        raise StudyChangedError(
            f"output={place!r} has {counted(len(groups), 'row')} of another call that is named "
            f"{job.output.call!r}, too, and whose record is elsewhere: give this call another name "
            "or another output, or the folder of that one"
        )
    known = set(settled(record.rows(schema)).column("group").to_pylist())
    missing = [at for at, group in enumerate(groups) if group not in known]
    if missing:
        record.append(rows.take(missing))
    return set(groups)


# ── what has changed ──────────────────────────────────────────────────────────────────────────────


def _changed_work(
    kept: Mapping[str, CallStarted], record: GroupRecord, now: CallStarted
) -> Iterator[str]:
    """Yield a sentence if there are rows or trials that another function or setting produced."""
    ways = {id(was): was for was in kept.values()}
    changes = {key: _differences(was, now) for key, was in ways.items()}
    count = sum(bool(changes[id(was)]) for was in kept.values())
    if count:
        listed = ", ".join(dict.fromkeys(name for found in changes.values() for name in found))
        yield f"{_groups(count)} kept as tuned with another {listed}: {_ANOTHER}"
    first = record.first if (record.folder / "shared").exists() else None
    if first and not count and (listed := ", ".join(_differences(first, now))):
        yield f"trials on record are of another {listed}: {_ANOTHER}"


def _differences(was: CallStarted, now: CallStarted) -> list[str]:
    before, after = was.functions, now.functions
    found = [name for name in _FUNCTIONS if (name in before) != (name in after)]
    parts = {name: differences(before[name], after[name]) for name in before.keys() & after.keys()}
    found += [f"{name} ({', '.join(each):.200})" for name, each in parts.items() if each]
    changed = (name for name in _SETTINGS if was.settings.get(name) != now.settings[name])
    return [*found, *changed]


def _noted(
    record: GroupRecord, digests: Table | None, kept: Mapping[str, CallStarted]
) -> Mapping[str, bool]:
    """Record digests of the groups that will be tuned; returns which of the other groups differ."""
    if digests is None:
        return {}
    known, now = dict(record.state.digests), _pairs(digests)
    new = {group: each for group, each in now.items() if known.get(group) != each}
    if new := {group: each for group, each in new.items() if group not in kept}:
        record.put(GroupsDescribed(new, time.time()))
    return {group: known[group] != now.get(group) for group in known}


def _changed_data(
    population: GroupKeys,
    differs: Mapping[str, bool],
    done: Table,
    again: frozenset[str],
    by: Sequence[str],
) -> Iterator[str]:
    """Yield sentences on groups whose rows have changed since they were tuned, or are gone."""
    sizes = population.sizes(keys_in(done, by))
    rows = dict(zip(done.column("group").to_pylist(), done.column("rows").to_pylist(), strict=True))
    gone = len(rows.keys() - sizes.keys())
    changed = {group for group, size in sizes.items() if size != rows[group] or differs.get(group)}
    if kept := len(changed - again):
        yield f"{_groups(kept)} kept as tuned, though the rows have changed: {_ANOTHER}"
    if renewed := len(changed & again):
        yield f"{_groups(renewed)} tuned again on rows that have changed"
    if gone:
        yield f"{_groups(gone)} kept that the data no longer have"


def _digests(record: GroupRecord, digests: Table | None, schema: Schema) -> Mapping[str, str]:
    """Return, by group, the digests of the rows in earlier calls."""
    if digests is not None:
        return record.state.digests
    columns = record.rows(schema).select(["group", "rows"])
    return {row["group"]: mark_of(row["rows"]) for row in columns.to_pylist()}


def _ended(made: Iterable[CallStarted]) -> int | None:
    """Return the trials of shared params that have ended; None if unknown."""
    return max((was.n_trials or 0 for was in made if was.functions), default=None)


def _pairs(digests: Table) -> dict[str, str]:
    columns = [digests.column(name).to_pylist() for name in ("group", "digest")]
    return dict(zip(*columns, strict=True))


def digests_of(groups: Sequence[str], digests: Sequence[str]) -> Table:
    """Return digests of groups' rows as a table."""
    arrow = load("pyarrow")
    text = arrow.string()
    schema = arrow.schema([("group", text), ("digest", text)])
    return arrow.table([list(groups), list(digests)], schema=schema)


def without(rows: Table, groups: frozenset[str]) -> Table:
    """Return the rows of all but the given groups."""
    arrow = load("pyarrow")
    wanted = [group not in groups for group in rows.column("group").to_pylist()]
    return rows.filter(arrow.array(wanted, arrow.bool_()))


def _groups(count: int) -> str:
    return f"{counted(count, 'group')} {'is' if count == 1 else 'are'}"
