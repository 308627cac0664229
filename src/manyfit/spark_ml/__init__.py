"""Tunes pipelines of Spark ML from the driver: several fits at once, each using the cluster."""

from manyfit._optional import require

require("pyspark.ml", extra="spark", purpose="manyfit.spark_ml")

from manyfit.front_plan import Savings  # noqa: E402 - PySpark is needed for it
from manyfit.spark_ml.result import PipelineResult  # noqa: E402
from manyfit.spark_ml.tuning import tune_pipeline  # noqa: E402
from manyfit.spark_ml.validated import ManyfitValidatorModel  # noqa: E402
from manyfit.spark_ml.validator import ManyfitValidator  # noqa: E402

__all__ = [
    "ManyfitValidator",
    "ManyfitValidatorModel",
    "PipelineResult",
    "Savings",
    "tune_pipeline",
]
