"""Pictures of a study's work: how long trials took, and which slots were idle when."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from manyfit.plots.bins import log_ticks
from manyfit.plots.chart import Axis, Bars, Chart, Mark, Panel, Role
from manyfit.plots.study import ROLES, Studied, told
from manyfit.trackers.progress import counted, duration
from manyfit.trial import Attempt, State, Trial

_BINS = 24
_SPREAD = 50.0  # durations that span this ratio are on a logarithmic axis
_MOST_LANES = 48
_ROUNDING = 1e-3  # seconds by which the end of a trial may be after the start of the next
_UNITS = ((86_400.0, "days"), (3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))


def durations(study: Studied) -> Chart:
    """Return the distribution of how long trials took, by how they ended."""
    ended = [t for t in study.trials if t.seconds is not None and t.state.is_finished]
    seconds = np.array([trial.seconds or 0.0 for trial in ended])
    if not len(seconds):
        return Chart("durations", "Durations", "No trial has ended yet.")
    size, unit = unit_of(float(seconds.max()))
    data, is_log = seconds / size, seconds.min() > 0 and seconds.max() / seconds.min() > _SPREAD
    data = np.log10(data) if is_log else data
    edges = np.histogram_bin_edges(data, _BINS)
    if edges[0] < 0 and not is_log:  # a single duration, around which half a unit was added
        edges = np.linspace(0.0, 2.0 * float(data[0]) or 1.0, _BINS + 1)
    marks: list[Mark] = []
    below = np.zeros(_BINS)
    for state in (State.COMPLETE, State.PRUNED, State.FAIL):
        mine = np.array([trial.state is state for trial in ended])
        counts = np.histogram(data[mine], edges)[0].astype(float)
        if mine.any():
            marks.append(_stacked(counts, below, edges, state))
        below = below + counts
    ticks = log_ticks(float(edges[0]), float(edges[-1])) if is_log else ()
    axis = Axis(unit, ticks=ticks, ends=(float(edges[0]), float(edges[-1])), grid=False)
    median, total = float(np.median(seconds)), float(seconds.sum())
    note = f"{counted(len(ended), 'trial')}, {duration(median)} each in the median; "
    note += f"the longest took {duration(float(seconds.max()))}, all together {duration(total)}."
    panel = Panel(marks, axis, Axis("trials", whole=True, ends=(0.0, 1.05 * float(below.max()))))
    return Chart("durations", "Durations", note, [panel])


def _stacked(
    counts: NDArray[np.float64],
    below: NDArray[np.float64],
    edges: NDArray[np.float64],
    state: State,
) -> Bars:
    return Bars(
        ((edges[:-1] + edges[1:]) / 2).tolist(),
        counts.tolist(),
        ROLES[state],
        state.value,
        lambda place: f"{counted(int(counts[place]), 'trial')} {state.value}",
        base=below.tolist(),
        width=0.92 * float(edges[1] - edges[0]),
    )


def unit_of(seconds: float) -> tuple[float, str]:
    """Return the unit for an axis up to a number of seconds, with its size in seconds.

    Example:
        >>> unit_of(90.0), unit_of(20_000.0)
        ((1.0, 'seconds'), (3600.0, 'hours'))
    """
    return next((pair for pair in _UNITS if seconds >= 2 * pair[0]), _UNITS[-1])


def timeline(study: Studied) -> Chart:
    """Return when each slot ran which trial, so that idle time shows as gaps."""
    title = "Slots over time"
    runs = sorted(
        (_Run(trial, attempt) for trial in study.trials for attempt in trial.attempts),
        key=lambda run: run.start,
    )
    if not runs:
        return Chart("timeline", title, "No trial has started yet.", wide=True)
    begin, end = runs[0].start, max(run.end for run in runs)
    slots = _lanes(runs)
    size, unit = unit_of(end - begin)
    drawn = [pair for pair in zip(runs, slots, strict=True) if pair[1] < _MOST_LANES]
    words = list(dict.fromkeys(run.word for run, _ in drawn))
    marks = [
        _spans(study, [pair for pair in drawn if pair[0].word == word], begin, size)
        for word in words
    ]
    count = min(max(slots) + 1, _MOST_LANES)
    ticks = tuple((float(slot), str(slot + 1)) for slot in range(0, count, 1 + count // 16))
    y = Axis("slot", ticks=ticks, ends=(count - 0.4, -0.6), grid=False)
    panel = Panel(marks, Axis(unit, ends=(0.0, max((end - begin) / size, 1e-9))), y)
    note = _idle_note(runs, max(slots) + 1, end - begin)
    return Chart("timeline", title, note, [panel], wide=True, height=110 + 14 * max(count, 4))


@dataclass(frozen=True, slots=True)
class _Run:
    """An attempt of a trial."""

    trial: Trial
    attempt: Attempt

    @property
    def start(self) -> float:
        return self.attempt.started_at

    @property
    def end(self) -> float:
        """When it ended, or was last heard of."""
        attempt = self.attempt
        if attempt.ended_at is not None:
            return max(attempt.ended_at, attempt.started_at)
        heard = attempt.measurements[-1].at if attempt.measurements else 0.0
        return max(attempt.started_at + (attempt.seconds or 0.0), heard)

    @property
    def role(self) -> Role:
        is_last = self.attempt is self.trial.attempts[-1]
        return ROLES.get(self.trial.state, "quiet") if is_last else "quiet"

    @property
    def word(self) -> str:
        return "lost" if self.role == "quiet" else self.trial.state.value


def _spans(study: Studied, runs: Sequence[tuple[_Run, int]], begin: float, size: float) -> Bars:
    return Bars(
        [float(slot) for _, slot in runs],
        [(run.end - run.start) / size for run, _ in runs],
        runs[0][0].role,
        runs[0][0].word,
        lambda place: told(study, runs[place][0].trial),
        base=[(run.start - begin) / size for run, _ in runs],
        across=True,
    )


def _idle_note(runs: Sequence[_Run], slots: int, seconds: float) -> str:
    busy = sum(run.end - run.start for run in runs)
    idle = 1.0 - busy / (slots * seconds) if seconds > 0 else 0.0
    note = f"At most {counted(slots, 'trial')} ran at once, in {duration(seconds)}; with "
    note += f"{counted(slots, 'slot')}, {max(0.0, idle):.0%} of the time was idle."
    hidden = slots - _MOST_LANES
    return f"{note} {counted(hidden, 'slot')} more are not drawn." if hidden > 0 else note


def _lanes(runs: Sequence[_Run]) -> list[int]:
    """Return a slot for each run, the lowest that is free when it starts."""
    free: list[int] = []
    busy: list[tuple[float, int]] = []
    lanes: list[int] = []
    for run in runs:
        while busy and busy[0][0] <= run.start + _ROUNDING:
            heapq.heappush(free, heapq.heappop(busy)[1])
        lane = heapq.heappop(free) if free else len(busy)
        heapq.heappush(busy, (run.end, lane))
        lanes.append(lane)
    return lanes
