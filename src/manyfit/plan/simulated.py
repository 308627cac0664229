"""An objective that behaves like that of a study on record."""

import math

import numpy as np

from manyfit.advice.record import Record
from manyfit.plan.measured import Measured
from manyfit.samplers.cube import Array, Points
from manyfit.samplers.outcomes import cross_section, standardised
from manyfit.samplers.paths import Path, draw_paths
from manyfit.samplers.surrogate import MOST_LEARNED, fit
from manyfit.samplers.threads import one_thread
from manyfit.trial import Params, State, Trial

# Fewer trials than this say nothing about how durations depend on params.
_FEWEST = 8
# Curves longer than this are thinned: each report of each trial is an event of the simulated study.
_MOST_REPORTS = 25


class SimulatedObjective:
    """An objective whose values and durations are drawn at random, such that they fit a record.

    Values are those of a function drawn from the Gaussian process that `sampler="gp"` uses,
    conditioned on the trials (`samplers.paths`), and so are the logarithms of durations; with fewer
    than eight completed trials, every trial takes the median. A trial's curve is that of a recorded
    trial of about the same rank, moved to the trial's value, with 25 reports at most.

    Args:
        record: The ended trials.
        measured: Their costs.
        seed: Determines the functions.
    """

    def __init__(self, record: Record, measured: Measured, seed: int) -> None:
        self.space, self.metric, self.seed = record.space, record.metric, seed
        self._cube = record.cube
        rng = np.random.default_rng(seed)
        known = cross_section(record.losses, MOST_LEARNED)
        losses = record.losses[known]
        marks = standardised(losses)
        self._losses, self._marks = np.sort(losses), np.sort(marks)
        self._value = _drawn(record.points(known), marks, rng)
        completed = [n for n in known if record.trials[n].state is State.COMPLETE]
        trials = [record.trials[n] for n in completed]
        self._logs = np.array([_log(measured.seconds.get(t.number, 0.0)) for t in trials])
        self._duration: Path | None = None
        if len(completed) >= _FEWEST:
            points = record.points(np.array(completed))
            self._duration = _drawn(points, _scaled(self._logs), rng)
        self._curves = sorted((t for t in trials if t.measurements), key=self._loss_of)
        longest = max((len(t.attempts[-1].measurements) for t in self._curves), default=0)
        self._every = max(1, math.ceil(longest / _MOST_REPORTS))

    @property
    def has_curves(self) -> bool:
        """Whether trials report."""
        return bool(self._curves)

    def loss(self, params: Params) -> float:
        """Return the loss of params: a value of the metric, negated if it is maximised."""
        mark = float(self._value(self._point(params))[0, 0])
        return _extended(mark, self._marks, self._losses)

    def seconds(self, params: Params) -> float:
        """Return how long a trial with params runs to its end on an idle machine."""
        if self._duration is None:
            return math.exp(float(np.median(self._logs))) if len(self._logs) else 0.0
        mark = float(self._duration(self._point(params))[0, 0])
        low, high = self._logs.min(), self._logs.max()
        return math.exp(np.clip(_unscaled(mark, self._logs), low - 0.5, high + 0.5))

    def curve(self, loss: float) -> list[tuple[float, int, float]]:
        """Return the reports of a trial: the share of its time, the step, and the loss there."""
        if not self._curves:
            return []
        ranks = [self._loss_of(trial) for trial in self._curves]
        nearest = min(int(np.searchsorted(ranks, loss)), len(ranks) - 1)
        like = self._curves[nearest]
        attempt = like.attempts[-1]
        length = attempt.seconds or 1.0
        found = []
        for measurement in attempt.measurements[self._every - 1 :: self._every]:
            value = measurement.metrics.get(self.metric.name)
            if value is None or not math.isfinite(value):
                continue
            share = (measurement.at - attempt.started_at) / length
            moved = self.metric.loss(value) - ranks[nearest] + loss
            found.append((min(max(share, 0.0), 1.0), measurement.step, moved))
        return found

    def _point(self, params: Params) -> Points:
        return self._cube.points(self._cube.row(params)[None])

    def _loss_of(self, trial: Trial) -> float:
        return self.metric.loss(math.nan if trial.value is None else trial.value)


def _drawn(points: Points, marks: Array, rng: np.random.Generator) -> Path:
    with one_thread():
        return draw_paths(fit(points, marks), points, marks, 1, rng)


def _log(seconds: float) -> float:
    return math.log(max(seconds, 1e-3))


def _scaled(logs: Array) -> Array:
    return np.asarray((logs - logs.mean()) / (logs.std() or 1.0))


def _unscaled(mark: float, logs: Array) -> float:
    return float(mark * (logs.std() or 1.0) + logs.mean())


def _extended(mark: float, marks: Array, losses: Array) -> float:
    """Return the loss at a mark; better than all, it goes on as among the best half."""
    if mark >= marks[0] or len(marks) < 2:
        return float(np.interp(mark, marks, losses))
    middle = len(marks) // 2
    slope = (losses[middle] - losses[0]) / max(marks[middle] - marks[0], 1e-9)
    return float(losses[0] + slope * (mark - marks[0]))
