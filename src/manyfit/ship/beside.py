"""Data files next to a package's modules, which are sent with it unless they are large."""

import os
from collections.abc import Iterator, Mapping
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

# The limits up to which a package's data files are sent without being named in ship=.
MOST_BYTES = 10_000_000
_MOST_FILES = 2000

_CODE = (".py", ".pyc", ".pyi", ".pyx", *EXTENSION_SUFFIXES)


def data_beside(modules: Mapping[str, Path]) -> tuple[dict[str, Path], dict[str, Path]]:
    """Return the data files of the packages of modules, and the packages with too many.

    A package's data files are those in its folder, and in subfolders that aren't packages
    themselves, except hidden ones. Either all or none of them are listed.

    Args:
        modules: The files of modules, by full name.

    Returns:
        Files, by their path below the folder from which workers import; and, by name, the folders
        of packages whose data files are not sent.
    """
    travelling: dict[str, Path] = {}
    left: dict[str, Path] = {}
    for package, folder in _packages(modules).items():
        found = _few(folder)
        if found is None:
            left[package] = folder
            continue
        root = Path(package.replace(".", "/"))
        travelling |= {(root / path.relative_to(folder)).as_posix(): path for path in found}
    return travelling, left


def _packages(modules: Mapping[str, Path]) -> dict[str, Path]:
    """Return the folders of packages; those without an `__init__` are found by their modules."""
    found = {}
    for name, file in modules.items():
        package = name if file.stem == "__init__" else name.rpartition(".")[0]
        if package:
            found[package] = file.parent
    return found


def _few(folder: Path) -> list[Path] | None:
    """Return a package's data files; None if they are too large or too many."""
    found, size = [], 0
    for path in _data_in(folder):
        found.append(path)
        size += path.stat().st_size
        if size > MOST_BYTES or len(found) > _MOST_FILES:
            return None
    return found


def _data_in(folder: Path) -> Iterator[Path]:
    for where, folders, files in os.walk(folder):
        here = Path(where)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and name != "__pycache__"
            and not (here / name / "__init__.py").exists()
        )
        for name in sorted(files):
            path = here / name
            if not name.startswith(".") and not name.endswith(_CODE) and path.is_file():
                yield path
