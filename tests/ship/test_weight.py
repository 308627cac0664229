"""What makes an objective heavy is named as its author named it."""

import functools

import numpy as np
import pytest

from manyfit.ship.weight import size_warning


def make(x_train, y_train=None):
    def objective(params):
        return x_train, y_train

    return objective


class Trainer:
    def __init__(self, table):
        self.tables = {"train": table, "test": [1, 2]}

    def __call__(self, params):
        return 0.0


LARGE = np.zeros((4000, 400))
LONG = list(range(300_000))


@pytest.fixture(autouse=True)
def by_value():
    """Nothing of this module travels by value unless it is said to."""


@pytest.mark.parametrize(
    ("objective", "part", "share"),
    [
        (
            make(LARGE),
            "its closure variable 'x_train' is 13 MB (numpy.ndarray of shape (4000, 400), float64)",
            "share(x_train=...)",
        ),
        (Trainer(LARGE), "its attribute 'tables' → its item 'train' is 13 MB", "share(train=...)"),
        (Trainer(LARGE).__call__, "its object → its attribute 'tables'", "share(train=...)"),
        (functools.partial(print, data=LARGE), "its argument 'data' is 13 MB", "share(data=...)"),
        (functools.partial(print, LARGE), "its argument 0 is 13 MB", "share(x=...)"),
        (make(LONG), "'x_train' is 1.4 MB (list of length 300000)", "share(x_train=...)"),
    ],
    ids=["closure", "object", "method", "keyword", "position", "list"],
)
def test_the_large_part_is_named(objective, part, share):
    """The way to the array, its size, its shape, and the call that shares it are said."""
    message = size_warning(13_000_000, objective)
    assert part in message
    assert f"data = manyfit.{share}" in message


def test_a_table_is_one_thing():
    """A data frame is named whole, not by what it consists of."""
    pandas = pytest.importorskip("pandas")
    message = size_warning(13_000_000, make(pandas.DataFrame(LARGE)))
    assert "its closure variable 'x_train' is 13 MB (pandas." in message
    assert "DataFrame of shape (4000, 400))" in message


def test_several_parts_are_named_largest_first():
    """All large variables are named, and what is small is not."""
    message = size_warning(20_000_000, make(LARGE[:2000], LARGE))
    assert message.index("'y_train' is 13 MB") < message.index("'x_train' is 6.4 MB")
    assert "share(y_train=..., x_train=...)" in message
    assert "x_train" not in size_warning(13_000_000, make(1, LARGE))


@pytest.mark.parametrize("size", [0, 9_999_999, 10_000_000])
def test_up_to_ten_megabytes_is_fine(size):
    """Nothing is said of, or done for, an objective of common size."""
    assert size_warning(size, make(LARGE)) is None


def test_what_stays_behind_is_not_blamed():
    """A function of a module travels by its name, without the module's variables."""
    message = size_warning(13_000_000, test_several_parts_are_named_largest_first)
    assert "LARGE" not in message
    assert "is 13 MB when pickled, and every worker receives all of it. Send" in message


def test_circles_end():
    """Objects that hold each other are weighed once."""
    trainer = Trainer(LARGE)
    trainer.tables["self"] = trainer
    assert "its item 'train' is 13 MB" in size_warning(13_000_000, make(trainer))
