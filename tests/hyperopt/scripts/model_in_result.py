"""A class that tunes: its method is the objective, and the best model comes out of the trials."""

from functools import partial

import numpy as np
from hyperopt import STATUS_OK, Trials, fmin, hp, rand, tpe
from hyperopt.pyll.stochastic import sample
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler


class Tuner:
    def __init__(self, space, data):
        self.space = space
        self.X_train, self.X_test, self.y_train, self.y_test = data
        self.iteration = 0

    def objective(self, params):
        self.iteration += 1
        model = make_pipeline(params["scaler"], LogisticRegression(C=params["C"]))
        model.fit(self.X_train, self.y_train)
        loss = 1 - model.score(self.X_test, self.y_test)
        return {"loss": loss, "status": STATUS_OK, "model": model, "iteration": self.iteration}

    def tune(self, n_iter):
        trials = Trials()
        algo = partial(tpe.suggest, n_startup_jobs=5, n_EI_candidates=10)
        best = fmin(self.objective, self.space, algo=algo, max_evals=n_iter, trials=trials)
        return best, trials


space = {
    "scaler": hp.choice("scaler", [StandardScaler(), MinMaxScaler()]),
    "C": hp.loguniform("C", np.log(1e-3), np.log(1e2)),
}
print(sample(space))
X, y = load_wine(return_X_y=True)
tuner = Tuner(space, train_test_split(X, y, random_state=0))
best, trials = tuner.tune(8)
model = trials.best_trial["result"]["model"]

assert tuner.iteration == 8
assert [result["iteration"] for result in trials.results] == list(range(1, 9))
assert 1 - model.score(tuner.X_test, tuner.y_test) == min(trials.losses())
assert 1e-3 <= best["C"] <= 1e2


def annotated(x: hp.uniform("x", -1, 1), n: hp.randint("n", 3)):
    return x**2 + n


best = fmin(annotated, space="annotated", algo=rand.suggest, max_evals=20, verbose=False)
assert set(best) == {"x", "n"}
