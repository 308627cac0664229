"""Pipelines of Spark ML: Manyfit against `CrossValidator`, same data, cluster, parallelism and run.

    python benchmarks/spark_ml.py shared       27 settings x 3 folds of a costly featurisation
    python benchmarks/spark_ml.py unshared     27 settings x 3 folds that have nothing in common
    python benchmarks/spark_ml.py adaptive     the time to the metric that the grid finds
    python benchmarks/spark_ml.py slots        8 trials in flight on 2 slots
    python benchmarks/spark_ml.py cancel       how soon a pruned trial's slots are free

It starts a standalone cluster of two workers with a slot each. The rows are the houses of Ames
(MANYFIT_AMES, or ../shared/data/ames.csv.gz): what is told of each in words, and its numbers.
"""

import argparse
import contextlib
import contextvars
import os
import statistics
import tempfile
import threading
import time
from pathlib import Path

import pandas as pd

import manyfit
from manyfit import Choice, Float, Target
from manyfit.demo.cluster import session, standalone

AMES = Path(os.environ.get("MANYFIT_AMES", Path(__file__).parents[2] / "shared/data/ames.csv.gz"))
QUIET = {"tracker": None, "progress": "plain"}
SETTINGS = {
    "spark.scheduler.mode": "FAIR",
    "spark.sql.shuffle.partitions": "2",
    "spark.driver.memory": "1g",
    "spark.executor.memory": "1g",
}


def houses(spark):
    """Return the houses: words, numbers and the logarithm of the price."""
    from pyspark.sql import functions

    table = pd.read_csv(AMES, keep_default_na=False)
    texts = [name for name in table if table[name].dtype == object]
    numbers = [name for name in table if name not in (*texts, "Sale_Price")]
    table["words"] = [
        [f"{name}={value}" for name, value in zip(texts, row, strict=True)]
        for row in table[texts].itertuples(index=False)
    ]
    rows = spark.createDataFrame(table[["words", *numbers, "Sale_Price"]])
    rows = rows.withColumn("label", functions.log("Sale_Price")).drop("Sale_Price")
    rows = rows.repartition(2).cache()
    rows.count()
    return rows, numbers


class Work:
    """The pipeline, its grid and its space.

    Args:
        numbers: Names of columns.
        sizes: Choices for the number of components; the first stage counts as many words
            instead if nothing is to be shared.
        shared: Whether settings have stages in common.
        iterations: How many the model may take. Few are no solution where it mixes penalties, while
            without mixing it has one at once: a step between 0 and all above it.
    """

    def __init__(self, numbers, sizes, *, shared, iterations=5):
        from pyspark.ml import Pipeline
        from pyspark.ml.evaluation import RegressionEvaluator
        from pyspark.ml.feature import IDF, PCA, CountVectorizer, StandardScaler, VectorAssembler
        from pyspark.ml.regression import LinearRegression

        self.sizes = sizes
        count = CountVectorizer(inputCol="words", outputCol="counts")
        weigh = IDF(inputCol="counts", outputCol="weights")
        reduce = PCA(inputCol="weights", outputCol="parts", k=8)
        together = VectorAssembler(inputCols=["parts", *numbers], outputCol="all")
        scaler = StandardScaler(inputCol="all", outputCol="features")
        self.model = LinearRegression(maxIter=iterations)
        self.size = reduce.k if shared else count.vocabSize
        self.pipeline = Pipeline(stages=[count, weigh, reduce, together, scaler, self.model])
        self.evaluator = RegressionEvaluator(metricName="rmse")

    def grid(self, penalties, mixes):
        from pyspark.ml.tuning import ParamGridBuilder

        builder = ParamGridBuilder().addGrid(self.size, self.sizes)
        builder = builder.addGrid(self.model.regParam, penalties)
        return builder.addGrid(self.model.elasticNetParam, mixes).build()

    def space(self, penalties, mixes):
        return {
            self.size: Choice(self.sizes),
            self.model.regParam: Choice(penalties),
            self.model.elasticNetParam: Choice(mixes),
        }


def by_spark(work, rows, maps, k, fold=""):
    """Return the seconds of Spark's search without its refit, and the best metric."""
    from pyspark.ml.tuning import CrossValidator

    validator = CrossValidator(
        estimator=work.pipeline,
        estimatorParamMaps=maps,
        evaluator=work.evaluator,
        numFolds=3,
        parallelism=k,
        seed=1,
        foldCol=fold,
    )
    refit, fit = [], work.pipeline.fit

    def timed(*args):
        began = time.perf_counter()
        try:
            return fit(*args)
        finally:
            refit.append(time.perf_counter() - began)

    work.pipeline.fit = timed  # the search itself goes by fitMultiple
    began = time.perf_counter()
    try:
        found = validator.fit(rows)
    finally:
        del work.pipeline.fit
    whole = time.perf_counter() - began
    return whole - (refit[-1] if refit else 0.0), min(found.avgMetrics)


def by_manyfit(work, rows, space, k, folder, **options):
    """Return the seconds of Manyfit's search, the best metric, and the result."""
    from manyfit.spark_ml import tune_pipeline

    began = time.perf_counter()
    result = tune_pipeline(
        work.pipeline,
        space,
        work.evaluator,
        rows,
        parallelism=k,
        folder=folder,
        train_metrics=False,
        **{"seed": 1, **QUIET, **options},
    )
    return time.perf_counter() - began, result.best.value, result


def share_of_front(work, rows):
    """Return which part of a fit and its evaluation is the featurisation's."""
    from pyspark.ml import Pipeline

    *front, last = work.pipeline.getStages()
    began = time.perf_counter()
    fitted = Pipeline(stages=front).fit(rows)
    made = fitted.transform(rows).select("features", "label")
    made.write.format("noop").mode("overwrite").save()
    middle = time.perf_counter()
    made.persist().count()
    again = time.perf_counter()
    work.evaluator.evaluate(last.fit(made).transform(made))
    ended = time.perf_counter()
    made.unpersist()
    front, rest = middle - began, ended - again
    print(f"the featurisation takes {front:.2f} s, the model and its evaluation {rest:.2f} s")
    return front / (front + rest)


def compare(spark, folder, args):
    rows, numbers = houses(spark)
    shared = args.what == "shared"
    work = Work(numbers, [4, 8, 16] if shared else list(range(100, 208, 4)), shared=shared)
    penalties = [0.001, 0.01, 0.1] if shared else [0.01]
    mixes = [0.0, 0.5, 1.0] if shared else [0.5]
    share_of_front(work, rows)  # the first time, Java is still warming up
    print(f"the featurisation is {share_of_front(work, rows):.0%} of a fit and its evaluation")
    for turn in range(args.turns):
        ours, value, result = by_manyfit(
            work, rows, work.space(penalties, mixes), args.k, folder, sampler="grid", pruner=None
        )
        theirs, best = by_spark(work, rows, work.grid(penalties, mixes), args.k)
        print(f"CrossValidator {theirs:.1f} s ({best:.6f}), Manyfit {ours:.1f} s ({value:.6f})")
        print(f"turn {turn}: {theirs / ours:.2f} times faster; {result.savings}", flush=True)


def adaptive(spark, folder, args):
    from pyspark.sql import functions

    rows, numbers = houses(spark)
    # The same folds whatever the seed, which here makes other proposals.
    rows = rows.withColumn("fold", functions.floor(functions.rand(1) * 3).cast("int"))
    work = Work(numbers, [4, 8, 16], shared=True, iterations=100)
    maps = work.grid([0.001, 0.01, 0.1], [0.0, 0.5, 1.0])
    theirs, best = by_spark(work, rows, maps, args.k, "fold")
    space = {
        work.size: Choice([4, 8, 16]),
        work.model.regParam: Float(1e-4, 1.0, log=True),
        work.model.elasticNetParam: Float(0.0, 1.0),
    }
    for turn in range(args.turns):
        ours, value, result = by_manyfit(
            work,
            rows,
            space,
            args.k,
            folder,
            n_trials=27,
            stop=Target(best),
            seed=turn,
            folds="fold",
        )
        reached = "reached" if value <= best else "not reached"
        print(
            f"turn {turn}: grid {theirs:.1f} s to {best:.6f}; adaptive {ours:.1f} s, {value:.6f} "
            f"{reached} in {len(result)} trials: {ours / theirs:.2f} of the time; {result.savings}",
            flush=True,
        )


def slots(spark, folder, args):
    """Eight trials in flight on two slots, each of four tasks that work for a second."""

    def busy(_):
        end = time.time() + 1.0
        began = time.time()
        while time.time() < end:
            pass
        yield began, time.time()

    spans, lock = [], threading.Lock()

    def objective(params):
        found = spark.sparkContext.parallelize(range(4), 4).mapPartitions(busy).collect()
        with lock:
            spans.extend(found)
        return params["x"]

    result = manyfit.tune(
        objective,
        {"x": Float(0.0, 1.0)},
        metric="loss",
        n_trials=24,
        executor=manyfit.DriverExecutor(spark, parallelism=8),
        folder=folder,
        sampler="random",
        **QUIET,
    )
    first, last = min(begin for begin, _ in spans), max(end for _, end in spans)
    work = sum(end - begin for begin, end in spans)
    seconds = sorted(trial.seconds for trial in result)
    print(
        f"slots busy {work / (2 * (last - first)):.0%}; a trial took {seconds[0]:.1f} to "
        f"{seconds[-1]:.1f} s, {statistics.median(seconds):.1f} in the middle"
    )


class Hopeless:
    """A pruner that stops every trial at its first report."""

    def __init__(self, watch):
        self._watch = watch

    def bind(self, metric):
        return self

    def report(self, trial, step, value):
        threading.Thread(target=self._watch, daemon=True).start()
        return "hopeless"

    def end(self, trial):
        pass


def cancel(spark, folder, args):
    """A trial that waits for a long job is pruned; then how long until its tasks are gone."""
    tracker = spark.sparkContext.statusTracker()
    freed = []

    def tasks():
        stages = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
        return sum(stage.numActiveTasks for stage in stages if stage is not None)

    def watch():
        began = time.perf_counter()
        while tasks():
            time.sleep(0.01)
        freed.append(time.perf_counter() - began)

    def slow(_):
        time.sleep(60)
        yield 0

    def say():
        with contextlib.suppress(manyfit.TrialStopped):
            manyfit.report(0, loss=1.0)

    def objective(params):
        # Another thread reports, when the tasks are running.
        threading.Timer(3.0, contextvars.copy_context().run, [say]).start()
        spark.sparkContext.parallelize(range(2), 2).mapPartitions(slow).collect()
        return 0.0

    manyfit.tune(
        objective,
        {"x": Float(0.0, 1.0)},
        metric="loss",
        n_trials=args.turns,
        executor=manyfit.DriverExecutor(spark, parallelism=1),
        folder=folder,
        sampler="random",
        pruner=Hopeless(watch),
        **QUIET,
    )
    print(f"slots free after {', '.join(f'{s:.2f}' for s in sorted(freed))} s")


def main():
    what = {
        "shared": compare,
        "unshared": compare,
        "adaptive": adaptive,
        "slots": slots,
        "cancel": cancel,
    }
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=what)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--k", type=int, default=4, help="trials at a time")
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        standalone(workers=2, cores=1, memory="1g") as cluster,
        session(cluster.url, Path(folder) / "driver.log", SETTINGS) as spark,
    ):
        what[args.what](spark, folder, args)


if __name__ == "__main__":
    main()
