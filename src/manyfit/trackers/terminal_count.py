"""How far a long computation is, on a terminal."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from manyfit.trackers.terminal import can_redraw

Item = TypeVar("Item")


def counted(items: Sequence[Item], what: str) -> Iterable[Item]:
    """Yield items, and show on a terminal how many are done and how long the others will take.

    The line is on standard error, and is removed at the end. Elsewhere, nothing is shown.

    Args:
        items: The items.
        what: What is said of those that are done, such as "studies simulated".
    """
    columns = MofNCompleteColumn(), TextColumn(f"{what}, time left"), TimeRemainingColumn()
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not can_redraw()) as progress:
        yield from progress.track(items)
