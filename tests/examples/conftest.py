"""Puts the examples where they can be imported, and finds the real tables."""

import logging
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "examples"))


@pytest.fixture(autouse=True)
def calm():
    """Keep py4j from telling of each of its connections."""
    logging.getLogger("py4j").setLevel(logging.ERROR)


def real(name):
    import tables

    if not (tables.FOLDER / name).exists():
        pytest.skip(f"no {name}: set MANYFIT_DATA to a folder that has it")


@pytest.fixture(scope="session")
def credit():
    """The credit table."""
    real("credit_data.csv.gz")
    from tables import credit

    return credit()


@pytest.fixture(scope="session")
def ames():
    """The table of houses."""
    real("ames.csv.gz")
    from tables import ames

    return ames()


@pytest.fixture(scope="session")
def m4():
    """The hourly series: those before the hours to be forecast, and these."""
    real("m4_hourly_train.csv.gz")
    import m4_hourly

    return m4_hourly.read(m4_hourly.FOLDER)


@pytest.fixture
def quiet(tmp_path):
    """What a study is told to write nowhere but here."""
    return {"tracker": None, "progress": None, "folder": tmp_path}
