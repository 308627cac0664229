"""Optional packages."""

import json
import sys
from pathlib import Path

import pytest

from manyfit._optional import expect, load, require
from manyfit.errors import MissingExtraError


def test_a_package_that_is_there() -> None:
    """The module itself is returned."""
    assert require("json", extra="demo", purpose="this test") is json


def test_a_module_within_a_package() -> None:
    """A dotted name gives the innermost module."""
    import json.decoder

    assert require("json.decoder", extra="demo", purpose="this test") is json.decoder


def test_a_package_that_is_missing() -> None:
    """The message says what needs it and which command installs it."""
    with pytest.raises(MissingExtraError) as caught:
        require("no_such_package", extra="pandas", purpose="result.table()")

    assert str(caught.value) == (
        "result.table() needs no_such_package, which is not installed: "
        "pip install 'manyfit[pandas]'"
    )
    assert caught.value.name == "no_such_package"


def test_a_package_that_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that is there but lacks one of its own needs isn't called missing."""
    (tmp_path / "broken_package.py").write_text("import something_else_entirely\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ModuleNotFoundError, match="something_else_entirely") as caught:
        require("broken_package", extra="demo", purpose="this test")
    assert not isinstance(caught.value, MissingExtraError)


def test_load_imports_at_the_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A heavy module is imported when it is asked for."""
    (tmp_path / "heavy_module.py").write_text("weight = 7\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "heavy_module", raising=False)

    assert load("heavy_module").weight == 7


def test_expect_refuses_what_is_missing_and_imports_nothing():
    """What will be needed later is refused at once, in the same words."""
    expect("xml.dom", extra="none", purpose="this")
    with pytest.raises(MissingExtraError, match=r"this needs nowhere_at_all.*manyfit\[x\]"):
        expect("nowhere_at_all", extra="x", purpose="this")
