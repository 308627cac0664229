"""A piece of advice, with the rule that gave it."""

from collections.abc import Sequence
from dataclasses import dataclass

GUIDE = "docs/advice.md"
# A run begins with no more lines of advice than this, and ends with no more.
_MOST_LINES = 5


@dataclass(frozen=True, slots=True)
class Advice:
    """What stands out in a study, and what to do about it.

    Attributes:
        code: The rule that gave it, such as `"log-scale"`, which is also the name of the section
            that explains it in the guide.
        params: The params it is about; empty if it is about the study.
        message: The figures and what to do, in one or two sentences on one line.

    Example:
        >>> print(Advice("log-scale", ("lr",), "lr spans 4 decades: give it log=True"))
        lr spans 4 decades: give it log=True (docs/advice.md#log-scale)
    """

    code: str
    params: tuple[str, ...]
    message: str

    @property
    def link(self) -> str:
        """The section of the guide."""
        return f"{GUIDE}#{self.code}"

    def __str__(self) -> str:
        return f"{self.message} ({self.link})"


def as_lines(advice: Sequence[Advice], all_of_it: str) -> tuple[str, ...]:
    """Return advice as at most five lines for users.

    Args:
        advice: The advice, the most important first.
        all_of_it: The call that returns all of it, for the last line if there is more.
    """
    lines = tuple(f"advice: {each}" for each in advice)
    if len(lines) <= _MOST_LINES:
        return lines
    rest = len(lines) - _MOST_LINES + 1
    return (*lines[: _MOST_LINES - 1], f"advice: {rest} more in {all_of_it}")
