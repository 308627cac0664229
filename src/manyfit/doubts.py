"""Warnings about a study's first report and first result, while there is time to react."""

import logging
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from manyfit.choice import Domain
from manyfit.engine import Engine
from manyfit.events import AttemptFinished, Event, ParamsSuggested, Reported, TrialAsked
from manyfit.metric import Metric
from manyfit.open_space import entries_of

logger = logging.getLogger("manyfit")

_VALIDATION = ("val", "valid", "validation", "eval")


class Doubts:
    """Checks what trials report and return, and warns at most once about each problem.

    Args:
        metric: The metric to tune.
        domains: The domains that earlier calls gave params in an open space.
        prunes: Whether a pruner judges reports: they must then have the tuned metric.
    """

    def __init__(
        self, metric: Metric, domains: Mapping[str, Domain] = MappingProxyType({}), *, prunes: bool
    ) -> None:
        self._metric = metric
        # A wrong direction shows in the first value, if at all; a suspicious name was warned about.
        self._looks_at_values = metric.suspicion() is None
        self._prunes = prunes
        self._looks_at_reports = True
        self._looks_for_validation = True
        self._knows_of_notes = False
        self._numbers: set[str] = set()  # names that trials have returned with a number
        self._texts: set[str] = set()  # and with something else
        self._domains: dict[str, Any] = dict(domains)  # then, the first ones given to params
        self._changed: set[str] = set()
        self._points: dict[int, dict[str, Any]] = {}  # what users wanted tried, by trial
        if suspicion := metric.suspicion():
            logger.warning("%s.", suspicion)

    @classmethod
    def on(cls, objective: Any, engine: Engine, *, prunes: bool) -> "Doubts | None":
        """Return the doubts about an objective; None if it is Manyfit's own, and says so.

        What it reports and returns is then not in the user's hands.
        """
        is_own = getattr(objective, "is_manyfit_own", False) is True
        return None if is_own else cls(engine.metric, engine.domains, prunes=prunes)

    def heed(self, event: Event) -> None:
        """Check a recorded event."""
        match event:
            case Reported() if self._looks_at_reports:
                self._looks_at_reports = False
                self._look_at_report(event)
            case AttemptFinished():
                self._look_at_result(event)
                self._look_at_point(event.number)
            case TrialAsked(number, params, "start_with"):
                self._points[number] = dict(params)
            case ParamsSuggested(number, params=params, domains=domains):
                for name, domain in entries_of(domains).items():
                    self._look_at_domain(number, name, domain)
                    self._look_at_value(number, name, params[name])
            case _:
                pass

    def _look_at_result(self, event: AttemptFinished) -> None:
        self._look_for_validation(event.metrics, "returned")
        self._looks_for_validation = False
        if self._looks_at_values:
            self._looks_at_values = False
            if suspicion := self._metric.suspicion(event.metrics[self._metric.name]):
                logger.warning("%s.", suspicion)
        self._look_for_mixtures(event)
        if event.notes and not self._knows_of_notes:
            self._knows_of_notes = True
            first = next(iter(event.notes))
            logger.warning(
                "The objective returned %s besides its metrics. A value that is not a number (%s "
                "is %.60r) is not a metric: it is kept in trial.notes.",
                *(", ".join(event.notes), first, event.notes[first]),
            )

    def _look_for_mixtures(self, event: AttemptFinished) -> None:
        """Warn if what is a number in one trial isn't one in another, as "0.5" isn't."""
        before = self._numbers & self._texts
        self._numbers |= event.metrics.keys()
        self._texts |= event.notes.keys()
        for name in sorted((self._numbers & self._texts) - before):
            logger.warning(
                "%s is a number in some trials and not in others, as in trial %d (%.60r): it is a "
                "metric where it is a number, and a note elsewhere. Return a number, or NaN.",
                *(name, event.number, event.notes.get(name, event.metrics.get(name))),
            )

    def _look_for_validation(self, metrics: Iterable[str], did: str) -> None:
        """Warn if the tuned metric has a twin by which it is the one of training, as in Keras."""
        name = self._metric.name
        twin = next((f"{p}_{name}" for p in _VALIDATION if f"{p}_{name}" in metrics), None)
        if self._looks_for_validation and twin is not None:
            self._looks_for_validation = False
            logger.warning(
                "The objective %s %s besides %s, the metric being tuned, which is then that of the "
                "training rows. The best of it is the most overfitted trial: metric=%r.",
                *(did, twin, name, twin),
            )

    def _look_at_domain(self, number: int, name: str, domain: Any) -> None:
        before = self._domains.setdefault(name, domain)
        if before != domain and name not in self._changed:
            self._changed.add(name)
            logger.warning(
                "Trial %d asked for %s from %s, an earlier one from %s. Proposals are from the "
                "ranges of the latest trials together; one that a trial can't use is drawn again "
                "at random.",
                *(number, name, domain, before),
            )

    def _look_at_value(self, number: int, name: str, value: Any) -> None:
        wanted = self._points.get(number, {}).pop(name, value)
        if wanted != value:
            logger.warning(
                "Trial %d was to try %s=%r (start_with), which is not in its range: it got %r.",
                *(number, name, wanted, value),
            )

    def _look_at_point(self, number: int) -> None:
        """Warn of params that a user wanted tried, and the objective didn't ask for."""
        if (left := self._points.pop(number, None)) and self._domains:
            logger.warning(
                "Trial %d was to try %s (start_with), but its objective didn't ask for %s.",
                *(number, ", ".join(f"{name}={value!r}" for name, value in left.items())),
                ", ".join(left),
            )

    def _look_at_report(self, event: Reported) -> None:
        name, given = self._metric.name, ", ".join(event.metrics)
        self._look_for_validation(event.metrics, "reported")
        if name not in event.metrics and self._prunes:
            logger.warning(
                "The first report has %s, but not %s, the metric being tuned. Without it no trial "
                "can be pruned: report(%d, %s=...).",
                *(given, name, event.step, name),
            )
