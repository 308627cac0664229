"""`fmin`: a search, called as Hyperopt's."""

import contextlib
import inspect
import logging
import os
import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from manyfit._checks import check_optional
from manyfit.errors import ArgumentError
from manyfit.hyperopt import tpe
from manyfit.hyperopt.algorithms import sampler_of
from manyfit.hyperopt.base import Trials
from manyfit.hyperopt.document import Document, new_document
from manyfit.hyperopt.exceptions import InvalidAnnotatedParameter
from manyfit.hyperopt.expression import Expression, as_expression, evaluate
from manyfit.hyperopt.layout import Layout
from manyfit.hyperopt.objective import by_keyword
from manyfit.hyperopt.search import Home, Limits, Search
from manyfit.pruners.base import PrunerSettings
from manyfit.trackers.auto import Trackers

__all__ = [
    "fmin",
    "fmin_pass_expr_memo_ctrl",
    "generate_trial",
    "generate_trials_to_calculate",
    "partial",
    "space_eval",
]

logger = logging.getLogger("manyfit")

_Stop = Callable[..., tuple[bool, Sequence[Any]]]


def fmin(  # noqa: PLR0917 - Hyperopt's
    fn: Callable[..., Any],
    space: Any,
    algo: Any = None,
    max_evals: int | None = None,
    timeout: float | None = None,
    loss_threshold: float | None = None,
    trials: Trials | None = None,
    rstate: Any = None,
    allow_trials_fmin: bool = True,  # noqa: ARG001 - Hyperopt's
    pass_expr_memo_ctrl: bool | None = None,
    catch_eval_exceptions: bool = False,
    verbose: bool = True,
    return_argmin: bool = True,
    points_to_evaluate: Iterable[Mapping[str, Any]] | None = None,
    max_queue_len: int = 1,  # noqa: ARG001 - Hyperopt's
    show_progressbar: Any = True,
    early_stop_fn: _Stop | None = None,
    trials_save_file: str = "",
    *,
    name: str | None = None,
    folder: str | Path = ".manyfit",
    tracker: Trackers | Literal["default"] = "default",
    pruner: str | PrunerSettings | None = "auto",
) -> dict[str, Any] | Any:
    """Minimise a function over a space, with the arguments of Hyperopt's `fmin`.

    With `Trials`, trials run one at a time in this process, and an exception of the objective ends
    the call. With `SparkTrials` they run on the cluster, and a trial that raises only fails. A loss
    that is NaN or infinite is kept in the trial, and no sampler learns from it. No point is tried
    twice: a space of few points ends the call early, which is said. `manyfit.report` in the
    objective lets hopeless trials end early; they have the status "fail".

    Each call is a study on disk. Given the same `name`, or the same `trials`, it is continued, even
    by another process after this one was killed: a trial that was running then runs again.

    Args:
        fn: Takes a point of the space; returns its loss, or a dict with `status`, `loss` if that is
            ok, and anything else to keep with the trial.
        space: `hp.*` in any nesting of dicts, lists and tuples; or "annotated", to read them from
            the annotations of `fn`, which is then called with keyword arguments.
        algo: `tpe.suggest` (the default), `rand.suggest`, `anneal.suggest`, a `functools.partial`
            of one of these with settings, or what `manyfit.tune` takes as sampler.
        max_evals: The number of trials, including those that are in `trials` already and those that
            fail; None for no limit.
        timeout: Seconds after which no trial begins; on Spark, running ones are cut off.
        loss_threshold: A loss; the call ends after a trial with a loss below it.
        trials: `Trials` or `SparkTrials`, which the call fills; by default new `Trials`.
        rstate: A NumPy generator, a `RandomState`, or a seed. Without it, the environment variable
            HYPEROPT_FMIN_SEED has the seed, if it is set.
        allow_trials_fmin: Accepted, without effect.
        pass_expr_memo_ctrl: Refused, if true.
        catch_eval_exceptions: Whether an exception of the objective only fails its trial.
        verbose: Whether to show anything.
        return_argmin: Whether to return hyperparameters by label instead of a point of the space.
        points_to_evaluate: Points to try first: hyperparameters by label, choices as indices.
            Missing ones are drawn at random. Without `trials`, they come in addition to
            `max_evals`.
        max_queue_len: Accepted, without effect: points are proposed when they are needed.
        show_progressbar: Whether to show progress; or a context manager that takes `initial` and
            `total`, and gives an object with `update(n)`, as in `hyperopt.progress`.
        early_stop_fn: Called after each trial with the trials and what it returned last; returns
            whether to stop, and a list of arguments for its next call.
        trials_save_file: A file that has the pickled trials after each of them. If it exists and
            `trials` is None, the call continues from it.
        name: The study's name; by default that of the trials, or a new one.
        folder: The folder that contains studies.
        tracker: As in `manyfit.tune`. By default, `SparkTrials` use MLflow if it is installed, and
            `Trials` use none.
        pruner: As in `manyfit.tune`.

    Returns:
        The hyperparameters of the best trial by label, choices as indices. Without `return_argmin`,
        the point of the space that they stand for, or None if there is no trial.

    Raises:
        ArgumentError: An argument breaks a rule; nothing has run.
        SpaceError: The space, or one of `points_to_evaluate`, breaks a rule; nothing has run.
        AllTrialsFailed: No trial has a loss.
        KeyboardInterrupt: After a Ctrl-C or SIGTERM; `trials` has the trials so far.
        Exception: What the objective raised, if it ran in this process.

    Example:
        >>> from manyfit.hyperopt import fmin, hp, tpe
        >>> best = fmin(
        ...     lambda x: (x - 2) ** 2, hp.uniform("x", -9, 9), tpe.suggest, max_evals=20, rstate=0,
        ...     verbose=False, folder=getfixture("tmp_path"),
        ... )
        >>> round(best["x"], 1)
        2.0
    """
    if pass_expr_memo_ctrl or getattr(fn, "fmin_pass_expr_memo_ctrl", False):
        raise ArgumentError(
            "pass_expr_memo_ctrl is not supported, because there is no expression and no memo of "
            "Hyperopt: let the objective take a point of the space"
        )
    if isinstance(space, str):
        fn, space = _annotated(fn, space)
    layout = Layout.of(space)
    points = _points(points_to_evaluate, layout)
    max_evals = check_optional("max_evals", max_evals, least=0, whole=True)
    if trials is None and max_evals is not None:
        max_evals += len(points)
    trials = _loaded(trials_save_file) if trials is None else _checked(trials)
    limits = _limits(trials, max_evals, timeout, loss_threshold, early_stop_fn)
    seed = _seed(rstate)
    options = {
        "sampler": sampler_of(tpe.suggest if algo is None else algo, seed),
        "pruner": pruner,
        "tracker": trials.default_tracker if tracker == "default" else tracker,
        "seed": seed,
        "start_with": points,
    }
    search = Search(trials, layout, Home(name, Path(folder).absolute(), trials_save_file), options)
    own = callable(show_progressbar)
    shown = "auto" if verbose and show_progressbar and not own else None
    with _bar(show_progressbar if own and verbose else None, trials, max_evals) as on_end:
        search.run(fn, limits, catch=catch_eval_exceptions, progress=shown, on_end=on_end)
    if return_argmin:
        return trials.argmin
    return space_eval(space, trials.argmin) if len(trials) else None


def space_eval(space: Any, hp_assignment: Mapping[str, Any]) -> Any:
    """Return the point of a space that hyperparameters by label stand for.

    Raises:
        SpaceError: One that is needed is missing, or isn't the index of an option.

    Example:
        >>> from manyfit.hyperopt import hp
        >>> space_eval({"units": hp.choice("units", [32, 64])}, {"units": 1})
        {'units': 64}
    """
    return evaluate(as_expression(space), hp_assignment)


def generate_trial(tid: Any, space: Mapping[str, Any]) -> Document:
    """Return the document of a trial that has not run, for hyperparameters by label."""
    return new_document(
        tid,
        {
            "tid": tid,
            "cmd": ("domain_attachment", "FMinIter_Domain"),
            "workdir": None,
            "idxs": {label: [tid] for label in space},
            "vals": {label: [value] for label, value in space.items()},
        },
    )


def generate_trials_to_calculate(points: Iterable[Mapping[str, Any]]) -> Trials:
    """Return trials that `fmin` runs first, and in addition to `max_evals`.

    Args:
        points: Hyperparameters by label, choices as indices.
    """
    trials = Trials()
    trials.insert_trial_docs(generate_trial(tid, point) for tid, point in enumerate(points))
    return trials


def fmin_pass_expr_memo_ctrl(f: Any) -> Any:
    """Refuse a function of Hyperopt's low-level call.

    Raises:
        ArgumentError: Always.
    """
    raise ArgumentError(
        f"{getattr(f, '__name__', f)} takes Hyperopt's expr, memo and ctrl, which aren't here: "
        "let it take a point of the space"
    )


# ── arguments ─────────────────────────────────────────────────────────────────────────────────────


def _annotated(fn: Callable[..., Any], space: str) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Return a function of a dict, and the space in the annotations of its arguments."""
    if space != "annotated":
        raise ArgumentError(f'space must hold hp.*, or be "annotated", but got {space!r}')
    notes = inspect.getfullargspec(fn).annotations
    found = {name: each for name, each in notes.items() if name != "return"}
    for name, each in found.items():
        if not isinstance(each, Expression):
            raise InvalidAnnotatedParameter(
                f'with space="annotated", {name} must have an annotation such as '
                f"hp.uniform({name!r}, 0, 1), but got {each!r:.200}"
            )
    return by_keyword(fn), found


def _checked(trials: Any) -> Trials:
    if isinstance(trials, Trials):
        return trials
    kind = type(trials)
    raise ArgumentError(
        "trials must be Trials or SparkTrials of manyfit.hyperopt, but got "
        f"{kind.__module__}.{kind.__qualname__}. To continue trials of Hyperopt, pass "
        "trials_from_docs(trials.trials)"
    )


def _loaded(path: str) -> Trials:
    """Return the trials of an earlier call, or new ones."""
    if not path or not Path(path).exists():
        return Trials()
    try:
        saved = pickle.loads(Path(path).read_bytes())  # noqa: S301 - the user's own, as in Hyperopt
    except Exception as error:
        raise ArgumentError(
            f"trials_save_file={path!r} exists, but has no trials that can be read: "
            f"{type(error).__name__}: {error}. Remove it to begin anew, or give another path"
        ) from error
    return _checked(saved)


def _limits(
    trials: Trials,
    max_evals: int | None,
    timeout: float | None,
    loss_threshold: float | None,
    early_stop_fn: _Stop | None,
) -> Limits:
    if trials.timeout is not None and timeout is not None:
        logger.warning("the timeout of the trials, %g s, replaces that of fmin", trials.timeout)
    return Limits(
        max_evals,
        trials.timeout or check_optional("timeout", timeout, above=0, unit="seconds"),
        trials.loss_threshold
        if loss_threshold is None
        else check_optional("loss_threshold", loss_threshold),
        early_stop_fn,
    )


def _seed(rstate: Any) -> int | None:
    if rstate is None:
        given = os.environ.get("HYPEROPT_FMIN_SEED", "")
        return int(given) if given else None
    if isinstance(rstate, np.random.Generator):
        return int(rstate.integers(2**31 - 1))
    if isinstance(rstate, np.random.RandomState):
        return int(rstate.randint(2**31 - 1))
    seed: int | None = check_optional("rstate", rstate, least=0, whole=True)
    return seed


def _points(points: Iterable[Mapping[str, Any]] | None, layout: Layout) -> list[dict[str, Any]]:
    if points is None:
        return []
    if isinstance(points, Mapping | str) or not isinstance(points, Iterable):
        raise ArgumentError(f"points_to_evaluate must be a list of dicts, but got {points!r:.200}")
    return [layout.stored(point) for point in points]


@contextlib.contextmanager
def _bar(callback: Any, trials: Trials, total: int | None) -> Any:
    """Give a function to call after each trial, which moves a progress bar of the user's own."""
    if callback is None:
        yield lambda: None
        return
    with callback(initial=len(trials), total=total) as bar:

        def on_end() -> None:
            losses = [loss for loss in trials.losses() if loss is not None and not np.isnan(loss)]
            if losses:
                bar.postfix = f"best loss: {min(losses)}"
            bar.update(1)

        yield on_end
