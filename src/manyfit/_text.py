"""Text on its way to a terminal, which takes some characters for commands."""

import re

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
