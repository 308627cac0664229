"""A search that comes closer and closer to the best points so far: `algo=anneal.suggest`."""

from manyfit.hyperopt.algorithms import Algorithm

__all__ = ["suggest"]

# Manyfit's `nearby` sampler is of the same kind: it fills the space, then draws near the best.
suggest = Algorithm("anneal.suggest", lambda *_: "nearby")
