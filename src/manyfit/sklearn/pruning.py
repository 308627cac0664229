"""How a search ends hopeless trials: what they report, and which pruner judges it."""

from dataclasses import dataclass
from typing import Any

from manyfit._checks import check_number
from manyfit.errors import ArgumentError
from manyfit.pruners.folds import FoldPruner
from manyfit.pruners.rows import RowsPruner
from manyfit.sklearn.estimators import configured
from manyfit.sklearn.fold import Fold
from manyfit.sklearn.growth import STAGES, why_not_grown
from manyfit.sklearn.inputs import Inputs
from manyfit.sklearn.rungs import Rungs
from manyfit.sklearn.spaces import SettingsSpace

# With twice as many rounds each, the first of this many stages has a thousandth of all.
_MOST_STAGES = 10


@dataclass(frozen=True)
class Pruning:
    """What the trials of a search report, and who judges it.

    Attributes:
        pruner: The pruner; None to end no trial.
        stages: The number of reports of a model that grows, within its first fold.
        is_repeatable: Whether settings must not depend on the timing of several trials.
        folds: The folds on which a trial is evaluated; with rungs, those of one after the other.
        rungs: The numbers of rows of the rungs that a trial climbs; empty if it has none.
    """

    pruner: Any
    stages: int
    is_repeatable: bool
    folds: tuple[Fold, ...]
    rungs: tuple[int, ...] = ()

    @classmethod
    def of(
        cls,
        options: Any,
        candidates: SettingsSpace,
        inputs: Inputs,
        *,
        n_trials: int,
        parallelism: int,
    ) -> "Pruning":
        """Return the pruning of a search.

        Args:
            options: The search.
            candidates: Its space.
            inputs: Its data and folds.
            n_trials: The number of trials.
            parallelism: The number of trials that run at once.

        Raises:
            ArgumentError: `stages` is no whole number, too large, or no candidate can be grown;
                or `halving` or what belongs to it breaks a rule.
        """
        if options.halving is not None:
            return cls._by_rows(options, inputs, n_trials)
        folds = inputs.folds
        pruner, is_auto = options.pruner, options.pruner == "auto"
        is_seeded = options.random_state is not None and parallelism > 1
        is_repeatable = is_seeded and (is_auto or pruner is None)
        stages = _given_stages(options.stages, pruner)
        why_not = _why_not_grown(options.estimator, candidates, len(folds[0].train), stages)
        if options.stages != "auto" and stages and why_not:
            raise ArgumentError(
                f"stages={stages} needs a model that can be fitted in stages, but {why_not}: leave "
                "stages out"
            )
        if why_not or pruner is None or (is_auto and is_repeatable):
            stages = 0
        if is_auto:
            pruner = FoldPruner(len(folds), stages) if len(folds) > 1 or stages else None
        return cls(None if is_repeatable else pruner, stages, is_repeatable, folds)

    @classmethod
    def _by_rows(cls, options: Any, inputs: Inputs, n_trials: int) -> "Pruning":
        if options.halving != "rows":
            raise ArgumentError(f"halving must be 'rows' or None, but got {options.halving!r}")
        if options.pruner is None:
            raise ArgumentError("halving='rows' needs a pruner, but got pruner=None: leave it out")
        if options.stages not in ("auto", 0):
            raise ArgumentError(
                f"halving='rows' and stages can't be combined, but got stages={options.stages!r}: "
                "leave one of them out"
            )
        rungs = Rungs.of(options, inputs, n_trials)
        pruner = options.pruner
        if pruner == "auto":
            pruner = RowsPruner(options.factor)
        return cls(pruner, 0, is_repeatable=False, folds=rungs.folds, rungs=rungs.rows)


def _given_stages(given: Any, pruner: Any) -> int:
    """Return the number of stages to report if models can be grown."""
    default = STAGES if pruner == "auto" else getattr(pruner, "stages", 0)
    if given == "auto":
        return int(default)
    stages = check_number("stages", given, least=0, most=_MOST_STAGES, whole=True, also="'auto'")
    if isinstance(pruner, FoldPruner) and pruner.stages != stages:
        raise ArgumentError(
            f"stages={stages} must be the number that the pruner expects, but got {pruner!r}"
        )
    return int(stages)


def _why_not_grown(estimator: Any, candidates: SettingsSpace, rows: int, stages: int) -> str:
    """Return why no candidate is fitted in stages; empty if some are."""
    why = ""
    for settings in candidates.examples():
        why = why_not_grown(configured(estimator, settings), rows, stages)
        if not why:
            break
    return why
