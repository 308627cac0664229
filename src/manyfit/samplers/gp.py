"""Bayesian optimization with a Gaussian process, for studies of few, expensive trials.

::

    trials ─► outcomes ─► losses ─┐
       └────► cube ─────► points ─┴─► surrogate ─► mean, deviation ─► acquisition ─► params
"""

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from scipy.stats import qmc

from manyfit.metric import Metric
from manyfit.samplers.acquisition import candidates, log_augmentation, log_expected_improvement
from manyfit.samplers.cube import Array, Cube, Points, Rows
from manyfit.samplers.earlier import Earlier
from manyfit.samplers.outcomes import Outcomes, cross_section, standardised
from manyfit.samplers.surrogate import MOST_LEARNED, SEARCHING, Posterior, Theta, fit
from manyfit.samplers.threads import one_thread
from manyfit.samplers.transfer import Transfer
from manyfit.space import Choice, Space
from manyfit.trial import Params, Trial

# The model proposes after this many trials, once this many of them have completed.
_STARTUP = 6
_COMPLETED = 4
# Both numbers grow by this for every branch but the first. An earlier model would give a branch up
# after two bad trials.
_EACH_BRANCH = 2
# Separates these random numbers from those of other samplers that draw from (seed, number).
_STREAM = 0x6A05
# The number of configurations scored all over the space: per param, at least, at most.
_EACH, _FEWEST, _MOST_POINTS = 100, 200, 2048
# In a finite space of at most this many configurations, all of them are scored.
_SMALL = 1000
# The model is conditioned on at most this many trials.
_MOST_HELD = 400
# The model avoids at most this many pending trials. With k times as many pending, the model makes
# one proposal in k; the others are quasi-random, because they know little and must be fast.
_MOST_PENDING = 128
# The most evaluations of the kernel in scoring configurations from all over the space, and of the
# distance in one param in learning. They determine the time of a proposal.
_MOST_SCORED = 50_000
_MOST_COMPARED = 250_000
# The least improvement worth a trial, as a share of the losses' standard deviation over the space
# (the margin of Lizotte, "Practical Bayesian optimization", 2008). Without it, ever smaller gains
# in one branch keep the search away from another in which only bad points are known.
_GAIN = 0.003


class GPSampler:
    """Proposes the configuration from which the largest improvement is expected.

    It begins with the middle of the space, then a few quasi-random points. After these, a Gaussian
    process is fitted to the ended trials (see `manyfit.samplers.surrogate`). Failed, pruned and
    diverged trials inform it too (`Outcomes`), pending trials keep proposals away from their
    neighbourhood, and trials of different branches share the params that the branches have in
    common (`Cube`). Expected improvement is maximised over points from the whole space, then over
    points ever closer to the best of them (`candidates`). No configuration is proposed twice.

    A proposal takes milliseconds at first and tens of milliseconds with hundreds of trials. It
    takes no longer with thousands: the model then holds the best trials and a cross-section of the
    others.

    The model proposes from the seventh trial on, and two trials later for each branch of the space
    but the first. While fewer than four trials (and two for each such branch) have completed,
    proposals stay quasi-random.

    With k times 128 pending trials, the model makes one proposal in k, and the others are
    quasi-random: this keeps a thousand workers busy while the model still learns.

    Args:
        space: The space to search.
        metric: The metric to tune.
        seed: The study's seed.
        earlier: Results of other studies of the same or an overlapping space (see `Transfer`).

    Example:
        >>> from manyfit.space import Float
        >>> from manyfit.testing.samplers import finished
        >>> sampler = GPSampler(Space({"x": Float(0.0, 1.0)}), Metric("loss"), seed=0)
        >>> losses = []
        >>> for number in range(12):
        ...     params = sampler.ask(number)
        ...     losses.append((params["x"] - 0.3) ** 2)
        ...     sampler.tell(finished(number, params, losses[-1]))
        >>> min(losses) < 1e-4
        True
    """

    def __init__(
        self, space: Space, metric: Metric, seed: int, earlier: Sequence[Earlier] = ()
    ) -> None:
        self._space = space
        self._seed = seed
        self._cube = Cube(space)
        self._patience = _EACH_BRANCH * _forks(space)
        self._outcomes = Outcomes(metric)
        self._rows: list[Rows] = []  # of ended trials
        self._pending: dict[int, Rows] = {}
        self._tried: set[str] = set()
        self._learned: tuple[int, Theta] | None = None  # the number of trials, and the result
        self._units = _quasi_random(self._cube.dimensions, seed)
        self._earlier = earlier

    def tell(self, trial: Trial) -> None:
        self._tried.add(self._space.key(trial.params))
        self._pending.pop(trial.number, None)
        row = self._cube.row(trial.params)
        if trial.state.is_finished:
            self._outcomes.add(trial)
            self._rows.append(row)
        else:
            self._pending[trial.number] = row

    def ask(self, number: int, held: Params | None = None) -> Params | None:
        """Propose params for trial `number`; a repeat only if nothing else is found.

        Args:
            number: The trial's number.
            held: Stored params to keep fixed: only the others are chosen.
        """
        cube = self._cube.holding(held) if held else self._cube
        known = len(self._rows) + len(self._pending)
        crowd = -(-len(self._pending) // _MOST_PENDING)
        known -= self._patience
        completed = self._outcomes.completed - self._patience
        if known < _STARTUP or completed < _COMPLETED or (crowd > 1 and number % crowd):
            return self._first_params(number, cube)
        rng = np.random.default_rng((self._seed, number, _STREAM))
        with one_thread():
            rows = self._best_rows(rng, cube)
        for row in rows:
            params = self._cube.params(row)
            if self._space.key(params) not in self._tried:
                return params
        return self._first_params(number, cube)

    def _first_params(self, number: int, cube: Cube) -> Params:
        """Return the best of earlier studies, the middle of the space, then quasi-random points."""
        middle = np.full((1, cube.dimensions), 0.5)
        for row in [*self._transfer.best, cube.from_units(middle)[0]]:
            params = cube.params(row)
            if self._space.key(params) not in self._tried:
                return params
        units = self._units[number % len(self._units)]
        return cube.params(cube.from_units(units[None])[0])

    @cached_property
    def _transfer(self) -> Transfer:
        # Deferred to the first proposal: a study also makes a sampler just to check its arguments.
        with one_thread():
            return Transfer(self._cube, self._earlier)

    # ── with a model ──────────────────────────────────────────────────────────────────────────

    def _best_rows(self, rng: np.random.Generator, cube: Cube) -> Rows:
        """Return configurations, the most promising first."""
        losses = self._outcomes.losses()
        held = cross_section(losses, _MOST_HELD)
        rows = np.array(self._rows)[held]
        points = self._points(rows)
        losses = standardised(losses[held], points.votes())
        latest = [*self._pending.values()][-_MOST_PENDING:]
        pending = np.reshape(latest, (len(latest), rows.shape[1]))
        theta = self._theta()
        posterior = Posterior(theta, points, losses, self._points(pending))
        # Pending trials count: their expected losses are already on the way.
        best = float(posterior.expected.min()) - _GAIN
        if cube.is_held:  # improve on the best configuration that has the held params
            near = cube.held(np.concatenate([rows, cube.from_units(self._units[:_FEWEST])]))
            best = float(posterior.predict(self._points(near))[0].min()) - _GAIN

        def score(rows: Rows) -> Array:
            mean, deviation = posterior.predict(self._points(rows))
            gain = log_expected_improvement(mean, deviation, best)
            return gain + log_augmentation(deviation, theta.variances[-1])

        if self._space.size is not None and self._space.size <= _SMALL:
            grid = cube.grid
            return grid[np.argsort(-score(grid), kind="stable")]
        most = min(_MOST_POINTS, _MOST_SCORED // len(rows))
        count = min(max(_EACH * self._cube.dimensions, _FEWEST), most)
        # A random shift (Cranley and Patterson, 1976) turns the same even points into new ones.
        units = (self._units[:count] + rng.random(self._cube.dimensions)) % 1.0
        incumbents = rows[np.argsort(posterior.expected[: len(rows)], kind="stable")]
        return candidates(cube, score, cube.from_units(units), incumbents, rng)

    def _theta(self) -> Theta:
        """Return the hyperparameters, relearned whenever the trials have grown by a quarter.

        Learning uses the trials that had ended at that point and always begins at the same values,
        so a resumed study gets the same hyperparameters.
        """
        count = len(self._rows)
        count -= count % max(1, 2 ** (count.bit_length() - 3))
        if self._learned is None or self._learned[0] != count:
            losses = self._outcomes.first_losses(count)
            pairs = _MOST_COMPARED // max(self._cube.dimensions, 1)
            used = cross_section(losses, min(MOST_LEARNED, int(math.sqrt(2 * pairs))))
            points = self._points(np.array(self._rows)[used])
            losses = standardised(losses[used], points.votes())
            self._learned = count, fit(points, losses, SEARCHING)
        return self._learned[1]

    def _points(self, rows: Rows) -> Points:
        return self._transfer.with_trends(self._cube.points(rows))


def startup(space: Space) -> int:
    """Return the number of trials that are proposed before the model is."""
    return _STARTUP + _EACH_BRANCH * _forks(space)


def _forks(space: Space) -> int:
    """Return the number of branches of the space, not counting the first of each choice."""
    choices = [domain for domain in space.params.values() if isinstance(domain, Choice)]
    return sum(len(choice.branches) - 1 for choice in choices if choice.branches)


def _quasi_random(dimensions: int, seed: int) -> Array:
    """Return points of a scrambled Sobol sequence; random ones if it lacks the dimensions."""
    rng = np.random.default_rng(seed)
    if 0 < dimensions <= qmc.Sobol.MAXDIM:
        return np.asarray(qmc.Sobol(dimensions, seed=rng).random(_MOST_POINTS))
    return rng.random((_MOST_POINTS, dimensions))
