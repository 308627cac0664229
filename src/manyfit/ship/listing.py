"""Lists what an objective needs on a worker: modules to send, and packages to install."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES
from pathlib import Path
from typing import Any, TypeVar

from manyfit.errors import ArgumentError
from manyfit.ship.beside import data_beside
from manyfit.ship.chosen import Shippable, archive_name, chosen, module_name
from manyfit.ship.mentions import Mention, mentions_in_source
from manyfit.ship.places import Home, ModuleFile, Places, version_of
from manyfit.ship.reach import reached

_T = TypeVar("_T")

# Every worker fetches all of it. Anything larger is data, for which there are better routes.
MOST_BYTES = 50_000_000


@dataclass(frozen=True)
class ShippingList:
    """What an objective needs on a worker; `print` it to read the list.

    Attributes:
        modules: The project's modules to send, with their source files.
        files: Other files to send, by their path below the folder from which workers import.
        packages: Installed distributions that workers must have, with the versions here.
        compiled: The project's compiled modules, which can't be sent.
        imports: The import name of each of `packages`.
        perhaps: Those of `packages` and `compiled` that are imported only in functions that may
            never be called, or where an ImportError is caught.
        left: The folders of packages whose data files are too large to be sent by default.
    """

    modules: Mapping[str, Path] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)
    compiled: Mapping[str, Path] = field(default_factory=dict)
    imports: Mapping[str, str] = field(default_factory=dict)
    perhaps: frozenset[str] = frozenset()
    left: Mapping[str, Path] = field(default_factory=dict)

    @property
    def travelling(self) -> dict[str, Path]:
        """All files to send, by their path below the folder from which workers import."""
        modules = {archive_name(name, file): file for name, file in self.modules.items()}
        return dict(sorted({**modules, **self.files}.items()))

    def __str__(self) -> str:
        paths = self.travelling.values()
        size = megabytes(sum(path.stat().st_size for path in paths))
        lines = [f"{len(paths)} files to send to workers, {size}"]
        lines += _table("modules", self.modules)
        lines += _table("other files", self.files)
        lines += _table("data that stays here unless ship= names the package", self.left)
        lines += _table("compiled, which can't be sent", self.compiled)
        lines += _table("packages that workers must have", self.packages)
        return "\n".join(lines)


def shipping_list(objective: Any, ship: Sequence[Shippable] | None = None) -> ShippingList:
    """List what an executor on other machines sends for an objective, and what workers must have.

    By default, the project's modules are found automatically: from the objective's code and
    everything it uses, then through the imports in their sources. Their packages are sent with
    them, and the data files of these, up to 10 MB per package. A module is the project's if it is
    neither in the standard library nor installed; editable installs count as the project's. What a
    script or notebook defines itself is part of the pickled objective.

    Imports of a computed name (`importlib.import_module(name)`), larger data, and files next to a
    module that is in no package are not found: name these in `ship`. Modules in zip files are
    assumed to be on workers.

    Args:
        objective: A function, or another callable, as for `tune`.
        ship: What to send instead of what is found: modules, names of modules and packages, paths
            of files and folders. An empty list sends nothing; None finds modules.

    Returns:
        What to send, and what workers must have; `packages` are found in any case.

    Raises:
        ArgumentError: `ship` names something that doesn't exist, or the files exceed 50 MB.

    Example:
        >>> import numpy
        >>> needed = shipping_list(numpy.median)
        >>> list(needed.packages), list(needed.modules)
        (['numpy'], [])
    """
    places = Places()
    start = list(reached(objective, places))
    asked = {} if ship is None else chosen(ship, places)
    modules = {module: path for name, path in asked.items() if (module := module_name(name))}
    for module, path in modules.items():
        start += _mentions(ModuleFile(module, path, Home.PROJECT))
    found = _follow(start, places)
    ours = {place.name: place.file for place, _ in found if place.home is Home.PROJECT}
    compiled: dict[str, Path] = {}
    left: dict[str, Path] = {}
    files = {name: path for name, path in asked.items() if not module_name(name)}
    if ship is None:  # the user hasn't decided
        compiled = {name: file for name, file in ours.items() if _is_compiled(file)}
        modules = {name: file for name, file in ours.items() if name not in compiled}
        files, left = data_beside(modules)
    imports = _imports(place for place, _ in found)
    sure = {place.distribution or place.name for place, certain in found if certain}
    listing = ShippingList(
        modules=_sorted(modules.items()),
        files=_sorted(files.items()),
        packages=_sorted((name, version_of(name) or "unknown") for name in set(imports.values())),
        compiled=_sorted(compiled.items()),
        imports=imports,
        perhaps=frozenset({*imports.values(), *compiled} - sure),
        left=_sorted(left.items()),
    )
    _check_size(listing.travelling)
    return listing


def _follow(start: Iterable[Mention], places: Places) -> list[tuple[ModuleFile, bool]]:
    """Return all modules that the mentioned ones need, and whether they surely are needed.

    Certain imports are followed to the end before the others, so the first visit of a module
    decides.
    """
    sure, unsure = deque[Mention](), deque[Mention]()
    for mention in start:
        (sure if mention.sure else unsure).append(mention)
    found: dict[str, tuple[ModuleFile, bool]] = {}
    while sure or unsure:
        certain = bool(sure)
        mention = (sure or unsure).popleft()
        for name in _with_parents(mention.name):
            place = places.find(name)
            if place is None or name in found:
                continue
            found[name] = (place, certain)
            if place.home is Home.PROJECT:
                for further in _mentions(place):
                    (sure if certain and further.sure else unsure).append(further)
    return list(found.values())


def _mentions(place: ModuleFile) -> Iterator[Mention]:
    if place.file.suffix not in SOURCE_SUFFIXES:
        return
    package = place.name if place.file.stem == "__init__" else place.name.rpartition(".")[0]
    yield from mentions_in_source(place.file.read_bytes(), package)


def _with_parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    yield from (".".join(parts[:depth]) for depth in range(1, len(parts) + 1))


def _imports(places: Iterable[ModuleFile]) -> dict[str, str]:
    """Return the top-level import name of each distribution."""
    owners = {place.name: place.distribution for place in places}
    return _sorted(
        (name, owner)
        for name, owner in owners.items()
        if owner is not None and owners.get(name.rpartition(".")[0]) != owner
    )


def _is_compiled(file: Path) -> bool:
    return file.name.endswith(tuple(EXTENSION_SUFFIXES))


def _sorted(items: Iterable[tuple[str, _T]]) -> dict[str, _T]:
    return dict(sorted(items, key=lambda item: item[0]))


def _check_size(travelling: Mapping[str, Path]) -> None:
    sizes = {name: path.stat().st_size for name, path in travelling.items()}
    total = sum(sizes.values())
    if total <= MOST_BYTES:
        return
    largest = sorted(sizes, key=lambda name: -sizes[name])[:3]
    raise ArgumentError(
        f"the code to send to workers must be at most {megabytes(MOST_BYTES)}, but is "
        f"{megabytes(total)}: the largest files are "
        + ", ".join(f"{name} ({megabytes(sizes[name])})" for name in largest)
        + ". Leave data out of ship=: pass it with manyfit.share(...), or read it from storage "
        "that workers can access"
    )


def megabytes(size: int) -> str:
    """Format a number of bytes.

    Example:
        >>> megabytes(191_000_000), megabytes(2_345_678), megabytes(900)
        ('191 MB', '2.3 MB', '0.9 kB')
    """
    if size < 1_000_000:
        return f"{size / 1000:.1f} kB"
    return f"{size / 1e6:.1f} MB" if size < 10_000_000 else f"{size / 1e6:.0f} MB"


def _table(title: str, rows: Mapping[str, object]) -> list[str]:
    width = max(map(len, rows), default=0)
    return [f"{title}:", *(f"  {name:{width}}  {rows[name]}" for name in rows)] if rows else []
