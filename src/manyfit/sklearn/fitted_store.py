"""Fitted fronts of pipelines on disk, made once on a machine and mapped by all its processes.

::

    NodeFolder/plan          the plan, pickled; replaced under a lock
               turns/NAME    locked by the process that makes a front; the kernel unlocks it
               fronts/NAME   a front: its pickle, and its arrays, mapped by each reader

A file appears whole, by a rename. A process that is killed loses its lock, and the next one makes
the front. What goes wrong with the disk costs time, never a fit.
"""

import contextlib
import math
import pickle
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path as File
from typing import Any, Self

from manyfit.data.formats import PickledObject, open_object
from manyfit.digest import digest
from manyfit.front_plan import FrontPlan, Savings
from manyfit.prefixes import Path
from manyfit.worker.context import raise_if_stopped
from manyfit.worker.node import NodeFolder, turn_at

# A front is kept if making it takes longer than keeping it: to look, write and map costs some
# milliseconds, and each byte is written once and read at each use.
_OVERHEAD = 0.01  # seconds
_RATE = 500e6  # bytes per second
_LOOK = 0.01  # seconds between looks at a front that another process makes


@dataclass
class Tally:
    """What one fit has saved by fronts of the store, and what it has added to them.

    Attributes:
        reused: The number of fronts that were reused.
        kept: The number of fronts that were made and kept.
        seconds: The time that making the reused ones took.
        most_bytes: The most bytes of all fronts on this machine so far.
    """

    reused: int = 0
    kept: int = 0
    seconds: float = 0.0
    most_bytes: int = 0


@dataclass
class _State:
    """What all processes know: the plan, and the fronts not worth keeping, whatever the fold."""

    plan: FrontPlan
    unkept: set[Path] = field(default_factory=set)


class FittedStore:
    """The fronts that the processes of a study on this machine share.

    It is removed from disk when the last process that uses it closes it or ends.

    Args:
        token: The study's name on this machine, as for `NodeFolder`.
        plan: The plan to begin with; the first process on the machine brings it.
        root: The folder to make it in; see `NodeFolder`.

    Raises:
        ExecutorError: The folder can't be made.

    Example:
        >>> from manyfit.prefixes import Demand, Shelf
        >>> plan = FrontPlan(Demand([("fold 0", "scaler")] * 2), Shelf(1000))
        >>> root = File(getfixture("tmp_path"))
        >>> with FittedStore("study-1", plan, root) as store:
        ...     store.front(("fold 0", "scaler"), lambda: time.sleep(0.02) or "fitted")
        ...     store.front(("fold 0", "scaler"), lambda: "never called")
        ...     store.savings.hits
        'fitted'
        'fitted'
        1
    """

    def __init__(self, token: str, plan: FrontPlan, root: File | None = None) -> None:
        self._node = NodeFolder(token, root)
        self._first = plan
        self._file = self._node.path / "plan"
        self._turns = self._node.path / "turns"
        self._fronts = self._node.path / "fronts"
        self._unkept: set[Path] = set()
        for folder in (self._turns, self._fronts):
            folder.mkdir(exist_ok=True)

    @property
    def savings(self) -> Savings:
        """The savings on this machine so far."""
        return self._load().plan.savings

    def begin(self, paths: Iterable[Path]) -> None:
        """Record a trial that begins, with a path for each fold."""
        with self._changing() as state:
            state.plan.begin(paths)

    def done(self, path: Path) -> None:
        """Record that a trial is done with a path, and remove fronts that are no longer needed."""
        with self._changing() as state:
            self._remove(state, state.plan.done(path))

    def front(
        self,
        prefix: Path,
        make: Callable[[], Any],
        *,
        variants: float = math.inf,
        meanwhile: Callable[[], bool] = lambda: False,
        tally: Tally | None = None,
    ) -> Any:
        """Return a front: the one that is kept, or a new one, which is kept if that is worth it.

        Each call returns an object of its own. Its arrays may be changed, which nobody else sees.

        Args:
            prefix: The fold, and the keys of the steps.
            make: Makes the front; its exceptions pass through.
            variants: The number of configurations of those steps in the space.
            meanwhile: Does other work while another process makes the front; returns whether it
                had any.
            tally: Receives what this call saved.

        Raises:
            TrialStopped: The trial was told to stop while it waited.
        """
        if not self._is_shared(prefix, variants):
            return make()
        tally = tally or Tally()
        while (found := self._read(prefix, tally)) is None:
            with turn_at(self._turns / _name(prefix), wait=False) as mine:
                if mine:
                    found = self._read(prefix, tally)
                    return found or self._make(prefix, make, variants, tally)
            raise_if_stopped()
            if not meanwhile():
                time.sleep(_LOOK)
        return found

    def prepare(
        self,
        prefix: Path,
        make: Callable[[], Any],
        *,
        variants: float = math.inf,
        tally: Tally | None = None,
    ) -> bool:
        """Make and keep a front, unless it is kept or being made; returns whether it was made.

        The arguments are those of `front`.
        """
        if not self._is_shared(prefix, variants) or self._has(prefix):
            return False
        with turn_at(self._turns / _name(prefix), wait=False) as mine:
            if not mine or self._has(prefix):
                return False
            self._make(prefix, make, variants, tally or Tally())
        return True

    def close(self) -> None:
        """Leave the store, which is removed if no other process uses it. Safe to call twice."""
        self._node.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ── the plan ──────────────────────────────────────────────────────────────────────────────

    def _is_shared(self, prefix: Path, variants: float) -> bool:
        """Return whether a front is kept, or worth keeping."""
        if prefix[1:] in self._unkept:
            return False
        state = self._load()
        self._unkept = state.unkept
        if prefix[1:] in state.unkept:
            return False
        return prefix in state.plan or state.plan.is_wanted(prefix, variants)

    def _load(self) -> _State:
        try:
            found: _State = pickle.loads(self._file.read_bytes())  # noqa: S301 - written below
        except FileNotFoundError:
            return _State(self._first)
        return found

    @contextlib.contextmanager
    def _changing(self) -> Iterator[_State]:
        """Load the plan, and save it unless the block fails; one block at a time on the machine."""
        with turn_at(self._turns / "plan"):
            state = self._load()
            yield state
            self._write(self._file, lambda draft: draft.write_bytes(pickle.dumps(state)))

    # ── the fronts ────────────────────────────────────────────────────────────────────────────

    def _read(self, prefix: Path, tally: Tally) -> Any:
        """Return a front that is kept; None if there is none."""
        try:
            found = open_object(self._fronts / _name(prefix), private=True)
        except FileNotFoundError:
            return None
        with self._changing() as state:
            if prefix in state.plan:
                tally.reused += 1
                tally.seconds += state.plan.reuse(prefix)
        return found

    def _has(self, prefix: Path) -> bool:
        return (self._fronts / _name(prefix)).exists()

    def _make(self, prefix: Path, make: Callable[[], Any], variants: float, tally: Tally) -> Any:
        began = time.monotonic()
        front = make()
        seconds = time.monotonic() - began
        pickled = _pickled(front)
        if pickled is None or seconds < _OVERHEAD + pickled.size / _RATE:
            with self._changing() as state:
                state.unkept.add(prefix[1:])
        elif self._reserve(prefix, variants, pickled.size, seconds, tally):
            self._keep(prefix, pickled)
        return front

    def _keep(self, prefix: Path, pickled: PickledObject) -> None:
        if not self._write(self._fronts / _name(prefix), pickled.write):
            with self._changing() as state:
                self._remove(state, [prefix])

    def _reserve(
        self, prefix: Path, variants: float, size: int, seconds: float, tally: Tally
    ) -> bool:
        with self._changing() as state:
            plan = state.plan
            plan.forget(prefix)  # its maker was killed while it wrote
            plan.add(prefix, variants, users=0)
            leaving = plan.room(prefix, size, seconds)
            if leaving is None:
                plan.forget(prefix)
                return False
            plan.made(prefix, seconds)
            self._remove(state, leaving)
            tally.kept += 1
            tally.most_bytes = plan.savings.most_bytes
        return True

    def _remove(self, state: _State, prefixes: Iterable[Path]) -> None:
        for prefix in prefixes:
            state.plan.forget(prefix)
            target = self._fronts / _name(prefix)
            for file in (target, _draft_of(target)):
                file.unlink(missing_ok=True)

    def _write(self, target: File, write: Callable[[File], object]) -> bool:
        """Write a file that appears whole; a failure of the disk is a warning, and returns False.

        Fits then go on, and share less.
        """
        draft = _draft_of(target)
        try:
            write(draft)
            draft.replace(target)
        except OSError as error:
            warnings.warn(
                f"fitted transformers can't be kept in {self._node.path} ({error}), so some are "
                "fitted again. Set TMPDIR to a folder with more room, or pass cache=False",
                stacklevel=2,
            )
            return False
        return True


def _draft_of(target: File) -> File:
    return target.with_suffix(".part")


def _name(prefix: Path) -> str:
    return digest(*map(str, prefix))


def _pickled(front: Any) -> PickledObject | None:
    """Return the pickle of a front; None if a transformer can't be pickled, or opened again."""
    try:
        pickled = PickledObject.of(front)
        pickle.loads(pickled.parts[0], buffers=pickled.parts[1:])  # noqa: S301 - of this process
    except Exception:  # noqa: BLE001 - transformers raise what they like from their own hooks
        return None
    return pickled
