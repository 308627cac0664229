"""The rules of ARCHITECTURE.md, kept by parsing imports."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "manyfit"

# The tree, top to bottom: a module imports only from its own section or from above.
SECTIONS = (
    ("_version", "errors", "_optional", "_redact", "_held", "clock"),
    (
        "space",
        "domain",
        "choice",
        "_labels",
        "_tree",
        "metric",
        "trial",
        "events",
        "repeats",
        "budget",
    ),
    ("samplers", "pruners", "commands", "engine", "prefixes"),
    ("worker",),
    ("data", "ship"),
    ("executors", "journal", "trackers"),
    ("recorder", "driver", "result", "archive", "prior", "asking", "arguments", "study", "tuning"),
    ("cli", "groups", "optuna", "spark_ml", "testing"),
)
# The decisions and the worker stand beside each other: neither knows the other.
APART = (("worker", ("samplers", "pruners", "commands", "engine")),)
ADAPTERS = ("executors", "journal", "trackers")
HOMES = {
    "optuna": {"samplers/optuna.py", "optuna.py"},
    "plotly": {"groups/plots.py"},
    "mlflow": {"trackers/mlflow.py"},
    "rich": {"trackers/terminal.py", "trackers/terminal_groups.py", "cli.py"},
    "psutil": {"worker/limits.py"},
    "threadpoolctl": {"worker/limits.py", "samplers/threads.py"},
    "pandas": {"result.py"},
    "pyspark": {
        "executors/spark_session.py",
        "executors/spark_task.py",
        "groups/spark_population.py",
        "spark_ml/maps.py",
        "spark_ml/params.py",
        "spark_ml/recipe.py",
        "spark_ml/saving.py",
        "spark_ml/scores.py",
        "spark_ml/stages.py",
        "spark_ml/validated.py",
        "spark_ml/validator.py",
    },
}
LIMIT_LINES = 400
LIMIT_FUNCTION = 45


def modules():
    return sorted(SOURCE.rglob("*.py"))


def name_of(path):
    return path.relative_to(SOURCE).as_posix()


def section_of(part):
    for index, names in enumerate(SECTIONS):
        if part in names:
            return index
    raise AssertionError(f"{part} has no place in the tree: add it to SECTIONS")


def imports_of(path):
    """Every imported module at run time, with names appended for `from manyfit import x`."""
    tree = ast.parse(path.read_text())
    hidden = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module == "manyfit":
                yield from (f"manyfit.{alias.name}" for alias in node.names)
            else:
                yield node.module


def own_imports(path):
    for name in imports_of(path):
        if name.split(".")[0] == "manyfit":
            yield name.split(".")[1:]


@pytest.mark.parametrize("path", modules(), ids=name_of)
class TestEveryModule:
    def test_imports_only_upwards(self, path):
        """A module imports from its own section of the tree, or from above, never from below."""
        if name_of(path) == "__init__.py":
            return
        mine = section_of(path.relative_to(SOURCE).parts[0].removesuffix(".py"))
        below = [".".join(parts) for parts in own_imports(path) if section_of(parts[0]) > mine]

        assert below == []

    def test_adapters_do_not_know_each_other(self, path):
        """Executors, journals and trackers don't import one another, nor decisions the worker."""
        family = path.relative_to(SOURCE).parts[0]
        strangers = set(ADAPTERS) - {family} if family in ADAPTERS else set()
        for one, others in APART:
            strangers |= set(others) if family == one else {one} if family in others else set()
        met = [".".join(parts) for parts in own_imports(path) if parts[0] in strangers]

        assert met == []

    def test_third_party_packages_have_one_home(self, path):
        """Each heavy package is imported in the files named for it, and nowhere else."""
        used = {name.split(".")[0] for name in imports_of(path)}
        homeless = [pkg for pkg in used & HOMES.keys() if name_of(path) not in HOMES[pkg]]
        if name_of(path).startswith("testing/"):
            return

        assert homeless == []

    def test_is_one_thing(self, path):
        """No module or function outgrows the house's limits."""
        text = path.read_text()
        long = []
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                size = node.end_lineno - body[0].lineno + 1 if body else 0
                long += [f"{node.name}: {size} lines"] if size > LIMIT_FUNCTION else []

        assert long == []
        assert text.count("\n") <= LIMIT_LINES


def test_there_are_no_import_cycles():
    """Modules can be read in an order in which each knows only those before it."""
    graph = {
        name_of(path).removesuffix(".py").replace("/", ".").removesuffix(".__init__"): {
            ".".join(parts) for parts in own_imports(path)
        }
        for path in modules()
        if name_of(path) != "__init__.py"
    }
    remaining = {
        name: {dep for dep in deps if dep in graph} - {name} for name, deps in graph.items()
    }
    while free := [name for name, deps in remaining.items() if not deps]:
        remaining = {name: deps - set(free) for name, deps in remaining.items() if name not in free}

    assert remaining == {}


def test_nobody_imports_the_package_root_for_its_names():
    """Modules name what they need: importing the root from inside makes cycles."""
    public = ast.literal_eval(
        next(
            node.value
            for node in ast.parse((SOURCE / "__init__.py").read_text()).body
            if isinstance(node, ast.Assign)
        )
    )
    lazy = [
        f"{name_of(path)}: {'.'.join(parts)}"
        for path in modules()
        if name_of(path) != "__init__.py"
        for parts in own_imports(path)
        if parts and parts[0] in public
    ]

    assert lazy == []


def test_every_test_says_what_it_shows():
    """Each test's docstring states the behaviour, in one sentence."""
    silent = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]

    assert silent == []


def test_no_test_touches_another_modules_private_parts():
    """Tests use what users can use."""
    reaching = [
        f"{path.relative_to(ROOT)}:{node.lineno} .{node.attr}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
        and not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls", "os"))
    ]

    assert reaching == []
