"""What configurations have in common is run together, kept while needed, and within the budget."""

import math
from itertools import groupby, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyfit.prefixes import Demand, Shelf, prefix_order

PATHS = st.lists(st.tuples(*[st.integers(0, 2)] * 3), max_size=12)


class TestPrefixOrder:
    @given(PATHS)
    def test_is_an_order_of_all(self, paths):
        """Each path is there once."""
        assert sorted(prefix_order(paths)) == list(range(len(paths)))

    @given(PATHS, st.integers(1, 3))
    def test_equal_prefixes_are_neighbours(self, paths, length):
        """Paths that share a prefix, of whatever length, follow one another."""
        prefixes = [paths[place][:length] for place in prefix_order(paths)]
        runs = [prefix for prefix, _ in groupby(prefixes)]

        assert len(runs) == len(set(prefixes))

    def test_the_first_one_stays_first(self):
        """Groups come in the order of their first members, and equal paths stay in theirs."""
        paths = [("b", 1), ("a", 1), ("b", 2), ("b", 1)]

        assert [paths[place] for place in prefix_order(paths)] == [
            ("b", 1),
            ("b", 1),
            ("b", 2),
            ("a", 1),
        ]
        assert prefix_order(paths)[:2] == [0, 3]

    def test_paths_may_end_early(self):
        """A path that is a prefix of another one goes with it."""
        assert prefix_order([("a",), ("b",), ("a", 1)]) == [0, 2, 1]

    def test_nothing(self):
        """No paths have no order."""
        assert prefix_order([]) == []


class TestDemand:
    def test_counts_what_is_listed(self):
        """A prefix is asked for by each listed path that begins with it, until that is done."""
        paths = list(product(["fold"], "ab", [1, 2, 3]))
        demand = Demand(paths)
        assert demand.of(("fold",)) == 6
        assert demand.of(("fold", "a")) == 3

        for path in paths[:3]:
            demand.done(path)

        assert demand.of(("fold", "a")) == 0
        assert demand.of(("fold",)) == 3

    def test_a_listed_one_that_begins_is_counted_once(self):
        """To begin what was listed changes nothing."""
        demand = Demand([("fold", "a")], unlisted=5)

        demand.begin([("fold", "a")])

        assert demand.of(("fold", "a")) == 1
        assert demand.of(("fold", "a"), variants=5) == 2

    def test_an_unlisted_one_that_begins_is_listed_from_then_on(self):
        """What a sampler proposed is known, and there is one less to come."""
        demand = Demand(unlisted=10)
        assert demand.of(("fold 0",), variants=1) == 10

        demand.begin([("fold 0", "a"), ("fold 1", "a")])

        assert demand.of(("fold 0",), variants=1) == 1 + 9
        assert demand.of(("fold 0", "a"), variants=3) == 1 + 3
        assert demand.of(("fold 0", "b"), variants=3) == 3

    def test_the_same_again(self):
        """Of two alike, each is asked for."""
        demand = Demand([("a",), ("a",)])

        demand.begin([("a",)])
        demand.done(("a",))

        assert demand.of(("a",)) == 1

    def test_of_a_continuum_nothing_comes_again(self):
        """A prefix with a continuous param is not proposed twice; one without end of trials is."""
        assert Demand(unlisted=math.inf).of(("a",), variants=math.inf) == 0
        assert Demand(unlisted=math.inf).of(("a",), variants=100) == math.inf

    def test_more_begin_than_were_foreseen(self):
        """A resumed study may begin more than that: nothing becomes negative."""
        demand = Demand(unlisted=1)

        for name in "abc":
            demand.begin([(name,)])

        assert demand.of(("d",), variants=1) == 0

    @given(PATHS, PATHS)
    def test_in_the_end_nothing_is_asked_for(self, listed, others):
        """When all that began is done, no prefix is in demand."""
        demand = Demand(listed, unlisted=len(others))
        for path in [*listed, *others]:
            demand.begin([path])
        for path in [*others, *listed]:
            demand.done(path)

        for path in [*listed, *others]:
            assert all(demand.of(path[:length], variants=2) <= 0 for length in (1, 2, 3))


class TestShelf:
    def test_what_is_in_use_stays(self):
        """However much more another thing is worth."""
        shelf = Shelf(100)
        assert shelf.make_room(("a",), 80, worth=1) == []
        shelf.use(("a",), 1)
        assert shelf.make_room(("b",), 80, worth=1000) is None

        shelf.use(("a",), -1)

        assert shelf.make_room(("b",), 80, worth=1000) == [("a",)]

    def test_the_least_worth_to_the_byte_goes_first(self):
        """A large thing worth little makes way before a small one worth as much."""
        shelf = Shelf(100)
        shelf.make_room(("small",), 10, worth=5)
        shelf.make_room(("large",), 80, worth=5)

        assert shelf.make_room(("new",), 60, worth=50) == [("large",)]

    def test_no_more_goes_than_must(self):
        """What fits exactly once one thing has gone costs no second."""
        shelf = Shelf(100)
        shelf.make_room(("a",), 50, worth=1)
        shelf.make_room(("b",), 50, worth=2)

        assert shelf.make_room(("c",), 50, worth=10) == [("a",)]

    def test_what_is_worth_more_stays(self):
        """Nothing makes way for what saves less; that is then not kept, and all stays as it was."""
        shelf = Shelf(100)
        shelf.make_room(("a",), 80, worth=80)

        assert shelf.make_room(("b",), 40, worth=1) is None
        assert (shelf.held, ("a",) in shelf) == (80, True)

    def test_more_than_the_budget(self):
        """What would never fit is refused, and nothing makes way in vain."""
        shelf = Shelf(100)
        shelf.make_room(("a",), 50, worth=1)

        assert shelf.make_room(("b",), 101, worth=1e9) is None
        assert shelf.held == 50

    def test_larger_than_foreseen(self):
        """When a thing turns out larger, others go, or it goes itself."""
        shelf = Shelf(100)
        shelf.make_room(("a",), 50, worth=1)
        shelf.make_room(("b",), 40, worth=10)
        assert shelf.correct(("b",), 70) == [("a",)]

        assert shelf.correct(("b",), 170) == [("b",)]
        assert (shelf.held, shelf.most) == (0, 90)

    def test_worth_changes(self):
        """What comes to be worth less makes way for what it withstood before."""
        shelf = Shelf(100)
        shelf.make_room(("a",), 80, worth=80)
        shelf.revalue(("a",), 0.0)

        assert shelf.make_room(("b",), 40, worth=1) == [("a",)]

    def test_dropping(self):
        """What is dropped makes room; to drop, use or value what isn't there does nothing."""
        shelf = Shelf(10)
        shelf.make_room(("a",), 10, worth=1)
        assert (shelf.drop(("a",)), shelf.drop(("a",))) == (True, False)
        shelf.use(("a",), 1)
        shelf.revalue(("a",), 1.0)

        assert shelf.make_room(("b",), 10, worth=0) == []

    @given(
        st.lists(
            st.tuples(st.integers(0, 5), st.integers(0, 120), st.floats(0, 10), st.integers(0, 150))
        )
    )
    def test_never_more_than_the_budget(self, steps):
        """Whatever comes, as foreseen or not, what is held fits."""
        shelf = Shelf(100)
        for name, size, worth, real in steps:
            if (name,) in shelf or shelf.make_room((name,), size, worth) is None:
                shelf.drop((name,))
                continue
            assert shelf.held <= 100
            shelf.correct((name,), real)
            assert shelf.held <= 100
        assert shelf.most <= 100


@pytest.mark.parametrize("budget", [0, 1])
def test_hardly_any_budget(budget):
    """Where there is no room, nothing is kept; what takes nothing is."""
    shelf = Shelf(budget)

    assert shelf.make_room(("a",), 2, worth=1) is None
    assert shelf.make_room(("b",), 0, worth=1) == []
