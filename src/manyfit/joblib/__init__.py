"""A joblib backend, `"manyfit"`: calls run in worker processes here, or on a Spark or Dask cluster.

`import manyfit.joblib` registers it; then, for everything that uses joblib::

    with joblib.parallel_config("manyfit", executor=SparkExecutor(spark, parallelism=8)):
        GridSearchCV(pipeline, grid, n_jobs=-1).fit(X, y)
"""

from manyfit._optional import require

require("joblib", extra="joblib", purpose="manyfit.joblib")

from manyfit.joblib.backend import ManyfitBackend, register  # noqa: E402 - joblib is needed for it

register()

__all__ = ["ManyfitBackend"]
