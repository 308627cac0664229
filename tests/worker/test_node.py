"""The folder that a study's processes on one machine share."""

import fcntl
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from manyfit.errors import ArgumentError, ExecutorError
from manyfit.worker import janitor
from manyfit.worker.node import NodeFolder

JOIN = """
import sys, os
from pathlib import Path
from manyfit.worker.node import NodeFolder
node = NodeFolder("study", Path(sys.argv[1]))
{more}
print("joined", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the folders of this machine lie."""
    return tmp_path / "node"


@pytest.fixture
def join(root: Path) -> Iterator[Callable[..., "subprocess.Popen[bytes]"]]:
    """Have other processes join the folder; they end with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(more: str = "") -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(
            [sys.executable, "-c", JOIN.format(more=more), str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def joined(process: "subprocess.Popen[bytes]") -> None:
    """Wait until a process says that it has joined."""
    assert process.stdout is not None
    assert process.stdout.readline() == b"joined\n"


def soon(holds: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Wait until something holds; whether it does."""
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.005)
    return holds()


needs_proc = pytest.mark.skipif(not Path("/proc").exists(), reason="looks at processes in /proc")


def janitors(folder: Path) -> list[int]:
    """The processes that were told to remove a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if os.fsencode(folder) in arguments and b"-I" in arguments:
            found.append(int(entry.name))
    return found


def is_unlocked(path: Path) -> bool:
    """Whether nobody holds a file's lock; a process that ends loses its arguments before that."""
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


# ── its life ──────────────────────────────────────────────────────────────────────────────────────


def test_it_is_private_and_goes_when_closed(root: Path) -> None:
    """Only its owner may look inside, and after close nothing is left, not even the root."""
    node = NodeFolder("study", root)
    (node.path / "file").write_text("data")

    assert node.path.stat().st_mode & 0o077 == 0
    assert root.stat().st_mode & 0o077 == 0
    node.close()
    node.close()
    assert soon(lambda: not root.exists())


def test_by_default_it_lies_among_temporary_files(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a root, it lies in a folder named for the user among the temporary files."""
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(root))

    with NodeFolder("study") as node:
        assert node.path == root / f"manyfit-{os.getuid()}" / "study"


def test_one_machine_has_one(root: Path) -> None:
    """The folder of two who join is the same, and it stays until both have left."""
    first, second = NodeFolder("study", root), NodeFolder("study", root)
    (first.path / "file").write_text("data")
    first.close()

    assert (second.path / "file").read_text() == "data"
    assert not soon(lambda: not second.path.exists(), 0.1)
    second.close()
    assert soon(lambda: not second.path.exists())


def test_studies_do_not_share(root: Path) -> None:
    """Another token has another folder, and the end of one leaves the other alone."""
    with NodeFolder("other", root) as other:
        NodeFolder("study", root).close()

        assert soon(lambda: list(root.iterdir()) == [other.path])


def test_it_goes_after_the_last_sigkill(
    root: Path, join: Callable[..., "subprocess.Popen[bytes]"]
) -> None:
    """With every holder killed the folder is removed, and not while one of them lives."""
    holders = [join() for _ in range(3)]
    for holder in holders:
        joined(holder)
    (root / "study" / "deep").mkdir()
    (root / "study" / "deep" / "file").write_text("data")
    for holder in holders[:2]:
        holder.kill()
        holder.wait()

    assert not soon(lambda: not (root / "study").exists(), 0.1)
    holders[2].kill()
    assert soon(lambda: not root.exists())
    assert soon(lambda: janitors(root / "study") == [])


@pytest.mark.parametrize(
    "more",
    [
        "if os.fork() == 0: os.close(1); import time; time.sleep(60)",
        "from subprocess import *\nPopen(['sleep', '60'], close_fds=False, stdout=DEVNULL)",
    ],
    ids=["forked", "executed"],
)
def test_a_child_does_not_keep_it(
    root: Path, join: Callable[..., "subprocess.Popen[bytes]"], more: str
) -> None:
    """A child that outlives the holder, forked or executed, doesn't keep the folder."""
    holder = join(more)
    joined(holder)
    children = Path(f"/proc/{holder.pid}/task/{holder.pid}/children")
    orphans = [int(child) for child in children.read_text().split()] if children.exists() else []
    try:
        holder.kill()
        assert soon(lambda: not root.exists())
    finally:
        for orphan in orphans:
            os.kill(orphan, signal.SIGKILL)


@needs_proc
def test_one_janitor_waits_for_all(
    root: Path, join: Callable[..., "subprocess.Popen[bytes]"]
) -> None:
    """However many join at once, one janitor is started, without the study's environment."""
    for process in [join() for _ in range(4)]:
        joined(process)

    (pid,) = janitors(root / "study")
    names = {
        entry.split(b"=")[0] for entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    }
    assert names <= {b"", b"PATH", b"LD_LIBRARY_PATH", b"DYLD_LIBRARY_PATH", b"LC_CTYPE"}
    assert Path(f"/proc/{pid}/cwd").readlink() == Path("/")


@needs_proc
def test_a_killed_janitor_is_replaced(root: Path) -> None:
    """A process that joins after the janitor's death starts another; the folder is removed."""
    first = NodeFolder("study", root)
    assert soon(lambda: len(janitors(first.path)) == 1)
    os.kill(janitors(first.path)[0], signal.SIGKILL)
    assert soon(lambda: is_unlocked(first.path / ".janitor"))
    second = NodeFolder("study", root)
    first.close()
    second.close()

    assert soon(lambda: not root.exists())


def test_what_a_crash_left_is_not_used(root: Path) -> None:
    """A folder that nobody held when it was joined is made anew, since its files may be torn."""
    left = root / "study"
    left.mkdir(parents=True, mode=0o700)
    root.chmod(0o700)
    (left / janitor.LOCK).touch()
    (left / "torn").write_text("half")

    with NodeFolder("study", root) as node:
        assert not (node.path / "torn").exists()


def test_what_others_left_is_removed_too(root: Path) -> None:
    """Folders that lost their janitors go when the next one starts; what isn't ours stays."""
    for name in ("abandoned", "strange"):
        (root / name).mkdir(parents=True)
    (root / "abandoned" / janitor.LOCK).touch()
    root.chmod(0o700)

    with NodeFolder("study", root) as node:
        assert soon(lambda: sorted(root.iterdir()) == [root / "strange", node.path])


def test_joining_while_it_is_removed(root: Path) -> None:
    """Who joins again and again as others leave always has a folder that is there, and its own."""
    faults: list[str] = []

    def come_and_go() -> None:
        for turn in range(40):
            with NodeFolder("study", root) as node:
                mine = node.path / f"{threading.get_ident()}-{turn}"
                mine.write_text("here")
                time.sleep(0.001)
                if not mine.exists():
                    faults.append(str(mine))

    threads = [threading.Thread(target=come_and_go) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert faults == []
    assert soon(lambda: not root.exists())


def test_a_folder_that_goes_while_it_is_made(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is told that the folder is there, and then finds it gone, makes it anew."""
    make, told = os.mkdir, ["node", "study"]

    def mkdir(path: str, mode: int = 0o777) -> None:
        if told and Path(path).name == told[0]:
            raise FileExistsError(17, told.pop(0))
        make(path, mode)

    monkeypatch.setattr(os, "mkdir", mkdir)
    with NodeFolder("study", root) as node:
        assert node.path.is_dir()
    assert told == []


# ── refusals ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("token", ["", ".", "..", "a/b", "-rf", "a b", "a\n", "x" * 101])
def test_a_token_is_a_name(root: Path, token: str) -> None:
    """A token that would lead elsewhere, or be no folder's name, is refused."""
    with pytest.raises(ArgumentError, match="token must be 1 to 100 letters"):
        NodeFolder(token, root)


def test_a_root_that_others_may_write_to(root: Path) -> None:
    """A root where others could put files of their own is refused, with what to do."""
    root.mkdir()
    root.chmod(0o777)

    with pytest.raises(ExecutorError, match=r"others may write to it.*Set TMPDIR"):
        NodeFolder("study", root)


def test_a_root_that_is_a_link(root: Path, tmp_path: Path) -> None:
    """A link in place of the root is refused: its owner could redirect it."""
    (tmp_path / "elsewhere").mkdir()
    root.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(ExecutorError, match="is not a folder, or is a link"):
        NodeFolder("study", root)


def test_no_place_for_it(tmp_path: Path) -> None:
    """A folder that can't be made is named, with the system's reason."""
    (tmp_path / "file").touch()

    with pytest.raises(ExecutorError, match=rf"can't make the folder {re.escape(str(tmp_path))}"):
        NodeFolder("study", tmp_path / "file")


def test_a_janitor_that_does_not_start(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no janitor can be started nothing would remove the folder, so there is none."""
    monkeypatch.setattr(sys, "executable", "/bin/false")

    with pytest.raises(ExecutorError, match="/bin/false ended with code 1"):
        NodeFolder("study", root)


# ── once ──────────────────────────────────────────────────────────────────────────────────────────

RACE = """
def make(path):
    with open(sys.argv[1] + ".made", "a") as file:
        file.write("x")
    path.write_text("done")
assert node.once("deep/data.txt", make).read_text() == "done"
"""


def test_once_a_machine(root: Path, join: Callable[..., "subprocess.Popen[bytes]"]) -> None:
    """Of many processes that want it at the same time one makes it, and all get it whole."""
    for process in [join(RACE) for _ in range(8)]:
        joined(process)

    assert Path(f"{root}.made").read_text() == "x"


def test_once_for_threads(root: Path) -> None:
    """Threads of one process wait for each other like processes."""
    made: list[Path] = []

    def make(path: Path) -> None:
        made.append(path)
        time.sleep(0.02)
        path.mkdir()

    with NodeFolder("study", root) as node:
        threads = [threading.Thread(target=node.once, args=("data", make)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert len(made) == 1


def test_names_do_not_wait_for_each_other(root: Path) -> None:
    """While one name is being made, another can be."""
    with NodeFolder("study", root) as node:
        outer = node.once("outer", lambda path: node.once("inner", Path.touch).rename(path))

        assert outer.exists()


def test_a_maker_that_raises(root: Path) -> None:
    """Its error arrives as it is, nothing half-made is left, and the next one makes it."""

    def fail(path: Path) -> None:
        path.mkdir()
        (path / "half").touch()
        raise ZeroDivisionError

    with NodeFolder("study", root) as node:
        with pytest.raises(ZeroDivisionError):
            node.once("data", fail)

        assert not any("data" in entry.name for entry in node.path.iterdir())
        assert list(node.once("data", Path.mkdir).iterdir()) == []


DIE = """
import signal
def make(path):
    path.mkdir()
    (path / "half").touch()
    os.kill(os.getpid(), signal.SIGKILL)
node.once("data", make)
"""


def test_a_maker_that_is_killed(root: Path, join: Callable[..., "subprocess.Popen[bytes]"]) -> None:
    """What it had made by then is nowhere to be found under the name, and the next one makes it."""
    with NodeFolder("study", root) as node:
        assert join(DIE).wait() == -signal.SIGKILL

        assert not (node.path / "data").exists()
        assert list(node.once("data", Path.mkdir).iterdir()) == []


@pytest.mark.parametrize("name", ["", ".", "/etc/passwd", "../x", "a/../../x"])
def test_a_name_stays_inside(root: Path, name: str) -> None:
    """A name that leads out of the folder is refused."""
    with NodeFolder("study", root) as node, pytest.raises(ArgumentError, match="must lie in"):
        node.once(name, Path.touch)
