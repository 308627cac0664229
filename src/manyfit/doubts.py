"""What looks wrong about a study's first report and first result, said while there is time."""

import logging

from manyfit.events import AttemptFinished, Event, Reported
from manyfit.metric import Metric

logger = logging.getLogger("manyfit")


class Doubts:
    """Looks at what trials of this process report and return, and warns once of each thing.

    Args:
        metric: What is tuned.
        prunes: Whether trials that report are judged, so that it matters what they report.
    """

    def __init__(self, metric: Metric, *, prunes: bool) -> None:
        self._metric = metric
        # A direction that is wrong is wrong from the start: the first value says it, or none.
        self._looks_at_values = metric.suspicion() is None
        self._looks_at_reports = prunes
        self._knows_of_notes = False
        if suspicion := metric.suspicion():
            logger.warning("%s.", suspicion)

    def heed(self, event: Event) -> None:
        """Look at what has gone on record."""
        match event:
            case Reported() if self._looks_at_reports:
                self._looks_at_reports = False
                self._look_at_report(event)
            case AttemptFinished():
                self._look_at_result(event)
            case _:
                pass

    def _look_at_result(self, event: AttemptFinished) -> None:
        if self._looks_at_values:
            self._looks_at_values = False
            if suspicion := self._metric.suspicion(event.metrics[self._metric.name]):
                logger.warning("%s.", suspicion)
        if event.notes and not self._knows_of_notes:
            self._knows_of_notes = True
            first = next(iter(event.notes))
            logger.warning(
                "The objective returned %s beside its metrics. What is no number (%s is %.60r) is "
                "kept as a note of its trial, trial.notes, and is no metric.",
                *(", ".join(event.notes), first, event.notes[first]),
            )

    def _look_at_report(self, event: Reported) -> None:
        name, given = self._metric.name, ", ".join(event.metrics)
        if name not in event.metrics:
            logger.warning(
                "The first report has %s, but not %s, the metric being tuned. Only by reports of "
                "that can a trial be pruned: report(%d, %s=...).",
                *(given, name, event.step, name),
            )
