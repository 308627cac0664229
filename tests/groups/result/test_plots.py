"""Pictures of groups: what is drawn, from the figures that plotly is given."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from manyfit import Choice, Float, Int, Metric, Space
from manyfit.errors import ArgumentError
from manyfit.groups.record.keys import key_text
from manyfit.groups.record.row import BASELINE, FAIL, GroupRow, row_schema, to_table
from manyfit.groups.result.result import GroupsResult
from manyfit.plots.bins import histogram, log_ticks

METRIC = Metric("mase")
SPACE = Space(
    {
        "alpha": Float(1e-3, 10.0, log=True),
        "lags": Int(1, 1000),
        "few": Int(1, 3),
        "model": Choice({"ridge": {}, "trees": {"rate": Float(0.1, 0.5)}}),
    }
)


def row(key, state="COMPLETE", gain=0.1, **given):
    known = {"rows": 10, "trials": 20, "seconds": 2.0, "fit_seconds": 1.5}
    if state == "COMPLETE":
        params = {"alpha": 0.1, "lags": 24, "few": 2, "model": "ridge"}
        known |= {"params": params, "value": 1.0 - gain, "baseline": 1.0}
    return GroupRow(key_text([key]), state, **{**known, **given})


def result(rows, keys=None):
    keys = keys or [f"s{n}" for n in range(len(rows))]
    rows = [make(key) for make, key in zip(rows, keys, strict=True)]
    schema = row_schema(pa.schema([("series", pa.string())]))
    table = to_table([(key,) for key in keys], rows, METRIC, schema)
    return GroupsResult("m4", Path(), METRIC, SPACE, ("series",), "independent", "done", table)


def gaining(*gains):
    return [lambda key, gain=gain: row(key, gain=gain) for gain in gains]


def named(figure, start):
    return next(trace for trace in figure.data if str(trace.name).startswith(start))


class TestGains:
    """Gains over the baseline, sorted."""

    def test_sorted(self):
        """The largest gain comes first, and losses have a colour of their own."""
        figure = result(gaining(0.1, -0.2, 0.3)).plot_gains()
        better, worse = named(figure, "better"), named(figure, "not better")
        assert list(better.x) == [1, 2]
        assert list(better.y) == pytest.approx([0.3, 0.1])
        assert list(worse.y) == pytest.approx([-0.2])
        assert better.marker.color != worse.marker.color
        assert "s2" in better.customdata[0]

    def test_without_gain(self):
        """Groups without a gain are there, by state."""
        rows = [*gaining(0.1), lambda key: row(key, BASELINE), lambda key: row(key, FAIL)]
        figure = result(rows).plot_gains()
        assert list(named(figure, "baseline only: 1").x) == [2]
        assert list(named(figure, "failed: 1").x) == [3]
        assert list(figure.layout.xaxis.ticktext) == ["s0", "s1", "s2"]

    def test_counts_in_words(self):
        """The subtitle tells how many gained, and which way is good."""
        subtitle = result(gaining(0.1, -0.2, 0.3)).plot_gains().layout.title.subtitle.text
        assert subtitle.startswith("2 of 3 groups did better (67%); lower is better")

    def test_towering_gain(self):
        """One huge gain doesn't flatten the others, and it is told of."""
        figure = result(gaining(*[0.1] * 30, 1000.0)).plot_gains()
        assert figure.layout.yaxis.range[1] < 1.0
        assert "1 beyond the axis" in figure.layout.title.subtitle.text

    def test_very_many(self):
        """Thousands of groups are an outline, of a bounded number of points."""
        figure = result(gaining(*np.linspace(1.0, 0.1, 3000))).plot_gains()
        assert named(figure, "better").type == "scatter"
        assert figure.layout.xaxis.ticktext is None

    def test_keys_are_text(self):
        """A key with markup or line ends is shown as it is; a missing one as missing."""
        figure = result(gaining(0.3, 0.2, 0.1), ["<b>x</b>", "a\nb", None]).plot_gains()
        assert list(figure.layout.xaxis.ticktext) == ["&lt;b&gt;x&lt;/b&gt;", "a b", "missing"]
        assert "<b>x" not in named(figure, "better").customdata[0]

    def test_nothing(self):
        """No groups, and groups that all failed, are pictures too."""
        assert "nothing to show" in str(result([]).plot_gains().layout.annotations)
        failed = result([lambda key: row(key, FAIL, reason="no")] * 2).plot_gains()
        assert failed.layout.title.subtitle.text == "no group has a gain"
        assert len(failed.data) == 1


class TestParams:
    """Best params over groups."""

    def test_panels(self):
        """Each param has a panel; one that not all groups have says so."""
        figure = result(gaining(0.1, 0.2)).plot_params()
        titles = [each.text for each in figure.layout.annotations]
        assert titles[0] == "<b>alpha</b>"
        assert titles[-1] == "<b>rate, active in 0</b>"
        assert [sum(bars.y) for bars in figure.data] == [2, 2, 2, 2, 0]

    def test_one(self):
        """One param can be asked for, and an unknown one is refused."""
        found = result(gaining(0.1))
        assert len(found.plot_params("lags").data) == 1
        with pytest.raises(ArgumentError, match="no param 'lag': the space has alpha, lags"):
            found.plot_params("lag")

    def test_nothing(self):
        """Without params there is a picture that says so."""
        for rows in ([], [lambda key: row(key, FAIL)]):
            figure = result(rows).plot_params()
            assert figure.layout.title.subtitle.text == "no group has any"


class TestHistogram:
    """The bars of a param."""

    def test_log(self):
        """A param on a log scale is counted by its exponent, its ends included."""
        bars = histogram(Float(1e-4, 1.0, log=True), [1e-4, 1e-4, 1.0, 0.01])
        assert bars.counts[0] == 2
        assert bars.counts[-1] == 1
        assert sum(bars.counts) == 4
        assert [text for _, text in bars.ticks] == ["0.0001", "0.001", "0.01", "0.1", "1"]

    def test_whole_numbers(self):
        """Bins of whole numbers hold as many of them each, and all values are counted."""
        bars = histogram(Int(1, 1000), [1, 500, 1000])
        assert sum(bars.counts) == 3
        assert set(bars.widths) == {42.0}

    def test_few_values(self):
        """Few values have a bar each, also those that nobody chose."""
        bars = histogram(Int(1, 3), [3, 3, 1])
        assert (bars.counts, bars.names) == ([1, 0, 2], ["1", "2", "3"])

    def test_options(self):
        """Options of different types are different bars."""
        bars = histogram(Choice([1, "1", True, None]), [1, True, "1", "1"])
        assert bars.counts == [1, 2, 1, 0]

    def test_foreign_values(self):
        """Values that the space no longer has are left out."""
        assert sum(histogram(Float(0.0, 1.0), [0.5, 7.0]).counts) == 1

    def test_ticks_of_a_narrow_axis(self):
        """An axis of less than two decades has ticks between them."""
        assert [text for _, text in log_ticks(-1.0, 0.0)] == ["0.1", "0.2", "0.5", "1"]


class TestSlowest:
    """The groups that took longest."""

    def test_bars(self):
        """Time in the user's functions and the rest add up, the slowest group first."""
        times = ((1.0, 0.5), (9.0, 8.0), (5.0, 5.0))
        rows = [lambda key, t=t: row(key, seconds=t[0], fit_seconds=t[1]) for t in times]
        figure = result(rows).plot_slowest(2)
        assert list(named(figure, "in your").x) == [8.0, 5.0]
        assert list(named(figure, "everything").x) == [1.0, 0.0]
        assert list(figure.layout.yaxis.ticktext) == ["s1", "s2"]
        assert "2 of 3 groups took 93%" in figure.layout.title.subtitle.text

    def test_alike_labels(self):
        """Groups whose long keys look alike have bars of their own."""
        figure = result(gaining(0.1, 0.2), ["x" * 50 + "1", "x" * 50 + "2"]).plot_slowest()
        assert list(named(figure, "in your").y) == [0, 1]

    def test_nothing(self):
        """No groups, and no time at all, are pictures too."""
        assert "nothing to show" in str(result([]).plot_slowest().layout.annotations)
        rows = [lambda key: row(key, seconds=0.0, fit_seconds=0.0)]
        assert "no time at all" in result(rows).plot_slowest().layout.title.subtitle.text
