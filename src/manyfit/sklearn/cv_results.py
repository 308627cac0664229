"""`cv_results_`: what a search tried, with the keys and types of `GridSearchCV`."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.ma import MaskedArray
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.exceptions import FitFailedWarning

from manyfit.errors import UndefinedMetricError
from manyfit.sklearn.objective import FIT_ERROR, SCORE_ERROR, STAGE_TIME
from manyfit.trial import Failed, State, Trial

_LINE = "-" * 80


def cv_results(
    trials: Sequence[Trial],
    settings: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    *,
    folds: int,
    train_scores: bool,
    error_score: float,
    rungs: Sequence[int] = (),
) -> dict[str, Any]:
    """Return the results of finished trials, one row each, by number.

    A trial that was pruned has the scores of the folds that it completed, NaN for the others and
    for the mean, and the last rank; its times are means over the completed folds, or the time until
    it was pruned within the first. Besides the keys of `GridSearchCV`, `state` is COMPLETE, PRUNED
    or FAIL, and `reason` says why. With rungs, a trial has the scores of the last one that it
    completed, `n_resources` is the rows of that and `iter` its number; only the last rung has
    means.

    Args:
        trials: The trials, at least one.
        settings: The settings of each.
        names: The names of the metrics.
        folds: The number of folds.
        train_scores: Whether training rows were scored.
        error_score: What stands for a score that is missing on a fold that failed.
        rungs: The numbers of rows on which trials were evaluated one after another.
    """
    rows = [_measured(trial, names, error_score, train_scores) for trial in trials]
    results: dict[str, Any] = {}
    for name in ("fit_time", "score_time"):
        scores = _columns(rows, name, folds)
        results[f"mean_{name}"], results[f"std_{name}"] = _moments(scores, np.nanmean, np.nanstd)
    results |= _on_rungs(trials, rungs)
    results |= _masked(settings)
    results["params"] = [dict(each) for each in settings]
    for name in names:
        for kind in ("test", "train") if train_scores else ("test",):
            scores = _columns(rows, f"{kind}_{name}", folds)
            are_final = _are_final(trials, rungs)
            results |= _scores(scores, f"{kind}_{name}", are_final, is_ranked=kind == "test")
            _warn_of_others(trials, results[f"mean_{kind}_{name}"], kind)
    results["state"] = np.array([trial.state.value for trial in trials], dtype=object)
    results["reason"] = np.array([trial.reason for trial in trials], dtype=object)
    return results


def names_in(trials: Iterable[Trial]) -> tuple[str, ...]:
    """Return the names of the metrics that trials have reported."""
    start = "split0_test_"
    keys = (key for trial in trials for each in trial.measurements for key in each.metrics)
    return tuple(dict.fromkeys(key.removeprefix(start) for key in keys if key.startswith(start)))


def warn_of_failures(
    trials: Sequence[Trial], error_score: float, rungs: Sequence[int] = ()
) -> None:
    """Warn once of fits that failed, with counts; with rungs, the numbers of rows of each.

    Raises:
        ValueError: All fits failed.
    """
    failed = {trial.number: _failed_fits(trial) for trial in trials}
    fits = sum(max(_count(trial, "_fit_time"), failed[trial.number]) for trial in trials)
    causes: dict[str, int] = {}
    for trial in trials:
        if failed[trial.number]:
            text = trial.traceback or trial.notes.get(FIT_ERROR, trial.reason)
            causes[text] = causes.get(text, 0) + failed[trial.number]
    details = "\n".join(
        f"{_LINE}\n{count} fits failed with the following error:\n{text}"
        for text, count in causes.items()
    )
    count = sum(failed.values())
    if count and count == fits:
        raise ValueError(
            f"\nAll the {fits} fits failed.\nIt is very likely that your model is misconfigured.\n"
            "You can try to debug the error by setting error_score='raise'.\n"
            f"{_few_rows(rungs)}\nBelow are more details about the failures:\n{details}"
        )
    if count:
        warnings.warn(
            f"\n{count} fits failed out of a total of {fits}.\nThe score on these train-test "
            f"partitions for these parameters will be set to {error_score}.\nIf these failures are "
            "not expected, you can try to debug them by setting error_score='raise'.\n\n"
            f"Below are more details about the failures:\n{details}",
            FitFailedWarning,
            stacklevel=4,
        )


def _few_rows(rungs: Sequence[int]) -> str:
    if len(rungs) < 2:
        return ""
    return (
        f"With halving, trials begin on {rungs[0]} of {rungs[-1]} rows. If these are too few, for "
        "instance because a fold lacks a class, set min_resources to more.\n"
    )


def warn_of_scorers(trials: Sequence[Trial], error_score: float) -> None:
    """Warn of scorers that raised. A score that is NaN isn't one of them."""
    for trial in trials:
        text = trial.notes.get(SCORE_ERROR)
        if trial.state is State.FAIL and not _failed_fits(trial) and not _is_nan(trial):
            text = trial.traceback or trial.reason
        if text is not None:
            warnings.warn(
                "Scoring failed. The score on this train-test partition for these parameters will "
                f"be set to {error_score}. Details: \n{text}",
                UserWarning,
                stacklevel=4,
            )


def _measured(
    trial: Trial, names: Iterable[str], error_score: float, train_scores: bool
) -> dict[str, float]:
    row: dict[str, float] = {}
    for measurement in trial.measurements:
        number = _fold_of(measurement.metrics)
        if number is None:  # a stage within the first fold
            row["split0_fit_time"] = measurement.metrics.get(STAGE_TIME, np.nan)
            continue
        missing = {
            f"split{number}_{kind}_{name}": error_score
            for kind in (("test", "train") if train_scores else ("test",))
            for name in names
        }
        row |= {**missing, **measurement.metrics}
    return row


def _fold_of(metrics: Mapping[str, float]) -> str | None:
    """Return the number of the fold that a report is about; None for a stage within a fold."""
    ends = "_fit_time"
    return next(
        (key.removeprefix("split").removesuffix(ends) for key in metrics if key.endswith(ends)),
        None,
    )


def _failed_fits(trial: Trial) -> int:
    """Return the number of fits that failed; at least one if a trial failed before any."""
    never_fitted = trial.state is State.FAIL and not trial.measurements
    return max(_count(trial, "_fit_failed"), int(never_fitted))


def _is_nan(trial: Trial) -> bool:
    end = trial.attempts[-1].end if trial.attempts else None
    return isinstance(end, Failed) and end.error == UndefinedMetricError.__name__


def _count(trial: Trial, ending: str) -> int:
    keys = [key for each in trial.measurements for key in each.metrics]
    return sum(key.startswith("split") and key.endswith(ending) for key in keys)


def _columns(rows: Sequence[Mapping[str, float]], key: str, folds: int) -> NDArray[np.float64]:
    """Return one row for each trial, one column for each fold."""
    names = [f"split{fold}_{key}" for fold in range(folds)]
    return np.array([[row.get(name, np.nan) for name in names] for row in rows], dtype=np.float64)


def _moments(scores: NDArray[np.float64], mean: Any, std: Any) -> tuple[Any, Any]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # of rows that are all NaN
        return mean(scores, axis=1), std(scores, axis=1)


def _scores(
    scores: NDArray[np.float64], key: str, are_final: NDArray[np.bool_], *, is_ranked: bool
) -> dict[str, Any]:
    means, deviations = _moments(scores, np.mean, np.std)
    means, deviations = (np.where(are_final, each, np.nan) for each in (means, deviations))
    found = {f"split{fold}_{key}": each for fold, each in enumerate(scores.T)}
    found |= {f"mean_{key}": means, f"std_{key}": deviations}
    return found | ({f"rank_{key}": _ranks(means)} if is_ranked else {})


def _came_to(trials: Sequence[Trial]) -> NDArray[np.int_]:
    """Return the number of rows that each trial came to; 0 if it completed no rung."""
    return np.array([max((m.step for m in trial.measurements), default=0) for trial in trials])


def _are_final(trials: Sequence[Trial], rungs: Sequence[int]) -> NDArray[np.bool_]:
    """Return which trials have the scores that count: with rungs, those of all rows."""
    return _came_to(trials) >= rungs[-1] if rungs else np.ones(len(trials), dtype=bool)


def _on_rungs(trials: Sequence[Trial], rungs: Sequence[int]) -> dict[str, Any]:
    if not rungs:
        return {}
    rows = _came_to(trials)
    return {"iter": np.maximum(np.searchsorted(rungs, rows), 0), "n_resources": rows}


def _ranks(means: NDArray[np.float64]) -> NDArray[np.int32]:
    """Return ranks from 1; equals share the lowest, and NaN the last."""
    if np.isnan(means).all():
        return np.ones(len(means), dtype=np.int32)
    known = np.where(np.isnan(means), np.nanmin(means) - 1, means)
    return np.asarray(rankdata(-known, method="min"), dtype=np.int32)


def _warn_of_others(trials: Sequence[Trial], means: NDArray[np.float64], kind: str) -> None:
    ended = np.array([trial.state is not State.PRUNED for trial in trials])
    if np.any(~np.isfinite(means[ended])):
        warnings.warn(
            f"One or more of the {kind} scores are non-finite: {means}", UserWarning, stacklevel=5
        )


def _masked(settings: Sequence[Mapping[str, Any]]) -> dict[str, MaskedArray[Any, Any]]:
    """Return a masked array for each param: masked in trials that don't have it."""
    found: dict[str, dict[int, Any]] = {}
    for row, each in enumerate(settings):
        for name, value in each.items():
            found.setdefault(name, {})[row] = value
    columns: dict[str, MaskedArray[Any, Any]] = {}
    for name, values in found.items():
        column = MaskedArray(np.empty(len(settings), _dtype_of(list(values.values()))), mask=True)
        for row, value in values.items():
            column[row] = value
        columns[f"param_{name}"] = column
    return columns


def _dtype_of(values: list[Any]) -> Any:
    """Return the type of a column: that of NumPy, or object for strings and for sequences."""
    try:
        array = np.array(values)
    except ValueError:  # sequences of different lengths
        return object
    return array.dtype if array.dtype.kind != "U" and array.ndim == 1 else object
