import pytest

import manyfit
from manyfit import Float, Study, tune
from manyfit.doubts import Doubts
from manyfit.events import AttemptFinished, Reported
from manyfit.metric import Metric

LOSS = Metric("val_loss")


def report(step=0, **metrics):
    return Reported(0, 1, step, metrics, 0.0)


def said_of(caplog, *events, prunes=True, metric=LOSS):
    doubts = Doubts(metric, prunes=prunes)
    for event in events:
        doubts.heed(event)
    return [record.message for record in caplog.records]


def test_reports_without_the_tuned_metric(caplog):
    """Both names are told, at the first report, and once."""
    said = said_of(caplog, report(3, loss=0.5, acc=1.0), report(4, loss=0.5))
    assert said == [
        (
            "The first report has loss, acc, but not val_loss, the metric being tuned. Without "
            "it no trial can be pruned: report(3, val_loss=...)."
        )
    ]


def test_reports_that_nothing_is_wrong_with(caplog):
    """With the tuned metric, or where no pruner judges them, they are no news."""
    assert said_of(caplog, report(val_loss=0.5), report(loss=0.5)) == []
    assert said_of(caplog, report(loss=0.5), prunes=False) == []


def test_only_the_first_value_is_looked_at(caplog):
    """A direction that is wrong is wrong from the start."""
    values = [AttemptFinished(0, 1, {"rmse": value}, 1.0, 0.0) for value in (1.0, -1.0)]
    assert said_of(caplog, *values, metric=Metric("rmse")) == []
    assert len(said_of(caplog, *reversed(values), metric=Metric("rmse"))) == 1


@pytest.mark.parametrize("own_loop", [False, True], ids=["tune", "ask"])
def test_both_ways_to_run_a_study(tmp_path, caplog, own_loop):
    """`tune` and `ask` both tell of a wrong direction and of a missing metric."""
    options = {"metric": "accuracy", "folder": tmp_path, "tracker": None}
    if own_loop:
        with Study({"x": Float(0, 1)}, **options) as study:
            trial = study.ask()
            study.report(trial, 0, acc=0.5)
            study.tell(trial, 0.5)
    else:

        def train(params):
            manyfit.report(0, acc=0.5)
            return params["x"]

        tune(train, {"x": Float(0, 1)}, n_trials=2, executor="inline", progress=None, **options)
    direction, names = (record.message for record in caplog.records)
    assert "usually better when larger" in direction
    assert "has acc, but not accuracy" in names


def test_a_metric_with_a_twin_for_validation(caplog):
    """If `loss` and `val_loss` come back, the first is the training's, and that is told once."""
    result = AttemptFinished(0, 1, {"loss": 0.1, "val_loss": 0.2}, 1.0, 0.0)

    (said,) = said_of(caplog, result, result, metric=Metric("loss"))
    assert said.startswith("The objective returned val_loss besides loss, the metric being tuned")


def test_a_report_of_a_metric_with_a_twin_for_validation(caplog):
    """A callback of Keras reports both, long before there is a result."""
    metrics = {"loss": 0.1, "val_loss": 0.2}
    result = AttemptFinished(0, 1, metrics, 1.0, 0.0)

    (said,) = said_of(caplog, report(**metrics), report(**metrics), result, metric=Metric("loss"))
    assert said.startswith("The objective reported val_loss besides loss, the metric being tuned")
    assert said.endswith("metric='val_loss'.")


def test_metrics_of_validation_alone(caplog):
    """The other way round, and without a twin, nothing is wrong."""
    both = AttemptFinished(0, 1, {"loss": 0.1, "val_loss": 0.2}, 1.0, 0.0)
    one = AttemptFinished(0, 1, {"loss": 0.1, "val_accuracy": 0.2}, 1.0, 0.0)

    assert said_of(caplog, both) == said_of(caplog, one, metric=Metric("loss")) == []


def finished(number, metrics, notes):
    return AttemptFinished(number, 1, {"val_loss": 1.0, **metrics}, 1.0, 0.0, notes)


def test_a_metric_that_is_text_in_one_trial(caplog):
    """It is told once, with the value, in whichever order the trials end."""
    said = said_of(
        caplog,
        finished(0, {"val_acc": 0.5}, {}),
        finished(7, {}, {"val_acc": "0.5"}),
        finished(8, {}, {"val_acc": "0.5"}),
    )
    assert [text for text in said if "val_acc is" in text and "in some trials" in text] == [
        (
            "val_acc is a number in some trials and not in others, as in trial 7 ('0.5'): it is a "
            "metric where it is a number, and a note elsewhere. Return a number, or NaN."
        )
    ]
    caplog.clear()
    reverse = [finished(0, {}, {"val_acc": "n/a"}), finished(1, {"val_acc": 0.5}, {})]
    assert "as in trial 1 (0.5)" in said_of(caplog, *reverse)[-1]
