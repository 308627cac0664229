"""What the slots of a Spark session say of tasks that fail."""

import queue

from manyfit.spark.cluster import SparkCluster


class Barren:
    """A session whose workers lack pyarrow."""

    def inheriting(self, target):
        """Have nothing to inherit."""
        return target

    def mark(self, *_):
        """Accept the marks of a job."""

    def run(self, *_, **__):
        """Fail as PySpark does, which imports pyarrow before the task's function."""
        raise ValueError(
            "An exception was thrown from the Python worker:\nNo module named 'pyarrow'"
        )


def test_workers_without_pyarrow():
    """The error says what to install, and where."""
    ends = queue.SimpleQueue()
    SparkCluster(Barren(), "trials").start("manyfit.testing.clusters:echo", {}, ends.put)
    error = ends.get(timeout=60).error
    assert "No module named 'pyarrow'" in error
    assert "Install pyarrow on the workers, in the Python that Spark runs there" in error
