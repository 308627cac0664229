"""Keys of unfitted transformers: two with equal keys, fitted on the same rows, are equal.

A key consists of the class and its code, and of all attributes: params, nested estimators, and
settings such as `set_output`. A transformer that would not be the same when fitted again has none.
"""

import functools
import inspect
import types
from collections.abc import Iterator, Mapping
from typing import Any

import joblib
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags

from manyfit.digest import PLAIN, digest
from manyfit.fingerprint import fingerprint
from manyfit.worker.blame import names_in

# Names in the code of a user's own transformer that show that it draws random numbers.
_RANDOM = frozenset({"random", "default_rng", "RandomState", "check_random_state", "shuffle"})
_CODE = (types.FunctionType, types.BuiltinFunctionType, types.MethodType, functools.partial, type)


class NotShared(Exception):  # noqa: N818 - it says why, and isn't a failure
    """Says why a transformer can't be shared by several fits."""


class Unseeded(NotShared):
    """Says which seed a random transformer needs to be shared."""


def step_key(transformer: Any) -> str:
    """Return the key of an unfitted transformer, or of `"passthrough"`.

    Raises:
        NotShared: It is random without a seed, keeps state, or can't be told from others.

    Example:
        >>> from sklearn.preprocessing import KBinsDiscretizer, StandardScaler
        >>> step_key(StandardScaler()) == step_key(StandardScaler(with_mean=False))
        False
        >>> step_key(KBinsDiscretizer(subsample=100))
        Traceback (most recent call last):
        manyfit.sklearn.fit_keys.Unseeded: KBinsDiscretizer is random: set its random_state
    """
    return digest(*_told(transformer))


def data_key(data: Mapping[str, Any]) -> str:
    """Return the key of what all fits are given.

    Raises:
        NotShared: Something in it can't be pickled.

    Example:
        >>> data_key({"X": [[1.0]], "y": [0]}) == data_key({"X": [[1.0]], "y": [1]})
        False
    """
    return _hashed(dict(data))


def front_keys(estimator: Any, *, if_seeded: bool = False) -> tuple[str, ...]:
    """Return the keys of the first steps of a pipeline that may be shared.

    They end before the last step, and before a step that can't be shared; with `if_seeded`, not
    before one that only needs a seed.

    Example:
        >>> from sklearn.preprocessing import KBinsDiscretizer, StandardScaler
        >>> len(front_keys(Pipeline([("a", StandardScaler()), ("b", None), ("c", None)])))
        2
        >>> front_keys(Pipeline([("a", KBinsDiscretizer()), ("b", StandardScaler())]))
        ()
    """
    return _keys_and_reason(estimator, if_seeded=if_seeded)[0]


def is_pipeline(estimator: Any) -> bool:
    """Return whether an estimator is a Pipeline; one of another class may fit differently."""
    return type(estimator) is Pipeline


def why_not_shared(estimator: Any) -> str:
    """Return why a pipeline, or the first such step of it, can't be shared; empty if all can.

    Example:
        >>> from sklearn.decomposition import PCA
        >>> why_not_shared(Pipeline([("pca", PCA(2)), ("last", None)]))
        'PCA is random: set its random_state'
    """
    return _keys_and_reason(estimator)[1]


def _keys_and_reason(estimator: Any, *, if_seeded: bool = False) -> tuple[tuple[str, ...], str]:
    if not is_pipeline(estimator):
        return (), f"{type(estimator).__name__} is no Pipeline"
    if estimator.memory is not None:
        return (), "the pipeline has a memory of its own, which is used as it is"
    if estimator.transform_input is not None:
        return (), "the pipeline has transform_input"
    keys: list[str] = []
    try:
        for _, step in estimator.steps[:-1]:
            keys.append(_key_if_seeded(step) if if_seeded else step_key(step))
    except NotShared as reason:
        return tuple(keys), str(reason)
    return tuple(keys), ""


def _key_if_seeded(step: Any) -> str:
    try:
        return step_key(step)
    except Unseeded:
        return _hashed(step)


def _told(value: Any) -> Iterator[str]:
    """Yield texts that distinguish a value from others."""
    if isinstance(value, PLAIN):
        yield from (type(value).__qualname__, repr(value))
    elif isinstance(value, list | tuple):
        yield from (type(value).__qualname__, str(len(value)))
        for each in value:
            yield from _told(each)
    elif isinstance(value, Mapping):
        yield from (type(value).__qualname__, str(len(value)))
        for key, each in value.items():
            yield from (*_told(key), *_told(each))
    elif isinstance(value, _CODE):
        _check_code(value)
        yield _code(value)
    elif hasattr(value, "get_params"):
        yield from _told_estimator(value)
    else:
        _check_splitter(value)
        yield _hashed(value)


def _told_estimator(estimator: Any) -> Iterator[str]:
    _check_estimator(estimator)
    kind: type = type(estimator)
    yield _code_of_class(kind)
    for name, value in sorted(vars(estimator).items()):
        yield name
        yield from _told(value)


def _check_estimator(estimator: Any) -> None:
    name = type(estimator).__name__
    params = estimator.get_params(deep=False)
    seed = params.get("random_state", 0)
    if seed is None or (isinstance(seed, str) and not hasattr(params.get("cv"), "split")):
        # scikit-learn 1.9 marks a seed as "deprecated" where a splitter has it.
        word = "random_state" if seed is None else "cv to a splitter with a random_state"
        raise Unseeded(f"{name} is random: set its {word}")
    if params.get("warm_start"):
        raise NotShared(f"{name} has warm_start=True, which keeps state from fit to fit")
    if params.get("memory") is not None:
        raise NotShared(f"{name} has a memory of its own")
    if _is_nondeterministic(estimator):
        raise NotShared(f"{name} has the tag non_deterministic")
    kind: type = type(estimator)
    if "random_state" not in params and _mentions_random(kind):
        raise NotShared(f"{name} draws random numbers, and has no param random_state")


def _is_nondeterministic(estimator: Any) -> bool:
    return hasattr(estimator, "__sklearn_tags__") and bool(get_tags(estimator).non_deterministic)


@functools.lru_cache(maxsize=256)
def _mentions_random(kind: type) -> bool:
    """Return whether the code of a class of the user's own draws random numbers."""
    return any(
        _draws(each)
        for owner in kind.__mro__
        if _is_own(owner)
        for each in vars(owner).values()
        if isinstance(each, types.FunctionType)
    )


def _is_own(owner: Any) -> bool:
    """Return whether code is the user's own: only then does its fingerprint have several parts."""
    return len(fingerprint(owner)) > 2


def _check_code(code: Any) -> None:
    """Refuse a function that draws random numbers, such as `mutual_info_classif`, unless seeded."""
    if isinstance(code, type):
        return
    name = getattr(code, "__name__", type(code).__name__)
    seed = _seed_param(code)
    if seed is not None and seed.default is None:
        raise Unseeded(f"{name} is random: pass functools.partial({name}, random_state=0)")
    inner = getattr(code, "func", code)
    if seed is None and isinstance(inner, types.FunctionType) and _draws(inner):
        raise NotShared(f"{name} draws random numbers, and has no param random_state")


def _check_splitter(value: Any) -> None:
    is_unseeded = getattr(value, "random_state", 0) is None and getattr(value, "shuffle", True)
    if is_unseeded and hasattr(value, "split"):
        raise Unseeded(f"{type(value).__name__} is random: set its random_state")


def _seed_param(code: Any) -> inspect.Parameter | None:
    try:
        return inspect.signature(code).parameters.get("random_state")
    except (TypeError, ValueError):  # it is built in
        return None


def _draws(function: types.FunctionType) -> bool:
    inner = inspect.unwrap(function)  # scikit-learn wraps transform, for set_output
    return isinstance(inner, types.FunctionType) and not _RANDOM.isdisjoint(
        names_in(inner.__code__)
    )


@functools.lru_cache(maxsize=256)
def _code_of_class(kind: type) -> str:
    return _code(kind)


def _code(code: Any) -> str:
    return digest(*(text for pair in sorted(fingerprint(code).items()) for text in pair))


def _hashed(value: Any) -> str:
    try:
        return str(joblib.hash(value))
    except Exception as error:  # noqa: BLE001 - hooks for pickling may raise anything
        raise NotShared(f"a {type(value).__name__} can't be pickled ({error})") from None
