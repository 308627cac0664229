"""For authors of executors: drive one without a study, and say what it can't do."""

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from manyfit.events import AttemptEvent
from manyfit.executors.base import Executor
from manyfit.metric import Metric
from manyfit.space import Choice, Float, Space
from manyfit.trial import log_name
from manyfit.worker.channel import ENDINGS
from manyfit.worker.work import Limits, Objective, Task, Work

_Test = TypeVar("_Test", bound=Callable[..., None])

SPACE = Space({"x": Float(0.0, 1.0), "act": Choice([math.sin, math.cos]), "layers": 3})
PARAMS = {"x": 0.25, "act": "math.sin"}
PATIENCE = 60.0  # seconds until a test gives up; reached only by what is broken


class Rig:
    """Drives an executor as the driver would, once it has all its slots; keeps what happens.

    Args:
        executor: What is driven; opened here.
        objective: What the trials run.
        folder: The study's folder.
        limits: What a trial may use.

    Example:
        >>> from manyfit.executors.inline import InlineExecutor
        >>> rig = Rig(InlineExecutor(), lambda params: params["x"], getfixture("tmp_path"))
        >>> rig.run(number=3, x=0.5).metrics
        {'loss': 0.5}
        >>> [type(event).__name__ for event in rig.of(3)]
        ['AttemptStarted', 'AttemptFinished']
    """

    def __init__(
        self, executor: Executor, objective: Objective, folder: Path, limits: Limits = Limits()
    ) -> None:
        self.executor = executor
        self.events: list[AttemptEvent] = []
        self.react: Callable[[AttemptEvent], None] = lambda _: None
        self._folder = folder
        slots = executor.parallelism
        executor.open(Work(objective, SPACE, Metric("loss"), "contract", folder, limits))
        self.until(lambda: executor.parallelism >= slots)

    @property
    def is_remote(self) -> bool:
        """Whether trials run elsewhere, so that what is killed ends a little later."""
        return self.executor.capabilities.remote

    def submit(self, number: int = 0, attempt: int = 1, **params: Any) -> None:
        """Start an attempt."""
        self.executor.submit(Task(number, attempt, PARAMS | params, seed=number + 100))

    def poll(self, timeout: float = 0.1) -> None:
        """Let the executor hand over what it has; each event goes to `react`, too."""

        def handle(event: AttemptEvent) -> None:
            self.events.append(event)
            self.react(event)

        self.executor.poll(handle, timeout)

    def until(self, condition: Callable[[], bool]) -> None:
        """Poll until something is the case.

        Raises:
            TimeoutError: It takes too long.
        """
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited for {PATIENCE} s; so far: {self.events}")
            self.poll()

    def run(self, number: int = 0, attempt: int = 1, **params: Any) -> AttemptEvent:
        """Run an attempt; returns its ending."""
        self.submit(number, attempt, **params)
        return self.end_of(number, attempt)

    def end_of(self, number: int = 0, attempt: int = 1) -> AttemptEvent:
        """Wait for an attempt's ending."""
        self.until(lambda: any(isinstance(e, ENDINGS) for e in self.of(number, attempt)))
        return self.of(number, attempt)[-1]

    def of(self, number: int = 0, attempt: int = 1) -> list[AttemptEvent]:
        """Return what happened to an attempt so far."""
        return [e for e in self.events if (e.number, e.attempt) == (number, attempt)]

    def log(self, number: int = 0, attempt: int = 1) -> str | None:
        """Return an attempt's log; None if there is none."""
        path = self._folder / "logs" / log_name(number, attempt)
        return path.read_text("utf-8", "replace") if path.exists() else None


def needs(capability: str) -> Callable[[_Test], _Test]:
    """Mark a test as one that an executor without this capability fails, strictly."""

    def mark(test: _Test) -> _Test:
        test.needs = capability  # type: ignore[attr-defined]
        return test

    return mark


class RiggedContract:
    """Base of contracts that are kept by an executor on a rig.

    A test that needs a capability which the executor says it lacks is expected to fail; if it
    passes, the capability is wrong, and that is an error.

    Attributes:
        lacks: Capabilities that it turns out to lack only when it is open.
    """

    lacks: frozenset[str] = frozenset()

    def make_executor(self, parallelism: int) -> Executor:
        """Return an executor, not yet open, with at most this parallelism."""
        raise NotImplementedError

    @pytest.fixture
    def prepared(self) -> None:
        """Make ready what `make_executor` needs, such as a cluster; override it."""

    @pytest.fixture(autouse=True)
    def _gaps(self, request: pytest.FixtureRequest, prepared: None) -> None:  # noqa: ARG002
        needed = getattr(request.function, "needs", None)
        executor = self.make_executor(1)
        if needed is None:
            return
        if needed in self.lacks or not getattr(executor.capabilities, needed):
            name = type(executor).__name__
            request.node.add_marker(
                pytest.mark.xfail(reason=f"{name} has no {needed}", strict=True)
            )

    @pytest.fixture
    def rig(self, tmp_path: Path) -> Iterator[Callable[..., Rig]]:
        """Return a function that opens an executor on an objective; all are closed at the end."""
        rigs: list[Rig] = []

        def start(objective: Objective, parallelism: int = 1, **limits: Any) -> Rig:
            executor = self.make_executor(parallelism)
            rigs.append(Rig(executor, objective, tmp_path, Limits(**limits)))
            return rigs[-1]

        yield start
        for each in rigs:
            each.executor.close()
