"""Errors for a study whose Spark session has ended."""

import contextlib
from collections.abc import Iterator

from manyfit.errors import ExecutorError, ManyfitError
from manyfit.remote.watch import cluster_error
from manyfit.spark.session import Session


def session_error(reason: str, study: str | None = None) -> ExecutorError:
    """Return the error of a study whose session has ended: what happened, and how to continue.

    Example:
        >>> print(session_error("it was stopped", "fashion"))
        the Spark session has ended: it was stopped. Start one, and run the same call again with \
name='fashion' to resume
    """
    return cluster_error(f"the Spark session has ended: {reason}", study)


def check_session(session: Session, study: str | None = None) -> None:
    """Check that a session has not ended.

    Raises:
        ExecutorError: It has ended.
    """
    if (reason := session.ended()) is not None:
        raise session_error(reason, study)


@contextlib.contextmanager
def explained(session: Session, study: str | None = None) -> Iterator[None]:
    """Raise the session's error if an exception in the block was caused by the session's end.

    Raises:
        ExecutorError: The session has ended.
    """
    try:
        yield
    except ManyfitError:
        raise
    except Exception as error:
        reason = session.ended()
        if reason is None:
            raise
        raise session_error(reason, study) from error
