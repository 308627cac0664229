"""Lets Java start Spark in half the CPU time: `python scripts/archive.py`, once for an environment.

Java writes the classes that a session has loaded into a file, and later starts map that into memory
(application class-data sharing, https://openjdk.org/jeps/350). A Java that can't make the file or
can't use it, since it or Spark is another one now, loads classes from Spark's jars as usual.
"""

import contextlib
import subprocess
import tempfile
from pathlib import Path

from manyfit.demo.cluster import ARCHIVE, environment, small

# What sessions of the demo and of tests do: queries, tables, Python in workers.
USUAL = """
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
rows = spark.range(60).selectExpr("id % 4 AS g", "double(id % 7) AS x", "double(id % 2) AS label")
rows.groupBy("g").avg("x").orderBy("g").collect()
rows.mapInArrow(lambda batches: batches, rows.schema).collect()
rows.groupBy("g").applyInPandas(lambda frame: frame, rows.schema).collect()
spark.createDataFrame([(1.0, 2)], "a double, b int").cache().count()
rows.write.parquet(r"{folder}/rows")
spark.stop()
"""


def make(archive: Path = ARCHIVE) -> bool:
    """Run a session in a JVM of its own, which writes the file at its end; return whether it did.

    Raises:
        StartError: There is no PySpark, or no Java.
    """
    archive.unlink(missing_ok=True)  # a Java that uses one makes none
    new = archive.with_suffix(".new")
    with tempfile.TemporaryDirectory(prefix="spark-") as name:
        folder = Path(name)
        (folder / "usual.py").write_text(USUAL.format(folder=folder))
        settings = small(folder)
        settings["spark.driver.extraJavaOptions"] += f" -XX:ArchiveClassesAtExit={new}"
        settings["spark.sql.shuffle.partitions"] = "2"
        # Its server's classes too; it listens on any free port of loopback for these seconds.
        settings["spark.plugins"] = "org.apache.spark.sql.connect.SparkConnectPlugin"
        settings["spark.connect.grpc.binding.address"] = "127.0.0.1"
        settings["spark.connect.grpc.binding.port"] = "0"
        env = environment(folder)
        command = [f"{env['SPARK_HOME']}/bin/spark-submit", "--master", "local[2]"]
        command += [part for item in settings.items() for part in ("--conf", "=".join(item))]
        command += [f"{folder}/usual.py"]
        subprocess.run(command, env=env, capture_output=True, check=False)
    with contextlib.suppress(FileNotFoundError):
        new.replace(archive)
        return True
    return False


if __name__ == "__main__":
    print(f"Spark will start sooner: {ARCHIVE}" if make() else "This Java makes no archive.")
