"""`manyfit plan NAME --trials 200` predicts time and cost for different numbers of slots."""

import argparse
from dataclasses import asdict

from manyfit.archive import load_study
from manyfit.cli.page import Commands, Page, add_forms, count
from manyfit.plan.planning import SLOTS


def register(commands: Commands, folder: argparse.ArgumentParser) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "plan",
        parents=[folder],
        help="predict the time and cost of a study for different numbers of slots",
    )
    parser.add_argument("name", help="the study whose trials show what such trials cost")
    parser.add_argument(
        "--trials", type=count, metavar="N", help="how many trials (default: as many as it has)"
    )
    parser.add_argument(
        "--slots",
        type=count,
        nargs="+",
        default=SLOTS,
        metavar="N",
        help=f"how many run at once (default: {' '.join(map(str, SLOTS))})",
    )
    parser.add_argument(
        "--cores", type=count, metavar="N", help="cores of a machine (default: as this one)"
    )
    parser.add_argument(
        "--memory", type=float, metavar="GB", help="memory of a machine (default: as this one)"
    )
    parser.add_argument(
        "--machines", type=count, metavar="N", help="how many (default: as the slots need)"
    )
    parser.add_argument("--price", type=float, metavar="P", help="price of a machine per hour")
    add_forms(parser)
    parser.set_defaults(run=run)


def run(page: Page, arguments: argparse.Namespace) -> int:
    """Print the plan."""
    result = load_study(arguments.name, folder=arguments.folder)
    plan = result.plan(
        arguments.trials,
        slots=arguments.slots,
        cores=arguments.cores,
        memory=None if arguments.memory is None else arguments.memory * 1e9,
        machines=arguments.machines,
        price=arguments.price,
    )
    rows = [asdict(row) for row in plan.rows]
    if arguments.json:
        named = {"study": plan.name, "metric": plan.metric.name, "n_trials": plan.n_trials}
        page.as_json({**named, "knee": plan.knee, "rows": rows, "notes": plan.notes})
    elif arguments.csv:
        page.as_csv(rows)
    else:
        for line in str(plan).splitlines():
            (page.prose if line in plan.notes else page.say)(line)
    return 0
