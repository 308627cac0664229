"""Pruning within the first fold, while its model grows."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from manyfit.metric import Metric
from manyfit.pruners.base import tell_apart

# A gap of more than this many times what is usually made up can't be closed; see
# benchmarks/folds.py.
TIMES = 3.0


class Grown(Protocol):
    """A complete trial.

    Attributes:
        number: Its number.
        loss: Its mean loss over all folds.
        early: Its losses on the first fold, stage by stage.
    """

    @property
    def number(self) -> int: ...
    @property
    def loss(self) -> float: ...
    @property
    def early(self) -> Sequence[float]: ...


class Early:
    """Judges the stages of a model on the first fold.

    Stage `i` of `n` has 2^(i-n) of the rounds. A trial ends if both hold: it is further behind the
    best than complete trials were that made it up, and if its loss fell in each further round by as
    much as it did in the latest ones, it would still end too far behind. A learning curve flattens,
    so the second condition alone is right for every curve but those that have yet to begin to fall.

    Args:
        stages: The number of stages.
        metric: The metric.
    """

    def __init__(self, stages: int, metric: Metric) -> None:
        self._stages = stages
        self._metric = metric
        self._best: Grown | None = None
        self._reach: list[float] = []

    def learn(self, trials: Sequence[Grown], usual: float) -> None:
        """Learn from complete trials, the best first, how large a gap can be made up.

        Args:
            trials: At least two.
            usual: What is made up at least.
        """
        best, *others = trials
        with np.errstate(all="ignore"):  # values may overflow
            behind = np.array([one.early for one in others]) - np.array(best.early)
            made_up = behind - (np.array([[one.loss] for one in others]) - best.loss)
            shown = np.sqrt((made_up**2).mean(axis=0))
            self._reach = (TIMES * np.maximum(shown, usual)).tolist()
        self._best = best

    def judge(self, losses: Sequence[float], needed: float) -> str | None:
        """Return why to end a trial, or None.

        Args:
            losses: Its losses so far, stage by stage.
            needed: The loss at the end of the fold with which a trial may still win.
        """
        stage = len(losses) - 1
        if self._best is None or stage < 1:
            return None
        loss, there = losses[stage], self._best.early[stage]
        share = 2.0 ** (stage - self._stages)
        pace = max(0.0, losses[stage - 1] - loss) / (share / 2)
        end = loss - pace * (1 - share)
        if not (loss - there > self._reach[stage] and end > needed):  # NaN ends nobody
            return None
        # The metric's loss is its own inverse.
        own, best = tell_apart(self._metric.loss(loss), self._metric.loss(there))
        shown, limit = tell_apart(self._metric.loss(end), self._metric.loss(needed))
        return (
            f"{self._metric.name} is {own} after 1/{round(1 / share)} of fold 0, where trial "
            f"{self._best.number} had {best}: even at its present pace it ends the fold at "
            f"{shown}, and to win it needs {limit}"
        )
