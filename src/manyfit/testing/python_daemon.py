"""PySpark's daemon for tests: it imports what its workers need before it forks them.

Otherwise, a worker imports pandas, pyarrow and Manyfit for itself, and searches all of it for
garbage after each task, both of which take longer than most tasks of tests. Workers start with the
same state of NumPy's global generator, so this is for tests alone::

    SparkSession.builder.config("spark.python.daemon.module", "manyfit.testing.python_daemon")

https://spark.apache.org/docs/latest/api/python/development/debugging.html shows such a module.
"""

import gc
import importlib

from pyspark import daemon

USED = ("pandas", "pyarrow", "manyfit.groups.run.batch", "manyfit.remote.remote_slot")

if __name__ == "__main__":
    for name in USED:
        importlib.import_module(name)
    gc.freeze()
    daemon.manager()
