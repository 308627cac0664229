"""What an objective returns, checked and on its way from a worker."""

import math

import numpy as np
import pytest

from manyfit.hyperopt.exceptions import InvalidLoss, InvalidResultStatus
from manyfit.hyperopt.results import checked, cut, received, sent


def arrived(result):
    """A result after its way from a worker to the driver."""
    metrics, notes = sent(checked(result))
    assert all(type(value) is float for value in metrics.values())
    assert all(type(text) is str and len(text) <= 1000 for text in notes.values())
    return received(metrics, notes), cut(notes)


@pytest.mark.parametrize("returned", [1, 1.5, np.float32(2), np.int64(3), True])
def test_a_number_is_a_loss(returned):
    """Python's or NumPy's; the result is a dict, as in Hyperopt."""
    assert checked(returned) == {"loss": float(returned), "status": "ok"}


@pytest.mark.parametrize(
    "result",
    [
        {"loss": 0.5, "status": "ok"},
        {"loss": 0.5, "status": "ok", "auc": 0.9, "epochs": 7, "converged": True},
        {"loss": 1.0, "status": "ok", "a": "true", "b": "NaN", "c": '"x"', "d": ""},
        {"loss": 1.0, "status": "ok", "path": "/models/7", "history": [1.0, 0.5], "best": None},
        {"loss": 1.0, "status": "ok", "number": "5", "list": "[1]", "nested": {"a": {"b": [1]}}},
        {"loss": 1.0, "status": "ok", "other": math.inf},
        {"loss": math.inf, "status": "ok", "why": "diverged"},
        {"status": "fail"},
        {"status": "fail", "loss": 0.5, "error": "no memory", "code": 137},
        {"status": "suspended", "step": 5},
    ],
)
def test_what_is_json_arrives_as_it_was(result):
    """Numbers keep their types, texts that look like JSON stay texts; also of failed trials."""
    found, texts = arrived(result)

    assert found == result
    assert {name: type(value) for name, value in found.items()} == {
        name: type(value) for name, value in result.items()
    }
    assert texts == []


def test_a_loss_of_nan_arrives():
    """As in Hyperopt, a trial may have it; no sampler learns from it."""
    found, _ = arrived({"loss": math.nan, "status": "ok"})

    assert math.isnan(found["loss"])


def test_arrays_arrive_as_lists_and_other_objects_as_text():
    """Long values, too, come as text, and their names are told."""
    result = {
        "loss": 1,
        "status": "ok",
        "scores": np.arange(3),
        "model": object(),
        "log": "x" * 2000,
    }
    metrics, notes = sent(checked(result))

    found = received(metrics, {name: text[:1000] for name, text in notes.items()})

    assert found["scores"] == [0, 1, 2]
    assert found["model"].startswith("<object object")
    assert found["log"] == "x" * 1000
    assert cut(notes) == ["model", "log"]


@pytest.mark.parametrize(
    ("returned", "error", "said"),
    [
        (None, InvalidLoss, "returned None"),
        ("0.5", InvalidLoss, "returned '0.5'"),
        ({"loss": 0.5}, InvalidResultStatus, "needs a status"),
        ({"loss": 0.5, "status": "fine"}, InvalidResultStatus, "'fine'"),
        ({"status": "ok"}, InvalidLoss, "missing"),
        ({"status": "ok", "loss": None}, InvalidLoss, "loss is None"),
        ({"status": "ok", "loss": "low"}, InvalidLoss, "'low'"),
    ],
)
def test_a_wrong_result_is_refused(returned, error, said):
    """The message says what an objective returns, and what this one did."""
    with pytest.raises(error, match=said):
        checked(returned)
