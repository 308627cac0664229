"""The trial that an objective of Optuna receives, on a worker."""

import datetime
import json
import threading
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.study import StudyDirection

from manyfit.errors import FatalError
from manyfit.metric import Direction
from manyfit.open_space import are_alike, entries_of
from manyfit.optuna.distributions import Asked, Suggestion
from manyfit.worker.context import Context

METRIC = "value"


@dataclass(frozen=True)
class StudyOfTrial:
    """What a worker knows of its study: the driver has the rest."""

    study_name: str
    direction: StudyDirection

    @property
    def directions(self) -> list[StudyDirection]:
        """The only direction, in a list, as of Optuna's studies."""
        return [self.direction]

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"trial.study has no {name!r} here: a trial runs on a worker, and its study on the "
            "driver. It has study_name, direction and directions"
        )


class RunningTrial(optuna.trial.BaseTrial):
    """A running trial, with the methods of `optuna.Trial`.

    Values come from the driver's proposal, without a question to the driver. What was not proposed,
    or isn't in the distribution, is drawn at random, as a function of the trial's seed and the
    name. It may be used in threads that the objective starts.

    Args:
        proposals: The driver's proposal, in stored form.
        direction: `"minimize"` or `"maximize"`.
        context: The running attempt; None in a plain call, which then reports nothing.
    """

    def __init__(
        self, proposals: Mapping[str, Any], direction: Direction, context: Context | None
    ) -> None:
        self._proposals = proposals
        self._context = context
        current = None if context is None else context.trial
        self._number = 0 if current is None else current.number
        self._seed = 0 if current is None else current.seed
        self._known = {} if context is None else entries_of(context.domains)
        self._asked: dict[str, tuple[Asked, Suggestion]] = {}
        self._unsent: list[str] = []
        self._reported: set[int] = set()
        self._user_attrs: dict[str, Any] = {}
        self._lock = threading.RLock()
        self._start = datetime.datetime.now()
        self.study = StudyOfTrial(
            "" if current is None else current.study, StudyDirection[direction.upper()]
        )

    # ── suggestions ───────────────────────────────────────────────────────────────────────────

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        value: float = self._suggest(name, FloatDistribution(low, high, log=log, step=step))
        return value

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        value: int = self._suggest(name, IntDistribution(low, high, log=log, step=step))
        return value

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        with warnings.catch_warnings():  # options of any type do here, since labels are recorded
            warnings.filterwarnings("ignore", message="Choices for a categorical distribution")
            return self._suggest(name, CategoricalDistribution(choices))

    def suggest_uniform(self, name: str, low: float, high: float) -> float:
        """As `suggest_float`; deprecated by Optuna."""
        return self.suggest_float(name, low, high)

    def suggest_loguniform(self, name: str, low: float, high: float) -> float:
        """As `suggest_float` with `log`; deprecated by Optuna."""
        return self.suggest_float(name, low, high, log=True)

    def suggest_discrete_uniform(self, name: str, low: float, high: float, q: float) -> float:
        """As `suggest_float` with `step`; deprecated by Optuna."""
        return self.suggest_float(name, low, high, step=q)

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:
        if not isinstance(name, str):
            raise TypeError(f"the name of a param must be a string, but got {name!r:.200}")
        asked = Asked(name, distribution)
        with self._lock:
            if name in self._asked:
                before, suggestion = self._asked[name]
                _check(name, before.domain, asked.domain)
                return suggestion.value
            _check(name, self._known.get(name), asked.domain)
            suggestion = asked.suggest(self._proposals, self._seed)
            self._asked[name] = asked, suggestion
            self._unsent.append(name)
            if suggestion.is_drawn:  # the driver can't know it, even if this process dies now
                self.send()
            return suggestion.value

    def send(self) -> None:
        """Tell the driver of all suggestions that it has not been told of."""
        with self._lock:
            news = {name: self._asked[name][1] for name in self._unsent}
            self._unsent.clear()
            if news and self._context is not None:
                params = {name: each.stored for name, each in news.items()}
                self._context.suggest(params, {name: each.domain for name, each in news.items()})

    # ── pruning ───────────────────────────────────────────────────────────────────────────────

    def report(self, value: float, step: int) -> None:
        """Report a value; a step that was reported, or is before the last one, is ignored.

        Raises:
            TypeError: The value isn't a number, or the step isn't a whole one.
            ValueError: The step is negative.
        """
        value, step = _number(value), _whole(step)
        with self._lock:
            if step <= max(self._reported, default=-1):
                known = "is already reported" if step in self._reported else "is before the last"
                warnings.warn(f"the value at step {step} is ignored: it {known}", stacklevel=2)
                return
            self._reported.add(step)
            self.send()
            if self._context is not None:
                self._context.record(step, {METRIC: value})

    def should_prune(self) -> bool:
        """Whether the driver's pruner has decided, by the latest report that it received."""
        return self._context is not None and self._context.should_stop

    # ── facts ─────────────────────────────────────────────────────────────────────────────────

    def set_user_attr(self, key: str, value: Any) -> None:
        """Keep an attribute, in the record as a note: a text, or JSON of anything else."""
        with self._lock:
            self._user_attrs[key] = value
            if self._context is not None:
                text = value if isinstance(value, str) else json.dumps(value, default=repr)
                self._context.note({key: text})

    def set_constraint(self, key: str, value: float) -> None:  # noqa: ARG002 - there is none
        """Refuse it.

        Raises:
            FatalError: Always; it ends the study.
        """
        raise FatalError(
            f"set_constraint({key!r}, ...): manyfit.optuna.optimize has no constraints. Return a "
            "bad value for what is not allowed, or raise optuna.TrialPruned"
        )

    @property
    def params(self) -> dict[str, Any]:
        """What was suggested so far, by name."""
        with self._lock:
            return {name: suggestion.value for name, (_, suggestion) in self._asked.items()}

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """The distributions of these."""
        with self._lock:
            return {name: asked.distribution for name, (asked, _) in self._asked.items()}

    @property
    def user_attrs(self) -> dict[str, Any]:
        """What `set_user_attr` has set."""
        with self._lock:
            return dict(self._user_attrs)

    @property
    def datetime_start(self) -> datetime.datetime:
        """When this attempt began."""
        return self._start

    @property
    def number(self) -> int:
        """The trial's number in the study, from 0."""
        return self._number

    @property
    def constraints(self) -> dict[str, float]:
        """None: see `set_constraint`."""
        return {}


def _check(name: str, known: Any, domain: Any) -> None:
    """Refuse a domain of another kind for the same param, as Optuna does.

    Raises:
        ValueError: They are not alike.
    """
    if known is not None and domain is not None and not are_alike(known, domain):
        raise ValueError(
            f"{name} is {domain!r} here, but was {known!r} before: a param keeps its kind, its "
            "scale and its options, and only bounds and steps may change. Give it another name"
        )


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"a reported value must be a number, but got {value!r:.200}") from None


def _whole(step: Any) -> int:
    try:
        number = int(step)
    except (TypeError, ValueError):
        raise TypeError(f"a step must be a whole number, but got {step!r:.200}") from None
    if number < 0:
        raise ValueError(f"a step must be at least 0, but got {number}")
    return number
