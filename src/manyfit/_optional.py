"""Import a package when it is needed, or say which extra installs it."""

import importlib
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
        raise MissingExtraError(
            f"{purpose} needs {module}, which is not installed: pip install 'manyfit[{extra}]'",
            name=module,
        ) from error
