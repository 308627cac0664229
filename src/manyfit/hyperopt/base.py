"""`Trials`: the record of a call of `fmin`, as the documents that scripts for Hyperopt read."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from manyfit.archive import load_study
from manyfit.errors import ArgumentError
from manyfit.executors.base import Executor
from manyfit.executors.inline import InlineExecutor
from manyfit.hyperopt.document import (
    JOB_STATE_CANCEL,
    JOB_STATE_DONE,
    JOB_STATE_ERROR,
    JOB_STATE_NEW,
    JOB_STATE_RUNNING,
    JOB_STATES,
    Attachments,
    Document,
    checked,
    new_document,
)
from manyfit.hyperopt.exceptions import AllTrialsFailed
from manyfit.hyperopt.results import (
    STATUS_FAIL,
    STATUS_NEW,
    STATUS_OK,
    STATUS_RUNNING,
    STATUS_STRINGS,
    STATUS_SUSPENDED,
)
from manyfit.result import StudyResult
from manyfit.trackers.auto import Trackers

__all__ = [
    "JOB_STATES",
    "JOB_STATE_CANCEL",
    "JOB_STATE_DONE",
    "JOB_STATE_ERROR",
    "JOB_STATE_NEW",
    "JOB_STATE_RUNNING",
    "STATUS_FAIL",
    "STATUS_NEW",
    "STATUS_OK",
    "STATUS_RUNNING",
    "STATUS_STRINGS",
    "STATUS_SUSPENDED",
    "Trials",
    "trials_from_docs",
]

# The trials that `trials` shows: not those that raised or were cut off.
_VALID = (JOB_STATE_NEW, JOB_STATE_RUNNING, JOB_STATE_DONE)
_FINAL = (JOB_STATE_DONE, JOB_STATE_ERROR)
_DRAWS = 1000


class Trials:
    """The trials of `fmin`, which runs them one at a time in the calling process.

    Given to `fmin` again, it continues: `max_evals` counts the trials of all calls. Each trial is a
    dict: `tid`, `state`, `result` (what the objective returned), `misc` (`vals` has the
    hyperparameters as lists of one item, empty if inactive), `book_time` and `refresh_time`. Trials
    whose objective raised, or that were cut off, are counted, but not in `trials`.

    Args:
        exp_key: Any value; trials with another one are hidden.
        refresh: Accepted as in Hyperopt.

    Example:
        >>> from manyfit.hyperopt import fmin, hp, rand
        >>> trials = Trials()
        >>> best = fmin(
        ...     lambda x: x**2, hp.uniform("x", -1, 1), rand.suggest, 5, trials=trials,
        ...     verbose=False, folder=getfixture("tmp_path"),
        ... )
        >>> len(trials), trials.best_trial["misc"]["vals"]["x"] == [best["x"]]
        (5, True)
    """

    asynchronous = False
    # What `fmin` uses, unless it is told otherwise.
    default_tracker: Trackers = None
    timeout: float | None = None
    loss_threshold: float | None = None
    cpus_per_trial: int | None = None

    def __init__(self, exp_key: Any = None, refresh: bool = True) -> None:
        self._exp_key = exp_key
        self._forget()
        if refresh:
            self.refresh()

    def _forget(self) -> None:
        self.attachments: dict[str, Any] = {}
        self._ids: set[Any] = set()
        self._dynamic_trials: list[Document] = []
        self._trials: list[Document] = []
        self._study: tuple[str, Path] | None = None
        self._numbers: dict[int, Any] = {}  # a trial's number in the study → its tid here

    # ── the study ─────────────────────────────────────────────────────────────────────────────

    @property
    def result(self) -> StudyResult:
        """The study as Manyfit's result: `table()`, `report()`, `failures()`, plots.

        Raises:
            ArgumentError: `fmin` has not run with these trials.
        """
        if self._study is None:
            raise ArgumentError("these Trials have no study yet: call fmin(..., trials=trials)")
        name, folder = self._study
        return load_study(name, folder=folder)

    @property
    def study(self) -> tuple[str, Path] | None:
        """The name of the study and the folder that contains it; None before `fmin`."""
        return self._study

    @study.setter
    def study(self, study: tuple[str, Path]) -> None:
        if study != self._study:
            self._numbers = {}
        self._study = study

    def executor(self) -> Executor:
        """Return what runs the trials."""
        return InlineExecutor()

    def put(self, number: int, document: Document, tid: Any = None) -> None:
        """Add the document of a trial of the study, or replace it, and refresh.

        Args:
            number: The trial's number in the study.
            document: The document, whose `tid` is set here.
            tid: The id; by default the number, or a free one if another trial has that.
        """
        is_new = number not in self._numbers
        if is_new:
            free = number if number not in self._ids else 1 + max(self._ids)
            self._numbers[number] = free if tid is None else tid
        tid = self._numbers[number]
        misc = document["misc"]
        misc["tid"] = document["tid"] = tid
        misc["idxs"] = {label: [tid] if values else [] for label, values in misc["vals"].items()}
        document["exp_key"] = self._exp_key
        if not is_new or tid in self._ids:
            self._dynamic_trials = [each for each in self._dynamic_trials if each["tid"] != tid]
        self._dynamic_trials.append(document)
        self.refresh()

    def is_done(self, number: int) -> bool:
        """Return whether the document of a trial of the study is final."""
        tid = self._numbers.get(number, self)
        return any(each["tid"] == tid and each["state"] in _FINAL for each in self._dynamic_trials)

    def take_new(self) -> list[Document]:
        """Remove and return the documents of trials that have not run."""
        new = [each for each in self._mine() if each["state"] == JOB_STATE_NEW]
        self._ids -= {each["tid"] for each in new}
        self._dynamic_trials = [
            each for each in self._dynamic_trials if not any(each is one for one in new)
        ]
        self.refresh()
        return new

    def sort(self) -> None:
        """Put the documents in the order of their ids."""
        self._dynamic_trials.sort(key=lambda document: document["tid"])
        self.refresh()

    # ── documents ─────────────────────────────────────────────────────────────────────────────

    def refresh(self) -> None:
        """Take up changes of the documents."""
        mine = self._mine()
        self._trials = [each for each in mine if each["state"] in _VALID]
        self._ids.update(each["tid"] for each in mine)

    def _mine(self) -> list[Document]:
        key = self._exp_key
        return [each for each in self._dynamic_trials if key is None or each["exp_key"] == key]

    def __iter__(self) -> Iterator[Document]:
        return iter(self._trials)

    def __len__(self) -> int:
        return len(self._trials)

    def view(self, exp_key: Any = None, refresh: bool = True) -> Self:
        """Return the same trials, those with one key only."""
        seen = object.__new__(type(self))
        seen.__dict__.update(self.__dict__)
        seen._exp_key = exp_key
        if refresh:
            seen.refresh()
        return seen

    def insert_trial_doc(self, doc: Document) -> Any:
        """Add a document, and return its id; call `refresh` to see it.

        Raises:
            InvalidTrial: It lacks a part.
        """
        return self.insert_trial_docs([doc])[0]

    def insert_trial_docs(self, docs: Iterable[Document]) -> list[Any]:
        """Add documents, and return their ids; call `refresh` to see them.

        Raises:
            InvalidTrial: One of them lacks a part.
        """
        added = list(docs)
        for document in added:
            checked(document, self._exp_key)
        self._dynamic_trials += added
        return [document["tid"] for document in added]

    def new_trial_ids(self, n: int) -> list[int]:
        """Return `n` ids that no trial has."""
        first = len(self._ids)
        self._ids.update(range(first, first + n))
        return list(range(first, first + n))

    def new_trial_docs(
        self,
        tids: Sequence[Any],
        specs: Sequence[Any],
        results: Sequence[Any],
        miscs: Sequence[Any],
    ) -> list[Document]:
        """Return documents of trials that have not run."""
        parts = zip(tids, specs, results, miscs, strict=True)
        return [
            new_document(tid, misc, self._exp_key) | {"spec": spec, "result": result}
            for tid, spec, result, misc in parts
        ]

    def delete_all(self) -> None:
        """Forget all trials; their study stays on disk, and the next `fmin` begins another."""
        self._forget()

    # ── views ─────────────────────────────────────────────────────────────────────────────────

    @property
    def trials(self) -> list[Document]:
        """The documents, without those that raised or were cut off."""
        return self._trials

    @property
    def tids(self) -> list[Any]:
        return [each["tid"] for each in self._trials]

    @property
    def specs(self) -> list[Any]:
        return [each["spec"] for each in self._trials]

    @property
    def results(self) -> list[dict[str, Any]]:
        """What the objective returned, as dicts."""
        return [each["result"] for each in self._trials]

    @property
    def miscs(self) -> list[dict[str, Any]]:
        return [each["misc"] for each in self._trials]

    @property
    def idxs_vals(self) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
        """For each label the ids of the trials that used it, and its values in them."""
        labels = dict.fromkeys(label for misc in self.miscs for label in misc["vals"])
        return (
            {n: [i for misc in self.miscs for i in misc["idxs"].get(n, [])] for n in labels},
            {n: [v for misc in self.miscs for v in misc["vals"].get(n, [])] for n in labels},
        )

    @property
    def idxs(self) -> dict[str, list[Any]]:
        return self.idxs_vals[0]

    @property
    def vals(self) -> dict[str, list[Any]]:
        """For each label its values, in the trials that used it."""
        return self.idxs_vals[1]

    def losses(self, bandit: Any = None) -> list[float | None]:
        """Return the losses; None for a trial without one."""
        _refuse_bandit(bandit)
        return [result.get("loss") for result in self.results]

    def statuses(self, bandit: Any = None) -> list[str]:
        _refuse_bandit(bandit)
        return [result["status"] for result in self.results]

    def count_by_state_synced(self, arg: Any, trials: Iterable[Document] | None = None) -> int:
        """Return the number of visible trials in a state, or in one of several."""
        states = set(arg) if isinstance(arg, Iterable) else {arg}
        if not states <= set(JOB_STATES):
            raise TypeError(f"a state is one of {JOB_STATES}, but got {arg!r}")
        return sum(each["state"] in states for each in (self._trials if trials is None else trials))

    def count_by_state_unsynced(self, arg: Any) -> int:
        """Return the number of trials in a state, including those that raised or were cut off."""
        return self.count_by_state_synced(arg, self._mine())

    # ── the best ──────────────────────────────────────────────────────────────────────────────

    @property
    def best_trial(self) -> Document:
        """The document of the trial with the lowest loss whose status is ok.

        Raises:
            AllTrialsFailed: There is none.
        """
        return min(self._usable(), key=lambda each: float(each["result"]["loss"]))

    def _usable(self) -> list[Document]:
        found = [each for each in self._trials if each["result"]["status"] == STATUS_OK]
        found = [each for each in found if not np.isnan(each["result"]["loss"])]
        if not found:
            raise AllTrialsFailed(self._why_none())
        return found

    def _why_none(self) -> str:
        errors = [each["misc"]["error"] for each in self._mine() if "error" in each["misc"]]
        said = f"; at last, one raised {errors[-1][0]}: {errors[-1][1]:.500}" if errors else ""
        return f"none of the {len(self._mine())} trials has a loss{said}"

    @property
    def argmin(self) -> dict[str, Any]:
        """The active hyperparameters of the best trial, choices as indices.

        Raises:
            AllTrialsFailed: No trial has a loss.
        """
        values = self.best_trial["misc"]["vals"]
        return {label: each[0] for label, each in values.items() if each}

    def average_best_error(self, bandit: Any = None) -> float:
        """Return the mean `true_loss`, weighted by the probability that the loss is the best.

        Without `loss_variance` in the results, that is the `true_loss` of the best trial, or its
        loss.

        Raises:
            AllTrialsFailed: No trial has a loss.
        """
        _refuse_bandit(bandit)
        usable = [each["result"] for each in self._usable()]
        losses = np.array([result["loss"] for result in usable], float)
        spreads = np.sqrt([float(result.get("loss_variance", 0)) for result in usable])
        truths = np.array([result.get("true_loss", result["loss"]) for result in usable], float)
        if not spreads.any():
            return float(truths[losses.argmin()])
        draws = np.random.default_rng(0).normal(losses, spreads, (_DRAWS, len(losses)))
        return float(truths[draws.argmin(axis=1)].mean())

    # ── attachments ───────────────────────────────────────────────────────────────────────────

    def aname(self, trial: Document, name: str) -> str:
        """Return the key of a trial's attachment in `attachments`."""
        return f"ATTACH::{trial['tid']}::{name}"

    def trial_attachments(self, trial: Document) -> Attachments:
        """Return the attachments of a trial, as a mapping."""
        return Attachments(self.attachments, lambda name: self.aname(trial, name))


def trials_from_docs(docs: Iterable[Document], validate: bool = True, **options: Any) -> Trials:
    """Return trials with these documents, which may be those of Hyperopt's own `Trials`.

    `fmin` learns from them, and counts them in `max_evals`.

    Raises:
        InvalidTrial: One of them lacks a part.
    """
    found = Trials(**options)
    if validate:
        found.insert_trial_docs(docs)
    else:
        found._dynamic_trials += docs
    found.refresh()
    return found


def _refuse_bandit(bandit: Any) -> None:
    if bandit is not None:
        raise ArgumentError(f"bandit is an internal object of Hyperopt; leave out {bandit!r:.100}")
