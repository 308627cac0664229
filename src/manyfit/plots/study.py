"""What pictures of a study have in common, and those of its values: history and curves."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from manyfit._labels import label
from manyfit._redact import redact, redact_value
from manyfit.metric import Metric
from manyfit.plots.chart import Axis, Chart, Dots, Line, Mark, Panel, Role, on_one_line
from manyfit.plots.scales import value_axis, within
from manyfit.repeats import best_trial
from manyfit.space import Space
from manyfit.trackers.progress import counted
from manyfit.trial import State, Trial

# The number of curves, and of points of each, in one picture.
_MOST_CURVES, _MOST_STEPS = 120, 120
_MOST_TOLD = 12  # params of a trial in a text

ROLES: Mapping[State, Role] = {
    State.COMPLETE: "complete",
    State.PRUNED: "pruned",
    State.FAIL: "failed",
    State.RUNNING: "running",
}


class Studied(Protocol):
    """The part of a `StudyResult` that pictures show."""

    @property
    def name(self) -> str:
        """The study's name."""

    @property
    def metric(self) -> Metric:
        """The metric tuned."""

    @property
    def space(self) -> Space:
        """The space searched."""

    @property
    def trials(self) -> Sequence[Trial]:
        """All trials by number, with params as the objective received them."""

    @property
    def outside(self) -> frozenset[int]:
        """Numbers of trials outside the space."""


def searched(study: Studied) -> list[Trial]:
    """Return the trials of the search: those inside the space, without repeats."""
    return [
        trial
        for trial in study.trials
        if trial.repeat_of is None and trial.number not in study.outside
    ]


def completed(study: Studied) -> list[Trial]:
    """Return the completed trials of the search."""
    return [trial for trial in searched(study) if trial.state is State.COMPLETE]


def best_of(study: Studied) -> Trial | None:
    """Return the best trial; None if none has completed."""
    inside = [trial for trial in study.trials if trial.number not in study.outside]
    return best_trial(inside, study.metric)


def last_value(study: Studied, trial: Trial) -> float:
    """Return a trial's value, or that of its last report; NaN if it has none."""
    return trial.metrics.get(study.metric.name, float("nan"))


def stored(study: Studied, trial: Trial) -> dict[str, Any]:
    """Return a trial's params of the space, in stored form."""
    params, given = study.space.params, study.space.flat(trial.params)
    return {name: label(value) for name, value in given.items() if name in params}


def told(study: Studied, trial: Trial) -> str:
    """Return a trial in a few lines: its state, its value, its params."""
    value = last_value(study, trial)
    lines = [f"trial {trial.number}, {trial.state.value}"]
    lines += [f"{study.metric.name} {value:.6g}"] if np.isfinite(value) else []
    for name, each in [*stored(study, trial).items()][:_MOST_TOLD]:
        shown = f"{each:.4g}" if isinstance(each, float) else str(redact_value(name, each))
        lines.append(on_one_line(f"{name} {shown}"))
    if trial.reason:
        lines.append(on_one_line(redact(trial.reason), 100))
    return "\n".join(lines)


def dots(
    study: Studied, trials: Sequence[Trial], x: Sequence[float], y: Sequence[float], **style: Any
) -> Dots:
    """Return trials as points, of which each knows its row of the table."""
    return Dots(
        x,
        y,
        keys=[trial.number for trial in trials],
        tell=lambda place: told(study, trials[place]),
        **style,
    )


def history(study: Studied) -> Chart:
    """Return the values of all trials by number, and the best so far."""
    trials = searched(study)
    values = [last_value(study, trial) for trial in trials]
    axis = value_axis(
        study.metric, [v for v, t in zip(values, trials, strict=True) if t.value is not None]
    )
    by_state: dict[State, list[tuple[Trial, float]]] = {}
    for trial, value in zip(trials, values, strict=True):
        by_state.setdefault(trial.state, []).append((trial, value))
    marks: list[Mark] = []
    for state in (State.FAIL, State.PRUNED, State.RUNNING, State.COMPLETE):
        known = [pair for pair in by_state.get(state, ()) if np.isfinite(pair[1])]
        if known:
            some, heights = zip(*known, strict=True)
            marks.append(
                dots(
                    study,
                    some,
                    [trial.number for trial in some],
                    within(axis, heights),
                    role=ROLES[state],
                    label=state.value,
                    symbol="circle" if state is State.COMPLETE else "cross",
                )
            )
    marks += _best_so_far(study)
    seen = [value for value in values if np.isfinite(value)]
    hidden = sum(a != b for a, b in zip(seen, within(axis, seen), strict=True))
    note = _history_note(study, hidden)
    panels = [Panel(marks, Axis("trial", grid=False, whole=True), axis)] if marks else []
    return Chart("history", "History", note, panels)


def _best_so_far(study: Studied) -> list[Mark]:
    done = completed(study)
    losses = np.array([study.metric.loss(trial.value or 0.0) for trial in done])
    if not len(losses):
        return []
    best = np.minimum.accumulate(losses)
    sign = 1.0 if study.metric.direction == "minimize" else -1.0
    numbers = [trial.number for trial in done] + [searched(study)[-1].number]
    values = (sign * np.append(best, best[-1])).tolist()
    return [Line(numbers, values, "best", "best so far", step=True)]


def _history_note(study: Studied, hidden: int) -> str:
    done = completed(study)
    if not done:
        return f"No trial has completed: there is no {study.metric.name} to show yet."
    best = study.metric.best([trial.value or 0.0 for trial in done])
    first = next(trial for trial in done if trial.value == best)
    since = len(searched(study)) - 1 - first.number
    word = "lower" if study.metric.direction == "minimize" else "higher"
    note = f"The best of {counted(len(done), 'completed trial')}, {best:.6g}, came in trial "
    note += f"{first.number}; {counted(max(0, since), 'trial')} since ({word} is better)."
    return f"{note} {counted(hidden, 'value')} beyond the axis: at its edge." if hidden else note


def curves(study: Studied) -> Chart:
    """Return what trials reported of the tuned metric, step by step."""
    name = study.metric.name
    reporting = [t for t in searched(study) if any(name in m.metrics for m in t.measurements)]
    best = best_of(study)
    shown = evenly(sorted(reporting, key=lambda trial: _rank(study, trial)), _MOST_CURVES)
    marks: list[Mark] = [_curve(study, trial, best) for trial in reversed(shown)]
    pruned = [trial for trial in shown if trial.state is State.PRUNED]
    marks += _ends(study, pruned)
    note = f"No trial has reported {name} while it ran."
    if reporting:
        note = f"{name} by step, of {counted(len(reporting), 'trial')} that reported it"
        note += f"; {len(shown)} of them, evenly by rank, are drawn" if shown != reporting else ""
        count = sum(trial.state is State.PRUNED for trial in reporting)
        note += f". {counted(count, 'trial')} ended early, marked by crosses." if count else "."
    values = [value for mark in marks if isinstance(mark, Line) for value in mark.y]
    panels = [Panel(marks, Axis("step", grid=False, whole=True), value_axis(study.metric, values))]
    return Chart("curves", "Learning curves", note, panels if marks else [])


def evenly(items: Sequence[Trial], most: int) -> list[Trial]:
    """Return at most `most` items: half are the first, half are spread evenly over the others."""
    if len(items) <= most:
        return list(items)
    first, others = items[: most // 2], items[most // 2 :]
    places = np.linspace(0, len(others) - 1, most - len(first)).astype(int)
    return [*first, *(others[place] for place in places)]


def _rank(study: Studied, trial: Trial) -> tuple[bool, float]:
    loss = study.metric.loss(last_value(study, trial))
    return trial.state is not State.COMPLETE, loss


def _curve(study: Studied, trial: Trial, best: Trial | None) -> Line:
    steps, values = _reported(study, trial)
    places = np.unique(np.linspace(0, len(steps) - 1, _MOST_STEPS).astype(int))
    is_best = best is not None and trial.number == best.number
    role: Role = "best" if is_best else ROLES.get(trial.state, "quiet")
    return Line(
        [steps[place] for place in places],
        [values[place] for place in places],
        role,
        f"best, trial {trial.number}" if is_best else trial.state.value,
        strength=1.0 if is_best else 0.35,
        text=told(study, trial),
        dashed=trial.state is State.PRUNED,
    )


def _ends(study: Studied, trials: Iterable[Trial]) -> list[Mark]:
    some = list(trials)
    last = [[each[-1] for each in _reported(study, trial)] for trial in some]
    x, y = [step for step, _ in last], [value for _, value in last]
    return [dots(study, some, x, y, role="pruned", symbol="cross")] if some else []


def _reported(study: Studied, trial: Trial) -> tuple[list[float], list[float]]:
    name = study.metric.name
    pairs = [(m.step, m.metrics[name]) for m in trial.measurements if name in m.metrics]
    return [float(step) for step, _ in pairs], [value for _, value in pairs]
