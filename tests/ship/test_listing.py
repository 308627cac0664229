"""What an objective needs is found from it, or told by ship=."""

import functools
import subprocess
import sys
import types

import numpy as np
import pytest

from manyfit.errors import ArgumentError
from manyfit.ship.listing import shipping_list


def script(source, name="objective"):
    """Run a source as a script is run, and return what it defines."""
    module = types.ModuleType("__main__")
    exec(source, module.__dict__)
    return vars(module)[name]


@pytest.fixture
def shop(project):
    """A package with a bit of everything."""
    project.add("shop/__init__.py", "from shop import names")
    project.add("shop/names.py")
    project.add("shop/models/__init__.py", "from . import linear")
    project.add("shop/models/linear.py", "from ..data import read\nimport yaml\nKNOWN = 3")
    project.add("shop/data.py", "def read():\n    import rich\n    from .extra import more")
    project.add("shop/extra.py", "try:\n    import psutil\nexcept ImportError:\n    psutil = None")
    project.add("shop/unused.py", "import optuna")
    return project


SHOP = ["shop", "shop.data", "shop.extra", "shop.models", "shop.models.linear", "shop.names"]


@pytest.mark.parametrize(
    "source",
    [
        "import shop.models.linear\ndef objective(p): return shop.models.linear.KNOWN",
        "from shop.models import linear\nobjective = lambda p: linear.KNOWN",
        "def objective(p):\n    from shop.models import linear",
        "def objective(p):\n    import shop.models as m",
        "def helper():\n    import shop.models.linear\ndef objective(p): helper()",
        "class T:\n    def run(self):\n        import shop.models\nobjective = T().run",
        (
            "class T:\n    @property\n    def x(self):\n        import shop.models\n"
            "    def __call__(self, p): return self.x\nobjective = T()"
        ),
        (
            "class T:\n    @staticmethod\n    def x():\n        import shop.models\n"
            "def objective(p): T.x()"
        ),
        "import shop.models\ndef objective(p, *, m=shop.models): pass",
        "import functools, shop.models\nobjective = functools.partial(print, shop.models)",
        "import shop.models\ndef make(m):\n    return lambda p: m\nobjective = make(shop.models)",
        "import shop.models\ndef objective(p): pass\nobjective.settings = {'a': [shop.models]}",
        "import functools\n@functools.lru_cache\ndef objective(p):\n    import shop.models",
        "def wrap(f):\n    return lambda p: f(p)\n@wrap\ndef objective(p):\n    import shop.models",
    ],
)
def test_the_project_is_found(shop, source):
    """From every kind of objective, by every kind of reference, all that it imports is found."""
    assert list(shipping_list(script(source)).modules) == SHOP


def test_only_what_is_reached_is_listed(shop):
    """Packages are those reached, with versions; a doubtful one is told from a sure one."""
    listing = shipping_list(script("def objective(p):\n    import shop.models"))
    assert set(listing.packages) == {"PyYAML", "rich", "psutil"}
    assert listing.packages["rich"] == __import__("importlib.metadata").metadata.version("rich")
    assert listing.imports == {"yaml": "PyYAML", "rich": "rich", "psutil": "psutil"}
    assert listing.perhaps == {"rich", "psutil"}


def test_an_import_in_a_function_that_the_objective_calls_is_sure(project):
    """Imports of the functions that it calls are needed; those of other functions perhaps."""
    project.add(
        "lab.py",
        """
        def train(params):
            return build()
        def build():
            import yaml
        def plot():
            import rich
        """,
    )
    import lab

    listing = shipping_list(lab.train)
    assert list(listing.modules) == ["lab"]
    assert set(listing.packages) == {"PyYAML", "rich"}
    assert listing.perhaps == {"rich"}


def test_a_class_brings_its_bases_and_an_object_its_class(project):
    """An object of a project's class, deriving from another module's, needs both."""
    project.add("base.py", "class Base:\n    pass")
    project.add("middle.py", "import base\nclass Middle(base.Base):\n    pass")
    source = "import middle\nclass Mine(middle.Middle):\n    __call__ = print\nobjective = Mine()"
    assert list(shipping_list(script(source)).modules) == ["base", "middle"]


def test_an_object_of_a_library_is_looked_into(project):
    """A project's object inside of an installed package's one travels, so its module does."""
    project.add("steps.py", "class Step:\n    pass")
    source = "import rich.table, steps\nt = rich.table.Table()\nt.mine = steps.Step()\n"
    listing = shipping_list(script(source + "def objective(p): return t"))
    assert list(listing.modules) == ["steps"]
    assert "rich" in listing.packages


def test_a_librarys_decorator_is_followed_to_the_function(project):
    """A wrapper of an installed package hides nothing, and its package must be there."""
    project.add("mine.py")
    source = "import numpy\n@numpy.vectorize\ndef objective(p):\n    import mine"
    listing = shipping_list(script(source))
    assert (list(listing.modules), list(listing.packages)) == (["mine"], ["numpy"])


def test_circles_end(project):
    """Modules and objects that refer to each other are listed once."""
    project.add("one.py", "import two")
    project.add("two.py", "import one")
    source = "import one\nthings = [one]\nthings.append(things)\nobjective = lambda p: things"
    assert list(shipping_list(script(source)).modules) == ["one", "two"]


def test_a_broken_module_travels_unread(project):
    """A file that can't be parsed here is no reason to refuse the rest."""
    project.add("broken.py", "def (:")
    assert list(shipping_list(script("def objective(p):\n    import broken")).modules) == ["broken"]


def test_compiled_modules_are_told(project):
    """A compiled module of the project is named apart; one with a substitute is doubtful."""
    suffix = __import__("importlib.machinery").machinery.EXTENSION_SUFFIXES[0]
    fast = project.add(f"fast{suffix}")
    project.add(f"fancy{suffix}")
    project.add("mine.py", "import fast\ntry:\n    import fancy\nexcept ImportError:\n    pass")
    listing = shipping_list(script("def objective(p):\n    import mine"))
    assert list(listing.modules) == ["mine"]
    assert listing.compiled["fast"] == fast
    assert listing.perhaps == {"fancy"}
    assert "can't be sent" in str(listing)
    decided = shipping_list(script("def objective(p):\n    import mine"), ship=["mine"])
    assert (decided.compiled, decided.perhaps) == ({}, frozenset())


def test_a_notebook_with_no_project_sends_nothing():
    """What is defined in a script travels inside the objective."""
    listing = shipping_list(script("def objective(p): return p"))
    assert listing.travelling == {}
    assert str(listing) == "0 files to send to workers, 0.0 kB"


def test_the_list_is_to_be_read(shop):
    """Printed, it says what travels from where, and what must be there."""
    lines = str(shipping_list(script("def objective(p):\n    import shop.models"))).splitlines()
    assert lines[0].startswith("6 files to send to workers, 0.")
    assert f"  shop.names          {shop.folder / 'shop/names.py'}" in lines
    assert any(line.startswith("  PyYAML  6") for line in lines)


class TestShip:
    @pytest.fixture(autouse=True)
    def _folders(self, shop):
        shop.add("shop/conf/a.yaml", "a: 1")
        shop.add("shop/.secret", "s")
        shop.add("shop/__pycache__/names.pyc", "s")
        shop.add("conf/b.yaml")
        shop.add("conf/.git/config")
        shop.add("alone.py", "import optuna")

    def names(self, *ship):
        return list(shipping_list(len, ship=ship).travelling)

    def test_an_empty_one_sends_nothing(self):
        """The finding of modules is replaced, that of packages is not."""
        listing = shipping_list(script("def objective(p):\n    import shop.models"), ship=())
        assert listing.travelling == {}
        assert "PyYAML" in listing.packages

    def test_a_package_travels_whole(self):
        """By its name: with data and modules nobody imports, without what is hidden."""
        names = self.names("shop")
        assert "shop/conf/a.yaml" in names
        assert "shop/unused.py" in names
        assert not any("secret" in name or "pyc" in name for name in names)

    def test_a_part_of_a_package_brings_the_way_to_it(self):
        """A subpackage can be imported where it arrives."""
        assert self.names("shop.models") == [
            "shop/__init__.py", "shop/models/__init__.py", "shop/models/linear.py",
        ]  # fmt: skip
        assert self.names("shop.data") == ["shop/__init__.py", "shop/data.py"]

    def test_a_module_itself(self):
        """A module object does what its name does."""
        import shop.data

        assert self.names(shop.data) == self.names("shop.data")
        assert self.names("alone") == ["alone.py"]

    def test_paths_keep_their_place(self, shop):
        """Paths are kept from where imports start, so that files find each other."""
        folder = shop.folder
        assert self.names(folder / "conf") == ["conf/b.yaml"]
        assert self.names(str(folder / "conf" / "b.yaml")) == ["conf/b.yaml"]
        assert self.names(folder / "shop" / "conf" / "a.yaml") == ["shop/conf/a.yaml"]
        assert self.names(folder / "conf" / ".." / "alone.py") == ["alone.py"]
        assert "shop/data.py" in self.names(folder)

    def test_a_relative_path(self, shop, monkeypatch):
        """Paths are relative to the current folder."""
        monkeypatch.chdir(shop.folder / "conf")
        assert self.names("b.yaml") == ["conf/b.yaml"]

    def test_paths_from_elsewhere(self, tmp_path):
        """From outside of the path, a file travels by its name and a folder as itself."""
        (tmp_path / "other" / "deep").mkdir(parents=True)
        (tmp_path / "other" / "deep" / "c.json").touch()
        assert self.names(tmp_path / "other") == ["other/deep/c.json"]
        assert self.names(tmp_path / "other" / "deep" / "c.json") == ["c.json"]

    def test_modules_and_files_are_told_apart(self, shop):
        """A folder's modules are listed by name, its other files by path."""
        listing = shipping_list(len, ship=[shop.folder / "shop"])
        assert "shop.models.linear" in listing.modules
        assert list(listing.files) == ["shop/conf/a.yaml"]

    def test_what_shipped_modules_need_is_listed(self):
        """A module that only ship= names tells its packages, too."""
        listing = shipping_list(len, ship=["alone", "shop.data"])
        assert list(listing.packages) == ["optuna", "psutil", "rich"]
        assert listing.perhaps == {"psutil", "rich"}

    @pytest.mark.parametrize(
        "entry", ["no_such_thing", "no/such/file", "shop.nothing", 5, None], ids=repr
    )
    def test_what_does_not_exist_is_refused(self, entry):
        """A slip in ship= is found before anything runs, and is quoted."""
        with pytest.raises(ArgumentError, match=repr(entry)):
            self.names("alone", entry)

    @pytest.mark.parametrize("ship", ["shop", types.ModuleType("shop"), 5], ids=type)
    def test_a_single_thing_is_refused(self, ship):
        """A forgotten pair of brackets is no list of letters."""
        with pytest.raises(ArgumentError, match="must be a list"):
            shipping_list(len, ship=ship)

    def test_two_files_of_one_name(self, tmp_path):
        """Files that would overwrite each other are refused."""
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "same.yaml").touch()
        with pytest.raises(ArgumentError, match=r"one/same\.yaml and .*two/same\.yaml"):
            self.names(tmp_path / "one" / "same.yaml", tmp_path / "two" / "same.yaml")

    def test_data_is_not_code(self, shop):
        """More than 50 MB is refused, naming the largest files and the ways for data."""
        with (shop.folder / "conf" / "large.npy").open("wb") as file:
            file.truncate(60_000_000)
        with pytest.raises(ArgumentError, match=r"conf/large\.npy \(60 MB\).*manyfit\.share"):
            self.names(shop.folder)


@pytest.mark.parametrize("objective", [len, functools.partial(np.add, 1), "text", None, Ellipsis])
def test_any_object_can_be_asked(objective):
    """Built-in functions, or what is no objective at all, need nothing of the project."""
    assert shipping_list(objective).travelling == {}


def test_objects_that_raise_are_passed_over(project):
    """An object that can't be looked into is no reason to fail."""
    project.add("mine.py")

    class Lazy:
        @property
        def __dict__(self):
            raise RuntimeError("not ready")

    source = "import mine\ndef objective(p): return lazy, mine"
    objective = script(source)
    objective.__globals__["lazy"] = Lazy()
    assert "mine" in shipping_list(objective).modules


@pytest.mark.integration
@pytest.mark.parametrize("how", [["train.py"], ["-m", "jobs.train"]], ids=" ".join)
def test_a_script_lists_its_neighbours(project, how):
    """Run as a file or with -m, a script is not listed, and what it imports is, unrun."""
    project.add("jobs/__init__.py")
    text = """
        from manyfit.ship.listing import shipping_list
        def objective(params):
            {}
        if __name__ == "__main__":
            print(*shipping_list(objective).modules)
        """
    project.add("classifier.py", "raise SystemExit(3)")
    project.add("train.py", text.format("from classifier import fit"))
    project.add("jobs/train.py", text.format("from . import util"))
    project.add("jobs/util.py", "raise SystemExit(3)")
    done = subprocess.run(
        [sys.executable, *how], cwd=project.folder, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == (["classifier"] if len(how) == 1 else ["jobs", "jobs.util"])
