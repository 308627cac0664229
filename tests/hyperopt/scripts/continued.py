"""Trials that are pickled, loaded again and continued; and the file that fmin itself keeps."""

import os
import pickle
import tempfile

import numpy as np
from hyperopt import STATUS_OK, Trials, fmin, hp, tpe

space = {"x": hp.uniform("x", -5, 5), "size": hp.choice("size", ["small", "large"])}
folder = tempfile.mkdtemp()


def objective(params):
    return {"loss": params["x"] ** 2 + (params["size"] == "small"), "status": STATUS_OK}


def run_trials(step=5):
    path = os.path.join(folder, "my_model.hyperopt")
    try:
        with open(path, "rb") as file:
            trials = pickle.load(file)
    except FileNotFoundError:
        trials = Trials()
    max_trials = len(trials.trials) + step
    best = fmin(
        objective, space, tpe.suggest, max_trials, trials=trials, rstate=np.random.default_rng(0)
    )
    with open(path, "wb") as file:
        pickle.dump(trials, file)
    return trials, best


sizes = []
for _ in range(3):
    trials, best = run_trials()
    sizes.append(len(trials.trials))
assert sizes == [5, 10, 15]
assert trials.tids == list(range(15))

saved = os.path.join(folder, "trials.pkl")
for max_evals in (4, 6):
    fmin(objective, space, tpe.suggest, max_evals, trials_save_file=saved, verbose=False)
    with open(saved, "rb") as file:
        assert len(pickle.load(file)) == max_evals
os.remove(saved)
os.remove(os.path.join(folder, "my_model.hyperopt"))
os.rmdir(folder)
