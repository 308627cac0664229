"""Plant each fault in a copy of a checkout, and run the tests that may find it."""

import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from benchmarks.faults.copy import Copy, Outcome, read_notes
from benchmarks.faults.fault import Fault
from benchmarks.faults.reach import Reach

START = 90.0  # seconds in which pytest has started, even on a busy machine
SLOWER = 4  # times as long as when it was recorded, and a test hangs
REST = "the run itself"


class Hunt:
    """Looks for faults with the tests of a checkout.

    Args:
        tree: The checkout.
        recording: What was recorded of its tests.
        folder: Where copies of it go.
        jobs: How many faults to look for at a time.
        limit: Seconds of tests for each, as recorded.
    """

    def __init__(self, tree: Path, recording: Path, folder: Path, jobs: int, limit: float) -> None:
        self._limit, self._jobs = limit, jobs
        self._sound = Copy(tree, folder / "sound")
        self._idle: SimpleQueue[Copy] = SimpleQueue()
        for copy in [Copy(tree, folder / str(number)) for number in range(jobs)]:
            self._idle.put(copy)
            notes = folder / "collected"
            notes.unlink(missing_ok=True)
            copy.pytest("--collect-only", notes=notes, env={})  # which compiles the tests, too
        self._reach = Reach(recording, [note["test"] for note in read_notes(notes)])
        self._passes: dict[str, bool] = {}

    def find(self, faults: Sequence[Fault]) -> Iterator[dict[str, Any]]:
        """Yield what comes of each fault, as a record."""
        with ThreadPoolExecutor(self._jobs) as pool:
            yield from pool.map(self._find, faults)

    def _find(self, fault: Fault) -> dict[str, Any]:
        copy, began = self._idle.get(), time.monotonic()
        try:
            file = copy.root / fault.file
            source = file.read_text(encoding="utf-8") if file.exists() else ""
            if fault.place(source) is None:
                return {"id": fault.id, "outcome": "gone"}
            tests = self._reach.tests(fault, source, self._limit)
            file.write_text(fault.planted(source), encoding="utf-8")
            came = self._searched(tests, copy)
            file.write_text(source, encoding="utf-8")
            seconds = round(time.monotonic() - began, 1)
            return {"id": fault.id, **came, "tests": len(tests), "seconds": seconds}
        finally:
            self._idle.put(copy)

    def _searched(self, tests: Sequence[str], copy: Copy) -> dict[str, Any]:
        """Run tests until one fails twice with the fault, and passes without it."""
        left, doubtful = list(tests), []
        while left and (outcome := self._run(left, copy)).code != 0:
            suspects = left if outcome.failed is None else [outcome.failed]
            name = outcome.failed or REST  # no test can begin, or something is left at the end
            if self._run(suspects, copy).code != 0 and self._is_sound(name, suspects):
                return {"outcome": "found", "by": name, "says": outcome.says[-300:]}
            doubtful.append(name)
            left = [test for test in left if test not in {*suspects, *outcome.passed}]
        return {"outcome": "survived" if tests else "unmet", "doubtful": doubtful}

    def _is_sound(self, name: str, tests: Sequence[str]) -> bool:
        """Whether tests pass without a fault."""
        if name == REST or name not in self._passes:
            self._passes[name] = self._run(tests, self._sound).code == 0
        return self._passes[name]

    def _run(self, tests: Sequence[str], copy: Copy) -> Outcome:
        return copy.run(tests, START + SLOWER * self._reach.seconds(tests))


def read_results(path: Path) -> dict[str, dict[str, Any]]:
    """Return results by the ids of faults."""
    return {record["id"]: record for record in read_notes(path)}


def add(path: Path, record: dict[str, Any]) -> None:
    """Add a result to a file of them."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
