"""`manyfit replay NAME --trial N` runs a trial again and compares it with its record."""

import argparse
from dataclasses import asdict

from manyfit.archive import is_of_groups, study_folder
from manyfit.cli.page import Commands, Page, count
from manyfit.errors import ArgumentError
from manyfit.importing import objective_at
from manyfit.replaying import Replay, replay_trial
from manyfit.trackers.progress import counted, duration

_MOST_CHANGED = 10


def register(commands: Commands, folder: argparse.ArgumentParser) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "replay",
        parents=[folder],
        help="run a trial again with its params and its seed, and compare its metrics",
    )
    parser.add_argument("name", help="the study's name")
    parser.add_argument("--trial", type=count, required=True, metavar="N", help="its number")
    parser.add_argument(
        "--objective",
        metavar="MODULE:FUNCTION",
        help="the objective, or FILE.py:FUNCTION (default: the one on record)",
    )
    parser.add_argument("--json", action="store_true", help="print the comparison as JSON")
    parser.set_defaults(run=run)


def run(page: Page, arguments: argparse.Namespace) -> int:
    """Return 0 if the metrics are exactly the same, and 1 if they differ."""
    if is_of_groups(study_folder(arguments.name, arguments.folder)):
        raise ArgumentError(
            f"{arguments.name!r} is a call of tune_groups, whose trials can't be run again alone: "
            "in Python, call the objective with a group's rows and load_groups(name).params_of(key)"
        )
    place = arguments.objective
    objective = None if place is None else objective_at(place)
    replay = replay_trial(arguments.name, arguments.trial, objective, folder=arguments.folder)
    if arguments.json:
        page.as_json({**asdict(replay), "is_same": replay.is_same})
    else:
        _show(page, arguments.name, replay)
    return 0 if replay.is_same else 1


def _show(page: Page, name: str, replay: Replay) -> None:
    verdict = "the same as on record" if replay.is_same else "not as on record"
    page.say(
        f"Trial {replay.number} of {name}, run again for {duration(replay.seconds)}: {verdict}"
    )
    if replay.state_again != replay.state:
        page.say(f"  state    {replay.state_again}, on record {replay.state}")
    for phrase in replay.changed[:_MOST_CHANGED]:
        page.say(f"  changed  {phrase}")
    if len(replay.changed) > _MOST_CHANGED:
        page.say(f"  changed  {len(replay.changed) - _MOST_CHANGED} more: --json has all")
    if replay.state_again == "FAIL":
        page.say(f"  reason   {replay.reason}")
    finals = [each for each in replay.recorded if " at step " not in each]
    shown = replay.differing or finals or list(replay.recorded)
    rows = [(each, replay.recorded.get(each), replay.again.get(each)) for each in shown]
    if rows:
        page.as_table(("metric", "on record", "again"), rows)
    if replay.differing and not replay.changed:
        page.say(
            f"{counted(len(rows), 'metric')} differ with nothing changed that is on record: the "
            "objective depends on time, threads or data that it reads itself."
        )
