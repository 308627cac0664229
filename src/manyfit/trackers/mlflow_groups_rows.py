"""What a call of `tune_groups` looks like in MLflow: names, values and files. Pure."""

import json
from collections.abc import Mapping

from manyfit._redact import redact, redact_value
from manyfit.trackers.groups import Child, GroupsInfo, Outcome, Standing
from manyfit.trackers.mlflow_rows import MAX_PARAM, Point, clean_key, clean_tags, milliseconds


def first_tags(info: GroupsInfo) -> dict[str, str]:
    """Return the tags of the call's run while it runs."""
    return clean_tags(
        {
            "manyfit.groups": info.name,
            "manyfit.metric": info.metric.name,
            "manyfit.direction": info.metric.direction,
            "manyfit.by": ", ".join(info.by),
            "manyfit.mode": info.mode,
            "manyfit.seed": info.seed,
            "manyfit.state": "RUNNING",
        }
    )


def last_tags(outcome: Outcome) -> dict[str, str]:
    """Return the tags that say how a call ended."""
    note = "\n".join(["```", *outcome.lines, "```"]) if outcome.lines else ""
    tags = {"manyfit.state": "ENDED", "manyfit.reason": outcome.reason, **outcome.tags}
    return clean_tags({**tags, "mlflow.note.content": note} if note else tags)


def first_params(info: GroupsInfo) -> dict[str, str]:
    """Return what the call was asked to do; the space, where it is long, is cut."""
    params = {
        "by": ", ".join(info.by),
        "mode": info.mode,
        "n_trials": "unlimited" if info.n_trials is None else info.n_trials,
        "sampler": info.sampler,
        "seed": info.seed,
        "space": json.dumps(info.space.to_json(), ensure_ascii=False),
    }
    if info.total is not None:
        params["groups"] = info.total
    return _texts(params)


def space_files(info: GroupsInfo) -> dict[str, str]:
    """Return the whole space as a file."""
    return {"space.json": redact(json.dumps(info.space.to_json(), indent=1, ensure_ascii=False))}


def points(standing: Standing, at: float) -> list[Point]:
    """Return where a call stands as metrics, at the count of groups that are done."""
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


def last_points(standing: Standing | None, metrics: Mapping[str, float], at: float) -> list[Point]:
    """Return the last standing, and the figures of the end at the same step."""
    step = 0 if standing is None else standing.done
    figures = {clean_key(name): value for name, value in metrics.items()}
    last = [] if standing is None else points(standing, at)
    return last + [Point(name, value, milliseconds(at), step) for name, value in figures.items()]


def child_tags(info: GroupsInfo, child: Child, parent: str) -> dict[str, str]:
    """Return the tags of a group's run."""
    own = {"manyfit.groups": info.name, "mlflow.parentRunId": parent}
    return clean_tags({**child.tags, **own})


def child_params(child: Child) -> dict[str, str]:
    """Return the params of a group's run as text."""
    return _texts({clean_key(name): value for name, value in child.params.items()})


def _texts(params: Mapping[str, object]) -> dict[str, str]:
    return {name: str(redact_value(name, str(value)))[:MAX_PARAM] for name, value in params.items()}
