"""What exceptions are called, as Spark 4 raises them in a trial, classic and through Connect."""

import pytest

from manyfit.trial import gist
from manyfit.worker.reason import one_line, reason_of

FRAMES = """
\tat org.apache.spark.sql.errors.QueryExecutionErrors$.failed(QueryExecutionErrors.scala:182)
\tat scala.collection.Iterator$$anon$9.hasNext(Iterator.scala:593)
"""
UDF = (
    "org.apache.spark.SparkException: [FAILED_EXECUTE_UDF] User defined function "
    "(`VectorAssembler$$Lambda$2062/0x00007fdc10c92200`: (struct<x:double>)) failed due to: "
    "org.apache.spark.SparkException: Encountered null. Consider\nremoving nulls. SQLSTATE: 39000"
)
CAUSE = "\nCaused by: org.apache.spark.SparkException: Encountered null. Consider\nremoving nulls."
RAISED = (
    "Traceback (most recent call last):\n"
    '  File "train.py", line 29, in bad\n'
    "    raise ValueError(text)\n"
    "ValueError: bad depth 3"
)
LOST = (
    "org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 in stage 5.0 failed "
    "4 times, most recent failure: Lost task 0.3 in stage 5.0 (TID 17) (10.0.0.1 executor 0): "
)


def error(name, text):
    """Return an error of a class of Py4J's or PySpark's."""
    module = "py4j.protocol" if name.startswith("Py4J") else "pyspark.errors.exceptions.captured"
    return type(name, (Exception,), {"__module__": module})(text)


CALLING = "An error occurred while calling o120.fit.\n: "
GONE = "Cannot call methods on a stopped SparkContext.\nIt was created at:"
STOPPED = (
    f"java.lang.IllegalStateException: {GONE}\n\n"
    "org.apache.spark.api.java.JavaSparkContext.<init>(JavaSparkContext.scala:59)\n"
    "\nThe currently active SparkContext was created at:\n\n(No active SparkContext.)\n         \n"
    f"{FRAMES}"
)
STACK = "\n\nJVM stacktrace:\norg.apache.spark.SparkException"
INVALID = "parameter regParam given invalid value -1.0."
LABELS = "[USER_RAISED_EXCEPTION] Labels MUST be in [0, 100), but got -3.0 SQLSTATE: P0001"


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        (
            "Py4JJavaError",
            f"{CALLING}{UDF}{FRAMES}{CAUSE}{FRAMES}\t... 9 more",
            "SparkException: Encountered null. Consider removing nulls.",
        ),
        (
            "SparkException",  # Connect
            f"{UDF}{STACK}{FRAMES}{CAUSE}{FRAMES}",
            "SparkException: Encountered null. Consider removing nulls.",
        ),
        (
            "Py4JJavaError",
            f"{CALLING}{LOST}java.lang.ArithmeticException: / by zero{FRAMES}\nDriver:{FRAMES}",
            "ArithmeticException: / by zero",
        ),
        ("Py4JJavaError", f"{CALLING}java.lang.OutOfMemoryError{FRAMES}", "OutOfMemoryError"),
        (
            "PythonException",
            f"An exception was thrown from the Python worker:\n{RAISED}",
            "ValueError: bad depth 3",
        ),
        (
            "PythonException",  # Connect
            f"Please see below.\n[PYTHON_EXCEPTION] was thrown: {RAISED}\n SQLSTATE: 38000",
            "ValueError: bad depth 3",
        ),
        (
            "IllegalArgumentException",
            f"LogisticRegression_77673a0893d5 {INVALID}",
            f"IllegalArgumentException: LogisticRegression {INVALID}",
        ),
        ("SparkRuntimeException", f"{LABELS}{STACK}{FRAMES}", f"SparkRuntimeException: {LABELS}"),
        (
            "Py4JJavaError",
            f"{CALLING}{STOPPED}",
            f"IllegalStateException: {GONE.replace(chr(10), ' ')}",
        ),
        ("Py4JError", "", "Py4JError"),
    ],
)
def test_what_spark_raises(name, text, reason):
    """The cause alone is told, in one line, by its own class."""
    assert one_line(reason_of(error(name, text))) == reason


def test_alike_for_alike_causes():
    """Objects, stages and tasks by other numbers and names make no other failure."""
    texts = [
        f"{CALLING.replace('120', number)}{LOST.replace('17', number)}"
        f"java.lang.IllegalStateException: KMeans_{uid} has no rows in part {number}{FRAMES}"
        for number, uid in (("1", "77673a0893d5"), ("22", "fca138bd997a"))
    ]
    assert len({gist(reason_of(error("Py4JJavaError", text))) for text in texts}) == 1


def test_what_objectives_raise():
    """Their own words stay as they are, whatever they quote."""
    text = f"can't fit: {UDF}{FRAMES}{CAUSE}"
    assert reason_of(RuntimeError(text)) == f"RuntimeError: {text}"


def test_catboost_names_what_python_raised():
    """The traceback of a Python function that CatBoost called is the text of its own error."""
    module = {"__module__": "_catboost"}
    text = f"catboost/python-package/catboost/helpers.cpp:58: {RAISED}\n"
    raised = type("CatBoostError", (Exception,), module)(text)

    assert reason_of(raised) == "ValueError: bad depth 3"
    assert reason_of(type(raised)("X is empty.")) == "CatBoostError: X is empty."
