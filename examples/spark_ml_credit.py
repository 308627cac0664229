"""Spark ML: tunes a pipeline over words and numbers, including the choice of its stages.

It predicts who will not repay a loan. Trials are evaluated on three folds, by the area under the
ROC curve. Those with the same first stages share these, fitted, and the transformed rows.
"""

from typing import TYPE_CHECKING, Any

from pyspark.ml import Pipeline
from pyspark.ml.classification import LogisticRegression, RandomForestClassifier
from pyspark.ml.evaluation import BinaryClassificationEvaluator, MulticlassClassificationEvaluator
from pyspark.ml.feature import (
    Imputer,
    MinMaxScaler,
    OneHotEncoder,
    StandardScaler,
    StringIndexer,
    VectorAssembler,
)
from start import parse, spark_on
from tables import Table, credit

from manyfit import Choice, Float, Int
from manyfit.spark_ml import PipelineResult, tune_pipeline

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def main() -> None:
    """Tune, refit the best trial, and evaluate it on test rows."""
    options = parse("Tune a pipeline of Spark ML.", trials=16)
    table = credit()
    with spark_on(options.master) as spark:
        result = tune(spark, table, n_trials=options.trials, name=options.name)
        print(result)
        model = result.refit()
        auc = evaluators()["auc"].evaluate(model.transform(rows(spark, table.test)))
    print(f"On {len(table.test)} test rows, which played no part in any decision: AUC {auc:.4f}")


def evaluators() -> dict[str, Any]:
    """Return the evaluators; Spark ML can't make them without a session."""
    return {
        "auc": BinaryClassificationEvaluator(),  # this one is tuned
        "log_loss": MulticlassClassificationEvaluator(metricName="logLoss"),
    }


def tune(spark: "SparkSession", table: Table, folds: int = 3, **options: object) -> PipelineResult:
    """Tune the imputation of missing numbers, the scaling of features, and the model."""
    indexed, encoded = ([f"{name}_{how}" for name in table.texts] for how in ("index", "vector"))
    whole = [f"{name}_whole" for name in table.numbers]
    indexer = StringIndexer(inputCols=table.texts, outputCols=indexed, handleInvalid="keep")
    encoder = OneHotEncoder(inputCols=indexed, outputCols=encoded)
    imputer = Imputer(inputCols=table.numbers, outputCols=whole)
    assembler = VectorAssembler(inputCols=[*encoded, *whole], outputCol="raw")
    scaler = StandardScaler(inputCol="raw", outputCol="features")
    lr, forest = LogisticRegression(maxIter=20), RandomForestClassifier(seed=0)
    return tune_pipeline(
        Pipeline(stages=[indexer, encoder, imputer, assembler, scaler, lr]),
        {
            imputer.strategy: Choice(["mean", "median"]),
            scaler: Choice([scaler, MinMaxScaler(inputCol="raw", outputCol="features")]),
            lr: Choice([lr, forest]),  # a stage, each option with params of its own
            lr.regParam: Float(1e-4, 1.0, log=True),
            lr.elasticNetParam: Float(0.0, 1.0),
            forest.maxDepth: Int(3, 8),
            forest.numTrees: Int(10, 40, log=True),
        },
        evaluators(),
        rows(spark, table.rest),
        folds=folds,
        seed=0,
        **options,
    )


def rows(spark: "SparkSession", frame: object) -> "DataFrame":
    """Send rows to Spark; in your code they are there already, as `spark.table(...)`."""
    return spark.createDataFrame(frame)


if __name__ == "__main__":
    main()
