import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import manyfit

ROOT = ast.parse(Path(manyfit.__file__).read_text())


def imported_for_type_checkers():
    """Name and module of everything that static tools see in the package root."""
    block = next(n for n in ROOT.body if isinstance(n, ast.If) and "TYPE" in ast.unparse(n.test))
    return {alias.name: node.module for node in block.body for alias in node.names}


def test_all_is_sorted_and_is_what_type_checkers_see():
    """`__all__` names every public name, once, in order."""
    assert manyfit.__all__ == sorted(manyfit.__all__)
    assert set(manyfit.__all__) == {*imported_for_type_checkers(), "__version__"}
    assert dir(manyfit) == manyfit.__all__


@pytest.mark.parametrize(("name", "module"), imported_for_type_checkers().items())
def test_every_name_is_fetched_from_where_type_checkers_find_it(name, module):
    """What is loaded on first use is what static tools were told."""
    assert getattr(manyfit, name) is getattr(importlib.import_module(module), name)


def test_an_unknown_name_is_an_attribute_error():
    """A typo fails as in any other module."""
    with pytest.raises(AttributeError, match="no attribute 'tuna'"):
        manyfit.tuna  # noqa: B018


def test_import_brings_nothing_heavy_along():
    """`import manyfit` loads none of the packages that take long to import."""
    heavy = ["optuna", "mlflow", "pandas", "scipy", "rich", "sklearn", "pyspark", "keras"]
    code = f"import sys, manyfit; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_front_doors_open_by_attribute():
    """`manyfit.optuna` needs no import of its own."""
    code = "import manyfit; print(manyfit.optuna.GPSampler.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "GPSampler"
