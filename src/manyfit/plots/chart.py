"""What a picture shows: marks on axes, as plain values that plotly and SVG draw alike."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Numbers: TypeAlias = Sequence[float]

# Returns the lines that explain the point or bar at an index: called only for those that show it.
Tell: TypeAlias = Callable[[int], str]

# The meaning of a colour; marks whose meanings differ also differ in shape, place or label.
Role: TypeAlias = Literal["complete", "pruned", "failed", "running", "best", "quiet"]

# After Okabe and Ito, "Color universal design" (2008), a palette that colour-blind readers can
# tell apart; darker for light paper, and lighter, the second of each, for dark.
COLOURS: dict[Role, tuple[str, str]] = {
    "complete": ("#0072b2", "#56b4e9"),
    "pruned": ("#b97d00", "#e69f00"),
    "failed": ("#9c3a00", "#f0804a"),
    "running": ("#a3568a", "#cc79a7"),
    "best": ("#007f5c", "#2fc79b"),
    "quiet": ("#6b7683", "#9aa5b1"),
}

# Coordinates are drawn as if no larger, or on a logarithmic axis no smaller than its inverse:
# differences and ratios of others overflow.
LARGEST = 1e300
MOST_BARS = 120  # with more, each is too narrow to be told from its neighbours


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis.

    Attributes:
        title: Its quantity, with the unit.
        log: Whether it is logarithmic; all coordinates are then positive.
        ticks: Coordinates and their labels; by default round numbers.
        ends: Its lowest and highest coordinate; by default those of the marks, with a margin.
        grid: Whether ticks have lines across the picture.
        whole: Whether its ticks are whole numbers.
    """

    title: str = ""
    log: bool = False
    ticks: tuple[tuple[float, str], ...] = ()
    ends: tuple[float, float] | None = None
    grid: bool = True
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Dots:
    """Points of one meaning.

    Attributes:
        keys: For each point, the row of the report's table that it stands for.
        tell: Says what the point at an index stands for.
    """

    x: Numbers
    y: Numbers
    role: Role
    label: str = ""
    keys: Sequence[int] = ()
    tell: Tell | None = None
    symbol: Literal["circle", "cross", "diamond"] = "circle"


@dataclass(frozen=True, slots=True)
class Line:
    """A line through points, in steps if each y holds until the next x; NaN interrupts it.

    Attributes:
        strength: Its opacity, from 0 to 1.
        text: What it stands for, in lines.
    """

    x: Numbers
    y: Numbers
    role: Role
    label: str = ""
    step: bool = False
    strength: float = 1.0
    text: str = ""
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Band:
    """The area between two lines."""

    x: Numbers
    low: Numbers
    high: Numbers
    role: Role
    label: str = ""
    strength: float = 0.2


@dataclass(frozen=True, slots=True)
class Bars:
    """Bars from `base` to `base + lengths`, upwards or to the right.

    Attributes:
        places: Their middles, on the other axis.
        tell: Says what the bar at an index stands for.
        spans: The lower and upper ends of intervals around the ends of bars.
        width: On the other axis.
    """

    places: Numbers
    lengths: Numbers
    role: Role
    label: str = ""
    tell: Tell | None = None
    base: Numbers = ()
    width: float = 0.8
    across: bool = False
    spans: Sequence[tuple[float, float]] = ()


@dataclass(frozen=True, slots=True)
class Cells:
    """A grid of rectangles, each the darker the larger its strength.

    Attributes:
        x: The middles of columns, evenly spaced.
        y: The middles of rows, evenly spaced.
        strengths: From -1 to 1, row by row, shape (rows, columns); NaN for none. Negative ones have
            the role `against`.
        words: Written into the cells, in the same order; may be empty.
        texts: What cells stand for, in the same order; may be empty.
    """

    x: Numbers
    y: Numbers
    strengths: Sequence[Numbers]
    role: Role = "complete"
    against: Role = "pruned"
    words: Sequence[Sequence[str]] = ()
    texts: Sequence[Sequence[str]] = ()


@dataclass(frozen=True, slots=True)
class Words:
    """Words at points, to the right of them."""

    x: Numbers
    y: Numbers
    texts: Sequence[str]


Mark: TypeAlias = Dots | Line | Band | Bars | Cells | Words


@dataclass(frozen=True, slots=True)
class Panel:
    """Marks on a pair of axes, the first at the back."""

    marks: Sequence[Mark]
    x: Axis = field(default_factory=Axis)
    y: Axis = field(default_factory=Axis)
    title: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture.

    Attributes:
        name: Its name in a page, such as `history`.
        title: Its subject.
        note: What it says, in a sentence; also for those who can't see it.
        panels: None if there is nothing to show.
        wide: Whether it needs the whole width of a page.
        height: Of a panel, in pixels.
    """

    name: str
    title: str
    note: str
    panels: Sequence[Panel] = ()
    wide: bool = False
    height: int = 280


def labels(marks: Iterable[Mark]) -> list[tuple[str, Mark]]:
    """Return the first mark with each label, for a legend."""
    found: dict[str, Mark] = {}
    for mark in marks:
        if not isinstance(mark, Cells | Words) and mark.label:
            found.setdefault(mark.label, mark)
    return list(found.items())


def on_one_line(text: str, width: int = 60) -> str:
    """Return text on one line, cut to a width.

    Example:
        >>> on_one_line("two lines, and then more", 12)
        'two lines, …'
    """
    flat = " ".join(text.split())
    return flat if len(flat) <= width else f"{flat[: width - 1]}…"
