"""Lends a frame to one call after another: each may change what it gets, and none sees it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from manyfit.groups.search.cells import changeable, owned

# Cells up to which calls share the memory of a frame. A copy of a larger one is little beside a fit
# on it, and sharing takes a second one.
_MOST = 1 << 15


class Lent:
    """A frame to lend, of which each call gets a frame of its own.

    The frames of a small one share their memory until a call has changed it; later calls get copies
    of the original. (What pandas 3 has as copy-on-write, pandas 2 has not.)

    Args:
        frame: The frame, which nothing else changes.
    """

    def __init__(self, frame: Any) -> None:
        self._frame = frame
        self._shared: Any = None
        self._changeable: list[Any] = []
        shared = frame.copy() if frame.size <= _MOST else frame
        columns = [column for _, column in shared.items()]
        kinds = {column.dtype for column in columns}
        if any(kind.kind == "O" for kind in kinds):
            self._changeable = changeable(frame)
        is_plain = all(isinstance(kind, np.dtype) for kind in kinds)
        if shared is not frame and is_plain and not self._changeable:
            self._shared = shared
            self._memory = _owners([each.to_numpy() for each in columns])
            self._before = self._state()

    def lend(self) -> Any:
        """Return a frame for a call."""
        if self._shared is None:
            return owned(self._frame, self._changeable)
        return self._shared.copy(deep=False)

    def take_back(self) -> None:
        """Stop sharing if a call has changed what all share."""
        if self._shared is not None and self._state() != self._before:
            self._shared = None

    def _state(self) -> list[Any]:
        axes = [self._shared.index.names, self._shared.columns.names]
        return [*axes, *(each.tobytes() for each in self._memory)]


def _owners(arrays: list[NDArray[Any]]) -> list[NDArray[Any]]:
    """Return the arrays that own the memory of some arrays, each once."""
    found = (each.base if isinstance(each.base, np.ndarray) else each for each in arrays)
    return list({id(each): each for each in found}.values())
