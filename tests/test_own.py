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


class Handle:
    """As Spark's are, which a copy would let go of."""

    __module__ = "py4j.java_gateway"

    def __deepcopy__(self, memo):
        raise AssertionError("a handle was copied")


class Stage(Handle):
    """A class of the user's that derives from one of Spark's."""

    __module__ = "jobs.stages"


def test_what_a_collection_holds_is_seen_to_one_by_one():
    """A handle, a lock or a shared array in it is as it was; the lists around it are not."""
    shared = manyfit.share(x=np.zeros(10))
    kept = [Handle(), Stage(), threading.Lock(), shared["x"]]
    value = {"stages": kept, "sizes": ([1], [2])}

    found = own(value)

    assert all(one is other for one, other in zip(found["stages"], kept, strict=True))
    assert found["stages"] is not kept
    assert found["sizes"] == value["sizes"]
    assert found["sizes"][0] is not value["sizes"][0]


def test_what_holds_itself_is_copied_too():
    """A cycle is no endless loop."""
    value = [1]
    value.append(value)
    found = own(value)
    assert found is not value
    assert found[1] is found
