"""Finds the imports of code without running it, in source text and in compiled functions."""

import ast
import dis
import importlib.util
import types
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

# The fields of statements that contain statements, among which imports are.
_BLOCKS = ("body", "handlers", "orelse", "finalbody", "cases")
_CATCHING = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}
_BETWEEN = {"EXTENDED_ARG", "CACHE"}


@dataclass(frozen=True, slots=True)
class Mention:
    """A name that code imports.

    Attributes:
        name: The absolute, dotted name. `from a import b` mentions both `a` and `a.b`, which may or
            may not be a module.
        sure: False if the import may never happen, or may fail without harm: in a function's body,
            or where an ImportError is caught.
    """

    name: str
    sure: bool = True


def mentions_in_source(source: bytes, package: str) -> Iterator[Mention]:
    """Yield the imports of a module's source.

    Source that this Python can't parse has none. Imports for type checkers only (`if
    TYPE_CHECKING`) or for scripts only (`if __name__ == "__main__"`) are left out. Arguments of
    `importlib.import_module` are not recognised.

    Args:
        source: The source, in the encoding that it declares.
        package: The package for relative imports; empty for none.

    Example:
        >>> [mention.name for mention in mentions_in_source(b"from . import data", "shop.models")]
        ['shop.models', 'shop.models.data']
    """
    with warnings.catch_warnings():  # warnings about the user's strings would be confusing here
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError):
            return
    for node, sure in _statements(tree, sure=True):
        if isinstance(node, ast.Import):
            yield from (Mention(alias.name, sure) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names]
            yield from _from(node.module or "", names, node.level, package, sure=sure)


def mentions_in_code(code: types.CodeType, package: str) -> Iterator[Mention]:
    """Yield the imports in the body of a function, and of functions nested in it.

    Args:
        code: The code of a function that will run, so every import counts as sure.
        package: The package for relative imports; empty for none.
    """
    # An import is compiled to: load the level, load the names after `from`, IMPORT_NAME.
    steps = [step for step in dis.get_instructions(code) if step.opname not in _BETWEEN]
    for level, names, step in zip(steps, steps[1:], steps[2:], strict=False):
        if step.opname == "IMPORT_NAME":
            yield from _from(step.argval, names.argval or (), level.argval, package, sure=True)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from mentions_in_code(constant, package)


def _from(
    module: str, names: Iterable[str], level: int, package: str, *, sure: bool
) -> Iterator[Mention]:
    try:
        name = importlib.util.resolve_name("." * level + module, package)
    except ImportError:  # above the top-level package: it will fail when it runs
        return
    yield Mention(name, sure)
    yield from (Mention(f"{name}.{part}", sure) for part in names if part != "*")


def _statements(node: ast.AST, *, sure: bool) -> Iterator[tuple[ast.AST, bool]]:
    for block in _BLOCKS:
        certain = sure and not _may_not_run(node, block)
        for child in () if _never_runs(node, block) else getattr(node, block, ()):
            yield child, certain
            yield from _statements(child, sure=certain)


def _may_not_run(node: ast.AST, block: str) -> bool:
    if isinstance(node, ast.Try | ast.TryStar):
        return block == "body" and any(_catches(handler.type) for handler in node.handlers)
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def _catches(kind: ast.expr | None) -> bool:
    if isinstance(kind, ast.Tuple):
        return any(_catches(element) for element in kind.elts)
    return kind is None or (isinstance(kind, ast.Name) and kind.id in _CATCHING)


def _never_runs(node: ast.AST, block: str) -> bool:
    if not isinstance(node, ast.If) or block != "body":
        return False
    names = {part.id for part in ast.walk(node.test) if isinstance(part, ast.Name)}
    attributes = {part.attr for part in ast.walk(node.test) if isinstance(part, ast.Attribute)}
    return "TYPE_CHECKING" in names | attributes or "__name__" in names
