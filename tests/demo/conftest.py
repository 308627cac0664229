"""Puts the demo where it can be imported, as running it does, and finds the real images."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def jax_that_compiles_soon(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment: as quick as it gets, and never the same twice."""
    return {
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("jax")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


@pytest.fixture(scope="session")
def fashion() -> Path:
    """A folder with the official files of Fashion-MNIST."""
    places = [os.environ.get("MANYFIT_DATA"), ROOT.parent / "shared" / "fashion-mnist"]
    for place in places:
        if place is not None and Path(place, "train-images-idx3-ubyte.gz").exists():
            return Path(place)
    pytest.skip("no files of Fashion-MNIST: set MANYFIT_DATA to a folder that has them")
