"""Random search: `algo=rand.suggest`."""

from manyfit.hyperopt.algorithms import Algorithm

__all__ = ["suggest"]

# Each trial is drawn by the laws of the space. No point is tried twice.
suggest = Algorithm("rand.suggest", lambda *_: "random")
