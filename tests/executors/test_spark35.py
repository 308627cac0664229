"""The oldest Spark that is supported, 3.5, on a cluster of its own: in another process, for there
is one PySpark to a process. The whole suite runs on the newest.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPARK35 = ROOT / ".venv" / "spark35"

SCRIPT = """
import sys
sys.path.insert(0, {demo!r})

import pyspark

import manyfit
from cluster import session, standalone


def train(params):
    for epoch in range(5):
        manyfit.report(epoch, loss=params["x"] ** 2 + data["offset"].sum() + 5 - epoch)
    return {{"loss": params["x"] ** 2, "version": float(pyspark.__version__[:3])}}


with standalone(workers=2) as cluster, session(cluster.url, cluster.folder / "log") as spark:
    data = manyfit.share(offset=__import__("numpy").zeros(1000))
    result = manyfit.tune(
        train, {{"x": manyfit.Float(-1.0, 1.0)}}, metric="loss", n_trials=12, seed=0, name="old",
        executor=manyfit.SparkExecutor(spark, parallelism=2), pruner=None, tracker=None,
        progress=None,
    )
print([trial.state.name for trial in result], {{t.metrics["version"] for t in result}})
"""


@pytest.mark.integration
@pytest.mark.skipif(
    not (ROOT / ".venv/.spark35").exists(), reason="PySpark 3.5 is not here: make .venv/.spark35"
)
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="PySpark 3.5 knows Python up to 3.11")
def test_a_study_on_spark_3_5(tmp_path: Path) -> None:
    """Trials run, report and find shared data on a standalone cluster of Spark 3.5."""
    script = tmp_path / "old.py"
    script.write_text(SCRIPT.format(demo=str(ROOT / "demo")))
    done = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(SPARK35)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if "Spark needs Java" in done.stderr:
        pytest.skip("Spark 3.5 needs Java 17, which is not here")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == f"{['COMPLETE'] * 12} {{3.5}}\n"
