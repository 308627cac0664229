"""Import a package when it is needed, or say which extra installs it."""

import importlib
import importlib.util
from types import ModuleType
from typing import Any

from manyfit.errors import MissingExtraError


def load(module: str) -> Any:
    """Import a module that is heavy, or whose home is one file, at the moment it is needed."""
    return importlib.import_module(module)


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import `module`.

    Raises:
        MissingExtraError: It is not installed; the message names the extra that brings it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and not module.startswith(error.name):
            raise  # the package is there and broken: its own message says more
        raise _missing(module, extra, purpose) from error


def expect(module: str, *, extra: str, purpose: str) -> None:
    """Refuse at once what would need a package later; imports nothing, so it is quick.

    Raises:
        MissingExtraError: `module` is not installed; the message names the extra that brings it.
    """
    if importlib.util.find_spec(module) is None:
        raise _missing(module, extra, purpose)


def _missing(module: str, extra: str, purpose: str) -> MissingExtraError:
    message = f"{purpose} needs {module}, which is not installed: pip install 'manyfit[{extra}]'"
    return MissingExtraError(message, name=module)
