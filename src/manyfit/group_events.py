"""The events of a call of `tune_groups`, as frozen values; `manyfit.events` encodes them.

The journal of a call begins with `CallCreated`. Each driver that takes the call over writes a
`CallStarted`, followed by its own events. If a group has several `GroupEnded`, the last counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class CallCreated:
    """The first line: the space, the metric, the groups' columns and all that must never change.

    Attributes:
        holdout: How the rows of a group are split, in words; None if the objective does it.
        aggregate: In mode `"shared"`, how the groups' losses are combined; None in other modes.
        group_timeout: The limit for each group, in seconds; None for no limit.
    """

    name: str
    space: Mapping[str, Any]
    metric: str
    direction: str
    seed: int
    manyfit: str
    at: float
    by: Sequence[str]
    mode: str
    shared_by: Sequence[str] = ()
    order_by: Sequence[str] = ()
    holdout: str | None = None
    aggregate: str | None = None
    group_timeout: float | None = None


@dataclass(frozen=True, slots=True)
class CallStarted:
    """A driver took the call over, with settings that may differ from those of earlier drivers.

    Attributes:
        keys: The types of the key columns, by name, as Arrow writes them.
        n_trials: The number of trials of each group; None if only time limits them.
        output: The path that rows, including models, are written to; empty if there is none.
        models: Whether models are kept. With an output and no model folder, they are only in the
            output.
        model_folder: The folder or URL that models go to; empty if there is none.
        trials: Whether the trials of each group are kept.
        functions: Digests of the objective, and of a baseline, by name (see `fingerprint`). Empty
            if an older Manyfit didn't record them.
        settings: Digests of the other settings that affect how groups are tuned.
        code: The location and version of the objective's code (see `manyfit.origin`).
        packages: The versions of the packages installed on the driver, by name.
        machine: The driver's machine.
    """

    host: str
    pid: int
    at: float
    keys: Mapping[str, str]
    n_trials: int | None = None
    output: str = ""
    models: bool = False
    model_folder: str = ""
    trials: bool = False
    functions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    code: Mapping[str, str] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GroupsDescribed:
    """Groups are about to be tuned on rows with these digests.

    Attributes:
        digests: Digests of their rows, by the text of their keys.
    """

    digests: Mapping[str, str]
    at: float


@dataclass(frozen=True, slots=True)
class ClusterDescribed:
    """In mode `"shared"`: the data that all trials of a cluster are evaluated on.

    Attributes:
        cluster: The text of its `shared_by` values; None if an older Manyfit didn't record it.
        digests: For each group, by the text of its key: a digest of its rows, or how many rows it
            has, in words.
    """

    cluster: str | None
    digests: Mapping[str, str]
    at: float


@dataclass(frozen=True, slots=True)
class TrialScored:
    """In mode `"shared"`: a trial's loss for each group, recorded before the trial is told.

    It is written only for the first trial of a cluster and for trials better than all before.

    Attributes:
        cluster: The text of its `shared_by` values.
        number: The trial's number in the study of its cluster.
        losses: The loss of each group; smaller is better.
        rows: The number of rows of each group.
        excluded: Groups that failed in the first trial; the following trials ignore them.
    """

    cluster: str
    number: int
    losses: Mapping[str, float]
    rows: Mapping[str, int]
    at: float
    excluded: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class GroupEvaluated:
    """In mode `"transfer"`: one of the first groups was evaluated at the best params of others.

    Attributes:
        history: The trials of these params as JSON, `[[params, value or null, state], ...]`.
    """

    group: str
    history: str | None
    at: float


@dataclass(frozen=True, slots=True)
class GroupEnded:
    """The result of tuning one group, whether or not it succeeded.

    Later versions may add fields, each with a default that applies to older lines.

    Attributes:
        group: The text of its key, as `groups.record.keys.key_text` writes it.
        key: The values of its key columns: times and durations as whole numbers of the column's
            unit, decimals as text, bytes in base64 (see `CallStarted.keys`).
        state: `COMPLETE`, `FAIL`, or `BASELINE` if the baseline is the group's result.
        reason: Why it isn't complete, in one line; if it is complete, a problem that it had.
        rows: The number of its rows of data.
        params: The best trial's, in stored form; None where none completed.
        value: The tuned metric of the best trial; None where none completed.
        metrics: All metrics of the best trial.
        baseline: The tuned metric of the baseline; None where that failed.
        baseline_metrics: All metrics of the baseline.
        trials: The number of trials that ended.
        pruned: The number of these that were pruned.
        failed: The number of these that failed.
        seconds: Wall time in the worker.
        fit_seconds: The part of it that was spent in the user's functions.
        worker: The worker that tuned it.
        error: The class of the exception that made it fail; empty if there was none.
        traceback: The traceback of that exception, followed by the end of the trial's output.
        model: The position of its model in the call's file of models: the first byte, the number
            of bytes and their CRC-32. None if the file has no model of the group.
        model_path: The path of its model, if the model is a file of its own.
        history: All trials as JSON; None unless the call keeps trials.
    """

    group: str
    key: Sequence[Any]
    state: str
    at: float
    reason: str = ""
    rows: int = 0
    params: Mapping[str, Any] | None = None
    value: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    baseline: float | None = None
    baseline_metrics: Mapping[str, float] = field(default_factory=dict)
    trials: int = 0
    pruned: int = 0
    failed: int = 0
    seconds: float = 0.0
    fit_seconds: float = 0.0
    worker: str = ""
    error: str = ""
    traceback: str = ""
    model: Sequence[int] | None = None
    model_path: str | None = None
    history: str | None = None


@dataclass(frozen=True, slots=True)
class CallEnded:
    """A driver stopped, for this reason.

    Attributes:
        notes: Sentences about the result that users should read.
    """

    reason: str
    at: float
    notes: Sequence[str] = ()


GroupsEvent: TypeAlias = (
    CallCreated
    | CallStarted
    | GroupsDescribed
    | ClusterDescribed
    | TrialScored
    | GroupEvaluated
    | GroupEnded
    | CallEnded
)
