"""What the demo says at its end."""

from pathlib import Path

import pytest

from manyfit.demo.summary import saved, summary
from manyfit.metric import Metric
from manyfit.result import StudyResult
from manyfit.space import Space
from manyfit.trial import Attempt, End, Failed, Finished, Measurement, Pruned, Trial

METRIC = Metric("val_loss")
SPACE = Space({})
METRICS = {
    f"{part}{name}": value
    for part, values in {"": (0.2, 0.93), "val_": (0.3, 0.88), "test_": (0.4, 0.86)}.items()
    for name, value in zip(("loss", "accuracy"), values, strict=True)
}


def trial(number: int, end: End, epochs: int = 0, pace: float = 1.0) -> Trial:
    """A trial whose epochs took `pace` seconds each, and the first one ten more."""
    reports = [Measurement(n, {"val_loss": 1.0}, 10 + n * pace) for n in range(epochs)]
    attempt = Attempt(1, "worker", 0.0, tuple(reports), end=end, seconds=10 + epochs * pace)
    params = {"batch_size": 64, "learning_rate": 0.00123456, "structure": "large"}
    return Trial(number, params, attempts=(attempt,))


def complete(number: int, epochs: int) -> Trial:
    return trial(number, Finished(0.3, METRICS), epochs)


@pytest.fixture(autouse=True)
def _record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")


def say(*trials: Trial, folder: Path = Path("/else/where/fashion")) -> str:
    return summary(StudyResult("fashion", folder, METRIC, SPACE, "all done", trials))


def test_best_params_with_the_metrics_of_each_part() -> None:
    """Params can be copied; losses and accuracies stand in a table."""
    lines = [line.split() for line in say(complete(7, 10)).splitlines()]
    assert ["learning_rate", "0.001235"] in lines
    assert ["structure", "large"] in lines
    assert ["validation", "0.3000", "0.8800"] in lines
    assert ["test", "0.4000", "0.8600"] in lines


def test_where_the_record_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths below the working folder are written as one would type them; the command is whole."""
    monkeypatch.chdir(tmp_path)
    text = say(complete(0, 3), folder=tmp_path / ".manyfit" / "fashion")
    assert "Record:  .manyfit/fashion " in text
    assert "mlflow ui --backend-store-uri sqlite:///mlflow.db\n" in text


def test_what_pruning_saved() -> None:
    """Each pruned trial is taken to have gone on to the usual length, at its own pace."""
    # The usual length is 20 epochs: 15 are left at 1 s, and 10 at 3 s.
    pruned = [trial(2, Pruned("hopeless"), 5), trial(3, Pruned("hopeless"), 10, pace=3.0)]
    text = saved(pruned, [complete(0, 10), complete(1, 30)])
    assert "ended 2 of 4 trials" in text
    assert "some 25 epochs would have come on top of the 55" in text
    assert "45 seconds of work" in text


def test_a_trial_pruned_late_saved_nothing() -> None:
    """A pruned trial that ran longer than the usual isn't held against the others."""
    pruned = [trial(1, Pruned("hopeless"), 12), trial(2, Pruned("hopeless"), 9)]
    assert "some 1 epochs" in saved(pruned, [complete(0, 10)])


def test_a_trial_pruned_at_its_first_report() -> None:
    """With one report there is no pace but the whole trial's."""
    assert "33 seconds" in saved([trial(1, Pruned("NaN"), 1)], [complete(0, 4)])


def test_nothing_was_pruned() -> None:
    """Then nothing is claimed."""
    assert "Pruning" not in say(complete(0, 3))


def test_no_trial_completed() -> None:
    """Failures are named, with the file that has their output."""
    text = say(trial(0, Failed("ValueError: no")), trial(1, Failed("ValueError: no")))
    assert "No trial has completed." in text
    assert "2 failed: ValueError: no (see /else/where/fashion/logs/00000-1.log)" in text
