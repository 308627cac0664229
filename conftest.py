"""Pytest settings for the examples in src and for tests."""

import pytest

import manyfit

pytest.register_assert_rewrite("manyfit.testing")


@pytest.fixture(autouse=True)
def _public_names_in_examples(doctest_namespace):
    """Docstrings' examples may use the public names without importing them."""
    doctest_namespace.update({name: getattr(manyfit, name) for name in manyfit.__all__})
