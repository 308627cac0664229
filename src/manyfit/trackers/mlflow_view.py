"""The table of a study's trials in MLflow's page: a shared view of the experiment, and its link.

A table of runs has no column for a metric or a param before its reader has chosen some. A view that
is shared in MLflow's page is a tag of the experiment, and a link with the view's key opens it. A
page that can't read the tag says so, and shows its usual table.
"""

import json
from collections.abc import Iterator, Sequence

from manyfit.trackers.base import StudyInfo
from manyfit.trackers.mlflow_rows import clean_key
from manyfit.trial import Trial

# What the tag's name begins with; the view's key follows.
TAG = "mlflow.sharedViewState."
# The number of metrics that are columns, besides the tuned one, and characters of all columns: an
# experiment has the views of all its studies.
_MOST_METRICS, _MOST_TEXT = 5, 2000


def link(experiment: str, parent: str) -> str:
    """Return the link to the view, relative to the address of MLflow's page.

    Example:
        >>> link("1", "9f")
        '#/experiments/1/runs?viewStateShareKey=9f'
    """
    return f"#/experiments/{experiment}/runs?viewStateShareKey={parent}"


def view(study: StudyInfo, parent: str, trials: Sequence[Trial]) -> str:
    """Return a view of the runs below the parent, the best first, with params and metrics.

    If there are very many params, the last ones are no columns.
    """
    tuned = f"metrics.`{clean_key(study.metric.name)}`"
    columns = ["attributes.`Duration`", "tags.`manyfit.state`", tuned]
    room = _MOST_TEXT
    for column in _columns(study, trials):
        room -= len(column)
        if room >= 0 and column not in columns:
            columns.append(column)
    state = {
        "selectedColumns": columns,
        "searchFilter": f"tags.mlflow.parentRunId = '{parent}'",
        "orderByKey": tuned,
        "orderByAsc": study.metric.direction == "minimize",
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
    }
    return json.dumps(state)


def _columns(study: StudyInfo, trials: Sequence[Trial]) -> Iterator[str]:
    metrics = dict.fromkeys(name for trial in trials for name in trial.metrics)
    for name in [name for name in metrics if name != study.metric.name][:_MOST_METRICS]:
        yield f"metrics.`{clean_key(name)}`"
    for name in study.space.params:
        yield f"params.`{clean_key(name)}`"
