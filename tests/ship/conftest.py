"""A project of the user's, on the path for as long as a test runs."""

import sys
import textwrap

import pytest


class Project:
    """Files in a folder that can be imported from."""

    def __init__(self, folder):
        self.folder = folder

    def add(self, name, text=""):
        """Write a file, and return its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project, whose modules are forgotten afterwards."""
    folder = tmp_path / "project"
    folder.mkdir()
    before = set(sys.modules)
    monkeypatch.syspath_prepend(folder)
    yield Project(folder)
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__file__", None) or folder):
            del sys.modules[name]
