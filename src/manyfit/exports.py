"""A study's result for other libraries: as a study of Optuna."""

from typing import TYPE_CHECKING

from manyfit._optional import load
from manyfit.plots.study import Studied

if TYPE_CHECKING:
    import optuna


class StudyExports:
    """What other libraries make of a result."""

    def to_optuna(self: Studied) -> "optuna.Study":
        """Return the study as one of Optuna, in memory: for its plots, importances and dashboard.

        Trials have their params (options as labels), reports of the tuned metric, times, and as
        user attributes their other metrics, their notes, and the reason if they failed or were
        pruned. The metric and constants are attributes of the study. Repeats are an attribute of
        the trial that they repeat, since Optuna would take the luckiest one for the best. Trials
        that have not begun or are outside the space are left out; if that shifts numbers, the
        attribute `number` has the old one.

        Example:
            >>> from manyfit import Float, tune
            >>> result = tune(
            ...     lambda params: params["x"] ** 2, {"x": Float(-1.0, 1.0)}, metric="loss",
            ...     n_trials=3, executor="inline", tracker=None, progress=None,
            ...     folder=getfixture("tmp_path"),
            ... )
            >>> result.to_optuna().best_value == result.best.value
            True
        """
        study: optuna.Study = load("manyfit.optuna_study").optuna_study(self)
        return study
