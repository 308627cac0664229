"""Tasks that are real fits of scikit-learn models on small real data, 30 to 100 ms each.

The folder with the data is `$MANYFIT_BENCH_DATA`, by default `../shared/data`. Rows are split once
and for all and every fit is seeded, so that a run can be repeated. What is known of a task comes
from 2,000 random trials, kept in `$MANYFIT_BENCH_CACHE`, by default a folder among the system's
temporary ones; the report also looks at what the samplers found.
"""

import json
import os
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.search.tasks import DRAWS, Scale, Task, draws

from manyfit import Choice, Float, Int, Space
from manyfit.trial import Params

_REFERENCE = 2000


@dataclass(frozen=True)
class Split:
    """Rows to fit on and rows to be judged by; features are on one scale."""

    x: np.ndarray
    y: np.ndarray
    x_valid: np.ndarray
    y_valid: np.ndarray

    def balanced_error(self, model: Any) -> float:
        """Return the mean over classes of the share of rows that a fit takes for another class."""
        from sklearn.metrics import balanced_accuracy_score

        guessed = model.fit(self.x, self.y).predict(self.x_valid)
        return 1.0 - float(balanced_accuracy_score(self.y_valid, guessed))


@cache
def split(name: str, rows: int, valid: int) -> Split:
    """Return a split of a file with a column called target, the last."""
    root = Path(__file__).parents[3] / "shared" / "data"
    path = Path(os.environ.get("MANYFIT_BENCH_DATA", root)) / f"{name}.tsv.gz"
    table = np.loadtxt(path, delimiter="\t", skiprows=1)
    table = table[np.random.default_rng(0).permutation(len(table))[: rows + valid]]
    x, y = table[:, :-1], table[:, -1]
    x = (x - x[:rows].mean(axis=0)) / x[:rows].std(axis=0)
    return Split(x[:rows], y[:rows], x[rows:], y[rows:])


# ── a support vector machine ──────────────────────────────────────────────────────────────────────

_SVM = {
    "C": Float(1e-2, 1e3, log=True),
    "shrinking": Choice(["yes", "no"]),
    "weighted": Choice(["yes", "no"]),
}
_GAMMA, _OFFSET = Float(1e-3, 30, log=True), Float(-1, 1)
_KERNELS = {
    "linear": {},
    "rbf": {"gamma": _GAMMA},
    "poly": {"gamma": _GAMMA, "coef0": _OFFSET, "degree": Int(2, 5)},
    "sigmoid": {"gamma": _GAMMA, "coef0": _OFFSET},
}


def svm(params: Params) -> float:
    """Return the error of a machine that tells nasal from oral vowels."""
    from sklearn.svm import SVC

    model = SVC(
        C=params["C"],
        kernel=params["kernel"],
        gamma=params.get("gamma", 1.0),
        coef0=params.get("coef0", 0.0),
        degree=params.get("degree", 3),
        shrinking=params["shrinking"] == "yes",
        class_weight="balanced" if params["weighted"] == "yes" else None,
        max_iter=20_000,
    )
    return split("phoneme", 800, 2000).balanced_error(model)


# ── boosting ──────────────────────────────────────────────────────────────────────────────────────

_BOOSTING = {
    "learning_rate": Float(0.01, 1, log=True),
    "rounds": Int(5, 80, log=True),
    "leaves": Int(3, 64, log=True),
    "min_rows": Int(1, 100, log=True),
    "l2": Float(1e-6, 1e2, log=True),
    "features": Float(0.1, 1),
    "bins": Int(8, 255, log=True),
    "objective": Choice(["squared_error", "absolute_error", "gamma", "poisson"]),
}


def boosting(params: Params) -> float:
    """Return the error of the logarithm of a house's price."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    data = split("california_houses", 1500, 3000)
    model = HistGradientBoostingRegressor(
        loss=params["objective"],
        learning_rate=params["learning_rate"],
        max_iter=params["rounds"],
        max_leaf_nodes=params["leaves"],
        min_samples_leaf=params["min_rows"],
        l2_regularization=params["l2"],
        max_features=params["features"],
        max_bins=params["bins"],
        early_stopping=False,
        random_state=0,
    )
    guessed = model.fit(data.x, np.log(data.y)).predict(data.x_valid)
    return float(np.sqrt(np.mean((guessed - np.log(data.y_valid)) ** 2)))


# ── a neural network ──────────────────────────────────────────────────────────────────────────────

_MLP = {
    "learning_rate": Float(1e-4, 0.3, log=True),
    "alpha": Float(1e-7, 1, log=True),
    "batch": Int(16, 256, log=True),
    "width": Int(8, 128, log=True),
    "layers": Int(1, 3),
    "epochs": Int(2, 12),
    "activation": Choice(["relu", "tanh", "logistic"]),
    "solver": Choice({"adam": {"beta": Float(0.5, 0.99)}, "sgd": {"momentum": Float(0, 0.99)}}),
}


def mlp(params: Params) -> float:
    """Return the log loss of a network that tells kinds of soil apart; NaN where it diverges."""
    from sklearn.metrics import log_loss
    from sklearn.neural_network import MLPClassifier

    data = split("satimage", 1200, 2000)
    model = MLPClassifier(
        (params["width"],) * params["layers"],
        activation=params["activation"],
        solver=params["solver"],
        alpha=params["alpha"],
        batch_size=params["batch"],
        learning_rate_init=params["learning_rate"],
        max_iter=params["epochs"],
        beta_1=params.get("beta", 0.9),
        momentum=params.get("momentum", 0.9),
        random_state=0,
    )
    try:
        model.fit(data.x, data.y)
    except ValueError:  # the weights are no longer finite
        return float("nan")
    return float(log_loss(data.y_valid, model.predict_proba(data.x_valid), labels=model.classes_))


# ── which model ───────────────────────────────────────────────────────────────────────────────────

_MODELS = {
    "svm": {"C": Float(1e-2, 1e3, log=True), "gamma": _GAMMA},
    "forest": {
        "trees": Int(5, 60, log=True),
        "features": Float(0.2, 1),
        "min_rows": Int(1, 50, log=True),
    },
    "boosting": {
        "learning_rate": Float(0.01, 1, log=True),
        "rounds": Int(5, 80, log=True),
        "leaves": Int(3, 64, log=True),
        "min_rows": Int(1, 50, log=True),
    },
    "neighbors": {
        "k": Int(1, 60, log=True),
        "weights": Choice(["uniform", "distance"]),
        "power": Choice(["1", "2"]),
    },
}


def models(params: Params) -> float:
    """Return the error of one of four models that tell nasal from oral vowels."""
    return split("phoneme", 800, 2000).balanced_error(_model(params))


def _model(params: Params) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.svm import SVC

    match params["model"]:
        case "svm":
            return SVC(C=params["C"], gamma=params["gamma"], max_iter=20_000)
        case "forest":
            return RandomForestClassifier(
                params["trees"],
                max_features=params["features"],
                min_samples_leaf=params["min_rows"],
                random_state=0,
            )
        case "boosting":
            return HistGradientBoostingClassifier(
                learning_rate=params["learning_rate"],
                max_iter=params["rounds"],
                max_leaf_nodes=params["leaves"],
                min_samples_leaf=params["min_rows"],
                early_stopping=False,
                random_state=0,
            )
        case _:
            return KNeighborsClassifier(
                params["k"], weights=params["weights"], p=int(params["power"])
            )


# ── tasks ─────────────────────────────────────────────────────────────────────────────────────────

_FITS: dict[str, tuple[dict[str, Any], Callable[[Params], float]]] = {
    "svm-phoneme": ({**_SVM, "kernel": Choice(_KERNELS)}, svm),
    "boosting-houses": (_BOOSTING, boosting),
    "mlp-satimage": (_MLP, mlp),
    "models-phoneme": ({"model": Choice(_MODELS)}, models),
}


def makers() -> dict[str, Callable[[], Task]]:
    """Return what makes each fit's task, by name."""
    return {name: partial(_task, name) for name in _FITS}


def _task(name: str) -> Task:
    entries, fit = _FITS[name]
    space = Space(entries)
    return Task(name, space, partial(_quietly, fit), partial(_scale, name, space, fit))


def _quietly(fit: Callable[[Params], float], params: Params) -> float:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of epochs that don't suffice, and the like
        return fit(params)


def _scale(name: str, space: Space, fit: Callable[[Params], float]) -> Scale:
    """Return the best and the median of random trials, from the cache if they are there."""
    import sklearn

    default = Path(tempfile.gettempdir()) / "manyfit-bench"
    path = Path(os.environ.get("MANYFIT_BENCH_CACHE", default)) / f"{name}.json"
    of = f"scikit-learn {sklearn.__version__}: {space!r}"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if known.get("of") != of:
        losses = [_quietly(fit, params) for params in draws(space, _REFERENCE)]
        median = float(np.median(np.nan_to_num(losses[:DRAWS], nan=np.inf)))
        known = {"of": of, "best": float(np.nanmin(losses)), "median": median}
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps(known), encoding="utf-8")
        draft.replace(path)  # another process may be at it
    return Scale(known["best"], known["median"])
