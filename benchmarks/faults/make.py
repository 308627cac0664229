"""Faults made by cosmic-ray's operators, on lines drawn with a seed."""

import ast
import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict
from fnmatch import fnmatch
from itertools import islice
from pathlib import Path

from benchmarks.faults.fault import Fault, scopes_of
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

# How many faults, by part of the library.
PARTS = {
    "engine.py": 10,
    "budget.py": 7,
    "metric.py": 5,
    "journal/*.py": 9,
    "pruners/*.py": 13,
    "samplers/*.py": 16,
    "worker/*.py": 18,
    "executors/inline.py executors/threads.py executors/processes.py executors/base.py": 9,
    "prefixes.py": 7,
    "groups/*.py": 18,
}
LEFT_OUT = ("groups/*spark*", "groups/result/plots.py")  # no pandas; mostly texts and colours
# Without replacements that change nothing (`is` by `==`), or that nothing could miss (`+` by `@`).
COMPARE = (
    "Eq_NotEq NotEq_Eq Lt_LtE Lt_Gt LtE_Lt LtE_GtE Gt_GtE Gt_Lt GtE_Gt GtE_LtE Is_IsNot IsNot_Is"
)
ARITHMETIC = (
    "Add_Sub Sub_Add Mul_Div Mul_Add FloorDiv_Mul Pow_Mul Mod_FloorDiv BitOr_BitAnd BitAnd_BitOr"
)
FAMILIES = {
    "number": ["NumberReplacer"],
    "compare": [f"ReplaceComparisonOperator_{pair}" for pair in COMPARE.split()],
    "arithmetic": [f"ReplaceBinaryOperator_{pair}" for pair in ARITHMETIC.split()],
    "logic": ["ReplaceAndWithOr", "ReplaceOrWithAnd", "AddNot", "ReplaceUnaryOperator_Delete_Not"],
    "constant": ["ReplaceTrueWithFalse", "ReplaceFalseWithTrue"],
    "sign": ["ReplaceUnaryOperator_USub_UAdd"],
    "loop": ["ZeroIterationForLoop", "ReplaceBreakWithContinue", "ReplaceContinueWithBreak"],
    "except": ["ExceptionReplacer"],
}


def make(tree: Path, path: Path, seed: int) -> None:
    """Make faults from a checkout, and write them to a file, in an order drawn by chance."""
    draw = random.Random(seed)
    faults = [
        fault for part, number in PARTS.items() for fault in islice(_made(tree, part, draw), number)
    ]
    draw.shuffle(faults)
    records = [{k: v for k, v in asdict(fault).items() if v} for fault in faults]
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def _made(tree: Path, part: str, draw: random.Random) -> Iterator[Fault]:
    """Yield faults of one part: one a line, the lines drawn evenly, and then the kind of fault."""
    home = tree / "src" / "manyfit"
    files = [file for pattern in part.split() for file in sorted(home.glob(pattern))]
    names = {file: str(file.relative_to(home)) for file in files}
    lines = [
        (file, line, families)
        for file in files
        if not any(fnmatch(names[file], pattern) for pattern in LEFT_OUT)
        for line, families in _by_line(file.read_text(encoding="utf-8")).items()
    ]
    draw.shuffle(lines)
    for file, line, families in lines:
        operator, occurrence = draw.choice(families[draw.choice(sorted(families))])
        source = file.read_text(encoding="utf-8")
        changed = mutate_code(source, get_operator(f"core/{operator}")(), occurrence)
        before, after = source.splitlines(), changed.splitlines()
        if len(before) == len(after) and _compiles(changed):
            old, new = before[line - 1], after[line - 1]
            name = f"{names[file].removesuffix('.py')}:{line}:{operator}"
            scope, path = scopes_of(source)[line], f"src/manyfit/{names[file]}"
            yield Fault(name, path, line, scope, operator, old, new)


def _by_line(source: str) -> dict[int, dict[str, list[tuple[str, int]]]]:
    """Return what can be done on each line, by family: operators and their occurrences."""
    is_run, nodes = _run(source), list(ast_nodes(get_ast(source)))
    found: dict[int, dict[str, list[tuple[str, int]]]] = defaultdict(lambda: defaultdict(list))
    for family, names in FAMILIES.items():
        for name in names:
            operator = get_operator(f"core/{name}")()
            places = (place for node in nodes for place in operator.mutation_positions(node))
            for occurrence, (begin, _) in enumerate(places):
                if is_run(*begin):
                    found[begin[0]][family].append((name, occurrence))
    return found


def _compiles(source: str) -> bool:
    try:
        compile(source, "changed", "exec", dont_inherit=True)
    except (SyntaxError, SyntaxWarning):
        return False
    return True


def _run(source: str) -> Callable[[int, int], bool]:
    """Return what says whether a place runs when a test calls something, and is no text."""
    within = scopes_of(source)
    without = [node for parent in ast.walk(ast.parse(source)) for node in _not_run(parent)]
    spans = [((n.lineno, n.col_offset), (n.end_lineno, n.end_col_offset)) for n in without]
    return lambda *place: place[0] in within and not any(a <= place < b for a, b in spans)


def _not_run(node: ast.AST) -> list[ast.AST]:
    """Return what does nothing in the run of a function: texts, types, and its own first lines."""
    match node:
        case ast.JoinedStr():
            return [node]
        case ast.FunctionDef(args=args, returns=returns, decorator_list=decorators):
            first = [*decorators, *args.defaults, *args.kw_defaults, returns]
            return [each for each in first if each is not None]
        case (
            ast.arg(annotation=ast.expr() as part)
            | ast.AnnAssign(annotation=part)
            | ast.keyword(arg="strict", value=part)
            | ast.Raise(exc=ast.expr() as part)
            | ast.Call(func=ast.Name("isinstance" | "issubclass"), args=[_, part])
            | ast.Call(func=ast.Name("cast"), args=[part, _])
        ):
            return [part]
    return []
