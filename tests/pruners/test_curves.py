"""What pruners remember of curves and of their lengths."""

import math

import pytest

from manyfit.pruners.curves import Curve, Lengths
from manyfit.trial import Attempt, End, Failed, Finished, Measurement, Pruned, Trial


class TestCurve:
    @pytest.mark.parametrize(
        ("step", "running", "ended"),
        [(0, None, None), (1, 0.9, 0.9), (3, 0.9, 0.9), (4, 0.5, 0.5), (5, None, 0.5)],
    )
    def test_low_at(self, step: int, running: float | None, ended: float | None) -> None:
        """A curve shows what it had up to a step; ahead of its last one only if it has ended."""
        curve = Curve(steps=[1, 4], lows=[0.9, 0.5])
        assert curve.low_at(step) == running

        curve.ended = True
        assert curve.low_at(step) == ended

    def test_low_at_without_reports(self) -> None:
        """A curve without reports shows nothing, also when it has ended."""
        assert Curve().low_at(3) is None
        assert Curve(ended=True).low_at(3) is None

    @pytest.mark.parametrize(
        ("step", "pace"),
        [
            (6, 0.5 / 3),  # since step 3
            (7, 0.5 / 4),  # since step 3, the last one in the first half
            (8, 0.4 / 4),  # since step 4
            (100, 0.3 / 95),
        ],
    )
    def test_pace(self, step: int, pace: float) -> None:
        """The pace is what a step saved since the last report in the first half of the steps."""
        curve = Curve(steps=[0, 1, 2, 3, 4, 5], lows=[2.0, 1.5, 1.2, 1.0, 0.9, 0.8])

        assert curve.pace(step, 0.5) == pytest.approx(pace)

    def test_pace_since_the_first_report(self) -> None:
        """Where all reports are in the second half of the steps, the first one is the beginning."""
        assert Curve(steps=[70, 80], lows=[1.0, 0.9]).pace(90, 0.8) == pytest.approx(0.01)


def ended(end: End, *steps: int) -> Trial:
    """Return a trial that reported at these steps, and ended."""
    measurements = tuple(Measurement(step, {"loss": 0.5}, 0.0) for step in steps)
    return Trial(0, {}, attempts=(Attempt(1, "slot", 0.0, measurements, end=end),))


class TestLengths:
    def test_without_any(self) -> None:
        """Before a trial is complete no step is the first, and no length typical."""
        lengths = Lengths()

        assert (len(lengths), lengths.typical, lengths.first_step) == (0, 0, math.inf)

    def test_only_complete_trials_with_reports_count(self) -> None:
        """Pruned and failed trials, and those that report nothing, say nothing about lengths."""
        lengths = Lengths()
        lengths.end(ended(Finished(0.5, {}), 0, 20))
        for end in (Pruned("hopeless"), Failed("ValueError")):
            lengths.end(ended(end, 0, 1))
        lengths.end(ended(Finished(0.5, {})))

        assert (len(lengths), lengths.typical) == (1, 20)

    @pytest.mark.parametrize(
        ("last", "first"), [(0, 1), (1, 1), (10, 1), (11, 2), (50, 5), (10_000, 1000)]
    )
    def test_the_first_step_is_a_tenth(self, last: int, first: int) -> None:
        """Curves mean something from a tenth of the typical length on, and never at step 0."""
        lengths = Lengths()
        lengths.end(ended(Finished(0.5, {}), last))

        assert lengths.first_step == first

    def test_typical_is_the_median(self) -> None:
        """The typical length is in the middle, of two the longer."""
        lengths = Lengths()
        for last in (100, 10, 30):
            lengths.end(ended(Finished(0.5, {}), last))
        assert lengths.typical == 30

        lengths.end(ended(Finished(0.5, {}), 50))
        assert lengths.typical == 50

    @pytest.mark.parametrize(
        ("lasts", "differ"),
        [
            ((), False),
            ((9,), False),
            ((9, 9, 9, 9, 99), False),
            ((0, 9, 9, 9, 9), False),
            ((9, 9, 10, 11), False),
            ((9, 9, 9, 99, 99), True),
            ((8, 13, 26, 49), True),
        ],
    )
    def test_whether_lengths_differ(self, lasts: tuple[int, ...], differ: bool) -> None:
        """Lengths differ if more than one in five is much longer or shorter than the others."""
        lengths = Lengths()
        for last in lasts:
            lengths.end(ended(Finished(0.5, {}), last))

        assert lengths.differ == differ
