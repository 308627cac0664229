"""Where models of groups are kept: folders, and URLs of storage."""

import pytest

from manyfit.groups.record.models import fetch, store

KEYS = ['["north"]', '["ä/..\\\\ü", null]', '["\ud800"]', '["' + "x" * 5000 + '"]']


@pytest.fixture(params=["folder", "file URL", "memory URL"])
def place(request, tmp_path):
    """A folder that doesn't exist yet."""
    if request.param == "folder":
        return str(tmp_path / "new" / "models")
    pytest.importorskip("fsspec", reason="fsspec is not installed")
    folder = f"file://{tmp_path}/new/models/"
    return folder if request.param == "file URL" else "memory://manyfit-tests/models"


@pytest.mark.parametrize("key", KEYS)
def test_what_was_stored_comes_back(place, key):
    """Whatever the key holds, its model is found where `store` said, and there only."""
    path = store(place, key, b"first")
    other = store(place, "another", b"other")

    assert path.startswith(place.rstrip("/"))
    assert (fetch(path), fetch(other)) == (b"first", b"other")


def test_none_is_overwritten(place):
    """Several calls may keep models of one group in a folder; the same model is there once."""
    paths = [store(place, "key", data) for data in (b"old, and longer", b"new", b"new")]

    assert [fetch(path) for path in paths] == [b"old, and longer", b"new", b"new"]
    assert len(set(paths)) == 2


def test_nothing_else_is_left(tmp_path):
    """What is in the folder are models, and no parts of such."""
    paths = {store(str(tmp_path), key, b"x") for key in KEYS}

    assert {str(path) for path in tmp_path.iterdir()} == paths


def test_no_permission(tmp_path):
    """A folder that can't be written to is an OSError that names it."""
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(OSError, match="file"):
        store(str(tmp_path / "file" / "models"), "key", b"x")


def test_it_is_gone(place):
    """A model that somebody has removed is an OSError, too."""
    with pytest.raises(OSError, match=r"gone\.pkl"):
        fetch(f"{place.rstrip('/')}/gone.pkl")
