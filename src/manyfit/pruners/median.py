"""The median rule: a trial must keep up with the better half of the others."""

from dataclasses import dataclass

from manyfit._checks import check_number, check_optional
from manyfit.metric import Metric
from manyfit.pruners.base import Pruner, tell_apart
from manyfit.pruners.tally import Lengths, Tally
from manyfit.trial import State, Trial


@dataclass(frozen=True, slots=True)
class MedianPruner:
    """Ends a trial whose best value so far is worse than the median of the others at that step.

    No trial is ended before `n_startup` trials are complete. The others are all trials that have
    reached the step, and those that ended before it, with the best value each had by then; a failed
    trial is no company. Steps may be irregular and differ between trials: a trial is compared with
    what the others had shown at the same step or shortly before it, within a thirty-second.

    The median stopping rule of Golovin et al., "Google Vizier" (2017), section 3.1.

    Args:
        min_steps: No trial is ended at a step smaller than this; None for a tenth of a typical
            curve, the median of the last steps that completed trials reported, and at least 1.
        n_startup: So many trials must be complete before any is ended.

    Raises:
        ArgumentError: `min_steps` is no whole number from 0 up, or `n_startup` none from 1 up.

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
        """Return a pruner for one study."""
        return _Median(self, metric)


class _Median:
    def __init__(self, settings: MedianPruner, metric: Metric) -> None:
        self._settings = settings
        self._metric = metric
        self._tally = Tally()
        self._lengths = Lengths()
        self._completed = 0

    def report(self, trial: Trial, step: int, value: float) -> str | None:
        curve = self._tally.curve(trial)
        if curve.steps and step <= curve.steps[-1]:
            return None  # against the rules of `manyfit.report`, and nothing to learn from
        low = min([self._metric.loss(value), *curve.lows[-1:]])
        reason = self._judge(low, step, self._tally.company(curve, step))
        self._tally.add(curve, step, low)
        return reason

    def end(self, trial: Trial) -> None:
        self._completed += trial.state is State.COMPLETE
        self._lengths.end(trial)
        self._tally.end(trial)

    def _judge(self, low: float, step: int, company: list[float]) -> str | None:
        settings = self._settings
        first = self._lengths.first_step if settings.min_steps is None else settings.min_steps
        enough = min(self._completed, len(company)) >= settings.n_startup
        if step < first or not enough:
            return None
        middle = (company[(len(company) - 1) // 2] + company[len(company) // 2]) / 2
        if low <= middle:
            return None
        # A loss is turned back into a value the way it was made.
        best, median = tell_apart(self._metric.loss(low), self._metric.loss(middle))
        return (
            f"{self._metric.name} {best} up to step {step} is worse than the median {median} "
            f"of {len(company)} trials"
        )
