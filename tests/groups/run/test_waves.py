"""Waves of groups, run by threads that only pretend to be Spark jobs."""

import threading
import time
from types import SimpleNamespace

import pytest

from manyfit.errors import ExecutorError
from manyfit.groups.run.plan import Plan, Unit
from manyfit.groups.run.waves import Waves
from manyfit.worker.timings import Timings


class Jobs:
    """A session whose jobs run until they are told to end."""

    def __init__(self):
        self.tags = threading.local()
        self.cancelled = set()
        self.descriptions = []
        self.timings = Timings(aftermath=0.0, probe=0.02)
        self.end = None

    def ended(self):
        return self.end

    def leave(self):
        self.end = "left"

    def inheriting(self, target):
        return target

    def mark(self, tag, description, pool):
        self.tags.tag = tag
        self.descriptions.append(description)

    def cancel(self, tag):
        self.cancelled.add(tag)

    def wait(self):
        """Wait as a job does until it is cancelled."""
        while self.tags.tag not in self.cancelled:
            time.sleep(0.01)
        raise RuntimeError(f"job {self.tags.tag} was cancelled")


@pytest.fixture
def jobs():
    """No job yet."""
    return Jobs()


def plan_of(cells, large=0):
    units = [Unit(code, 1000) for code in range(cells)]
    big = [Unit(100 + n, 100_000) for n in range(large)]
    with_large = [Unit(n, 101_000, 2) if n < large else unit for n, unit in enumerate(units)]
    return Plan(big, with_large, {unit.code: n for n, unit in enumerate(big)}, slots=2)


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("large", [0, 2])
def test_every_group_once(jobs, at_once, large):
    """All groups run, whether in one wave or in many, and each wave says how many it has."""
    waves = Waves(jobs, lambda wave: wave)
    found = list(waves.run(plan_of(40, large), at_once=at_once))

    codes = [unit.code for wave in found for task in wave.tasks for unit in task]
    assert len(codes) == len(set(codes)) == 40 + large
    assert sum(wave.groups for wave in found) == 40 + large
    assert sorted(jobs.descriptions) == sorted(f"Manyfit: {wave.groups} groups" for wave in found)
    assert (len(found) == 1 + bool(large)) if at_once else (len(found) > 2)


def test_two_at_a_time(jobs):
    """The next wave runs before one has ended, and never a third one, large groups left aside."""
    running, most = set(), []
    lock = threading.Lock()

    def tuned(wave):
        with lock:
            running.add(id(wave))
            most.append(len(running))
        time.sleep(0.02)
        with lock:
            running.remove(id(wave))
        return wave

    list(Waves(jobs, tuned).run(plan_of(60), at_once=False))

    assert max(most) == 2


def test_large_groups_hold_nobody_up(jobs):
    """While large groups still run, all the others are done."""
    release = threading.Event()

    def tuned(wave):
        if wave.tasks[0][0].is_large:
            assert release.wait(20)
        return wave

    found = []
    for wave in Waves(jobs, tuned).run(plan_of(20, large=1), at_once=False):
        found.append(wave)
        if sum(each.groups for each in found) == 20:
            release.set()

    assert [unit.code for task in found[-1].tasks for unit in task] == [100]


@pytest.fixture
def fast_clock(monkeypatch):
    """A second is 5 ms."""
    clock = SimpleNamespace(monotonic=lambda: 200 * time.monotonic())
    monkeypatch.setattr("manyfit.groups.run.waves.time", clock)


@pytest.mark.usefixtures("fast_clock")
def test_waves_get_shorter_towards_the_end(jobs):
    """They take half a minute, and the last ones less."""
    waves = Waves(jobs, lambda wave: time.sleep(wave.weight / 5e5) or wave)
    weights = [wave.weight for wave in waves.run(plan_of(600), at_once=False)]

    assert sum(weights) == 600_000  # 120 s, two waves at a time
    assert 0.05 < max(weights) / 600_000 < 0.35
    assert weights[-1] < max(weights) / 2


@pytest.mark.usefixtures("fast_clock")
def test_rows_that_are_long_to_read(jobs):
    """Where one reading of the rows takes 5 seconds, waves are as long as 20 of these."""
    counts = []
    for reading in (0.0, 5.0):
        waves = Waves(jobs, lambda wave: time.sleep(wave.weight / 5e5) or wave, reading)
        counts.append(len(list(waves.run(plan_of(600), at_once=False))))

    short, long = counts
    assert long < short


@pytest.mark.parametrize("notices", [True, False])
def test_the_session_ends(jobs, notices):
    """It ends the run, says so and how to resume: as soon as a wave fails, and though none does."""

    def tuned(wave):
        jobs.end = "it was stopped"
        if notices:
            raise RuntimeError("no context")
        threading.Event().wait(60)

    waves = Waves(jobs, tuned, study="shops")
    with pytest.raises(ExecutorError, match=r"ended: it was stopped\. .* with name='shops'"):
        list(waves.run(plan_of(10), at_once=True))
    waves.end()
    assert jobs.end == "left"


def test_a_failed_wave(jobs):
    """It ends the run with Spark's own words, and how many groups they cost."""

    def tuned(wave):
        raise RuntimeError("the cluster is gone")

    with pytest.raises(ExecutorError, match=r"while it tuned \d+ groups.*\n.*cluster is gone") as e:
        list(Waves(jobs, tuned).run(plan_of(10), at_once=True))

    assert isinstance(e.value.__cause__, RuntimeError)


def test_the_end_cancels_what_runs(jobs):
    """Jobs that still run are cancelled, and none is left when it returns."""
    waves = Waves(jobs, lambda wave: jobs.wait())
    rows = waves.run(plan_of(40), at_once=False)
    threading.Timer(0.1, waves.end).start()

    with pytest.raises(ExecutorError, match="was cancelled"):
        list(rows)

    waves.end()
    assert len(jobs.cancelled) == 2
    assert not any(thread.name in jobs.cancelled for thread in threading.enumerate())
