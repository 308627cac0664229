"""The files that a user asks to send with `ship=`."""

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TypeAlias

from manyfit.errors import ArgumentError
from manyfit.ship.places import Places, search_path

Shippable: TypeAlias = ModuleType | str | os.PathLike[str]


def chosen(ship: Iterable[Shippable], places: Places) -> dict[str, Path]:
    """Return the files that `ship=` names, by their path below the workers' import folder.

    A module stands for its file, a package and a folder for all their files except hidden ones and
    `__pycache__`. Paths are relative to the entry of `sys.path` that contains the file. Outside of
    `sys.path`, a file keeps only its name, and a folder only its own.

    Args:
        ship: Modules, their names, and paths of files and folders.
        places: Finds modules.

    Raises:
        ArgumentError: An entry doesn't exist, or two files have the same name.
    """
    if isinstance(ship, str | os.PathLike | ModuleType) or not isinstance(ship, Iterable):
        raise ArgumentError(f"ship must be a list of modules and paths, but got {ship!r} alone")
    files: dict[str, Path] = {}
    for entry in ship:
        for name, path in _files_of(entry, places):
            if files.setdefault(name, path) != path:
                raise ArgumentError(
                    f"ship= names both {files[name]} and {path}, which would be the same file "
                    f"{name} on the workers: ship a folder that holds both instead"
                )
    return files


def _files_of(entry: object, places: Places) -> Iterator[tuple[str, Path]]:
    if isinstance(entry, ModuleType):
        yield from _files_of(entry.__name__, places)
    elif isinstance(entry, str) and all(part.isidentifier() for part in entry.split(".")):
        named = list(_files_of_module(entry, places))
        yield from named or _files_of_path(entry)
    elif isinstance(entry, str | os.PathLike):
        yield from _files_of_path(entry)
    else:
        raise ArgumentError(
            f"ship= takes modules, their names, and paths of files and folders, but got {entry!r}"
        )


def _files_of_module(name: str, places: Places) -> Iterator[tuple[str, Path]]:
    place = places.find(name)
    folders = [Path(folder) for folder in search_path(name)]
    if place is not None or folders:
        parents = name.split(".")[:-1]
        for depth in range(len(parents)):
            parent = places.find(".".join(parents[: depth + 1]))
            if parent is not None:
                yield archive_name(parent.name, parent.file), parent.file
    if place is not None and not folders:
        yield archive_name(name, place.file), place.file
    for folder in folders:
        yield from _files_in(folder, name.replace(".", "/"))


def _files_of_path(given: str | os.PathLike[str]) -> Iterator[tuple[str, Path]]:
    # Not resolve(): a link keeps its own name.
    path = Path(os.path.normpath(Path(given).absolute()))
    if not path.exists():
        raise ArgumentError(
            f"ship= names {os.fspath(given)!r}, which is neither a module that can be imported "
            f"nor a file or folder in {Path.cwd()}"
        )
    name = path.relative_to(_root_of(path)).as_posix()
    if path.is_dir():
        yield from _files_in(path, "" if name == "." else name)
    else:
        yield name, path


def _files_in(folder: Path, name: str) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name == "__pycache__":
            continue
        below = f"{name}/{path.name}" if name else path.name
        if path.is_dir():
            yield from _files_in(path, below)
        elif path.is_file():
            yield below, path


def _root_of(path: Path) -> Path:
    """Return the folder to which the path is relative on workers."""
    top = path if path.is_dir() else path.parent
    while (top / "__init__.py").is_file():
        top = top.parent
    entries = (Path(os.path.normpath(Path(entry).absolute())) for entry in sys.path)
    # Not the root of the file system, which may be the working folder of a container.
    above = [entry for entry in entries if top.is_relative_to(entry) and entry != entry.parent]
    outside = path.parent if top == path else top
    return max(above, key=lambda entry: len(entry.parts), default=outside)


def archive_name(module: str, file: Path) -> str:
    """Return the path of a module's file below the folder from which workers import.

    Example:
        >>> archive_name("shop.models", Path("/home/me/shop/models/__init__.py"))
        'shop/models/__init__.py'
    """
    folder = module.replace(".", "/")
    suffix = "".join(file.suffixes[-1:])
    return f"{folder}/__init__{suffix}" if file.stem == "__init__" else f"{folder}{suffix}"


def module_name(name: str) -> str | None:
    """Return the name of the module at such a path; None if it can't be imported.

    Example:
        >>> module_name("shop/models/__init__.py"), module_name("conf/a.yaml")
        ('shop.models', None)
    """
    path = Path(name)
    parts = path.with_suffix("").parts
    if path.suffix != ".py" or not all(part.isidentifier() for part in parts):
        return None
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
