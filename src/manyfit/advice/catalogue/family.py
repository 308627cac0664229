"""What is known of the parameters of estimators that share them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from manyfit.space import Domain


@dataclass(frozen=True)
class Family:
    """Estimators of one module that have the same parameters.

    Parameters are of three kinds (https://spark.apache.org/docs/latest/mllib-decision-tree.html):
    statistical ones decide how well a model predicts, and are tuned; others only decide how fast it
    is fitted; others state the problem, and have one right value.

    Attributes:
        module: The module from which users import them.
        classes: Their names.
        search: The statistical parameters to tune first, the most important one first, each with a
            range that contains good values for most data.
        more: Other statistical parameters. They matter less, or overlap with those of `search`.
        fixed: Values that go with `search`, such as a number of rounds for its learning rates.
        needs: The values that other parameters must have for one of `search` or `fixed` to do
            something, and to be accepted.
        length: The parameter that says how long to train.
        speed: Parameters that decide only how fast a model is fitted, and what is printed.
        problem: Parameters that state the problem.
        aliases: Other names of parameters, as in a library's own interface.
    """

    module: str
    classes: tuple[str, ...]
    search: Mapping[str, Domain] = field(default_factory=dict)
    more: Mapping[str, Domain] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    needs: Mapping[str, Mapping[str, tuple[Any, ...]]] = field(default_factory=dict)
    length: str | None = None
    speed: tuple[str, ...] = ()
    problem: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)

    @property
    def library(self) -> str:
        """The package."""
        return self.module.partition(".")[0]

    @property
    def statistical(self) -> Mapping[str, Domain]:
        """The statistical parameters with their ranges, also by their other names."""
        known = {**self.search, **self.more}
        others = {name: known[of] for name, of in self.aliases.items() if of in known}
        return {**known, **others}

    def is_active(self, name: str, settings: Mapping[str, Any]) -> bool:
        """Return whether a parameter does something in an estimator with these settings.

        Settings that aren't given have their defaults, which switch nothing off.
        """
        return all(
            any(settings[other] is value or _equal(settings[other], value) for value in values)
            for other, values in self.needs.get(name, {}).items()
            if other in settings
        )

    def called(self, name: str, settings: Mapping[str, Any]) -> str:
        """Return the name under which settings have a parameter; two names would be refused."""
        others = (alias for alias, of in self.aliases.items() if of == name)
        return next((alias for alias in others if settings.get(alias) is not None), name)


def _equal(setting: Any, value: Any) -> bool:
    """Return whether a setting, which may be an array or a function, is a plain value."""
    return isinstance(setting, type(value)) and bool(setting == value)
