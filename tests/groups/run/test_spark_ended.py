"""Groups whose Spark session is stopped: before, and while they are tuned."""

import threading
import time

import pytest

import manyfit
from manyfit.errors import ExecutorError

pytestmark = [pytest.mark.integration, pytest.mark.soak("kills")]


def test_stopped_while_tuning_and_before(classic, tmp_path):
    """Each call says that the session has ended and how to go on; what was tuned is on record."""
    spark = classic.on("local[2]")
    begun = tmp_path / "begun"

    def objective(rows, params):
        begun.touch()
        time.sleep(0.05)
        return {"loss": params["x"]}

    def tune(data):
        return manyfit.tune_groups(
            data,
            by="shop",
            objective=objective,
            space={"x": manyfit.Float(0.0, 1.0)},
            metric="loss",
            n_trials=2,
            sampler="random",
            name="shops",
            folder=tmp_path,
            tracker=None,
            progress=None,
        )

    def rows(number):
        return spark.range(number * 2).selectExpr(f"id % {number} AS shop", "double(id) AS y")

    def stop():
        while not begun.exists():
            time.sleep(0.02)
        time.sleep(0.5)
        classic.stop()

    few, many = tune(rows(2)), rows(400)
    begun.unlink()
    stopper = threading.Thread(target=stop)
    stopper.start()
    with pytest.raises(ExecutorError, match=r"session has ended: .* with name='shops' to resume"):
        tune(many)
    stopper.join()
    with pytest.raises(ExecutorError, match=r"ended: it was stopped\. .* with name='shops'"):
        tune(many)
    for call in (few.predict, lambda data: few.apply(lambda rows: rows, data, schema="y double")):
        with pytest.raises(ExecutorError, match="session has ended: it was stopped"):
            call(many)
    spark = classic.on("local[2]")
    again = tune(rows(2)).table  # with those of the others that had ended by then
    assert again[again["shop"] < 2].value.tolist() == few.table.value.tolist()
