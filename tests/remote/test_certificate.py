"""A driver's certificate: a new one each time, whose key nobody finds."""

import ssl
import stat
import sys
import tempfile
from pathlib import Path

import pytest

from manyfit.errors import MissingExtraError
from manyfit.remote.certificate import certified_context


def test_each_is_another():
    """Two studies have nothing in common."""
    assert certified_context()[1] != certified_context()[1]


def test_its_key_stays_in_the_process(tmp_path, monkeypatch):
    """The file that OpenSSL reads is this user's, holds no key that can be read, and is removed."""
    seen = []

    load = ssl.SSLContext.load_cert_chain

    def spy(context, name, password):
        path = Path(name)
        seen.append((path.parent, stat.S_IMODE(path.stat().st_mode), path.read_text()))
        load(context, name, password=password)

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", spy)
    certified_context()
    ((folder, mode, text),) = seen
    assert (folder, mode) == (tmp_path, 0o600)
    assert "BEGIN ENCRYPTED PRIVATE KEY" in text
    assert "BEGIN PRIVATE KEY" not in text
    assert list(tmp_path.iterdir()) == []


def test_it_needs_a_package(monkeypatch):
    """Without cryptography, an error says what to install."""
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(MissingExtraError, match=r"is encrypted.*: pip install cryptography"):
        certified_context()
