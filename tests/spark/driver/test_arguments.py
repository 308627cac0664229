"""What DriverExecutor makes of its arguments; a stand-in for Spark's session is enough."""

from types import SimpleNamespace

import pytest

from manyfit.errors import ArgumentError, ExecutorError
from manyfit.spark.driver.executor import DriverExecutor


def session(**settings):
    """Return a stand-in for a session with settings, which nobody would answer."""
    conf = {name.replace("_", "."): value for name, value in settings.items()}
    return SimpleNamespace(conf=conf, range=None, version="4.0.0")


LOCAL = session(spark_master="local[5]", spark_task_cpus="2")
ADVICE = "Give slots_per_trial a number, an estimator with num_workers"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"parallelism": 0},
            "parallelism must be a whole .* or 'auto', but got 0",
        ),
        (
            {"parallelism": -3},
            "parallelism must be a whole .* or 'auto', but got -3",
        ),
        (
            {"parallelism": 1.5},
            "parallelism must be a whole .* or 'auto', but got 1.5",
        ),
        (
            {"parallelism": True},
            "parallelism must be a whole .* or 'auto', but got True",
        ),
        (
            {"parallelism": None},
            "parallelism must be a whole .* or 'auto', but got None",
        ),
        (
            {"parallelism": "all"},
            "parallelism must be a whole .* or 'auto', but got 'all'",
        ),
        ({"slots": 0}, "slots must be a whole number, at least 1, or None, but got 0"),
        ({"slots_per_trial": 0}, f"slots_per_trial must be a whole .* but got 0. {ADVICE}"),
        ({"slots_per_trial": "2"}, f"slots_per_trial must be a whole .* but got '2'. {ADVICE}"),
        (
            {"slots_per_trial": SimpleNamespace(num_workers=0)},
            f"num_workers must be a whole number of slots, at least 1, but got 0. {ADVICE}",
        ),
        (
            {"slots_per_trial": SimpleNamespace(num_processes=None)},
            f"num_processes must be a whole number of slots, at least 1, but got None. {ADVICE}",
        ),
    ],
)
def test_bad_arguments(options, message):
    """Each names the argument, the rule and what was given."""
    with pytest.raises(ArgumentError, match=message):
        DriverExecutor(LOCAL, **options)


def test_no_session():
    """What is no session is refused by what it is."""
    with pytest.raises(ArgumentError, match="spark must be a SparkSession, but got 'local'"):
        DriverExecutor("local")


@pytest.mark.parametrize(
    ("options", "parallelism"),
    [
        ({}, 2),
        ({"parallelism": 3}, 3),
        ({"parallelism": 3, "slots_per_trial": 1}, 2),
        ({"parallelism": 3, "slots_per_trial": 1, "slots": 8}, 3),
        ({"parallelism": 3, "slots_per_trial": 3}, 1),
        ({"parallelism": 3, "slots_per_trial": lambda params: params["workers"]}, 3),
    ],
)
def test_parallelism(options, parallelism):
    """As many trials as asked for, or as have room; a task of two cores takes two of five."""
    assert DriverExecutor(LOCAL, **options).parallelism == parallelism


def test_a_session_that_has_ended():
    """A study isn't begun in a session that was stopped; how to go on is said."""
    with pytest.raises(
        ExecutorError, match=r"session has ended: it was stopped\. .* name='fashion' to resume"
    ):
        DriverExecutor(LOCAL).open(SimpleNamespace(study="fashion"))


def test_order():
    """An executor that isn't open runs nothing; to stop or close it does no harm."""
    executor = DriverExecutor(LOCAL)
    for call in (lambda: executor.submit(None), lambda: executor.poll(print, 0.0)):
        with pytest.raises(ExecutorError, match=r"open\(work\) must come before"):
            call()
    executor.stop(0, 1, "hopeless")
    executor.close()
