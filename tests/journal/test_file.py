"""The journal on disk, and what may happen to it."""

import errno
import fcntl
import logging
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyfit.errors import JournalCorruptError, JournalError, StudyLockedError
from manyfit.event_lines import VERSION
from manyfit.events import Event, Reported, StudyEnded, TrialAsked
from manyfit.journal.file import FileJournal, read_events
from manyfit.journal.line import checksum_of, to_line

FIRST = TrialAsked(0, {"learning_rate": 0.01, "structure": "größer"}, "sampler", at=1.0)
SECOND = Reported(0, 1, 0, {"val_loss": 0.5, "val_accuracy": float("nan")}, at=2.0)


def chained(*events: Event) -> list[bytes]:
    """Return events as the lines of a journal."""
    lines: list[bytes] = []
    for event in events:
        lines.append(to_line(event, checksum_of(b"".join(lines))))
    return lines


LINES = chained(FIRST, SECOND)

WRITE_UNTIL_KILLED = """
import sys
from pathlib import Path
from manyfit.events import StudyEnded
from manyfit.journal.file import FileJournal
journal = FileJournal(Path(sys.argv[1]))
number = sum(1 for _ in journal.read())
while True:
    for _ in range(3):
        journal.append(StudyEnded(f"{number}", at=1.0))
        number += 1
    journal.commit()
    print(number, flush=True)
"""

DIE_WITHIN_A_LINE = """
import os, signal, sys
from pathlib import Path
from manyfit.events import StudyEnded
from manyfit.journal.file import FileJournal
journal = FileJournal(Path(sys.argv[1]))
journal.append(StudyEnded("committed", at=1.0))
journal.commit()
real = os.write
def write_a_part_and_die(file, data):
    real(file, data[: int(len(data) * float(sys.argv[2]))])
    os.kill(os.getpid(), signal.SIGKILL)
os.write = write_a_part_and_die
journal.append(StudyEnded("torn", at=1.0))
"""

TAKE_TURNS = """
import sys, time
from pathlib import Path
from manyfit.errors import StudyLockedError
from manyfit.events import StudyEnded
from manyfit.journal.file import FileJournal
for turn in range(10):
    while True:
        try:
            journal = FileJournal(Path(sys.argv[1]))
            break
        except StudyLockedError:
            time.sleep(0.001)
    seen = sum(1 for _ in journal.read())
    journal.append(StudyEnded(f"{seen}", at=1.0))
    journal.close()
"""


def write(folder: Path, *lines: bytes) -> Path:
    """Lay out a journal by hand."""
    folder.mkdir(exist_ok=True)
    path = folder / "journal.jsonl"
    path.write_bytes(b"".join(lines))
    return path


def read(folder: Path) -> list[Event]:
    """Open a journal as a driver does, and return its events."""
    with FileJournal(folder) as journal:
        return list(journal.read())


def reasons(events: list[Event]) -> list[str]:
    """Return what the `StudyEnded` among the events say."""
    return [event.reason for event in events if isinstance(event, StudyEnded)]


class TestLayout:
    def test_a_folder_is_made_with_its_parents(self, tmp_path: Path) -> None:
        """A study's folder need not be there."""
        folder = tmp_path / "a" / "b" / "study"

        FileJournal(folder).close()

        assert sorted(path.name for path in folder.iterdir()) == ["journal.jsonl", "lock"]

    def test_one_strict_line_an_event(self, tmp_path: Path) -> None:
        """The file holds what `line.to_line` gives, a line an event."""
        with FileJournal(tmp_path) as journal:
            journal.append(FIRST)
            journal.append(SECOND)

        assert (tmp_path / "journal.jsonl").read_bytes() == b"".join(LINES)

    def test_an_append_is_in_the_file_before_the_commit(self, tmp_path: Path) -> None:
        """A death between append and commit, of the process alone, loses nothing."""
        journal = FileJournal(tmp_path)
        journal.append(FIRST)

        assert list(read_events(tmp_path)) == [FIRST]
        journal.close()

    def test_the_working_folder_may_change(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A journal in a relative folder stays where it is when the objective changes directory."""
        monkeypatch.chdir(tmp_path)
        journal = FileJournal(Path("study"))
        journal.append(FIRST)
        monkeypatch.chdir("/")

        assert list(journal.read()) == [FIRST]
        journal.close()

    def test_a_second_driver_is_refused(self, tmp_path: Path) -> None:
        """The journal of an open study can't be opened again, and is free after its close."""
        journal = FileJournal(tmp_path)
        with pytest.raises(StudyLockedError):
            FileJournal(tmp_path)
        journal.close()

        assert read(tmp_path) == []


class TestTornEnd:
    def test_every_byte(self, tmp_path: Path) -> None:
        """Wherever the last line broke off, the journal opens without it and goes on."""
        for cut in range(1, len(LINES[1])):
            write(tmp_path, LINES[0], LINES[1][:-cut])
            whole = cut == 1  # only the newline is missing

            with FileJournal(tmp_path) as journal:
                events = list(journal.read())
                journal.append(FIRST)

            assert len(events) == (2 if whole else 1), f"{cut} bytes cut off"
            assert len(read(tmp_path)) == len(events) + 1, f"{cut} bytes cut off"

    @pytest.mark.parametrize("tail", [b"\x00" * 5000, b"\xff\xfe", b'{"v":1,', b"[" * 200_000])
    def test_garbage(self, tmp_path: Path, tail: bytes) -> None:
        """Zeros or noise that a power cut left in the last line are cut off."""
        path = write(tmp_path, *LINES, tail)

        assert len(read(tmp_path)) == 2
        assert path.read_bytes() == b"".join(LINES)

    def test_it_is_logged(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """A repair is told to the person, with the file and how much was cut off."""
        path = write(tmp_path, LINES[0], b'{"v":1,"ev')

        read(tmp_path)

        (record,) = caplog.records
        assert (record.name, record.levelno) == ("manyfit", logging.WARNING)
        assert record.getMessage().startswith(f"{path}: its last line is incomplete")
        assert "10 bytes" in record.getMessage()

    def test_a_missing_newline_is_added(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A whole last line that an editor saved without its newline is kept, silently."""
        path = write(tmp_path, LINES[0], LINES[1].rstrip())

        assert len(read(tmp_path)) == 2
        assert path.read_bytes() == b"".join(LINES)
        assert caplog.records == []

    def test_only_a_torn_line(self, tmp_path: Path) -> None:
        """A study whose very first line was torn starts anew."""
        path = write(tmp_path, LINES[0][:20])

        assert read(tmp_path) == []
        assert path.read_bytes() == b""

    @given(
        tail=st.binary(min_size=1, max_size=40).map(lambda tail: tail.replace(b"\n", b"") + b"\0")
    )
    def test_any_noise(self, tail: bytes) -> None:
        """No noise after the last whole line keeps a study from being opened, or costs an event."""
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), LINES[0], tail)

            assert read(Path(folder)) == [FIRST]


class TestDamage:
    def test_a_torn_middle_is_refused(self, tmp_path: Path) -> None:
        """A damaged line that is not the last one is named, shown and left as it is."""
        path = write(tmp_path, LINES[0], LINES[1][:30] + b"\n", LINES[0])
        before = path.read_bytes()

        with pytest.raises(JournalCorruptError) as caught:
            read(tmp_path)

        message = str(caught.value)
        assert message.startswith(f"line 2 of {path} is damaged")
        assert LINES[1][:30].decode() in message
        assert "backup" in message
        assert "cut it off before this line" in message
        assert path.read_bytes() == before

    def test_a_damaged_first_line(self, tmp_path: Path) -> None:
        """If nothing is before it, nothing can be continued."""
        write(tmp_path, LINES[0][:30] + b"\n", LINES[1])

        with pytest.raises(JournalCorruptError, match="move it away: the study begins anew"):
            read(tmp_path)

    @pytest.mark.parametrize(
        "line",
        [
            b"[]\n",
            b"7\n",
            b"null\n",
            b"\xff\n",
            b"\n",
            b"{}\n",
            b'{"v":1}\n',
            b'{"v":"1","event":"asked"}\n',
            b'{"v":[],"event":"asked"}\n',
            b'{"v":1,"event":[]}\n',
            b'{"v":1,"event":"danced"}\n',
            b'{"v":1,"event":"asked","number":0}\n',
            b'{"v":1,"event":"reported","metrics":7}\n',
            b'{"v":1,"event":"reported","metrics":{"a":"b"}}\n',
        ],
    )
    def test_json_that_is_no_event_is_refused(self, tmp_path: Path, line: bytes) -> None:
        """Lines that parse but are no events are damage, wherever they come from."""
        write(tmp_path, line, LINES[0])

        with pytest.raises(JournalCorruptError, match=r"line 1 of"):
            read(tmp_path)

    @pytest.mark.parametrize(
        "line", [b'{"v":1,"event":"danced"}', b'{"v":1,"event":"da', b"\0\0", b"", b"[" * 200_000]
    )
    def test_a_last_line_with_its_newline_is_never_cut_off(
        self, tmp_path: Path, line: bytes
    ) -> None:
        """A line with a newline was written whole: damaged, it is refused, not thrown away."""
        path = write(tmp_path, LINES[0], line + b"\n")

        for look in (read, lambda folder: list(read_events(folder))):
            with pytest.raises(JournalCorruptError, match="line 2"):
                look(tmp_path)
        assert path.read_bytes() == LINES[0] + line + b"\n"

    @given(data=st.data())
    def test_no_flipped_bit_passes(self, data: st.DataObject) -> None:
        """Whatever bits of whatever byte flip: it is noticed, and no event is lost or altered."""
        whole = b"".join(LINES)
        place = data.draw(st.integers(0, len(whole) - 1))
        damaged = bytearray(whole)
        damaged[place] ^= data.draw(st.integers(1, 255))
        with tempfile.TemporaryDirectory() as folder:
            path = write(Path(folder), bytes(damaged))

            try:
                events = read(Path(folder))
            except JournalCorruptError:
                assert path.read_bytes() == damaged
            else:  # the last newline, which was written anew
                assert repr(events) == repr([FIRST, SECOND])
                assert path.read_bytes() == whole

    @given(order=st.permutations(range(5)), count=st.integers(1, 5))
    def test_no_missing_or_moved_line_passes(self, order: list[int], count: int) -> None:
        """What is read without complaint is how the record began; all else is refused."""
        lines = chained(*(StudyEnded(f"{number}", at=1.0) for number in range(5)))
        kept = order[:count]
        with tempfile.TemporaryDirectory() as name:
            path = write(Path(name), *(lines[number] for number in kept))

            if kept == list(range(count)):  # as if the driver had died before the others
                assert reasons(list(read_events(path))) == [f"{number}" for number in kept]
            else:
                with pytest.raises(JournalCorruptError, match="a line before it is missing"):
                    list(read_events(path))

    def test_a_line_that_is_there_twice_is_damage(self, tmp_path: Path) -> None:
        """A copied line is refused, though it is whole."""
        write(tmp_path, *LINES, LINES[1])

        with pytest.raises(JournalCorruptError, match="line 3"):
            read(tmp_path)

    def test_a_record_of_version_1_goes_on_with_a_chain(self, tmp_path: Path) -> None:
        """Lines without checksums stay readable, and what is appended is chained from there."""
        before = re.sub(rb',"crc":"\w+"', b"", LINES[0].replace(b'"v":2', b'"v":1'))
        path = write(tmp_path, before)
        with FileJournal(tmp_path) as journal:
            for _ in range(2):
                journal.append(SECOND)
                journal.commit()
        first, *others = path.read_bytes().splitlines(keepends=True)

        assert repr(read(tmp_path)) == repr([FIRST, SECOND, SECOND])
        write(tmp_path, first, others[1])
        with pytest.raises(JournalCorruptError, match="line 2"):
            read(tmp_path)

    def test_a_lost_checksum_is_damage(self, tmp_path: Path) -> None:
        """Only lines of the first version are read without one."""
        write(tmp_path, LINES[0], re.sub(rb',"crc":"\w+"', b"", LINES[1]), LINES[0])

        with pytest.raises(JournalCorruptError, match=r"line 2 .*checksum is missing"):
            read(tmp_path)

    def test_a_newer_journal_is_refused(self, tmp_path: Path) -> None:
        """What a newer Manyfit wrote is neither damage nor torn; the message says to upgrade."""
        path = write(
            tmp_path, LINES[0], b'{"v":%d,"event":"asked","colour":"red"}\n' % (VERSION + 1)
        )

        with pytest.raises(JournalError, match=rf"line 2 of {path}: .*newer Manyfit") as caught:
            read(tmp_path)
        assert not isinstance(caught.value, JournalCorruptError)

    def test_a_refused_journal_is_free_again(self, tmp_path: Path) -> None:
        """After the refusal and a close, nobody holds the study."""
        write(tmp_path, b"{}\n", LINES[0])
        with pytest.raises(JournalCorruptError):
            read(tmp_path)
        write(tmp_path, LINES[0])

        assert read(tmp_path) == [FIRST]


class TestReadingAlong:
    def test_a_torn_end_is_left_alone(self, tmp_path: Path) -> None:
        """A reader without the lock leaves a half-written line out, and in place."""
        path = write(tmp_path, LINES[0], LINES[1][:30])

        assert list(read_events(path)) == [FIRST]
        assert path.read_bytes() == LINES[0] + LINES[1][:30]

    def test_while_a_driver_holds_the_study(self, tmp_path: Path) -> None:
        """`manyfit show` works during a study."""
        with FileJournal(tmp_path) as journal:
            journal.append(FIRST)

            assert list(read_events(tmp_path)) == [FIRST]

    def test_a_torn_middle_is_refused(self, tmp_path: Path) -> None:
        """A reader tells damage from a line that is just being written."""
        write(tmp_path, LINES[0], b'{"v":1,\n', LINES[0])

        with pytest.raises(JournalCorruptError, match="line 2"):
            list(read_events(tmp_path))

    def test_a_whole_last_line_that_is_no_event(self, tmp_path: Path) -> None:
        """A whole line is never passed over as torn."""
        write(tmp_path, LINES[0], b"{}")

        with pytest.raises(JournalCorruptError, match="line 2"):
            list(read_events(tmp_path))

    def test_no_journal(self, tmp_path: Path) -> None:
        """A path without a journal is named in the error."""
        with pytest.raises(JournalError, match=r"can't read .*journal.jsonl: No such file"):
            list(read_events(tmp_path))


@contextmanager
def disk_of(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond `size` bytes, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class TestFullDisk:
    def test_a_failed_append_is_taken_back(self, tmp_path: Path) -> None:
        """However much of a line found room, none of it stays, and the next append may work."""
        for room in range(0, len(LINES[1]), 7):
            folder = tmp_path / f"{room}"
            full = disk_of(len(LINES[0]) + room)
            with FileJournal(folder) as journal:
                journal.append(FIRST)
                with full, pytest.raises(JournalError, match="can't write to"):
                    journal.append(SECOND)
                during = list(read_events(folder))
                journal.append(FIRST)

            assert during == [FIRST], f"room for {room} bytes"
            assert read(folder) == [FIRST, FIRST], f"room for {room} bytes"

    def test_it_can_be_closed(self, tmp_path: Path) -> None:
        """A journal on a full disk commits what it has, and lets go of the study."""
        journal = FileJournal(tmp_path)
        journal.append(FIRST)
        with disk_of(len(LINES[0])):
            with pytest.raises(JournalError):
                journal.append(SECOND)
            journal.close()

        assert read(tmp_path) == [FIRST]

    def test_what_cannot_be_taken_back_now_is_taken_back_later(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where even the mending fails, nothing is written after the torn line before it works."""

        def refuse(*_: object) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        with FileJournal(tmp_path) as journal:
            journal.append(FIRST)
            with monkeypatch.context() as broken, disk_of(len(LINES[0]) + 20):
                broken.setattr(os, "ftruncate", refuse)
                for _ in range(2):
                    with pytest.raises(JournalError, match="can't repair"):
                        journal.append(SECOND)
            journal.append(FIRST)

        assert read(tmp_path) == [FIRST, FIRST]

    def test_an_interrupt_within_a_write(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Ctrl-C between two parts of a line leaves a line that the next append removes."""
        real = os.write

        def half(file: int, data: bytes) -> int:
            real(file, data[: len(data) // 2])
            raise KeyboardInterrupt

        with FileJournal(tmp_path) as journal:
            journal.append(FIRST)
            with monkeypatch.context() as interrupted:
                interrupted.setattr(os, "write", half)
                with pytest.raises(KeyboardInterrupt):
                    journal.append(SECOND)
            journal.append(FIRST)

        assert read(tmp_path) == [FIRST, FIRST]

    def test_a_failed_sync_ends_the_journal(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """After a failed sync every call refuses, and only what was committed stays."""

        def refuse(*_: object) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        journal = FileJournal(tmp_path)
        journal.append(FIRST)
        journal.commit()
        journal.append(SECOND)
        with monkeypatch.context() as broken:
            broken.setattr(os, "fdatasync", refuse, raising=False)
            broken.setattr(fcntl, "fcntl", refuse)
            with pytest.raises(JournalError, match="can't save"):
                journal.commit()
        with pytest.raises(JournalError, match="can't save"):
            journal.append(FIRST)
        with pytest.raises(JournalError, match="can't save"):
            journal.commit()
        journal.close()

        assert read(tmp_path) == [FIRST]

    def test_a_repair_that_fails(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A torn line that can't be cut off keeps the study closed, and free."""

        def refuse(*_: object) -> None:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

        write(tmp_path, LINES[0], LINES[1][:9])
        with monkeypatch.context() as broken:
            broken.setattr(os, "ftruncate", refuse)
            with pytest.raises(JournalError, match=r"can't .*Read-only file system"):
                FileJournal(tmp_path)

        assert read(tmp_path) == [FIRST]


class TestPlacesThatRefuse:
    def test_a_folder_below_a_file(self, tmp_path: Path) -> None:
        """A folder that can't be made is named, with what to do."""
        (tmp_path / "file").touch()

        with pytest.raises(JournalError, match=r"can't make the study's folder .*file/study.*may"):
            FileJournal(tmp_path / "file" / "study")

    def test_a_journal_that_is_a_folder(self, tmp_path: Path) -> None:
        """A journal that can't be opened is named, and the lock let go."""
        (tmp_path / "journal.jsonl").mkdir()

        with pytest.raises(JournalError, match=r"can't write to .*journal.jsonl: Is a directory"):
            FileJournal(tmp_path)
        (tmp_path / "journal.jsonl").rmdir()

        assert read(tmp_path) == []

    def test_a_read_only_folder(self) -> None:
        """Where one may not write, a driver is refused and a reader served."""
        code = (
            "import os, sys; from pathlib import Path; from manyfit.journal.file import *\n"
            "from manyfit.errors import JournalError\n"
            "if os.geteuid() == 0: os.setuid(65534)\n"
            "print(len(list(read_events(Path(sys.argv[1])))))\n"
            "try: FileJournal(Path(sys.argv[1]))\n"
            "except JournalError as error: print(error)\n"
        )
        with tempfile.TemporaryDirectory(dir="/tmp") as name:
            folder = Path(name)
            write(folder, *LINES)
            folder.chmod(0o555)
            done = subprocess.run(
                [sys.executable, "-c", code, name], check=True, capture_output=True, text=True
            )
            folder.chmod(0o755)

        assert done.stdout.splitlines() == [
            "2",
            f"can't make the lock file {folder}/lock: Permission denied",
        ]


class TestGoingAway:
    """The file is lost while its study runs."""

    @pytest.mark.parametrize(
        ("lose", "said"),
        [
            (lambda path: shutil.rmtree(path.parent), "was deleted"),
            (lambda path: path.unlink(), "was deleted"),
            (lambda path: os.truncate(path, 0), "was cut short"),
            (lambda path: os.truncate(path, 20), "was cut short"),
        ],
        ids=["folder", "file", "emptied", "truncated"],
    )
    @pytest.mark.parametrize("commits", [0, 1])
    def test_it_is_written_again(
        self,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
        lose: Callable[[Path], None],
        said: str,
        commits: int,
    ) -> None:
        """All of it, also what an earlier driver wrote, and the person is told."""
        folder = tmp_path / "study"
        with FileJournal(folder) as journal:
            journal.append(FIRST)
        with FileJournal(folder) as journal:
            journal.append(SECOND)
            lose(journal.path)
            for _ in range(commits):
                journal.append(SECOND)
                journal.commit()
                with pytest.raises(StudyLockedError):
                    FileJournal(folder)

        assert repr(read(folder)) == repr([FIRST, *[SECOND] * (commits + 1)])
        assert [said in record.getMessage() for record in caplog.records] == [True]

    @pytest.mark.parametrize("earlier", [0, 1])
    def test_what_is_damaged_in_place_is_written_again_at_the_end(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, earlier: int
    ) -> None:
        """A driver never ends well and leaves a record that nobody can read."""
        for _ in range(earlier):
            with FileJournal(tmp_path) as journal:
                journal.append(FIRST)
        with FileJournal(tmp_path) as journal:
            journal.append(FIRST)
            journal.commit()
            with journal.path.open("r+b") as file:
                file.seek(20)
                file.write(b"\0")
            journal.append(SECOND)

        assert repr(read(tmp_path)) == repr([*[FIRST] * (earlier + 1), SECOND])
        (record,) = caplog.records
        assert "was damaged while the study ran" in record.getMessage()

    def test_without_the_lock_file_it_is_held_all_the_same(self, tmp_path: Path) -> None:
        """Deleting the lock file, as if it were stale, lets nobody in."""
        with FileJournal(tmp_path) as journal:
            (tmp_path / "lock").unlink()

            for _ in range(2):
                with pytest.raises(StudyLockedError, match="held by another driver"):
                    FileJournal(tmp_path)
            journal.append(FIRST)

        assert read(tmp_path) == [FIRST]

    @pytest.mark.parametrize("is_open", [True, False])
    def test_what_somebody_else_put_there_stays(self, tmp_path: Path, is_open: bool) -> None:
        """Another driver's record is not touched; this one's becomes a study beside it."""
        folder = tmp_path / "study"
        journal = FileJournal(folder)
        journal.append(FIRST)
        journal.commit()
        shutil.rmtree(folder)
        other = FileJournal(folder)
        other.append(SECOND)
        if not is_open:
            other.close()
        journal.append(FIRST)

        with pytest.raises(
            JournalError, match=r"changed by another process .* study 'study-saved-"
        ):
            journal.commit()
        with pytest.raises(JournalError, match="changed by another process"):
            journal.append(FIRST)
        journal.close()
        other.close()

        (saved,) = tmp_path.glob("study-saved-*")
        assert read(saved) == [FIRST, FIRST]
        assert repr(read(folder)) == repr([SECOND])


class TestDeath:
    @pytest.mark.soak("kills", also_in_test=True)
    def test_sigkill_while_writing(self, tmp_path: Path, round_: int) -> None:
        """At whatever instant a driver dies, all it committed is there, in order, and whole."""
        for kill in (round_, round_ + 3):
            process = subprocess.Popen(
                [sys.executable, "-c", WRITE_UNTIL_KILLED, str(tmp_path)], stdout=subprocess.PIPE
            )
            assert process.stdout is not None
            first = process.stdout.readline()
            time.sleep(0.0037 * kill)
            process.send_signal(signal.SIGKILL)
            rest, _ = process.communicate()
            committed = [int(line) for line in (first + rest).split(b"\n")[:-1]]

            numbers = reasons(read(tmp_path))

            assert numbers == [f"{number}" for number in range(len(numbers))]
            assert len(numbers) >= committed[-1]

    @pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
    def test_sigkill_within_a_write(self, tmp_path: Path, share: float) -> None:
        """A driver that dies with a part of a line on disk leaves a journal that goes on."""
        process = subprocess.run(
            [sys.executable, "-c", DIE_WITHIN_A_LINE, str(tmp_path), str(share)], check=False
        )
        with FileJournal(tmp_path) as journal:
            before = list(journal.read())
            journal.append(FIRST)

        assert process.returncode == -signal.SIGKILL
        assert reasons(before) == ["committed", "torn"][: 2 if share == 1 else 1]
        assert read(tmp_path) == [*before, FIRST]

    def test_two_processes_take_turns(self, tmp_path: Path) -> None:
        """Drivers that contend for a study hold it one after the other, and see all before them."""
        processes = [
            subprocess.Popen([sys.executable, "-c", TAKE_TURNS, str(tmp_path)]) for _ in range(2)
        ]

        assert [process.wait(timeout=60) for process in processes] == [0, 0]
        assert reasons(read(tmp_path)) == [f"{number}" for number in range(20)]
