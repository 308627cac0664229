"""What a trial misses on another machine is said to be missing there."""

import pytest

from manyfit.worker.shipped import hint_for

CODE = ("/node/code/0123",)


def chained(error):
    try:
        try:
            raise error
        except OSError as inner:
            raise ValueError("no settings") from inner
    except ValueError as outer:
        return outer


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(2, "No such file", "/node/code/0123/shop/w.json"),
        chained(FileNotFoundError(2, "No such file", "/node/code/0123/shop/w.json")),
        ModuleNotFoundError("No module named 'shop.plugin'", name="shop.plugin"),
    ],
)
def test_what_stayed_with_the_driver(error):
    """A file beside the code, or a module, that was not sent: `ship=` is named."""
    assert "ship=" in hint_for(error, CODE)
    assert hint_for(error, ()) == ""


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(2, "No such file", "/data/w.json"),
        FileNotFoundError("no model"),
        PermissionError(13, "Permission denied", "/node/code/0123/shop/w.json"),
        ValueError("no depth"),
    ],
)
def test_other_causes(error):
    """Nothing is added to what has nothing to do with it."""
    assert hint_for(error, CODE) == ""
