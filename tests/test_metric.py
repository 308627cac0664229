"""The metric being tuned."""

import math
from collections import OrderedDict
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyfit.errors import ArgumentError, MetricError
from manyfit.metric import Metric, notes_in, to_number

LOSS = Metric("val_loss", "minimize")
ACCURACY = Metric("val_accuracy", "maximize")


class TestArguments:
    @pytest.mark.parametrize("name", ["", None, 3, b"loss", ["loss"]])
    def test_a_name_is_a_word(self, name: Any) -> None:
        """A metric without a proper name is refused, and the message shows what was given."""
        with pytest.raises(ArgumentError, match="metric must be the name of a metric") as caught:
            Metric(name)
        assert str(caught.value).endswith(repr(name))

    @pytest.mark.parametrize("direction", ["min", "", None, "Minimize", 1])
    def test_a_direction_is_one_of_two_words(self, direction: Any) -> None:
        """Anything but the two words is refused, and both are named."""
        with pytest.raises(ArgumentError, match="must be 'minimize' or 'maximize', but got"):
            Metric("loss", direction)


class TestComparing:
    @pytest.mark.parametrize("metric", [LOSS, ACCURACY], ids=["minimize", "maximize"])
    @given(value=st.floats(allow_nan=False))
    def test_nan_never_beats_a_number(self, metric: Metric, value: float) -> None:
        """NaN is never better than a value, in either direction."""
        assert not metric.is_better(math.nan, than=value)

    @pytest.mark.parametrize("metric", [LOSS, ACCURACY], ids=["minimize", "maximize"])
    @given(value=st.floats(allow_nan=False, allow_infinity=False))
    def test_a_number_beats_nan(self, metric: Metric, value: float) -> None:
        """Every finite value is better than NaN, in either direction."""
        assert metric.is_better(value, than=math.nan)

    @pytest.mark.parametrize("metric", [LOSS, ACCURACY], ids=["minimize", "maximize"])
    def test_equals_do_not_beat_each_other(self, metric: Metric) -> None:
        """Better means strictly better."""
        assert not metric.is_better(0.5, than=0.5)
        assert not metric.is_better(math.nan, than=math.nan)

    @given(a=st.floats(allow_nan=False), b=st.floats(allow_nan=False))
    def test_the_directions_are_opposites(self, a: float, b: float) -> None:
        """What is better when small is worse when large."""
        assert LOSS.is_better(a, than=b) == (a < b)
        assert ACCURACY.is_better(a, than=b) == (a > b)

    @given(value=st.floats(allow_nan=False, allow_infinity=False))
    def test_a_loss_turns_back_into_its_value(self, value: float) -> None:
        """Taking the loss twice gives the value again."""
        assert ACCURACY.loss(ACCURACY.loss(value)) == value

    @pytest.mark.parametrize("metric", [LOSS, ACCURACY], ids=["minimize", "maximize"])
    def test_the_best_passes_nan_over(self, metric: Metric) -> None:
        """NaN is the best value only where there is no other."""
        assert metric.best([math.nan, 0.5, math.nan]) == 0.5
        assert math.isnan(metric.best([math.nan]))

    def test_the_best(self) -> None:
        """The best is the smallest or the largest, as the direction says."""
        values = [0.3, 0.1, 0.2]

        assert (LOSS.best(values), ACCURACY.best(values)) == (0.1, 0.3)


class TestNumbers:
    @pytest.mark.parametrize(
        ("value", "number"),
        [
            (3, 3.0),
            (True, 1.0),
            (np.True_, 1.0),
            (0.5, 0.5),
            (np.float32(0.5), 0.5),
            (np.int64(3), 3.0),
            (np.array(0.5), 0.5),
            (Fraction(1, 2), 0.5),
            (Decimal("0.5"), 0.5),
        ],
    )
    def test_what_counts_as_a_number(self, value: object, number: float) -> None:
        """Python's and NumPy's numbers become floats."""
        result = to_number("loss", value)

        assert (type(result), result) == (float, number)

    @pytest.mark.parametrize(
        "value",
        [
            *(None, "0.5", b"0.5", [0.5], {"loss": 0.5}, 1j, object),
            *(np.array([1.0, 2.0]), np.array([1.0]), pd.Series([1.0]), pd.Series([1.0, 2.0])),
        ],
        ids=repr,
    )
    def test_what_does_not(self, value: object) -> None:
        """Anything else is refused, with the metric's name, the value and its type."""
        with pytest.raises(MetricError, match=r"^loss must be a number, but got") as caught:
            to_number("loss", value)
        assert type(value).__name__ in str(caught.value)

    def test_a_long_value_is_cut_short(self) -> None:
        """A huge value doesn't flood the message."""
        with pytest.raises(MetricError) as caught:
            to_number("loss", "x" * 10_000)
        assert len(str(caught.value)) < 300

    def test_nan_and_infinity_are_numbers(self) -> None:
        """A metric that isn't tuned may be NaN or infinite."""
        assert math.isnan(to_number("loss", np.float64("nan")))
        assert to_number("loss", -math.inf) == -math.inf


class TestResults:
    def test_a_number_is_the_tuned_metric(self) -> None:
        """An objective may return the tuned metric alone."""
        assert LOSS.to_metrics(np.float32(0.5)) == {"val_loss": 0.5}

    def test_a_mapping_keeps_all_metrics(self) -> None:
        """Everything the objective returned is recorded, as floats."""
        returned = OrderedDict(val_loss=1, test_accuracy=np.float64(0.75), drift=math.inf)

        metrics = LOSS.to_metrics(returned)

        assert metrics == {"val_loss": 1.0, "test_accuracy": 0.75, "drift": math.inf}
        assert {type(value) for value in metrics.values()} == {float}

    @pytest.mark.parametrize(
        ("returned", "message"),
        [
            (None, "the objective returned None. Return val_loss as a number, or a dict such as"),
            ({}, "returned no 'val_loss', the metric being tuned. It returned: nothing"),
            ({"loss": 1, "acc": 2}, "returned no 'val_loss', .* It returned: acc, loss"),
            ({"val_loss": None}, "val_loss must be a number, but got None of type NoneType"),
            (pd.Series([0.5, 0.6]), "val_loss must be a number, but got 0 0.5 .* of type Series"),
            ({"status": "fail"}, "the objective returned the status 'fail'"),
            ({"val_loss": 0.5, "status": "fail"}, "the objective returned the status 'fail'"),
            ("0.5", "val_loss must be a number, but got '0.5' of type str"),
            (math.nan, "val_loss is NaN. The model diverged"),
            ({"val_loss": math.nan}, "val_loss is NaN. The model diverged"),
            (math.inf, "val_loss is inf. An infinity never counts"),
            ({"val_loss": -math.inf}, "val_loss is -inf. An infinity never counts"),
        ],
    )
    def test_each_mistake_has_its_message(self, returned: object, message: str) -> None:
        """A result that can't count says what is wrong with it."""
        with pytest.raises(MetricError, match=message):
            LOSS.to_metrics(returned)

    def test_what_is_no_number_is_a_note(self) -> None:
        """It costs no result: texts are kept, anything else in short; secrets are not."""

        class Odd:
            def __repr__(self) -> str:
                raise RuntimeError("no")

        returned = {
            "val_loss": 0.5,
            "acc": np.float32(0.25),
            "status": "ok",
            "path": "/models/7",
            "history": list(range(1000)),
            "api_key": "hunter2-hunter2",
            "best": None,
            "odd": Odd(),
        }
        metrics = LOSS.to_metrics(returned)
        notes = notes_in(returned, metrics)

        assert metrics == {"val_loss": 0.5, "acc": 0.25}
        assert (notes["status"], notes["path"], notes["best"]) == ("ok", "/models/7", "None")
        assert notes["history"].startswith("[0, 1, 2, ")
        assert len(notes["history"]) == 200
        assert "hunter2" not in notes["api_key"]
        assert notes["odd"] == "<Odd>"
        assert notes_in(0.5, {"val_loss": 0.5}) == {}

    def test_a_status_may_be_tuned(self) -> None:
        """A metric of that name is a metric."""
        assert Metric("status").to_metrics({"status": 0.5}) == {"status": 0.5}

    def test_names_become_words(self) -> None:
        """Metrics whose names aren't strings, such as fold numbers, are kept under their text."""
        assert LOSS.to_metrics({"val_loss": 0.5, 1: 0.25}) == {"val_loss": 0.5, "1": 0.25}


class TestSuspicion:
    @pytest.mark.parametrize(
        ("metric", "value", "words"),
        [
            (
                Metric("val_accuracy", "minimize"),
                0.9,
                "usually better when larger, but it is being minimized",
            ),
            (Metric("test-auc", "minimize"), None, "usually better when larger"),
            (Metric("F1", "minimize"), 0.5, "usually better when larger"),
            (
                Metric("val_loss", "maximize"),
                0.5,
                "usually better when smaller, but it is being maximized",
            ),
            (Metric("RMSE", "maximize"), None, "usually better when smaller"),
            (Metric("val_rmse", "minimize"), -0.5, "negative (-0.5), and it is being minimized"),
            (Metric("neg_log_error", "minimize"), -0.5, "usually better when larger"),
        ],
    )
    def test_a_direction_that_looks_wrong(
        self, metric: Metric, value: float | None, words: str
    ) -> None:
        """A well-known metric tuned the wrong way, or negated, raises a question."""
        suspicion = metric.suspicion(value)

        assert suspicion is not None
        assert suspicion.startswith(f"{metric.name} is {words}")

    @pytest.mark.parametrize(
        ("metric", "value"),
        [
            (Metric("val_accuracy", "maximize"), 0.9),
            (Metric("val_loss", "minimize"), 0.5),
            (Metric("val_loss", "minimize"), None),
            (Metric("val_loss", "maximize"), -0.5),
            (Metric("val_loss", "minimize"), -0.5),
            (Metric("neg_mean_squared_error", "maximize"), None),
            (Metric("neg_loss", "minimize"), 0.5),
            (Metric("revenue", "maximize"), 7.0),
            (Metric("revenue", "minimize"), -7.0),
            (Metric("macrophage_count", "minimize"), 3.0),
            (Metric("f1_loss", "minimize"), 0.5),
            (Metric("1 - roc_auc", "minimize"), 0.1),
            (Metric("one_minus_f1", "minimize"), 0.1),
            (Metric("-accuracy", "minimize"), -0.9),
            (Metric("negative_accuracy", "minimize"), -0.9),
            (Metric("accuracy_gap", "minimize"), 0.1),
            (Metric("anomaly_score", "minimize"), 0.1),
            (Metric("davies_bouldin_score", "minimize"), 0.9),
            (Metric("mean_score_time", "minimize"), 0.9),
            (Metric("std_test_score", "minimize"), 0.1),
            (Metric("accuracy_stdv", "minimize"), 0.1),
            (Metric("loss_std", "maximize"), 0.1),
        ],
    )
    def test_a_direction_that_looks_right(self, metric: Metric, value: float | None) -> None:
        """Metrics true to their names raise none, nor do unknown ones or negative losses."""
        assert metric.suspicion(value) is None
