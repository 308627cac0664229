"""Seed the process-wide generators that a trial may draw from, also those it imports only later."""

import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import random
import sys
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

import numpy as np

_FRAMEWORKS = ("jax", "keras", "tensorflow", "torch")


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed Python, NumPy, TensorFlow, Keras and PyTorch now, or within the block once imported.

    Nothing is imported for the purpose. JAX has no process-wide state: its keys are made in the
    objective, from `current_trial().seed`. Keras without TensorFlow draws the seeds of layers from
    Python's generator; only its own call for seeding, which imports TensorFlow wherever that is
    installed (10 seconds), is left out then.

    Args:
        seed: Any whole number; its lowest 32 bits are used.
    """
    seed %= 2**32
    random.seed(seed)
    np.random.seed(seed)
    for name in _FRAMEWORKS:
        _seed_framework(name, seed)
    finder = _SeedingFinder(seed)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # the objective may have replaced the list
            sys.meta_path.remove(finder)


def _seed_framework(name: str, seed: int) -> None:
    """Seed a framework if it is loaded, through what is loaded already."""
    module: Any = sys.modules.get(name)
    if name == "torch" and hasattr(module, "manual_seed"):
        module.manual_seed(seed)
    elif name == "tensorflow" and hasattr(module, "random"):
        module.random.set_seed(seed)
    elif name == "keras" and hasattr(module, "utils") and "tensorflow" in sys.modules:
        module.utils.set_random_seed(seed)


class _SeedingFinder(importlib.abc.MetaPathFinder):
    """Finds nothing itself, but makes the loader of a framework seed it when it has been loaded."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._looking = False

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return the spec that the other finders have, with its loader wrapped; else None."""
        if fullname not in _FRAMEWORKS or self._looking:
            return None
        self._looking = True  # the import system comes through here again
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._looking = False
        loader = None if spec is None else spec.loader
        if loader is not None and hasattr(loader, "exec_module"):
            self._wrap(fullname, loader)
        return spec

    def _wrap(self, name: str, loader: importlib.abc.Loader) -> None:
        load = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            # Loading some of them draws numbers. A trial that imports one must go on with the same
            # numbers as a later one in this process, which finds it imported.
            python, numpy = random.getstate(), np.random.get_state()
            load(module)
            random.setstate(python)
            np.random.set_state(numpy)
            _seed_framework(name, self._seed)

        # On the instance, which is made anew for every import; a loader that refuses isn't wrapped.
        with contextlib.suppress(AttributeError):
            loader.exec_module = exec_module  # type: ignore[method-assign]
