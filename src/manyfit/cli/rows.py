"""What is shown of studies, whatever its form."""

from manyfit.errors import NoResultError
from manyfit.result import StudyResult
from manyfit.trial import Trial


def best_of(result: StudyResult) -> Trial | None:
    """Return the best trial of a study; None if none has completed."""
    try:
        return result.best
    except NoResultError:
        return None
