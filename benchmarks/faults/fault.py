"""A fault: some lines of one function, and what stands there instead."""

import ast
import json
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
MADE, PLANTED = FOLDER / "made.jsonl", FOLDER / "planted.jsonl"


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, and where.

    Attributes:
        id: Its name.
        file: The file's path from the root of the repository.
        line: Where `before` begins, in the commit that the fault was made from.
        scope: The function around it, as in `Shelf.make_room`.
        operator: What made it; "hand" for a person.
        before: Whole lines.
        after: What they become.
        why: For those by hand, what goes wrong.
        tests: Beginnings of the ids of tests that meet it, where no recording can tell.
    """

    id: str
    file: str
    line: int
    scope: str
    operator: str
    before: str
    after: str
    why: str = ""
    tests: tuple[str, ...] = ()

    def place(self, source: str) -> int | None:
        """Return the line in a source at which to plant it, of some the nearest; None: none."""
        lines, wanted, scopes = source.splitlines(), self.before.splitlines(), scopes_of(source)
        places = [
            line
            for line, scope in scopes.items()
            if scope == self.scope and lines[line - 1 :][: len(wanted)] == wanted
        ]
        return min(places, key=lambda line: abs(line - self.line), default=None)

    def planted(self, source: str) -> str:
        """Return a source with the fault in it."""
        lines, place = source.splitlines(), self.place(source) or 0
        lines[place - 1 : place - 1 + len(self.before.splitlines())] = self.after.splitlines()
        return "\n".join(lines) + "\n"


def read() -> list[Fault]:
    """Return all faults, those by hand last: some of them start Spark."""
    lines = (MADE.read_text(encoding="utf-8") + PLANTED.read_text(encoding="utf-8")).splitlines()
    records = map(json.loads, lines)
    return [Fault(**{**record, "tests": tuple(record.get("tests", ()))}) for record in records]


def scopes_of(source: str) -> dict[int, str]:
    """Return the name of the innermost function around each line that is in one."""
    found: dict[int, str] = {}

    def visit(node: ast.AST, name: str) -> None:
        for child in ast.iter_child_nodes(node):
            inner = name
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                inner = f"{name}.{child.name}".lstrip(".")
                if isinstance(child, ast.FunctionDef):
                    lines = range(child.lineno, (child.end_lineno or 0) + 1)
                    found.update(dict.fromkeys(lines, inner))
            visit(child, inner)

    visit(ast.parse(source), "")
    return found
