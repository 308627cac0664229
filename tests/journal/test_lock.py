"""One driver per study."""

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from manyfit.errors import JournalError, StudyLockedError
from manyfit.journal.lock import StudyLock

HOLD = """
import sys
from pathlib import Path
from manyfit.journal.lock import StudyLock
lock = StudyLock(Path(sys.argv[1]))
{more}
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the lock of a study lies."""
    folder = tmp_path / "fashion"
    folder.mkdir()
    return folder / "lock"


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Collect the processes of a test, and end them."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


def hold(path: Path, processes: list[subprocess.Popen[bytes]], more: str = "") -> int:
    """Have another process take the lock and keep it; return its id."""
    code = HOLD.format(more=more)
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    processes.append(process)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process.pid


def test_another_process_is_kept_out(path: Path, processes: list[subprocess.Popen[bytes]]) -> None:
    """The error of the second driver names the study, the first one's process and what to do."""
    pid = hold(path, processes)

    with pytest.raises(StudyLockedError) as caught:
        StudyLock(path)

    message = str(caught.value)
    assert f"study 'fashion' ({path.parent}) is held by process {pid} on this machine" in message
    assert f"kill {pid}" in message


def test_the_same_process_is_kept_out(path: Path) -> None:
    """A second Study in one process is refused like any other, and told to close the first."""
    lock = StudyLock(path)

    with pytest.raises(StudyLockedError, match=r"this process itself since .* close the Study"):
        StudyLock(path)
    lock.release()


def test_deleting_the_file_lets_nobody_in(path: Path) -> None:
    """Removing the file, as if it were stale, doesn't take the lock away."""
    lock = StudyLock(path)
    path.unlink()

    with pytest.raises(StudyLockedError, match="held by another driver"):
        StudyLock(path)
    lock.release()
    StudyLock(path).release()


def test_release_lets_the_next_one_in(path: Path) -> None:
    """After a release the study is free, and the file names nobody."""
    StudyLock(path).release()

    assert path.read_bytes() == b""
    StudyLock(path).release()


def test_releasing_twice_leaves_the_next_holder_alone(path: Path) -> None:
    """A second release doesn't take the lock away from its next holder."""
    first = StudyLock(path)
    first.release()
    second = StudyLock(path)
    first.release()

    with pytest.raises(StudyLockedError):
        StudyLock(path)
    second.release()


def test_it_says_who_holds_it(path: Path) -> None:
    """While it is held, the file names process, machine and time, for people to read."""
    lock = StudyLock(path)
    holder = json.loads(path.read_text())
    lock.release()

    assert (holder["pid"], holder["host"]) == (os.getpid(), socket.gethostname())
    assert holder["since"].startswith("20")


def test_death_releases_it(path: Path, processes: list[subprocess.Popen[bytes]]) -> None:
    """After a SIGKILL of the holder the study is free at once, with nothing to clean up."""
    pid = hold(path, processes)
    os.kill(pid, signal.SIGKILL)
    processes[0].wait()

    StudyLock(path).release()


@pytest.mark.parametrize(
    "more",
    [
        "import os, time\nif os.fork() == 0: os.close(1); time.sleep(60)",
        "import os, time\nif os.fork() == 0: lock.release(); os.close(1); time.sleep(60)",
        "from subprocess import *\nPopen(['sleep', '60'], close_fds=False, stdout=DEVNULL)",
    ],
    ids=["forked", "forked-and-released", "executed"],
)
def test_a_child_does_not_inherit_it(
    path: Path, processes: list[subprocess.Popen[bytes]], more: str
) -> None:
    """A child that outlives the holder, forked or executed, doesn't keep the study locked."""
    pid = hold(path, processes, more)
    children = Path(f"/proc/{pid}/task/{pid}/children")
    orphans = [int(child) for child in children.read_text().split()] if children.exists() else []
    try:
        with pytest.raises(StudyLockedError):
            StudyLock(path)
        os.kill(pid, signal.SIGKILL)
        processes[0].wait()

        assert can_be_had(path)
    finally:
        for orphan in orphans:
            os.kill(orphan, signal.SIGKILL)


def test_a_holder_on_another_machine_is_named(path: Path) -> None:
    """On a shared folder the message says which machine to look at."""
    lock = StudyLock(path)
    path.write_text('{"pid": 7, "host": "node-3", "since": "2030-01-01 10:00:00+00:00"}')

    with pytest.raises(StudyLockedError, match="process 7 on node-3 since 2030-01-01 10:00:00"):
        StudyLock(path)
    lock.release()


def can_be_had(path: Path, within: float = 5.0) -> bool:
    """Whether it is free soon: a child that has only just been forked needs a moment."""
    deadline = time.monotonic() + within
    while True:
        try:
            StudyLock(path).release()
        except StudyLockedError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        else:
            return True


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "7"])
def test_an_unsigned_lock_still_holds(path: Path, content: str) -> None:
    """Where the holder could not write its name, the second driver is refused all the same."""
    lock = StudyLock(path)
    path.write_text(content)

    with pytest.raises(StudyLockedError, match="held by another driver"):
        StudyLock(path)
    lock.release()


def test_what_a_dead_holder_wrote_does_not_matter(path: Path) -> None:
    """The name of a long gone holder in the file keeps nobody out."""
    path.write_text(
        '{"pid": 1, "host": "x", "since": "long ago, and longer than the next one"}' * 9
    )

    lock = StudyLock(path)

    assert json.loads(path.read_text())["pid"] == os.getpid()
    lock.release()


@pytest.mark.parametrize(
    ("number", "message"),
    [(errno.ENOLCK, "doesn't support locks .*local disk"), (errno.EIO, "can't lock")],
)
def test_a_file_system_without_locks(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int, message: str
) -> None:
    """Where nothing can be locked the study doesn't start, rather than run unguarded."""

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)

    with pytest.raises(JournalError, match=message):
        StudyLock(path)


def test_no_room_for_the_name(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk too full to sign the lock is an error that leaves the study free."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as broken:
        broken.setattr(os, "pwrite", refuse)
        with pytest.raises(JournalError, match=r"can't write the lock file .*No space left"):
            StudyLock(path)

    StudyLock(path).release()


def test_no_folder(tmp_path: Path) -> None:
    """A lock file that can't be made is named in the error."""
    with pytest.raises(JournalError, match=r"can't make the lock file .*nowhere/lock"):
        StudyLock(tmp_path / "nowhere" / "lock")
