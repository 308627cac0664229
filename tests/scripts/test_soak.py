"""The soak: its parts, and the line that each of them prints."""

import ast
from pathlib import Path

import pytest
import soak
import yaml

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("closing", "told"),
    [
        ("== 3 passed, 1 skipped, 5000 deselected in 61.02s (0:01:01) ==", "3 passed, 1 skipped"),
        ("=== 1 failed, 2 passed, 9 deselected in 0.10s ===", "1 failed, 2 passed"),
        ("ImportError: no module", "no tests ran"),
    ],
)
def test_what_pytest_counted(closing, told):
    """A part's line has the counts of pytest's own last line."""
    assert soak.summary(f"test_a PASSED\n{closing}\n") == told


def test_a_part_that_there_is_not(capsys):
    """It is refused before anything runs, and the parts are named."""
    assert soak.main(["kills", "potatoes"]) == 2
    assert "no part 'potatoes'" in (said := capsys.readouterr().out)
    assert all(part in said for part in soak.PARTS)


def test_a_line_for_each_part(capsys, monkeypatch, tmp_path):
    """Each part runs, whatever became of the others; failures are in the exit code."""
    monkeypatch.setattr(soak, "LOGS", tmp_path)

    def pytest_of(command, *, stdout, **_):
        failed = "memory" in command
        stdout.write(f"= 1 {'failed' if failed else 'passed'} in 1.00s =\n")
        return int(failed)

    monkeypatch.setattr("subprocess.call", pytest_of)
    assert soak.main(["memory", "wheels"]) == 1
    memory, wheels = capsys.readouterr().out.splitlines()
    assert memory.startswith("memory ")
    assert memory.endswith(f"1 failed, 0 s: see {tmp_path / 'memory.log'}")
    assert wheels.endswith("1 passed, 0 s")


def marked():
    """Return the parts that tests name in their marks."""
    for path in (ROOT / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.soak":
                yield node.args[0].value


def test_every_part_has_tests():
    """Marks name parts, every part has tests, and the weekly workflow runs them all."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/soak.yml").read_text())
    weekly = workflow["jobs"]["soak"]["strategy"]["matrix"]["part"]
    assert {*marked(), "examples"} == set(soak.PARTS) == set(weekly)
