"""The space of a boosted model, as in many notebooks: rounded numbers, scope.int, np.arange."""

import numpy as np
from hyperopt import STATUS_OK, Trials, fmin, hp, space_eval, tpe
from hyperopt.pyll.base import scope
from sklearn.datasets import load_diabetes
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import train_test_split

X, y = load_diabetes(return_X_y=True)
X_train, X_val, y_train, y_val = train_test_split(X, y, random_state=0)

space = {
    "n_estimators": hp.quniform("n_estimators", 10, 60, 10),
    "learning_rate": hp.quniform("learning_rate", 0.025, 0.5, 0.025),
    "max_depth": hp.choice("max_depth", np.arange(1, 6, dtype=int)),
    "min_samples_leaf": scope.int(hp.quniform("min_samples_leaf", 1, 10, 1)),
    "subsample": hp.uniform("subsample", 0.5, 1),
    "max_features": 1.0 - 0.1 * hp.randint("left_out", 5),
    "random_state": 0,
}


def score(params):
    n_estimators = int(params["n_estimators"])
    del params["n_estimators"]
    assert isinstance(params["min_samples_leaf"], int)
    model = GradientBoostingRegressor(n_estimators=n_estimators, **params)
    model.fit(X_train, y_train)
    loss = mean_squared_error(y_val, model.predict(X_val))
    return {"loss": loss, "status": STATUS_OK}


trials = Trials()
best = fmin(
    score, space, algo=tpe.suggest, max_evals=10, trials=trials, rstate=np.random.default_rng(0)
)
best_params = space_eval(space, best)

assert isinstance(best["n_estimators"], float)
assert best["n_estimators"] % 10 == 0
assert best_params["max_depth"] == best["max_depth"] + 1
assert isinstance(best_params["min_samples_leaf"], int)
assert best_params["random_state"] == 0
assert np.isclose(best_params["max_features"], 1 - 0.1 * best["left_out"])
again = score(space_eval(space, best))["loss"]
assert np.isclose(again, trials.best_trial["result"]["loss"])
