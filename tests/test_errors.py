"""What can be caught, and as what."""

import inspect
import pickle

import pytest

from manyfit import errors

ERRORS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, errors.ManyfitError)
]


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.SpaceError, ValueError),
        (errors.ArgumentError, ValueError),
        (errors.MetricError, ValueError),
        (errors.ObjectiveError, TypeError),
        (errors.ExecutorError, RuntimeError),
        (errors.JournalError, RuntimeError),
        (errors.JournalCorruptError, errors.JournalError),
        (errors.StudyLockedError, errors.JournalError),
        (errors.StudyChangedError, errors.JournalError),
        (errors.NoResultError, LookupError),
        (errors.MissingExtraError, ImportError),
        (errors.FatalError, errors.ManyfitError),
    ],
)
def test_errors_are_what_people_already_catch(kind: type, builtin: type) -> None:
    """Each error is also the built-in that fits it, and a ManyfitError."""
    assert issubclass(kind, builtin)
    assert issubclass(kind, errors.ManyfitError)


def test_a_stopped_trial_passes_a_plain_except() -> None:
    """A training function with an `except Exception` doesn't swallow the request to stop."""
    assert not issubclass(errors.TrialStopped, Exception)


@pytest.mark.parametrize("kind", [*ERRORS, errors.TrialStopped])
def test_errors_travel(kind: type[BaseException]) -> None:
    """Every error survives the way from a worker, with its message."""
    error = pickle.loads(pickle.dumps(kind("the message")))

    assert (type(error), str(error)) == (kind, "the message")


@pytest.mark.parametrize("kind", [*ERRORS, errors.TrialStopped])
def test_the_tree_is_drawn_in_full(kind: type) -> None:
    """The module's docstring names every error."""
    assert errors.__doc__ is not None
    assert kind.__name__ in errors.__doc__
    assert kind.__doc__
