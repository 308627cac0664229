"""A worker process as its parent sees it: its pipes, its start and its end."""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from manyfit._held import close_held, hold
from manyfit.errors import ExecutorError
from manyfit.worker.guard import MARK, end_marked
from manyfit.worker.last_words import end_of
from manyfit.worker.limits import kill_group, kill_tree, pool_variables
from manyfit.worker.payload import Payload

# The worker searches for modules where its parent does. -P, because until sys.path is set, a
# json.py in the working folder would hide the standard one.
_BOOT = (
    "import sys, json; sys.path[:], sys.argv[:], fds, site = json.loads(sys.argv[1]); "
    "from manyfit.worker.child import main; main(fds, *site)"
)
_PIPE_SIZE = 1 << 20  # bytes of reports that fit before an objective waits for a busy driver
_READ = 1 << 16
_LAST_MOMENTS = 1.0  # seconds for a process to end after its pipes have closed
_MOST_READ = 1 << 20
_LIKELY = {
    signal.SIGKILL: "often because the machine ran out of memory: lower parallelism; "
    "tune(trial_memory=...) shows which trials need too much",
    signal.SIGSEGV: "a crash in C code",
    signal.SIGBUS: "a crash in C code, or shared memory that is full",
    signal.SIGABRT: "C code gave up",
    signal.SIGTERM: "something asked it to end",
}


class Process:
    """Starts a worker process in a session of its own, and ends it with all its descendants.

    Args:
        payload: The packed work.
        cwd: The folder to work in.

    Raises:
        ExecutorError: The process can't be started.
    """

    def __init__(self, payload: Payload, cwd: Path) -> None:
        self.hung_up = False  # whether its end of the pipe is closed
        self.cut_off = False  # whether it was still alive after that, and was killed
        self.said = ""  # its output outside of trials; known once it is buried
        self._rest = b""
        self._lines: list[bytes] = []
        self._unsent = bytearray()  # orders not written to the pipe yet
        if not sys.executable:
            raise ExecutorError(
                "this Python has no sys.executable to start: use executor='threads'"
            )
        with contextlib.ExitStack() as undo:
            try:
                self._mark = payload.mark()
                self._output = undo.enter_context(tempfile.TemporaryFile(prefix="manyfit-"))
                self.events, events = _pipe(undo)
                orders, self._orders = _pipe(undo)
                self._popen = self._start(payload, cwd, (events, orders, payload.fileno()))
            except OSError as error:
                raise ExecutorError(f"can't start a worker process in {cwd}: {error}") from error
            undo.pop_all()
        hold(self._orders)  # the process dies when this end is closed
        for theirs in (events, orders):
            os.close(theirs)
        for ours in (self.events, self._orders):
            os.set_blocking(ours, False)
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            with contextlib.suppress(OSError):  # above this user's limit
                fcntl.fcntl(self.events, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
        self.pid = self._popen.pid

    def _start(
        self, payload: Payload, cwd: Path, fds: tuple[int, ...]
    ) -> "subprocess.Popen[bytes]":
        site = payload.site
        path = [*site.path, *map(str, sys.path)]
        boot = json.dumps([path, sys.argv, fds, [str(site.folder), site.name, site.path]])
        return subprocess.Popen(  # noqa: S603 - this Python, with arguments of our own
            [sys.executable, "-P", "-c", _BOOT, boot],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
            pass_fds=fds,
            cwd=cwd,
            env={
                **os.environ,
                **pool_variables(site.limits.cpus),
                **site.env,
                MARK: self._mark,
            },
            start_new_session=True,
        )

    def is_dead(self) -> bool:
        """Return whether it has ended."""
        return self._popen.poll() is not None

    def send(self, order: Mapping[str, Any]) -> None:
        """Send an order. A busy process receives it later, a dead one never.

        It never blocks: `flush` writes what doesn't fit into the pipe now.
        """
        self._unsent += json.dumps(order).encode() + b"\n"
        self.flush()

    def flush(self) -> bool:
        """Write pending orders without blocking; returns whether all have been written."""
        try:
            while self._unsent:
                del self._unsent[: os.write(self._orders, self._unsent[:_PIPE_SIZE])]
        except BlockingIOError:
            return False
        except BrokenPipeError:
            self._unsent.clear()
        return True

    def read(self) -> list[bytes]:
        """Return the complete lines that have arrived, without blocking; at most a megabyte."""
        if self.events >= 0:
            self._fill(_MOST_READ)
        lines, self._lines = self._lines, []
        return lines

    def wait(self, seconds: float) -> bool:
        """Wait up to `seconds` for it to end; returns whether it has."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(max(0.0, seconds))
        return self.is_dead()

    def bury(self) -> None:
        """Kill it and its descendants; what it has written can still be read."""
        if self.events < 0:
            return
        if self.hung_up:  # it is dying, or the objective has closed all descriptors
            self.cut_off = not self.wait(_LAST_MOMENTS)
        if self.is_dead():
            # The child is reaped, so its PID may have been reused; its process group ID can't be
            # while the group has members, and a group without members is not found.
            kill_group(self.pid)
        else:
            kill_tree(self.pid)
            self.wait(5.0)  # it takes longer only if the kernel itself is stuck
        end_marked(self._mark)
        self._fill(None)
        self.said = end_of(self._output).strip()
        self._close()

    def death(self) -> str:
        """Return how it ended and what that usually means; call it after `bury`."""
        code = self._popen.returncode
        if self.cut_off:
            return "closed its connection, as if by os.closerange, and was killed"
        if code is None:
            return "was killed and has not ended yet"
        if code >= 0:
            return f"exited with code {code} in the middle of its work"
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        likely = _LIKELY.get(signal.Signals(-code)) if -code in set(signal.Signals) else None
        return f"was ended by {name}" + (f" ({likely})" if likely else "")

    def _fill(self, most: int | None) -> None:
        """Read what has arrived, up to `most` bytes if given."""
        total = 0
        chunks = [self._rest]
        with contextlib.suppress(BlockingIOError):
            while most is None or total < most:
                chunk = os.read(self.events, _READ)
                if not chunk:
                    self.hung_up = True
                    break
                total += len(chunk)
                chunks.append(chunk)
        *lines, self._rest = b"".join(chunks).split(b"\n")
        self._lines += lines

    def _close(self) -> None:
        os.close(self.events)
        close_held(self._orders)
        self.events = -1
        self._output.close()


def _pipe(undo: contextlib.ExitStack) -> tuple[int, int]:
    """Return a pipe, both ends of which `undo` closes."""
    ends = os.pipe()
    for end in ends:
        undo.callback(os.close, end)
    return ends
