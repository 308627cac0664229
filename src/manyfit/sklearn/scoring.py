"""The scores of a fitted estimator, by name, whatever form `scoring` has."""

import numbers
from collections.abc import Mapping
from contextlib import suppress
from inspect import signature
from typing import Any

from sklearn.metrics import check_scoring

# The name of the score where there is only one.
ONLY = "score"
_MULTIMETRIC_REFIT = (
    "For multi-metric scoring, the parameter refit must be set to a scorer key or a callable to "
    "refit an estimator with the best parameter setting on the whole data and make the best_* "
    "attributes available for that metric. If this is not needed, refit should be set to False "
    "explicitly. {!r} was passed."
)


class ScoringError(ValueError):
    """The search can't go on: a scorer returns no number, or `refit` names no metric."""


class Scoring:
    """Scores a fitted estimator.

    Args:
        estimator: The estimator.
        scoring: None, a name, a list of names, a dict of scorers, or a callable, which may return a
            dict.
        refit: The metric to tune, if there are several; True, False or a callable, otherwise. With
            False or a callable, the first metric is tuned.

    Attributes:
        scorer: The scorer; a dict by name if several were given.
        tuned: The metric that is tuned; None if a callable has yet to say.

    Raises:
        TypeError: There is no `scoring`, and the estimator has no `score`.
        ValueError: `scoring` is invalid, or there are several metrics and `refit` names none.
    """

    def __init__(self, estimator: Any, scoring: Any, refit: Any) -> None:
        self._refit = refit
        self._is_several = isinstance(scoring, list | tuple | set | dict)
        self._call = check_scoring(estimator, scoring, raise_exc=False)
        self.scorer: Any = self._call
        self.tuned: str | None = None if callable(scoring) else ONLY
        if self._is_several:
            named = scoring if isinstance(scoring, dict) else {name: name for name in scoring}
            self.scorer = {name: check_scoring(estimator, each) for name, each in named.items()}
            self.tuned = self.to_tune(self.scorer)

    def to_tune(self, scores: Mapping[str, Any]) -> str:
        """Return the metric that is tuned among several.

        Raises:
            ScoringError: `refit` doesn't name one of them.
        """
        if self._refit is False or callable(self._refit):
            return next(iter(scores))
        if isinstance(self._refit, str) and self._refit in scores:
            return self._refit
        raise ScoringError(_MULTIMETRIC_REFIT.format(self._refit))

    @property
    def router(self) -> Any:
        """What requests the metadata of all scorers."""
        return self._call

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the metrics; empty while a callable has yet to say."""
        if self._is_several:
            return tuple(self.scorer)
        return () if self.tuned is None else (self.tuned,)

    def takes_weights(self) -> dict[str, bool]:
        """Return which scorers take `sample_weight`, by how an error message shows them."""
        if self._is_several:
            return {f"{name}={each}": _takes_weight(each) for name, each in self.scorer.items()}
        return {str(self.scorer): _takes_weight(self.scorer)}

    def __call__(
        self, estimator: Any, X: Any, y: Any, params: Mapping[str, Any]
    ) -> dict[str, float | str]:
        """Return the scores, with a traceback for a scorer that failed among several.

        Raises:
            ScoringError: A scorer returned something other than a number.
            Exception: The only scorer failed.
        """
        args = (estimator, X) if y is None else (estimator, X, y)
        found = self._call(*args, **params)
        if not isinstance(found, Mapping):
            return {ONLY: _number(found, self._call)}
        return {
            name: value if self._is_several and isinstance(value, str) else _number(value, name)
            for name, value in found.items()
        }


def _takes_weight(scorer: Any) -> bool:
    # What `make_scorer` returns takes weights by its signature, whatever its function does.
    own = getattr(scorer, "_accept_sample_weight", None)
    return bool(own()) if own is not None else "sample_weight" in signature(scorer).parameters


def _number(value: Any, scorer: Any) -> float:
    if hasattr(value, "item"):
        with suppress(ValueError):
            value = value.item()
    if not isinstance(value, numbers.Real):
        raise ScoringError(
            f"scoring must return a number, got {value} ({type(value)}) instead. (scorer={scorer})"
        )
    return float(value)
