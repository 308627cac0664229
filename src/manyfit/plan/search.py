"""How simulated studies search: as the one on record did, in a bounded time."""

import ast
from dataclasses import dataclass
from pathlib import Path

from manyfit.errors import ArgumentError, JournalError
from manyfit.events import WorkDescribed
from manyfit.journal.file import FILE_NAME, read_events
from manyfit.metric import Metric
from manyfit.pruners.asha import AshaPruner
from manyfit.pruners.auto import Pruning
from manyfit.pruners.baseline import BaselinePruner
from manyfit.pruners.folds import FoldPruner
from manyfit.pruners.median import MedianPruner
from manyfit.samplers.auto import make_sampler
from manyfit.samplers.base import Sampler
from manyfit.samplers.nearby import NearbySampler
from manyfit.space import Space
from manyfit.trial import Params, Trial

# Samplers whose proposals take less than a millisecond, and those that take more.
_QUICK = ("grid", "nearby", "quasirandom", "random")
_SLOW = ("auto", "gp", "tpe")
# A slow sampler makes at most this many proposals in a simulated study.
_MOST_ASKED = 100
_PRUNERS = {each.__name__: each for each in (AshaPruner, BaselinePruner, FoldPruner, MedianPruner)}


@dataclass(frozen=True, slots=True)
class Search:
    """The sampler and the pruner of a study on record.

    Attributes:
        sampler: The word of the sampler.
        pruner: The word of the pruner, or its settings.
        lag: The study's `lag`.
        unknown: The names of those of which the record has only the class; they are then "auto".
    """

    sampler: str = "auto"
    pruner: Pruning = "auto"
    lag: int | None = None
    unknown: tuple[str, ...] = ()

    @classmethod
    def of(cls, folder: Path) -> "Search":
        """Return the search of the study with its record in a folder; "auto" if it has none."""
        settings = _settings(folder)
        sampler, lag = settings.get("sampler", "auto"), settings.get("lag", "")
        pruner = _pruner(settings.get("pruner", "auto"))
        unknown = [] if sampler in (*_QUICK, *_SLOW) else [sampler]
        return cls(
            "auto" if unknown else sampler,
            "auto" if pruner is None else pruner,
            int(lag) if lag.isdigit() else None,
            (*unknown, *([settings["pruner"]] if pruner is None else [])),
        )

    def sampler_of(self, space: Space, metric: Metric, seed: int, n_trials: int) -> Sampler:
        """Return a sampler for a simulated study.

        A slow one makes at most a hundred proposals, evenly among the trials, and a quick one that
        looks near the best makes the others.
        """
        sampler = make_sampler(self.sampler, space, metric, seed)[0]
        every = -(-n_trials // _MOST_ASKED)
        if self.sampler in _QUICK or every == 1:
            return sampler
        return _Sparing(sampler, NearbySampler(space, metric, seed), every)


class _Sparing:
    """Asks a slow sampler for every nth trial, and a quick one for the others."""

    def __init__(self, slow: Sampler, quick: Sampler, every: int) -> None:
        self._slow, self._quick, self._every = slow, quick, every

    def tell(self, trial: Trial) -> None:
        self._slow.tell(trial)
        self._quick.tell(trial)

    def ask(self, number: int) -> Params | None:
        return (self._quick if number % self._every else self._slow).ask(number)


def _settings(folder: Path) -> dict[str, str]:
    """Return the last settings on record, in words."""
    found: dict[str, str] = {}
    if not (folder / FILE_NAME).exists():
        return found
    try:
        for event in read_events(folder / FILE_NAME):
            if isinstance(event, WorkDescribed):
                found = dict(event.settings)
    except JournalError:
        pass
    return found


def _pruner(words: str) -> Pruning:
    """Return the pruner with a name or settings on record; None if it can't be made from these.

    Example:
        >>> _pruner("none"), _pruner("MedianPruner(n_startup=3)"), _pruner("HyperbandPruner")
        ('none', MedianPruner(min_steps=None, n_startup=3), None)
    """
    if words in ("auto", "median", "asha", "none"):
        return words
    try:
        call = ast.parse(words, mode="eval").body
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
            given = {each.arg or "": ast.literal_eval(each.value) for each in call.keywords}
            return _PRUNERS[call.func.id](**given)
    except (SyntaxError, ValueError, TypeError, KeyError, ArgumentError):
        pass
    return None
