"""`suggest_space`: a good first space for an estimator."""

import inspect
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

from manyfit.advice.catalogue.family import Family
from manyfit.advice.catalogue.names import FAMILIES
from manyfit.errors import ArgumentError
from manyfit.space import Domain, Space

# With more params, the first trials can't tell which of them matter.
_MOST = 7


def suggest_space(estimator: Any) -> Space:
    """Return a good first space for an estimator: up to seven params with sensible ranges.

    The params are the statistical ones that matter most, and don't overlap. In a pipeline, or in
    another estimator that holds estimators, names have prefixes such as `svc__C`, as `set_params`
    expects them; the params of later steps come first.

    The number of boosting rounds is not tuned: a constant of the space sets one that suits the
    range of the learning rate, unless you have set it yourself. With validation rows, set a larger
    one, and the estimator's early stopping. Early stopping isn't switched on for you, because some
    estimators then keep a tenth of the rows for it, which costs more than it gains if rows are few.

    Args:
        estimator: An instance of an estimator of scikit-learn (a pipeline, too), XGBoost, LightGBM
            or CatBoost, or a stage of Spark ML. For a stage, `{stage.getParam(name): domain for
            name, domain in suggest_space(stage).params.items()}` is a space for `tune_pipeline`.

    Raises:
        ArgumentError: The estimator is a class, or nothing is known of it and what it holds.

    Example:
        >>> from sklearn.pipeline import make_pipeline
        >>> from sklearn.preprocessing import StandardScaler
        >>> from sklearn.svm import SVR
        >>> space = suggest_space(make_pipeline(StandardScaler(), SVR()))
        >>> space.params["svr__C"]
        Float(0.001, 1000.0, log=True)
        >>> list(space.params)
        ['svr__C', 'svr__gamma', 'svr__epsilon']
    """
    if isinstance(estimator, type):
        raise ArgumentError(
            f"estimator must be an instance, but got the class {estimator.__name__}: call it first"
        )
    known = list(_known_parts(estimator))
    params = chain.from_iterable(_search(prefix, family) for prefix, _, family in reversed(known))
    chosen = dict(islice(params, _MOST))
    if not chosen:
        libraries = ", ".join(sorted({family.library for family in FAMILIES} - {"keras"}))
        raise ArgumentError(
            f"nothing is known of the params of {type(estimator).__module__}."
            f"{type(estimator).__qualname__}. Known are estimators of {libraries}; for others, "
            "write a space of Float, Int and Choice"
        )
    fixed = {
        prefix + name: value
        for prefix, part, family in known
        for name, value in family.fixed.items()
        if _is_default(part, name)
    }
    return Space({**chosen, **fixed})


def family_of(part: object) -> Family | None:
    """Return the family of an estimator, or of the one from which its class is derived."""
    for base in type(part).__mro__:
        library = base.__module__.partition(".")[0]
        for family in FAMILIES:
            if family.library == library and base.__name__ in family.classes:
                return family
    return None


def _known_parts(estimator: Any) -> Iterator[tuple[str, Any, Family]]:
    """Yield the prefix, the part and the family of an estimator and of those that it holds."""
    held = estimator.get_params(deep=True) if hasattr(estimator, "get_params") else {}
    parts = [("", estimator), *((f"{name}__", part) for name, part in held.items())]
    for prefix, part in parts:
        if not isinstance(part, type) and (family := family_of(part)):
            yield prefix, part, family


def _search(prefix: str, family: Family) -> Iterator[tuple[str, Domain]]:
    for name, domain in family.search.items():
        yield prefix + name, domain


def _is_default(part: Any, name: str) -> bool:
    """Return whether a param of an estimator has the value that its class gives it."""
    inits = [vars(base)["__init__"] for base in type(part).__mro__ if "__init__" in vars(base)]
    signatures = (inspect.signature(init).parameters for init in inits)
    default = next((each[name].default for each in signatures if name in each), None)
    return bool(part.get_params(deep=False).get(name, default) == default)
