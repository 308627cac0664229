"""Ask and tell: trials for a loop of your own, with the same engine and journal."""

from collections.abc import Mapping

from manyfit.clock import Clock
from manyfit.commands import Abandon, Ask, EndStudy, Start, StopAttempt
from manyfit.errors import ArgumentError, MetricError
from manyfit.events import (
    AttemptFailed,
    AttemptFinished,
    AttemptPruned,
    AttemptStarted,
    Reported,
    StudyEnded,
)
from manyfit.metric import notes_in, to_report
from manyfit.recorder import Recorder
from manyfit.trial import Trial


class Asking:
    """Hands out trials one by one and records their results, each on disk before it counts."""

    def __init__(self, recorder: Recorder, clock: Clock = Clock()) -> None:
        self._recorder = recorder
        self._engine = recorder.engine
        self._clock = clock
        self._started: dict[int, float] = {}
        self._steps: dict[int, int] = {}  # trial number → the last step reported
        self._over: str | None = None  # why the last `ask` returned None

    @property
    def reason(self) -> str:
        """Why the study is over, or how far it has come."""
        return self._verdict() or f"not ended: {self._progress()} so far"

    def _verdict(self) -> str | None:
        engine = self._engine
        return engine.budget.verdict(engine.tally, engine.metric) or self._over

    def _progress(self) -> str:
        done, most = self._engine.tally.finished, self._engine.budget.n_trials
        words = f"{done}" if most is None else f"{done} of {most}"
        return f"{words} trial{'' if (most or done) == 1 else 's'}"

    def ask(self) -> Trial | None:
        """Record the next trial as running, and return it; None if there is none."""
        while True:
            now = self._clock.now()
            command = self._engine.decide(free=1)
            match command:
                case Ask() | Abandon() | StopAttempt():
                    self._recorder.put(command.event(now))
                case Start(number, attempt):
                    self._recorder.put(AttemptStarted(number, attempt, "user", now))
                    self._recorder.commit()
                    self._started[number] = self._clock.monotonic()
                    return self._engine.trials[number]
                case EndStudy() | None:
                    self._over = None if command is None else command.reason
                    self._recorder.commit()
                    return None

    def report(self, trial: Trial, step: int, metrics: Mapping[str, float]) -> str | None:
        """Record a report; returns why the trial should end, or None."""
        number, attempt = self._open(trial)
        step, measured = to_report(step, metrics, after=self._steps.get(number, -1))
        now = self._clock.now()
        self._recorder.put(Reported(number, attempt, step, measured, now))
        self._steps[number] = step
        while isinstance(advice := self._engine.decide(free=0), StopAttempt):
            self._recorder.put(advice.event(now))
        self._recorder.commit()
        return self._engine.trials[number].attempts[-1].stop_reason

    def tell(self, trial: Trial, returned: float | Mapping[str, float]) -> Trial:
        """Record a result; an unusable one fails the trial, as in `tune`."""
        number, attempt = self._open(trial)
        try:
            metrics = self._engine.metric.to_metrics(returned)
        except MetricError as error:
            return self.fail(trial, str(error), type(error).__name__)
        seconds = self._seconds(number)
        now = self._clock.now()
        notes = notes_in(returned, metrics)
        self._recorder.put(AttemptFinished(number, attempt, metrics, seconds, now, notes))
        return self._settled(number)

    def prune(self, trial: Trial) -> Trial:
        """End a trial early."""
        number, attempt = self._open(trial)
        reason = self._engine.trials[number].attempts[-1].stop_reason or "pruned by the caller"
        seconds = self._seconds(number)
        self._recorder.put(AttemptPruned(number, attempt, reason, seconds, self._clock.now()))
        return self._settled(number)

    def fail(self, trial: Trial, reason: str, error: str = "", traceback: str = "") -> Trial:
        number, attempt = self._open(trial)
        seconds = self._seconds(number)
        now = self._clock.now()
        self._recorder.put(
            AttemptFailed(number, attempt, reason, error, traceback, False, seconds, now)
        )
        return self._settled(number)

    def close(self) -> str:
        """Write off trials that were not told, and record the end; returns why it ended."""
        now = self._clock.now()
        self._recorder.write_off("the study was closed", now, counts=False)
        reason = self._verdict() or f"closed after {self._progress()}"
        self._recorder.put(StudyEnded(reason, now))
        self._recorder.commit()
        return reason

    def _open(self, trial: Trial) -> tuple[int, int]:
        """Return the number and attempt of a running trial that `ask` returned.

        Raises:
            ArgumentError: The trial isn't one of these.
        """
        if not isinstance(trial, Trial):
            raise ArgumentError(
                f"a trial must be one that ask() returned, but got {trial!r:.200}; "
                "ask() returns None when there are no more"
            )
        if trial.number not in self._started:
            raise ArgumentError(
                f"trial {trial.number} is not running here: "
                "tell a trial once, and only one that ask() returned"
            )
        return trial.number, len(self._engine.trials[trial.number].attempts)

    def _seconds(self, number: int) -> float:
        return self._clock.monotonic() - self._started[number]

    def _settled(self, number: int) -> Trial:
        self._recorder.commit()
        del self._started[number]
        self._steps.pop(number, None)
        return self._engine.trials[number]
