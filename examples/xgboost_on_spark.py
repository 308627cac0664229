"""XGBoost on Spark: each fit needs two slots at the same time, and gets them before it starts.

It predicts the prices of houses in Ames. A trial adds trees in three rounds and reports after each,
so that a hopeless one ends early. Every fifth house that isn't a test row is for validation.
"""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd
from pyspark.ml.evaluation import RegressionEvaluator
from start import parse, spark_on
from tables import Table, ames
from xgboost.spark import SparkXGBRegressor

import manyfit
from manyfit import DriverExecutor, Float

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ROUNDS, TREES = 3, 20
SPACE = {
    "learning_rate": Float(0.03, 0.5, log=True),
    "min_child_weight": Float(1.0, 20.0, log=True),
    "subsample": Float(0.5, 1.0),
}


def main() -> None:
    """Tune, fit the best trial on all rows, and evaluate it on test rows."""
    options = parse("Tune XGBoost on Spark.", trials=12)
    table = ames()
    with spark_on(options.master) as spark:
        result = tune(spark, table, n_trials=options.trials, name=options.name)
        print(result)
        best = estimator(table, n_estimators=ROUNDS * TREES, **result.best.params)
        model = best.fit(spark.createDataFrame(coded(table, table.rest)))
        rmse = error(model.transform(spark.createDataFrame(coded(table, table.test))))
    print(f"On {len(table.test)} test rows, which played no part in any decision: RMSE {rmse:.4f}")


def tune(
    spark: "SparkSession", table: Table, num_workers: int = 2, parallelism: int = 4, **options: Any
) -> manyfit.StudyResult:
    """Tune on this cluster, with as many trials at once as it has slots for."""
    frame = coded(table, table.rest)
    validation = spark.createDataFrame(frame[::5]).cache()
    train = spark.createDataFrame(frame.drop(frame.index[::5])).cache()

    def objective(params: Mapping[str, Any]) -> dict[str, float]:
        booster, rmse = None, float("nan")
        for step in range(ROUNDS):
            regressor = estimator(
                table, num_workers, n_estimators=TREES, xgb_model=booster, **params
            )
            model = regressor.fit(train)
            booster = model.get_booster()
            rmse = error(model.transform(validation))
            manyfit.report(step, val_rmse=rmse)  # ends the trial here if it is hopeless
        return {"val_rmse": rmse}

    executor = DriverExecutor(spark, parallelism, slots_per_trial=estimator(table, num_workers))
    try:
        return manyfit.tune(
            objective, SPACE, metric="val_rmse", executor=executor, seed=0, **options
        )
    finally:
        train.unpersist()
        validation.unpersist()


def estimator(table: Table, num_workers: int = 2, **params: Any) -> SparkXGBRegressor:
    """Return an estimator with these params of XGBoost."""
    logging.getLogger("XGBoost-PySpark").setLevel(logging.WARNING)
    return SparkXGBRegressor(
        features_col=[*table.numbers, *table.texts],
        num_workers=num_workers,
        verbose=False,
        seed=0,
        **params,
    )


def error(predictions: "DataFrame") -> float:
    """Return the RMSE of logarithms: 0.13 is about 13 % of the price."""
    return RegressionEvaluator(metricName="rmse").evaluate(predictions)


def coded(table: Table, frame: pd.DataFrame) -> pd.DataFrame:
    """Replace words by numbers, which is enough for trees."""
    every = pd.concat([table.rest, table.test])
    words = {name: sorted(every[name].unique()) for name in table.texts}
    return frame.assign(
        **{name: frame[name].map(words[name].index).astype("float64") for name in table.texts}
    )


if __name__ == "__main__":
    main()
