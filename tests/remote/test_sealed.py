"""Values that go through Spark's files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyfit.errors import ExecutorError
from manyfit.remote.sealed import seal, unseal


@given(st.binary(max_size=5_000), st.integers(0), st.integers(1, 255))
def test_only_as_it_was_and_with_its_key(value, place, change):
    """It comes back with its own key; with another, or with any byte changed, it is refused."""
    key, sealed = seal(value)
    assert unseal(key, sealed) == value
    damaged = bytearray(sealed)
    damaged[place % len(sealed)] ^= change
    for wrong in ((key, bytes(damaged)), (key[::-1], sealed), (key, sealed[:-1])):
        with pytest.raises(ExecutorError, match="damaged"):
            unseal(*wrong)


def test_nothing_shows():
    """The same value is another one each time, and nothing of it can be read."""
    value = [b"CANARY"] * 1_000
    sealed = [seal(value)[1] for _ in range(2)]
    assert sealed[0] != sealed[1]
    assert not any(b"CANARY" in each for each in sealed)
