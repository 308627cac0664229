"""The names, values and batches of a study in MLflow, within the limits of every MLflow server.

These are pure functions, without client or clock. Credentials are redacted here.
"""

import json
import math
import posixpath
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from manyfit._redact import redact, redact_value
from manyfit.repeats import best_trial
from manyfit.trackers.base import StudyInfo
from manyfit.trial import Finished, Measurement, State, Trial

Status: TypeAlias = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]

# MLflow's limits, and for tags and keys those of older servers, which are tighter.
MAX_KEY = 250
MAX_PARAM = 6000
MAX_TAG = 5000
MAX_POINTS = 900  # of 1,000 entities per batch, up to 100 are params or tags
MAX_NAMED = 50  # 100 per batch, params and tags together
MAX_BYTES = 900_000

_REFUSED = re.compile(r"[^\w.\- /]")


@dataclass(frozen=True, slots=True)
class Point:
    """A metric at a step; `at` is in milliseconds since the epoch."""

    key: str
    value: float
    at: int
    step: int


@dataclass(frozen=True, slots=True)
class Batch:
    """The contents of one request."""

    points: Sequence[Point] = ()
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


def milliseconds(at: float) -> int:
    """Return wall time in milliseconds, as used by MLflow."""
    return round(at * 1000)


def status(trial: Trial) -> Status:
    """Return the status of a trial's run.

    A PRUNED trial's run is FINISHED, because MLflow marks KILLED runs with the red cross of failed
    ones. The tag `manyfit.state` tells it from a COMPLETE one. A run whose worker died is KILLED
    until the next attempt, or forever.
    """
    match trial.state:
        case State.COMPLETE | State.PRUNED:
            return "FINISHED"
        case State.FAIL:
            return "FAILED"
        case State.RUNNING:
            return "RUNNING"
        case _:
            return "KILLED"


def study_status(trials: Sequence[Trial], reason: str) -> Status:
    """Return the status that ends the parent run.

    It is FAILED if the study ended because of failures, its driver failed, or trials failed and
    none completed; KILLED if it was interrupted, or its driver was killed.
    """
    if (cut_off := status_of(reason)) is not None:
        return cut_off
    failures = [trial.reason for trial in trials if trial.state is State.FAIL]
    completed = any(trial.state is State.COMPLETE for trial in trials)
    if failures and (not completed or any(why and why in reason for why in failures)):
        return "FAILED"
    return "FINISHED"


def status_of(reason: str) -> Status | None:
    """Return the status of a parent run whose driver failed or was cut off; otherwise None."""
    if reason.startswith(("interrupted", "not ended", "the driver ended with KeyboardInterrupt")):
        return "KILLED"
    if reason.startswith("the driver ended with") or "more than max_failures" in reason:
        return "FAILED"
    return None


def key_of(tags: Mapping[str, str]) -> int | str | None:
    """Return the trial or group of a run, from its tags; None if it has neither.

    Example:
        >>> key_of({"manyfit.trial": "3"}), key_of({"manyfit.trial": "3 (lost)"})
        (3, None)
    """
    number, group = tags.get("manyfit.trial", ""), tags.get("manyfit.group", "")
    return int(number) if number.isdigit() else group if group.endswith("]") else None


def run_name(study: StudyInfo, number: int) -> str:
    """Return the name of a trial's run, which sorts by number: `00012-fashion`.

    The number comes first, because tables of runs cut long names off.
    """
    return f"{number:05d}-{study.name}"


def study_tags(study: StudyInfo) -> dict[str, str]:
    """Return the tags of the parent run, as they are while the study runs."""
    space = json.dumps(study.space.to_json(), ensure_ascii=False)
    tags = {
        "manyfit.study": study.name,
        "manyfit.metric": study.metric.name,
        "manyfit.direction": study.metric.direction,
        "manyfit.seed": study.seed,
        "manyfit.state": "RUNNING",
        "manyfit.space": space if len(space) <= MAX_TAG else "too long for a tag: see space.json",
    }
    if study.n_trials != 0:
        tags["manyfit.n_trials"] = "unlimited" if study.n_trials is None else study.n_trials
    return clean_tags(tags)


def space_file(study: StudyInfo) -> str:
    """Return the space as a text file."""
    return redact(json.dumps(study.space.to_json(), indent=1, ensure_ascii=False))


def first_tags(study: StudyInfo, trial: Trial, parent: str) -> dict[str, str]:
    """Return the initial tags of a trial's run, by which it can be found."""
    tags = {
        "mlflow.parentRunId": parent,
        "manyfit.study": study.name,
        "manyfit.trial": trial.number,
        "manyfit.origin": trial.origin,
        "manyfit.seed": study.seed,
        "manyfit.attempt": max(1, len(trial.attempts)),
        "manyfit.state": "RUNNING",
        # Params proper are written when it has ended: see `Copy.settle`.
        "manyfit.params": _as_json(trial.params),
    }
    return clean_tags(tags)


def next_tags(trial: Trial) -> dict[str, str]:
    """Return the tags of a run whose trial starts again, or is about to start."""
    return clean_tags({"manyfit.attempt": attempt_now(trial), "manyfit.state": "RUNNING"})


def attempt_now(trial: Trial) -> int:
    """Return the number of the attempt that runs, is about to, or was the last."""
    return len(trial.attempts) + (trial.state is State.WAITING)


def last_tags(trial: Trial) -> dict[str, str]:
    """Return the tags of a trial's state."""
    tags = {"manyfit.attempt": max(1, len(trial.attempts)), "manyfit.state": trial.state.value}
    if trial.reason or len(trial.attempts) > 1:  # empty, it overwrites that of a lost attempt
        tags["manyfit.reason"] = trial.reason
    if trial.seconds is not None:
        tags["manyfit.seconds"] = f"{trial.seconds:.3f}"
    return clean_tags(tags) | noted(trial)


def noted(trial: Trial) -> dict[str, str]:
    """Return the tags of a trial's notes, none of which replaces one of Manyfit's or MLflow's."""
    ours = ("mlflow.", "manyfit.")
    named = {f"note.{n}" if n.startswith(ours) else n: text for n, text in trial.notes.items()}
    return clean_tags({key: redact_value(name, text) for key, (name, text) in _keyed(named)})


def params(study: StudyInfo, trial: Trial) -> dict[str, str]:
    """Return a trial's params and active constants as text.

    They are formatted by `str`, so that an objective that logs its own params logs the same values:
    MLflow refuses to log a param twice with different values.
    """
    values = dict(trial.params)
    if study.space.contains(trial.params):  # not so for a trial of an earlier space
        values = {**study.space.look_up(trial.params), **values}
    return {
        key: str(redact_value(name, _text(value)))[:MAX_PARAM]
        for key, (name, value) in _keyed(values)
    }


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - a constant is the user's own object, and so is its __str__
        return f"<{type(value).__name__}: {type(error).__name__}>"


def reports(measurements: Sequence[Measurement], after: int | None = None) -> list[Point]:
    """Return the reports at steps beyond `after`."""
    known = 0 if after is None else bisect_right(measurements, after, key=lambda each: each.step)
    return [
        Point(key, value, milliseconds(measured.at), measured.step)
        for measured in measurements[known:]
        for key, (_, value) in _keyed(measured.metrics)
    ]


def finals(trial: Trial, until: int = 0) -> list[Point]:
    """Return a COMPLETE trial's metrics that differ from the last ones reported.

    They have the last step reported, possibly by an earlier attempt (`until`), and a slightly later
    time. MLflow therefore shows these values, and no step is added that was never trained.
    """
    attempt = trial.attempts[-1]
    if not isinstance(attempt.end, Finished):
        return []
    last = attempt.measurements[-1] if attempt.measurements else None
    step = until if last is None else max(until, last.step)
    at = milliseconds(attempt.started_at if attempt.ended_at is None else attempt.ended_at)
    at = at if last is None else max(at, milliseconds(last.at) + 1)
    known = {} if last is None or until > last.step else last.metrics
    return [
        Point(key, value, at, step)
        for key, (name, value) in _keyed(attempt.end.metrics)
        if not _is_same(known.get(name), value)
    ]


def best_so_far(study: StudyInfo, trials: Sequence[Trial]) -> list[Point]:
    """Return each new best value, with the number of trials as the step."""
    trials = study.counting(trials)
    ended = (trial for trial in trials if trial.state.is_finished and trial.attempts)
    points: list[Point] = []
    for count, trial in enumerate(sorted(ended, key=_end_of), start=1):
        value = trial.value
        if value is None or trial.repeat_of is not None:
            continue
        if points and not study.metric.is_better(value, points[-1].value):
            continue
        key = clean_key(f"best_{study.metric.name}")
        points.append(Point(key, value, milliseconds(_end_of(trial)), count))
    return points


def standing(study: StudyInfo, trials: Sequence[Trial]) -> list[Point]:
    """Return the counts of ended trials and their seconds, with the number of these as the step."""
    ended = [
        trial for trial in study.counting(trials) if trial.state.is_finished and trial.attempts
    ]
    if not ended:
        return []
    states = [trial.state for trial in ended]
    found = {
        f"trials_{state.value.lower()}": float(states.count(state))
        for state in (State.COMPLETE, State.PRUNED, State.FAIL)
    }
    found["trial_seconds"] = sum(trial.seconds or 0.0 for trial in ended)
    at = milliseconds(max(map(_end_of, ended)))
    return [Point(key, value, at, len(ended)) for key, value in found.items()]


def summary(
    study: StudyInfo, trials: Sequence[Trial], reason: str, link: str = ""
) -> dict[str, str]:
    """Return the final tags of the parent run: counts, the reason, the best trial, and a link."""
    counted = [trial.state.value for trial in trials]
    counts = {state: counted.count(state) for state in dict.fromkeys(sorted(counted))}
    tags = {
        "manyfit.state": "ENDED",
        "manyfit.reason": reason,
        "manyfit.trials": ", ".join(f"{count} {state}" for state, count in counts.items()),
    }
    best = best_trial(study.counting(trials), study.metric)
    if best is not None:
        tags["manyfit.best.trial"] = str(best.number)
        tags["manyfit.best.value"] = str(best.value)
        shown = {name: redact_value(name, value) for name, value in best.params.items()}
        tags["manyfit.best.params"] = _as_json(best.params)
        table = f"[Table of all trials]({link})\n\n" if link else ""
        tags["mlflow.note.content"] = table + _note(study, best, shown, tags)
    return clean_tags(tags)


def _as_json(params: Mapping[str, Any]) -> str:
    shown = {name: redact_value(name, value) for name, value in params.items()}
    return json.dumps(shown, ensure_ascii=False)


def _note(study: StudyInfo, best: Trial, shown: Mapping[str, Any], tags: Mapping[str, str]) -> str:
    aim = f"**{study.metric.direction} {study.metric.name}**: best {best.value}"
    title = f"{aim} (trial {best.number}, run `{run_name(study, best.number)}`)"
    rows = [f"- `{name}` = `{value}`" for name, value in shown.items()]
    end = f"{tags['manyfit.trials']}. Ended: {tags['manyfit.reason']}."
    return "\n".join([title, "", *rows, "", end])


def batches(
    points: Sequence[Point] = (),
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> Iterator[Batch]:
    """Yield as few batches as MLflow's limits allow: almost always one."""
    left = list(reversed(points))
    named = _named_chunks(params or {}, tags or {})
    while left or named:
        some_params, some_tags = named.pop(0) if named else ({}, {})
        room = MAX_BYTES - _size(some_params) - _size(some_tags)
        some: list[Point] = []
        while left and len(some) < MAX_POINTS and room > 0:
            some.append(left.pop())
            room -= len(json.dumps(some[-1].key)) + 100
        yield Batch(some, some_params, some_tags)


def pieces(batch: Batch) -> Iterator[tuple[str, Batch]]:
    """Split a refused batch into pieces with a name, which can be written separately."""
    for key, value in batch.params.items():
        yield f"param {key}", Batch(params={key: value})
    for key, value in batch.tags.items():
        yield f"tag {key}", Batch(tags={key: value})
    for key in dict.fromkeys(point.key for point in batch.points):
        yield (
            f"metric {key}",
            Batch(points=[point for point in batch.points if point.key == key]),
        )


def _named_chunks(
    params: Mapping[str, str], tags: Mapping[str, str]
) -> list[tuple[dict[str, str], dict[str, str]]]:
    chunks = []
    param_chunks, tag_chunks = list(_chunks(params)), list(_chunks(tags))
    for index in range(max(len(param_chunks), len(tag_chunks))):
        some_params = param_chunks[index] if index < len(param_chunks) else {}
        some_tags = tag_chunks[index] if index < len(tag_chunks) else {}
        chunks.append((some_params, some_tags))
    return chunks


def _chunks(items: Mapping[str, str]) -> Iterator[dict[str, str]]:
    rest = iter(items.items())
    chunk: dict[str, str] = {}
    for name, value in rest:
        if chunk and (
            len(chunk) >= MAX_NAMED or _size(chunk) + _size({name: value}) > MAX_BYTES // 2
        ):
            yield chunk
            chunk = {}
        chunk[name] = value
    if chunk:
        yield chunk


def _size(items: Mapping[str, str]) -> int:
    return sum(len(json.dumps(name)) + len(json.dumps(value)) + 30 for name, value in items.items())


def clean_tags(tags: Mapping[str, object]) -> dict[str, str]:
    """Return tags without credentials, cut to MLflow's limit."""
    return {name: str(redact_value(name, str(value)))[:MAX_TAG] for name, value in tags.items()}


def clean_key(name: str) -> str:
    """Return a valid name of a param or metric in MLflow.

    Example:
        >>> [clean_key(name) for name in ("num layers (x)", "a//b", "../up", "")]
        ['num layers _x_', 'a/b', '_/up', '_']
    """
    key = posixpath.normpath(_REFUSED.sub("_", name).lstrip("/"))[:MAX_KEY].rstrip("/")
    return re.sub(r"^\.\.?(?=/|$)", "_", key) or "_"


def _keyed(values: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, Any]]]:
    """Yield the key of each name with the name and value; equal keys get numbers."""
    seen: set[str] = set()
    for name, value in values.items():
        key = clean_key(name)
        count = 1
        while key in seen:
            count += 1
            key = f"{clean_key(name)[: MAX_KEY - 5]}_{count}"
        seen.add(key)
        yield key, (name, value)


def _is_same(a: float | None, b: float) -> bool:
    return a is not None and (a == b or (math.isnan(a) and math.isnan(b)))


def _end_of(trial: Trial) -> float:
    attempt = trial.attempts[-1]
    return attempt.started_at if attempt.ended_at is None else attempt.ended_at
