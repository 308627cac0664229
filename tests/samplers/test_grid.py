"""Grid search: all, in order, once."""

import pytest

from manyfit.errors import SpaceError
from manyfit.samplers.grid import GridSampler
from manyfit.space import Choice, Float, Int, Space
from manyfit.testing.samplers import finished
from manyfit.trial import Trial

SPACE = Space(
    {"C": Float(0.5, 1.5, step=0.5), "kernel": Choice({"rbf": {"g": Int(1, 2)}, "no": {}})}
)


def run(sampler, number=0):
    """Ask and tell until there is nothing more."""
    found = []
    while (params := sampler.ask(number)) is not None:
        found.append(params)
        sampler.tell(Trial(number, params))
        sampler.tell(finished(number, params, 0.0))
        number += 1
    return found


def test_all_in_order():
    """Every configuration comes once, in the order of the space's grid."""
    assert run(GridSampler(SPACE, seed=0)) == list(SPACE.grid())


def test_the_seed_changes_nothing():
    """The order is that of declaration, whatever the seed."""
    assert run(GridSampler(SPACE, seed=1)) == run(GridSampler(SPACE, seed=2))


def test_leaves_out_what_was_tried():
    """Points given by start_with, or told by a replayed record, are not proposed again."""
    points = list(SPACE.grid())
    sampler = GridSampler(SPACE, seed=0)
    for number, place in enumerate((0, 4, 8)):
        sampler.tell(Trial(number, points[place]))

    assert run(sampler, 3) == [p for i, p in enumerate(points) if i not in (0, 4, 8)]


def test_an_infinite_space_is_refused():
    """The error names the Float to blame, and what to do about it."""
    with pytest.raises(SpaceError, match=r"infinite: rate may be any number.*Give it a step"):
        GridSampler(Space({"rate": Float(0, 1), "n": Int(1, 2)}), seed=0)


def test_a_vast_space_is_begun_at_once():
    """A grid of 10**40 points costs nothing until it is walked."""
    sampler = GridSampler(Space({f"x{i}": Int(1, 10) for i in range(40)}), seed=0)

    assert set(sampler.ask(0).values()) == {1}
