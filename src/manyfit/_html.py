"""Lines and tables as HTML for notebooks, in which all text is escaped."""

import html
from collections.abc import Sequence

from manyfit._text import printable


def page_of(
    title: str, lines: Sequence[str], columns: Sequence[str], rows: Sequence[Sequence[object]]
) -> str:
    """Return a title, lines as they are, and a table, if it has rows.

    Floats have six digits, and None is an empty cell.

    Example:
        >>> page_of("one", ["a < b"], ["x"], [[0.25], [None]]).count("<td>")
        2
    """
    head = "".join(f"<th>{_cell(name)}</th>" for name in columns)
    body = "".join(
        f"<tr>{''.join(f'<td>{_cell(value)}</td>' for value in row)}</tr>" for row in rows
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if rows else ""
    said = f"<pre>{_cell(chr(10).join(lines))}</pre>" if lines else ""
    return f"<div><strong>{_cell(title)}</strong>{said}{table}</div>"


def _cell(value: object) -> str:
    text = "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    return html.escape(printable(text))
