"""Imports the objective of a recorded study, from its module or script."""

import ast
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from manyfit.errors import ArgumentError
from manyfit.events import WorkDescribed
from manyfit.worker.work import Objective


def import_objective(study: str, work: WorkDescribed | None) -> Objective:
    """Import the objective on record.

    Raises:
        ArgumentError: It can't be imported; the message says what to do.
    """
    call = f"manyfit.replay_trial({study!r}, N, objective=...)"
    if work is None:
        raise ArgumentError(
            f"study {study!r} has no objective on record: its trials were handed out by ask(). "
            f"Run one again in Python, with {call}"
        )
    code = work.code
    if "import" not in code:
        where = f"not at the top level of {code['file']}" if "file" in code else "in a notebook"
        raise ArgumentError(
            f"the objective {code.get('name', '')} of study {study!r} can't be imported: it was "
            f"defined {where}. Call {call} where it is defined, or give --objective "
            "MODULE:FUNCTION if it is in a module now"
        )
    return objective_at(code["import"], code.get("file"))


def objective_at(place: str, file: str | None = None) -> Objective:
    """Import a function from `module:function` or `file.py:function`.

    Args:
        place: The location.
        file: The file of the module, if it was imported from a folder not in `sys.path`.

    Raises:
        ArgumentError: It can't be imported.
    """
    source, _, name = place.rpartition(":")
    try:
        module = _script(source) if source.endswith(".py") else _module(source, file)
        found: Any = module
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, OSError, SyntaxError, ValueError) as error:
        raise ArgumentError(
            f"the objective {place!r} can't be imported ({type(error).__name__}: {error}). Run the "
            "command where it can, or give --objective MODULE:FUNCTION"
        ) from error
    if not callable(found):
        raise ArgumentError(f"the objective {place!r} must be a function, but is {found!r:.200}")
    return cast("Callable[[dict[str, Any]], Any]", found)


def _module(name: str, file: str | None) -> object:
    roots = [str(Path.cwd())]
    if file is not None:
        path = Path(file)
        above = path.parents[name.count(".") + (path.name == "__init__.py")]
        roots.insert(0, str(above))
    sys.path[:0] = [root for root in roots if root not in sys.path]
    return importlib.import_module(name)


def _script(source: str) -> object:
    """Import a script as `multiprocessing` does, under another name than `__main__`."""
    tree = ast.parse(Path(source).read_text(encoding="utf-8"))
    if not any(
        isinstance(node, ast.If) and "__main__" in ast.unparse(node.test) for node in tree.body
    ):
        raise ImportError(
            f"{source} has no 'if __name__ == \"__main__\":', so that to import it would run it"
        )
    sys.path.insert(0, str(Path(source).absolute().parent))
    # Its first import, perhaps by the script, makes `__mp_main__` another name of `__main__`.
    importlib.import_module("multiprocessing")
    spec = importlib.util.spec_from_file_location("__mp_main__", source)
    if spec is None or spec.loader is None:
        raise ImportError(f"{source} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
