"""What `algo=` takes: Hyperopt's algorithms by name, each served by a sampler of Manyfit."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from manyfit._checks import has_methods
from manyfit.errors import ArgumentError


@dataclass(frozen=True, repr=False)
class Algorithm:
    """An algorithm of Hyperopt: pass it to `fmin`, as it is or with settings in a `partial`.

    Attributes:
        name: Its name, such as `tpe.suggest`.
        sampler: Returns the sampler, given the settings and a seed.
        settings: The names of its settings.
    """

    name: str
    sampler: Callable[[Mapping[str, Any], int | None], Any]
    settings: tuple[str, ...] = ()

    def __call__(self, *_: object, **__: object) -> Any:
        """Refuse: only `fmin` asks for points.

        Raises:
            ArgumentError: Always.
        """
        raise ArgumentError(
            f"{self.name} is what fmin's algo= takes, and can't be called. For settings write "
            f"functools.partial({self.name}, ...)"
        )

    def __repr__(self) -> str:
        return self.name


def sampler_of(algo: Any, seed: int | None) -> Any:
    """Return the sampler that serves an algorithm; a sampler of Manyfit or Optuna unchanged.

    Raises:
        ArgumentError: It is neither, or an algorithm has no such setting.
    """
    settings: dict[str, Any] = {}
    while isinstance(algo, functools.partial):
        settings = {**algo.keywords, **settings}
        algo = algo.func
    if isinstance(algo, Algorithm):
        unknown = settings.keys() - set(algo.settings)
        if unknown:
            has = ", ".join(algo.settings) or "none"
            raise ArgumentError(f"{algo.name} has no {min(unknown)!r}; its settings: {has}")
        return algo.sampler(settings, seed)
    is_sampler = isinstance(algo, str) or has_methods(algo, "tell", "ask")
    if is_sampler or type(algo).__module__.startswith("optuna."):
        return algo
    if str(getattr(algo, "__module__", "")).startswith("hyperopt."):
        raise ArgumentError(
            f"algo is {algo.__module__}.{algo.__name__}: import tpe, rand and anneal from "
            "manyfit.hyperopt, as fmin"
        )
    raise ArgumentError(
        "algo must be tpe.suggest, rand.suggest or anneal.suggest, a functools.partial of one, or "
        f"what manyfit.tune takes as sampler, but got {algo!r:.200}"
    )
