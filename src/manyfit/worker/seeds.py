"""Seeds the process-wide random generators of a trial, including those it imports later."""

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

    Nothing is imported for this. JAX has no process-wide state: make its keys in the objective,
    from `current_trial().seed`. Keras without TensorFlow draws the seeds of layers from Python's
    generator; its own `set_random_seed` is not called, because that imports TensorFlow if it is
    installed (10 seconds; see https://github.com/keras-team/keras/issues/19322).

    Args:
        seed: Any whole number; its lowest 32 bits are used.
    """
    seed %= 2**32
    random.seed(seed)
    np.random.seed(seed)
    for name in _FRAMEWORKS:
        if name in sys.modules:
            _seed_framework(name, seed)
    finder = _SeedingFinder(seed)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # the objective may have replaced the list
            sys.meta_path.remove(finder)


def _seed_framework(name: str, seed: int) -> None:
    """Seed a framework if it is loaded, without importing anything."""
    module: Any = sys.modules.get(name)
    if name == "torch" and hasattr(module, "manual_seed"):
        module.manual_seed(seed)
    elif name == "tensorflow" and hasattr(module, "random"):
        module.random.set_seed(seed)
    elif name == "keras" and hasattr(module, "utils") and "tensorflow" in sys.modules:
        module.utils.set_random_seed(seed)


class _SeedingFinder(importlib.abc.MetaPathFinder):
    """Wraps the loader that another finder returns for a framework, to seed it once loaded."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._looking = False

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return the spec of the other finders, with its loader wrapped; None if they have none."""
        if fullname not in _FRAMEWORKS or self._looking:
            return None
        self._looking = True  # the import system calls this method again
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
            # Importing some frameworks draws random numbers. The trial that imports one must
            # continue with the same numbers as later trials, which find it imported.
            python, numpy = random.getstate(), np.random.get_state()
            load(module)
            random.setstate(python)
            np.random.set_state(numpy)
            _seed_framework(name, self._seed)

        # Set on the instance, which is new for every import; a loader that refuses isn't wrapped.
        with contextlib.suppress(AttributeError):
            loader.exec_module = exec_module  # type: ignore[method-assign]
