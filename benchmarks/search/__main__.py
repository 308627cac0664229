"""Compare samplers: python -m benchmarks.search run, then python -m benchmarks.search report.

Run it from the root of the repository. A run that is in the results file is not repeated.
"""

import argparse
import itertools
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from benchmarks.search import catalogue, results
from benchmarks.search.contenders import CONTENDERS
from benchmarks.search.race import Cell, Run, play


def played(cells: Iterable[Cell], jobs: int) -> Iterator[tuple[Cell, Run]]:
    """Play runs, in this process or in some of their own, and yield them as they end."""
    if jobs == 1:
        yield from map(play, cells)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for future in as_completed([pool.submit(play, cell) for cell in cells]):
            yield future.result()


def run(arguments: argparse.Namespace) -> None:
    """Play what is missing, all tasks and contenders of one seed before the next seed."""
    known = results.read(arguments.results)
    product = itertools.product(
        arguments.trials,
        range(arguments.seeds),
        arguments.in_flight,
        arguments.tasks,
        arguments.contenders,
    )
    cells = [Cell(task, name, k, n, seed) for n, seed, k, task, name in product]
    missing = [cell for cell in cells if cell not in known]
    print(f"{len(missing)} of {len(cells)} runs to play", flush=True)
    began = time.monotonic()
    for done, (cell, played_run) in enumerate(played(missing, arguments.jobs), 1):
        results.append(arguments.results, cell, played_run)
        seconds = sum(played_run.seconds) / cell.n_trials
        print(
            f"{time.monotonic() - began:8.0f} s  {done}/{len(missing)}  {cell}  "
            f"{1e3 * seconds:.0f} ms a trial",
            flush=True,
        )


def report(arguments: argparse.Namespace) -> None:
    """Write the tables and the plot."""
    from benchmarks.search import report as written

    written.write(arguments)


def cost(arguments: argparse.Namespace) -> None:
    """Print what a proposal costs."""
    from benchmarks.search import cost as measured

    measured.write(arguments)


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    words = [*catalogue.groups(), *catalogue.makers(catalogue.groups())]
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--contenders", nargs="+", choices=[*CONTENDERS], default=[*CONTENDERS])
    shared.add_argument(
        "--tasks", nargs="+", choices=words, default=catalogue.USUAL, metavar="TASK"
    )
    shared.add_argument("--in-flight", nargs="+", type=int, default=[8, 1])
    shared.add_argument("--trials", nargs="+", type=int, default=[64, 200])
    found = argparse.ArgumentParser(
        prog="python -m benchmarks.search", description=__doc__.splitlines()[0]
    )
    verbs = found.add_subparsers(required=True)
    running = verbs.add_parser("run", parents=[shared], help="play what is missing")
    running.add_argument("--results", type=Path, default=Path("search.jsonl"))
    running.add_argument("--seeds", type=int, default=10)
    running.add_argument("--jobs", type=int, default=1)
    running.set_defaults(verb=run)
    reporting = verbs.add_parser("report", parents=[shared], help="write tables and a plot")
    reporting.add_argument("--results", type=Path, nargs="+", default=[Path("search.jsonl")])
    reporting.add_argument("--ours", default="manyfit", help="who is set against the others")
    reporting.add_argument("--update", action="store_true", help="rewrite the README and its plot")
    reporting.set_defaults(verb=report)
    costing = verbs.add_parser("cost", help="print what a proposal costs, by trials so far")
    costing.add_argument("--contenders", nargs="+", default=["manyfit", "optuna-tpe"])
    costing.add_argument("--trials", nargs="+", type=int, default=[64, 100, 200, 400, 1000])
    costing.set_defaults(verb=cost, tasks=[])
    return found


def main() -> None:
    """Do what the command line says."""
    arguments = parser().parse_args()
    arguments.tasks = list(catalogue.makers(arguments.tasks))
    arguments.verb(arguments)


if __name__ == "__main__":
    sys.exit(main())
