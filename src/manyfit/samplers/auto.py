"""Turn what a user passes as `sampler` into a sampler, and say what was chosen."""

import sys
from collections.abc import Callable
from typing import Any

from manyfit._optional import load
from manyfit.errors import ArgumentError
from manyfit.metric import Metric
from manyfit.samplers.base import Sampler
from manyfit.samplers.grid import GridSampler
from manyfit.samplers.quasirandom import QuasiRandomSampler
from manyfit.samplers.random import RandomSampler
from manyfit.space import Space

# Below this a grid is within reach, and worth a word.
_SMALL = 100


def make_sampler(sampler: Any, space: Space, metric: Metric, seed: int) -> tuple[Sampler, str]:
    """Return a sampler and one line that says what it is and why.

    Args:
        sampler: One of the words `"auto"`, `"grid"`, `"quasirandom"`, `"random"`, `"tpe"`; an
            instance of one of Optuna's samplers; or anything with the methods `tell` and `ask`.
        space: Where params come from.
        metric: What is tuned.
        seed: The study's seed.

    Raises:
        ArgumentError: It is none of these.
        SpaceError: A grid over an infinite space.

    Example:
        >>> from manyfit.space import Int
        >>> make_sampler("random", Space({"depth": Int(1, 9)}), Metric("loss"), seed=0)[1]
        'random: each trial is drawn on its own'
    """
    if isinstance(sampler, str):
        return _of_word(sampler, space, metric, seed)
    if isinstance(sampler, type):
        raise ArgumentError(
            f"sampler must be an instance, but got the class {sampler.__name__}: call it first"
        )
    # Where optuna was never imported, nobody can have made one of its samplers.
    if "optuna" in sys.modules and _optuna().is_optuna_sampler(sampler):
        name = type(sampler).__name__
        return _optuna().OptunaSampler(space, metric, seed, sampler), f"{name}: Optuna's, as given"
    if callable(getattr(sampler, "tell", None)) and callable(getattr(sampler, "ask", None)):
        return sampler, f"{type(sampler).__name__}: as given"
    raise ArgumentError(
        f"sampler must be one of {_words()}, an instance of an optuna sampler, or an object with "
        f"the methods tell and ask, but got {sampler!r:.200}"
    )


def _of_word(word: str, space: Space, metric: Metric, seed: int) -> tuple[Sampler, str]:
    if word not in _WORDS:
        raise ArgumentError(f"sampler must be one of {_words()}, but got {word!r}")
    factory, line = _WORDS[word]
    count = "infinitely many" if space.size is None else f"{space.size:,}"
    note = ""
    if word == "auto" and space.size is not None and space.size <= _SMALL:
        note = f". The space has {count} configurations: sampler='grid' tries each"
    return factory(space, metric, seed), line.format(count=count) + note


def _words() -> str:
    return ", ".join(map(repr, _WORDS))


def _optuna() -> Any:
    return load("manyfit.samplers.optuna")


def _tpe(space: Space, metric: Metric, seed: int) -> Sampler:
    sampler: Sampler = _optuna().OptunaSampler(space, metric, seed)
    return sampler


_TPE = "TPE: learns from the trials so far where good ones lie, after 10 random ones"
_WORDS: dict[str, tuple[Callable[[Space, Metric, int], Sampler], str]] = {
    "auto": (_tpe, f"auto chose {_TPE}"),
    "grid": (
        lambda space, _, seed: GridSampler(space, seed),
        "grid: each of the {count} configurations once",
    ),
    "quasirandom": (
        lambda space, _, seed: QuasiRandomSampler(space, seed),
        "quasirandom: Sobol points, which fill the space evenly",
    ),
    "random": (
        lambda space, _, seed: RandomSampler(space, seed),
        "random: each trial is drawn on its own",
    ),
    "tpe": (_tpe, _TPE),
}
