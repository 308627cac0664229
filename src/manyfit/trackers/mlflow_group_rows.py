"""The names, values and files of a call of `tune_groups` in MLflow, as pure functions."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from manyfit._redact import redact_value
from manyfit.group_events import GroupEnded
from manyfit.trackers.base import GroupsInfo, Outcome, StudyInfo
from manyfit.trackers.group_progress import Standing, gain_of
from manyfit.trackers.mlflow_rows import (
    MAX_PARAM,
    Batch,
    Point,
    Status,
    batches,
    clean_key,
    clean_tags,
    milliseconds,
)


def call_tags(study: StudyInfo, groups: GroupsInfo) -> dict[str, str]:
    """Return the tags of the call's run while it runs."""
    return clean_tags(
        {
            "manyfit.groups": study.name,
            "manyfit.metric": study.metric.name,
            "manyfit.direction": study.metric.direction,
            "manyfit.by": ", ".join(groups.by),
            "manyfit.mode": groups.mode,
            "manyfit.seed": study.seed,
            "manyfit.state": "RUNNING",
        }
    )


def call_params(study: StudyInfo, groups: GroupsInfo) -> dict[str, str]:
    """Return the arguments of the call; a long space is cut."""
    params = {
        "by": ", ".join(groups.by),
        "mode": groups.mode,
        "n_trials": "unlimited" if study.n_trials is None else study.n_trials or None,
        "sampler": groups.sampler,
        "seed": study.seed,
        "space": json.dumps(study.space.to_json(), ensure_ascii=False),
        "groups": groups.total,
    }
    return _texts({name: value for name, value in params.items() if value is not None})


def points(standing: Standing, at: float) -> list[Point]:
    """Return the progress of a call as metrics, with the number of groups done as the step."""
    found = {
        "groups_done": standing.done,
        "groups_failed": standing.failed,
        "median_gain": standing.median_gain,
        "best_gain": standing.best_gain,
        "mean_value": standing.mean_value,
    }
    return [
        Point(name, float(value), milliseconds(at), standing.done)
        for name, value in found.items()
        if value is not None
    ]


def last_points(standing: Standing, metrics: Mapping[str, float], at: float) -> list[Point]:
    """Return the final figures, at the step of the last progress."""
    step, moment = standing.done, milliseconds(at)
    return [Point(clean_key(name), value, moment, step) for name, value in metrics.items()]


def last_tags(reason: str, outcome: Outcome) -> dict[str, str]:
    """Return the tags that say how a call ended."""
    tags = {"manyfit.state": "ENDED", "manyfit.reason": reason, **outcome.tags}
    if outcome.lines:
        tags["mlflow.note.content"] = "\n".join(["```", *outcome.lines, "```"])
    return clean_tags(tags)


@dataclass(frozen=True, slots=True)
class GroupRun:
    """The run of a group: all that is written to it."""

    name: str
    status: Status
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]

    @classmethod
    def of(cls, group: GroupEnded, study: StudyInfo) -> "GroupRun":
        """Return the run of a group that has ended."""
        metrics = {
            **group.metrics,
            **{f"baseline_{name}": value for name, value in group.baseline_metrics.items()},
            "gain": gain_of(group, study),
            "trials": float(group.trials),
            "seconds": group.seconds,
        }
        known = {clean_key(name): value for name, value in metrics.items() if value is not None}
        params = {clean_key(name): value for name, value in (group.params or {}).items()}
        tags = {
            "manyfit.group": group.group,
            "manyfit.state": group.state,
            "manyfit.reason": group.reason,
            "manyfit.groups": study.name,
        }
        status: Status = "FAILED" if group.state == "FAIL" else "FINISHED"
        return cls(label(group.group), status, _texts(params), known, clean_tags(tags))

    @property
    def digest(self) -> str:
        """What tells it from the run that the same group has when it is tuned again."""
        values = [self.status, self.params, self.metrics, self.tags]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]

    def batches(self, at: float) -> Iterator[Batch]:
        """Yield what is written to it."""
        moment = milliseconds(at)
        found = [Point(key, float(value), moment, 0) for key, value in self.metrics.items()]
        return batches(found, self.params, self.tags)


def label(group: str) -> str:
    """Return the key of a group as a label.

    Example:
        >>> label('["north",3,null]')
        'north · 3 · missing'
    """
    parts = json.loads(group)
    return " · ".join("missing" if part is None else str(part) for part in parts)[:200]


def _texts(params: Mapping[str, object]) -> dict[str, str]:
    return {name: str(redact_value(name, str(value)))[:MAX_PARAM] for name, value in params.items()}
