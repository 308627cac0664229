"""Drives an executor without a study, for contract suites of executors."""

import copy
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import cloudpickle
import pytest

from manyfit.events import AttemptEvent, AttemptStarted
from manyfit.executors.base import Executor
from manyfit.metric import Metric
from manyfit.space import Choice, Float, Space
from manyfit.trial import log_name
from manyfit.worker.channel import ENDINGS
from manyfit.worker.work import Limits, Objective, Task, Work

_Test = TypeVar("_Test", bound=Callable[..., None])

SPACE = Space({"x": Float(0.0, 1.0), "act": Choice([math.sin, math.cos]), "layers": 3})
PARAMS = {"x": 0.25, "act": "math.sin"}
PATIENCE = 60.0  # seconds until a test gives up, which happens only if something is broken
_OBJECTIVE = "MANYFIT_RIG_OBJECTIVE"


class Rig:
    """Drives an executor as the driver would, once it has all its slots, and keeps the events.

    Args:
        executor: The executor, which is opened here.
        objective: The objective of the trials.
        folder: The study's folder.
        limits: The resources that a trial may use.

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
        self._env: dict[str, str] = {}
        slots = executor.parallelism
        executor.open(Work(objective, SPACE, Metric("loss"), "contract", folder, limits))
        self.until(lambda: executor.parallelism >= slots)

    @property
    def is_remote(self) -> bool:
        """Whether trials run on other machines, so that a kill takes a moment."""
        return self.executor.capabilities.remote

    def submit(self, number: int = 0, attempt: int = 1, **params: Any) -> None:
        task = Task(number, attempt, PARAMS | params, seed=number + 100, env=self._env)
        self.executor.submit(task)

    def poll(self, timeout: float = 0.1) -> None:
        """Poll the executor; each event is also passed to `react`."""

        def handle(event: AttemptEvent) -> None:
            self.events.append(event)
            self.react(event)

        self.executor.poll(handle, timeout)

    def until(self, condition: Callable[[], bool]) -> None:
        """Poll until a condition is true.

        Raises:
            TimeoutError: It took too long.
        """
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited for {PATIENCE} s; so far: {self.events}")
            self.poll()

    def run(self, number: int = 0, attempt: int = 1, **params: Any) -> AttemptEvent:
        """Run an attempt, and return its ending."""
        self.submit(number, attempt, **params)
        return self.end_of(number, attempt)

    def end_of(self, number: int = 0, attempt: int = 1) -> AttemptEvent:
        """Wait for an attempt's ending, and return it."""
        self.until(lambda: any(isinstance(e, ENDINGS) for e in self.of(number, attempt)))
        return self.of(number, attempt)[-1]

    def of(self, number: int = 0, attempt: int = 1) -> list[AttemptEvent]:
        """Return the events of an attempt so far."""
        return [e for e in self.events if (e.number, e.attempt) == (number, attempt)]

    def reused(self, objective: Objective, file: Path) -> "Rig":
        """Return a rig on the same open executor, whose objective must be `dispatch`.

        Earlier logs are removed, so that numbers can be used again.

        Args:
            objective: The objective of the new rig's trials.
            file: The file for the pickled objective; workers must be able to read it.
        """
        file.write_bytes(cloudpickle.dumps(objective))
        shutil.rmtree(self._folder / "logs", ignore_errors=True)
        again = copy.copy(self)
        again.events, again.react, again._env = [], lambda _: None, {_OBJECTIVE: str(file)}
        return again

    @property
    def is_idle(self) -> bool:
        """Whether all attempts that have begun have ended."""
        begun = sum(isinstance(event, AttemptStarted) for event in self.events)
        return begun == sum(isinstance(event, ENDINGS) for event in self.events)

    def log(self, number: int = 0, attempt: int = 1) -> str | None:
        """Return an attempt's log; None if there is none."""
        path = self._folder / "logs" / log_name(number, attempt)
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else None


def dispatch(params: dict[str, Any]) -> Any:
    """Run the objective of the rig that submitted this trial: see `Rig.reused`."""
    objective: Objective = cloudpickle.loads(Path(os.environ[_OBJECTIVE]).read_bytes())
    return objective(params)


def needs(capability: str) -> Callable[[_Test], _Test]:
    """Mark a test as expected to fail, strictly, for an executor without this capability."""

    def mark(test: _Test) -> _Test:
        test.needs = capability  # type: ignore[attr-defined]
        return test

    return mark


class RiggedContract:
    """Base of contract suites that drive an executor on a rig.

    A test that needs a capability that the executor declares as missing is expected to fail. If it
    passes, the declaration is wrong, and that is an error.

    Attributes:
        lacks: Capabilities that turn out to be missing only once the executor is open.
        shares: Whether tests share an open executor if possible, for one that takes seconds to
            open. `prepared` must then have the scope of the class.
    """

    lacks: frozenset[str] = frozenset()
    shares = False

    def make_executor(self, parallelism: int) -> Executor:
        """Return an executor, not open yet, with at most this parallelism."""
        raise NotImplementedError

    @pytest.fixture
    def prepared(self) -> None:
        """Prepare what `make_executor` needs, such as a cluster; override it."""

    @pytest.fixture(autouse=True)
    def _gaps(self, request: pytest.FixtureRequest, prepared: None) -> None:  # noqa: ARG002
        needed = getattr(request.function, "needs", None)
        if needed is not None and not self._has(needed):
            name = type(self.make_executor(1)).__name__
            request.node.add_marker(
                pytest.mark.xfail(reason=f"{name} has no {needed}", strict=True)
            )

    def _has(self, capability: str) -> bool:
        """Return whether the executor has a capability, so that a test need not wait in vain."""
        capabilities = self.make_executor(1).capabilities
        return capability not in self.lacks and bool(getattr(capabilities, capability))

    @pytest.fixture(scope="class")
    @classmethod
    def opened(cls) -> Iterator[list[Rig]]:
        """Keep the rig whose executor tests share; it is closed at the end."""
        rigs: list[Rig] = []
        yield rigs
        _close(rigs)

    @pytest.fixture
    def rig(self, opened: list[Rig], tmp_path: Path) -> Iterator[Callable[..., Rig]]:
        """Return a function that opens an executor on an objective; all are closed at the end.

        If executors are shared, it returns the open one, unless `alone` or a limit is given.
        """
        own: list[Rig] = []
        shared: list[Rig] = []

        def start(
            objective: Objective, parallelism: int = 1, *, alone: bool = False, **limits: Any
        ) -> Rig:
            if self.shares and not alone and not limits:
                shared.append(self._shared(opened, tmp_path).reused(objective, tmp_path / "pickle"))
                return shared[-1]
            own.append(Rig(self.make_executor(parallelism), objective, tmp_path, Limits(**limits)))
            return own[-1]

        yield start
        _close(own)
        if not all(rig.is_idle for rig in shared):
            _close(opened)

    def _shared(self, opened: list[Rig], folder: Path) -> Rig:
        if not opened:
            opened.append(Rig(self.make_executor(2), dispatch, folder.parent))
        return opened[0]


def _close(rigs: list[Rig]) -> None:
    while rigs:
        rigs.pop().executor.close()
