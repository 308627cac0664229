"""Expressions, by the names of Hyperopt's own modules: `scope`, `as_apply`, `stochastic.sample`."""

from manyfit.hyperopt.pyll import stochastic
from manyfit.hyperopt.pyll.base import as_apply, rec_eval, scope

__all__ = ["as_apply", "rec_eval", "scope", "stochastic"]
