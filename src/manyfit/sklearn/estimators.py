"""The params that an estimator has, and checks that it takes those of a space."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sklearn.base import clone

from manyfit.choice import Choice
from manyfit.errors import SpaceError
from manyfit.sklearn.spaces import SettingsSpace


def settings_space(estimator: Any, given: Any) -> SettingsSpace:
    """Return the space of an estimator's settings.

    Args:
        estimator: The estimator.
        given: What the user wrote; see `SettingsSpace`.

    Raises:
        TypeError: As for `SettingsSpace`, or a param of the estimator can't be copied.
        ValueError: As for `SettingsSpace`, or the estimator doesn't take one of the settings; the
            message has the nearest name.
    """
    _check_copy(estimator)
    known = dict(estimator.get_params())
    for name, holder in _estimators_in(given):
        known |= {f"{name}__{param}": value for param, value in holder.get_params().items()}
    found = SettingsSpace(given, known)
    for settings in found.examples():
        _check(estimator, settings)
    return found


def configured(estimator: Any, settings: Mapping[str, Any]) -> Any:
    """Return an unfitted copy of an estimator with settings, whose values are copied, too."""
    made = clone(estimator)
    return made.set_params(**clone(dict(settings), safe=False)) if settings else made


def _estimators_in(given: Any) -> Iterator[tuple[str, Any]]:
    """Yield the estimators among the values of a space, with the names that they are for."""
    for grid in [given] if isinstance(given, Mapping) else given if _is_plain(given) else ():
        for name, value in grid.items() if isinstance(grid, Mapping) else ():
            if isinstance(value, Choice) and value.branches is not None:
                yield from _estimators_in(list(value.branches.values()))
                continue
            options = value.options if isinstance(value, Choice) else value
            for option in options if _is_plain(options) else [options]:
                if hasattr(option, "get_params") and not isinstance(option, type):
                    yield str(name), option


def _is_plain(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _check_copy(estimator: Any) -> None:
    try:
        clone(estimator)
    except Exception as error:
        for name, value in estimator.get_params().items():
            try:
                clone(value, safe=False)
            except Exception as cause:  # noqa: BLE001 - values raise what they like
                raise TypeError(
                    f"{name} of {type(estimator).__name__} can't be copied or pickled, which every "
                    f"fit needs ({type(cause).__name__}: {cause})"
                ) from error
        raise


def _check(estimator: Any, settings: Mapping[str, Any]) -> None:
    try:
        configured(estimator, settings)
    except (AttributeError, TypeError, ValueError) as error:
        raise SpaceError(_wrong(estimator, settings) or str(error)) from error


def _wrong(estimator: Any, settings: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the first setting that the estimator doesn't take."""
    taken: dict[str, Any] = {}
    for name in sorted(settings, key=lambda name: name.count("__")):  # steps before their params
        try:
            configured(estimator, {**taken, name: settings[name]})
        except (AttributeError, TypeError, ValueError):
            return f"{name!r} is not a param of {_shown(estimator, taken)}" + _nearest(
                name, configured(estimator, taken).get_params()
            )
        taken[name] = settings[name]
    return None


def _shown(estimator: Any, settings: Mapping[str, Any]) -> str:
    steps = [f"{name}={value}" for name, value in settings.items() if hasattr(value, "get_params")]
    return f"{estimator!r:.200}" + (f" with {', '.join(steps):.200}" if steps else "")


def _nearest(name: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, names := sorted(names), n=1, cutoff=0.5)
    return f". Did you mean {close[0]!r}?" if close else f". It has {', '.join(names)}"
