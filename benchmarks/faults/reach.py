"""Which tests reach a line, and how long each takes: recorded in one run of all of them."""

import ast
import re
import shutil
from collections import defaultdict
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import coverage
from benchmarks.faults.copy import Copy, read_notes
from benchmarks.faults.fault import Fault, scopes_of

DATA, NOTES = "coverage", "notes.jsonl"
UNKNOWN = 10.0  # seconds of a test that was not recorded
# Tests of what runs in processes only, which may be killed before they tell coverage anything.
ALSO = {
    **dict.fromkeys(["worker/child", "worker/process", "worker/slot"], "executors/test_processes"),
    **dict.fromkeys(["groups/batch", "groups/bench"], "groups/test_local"),
}
_PART = r" \((setup|call|teardown)\)$"  # which a process that a test started adds to the test's id
_RC = """[run]
source_pkgs = manyfit
data_file = {data}
parallel = true
sigterm = true
patch = _exit
context = ${{PYTEST_CURRENT_TEST-}}
"""


def record(tree: Path, folder: Path, options: Sequence[str]) -> None:
    """Run all tests of a tree under coverage, with a context for each, also in processes of theirs.

    Args:
        tree: The checkout.
        folder: Where the recording goes.
        options: More options of pytest.
    """
    folder = folder.absolute()
    shutil.rmtree(folder, ignore_errors=True)
    copy = Copy(tree, folder / "copy")
    settings, raw = folder / "coverage.ini", folder / "raw"
    raw.mkdir()
    settings.write_text(_RC.format(data=raw / "data"), encoding="utf-8")
    # Coverage starts by itself in every Python process that has this variable.
    env = {"COVERAGE_PROCESS_START": str(settings)}
    print(copy.pytest(*options, notes=folder / NOTES, env=env)[1])
    combine(raw, copy.root, folder / DATA)
    shutil.rmtree(folder / "copy")
    shutil.rmtree(raw)


def combine(raw: Path, root: Path, path: Path) -> None:
    """Put what processes recorded into one file, with paths from the root of their tree."""
    data = coverage.CoverageData(str(path))
    for part in sorted(raw.iterdir()):
        one = coverage.CoverageData(str(part))
        try:
            one.read()
        except coverage.CoverageException:  # its process was killed while it wrote
            continue
        data.update(one, map_path=lambda name: name.removeprefix(f"{root}/"))
    data.write()


class Reach:
    """What a recording says.

    Args:
        folder: Where it is.
        collected: The ids of the tree's tests, those that were not recorded included.
    """

    def __init__(self, folder: Path, collected: Sequence[str]) -> None:
        self._data = coverage.CoverageData(str(folder / DATA))
        self._data.read()
        contexts = self._data.measured_contexts()
        self._recorded = {re.sub(_PART, "", context) for context in contexts}
        self._collected = set(collected)
        self._seconds: dict[str, float] = defaultdict(float)
        for note in read_notes(folder / NOTES):
            self._seconds[note["test"]] += note.get("seconds", 0.0)

    def seconds(self, tests: Sequence[str]) -> float:
        """Return how long tests took."""
        return sum(self._seconds.get(test, UNKNOWN) for test in tests)

    def tests(self, fault: Fault, source: str, limit: float) -> list[str]:
        """Return the tests that may find a fault, the quickest first.

        These are tests that reach it, those of its file first, and then those of its file that were
        not recorded; of either kind no more than `limit` seconds. All that the fault names are in.
        """
        of_file = {test for test in self._collected if test.partition("::")[0] in _files(fault)}
        reaching = self._reaching(fault, source) & self._collected
        named = {test for test in self._collected if test.startswith(fault.tests or ("-",))}

        def ranked(tests: set[str]) -> list[str]:
            return sorted(tests, key=lambda test: (test not in of_file, self.seconds([test]), test))

        unrecorded = of_file - self._recorded if reaching else of_file
        chosen = [*self._within(limit, ranked(reaching)), *self._within(limit, ranked(unrecorded))]
        return [*chosen, *ranked(named - set(chosen))]

    def _within(self, limit: float, tests: Sequence[str]) -> list[str]:
        spent = accumulate(self.seconds([test]) for test in tests)
        return [test for test, sum_ in zip(tests, spent, strict=True) if sum_ <= limit]

    def _reaching(self, fault: Fault, source: str) -> set[str]:
        """Return the tests that run a fault's statement, or if none does, its function."""
        by_line = self._data.contexts_by_lineno(fault.file)
        function = [line for line, name in scopes_of(source).items() if name == fault.scope]
        for lines in (_statement(source, fault.place(source) or 0), function):
            contexts = {context for line in lines for context in by_line.get(line, ())} - {""}
            if contexts:
                return {re.sub(_PART, "", context) for context in contexts}
        return set()


def _files(fault: Fault) -> set[str]:
    """Return the files with the tests of a fault's module."""
    name = fault.file.removeprefix("src/manyfit/").removesuffix(".py")
    folder, _, last = name.rpartition("/")
    return {f"tests/{each}.py" for each in (f"{folder}/test_{last}".lstrip("/"), ALSO.get(name))}


def _statement(source: str, line: int) -> range:
    """Return the lines of the innermost statement at a line; of one with a body, its head."""
    best = range(line, line + 1)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or 0):
            body = getattr(node, "body", None)
            best = range(node.lineno, body[0].lineno if body else (node.end_lineno or 0) + 1)
    return best if line in best else range(line, line + 1)
