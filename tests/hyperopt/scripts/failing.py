"""Objectives that fail: by their status, by NaN, or by an exception."""

import math

import numpy as np
from hyperopt import JOB_STATE_ERROR, STATUS_FAIL, STATUS_OK, Trials, fmin, hp, rand

space = hp.uniform("x", -1, 1)


def some_fail(x):
    if x < -0.5:
        return {"status": STATUS_FAIL, "why": "too small"}
    return {"status": STATUS_OK, "loss": math.nan if x > 0.5 else abs(x)}


trials = Trials()
best = fmin(
    some_fail,
    space,
    rand.suggest,
    30,
    trials=trials,
    rstate=np.random.default_rng(3),
    verbose=False,
)
failed = [result for result in trials.results if result["status"] == STATUS_FAIL]
assert len(trials) == 30
assert failed
assert all(result["why"] == "too small" for result in failed)
assert any(loss is not None and math.isnan(loss) for loss in trials.losses())
assert -0.5 <= best["x"] <= 0.5


def some_raise(x):
    if x < 0:
        raise ValueError("negative")
    return x


trials = Trials()
fmin(
    some_raise,
    space,
    rand.suggest,
    20,
    trials=trials,
    rstate=np.random.default_rng(3),
    catch_eval_exceptions=True,
    verbose=False,
)
raised = trials.count_by_state_unsynced(JOB_STATE_ERROR)
assert raised
assert len(trials) + raised == 20

trials = Trials()
try:
    fmin(some_raise, space, rand.suggest, 20, trials=trials, rstate=np.random.default_rng(3))
except ValueError as error:
    assert str(error) == "negative"
else:
    raise AssertionError("it should have raised")
assert len(trials) < 20
