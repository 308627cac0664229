"""Bayesian optimization with a Gaussian process: few trials, each where most is to be gained.

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
from manyfit.samplers.acquisition import candidates, log_expected_improvement
from manyfit.samplers.cube import Array, Cube, Points, Rows
from manyfit.samplers.earlier import Earlier
from manyfit.samplers.outcomes import Outcomes, cross_section, standardised
from manyfit.samplers.surrogate import MOST_LEARNED, Posterior, Theta, fit
from manyfit.samplers.threads import one_thread
from manyfit.samplers.transfer import Transfer
from manyfit.space import Choice, Space
from manyfit.trial import Params, Trial

# Trials before the model has a say, and how many of them must have completed.
_STARTUP = 6
_COMPLETED = 4
# So many more of both for each branch but the first: what two bad trials of a branch say of it, an
# early model would take for the last word.
_EACH_BRANCH = 2
# Sets these random numbers apart from those of other samplers that draw from (seed, number).
_STREAM = 0x6A05
# Configurations all over the space that are looked at: so many for each param, within bounds.
_EACH, _FEWEST, _MOST_POINTS = 100, 200, 2048
# A finite space that is no larger is looked at as a whole.
_SMALL = 1000
# So many trials the model holds.
_MOST_HELD = 400
# Of so many pending trials it keeps clear; where there are more, one proposal in as many times as
# that is the model's, and the others are quasi-random: they know little, and must not take long.
_MOST_PENDING = 128
# How often a kernel of one param is computed at most, in looking at configurations once and in
# learning: on that the time of a proposal depends.
_MOST_LOOKED_UP = 3_000_000
_MOST_COMPARED = 250_000
# The least improvement worth a trial, as a share of the losses' standard deviation over the space
# (the margin of Lizotte, "Practical Bayesian optimization", 2008). Without it, ever smaller gains
# in one branch keep a search from another one of which only bad points are known.
_GAIN = 0.003


class GPSampler:
    """Proposes the configuration from which the largest improvement is expected.

    It begins with the middle of the space, then a few quasi-random points. Then a Gaussian
    process is learned from what has ended (see `manyfit.samplers.surrogate`): failed, pruned and
    diverged trials inform it too (`Outcomes`), pending ones keep others away from where they are,
    and params that only some branches of the space have share what branches have in common
    (`Cube`). Its expected improvement is maximised by looking at points all over the space, then
    ever closer to the best of them (`candidates`). It doesn't repeat what has been tried.

    A proposal takes milliseconds at first, tens of them with hundreds of trials, and no longer as
    thousands come in: then the model holds the best trials and a cross-section of the others.

    The model has a say from the seventh trial on, and two later for each branch of the space but
    the first. As long as fewer than four (and two for each such branch) have completed, it goes on
    with quasi-random points, for ever if need be.

    With more than 128 pending trials, one proposal in so many is the model's, the others are
    quasi-random: so a thousand workers are kept busy, and the model still learns.

    Args:
        space: Where params come from.
        metric: What is tuned.
        seed: The study's seed.
        earlier: What other studies found, of the same space or one that overlaps (see `Transfer`).

    Example:
        >>> from manyfit.space import Float
        >>> from manyfit.testing.samplers import finished
        >>> sampler = GPSampler(Space({"x": Float(0.0, 1.0)}), Metric("loss"), seed=0)
        >>> for number in range(12):
        ...     params = sampler.ask(number)
        ...     loss = (params["x"] - 0.3) ** 2
        ...     sampler.tell(finished(number, params, loss))
        >>> loss < 1e-4
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
        self._learned: tuple[int, Theta] | None = None  # and from how many trials
        self._units = _quasi_random(self._cube.dimensions, seed)
        self._earlier = earlier

    def tell(self, trial: Trial) -> None:
        """Take in a pending or an ended trial."""
        self._tried.add(self._space.key(trial.params))
        self._pending.pop(trial.number, None)
        row = self._cube.row(trial.params)
        if trial.state.is_finished:
            self._outcomes.add(trial)
            self._rows.append(row)
        else:
            self._pending[trial.number] = row

    def ask(self, number: int, held: Params | None = None) -> Params | None:
        """Propose params for trial `number`; something tried only where nothing else is found.

        Args:
            number: The trial's number.
            held: Stored params that are given: the best of the others with these is proposed.
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
        # Not before the first proposal: a study makes a sampler once only to see that it can.
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
        posterior = Posterior(self._theta(), points, losses, self._points(pending))
        # Of pending ones too: what they are expected to bring is no improvement on them.
        best = float(posterior.expected.min()) - _GAIN
        if cube.is_held:  # what counts is the best of those that are still possible
            near = cube.held(np.concatenate([rows, cube.from_units(self._units[:_FEWEST])]))
            best = float(posterior.predict(self._points(near))[0].min()) - _GAIN

        def score(rows: Rows) -> Array:
            return log_expected_improvement(*posterior.predict(self._points(rows)), best)

        if self._space.size is not None and self._space.size <= _SMALL:
            grid = cube.grid
            return grid[np.argsort(-score(grid), kind="stable")]
        pairs = _MOST_LOOKED_UP // max(self._cube.dimensions, 1)
        count = min(max(_EACH * self._cube.dimensions, _FEWEST), _MOST_POINTS, pairs // len(rows))
        # A random shift (Cranley and Patterson, 1976) makes new points of the same even ones.
        units = (self._units[:count] + rng.random(self._cube.dimensions)) % 1.0
        incumbents = rows[np.argsort(posterior.expected[: len(rows)], kind="stable")]
        return candidates(cube, score, cube.from_units(units), incumbents, rng)

    def _theta(self) -> Theta:
        """Return the hyperparameters, learned anew whenever the trials have grown by a quarter.

        Of what ended until then, from the same start, so that a resumed study has the same ones.
        """
        count = len(self._rows)
        count -= count % max(1, 2 ** (count.bit_length() - 3))
        if self._learned is None or self._learned[0] != count:
            losses = self._outcomes.first_losses(count)
            pairs = _MOST_COMPARED // max(self._cube.dimensions, 1)
            used = cross_section(losses, min(MOST_LEARNED, int(math.sqrt(2 * pairs))))
            points = self._points(np.array(self._rows)[used])
            self._learned = count, fit(points, standardised(losses[used], points.votes()))
        return self._learned[1]

    def _points(self, rows: Rows) -> Points:
        return self._transfer.with_trends(self._cube.points(rows))


def _forks(space: Space) -> int:
    """Return how many branches the space has, not counting the first of each choice."""
    choices = [domain for domain in space.params.values() if isinstance(domain, Choice)]
    return sum(len(choice.branches) - 1 for choice in choices if choice.branches)


def _quasi_random(dimensions: int, seed: int) -> Array:
    """Return the points of a scrambled Sobol sequence; random ones beyond its dimensions."""
    rng = np.random.default_rng(seed)
    if 0 < dimensions <= qmc.Sobol.MAXDIM:
        return np.asarray(qmc.Sobol(dimensions, seed=rng).random(_MOST_POINTS))
    return rng.random((_MOST_POINTS, dimensions))
