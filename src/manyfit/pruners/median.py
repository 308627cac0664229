"""The median stopping rule: a trial must keep up with the better half of the others."""

from dataclasses import dataclass

from manyfit._checks import check_number, check_optional
from manyfit.metric import Metric
from manyfit.pruners.base import Pruner, tell_apart
from manyfit.pruners.curves import Curves, Lengths
from manyfit.trial import State, Trial


@dataclass(frozen=True, slots=True)
class MedianPruner:
    """Ends a trial whose best value so far is worse than the median of the others at that step.

    No trial is ended before `n_startup` trials have completed. The others are all trials that have
    reached the step or ended before it, each with its best value by then; failed trials don't
    count. Steps may be irregular and differ between trials: the values compared are those at the
    same step or at most 1/32 of it earlier.

    This is the median stopping rule of Golovin et al., "Google Vizier" (2017), section 3.1.

    Args:
        min_steps: No trial is ended at a step smaller than this. None means a tenth of a typical
            curve (the median of the last steps that completed trials reported), and at least 1.
        n_startup: The number of trials that must have completed before any is ended.

    Raises:
        ArgumentError: `min_steps` isn't an integer of at least 0, or `n_startup` of at least 1.

    Example:
        >>> pruner = MedianPruner(min_steps=3)
        >>> pruner
        MedianPruner(min_steps=3, n_startup=5)
    """

    min_steps: int | None = None
    n_startup: int = 5

    def __post_init__(self) -> None:
        min_steps = check_optional("min_steps", self.min_steps, least=0, whole=True)
        n_startup = check_number("n_startup", self.n_startup, least=1, whole=True)
        object.__setattr__(self, "min_steps", min_steps)
        object.__setattr__(self, "n_startup", n_startup)

    def bind(self, metric: Metric) -> Pruner:
        return _Median(self, metric)


class _Median:
    def __init__(self, settings: MedianPruner, metric: Metric) -> None:
        self._settings = settings
        self._metric = metric
        self._curves = Curves()
        self._lengths = Lengths()
        self._completed = 0

    def report(self, trial: Trial, step: int, value: float) -> str | None:
        curve = self._curves.curve(trial)
        if curve.steps and step <= curve.steps[-1]:
            return None  # a repeated or earlier step, which `manyfit.report` doesn't allow
        low = min([self._metric.loss(value), *curve.lows[-1:]])
        reason = self._judge(low, step, self._curves.company(curve, step))
        self._curves.add(curve, step, low)
        return reason

    def end(self, trial: Trial) -> None:
        self._completed += trial.state is State.COMPLETE
        self._lengths.end(trial)
        self._curves.end(trial)

    def _judge(self, low: float, step: int, company: list[float]) -> str | None:
        settings = self._settings
        first = self._lengths.first_step if settings.min_steps is None else settings.min_steps
        enough = min(self._completed, len(company)) >= settings.n_startup
        if step < first or not enough:
            return None
        middle = (company[(len(company) - 1) // 2] + company[len(company) // 2]) / 2
        if low <= middle:
            return None
        # The metric's loss is its own inverse.
        best, median = tell_apart(self._metric.loss(low), self._metric.loss(middle))
        return (
            f"{self._metric.name} {best} up to step {step} is worse than the median {median} "
            f"of {len(company)} trials"
        )
