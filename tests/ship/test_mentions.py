"""Imports are read from code that is never run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyfit.ship.mentions import Mention, mentions_in_code, mentions_in_source

GUARDED = """
import outer
try:
    import fast
except (ImportError, AttributeError):
    import slow
try:
    import kept
except ValueError:
    pass
def function():
    import inner
    class Nested:
        import deep
class Body:
    import at_class
with open("x"):
    import in_with
match 1:
    case 1:
        import in_case
if True:
    import in_if
else:
    import in_else
"""


def of(source, package=""):
    return {mention.name: mention.sure for mention in mentions_in_source(source.encode(), package)}


def of_code(source, package=""):
    names = {}
    exec(source, names)
    return [mention.name for mention in mentions_in_code(names["f"].__code__, package)]


def test_what_may_not_run_is_not_sure():
    """Imports in functions, and those whose failure is caught, are told from those that happen."""
    unsure = {"fast", "inner", "deep"}
    sure = {"outer", "slow", "kept", "at_class", "in_with", "in_case", "in_if", "in_else"}
    assert of(GUARDED) == {name: name in sure for name in sure | unsure}


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import a.b.c as d", ["a.b.c"]),
        ("from a import b, c", ["a", "a.b", "a.c"]),
        ("from a import *", ["a"]),
        ("from . import x", ["p.q", "p.q.x"]),
        ("from .m import x", ["p.q.m", "p.q.m.x"]),
        ("from ..m import x", ["p.m", "p.m.x"]),
        ("from .... import too_far", []),
    ],
)
def test_every_form_of_import(source, names):
    """Both ways of reading understand all forms, relative ones too, alike."""
    assert list(of(source, "p.q")) == names
    if "*" not in source:
        assert of_code(f"def f():\n    {source}", "p.q") == names


def test_relative_imports_without_a_package_mention_nothing():
    """A script's relative import, which can't work, is no reason to fail here."""
    assert of("from . import x\nimport y") == {"y": True}


@pytest.mark.parametrize(
    "test", ["TYPE_CHECKING", "typing.TYPE_CHECKING", "__name__ == '__main__'"]
)
def test_what_never_runs_on_a_worker_is_left_out(test):
    """Imports for type checkers, and for running as a script, need not be on workers."""
    assert of(f"if {test}:\n    import a\nelse:\n    import b") == {"b": True}


@pytest.mark.parametrize(
    "source", [b"def broken(:", b"\xff\xfe", b"import a\0", b"print 'two'", b"", b"# coding: no"]
)
def test_source_that_cannot_be_parsed_mentions_nothing(source):
    """A file of another Python, or no Python at all, is passed over."""
    assert list(mentions_in_source(source, "")) == []


def test_reading_warns_of_nothing():
    """Odd escapes in a user's strings are none of our business."""
    assert of("x = '\\d'\nimport a") == {"a": True}


def test_nested_code_is_read():
    """Imports inside of inner functions, classes and comprehensions of a function count."""
    source = """
def f():
    import a
    def g():
        from b import c
    class H:
        import d
"""
    assert sorted(of_code(source)) == ["a", "b", "b.c", "d"]


def test_long_functions_are_read():
    """Bytecode's prefixes for large arguments don't hide an import."""
    many = "\n".join(f"    x{i} = {i}.5" for i in range(400))
    assert of_code(f"def f():\n{many}\n    from late import name") == ["late", "late.name"]


NAMES = st.from_regex(r"[a-z]{1,5}(\.[a-z]{1,5}){0,3}", fullmatch=True).filter(
    lambda name: not any(part in ("if", "in", "is", "as", "or", "not") for part in name.split("."))
)


@given(st.lists(NAMES, max_size=5), st.integers(0, 4))
def test_depth_does_not_matter(names, depth):
    """However deep in blocks an import is, it is found, once."""
    lines = [f"{' ' * i}if x:" for i in range(depth)]
    lines += [f"{' ' * depth}import {name}" for name in names] or [f"{' ' * depth}pass"]
    try:
        compile("\n".join(lines), "x", "exec")
    except SyntaxError:  # another keyword
        return
    found = list(mentions_in_source("\n".join(lines).encode(), ""))
    assert found == [Mention(name) for name in names]
