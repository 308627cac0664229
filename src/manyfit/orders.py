"""Orders to end: Ctrl-C, and what machines and schedulers send before they kill.

Slurm, Kubernetes, spot machines and `kill` send SIGTERM, a terminal that goes away sends SIGHUP.
"""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

_ORDERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Ear:
    """A handler that notes which orders have come, and passes them on."""

    def __init__(self, on_order: Callable[[int], None]) -> None:
        self.heard: dict[int, None] = {}
        self._on_order = on_order

    def __call__(self, order: int, _frame: FrameType | None) -> None:
        self.heard[order] = None
        self._on_order(order)


@contextlib.contextmanager
def heeded(on_order: Callable[[int], None]) -> Iterator[None]:
    """Have orders to end call a function instead of ending this process, within the block.

    Only on the main thread, which alone may say so. SIGTERM and SIGHUP that are ignored (`nohup`)
    stay so. After the block, the orders that have come are passed on to whatever handled them
    before: an outer study, or the user's own handler of SIGTERM and SIGHUP.

    Args:
        on_order: Takes the signal's number; may raise, wherever the main thread is.

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
    """Whether it is not ignored, nor handled by what isn't Python and could not be put back."""
    known = signal.getsignal(order)
    return known is not None and (order == signal.SIGINT or known != signal.SIG_IGN)


def interrupt(_order: int) -> None:
    """Do what Ctrl-C does by itself.

    Raises:
        KeyboardInterrupt: Always.
    """
    raise KeyboardInterrupt
