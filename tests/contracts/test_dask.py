"""Dask keeps the contracts of clusters and executors, on two worker processes of this machine."""

import pytest
from distributed import Client

from manyfit.executors.dask import DaskCluster, DaskExecutor
from manyfit.testing.clusters import ClusterContract
from manyfit.testing.executors import ExecutorContract

pytestmark = pytest.mark.integration


class TestDaskCluster(ClusterContract):
    """A client of its own for each test."""

    @pytest.fixture
    def prepared(self, dask_cluster):
        """Connect a client."""
        with Client(dask_cluster, set_as_default=False) as self.client:
            yield

    def make_cluster(self):
        """Make it."""
        return DaskCluster(self.client)

    def end(self, cluster):
        """Close the client."""
        cluster.client.close()


class TestDaskExecutor(ExecutorContract):
    """Trials in children of Dask workers."""

    shares = True

    @pytest.fixture(scope="class")
    @classmethod
    def prepared(cls, dask_cluster):
        """Connect a client."""
        with Client(dask_cluster, set_as_default=False) as cls.client:
            yield

    def make_executor(self, parallelism):
        """Make it."""
        return DaskExecutor(self.client, parallelism)
