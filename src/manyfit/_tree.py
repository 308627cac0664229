"""Going through the entries of a space, a tree that forks at each Choice of branches."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from manyfit._labels import Label, constant_to_json
from manyfit.choice import Choice, Domain, Entry, from_json, to_json
from manyfit.trial import Params

# The choices that must have been made for a name to be active: (choice, branch), outermost first.
Path: TypeAlias = tuple[tuple[str, Label], ...]


def flatten(entries: Mapping[str, Entry], path: Path) -> Iterator[tuple[Path, str, Entry]]:
    """Yield everything that is anywhere in a space, outermost and first declared first."""
    for name, entry in entries.items():
        yield path, name, entry
        for branch, items in branches_of(entry).items():
            yield from flatten(items, (*path, (name, branch)))


def walk(entries: Mapping[str, Entry], params: Params) -> Iterator[tuple[str, Entry]]:
    """Yield what is active; a Choice is looked up in `params` only after it was yielded."""
    for name, entry in entries.items():
        yield name, entry
        if isinstance(entry, Choice) and entry.branches is not None:
            yield from walk(entry.branch(params.get(name)), params)


def described(entries: Mapping[str, Entry]) -> dict[str, str]:
    """Return a text for each name, with where it is active; two are equal if nothing changed."""
    texts: dict[str, str] = {}
    for path, name, entry in flatten(entries, ()):
        where = f"{name} ({when(path)})" if path else name
        if branches := branches_of(entry):
            weights = "" if entry.weights is None else f" weighted {list(entry.weights)}"
            texts[where] = f"Choice of the branches {', '.join(map(str, branches))}{weights}"
        elif isinstance(entry, Domain):
            texts[where] = repr(from_json(to_json(name, entry)))
        else:
            texts[where] = f"the constant {constant_to_json(name, entry)!r}"
    return texts


def at(entries: Mapping[str, Entry], index: int) -> dict[str, Any]:
    """Read an index as a number whose digits, the last one first, are the values."""
    params: dict[str, Any] = {}
    for name, domain in reversed(list(entries.items())):
        if not isinstance(domain, Domain):
            continue
        index, digit = divmod(index, domain.size or 1)
        if isinstance(domain, Choice):
            params[name], inner = domain.at(digit)
            params.update(at(domain.branch(params[name]), inner))
        else:
            params[name] = domain.at(digit)
    return params


def replaced(entries: Mapping[str, Entry], changes: Mapping[str, Entry]) -> dict[str, Entry]:
    """Return entries of which some have been replaced, wherever they are."""
    return {
        name: changes[name] if name in changes else _with_branches(entry, changes)
        for name, entry in entries.items()
    }


def _with_branches(entry: Entry, changes: Mapping[str, Entry]) -> Entry:
    if not (branches := branches_of(entry)):
        return entry
    options = {branch: replaced(items, changes) for branch, items in branches.items()}
    return Choice(options, weights=entry.weights)


def branches_of(entry: Entry) -> Mapping[Label, Mapping[str, Entry]]:
    """Return what each branch of an entry holds; empty where it has none."""
    branches = entry.branches if isinstance(entry, Choice) else None
    return {} if branches is None else branches


def exclude_one_another(one: Path, other: Path) -> bool:
    """Whether two places can't be active together: they need different branches of one Choice."""
    chosen = dict(one)
    return any(chosen.get(name, branch) != branch for name, branch in other)


def when(path: Path) -> str:
    """Say where a place is, as the end of a sentence."""
    if not path:
        return "at the top"
    return "when " + " and ".join(f"{name} is {branch!r}" for name, branch in path)
