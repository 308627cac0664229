"""What share of the faults was found, part by part, and which were not."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.faults.fault import Fault, read
from benchmarks.faults.hunt import read_results


def write(paths: list[Path]) -> None:
    """Print a table with a column for each file of results, and what each of them did not find."""
    faults, results = read(), [read_results(path) for path in paths]
    names = " | ".join(path.stem for path in paths)
    print(f"| | faults | {names} |\n|---|---|{'---|' * len(paths)}")
    for part in [*sorted({_part(fault) for fault in faults}), "all"]:
        ids = [fault.id for fault in faults if part in {_part(fault), "all"}]
        shares = (_share(result[id_] for id_ in ids if id_ in result) for result in results)
        print(f"| {part} | {len(ids)} | {' | '.join(shares)} |")
    for path, result in zip(paths, results, strict=True):
        print(f"\nNot found in {path.stem}:")
        for fault in faults:
            record = result.get(fault.id, {"outcome": "not tried"})
            if record["outcome"] != "found":
                print(f"\n{record['outcome']}: {fault.id} ({record.get('tests', 0)} tests)")
                print(f"{fault.why}\n- {fault.before.strip()}\n+ {fault.after.strip()}")


def _part(fault: Fault) -> str:
    if fault.operator == "hand":
        return "by hand"
    return fault.file.removeprefix("src/manyfit/").partition("/")[0].removesuffix(".py")


def _share(records: Iterable[dict[str, Any]]) -> str:
    """Return how many of the faults that could be planted were found."""
    there = [record["outcome"] for record in records if record["outcome"] != "gone"]
    found = there.count("found")
    return f"{found} of {len(there)} ({found / max(1, len(there)):.0%})"
