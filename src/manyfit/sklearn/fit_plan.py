"""Plans what the trials of a search share, before any of them runs."""

import math
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from manyfit.front_plan import FrontPlan
from manyfit.prefixes import Demand, Shelf
from manyfit.sklearn.fit_keys import front_keys, why_not_shared
from manyfit.sklearn.fits import FrontSharing, paths_of
from manyfit.space import Space
from manyfit.trial import Params
from manyfit.worker.limits import machine_memory

# The share of the free disk space, and of the memory, that fronts may take by default.
_SHARE = 0.25
# Larger spaces aren't listed: a sampler chooses from them, and this many draws show how.
_MOST_LISTED = 500
_DRAWS = 32
# A front is shared if this many trials at least are expected to need it.
_EXPECTED = 1.5


def default_budget() -> int:
    """Return the bytes for fronts: a quarter of the free disk space, or of the memory if less."""
    free = shutil.disk_usage(tempfile.gettempdir()).free
    return int(_SHARE * min(free, machine_memory()[0]))


@dataclass(frozen=True)
class Fronts:
    """The fronts of candidates: of all of them, or of some that were drawn at random.

    Attributes:
        keys: The keys of the steps of each candidate's front.
        n_trials: The number of trials.
        are_all: Whether these candidates are the trials.
        unseeded: Why fewer are shared than could be, if that is for want of a seed.

    Example:
        >>> fronts = Fronts([("a", "b"), ("a", "c"), ("a", "c")], n_trials=3, are_all=True)
        >>> fronts.forks, fronts.are_shared
        ([1, 2], True)
    """

    keys: Sequence[tuple[str, ...]]
    n_trials: int
    are_all: bool
    unseeded: str = ""

    @classmethod
    def of(
        cls, space: Space, configured: Callable[[Params], Any], n_trials: int, *, in_order: bool
    ) -> "Fronts":
        """Return the fronts in a space.

        Args:
            space: The space.
            configured: Returns the estimator for the params of a trial.
            n_trials: The number of trials.
            in_order: Whether trials follow the grid of the space.
        """
        size = space.size
        are_all = size is not None and n_trials <= _MOST_LISTED and (in_order or size <= n_trials)
        if are_all:
            points = [space.at(index) for index in range(n_trials)]
        else:
            rng = np.random.default_rng(0)
            points = [space.sample(rng) for _ in range(_DRAWS)]
        found = [configured(point) for point in points]
        keys = [front_keys(each) for each in found]
        return cls(keys, n_trials, are_all, cls._unseeded(found, keys, n_trials, are_all))

    @classmethod
    def _unseeded(
        cls, found: Sequence[Any], keys: Sequence[tuple[str, ...]], n_trials: int, are_all: bool
    ) -> str:
        seeded = [front_keys(each, if_seeded=True) for each in found]
        longer = [index for index, each in enumerate(keys) if len(seeded[index]) > len(each)]
        n_longer = round(n_trials * len(longer) / max(len(found), 1))
        now = cls([keys[index] for index in longer], n_longer, are_all)
        then = cls([seeded[index] for index in longer], n_longer, are_all)
        if max(then.shared, default=0) <= max(now.shared, default=0):
            return ""
        return why_not_shared(found[longer[0]])

    @property
    def forks(self) -> list[int]:
        """The lengths of fronts that several candidates have, and after which they differ."""
        return [length for length in range(1, self._longest + 1) if self._is_fork(length)]

    @property
    def are_shared(self) -> bool:
        """Whether some front is expected to be needed by several trials."""
        return bool(self.shared)

    @property
    def shared(self) -> list[int]:
        """The lengths of fronts that several trials are expected to need."""
        if self.are_all:
            return self.forks
        expected = {length: 1 + (self.n_trials - 1) / n for length, n in self.variants.items()}
        return [length for length, trials in expected.items() if trials >= _EXPECTED]

    @property
    def variants(self) -> dict[int, float]:
        """The number of equally likely fronts by length; infinite if the candidates are all."""
        return {
            length: math.inf if self.are_all else self._variants(length) for length in self.forks
        }

    def sharing(
        self, rows: str, *, folds: int, budget: int, train_scores: bool = False
    ) -> FrontSharing:
        """Return how the trials share these fronts.

        Args:
            rows: A digest of the rows, the folds, and what else is given to fits.
            folds: The number of folds.
            budget: The bytes for fronts on each machine.
            train_scores: Whether the training rows are scored, too.
        """
        plan = FrontPlan(self._demand(rows, folds), Shelf(budget))
        token = f"fits-{os.getpid()}-{os.urandom(8).hex()}"
        return FrontSharing(
            token, plan, rows, folds=folds, variants=self.variants, train_scores=train_scores
        )

    def _demand(self, rows: str, folds: int) -> Demand:
        if not self.are_all:
            return Demand(unlisted=self.n_trials)
        return Demand(path for keys in self.keys for path in paths_of(rows, folds, keys))

    @property
    def _longest(self) -> int:
        return max(map(len, self.keys), default=0)

    def _counts(self, length: int) -> Counter[tuple[str, ...]]:
        return Counter(keys[:length] for keys in self.keys if len(keys) >= length)

    def _is_fork(self, length: int) -> bool:
        longer = Counter(keys[:-1] for keys in self._counts(length + 1))
        ending = Counter(keys for keys in self.keys if len(keys) == length)
        counts = self._counts(length)
        return any(
            count > 1 and (ending[keys] or longer[keys] > 1) for keys, count in counts.items()
        )

    def _variants(self, length: int) -> float:
        """Estimate a number of alternatives by how often two draws are the same."""
        pairs = sum(count * (count - 1) for count in self._counts(length).values())
        return len(self.keys) * (len(self.keys) - 1) / pairs
