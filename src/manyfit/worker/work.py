"""What a worker receives: the work, once, and a task for each attempt."""

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, TypedDict

from manyfit._redact import is_secret_name, secret_values
from manyfit.metric import Metric
from manyfit.space import Space
from manyfit.trial import Params

Objective: TypeAlias = Callable[[dict[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class Limits:
    """The resources that one trial may use.

    Attributes:
        seconds: The wall time of an attempt; None for no limit.
        memory: The bytes that the worker's whole process tree may hold (see `tree_memory`); None
            for no limit.
        cpus: The number of threads of each pool (BLAS, OpenMP, TensorFlow, XLA).
    """

    seconds: float | None = None
    memory: int | None = None
    cpus: int = 1


@dataclass(frozen=True, slots=True)
class Work:
    """What all trials of a study have in common, sent to a worker once.

    Attributes:
        objective: Takes the params as one dict, returns a number or a dict of metrics.
        space: Turns stored params into what the objective receives.
        metric: Checks what the objective returned.
        study: The study's name.
        folder: The study's folder, absolute; it contains `logs` and `scratch`.
        limits: The resources that one trial may use.
        n_trials: The largest possible number of trials, so that no more slots are prepared; or
            None.
    """

    objective: Objective
    space: Space
    metric: Metric
    study: str
    folder: Path
    limits: Limits = Limits()
    n_trials: int | None = None


class Exchange(TypedDict):
    """Files that go with a task and come back; `worker.exchange` has their paths.

    Attributes:
        needs: Manifests of the shared data that its machine must have, besides those of the work.
        gone: Digests of shared data that no task needs any more.
    """

    needs: list[dict[str, Any]]
    gone: list[str]


@dataclass(frozen=True, slots=True)
class Task:
    """One attempt of one trial: plain data, safe to send as JSON.

    Attributes:
        number: The trial's number.
        attempt: The attempt's number in the trial, from 1.
        params: Stored params (see `Space.store`).
        seed: A seed derived from the study's seed and the trial's number; the same for every
            attempt.
        env: Environment variables to set while it runs.
        exchange: The files that go with it and come back; None for an objective that is told all
            in `params`, and returns only metrics.
        domains: Records of the domains that are known, for an objective that asks for its params
            as it runs.
    """

    number: int
    attempt: int
    params: Params
    seed: int
    env: Mapping[str, str] = field(default_factory=dict)
    exchange: Exchange | None = None
    domains: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Site:
    """The location and settings of a worker process, needed before the work is unpickled.

    Attributes:
        folder: The study's folder on this machine; logs go to `folder/logs`.
        limits: The resources that one trial may use.
        env: Environment variables of the process, in addition to its parent's.
        path: Folders at the front of its import path.
        name: The name of the location; by default that of the machine.
    """

    folder: Path
    limits: Limits = Limits()
    env: Mapping[str, str] = field(default_factory=dict)
    path: tuple[str, ...] = ()
    name: str = field(default_factory=socket.gethostname)


def secrets_of(work: Work, task: Task) -> tuple[str, ...]:
    """Return the values to redact in a task's output: secrets of its environment and params."""
    return (*secret_values({**os.environ, **task.env}), *secret_params(work, task))


def secret_params(work: Work, task: Task) -> tuple[str, ...]:
    """Return the values of a task's params with names of secrets."""
    params = work.space.look_up(task.params)
    texts = {name: value for name, value in params.items() if isinstance(value, str)}
    return secret_values(texts) if any(map(is_secret_name, texts)) else ()
