"""Runs on disk: one JSON line each, so that the command can be interrupted and goes on."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from benchmarks.search.race import Cell, Run


def append(path: Path, cell: Cell, run: Run) -> None:
    """Add a run to a file of them."""
    seconds = [round(each, 6) for each in run.seconds]
    record = {**asdict(cell), "curve": run.curve, "seconds": seconds, "failed": run.failed}
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def read(*paths: Path) -> dict[Cell, Run]:
    """Return the runs of some files, a missing one holding none; of two alike the later one."""
    return dict(pair for path in paths if path.exists() for pair in _read(path))


def _read(path: Path) -> Iterator[tuple[Cell, Run]]:
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.endswith("\n"):  # a last line without an end was cut off
            record = json.loads(line)
            run = Run(record.pop("curve"), record.pop("seconds"), record.pop("failed", 0))
            yield Cell(**record), run
