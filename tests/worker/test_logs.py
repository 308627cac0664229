"""A log as a file: redacted whatever is in it, of a bounded length, gone when empty."""

import os
import re

from hypothesis import given
from hypothesis import strategies as st

from manyfit.worker.logs import (
    MOST,
    extend_log,
    finalise,
    is_too_long,
    redact_bytes,
    shorten,
    write_log,
)


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
        filler * 20_000 + b"\xffpassword=" + b"hunter2\xfe\n" + filler * 20_000 + b"a s3cr3t!\n"
    )
    finalise(log, ["s3cr3t!"])
    text = log.read_bytes()
    assert b"hunter2" not in text
    assert b"s3cr3t!" not in text
    assert text.count(filler) == 40_000
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


def numbered(lines):
    return b"".join(b"%09d\n" % number for number in lines)


def test_a_log_that_grows_without_end(tmp_path):
    """It is shortened while its writer goes on: the first, the last, and how much is missing."""
    log = tmp_path / "log"
    written, step = 0, 300_000
    with log.open("ab", 0) as writer:
        for round_ in range(6):
            writer.write(numbered(range(round_ * step, (round_ + 1) * step)))
            written += 10 * step
            if is_too_long(log):
                shorten(log, ())
            assert log.stat().st_size <= 3 * MOST
    finalise(log, ())
    text = log.read_bytes()
    head, left_out, tail = re.split(rb"\n\.\.\. (\d+) bytes left out \.\.\.\n", text)
    assert len(text) <= MOST
    assert len(head) + int(left_out) + len(tail) == written
    assert head.startswith(numbered(range(1000)))
    assert tail.endswith(numbered(range(6 * step - 1000, 6 * step)))


def test_what_is_written_while_a_log_is_shortened(tmp_path, monkeypatch):
    """It stays, and counts as long as all that was before it."""
    log = tmp_path / "log"
    with log.open("ab", 0) as writer:
        writer.write(numbered(range(1_000_000)))

        def slow(data, secrets):
            writer.write(b"more\n")
            return redact_bytes(data, secrets)

        monkeypatch.setattr("manyfit.worker.logs.redact_bytes", slow)
        shorten(log, ())
        writer.write(b"the end\n")
    text = log.read_bytes()
    head, left_out, tail = re.split(rb"\n\.\.\. (\d+) bytes left out \.\.\.\n", text)
    assert head.startswith(numbered(range(1000)))
    assert tail.endswith(b"000999999\nmore\nmore\nthe end\n")
    assert len(head) + int(left_out) + len(tail) == 10_000_000 + len(b"more\nmore\nthe end\n")


def test_a_disk_without_room(tmp_path, caplog):
    """What can't be written is left out, and said to be; nothing is raised, no half file stays."""
    (tmp_path / "logs").touch()
    write_log(tmp_path, 3, 1, b"epoch 1")
    extend_log(tmp_path, 3, 1, b"epoch 2")
    assert "the log of trial 3 can't be kept" in caplog.text
    (tmp_path / "logs").unlink()
    (tmp_path / "logs" / "00003-1.log").mkdir(parents=True)
    write_log(tmp_path, 3, 1, b"epoch 1")
    assert [path.name for path in (tmp_path / "logs").iterdir()] == ["00003-1.log"]


def test_a_log_in_a_folder_that_takes_no_more_files(tmp_path, monkeypatch):
    """It is redacted all the same, in the place that it has."""
    log = tmp_path / "log"
    log.write_text("password=hunter2\n")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.NamedTemporaryFile", full)
    finalise(log, ())
    assert log.read_text() == "password=[redacted]\n"


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
