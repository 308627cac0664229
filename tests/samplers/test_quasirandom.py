"""Quasi-random search: balanced, and point n is a function of the seed and n."""

import itertools

import pytest

from manyfit.errors import ArgumentError
from manyfit.samplers.quasirandom import QuasiRandomSampler
from manyfit.space import Choice, Float, Int, Space

SPACE = Space({"x": Float(0, 1), "y": Float(0, 1)})


def test_fills_the_space_evenly():
    """Any 64 points that begin at a multiple of 64 fall one into each cell of an 8 by 8 board."""
    sampler = QuasiRandomSampler(SPACE, seed=3)
    for start in (0, 64, 640):
        points = [sampler.ask(number) for number in range(start, start + 64)]
        assert len({(int(8 * p["x"]), int(8 * p["y"])) for p in points}) == 64


def test_any_order():
    """Points can be asked for in any order, far apart and again: the n-th is the n-th."""
    inorder = QuasiRandomSampler(SPACE, seed=3)
    points = [inorder.ask(number) for number in range(300)]
    jumping = QuasiRandomSampler(SPACE, seed=3)

    for number in (299, 0, 64, 63, 200, 5, 128, 128, 299):
        assert jumping.ask(number) == points[number]


def test_weights_and_options():
    """A Choice gets as many points as its weights say."""
    space = Space({"c": Choice(["a", "b", "c"], weights=[2, 1, 1]), "n": Int(1, 4)})
    sampler = QuasiRandomSampler(space, seed=0)
    drawn = [sampler.ask(number) for number in range(64)]

    assert [sum(p["c"] == name for p in drawn) for name in "abc"] == [32, 16, 16]
    assert [sum(p["n"] == n for p in drawn) for n in (1, 2, 3, 4)] == [16] * 4


def test_nothing_to_tune():
    """A space of constants has one point."""
    assert QuasiRandomSampler(Space({"epochs": 3}), seed=0).ask(0) == {}


def test_too_many_params():
    """More params than the sequence has dimensions are refused, with the number and a way out."""
    space = Space({f"x{i}": Float(0, 1) for i in range(21_202)})

    with pytest.raises(ArgumentError, match=r"at most 21201 params.*has 21202.*'random'"):
        QuasiRandomSampler(space, seed=0)


@pytest.mark.integration
def test_the_end_of_the_sequence():
    """After 2**30 points it has nothing more to propose; the last one is still there."""
    sampler = QuasiRandomSampler(SPACE, seed=0)

    assert SPACE.contains(sampler.ask(2**30 - 1))
    assert sampler.ask(2**30) is None


def test_different_seeds_scramble_differently():
    """No point is shared between seeds."""
    points = [
        QuasiRandomSampler(SPACE, seed).ask(n)["x"]
        for seed, n in itertools.product(range(4), range(4))
    ]

    assert len(set(points)) == 16
