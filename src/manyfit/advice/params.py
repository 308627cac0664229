"""Rules about which params to tune: seeds, speed, the length of training, and overlaps."""

import re
from collections.abc import Callable, Iterator
from itertools import combinations

from manyfit._text import listed
from manyfit._tree import exclude_one_another
from manyfit.advice.advice import Advice
from manyfit.advice.catalogue import names
from manyfit.advice.planned import Planned
from manyfit.space import Space

# Each of these bounds the size of a tree.
_TREE_SIZES = re.compile(
    r"max_depth|maxDepth|depth|num_leaves|max_leaves|max_leaf_nodes|min_samples_(leaf|split)|"
    r"min_child_(weight|samples)|min_data_in_leaf|min_sum_hessian_in_leaf|minInstancesPerNode"
)
_DECAYS = frozenset(("weight_decay", "weight_decay_rate"))


def seeds(planned: Planned) -> Advice | None:
    """A seed as a param."""
    found = tuple(filter(names.is_seed, planned.space.params))
    if not found:
        return None
    what = (
        f"{listed(found)}: the luck of a seed doesn't carry over to new data. Leave it out; each "
        "trial has a seed of its own, and repeats=5 shows how much of the best value is luck"
    )
    return Advice("seed", found, what)


def speed(planned: Planned) -> Advice | None:
    """Params that only decide how fast a model is fitted."""
    found = tuple(filter(names.is_speed, planned.space.params))
    if not found:
        return None
    what = (
        f"{listed(found)}: this decides how fast a model is fitted, hardly how good it is, and "
        "trials spent on it teach little. Fix what is fastest"
    )
    return Advice("speed-only", found, what)


def length(planned: Planned) -> Advice | None:
    """A number of epochs or rounds, which reports and early stopping would decide."""
    params = planned.space.params
    rates = {names.split(each)[0] for each in params if _is_rate(each)}
    found = tuple(
        name for name in params if names.is_length(name, beside_rate=names.split(name)[0] in rates)
    )
    if not found:
        return None
    tops = [f"{name}={getattr(params[name], 'high', 'a large value')}" for name in found]
    what = (
        f"{listed(found)}: early stopping finds the right length of each trial by itself. Fix "
        f"{', '.join(tops)}, and let trials report each step, so that hopeless ones end early"
    )
    return Advice("early-stopping", found, what)


def _is_rate(name: str) -> bool:
    return names.split(name)[1] in names.LEARNING_RATES


def tree_sizes(planned: Planned) -> Advice | None:
    """Several params that bound the size of the same trees."""
    groups = list(_together(planned.space, _TREE_SIZES.fullmatch))
    if not groups:
        return None
    what = (
        f"{'; '.join(map(listed, groups))}: each limits the size of a tree, and many combinations "
        f"of them are the same model. Tune one, such as {groups[0][0]}, and leave out the others"
    )
    return Advice("overlap", tuple(name for group in groups for name in group), what)


def penalties(planned: Planned) -> Advice | None:
    """Dropout and weight decay of the same network."""
    wanted = _together(planned.space, lambda last: _is_dropout(last) or last in _DECAYS)
    groups = [group for group in wanted if len({_is_dropout(name) for name in group}) == 2]
    if not groups:
        return None
    what = (
        f"{'; '.join(map(listed, groups))}: each is a remedy for overfitting, and one makes up "
        "for the other. Tune one, and fix the other at a small value"
    )
    return Advice("overlap", tuple(name for group in groups for name in group), what)


def _is_dropout(name: str) -> bool:
    return "dropout" in names.split(name)[1].lower()


def _together(space: Space, wanted: Callable[[str], object]) -> Iterator[tuple[str, ...]]:
    """Yield the params of each model that are wanted, if there are several active at once."""
    groups: dict[str, list[str]] = {}
    for name in space.params:
        prefix, last = names.split(name)
        if wanted(last):
            groups.setdefault(prefix, []).append(name)
    for group in groups.values():
        pairs = [pair for pair in combinations(group, 2) if _can_meet(space, *pair)]
        met = {name for pair in pairs for name in pair}
        if met:
            yield tuple(name for name in group if name in met)


def _can_meet(space: Space, one: str, other: str) -> bool:
    return any(not exclude_one_another(a, b) for a in space.paths(one) for b in space.paths(other))
