"""The way of shared data to a cluster's machines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyfit.data.routes import BROADCAST_LIMIT, INLINE_LIMIT, choose_route
from manyfit.errors import ArgumentError


@pytest.mark.parametrize(
    ("size", "broadcast", "storage", "kind"),
    [
        (0, False, None, "inline"),
        (INLINE_LIMIT, True, "/mnt", "inline"),
        (INLINE_LIMIT + 1, True, "/mnt", "broadcast"),
        (BROADCAST_LIMIT, True, None, "broadcast"),
        (BROADCAST_LIMIT + 1, True, "/mnt", "storage"),
        (INLINE_LIMIT + 1, False, "/mnt", "storage"),
    ],
)
def test_the_cheapest_way(size: int, broadcast: bool, storage: str | None, kind: str) -> None:
    """Small data travel with the work, larger ones by broadcast, the rest through storage."""
    assert choose_route(size, broadcast=broadcast, storage=storage).kind == kind


@given(st.integers(0, 10**12), st.booleans(), st.sampled_from([None, "s3://bucket"]))
def test_a_route_says_why(size: int, broadcast: bool, storage: str | None) -> None:
    """Each route's reason has the size in it; where there is no route, the error has."""
    try:
        said = choose_route(size, broadcast=broadcast, storage=storage).reason
    except ArgumentError as error:
        said = str(error)

    assert said.startswith(f"{size / 1e6:.1f} MB of shared data")


@pytest.mark.parametrize(
    ("size", "broadcast", "why"),
    [(2 * 10**9, True, "more than the 1000.0 MB for a broadcast"), (10**8, False, "no broadcast")],
)
def test_no_way(size: int, broadcast: bool, why: str) -> None:
    """Data without a way are refused, with the reason and what to give."""
    with pytest.raises(ArgumentError, match=f"{why}.*Give storage= a folder"):
        choose_route(size, broadcast=broadcast, storage=None)
