"""Find what code imports, without running it: in source text, and in compiled functions."""

import ast
import dis
import importlib.util
import types
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

# The fields of statements that hold statements; imports are nowhere else.
_BLOCKS = ("body", "handlers", "orelse", "finalbody", "cases")
_CATCHING = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}
_BETWEEN = {"EXTENDED_ARG", "CACHE"}


@dataclass(frozen=True, slots=True)
class Mention:
    """A name that code imports.

    Attributes:
        name: Absolute, with dots. Of `from a import b` come both `a` and `a.b`, which may be a
            module or not.
        sure: False where the import may never happen, or may fail without harm: in a function's
            body, or where an ImportError is caught.
    """

    name: str
    sure: bool = True


def mentions_in_source(source: bytes, package: str) -> Iterator[Mention]:
    """Yield what a module's source imports.

    Source that this Python can't parse mentions nothing. What runs only for type checkers
    (`if TYPE_CHECKING`) or only as a script (`if __name__ == "__main__"`) is left out. Names given
    to `importlib.import_module` can't be seen.

    Args:
        source: The text, encoded as Python encodes it.
        package: What relative imports start from; empty for none.

    Example:
        >>> [mention.name for mention in mentions_in_source(b"from . import data", "shop.models")]
        ['shop.models', 'shop.models.data']
    """
    with warnings.catch_warnings():  # about the user's strings, at a moment that surprises
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
    """Yield what a function's code, and code nested in it, imports when it runs.

    Args:
        code: Of a function that is to run, so every import counts as sure.
        package: What relative imports start from; empty for none.
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
    except ImportError:  # beyond the top, which fails by itself when it is run
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
