"""Compares what scikit-learn's searches find with a number of fits: regret on five real tasks.

Each task is a grid of 160 to 660 settings of one kind of model on 600 real rows. All are evaluated
beforehand by five-fold cross-validation, on 1/9, 1/3 and all of the training rows; the model that
is searched then looks its score up. So a search spends time on nothing but choosing, and its regret
is exact: the best mean score of the grid minus that of the settings it ends with, as a share of the
distance from the best to the median.

`HalvingRandomSearchCV` begins with 20 or 40 candidates, which makes 30 or 59 fits, most of them on
fewer rows. The others fit on all rows.

    python benchmarks/sklearn_search.py [--seeds 10] [--bayes 2] [--tables FOLDER]

The data is in `$MANYFIT_DATA`, by default `../shared/data`; the tables take a core some minutes.
The peers: pip install --no-deps optuna-integration==4.10.0 scikit-optimize==0.10.2 pyaml
"""

import argparse
import itertools
import os
import time
import warnings
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from folds import dataset
from sklearn.base import BaseEstimator, clone
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 - it makes the class importable
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics import get_scorer
from sklearn.model_selection import HalvingRandomSearchCV, KFold, RandomizedSearchCV
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from manyfit import Int
from manyfit.sklearn import SearchCV

ROWS, FOLDS, BUDGETS = 600, 5, (30, 60)
SHARES = (1 / 9, 1 / 3, 1.0)
CANDIDATES = {30: 20, 60: 40}  # of halving
# Data, model, and the values of each param.
TASKS: dict[str, tuple[str, Any, dict[str, list[Any]]]] = {
    "svm": (
        "phoneme",
        SVC(),
        {"C": np.geomspace(0.03, 500, 15).tolist(), "gamma": np.geomspace(2e-3, 32, 15).tolist()},
    ),
    "kernel": (
        "ames",
        KernelRidge(kernel="rbf"),
        {
            "alpha": np.geomspace(1e-4, 10, 15).tolist(),
            "gamma": np.geomspace(1e-5, 0.1, 15).tolist(),
        },
    ),
    "tree": (
        "credit",
        DecisionTreeClassifier(random_state=0),
        {
            "max_depth": list(range(1, 13)),
            "min_samples_leaf": np.unique(np.geomspace(1, 80, 12).astype(int)).tolist(),
            "max_features": [0.1, 0.3, 0.5, 0.75, 1.0],
        },
    ),
    "images": (
        "satimage",
        SVC(probability=False),
        {"C": np.geomspace(0.03, 500, 15).tolist(), "gamma": np.geomspace(1e-4, 2, 15).tolist()},
    ),
    "boosting": (
        "california",
        GradientBoostingRegressor(n_estimators=40, random_state=0),
        {
            "learning_rate": np.geomspace(0.01, 1, 8).tolist(),
            "max_depth": list(range(1, 6)),
            "min_samples_leaf": [1, 4, 16, 64],
        },
    ),
}


def table_of(task: str, root: Path, folder: Path) -> np.ndarray:
    """Return the mean scores of a task: an axis for each param, and the last for shares of rows."""
    file = folder / f"{task}.npy"
    if file.exists():
        return np.load(file)
    data, model, params = TASKS[task]
    x, y, name = dataset(data, root)
    x, y = x[:ROWS], y[:ROWS]
    scorer = get_scorer("accuracy" if name == "neg_log_loss" else name)
    shape = [len(values) for values in params.values()]
    scores = np.zeros((*shape, len(SHARES), FOLDS))
    for index in itertools.product(*map(range, shape)):
        settings = {name: params[name][i] for name, i in zip(params, index, strict=True)}
        for fold, (train, test) in enumerate(KFold(FOLDS, shuffle=True, random_state=0).split(x)):
            for number, share in enumerate(SHARES):
                some = train[: round(share * len(train))]
                fitted = clone(model).set_params(**settings).fit(x[some], y[some])
                scores[(*index, number, fold)] = scorer(fitted, x[test], y[test])
    table = scores.mean(axis=-1)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(file, table)
    return table


class Looked(BaseEstimator):
    """A model whose fit looks its score up in a table, by the positions of its params' values."""

    table: np.ndarray
    told: list[float]

    def __init__(self, a: int = 0, b: int = 0, c: int = 0) -> None:
        self.a = a
        self.b = b
        self.c = c

    def fit(self, X: Any, y: Any = None) -> "Looked":  # noqa: N803
        """Remember the share of the rows."""
        self.share_ = int(np.argmin(np.abs(np.array(SHARES) - len(X) / ROWS)))
        return self

    def score(self, X: Any, y: Any = None) -> float:  # noqa: N803
        """Return the score of the table; note what a search that ended now would have found."""
        index = (self.a, self.b, self.c)[: self.table.ndim - 1]
        self.told.append(float(self.table[(*index, -1)]))
        return float(self.table[(*index, self.share_)])


def searches(shape: tuple[int, ...], n: int, seed: int, bayes: int) -> Iterator[tuple[str, Any]]:
    """Yield searches of `n` fits over a grid of this shape, by name."""
    names = "abc"[: len(shape)]
    lists = {name: list(range(size)) for name, size in zip(names, shape, strict=True)}
    rows = np.arange(ROWS)
    common: dict[str, Any] = {"cv": [(rows, rows)], "refit": False}
    model = Looked()
    space = {name: Int(0, size - 1) for name, size in zip(names, shape, strict=True)}
    yield (
        "SearchCV",
        SearchCV(
            model, space, n_trials=n, executor="inline", pruner=None, random_state=seed, **common
        ),
    )
    yield (
        "RandomizedSearchCV",
        RandomizedSearchCV(model, lists, n_iter=n, random_state=seed, **common),
    )
    yield (
        "HalvingRandomSearchCV",
        HalvingRandomSearchCV(
            model,
            lists,
            n_candidates=CANDIDATES[n],
            min_resources=round(ROWS / 9),
            random_state=seed,
            **common,
        ),
    )
    from optuna.distributions import IntDistribution
    from optuna_integration import OptunaSearchCV

    ranges = {name: IntDistribution(0, size - 1) for name, size in zip(names, shape, strict=True)}
    yield "OptunaSearchCV", OptunaSearchCV(model, ranges, n_trials=n, random_state=seed, **common)
    if seed < bayes:
        from skopt import BayesSearchCV
        from skopt.space import Integer

        bounds = {name: Integer(0, size - 1) for name, size in zip(names, shape, strict=True)}
        yield (
            "BayesSearchCV",
            BayesSearchCV(model, bounds, n_iter=n, random_state=seed, **common),
        )


def chosen(search: Any, told: list[float]) -> float:
    """Return the score, on all rows, of the settings that a search ends with."""
    if isinstance(search, HalvingRandomSearchCV):
        results = search.cv_results_
        last = np.flatnonzero(results["iter"] == results["iter"].max())
        best = results["params"][last[np.argmax(results["mean_test_score"][last])]]
        index = tuple(best[name] for name in "abc" if name in best)
        return float(Looked.table[(*index, -1)])
    return max(told)


def main() -> None:
    """Print the mean regret of each search at each budget."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--bayes", type=int, default=2, help="the seeds of BayesSearchCV, if fewer")
    parser.add_argument("--tables", type=Path, default=Path("/tmp/manyfit-sklearn-search"))
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    asked = parser.parse_args()
    root = Path(os.environ.get("MANYFIT_DATA", "../shared/data"))
    warnings.simplefilter("ignore")
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    regrets: dict[tuple[int, str], list[float]] = defaultdict(list)
    seconds: dict[str, float] = defaultdict(float)
    reached: list[float] = []
    rows = np.zeros((ROWS, 1))
    for task in asked.tasks:
        table = Looked.table = table_of(task, root, asked.tables)
        spread = table[..., -1].max() - np.median(table[..., -1])
        for seed, n in itertools.product(range(asked.seeds), BUDGETS):
            bests: dict[str, np.ndarray] = {}
            for name, search in searches(table.shape[:-1], n, seed, asked.bayes):
                Looked.told = []
                started = time.process_time()
                search.fit(rows, rows[:, 0])
                seconds[name] += time.process_time() - started
                regret = (table[..., -1].max() - chosen(search, Looked.told)) / spread
                regrets[n, name].append(regret)
                bests[name] = np.maximum.accumulate(Looked.told)
            target = bests["RandomizedSearchCV"][-1]
            is_there = np.flatnonzero(bests["SearchCV"] >= target)
            if n == BUDGETS[-1]:
                reached.append((is_there[0] + 1) / n if len(is_there) else 1.0)
        for n in BUDGETS:
            for (budget, name), values in regrets.items():
                if budget == n:
                    shown = np.array(values)
                    print(
                        f"up to {task:<9} {n} fits {name:<22} mean regret {shown.mean():7.2%} "
                        f"± {shown.std() / np.sqrt(len(shown)):.2%} of {len(shown)}",
                        flush=True,
                    )
    print(f"fits to the best of {BUDGETS[-1]} random ones: {np.mean(reached):.0%}")
    print({name: round(value) for name, value in seconds.items()}, "CPU seconds")


if __name__ == "__main__":
    main()
