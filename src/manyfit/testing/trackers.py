"""For authors of trackers: stories to tell them, a fake, and the contract every tracker keeps."""

import dataclasses
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from manyfit.events import (
    AttemptFailed,
    AttemptFinished,
    AttemptLost,
    AttemptPruned,
    AttemptStarted,
    Event,
    Reported,
    StudyEnded,
    TrialAbandoned,
    TrialAsked,
)
from manyfit.metric import Metric
from manyfit.space import Choice, Float, Space
from manyfit.testing.groups import group_ended, groups_info, tell_groups
from manyfit.trackers.base import Outcome, StudyInfo, Tracker
from manyfit.trial import (
    Attempt,
    End,
    Failed,
    Finished,
    Lost,
    Measurement,
    Pruned,
    Trial,
)


class Story:
    """Trials that live through what a test tells, told to trackers in the order of the driver.

    Each method is one thing that happens. Times are wall time, a millisecond apart, unless given.

    Args:
        *trackers: Who is told.
        folder: The study's folder.
        n_trials: How many trials it is to have.
        name: The study's name.
        history: Trials of earlier drivers.
        at: When it begins.

    Example:
        >>> story = Story(tracker := RecordingTracker())
        >>> story.start(story.ask(lr=0.1))
        {}
        >>> story.report(0, 1, loss=0.5)
        >>> story.finish(0, loss=0.25)
        >>> story.end()
        >>> [trial.value for trial in tracker.trials]
        [0.25]
    """

    def __init__(
        self,
        *trackers: Tracker,
        folder: Path = Path("tale"),
        n_trials: int | None = 8,
        name: str = "tale",
        history: Sequence[Trial] = (),
        at: float | None = None,
        space: Space | None = None,
    ) -> None:
        self.trackers = trackers
        self.trials = {trial.number: trial for trial in history}
        self.study = StudyInfo(
            name=name,
            folder=folder,
            space=space or Space({"lr": Float(1e-4, 1.0, log=True), "size": Choice(["S", "M"])}),
            metric=Metric("loss", "minimize"),
            seed=7,
            n_trials=n_trials,
            parallelism=2,
        )
        self.now = time.time() if at is None else at
        for tracker in trackers:
            tracker.open(self.study, tuple(self.trials.values()))

    def ask(self, origin: str = "sampler", **params: Any) -> int:
        """Fix the params of a new trial; returns its number."""
        number = len(self.trials)
        trial = Trial(number, params or {"lr": 0.1, "size": "S"}, origin, self._tick())
        self._tell(TrialAsked(number, trial.params, origin, trial.asked_at), trial)
        return number

    def start(self, number: int) -> Mapping[str, str]:
        """Start an attempt; returns what the trackers give its worker."""
        trial = self.trials[number]
        env: dict[str, str] = {}
        for tracker in self.trackers:
            env |= tracker.prepare(trial)
        attempt = Attempt(len(trial.attempts) + 1, "worker-0", self._tick())
        trial = dataclasses.replace(trial, attempts=(*trial.attempts, attempt))
        self._tell(AttemptStarted(number, attempt.number, "worker-0", self.now), trial)
        return env

    def report(self, number: int, step: int, **metrics: float) -> None:
        """Report metrics at a step."""
        attempt = self.trials[number].attempts[-1]
        measured = (*attempt.measurements, Measurement(step, metrics, self._tick()))
        event = Reported(number, attempt.number, step, metrics, self.now)
        self._tell(event, self._with(number, measurements=measured))

    def finish(self, number: int, **metrics: float) -> None:
        """Let the objective return."""
        value = metrics[self.study.metric.name]
        trial = self._end(number, Finished(value, metrics))
        self._tell(AttemptFinished(number, len(trial.attempts), metrics, 1.0, self.now), trial)

    def prune(self, number: int, reason: str = "worse than the median") -> None:
        """End it early."""
        trial = self._end(number, Pruned(reason))
        self._tell(AttemptPruned(number, len(trial.attempts), reason, 1.0, self.now), trial)

    def fail(self, number: int, reason: str = "ValueError: no", traceback: str = "Trace") -> None:
        """Let the objective raise."""
        trial = self._end(number, Failed(reason, "ValueError", traceback))
        attempt, error = len(trial.attempts), "ValueError"
        event = AttemptFailed(number, attempt, reason, error, traceback, False, 1.0, self.now)
        self._tell(event, trial)

    def lose(self, number: int, reason: str = "the worker died", *, counts: bool = True) -> None:
        """Let the worker die."""
        trial = self._end(number, Lost(reason, counts))
        self._tell(AttemptLost(number, len(trial.attempts), reason, counts, self.now), trial)

    def abandon(self, number: int, reason: str = "every attempt was lost") -> None:
        """Give up on a trial."""
        trial = dataclasses.replace(self.trials[number], abandoned=reason)
        self._tell(TrialAbandoned(number, reason, self._tick()), trial)

    def run(self, count: int, steps: int = 0, **params: Any) -> None:
        """Run trials from beginning to end, each a little better than the last."""
        for _ in range(count):
            number = self.ask(**params)
            self.start(number)
            for step in range(steps):
                self.report(number, step, loss=1.0 / (step + 1), accuracy=step / steps)
            self.finish(number, loss=1.0 / (number + 1), accuracy=0.5)

    def end(self, reason: str = "all trials are done") -> None:
        """End the study."""
        event = StudyEnded(reason, self._tick())
        for tracker in self.trackers:
            tracker.record(event, None)
            tracker.close(reason, tuple(self.trials.values()))

    def _end(self, number: int, end: End) -> Trial:
        return self._with(number, end=end, ended_at=self._tick(), seconds=1.0)

    def _with(self, number: int, **changes: Any) -> Trial:
        trial = self.trials[number]
        last = dataclasses.replace(trial.attempts[-1], **changes)
        return dataclasses.replace(trial, attempts=(*trial.attempts[:-1], last))

    def _tick(self) -> float:
        self.now += 0.001
        return self.now

    def _tell(self, event: Event, trial: Trial) -> None:
        self.trials[trial.number] = trial
        for tracker in self.trackers:
            tracker.record(event, trial)


class RecordingTracker:
    """A tracker that keeps all it is told.

    Args:
        env: What it gives to workers.
    """

    def __init__(self, env: Mapping[str, str] | None = None) -> None:
        self.env = dict(env or {})
        self.study: StudyInfo | None = None
        self.history: tuple[Trial, ...] = ()
        self.prepared: list[int] = []
        self.events: list[Event] = []
        self.trials: tuple[Trial, ...] = ()
        self.reason: str | None = None
        self.outcome: Outcome | None = None

    def open(self, study: StudyInfo, history: Sequence[Trial]) -> None:
        """Keep the study and its history."""
        self.study, self.history = study, tuple(history)

    def prepare(self, trial: Trial) -> Mapping[str, str]:
        """Keep the trial's number."""
        self.prepared.append(trial.number)
        return dict(self.env)

    def record(self, event: Event, trial: Trial | None) -> None:  # noqa: ARG002 - the seam's
        """Keep the event."""
        self.events.append(event)

    def close(self, reason: str, trials: Sequence[Trial], outcome: Outcome | None = None) -> None:
        """Keep the end."""
        self.reason, self.trials, self.outcome = reason, tuple(trials), outcome


class TrackerContract:
    """What every tracker keeps to. Subclass it and override `make_tracker`.

    Example::

        class TestMyTracker(TrackerContract):
            def make_tracker(self, folder):
                return MyTracker()
    """

    def make_tracker(self, folder: Path) -> Tracker:
        """Return a tracker that is not open yet; `folder` is the study's and exists."""
        raise NotImplementedError

    @pytest.fixture
    def tracker(self, tmp_path: Path) -> Iterator[Tracker]:
        """A tracker, closed in the end whatever the test did."""
        tracker = self.make_tracker(tmp_path)
        yield tracker
        tracker.close("the test is over", ())

    def test_takes_a_whole_study(self, tracker: Tracker, tmp_path: Path) -> None:
        """Every event of a trial's life is taken, and none raises."""
        story = Story(tracker, folder=tmp_path)
        for _ in range(5):
            story.start(story.ask(lr=0.1, size="M"))
        story.report(0, 0, loss=0.5, accuracy=0.1)
        story.finish(0, loss=0.5, accuracy=0.2, extra=1.0)
        story.report(1, 0, loss=0.9)
        story.prune(1)
        story.fail(2)
        story.lose(3)
        story.start(3)
        story.finish(3, loss=0.25)
        story.lose(4)
        story.abandon(4)
        story.end()

    def test_takes_a_call_over_groups(self, tracker: Tracker, tmp_path: Path) -> None:
        """Groups that end in every state are taken, and the outcome; so is the same call again."""
        tell_groups(tracker, folder=tmp_path)
        tell_groups(tracker, folder=tmp_path, before=2)

    def test_takes_trials_of_all_groups(self, tracker: Tracker, tmp_path: Path) -> None:
        """In mode `"shared"`, trials are told before groups, and their search ends before them."""
        aside = RecordingTracker()
        story = Story(aside, folder=tmp_path)
        story.run(2)
        story.end()
        tracker.open(groups_info(tmp_path, mode="shared"), ())
        for event in aside.events:
            number = getattr(event, "number", None)
            tracker.record(event, None if number is None else story.trials[number])
        tracker.record(group_ended("north", 1), None)
        tracker.close("all groups are done", (), Outcome(["Groups sales"]))

    def test_takes_groups_that_were_cut_off(self, tracker: Tracker, tmp_path: Path) -> None:
        """A call that raised has no outcome."""
        tracker.open(groups_info(tmp_path, total=None), ())
        tracker.close("the driver ended with ValueError: no", ())

    def test_gives_workers_plain_variables(self, tracker: Tracker, tmp_path: Path) -> None:
        """`prepare` returns environment variables: text to text."""
        story = Story(tracker, folder=tmp_path)
        env = story.start(story.ask())
        assert all(isinstance(part, str) for pair in env.items() for part in pair)

    def test_resumes(self, tracker: Tracker, tmp_path: Path) -> None:
        """History of earlier drivers is taken in all its states, and the study goes on."""
        first = Story(folder=tmp_path)
        first.run(2, steps=2)
        first.start(first.ask())
        first.lose(2, counts=False)
        first.ask()
        again = Story(tracker, folder=tmp_path, history=tuple(first.trials.values()))
        again.start(2)
        again.finish(2, loss=0.1)
        again.start(3)
        again.fail(3)
        again.end()

    def test_starts_from_a_finished_study(self, tracker: Tracker, tmp_path: Path) -> None:
        """A study that has nothing left to do opens and closes."""
        first = Story(folder=tmp_path)
        first.run(3)
        Story(tracker, folder=tmp_path, history=tuple(first.trials.values())).end()

    def test_takes_an_empty_study(self, tracker: Tracker, tmp_path: Path) -> None:
        """A study that was interrupted before its first trial ends in order."""
        Story(tracker, folder=tmp_path, n_trials=None).end("interrupted")

    def test_takes_trials_nobody_prepared(self, tracker: Tracker, tmp_path: Path) -> None:
        """Someone's own loop tells of trials without asking for their environment."""
        aside = RecordingTracker()
        story = Story(aside, folder=tmp_path)
        story.run(1, steps=1)
        tracker.open(story.study, ())
        for event in aside.events[:-1]:
            tracker.record(event, story.trials[0])
        tracker.close("done", tuple(story.trials.values()))

    def test_takes_odd_values(self, tracker: Tracker, tmp_path: Path) -> None:
        """NaN, infinities, long text, empty text and names of any letters are taken."""
        space = Space({"größe (x)//y": Choice(["", "ü" * 9000]), "../up": Float(0.0, 1.0)})
        story = Story(tracker, folder=tmp_path, space=space)
        params: dict[str, Any] = {"größe (x)//y": "ü" * 9000, "../up": 0.5}
        story.start(story.ask(**params))
        story.report(0, 0, **{"loss": float("nan"), "a b/c (%)": float("inf"), "": -0.0})
        story.finish(0, loss=1e-300, **{"a b/c (%)": float("-inf")})
        story.end("ünterbrochen\nmit zwei Zeilen")

    def test_does_without_the_folder(self, tracker: Tracker, tmp_path: Path) -> None:
        """A study's folder that can't be read or written costs nothing but what it holds."""
        story = Story(tracker, folder=tmp_path / "nowhere")
        story.run(1, steps=1)
        story.start(story.ask())
        story.fail(1)
        story.end()

    def test_record_does_not_wait(self, tracker: Tracker, tmp_path: Path) -> None:
        """Events are taken in at once, whatever is done with them."""
        story = Story(tracker, folder=tmp_path, n_trials=1)
        story.start(story.ask())
        begun = time.perf_counter()
        for step in range(1000):
            story.report(0, step, loss=1.0)
        assert time.perf_counter() - begun < 2.0
        story.finish(0, loss=1.0)
        story.end()

    def test_leaves_no_thread_behind(self, tmp_path: Path) -> None:
        """A closed tracker has ended what it started."""
        before = set(threading.enumerate())
        tracker = self.make_tracker(tmp_path)
        Story(tracker, folder=tmp_path).run(2)
        tracker.close("done", ())
        assert set(threading.enumerate()) <= before

    def test_closes_twice_and_without_being_opened(self, tmp_path: Path) -> None:
        """Closing is safe at any time."""
        tracker = self.make_tracker(tmp_path)
        tracker.close("never opened", ())
        Story(tracker, folder=tmp_path).end()
        tracker.close("again", ())
