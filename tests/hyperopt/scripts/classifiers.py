"""A conditional space: a classifier, and the parameters of that one."""

import numpy as np
from hyperopt import STATUS_OK, Trials, fmin, hp, space_eval, tpe
from sklearn.datasets import load_iris
from sklearn.model_selection import cross_val_score
from sklearn.naive_bayes import BernoulliNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

X, y = load_iris(return_X_y=True)


def hyperopt_train_test(params):
    t = params["type"]
    del params["type"]
    if t == "naive_bayes":
        clf = BernoulliNB(**params)
    elif t == "svm":
        kernel = params.pop("kernel")
        clf = SVC(kernel=kernel["ktype"], **params, **kernel.get("more", {}))
    else:
        clf = KNeighborsClassifier(**params)
    return cross_val_score(clf, X, y, cv=3).mean()


space = hp.choice(
    "classifier_type",
    [
        {"type": "naive_bayes", "alpha": hp.uniform("alpha", 0.0, 2.0)},
        {
            "type": "svm",
            "C": hp.lognormal("C", 0, 1.0),
            "kernel": hp.choice(
                "kernel",
                [
                    {"ktype": "linear"},
                    {"ktype": "rbf", "more": {"gamma": hp.lognormal("gamma", -1, 1)}},
                ],
            ),
        },
        {"type": "knn", "n_neighbors": hp.choice("knn_n_neighbors", range(1, 20))},
    ],
)


def f(params):
    return {"loss": -hyperopt_train_test(dict(params)), "status": STATUS_OK}


trials = Trials()
best = fmin(
    f, space, algo=tpe.suggest, max_evals=15, trials=trials, rstate=np.random.default_rng(1)
)
print("best:", best, space_eval(space, best))

assert best["classifier_type"] in (0, 1, 2)
assert space_eval(space, best)["type"] == ["naive_bayes", "svm", "knn"][best["classifier_type"]]
assert ("C" in best) == (best["classifier_type"] == 1) == ("kernel" in best)
assert set(trials.vals) == {"classifier_type", "alpha", "C", "kernel", "gamma", "knn_n_neighbors"}
assert min(trials.losses()) < -0.9
for trial in trials.trials:
    values = trial["misc"]["vals"]
    assert bool(values["gamma"]) == (values["kernel"] == [1])
    assert trial["misc"]["idxs"]["alpha"] == ([trial["tid"]] if values["alpha"] else [])
