"""Describes a machine's Python and packages, with the standard library only."""

import importlib.util
import platform
import sys
from collections.abc import Mapping
from typing import Any

from manyfit._version import __version__
from manyfit.ship.places import distributions, version_of


def facts(imports: Mapping[str, str]) -> dict[str, Any]:
    """Describe this machine, without importing any of the packages.

    Args:
        imports: The distributions to look for, by import name (`ShippingList.imports`).

    Returns:
        JSON values: the Python, the machine, Manyfit's version, and in `packages` the version of
        each distribution. If another distribution provides the import name (as tensorflow does for
        tensorflow-cpu), it is that one's version. It is None if the name can't be imported, and
        "unknown" if it has no version.

    Example:
        >>> facts({"no_such_name": "no-such-package"})["packages"]
        {'no-such-package': None}
    """
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": platform.system(),
        "machine": platform.machine(),
        "manyfit": __version__,
        "packages": _versions(imports),
    }


def _versions(imports: Mapping[str, str]) -> dict[str, str | None]:
    versions = {name: version_of(name) for name in imports.values()}
    if None in versions.values():
        owners = distributions()
        for name, distribution in imports.items():
            if versions[distribution] is None:
                versions[distribution] = _version_of_import(name, owners)
    return dict(sorted(versions.items()))


def _version_of_import(name: str, owners: Mapping[str, list[str]]) -> str | None:
    if not _can_be_imported(name):
        return None
    return version_of(owners[name][0]) if owners.get(name) else "unknown"


def _can_be_imported(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):  # no parent; or imported already, and without a spec
        return name in sys.modules
