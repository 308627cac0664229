"""A copy of a checkout, in which pytest runs; what a run leaves behind goes with it."""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

MARK = "FAULTS_RUN"  # in the environment of every process that a run starts
MEMORY = 8 << 30  # bytes for each process: a fault may loop for ever and remember all of it
LEFT_OUT = shutil.ignore_patterns(".*", "build", "dist", "mlruns", "*.egg-info", "__pycache__")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run of pytest ended.

    Attributes:
        code: Its exit code; None if it was killed because it took too long.
        passed: The tests that passed.
        failed: The first test that did not, or was running at the end; None if there is none such.
        says: What that one said last, or else pytest.
    """

    code: int | None
    passed: frozenset[str]
    failed: str | None
    says: str


class Copy:
    """A copy of a checkout.

    Args:
        tree: The checkout.
        folder: Where the copy goes.
    """

    def __init__(self, tree: Path, folder: Path) -> None:
        self.root, self._plugin = folder / "tree", folder / "plugin"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(tree, self.root, ignore=LEFT_OUT)
        self._plugin.mkdir()
        shutil.copy(Path(__file__).with_name("plugin.py"), self._plugin / "manyfit_notes.py")

    def pytest(
        self, *options: str, notes: Path, limit: float | None = None, env: Mapping[str, str]
    ) -> tuple[int | None, str]:
        """Run pytest, and then end whatever it started.

        Args:
            options: Its options.
            notes: Where it notes what happens.
            limit: Seconds after which it is killed.
            env: More of its environment.

        Returns:
            Its exit code, None if it was killed; and the end of its output.
        """
        with tempfile.TemporaryDirectory(prefix="f-", ignore_cleanup_errors=True) as place:
            env = {**os.environ, **env, "FAULTS_NOTES": str(notes), "TMPDIR": place, MARK: place}
            env["PYTHONPATH"] = f"{self.root / 'src'}:{self._plugin}"
            options = ("-q", "-p", "no:cacheprovider", "-p", "manyfit_notes", *options)
            command = [sys.executable, "-m", "pytest", *options]
            with tempfile.TemporaryFile() as log:
                process = subprocess.Popen(
                    command, cwd=self.root, env=env, stdout=log, stderr=log, start_new_session=True
                )
                resource.prlimit(process.pid, resource.RLIMIT_DATA, (MEMORY, MEMORY))
                try:
                    code = process.wait(limit)
                except subprocess.TimeoutExpired:
                    code = None
                finally:
                    _end(place)
                    process.wait()
                log.seek(0)
                return code, log.read()[-500:].decode(errors="replace")

    def run(self, tests: Sequence[str], limit: float) -> Outcome:
        """Run tests in the order given, until one fails."""
        with tempfile.TemporaryDirectory(prefix="f-") as place:
            ids, path = Path(place, "ids"), Path(place, "notes")
            ids.write_text("\n".join(tests) + "\n", encoding="utf-8")
            # Without bytecode: a module may change twice in a second.
            code, output = self.pytest(
                *("-x", "-p", "no:randomly", f"@{ids}"),
                notes=path,
                limit=limit,
                env={"PYTHONDONTWRITEBYTECODE": "1"},
            )
            notes = read_notes(path)
        bad = [note for note in notes if note.get("outcome") == "failed"]
        ended = {note["test"] for note in notes if note["when"] == "teardown"}
        passed = frozenset(ended - {note["test"] for note in bad})
        running = [note for note in notes if note["when"] == "begin" and note["test"] not in ended]
        for note in bad or running[-1:]:
            return Outcome(code, passed, note["test"], note.get("says") or _end_of(code))
        return Outcome(code, passed, None, output)


def _end_of(code: int | None) -> str:
    return "it hangs" if code is None else f"pytest ended with {code}"


def _end(mark: str) -> None:
    """Kill all processes of a run."""
    while found := [each for each in psutil.process_iter() if _is_of(each, mark)]:
        for process in found:
            process.kill()
        psutil.wait_procs(found, 5)


def _is_of(process: psutil.Process, mark: str) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == mark
    except psutil.Error:  # it has just ended, or is somebody else's
        return False


def read_notes(path: Path) -> list[dict[str, Any]]:
    """Return what runs have noted."""
    return (
        [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        if path.exists()
        else []
    )
