"""Detects trials that fail whatever their params, because of a bug in the objective.

Params are often the cause of a failure: half a space may diverge, or an option may need a package
that isn't installed. A study is therefore ended only after every option and every quarter of every
range has failed in the same way, and nothing has succeeded.
"""

import re

from manyfit._numbers import cell
from manyfit.errors import MetricError, UndefinedMetricError
from manyfit.space import Choice, Domain, Space
from manyfit.trial import Failed, State, Trial, gist

# Fewer trials prove nothing, however far apart they are.
_FEWEST = 3
# Trials must have failed in this many equal parts of each range, and with up to this many options.
_PARTS = 4
_OPTIONS = 8


class SameFailure:
    """Watches the trials of one call as they end, until one succeeds or fails in another way.

    Failures are the same if the same exception came from the same line, with messages that differ
    only in numbers. NaN or infinite metrics and broken limits are never considered bugs.

    Args:
        space: The space of the trials' params.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._cause: tuple[str, str, str] | None = None
        self._reason = ""
        self._count = 0
        self._is_ruled_out = False
        self._untried: dict[str, set[int]] = {}
        self._may_stay: dict[str, int] = {}
        for name, domain in space.params.items():
            self._search(name, domain)

    def _search(self, name: str, domain: Domain) -> None:
        self._untried[name] = _parts(domain)
        self._may_stay[name] = len(self._untried[name]) - _OPTIONS

    def take_in(self, trial: Trial) -> None:
        """Record a trial that has ended."""
        cause = _cause(trial)
        if cause is None or self._cause not in (None, cause):
            self._is_ruled_out = True
        if self._is_ruled_out:
            return
        if self._cause is None:
            self._cause, self._reason = cause, trial.reason
        self._count += 1
        for name, domain in self._domains_of(trial):
            if name not in self._untried:
                self._search(name, domain)
            self._untried[name].discard(_part(domain, trial.params[name]))

    def _domains_of(self, trial: Trial) -> list[tuple[str, Domain]]:
        if not trial.domains:
            return list(self._space.walk(trial.params))
        return [(name, each) for name, each in trial.domains.items() if isinstance(each, Domain)]

    @property
    def reason(self) -> str | None:
        """How all trials failed, once they cover the space; otherwise None."""
        is_known = not self._is_ruled_out and self._count >= _FEWEST
        left = self._untried.items()
        if is_known and all(len(parts) <= max(0, self._may_stay[name]) for name, parts in left):
            return self._reason
        return None


def _cause(trial: Trial) -> tuple[str, str, str] | None:
    """Return exception, line and message of a failure that may be a bug, or None."""
    end = trial.attempts[-1].end if trial.attempts else None
    if trial.state is not State.FAIL or not isinstance(end, Failed):
        return None
    # A MetricError has no traceback, but an unusable return value is a bug nevertheless.
    if end.error != MetricError.__name__ and not end.traceback:
        return None
    if end.error == UndefinedMetricError.__name__:
        return None
    lines = re.findall(r'^  File ".*", line \d+', end.traceback, re.MULTILINE)
    return end.error, lines[-1] if lines else "", gist(end.reason)


def _parts(domain: Domain) -> set[int]:
    size = domain.size
    if isinstance(domain, Choice):
        return set(range(len(domain.labels)))
    return set(range(_PARTS if size is None else min(size, _PARTS)))


def _part(domain: Domain, value: object) -> int | None:
    if isinstance(domain, Choice):
        return domain.place(value)
    return cell(domain.encode(value), len(_parts(domain)))  # type: ignore[arg-type]
