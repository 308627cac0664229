"""Warm start: use the results of earlier studies of the same or an overlapping space."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from manyfit.samplers.cube import Cube, Points, Rows
from manyfit.samplers.earlier import FEWEST, Earlier
from manyfit.samplers.outcomes import cross_section, standardised
from manyfit.samplers.surrogate import MOST_LEARNED, SEARCHING, Posterior, fit

# A study with more trials is thinned out to this many.
_MOST = 200
# A study begins with this many of the best configurations of earlier studies.
_FIRST = 2


class Transfer:
    """The trends of earlier studies, and their best configurations.

    Each earlier study is learned by a Gaussian process of its own, whose predictions are a trend of
    the new study's model (see `manyfit.samplers.surrogate`). That model learns how much weight to
    give each trend.

    Args:
        cube: The rows of the new study's space.
        earlier: Earlier studies; one of fewer than five trials is ignored.

    Attributes:
        best: Rows to begin with: the best one for all studies together, then the best of each in
            turn.

    Example:
        >>> from manyfit.space import Float, Space
        >>> cube = Cube(Space({"x": Float(0.0, 1.0)}))
        >>> xs = [0.0, 0.2, 0.4, 0.6, 0.8]
        >>> transfer = Transfer(cube, [Earlier([{"x": x} for x in xs], [2, 1, 0, 1, 2])])
        >>> transfer.best[0].tolist()
        [0.4]
    """

    def __init__(self, cube: Cube, earlier: Sequence[Earlier]) -> None:
        self._models: list[Posterior] = []
        ranked: list[Rows] = []
        for study in earlier:
            if len(study.losses) < FEWEST:
                continue
            rows = np.array([cube.row(params) for params in study.params])
            losses = np.array(study.losses, dtype=np.float64)
            self._models.append(_model(cube, rows, losses))
            ranked.append(rows[np.argsort(losses, kind="stable")])
        turns = [rows[place] for place in range(_FIRST) for rows in ranked if place < len(rows)]
        if len(ranked) > 1:
            turns.insert(0, self._best_for_all(cube, np.concatenate(ranked)))
        self.best: list[Rows] = turns[:_FIRST]

    def _best_for_all(self, cube: Cube, rows: Rows) -> Rows:
        """Return the configuration with the lowest expected loss, summed over all studies."""
        expected = self.with_trends(cube.points(rows)).trends.sum(axis=1)
        best: Rows = rows[np.argmin(expected)]
        return best

    def with_trends(self, points: Points) -> Points:
        """Return points with each study's prediction there, in its own standardised units."""
        if not self._models:
            return points
        return replace(
            points, trends=np.stack([m.predict(points)[0] for m in self._models], axis=1)
        )


def _model(cube: Cube, rows: Rows, losses: Rows) -> Posterior:
    held = cross_section(losses, _MOST)
    points, losses = cube.points(rows[held]), standardised(losses[held])
    used = cross_section(losses, MOST_LEARNED)
    theta = fit(points[used], losses[used], SEARCHING)
    return Posterior(theta, points, losses, points[:0])
