"""Digests of data."""

import numpy as np
import pytest

from manyfit.digest import digest_of


def test_data_of_equal_values_has_one_digest():
    """Values count, not identity, memory layout, or the order of a set."""
    pandas = pytest.importorskip("pandas")
    array = np.arange(12.0).reshape(3, 4)
    frame = pandas.DataFrame({"a": [1, 2], "b": ["x", None]})

    assert digest_of(array) == digest_of(np.asfortranarray(array)) != digest_of(array + 1)
    assert digest_of(array) != digest_of(array.reshape(4, 3))
    assert digest_of(np.array([None, "a"])) == digest_of(np.array([None, "a"]))
    assert digest_of(frame) == digest_of(frame.copy()) != digest_of(frame.assign(a=[1, 3]))
    assert digest_of(frame.a) != digest_of(frame.a.rename("c"))
    assert digest_of(object()) == digest_of(object())
