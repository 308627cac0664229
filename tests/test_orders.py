"""Orders to end are heeded, and handlers are put back."""

import os
import signal
import threading

import pytest

from manyfit.orders import heeded, interrupt

ORDERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def handlers(hangup, ctrl_c):
    """No test leaves a handler behind."""
    before = {order: signal.getsignal(order) for order in ORDERS}
    yield before
    after = {order: signal.getsignal(order) for order in ORDERS}
    for order, handler in before.items():
        signal.signal(order, handler)
    assert after == before


@pytest.mark.parametrize("order", ORDERS)
def test_each_order_is_heeded(order):
    """The function is called with the signal's number, and the process goes on."""
    heard = []
    with heeded(heard.append):
        signal.raise_signal(order)

    assert heard == [order]


def test_an_interrupt_is_what_ctrl_c_does():
    """Where nothing else is to be done, any order raises KeyboardInterrupt."""
    with pytest.raises(KeyboardInterrupt), heeded(interrupt):
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("order", ORDERS)
def test_who_heeded_orders_before_hears_of_them_afterwards(order):
    """Of two, one within the other, the outer one learns what the inner one was told."""
    heard = []
    with heeded(lambda order: heard.append(("outer", order))):
        with heeded(lambda order: heard.append(("inner", order))):
            signal.raise_signal(order)
            signal.raise_signal(order)
        heard.append("between")

    assert heard == [("inner", order), ("inner", order), ("outer", order), "between"]


def test_a_handler_of_the_users_own_hears_of_it():
    """What waits for SIGTERM to save a checkpoint gets it, once the work has ended in order."""
    heard = []
    signal.signal(signal.SIGTERM, lambda *_: heard.append("mine"))
    try:
        with heeded(lambda _: heard.append("ours")):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    assert heard == ["ours", "mine"]


def test_a_handler_of_ctrl_c_is_not_asked_twice():
    """An interrupt that ended the work in order doesn't end the program as well."""
    signal.signal(signal.SIGINT, lambda *_: interrupt(signal.SIGINT))
    try:
        with heeded(lambda _: None):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.parametrize("order", [signal.SIGTERM, signal.SIGHUP])
def test_what_is_ignored_stays_ignored(order):
    """Under nohup a terminal that goes away ends nothing."""
    heard = []
    signal.signal(order, signal.SIG_IGN)
    try:
        with heeded(heard.append):
            os.kill(os.getpid(), order)
    finally:
        signal.signal(order, signal.SIG_DFL)

    assert heard == []


def test_another_thread_changes_nothing(handlers):
    """Only the main thread may handle signals; elsewhere the block runs all the same."""
    seen = []

    def work():
        with heeded(interrupt):
            seen.append({order: signal.getsignal(order) for order in ORDERS})

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert seen == [handlers]
