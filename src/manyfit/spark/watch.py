"""What people are told when a study's Spark session is no longer there."""

import contextlib
from collections.abc import Iterator

from manyfit.errors import ExecutorError, ManyfitError
from manyfit.remote.watch import cluster_error
from manyfit.spark.session import Session


def session_error(reason: str, study: str | None = None) -> ExecutorError:
    """Return the error of a study whose session has ended: what happened, and how to go on.

    Example:
        >>> print(session_error("it was stopped", "fashion"))
        the Spark session has ended: it was stopped. Start one, and run the same call again with \
name='fashion' to resume
    """
    return cluster_error(f"the Spark session has ended: {reason}", study)


def check_session(session: Session, study: str | None = None) -> None:
    """Refuse a session that has ended.

    Raises:
        ExecutorError: It has.
    """
    if (reason := session.ended()) is not None:
        raise session_error(reason, study)


@contextlib.contextmanager
def explained(session: Session, study: str | None = None) -> Iterator[None]:
    """Have what fails in a block say so where the session's end is behind it.

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
