"""Frames between driver and worker, under the hands of who cuts, bends, forges and repeats them."""

import contextlib
import json
import pickle
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyfit.remote.wire import Frame, Wire, WireError

HEAD = struct.Struct(">IQ32s")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
frames = st.builds(Frame, st.dictionaries(st.text(), json_values, max_size=4), st.binary())


def pair(secret=b"secret", other=b"secret"):
    """A driver's end and a worker's that have got to know each other."""
    driver, worker = Wire(secret, "driver"), Wire(other, "worker")
    for _ in range(2):
        said = driver.outgoing(), worker.outgoing()
        worker.feed(said[0])
        driver.feed(said[1])
    return driver, worker


def frame(message, blob=b"", signature=bytes(32)):
    """A frame as a stranger makes it."""
    text = message if isinstance(message, bytes) else json.dumps(message).encode()
    return HEAD.pack(len(text), len(blob), signature) + text + blob


# ── what arrives ──────────────────────────────────────────────────────────────────────────────────


@given(sent=st.lists(frames, max_size=5), data=st.data())
def test_round_trip_however_the_stream_is_cut(sent, data):
    """What was sent arrives, in order and once, in whatever pieces the network brings it."""
    driver, worker = pair()
    stream = b"".join(driver.pack(*each) for each in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    got = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        got += worker.feed(stream[start:end])
    assert got == sent


@given(size=st.integers(1, 40))
def test_getting_to_know_each_other_however_the_stream_is_cut(size):
    """Greetings and proofs may arrive byte by byte as well."""
    driver, worker = Wire(b"secret", "driver"), Wire(b"secret", "worker")
    for _ in range(2):
        to_worker, to_driver = driver.outgoing(), worker.outgoing()
        for wire, said in ((worker, to_worker), (driver, to_driver)):
            for start in range(0, len(said), size):
                assert wire.feed(said[start : start + size]) == []
    assert driver.trusted
    assert worker.trusted


def test_the_first_frame_may_come_with_the_proof():
    """Whoever is trusted may send at once: what comes in one piece with the proof is not lost."""
    driver, worker = Wire(b"secret", "driver"), Wire(b"secret", "worker")
    greeting = worker.outgoing()
    worker.feed(driver.outgoing())
    driver.feed(greeting)
    worker.feed(driver.outgoing())
    assert worker.trusted
    assert driver.feed(worker.outgoing() + worker.pack({"hello": 1})) == [Frame({"hello": 1})]


# ── strangers ─────────────────────────────────────────────────────────────────────────────────────


def test_another_secret_is_found_out_by_both():
    """Neither end trusts one that knows another secret."""
    driver, worker = Wire(b"secret", "driver"), Wire(b"guess", "worker")
    said = driver.outgoing(), worker.outgoing()
    worker.feed(said[0])
    driver.feed(said[1])
    for wire, proof in ((driver, worker.outgoing()), (worker, driver.outgoing())):
        with pytest.raises(WireError, match="doesn't know this study's secret"):
            wire.feed(proof)
        assert not wire.trusted


def test_nothing_is_packed_for_a_stranger():
    """Before the other end has proved who it is, nothing can be sent to it."""
    with pytest.raises(WireError, match="has not proved who it is"):
        Wire(b"secret", "driver").pack({"setup": "all the secrets"})


def test_a_proof_that_is_echoed_proves_nothing():
    """Who sends back what it was sent is no worker."""
    driver = Wire(b"secret", "driver")
    driver.feed(driver.outgoing())
    with pytest.raises(WireError, match="doesn't know this study's secret"):
        driver.feed(driver.outgoing())


def test_a_recorded_session_can_not_be_played_again():
    """What a worker once sent is worth nothing on the next connection."""
    driver, worker = Wire(b"secret", "driver"), Wire(b"secret", "worker")
    recorded = [worker.outgoing()]
    driver.feed(recorded[0])
    worker.feed(driver.outgoing())
    recorded += [worker.outgoing(), worker.pack({"event": "finished"})]
    again = Wire(b"secret", "driver")
    again.feed(recorded[0])
    with pytest.raises(WireError, match="doesn't know"):
        again.feed(b"".join(recorded[1:]))


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (
            b"GET / HTTP/1.1\r\nHost: driver\r\nAccept: text/html, application/json, */*\r\n\r\n",
            "larger than it may be",
        ),
        (HEAD.pack(257, 0, bytes(32)), "larger than it may be"),
        (HEAD.pack(2**32 - 1, 0, bytes(32)), "larger than it may be"),
        (HEAD.pack(2, 1, bytes(32)), "larger than it may be"),
        (frame(b"not JSON"), "not JSON"),
        (frame(b"\xff\xfe"), "not JSON"),
        (frame(b"[" * 256), "not JSON"),
        (frame(b"9" * 250), "no JSON object"),
        (frame([1, 2]), "no JSON object"),
        (frame({}), "no Manyfit"),
        (frame({"proof": "before the greeting"}), "no Manyfit"),
        (frame({"manyfit": 1, "nonce": 7}), "no Manyfit"),
        (frame({"manyfit": 1, "nonce": "\ud800"}), "no Manyfit"),
        (frame({"manyfit": 2, "nonce": "x"}), "speaks version 2, not 1"),
        (frame({"manyfit": {"deep": []}, "nonce": "x"}), "speaks version"),
        (frame({"manyfit": 1, "nonce": "x"}) * 2, "no Manyfit"),
        (frame({"manyfit": 1, "nonce": "x"}) + frame({"proof": "\ud800"}), "no Manyfit"),
        (frame({"manyfit": 1, "nonce": "x"}) + frame({"proof": ""}), "doesn't know"),
        (frame({"manyfit": 1, "nonce": "x"}) + frame({"proof": None}), "no Manyfit"),
    ],
)
def test_what_strangers_send(said, why):
    """Whatever it is, it is refused in one way, and nobody is trusted for it."""
    driver = Wire(b"secret", "driver")
    with pytest.raises(WireError, match=why):
        driver.feed(said)
    assert not driver.trusted


@given(said=st.lists(st.binary(max_size=400), max_size=4))
def test_noise_is_refused_or_waited_for(said):
    """No bytes at all raise anything else, or make a message."""
    driver = Wire(b"secret", "driver")
    with contextlib.suppress(WireError):
        assert [driver.feed(piece) for piece in said] == [[]] * len(said)
    assert not driver.trusted


class Canary:
    """Sings when it is unpickled."""

    sang = False

    def __reduce__(self):
        return setattr, (Canary, "sang", True)


@pytest.mark.parametrize("pack", [lambda data: data, lambda data: frame(b"{}", data), frame])
def test_nothing_is_unpickled(pack):
    """A pickle of a stranger's stays a string of bytes, however it is wrapped."""
    with pytest.raises(WireError):
        Wire(b"secret", "driver").feed(pack(pickle.dumps(Canary(), protocol=0) * 40))
    assert not Canary.sang


# ── between two that know each other ──────────────────────────────────────────────────────────────


@given(sent=frames, data=st.data())
def test_one_bent_bit_is_found(sent, data):
    """A frame of which any bit has changed is refused, or waits for an end that never comes."""
    driver, worker = pair()
    stream = bytearray(driver.pack(*sent))
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
    sent = [driver.pack({"task": number}) for number in range(3)]
    with pytest.raises(WireError, match="signature is wrong"):
        worker.feed(b"".join(sent[number] for number in order))


def test_a_frame_does_not_travel_back():
    """What one end has said can't be given to it as the other's word."""
    driver, _ = pair()
    with pytest.raises(WireError, match="signature is wrong"):
        driver.feed(driver.pack({"stop": 1}))


def test_the_border_between_message_and_blob_is_signed():
    """Bytes can't be moved from the blob into the message."""
    driver, worker = pair()
    stream = driver.pack({}, b"  ")
    _, _, signature = HEAD.unpack_from(stream)
    with pytest.raises(WireError, match="signature is wrong"):
        worker.feed(HEAD.pack(4, 0, signature) + stream[HEAD.size :])


def test_lengths_nobody_needs_are_refused():
    """Nothing is waited for that would fill the memory."""
    _, worker = pair()
    with pytest.raises(WireError, match="larger than it may be"):
        worker.feed(HEAD.pack(2**32 - 1, 2**63, bytes(32)))


def test_what_a_worker_says_is_small():
    """A driver sends data; what comes back is at most a log, and no more is waited for."""
    driver, worker = pair()
    worker.feed(HEAD.pack(4, 1 << 33, bytes(32)))
    with pytest.raises(WireError, match="larger than it may be"):
        driver.feed(HEAD.pack(4, 1 << 26, bytes(32)))


def test_a_large_blob():
    """Tens of megabytes arrive as they were, in pieces of the size that sockets give."""
    driver, worker = pair()
    blob = bytes(range(256)) * (1 << 17)
    stream, got = memoryview(driver.pack({"setup": 1}, blob)), []
    for start in range(0, len(stream), 1 << 18):
        got += worker.feed(bytes(stream[start : start + (1 << 18)]))
    assert got == [Frame({"setup": 1}, blob)]
