"""Modules are found without being imported, and sorted by whose they are."""

import sys
import types

import pytest

from manyfit.ship.places import Home, Places


@pytest.mark.parametrize(
    ("name", "home", "distribution"),
    [
        ("json.decoder", Home.EVERYWHERE, None),
        ("os.path", Home.EVERYWHERE, None),
        ("_ctypes", Home.EVERYWHERE, None),
        ("manyfit.space", Home.EVERYWHERE, None),
        ("pyspark.sql", Home.EVERYWHERE, None),
        ("numpy.linalg", Home.INSTALLED, "numpy"),
        ("yaml", Home.INSTALLED, "PyYAML"),
        ("google.protobuf", Home.INSTALLED, "protobuf"),
    ],
)
def test_whose_a_module_is(name, home, distribution):
    """The standard library, Manyfit and Spark are everywhere; packages know their distribution."""
    place = Places().find(name)
    assert (place.home, place.distribution) == (home, distribution)


@pytest.mark.parametrize("name", ["sys", "__main__", "no_such_module", "numpy.no_such", "google"])
def test_what_has_no_file(name):
    """Built-in modules, scripts, namespaces and names of nothing are at no place."""
    assert Places().find(name) is None


def test_nothing_is_imported(project):
    """Looking for a module runs no code of it, nor of the packages it is in."""
    project.add("pkg/__init__.py", "raise SystemExit")
    file = project.add("pkg/sub/__init__.py", "raise SystemExit")
    assert Places().find("pkg.sub").file == file
    assert "pkg" not in sys.modules


def test_namespaces_within_namespaces(project):
    """Packages without an __init__.py are searched like others."""
    file = project.add("space_a/space_b/leaf.py")
    assert Places().find("space_a.space_b.leaf").file == file
    assert Places().find("space_a.space_b") is None


def test_an_imported_module_is_where_it_came_from(project, tmp_path, monkeypatch):
    """What was loaded by hand from elsewhere counts, not what the path would bring."""
    project.add("twice.py")
    (tmp_path / "twice.py").touch()
    module = types.ModuleType("twice")
    module.__file__ = str(tmp_path / "twice.py")
    monkeypatch.setitem(sys.modules, "twice", module)
    assert Places().find("twice").file == tmp_path / "twice.py"


def test_a_project_may_shadow_the_standard_library(project):
    """A file decides whose a module is, not its name."""
    project.add("graphlib.py")
    sys.modules.pop("graphlib", None)
    assert Places().find("graphlib").home is Home.PROJECT


def test_what_was_installed_into_any_folder_is_installed(project):
    """A folder filled by `pip install --target` is recognised by the records in it."""
    project.add("elsewhere.py")
    project.add("elsewhere_dist-1.5.dist-info/METADATA", "Name: elsewhere-dist\nVersion: 1.5\n")
    project.add("elsewhere_dist-1.5.dist-info/RECORD", "elsewhere.py,,\n")
    project.add("elsewhere_dist-1.5.dist-info/top_level.txt", "elsewhere\n")
    place = Places().find("elsewhere")
    assert (place.home, place.distribution) == (Home.INSTALLED, "elsewhere-dist")


def test_an_editable_install_is_the_projects(project):
    """A package whose record doesn't hold its source is being worked on."""
    project.add("edited/__init__.py")
    project.add("edited-1.dist-info/METADATA", "Name: edited\nVersion: 1\n")
    project.add("edited-1.dist-info/RECORD", "edited-1.dist-info/METADATA,,\n")
    project.add("edited-1.dist-info/top_level.txt", "edited\n")
    assert Places().find("edited").home is Home.PROJECT


def test_a_module_in_a_zip_is_on_workers(project, monkeypatch):
    """Zip files on the path come from --py-files, which workers get too."""
    import zipfile

    with zipfile.ZipFile(project.folder / "lib.zip", "w") as archive:
        archive.writestr("zipped.py", "")
    monkeypatch.syspath_prepend(project.folder / "lib.zip")
    assert Places().find("zipped").home is Home.EVERYWHERE
