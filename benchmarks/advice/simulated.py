"""Studies of made-up trainings, one trial after the other and in no time, as records of advice."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from manyfit import Space
from manyfit.advice.record import Record
from manyfit.metric import Metric
from manyfit.pruners.auto import make_pruner
from manyfit.pruners.base import PrunerSettings
from manyfit.samplers.auto import make_sampler
from manyfit.samplers.distinct import distinct_params
from manyfit.samplers.earlier import Earlier
from manyfit.trial import (
    Attempt,
    End,
    Failed,
    Finished,
    Measurement,
    Measurements,
    Params,
    Pruned,
    Trial,
)


@dataclass(frozen=True)
class Training:
    """What a trial comes to.

    Args:
        metrics: What it returns; empty for a failure.
        curve: The tuned metric at each step; empty without reports.
        seconds: How long it takes.
        reason: Why it failed.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    curve: tuple[float, ...] = ()
    seconds: float = 60.0
    reason: str = "it raised"


@dataclass(frozen=True)
class Plan:
    """A study to simulate.

    Args:
        space: The space.
        train: Returns the training of params, given also the study's seed and the trial's number.
        n_trials: The number of trials.
        metric: The metric tuned.
        pruner: As for `manyfit.tune`.
        sampler: As for `manyfit.tune`.
        start_with: Stored params to begin with.
        most_seconds: Ends the study once its trials took this long.
    """

    space: Space
    train: Callable[[Params, int, int], Training]
    n_trials: int = 40
    metric: Metric = Metric("val_loss")  # noqa: RUF009 - it is frozen
    pruner: str | PrunerSettings | None = None
    sampler: str = "auto"
    start_with: tuple[Params, ...] = ()
    most_seconds: float = float("inf")


def run(plan: Plan, seed: int, earlier: Iterable[Earlier] = ()) -> Record:
    """Simulate a study."""
    sampler, _ = make_sampler(plan.sampler, plan.space, plan.metric, seed, list(earlier))
    judge = make_pruner(plan.pruner, plan.metric)
    trials: list[Trial] = []
    seen: set[str] = set()
    now = 0.0
    while len(trials) < plan.n_trials and now < plan.most_seconds:
        number = len(trials)
        if number < len(plan.start_with):
            params, origin = plan.start_with[number], "start_with"
        else:
            params = distinct_params(sampler, plan.space, number, seen, seed) or {}
            origin = "sampler"
        seen.add(plan.space.key(params))
        training = plan.train(plan.space.materialize(params), seed, number)
        trial = Trial(number, params, origin)
        measured, reason = _reported(trial, training, plan.metric, judge.report, now)
        end: End = Pruned(reason) if reason else _end_of(training, plan.metric)
        now += training.seconds
        attempt = Attempt(1, "worker", 0.0, measured, None, end, now, training.seconds)
        trials.append(Trial(number, params, origin, attempts=(attempt,)))
        judge.end(trials[-1])
        sampler.tell(trials[-1])
    return Record.of(plan.space, plan.metric, trials)


def _reported(
    trial: Trial,
    training: Training,
    metric: Metric,
    judge: Callable[[Trial, int, float], str | None],
    now: float,
) -> tuple[Measurements, str | None]:
    measured = Measurements()
    for step, value in enumerate(training.curve):
        at = now + training.seconds * (step + 1) / (len(training.curve) + 1)
        measured = measured.with_one(Measurement(step, {metric.name: value}, at))
        attempts = (Attempt(1, "worker", now, measured),)
        reason = judge(Trial(trial.number, trial.params, attempts=attempts), step, value)
        if reason:
            return measured, reason
    return measured, None


def _end_of(training: Training, metric: Metric) -> End:
    if not training.metrics:
        return Failed(training.reason, "RuntimeError")
    return Finished(training.metrics[metric.name], training.metrics)
