"""Puts pip into the running Python's environment from PyPI, for a Python that has no `ensurepip`.

Usage: .venv/bin/python scripts/fetch_pip.py 26.3
"""

import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urljoin
from urllib.request import Request, urlopen


def main(version: str, index: str = "https://pypi.org/simple/pip/") -> int | str:
    """Download pip's wheel, check it against the index's digest, and have it install itself."""
    name = f"pip-{version}-py3-none-any.whl"
    try:
        wheel, digest = _download(name, index)
    except (OSError, LookupError) as error:
        return f"{name} can't be had from {index}: {error!r}"
    if hashlib.sha256(wheel).hexdigest() != digest:
        return f"what came as {name} is not what {index} lists"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(wheel)
        # A wheel is a zip archive, which Python runs as it is.
        command = [sys.executable, f"{path}/pip", "install", "--quiet", "--no-index", str(path)]
        return subprocess.run(command, check=False).returncode


def _download(name: str, index: str) -> tuple[bytes, str]:
    """Return a file of an index, and the digest that the index has of it (PEP 691)."""
    request = Request(index, headers={"Accept": "application/vnd.pypi.simple.v1+json"})
    with urlopen(request, timeout=20) as answer:
        files = {file["filename"]: file for file in json.load(answer)["files"]}
    with urlopen(urljoin(index, files[name]["url"]), timeout=60) as answer:
        return answer.read(), files[name]["hashes"]["sha256"]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
