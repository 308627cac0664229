"""The parameters of Spark ML; see https://spark.apache.org/docs/latest/ml-guide.html."""

from collections.abc import Mapping

from manyfit.advice.catalogue.family import Family
from manyfit.space import Choice, Domain, Float, Int

_PENALTY = Float(1e-5, 10.0, log=True)
_SUBSET = Choice(["sqrt", "onethird", "all"])
_SHARE = Float(0.4, 1.0)
_TREE: Mapping[str, Domain] = {
    "minInstancesPerNode": Int(1, 100, log=True),
    "minInfoGain": Float(1e-6, 0.1, log=True),
    "maxBins": Int(16, 256, log=True),
}
_CACHES = ("maxMemoryInMB", "cacheNodeIds", "checkpointInterval")

FAMILIES = (
    Family(
        "pyspark.ml.classification",
        ("LogisticRegression",),
        {"regParam": _PENALTY, "elasticNetParam": Float(0.0, 1.0)},
        speed=("maxIter", "tol", "aggregationDepth", "maxBlockSizeInMB"),
    ),
    Family(
        "pyspark.ml.regression",
        ("LinearRegression",),
        {"regParam": _PENALTY, "elasticNetParam": Float(0.0, 1.0)},
        needs={"elasticNetParam": {"loss": ("squaredError",)}},
        speed=("maxIter", "tol", "aggregationDepth", "maxBlockSizeInMB", "solver"),
    ),
    Family(
        "pyspark.ml.classification",
        ("LinearSVC",),
        {"regParam": _PENALTY},
        speed=("maxIter", "tol", "aggregationDepth", "maxBlockSizeInMB"),
    ),
    *(
        Family(
            module,
            (f"RandomForest{kind}",),
            {
                "maxDepth": Int(3, 14),
                "featureSubsetStrategy": _SUBSET,
                "subsamplingRate": _SHARE,
            },
            _TREE,
            length="numTrees",
            speed=_CACHES,
            problem=("impurity",),
        )
        for module, kind in (
            ("pyspark.ml.classification", "Classifier"),
            ("pyspark.ml.regression", "Regressor"),
        )
    ),
    *(
        Family(
            module,
            (f"GBT{kind}",),
            {
                "stepSize": Float(0.02, 0.3, log=True),
                "maxDepth": Int(2, 10),
                "featureSubsetStrategy": _SUBSET,
                "subsamplingRate": _SHARE,
            },
            _TREE,
            length="maxIter",
            speed=_CACHES,
            problem=("lossType", "impurity"),
        )
        for module, kind in (
            ("pyspark.ml.classification", "Classifier"),
            ("pyspark.ml.regression", "Regressor"),
        )
    ),
    Family(
        "pyspark.ml.classification",
        ("NaiveBayes",),
        {"smoothing": Float(1e-3, 10.0, log=True)},
        needs={"smoothing": {"modelType": ("multinomial", "bernoulli", "complement")}},
        problem=("modelType",),
    ),
    Family(
        "pyspark.ml.recommendation",
        ("ALS",),
        {"rank": Int(4, 128, log=True), "regParam": Float(1e-3, 1.0, log=True)},
        {"alpha": Float(0.1, 100.0, log=True)},
        speed=("numUserBlocks", "numItemBlocks", "checkpointInterval", "blockSize"),
        problem=("coldStartStrategy", "implicitPrefs", "nonnegative"),
    ),
)
