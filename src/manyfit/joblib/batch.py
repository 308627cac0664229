"""A batch of calls on its way to a worker and back: pickled, with large arrays left out.

::

    BatchedCalls ──pickle──► given ──► worker: calls ──pickle──► result-1 ──► values, or the error
         └── large arrays ──► shared files, mapped there (`manyfit.data`)
"""

import contextlib
import io
import pickle
import traceback
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import numpy.typing as npt

from manyfit.data.shared import Shared, in_transit, share
from manyfit.worker.blame import kind_of, trace
from manyfit.worker.context import current_trial
from manyfit.worker.exchange import given_file, result_file
from manyfit.worker.payload import unfindable_by_value

_ARRAY = "array"  # the name of the only value of a set


# ── in the driver ─────────────────────────────────────────────────────────────────────────────────


class Arrays:
    """Shares the large arrays of one call of `Parallel`: each once, and equal ones once.

    An array is written when a call is first given it, and all calls see it as it was then. The next
    `Parallel` compares it with what was shared before: a changed array is shared anew.

    Attributes:
        used: What has been shared, by digest.

    Args:
        kept: What was shared before, by digest.
    """

    def __init__(self, kept: Mapping[str, Shared]) -> None:
        self.used: dict[str, Shared] = {}
        self._kept = kept
        self._by_id: dict[int, tuple[weakref.ref[npt.NDArray[Any]], Shared]] = {}

    def share(self, array: npt.NDArray[Any]) -> Shared:
        """Return an array as shared data."""
        known = self._by_id.get(id(array))
        if known is not None and known[0]() is array:
            return known[1]
        shared = share(**{_ARRAY: array})
        shared = self.used.get(shared.digest) or self._kept.get(shared.digest) or shared
        self.used[shared.digest] = shared
        self._by_id[id(array)] = weakref.ref(array), shared
        return shared


class _Pickler(cloudpickle.CloudPickler):  # type: ignore[misc] # it has no types
    def __init__(self, file: io.BytesIO, arrays: Arrays, max_nbytes: float, mmap_mode: str) -> None:
        super().__init__(file, protocol=5)
        self._arrays = arrays
        self._most = max_nbytes
        self._mode = mmap_mode

    def reducer_override(self, value: Any) -> Any:
        is_array = type(value) in (np.ndarray, np.memmap) and not value.dtype.hasobject
        if is_array and value.nbytes > self._most:
            return _mapped, (self._arrays.share(value), self._mode)
        return super().reducer_override(value)


def packed(
    calls: Any,
    functions: Sequence[Any],
    arrays: Arrays,
    *,
    max_nbytes: float = 1 << 20,
    mmap_mode: str = "r",
) -> tuple[bytes, list[Shared]]:
    """Pickle a batch of calls; returns it with the shared data that it refers to.

    Args:
        calls: A callable without arguments, which returns a list.
        functions: The functions that it calls. Those of modules that a new process wouldn't find
            are pickled by value.
        arrays: Shares arrays larger than `max_nbytes`.
        max_nbytes: The most bytes of an array that stays in the pickle.
        mmap_mode: How arrays are mapped: `"r"`, or `"c"` for pages that are copied when written to.

    Raises:
        pickle.PicklingError: Something in it can't be pickled; the message names it.
    """
    file = io.BytesIO()
    with contextlib.ExitStack() as stack:
        found = stack.enter_context(in_transit())
        for function in functions:
            stack.enter_context(unfindable_by_value(function))
        try:
            _Pickler(file, arrays, max_nbytes, mmap_mode).dump(calls)
        except Exception as error:
            raise pickle.PicklingError(_unsendable(functions[0], calls, error)) from error
    return file.getvalue(), found


def _unsendable(function: Any, calls: Any, error: Exception) -> str:
    path, culprit = trace(getattr(calls, "items", calls))
    name = getattr(function, "__qualname__", kind_of(function))
    return (
        f"a call of {name} can't be sent to a worker: it has a {kind_of(culprit)} "
        f"({' → '.join(path)}), which can't be pickled ({type(error).__name__}: {error}). Create "
        "it inside the function"
    )


# ── in the worker ─────────────────────────────────────────────────────────────────────────────────


class RunBatch:
    """The objective of a worker process: runs one batch of calls per attempt.

    Args:
        uses: Objects whose code and packages workers must have; they don't travel themselves.
    """

    def __init__(self, uses: Sequence[Any] = ()) -> None:
        self._uses = uses

    def __reduce__(self) -> Any:
        return RunBatch, ()

    def __call__(self, _params: dict[str, Any]) -> float:
        """Run the batch in the attempt's folder; returns the number of results, 0 if one failed."""
        trial = current_trial()
        if trial is None:
            raise RuntimeError("a batch of calls is run by a worker process")
        folder = trial.scratch.parents[1]
        outcome = _outcome(given_file(folder, trial.number))
        result_file(folder, trial.number, trial.attempt).write_bytes(_sendable(outcome))
        return float(len(outcome.values))


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a batch ended.

    Attributes:
        values: What its calls returned, if all did.
        error: What one of them raised.
        traceback: The traceback of that, as text.
    """

    values: list[Any]
    error: BaseException | None = None
    traceback: str = ""

    def result(self) -> list[Any]:
        """Return the values, or raise the error, whose cause shows where it was raised."""
        if self.error is not None:
            self.error.__cause__ = RemoteTraceback(self.traceback)
            raise self.error
        return self.values


class RemoteTraceback(Exception):  # noqa: N818 - as in multiprocessing and concurrent.futures
    """The traceback of an exception in a worker: its cause, so that Python prints both."""

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


def _outcome(given: Path) -> Outcome:
    try:
        return Outcome(pickle.loads(given.read_bytes())())  # noqa: S301 - the driver's
    except BaseException as error:  # noqa: BLE001 - it is the user's code
        return _failed(error)


def _failed(error: BaseException) -> Outcome:
    frames = error.__traceback__.tb_next if error.__traceback__ is not None else None
    text = "".join(traceback.format_exception(type(error), error, frames))
    return Outcome([], error.with_traceback(None), text)


class _ResultPickler(cloudpickle.CloudPickler):  # type: ignore[misc] # it has no types
    """Pickles mapped arrays as plain ones: what they map is not where the result goes.

    Args:
        file: Where to write.
        bare: Whether exceptions are made again without calling their `__init__`.
    """

    def __init__(self, file: io.BytesIO, *, bare: bool) -> None:
        super().__init__(file, protocol=5)
        self._bare = bare

    def reducer_override(self, value: Any) -> Any:
        if type(value) is np.memmap:
            return np.array(value).__reduce_ex__(5)
        if self._bare and isinstance(value, BaseException):
            return _made_again, (type(value), value.args, dict(vars(value)))
        return super().reducer_override(value)


def _made_again(kind: type[BaseException], args: tuple[Any, ...], own: dict[str, Any]) -> Any:
    error = kind.__new__(kind, *args)
    vars(error).update(own)
    return error


def _pickled(outcome: Outcome, *, bare: bool = False) -> bytes:
    file = io.BytesIO()
    _ResultPickler(file, bare=bare).dump(outcome)
    return file.getvalue()


def _sendable(outcome: Outcome) -> bytes:
    """Pickle an outcome; what can't be pickled is replaced by an exception that says so."""
    if outcome.error is not None:
        return _sendable_error(outcome, outcome.error)
    try:
        return _pickled(outcome)
    except Exception as error:  # noqa: BLE001 - objects raise what they like from their own hooks
        kinds = ", ".join(sorted({kind_of(value) for value in outcome.values})[:5])
        said = f"what the calls returned ({kinds}) can't be pickled"
        failed = pickle.PicklingError(f"{said} ({type(error).__name__}: {error})")
        return _pickled(_failed(failed))


def _sendable_error(outcome: Outcome, error: BaseException) -> bytes:
    """Pickle an exception; if its `__init__` has other arguments than it passes on, without it."""
    for bare in (False, True):
        with contextlib.suppress(Exception):  # objects raise what they like from their own hooks
            data = _pickled(outcome, bare=bare)
            pickle.loads(data)  # noqa: S301 - many exceptions can be pickled, but not unpickled
            return data
    said = f"{kind_of(error)}: {error}"
    return _pickled(Outcome([], RuntimeError(said), outcome.traceback))


def _mapped(shared: Shared, mode: Any) -> "np.memmap[Any, Any]":
    (file,) = shared.items_by_file
    return np.lib.format.open_memmap(shared.path(file), mode=mode)
