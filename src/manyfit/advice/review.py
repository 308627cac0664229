"""All rules that look at a study before it runs, in order of importance."""

from collections.abc import Callable

from manyfit.advice import params, ranges, trials
from manyfit.advice.advice import Advice
from manyfit.advice.planned import Planned

RULES: tuple[Callable[[Planned], Advice | None], ...] = (
    trials.direction,
    trials.training,
    trials.memory,
    trials.grid,
    trials.few,
    trials.at_once,
    ranges.unusual,
    ranges.linear,
    params.seeds,
    params.speed,
    params.length,
    ranges.wide,
    ranges.narrow,
    ranges.unordered,
    params.tree_sizes,
    params.penalties,
)


def reviewed(planned: Planned) -> tuple[Advice, ...]:
    """Return what the rules say about a study, most important first; empty if all is well."""
    return tuple(advice for rule in RULES if (advice := rule(planned)) is not None)
