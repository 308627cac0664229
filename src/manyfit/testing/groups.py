"""For authors of trackers: a made-up call of `tune_groups` to tell them of."""

import json
import time
from pathlib import Path
from typing import Any

from manyfit.group_events import GroupEnded
from manyfit.metric import Metric
from manyfit.space import Float, Space
from manyfit.trackers.base import GroupsInfo, Outcome, StudyInfo, Tracker


def groups_info(
    folder: Path, *, n_trials: int | None = 20, parallelism: int | None = None, **given: Any
) -> StudyInfo:
    """Return what a tracker is told of a made-up call of `tune_groups`.

    Args:
        folder: The call's folder.
        n_trials: How many trials each group has.
        parallelism: How many groups are tuned at once.
        **given: Fields of `GroupsInfo`.
    """
    known = {"by": ("store", "item"), "mode": "independent", "total": 3, **given}
    space = Space({"x": Float(0.0, 1.0), "password": "hunter2hunter2"})
    return StudyInfo(
        name="sales",
        folder=folder,
        space=space,
        metric=Metric("mase", "minimize"),
        seed=7,
        n_trials=n_trials,
        parallelism=parallelism,
        groups=GroupsInfo(**known),
    )


def group_ended(*key: Any, state: str = "COMPLETE", **given: Any) -> GroupEnded:
    """Return the end of a made-up group: a gain of 0.2, unless something else is given."""
    known: dict[str, Any] = {"seconds": 1.0, "trials": 20, "at": time.time()}
    if state == "COMPLETE":
        figures = {"value": 0.8, "baseline": 1.0, "params": {"x": 0.5}}
        known |= {**figures, "metrics": {"mase": 0.8}, "baseline_metrics": {"mase": 1.0}}
    text = json.dumps(key, ensure_ascii=False, separators=(",", ":"))
    return GroupEnded(text, key, state, **{**known, **given})


def tell_groups(tracker: Tracker, folder: Path, **given: Any) -> None:
    """Tell a tracker of a call of `tune_groups` from beginning to end.

    Args:
        tracker: The tracker.
        folder: The call's folder.
        **given: Fields of `GroupsInfo`.
    """
    ended = [
        group_ended("north", 1),
        group_ended("süd", None, state="FAIL", reason="ValueError: no"),
        group_ended("west", 3, state="BASELINE", baseline=float("nan")),
    ]
    tracker.open(groups_info(folder, **given), ())
    for group in ended:
        tracker.record(group, None)
    outcome = Outcome(
        ["Groups sales", "  groups 3"],
        metrics={"gain_p50": 0.2, "groups": 3.0},
        tags={"manyfit.complete": "1"},
        files=lambda: {"table.csv": "store,value\nnorth,0.8\n", "figures.html": "<html>ö</html>"},
        groups=lambda: ended,
    )
    tracker.close("all groups are done", (), outcome)
