"""Before any trial, a worker that can't run them is told from one that can."""

from importlib.metadata import version
from pathlib import Path

import pytest

from manyfit.ship.facts import facts
from manyfit.ship.listing import ShippingList
from manyfit.ship.preflight import check

LISTING = ShippingList(
    packages={"numpy": version("numpy"), "rich": version("rich")},
    imports={"numpy": "numpy", "rich": "rich"},
    compiled={"fast": Path("/home/me/fast.so")},
    perhaps=frozenset({"fast"}),
)


def there(**differences):
    return {**facts(LISTING.imports), **differences}


def packages(**versions):
    return {"packages": {**facts(LISTING.imports)["packages"], **versions}}


def test_a_worker_like_the_driver_is_fine():
    """Where nothing differs, nothing is said."""
    findings = check(LISTING, there(), "node7")
    assert (findings.errors, findings.warnings) == ((), ())


@pytest.mark.parametrize(
    ("differences", "texts"),
    [
        ({"python": "3.2.9"}, ["node7 runs CPython 3.2.9 and the driver CPython 3."]),
        ({"implementation": "PyPy"}, ["node7 runs PyPy 3.", "PYSPARK_PYTHON"]),
        ({"manyfit": "99.1.0"}, ["node7 has Manyfit 99.1.0 and the driver", "Install manyfit=="]),
        (packages(numpy=None), [f"node7 lacks numpy {version('numpy')}", "%pip", "venv-pack"]),
        (packages(numpy=None, rich=None), [", rich "]),
    ],
)
def test_what_stops_trials_is_an_error(differences, texts):
    """Each error names the worker, both sides, and what to do."""
    findings = check(LISTING, there(**differences), "node7")
    assert len(findings.errors) == 1
    assert findings.warnings == ()
    assert all(text in findings.errors[0] for text in texts)


@pytest.mark.parametrize(
    ("differences", "text"),
    [
        ({"platform": "Darwin"}, "node7 runs Darwin on"),
        ({"machine": "arm9"}, "on arm9 and the driver Linux on"),
        (packages(numpy="0.1.5"), f"numpy 0.1.5 ({version('numpy')})"),
        ({"manyfit": facts({})["manyfit"] + ".post1"}, "node7 has Manyfit"),
    ],
)
def test_what_only_differs_is_a_warning(differences, text):
    """Other machines and versions are said, and let pass."""
    findings = check(LISTING, there(**differences), "node7")
    assert findings.errors == ()
    assert [text in warning for warning in findings.warnings] == [True]


def test_a_patch_is_no_difference():
    """Versions that differ in their third number count as the same."""
    patched = ".".join([*version("numpy").split(".")[:2], "99"])
    assert check(LISTING, there(**packages(numpy=patched)), "node7").warnings == ()


def test_a_package_that_may_not_be_needed_only_warns():
    """Where an import may never happen, a missing package stops nobody."""
    listing = ShippingList(LISTING.modules, {}, LISTING.packages, perhaps=frozenset({"rich"}))
    findings = check(listing, there(**packages(rich=None)), "node7")
    assert findings.errors == ()
    assert "node7 lacks rich" in findings.warnings[0]


def test_compiled_modules_are_errors_when_they_are_needed():
    """A compiled module of the project is named with its file and the way out."""
    listing = ShippingList(compiled=LISTING.compiled)
    (error,) = check(listing, there(), "node7").errors
    assert "fast is compiled (/home/me/fast.so)" in error
    assert "ship=" in error
