"""Warm start: what earlier studies found, where this one can use it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from manyfit.samplers.cube import Cube, Points, Rows
from manyfit.samplers.earlier import FEWEST, Earlier
from manyfit.samplers.outcomes import cross_section, standardised
from manyfit.samplers.surrogate import MOST_LEARNED, Posterior, fit

# More trials than so many are thinned out.
_MOST = 200
# With how many of the best configurations of earlier studies a study begins.
_FIRST = 2


class Transfer:
    """The trends of earlier studies, and their best configurations.

    Each study is learned by a Gaussian process of its own. What that expects of a configuration is
    a trend of the new study's model (see `manyfit.samplers.surrogate`), which finds out by itself
    how much of it holds.

    Args:
        cube: The rows of the new study's space.
        earlier: Studies; one of fewer than five trials is passed over.

    Attributes:
        best: Rows to begin with: what is best for all studies together, then the best of each in
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
        """Return the configuration of which all studies together expect most."""
        expected = self.with_trends(cube.points(rows)).trends.sum(axis=1)
        best: Rows = rows[np.argmin(expected)]
        return best

    def with_trends(self, points: Points) -> Points:
        """Return points with what each study expects there, in its own standardised units."""
        if not self._models:
            return points
        return replace(
            points, trends=np.stack([m.predict(points)[0] for m in self._models], axis=1)
        )


def _model(cube: Cube, rows: Rows, losses: Rows) -> Posterior:
    held = cross_section(losses, _MOST)
    points, losses = cube.points(rows[held]), standardised(losses[held])
    used = cross_section(losses, MOST_LEARNED)
    theta = fit(points[used], losses[used])
    return Posterior(theta, points, losses, points[:0])
