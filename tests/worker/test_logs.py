"""A log as a file: redacted whatever is in it, gone when empty, quoted when its worker died."""

import os

from hypothesis import given
from hypothesis import strategies as st

from manyfit.worker.logs import finalise, redact_bytes, tail


def test_a_log_without_secrets_is_left_alone(tmp_path):
    """The very file stays when there is nothing to redact, in whatever encoding it is."""
    log = tmp_path / "log"
    log.write_bytes(b"caf\xe9 \xff\xfe\x00 loss: 0.5\n")
    before = log.stat().st_ino
    finalise(log, ())
    assert log.stat().st_ino == before
    assert log.read_bytes() == b"caf\xe9 \xff\xfe\x00 loss: 0.5\n"


def test_secrets_are_redacted_wherever_they_are(tmp_path):
    """Known values and shapes go, across what was written in pieces, and amid broken encodings."""
    log = tmp_path / "log"
    filler = b"x" * 99 + b"\n"
    log.write_bytes(
        filler * 30_000 + b"\xffpassword=" + b"hunter2\xfe\n" + filler * 30_000 + b"a s3cr3t!\n"
    )
    finalise(log, ["s3cr3t!"])
    text = log.read_bytes()
    assert b"hunter2" not in text
    assert b"s3cr3t!" not in text
    assert text.count(filler) == 60_000
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_the_environment_is_the_default(tmp_path, monkeypatch):
    """Without being told what is secret, it asks the environment."""
    monkeypatch.setenv("MY_PASSWORD", "correct horse")
    log = tmp_path / "log"
    log.write_text("a correct horse\n")
    finalise(log)
    assert log.read_text() == "a [redacted]\n"


def test_an_empty_or_missing_log(tmp_path):
    """An empty file is deleted; one that isn't there is no error."""
    log = tmp_path / "log"
    log.touch()
    finalise(log, ())
    finalise(log, ())
    assert not log.exists()
    assert tail(log) == ""


def test_tail_is_what_was_said_last(tmp_path):
    """The last lines that say anything, on one line and not too long."""
    log = tmp_path / "log"
    log.write_bytes(b"first\n" * 10_000 + b"a\r50%\r100%\n\n  b  \n\xff\n\n")
    assert tail(log) == "100% | b | \ufffd"
    log.write_text("x" * 10_000)
    assert len(tail(log)) == 300


def test_tail_of_a_crash(tmp_path):
    """Of a fatal error its headline is quoted, with what was said before it."""
    log = tmp_path / "log"
    log.write_text(
        "epoch 3\nFatal Python error: Segmentation fault\n\nCurrent thread 0x00007f (most recent "
        "call first):\n  File a\n  File b\n\nExtension modules: numpy (total: 1)\n"
    )
    assert tail(log) == "epoch 3 | Fatal Python error: Segmentation fault"


@given(st.binary())
def test_bytes_that_need_no_redaction_stay_equal(data):
    """Output in any encoding passes through unharmed."""
    assert redact_bytes(data, ()) == data or b"[redacted]" in redact_bytes(data, ())


def test_a_log_is_replaced_not_edited(tmp_path):
    """Who has the old log open keeps reading the old one: there is no half-redacted file."""
    log = tmp_path / "log"
    log.write_text("password=hunter2\n")
    fd = os.open(log, os.O_RDONLY)
    finalise(log, ())
    assert os.read(fd, 100) == b"password=hunter2\n"
    os.close(fd)
    assert log.read_text() == "password=[redacted]\n"
