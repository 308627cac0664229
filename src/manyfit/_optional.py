"""Import an optional package, or say which extra installs it."""

import importlib
from types import ModuleType

from manyfit.errors import MissingExtraError


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
