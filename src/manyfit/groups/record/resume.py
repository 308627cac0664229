"""What earlier calls of the same name leave to a call: rows that count, and what people are told.

A row that is on record counts whatever made it, unless this call asks for more than it has. So what
differs from call to call is kept with the rows, and where rows of unlike calls stand side by side,
the result says so.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from manyfit._optional import load
from manyfit.digest import digest_of
from manyfit.errors import StudyChangedError
from manyfit.fingerprint import differences, fingerprint
from manyfit.groups.job import GroupJob
from manyfit.groups.record.judged import judged_on, mark_of
from manyfit.groups.record.lacking import known, lacking, misplaced
from manyfit.groups.record.row import Schema, Table, as_moments, keys_in, settled
from manyfit.groups.record.store import GroupRecord, Work
from manyfit.groups.run.base import Population
from manyfit.trackers.progress import counted

GROUPS = "groups"  # the stage of the record that the result is made of
_DATA = "data"  # that of the digests of groups' rows
# Settings of a job that may change between calls; so may the functions.
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


def work_of(job: GroupJob) -> dict[str, Any]:
    """Return what may differ from call to call, as JSON values."""
    functions = [(name, getattr(job, name)) for name in _FUNCTIONS]
    return {
        "n_trials": job.n_trials,
        "models": bool(job.keep_models),
        "output": job.output.place.path if job.output and job.keep_models is True else "",
        "trials": job.keep_trials,
        "functions": {name: fingerprint(each) for name, each in functions if each is not None},
        "settings": {name: digest_of(getattr(job, name)) for name in _SETTINGS},
    }


def resume(
    population: Population, job: GroupJob, record: GroupRecord, schema: Schema, seed: int | None
) -> Resumed:
    """Put on record what the output has already, and find out what is on record.

    Args:
        population: All groups.
        job: What is done with each.
        record: Of the call.
        schema: Of rows.
        seed: As it was asked for.

    Raises:
        ArgumentError: What is in the output's place is something else.
        StudyChangedError: The output has rows of another call of this name, or trials of shared
            params that are on record were judged on other rows or groups than new ones would be.
        JournalError: The output, or the record, can't be read or written.
    """
    written = _recalled(population, job, record, schema)
    done = settled(record.rows(GROUPS, schema))
    made, work = record.work_of(GROUPS), work_of(job)
    names = set(done.column("group").to_pylist())
    outputs = record.header.get("outputs", ())
    was = {name: known(made.get(name, {}), work, outputs) for name in names}
    lacks = dict(lacking(done, was, job, written, work))
    again = frozenset[str]().union(*lacks.values())
    kept = {name: made.get(name, {}) for name in sorted(names - again)}
    first = record.header["seed"]
    notes = []
    if seed not in (None, first):
        notes = [f"{record.name!r} keeps its first seed, {first}"]
    notes += [f"{_groups(len(found))} tuned again: {why}" for why, found in lacks.items()]
    notes += misplaced(without(done, again), job)
    notes += _changed_work(kept, record, work)
    digests = population.digests()
    if record.header["mode"] == "shared":
        older = _digests(record, digests, schema)
        ended = _ended(made.values())
        notes += judged_on(population, job, record, digests, older=older, done=ended)
    differs = _noted(record, digests, kept)
    if len(done):
        notes += _changed_data(population, differs, done, again, job.by)
    record.note_work(work)
    return Resumed(again, tuple(notes))


def models_in_outputs(record: GroupRecord) -> dict[str, str]:
    """Return, by group on record, the output that alone was given its model."""
    outputs = record.header.get("outputs", ())
    made = {name: known(was, {}, outputs) for name, was in record.work_of(GROUPS).items()}
    return {name: was["output"] for name, was in made.items() if was.get("output")}


def _recalled(
    population: Population, job: GroupJob, record: GroupRecord, schema: Schema
) -> set[str] | None:
    """Take rows in that a driver has written and not put on record; returns all that are written.

    None: there is no output.
    """
    if job.output is None:
        return None
    place = job.output.place.path
    rows = as_moments(settled(population.written(job.output)), schema)
    groups: list[str] = rows.column("group").to_pylist()
    if groups and not record.has_output(place):
        raise StudyChangedError(
            f"output={place!r} has {counted(len(groups), 'row')} of another call that is named "
            f"{job.output.call!r}, too, and whose record is elsewhere: give this call another name "
            "or another output, or the folder of that one"
        )
    record.note_output(place)
    known = set(settled(record.rows(GROUPS, schema)).column("group").to_pylist())
    missing = [at for at, group in enumerate(groups) if group not in known]
    if missing:
        record.append(GROUPS, rows.take(missing))
    return set(groups)


# ── what has changed ──────────────────────────────────────────────────────────────────────────────


def _changed_work(kept: Mapping[str, Work], record: GroupRecord, work: Work) -> Iterator[str]:
    """Yield a sentence if rows, or trials, are there that another function or setting has made."""
    ways = {id(was): was for was in kept.values()}
    changes = {key: _differences(was, work) for key, was in ways.items()}
    count = sum(bool(changes[id(was)]) for was in kept.values())
    if count:
        listed = ", ".join(dict.fromkeys(name for found in changes.values() for name in found))
        yield f"{_groups(count)} kept as tuned with another {listed}: {_ANOTHER}"
    trials = (record.folder / "shared").exists() and record.header.get("work")
    if trials and not count and (listed := ", ".join(_differences(trials, work))):
        yield f"trials on record are of another {listed}: {_ANOTHER}"


def _differences(was: Work, work: Work) -> list[str]:
    if not was:
        return []  # of a version that didn't note it
    before, now = was["functions"], work["functions"]
    found = [name for name in _FUNCTIONS if (name in before) != (name in now)]
    parts = {name: differences(before[name], now[name]) for name in before.keys() & now.keys()}
    found += [f"{name} ({', '.join(each):.200})" for name, each in parts.items() if each]
    changed = (name for name in _SETTINGS if was["settings"].get(name) != work["settings"][name])
    return [*found, *changed]


def _noted(
    record: GroupRecord, digests: Table | None, kept: Mapping[str, Work]
) -> Mapping[str, bool]:
    """Put digests of groups that will be tuned on record; returns which of the others differ."""
    if digests is None:
        return {}
    known, now = _pairs(record.rows(_DATA, digests.schema)), _pairs(digests)
    changed = [known.get(group) != digest for group, digest in now.items()]
    new = [at for at, group in enumerate(now) if changed[at] and group not in kept]
    if new:
        record.append(_DATA, digests.take(new))
    return {group: known[group] != now.get(group) for group in known}


def _changed_data(
    population: Population,
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


def _digests(record: GroupRecord, digests: Table | None, schema: Schema) -> dict[str, str]:
    """Return, by group, what tells the rows of earlier calls from others."""
    if digests is not None:
        return _pairs(record.rows(_DATA, digests.schema))
    columns = record.rows(GROUPS, schema).select(["group", "rows"])
    return {row["group"]: mark_of(row["rows"]) for row in columns.to_pylist()}


def _ended(made: Collection[Work]) -> int | None:
    """Return the trials of shared params that have ended; None if that isn't known."""
    return max((was["n_trials"] for was in made if was), default=None)


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
    """Return the rows of all groups but some."""
    arrow = load("pyarrow")
    wanted = [group not in groups for group in rows.column("group").to_pylist()]
    return rows.filter(arrow.array(wanted, arrow.bool_()))


def _groups(count: int) -> str:
    return f"{counted(count, 'group')} {'is' if count == 1 else 'are'}"
