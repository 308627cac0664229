"""The sampler's Gaussian process of a study's trials, in the unit of the metric."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from manyfit.advice.record import Record
from manyfit.samplers.cube import Array
from manyfit.samplers.outcomes import cross_section
from manyfit.samplers.surrogate import MOST_LEARNED, Posterior, fit
from manyfit.samplers.threads import one_thread

# The completed trials that the model needs, and the trials that it is conditioned on at most.
FEWEST = 8
_MOST_HELD = 240
# Losses further above the third quartile than this many interquartile ranges count as that far.
_FAR = 2.0


class Model:
    """A Gaussian process of the metric over the space.

    Unlike the sampler's, its scale is linear, except that losses far above the others are cut off.

    Args:
        record: The ended trials, of which `FEWEST` have completed.
    """

    def __init__(self, record: Record) -> None:
        self._sign = 1.0 if record.metric.direction == "minimize" else -1.0
        self._cube = record.cube
        held = cross_section(record.losses, _MOST_HELD)
        losses = record.losses[held]
        first, third = np.quantile(losses, [0.25, 0.75])
        losses = np.minimum(losses, third + _FAR * (third - first))
        size = float(np.abs(losses).max()) or 1.0  # without it, squares of large ones overflow
        mean, deviation = (losses / size).mean(), (losses / size).std() or 1.0
        self._mean, self._scale = float(mean) * size, float(deviation) * size
        losses = (losses - self._mean) / self._scale
        points = record.points(held)
        learned = cross_section(losses, MOST_LEARNED)
        with one_thread():
            theta = fit(points[learned], losses[learned])
            self._posterior = Posterior(theta, points, losses, points[:0])

    def predict(self, configurations: Sequence[Mapping[str, Any]]) -> tuple[Array, Array]:
        """Return the mean and the standard deviation of the metric, without noise.

        Args:
            configurations: Stored params.
        """
        rows = np.array([self._cube.row(each) for each in configurations])
        with one_thread():
            mean, deviation = self._posterior.predict(self._cube.points(rows))
        return self._sign * (mean * self._scale + self._mean), deviation * self._scale
