"""Rows: to and from params, what they may be, and their neighbours."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyfit.samplers.cube import Cube
from manyfit.space import Choice, Float, Int, Space
from manyfit.testing.samplers import INFINITE, SPACES

ALL = {**SPACES, **INFINITE}
NESTED = Space(
    {
        "rate": Float(0.0, 1.0),
        "model": Choice(
            {
                "svm": {
                    "C": Float(0, 1),
                    "kernel": Choice({"rbf": {"gamma": Int(1, 9)}, "lin": {}}),
                },
                "net": {"units": Int(1, 100, log=True), "act": Choice(["relu", "tanh"])},
                "mean": {},
            }
        ),
    }
)
seeds = st.integers(0, 2**32)


def samples(space, count, seed=0):
    rng = np.random.default_rng(seed)
    return [space.sample(rng) for _ in range(count)]


def assert_alike(one, other):
    """Same names and types, and the same values but for the last digits of a Float."""
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert type(value) is type(other[name])
        is_real = isinstance(value, float)
        assert value == (pytest.approx(other[name], rel=1e-9) if is_real else other[name])


def rows_of(cube, space, count, seed=0):
    return np.array([cube.row(params) for params in samples(space, count, seed)])


@pytest.fixture(params=ALL.values(), ids=ALL.keys())
def space(request):
    return request.param


class TestRows:
    @given(seed=seeds, name=st.sampled_from(sorted(ALL)))
    def test_there_and_back(self, seed, name):
        """Params come back from their row, in stored form, and so does the row from its params."""
        space, cube = ALL[name], Cube(ALL[name])
        for params in samples(space, 5, seed):
            row = cube.row(params)
            back = cube.params(row)

            space.check(back)
            assert_alike(back, params)
            assert cube.row(back) == pytest.approx(row, abs=1e-9)

    def test_columns(self):
        """One column for each param: places of numbers in the unit interval, places of options."""
        cube = Cube(NESTED)
        row = cube.row({"rate": 0.25, "model": "net", "units": 100, "act": "tanh"})

        names = dict(zip(NESTED.params, row, strict=True))
        assert names["rate"] == 0.25
        assert names["model"] == 1
        assert names["act"] == 1
        assert 0.99 < names["units"] < 1
        assert cube.dimensions == len(NESTED.params)

    def test_what_is_inactive_is_neutral(self):
        """An inactive number is in the middle, an inactive choice has no option."""
        row = Cube(NESTED).row({"rate": 0.25, "model": "mean"})

        names = dict(zip(NESTED.params, row, strict=True))
        assert [names[n] for n in ("C", "gamma", "units")] == [0.5, 0.5, 0.5]
        assert [names[n] for n in ("kernel", "act")] == [-1, -1]

    @given(seed=seeds, name=st.sampled_from(sorted(ALL)))
    def test_places_of_the_unit_cube(self, seed, name):
        """A place of the unit cube is the row of what the space decodes it to."""
        space, cube = ALL[name], Cube(ALL[name])
        units = np.random.default_rng(seed).random((5, cube.dimensions))
        rows = cube.from_units(units)

        for unit, row in zip(units, rows, strict=True):
            params = space.decode(unit)
            assert_alike(cube.params(row), params)
            assert cube.row(params) == pytest.approx(row, abs=1e-9)

    def test_places_are_not_changed(self):
        """The places that rows are made of are the caller's."""
        units = np.full((2, Cube(NESTED).dimensions), 0.3)
        Cube(NESTED).from_units(units)

        assert (units == 0.3).all()

    def test_weights(self):
        """Of even places, each option gets a share as large as its weight says."""
        cube = Cube(Space({"c": Choice(["a", "b", "c"], weights=[2, 1, 1])}))
        rows = cube.from_units((np.arange(100)[:, None] + 0.5) / 100)

        assert np.bincount(rows[:, 0].astype(int)).tolist() == [50, 25, 25]

    def test_the_grid(self):
        """The grid of a finite space has the row of each configuration."""
        space = Space({"n": Int(1, 4), "kind": Choice({"a": {"x": Int(1, 3)}, "b": {}})})
        cube = Cube(space)

        assert [cube.params(row) for row in cube.grid] == list(space.grid())

    def test_a_space_without_params(self):
        """A space of constants has one row, of no entries."""
        cube = Cube(Space({"epochs": 3}))

        assert cube.dimensions == 0
        assert cube.row({}).shape == (0,)
        assert cube.params(cube.row({})) == {}
        assert cube.grid.shape == (1, 0)
        assert cube.points(cube.grid).dimensions == 0


class TestSettle:
    @given(seed=seeds, name=st.sampled_from(sorted(ALL)))
    def test_once_is_enough(self, seed, name):
        """Settled rows stay where they are, and those of configurations are settled."""
        space, cube = ALL[name], Cube(ALL[name])
        rows = cube.from_units(np.random.default_rng(seed).random((20, cube.dimensions)))

        assert cube.settle(rows.copy()) == pytest.approx(rows, abs=1e-12)
        known = rows_of(cube, space, 20, seed)
        assert cube.settle(known.copy()) == pytest.approx(known, abs=1e-9)

    def test_a_branch_that_is_left_goes_neutral(self):
        """Where another branch is chosen, what only the old one had becomes neutral, nested too."""
        cube = Cube(NESTED)
        names = list(NESTED.params)
        row = cube.row({"rate": 0.5, "model": "svm", "C": 0.1, "kernel": "rbf", "gamma": 9})
        row[names.index("model")] = 2

        settled = cube.settle(row[None].copy())[0]
        assert settled == pytest.approx(cube.row({"rate": 0.5, "model": "mean"}))


class TestPoints:
    def distance(self, space, one, other):
        """Return how far apart two configurations are, numbers and then choices."""
        cube = Cube(space)
        points = cube.points(np.array([cube.row(one), cube.row(other)]))
        differ = points.corners[0] != points.corners[1]
        choices = [differ[points.owners == owner].any() for owner in np.unique(points.owners)]
        return np.abs(points.numbers[0] - points.numbers[1]).tolist(), choices

    def test_options_have_a_corner_each(self):
        """Exactly one corner of each choice that has an alternative is 1; any two are as far."""
        space = Space({"c": Choice(["a", "b", "c"]), "alone": Choice(["x"]), "d": Choice([1, 2])})
        cube = Cube(space)
        points = cube.points(cube.grid)

        assert points.corners.shape == (6, 5)
        assert points.dimensions == 2
        assert points.owners.tolist() == [0, 0, 0, 1, 1]
        assert points.corners.sum(axis=1).tolist() == [2.0] * 6
        assert len({tuple(corners) for corners in points.corners}) == 6

    def test_what_both_lack_does_not_set_them_apart(self):
        """Two configurations that lack a param agree in it, whatever branches they are of."""
        both = {"rate": 0.5, "model": "mean"}

        assert self.distance(NESTED, both, both) == ([0.0] * 4, [False] * 3)

    def test_what_one_lacks_is_half_a_range_away_at_most(self):
        """A number against none is as far as that number is from the middle; a choice differs."""
        one = {"rate": 0.5, "model": "svm", "C": 1.0, "kernel": "lin"}
        numbers, choices = self.distance(NESTED, one, {"rate": 0.5, "model": "mean"})

        assert dict(zip(("rate", "C", "gamma", "units"), numbers, strict=True)) == {
            "rate": 0,
            "C": 0.5,
            "gamma": 0,
            "units": 0,
        }
        assert choices == [True, True, False]

    def test_parts_and_sums(self):
        """Points can be picked, sliced and joined like a list."""
        cube = Cube(NESTED)
        points = cube.points(rows_of(cube, NESTED, 5))

        assert len(points) == 5
        again = points[:2] + points[np.array([2, 3, 4])]
        assert (again.numbers == points.numbers).all()
        assert (again.corners == points.corners).all()
        assert len(points[:0]) == 0
        assert points[:0].dimensions == points.dimensions


class TestNeighbours:
    @given(seed=seeds, name=st.sampled_from(sorted(ALL)), scale=st.sampled_from([0.001, 0.1, 10.0]))
    def test_lie_in_the_space(self, seed, name, scale):
        """Neighbours are configurations of the space, branches and all, however far they move."""
        space, cube = ALL[name], Cube(ALL[name])
        rng = np.random.default_rng(seed)
        found = cube.neighbours(rows_of(cube, space, 4, seed), 30, scale, rng)

        assert found.shape == (30, cube.dimensions)
        for row in found:
            params = cube.params(row)
            space.check(params)
            assert cube.row(params) == pytest.approx(row, abs=1e-9)

    def test_the_base_is_left_alone(self, space):
        """Rows to stay near are not changed."""
        cube = Cube(space)
        rows = rows_of(cube, space, 5)
        before = rows.copy()
        cube.neighbours(rows, 50, 0.1, np.random.default_rng(0))

        assert (rows == before).all()

    def test_differ_in_few_params(self):
        """Two of three differ in one or a few params, the others in all."""
        cube = Cube(Space({f"x{i}": Float(0, 1) for i in range(20)}))
        row = np.full((1, 20), 0.5)
        changed = (cube.neighbours(row, 3000, 0.1, np.random.default_rng(0)) != row).sum(axis=1)

        assert changed.min() >= 1
        assert 0.13 < np.mean(changed == 1) < 0.21
        assert 0.55 < np.mean(changed <= 4) < 0.7
        assert 0.3 < np.mean(changed == 20) < 0.37

    def test_numbers_move_as_far_as_asked(self):
        """The changes of a number have the standard deviation that was asked for."""
        cube = Cube(Space({"x": Float(0, 1)}))
        found = cube.neighbours(np.full((1, 1), 0.5), 5000, 0.05, np.random.default_rng(0))

        assert found.std() == pytest.approx(0.05, rel=0.1)

    def test_a_grid_is_left_by_a_step_at_least(self):
        """On an even grid, the smallest change leads to the next value, not back to the same."""
        cube = Cube(Space({"n": Int(1, 1000), "x": Float(0, 1, step=0.1)}))
        row = cube.row({"n": 500, "x": 0.5})[None]
        found = cube.neighbours(row, 200, 1e-9, np.random.default_rng(0))

        assert (found != row).any(axis=1).all()
        assert {cube.params(r)["n"] for r in found} == {499, 500, 501}
        assert {cube.params(r)["x"] for r in found} == {0.4, 0.5, 0.6}

    def test_bounds_reflect(self):
        """What would leave the range comes back into it, and isn't piled up at the bound."""
        cube = Cube(Space({"x": Float(0, 1)}))
        found = cube.neighbours(np.zeros((1, 1)), 1000, 0.1, np.random.default_rng(0))

        assert found.min() > 0
        assert found.max() < 0.6

    def test_a_new_branch_is_drawn_whole(self):
        """What a change of branch brings to life takes any value, not the neutral one."""
        cube = Cube(NESTED)
        row = cube.row({"rate": 0.5, "model": "mean"})[None]
        found = [cube.params(r) for r in cube.neighbours(row, 4000, 0.01, np.random.default_rng(0))]

        assert {p["kernel"] for p in found if p["model"] == "svm"} == {"rbf", "lin"}
        assert {p["act"] for p in found if p["model"] == "net"} == {"relu", "tanh"}
        assert {p["gamma"] for p in found if p.get("kernel") == "rbf"} == set(range(1, 10))
        drawn = [p["C"] for p in found if p["model"] == "svm"]
        assert min(drawn) < 0.05
        assert max(drawn) > 0.95

    def test_a_shared_param_keeps_its_value(self):
        """A param that both branches have stays as it is when the branch changes."""
        shared = Float(0, 1)
        space = Space({"model": Choice({"a": {"x": shared}, "b": {"x": shared}, "c": {}})})
        cube = Cube(space)
        row = cube.row({"model": "a", "x": 0.875})[None]
        found = [cube.params(r) for r in cube.neighbours(row, 400, 1e-6, np.random.default_rng(0))]

        kept = [p["x"] for p in found if p["model"] == "b"]
        assert len(kept) > 20
        assert kept == pytest.approx([0.875] * len(kept), abs=1e-4)

    def test_repeats_itself(self, space):
        """The same random state gives the same neighbours."""
        cube = Cube(space)
        one, other = (
            cube.neighbours(rows_of(cube, space, 3), 20, 0.1, np.random.default_rng(5))
            for _ in range(2)
        )

        assert (one == other).all()


def test_what_is_held_all_rows_have():
    """Points anywhere, neighbours and the grid have the params that are given, where active."""
    space = Space(
        {
            "model": Choice({"svm": {"k": Int(1, 3)}, "forest": {"depth": Int(1, 4)}}),
            "on": Choice([True, False]),
        }
    )
    rng = np.random.default_rng(0)
    free = Cube(space)
    base = free.from_units(rng.random((20, free.dimensions)))
    cube = free.holding({"model": "forest", "k": 2})

    for rows in (
        cube.from_units(rng.random((50, cube.dimensions))),
        cube.neighbours(base, 50, 0.2, rng),
        cube.grid,
    ):
        found = [cube.params(row) for row in rows]
        assert {params["model"] for params in found} == {"forest"}
        assert all(space.contains(params) for params in found)
        assert len({params["depth"] for params in found}) == 4
    assert len(cube.grid) == 8
    assert len(free.grid) == 14
