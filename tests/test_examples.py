"""What the documents show is executed."""

import doctest
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [
    page.relative_to(ROOT)
    for pattern in ("*.md", "docs/*.md", "examples/*.md", "benchmarks/**/*.md")
    for page in sorted(ROOT.glob(pattern))
]


def blocks(document):
    text = (ROOT / document).read_text()
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def with_few_trials(code, n_trials=1):
    """Return code whose study has one trial, which shows as well that it runs."""
    few, count = re.subn(r"\bn_trials=\d+", f"n_trials={n_trials}", code)
    assert count == 1
    return few


def ran(code, folder):
    """Run a script as a user would, in a folder; return what became of it."""
    script = folder / "script.py"
    script.write_text(code)
    command = [sys.executable, str(script)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.integration
@pytest.mark.parametrize("code", blocks("README.md"))
def test_readme(code, tmp_path):
    """Every Python block of the README runs in a script of its own."""
    done = ran(with_few_trials(code), tmp_path)

    assert "learning_rate" in done.stdout


@pytest.mark.integration
@pytest.mark.soak("guides")
def test_dask(tmp_path):
    """So does that of the guide to Dask, of at most 15 lines."""
    (code,) = blocks("docs/dask.md")
    small, count = re.subn(r"\bLocalCluster\(2,", "LocalCluster(1,", with_few_trials(code))
    done = ran(small, tmp_path)

    assert count == 1
    assert "1 COMPLETE" in done.stdout
    assert len(code.splitlines()) <= 15


@pytest.mark.integration
@pytest.mark.soak("guides")
def test_joblib(tmp_path):
    """So does the first one of the guide to joblib; the others need a cluster."""
    done = ran(blocks("docs/joblib.md")[0], tmp_path)

    assert 0.9 < float(done.stdout) < 1.0


@pytest.mark.integration
@pytest.mark.soak("guides")
def test_from_optuna(tmp_path):
    """So does that of the guide for those who come from Optuna, which loses no trial."""
    (code,) = blocks("docs/from_optuna.md")
    done = ran(with_few_trials(code, 2), tmp_path)  # it asks which params matter

    assert "all 2 trials done" in done.stdout
    assert "'alpha': " in done.stdout


@pytest.mark.integration
@pytest.mark.soak("guides")
def test_callbacks(tmp_path):
    """So does that of the guide to callbacks, whose trials report and are judged."""
    (code,) = blocks("docs/callbacks.md")
    done = ran(with_few_trials(code), tmp_path)

    assert "best    val_binary_logloss 0." in done.stdout
    assert "failed" not in done.stderr


def test_miniature():
    """The design in one file runs, in under 200 lines, and resumes as if never stopped."""
    script = ROOT / "docs" / "mini.py"
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=True, timeout=60
    )

    assert "resumed as if never stopped: True" in done.stdout
    assert len(script.read_text().splitlines()) < 200


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page):
    """Each relative link leads to a file, and to a heading of it if it names one."""
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(), flags=re.MULTILINE | re.DOTALL)
    lost = [
        link
        for link in re.findall(r"\]\(([^)\s]+)\)", text)
        if "://" not in link and not leads_somewhere((ROOT / page).parent, link)
    ]

    assert lost == []


def leads_somewhere(folder, link):
    path, _, heading = link.partition("#")
    target = folder / path
    if not heading:
        return target.exists()
    lines = target.read_text().splitlines()
    titles = [line.lstrip("# ").lower() for line in lines if line.startswith("#")]
    return heading in {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}


def test_the_readme_stays_short():
    """The first page is under 120 lines."""
    assert len((ROOT / "README.md").read_text().splitlines()) < 120


def test_architecture_stays_short():
    """The map is at most 150 lines."""
    assert len((ROOT / "ARCHITECTURE.md").read_text().splitlines()) <= 150


def test_the_guide_to_spaces(tmp_path, monkeypatch):
    """Each of its blocks runs, one after the other, and shows what it says."""
    monkeypatch.chdir(tmp_path)
    text = "\n".join(blocks(ROOT / "docs" / "spaces.md"))
    test = doctest.DocTestParser().get_doctest(text, {}, "spaces.md", "docs/spaces.md", 0)
    said = []
    options = doctest.NORMALIZE_WHITESPACE
    outcome = doctest.DocTestRunner(optionflags=options).run(test, out=said.append)

    assert outcome.attempted > 20
    assert not outcome.failed, "".join(said)
