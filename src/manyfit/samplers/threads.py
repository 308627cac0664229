"""Linear algebra on one thread: a sampler's matrices are small, and trials need the cores."""

from contextlib import AbstractContextManager
from functools import cache

from threadpoolctl import ThreadpoolController


def one_thread() -> AbstractContextManager[object]:
    """Return a context in which the BLAS of NumPy and SciPy uses only the calling thread.

    While trials keep all cores busy, BLAS threads wait for one another, and a proposal takes a
    hundred times as long. NumPy and SciPy must have been imported.

    Example:
        >>> with one_thread():
        ...     pass
    """
    limited: AbstractContextManager[object] = _pools().limit(limits=1, user_api="blas")
    return limited


@cache
def _pools() -> ThreadpoolController:
    return ThreadpoolController()  # inspects the loaded libraries, which takes milliseconds
