"""Data files travel with the packages that they lie in."""

import pytest

from manyfit.ship.beside import MOST_BYTES, data_beside
from manyfit.ship.listing import shipping_list


@pytest.fixture
def shop(project):
    """A package with a package in it, a folder of data, and what is no data."""
    project.add("shop/__init__.py", "from shop import models")
    project.add("shop/w.json", "{}")
    project.add("shop/data/deep/rates.csv")
    project.add("shop/data/script.py")
    project.add("shop/__pycache__/w.json")
    project.add("shop/.env")
    project.add("shop/core.cpython-311-x86_64-linux-gnu.so")
    project.add("shop/models/__init__.py")
    project.add("shop/models/default.yaml")
    project.add("shop/unused/__init__.py")
    project.add("shop/unused/huge.bin")
    project.add("beside.csv")
    return project


def objective(params):
    """Load the package."""
    import shop  # noqa: F401


def test_data_of_a_package_travels(shop):
    """What lies in it and in its folders; not code, what is hidden, or what nobody imports."""
    listing = shipping_list(objective)
    expected = ["shop/data/deep/rates.csv", "shop/models/default.yaml", "shop/w.json"]
    assert list(listing.files) == expected
    assert listing.left == {}
    assert set(listing.files) < set(listing.travelling)


def test_a_package_without_an_init(project):
    """It is known by its modules."""
    module = project.add("bare/module.py")
    data = project.add("bare/w.json")
    assert data_beside({"bare.module": module}) == ({"bare/w.json": data}, {})


def test_a_module_in_no_package(project):
    """What lies beside it may be anything, and stays."""
    module = project.add("module.py")
    project.add("w.json")
    assert data_beside({"module": module}) == ({}, {})


def test_too_much_data_stays(shop):
    """All of a package's, and the list says so; that of others travels."""
    with shop.add("shop/huge.bin").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    listing = shipping_list(objective)
    assert list(listing.files) == ["shop/models/default.yaml"]
    assert list(listing.left) == ["shop"]
    assert "data that stays here unless ship= names the package:\n  shop" in str(listing)


def test_ship_decides(shop):
    """Nothing is added to what is asked for."""
    assert list(shipping_list(objective, ship=[shop.folder / "shop/w.json"]).files) == [
        "shop/w.json"
    ]
