"""Names the part of an objective that can't be pickled, and says what to do about it."""

import functools
import re
import types
from collections.abc import Iterator, Mapping

import cloudpickle

from manyfit.worker.work import Work

_DEEPEST = 8
_MOST_ITEMS = 1000

# By the full name of a type or one of its bases, so that none of these packages is imported.
_ADVICE = {
    r"(pyspark|py4j)\.": (
        "It exists on the driver only: read the data first, for example with toPandas(), and pass "
        "it with manyfit.share(...)"
    ),
    r"mlflow\.": "Create it inside the objective, or call mlflow.log_metric and the like there",
    r"(_thread|threading|multiprocessing\.synchronize)\.": (
        "It works within one process only: create it inside the objective"
    ),
    r"(_io|tempfile)\.": "Pass the path, and open it inside the objective",
    r"(socket|_socket|ssl|sqlite3|psycopg\w*|pymysql|sqlalchemy|redis|pymongo|grpc)\.": (
        "Connect inside the objective"
    ),
    r"builtins\.(generator|coroutine|async_generator)$": (
        "Make a list of it first, or create it inside the objective"
    ),
    r"builtins\.module$": "Import it inside the objective",
    r"(tensorflow|keras|torch|jax|jaxlib)\.": (
        "Build it inside the objective, from data that travels as NumPy arrays"
    ),
}


def blame(work: Work, error: Exception) -> str:
    """Return a message that names the part that can't be pickled, and says what to do.

    Args:
        work: The work that could not be pickled.
        error: The exception that pickling raised.

    Returns:
        A message with the path from the objective to that part, by the names in the user's code. It
        names the space and the metric if the objective itself can be pickled.
    """
    name = name_of(work.objective)
    if _pickles(work.objective):
        return f"the space or the metric can't be sent to a worker process: {_said(error)}"
    path, culprit = trace(work.objective)
    what = f"its {' → its '.join(path)} is" if path else "it is"
    advice = _advice(culprit) or "Create it inside the objective"
    return (
        f"the objective {name} can't be sent to a worker process: {what} of type "
        f"{kind_of(culprit)}, which can't be pickled ({_said(error)}). {advice}, or use "
        "executor='threads' or 'inline'"
    )


def name_of(objective: object) -> str:
    """Return the readable name of an objective: the function's name, or the type's."""
    while isinstance(objective, functools.partial):
        objective = objective.func
    return str(getattr(objective, "__qualname__", type(objective).__name__))


def kind_of(value: object) -> str:
    """Return the full name of a value's type, without `builtins`."""
    return _full_name(type(value)).removeprefix("builtins.")


def _full_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _advice(culprit: object) -> str | None:
    names = [_full_name(kind) for kind in type(culprit).__mro__[:-1]]
    for pattern, advice in _ADVICE.items():
        if any(re.match(pattern, name) for name in names):
            return advice
    return None


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]


def _pickles(value: object) -> bool:
    try:
        cloudpickle.dumps(value)
    except Exception:  # noqa: BLE001 - objects raise what they like from their own hooks
        return False
    return True


def trace(value: object) -> tuple[list[str], object]:
    """Find the innermost part that can't be pickled; returns the path to it, and the part.

    The search stops at a type for which there is advice, although a lock inside it may be the
    actual reason.
    """
    path: list[str] = []
    seen = {id(value)}
    while len(path) < _DEEPEST and _advice(value) is None:
        for name, part in parts(value):
            if id(part) not in seen and not _pickles(part):
                seen.add(id(part))
                path.append(name)
                value = part
                break
        else:
            break
    return path, value


def parts(value: object) -> Iterator[tuple[str, object]]:
    """Yield the parts of an object, with readable names.

    The parts of a function are what it refers to: closure and global variables, defaults,
    attributes. Of a long container, only the first thousand items are included. An object that
    raises on inspection has no parts.

    Example:
        >>> import functools
        >>> list(parts(functools.partial(len, [1])))
        [('function', <built-in function len>), ('argument 0', [1])]
    """
    try:
        yield from list(_parts(value))
    except Exception:  # noqa: BLE001 - proxies and lazy objects raise what they like when touched
        return


def _parts(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, types.FunctionType):
        yield from _parts_of_function(value)
    elif isinstance(value, types.MethodType):
        yield "object", value.__self__
        yield "function", value.__func__
    elif isinstance(value, staticmethod | classmethod):
        yield "function", value.__func__
    elif isinstance(value, property):
        accessors = (("getter", value.fget), ("setter", value.fset), ("deleter", value.fdel))
        yield from ((name, function) for name, function in accessors if function is not None)
    elif isinstance(value, functools.partial):
        yield "function", value.func
        yield from ((f"argument {i}", part) for i, part in enumerate(value.args))
        yield from ((f"argument {name!r}", part) for name, part in value.keywords.items())
    elif isinstance(value, Mapping):
        items = list(value.items())[:_MOST_ITEMS]
        yield from ((f"item {key!r:.50}", part) for key, part in items)
    elif isinstance(value, list | tuple | set | frozenset):
        yield from ((f"item {i}", part) for i, part in enumerate(list(value)[:_MOST_ITEMS]))
    elif isinstance(value, type):
        yield from ((f"attribute {name!r}", part) for name, part in vars(value).items())
    else:
        yield from _parts_of_instance(value)


def _parts_of_function(function: types.FunctionType) -> Iterator[tuple[str, object]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield f"closure variable {name!r}", cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    for name in names_in(function.__code__):
        if name in function.__globals__:
            yield f"global variable {name!r}", function.__globals__[name]
    defaults: Mapping[str, object] = function.__kwdefaults__ or {}
    yield from ((f"default of {name!r}", part) for name, part in defaults.items())
    yield from ((f"default {i}", part) for i, part in enumerate(function.__defaults__ or ()))
    yield from ((f"attribute {name!r}", part) for name, part in vars(function).items())


def names_in(code: types.CodeType) -> Iterator[str]:
    """Yield the names of globals and attributes in code and in the code nested in it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from names_in(constant)


def _parts_of_instance(value: object) -> Iterator[tuple[str, object]]:
    yield from (
        (f"attribute {name!r}", part) for name, part in getattr(value, "__dict__", {}).items()
    )
    for kind in type(value).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(value, name):
                yield f"attribute {name!r}", getattr(value, name)
