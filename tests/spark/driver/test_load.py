"""How busy trials on the driver keep the cluster."""

from manyfit.events import AttemptFailed, AttemptFinished, AttemptLost
from manyfit.spark.driver.load import Load

FINISHED = AttemptFinished(1, 1, {"loss": 0.5}, 4.0, at=0.0, usage={"cpu_seconds": 0.1})


def sampled(*running, every=1.0, slots=8):
    """Return the load after five samples of six tasks."""
    load = Load()
    for tick in range(5):
        load.sample(tick * every, tasks=6, slots=slots, running=running)
    return load


def test_tasks_are_shared_equally():
    """Spark doesn't tell whose a running task is."""
    alone, shared = sampled((1, 1)), sampled((1, 1), (2, 1), (3, 1))

    assert alone.measured(FINISHED).usage == {"task_seconds": 24.0, "slots": 8}
    assert shared.measured(FINISHED).usage == {"task_seconds": 8.0, "slots": 8}


def test_what_was_not_sampled_is_unknown():
    """Neither an attempt too short for a sample, nor a silence, nor a cluster without bounds."""
    failed = AttemptFailed(2, 1, "KeyError: 'x'", "KeyError", "", False, 0.1, 0.0)

    assert sampled((1, 1)).measured(failed).usage == {}
    assert sampled((1, 1), every=60.0).measured(FINISHED).usage == {}
    assert sampled((1, 1), slots=float("inf")).measured(FINISHED).usage == {}


def test_other_events_stay():
    """A lost attempt has no usage."""
    lost = AttemptLost(1, 1, "the study was interrupted", counts=False, at=0.0)

    assert sampled((1, 1)).measured(lost) is lost
