"""What the relay's server says of artifacts: below its root they are at the server."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyfit.trackers.mlflow_app import relocated

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("place", "seen"),
    [
        ("/a/mlruns/0/b/artifacts", "mlflow-artifacts:/0/b/artifacts"),
        ("/a/mlruns/", "mlflow-artifacts:/"),
        ("/a/mlruns", "/a/mlruns"),
        ("/a/mlruns2/0", "/a/mlruns2/0"),
        ("see /a/mlruns/0", "see /a/mlruns/0"),
    ],
)
def test_places_below_the_root(place: str, seen: str) -> None:
    """They are relocated wherever they stand, and nothing else is."""
    assert relocated({"runs": [{"info": {"uri": place}}]}, "/a/mlruns") == {
        "runs": [{"info": {"uri": seen}}]
    }


@given(JSON)
def test_everything_else_stays(value: object) -> None:
    """JSON without a place below the root comes out as it went in."""
    assert relocated(value, "/no such root") == value
