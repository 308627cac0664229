"""Advice as lines for users."""

import pytest

from manyfit.advice.advice import Advice, as_lines


@pytest.mark.parametrize(("count", "lines"), [(0, 0), (5, 5), (6, 5), (16, 5)])
def test_five_lines_at_most(count, lines):
    """If there is more to say, the last line says where to read it."""
    found = as_lines([Advice("seed", (), str(number)) for number in range(count)], "here()")

    assert len(found) == lines
    assert count <= 5 or found[-1] == f"advice: {count - 4} more in here()"
