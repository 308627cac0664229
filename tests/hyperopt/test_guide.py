"""The guide's example runs."""

import subprocess
import sys
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[2] / "docs" / "from_hyperopt.md"


@pytest.mark.integration
def test_the_example_of_the_guide_runs(tmp_path):
    """As a script of its own."""
    code = GUIDE.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    script = tmp_path / "moved.py"
    script.write_text(code, encoding="utf-8")

    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert "'layers'" in done.stdout
    assert "params_lr" in done.stdout
