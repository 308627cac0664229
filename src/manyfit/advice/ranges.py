"""Rules about ranges: their scale, and whether they are too narrow or too wide."""

import math
from collections.abc import Iterator

from manyfit._text import listed
from manyfit.advice.advice import Advice
from manyfit.advice.catalogue import names
from manyfit.advice.planned import Planned
from manyfit.space import Choice, Float, Int

# Decades of a linear range beyond which it should be logarithmic: for params that are compared by
# factors, and for others. Of draws from three decades, one in a hundred is in the lowest two.
_DECADES, _MANY_DECADES = 2.0, 3.0
# Decades of a logarithmic range beyond which few trials are near any good value.
_WIDE = 8.0
# The number of trials from which on a wide range costs little: they narrow it down themselves.
_ENOUGH = 100
# A range narrower than this share of the usual one holds values that hardly differ, ...
_NARROW = 0.05
# ... unless their distances to 1 differ by more than this factor.
_FACTOR = 5.0
# A range that begins this many times beyond the usual one has no usual value; one that ends this
# many times beyond it has mostly useless ones.
_FAR, _TOO_FAR = 3.0, 10.0
# The number of options that suggests a range of numbers; shorter lists are often meant.
_OPTIONS = 6
_DUST = 1e-6


def unusual(planned: Planned) -> Advice | None:
    """A range without a single usual value, such as one of logarithms."""
    found = {}
    for name, domain in _numbers(planned):
        usual = _usual(name, domain)
        if not usual:
            continue
        if domain.low < 0 and all(each.low > 0 for each in usual):
            found[name] = f"{name} from {domain.low:g} has negative values (are the bounds logs?)"
        elif all(_is_apart(domain, each) for each in usual):
            found[name] = f"{name} from {domain.low:g} to {domain.high:g} has no usual value"
    if not found:
        return None
    usual_ones = ", ".join(f"{name}={names.ranges(name)[0]!r}" for name in found)
    what = f"{listed(found.values())}: write the values themselves, such as {usual_ones}"
    return Advice("unusual-range", tuple(found), what)


def _usual(name: str, domain: Float | Int) -> list[Float | Int]:
    """Return the usual ranges of a param that count the same thing.

    A count isn't compared with a usual share, nor a share with a usual count: `n_components=20` is
    a number of components, and 0.9 a share of the variance.
    """
    counts = isinstance(domain, Int) and domain.low >= 1
    shares = isinstance(domain, Float) and domain.low >= 0 and domain.high <= 1
    return [
        each
        for each in names.ranges(name)
        if not (counts and isinstance(each, Float) and each.high <= 1)
        and not (shares and isinstance(each, Int))
    ]


def _is_apart(domain: Float | Int, usual: Float | Int) -> bool:
    """Return whether a range has no value near the usual one."""
    if usual.log:
        return domain.high < usual.low / _FAR or domain.low > usual.high * _FAR
    width = usual.high - usual.low
    return domain.high < usual.low - width or domain.low > usual.high + width


def linear(planned: Planned) -> Advice | None:
    """A range over two decades that isn't logarithmic."""
    found = {
        name: domain
        for name, domain in _numbers(planned)
        if not domain.log and domain.step in (None, 1) and _needs_log(name, domain)
    }
    if not found:
        return None
    tenths = ", ".join(
        f"of {name} are above {domain.low + (domain.high - domain.low) / 10:.3g}"
        for name, domain in found.items()
    )
    ranges = [f"{name}={_as_log(name, domain)!r}" for name, domain in found.items()]
    what = (
        f"90 % of random values {tenths}: to try each order of magnitude as often, "
        f"give {listed(ranges)}"
    )
    return Advice("log-scale", tuple(found), what)


def _needs_log(name: str, domain: Float | Int) -> bool:
    scale = names.scale(name)
    if scale == "differences" or domain.low < 0:
        return False
    if domain.low == 0:  # it may mean "none", but a learning rate of 0 teaches nothing
        return isinstance(domain, Float) and names.split(name)[1] in names.LEARNING_RATES
    is_share = 0.5 <= domain.high <= 1.0 and scale is None  # a share of something, it seems
    most = _DECADES if scale == "factors" else _MANY_DECADES
    return not is_share and math.log10(domain.high / domain.low) > most + _DUST


def _as_log(name: str, domain: Float | Int) -> Float | Int:
    if isinstance(domain, Int):
        return Int(domain.low, domain.high, log=True)
    usual = [each.low for each in names.ranges(name) if each.log]
    return Float(domain.low or min([domain.high / 1e3, *usual]), domain.high, log=True)


def narrow(planned: Planned) -> Advice | None:
    """A range so narrow that its values hardly differ."""
    found = {}
    for name, domain in _numbers(planned):
        usual = _usual(name, domain)
        if not usual or not all(_share(domain, each) < _NARROW for each in usual):
            continue
        if _nears_one(domain):
            continue
        if isinstance(domain, Float) or domain.high < (1 + _NARROW) * domain.low:
            found[name] = f"{name} from {domain.low:g} to {domain.high:g}"
    if not found:
        return None
    what = (
        f"{listed(found.values())}: values so close make no difference that trials could show. "
        "Fix it, or widen the range tenfold"
    )
    return Advice("narrow-range", tuple(found), what)


def _nears_one(domain: Float | Int) -> bool:
    """Return whether the distance to 1 differs by a factor, as that of a discount or quantile."""
    is_below = domain.low >= 0.5 and domain.high < 1
    return is_below and (1 - domain.low) / (1 - domain.high) > _FACTOR


def _share(domain: Float | Int, usual: Float | Int) -> float:
    """Return the width of a range as a share of the usual one."""
    if usual.log:
        if domain.low <= 0:
            return math.inf
        return math.log(domain.high / domain.low) / math.log(usual.high / usual.low)
    return float((domain.high - domain.low) / (usual.high - usual.low))


def wide(planned: Planned) -> Advice | None:
    """A range so wide that few trials can't cover it."""
    if planned.n_trials is None or planned.n_trials >= _ENOUGH:
        return None
    found = {}
    for name, domain in _numbers(planned):
        if domain.log and (decades := math.log10(domain.high / domain.low)) > _WIDE + _DUST:
            found[name] = f"{name} spans {decades:.3g} decades"
        elif _is_too_high(name, domain):
            top = max(each.high for each in _usual(name, domain))
            found[name] = f"{name} goes up to {domain.high:g}, where {top:g} is a large value"
    if not found:
        return None
    what = (
        f"{listed(found.values())}, too wide for {planned.n_trials} trials: begin with a range "
        "around your best guess, and widen it if the best value is at its edge"
    )
    return Advice("wide-range", tuple(found), what)


def _is_too_high(name: str, domain: Float | Int) -> bool:
    usual = _usual(name, domain)
    if not usual or domain.log or names.scale(name) != "differences":
        return False
    return domain.high > _TOO_FAR * max(each.high for each in usual)


def unordered(planned: Planned) -> Advice | None:
    """Numbers at regular distances as options, which have no order."""
    if planned.sampler not in ("auto", "gp", "tpe"):
        return None
    found = {}
    for name, domain in planned.space.params.items():
        if isinstance(domain, Choice) and (range_ := _as_range(domain)):
            found[name] = f"{name}={range_}"
    if not found:
        return None
    what = (
        f"{listed(found)}: the options of a Choice have no order, so that a trial says nothing "
        f"about its neighbours. Give a range, {', '.join(found.values())}"
    )
    return Advice("unordered", tuple(found), what)


def _as_range(choice: Choice) -> str | None:
    """Return the range that a list of at least six numbers stands for, if there is one."""
    options = [] if choice.branches is not None or choice.weights else list(choice.options)
    if len(options) < _OPTIONS or any(type(each) not in (int, float) for each in options):
        return None
    low, high, steps = options[0], options[-1], len(options) - 1
    kind = Int if all(isinstance(each, int) for each in options) else Float
    step = (high - low) / steps
    if step > 0 and all(
        math.isclose(each, low + i * step, rel_tol=1e-6, abs_tol=1e-9 * step)
        for i, each in enumerate(options)
    ):
        return repr(kind(low, high, step=step))
    if (
        low > 0
        and high > low
        and all(
            math.isclose(each, low * (high / low) ** (i / steps), rel_tol=0.02)
            for i, each in enumerate(options)
        )
    ):
        return repr(kind(low, high, log=True))
    return None


def _numbers(planned: Planned) -> Iterator[tuple[str, Float | Int]]:
    """Yield the ranges; a prior is no range, and says itself what is likely."""
    for name, domain in planned.space.params.items():
        if not isinstance(domain, Choice) and domain.prior is None:
            yield name, domain
