"""The executor on Spark keeps the contract, whatever kind of session it has."""

import pytest

from manyfit.executors.spark import SparkExecutor
from manyfit.testing.executors import ExecutorContract

# Nobody listens there, so no worker can dial in.
NOWHERE = "127.0.0.99"


class SparkContract(ExecutorContract):
    """What the kinds have in common; their sessions come from fixtures."""

    options = {"host": "127.0.0.1"}

    def make_executor(self, parallelism):
        """Make it."""
        return SparkExecutor(self.spark, parallelism, **self.options)


@pytest.mark.integration
class TestLocal(SparkContract):
    """A classic session whose executor is its own JVM."""

    @pytest.fixture
    def prepared(self, spark):
        """Use the local one."""
        self.spark = spark


@pytest.mark.integration
class TestStandalone(SparkContract):
    """A classic session on a standalone cluster."""

    @pytest.fixture
    def prepared(self, standalone_spark):
        """Use the one on the cluster."""
        self.spark = standalone_spark


@pytest.mark.integration
class TestConnect(SparkContract):
    """A session through Spark Connect."""

    @pytest.fixture
    def prepared(self, connect_spark):
        """Use the Connect one."""
        self.spark = connect_spark


@pytest.mark.integration
class TestJobs(SparkContract):
    """Workers that can't dial in: each trial is a job, and reports come when it ends."""

    options = {"host": NOWHERE}

    @pytest.fixture
    def prepared(self, standalone_spark):
        """Use the one on the cluster."""
        self.spark = standalone_spark


@pytest.mark.integration
class TestJobsWithChannel(SparkContract):
    """Workers that can't dial in, and a folder by which reports come while a trial runs."""

    @pytest.fixture
    def prepared(self, standalone_spark, tmp_path):
        """Use the one on the cluster, and a folder that its workers see."""
        self.spark = standalone_spark
        self.options = {"host": NOWHERE, "channel": str(tmp_path / "channel")}


@pytest.mark.integration
class TestConnectJobs(SparkContract):
    """A Connect client that workers can't dial."""

    options = {"host": NOWHERE}

    @pytest.fixture
    def prepared(self, connect_spark):
        """Use the Connect one."""
        self.spark = connect_spark
