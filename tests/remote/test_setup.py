"""What a worker is given, packed and unpacked."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyfit.remote.certificate import certified_context
from manyfit.remote.setup import SharedItem, WorkerSetup, unpacked
from manyfit.remote.wire import Credentials, DriverWire, WorkerWire
from manyfit.worker.work import Limits

CERTIFICATE = certified_context()

names = st.text(max_size=10)
texts = st.dictionaries(names, names, max_size=3)
shared = st.builds(
    SharedItem,
    st.dictionaries(names, st.integers() | names, max_size=3),
    st.sampled_from(["inline", "broadcast", "storage"]),
    st.none() | names,
    st.dictionaries(names, st.binary(max_size=50), max_size=3),
)
limits = st.builds(
    Limits,
    st.none() | st.floats(0.001, 1e6),
    st.none() | st.integers(1, 1 << 50),
    st.integers(1, 64),
)
kits = st.builds(
    WorkerSetup,
    names,
    names,
    st.binary(max_size=100),
    st.binary(max_size=100),
    limits,
    texts,
    texts,
    st.lists(shared, max_size=3).map(tuple),
)


def sent(message, blob):
    """The same at the other end of a connection."""
    context, fingerprint = CERTIFICATE
    driver, worker = DriverWire(context, b"x"), WorkerWire(Credentials(b"x", fingerprint))
    while not worker.trusted:
        driver.feed(worker.outgoing())
        worker.feed(driver.outgoing())
    (frame,) = worker.feed(b"".join(driver.pack(message, blob)))
    return frame


@given(setup=kits)
def test_round_trip(setup):
    """A setup arrives as it was packed, whatever is in it or missing from it."""
    assert unpacked(*sent(*setup.packed())) == setup


def test_contents_travel_as_bytes():
    """Work, code and data are not blown up into text, and nothing of them is unpickled."""
    data = pickle.dumps("work" * 10_000)
    message, blob = WorkerSetup(
        "s", "t", data, b"code", shared=(SharedItem({}, "inline", None, {"x": data}),)
    ).packed()
    assert blob == data + b"code" + data
    assert len(str(message)) < 400


@pytest.mark.parametrize("route", ["broadcast", "storage"])
def test_data_on_another_way_is_not_in_it(route):
    """Of data that come by another route, only the manifest is packed."""
    setup = WorkerSetup(
        "s", "t", b"", shared=(SharedItem({"digest": "d"}, route, "s3://bucket/data"),)
    )
    assert setup.packed()[1] == b""
    assert unpacked(*setup.packed()).shared[0].url == "s3://bucket/data"


def test_secrets_are_not_shown():
    """Who prints a setup, as tracebacks with local variables do, sees no secret."""
    assert "hunter2-hunter2" not in repr(
        WorkerSetup("s", "t", b"", secrets={"TOKEN": "hunter2-hunter2"})
    )
