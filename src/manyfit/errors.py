"""All exceptions of Manyfit, and what to do about each.

::

    ManyfitError
    ├── SpaceError (ValueError)       a space, or a point of it, breaks a rule: nothing has run
    ├── ArgumentError (ValueError)    an argument breaks a rule: fix it, nothing has run
    ├── MetricError (ValueError)      a metric is missing or not a number: no retry
    │   └── UndefinedMetricError      it is NaN or infinite, or the objective says it failed
    ├── ObjectiveError (TypeError)    the objective can't be called or shipped: nothing has run
    ├── ExecutorError (RuntimeError)  workers can't be started: fix the cause, then retry
    ├── JournalError (RuntimeError)   the journal can't be read or written
    │   ├── JournalCorruptError       a complete line is damaged: look at the line
    │   ├── StudyLockedError          another driver holds the study: retry when it is done
    │   └── StudyChangedError         resumed with another space or metric: decide which
    ├── NoResultError (LookupError)   there is no best trial, because none has completed
    ├── MissingExtraError (ImportError) an optional package is missing: install that extra
    └── FatalError                    for you to raise in an objective: ends the whole study

    TrialStopped (BaseException)      not an error: ends an objective that need not go on

An objective that raises anything else fails its own trial, without a retry, and the study goes on.
"""


class ManyfitError(Exception):
    """Base of every error Manyfit raises."""


class SpaceError(ManyfitError, ValueError):
    """A space, or a point in it, breaks a rule."""


class ArgumentError(ManyfitError, ValueError):
    """An argument breaks a rule."""


class MetricError(ManyfitError, ValueError):
    """A metric is missing, not a number, NaN or infinite."""


class UndefinedMetricError(MetricError):
    """A metric is NaN or infinite, or the objective says that it failed: its params may be why."""


class ObjectiveError(ManyfitError, TypeError):
    """The objective can't be called with params, or can't be sent to a worker."""


class ExecutorError(ManyfitError, RuntimeError):
    """Workers can't be started or have become unusable."""


class JournalError(ManyfitError, RuntimeError):
    """A study's journal can't be read or written."""


class JournalCorruptError(JournalError):
    """A complete line of the journal can't be read, or contradicts the lines before it.

    Attributes:
        line: The number of the line, from 1; None if no single line is at fault.
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
    """Raise this in an objective to end the whole study, not only the trial."""


class TrialStopped(BaseException):
    """Ends an objective early, from inside `manyfit.report`.

    It derives from `BaseException`, so that an `except Exception` in a training function doesn't
    catch it.
    """
