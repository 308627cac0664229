import contextlib
import os
from dataclasses import dataclass, field
from typing import Any

import pytest

from manyfit.events import Reported
from manyfit.metric import Metric
from manyfit.space import Space
from manyfit.worker.channel import Channel, Stop
from manyfit.worker.task import Place, run_task
from manyfit.worker.work import Task, Work

FRAMEWORKS = ("keras", "lightning", "transformers")
# Each has a process of its own, which `test_callbacks` starts.
OTHERS = [name for name in FRAMEWORKS if name != os.environ.get("MANYFIT_TEST_FRAMEWORK")]
collect_ignore = [f"test_{name}.py" for name in OTHERS]


@dataclass
class Outcome:
    """What became of a trial."""

    reports: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    ending: Any = None

    @property
    def steps(self):
        return [step for step, _ in self.reports]

    @property
    def how(self):
        return type(self.ending).__name__


@pytest.fixture
def run_trial(tmp_path):
    """Run an objective as a trial in this process, and stop it after `stop_after` reports."""

    def run(objective, metric, stop_after=None):
        outcome = Outcome()

        def send(event):
            if isinstance(event, Reported):
                outcome.reports.append((event.step, dict(event.metrics)))
                if len(outcome.reports) == stop_after:
                    channel.request(Stop("hopeless"))
            outcome.ending = event

        channel = Channel(send)
        work = Work(lambda _: objective(), Space({}), Metric(metric), "study", tmp_path)
        place = Place("here", lambda *_: contextlib.nullcontext(), alone=True)
        run_task(work, Task(0, 1, {}, seed=1), channel, place)
        return outcome

    return run
