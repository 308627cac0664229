"""Signals that ask the process to end: Ctrl-C, SIGTERM and SIGHUP.

Slurm, Kubernetes, spot machines and `kill` send SIGTERM; a terminal that closes sends SIGHUP.
"""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

_ORDERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Ear:
    """A signal handler that notes which signals have arrived, and passes them on."""

    def __init__(self, on_order: Callable[[int], None]) -> None:
        self.heard: dict[int, None] = {}
        self._on_order = on_order

    def __call__(self, order: int, _frame: FrameType | None) -> None:
        self.heard[order] = None
        self._on_order(order)


@contextlib.contextmanager
def heeded(on_order: Callable[[int], None]) -> Iterator[None]:
    """Within the block, call a function on these signals instead of ending the process.

    It has an effect on the main thread only, since no other thread may set signal handlers. SIGTERM
    and SIGHUP that are ignored (`nohup`) stay ignored. After the block, the signals that arrived
    are passed to the handlers of before: an outer study's, or the user's own for SIGTERM and
    SIGHUP.

    Args:
        on_order: Takes the signal's number. It may raise, wherever the main thread is.

    Example:
        >>> orders = []
        >>> with heeded(orders.append):
        ...     signal.raise_signal(signal.SIGTERM)
        >>> orders == [signal.SIGTERM]
        True
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ear = _Ear(on_order)
    before = {order: signal.signal(order, ear) for order in _ORDERS if _may_be_heeded(order)}
    try:
        yield
    finally:
        for order, handler in before.items():
            signal.signal(order, handler)
        for heard in ear.heard:
            order = signal.Signals(heard)
            handler = before[order]
            if isinstance(handler, _Ear) or (callable(handler) and order != signal.SIGINT):
                signal.raise_signal(order)


def _may_be_heeded(order: signal.Signals) -> bool:
    """Return whether a signal isn't ignored, and its handler is Python's, so can be restored."""
    known = signal.getsignal(order)
    return known is not None and (order == signal.SIGINT or known != signal.SIG_IGN)


def interrupt(_order: int) -> None:
    """Raise, as Ctrl-C does by default.

    Raises:
        KeyboardInterrupt: Always.
    """
    raise KeyboardInterrupt
