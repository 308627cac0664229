"""The length of a trial, if its params determine it: the number of epochs, or of batches."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from math import inf

from manyfit.trial import Params, Trial

# Lengths that a rule explains are within this factor of each other, since batches are rounded up.
_TOLERANCE = 1.1
# A rule must explain this many trials more than it has constants, and more for each choice that was
# made to find it: a further factor, or the param that divides the trials.
_SPARE, _PER_FACTOR, _PER_DIVISION = 2, 1, 1
# Among this many lengths a rule is sought, but not among more: that would take ever longer.
_MOST = 32


@dataclass(frozen=True, slots=True)
class Rule:
    """How a length follows from params: a scale times some of them, over others.

    Attributes:
        times: The params that it is proportional to.
        over: The params that it is inversely proportional to.
        by: The param whose options have a scale each, such as the unit of steps; None if all trials
            have the same.
        scales: The scale of each option, by its repr.
    """

    times: tuple[str, ...]
    over: tuple[str, ...]
    by: str | None
    scales: Mapping[str, float]

    def length(self, params: Params) -> float | None:
        """Return the length of a trial with these params; None if it isn't known.

        Example:
            >>> Rule(("epochs",), ("batch",), None, {"": 1000.0}).length({"epochs": 9, "batch": 50})
            180.0
        """
        scale = self.scales.get(_option(params, self.by))
        product = _product(params, self.times, self.over)
        return None if scale is None or product is None else scale * product


class PlannedLengths:
    """Learns from completed trials how the lengths of trials follow from their params.

    The simplest rule that holds for every completed trial counts: the length is proportional to a
    param or to its inverse, or to the product or the quotient of two, or has a value for each
    option of a param; one param may also decide the unit of steps. A rule that a completed trial
    contradicts is dropped for good, and another is sought, up to the first 32 completed trials.
    """

    def __init__(self) -> None:
        self._known: list[tuple[Params, int]] = []
        self.rule: Rule | None = None

    def end(self, trial: Trial) -> None:
        """Take in a completed trial that reported."""
        params, length = trial.params, trial.measurements[-1].step + 1
        if len(self._known) <= _MOST:
            self._known.append((params, length))
        found = None if self.rule is None else self.rule.length(params)
        if found is None or not 1 / _TOLERANCE <= length / found <= _TOLERANCE:
            self.rule = _rule_of(self._known) if len(self._known) <= _MOST else None


def _rule_of(known: Sequence[tuple[Params, int]]) -> Rule | None:
    """Return the simplest rule that explains all these lengths, unless they are alike."""
    lengths = [length for _, length in known]
    if max(lengths) <= _TOLERANCE * min(lengths):
        return None
    first, _ = known[0]
    numbers = [name for name in first if _product(first, (name,), ()) is not None]
    # Options that are new each time would explain anything.
    divisions = [
        name for name in first if 2 * len({_option(each, name) for each, _ in known}) <= len(known)
    ]
    rules = (_fitted(known, *form) for form in _forms(numbers, divisions))
    return next((rule for rule in rules if rule is not None), None)


def _forms(
    numbers: Sequence[str], divisions: Sequence[str]
) -> Iterator[tuple[tuple[str, ...], tuple[str, ...], str | None]]:
    """Yield the forms of rules, the simplest first."""
    single = [((name,), ()) for name in numbers] + [((), (name,)) for name in numbers]
    yield from ((*factors, None) for factors in single)
    yield from ((*factors, by) for factors in [((), ()), *single] for by in divisions)
    yield from ((pair, (), None) for pair in combinations(numbers, 2))
    yield from (((one,), (other,), None) for one, other in permutations(numbers, 2))


def _fitted(
    known: Sequence[tuple[Params, int]],
    times: tuple[str, ...],
    over: tuple[str, ...],
    by: str | None,
) -> Rule | None:
    """Return a rule of this form if it explains all lengths, and they are enough to say so."""
    bounds: dict[str, tuple[float, float]] = {}
    for params, length in known:
        product = _product(params, times, over)
        if product is None:
            return None
        option, scale = _option(params, by), length / product
        low, high = bounds.get(option, (scale, scale))
        bounds[option] = low, high = min(low, scale), max(high, scale)
        if not (low > 0 and high <= low * _TOLERANCE < inf):
            return None
    further = max(0, len(times) + len(over) - 1)
    spare = _SPARE + _PER_FACTOR * further + _PER_DIVISION * (by is not None)
    if len(known) - len(bounds) < spare:
        return None
    middles = {option: (low * high) ** 0.5 for option, (low, high) in bounds.items()}
    return Rule(times, over, by, middles)


def _product(params: Params, times: Sequence[str], over: Sequence[str]) -> float | None:
    """Return the product of some params over that of others; None unless all are positive."""
    result = 1.0
    for name in (*times, *over):
        value = params.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            return None
        result = result * value if name in times else result / value
    return result if 0 < result < inf else None


def _option(params: Params, by: str | None) -> str:
    return "" if by is None else repr(params.get(by))
