"""Every pruner keeps the contract."""

import optuna
import pytest

from manyfit.pruners.asha import AshaPruner
from manyfit.pruners.auto import AutoPruner
from manyfit.pruners.base import PrunerSettings
from manyfit.pruners.baseline import BaselinePruner
from manyfit.pruners.folds import FoldPruner
from manyfit.pruners.median import MedianPruner
from manyfit.pruners.optuna import OptunaPruner
from manyfit.pruners.rows import RowsPruner
from manyfit.testing.pruners import STEPS, PrunerContract


class TestMedianPruner(PrunerContract):
    """The median rule."""

    def settings(self, sign: int) -> PrunerSettings:
        """Make it."""
        return MedianPruner()


class TestAshaPruner(PrunerContract):
    """Asynchronous successive halving."""

    def settings(self, sign: int) -> PrunerSettings:
        """Make it."""
        return AshaPruner()


class TestAutoPruner(PrunerContract):
    """The default."""

    def settings(self, sign: int) -> PrunerSettings:
        """Make it."""
        return AutoPruner()


class TestBaselinePruner(PrunerContract):
    """A baseline to beat."""

    def settings(self, sign: int) -> PrunerSettings:
        """Make it."""
        return BaselinePruner(0.9 * sign, by_step=5)


class TestFoldPruner(PrunerContract):
    """Pruning between folds."""

    def settings(self, sign: int) -> PrunerSettings:
        """Make it."""
        return FoldPruner(STEPS)


class TestRowsPruner(PrunerContract):
    """Halving by rows."""

    def settings(self, sign: int) -> PrunerSettings:
        """Make it."""
        return RowsPruner()


class TestOptunasPercentile(PrunerContract):
    """The best quarter goes on."""

    def settings(self, sign: int) -> PrunerSettings:
        """Make it."""
        return OptunaPruner(optuna.pruners.PercentilePruner(25.0, n_startup_trials=3))


class TestOptunasThreshold(PrunerContract):
    """A fixed limit."""

    def settings(self, sign: int) -> PrunerSettings:
        """Make it."""
        limit = {"upper": 1.05} if sign == 1 else {"lower": -1.05}
        return OptunaPruner(optuna.pruners.ThresholdPruner(**limit))


class TestOptunasHalving(PrunerContract):
    """Successive halving."""

    def settings(self, sign: int) -> PrunerSettings:
        """Make it."""
        return OptunaPruner(optuna.pruners.SuccessiveHalvingPruner())


class TestOptunasHyperband(PrunerContract):
    """Brackets of successive halving."""

    def settings(self, sign: int) -> PrunerSettings:
        """Make it."""
        return OptunaPruner(optuna.pruners.HyperbandPruner(max_resource=STEPS))

    @pytest.mark.skip(reason="a trial's bracket depends on how many attempts came before it")
    def test_a_failed_trial_is_forgotten(self) -> None:
        """It is no company, but the brackets of later trials are others."""

    @pytest.mark.skip(reason="a trial's bracket depends on how many attempts came before it")
    def test_a_new_attempt_replaces_the_old_one(self) -> None:
        """It does, but the brackets of later trials are others."""
