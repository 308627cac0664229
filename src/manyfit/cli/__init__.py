"""The command line: one module per command, each with a `register`.

Commands that read records take no lock and write nothing, so they may be used while a study runs.
"""

import argparse
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from manyfit._text import printable
from manyfit._version import __version__
from manyfit.cli import demo, listing, plan, replay, report, show, sync
from manyfit.cli.page import Page
from manyfit.errors import ManyfitError

# In the order in which `manyfit --help` lists them.
COMMANDS = (listing, show, report, replay, sync, plan, demo)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns 0, or 2 for a study or trial that isn't there or is damaged.

    `sync` returns 1 if something is left to write. A Ctrl-C returns 130, as shells do.
    """
    arguments = _parser().parse_args(argv)
    try:
        code: int = arguments.run(Page(), arguments)
    except ManyfitError as error:
        _complain(str(error))
        return 2
    except KeyboardInterrupt:
        _complain("interrupted. Nothing on record is lost: run the same command to go on")
        return 130
    return code


def _complain(text: str) -> None:
    Console(stderr=True).print(Text(printable(f"manyfit: {text}")), soft_wrap=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="manyfit", description="Look at studies on record.")
    parser.add_argument("--version", action="version", version=f"manyfit {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    folder = argparse.ArgumentParser(add_help=False)
    folder.add_argument(
        "--folder", default=".manyfit", help="where studies are kept (default: .manyfit)"
    )
    for command in COMMANDS:
        command.register(commands, folder)
    return parser
