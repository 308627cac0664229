"""Makes the definitions of the user's script available in a worker's `__main__`.

Functions of a script arrive by value. Code that looks them up by name, as `multiprocessing` does
when it passes one to a pool of forked processes, looks in `__main__`, which in a worker is another
program.
"""

import sys
import types
from collections import deque
from collections.abc import Iterator

from manyfit.worker.blame import parts

_MOST = 10_000  # objects to inspect


def adopt(*values: object) -> None:
    """Copy into `__main__` the script's global variables to which these values refer."""
    main = sys.modules["__main__"]
    for names in list(_namespaces(values)):
        for name, value in names.items():
            if not name.startswith("__"):
                setattr(main, name, value)


def _namespaces(values: tuple[object, ...]) -> Iterator[dict[str, object]]:
    """Yield the global variables of each function of a script that can be reached."""
    waiting = deque(values)
    seen: dict[int, object] = {}  # keeps objects alive, so that no id is used again
    while waiting and len(seen) < _MOST:
        value = waiting.popleft()
        if id(value) in seen:
            continue
        seen[id(value)] = value
        if isinstance(value, types.FunctionType):
            names = value.__globals__
            if names.get("__name__") == "__main__" and id(names) not in seen:
                seen[id(names)] = names
                yield names
        waiting.extend(part for _, part in parts(value))
        if not isinstance(value, type):
            waiting.append(type(value))
