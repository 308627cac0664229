"""Four ways to end a search before max_evals."""

import time

import numpy as np
from hyperopt import Trials, fmin, hp, tpe
from hyperopt.early_stop import no_progress_loss

space = {"x": hp.uniform("x", -5, 5), "y": hp.uniform("y", -5, 5)}
options = {"algo": tpe.suggest, "rstate": np.random.default_rng(0), "verbose": False}

trials = Trials()
fmin(
    lambda p: 1.0, space, max_evals=50, trials=trials, early_stop_fn=no_progress_loss(7), **options
)
assert len(trials) == 7

trials = Trials()
fmin(lambda p: p["x"] ** 2, space, max_evals=200, trials=trials, loss_threshold=4.0, **options)
assert min(trials.losses()) < 4.0
assert len(trials) < 200

trials = Trials()
fmin(lambda p: time.sleep(0.1) or 0.5, space, timeout=0.5, trials=trials, **options)
assert 1 <= len(trials) <= 10


def every_third(trials, count=0):
    return count == 2, [count + 1]


trials = Trials()
fmin(lambda p: p["y"], space, max_evals=50, trials=trials, early_stop_fn=every_third, **options)
assert len(trials) == 3
