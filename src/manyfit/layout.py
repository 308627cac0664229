"""A space made of what trials have asked for, with its branches.

A param that was asked for only with some options of a choice is assumed to depend on these. ::

    trial: params, domains ─► how often each param appeared with each option ─► space
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from manyfit._labels import Label
from manyfit._numbers import is_real
from manyfit.choice import Choice, Domain, Entry
from manyfit.domain import Float, Int
from manyfit.open_space import OpenSpace, are_alike
from manyfit.space import Space
from manyfit.trial import Params, State, Trial

# An option; the type is part of it, because True == 1 == 1.0.
_Option: TypeAlias = tuple[type, Label]

# The range of a param may change from trial to trial. It then spans the ranges of the latest
# `_RECENT` trials that asked for it, or is the one that `_SETTLED` trials in a row asked for.
_RECENT, _SETTLED = 20, 5
# Trials in these states have asked for all their params; others may have been cut short.
_WHOLE = (State.COMPLETE, State.PRUNED)


class Layout:
    """The space that trials define, one after the other.

    Numbers may have other bounds in each trial: the space then has those of the latest 20 trials
    together, or of the latest five if these agree. A domain of another kind than the first one of
    its param, or with other options, is ignored, and so are params with only one value.

    Example:
        >>> layout = Layout()
        >>> model, depth = Choice(["svm", "forest"]), Int(1, 9)
        >>> layout.take({"model": "svm"}, {"model": model})
        >>> layout.take({"model": "forest", "depth": 3}, {"model": model, "depth": depth})
        >>> layout.space
        Space({'model': Choice({'svm': {}, 'forest': {'depth': Int(1, 9)}})})
    """

    def __init__(self) -> None:
        self._recent: dict[str, deque[Domain]] = {}
        self._trials = 0
        self._asked: Counter[str] = Counter()  # trials that asked for each param
        self._options: dict[str, Counter[_Option]] = {}  # trials with each option of each choice
        self._together: dict[tuple[str, str], Counter[_Option]] = {}  # those with each param, too
        self._space: Space | None = None

    def take(self, params: Params, domains: Mapping[str, Entry]) -> None:
        """Learn from a trial that has asked for all its params."""
        found = {n: d for n, d in domains.items() if isinstance(d, Domain) and n and n in params}
        for name, domain in found.items():
            recent = self._recent.setdefault(name, deque(maxlen=_RECENT))
            if not recent or are_alike(recent[0], domain):
                recent.append(domain)
                self._asked[name] += 1
        self._trials += 1
        self._space = None
        for choice, domain in found.items():
            if isinstance(domain, Choice) and domain == self._recent[choice][0]:
                option = type(params[choice]), params[choice]
                self._options.setdefault(choice, Counter())[option] += 1
                for name in found:
                    self._together.setdefault((name, choice), Counter())[option] += 1

    @property
    def space(self) -> Space:
        """The space of the trials so far; the same object until it is told another one."""
        if self._space is None:
            self._space = Space(self._entries())
        return self._space

    def _entries(self) -> dict[str, Domain]:
        """Return a space in which each param is active with the options it has been seen with."""
        homes = {name: self._home(name) for name in self._recent}
        children: dict[str, dict[str, _Home]] = {}
        for name, home in homes.items():
            if home is not None:
                children.setdefault(home.choice, {})[name] = home

        def entry(name: str) -> Domain:
            domain = _joined(self._recent[name])
            if not isinstance(domain, Choice) or name not in children:
                return domain
            inner = children[name]
            return Choice(
                {
                    each: {
                        n: entry(n)
                        for n, home in inner.items()
                        if (type(each), each) in home.options
                    }
                    for each in domain.labels
                }
            )

        return {name: entry(name) for name, home in homes.items() if home is None}

    def _home(self, name: str) -> "_Home | None":
        """Return the choice that best explains which trials have a param; None if none does."""
        asked = self._asked[name]
        if asked == self._trials:
            return None
        best, most = None, 0
        for choice, options in self._options.items():
            with_it = self._together.get((name, choice), Counter())
            if choice == name or with_it.total() < asked:
                continue  # some trials with the param lack this choice
            others = sum(count for option, count in options.items() if option not in with_it)
            explained = others + self._trials - options.total()
            # It must be explained by an option, not merely by the absence of the choice.
            if others and explained > most:
                best, most = _Home(choice, frozenset(with_it)), explained
        return best


@dataclass(frozen=True, slots=True)
class _Home:
    """The condition of a param: a choice, and the options with which the param is active."""

    choice: str
    options: frozenset[_Option]


def _joined(domains: Iterable[Domain]) -> Domain:
    """Return a domain with the bounds of domains that are alike, taken together."""
    recent = list(domains)
    every: list[Any] = list(dict.fromkeys(recent))
    first = every[0]
    if isinstance(first, Choice) or len(set(recent[-_SETTLED:])) == 1:
        return recent[-1]
    low, high = min(each.low for each in every), max(each.high for each in every)
    is_one_grid = len({(each.low, each.step) for each in every}) == 1
    if isinstance(first, Int):
        return Int(low, high, log=first.log, step=first.step if is_one_grid else 1)
    return Float(low, high, log=first.log, step=first.step if is_one_grid else None)


def completed(space: Space, params: Params) -> dict[str, Any]:
    """Return the point of a space that is nearest to params.

    Params that are missing are in the middle of their domains, and others are left out.

    Example:
        >>> completed(Space({"x": Float(0, 1), "k": Int(1, 3)}), {"x": 1.5, "units": 64})
        {'x': 1.0, 'k': 2}
    """
    stored: dict[str, Any] = {}
    for name, domain in space.walk(stored):
        stored[name] = _nearest(domain, params[name]) if name in params else domain.decode(0.5)
    return stored


def _nearest(domain: Domain, value: Any) -> Any:
    if isinstance(domain, Choice):
        return value if domain.contains(value) else domain.decode(0.5)
    return domain.snap(float(value)) if is_real(value) else domain.decode(0.5)


def laid_out(space: Space, trials: Iterable[Trial]) -> Space:
    """Return the space that trials have defined, if it is an open one; any other as it is."""
    if not isinstance(space, OpenSpace):
        return space
    layout = Layout()
    for trial in trials:
        if is_whole(trial):
            layout.take(trial.params, trial.domains)
    return layout.space


def is_whole(trial: Trial) -> bool:
    """Return whether a trial has asked for all its params: it was not cut short by an error."""
    return trial.state in _WHOLE
