"""The record of made-up groups: append rate, bytes on disk, time to resume, memory of the driver.

python -m benchmarks.groups_record [--groups 1000 10000 100000] [--before CHECKOUT]

`--before` measures a checkout from before records were journals (Arrow streams), in the same run.
Rows come in tables of 64, as from a worker process. Rates and seconds are of CPU time. Memory is
what a fresh process grows by while it resumes: it opens the record, and has all rows as the result
has them.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa

from manyfit.groups.record.row import GroupRow, row_schema, to_table
from manyfit.groups.record.store import GroupRecord
from manyfit.metric import Metric

_BATCH = 64
_METRIC = Metric("loss")
_KEYS = pa.schema([("store", pa.string()), ("item", pa.int64())])
_SCHEMA = row_schema(_KEYS)
_FIXED = dict.fromkeys(("holdout", "aggregate", "group_timeout"))
_FIXED |= {"space": {}, "metric": "loss", "direction": "minimize", "seed": 0, "by": _KEYS.names}
_FIXED |= {"mode": "independent", "shared_by": [], "order_by": []}


def journal(folder):
    """Open a record as it is now."""
    from manyfit.group_events import CallCreated, CallStarted  # not in all checkouts

    record = GroupRecord(folder, CallCreated(**_FIXED, name="call", manyfit="0", at=0.0))
    if not record.state.calls:
        record.put(CallStarted("host", 1, 0.0, {key.name: str(key.type) for key in _KEYS}))
    return record.append, record.rows, record.close


def streams(folder):
    """Open a record as it was before."""
    record = GroupRecord(folder, _FIXED, {"n_trials": 20})

    def append(rows):
        record.append("groups", rows)

    return append, lambda schema: record.rows("groups", schema), record.close


def tables(count):
    """Yield made-up rows: of each, 20 trials have ended."""
    for start in range(0, count, _BATCH):
        numbers = range(start, min(start + _BATCH, count))
        keys = [(f"store {number % 97}", number) for number in numbers]
        rows = [
            GroupRow(
                json.dumps(key, separators=(",", ":")),
                "COMPLETE",
                rows=700 + number % 60,
                params={"depth": number % 9, "rate": 1 / (number + 3), "kind": "linear"},
                value=1 / (number + 1),
                metrics={"loss": 1 / (number + 1), "mae": 1 / (number + 2)},
                baseline=1.0,
                baseline_metrics={"loss": 1.0, "mae": 2.0},
                trials=20,
                seconds=0.1 + 1 / (number + 7),
                fit_seconds=0.1,
                worker="laptop/slot-3",
            )
            for key, number in zip(keys, numbers, strict=True)
        ]
        yield to_table(keys, rows, _METRIC, _SCHEMA)


def write(opened, folder, count):
    """Write rows; returns groups a second and bytes a group."""
    append, _, close = opened(folder)
    made = list(tables(count))
    start = time.process_time()
    for rows in made:
        append(rows)
    close()
    seconds = time.process_time() - start
    size = sum(path.stat().st_size for path in folder.iterdir())
    return {"groups/CPU s": round(count / seconds), "bytes/group": round(size / count)}


def resume(opened, folder):
    """Open the record again; returns how long that took, and what memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    _, rows, close = opened(folder)
    count = len(rows(_SCHEMA))
    seconds = time.process_time() - start
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    close()
    unit = 1 if sys.platform == "darwin" else 1024
    return {"resumed": count, "CPU s": round(seconds, 2), "MB": round(grown * unit / 1e6)}


def measured(kind, folder, count, checkout):
    """Return the figures of one kind of record, written and resumed by processes of their own."""
    path = {"PYTHONPATH": str(Path(checkout) / "src")} if checkout else {}
    found = {"record": kind, "groups": count}
    for step in ("write", "resume"):
        command = [sys.executable, __file__, "--step", step, kind, str(folder), str(count)]
        env = {**os.environ, **path}
        output = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
        found |= json.loads(output.stdout.splitlines()[-1])
    return found


def main():
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--groups", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--before", metavar="CHECKOUT")
    parser.add_argument("--step", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        step, kind, folder, count = arguments.step
        opened = {"journal": journal, "streams": streams}[kind]
        given = (opened, Path(folder))
        print(json.dumps(write(*given, int(count)) if step == "write" else resume(*given)))
        return
    kinds = [("streams", arguments.before)] if arguments.before else []
    for count in arguments.groups:
        for kind, checkout in (*kinds, ("journal", None)):
            with tempfile.TemporaryDirectory() as folder:
                print(measured(kind, Path(folder) / "call", count, checkout), flush=True)


if __name__ == "__main__":
    main()
