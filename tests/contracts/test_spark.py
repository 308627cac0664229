"""The executor on Spark keeps the contract, whatever kind of session it has."""

import pytest

from manyfit.executors.spark import SparkExecutor
from manyfit.executors.spark_driver import DriverExecutor
from manyfit.testing.executors import ExecutorContract
from manyfit.testing.stopping import StoppingContract

# Nobody listens there, so no worker can dial in.
NOWHERE = "127.0.0.99"


class OnSpark:
    """What the kinds have in common; their sessions come from fixtures."""

    host = "127.0.0.1"
    channel = None

    def make_executor(self, parallelism):
        """Make it."""
        return SparkExecutor(self.spark, parallelism, host=self.host, channel=self.channel)


@pytest.mark.integration
class TestLocal(OnSpark, StoppingContract):
    """A classic session whose executor is its own JVM.

    Trials go and come as on a cluster; that their processes are the driver's own concerns how they
    end.
    """

    @pytest.fixture
    def prepared(self, spark):
        """Use the local one."""
        self.spark = spark


@pytest.mark.integration
class TestStandalone(OnSpark, ExecutorContract):
    """A classic session on a standalone cluster."""

    @pytest.fixture
    def prepared(self, standalone_spark):
        """Use the one on the cluster."""
        self.spark = standalone_spark


@pytest.mark.integration
class TestConnect(OnSpark, ExecutorContract):
    """A session through Spark Connect."""

    @pytest.fixture
    def prepared(self, connect_spark):
        """Use the Connect one."""
        self.spark = connect_spark


@pytest.mark.integration
class TestJobsWithChannel(OnSpark, ExecutorContract):
    """No worker can dial in: each trial is a job, and its reports come through a folder."""

    host = NOWHERE

    @pytest.fixture
    def prepared(self, standalone_spark, tmp_path):
        """Use the one on the cluster, and a folder that its workers see."""
        self.spark = standalone_spark
        self.channel = str(tmp_path / "channel")


class DriverContract(ExecutorContract):
    """Trials in threads of the driver, which is given a session by a fixture."""

    def make_executor(self, parallelism):
        """Make it."""
        return DriverExecutor(self.spark, parallelism)


@pytest.mark.integration
class TestDriverOnStandalone(DriverContract):
    """A classic session on a standalone cluster."""

    @pytest.fixture
    def prepared(self, standalone_spark):
        """Use the one on the cluster."""
        self.spark = standalone_spark


@pytest.mark.integration
class TestDriverOnConnect(DriverContract):
    """A session through Spark Connect."""

    @pytest.fixture
    def prepared(self, connect_spark, monkeypatch):
        """Use the Connect one, in a process that has no other."""
        monkeypatch.setenv("SPARK_CONNECT_MODE_ENABLED", "1")
        self.spark = connect_spark
