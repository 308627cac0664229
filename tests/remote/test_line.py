"""A worker's end of the connection: to drivers that are gone, silent, slow, false, or true."""

import contextlib
import socket
import threading
import time

import pytest

from manyfit.remote.certificate import certified_context
from manyfit.remote.line import Line, UnreachableError, dial
from manyfit.remote.wire import Credentials, DriverWire, WireError
from manyfit.worker.timings import Timings

SECRET = b"secret"
CONTEXT, FINGERPRINT = certified_context()
CREDENTIALS = Credentials(SECRET, FINGERPRINT)


class Driver:
    """The other end: a thread that accepts one connection and gets to know it."""

    def __init__(self, context=CONTEXT, pause=0.0):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(5)
        self.address = self.listener.getsockname()
        self.wire = DriverWire(context, SECRET)
        self._early = []
        self._pause = pause
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def _accept(self):
        with contextlib.suppress(OSError):
            self.connection, _ = self.listener.accept()
            self.connection.settimeout(5)
            time.sleep(self._pause)
            try:
                self._get_to_know()
            except WireError:
                self.connection.close()  # as the hub does; else the worker would wait for more

    def _get_to_know(self):
        while not self.wire.trusted:
            self._early += self.wire.feed(self._read())
            self.connection.sendall(self.wire.outgoing())

    def _read(self):
        data = self.connection.recv(1 << 16)
        if not data:
            raise ConnectionResetError("the worker hung up")
        return data

    def send(self, message, blob=b""):
        self._thread.join()
        self.connection.sendall(b"".join(self.wire.pack(message, blob)))

    def receive(self):
        self._thread.join()
        frames, self._early = self._early, []
        while not frames:
            frames = self.wire.feed(self._read())
        return frames

    def close(self):
        self.listener.close()
        self._thread.join()
        with contextlib.suppress(AttributeError):  # nobody has come
            self.connection.close()


@pytest.fixture
def driver():
    """One that is true."""
    with contextlib.closing(Driver()) as running:
        yield running


@pytest.fixture
def line(driver):
    """A line to it."""
    with contextlib.closing(dial([driver.address], CREDENTIALS)) as opened:
        yield opened


def arrivals(line, n=1):
    """What arrives, once there is so much of it or the driver is gone."""
    frames, deadline = [], time.monotonic() + 10
    while len(frames) < n and line.gone is None and time.monotonic() < deadline:
        frames += line.receive()
        time.sleep(0.005)
    return [frame.message for frame in frames]


def test_messages_go_both_ways(driver, line):
    """What one end sends arrives at the other."""
    line.send({"hello": 1}, b"blob")
    assert driver.receive() == [({"hello": 1}, b"blob")]
    driver.send({"task": 1})
    driver.send({"task": 2}, b"x" * (1 << 20))
    assert arrivals(line, 2) == [{"task": 1}, {"task": 2}]


def test_receive_does_not_wait(line):
    """With nothing there it returns at once, with nothing."""
    began = time.monotonic()
    assert line.receive() == []
    assert time.monotonic() - began < 1
    assert line.gone is None


def test_many_threads_may_send(driver, line):
    """Frames of several threads don't mix, and are counted in the order they leave in."""
    threads = [
        threading.Thread(target=lambda: [line.send({"n": 1}, b"x" * 5000) for _ in range(50)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    got = 0
    while got < 200:
        got += len(driver.receive())
    for thread in threads:
        thread.join()
    assert got == 200


def test_a_driver_that_hangs_up_is_gone(driver, line):
    """Its last words still arrive; then the line says why nothing more will come."""
    driver.send({"leave": "the study ended"})
    driver.connection.close()
    assert arrivals(line, 2) == [{"leave": "the study ended"}]
    assert "closed the connection" in line.gone
    line.send({"into": "the void"})
    assert line.receive() == []


def test_a_driver_that_is_reset_is_gone(driver, line):
    """A connection that breaks is one that ended, whichever end notices."""
    driver.send({"task": 1})
    driver.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    driver.connection.close()
    deadline = time.monotonic() + 10
    while line.gone is None and time.monotonic() < deadline:
        line.send({"beat": 1})
        line.receive()
    assert line.gone is not None


def test_a_forged_frame_ends_the_line(driver, line):
    """From an end that says what it can't have said, nothing more is taken."""
    driver.send({"task": 1})
    assert arrivals(line) == [{"task": 1}]
    driver.connection.sendall(bytes(44) + b"".join(driver.wire.pack({"task": 2})))
    assert arrivals(line) == []
    assert "connection to the driver broke" in line.gone


def test_silence_counts_as_gone(driver):
    """A driver that has said nothing for too long is taken for dead."""
    with contextlib.closing(dial([driver.address], CREDENTIALS, Timings(silence=0.05))) as line:
        time.sleep(0.1)
        line.receive()
        assert line.gone == "nothing was heard of the driver for 0.05 s"


def test_a_driver_that_takes_nothing_is_gone(driver):
    """A driver that reads no more, as one that is stopped, holds no worker up for ever."""
    with contextlib.closing(dial([driver.address], CREDENTIALS, Timings(silence=0.2))) as line:
        line.send({"whole log": 1}, bytes(1 << 25))
        assert "nothing can be sent" in line.gone


# ── dialling ──────────────────────────────────────────────────────────────────────────────────────


def test_nobody_listens():
    """It says from where, and at which addresses, it was tried in vain."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(UnreachableError) as raised:
        dial(
            [("127.0.0.1", port), ("no-such-host.invalid", 1)], CREDENTIALS, Timings(handshake=1.0)
        )
    assert f"from {socket.gethostname()}, the driver can't be reached" in str(raised.value)
    assert f"127.0.0.1:{port} (" in str(raised.value)
    assert "no-such-host.invalid:1 (" in str(raised.value)


def test_the_first_address_that_works_is_taken(driver):
    """Addresses are tried in order."""
    with contextlib.closing(dial([("127.0.0.99", 1), driver.address], CREDENTIALS)) as line:
        driver.send({"task": 1})
        assert arrivals(line) == [{"task": 1}]


def test_a_false_driver_learns_nothing():
    """One with another certificate is refused at the first try, and not told the secret."""
    heard = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def pretend():
            connection, _ = listener.accept()
            wire = DriverWire(certified_context()[0], SECRET)
            with connection:
                while data := connection.recv(1 << 16):
                    heard.append(data)
                    wire.feed(data)
                    connection.sendall(wire.outgoing())

        thread = threading.Thread(target=pretend)
        thread.start()
        with pytest.raises(UnreachableError, match="have the certificate of this study's"):
            dial([listener.getsockname()], CREDENTIALS)
        thread.join()
    assert len(heard) == 1  # a greeting, and no more


def test_a_driver_that_hangs_up_on_this_worker():
    """One that knows another secret hangs up, again and again; the end of it is an error."""
    calls = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse():
            for _ in range(5):
                connection, _ = listener.accept()
                wire = DriverWire(CONTEXT, b"another")
                with connection, contextlib.suppress(WireError):
                    calls.append(1)
                    while True:
                        wire.feed(connection.recv(1 << 16))
                        connection.sendall(wire.outgoing())

        thread = threading.Thread(target=refuse)
        thread.start()
        with pytest.raises(UnreachableError, match=r"hung up|reset|[Bb]roken pipe"):
            dial([listener.getsockname()], CREDENTIALS)
        thread.join()
    assert len(calls) == 5


def test_another_service_is_no_driver():
    """A server of something else is told apart."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n" * 3)
                connection.recv(1000)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(UnreachableError, match="breaks TLS"):
            dial([listener.getsockname()], CREDENTIALS, Timings(handshake=5.0))
        thread.join()


def test_a_driver_that_says_nothing_is_given_up():
    """A server that accepts and is silent delays a worker no longer than the handshake may take."""
    with contextlib.closing(Driver(pause=1.0)) as silent:
        began = time.monotonic()
        with pytest.raises(UnreachableError, match="timed out"):
            dial([silent.address], CREDENTIALS, Timings(handshake=0.2))
        assert time.monotonic() - began < 5


def test_a_driver_that_says_everything_slowly_is_given_up():
    """All that is said before the first message has one deadline, not each byte its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def trickle():
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                wire = DriverWire(CONTEXT, SECRET)
                wire.feed(connection.recv(1 << 16))
                for byte in wire.outgoing():
                    connection.sendall(bytes([byte]))
                    time.sleep(0.02)

        thread = threading.Thread(target=trickle)
        thread.start()
        began = time.monotonic()
        with pytest.raises(UnreachableError, match="timed out"):
            dial([listener.getsockname()], CREDENTIALS, Timings(handshake=0.2))
        assert time.monotonic() - began < 5
        thread.join()


def test_what_arrives_is_read_while_much_is_sent(driver, line):
    """A driver that takes nothing for a while is heard all the same, by another thread."""
    sending = threading.Thread(target=line.send, args=({"whole log": 1}, bytes(1 << 25)))
    sending.start()
    driver.send({"stop": 1})
    assert arrivals(line) == [{"stop": 1}]
    assert sending.is_alive()
    assert len(driver.receive()[0].blob) == 1 << 25
    sending.join()


def test_a_line_needs_no_low_descriptor(driver):
    """A process that has thousands of files open can receive as well."""
    resource = pytest.importorskip("resource")
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 1200:
        pytest.skip("this process may not open as many files")
    with contextlib.ExitStack() as stack:
        for _ in range(1100):
            stack.enter_context(socket.socket())
        line = stack.enter_context(contextlib.closing(dial([driver.address], CREDENTIALS)))
        assert line.fileno() > 1023
        driver.send({"task": 1})
        assert arrivals(line) == [{"task": 1}]


def test_a_line_is_made_of_any_connection(driver):
    """A socket that is connected already will do."""
    connection = socket.create_connection(driver.address)
    with contextlib.closing(Line(connection, CREDENTIALS, Timings(handshake=5.0))) as line:
        driver.send({"task": 1})
        assert arrivals(line) == [{"task": 1}]
