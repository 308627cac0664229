"""Studies without a planted mistake, of the tasks of the search benchmark: is all advice true?

Each piece of advice is checked with what is known of the task: its losses at many random points,
and those of all studies. Facts about the trials themselves, as that the last hundred improved
nothing, need no check.
"""

import math
from collections.abc import Iterator
from itertools import combinations

import numpy as np
from benchmarks.advice.simulated import Plan, Training, run
from benchmarks.search import fits
from benchmarks.search.catalogue import make, makers
from benchmarks.search.tasks import Task, draws

from manyfit.advice.advice import Advice
from manyfit.advice.after import Findings
from manyfit.advice.record import Record
from manyfit.metric import Metric
from manyfit.trial import Params

# Tasks of which there are two studies; of all others there is one, which makes twenty.
_TWICE = ("hartmann6", "mixed")
_TRIALS, _DRAWS = 64, 4000
# A fit takes 50 ms, so a task of real fits is evaluated at fewer points.
_FITS = 200
# A param is idle, or a pair joint, if its share is below, or above, this.
_IDLE, _JOINT = 0.03, 0.05
# The loss of a failed trial, for the shares.
_FAILED = 3.0


def plan_of(task: Task) -> Plan:
    """Return a study whose trials take random times."""

    def train(params: Params, seed: int, number: int) -> Training:
        value = task.loss(params)
        seconds = float(np.random.default_rng((seed, number)).lognormal(0.0, 0.3))
        return Training({} if math.isnan(value) else {"loss": value}, seconds=seconds)

    return Plan(task.space, train, _TRIALS, Metric("loss"))


class Known:
    """What is known of a task.

    Args:
        task: The task.
    """

    def __init__(self, task: Task) -> None:
        self._task, self._space = task, task.space
        count = _FITS if task.name in fits.makers() else _DRAWS
        self._params = list(draws(task.space, count))
        self._losses = np.array([self._loss(params) for params in self._params])
        self._variance = self._losses.var()

    def _loss(self, params: Params) -> float:
        value = self._task.judged(params)
        return _FAILED if math.isnan(value) else value

    def is_true(self, advice: Advice, record: Record) -> bool:
        """Return whether advice is true of the task."""
        match advice.code:
            case "edge":
                return self._is_better_at_edge(advice, record)
            case "no-effect":
                return self.share(*advice.params) < _IDLE
            case "interaction":
                return self.share(*advice.params) > _JOINT
            case "ended-early":
                best = self._task.judged(record.completed[0].params)
                return self._task.scale().regret(best) > 0.02
            case "noise":
                return self._task.true is not None
        return advice.code == "flat"

    def _is_better_at_edge(self, advice: Advice, record: Record) -> bool:
        """Return whether the leaders' losses are lower at the edge than a quarter inside."""
        name, is_upper = advice.params[0], "upper edge" in advice.message
        domain = self._space.params[name]
        leaders = [trial.params for trial in record.completed if name in trial.params][:5]
        ends = (1.0, 0.75) if is_upper else (0.0, 0.25)
        edge, inside = (
            np.mean([self._loss({**params, name: domain.decode(place)}) for params in leaders])
            for place in ends
        )
        return bool(edge < inside)

    def share(self, *names: str) -> float:
        """Return the share of variance of a param or a pair, by changing it at random points."""
        total = []
        for params, other in zip(self._params[::2], self._params[1::2], strict=True):
            mixed = 0.0
            for count in range(len(names) + 1):
                for changed in combinations(names, count):
                    mixed += (-1) ** count * self._with(params, other, changed)
            total.append(mixed**2 / 2 ** len(names))
        return float(np.mean(total) / self._variance)

    def _with(self, params: Params, other: Params, names: tuple[str, ...]) -> float:
        one, two = self._space.encode(params), self._space.encode(other)
        columns = [list(self._space.params).index(name) for name in names]
        one[columns] = two[columns]
        return self._loss(self._space.decode(np.nan_to_num(one, nan=0.5)))


def studies(first: int) -> Iterator[tuple[str, int]]:
    """Yield the twenty studies, with seeds from the first one on."""
    for name in makers():
        for seed in range(2 if name in _TWICE else 1):
            yield name, first + seed


def main(first: int) -> None:
    """Print what is said about each study, and whether it is true."""
    false = 0
    for name, seed in studies(first):
        task = make(name)
        record = run(plan_of(task), seed)
        said = Findings(record).advice
        known = Known(task) if said else None
        print(f"{name} {seed}: {len(said)} said")
        for advice in said:
            true = known is not None and known.is_true(advice, record)
            false += not true
            print(f"    {'true ' if true else 'FALSE'} {advice.code}: {advice.message}", flush=True)
    print(f"{false} false")
