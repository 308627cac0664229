import pytest

pytest.register_assert_rewrite("manyfit.testing")
