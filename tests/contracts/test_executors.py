"""Every executor keeps the contract."""

import pytest

from manyfit.executors.inline import InlineExecutor
from manyfit.executors.processes import ProcessExecutor
from manyfit.executors.threads import ThreadExecutor
from manyfit.spark.executor import SparkExecutor
from manyfit.testing.executors import ExecutorContract
from manyfit.testing.remote import LocalSpark


class TestInlineExecutor(ExecutorContract):
    """On the driver's thread."""

    def make_executor(self, parallelism):
        """Make it: it has one slot, whatever is asked."""
        return InlineExecutor()


class TestThreadExecutor(ExecutorContract):
    """In the driver's process."""

    def make_executor(self, parallelism):
        """Make it."""
        return ThreadExecutor(parallelism)


class TestProcessExecutor(ExecutorContract):
    """In processes of their own."""

    def make_executor(self, parallelism):
        """Make it."""
        return ProcessExecutor(parallelism)


@pytest.mark.integration
class TestRemoteWorkers(ExecutorContract):
    """In processes behind a network, all as on Spark but for Spark."""

    shares = True

    @pytest.fixture(scope="class")
    @classmethod
    def prepared(cls, tmp_path_factory):
        """Give the workers a machine of their own."""
        cls.spark = LocalSpark(tmp_path_factory.mktemp("machine"))

    def make_executor(self, parallelism):
        """Make it."""
        return SparkExecutor(self.spark, parallelism)
