"""What the name of a param says: its last part, its kind, its scale and its usual range.

A name that is of different kinds in two libraries says nothing, such as `max_iter`, which linear
models and boosting have: a wrong word about a space is worse than none.
"""

import functools
import re
from typing import Literal

from manyfit.advice.catalogue import boosting, keras, sklearn, spark
from manyfit.space import Choice, Domain, Float, Int

FAMILIES = (*sklearn.FAMILIES, *boosting.FAMILIES, *keras.FAMILIES, *spark.FAMILIES)

LEARNING_RATES = frozenset(
    ["learning_rate", "learning_rate_init", "lr", "eta", "eta0", "stepSize", "step_size"]
)
# Whatever else is tuned, these are numbers of passes over the data, or of rounds of boosting.
_EPOCHS = re.compile(r"(n_|num_|max_|nb_)?(epochs?|boost_rounds?|boosting_rounds?)|nrounds")
# These are too, if a learning rate is tuned beside them; of a forest, they are its size.
_ROUNDS = re.compile(
    r"n_estimators|maxIter|numRound|numIterations|(n_|num_|max_)?(rounds?|iterations|iter)"
)
_SEEDS = re.compile(r"(.*_)?seed|random_state")
# Words in names that no library has: their values are compared by factors, or by differences.
_FACTORS = re.compile(r"alpha|lambda|decay|penalty|reg|regulari[sz]ation|l[12]|lr|eta|epsilon|tol")
_DIFFERENCES = re.compile(
    r"dropout|drop|ratio|fraction|frac|share|momentum|beta|prob|probability|quantile|percentile|"
    r"sample|subsample|sampling|threshold|mix|mixup|smoothing|gamma"
)


def split(name: str) -> tuple[str, str]:
    """Return the prefix and the last part of a name.

    Example:
        >>> split("clf__max_depth"), split("model.learning_rate"), split("C")
        (('clf__', 'max_depth'), ('model.', 'learning_rate'), ('', 'C'))
    """
    found = re.fullmatch(r"(.*(?:__|[./:]))?([^./:]+)", name)
    if found is None or not found[2].strip("_"):
        return "", name
    return found[1] or "", found[2]


def is_seed(name: str) -> bool:
    """Return whether a param is the seed of random numbers."""
    return _SEEDS.fullmatch(split(name)[1].lower()) is not None


def is_speed(name: str) -> bool:
    """Return whether a param decides only how fast a model is fitted."""
    return split(name)[1] in _speeds()


def is_length(name: str, *, beside_rate: bool) -> bool:
    """Return whether a param is a number of epochs or of rounds of boosting.

    Args:
        name: The name.
        beside_rate: Whether the same model has a learning rate.
    """
    last = split(name)[1]
    is_rounds = beside_rate and _ROUNDS.fullmatch(last)
    return bool(is_rounds or _EPOCHS.fullmatch(last.lower()))


def ranges(name: str) -> list[Float | Int]:
    """Return the usual ranges of a param in the libraries that have it."""
    found = _domains().get(split(name)[1], [])
    return [domain for domain in found if not isinstance(domain, Choice)]


def scale(name: str) -> Literal["factors", "differences"] | None:
    """Return how values of a param compare; None if the libraries differ, or nothing is known.

    Example:
        >>> scale("svc__C"), scale("dropout_2"), scale("l2_penalty"), scale("width")
        ('factors', 'differences', 'factors', None)
    """
    if known := ranges(name):
        kinds = {domain.log for domain in known}
        return None if len(kinds) == 2 else "factors" if kinds == {True} else "differences"
    last = split(name)[1].lower()
    words = set(re.split(r"[_\-\s]|(?<=[a-z])(?=\d+$)", last)) | {last}
    if any(map(_DIFFERENCES.fullmatch, words)):
        return "differences"
    is_rate = {"learning", "rate"} <= words
    return "factors" if is_rate or any(map(_FACTORS.fullmatch, words)) else None


@functools.cache
def _domains() -> dict[str, list[Domain]]:
    found: dict[str, list[Domain]] = {}
    for family in FAMILIES:
        for name, domain in family.statistical.items():
            found.setdefault(name, []).append(domain)
    return found


@functools.cache
def _speeds() -> frozenset[str]:
    speeds = {name for family in FAMILIES for name in family.speed}
    aliases = {name for f in FAMILIES for name, of in f.aliases.items() if of in f.speed}
    others = {name for f in FAMILIES for name in (*f.statistical, *f.fixed, *f.problem, f.length)}
    return frozenset((speeds | aliases) - others)
