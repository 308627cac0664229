"""What a worker is given: the work, once, and a task for each attempt."""

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from manyfit._redact import is_secret_name, secret_values
from manyfit.metric import Metric
from manyfit.space import Space
from manyfit.trial import Params

Objective: TypeAlias = Callable[[dict[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one trial may use.

    Attributes:
        seconds: Wall time of an attempt; None for no limit.
        memory: Bytes that the worker's whole process tree holds (see `tree_memory`); None for no
            limit.
        cpus: Threads for each of the worker's pools (BLAS, OpenMP, TensorFlow, XLA).
    """

    seconds: float | None = None
    memory: int | None = None
    cpus: int = 1


@dataclass(frozen=True, slots=True)
class Work:
    """What every trial of a study shares, sent to a worker once.

    Attributes:
        objective: Takes the params as one dict, returns a number or a dict of metrics.
        space: Turns stored params into what the objective receives.
        metric: Checks what the objective returned.
        study: The study's name.
        folder: The study's folder, absolute; logs go to `folder/logs`, scratch to `folder/scratch`.
        limits: What one trial may use.
        n_trials: How many there are at most, so that nobody makes ready for more; or None.
    """

    objective: Objective
    space: Space
    metric: Metric
    study: str
    folder: Path
    limits: Limits = Limits()
    n_trials: int | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """One attempt at one trial: plain data, safe to send as JSON.

    Attributes:
        number: The trial's number.
        attempt: Counts from 1 within the trial.
        params: In stored form (see `Space.store`).
        seed: Derived from the study's seed and the trial's number; the same for every attempt.
        env: Environment variables to set while it runs.
    """

    number: int
    attempt: int
    params: Params
    seed: int
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Site:
    """Where and how a worker process works: what has to be known before the work is unpacked.

    Attributes:
        folder: Stands in for the study's folder: logs go to `folder/logs`.
        limits: What one trial may use.
        env: Environment variables that the process gets on top of its parent's.
        path: Folders that it imports from before all others.
        name: Names the place, for people; by default the machine.
    """

    folder: Path
    limits: Limits = Limits()
    env: Mapping[str, str] = field(default_factory=dict)
    path: tuple[str, ...] = ()
    name: str = field(default_factory=socket.gethostname)


def secrets_of(work: Work, task: Task) -> tuple[str, ...]:
    """Return what must stay out of a task's output: values that environment or params name so."""
    return (*secret_values({**os.environ, **task.env}), *secret_params(work, task))


def secret_params(work: Work, task: Task) -> tuple[str, ...]:
    """Return the values of a task's params whose names say that they are secret."""
    params = work.space.look_up(task.params)
    texts = {name: value for name, value in params.items() if isinstance(value, str)}
    return secret_values(texts) if any(map(is_secret_name, texts)) else ()
