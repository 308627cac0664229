"""`manyfit sync NAME` writes to MLflow what it has missed of a study."""

import argparse

from manyfit.archive import is_of_groups, study_folder
from manyfit.cli.page import Commands, Page
from manyfit.groups.sync import sync_groups
from manyfit.sync import sync_study


def register(commands: Commands, folder: argparse.ArgumentParser) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "sync", parents=[folder], help="write to MLflow what it missed of a study or a call"
    )
    parser.add_argument("name", help="the study's name")
    parser.add_argument(
        "--tracking-uri", metavar="URI", help="the server (default: the study's last)"
    )
    parser.add_argument("--experiment", metavar="NAME", help="the experiment (default: likewise)")
    parser.add_argument(
        "--wait", type=float, default=600.0, metavar="S", help="seconds to try for (default: 600)"
    )
    parser.set_defaults(run=run)


def run(page: Page, arguments: argparse.Namespace) -> int:
    """Return 1 if something is left to write; a warning has said what."""
    is_call = is_of_groups(study_folder(arguments.name, arguments.folder))
    mirror = (sync_groups if is_call else sync_study)(
        arguments.name,
        folder=arguments.folder,
        tracking_uri=arguments.tracking_uri,
        experiment=arguments.experiment,
        wait=arguments.wait,
    )
    if mirror is None:
        return 1
    page.say(f"MLflow has all of {arguments.name}.")
    page.say(f"  tracking URI  {mirror.tracking_uri}")
    page.say(f"  experiment    {mirror.experiment}")
    if mirror.table:
        page.say(f"  trials        {mirror.table}")
    return 0
