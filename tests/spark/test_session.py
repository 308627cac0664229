"""A Spark session as far as it needs no Spark: settings, addresses, resources."""

import socket
from types import SimpleNamespace

import pytest

from manyfit.errors import ArgumentError
from manyfit.spark.session import Session


class FakeSpark:
    """A session with these settings."""

    version = "3.5.8"

    def __init__(self, **settings):
        self.conf = {name.replace("_", "."): value for name, value in settings.items()}

    def range(self, *_):
        return SimpleNamespace(mapInArrow=lambda function, schema, barrier=False: None)


class ProfilingSpark(FakeSpark):
    """One whose DataFrames take resource profiles."""

    version = "4.0.0"

    def range(self, *_):
        return SimpleNamespace(
            mapInArrow=lambda function, schema, barrier=False, profile=None: None
        )


@pytest.mark.parametrize("spark", [None, "local[2]", 7, SimpleNamespace(conf={}, version="4")])
def test_no_session(spark):
    """What is no session is refused when it is given, and shown."""
    with pytest.raises(ArgumentError, match="spark must be a SparkSession, but got"):
        Session(spark)


@pytest.mark.parametrize(
    ("settings", "host", "bind"),
    [
        ({"spark_master": "local[2]", "spark_driver_host": "10.1.2.3"}, "127.0.0.1", "127.0.0.1"),
        ({"spark_master": "yarn", "spark_driver_host": "10.1.2.3"}, "10.1.2.3", "10.1.2.3"),
        (
            {
                "spark_master": "k8s://https://api",
                "spark_driver_host": "driver.svc",
                "spark_driver_bindAddress": "0.0.0.0",
            },
            "driver.svc",
            "0.0.0.0",
        ),
        ({"spark_master": "spark://m:7077"}, "127.0.0.1", "127.0.0.1"),
    ],
    ids=["local", "yarn", "kubernetes", "nothing said"],
)
def test_addresses(settings, host, bind):
    """Workers come to where executors find the driver; on one machine, that is loopback."""
    session = Session(FakeSpark(**settings))
    assert (session.host(), session.bind_address()) == (host, bind)


def test_an_unset_setting():
    """Settings that are missing, or None, have the default."""
    session = Session(FakeSpark(spark_master=None))
    assert (session.setting("spark.master", "x"), session.setting("spark.x")) == ("x", "")
    assert session.cpus == 1
    assert session.has_pools


def test_fitting():
    """Local Spark runs fewer tasks when each takes more cores; a cluster arranges it itself."""
    local = Session(FakeSpark(spark_master="local[8]"))
    assert [local.fitting(cpus) for cpus in (1, 3, 8, 9)] == [8, 2, 1, 0]
    assert Session(FakeSpark(spark_master="yarn")).fitting(9) is None


def test_no_profile_is_needed():
    """What tasks have anyway is asked of nobody."""
    cluster = FakeSpark(spark_master="yarn", spark_task_cpus="2")
    assert Session(cluster).cpus == 2
    assert Session(cluster).profile(2, 0) is None
    assert Session(FakeSpark(spark_master="local[8]")).profile(4, 0) is None


def test_gpus_of_local_spark():
    """A machine of its own hands out no GPUs, and says so."""
    session = Session(FakeSpark(spark_master="local[8]"))
    with pytest.raises(ArgumentError, match=r"gpus_per_trial=0\.5 needs a cluster: .*'local\[8\]'"):
        session.profile(1, 0.5)


@pytest.mark.parametrize(
    ("gpus", "advice"),
    [
        (0, "spark.task.cpus=4"),
        (1, "spark.task.cpus=4 and spark.task.resource.gpu.amount=1"),
    ],
)
def test_an_old_spark_has_no_profiles(gpus, advice):
    """It says which settings the session is to be started with instead."""
    session = Session(FakeSpark(spark_master="yarn"))
    with pytest.raises(ArgumentError, match=r"Spark 3\.5\.8 has no resource profiles") as raised:
        session.profile(4, gpus)
    assert str(raised.value).endswith(f"start the session with {advice}")


def test_profiles():
    """Where there are profiles, a task asks for its cores and GPUs."""
    pytest.importorskip("pyspark")
    session = Session(ProfilingSpark(spark_master="yarn"))
    requests = session.profile(4, 0.5).taskResources
    assert {name: request.amount for name, request in requests.items()} == {"cpus": 4, "gpu": 0.5}
    assert set(session.profile(2, 0).taskResources) == {"cpus"}


def test_the_address_of_a_connect_client(monkeypatch):
    """A Connect client is reached at the address by which it reaches the server."""
    fake = type("SparkSession", (FakeSpark,), {"__module__": "pyspark.sql.connect.session"})()
    fake.client = SimpleNamespace(host="127.0.0.1")
    session = Session(fake)
    assert not session.has_pools
    assert session.broadcast is None
    assert session.host() == session.bind_address() == "127.0.0.1"
    fake.client = SimpleNamespace(host="no-such-host.invalid")
    assert session.host() == socket.gethostname()
