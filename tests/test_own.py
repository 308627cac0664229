import threading

import numpy as np
import pytest

import manyfit
from manyfit._own import own, own_values


@pytest.mark.parametrize(
    "value",
    [{"layers": [64]}, [[1], [2]], {1, 2}, np.arange(3.0), np.array([[1], None], dtype=object)],
)
def test_what_can_be_changed_is_copied(value):
    """Collections and arrays, with all that they hold."""
    copy = own(value)

    assert type(copy) is type(value)
    assert repr(copy) == repr(value)
    assert copy is not value


def test_what_can_not_be_changed_or_copied_is_handed_out_as_it_is():
    """Shared data and their arrays, however large; functions; a lock, which has no copy."""
    shared = manyfit.share(x=np.zeros(10), table={"a": np.zeros(3)})
    for value in (shared, shared["x"], max, threading.Lock(), 1.5, "text", None):
        assert own(value) is value
    assert own({"data": shared})["data"] is shared


def test_one_that_can_not_be_copied_leaves_the_others_to_be():
    """Each value of a dict is seen to by itself."""
    values = {"lock": threading.Lock(), "layers": [64]}

    copies = own_values(values)

    assert copies["lock"] is values["lock"]
    assert copies["layers"] is not values["layers"]
