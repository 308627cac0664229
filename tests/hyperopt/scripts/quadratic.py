"""The first example of most tutorials."""

import numpy as np
from hyperopt import fmin, hp, tpe

best = fmin(
    fn=lambda x: (x - 1) ** 2,
    space=hp.uniform("x", -10, 10),
    algo=tpe.suggest,
    max_evals=40,
    rstate=np.random.default_rng(42),
)
print(best)

assert list(best) == ["x"]
assert abs(best["x"] - 1) < 1
