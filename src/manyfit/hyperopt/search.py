"""Runs a call of `fmin` as a study, and keeps its `Trials` up to date."""

import logging
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle

from manyfit._names import new_name
from manyfit.budget import Target
from manyfit.errors import ArgumentError
from manyfit.hyperopt.base import Trials
from manyfit.hyperopt.document import Document
from manyfit.hyperopt.layout import Layout
from manyfit.hyperopt.objective import Kept, objective_of
from manyfit.hyperopt.record import document_of, point_of, values_of
from manyfit.hyperopt.results import cut, is_usable
from manyfit.result import StudyResult
from manyfit.study import Study
from manyfit.trial import Trial

logger = logging.getLogger("manyfit")

METRIC = "loss"


@dataclass(frozen=True)
class Limits:
    """When a search ends.

    Attributes:
        max_evals: The number of trials in `trials`, over all calls; None for any number.
        timeout: Seconds for this call.
        loss_threshold: A loss; the search ends with one below it.
        early_stop_fn: Called with the trials after each of them, and with what it returned last.
    """

    max_evals: int | None
    timeout: float | None
    loss_threshold: float | None
    early_stop_fn: Callable[..., tuple[bool, Sequence[Any]]] | None


@dataclass(frozen=True)
class Home:
    """Where a search is recorded.

    Attributes:
        name: The study's name; None for that of the trials, or a new one.
        folder: The folder that contains studies.
        save: The file that has the pickled trials after each of them; "" for none.
    """

    name: str | None
    folder: Path
    save: str = ""


class Search:
    """A call of `fmin`.

    Args:
        trials: Where the trials are put.
        layout: The space.
        home: Where it is recorded.
        options: Other arguments of `Study`.
    """

    def __init__(
        self, trials: Trials, layout: Layout, home: Home, options: Mapping[str, Any]
    ) -> None:
        self._trials = trials
        self._layout = layout
        self._home = home
        self._options = dict(options)
        self._kept: Kept | None = None
        self._extra = 0
        self._has_news = False
        self._stop_args: Sequence[Any] = ()
        self._cut: set[str] = set()

    def run(
        self,
        fn: Callable[[Any], Any],
        limits: Limits,
        *,
        catch: bool,
        progress: str | None,
        on_end: Callable[[], None],
    ) -> None:
        """Run trials until a limit is reached.

        Args:
            fn: The objective.
            limits: When to end.
            catch: Whether an exception of the objective only fails its trial. Trials on other
                machines never do more than that.
            progress: What to show; None for nothing.
            on_end: Called after each trial.

        Raises:
            Exception: What the objective raised, if trials run in this process, unless `catch`.
            KeyboardInterrupt: After a Ctrl-C or SIGTERM; the trials so far are taken in.
        """
        executor = self._trials.executor()
        in_process = executor.capabilities.in_driver_process
        self._kept = kept = Kept(catch) if in_process else None
        self._begin()
        with self._open() as study:
            n_trials = self._n_trials(study.result(), limits.max_evals)
            if n_trials == 0:
                return
            logger.addFilter(_is_for_fmin)
            try:
                result = study.tune(
                    objective_of(fn, self._layout, kept),
                    n_trials=n_trials,
                    timeout=limits.timeout,
                    executor=executor,
                    stop=list(self._stops(limits)),
                    on_trial_end=lambda _, trial: self._heed(trial, on_end),
                    cpus_per_trial=self._trials.cpus_per_trial,
                    max_failures=n_trials if in_process else None,
                    advice=progress is not None,
                    progress=progress,
                )
            finally:
                logger.removeFilter(_is_for_fmin)
                self._take_in(study.result().trials)
                self._trials.sort()
                self._write()
        if kept is not None and kept.error is not None:
            raise kept.error
        if result.reason == "interrupted":
            raise KeyboardInterrupt("call fmin again with its trials to go on")
        if limits.max_evals is not None and "exhausted" in result.reason:
            logger.warning("fmin ended before max_evals=%d: %s", limits.max_evals, result.reason)

    # ── the study ─────────────────────────────────────────────────────────────────────────────

    def _begin(self) -> None:
        """Find the study of the trials, or make one that has learnt from them."""
        trials, home = self._trials, self._home
        shown = len(trials)
        waiting = [values_of(document) for document in trials.take_new()]
        # As in Hyperopt, those that were added without a `refresh` come on top of `max_evals`.
        self._extra = len(waiting) - (shown - len(trials))
        points = [*map(self._layout.stored, waiting), *self._options.pop("start_with")]
        self._options["start_with"] = points
        known = trials.study
        wanted = (home.name, home.folder) if home.name is not None else known
        if wanted is not None and (wanted[1] / wanted[0]).is_dir():
            trials.study = wanted
            self._options["seed"] = None  # a study keeps its own
            return
        trials.study = (home.name or new_name("fmin"), home.folder)
        self._bring_in(trials.trials)

    def _open(self, **changes: Any) -> Study:
        name, folder = self._trials.study or ("", Path())
        options = {"on_space_change": "keep", **self._options, **changes}
        return Study(self._layout.space, metric=METRIC, name=name, folder=folder, **options)

    def _bring_in(self, documents: Iterable[Document]) -> None:
        """Record trials of elsewhere, so that the sampler learns from them."""
        space = self._layout.space
        points: dict[str, tuple[dict[str, Any], Document]] = {}
        for document in documents:
            point = point_of(document, self._layout)
            if point is not None:
                points.setdefault(space.key(point), (point, document))
        if not points:
            return
        start = [point for point, _ in points.values()]
        with self._open(start_with=start, tracker=None) as study:
            for _ in start:
                trial = study.ask()
                if trial is None:
                    break
                _, document = points[space.key(trial.params)]
                result = document["result"]
                study.tell(
                    trial, {METRIC: result["loss"]} if is_usable(result) else {METRIC: math.nan}
                )
                self._trials.put(trial.number, document, document["tid"])

    def _n_trials(self, before: StudyResult, max_evals: int | None) -> int | None:
        """Return the total for the study, after taking in its trials; 0 if there is nothing to do.

        Trials that raised in earlier calls don't count in `max_evals`, and trials of elsewhere that
        are outside the space do.
        """
        self._take_in(trial for trial in before.trials if trial.state.is_finished)
        if max_evals is None:
            return None
        done = sum(t.state.is_finished and t.number not in before.outside for t in before.trials)
        left = max_evals + self._extra - len(self._trials)
        return done + left if left > 0 else 0

    # ── the trials ────────────────────────────────────────────────────────────────────────────

    def _take_in(self, recorded: Iterable[Trial]) -> None:
        """Put trials of the journal that have been begun, unless their documents are final."""
        for trial in recorded:
            fits = self._layout.space.contains(trial.params)
            if fits and trial.attempts and not self._is_known(trial):
                self._put(trial)

    def _is_known(self, trial: Trial) -> bool:
        return self._trials.is_done(trial.number)

    def _put(self, trial: Trial) -> None:
        returned = None if self._kept is None else self._kept.results.get(trial.number)
        document = document_of(trial, self._layout, returned)
        attachments = {}
        if self._kept is not None:
            attachments = document["result"].pop("attachments", {})
        self._trials.put(trial.number, document)
        for name, value in attachments.items():
            self._trials.trial_attachments(document)[name] = value

    def _heed(self, trial: Trial, on_end: Callable[[], None]) -> None:
        """Take in a trial that has ended."""
        if not self._is_known(trial):
            self._put(trial)
        if self._kept is None:
            self._say_what_is_cut(trial)
        self._has_news = True
        self._write()
        on_end()

    def _say_what_is_cut(self, trial: Trial) -> None:
        new = [name for name in cut(trial.notes) if name not in self._cut]
        self._cut.update(new)
        if new:
            logger.warning(
                "%s of trial %d came as short text, because it isn't JSON, or is long. To keep it, "
                "save it in storage that all machines have, and return its path",
                *(" and ".join(new), trial.number),
            )

    def _stops(self, limits: Limits) -> Iterator[Any]:
        if limits.loss_threshold is not None:
            # Hyperopt ends below it, not at it.
            yield Target(math.nextafter(limits.loss_threshold, -math.inf))
        early_stop_fn = limits.early_stop_fn
        if early_stop_fn is not None:

            def stop(_: StudyResult) -> str | None:
                if not self._has_news:
                    return None  # it is called when a study is resumed, too
                ends, self._stop_args = _told(early_stop_fn(self._trials, *self._stop_args))
                return "early_stop_fn returned True" if ends else None

            yield stop

    def _write(self) -> None:
        """Write the trials to their file, which is replaced as a whole."""
        if not self._home.save:
            return
        path = Path(self._home.save)
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        part.write_bytes(cloudpickle.dumps(self._trials))
        part.replace(path)


def _is_for_fmin(record: logging.LogRecord) -> bool:
    """Return whether a message is of use: fmin only minimises, so a negated score is right here."""
    return "direction='maximize'" not in record.getMessage()


def _told(returned: Any) -> tuple[Any, Sequence[Any]]:
    """Return what an `early_stop_fn` returned, if it is a pair as in Hyperopt."""
    try:
        ends, args = returned
        args = [*args]
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            "early_stop_fn must return whether to end the search, and a list of what it is called "
            f"with next time, such as (False, []), but returned {returned!r:.200}"
        ) from error
    return ends, args
