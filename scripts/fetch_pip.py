"""Puts pip into the running Python's environment from PyPI, for a Python that has no `ensurepip`.

.venv/bin/python scripts/fetch_pip.py 26.3
"""

import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.request import urlopen


def main(version: str) -> int:
    """Download pip's wheel, check it against the index's digest, and have it install itself."""
    try:
        with urlopen(f"https://pypi.org/pypi/pip/{version}/json", timeout=20) as answer:
            files = json.load(answer)["urls"]
        wheel = next(file for file in files if file["packagetype"] == "bdist_wheel")
        with urlopen(wheel["url"], timeout=60) as answer:  # noqa: S310
            content = answer.read()
    except OSError as error:
        print(f"pip {version} can't be downloaded from pypi.org: {error}", file=sys.stderr)
        return 1
    if hashlib.sha256(content).hexdigest() != wheel["digests"]["sha256"]:
        print(f"what was downloaded as pip {version} is not what pypi.org lists", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / wheel["filename"]
        path.write_bytes(content)
        # A wheel is a zip archive, which Python runs as it is.
        command = [sys.executable, f"{path}/pip", "install", "--quiet", str(path)]
        return subprocess.run(command, check=False).returncode  # noqa: S603


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
