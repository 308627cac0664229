"""Hints for a trial that lacks a module or file because it was not shipped to its machine."""

from collections.abc import Iterator, Sequence


def hint_for(error: BaseException, code: Sequence[str]) -> str:
    """Return a hint to append to an exception's message; empty if it has another cause.

    Args:
        error: The exception that an objective raised.
        code: The folders with code sent from the driver; empty if the driver's own is used.

    Example:
        >>> hint_for(FileNotFoundError(2, "No such file", "/code/shop/w.json"), ["/code"])
        ' (not sent here: name the file, its folder or its package in ship=)'
        >>> hint_for(FileNotFoundError(2, "No such file", "/data/w.json"), ["/code"])
        ''
    """
    for cause in _causes(error) if code else ():
        if isinstance(cause, ModuleNotFoundError):
            return " (not sent here: name the module or its package in ship=, or install it)"
        if isinstance(cause, FileNotFoundError) and str(cause.filename).startswith(tuple(code)):
            return " (not sent here: name the file, its folder or its package in ship=)"
    return ""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
