"""Text for people, on its way to a terminal that takes some characters for commands."""

import re
from collections.abc import Iterable

# Control characters but tab and newline; those that turn the direction of text; and lone halves of
# characters, which no encoding has.
_COMMANDS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    r"""Return text that a terminal shows and does not obey: commands stand in it as escapes.

    Example:
        >>> print(printable("red: \x1b[31m"))
        red: \x1b[31m
    """
    return _COMMANDS.sub(lambda found: ascii(found[0])[1:-1], text)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun.

    Example:
        >>> counted(1, "trial"), counted(2000, "trial")
        ('1 trial', '2,000 trials')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(phrases: Iterable[str]) -> str:
    """Return phrases as a list in a sentence.

    Example:
        >>> listed(["C"]), listed(["C", "gamma", "degree"])
        ('C', 'C, gamma and degree')
    """
    *others, last = phrases
    return f"{', '.join(others)} and {last}" if others else last
