"""Every cluster keeps the contract."""

import pytest

from manyfit.spark.cluster import SparkCluster
from manyfit.spark.session import Session
from manyfit.testing.clusters import ClusterContract
from manyfit.testing.remote import LocalSpark, ProcessCluster

pytestmark = pytest.mark.integration


class TestProcessCluster(ClusterContract):
    """Processes of this machine."""

    @pytest.fixture
    def prepared(self, tmp_path):
        """Give it a folder."""
        self.folder = tmp_path / "machine"

    def make_cluster(self):
        """Make it."""
        return ProcessCluster(self.folder)

    def end(self, cluster):
        """Stop it."""
        cluster.stop()


class TestSparkCluster(ClusterContract):
    """Spark, all but Spark itself."""

    @pytest.fixture
    def prepared(self, tmp_path):
        """Make a session."""
        self.spark = LocalSpark(tmp_path / "machine")

    def make_cluster(self):
        """Make it."""
        return SparkCluster(Session(self.spark), "Manyfit: a contract")

    def end(self, cluster):
        """Stop the session."""
        self.spark.stop()


class OnSpark(ClusterContract):
    """What sessions on a real Spark have in common; nobody ends those that tests share."""

    def make_cluster(self):
        """Make it."""
        return SparkCluster(Session(self.spark), "Manyfit: a contract")

    def end(self, cluster):
        """Leave the session to the other tests."""
        pytest.skip("other tests need the session")


@pytest.mark.soak("contracts")
class TestStandalone(OnSpark):
    """A classic session on a standalone cluster."""

    @pytest.fixture
    def prepared(self, standalone_spark):
        """Use the one on the cluster."""
        self.spark = standalone_spark


@pytest.mark.soak("contracts")
class TestConnect(OnSpark):
    """A session through Spark Connect."""

    @pytest.fixture
    def prepared(self, connect_spark):
        """Use the Connect one."""
        self.spark = connect_spark
