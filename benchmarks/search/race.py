"""One study in virtual time: some trials in flight, each of a random duration, none waited for."""

import heapq
import math
import time
from dataclasses import astuple, dataclass

import numpy as np
from benchmarks.search.catalogue import make
from benchmarks.search.contenders import CONTENDERS

from manyfit.trial import Params


@dataclass(frozen=True)
class Cell:
    """Which study it is."""

    task: str
    contender: str
    in_flight: int
    n_trials: int
    seed: int

    def __str__(self) -> str:
        return " ".join(map(str, astuple(self)))


@dataclass(frozen=True)
class Run:
    """What a study came to.

    Args:
        curve: After each finished trial, the loss that counts of the trial with the lowest loss so
            far; infinite while none has completed.
        seconds: Of the process's CPU for asking and telling each trial, in the order of numbers.
        failed: The number of trials that failed.
    """

    curve: list[float]
    seconds: list[float]
    failed: int = 0


class Clock:
    """CPU seconds of this process, all threads together, by trial."""

    def __init__(self, count: int) -> None:
        self.seconds = [0.0] * count

    def charge(self, number: int, began: float) -> None:
        self.seconds[number] += time.process_time() - began


def duration(seed: int, number: int) -> float:
    """Return how long a trial takes, whoever proposed it."""
    return float(np.random.default_rng((seed, number)).lognormal(0.0, 0.3))


def play(cell: Cell) -> tuple[Cell, Run]:
    """Play a study."""
    task, clock = make(cell.task), Clock(cell.n_trials)
    contender = CONTENDERS[cell.contender](task.space, cell.seed, cell.n_trials)
    running: list[tuple[float, int]] = []
    params: dict[int, Params] = {}
    curve: list[float] = []
    lowest = judged = math.inf
    now, asked, failed = 0.0, 0, 0
    while len(curve) < cell.n_trials:
        while len(running) < cell.in_flight and asked < cell.n_trials:
            began = time.process_time()
            params[asked] = contender.ask(asked)
            clock.charge(asked, began)
            heapq.heappush(running, (now + duration(cell.seed, asked), asked))
            asked += 1
        now, number = heapq.heappop(running)
        loss = task.measured(params[number], number)
        failed += not math.isfinite(loss)
        if loss < lowest:
            lowest, judged = loss, task.judged(params[number])
        curve.append(judged)
        began = time.process_time()
        contender.tell(number, params[number], loss if math.isfinite(loss) else None)
        clock.charge(number, began)
    return cell, Run(curve, clock.seconds, failed)
