"""Every exception Manyfit raises, and what the system or you should do about it.

::

    ManyfitError
    ├── SpaceError (ValueError)       a space, or a point of it, breaks a rule: nothing has run
    ├── ArgumentError (ValueError)    an argument breaks a rule: fix it, nothing has run
    ├── MetricError (ValueError)      a metric is missing, or no number: no retry
    │   └── UndefinedMetricError      it is NaN or infinite, or the objective says it failed
    ├── ObjectiveError (TypeError)    the objective can't be called or shipped: nothing has run
    ├── ExecutorError (RuntimeError)  workers can't be started: retry once that is mended
    ├── JournalError (RuntimeError)   the record can't be read or written
    │   ├── JournalCorruptError       a whole line is damaged: look at the line
    │   ├── StudyLockedError          another driver holds the study: retry when that one is done
    │   └── StudyChangedError         resumed with another space or metric: decide which
    ├── NoResultError (LookupError)   asked for a best trial, and none has completed
    ├── MissingExtraError (ImportError) an optional package is missing: install that extra
    └── FatalError                    yours to raise in an objective: ends the whole study

    TrialStopped (BaseException)      not an error: ends an objective that need not go on

An objective that raises anything else fails its own trial, once, and the study goes on.
"""


class ManyfitError(Exception):
    """Base of every error Manyfit raises."""


class SpaceError(ManyfitError, ValueError):
    """A space, or a point in it, breaks a rule."""


class ArgumentError(ManyfitError, ValueError):
    """An argument breaks a rule."""


class MetricError(ManyfitError, ValueError):
    """A metric is missing, is no number, is NaN or is infinite."""


class UndefinedMetricError(MetricError):
    """A metric is NaN or infinite, or the objective says that it failed: its params may be why."""


class ObjectiveError(ManyfitError, TypeError):
    """The objective can't be called with params, or can't be sent to a worker."""


class ExecutorError(ManyfitError, RuntimeError):
    """Workers can't be started or have become unusable."""


class JournalError(ManyfitError, RuntimeError):
    """A study's journal can't be read or written."""


class JournalCorruptError(JournalError):
    """A line of the record that was written whole can't be read, or can't have happened.

    Attributes:
        line: Its number, from 1; None where no single line is at fault.
    """

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


class StudyLockedError(JournalError):
    """Another driver holds the study."""


class StudyChangedError(JournalError):
    """A study was resumed with a different space, metric or direction."""


class NoResultError(ManyfitError, LookupError):
    """No trial of the study has completed, so there is no best one."""


class MissingExtraError(ManyfitError, ImportError):
    """An optional package is not installed."""


class FatalError(ManyfitError):
    """Raise it in an objective to end the whole study, not only the trial."""


class TrialStopped(BaseException):
    """Ends an objective early, from inside `manyfit.report`.

    Derived from `BaseException`, so that an `except Exception` in a training function lets it by.
    """
