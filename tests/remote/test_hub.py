"""The driver's server, among strangers, liars and crowds."""

import contextlib
import pickle
import queue
import socket
import subprocess
import sys
import threading
import time
from collections import deque

import pytest

from manyfit.errors import ExecutorError
from manyfit.remote.hub import Hub
from manyfit.remote.line import dial
from manyfit.remote.wire import Credentials, WireError, WorkerWire
from manyfit.worker.timings import Timings


@pytest.fixture
def opened():
    """A function that opens one on loopback."""
    with contextlib.ExitStack() as stack:

        def start(**timings):
            hub = Hub("127.0.0.1", 0, queue.SimpleQueue(), Timings(**timings))
            return stack.enter_context(contextlib.closing(hub))

        yield start


@pytest.fixture
def hub(opened):
    """One as users have it."""
    return opened()


@pytest.fixture
def worker(hub):
    """A function that dials in."""
    with contextlib.ExitStack() as stack:
        yield lambda to=hub: stack.enter_context(
            contextlib.closing(dial([("127.0.0.1", to.port)], to.credentials))
        )


@pytest.fixture
def stranger(hub):
    """A function that connects, and may say something."""
    with contextlib.ExitStack() as stack:

        def connect(said=b"", to=hub):
            address = ("127.0.0.1", to.port)
            connection = stack.enter_context(socket.create_connection(address, timeout=20))
            with contextlib.suppress(ConnectionError):  # hung up on while it speaks
                connection.sendall(said)
            return connection

        yield connect


def news(hub):
    return hub.inbox.get(timeout=10)


def arrivals(line, n=1):
    frames, deadline = [], time.monotonic() + 10
    while len(frames) < n and line.gone is None and time.monotonic() < deadline:
        frames += [frame for frame in line.receive() if "ping" not in frame.message]
        time.sleep(0.005)
    return frames


def is_hung_up_on(connection):
    with contextlib.suppress(ConnectionError):
        while connection.recv(1 << 16):
            pass
    return True


def join_by_hand(connection, wire):
    """Do what a worker does first, a step at a time."""
    while not wire.trusted:
        connection.sendall(wire.outgoing())
        wire.feed(connection.recv(1 << 16))


def packed(wire, message):
    return b"".join(wire.pack(message))


def say_slowly(connection, data):
    for byte in data:
        connection.sendall(bytes([byte]))
        time.sleep(0.03)


def still_works(hub, worker):
    """Whether a worker can join, and nothing came from anybody before it."""
    line = worker(hub)
    line.send({"hello": "still"})
    return news(hub).frame.message == {"hello": "still"}


# ── workers ───────────────────────────────────────────────────────────────────────────────────────


def test_messages_go_both_ways(hub, worker):
    """What a worker sends is news, by the number of its connection, at which it can be answered."""
    lines = [worker(), worker()]
    for line, name in zip(lines, "ab", strict=True):
        line.send({"hello": name}, name.encode() * 1000)
    for each in (news(hub), news(hub)):
        assert each.frame.blob == each.frame.message["hello"].encode() * 1000
        hub.send(each.connection, {"to": each.frame.message["hello"]}, b"setup")
    for line, name in zip(lines, "ab", strict=True):
        assert arrivals(line) == [({"to": name}, b"setup")]


def test_a_worker_that_leaves(hub, worker):
    """Its end is its last news."""
    line = worker()
    line.send({"hello": 1})
    line.close()
    first, last = news(hub), news(hub)
    assert (first.frame.message, last.frame) == ({"hello": 1}, None)
    assert last.connection == first.connection
    assert last.why == "it hung up"


def test_hanging_up(hub, worker):
    """What was sent before still arrives; the end is news as any other."""
    line = worker()
    line.send({"hello": 1})
    number = news(hub).connection
    hub.send(number, {"leave": "now"}, b"x" * (1 << 22))
    hub.hang_up(number)
    assert arrivals(line, 2)[0].message == {"leave": "now"}
    assert "closed the connection" in line.gone
    assert news(hub).why == "the driver hung up"


def test_what_goes_to_nobody_is_lost(hub):
    """Sending to a connection that is gone, or never was, is no error; nor is it after the end."""
    hub.send(5, {"task": 1})
    hub.hang_up(5)
    hub.close()
    hub.send(5, {"task": 1})
    hub.hang_up(5)


def test_large_messages(hub, worker):
    """Tens of megabytes pass in both directions at once."""
    line = worker()
    blob = bytes(range(256)) * (1 << 16)
    line.send({"hello": 1})
    number = news(hub).connection
    hub.send(number, {"setup": 1}, blob)
    line.send({"whole log": 1}, blob)
    assert arrivals(line)[0].blob == blob
    assert news(hub).frame.blob == blob


def test_nothing_is_lost_while_nobody_looks(hub, worker):
    """News wait for the driver, however many and however long, and stay in order."""
    line = worker()
    for number in range(5_000):
        line.send({"n": number})
    assert [news(hub).frame.message["n"] for _ in range(5_000)] == list(range(5_000))


def test_workers_hear_of_the_driver(opened, worker):
    """A driver that is busy with something else says so again and again."""
    line, frames, deadline = worker(opened(ping=0.05)), [], time.monotonic() + 10
    while len(frames) < 2 and time.monotonic() < deadline:
        frames += line.receive()
        time.sleep(0.01)
    assert [frame.message for frame in frames][:2] == [{"ping": True}] * 2


def test_a_worker_that_falls_silent_is_gone(opened, worker):
    """A machine that is cut off or stopped sends no end: its silence is one."""
    hub = opened(ping=0.05, silence=0.2)
    line = worker(hub)
    line.send({"hello": 1})
    news(hub)
    assert news(hub).why == "nothing was heard of it for 0.2 s"


@contextlib.contextmanager
def listened_to(hub):
    """The address of a relay to a hub, and all that passes through it."""
    heard = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as stack:

        def relay(source, target):
            with contextlib.suppress(OSError):
                while data := source.recv(1 << 16):
                    heard.extend(data)
                    target.sendall(data)
                target.shutdown(socket.SHUT_RDWR)

        def serve():
            client = stack.enter_context(listener.accept()[0])
            server = stack.enter_context(socket.create_connection(("127.0.0.1", hub.port)))
            back = threading.Thread(target=relay, args=(server, client))
            back.start()
            relay(client, server)
            back.join()

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname(), heard
        thread.join()


def test_who_listens_on_the_way_hears_nothing(hub):
    """Neither the study's secret nor what either end says can be read on the network."""
    with (
        listened_to(hub) as (address, heard),
        contextlib.closing(dial([address], hub.credentials)) as line,
    ):
        line.send({"hello": "CANARY"}, b"CANARY")
        hub.send(news(hub).connection, {"setup": "CANARY"}, b"CANARY" * 1000)
        assert arrivals(line)[0].blob == b"CANARY" * 1000
    secret = hub.credentials.secret
    assert len(heard) > 7000
    assert not [
        each for each in (b"CANARY", b"hello", secret, secret.hex().encode()) if each in heard
    ]


# ── the end ───────────────────────────────────────────────────────────────────────────────────────


def test_closing_says_goodbye(hub, worker):
    """Closing lets the last words leave, and hangs up on everybody."""
    line = worker()
    line.send({"hello": 1})
    hub.send(news(hub).connection, {"leave": "the study ended"}, b"x" * (1 << 20))
    hub.close()
    hub.close()
    assert arrivals(line, 2)[0].message == {"leave": "the study ended"}
    assert line.gone is not None


def test_closing_at_once():
    """A hub that is closed before it has begun leaves no thread and no socket."""
    for _ in range(20):
        hub = Hub("127.0.0.1", 0, queue.SimpleQueue())
        port = hub.port
        hub.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))


def test_closing_waits_for_nobody(hub, worker, stranger):
    """Neither a worker that takes nothing nor a silent stranger holds the end up."""
    line = worker()
    line.send({"hello": 1})
    hub.send(news(hub).connection, {"setup": 1}, bytes(1 << 26))
    stranger()
    began = time.monotonic()
    hub.close()
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("host", "why"),
    [("192.0.2.1", "can't listen for workers at 192.0.2.1, port any: "), ("no.invalid", "no.inv")],
)
def test_it_can_not_listen_there(host, why):
    """An address that isn't this machine's is an error that says what to give instead."""
    with pytest.raises(ExecutorError, match=r"Give host= and port= at which") as raised:
        Hub(host, 0, queue.SimpleQueue())
    assert why in str(raised.value)


def test_a_port_that_is_taken(hub):
    """So is a port at which somebody listens already."""
    with pytest.raises(ExecutorError, match=f"port {hub.port}: "):
        Hub("127.0.0.1", hub.port, queue.SimpleQueue())


# ── strangers ─────────────────────────────────────────────────────────────────────────────────────


class Canary:
    """Sings when it is unpickled."""

    sang = False

    def __reduce__(self):
        return setattr, (Canary, "sang", True)


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\nHost: driver\r\n\r\n" * 10,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(506),
        b"\xff" * 44,
        bytes(44),
        pickle.dumps(Canary(), protocol=0) * 40,
    ],
    ids=["http", "tls", "ones", "zeros", "pickle"],
)
def test_garbage_is_hung_up_on(hub, worker, stranger, caplog, said):
    """A client of another protocol is disconnected without an answer; the others go on."""
    assert is_hung_up_on(stranger(said))
    assert still_works(hub, worker)
    assert not Canary.sang
    assert caplog.records == []


def test_a_wrong_secret(hub, worker, stranger):
    """Knowing the protocol is not enough: without the secret there is no news and no answer."""
    connection = stranger()
    wire = WorkerWire(Credentials(b"guess", hub.credentials.fingerprint))
    connection.sendall(wire.outgoing())
    wire.feed(connection.recv(1 << 16))
    connection.sendall(wire.outgoing())
    with contextlib.suppress(ConnectionError):
        assert connection.recv(1 << 16) == b""
    assert still_works(hub, worker)


def test_a_session_that_was_listened_to(hub, worker, stranger):
    """Who has heard all that a worker said can't say it again."""
    said, wire = [], WorkerWire(hub.credentials)
    with stranger() as connection:
        while not wire.trusted:
            said.append(wire.outgoing())
            connection.sendall(said[-1])
            wire.feed(connection.recv(1 << 16))
        said.append(packed(wire, {"hello": "from the past"}))
        connection.sendall(said[-1])
        assert news(hub).frame.message == {"hello": "from the past"}
    assert news(hub).frame is None
    assert is_hung_up_on(stranger(b"".join(said)))
    assert still_works(hub, worker)


def test_a_connection_that_is_taken_over(hub, worker, stranger):
    """Bytes that somebody puts into a worker's connection end it, and are not looked at."""
    connection, wire = stranger(), WorkerWire(hub.credentials)
    join_by_hand(connection, wire)
    connection.sendall(packed(wire, {"hello": 1}))
    assert news(hub).frame.message == {"hello": 1}
    forged = bytearray(packed(wire, {"event": "finished"}))
    forged[-3] ^= 1
    connection.sendall(forged + packed(wire, {"event": "finished"}))
    last = news(hub)
    assert last.frame is None
    assert "breaks TLS" in last.why
    assert still_works(hub, worker)


def test_a_slow_stranger(opened, worker, stranger):
    """A client that sends a right greeting byte by byte is given no longer than others."""
    hub = opened(handshake=0.5)
    connection, began = stranger(to=hub), time.monotonic()
    with pytest.raises(ConnectionError):
        say_slowly(connection, WorkerWire(hub.credentials).outgoing() * 100)
    assert 0.4 < time.monotonic() - began < 10
    assert still_works(hub, worker)


def step_into(connection, credentials, step):
    """Begin as a worker does, and say no more after a step."""
    wire = WorkerWire(credentials)
    greeting = wire.outgoing()
    connection.sendall(greeting[: 100 if step == "half a greeting" else None])
    if step == "encrypted":
        with contextlib.suppress(WireError):
            wire.feed(connection.recv(1 << 16))
        connection.sendall(wire.outgoing())


@pytest.mark.parametrize("step", ["half a greeting", "a greeting", "encrypted"])
def test_a_handshake_that_stalls(opened, worker, stranger, step):
    """A client that stops at any step of the handshake is given no longer than others."""
    hub = opened(handshake=0.3)
    false = Credentials(hub.credentials.secret, bytes(32))
    connection, began = stranger(to=hub), time.monotonic()
    step_into(connection, false, step)
    assert is_hung_up_on(connection)
    assert 0.2 < time.monotonic() - began < 10
    assert hub.inbox.empty()
    assert still_works(hub, worker)


def test_whoever_is_known_may_take_time(opened, worker):
    """A worker that has proved who it is is not taken for a stranger later."""
    hub = opened(handshake=0.2)
    line = worker(hub)
    time.sleep(0.4)
    line.send({"hello": 1})
    assert news(hub).frame.message == {"hello": 1}


def test_a_crowd_that_says_nothing(hub, worker, stranger):
    """However many connect and are silent, a worker finds its place: the oldest of them go."""
    crowd = [stranger() for _ in range(hub.most_strangers + 20)]
    assert still_works(hub, worker)
    assert is_hung_up_on(crowd[0])
    line = worker()
    line.send({"hello": 2})
    assert news(hub).frame.message == {"hello": 2}


def test_a_crowd_of_one_kind_does_not_crowd_the_other_out(hub, worker, stranger):
    """A worker that has greeted keeps its place among the silent, and a newcomer its own."""
    connection, wire = stranger(), WorkerWire(hub.credentials)
    connection.sendall(wire.outgoing())
    wire.feed(connection.recv(1 << 16))
    _ = [stranger() for _ in range(hub.most_strangers + 20)]
    join_by_hand(connection, wire)
    connection.sendall(packed(wire, {"hello": 1}))
    assert news(hub).frame.message == {"hello": 1}
    _ = [stranger(WorkerWire(hub.credentials).outgoing()) for _ in range(hub.most_strangers + 20)]
    assert still_works(hub, worker)


def test_workers_get_in_while_strangers_come_and_come(hub, worker):
    """One that is hung up on in a flood tries again."""
    over = threading.Event()

    def flood():
        crowd = deque()
        while not over.is_set():
            with contextlib.suppress(OSError):
                crowd.append(socket.create_connection(("127.0.0.1", hub.port), timeout=1))
            if len(crowd) > hub.most_strangers:
                crowd.popleft().close()
        for each in crowd:
            each.close()

    flooding = threading.Thread(target=flood)
    flooding.start()
    try:
        for number in range(5):
            worker().send({"hello": number})
            assert news(hub).frame.message == {"hello": number}
    finally:
        over.set()
        flooding.join()


def test_who_says_much_is_read_only_as_the_driver_takes_it_in(hub, worker):
    """What one worker sends without end doesn't fill the memory; all of it arrives in the end."""
    line, megabytes = worker(), 150

    def send():
        for number in range(megabytes):
            line.send({"log": number}, bytes(1 << 20))

    sending = threading.Thread(target=send)
    sending.start()
    deadline = time.monotonic() + 10
    while hub.inbox.qsize() < 32 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.2)
    assert 32 <= hub.inbox.qsize() < 100
    for number in range(megabytes):
        each = news(hub)
        assert each.frame.message == {"log": number}
        hub.took(each)
    sending.join(10)
    assert not sending.is_alive()


CROWDED = """
import queue, resource, sys, time
from manyfit.remote.hub import Hub

resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
hub = Hub("127.0.0.1", 0, queue.SimpleQueue())
print(hub.port, flush=True)
sys.stdin.readline()
deadline = time.monotonic() + 20
while len(hub.strangers) < 12 and time.monotonic() < deadline:
    time.sleep(0.01)
files = [open(sys.argv[0]) for _ in range(40)]
print(len(files), len(hub.strangers), flush=True)
for file in files:
    file.close()
hub.close()
"""


@pytest.mark.integration
def test_a_crowd_takes_no_file_from_the_driver(tmp_path):
    """A process that may open 100 files can still open its own when 150 strangers have come."""
    script = tmp_path / "crowded.py"
    script.write_text(CROWDED)
    pipe = subprocess.PIPE
    with (
        subprocess.Popen([sys.executable, script], stdin=pipe, stdout=pipe) as driver,
        contextlib.ExitStack() as stack,
    ):
        port = int(driver.stdout.readline())
        for _ in range(150):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
        driver.stdin.write(b"\n")
        driver.stdin.flush()
        assert driver.stdout.readline().split() == [b"40", b"12"]
