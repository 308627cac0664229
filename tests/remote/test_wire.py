"""What crosses the network between driver and worker: cut, bent, forged, repeated, overheard."""

import contextlib
import json
import pickle
import ssl
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyfit.remote.certificate import certified_context
from manyfit.remote.wire import Credentials, DriverWire, Frame, WireError, WorkerWire

HEAD = struct.Struct(">IQ")
SECRET = b"the secret of this study"
CONTEXT, FINGERPRINT = certified_context()

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
frames = st.builds(Frame, st.dictionaries(st.text(), json_values, max_size=4), st.binary())


def driver_end():
    return DriverWire(CONTEXT, SECRET)


def worker_end(secret=SECRET, fingerprint=FINGERPRINT):
    return WorkerWire(Credentials(secret, fingerprint))


def pair():
    """A driver's end and a worker's that have got to know each other."""
    driver, worker = driver_end(), worker_end()
    while not (driver.trusted and worker.trusted):
        driver.feed(worker.outgoing())
        worker.feed(driver.outgoing())
    return driver, worker


def packed(wire, message, blob=b""):
    return b"".join(wire.pack(message, blob))


def frame(message, blob=b""):
    """A frame as a stranger makes it."""
    text = message if isinstance(message, bytes) else json.dumps(message).encode()
    return HEAD.pack(len(text), len(blob)) + text + blob


def careless_context():
    """One of a client that takes any certificate for good."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class Stranger:
    """Speaks TLS to one end, and inside it what a test says."""

    def __init__(self, end, context=None):
        self.end = end
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = context or careless_context()
        self.tls = context.wrap_bio(
            self._in, self._out, server_side=context.protocol == ssl.PROTOCOL_TLS_SERVER
        )

    def shake_hands(self):
        while True:
            self._in.write(self.end.outgoing())
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.end.feed(self._out.read())
            else:
                return self

    def say(self, data):
        """Say something inside, or None: that there will be no more."""
        if data is None:
            with contextlib.suppress(ssl.SSLWantReadError):
                self.tls.unwrap()
        else:
            self.tls.write(data)
        return self.end.feed(self._out.read())

    def heard(self):
        """All that the end has said inside."""
        self._in.write(self.end.outgoing())
        with contextlib.suppress(ssl.SSLWantReadError):
            return self.tls.read(1 << 16)
        return b""


# ── what arrives ──────────────────────────────────────────────────────────────────────────────────


@given(sent=st.lists(frames, max_size=5), data=st.data())
def test_round_trip_however_the_stream_is_cut(sent, data):
    """What was sent arrives, in order and once, in whatever pieces the network brings it."""
    driver, worker = pair()
    stream = b"".join(packed(driver, *each) for each in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    got = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        got += worker.feed(stream[start:end])
    assert got == sent


@given(size=st.integers(1, 40))
def test_getting_to_know_each_other_however_the_stream_is_cut(size):
    """All that the two say first may arrive byte by byte as well."""
    driver, worker = driver_end(), worker_end()
    for _ in range(2):
        for one, other in ((worker, driver), (driver, worker)):
            said = one.outgoing()
            for start in range(0, len(said), size):
                assert other.feed(said[start : start + size]) == []
    assert driver.trusted
    assert worker.trusted


def test_the_first_frame_may_come_with_the_answer():
    """A trusted end may send at once: data in one piece with the answer are not lost."""
    driver, worker = driver_end(), worker_end()
    driver.feed(worker.outgoing())
    worker.feed(driver.outgoing())
    driver.feed(worker.outgoing())
    assert driver.trusted
    assert worker.feed(driver.outgoing() + packed(driver, {"task": 1})) == [Frame({"task": 1})]


def test_it_is_the_newest_tls_and_each_connection_has_its_own_keys():
    """TLS 1.3 or nothing, and the same words are other bytes on each connection."""
    older = careless_context()
    older.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(WireError, match="UNSUPPORTED_PROTOCOL"):
        Stranger(driver_end(), older).shake_hands()
    assert len({packed(pair()[0], {"task": 1}) for _ in range(3)}) == 3


# ── strangers ─────────────────────────────────────────────────────────────────────────────────────


def test_a_wrong_secret_is_found_out():
    """The driver trusts none who doesn't know the secret, and tells it nothing."""
    driver, worker = driver_end(), worker_end(b"guess")
    driver.feed(worker.outgoing())
    worker.feed(driver.outgoing())
    with pytest.raises(WireError, match="doesn't know this study's secret"):
        driver.feed(worker.outgoing())
    assert driver.outgoing() == b""
    assert not driver.trusted


@pytest.mark.parametrize(
    "fingerprint",
    [certified_context()[1], FINGERPRINT[:-1], b""],
    ids=["another's", "cut off", "none"],
)
def test_another_certificate_is_found_out(fingerprint):
    """A worker says nothing at all to a driver that isn't its own."""
    driver, worker = driver_end(), worker_end(fingerprint=fingerprint)
    driver.feed(worker.outgoing())
    with pytest.raises(WireError, match="have the certificate"):
        worker.feed(driver.outgoing())
    stranger = Stranger(worker_end(), certified_context()[0])
    with pytest.raises(WireError, match="have the certificate"):
        stranger.shake_hands()
    assert not worker.trusted
    assert SECRET.hex().encode() not in stranger.heard()


def test_nothing_is_packed_for_a_stranger():
    """Before the other end has proved who it is, nothing can be sent to it."""
    for wire in (driver_end(), worker_end(), Stranger(driver_end()).shake_hands().end):
        with pytest.raises(WireError, match="has not proved who it is"):
            wire.pack({"setup": "all the secrets"})


def test_nothing_can_be_read_on_the_way():
    """Neither the secret nor a message is among the bytes that cross the network."""
    driver, worker = driver_end(), worker_end()
    crossed = b""
    while not (driver.trusted and worker.trusted):
        for one, other in ((worker, driver), (driver, worker)):
            said = one.outgoing()
            crossed += said
            other.feed(said)
    crossed += packed(driver, {"setup": "CANARY"}, b"CANARY") + packed(worker, {"x": "CANARY"})
    for canary in (SECRET, SECRET.hex().encode(), b"CANARY", b"manyfit", b"setup"):
        assert canary not in crossed


def test_a_recorded_session_can_not_be_played_again():
    """What a worker once sent is worth nothing on the next connection."""
    driver, worker = driver_end(), worker_end()
    recorded = [worker.outgoing()]
    driver.feed(recorded[0])
    worker.feed(driver.outgoing())
    recorded.append(worker.outgoing())
    driver.feed(recorded[1])
    assert driver.trusted
    again = driver_end()
    again.feed(recorded[0])
    with pytest.raises(WireError, match="breaks TLS"):
        again.feed(recorded[1])
    assert not again.trusted


def test_a_driver_of_another_version():
    """A worker says which version the driver speaks, and which one it does itself."""
    driver = Stranger(worker_end(), CONTEXT).shake_hands()
    with pytest.raises(WireError, match="the driver speaks version 3, not 2"):
        driver.say(frame({"manyfit": 3}))


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"GET / HTTP/1.1\r\nHost: driver\r\nAccept: text/html\r\n\r\n", "HTTP_REQUEST"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "breaks TLS"),
        (bytes(44), "breaks TLS"),
        (b"\xff" * 44, "breaks TLS"),
        (b"\x16\x03\x01\xff\xff" + bytes(500), "breaks TLS"),
        (b"\x16\x03\x01\x20\x00\x01\x00\x1f\xfc\x03\x03" + bytes(9000), "says too much"),
    ],
    ids=["http", "ssh", "zeros", "ones", "oversize record", "without end"],
)
def test_what_strangers_send_who_speak_no_tls(said, why):
    """Whatever it is, it is refused, and nobody is trusted for it."""
    driver = driver_end()
    with pytest.raises(WireError, match=why):
        driver.feed(said)
    assert not driver.trusted


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"GET / HTTP/1.1\r\nHost: driver\r\n\r\n", "larger than it may be"),
        (HEAD.pack(257, 0), "larger than it may be"),
        (HEAD.pack(2**32 - 1, 0), "larger than it may be"),
        (HEAD.pack(2, 1), "larger than it may be"),
        (frame(b"not JSON"), "not JSON"),
        (frame(b"\xff\xfe"), "not JSON"),
        (frame(b"[" * 256), "not JSON"),
        (frame(b"9" * 250), "no JSON object"),
        (frame([1, 2]), "no JSON object"),
        (frame({}), "no Manyfit"),
        (frame({"hello": {"name": "a", "host": "b"}}), "no Manyfit"),
        (frame({"manyfit": 2}), "no Manyfit"),
        (frame({"secret": SECRET.hex()}), "no Manyfit"),
        (frame({"manyfit": {"deep": []}, "secret": SECRET.hex()}), "no Manyfit"),
        (frame({"manyfit": 2, "secret": 7}), "no Manyfit"),
        (frame({"manyfit": 2, "secret": "\ud800"}), "no Manyfit"),
        (frame({"manyfit": 2, "secret": ""}), "doesn't know"),
        (frame({"manyfit": 2, "secret": SECRET.hex()[:-1]}), "doesn't know"),
        (None, "has ended TLS"),
    ],
)
def test_what_strangers_send_who_speak_tls(said, why):
    """Inside it, all but the secret is refused in one way, and is not answered."""
    driver = driver_end()
    stranger = Stranger(driver).shake_hands()
    with pytest.raises(WireError, match=why):
        stranger.say(said)
    assert not driver.trusted
    assert stranger.heard() == b""


@given(said=st.lists(st.binary(max_size=400), max_size=4), data=st.data())
def test_noise_is_refused_or_waited_for(said, data):
    """No bytes at all raise anything else, or make a message: as they are, or inside TLS."""
    noise = b"".join(said)
    stranger = Stranger(driver_end()).shake_hands()
    for feed in (driver_end().feed, worker_end().feed, stranger.say):
        with contextlib.suppress(WireError):
            assert [feed(piece) for piece in said if piece] == [[]] * sum(map(bool, said))
    hello = bytearray(worker_end().outgoing())
    hello[data.draw(st.integers(0, len(hello) - 1))] ^= data.draw(st.integers(1, 255))
    driver = driver_end()
    with contextlib.suppress(WireError):
        assert driver.feed(bytes(hello) + noise) == []
    assert not driver.trusted


class Canary:
    """Sings when it is unpickled."""

    sang = False

    def __reduce__(self):
        return setattr, (Canary, "sang", True)


@pytest.mark.parametrize("pack", [lambda data: data, lambda data: frame(b"{}", data), frame])
def test_nothing_is_unpickled(pack):
    """A pickle of a stranger's stays a string of bytes, however it is wrapped."""
    said = pack(pickle.dumps(Canary(), protocol=0) * 40)
    for feed in (driver_end().feed, Stranger(driver_end()).shake_hands().say):
        with pytest.raises(WireError):
            feed(said)
    assert not Canary.sang


# ── between two that know each other ──────────────────────────────────────────────────────────────


@given(sent=frames, data=st.data())
def test_one_bent_bit_is_found(sent, data):
    """A frame of which any bit has changed is refused, or waits for an end that never comes."""
    driver, worker = pair()
    stream = bytearray(packed(driver, *sent))
    bit = data.draw(st.integers(0, 8 * len(stream) - 1))
    stream[bit // 8] ^= 1 << bit % 8
    with contextlib.suppress(WireError):
        assert worker.feed(bytes(stream)) == []


@pytest.mark.parametrize(
    "order", [[0, 0], [1], [0, 2], [1, 0]], ids=["repeated", "missing", "left out", "swapped"]
)
def test_frames_are_counted(order):
    """A frame that comes again, too early, or in the place of another is refused."""
    driver, worker = pair()
    sent = [packed(driver, {"task": number}) for number in range(3)]
    with pytest.raises(WireError, match="breaks TLS"):
        worker.feed(b"".join(sent[number] for number in order))


def test_a_frame_does_not_travel_back():
    """What one end has said can't be given to it as the other's word."""
    driver, _ = pair()
    with pytest.raises(WireError, match="breaks TLS"):
        driver.feed(packed(driver, {"stop": 1}))


def test_a_frame_of_another_connection():
    """What was said to one worker can't be said to another."""
    (driver, _), (_, other) = pair(), pair()
    with pytest.raises(WireError, match="breaks TLS"):
        other.feed(packed(driver, {"stop": 1}))


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (HEAD.pack(2**32 - 1, 2**63), "larger than it may be"),
        (HEAD.pack(4, 1 << 26), "larger than it may be"),
        (frame(b"not JSON"), "not JSON"),
        (frame([1]), "no JSON object"),
    ],
)
def test_a_worker_that_is_trusted_is_no_driver(said, why):
    """What comes back is at most a log; nothing is waited for that would fill the memory."""
    driver = driver_end()
    stranger = Stranger(driver).shake_hands()
    stranger.say(frame({"manyfit": 2, "secret": SECRET.hex()}))
    assert driver.trusted
    assert stranger.say(frame({"hello": 1})) == [Frame({"hello": 1})]
    with pytest.raises(WireError, match=why):
        stranger.say(said)


def test_a_large_blob():
    """Tens of megabytes arrive as they were, in pieces of the size that sockets give."""
    driver, worker = pair()
    blob = bytes(range(256)) * (1 << 17)
    stream, got = memoryview(packed(driver, {"setup": 1}, blob)), []
    for start in range(0, len(stream), 1 << 18):
        got += worker.feed(bytes(stream[start : start + (1 << 18)]))
    assert got == [Frame({"setup": 1}, blob)]
