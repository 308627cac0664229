"""Errors by Hyperopt's names."""

from manyfit.errors import ArgumentError, MetricError, NoResultError, SpaceError
from manyfit.hyperopt.expression import DuplicateLabel

__all__ = [
    "AllTrialsFailed",
    "BadSearchSpace",
    "DuplicateLabel",
    "InvalidAnnotatedParameter",
    "InvalidLoss",
    "InvalidResultStatus",
    "InvalidTrial",
]

BadSearchSpace = SpaceError


class InvalidTrial(ArgumentError):  # noqa: N818 - Hyperopt's names, here and below
    """A trial's document lacks a part."""


class InvalidAnnotatedParameter(SpaceError):  # noqa: N818
    """An annotation of the objective isn't a hyperparameter."""


class InvalidResultStatus(MetricError):  # noqa: N818
    """The objective returned no status, or one that isn't among those of Hyperopt."""


class InvalidLoss(MetricError):  # noqa: N818
    """The objective returned no loss, or one that isn't a number."""


class AllTrialsFailed(NoResultError):  # noqa: N818
    """No trial has a loss."""
