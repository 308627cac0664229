"""What pictures of a study show, and that both ways to draw them can."""

import math
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from manyfit import Choice, Float, Int, Metric, Space, StudyResult
from manyfit.plots import measures, params, study, work
from manyfit.plots.chart import Axis, Bars, Chart, Dots, Line, Panel
from manyfit.plots.figure import figure
from manyfit.plots.pixels import Scale
from manyfit.plots.svg import drawn
from manyfit.testing.samplers import LOSS, finished, trial
from manyfit.trial import Attempt, Failed, Finished, Lost, Pruned

SPACE = Space(
    {
        "rate": Float(1e-4, 1.0, log=True),
        "depth": Int(1, 9),
        "kind": Choice(["a", "b"]),
        "model": Choice({"net": {"drop": Float(0.0, 0.5)}, "tree": {}}),
    }
)


def made(trials, space=SPACE, metric=LOSS, **given):
    return StudyResult("study", Path("/none"), metric, space, "all done", tuple(trials), **given)


def sampled(count, space=SPACE):
    """A study whose loss is least at a rate of 0.01, and whose deep trials fail."""
    rng = np.random.default_rng(0)
    for number in range(count):
        drawn_params = space.sample(rng)
        loss = (math.log10(drawn_params["rate"]) + 2) ** 2 + 0.01 * rng.random()
        if drawn_params["depth"] == 9:
            yield trial(number, drawn_params, Failed("out of <memory>", "MemoryError"))
        elif number % 5 == 4:
            yield trial(number, drawn_params, Pruned("hopeless"), loss + 2, loss + 1)
        else:
            yield finished(number, drawn_params, loss)


@pytest.fixture(scope="module")
def result():
    return made(sampled(60))


@pytest.fixture(scope="module")
def model(result):
    return params.model_of(result)


def all_charts(result):
    model, names = params.model_of(result), list(result.space.params)
    return [
        study.history(result),
        study.curves(result),
        params.slices(result, model, names),
        params.contour(result, model, names),
        params.parallel(result, names),
        params.failures(result),
        measures.correlation(result),
        work.durations(result),
        work.timeline(result),
    ]


def marks(chart, kind):
    return [mark for panel in chart.panels for mark in panel.marks if isinstance(mark, kind)]


def labelled(chart, label):
    (found,) = [mark for mark in marks(chart, (Dots, Line, Bars)) if mark.label == label]
    return found


POINT = {"rate": 0.1, "depth": 1, "kind": "a", "model": "tree"}


class TestHistory:
    def test_best_so_far(self):
        """It follows the best completed trial, up to the last trial of the search."""
        trials = [finished(n, POINT, value) for n, value in enumerate([3.0, 1.0, 2.0])]
        last = trial(3, POINT, Failed("no"))
        line = labelled(study.history(made([*trials, last])), "best so far")
        assert (line.x, line.y) == ([0, 1, 2, 3], [3.0, 1.0, 1.0, 1.0])

    def test_larger_is_better(self):
        """If larger is better, it rises."""
        up = Metric("loss", "maximize")
        trials = [finished(n, POINT, value) for n, value in enumerate([3.0, 1.0, 4.0])]
        assert labelled(study.history(made(trials, metric=up)), "best so far").y[-1] == 4.0

    def test_repeats_and_trials_outside_are_no_part_of_the_search(self):
        """Neither is drawn."""
        again = replace(finished(1, POINT, 0.0), repeat_of=0)
        chart = study.history(
            made([finished(0, POINT, 1.0), again, finished(2, {}, 0.0)], outside=frozenset({2}))
        )
        assert labelled(chart, "COMPLETE").keys == [0]

    def test_a_diverged_trial_does_not_flatten_the_others(self):
        """It is drawn at the edge, and the note says so."""
        losses = [1.0, 1.1, 1.2, 1.3, 1e6]
        chart = study.history(made([finished(n, POINT, x) for n, x in enumerate(losses)]))
        assert max(labelled(chart, "COMPLETE").y) < 4.0
        assert "1 value beyond the axis" in chart.note


class TestCurves:
    def test_trials_ended_early_look_different(self, result):
        """They are dashed and end in crosses, not only in another colour."""
        chart = study.curves(result)
        pruned = [line for line in marks(chart, Line) if line.label == "PRUNED"]
        (crosses,) = [dots for dots in marks(chart, Dots) if dots.symbol == "cross"]
        assert len(pruned) == len(crosses.x)
        assert all(line.dashed for line in pruned)

    def test_very_many_are_thinned(self):
        """A bounded number is drawn, the best among them, and the note says so."""
        chart = study.curves(made([finished(n, POINT, 1.0 + n) for n in range(400)]))
        assert len(marks(chart, Line)) == 120
        assert "400 trials" in chart.note
        assert [line.label for line in marks(chart, Line)][-1] == "best, trial 0"


class TestModel:
    def test_slice_finds_the_minimum(self, result, model):
        """The model's mean is least where the function is, and its band holds the truth there."""
        panel = params.slices(result, model, ["rate"]).panels[0]
        (mean,) = [mark for mark in panel.marks if isinstance(mark, Line)]
        assert panel.x.log
        assert 0.003 < mean.x[int(np.argmin(mean.y))] < 0.03

    def test_of_options(self, result, model):
        """A choice has a mean for each option; one of branches has its trials only."""
        plain, branches = params.slices(result, model, ["kind", "model"]).panels
        assert [text for _, text in plain.x.ticks] == ["a", "b"]
        assert len([mark for mark in plain.marks if isinstance(mark, Line)]) == 2
        assert not [mark for mark in branches.marks if isinstance(mark, Line)]

    def test_contour_is_darkest_where_the_function_is_least(self, result, model):
        """Cells are as dark as their mean is good."""
        (cells, *_) = params.contour(result, model, ["rate", "depth"]).panels[0].marks
        column = int(np.argmax(np.array(cells.strengths).sum(axis=0)))
        assert abs(cells.x[column] - 0.5) < 0.1

    def test_ticks_are_round_numbers(self, result, model):
        """A heat map has them too, although its axes are places in the space."""
        (panel,) = params.contour(result, model, ["rate", "depth"]).panels
        found = {axis.title: [text for _, text in axis.ticks] for axis in (panel.x, panel.y)}
        assert found == {
            "rate": ["0.0001", "0.001", "0.01", "0.1", "1"],
            "depth": ["2", "4", "6", "8"],
        }

    def test_a_narrow_logarithmic_range_has_ticks(self):
        """Although no power of ten is in it."""
        assert len(Scale(Axis(log=True), 0.21, 0.45).ticks) > 2

    def test_too_few_trials_have_none(self):
        """With seven completed trials, pictures show trials alone."""
        few = made([finished(n, POINT, float(n)) for n in range(7)])
        assert params.model_of(few) is None
        assert params.contour(few, None, ["rate", "depth"]).panels == ()


class TestFailures:
    def test_the_param_that_explains_them_comes_first(self, result):
        """Deep trials fail here, whatever else they have."""
        chart = params.failures(result)
        assert chart.panels[0].title == "depth"
        assert sum(marks(chart, Bars)[0].lengths) == result.count(result.trials[0].state.FAIL)


class TestMeasures:
    def test_correlation_is_of_ranks(self):
        """A metric that falls whenever another rises has -1, however crooked the relation."""
        trials = [
            trial(n, POINT, Finished(float(n), {"loss": float(n), "score": math.exp(-n)}))
            for n in range(6)
        ]
        (cells,) = measures.correlation(made(trials)).panels[0].marks
        assert cells.words[0] == ["1.00", "-1.00"]

    def test_equal_values_and_missing_ones(self):
        """A constant metric has no correlation, and NaN leaves its trial out."""
        values = [{"loss": float(n), "same": 1.0, "some": float(n or "nan")} for n in range(6)]
        trials = [trial(n, POINT, Finished(float(n), each)) for n, each in enumerate(values)]
        (cells,) = measures.correlation(made(trials)).panels[0].marks
        assert cells.words[0] == ["1.00", "", "1.00"]


def attempt(number, start, end, last=None):
    return Attempt(number, "host:1", start, end=last or Finished(1.0, {}), ended_at=end)


class TestWork:
    def test_idle_slots_are_gaps(self):
        """Trials share a slot one after the other, and the note has the idle time of all slots."""
        times = [(0.0, 10.0), (0.0, 4.0), (4.0, 6.0)]
        trials = [
            replace(finished(n, POINT, 1.0), attempts=(attempt(1, *pair),))
            for n, pair in enumerate(times)
        ]
        chart = work.timeline(made(trials))
        (bars,) = marks(chart, Bars)
        assert bars.places == [0.0, 1.0, 1.0]
        assert "2 trials ran at once" in chart.note
        assert "20% of the time was idle" in chart.note

    def test_lost_attempts_are_work_too(self):
        """An attempt that was lost has a bar of its own."""
        lost = attempt(1, 0.0, 5.0, Lost("its worker died"))
        both = replace(finished(0, POINT, 1.0), attempts=(lost, attempt(2, 6.0, 9.0)))
        assert labelled(work.timeline(made([both])), "lost").lengths == [5.0]

    def test_durations_count_each_trial_once(self, result):
        """Bars of all states add up to the trials that ended."""
        bars = marks(work.durations(result), Bars)
        assert sum(sum(each.lengths) for each in bars) == 60


def texts_in(picture):
    return {text for element in ET.fromstring(picture).iter() for text in [element.text] if text}


EDGES = {
    "nothing": [],
    "one": [finished(0, POINT, 1.0)],
    "all fail": [trial(n, POINT, Failed("no")) for n in range(3)],
    "all equal": [finished(n, POINT, 0.0) for n in range(9)],
    "huge": [finished(n, POINT, (-1) ** n * 1e308) for n in range(9)],
    "of all sizes": [finished(n, POINT, 10.0 ** (75 * n - 300)) for n in range(9)],
}


class TestDrawn:
    """The same picture as SVG and by plotly."""

    @pytest.mark.parametrize("edge", [*EDGES, "some"])
    def test_every_picture_of_every_study(self, edge, result):
        """Each is well-formed, with a text alternative and finite numbers, or a reason."""
        found = all_charts(result if edge == "some" else made(EDGES[edge]))
        for chart in found:
            picture = drawn(chart)
            ET.fromstring(picture)
            assert picture.count('role="img"') == len(chart.panels)
            assert not any(word in picture for word in ("nan", "inf ", '"inf'))
            assert chart.note

    def test_the_last_tick_ends_within_the_picture(self):
        """Its label is moved to the left if it is long."""
        axis = Axis(ticks=((1.0, "1000000"),), ends=(0.0, 1.0))
        (svg,) = re.findall("<svg.*</svg>", drawn(Chart("x", "", "", [Panel((), axis)])))
        (label,) = [each for each in ET.fromstring(svg).iter() if each.text == "1000000"]
        width = float(ET.fromstring(svg).attrib["viewBox"].split()[2])
        assert width - 60 < float(label.attrib["x"]) < width - 20

    def test_markup_is_text(self):
        """A param, an option and a reason with markup are shown as they are."""
        space = Space({"<b>x</b>": Float(0.0, 1.0), "k": Choice(["<i>", "&"])})
        points = [{"<b>x</b>": n / 9, "k": "<i>"} for n in range(9)]
        result = made([finished(n, each, 1.0) for n, each in enumerate(points)], space)
        picture = drawn(params.slices(result, None, list(space.params)))
        assert {"<b>x</b>", "<i>"} <= texts_in(picture)
        shown = result.plot_slices().to_plotly_json()["layout"]
        assert "&lt;b&gt;x&lt;/b&gt;" in shown["annotations"][0]["text"]

    def test_plotly_draws_the_same(self, result):
        """Log axes, categories, hover texts and a label once; nothing shared between figures."""
        shown = result.plot_slices("rate", "kind")
        assert shown.layout.xaxis.type == "log"
        assert list(shown.layout.xaxis2.ticktext) == ["a", "b"]
        assert sum(trace.name == "model's mean" and trace.showlegend for trace in shown.data) == 1
        assert shown.data[0].customdata[0].startswith("trial ")

    def test_nothing_of_a_plotly_figure_is_hidden(self, result):
        """A long note is in lines, the legend above the titles, powers of ten are plain."""
        chart = Chart("x", "Title", "A long note. " * 20, [Panel((), title="first")])
        layout = figure(chart).layout
        notes = layout.title.subtitle.text.split("<br>")
        slices = result.plot_slices("rate", "kind").layout

        assert max(map(len, notes)) <= 100
        assert layout.margin.t >= 120 + 18 * (len(notes) - 1)
        assert (layout.legend.y - 1.0) * chart.height >= 20  # pixels for titles of panels
        assert "0.001" in slices.xaxis.ticktext
        assert slices.xaxis2.zeroline is False

    def test_every_method(self, result):
        """Each picture is a method, of an empty study too."""
        names = [name for name in dir(result) if name.startswith("plot_")]
        assert len(names) >= 9
        for name in names:
            assert getattr(result, name)().layout.title.text
            assert "nothing to show" in str(getattr(made([]), name)().layout.annotations)

    def test_an_unknown_param(self, result):
        """It is refused, with those there are."""
        with pytest.raises(ValueError, match="no param 'speed': the space has rate, depth"):
            result.plot_slices("speed")

    def test_very_many_trials_are_small(self):
        """Five thousand trials are a few hundred kilobytes, drawn as few elements."""
        picture = drawn(study.history(made(sampled(5000))))
        assert len(picture) < 200_000
        assert picture.count("<path") < 40

    def test_without_panels_it_is_a_sentence(self):
        """A picture that has nothing to show is no empty frame."""
        assert "svg" not in drawn(Chart("x", "Title", "Nothing yet."))
        assert figure(Chart("x", "Title", "Nothing yet.")).layout.title.subtitle.text
