"""Points to evaluate first, a seed in the environment, and a point as the result."""

import os

import numpy as np
from hyperopt import fmin, hp, tpe
from hyperopt.fmin import generate_trials_to_calculate

space = {"x": hp.uniform("x", 0, 10), "kind": hp.choice("kind", ["a", "b", "c"])}
points = [{"x": 1.0, "kind": 2}, {"x": 9.5, "kind": 0}]
seen = []


def objective(params):
    seen.append((params["x"], params["kind"]))
    return params["x"]


def search(**options):
    seen.clear()
    return fmin(objective, space, algo=tpe.suggest, max_evals=8, verbose=False, **options)


search(points_to_evaluate=points)
assert seen[:2] == [(1.0, "c"), (9.5, "a")]
assert len(seen) == 10

trials = generate_trials_to_calculate(points)
best = search(trials=trials)
assert seen[:2] == [(1.0, "c"), (9.5, "a")]
assert trials.losses()[:2] == [1.0, 9.5]
assert best["x"] <= 1.0

os.environ["HYPEROPT_FMIN_SEED"] = "7"
search()
first = list(seen)
search()
assert seen == first
search(rstate=np.random.default_rng(8))
assert seen != first
del os.environ["HYPEROPT_FMIN_SEED"]

point = search(return_argmin=False)
assert set(point) == {"x", "kind"}
assert point["kind"] in ("a", "b", "c")
