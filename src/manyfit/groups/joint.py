"""One set of params for all groups, or for each cluster of groups: a trial evaluates them all.

::

    study of a cluster ──ask──► params ──► every group of it, in parallel ──► aggregate ──tell──►
                                        └─ first a sample of them: is it hopeless?
"""

import contextlib
import math
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from manyfit.errors import NoResultError
from manyfit.group_events import TrialScored
from manyfit.groups.job import GroupJob
from manyfit.groups.record.keys import group_seed, key_text, texts_of
from manyfit.groups.record.row import FAIL
from manyfit.groups.record.store import GroupRecord
from manyfit.groups.run.base import Points, Population
from manyfit.groups.search.study import why_so_few
from manyfit.study import Study
from manyfit.trackers.base import Tracker
from manyfit.trial import Params, State, Trial

Aggregate: TypeAlias = Literal["mean", "weighted", "median", "worst"]
AGGREGATES: tuple[Aggregate, ...] = ("mean", "weighted", "median", "worst")

# A trial is first evaluated on a fifth of the groups, or on `_FEWEST` if a fifth is fewer.
_SHARE = 5
_FEWEST = 8
_RESAMPLES = 500
_SURE = 0.99
_WORST = 10  # the worst tenth


@dataclass(frozen=True, slots=True)
class Score:
    """A trial's loss for one group (smaller is better), and the group's rows as its weight."""

    loss: float
    rows: int


Scores: TypeAlias = Mapping[str, Score]


def aggregate(scores: Sequence[Score], how: Aggregate) -> float:
    """Return the loss of a trial over groups.

    Args:
        scores: One for each group; at least one.
        how: `"mean"`; `"weighted"` by the groups' rows; `"median"`; `"worst"`: the mean of the
            worst tenth.

    Example:
        >>> aggregate([Score(1.0, 10), Score(4.0, 30)], "weighted")
        3.25
    """
    losses = np.array([score.loss for score in scores])
    weights = np.array([float(score.rows) for score in scores])
    return float(_aggregated(losses[None], weights[None], how)[0])


def _aggregated(losses: Any, weights: Any, how: Aggregate) -> Any:
    """Aggregate over the last axis."""
    if how == "mean":
        return losses.mean(axis=-1)
    if how == "weighted":
        return (losses * weights).sum(axis=-1) / weights.sum(axis=-1)
    if how == "median":
        return np.median(losses, axis=-1)
    count = -(-losses.shape[-1] // _WORST)
    return np.sort(losses, axis=-1)[..., -count:].mean(axis=-1)


def is_hopeless(sample: Scores, best: Scores, how: Aggregate, seed: int) -> bool:
    """Whether a trial with these scores on a sample of groups is unlikely to become the best.

    Both trials are compared on the same groups, resampled with replacement: a trial is hopeless if
    it is worse in 99 % of the resamples (Efron, "Bootstrap methods", 1979).
    """
    shared = sorted(sample.keys() & best.keys())
    if len(shared) < _FEWEST:
        return False
    losses = np.array([[each[group].loss for group in shared] for each in (sample, best)])
    weights = np.array([float(sample[group].rows) for group in shared])
    drawn = np.random.default_rng(seed).integers(len(shared), size=(_RESAMPLES, len(shared)))
    mine, other = (_aggregated(each[drawn], weights[drawn], how) for each in losses)
    return bool(np.mean(mine > other) >= _SURE)


class Joint:
    """Tunes clusters of groups at the same pace: each pass evaluates one trial of every cluster.

    Args:
        population: The groups.
        job: How to tune each group; `n_trials` is the number of trials of each cluster.
        how: How the losses of groups are combined into the loss of a trial.
        record: The record of the call; the clusters' studies are kept in a folder in it.
        tracker: Receives the events of the trials; none by default.
    """

    def __init__(
        self,
        population: Population,
        job: GroupJob,
        how: Aggregate,
        record: GroupRecord,
        tracker: Tracker | None = None,
    ) -> None:
        self._population = population
        self._job = job
        self._how = how
        self._record = record
        self._tracker = tracker
        self.notes: tuple[str, ...] = ()  # sentences for users; set by `run`
        self._keys = population.keys()
        texts = texts_of(self._keys, job.by)
        self._cluster = dict(zip(texts, texts_of(self._keys, job.shared_by), strict=True))
        self._clusters = sorted(set(self._cluster.values()))
        self._sample = self._sampled(texts)
        known = [cluster for cluster in record.state.clusters if cluster is not None]
        # A cluster's study is named after the cluster's index in this list.
        self._order = [*known, *(each for each in self._clusters if each not in known)]
        self._parts: dict[frozenset[str], Population] = {}

    def _sampled(self, texts: Sequence[str]) -> set[str]:
        """Draw the groups that trials are first evaluated on; small clusters have none."""
        found: set[str] = set()
        for cluster in self._clusters:
            groups = [text for text in texts if self._cluster[text] == cluster]
            count = max(len(groups) // _SHARE, _FEWEST)
            if count <= len(groups) // 2:
                groups.sort(key=lambda text: (group_seed(self._job.seed, text), text))
                found.update(groups[:count])
        return found

    def run(self) -> dict[str, Params]:
        """Tune; returns the best params of each cluster, by the text of its `shared_by` values.

        Raises:
            NoResultError: No trial of some cluster has completed.
        """
        with contextlib.ExitStack() as stack:
            studies = {each: stack.enter_context(self._study(each)) for each in self._clusters}
            while asked := self._asked(studies):
                self._pass(studies, asked)
            best = {cluster: _best_params(study, cluster) for cluster, study in studies.items()}
            self.notes = tuple(filter(None, (_note(study, c) for c, study in studies.items())))
            return best

    def _study(self, cluster: str) -> Study:
        job = self._job
        return Study(
            job.space,
            metric=job.metric.name,
            direction=job.metric.direction,
            name=f"{self._order.index(cluster):04}",
            folder=self._record.folder / "shared",
            seed=group_seed(job.seed, cluster),
            sampler=job.sampler,
            pruner=None,
            start_with=job.start_with,
            n_trials=job.n_trials,
            tracker=self._tracker,
        )

    def _asked(self, studies: Mapping[str, Study]) -> dict[str, Trial]:
        asked = {cluster: study.ask() for cluster, study in studies.items()}
        return {cluster: trial for cluster, trial in asked.items() if trial is not None}

    def _pass(self, studies: Mapping[str, Study], asked: Mapping[str, Trial]) -> None:
        """Evaluate a trial of each cluster on the sample, then on the rest if it may be best."""
        known = {c: scores for c, trial in asked.items() if (scores := self._known(c, trial))}
        for cluster, scores in known.items():
            self._tell_scores(studies[cluster], asked[cluster], scores)
        points = {c: (self._job.space.store(trial.params),) for c, trial in asked.items()}
        found: dict[str, dict[str, Any]] = {
            cluster: {} for cluster in asked if cluster not in known
        }
        for is_sample in (True, False):
            alive = {text for text, cluster in self._cluster.items() if cluster in found}
            chosen = [text for text in alive if (text in self._sample) == is_sample]
            for row in self._rows(points, set(chosen)):
                found[self._cluster[row["group"]]][row["group"]] = row
            if is_sample:
                for cluster in self._hopeless(found, studies, asked):
                    del found[cluster]
        for cluster, rows in found.items():
            self._tell(studies[cluster], cluster, asked[cluster], rows)

    def _rows(self, points: Points, chosen: set[str]) -> Iterator[dict[str, Any]]:
        if not chosen:
            return
        for table in self._part(frozenset(chosen)).run(self._job, points):
            yield from table.to_pylist()

    def _part(self, chosen: frozenset[str]) -> Population:
        """Return the population of some groups, cached because most passes have the same ones."""
        if len(chosen) == len(self._keys):
            return self._population
        if chosen not in self._parts:
            texts = texts_of(self._keys, self._job.by)
            places = [place for place, text in enumerate(texts) if text in chosen]
            self._parts[chosen] = self._population.part(self._keys.take(places))
        return self._parts[chosen]

    def _hopeless(
        self,
        found: Mapping[str, Mapping[str, Any]],
        studies: Mapping[str, Study],
        asked: Mapping[str, Trial],
    ) -> list[str]:
        """End the trials that can't become best, and return their clusters."""
        ended = []
        for cluster, rows in found.items():
            best = self._best(studies[cluster], cluster)
            scores = self._scores(rows, self._record.state.excluded)
            if best is None or not scores:
                continue
            seed = group_seed(self._job.seed, f"{cluster}{asked[cluster].number}")
            if is_hopeless(scores, best, self._how, seed):
                studies[cluster].report(asked[cluster], 0, **self._value(scores))
                studies[cluster].prune(asked[cluster])
                ended.append(cluster)
        return ended

    def _value(self, scores: Scores) -> dict[str, float]:
        """Return the value of a trial over all groups, as its metric."""
        loss = aggregate(list(scores.values()), self._how)
        metric = self._job.metric
        return {metric.name: loss if metric.direction == "minimize" else -loss}

    def _scores(
        self, rows: Mapping[str, Mapping[str, Any]], excluded: Container[str]
    ) -> dict[str, Score]:
        return {
            group: Score(self._job.metric.loss(row["value"]), row["rows"])
            for group, row in sorted(rows.items())  # a float sum depends on the order
            if row["value"] is not None and group not in excluded
        }

    def _tell(
        self, study: Study, cluster: str, trial: Trial, rows: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Tell the study a trial's result: it fails if a group that isn't excluded failed."""
        failed = [group for group, row in rows.items() if row["state"] == FAIL]
        excluded = sorted(failed) if trial.number == 0 and len(failed) < len(rows) else []
        out = self._record.state.excluded.union(excluded)
        failed = [group for group in failed if group not in out]
        scores = {} if failed else self._scores(rows, out)
        best = scores if scores and self._is_best(study, scores) else {}
        if best or excluded:
            self._record.put(_scored(cluster, trial.number, best, excluded))
            self._remember()
        if failed:
            first = rows[min(failed)]
            reason = f"{len(failed)} of {len(rows)} groups failed; {min(failed)}: {first['reason']}"
            study.fail(trial, reason, error=first["error"], traceback=first["traceback"])
        elif not scores:
            study.fail(trial, "no group has a value")
        else:
            self._tell_scores(study, trial, scores)

    def _tell_scores(self, study: Study, trial: Trial, scores: Scores) -> None:
        study.tell(trial, {**self._value(scores), "groups": len(scores)})

    def _remember(self) -> None:
        """Write a trial's scores to disk before it is told: later trials depend on both."""
        self._record.commit()

    def _is_best(self, study: Study, scores: Scores) -> bool:
        """Whether a trial with these scores is better than all before."""
        metric = self._job.metric
        losses = [metric.loss(trial.value) for trial in study.result() if trial.value is not None]
        loss = metric.loss(self._value(scores)[metric.name])
        return math.isfinite(loss) and loss < min(losses, default=math.inf)

    def _known(self, cluster: str, trial: Trial) -> Scores | None:
        """Return a trial's scores if an earlier driver evaluated it but died before telling it."""
        found = self._record.state.scored.get(cluster, ())
        return _scores_of(found[-1]) if found and found[-1].number == trial.number else None

    def _best(self, study: Study, cluster: str) -> Scores | None:
        """Return the scores of a cluster's best trial; None if there is none."""
        trials = study.result().trials
        for event in reversed(self._record.state.scored.get(cluster, ())):
            is_told = event.number < 0 or trials[event.number].state is State.COMPLETE
            if event.losses and is_told:
                return _scores_of(event)
        return None


def _scored(cluster: str, number: int, scores: Scores, excluded: Sequence[str]) -> TrialScored:
    losses = {group: score.loss for group, score in scores.items()}
    rows = {group: score.rows for group, score in scores.items()}
    return TrialScored(cluster, number, losses, rows, time.time(), excluded)


def _scores_of(event: TrialScored) -> Scores:
    return {group: Score(loss, event.rows[group]) for group, loss in event.losses.items()}


def _note(study: Study, cluster: str) -> str:
    """Return a note if most trials of a cluster failed, though some completed."""
    why = why_so_few(study.result().trials)
    return why and f"shared params{_whose(cluster)}: {why}"


def _whose(cluster: str) -> str:
    return "" if cluster == key_text([]) else f" of {cluster}"


def _best_params(study: Study, cluster: str) -> Params:
    result = study.result()
    failures = result.failures()
    if failures and len(result.trials) == sum(len(each.numbers) for each in failures):
        first = failures[0]
        raise NoResultError(
            f"all {len(result.trials)} trials{_whose(cluster)} failed; {len(first.numbers)} with: "
            f"{first.reason}\n\n{first.traceback}".rstrip()
        )
    return study.space.store(result.best.params)
