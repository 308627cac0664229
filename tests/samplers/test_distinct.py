"""No point twice while an untried one exists: bounded, unbiased, and an end that is an end."""

import time

import pytest

from manyfit.errors import SpaceError
from manyfit.samplers.distinct import distinct_params
from manyfit.space import Choice, Float, Int, Space

SMALL = Space({"a": Int(1, 5), "b": Choice({"x": {"n": Int(1, 3)}, "y": {}})})


class Scripted:
    """Proposes the same params again and again."""

    def __init__(self, params):
        self.params = params
        self.asked = []

    def tell(self, trial):
        raise AssertionError("only the engine tells")

    def ask(self, number):
        self.asked.append(number)
        return self.params


def keys(space, points):
    return {space.key(params) for params in points}


def test_takes_a_new_proposal_as_it_is():
    """What the sampler proposes is taken if it has not been tried; it is asked once."""
    sampler = Scripted({"a": 1, "b": "y"})

    assert distinct_params(sampler, SMALL, 7, set(), seed=0) == {"a": 1, "b": "y"}
    assert sampler.asked == [7]


def test_every_point_comes_up_once():
    """A stubborn sampler still leads through a whole finite space, and then to None."""
    sampler = Scripted({"a": 1, "b": "y"})
    seen = set()
    while (params := distinct_params(sampler, SMALL, len(seen), seen, seed=0)) is not None:
        assert SMALL.contains(params)
        assert SMALL.key(params) not in seen
        seen.add(SMALL.key(params))

    assert seen == keys(SMALL, SMALL.grid())


@pytest.mark.parametrize("tried", [4, 16], ids=["plenty left", "few left"])
def test_untried_points_are_equally_likely(tried):
    """Whether many or few points are left, each of them replaces a repeat equally often."""
    points = list(SMALL.grid())
    seen = keys(SMALL, points[:tried])
    sampler = Scripted(points[0])
    drawn = [SMALL.key(distinct_params(sampler, SMALL, n, seen, seed=0)) for n in range(2000)]

    left = len(points) - tried
    for key in keys(SMALL, points[tried:]):
        # Five standard deviations of a count of 2000 draws from `left` points.
        assert abs(drawn.count(key) - 2000 / left) < 5 * (2000 / left) ** 0.5


def test_a_function_of_seed_and_number():
    """The same facts lead to the same point; another number or seed to another choice."""
    space = Space({"a": Int(1, 10**6)})
    seen = {space.key({"a": 1})}

    def choose(number, seed):
        return distinct_params(Scripted({"a": 1}), space, number, seen, seed)["a"]

    assert choose(3, 0) == choose(3, 0)
    assert len({choose(3, 0), choose(4, 0), choose(3, 1)}) == 3


def test_an_infinite_space_goes_on():
    """A repeat in an infinite space is replaced by a random point."""
    space = Space({"x": Float(0, 1)})
    params = {"x": 0.5}
    found = distinct_params(Scripted(params), space, 1, keys(space, [params]), seed=0)

    assert space.contains(found)
    assert found != params


def test_an_infinite_space_where_nothing_new_is_drawn():
    """Where random search only meets what has been tried, there is an end to the search."""
    space = Space({"on": Choice({"no": {}, "yes": {"x": Float(0, 5e-324)}})})
    seen = keys(space, [{"on": "no"}, {"on": "yes", "x": 0.0}, {"on": "yes", "x": 5e-324}])

    assert distinct_params(Scripted({"on": "no"}), space, 1, seen, seed=0) is None


def test_a_sampler_that_has_no_more_ends_it():
    """None from the sampler is the end, although untried points exist."""
    assert distinct_params(Scripted(None), SMALL, 0, set(), seed=0) is None


def test_an_exhausted_space_is_the_end_without_asking():
    """When everything has been tried the sampler isn't troubled."""
    sampler = Scripted({"a": 1, "b": "y"})

    assert distinct_params(sampler, SMALL, 20, keys(SMALL, SMALL.grid()), seed=0) is None
    assert sampler.asked == []


def test_a_proposal_outside_the_space_is_named():
    """A sampler of somebody's own that breaks the rules is told so by name."""
    with pytest.raises(SpaceError, match="Scripted proposed a point not in the space: a must be a"):
        distinct_params(Scripted({"a": 9, "b": "y"}), SMALL, 0, set(), seed=0)


def test_a_vast_finite_space_takes_no_longer():
    """10**40 points, or one left of 20,000: neither is a reason to wait."""
    vast = Space({f"x{i}": Int(1, 10) for i in range(40)})
    first = vast.at(0)
    line = Space({"a": Int(1, 20_000)})
    tried = keys(line, line.grid()) - keys(line, [{"a": 12_345}])

    start = time.process_time()
    assert vast.contains(distinct_params(Scripted(first), vast, 1, keys(vast, [first]), seed=0))
    assert distinct_params(Scripted({"a": 1}), line, 1, tried, seed=0) == {"a": 12_345}
    assert time.process_time() - start < 5
