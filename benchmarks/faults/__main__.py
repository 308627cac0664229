"""How many faults the tests find: python -m benchmarks.faults record, hunt, and then report.

Run it from the root of the repository. Results that are in the file are not made again.
"""

import argparse
from pathlib import Path

from benchmarks.faults.fault import MADE, read


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("--tree", type=Path, default=Path(), help="the checkout (default: this)")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("make", help="draw other faults, into made.jsonl")
    one.add_argument("--seed", type=int, default=13)
    one = commands.add_parser("record", help="run all tests, and note which lines each reaches")
    one.add_argument("recording", type=Path, help="a new folder")
    one.add_argument("options", nargs="*", help="of pytest, after --")
    one = commands.add_parser("hunt", help="plant faults one by one, and run tests until one fails")
    one.add_argument("recording", type=Path)
    one.add_argument("results", type=Path, help="a file; goes on if it is there")
    one.add_argument("--only", nargs="*", default=[""], help="beginnings of the ids of some faults")
    one.add_argument("--jobs", type=int, default=1)
    one.add_argument("--limit", type=float, default=150.0, help="seconds of tests for a fault")
    one = commands.add_parser("report", help="print a table, and what was not found")
    one.add_argument("results", type=Path, nargs="+")
    chosen = parser.parse_args()
    match chosen.command:
        case "make":
            from benchmarks.faults.make import make

            make(chosen.tree.absolute(), MADE, chosen.seed)
        case "record":
            from benchmarks.faults.reach import record

            record(chosen.tree.absolute(), chosen.recording, chosen.options)
        case "hunt":
            hunt(chosen)
        case "report":
            from benchmarks.faults.report import write

            write(chosen.results)


def hunt(chosen: argparse.Namespace) -> None:
    """Look for the faults that are not in the results yet."""
    from benchmarks.faults.hunt import Hunt, add, read_results

    known, path = read_results(chosen.results), chosen.results.absolute()
    missing = [
        fault
        for fault in read()
        if fault.id not in known and fault.id.startswith(tuple(chosen.only))
    ]
    folder = path.with_suffix(".copies")
    hunted = Hunt(chosen.tree.absolute(), chosen.recording, folder, chosen.jobs, chosen.limit)
    for done, record in enumerate(hunted.find(missing), 1):
        add(path, record)
        print(f"{done}/{len(missing)}  {record['outcome']:<8} {record['id']}", flush=True)


if __name__ == "__main__":
    main()
