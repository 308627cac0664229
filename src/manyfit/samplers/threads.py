"""One thread for linear algebra: a sampler's matrices are small, and the cores belong to trials."""

from contextlib import AbstractContextManager
from functools import cache

from threadpoolctl import ThreadpoolController


def one_thread() -> AbstractContextManager[object]:
    """Return a context in which NumPy's and SciPy's BLAS use this thread alone.

    Where trials keep all cores busy, more threads would wait for one another, and a proposal take a
    hundred times as long. NumPy and SciPy must have been imported.

    Example:
        >>> with one_thread():
        ...     pass
    """
    limited: AbstractContextManager[object] = _pools().limit(limits=1, user_api="blas")
    return limited


@cache
def _pools() -> ThreadpoolController:
    return ThreadpoolController()  # looks through the loaded libraries: milliseconds
