"""Logs on their way home while they grow: bounded, by line, without what is secret."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyfit.remote.follow import Follower

SECRET = "correct-horse-battery-staple"
KEY = "-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEFAAS\n-----END KEY-----\n"


@pytest.fixture
def log(tmp_path):
    """A log that nobody has written to yet."""
    return tmp_path / "trial.log"


def append(log, data):
    """Write as C code does, past all of Python's streams."""
    fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(fd, data)
    os.close(fd)


def test_no_log(log):
    """A log that isn't there, or is empty, has no news and nothing in it."""
    follower = Follower(log, ())
    assert (follower.news(), follower.all()) == (b"", b"")
    log.touch()
    assert (follower.news(), follower.all()) == (b"", b"")


def test_news_are_new(log):
    """Each line is told once."""
    follower = Follower(log, ())
    append(log, b"epoch 1\n")
    assert follower.news() == b"epoch 1\n"
    assert follower.news() == b""
    append(log, b"epoch 2\nepoch 3\n")
    assert follower.news() == b"epoch 2\nepoch 3\n"
    assert follower.all() == b"epoch 1\nepoch 2\nepoch 3\n"


def test_a_line_is_told_when_it_is_whole(log):
    """A line that is still being written is withheld: half a secret can't be recognised."""
    follower = Follower(log, (SECRET,))
    append(log, b"connecting as " + SECRET[:12].encode())
    assert follower.news() == b""
    append(log, SECRET[12:].encode() + b"\nconnec")
    assert follower.news() == b"connecting as [redacted]\n"
    append(log, b"ted")
    assert follower.all() == b"connecting as [redacted]\nconnected"


def test_a_key_of_several_lines(log):
    """A secret that comes line by line is kept out line by line."""
    follower, told = Follower(log, (KEY,)), b""
    for line in KEY.splitlines(keepends=True):
        append(log, line.encode())
        told += follower.news()
    for line in KEY.split()[1:]:
        assert line.encode() not in told + follower.all()


@given(
    before=st.text("ab\n", max_size=30),
    after=st.text("ab\n", max_size=30),
    cuts=st.lists(st.integers(0, 100), max_size=6),
)
def test_no_secret_is_told_however_it_is_written(tmp_path_factory, before, after, cuts):
    """Wherever writes are cut and the log is looked at, no news has the secret or half of it."""
    log = tmp_path_factory.mktemp("follow") / "log"
    follower = Follower(log, (SECRET,))
    data, told, start = f"{before}{SECRET}{after}\n".encode(), b"", 0
    for end in [*sorted(cuts), len(data)]:
        append(log, data[start:end])
        told += follower.news()
        start = max(start, end)
    assert told == follower.all() == data.replace(SECRET.encode(), b"[redacted]")
    assert SECRET[:14].encode() not in told


def test_news_stop_after_a_megabyte(log):
    """A log that grows without end doesn't all go over the network while it grows."""
    follower, told = Follower(log, ()), 0
    append(log, b"x" * 99 + b"\n")
    for _ in range(30):
        append(log, (b"x" * 99 + b"\n") * 1000)
        told += len(follower.news())
    assert 900_000 < told <= 1 << 20


def test_a_very_long_log(log):
    """Of fifty megabytes come the beginning and the end, and how much is missing."""
    with log.open("wb") as file:
        for number in range(50):
            file.write(b"%9d\n" % number * 100_000)
        file.write(b"the end\n")
    size = log.stat().st_size
    whole = Follower(log, ()).all()
    assert size > 50_000_000
    assert len(whole) < 4.2e6
    assert whole.startswith(b"        0\n")
    assert whole.endswith(b"       49\nthe end\n")
    head, _, tail = whole.partition(b"\n... ")
    left_out, _, tail = tail.partition(b" bytes left out ...\n")
    assert len(head) + int(left_out) + len(tail) == size


@pytest.mark.parametrize("shift", range(0, len(SECRET), 3))
def test_no_half_secret_where_a_long_log_is_cut(log, shift):
    """What is left of a secret at the edges of the gap is left out as well."""
    with log.open("wb") as file:
        file.write(b"." * shift + SECRET.encode() * 200_000)
    whole = Follower(log, (SECRET,)).all()
    assert len(SECRET) * 200_000 > 5e6
    head, _, tail = whole.partition(b"\n... ")
    _, _, tail = tail.partition(b" left out ...\n")
    for part in (head, tail):
        assert set(part.replace(b"[redacted]", b"")) <= set(b".[redacted]")
        assert SECRET[:6].encode() not in part
        assert SECRET[-6:].encode() not in part


def test_bytes_of_no_encoding(log):
    """What is no text comes home as it is."""
    append(log, b"\xff\x00\xfe" + SECRET.encode() + b"\xff\n")
    assert Follower(log, (SECRET,)).news() == b"\xff\x00\xfe[redacted]\xff\n"
