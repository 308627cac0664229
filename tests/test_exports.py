import subprocess
import sys

import manyfit


def test_all_is_sorted_and_complete():
    """`__all__` names every public name, once, in order."""
    public = {
        name
        for name, value in vars(manyfit).items()
        if not name.startswith("_") and not hasattr(value, "__path__") and not is_module(value)
    }

    assert manyfit.__all__ == sorted(manyfit.__all__)
    assert set(manyfit.__all__) == public | {"__version__"}


def is_module(value):
    return type(value).__name__ == "module"


def test_import_brings_nothing_heavy_along():
    """`import manyfit` loads none of the packages that take long to import."""
    heavy = ["optuna", "mlflow", "pandas", "scipy", "rich", "sklearn", "pyspark", "keras"]
    code = f"import sys, manyfit; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
