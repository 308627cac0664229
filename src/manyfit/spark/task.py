"""The function of a Spark task, which is pickled by value because workers may lack Manyfit."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from manyfit.remote.cluster import call


def task_function(
    entry: str, settings: Mapping[str, Any], *, streams: bool = False
) -> Callable[[Iterator[Any]], Iterator[Any]]:
    """Return a function for `mapInArrow`, which yields one row: its result as JSON.

    Args:
        entry: `module:function` in the worker's Manyfit, called with the settings and its place;
            empty to return just the place.
        settings: Plain data and Spark's broadcasts, which only the worker sees.
        streams: Whether the function takes the partition's record batches as its first argument,
            and yields those of the result. A worker without Manyfit then fails the job.
    """
    called = call(entry, settings)

    # Everything is inside, because names of this module would be looked up in the worker's Manyfit.
    def run(batches: Iterator[Any]) -> Iterator[Any]:
        import array  # noqa: PLC0415
        import importlib  # noqa: PLC0415
        import json  # noqa: PLC0415
        import os  # noqa: PLC0415
        import re  # noqa: PLC0415
        import socket  # noqa: PLC0415

        import pyarrow  # type: ignore[import-untyped] # noqa: PLC0415
        from pyspark import TaskContext  # noqa: PLC0415

        context = TaskContext.get()
        resources = {} if context is None else context.resources()
        url = os.environ.get("SPARK_LOG_URL_STDERR", "")
        told = re.search(r"executorId=(\w+)", url)
        executor = os.environ.get("SPARK_EXECUTOR_ID") or os.environ.get("CONTAINER_ID")
        executor = executor or (told[1] if told else "")
        host = socket.gethostname()
        place = {
            "host": host,
            "executor": executor,
            "name": f"{host}/executor {executor}" if executor else host,
            "gpus": list(resources["gpu"].addresses) if "gpu" in resources else [],
            "attempt": 0 if context is None else context.attemptNumber(),
        }
        if streams:
            module, _, name = entry.partition(":")
            function = getattr(importlib.import_module(module), name)
            yield from function(batches, {**settings, "place": place})
            return
        said = json.dumps(called(place) if entry else {"place": place}).encode()
        # Of buffers, since PyArrow imports pandas to make an array of a list.
        ends = pyarrow.py_buffer(array.array("i", (0, len(said))))
        column = pyarrow.StringArray.from_buffers(1, ends, pyarrow.py_buffer(said))
        yield pyarrow.RecordBatch.from_arrays([column], names=["said"])

    return run
