"""Fits pipelines on folds, and fits what they have in common once.

The first steps of a pipeline, fitted on a fold, are its *front*. Trials with equal fronts share
one: its fitted steps, and the rows of the fold as transformed by them. The last step is always
fitted. Scores are equal to those of plain fits, to the last digit.
"""

import contextlib
import copy
import os
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from sklearn import get_config
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import process_routing

from manyfit.errors import ExecutorError
from manyfit.front_plan import FrontPlan
from manyfit.prefixes import Path
from manyfit.sklearn.fit_keys import front_keys, is_pipeline
from manyfit.sklearn.fitted_store import FittedStore, Tally
from manyfit.sklearn.fold import FoldRows, Watch, fit, length_of
from manyfit.sklearn.fold_pipeline import FoldPipeline
from manyfit.sklearn.growth import fit_in_stages, why_not_grown

_stores: dict[tuple[int, str], FittedStore] = {}
_opening = threading.Lock()


class FrontSharing:
    """How the trials of a search share fronts: made on the driver, used by workers.

    Args:
        token: The search's name on a machine, as for `NodeFolder`.
        plan: The plan to begin with on each machine.
        rows: A digest of the rows, the folds, and what else is given to fits.
        folds: The number of folds.
        variants: For each length of a front after which trials differ, ascending, the number of
            fronts among which a sampler chooses.
        train_scores: Whether the training rows are scored, too.
    """

    def __init__(
        self,
        token: str,
        plan: FrontPlan,
        rows: str,
        *,
        folds: int,
        variants: Mapping[int, float],
        train_scores: bool = False,
    ) -> None:
        self.folds = folds
        self.variants = variants
        self.train_scores = train_scores
        self._token = token
        self._plan = plan
        self._rows = rows

    def paths(self, keys: Sequence[str]) -> list[Path]:
        """Return the paths of a candidate whose steps have these keys, one for each fold."""
        return paths_of(self._rows, self.folds, keys)

    @property
    def store(self) -> FittedStore:
        """The store on this machine, which this process opens once and keeps until `close`.

        Raises:
            ExecutorError: Its folder can't be made.
        """
        place = (os.getpid(), self._token)
        with _opening:
            if place not in _stores:
                _stores[place] = FittedStore(self._token, self._plan)
            return _stores[place]

    def close(self) -> None:
        """Close this process's store, if it is open."""
        store = _stores.pop((os.getpid(), self._token), None)
        if store is not None:
            store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def paths_of(rows: str, folds: int, keys: Sequence[str]) -> list[Path]:
    """Return paths that begin with the rows of a fold, as `prefixes` understands them.

    Example:
        >>> paths_of("rows", 2, ["scaler"])
        [('rows 0', 'scaler'), ('rows 1', 'scaler')]
    """
    return [(f"{rows} {fold}", *keys) for fold in range(folds)]


@dataclass(frozen=True)
class Front:
    """Fitted steps, and the rows of a fold as transformed by them.

    What a step returns when it is fitted may differ from what it makes of the same rows later, as
    with `TargetEncoder`. To be scored, the training rows are therefore transformed again.

    Attributes:
        steps: The fitted steps, with their names.
        X: The training rows, for the next step to be fitted on.
        X_test: The rows to score.
        X_train: The training rows to score; None if they aren't scored.
    """

    steps: tuple[tuple[str, Any], ...]
    X: Any
    X_test: Any
    X_train: Any

    def advanced(self, part: Pipeline, rows: FoldRows) -> "Front":
        """Return a longer front, with further steps fitted on the output of these."""
        X = part.fit_transform(self.X, rows.y, **_params_of(part, rows, "fit_transform"))
        X_test = _transformed(part, self.X_test)
        X_train = None if self.X_train is None else _transformed(part, self.X_train)
        return Front((*self.steps, *part.steps), X, X_test, X_train)


def _transformed(part: Pipeline, X: Any) -> Any:
    """Return rows as transformed by fitted steps.

    `Pipeline.transform` refuses a last step that shows no sign of being fitted, as it has no state.
    """
    for _, step in part.steps:
        if step is not None and step != "passthrough":
            X = step.transform(X)
    return X


class PlainFits:
    """Fits each estimator by itself."""

    def fit(self, estimator: Any, rows: FoldRows, watch: Watch | None = None) -> Any:
        """Fit an estimator on the training rows; returns it, or one whose scores are the same."""
        if watch is not None and not why_not_grown(estimator, length_of(rows.X), watch.stages):
            if not is_pipeline(estimator):
                _fit_watched(estimator, estimator, (rows.X, rows.y, rows.fit_params), watch)
                return estimator
            if _is_routed(estimator, rows):
                front = Front((), rows.X, rows.X_test, None)
                try:
                    return _assembled(estimator, front, rows, watch)
                except Exception:  # noqa: BLE001 - the plain fit fails as the user expects it
                    estimator = clone(estimator)
        fit(estimator, rows.X, rows.y, rows.fit_params)
        return estimator


def _assembled(
    pipeline: Pipeline, front: Front, rows: FoldRows, watch: Watch | None
) -> FoldPipeline:
    """Fit what remains of a pipeline after its front; a model that grows, in stages."""
    grows = watch is not None and not why_not_grown(pipeline, length_of(rows.X), watch.stages)
    if grows and len(front.steps) + 1 < len(pipeline.steps):
        front = front.advanced(pipeline[len(front.steps) : -1], rows)
    rest = pipeline[len(front.steps) :]
    known = [(rows.X_test, front.X_test)]
    if front.X_train is not None:
        known.append((rows.X, front.X_train))
    whole = FoldPipeline([*front.steps, *rest.steps]).knowing(rest, known)
    data = (front.X, rows.y, _params_of(rest, rows, "fit"))
    if watch is not None and grows:
        _fit_watched(rest, whole, data, watch)
    else:
        fit(rest, *data)
    return whole


def _fit_watched(estimator: Any, whole: Any, data: tuple[Any, Any, Any], watch: Watch) -> None:
    fit_in_stages(
        estimator, *data, stages=watch.stages, look=lambda stage: watch.look(stage, whole)
    )


class TrialFits:
    """The fits of one trial, which announces the fronts that it needs, and when it is done.

    Args:
        sharing: How trials share fronts.
        make: Returns the trial's estimator, unfitted; its exceptions pass through.
        rows: Returns the rows of a fold.

    Attributes:
        tally: What the latest fit saved.
    """

    def __init__(
        self, sharing: FrontSharing, make: Callable[[], Any], rows: Callable[[int], FoldRows]
    ) -> None:
        self.tally = Tally()
        self._sharing = sharing
        self._configured = make
        self._rows = rows
        self._plain = PlainFits()
        keys = front_keys(make())
        self._paths = sharing.paths(keys)
        self._forks = [length for length in sorted(sharing.variants) if length <= len(keys)]
        self._left: list[Path] = []
        self._prepared: set[int] = set()  # folds whose fronts this trial has made in advance
        self._begin()

    def _begin(self) -> None:
        if not self._forks:
            return
        try:
            self._store = self._sharing.store
        except ExecutorError as error:
            warnings.warn(f"trials share no fitted transformers: {error}", stacklevel=2)
            self._forks = []
            return
        self._left = list(self._paths)
        with contextlib.suppress(OSError):  # its folder is gone: a fit goes on without
            self._store.begin(self._left)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self._left:
            self._done(self._left[0])

    def fit(self, estimator: Any, rows: FoldRows, watch: Watch | None = None) -> Any:
        """Fit an estimator that `make` returned; returns it or its equal, to score these rows."""
        self.tally = Tally()
        if self._forks and _is_routed(estimator, rows):
            try:
                return _assembled(estimator, self._fold_front(estimator, rows), rows, watch)
            except Exception:  # noqa: BLE001 - the plain fit below fails as the user expects it
                estimator, watch = self._configured(), None
            finally:
                self._done(self._paths[rows.fold])
        return self._plain.fit(estimator, rows, watch)

    def _done(self, path: Path) -> None:
        if path in self._left:
            self._left.remove(path)
            with contextlib.suppress(OSError):
                self._store.done(path)

    def _fold_front(self, pipeline: Pipeline, rows: FoldRows) -> Front:
        return self._front(pipeline, rows, self._forks, lambda: self._prepare(rows.fold + 1))

    def _front(
        self,
        pipeline: Pipeline,
        rows: FoldRows,
        forks: Sequence[int],
        meanwhile: Callable[[], bool] = lambda: False,
    ) -> Front:
        """Return the front up to the last of some forks, built on the longest one available."""
        if not forks:
            # Steps may change rows in place, such as StandardScaler(copy=False): each its own.
            X_train = copy.deepcopy(rows.X) if self._sharing.train_scores else None
            return Front((), copy.deepcopy(rows.X), copy.deepcopy(rows.X_test), X_train)
        front: Front = self._store.front(
            self._paths[rows.fold][: forks[-1] + 1],
            lambda: self._made(pipeline, rows, forks),
            variants=self._sharing.variants[forks[-1]],
            meanwhile=meanwhile,
            tally=Tally() if rows.fold in self._prepared else self.tally,
        )
        return front

    def _made(self, pipeline: Pipeline, rows: FoldRows, forks: Sequence[int]) -> Front:
        *earlier, length = forks
        front = self._front(pipeline, rows, earlier)
        return front.advanced(pipeline[len(front.steps) : length], rows)

    def _prepare(self, first: int) -> bool:
        """Make the front of a later fold that nobody makes yet; returns whether there was one."""
        return any(self._prepare_fold(fold) for fold in range(first, self._sharing.folds))

    def _prepare_fold(self, fold: int) -> bool:
        is_made = self._store.prepare(
            self._paths[fold][: self._forks[-1] + 1],
            lambda: self._made(self._configured(), self._rows(fold), self._forks),
            variants=self._sharing.variants[self._forks[-1]],
            tally=self.tally,
        )
        if is_made:
            self._prepared.add(fold)
        return is_made


def _is_routed(pipeline: Pipeline, rows: FoldRows) -> bool:
    """Return whether each param of `fit` has a step to go to; if not, a plain fit says so."""
    if not rows.fit_params:
        return True
    if get_config()["enable_metadata_routing"]:
        process_routing(pipeline, "fit", **rows.fit_params)
        return True
    steps = dict(pipeline.steps)
    return all(name.partition("__")[0] in steps for name in rows.fit_params)


def _params_of(part: Pipeline, rows: FoldRows, method: str) -> dict[str, Any]:
    """Return the params of `fit` that go to some steps of a pipeline."""
    params = rows.fit_params
    if not params:
        return {}
    if get_config()["enable_metadata_routing"]:
        names = part.get_metadata_routing().consumes(method, params.keys())
    else:
        names = {name for name in params if name.partition("__")[0] in dict(part.steps)}
    return {name: params[name] for name in names}
