"""What completed trials show of lengths, and the course that follows."""

from collections.abc import Sequence

import pytest

from manyfit.metric import Metric
from manyfit.pruners.progress import ALIKE, PLANNED, UNKNOWN, Progress
from manyfit.trial import Attempt, Finished, Measurement, Params, Trial

LOSS = Metric("loss", "minimize")


def completed(curve: Sequence[float], params: Params | None = None) -> Trial:
    """Return a complete trial with these reports."""
    measurements = tuple(
        Measurement(step, {"loss": value}, 0.0) for step, value in enumerate(curve)
    )
    attempt = Attempt(1, "slot", 0.0, measurements, end=Finished(curve[-1], {}))
    return Trial(0, params or {}, attempts=(attempt,))


def falling(length: int) -> list[float]:
    """Return a curve that is best at its end."""
    return [1 - step / length / 2 for step in range(length)]


def after(*trials: Trial, metric: Metric = LOSS) -> Progress:
    """Return the progress after these trials."""
    progress = Progress(metric)
    for trial in trials:
        progress.end(trial)
    return progress


def test_one_of_another_length() -> None:
    """A single trial of another length changes nothing."""
    lengths = (20, 20, 20, 20, 90)

    assert after(*[completed(falling(length)) for length in lengths]).course is ALIKE


def test_lengths_that_differ() -> None:
    """If nothing explains lengths, steps are compared, with a course of its own."""
    progress = after(*[completed(falling(length)) for length in (9, 14, 27, 50)])

    assert progress.course is UNKNOWN
    assert progress.point(completed(falling(10)), 7) == 7
    assert progress.at(13, 13) == pytest.approx(14 / 27, rel=0.01)


def test_lengths_from_params() -> None:
    """If params explain lengths, the points of trials are shares of their own lengths."""
    trials = [completed(falling(length), {"epochs": length}) for length in (9, 14, 27, 50)]
    progress = after(*trials)

    assert progress.course is PLANNED
    short, long = progress.point(trials[0], 2), progress.point(trials[3], 16)
    assert short is not None
    assert long is not None
    assert progress.at(2, short) == pytest.approx(3 / 9)
    assert progress.at(16, long) == pytest.approx(17 / 50)
    assert progress.at(8, progress.point(trials[0], 8) or 0) is None
    assert progress.point(completed(falling(5)), 3) is None


@pytest.mark.parametrize("sign", [1, -1])
def test_patience(sign: int) -> None:
    """Trials that end some reports after their best differ in length by what they came to."""
    metric = LOSS if sign == 1 else Metric("loss", "maximize")
    curves = [[*falling(length), *[0.9] * 4] for length in (5, 12, 27, 40)]
    trials = [completed([sign * value for value in curve]) for curve in (*curves, falling(50))]

    assert after(*trials, metric=metric).course is ALIKE


def test_points_move_when_a_rule_is_found_and_when_it_breaks() -> None:
    """Curves have to be placed again only if the unit of points has changed."""
    lengths = [9, 14, 27, 50, 33]
    trials = [completed(falling(length), {"epochs": length}) for length in lengths]
    progress = Progress(LOSS)

    assert [progress.end(trial) for trial in trials] == [False, False, True, False, False]
    assert progress.end(completed(falling(12), {"epochs": 50}))
    assert progress.course is UNKNOWN


def test_reports_without_the_metric() -> None:
    """Reports of other metrics, or of NaN, are not a trial's best."""
    trial = completed(falling(8))
    nothing = Measurement(20, {"other": 0.0}, 0.0)
    diverged = Measurement(21, {"loss": float("nan")}, 0.0)
    last = trial.attempts[-1]
    attempt = Attempt(1, "slot", 0.0, (*last.measurements, nothing, diverged), end=last.end)

    assert after(Trial(0, {}, attempts=(attempt,))).course is ALIKE
