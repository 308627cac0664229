"""Finds the origin of a module: the project, an installed package, or every worker's Python."""

import contextlib
import enum
import functools
import importlib.machinery
import importlib.metadata
import os
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Packages that every worker has; Spark's own Python code need not be in site-packages.
_ALWAYS = frozenset({"manyfit", "pyspark", "py4j"})
_SCRIPTS = frozenset({"__main__", "__mp_main__"})
_SITES = frozenset({"site-packages", "dist-packages"})
_RECORDS = {".dist-info", ".egg-info", ".egg"}
_STANDARD = tuple(
    {
        Path(sysconfig.get_path("stdlib")),
        Path(sysconfig.get_path("platstdlib")),
        Path(os.__file__).parent,
    }
)


class Home(enum.Enum):
    """The origin of a module."""

    PROJECT = "project"
    INSTALLED = "installed"
    EVERYWHERE = "everywhere"


@dataclass(frozen=True, slots=True)
class ModuleFile:
    """A module's file and origin.

    Attributes:
        name: The module's full name.
        file: The source, or the compiled module.
        home: The module's origin.
        distribution: The installed distribution to which it belongs, if any.
    """

    name: str
    file: Path
    home: Home
    distribution: str | None = None


class Places:
    """Finds modules without importing them, in the environment at the time it is made.

    Example:
        >>> Places().find("numpy").distribution
        'numpy'
    """

    def __init__(self) -> None:
        self._distributions = distributions()
        self._known: dict[str, ModuleFile | None] = {}

    def find(self, name: str) -> ModuleFile | None:
        """Return the file and origin of a module, or None.

        For an imported module, it is the file it was imported from; for any other, the file that
        `import` would find. The result is None for namespace packages, built-in modules and
        `__main__`, which have no file, and for names that are not modules.
        """
        if name not in self._known:
            file = None if name in _SCRIPTS else _file_of(name)
            self._known[name] = None if file is None else self._place(name, file)
        return self._known[name]

    def is_project(self, name: str) -> bool:
        """Return whether a module is the project's; `__main__` is."""
        place = self.find(name)
        return name in _SCRIPTS or (place is not None and place.home is Home.PROJECT)

    def _place(self, name: str, file: Path) -> ModuleFile:
        top = name.partition(".")[0]
        in_site = not _SITES.isdisjoint(file.parts)
        standard = not in_site and any(file.is_relative_to(folder) for folder in _STANDARD)
        # A file in a zip archive is assumed to be on workers, as those of --py-files are.
        if top in _ALWAYS or standard or not file.is_file():
            return ModuleFile(name, file, Home.EVERYWHERE)
        distribution = self._distribution(top, file, in_site=in_site)
        installed = in_site or distribution is not None
        return ModuleFile(name, file, Home.INSTALLED if installed else Home.PROJECT, distribution)

    def _distribution(self, top: str, file: Path, *, in_site: bool) -> str | None:
        names = self._distributions.get(top, [])
        if in_site and len(names) == 1:
            return names[0]
        return next((name for name in names if _holds(name, file)), None)


def distributions() -> Mapping[str, list[str]]:
    """Return the top-level import names of the installed distributions.

    A large environment takes half a second to read; it is read again only after a change.
    """
    return _distributions(tuple(_environment()))


@functools.lru_cache(maxsize=1)
def _distributions(_: tuple[tuple[str, int], ...]) -> Mapping[str, list[str]]:
    found = importlib.metadata.packages_distributions()
    # A folder left by an uninstall has no name.
    return {top: sorted({name for name in names if name}) for top, names in found.items()}


def _environment() -> Iterator[tuple[str, int]]:
    """Yield the folders of distributions, and the time of the last change in each."""
    for path in map(Path, sys.path):
        with contextlib.suppress(OSError):  # a folder that doesn't exist
            if path.is_file() or any(each.suffix in _RECORDS for each in path.iterdir()):
                yield str(path.absolute()), path.stat().st_mtime_ns


def version_of(distribution: str) -> str | None:
    """Return the version of an installed distribution; None if it isn't installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def search_path(name: str) -> list[str]:
    """Return the folders that contain a package's modules; empty if it isn't a package."""
    module = sys.modules.get(name)
    if module is not None:
        return list(getattr(module, "__path__", ()))
    spec = _spec(name)
    return [] if spec is None else list(spec.submodule_search_locations or ())


def _file_of(name: str) -> Path | None:
    module = sys.modules.get(name)
    if module is not None:
        file = getattr(module, "__file__", None)
        return Path(file).absolute() if isinstance(file, str) else None
    spec = _spec(name)
    if spec is None or not spec.has_location or spec.origin is None:
        return None
    return Path(spec.origin).absolute()


def _spec(name: str) -> importlib.machinery.ModuleSpec | None:
    parent, _, tail = name.rpartition(".")
    if parent:
        # By its last component: a namespace package has no full name before its parent is imported.
        folders: Sequence[str] = search_path(parent)
        return importlib.machinery.PathFinder.find_spec(tail, folders) if folders else None
    for finder in sys.meta_path:  # editable installs add finders of their own
        spec = finder.find_spec(name, None)
        if spec is not None:
            return spec
    return None


def _holds(distribution: str, file: Path) -> bool:
    try:
        found = importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:  # its folder has another name
        return False
    root = Path(str(found.locate_file("")))
    if not file.is_relative_to(root):
        return False
    wanted = file.relative_to(root).as_posix()
    return any(str(path) == wanted for path in found.files or ())
