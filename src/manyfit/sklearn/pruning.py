"""How a search ends hopeless trials: what they report, and which pruner judges it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from manyfit._checks import check_number
from manyfit.errors import ArgumentError
from manyfit.pruners.folds import FoldPruner
from manyfit.sklearn.estimators import configured
from manyfit.sklearn.fold import Fold
from manyfit.sklearn.growth import STAGES, why_not_grown
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
    """

    pruner: Any
    stages: int
    is_repeatable: bool

    @classmethod
    def of(
        cls, options: Any, candidates: SettingsSpace, folds: Sequence[Fold], *, parallelism: int
    ) -> "Pruning":
        """Return the pruning of a search.

        Args:
            options: The search, with `estimator`, `pruner`, `random_state` and `stages`.
            candidates: Its space.
            folds: Its folds.
            parallelism: The number of trials that run at once.

        Raises:
            ArgumentError: `stages` is no whole number, too large, or no candidate can be grown.
        """
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
        return cls(None if is_repeatable else pruner, stages, is_repeatable)


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
