"""Where a study comes from: its code's version, the packages installed, and the machine."""

import functools
import hashlib
import os
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from manyfit._redact import redact
from manyfit.worker.blame import name_of

# Seconds for which what git said of a folder is taken for true, and what it may take.
_FRESH, _PATIENCE = 10, 5
_SCRIPTS = ("__main__", "__mp_main__")


def code_of(objective: object) -> dict[str, str]:
    """Return the location and version of an objective's code, as far as they are known.

    Returns:
        `name`; `module`; `import`, from which it can be imported (`module:name`, or `file:name` if
        it is in a script); `file` and its `sha256`; `commit`, `dirty` (whether tracked files differ
        from it) and `remote` of the git repository. A notebook has no file.

    Example:
        >>> code_of(os.path.join)["module"]
        'posixpath'
    """
    objective = getattr(objective, "__wrapped__", objective)
    name, module = name_of(objective), sys.modules.get(getattr(objective, "__module__", None) or "")
    found = {"name": name}
    if module is None:
        return found
    found["module"] = module.__name__
    path = _file_of(module)
    is_script = module.__name__ in _SCRIPTS
    if _at(module, name) is objective and (path or not is_script):
        found["import"] = f"{path if is_script else module.__name__}:{name}"
    if path is not None:
        found["file"] = str(path)
        found["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    folder = path.parent if path else Path.cwd()
    return {**found, **_git(folder, int(time.monotonic() / _FRESH))}


def _file_of(module: object) -> Path | None:
    file = getattr(module, "__file__", None)
    path = None if file is None else Path(file).absolute()
    return path if path is not None and path.is_file() else None


def _at(module: object, name: str) -> object:
    """Return what a dotted name stands for in a module; None if nothing."""
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


@functools.lru_cache(maxsize=32)
def _git(folder: Path, moment: int) -> Mapping[str, str]:  # noqa: ARG001 - when to look again
    if not any((each / ".git").exists() for each in (folder, *folder.parents)):
        return {}
    # An exclamation of all tags leaves the commit itself.
    said = _said(folder, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    if not said:
        return {}
    commit, _, dirty = said.partition("-")
    remote = _said(folder, "config", "--get", "remote.origin.url")
    found = {"commit": commit, "dirty": "yes" if dirty else "no"}
    return {**found, "remote": redact(remote)} if remote else found


def _said(folder: Path, *command: str) -> str:
    try:
        ended = subprocess.run(  # noqa: S603 - no word of it comes from outside
            ["git", "-C", str(folder), *command],  # noqa: S607 - the user's git
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE,
            check=False,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.TimeoutExpired):  # there is no git, or it is slow
        return ""
    return ended.stdout.strip() if ended.returncode == 0 else ""


def packages() -> dict[str, str]:
    """Return the versions of all installed packages, by name.

    Example:
        >>> "numpy" in packages()
        True
    """
    return dict(_packages(tuple(sys.path)))


@functools.cache
def _packages(paths: tuple[str, ...]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for path in paths:
        for info in Path(path).glob("*.dist-info"):
            name, _, version = info.name.removesuffix(".dist-info").rpartition("-")
            found.setdefault(name.lower().replace("_", "-"), version)
    return dict(sorted(found.items()))


def machine() -> dict[str, str]:
    """Return the machine of this process: host, system, processor, cores, and its Python."""
    return {
        "host": socket.gethostname(),
        "system": platform.platform(),
        "processor": platform.machine(),
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
    }
