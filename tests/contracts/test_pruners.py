"""Every pruner keeps the contract."""

from manyfit.pruners.asha import AshaPruner
from manyfit.pruners.auto import AutoPruner
from manyfit.pruners.base import PrunerSettings
from manyfit.pruners.baseline import BaselinePruner
from manyfit.pruners.folds import FoldPruner
from manyfit.pruners.median import MedianPruner
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
