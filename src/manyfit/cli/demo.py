"""`manyfit demo` tunes a Keras classifier of clothes, in processes or on Spark."""

import argparse
import os
from pathlib import Path

from manyfit.cli.page import Commands, Page, count
from manyfit.demo.fashion import BACKENDS, EXECUTORS
from manyfit.demo.fashion import run as run_demo


def register(commands: Commands, folder: argparse.ArgumentParser) -> None:  # noqa: ARG001
    """Add the command to the command line."""
    parser = commands.add_parser("demo", help="tune a Keras classifier of clothes (minutes)")
    add = parser.add_argument
    add("--full", action="store_true", help="train on all 55,000 images instead of 10,000")
    add("--trials", type=count, default=24, metavar="N", help="how many in all (default: 24)")
    add(
        "--parallelism",
        type=count,
        metavar="N",
        help="how many at a time (default: one for each core; on Spark 2)",
    )
    add("--backend", choices=BACKENDS, default="jax", help="what Keras runs on (default: jax)")
    add(
        "--executor",
        choices=EXECUTORS,
        default="processes",
        help="where trials run (default: processes)",
    )
    add("--name", help="the study's name; one that exists is resumed")
    add(
        "--data-dir",
        type=Path,
        default=os.environ.get("MANYFIT_DATA"),
        help="where the four files of Fashion-MNIST are (default: MANYFIT_DATA; otherwise they are"
        " downloaded)",
    )
    parser.set_defaults(run=run)


def run(page: Page, arguments: argparse.Namespace) -> int:  # noqa: ARG001
    """Return 1 if no trial has completed."""
    completed = run_demo(
        full=arguments.full,
        trials=arguments.trials,
        parallelism=arguments.parallelism,
        backend=arguments.backend,
        executor=arguments.executor,
        name=arguments.name,
        data_dir=arguments.data_dir,
    )
    return 0 if completed else 1
