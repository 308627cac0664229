"""`suggest_space`: a good first space for an estimator."""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
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

    Params that do nothing with the estimator's own settings are left out, as `gamma` is with
    `SVC(kernel="linear")`.

    The number of boosting rounds is not tuned: a constant of the space sets one that suits the
    range of the learning rate, unless you have set it yourself. With validation rows, set a larger
    one, and the estimator's early stopping. Early stopping isn't switched on for you, because some
    estimators then keep a tenth of the rows for it, which costs more than it gains if rows are few.

    Args:
        estimator: An instance of an estimator of scikit-learn (a pipeline, too), XGBoost, LightGBM
            or CatBoost, or a stage of Spark ML. For a stage, `{stage.getParam(name): domain for
            name, domain in suggest_space(stage).params.items()}` is a space for `tune_pipeline`.

    Raises:
        ArgumentError: The estimator is a class, nothing is known of it and what it holds, or its
            settings leave nothing to tune.

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
    params = chain.from_iterable(part.search() for part in reversed(known))
    chosen = dict(islice(params, _MOST))
    if not chosen:
        raise ArgumentError(_why_nothing(estimator, known))
    fixed = chain.from_iterable(part.fixed() for part in known)
    return Space({**chosen, **dict(fixed)})


def _why_nothing(estimator: Any, known: "list[_Part]") -> str:
    kind = f"{type(estimator).__module__}.{type(estimator).__qualname__}"
    if known:
        names = ", ".join(part.prefix + name for part in known for name in part.family.search)
        return (
            f"nothing to tune is left of {kind}: its class lacks {names}, or its settings switch "
            "them off. Change those, or write a space of Float, Int and Choice"
        )
    libraries = ", ".join(sorted({family.library for family in FAMILIES} - {"keras"}))
    return (
        f"nothing is known of the params of {kind}. Known are estimators of {libraries}; for "
        "others, write a space of Float, Int and Choice"
    )


def family_of(part: object) -> Family | None:
    """Return the family of an estimator, or of the one from which its class is derived."""
    for base in type(part).__mro__:
        library = base.__module__.partition(".")[0]
        for family in FAMILIES:
            if family.library == library and base.__name__ in family.classes:
                return family
    return None


@dataclass(frozen=True)
class _Part:
    """An estimator of which something is known, or one that another holds under a prefix."""

    prefix: str
    estimator: Any
    family: Family

    def search(self) -> Iterator[tuple[str, Domain]]:
        """Yield the params to tune that are active, under the names that they have already."""
        settings = {**self._settings, **self._defaults_replaced}
        for name, domain in self.family.search.items():
            if self._accepts(name) and self.family.is_active(name, settings):
                yield self.prefix + self.family.called(name, settings), domain

    def fixed(self) -> Iterator[tuple[str, Any]]:
        """Yield the values that go with the params to tune."""
        for name, value in self._defaults_replaced.items():
            yield self.prefix + name, value

    def _accepts(self, name: str) -> bool:
        """Return whether a derived class has kept a param; other libraries take any name."""
        return self.family.library != "sklearn" or name in self._settings

    @cached_property
    def _defaults_replaced(self) -> dict[str, Any]:
        return {
            name: value
            for name, value in self.family.fixed.items()
            if self._accepts(name)
            and self.family.called(name, self._settings) == name
            and self._settings.get(name, _default(self.estimator, name))
            == _default(self.estimator, name)
            and self.family.is_active(name, self._settings)
        }

    @cached_property
    def _settings(self) -> Mapping[str, Any]:
        if hasattr(self.estimator, "get_params"):
            return dict(self.estimator.get_params(deep=False))
        stage = self.estimator
        return {p.name: stage.getOrDefault(p) for p in stage.params if stage.isDefined(p)}


def _known_parts(estimator: Any) -> Iterator[_Part]:
    """Yield an estimator, and those that it holds, if their families are known."""
    held = estimator.get_params(deep=True) if hasattr(estimator, "get_params") else {}
    parts = [("", estimator), *((f"{name}__", part) for name, part in held.items())]
    for prefix, part in parts:
        if not isinstance(part, type) and (family := family_of(part)):
            yield _Part(prefix, part, family)


def _default(part: Any, name: str) -> Any:
    """Return the value that the class of an estimator, or a base, gives a param."""
    inits = [vars(base)["__init__"] for base in type(part).__mro__ if "__init__" in vars(base)]
    signatures = (inspect.signature(init).parameters for init in inits)
    return next((each[name].default for each in signatures if name in each), None)
