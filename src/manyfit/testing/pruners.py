"""The contract suite of pruners, and fakes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest

from manyfit.metric import Metric
from manyfit.pruners.auto import make_pruner
from manyfit.pruners.base import Pruner, PrunerSettings
from manyfit.trial import Attempt, End, Failed, Finished, Lost, Measurement, Pruned, Trial


@dataclass
class ScriptedPruner:
    """A pruner with scripted verdicts, which remembers what it was told.

    Args:
        script: Reasons to end a trial, by its number and step.

    Example:
        >>> pruner = ScriptedPruner({(0, 2): "hopeless"}).bind(Metric("loss"))
        >>> story = PrunerStory(pruner, Metric("loss"))
        >>> [story.report(0, step, 0.5) for step in range(3)]
        [None, None, 'hopeless']
    """

    script: Mapping[tuple[int, int], str] = field(default_factory=dict)
    reports: list[tuple[int, int, float]] = field(default_factory=list)
    ended: list[Trial] = field(default_factory=list)

    def bind(self, metric: Metric) -> Pruner:  # noqa: ARG002 - its verdicts are scripted
        """Return itself, so that a test can inspect it."""
        return self

    def report(self, trial: Trial, step: int, value: float) -> str | None:
        """Remember the report, and look up the verdict."""
        self.reports.append((trial.number, step, value))
        return self.script.get((trial.number, step))

    def end(self, trial: Trial) -> None:
        self.ended.append(trial)


class PrunerStory:
    """Plays the engine for a pruner: builds trials, and tells the pruner about them.

    Args:
        pruner: A pruner bound to `metric`.
        metric: The metric that trials report.

    Example:
        >>> metric = Metric("loss")
        >>> story = PrunerStory(make_pruner("auto", metric), metric)
        >>> story.report(0, 0, 0.5)
        >>> story.report(0, 1, math.nan)
        'loss is NaN at step 1: diverged'
        >>> story.prune(0)
    """

    def __init__(self, pruner: Pruner, metric: Metric) -> None:
        self.trials: dict[int, Trial] = {}
        self._pruner = pruner
        self._metric = metric

    def report(self, number: int, step: int, value: float) -> str | None:
        """Let a trial report a value, and start it if necessary; returns the verdict."""
        trial = self._running(number)
        attempt = trial.attempts[-1]
        measurement = Measurement(step, {self._metric.name: value}, at=0.0)
        measurements = (*attempt.measurements, measurement)
        trial = self._with_last(trial, replace(attempt, measurements=measurements))
        return self._pruner.report(trial, step, value)

    def curve(self, number: int, values: Sequence[float], steps: Sequence[int] = ()) -> str | None:
        """Let a trial report at steps 0, 1, 2, ... or those given; returns the first verdict."""
        steps = steps or range(len(values))
        verdicts = [self.report(number, *at) for at in zip(steps, values, strict=True)]
        return next((verdict for verdict in verdicts if verdict is not None), None)

    def finish(self, number: int, value: float = 0.0) -> None:
        """Let a trial complete."""
        self._end(number, Finished(value, {self._metric.name: value}))

    def prune(self, number: int) -> None:
        """Let a trial end as pruned."""
        self._end(number, Pruned("hopeless"))

    def fail(self, number: int) -> None:
        """Let a trial's objective raise."""
        self._end(number, Failed("ValueError: no", "ValueError"))

    def lose(self, number: int) -> None:
        """Let a trial's worker die, unnoticed; the next report is that of a new attempt."""
        trial = self._running(number)
        self._with_last(trial, replace(trial.attempts[-1], end=Lost("the worker died")))

    def _end(self, number: int, end: End) -> None:
        trial = self._running(number)
        self._pruner.end(self._with_last(trial, replace(trial.attempts[-1], end=end)))

    def _running(self, number: int) -> Trial:
        trial = self.trials.get(number, Trial(number, {}))
        if not trial.attempts or trial.attempts[-1].end is not None:
            attempt = Attempt(len(trial.attempts) + 1, "worker", started_at=0.0)
            trial = replace(trial, attempts=(*trial.attempts, attempt))
        return trial

    def _with_last(self, trial: Trial, attempt: Attempt) -> Trial:
        trial = replace(trial, attempts=(*trial.attempts[:-1], attempt))
        self.trials[trial.number] = trial
        return trial


class PrunerContract:
    """The contract of every pruner. Subclass it, and override `settings`.

    Example:
        >>> class TestMyPruner(PrunerContract):
        ...     def settings(self, sign):
        ...         return MyPruner(patience=3)
    """

    def settings(self, sign: int) -> PrunerSettings:
        """Make the settings under test, such that some of `CROWD` are hopeless.

        Args:
            sign: -1 if the test negates all values to maximize them, otherwise 1. Apply it to
                settings with a value of the metric, such as a baseline.
        """
        raise NotImplementedError

    def test_it_ends_the_hopeless(self) -> None:
        """In a crowd with hopeless trials, some trials are ended, each with a reason."""
        verdicts = self._play()

        reasons = [reason for reason in verdicts if reason is not None]
        assert reasons
        assert all(MINIMIZE.name in reason for reason in reasons)

    def test_it_never_ends_the_best(self) -> None:
        """A trial that has been the best of all since its first report goes on."""
        story = self._story()
        for number, values in enumerate(CROWD):
            story.curve(number, values)
            story.finish(number)

        assert story.curve(99, [0.01 / (step + 1) for step in range(STEPS)]) is None

    def test_the_direction_is_a_mirror(self) -> None:
        """Maximizing the negated values ends the same trials at the same steps."""
        minimized = [reason is None for reason in self._play()]
        maximized = [reason is None for reason in self._play(sign=-1)]

        assert maximized == minimized

    def test_a_replay_gives_the_same_verdicts(self) -> None:
        """The verdicts are a function of the events, so a resumed study continues unchanged."""
        assert self._play() == self._play()

    def test_studies_share_nothing(self) -> None:
        """Settings that are bound twice judge the second study independently of the first."""
        settings = self.settings(1)
        first = _play(PrunerStory(make_pruner(settings, MINIMIZE), MINIMIZE))

        assert _play(PrunerStory(make_pruner(settings, MINIMIZE), MINIMIZE)) == first

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_a_diverged_trial_is_ended(self, value: float) -> None:
        """A tuned metric that isn't finite ends the trial at once, with that reason."""
        reason = self._story().report(0, 0, value)

        assert reason is not None
        assert "diverged" in reason

    def test_a_diverged_trial_is_no_company(self) -> None:
        """The reports of a diverged trial don't affect the others."""
        clean = self._play()
        story = self._story()
        story.report(1000, 0, -math.inf)
        story.prune(1000)

        assert _play(story) == clean

    def test_a_new_attempt_replaces_the_old_one(self) -> None:
        """After a lost attempt, only the reports of the new one count."""
        clean = self._play()
        story = self._story()

        assert _play(story, lost_before=[0.0001] * STEPS) == clean

    def test_a_failed_trial_is_forgotten(self) -> None:
        """The reports of a failed trial don't affect the verdicts on the others."""
        clean = self._play()
        story = self._story()
        for number in range(100, 110):
            story.curve(number, [0.0001] * STEPS)
            story.fail(number)

        assert _play(story) == clean

    def test_ends_without_reports(self) -> None:
        """Trials that end without a report, in any way, do no harm."""
        clean = self._play()
        story = self._story()
        story.fail(1000)
        story.prune(1001)

        assert _play(story) == clean

    def test_irregular_steps(self) -> None:
        """Steps may differ from trial to trial, have gaps, and be large."""
        story = self._story()
        for number, values in enumerate(CROWD):
            steps = [step * (700 + 13 * number) + number for step in range(STEPS)]
            story.curve(number, values, steps)
            story.finish(number)

        best = [0.01 / (step + 1) for step in range(STEPS)]
        assert story.curve(99, best, [step * 997 for step in range(STEPS)]) is None

    def _story(self, sign: int = 1) -> PrunerStory:
        metric = MINIMIZE if sign == 1 else MAXIMIZE
        return PrunerStory(make_pruner(self.settings(sign), metric), metric)

    def _play(self, sign: int = 1) -> list[str | None]:
        return _play(self._story(sign), sign)


def _play(story: PrunerStory, sign: int = 1, lost_before: Sequence[float] = ()) -> list[str | None]:
    """Run the crowd, one trial at a time, each after an optional lost attempt; return verdicts."""
    verdicts = []
    for number, values in enumerate(CROWD):
        if lost_before:
            story.curve(number, lost_before)
            story.lose(number)
        for step, value in enumerate(values):
            verdicts.append(story.report(number, step, sign * value))
            if verdicts[-1] is not None:
                story.prune(number)
                break
        else:
            story.finish(number)
    return verdicts


MINIMIZE = Metric("val_loss", "minimize")
MAXIMIZE = Metric("val_score", "maximize")
STEPS = 30
# Twelve trials: those with an even number learn, the others stand still, ever further away.
CROWD = [
    [1.0 / (step + 1) if number % 2 == 0 else 1.0 + number / 10 for step in range(STEPS)]
    for number in range(12)
]
