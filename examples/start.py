"""The options of the examples, and a Spark cluster to run them on."""

import argparse
import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from manyfit.demo.cluster import StartError, session, standalone

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

FAIR = {"spark.scheduler.mode": "FAIR"}  # trials share the cluster


def parse(what: str, trials: int) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=what)
    add = parser.add_argument
    add("--trials", type=int, default=trials, help=f"how many in all ({trials})")
    add("--master", help="spark://..., local[4], or sc://... for Connect (a cluster of its own)")
    add("--name", help="the study's name; one that exists is resumed")
    return parser.parse_args()


@contextlib.contextmanager
def spark_on(master: str | None) -> Iterator["SparkSession"]:
    """Provide a session on a master; by default on a cluster of two workers, started here."""
    os.environ.setdefault("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    logging.getLogger("py4j").setLevel(logging.ERROR)
    with contextlib.ExitStack() as stack:
        try:
            yield stack.enter_context(_session(master, stack))
        except StartError as error:
            sys.exit(f"Spark can't start. {error}")


def _session(
    master: str | None, stack: contextlib.ExitStack
) -> contextlib.AbstractContextManager["SparkSession"]:
    if master is not None and master.startswith("sc://"):
        from pyspark.sql import SparkSession

        return SparkSession.builder.remote(master).create()
    if master is None:
        print("Starting a Spark cluster on this machine: a master, and two workers of 2 slots.")
        cluster = stack.enter_context(standalone(workers=2, cores=2))
        return session(cluster.url, cluster.folder / "driver.log", FAIR)
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="spark-")))
    return session(master, folder / "driver.log", FAIR)
