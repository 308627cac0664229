"""MLflow's settings that exist only as environment variables, while a study is mirrored.

MLflow's client repeats a request that failed for minutes, and prints a link whenever a run ends
(and reads the run first). The courier has a better way to try again, which loses nothing and
doubles nothing. So for the time of its own requests to a server the timeout is short, and repeating
is off; or once where that does no harm, since a server that says when to come back is then obeyed.
An objective in this process that calls MLflow in the same moment finds these settings too.

The variables are set from the beginning to the end of a study and only their values change: another
thread may be copying the environment.
"""

import contextlib
import os
import threading
from collections.abc import Iterator

QUIET = "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"
RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"

# MLflow's own defaults, but for the links.
_DEFAULTS = {QUIET: "true", RETRIES: "7", TIMEOUT: "120"}
# Seconds a server may take to answer the courier; it has all the time of the study to try again.
_LONGEST = 30

_lock = threading.Lock()
_holders = 0
_hurried = 0  # threads that make requests
_before: dict[str, str | None] = {}


def hold() -> None:
    """Set the variables that the user hasn't set; until `release`, which every holder calls."""
    global _holders
    with _lock:
        if not _holders:
            _before.update({name: os.environ.get(name) for name in _DEFAULTS})
            for name, value in _DEFAULTS.items():
                os.environ.setdefault(name, value)
        _holders += 1


def release() -> None:
    """Leave the environment as it was."""
    global _holders
    with _lock:
        _holders -= 1
        if not _holders:
            _put_back()


def for_workers() -> dict[str, str]:
    """Return the settings for an objective: the user's, or MLflow's; but no links in its output."""
    return {name: _before.get(name) or value for name, value in _DEFAULTS.items()}


@contextlib.contextmanager
def impatient(*, repeats: bool) -> Iterator[None]:
    """Make MLflow's client give up soon; several threads may, and the last one out resets it."""
    global _hurried
    given = _before.get(TIMEOUT) or ""
    timeout = min(_LONGEST, int(given)) if given.isdigit() else _LONGEST
    with _lock:
        _hurried += 1
        if _holders:  # else the study was closed, and the courier is on its last request
            os.environ.update({RETRIES: str(int(repeats)), TIMEOUT: str(timeout)})
    try:
        yield
    finally:
        with _lock:
            _hurried -= 1
            if _holders and not _hurried:
                usual = for_workers()
                os.environ.update({RETRIES: usual[RETRIES], TIMEOUT: usual[TIMEOUT]})


def _put_back() -> None:
    for name, value in _before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    _before.clear()
