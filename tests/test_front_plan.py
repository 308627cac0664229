"""Fronts are kept as long as later trials are expected to need them."""

import math
import pickle

from manyfit.front_plan import FrontPlan
from manyfit.prefixes import Demand, Shelf

SHORT, LONG = ("fold", "a"), ("fold", "a", "b")


def plan_of(paths=(), budget=100, unlisted=0):
    return FrontPlan(Demand(paths, unlisted), Shelf(budget))


def keep(plan, prefix, size=10, seconds=1.0, variants=math.inf):
    plan.add(prefix, variants, users=0)
    leaving = plan.room(prefix, size, seconds)
    if leaving is not None:
        plan.made(prefix, seconds)
    return leaving


def test_a_front_goes_with_its_last_use():
    """It stays while a listed trial needs it, and is named once none does."""
    plan = plan_of([LONG, LONG])
    keep(plan, SHORT)

    assert plan.done(LONG) == []
    assert plan.done(LONG) == [SHORT]


def test_a_front_with_users_stays():
    """A front that a trial is using, or making, is never named."""
    plan = plan_of([LONG])
    plan.add(SHORT, users=1)
    assert plan.done(LONG) == []

    plan.use(SHORT, -1)
    plan.begin([LONG])

    assert plan.done(LONG) == [SHORT]


def test_a_longer_front_serves_the_uses_of_a_shorter_one():
    """If all that need the short one will take the long one, the short one has no use left."""
    plan = plan_of([LONG] * 3)
    keep(plan, SHORT)
    keep(plan, LONG)

    assert plan.done(LONG) == [SHORT]


def test_likely_proposals_count():
    """A sampler's trials count by the number of alternatives they choose from."""
    plan = plan_of(unlisted=10)
    plan.begin([LONG])

    assert plan.is_wanted(SHORT, variants=2)
    assert not plan.is_wanted(SHORT, variants=100)
    assert not plan.is_wanted(SHORT)


def test_what_saves_more_per_byte_stays():
    """Room is made by fronts that save less; a front that saves less gets none."""
    plan = plan_of([LONG] * 3 + [("fold", "c", "d")] * 3, budget=100)
    keep(plan, SHORT, size=80, seconds=5.0)

    assert keep(plan, ("fold", "c"), size=80, seconds=1.0) is None
    assert keep(plan, ("fold", "c"), size=80, seconds=9.0) == [SHORT]


def test_savings_survive_a_pickle():
    """A plan is a value: processes can pass it on."""
    plan = plan_of([LONG] * 3)
    keep(plan, SHORT, seconds=2.0)
    plan.reuse(SHORT)
    plan.reuse(SHORT)

    found = pickle.loads(pickle.dumps(plan)).savings

    assert (found.hits, found.made, found.seconds, found.most_bytes) == (2, 1, 4.0, 10)


def test_a_front_forgotten_in_the_making_is_still_counted():
    """Its maker may finish after the study has let go of it."""
    plan = plan_of([LONG] * 3)
    plan.add(SHORT)
    plan.forget(SHORT)

    plan.made(SHORT, 1.0)

    assert SHORT not in plan
    assert plan.savings.made == 1
