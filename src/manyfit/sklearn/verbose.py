"""Lines about each fit, as scikit-learn's searches print them with `verbose`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from manyfit.events import Event, Reported
from manyfit.trackers.base import Outcome, StudyInfo
from manyfit.trial import Params, Trial

_WIDTH = 80


class FitLines:
    """A tracker that prints a line for each fold of each trial.

    Args:
        settings: Turns the params of a trial into settings of the estimator.
        folds: The number of folds.
        by_rows: Whether a trial is evaluated on more and more rows, which are its steps.
    """

    def __init__(
        self, settings: Callable[[Params], Mapping[str, Any]], folds: int, *, by_rows: bool = False
    ) -> None:
        self._settings = settings
        self._folds = folds
        self._by_rows = by_rows

    def open(self, study: StudyInfo, history: Sequence[Trial]) -> None:
        pass

    def prepare(self, trial: Trial) -> Mapping[str, str]:  # noqa: ARG002 - the protocol's
        return {}

    def record(self, event: Event, trial: Trial | None) -> None:
        if isinstance(event, Reported) and trial is not None:
            for fold in range(self._folds):
                if f"split{fold}_fit_time" in event.metrics:
                    settings = dict(self._settings(trial.params))
                    if self._by_rows:
                        settings["n_resources"] = event.step
                    print(self._line(fold, event.metrics, settings))

    def close(self, reason: str, trials: Sequence[Trial], outcome: Outcome | None = None) -> None:
        pass

    def _line(self, fold: int, metrics: Mapping[str, float], settings: Mapping[str, Any]) -> str:
        told = ", ".join(f"{name}={value}" for name, value in settings.items())
        start = f"split{fold}_"
        own = {key.removeprefix(start): v for key, v in metrics.items() if key.startswith(start)}
        seconds = own["fit_time"] + own["score_time"]
        shown = f"{told};{_scores(own)} total time={seconds:6.1f}s"
        label = f"[CV {fold + 1}/{self._folds}] END "
        return label + "." * max(0, _WIDTH - len(label) - len(shown)) + shown


def _scores(metrics: Mapping[str, float]) -> str:
    names = sorted(key.removeprefix("test_") for key in metrics if key.startswith("test_"))
    if names == ["score"]:
        train = metrics.get("train_score")
        test = f"{metrics['test_score']:.3f}"
        return f", score={test if train is None else f'(train={train:.3f}, test={test})'}"
    return "".join(f" {name}: ({_pair(metrics, name)})" for name in names)


def _pair(metrics: Mapping[str, float], name: str) -> str:
    train = metrics.get(f"train_{name}")
    before = "" if train is None else f"train={train:.3f}, "
    return f"{before}test={metrics[f'test_{name}']:.3f}"
