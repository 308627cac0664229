"""Random points of a space."""

from typing import Any

import numpy as np

from manyfit.hyperopt.layout import Layout

__all__ = ["sample"]


def sample(expr: Any, rng: Any = None) -> Any:
    """Return what an objective would receive for a random point of a space.

    Args:
        expr: The space.
        rng: A NumPy generator, a `RandomState` or a seed; by default a new generator.

    Example:
        >>> from manyfit.hyperopt import hp
        >>> sample({"x": hp.uniformint("x", 3, 4)}, rng=0)["x"] in (3, 4)
        True
    """
    layout = Layout.of(expr)
    if isinstance(rng, np.random.RandomState):
        rng = rng.randint(2**31 - 1)
    return layout.materialize(layout.space.sample(np.random.default_rng(rng)))
