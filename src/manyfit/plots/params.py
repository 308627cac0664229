"""Pictures of params: slices, the contour of two, parallel coordinates, and where trials fail."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from manyfit.choice import Choice
from manyfit.domain import Int
from manyfit.plots.bins import histogram
from manyfit.plots.chart import Axis, Band, Bars, Cells, Chart, Line, Mark, Panel, Words
from manyfit.plots.pixels import Scale
from manyfit.plots.scales import ParamScale, extent, value_axis
from manyfit.plots.study import Studied, best_of, completed, dots, evenly, searched, stored, told
from manyfit.trackers.progress import counted
from manyfit.trial import State, Trial

if TYPE_CHECKING:
    from manyfit.plots.model import Model

_MOST_PANELS = 12
_MOST_DOTS = 600  # trials in a panel
_MOST_LINES = 150  # trials in parallel coordinates
_POINTS = 60  # of a line of the model
_CELLS = 24  # of each side of a contour
_DEVIATIONS = 1.96
_PARTS = 5  # of a range, in which failures are compared with other trials
# A model needs this many completed trials.
_FEWEST = 8


def model_of(study: Studied) -> "Model | None":
    """Return a model of the trials; None if too few have completed."""
    if len(completed(study)) < _FEWEST or not study.space.params:
        return None
    # Imported here because scipy takes a third of a second, which `import manyfit.tuning` saves.
    from manyfit.advice.record import Record  # noqa: PLC0415
    from manyfit.plots.model import Model  # noqa: PLC0415

    return Model(Record.of(study.space, study.metric, study.trials, study.outside))


# ── slices ────────────────────────────────────────────────────────────────────────────────────


def slices(study: Studied, model: "Model | None", names: Sequence[str]) -> Chart:
    """Return the values over each param, with the model's mean and 95 % band.

    The model's line is a slice through the best trial: all other params are as in that trial.

    Args:
        study: The study.
        model: Its model; None draws the trials alone.
        names: The params, most important first.
    """
    done = completed(study)
    best = best_of(study)
    if best is None or not names:
        return Chart("slices", "Slices", "No trial has completed yet.", wide=True)
    axis = value_axis(study.metric, [trial.value or 0.0 for trial in done])
    shown = evenly(sorted(done, key=lambda t: study.metric.loss(t.value or 0.0)), _MOST_DOTS)
    scales = [ParamScale(name, study.space.params[name]) for name in names[:_MOST_PANELS]]
    panels = [_slice(study, model, scale, shown, axis) for scale in scales]
    note = f"{study.metric.name} over each param, of {counted(len(shown), 'completed trial')}."
    if model is not None:
        note += (
            " The line and its band are the model's mean and 95 % interval if all other params stay"
            f" as in the best trial, {best.number}."
        )
    hidden = len(names) - _MOST_PANELS
    note += f" {counted(hidden, 'param')} that matter less are left out." if hidden > 0 else ""
    return Chart("slices", "Slices", note, panels, wide=True, height=230)


def _slice(
    study: Studied,
    model: "Model | None",
    scale: ParamScale,
    trials: Sequence[Trial],
    axis: Axis,
) -> Panel:
    name = scale.name
    active = [(trial, stored(study, trial)) for trial in trials]
    active = [pair for pair in active if name in pair[1]]
    x = _spread([scale.place(params[name]) for _, params in active], scale)
    some = [trial for trial, _ in active]
    marks: list[Mark] = [
        dots(study, some, x, [t.value or 0.0 for t in some], role="quiet", label="trials")
    ]
    best = best_of(study)
    params = {} if best is None else stored(study, best)
    if best is not None and name in params:
        marks += _predicted(model, scale, params, axis) if model is not None else []
        place, value = scale.place(params[name]), best.value or 0.0
        marks.append(dots(study, [best], [place], [value], role="best", symbol="diamond"))
    return Panel(marks, replace(scale.axis, title=""), axis, name)


def _spread(places: Sequence[float], scale: ParamScale) -> list[float]:
    """Spread the trials of each option a little, the same way each time."""
    if not isinstance(scale.domain, Choice):
        return list(places)
    return [place + 0.25 * ((7 * n % 11) / 5 - 1) for n, place in enumerate(places)]


def _predicted(
    model: "Model", scale: ParamScale, params: Mapping[str, Any], axis: Axis
) -> list[Mark]:
    """Return the model's mean and band along a param, or an interval for each option."""
    values = _values(scale)
    if not values:
        return []
    mean, deviation = model.predict([{**params, scale.name: value} for value in values])
    low, high = mean - _DEVIATIONS * deviation, mean + _DEVIATIONS * deviation
    if axis.log:
        floor = min(float(mean[mean > 0].min(initial=1.0)), 1.0) * 1e-3
        mean, low, high = (np.maximum(each, floor) for each in (mean, low, high))
    places = [scale.place(value) for value in values]
    if isinstance(scale.domain, Choice):
        return [
            mark
            for place, m, a, b in zip(places, mean, low, high, strict=True)
            for mark in (
                Band([place - 0.3, place + 0.3], [a, a], [b, b], "complete", "95 % band"),
                Line([place - 0.3, place + 0.3], [m, m], "complete", "model's mean"),
            )
        ]
    return [
        Band(places, low.tolist(), high.tolist(), "complete", "95 % band"),
        Line(places, mean.tolist(), "complete", "model's mean"),
    ]


def _values(scale: ParamScale, count: int = _POINTS) -> list[Any]:
    """Return values along a param; none of branches, which have params of their own."""
    domain = scale.domain
    if isinstance(domain, Choice):
        return list(domain.labels) if domain.branches is None else []
    values = [domain.decode((place + 0.5) / count) for place in range(count)]
    return list(dict.fromkeys(values))


# ── contour ───────────────────────────────────────────────────────────────────────────────────


def contour(study: Studied, model: "Model | None", names: Sequence[str]) -> Chart:
    """Return the model's mean over two params, as a grid of cells; the darker the better.

    Args:
        study: The study.
        model: Its model.
        names: The params, most important first.
    """
    best = best_of(study)
    params = {} if best is None else stored(study, best)
    numeric = [n for n in names if n in params and not isinstance(study.space.params[n], Choice)]
    if model is None or best is None or len(numeric) < 2:
        note = f"It takes two numeric params and {_FEWEST} completed trials."
        return Chart("contour", "Two params together", note)
    x, y = (ParamScale(name, study.space.params[name]) for name in numeric[:2])
    values = [[x.domain.decode(_middle(n)) for n in range(_CELLS)]]
    values.append([y.domain.decode(_middle(n)) for n in range(_CELLS)])
    grid = [{**params, x.name: a, y.name: b} for b in values[1] for a in values[0]]
    mean = model.predict(grid)[0].reshape(_CELLS, _CELLS)
    losses = np.array([[study.metric.loss(each) for each in row] for row in mean])
    goodness = 1.0 - (losses - losses.min()) / (np.ptp(losses) or 1.0)
    texts = [
        [f"{study.metric.name} {m:.4g}\n{x.name} {a:.4g}\n{y.name} {b:.4g}" for a, m in row]
        for b, row in zip(
            values[1], (zip(values[0], each, strict=True) for each in mean), strict=True
        )
    ]
    middles = [_middle(n) for n in range(_CELLS)]
    marks: list[Mark] = [Cells(middles, middles, (goodness**2).tolist(), texts=texts)]
    marks += _tried(study, x, y, best)
    note = (
        f"The model's mean of {study.metric.name} over {x.name} and {y.name}, with all other params"
        f" as in the best trial, {best.number}: from {study.metric.best(mean.ravel()):.4g}, the "
        "darkest, to the lightest cells, the worst."
    )
    panel = Panel(marks, _unit_axis(x), _unit_axis(y))
    return Chart("contour", "Two params together", note, [panel])


def _middle(cell: int) -> float:
    return (cell + 0.5) / _CELLS


def _tried(study: Studied, x: ParamScale, y: ParamScale, best: Trial) -> list[Mark]:
    some = [t for t in searched(study) if {x.name, y.name} <= stored(study, t).keys()]
    some = evenly(some, _MOST_DOTS)
    pairs = [stored(study, trial) for trial in some]
    ends = stored(study, best)
    return [
        dots(
            study,
            some,
            [x.unit(pair[x.name]) for pair in pairs],
            [y.unit(pair[y.name]) for pair in pairs],
            role="quiet",
            label="trials",
        ),
        dots(
            study,
            [best],
            [x.unit(ends[x.name])],
            [y.unit(ends[y.name])],
            role="best",
            label="best",
            symbol="diamond",
        ),
    ]


def _unit_axis(scale: ParamScale) -> Axis:
    """Return an axis from 0 to 1 with the values of a param for ticks."""
    return Axis(scale.name, ticks=_unit_ticks(scale), ends=(0.0, 1.0), grid=False)


def _unit_ticks(scale: ParamScale, count: int = 4) -> tuple[tuple[float, str], ...]:
    domain = scale.domain
    if isinstance(domain, Choice):
        few = list(domain.labels)[:12]
        return tuple((scale.unit(each), scale.shown(each)) for each in few)
    if domain.prior is None:
        axis = replace(scale.axis, whole=isinstance(domain, Int))
        return tuple(
            (scale.unit(each), text) for each, text in Scale(axis, *extent(domain)[:2]).ticks
        )
    values = [domain.decode(n / count) for n in range(count + 1)]
    return tuple((scale.unit(each), f"{each:.3g}") for each in dict.fromkeys(values))


# ── parallel coordinates ──────────────────────────────────────────────────────────────────────


def parallel(study: Studied, names: Sequence[str]) -> Chart:
    """Return a line for each completed trial across its params; the better, the darker."""
    done = sorted(completed(study), key=lambda trial: study.metric.loss(trial.value or 0.0))
    shown = evenly(done, _MOST_LINES)
    if not shown or not names:
        note = "No trial has completed yet."
        return Chart("parallel", "Parallel coordinates", note, wide=True)
    scales = [ParamScale(name, study.space.params[name]) for name in names[:_MOST_PANELS]]
    marks: list[Mark] = [
        _across(study, trial, scales, place / max(1, len(shown) - 1))
        for place, trial in reversed([*enumerate(shown)])
    ]
    for place, scale in enumerate(scales):
        marks.append(Line([place, place], [0.0, 1.0], "quiet"))
        ticks = _unit_ticks(scale)
        marks.append(Words([place] * len(ticks), [at for at, _ in ticks], [t for _, t in ticks]))
    ticks = tuple((float(place), scale.name) for place, scale in enumerate(scales))
    x = Axis("", ticks=ticks, ends=(-0.2, len(scales) - 0.2), grid=False)
    y = Axis("", ticks=((0.0, ""),), ends=(-0.04, 1.04), grid=False)
    note = f"Each line is one of {counted(len(shown), 'completed trial')}; the better, the darker. "
    note += "The green line is the best."
    panel = Panel(marks, x, y)
    return Chart("parallel", "Parallel coordinates", note, [panel], wide=True, height=320)


def _across(study: Studied, trial: Trial, scales: Sequence[ParamScale], rank: float) -> Line:
    params = stored(study, trial)
    heights = [s.unit(params[s.name]) if s.name in params else float("nan") for s in scales]
    return Line(
        list(range(len(scales))),
        heights,
        "best" if rank == 0 else "complete",
        strength=1.0 if rank == 0 else 0.06 + 0.6 * (1.0 - rank) ** 3,
        text=told(study, trial),
    )


# ── failures ──────────────────────────────────────────────────────────────────────────────────


def failures(study: Studied) -> Chart:
    """Return where in the space trials failed, for the params that tell failures apart best."""
    ended = [trial for trial in searched(study) if trial.state.is_finished]
    failed = [trial for trial in ended if trial.state is State.FAIL]
    title = "Where trials fail"
    if not failed:
        return Chart("failures", title, "No trial has failed.", wide=True)
    panels = [_failed_by(study, ended, name) for name in study.space.params]
    panels.sort(key=lambda pair: -pair[0])
    note = (
        f"{len(failed)} of {counted(len(ended), 'trial')} failed. Bars count trials by the value "
    )
    note += "of a param; the params that tell failures apart best come first."
    shown = [panel for _, panel in panels[:6]]
    return Chart("failures", title, note, shown, wide=True, height=200)


def _failed_by(study: Studied, trials: Sequence[Trial], name: str) -> tuple[float, Panel]:
    """Return a panel, and how much the param differs between failures and other trials."""
    domain = study.space.params[name]
    values: dict[bool, list[Any]] = {True: [], False: []}
    for trial in trials:
        params = stored(study, trial)
        if name in params:
            values[trial.state is State.FAIL].append(params[name])
    bad, good = (histogram(domain, values[failed], name) for failed in (True, False))
    width = 0.94 * min(bad.widths)
    texts = [
        f"{name} {where}\n{b} failed, {g} did not"
        for where, b, g in zip(bad.names, bad.counts, good.counts, strict=True)
    ]
    marks = [
        Bars(bad.centers, _floats(bad.counts), "failed", "failed", texts.__getitem__, width=width),
        Bars(
            bad.centers,
            _floats(good.counts),
            "quiet",
            "did not fail",
            texts.__getitem__,
            base=_floats(bad.counts),
            width=width,
        ),
    ]
    ends = (bad.centers[0] - bad.widths[0] / 2, bad.centers[-1] + bad.widths[-1] / 2)
    axis = Axis("", ticks=bad.ticks, ends=ends, grid=False)
    most = max(b + g for b, g in zip(bad.counts, good.counts, strict=True))
    return _distance(bad.counts, good.counts), Panel(
        marks, axis, Axis("trials", whole=True, ends=(0.0, 1.05 * max(most, 1))), name
    )


def _distance(bad: Sequence[int], good: Sequence[int]) -> float:
    """Return the total variation distance of coarse histograms, less what chance makes of it."""
    parts = min(_PARTS, len(bad))
    sums = [[sum(part) for part in np.array_split(counts, parts)] for counts in (bad, good)]
    one, other = (np.array(each) / max(1, sum(each)) for each in sums)
    return 0.5 * float(np.abs(one - other).sum()) - math.sqrt(parts / (4.0 * max(1, sum(bad))))


def _floats(counts: Sequence[int]) -> list[float]:
    return [float(count) for count in counts]
