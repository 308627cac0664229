"""A Manyfit space in the words of the peers, and their params in its stored form."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from manyfit import Choice, Float, Int, Space
from manyfit.trial import Params

# ── Optuna ────────────────────────────────────────────────────────────────────────────────────────


def suggested(space: Space, trial: Any) -> Params:
    """Return what a trial of Optuna suggests, asked for in the order in which names come up."""
    params: dict[str, Any] = {}
    for name, domain in space.walk(params):
        match domain:
            case Float(low, high, log=log, step=step):
                value = domain.snap(trial.suggest_float(name, low, high, log=log, step=step))
            case Int(low, high, log=log, step=step):
                value = trial.suggest_int(name, low, high, log=log, step=step)
            case Choice():
                value = trial.suggest_categorical(name, domain.labels)
        params[name] = value
    return params


# ── Hyperopt ──────────────────────────────────────────────────────────────────────────────────────


def to_hyperopt(space: Space) -> dict[str, Any]:
    """Return the space as Hyperopt's; a name that is in two branches is one node there."""
    nodes: dict[str, Any] = {}
    inner = {name for name, _, _ in _conditions(space)}
    return {
        name: _node(name, domain, nodes)
        for name, domain in space.params.items()
        if name not in inner
    }


def _node(name: str, domain: Any, nodes: dict[str, Any]) -> Any:
    if name not in nodes:
        nodes[name] = _new_node(name, domain, nodes)
    return nodes[name]


def _new_node(name: str, domain: Any, nodes: dict[str, Any]) -> Any:
    from hyperopt import hp

    match domain:
        case Float(low, high, log=True):
            return hp.loguniform(name, math.log(low), math.log(high))
        case Float(low, high, step=None):
            return hp.uniform(name, low, high)
        case Int(low, high, log=True):
            return hp.qloguniform(name, math.log(low - 0.5), math.log(high + 0.5), 1)
        case Float() | Int():
            return hp.uniformint(name, 0, domain.size - 1)
    options = [
        {child: _node(child, entry, nodes) for child, entry in domain.branch(label).items()}
        for label in domain.labels
    ]
    return hp.choice(name, options if domain.branches else list(domain.labels))


def from_hyperopt(space: Space, values: Mapping[str, list[Any]]) -> Params:
    """Return the params that Hyperopt's values stand for."""
    params: dict[str, Any] = {}
    for name, domain in space.walk(params):
        (value,) = values[name]
        match domain:
            case Float(step=None):
                params[name] = domain.snap(float(value))
            case Int(low, high, log=True):
                params[name] = min(max(int(value), low), high)
            case Choice():
                params[name] = domain.labels[int(value)]
            case _:
                params[name] = domain.at(int(value))
    return params


# ── HEBO ──────────────────────────────────────────────────────────────────────────────────────────


def to_hebo(space: Space) -> list[dict[str, Any]]:
    """Return the space as HEBO's, which knows no conditions: every param is offered always."""
    return [{"name": name, **_hebo_domain(domain)} for name, domain in space.params.items()]


def _hebo_domain(domain: Any) -> dict[str, Any]:
    match domain:
        case Float(low, high, log=log, step=None):
            return {"type": "pow" if log else "num", "lb": low, "ub": high}
        case Int(low, high, log=log, step=1):
            return {"type": "pow_int" if log else "int", "lb": low, "ub": high}
        case Float() | Int():
            return {"type": "int", "lb": 0, "ub": domain.size - 1}
    return {"type": "cat", "categories": list(range(len(domain.labels)))}


# ── Ax ────────────────────────────────────────────────────────────────────────────────────────────


def to_ax(space: Space) -> list[Any]:
    """Return the space as Ax's parameters; every param is offered always."""
    return [_ax_parameter(name, domain) for name, domain in space.params.items()]


def _ax_parameter(name: str, domain: Any) -> Any:
    from ax.api.configs import ChoiceParameterConfig, RangeParameterConfig

    match domain:
        case Float(low, high, log=log, step=None):
            scaling = "log" if log else "linear"
            return RangeParameterConfig(name, (low, high), "float", scaling=scaling)
        case Int(low, high, log=log, step=1):
            scaling = "log" if log else "linear"
            return RangeParameterConfig(name, (low, high), "int", scaling=scaling)
        case Float() | Int():
            return RangeParameterConfig(name, (0, domain.size - 1), "int")
    places = [str(place) for place in range(len(domain.labels))]
    return ChoiceParameterConfig(name, places, "str", is_ordered=False)


# ── ConfigSpace ───────────────────────────────────────────────────────────────────────────────────


def to_config_space(space: Space, seed: int) -> Any:
    """Return the space as a ConfigSpace, with a condition for each param of a branch."""
    import ConfigSpace

    found = ConfigSpace.ConfigurationSpace(seed=seed)
    nodes = {name: _hyperparameter(name, domain) for name, domain in space.params.items()}
    found.add(nodes.values())
    places: dict[tuple[str, str], list[int]] = {}
    for child, parent, place in _conditions(space):
        places.setdefault((child, parent), []).append(place)
    for (child, parent), allowed in places.items():
        found.add(ConfigSpace.InCondition(nodes[child], nodes[parent], allowed))
    return found


def _hyperparameter(name: str, domain: Any) -> Any:
    import ConfigSpace

    match domain:
        case Float(low, high, log=log, step=None):
            return ConfigSpace.UniformFloatHyperparameter(name, low, high, log=log)
        case Int(low, high, log=log, step=1):
            return ConfigSpace.UniformIntegerHyperparameter(name, low, high, log=log)
        case Float() | Int():
            return ConfigSpace.UniformIntegerHyperparameter(name, 0, domain.size - 1)
    return ConfigSpace.CategoricalHyperparameter(name, list(range(len(domain.labels))))


def from_config(space: Space, values: Mapping[str, Any]) -> Params:
    """Return the params that values stand for; a label of a choice is given by its place."""
    params: dict[str, Any] = {}
    for name, domain in space.walk(params):
        value = values[name]
        match domain:
            case Float(step=None):
                params[name] = domain.snap(float(value))
            case Int(step=1):
                params[name] = int(value)
            case Choice():
                params[name] = domain.labels[int(value)]
            case _:
                params[name] = domain.at(int(value))
    return params


def _conditions(space: Space) -> Iterator[tuple[str, str, int]]:
    """Yield each param of a branch, the Choice it hangs on, and the place of the branch in it."""
    for parent, choice in space.params.items():
        if isinstance(choice, Choice):
            for place, label in enumerate(choice.labels):
                for child in choice.branch(label):
                    if child in space.params:
                        yield child, parent, place
