"""What can happen in a call of `tune_groups`, as frozen values; `manyfit.events` writes them.

The journal of a call begins with `CallCreated`. Each driver that takes it over writes a
`CallStarted`; rows up to the next one are its work. Of several rows of a group, the last counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class CallCreated:
    """The first line: what is tuned, by which groups, and all that must never change.

    Attributes:
        holdout: How the rows of a group are split, in words; None where the objective does it.
        aggregate: In mode `"shared"`, what is tuned over groups; None in other modes.
        group_timeout: Seconds a group; None for no limit.
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
    """A driver took the call over; what may differ from driver to driver.

    Attributes:
        keys: The types of the key columns, by name, as Arrow writes them.
        n_trials: How many trials a group has; None where only time limits them.
        output: Where rows are written, models included; empty if nowhere.
        models: Whether models are kept; in the output alone where there is one and no folder.
        model_folder: The folder or URL that models go to; empty if there is none.
        trials: Whether the trials of each group are kept.
        functions: Digests of the objective, and of a baseline, by name (see `fingerprint`); empty
            where an older Manyfit didn't note them, which then holds for all that follows here.
        settings: Digests of what else says how groups are tuned.
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


@dataclass(frozen=True, slots=True)
class GroupsDescribed:
    """Groups are about to be tuned on these rows.

    Attributes:
        digests: Digests of their rows, by the text of their keys.
    """

    digests: Mapping[str, str]
    at: float


@dataclass(frozen=True, slots=True)
class ClusterDescribed:
    """In mode `"shared"`: what the trials of a cluster are judged on, from the first to the last.

    Attributes:
        cluster: The text of its `shared_by` values; None where an older Manyfit didn't note it.
        digests: Digests of its groups' rows, or their numbers in words, by the text of their keys.
    """

    cluster: str | None
    digests: Mapping[str, str]
    at: float


@dataclass(frozen=True, slots=True)
class TrialScored:
    """In mode `"shared"`: what a trial gave for each group, on record before the trial is told.

    Only the first trial of a cluster, and trials better than all before, are scored.

    Attributes:
        cluster: The text of its `shared_by` values.
        number: The trial's number in the study of its cluster.
        losses: By group, smaller is better.
        rows: How many rows each group has.
        excluded: Groups that fail whatever the params, and count no more; the first trial says so.
    """

    cluster: str
    number: int
    losses: Mapping[str, float]
    rows: Mapping[str, int]
    at: float
    excluded: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class GroupEvaluated:
    """In mode `"transfer"`: one of the first groups was tried at what was best for others.

    Attributes:
        history: Its trials as JSON, `[[params, value or null, state], ...]`.
    """

    group: str
    history: str | None
    at: float


@dataclass(frozen=True, slots=True)
class GroupEnded:
    """How tuning one group went. A group that failed is told like the others.

    Later versions may add fields, each with a default, which older lines then have.

    Attributes:
        group: The text of its key, as `groups.record.keys.key_text` writes it.
        key: The values of its key columns: times and durations as whole numbers of the column's
            unit, decimals as text, bytes in base64 (see `CallStarted.keys`).
        state: `COMPLETE`; `BASELINE`: what the group has is its baseline; `FAIL`.
        reason: Why it isn't complete, in one line; or, if it is, what went wrong all the same.
        rows: How many rows of data it has.
        params: The best trial's, in stored form; None where none completed.
        value: The tuned metric of the best trial; None where none completed.
        metrics: All metrics of the best trial.
        baseline: The tuned metric of the baseline; None where that failed.
        baseline_metrics: All metrics of the baseline.
        trials: How many trials ended; of them `pruned` and `failed`.
        seconds: Wall time in the worker.
        fit_seconds: Of these, the time in the user's functions.
        worker: Where it ran.
        error: The class of the exception that made it fail; empty if there was none.
        traceback: That exception's, and below it the end of what the trial printed.
        model: Where the call's file of models has its model: the first byte, how many there are,
            and their CRC-32. None if none is kept there.
        model_path: Where its model is kept, if elsewhere.
        history: All trials as JSON; None unless asked for.
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
    """A driver stopped, and why.

    Attributes:
        notes: What people should know of the result, in sentences.
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
