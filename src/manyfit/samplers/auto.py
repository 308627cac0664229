"""Turn what a user passes as `sampler` into a sampler, and say what was chosen."""

import sys
from collections.abc import Sequence
from typing import Any

from manyfit._checks import has_methods
from manyfit._optional import load
from manyfit.errors import ArgumentError
from manyfit.metric import Metric
from manyfit.open_space import OpenSpace
from manyfit.samplers.base import Sampler
from manyfit.samplers.earlier import Earlier
from manyfit.samplers.grid import GridSampler
from manyfit.samplers.nearby import NearbySampler
from manyfit.samplers.open_space import OpenSampler
from manyfit.samplers.quasirandom import QuasiRandomSampler
from manyfit.samplers.random import RandomSampler
from manyfit.space import Space

# For a finite space of at most this many configurations, the summary line suggests a grid.
_SMALL = 100
# The Gaussian process was measured up to this many params: it beats TPE, at about 75 ms a proposal.
_MOST_PARAMS = 100
# https://optuna.readthedocs.io/en/stable/reference/samplers/generated/optuna.samplers.TPESampler.html
_TPE_STARTUP = 10


def make_sampler(
    sampler: Any, space: Space, metric: Metric, seed: int, earlier: Sequence[Earlier] = ()
) -> tuple[Sampler, str]:
    """Return a sampler and one line that says which it is and why it was chosen.

    Args:
        sampler: One of the words `"auto"`, `"gp"`, `"grid"`, `"nearby"`, `"quasirandom"`,
            `"random"`, `"tpe"`; an instance of one of Optuna's samplers; or anything with the
            methods `tell` and `ask`.
        space: The space to search.
        metric: The metric to tune.
        seed: The study's seed.
        earlier: Results of other studies; only a Gaussian process can use them.

    Raises:
        ArgumentError: `sampler` is none of these, or `earlier` is given and it can't use that.
        SpaceError: A grid over an infinite space.

    Example:
        >>> from manyfit.space import Int
        >>> make_sampler("random", Space({"depth": Int(1, 9)}), Metric("loss"), seed=0)[1]
        'random: each trial is drawn on its own'
    """
    if isinstance(sampler, str):
        return _of_word(sampler, space, metric, seed, earlier)
    if isinstance(sampler, type):
        raise ArgumentError(
            f"sampler must be an instance, but got the class {sampler.__name__}: call it first"
        )
    name = type(sampler).__name__
    _check_earlier(name, earlier)
    # If optuna was never imported, `sampler` can't be one of its samplers.
    if "optuna" in sys.modules and _optuna().is_optuna_sampler(sampler):
        return _optuna().OptunaSampler(space, metric, seed, sampler), f"{name}: Optuna's, as given"
    if has_methods(sampler, "tell", "ask"):
        _check_given(name, space)
        return sampler, f"{name}: as given"
    raise ArgumentError(
        f"sampler must be one of {_words()}, an instance of an optuna sampler, or an object with "
        f"the methods tell and ask, but got {sampler!r:.200}"
    )


def startup(word: str, space: Space) -> int | None:
    """Return the number of trials that a sampler proposes without regard to results.

    None for a sampler that doesn't learn, or whose number isn't fixed.

    Example:
        >>> from manyfit.space import Int
        >>> space = Space({"depth": Int(1, 9)})
        >>> startup("gp", space), startup("tpe", space), startup("grid", space)
        (6, 10, None)
    """
    name = _best_word(space) if word == "auto" else word
    if name == "gp":
        return int(load("manyfit.samplers.gp").startup(space))
    return _TPE_STARTUP if name == "tpe" else None


def _of_word(
    word: str, space: Space, metric: Metric, seed: int, earlier: Sequence[Earlier]
) -> tuple[Sampler, str]:
    if word != "auto" and word not in _LINES:
        raise ArgumentError(f"sampler must be one of {_words()}, but got {word!r}")
    name = _best_word(space) if word == "auto" else word
    count = "infinitely many" if space.size is None else f"{space.size:,}"
    line = _LINES[name].format(count=count)
    if earlier and name == "gp":
        studies = "1 earlier study" if len(earlier) == 1 else f"{len(earlier)} earlier studies"
        line += f"; it begins with what {studies} found"
    if word == "auto":
        line = f"auto chose {line}"
        if space.size is not None and 1 < space.size <= _SMALL:
            line += f". The space has {count} configurations: sampler='grid' tries each"
    if isinstance(space, OpenSpace) and name != "tpe":
        _check_given(name, space)

        def make(known: Space) -> Sampler:
            of_known = _best_word(known) if word == "auto" else word
            return _of_name(of_known, known, metric, seed, earlier)

        return OpenSampler(make, seed), line
    return _of_name(name, space, metric, seed, earlier), line


def _check_given(name: str, space: Space) -> None:
    """Refuse a sampler that must know the space before it begins, for one that isn't known yet."""
    if isinstance(space, OpenSpace) and name not in _LINES.keys() - {"grid"}:
        raise ArgumentError(
            f"the sampler {name!r} needs the space before the study begins, but this objective "
            f"defines it as it runs. Leave sampler out, or pass one of Optuna's samplers"
        )


def _best_word(space: Space) -> str:
    return "gp" if len(space.params) <= _MOST_PARAMS else "tpe"


def _of_name(
    name: str, space: Space, metric: Metric, seed: int, earlier: Sequence[Earlier]
) -> Sampler:
    sampler: Sampler
    match name:
        case "gp":
            sampler = load("manyfit.samplers.gp").GPSampler(space, metric, seed, earlier)
            return sampler
        case "tpe":
            sampler = _optuna().OptunaSampler(space, metric, seed)
        case "grid":
            sampler = GridSampler(space, seed)
        case "nearby":
            sampler = NearbySampler(space, metric, seed)
        case "quasirandom":
            sampler = QuasiRandomSampler(space, seed)
        case _:
            sampler = RandomSampler(space, seed)
    _check_earlier(name, earlier)
    return sampler


def _check_earlier(name: str, earlier: Sequence[Earlier]) -> None:
    if earlier:
        raise ArgumentError(
            "prior_from needs a sampler that can learn from other studies: sampler='gp', or "
            f"'auto' where it chooses that, but got {name}"
        )


def _words() -> str:
    return ", ".join(map(repr, sorted(["auto", *_LINES])))


def _optuna() -> Any:
    return load("manyfit.samplers.optuna")


_LINES = {
    "gp": "a Gaussian process (gp): each trial where the trials so far promise most",
    "grid": "grid: each of the {count} configurations once",
    "nearby": "nearby: fills the space evenly, then looks near the best; costs little",
    "quasirandom": "quasirandom: Sobol points, which fill the space evenly",
    "random": "random: each trial is drawn on its own",
    "tpe": "TPE: learns from the trials so far where good ones lie, after 10 random ones",
}
